/* What the engine gathers: answers of several shards in one turn, and of a fence that goes on by itself (migration_engine_fixture.h). */
#include "tests/unit/migration_engine_fixture.h"

#include "shared/base/banned.h"

/* One commit for all of them; without waiting, several. */
static void answers_of_shards_share_a_turn(void **state)
{
    (void)state;
    create_event(1, "all", 1, 1, "Initiated");
    s.migs[1].shards = 4;
    s.gather_ms = WAIT_MS;
    start_engine(64);
    assert_int_equal(ask(1, 0, ASK_PROCESS), 0);
    wait_for(first_is_over);
    assert_int_equal(s.migs[1].holds, 4);
    assert_int_equal(s.migs[1].hold_turns, 1);
}

static bool three_are_taken(void)
{
    return s.migs[1].holds == 3;
}

static void a_late_answer_keeps_the_others_a_moment_only(void **state)
{
    (void)state;
    create_event(1, "all", 1, 1, "Initiated");
    s.migs[1].shards = 4;
    s.migs[1].last_hangs = true;
    s.gather_ms = 30;
    start_engine(64);
    assert_int_equal(ask(1, 0, ASK_PROCESS), 0);
    wait_for(three_are_taken);
    assert_int_equal(s.migs[1].status, MIG_MIGRATING);
    answer_call(1, CALL_HOLD);
    wait_for(first_is_over);
}

static bool one_is_taken(void)
{
    return s.migs[1].holds > 0;
}

static void what_goes_wrong_waits_for_nobody(void **state)
{
    (void)state;
    create_event(1, "all", 1, 1, "Initiated");
    s.migs[1].shards = 4;
    s.migs[1].last_hangs = true;
    s.gather_ms = 10 * WAIT_MS;
    s.answers.outcome = OUTCOME_REFUSED;
    start_engine(64);
    assert_int_equal(ask(1, 0, ASK_PROCESS), 0);
    wait_for(one_is_taken);
}

/* Answers come for 300 ms, and never is there a pause as long as the wait. */
static void each_waits_no_longer_because_more_come(void **state)
{
    (void)state;
    create_event(1, "all", 1, 1, "Initiated");
    s.migs[1].shards = 60;
    s.gather_ms = 30;
    start_engine(64);
    assert_int_equal(ask(1, 0, ASK_PROCESS), 0);
    wait_for(first_is_over);
    assert_true(s.migs[1].hold_turns > 1);
}

/* Waits for the last hold; answers of two others are there. */
static void gather_two(void)
{
    create_event(1, "all", 1, 1, "Initiated");
    s.migs[1].shards = 3;
    s.migs[1].last_hangs = true;
    s.gather_ms = 10 * WAIT_MS;
    start_engine(64);
    assert_int_equal(ask(1, 0, ASK_PROCESS), 0);
    wait_for(first_is_migrating);
}

static void a_look_takes_what_has_come(void **state)
{
    (void)state;
    gather_two();
    for (int i = 0; i < 10; i++) {
        run_loop();
    }
    assert_int_equal(s.migs[1].holds, 0);
    migration_engine_configure(s.engine, &(struct migration_settings){ .gather_ms = s.gather_ms });
    wait_for(one_is_taken);
}

/* Once writes are accepted there, or go back, nothing waits. */
static void a_publication_waits_for_nobody(void **state)
{
    (void)state;
    gather_two();
    answer_call(1, CALL_HOLD);
    s.answers.goes_on = true; /* something of it is under way still */
    wait_for(first_is_over);
}

static void a_stop_takes_what_has_come(void **state)
{
    (void)state;
    gather_two();
    migration_engine_stop(s.engine);
    wait_for(one_is_taken);
}

static void an_ask_takes_what_has_come(void **state)
{
    (void)state;
    create_event(1, "all", 1, 1, "Initiated");
    s.migs[1].shards = 2;
    s.migs[1].last_hangs = true;
    s.gather_ms = WAIT_MS;
    start_engine(64);
    assert_int_equal(ask(1, 0, ASK_PROCESS), 0);
    wait_for(first_is_migrating);
    for (int i = 0; i < 10; i++) {
        run_loop(); /* the first hold is answered long before */
    }
    assert_int_equal(s.migs[1].holds, 0);
    assert_int_equal(ask(1, 1, ASK_ROLLBACK), XP_CONFLICT);
    assert_int_equal(s.migs[1].holds, 1);
}

/* Its call is under way until the last of them is over; one that is not wanted any more makes no turn. */
static void what_goes_on_is_waited_for(void **state)
{
    (void)state;
    create_event(1, "all", 1, 1, "Initiated");
    s.migs[1].shards = 3;
    s.gather_ms = WAIT_MS;
    start_engine(64);
    s.migs[1].is_held_check = true;
    assert_int_equal(ask(1, 0, ASK_PROCESS), 0);
    answer_call(1, CALL_CHECK);
    s.answers.goes_on = true;
    wait_for(first_is_migrating);
    for (int i = 0; i < 20; i++) {
        run_loop(); /* all holds are answered */
    }
    assert_int_equal(s.migs[1].holds, 0);
    s.answers = (struct migration_result){ .outcome = OUTCOME_NONE };
    answer_call(1, CALL_DRAIN);
    answer_call(1, CALL_DRAIN);
    s.answers.outcome = OUTCOME_OK;
    for (int i = 0; i < 10; i++) {
        run_loop();
    }
    assert_int_equal(s.migs[1].holds, 0);
    answer_call(1, CALL_FREEZE);
    wait_for(first_is_over);
    assert_int_equal(s.migs[1].hold_turns, 1);
}

static bool a_drain_is_sent(void)
{
    return s.migs[1].has_held_call;
}

static bool a_drain_is_taken(void)
{
    return s.migs[1].drains > 0;
}

/* In a disaster the plan sends each step: what a fence that went on says meanwhile would be taken for its answer. */
static void what_a_turn_overtook_is_no_answer(void **state)
{
    (void)state;
    create_event(1, "all", 1, 1, "Initiated");
    s.overtakes = true;
    start_engine(64);
    assert_int_equal(ask(1, 0, ASK_PROCESS), 0);
    wait_for(a_drain_is_sent);
    assert_int_equal(ask(1, 1, ASK_ROLLBACK), XP_CONFLICT); /* a turn with all that has come */
    assert_int_equal(s.migs[1].drains, 0);
    answer_call(1, CALL_DRAIN);
    wait_for(a_drain_is_taken);
    assert_int_equal(ask(1, 1, ASK_ROLLBACK), XP_CONFLICT);
    assert_int_equal(s.migs[1].drains, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(answers_of_shards_share_a_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(a_late_answer_keeps_the_others_a_moment_only, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_goes_wrong_waits_for_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(each_waits_no_longer_because_more_come, setup, teardown),
        cmocka_unit_test_setup_teardown(a_look_takes_what_has_come, setup, teardown),
        cmocka_unit_test_setup_teardown(a_publication_waits_for_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(a_stop_takes_what_has_come, setup, teardown),
        cmocka_unit_test_setup_teardown(an_ask_takes_what_has_come, setup, teardown),
        cmocka_unit_test_setup_teardown(what_goes_on_is_waited_for, setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_turn_overtook_is_no_answer, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
