/* The engine (migration_engine_fixture.h): limits, policies, asks, failures, resume, stop. What it gathers: migration_engine_gather_test.c. */
#include "tests/unit/migration_engine_fixture.h"

#include "shared/base/banned.h"

/* ---- policies and limits ---- */

static bool five_are_over(void)
{
    return count_of(MIG_SUCCESS, 1, 5) == 5;
}

static void a_canary_goes_first(void **state)
{
    (void)state;
    create_event(1, "canary", 1, 5, "Initiated");
    start_engine(64);
    s.migs[1].is_held_check = true;
    assert_int_equal(ask(1, 0, ASK_PROCESS), 0);
    assert_int_equal(s.migs[1].status, MIG_CHECKING);
    assert_int_equal(count_of(MIG_INITIATED, 2, 4), 4);
    answer_call(1, CALL_CHECK);
    wait_for(five_are_over);
    assert_int_equal(s.migs[1].starts_order, 1);
    assert_int_equal(s.migs[2].starts_order, 2);
    assert_int_equal(s.migs[5].starts_order, 5);
    assert_int_equal(ask(1, 0, ASK_PROCESS), 0); /* all of it is over: nothing to do */
}

static bool canary_failed(void)
{
    return s.migs[1].status == MIG_CHECKING_FAIL;
}

static void a_canary_that_fails_leaves_the_others_alone(void **state)
{
    (void)state;
    create_event(1, "canary", 1, 5, "Initiated");
    s.migs[1].check_fails = true;
    start_engine(64);
    assert_int_equal(ask(1, 0, ASK_PROCESS), 0);
    wait_for(canary_failed);
    assert_int_equal(ask(1, 3, ASK_ROLLBACK), XP_CONFLICT); /* a turn more: nobody has begun */
    assert_string_equal(last_answer.text, "not now");
    assert_int_equal(count_of(MIG_INITIATED, 2, 4), 4);
    s.migs[1].check_fails = false;
    assert_int_equal(ask(1, 0, ASK_PROCESS), 0); /* the canary again */
    wait_for(five_are_over);
}

static bool all_are_over(void)
{
    return count_of(MIG_SUCCESS, 1, 300) == 300;
}

static void many_share_the_slots_in_order(void **state)
{
    (void)state;
    create_event(1, "all", 1, 200, "Initiated");
    create_event(2, "all", 201, 100, "Initiated");
    start_engine(8);
    assert_int_equal(ask(2, 0, ASK_PROCESS), 0);
    assert_int_equal(ask(1, 0, ASK_PROCESS), 0);
    wait_for(all_are_over);
    assert_true(s.outage_max <= 8 && s.outage_max > 1);
    for (int i = 2; i <= 200; i++) {
        assert_true(s.migs[i].starts_order > s.migs[i - 1].starts_order);
    }
}

static void one_that_was_asked_for_waits_after_its_check(void **state)
{
    (void)state;
    create_event(1, "all", 1, 2, "Initiated");
    start_engine(1);
    s.migs[1].is_held_check = true;
    assert_int_equal(ask(1, 1, ASK_PROCESS), 0);
    assert_int_equal(ask(1, 2, ASK_PROCESS), 0); /* committed, though no slot is free */
    assert_int_equal(s.migs[2].status, MIG_CHECKING);
    assert_int_equal(ask(1, 1, ASK_PROCESS), 0);
    assert_int_equal(s.migs[2].status, MIG_CHECKING);
    answer_call(1, CALL_CHECK);
    s.call_ms = 5;
    mono_ms deadline = clock_mono_ms() + WAIT_MS;
    while (count_of(MIG_SUCCESS, 1, 2) < 2) {
        assert_true(clock_mono_ms() < deadline);
        run_loop();
    }
    assert_int_equal(s.outage_max, 1);
}

/* ---- asks ---- */

