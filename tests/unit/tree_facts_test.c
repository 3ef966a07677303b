/* tree_facts_test.c - the words, what is fresh, what is ours, and what can be a source. */
#include "meta/keepers/tree_facts.h"

#include "shared/base/mem.h"
#include "tests/unit/unit.h"

#include "shared/base/banned.h"

#define NOW   100000
#define FRESH 3000

static void words(void **state)
{
    (void)state;
    for (int s = KEEPER_UNKNOWN; s <= KEEPER_PRE_BACKUP; s++) {
        assert_int_equal(keeper_state_from_text(keeper_state_text((enum keeper_state)s)), s);
    }
    assert_int_equal(keeper_state_from_text("active"), KEEPER_UNSEEN);
    assert_int_equal(keeper_state_from_text("PREPARE"), KEEPER_UNSEEN);
    assert_int_equal(keeper_state_from_text("-"), KEEPER_UNSEEN);
    assert_int_equal(keeper_state_from_text(NULL), KEEPER_UNSEEN);
    assert_string_equal(tree_place_text(TREE_OUTSIDE), "OUTSIDE");
    assert_string_equal(tree_place_text(TREE_PRIMARY), "PRIMARY");
    assert_string_equal(tree_place_text(TREE_BACKUP), "BACKUP");
}

/* "connect", "connecting", "handshake" follow each other while a link is down: one state, or nothing would be down for long. */
static void three_states_of_a_link(void **state)
{
    (void)state;
    for (int link = ROLE_LINK_UNKNOWN; link <= ROLE_LINK_CONNECTED; link++) {
        struct redis_role role = { .kind = ROLE_KIND_REPLICA, .link = (enum role_link)link };
        enum tree_link expected = link == ROLE_LINK_CONNECTED ? TREE_LINK_UP
                                  : link == ROLE_LINK_SYNC    ? TREE_LINK_SYNCING
                                                              : TREE_LINK_DOWN;
        assert_int_equal(tree_link_of(&role), expected);
    }
}

static void an_answer_is_noted(void **state)
{
    (void)state;
    struct tree_node node = { .role_at = MONO_NEVER, .link_since = 5, .silent_since = 5 };
    struct redis_role role = { ROLE_KIND_REPLICA, addr_of("10.1.0.1", 6379), ROLE_LINK_CONNECT, -1,
                               0 };
    tree_node_note_role(&node, &role, 100);
    assert_int_equal(node.link_since, 100);
    assert_int_equal(node.role_at, 100);
    assert_int_equal(node.silent_since, MONO_NEVER);
    assert_int_equal(node.last_offset, 0);
    assert_true(node.was_tried);
    role.link = ROLE_LINK_CONNECTING; /* still down */
    tree_node_note_role(&node, &role, 200);
    assert_int_equal(node.link_since, 100);
    role.link = ROLE_LINK_CONNECTED;
    role.offset = 77;
    tree_node_note_role(&node, &role, 300);
    assert_int_equal(node.link_since, 300);
    assert_int_equal(node.last_offset, 77);
    role.master.port++; /* connected between two looks, but to another */
    role.offset = -1;
    tree_node_note_role(&node, &role, 400);
    assert_int_equal(node.link_since, 400);
    assert_int_equal(node.last_offset, 77);
    role.kind = ROLE_KIND_MASTER;
    tree_node_note_role(&node, &role, 500);
    assert_int_equal(node.link_since, 500);
    assert_int_equal(node.role.kind, ROLE_KIND_MASTER);
}

static void fresh(void **state)
{
    (void)state;
    struct tree_facts facts = { .now = NOW, .fresh_ms = FRESH };
    struct tree_node node = { .role = { .kind = ROLE_KIND_MASTER }, .role_at = NOW - FRESH };
    assert_true(tree_node_is_fresh(&facts, &node));
    node.role_at--;
    assert_false(tree_node_is_fresh(&facts, &node));
    node.role_at = MONO_NEVER;
    assert_false(tree_node_is_fresh(&facts, &node));
    node.role_at = NOW;
    node.role.kind = ROLE_KIND_UNKNOWN; /* an error, or another shape, is no answer */
    assert_false(tree_node_is_fresh(&facts, &node));
}

static void ours_and_the_source(void **state)
{
    (void)state;
    struct redis_meta redis = { .addr = addr_of("10.2.0.1", 6379) };
    struct keeper_meta keeper = { .addr = addr_of("10.2.0.5", 6380) };
    struct shard_meta shard = { .redises = { &redis, 1 }, .keepers = { &keeper, 1 } };
    struct tree_node living = { .addr = addr_of("10.2.0.9", 6380), .is_keeper = true };
    struct tree_facts facts = { .shard = &shard, .nodes = &living, .node_count = 1 };
    struct addr outside = addr_of("10.1.0.5", 6380);
    assert_true(tree_is_ours(&facts, &redis.addr));
    assert_true(tree_is_ours(&facts, &keeper.addr)); /* though it does not live */
    assert_true(tree_is_ours(&facts, &living.addr)); /* though it is not in the document */
    assert_false(tree_is_ours(&facts, &outside));
    struct {
        enum tree_place place;
        const struct addr *source;
        bool is_usable;
    } cases[] = {
        { TREE_PRIMARY, &redis.addr, true },   { TREE_PRIMARY, &keeper.addr, false },
        { TREE_PRIMARY, &living.addr, false }, { TREE_PRIMARY, &outside, false },
        { TREE_BACKUP, &redis.addr, false },   { TREE_BACKUP, &keeper.addr, false },
        { TREE_BACKUP, &living.addr, false },  { TREE_BACKUP, &outside, true },
        { TREE_OUTSIDE, &outside, false },     { TREE_OUTSIDE, &redis.addr, false },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        facts.place = cases[i].place;
        facts.source = *cases[i].source;
        assert_int_equal(tree_has_source(&facts), cases[i].is_usable);
    }
    facts.place = TREE_BACKUP;
    facts.source = (struct addr){ 0 };
    assert_false(tree_has_source(&facts));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words),
        cmocka_unit_test(three_states_of_a_link),
        cmocka_unit_test(an_answer_is_noted),
        cmocka_unit_test(fresh),
        cmocka_unit_test(ours_and_the_source),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
