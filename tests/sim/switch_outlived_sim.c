/* switch_outlived_sim.c - a fence that outlives its migration is taken off by its own metaserver (K15), and no other (fake_switch_world.h). */
#include "tests/sim/switch_fixture.h"

#include "shared/base/banned.h"

/* The fence is asserted again and again meanwhile, and nothing else happens. */
static void asserted_for(int64_t ms)
{
    mono_ms end = clock_mono_ms() + ms;
    while (clock_mono_ms() < end) {
        let_pass(100);
        if (!list_is_empty(&w->fences)) {
            fence_ends(FENCE_GOAL_HOLD, FENCE_HELD);
        }
    }
}

static void held_in_a_migration(void)
{
    own();
    metadata_says("jq", "Migrating", 2);
    begin_hold(5);
    fence_ends(FENCE_GOAL_HOLD, FENCE_HELD);
    zk_settles();
    assert_int_equal(w->node.migrating_version, 2);
    asserted_for(5000);
}

static void a_fence_that_outlives_its_migration(void **state)
{
    (void)state;
    held_in_a_migration();
    metadata_says("jq", "Rollback", 3);
    asserted_for(5000);
    metadata_says("jq", "Normal", 4); /* rolled back, and nobody has asked us to release */
    asserted_for(1800);
    let_pass(2000);
    assert_int_equal(stance(), STANCE_FENCED);
    assert_true(fence_may());
    fence_ends(FENCE_GOAL_RELEASE, FENCE_NONE); /* it hangs */
    let_pass(1100);
    assert_int_equal(fence_now()->o.saved.min_slaves, 1);
    assert_true(addr_eq(&fence_now()->o.hint, &w->node.master));
    fence_ends(FENCE_GOAL_RELEASE, FENCE_RELEASED);
    zk_settles();
    assert_int_equal(w->node.fence, FENCE_NONE);
    assert_false(w->node.saved.is_known);
    assert_int_equal(w->node.migrating_version, 0);
    assert_int_equal(stance(), STANCE_NONE);
    let_pass(10000);
    assert_true(list_is_empty(&w->fences));
}

static void a_fence_nobody_calls_a_migration_stays(void **state)
{
    (void)state;
    own();
    begin_hold(5); /* a Java console, or its lock is not known here yet */
    fence_ends(FENCE_GOAL_HOLD, FENCE_HELD);
    zk_settles();
    metadata_says("jq", "Normal", 3);
    asserted_for(10000);
    assert_int_equal(w->node.fence, FENCE_HELD);
}

static void the_fence_of_the_next_migration_stays(void **state)
{
    (void)state;
    held_in_a_migration();
    metadata_says("jq", "Normal", 3);
    asserted_for(1000);
    ask(SWITCH_HOLD, 5); /* its lock is not known here yet */
    zk_settles();
    fence_ends(FENCE_GOAL_HOLD, FENCE_HELD);
    zk_settles();
    asserted_for(10000);
    metadata_says("jq", "Migrating", 4);
    asserted_for(5000);
    metadata_says("jq", "Normal", 5);
    asserted_for(1800);
    let_pass(2000);
    fence_ends(FENCE_GOAL_RELEASE, FENCE_RELEASED);
    zk_settles();
    assert_int_equal(w->node.fence, FENCE_NONE);
}

static void a_hold_comes_behind_a_release_under_way(void **state)
{
    (void)state;
    held_in_a_migration();
    metadata_says("jq", "Normal", 3);
    asserted_for(1800);
    let_pass(2000);
    assert_true(fence_may()); /* it commands */
    ask(SWITCH_HOLD, 5);
    zk_settles();
    assert_int_equal(fence_now()->o.goal, FENCE_GOAL_RELEASE);
    assert_false(fence_may());
    fence_ends(FENCE_GOAL_RELEASE, FENCE_RELEASED);
    zk_settles();
    fence_ends(FENCE_GOAL_LOOK, FENCE_RELEASED);
    zk_settles();
    fence_ends(FENCE_GOAL_HOLD, FENCE_HELD);
    zk_settles();
    assert_int_equal(w->node.fence, FENCE_HELD);
    asserted_for(5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(open_primary, a_fence_that_outlives_its_migration),
        TEST(open_primary, a_fence_nobody_calls_a_migration_stays),
        TEST(open_primary, the_fence_of_the_next_migration_stays),
        TEST(open_primary, a_hold_comes_behind_a_release_under_way),
    };
    return cmocka_run_group_tests_name("switch_outlived", tests, NULL, NULL);
}
