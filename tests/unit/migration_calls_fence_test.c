/* The fence of a migration: every way to the source, and what their answers make together. */
#include "tests/unit/unit.h"

#include "tests/unit/migration_calls_fixture.h"

#include "shared/base/banned.h"

static void the_sources_metaserver_holds(void **state)
{
    (void)state;
    answer_fence(&site->source, FENCE_HELD, EPOCH);
    assert_int_equal(run_call(CALL_HOLD), OUTCOME_OK);
    assert_true(
        saw(&site->source, "PUT /api/meta/masterreadonly/c%201/s1/true?epoch=7&phase=hold"));
    assert_int_equal(site->result.fence.state, FENCE_HELD);
    assert_int_equal(site->result.fence.offset, 4242);
    assert_true(site->result.is_by_meta && site->result.may_be_by_meta);
    assert_int_equal(scene.runs, 0);
    answer_fence(&site->source, FENCE_HELD, EPOCH); /* the data have not arrived: not frozen */
    assert_int_equal(run_call(CALL_FREEZE), OUTCOME_REFUSED);
    answer_fence(&site->source, FENCE_FROZEN, EPOCH);
    assert_int_equal(run_call(CALL_FREEZE), OUTCOME_OK);
    assert_true(saw(&site->source, "phase=freeze"));
    answer_fence(&site->source, FENCE_RELEASED, EPOCH);
    assert_int_equal(run_call(CALL_RELEASE), OUTCOME_OK);
    assert_true(saw(&site->source, "/s1/false?epoch=7&deadline_ms="));
}

static void its_refusal_and_a_higher_epoch_are_the_last_word(void **state)
{
    (void)state;
    answer_fence(&site->source, FENCE_NONE, EPOCH);
    assert_int_equal(run_call(CALL_HOLD), OUTCOME_REFUSED);
    answer_fence(&site->source, FENCE_NONE, EPOCH + 1);
    assert_int_equal(run_call(CALL_HOLD), OUTCOME_STALE);
    script_answer(&site->source, 409, "{\"message\":\"stale epoch 7: 8 is known for this shard\"}");
    assert_int_equal(run_call(CALL_FREEZE), OUTCOME_STALE);
    assert_int_equal(scene.runs, 0);
}

static void a_silent_source_is_fenced_from_here(void **state)
{
    (void)state;
    site->source.is_held = true;
    scene.state = FENCE_HELD;
    script_answer(&site->dest, 404, "{}");
    assert_int_equal(run_call(CALL_HOLD), OUTCOME_OK);
    assert_int_equal(scene.runs, 1);
    assert_int_equal(scene.redis_count, 2);
    assert_int_equal(site->result.fence.offset, 500);
    assert_int_equal(site->result.fence.saved.min_slaves, 3);
    assert_true(strstr(site->result.text, "another way") != NULL);
    assert_false(site->result.is_by_meta);
    assert_true(site->result.may_be_by_meta); /* it got the order, and may carry it out yet */
}

/* The other ways do not wait for the end of its time. */
static void a_silent_source_costs_little_time(void **state)
{
    (void)state;
    fence_ms = 20000;
    configure_both();
    fence_ms = 300;
    site->source.is_held = true;
    scene.state = FENCE_HELD;
    script_answer(&site->dest, 404, "{}");
    assert_int_equal(run_call(CALL_HOLD), OUTCOME_OK);
    assert_in_range(site->result.duration_ms, 300, 10000);
    assert_true(strstr(site->result.text, "another way") != NULL);
}

static void a_dead_source_is_fenced_through_the_destination(void **state)
{
    (void)state;
    script_stop(&site->source);
    scene.state = FENCE_UNREACHABLE;
    answer_fence(&site->dest, FENCE_FROZEN, EPOCH);
    assert_int_equal(run_call(CALL_FREEZE), OUTCOME_OK);
    assert_true(saw(&site->dest, "PUT /api/meta/v2/fence/c%201/s1"));
    assert_true(saw(&site->dest, "10.0.0.2:6379") || saw(&site->dest, "10.0.0.2"));
    assert_int_equal(site->result.fence.state, FENCE_FROZEN);
    assert_false(site->result.is_by_meta || site->result.may_be_by_meta);
}

