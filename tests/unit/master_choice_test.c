/* master_choice_test.c - the current master of a shard: the choice, and the board that shows it. */
#include "meta/peers/master_board.h"
#include "tests/unit/unit.h"

#include "shared/base/banned.h"

#define NOW   100000
#define FRESH 3000

struct node { /* port is 6379 + index unless given */
    enum node_role role;
    int gid;
    int64_t age_ms; /* -1: never answered */
    int port;
};

static struct master_choice choose(const struct node *nodes, size_t count,
                                   struct current_master current)
{
    struct node_fact facts[8] = { 0 };
    for (size_t i = 0; i < count; i++) {
        int port = nodes[i].port ? nodes[i].port : 6379 + (int)i;
        facts[i] =
            (struct node_fact){ .addr = addr_of("10.0.0.1", port),
                                .role = nodes[i].role,
                                .role_at = nodes[i].age_ms < 0 ? MONO_NEVER : NOW - nodes[i].age_ms,
                                .own_gid = nodes[i].gid };
    }
    struct master_facts all = { NOW, FRESH, facts, count, current };
    struct master_choice choice;
    master_choose(&all, &choice);
    return choice;
}
#define CHOOSE(current, ...)                                                                       \
    choose((const struct node[]){ __VA_ARGS__ },                                                   \
           sizeof((const struct node[]){ __VA_ARGS__ }) / sizeof(struct node), (current))
#define MASTER(g)                                                                                  \
    {                                                                                              \
        ROLE_MASTER, (g), 0, 0                                                                     \
    }
#define SLAVE                                                                                      \
    {                                                                                              \
        ROLE_SLAVE, 0, 0, 0                                                                        \
    }
#define OLD_MASTER                                                                                 \
    {                                                                                              \
        ROLE_MASTER, 1, FRESH + 1, 0                                                               \
    }
#define SILENT                                                                                     \
    {                                                                                              \
        ROLE_UNKNOWN, 0, -1, 0                                                                     \
    }

static struct current_master known(int port, int gid)
{
    return (struct current_master){ addr_of("10.0.0.1", port), gid };
}

/* After a start the master that answers first waits for what the others say; a known one does not change that. */
static void the_first_master_waits_for_the_others(void **state)
{
    (void)state;
    struct node_fact nodes[] = {
        { .addr = addr_of("10.0.0.1", 6379), .role = ROLE_MASTER, .role_at = NOW, .own_gid = 1 },
        { .addr = addr_of("10.0.0.1", 6380), .role_at = MONO_NEVER, .is_untried = true },
    };
    struct master_facts facts = { .now = NOW, .fresh_ms = FRESH, .nodes = nodes, .count = 2 };
    struct master_choice choice;
    master_choose(&facts, &choice);
    assert_int_equal(choice.verdict, MASTER_WAIT);
    facts.current = known(6380, 1);
    master_choose(&facts, &choice);
    assert_int_equal(choice.verdict, MASTER_CHANGE);
    facts.current = (struct current_master){ 0 };
    nodes[1].is_untried = false; /* asked in vain */
    master_choose(&facts, &choice);
    assert_int_equal(choice.verdict, MASTER_CHANGE);
}

static void one_master_is_taken(void **state)
{
    (void)state;
    struct current_master none = { 0 };
    struct master_choice c = CHOOSE(none, SLAVE, MASTER(1), SILENT);
    assert_int_equal(c.verdict, MASTER_CHANGE);
    assert_int_equal(c.index, 1);
    assert_int_equal(c.masters, 1);
    assert_int_equal(c.unknown, 1);
    assert_int_equal(CHOOSE(known(6380, 1), SLAVE, MASTER(1)).verdict, MASTER_KEEP);
    assert_int_equal(CHOOSE(known(6380, 2), SLAVE, MASTER(1)).verdict,
                     MASTER_CHANGE); /* another gid */
    assert_int_equal(CHOOSE(known(6379, 1), SLAVE, MASTER(1)).verdict, MASTER_CHANGE);
}

static void no_master_or_several_keep_what_is_known(void **state)
{
    (void)state;
    struct current_master current = known(6379, 1);
    assert_int_equal(CHOOSE(current, SLAVE, SLAVE).verdict, MASTER_NONE);
    assert_int_equal(CHOOSE(current, SILENT).verdict, MASTER_NONE);
    assert_int_equal(choose(NULL, 0, current).verdict, MASTER_NONE);
    struct master_choice c = CHOOSE(current, MASTER(1), MASTER(1), MASTER(2));
    assert_int_equal(c.verdict, MASTER_SEVERAL);
    assert_int_equal(c.masters, 3);
}

static void an_old_answer_is_none(void **state)
{
    (void)state;
    struct current_master none = { 0 };
    assert_int_equal(CHOOSE(none, OLD_MASTER).verdict, MASTER_NONE);
    struct master_choice c = CHOOSE(none, OLD_MASTER, MASTER(1));
    assert_int_equal(c.verdict, MASTER_CHANGE);
    assert_int_equal(c.index, 1);
    struct node edge[] = { { ROLE_MASTER, 1, FRESH, 0 } };
    assert_int_equal(choose(edge, 1, none).verdict, MASTER_CHANGE);
}

static void its_gid_must_be_known_and_right(void **state)
{
    (void)state;
    struct current_master none = { 0 };
    assert_int_equal(CHOOSE(none, MASTER(0)).verdict, MASTER_WAIT);
    assert_int_equal(CHOOSE(none, MASTER(16)).verdict, MASTER_BAD_GID);
    assert_int_equal(CHOOSE(none, MASTER(-1)).verdict, MASTER_BAD_GID);
    assert_int_equal(CHOOSE(none, MASTER(15)).verdict, MASTER_CHANGE);
}

static void a_redis_named_twice_is_one(void **state)
{
    (void)state;
    struct node twice[] = { { ROLE_MASTER, 1, 0, 6379 }, { ROLE_MASTER, 1, 0, 6379 } };
    struct master_choice c = choose(twice, 2, (struct current_master){ 0 });
    assert_int_equal(c.verdict, MASTER_CHANGE);
    assert_int_equal(c.masters, 1);
}

static void every_verdict_has_a_text(void **state)
{
    (void)state;
    for (int v = MASTER_KEEP; v <= MASTER_WAIT; v++) {
        assert_non_null(master_verdict_text((enum master_verdict)v));
    }
}

static void the_board(void **state)
{
    (void)state;
    struct master_board *board = master_board_new();
    struct current_master a = known(6379, 1);
    struct current_master b = known(6380, 2);
    struct current_master got;
    assert_false(master_board_get(board, "c", "s", &got));
    master_board_put(board, "c", "s", &a);
    master_board_put(board, "c", "s", &b);
    master_board_put(board, "c", "t", &a);
    assert_true(master_board_get(board, "c", "s", &got));
    assert_true(addr_eq(&got.addr, &b.addr));
    assert_int_equal(got.gid, 2);
    master_board_remove(board, "c", "s");
    master_board_remove(board, "c", "s");
    assert_false(master_board_get(board, "c", "s", &got));
    assert_true(master_board_get(board, "c", "t", &got));
    master_board_free(board);
    master_board_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_master_waits_for_the_others),
        cmocka_unit_test(one_master_is_taken),
        cmocka_unit_test(no_master_or_several_keep_what_is_known),
        cmocka_unit_test(an_old_answer_is_none),
        cmocka_unit_test(its_gid_must_be_known_and_right),
        cmocka_unit_test(a_redis_named_twice_is_one),
        cmocka_unit_test(every_verdict_has_a_text),
        cmocka_unit_test(the_board),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
