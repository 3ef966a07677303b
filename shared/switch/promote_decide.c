/* promote_decide.c - see promote.h.
 *
 * First row that fits; rules are stable, with gaps. "look": ROLE, INFO replication (and CONFIG GET) of those named.
 *   P10 somebody was not asked yet               look       P40 its data have not arrived, time is left   offset
 *   P12 several masters                          SEVERAL    P42 planned, or drain: not in time            NOT_DRAINED
 *   P14 one master of another history, and a                P44 drain: arrived                            OK
 *       replica that has the order's             STRANGER   P46 drain: nothing to compare with            NOT_DRAINED
 *   P15 one master of another history, planned   STRANGER   P50 data are missing: who is silent, again    look
 *   P16 one master, without the data, planned    NOT_DRAINED P52 the deadline has passed                  REFUSED
 *   P18 one master: promoted earlier             OK         P54 promote
 *   P20 check: nobody answers                    NOBODY     P60 it is master                              OK
 *   P22 check: no replica is fit                 NOBODY     P62 no answer, time is left                   role
 *   P24 check: fit                               OK         P64 no answer, time is over                   UNKNOWN
 *   P30 no fit replica, who is silent, again     look       P66 not carried out, or it loads: again       promote
 *   P32 nobody answers                           NOBODY     P68 refused                                   REFUSED
 *   P34 no replica is fit                        NOBODY
 *   P36 planned, and the order names no offset   NOT_DRAINED P51 planned, one that may be a master is silent UNKNOWN
 *   P38 planned, or drain: another history only  STRANGER
 *
 * Fit: answers as replica, tells its replication id, has data (its link is up, or its offset says so), no full synchronization is under
 * way, and its priority is not 0 or that of all is (P34 says so otherwise). The history of the order: its replication id is the one of the node, or the one that the node (or whom it
 * follows) had before a promotion; what came after that promotion does not count.
 */
#include "shared/switch/promote.h"

#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

#define NO_DATA_OFFSET 1 /* INFO says 0 or 1 where nothing belongs to the replication id */
#define LOOKS_MAX      3 /* of somebody who is silent, while nobody is fit */
#define LOOKS_FINAL    2 /* of somebody who is silent, before the promotion */
#define PROMOTES_MAX   3
#define POLL_MIN_MS    1
#define POLL_MAX_MS    50
#define POLL_DOUBLINGS 6
#define LOOK_PAUSE_MS  50
#define OFFSET_UNKNOWN (-1)

const char *promote_outcome_text(enum promote_outcome outcome)
{
    static const char *const texts[] = {
        [PROMOTE_OK] = "ok",
        [PROMOTE_NOBODY] = "nobody",
        [PROMOTE_SEVERAL] = "several masters",
        [PROMOTE_STRANGER] = "another history",
        [PROMOTE_NOT_DRAINED] = "not drained",
        [PROMOTE_REFUSED] = "refused",
        [PROMOTE_UNKNOWN] = "unknown",
    };
    return texts[outcome];
}

/* ---- plans ---- */

struct rule {
    const char *id;
    const char *why;
};
#define RULE(id, why) (&(const struct rule){ (id), (why) })

static void end(struct promote_plan *plan, enum promote_outcome outcome, const struct rule *rule)
{
    plan->is_over = true;
    plan->outcome = outcome;
    plan->rule = rule->id;
    plan->why = rule->why;
}

static void say(struct promote_plan *plan, int64_t pause_ms, const struct rule *rule)
{
    plan->pause_ms = pause_ms;
    plan->rule = rule->id;
    plan->why = rule->why;
}

static void order(struct promote_plan *plan, size_t node, enum promote_order_kind kind)
{
    plan->orders[plan->order_count].node = node;
    plan->orders[plan->order_count++].kind = kind;
}

/* ---- nodes ---- */

static bool answers(const struct promote_node *n)
{
    return n->was_asked && !n->is_silent;
}

static bool is_master(const struct promote_node *n)
{
    return answers(n) && n->role.kind == ROLE_KIND_MASTER;
}

static bool is_fit(const struct promote_node *n)
{
    bool has_data = n->role.link == ROLE_LINK_CONNECTED || n->offset > NO_DATA_OFFSET;
    return answers(n) && n->role.kind == ROLE_KIND_REPLICA && n->repl_id[0] && n->offset >= 0 &&
           has_data && n->role.link != ROLE_LINK_SYNC;
}

