/* failover_decide.h - the primary DC has lost a shard's master and no sentinel looks after it: report, or promote: a pure decision
 * (D11; dr-switchover.md 9.2 (7)).
 *
 * lost: a master was known, it has not answered for lost_ms, no Redis answers as master, and every replica that answers says that its
 * link is down (one chained behind another that answers is not asked), nor does the active keeper follow it. Silence of a replica
 * never speaks for the loss; at least one must answer. With meta.primary.failover = report that is
 * all: an alert. With auto: the most advanced replica of the replication id that most of those that answer have, priority 0 excluded, ties by
 * the order of the document, is promoted, when all Redis but the lost master answer or 'patience_ms' has passed. Never while the
 * cluster is migrating, while sentinels are configured, or within 'again_ms' of the last promotion.
 * An old master that comes back is demoted only in auto mode, and only when the current master answers as master and another
 * instance (a replica or the active keeper) is seen to follow it; one with followers of its own only after a promotion of ours. Thread: any. */
#ifndef META_PRIMARY_FAILOVER_DECIDE_H
#define META_PRIMARY_FAILOVER_DECIDE_H

#include "meta/keepers/tree_facts.h"

enum failover_mode { FAILOVER_REPORT, FAILOVER_AUTO };

struct failover_node { /* one Redis of the shard in the primary DC */
    struct addr addr;
    bool is_fresh;
    struct redis_role role;
    mono_ms silent_since; /* MONO_NEVER while it answers */
    mono_ms link_since;
    /* INFO replication, asked for once a loss is suspected */
    char repl_id[41]; /* master_replid; "" unknown */
    int64_t priority; /* slave_priority; -1 unknown */
    /* slave_repl_offset; -1 unknown. ROLE says -1 as soon as the link is down */
    int64_t repl_offset;
};

struct failover_facts {
    mono_ms now;
    enum failover_mode mode;
    enum tree_place place;
    bool has_sentinels; /* a sentinel group is set for the shard, and the document knows it */
    bool is_migrating;
    struct addr master; /* the current one; none: never seen, so nothing is lost */
    /* whom the active keeper follows with a connected link; none */
    struct addr active_keeper_master;
    const struct failover_node *nodes;
    size_t count;
    mono_ms promoted_at; /* by us; MONO_NEVER */
    int64_t lost_ms;
    int64_t patience_ms;
    int64_t again_ms;
};

enum failover_verdict {
    FAILOVER_FINE,  /* there is a master, or none was ever seen */
    FAILOVER_WATCH, /* perhaps lost: ask INFO replication of every replica, look again */
    FAILOVER_LOST, /* lost, and only reported: mode, sentinels, migration, no candidate (see rule) */
    FAILOVER_PROMOTE, /* 'node' is to be promoted, the others follow it */
    FAILOVER_DEMOTE,  /* 'node', a master that came back, is to follow the current one */
};

struct failover_plan {
    enum failover_verdict verdict;
    size_t node;      /* of PROMOTE and DEMOTE */
    const char *rule; /* "F10"..., table in failover_decide.c */
    const char *why;  /* static text for people */
};

void failover_decide(const struct failover_facts *facts, struct failover_plan *ret_plan);
const char *failover_verdict_text(enum failover_verdict verdict);

#endif
