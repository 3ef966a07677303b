/* tree_duty.h - everything this metaserver does for one shard of a one-way cluster in its DC: its keepers on their containers, the
 * active one, what the tree pulls from, who follows whom; and in the primary DC without sentinels a lost master (metaserver.md 6.3;
 * D11).
 *
 * observe: ROLE on every Redis and every living keeper, KEEPER GETSTATE on keepers, pipelined on one connection each, every poll_ms;
 * where it counts the priority of Redis, once a minute;
 * ZooKeeper's elections (keeper_watch); the upstream of the primary DC (dc_links). decide: source_choose, relay_choose,
 * tree_decide, container_decide, failover_decide, all pure. act: one run at a time, ROLE again on the same connection and ownership, lease
 * and budget right before every command; containers over container_calls. record: log, metrics, last action per node.
 *
 * Exists only while the slot of its cluster is owned under a valid lease; made fresh by every gain, remembers nothing (D7): no command
 * before the election was read and every Redis has answered or had 3 s to. A cluster in migration is observed, never corrected (D6).
 * Split: tree_node.c (connections and polls), tree_duty.c (facts and decisions), tree_run.c (commands), tree_state.c (what people
 * see). Owner: loop. */
#ifndef META_KEEPERS_TREE_DUTY_H
#define META_KEEPERS_TREE_DUTY_H

#include <jansson.h>

#include "meta/keepers/container_calls.h"
#include "meta/keepers/keeper_report.h"
#include "meta/keepers/keeper_watch.h"
#include "meta/keepers/tree_decide.h"
#include "meta/keepers/upstream_board.h"
#include "meta/links/dc_links.h"
#include "meta/primary/failover_decide.h"
#include "meta/primary/sentinel_monitors.h"
#include "meta/shards/duty.h"
#include "shared/net/repl_history.h"

struct tree_duty;

struct tree_discard { /* what is known of one that follows nobody and is to follow */
    struct addr redis;
    bool is_master;
    const struct repl_history *own;   /* as just read; repl_id "": it does not tell it */
    mono_ms own_at;                   /* it was asked for then */
    const struct repl_history *point; /* of the primary DC's master; repl_id "": not told */
};

/* What all tree duties share, for their whole life. */
struct tree_env {
    struct duty_env *duty; /* loop, store, may_command, budgets, poll settings: as for every duty */
    struct keeper_watch *watch;
    struct container_calls *containers;
    struct dc_links *upstreams;
    struct upstream_board *board;
    struct keeper_report *report;
    struct sentinel_monitors *monitors;
    struct tree_plan *scratch_plan;
    /* A Redis of a backup DC is a master and nothing is going to change that (its upstream is not known): told at every look, for as
     * long as it is so. NULL: nobody cares. 'arg' is that of the duty_env. */
    void (*on_stray)(const struct duty *, const struct addr *master, void *arg);
    /* A Redis of a backup DC that follows nobody is to follow: its own data are discarded by that. 0: it may be; else why not yet, and the same
     * is asked again with the next look. NULL: nobody cares. 'arg' is that of the duty_env. */
    int (*may_discard)(const struct duty *, const struct tree_discard *, void *arg,
                       struct xp_err *err);
    /* The connection to a Redis that had answered ended: perhaps its process, which comes back as another one. NULL: nobody cares. */
    void (*on_lost)(const struct duty *, void *arg);
    struct budget refresh; /* setstates that only make a route known */
    /* settings; changed by a reload */
    enum failover_mode failover;
    int64_t redis_retry_ms; /* who was lost is tried again then, doubling to 8 s; 0: 1000 */
    int64_t failover_lost_ms;
    int64_t failover_patience_ms;
    int64_t keeper_grace_ms;
    int64_t keeper_settle_ms;
    int64_t keeper_retry_first_ms;
    int64_t keeper_retry_max_ms;
    int64_t sync_patience_ms;
    int64_t relay_silent_ms;
    int64_t relay_link_ms;
    int64_t relay_lag_bytes;
    int replica_priority;
};

/* 'cluster' gains a reference. Returned as a duty of the set (duty.h); tree_duty_of is NULL for a duty of another class. */
struct duty *tree_duty_new(void *tree_env, struct cluster_meta *cluster, const char *shard_name);
struct tree_duty *tree_duty_of(struct duty *);

/* The primary DC told what to pull from. Ignored when this DC is not a backup one, or 'dc' is not the primary one. */
void tree_duty_upstream_told(struct tree_duty *, const char *dc, const struct addr *head,
                             int64_t offset);
/* The primary DC told the history of its master: what a returned master is compared with. Nothing known (a Java metaserver): nothing changes. */
void tree_duty_history_told(struct tree_duty *, const char *dc, const struct repl_history *);
/* This DC is a backup one of 'dc': it asks there. */
bool tree_duty_pulls_from(const struct tree_duty *, const char *dc);
/* Every keeper of the document lives, since keeper_settle_ms. */
bool tree_duty_is_settled(const struct tree_duty *);
/* Where a switchover has brought the shard, as far as it answers. */
struct tree_progress {
    int living; /* Redis */
    int right;  /* of them: they follow whom they should (in the primary DC: or are the master) */
    char why[128]; /* the first thing that is in the way; "": all is as it should be */
};
void tree_duty_progress(const struct tree_duty *, struct tree_progress *ret_progress);
/* A switchover promoted this one here: the others follow it (rule T34). None: it is over. */
void tree_duty_appoint(struct tree_duty *, const struct addr *master);
/* Who ordered the switchover adds the monitors of sentinels itself: they are left as they are for so long. */
void tree_duty_leave_sentinels(struct tree_duty *, int64_t ms);
/* What a switchover says of the shard changed: look at it now, at its sentinels, too. */
void tree_duty_look(struct tree_duty *);
/* The active keeper of this DC, as seen: false, there is none. */
bool tree_duty_active_keeper(const struct tree_duty *, struct addr *ret_addr, bool *ret_is_linked,
                             int64_t *ret_offset);
int tree_duty_living_keepers(const struct tree_duty *);
/* Corrections off until then (0 ends a suspension at once). */
void tree_duty_suspend(struct tree_duty *, int64_t ttl_ms);
/* Source, head, every node with verdict, plan, hold, election, containers, sentinels. Returns owned. */
json_t *tree_duty_to_json(struct tree_duty *);
/* ShardCurrentMeta of endpoint 13 (metaserver.md 4.5). Returns owned. */
json_t *tree_duty_current_json(const struct tree_duty *);

void tree_duty_register_metrics(void);

#endif
