/* promote_run.c - carries out what promote_decide says, round by round (see promote.h, switch_run_internal.h).
 *
 * CONFIG REWRITE goes behind the answer: it is a write to a disk, in the middle of an outage. */
#include <inttypes.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/switch/promote_internal.h"
#include "shared/switch/switch_run_internal.h"

#include "shared/base/banned.h"

#define DRAIN_DEFAULT_MS 2000 /* x-pipe's */
#define NO_KIND          (-1)

struct promote_run {
    struct switch_run run;
    enum promote_goal goal;
    struct switch_order order;
    struct addr maybe;
    void (*on_done)(const struct promote_result *, void *arg);
    struct promote_node nodes[SWITCH_REDIS_MAX];
    int last_kind[SWITCH_REDIS_MAX];     /* of the last order; NO_KIND */
    bool has_answered[SWITCH_REDIS_MAX]; /* the last round that asked it */
    bool is_told[SWITCH_REDIS_MAX];      /* in the log */
    size_t count;
    int candidate;
    bool was_sent;
    bool was_lost;
    bool is_waiting_told;
    int64_t round_us; /* when it began */
    int64_t look_us;
    struct promote_plan plan;
    struct promote_step steps[PARTY_ORDERS_MAX];
};

/* ---- the result ---- */

static void tell_node(struct promote_run *r, size_t i)
{
    const struct promote_node *n = &r->nodes[i];
    if (r->is_told[i] || !n->was_asked) {
        return;
    }
    r->is_told[i] = true;
    if (n->is_silent) {
        const char *error = redis_party_error(r->run.party, i);
        r->is_told[i] = false;
        execution_log_warn(r->run.log, "%s does not answer (%s%s%s)", ADDR_TEXT(&n->addr),
                           rconn_why_text(n->why), error[0] ? ": " : "", error);
    } else if (n->role.kind == ROLE_KIND_MASTER) {
        execution_log_info(r->run.log, "%s: master at offset %" PRId64 " of %s",
                           ADDR_TEXT(&n->addr), n->offset, n->repl_id);
    } else if (n->role.kind == ROLE_KIND_REPLICA) {
        execution_log_info(
            r->run.log, "%s: replica of %s, link %s, offset %" PRId64 " of %s, priority %" PRId64,
            ADDR_TEXT(&n->addr),
            addr_is_none(&n->role.master) ? "nobody" : ADDR_TEXT(&n->role.master),
            role_link_text(n->role.link), n->offset, n->repl_id, n->priority);
    } else {
        execution_log_warn(r->run.log, "%s is no Redis in a role we know (%s)", ADDR_TEXT(&n->addr),
                           n->error[0] ? n->error : role_kind_text(n->role.kind));
    }
}

static bool is_master(const struct promote_run *r, int node)
{
    return node >= 0 && !r->nodes[node].is_silent && r->nodes[node].role.kind == ROLE_KIND_MASTER;
}

/* Where the candidate was in the history of the order, if it is of that history: in its own words otherwise. */
static void tell_position(const struct promote_run *r, struct switch_change *change)
{
    const struct promote_node *n = &r->nodes[r->plan.candidate];
    bool is_of_second = r->order.has_info && r->order.repl_id[0] && n->second_offset > 0 &&
                        strcmp(n->repl_id, r->order.repl_id) != 0 &&
                        strcmp(n->repl_id2, r->order.repl_id) == 0;
    change->offset = n->offset;
    memcpy(change->repl_id, is_of_second ? n->repl_id2 : n->repl_id, REPL_ID_SIZE);
    if (is_of_second && n->second_offset - 1 < n->offset) {
        change->offset = n->second_offset - 1;
    }
}

static struct switch_change change_of(const struct promote_run *r)
{
    struct switch_change change = { .is_ours = true,
                                    .is_success = r->plan.outcome == PROMOTE_OK,
                                    .is_drained = r->plan.is_drained,
                                    .offset = -1,
                                    .offset_gap = r->plan.gap,
                                    .is_promoted = is_master(r, r->plan.candidate) };
    if (r->plan.candidate >= 0) {
        tell_position(r, &change);
    }
    if (change.is_promoted) {
        change.new_master = r->nodes[r->plan.candidate].addr;
    }
    return change;
}

