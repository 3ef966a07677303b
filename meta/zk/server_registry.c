/* server_registry.c - see server_registry.h. Two independent machines over one session: the own node, the list. */
#include "meta/zk/server_registry.h"

#include <stdio.h>
#include <string.h>

#include "shared/base/log.h"
#include "shared/base/mem.h"

#include "shared/base/banned.h"

#define RETRY_MS           1000
#define WAIT_TIMEOUT_COUNT 3 /* session timeouts to wait for a foreign node */

enum reg_state {
    REG_IDLE,    /* no session, or a call failed: the timer tries again */
    REG_BUSY,    /* a call is under way */
    REG_WAITING, /* a foreign node stands in the way */
    REG_DONE,
    REG_FAILED,
    REG_LEFT,
};

struct reading {
    struct server_info *list; /* owned */
    size_t count;
    struct server_info stranger; /* the oldest registration of another DC; id 0: none */
    int64_t stranger_czxid;
    int pending; /* reads under way */
    bool failed;
};

struct server_registry {
    struct server_registry_options options;
    char *path;
    char *own_path;
    char *name_space;

    enum reg_state state;
    int64_t own_zxid;   /* that made our node */
    bool is_registered; /* in this session, as far as we know */
    mono_ms waiting_since;
    char obstacle[320]; /* what it waits for */
    struct loop_timer reg_timer;

    struct server_info *list; /* owned; ascending */
    size_t count;
    struct server_info stranger; /* see reading */
    int64_t stranger_czxid;
    bool is_complete;
    mono_ms known_since;
    struct gone_server gone[SERVER_LIST_MAX];
    size_t gone_count;
    struct reading reading;
    uint64_t round; /* of readings: answers of an older one are dropped */
    bool is_reading;
    bool read_again;
    struct loop_timer list_timer;
};

/* ---- own registration ---- */

static void list_read(struct server_registry *r);
static void reg_create(struct server_registry *r);
static void reg_check(struct server_registry *r);

static void reg_retry_later(struct server_registry *r)
{
    r->state = REG_IDLE;
    loop_timer_start(&r->reg_timer, RETRY_MS);
}

static bool reg_is_over(const struct server_registry *r)
{
    return r->state == REG_FAILED || r->state == REG_LEFT;
}

static void reg_lost(struct server_registry *r)
{
    if (r->is_registered) {
        r->is_registered = false;
        r->options.on_registered(false, r->options.arg);
    }
}

static void reg_fail(struct server_registry *r, const char *why)
{
    log_error("registry.failed", "server", log_int(r->options.self.id), "why", why);
    (void)snprintf(r->obstacle, sizeof(r->obstacle), "%s", why);
    reg_lost(r);
    r->state = REG_FAILED;
    loop_timer_stop(&r->reg_timer);
    r->options.on_failed(why, r->options.arg);
}

static void reg_done(struct server_registry *r)
{
    r->state = REG_DONE;
    r->waiting_since = MONO_NEVER;
    r->obstacle[0] = '\0';
    loop_timer_stop(&r->reg_timer);
    if (r->is_registered) {
        return;
    }
    log_info("registry.registered", "server", log_int(r->options.self.id), "addr",
             ADDR_TEXT(&r->options.self.addr));
    r->is_registered = true;
    r->options.on_registered(true, r->options.arg);
    list_read(r); /* the first reading of an empty ZooKeeper found no node to watch */
}

static void own_node_changed(const char *path, void *arg)
{
    (void)path;
    struct server_registry *r = arg;
    if (!reg_is_over(r) && r->state != REG_BUSY) {
        reg_check(r);
    }
}

static bool is_ours_from_before(const struct server_registry *r, const struct server_info *found)
{
    const struct server_info *self = &r->options.self;
    return text_eq(found->start_id, self->start_id) || addr_eq(&found->addr, &self->addr);
}

/* Somebody stands in the way: looks again each second, and gives up after three session timeouts. */
static void reg_wait(struct server_registry *r, const struct server_info *found)
{
    mono_ms now = loop_now(r->options.loop);
    if (r->waiting_since == MONO_NEVER) {
        r->waiting_since = now;
    }
    int64_t limit_ms = WAIT_TIMEOUT_COUNT * zk_negotiated_timeout_ms(r->options.zk);
    if (now - r->waiting_since >= limit_ms) {
        char why[sizeof(r->obstacle)];
        memcpy(why, r->obstacle, sizeof(why));
        reg_fail(r, why);
        return;
    }
    log_warn("registry.waiting", "server", log_int(r->options.self.id), "held_by",
             ADDR_TEXT(&found->addr), "why", r->obstacle, "waited_ms",
             log_int(now - r->waiting_since), "limit_ms", log_int(limit_ms));
    r->state = REG_WAITING;
    loop_timer_start(&r->reg_timer, RETRY_MS);
}

