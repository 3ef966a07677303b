/* app.c - see app.h. Order of a start: what needs no other part first; of a stop: the reverse, so that no part calls one that
 * is gone (HTTP, calls to others, workers, notifier, documents, store). */
#include "console/app.h"

#include "console/api/envelope.h"
#include "console/api/tables.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/banned.h"

#define DRAIN_LOOK_MS  20
#define HEALTH_THREADS 4
#define HEALTH_QUEUE   64

static int read_types(const struct console_config *config, unsigned *ret_default,
                      unsigned *ret_pushed, struct xp_err *err)
{
    unsigned wanted;
    unsigned pushed;
    if (type_set_parse(config->cluster_types, &wanted, err) < 0 ||
        type_set_parse(config->notify_types, &pushed, err) < 0) {
        return err->code;
    }
    *ret_default = wanted == API_ALL_TYPES ? 0 : wanted;
    *ret_pushed = pushed;
    return 0;
}

static struct container_health_settings container_settings(const struct console_config *c)
{
    return (struct container_health_settings){ .period_ms = c->container_check_period_ms,
                                               .connect_timeout_ms =
                                                   c->container_check_connect_timeout_ms,
                                               .timeout_ms = c->container_check_timeout_ms };
}

static int configure(struct app *app, struct xp_err *err)
{
    const struct console_config *c = &app->config;
    unsigned types = 0;
    struct notifier_settings settings = { .metaservers = c->metaservers,
                                          .poll_ms = c->notify_poll_ms,
                                          .connect_timeout_ms = c->notify_connect_timeout_ms,
                                          .timeout_ms = c->notify_timeout_ms,
                                          .retry_min_ms = c->notify_retry_min_ms,
                                          .retry_max_ms = c->notify_retry_max_ms };
    struct migration_health_settings health = { .metaservers = c->metaservers,
                                                .probe = c->health_probe,
                                                .period_ms = c->health_period_ms,
                                                .stale_ms = c->health_stale_ms,
                                                .connect_timeout_ms = c->health_timeout_ms,
                                                .timeout_ms = c->health_timeout_ms };
    if (read_types(c, &types, &settings.types, err) < 0 ||
        migration_health_configure(app->migration_health, &health, err) < 0) {
        return err->code;
    }
    __atomic_store_n(&app->api.default_types, types, __ATOMIC_RELAXED);
    __atomic_store_n(&app->api.migration_timeout_ms, c->migration.request_timeout_ms,
                     __ATOMIC_RELAXED);
    migration_waits_configure(app->waits, c->migration.requests_max_count);
    if (notifier_configure(app->notifier, &settings, err) < 0) {
        return err->code;
    }
    int rc = app_migration_configure(&app->migration, c, err);
    return rc != 0 ? rc : app_readiness_configure(&app->readiness, c, err);
}

/* While draining, only what observes the process is still answered. */
static int on_request(struct http_req *req, const struct http_route *route, struct xp_err *err)
{
    const struct api_context *api = http_req_arg(req);
    if (daemon_is_draining(api->daemon) && !text_eq(route->scope, "public")) {
        return xp_fail(err, XP_UNAVAILABLE, "the console is shutting down, try again");
    }
    return 0;
}

static void on_finished(const struct http_req *req, const struct http_route *route, int status,
                        int64_t duration_us)
{
    (void)route;
    log_debug("http.request", "method", http_req_method(req), "target", http_req_target(req),
              "status", log_int(status), "us", log_int(duration_us), "peer", http_req_peer(req),
              "request", http_req_id(req));
}

static int open_store(struct app *app, struct xp_err *err)
{
    const struct console_config *c = &app->config;
    if (dc_alias_parse(c->dc_mapping, &app->alias, err) < 0) {
        return xp_wrap(err, "credis.service.idc.mapping.rule");
    }
    if (dc_relations_parse(c->dc_relations, app->alias, &app->relations, err) < 0) {
        return xp_wrap(err, "regions.relations");
    }
    struct store_options options = { .path = c->db_path,
                                     .readers = (int)c->workers_count,
                                     .busy_timeout_ms = c->db_busy_timeout_ms };
    if (store_open(&options, &app->store, err) < 0) {
        return err->code;
    }
    app->catalog =
        (struct catalog){ .store = app->store, .alias = app->alias, .relations = app->relations };
    xp_check(keeper_medium_from_text(c->keeper_disk_type, &app->catalog.keeper_rules.medium));
    log_info("store.opened", "path", c->db_path, "version", log_int(store_version(app->store)),
             "next", store_version(app->store) == 0 ? "this database is empty" : NULL);
    return 0;
}

