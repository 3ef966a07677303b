/* What goes on by itself: behind a hold its drain, behind that the freeze; and what becomes of it when the plan says something else. */
#include "tests/unit/unit.h"

#include "tests/unit/migration_calls_fixture.h"

#include "shared/base/banned.h"

static bool is_dest_asked(void *arg)
{
    return ((struct site *)arg)->dest.held != NULL;
}

static bool is_source_asked(void *arg)
{
    return ((struct site *)arg)->source.held != NULL;
}

static bool are_two_active(void *arg)
{
    return migration_calls_active(((struct site *)arg)->calls) == 2;
}

static void wait_for(bool (*is_so)(void *))
{
    assert_true(script_wait(&site->source, is_so, site, SCRIPT_LIMIT_MS));
}

/* Held; the drain behind it has reached the destination, which keeps it. */
static void hold_until_the_drain(void)
{
    answer_fence(&site->source, FENCE_HELD, EPOCH);
    site->dest.is_held = true;
    assert_int_equal(run_call(CALL_HOLD), OUTCOME_OK);
    assert_true(site->result.goes_on);
    wait_for(is_dest_asked);
}

static void begin_call(enum migration_call which)
{
    site->has_result = false;
    next_call = which;
    loop_timer_init(&start_timer, site->loop, start_call);
    loop_timer_start(&start_timer, 0);
}

/* While something goes on. */
static enum call_outcome run_call_beside(enum migration_call which)
{
    begin_call(which);
    wait_for(has_result);
    return site->result.outcome;
}

static void drain(bool is_success)
{
    answer_change(&site->dest, is_success, false);
    script_release(&site->dest);
}

static void a_fence_goes_on_by_itself(void **state)
{
    (void)state;
    hold_until_the_drain();
    assert_true(saw(&site->dest, "POST /api/meta/v2/drain/c%201/s1 {"));
    assert_true(saw(&site->dest, "4242"));
    answer_fence(&site->source, FENCE_FROZEN, EPOCH);
    drain(true);
    wait_idle();
    assert_int_equal(site->behind_count, 2);
    assert_int_equal(site->behind[0].call, CALL_DRAIN);
    assert_int_equal(site->behind[0].outcome, OUTCOME_OK);
    assert_true(site->behind[0].goes_on);
    assert_int_equal(site->behind[1].call, CALL_FREEZE);
    assert_int_equal(site->behind[1].outcome, OUTCOME_OK);
    assert_int_equal(site->behind[1].fence.state, FENCE_FROZEN);
    assert_false(site->behind[1].goes_on);
    assert_true(saw(&site->source, "phase=freeze"));
    assert_int_equal(site->source.requests, 2);
}

static void a_drain_that_fails_is_the_end_of_it(void **state)
{
    (void)state;
    hold_until_the_drain();
    drain(false);
    wait_idle();
    assert_int_equal(site->behind_count, 1);
    assert_int_equal(site->behind[0].outcome, OUTCOME_REFUSED);
    assert_false(site->behind[0].goes_on);
    assert_int_equal(site->source.requests, 1);
}

static void assert_not_frozen_behind(enum call_outcome drained)
{
    script_release(&site->dest);
    wait_idle();
    assert_int_equal(site->behind_count, 1);
    assert_int_equal(site->behind[0].outcome, drained);
    assert_false(site->behind[0].goes_on);
    assert_int_equal(site->source.requests, 1);
}

static void a_drain_of_another_epoch_is_the_end_of_it(void **state)
{
    (void)state;
    hold_until_the_drain();
    answer_change(&site->dest, true, true);
    assert_not_frozen_behind(OUTCOME_STALE);
}

/* x-pipe's metaserver knows none: nothing is proved. */
static void where_nobody_drains_the_plan_freezes(void **state)
{
    (void)state;
    hold_until_the_drain();
    script_answer(&site->dest, 404, "{}");
    assert_not_frozen_behind(OUTCOME_OK);
}

static void a_success_that_is_no_drain_is_not_frozen_behind(void **state)
{
    (void)state;
    struct switch_change change = { .is_success = true, .is_ours = true, .epoch = EPOCH };
    json_auto_t *json = switch_change_to_json(&change);
    char *text AUTO_FREE = json_dumps(json, 0);
    hold_until_the_drain();
    script_answer(&site->dest, 200, text);
    assert_not_frozen_behind(OUTCOME_OK);
}

static void a_hold_without_an_offset_is_drained_by_the_plan(void **state)
{
    (void)state;
    struct switch_fence fence = { .is_ours = true, .state = FENCE_HELD, .epoch = EPOCH };
    json_auto_t *json = switch_fence_to_json(&fence);
    char *text AUTO_FREE = json_dumps(json, 0);
    script_answer(&site->source, 200, text);
    assert_int_equal(run_call(CALL_HOLD), OUTCOME_OK);
    assert_false(site->result.goes_on);
    assert_int_equal(site->dest.requests, 0);
}