static void reg_wait_for_twin(struct server_registry *r, const struct server_info *found)
{
    (void)snprintf(r->obstacle, sizeof(r->obstacle),
                   "server id %lld is taken by %s; give every metaserver of the DC its own "
                   "metaserver.id",
                   (long long)r->options.self.id, ADDR_TEXT(&found->addr));
    reg_wait(r, found);
}

static void name_stranger(struct server_registry *r)
{
    const struct server_info *s = &r->stranger;
    (void)snprintf(r->obstacle, sizeof(r->obstacle),
                   "ZooKeeper namespace '%.40s' is used by DC '%.40s' (server %lld at %s), this "
                   "metaserver belongs to '%.40s'; give each DC its own zk.address or zk.namespace",
                   r->name_space, s->dc, (long long)s->id, ADDR_TEXT(&s->addr), r->options.self.dc);
}

static void replaced(int rc, const char *created, void *arg, uint64_t token)
{
    (void)created;
    (void)token;
    struct server_registry *r = arg;
    if (reg_is_over(r)) {
        return;
    }
    if (rc == 0 || rc == XP_CONFLICT || rc == XP_NOT_FOUND) {
        reg_check(r);
    } else {
        reg_retry_later(r);
    }
}

static void reg_replace(struct server_registry *r, int32_t version)
{
    struct xp_err err;
    char text[SERVER_TEXT_MAX];
    server_info_text(&r->options.self, text);
    log_info("registry.taking_over", "server", log_int(r->options.self.id));
    r->state = REG_BUSY;
    if (zk_replace(r->options.zk, r->own_path, version, text, strlen(text), replaced, r, 0, &err) <
        0) {
        reg_retry_later(r);
    }
}

static void reg_found_foreign(struct server_registry *r, const struct server_info *found,
                              int32_t version)
{
    if (r->is_registered) {
        reg_fail(r, "another process registered with our server id; two metaservers must not share "
                    "metaserver.id");
    } else if (is_ours_from_before(r, found)) {
        reg_replace(r, version);
    } else {
        reg_wait_for_twin(r, found);
    }
}

static void rewritten(int rc, const char *data, size_t length, const struct zk_stat *stat,
                      void *arg, uint64_t token)
{
    (void)data;
    (void)length;
    (void)stat;
    (void)token;
    struct server_registry *r = arg;
    if (reg_is_over(r)) {
        return;
    }
    if (rc == 0 || rc == XP_CONFLICT || rc == XP_NOT_FOUND) {
        reg_check(r);
    } else {
        reg_retry_later(r);
    }
}

/* Our node with the words of somebody else: the others could not reach us. */
static void reg_rewrite(struct server_registry *r, const char *text, int32_t version)
{
    struct xp_err err;
    log_warn("registry.overwritten", "server", log_int(r->options.self.id), "next",
             "writing it again; see who else writes to this ZooKeeper");
    r->state = REG_BUSY;
    if (zk_set(r->options.zk, r->own_path, text, strlen(text), version, rewritten, r, 0, &err) <
        0) {
        reg_retry_later(r);
    }
}

static void reg_found_own(struct server_registry *r, const char *data, size_t length,
                          const struct zk_stat *stat)
{
    char text[SERVER_TEXT_MAX];
    server_info_text(&r->options.self, text);
    r->own_zxid = stat->czxid;
    if (length == strlen(text) && memcmp(data, text, length) == 0) {
        reg_done(r);
    } else {
        reg_rewrite(r, text, stat->version);
    }
}

