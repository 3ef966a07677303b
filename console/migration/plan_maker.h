/* plan_maker.h - gathers the facts of plans (switch_plan.h), and remembers the plans that were shown.
 *
 *   plan_facts_read     worker: what the metadata say of one cluster, and what its switches took before
 *   plan_maker_survey   asks the metaservers about every shard, the outer client about every cluster, at once
 *   plan_maker_remember the text of a plan by its hash, so that a plan that does not hold any more can say what differs: the last
 *                       PLAN_KEPT_MAX, in memory; after a restart only that they differ is known
 * Thread: see each. */
#ifndef CONSOLE_MIGRATION_PLAN_MAKER_H
#define CONSOLE_MIGRATION_PLAN_MAKER_H

#include "console/catalog/catalog.h"
#include "console/migration/migration_calls.h"
#include "console/migration/switch_plan.h"

#define PLAN_KEPT_MAX       32
#define PLAN_KEPT_MAX_BYTES (4u << 20) /* of one; a longer one is not kept */

struct plan_maker;
struct plan_maker_options {
    struct loop *loop;
    struct migration_calls *surveys; /* borrowed */
    /* migration_survey_start, but in tests */
    void (*survey)(struct migration_calls *, const char *cluster, const char *shard,
                   struct shard_survey *take_survey, migration_surveyed_fn *, void *arg);
    struct outer_client *outer;
};
struct plan_settings {
    struct plan_limits limits;
    enum plan_outer outer;
    int64_t shards_max; /* of one request */
};
struct plan_maker *plan_maker_new(const struct plan_maker_options *);
void plan_maker_configure(struct plan_maker *, const struct plan_settings *); /* loop */
struct plan_settings plan_maker_settings(struct plan_maker *);                /* any thread */
void plan_maker_free(struct plan_maker *); /* after the surveys are closed; NULL is fine */

/* Worker. 'from', 'to': inner or outer names of DCs of the cluster. XP_NOT_FOUND, XP_TOO_LARGE: more DCs than fit. */
int plan_facts_read(const struct catalog *, const char *cluster, const char *from, const char *to,
                    const struct plan_settings *, struct switch_plan_facts **ret_facts,
                    struct xp_err *) XP_MUST_CHECK;
/* Worker. Of a migration that was made and waits: for its start, or for an operator. XP_NOT_FOUND; XP_CONFLICT: it is under way, or over. */
int plan_facts_read_row(const struct catalog *, int64_t migration_cluster_id,
                        const struct plan_settings *, struct switch_plan_facts **ret_facts,
                        bool *ret_is_over, struct xp_err *) XP_MUST_CHECK;
/* In a transaction: XP_CONFLICT when the metadata say something else by now, or the migration has moved. */
int plan_facts_verify(struct db *, const struct switch_plan_facts *, struct xp_err *) XP_MUST_CHECK;

/* Any thread. Fills the surveys and pre-checks of all; 'done' runs on the loop exactly once, also when the daemon stops (then what is missing
 * stays missing). The facts are the caller's all the time, and not to be touched until then. */
typedef void plan_surveyed_fn(void *arg);
int plan_maker_survey(struct plan_maker *, struct switch_plan_facts **facts, size_t count,
                      plan_surveyed_fn *done, void *arg, struct xp_err *) XP_MUST_CHECK;

void plan_maker_remember(struct plan_maker *, const char *hash, const char *text); /* any thread */
char *plan_maker_recall(struct plan_maker *,
                        const char *hash); /* owned; NULL: not known (any more) */

#endif
