/* switch_settle.c - what a fence overwrote is put back on a Redis that follows again: min-slaves-to-write and its lag. A later promotion would
 * else leave it refusing every write. Only a replica that really follows somebody, and only the value that the fence sets: whatever
 * else stands there was set by people. The fence is over when everybody whom it may concern was seen to be so.
 * slave-read-only stays 'yes' where the fence had to set it: a replica is no place to write to. */
#include <stdio.h>
#include <string.h>

#include "meta/primary/switch_internal.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

#define PAUSE_MAX_MS 10000
#define NUMBER_MAX   24

struct switch_settle {
    struct switch_shard *shard;
    struct redis_party *party;
    struct addr redis[SWITCH_REDIS_MAX];
    size_t count;
    bool is_clean[SWITCH_REDIS_MAX]; /* a replica of somebody, without the fence's value */
    bool is_asked[SWITCH_REDIS_MAX]; /* to take its value back */
    bool is_commanding;
    uint64_t tenure; /* of the shard, when it began */
};

static void free_settle(struct switch_settle *settle)
{
    redis_party_free(settle->party);
    free(settle);
}

void switch_settle_stop(struct switch_shard *s)
{
    if (s->settle) {
        free_settle(TAKE(s->settle));
    }
}

bool switch_settle_is_commanding(const struct switch_shard *s)
{
    return s->settle && s->settle->is_commanding;
}

/* ---- the end ---- */

/* Whom did the fence concern? The master that it held; all, when that was never known or is not in the metadata. */
static bool is_over(const struct switch_settle *settle)
{
    const struct addr *master = &settle->shard->record.master;
    bool is_all_clean = true;
    for (size_t i = 0; i < settle->count; i++) {
        if (addr_eq(&settle->redis[i], master)) {
            return settle->is_clean[i];
        }
        is_all_clean &= settle->is_clean[i];
    }
    return is_all_clean;
}

static void end(struct switch_shard *s, bool is_done)
{
    bool is_ours = s->is_owned && s->settle->tenure == s->tenure;
    switch_settle_stop(s);
    if (!is_ours) {
        if (s->is_owned) { /* again: it says nothing of the shard as it is now */
            switch_job_recorded(s);
        } else {
            switch_settled(s);
        }
        return;
    }
    if (is_done && s->record.fence == FENCE_NONE) {
        s->settle_looks = 0;
        s->settle_pause_ms = 0;
    } else if (is_done) {
        s->settle_looks = 0;
        log_info("switch.fence_over", "cluster", log_int(s->cluster_id), "shard",
                 log_int(s->shard_id), "why", "its Redis follows, with its own settings again");
        s->record.fence = FENCE_NONE;
        s->record.saved = (struct fence_saved){ 0 };
        s->stray = (struct addr){ 0 };
        s->asserted_at = MONO_NEVER;
        s->settle_pause_ms = 0;
        switch_write(s);
    } else {
        int64_t next_ms = s->settle_pause_ms * 2;
        int64_t first_ms = s->all->opt.reassert_ms;
        s->settle_pause_ms = next_ms < first_ms ? first_ms : next_ms;
        s->settle_pause_ms = s->settle_pause_ms < PAUSE_MAX_MS ? s->settle_pause_ms : PAUSE_MAX_MS;
        switch_keep(s, s->settle_pause_ms);
    }
    switch_job_recorded(s);
}

/* ---- the values back ---- */

static bool is_ok(const struct party_answer *a)
{
    return a->reply && !rreply_is_error(a->reply);
}

static void on_restored(const struct party_answer *answers, size_t count, void *arg)
{
    struct switch_settle *settle = arg;
    bool was_refused[SWITCH_REDIS_MAX] = { false };
    for (size_t i = 0; i < count; i++) {
        bool is_rewrite = i % 3 == 2; /* a Redis without a config file has nothing to rewrite */
        was_refused[answers[i].member] |= !is_rewrite && !is_ok(&answers[i]);
    }
    for (size_t i = 0; i < settle->count; i++) {
        if (settle->is_asked[i] && !was_refused[i]) {
            settle->is_clean[i] = true;
            metric_add(&switch_settles, 1);
            log_info("switch.settings_back", "redis", ADDR_TEXT(&settle->redis[i]),
                     "min_slaves_to_write", log_int(settle->shard->record.saved.min_slaves));
        }
    }
    end(settle->shard, is_over(settle));
}