/* As a freeze of the plan does. */
static void the_freeze_behind_takes_the_other_ways_too(void **state)
{
    (void)state;
    site->shard.saved = (struct fence_saved){ .is_known = true, .min_slaves = 2 };
    hold_until_the_drain();
    script_stop(&site->source);
    scene.state = FENCE_FROZEN;
    drain(true);
    wait_idle();
    assert_int_equal(site->behind_count, 2);
    assert_int_equal(site->behind[1].outcome, OUTCOME_OK);
    assert_int_equal(scene.goal, FENCE_GOAL_FREEZE);
    assert_true(scene.saved.is_known);
    assert_int_equal(scene.saved.min_slaves, 2);
    struct addr master = addr_of("10.0.0.1", 6379);
    assert_true(addr_eq(&scene.hint, &master));
}

static void a_frozen_one_is_not_frozen_again(void **state)
{
    (void)state;
    answer_fence(&site->source, FENCE_FROZEN, EPOCH);
    answer_change(&site->dest, true, false);
    assert_int_equal(run_call(CALL_HOLD), OUTCOME_OK);
    wait_idle();
    assert_int_equal(site->behind_count, 1);
    assert_int_equal(site->behind[0].outcome, OUTCOME_OK);
    assert_int_equal(site->source.requests, 1);
}

/* The row must know that the metaserver has a fence before it is told of one. */
static void a_hold_from_here_is_frozen_by_the_plan(void **state)
{
    (void)state;
    script_stop(&site->source);
    scene.state = FENCE_HELD;
    answer_change(&site->dest, true, false); /* of the drain; as a fence it is not understood */
    assert_int_equal(run_call(CALL_HOLD), OUTCOME_OK);
    assert_false(site->result.is_by_meta);
    wait_idle();
    assert_int_equal(site->behind_count, 1);
    assert_int_equal(site->behind[0].outcome, OUTCOME_OK);
    assert_int_equal(scene.runs, 1);
}

static void in_a_disaster_the_plan_decides(void **state)
{
    (void)state;
    site->row.is_disaster = true;
    answer_fence(&site->source, FENCE_HELD, EPOCH);
    assert_int_equal(run_call(CALL_HOLD), OUTCOME_OK);
    assert_false(site->result.goes_on);
    assert_int_equal(site->dest.requests, 0);
}

static void only_a_hold_goes_on(void **state)
{
    (void)state;
    answer_change(&site->dest, true, false);
    assert_int_equal(run_call(CALL_DRAIN), OUTCOME_OK);
    assert_false(site->result.goes_on);
    answer_fence(&site->source, FENCE_FROZEN, EPOCH);
    assert_int_equal(run_call(CALL_FREEZE), OUTCOME_OK);
    assert_false(site->result.goes_on);
}

static void a_release_does_not_wait_for_the_drain(void **state)
{
    (void)state;
    hold_until_the_drain();
    answer_fence(&site->source, FENCE_RELEASED, EPOCH);
    site->has_result = false;
    assert_int_equal(run_call(CALL_RELEASE), OUTCOME_OK);
    wait_idle();
    assert_int_equal(site->behind_count, 1);
    assert_int_equal(site->behind[0].call, CALL_DRAIN);
    assert_int_equal(site->behind[0].outcome, OUTCOME_NONE);
    answer_change(&site->dest, true, false);
    script_release(&site->dest);
    assert_int_equal(site->source.requests, 2); /* hold, release: nothing was frozen behind it */
}

/* A call for another shard, or of another migration. */
static void only_its_own_plan_cuts_it(void **state)
{
    (void)state;
    hold_until_the_drain();
    answer_fence(&site->source, FENCE_RELEASED, EPOCH);
    site->shard.shard_id = 2;
    assert_int_equal(run_call_beside(CALL_RELEASE), OUTCOME_OK);
    site->shard.shard_id = 1;
    site->row.id = OTHER_ID;
    assert_int_equal(run_call_beside(CALL_RELEASE), OUTCOME_OK);
    assert_int_equal(site->behind_count, 0);
    site->row.id = ID;
    assert_int_equal(run_call(CALL_RELEASE), OUTCOME_OK);
}

