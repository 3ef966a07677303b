/* str.h - a growing text with a limit, and the few text helpers everybody needs.
 *
 * Invariants of struct str: buf is NULL (empty) or NUL-terminated at buf[len]; len <= max.
 * An append that would pass 'max' changes nothing and sets 'overflow', which sticks: build first,
 * check once at the end. The bytes may hold NULs when appended with str_add.
 * Thread: belongs to one thread at a time. */
#ifndef SHARED_BASE_STR_H
#define SHARED_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/err.h"

struct str {
    char *buf;
    size_t len;
    size_t cap;
    size_t max;
    bool overflow;
};

#define STR_INIT(max_bytes) ((struct str){ .max = (max_bytes) })

void str_done(struct str *s); /* frees the text; the struct is empty and usable again */
void str_clear(struct str *s);
void str_add(struct str *s, const void *bytes, size_t length);
void str_puts(struct str *s, const char *text);
void str_putc(struct str *s, char c);
void str_printf(struct str *s, const char *fmt, ...) XP_PRINTF(2, 3);
const char *str_text(const struct str *s); /* never NULL; valid until the next change */
char *str_take(struct str *s);             /* returns owned (free); never NULL; leaves s empty */
#define AUTO_STR CLEANUP(str_done)

/* Text helpers. None of them changes or keeps its input; NULL counts as the empty text. */
bool text_eq(const char *a, const char *b);
bool text_eq_nocase(const char *a, const char *b); /* ASCII letters only */
bool text_is_empty(const char *a);
bool text_has_prefix(const char *text, const char *prefix);
bool text_is_utf8(const char *text, size_t length); /* no overlong forms, no surrogates */
void text_lower(char *text);                        /* ASCII, in place */

/* Whole text as a decimal integer within [min, max]; no blanks, no sign '+', nothing behind it.
 * False leaves *ret_value alone. */
bool text_to_i64(const char *text, size_t length, int64_t min, int64_t max, int64_t *ret_value);

/* Walks the parts of 'text' between any of the characters in 'separators'; blanks around a part are
 * cut, empty parts are skipped. Start with *ret_cursor = text; false when nothing is left. */
bool text_next_part(const char **ret_cursor, const char *separators, const char **ret_part,
                    size_t *ret_length);

#endif
