/* migration_process.h - POST /api/v2/migrations/{id}/process as planned: what is left of an event's migrations is only shown (dry run), or goes on when
 * it is still what the quoted plan says.
 *
 *   {"clusters":[...], "planHash", "dryRun"}
 *
 * A dry run answers 200 with the plan of every cluster that waits (Initiated or paused) and one planHash over all of them: of an event that
 * was not started that is the hash of its creation. With planHash the plan is made anew and must have that hash: else 409 with what differs, and
 * nothing is asked; as when the whole event is asked for and a cluster that is not over has no plan, because the engine would try that one
 * again, too. The metadata and the migration itself must be those of the plan right before the ask; behind it the cluster is locked, and
 * whoever was faster has moved the migration, which then takes no second ask. Thread: workers; waits on the loop. */
#ifndef CONSOLE_API_MIGRATION_PROCESS_H
#define CONSOLE_API_MIGRATION_PROCESS_H

#include "console/api/migration_asks.h"

struct process_request {
    bool is_dry_run;
    bool has_steps;        /* of the answer of a dry run */
    const char *plan_hash; /* copied; NULL: only of a dry run */
    bool is_whole;         /* no clusters were named: terminal ones are left out */
    /* What is asked when the plan holds, out of those that were planned. */
    void (*narrow)(struct migration_asks *);
    migration_asks_render_fn *render;
};
/* 'asks': one for each cluster. Takes them. */
int migration_process_planned(struct http_req *, struct migration_asks *,
                              const struct process_request *, struct xp_err *);

#endif
