/* budget_test.c - the token bucket of corrections. */
#include "meta/shards/budget.h"
#include "tests/unit/unit.h"

#include "shared/base/banned.h"

static int take_all(struct budget *b, mono_ms now)
{
    int taken = 0;
    while (budget_take(b, now)) {
        taken++;
    }
    return taken;
}

static void it_starts_full_and_fills_with_time(void **state)
{
    (void)state;
    struct budget b;
    budget_init(&b, 10, 5, 1000);
    assert_int_equal(take_all(&b, 1000), 5);
    assert_int_equal(take_all(&b, 1099), 0);
    assert_int_equal(take_all(&b, 1100), 1);
    assert_int_equal(take_all(&b, 1350), 2);
    assert_int_equal(take_all(&b, 1400), 1); /* the half token was not lost */
    assert_int_equal(take_all(&b, INT64_MAX - 1), 5);
}

static void a_clock_that_goes_back_gives_nothing(void **state)
{
    (void)state;
    struct budget b;
    budget_init(&b, 10, 1, 1000);
    assert_true(budget_take(&b, 1000));
    assert_false(budget_take(&b, 500));
}

static void a_token_may_be_given_back(void **state)
{
    (void)state;
    struct budget b;
    budget_init(&b, 1, 1, 0);
    assert_true(budget_take(&b, 0));
    budget_give_back(&b);
    assert_true(budget_take(&b, 0));
    assert_false(budget_take(&b, 0));
}

static void the_rate_may_change(void **state)
{
    (void)state;
    struct budget b;
    budget_init(&b, 1, 100, 0);
    budget_set_rate(&b, 1000, 3);
    assert_int_equal(take_all(&b, 0), 3); /* never more than the burst of now */
    assert_int_equal(take_all(&b, 2), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_starts_full_and_fills_with_time),
        cmocka_unit_test(a_clock_that_goes_back_gives_nothing),
        cmocka_unit_test(a_token_may_be_given_back),
        cmocka_unit_test(the_rate_may_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
