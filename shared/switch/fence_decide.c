/* fence_decide.c - see fence.h: the rules of a fence, in order; the first that applies says what is done next, or that it is over.
 *
 * A target is a Redis that is master, that is frozen (a replica of nobody), or that was one and whose last command is unknown. */
#include "shared/switch/fence.h"

#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/switch/fence_internal.h"

#include "shared/base/banned.h"

#define AGAIN_MS  50 /* who does not answer, or no master yet */
#define SOON_MS   20 /* the same question to one that answers */
#define NO_MASTER "no Redis that answers is a master or frozen"

struct view {
    const struct fence_facts *facts;
    bool is_target[SWITCH_REDIS_MAX];
    size_t targets;
    size_t answering;
    bool was_changed; /* something was sent to somebody */
};

/* ---- one Redis ---- */

static bool is_frozen(const struct fence_node *n)
{
    return n->role.kind == ROLE_KIND_REPLICA && addr_is_none(&n->role.master);
}

static bool is_master(const struct fence_node *n)
{
    return n->role.kind == ROLE_KIND_MASTER;
}

/* Something was sent, and what came of it is not known. */
static bool is_unknown(const struct fence_node *n)
{
    return n->tries > 0 && (n->is_silent || n->role.kind == ROLE_KIND_UNKNOWN);
}

static bool is_held(const struct fence_node *n)
{
    return is_master(n) && n->min_slaves >= FENCE_MIN_SLAVES && n->max_lag_s != 0;
}

static bool is_fenced(const struct fence_node *n)
{
    return (is_frozen(n) && !n->is_writable_replica) || is_held(n);
}

static bool has_error_that_passes(const struct fence_node *n)
{
    static const char *const prefixes[] = { "LOADING", "BUSY", "TRYAGAIN", "MASTERDOWN" };
    for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
        if (text_has_prefix(n->error, prefixes[i])) {
            return true;
        }
    }
    return n->error[0] == '\0';
}

/* A silent one that an answering replica is connected to. */
static bool is_master_of_somebody(const struct fence_facts *f, const struct fence_node *n)
{
    for (size_t i = 0; i < f->count; i++) {
        const struct fence_node *r = &f->nodes[i];
        if (!r->is_silent && r->role.kind == ROLE_KIND_REPLICA &&
            r->role.link == ROLE_LINK_CONNECTED && addr_eq(&r->role.master, &n->addr)) {
            return true;
        }
    }
    return false;
}

static bool is_hint(const struct fence_facts *f, const struct fence_node *n)
{
    return !addr_is_none(&f->hint) && addr_eq(&f->hint, &n->addr);
}

/* ---- all of them ---- */

static void look_at_facts(const struct fence_facts *f, struct view *v)
{
    *v = (struct view){ .facts = f };
    for (size_t i = 0; i < f->count; i++) {
        const struct fence_node *n = &f->nodes[i];
        bool answers = n->was_asked && !n->is_silent;
        v->is_target[i] = (answers && (is_master(n) || is_frozen(n))) || is_unknown(n);
        v->targets += v->is_target[i];
        v->answering += answers;
        v->was_changed = v->was_changed || n->tries > 0;
    }
}

/* Positive when a is rather 'the' master than b. */
static int compare(const struct fence_facts *f, const struct fence_node *a,
                   const struct fence_node *b)
{
    if (is_master(a) != is_master(b)) {
        return is_master(a) ? 1 : -1;
    }
    if ((a->replicas > 0) != (b->replicas > 0)) {
        return a->replicas > 0 ? 1 : -1;
    }
    if (a->offset != b->offset) {
        return a->offset > b->offset ? 1 : -1;
    }
    return (int)is_hint(f, a) - (int)is_hint(f, b);
}

static size_t hint_of(const struct fence_facts *f)
{
    for (size_t i = 0; i < f->count; i++) {
        if (is_hint(f, &f->nodes[i])) {
            return i;
        }
    }
    return f->count;
}

static size_t best_target(const struct view *v)
{
    const struct fence_facts *f = v->facts;
    size_t best = f->count;
    for (size_t i = 0; i < f->count; i++) {
        if (v->is_target[i] &&
            (best == f->count || compare(f, &f->nodes[i], &f->nodes[best]) > 0)) {
            best = i;
        }
    }
    return best;
}

