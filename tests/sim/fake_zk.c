/* fake_zk.c - see fake_zk.h: the ZooKeeper C client library and its wire. The product's own session, lease, calls and watches
 * (zk.c, zk_call.c, zk_watch.c) run on it as they are. What is not defined here (constants, zerror, zoo_create_op_init...) is
 * the real library's. Its behaviour is that of code-anchors 4.3: a client that hears nothing for 2/3 of the time-out closes
 * its connection and tries again every 1/3; calls under way end in ZCONNECTIONLOSS; only the server says that a session
 * expired. */
#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/base/thread.h"
#include "tests/sim/fake_loop.h"
#include "tests/sim/fake_trace.h"
#include "tests/sim/fake_zk_wire.h"

#include "shared/base/banned.h"

#define REFUSED_RETRY_MS 200

/* ---- messages ---- */

struct message *zk_message_new(struct fake_zk_server *s, enum message_kind kind)
{
    struct message *m = xcalloc(1, sizeof(*m));
    m->server = s;
    m->kind = kind;
    m->server_run = s->run;
    list_init(&m->link);
    return m;
}

void zk_message_free(struct message *m)
{
    if (m->timer.loop) {
        loop_timer_stop(&m->timer);
    }
    list_remove(&m->link);
    for (int i = 0; i < m->name_count; i++) {
        free(m->names[i]);
    }
    free(m->names);
    free(m->path);
    free(m->data);
    free(m);
}

static bool goes_up(enum fake_zk_link wire)
{
    return wire == FAKE_ZK_OPEN || wire == FAKE_ZK_DEAF;
}

static bool goes_down(enum fake_zk_link wire)
{
    return wire == FAKE_ZK_OPEN || wire == FAKE_ZK_DUMB;
}

static int64_t travel_ms(const struct message *m, mono_ms *last)
{
    mono_ms arrival = clock_mono_ms() + m->server->latency_ms;
    *last = arrival > *last ? arrival : *last;
    return *last - clock_mono_ms();
}

static void arrived_up(struct loop_timer *t)
{
    struct message *m = CONTAINER_OF(t, struct message, timer);
    zk_server_take(m);
}

static void came_down(struct loop_timer *t);

static void launch_up(struct _zhandle *h, struct message *m)
{
    m->place = GOING_UP;
    loop_timer_init(&m->timer, h->server->loop, arrived_up);
    loop_timer_start(&m->timer, travel_ms(m, &h->last_up));
}

static void launch_down(struct _zhandle *h, struct message *m)
{
    m->place = GOING_DOWN;
    loop_timer_init(&m->timer, h->loop, came_down);
    loop_timer_start(&m->timer, travel_ms(m, &h->last_down));
}

/* A connection needs both ways. */
static bool may_go_up(const struct _zhandle *h, const struct message *m)
{
    if (fake_loop_is_crashed(h->loop)) {
        return false;
    }
    return m->kind == MSG_CONNECT ? h->wire == FAKE_ZK_OPEN
                                  : goes_up(h->wire) && h->state == ZOO_CONNECTED_STATE;
}

/* What cannot pass waits: it is sent again and again, as by TCP. */
static void send_up(struct _zhandle *h, struct message *m)
{
    m->handle = h;
    m->session_id = h->id.client_id;
    m->connection = h->connection;
    list_push_back(&h->messages, &m->link);
    if (may_go_up(h, m)) {
        launch_up(h, m);
    }
}

void zk_send_down(struct _zhandle *h, struct message *m)
{
    m->handle = h;
    if (m->kind == MSG_EVENT || m->kind == MSG_DISCONNECT) {
        m->connection = h->connection;
        list_push_back(&h->messages, &m->link);
    }
    m->place = AT_SERVER;
    if (goes_down(h->wire)) {
        launch_down(h, m);
    }
}

void zk_wire_changed(struct _zhandle *h)
{
    list_for_each (it, &h->messages) {
        struct message *m = LIST_ENTRY(it, struct message, link);
        if (m->place == AT_CLIENT && may_go_up(h, m)) {
            launch_up(h, m);
        } else if (m->place == AT_SERVER && goes_down(h->wire)) {
            launch_down(h, m);
        }
    }
}

