/* container_decide.c - see container_decide.h.
 *
 *   C10 of the document, does not live, not tried yet       add
 *   C12 the same, tried before, and its pause is over       add
 *   C20 lives, is not in the document, not tried yet        remove, while none of the document is dead and all of them
 *   C22 the same, tried before, and its pause is over       remove  have lived for settle_ms
 * Nothing before the elections were read. C10, C12: nothing within grace_ms after the shard became ours; a keeper that
 * was told to start has until the end of its pause to register.
 */
#include "meta/keepers/container_decide.h"

#include "shared/base/banned.h"

static bool lives(const struct keeper_election *e, const struct addr *keeper)
{
    for (size_t i = 0; i < e->count; i++) {
        if (addr_eq(&e->keepers[i].addr, keeper)) {
            return true;
        }
    }
    return false;
}

/* Among the first 'count' keepers of the document. */
static bool is_named(const struct shard_meta *shard, size_t count, const struct addr *keeper)
{
    for (size_t i = 0; i < count; i++) {
        if (addr_eq(&shard->keepers.items[i].addr, keeper)) {
            return true;
        }
    }
    return false;
}

static const struct container_try *try_of(const struct container_facts *f,
                                          const struct addr *keeper)
{
    for (size_t i = 0; i < f->try_count; i++) {
        if (addr_eq(&f->tries[i].addr, keeper)) {
            return &f->tries[i];
        }
    }
    return NULL;
}

static int64_t pause_after(const struct container_facts *f, int tries)
{
    int64_t pause = f->retry_first_ms;
    for (int i = 1; i < tries && pause < f->retry_max_ms; i++) {
        pause *= 2;
    }
    return pause < f->retry_max_ms ? pause : f->retry_max_ms;
}

static void act(const struct container_facts *f, struct container_plan *plan,
                const struct container_action *action, const char *again_rule)
{
    const struct container_try *t = try_of(f, &action->keeper);
    bool is_again = t && t->tries > 0;
    if ((t && t->is_running) ||
        (is_again && mono_age(f->now, t->tried_at) < pause_after(f, t->tries)) ||
        plan->action_count == SHARD_KEEPERS_MAX) {
        return;
    }
    struct container_action *added = &plan->actions[plan->action_count++];
    *added = *action;
    added->rule = is_again ? again_rule : action->rule;
}

static void add_dead(const struct container_facts *f, struct container_plan *plan)
{
    for (size_t i = 0; i < f->shard->keepers.count; i++) {
        const struct keeper_meta *keeper = &f->shard->keepers.items[i];
        if (is_named(f->shard, i, &keeper->addr) || lives(f->election, &keeper->addr)) {
            continue;
        }
        plan->dead++;
        if (mono_age(f->now, f->owned_since) >= f->grace_ms) {
            act(f, plan,
                &(struct container_action){ CONTAINER_ADD, "C10", keeper->addr,
                                            keeper->container_id },
                "C12");
        }
    }
}

static void remove_extra(const struct container_facts *f, struct container_plan *plan)
{
    bool is_settled = plan->dead == 0 && f->whole_since != MONO_NEVER &&
                      mono_age(f->now, f->whole_since) >= f->settle_ms;
    for (size_t i = 0; i < f->election->count; i++) {
        const struct addr *keeper = &f->election->keepers[i].addr;
        if (is_named(f->shard, f->shard->keepers.count, keeper)) {
            continue;
        }
        plan->extra++;
        if (is_settled) {
            act(f, plan, &(struct container_action){ CONTAINER_REMOVE, "C20", *keeper, 0 }, "C22");
        }
    }
}

void container_decide(const struct container_facts *facts, struct container_plan *ret_plan)
{
    struct container_plan plan = { 0 };
    if (facts->is_election_known) {
        add_dead(facts, &plan);
        remove_extra(facts, &plan);
    }
    *ret_plan = plan;
}

void container_plan_print(const struct container_plan *plan, struct str *out)
{
    str_printf(out, "dead: %d, extra: %d\n", plan->dead, plan->extra);
    for (size_t i = 0; i < plan->action_count; i++) {
        const struct container_action *a = &plan->actions[i];
        str_printf(out, "%s %s %s", a->rule, a->kind == CONTAINER_ADD ? "add" : "remove",
                   ADDR_TEXT(&a->keeper));
        if (a->kind == CONTAINER_ADD) {
            str_printf(out, " on container %lld", (long long)a->container_id);
        }
        str_putc(out, '\n');
    }
}
