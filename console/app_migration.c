/* app_migration.c - see app_migration.h. */
#include "console/app_migration.h"

#include "shared/base/str.h"

#include "shared/base/banned.h"

#define OUTER_THREADS  8
#define OUTER_QUEUE    4096
#define NEWS_THREADS   2
#define POOL_THREADS   2 /* a turn, and a read of addresses beside it */
#define POOL_QUEUE_MAX 65536

static void configure_plans(struct app_migration *m, const struct migration_config *c,
                            const struct migration_settings *engine)
{
    struct plan_settings settings = {
        .limits = { .max_lag_bytes = c->max_lag_bytes,
                    .fence_ms = c->fence_timeout_ms,
                    .drain_ms = c->drain_timeout_ms,
                    .promote_ms = c->promote_timeout_ms,
                    .outage_max_ms = c->outage_max_ms,
                    .drain_bytes_per_s = c->plan_drain_bytes,
                    .commit_us = c->plan_commit_us,
                    .mode = engine->mode },
        .outer = !text_is_empty(c->credis_url)    ? OUTER_CREDIS
                 : !text_is_empty(c->webhook_url) ? OUTER_WEBHOOK
                                                  : OUTER_NOBODY,
        .shards_max = c->plan_shards_max,
    };
    plan_maker_configure(m->plans, &settings);
}

int app_migration_configure(struct app_migration *m, const struct console_config *config,
                            struct xp_err *err)
{
    const struct migration_config *c = &config->migration;
    struct migration_calls_settings calls = { .metaservers = config->metaservers,
                                              .redis_user = c->redis_user,
                                              .redis_password = c->redis_password,
                                              .connect_timeout_ms = c->connect_timeout_ms,
                                              .queue_ms = c->queue_ms,
                                              .check_ms = c->check_timeout_ms,
                                              .fence_ms = c->fence_timeout_ms,
                                              .drain_ms = c->drain_timeout_ms,
                                              .promote_ms = c->promote_timeout_ms,
                                              .follow_ms = c->follow_timeout_ms,
                                              .max_lag_bytes = c->max_lag_bytes };
    struct migration_settings engine = { .outage_max_ms = c->outage_max_ms,
                                         .outage_target_ms = c->outage_target_ms,
                                         .gather_ms = c->gather_ms,
                                         .expire_ms = c->expire_ms,
                                         .retry = c->retry };
    /* the table of keys has seen to it */
    xp_check(migration_mode_from_text(c->mode, &engine.mode));
    outer_client_configure(m->outer,
                           &(struct outer_settings){ .credis_url = c->credis_url,
                                                     .webhook_url = c->webhook_url,
                                                     .connect_timeout_ms = c->connect_timeout_ms,
                                                     .timeout_ms = c->publish_timeout_ms });
    migration_engine_configure(m->engine, &engine);
    configure_plans(m, c, &engine);
    struct bi_asker_settings links = { .metaservers = config->metaservers,
                                       .alias = m->alias,
                                       .connect_timeout_ms = c->connect_timeout_ms,
                                       .timeout_ms = c->check_timeout_ms };
    int rc = bi_asker_configure(m->bi_asker, &links, err);
    rc = rc != 0 ? rc : migration_calls_configure(m->surveys, &calls, err);
    return rc != 0 ? rc : migration_calls_configure(m->calls, &calls, err);
}

int app_migration_start(struct app_migration *m, struct loop *loop, struct catalog *catalog,
                        const struct console_config *config, struct xp_err *err)
{
    const struct migration_config *c = &config->migration;
    int rc = migration_table_check(err); /* no migration runs by a table that is not sound */
    if (rc != 0) {
        return rc;
    }
    m->outer_http = http_client_new(loop, OUTER_THREADS, OUTER_QUEUE);
    m->news_http = http_client_new(loop, NEWS_THREADS, OUTER_NEWS_MAX);
    m->outer = outer_client_new(loop, m->outer_http, m->news_http);
    m->alias = catalog->alias;
    m->bi_asker = bi_asker_new(loop);
    m->pool = worker_pool_new(loop, "migration", POOL_THREADS, POOL_QUEUE_MAX, NULL, NULL, NULL);
    struct migration_calls_options calls = { .loop = loop,
                                             .pool = m->pool,
                                             .catalog = catalog,
                                             .outer = m->outer,
                                             .threads = (int)c->threads_count };
    m->calls = migration_calls_new(&calls);
    calls.threads = (int)c->survey_threads_count;
    m->surveys = migration_calls_new(&calls);
    m->plans = plan_maker_new(&(struct plan_maker_options){
        .loop = loop, .surveys = m->surveys, .survey = migration_survey_start, .outer = m->outer });
    m->engine = migration_engine_new(
        &(struct migration_engine_options){ .loop = loop,
                                            .pool = m->pool,
                                            .catalog = catalog,
                                            .calls = m->calls,
                                            .parallel = (int)c->parallel_count });
    return app_migration_configure(m, config, err);
}

void app_migration_drain(struct app_migration *m)
{
    migration_engine_stop(m->engine);
}

bool app_migration_is_idle(const struct app_migration *m)
{
    return migration_engine_is_idle(m->engine);
}

void app_migration_stop(struct app_migration *m)
{
    if (!m->engine) {
        return;
    }
    migration_engine_stop(m->engine);
    migration_calls_close(m->calls);
    migration_calls_close(m->surveys);
    http_client_free(m->outer_http);
    http_client_free(m->news_http);
    worker_pool_free(m->pool);
    migration_engine_free(m->engine);
    migration_calls_free(m->calls);
    migration_calls_free(m->surveys);
    bi_asker_free(m->bi_asker);
    plan_maker_free(m->plans);
    outer_client_free(m->outer);
}
