/* fence_run.c - carries out what fence_decide says, round by round (see fence.h).
 *
 *   decide -> (pause) -> round of the party -> answers into the nodes -> decide ... -> on_done
 *
 * A round waits for its slowest Redis, so it never gets all the time that is left: after a silent one there must be time to read back
 * what came of a command. Looking gets the time of a connect: the dead and hung ones cost no more, and less once the hint has answered. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/base/thread.h"
#include "shared/switch/fence_internal.h"

#include "shared/base/banned.h"

#define ROUND_MIN_MS  50
#define FREEZE_MAX_MS 500 /* of the whole fence, kept for its freeze */

struct fence_run {
    struct loop *loop;
    struct redis_party *party;
    struct loop_timer timer; /* a pause; the end when there is nobody to ask */
    enum fence_goal goal;
    struct addr hint;
    struct fence_saved saved;
    int64_t connect_timeout_ms;
    mono_ms deadline;
    mono_ms drain_until;
    int (*may_command)(void *arg, struct xp_err *err);
    void (*on_done)(const struct switch_fence *result, void *arg);
    void *arg;
    struct execution_log *log;     /* borrowed */
    struct execution_log *own_log; /* when there is none */
    struct fence_words words;
    struct fence_node nodes[SWITCH_REDIS_MAX];
    bool has_no_file[SWITCH_REDIS_MAX];
    bool is_rewritten_late
        [SWITCH_REDIS_MAX]; /* frozen by us: CONFIG REWRITE goes behind the result */
    bool is_told_silent[SWITCH_REDIS_MAX];
    size_t count;
    struct fence_plan plan;
    const char *last_rule; /* of the round before the end; NULL */
    const char *last_why;
    struct fence_step steps[PARTY_ORDERS_MAX];
};

static const char *const order_texts[] = {
    [FENCE_ORDER_LOOK] = "look at",
    [FENCE_ORDER_HOLD] = "hold",
    [FENCE_ORDER_FREEZE] = "freeze",
    [FENCE_ORDER_RELEASE] = "release",
    [FENCE_ORDER_PROBE] = "probe",
    [FENCE_ORDER_OFFSET] = "read offset of",
    [FENCE_ORDER_REWRITE] = "rewrite the file of",
};

/* ---- the result ---- */

static struct fence_saved saved_of(const struct fence_run *r, const struct fence_node *n)
{
    if (r->saved.is_known || !n->seen.is_known || n->seen.min_slaves >= FENCE_MIN_SLAVES) {
        return r->saved;
    }
    return n->seen;
}

static void tell_node(struct fence_run *r, size_t i)
{
    const struct fence_node *n = &r->nodes[i];
    bool is_first_master = i == r->plan.master;
    if (n->is_silent) {
        const char *error = redis_party_error(r->party, i);
        execution_log_warn(r->log, "%s does not answer (%s%s%s): nothing is known about it",
                           ADDR_TEXT(&n->addr), rconn_why_text(n->why), error[0] ? ": " : "",
                           error);
    } else if (n->role.kind == ROLE_KIND_MASTER && !is_first_master) {
        execution_log_warn(r->log, "%s is a master, too%s", ADDR_TEXT(&n->addr),
                           n->min_slaves >= FENCE_MIN_SLAVES ? ", and held" : "");
    }
    if (n->error[0] != '\0') {
        execution_log_error(r->log, "%s: %s", ADDR_TEXT(&n->addr), n->error);
    }
    if (r->has_no_file[i] && n->tries > 0) {
        execution_log_warn(r->log,
                           "%s has no config file: a restart brings it back as it was before",
                           ADDR_TEXT(&n->addr));
    }
}

static void tell_result(struct fence_run *r, const struct switch_fence *result)
{
    for (size_t i = 0; i < r->count; i++) {
        tell_node(r, i);
    }
    bool is_good = result->state != FENCE_NONE && result->state != FENCE_UNREACHABLE;
    struct str text AUTO_STR = STR_INIT(1024);
    str_printf(&text, "%s", fence_state_text(result->state));
    if (!addr_is_none(&result->master)) {
        str_printf(&text, ": %s", ADDR_TEXT(&result->master));
    }
    if (result->has_info) {
        str_printf(&text, " at offset %" PRId64 " of %s", result->offset, result->repl_id);
    }
    str_printf(&text, " (%s, %s", r->plan.rule, r->plan.why);
    if (!is_good && r->last_rule) {
        str_printf(&text, "; before that %s, %s", r->last_rule, r->last_why);
    }
    str_printf(&text, ")%s",
               result->drain_pending ? "; not frozen, replicas have not caught up" : "");
    if (is_good) {
        execution_log_info(r->log, "%s", str_text(&text));
    } else {
        execution_log_error(r->log, "%s", str_text(&text));
    }
}

static void ignore_answers(const struct party_answer *answers, size_t count, void *arg)
{
    (void)answers, (void)count, (void)arg;
}

