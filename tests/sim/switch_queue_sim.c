/* switch_queue_sim.c - the steps of one shard (shard_switch.h): what is written down before and after each, who joins whom, stale epochs, an end of the
 * queue (fake_switch_world.h). */
#include "tests/sim/switch_fixture.h"

#include "shared/base/banned.h"

static void a_fence_is_written_down_before_and_after(void **state)
{
    (void)state;
    own();
    ask(SWITCH_HOLD, 5);
    assert_false(w->asked.done);
    fence_ends(FENCE_GOAL_LOOK, FENCE_RELEASED);
    assert_true(list_is_empty(&w->fences)); /* not before the record */
    switch_world_zk_answers(0);
    assert_int_equal(w->node.epoch, 5);
    assert_int_equal(w->node.fence, FENCE_HELD);
    assert_int_equal(w->node.saved.min_slaves, 1);
    assert_true(fence_may());
    fence_ends(FENCE_GOAL_HOLD, FENCE_HELD);
    assert_int_equal(last()->fence, FENCE_HELD);
    zk_settles();
    ask(SWITCH_FREEZE, 5);
    fence_ends(FENCE_GOAL_FREEZE, FENCE_FROZEN);
    zk_settles();
    assert_int_equal(w->node.fence, FENCE_FROZEN);
    assert_int_equal(metric_value(&switch_fences), 1);
    ask(SWITCH_RELEASE, 5);
    zk_settles(); /* before it is carried out */
    assert_int_equal(w->node.fence, FENCE_NONE);
    assert_int_equal(w->node.saved.min_slaves, 1);
    assert_int_equal(metric_value(&switch_fences), 0);
    fence_ends(FENCE_GOAL_RELEASE, FENCE_RELEASED);
    zk_settles();
    assert_int_equal(w->node.fence, FENCE_NONE);
    assert_false(w->node.saved.is_known);
    assert_int_equal(stance(), STANCE_NONE);
}

/* The console, or another DC's metaserver, releases it then: the fence must not come again. */
static void a_release_that_is_not_proved_ends_the_fence(void **state)
{
    (void)state;
    own();
    begin_hold(5);
    fence_ends(FENCE_GOAL_HOLD, FENCE_HELD);
    zk_settles();
    ask(SWITCH_RELEASE, 5);
    zk_settles();
    fence_ends(FENCE_GOAL_RELEASE, FENCE_NONE);
    zk_settles();
    assert_int_equal(w->node.fence, FENCE_NONE);
    assert_int_equal(w->node.saved.min_slaves, 1); /* for the next try */
    assert_int_equal(stance(), STANCE_KEEP_OFF);
    let_pass(5000);
    assert_true(list_is_empty(&w->fences));
    ask(SWITCH_RELEASE, 5);
    zk_settles();
    assert_int_equal(fence_now()->o.saved.min_slaves, 1);
    fence_ends(FENCE_GOAL_RELEASE, FENCE_RELEASED);
    zk_settles();
    assert_false(w->node.saved.is_known);
}

/* It hung when it was looked at: what the fence itself read is written down, and no defaults before. */
static void a_master_that_hangs_keeps_its_settings(void **state)
{
    (void)state;
    own();
    ask(SWITCH_HOLD, 5);
    w->seen_min_slaves = -1;
    fence_ends(FENCE_GOAL_LOOK, FENCE_NONE);
    zk_settles();
    assert_int_equal(w->node.fence, FENCE_HELD);
    assert_false(w->node.saved.is_known);
    assert_false(fence_now()->o.saved.is_known);
    w->seen_min_slaves = 2;
    fence_ends(FENCE_GOAL_HOLD, FENCE_HELD);
    zk_settles();
    assert_int_equal(w->node.saved.min_slaves, 2);
    ask(SWITCH_RELEASE, 5);
    zk_settles();
    assert_int_equal(fence_now()->o.saved.min_slaves, 2);
    fence_ends(FENCE_GOAL_RELEASE, FENCE_RELEASED);
}

static void a_repeat_joins_and_others_wait(void **state)
{
    (void)state;
    own();
    begin_hold(5);
    ask(SWITCH_HOLD, 5);
    ask(SWITCH_FREEZE, 5);
    ask(SWITCH_FREEZE, 5);
    assert_int_equal(w->answers, 0);
    fence_ends(FENCE_GOAL_HOLD, FENCE_HELD);
    assert_int_equal(w->answers, 2);
    zk_settles();
    fence_ends(FENCE_GOAL_FREEZE, FENCE_FROZEN);
    assert_int_equal(w->answers, 4);
    assert_int_equal(last()->fence, FENCE_FROZEN);
}

