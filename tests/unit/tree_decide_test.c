/* tree_decide_test.c - what holds for every plan whatever the facts are, and that plans which are carried out end in a whole tree.
 *
 * A world of a few Redis and keepers is thrown into disorder by dice: everything is pointed anywhere, dies, returns, hangs. Each
 * plan is checked against the facts it was made from and then carried out on the world. Then it is left in peace. What is
 * decided in which case is in tests/golden/tree_decide. */
#include "meta/keepers/tree_decide.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/mem.h"
#include "tests/sim/dice.h"
#include "tests/unit/unit.h"

#include "shared/base/banned.h"

#define REDIS_MAX    5
#define KEEPERS_MAX  4
#define NODES_MAX    (REDIS_MAX + KEEPERS_MAX)
#define WORLDS       30000
#define CHAOS_ROUNDS 4
#define ROUND_MS     1000
#define PATIENCE_MS  600000
#define ROUTE        "PROXYTCP://1.1.1.1:80"
#define OUTSIDERS    4

struct world {
    struct dice dice;
    mono_ms now;
    enum tree_place place;
    struct tree_node nodes[NODES_MAX]; /* Redis, then keepers */
    bool is_dead[NODES_MAX];
    size_t redis_count;
    size_t node_count;
    struct redis_meta redises[REDIS_MAX];
    struct keeper_meta keepers[KEEPERS_MAX];
    struct shard_meta shard;
    struct addr source;
    struct addr told;
    struct addr relay;
    enum route_choice_kind route_kind;
    bool is_election_known;
    int replica_priority;
    /* as seen in this round */
    struct keeper_election election;
    struct tree_node seen[NODES_MAX];
    size_t at[NODES_MAX]; /* of 'nodes' */
    struct tree_facts facts;
    struct tree_plan plan;
};

/* ---- the world ---- */

static struct addr outsider(struct world *w)
{
    char host[32];
    (void)snprintf(host, sizeof(host), "10.1.0.%d", (int)dice_between(&w->dice, 1, OUTSIDERS));
    return addr_of(host, 6379);
}

static struct addr anybody(struct world *w)
{
    if (w->node_count > 0 && dice_chance(&w->dice, 60)) {
        return w->nodes[dice_roll(&w->dice, w->node_count)].addr;
    }
    return dice_chance(&w->dice, 20) ? (struct addr){ 0 } : outsider(w);
}

static void disturb_node(struct world *w, size_t i)
{
    static const char *const routes[] = { NULL, "", ROUTE, "PROXYTCP://2.2.2.2:80" };
    static const int priorities[] = { 0, 0, 100, 100, PRIORITY_UNKNOWN, PRIORITY_REFUSED };
    struct tree_node *n = &w->nodes[i];
    w->is_dead[i] = dice_chance(&w->dice, 15);
    n->was_tried = dice_chance(&w->dice, 95);
    n->role = (struct redis_role){ .kind = n->is_keeper ? ROLE_KIND_KEEPER : ROLE_KIND_REPLICA,
                                   .master = anybody(w),
                                   .link = (enum role_link)dice_roll(&w->dice, 7),
                                   .offset = dice_between(&w->dice, -1, 5000) };
    if (!n->is_keeper && dice_chance(&w->dice, 25)) {
        n->role = (struct redis_role){ .kind = ROLE_KIND_MASTER, .offset = 10 };
    } else if (dice_chance(&w->dice, 3)) {
        n->role.kind = (enum role_kind)dice_roll(&w->dice, 4);
    }
    n->last_offset = n->role.offset;
    n->link_since = w->now - dice_between(&w->dice, 0, 2 * PATIENCE_MS);
    n->silent_since = w->is_dead[i] ? w->now - dice_between(&w->dice, 0, 10000) : MONO_NEVER;
    n->state = n->is_keeper ? (enum keeper_state)dice_roll(&w->dice, 6) : KEEPER_UNSEEN;
    n->route_sent = n->is_keeper ? routes[dice_roll(&w->dice, 4)] : NULL;
    n->priority = priorities[dice_roll(&w->dice, ARRAY_LEN(priorities))];
}