static void own_node_read(int rc, const char *data, size_t length, const struct zk_stat *stat,
                          void *arg, uint64_t token)
{
    (void)token;
    struct server_registry *r = arg;
    struct xp_err err;
    struct server_info found = { .id = r->options.self.id };
    if (reg_is_over(r)) {
        return;
    }
    if (rc == XP_NOT_FOUND) {
        reg_lost(r);
        reg_create(r);
    } else if (rc < 0) {
        reg_retry_later(r); /* no answer says nothing about the node: the lease decides meanwhile */
    } else if (stat->ephemeral_owner == zk_session_id(r->options.zk)) {
        reg_found_own(r, data, length, stat);
    } else {
        if (server_info_parse(found.id, data, length, &found, &err) < 0) {
            log_warn("registry.unreadable", "error", err.msg);
        }
        reg_found_foreign(r, &found, stat->version);
    }
}

/* Looks whose node it is, and watches it. */
static void reg_check(struct server_registry *r)
{
    struct xp_err err;
    r->state = REG_BUSY;
    if (zk_get(r->options.zk, r->own_path, own_node_changed, own_node_read, r, 0, &err) < 0) {
        reg_retry_later(r);
    }
}

static void created(int rc, const char *path, void *arg, uint64_t token)
{
    (void)path;
    (void)token;
    struct server_registry *r = arg;
    if (reg_is_over(r)) {
        return;
    }
    if (rc == 0 || rc == XP_CONFLICT) {
        reg_check(r);
    } else {
        reg_retry_later(r);
    }
}

static void parent_ready(int rc, void *arg, uint64_t token)
{
    (void)token;
    struct server_registry *r = arg;
    struct xp_err err;
    char text[SERVER_TEXT_MAX];
    if (reg_is_over(r)) {
        return;
    }
    server_info_text(&r->options.self, text);
    if (rc < 0 || zk_create(r->options.zk, r->own_path, text, strlen(text), ZK_EPHEMERAL, created,
                            r, 0, &err) < 0) {
        reg_retry_later(r);
    }
}

/* Nobody registers before it knows whose namespace this is; publish() comes back here. */
static void reg_create(struct server_registry *r)
{
    struct xp_err err;
    r->state = REG_IDLE;
    if (!r->is_complete) {
        return;
    }
    if (r->stranger.id != 0) {
        name_stranger(r);
        reg_wait(r, &r->stranger);
        return;
    }
    r->state = REG_BUSY;
    if (zk_ensure_path(r->options.zk, r->path, parent_ready, r, 0, &err) < 0) {
        reg_retry_later(r);
    }
}

static void reg_timer_fired(struct loop_timer *t)
{
    struct server_registry *r = CONTAINER_OF(t, struct server_registry, reg_timer);
    if (zk_state(r->options.zk) != ZK_READY || reg_is_over(r) || r->state == REG_BUSY) {
        return;
    }
    if (r->is_registered) {
        reg_check(r);
    } else {
        reg_create(r);
    }
}

/* ---- list ---- */

static void servers_changed(const char *path, void *arg)
{
    (void)path;
    list_read(arg);
}