/* A master, as far as one can know, that does not answer. Where the one that is believed to be the master answers as such, a silent
 * one with a follower is rather a replica in a chain. */
static bool is_silent_master(const struct view *v, const struct fence_node *n)
{
    size_t hint = hint_of(v->facts);
    bool is_hint_here = hint < v->facts->count && v->is_target[hint];
    return n->is_silent && ((is_master_of_somebody(v->facts, n) && !is_hint_here) ||
                            (v->targets == 0 && is_hint(v->facts, n)));
}

/* 'The' master: the best of the targets; else the one that replicas or the hint name, which does not answer. */
static size_t the_master(const struct view *v)
{
    const struct fence_facts *f = v->facts;
    size_t best = best_target(v);
    for (size_t i = 0; best == f->count && i < f->count; i++) {
        best = is_master_of_somebody(f, &f->nodes[i]) ? i : best;
    }
    return best < f->count ? best : hint_of(f);
}

/* A master that is not the one to release: it was never fenced, or is no longer. */
static size_t another_master(const struct view *v, size_t released)
{
    const struct fence_facts *f = v->facts;
    for (size_t i = 0; i < f->count; i++) {
        const struct fence_node *n = &f->nodes[i];
        if (i != released && v->is_target[i] && is_master(n) && !is_held(n)) {
            return i;
        }
    }
    return f->count;
}

/* Whom a release is about: the hint; without one the fenced one that is most like the master. Where another is master and not
 * fenced, that one is only asked: a second master is never made. */
static size_t whom_to_release(const struct view *v)
{
    const struct fence_facts *f = v->facts;
    size_t hint = hint_of(f);
    for (size_t i = 0; i < f->count; i++) {
        if (f->nodes[i].tries > 0) {
            return i; /* begun */
        }
    }
    bool is_released = hint < f->count && v->is_target[hint] && is_master(&f->nodes[hint]) &&
                       f->nodes[hint].min_slaves < FENCE_MIN_SLAVES;
    size_t another = is_released ? hint : another_master(v, hint);
    if (another < f->count || hint < f->count) {
        return another < f->count ? another : hint;
    }
    return best_target(v);
}

/* What is proved by now. */
static enum fence_state proved_state(const struct view *v)
{
    const struct fence_facts *f = v->facts;
    bool all_refuse = v->targets > 0;
    bool all_frozen = v->targets > 0;
    for (size_t i = 0; i < f->count; i++) {
        const struct fence_node *n = &f->nodes[i];
        if (v->is_target[i]) {
            if (n->probe == PROBE_ACCEPTED && f->goal == FENCE_GOAL_LOOK) {
                return FENCE_RELEASED;
            }
            all_refuse = all_refuse && !is_unknown(n) && n->probe == PROBE_REFUSED && is_fenced(n);
            all_frozen = all_frozen && is_frozen(n);
        } else if (is_silent_master(v, n)) {
            all_refuse = false;
        }
    }
    if (f->goal == FENCE_GOAL_RELEASE) {
        size_t i = whom_to_release(v);
        return i < f->count && f->nodes[i].probe == PROBE_ACCEPTED ? FENCE_RELEASED : FENCE_NONE;
    }
    if (!all_refuse) {
        return FENCE_NONE;
    }
    return all_frozen ? FENCE_FROZEN : FENCE_HELD;
}

/* ---- plans ---- */

static void add_order(struct fence_plan *p, size_t node, enum fence_order_kind kind)
{
    if (p->order_count < ARRAY_LEN(p->orders)) {
        p->orders[p->order_count].node = node;
        p->orders[p->order_count++].kind = kind;
    }
}

static bool finish(const struct view *v, struct fence_plan *p, enum fence_state state)
{
    p->is_over = true;
    p->state = state;
    p->master = v->facts->goal == FENCE_GOAL_RELEASE ? whom_to_release(v) : the_master(v);
    return true;
}

static bool is_goal(const struct view *v, enum fence_goal a, enum fence_goal b)
{
    return v->facts->goal == a || v->facts->goal == b;
}

/* One order for each node that 'wants' one; false when there is none. */
typedef bool wants_fn(const struct view *v, size_t node, enum fence_order_kind *ret_kind);
static bool order_where(const struct view *v, struct fence_plan *p, wants_fn *wants,
                        int64_t pause_ms)
{
    for (size_t i = 0; i < v->facts->count; i++) {
        enum fence_order_kind kind = FENCE_ORDER_LOOK;
        if (wants(v, i, &kind)) {
            add_order(p, i, kind);
        }
    }
    p->pause_ms = p->order_count > 0 ? pause_ms : 0;
    return p->order_count > 0;
}

