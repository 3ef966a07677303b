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

#include "meta/links/dc_links.h"
#include "meta/peers/master_board.h"
#include "meta/peers/peer_decide.h"
#include "meta/shards/duty.h"

struct shard_duty;

/* What the duties of bi-direction clusters share besides. */
struct peer_env {
    struct duty_env *duty;
    struct master_board *board;
    struct dc_links *links;
    struct peer_plan *scratch_plan; /* peer_decide's output is big; used within one call only */
    struct crdt_info *scratch_info;
    /* settings; changed by a reload */
    bool remove_peers;
    int removal_verdicts;
    int64_t removal_gap_ms;
    int64_t link_alert_ms;
};

/* Returned as a duty of the set (duty.h), which ends and frees it. 'cluster' gains a reference. The first poll is spread over
 * the period by the ids. */
struct duty *shard_duty_new(void *peer_env, struct cluster_meta *cluster, const char *shard_name);
struct shard_duty *shard_duty_of(struct duty *); /* NULL for NULL and for a duty of another class */

/* Another DC told its master. */
void shard_duty_peer_told(struct shard_duty *, const char *dc, const struct current_master *);
/* Look at everything again now. */
void shard_duty_kick(struct shard_duty *);
bool shard_duty_has_peer(const struct shard_duty *, const char *dc);
bool shard_duty_master(const struct shard_duty *,
                       struct current_master *ret_master); /* false: unknown */
/* The duty's state (duty.h) is that of metaserver.md 9.3, and the plan as text lines. */

void shard_duty_register_metrics(void);

#endif
