/* fake_zk_server.c - the server of the simulated ZooKeeper: sessions, watches, requests; and the knobs of fake_zk.h. */
#include <stdio.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/base/thread.h"
#include "tests/sim/fake_loop.h"
#include "tests/sim/fake_trace.h"
#include "tests/sim/fake_zk_wire.h"

#include "shared/base/banned.h"

#define TIMEOUT_MIN_MS 1000 /* as of a server with tickTime 500 and maxSessionTimeout 120 s */
#define TIMEOUT_MAX_MS 120000

struct server_watch {
    struct list of_path;
    struct list of_session;
    struct zk_session *session;
    watcher_fn fn;
    void *ctx;
};

struct watch_list {
    char *path;
    struct list watches;
};

/* How a client's link is set, for the handles that it will have, too. */
struct knob {
    struct list link;
    struct zk_port *port; /* counted, so that its address is not used again; NULL: by loop */
    uint64_t loop_id;
    enum fake_zk_link wire;
};

static struct list servers = { &servers, &servers };
static struct list knobs = { &knobs, &knobs };

struct fake_zk_server *zk_server_find(const char *hosts)
{
    list_for_each (it, &servers) {
        struct fake_zk_server *s = LIST_ENTRY(it, struct fake_zk_server, link);
        if (text_eq(s->hosts, hosts)) {
            return s;
        }
    }
    return NULL;
}

struct zk_session *zk_session_find(const struct fake_zk_server *s, int64_t id)
{
    return map_get_n(&s->sessions, (uint64_t)id);
}

/* ---- watches ---- */

static void watch_free(struct server_watch *w)
{
    list_remove(&w->of_path);
    list_remove(&w->of_session);
    free(w);
}

static void watch_set(struct map *by_path, struct zk_session *session, const struct message *m)
{
    struct watch_list *list = map_get(by_path, m->path);
    if (!list) {
        list = xcalloc(1, sizeof(*list));
        list->path = xstrdup(m->path);
        list_init(&list->watches);
        (void)map_put(by_path, m->path, list);
    }
    list_for_each (it, &list->watches) {
        const struct server_watch *w = LIST_ENTRY(it, struct server_watch, of_path);
        if (w->session == session && w->fn == m->watcher && w->ctx == m->watcher_ctx) {
            return;
        }
    }
    struct server_watch *w = xcalloc(1, sizeof(*w));
    *w = (struct server_watch){ .session = session, .fn = m->watcher, .ctx = m->watcher_ctx };
    list_push_back(&list->watches, &w->of_path);
    list_push_back(&session->watches, &w->of_session);
}

static void watch_fire(struct server_watch *w, const char *path, int event)
{
    struct zk_session *session = w->session;
    struct message *m = zk_message_new(session->server, MSG_EVENT);
    m->session_id = session->id;
    m->path = xstrdup(path);
    m->watcher = w->fn;
    m->watcher_ctx = w->ctx;
    m->zrc = event;
    watch_free(w);
    if (session->client) {
        zk_send_down(session->client, m);
    } else {
        list_push_back(&session->events, &m->link);
    }
}

static void trigger(struct map *by_path, const char *path, int event)
{
    struct watch_list *list = map_get(by_path, path);
    if (list) {
        list_for_each (it, &list->watches) {
            watch_fire(LIST_ENTRY(it, struct server_watch, of_path), path, event);
        }
    }
}

static void tree_changed(const char *path, enum zk_change change, void *arg)
{
    struct fake_zk_server *s = arg;
    static const char *const names[] = { "zk.created", "zk.changed", "zk.deleted" };
    const int events[] = { ZOO_CREATED_EVENT, ZOO_CHANGED_EVENT, ZOO_DELETED_EVENT };
    const struct zk_node *n = zk_tree_find(&s->tree, path);
    fake_trace(names[change], path, n ? n->data : "", n ? n->length : 0);
    trigger(&s->data_watches, path, events[change]);
    if (change != ZK_NODE_CHANGED) {
        size_t length = (size_t)(strrchr(path, '/') - path);
        AUTO_FREE char *parent = length ? xstrndup(path, length) : xstrdup("/");
        trigger(&s->child_watches, parent, ZOO_CHILD_EVENT);
    }
    if (change == ZK_NODE_DELETED) {
        trigger(&s->child_watches, path, ZOO_DELETED_EVENT);
    }
    if (s->changed) {
        s->changed(path, s->actor, s->changed_arg);
    }
}

/* ---- sessions ---- */

