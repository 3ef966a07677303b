/* switch_late_sim.c - a record of ZooKeeper that comes late, fails, or was written by somebody else, in the steps of one shard (fake_switch_world.h). */
#include "tests/sim/switch_fixture.h"

#include "shared/base/banned.h"

static void a_record_that_is_not_read_in_time(void **state)
{
    (void)state;
    gain();
    ask(SWITCH_HOLD, 5);
    let_pass(FENCE_MS);
    assert_int_equal(last()->rc, XP_TIMEOUT);
    zk_settles();
    assert_int_equal(w->started, 0);
    assert_int_equal(stance(), STANCE_NONE);
}

/* Nothing was sent, and nothing may come of it later. */
static void check_nothing_is_left_of_the_hold(void)
{
    assert_int_equal(last()->rc, XP_TIMEOUT);
    let_pass(3000);
    zk_settles();
    let_pass(3000);
    zk_settles();
    assert_int_equal(w->node.fence, FENCE_NONE);
    assert_false(w->node.saved.is_known);
    assert_true(list_is_empty(&w->fences));
    assert_int_equal(stance(), STANCE_NONE);
    lose();
    own();
    let_pass(3000);
    assert_true(list_is_empty(&w->fences));
}

static void a_hold_whose_record_is_late(void **state)
{
    (void)state;
    own();
    look_before_hold(5);
    let_pass(FENCE_MS);
    check_nothing_is_left_of_the_hold();
}

static void a_hold_whose_record_fails(void **state)
{
    (void)state;
    own();
    look_before_hold(5);
    switch_world_zk_answers(XP_UNAVAILABLE);
    let_pass(FENCE_MS);
    check_nothing_is_left_of_the_hold();
}

static void somebody_else_wrote_the_record(void **state)
{
    (void)state;
    own();
    look_before_hold(5);
    w->node.version = 4;
    switch_world_zk_answers(0);
    let_pass(10);
    zk_settles();
    assert_int_equal(w->node.version, 5);
    fence_ends(FENCE_GOAL_HOLD, FENCE_HELD);
    assert_int_equal(last()->fence, FENCE_HELD);
}

/* A hold in force stays so when the next step was not carried out. */
static void a_freeze_whose_record_is_late(void **state)
{
    (void)state;
    own();
    begin_hold(5);
    fence_ends(FENCE_GOAL_HOLD, FENCE_HELD);
    zk_settles();
    ask(SWITCH_FREEZE, 6);
    let_pass(FENCE_MS);
    assert_int_equal(last()->rc, XP_TIMEOUT);
    zk_settles();
    assert_int_equal(w->node.fence, FENCE_HELD);
    assert_int_equal(stance(), STANCE_FENCED);
}

/* The result of the hold is still on its way to ZooKeeper: what the freeze needs is there. */
static void a_freeze_does_not_wait_for_the_result_of_the_hold(void **state)
{
    (void)state;
    own();
    begin_hold(5);
    fence_ends(FENCE_GOAL_HOLD, FENCE_HELD);
    assert_non_null(w->asked.done);
    ask(SWITCH_FREEZE, 5);
    assert_true(fence_may());
    fence_ends(FENCE_GOAL_FREEZE, FENCE_FROZEN);
    assert_int_equal(last()->fence, FENCE_FROZEN);
    zk_settles();
    assert_int_equal(w->node.fence, FENCE_FROZEN);
}

/* Nothing was sent: nobody is kept off because of it. */
static void a_promotion_whose_record_is_late(void **state)
{
    (void)state;
    own();
    ask(SWITCH_PROMOTE, 5);
    let_pass(5000);
    assert_int_equal(last()->rc, XP_TIMEOUT);
    zk_settles();
    assert_false(w->node.is_promoting);
    assert_int_equal(w->node.epoch, 5);
    assert_int_equal(stance(), STANCE_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(open_primary, a_record_that_is_not_read_in_time),
        TEST(open_primary, a_hold_whose_record_is_late),
        TEST(open_primary, a_hold_whose_record_fails),
        TEST(open_primary, somebody_else_wrote_the_record),
        TEST(open_primary, a_freeze_whose_record_is_late),
        TEST(open_primary, a_freeze_does_not_wait_for_the_result_of_the_hold),
        TEST(open_backup, a_promotion_whose_record_is_late),
    };
    return cmocka_run_group_tests_name("switch_late", tests, NULL, NULL);
}
