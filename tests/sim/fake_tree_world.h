/* fake_tree_world.h - one shard of a one-way cluster in DC jq with everything around it: Redis, keepers and their election,
 * containers, metadata, permission. The other DC is oy, whose head is TREE_FAR_HEAD.
 *
 * Every command that changes a Redis or keeper is checked: none without permission or during a migration (but for what was on
 * its way), none to one whose command is not answered yet, none that closes a loop or points at a keeper that is not active,
 * none to a Redis of the primary DC but for a failover. Thread: one. */
#ifndef TESTS_SIM_FAKE_TREE_WORLD_H
#define TESTS_SIM_FAKE_TREE_WORLD_H

#include "meta/keepers/tree_duty.h"
#include "meta/shards/shard_set.h"
#include "tests/sim/fake_dc_links.h"
#include "tests/sim/fake_duty_world.h"
#include "tests/sim/fake_loop.h"
#include "tests/sim/fake_replica.h"
#include "tests/sim/fake_tree_services.h"

#define TREE_REDISES  3
#define TREE_KEEPERS  3
#define TREE_CLUSTER  "c1"
#define TREE_SHARD    "s1"
#define TREE_FAR_HEAD "10.0.2.9" /* port 6380 */
#define TREE_ROUTE    "PROXYTCP://10.9.0.1:80,PROXYTCP://10.9.0.2:80 PROXYTLS://10.8.0.1:443"

struct tree_world {
    struct loop *loop;
    struct dc_store *store;
    struct duty_env env;
    struct tree_env tree_env;
    struct shard_set *shards;
    struct fake_replica redis[TREE_REDISES];
    struct fake_replica keeper[TREE_KEEPERS];
    struct addr far_head;
    bool is_far_up;
    /* ZooKeeper: which keepers are registered, in order; -1: a child with broken data */
    int queue[TREE_KEEPERS + 1];
    size_t queue_count;
    /* metadata */
    int64_t version;
    int cluster_id;
    bool is_primary;
    const char *active_dc; /* of a backup DC; NULL: oy */
    int redis_count;
    int keeper_count;
    int priority[TREE_KEEPERS];
    const char *route; /* to oy; NULL: none */
    const char *status;
    const char *sentinels; /* of the shard's group; NULL: none */
    bool is_cluster_gone;
    bool has_other_cluster; /* whose keeper is at the address of ours */
    bool has_containers;
    struct fake_permission permission;
    int64_t latency_ms;
    int64_t wire_ms;      /* the longest that a command may be on its way */
    mono_ms disturbed_at; /* somebody changed who follows whom: a loop may be his */
    mono_ms placed_at;    /* the document was changed last */
    bool starts_keepers;  /* a container that is called really starts or stops them */
    int violations;
};

/* A backup DC with two keepers, the first one active; nothing is published yet. */
void tree_world_init(struct tree_world *);
/* Publishes, and lets the shard be ours. 'w' as after tree_world_init, changed by the test. */
void tree_world_open(struct tree_world *);
void tree_world_close(struct tree_world *);
void tree_world_publish(struct tree_world *);
void tree_world_own(struct tree_world *, bool is_owned); /* the slot */
void tree_world_pass(struct tree_world *, int64_t ms);
void tree_world_tell(struct tree_world *, const char *ip); /* the head of oy, port 6380 */
void tree_world_permit(struct tree_world *, bool is_permitted);
void tree_world_latency(struct tree_world *, int64_t round_trip_ms);
/* By hand. NULL: a master, or nobody. */
void tree_world_point(struct tree_world *, struct fake_replica *, const struct addr *master);
void tree_world_kill(struct tree_world *, struct fake_replica *); /* and its registration */
void tree_world_revive(struct tree_world *, struct fake_replica *);
void tree_world_register(struct tree_world *, int keeper);
struct tree_duty *tree_world_duty(const struct tree_world *);
int tree_world_commands(const struct tree_world *); /* sent to any, so far */
/* The state's member of that name, as text; "" when it has none. Good until the next call. */
const char *tree_world_text(const struct tree_world *, const char *member);
const char *tree_world_verdict(const struct tree_world *, const struct fake_replica *);
int64_t tree_world_metric(const char *name); /* as printed, of the whole process; labels included */
/* NULL when everything follows as wanted and serves; else what does not. */
const char *tree_world_missing(const struct tree_world *);

#endif
