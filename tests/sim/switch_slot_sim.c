/* switch_slot_sim.c - a slot that is lost, and regained, at every point of a step (fake_switch_world.h). */
#include "tests/sim/switch_fixture.h"

#include "shared/base/banned.h"

static void a_slot_lost_during_a_fence(void **state)
{
    (void)state;
    own();
    begin_hold(5);
    ask(SWITCH_FREEZE, 5);
    lose();
    assert_int_equal(w->answers, 2);
    assert_int_equal(last()->rc, XP_NOT_OWNER);
    assert_false(fence_may());
    assert_false(shard_switches_are_quiet(w->all, -1));
    fence_ends(FENCE_GOAL_HOLD, FENCE_NONE);
    assert_true(shard_switches_are_quiet(w->all, -1));
    assert_int_equal(ask_for(SWITCH_HOLD, 5, 0), XP_NOT_OWNER);
}

static void a_slot_regained_during_a_fence(void **state)
{
    (void)state;
    own();
    begin_hold(5);
    lose();
    w->node = (struct switch_record){ .epoch = 8, .version = 9 }; /* the other owner rolled back */
    gain();
    assert_false(fence_may());
    zk_settles();
    assert_false(fence_may());
    ask(SWITCH_RELEASE, 8); /* waits for what is under way */
    assert_false(fence_may());
    fence_ends(FENCE_GOAL_HOLD, FENCE_HELD);
    fence_ends(FENCE_GOAL_RELEASE, FENCE_RELEASED);
    assert_int_equal(last()->fence, FENCE_RELEASED);
    zk_settles();
    assert_int_equal(w->node.fence, FENCE_NONE);
    assert_int_equal(w->node.epoch, 8);
}

static void a_slot_regained_during_a_look(void **state)
{
    (void)state;
    own();
    ask(SWITCH_HOLD, 5);
    lose();
    own();
    fence_ends(FENCE_GOAL_LOOK, FENCE_RELEASED);
    assert_null(w->asked.done);
    assert_true(list_is_empty(&w->fences));
    assert_int_equal(stance(), STANCE_NONE);
}

static void a_slot_regained_during_a_promotion(void **state)
{
    (void)state;
    own();
    begin_promotion(5);
    lose();
    own();
    assert_false(promotion_may());
    ask(SWITCH_PROMOTE, 6);
    assert_false(promotion_may());
    promotion_ends(PROMOTE_OK, 6379); /* nobody's */
    assert_int_equal(w->answers, 1);
    zk_settles();
    assert_true(promotion_may());
    promotion_ends(PROMOTE_OK, 6380);
    assert_int_equal(last()->new_master.port, 6380);
}

static void a_slot_regained_during_a_release_of_the_promoted(void **state)
{
    (void)state;
    w->node = (struct switch_record){ .epoch = 4, .fence = FENCE_HELD, .version = 0 };
    own();
    begin_promotion(5);
    promotion_ends(PROMOTE_OK, 6380);
    assert_true(fence_may());
    lose();
    own();
    assert_false(fence_may());
    fence_ends(FENCE_GOAL_RELEASE, FENCE_RELEASED);
    assert_int_equal(w->appointments, 0);
}

/* The write of before tells nothing of the record as it is now. */
static void a_slot_regained_while_the_record_is_written(void **state)
{
    (void)state;
    for (int rc = 0; rc <= 1; rc++) {
        own();
        look_before_hold(5 + 10 * rc);
        lose();
        gain();
        switch_world_zk_answers(rc == 0 ? 0 : XP_UNAVAILABLE);
        let_pass(400);
        zk_settles();
        ask(SWITCH_RELEASE, 7 + 10 * rc);
        zk_settles();
        while (fence_now()->o.goal != FENCE_GOAL_RELEASE) {
            fence_ends(fence_now()->o.goal, FENCE_HELD);
        }
        fence_ends(FENCE_GOAL_RELEASE, FENCE_RELEASED);
        assert_int_equal(last()->fence, FENCE_RELEASED);
        zk_settles();
        assert_int_equal(w->node.fence, FENCE_NONE);
        lose();
    }
}

/* What was read for the tenure before may be older than what another owner wrote in between. */
static void a_slot_regained_while_the_record_is_read(void **state)
{
    (void)state;
    w->node = (struct switch_record){ .epoch = 4, .fence = FENCE_HELD, .version = 0 };
    gain();
    lose();
    w->node = (struct switch_record){ .epoch = 5, .version = 1 };
    gain();
    assert_non_null(w->asked.done);
    zk_settles();
    let_pass(1000);
    assert_true(list_is_empty(&w->fences));
    assert_int_equal(stance(), STANCE_NONE);
}

static void a_slot_regained_while_a_fence_is_asserted_again(void **state)
{
    (void)state;
    w->node = (struct switch_record){ .epoch = 4,
                                      .fence = FENCE_HELD,
                                      .saved = { .is_known = true, .max_lag_s = 10 },
                                      .version = 0 };
    own();
    let_pass(10);
    assert_int_equal(fence_now()->o.goal, FENCE_GOAL_HOLD);
    assert_true(fence_may());
    lose();
    w->node = (struct switch_record){ .epoch = 5, .version = 2 }; /* released elsewhere */
    own();
    assert_false(fence_may());
    fence_ends(FENCE_GOAL_HOLD, FENCE_HELD);
    assert_true(list_is_empty(&w->fences));
    assert_int_equal(stance(), STANCE_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(open_primary, a_slot_lost_during_a_fence),
        TEST(open_primary, a_slot_regained_during_a_fence),
        TEST(open_primary, a_slot_regained_during_a_look),
        TEST(open_backup, a_slot_regained_during_a_promotion),
        TEST(open_backup, a_slot_regained_during_a_release_of_the_promoted),
        TEST(open_primary, a_slot_regained_while_the_record_is_written),
        TEST(open_primary, a_slot_regained_while_the_record_is_read),
        TEST(open_primary, a_slot_regained_while_a_fence_is_asserted_again),
    };
    return cmocka_run_group_tests_name("switch_slot", tests, NULL, NULL);
}
