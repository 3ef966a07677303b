/* app.c - wires the parts of a metaserver: starts and stops them, passes facts from one to the other. Decides one thing only:
 * whether a command may be sent to a Redis now (may_command). */
#include "meta/app.h"

#include <stdio.h>
#include <string.h>

#include "meta/api/meta_routes.h"
#include "meta/app_links.h"
#include "meta/app_switch.h"
#include "meta/app_trees.h"
#include "meta/keepers/tree_duty.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/model/json_decode.h"

#include "shared/base/banned.h"

#define SELF_CHECK_MS 60000
#define CATCH_UP_MS   3000
#define JOIN_LOOK_MS  10
#define DRAIN_LOOK_MS 20
#define DRAIN_HTTP_MS 3000 /* a request may wait for a member that is stopping as well */

/* The last question before every command: is the cluster ours under a valid lease, and has this process been awake? */
int app_may_command(struct app *app, int64_t cluster_id, struct xp_err *err)
{
    if (daemon_is_draining(app->daemon)) {
        return xp_fail(err, XP_UNAVAILABLE, "this metaserver is shutting down");
    }
    if (loop_was_paused(app->loop, app->config.pause_hold_ms)) {
        return xp_fail(err, XP_UNAVAILABLE,
                       "this process stood still a moment ago; observing first");
    }
    if (!sharding_owns(app->sharding, slot_of_cluster(cluster_id), clock_mono_ms())) {
        return xp_fail(err, XP_NOT_OWNER, "cluster %lld is not ours under a valid lease",
                       (long long)cluster_id);
    }
    return 0;
}

static int may_command(const struct cluster_meta *cluster, void *arg, struct xp_err *err)
{
    return app_may_command(arg, cluster->db_id, err);
}

/* ---- from one part to the other ---- */

static void on_slot(int slot, bool is_owned, void *arg)
{
    struct app *app = arg;
    shard_set_slot(app->shards, slot, is_owned);
}

static bool slot_is_quiet(int slot, void *arg)
{
    const struct app *app = arg;
    return shard_set_is_quiet(app->shards, slot) && app_trees_are_quiet(app, slot) &&
           app_switch_is_quiet(app, slot);
}

void app_on_quiet(int slot, void *arg)
{
    struct app *app = arg;
    if (slot_is_quiet(slot, app)) {
        sharding_quiet(app->sharding, slot);
    }
}

static void update_members(struct app *app)
{
    size_t count;
    const struct server_info *servers = sharding_servers(app->sharding, &count);
    struct addr members[MEMBERS_MAX];
    size_t n = 0;
    for (size_t i = 0; i < count && n < MEMBERS_MAX; i++) {
        if (servers[i].id != app->config.metaserver_id && !addr_is_none(&servers[i].addr)) {
            members[n++] = servers[i].addr;
        }
    }
    member_list_set(app->members, members, n);
}

static void catch_up(struct loop_timer *timer)
{
    dc_fetch_now(CONTAINER_OF(timer, struct app, catch_up)->fetch);
}

/* The slots are with others; who asked us something still gets the answer, for a while. */
static void drain_look(struct loop_timer *timer)
{
    struct app *app = CONTAINER_OF(timer, struct app, drain);
    if (http_server_waiting(app->http) == 0 || loop_now(app->loop) >= app->drain_until) {
        daemon_drained(app->daemon);
    } else {
        loop_timer_start(timer, DRAIN_LOOK_MS);
    }
}

/* Who joins is given slots by the leader, away from members that serve them: so first the document, without which nothing can
 * be served. Not for ever: where nobody has one, the slots are shared out all the same. */
static void join_look(struct loop_timer *timer)
{
    struct app *app = CONTAINER_OF(timer, struct app, join);
    if (daemon_is_draining(app->daemon)) {
        return;
    }
    if (dc_store_has_document(app->store) || loop_now(app->loop) >= app->join_until) {
        sharding_start(app->sharding);
    } else {
        loop_timer_start(timer, JOIN_LOOK_MS);
    }
}

