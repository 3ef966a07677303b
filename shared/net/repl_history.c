/* repl_history.c - see repl_history.h. */
#include "shared/net/repl_history.h"

#include <ctype.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

static bool starts_with(const char *line, size_t length, const char *name)
{
    size_t skip = strlen(name);
    return length > skip && memcmp(line, name, skip) == 0;
}

/* All zeros: Redis' word for none. */
static void take_id(const char *line, size_t length, const char *name, char *ret_id)
{
    size_t skip = strlen(name);
    bool is_good = starts_with(line, length, name) && length - skip == REPL_ID_SIZE - 1;
    bool is_zero = true;
    for (size_t i = skip; is_good && i < length; i++) {
        is_good = isalnum((unsigned char)line[i]) != 0;
        is_zero = is_zero && line[i] == '0';
    }
    if (is_good && !is_zero) {
        memcpy(ret_id, line + skip, length - skip);
    }
}

static void take_number(const char *line, size_t length, const char *name, int64_t *ret_number)
{
    size_t skip = strlen(name);
    if (starts_with(line, length, name)) {
        (void)text_to_i64(line + skip, length - skip, 0, INT64_MAX - 1, ret_number);
    }
}

/* "db0:keys=3,expires=0,avg_ttl=0" */
static bool is_database(const char *line, size_t length)
{
    return length > 3 && memcmp(line, "db", 2) == 0 && isdigit((unsigned char)line[2]) &&
           memmem(line, length, ":keys=", 6) && !memmem(line, length, ":keys=0,", 8);
}

void repl_history_parse(const char *text, size_t length, struct repl_history *ret_history)
{
    static const char keyspace[] = "# Keyspace";
    struct repl_history h = { .second_offset = -1, .offset = -1 };
    AUTO_FREE char *copy = xstrndup(text ? text : "", text ? length : 0);
    const char *cursor = copy;
    const char *line;
    size_t n;
    bool is_told = false;
    while (text_next_part(&cursor, "\r\n", &line, &n)) {
        take_id(line, n, "master_replid:", h.repl_id);
        take_id(line, n, "master_replid2:", h.repl_id2);
        take_number(line, n, "second_repl_offset:", &h.second_offset);
        take_number(line, n, "master_repl_offset:", &h.offset);
        is_told = is_told || (n == sizeof(keyspace) - 1 && memcmp(line, keyspace, n) == 0);
        h.has_data = h.has_data || is_database(line, n);
    }
    h.has_data = h.has_data || !is_told;
    if (h.second_offset < 0) {
        h.repl_id2[0] = '\0';
    }
    *ret_history = h;
}

bool repl_history_eq(const struct repl_history *a, const struct repl_history *b)
{
    return text_eq(a->repl_id, b->repl_id) && text_eq(a->repl_id2, b->repl_id2) &&
           a->second_offset == b->second_offset;
}

static bool is_same(const char *a, const char *b)
{
    return a[0] != '\0' && text_eq(a, b);
}

/* The last byte that both have; -1: nothing can be said. */
static int64_t common_offset(const struct repl_history *own, const struct repl_history *other)
{
    if (is_same(own->repl_id, other->repl_id)) {
        return own->offset; /* it follows, or has followed, this very history */
    }
    if (is_same(own->repl_id, other->repl_id2)) {
        return other->second_offset - 1;
    }
    if (is_same(own->repl_id2, other->repl_id)) {
        return own->second_offset - 1;
    }
    if (is_same(own->repl_id2, other->repl_id2)) {
        int64_t first =
            own->second_offset < other->second_offset ? own->second_offset : other->second_offset;
        return first - 1;
    }
    return -1;
}

bool repl_history_beyond(const struct repl_history *own, const struct repl_history *other,
                         int64_t *ret_bytes, int64_t *ret_common)
{
    int64_t common = own->offset < 0 ? -1 : common_offset(own, other);
    if (common < 0) {
        return false;
    }
    *ret_bytes = own->offset > common ? own->offset - common : 0;
    *ret_common = common;
    return true;
}
