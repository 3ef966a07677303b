/* fence_foresee.c - a fence on Redis that obey: fence_decide, and instead of a party what each command would do (see foresight.h). */
#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/switch/fence_internal.h"
#include "shared/switch/foresight_internal.h"

#include "shared/base/banned.h"

struct fence_foresee {
    struct foresee run;
    const struct foresee_fence *in;
    struct fence_words words;
    struct fence_node nodes[SWITCH_REDIS_MAX];
    bool is_frozen_by_us[SWITCH_REDIS_MAX];
    struct fence_plan plan;
};

/* ---- what a command does, and what is read of it ---- */

static bool refuses_writes(const struct foreseen_redis *r)
{
    bool is_held = r->role.kind == ROLE_KIND_MASTER && r->min_slaves >= FENCE_MIN_SLAVES;
    return is_held || (r->role.kind == ROLE_KIND_REPLICA && !r->is_writable_replica);
}

static void follow(struct foreseen_redis *r, bool is_promotion)
{
    r->role.master = (struct addr){ 0 };
    r->role.kind = is_promotion ? ROLE_KIND_MASTER : ROLE_KIND_REPLICA;
    r->role.link = is_promotion ? ROLE_LINK_UNKNOWN : ROLE_LINK_CONNECT;
}

static void note_settings(struct fence_node *n, const struct foreseen_redis *r)
{
    n->min_slaves = r->min_slaves;
    n->max_lag_s = r->max_lag_s;
    n->is_writable_replica = r->is_writable_replica;
    if (!n->seen.is_known) {
        n->seen = (struct fence_saved){ .is_known = r->min_slaves >= 0,
                                        .min_slaves = r->min_slaves,
                                        .max_lag_s = r->max_lag_s,
                                        .was_writable_replica = r->is_writable_replica };
    }
}

static void note_offset(struct fence_node *n, const struct foreseen_redis *r)
{
    n->offset_before = n->offset;
    n->offset = r->offset;
    memcpy(n->repl_id, r->repl_id, sizeof(n->repl_id));
    fence_settle_offset(n);
}

static void obey(struct fence_foresee *f, const struct fence_step *step,
                 const struct party_order *order)
{
    struct foreseen_redis *r = &f->run.redis[step->node];
    struct fence_node *n = &f->nodes[step->node];
    switch (step->ask) {
    case ASK_ROLE:
    case ASK_ROLE_AFTER:
        n->role = r->role;
        break;
    case ASK_SETTINGS:
        note_settings(n, r);
        break;
    case ASK_REPLICATION:
        note_offset(n, r);
        break;
    case ASK_PROBE:
        n->probe = refuses_writes(r) ? PROBE_REFUSED : PROBE_ACCEPTED;
        break;
    case ASK_SET_MIN_SLAVES:
        n->min_slaves = r->min_slaves = step->value;
        break;
    case ASK_SET_MAX_LAG:
        n->max_lag_s = r->max_lag_s = step->value;
        break;
    case ASK_SET_READ_ONLY:
        n->is_writable_replica = r->is_writable_replica = step->value == 0;
        break;
    case ASK_SLAVEOF:
        follow(r, text_eq(order->words[1], "NO"));
        break;
    case ASK_SERVER:
    case ASK_XSLAVEOF: /* stock Redis knows none */
    case ASK_REWRITE:
        break;
    }
}

/* ---- rounds ---- */

static bool is_wait(const struct fence_plan *plan)
{
    return plan->order_count > 0 && plan->orders[0].kind == FENCE_ORDER_OFFSET;
}

static bool is_change(int kind)
{
    return fence_is_change((enum fence_order_kind)kind);
}

