/* keep_decide_test.c - see keep_decide.h. The facts are fifteen flags: every combination of them is decided about. */
#include "meta/primary/keep_decide.h"

#include <string.h>

#include "shared/base/mem.h"
#include "tests/unit/unit.h"

#include "shared/base/banned.h"

enum { COMBINATIONS = 1 << 15 };

static struct keep_facts facts_of(unsigned bits)
{
    return (struct keep_facts){
        .is_busy = bits & 1U,
        .is_fenced = bits & 2U,
        .is_primary = bits & 4U,
        .is_migrating = bits & 8U,
        .may_follow = bits & 16U,
        .is_stray_due = bits & 32U,
        .has_settings = bits & 64U,
        .is_look_wanted = bits & 128U,
        .is_find_due = bits & 256U,
        .is_ended = bits & 512U,
        .is_isolated = bits & 1024U,
        .is_isolation = bits & 2048U,
        .is_confirmed = bits & 4096U,
        .is_doubted = bits & 8192U,
        .is_past = bits & 16384U,
    };
}

/* Nobody of this DC may take writes, and nothing stops them yet. */
static bool is_to_be_isolated(const struct keep_facts *f)
{
    return f->is_isolated && f->is_primary && !f->is_fenced;
}

static enum keep_duty duty_of(const struct keep_facts *f)
{
    struct keep_plan plan;
    keep_decide(f, &plan);
    assert_true(plan.rule[0] == 'K' && plan.why[0] != '\0');
    return plan.duty;
}

static void a_cluster_under_migration_is_left_alone(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits < COMBINATIONS; bits++) {
        struct keep_facts f = facts_of(bits);
        if (f.is_migrating && !f.may_follow) {
            enum keep_duty duty = duty_of(&f);
            bool is_past = f.is_fenced && f.is_past && !f.is_primary;
            bool is_left =
                (duty == KEEP_SETTLE && f.has_settings) || (duty == KEEP_FORGET && !f.has_settings);
            assert_int_equal(keep_may_settle(&f), is_past);
            assert_true(duty == KEEP_NOTHING || duty == KEEP_LATER ||
                        (duty == KEEP_ASSERT && f.is_fenced && !is_past) || (is_past && is_left) ||
                        (duty == KEEP_ISOLATE && is_to_be_isolated(&f)));
            assert_false(keep_may_correct(&f));
        }
    }
}

static void a_fence_in_force_is_kept_and_nothing_else(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits < COMBINATIONS; bits++) {
        struct keep_facts f = facts_of(bits);
        enum keep_duty duty = duty_of(&f);
        bool is_outlived = f.is_primary && !f.is_migrating &&
                           (f.is_isolation ? f.is_confirmed && !f.is_isolated : f.is_ended);
        assert_int_equal(keep_is_over(&f), f.is_fenced && is_outlived);
        bool is_doubted = f.is_doubted && f.is_primary && !f.is_migrating && !f.is_isolation;
        assert_int_equal(duty == KEEP_ASSERT,
                         keep_is_in_force(&f) && !f.is_busy && !is_outlived && !is_doubted);
        assert_int_equal(duty == KEEP_RELEASE, f.is_fenced && !f.is_busy && is_outlived);
        assert_true(duty != KEEP_ASSERT || f.is_fenced);
    }
}

static void an_isolated_primary_dc_stops_its_writes_and_no_other(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits < COMBINATIONS; bits++) {
        struct keep_facts f = facts_of(bits);
        assert_int_equal(duty_of(&f) == KEEP_ISOLATE, is_to_be_isolated(&f) && !f.is_busy);
    }
}

static void the_primary_dcs_masters_are_no_strays(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits < COMBINATIONS; bits++) {
        struct keep_facts f = facts_of(bits);
        assert_true(duty_of(&f) != KEEP_HOLD || (!f.is_primary && f.is_stray_due));
    }
}

static void nothing_begins_while_something_is_under_way(void **state)
{
    (void)state;
    for (unsigned bits = 1; bits < COMBINATIONS; bits += 2) {
        struct keep_facts f = facts_of(bits);
        bool is_idle = !f.is_fenced && !f.is_stray_due && !f.has_settings && !f.is_find_due &&
                       !f.is_look_wanted && !is_to_be_isolated(&f);
        assert_int_equal(duty_of(&f), is_idle ? KEEP_NOTHING : KEEP_LATER);
    }
}

