/* app_switch.c - see app_switch.h. */
#include "meta/app_switch.h"

#include "shared/base/mem.h"

#include "shared/base/banned.h"

static struct tree_duty *tree_of(const char *cluster, const char *shard, void *arg)
{
    const struct app *app = arg;
    return tree_duty_of(shard_set_find(app->shards, cluster, shard));
}

static void on_shard(const struct duty *duty, bool is_here, void *arg)
{
    struct app *app = arg;
    const struct shard_meta *shard = duty_shard(duty);
    if (is_here) {
        shard_switch_gained(app->switches, duty->cluster, duty->shard);
    } else if (shard) {
        shard_switch_lost(app->switches, duty->cluster->db_id, shard->db_id);
    }
}

enum duty_stance app_switch_stance(const struct duty *duty, void *arg)
{
    const struct app *app = arg;
    const struct shard_meta *shard = duty_shard(duty);
    return app->switches && shard
               ? shard_switch_stance(app->switches, duty->cluster->db_id, shard->db_id)
               : STANCE_NONE;
}

void app_switch_stray(const struct duty *duty, const struct addr *master, void *arg)
{
    const struct app *app = arg;
    const struct shard_meta *shard = duty_shard(duty);
    if (shard) {
        shard_switch_stray(app->switches, duty->cluster->db_id, shard->db_id, master);
    }
}

void app_switch_lost(const struct duty *duty, void *arg)
{
    const struct app *app = arg;
    const struct shard_meta *shard = duty_shard(duty);
    if (shard) {
        shard_switch_redis_lost(app->switches, duty->cluster->db_id, shard->db_id);
    }
}

void app_switch_make(struct app *app)
{
    const struct meta_config *c = &app->config;
    AUTO_FREE char *address =
        xasprintf("{\"ip\":\"%s\",\"port\":%lld}", app->ip, (long long)c->server_port);
    app->switch_records = switch_records_new(app->loop, c->zk_namespace);
    struct shard_switches_options options = {
        .loop = app->loop,
        .duty = &app->env,
        .store = app->store,
        .records = app->switch_records,
        .tree_of = tree_of,
        .on_quiet = app_on_quiet,
        .arg = app,
        .address = address,
        .connect_timeout_ms = c->switch_connect_ms,
        .fence_ms = c->switch_fence_ms,
        .follow_ms = c->switch_follow_ms,
        .drain_ms = c->drain_ms,
        .promote_ms = c->switch_promote_ms,
        .hold_ms = c->switch_hold_ms,
        .again_ms = c->switch_again_ms,
        .reassert_ms = c->switch_reassert_ms,
        .fast_ms = c->switch_fast_ms,
    };
    app->switches = shard_switches_new(&options);
    struct remote_fences_options remote = {
        .loop = app->loop,
        .duty = &app->env,
        .store = app->store,
        .address = address,
        .connect_timeout_ms = c->switch_connect_ms,
        .fence_ms = c->switch_fence_ms,
    };
    app->remote_fences = remote_fences_new(&remote);
}

void app_switch_watch(struct app *app)
{
    shard_set_on_shard(app->shards, on_shard, app);
}

void app_switch_session(struct app *app)
{
    switch_records_set_zk(app->switch_records, sharding_zk(app->sharding));
}

bool app_switch_is_quiet(const struct app *app, int slot)
{
    return shard_switches_are_quiet(app->switches, slot);
}

void app_switch_free(struct app *app)
{
    remote_fences_free(TAKE(app->remote_fences));
    shard_switches_free(TAKE(app->switches));
    if (app->switch_records) {
        switch_records_free(TAKE(app->switch_records));
    }
}
