/* keeper_watch.h - which keepers of the owned shards live, as ZooKeeper says (metaserver.md 6.3.2, proxy-and-keeper.md 4.7).
 *
 * Watches both election paths of every shard that is added: /<ns>/keepers/cluster_<id>/shard_<id> and /<ns>/keepers/repl_<shard
 * id>; a path that is not there yet is watched until it is. After the first event of a burst it waits 'gather_ms', reads the
 * children, and the data of those it has not read yet (a latch node's data never changes), and calls 'on_keepers' with all of them -
 * at each change, and once after the first reading, also when there is none. Reads everything again after each new session, and every
 * 'refresh_ms' (spread). At most 'reads_max' reads are under way; the others wait their turn. A read that fails is
 * repeated, 1 s doubling to 30 s; until both paths are read nothing is told: silence is not "no keepers" (D8).
 * Creates nothing in ZooKeeper. Owner: loop. Source of the session: sharding_zk, set when it exists. */
#ifndef META_KEEPERS_KEEPER_WATCH_H
#define META_KEEPERS_KEEPER_WATCH_H

#include "meta/keepers/keeper_elect.h"
#include "shared/net/zk.h"

struct keeper_watch;
struct keeper_watch_shard;

struct keeper_watch_options {
    struct loop *loop;
    const char *zk_namespace; /* copied */
    int64_t gather_ms;        /* 50 */
    int64_t refresh_ms;       /* 300,000 */
    int reads_max;            /* 500 */
};

/* 'children' is borrowed until return; both paths. */
typedef void keeper_children_fn(const struct keeper_child *children, size_t count, void *arg);

struct keeper_watch *keeper_watch_new(const struct keeper_watch_options *);
/* every shard must have been removed; before zk_free */
void keeper_watch_free(struct keeper_watch *);
/* The session; NULL: none (any more): nothing is read. Called again with the same one after each ZK_READY: reads anew. */
void keeper_watch_set_zk(struct keeper_watch *, struct zk *);

struct keeper_watch_shard *keeper_watch_add(struct keeper_watch *, int64_t cluster_id,
                                            int64_t shard_id, keeper_children_fn *, void *arg);
void keeper_watch_remove(struct keeper_watch *, struct keeper_watch_shard *); /* NULL is fine */

#endif
