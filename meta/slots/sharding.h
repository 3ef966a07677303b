/* sharding.h - everything about "which clusters are mine": the one face of meta/zk and meta/slots for the daemon.
 *
 * Owns the ZooKeeper session, the registration, the election, the slot records, what this member holds, and - while it
 * leads - the assignment of slots. Knows clusters only by their numeric id.
 *
 * A command to a Redis, keeper or sentinel is sent only while sharding_owns(slot, clock_mono_ms()) says so, asked right
 * before it is sent: it includes the lease on our own clock, so it turns false without any event.
 * Thread: loop, all functions; callbacks run on the loop. Source: reference/metaserver.md chapter 3. */
#ifndef META_SLOTS_SHARDING_H
#define META_SLOTS_SHARDING_H

#include "meta/slots/slot_keeper.h"
#include "meta/slots/slot_peer.h"
#include "meta/zk/server_info.h"

struct sharding;
struct json_t;

enum sharding_event {
    SHARDING_READY,        /* session and lease are valid */
    SHARDING_SUSPENDED,    /* disconnected, lease still valid */
    SHARDING_LOST,         /* lease over; every slot was reported as lost before */
    SHARDING_SLOTS_LOADED, /* records read since the last loss */
    SHARDING_REGISTERED,
    SHARDING_LEADER,
    SHARDING_FOLLOWER,
    SHARDING_SERVERS_CHANGED, /* list of members or an address */
    SHARDING_SLOTS_CHANGED,   /* some record changed: forwarding targets may differ */
    SHARDING_DRAINED, /* after sharding_drain: nothing is ours any more, or the time is up */
    SHARDING_FAILED,  /* 'detail' says why: the process should end */
};

struct sharding_options {
    struct loop *loop;
    const char *zk_hosts;     /* copied, like the next two */
    const char *zk_namespace; /* "xpipe" */
    const char *dc;           /* ours: the namespace of another DC is refused; NULL: not checked */
    const char *ip;           /* address that we register */
    int port;
    int64_t server_id; /* 1..SERVER_ID_MAX */
    int64_t session_timeout_ms;
    /* borrowed; for the slot commands of the leader; unused with 'peer' */
    struct http_client *http;
    const struct slot_peer_ops *peer; /* copied; NULL: HTTP */
    int64_t slot_refresh_ms;          /* slot.refresh.milli */
    int64_t servers_check_ms;         /* cluster.servers.check.milli */
    int64_t leader_check_ms;          /* leader.check.milli */
    int64_t self_check_ms;            /* comparison of held slots with the records */
    int64_t gone_grace_ms;            /* meta.dead.server.grace.milli; 0: at once */
    int64_t unknown_grace_ms;         /* owners that were never seen, after a cold start */
    /* A slot is ours from now on, or not any more. Losses at the end of a lease come before SHARDING_LOST. */
    void (*on_slot)(int slot, bool is_owned, void *arg);
    void (*on_event)(enum sharding_event event, const char *detail, void *arg);
    /* Is no command for this slot (-1: any slot), which is not ours any more, under way? NULL: never one. */
    bool (*is_quiet)(int slot, void *arg);
    void *arg;
};

struct sharding *sharding_new(const struct sharding_options *options);
void sharding_start(struct sharding *); /* connects when the loop runs */
/* Closes the session (the registration vanishes at once). Tells nobody. NULL is fine. */
void sharding_free(struct sharding *);

/* is_quiet became true for this slot. */
void sharding_quiet(struct sharding *, int slot);

/* Before the process ends: owns nothing from here on, gives the leadership up, and the registration as soon as no command is
 * under way; reports
 * SHARDING_DRAINED when the leader has given all our slots away, nobody else is there, or limit_ms passed. */
void sharding_drain(struct sharding *, int64_t limit_ms);

bool sharding_owns(const struct sharding *, int slot, mono_ms now);
bool sharding_is_leader(const struct sharding *, mono_ms now);

enum sharding_owner_result {
    SHARDING_OWNER_FOUND = 0,
    SHARDING_OWNER_NO_SLOT = 1,        /* no readable record: nobody owns it */
    SHARDING_OWNER_NOT_REGISTERED = 2, /* ret_server->id is set, the address is none */
};
/* To whom a request for the slot goes. While it moves: the exporter, or the importer once we exported it. */
enum sharding_owner_result sharding_owner(const struct sharding *, int slot,
                                          struct server_info *ret_server);
bool sharding_slot(const struct sharding *, int slot,
                   struct slot *ret_slot); /* false: no readable record */
/* Registered members, ascending by id. Borrowed until the next turn. */
const struct server_info *sharding_servers(const struct sharding *, size_t *ret_count);

/* May this member serve? Otherwise why not, as one line for /ready. */
int sharding_check_ready(const struct sharding *, mono_ms now, struct xp_err *err) XP_MUST_CHECK;

/* addslot, deleteslot, exportslot, importslot, notifyslotchange. */
int sharding_slot_command(struct sharding *, const struct slot_command_call *call,
                          struct xp_err *err) XP_MUST_CHECK;
void sharding_refresh(struct sharding *); /* reads slots and servers again */
void sharding_set_hosts(struct sharding *, const char *zk_hosts);
struct zk *
sharding_zk(struct sharding *); /* borrowed, for the keeper elections; NULL before start */

/* ClusterDebugInfo without currentDc and inchargeClusters. Returns owned (json_decref). */
struct json_t *sharding_debug_json(const struct sharding *);

#endif