static void disturb(struct world *w)
{
    for (size_t i = 0; i < w->node_count; i++) {
        if (dice_chance(&w->dice, 60)) {
            disturb_node(w, i);
        }
    }
    w->source = anybody(w);
    w->told = anybody(w);
    w->place = (enum tree_place)dice_roll(&w->dice, 3);
    w->route_kind = (enum route_choice_kind)dice_roll(&w->dice, 3);
    w->is_election_known = dice_chance(&w->dice, 95);
    w->replica_priority = dice_chance(&w->dice, 80) ? 100 : 0;
}

static void add_nodes(struct world *w, size_t count, bool are_keepers)
{
    char host[32];
    for (size_t i = 0; i < count; i++) {
        struct tree_node *n = &w->nodes[w->node_count++];
        (void)snprintf(host, sizeof(host), "10.2.0.%zu", i + 1);
        *n = (struct tree_node){ .addr = addr_of(host, are_keepers ? 6380 : 6379),
                                 .is_keeper = are_keepers };
        disturb_node(w, w->node_count - 1);
    }
}

static void make_world(struct world *w, uint64_t seed)
{
    memset(w, 0, sizeof(*w));
    w->dice.state = seed;
    w->now = 100 * PATIENCE_MS;
    w->redis_count = dice_roll(&w->dice, REDIS_MAX + 1);
    add_nodes(w, w->redis_count, false);
    add_nodes(w, dice_chance(&w->dice, 60) ? dice_roll(&w->dice, KEEPERS_MAX + 1) : 0, true);
    for (size_t i = 0; i < w->redis_count; i++) {
        w->redises[i].addr = w->nodes[i].addr;
    }
    w->shard.redises.items = w->redises;
    w->shard.redises.count = w->redis_count;
    w->shard.keepers.items = w->keepers;
    for (size_t i = w->redis_count; i < w->node_count; i++) {
        if (dice_chance(&w->dice, 90)) { /* else it lives and is not in the document */
            w->keepers[w->shard.keepers.count++] =
                (struct keeper_meta){ .addr = w->nodes[i].addr,
                                      .priority = dice_between(&w->dice, 0, 2) };
        }
    }
}

/* ---- what is seen of it ---- */

static void elect(struct world *w)
{
    struct keeper_child children[KEEPERS_MAX];
    char texts[KEEPERS_MAX][2][64];
    size_t count = 0;
    for (size_t i = w->redis_count; i < w->node_count; i++) {
        if (!w->is_dead[i]) {
            (void)snprintf(texts[count][0], 64, "latch-%zu", i);
            (void)snprintf(texts[count][1], 64, "{\"ip\":\"%s\",\"port\":6380}",
                           w->nodes[i].addr.host);
            children[count] = (struct keeper_child){ ELECTION_BY_REPL, texts[count][0],
                                                     texts[count][1], strlen(texts[count][1]) };
            count++;
        }
    }
    keeper_elect(children, count, &w->shard, &w->election);
}

static void look(struct world *w)
{
    size_t count = 0;
    for (size_t i = 0; i < w->node_count; i++) {
        if (w->nodes[i].is_keeper && w->is_dead[i]) {
            continue;
        }
        w->at[count] = i;
        w->seen[count] = w->nodes[i];
        w->seen[count++].role_at = w->is_dead[i] ? MONO_NEVER : w->now;
    }
    elect(w);
    w->facts = (struct tree_facts){
        .now = w->now,
        .fresh_ms = 3000,
        .place = w->place,
        .nodes = w->seen,
        .redis_count = w->redis_count,
        .node_count = count,
        .is_election_known = w->is_election_known,
        .election = &w->election,
        .shard = &w->shard,
        .source = w->source,
        .told = w->told,
        .told_offset = 20000,
        .relay = w->relay,
        .route_kind = w->route_kind,
        .route_words = w->route_kind == ROUTE_CHOSEN ? ROUTE : "",
        .sync_patience_ms = PATIENCE_MS,
        .relay_silent_ms = 3000,
        .relay_link_ms = 10000,
        .relay_lag_bytes = 1000,
        .replica_priority = w->replica_priority,
    };
}