static int compare_servers(const void *a, const void *b)
{
    const struct server_info *x = a;
    const struct server_info *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

static const struct server_info *find_in(const struct server_info *list, size_t count, int64_t id)
{
    struct server_info key = { .id = id };
    return count ? bsearch(&key, list, count, sizeof(*list), compare_servers) : NULL;
}

static void gone_remove(struct server_registry *r, int64_t id)
{
    for (size_t i = 0; i < r->gone_count; i++) {
        if (r->gone[i].id == id) {
            r->gone[i] = r->gone[--r->gone_count];
            return;
        }
    }
}

static void note_left_and_joined(struct server_registry *r, const struct reading *now)
{
    for (size_t i = 0; i < r->count; i++) {
        if (!find_in(now->list, now->count, r->list[i].id) && r->gone_count < SERVER_LIST_MAX) {
            log_info("registry.left", "server", log_int(r->list[i].id));
            r->gone[r->gone_count++] =
                (struct gone_server){ .id = r->list[i].id, .gone_at = loop_now(r->options.loop) };
        }
    }
    for (size_t i = 0; i < now->count; i++) {
        gone_remove(r, now->list[i].id);
        if (!find_in(r->list, r->count, now->list[i].id)) {
            log_info("registry.joined", "server", log_int(now->list[i].id), "addr",
                     ADDR_TEXT(&now->list[i].addr));
        }
    }
}

static bool lists_differ(const struct server_registry *r, const struct reading *now)
{
    if (r->count != now->count) {
        return true;
    }
    for (size_t i = 0; i < now->count; i++) {
        if (!server_info_eq(&r->list[i], &now->list[i])) {
            return true;
        }
    }
    return false;
}

/* The list is what the registration waits for; and it may show that we came second. */
static void reg_list_known(struct server_registry *r)
{
    if (reg_is_over(r)) {
        return;
    }
    if (r->is_registered && r->stranger.id != 0 && r->stranger_czxid < r->own_zxid) {
        char why[sizeof(r->obstacle)];
        name_stranger(r);
        memcpy(why, r->obstacle, sizeof(why));
        reg_fail(r, why);
    } else if (!r->is_registered && r->state == REG_IDLE) {
        reg_create(r);
    }
}

static void publish(struct server_registry *r)
{
    struct reading *now = &r->reading;
    if (now->count) {
        qsort(now->list, now->count, sizeof(now->list[0]), compare_servers);
    }
    bool tell = lists_differ(r, now) || !r->is_complete;
    note_left_and_joined(r, now);
    free(r->list);
    r->list = TAKE(now->list);
    r->count = now->count;
    r->stranger = now->stranger;
    r->stranger_czxid = now->stranger_czxid;
    if (!r->is_complete) {
        r->is_complete = true;
        r->known_since = loop_now(r->options.loop);
    }
    if (tell) {
        r->options.on_servers(r->options.arg);
    }
    reg_list_known(r);
}

static void reading_end(struct server_registry *r)
{
    r->is_reading = false;
    if (r->reading.failed) {
        free(TAKE(r->reading.list));
        loop_timer_start(&r->list_timer, RETRY_MS);
    } else {
        publish(r);
    }
    if (r->read_again) {
        r->read_again = false;
        list_read(r);
    }
}

static bool is_stranger(const struct server_registry *r, const struct server_info *info)
{
    const char *own = r->options.self.dc;
    return own[0] && info->dc[0] && strcmp(own, info->dc) != 0;
}

static void take_server(struct server_registry *r, const struct server_info *info, int64_t czxid)
{
    struct reading *now = &r->reading;
    if (!is_stranger(r, info)) {
        now->list[now->count++] = *info;
    } else if (now->stranger.id == 0 || czxid < now->stranger_czxid) {
        now->stranger = *info;
        now->stranger_czxid = czxid;
    }
}

static void server_read(int rc, const char *data, size_t length, const struct zk_stat *stat,
                        void *arg, uint64_t token)
{
    struct server_registry *r = arg;
    struct xp_err err;
    if (token >> 32 != (r->round & UINT32_MAX)) {
        return;
    }
    struct server_info info = { .id = (int64_t)(token & UINT32_MAX) };
    if (rc == 0) {
        if (server_info_parse(info.id, data, length, &info, &err) < 0) {
            log_warn("registry.unreadable", "error", err.msg);
        }
        take_server(r, &info, stat->czxid);
    } else if (rc != XP_NOT_FOUND) {
        r->reading.failed = true;
    }
    if (--r->reading.pending == 0) {
        reading_end(r);
    }
}

static void read_one(struct server_registry *r, int64_t id)
{
    struct xp_err err;
    AUTO_FREE char *path = xasprintf("%s/%lld", r->path, (long long)id);
    r->reading.pending++;
    if (zk_get(r->options.zk, path, servers_changed, server_read, r,
               (r->round << 32) | (uint64_t)id, &err) < 0) {
        r->reading.pending--;
        r->reading.failed = true;
    }
}

static void names_read(int rc, const char *const *names, size_t count, void *arg, uint64_t token)
{
    struct server_registry *r = arg;
    if (token != r->round) {
        return;
    }
    r->reading.failed = rc < 0 && rc != XP_NOT_FOUND;
    r->reading.list = xcalloc(SERVER_LIST_MAX, sizeof(*r->reading.list));
    int wanted = 0;
    for (size_t i = 0; rc == 0 && i < count && wanted < SERVER_LIST_MAX; i++) {
        int64_t id;
        if (server_id_parse(names[i], &id)) {
            read_one(r, id);
            wanted++;
        }
    }
    if (r->reading.pending == 0) {
        reading_end(r);
    }
}

static void list_read(struct server_registry *r)
{
    struct xp_err err;
    if (r->is_reading) {
        r->read_again = true;
        return;
    }
    r->reading = (struct reading){ 0 };
    r->round++;
    if (zk_children(r->options.zk, r->path, servers_changed, names_read, r, r->round, &err) < 0) {
        if (zk_state(r->options.zk) == ZK_READY) {
            loop_timer_start(&r->list_timer,
                             RETRY_MS); /* too many calls; else the next session reads */
        }
        return;
    }
    r->is_reading = true;
}

static void list_timer_fired(struct loop_timer *t)
{
    struct server_registry *r = CONTAINER_OF(t, struct server_registry, list_timer);
    loop_timer_start(t, r->options.refresh_ms);
    list_read(r);
}

static void list_stop(struct server_registry *r, bool is_new_session)
{
    r->round++;
    r->is_reading = false;
    r->read_again = false;
    free(TAKE(r->reading.list));
    r->is_complete = false;
    r->known_since = MONO_NEVER;
    if (is_new_session) {
        r->gone_count = 0;
    }
}

/* ---- public ---- */

struct server_registry *server_registry_new(const struct server_registry_options *options)
{
    struct server_registry *r = xcalloc(1, sizeof(*r));
    r->options = *options;
    r->path = xstrdup(options->path);
    r->options.path = r->path;
    r->name_space = xstrdup(options->name_space ? options->name_space : "");
    r->own_path = xasprintf("%s/%lld", options->path, (long long)options->self.id);
    r->waiting_since = MONO_NEVER;
    r->known_since = MONO_NEVER;
    loop_timer_init(&r->reg_timer, options->loop, reg_timer_fired);
    loop_timer_init(&r->list_timer, options->loop, list_timer_fired);
    loop_timer_start(&r->list_timer, RETRY_MS);
    return r;
}

void server_registry_free(struct server_registry *r)
{
    if (!r) {
        return;
    }
    loop_timer_stop(&r->reg_timer);
    loop_timer_stop(&r->list_timer);
    free(r->reading.list);
    free(r->list);
    free(r->path);
    free(r->own_path);
    free(r->name_space);
    free(r);
}

void server_registry_on_session(struct server_registry *r, enum zk_state state, bool is_new_session)
{
    if (state == ZK_LOST) {
        list_stop(r, false);
        reg_lost(r);
        if (!reg_is_over(r)) {
            r->state = REG_IDLE;
        }
        return;
    }
    if (state != ZK_READY) {
        return;
    }
    if (is_new_session) {
        list_stop(r, true);
        free(TAKE(r->list));
        r->count = 0;
    }
    if (!reg_is_over(r)) {
        if (r->is_registered) {
            reg_check(r);
        } else {
            reg_create(r);
        }
    }
    list_read(r);
}

static void left(int rc, void *arg, uint64_t token)
{
    (void)token;
    struct server_registry *r = arg;
    /* Closing the session right after deletes the node as well: no answer is nothing to worry about. */
    log_info("registry.left", "server", log_int(r->options.self.id), "confirmed",
             rc == 0 ? "yes" : "no");
}

void server_registry_leave(struct server_registry *r)
{
    struct xp_err err;
    bool was_done = r->is_registered;
    if (reg_is_over(r)) {
        return;
    }
    reg_lost(r);
    r->state = REG_LEFT;
    loop_timer_stop(&r->reg_timer);
    if (was_done && zk_delete(r->options.zk, r->own_path, -1, left, r, 0, &err) < 0) {
        log_warn("registry.leave_failed", "error", err.msg);
    }
}

void server_registry_refresh(struct server_registry *r)
{
    list_read(r);
}

bool server_registry_is_registered(const struct server_registry *r)
{
    return r->is_registered;
}

int64_t server_registry_zxid(const struct server_registry *r)
{
    return r->is_registered ? r->own_zxid : 0;
}

bool server_registry_is_reading(const struct server_registry *r)
{
    return r->is_reading;
}

const char *server_registry_obstacle(const struct server_registry *r)
{
    return r->obstacle;
}

bool server_registry_is_complete(const struct server_registry *r)
{
    return r->is_complete;
}

mono_ms server_registry_known_since(const struct server_registry *r)
{
    return r->known_since;
}

const struct server_info *server_registry_list(const struct server_registry *r, size_t *ret_count)
{
    *ret_count = r->count;
    return r->list;
}

const struct server_info *server_registry_find(const struct server_registry *r, int64_t id)
{
    return find_in(r->list, r->count, id);
}

const struct gone_server *server_registry_gone(const struct server_registry *r, size_t *ret_count)
{
    *ret_count = r->gone_count;
    return r->gone;
}
