/* app_readiness.h - the parts that keep readiness verdicts current and how they are wired: a thread for the database, calls with connections of their own.
 *
 * No logic of its own. Owner: main, as of app.h; each function accepts what was not started. */
#ifndef CONSOLE_APP_READINESS_H
#define CONSOLE_APP_READINESS_H

#include "console/console_config.h"
#include "console/migration/migration_engine.h"
#include "console/migration/readiness.h"

struct app_readiness {
    struct worker_pool *pool;
    struct migration_calls *calls;
    struct readiness_board *board;
    struct readiness *readiness;
};

/* 'catalog' and 'engine' are borrowed. Begins to look when it is configured. */
void app_readiness_start(struct app_readiness *, struct loop *, struct catalog *,
                         struct migration_engine *, const struct console_config *);
int app_readiness_configure(struct app_readiness *, const struct console_config *,
                            struct xp_err *) XP_MUST_CHECK;
void app_readiness_drain(struct app_readiness *);
/* In the order of app.h: before the store closes; the loop has ended, handlers do not run any more. */
void app_readiness_stop(struct app_readiness *);

#endif
