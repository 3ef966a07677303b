/* app_migration.h - the migrations' parts of the console and how they are wired: outer client, calls, engine, with threads of their own.
 *
 * No logic of its own. Owner: main, as of app.h; each function accepts what was not started. */
#ifndef CONSOLE_APP_MIGRATION_H
#define CONSOLE_APP_MIGRATION_H

#include "console/console_config.h"
#include "console/migration/bi_survey.h"
#include "console/migration/migration_engine.h"
#include "console/migration/plan_maker.h"

struct app_migration {
    struct http_client *outer_http;
    struct http_client *news_http; /* no pre-check and no publication waits behind news */
    struct outer_client *outer;
    struct bi_asker *bi_asker;
    const struct dc_alias *alias; /* borrowed */
    struct worker_pool *pool;     /* turns do not wait behind requests */
    struct migration_calls *calls;
    /* plans and verdicts: no step of a migration waits behind them */
    struct migration_calls *surveys;
    struct migration_engine *engine;
    struct plan_maker *plans;
};

/* 'catalog' is borrowed. The engine loads and resumes with the first turns of the loop. */
int app_migration_start(struct app_migration *, struct loop *, struct catalog *,
                        const struct console_config *, struct xp_err *) XP_MUST_CHECK;
int app_migration_configure(struct app_migration *, const struct console_config *,
                            struct xp_err *) XP_MUST_CHECK;
void app_migration_drain(struct app_migration *);
bool app_migration_is_idle(const struct app_migration *);
/* Before the store closes; the loop has ended. */
void app_migration_stop(struct app_migration *);

#endif
