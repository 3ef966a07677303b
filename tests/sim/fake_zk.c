/* fake_zk.c - see fake_zk.h. A message is a call with a timer: first on the server's loop, then on its client's. */
#include "tests/sim/fake_zk.h"

#include <stdio.h>
#include <string.h>

#include "shared/base/map.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "tests/sim/fake_loop.h"

#include "shared/base/banned.h"

#define REOPEN_MS  500
#define RECHECK_MS 50

struct node {
    char *path;
    char *data;
    size_t length;
    struct zk_stat stat;
    int next_sequence;
};

struct fake_zk_server {
    struct list link; /* of servers */
    struct loop *loop;
    char *hosts;
    int64_t latency_ms;
    int64_t zxid;
    int64_t last_session_id;
    struct map nodes;     /* path -> struct node */
    struct list sessions; /* struct zk.server_link: clients with a live session */
    struct list orphans;  /* sessions of crashed processes */
    bool is_stopped;
    fake_zk_changed_fn *changed;
    void *changed_arg;
};

struct orphan {
    struct list link;
    struct fake_zk_server *server;
    int64_t session_id;
    int64_t timeout_ms;
    struct loop_timer expiry;
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

struct call {
    struct list link;
    struct loop_timer timer; /* on its way to the server, then back */
    struct zk *zk;
    enum call_kind kind;
    bool is_back;
    bool is_abandoned;
    mono_ms sent_at;
    int64_t session_id;
    char *path;
    char *data; /* sent, then received */
    size_t length;
    int flags;
    int32_t version;
    zk_watch_fn *watch;
    union {
        zk_done_fn *done;
        zk_path_fn *path;
        zk_data_fn *data;
        zk_children_fn *children;
    } fn;
    void *arg;
    uint64_t token;
    int rc;
    struct zk_stat stat;
    char **names;
    size_t name_count;
};

struct watch {
    struct list link;
    struct loop_timer timer; /* running: the event is on its way */
    struct zk *zk;
    enum call_kind kind;
    char *path;
    uint32_t hash;     /* of the path: a member has hundreds of watches */
    bool is_triggered; /* the event is on its way, or waits until one can pass */
    zk_watch_fn *fn;
    void *arg;
};

struct zk {
    struct loop *loop;
    struct zk_options options;
    struct fake_zk_server *server;
    struct list link; /* of clients */
    struct list server_link;
    enum zk_state state;
    enum fake_zk_link way;
    mono_ms heard_at;         /* by the server */
    int64_t session_id;       /* as the client believes; 0: none */
    int64_t ready_session_id; /* the last one that was ready */
    uint64_t epoch;
    mono_ms lease_end;
    struct loop_timer ping_timer;
    struct loop_timer lease_timer;
    struct loop_timer open_timer;
    struct loop_timer expiry_timer; /* the server's */
    struct list calls;
    size_t call_count;
    struct list watches; /* set, or with an event on its way */
    struct list stale;   /* of the session before */
};

static struct list servers = { &servers, &servers };
static struct list clients = { &clients, &clients };

/* What the client sends arrives at the server; and the other way. */
static bool is_up_open(const struct zk *zk)
{
    return !zk->server->is_stopped && (zk->way == FAKE_ZK_OPEN || zk->way == FAKE_ZK_DEAF);
}

static bool is_down_open(const struct zk *zk)
{
    return !zk->server->is_stopped && (zk->way == FAKE_ZK_OPEN || zk->way == FAKE_ZK_DUMB);
}

const char *zk_state_text(enum zk_state state)
{
    static const char *const texts[] = { "connecting", "ready", "suspended", "lost" };
    return texts[state];
}

/* ---- the tree ---- */

static void node_free(struct node *n)
{
    free(n->path);
    free(n->data);
    free(n);
}

static char *parent_of(const char *path)
{
    size_t length = (size_t)(strrchr(path, '/') - path);
    return length == 0 ? xstrdup("/") : xstrndup(path, length);
}

static void watch_event(struct loop_timer *t);

static uint32_t hash_of(const char *path)
{
    uint32_t hash = 2166136261U;
    for (const char *p = path; *p; p++) {
        hash = (hash ^ (unsigned char)*p) * 16777619U;
    }
    return hash;
}

static void tell_change(struct fake_zk_server *s, const char *path, int64_t session)
{
    if (s->changed) {
        s->changed(path, session, s->changed_arg);
    }
}

static void trigger(struct fake_zk_server *s, const char *path, bool about_children)
{
    uint32_t hash = hash_of(path);
    list_for_each (it, &s->sessions) {
        struct zk *zk = CONTAINER_OF(it, struct zk, server_link);
        list_for_each (at, &zk->watches) {
            struct watch *w = LIST_ENTRY(at, struct watch, link);
            if (w->hash == hash && (w->kind == CALL_CHILDREN) == about_children &&
                text_eq(w->path, path) && !w->is_triggered) {
                w->is_triggered = true;
                loop_timer_start(&w->timer, s->latency_ms);
            }
        }
    }
}

static void trigger_parent(struct fake_zk_server *s, const char *path)
{
    AUTO_FREE char *parent = parent_of(path);
    trigger(s, parent, true);
}

static void node_set(struct node *n, const char *data, size_t length)
{
    free(n->data);
    n->data = xstrndup(data ? data : "", length);
    n->length = length;
}

static int tree_create(struct fake_zk_server *s, struct call *c, int64_t owner)
{
    AUTO_FREE char *parent_path = parent_of(c->path);
    struct node *parent = map_get(&s->nodes, parent_path);
    if (!parent) {
        return XP_NOT_FOUND;
    }
    if (c->flags & ZK_SEQUENTIAL) {
        char *name = xasprintf("%s%010d", c->path, parent->next_sequence++);
        free(c->path);
        c->path = name;
    }
    if (map_get(&s->nodes, c->path)) {
        return XP_CONFLICT;
    }
    struct node *n = xcalloc(1, sizeof(*n));
    n->path = xstrdup(c->path);
    node_set(n, c->data, c->length);
    n->stat.czxid = n->stat.mzxid = ++s->zxid;
    n->stat.ephemeral_owner = c->flags & ZK_EPHEMERAL ? owner : 0;
    map_put(&s->nodes, n->path, n);
    trigger(s, n->path, false);
    trigger(s, parent_path, true);
    tell_change(s, n->path, c->session_id);
    return 0;
}

static bool has_children(const struct fake_zk_server *s, const char *path)
{
    AUTO_FREE char *prefix = xasprintf("%s/", path);
    size_t at = 0;
    const struct map_slot *slot;
    while ((slot = map_next(&s->nodes, &at))) {
        if (text_has_prefix(((struct node *)slot->value)->path, prefix)) {
            return true;
        }
    }
    return false;
}

static int tree_delete(struct fake_zk_server *s, const char *path, int32_t version, int64_t session)
{
    struct node *n = map_get(&s->nodes, path);
    if (!n) {
        return XP_NOT_FOUND;
    }
    if ((version != -1 && version != n->stat.version) || has_children(s, path)) {
        return XP_CONFLICT;
    }
    map_remove(&s->nodes, path);
    s->zxid++;
    trigger(s, n->path, false);
    trigger(s, n->path, true);
    trigger_parent(s, n->path);
    tell_change(s, n->path, session);
    node_free(n);
    return 0;
}

static int tree_ensure(struct fake_zk_server *s, struct call *c)
{
    for (size_t end = 1; end <= strlen(c->path); end++) {
        if (c->path[end] == '/' || !c->path[end]) {
            struct call part = { .path = xstrndup(c->path, end), .session_id = c->session_id };
            (void)tree_create(s, &part, 0);
            free(part.path);
        }
    }
    return 0;
}

static int tree_set(struct fake_zk_server *s, struct call *c)
{
    struct node *n = map_get(&s->nodes, c->path);
    if (!n) {
        return XP_NOT_FOUND;
    }
    if (c->version != -1 && c->version != n->stat.version) {
        return XP_CONFLICT;
    }
    node_set(n, c->data, c->length);
    n->stat.version++;
    n->stat.mzxid = ++s->zxid;
    c->stat = n->stat;
    trigger(s, n->path, false);
    tell_change(s, n->path, c->session_id);
    return 0;
}

static int tree_read(struct fake_zk_server *s, struct call *c)
{
    struct node *n = map_get(&s->nodes, c->path);
    if (!n) {
        return XP_NOT_FOUND;
    }
    c->stat = n->stat;
    free(TAKE(c->data));
    if (c->kind == CALL_GET) {
        c->data = xstrndup(n->data, n->length);
        c->length = n->length;
    }
    return 0;
}

static int tree_children(struct fake_zk_server *s, struct call *c)
{
    if (!map_get(&s->nodes, c->path)) {
        return XP_NOT_FOUND;
    }
    size_t count = 0;
    AUTO_FREE void **all = map_sorted(&s->nodes, &count);
    AUTO_FREE char *prefix = xasprintf("%s/", text_eq(c->path, "/") ? "" : c->path);
    c->names = xcalloc(count + 1, sizeof(*c->names));
    for (size_t i = 0; i < count; i++) {
        const char *path = ((struct node *)all[i])->path;
        const char *name = text_has_prefix(path, prefix) ? path + strlen(prefix) : "";
        if (name[0] && !strchr(name, '/')) {
            c->names[c->name_count++] = xstrdup(name);
        }
    }
    return 0;
}

static int tree_replace(struct fake_zk_server *s, struct call *c, int64_t owner)
{
    int rc = tree_delete(s, c->path, c->version, c->session_id);
    c->flags = ZK_EPHEMERAL;
    return rc < 0 ? rc : tree_create(s, c, owner);
}

static int tree_apply(struct fake_zk_server *s, struct call *c)
{
    switch (c->kind) {
    case CALL_CREATE:
        return tree_create(s, c, c->session_id);
    case CALL_REPLACE:
        return tree_replace(s, c, c->session_id);
    case CALL_ENSURE:
        return tree_ensure(s, c);
    case CALL_DELETE:
        return tree_delete(s, c->path, c->version, c->session_id);
    case CALL_SET:
        return tree_set(s, c);
    case CALL_GET:
    case CALL_EXISTS:
        return tree_read(s, c);
    case CALL_CHILDREN:
        return tree_children(s, c);
    case CALL_PING:
        break;
    }
    return 0;
}

/* ---- watches ---- */

static void watch_free(struct watch *w)
{
    loop_timer_stop(&w->timer);
    list_remove(&w->link);
    free(w->path);
    free(w);
}

static void watch_fire(struct watch *w)
{
    zk_watch_fn *fn = w->fn;
    void *arg = w->arg;
    AUTO_FREE char *path = xstrdup(w->path);
    watch_free(w);
    fn(path, arg);
}

static void watch_event(struct loop_timer *t)
{
    struct watch *w = CONTAINER_OF(t, struct watch, timer);
    if (is_down_open(w->zk)) {
        watch_fire(w);
    }
}

static void watch_set(const struct call *c)
{
    uint32_t hash = hash_of(c->path);
    list_for_each (it, &c->zk->watches) {
        struct watch *w = LIST_ENTRY(it, struct watch, link);
        if (w->hash == hash && w->kind == c->kind && w->fn == c->watch && w->arg == c->arg &&
            text_eq(w->path, c->path) && !w->is_triggered) {
            return;
        }
    }
    struct watch *w = xcalloc(1, sizeof(*w));
    w->zk = c->zk;
    w->kind = c->kind;
    w->path = xstrdup(c->path);
    w->hash = hash;
    w->fn = c->watch;
    w->arg = c->arg;
    loop_timer_init(&w->timer, c->zk->loop, watch_event);
    list_push_back(&c->zk->watches, &w->link);
}

/* ---- session, on the server ---- */

static void delete_ephemerals(struct fake_zk_server *s, int64_t session_id)
{
    size_t count = 0;
    AUTO_FREE void **all = map_sorted(&s->nodes, &count);
    for (size_t i = 0; i < count; i++) {
        struct node *n = all[i];
        if (n->stat.ephemeral_owner == session_id) {
            (void)tree_delete(s, n->path, -1, 0);
        }
    }
}

static void session_end(struct zk *zk)
{
    if (list_is_linked(&zk->server_link)) {
        list_remove(&zk->server_link);
        loop_timer_stop(&zk->expiry_timer);
        delete_ephemerals(zk->server, zk->session_id);
    }
}

static void orphan_end(struct orphan *o)
{
    loop_timer_stop(&o->expiry);
    list_remove(&o->link);
    free(o);
}

static void orphan_expired(struct loop_timer *t)
{
    struct orphan *o = CONTAINER_OF(t, struct orphan, expiry);
    delete_ephemerals(o->server, o->session_id);
    orphan_end(o);
}

/* The process died: its session lives until the server has heard nothing for the time-out. */
static void session_abandon(struct zk *zk)
{
    struct fake_zk_server *s = zk->server;
    if (!list_is_linked(&zk->server_link)) {
        return;
    }
    list_remove(&zk->server_link);
    loop_timer_stop(&zk->expiry_timer);
    struct orphan *o = xcalloc(1, sizeof(*o));
    *o = (struct orphan){ .server = s,
                          .session_id = zk->session_id,
                          .timeout_ms = zk->options.session_timeout_ms };
    list_push_back(&s->orphans, &o->link);
    loop_timer_init(&o->expiry, s->loop, orphan_expired);
    if (!s->is_stopped) {
        int64_t rest_ms = zk->heard_at + o->timeout_ms - clock_mono_ms();
        loop_timer_start(&o->expiry, rest_ms > 0 ? rest_ms : 0);
    }
}

static void expiry_fired(struct loop_timer *t)
{
    session_end(CONTAINER_OF(t, struct zk, expiry_timer));
}

/* ---- session, on the client ---- */

static void call_free(struct call *c)
{
    loop_timer_stop(&c->timer);
    list_remove(&c->link);
    for (size_t i = 0; i < c->name_count; i++) {
        free(c->names[i]);
    }
    free(c->names);
    free(c->path);
    free(c->data);
    free(c);
}

static void answer(struct call *c, int rc)
{
    __typeof__(c->fn) fn = c->fn;
    c->fn.done = NULL;
    if (!fn.done) {
        return;
    }
    switch (c->kind) {
    case CALL_CREATE:
    case CALL_REPLACE:
        fn.path(rc, rc == 0 ? c->path : NULL, c->arg, c->token);
        break;
    case CALL_ENSURE:
    case CALL_DELETE:
        fn.done(rc, c->arg, c->token);
        break;
    case CALL_SET:
    case CALL_GET:
    case CALL_EXISTS:
        fn.data(rc, rc == 0 && c->kind == CALL_GET ? c->data : NULL, c->length, &c->stat, c->arg,
                c->token);
        break;
    case CALL_CHILDREN:
        fn.children(rc, (const char *const *)c->names, c->name_count, c->arg, c->token);
        break;
    case CALL_PING:
        break;
    }
}

/* TCP sends again what did not pass: in order, once something passes again. */
static void calls_resume(struct zk *zk)
{
    list_for_each (it, &zk->calls) {
        struct call *c = LIST_ENTRY(it, struct call, link);
        if (!c->is_abandoned && !loop_timer_is_running(&c->timer) &&
            (c->is_back ? is_down_open(zk) : is_up_open(zk)) && !fake_loop_is_crashed(zk->loop)) {
            loop_timer_start(&c->timer, zk->server->latency_ms);
        }
    }
    list_for_each (it, &zk->watches) {
        struct watch *w = LIST_ENTRY(it, struct watch, link);
        if (w->is_triggered && !loop_timer_is_running(&w->timer) && is_down_open(zk)) {
            loop_timer_start(&w->timer, zk->server->latency_ms);
        }
    }
}

static void calls_abandon(struct zk *zk)
{
    list_for_each (it, &zk->calls) {
        struct call *c = LIST_ENTRY(it, struct call, link);
        c->is_abandoned = true;
        answer(c, XP_UNAVAILABLE);
    }
    zk->call_count = 0;
}

static void set_state(struct zk *zk, enum zk_state state, bool is_new)
{
    if (zk->state != state) {
        zk->state = state;
        if (state == ZK_LOST || state == ZK_SUSPENDED) {
            calls_abandon(zk);
        }
        zk->options.on_session(zk, state, is_new, zk->options.arg);
    }
}

static void session_over(struct zk *zk)
{
    zk->session_id = 0;
    zk->epoch++;
    zk->lease_end = MONO_NEVER;
    loop_timer_stop(&zk->ping_timer);
    loop_timer_stop(&zk->lease_timer);
    list_for_each (it, &zk->watches) {
        struct watch *w = LIST_ENTRY(it, struct watch, link);
        loop_timer_stop(&w->timer);
        w->is_triggered = false;
        list_remove(it);
        list_push_back(&zk->stale, it);
    }
    loop_timer_start(&zk->open_timer, REOPEN_MS);
    set_state(zk, ZK_LOST, false);
    calls_abandon(zk);
}

static void contact(struct zk *zk, mono_ms sent_at)
{
    mono_ms end = sent_at + zk->options.session_timeout_ms * 2 / 3;
    zk->lease_end = end > zk->lease_end ? end : zk->lease_end;
    if (clock_mono_ms() >= zk->lease_end) {
        return;
    }
    loop_timer_start(&zk->lease_timer, zk->lease_end - clock_mono_ms());
    bool is_new = zk->ready_session_id != zk->session_id;
    zk->ready_session_id = zk->session_id;
    set_state(zk, ZK_READY, is_new);
    while (!list_is_empty(&zk->stale)) {
        watch_fire(LIST_ENTRY(zk->stale.next, struct watch, link));
    }
}

static void call_travels(struct loop_timer *t);

static struct call *call_send(struct zk *zk, enum call_kind kind, const char *path)
{
    struct call *c = xcalloc(1, sizeof(*c));
    c->zk = zk;
    c->kind = kind;
    c->path = xstrdup(path);
    c->sent_at = clock_mono_ms();
    c->session_id = zk->session_id;
    list_push_back(&zk->calls, &c->link);
    zk->call_count += kind != CALL_PING;
    loop_timer_init(&c->timer, zk->server->loop, call_travels);
    if (is_up_open(zk) && !fake_loop_is_crashed(zk->loop)) {
        loop_timer_start(&c->timer, zk->server->latency_ms);
    }
    return c;
}

static void call_arrives(struct call *c)
{
    struct zk *zk = c->zk;
    bool is_alive = list_is_linked(&zk->server_link) && zk->session_id == c->session_id;
    if (is_alive) {
        zk->heard_at = clock_mono_ms();
        loop_timer_start(&zk->expiry_timer, zk->options.session_timeout_ms);
        c->rc = tree_apply(zk->server, c);
        if (c->watch && (c->rc == 0 || (c->kind == CALL_EXISTS && c->rc == XP_NOT_FOUND))) {
            watch_set(c);
        }
    } else {
        c->rc = XP_UNAVAILABLE;
    }
    c->is_back = true;
    loop_timer_stop(&c->timer);
    loop_timer_init(&c->timer, zk->loop, call_travels);
    loop_timer_start(&c->timer, zk->server->latency_ms);
}

static void call_returns(struct call *c)
{
    struct zk *zk = c->zk;
    bool is_expired = c->rc == XP_UNAVAILABLE && c->session_id == zk->session_id;
    list_remove(&c->link);
    if (!c->is_abandoned) {
        zk->call_count -= c->kind != CALL_PING;
        if (!is_expired) {
            answer(c, c->rc);
        }
    }
    if (is_expired) {
        answer(c, XP_UNAVAILABLE);
        session_over(zk);
    } else if (c->kind == CALL_PING && c->session_id == zk->session_id) {
        contact(zk, c->sent_at);
    }
    call_free(c);
}

/* What is cut off on its way is lost; the end of the lease answers it. */
static void call_travels(struct loop_timer *t)
{
    struct call *c = CONTAINER_OF(t, struct call, timer);
    if (c->is_back && is_down_open(c->zk)) {
        call_returns(c);
    } else if (!c->is_back && is_up_open(c->zk)) {
        call_arrives(c);
    }
}

static void drop_lost_calls(struct zk *zk)
{
    list_for_each (it, &zk->calls) {
        struct call *c = LIST_ENTRY(it, struct call, link);
        if (!loop_timer_is_running(&c->timer) && (c->is_abandoned || c->kind == CALL_PING)) {
            call_free(c);
        }
    }
}

static void ping_fired(struct loop_timer *t)
{
    struct zk *zk = CONTAINER_OF(t, struct zk, ping_timer);
    drop_lost_calls(zk);
    if (zk->state == ZK_READY &&
        zk->lease_end - clock_mono_ms() < zk->options.session_timeout_ms / 4) {
        set_state(zk, ZK_SUSPENDED, false);
    }
    loop_timer_start(t, zk->options.session_timeout_ms / 6 + 1);
    call_send(zk, CALL_PING, "/");
}

static void lease_fired(struct loop_timer *t)
{
    set_state(CONTAINER_OF(t, struct zk, lease_timer), ZK_LOST, false);
}

static void open_fired(struct loop_timer *t)
{
    struct zk *zk = CONTAINER_OF(t, struct zk, open_timer);
    set_state(zk, ZK_CONNECTING, false);
    if (!is_up_open(zk) || !is_down_open(zk)) {
        loop_timer_start(t, RECHECK_MS);
        return;
    }
    zk->session_id = ++zk->server->last_session_id;
    zk->epoch++;
    zk->heard_at = clock_mono_ms();
    list_push_back(&zk->server->sessions, &zk->server_link);
    loop_timer_start(&zk->expiry_timer, zk->options.session_timeout_ms);
    loop_timer_start(&zk->ping_timer, 0);
}

/* ---- zk.h ---- */

struct zk *zk_new(struct loop *loop, const struct zk_options *options)
{
    struct zk *zk = xcalloc(1, sizeof(*zk));
    zk->loop = loop;
    zk->options = *options;
    list_for_each (it, &servers) {
        struct fake_zk_server *s = LIST_ENTRY(it, struct fake_zk_server, link);
        zk->server = text_eq(s->hosts, options->hosts) ? s : zk->server;
    }
    xp_check(zk->server);
    zk->lease_end = MONO_NEVER;
    list_push_back(&clients, &zk->link);
    list_init(&zk->server_link);
    list_init(&zk->calls);
    list_init(&zk->watches);
    list_init(&zk->stale);
    loop_timer_init(&zk->ping_timer, loop, ping_fired);
    loop_timer_init(&zk->lease_timer, loop, lease_fired);
    loop_timer_init(&zk->open_timer, loop, open_fired);
    loop_timer_init(&zk->expiry_timer, zk->server->loop, expiry_fired);
    loop_timer_start(&zk->open_timer, 0);
    return zk;
}

/* What a process sent before it died is on the wire. */
static void deliver_last_words(struct zk *zk)
{
    list_for_each (it, &zk->calls) {
        struct call *c = LIST_ENTRY(it, struct call, link);
        if (!c->is_back && loop_timer_is_running(&c->timer) && c->session_id == zk->session_id &&
            list_is_linked(&zk->server_link) && is_up_open(zk)) {
            zk->heard_at = clock_mono_ms();
            c->rc = tree_apply(zk->server, c);
        }
    }
}

void zk_free(struct zk *zk)
{
    if (!zk) {
        return;
    }
    if (fake_loop_is_crashed(zk->loop)) {
        deliver_last_words(zk);
        session_abandon(zk);
    }
    zk->state = ZK_LOST;
    calls_abandon(zk);
    while (!list_is_empty(&zk->calls)) {
        call_free(LIST_ENTRY(zk->calls.next, struct call, link));
    }
    while (!list_is_empty(&zk->stale)) {
        watch_free(LIST_ENTRY(zk->stale.next, struct watch, link));
    }
    while (!list_is_empty(&zk->watches)) {
        watch_free(LIST_ENTRY(zk->watches.next, struct watch, link));
    }
    session_end(zk);
    loop_timer_stop(&zk->ping_timer);
    loop_timer_stop(&zk->lease_timer);
    loop_timer_stop(&zk->open_timer);
    list_remove(&zk->link);
    free(zk);
}

void zk_set_hosts(struct zk *zk, const char *hosts)
{
    (void)zk;
    (void)hosts; /* one server is all there is */
}

static int may_call(struct zk *zk, struct xp_err *err)
{
    if (zk->state != ZK_READY) {
        return xp_fail(err, XP_UNAVAILABLE, "session is %s", zk_state_text(zk->state));
    }
    return zk->call_count < ZK_PENDING_MAX ? 0 : xp_fail(err, XP_TOO_MANY, "too many calls");
}

static struct call *call_start(struct zk *zk, enum call_kind kind, const char *path, void *arg,
                               uint64_t token)
{
    struct call *c = call_send(zk, kind, path);
    c->arg = arg;
    c->token = token;
    return c;
}

static void call_load(struct call *c, const char *data, size_t length, int32_t version)
{
    c->data = xstrndup(data ? data : "", length);
    c->length = length;
    c->version = version;
}

#define CALL_START_(zk, kind, path, arg, token, err)                                               \
    ({                                                                                             \
        int rc_ = may_call(zk, err);                                                               \
        if (rc_ < 0) {                                                                             \
            return rc_;                                                                            \
        }                                                                                          \
        call_start(zk, kind, path, arg, token);                                                    \
    })

int zk_create(struct zk *zk, const char *path, const char *data, size_t length, int flags,
              zk_path_fn *fn, void *arg, uint64_t token, struct xp_err *err)
{
    struct call *c = CALL_START_(zk, CALL_CREATE, path, arg, token, err);
    call_load(c, data, length, 0);
    c->flags = flags;
    c->fn.path = fn;
    return 0;
}

int zk_replace(struct zk *zk, const char *path, int32_t version, const char *data, size_t length,
               zk_path_fn *fn, void *arg, uint64_t token, struct xp_err *err)
{
    struct call *c = CALL_START_(zk, CALL_REPLACE, path, arg, token, err);
    call_load(c, data, length, version);
    c->fn.path = fn;
    return 0;
}

int zk_ensure_path(struct zk *zk, const char *path, zk_done_fn *fn, void *arg, uint64_t token,
                   struct xp_err *err)
{
    CALL_START_(zk, CALL_ENSURE, path, arg, token, err)->fn.done = fn;
    return 0;
}

int zk_set(struct zk *zk, const char *path, const char *data, size_t length, int32_t version,
           zk_data_fn *fn, void *arg, uint64_t token, struct xp_err *err)
{
    struct call *c = CALL_START_(zk, CALL_SET, path, arg, token, err);
    call_load(c, data, length, version);
    c->fn.data = fn;
    return 0;
}

int zk_delete(struct zk *zk, const char *path, int32_t version, zk_done_fn *fn, void *arg,
              uint64_t token, struct xp_err *err)
{
    struct call *c = CALL_START_(zk, CALL_DELETE, path, arg, token, err);
    c->version = version;
    c->fn.done = fn;
    return 0;
}

int zk_get(struct zk *zk, const char *path, zk_watch_fn *watch, zk_data_fn *fn, void *arg,
           uint64_t token, struct xp_err *err)
{
    struct call *c = CALL_START_(zk, CALL_GET, path, arg, token, err);
    c->watch = watch;
    c->fn.data = fn;
    return 0;
}

int zk_exists(struct zk *zk, const char *path, zk_watch_fn *watch, zk_data_fn *fn, void *arg,
              uint64_t token, struct xp_err *err)
{
    struct call *c = CALL_START_(zk, CALL_EXISTS, path, arg, token, err);
    c->watch = watch;
    c->fn.data = fn;
    return 0;
}

int zk_children(struct zk *zk, const char *path, zk_watch_fn *watch, zk_children_fn *fn, void *arg,
                uint64_t token, struct xp_err *err)
{
    struct call *c = CALL_START_(zk, CALL_CHILDREN, path, arg, token, err);
    c->watch = watch;
    c->fn.children = fn;
    return 0;
}

int zk_sync(struct zk *zk, struct xp_err *err)
{
    return may_call(zk, err); /* one server is all there is: no read is older than a write */
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
            c->watch = NULL;
        }
    }
    struct list *lists[] = { &zk->watches, &zk->stale };
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        list_for_each (it, lists[i]) {
            struct watch *w = LIST_ENTRY(it, struct watch, link);
            if (w->arg == arg) {
                watch_free(w);
            }
        }
    }
}