/* ---- what holds for every plan ---- */

static const struct tree_node *seen_at(const struct world *w, const struct addr *addr)
{
    for (size_t i = 0; i < w->facts.node_count; i++) {
        if (addr_eq(&w->seen[i].addr, addr)) {
            return &w->seen[i];
        }
    }
    return NULL;
}

static const struct tree_action *action_of(const struct world *w, const struct tree_node *node)
{
    for (size_t i = 0; i < w->plan.action_count; i++) {
        if (&w->seen[w->plan.actions[i].node] == node) {
            return &w->plan.actions[i];
        }
    }
    return NULL;
}

/* Whom it follows as far as is known; after the plan: once everything in it is carried out. */
static struct addr upstream(const struct world *w, const struct tree_node *node, bool after_plan)
{
    const struct tree_action *action = after_plan ? action_of(w, node) : NULL;
    if (action && action->kind != TREE_ACT_SET_PRIORITY) {
        return action->target;
    }
    return tree_node_is_fresh(&w->facts, node) ? node->role.master : (struct addr){ 0 };
}

static bool is_in_ring(const struct world *w, const struct tree_node *start)
{
    const struct tree_node *node = start;
    for (size_t steps = 0; node && steps <= w->facts.node_count; steps++) {
        struct addr next = upstream(w, node, true);
        node = addr_is_none(&next) ? NULL : seen_at(w, &next);
        if (node == start) {
            return true;
        }
    }
    return false;
}

/* As the facts say, without the plan: up from it one comes out of this DC, or in the primary DC to a master. */
static bool is_fed(const struct world *w, const struct tree_node *node)
{
    for (size_t steps = 0; steps <= w->facts.node_count; steps++) {
        struct addr next = upstream(w, node, false);
        if (addr_is_none(&next)) {
            return w->place == TREE_PRIMARY && tree_node_is_fresh(&w->facts, node) &&
                   node->role.kind == ROLE_KIND_MASTER;
        }
        node = seen_at(w, &next);
        if (!node) {
            return !tree_is_ours(&w->facts, &next);
        }
    }
    return false;
}

static void check_head_action(const struct world *w, const struct tree_action *a)
{
    const struct tree_node *head = &w->seen[a->node];
    xp_check((int)a->node == w->plan.head);
    xp_check(tree_has_source(&w->facts) && addr_eq(&a->target, &w->source));
    xp_check(w->route_kind != ROUTE_UNUSABLE);
    xp_check(head->is_keeper == (a->kind == TREE_ACT_SET_ACTIVE));
    xp_check(head->is_keeper || (w->route_kind == ROUTE_DIRECT && w->shard.keepers.count == 0));
    xp_check(a->with_route == (w->route_kind == ROUTE_CHOSEN));
    /* Nobody pulls from outside whom sentinels could promote, but who refuses to be told. */
    xp_check(head->is_keeper || w->replica_priority == 0 || head->priority == 0 ||
             head->priority == PRIORITY_REFUSED);
    if (a->is_refresh) {
        xp_check(a == &w->plan.actions[w->plan.action_count - 1] && a->stage == 1);
        xp_check(addr_eq(&head->role.master, &w->source) && head->state == KEEPER_ACTIVE);
        xp_check(!head->route_sent && !a->breaks_link);
    }
}

static void check_follower_action(const struct world *w, const struct tree_action *a)
{
    xp_check(a->stage == 1 && w->plan.head >= 0 && (int)a->node != w->plan.head);
    const struct tree_node *head = &w->seen[w->plan.head];
    const struct tree_action *first = action_of(w, head);
    xp_check(addr_eq(&a->target, &head->addr) && !a->with_route && !a->is_refresh);
    xp_check(tree_node_is_fresh(&w->facts, head));
    bool is_right = addr_eq(&head->role.master, &w->source) && tree_has_source(&w->facts) &&
                    (!head->is_keeper || head->state == KEEPER_ACTIVE);
    bool is_commanded = first && first->stage == 0 && first->kind != TREE_ACT_SET_PRIORITY;
    xp_check(is_commanded || is_right || is_fed(w, head));
}