static void on_sharding(enum sharding_event event, const char *detail, void *arg)
{
    struct app *app = arg;
    struct xp_err err;
    if (event == SHARDING_SERVERS_CHANGED) {
        update_members(app);
    } else if (event == SHARDING_READY) {
        app_trees_session(app);
        app_switch_session(app);
    } else if (event == SHARDING_REGISTERED) {
        /* What was pushed before the others knew us went past us: read the document again, now and when they surely do. */
        dc_fetch_now(app->fetch);
        loop_timer_start(&app->catch_up, CATCH_UP_MS);
    } else if (event == SHARDING_DRAINED) {
        app->drain_until = loop_now(app->loop) + DRAIN_HTTP_MS;
        loop_timer_start(&app->drain, 0);
    } else if (event == SHARDING_FAILED) {
        (void)xp_fail(&err, XP_CONFLICT, "%s", detail);
        daemon_fail(app->daemon, &err);
    }
}

static void on_cluster(const struct cluster_meta *before, struct cluster_meta *after, void *arg)
{
    struct app *app = arg;
    app_trees_cluster(app, before, after);
    shard_set_cluster(app->shards, before, after);
    if (after) {
        shard_switch_cluster(app->switches, after);
    }
}

static void on_routes(void *arg)
{
    struct app *app = arg;
    log_info("routes.changed", "dc", app->dc);
    shard_set_routes(app->shards);
}

/* ---- settings ---- */

static void apply_settings(struct app *app)
{
    const struct meta_config *c = &app->config;
    struct duty_env *env = &app->env;
    struct peer_env *peers = &app->peer_env;
    env->poll_ms = c->poll_ms;
    env->poll_fast_ms = c->poll_fast_ms;
    env->redis_timeout_ms = c->redis_timeout_ms;
    env->redis_user = c->redis_user;
    env->redis_password = c->redis_password;
    env->meta_fresh_ms = 2 * c->meta_refresh_ms;
    env->correct_periodically = c->correct_periodically;
    peers->remove_peers = c->remove_peers;
    peers->removal_verdicts = (int)c->removal_verdicts;
    peers->removal_gap_ms = c->removal_gap_ms;
    env->backoff_first_ms = c->backoff_first_ms;
    env->backoff_max_ms = c->backoff_max_ms;
    peers->link_alert_ms = c->link_alert_ms;
    budget_set_rate(&env->correct, c->correct_rate, c->correct_burst);
    budget_set_rate(&env->cut, c->cut_rate, c->cut_burst);
}

static struct brake_limits limits_of(const struct meta_config *c)
{
    return (struct brake_limits){ .removals = (int)c->removal_limit,
                                  .downgrades = (int)c->downgrade_limit };
}

static void reloaded(void *arg)
{
    struct app *app = arg;
    struct brake_limits limits = limits_of(&app->config);
    apply_settings(app);
    dc_fetch_set_limits(app->fetch, &limits, meta_config_refresh_ms(&app->config));
    app_links_settings(app);
    app_trees_settings(app);
    app_switch_settings(app);
    sharding_set_hosts(app->sharding, app->config.zk_address);
    __atomic_store_n(&app->validate_domain, app->config.validate_domain, __ATOMIC_RELAXED);
}

/* Host of this DC's metaServerAddress, for the domain check; "" when dcinfos does not name this DC. */
static char *own_domain(const struct meta_config *c)
{
    json_t *infos = NULL;
    struct xp_err err;
    char *domain = xstrdup("");
    if (jd_parse(c->dcinfos, strlen(c->dcinfos), &infos, &err) != 0) {
        return domain;
    }
    const char *dc;
    json_t *info;
    json_object_foreach (infos, dc, info) {
        const char *address = json_string_value(json_object_get(info, "metaServerAddress"));
        if (text_eq_nocase(dc, c->dc) && address) {
            const char *host = strstr(address, "://") ? strstr(address, "://") + 3 : address;
            free(domain);
            domain = xstrndup(host, strcspn(host, ":/"));
        }
    }
    json_decref(infos);
    return domain;
}

/* ---- start ---- */

