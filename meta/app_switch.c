/* app_switch.c - see app_switch.h. */
#include "meta/app_switch.h"

#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/model/json_decode.h"

#include "shared/base/banned.h"

#define ASK_TIMEOUT_MS      1000
#define ASK_REPLY_MAX_BYTES 1024

static struct report_metrics report_metrics =
    REPORT_METRICS_INIT("xpipe_meta_divergence_reports", "divergences");

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

int app_switch_may_discard(const struct duty *duty, const struct tree_discard *discard, void *arg,
                           struct xp_err *err)
{
    const struct app *app = arg;
    const struct shard_meta *shard = duty_shard(duty);
    return shard ? shard_switch_may_discard(app->switches, duty->cluster->db_id, shard->db_id,
                                            discard, err)
                 : xp_fail(err, XP_NOT_FOUND, "the shard is not in the metadata any more");
}

void app_switch_lost(const struct duty *duty, void *arg)
{
    const struct app *app = arg;
    const struct shard_meta *shard = duty_shard(duty);
    if (shard) {
        shard_switch_redis_lost(app->switches, duty->cluster->db_id, shard->db_id);
    }
}

static void refresh(void *arg)
{
    const struct app *app = arg;
    dc_fetch_now(app->fetch);
}

/* ---- did the other members of this DC hear the console? ---- */

static void on_heard_told(int rc, const struct http_reply *reply, const struct xp_err *err,
                          void *arg, uint64_t token)
{
    const struct app *app = arg;
    mono_ms asked_at = (mono_ms)token;
    struct xp_err ignored;
    json_t *json = NULL;
    (void)err;
    if (rc != 0 || reply->status != 200 ||
        jd_parse(reply->body, reply->length, &json, &ignored) != 0) {
        return; /* silent, or a Java one: it says nothing */
    }
    const json_t *ago = json_object_get(json, "heardMsAgo");
    int64_t ago_ms = json_is_integer(ago) ? json_integer_value(ago) : -1;
    if (app->switches && ago_ms >= 0 && ago_ms < asked_at) {
        shard_switches_heard(app->switches, asked_at - ago_ms);
    }
    json_decref(json);
}

static void ask_others(void *arg)
{
    struct app *app = arg;
    struct addr members[MEMBERS_MAX];
    size_t count = member_list_get(app->members, members);
    for (size_t i = 0; i < count; i++) {
        AUTO_FREE char *url = xasprintf("http://%s" APP_HEARD_PATH, ADDR_TEXT(&members[i]));
        struct http_call call = {
            .method = "GET",
            .url = url,
            .headers = { "Accept: application/json" },
            .connect_timeout_ms = ASK_TIMEOUT_MS,
            .timeout_ms = ASK_TIMEOUT_MS,
            .max_reply_bytes = ASK_REPLY_MAX_BYTES,
        };
        struct xp_err err;
        uint64_t now = (uint64_t)loop_now(app->loop);
        if (http_send(app->copies, &call, on_heard_told, app, now, &err) != 0) {
            log_warn("isolation.member_not_asked", "member", ADDR_TEXT(&members[i]), "error",
                     err.msg);
        }
    }
}

void app_switch_settings(struct app *app)
{
    shard_switches_set_isolation(app->switches, app->config.isolation_fence_s * 1000);
}

void app_switch_console_answered(mono_ms asked_at, void *arg)
{
    const struct app *app = arg;
    shard_switches_heard(app->switches, asked_at);
}

void app_switch_make(struct app *app)
{
    const struct meta_config *c = &app->config;
    AUTO_FREE char *address =
        xasprintf("{\"ip\":\"%s\",\"port\":%lld}", app->ip, (long long)c->server_port);
    app->divergence_reports = console_report_new(
        &(struct console_report_options){ .loop = app->loop,
                                          .console_url = app->console_url,
                                          .subject = "divergences",
                                          .metrics = &report_metrics,
                                          .queue_max = (int)c->report_queue_max,
                                          .connect_timeout_ms = c->dc_connect_timeout_ms,
                                          .timeout_ms = c->dc_timeout_ms });
    app->late_rewrites = late_rewrites_new(app->loop);
    app->switch_records = switch_records_new(app->loop, c->zk_namespace);
    struct shard_switches_options options = {
        .loop = app->loop,
        .duty = &app->env,
        .store = app->store,
        .records = app->switch_records,
        .late = app->late_rewrites,
        .reports = app->divergence_reports,
        .tree_of = tree_of,
        .on_quiet = app_on_quiet,
        .refresh = refresh,
        .ask_others = ask_others,
        .arg = app,
        .address = address,
        .connect_timeout_ms = c->switch_connect_ms,
        .fence_ms = c->switch_fence_ms,
        .follow_ms = c->switch_follow_ms,
        .drain_ms = c->drain_ms,
        .promote_ms = c->switch_promote_ms,
        .warm_ms = c->switch_warm_ms,
        .hold_ms = c->switch_hold_ms,
        .diverge_ms = c->switch_diverge_ms,
        .again_ms = c->switch_again_ms,
        .reassert_ms = c->switch_reassert_ms,
        .fast_ms = c->switch_fast_ms,
        .isolation_ms = c->isolation_fence_s * 1000,
    };
    app->switches = shard_switches_new(&options);
    struct remote_fences_options remote = {
        .loop = app->loop,
        .duty = &app->env,
        .store = app->store,
        .address = address,
        .connect_timeout_ms = c->switch_connect_ms,
        .fence_ms = c->switch_fence_ms,
        .late = app->late_rewrites,
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
    console_report_free(TAKE(app->divergence_reports)); /* tells the switches of its end */
    shard_switches_free(TAKE(app->switches));
    late_rewrites_free(TAKE(app->late_rewrites));
    if (app->switch_records) {
        switch_records_free(TAKE(app->switch_records));
    }
}
