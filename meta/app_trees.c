/* app_trees.c - see app_trees.h. */
#include "meta/app_trees.h"

#include <string.h>

#include "meta/keepers/tree_duty.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

#define KEEPER_GATHER_MS    50
#define KEEPER_READS_MAX    500
#define SENTINEL_TIMEOUT_MS 500
/* Setstates that only make a route known: after a take-over there is one for each shard of a backup DC. */
#define REFRESH_RATE_DIVISOR 10

/* ---- containers ---- */

/* Calls outlive the duty that asked for them (a shard that is gone has none), so they are asked by the id of the cluster. */
static int may_call(int64_t cluster_id, void *arg, struct xp_err *err)
{
    return app_may_command(arg, cluster_id, err);
}

struct keeper_search {
    int64_t shard_id;
    const struct addr *addr;
    bool is_found;
};

static void look_for_keeper(struct cluster_meta *cluster, void *arg)
{
    struct keeper_search *search = arg;
    for (size_t i = 0; i < cluster->shards.count; i++) {
        const struct shard_meta *shard = &cluster->shards.items[i];
        for (size_t k = 0; shard->db_id == search->shard_id && k < shard->keepers.count; k++) {
            search->is_found |= addr_eq(&shard->keepers.items[k].addr, search->addr);
        }
    }
}

static bool is_wanted(int64_t shard_id, const struct addr *keeper, void *arg)
{
    const struct app *app = arg;
    struct keeper_search search = { .shard_id = shard_id, .addr = keeper };
    dc_store_each(app->store, look_for_keeper, &search);
    return search.is_found;
}

static int check_orphan(const struct container_call *call, void *arg, struct xp_err *err)
{
    const struct app *app = arg;
    return keeper_inventory_check(app->inventory, call, err);
}

static bool is_settled(const struct cluster_meta *cluster, const char *shard, void *arg)
{
    const struct app *app = arg;
    const struct tree_duty *duty = tree_duty_of(shard_set_find(app->shards, cluster->name, shard));
    return duty && tree_duty_is_settled(duty);
}

/* A document without one-way clusters wants no keeper at all: they are somebody else's business. */
static enum orphan_mode orphan_mode_of(const struct meta_config *c)
{
    if (text_eq(c->orphans, "off") || !strstr(c->cluster_types, "ONE_WAY")) {
        return ORPHANS_OFF;
    }
    return text_eq(c->orphans, "report")  ? ORPHANS_REPORT
           : text_eq(c->orphans, "known") ? ORPHANS_KNOWN
                                          : ORPHANS_REMOVE;
}

static struct inventory_settings inventory_settings_of(const struct app *app)
{
    const struct meta_config *c = &app->config;
    return (struct inventory_settings){
        .mode = orphan_mode_of(c),
        .interval_ms = c->orphan_check_ms,
        .grace_ms = c->orphan_grace_ms,
        .rounds = (int)c->orphan_rounds,
        .limit = (int)c->orphan_limit,
        .fresh_ms = 2 * c->meta_refresh_ms,
    };
}

void app_trees_cluster(struct app *app, const struct cluster_meta *before,
                       const struct cluster_meta *after)
{
    keeper_memory_note(&app->keeper_memory, before, after, loop_now(app->loop));
}

/* ---- life ---- */

static void make_containers(struct app *app)
{
    const struct meta_config *c = &app->config;
    struct container_calls_options options = {
        .loop = app->loop,
        .threads = (int)c->container_threads,
        .connect_timeout_ms = c->container_connect_timeout_ms,
        .timeout_ms = c->container_timeout_ms,
        .removals = &app->env.cut,
        .may_call = may_call,
        .is_wanted = is_wanted,
        .check_orphan = check_orphan,
        .arg = app,
    };
    app->trees.containers = container_calls_new(&options);
    container_calls_on_quiet(app->trees.containers, app_on_quiet, app);
}

static void make_inventory(struct app *app)
{
    const struct meta_config *c = &app->config;
    struct keeper_inventory_options options = {
        .loop = app->loop,
        .store = app->store,
        .calls = app->trees.containers,
        .memory = &app->keeper_memory,
        .connect_timeout_ms = c->container_connect_timeout_ms,
        .timeout_ms = c->container_timeout_ms,
        .settings = inventory_settings_of(app),
        .may_call = may_call,
        .is_settled = is_settled,
        .arg = app,
    };
    app->inventory = keeper_inventory_new(&options);
}

