/* zk_internal.h - what zk.c (session, lease), zk_call.c (calls) and zk_watch.c (watches) share; nobody else includes it.
 *
 * Threads: the library has two of its own (I/O, completion). Its callbacks copy the result into the call or a small
 * event, post it to the loop and touch nothing else. What they may reach: the struct zk_port (counted) and the struct
 * zk_call they were given, which the loop leaves alone until it was posted. Watches travel as numbers, so that a late
 * event of an old watch finds nothing instead of freed memory.
 * Thread: loop, where a function does not say otherwise. The only place that includes ZooKeeper's header. */
#ifndef SHARED_NET_ZK_INTERNAL_H
#define SHARED_NET_ZK_INTERNAL_H

#include <stdatomic.h>
#include <zookeeper/zookeeper.h>

#include "shared/base/list.h"
#include "shared/base/map.h"
#include "shared/net/zk.h"

#define ZK_PATH_MAX_BYTES 1024

/* Outlives the session: what messages under way hold on to. */
struct zk_port {
    atomic_int refs;
    struct loop *loop;
    struct zk *zk; /* loop only; NULL once freed */
};

/* The context of one handle; freed after the handle is closed. */
struct zk_handle_ctx {
    struct zk_port *port;
    uint64_t epoch;
};

enum zk_call_kind {
    ZK_CALL_PING,
    ZK_CALL_SYNC, /* like a ping, but not about the lease */
    ZK_CALL_CREATE,
    ZK_CALL_REPLACE,
    ZK_CALL_ENSURE,
    ZK_CALL_DELETE,
    ZK_CALL_SET,
    ZK_CALL_GET,
    ZK_CALL_EXISTS,
    ZK_CALL_CHILDREN
};

/* zoo_amulti reads and writes these until it completes. */
struct zk_replace_ops {
    zoo_op_t op[2];
    zoo_op_result_t result[2];
    char created[ZK_PATH_MAX_BYTES];
};

struct zk_call {
    struct loop_msg msg;
    struct zk_port *port;
    atomic_bool posted; /* the library has handed it back */
    /* loop */
    struct list link; /* zk->calls, or zk->abandoned once answered without the library */
    bool is_abandoned;
    enum zk_call_kind kind;
    union {
        zk_done_fn *done;
        zk_path_fn *path;
        zk_data_fn *data;
        zk_children_fn *children;
    } fn; /* all NULL once answered or forgotten */
    void *arg;
    uint64_t token;
    uint64_t watch_id; /* 0: none */
    int64_t sent_us;
    mono_ms sent_at;
    char *ensure_path;    /* owned; ZK_CALL_ENSURE */
    size_t ensure_length; /* how much of it this round creates */
    struct zk_replace_ops *replace;
    /* result, written by the library's thread before 'posted' */
    int zrc;
    char *data; /* owned; value or created path */
    size_t length;
    struct zk_stat stat;
    char **names; /* owned, each owned */
    size_t name_count;
};

struct zk_watch {
    uint64_t id;
    char *key; /* of zk->watch_keys */
    char *path;
    zk_watch_fn *fn;
    void *arg;
    int calls_pending;
    bool is_set; /* a call that sets it succeeded */
};

struct zk {
    struct zk_port *port;
    struct loop *loop;
    struct zk_options options;
    char *hosts;
    bool hosts_changed; /* since the handle was opened */

    zhandle_t *handle; /* NULL while none is open */
    struct zk_handle_ctx *handle_ctx;
    zhandle_t *dead_handle; /* given up, not closed yet */
    struct zk_handle_ctx *dead_ctx;
    struct zk_opener *opener; /* running or delivered soon; NULL: none */
    uint64_t epoch;

    enum zk_state state;
    bool is_connected;
    bool is_confirmed; /* a ping was answered since the (re)connect */
    int pings_pending;
    int64_t timeout_ms; /* negotiated; 0: unknown */
    mono_ms lease_end;
    mono_ms alone_since;      /* when the lease ended, or the handle was opened */
    int64_t ready_session_id; /* of the last session that was ready */
    struct loop_timer ping_timer;
    struct loop_timer lease_timer;
    struct loop_timer open_timer;

    struct list calls;
    struct list abandoned; /* answered; still with the library, or in the loop's queue */
    size_t call_count;
    struct map watches;    /* id -> struct zk_watch */
    struct map watch_keys; /* key -> struct zk_watch */
    uint64_t next_watch_id;
    struct map stale_watches; /* id -> struct zk_watch, of the session before */
};

/* ---- zk.c ---- */

struct zk_port *zk_port_ref(struct zk_port *); /* any thread, like unref */
void zk_port_unref(struct zk_port *);
/* Any thread. Something happened to the session (watch_id 0) or under a watch. */
void zk_post_event(const struct zk_handle_ctx *, uint64_t watch_id);
void zk_ping_answered(struct zk *, const struct zk_call *); /* renews the lease */

/* ---- zk_call.c ---- */

int zk_call_ping(struct zk *, struct xp_err *) XP_MUST_CHECK;
void zk_calls_abandon(struct zk *); /* answers everything under way with XP_UNAVAILABLE */
void zk_calls_settle(struct zk *);  /* before the handle is closed; waits a moment */
void zk_calls_reclaim(struct zk *); /* once the handle that had the abandoned calls is closed */

/* ---- zk_watch.c ---- */

/* The library's thread: the watcher of every call, with the watch's number as context. */
void zk_on_watch_event(zhandle_t *, int type, int state, const char *path, void *id);
/* The watch for such a call, new or the same one as before; the map keeps it. */
struct zk_watch *zk_watch_get(struct zk *, enum zk_call_kind, const char *path, zk_watch_fn *,
                              void *arg);
void zk_watch_call_ended(struct zk *, const struct zk_call *);
void zk_watch_fire(struct zk *, uint64_t id); /* nothing when there is no such watch any more */
void zk_watches_make_stale(struct zk *);
void zk_watches_fire_stale(struct zk *);
void zk_watches_forget(struct zk *, const void *arg /* NULL: all of them */);

#endif