static void a_rollback_comes_while_the_check_runs(void **state)
{
    (void)state;
    create_event(1, "canary", 1, 1, "Initiated");
    s.migs[1].is_held_check = true;
    start_engine(64);
    assert_int_equal(ask(1, 1, ASK_PROCESS), 0);
    assert_true(s.migs[1].has_held_call);
    assert_int_equal(ask(1, 1, ASK_ROLLBACK), 0);
    assert_int_equal(s.migs[1].status, MIG_ABORTED);
    assert_false(s.migs[1].has_held_call); /* forgotten: it is over */
}

static void asks_for_what_is_not_there(void **state)
{
    (void)state;
    create_event(1, "canary", 1, 1, "Initiated");
    start_engine(64);
    assert_int_equal(ask(9, 0, ASK_PROCESS), XP_NOT_FOUND);
    assert_string_equal(last_answer.text, "event not found:9");
    assert_int_equal(ask(1, 77, ASK_PROCESS), XP_NOT_FOUND);
    assert_int_equal(ask(1, 0, ASK_ROLLBACK), XP_INVALID);
    create_event(2, "canary", 2, 1, "Initiated"); /* nobody has said so: the rows are looked at */
    assert_int_equal(ask(2, 0, ASK_PROCESS), 0);
    assert_true(s.migs[2].status != MIG_INITIATED);
}

static struct answer second_answer;

static bool both_are_answered(void)
{
    return last_answer.is_there && second_answer.is_there;
}

/* The engine has not read of the event yet, and is busy with another one: it is no event of which all is over. */
static void an_ask_for_a_new_event_that_comes_in_a_turn_is_carried_out(void **state)
{
    (void)state;
    create_event(1, "canary", 1, 1, "Initiated");
    s.migs[1].is_held_check = true;
    start_engine(64);
    assert_int_equal(ask(1, 1, ASK_PROCESS), 0);
    create_event(2, "canary", 2, 1, "Initiated");
    last_answer = second_answer = (struct answer){ 0 };
    migration_engine_ask(s.engine, 1, 1, ASK_PROCESS, "dba", on_asked, &last_answer);
    migration_engine_ask(s.engine, 2, 0, ASK_PROCESS, "dba", on_asked, &second_answer);
    wait_for(both_are_answered);
    assert_int_equal(last_answer.rc, 0);
    assert_int_equal(second_answer.rc, 0);
    assert_true(s.migs[2].status != MIG_INITIATED);
}

static void what_is_over_answers_from_its_rows(void **state)
{
    (void)state;
    create_event(1, "canary", 1, 1, "Success");
    sql("UPDATE migration_cluster_tbl SET is_followed = 1, end_time = 5");
    start_engine(64);
    assert_int_equal(ask(1, 1, ASK_ROLLBACK), XP_CONFLICT);
    assert_string_equal(last_answer.text, "already success");
    assert_int_equal(ask(1, 0, ASK_PROCESS), 0);
    assert_int_equal(s.turns, 0);
}

/* ---- failures ---- */

static void a_failed_turn_is_repeated_and_sends_nothing(void **state)
{
    (void)state;
    create_event(1, "canary", 1, 1, "Initiated");
    start_engine(64);
    s.fail_turns = 4;
    assert_int_equal(ask(1, 0, ASK_PROCESS), 0);
    assert_int_equal(s.sent_at_failure, 0); /* only after the commit */
    assert_true(s.turns >= 5);
    s.fail_turns = 2;
    wait_for(first_is_over);
}

/* Found by F25: what such a turn had wanted to send was never sent. */
static void a_commit_that_is_not_answered_is_resumed(void **state)
{
    (void)state;
    create_event(1, "canary", 1, 1, "Initiated");
    start_engine(64);
    s.loses_answer = true;
    assert_int_equal(ask(1, 0, ASK_PROCESS), 0);
    wait_for(first_is_over);
    assert_false(s.loses_answer);
    assert_int_equal(s.migs[1].resumed, 2); /* at the start, and then */
    assert_int_equal(s.migs[1].left, 1);
}

/* Only builds with fault points; in the others there is nothing to be set. */
static void faults_around_the_commit(void **state)
{
    (void)state;
    struct xp_err err = { 0 };
    create_event(1, "canary", 1, 1, "Initiated");
    if (fault_configure("migration_before_commit=error:2,migration_after_commit=delay:20", &err) <
        0) {
        assert_int_equal(err.code, XP_UNSUPPORTED);
    }
    start_engine(64);
    assert_int_equal(ask(1, 0, ASK_PROCESS), 0);
    wait_for(first_is_over);
    assert_int_equal(fault_configure("", &err), 0);
}