/* Else it would be frozen behind its release. */
static void a_release_waits_for_the_freeze(void **state)
{
    (void)state;
    hold_until_the_drain();
    site->source.is_held = true;
    drain(true);
    wait_for(is_source_asked);
    forget_behind(site);
    site->has_result = false;
    next_call = CALL_RELEASE;
    loop_timer_start(&start_timer, 0);
    wait_for(are_two_active);
    assert_int_equal(site->source.requests, 2);
    answer_fence(&site->source, FENCE_RELEASED,
                 EPOCH); /* of the release; nobody cares what the freeze says */
    script_release(&site->source);
    wait_idle();
    assert_true(site->has_result);
    assert_int_equal(site->result.call, CALL_RELEASE);
    assert_int_equal(site->result.outcome, OUTCOME_OK);
    assert_int_equal(site->source.requests, 3);
    assert_int_equal(site->behind_count, 1);
    assert_int_equal(site->behind[0].call, CALL_FREEZE);
    assert_int_equal(site->behind[0].outcome, OUTCOME_NONE);
}

static void what_waits_for_a_freeze_can_be_forgotten(void **state)
{
    (void)state;
    hold_until_the_drain();
    site->source.is_held = true;
    drain(true);
    wait_for(is_source_asked);
    site->has_result = false;
    next_call = CALL_RELEASE;
    loop_timer_start(&start_timer, 0);
    wait_for(are_two_active);
    migration_calls_forget(site->calls, ID);
    assert_int_equal(migration_calls_active(site->calls), 0);
    answer_fence(&site->source, FENCE_FROZEN, EPOCH);
    script_release(&site->source);
    assert_int_equal(run_call(CALL_FREEZE), OUTCOME_OK); /* nothing else was sent meanwhile */
    assert_int_equal(site->source.requests, 3);
}

/* ---- nobody knows any more what the migration waits for ---- */

static void leave_behind(enum migration_call fence)
{
    site->source.is_held = true;
    begin_call(fence);
    wait_for(is_source_asked);
    migration_calls_leave(site->calls, OTHER_ID); /* of another one */
    migration_calls_leave(site->calls, ID);
    begin_call(CALL_FREEZE);
    wait_for(are_two_active);
    migration_calls_leave(site->calls, ID); /* what was not sent yet has no end to be waited for */
    assert_int_equal(migration_calls_active(site->calls), 1);
    begin_call(CALL_RELEASE);
    wait_for(are_two_active);
    assert_int_equal(site->source.requests, 1);
    answer_fence(&site->source, FENCE_RELEASED, EPOCH);
    script_release(&site->source);
    wait_idle();
    assert_true(site->has_result);
    assert_int_equal(site->result.outcome, OUTCOME_OK);
    assert_int_equal(site->source.requests, 2);
    assert_int_equal(site->behind_count, 0);
}

static void a_release_waits_for_a_hold_that_was_left(void **state)
{
    (void)state;
    leave_behind(CALL_HOLD);
}

static void a_release_waits_for_a_freeze_that_was_left(void **state)
{
    (void)state;
    leave_behind(CALL_FREEZE);
}

static void what_fences_nothing_is_left_to_itself(void **state)
{
    (void)state;
    hold_until_the_drain();
    assert_int_equal(migration_calls_active(site->calls), 1);
    migration_calls_leave(site->calls, ID);
    assert_true(is_idle(site));
    answer_fence(&site->source, FENCE_RELEASED, EPOCH);
    site->has_result = false;
    assert_int_equal(run_call(CALL_RELEASE), OUTCOME_OK);
    drain(true);
    assert_int_equal(site->behind_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CALLS_TEST(a_fence_goes_on_by_itself),
        CALLS_TEST(a_drain_that_fails_is_the_end_of_it),
        CALLS_TEST(a_drain_of_another_epoch_is_the_end_of_it),
        CALLS_TEST(where_nobody_drains_the_plan_freezes),
        CALLS_TEST(a_success_that_is_no_drain_is_not_frozen_behind),
        CALLS_TEST(a_hold_without_an_offset_is_drained_by_the_plan),
        CALLS_TEST(the_freeze_behind_takes_the_other_ways_too),
        CALLS_TEST(only_its_own_plan_cuts_it),
        CALLS_TEST(a_frozen_one_is_not_frozen_again),
        CALLS_TEST(a_hold_from_here_is_frozen_by_the_plan),
        CALLS_TEST(in_a_disaster_the_plan_decides),
        CALLS_TEST(only_a_hold_goes_on),
        CALLS_TEST(a_release_does_not_wait_for_the_drain),
        CALLS_TEST(a_release_waits_for_the_freeze),
        CALLS_TEST(what_waits_for_a_freeze_can_be_forgotten),
        CALLS_TEST(a_release_waits_for_a_hold_that_was_left),
        CALLS_TEST(a_release_waits_for_a_freeze_that_was_left),
        CALLS_TEST(what_fences_nothing_is_left_to_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
