/* map.h - texts or 64-bit numbers to pointers, by open addressing.
 *
 * Keys: either every key is a text (copied, compared byte by byte, or without regard to ASCII case
 * when made so) or every key is a number; one map does not mix them. Values: borrowed pointers,
 * never NULL; the map frees none of them. Order of iteration: undefined, sort when it is shown.
 * Hash: seeded per process, so that keys from outside cannot build collisions.
 * Thread: one thread at a time; do not add while iterating (removal is fine). */
#ifndef SHARED_BASE_MAP_H
#define SHARED_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum map_kind { MAP_TEXT, MAP_TEXT_NOCASE, MAP_NUMBER };

struct map_slot {
    char *text;      /* owned; NULL in number maps */
    uint64_t number; /* the number, or the hash of the text */
    void *value;     /* NULL: free slot */
};

struct map {
    enum map_kind kind;
    struct map_slot *slots;
    size_t count;
    size_t cap; /* 0 or a power of two */
};

#define MAP_INIT(map_kind) ((struct map){ .kind = (map_kind) })

/* frees the keys and the table, not the values; the map is usable again */
void map_done(struct map *m);
size_t map_count(const struct map *m);

/* Returns the value, or NULL. */
void *map_get(const struct map *m, const char *key);
void *map_get_n(const struct map *m, uint64_t key);
/* Adds or replaces; returns the value that was there before, or NULL. */
void *map_put(struct map *m, const char *key, void *value);
void *map_put_n(struct map *m, uint64_t key, void *value);
/* Returns the value that was removed, or NULL. */
void *map_remove(struct map *m, const char *key);
void *map_remove_n(struct map *m, uint64_t key);

/* Iteration: size_t at = 0; while ((slot = map_next(m, &at))) ... A slot is valid until the next
 * change. Every element is visited once, also when elements are removed on the way. */
const struct map_slot *map_next(const struct map *m, size_t *at);
/* All values in ascending key order (bytes, or numbers). Returns owned (free); *ret_count of them. */
void **map_sorted(const struct map *m, size_t *ret_count);

#endif
