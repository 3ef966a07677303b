/* fake_shard_world.h - one shard of a bi-direction cluster in DC "jq" (gid 1), its two Redis, and the duty that looks after it:
 * the real shard_set, shard_duty, peer_decide and dc_store over the simulated loop and connections.
 *
 * The other DCs are oy (gid 2) and fra (gid 3). Every command that reaches a Redis is checked: no PEEROF to a node
 * that is no master, none without permission (but for what was on its way). Thread: one. */
#ifndef TESTS_SIM_FAKE_SHARD_WORLD_H
#define TESTS_SIM_FAKE_SHARD_WORLD_H

#include "meta/peers/shard_duty.h"
#include "meta/shards/shard_set.h"
#include "tests/sim/fake_crdt.h"
#include "tests/sim/fake_duty_world.h"
#include "tests/sim/fake_loop.h"
#include "tests/sim/fake_dc_links.h"

#define WORLD_REDISES 2
#define WORLD_CLUSTER "c1"
#define WORLD_SHARD   "s1"

struct world {
    struct loop *loop;
    struct dc_store *store;
    struct dc_links *links;
    struct master_board *board;
    struct duty_env env;
    struct peer_env peer_env;
    struct shard_set *shards;
    struct fake_crdt redis[WORLD_REDISES];
    int64_t version; /* of the document */
    int cluster_id;  /* dbId of the cluster, whose name stays */
    char dcs[64];
    char route[512]; /* to fra; "" none */
    const char *status;
    struct fake_permission permission;
    int64_t latency_ms;
    int violations;
};

void world_open(struct world *);
void world_open_unpublished(struct world *); /* there is no document yet */
void world_push(struct world *);             /* the cluster alone, without the routes */
void world_close(struct world *);
void world_publish(struct world *); /* the document as the fields say */
void world_pass(struct world *, int64_t ms);
void world_tell(struct world *, const char *dc, const char *ip, int gid); /* port 6379 */
void world_tell_all(struct world *); /* oy 10.0.2.1, fra 10.0.3.1 */
void world_permit(struct world *, bool is_permitted);
void world_latency(struct world *, int64_t round_trip_ms);
struct shard_duty *world_duty(const struct world *);
void world_suspend(struct world *, int64_t ttl_ms);
json_t *world_state(const struct world *); /* returns owned */
int world_peerofs(const struct world *);   /* sent to any Redis so far */
/* True when 'redis' pulls from where the test told, by the route of the document. */
bool world_has_peer(const struct world *, const struct fake_crdt *redis, int gid, const char *ip);

#endif
