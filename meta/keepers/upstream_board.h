/* upstream_board.h - what this DC tells others about its one-way shards, readable from any thread: the active keeper, the source
 * ("keeper master"), and how far it is.
 *
 * The loop writes it on change (tree_duty), workers read it to answer getactivekeeper, getcurrentmaster and the batch of upstreams.
 * An entry exists only while the shard is owned under a valid lease. One mutex, held for a look-up. */
#ifndef META_KEEPERS_UPSTREAM_BOARD_H
#define META_KEEPERS_UPSTREAM_BOARD_H

#include <stdbool.h>

#include "meta/keepers/keeper_elect.h"
#include "meta/keepers/tree_facts.h"
#include "shared/net/repl_history.h"

struct upstream_board;

struct upstream {          /* of one shard in one DC */
    enum tree_place place; /* of the DC that tells it */
    bool has_keepers;      /* the document names keepers for it there */
    bool has_active;       /* one lives and is electable */
    struct live_keeper active;
    struct addr source; /* none: unknown */
    int64_t offset;     /* of the source, when last polled; -1 unknown */
    /* of the source, a master: the point of its promotion; repl_id "": not known */
    struct repl_history history;
};

struct upstream_board *upstream_board_new(void);
void upstream_board_free(struct upstream_board *);
void upstream_board_put(struct upstream_board *, const char *cluster, const char *shard,
                        const struct upstream *);
void upstream_board_remove(struct upstream_board *, const char *cluster, const char *shard);
/* False when not ours. Any thread. */
bool upstream_board_get(struct upstream_board *, const char *cluster, const char *shard,
                        struct upstream *ret_upstream);
/* What a backup DC should pull from: the active keeper, when the shard has keepers there; else the source. None: not known, or this DC
 * is not the primary one. Pure. */
struct addr upstream_head(const struct upstream *);

#endif