static void session_free(struct zk_session *session)
{
    loop_timer_stop(&session->expiry);
    for (struct list *l; (l = list_pop_front(&session->watches));) {
        watch_free(LIST_ENTRY(l, struct server_watch, of_session));
    }
    for (struct list *l; (l = list_pop_front(&session->events));) {
        zk_message_free(LIST_ENTRY(l, struct message, link));
    }
    free(session);
}

/* Its ephemeral nodes go; a client that is connected is cut off, and told when it comes back. */
static void session_end(struct zk_session *session)
{
    struct fake_zk_server *s = session->server;
    struct _zhandle *client = session->client;
    char id[24];
    (void)snprintf(id, sizeof(id), "%lld", (long long)session->id);
    fake_trace_text("zk.session_over", id, "");
    (void)map_remove_n(&s->sessions, (uint64_t)session->id);
    while (!list_is_empty(&session->ephemerals)) {
        const struct zk_node *n = LIST_ENTRY(session->ephemerals.next, struct zk_node, owned);
        xp_check(zk_tree_delete(&s->tree, n->path, -1) == ZOK);
    }
    session_free(session);
    if (client) {
        zk_send_down(client, zk_message_new(s, MSG_DISCONNECT));
    }
}

static void expiry_fired(struct loop_timer *t)
{
    session_end(CONTAINER_OF(t, struct zk_session, expiry));
}

static void session_touch(struct zk_session *session)
{
    loop_timer_start(&session->expiry, session->timeout_ms);
}

static struct zk_session *session_new(struct fake_zk_server *s, int64_t wish_ms)
{
    struct zk_session *session = xcalloc(1, sizeof(*session));
    session->server = s;
    session->id = ++s->last_session_id;
    session->timeout_ms = wish_ms < TIMEOUT_MIN_MS   ? TIMEOUT_MIN_MS
                          : wish_ms > TIMEOUT_MAX_MS ? TIMEOUT_MAX_MS
                                                     : wish_ms;
    list_init(&session->ephemerals);
    list_init(&session->watches);
    list_init(&session->events);
    loop_timer_init(&session->expiry, s->loop, expiry_fired);
    (void)map_put_n(&s->sessions, (uint64_t)session->id, session);
    return session;
}

static void take_connect(struct message *m)
{
    struct fake_zk_server *s = m->server;
    struct zk_session *session =
        m->session_id ? zk_session_find(s, m->session_id) : session_new(s, (int64_t)m->length);
    if (session) {
        session_touch(session);
    }
    if (!m->handle) {
        zk_message_free(m);
        return;
    }
    struct _zhandle *h = m->handle;
    m->zrc = session ? ZOK : ZSESSIONEXPIRED;
    m->session_id = session ? session->id : 0;
    m->version = session ? (int)session->timeout_ms : 0;
    zk_send_down(h, m);
    zk_leave_session(h); /* a session whose answer was lost */
    if (session) {
        session->client = h;
        h->attached = session->id;
        struct list *link;
        while ((link = list_pop_front(&session->events)) != NULL) {
            zk_send_down(h, LIST_ENTRY(link, struct message, link));
        }
    }
}

/* ---- requests ---- */

static void keep_path(struct message *m, const struct zk_node *n)
{
    free(m->data);
    m->data = xstrdup(n->path);
    m->length = strlen(n->path);
}

static int create(struct zk_session *session, struct message *m)
{
    bool is_ephemeral = (m->flags & ZOO_EPHEMERAL) != 0;
    struct zk_node *n;
    int zrc = zk_tree_create(&session->server->tree, m->path, m->data, m->length,
                             (m->flags & ZOO_SEQUENCE) != 0, is_ephemeral ? session->id : 0, &n);
    if (zrc == ZOK) {
        if (is_ephemeral) {
            list_push_back(&session->ephemerals, &n->owned);
        }
        keep_path(m, n);
    }
    return zrc;
}

static int replace(struct zk_session *session, struct message *m)
{
    int zrc = zk_tree_delete(&session->server->tree, m->path, m->version);
    return zrc == ZOK ? create(session, m) : zrc;
}

static int set(struct zk_session *session, struct message *m)
{
    struct zk_tree *t = &session->server->tree;
    int zrc = zk_tree_set(t, m->path, m->data, m->length, m->version);
    if (zrc == ZOK) {
        m->stat = zk_tree_find(t, m->path)->stat;
    }
    return zrc;
}

