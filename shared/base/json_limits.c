/* json_limits.c - see json_limits.h. */
#include "shared/base/json_limits.h"

#include <stdbool.h>

#include "shared/base/banned.h"

/* Offset of the quote that ends the string which starts at text[at]; the last byte when none does. */
static size_t skip_string(const char *text, size_t length, size_t at)
{
    for (at++; at < length && text[at] != '"'; at++) {
        at += text[at] == '\\';
    }
    return at < length ? at : length - 1;
}

static int fail_nesting(const char *text, size_t at, struct xp_err *err)
{
    size_t line = 1;
    size_t column = 1;
    for (size_t i = 0; i < at; i++) {
        column = text[i] == '\n' ? 1 : column + 1;
        line += text[i] == '\n';
    }
    return xp_fail(err, XP_INVALID, "JSON, line %zu, column %zu: nested deeper than %d levels",
                   line, column, JSON_NESTING_MAX);
}

int json_limits_check(const char *text, size_t length, size_t values_max, struct xp_err *err)
{
    size_t depth = 0;
    size_t values = 1; /* at least as many as there are */
    for (size_t i = 0; i < length && values <= values_max; i++) {
        if (text[i] == '"') {
            i = skip_string(text, length, i);
        } else if (text[i] == '{' || text[i] == '[') {
            values++;
            if (++depth > JSON_NESTING_MAX) {
                return fail_nesting(text, i, err);
            }
        } else if (text[i] == ',') {
            values++;
        } else if ((text[i] == '}' || text[i] == ']') && depth > 0) {
            depth--;
        }
    }
    return values <= values_max
               ? 0
               : xp_fail(err, XP_TOO_LARGE, "JSON: more than %zu values", values_max);
}
