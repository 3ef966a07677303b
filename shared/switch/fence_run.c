/* fence_run.c - carries out what fence_decide says, round by round (see fence.h, switch_run_internal.h). */
#include <inttypes.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/switch/fence_internal.h"
#include "shared/switch/switch_run_internal.h"

#include "shared/base/banned.h"

struct fence_run {
    struct switch_run run;
    enum fence_goal goal;
    struct addr hint;
    struct fence_saved saved;
    struct addr saved_of;
    void (*on_done)(const struct switch_fence *result, void *arg);
    struct fence_words words;
    struct fence_node nodes[SWITCH_REDIS_MAX];
    bool has_no_file[SWITCH_REDIS_MAX];
    /* frozen by us: CONFIG REWRITE goes behind the result */
    bool is_rewritten_late[SWITCH_REDIS_MAX];
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
        const char *error = redis_party_error(r->run.party, i);
        execution_log_warn(r->run.log, "%s does not answer (%s%s%s): nothing is known about it",
                           ADDR_TEXT(&n->addr), rconn_why_text(n->why), error[0] ? ": " : "",
                           error);
    } else if (n->role.kind == ROLE_KIND_MASTER && !is_first_master) {
        execution_log_warn(r->run.log, "%s is a master, too%s", ADDR_TEXT(&n->addr),
                           n->min_slaves >= FENCE_MIN_SLAVES ? ", and held" : "");
    }
    if (n->error[0] != '\0') {
        execution_log_error(r->run.log, "%s: %s", ADDR_TEXT(&n->addr), n->error);
    }
    if (r->has_no_file[i] && n->tries > 0) {
        switch_run_tell_no_file(&r->run, &n->addr);
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
        execution_log_info(r->run.log, "%s", str_text(&text));
    } else {
        execution_log_error(r->run.log, "%s", str_text(&text));
    }
}

static void rewrite_late(struct fence_run *r)
{
    struct party_order orders[SWITCH_REDIS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < r->count; i++) {
        if (r->is_rewritten_late[i] && !r->has_no_file[i] && !r->nodes[i].is_silent) {
            struct fence_step step = { 0 };
            count += fence_commands(&r->words, &r->nodes[i], i, FENCE_ORDER_REWRITE, &orders[count],
                                    &step);
        }
    }
    switch_run_send_late(&r->run, "freeze", orders, count);
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
    r->on_done(&result, r->run.arg); /* may free the run */
}

/* ---- one round ---- */

static void decide(struct switch_run *run);

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
                execution_log_warn(r->run.log, "%s: CONFIG REWRITE: %s", ADDR_TEXT(&n->addr),
                                   rreply_text(answers[i].reply, NULL));
            }
        } else if (r->steps[i].ask != ASK_REWRITE) {
            n->is_silent = true;
            n->why = answers[i].why;
        }
    }
    decide(&r->run);
}

static void tell_order(struct fence_run *r, size_t node, enum fence_order_kind kind)
{
    const struct fence_node *n = &r->nodes[node];
    if (fence_is_change(kind)) {
        execution_log_info(r->run.log, "%s %s (%s, %s)", order_texts[kind], ADDR_TEXT(&n->addr),
                           r->plan.rule, r->plan.why);
    }
    if (n->is_silent && n->tries > 0 && !r->is_told_silent[node]) {
        r->is_told_silent[node] = true;
        execution_log_warn(r->run.log, "%s: %s: whether it was carried out is not known",
                           ADDR_TEXT(&n->addr), rconn_why_text(n->why));
    }
}

/* A fence is answered by its deadline. */
static mono_ms round_limit(const struct fence_run *r, bool is_look)
{
    mono_ms now = loop_now(r->run.loop);
    mono_ms limit = now + switch_run_round_ms(&r->run, is_look);
    return limit < r->run.deadline || r->run.deadline <= now ? limit : r->run.deadline;
}

/* A freeze and a release come inside the outage, and the hold before them has looked at everybody: a dead replica must not
 * cost the time of a connect once more. */
static void follow_hint(struct fence_run *r)
{
    bool is_inside = r->goal == FENCE_GOAL_FREEZE || r->goal == FENCE_GOAL_RELEASE;
    for (size_t i = 0; is_inside && i < r->count; i++) {
        if (addr_eq(&r->hint, &r->nodes[i].addr)) {
            redis_party_follow(r->run.party, i);
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
    redis_party_round(r->run.party, orders, count, round_limit(r, is_look), answered, r);
    follow_hint(r);
}

static bool is_allowed(struct fence_run *r)
{
    bool has_change = false;
    for (size_t i = 0; i < r->plan.order_count; i++) {
        has_change = has_change || fence_is_change(r->plan.orders[i].kind);
    }
    if (!has_change || switch_run_may(&r->run)) {
        return true;
    }
    r->plan = (struct fence_plan){ .is_over = true,
                                   .state = FENCE_NONE,
                                   .master = r->count,
                                   .rule = r->plan.rule,
                                   .why = "not allowed to send commands" };
    return false;
}

static void act(struct switch_run *run)
{
    struct fence_run *r = CONTAINER_OF(run, struct fence_run, run);
    if (r->plan.is_over || !is_allowed(r)) {
        finish(r);
    } else {
        start_round(r);
    }
}

static void decide(struct switch_run *run)
{
    struct fence_run *r = CONTAINER_OF(run, struct fence_run, run);
    struct fence_facts facts = {
        .now = loop_now(run->loop),
        .deadline = run->deadline,
        .goal = r->goal,
        .hint = r->hint,
        .saved = r->saved,
        .saved_of = r->saved_of,
        .drain_until = run->drain_until,
        .nodes = r->nodes,
        .count = r->count,
    };
    fence_decide(&facts, &r->plan);
    switch_run_act_after(run, r->plan.pause_ms);
}

/* ---- life ---- */

struct fence_run *fence_run_start(const struct fence_options *o)
{
    static const struct switch_run_ops ops = { .decide = decide, .act = act };
    xp_check(o->on_done);
    struct fence_run *r = xcalloc(1, sizeof(*r));
    switch_run_init(&r->run, &ops, &o->run, o->drain_ms);
    r->goal = o->goal;
    r->hint = o->hint;
    r->saved = o->saved;
    r->saved_of = o->saved_of;
    r->on_done = o->on_done;
    r->count = o->run.redis_count;
    fence_words_init(&r->words, &o->saved);
    for (size_t i = 0; i < r->count; i++) {
        r->nodes[i] = fence_node_of(&o->run.redis[i]);
    }
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
    if (r) {
        switch_run_done(&r->run);
        free(r);
    }
}