static bool is_master_here(const struct world *w, const struct tree_node *node)
{
    return !node->is_keeper && tree_node_is_fresh(&w->facts, node) &&
           node->role.kind == ROLE_KIND_MASTER;
}

/* What is taken away in a backup DC without keepers comes back in the primary DC, as long as its master has 0, too. */
static void check_priority_action(const struct world *w, const struct tree_action *a)
{
    const struct tree_node *node = &w->seen[a->node];
    xp_check(!node->is_keeper && w->replica_priority == 100 && !a->breaks_link);
    xp_check(action_of(w, node) == a && addr_is_none(&a->target));
    xp_check(a->is_refresh ? a->stage == 1 : a->stage == 0 && (int)a->node == w->plan.head);
    if (w->place == TREE_BACKUP) {
        xp_check(node->priority > 0 && a->priority == 0 && w->shard.keepers.count == 0);
        return;
    }
    xp_check(w->place == TREE_PRIMARY && node->priority == 0 && a->priority == 100);
    for (size_t i = 0; i < w->redis_count; i++) {
        const struct tree_node *n = &w->seen[i];
        bool is_source = addr_eq(&n->addr, &w->source);
        xp_check(!is_master_here(w, n) || (is_source && n->priority == 0));
        xp_check(!is_master_here(w, node) || n == node ||
                 (tree_node_is_fresh(&w->facts, n) && n->priority != 0));
    }
}

static void check_action(const struct world *w, const struct tree_action *a)
{
    const struct tree_node *node = &w->seen[a->node];
    xp_check(tree_node_is_fresh(&w->facts, node));
    xp_check((w->plan.rows[a->node].verdict == TREE_WRONG) == !a->is_refresh);
    if (a->kind == TREE_ACT_SET_PRIORITY) {
        check_priority_action(w, a);
        return;
    }
    xp_check(!node->is_keeper || node->state != KEEPER_UNSEEN);
    xp_check(node->is_keeper == (a->kind != TREE_ACT_FOLLOW));
    xp_check(w->place == TREE_BACKUP || (w->place == TREE_PRIMARY && node->is_keeper));
    xp_check(!node->is_keeper || w->shard.keepers.count > 0);
    xp_check(!addr_eq(&a->target, &node->addr) && !addr_is_none(&a->target));
    xp_check(action_of(w, node) == a); /* one a node */
    xp_check(!a->breaks_link || node->role.link == ROLE_LINK_CONNECTED);
    xp_check(!is_in_ring(w, node));
    if (!node->is_keeper && node->role.link == ROLE_LINK_SYNC) {
        xp_check(w->now - node->link_since >= PATIENCE_MS);
    }
    if (a->stage == 0 || a->is_refresh) {
        check_head_action(w, a);
    } else {
        check_follower_action(w, a);
    }
}

static void check_plan(const struct world *w)
{
    size_t wrong = 0;
    for (size_t i = 0; i < w->plan.action_count; i++) {
        check_action(w, &w->plan.actions[i]);
        wrong += !w->plan.actions[i].is_refresh;
        xp_check(i == 0 || w->plan.actions[i - 1].stage <= w->plan.actions[i].stage);
    }
    for (size_t i = 0; i < w->facts.node_count; i++) {
        const struct tree_row *row = &w->plan.rows[i];
        wrong -= row->verdict == TREE_WRONG;
        xp_check(row->verdict < TREE_VERDICTS && tree_verdict_text(row->verdict)[0]);
        xp_check(tree_node_is_fresh(&w->facts, &w->seen[i]) || row->verdict == TREE_SILENT);
        xp_check(w->place != TREE_OUTSIDE || row->verdict == TREE_LEFT_ALONE ||
                 row->verdict == TREE_SILENT);
    }
    xp_check(wrong == 0);
}