/* Written before on_done, which may close the connections: what is sent is carried out all the same. */
static void rewrite_late(struct fence_run *r)
{
    struct party_order orders[SWITCH_REDIS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < r->count; i++) {
        if (r->is_rewritten_late[i] && !r->has_no_file[i] && !r->nodes[i].is_silent) {
            struct fence_step step;
            count += fence_commands(&r->words, &r->nodes[i], i, FENCE_ORDER_REWRITE, &orders[count],
                                    &step);
        }
    }
    if (count > 0) {
        redis_party_round(r->party, orders, count, loop_now(r->loop) + r->connect_timeout_ms,
                          ignore_answers, NULL);
    }
}

static void finish(struct fence_run *r)
{
    struct switch_fence result = { .is_ours = true,
                                   .state = r->plan.state,
                                   .drain_pending = r->plan.drain_pending,
                                   .saved = r->saved };
    if (r->plan.master < r->count) {
        const struct fence_node *n = &r->nodes[r->plan.master];
        result.master = n->addr;
        result.has_info = n->offset >= 0 && n->repl_id[0] != '\0';
        result.offset = result.has_info ? n->offset : 0;
        if (result.state == FENCE_HELD && n->settled_offset >= 0) {
            result.offset = n->settled_offset;
        }
        if (result.has_info) {
            memcpy(result.repl_id, n->repl_id, sizeof(result.repl_id));
        }
        result.saved = saved_of(r, n);
    }
    tell_result(r, &result);
    rewrite_late(r);
    r->on_done(&result, r->arg); /* may free the run */
}

/* ---- one round ---- */

static void decide(struct fence_run *r);

static void expect(struct fence_run *r, size_t node, enum fence_order_kind kind)
{
    fence_expect(&r->nodes[node], kind);
    r->is_rewritten_late[node] = r->is_rewritten_late[node] || kind == FENCE_ORDER_FREEZE;
}

static void answered(const struct party_answer *answers, size_t count, void *arg)
{
    struct fence_run *r = arg;
    for (size_t i = 0; i < count; i++) {
        struct fence_node *n = &r->nodes[r->steps[i].node];
        if (answers[i].reply) {
            fence_take(n, &r->steps[i], answers[i].reply, &r->has_no_file[r->steps[i].node]);
            if (r->steps[i].ask == ASK_REWRITE && rreply_is_error(answers[i].reply)) {
                execution_log_warn(r->log, "%s: CONFIG REWRITE: %s", ADDR_TEXT(&n->addr),
                                   rreply_text(answers[i].reply, NULL));
            }
        } else if (r->steps[i].ask != ASK_REWRITE) {
            n->is_silent = true;
            n->why = answers[i].why;
        }
    }
    decide(r);
}

static void tell_order(struct fence_run *r, size_t node, enum fence_order_kind kind)
{
    const struct fence_node *n = &r->nodes[node];
    if (fence_is_change(kind)) {
        execution_log_info(r->log, "%s %s (%s, %s)", order_texts[kind], ADDR_TEXT(&n->addr),
                           r->plan.rule, r->plan.why);
    }
    if (n->is_silent && n->tries > 0 && !r->is_told_silent[node]) {
        r->is_told_silent[node] = true;
        execution_log_warn(r->log, "%s: %s: whether it was carried out is not known",
                           ADDR_TEXT(&n->addr), rconn_why_text(n->why));
    }
}

static int64_t round_limit(const struct fence_run *r, bool is_look)
{
    int64_t left = r->deadline - loop_now(r->loop);
    int64_t limit = left / 2;
    if (is_look && limit > r->connect_timeout_ms) {
        limit = r->connect_timeout_ms;
    }
    limit = limit < ROUND_MIN_MS ? ROUND_MIN_MS : limit;
    return limit < left || left <= 0 ? limit : left;
}

/* A freeze and a release come inside the outage, and the hold before them has looked at everybody: a dead replica must not
 * cost the time of a connect once more. */
static void follow_hint(struct fence_run *r)
{
    bool is_inside = r->goal == FENCE_GOAL_FREEZE || r->goal == FENCE_GOAL_RELEASE;
    for (size_t i = 0; is_inside && i < r->count; i++) {
        if (addr_eq(&r->hint, &r->nodes[i].addr)) {
            redis_party_follow(r->party, i);
        }
    }
}

static void start_round(struct fence_run *r)
{
    r->last_rule = r->plan.rule;
    r->last_why = r->plan.why;
    struct party_order orders[PARTY_ORDERS_MAX];
    size_t count = 0;
    bool is_look = false;
    for (size_t i = 0; i < r->plan.order_count; i++) {
        size_t node = r->plan.orders[i].node;
        enum fence_order_kind kind = r->plan.orders[i].kind;
        if (count + FENCE_COMMANDS_MAX > PARTY_ORDERS_MAX) {
            break; /* the rest is decided about again */
        }
        tell_order(r, node, kind);
        count += fence_commands(&r->words, &r->nodes[node], node, kind, &orders[count],
                                &r->steps[count]);
        expect(r, node, kind);
        is_look = is_look || kind == FENCE_ORDER_LOOK;
    }
    redis_party_round(r->party, orders, count, loop_now(r->loop) + round_limit(r, is_look),
                      answered, r);
    follow_hint(r);
}

