/* zk_call.c - the calls of a session, see zk.h: out to the library, back through the loop, answered once. */
#include <stdlib.h>

#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/base/thread.h"
#include "shared/net/zk_internal.h"

#include "shared/base/banned.h"

#define SETTLE_MAX_MS 50

/* ---- calls: the library's side ---- */

static void call_free(struct zk_call *c)
{
    for (size_t i = 0; i < c->name_count; i++) {
        free(c->names[i]);
    }
    free(c->names);
    free(c->data);
    free(c->ensure_path);
    free(c->replace);
    zk_port_unref(c->port);
    free(c);
}

static void post_call(const void *data, int zrc)
{
    struct zk_call *c = (struct zk_call *)(uintptr_t)data;
    c->zrc = zrc;
    atomic_store(&c->posted, true);
    loop_post_reserved(c->port->loop, &c->msg);
}

static void copy_stat(struct zk_call *c, const struct Stat *stat)
{
    if (stat) {
        c->stat = (struct zk_stat){ .version = stat->version,
                                    .ephemeral_owner = stat->ephemeralOwner,
                                    .czxid = stat->czxid,
                                    .mzxid = stat->mzxid };
    }
}

static void on_void(int zrc, const void *data)
{
    post_call(data, zrc);
}

static void on_string(int zrc, const char *value, const void *data)
{
    struct zk_call *c = (struct zk_call *)(uintptr_t)data;
    c->data = zrc == ZOK ? xstrdup(value) : NULL;
    post_call(data, zrc);
}

static void on_stat(int zrc, const struct Stat *stat, const void *data)
{
    struct zk_call *c = (struct zk_call *)(uintptr_t)data;
    copy_stat(c, zrc == ZOK ? stat : NULL);
    post_call(data, zrc);
}

static void on_data(int zrc, const char *value, int length, const struct Stat *stat,
                    const void *data)
{
    struct zk_call *c = (struct zk_call *)(uintptr_t)data;
    copy_stat(c, zrc == ZOK ? stat : NULL);
    if (zrc == ZOK) {
        c->length = value && length > 0 ? (size_t)length : 0;
        c->data = xstrndup(value ? value : "", c->length);
    }
    post_call(data, zrc);
}

