/* shard_board.h - one small value per owned shard, readable from any thread: what master_board and upstream_board are made of.
 *
 * The loop writes it on change only; workers read it to answer thousands of shards in one request without bothering the
 * loop. An entry exists only while its shard is owned under a valid lease. Values are plain bytes of one size, copied in and out. One mutex, held for a look-up. */
#ifndef META_SHARDS_SHARD_BOARD_H
#define META_SHARDS_SHARD_BOARD_H

#include <stdbool.h>
#include <stddef.h>

#include "shared/base/map.h"
#include "shared/base/thread.h"

struct shard_board {
    size_t value_bytes;
    struct mutex lock;
    struct map values XP_GUARDED_BY_MEMBER(lock); /* "cluster/shard" -> copy, owned */
};

void shard_board_init(struct shard_board *, size_t value_bytes);
void shard_board_done(struct shard_board *);
void shard_board_put(struct shard_board *, const char *cluster, const char *shard,
                     const void *value);
void shard_board_remove(struct shard_board *, const char *cluster, const char *shard);
/* False when there is none. Any thread. */
bool shard_board_get(struct shard_board *, const char *cluster, const char *shard, void *ret_value);

#endif
