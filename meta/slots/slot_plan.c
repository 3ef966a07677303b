/* slot_plan.c - the rules of slot assignment, in the order of slot_plan_decide:
 * classify every slot, deal out the ones without an owner, then balance. */
#include "meta/slots/slot_plan.h"

#include "shared/base/mem.h"

#include "shared/base/banned.h"

#define RULE_ID_(name, id, why)  [name] = id,
#define RULE_WHY_(name, id, why) [name] = why,
static const char *const rule_ids[] = { SLOT_RULES(RULE_ID_) };
static const char *const rule_whys[] = { SLOT_RULES(RULE_WHY_) };

/* Work in progress of one decision. */
struct draft {
    const struct slot_plan_facts *facts;
    struct slot_plan *plan;
    int64_t *held;           /* per alive server: slots it has or is about to get */
    bool taken[SLOT_COUNT];  /* has a step, or is in the middle of a move: leave it alone */
    int orphans[SLOT_COUNT]; /* slots to deal out, ascending */
    enum slot_rule orphan_rule[SLOT_COUNT];
    size_t orphan_count;
};

const char *slot_rule_id(enum slot_rule rule)
{
    return rule_ids[rule];
}

static const char *rule_why(enum slot_rule rule)
{
    return rule_whys[rule];
}

/* The place of a server in facts->alive, or -1. */
static int alive_index(const struct slot_plan_facts *f, int64_t id)
{
    for (size_t i = 0; i < f->alive_count; i++) {
        if (f->alive[i] == id) {
            return (int)i;
        }
    }
    return -1;
}

/* From when on the slots of a server that is not alive may be given away. */
static mono_ms give_away_at(const struct slot_plan_facts *f, int64_t id)
{
    for (size_t i = 0; i < f->gone_count; i++) {
        if (f->gone[i].id == id) {
            return f->gone[i].gone_at + f->gone_grace_ms;
        }
    }
    return f->servers_known_since + f->unknown_grace_ms;
}

static bool grace_is_over(struct draft *d, int64_t id)
{
    mono_ms at = give_away_at(d->facts, id);
    if (at <= d->facts->now) {
        return true;
    }
    if (at < d->plan->look_again_at) {
        d->plan->look_again_at = at;
    }
    return false;
}

static void hold(struct draft *d, int64_t server_id, int64_t count)
{
    int at = alive_index(d->facts, server_id);
    if (at >= 0) {
        d->held[at] += count;
    }
}

static void add_step(struct draft *d, const struct slot_step *step)
{
    d->plan->steps[d->plan->count++] = *step;
    d->taken[step->slot] = true;
}

static void add_orphan(struct draft *d, int slot, enum slot_rule rule)
{
    d->orphans[d->orphan_count] = slot;
    d->orphan_rule[d->orphan_count] = rule;
    d->orphan_count++;
    d->taken[slot] = true;
}

static void assign(struct draft *d, int slot, int64_t to, enum slot_rule rule)
{
    const struct slot_fact *fact = &d->facts->slots[slot];
    add_step(d, &(struct slot_step){ .slot = slot,
                                     .action = SLOT_ASSIGN,
                                     .from = fact->is_known ? fact->slot.server_id : 0,
                                     .to = to,
                                     .rule = rule });
    hold(d, to, 1);
}

static void classify_normal(struct draft *d, int slot, int64_t owner)
{
    if (alive_index(d->facts, owner) >= 0) {
        hold(d, owner, 1);
    } else if (grace_is_over(d, owner)) {
        add_orphan(d, slot, SLOT_RULE_DEAD);
    }
}

/* Both ends are alive: the hand-over starts again from its first step, which every actor accepts twice. */
static void resume(struct draft *d, int slot, const struct slot *s)
{
    d->taken[slot] = true;
    hold(d, s->to_server_id, 1);
    if (d->facts->allow_moves) {
        add_step(d, &(struct slot_step){ .slot = slot,
                                         .action = SLOT_MOVE,
                                         .from = s->server_id,
                                         .to = s->to_server_id,
                                         .rule = SLOT_RULE_RESUME });
    }
}

static void classify_moving(struct draft *d, int slot, const struct slot *s)
{
    bool from_alive = alive_index(d->facts, s->server_id) >= 0;
    bool to_alive = alive_index(d->facts, s->to_server_id) >= 0;
    if (from_alive && to_alive && s->server_id != s->to_server_id) {
        resume(d, slot, s);
    } else if (from_alive) {
        assign(d, slot, s->server_id, SLOT_RULE_REVERT);
    } else if (!grace_is_over(d, s->server_id)) {
        return;
    } else if (to_alive) {
        assign(d, slot, s->to_server_id, SLOT_RULE_FINISH);
    } else {
        add_orphan(d, slot, SLOT_RULE_DEAD);
    }
}