static int look_at(struct zk_session *session, struct message *m)
{
    struct fake_zk_server *s = session->server;
    const struct zk_node *n = zk_tree_find(&s->tree, m->path);
    bool is_children = m->kind == MSG_CHILDREN;
    if (m->watcher && (n || m->kind == MSG_EXISTS)) {
        watch_set(is_children ? &s->child_watches : &s->data_watches, session, m);
    }
    if (!n) {
        return ZNONODE;
    }
    m->stat = n->stat;
    if (m->kind == MSG_GET) {
        m->data = xstrndup(n->data, n->length);
        m->length = n->length;
    } else if (is_children) {
        m->names = xcalloc((size_t)n->stat.numChildren + 1, sizeof(*m->names));
        list_for_each (it, &n->children) {
            const struct zk_node *child = LIST_ENTRY(it, struct zk_node, sibling);
            m->names[m->name_count++] = xstrdup(strrchr(child->path, '/') + 1);
        }
    }
    return ZOK;
}

static int carry_out(struct zk_session *session, struct message *m)
{
    switch (m->kind) {
    case MSG_CREATE:
        return create(session, m);
    case MSG_REPLACE:
        return replace(session, m);
    case MSG_DELETE:
        return zk_tree_delete(&session->server->tree, m->path, m->version);
    case MSG_SET:
        return set(session, m);
    case MSG_GET:
    case MSG_EXISTS:
    case MSG_CHILDREN:
        return look_at(session, m);
    case MSG_SYNC:
    case MSG_CONNECT:
    case MSG_CLOSE:
    case MSG_EVENT:
    case MSG_DISCONNECT:
        break;
    }
    return ZOK;
}

/* A session that is over has no connection any more: its client waits until it notices. */
static void lose(struct message *m)
{
    if (m->handle) {
        m->place = NOWHERE;
    } else {
        zk_message_free(m);
    }
}

void zk_server_take(struct message *m)
{
    struct fake_zk_server *s = m->server;
    if (s->is_stopped || m->server_run != s->run) {
        lose(m);
        return;
    }
    if (m->kind == MSG_CONNECT) {
        take_connect(m);
        return;
    }
    struct zk_session *session = zk_session_find(s, m->session_id);
    if (!session) {
        lose(m);
        return;
    }
    if (m->kind == MSG_CLOSE) {
        session_end(session);
        zk_message_free(m);
        return;
    }
    session_touch(session);
    s->actor = session->id;
    m->zrc = carry_out(session, m);
    s->actor = 0;
    if (m->handle) {
        zk_send_down(m->handle, m);
    } else {
        zk_message_free(m);
    }
}

/* ---- knobs ---- */

struct fake_zk_server *fake_zk_server_new(struct loop *loop, const char *hosts)
{
    struct fake_zk_server *s = xcalloc(1, sizeof(*s));
    s->loop = loop;
    s->hosts = xstrdup(hosts);
    s->latency_ms = 1;
    s->sessions = MAP_INIT(MAP_NUMBER);
    s->data_watches = MAP_INIT(MAP_TEXT);
    s->child_watches = MAP_INIT(MAP_TEXT);
    list_init(&s->handles);
    list_init(&s->alone);
    list_push_back(&servers, &s->link);
    zk_tree_init(&s->tree, tree_changed, s);
    return s;
}

static void knob_free(struct knob *k)
{
    if (k->port) {
        zk_port_unref(k->port);
    }
    list_remove(&k->link);
    free(k);
}

static void knobs_free(void)
{
    for (struct list *l; (l = list_pop_front(&knobs));) {
        knob_free(LIST_ENTRY(l, struct knob, link));
    }
}

static void watch_lists_free(struct map *by_path)
{
    size_t at = 0;
    for (const struct map_slot *slot; (slot = map_next(by_path, &at));) {
        struct watch_list *list = slot->value;
        free(list->path);
        free(list);
    }
    map_done(by_path);
}

void fake_zk_server_free(struct fake_zk_server *s)
{
    xp_check(list_is_empty(&s->handles));
    size_t at = 0;
    for (const struct map_slot *slot; (slot = map_next(&s->sessions, &at));) {
        session_free(slot->value);
    }
    map_done(&s->sessions);
    for (struct list *l; (l = list_pop_front(&s->alone));) {
        zk_message_free(LIST_ENTRY(l, struct message, link));
    }
    watch_lists_free(&s->data_watches);
    watch_lists_free(&s->child_watches);
    zk_tree_done(&s->tree);
    list_remove(&s->link);
    if (list_is_empty(&servers)) {
        knobs_free();
    }
    free(s->hosts);
    free(s);
}

void fake_zk_set_latency(struct fake_zk_server *s, int64_t latency_ms)
{
    s->latency_ms = latency_ms;
}

static struct knob *knob_find(const struct zk_port *port, uint64_t loop_id)
{
    list_for_each (it, &knobs) {
        struct knob *k = LIST_ENTRY(it, struct knob, link);
        if (k->port == port && k->loop_id == loop_id) {
            return k;
        }
    }
    return NULL;
}

