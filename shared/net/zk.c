/* zk.c - the session and its lease, see zk.h and zk_internal.h. Calls are in zk_call.c, watches in zk_watch.c.
 *
 * A handle is opened and closed on a short-lived thread of its own: both resolve names or join threads. A dead handle
 * (expired, refused, given up) is never used again; the next one has a new epoch. */
#include "shared/net/zk.h"

#include <stdlib.h>
#include <string.h>

#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/metrics.h"
#include "shared/base/random.h"
#include "shared/base/spawn.h"
#include "shared/base/str.h"
#include "shared/base/thread.h"
#include "shared/net/zk_internal.h"

#include "shared/base/banned.h"

#define REOPEN_PAUSE_MAX_MS  1000
#define GIVE_UP_HANDLE_MS    30000 /* without contact: a new handle, which resolves the names again */
#define PINGS_UNANSWERED_MAX 4
#define TIMEOUT_MAX_MS       600000 /* ZooKeeper grants 20 ticks unless told otherwise, so 40 s */

static struct metric sessions_total =
    METRIC_COUNTER_INIT("xpipe_zk_sessions_total", "", "ZooKeeper sessions that became ready.");
static struct metric losses_total = METRIC_COUNTER_INIT(
    "xpipe_zk_lease_losses_total", "", "Times the ZooKeeper lease ended or the session expired.");
static struct metric ping_seconds = METRIC_HISTOGRAM_INIT(
    "xpipe_zk_ping_seconds", "", "Round trip of the lease ping through the ZooKeeper leader.");

/* See zk_post_event. */
struct event {
    struct loop_msg msg;
    struct zk_port *port;
    uint64_t epoch;
    uint64_t watch_id;
};

