/* The check of a migration, and the same questions outside of one: what each DC answers, and who is silent. */
#include "tests/unit/unit.h"

#include "tests/unit/migration_calls_fixture.h"

#include "shared/base/banned.h"

/* ---- the check ---- */

static void all_dcs_are_checked(void **state)
{
    (void)state;
    answer_check(&site->source);
    answer_check(&site->dest);
    assert_int_equal(run_call(CALL_CHECK), OUTCOME_OK);
    assert_int_equal(scene.dcs_that_answered, 2);
    assert_false(scene.judged_as_disaster);
    assert_true(saw(&site->source, "GET /api/meta/changeprimarydc/check/c%201/s1/oy"));
    assert_true(strstr(site->result.text, "Check success") != NULL);
    scene.judge_says_no = true;
    assert_int_equal(run_call(CALL_CHECK), OUTCOME_REFUSED);
    assert_true(strstr(site->result.text, "the judge says no") != NULL);
    scene.judge_says_later = true;
    assert_int_equal(run_call(CALL_CHECK), OUTCOME_NOT_YET);
    scene.judge_says_later = false;
    script_answer(&site->dest, 500, "{\"message\":\"the step waited too long\"}");
    assert_int_equal(run_call(CALL_CHECK), OUTCOME_NOT_YET); /* it is there, and busy */
}

static void a_dead_source_is_a_disaster_only_when_nothing_was_asked_for(void **state)
{
    (void)state;
    script_stop(&site->source);
    answer_check(&site->dest);
    assert_int_equal(run_call(CALL_CHECK), OUTCOME_OK);
    assert_true(scene.judged_as_disaster);
    site->row.mode = MODE_PLANNED;
    assert_int_equal(run_call(CALL_CHECK), OUTCOME_OK);
    assert_false(scene.judged_as_disaster);
    scene.judge_says_no = true;
    script_stop(&site->dest);
    assert_int_equal(run_call(CALL_CHECK), OUTCOME_UNREACHABLE);
}

/* ---- the same questions outside of a migration ---- */

static struct shard_survey *surveyed;
static bool was_surveyed;

static void on_survey(struct shard_survey *take_survey, void *arg)
{
    (void)arg;
    shard_survey_free(surveyed);
    surveyed = take_survey;
    was_surveyed = true;
}

static bool is_surveyed(void *arg)
{
    (void)arg;
    return was_surveyed;
}

static struct shard_survey *survey_new(void)
{
    struct xp_err err = { 0 };
    struct shard_survey *survey = xcalloc(1, sizeof(*survey));
    assert_int_equal(shard_survey_add(survey, "jq", true, false, &err), 0);
    assert_int_equal(shard_survey_add(survey, "oy", false, true, &err), 0);
    return survey;
}

static void start_survey(struct loop_timer *t)
{
    (void)t;
    was_surveyed = false;
    migration_survey_start(site->calls, "c 1", "s1", survey_new(), on_survey, NULL);
    assert_false(was_surveyed); /* never inside the call */
}

static void survey_when_closed(struct loop_timer *t)
{
    (void)t;
    was_surveyed = false;
    migration_calls_close(site->calls);
    migration_survey_start(site->calls, "c 1", "s1", survey_new(), on_survey, NULL);
}

static void run_survey(void (*start)(struct loop_timer *))
{
    loop_timer_init(&start_timer, site->loop, start);
    loop_timer_start(&start_timer, 0);
    was_surveyed = false;
    assert_true(script_wait(&site->source, is_surveyed, NULL, SCRIPT_LIMIT_MS));
}

static void a_survey_asks_all_dcs(void **state)
{
    (void)state;
    answer_check(&site->source);
    script_stop(&site->dest);
    run_survey(start_survey);
    assert_int_equal(surveyed->count, 2);
    assert_true(saw(&site->source, "GET /api/meta/changeprimarydc/check/c%201/s1/oy"));
    assert_non_null(shard_survey_source(surveyed)->check);
    assert_true(shard_survey_source(surveyed)->took_us > 0);
    assert_null(shard_survey_dest(surveyed)->check);
    assert_true(shard_survey_dest(surveyed)->is_unreachable);
    assert_non_null(shard_survey_dest(surveyed)->error);
    assert_int_equal(migration_calls_active(site->calls), 0);
    run_survey(survey_when_closed);
    assert_null(surveyed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CALLS_TEST(all_dcs_are_checked),
        CALLS_TEST(a_dead_source_is_a_disaster_only_when_nothing_was_asked_for),
        CALLS_TEST(a_survey_asks_all_dcs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
