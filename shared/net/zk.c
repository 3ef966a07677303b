/* zk.c - see zk.h. The only file that includes ZooKeeper's header.
 *
 * Threads: the library has two of its own (I/O, completion). Its callbacks here copy the result into the call or a
 * small event, post it to the loop and touch nothing else. What they may reach: the struct port (counted) and the
 * struct call they were given, which the loop leaves alone until it was posted. Watches travel as numbers, so that a
 * late event of an old watch finds nothing instead of freed memory.
 *
 * A handle is opened and closed on a short-lived thread of its own: both resolve names or join threads. A dead handle
 * (expired, refused, given up) is never used again; the next one has a new epoch. */
#include "shared/net/zk.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <zookeeper/zookeeper.h>

#include "shared/base/log.h"
#include "shared/base/map.h"
#include "shared/base/mem.h"
#include "shared/base/metrics.h"
#include "shared/base/str.h"
#include "shared/base/thread.h"

#include "shared/base/banned.h"

#define REOPEN_PAUSE_MAX_MS 1000
#define GIVE_UP_HANDLE_MS                                                                          \
    30000 /* without contact for so long: a new handle, which resolves the names again */
#define PINGS_UNANSWERED_MAX 4
#define SETTLE_MAX_MS        50
#define PATH_MAX_BYTES       1024

static struct metric sessions_total =
    METRIC_COUNTER_INIT("xpipe_zk_sessions_total", "", "ZooKeeper sessions that became ready.");
static struct metric losses_total = METRIC_COUNTER_INIT(
    "xpipe_zk_lease_losses_total", "", "Times the ZooKeeper lease ended or the session expired.");
static struct metric ping_seconds = METRIC_HISTOGRAM_INIT(
    "xpipe_zk_ping_seconds", "", "Round trip of the lease ping through the ZooKeeper leader.");

/* Outlives the session: what messages under way hold on to. */
struct port {
    atomic_int refs;
    struct loop *loop;
    struct zk *zk; /* loop only; NULL once freed */
};

/* The context of one handle; freed after the handle is closed. */
struct handle_ctx {
    struct port *port;
    uint64_t epoch;
};

enum call_kind {
    CALL_PING,
    CALL_CREATE,
    CALL_REPLACE,
    CALL_ENSURE,
    CALL_DELETE,
    CALL_SET,
    CALL_GET,
    CALL_EXISTS,
    CALL_CHILDREN
};

/* zoo_amulti reads and writes these until it completes. */
struct replace_ops {
    zoo_op_t op[2];
    zoo_op_result_t result[2];
    char created[PATH_MAX_BYTES];
};

struct call {
    struct loop_msg msg;
    struct port *port;
    atomic_bool posted; /* the library has handed it back */
    /* loop */
    struct list link; /* zk->calls, or zk->abandoned once answered without the library */
    bool is_abandoned;
    enum call_kind kind;
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
    char *ensure_path;    /* owned; CALL_ENSURE */
    size_t ensure_length; /* how much of it this round creates */
    struct replace_ops *replace;
    /* result, written by the library's thread before 'posted' */
    int zrc;
    char *data; /* owned; value or created path */
    size_t length;
    struct zk_stat stat;
    char **names; /* owned, each owned */
    size_t name_count;
};

/* Something happened to the session (watch_id 0) or under a watch. */
struct event {
    struct loop_msg msg;
    struct port *port;
    uint64_t epoch;
    uint64_t watch_id;
};

struct watch {
    uint64_t id;
    char *key; /* of zk->watch_keys */
    char *path;
    zk_watch_fn *fn;
    void *arg;
    int calls_pending;
    bool is_set; /* a call that sets it succeeded */
};

/* Closes the old handle and opens the next, off the loop. */
struct opener {
    struct loop_msg msg;
    struct port *port;
    pthread_t thread;
    zhandle_t *old;
    struct handle_ctx *old_ctx;
    char *hosts;
    int timeout_ms;
    zhandle_t *fresh;
    struct handle_ctx *fresh_ctx;
};

struct zk {
    struct port *port;
    struct loop *loop;
    struct zk_options options;
    char *hosts;
    bool hosts_changed; /* since the handle was opened */

    zhandle_t *handle; /* NULL while none is open */
    struct handle_ctx *handle_ctx;
    zhandle_t *dead_handle; /* given up, not closed yet */
    struct handle_ctx *dead_ctx;
    struct opener *opener; /* running or delivered soon; NULL: none */
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
    struct map watches;    /* id -> struct watch */
    struct map watch_keys; /* key -> struct watch */
    uint64_t next_watch_id;
    struct map stale_watches; /* id -> struct watch, of the session before */
};

static void evaluate(struct zk *zk);
static void replace_handle(struct zk *zk, const char *why);

const char *zk_state_text(enum zk_state state)
{
    static const char *const texts[] = { [ZK_CONNECTING] = "connecting",
                                         [ZK_READY] = "ready",
                                         [ZK_SUSPENDED] = "suspended",
                                         [ZK_LOST] = "lost" };
    return texts[state];
}

