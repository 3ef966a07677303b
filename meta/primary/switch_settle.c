/* switch_settle.c - what a fence overwrote is put back on a Redis that follows again: min-slaves-to-write, its lag and slave-read-only. A later
 * promotion would else leave it refusing every write. Only a replica that really follows somebody, only the value that the fence sets, and each
 * gets its own of before (the record: 'saved' of the master, 'kept' of the others): whatever else stands there was set by people. The fence is
 * over when everybody whom it may concern was seen to be so. Nothing of a cluster under migration, until it is told to follow (keep_decide.h). */

#include "meta/primary/switch_internal.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/switch/redis_answer.h"
#include "shared/switch/settle_commands.h"

#include "shared/base/banned.h"

#define PAUSE_MAX_MS 10000

struct switch_settle {
    struct switch_shard *shard;
    struct redis_party *party;
    struct addr redis[SWITCH_REDIS_MAX];
    size_t count;
    bool is_clean[SWITCH_REDIS_MAX];     /* a replica of somebody, with its own settings */
    bool is_held[SWITCH_REDIS_MAX];      /* min-slaves-to-write is the fence's */
    bool is_read_only[SWITCH_REDIS_MAX]; /* slave-read-only is yes */
    bool is_asked[SWITCH_REDIS_MAX];     /* to take its values back */
    struct settle_words words[SWITCH_REDIS_MAX];
    struct party_order orders[SETTLE_ORDERS_MAX * SWITCH_REDIS_MAX];
    bool is_rewrite[SETTLE_ORDERS_MAX * SWITCH_REDIS_MAX];
    size_t order_count;
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

/* Its own; of one that nothing was written down of: what Redis has by itself. */
static struct fence_saved saved_of(const struct switch_settle *settle, size_t redis)
{
    static const struct fence_saved unknown;
    const struct switch_record *r = &settle->shard->record;
    const struct addr *addr = &settle->redis[redis];
    const struct switch_kept *kept = switch_kept_find(&r->kept, addr);
    bool is_master = addr_eq(addr, &r->master);
    return switch_saved(kept ? &kept->saved : is_master ? &r->saved : &unknown);
}

/* ---- the end ---- */

/* Not in the metadata any more: nobody of ours. */
static bool is_clean(const struct switch_settle *settle, const struct addr *redis)
{
    for (size_t i = 0; i < settle->count; i++) {
        if (addr_eq(&settle->redis[i], redis)) {
            return settle->is_clean[i];
        }
    }
    return true;
}

/* Whom did the fence concern? The master that it held; all, when that was never known or is not in the metadata. */
static bool is_fence_over(const struct switch_settle *settle)
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

/* True: the record says something else now. */
static bool note_clean(const struct switch_settle *settle)
{
    struct switch_shard *s = settle->shard;
    struct switch_record *r = &s->record;
    size_t kept = r->kept.count;
    bool is_fence = switch_is_fenced(s) || r->saved.is_known;
    bool is_over = is_fence && is_fence_over(settle);
    for (size_t i = kept; i-- > 0;) {
        struct addr redis = r->kept.items[i].redis;
        if (is_clean(settle, &redis)) {
            switch_stray_follows(s, &redis);
            switch_kept_remove(&r->kept, &redis);
        }
    }
    if (is_over) {
        log_info("switch.fence_over", "cluster", log_int(s->cluster_id), "shard",
                 log_int(s->shard_id), "why", "its Redis follows, with its own settings again");
        r->fence = FENCE_NONE;
        r->is_isolation = false;
        r->saved = (struct fence_saved){ 0 };
    }
    return is_over || r->kept.count != kept;
}

static int64_t next_pause_ms(const struct switch_shard *s)
{
    int64_t next_ms = s->settle_pause_ms * 2;
    int64_t first_ms = s->all->opt.reassert_ms;
    next_ms = next_ms < first_ms ? first_ms : next_ms;
    return next_ms < PAUSE_MAX_MS ? next_ms : PAUSE_MAX_MS;
}

/* Again later: for who does not follow yet; and, while others may have fenced here, for who did not answer. */
static void go_on(struct switch_shard *s, bool is_news, bool is_all_clean)
{
    const struct switch_record *r = &s->record;
    bool is_left = switch_is_fenced(s) || r->saved.is_known || r->kept.count > 0;
    s->settle_pause_ms = is_left || !is_all_clean ? next_pause_ms(s) : 0;
    s->settle_looks = is_all_clean ? 0 : s->settle_looks;
    if (is_news) {
        switch_write(s);
    }
    if (is_left || !is_all_clean) {
        switch_keep(s, s->settle_pause_ms);
    }
}

static void end(struct switch_shard *s)
{
    const struct switch_settle *settle = s->settle;
    bool is_ours = s->is_owned && settle->tenure == s->tenure;
    bool is_news = is_ours && note_clean(settle);
    bool is_all_clean = is_ours && is_fence_over(settle);
    switch_settle_stop(s);
    if (is_ours) {
        go_on(s, is_news, is_all_clean);
    }
    if (s->is_owned) {
        switch_job_recorded(s);
    } else {
        switch_settled(s);
    }
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
        /* a Redis without a config file has nothing to rewrite */
        was_refused[answers[i].member] |= !settle->is_rewrite[i] && !is_ok(&answers[i]);
    }
    for (size_t i = 0; i < settle->count; i++) {
        if (settle->is_asked[i] && !was_refused[i]) {
            settle->is_clean[i] = true;
            metric_add(&switch_settles, 1);
            log_info("switch.settings_back", "redis", ADDR_TEXT(&settle->redis[i]),
                     "min_slaves_to_write", log_int(saved_of(settle, i).min_slaves));
        }
    }
    end(settle->shard);
}