/* ---- completions, as on the library's threads ---- */

static void complete(struct message *m, int zrc)
{
    struct String_vector names = { .count = m->name_count, .data = m->names };
    const struct Stat *stat = zrc == ZOK ? &m->stat : NULL;
    switch (m->kind) {
    case MSG_SYNC:
    case MSG_CREATE:
        m->done.string(zrc, zrc == ZOK ? m->data : NULL, m->done_arg);
        break;
    case MSG_REPLACE:
        if (zrc == ZOK && (size_t)m->created_bytes > strlen(m->data)) {
            memcpy(m->created, m->data, strlen(m->data) + 1);
        }
        m->done.nothing(zrc, m->done_arg);
        break;
    case MSG_DELETE:
        m->done.nothing(zrc, m->done_arg);
        break;
    case MSG_SET:
    case MSG_EXISTS:
        m->done.stat(zrc, stat, m->done_arg);
        break;
    case MSG_GET:
        m->done.data(zrc, m->data, (int)m->length, stat, m->done_arg);
        break;
    case MSG_CHILDREN:
        m->done.strings(zrc, zrc == ZOK ? &names : NULL, m->done_arg);
        break;
    case MSG_CONNECT:
    case MSG_CLOSE:
    case MSG_EVENT:
    case MSG_DISCONNECT:
        break;
    }
}

/* The connection is gone. What is on the way to the server arrives all the same; an event that was not heard is told
 * after the reconnect. */
static void drop_messages(struct _zhandle *h, int zrc)
{
    list_for_each (it, &h->messages) {
        struct message *m = LIST_ENTRY(it, struct message, link);
        struct zk_session *session = zk_session_find(h->server, m->session_id);
        complete(m, zrc);
        list_remove(&m->link);
        m->handle = NULL;
        if (m->place == GOING_UP) {
            list_push_back(&h->server->alone, &m->link);
        } else if (m->kind == MSG_EVENT && session) {
            loop_timer_stop(&m->timer);
            list_push_back(&session->events, &m->link);
        } else {
            zk_message_free(m);
        }
    }
}

static void tell_session(struct _zhandle *h)
{
    h->watcher(h, ZOO_SESSION_EVENT, h->state, "", h->context);
}

/* ---- connecting ---- */

void zk_leave_session(struct _zhandle *h)
{
    struct zk_session *session = zk_session_find(h->server, h->attached);
    if (session) {
        session->client = NULL;
    }
    h->attached = 0;
}

static void disconnect(struct _zhandle *h)
{
    loop_timer_stop(&h->silence);
    zk_leave_session(h);
    h->state = ZOO_CONNECTING_STATE;
    drop_messages(h, ZCONNECTIONLOSS);
    loop_timer_start(&h->connect, 0);
    tell_session(h);
}

/* Also gives up the try before, with the calls that waited for it. */
static void connect_fired(struct loop_timer *t)
{
    struct _zhandle *h = CONTAINER_OF(t, struct _zhandle, connect);
    thread_set_role(THREAD_ZK, NULL);
    drop_messages(h, ZCONNECTIONLOSS);
    h->connection++;
    if (h->server->is_stopped) {
        loop_timer_start(t, REFUSED_RETRY_MS);
        return;
    }
    struct message *m = zk_message_new(h->server, MSG_CONNECT);
    m->length = (size_t)h->wish_ms;
    send_up(h, m);
    loop_timer_start(t, (h->recv_timeout > 0 ? h->recv_timeout : h->wish_ms) / 3);
}

static int64_t patience_ms(const struct _zhandle *h)
{
    return h->recv_timeout * 2 / 3;
}

static void silence_fired(struct loop_timer *t)
{
    thread_set_role(THREAD_ZK, NULL);
    disconnect(CONTAINER_OF(t, struct _zhandle, silence));
}