static void the_queue_has_an_end(void **state)
{
    (void)state;
    own();
    begin_hold(5);
    for (int i = 0; i < SWITCH_QUEUE_MAX; i++) {
        ask(SWITCH_HOLD, 100 + i);
    }
    assert_int_equal(ask_for(SWITCH_HOLD, 99, 0), XP_TOO_MANY);
    assert_int_equal(ask_for(SWITCH_HOLD, 100, 0), 0); /* joins */
    let_pass(FENCE_MS); /* all of them are too late when the first one ends */
    fence_ends(FENCE_GOAL_HOLD, FENCE_UNREACHABLE);
    assert_int_equal(w->answers, 1 + SWITCH_QUEUE_MAX + 1);
    assert_int_equal(last()->rc, XP_TIMEOUT);
}

static void an_older_epoch_is_refused(void **state)
{
    (void)state;
    w->node = (struct switch_record){ .epoch = 9, .version = 3 };
    own();
    ask(SWITCH_HOLD, 8);
    assert_int_equal(last()->rc, XP_CONFLICT);
    ask(SWITCH_PROMOTE, 8);
    assert_true(last()->is_stale);
    assert_int_equal(w->started, 0);
    ask(SWITCH_HOLD, 0); /* Java's has none */
    assert_int_equal(w->started, 1);
}

static void a_promotion_is_answered_again(void **state)
{
    (void)state;
    own();
    begin_promotion(5);
    assert_true(promotion_may());
    promotion_ends(PROMOTE_OK, 6380);
    assert_true(last()->is_success);
    assert_int_equal(w->appointed.port, 6380);
    zk_settles();
    assert_int_equal(w->node.promoted.port, 6380);
    ask(SWITCH_PROMOTE, 5);
    assert_int_equal(w->answers, 2);
    assert_int_equal(w->started, 1);
}

static void the_caller_may_add_the_sentinels_itself(void **state)
{
    (void)state;
    own();
    w->adds_sentinels = true;
    begin_promotion(5);
    promotion_ends(PROMOTE_OK, 6379);
    zk_settles();
    assert_int_equal(w->sentinels_left, 0);
    w->adds_sentinels = false;
    begin_promotion(6);
    promotion_ends(PROMOTE_OK, 6379);
    assert_int_equal(w->sentinels_left, 1);
}

/* What a promotion needs in ZooKeeper is there before clients cannot write. */
static void a_check_prepares_the_promotion(void **state)
{
    (void)state;
    w->node = (struct switch_record){ .epoch = 5, .version = 0 };
    own();
    ask(SWITCH_CHECK, 0);
    promotion_ends(PROMOTE_NOBODY, 0);
    assert_null(w->asked.done); /* a question outside of a switch */
    metadata_says("fra", "Lock", 2);
    zk_settles();
    assert_true(w->node.is_promoting);
    ask(SWITCH_PROMOTE, 5);
    assert_null(w->asked.done);
    assert_true(promotion_may());
    promotion_ends(PROMOTE_NOBODY, 0);
}

static void a_check_without_a_switch_leaves_nothing(void **state)
{
    (void)state;
    own();
    metadata_says("fra", "Lock", 2);
    ask(SWITCH_CHECK, 0);
    promotion_ends(PROMOTE_NOBODY, 0);
    zk_settles();
    assert_true(w->node.is_promoting);
    metadata_says("fra", "Normal", 3);
    zk_settles();
    assert_false(w->node.is_promoting);
    assert_int_equal(stance(), STANCE_NONE);
}

static void who_follows_promotes_nobody_any_more(void **state)
{
    (void)state;
    w->node = (struct switch_record){
        .epoch = 4, .is_promoting = true, .maybe = addr_of("10.0.1.1", 6379), .version = 0
    };
    own();
    ask(SWITCH_FOLLOW, 5);
    zk_settles();
    assert_false(w->node.is_promoting);
    assert_true(addr_is_none(&w->node.maybe));
    assert_int_equal(stance(), STANCE_FOLLOW);
    let_pass(4000 + 100); /* and a look */
    assert_int_equal(w->answers, 1);
    assert_false(last()->is_success); /* its Redis never followed; the order holds */
    assert_int_equal(stance(), STANCE_FOLLOW);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(open_primary, a_fence_is_written_down_before_and_after),
        TEST(open_primary, a_release_that_is_not_proved_ends_the_fence),
        TEST(open_primary, a_master_that_hangs_keeps_its_settings),
        TEST(open_primary, a_repeat_joins_and_others_wait),
        TEST(open_primary, the_queue_has_an_end),
        TEST(open_primary, an_older_epoch_is_refused),
        TEST(open_backup, a_promotion_is_answered_again),
        TEST(open_backup, the_caller_may_add_the_sentinels_itself),
        TEST(open_backup, a_check_prepares_the_promotion),
        TEST(open_backup, a_check_without_a_switch_leaves_nothing),
        TEST(open_primary, who_follows_promotes_nobody_any_more),
    };
    return cmocka_run_group_tests_name("switch_queue", tests, NULL, NULL);
}
