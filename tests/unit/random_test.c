/* random_test.c - the numbers differ, are in range, and the seed of the process stays. */
#include "shared/base/random.h"

#include <string.h>

#include "tests/unit/unit.h"

#include "shared/base/banned.h"

static void every_byte_is_filled(void **state)
{
    (void)state;
    uint8_t seen[64] = { 0 };
    uint8_t bytes[66] = { 0 };
    for (int round = 0; round < 64; round++) { /* a byte stays 0 by chance in 1 of 256^64 runs */
        random_fill(bytes + 1, 64);
        for (size_t i = 0; i < sizeof(seen); i++) {
            seen[i] |= bytes[i + 1];
        }
    }
    for (size_t i = 0; i < sizeof(seen); i++) {
        assert_int_not_equal(seen[i], 0);
    }
    assert_int_equal(bytes[0], 0);
    assert_int_equal(bytes[65], 0);
}

static void numbers_do_not_repeat(void **state)
{
    (void)state;
    assert_true(random_u64() != random_u64());
}

static void below_covers_its_range_and_nothing_else(void **state)
{
    (void)state;
    int counts[7] = { 0 };
    for (int i = 0; i < 7000; i++) {
        int64_t n = random_below(7);
        assert_in_range(n, 0, 6);
        counts[n]++;
    }
    for (int i = 0; i < 7; i++) {
        assert_in_range(counts[i], 700, 1300);
    }
    assert_int_equal(random_below(1), 0);
}

static void the_seed_of_the_process_stays(void **state)
{
    (void)state;
    assert_true(random_process_seed() == random_process_seed());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_is_filled),
        cmocka_unit_test(numbers_do_not_repeat),
        cmocka_unit_test(below_covers_its_range_and_nothing_else),
        cmocka_unit_test(the_seed_of_the_process_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