static void a_broken_row_stops_nobody_else(void **state)
{
    (void)state;
    create_event(1, "all", 1, 20, "Initiated");
    s.poisoned = 7;
    start_engine(64);
    assert_int_equal(ask(1, 0, ASK_PROCESS), 0);
    mono_ms deadline = clock_mono_ms() + WAIT_MS;
    while (count_of(MIG_SUCCESS, 1, 20) < 19) {
        assert_true(clock_mono_ms() < deadline);
        run_loop();
    }
    assert_int_equal(s.migs[7].status, MIG_INITIATED);
    s.poisoned = 0;
    while (count_of(MIG_SUCCESS, 1, 20) < 20) {
        assert_true(clock_mono_ms() < deadline);
        run_loop();
    }
}

static void a_row_of_another_owner_is_dropped(void **state)
{
    (void)state;
    create_event(1, "canary", 1, 1, "Initiated");
    s.migs[1].dropped_epoch = 1;
    start_engine(64);
    (void)ask(1, 1, ASK_PROCESS);
    assert_int_equal(s.sent, 0);
}

/* ---- resume and stop ---- */

static void what_was_under_way_is_resumed_with_a_higher_epoch(void **state)
{
    (void)state;
    create_event(1, "all", 1, 1, "Publish");
    create_event(2, "all", 2, 2, "Initiated");
    sql("UPDATE migration_event_tbl SET is_started = 1");
    sql("UPDATE migration_cluster_tbl SET epoch = 99999999999 WHERE id = 1");
    s.migs[1].status = MIG_PUBLISH;
    s.outage_now = 1;
    start_engine(64);
    mono_ms deadline = clock_mono_ms() + WAIT_MS;
    while (count_of(MIG_SUCCESS, 1, 3) < 3) { /* the event that was started goes on, too */
        assert_true(clock_mono_ms() < deadline);
        run_loop();
    }
    assert_int_equal(s.migs[1].resumed, 1);
    assert_true(s.epoch == 100000000000);
}

static bool engine_is_idle(void)
{
    return migration_engine_is_idle(s.engine);
}

static void a_stop_ends_outages_and_begins_nothing(void **state)
{
    (void)state;
    create_event(1, "all", 1, 20, "Initiated");
    start_engine(1);
    s.call_ms = 20;
    assert_int_equal(ask(1, 0, ASK_PROCESS), 0);
    wait_for(first_is_migrating);
    migration_engine_stop(s.engine);
    wait_for(engine_is_idle);
    assert_int_equal(s.migs[1].status, MIG_SUCCESS);
    assert_int_equal(count_of(MIG_INITIATED, 2, 19), 19);
    assert_int_equal(ask(1, 2, ASK_PROCESS), XP_UNAVAILABLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_canary_goes_first, setup, teardown),
        cmocka_unit_test_setup_teardown(a_canary_that_fails_leaves_the_others_alone, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(many_share_the_slots_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(one_that_was_asked_for_waits_after_its_check, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_rollback_comes_while_the_check_runs, setup, teardown),
        cmocka_unit_test_setup_teardown(asks_for_what_is_not_there, setup, teardown),
        cmocka_unit_test_setup_teardown(an_ask_for_a_new_event_that_comes_in_a_turn_is_carried_out,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_over_answers_from_its_rows, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failed_turn_is_repeated_and_sends_nothing, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_commit_that_is_not_answered_is_resumed, setup, teardown),
        cmocka_unit_test_setup_teardown(faults_around_the_commit, setup, teardown),
        cmocka_unit_test_setup_teardown(a_broken_row_stops_nobody_else, setup, teardown),
        cmocka_unit_test_setup_teardown(a_row_of_another_owner_is_dropped, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_under_way_is_resumed_with_a_higher_epoch, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_stop_ends_outages_and_begins_nothing, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