static void heard(struct _zhandle *h)
{
    h->heard_at = clock_mono_ms();
    loop_timer_start(&h->silence, patience_ms(h));
}

/* The answer to MSG_CONNECT: a session, or that it is over. */
static void connected(struct _zhandle *h, const struct message *m)
{
    loop_timer_stop(&h->connect);
    if (m->zrc != ZOK) {
        h->state = ZOO_EXPIRED_SESSION_STATE;
        drop_messages(h, ZSESSIONEXPIRED);
        tell_session(h);
        return;
    }
    h->state = ZOO_CONNECTED_STATE;
    h->id.client_id = m->session_id;
    h->recv_timeout = m->version;
    heard(h);
    list_for_each (it, &h->messages) { /* asked for while there was no connection */
        struct message *waiting = LIST_ENTRY(it, struct message, link);
        waiting->session_id = h->id.client_id;
        waiting->connection = h->connection;
    }
    zk_wire_changed(h);
    tell_session(h);
}

static void take_answer(struct _zhandle *h, struct message *m)
{
    heard(h);
    if (m->kind == MSG_EVENT) {
        m->watcher(h, m->zrc, h->state, m->path, m->watcher_ctx);
    } else {
        complete(m, m->zrc);
    }
}

/* After a pause of the process the library looks at its clock first: what came meanwhile is not read any more. */
static bool is_too_late(const struct _zhandle *h)
{
    return h->state == ZOO_CONNECTED_STATE &&
           mono_age(clock_mono_ms(), h->heard_at) > patience_ms(h);
}

static void came_down(struct loop_timer *t)
{
    struct message *m = CONTAINER_OF(t, struct message, timer);
    struct _zhandle *h = m->handle;
    thread_set_role(THREAD_ZK, NULL);
    if (m->connection != h->connection) {
        zk_message_free(m);
        return;
    }
    if (is_too_late(h) || m->kind == MSG_DISCONNECT) {
        disconnect(h);
        return;
    }
    list_remove(&m->link);
    if (m->kind == MSG_CONNECT) {
        connected(h, m);
    } else {
        take_answer(h, m);
    }
    zk_message_free(m);
}

/* ---- zookeeper.h: the handle ---- */

zhandle_t *zookeeper_init2(const char *host, watcher_fn fn, int recv_timeout,
                           const clientid_t *clientid, void *context, int flags,
                           log_callback_fn log_callback)
{
    const struct zk_handle_ctx *ctx = context;
    struct fake_zk_server *s = zk_server_find(host);
    xp_check(s != NULL && clientid == NULL && flags == 0);
    (void)log_callback;
    struct _zhandle *h = xcalloc(1, sizeof(*h));
    h->server = s;
    h->loop = ctx->port->loop;
    h->watcher = fn;
    h->context = context;
    h->wire = zk_link_of(ctx->port);
    h->state = ZOO_CONNECTING_STATE;
    h->wish_ms = recv_timeout;
    h->last_up = h->last_down = MONO_NEVER;
    list_init(&h->messages);
    list_push_back(&s->handles, &h->link);
    loop_timer_init(&h->connect, h->loop, connect_fired);
    loop_timer_init(&h->silence, h->loop, silence_fired);
    loop_timer_start(&h->connect, 0);
    return h;
}

int zookeeper_close(zhandle_t *h)
{
    bool is_told =
        h->state == ZOO_CONNECTED_STATE && goes_up(h->wire) && !fake_loop_is_crashed(h->loop);
    loop_timer_stop(&h->connect);
    loop_timer_stop(&h->silence);
    zk_leave_session(h);
    drop_messages(h, ZCLOSING);
    if (is_told) {
        struct message *m = zk_message_new(h->server, MSG_CLOSE);
        send_up(h, m);
        list_remove(&m->link);
        m->handle = NULL;
        list_push_back(&h->server->alone, &m->link);
    }
    list_remove(&h->link);
    free(h);
    return ZOK;
}

int zoo_state(zhandle_t *h)
{
    return h->state;
}

int zoo_recv_timeout(zhandle_t *h)
{
    return h->recv_timeout;
}

