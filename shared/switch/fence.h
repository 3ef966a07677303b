/* fence.h - the two-phase fence of one shard's master in one DC (dr-switchover.md 9.2 (1)): hold, freeze, release. Used by the
 * metaserver of that DC, by another metaserver, and by the console directly, whoever reaches the Redis.
 *
 *   hold     every Redis of the shard is asked (ROLE, CONFIG GET, INFO replication); the one master gets min-slaves-to-write 2147483647
 *            (and min-slaves-max-lag 10 where it is 0: else the check is off): writes are refused, replication goes on. Then INFO replication
 *            until two readings agree: offset T. Several masters: each of them is held; the one with replicas and the highest
 *            offset is 'the' master, the others are told in the log.
 *   freeze   slave-read-only yes where it is no, XSLAVEOF (else SLAVEOF) 127.0.0.1 0 on every one of them; then INFO until the role is slave:
 *            the final offset F. CONFIG REWRITE is sent behind the result and not waited for (it waits for the disk of the Redis); a Redis
 *            without a config file is a warning.
 *   release  saved settings back (not known: 0), SLAVEOF NO ONE where it is frozen, CONFIG REWRITE (a failure is a warning). Only the
 *            'hint' is touched, and nobody when another Redis is a master that accepts writes.
 *   look     the state and 'saved' as they are: RELEASED when a write is accepted. For the record before a hold.
 *   whole    hold, wait at most drain_ms until every online replica has acknowledged T, freeze: x-pipe's masterreadonly/true. Not drained in
 *            time: stays held, drain_pending.
 * Each phase is proved by a write that changes nothing (DEL of a key that is not there, FENCE_PROBE_KEY_PREFIX + random): refused
 * with READONLY or NOREPLICAS, or accepted for release. What is already as wanted is left: repeating is harmless.
 * A command that timed out is unknown: the proof decides. Nothing answers until the deadline: FENCE_UNREACHABLE. Some masters hold and one
 * does not, or a master that a replica is connected to does not answer: FENCE_NONE. Refused for good (ACL, renamed command): FENCE_NONE at once.
 *
 * fence_decide is pure: facts in, the next orders or the result out; fence_run carries rounds out over a redis_party and asks may_command before
 * every round that changes something. Thread: fence_decide any; the rest loop. */
#ifndef SHARED_SWITCH_FENCE_H
#define SHARED_SWITCH_FENCE_H

#include "shared/net/redis_role.h"
#include "shared/switch/switch_run.h"

#define FENCE_PROBE_KEY_PREFIX "xpipe:fence:probe:"
#define FENCE_MIN_SLAVES       2147483647
#define FENCE_MAX_LAG_S        10
#define FENCE_READINGS_MAX     8 /* it may grow for ever: keys that expire are replicated */

enum fence_goal {
    FENCE_GOAL_HOLD,
    FENCE_GOAL_FREEZE,
    FENCE_GOAL_RELEASE,
    FENCE_GOAL_WHOLE,
    FENCE_GOAL_LOOK /* reads and proves only */
};

/* what a round sends to one Redis */
enum fence_order_kind {
    FENCE_ORDER_LOOK, /* ROLE, CONFIG GET of the three settings, INFO replication */
    FENCE_ORDER_HOLD,
    FENCE_ORDER_FREEZE,
    FENCE_ORDER_RELEASE,
    FENCE_ORDER_PROBE,
    FENCE_ORDER_OFFSET,  /* INFO replication again */
    FENCE_ORDER_REWRITE, /* CONFIG REWRITE, behind the result of a freeze */
};

struct fence_node { /* one Redis as seen so far */
    struct addr addr;
    bool was_asked;
    bool is_silent; /* no answer to the last round */
    enum rconn_why why;
    struct redis_role role;
    char repl_id[REPL_ID_SIZE];
    int64_t offset;        /* of the last INFO replication; -1 unknown */
    int64_t offset_before; /* of the one before; -1 */
    /* T: of a held master, when two readings agreed, or the FENCE_READINGS_MAXth; -1 not yet */
    int64_t settled_offset;
    int readings;               /* of the offset since the last change */
    int64_t min_replica_offset; /* lowest acknowledged of the online replicas; -1 none */
    int replicas;               /* online */
    struct fence_saved seen;    /* settings as they were read first */
    int64_t min_slaves;         /* now; -1 unknown */
    int64_t max_lag_s;          /* now; -1 unknown */
    bool is_writable_replica;   /* slave-read-only is "no" now */
    enum {
        PROBE_NONE,
        PROBE_REFUSED,
        PROBE_ACCEPTED,
        PROBE_OTHER
    } probe;         /* of the last one since the last change */
    char error[128]; /* of the last command that was refused; "" */
    int tries;       /* changes sent to it */
};

struct fence_facts {
    mono_ms now;
    mono_ms deadline;
    enum fence_goal goal;
    struct addr hint; /* who is believed to be the master; none */
    /* release: what to restore; else what an earlier phase of the same switch has saved */
    struct fence_saved saved;
    /* release: 'saved' are its own settings, whoever has released it before us; none */
    struct addr saved_of;
    mono_ms drain_until; /* WHOLE */
    const struct fence_node *nodes;
    size_t count;
};

struct fence_plan {
    bool is_over;
    enum fence_state state; /* of is_over */
    size_t master;          /* index, of is_over; count: none */
    bool drain_pending;
    const char *rule; /* "X10"..., table in fence_decide.c */
    const char *why;  /* static */
    int64_t pause_ms; /* before the round; 0: at once */
    struct {
        size_t node;
        enum fence_order_kind kind;
    } orders[SWITCH_REDIS_MAX];
    size_t order_count;
};
void fence_decide(const struct fence_facts *, struct fence_plan *ret_plan);

/* Settings of before for a record: a fence of ours that nobody wrote down is Redis' own defaults, which refuse nothing. */
struct fence_saved fence_saved_or_default(const struct fence_saved *seen);

struct fence_options {
    struct switch_run_options run;
    enum fence_goal goal;
    struct addr hint;
    struct fence_saved saved;
    /* RELEASE: whose own settings 'saved' are. Somebody who did not know them may have released it, with Redis' defaults: it gets its own back
     * then, too. None: only who is held gets settings back. */
    struct addr saved_of;
    int64_t drain_ms; /* WHOLE */
    void (*on_done)(const struct switch_fence *result /* borrowed, epoch not set */, void *arg);
};
struct fence_run;
/* on_done runs once, not inside this call; it may free the run. */
struct fence_run *fence_run_start(const struct fence_options *);
/* One Redis (index in the options, any number) and its settings as they were read first. False: there is none, or it never said that it is a
 * master or frozen. */
bool fence_run_seen(const struct fence_run *, size_t index, struct addr *ret_redis,
                    struct fence_saved *ret_saved);
/* Also before it is over: sends nothing more; NULL is fine. */
void fence_run_free(struct fence_run *);

#endif
