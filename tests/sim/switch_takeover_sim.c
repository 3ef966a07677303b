/* switch_takeover_sim.c - what the next owner of a slot finds: a fence in force, a promotion that nobody saw the end of (fake_switch_world.h). */
#include "tests/sim/switch_fixture.h"

#include "shared/base/banned.h"

static void a_fence_is_taken_over_and_asserted(void **state)
{
    (void)state;
    w->node = (struct switch_record){ .epoch = 4, .fence = FENCE_FROZEN, .version = 0 };
    gain();
    assert_int_equal(stance(), STANCE_KEEP_OFF);
    zk_settles();
    assert_int_equal(stance(), STANCE_FENCED);
    let_pass(10);
    fence_ends(FENCE_GOAL_LOOK, FENCE_FROZEN);
    zk_settles();
    let_pass(100);
    fence_ends(FENCE_GOAL_FREEZE, FENCE_FROZEN);
    let_pass(1000);
    fence_ends(FENCE_GOAL_FREEZE, FENCE_FROZEN); /* again and again */
    shard_switch_redis_lost(w->all, CLUSTER_ID, SHARD_ID);
    let_pass(1);
    fence_ends(FENCE_GOAL_FREEZE, FENCE_NONE); /* it did not answer before the deadline */
    let_pass(110);
    fence_ends(FENCE_GOAL_FREEZE, FENCE_FROZEN);
    let_pass(500);
    assert_true(list_is_empty(&w->fences));
}

static void a_crash_in_the_middle_of_a_promotion(void **state)
{
    (void)state;
    own();
    begin_promotion(5);
    assert_true(w->node.is_promoting);
    lose();
    promotion_ends(PROMOTE_OK, 6380);
    zk_settles(); /* it is told to whoever has it now */
    assert_int_equal(w->node.maybe.port, 6380);
    assert_true(w->node.is_promoting);
    own();
    assert_int_equal(stance(), STANCE_KEEP_OFF); /* no stray */
    metadata_says("jq", "Normal", 2);
    assert_int_equal(w->appointments, 0); /* who it is, nobody knows */
    begin_promotion(6);                   /* it is asked for again, and finds it */
    promotion_ends(PROMOTE_OK, 6380);
    zk_settles();
    assert_int_equal(w->node.promoted.port, 6380);
    assert_false(w->node.is_promoting);
    assert_int_equal(w->appointed.port, 6380);
}

/* Nobody asks for it again: the only master of what is the primary DC by now was promoted. */
static void the_promoted_one_is_found(void **state)
{
    (void)state;
    w->node = (struct switch_record){ .epoch = 5, .is_promoting = true, .version = 0 };
    own();
    let_pass(60);
    assert_true(list_is_empty(&w->fences)); /* this DC is a backup one */
    metadata_says("jq", "Normal", 2);
    let_pass(60);
    fence_ends(FENCE_GOAL_LOOK, FENCE_NONE); /* none yet */
    let_pass(6000);
    fence_ends(FENCE_GOAL_LOOK, FENCE_RELEASED);
    zk_settles();
    assert_int_equal(w->node.promoted.port, 6379);
    assert_false(w->node.is_promoting);
    assert_int_equal(w->appointed.port, 6379);
}

/* Another has the slot, and has written something else meanwhile. */
static void an_orphan_does_not_touch_what_is_newer(void **state)
{
    (void)state;
    own();
    begin_promotion(5);
    lose();
    w->node.epoch = 6;
    promotion_ends(PROMOTE_UNKNOWN, 6379);
    zk_settles();
    assert_true(addr_is_none(&w->node.maybe));
    own();
    begin_promotion(7);
    lose();
    promotion_ends(PROMOTE_UNKNOWN, 6379);
    w->node.version++; /* between its reading and its writing */
    w->asked.record = w->node;
    w->asked.record.version--;
    zk_settles();
    assert_int_equal(w->node.maybe.port, 6379); /* read again */
}

/* Who may have been promoted is told to the next run, of the next owner, too; until somebody was. */
static void a_promotion_whose_outcome_is_unknown(void **state)
{
    (void)state;
    own();
    begin_promotion(5);
    assert_true(addr_is_none(&promotion_now()->o.maybe));
    promotion_ends(PROMOTE_UNKNOWN, 6379);
    assert_false(last()->is_success);
    assert_int_equal(stance(), STANCE_KEEP_OFF);
    zk_settles();
    assert_int_equal(w->node.maybe.port, 6379);
    lose();
    own();
    assert_int_equal(stance(), STANCE_KEEP_OFF);
    assert_int_equal(w->appointments, 0);
    begin_promotion(6);
    assert_int_equal(promotion_now()->o.maybe.port, 6379);
    promotion_ends(PROMOTE_OK, 6380);
    zk_settles();
    assert_true(addr_is_none(&w->node.maybe));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(open_primary, a_fence_is_taken_over_and_asserted),
        TEST(open_backup, a_crash_in_the_middle_of_a_promotion),
        TEST(open_backup, the_promoted_one_is_found),
        TEST(open_backup, an_orphan_does_not_touch_what_is_newer),
        TEST(open_backup, a_promotion_whose_outcome_is_unknown),
    };
    return cmocka_run_group_tests_name("switch_takeover", tests, NULL, NULL);
}
