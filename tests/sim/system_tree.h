/* system_tree.h - the one-way clusters of the whole-system simulation: jq is the primary DC, fra the backup one; one cluster with
 * keepers in both, one without any (plain Redis behind a relay).
 *
 * Three keeper containers a DC. Each can run one keeper of each shard, two of the three do. A keeper that lives is in its DC's
 * ZooKeeper (repl_<shard id>), until its session is over; one that died starts again only when its container is told to,
 * as a process that knows what it was (PRE_...). A container that is asked for something that the metadata never wanted breaks a
 * promise: "container". Thread: one. */
#ifndef TESTS_SIM_SYSTEM_TREE_H
#define TESTS_SIM_SYSTEM_TREE_H

#include "tests/sim/system.h"

#define SYSTEM_PRIMARY 0 /* DC of every one-way cluster: the first bit of its DCs */

/* One member of a one-way shard. */
struct system_instance {
    int place;
    int dc;
    int shard;
    struct fake_replica *replica;
};

void system_tree_open(struct system *); /* before the clusters are made */
void system_tree_close(struct system *);
/* Which keepers the new cluster has; they run from the start on. */
void system_tree_fill(struct system *, struct console_cluster *);
/* False: none of a one-way cluster lives at that address. */
bool system_instance_at(struct system *, const struct addr *, struct system_instance *ret_instance);

/* ---- trouble ---- */

struct system_keeper *system_any_keeper(struct system *); /* in the metadata, running; or NULL */
/* 'again_ms' < 0: until its container is told to start it. */
void system_keeper_kill(struct system_keeper *, int64_t again_ms);
void system_keeper_lose_session(struct system_keeper *,
                                int64_t ms); /* it lives, out of the election */
void system_container_stop(struct system *, int dc, int container, bool is_stopped);
/* A keeper of a shard moves to the container that has none. False: not now. */
bool system_keeper_move(struct system *, int dc, int shard);
/* What sentinels do in the primary DC: 'to' is master, the others follow it. */
void system_tree_fail_over(struct system *, struct system_redis *to);

/* ---- the end ---- */

void system_tree_heal(struct system *);
const char *system_tree_missing(struct system *, int place); /* as system_missing */
/* Masters of the primary DC that take writes, of the console's one-way shards. */
int system_tree_writable(struct system *);
int system_tree_shards(struct system *);
/* A shard whose writes are taken by two; NULL: none. */
const char *system_tree_doubled(struct system *);
/* The route that the rules choose, from the console's rows. */
void system_choose_route(struct system *, const struct console_cluster *, int src, int dst,
                         struct route_choice *ret_choice);

#endif
