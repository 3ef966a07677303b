/* relay_choose.c - see relay_choose.h.
 *
 *   the relay is known                                          the relay is not known (or gone from the document)
 *   L10 it answers, nothing is against it       stays           L20 follows the source                     is it
 *   L12 silent, but not for long                stays           L22 follows somebody else outside this DC  is it
 *   L14 silent, down or behind, and nobody      stays           L24 silent, not for long, and followed     is it
 *       else is fit, or nobody may be moved                     L26 the best of those that answer
 *   L30 silent for too long                     best other      L28 another may still answer that it follows the
 *   L32 its link is down for too long           best other          source: nobody yet
 *   L34 behind for too long                     best other      L40 nobody answers: nobody
 *
 * Nobody may be moved while the source is not known, or while a route applies: the new one could not be pointed at it.
 */
#include "meta/keepers/relay_choose.h"

#include "shared/base/banned.h"

#define LAG_PATIENCE 6 /* times relay_link_ms: so long its link is up, and it did not catch up */

/* of a candidate; the first number that differs decides, then the order of the document */
struct merit {
    int class;
    int followers;
    int64_t offset;
};

static bool is_better(const struct merit *a, const struct merit *b)
{
    if (a->class != b->class) {
        return a->class > b->class;
    }
    if (a->followers != b->followers) {
        return a->followers > b->followers;
    }
    return a->offset > b->offset;
}

static bool is_redis_that_answers(const struct tree_facts *f, const struct tree_node *node)
{
    return tree_node_is_fresh(f, node) && node->role.kind != ROLE_KIND_KEEPER;
}

static bool follows(const struct tree_facts *f, const struct tree_node *node,
                    const struct addr *upstream)
{
    return is_redis_that_answers(f, node) && !addr_is_none(upstream) &&
           addr_eq(&node->role.master, upstream);
}

static int followers_of(const struct tree_facts *f, const struct tree_node *node)
{
    int count = 0;
    for (size_t i = 0; i < f->redis_count; i++) {
        count += follows(f, &f->nodes[i], &node->addr);
    }
    return count;
}

static bool follows_source(const struct tree_facts *f, const struct tree_node *node)
{
    return tree_has_source(f) && follows(f, node, &f->source);
}

static bool pulls_from_outside(const struct tree_facts *f, const struct tree_node *node)
{
    return is_redis_that_answers(f, node) && !addr_is_none(&node->role.master) &&
           !tree_is_ours(f, &node->role.master);
}

static bool is_silent_for_long(const struct tree_facts *f, const struct tree_node *node)
{
    return !tree_node_is_fresh(f, node) && node->silent_since != MONO_NEVER &&
           mono_age(f->now, node->silent_since) >= f->relay_silent_ms;
}

/* ---- it is not known ---- */

enum { NOT_FIT, FIT_SYNCING, FIT_ANSWERS, FIT_FOLLOWED, FIT_OUTSIDE, FIT_SOURCE };
static const char *const fit_rules[] = {
    [FIT_SYNCING] = "L26", [FIT_ANSWERS] = "L26", [FIT_FOLLOWED] = "L24",
    [FIT_OUTSIDE] = "L22", [FIT_SOURCE] = "L20",
};

static struct merit merit_as_first(const struct tree_facts *f, const struct tree_node *node)
{
    struct merit m = { NOT_FIT, followers_of(f, node), node->last_offset };
    if (follows_source(f, node)) {
        m.class = FIT_SOURCE;
    } else if (pulls_from_outside(f, node)) {
        m.class = FIT_OUTSIDE;
    } else if (is_redis_that_answers(f, node)) {
        bool is_syncing = tree_link_of(&node->role) == TREE_LINK_SYNCING;
        m.class = is_syncing ? FIT_SYNCING : FIT_ANSWERS;
    } else if (m.followers > 0 && !is_silent_for_long(f, node)) {
        m.class = FIT_FOLLOWED;
    }
    return m;
}

static bool is_every_redis_tried(const struct tree_facts *f)
{
    for (size_t i = 0; i < f->redis_count; i++) {
        if (!f->nodes[i].was_tried) {
            return false;
        }
    }
    return true;
}

static void choose_first(const struct tree_facts *f, struct relay_choice *choice)
{
    struct merit best = { .class = NOT_FIT };
    for (size_t i = 0; i < f->redis_count; i++) {
        struct merit m = merit_as_first(f, &f->nodes[i]);
        if (m.class != NOT_FIT && (best.class == NOT_FIT || is_better(&m, &best))) {
            best = m;
            choice->index = (int)i;
        }
    }
    if (best.class == NOT_FIT) {
        choice->rule = "L40";
    } else if (best.class != FIT_SOURCE && !is_every_redis_tried(f)) {
        choice->index = -1;
        choice->rule = "L28";
    } else {
        choice->rule = fit_rules[best.class];
    }
}