static void make_watch(struct app *app)
{
    struct keeper_watch_options options = {
        .loop = app->loop,
        .zk_namespace = app->config.zk_namespace,
        .gather_ms = KEEPER_GATHER_MS,
        .refresh_ms = app->config.keeper_refresh_ms,
        .reads_max = KEEPER_READS_MAX,
    };
    app->trees.watch = keeper_watch_new(&options);
}

static void make_report(struct app *app)
{
    const struct meta_config *c = &app->config;
    struct keeper_report_options options = {
        .loop = app->loop,
        .console_url = app->console_url,
        .dc = app->dc,
        .queue_max = (int)c->report_queue_max,
        .connect_timeout_ms = c->dc_connect_timeout_ms,
        .timeout_ms = c->dc_timeout_ms,
    };
    app->trees.report = keeper_report_new(&options);
}

static void make_monitors(struct app *app)
{
    const struct meta_config *c = &app->config;
    struct sentinel_monitors_options options = {
        .loop = app->loop,
        .period_ms = c->sentinel_check_ms,
        .differs_ms = c->sentinel_differs_ms,
        .timeout_ms = SENTINEL_TIMEOUT_MS,
        .may_command = app->env.may_command,
        .arg = app->env.arg,
    };
    app->trees.monitors = sentinel_monitors_new(&options);
}

void app_trees_settings(struct app *app)
{
    const struct meta_config *c = &app->config;
    struct tree_env *env = &app->trees;
    env->failover = text_eq(c->failover, "auto") ? FAILOVER_AUTO : FAILOVER_REPORT;
    env->failover_lost_ms = c->failover_lost_ms;
    env->failover_patience_ms = c->failover_patience_ms;
    env->keeper_grace_ms = c->keeper_grace_ms;
    env->keeper_settle_ms = c->keeper_settle_ms;
    env->keeper_retry_first_ms = c->keeper_retry_first_ms;
    env->keeper_retry_max_ms = c->keeper_retry_max_ms;
    env->sync_patience_ms = c->sync_patience_ms;
    env->relay_silent_ms = c->relay_silent_ms;
    env->relay_link_ms = c->relay_link_ms;
    env->relay_lag_bytes = c->relay_lag_bytes;
    env->replica_priority = (int)c->replica_priority;
    int64_t rate = c->correct_rate / REFRESH_RATE_DIVISOR;
    budget_set_rate(&env->refresh, rate > 0 ? rate : 1, rate > 0 ? rate : 1);
    struct inventory_settings inventory = inventory_settings_of(app);
    keeper_inventory_set(app->inventory, &inventory);
}

void app_trees_make(struct app *app)
{
    app->upstreams_board = upstream_board_new();
    make_containers(app);
    keeper_memory_init(&app->keeper_memory);
    make_inventory(app);
    make_watch(app);
    make_report(app);
    make_monitors(app);
    app->trees.duty = &app->env;
    app->trees.upstreams = app->upstreams;
    app->trees.board = app->upstreams_board;
    app->trees.scratch_plan = xcalloc(1, sizeof(struct tree_plan));
    budget_init(&app->trees.refresh, 1, 1, loop_now(app->loop));
    tree_duty_register_metrics();
    app_trees_settings(app);
}

void app_trees_session(struct app *app)
{
    keeper_watch_set_zk(app->trees.watch, sharding_zk(app->sharding));
}

bool app_trees_are_quiet(const struct app *app, int slot)
{
    return container_calls_is_quiet(app->trees.containers, slot);
}

void app_trees_free(struct app *app)
{
    if (app->trees.watch) {
        keeper_watch_free(app->trees.watch);
    }
    if (app->trees.monitors) {
        sentinel_monitors_free(app->trees.monitors);
    }
    keeper_inventory_free(app->inventory);
    container_calls_free(app->trees.containers);
    keeper_memory_done(&app->keeper_memory);
    keeper_report_free(app->trees.report);
    upstream_board_free(app->upstreams_board);
    free(app->trees.scratch_plan);
}
