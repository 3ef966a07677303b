/* system.h - the whole system in one process and in virtual time: two DCs (jq, gid 1; fra, gid 2), each with its
 * metaservers (the real daemon, meta/app.c), its ZooKeeper, and the CRDT Redis of a few clusters; one console.
 *
 * system_open makes everything and starts it, system_heal ends all trouble, system_missing says what is not yet as it
 * should be. Trouble is made by system_faults.c, promises are checked by system_checks.c; both work on the fields below.
 * A Redis belongs to a place: (place, DC, shard, index) is also its address, 10.<dc+1>.<place+1>.<shard*10+index+1>:6379.
 * The cluster made of it is called c<place>, and may be deleted and made again under another id. Thread: one. */
#ifndef TESTS_SIM_SYSTEM_H
#define TESTS_SIM_SYSTEM_H

#include "meta/app.h"
#include "tests/sim/fake_console.h"
#include "tests/sim/fake_crdt.h"
#include "tests/sim/fake_replica.h"
#include "tests/sim/dice.h"
#include "tests/sim/fake_zk.h"

#define SYSTEM_DCS     CONSOLE_DCS
#define SYSTEM_MEMBERS 3 /* of one DC */
/* the last one is for a second process of an id that is in use */
#define SYSTEM_PROCESSES (SYSTEM_MEMBERS + 1)
#define SYSTEM_PLACES    8
/* one-way, with keepers (system_tree.h); those before it are bi-direction */
#define SYSTEM_KEEPER_PLACE 6
#define SYSTEM_PLAIN_PLACE  7 /* one-way, without */
#define SYSTEM_CONTAINERS   CONSOLE_CONTAINERS
#define SYSTEM_SHARDS       CONSOLE_SHARDS
#define SYSTEM_REDISES      CONSOLE_REDISES
#define SYSTEM_STRANGER     7 /* a gid of no DC */

struct system;

struct system_member {
    struct system *system;
    int dc;
    int index;
    int64_t id;
    struct addr addr;
    struct app *app;       /* NULL: not running */
    struct daemon *daemon; /* NULL: not running */
    struct loop *loop;
    int starts;
    bool is_terminating;
    mono_ms start_at;  /* when not running: MONO_FOREVER for never */
    mono_ms woken_at;  /* end of the last freeze */
    mono_ms thawed_at; /* the same, of those over 2 s */
};

struct system_redis {
    struct fake_crdt crdt;       /* of a one-way cluster only its address counts */
    struct fake_replica replica; /* one-way */
    int place;
    int dc;
    int shard;
    int index;
    enum fake_redis_mode mode; /* of the process */
    mono_ms stranger_since;    /* when somebody put a peer of a strange gid there; MONO_NEVER */
};

struct system_keeper {
    struct system *system;
    struct fake_replica replica;
    int dc;
    int shard;
    int container;
    bool is_created; /* its container knows it */
    bool is_running;
    bool is_listed; /* in the metadata */
    mono_ms listed_since;
    mono_ms listed_until;    /* MONO_NEVER: always was, or never */
    char *latch;             /* its node in ZooKeeper, NULL: none; owned */
    struct loop_timer enter; /* it registers */
    struct loop_timer leave; /* the session of the dead one ends */
    struct loop_timer again; /* it comes back by itself */
};

struct system_container {
    struct system *system;
    struct addr addr;
};

struct system_config { /* what the seed decides once; times in ms */
    int members[SYSTEM_DCS];
    int64_t session_ms;
    int64_t refresh_ms; /* of documents, slots, servers, leader */
    int64_t peer_refresh_ms;
    int64_t backoff_first_ms;
    int64_t backoff_max_ms;
    int64_t hold_ms;
    int64_t redis_timeout_ms;
    bool removes_peers;
    int64_t removal_verdicts;
    int64_t removal_gap_ms;
    int64_t correct_rate; /* and burst */
    int64_t cut_rate;
    int64_t removal_limit; /* of documents */
    int64_t downgrade_limit;
    int64_t slowest_packet_ms;
    int64_t isolation_s; /* 0: masters are never held for the silence of the console */
};