static int start_server(struct app *app, struct loop *loop, struct xp_err *err)
{
    const struct console_config *c = &app->config;
    struct http_options options = { .loop = loop,
                                    .pool = app->pool,
                                    .bind_ip = c->bind_ip,
                                    .port = (int)c->port,
                                    .max_connections = (int)c->connections_max_count,
                                    .handler_timeout_ms = c->handler_timeout_ms,
                                    .idle_timeout_ms = c->common.http_idle_timeout_ms,
                                    .body_timeout_ms = c->common.http_body_timeout_ms,
                                    .bodies_max_bytes = c->common.http_bodies_max_bytes,
                                    .tables = api_tables,
                                    .on_error = envelope_error,
                                    .on_request = on_request,
                                    .on_finished = on_finished,
                                    .arg = &app->api };
    if (http_server_start(&options, &app->server, err) < 0) {
        return err->code;
    }
    log_info("http.listening", "ip", c->bind_ip, "port", log_int(http_server_port(app->server)));
    return 0;
}

static void drain_look(struct loop_timer *t)
{
    struct app *app = CONTAINER_OF(t, struct app, drain_timer);
    if (http_server_waiting(app->server) == 0 && app_migration_is_idle(&app->migration) &&
        notifier_is_idle(app->notifier)) {
        daemon_drained(app->api.daemon);
    } else {
        loop_timer_start(t, DRAIN_LOOK_MS);
    }
}

static void start_migration_health(struct app *app, struct loop *loop)
{
    app->health_client = http_client_new(loop, HEALTH_THREADS, HEALTH_QUEUE);
    app->migration_health =
        migration_health_new(&(struct migration_health_options){ .loop = loop,
                                                                 .pool = app->pool,
                                                                 .client = app->health_client,
                                                                 .outer = app->migration.outer,
                                                                 .catalog = &app->catalog });
}

/* From here on the automatic choice of keepers skips containers that do not answer. */
static void start_container_health(struct app *app, struct loop *loop)
{
    const struct console_config *c = &app->config;
    struct container_health_settings settings = container_settings(c);
    app->container_health = container_health_new(
        &(struct container_health_options){ .loop = loop,
                                            .pool = app->pool,
                                            .client = app->container_client,
                                            .catalog = &app->catalog,
                                            .parallel = (int)c->container_checks_count },
        &settings);
    app->catalog.keeper_rules.is_unhealthy = container_health_is_unhealthy;
    app->catalog.keeper_rules.arg = app->container_health;
}

