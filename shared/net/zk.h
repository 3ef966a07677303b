/* zk.h - a ZooKeeper session with a lease, for the loop thread.
 *
 * Hides the C client (mt): its threads only copy events and post them to the loop; every call here is
 * asynchronous and every callback runs on the loop. A session that expires is replaced by a new one with the same
 * settings after a random pause up to 1 s; 'on_session' tells.
 *
 * The lease (code-anchors 4.3, design D5): while connected one small sync (a read that passes through the leading
 * ZooKeeper, so that a server cut off from its quorum cannot prolong it) is sent every 1/6 of the negotiated
 * timeout; the lease ends at (send time of the latest answered one) + 2/3 of the negotiated timeout, on our own
 * monotonic clock. Nobody changes a Redis or a node without zk_lease_is_valid right before. A session that is
 * suspended and comes back within the lease goes on; one whose lease ended reports ZK_LOST at that moment, without waiting
 * for the server's word, and ZK_READY again only after a confirmed contact.
 *
 * A write that ends in XP_TIMEOUT or XP_UNAVAILABLE may have happened: read back.
 * Events fire once and only mean "look again". ZooKeeper's header is included by zk_internal.h only.
 * Twin for the simulation: tests/sim/fake_zk.c. Thread: loop, all functions. */
#ifndef SHARED_NET_ZK_H
#define SHARED_NET_ZK_H

#include "shared/net/loop.h"

struct zk;

enum zk_state {
    ZK_CONNECTING, /* no session yet, or a new one is being made */
    ZK_READY,      /* session and lease are valid */
    /* disconnected, lease still valid: start nothing new that needs ZooKeeper */
    ZK_SUSPENDED,
    /* lease over: stop commanding now; state must be read again after the next ZK_READY */
    ZK_LOST,
};
const char *zk_state_text(enum zk_state);

struct zk_options {
    const char *hosts;          /* "h1:2181,h2:2181"; copied */
    int64_t session_timeout_ms; /* asked for; the server decides */
    void (*on_session)(struct zk *, enum zk_state state, bool is_new_session, void *arg);
    void *arg;
};

struct zk *zk_new(struct loop *, const struct zk_options *);
/* Not from a callback of this session. Blocks while the session is closed (a few ms). Watches are dropped.
 * Ephemerals go away with the session; pending callbacks get XP_UNAVAILABLE. NULL is fine. */
void zk_free(struct zk *);
void zk_set_hosts(struct zk *, const char *hosts); /* at the next (re)connect */

enum zk_state zk_state(const struct zk *);
bool zk_lease_is_valid(const struct zk *, mono_ms now);
int64_t zk_negotiated_timeout_ms(const struct zk *);
int64_t
zk_lease_ms(const struct zk *); /* who has heard nothing for so long has no lease: 2/3 of it */
int64_t zk_session_id(const struct zk *); /* 0 without a session */
/* grows with every new session: results of an older one are stale */
uint64_t zk_epoch(const struct zk *);

struct zk_stat {
    int32_t version;
    int64_t ephemeral_owner; /* 0 for persistent nodes */
    int64_t czxid;           /* transaction that created it */
    int64_t mzxid;           /* transaction that last wrote it */
};

enum zk_create_flags { ZK_PERSISTENT = 0, ZK_EPHEMERAL = 1, ZK_SEQUENTIAL = 2 };

/* Callbacks: rc 0, XP_NOT_FOUND (no node), XP_CONFLICT (exists, bad version, not empty), XP_TIMEOUT, XP_UNAVAILABLE
 * (connection or session lost: unknown outcome for writes), XP_FORBIDDEN, XP_IO. Borrowed data is valid until return. */
typedef void zk_done_fn(int rc, void *arg, uint64_t token);
typedef void zk_path_fn(int rc, const char *created_path, void *arg, uint64_t token);
typedef void zk_data_fn(int rc, const char *data, size_t length, const struct zk_stat *stat,
                        void *arg, uint64_t token);
typedef void zk_children_fn(int rc, const char *const *names, size_t count, void *arg,
                            uint64_t token);
/* A watch: something at 'path' changed, or the session did (then it runs once the new session is ready). It fires
 * once; setting the same watch (path, kind of call, function and arg) again before that adds nothing. */
typedef void zk_watch_fn(const char *path, void *arg);

/* All return 0, or XP_UNAVAILABLE when not ZK_READY, or XP_TOO_MANY when ZK_PENDING_MAX calls are under way (then
 * the callback does not run). */
#define ZK_PENDING_MAX 10000
int zk_create(struct zk *, const char *path, const char *data, size_t length, int flags,
              zk_path_fn *, void *arg, uint64_t token, struct xp_err *) XP_MUST_CHECK;
/* Creates missing persistent parents and the node itself, empty; an existing one is success. */
int zk_ensure_path(struct zk *, const char *path, zk_done_fn *, void *arg, uint64_t token,
                   struct xp_err *) XP_MUST_CHECK;
/* Deletes the node of 'version' and creates it anew as an ephemeral of this session, in one step. */
int zk_replace(struct zk *, const char *path, int32_t version, const char *data, size_t length,
               zk_path_fn *, void *arg, uint64_t token, struct xp_err *) XP_MUST_CHECK;
int zk_set(struct zk *, const char *path, const char *data, size_t length,
           int32_t version /* -1: any */, zk_data_fn *, void *arg, uint64_t token,
           struct xp_err *) XP_MUST_CHECK;
int zk_delete(struct zk *, const char *path, int32_t version, zk_done_fn *, void *arg,
              uint64_t token, struct xp_err *) XP_MUST_CHECK;
int zk_get(struct zk *, const char *path, zk_watch_fn * /* NULL: none */, zk_data_fn *, void *arg,
           uint64_t token, struct xp_err *) XP_MUST_CHECK;
int zk_exists(struct zk *, const char *path, zk_watch_fn *, zk_data_fn * /* data NULL */, void *arg,
              uint64_t token, struct xp_err *) XP_MUST_CHECK;
int zk_children(struct zk *, const char *path, zk_watch_fn *, zk_children_fn *, void *arg,
                uint64_t token, struct xp_err *) XP_MUST_CHECK;

/* What is read after this in the same session is as new as everything written before it by anybody: it passes through the
 * leading ZooKeeper, and the server answers later reads after it. Without it a read may be as old as our server lags
 * behind. Nobody is told when it is done; a failure is that of the reads behind it. */
int zk_sync(struct zk *, struct xp_err *) XP_MUST_CHECK;

/* Drops every watch and every pending callback with this arg: none of them runs any more. For owners that are
 * freed before the session is. */
void zk_forget(struct zk *, const void *arg);

#endif
