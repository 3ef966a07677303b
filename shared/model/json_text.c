/* json_text.c - JSON texts in and out with our limits (see json_decode.h). */
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/model/json_decode.h"

#include <string.h>

#include "shared/base/banned.h"

#define NESTING_MAX       64
#define ESCAPED_MAX_BYTES (16 * 1024 * 1024)

/* Offset behind the string that starts at text[at] == '"'. */
static size_t skip_string(const char *text, size_t length, size_t at)
{
    for (at++; at < length && text[at] != '"'; at++) {
        at += text[at] == '\\';
    }
    return at < length ? at : length - 1;
}

/* jansson's own limit is 2,048 levels, built in. False and the offset of the bracket that is too deep. */
static bool nesting_is_fine(const char *text, size_t length, size_t *ret_at)
{
    size_t depth = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '"') {
            i = skip_string(text, length, i);
        } else if (text[i] == '{' || text[i] == '[') {
            if (++depth > NESTING_MAX) {
                *ret_at = i;
                return false;
            }
        } else if ((text[i] == '}' || text[i] == ']') && depth > 0) {
            depth--;
        }
    }
    return true;
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
                   line, column, NESTING_MAX);
}

/* jansson quotes the input in its messages: one line, please. */
static void clean_message(char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < ' ' || *text == 0x7F) {
            *text = ' ';
        }
    }
}

int jd_parse(const char *text, size_t length, json_t **ret_json, struct xp_err *err)
{
    size_t at = 0;
    if (!nesting_is_fine(text, length, &at)) {
        return fail_nesting(text, at, err);
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
