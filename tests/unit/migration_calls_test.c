/* The remote calls of a migration to the destination and the other DCs: every kind of answer gives its outcome. Then fault points and
 * the end. Fences, checks and the outer client, what goes on by itself:
 * migration_calls_{fence,check,outer,chain}_test.c. */
#include "tests/unit/unit.h"

#include "shared/base/fault.h"
#include "tests/unit/migration_calls_fixture.h"

#include "shared/base/banned.h"

/* ---- the destination ---- */

static void a_promotion_has_each_outcome(void **state)
{
    (void)state;
    answer_change(&site->dest, true, false);
    assert_int_equal(run_call(CALL_PROMOTE), OUTCOME_OK);
    assert_true(saw(&site->dest, "PUT /api/meta/changeprimarydc/c%201/s1/oy?epoch=7 {"));
    assert_true(saw(&site->dest, "\"planned\""));
    assert_int_equal(site->result.change.new_master.port, 6379);
    answer_change(&site->dest, false, false);
    assert_int_equal(run_call(CALL_PROMOTE), OUTCOME_REFUSED);
    answer_change(&site->dest, false, true);
    assert_int_equal(run_call(CALL_PROMOTE), OUTCOME_STALE);
    script_answer(&site->dest, 500, "{}");
    assert_int_equal(run_call(CALL_PROMOTE), OUTCOME_UNKNOWN);
    script_answer(&site->dest, 200, "{\"errorType\":");
    assert_int_equal(run_call(CALL_PROMOTE), OUTCOME_UNKNOWN);
    script_answer(
        &site->dest, 200,
        "{\"errorType\":\"SUCCESS\",\"errorMessage\":\"done\",\"newMasterIp\":\"10.1.0.1\","
        "\"newMasterPort\":6379,\"success\":true}");
    assert_int_equal(run_call(CALL_PROMOTE), OUTCOME_OK); /* x-pipe's */
    script_answer(&site->dest, 200,
                  "{\"errorType\":\"SUCCESS\",\"errorMessage\":\"done\",\"newMasterIp\":null,"
                  "\"newMasterPort\":0,\"success\":true}");
    assert_int_equal(run_call(CALL_PROMOTE), OUTCOME_REFUSED); /* nobody to publish */
    site->dest.is_held = true;
    assert_int_equal(run_call(CALL_PROMOTE), OUTCOME_UNKNOWN);
    script_stop(&site->dest);
    assert_int_equal(run_call(CALL_PROMOTE), OUTCOME_UNREACHABLE);
}

static void xpipe_knows_no_drain(void **state)
{
    (void)state;
    answer_change(&site->dest, true, false);
    assert_int_equal(run_call(CALL_DRAIN), OUTCOME_OK);
    assert_true(site->result.change.is_drained);
    assert_true(saw(&site->dest, "POST /api/meta/v2/drain/c%201/s1 {"));
    site->dest.is_java = true;
    assert_int_equal(run_call(CALL_DRAIN), OUTCOME_OK);
    assert_false(site->result.change.is_ours);
    assert_false(site->result.change.is_drained);
}

static void a_demotion_names_the_source(void **state)
{
    (void)state;
    answer_change(&site->dest, true, false);
    assert_int_equal(run_call(CALL_DEMOTE), OUTCOME_OK);
    assert_true(saw(&site->dest, "PUT /api/meta/changeprimarydc/c%201/s1/jq?epoch=7 "));
}

static void other_dcs_follow(void **state)
{
    (void)state;
    site->row.status = MIG_SUCCESS;
    site->row.is_active_switched = true;
    answer_change(&site->source, true, false);
    assert_int_equal(run_call(CALL_FOLLOW), OUTCOME_OK);
    assert_true(saw(&site->source, "PUT /api/meta/changeprimarydc/c%201/s1/oy?epoch=7 "));
    answer_change(&site->source, false, false);
    assert_int_equal(run_call(CALL_FOLLOW), OUTCOME_REFUSED);
    script_stop(&site->source);
    assert_int_equal(run_call(CALL_FOLLOW), OUTCOME_UNREACHABLE);
    configure("{}");
    assert_int_equal(run_call(CALL_FOLLOW), OUTCOME_UNREACHABLE);
    assert_true(strstr(site->result.text, "no metaserver is configured") != NULL);
}

/* ---- fault points ---- */

/* Only builds with fault points; in the others there is nothing to be set. */
static void faults_before_and_after_each_call(void **state)
{
    (void)state;
    static const struct {
        enum migration_call call;
        const char *before, *after;
    } points[] = {
        { CALL_CHECK, "migration_before_check=error", "migration_after_check=error" },
        { CALL_HOLD, "migration_before_hold=error", "migration_after_hold=error" },
        { CALL_DRAIN, "migration_before_drain=error", "migration_after_drain=error" },
        { CALL_FREEZE, "migration_before_freeze=error", "migration_after_freeze=error" },
        { CALL_PROMOTE, "migration_before_promote=error", "migration_after_promote=error" },
        { CALL_DEMOTE, "migration_before_demote=error", "migration_after_demote=error" },
        { CALL_RELEASE, "migration_before_release=error", "migration_after_release=error" },
        { CALL_FOLLOW, "migration_before_follow=error", "migration_after_follow=error" },
        { CALL_PRECHECK, "migration_before_precheck=error", "migration_after_precheck=error" },
        { CALL_PUBLISH, "migration_before_publish=error", "migration_after_publish=error" },
    };
    struct xp_err err = { 0 };
    for (size_t i = 0; i < ARRAY_LEN(points); i++) {
        if (fault_configure(points[i].before, &err) < 0) {
            assert_int_equal(err.code, XP_UNSUPPORTED);
            return;
        }
        assert_int_equal(run_call(points[i].call), OUTCOME_UNREACHABLE);
        assert_int_equal(site->source.requests + site->dest.requests, 0);
        assert_int_equal(fault_configure(points[i].after, &err), 0);
        assert_int_equal(run_call(points[i].call), OUTCOME_UNKNOWN);
        wait_idle();
        site->source.requests = site->dest.requests = 0;
    }
    assert_int_equal(fault_configure("", &err), 0);
}

/* ---- ends ---- */

static bool source_asked(void *arg)
{
    return ((struct site *)arg)->source.held != NULL;
}

static void a_forgotten_migration_is_not_answered(void **state)
{
    (void)state;
    site->source.is_held = true;
    next_call = CALL_HOLD;
    loop_timer_init(&start_timer, site->loop, start_call);
    loop_timer_start(&start_timer, 0);
    assert_true(script_wait(&site->source, source_asked, site, SCRIPT_LIMIT_MS));
    assert_int_equal(migration_calls_active(site->calls), 1);
    migration_calls_forget(site->calls, 11);
    assert_int_equal(migration_calls_active(site->calls), 0);
    answer_fence(&site->source, FENCE_HELD, EPOCH);
    script_release(&site->source);
    assert_int_equal(run_call(CALL_HOLD), OUTCOME_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CALLS_TEST(a_promotion_has_each_outcome),
        CALLS_TEST(xpipe_knows_no_drain),
        CALLS_TEST(a_demotion_names_the_source),
        CALLS_TEST(other_dcs_follow),
        CALLS_TEST(faults_before_and_after_each_call),
        CALLS_TEST(a_forgotten_migration_is_not_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