/* In a backup DC without keepers every Redis has 0 (priority_decide.h: no sentinel of the primary DC may promote the relay): then it says
 * nothing. Beside others it is an operator's: never this one. */
static bool is_excluded(const struct promote_facts *f, const struct promote_node *n)
{
    bool is_told_apart = false;
    for (size_t i = 0; i < f->count; i++) {
        is_told_apart |= answers(&f->nodes[i]) && f->nodes[i].priority != 0;
    }
    return n->priority == 0 && is_told_apart;
}

/* How far the node is in the history 'id': an offset, or OFFSET_UNKNOWN when it is not its history. "": any. */
static int64_t offset_in(const struct promote_node *n, const char *id)
{
    if (!id[0] || strcmp(n->repl_id, id) == 0) {
        return n->offset;
    }
    if (strcmp(n->repl_id2, id) != 0 || n->second_offset <= 0) {
        return OFFSET_UNKNOWN;
    }
    int64_t last = n->second_offset - 1;
    return n->offset >= 0 && n->offset < last ? n->offset : last;
}

/* "" when the order does not say: everything is compared with everything. */
static const char *wanted_id(const struct promote_facts *f)
{
    return f->order->has_info ? f->order->repl_id : "";
}

static size_t count_masters(const struct promote_facts *f, size_t *ret_master)
{
    size_t count = 0;
    for (size_t i = 0; i < f->count; i++) {
        if (is_master(&f->nodes[i])) {
            *ret_master = i;
            count++;
        }
    }
    return count;
}

static bool is_better(const struct promote_node *n, const struct promote_node *best, const char *id)
{
    int64_t offset = offset_in(n, id);
    int64_t other = offset_in(best, id);
    return offset > other || (offset == other && n->offset > best->offset);
}

/* The most advanced fit replica of that history; -1: none. */
static int most_advanced(const struct promote_facts *f, const char *id)
{
    int best = -1;
    for (size_t i = 0; i < f->count; i++) {
        const struct promote_node *n = &f->nodes[i];
        if (is_fit(n) && !is_excluded(f, n) && offset_in(n, id) >= 0 &&
            (best < 0 || is_better(n, &f->nodes[best], id))) {
            best = (int)i;
        }
    }
    return best;
}

/* ---- what has arrived ---- */

/* Tells is_drained and gap of the plan. */
static void measure(const struct promote_facts *f, struct promote_plan *plan, size_t node)
{
    int64_t offset = offset_in(&f->nodes[node], wanted_id(f));
    plan->candidate = (int)node;
    plan->gap = -1;
    if (f->order->has_info && offset >= 0) {
        plan->gap = f->order->offset > offset ? f->order->offset - offset : 0;
    }
    plan->is_drained = plan->gap == 0;
}

/* ---- looking ---- */

static bool look_first(const struct promote_facts *f, struct promote_plan *plan)
{
    for (size_t i = 0; i < f->count; i++) {
        if (!f->nodes[i].was_asked) {
            order(plan, i, PROMOTE_ORDER_LOOK);
        }
    }
    say(plan, 0, RULE("P10", "who is who"));
    return plan->order_count > 0;
}

/* Who is silent and was asked fewer than 'times'. */
static bool look_again(const struct promote_facts *f, struct promote_plan *plan, int times,
                       const struct rule *rule)
{
    for (size_t i = 0; f->now < f->deadline && i < f->count; i++) {
        if (f->nodes[i].is_silent && f->nodes[i].tries < times) {
            order(plan, i, PROMOTE_ORDER_LOOK);
        }
    }
    say(plan, LOOK_PAUSE_MS, rule);
    return plan->order_count > 0;
}

static bool has_answer(const struct promote_facts *f)
{
    for (size_t i = 0; i < f->count; i++) {
        if (answers(&f->nodes[i])) {
            return true;
        }
    }
    return false;
}

/* ---- there is a master ---- */

/* Somebody fit has what the order asks for, and it does not come from this master. */
static bool has_rival(const struct promote_facts *f, size_t master)
{
    int best = most_advanced(f, wanted_id(f));
    return best >= 0 && !addr_eq(&f->nodes[best].role.master, &f->nodes[master].addr);
}

