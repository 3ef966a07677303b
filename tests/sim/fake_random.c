/* fake_random.c - see fake_random.h. Defines every function of random.c, so that it is not linked. */
#include "tests/sim/fake_random.h"

#include <string.h>

#include "shared/base/err.h"

#include "shared/base/banned.h"

#define GOLDEN 0x9E3779B97F4A7C15ULL

static uint64_t next = GOLDEN;

void fake_random_seed(uint64_t seed)
{
    next = seed;
}

/* splitmix64 */
uint64_t random_u64(void)
{
    uint64_t z = next += GOLDEN;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
}

void random_fill(void *out, size_t length)
{
    char *at = out;
    while (length > 0) {
        uint64_t value = random_u64();
        size_t n = length < sizeof(value) ? length : sizeof(value);
        memcpy(at, &value, n);
        at += n;
        length -= n;
    }
}

int64_t random_below(int64_t limit)
{
    xp_check(limit > 0);
    return (int64_t)(random_u64() % (uint64_t)limit);
}

uint64_t random_process_seed(void)
{
    return GOLDEN;
}