enum zk_state zk_state(const struct zk *zk)
{
    return zk->state;
}

bool zk_lease_is_valid(const struct zk *zk, mono_ms now)
{
    return zk->lease_end != MONO_NEVER && now < zk->lease_end && clock_mono_ms() < zk->lease_end;
}

int64_t zk_negotiated_timeout_ms(const struct zk *zk)
{
    return zk->options.session_timeout_ms;
}

int64_t zk_session_id(const struct zk *zk)
{
    return zk->session_id;
}

uint64_t zk_epoch(const struct zk *zk)
{
    return zk->epoch;
}

/* ---- knobs ---- */

struct fake_zk_server *fake_zk_server_new(struct loop *loop, const char *hosts)
{
    struct fake_zk_server *s = xcalloc(1, sizeof(*s));
    s->loop = loop;
    s->hosts = xstrdup(hosts);
    s->latency_ms = 1;
    s->nodes = MAP_INIT(MAP_TEXT);
    list_init(&s->sessions);
    list_init(&s->orphans);
    list_push_back(&servers, &s->link);
    struct node *root = xcalloc(1, sizeof(*root));
    root->path = xstrdup("/");
    node_set(root, "", 0);
    map_put(&s->nodes, "/", root);
    return s;
}

void fake_zk_server_free(struct fake_zk_server *s)
{
    size_t at = 0;
    const struct map_slot *slot;
    xp_check(list_is_empty(&s->sessions));
    while (!list_is_empty(&s->orphans)) {
        orphan_end(LIST_ENTRY(s->orphans.next, struct orphan, link));
    }
    while ((slot = map_next(&s->nodes, &at))) {
        node_free(slot->value);
    }
    map_done(&s->nodes);
    list_remove(&s->link);
    free(s->hosts);
    free(s);
}

