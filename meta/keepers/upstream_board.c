/* upstream_board.c - see upstream_board.h. */
#include "meta/keepers/upstream_board.h"

#include "meta/shards/shard_board.h"
#include "shared/base/mem.h"

#include "shared/base/banned.h"

struct upstream_board {
    struct shard_board board; /* of struct upstream */
};

struct upstream_board *upstream_board_new(void)
{
    struct upstream_board *board = xcalloc(1, sizeof(*board));
    shard_board_init(&board->board, sizeof(struct upstream));
    return board;
}

void upstream_board_free(struct upstream_board *board)
{
    if (board) {
        shard_board_done(&board->board);
        free(board);
    }
}

void upstream_board_put(struct upstream_board *board, const char *cluster, const char *shard,
                        const struct upstream *upstream)
{
    shard_board_put(&board->board, cluster, shard, upstream);
}

void upstream_board_remove(struct upstream_board *board, const char *cluster, const char *shard)
{
    shard_board_remove(&board->board, cluster, shard);
}

bool upstream_board_get(struct upstream_board *board, const char *cluster, const char *shard,
                        struct upstream *ret_upstream)
{
    return shard_board_get(&board->board, cluster, shard, ret_upstream);
}

struct addr upstream_head(const struct upstream *upstream)
{
    if (upstream->place != TREE_PRIMARY) {
        return (struct addr){ 0 };
    }
    if (!upstream->has_keepers) {
        return upstream->source;
    }
    return upstream->has_active ? upstream->active.addr : (struct addr){ 0 };
}
