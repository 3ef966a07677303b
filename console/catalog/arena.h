/* arena.h - memory that is freed as a whole: texts and arrays of one snapshot.
 * Nothing in it is freed alone. Thread: one while building; any while reading. */
#ifndef CONSOLE_CATALOG_ARENA_H
#define CONSOLE_CATALOG_ARENA_H

#include <stddef.h>

struct arena;

struct arena *arena_new(void);                      /* returns owned (arena_free) */
void arena_free(struct arena *);                    /* NULL is fine */
void *arena_alloc(struct arena *, size_t size);     /* zeroed, aligned for every type */
char *arena_text(struct arena *, const char *text); /* a copy; NULL becomes "" */
void *
arena_keep(struct arena *,
           void *malloced); /* takes a malloc'ed block, frees it with the arena; NULL is fine */

#endif