const clientid_t *zoo_client_id(zhandle_t *h)
{
    return &h->id;
}

const void *zoo_get_context(zhandle_t *h)
{
    return h->context;
}

/* ---- zookeeper.h: calls ---- */

static struct message *request(zhandle_t *h, enum message_kind kind, const char *path,
                               const void *done_arg)
{
    struct message *m = zk_message_new(h->server, kind);
    m->path = xstrdup(path);
    m->done_arg = done_arg;
    return m;
}

static void carry(struct message *m, const char *data, int length, int version)
{
    size_t n = length > 0 ? (size_t)length : 0;
    m->data = xstrndup(data ? data : "", n);
    m->length = n;
    m->version = version;
}

static int send_request(zhandle_t *h, struct message *m)
{
    if (h->state == ZOO_EXPIRED_SESSION_STATE) {
        zk_message_free(m);
        return ZINVALIDSTATE;
    }
    send_up(h, m);
    return ZOK;
}

int zoo_async(zhandle_t *h, const char *path, string_completion_t done, const void *arg)
{
    struct message *m = request(h, MSG_SYNC, path, arg);
    m->done.string = done;
    carry(m, path, (int)strlen(path), 0);
    return send_request(h, m);
}

int zoo_acreate(zhandle_t *h, const char *path, const char *value, int length,
                const struct ACL_vector *acl, int mode, string_completion_t done, const void *arg)
{
    struct message *m = request(h, MSG_CREATE, path, arg);
    (void)acl;
    m->done.string = done;
    m->flags = mode;
    carry(m, value, length, 0);
    return send_request(h, m);
}

/* The only transaction of the product: a node is deleted and made anew. */
int zoo_amulti(zhandle_t *h, int count, const zoo_op_t *ops, zoo_op_result_t *results,
               void_completion_t done, const void *arg)
{
    xp_check(count == 2 && text_eq(ops[0].delete_op.path, ops[1].create_op.path));
    (void)results;
    struct message *m = request(h, MSG_REPLACE, ops[1].create_op.path, arg);
    m->done.nothing = done;
    m->flags = ops[1].create_op.flags;
    m->created = ops[1].create_op.buf;
    m->created_bytes = ops[1].create_op.buflen;
    carry(m, ops[1].create_op.data, ops[1].create_op.datalen, ops[0].delete_op.version);
    return send_request(h, m);
}

int zoo_aset(zhandle_t *h, const char *path, const char *value, int length, int version,
             stat_completion_t done, const void *arg)
{
    struct message *m = request(h, MSG_SET, path, arg);
    m->done.stat = done;
    carry(m, value, length, version);
    return send_request(h, m);
}

int zoo_adelete(zhandle_t *h, const char *path, int version, void_completion_t done,
                const void *arg)
{
    struct message *m = request(h, MSG_DELETE, path, arg);
    m->done.nothing = done;
    m->version = version;
    return send_request(h, m);
}

static struct message *watched(struct message *m, watcher_fn watcher, void *ctx)
{
    m->watcher = watcher;
    m->watcher_ctx = ctx;
    return m;
}

int zoo_awget(zhandle_t *h, const char *path, watcher_fn watcher, void *ctx, data_completion_t done,
              const void *arg)
{
    struct message *m = watched(request(h, MSG_GET, path, arg), watcher, ctx);
    m->done.data = done;
    return send_request(h, m);
}

int zoo_awexists(zhandle_t *h, const char *path, watcher_fn watcher, void *ctx,
                 stat_completion_t done, const void *arg)
{
    struct message *m = watched(request(h, MSG_EXISTS, path, arg), watcher, ctx);
    m->done.stat = done;
    return send_request(h, m);
}

int zoo_awget_children(zhandle_t *h, const char *path, watcher_fn watcher, void *ctx,
                       strings_completion_t done, const void *arg)
{
    struct message *m = watched(request(h, MSG_CHILDREN, path, arg), watcher, ctx);
    m->done.strings = done;
    return send_request(h, m);
}
