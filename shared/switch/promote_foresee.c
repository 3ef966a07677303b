/* promote_foresee.c - a promotion of Redis that obey: promote_decide, and instead of a party what each command would do (see foresight.h). */
#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/switch/foresight.h"
#include "shared/switch/promote_internal.h"

#include "shared/base/banned.h"

enum { ROUNDS_MAX = 32, ROUND_MS = 1, SILENT_MS = 300 };

struct foresee {
    const struct foresee_promote *in;
    struct foreseen_redis *redis;
    size_t count;
    struct foresight *out;
    struct promote_node nodes[SWITCH_REDIS_MAX];
    struct promote_plan plan;
    int candidate;
    bool was_sent;
    mono_ms now;
};

/* What the order waits for arrives where the link is up. */
static void arrive(const struct foresee *f, struct foreseen_redis *r)
{
    const struct switch_order *order = &f->in->order;
    bool is_same = order->has_info && strcmp(order->repl_id, r->repl_id) == 0;
    if (is_same && r->role.link == ROLE_LINK_CONNECTED && r->offset < order->offset) {
        r->offset = order->offset;
    }
}

static void obey(struct foresee *f, const struct promote_step *step)
{
    struct foreseen_redis *r = &f->redis[step->node];
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

static void send(struct foresee *f, size_t node, enum promote_order_kind kind)
{
    struct party_order orders[PROMOTE_COMMANDS_MAX];
    struct promote_step steps[PROMOTE_COMMANDS_MAX];
    size_t count = promote_commands(node, kind, orders, steps);
    bool is_change = kind == PROMOTE_ORDER_PROMOTE || kind == PROMOTE_ORDER_ROLE;
    struct foreseen_command like = { .rule = f->plan.rule,
                                     .round = f->out->rounds,
                                     .is_change = is_change || kind == PROMOTE_ORDER_REWRITE,
                                     .is_wait = kind == PROMOTE_ORDER_OFFSET,
                                     .is_late = kind == PROMOTE_ORDER_REWRITE };
    if (kind == PROMOTE_ORDER_OFFSET) {
        arrive(f, &f->redis[node]);
    }
    f->nodes[node].was_asked = true;
    f->nodes[node].tries += kind != PROMOTE_ORDER_ROLE;
    f->nodes[node].is_silent = !f->redis[node].answers;
    f->now += f->redis[node].answers ? 0 : SILENT_MS;
    for (size_t i = 0; i < count; i++) {
        foresight_add(f->out, &f->redis[node], &orders[i], like);
        if (f->redis[node].answers) {
            obey(f, &steps[i]);
        }
    }
    if (kind == PROMOTE_ORDER_PROMOTE) {
        f->candidate = (int)node;
        f->was_sent = true;
    }
}

static void round_of(struct foresee *f)
{
    for (size_t i = 0; i < f->plan.order_count; i++) {
        if (f->plan.orders[i].kind == PROMOTE_ORDER_PROMOTE && f->out->rounds_to_change < 0) {
            f->out->rounds_to_change = f->out->rounds;
        }
        send(f, f->plan.orders[i].node, f->plan.orders[i].kind);
    }
    f->out->rounds++;
    f->now += ROUND_MS + f->plan.pause_ms;
}

static void decide(struct foresee *f)
{
    struct promote_facts facts = { .now = f->now,
                                   .deadline = f->in->deadline_ms,
                                   .drain_until = f->in->order.drain_ms,
                                   .goal = f->in->goal,
                                   .order = &f->in->order,
                                   .nodes = f->nodes,
                                   .count = f->count,
                                   .candidate = f->candidate,
                                   .was_sent = f->was_sent };
    promote_decide(&facts, &f->plan);
}

static bool is_repeat(const struct promote_plan *a, const struct promote_plan *b)
{
    bool is_same = text_eq(a->rule, b->rule) && a->order_count == b->order_count;
    for (size_t i = 0; is_same && i < a->order_count; i++) {
        is_same = a->orders[i].node == b->orders[i].node && a->orders[i].kind == b->orders[i].kind;
    }
    return is_same;
}

static void result_of(const struct foresee *f, struct switch_change *ret)
{
    *ret = (struct switch_change){ .is_ours = true,
                                   .is_success = f->plan.is_over && f->plan.outcome == PROMOTE_OK,
                                   .is_drained = f->plan.is_drained,
                                   .offset = -1,
                                   .offset_gap = f->plan.gap };
    if (f->plan.candidate >= 0) {
        const struct foreseen_redis *r = &f->redis[f->plan.candidate];
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
    struct foresee *f = xcalloc(1, sizeof(*f));
    f->in = in;
    f->redis = redis;
    f->count = count;
    f->out = out;
    f->candidate = -1;
    for (size_t i = 0; i < count; i++) {
        f->nodes[i] = promote_node_of(&redis[i].addr);
    }
    out->rounds_to_change = -1;
    struct promote_plan before = { .rule = "" };
    decide(f);
    for (int i = 0; !f->plan.is_over && i < ROUNDS_MAX; i++) {
        before = f->plan;
        round_of(f);
        decide(f);
        if (!f->plan.is_over && is_repeat(&f->plan, &before)) {
            f->now = in->deadline_ms;
            decide(f);
        }
    }
    for (size_t i = 0; f->plan.is_over && i < f->plan.order_count; i++) {
        size_t node = f->plan.orders[i].node;
        if (!redis[node].has_no_file) {
            send(f, node, f->plan.orders[i].kind);
        }
    }
    *ret_outcome = f->plan.is_over ? f->plan.outcome : PROMOTE_UNKNOWN;
    result_of(f, ret_change);
    out->rounds_to_change = out->rounds_to_change < 0 ? out->rounds : out->rounds_to_change;
    free(f);
}
