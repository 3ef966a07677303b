/* str.c - see str.h. */
#include "shared/base/str.h"
#include "shared/base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "shared/base/banned.h"

void str_done(struct str *s)
{
    free(s->buf);
    *s = STR_INIT(s->max);
}

void str_clear(struct str *s)
{
    s->len = 0;
    s->overflow = false;
    if (s->buf) {
        s->buf[0] = '\0';
    }
}

/* Makes room for 'more' bytes and the NUL; false and 'overflow' when that passes the limit. */
static bool reserve(struct str *s, size_t more)
{
    if (s->overflow || more > s->max - s->len) {
        s->overflow = true;
        return false;
    }
    size_t need = s->len + more + 1;
    if (need > s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 64;
        s->cap = cap < need ? need : cap;
        s->buf = xrealloc(s->buf, s->cap, 1);
    }
    return true;
}

void str_add(struct str *s, const void *bytes, size_t length)
{
    if (!reserve(s, length)) {
        return;
    }
    if (length > 0) {
        memcpy(s->buf + s->len, bytes, length);
    }
    s->len += length;
    s->buf[s->len] = '\0';
}

void str_puts(struct str *s, const char *text)
{
    if (text) {
        str_add(s, text, strlen(text));
    }
}

void str_putc(struct str *s, char c)
{
    str_add(s, &c, 1);
}

void str_printf(struct str *s, const char *fmt, ...)
{
    char small[256];
    va_list args;
    va_start(args, fmt);
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(small, sizeof(small), fmt, args);
    va_end(args);
    xp_check(length >= 0);
    if ((size_t)length < sizeof(small)) {
        str_add(s, small, (size_t)length);
    } else if (reserve(s, (size_t)length)) {
        (void)vsnprintf(s->buf + s->len, (size_t)length + 1, fmt, again);
        s->len += (size_t)length;
    }
    va_end(again);
}

const char *str_text(const struct str *s)
{
    return s->buf ? s->buf : "";
}

char *str_take(struct str *s)
{
    char *text = s->buf ? s->buf : xstrdup("");
    *s = STR_INIT(s->max);
    return text;
}

bool text_eq(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") == 0;
}

bool text_eq_nocase(const char *a, const char *b)
{
    return strcasecmp(a ? a : "", b ? b : "") == 0;
}

bool text_is_empty(const char *a)
{
    return !a || a[0] == '\0';
}

bool text_has_prefix(const char *text, const char *prefix)
{
    return text && strncmp(text, prefix, strlen(prefix)) == 0;
}

void text_lower(char *text)
{
    for (; text && *text; text++) {
        if (*text >= 'A' && *text <= 'Z') {
            *text = (char)(*text - 'A' + 'a');
        }
    }
}

/* Length of the UTF-8 sequence at p (left bytes remain), or 0 when it is malformed. */
static size_t utf8_sequence(const unsigned char *p, size_t left)
{
    if (p[0] < 0x80) {
        return 1;
    }
    size_t n = p[0] >= 0xF0 ? 4 : p[0] >= 0xE0 ? 3 : 2;
    if (p[0] < 0xC2 || p[0] > 0xF4 || n > left) {
        return 0;
    }
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    bool overlong = (p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xF0 && p[1] < 0x90);
    bool surrogate = p[0] == 0xED && p[1] > 0x9F;
    bool too_high = p[0] == 0xF4 && p[1] > 0x8F;
    return overlong || surrogate || too_high ? 0 : n;
}

bool text_is_utf8(const char *text, size_t length)
{
    const unsigned char *p = (const unsigned char *)text;
    while (length > 0) {
        size_t n = utf8_sequence(p, length);
        if (n == 0) {
            return false;
        }
        p += n;
        length -= n;
    }
    return true;
}

bool text_to_i64(const char *text, size_t length, int64_t min, int64_t max, int64_t *ret_value)
{
    bool negative = length > 0 && text[0] == '-';
    size_t i = negative ? 1 : 0;
    if (i == length) {
        return false;
    }
    int64_t value = 0;
    for (; i < length; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        int digit = text[i] - '0';
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, negative ? -digit : digit, &value)) {
            return false;
        }
    }
    if (value < min || value > max) {
        return false;
    }
    *ret_value = value;
    return true;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

bool text_next_part(const char **ret_cursor, const char *separators, const char **ret_part,
                    size_t *ret_length)
{
    const char *p = *ret_cursor;
    while (p && *p) {
        size_t n = strcspn(p, separators);
        const char *part = p;
        size_t length = n;
        p += n + (p[n] ? 1 : 0);
        while (length > 0 && is_blank(part[0])) {
            part++;
            length--;
        }
        while (length > 0 && is_blank(part[length - 1])) {
            length--;
        }
        if (length > 0) {
            *ret_cursor = p;
            *ret_part = part;
            *ret_length = length;
            return true;
        }
    }
    return false;
}
