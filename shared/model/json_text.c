/* json_text.c - JSON texts in and out with our limits (see json_decode.h). */
#include "shared/base/json_limits.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/model/json_decode.h"

#include <string.h>

#include "shared/base/banned.h"

#define ESCAPED_MAX_BYTES (16 * 1024 * 1024)

/* jansson quotes the input in its messages: one line, please. */
static void clean_message(char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < ' ' || *text == 0x7F) {
            *text = ' ';
        }
    }
}

int jd_parse_large(const char *text, size_t length, size_t values_max, json_t **ret_json,
                   struct xp_err *err)
{
    int rc = json_limits_check(text, length, values_max, err);
    if (rc != 0) {
        return rc;
    }
    json_error_t error = { 0 };
    json_t *json =
        json_loadb(text ? text : "", length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (!json) {
        clean_message(error.text);
        return xp_fail(err, XP_INVALID, "JSON, line %d, column %d: %s", error.line, error.column,
                       error.text);
    }
    *ret_json = json;
    return XP_OK;
}

int jd_parse(const char *text, size_t length, json_t **ret_json, struct xp_err *err)
{
    return jd_parse_large(text, length, JSON_VALUES_MAX, ret_json, err);
}

/* Length of the longest valid UTF-8 sequence at 'text' (1..4), or 0. */
static size_t sequence_length(const char *text, size_t left)
{
    for (size_t n = 1; n <= 4 && n <= left; n++) {
        if (text_is_utf8(text, n)) {
            return n;
        }
    }
    return 0;
}

static json_t *escaped_text(const char *text, size_t length)
{
    struct str out AUTO_STR = STR_INIT(ESCAPED_MAX_BYTES);
    for (size_t i = 0; i < length;) {
        size_t n = sequence_length(text + i, length - i);
        if (n > 0) {
            str_add(&out, text + i, n);
        } else {
            str_printf(&out, "\\x%02X", (unsigned)(unsigned char)text[i]);
        }
        i += n > 0 ? n : 1;
    }
    return json_string(str_text(&out));
}

json_t *jd_text(const char *text)
{
    if (!text) {
        return json_null();
    }
    size_t length = strlen(text);
    return text_is_utf8(text, length) ? json_stringn_nocheck(text, length)
                                      : escaped_text(text, length);
}

json_t *jd_iterable(const json_t *object)
{
    union {
        const json_t *in;
        json_t *out;
    } u = { .in = object };
    return u.out;
}