void fake_zk_set_latency(struct fake_zk_server *s, int64_t latency_ms)
{
    s->latency_ms = latency_ms;
}

void fake_zk_set_link(struct zk *zk, enum fake_zk_link way)
{
    zk->way = way;
    calls_resume(zk);
}

void fake_zk_set_link_of(const struct loop *loop, enum fake_zk_link way)
{
    list_for_each (it, &clients) {
        struct zk *zk = CONTAINER_OF(it, struct zk, link);
        if (zk->loop == loop) {
            fake_zk_set_link(zk, way);
        }
    }
}

void fake_zk_cut(struct zk *zk, bool is_cut)
{
    fake_zk_set_link(zk, is_cut ? FAKE_ZK_CUT : FAKE_ZK_OPEN);
}

/* While the servers are away nobody counts; the new leader gives every session its whole time again. */
void fake_zk_stop(struct fake_zk_server *s, bool is_stopped)
{
    s->is_stopped = is_stopped;
    list_for_each (it, &s->sessions) {
        struct zk *zk = CONTAINER_OF(it, struct zk, server_link);
        loop_timer_stop(&zk->expiry_timer);
        if (!is_stopped) {
            zk->heard_at = clock_mono_ms();
            loop_timer_start(&zk->expiry_timer, zk->options.session_timeout_ms);
            calls_resume(zk);
        }
    }
    list_for_each (it, &s->orphans) {
        struct orphan *o = LIST_ENTRY(it, struct orphan, link);
        loop_timer_stop(&o->expiry);
        if (!is_stopped) {
            loop_timer_start(&o->expiry, o->timeout_ms);
        }
    }
}