static void tell_result(struct promote_run *r)
{
    struct str text AUTO_STR = STR_INIT(4096);
    const struct promote_plan *plan = &r->plan;
    str_printf(&text, "%s (%s, %s)", promote_outcome_text(plan->outcome), plan->rule, plan->why);
    if (plan->outcome == PROMOTE_SEVERAL) {
        for (size_t i = 0; i < r->count; i++) {
            str_printf(&text, "%s%s", is_master(r, (int)i) ? " " : "",
                       is_master(r, (int)i) ? ADDR_TEXT(&r->nodes[i].addr) : "");
        }
    } else if (plan->candidate >= 0) {
        str_printf(&text, ": %s", ADDR_TEXT(&r->nodes[plan->candidate].addr));
        if (plan->gap > 0) {
            str_printf(&text, ", %" PRId64 " bytes are missing", plan->gap);
        } else if (plan->gap < 0 && r->goal != PROMOTE_GOAL_CHECK) {
            str_puts(&text, ", how much is missing is not known");
        }
        if (r->nodes[plan->candidate].error[0]) {
            str_printf(&text, ": %s", r->nodes[plan->candidate].error);
        }
    }
    if (plan->outcome == PROMOTE_OK) {
        execution_log_info(r->run.log, "%s", str_text(&text));
    } else {
        execution_log_error(r->run.log, "%s", str_text(&text));
    }
}

static void rewrite_late(struct promote_run *r)
{
    struct party_order orders[PARTY_ORDERS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < r->plan.order_count; i++) {
        size_t node = r->plan.orders[i].node;
        struct promote_step steps[PROMOTE_COMMANDS_MAX];
        if (r->nodes[node].has_no_file) {
            switch_run_tell_no_file(&r->run, &r->nodes[node].addr);
        } else {
            count += promote_commands(node, r->plan.orders[i].kind, &orders[count], steps);
        }
    }
    switch_run_send_late(&r->run, "promotion", orders, count);
}

static void finish(struct promote_run *r)
{
    for (size_t i = 0; i < r->count; i++) {
        tell_node(r, i);
    }
    tell_result(r);
    struct promote_result result = { .outcome = r->plan.outcome,
                                     .change = change_of(r),
                                     .nodes = r->nodes,
                                     .count = r->count,
                                     .look_us = r->look_us };
    if (result.outcome == PROMOTE_UNKNOWN && r->plan.candidate >= 0) {
        result.maybe = r->nodes[r->plan.candidate].addr;
    }
    rewrite_late(r);
    r->on_done(&result, r->run.arg); /* may free the run */
}

/* ---- one round ---- */

/* ROLE goes with a promotion, or asks what became of it: it is no try of its own. */
static void expect(struct promote_run *r, size_t node, enum promote_order_kind kind)
{
    struct promote_node *n = &r->nodes[node];
    n->was_asked = true;
    n->is_silent = false;
    n->why = RCONN_ANSWERED;
    if (kind == PROMOTE_ORDER_ROLE) {
        return;
    }
    n->tries = r->last_kind[node] == (int)kind ? n->tries + 1 : 1;
    n->error[0] = '\0';
    r->last_kind[node] = (int)kind;
    if (kind == PROMOTE_ORDER_PROMOTE) {
        r->candidate = (int)node;
        r->was_sent = true;
        r->is_told[node] = false;
        execution_log_info(r->run.log, "promote %s (%s, %s)", ADDR_TEXT(&n->addr), r->plan.rule,
                           r->plan.why);
    }
}

static void decide(struct switch_run *run);

/* Silence that begins is counted from here on. */
static void note_silence(struct promote_run *r, size_t node)
{
    struct promote_node *n = &r->nodes[node];
    if (n->is_silent && r->has_answered[node] && !r->was_sent) {
        n->tries = 0;
        r->last_kind[node] = NO_KIND;
    }
    if (n->is_silent && r->was_sent && !r->is_told[node]) {
        r->is_told[node] = true;
        execution_log_warn(r->run.log, "%s: %s: whether it was promoted is not known",
                           ADDR_TEXT(&n->addr), rconn_why_text(n->why));
    }
    r->has_answered[node] = !n->is_silent;
}

/* Of a promotion: what became of it. */
static void note_promotion(struct promote_run *r, bool was_reached, bool was_lost)
{
    r->was_lost |= was_lost;
    if (!was_reached && !r->was_lost) {
        r->was_sent = false; /* nothing of it left: anybody may be chosen */
        execution_log_warn(r->run.log, "%s: %s: nothing was sent",
                           ADDR_TEXT(&r->nodes[r->candidate].addr),
                           rconn_why_text(r->nodes[r->candidate].why));
    }
}

