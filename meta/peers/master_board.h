/* master_board.h - the current masters of the shards this metaserver owns, readable from any thread.
 *
 * The loop writes it on change only; workers read it to answer thousands of shards in one request without bothering the
 * loop. An entry exists only while the shard is owned under a valid lease. One mutex, held for a look-up. */
#ifndef META_PEERS_MASTER_BOARD_H
#define META_PEERS_MASTER_BOARD_H

#include <stdbool.h>

#include "meta/peers/master_choice.h"

struct master_board;

struct master_board *master_board_new(void);
void master_board_free(struct master_board *);
void master_board_put(struct master_board *, const char *cluster, const char *shard,
                      const struct current_master *);
void master_board_remove(struct master_board *, const char *cluster, const char *shard);
/* False when unknown or not ours. Any thread. */
bool master_board_get(struct master_board *, const char *cluster, const char *shard,
                      struct current_master *ret_master);

#endif