static bool is_allowed(struct fence_run *r)
{
    struct xp_err err = { 0 };
    bool has_change = false;
    for (size_t i = 0; i < r->plan.order_count; i++) {
        has_change = has_change || fence_is_change(r->plan.orders[i].kind);
    }
    if (!has_change || !r->may_command || r->may_command(r->arg, &err) == 0) {
        return true;
    }
    execution_log_error(r->log, "not allowed to send commands: %s", err.msg);
    r->plan = (struct fence_plan){ .is_over = true,
                                   .state = FENCE_NONE,
                                   .master = r->count,
                                   .rule = r->plan.rule,
                                   .why = "not allowed to send commands" };
    return false;
}

static void act(struct fence_run *r)
{
    if (r->plan.is_over || !is_allowed(r)) {
        finish(r);
    } else {
        start_round(r);
    }
}

static void timer_fired(struct loop_timer *t)
{
    act(CONTAINER_OF(t, struct fence_run, timer));
}

static void decide(struct fence_run *r)
{
    struct fence_facts facts = {
        .now = loop_now(r->loop),
        .deadline = r->deadline,
        .goal = r->goal,
        .hint = r->hint,
        .saved = r->saved,
        .drain_until = r->drain_until,
        .nodes = r->nodes,
        .count = r->count,
    };
    fence_decide(&facts, &r->plan);
    if (r->plan.pause_ms > 0) {
        int64_t left = r->deadline - facts.now;
        loop_timer_start(&r->timer, r->plan.pause_ms < left ? r->plan.pause_ms : left);
    } else {
        act(r);
    }
}

/* ---- life ---- */

static void decide_first(struct loop_timer *t)
{
    struct fence_run *r = CONTAINER_OF(t, struct fence_run, timer);
    loop_timer_init(&r->timer, r->loop, timer_fired);
    decide(r);
}

static void nodes_init(struct fence_run *r, const struct addr *redis, size_t count)
{
    r->count = count;
    for (size_t i = 0; i < count; i++) {
        r->nodes[i] = (struct fence_node){
            .addr = redis[i],
            .offset = -1,
            .offset_before = -1,
            .settled_offset = -1,
            .min_replica_offset = -1,
            .min_slaves = -1,
            .max_lag_s = -1,
        };
    }
}

struct fence_run *fence_run_start(const struct fence_options *o)
{
    XP_ON_LOOP();
    xp_check(o->redis_count <= SWITCH_REDIS_MAX && o->on_done);
    struct fence_run *r = xcalloc(1, sizeof(*r));
    mono_ms now = loop_now(o->loop);
    int64_t deadline_ms = o->deadline_ms > 0 ? o->deadline_ms : 0;
    int64_t reserve = deadline_ms / 4 < FREEZE_MAX_MS ? deadline_ms / 4 : FREEZE_MAX_MS;
    r->loop = o->loop;
    r->goal = o->goal;
    r->hint = o->hint;
    r->saved = o->saved;
    r->connect_timeout_ms = o->connect_timeout_ms;
    r->deadline = now + deadline_ms;
    r->drain_until =
        now + (o->drain_ms < deadline_ms - reserve ? o->drain_ms : deadline_ms - reserve);
    r->may_command = o->may_command;
    r->on_done = o->on_done;
    r->arg = o->arg;
    r->own_log = o->log ? NULL : execution_log_new(NULL);
    r->log = o->log ? o->log : r->own_log;
    fence_words_init(&r->words, &o->saved);
    nodes_init(r, o->redis, o->redis_count);
    struct redis_party_options party = {
        .loop = o->loop,
        .addrs = o->redis,
        .count = o->redis_count,
        .user = o->user,
        .password = o->password,
        .client_name = o->client_name,
        .connect_timeout_ms = o->connect_timeout_ms,
    };
    r->party = redis_party_new(&party);
    loop_timer_init(&r->timer, r->loop, decide_first);
    loop_timer_start(&r->timer, 0);
    return r;
}

bool fence_run_seen(const struct fence_run *r, size_t index, struct addr *ret_redis,
                    struct fence_saved *ret_saved)
{
    const struct fence_node *n = index < r->count ? &r->nodes[index] : NULL;
    bool is_one = n && (n->role.kind == ROLE_KIND_MASTER ||
                        (n->role.kind == ROLE_KIND_REPLICA && addr_is_none(&n->role.master)));
    if (is_one && n->seen.is_known) {
        *ret_redis = n->addr;
        *ret_saved = n->seen;
    }
    return is_one && n->seen.is_known;
}

void fence_run_free(struct fence_run *r)
{
    if (!r) {
        return;
    }
    XP_ON_LOOP();
    loop_timer_stop(&r->timer);
    redis_party_free(r->party);
    execution_log_free(r->own_log);
    free(r);
}
