/* sentinel_monitors.h - keeps the monitors of the owned one-way shards on the sentinels of their groups (metaserver.md 7.4 step 7).
 *
 * One connection per sentinel address, shared by all shards; per shard and sentinel SENTINEL MASTER <name> every 'period_ms', spread;
 * at most the first 5 sentinels of a group; quorum 3, or a majority of fewer than 5 (2 of 3, 1 of 1). Decides by monitor_decide, sends
 * after 'may_command', reads back what it did. With sentinels, they promote and this follows; a group without any reachable sentinel is
 * an alert once.
 * Owner: loop. */
#ifndef META_PRIMARY_SENTINEL_MONITORS_H
#define META_PRIMARY_SENTINEL_MONITORS_H

#include <jansson.h>

#include "meta/keepers/tree_facts.h"
#include "shared/net/loop.h"

struct sentinel_monitors;
struct monitored_shard;

struct sentinel_monitors_options {
    struct loop *loop;
    int64_t period_ms;  /* 10,000 */
    int64_t differs_ms; /* 30,000 */
    int64_t timeout_ms; /* 500 */
    int (*may_command)(const struct cluster_meta *, void *arg, struct xp_err *err);
    void *arg;
};

/* What the shard looks like now; asked before each decision. */
struct monitored_state {
    struct cluster_meta *cluster; /* borrowed */
    enum tree_place place;
    bool is_fenced; /* both as in monitor_decide.h */
    bool is_promoted;
    bool is_left;
    bool is_single_master;
    struct addr master;
};
typedef void monitored_state_fn(void *arg, struct monitored_state *ret_state);

struct sentinel_monitors *sentinel_monitors_new(const struct sentinel_monitors_options *);
/* After every shard was removed; those that retire are dropped. NULL is fine. */
void sentinel_monitors_free(struct sentinel_monitors *);
/* 'address' is the group's "ip:port,ip:port"; copied, as the name. */
struct monitored_shard *sentinel_monitors_add(struct sentinel_monitors *, const char *name,
                                              const char *address, monitored_state_fn *, void *arg);
void sentinel_monitors_remove(struct sentinel_monitors *,
                              struct monitored_shard *); /* NULL is fine */
/* The shard leaves these sentinels for good: it was deleted, or has another group or name. As remove, and the monitor is taken from them
 * in the background, after 'may_command', tried a few periods long. Sentinels of 'kept' (as 'address'; NULL: none) are spared. */
void sentinel_monitors_retire(struct sentinel_monitors *,
                              struct monitored_shard *, /* NULL is fine */
                              const char *kept);
/* The master changed: look soon. */
void sentinel_monitors_kick(struct sentinel_monitors *, struct monitored_shard *);
/* per sentinel: seen, watched, last action; owned */
json_t *monitored_shard_json(const struct monitored_shard *);

#endif