static void answered(const struct party_answer *answers, size_t count, void *arg)
{
    struct promote_run *r = arg;
    bool is_promotion = false;
    bool was_reached = false;
    bool was_lost = false;
    r->look_us = r->look_us < 0 ? clock_mono_us() - r->round_us : r->look_us;
    for (size_t i = 0; i < count; i++) {
        struct promote_node *n = &r->nodes[r->steps[i].node];
        if (answers[i].reply) {
            promote_take(n, &r->steps[i], answers[i].reply);
        } else {
            n->is_silent = true;
            n->why = answers[i].why;
        }
        if (r->steps[i].ask == PROMOTE_ASK_XSLAVEOF || r->steps[i].ask == PROMOTE_ASK_SLAVEOF) {
            bool was_sent = answers[i].why != RCONN_NOT_CONNECTED;
            is_promotion = true;
            was_reached |= was_sent;
            was_lost |= was_sent && !answers[i].reply;
        }
    }
    if (is_promotion) {
        note_promotion(r, was_reached, was_lost);
    }
    for (size_t i = 0; i < count; i++) {
        note_silence(r, r->steps[i].node);
    }
    decide(&r->run);
}

static bool has_promotion(const struct promote_run *r)
{
    return r->plan.orders[0].kind == PROMOTE_ORDER_PROMOTE;
}

static void start_round(struct promote_run *r)
{
    struct party_order orders[PARTY_ORDERS_MAX];
    size_t count = 0;
    mono_ms limit = loop_now(r->run.loop) + switch_run_round_ms(&r->run, !has_promotion(r));
    for (size_t i = 0; i < r->plan.order_count && count + PROMOTE_COMMANDS_MAX <= PARTY_ORDERS_MAX;
         i++) {
        size_t node = r->plan.orders[i].node;
        count += promote_commands(node, r->plan.orders[i].kind, &orders[count], &r->steps[count]);
        expect(r, node, r->plan.orders[i].kind);
    }
    r->round_us = clock_mono_us();
    redis_party_round(r->run.party, orders, count, limit, answered, r);
}

static bool is_allowed(struct promote_run *r)
{
    if (!has_promotion(r) || switch_run_may(&r->run)) {
        return true;
    }
    r->plan.is_over = true;
    r->plan.outcome = r->was_lost ? PROMOTE_UNKNOWN : PROMOTE_REFUSED;
    r->plan.why = "not allowed to send commands";
    r->plan.order_count = 0;
    return false;
}

static void act(struct switch_run *run)
{
    struct promote_run *r = CONTAINER_OF(run, struct promote_run, run);
    if (r->plan.is_over || !is_allowed(r)) {
        finish(r);
    } else {
        start_round(r);
    }
}

static void tell_progress(struct promote_run *r)
{
    const struct promote_plan *plan = &r->plan;
    if (plan->order_count > 0 && plan->orders[0].kind == PROMOTE_ORDER_OFFSET &&
        !r->is_waiting_told) {
        r->is_waiting_told = true;
        for (size_t i = 0; i < r->count; i++) {
            tell_node(r, i);
        }
        execution_log_info(r->run.log, "%s is %" PRId64 " bytes behind offset %" PRId64 " (%s, %s)",
                           ADDR_TEXT(&r->nodes[plan->candidate].addr), plan->gap, r->order.offset,
                           plan->rule, plan->why);
    }
}

static void decide(struct switch_run *run)
{
    struct promote_run *r = CONTAINER_OF(run, struct promote_run, run);
    struct promote_facts facts = {
        .now = loop_now(run->loop),
        .deadline = run->deadline,
        .drain_until = run->drain_until,
        .goal = r->goal,
        .order = &r->order,
        .nodes = r->nodes,
        .count = r->count,
        .candidate = r->candidate,
        .was_sent = r->was_sent,
        .was_lost = r->was_lost,
        .maybe = r->maybe,
    };
    promote_decide(&facts, &r->plan);
    tell_progress(r);
    switch_run_act_after(run, r->plan.is_over ? 0 : r->plan.pause_ms);
}

/* ---- life ---- */

static void nodes_init(struct promote_run *r, const struct addr *redis, size_t count)
{
    r->count = count;
    for (size_t i = 0; i < count; i++) {
        r->last_kind[i] = NO_KIND;
        r->nodes[i] = promote_node_of(&redis[i]);
    }
}

struct promote_run *promote_run_start(const struct promote_options *o)
{
    static const struct switch_run_ops ops = { .decide = decide, .act = act };
    int64_t drain_ms = o->order.drain_ms > 0 ? o->order.drain_ms : DRAIN_DEFAULT_MS;
    xp_check(o->on_done);
    struct promote_run *r = xcalloc(1, sizeof(*r));
    switch_run_init(&r->run, &ops, &o->run, drain_ms);
    r->goal = o->goal;
    r->order = o->order;
    r->maybe = o->maybe;
    r->on_done = o->on_done;
    r->candidate = -1;
    r->look_us = -1;
    nodes_init(r, o->run.redis, o->run.redis_count);
    return r;
}

void promote_run_free(struct promote_run *r)
{
    if (r) {
        switch_run_done(&r->run);
        free(r);
    }
}