static int start(struct daemon *daemon, void *arg, struct xp_err *err)
{
    struct app *app = arg;
    const struct console_config *c = &app->config;
    struct loop *loop = daemon_loop(daemon);
    loop_timer_init(&app->drain_timer, loop, drain_look);
    if (open_store(app, err) < 0) {
        return err->code;
    }
    int pushes = (int)c->notify_threads_count;
    int checks = (int)c->container_checks_count;
    app->client = http_client_new(loop, pushes, pushes);
    app->container_client = http_client_new(loop, checks, checks);
    app->pool = worker_pool_new(loop, "worker", (int)c->workers_count, (int)c->worker_queue_count,
                                NULL, NULL, NULL);
    app->watch = store_watch_new(loop, app->pool, app->store, c->db_check_ms);
    start_container_health(app, loop);
    app->documents = document_cache_new(
        &(struct document_cache_options){ .catalog = &app->catalog,
                                          .build_max = (int)c->build_concurrent_count,
                                          .old_bytes_max = c->old_documents_mib << 20 });
    app->notifier = notifier_new(&(struct notifier_options){ .loop = loop,
                                                             .pool = app->pool,
                                                             .client = app->client,
                                                             .catalog = &app->catalog,
                                                             .pushes_max = pushes });
    if (app_migration_start(&app->migration, loop, &app->catalog, c, err) < 0) {
        return err->code;
    }
    start_migration_health(app, loop);
    app_readiness_start(&app->readiness, loop, &app->catalog, app->migration.engine, c);
    app->waits = migration_waits_new(loop, app->pool, &app->catalog);
    app->api = (struct api_context){
        .daemon = daemon,
        .catalog = &app->catalog,
        .documents = app->documents,
        .notifier = app->notifier,
        .container_health = app->container_health,
        .migration_health = app->migration_health,
        .readiness = app->readiness.board,
        .migration = { .engine = app->migration.engine,
                       .ask = migration_engine_ask,
                       .wake = migration_engine_wake,
                       .waits = app->waits,
                       .wait = migration_waits_add },
        .plans = { .maker = app->migration.plans, .decide = switch_plan_decide },
        .idempotency = { .keep_ms = c->idempotency_keep_ms, .max_count = c->idempotency_max_count },
        .outer = app->migration.outer,
        .bi_asker = app->migration.bi_asker,
        .pool = app->pool,
        .address = c->ip,
        .dc = c->dc
    };
    if (configure(app, err) < 0) {
        return err->code;
    }
    return start_server(app, loop, err);
}

static bool is_ready(void *arg, json_t *reasons)
{
    const struct app *app = arg;
    char failing[DB_PROBLEM_BYTES];
    const char *problem =
        store_problem(app->store, failing) ? failing : notifier_problem(app->notifier);
    if (problem) {
        json_array_append_new(reasons, jd_text(problem));
    }
    return problem == NULL;
}

static void reloaded(void *arg)
{
    struct app *app = arg;
    struct xp_err err = { 0 };
    struct container_health_settings settings = container_settings(&app->config);
    container_health_configure(app->container_health, &settings);
    if (configure(app, &err) < 0) {
        log_error("config.not_applied", "why", err.msg);
    }
}

static void drain(void *arg)
{
    struct app *app = arg;
    app_migration_drain(&app->migration);
    app_readiness_drain(&app->readiness);
    notifier_stop(app->notifier);
    container_health_stop(app->container_health);
    migration_health_stop(app->migration_health);
    migration_waits_stop(app->waits);
    loop_timer_start(&app->drain_timer, 0);
}

static void stop(void *arg)
{
    struct app *app = arg;
    loop_timer_stop(&app->drain_timer);
    if (app->watch) {
        store_watch_stop(app->watch);
    }
    if (app->notifier) {
        notifier_stop(app->notifier);
    }
    if (app->container_health) {
        container_health_stop(app->container_health);
    }
    if (app->migration_health) {
        migration_health_stop(app->migration_health);
    }
    if (app->waits) {
        migration_waits_stop(app->waits);
    }
    if (app->server) {
        http_server_stop(app->server);
    }
    http_client_free(app->client);
    http_client_free(app->container_client);
    http_client_free(app->health_client);
    if (app->pool) {
        worker_pool_free(app->pool); /* handlers ask the engine until here */
        app->api.pool = NULL;        /* what asked a DC ends behind this: api_submit refuses */
    }
    app_readiness_stop(&app->readiness);
    app_migration_stop(&app->migration);
    store_watch_free(app->watch);
    notifier_free(app->notifier);
    container_health_free(app->container_health);
    migration_health_free(app->migration_health);
    migration_waits_free(app->waits);
    document_cache_free(app->documents);
    store_close(app->store);
    dc_relations_free(app->relations);
    dc_alias_free(app->alias);
}

const struct daemon_ops console_daemon_ops = {
    .name = "xpipe-console",
    .summary =
        "keeps the metadata of Redis in several data centers and serves it to the metaservers",
    .rows = console_config_rows,
    .routes = api_tables,
    .check = console_config_check,
    .files_needed = console_config_files_needed,
    .start = start,
    .is_ready = is_ready,
    .reloaded = reloaded,
    .drain = drain,
    .stop = stop,
};