/* Decides twice, over different rubbish: the plan must not depend on what was there before. */
static void decide(struct world *w)
{
    AUTO_STR struct str one = STR_INIT(65536);
    AUTO_STR struct str two = STR_INIT(65536);
    look(w);
    memset(&w->plan, 0xa5, sizeof(w->plan));
    tree_decide(&w->facts, &w->plan);
    tree_plan_print(&w->facts, &w->plan, &one);
    memset(&w->plan, 0x5a, sizeof(w->plan));
    tree_decide(&w->facts, &w->plan);
    tree_plan_print(&w->facts, &w->plan, &two);
    xp_check(text_eq(str_text(&one), str_text(&two)));
    if (w->plan.relay.index >= 0) {
        w->relay = w->seen[w->plan.relay.index].addr;
    }
    check_plan(w);
}

/* ---- carrying it out ---- */

static void obey(struct world *w, const struct tree_action *a)
{
    struct tree_node *n = &w->nodes[w->at[a->node]];
    if (a->kind == TREE_ACT_SET_PRIORITY) {
        n->priority = a->priority;
        return;
    }
    n->role.kind = n->is_keeper ? ROLE_KIND_KEEPER : ROLE_KIND_REPLICA;
    n->role.master = a->target;
    n->role.link = ROLE_LINK_CONNECTED;
    n->role.offset = n->last_offset = 19900;
    n->link_since = w->now;
    if (a->kind == TREE_ACT_SET_ACTIVE) {
        n->state = KEEPER_ACTIVE;
        n->route_sent = a->with_route ? ROUTE : "";
    } else if (a->kind == TREE_ACT_SET_BACKUP) {
        n->state = KEEPER_BACKUP;
    }
}

/* 'refusals' percent of the commands fail; what belongs to stage 1 waits for stage 0. */
static void carry_out(struct world *w, int refusals)
{
    bool is_refused = false;
    for (size_t i = 0; i < w->plan.action_count; i++) {
        const struct tree_action *a = &w->plan.actions[i];
        if ((a->stage == 1 && is_refused) || dice_chance(&w->dice, refusals)) {
            is_refused |= a->stage == 0;
        } else {
            obey(w, a);
        }
    }
    w->now += ROUND_MS;
}

/* ---- peace ---- */

/* Everybody lives, the source is one, links come up. What is pointed where stays as disordered as it is. */
static void make_peace(struct world *w)
{
    w->place = dice_chance(&w->dice, 70) ? TREE_BACKUP : TREE_PRIMARY;
    w->route_kind =
        w->shard.keepers.count > 0 && dice_chance(&w->dice, 50) ? ROUTE_CHOSEN : ROUTE_DIRECT;
    w->is_election_known = true;
    w->source = w->place == TREE_BACKUP ? outsider(w) : w->nodes[0].addr;
    w->told = w->source;
    for (size_t i = 0; i < w->node_count; i++) {
        struct tree_node *n = &w->nodes[i];
        w->is_dead[i] = false;
        n->was_tried = true;
        n->silent_since = MONO_NEVER;
        n->priority = n->priority == PRIORITY_UNKNOWN ? 100 : n->priority;
        n->role.link = ROLE_LINK_CONNECTED;
        n->role.offset = n->last_offset = 19900;
        n->role.kind = n->is_keeper                    ? ROLE_KIND_KEEPER
                       : addr_is_none(&n->role.master) ? ROLE_KIND_MASTER
                                                       : ROLE_KIND_REPLICA;
        n->state = n->is_keeper && n->state == KEEPER_UNSEEN ? KEEPER_UNKNOWN : n->state;
        if (w->place == TREE_PRIMARY && !n->is_keeper) { /* one master, which nobody disputes */
            n->role.kind = i == 0 ? ROLE_KIND_MASTER : ROLE_KIND_REPLICA;
            n->role.master = i == 0 ? (struct addr){ 0 } : w->source;
        }
    }
}

