/* err.c - see err.h. */
#include "shared/base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/banned.h"

/* clang-format off */
static const struct xp_code_info code_table[] = {
    { XP_OK,          "OK",          200, 0, 0 },
    { XP_INVALID,     "INVALID",     400, 0, 0 },
    { XP_NOT_FOUND,   "NOT_FOUND",   404, 0, 0 },
    { XP_CONFLICT,    "CONFLICT",    409, 0, 0 },
    { XP_FORBIDDEN,   "FORBIDDEN",   403, 0, 0 },
    { XP_NOT_OWNER,   "NOT_OWNER",   503, 0, 1 },
    { XP_UNAVAILABLE, "UNAVAILABLE", 503, 0, 1 },
    { XP_TIMEOUT,     "TIMEOUT",     504, 0, 1 },
    { XP_IO,          "IO",          502, 0, 1 },
    { XP_TOO_LARGE,   "TOO_LARGE",   413, 0, 0 },
    { XP_TOO_MANY,    "TOO_MANY",    429, 0, 1 },
    { XP_UNSUPPORTED, "UNSUPPORTED", 501, 0, 0 },
    { XP_REMOTE,      "REMOTE",      502, 0, 0 },
    { XP_LOCKED,      "LOCKED",      409, 0, 0 },
    { XP_INTERNAL,    "INTERNAL",    500, 1, 0 }, /* last: also of codes that are unknown */
};
/* clang-format on */

const struct xp_code_info *xp_code_info(int code)
{
    size_t n = sizeof(code_table) / sizeof(code_table[0]);
    for (size_t i = 0; i < n; i++) {
        if (code_table[i].code == code) {
            return &code_table[i];
        }
    }
    return &code_table[n - 1];
}

/* Marks a text that did not fit, so that nobody takes the cut for the whole. */
static void mark_cut(char *msg, size_t size, int wanted)
{
    if (wanted < 0 || (size_t)wanted >= size) {
        memcpy(msg + size - 4, "...", 4);
    }
}

int xp_fail(struct xp_err *err, enum xp_code code, const char *fmt, ...)
{
    xp_check(code < 0);
    if (err) {
        va_list args;
        va_start(args, fmt);
        err->code = (int)code;
        mark_cut(err->msg, sizeof(err->msg), vsnprintf(err->msg, sizeof(err->msg), fmt, args));
        va_end(args);
    }
    return (int)code;
}

int xp_wrap(struct xp_err *err, const char *fmt, ...)
{
    if (!err) {
        return XP_INTERNAL;
    }
    char context[sizeof(err->msg)];
    char joined[2 * sizeof(err->msg) + 4];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(context, sizeof(context), fmt, args);
    va_end(args);
    int wanted = snprintf(joined, sizeof(joined), "%s: %s", context, err->msg);
    (void)snprintf(err->msg, sizeof(err->msg), "%.*s", (int)sizeof(err->msg) - 1, joined);
    mark_cut(err->msg, sizeof(err->msg), wanted);
    return err->code;
}

void xp_check_failed(const char *cond, const char *file, int line)
{
    (void)fprintf(stderr, "%s:%d: check failed: %s\n", file, line, cond);
    abort();
}