/* ---- looking ---- */

static bool wants_first_look(const struct view *v, size_t node, enum fence_order_kind *ret_kind)
{
    *ret_kind = FENCE_ORDER_LOOK;
    return !v->facts->nodes[node].was_asked;
}

static bool first_look(const struct view *v, struct fence_plan *p)
{
    return order_where(v, p, wants_first_look, 0);
}

static bool nobody_until_the_deadline(const struct view *v, struct fence_plan *p)
{
    bool is_dead = v->answering == 0 && !v->was_changed;
    return is_dead && (v->facts->count == 0 || v->facts->now >= v->facts->deadline) &&
           finish(v, p, FENCE_UNREACHABLE);
}

static bool the_deadline(const struct view *v, struct fence_plan *p)
{
    if (v->facts->now < v->facts->deadline) {
        return false;
    }
    finish(v, p, proved_state(v));
    p->drain_pending = v->facts->goal == FENCE_GOAL_WHOLE && p->state == FENCE_HELD;
    return true;
}

static bool wants_any_look(const struct view *v, size_t node, enum fence_order_kind *ret_kind)
{
    (void)v, (void)node;
    *ret_kind = FENCE_ORDER_LOOK;
    return true;
}

static bool nobody_answers(const struct view *v, struct fence_plan *p)
{
    return v->answering == 0 && order_where(v, p, wants_any_look, AGAIN_MS);
}

static bool wants_read_back(const struct view *v, size_t node, enum fence_order_kind *ret_kind)
{
    *ret_kind = FENCE_ORDER_LOOK;
    return is_unknown(&v->facts->nodes[node]);
}

static bool read_back(const struct view *v, struct fence_plan *p)
{
    return order_where(v, p, wants_read_back, SOON_MS);
}

static bool wants_silent_master(const struct view *v, size_t node, enum fence_order_kind *ret_kind)
{
    const struct fence_node *n = &v->facts->nodes[node];
    *ret_kind = FENCE_ORDER_LOOK;
    if (v->facts->goal == FENCE_GOAL_RELEASE) {
        return n->is_silent && node == whom_to_release(v);
    }
    return is_silent_master(v, n);
}

/* Nothing is changed while one of the masters cannot be fenced. */
static bool silent_master(const struct view *v, struct fence_plan *p)
{
    return order_where(v, p, wants_silent_master, AGAIN_MS);
}

static bool nothing_to_do_here(const struct view *v, struct fence_plan *p)
{
    size_t released = whom_to_release(v);
    bool is_release = v->facts->goal == FENCE_GOAL_RELEASE;
    bool is_follower = is_release && released < v->facts->count && !v->is_target[released];
    bool is_nobody = v->targets == 0 && (v->facts->goal == FENCE_GOAL_LOOK || is_release);
    return (is_follower || is_nobody) && finish(v, p, FENCE_NONE);
}

static bool no_master(const struct view *v, struct fence_plan *p)
{
    return v->targets == 0 && order_where(v, p, wants_any_look, AGAIN_MS);
}

static bool refused(const struct view *v, struct fence_plan *p)
{
    for (size_t i = 0; i < v->facts->count; i++) {
        if (v->is_target[i] && !has_error_that_passes(&v->facts->nodes[i])) {
            finish(v, p, proved_state(v));
            p->master = i;
            return true;
        }
    }
    return false;
}

/* ---- hold, freeze ---- */

static bool wants_hold(const struct view *v, size_t node, enum fence_order_kind *ret_kind)
{
    const struct fence_node *n = &v->facts->nodes[node];
    *ret_kind = is_frozen(n) ? FENCE_ORDER_FREEZE : FENCE_ORDER_HOLD;
    return v->is_target[node] && !is_fenced(n);
}

static int64_t pause_of_retry(const struct view *v, wants_fn *wants)
{
    for (size_t i = 0; i < v->facts->count; i++) {
        enum fence_order_kind kind = FENCE_ORDER_LOOK;
        if (v->facts->nodes[i].tries > 0 && v->facts->nodes[i].error[0] != '\0' &&
            wants(v, i, &kind)) {
            return SOON_MS;
        }
    }
    return 0;
}