/* ---- it is known ---- */

/* Why it should be replaced; NULL: it should not. */
static const char *complaint(const struct tree_facts *f, const struct tree_node *relay)
{
    if (!tree_node_is_fresh(f, relay)) {
        return is_silent_for_long(f, relay) ? "L30" : NULL;
    }
    if (!follows_source(f, relay)) {
        return NULL; /* it can be put right */
    }
    int64_t link_age = mono_age(f->now, relay->link_since);
    bool is_stuck =
        tree_link_of(&relay->role) == TREE_LINK_SYNCING && link_age >= f->sync_patience_ms;
    bool is_down = tree_link_of(&relay->role) == TREE_LINK_DOWN && link_age >= f->relay_link_ms;
    if (is_down || is_stuck) {
        return "L32";
    }
    bool is_behind = tree_link_of(&relay->role) == TREE_LINK_UP && f->relay_lag_bytes > 0 &&
                     relay->role.offset >= 0 && f->told_offset >= 0 &&
                     f->told_offset - relay->role.offset > f->relay_lag_bytes;
    return is_behind && link_age / LAG_PATIENCE >= f->relay_link_ms ? "L34" : NULL;
}

enum { OTHER_UNFIT, OTHER_STRANGER, OTHER_OF_THE_TREE, OTHER_AT_SOURCE };

/* Of whoever takes its place. While the relay answers, only one whose own link is up is not worse. */
static struct merit merit_as_next(const struct tree_facts *f, const struct tree_node *relay,
                                  const struct tree_node *node)
{
    struct merit m = { .class = OTHER_UNFIT, .offset = node->last_offset };
    if (addr_eq(&node->addr, &relay->addr) || !is_redis_that_answers(f, node)) {
        return m;
    }
    enum tree_link link = tree_link_of(&node->role);
    bool is_at_source = follows_source(f, node) && link == TREE_LINK_UP;
    bool is_of_tree = follows(f, node, &relay->addr) && link != TREE_LINK_SYNCING;
    bool is_level =
        f->relay_lag_bytes == 0 || relay->last_offset - node->last_offset <= f->relay_lag_bytes;
    bool is_worse = tree_node_is_fresh(f, relay) &&
                    (!is_level || link != TREE_LINK_UP || !(is_at_source || is_of_tree));
    if (!is_worse) {
        m.class = is_at_source ? OTHER_AT_SOURCE : is_of_tree ? OTHER_OF_THE_TREE : OTHER_STRANGER;
    }
    return m;
}

static int best_other(const struct tree_facts *f, const struct tree_node *relay)
{
    struct merit best = { .class = OTHER_UNFIT };
    int index = -1;
    for (size_t i = 0; i < f->redis_count; i++) {
        struct merit m = merit_as_next(f, relay, &f->nodes[i]);
        if (m.class != OTHER_UNFIT && (index < 0 || is_better(&m, &best))) {
            best = m;
            index = (int)i;
        }
    }
    return index;
}

static void judge_known(const struct tree_facts *f, int index, struct relay_choice *choice)
{
    const struct tree_node *relay = &f->nodes[index];
    const char *why = complaint(f, relay);
    bool may_move = tree_has_source(f) && f->route_kind == ROUTE_DIRECT;
    int other = why && may_move ? best_other(f, relay) : -1;
    choice->index = other >= 0 ? other : index;
    choice->is_moved = other >= 0;
    choice->rule = other >= 0 ? why : why ? "L14" : tree_node_is_fresh(f, relay) ? "L10" : "L12";
}

static int index_of_relay(const struct tree_facts *f)
{
    for (size_t i = 0; i < f->redis_count; i++) {
        if (!addr_is_none(&f->relay) && addr_eq(&f->nodes[i].addr, &f->relay)) {
            return (int)i;
        }
    }
    return -1;
}

void relay_choose(const struct tree_facts *facts, struct relay_choice *ret_choice)
{
    struct relay_choice choice = { .index = -1 };
    int known = index_of_relay(facts);
    if (known >= 0) {
        judge_known(facts, known, &choice);
    } else {
        choose_first(facts, &choice);
        choice.is_moved = choice.index >= 0 && !addr_is_none(&facts->relay);
    }
    *ret_choice = choice;
}