void fake_zk_expire(struct zk *zk)
{
    session_end(zk);
}

size_t fake_zk_node_count(const struct fake_zk_server *s)
{
    return map_count(&s->nodes);
}

const char *fake_zk_node(const struct fake_zk_server *s, const char *path)
{
    const struct node *n = map_get(&s->nodes, path);
    return n ? n->data : NULL;
}

static void ensure_parent(struct fake_zk_server *s, const char *path)
{
    AUTO_FREE char *parent = parent_of(path);
    struct call c = { .path = parent };
    (void)tree_ensure(s, &c);
}

void fake_zk_foreign_set(struct fake_zk_server *s, const char *path, const char *data)
{
    ensure_parent(s, path);
    struct call c = {
        .path = xstrdup(path), .data = xstrdup(data), .length = strlen(data), .version = -1
    };
    if (tree_set(s, &c) == XP_NOT_FOUND) {
        (void)tree_create(s, &c, 0);
    }
    free(c.path);
    free(c.data);
}

/* Children sort behind their parents, so that they go first when it is done backwards. */
void fake_zk_foreign_delete(struct fake_zk_server *s, const char *path)
{
    size_t count = 0;
    AUTO_FREE void **all = map_sorted(&s->nodes, &count);
    AUTO_FREE char *below = xasprintf("%s/", path);
    for (size_t i = count; i-- > 0;) {
        const struct node *n = all[i];
        if (text_has_prefix(n->path, below)) {
            (void)tree_delete(s, n->path, -1, 0);
        }
    }
    (void)tree_delete(s, path, -1, 0);
}

static const struct node *first_child(const struct fake_zk_server *s, const char *parent)
{
    AUTO_FREE char *prefix = xasprintf("%s/", parent);
    const struct node *first = NULL;
    size_t at = 0;
    for (const struct map_slot *slot; (slot = map_next(&s->nodes, &at));) {
        const struct node *n = slot->value;
        const char *number = text_has_prefix(n->path, prefix) ? strrchr(n->path, '-') : NULL;
        if (number && (!first || strcmp(number, strrchr(first->path, '-')) < 0)) {
            first = n;
        }
    }
    return first;
}

const char *fake_zk_first_child(const struct fake_zk_server *s, const char *parent)
{
    const struct node *n = first_child(s, parent);
    return n ? n->path : NULL;
}

int64_t fake_zk_first_owner(const struct fake_zk_server *s, const char *parent)
{
    const struct node *n = first_child(s, parent);
    return n ? n->stat.ephemeral_owner : 0;
}

void fake_zk_watch(struct fake_zk_server *s, fake_zk_changed_fn *changed, void *arg)
{
    s->changed = changed;
    s->changed_arg = arg;
}