static void on_strings(int zrc, const struct String_vector *strings, const void *data)
{
    struct zk_call *c = (struct zk_call *)(uintptr_t)data;
    if (zrc == ZOK && strings && strings->count > 0) {
        c->name_count = (size_t)strings->count;
        c->names = xcalloc(c->name_count, sizeof(*c->names));
        for (size_t i = 0; i < c->name_count; i++) {
            c->names[i] = xstrdup(strings->data[i]);
        }
    }
    post_call(data, zrc);
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
static void answer(struct zk_call *c, int rc)
{
    static const struct zk_stat no_stat;
    __typeof__(c->fn) fn = c->fn;
    c->fn.done = NULL;
    if (!fn.done) {
        return;
    }
    switch (c->kind) {
    case ZK_CALL_CREATE:
    case ZK_CALL_REPLACE:
        fn.path(rc, rc == 0 ? c->data : NULL, c->arg, c->token);
        break;
    case ZK_CALL_ENSURE:
    case ZK_CALL_DELETE:
        fn.done(rc, c->arg, c->token);
        break;
    case ZK_CALL_SET:
    case ZK_CALL_GET:
    case ZK_CALL_EXISTS:
        fn.data(rc, rc == 0 ? c->data : NULL, rc == 0 ? c->length : 0,
                rc == 0 ? &c->stat : &no_stat, c->arg, c->token);
        break;
    case ZK_CALL_CHILDREN:
        fn.children(rc, rc == 0 ? (const char *const *)c->names : NULL, rc == 0 ? c->name_count : 0,
                    c->arg, c->token);
        break;
    case ZK_CALL_PING:
    case ZK_CALL_SYNC:
        break;
    }
}

static bool ensure_goes_on(struct zk *zk, struct zk_call *c, int *ret_rc);

static void call_deliver(struct loop_msg *msg)
{
    struct zk_call *c = CONTAINER_OF(msg, struct zk_call, msg);
    struct zk *zk = c->port->zk;
    list_remove(&c->link);
    if (zk && !c->is_abandoned) {
        zk->call_count -= c->kind != ZK_CALL_PING;
        zk_watch_call_ended(zk, c);
        int rc = rc_of(c->zrc);
        if (c->kind == ZK_CALL_PING) {
            zk_ping_answered(zk, c);
        } else if (c->kind != ZK_CALL_ENSURE || !ensure_goes_on(zk, c, &rc)) {
            answer(c, rc);
        }
    }
    call_free(c);
}

static void call_drop(struct loop_msg *msg)
{
    call_free(CONTAINER_OF(msg, struct zk_call, msg));
}

static struct zk_call *call_new(struct zk *zk, enum zk_call_kind kind, void *arg, uint64_t token)
{
    struct zk_call *c = xcalloc(1, sizeof(*c));
    c->msg.deliver = call_deliver;
    c->msg.drop = call_drop;
    c->port = zk_port_ref(zk->port);
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
static int call_sent(struct zk *zk, struct zk_call *c, int zrc, const char *path,
                     struct xp_err *err)
{
    if (zrc == ZOK) {
        list_push_back(&zk->calls, &c->link);
        zk->call_count += c->kind != ZK_CALL_PING;
        return 0;
    }
    c->zrc = zrc;
    zk_watch_call_ended(zk, c);
    call_free(c);
    return xp_fail(err, (enum xp_code)rc_of(zrc), "ZooKeeper refused the call on '%s': %s", path,
                   zerror(zrc));
}

/* Opens a watch for 'c' and gives what the library needs. */
static watcher_fn watch_for_call(struct zk *zk, struct zk_call *c, const char *path,
                                 zk_watch_fn *fn)
{
    if (!fn) {
        return NULL;
    }
    struct zk_watch *w = zk_watch_get(zk, c->kind, path, fn, c->arg);
    w->calls_pending++;
    c->watch_id = w->id;
    return zk_on_watch_event;
}

static void *watch_ctx(const struct zk_call *c)
{
    return (void *)(uintptr_t)c->watch_id;
}

int zk_call_ping(struct zk *zk, struct xp_err *err)
{
    struct zk_call *c = call_new(zk, ZK_CALL_PING, NULL, 0);
    c->sent_at = clock_mono_ms();
    c->sent_us = clock_mono_us();
    return call_sent(zk, c, zoo_async(zk->handle, "/", on_string, c), "/", err);
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
    struct zk_call *c = call_new(zk, ZK_CALL_CREATE, arg, token);
    c->fn.path = fn;
    int zrc = zoo_acreate(zk->handle, path, data ? data : "", (int)length, &ZOO_OPEN_ACL_UNSAFE,
                          zflags, on_string, c);
    return call_sent(zk, c, zrc, path, err);
}

static void on_replaced(int zrc, const void *data)
{
    struct zk_call *c = (struct zk_call *)(uintptr_t)data;
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
    struct zk_call *c = call_new(zk, ZK_CALL_REPLACE, arg, token);
    c->fn.path = fn;
    struct zk_replace_ops *r = c->replace = xcalloc(1, sizeof(*c->replace));
    zoo_delete_op_init(&r->op[0], path, version);
    zoo_create_op_init(&r->op[1], path, data, (int)length, &ZOO_OPEN_ACL_UNSAFE, ZOO_EPHEMERAL,
                       r->created, sizeof(r->created));
    int zrc = zoo_amulti(zk->handle, 2, r->op, r->result, on_replaced, c);
    return call_sent(zk, c, zrc, path, err);
}

/* Sends the create of the first 'length' bytes of the path. */
static int ensure_send(struct zk *zk, struct zk_call *c, size_t length, struct xp_err *err)
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
static bool ensure_goes_on(struct zk *zk, struct zk_call *c, int *ret_rc)
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
    struct zk_call *next = call_new(zk, ZK_CALL_ENSURE, c->arg, c->token);
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
    struct zk_call *c = call_new(zk, ZK_CALL_ENSURE, arg, token);
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
    struct zk_call *c = call_new(zk, ZK_CALL_SET, arg, token);
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
    struct zk_call *c = call_new(zk, ZK_CALL_DELETE, arg, token);
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
    struct zk_call *c = call_new(zk, ZK_CALL_GET, arg, token);
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
    struct zk_call *c = call_new(zk, ZK_CALL_EXISTS, arg, token);
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
    struct zk_call *c = call_new(zk, ZK_CALL_CHILDREN, arg, token);
    c->fn.children = fn;
    watcher_fn w = watch_for_call(zk, c, path, watch);
    int zrc = zoo_awget_children(zk->handle, path, w, watch_ctx(c), on_strings, c);
    return call_sent(zk, c, zrc, path, err);
}

int zk_sync(struct zk *zk, struct xp_err *err)
{
    int rc = check_may_call(zk, "/", err);
    if (rc < 0) {
        return rc;
    }
    struct zk_call *c = call_new(zk, ZK_CALL_SYNC, NULL, 0);
    return call_sent(zk, c, zoo_async(zk->handle, "/", on_string, c), "/", err);
}

void zk_forget(struct zk *zk, const void *arg)
{
    if (!zk || !arg) {
        return;
    }
    list_for_each (it, &zk->calls) {
        struct zk_call *c = LIST_ENTRY(it, struct zk_call, link);
        if (c->arg == arg) {
            c->fn.done = NULL;
        }
    }
    zk_watches_forget(zk, arg);
}

/* Answers everything under way. The library, or the loop's queue, still holds the calls. */
void zk_calls_abandon(struct zk *zk)
{
    struct list *link;
    while ((link = list_pop_front(&zk->calls))) {
        struct zk_call *c = LIST_ENTRY(link, struct zk_call, link);
        c->is_abandoned = true;
        list_push_back(&zk->abandoned, &c->link);
        answer(c, XP_UNAVAILABLE);
    }
    zk->call_count = 0;
    zk->pings_pending = 0;
}

/* The handle that had these calls is closed: what it did not hand back (the library forgets answers that it had
 * received and not delivered yet) is ours again. */
void zk_calls_reclaim(struct zk *zk)
{
    list_for_each (it, &zk->abandoned) {
        struct zk_call *c = LIST_ENTRY(it, struct zk_call, link);
        list_remove(&c->link);
        if (!atomic_load(&c->posted)) {
            call_free(c);
        }
    }
}

/* Gives the library a moment to hand back what is answered: it leaks those calls when it is closed over them. */
void zk_calls_settle(struct zk *zk)
{
    int pauses_left = SETTLE_MAX_MS;
    list_for_each (it, &zk->abandoned) {
        struct zk_call *c = LIST_ENTRY(it, struct zk_call, link);
        for (; !atomic_load(&c->posted) && pauses_left > 0; pauses_left--) {
            clock_pause_ms(1);
        }
    }
}