static bool hold(const struct view *v, struct fence_plan *p)
{
    return is_goal(v, FENCE_GOAL_HOLD, FENCE_GOAL_WHOLE) &&
           order_where(v, p, wants_hold, pause_of_retry(v, wants_hold));
}

static bool wants_freeze(const struct view *v, size_t node, enum fence_order_kind *ret_kind)
{
    const struct fence_node *n = &v->facts->nodes[node];
    *ret_kind = FENCE_ORDER_FREEZE;
    return v->is_target[node] && (is_master(n) || n->is_writable_replica);
}

static bool freeze(const struct view *v, struct fence_plan *p)
{
    return v->facts->goal == FENCE_GOAL_FREEZE &&
           order_where(v, p, wants_freeze, pause_of_retry(v, wants_freeze));
}

static bool freeze_drained(const struct view *v, struct fence_plan *p)
{
    return v->facts->goal == FENCE_GOAL_WHOLE &&
           order_where(v, p, wants_freeze, pause_of_retry(v, wants_freeze));
}

/* ---- proof ---- */

static bool is_proved_one(const struct view *v, size_t node)
{
    return v->is_target[node] && v->facts->goal != FENCE_GOAL_RELEASE;
}

static bool wants_probe(const struct view *v, size_t node, enum fence_order_kind *ret_kind)
{
    *ret_kind = FENCE_ORDER_PROBE;
    return is_proved_one(v, node) && v->facts->nodes[node].probe == PROBE_NONE;
}

static bool prove(const struct view *v, struct fence_plan *p)
{
    return order_where(v, p, wants_probe, 0);
}

static bool wants_probe_again(const struct view *v, size_t node, enum fence_order_kind *ret_kind)
{
    *ret_kind = FENCE_ORDER_PROBE;
    return is_proved_one(v, node) && v->facts->nodes[node].probe == PROBE_OTHER;
}

static bool prove_again(const struct view *v, struct fence_plan *p)
{
    return v->facts->goal != FENCE_GOAL_LOOK && order_where(v, p, wants_probe_again, SOON_MS);
}

static bool wants_look_at_accepting(const struct view *v, size_t node,
                                    enum fence_order_kind *ret_kind)
{
    *ret_kind = FENCE_ORDER_LOOK;
    return is_proved_one(v, node) && v->facts->nodes[node].probe == PROBE_ACCEPTED;
}

static bool accepts_all_the_same(const struct view *v, struct fence_plan *p)
{
    return v->facts->goal != FENCE_GOAL_LOOK && order_where(v, p, wants_look_at_accepting, SOON_MS);
}

/* ---- offsets ---- */

static bool wants_offset(const struct view *v, size_t node, enum fence_order_kind *ret_kind)
{
    const struct fence_node *n = &v->facts->nodes[node];
    *ret_kind = FENCE_ORDER_OFFSET;
    if (!v->is_target[node]) {
        return false;
    }
    return is_frozen(n) ? n->offset < 0 : n->settled_offset < 0;
}

static bool settle(const struct view *v, struct fence_plan *p)
{
    return is_goal(v, FENCE_GOAL_HOLD, FENCE_GOAL_WHOLE) && order_where(v, p, wants_offset, 0);
}

static bool final_offset(const struct view *v, struct fence_plan *p)
{
    return v->facts->goal == FENCE_GOAL_FREEZE && order_where(v, p, wants_offset, SOON_MS);
}

static bool wants_drain(const struct view *v, size_t node, enum fence_order_kind *ret_kind)
{
    const struct fence_node *n = &v->facts->nodes[node];
    *ret_kind = FENCE_ORDER_OFFSET;
    return v->is_target[node] && is_master(n) && n->replicas > 0 &&
           n->min_replica_offset < n->settled_offset;
}

static bool drain(const struct view *v, struct fence_plan *p)
{
    return v->facts->goal == FENCE_GOAL_WHOLE && v->facts->now < v->facts->drain_until &&
           order_where(v, p, wants_drain, SOON_MS);
}

static bool not_drained(const struct view *v, struct fence_plan *p)
{
    struct fence_plan waiting = { 0 };
    if (v->facts->goal != FENCE_GOAL_WHOLE || !order_where(v, &waiting, wants_drain, 0)) {
        return false;
    }
    p->drain_pending = true;
    return finish(v, p, proved_state(v));
}