static void check(struct keep_facts f, const char *rule)
{
    struct keep_plan plan;
    keep_decide(&f, &plan);
    assert_string_equal(plan.rule, rule);
}

static void each_rule_has_its_case(void **state)
{
    (void)state;
    check((struct keep_facts){ .is_busy = true, .is_migrating = true }, "K05");
    check((struct keep_facts){ .is_busy = true, .is_fenced = true }, "K10");
    check((struct keep_facts){ .is_fenced = true, .is_primary = true }, "K20");
    check((struct keep_facts){ .is_fenced = true, .is_migrating = true }, "K20");
    check((struct keep_facts){ .is_fenced = true, .is_primary = true, .is_ended = true }, "K15");
    check((struct keep_facts){ .is_fenced = true, .is_ended = true }, "K60");
    struct keep_facts doubted = { .is_fenced = true, .is_primary = true, .is_doubted = true };
    check(doubted, "K18");
    doubted.is_migrating = true;
    check(doubted, "K20");
    doubted.is_migrating = false;
    doubted.is_isolation = true;
    check(doubted, "K20");
    struct keep_facts past = { .is_fenced = true, .is_past = true, .is_migrating = true };
    check(past, "K28");
    past.has_settings = true;
    check(past, "K27");
    past.may_follow = true;
    check(past, "K50");
    past.may_follow = past.is_fenced = false;
    check(past, "K30");
    past.is_fenced = past.is_primary = true;
    check(past, "K20");
    check((struct keep_facts){ .is_past = true, .is_migrating = true, .is_stray_due = true },
          "K30");
    check((struct keep_facts){ .is_isolated = true, .is_primary = true }, "K25");
    check((struct keep_facts){ .is_isolated = true, .is_primary = true, .is_migrating = true },
          "K25");
    check((struct keep_facts){ .is_isolated = true }, "K05");
    check((struct keep_facts){ .is_isolated = true, .is_primary = true, .is_fenced = true }, "K20");
    struct keep_facts held = { .is_fenced = true, .is_isolation = true, .is_primary = true };
    check(held, "K20");
    held.is_ended = true; /* of a migration that the metadata in memory knows: not confirmed */
    check(held, "K20");
    held.is_confirmed = true;
    check(held, "K17");
    held.is_migrating = true;
    check(held, "K20");
    held.is_migrating = held.is_primary = false;
    check(held, "K60");
    held.has_settings = true;
    check(held, "K50");
    held.is_primary = held.is_isolated = true; /* gone again */
    check(held, "K20");
    check((struct keep_facts){ .is_stray_due = true, .is_migrating = true }, "K30");
    check((struct keep_facts){ .has_settings = true, .is_migrating = true }, "K30");
    check((struct keep_facts){ .is_stray_due = true, .is_migrating = true, .may_follow = true },
          "K40");
    check((struct keep_facts){ .is_stray_due = true, .has_settings = true }, "K40");
    check((struct keep_facts){ .is_find_due = true, .is_primary = true }, "K45");
    check(
        (struct keep_facts){
            .is_find_due = true, .is_primary = true, .is_migrating = true, .may_follow = true },
        "K90");
    check((struct keep_facts){ .is_find_due = true }, "K90");
    check((struct keep_facts){ .has_settings = true, .is_primary = true }, "K50");
    check((struct keep_facts){ .is_fenced = true, .has_settings = true }, "K50");
    check((struct keep_facts){ .is_fenced = true }, "K60");
    check((struct keep_facts){ .is_look_wanted = true }, "K70");
    check((struct keep_facts){ .is_look_wanted = true, .is_primary = true }, "K90");
    check((struct keep_facts){ .is_stray_due = true, .is_primary = true }, "K90");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cluster_under_migration_is_left_alone),
        cmocka_unit_test(a_fence_in_force_is_kept_and_nothing_else),
        cmocka_unit_test(an_isolated_primary_dc_stops_its_writes_and_no_other),
        cmocka_unit_test(the_primary_dcs_masters_are_no_strays),
        cmocka_unit_test(nothing_begins_while_something_is_under_way),
        cmocka_unit_test(each_rule_has_its_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