static void decide_with_master(const struct promote_facts *f, struct promote_plan *plan,
                               size_t master)
{
    const struct promote_node *n = &f->nodes[master];
    bool is_stranger = n->repl_id[0] && offset_in(n, wanted_id(f)) < 0;
    measure(f, plan, master);
    bool is_check = f->goal == PROMOTE_GOAL_CHECK;
    if (!is_check && is_stranger && has_rival(f, master)) {
        end(plan, PROMOTE_STRANGER,
            RULE("P14", "the master has another history, and a replica has the one of the order"));
    } else if (!is_check && is_stranger && !f->order->is_disaster) {
        end(plan, PROMOTE_STRANGER, RULE("P15", "the master has another history"));
    } else if (!is_check && !plan->is_drained && f->order->has_info && !f->order->is_disaster) {
        end(plan, PROMOTE_NOT_DRAINED, RULE("P16", "it was promoted before all data had arrived"));
    } else {
        end(plan, PROMOTE_OK, RULE("P18", "there is a master already"));
    }
}

/* ---- check ---- */

static void decide_check(const struct promote_facts *f, struct promote_plan *plan)
{
    plan->candidate = most_advanced(f, "");
    if (plan->candidate >= 0) {
        end(plan, PROMOTE_OK, RULE("P24", "a replica is fit"));
    } else if (has_answer(f)) {
        end(plan, PROMOTE_NOBODY,
            RULE("P22", "no Redis that answers is a replica with data and a priority above 0"));
    } else {
        end(plan, PROMOTE_NOBODY, RULE("P20", "nobody answers"));
    }
}

/* ---- drain and promote ---- */

static void decide_nobody(const struct promote_facts *f, struct promote_plan *plan)
{
    if (look_again(f, plan, LOOKS_MAX,
                   RULE("P30", "no fit replica; who is silent is asked again"))) {
        return;
    }
    if (!has_answer(f)) {
        end(plan, PROMOTE_NOBODY, RULE("P32", "nobody answers"));
    } else {
        end(plan, PROMOTE_NOBODY,
            RULE("P34", "no Redis that answers is a replica with data and a priority above 0"));
    }
}

/* Offsets of all who are fit: the one behind may overtake. */
static void poll(const struct promote_facts *f, struct promote_plan *plan)
{
    int tries = f->nodes[plan->candidate].tries - 1;
    int doublings = tries < POLL_DOUBLINGS ? tries : POLL_DOUBLINGS;
    int64_t pause_ms = (int64_t)POLL_MIN_MS << (doublings > 0 ? doublings : 0);
    int64_t left = f->drain_until - f->now;
    pause_ms = pause_ms < POLL_MAX_MS ? pause_ms : POLL_MAX_MS;
    for (size_t i = 0; i < f->count; i++) {
        if (is_fit(&f->nodes[i]) && !is_excluded(f, &f->nodes[i])) {
            order(plan, i, PROMOTE_ORDER_OFFSET);
        }
    }
    say(plan, pause_ms < left ? pause_ms : left, RULE("P40", "waiting for the data"));
}

/* Who may have been promoted by an earlier run, and is silent; -1: nobody. */
static int silent_maybe(const struct promote_facts *f)
{
    for (size_t i = 0; !addr_is_none(&f->maybe) && i < f->count; i++) {
        if (addr_eq(&f->nodes[i].addr, &f->maybe) && !answers(&f->nodes[i])) {
            return (int)i;
        }
    }
    return -1;
}

static void promote(struct promote_plan *plan, bool is_second)
{
    order(plan, (size_t)plan->candidate, PROMOTE_ORDER_PROMOTE);
    order(plan, (size_t)plan->candidate, PROMOTE_ORDER_ROLE);
    if (is_second) {
        say(plan, 0,
            RULE("P54", "disaster: the one that may have been promoted earlier is silent"));
    } else if (plan->is_drained) {
        say(plan, 0, RULE("P54", "everything has arrived"));
    } else {
        say(plan, 0, RULE("P54", "disaster: the most advanced replica, without all data"));
    }
}

static void decide_final(const struct promote_facts *f, struct promote_plan *plan)
{
    int maybe = silent_maybe(f);
    if ((!plan->is_drained || maybe >= 0) &&
        look_again(f, plan, LOOKS_FINAL, RULE("P50", "who is silent may have more: asked again"))) {
        return;
    }
    if (f->now >= f->deadline) {
        end(plan, PROMOTE_REFUSED, RULE("P52", "the deadline has passed, nothing was sent"));
        return;
    }
    if (maybe >= 0 && !f->order->is_disaster) {
        measure(f, plan, (size_t)maybe);
        end(plan, PROMOTE_UNKNOWN,
            RULE("P51", "the one that may have been promoted earlier is silent"));
        return;
    }
    promote(plan, maybe >= 0);
}