static void classify(struct draft *d)
{
    for (int slot = 0; slot < SLOT_COUNT; slot++) {
        const struct slot_fact *fact = &d->facts->slots[slot];
        if (!fact->is_known || fact->slot.server_id == 0) {
            add_orphan(d, slot, SLOT_RULE_MISSING);
        } else if (fact->slot.state == SLOT_MOVING) {
            classify_moving(d, slot, &fact->slot);
        } else {
            classify_normal(d, slot, fact->slot.server_id);
        }
    }
}

static int64_t held_total(const struct draft *d)
{
    int64_t total = 0;
    for (size_t i = 0; i < d->facts->alive_count; i++) {
        total += d->held[i];
    }
    return total;
}

/* Fills everybody up to the average, then deals the rest round, one each. */
static void deal_orphans(struct draft *d)
{
    const struct slot_plan_facts *f = d->facts;
    int64_t average = (held_total(d) + (int64_t)d->orphan_count) / (int64_t)f->alive_count;
    size_t next = 0;
    for (size_t i = 0; i < f->alive_count; i++) {
        while (d->held[i] < average && next < d->orphan_count) {
            assign(d, d->orphans[next], f->alive[i], d->orphan_rule[next]);
            next++;
        }
    }
    for (size_t i = 0; next < d->orphan_count; i = (i + 1) % f->alive_count) {
        assign(d, d->orphans[next], f->alive[i], d->orphan_rule[next]);
        next++;
    }
}

/* Half of the average is enough to be left alone, unless a rebalance stopped half way: nobody would go on with it. */
static bool is_easy(const struct slot_plan_facts *f, int64_t held, int64_t average)
{
    int64_t enough = f->level_out ? average : average / 2;
    return held < enough || (held == 0 && average > 0);
}

/* Moves up to 'wanted' slots of one donor that is above the average; returns how many. */
static int64_t take_from(struct draft *d, size_t donor, size_t to, int64_t wanted)
{
    const struct slot_plan_facts *f = d->facts;
    int64_t taken = 0;
    for (int slot = SLOT_COUNT - 1; slot >= 0 && taken < wanted; slot--) {
        if (d->taken[slot] || !f->slots[slot].is_known ||
            f->slots[slot].slot.server_id != f->alive[donor]) {
            continue;
        }
        add_step(d, &(struct slot_step){ .slot = slot,
                                         .action = SLOT_MOVE,
                                         .from = f->alive[donor],
                                         .to = f->alive[to],
                                         .rule = SLOT_RULE_REBALANCE });
        taken++;
    }
    d->held[donor] -= taken;
    d->held[to] += taken;
    return taken;
}

static void top_up(struct draft *d, size_t easy, int64_t average)
{
    for (size_t i = 0; i < d->facts->alive_count && d->held[easy] < average; i++) {
        int64_t surplus = d->held[i] - average;
        int64_t need = average - d->held[easy];
        if (i != easy && surplus > 0) {
            take_from(d, i, easy, surplus < need ? surplus : need);
        }
    }
}

static void rebalance(struct draft *d)
{
    int64_t average = held_total(d) / (int64_t)d->facts->alive_count;
    for (size_t i = 0; i < d->facts->alive_count; i++) {
        if (is_easy(d->facts, d->held[i], average)) {
            top_up(d, i, average);
        }
    }
}

static int compare_steps(const void *a, const void *b)
{
    const struct slot_step *x = a;
    const struct slot_step *y = b;
    if (x->action != y->action) {
        return x->action < y->action ? -1 : 1;
    }
    return x->slot - y->slot;
}

void slot_plan_decide(const struct slot_plan_facts *facts, struct slot_plan *ret_plan)
{
    ret_plan->count = 0;
    ret_plan->look_again_at = MONO_FOREVER;
    if (facts->alive_count == 0) {
        return;
    }
    AUTO_FREE int64_t *held = xcalloc(facts->alive_count, sizeof(*held));
    struct draft d = { .facts = facts, .plan = ret_plan, .held = held };
    classify(&d);
    deal_orphans(&d);
    if (facts->allow_moves) {
        rebalance(&d);
    }
    qsort(ret_plan->steps, ret_plan->count, sizeof(ret_plan->steps[0]), compare_steps);
}

static bool continues(const struct slot_step *a, const struct slot_step *b)
{
    return b->slot == a->slot + 1 && a->action == b->action && a->from == b->from &&
           a->to == b->to && a->rule == b->rule;
}

void slot_plan_print(const struct slot_plan *plan, struct str *out)
{
    for (size_t i = 0; i < plan->count; i++) {
        const struct slot_step *first = &plan->steps[i];
        while (i + 1 < plan->count && continues(&plan->steps[i], &plan->steps[i + 1])) {
            i++;
        }
        const struct slot_step *last = &plan->steps[i];
        if (first == last) {
            str_printf(out, "%d", first->slot);
        } else {
            str_printf(out, "%d-%d", first->slot, last->slot);
        }
        str_printf(out, " %s %lld -> %lld %s %s\n",
                   first->action == SLOT_ASSIGN ? "assign" : "move", (long long)first->from,
                   (long long)first->to, slot_rule_id(first->rule), rule_why(first->rule));
    }
}
