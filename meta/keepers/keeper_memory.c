/* keeper_memory.c - see keeper_memory.h. */
#include "meta/keepers/keeper_memory.h"

#include <stdio.h>

#include "shared/base/log.h"
#include "shared/base/mem.h"

#include "shared/base/banned.h"

#define KEY_MAX (ADDR_TEXT_MAX + 24)

#define DAY_MS ((int64_t)24 * 3600 * 1000)

struct remembered_keeper {
    int64_t cluster_id;
    int64_t shard_id;
    struct addr addr;
    mono_ms used_at;
};

static const char *key_of(int64_t shard_id, const struct addr *keeper, char *buf)
{
    (void)snprintf(buf, KEY_MAX, "%lld %s", (long long)shard_id, ADDR_TEXT(keeper));
    return buf;
}
#define KEY_OF(shard_id, keeper) key_of(shard_id, keeper, (char[KEY_MAX]){ 0 })

void keeper_memory_init(struct keeper_memory *memory)
{
    memory->by_keeper = MAP_INIT(MAP_TEXT_NOCASE);
}

void keeper_memory_done(struct keeper_memory *memory)
{
    size_t at = 0;
    for (const struct map_slot *slot; (slot = map_next(&memory->by_keeper, &at));) {
        free(slot->value);
    }
    map_done(&memory->by_keeper);
}

static void remember(struct keeper_memory *memory, const struct remembered_keeper *keeper)
{
    const char *key = KEY_OF(keeper->shard_id, &keeper->addr);
    struct remembered_keeper *known = map_get(&memory->by_keeper, key);
    if (!known && map_count(&memory->by_keeper) < KEEPER_MEMORY_MAX) {
        known = xcalloc(1, sizeof(*known));
        (void)map_put(&memory->by_keeper, key, known);
    }
    if (known) {
        *known = *keeper;
    }
}

static bool has(const struct shard_meta *shard, const struct addr *keeper)
{
    for (size_t k = 0; k < shard->keepers.count; k++) {
        if (addr_eq(&shard->keepers.items[k].addr, keeper)) {
            return true;
        }
    }
    return false;
}

static void note_shard(struct keeper_memory *memory, int64_t cluster_id,
                       const struct shard_meta *before, const struct shard_meta *after, mono_ms now)
{
    bool is_same = after && after->db_id == before->db_id;
    for (size_t k = 0; k < before->keepers.count; k++) {
        struct remembered_keeper keeper = { .cluster_id = cluster_id,
                                            .shard_id = before->db_id,
                                            .addr = before->keepers.items[k].addr,
                                            .used_at = now };
        if (!is_same || !has(after, &keeper.addr)) {
            remember(memory, &keeper);
        }
    }
}

void keeper_memory_note(struct keeper_memory *memory, const struct cluster_meta *before,
                        const struct cluster_meta *after, mono_ms now)
{
    for (size_t i = 0; before && i < before->shards.count; i++) {
        const struct shard_meta *shard = &before->shards.items[i];
        note_shard(memory, before->db_id, shard,
                   after ? cluster_meta_shard(after, shard->name) : NULL, now);
    }
}

int64_t keeper_memory_cluster(struct keeper_memory *memory, int64_t shard_id,
                              const struct addr *keeper, mono_ms now)
{
    struct remembered_keeper *known = map_get(&memory->by_keeper, KEY_OF(shard_id, keeper));
    if (known) {
        known->used_at = now;
    }
    return known ? known->cluster_id : 0;
}

void keeper_memory_sweep(struct keeper_memory *memory, mono_ms now,
                         bool (*is_wanted)(int64_t shard_id, const struct addr *keeper, void *arg),
                         void *arg)
{
    size_t at = 0;
    for (const struct map_slot *slot; (slot = map_next(&memory->by_keeper, &at));) {
        struct remembered_keeper *known = slot->value;
        if (now - known->used_at > KEEPER_MEMORY_DAYS * DAY_MS ||
            is_wanted(known->shard_id, &known->addr, arg)) {
            (void)map_remove(&memory->by_keeper, KEY_OF(known->shard_id, &known->addr));
            free(known);
        }
    }
}

size_t keeper_memory_count(const struct keeper_memory *memory)
{
    return map_count(&memory->by_keeper);
}
