/* random.c - see random.h. */
#include "shared/base/random.h"

#include <errno.h>
#include <pthread.h>
#include <sys/random.h>

#include "shared/base/err.h"

#include "shared/base/banned.h"

static uint64_t seed;
static pthread_once_t seed_once = PTHREAD_ONCE_INIT;

void random_fill(void *out, size_t length)
{
    uint8_t *at = out;
    while (length > 0) {
        ssize_t n = getrandom(at, length, 0);
        xp_check(n > 0 || (n < 0 && errno == EINTR));
        at += n > 0 ? n : 0;
        length -= n > 0 ? (size_t)n : 0;
    }
}

uint64_t random_u64(void)
{
    uint64_t value;
    random_fill(&value, sizeof(value));
    return value;
}

int64_t random_below(int64_t limit)
{
    xp_check(limit > 0);
    return (int64_t)(random_u64() % (uint64_t)limit);
}

static void seed_init(void)
{
    seed = random_u64();
}

uint64_t random_process_seed(void)
{
    (void)pthread_once(&seed_once, seed_init);
    return seed;
}
