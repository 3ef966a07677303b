/* map.c - see map.h. Linear probing; removal shifts the run back, so that there are no tombstones.
 */
#include "shared/base/map.h"
#include "shared/base/err.h"
#include "shared/base/mem.h"
#include "shared/base/random.h"
#include "shared/base/str.h"

#include <string.h>

#include "shared/base/banned.h"

static uint64_t mix(uint64_t h)
{
    h ^= h >> 33;
    h *= 0xFF51AFD7ED558CCDULL;
    h ^= h >> 33;
    h *= 0xC4CEB9FE1A85EC53ULL;
    return h ^ (h >> 33);
}

static uint64_t hash_text(enum map_kind kind, const char *text)
{
    uint64_t h = random_process_seed();
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        unsigned char c = *p;
        if (kind == MAP_TEXT_NOCASE && c >= 'A' && c <= 'Z') {
            c = (unsigned char)(c - 'A' + 'a');
        }
        h = (h ^ c) * 0x100000001B3ULL;
    }
    return mix(h);
}

static uint64_t hash_number(uint64_t key)
{
    return mix(key ^ random_process_seed());
}

static uint64_t slot_hash(const struct map *m, const struct map_slot *s)
{
    return m->kind == MAP_NUMBER ? hash_number(s->number) : s->number;
}

static bool slot_is(const struct map *m, const struct map_slot *s, uint64_t number,
                    const char *text)
{
    if (s->number != number) {
        return false;
    }
    switch (m->kind) {
    case MAP_NUMBER:
        return true;
    case MAP_TEXT:
        return text_eq(s->text, text);
    case MAP_TEXT_NOCASE:
        return text_eq_nocase(s->text, text);
    }
    return false;
}

/* The slot that holds the key, or the free one where it belongs. The table is never full. */
static struct map_slot *find(const struct map *m, uint64_t hash, uint64_t number, const char *text)
{
    size_t i = (size_t)hash & (m->cap - 1);
    while (m->slots[i].value && !slot_is(m, &m->slots[i], number, text)) {
        i = (i + 1) & (m->cap - 1);
    }
    return &m->slots[i];
}

static void grow(struct map *m)
{
    struct map bigger = { .kind = m->kind, .count = m->count, .cap = m->cap ? m->cap * 2 : 16 };
    bigger.slots = xcalloc(bigger.cap, sizeof(*bigger.slots));
    for (size_t i = 0; i < m->cap; i++) {
        struct map_slot *s = &m->slots[i];
        if (s->value) {
            *find(&bigger, slot_hash(m, s), s->number, s->text) = *s;
        }
    }
    free(m->slots);
    *m = bigger;
}

static void *put(struct map *m, uint64_t hash, uint64_t number, const char *text, void *value)
{
    xp_check(value != NULL);
    if ((m->count + 1) * 4 > m->cap * 3) {
        grow(m);
    }
    struct map_slot *s = find(m, hash, number, text);
    void *old = s->value;
    if (!old) {
        s->text = xstrdup(text);
        s->number = number;
        m->count++;
    }
    s->value = value;
    return old;
}

/* Closes the gap at 'hole': moves back every later element of the run that may sit there. */
static void shift_back(struct map *m, size_t hole)
{
    size_t mask = m->cap - 1;
    for (size_t i = (hole + 1) & mask; m->slots[i].value; i = (i + 1) & mask) {
        size_t home = (size_t)slot_hash(m, &m->slots[i]) & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            m->slots[hole] = m->slots[i];
            hole = i;
        }
    }
    m->slots[hole] = (struct map_slot){ 0 };
}

static void *take_out(struct map *m, uint64_t hash, uint64_t number, const char *text)
{
    if (m->cap == 0) {
        return NULL;
    }
    struct map_slot *s = find(m, hash, number, text);
    void *old = s->value;
    if (old) {
        free(s->text);
        m->count--;
        shift_back(m, (size_t)(s - m->slots));
    }
    return old;
}

void map_done(struct map *m)
{
    for (size_t i = 0; i < m->cap; i++) {
        free(m->slots[i].text);
    }
    free(m->slots);
    *m = MAP_INIT(m->kind);
}

size_t map_count(const struct map *m)
{
    return m->count;
}

void *map_get(const struct map *m, const char *key)
{
    xp_check(m->kind != MAP_NUMBER);
    if (m->cap == 0 || !key) {
        return NULL;
    }
    uint64_t hash = hash_text(m->kind, key);
    return find(m, hash, hash, key)->value;
}

void *map_get_n(const struct map *m, uint64_t key)
{
    xp_check(m->kind == MAP_NUMBER);
    return m->cap == 0 ? NULL : find(m, hash_number(key), key, NULL)->value;
}

void *map_put(struct map *m, const char *key, void *value)
{
    xp_check(m->kind != MAP_NUMBER && key != NULL);
    uint64_t hash = hash_text(m->kind, key);
    return put(m, hash, hash, key, value);
}

void *map_put_n(struct map *m, uint64_t key, void *value)
{
    xp_check(m->kind == MAP_NUMBER);
    return put(m, hash_number(key), key, NULL, value);
}

void *map_remove(struct map *m, const char *key)
{
    xp_check(m->kind != MAP_NUMBER && key != NULL);
    uint64_t hash = hash_text(m->kind, key);
    return take_out(m, hash, hash, key);
}

void *map_remove_n(struct map *m, uint64_t key)
{
    xp_check(m->kind == MAP_NUMBER);
    return take_out(m, hash_number(key), key, NULL);
}

/* Walks backwards from a free slot, once around. Removal moves elements of the same run back into the
 * hole, so only elements that were visited already change their place, and no run crosses the free slot.
 * The cursor holds that slot and the number of steps left plus one. */
const struct map_slot *map_next(const struct map *m, size_t *at)
{
    _Static_assert(sizeof(*at) == 8, "the cursor holds two 32-bit numbers");
    if (m->cap == 0) {
        return NULL;
    }
    if (*at == 0) {
        size_t gap = 0;
        while (m->slots[gap].value) {
            gap++;
        }
        *at = gap << 32 | m->cap;
    }
    size_t gap = *at >> 32;
    size_t left = *at & UINT32_MAX;
    for (left--; left > 0; left--) {
        const struct map_slot *s = &m->slots[(gap + left) & (m->cap - 1)];
        if (s->value) {
            *at = gap << 32 | left;
            return s;
        }
    }
    *at = gap << 32 | 1;
    return NULL;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(((const struct map_slot *)a)->text, ((const struct map_slot *)b)->text);
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = ((const struct map_slot *)a)->number;
    uint64_t y = ((const struct map_slot *)b)->number;
    return x < y ? -1 : x > y;
}

void **map_sorted(const struct map *m, size_t *ret_count)
{
    AUTO_FREE struct map_slot *copy = xcalloc(m->count, sizeof(*copy));
    size_t n = 0;
    size_t at = 0;
    for (const struct map_slot *s; (s = map_next(m, &at));) {
        copy[n++] = *s;
    }
    qsort(copy, n, sizeof(*copy), m->kind == MAP_NUMBER ? by_number : by_text);
    void **values = xcalloc(n, sizeof(*values));
    for (size_t i = 0; i < n; i++) {
        values[i] = copy[i].value;
    }
    *ret_count = n;
    return values;
}