/* Closes the old handle and opens the next, off the loop. */
struct zk_opener {
    struct loop_msg msg;
    struct zk_port *port;
    spawned thread;
    zhandle_t *old;
    struct zk_handle_ctx *old_ctx;
    char *hosts;
    int timeout_ms;
    zhandle_t *fresh;
    struct zk_handle_ctx *fresh_ctx;
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

struct zk_port *zk_port_ref(struct zk_port *p)
{
    atomic_fetch_add(&p->refs, 1);
    return p;
}

void zk_port_unref(struct zk_port *p)
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

/* May run before zookeeper_init has returned. */
static void on_session_event(zhandle_t *handle, int type, int state, const char *path, void *ctx)
{
    (void)handle;
    (void)state;
    (void)path;
    if (type == ZOO_SESSION_EVENT) {
        zk_post_event(ctx, 0);
    }
}

void zk_ping_answered(struct zk *zk, const struct zk_call *c)
{
    zk->pings_pending--;
    if (c->zrc != ZOK) {
        return;
    }
    metric_observe_us(&ping_seconds, clock_mono_us() - c->sent_us);
    mono_ms end = c->sent_at + zk_lease_ms(zk);
    if (end > zk->lease_end) {
        zk->lease_end = end;
    }
    zk->is_confirmed = true;
    evaluate(zk);
}

/* ---- session ---- */

static void event_deliver(struct loop_msg *msg)
{
    struct event *e = CONTAINER_OF(msg, struct event, msg);
    struct zk *zk = e->port->zk;
    if (zk && zk->epoch == e->epoch && zk->handle) {
        if (e->watch_id) {
            zk_watch_fire(zk, e->watch_id);
        } else {
            evaluate(zk);
        }
    }
    zk_port_unref(e->port);
    free(e);
}

static void event_drop(struct loop_msg *msg)
{
    struct event *e = CONTAINER_OF(msg, struct event, msg);
    zk_port_unref(e->port);
    free(e);
}

void zk_post_event(const struct zk_handle_ctx *ctx, uint64_t watch_id)
{
    struct event *e = xcalloc(1, sizeof(*e));
    e->msg.deliver = event_deliver;
    e->msg.drop = event_drop;
    e->port = zk_port_ref(ctx->port);
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
        zk_calls_abandon(zk);
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
    struct xp_err err;
    if (zk_call_ping(zk, &err) == 0) {
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
    zk_watches_fire_stale(zk);
}

static bool has_given_up(const struct zk *zk, mono_ms now)
{
    return (zk->state == ZK_LOST || zk->state == ZK_CONNECTING) && !zk->is_connected &&
           (zk->hosts_changed || mono_age(now, zk->alone_since) > GIVE_UP_HANDLE_MS);
}

/* The library believes the first bytes of any server. One that is no ZooKeeper (HTTP, Redis) grants days, less than nothing, or the
 * reading that nobody asked for; for so long the library would wait for it and try nobody else. */
static bool is_granted_nonsense(const struct zk *zk, int zstate)
{
    int granted_ms = zoo_recv_timeout(zk->handle); /* means little until a server grants */
    return zstate == ZOO_READONLY_STATE || granted_ms > TIMEOUT_MAX_MS ||
           (zstate == ZOO_CONNECTED_STATE && granted_ms <= 0);
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
    if (is_granted_nonsense(zk, zstate)) {
        replace_handle(zk, "odd session granted, is this a ZooKeeper?");
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

static void handle_close(zhandle_t *handle, struct zk_handle_ctx *ctx)
{
    if (handle) {
        int zrc = zookeeper_close(handle);
        if (zrc != ZOK) {
            log_info("zk.close", "result", zerror(zrc));
        }
    }
    if (ctx) {
        zk_port_unref(ctx->port);
        free(ctx);
    }
}

static void *opener_run(void *arg)
{
    struct zk_opener *o = arg;
    thread_set_role(THREAD_ZK, "zk-open");
    handle_close(o->old, o->old_ctx);
    o->fresh = zookeeper_init2(o->hosts, on_session_event, o->timeout_ms, NULL, o->fresh_ctx, 0,
                               forward_log);
    loop_post_reserved(o->port->loop, &o->msg);
    return NULL;
}

static void opener_free(struct zk_opener *o)
{
    zk_port_unref(o->port);
    free(o->hosts);
    free(o);
}

static void open_failed(struct zk *zk, struct zk_opener *o)
{
    log_warn("zk.open_failed", "hosts", zk->hosts, "hint", "check zk.address");
    handle_close(NULL, o->fresh_ctx);
    loop_timer_start(&zk->open_timer, REOPEN_PAUSE_MAX_MS);
}

/* zk_free has joined the thread and closed the handle already when port->zk is NULL. */
static void opener_deliver(struct loop_msg *msg)
{
    struct zk_opener *o = CONTAINER_OF(msg, struct zk_opener, msg);
    struct zk *zk = o->port->zk;
    if (zk) {
        spawn_join(o->thread);
        zk->opener = NULL;
        zk_calls_reclaim(zk);
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
    opener_free(CONTAINER_OF(msg, struct zk_opener, msg));
}

static void open_timer_fired(struct loop_timer *t)
{
    struct zk *zk = CONTAINER_OF(t, struct zk, open_timer);
    xp_check(!zk->opener);
    struct zk_opener *o = xcalloc(1, sizeof(*o));
    o->msg.deliver = opener_deliver;
    o->msg.drop = opener_drop;
    o->port = zk_port_ref(zk->port);
    o->old = TAKE(zk->dead_handle);
    o->old_ctx = TAKE(zk->dead_ctx);
    o->hosts = xstrdup(zk->hosts);
    o->timeout_ms = (int)zk->options.session_timeout_ms;
    o->fresh_ctx = xcalloc(1, sizeof(*o->fresh_ctx));
    o->fresh_ctx->port = zk_port_ref(zk->port);
    o->fresh_ctx->epoch = ++zk->epoch;
    zk->hosts_changed = false;
    zk->opener = o;
    spawn(&o->thread, opener_run, o);
    set_state(zk, ZK_CONNECTING, false);
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
    zk_watches_make_stale(zk);
    loop_timer_start(&zk->open_timer, random_below(REOPEN_PAUSE_MAX_MS));
    if (zk->state != ZK_CONNECTING) {
        set_state(zk, ZK_LOST, false);
    }
    zk_calls_abandon(zk);
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
static void opener_finish(struct zk_opener *o)
{
    if (o) {
        spawn_join(o->thread);
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
    zk_calls_abandon(zk);
    zk_watches_forget(zk, NULL);
    zk->port->zk = NULL;
    if (zk->is_connected) {
        zk_calls_settle(zk);
    }
    opener_finish(zk->opener);
    handle_close(zk->handle, zk->handle_ctx);
    handle_close(zk->dead_handle, zk->dead_ctx);
    zk_calls_reclaim(zk);
    map_done(&zk->watches);
    map_done(&zk->watch_keys);
    map_done(&zk->stale_watches);
    zk_port_unref(zk->port);
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

int64_t zk_lease_ms(const struct zk *zk)
{
    return zk->timeout_ms * 2 / 3;
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
