/* info_lines.h - the "key:value" lines of INFO-like replies, one at a time, without copying.
 *
 * Lines end with CRLF or LF, the last one may lack it. Lines that start with '#' and lines without ':' are skipped. Blanks
 * around key and value are cut. Internal to shared/crdt. Thread: any. */
#ifndef SHARED_CRDT_INFO_LINES_H
#define SHARED_CRDT_INFO_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct info_lines { /* start with { text, text + length } */
    const char *at;
    const char *end;
};

struct info_line {
    const char *key;
    size_t key_length;
    const char *value;
    size_t value_length;
};

static inline bool info_is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* Cuts blanks on both sides of [*ret_from, *ret_to). */
static inline void info_trim(const char **ret_from, const char **ret_to)
{
    while (*ret_from < *ret_to && info_is_blank(**ret_from)) {
        (*ret_from)++;
    }
    while (*ret_from < *ret_to && info_is_blank((*ret_to)[-1])) {
        (*ret_to)--;
    }
}

/* The next key and value; false at the end. */
static inline bool info_lines_next(struct info_lines *lines, struct info_line *ret_line)
{
    while (lines->at < lines->end) {
        const char *from = lines->at;
        const char *to = memchr(from, '\n', (size_t)(lines->end - from));
        lines->at = to ? to + 1 : lines->end;
        to = to ? to : lines->end;
        info_trim(&from, &to);
        const char *colon =
            from < to && *from != '#' ? memchr(from, ':', (size_t)(to - from)) : NULL;
        if (!colon) {
            continue;
        }
        const char *key_end = colon;
        const char *value = colon + 1;
        info_trim(&from, &key_end);
        info_trim(&value, &to);
        *ret_line =
            (struct info_line){ from, (size_t)(key_end - from), value, (size_t)(to - value) };
        return true;
    }
    return false;
}

static inline bool info_is(const char *text, size_t length, const char *word, size_t word_length)
{
    return length == word_length && memcmp(text, word, word_length) == 0;
}
#define INFO_IS(text, length, word) info_is((text), (length), (word), sizeof(word) - 1)

#endif