/* ---- port ---- */

static struct port *port_ref(struct port *p)
{
    atomic_fetch_add(&p->refs, 1);
    return p;
}

static void port_unref(struct port *p)
{
    if (atomic_fetch_sub(&p->refs, 1) == 1) {
        free(p);
    }
}

/* ---- ZooKeeper's own log ---- */

#define LIBRARY_ERROR_GAP_MS 60000

/* The library repeats an error with every try to connect, several times a second: one a minute is told, the rest is debug. */
static bool is_told(const char *message)
{
    static int64_t next_ms;
    int64_t now = clock_mono_ms();
    int64_t next = __atomic_load_n(&next_ms, __ATOMIC_RELAXED);
    return strstr(message, "ZOO_ERROR@") && now >= next &&
           __atomic_compare_exchange_n(&next_ms, &next, now + LIBRARY_ERROR_GAP_MS, false,
                                       __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

static void forward_log(const char *message)
{
    const char *text = strstr(message, "ZOO_"); /* behind the library's own time and thread */
    text = text ? text : message;
    size_t length = strcspn(text, "\n");
    const char *cut = log_fmt("%.*s", (int)(length > 500 ? 500 : length), text);
    if (is_told(message)) {
        log_warn("zk.library", "text", cut);
    } else {
        log_debug("zk.library", "text", cut);
    }
}

/* ---- calls: the library's side ---- */

static void call_free(struct call *c)
{
    for (size_t i = 0; i < c->name_count; i++) {
        free(c->names[i]);
    }
    free(c->names);
    free(c->data);
    free(c->ensure_path);
    free(c->replace);
    port_unref(c->port);
    free(c);
}

static void post_call(const void *data, int zrc)
{
    struct call *c = (struct call *)(uintptr_t)data;
    c->zrc = zrc;
    atomic_store(&c->posted, true);
    loop_post_reserved(c->port->loop, &c->msg);
}

static void copy_stat(struct call *c, const struct Stat *stat)
{
    if (stat) {
        c->stat = (struct zk_stat){ .version = stat->version,
                                    .ephemeral_owner = stat->ephemeralOwner,
                                    .czxid = stat->czxid };
    }
}

static void on_void(int zrc, const void *data)
{
    post_call(data, zrc);
}

static void on_string(int zrc, const char *value, const void *data)
{
    struct call *c = (struct call *)(uintptr_t)data;
    c->data = zrc == ZOK ? xstrdup(value) : NULL;
    post_call(data, zrc);
}

static void on_stat(int zrc, const struct Stat *stat, const void *data)
{
    struct call *c = (struct call *)(uintptr_t)data;
    copy_stat(c, zrc == ZOK ? stat : NULL);
    post_call(data, zrc);
}

static void on_data(int zrc, const char *value, int length, const struct Stat *stat,
                    const void *data)
{
    struct call *c = (struct call *)(uintptr_t)data;
    copy_stat(c, zrc == ZOK ? stat : NULL);
    if (zrc == ZOK) {
        c->length = value && length > 0 ? (size_t)length : 0;
        c->data = xstrndup(value ? value : "", c->length);
    }
    post_call(data, zrc);
}

static void on_strings(int zrc, const struct String_vector *strings, const void *data)
{
    struct call *c = (struct call *)(uintptr_t)data;
    if (zrc == ZOK && strings && strings->count > 0) {
        c->name_count = (size_t)strings->count;
        c->names = xcalloc(c->name_count, sizeof(*c->names));
        for (size_t i = 0; i < c->name_count; i++) {
            c->names[i] = xstrdup(strings->data[i]);
        }
    }
    post_call(data, zrc);
}

static void post_event(const struct handle_ctx *ctx, uint64_t watch_id);

/* Session events reach every watch as well; they have their own way through on_session_event. */
static void on_watch_event(zhandle_t *handle, int type, int state, const char *path, void *id)
{
    (void)state;
    (void)path;
    if (type != ZOO_SESSION_EVENT) {
        post_event(zoo_get_context(handle), (uint64_t)(uintptr_t)id);
    }
}

/* May run before zookeeper_init has returned. */
static void on_session_event(zhandle_t *handle, int type, int state, const char *path, void *ctx)
{
    (void)handle;
    (void)state;
    (void)path;
    if (type == ZOO_SESSION_EVENT) {
        post_event(ctx, 0);
    }
}

/* ---- watches (loop) ---- */

static void watch_free(struct watch *w)
{
    free(w->key);
    free(w->path);
    free(w);
}

static void watch_drop(struct zk *zk, struct watch *w)
{
    map_remove_n(&zk->watches, w->id);
    map_remove(&zk->watch_keys, w->key);
    watch_free(w);
}

/* The watch for this call, new or the same one as before; its id is what the library is given. */
static struct watch *watch_get(struct zk *zk, enum call_kind kind, const char *path,
                               zk_watch_fn *fn, void *arg)
{
    char *key = xasprintf("%d %llx %p %s", (int)kind, (unsigned long long)(uintptr_t)fn, arg, path);
    struct watch *w = map_get(&zk->watch_keys, key);
    if (w) {
        free(key);
        return w;
    }
    w = xcalloc(1, sizeof(*w));
    *w = (struct watch){
        .id = ++zk->next_watch_id, .key = key, .path = xstrdup(path), .fn = fn, .arg = arg
    };
    map_put(&zk->watch_keys, key, w);
    map_put_n(&zk->watches, w->id, w);
    return w;
}

static void watch_call_ended(struct zk *zk, const struct call *c)
{
    struct watch *w = c->watch_id ? map_get_n(&zk->watches, c->watch_id) : NULL;
    if (!w) {
        return;
    }
    w->calls_pending--;
    w->is_set |= c->zrc == ZOK || (c->kind == CALL_EXISTS && c->zrc == ZNONODE);
    if (!w->is_set && w->calls_pending == 0) {
        watch_drop(zk, w);
    }
}

static void watch_fire(struct zk *zk, uint64_t id)
{
    struct watch *w = map_get_n(&zk->watches, id);
    if (!w) {
        return;
    }
    map_remove_n(&zk->watches, id);
    map_remove(&zk->watch_keys, w->key);
    w->fn(w->path, w->arg);
    watch_free(w);
}

/* The session is over: its watches wait for the next one, in which their owners look again. */
static void watches_make_stale(struct zk *zk)
{
    size_t at = 0;
    const struct map_slot *slot;
    while ((slot = map_next(&zk->watches, &at))) {
        map_put_n(&zk->stale_watches, slot->number, slot->value);
    }
    map_done(&zk->watches);
    map_done(&zk->watch_keys);
}

static void watches_fire_stale(struct zk *zk)
{
    size_t count = 0;
    AUTO_FREE void **all = map_sorted(&zk->stale_watches, &count);
    AUTO_FREE uint64_t *ids = xcalloc(count + 1, sizeof(*ids));
    for (size_t i = 0; i < count; i++) {
        ids[i] = ((struct watch *)all[i])->id;
    }
    for (size_t i = 0; i < count; i++) { /* a callback may forget some of the others */
        struct watch *w = map_remove_n(&zk->stale_watches, ids[i]);
        if (w) {
            w->fn(w->path, w->arg);
            watch_free(w);
        }
    }
}

static void watches_forget(struct map *watches, struct map *keys, const void *arg)
{
    size_t at = 0;
    const struct map_slot *slot;
    while ((slot = map_next(watches, &at))) {
        struct watch *w = slot->value;
        if (arg && w->arg != arg) {
            continue;
        }
        map_remove_n(watches, w->id);
        if (keys) {
            map_remove(keys, w->key);
        }
        watch_free(w);
    }
}

/* ---- calls: the loop's side ---- */

static int rc_of(int zrc)
{
    switch (zrc) {
    case ZOK:
        return 0;
    case ZNONODE:
        return XP_NOT_FOUND;
    case ZNODEEXISTS:
    case ZBADVERSION:
    case ZNOTEMPTY:
    case ZNOCHILDRENFOREPHEMERALS:
        return XP_CONFLICT;
    case ZOPERATIONTIMEOUT:
        return XP_TIMEOUT;
    case ZCONNECTIONLOSS:
    case ZSESSIONEXPIRED:
    case ZCLOSING:
    case ZINVALIDSTATE:
    case ZSESSIONMOVED:
        return XP_UNAVAILABLE;
    case ZNOAUTH:
    case ZAUTHFAILED:
        return XP_FORBIDDEN;
    case ZBADARGUMENTS:
    case ZINVALIDACL:
        return XP_INVALID;
    default:
        return XP_IO;
    }
}

/* Runs the callback, once. After a failure nothing of the result is read: the library may still have the call. */
static void answer(struct call *c, int rc)
{
    static const struct zk_stat no_stat;
    __typeof__(c->fn) fn = c->fn;
    c->fn.done = NULL;
    if (!fn.done) {
        return;
    }
    switch (c->kind) {
    case CALL_CREATE:
    case CALL_REPLACE:
        fn.path(rc, rc == 0 ? c->data : NULL, c->arg, c->token);
        break;
    case CALL_ENSURE:
    case CALL_DELETE:
        fn.done(rc, c->arg, c->token);
        break;
    case CALL_SET:
    case CALL_GET:
    case CALL_EXISTS:
        fn.data(rc, rc == 0 ? c->data : NULL, rc == 0 ? c->length : 0,
                rc == 0 ? &c->stat : &no_stat, c->arg, c->token);
        break;
    case CALL_CHILDREN:
        fn.children(rc, rc == 0 ? (const char *const *)c->names : NULL, rc == 0 ? c->name_count : 0,
                    c->arg, c->token);
        break;
    case CALL_PING:
        break;
    }
}

static void ping_answered(struct zk *zk, const struct call *c)
{
    zk->pings_pending--;
    if (c->zrc != ZOK) {
        return;
    }
    metric_observe_us(&ping_seconds, clock_mono_us() - c->sent_us);
    mono_ms end = c->sent_at + zk->timeout_ms * 2 / 3;
    if (end > zk->lease_end) {
        zk->lease_end = end;
    }
    zk->is_confirmed = true;
    evaluate(zk);
}

static bool ensure_goes_on(struct zk *zk, struct call *c, int *ret_rc);

static void call_deliver(struct loop_msg *msg)
{
    struct call *c = CONTAINER_OF(msg, struct call, msg);
    struct zk *zk = c->port->zk;
    list_remove(&c->link);
    if (zk && !c->is_abandoned) {
        zk->call_count -= c->kind != CALL_PING;
        watch_call_ended(zk, c);
        int rc = rc_of(c->zrc);
        if (c->kind == CALL_PING) {
            ping_answered(zk, c);
        } else if (c->kind != CALL_ENSURE || !ensure_goes_on(zk, c, &rc)) {
            answer(c, rc);
        }
    }
    call_free(c);
}

static void call_drop(struct loop_msg *msg)
{
    call_free(CONTAINER_OF(msg, struct call, msg));
}

static struct call *call_new(struct zk *zk, enum call_kind kind, void *arg, uint64_t token)
{
    struct call *c = xcalloc(1, sizeof(*c));
    c->msg.deliver = call_deliver;
    c->msg.drop = call_drop;
    c->port = port_ref(zk->port);
    c->kind = kind;
    c->arg = arg;
    c->token = token;
    list_init(&c->link);
    return c;
}

static int check_may_call(struct zk *zk, const char *path, struct xp_err *err)
{
    XP_ON_LOOP();
    if (zk->state != ZK_READY) {
        return xp_fail(err, XP_UNAVAILABLE, "ZooKeeper session is %s, cannot use '%s' now",
                       zk_state_text(zk->state), path);
    }
    if (zk->call_count >= ZK_PENDING_MAX) {
        return xp_fail(err, XP_TOO_MANY, "%d ZooKeeper calls are under way, cannot use '%s' now",
                       ZK_PENDING_MAX, path);
    }
    return 0;
}

/* Takes 'c', which the library now has (zrc ZOK) or refused. The I/O thread may have answered it already; the
 * message waits for this turn to end, so linking it here is in time. */
static int call_sent(struct zk *zk, struct call *c, int zrc, const char *path, struct xp_err *err)
{
    if (zrc == ZOK) {
        list_push_back(&zk->calls, &c->link);
        zk->call_count += c->kind != CALL_PING;
        return 0;
    }
    c->zrc = zrc;
    watch_call_ended(zk, c);
    call_free(c);
    return xp_fail(err, (enum xp_code)rc_of(zrc), "ZooKeeper refused the call on '%s': %s", path,
                   zerror(zrc));
}

/* Opens a watch for 'c' and gives what the library needs. */
static watcher_fn watch_for_call(struct zk *zk, struct call *c, const char *path, zk_watch_fn *fn)
{
    if (!fn) {
        return NULL;
    }
    struct watch *w = watch_get(zk, c->kind, path, fn, c->arg);
    w->calls_pending++;
    c->watch_id = w->id;
    return on_watch_event;
}

static void *watch_ctx(const struct call *c)
{
    return (void *)(uintptr_t)c->watch_id;
}

int zk_create(struct zk *zk, const char *path, const char *data, size_t length, int flags,
              zk_path_fn *fn, void *arg, uint64_t token, struct xp_err *err)
{
    int rc = check_may_call(zk, path, err);
    if (rc < 0) {
        return rc;
    }
    int zflags =
        (flags & ZK_EPHEMERAL ? ZOO_EPHEMERAL : 0) | (flags & ZK_SEQUENTIAL ? ZOO_SEQUENCE : 0);
    struct call *c = call_new(zk, CALL_CREATE, arg, token);
    c->fn.path = fn;
    int zrc = zoo_acreate(zk->handle, path, data ? data : "", (int)length, &ZOO_OPEN_ACL_UNSAFE,
                          zflags, on_string, c);
    return call_sent(zk, c, zrc, path, err);
}

static void on_replaced(int zrc, const void *data)
{
    struct call *c = (struct call *)(uintptr_t)data;
    c->data = zrc == ZOK ? xstrdup(c->replace->created) : NULL;
    post_call(data, zrc);
}

int zk_replace(struct zk *zk, const char *path, int32_t version, const char *data, size_t length,
               zk_path_fn *fn, void *arg, uint64_t token, struct xp_err *err)
{
    int rc = check_may_call(zk, path, err);
    if (rc < 0) {
        return rc;
    }
    struct call *c = call_new(zk, CALL_REPLACE, arg, token);
    c->fn.path = fn;
    struct replace_ops *r = c->replace = xcalloc(1, sizeof(*c->replace));
    zoo_delete_op_init(&r->op[0], path, version);
    zoo_create_op_init(&r->op[1], path, data, (int)length, &ZOO_OPEN_ACL_UNSAFE, ZOO_EPHEMERAL,
                       r->created, sizeof(r->created));
    int zrc = zoo_amulti(zk->handle, 2, r->op, r->result, on_replaced, c);
    return call_sent(zk, c, zrc, path, err);
}

/* Sends the create of the first 'length' bytes of the path. */
static int ensure_send(struct zk *zk, struct call *c, size_t length, struct xp_err *err)
{
    c->ensure_length = length;
    AUTO_FREE char *part = xstrndup(c->ensure_path, length);
    int zrc =
        zoo_acreate(zk->handle, part, "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_PERSISTENT, on_string, c);
    return call_sent(zk, c, zrc, part, err);
}

static size_t next_part_end(const char *path, size_t from)
{
    size_t end = from + 1;
    while (path[end] && path[end] != '/') {
        end++;
    }
    return end;
}

/* One part exists now. True: the next part is under way in a new call that carries on for 'c'. */
static bool ensure_goes_on(struct zk *zk, struct call *c, int *ret_rc)
{
    if (*ret_rc != 0 && *ret_rc != XP_CONFLICT) {
        return false;
    }
    *ret_rc = 0;
    if (!c->ensure_path[c->ensure_length]) {
        return false;
    }
    if (zk->state != ZK_READY || !c->fn.done) {
        *ret_rc = XP_UNAVAILABLE;
        return false;
    }
    struct call *next = call_new(zk, CALL_ENSURE, c->arg, c->token);
    next->fn = c->fn;
    next->ensure_path = xstrdup(c->ensure_path);
    struct xp_err err;
    *ret_rc = ensure_send(zk, next, next_part_end(c->ensure_path, c->ensure_length), &err);
    return *ret_rc == 0;
}

int zk_ensure_path(struct zk *zk, const char *path, zk_done_fn *fn, void *arg, uint64_t token,
                   struct xp_err *err)
{
    int rc = check_may_call(zk, path, err);
    if (rc < 0) {
        return rc;
    }
    if (path[0] != '/' || !path[1]) {
        return xp_fail(err, XP_INVALID, "'%s' is not a ZooKeeper path below '/'", path);
    }
    struct call *c = call_new(zk, CALL_ENSURE, arg, token);
    c->fn.done = fn;
    c->ensure_path = xstrdup(path);
    return ensure_send(zk, c, next_part_end(path, 0), err);
}

int zk_set(struct zk *zk, const char *path, const char *data, size_t length, int32_t version,
           zk_data_fn *fn, void *arg, uint64_t token, struct xp_err *err)
{
    int rc = check_may_call(zk, path, err);
    if (rc < 0) {
        return rc;
    }
    struct call *c = call_new(zk, CALL_SET, arg, token);
    c->fn.data = fn;
    return call_sent(zk, c, zoo_aset(zk->handle, path, data, (int)length, version, on_stat, c),
                     path, err);
}

int zk_delete(struct zk *zk, const char *path, int32_t version, zk_done_fn *fn, void *arg,
              uint64_t token, struct xp_err *err)
{
    int rc = check_may_call(zk, path, err);
    if (rc < 0) {
        return rc;
    }
    struct call *c = call_new(zk, CALL_DELETE, arg, token);
    c->fn.done = fn;
    return call_sent(zk, c, zoo_adelete(zk->handle, path, version, on_void, c), path, err);
}

int zk_get(struct zk *zk, const char *path, zk_watch_fn *watch, zk_data_fn *fn, void *arg,
           uint64_t token, struct xp_err *err)
{
    int rc = check_may_call(zk, path, err);
    if (rc < 0) {
        return rc;
    }
    struct call *c = call_new(zk, CALL_GET, arg, token);
    c->fn.data = fn;
    watcher_fn w = watch_for_call(zk, c, path, watch);
    return call_sent(zk, c, zoo_awget(zk->handle, path, w, watch_ctx(c), on_data, c), path, err);
}

int zk_exists(struct zk *zk, const char *path, zk_watch_fn *watch, zk_data_fn *fn, void *arg,
              uint64_t token, struct xp_err *err)
{
    int rc = check_may_call(zk, path, err);
    if (rc < 0) {
        return rc;
    }
    struct call *c = call_new(zk, CALL_EXISTS, arg, token);
    c->fn.data = fn;
    watcher_fn w = watch_for_call(zk, c, path, watch);
    return call_sent(zk, c, zoo_awexists(zk->handle, path, w, watch_ctx(c), on_stat, c), path, err);
}

int zk_children(struct zk *zk, const char *path, zk_watch_fn *watch, zk_children_fn *fn, void *arg,
                uint64_t token, struct xp_err *err)
{
    int rc = check_may_call(zk, path, err);
    if (rc < 0) {
        return rc;
    }
    struct call *c = call_new(zk, CALL_CHILDREN, arg, token);
    c->fn.children = fn;
    watcher_fn w = watch_for_call(zk, c, path, watch);
    int zrc = zoo_awget_children(zk->handle, path, w, watch_ctx(c), on_strings, c);
    return call_sent(zk, c, zrc, path, err);
}

void zk_forget(struct zk *zk, const void *arg)
{
    if (!zk || !arg) {
        return;
    }
    list_for_each (it, &zk->calls) {
        struct call *c = LIST_ENTRY(it, struct call, link);
        if (c->arg == arg) {
            c->fn.done = NULL;
        }
    }
    watches_forget(&zk->watches, &zk->watch_keys, arg);
    watches_forget(&zk->stale_watches, NULL, arg);
}

/* Answers everything under way. The library, or the loop's queue, still holds the calls. */
static void calls_abandon(struct zk *zk)
{
    struct list *link;
    while ((link = list_pop_front(&zk->calls))) {
        struct call *c = LIST_ENTRY(link, struct call, link);
        c->is_abandoned = true;
        list_push_back(&zk->abandoned, &c->link);
        answer(c, XP_UNAVAILABLE);
    }
    zk->call_count = 0;
    zk->pings_pending = 0;
}

/* The handle that had these calls is closed: what it did not hand back (the library forgets answers that it had
 * received and not delivered yet) is ours again. */
static void calls_reclaim(struct zk *zk)
{
    list_for_each (it, &zk->abandoned) {
        struct call *c = LIST_ENTRY(it, struct call, link);
        list_remove(&c->link);
        if (!atomic_load(&c->posted)) {
            call_free(c);
        }
    }
}

/* Gives the library a moment to hand back what is answered: it leaks those calls when it is closed over them. */
static void calls_settle(struct zk *zk)
{
    mono_ms limit = clock_mono_ms() + SETTLE_MAX_MS;
    list_for_each (it, &zk->abandoned) {
        struct call *c = LIST_ENTRY(it, struct call, link);
        while (!atomic_load(&c->posted) && clock_mono_ms() < limit) {
            poll(NULL, 0, 1);
        }
    }
}

/* ---- session ---- */

static void event_deliver(struct loop_msg *msg)
{
    struct event *e = CONTAINER_OF(msg, struct event, msg);
    struct zk *zk = e->port->zk;
    if (zk && zk->epoch == e->epoch && zk->handle) {
        if (e->watch_id) {
            watch_fire(zk, e->watch_id);
        } else {
            evaluate(zk);
        }
    }
    port_unref(e->port);
    free(e);
}

static void event_drop(struct loop_msg *msg)
{
    struct event *e = CONTAINER_OF(msg, struct event, msg);
    port_unref(e->port);
    free(e);
}

static void post_event(const struct handle_ctx *ctx, uint64_t watch_id)
{
    struct event *e = xcalloc(1, sizeof(*e));
    e->msg.deliver = event_deliver;
    e->msg.drop = event_drop;
    e->port = port_ref(ctx->port);
    e->epoch = ctx->epoch;
    e->watch_id = watch_id;
    loop_post_reserved(ctx->port->loop, &e->msg);
}

static void set_state(struct zk *zk, enum zk_state state, bool is_new_session)
{
    if (state == zk->state) {
        return;
    }
    log_info("zk.state", "from", zk_state_text(zk->state), "to", zk_state_text(state), "session",
             log_fmt("%llx", (unsigned long long)zk_session_id(zk)), "timeout_ms",
             log_int(zk->timeout_ms));
    zk->state = state;
    if (state == ZK_LOST) {
        metric_add(&losses_total, 1);
        zk->alone_since = clock_mono_ms();
        calls_abandon(zk);
    }
    if (zk->options.on_session) {
        zk->options.on_session(zk, state, is_new_session, zk->options.arg);
    }
}

static void send_ping(struct zk *zk)
{
    if (!zk->handle || !zk->is_connected || zk->pings_pending >= PINGS_UNANSWERED_MAX) {
        return;
    }
    struct call *c = call_new(zk, CALL_PING, NULL, 0);
    c->sent_at = clock_mono_ms();
    c->sent_us = clock_mono_us();
    struct xp_err err;
    if (call_sent(zk, c, zoo_async(zk->handle, "/", on_string, c), "/", &err) == 0) {
        zk->pings_pending++;
    } else {
        log_warn("zk.ping_failed", "error", err.msg);
    }
}

static void ping_timer_fired(struct loop_timer *t)
{
    struct zk *zk = CONTAINER_OF(t, struct zk, ping_timer);
    loop_timer_start(t, zk->timeout_ms > 0 ? zk->timeout_ms / 6 + 1 : 500);
    send_ping(zk);
    evaluate(zk);
}

static void lease_timer_fired(struct loop_timer *t)
{
    evaluate(CONTAINER_OF(t, struct zk, lease_timer));
}

static void note_connection(struct zk *zk, bool connected)
{
    if (connected && !zk->is_connected) {
        zk->is_connected = true;
        zk->timeout_ms = zoo_recv_timeout(zk->handle);
        loop_timer_start(&zk->ping_timer, zk->timeout_ms / 6 + 1);
        send_ping(zk);
    } else if (!connected) {
        zk->is_connected = false;
        zk->is_confirmed = false;
    }
}

static void become_ready(struct zk *zk)
{
    int64_t id = zk_session_id(zk);
    bool is_new = id != zk->ready_session_id;
    zk->ready_session_id = id;
    if (is_new) {
        metric_add(&sessions_total, 1);
    }
    set_state(zk, ZK_READY, is_new);
    watches_fire_stale(zk);
}

static bool has_given_up(const struct zk *zk, mono_ms now)
{
    return (zk->state == ZK_LOST || zk->state == ZK_CONNECTING) && !zk->is_connected &&
           (zk->hosts_changed || mono_age(now, zk->alone_since) > GIVE_UP_HANDLE_MS);
}

/* Looks at the handle and at the clock, and derives the state. Cheap, may be called at any time. */
static void evaluate(struct zk *zk)
{
    if (!zk->handle) {
        return;
    }
    int zstate = zoo_state(zk->handle);
    if (zstate == ZOO_EXPIRED_SESSION_STATE || zstate == ZOO_AUTH_FAILED_STATE) {
        replace_handle(zk, zstate == ZOO_AUTH_FAILED_STATE ? "refused" : "expired");
        return;
    }
    note_connection(zk, zstate == ZOO_CONNECTED_STATE);
    mono_ms now = clock_mono_ms();
    if (now < zk->lease_end) {
        loop_timer_start(&zk->lease_timer, zk->lease_end - now);
        if (!zk->is_confirmed) {
            set_state(zk, ZK_SUSPENDED, false);
        } else if (zk->state != ZK_READY) {
            become_ready(zk);
        }
    } else if (zk->state == ZK_READY || zk->state == ZK_SUSPENDED) {
        set_state(zk, ZK_LOST, false);
    }
    if (has_given_up(zk, now)) {
        replace_handle(zk, "given up");
    }
}

/* ---- opening and closing ---- */

static void handle_close(zhandle_t *handle, struct handle_ctx *ctx)
{
    if (handle) {
        int zrc = zookeeper_close(handle);
        if (zrc != ZOK) {
            log_info("zk.close", "result", zerror(zrc));
        }
    }
    if (ctx) {
        port_unref(ctx->port);
        free(ctx);
    }
}

static void *opener_run(void *arg)
{
    struct opener *o = arg;
    thread_set_role(THREAD_ZK, "zk-open");
    handle_close(o->old, o->old_ctx);
    o->fresh = zookeeper_init2(o->hosts, on_session_event, o->timeout_ms, NULL, o->fresh_ctx, 0,
                               forward_log);
    loop_post_reserved(o->port->loop, &o->msg);
    return NULL;
}

static void opener_free(struct opener *o)
{
    port_unref(o->port);
    free(o->hosts);
    free(o);
}

static void open_failed(struct zk *zk, struct opener *o)
{
    log_warn("zk.open_failed", "hosts", zk->hosts, "hint", "check zk.address");
    handle_close(NULL, o->fresh_ctx);
    loop_timer_start(&zk->open_timer, REOPEN_PAUSE_MAX_MS);
}

/* zk_free has joined the thread and closed the handle already when port->zk is NULL. */
static void opener_deliver(struct loop_msg *msg)
{
    struct opener *o = CONTAINER_OF(msg, struct opener, msg);
    struct zk *zk = o->port->zk;
    if (zk) {
        pthread_join(o->thread, NULL);
        zk->opener = NULL;
        calls_reclaim(zk);
        if (o->fresh) {
            zk->handle = o->fresh;
            zk->handle_ctx = o->fresh_ctx;
            zk->alone_since = clock_mono_ms();
            loop_timer_start(&zk->ping_timer, 0);
            evaluate(zk);
        } else {
            open_failed(zk, o);
        }
    }
    opener_free(o);
}

static void opener_drop(struct loop_msg *msg)
{
    opener_free(CONTAINER_OF(msg, struct opener, msg));
}

static void open_timer_fired(struct loop_timer *t)
{
    struct zk *zk = CONTAINER_OF(t, struct zk, open_timer);
    xp_check(!zk->opener);
    struct opener *o = xcalloc(1, sizeof(*o));
    o->msg.deliver = opener_deliver;
    o->msg.drop = opener_drop;
    o->port = port_ref(zk->port);
    o->old = TAKE(zk->dead_handle);
    o->old_ctx = TAKE(zk->dead_ctx);
    o->hosts = xstrdup(zk->hosts);
    o->timeout_ms = (int)zk->options.session_timeout_ms;
    o->fresh_ctx = xcalloc(1, sizeof(*o->fresh_ctx));
    o->fresh_ctx->port = port_ref(zk->port);
    o->fresh_ctx->epoch = ++zk->epoch;
    zk->hosts_changed = false;
    zk->opener = o;
    int rc = pthread_create(&o->thread, NULL, opener_run, o);
    xp_check(rc == 0);
    set_state(zk, ZK_CONNECTING, false);
}

static int64_t random_below(int64_t limit)
{
    uint32_t value = 0;
    if (getrandom(&value, sizeof(value), GRND_NONBLOCK) != (ssize_t)sizeof(value)) {
        value = (uint32_t)clock_mono_us();
    }
    return (int64_t)value % limit;
}

/* The handle is dead to us from here on: nothing is sent through it, and its late messages find an older epoch. */
static void replace_handle(struct zk *zk, const char *why)
{
    log_warn("zk.session_over", "why", why, "hosts", zk->hosts);
    zk->epoch++;
    zk->dead_handle = TAKE(zk->handle);
    zk->dead_ctx = TAKE(zk->handle_ctx);
    zk->is_connected = false;
    zk->is_confirmed = false;
    zk->lease_end = MONO_NEVER;
    loop_timer_stop(&zk->ping_timer);
    loop_timer_stop(&zk->lease_timer);
    watches_make_stale(zk);
    loop_timer_start(&zk->open_timer, random_below(REOPEN_PAUSE_MAX_MS));
    if (zk->state != ZK_CONNECTING) {
        set_state(zk, ZK_LOST, false);
    }
    calls_abandon(zk);
}

struct zk *zk_new(struct loop *loop, const struct zk_options *options)
{
    struct zk *zk = xcalloc(1, sizeof(*zk));
    zoo_set_debug_level(ZOO_LOG_LEVEL_WARN);
    zk->loop = loop;
    zk->options = *options;
    zk->hosts = xstrdup(options->hosts);
    zk->options.hosts = NULL;
    zk->port = xcalloc(1, sizeof(*zk->port));
    zk->port->loop = loop;
    zk->port->zk = zk;
    atomic_init(&zk->port->refs, 1);
    zk->lease_end = MONO_NEVER;
    list_init(&zk->calls);
    list_init(&zk->abandoned);
    zk->watches = MAP_INIT(MAP_NUMBER);
    zk->stale_watches = MAP_INIT(MAP_NUMBER);
    zk->watch_keys = MAP_INIT(MAP_TEXT);
    loop_timer_init(&zk->ping_timer, loop, ping_timer_fired);
    loop_timer_init(&zk->lease_timer, loop, lease_timer_fired);
    loop_timer_init(&zk->open_timer, loop, open_timer_fired);
    loop_timer_start(&zk->open_timer, 0);
    return zk;
}

/* Ends an opening that is under way; its message stays in the loop's queue and frees the rest. */
static void opener_finish(struct opener *o)
{
    if (o) {
        pthread_join(o->thread, NULL);
        handle_close(o->fresh, o->fresh_ctx);
    }
}

void zk_free(struct zk *zk)
{
    if (!zk) {
        return;
    }
    XP_ON_LOOP();
    loop_timer_stop(&zk->ping_timer);
    loop_timer_stop(&zk->lease_timer);
    loop_timer_stop(&zk->open_timer);
    zk->state = ZK_LOST;
    calls_abandon(zk);
    watches_forget(&zk->watches, &zk->watch_keys, NULL);
    watches_forget(&zk->stale_watches, NULL, NULL);
    zk->port->zk = NULL;
    if (zk->is_connected) {
        calls_settle(zk);
    }
    opener_finish(zk->opener);
    handle_close(zk->handle, zk->handle_ctx);
    handle_close(zk->dead_handle, zk->dead_ctx);
    calls_reclaim(zk);
    map_done(&zk->watches);
    map_done(&zk->watch_keys);
    map_done(&zk->stale_watches);
    port_unref(zk->port);
    free(zk->hosts);
    free(zk);
}

void zk_set_hosts(struct zk *zk, const char *hosts)
{
    if (text_eq(zk->hosts, hosts)) {
        return;
    }
    free(zk->hosts);
    zk->hosts = xstrdup(hosts);
    zk->hosts_changed = true;
    evaluate(zk);
}

/* ---- queries ---- */

enum zk_state zk_state(const struct zk *zk)
{
    return zk->state;
}

/* Also looks at the real clock: 'now' may be the time of a turn in which the process was stopped. */
bool zk_lease_is_valid(const struct zk *zk, mono_ms now)
{
    return zk->lease_end != MONO_NEVER && now < zk->lease_end && clock_mono_ms() < zk->lease_end;
}

mono_ms zk_lease_end(const struct zk *zk)
{
    return zk->lease_end;
}

int64_t zk_negotiated_timeout_ms(const struct zk *zk)
{
    return zk->timeout_ms;
}

int64_t zk_session_id(const struct zk *zk)
{
    return zk->handle && zk->is_connected ? zoo_client_id(zk->handle)->client_id : 0;
}

uint64_t zk_epoch(const struct zk *zk)
{
    return zk->epoch;
}
