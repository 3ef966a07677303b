/* promote_foresee.c - a promotion of Redis that obey: promote_decide, and instead of a party what each command would do (see foresight.h). */
#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/switch/foresight_internal.h"
#include "shared/switch/promote_internal.h"

#include "shared/base/banned.h"

struct promote_foresee {
    struct foresee run;
    const struct foresee_promote *in;
    struct promote_node nodes[SWITCH_REDIS_MAX];
    struct promote_plan plan;
    int candidate;
    bool was_sent;
};

/* What the order waits for arrives where the link is up. */
static void arrive(const struct promote_foresee *f, struct foreseen_redis *r)
{
    const struct switch_order *order = &f->in->order;
    bool is_same = order->has_info && strcmp(order->repl_id, r->repl_id) == 0;
    if (is_same && r->role.link == ROLE_LINK_CONNECTED && r->offset < order->offset) {
        r->offset = order->offset;
    }
}

static void obey(struct promote_foresee *f, const struct promote_step *step)
{
    struct foreseen_redis *r = &f->run.redis[step->node];
    struct promote_node *n = &f->nodes[step->node];
    switch (step->ask) {
    case PROMOTE_ASK_ROLE:
    case PROMOTE_ASK_ROLE_AFTER:
        n->role = r->role;
        break;
    case PROMOTE_ASK_REPLICATION:
        memcpy(n->repl_id, r->repl_id, sizeof(n->repl_id));
        n->offset = r->offset;
        n->priority = r->priority;
        break;
    case PROMOTE_ASK_SETTINGS:
        n->min_slaves = r->min_slaves;
        n->is_read_only = !r->is_writable_replica;
        break;
    case PROMOTE_ASK_SLAVEOF:
        r->role = (struct redis_role){ .kind = ROLE_KIND_MASTER, .offset = r->offset };
        break;
    case PROMOTE_ASK_SERVER:
    case PROMOTE_ASK_XSLAVEOF: /* stock Redis knows none */
    case PROMOTE_ASK_REWRITE:
        break;
    }
}

static bool is_promotion(int kind)
{
    return kind == PROMOTE_ORDER_PROMOTE;
}

static void send(struct foresee *run, size_t node, int kind)
{
    struct promote_foresee *f = CONTAINER_OF(run, struct promote_foresee, run);
    struct foreseen_redis *redis = &run->redis[node];
    struct party_order orders[PROMOTE_COMMANDS_MAX];
    struct promote_step steps[PROMOTE_COMMANDS_MAX];
    size_t count = promote_commands(node, (enum promote_order_kind)kind, orders, steps);
    bool is_late = kind == PROMOTE_ORDER_REWRITE;
    struct foreseen_command like = { .rule = f->plan.rule,
                                     .round = run->out->rounds,
                                     .is_change = is_promotion(kind) || is_late ||
                                                  kind == PROMOTE_ORDER_ROLE,
                                     .is_wait = kind == PROMOTE_ORDER_OFFSET,
                                     .is_late = is_late };
    if (kind == PROMOTE_ORDER_OFFSET) {
        arrive(f, redis);
    }
    f->nodes[node].was_asked = true;
    f->nodes[node].tries += kind != PROMOTE_ORDER_ROLE;
    f->nodes[node].is_silent = !redis->answers;
    for (size_t i = 0; i < count; i++) {
        foresight_add(run->out, redis, &orders[i], like);
        if (redis->answers) {
            obey(f, &steps[i]);
        }
    }
    f->candidate = is_promotion(kind) ? (int)node : f->candidate;
    f->was_sent |= is_promotion(kind);
}

static void decide(struct foresee *run, struct foreseen_plan *ret_plan)
{
    struct promote_foresee *f = CONTAINER_OF(run, struct promote_foresee, run);
    struct promote_facts facts = { .now = run->now,
                                   .deadline = run->deadline,
                                   .drain_until = f->in->order.drain_ms,
                                   .goal = f->in->goal,
                                   .order = &f->in->order,
                                   .nodes = f->nodes,
                                   .count = run->count,
                                   .candidate = f->candidate,
                                   .was_sent = f->was_sent };
    promote_decide(&facts, &f->plan);
    ret_plan->is_over = f->plan.is_over;
    ret_plan->rule = f->plan.rule;
    ret_plan->pause_ms = f->plan.pause_ms;
    for (size_t i = 0; i < f->plan.order_count; i++) {
        ret_plan->orders[i].node = f->plan.orders[i].node;
        ret_plan->orders[i].kind = (int)f->plan.orders[i].kind;
    }
    ret_plan->order_count = f->plan.order_count;
}

static void result_of(const struct promote_foresee *f, struct switch_change *ret)
{
    *ret = (struct switch_change){ .is_ours = true,
                                   .is_success = f->plan.is_over && f->plan.outcome == PROMOTE_OK,
                                   .is_drained = f->plan.is_drained,
                                   .offset = -1,
                                   .offset_gap = f->plan.gap };
    if (f->plan.candidate >= 0) {
        const struct foreseen_redis *r = &f->run.redis[f->plan.candidate];
        ret->offset = r->offset;
        memcpy(ret->repl_id, r->repl_id, sizeof(ret->repl_id));
        ret->is_promoted = r->answers && r->role.kind == ROLE_KIND_MASTER;
        ret->new_master = ret->is_promoted ? r->addr : (struct addr){ 0 };
    }
}

void promote_foresee(const struct foresee_promote *in, struct foreseen_redis *redis, size_t count,
                     struct foresight *out, enum promote_outcome *ret_outcome,
                     struct switch_change *ret_change)
{
    xp_check(count <= SWITCH_REDIS_MAX);
    static const struct foresee_ops ops = { .decide = decide,
                                            .is_change = is_promotion,
                                            .send = send };
    struct promote_foresee *f = xcalloc(1, sizeof(*f));
    f->run = (struct foresee){
        .ops = &ops, .redis = redis, .count = count, .out = out, .deadline = in->deadline_ms
    };
    f->in = in;
    f->candidate = -1;
    for (size_t i = 0; i < count; i++) {
        f->nodes[i] = promote_node_of(&redis[i].addr);
    }
    foresee_run(&f->run);
    for (size_t i = 0; f->plan.is_over && i < f->plan.order_count; i++) {
        size_t node = f->plan.orders[i].node;
        if (!redis[node].has_no_file) {
            send(&f->run, node, (int)f->plan.orders[i].kind);
        }
    }
    *ret_outcome = f->plan.is_over ? f->plan.outcome : PROMOTE_UNKNOWN;
    result_of(f, ret_change);
    free(f);
}
