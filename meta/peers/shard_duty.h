/* shard_duty.h - everything this metaserver does for one shard of a bi-direction cluster in its DC:
 * observe its Redis, know the current master, know the masters of the other DCs, keep the peers right
 * (metaserver.md 6.4, 8.4 to 8.7; crdt-redis.md 11).
 *
 * observe: ROLE on every Redis, CRDT.INFO on masters, pipelined on one connection each, every poll_ms. decide: master_choose and
 * peer_decide, both pure. act: one run at a time, ROLE again right before every PEEROF on the same connection, ownership and
 * lease asked before every command. record: log, metrics, the last action per gid.
 *
 * Exists only while the slot of its cluster is owned under a valid lease; made fresh by every gain, so that nothing is remembered
 * (D7). Split: shard_node.c (connections and polls), shard_duty.c (state and decisions), shard_run.c (corrections),
 * shard_state.c (what people see). Owner: loop. */
#ifndef META_PEERS_SHARD_DUTY_H
#define META_PEERS_SHARD_DUTY_H

#include <jansson.h>

#include "meta/dcmeta/dc_store.h"
#include "meta/peers/budget.h"
#include "meta/peers/master_board.h"
#include "meta/peers/peer_decide.h"
#include "meta/peers/peer_links.h"
#include "shared/net/loop.h"

struct shard_duty;

/* What all duties share; owned by shard_set, the same for its whole life. */
struct duty_env {
    struct loop *loop;
    struct dc_store *store;
    struct master_board *board;
    struct peer_links *links;
    struct peer_plan *scratch_plan; /* peer_decide's output is big; used within one call only */
    struct crdt_info *scratch_info;
    /* May a command that changes something be sent to a Redis of this cluster now? 0, or why not. */
    int (*may_command)(const struct cluster_meta *, void *arg, struct xp_err *err);
    void *arg;
    struct budget correct;
    struct budget cut;
    /* settings; changed by a reload */
    int64_t poll_ms;
    int64_t poll_fast_ms;
    int64_t redis_timeout_ms;
    const char *redis_user;
    const char *redis_password;
    const char *client_name; /* for CLIENT SETNAME: who is it that sends these commands? */
    int64_t meta_fresh_ms;   /* two refresh periods */
    bool correct_periodically;
    bool remove_peers;
    int removal_verdicts;
    int64_t removal_gap_ms;
    int64_t backoff_first_ms;
    int64_t backoff_max_ms;
    int64_t link_alert_ms;
};

/* 'cluster' gains a reference. The first poll is spread over the period by the ids. */
struct shard_duty *shard_duty_new(struct duty_env *, struct cluster_meta *cluster,
                                  const char *shard_name);
void shard_duty_free(struct shard_duty *); /* takes its entry off the board */
/* The end of a duty without leaving a command behind: it observes and decides no more, its entry is off the board. False: nothing
 * is under way, free it now. True: the last PEEROF is not answered yet; 'on_quiet' runs when it is, or after redis_timeout_ms,
 * and frees the duty. Until then nobody else may command this shard: he would repeat what he cannot see yet. */
typedef void shard_quiet_fn(struct shard_duty *, void *arg);
bool shard_duty_leave(struct shard_duty *, shard_quiet_fn *on_quiet, void *arg);

/* The cluster's metadata changed (same cluster, same shard). */
void shard_duty_update(struct shard_duty *, struct cluster_meta *cluster);
void shard_duty_routes_changed(struct shard_duty *);
/* Another DC told its master. */
void shard_duty_peer_told(struct shard_duty *, const char *dc, const struct current_master *);
/* Look at everything again now. */
void shard_duty_kick(struct shard_duty *);
/* Corrections off until then (0 ends a suspension at once). */
void shard_duty_suspend(struct shard_duty *, int64_t ttl_ms);

const char *shard_duty_cluster(const struct shard_duty *);
const char *shard_duty_shard(const struct shard_duty *);
int64_t shard_duty_cluster_id(const struct shard_duty *);
bool shard_duty_is_of(const struct shard_duty *,
                      const struct cluster_meta *); /* names may be used again: by ids */
bool shard_duty_has_peer(const struct shard_duty *, const char *dc);
bool shard_duty_master(const struct shard_duty *,
                       struct current_master *ret_master); /* false: unknown */
/* The state of metaserver.md 9.3, and the plan as text lines. Returns owned. */
json_t *shard_duty_to_json(struct shard_duty *);

void shard_duty_register_metrics(void);

#endif
