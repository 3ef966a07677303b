/* shard_board.c - see shard_board.h. */
#include "meta/shards/shard_board.h"

#include <string.h>

#include "shared/base/mem.h"

#include "shared/base/banned.h"

void shard_board_init(struct shard_board *board, size_t value_bytes)
{
    board->value_bytes = value_bytes;
    mutex_init(&board->lock);
    mutex_lock(&board->lock);
    board->values = MAP_INIT(MAP_TEXT);
    mutex_unlock(&board->lock);
}

void shard_board_done(struct shard_board *board)
{
    mutex_lock(&board->lock);
    size_t at = 0;
    for (const struct map_slot *slot; (slot = map_next(&board->values, &at));) {
        free(slot->value);
    }
    map_done(&board->values);
    mutex_unlock(&board->lock);
    mutex_done(&board->lock);
}

/* Names hold no '/', so that the joined key is unique. */
static char *key_of(const char *cluster, const char *shard)
{
    return xasprintf("%s/%s", cluster, shard);
}

void shard_board_put(struct shard_board *board, const char *cluster, const char *shard,
                     const void *value)
{
    AUTO_FREE char *key = key_of(cluster, shard);
    void *copy = xmemdup(value, board->value_bytes);
    mutex_lock(&board->lock);
    free(map_put(&board->values, key, copy));
    mutex_unlock(&board->lock);
}

void shard_board_remove(struct shard_board *board, const char *cluster, const char *shard)
{
    AUTO_FREE char *key = key_of(cluster, shard);
    mutex_lock(&board->lock);
    free(map_remove(&board->values, key));
    mutex_unlock(&board->lock);
}

bool shard_board_get(struct shard_board *board, const char *cluster, const char *shard,
                     void *ret_value)
{
    AUTO_FREE char *key = key_of(cluster, shard);
    mutex_lock(&board->lock);
    const void *found = map_get(&board->values, key);
    if (found) {
        memcpy(ret_value, found, board->value_bytes);
    }
    mutex_unlock(&board->lock);
    return found != NULL;
}