/* In a backup DC without keepers all are 0; whoever comes from there gives nobody of the primary DC a 0 to keep. */
static bool are_priorities_right(const struct world *w)
{
    bool has_zero = w->place == TREE_BACKUP && w->shard.keepers.count == 0;
    bool is_managed = w->replica_priority > 0 && (has_zero || w->place == TREE_PRIMARY);
    for (size_t i = 0; is_managed && i < w->redis_count; i++) {
        int priority = w->nodes[i].priority;
        bool is_kept = w->place == TREE_PRIMARY && w->nodes[0].priority != 0;
        if (priority != PRIORITY_REFUSED && !is_kept && (priority == 0) != has_zero) {
            return false;
        }
    }
    return true;
}

static bool is_whole(const struct world *w)
{
    for (size_t i = 0; i < w->facts.node_count; i++) {
        enum tree_verdict v = w->plan.rows[i].verdict;
        if (v != TREE_OK && v != TREE_LEFT_ALONE) {
            return false;
        }
    }
    return w->plan.action_count == 0 && are_priorities_right(w);
}

/* Is there somebody to lead? A living keeper of priority 1 or more, or a Redis; in the primary DC a source. */
static bool can_be_whole(const struct world *w)
{
    bool has_keepers = w->shard.keepers.count > 0;
    return (has_keepers ? w->election.active >= 0 : true) &&
           (w->place == TREE_BACKUP || w->redis_count > 0);
}

static void show_failure(struct world *w, const char *what)
{
    AUTO_STR struct str text = STR_INIT(65536);
    tree_plan_print(&w->facts, &w->plan, &text);
    print_error("%s\n%s", what, str_text(&text));
}

/* ---- tests ---- */

static void every_plan_keeps_the_rules(void **state)
{
    (void)state;
    struct world *w = xcalloc(1, sizeof(*w));
    size_t actions = 0;
    for (uint64_t seed = 1; seed <= WORLDS; seed++) {
        make_world(w, seed);
        for (int round = 0; round < CHAOS_ROUNDS; round++) {
            disturb(w);
            decide(w);
            actions += w->plan.action_count;
            carry_out(w, 30);
        }
    }
    free(w);
    assert_true(actions > WORLDS / 4); /* the dice do reach them */
}

static void left_in_peace_a_tree_is_whole_after_3_rounds(void **state)
{
    (void)state;
    struct world *w = xcalloc(1, sizeof(*w));
    int most = 0;
    int checked = 0;
    for (uint64_t seed = 1; seed <= WORLDS; seed++) {
        make_world(w, seed);
        disturb(w);
        decide(w);
        carry_out(w, 30);
        make_peace(w);
        int rounds = 0;
        for (decide(w); !is_whole(w) && rounds < 3; decide(w)) {
            carry_out(w, 0);
            rounds++;
        }
        if (!can_be_whole(w)) {
            continue;
        }
        checked++;
        most = rounds > most ? rounds : most;
        if (!is_whole(w)) {
            print_error("seed %llu: ", (unsigned long long)seed);
            show_failure(w, "not whole");
            fail();
        }
    }
    free(w);
    print_message("%d trees, at most %d rounds\n", checked, most);
    assert_true(checked > WORLDS / 2);
}

/* Commands fail, half of them, again and again: it takes longer, and comes to the same. */
static void refusals_only_cost_rounds(void **state)
{
    (void)state;
    struct world *w = xcalloc(1, sizeof(*w));
    for (uint64_t seed = 1; seed <= WORLDS / 10; seed++) {
        make_world(w, seed);
        make_peace(w);
        int rounds = 0;
        for (decide(w); !is_whole(w) && rounds < 100; decide(w)) {
            carry_out(w, 50);
            rounds++;
        }
        if (can_be_whole(w) && !is_whole(w)) {
            print_error("seed %llu: ", (unsigned long long)seed);
            show_failure(w, "not whole");
            fail();
        }
    }
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_plan_keeps_the_rules),
        cmocka_unit_test(left_in_peace_a_tree_is_whole_after_3_rounds),
        cmocka_unit_test(refusals_only_cost_rounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