static void make_duties(struct app *app)
{
    mono_ms now = loop_now(app->loop);
    struct dc_listener listener = { .on_cluster = on_cluster, .on_routes = on_routes, .arg = app };
    app->store = dc_store_new(app->dc, app->config.switch_hold_ms, &listener);
    app->board = master_board_new();
    app->members = member_list_new();
    app_links_make(app);
    app->env = (struct duty_env){
        .loop = app->loop,
        .store = app->store,
        .client_name = app->client_name,
        .may_command = may_command,
        .stance = app_switch_stance,
        .arg = app,
    };
    app->peer_env = (struct peer_env){
        .duty = &app->env,
        .board = app->board,
        .links = app->links,
        .scratch_plan = xcalloc(1, sizeof(struct peer_plan)),
        .scratch_info = xcalloc(1, sizeof(struct crdt_info)),
    };
    budget_init(&app->env.correct, app->config.correct_rate, app->config.correct_burst, now);
    budget_init(&app->env.cut, app->config.cut_rate, app->config.cut_burst, now);
    apply_settings(app);
    const struct duty_maker makers[] = {
        { CLUSTER_BI_DIRECTION, shard_duty_new, &app->peer_env },
        { CLUSTER_ONE_WAY, tree_duty_new, &app->trees },
    };
    shard_duty_register_metrics();
    app_trees_make(app);
    app_switch_make(app);
    app->trees.on_stray = app_switch_stray;
    app->trees.may_discard = app_switch_may_discard;
    app->trees.on_lost = app_switch_lost;
    app->trees.redis_retry_ms = app->config.switch_fast_ms;
    app->shards = shard_set_new(app->store, makers, ARRAY_LEN(makers));
    app_switch_watch(app);
}

static char *without_slashes(const char *address)
{
    char *url = xstrdup(address);
    for (size_t n = strlen(url); n > 0 && url[n - 1] == '/'; n--) {
        url[n - 1] = '\0';
    }
    return url;
}

static void make_fetch(struct app *app)
{
    const struct meta_config *c = &app->config;
    AUTO_FREE char *cache = c->data_dir[0] ? xasprintf("%s/dc-%s-meta-%lld.json", c->data_dir,
                                                       app->dc, (long long)c->metaserver_id)
                                           : xstrdup("");
    struct dc_fetch_options options = {
        .loop = app->loop,
        .pool = app->pool,
        .store = app->store,
        .console_url = app->console_url,
        .cluster_types = c->cluster_types,
        .cache_file = cache,
        .on_answer = app_switch_console_answered,
        .arg = app,
        .refresh_ms = meta_config_refresh_ms(c),
        .sync_delay_ms = c->meta_sync_delay_ms,
        .connect_timeout_ms = c->dc_connect_timeout_ms,
        .timeout_ms = c->dc_timeout_ms,
        .limits = limits_of(c),
    };
    app->fetch = dc_fetch_new(&options);
    dc_fetch_start(app->fetch);
}

static void make_sharding(struct app *app)
{
    const struct meta_config *c = &app->config;
    struct sharding_options options = {
        .loop = app->loop,
        .zk_hosts = c->zk_address,
        .zk_namespace = c->zk_namespace,
        .dc = app->dc,
        .ip = app->ip,
        .port = (int)c->server_port,
        .server_id = c->metaserver_id,
        .session_timeout_ms = c->zk_session_timeout_ms,
        .http = app->slot_calls,
        .slot_refresh_ms = c->slot_refresh_ms,
        .servers_check_ms = c->servers_check_ms,
        .leader_check_ms = c->leader_check_ms,
        .self_check_ms = SELF_CHECK_MS,
        .gone_grace_ms = c->dead_server_grace_ms,
        .unknown_grace_ms = c->unknown_server_grace_ms,
        .on_slot = on_slot,
        .is_quiet = slot_is_quiet,
        .on_event = on_sharding,
        .arg = app,
    };
    app->sharding = sharding_new(&options);
    shard_set_on_quiet(app->shards, app_on_quiet, app);
    app->join_until = loop_now(app->loop) + c->join_wait_ms;
    loop_timer_start(&app->join, 0);
}

static int start_http(struct app *app, struct xp_err *err)
{
    const struct meta_config *c = &app->config;
    struct http_options options = {
        .loop = app->loop,
        .pool = app->pool,
        .bind_ip = c->bind_ip,
        .port = (int)c->server_port,
        .max_connections = (int)c->http_max_connections,
        .handler_timeout_ms = c->http_handler_timeout_ms,
        .idle_timeout_ms = c->common.http_idle_timeout_ms,
        .body_timeout_ms = c->common.http_body_timeout_ms,
        .bodies_max_bytes = c->common.http_bodies_max_bytes,
        .tables = meta_route_tables,
        .on_error = meta_on_error,
        .on_request = meta_on_request,
        .arg = app,
    };
    return http_server_start(&options, &app->http, err);
}

