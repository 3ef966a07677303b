/* switch_run.c - see switch_run_internal.h. */
#include "shared/base/mem.h"
#include "shared/base/thread.h"
#include "shared/switch/switch_run_internal.h"

#include "shared/base/banned.h"

#define ROUND_MIN_MS   50
#define RESERVE_MAX_MS 500 /* of the whole run, kept for what comes behind the drain */

/* ---- life ---- */

static void pause_is_over(struct loop_timer *t)
{
    struct switch_run *r = CONTAINER_OF(t, struct switch_run, timer);
    r->ops->act(r);
}

static void begin(struct loop_timer *t)
{
    struct switch_run *r = CONTAINER_OF(t, struct switch_run, timer);
    loop_timer_init(&r->timer, r->loop, pause_is_over);
    r->ops->decide(r);
}

static void limits_init(struct switch_run *r, int64_t deadline_ms, int64_t drain_ms)
{
    mono_ms now = loop_now(r->loop);
    int64_t limit_ms = deadline_ms > 0 ? deadline_ms : 0;
    int64_t reserve_ms = limit_ms / 4 < RESERVE_MAX_MS ? limit_ms / 4 : RESERVE_MAX_MS;
    r->deadline = now + limit_ms;
    r->drain_until = now + (drain_ms < limit_ms - reserve_ms ? drain_ms : limit_ms - reserve_ms);
}

static struct redis_party *party_new(const struct switch_run_options *o)
{
    return redis_party_new(&(struct redis_party_options){
        .loop = o->loop,
        .addrs = o->redis,
        .count = o->redis_count,
        .user = o->user,
        .password = o->password,
        .client_name = o->client_name,
        .connect_timeout_ms = o->connect_timeout_ms,
    });
}

void switch_run_init(struct switch_run *r, const struct switch_run_ops *ops,
                     const struct switch_run_options *o, int64_t drain_ms)
{
    XP_ON_LOOP();
    xp_check(o->redis_count <= SWITCH_REDIS_MAX);
    *r = (struct switch_run){ .ops = ops,
                              .loop = o->loop,
                              .connect_timeout_ms = o->connect_timeout_ms,
                              .may_command = o->may_command,
                              .arg = o->arg,
                              .late = o->late,
                              .warm = o->warm,
                              .redis_count = o->redis_count };
    for (size_t i = 0; i < o->redis_count; i++) {
        r->redis[i] = o->redis[i];
    }
    r->own_log = o->log ? NULL : execution_log_new(NULL);
    r->log = o->log ? o->log : r->own_log;
    limits_init(r, o->deadline_ms, drain_ms);
    r->party = o->warm ? warm_party_take(o->warm, o->redis, o->redis_count) : NULL;
    r->party = r->party ? r->party : party_new(o);
    loop_timer_init(&r->timer, r->loop, begin);
    loop_timer_start(&r->timer, 0);
}

void switch_run_done(struct switch_run *r)
{
    XP_ON_LOOP();
    loop_timer_stop(&r->timer);
    if (r->warm) {
        warm_party_give(r->warm, r->party);
    } else {
        redis_party_free(r->party);
    }
    execution_log_free(r->own_log);
}

/* ---- rounds ---- */

void switch_run_act_after(struct switch_run *r, int64_t pause_ms)
{
    int64_t left = r->deadline - loop_now(r->loop);
    if (pause_ms > 0) {
        loop_timer_start(&r->timer, pause_ms < left ? pause_ms : left);
    } else {
        r->ops->act(r);
    }
}

bool switch_run_may(struct switch_run *r)
{
    struct xp_err err = { 0 };
    if (!r->may_command || r->may_command(r->arg, &err) == 0) {
        return true;
    }
    execution_log_error(r->log, "not allowed to send commands: %s", err.msg);
    return false;
}

int64_t switch_run_round_ms(const struct switch_run *r, bool is_look)
{
    int64_t limit = (r->deadline - loop_now(r->loop)) / 2;
    if (is_look && limit > r->connect_timeout_ms) {
        limit = r->connect_timeout_ms;
    }
    return limit < ROUND_MIN_MS ? ROUND_MIN_MS : limit;
}

void switch_run_send_late(struct switch_run *r, const char *behind,
                          const struct party_order *orders, size_t count)
{
    if (count > 0) {
        struct late_rewrite late = { orders, count, r->redis, r->redis_count, behind };
        late_rewrites_send(r->late, &r->party, r->loop, &late);
    }
}

void switch_run_tell_no_file(struct switch_run *r, const struct addr *redis)
{
    execution_log_warn(r->log, "%s has no config file: a restart brings it back as it was before",
                       ADDR_TEXT(redis));
}
