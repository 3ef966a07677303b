/* clock.c - see clock.h. CLOCK_BOOTTIME: a suspended machine must not keep its lease. */
#include "shared/base/clock.h"

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
