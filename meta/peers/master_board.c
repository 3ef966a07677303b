/* master_board.c - see master_board.h. */
#include "meta/peers/master_board.h"

#include "meta/shards/shard_board.h"
#include "shared/base/mem.h"

#include "shared/base/banned.h"

struct master_board {
    struct shard_board board; /* of struct current_master */
};

struct master_board *master_board_new(void)
{
    struct master_board *board = xcalloc(1, sizeof(*board));
    shard_board_init(&board->board, sizeof(struct current_master));
    return board;
}

void master_board_free(struct master_board *board)
{
    if (board) {
        shard_board_done(&board->board);
        free(board);
    }
}

void master_board_put(struct master_board *board, const char *cluster, const char *shard,
                      const struct current_master *master)
{
    shard_board_put(&board->board, cluster, shard, master);
}

void master_board_remove(struct master_board *board, const char *cluster, const char *shard)
{
    shard_board_remove(&board->board, cluster, shard);
}

bool master_board_get(struct master_board *board, const char *cluster, const char *shard,
                      struct current_master *ret_master)
{
    return shard_board_get(&board->board, cluster, shard, ret_master);
}
