/* upstream_row.h - what a DC says about one of its one-way shards, as JSON between metaservers of ours:
 * {"cluster","shard","place":"primary"|"backup"|"outside","hasKeepers","activeKeeper":KeeperMeta|null,
 *  "master":{"ip","port"}|null,"offset":n|null,"history":{"replId","replId2","secondOffset"}}. The history is that of the master, there
 * when it is known (replId2 and secondOffset: the point of its promotion, when it was promoted). Thread: any. */
#ifndef META_KEEPERS_UPSTREAM_ROW_H
#define META_KEEPERS_UPSTREAM_ROW_H

#include <jansson.h>

#include "meta/keepers/upstream_board.h"

json_t *upstream_row_to_json(const char *cluster, const char *shard, const struct upstream *);
/* A row of another DC. False: odd in any way - wrong types, no place, an address that is not a numeric one of an instance. Names are
 * borrowed from the row. Of the active keeper only the address is read. */
bool upstream_row_read(const json_t *row, const char **ret_cluster, const char **ret_shard,
                       struct upstream *ret_upstream);

/* The active keeper as KeeperMeta (metaserver.md 4.5). Returns owned. */
json_t *upstream_keeper_to_json(const struct live_keeper *);
/* May it be pulled from? A numeric address that an instance can have: names would be looked up by keepers, differently. */
bool upstream_addr_is_good(const struct addr *);

#endif
