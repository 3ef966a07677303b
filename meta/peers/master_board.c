/* master_board.c - see master_board.h. */
#include "meta/peers/master_board.h"

#include "shared/base/map.h"
#include "shared/base/mem.h"
#include "shared/base/thread.h"

#include "shared/base/banned.h"

struct master_board {
    struct mutex lock;
    struct map
        masters XP_GUARDED_BY_MEMBER(lock); /* "cluster/shard" -> struct current_master *, owned */
};

struct master_board *master_board_new(void)
{
    struct master_board *board = xcalloc(1, sizeof(*board));
    mutex_init(&board->lock);
    mutex_lock(&board->lock);
    board->masters = MAP_INIT(MAP_TEXT);
    mutex_unlock(&board->lock);
    return board;
}

void master_board_free(struct master_board *board)
{
    if (!board) {
        return;
    }
    mutex_lock(&board->lock);
    size_t at = 0;
    for (const struct map_slot *slot; (slot = map_next(&board->masters, &at));) {
        free(slot->value);
    }
    map_done(&board->masters);
    mutex_unlock(&board->lock);
    mutex_done(&board->lock);
    free(board);
}

/* Names hold no '/', so that the joined key is unique. */
static char *key_of(const char *cluster, const char *shard)
{
    return xasprintf("%s/%s", cluster, shard);
}

void master_board_put(struct master_board *board, const char *cluster, const char *shard,
                      const struct current_master *master)
{
    AUTO_FREE char *key = key_of(cluster, shard);
    struct current_master *copy = xmemdup(master, sizeof(*master));
    mutex_lock(&board->lock);
    free(map_put(&board->masters, key, copy));
    mutex_unlock(&board->lock);
}

void master_board_remove(struct master_board *board, const char *cluster, const char *shard)
{
    AUTO_FREE char *key = key_of(cluster, shard);
    mutex_lock(&board->lock);
    free(map_remove(&board->masters, key));
    mutex_unlock(&board->lock);
}

bool master_board_get(struct master_board *board, const char *cluster, const char *shard,
                      struct current_master *ret_master)
{
    AUTO_FREE char *key = key_of(cluster, shard);
    mutex_lock(&board->lock);
    const struct current_master *found = map_get(&board->masters, key);
    if (found) {
        *ret_master = *found;
    }
    mutex_unlock(&board->lock);
    return found != NULL;
}
