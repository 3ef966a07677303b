/* json_limits.h - what a JSON text may be before a parser allocates anything for it. jansson bounds neither: a value takes
 * 100 to 150 bytes of memory, however small it is written, and its own limit of nesting (2,048) is built in.
 *
 * Not a parser: a text that passes may still be no JSON. Thread: any. */
#ifndef XPIPE_BASE_JSON_LIMITS_H
#define XPIPE_BASE_JSON_LIMITS_H

#include <stddef.h>

#include "shared/base/err.h"

#define JSON_NESTING_MAX 64
/* bodies and answers; whole documents have a limit of their own */
#define JSON_VALUES_MAX ((size_t)1000 * 1000)

/* XP_INVALID: nested too deep (line and column in the text); XP_TOO_LARGE: too many values. */
int json_limits_check(const char *text, size_t length, size_t values_max,
                      struct xp_err *err) XP_MUST_CHECK;

#endif
