/* seeds.h - many seeds of a random simulation, those that failed printed: as one test among others (seeds_run), or as the only one of
 * its program (seeds_main).
 *
 * PROGRAM [FIRST [COUNT]] runs others than 1 to the simulation's own count; SIM_SEEDS is a count as well. */
#ifndef TESTS_SIM_SEEDS_H
#define TESTS_SIM_SEEDS_H

#include <stdlib.h>

#include "tests/unit/unit.h"

struct seeds {
    uint64_t first;
    uint64_t count;
    const char *(*run)(uint64_t seed); /* returns what went wrong, or NULL */
};

static inline uint64_t seeds_wanted(uint64_t otherwise)
{
    const char *wanted = getenv("SIM_SEEDS");
    return wanted && wanted[0] ? strtoull(wanted, NULL, 10) : otherwise;
}

static inline void seeds_run(const struct seeds *seeds)
{
    int failed = 0;
    for (uint64_t seed = seeds->first; seed < seeds->first + seeds->count; seed++) {
        const char *failure = seeds->run(seed);
        if (failure) {
            print_error("seed %llu: %s\n", (unsigned long long)seed, failure);
            failed++;
        }
    }
    print_message("# seeds %llu to %llu\n", (unsigned long long)seeds->first,
                  (unsigned long long)(seeds->first + seeds->count - 1));
    assert_int_equal(failed, 0);
}

static inline void nothing_forbidden_is_sent_and_all_ends_well(void **state)
{
    seeds_run(*state);
}

static inline int seeds_main(int argc, char **argv, uint64_t count,
                             const char *(*run)(uint64_t seed))
{
    struct seeds seeds = { .first = 1, .count = seeds_wanted(count), .run = run };
    seeds.first = argc > 1 ? strtoull(argv[1], NULL, 10) : seeds.first;
    seeds.count = argc > 2 ? strtoull(argv[2], NULL, 10) : seeds.count;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(nothing_forbidden_is_sent_and_all_ends_well, &seeds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
