/* clock_shim.c - a wall clock that a test moves: LD_PRELOAD=clock_shim.so XPIPE_CLOCK_FILE=PATH.
 *
 * PATH holds one int64_t, milliseconds to add to CLOCK_REALTIME, read at every call, so that a step needs no signal. The monotonic
 * clocks stay as they are: that is what a step of the system clock does. Without a file the clock is the real one. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "shared/base/banned.h"

#define NS_PER_S 1000000000LL

static const int64_t no_offset;
static const volatile int64_t *offset_ms = &no_offset;

__attribute__((constructor)) static void map_offset(void)
{
    const char *path = getenv("XPIPE_CLOCK_FILE");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) {
        return;
    }
    void *at = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
    if (at != MAP_FAILED) {
        offset_ms = at;
    }
    (void)close(fd);
}

static void shift(struct timespec *t)
{
    int64_t ns = (int64_t)t->tv_sec * NS_PER_S + t->tv_nsec + *offset_ms * 1000000;
    t->tv_sec = ns / NS_PER_S;
    t->tv_nsec = ns % NS_PER_S;
}

int clock_gettime(clockid_t id, struct timespec *ret_time)
{
    int rc = (int)syscall(SYS_clock_gettime, id, ret_time);
    if (rc == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) {
        shift(ret_time);
    }
    return rc;
}

int gettimeofday(struct timeval *restrict ret_time, void *restrict zone)
{
    struct timespec t;
    (void)zone;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    *ret_time = (struct timeval){ .tv_sec = t.tv_sec, .tv_usec = t.tv_nsec / 1000 };
    return 0;
}

time_t time(time_t *ret_time)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    if (ret_time) {
        *ret_time = t.tv_sec;
    }
    return t.tv_sec;
}
