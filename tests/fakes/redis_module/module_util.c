/* module_util.c - see module_util.h. */
#include "tests/fakes/redis_module/module_util.h"

#include <string.h>
#include <strings.h>
#include <time.h>

#include "shared/base/banned.h"

static int64_t clock_us(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t now_mono_ms(void)
{
    return clock_us(CLOCK_MONOTONIC) / 1000;
}

int64_t now_wall_s(void)
{
    return clock_us(CLOCK_REALTIME) / 1000000;
}

int64_t now_wall_us(void)
{
    return clock_us(CLOCK_REALTIME);
}

bool text_copy(char *to, size_t size, const char *from, size_t len)
{
    size_t n = len < size ? len : size - 1;

    memmove(to, from, n);
    to[n] = '\0';
    return n == len;
}

const char *arg_text(const struct rm_string *arg)
{
    return RM_StringPtrLen(arg, NULL);
}

bool arg_is(const struct rm_string *arg, const char *word)
{
    return strcasecmp(arg_text(arg), word) == 0;
}
