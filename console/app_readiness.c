/* app_readiness.c - see app_readiness.h. */
#include "console/app_readiness.h"

#include "shared/base/banned.h"

#define POOL_THREADS   1
#define POOL_QUEUE_MAX 256

static bool is_busy(void *arg)
{
    return migration_engine_active(arg) > 0;
}

int app_readiness_configure(struct app_readiness *a, const struct console_config *config,
                            struct xp_err *err)
{
    const struct readiness_config *c = &config->readiness;
    const struct migration_config *m = &config->migration;
    struct migration_calls_settings calls = { .metaservers = config->metaservers,
                                              .redis_user = m->redis_user,
                                              .redis_password = m->redis_password,
                                              .connect_timeout_ms = m->connect_timeout_ms,
                                              .check_ms = m->check_timeout_ms,
                                              .queue_ms = m->queue_ms };
    int rc = migration_calls_configure(a->calls, &calls, err);
    if (rc == 0) {
        readiness_configure(a->readiness,
                            &(struct readiness_settings){ .round_ms = c->round_ms,
                                                          .calls_per_s = c->calls_per_s,
                                                          .age_max_ms = c->age_max_ms,
                                                          .settle_ms = c->settle_ms,
                                                          .max_lag_bytes = m->max_lag_bytes,
                                                          .drain_ms = m->drain_timeout_ms });
    }
    return rc;
}

void app_readiness_start(struct app_readiness *a, struct loop *loop, struct catalog *catalog,
                         struct migration_engine *engine, const struct console_config *config)
{
    const struct readiness_config *c = &config->readiness;
    a->pool = worker_pool_new(loop, "readiness", POOL_THREADS, POOL_QUEUE_MAX, NULL, NULL, NULL);
    a->calls = migration_calls_new(&(struct migration_calls_options){
        .loop = loop, .pool = a->pool, .catalog = catalog, .threads = (int)c->parallel_count });
    a->board = readiness_board_new((size_t)c->clusters_max_count);
    a->readiness = readiness_new(&(struct readiness_options){ .loop = loop,
                                                              .pool = a->pool,
                                                              .catalog = catalog,
                                                              .calls = a->calls,
                                                              .board = a->board,
                                                              .parallel = (int)c->parallel_count,
                                                              .is_busy = is_busy,
                                                              .arg = engine });
}

void app_readiness_drain(struct app_readiness *a)
{
    if (a->readiness) {
        readiness_stop(a->readiness);
    }
}

void app_readiness_stop(struct app_readiness *a)
{
    if (!a->readiness) {
        return;
    }
    readiness_stop(a->readiness);
    migration_calls_close(a->calls);
    worker_pool_free(a->pool);
    readiness_free(a->readiness);
    migration_calls_free(a->calls);
    readiness_board_free(a->board);
}