static struct settle_need need_of(const struct switch_settle *settle, size_t redis)
{
    return (struct settle_need){ .is_held = settle->is_held[redis],
                                 .is_read_only = settle->is_read_only[redis],
                                 .saved = saved_of(settle, redis) };
}

static void add_orders(struct switch_settle *settle, size_t redis)
{
    struct settle_need need = need_of(settle, redis);
    settle->order_count +=
        settle_commands(&need, &settle->words[redis], redis, &settle->orders[settle->order_count]);
    settle->is_rewrite[settle->order_count - 1] = true;
}

static bool may_command(struct switch_shard *s)
{
    struct keep_facts facts;
    struct xp_err err;
    bool is_step_waiting = s->job && s->job->waits_for_record && s->job->step != SWITCH_CHECK;
    switch_keep_facts(s, &facts);
    return !is_step_waiting && keep_may_settle(&facts) && switch_may_command(s, &err) == 0;
}

static void restore(struct switch_settle *settle)
{
    struct switch_shard *s = settle->shard;
    for (size_t i = 0; i < settle->count; i++) {
        if (settle->is_asked[i]) {
            add_orders(settle, i);
        }
    }
    if (settle->order_count == 0 || !may_command(s)) {
        end(s);
        return;
    }
    settle->is_commanding = true;
    redis_party_round(settle->party, settle->orders, settle->order_count,
                      loop_now(s->all->opt.loop) + s->all->opt.fence_ms, on_restored, settle);
}

/* ---- what is there ---- */

static void on_looked(const struct party_answer *answers, size_t count, void *arg)
{
    struct switch_settle *settle = arg;
    for (size_t i = 0; i + SETTLE_LOOKS <= count; i += SETTLE_LOOKS) {
        struct redis_role role;
        struct redis_settings min_slaves;
        struct redis_settings read_only;
        size_t at = answers[i].member;
        redis_role_read(answers[i].reply, &role);
        redis_answer_settings(answers[i + 1].reply, &min_slaves);
        redis_answer_settings(answers[i + 2].reply, &read_only);
        bool is_seen = min_slaves.min_slaves >= 0;
        bool follows = role.kind == ROLE_KIND_REPLICA && !addr_is_none(&role.master);
        settle->is_held[at] = min_slaves.min_slaves == FENCE_MIN_SLAVES;
        settle->is_read_only[at] = read_only.has_read_only && read_only.is_read_only;
        struct settle_need need = need_of(settle, at);
        bool is_changed = settle_is_needed(&need);
        settle->is_asked[at] = follows && is_seen && is_changed;
        settle->is_clean[at] = follows && is_seen && !is_changed;
    }
    restore(settle);
}

void switch_settle_start(struct switch_shard *s)
{
    const struct duty_env *duty = s->all->opt.duty;
    struct party_order orders[SETTLE_LOOKS * SWITCH_REDIS_MAX];
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
        settle_looks(i, &orders[SETTLE_LOOKS * i]);
    }
    redis_party_round(settle->party, orders, SETTLE_LOOKS * settle->count,
                      loop_now(s->all->opt.loop) + s->all->opt.fence_ms, on_looked, settle);
}
