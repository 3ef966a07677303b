/* keeper_elect_test.c - when two elections are the same; the choice itself is in tests/golden/keeper_elect. */
#include "meta/keepers/keeper_elect.h"

#include <string.h>

#include "shared/base/mem.h"
#include "tests/unit/unit.h"

#include "shared/base/banned.h"

#define DATA_A "{\"ip\":\"10.2.0.5\",\"port\":6380,\"id\":\"a\"}"
#define DATA_B "{\"ip\":\"10.2.0.6\",\"port\":6380,\"id\":\"b\"}"

static struct keeper_child child(const char *name, const char *data)
{
    return (struct keeper_child){ ELECTION_BY_REPL, name, data, data ? strlen(data) : 0 };
}

static struct keeper_election elect(const struct keeper_child *children, size_t count,
                                    int64_t priority_of_b)
{
    struct keeper_meta named[] = {
        { .addr = addr_of("10.2.0.5", 6380), .priority = 1, .container_id = 1 },
        { .addr = addr_of("10.2.0.6", 6380), .priority = priority_of_b, .container_id = 2 },
    };
    struct shard_meta shard = { .keepers = { named, ARRAY_LEN(named) } };
    struct keeper_election e;
    memset(&e, 0x5a, sizeof(e));
    keeper_elect(children, count, &shard, &e);
    return e;
}

static void nothing_at_all(void **state)
{
    (void)state;
    struct keeper_election e = elect(NULL, 0, 1);
    assert_int_equal(e.count, 0);
    assert_int_equal(e.active, -1);
    struct keeper_child empty = child("_c_1-latch-0000000001", NULL);
    e = elect(&empty, 1, 1);
    assert_int_equal(e.count, 0);
    assert_int_equal(e.unreadable, 1);
}

/* The bytes end where 'length' says, NUL or not. */
static void the_length_counts(void **state)
{
    (void)state;
    struct keeper_child longer = child("_c_1-latch-0000000001", DATA_A "garbage");
    longer.length = strlen(DATA_A);
    assert_int_equal(elect(&longer, 1, 1).count, 1);
    struct keeper_child shorter = child("_c_1-latch-0000000001", DATA_A);
    shorter.length--;
    assert_int_equal(elect(&shorter, 1, 1).unreadable, 1);
}

static void the_order_of_children_is_of_no_account(void **state)
{
    (void)state;
    struct keeper_child ab[] = { child("_c_1-latch-0000000001", DATA_A),
                                 child("_c_2-latch-0000000002", DATA_B) };
    struct keeper_child ba[] = { ab[1], ab[0] };
    struct keeper_election x = elect(ab, 2, 1);
    struct keeper_election y = elect(ba, 2, 1);
    assert_true(keeper_election_eq(&x, &y));
    assert_int_equal(x.active, 0);
}

static void whatever_differs_is_seen(void **state)
{
    (void)state;
    struct keeper_child ab[] = { child("_c_1-latch-0000000001", DATA_A),
                                 child("_c_2-latch-0000000002", DATA_B) };
    struct keeper_election e = elect(ab, 2, 1);
    struct keeper_election other = elect(ab, 1, 1);
    assert_false(keeper_election_eq(&e, &other));
    other = elect(ab, 2, 2); /* priority changed: another active one */
    assert_int_equal(other.active, 1);
    assert_false(keeper_election_eq(&e, &other));
    other = elect(ab, 2, 0); /* same set, same active one */
    assert_int_equal(other.active, 0);
    assert_false(keeper_election_eq(&e, &other));
    other = e;
    other.keepers[1].container_id++;
    assert_false(keeper_election_eq(&e, &other));
    other = e;
    other.keepers[1].run_id[0] = 'c'; /* restarted */
    assert_false(keeper_election_eq(&e, &other));
    other = e;
    other.keepers[1].is_in_meta = false;
    assert_false(keeper_election_eq(&e, &other));
    other = e;
    other.unreadable++;
    assert_false(keeper_election_eq(&e, &other));
    other = e;
    other.ignored++;
    assert_false(keeper_election_eq(&e, &other));
    other = e;
    other.keepers[2].priority = 9; /* beyond 'count' */
    assert_true(keeper_election_eq(&e, &other));
}

/* Other metadata, and the children are not at hand: the same as an election of them. */
static void other_metadata_elect_again(void **state)
{
    (void)state;
    struct keeper_child ab[] = { child("_c_1-latch-0000000001", DATA_A),
                                 child("_c_2-latch-0000000002", DATA_B),
                                 child("_c_3-latch-0000000003", "broken") };
    struct keeper_election known = elect(ab, ARRAY_LEN(ab), 1);
    struct keeper_meta named[] = {
        { .addr = addr_of("10.2.0.6", 6380), .priority = 5, .container_id = 7 },
    };
    struct shard_meta shard = { .keepers = { named, ARRAY_LEN(named) } };
    struct keeper_election wanted;
    struct keeper_election again;
    keeper_elect(ab, ARRAY_LEN(ab), &shard, &wanted);
    keeper_elect_again(&known, &shard, &again);
    assert_true(keeper_election_eq(&wanted, &again));
    assert_int_equal(again.active, 1);
    assert_int_equal(again.keepers[1].container_id, 7);
    assert_false(again.keepers[0].is_in_meta);
    assert_int_equal(again.unreadable, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_at_all),
        cmocka_unit_test(the_length_counts),
        cmocka_unit_test(the_order_of_children_is_of_no_account),
        cmocka_unit_test(whatever_differs_is_seen),
        cmocka_unit_test(other_metadata_elect_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