/* Planned, or only a look at the data: everything must be there. */
static bool decide_strict(const struct promote_facts *f, struct promote_plan *plan,
                          bool is_stranger)
{
    bool is_drain = f->goal == PROMOTE_GOAL_DRAIN;
    if (!f->order->has_info && is_drain && f->order->is_disaster) {
        end(plan, PROMOTE_NOT_DRAINED, RULE("P46", "the order names no offset: not known"));
    } else if (!f->order->has_info) {
        end(plan, PROMOTE_NOT_DRAINED, RULE("P36", "planned, and the order names no offset"));
    } else if (is_stranger) {
        end(plan, PROMOTE_STRANGER, RULE("P38", "the replicas have another history"));
    } else if (!plan->is_drained) {
        end(plan, PROMOTE_NOT_DRAINED, RULE("P42", "the data have not arrived in time"));
    } else if (is_drain) {
        end(plan, PROMOTE_OK, RULE("P44", "everything has arrived"));
    } else {
        return false;
    }
    return true;
}

static void decide_candidate(const struct promote_facts *f, struct promote_plan *plan)
{
    int same = most_advanced(f, wanted_id(f));
    int any = same >= 0 ? same : most_advanced(f, "");
    bool is_strict = f->goal == PROMOTE_GOAL_DRAIN || !f->order->is_disaster;
    if (any < 0) {
        decide_nobody(f, plan);
        return;
    }
    measure(f, plan, (size_t)any);
    bool is_stranger = same < 0;
    if (is_stranger && look_again(f, plan, LOOKS_MAX,
                                  RULE("P30", "no fit replica; who is silent is asked again"))) {
        return;
    }
    if (f->order->has_info && !is_stranger && !plan->is_drained && f->now < f->drain_until) {
        poll(f, plan);
    } else if (!is_strict || !decide_strict(f, plan, is_stranger)) {
        decide_final(f, plan);
    }
}

/* ---- the promotion was sent ---- */

static bool is_loading(const struct promote_node *n)
{
    return text_has_prefix(n->error, "LOADING");
}

static void decide_sent(const struct promote_facts *f, struct promote_plan *plan)
{
    size_t node = (size_t)f->candidate;
    const struct promote_node *n = &f->nodes[node];
    bool has_time = f->now < f->deadline;
    measure(f, plan, node);
    if (is_master(n)) {
        end(plan, PROMOTE_OK, RULE("P60", "it is master"));
        order(plan, node, PROMOTE_ORDER_REWRITE);
    } else if (n->is_silent || n->role.kind != ROLE_KIND_REPLICA) {
        if (!has_time) {
            end(plan, PROMOTE_UNKNOWN, RULE("P64", "no answer: it may be a master now"));
            return;
        }
        order(plan, node, PROMOTE_ORDER_ROLE);
        say(plan, LOOK_PAUSE_MS, RULE("P62", "no answer: its role decides"));
    } else if (has_time && (is_loading(n) || (!n->error[0] && n->tries < PROMOTES_MAX))) {
        order(plan, node, PROMOTE_ORDER_PROMOTE);
        order(plan, node, PROMOTE_ORDER_ROLE);
        say(plan, LOOK_PAUSE_MS,
            is_loading(n) ? RULE("P66", "it is still loading")
                          : RULE("P66", "it is a replica: not carried out"));
    } else if (f->was_lost) { /* what was sent may still arrive */
        end(plan, PROMOTE_UNKNOWN, RULE("P64", "a replica still, but an answer was lost"));
    } else {
        end(plan, PROMOTE_REFUSED, RULE("P68", "it is still a replica"));
    }
}

void promote_decide(const struct promote_facts *f, struct promote_plan *plan)
{
    xp_check((f->nodes || f->count == 0) && f->count <= SWITCH_REDIS_MAX && f->order);
    size_t master = 0;
    *plan = (struct promote_plan){ .outcome = PROMOTE_UNKNOWN, .candidate = -1, .gap = -1 };
    if (f->was_sent) {
        xp_check(f->candidate >= 0 && (size_t)f->candidate < f->count);
        decide_sent(f, plan);
        return;
    }
    if (look_first(f, plan)) {
        return;
    }
    size_t masters = count_masters(f, &master);
    if (masters > 1) {
        end(plan, PROMOTE_SEVERAL, RULE("P12", "several masters"));
    } else if (masters == 1) {
        decide_with_master(f, plan, master);
    } else if (f->goal == PROMOTE_GOAL_CHECK) {
        decide_check(f, plan);
    } else {
        decide_candidate(f, plan);
    }
}