static void nobody_reaches_the_source(void **state)
{
    (void)state;
    script_stop(&site->source);
    scene.state = FENCE_UNREACHABLE;
    answer_fence(&site->dest, FENCE_UNREACHABLE, EPOCH);
    assert_int_equal(run_call(CALL_HOLD), OUTCOME_UNREACHABLE);
    script_stop(&site->dest);
    assert_int_equal(run_call(CALL_HOLD), OUTCOME_UNREACHABLE);
}

static void a_source_that_may_have_done_it_is_unknown(void **state)
{
    (void)state;
    scene.state = FENCE_UNREACHABLE;
    answer_fence(&site->dest, FENCE_UNREACHABLE, EPOCH);
    script_answer(&site->source, 500, "{\"message\":\"x\"}");
    assert_int_equal(run_call(CALL_HOLD), OUTCOME_UNKNOWN);
    script_answer(&site->source, 200, "{\"masterAddr\":");
    assert_int_equal(run_call(CALL_HOLD), OUTCOME_UNKNOWN);
    script_answer(&site->source, 200, "[1,2]");
    assert_int_equal(run_call(CALL_HOLD), OUTCOME_UNKNOWN);
    script_answer(&site->source, 200, ""); /* x-pipe, not the primary: nothing was done */
    assert_int_equal(run_call(CALL_HOLD), OUTCOME_UNREACHABLE);
    scene.state = FENCE_NONE; /* reached, and it takes writes */
    assert_int_equal(run_call(CALL_HOLD), OUTCOME_REFUSED);
}

static void the_word_of_xpipe_is_proved_from_here(void **state)
{
    (void)state;
    answer_java_fence(&site->source);
    scene.state = FENCE_FROZEN;
    assert_int_equal(run_call(CALL_HOLD), OUTCOME_OK);
    assert_int_equal(scene.goal, FENCE_GOAL_LOOK);
    assert_true(site->result.is_by_meta);
    assert_false(site->result.may_be_by_meta); /* it asserts nothing again */
    scene.state = FENCE_UNREACHABLE;
    assert_int_equal(run_call(CALL_FREEZE), OUTCOME_OK);
    assert_int_equal(site->result.fence.state, FENCE_FROZEN);
    assert_int_equal(site->result.fence.offset, 123);
    assert_true(strstr(site->result.text, "not proved") != NULL);
    scene.state = FENCE_NONE; /* slave-read-only no: it takes writes all the same */
    assert_int_equal(run_call(CALL_FREEZE), OUTCOME_REFUSED);
    scene.state = FENCE_RELEASED;
    assert_int_equal(run_call(CALL_RELEASE), OUTCOME_OK);
    assert_int_equal(scene.goal, FENCE_GOAL_RELEASE);
}

static void a_release_that_failed_there_is_tried_here(void **state)
{
    (void)state;
    answer_fence(&site->source, FENCE_NONE, EPOCH);
    scene.state = FENCE_RELEASED;
    script_answer(&site->dest, 404, "{}");
    assert_int_equal(run_call(CALL_RELEASE), OUTCOME_OK);
    scene.state = FENCE_NONE;
    assert_int_equal(run_call(CALL_RELEASE), OUTCOME_REFUSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CALLS_TEST(the_sources_metaserver_holds),
        CALLS_TEST(its_refusal_and_a_higher_epoch_are_the_last_word),
        CALLS_TEST(a_silent_source_is_fenced_from_here),
        CALLS_TEST(a_silent_source_costs_little_time),
        CALLS_TEST(a_dead_source_is_fenced_through_the_destination),
        CALLS_TEST(nobody_reaches_the_source),
        CALLS_TEST(a_source_that_may_have_done_it_is_unknown),
        CALLS_TEST(the_word_of_xpipe_is_proved_from_here),
        CALLS_TEST(a_release_that_failed_there_is_tried_here),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