struct system {
    struct dice dice;
    struct system_config config;
    struct loop *loop; /* of everything that is no metaserver */
    struct fake_zk_server *zk[SYSTEM_DCS];
    struct fake_console *console;
    struct system_member members[SYSTEM_DCS][SYSTEM_PROCESSES];
    struct system_redis redis[SYSTEM_PLACES][SYSTEM_DCS][SYSTEM_SHARDS][SYSTEM_REDISES];
    struct system_container containers[SYSTEM_DCS][SYSTEM_CONTAINERS];
    bool is_container_stopped[SYSTEM_DCS][SYSTEM_CONTAINERS];
    struct system_keeper keepers[SYSTEM_DCS][SYSTEM_SHARDS][SYSTEM_CONTAINERS];
    int latches;                       /* sequence number of the last one */
    int64_t cluster_id[SYSTEM_PLACES]; /* of the cluster that is there now or was last */
    int64_t next_id;
    int64_t packet_ms; /* slowest packet of HTTP now */
    /* from the start on there was always a route from here to the other DC */
    bool is_routed[SYSTEM_DCS];
    mono_ms left_at[SYSTEM_PLACES];   /* when its cluster last lost a DC; MONO_NEVER */
    mono_ms joined_at[SYSTEM_PLACES]; /* when it last got all its DCs */
    int dc_numbers[SYSTEM_DCS];       /* what the watchers of ZooKeeper get */
    uint64_t next_push;
};

extern const char *const system_dcs[SYSTEM_DCS];
extern const struct addr system_console_addr;
#define SYSTEM_GID(dc) ((dc) + 1)
static inline bool system_is_one_way(int place)
{
    return place >= SYSTEM_KEEPER_PLACE;
}
/* Texts of routes; the empty one is what documents carry for one that cannot be used. */
#define SYSTEM_ROUTE_TEXTS 4
extern const char *const system_route_texts[SYSTEM_ROUTE_TEXTS];

struct system *system_open(uint64_t seed);
void system_close(struct system *);

/* ---- metaservers ---- */

void system_start(struct system_member *);
void system_kill(struct system_member *);      /* -9 */
void system_terminate(struct system_member *); /* SIGTERM; system_reap ends it */
/* ends who drained or failed, starts who is due; between steps */
void system_reap(struct system *);
struct system_member *system_member_of(struct system *, const struct loop *); /* or NULL */
bool system_is_running(const struct system_member *);

/* ---- Redis ---- */

struct system_redis *system_redis_at(struct system *, const struct addr *); /* or NULL */
void system_set_process(struct system *, struct system_redis *, enum fake_redis_mode);
void system_set_view(struct system *, const struct system_member *, struct system_redis *,
                     enum fake_redis_mode); /* how this one metaserver sees it */
/* The single living master of a shard among those that the console lists; NULL: none, or several. Bi-direction. */
struct system_redis *system_master(struct system *, int place, int dc, int shard);
void system_fail_over(struct system *, struct system_redis *to, bool takes_peers);
struct console_cluster *system_cluster(struct system *, int place); /* that is there now, or NULL */
bool system_is_listed(struct system *, const struct system_redis *);

/* The console is silent for everybody, also on links that were healed one by one; or is heard again. */
void system_silence_console(struct system *, bool is_silent);

/* All metaservers of a DC die, and start again when their sessions are over, within the grace for servers that nobody has
 * seen yet: the first one up must not take everything. */
void system_restart_dc(struct system *, int dc);
/* A number that changes when the owner of a slot of that DC does. */
uint64_t system_owners_hash(struct system *, int dc);
/* Each member has so many slots that a leader leaves them all where they are. */
bool system_is_balanced(struct system *, int dc);

/* ---- the end ---- */

/* Ends all trouble: from here on the machines work. What faults changed on purpose (metadata, routes) stays, but that
 * migrations end. */
void system_heal(struct system *);
mono_ms system_awake_at(const struct system *); /* when the last one that stands still goes on */
/* How long after that everything wanted must be actual. */
int64_t system_recovery_ms(const struct system *);
/* What is not as it should be, in words; NULL when all is well. Borrowed until the next call. */
const char *system_missing(struct system *);
/* For those who find it out: the text, in the place that all of them use. */
const char *system_say_missing(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* An operator looks at every quarantine and accepts it. */
void system_accept_held(struct system *);

#endif