static void tell(struct fence_foresee *f, size_t node, enum fence_order_kind kind, bool is_late)
{
    struct party_order orders[FENCE_COMMANDS_MAX];
    struct fence_step steps[FENCE_COMMANDS_MAX];
    size_t count = fence_commands(&f->words, &f->nodes[node], node, kind, orders, steps);
    struct foreseen_command like = { .rule = f->plan.rule,
                                     .round = f->run.out->rounds,
                                     .is_change = fence_is_change(kind),
                                     .is_wait = is_wait(&f->plan),
                                     .is_late = is_late };
    if (!is_late) {
        fence_expect(&f->nodes[node], kind);
    }
    for (size_t i = 0; i < count; i++) {
        foresight_add(f->run.out, &f->run.redis[node], &orders[i], like);
        if (f->run.redis[node].answers) {
            obey(f, &steps[i], &orders[i]);
        } else {
            f->nodes[node].is_silent = true;
        }
    }
}

static void send(struct foresee *run, size_t node, int kind)
{
    struct fence_foresee *f = CONTAINER_OF(run, struct fence_foresee, run);
    tell(f, node, (enum fence_order_kind)kind, false);
    f->is_frozen_by_us[node] |= kind == FENCE_ORDER_FREEZE;
}

static void decide(struct foresee *run, struct foreseen_plan *ret_plan)
{
    struct fence_foresee *f = CONTAINER_OF(run, struct fence_foresee, run);
    struct fence_facts facts = { .now = run->now,
                                 .deadline = run->deadline,
                                 .goal = f->in->goal,
                                 .hint = f->in->hint,
                                 .saved = f->in->saved,
                                 .drain_until = run->deadline,
                                 .nodes = f->nodes,
                                 .count = run->count };
    fence_decide(&facts, &f->plan);
    ret_plan->is_over = f->plan.is_over;
    ret_plan->rule = f->plan.rule;
    ret_plan->pause_ms = f->plan.pause_ms;
    for (size_t i = 0; i < f->plan.order_count; i++) {
        ret_plan->orders[i].node = f->plan.orders[i].node;
        ret_plan->orders[i].kind = (int)f->plan.orders[i].kind;
    }
    ret_plan->order_count = f->plan.order_count;
}

static void result_of(const struct fence_foresee *f, struct switch_fence *ret)
{
    *ret = (struct switch_fence){ .is_ours = true,
                                  .state = f->plan.is_over ? f->plan.state : FENCE_NONE,
                                  .saved = f->in->saved };
    if (!f->plan.is_over || f->plan.master >= f->run.count) {
        return;
    }
    const struct fence_node *n = &f->nodes[f->plan.master];
    ret->master = n->addr;
    ret->has_info = n->offset >= 0 && n->repl_id[0];
    ret->offset = ret->has_info ? n->offset : 0;
    memcpy(ret->repl_id, n->repl_id, sizeof(ret->repl_id));
    if (!ret->saved.is_known && n->seen.is_known && n->seen.min_slaves < FENCE_MIN_SLAVES) {
        ret->saved = n->seen;
    }
}

void fence_foresee(const struct foresee_fence *in, struct foreseen_redis *redis, size_t count,
                   struct foresight *out, struct switch_fence *ret_result)
{
    xp_check(count <= SWITCH_REDIS_MAX);
    static const struct foresee_ops ops = { .decide = decide,
                                            .is_change = is_change,
                                            .send = send };
    struct fence_foresee *f = xcalloc(1, sizeof(*f));
    f->run = (struct foresee){
        .ops = &ops, .redis = redis, .count = count, .out = out, .deadline = in->deadline_ms
    };
    f->in = in;
    fence_words_init(&f->words, &in->saved);
    for (size_t i = 0; i < count; i++) {
        f->nodes[i] = fence_node_of(&redis[i].addr);
    }
    foresee_run(&f->run);
    result_of(f, ret_result);
    for (size_t i = 0; i < count; i++) {
        if (f->is_frozen_by_us[i] && !redis[i].has_no_file && redis[i].answers) {
            tell(f, i, FENCE_ORDER_REWRITE, true);
        }
    }
    free(f);
}
