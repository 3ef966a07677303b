/* clock.c - see clock.h. CLOCK_BOOTTIME: a suspended machine must not keep its lease. */
#include "shared/base/clock.h"

#include <errno.h>
#include <time.h>

#include "shared/base/banned.h"

static int64_t read_us(clockid_t id)
{
    struct timespec ts;
    (void)clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

mono_ms clock_mono_ms(void)
{
    return read_us(CLOCK_BOOTTIME) / 1000;
}

int64_t clock_mono_us(void)
{
    return read_us(CLOCK_BOOTTIME);
}

wall_ms clock_wall_ms(void)
{
    return read_us(CLOCK_REALTIME) / 1000;
}

void clock_pause_ms(int64_t ms)
{
    struct timespec left = { .tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000 };
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
}