static int start(struct daemon *daemon, void *arg, struct xp_err *err)
{
    struct app *app = arg;
    app->daemon = daemon;
    app->loop = daemon_loop(daemon);
    loop_timer_init(&app->catch_up, app->loop, catch_up);
    loop_timer_init(&app->join, app->loop, join_look);
    loop_timer_init(&app->drain, app->loop, drain_look);
    int rc = meta_config_resolve(&app->config, &app->dc, &app->ip, err);
    if (rc != 0) {
        return rc;
    }
    app->domain = own_domain(&app->config);
    app->console_url = without_slashes(app->config.console_address);
    app->client_name =
        xasprintf("xpipe-meta-%s-%lld", app->dc, (long long)app->config.metaserver_id);
    app->validate_domain = app->config.validate_domain;
    app->calls = http_client_new(app->loop, (int)app->config.http_call_threads, APP_QUEUE_MAX);
    app->copies = http_client_new(app->loop, APP_COPY_THREADS, APP_QUEUE_MAX);
    app->slot_calls = http_client_new(app->loop, APP_SLOT_THREADS, APP_QUEUE_MAX);
    app->pool = worker_pool_new(app->loop, "worker", (int)app->config.http_workers, APP_QUEUE_MAX,
                                NULL, NULL, NULL);
    app->peer_pool =
        worker_pool_new(app->loop, "peers", APP_PEER_THREADS, APP_QUEUE_MAX, NULL, NULL, NULL);
    make_duties(app);
    rc = start_http(app, err);
    if (rc != 0) {
        return rc;
    }
    make_fetch(app);
    make_sharding(app);
    log_info("meta.started", "id", log_int(app->config.metaserver_id), "dc", app->dc, "address",
             log_fmt("%s:%lld", app->ip, (long long)app->config.server_port));
    return 0;
}

/* ---- ready, drain, stop ---- */

static bool is_ready(void *arg, json_t *reasons)
{
    struct app *app = arg;
    struct xp_err err;
    if (sharding_check_ready(app->sharding, loop_now(app->loop), &err) != 0) {
        (void)json_array_append_new(reasons, json_string(err.msg));
    }
    if (!dc_store_has_document(app->store)) {
        const char *why = dc_fetch_last_error(app->fetch);
        (void)json_array_append_new(
            reasons, jd_text(why[0] ? why : "DC document: not fetched from the console yet"));
    }
    return json_array_size(reasons) == 0;
}

static void drain(void *arg)
{
    struct app *app = arg;
    sharding_drain(app->sharding, app->config.common.drain_limit_ms);
}

static void stop(void *arg)
{
    struct app *app = arg;
    if (app->http) {
        http_server_stop(app->http);
    }
    if (app->peer_pool) {
        worker_pool_free(app->peer_pool);
    }
    if (app->pool) {
        worker_pool_free(app->pool);
    }
    if (app->loop) {
        loop_timer_stop(&app->catch_up);
        loop_timer_stop(&app->join);
        loop_timer_stop(&app->drain);
    }
    shard_set_free(app->shards);
    app_switch_free(app);
    app_trees_free(app);
    app_links_free(app);
    dc_fetch_free(app->fetch);
    sharding_free(app->sharding);
    http_client_free(app->slot_calls);
    http_client_free(app->copies);
    http_client_free(app->calls);
    dc_store_free(app->store);
    master_board_free(app->board);
    member_list_free(app->members);
    free(app->peer_env.scratch_plan);
    free(app->peer_env.scratch_info);
    free(app->domain);
    free(app->console_url);
    free(app->dc);
    free(app->ip);
    free(app->client_name);
}

/* Every Redis of the DC may be ours: one connection each, plus requests and files. The number is not known before the
 * document is, so the bound of the design is asked for. */
static int64_t files_needed(const void *config)
{
    const struct meta_config *c = config;
    return c->http_max_connections + 4096;
}

const struct daemon_ops meta_daemon_ops = {
    .name = "xpipe-meta",
    .summary = "the metaserver of one DC: keeps its Redis clusters as the console wants them",
    .rows = meta_config_rows,
    .routes = meta_route_tables,
    .check = meta_config_check,
    .files_needed = files_needed,
    .start = start,
    .is_ready = is_ready,
    .reloaded = reloaded,
    .drain = drain,
    .stop = stop,
};