enum fake_zk_link zk_link_of(const struct zk_port *port)
{
    const struct knob *k = knob_find(port, 0);
    k = k ? k : knob_find(NULL, fake_loop_id(port->loop));
    return k ? k->wire : FAKE_ZK_OPEN;
}

static void turn(struct zk_port *port, uint64_t loop_id, enum fake_zk_link wire)
{
    struct knob *k = knob_find(port, loop_id);
    if (!k) {
        k = xcalloc(1, sizeof(*k));
        k->port = port ? zk_port_ref(port) : NULL;
        k->loop_id = loop_id;
        list_push_back(&knobs, &k->link);
    }
    k->wire = wire;
    list_for_each (at, &servers) {
        struct fake_zk_server *s = LIST_ENTRY(at, struct fake_zk_server, link);
        list_for_each (it, &s->handles) {
            struct _zhandle *h = LIST_ENTRY(it, struct _zhandle, link);
            h->wire = zk_link_of(((const struct zk_handle_ctx *)h->context)->port);
            zk_wire_changed(h);
        }
    }
}

void fake_zk_set_link(struct zk *zk, enum fake_zk_link wire)
{
    turn(zk->port, 0, wire);
}

void fake_zk_set_link_of(const struct loop *loop, enum fake_zk_link wire)
{
    turn(NULL, fake_loop_id(loop), wire);
}

void fake_zk_cut(struct zk *zk, bool is_cut)
{
    fake_zk_set_link(zk, is_cut ? FAKE_ZK_CUT : FAKE_ZK_OPEN);
}

/* All sessions in order of their numbers, so that a run repeats. */
static void each_session(struct fake_zk_server *s, void (*fn)(struct zk_session *))
{
    size_t count;
    AUTO_FREE void **all = map_sorted(&s->sessions, &count);
    for (size_t i = 0; i < count; i++) {
        fn(all[i]);
    }
}

static void session_cut(struct zk_session *session)
{
    struct _zhandle *client = session->client;
    loop_timer_stop(&session->expiry);
    if (client) {
        zk_leave_session(client);
        zk_send_down(client, zk_message_new(session->server, MSG_DISCONNECT));
    }
}

void fake_zk_stop(struct fake_zk_server *s, bool is_stopped)
{
    if (s->is_stopped == is_stopped) {
        return;
    }
    s->is_stopped = is_stopped;
    if (is_stopped) {
        each_session(s, session_cut);
    } else {
        s->run++;
        each_session(s, session_touch);
    }
}

void fake_zk_expire(struct zk *zk)
{
    struct _zhandle *h = zk->handle;
    struct zk_session *session = h ? zk_session_find(h->server, h->id.client_id) : NULL;
    if (session) {
        session_end(session);
    }
}

size_t fake_zk_node_count(const struct fake_zk_server *s)
{
    return map_count(&s->tree.nodes);
}

void fake_zk_foreign_set(struct fake_zk_server *s, const char *path, const char *data)
{
    struct zk_node *n;
    if (zk_tree_set(&s->tree, path, data, strlen(data), -1) == ZNONODE) {
        for (size_t end = 1; path[end - 1]; end++) {
            bool is_last = !path[end];
            if (is_last || path[end] == '/') {
                AUTO_FREE char *part = xstrndup(path, end);
                (void)zk_tree_create(&s->tree, part, is_last ? data : "",
                                     is_last ? strlen(data) : 0, false, 0, &n);
            }
        }
    }
}

void fake_zk_foreign_delete(struct fake_zk_server *s, const char *path)
{
    struct zk_node *n = zk_tree_find(&s->tree, path);
    while (n && !list_is_empty(&n->children)) {
        fake_zk_foreign_delete(s, LIST_ENTRY(n->children.next, struct zk_node, sibling)->path);
    }
    (void)zk_tree_delete(&s->tree, path, -1);
}

const char *fake_zk_node(const struct fake_zk_server *s, const char *path)
{
    const struct zk_node *n = zk_tree_find(&s->tree, path);
    return n ? n->data : NULL;
}

const char *fake_zk_first_child(const struct fake_zk_server *s, const char *parent)
{
    const struct zk_node *n = zk_tree_first_child(&s->tree, parent);
    return n ? n->path : NULL;
}

int64_t fake_zk_first_owner(const struct fake_zk_server *s, const char *parent)
{
    const struct zk_node *n = zk_tree_first_child(&s->tree, parent);
    return n ? n->stat.ephemeralOwner : 0;
}

void fake_zk_watch(struct fake_zk_server *s, fake_zk_changed_fn *changed, void *arg)
{
    s->changed = changed;
    s->changed_arg = arg;
}
