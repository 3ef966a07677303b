/* arena.c - see arena.h: a chain of blocks; large requests get a block of their own. */
#include "console/catalog/arena.h"
#include "shared/base/mem.h"

#include <stdint.h>
#include <string.h>

#include "shared/base/banned.h"

enum { BLOCK_BYTES = 64 * 1024, ALIGNMENT = 16 };

struct block {
    struct block *next;
    void *kept; /* taken by arena_keep; else NULL */
    size_t used;
    size_t size;
    _Alignas(ALIGNMENT) char bytes[];
};

struct arena {
    struct block *blocks; /* the first one is filled */
};

struct arena *arena_new(void)
{
    return xcalloc(1, sizeof(struct arena));
}

void arena_free(struct arena *arena)
{
    if (!arena) {
        return;
    }
    for (struct block *block = arena->blocks; block;) {
        struct block *next = block->next;
        free(block->kept);
        free(block);
        block = next;
    }
    free(arena);
}

static struct block *add_block(struct arena *arena, size_t size)
{
    struct block *block = xcalloc(1, sizeof(*block) + size);
    block->size = size;
    block->next = arena->blocks;
    arena->blocks = block;
    return block;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    size_t need = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    struct block *block = arena->blocks;
    if (!block || block->size - block->used < need) {
        block = add_block(arena, need > BLOCK_BYTES ? need : BLOCK_BYTES);
    }
    void *memory = block->bytes + block->used;
    block->used += need;
    return memory;
}

char *arena_text(struct arena *arena, const char *text)
{
    const char *from = text ? text : "";
    size_t size = strlen(from) + 1;
    return memcpy(arena_alloc(arena, size), from, size);
}

void *arena_keep(struct arena *arena, void *malloced)
{
    if (malloced) {
        /* Behind the block in use, which stays first. */
        struct block *block = xcalloc(1, sizeof(*block));
        block->kept = malloced;
        if (arena->blocks) {
            block->next = arena->blocks->next;
            arena->blocks->next = block;
        } else {
            arena->blocks = block;
        }
    }
    return malloced;
}
