/* leader_election.c - see leader_election.h. Every event leads to one thing: list the queue and look. */
#include "meta/zk/leader_election.h"

#include <stdio.h>
#include <string.h>

#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/random.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

#define RETRY_MS      1000
#define UUID_TEXT_MAX 37
#define NODE_PREFIX   "_c_"
#define NODE_SUFFIX   "-latch-"

struct leader_election {
    struct leader_election_options options;
    char *path;
    char uuid[UUID_TEXT_MAX];     /* of this session's node */
    char old_uuid[UUID_TEXT_MAX]; /* of the session before: its node is deleted when still there */
    uint64_t round;               /* answers of an older session are dropped */
    bool is_busy;
    bool look_again;
    bool is_leader;
    bool has_left;
    struct loop_timer timer;
};

static void look(struct leader_election *e);

static void make_uuid(char *buf)
{
    uint8_t b[16];
    random_fill(b, sizeof(b));
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
    (void)snprintf(buf, UUID_TEXT_MAX,
                   "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0],
                   b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13],
                   b[14], b[15]);
}

static bool is_node_of(const char *name, const char *uuid)
{
    size_t prefix = strlen(NODE_PREFIX);
    return uuid[0] && text_has_prefix(name, NODE_PREFIX) && text_has_prefix(name + prefix, uuid) &&
           name[prefix + strlen(uuid)] == '-';
}

/* What the queue is sorted by; names of other origin sort by themselves, as Curator does. */
static const char *queue_key(const char *name)
{
    const char *at = strstr(name, "latch-");
    return at ? at + strlen("latch-") : name;
}

struct latch_place latch_place_find(const char *const *names, size_t count, const char *uuid)
{
    struct latch_place place = { .own = -1, .before = -1 };
    for (size_t i = 0; i < count && place.own < 0; i++) {
        if (is_node_of(names[i], uuid)) {
            place.own = (int)i;
        }
    }
    for (size_t i = 0; place.own >= 0 && i < count; i++) {
        if (strcmp(queue_key(names[i]), queue_key(names[place.own])) < 0 &&
            (place.before < 0 || strcmp(queue_key(names[i]), queue_key(names[place.before])) > 0)) {
            place.before = (int)i;
        }
    }
    return place;
}

static void set_leader(struct leader_election *e, bool is_leader)
{
    if (e->is_leader == is_leader) {
        return;
    }
    e->is_leader = is_leader;
    log_info(is_leader ? "election.won" : "election.lost", "server", log_int(e->options.server_id));
    e->options.on_change(is_leader, e->options.arg);
}

/* One question at a time; whatever happened meanwhile asks again. */
static void done_looking(struct leader_election *e)
{
    e->is_busy = false;
    if (e->look_again) {
        e->look_again = false;
        look(e);
    }
}

static void retry_later(struct leader_election *e)
{
    e->is_busy = false;
    loop_timer_start(&e->timer, RETRY_MS);
}

static void queue_changed(const char *path, void *arg)
{
    (void)path;
    look(arg);
}

static void watched(int rc, const char *data, size_t length, const struct zk_stat *stat, void *arg,
                    uint64_t token)
{
    (void)data;
    (void)length;
    (void)stat;
    struct leader_election *e = arg;
    if (token >> 1 != e->round) {
        return;
    }
    if (rc == XP_NOT_FOUND) {
        e->look_again = true;
    } else if (rc < 0) {
        retry_later(e);
        return;
    } else if ((token & 1) && !e->has_left) { /* asked before it left */
        set_leader(e, true);
    }
    done_looking(e);
}

/* First in the queue: watch our own node, somebody may delete it. Otherwise: the one before us. */
static void watch_place(struct leader_election *e, const char *name, bool is_first)
{
    struct xp_err err;
    AUTO_FREE char *path = xasprintf("%s/%s", e->path, name);
    if (!is_first) {
        set_leader(e, false);
    }
    if (zk_exists(e->options.zk, path, queue_changed, watched, e,
                  e->round << 1 | (is_first ? 1 : 0), &err) < 0) {
        retry_later(e);
    }
}

static void created(int rc, const char *path, void *arg, uint64_t token)
{
    (void)path;
    struct leader_election *e = arg;
    if (token != e->round) {
        return;
    }
    if (rc == XP_NOT_FOUND || rc == XP_FORBIDDEN || rc == XP_IO) {
        retry_later(e);
        return;
    }
    e->look_again = true; /* created, or unknown: the list tells */
    done_looking(e);
}