static void restore(struct switch_settle *settle)
{
    struct switch_shard *s = settle->shard;
    struct fence_saved saved = switch_saved(&s->record.saved);
    char min_slaves[NUMBER_MAX];
    char max_lag[NUMBER_MAX];
    struct party_order orders[3 * SWITCH_REDIS_MAX];
    size_t count = 0;
    (void)snprintf(min_slaves, sizeof(min_slaves), "%lld", (long long)saved.min_slaves);
    (void)snprintf(max_lag, sizeof(max_lag), "%lld", (long long)saved.max_lag_s);
    for (size_t i = 0; i < settle->count; i++) {
        if (settle->is_asked[i]) {
            orders[count] = (struct party_order){
                .member = i, .words = { "CONFIG", "SET", "min-slaves-max-lag", max_lag }, .count = 4
            };
            orders[count + 1] =
                (struct party_order){ .member = i,
                                      .words = { "CONFIG", "SET", "min-slaves-to-write",
                                                 min_slaves },
                                      .count = 4 };
            orders[count + 2] =
                (struct party_order){ .member = i, .words = { "CONFIG", "REWRITE" }, .count = 2 };
            count += 3;
        }
    }
    struct xp_err err;
    bool is_step_waiting = s->job && s->job->waits_for_record && s->job->step != SWITCH_CHECK;
    if (count == 0 || is_step_waiting || switch_may_command(s, &err) != 0) {
        end(s, count == 0 && is_over(settle));
        return;
    }
    settle->is_commanding = true;
    redis_party_round(settle->party, orders, count,
                      loop_now(s->all->opt.loop) + s->all->opt.fence_ms, on_restored, settle);
}

/* ---- what is there ---- */

static int64_t value_of(const struct rreply *reply)
{
    size_t length;
    int64_t value;
    const char *text = rreply_text(rreply_at(reply, 1), &length);
    return text_to_i64(text, length, INT64_MIN, INT64_MAX, &value) ? value : -1;
}

static void on_looked(const struct party_answer *answers, size_t count, void *arg)
{
    struct switch_settle *settle = arg;
    for (size_t i = 0; i + 1 < count; i += 2) {
        struct redis_role role;
        size_t at = answers[i].member;
        redis_role_read(answers[i].reply, &role);
        int64_t value = value_of(answers[i + 1].reply);
        bool follows = role.kind == ROLE_KIND_REPLICA && !addr_is_none(&role.master);
        settle->is_asked[at] = follows && value == FENCE_MIN_SLAVES;
        settle->is_clean[at] = follows && value >= 0 && value != FENCE_MIN_SLAVES;
    }
    restore(settle);
}

void switch_settle_start(struct switch_shard *s)
{
    const struct duty_env *duty = s->all->opt.duty;
    struct party_order orders[2 * SWITCH_REDIS_MAX];
    struct cluster_meta *cluster;
    const struct shard_meta *shard;
    if (!switch_meta(s, &cluster, &shard)) {
        return;
    }
    struct switch_settle *settle = xcalloc(1, sizeof(*settle));
    settle->shard = s;
    settle->tenure = s->tenure;
    settle->count = switch_redises(shard, settle->redis);
    struct redis_party_options options = {
        .loop = s->all->opt.loop,
        .addrs = settle->redis,
        .count = settle->count,
        .user = duty->redis_user,
        .password = duty->redis_password,
        .client_name = duty->client_name,
        .connect_timeout_ms = s->all->opt.connect_timeout_ms,
    };
    settle->party = redis_party_new(&options);
    s->settle = settle;
    for (size_t i = 0; i < settle->count; i++) {
        orders[2 * i] = (struct party_order){ .member = i, .words = { "ROLE" }, .count = 1 };
        orders[2 * i + 1] = (struct party_order){
            .member = i, .words = { "CONFIG", "GET", "min-slaves-to-write" }, .count = 3
        };
    }
    redis_party_round(settle->party, orders, 2 * settle->count,
                      loop_now(s->all->opt.loop) + s->all->opt.fence_ms, on_looked, settle);
}