/* ---- release ---- */

static bool wants_release(const struct view *v, size_t node, enum fence_order_kind *ret_kind)
{
    const struct fence_node *n = &v->facts->nodes[node];
    *ret_kind = FENCE_ORDER_RELEASE;
    return node == whom_to_release(v) && v->is_target[node] &&
           (is_frozen(n) || (is_master(n) && n->min_slaves >= FENCE_MIN_SLAVES));
}

static bool release(const struct view *v, struct fence_plan *p)
{
    return v->facts->goal == FENCE_GOAL_RELEASE &&
           order_where(v, p, wants_release, pause_of_retry(v, wants_release));
}

/* Released around us, by somebody who did not know what it had. */
static bool wants_own_settings(const struct view *v, size_t node, enum fence_order_kind *ret_kind)
{
    const struct fence_facts *f = v->facts;
    const struct fence_node *n = &f->nodes[node];
    *ret_kind = FENCE_ORDER_RELEASE;
    return node == whom_to_release(v) && v->is_target[node] && n->tries == 0 &&
           addr_eq(&f->saved_of, &n->addr) && fence_has_lost_settings(&f->saved, n);
}

static bool own_settings(const struct view *v, struct fence_plan *p)
{
    return v->facts->goal == FENCE_GOAL_RELEASE && order_where(v, p, wants_own_settings, 0);
}

static bool wants_release_proof(const struct view *v, size_t node, enum fence_order_kind *ret_kind)
{
    *ret_kind = FENCE_ORDER_PROBE;
    return node == whom_to_release(v) && v->facts->nodes[node].probe != PROBE_ACCEPTED;
}

static bool prove_release(const struct view *v, struct fence_plan *p)
{
    size_t node = whom_to_release(v);
    bool is_first = node < v->facts->count && v->facts->nodes[node].probe == PROBE_NONE;
    return v->facts->goal == FENCE_GOAL_RELEASE &&
           order_where(v, p, wants_release_proof, is_first ? 0 : SOON_MS);
}

static bool done(const struct view *v, struct fence_plan *p)
{
    return finish(v, p, proved_state(v));
}

/* ---- the table ---- */

static const struct rule {
    const char *id;
    bool (*apply)(const struct view *v, struct fence_plan *p);
    const char *why;
} rules[] = {
    { "X10", first_look, "not asked yet" },
    { "X12", nobody_until_the_deadline, "no Redis of the shard answers" },
    { "X14", the_deadline, "the deadline has passed" },
    { "X16", nobody_answers, "no Redis of the shard answers yet" },
    { "X17", refused, "a command was refused" },
    { "X18", read_back, "the outcome of a command is not known: it is read back" },
    { "X20", silent_master, "a master does not answer: nothing is changed without it" },
    { "X22", nothing_to_do_here, NO_MASTER },
    { "X24", no_master, NO_MASTER ": perhaps a failover is under way" },
    { "X30", hold, "writes are to be refused" },
    { "X32", freeze, "it is to follow nobody" },
    { "X40", prove, "a write proves it" },
    { "X42", prove_again, "the write was answered with another error" },
    { "X44", accepts_all_the_same, "a write is accepted in spite of the settings" },
    { "X50", settle, "two readings of the offset are to agree" },
    { "X52", drain, "replicas have not acknowledged everything yet" },
    { "X54", not_drained, "replicas have not acknowledged everything in time" },
    { "X56", freeze_drained, "everything is acknowledged: it is to follow nobody" },
    { "X58", final_offset, "the final offset is to be read" },
    { "X60", release, "writes are to be accepted" },
    { "X61", own_settings, "it was released by somebody who did not know its settings" },
    { "X62", prove_release, "an accepted write proves it" },
    { "X90", done, "proved" },
};

void fence_decide(const struct fence_facts *facts, struct fence_plan *ret_plan)
{
    struct view v;
    xp_check(facts->count <= SWITCH_REDIS_MAX);
    look_at_facts(facts, &v);
    for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
        *ret_plan =
            (struct fence_plan){ .master = facts->count, .rule = rules[i].id, .why = rules[i].why };
        if (rules[i].apply(&v, ret_plan)) {
            return;
        }
    }
}