static void create_node(struct leader_election *e)
{
    struct xp_err err;
    AUTO_FREE char *path = xasprintf("%s/" NODE_PREFIX "%s" NODE_SUFFIX, e->path, e->uuid);
    char data[24];
    (void)snprintf(data, sizeof(data), "%lld", (long long)e->options.server_id);
    set_leader(e, false);
    if (zk_create(e->options.zk, path, data, strlen(data), ZK_EPHEMERAL | ZK_SEQUENTIAL, created, e,
                  e->round, &err) < 0) {
        retry_later(e);
    }
}

static void deleted(int rc, void *arg, uint64_t token)
{
    (void)arg;
    (void)token;
    log_debug("election.deleted", "rc", log_int(rc));
}

static void delete_nodes_of(struct leader_election *e, const char *const *names, size_t count,
                            const char *uuid)
{
    struct xp_err err;
    for (size_t i = 0; i < count; i++) {
        if (is_node_of(names[i], uuid)) {
            AUTO_FREE char *path = xasprintf("%s/%s", e->path, names[i]);
            if (zk_delete(e->options.zk, path, -1, deleted, e, 0, &err) < 0) {
                return;
            }
        }
    }
}

static void path_ready(int rc, void *arg, uint64_t token)
{
    struct leader_election *e = arg;
    if (token != e->round) {
        return;
    }
    if (rc < 0) {
        retry_later(e);
        return;
    }
    e->look_again = true;
    done_looking(e);
}

static void queue_read(int rc, const char *const *names, size_t count, void *arg, uint64_t token)
{
    struct leader_election *e = arg;
    struct xp_err err;
    if (token != e->round) {
        return;
    }
    if (rc == XP_NOT_FOUND &&
        zk_ensure_path(e->options.zk, e->path, path_ready, e, e->round, &err) == 0) {
        return;
    }
    if (rc < 0) {
        retry_later(e);
        return;
    }
    delete_nodes_of(e, names, count, e->old_uuid);
    if (e->has_left) {
        delete_nodes_of(e, names, count, e->uuid);
        done_looking(e);
        return;
    }
    struct latch_place place = latch_place_find(names, count, e->uuid);
    if (place.own < 0) {
        create_node(e);
    } else {
        watch_place(e, names[place.before < 0 ? place.own : place.before], place.before < 0);
    }
}

static void look(struct leader_election *e)
{
    struct xp_err err;
    if (e->is_busy) {
        e->look_again = true;
        return;
    }
    e->is_busy = true;
    if (zk_children(e->options.zk, e->path, NULL, queue_read, e, e->round, &err) < 0) {
        retry_later(e);
    }
}

static void timer_fired(struct loop_timer *t)
{
    struct leader_election *e = CONTAINER_OF(t, struct leader_election, timer);
    loop_timer_start(t, e->options.refresh_ms);
    if (zk_state(e->options.zk) == ZK_READY && !e->has_left) {
        look(e);
    }
}

struct leader_election *leader_election_new(const struct leader_election_options *options)
{
    struct leader_election *e = xcalloc(1, sizeof(*e));
    e->options = *options;
    e->path = xstrdup(options->path);
    e->options.path = e->path;
    loop_timer_init(&e->timer, options->loop, timer_fired);
    loop_timer_start(&e->timer, options->refresh_ms);
    return e;
}

void leader_election_free(struct leader_election *e)
{
    if (!e) {
        return;
    }
    loop_timer_stop(&e->timer);
    free(e->path);
    free(e);
}

void leader_election_on_session(struct leader_election *e, enum zk_state state, bool is_new_session)
{
    if (state != ZK_READY) {
        e->round++;
        e->is_busy = false;
        e->look_again = false;
        set_leader(e, false);
        return;
    }
    if (is_new_session) {
        memcpy(e->old_uuid, e->uuid, sizeof(e->old_uuid));
        make_uuid(e->uuid);
    }
    if (!e->has_left) {
        look(e);
    }
}

void leader_election_leave(struct leader_election *e)
{
    if (e->has_left) {
        return;
    }
    e->has_left = true;
    set_leader(e, false);
    look(e);
}

bool leader_election_is_leader(const struct leader_election *e)
{
    return e->is_leader;
}
