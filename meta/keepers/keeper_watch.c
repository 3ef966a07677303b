/* keeper_watch.c - see keeper_watch.h.
 *
 * The shard is the unit of work. It waits (for an event, a burst to gather, a pause after a failure), stands in the queue, or is
 * read: one call under way, first the children of its paths that are due, then the data that is missing. So 'reads_max' bounds shards
 * and calls alike. An answer finds its shard by the token of the call; a shard that was removed, or begins anew in another
 * session, just has no call any more. Watches belong to the whole keeper_watch and name their shard by path: nothing has to be taken back
 * when one of 10,000 shards leaves. */
#include "meta/keepers/keeper_watch.h"

#include <string.h>

#include "shared/base/list.h"
#include "shared/base/log.h"
#include "shared/base/map.h"
#include "shared/base/mem.h"
#include "shared/base/metrics.h"
#include "shared/base/random.h"
#include "shared/base/str.h"
#include "shared/base/thread.h"

#include "shared/base/banned.h"

#define RETRY_FIRST_MS 1000
#define RETRY_MAX_MS   30000
#define CHILDREN_MAX   64   /* of one path; an election knows SHARD_KEEPERS_MAX */
#define DATA_MAX_BYTES 4096 /* a keeper needs 200; what is longer is cut, and unreadable then */
#define PATHS          2

static struct metric elections_read = METRIC_COUNTER_INIT(
    "xpipe_keeper_elections_read_total", "result=\"ok\"",
    "Readings of both election paths of a shard in ZooKeeper, by how they ended.");
static struct metric elections_failed = METRIC_COUNTER_INIT(
    "xpipe_keeper_elections_read_total", "result=\"failed\"",
    "Readings of both election paths of a shard in ZooKeeper, by how they ended.");
static struct metric reads_under_way =
    METRIC_GAUGE_INIT("xpipe_keeper_reads_under_way", "",
                      "Shards whose election paths are being read in ZooKeeper now.");
static struct metric reads_waiting =
    METRIC_GAUGE_INIT("xpipe_keeper_reads_waiting", "",
                      "Shards whose election paths wait for their turn to be read.");

enum phase {
    PHASE_IDLE,      /* timer: refresh */
    PHASE_GATHERING, /* timer: the burst is over */
    PHASE_QUEUED,
    PHASE_READING,
    PHASE_RETRYING, /* timer: again */
};

struct child {
    char *name;
    char *data; /* NULL: never read */
    size_t length;
    bool is_read; /* false with data: still what it was, to be read again */
};

struct watched_path {
    bool is_dirty; /* something happened since the last reading began */
    bool is_due;   /* to be read in this reading */
    bool is_known; /* whether it is there was seen at least once */
    bool is_absent;
    size_t count;
    struct child *children; /* sorted by name */
};

struct keeper_watch_shard {
    struct keeper_watch *watch;
    int64_t cluster_id;
    int64_t shard_id;
    keeper_children_fn *on_keepers;
    void *arg;
    struct list link;                     /* watch->shards */
    struct list queue_link;               /* watch->queue */
    struct keeper_watch_shard *next_same; /* same id, in another cluster or older */
    enum phase phase;
    struct loop_timer timer;
    mono_ms refresh_at;
    int64_t retry_ms; /* the next pause; 0: the last reading did not fail */
    uint64_t token;   /* of the call under way */
    size_t at_path;   /* what that call reads */
    size_t at_child;
    bool is_changed; /* since the last 'on_keepers' */
    struct watched_path paths[PATHS];
};

struct keeper_watch {
    struct keeper_watch_options options;
    char *name_space;
    struct zk *zk;
    uint64_t epoch;        /* of the session that was read last */
    bool is_absent[PATHS]; /* of the shard that was read last: mostly all are alike */
    bool needs_sync;       /* a new connection may be to a server that lags behind */
    struct list shards;
    struct list queue;
    size_t queue_length;
    struct map by_id; /* shard id -> first of next_same */
    struct map calls; /* token -> shard */
    uint64_t next_token;
    struct loop_timer pump_timer; /* the queue could not move for want of room in the session */
};

static void read_next(struct keeper_watch_shard *s);
static void pump(struct keeper_watch *w);

/* ---- children ---- */

static void child_done(struct child *c)
{
    free(c->name);
    free(c->data);
}

static void path_clear(struct watched_path *p)
{
    for (size_t i = 0; i < p->count; i++) {
        child_done(&p->children[i]);
    }
    free(p->children);
    p->children = NULL;
    p->count = 0;
}

static void path_drop_child(struct watched_path *p, size_t at)
{
    child_done(&p->children[at]);
    p->count--;
    memmove(&p->children[at], &p->children[at + 1], (p->count - at) * sizeof(p->children[0]));
}

static const char *latch_of(const char *name)
{
    const char *found = strstr(name, "latch-");
    return found ? found : name;
}

/* The order of the election, so that what is beyond the limit is what came last. */
static int by_latch(const void *a, const void *b)
{
    const char *x = *(const char *const *)a;
    const char *y = *(const char *const *)b;
    int order = strcmp(latch_of(x), latch_of(y));
    return order != 0 ? order : strcmp(x, y);
}

static struct child *path_find(const struct watched_path *p, const char *name)
{
    for (size_t i = 0; i < p->count; i++) {
        if (p->children[i].name && strcmp(p->children[i].name, name) == 0) {
            return &p->children[i];
        }
    }
    return NULL;
}

/* Takes over what is known of those that stay. Returns whether the set changed. */
static bool path_set_names(struct watched_path *p, const char *const *names, size_t count)
{
    AUTO_FREE const char **sorted = xcalloc(count + 1, sizeof(*sorted));
    for (size_t i = 0; i < count; i++) {
        sorted[i] = names[i];
    }
    qsort(sorted, count, sizeof(*sorted), by_latch);
    count = count < CHILDREN_MAX ? count : CHILDREN_MAX;
    struct watched_path fresh = { .is_dirty = p->is_dirty,
                                  .is_known = true,
                                  .count = count,
                                  .children = count ? xcalloc(count, sizeof(struct child)) : NULL };
    bool is_changed = count != p->count;
    for (size_t i = 0; i < count; i++) {
        struct child *old = path_find(p, sorted[i]);
        if (old) {
            fresh.children[i] = *old;
            *old = (struct child){ 0 };
        } else {
            fresh.children[i].name = xstrdup(sorted[i]);
            is_changed = true;
        }
    }
    path_clear(p);
    *p = fresh;
    return is_changed;
}

/* Returns whether it is news. */
static bool child_set_data(struct child *c, const char *data, size_t length)
{
    length = length < DATA_MAX_BYTES ? length : DATA_MAX_BYTES;
    c->is_read = true;
    if (c->data && c->length == length && memcmp(c->data, data, length) == 0) {
        return false;
    }
    free(c->data);
    c->data = xstrndup(data, length);
    c->length = length;
    return true;
}

/* Last: 'on_keepers' may remove the shard. */
static void tell(struct keeper_watch_shard *s)
{
    struct keeper_child children[PATHS * CHILDREN_MAX];
    size_t count = 0;
    for (size_t p = 0; p < PATHS; p++) {
        for (size_t i = 0; i < s->paths[p].count; i++) {
            const struct child *c = &s->paths[p].children[i];
            children[count++] = (struct keeper_child){
                .path = (enum election_path)p, .name = c->name, .data = c->data, .length = c->length
            };
        }
    }
    s->is_changed = false;
    s->on_keepers(children, count, s->arg);
}

/* ---- queue ---- */

static void show_load(const struct keeper_watch *w)
{
    metric_set(&reads_under_way, (int64_t)map_count(&w->calls));
    metric_set(&reads_waiting, (int64_t)w->queue_length);
}

static void enqueue(struct keeper_watch_shard *s)
{
    loop_timer_stop(&s->timer);
    s->phase = PHASE_QUEUED;
    if (!list_is_linked(&s->queue_link)) {
        list_push_back(&s->watch->queue, &s->queue_link);
        s->watch->queue_length++;
    }
}

static void dequeue(struct keeper_watch_shard *s)
{
    if (list_is_linked(&s->queue_link)) {
        list_remove(&s->queue_link);
        s->watch->queue_length--;
    }
}

static void begin_reading(struct keeper_watch_shard *s)
{
    dequeue(s);
    s->phase = PHASE_READING;
    for (size_t p = 0; p < PATHS; p++) {
        s->paths[p].is_due |= s->paths[p].is_dirty;
        s->paths[p].is_dirty = false;
    }
    read_next(s);
}

/* False: nothing can be read now. Without a session that is ready the next keeper_watch_set_zk goes on. */
static bool can_read(struct keeper_watch *w)
{
    struct xp_err err;
    if (!w->zk || zk_state(w->zk) != ZK_READY) {
        return false;
    }
    if (w->needs_sync && zk_sync(w->zk, &err) < 0) {
        loop_timer_start(&w->pump_timer, RETRY_FIRST_MS);
        return false;
    }
    w->needs_sync = false;
    return true;
}

static void pump(struct keeper_watch *w)
{
    while (!list_is_empty(&w->queue) && map_count(&w->calls) < (size_t)w->options.reads_max &&
           can_read(w)) {
        begin_reading(LIST_ENTRY(w->queue.next, struct keeper_watch_shard, queue_link));
    }
    show_load(w);
}

static void pump_fired(struct loop_timer *t)
{
    pump(CONTAINER_OF(t, struct keeper_watch, pump_timer));
}

/* ---- one reading ---- */

/* Spread, so that shards that came together do not stay together. */
static mono_ms next_refresh(const struct keeper_watch *w)
{
    int64_t half = w->options.refresh_ms / 2;
    return loop_now(w->options.loop) + half + random_below(half + 1);
}

static void expect_events(struct keeper_watch_shard *s)
{
    int64_t left_ms = s->refresh_at - loop_now(s->watch->options.loop);
    if (s->paths[0].is_dirty || s->paths[1].is_dirty) {
        s->phase = PHASE_GATHERING;
        loop_timer_start(&s->timer, s->watch->options.gather_ms);
    } else {
        s->phase = PHASE_IDLE;
        loop_timer_start(&s->timer, left_ms > 0 ? left_ms : 0);
    }
}

/* Last in its caller. */
static void read_ended(struct keeper_watch_shard *s)
{
    struct keeper_watch *w = s->watch;
    metric_add(&elections_read, 1);
    s->retry_ms = 0;
    expect_events(s);
    pump(w);
    if (s->is_changed) {
        tell(s);
    }
}

/* What was read stays, what is missing is read again. */
static void read_failed(struct keeper_watch_shard *s, const char *path, const char *why)
{
    struct keeper_watch *w = s->watch;
    if (zk_state(w->zk) != ZK_READY) {
        enqueue(s);
        return;
    }
    s->retry_ms = s->retry_ms == 0 ? RETRY_FIRST_MS : s->retry_ms * 2;
    s->retry_ms = s->retry_ms < RETRY_MAX_MS ? s->retry_ms : RETRY_MAX_MS;
    metric_add(&elections_failed, 1);
    log_warn("keepers.unread", "path", path, "error", why, "again_after_ms", log_int(s->retry_ms));
    s->phase = PHASE_RETRYING;
    loop_timer_start(&s->timer, s->retry_ms);
}

static char *path_text(const struct keeper_watch_shard *s, size_t path)
{
    const char *root = s->watch->name_space;
    return path == ELECTION_BY_SHARD
               ? xasprintf("/%s/keepers/cluster_%lld/shard_%lld", root, (long long)s->cluster_id,
                           (long long)s->shard_id)
               : xasprintf("/%s/keepers/repl_%lld", root, (long long)s->shard_id);
}

/* The shard whose call this answers; NULL: nobody waits for it any more. */
static struct keeper_watch_shard *call_ended(struct keeper_watch *w, uint64_t token)
{
    return map_remove_n(&w->calls, token);
}

static void call_failed(struct keeper_watch_shard *s, int rc)
{
    struct keeper_watch *w = s->watch;
    AUTO_FREE char *path = path_text(s, s->at_path);
    read_failed(s, path, xp_code_info(rc)->name);
    pump(w);
}

static void mark(struct keeper_watch_shard *s, enum election_path path)
{
    s->paths[path].is_dirty = true;
    if (s->phase == PHASE_IDLE) {
        expect_events(s);
    }
}

/* "/<ns>/keepers/cluster_<id>/shard_<id>" or "/<ns>/keepers/repl_<id>", as path_text wrote it. */
static void on_watch(const char *path, void *arg)
{
    struct keeper_watch *w = arg;
    const char *name = strrchr(path, '/') + 1;
    const char *number = strchr(name, '_') + 1;
    enum election_path kind = text_has_prefix(name, "repl_") ? ELECTION_BY_REPL : ELECTION_BY_SHARD;
    int64_t id;
    xp_check(text_to_i64(number, strlen(number), INT64_MIN, INT64_MAX, &id));
    for (struct keeper_watch_shard *s = map_get_n(&w->by_id, (uint64_t)id); s; s = s->next_same) {
        mark(s, kind);
    }
}

static void set_absent(struct keeper_watch_shard *s, bool is_absent)
{
    s->paths[s->at_path].is_known = true;
    s->paths[s->at_path].is_absent = is_absent;
    s->watch->is_absent[s->at_path] = is_absent;
}

/* The watch that this sets fires when the path is made. When it is there by now, its children are read next. */
static void on_exists(int rc, const char *data, size_t length, const struct zk_stat *stat,
                      void *arg, uint64_t token)
{
    (void)data;
    (void)length;
    (void)stat;
    struct keeper_watch_shard *s = call_ended(arg, token);
    if (!s) {
        return;
    }
    if (rc != 0 && rc != XP_NOT_FOUND) {
        call_failed(s, rc);
        return;
    }
    struct watched_path *p = &s->paths[s->at_path];
    set_absent(s, rc == XP_NOT_FOUND);
    if (rc == XP_NOT_FOUND) {
        s->is_changed |= p->count > 0;
        path_clear(p);
        p->is_due = false;
    }
    read_next(s);
}

/* A call for the shard is about to be sent: the token by which its answer finds it. */
static uint64_t call_begin(struct keeper_watch_shard *s)
{
    s->token = ++s->watch->next_token;
    map_put_n(&s->watch->calls, s->token, s);
    return s->token;
}

static void call_sent(struct keeper_watch_shard *s, int rc, const char *path,
                      const struct xp_err *err)
{
    if (rc < 0) {
        map_remove_n(&s->watch->calls, s->token);
        read_failed(s, path, err->msg);
    }
}

static void on_children(int rc, const char *const *names, size_t count, void *arg, uint64_t token)
{
    struct keeper_watch_shard *s = call_ended(arg, token);
    if (!s) {
        return;
    }
    if (rc == XP_NOT_FOUND) { /* it must be watched another way */
        set_absent(s, true);
        read_next(s);
        return;
    }
    if (rc != 0) {
        call_failed(s, rc);
        return;
    }
    set_absent(s, false);
    if (count > CHILDREN_MAX) {
        AUTO_FREE char *path = path_text(s, s->at_path);
        log_warn("keepers.too_many", "path", path, "children", log_int((int64_t)count),
                 "ignored_beyond", log_int(CHILDREN_MAX));
    }
    s->is_changed |= path_set_names(&s->paths[s->at_path], names, count);
    read_next(s);
}

/* One that went meanwhile is no child any more; one that must not be read is passed on without data. */
static void on_data(int rc, const char *data, size_t length, const struct zk_stat *stat, void *arg,
                    uint64_t token)
{
    (void)stat;
    struct keeper_watch_shard *s = call_ended(arg, token);
    if (!s) {
        return;
    }
    struct watched_path *p = &s->paths[s->at_path];
    if (rc == XP_NOT_FOUND) {
        path_drop_child(p, s->at_child);
        s->is_changed = true;
    } else if (rc == XP_FORBIDDEN) {
        s->is_changed |= child_set_data(&p->children[s->at_child], "", 0);
    } else if (rc == 0) {
        s->is_changed |= child_set_data(&p->children[s->at_child], data, length);
    } else {
        call_failed(s, rc);
        return;
    }
    read_next(s);
}

/* A path that is there takes one call, one that is not takes another; guessing right saves one. */
static void read_path(struct keeper_watch_shard *s, size_t path_index)
{
    struct xp_err err;
    struct keeper_watch *w = s->watch;
    AUTO_FREE char *path = path_text(s, path_index);
    s->at_path = path_index;
    const struct watched_path *p = &s->paths[path_index];
    bool is_absent = p->is_known ? p->is_absent : w->is_absent[path_index];
    int rc = is_absent ? zk_exists(w->zk, path, on_watch, on_exists, w, call_begin(s), &err)
                       : zk_children(w->zk, path, on_watch, on_children, w, call_begin(s), &err);
    call_sent(s, rc, path, &err);
}

static void read_data(struct keeper_watch_shard *s, size_t path_index, size_t child)
{
    struct xp_err err;
    AUTO_FREE char *parent = path_text(s, path_index);
    AUTO_FREE char *path = xasprintf("%s/%s", parent, s->paths[path_index].children[child].name);
    s->at_path = path_index;
    s->at_child = child;
    int rc = zk_get(s->watch->zk, path, NULL, on_data, s->watch, call_begin(s), &err);
    call_sent(s, rc, path, &err);
}

/* Last in its caller. */
static void read_next(struct keeper_watch_shard *s)
{
    for (size_t p = 0; p < PATHS; p++) {
        if (s->paths[p].is_due) {
            read_path(s, p);
            return;
        }
    }
    for (size_t p = 0; p < PATHS; p++) {
        for (size_t i = 0; i < s->paths[p].count; i++) {
            if (!s->paths[p].children[i].is_read) {
                read_data(s, p, i);
                return;
            }
        }
    }
    read_ended(s);
}

/* ---- shards ---- */

static void make_dirty(struct keeper_watch_shard *s, bool with_data)
{
    for (size_t p = 0; p < PATHS; p++) {
        s->paths[p].is_dirty = true;
        for (size_t i = 0; with_data && i < s->paths[p].count; i++) {
            s->paths[p].children[i].is_read = false;
        }
    }
    s->refresh_at = next_refresh(s->watch);
}

static void timer_fired(struct loop_timer *t)
{
    struct keeper_watch_shard *s = CONTAINER_OF(t, struct keeper_watch_shard, timer);
    if (s->phase == PHASE_IDLE) {
        make_dirty(s, true);
    }
    enqueue(s);
    pump(s->watch);
}

struct keeper_watch_shard *keeper_watch_add(struct keeper_watch *w, int64_t cluster_id,
                                            int64_t shard_id, keeper_children_fn *on_keepers,
                                            void *arg)
{
    XP_ON_LOOP();
    struct keeper_watch_shard *s = xcalloc(1, sizeof(*s));
    s->watch = w;
    s->cluster_id = cluster_id;
    s->shard_id = shard_id;
    s->on_keepers = on_keepers;
    s->arg = arg;
    s->is_changed = true; /* none is news, too */
    list_init(&s->queue_link);
    list_push_back(&w->shards, &s->link);
    loop_timer_init(&s->timer, w->options.loop, timer_fired);
    s->next_same = map_put_n(&w->by_id, (uint64_t)shard_id, s);
    make_dirty(s, true);
    enqueue(s);
    pump(w);
    return s;
}

static void forget_id(struct keeper_watch *w, struct keeper_watch_shard *s)
{
    struct keeper_watch_shard *first = map_get_n(&w->by_id, (uint64_t)s->shard_id);
    if (first == s && !s->next_same) {
        map_remove_n(&w->by_id, (uint64_t)s->shard_id);
    } else if (first == s) {
        map_put_n(&w->by_id, (uint64_t)s->shard_id, s->next_same);
    } else {
        while (first->next_same != s) {
            first = first->next_same;
        }
        first->next_same = s->next_same;
    }
}

void keeper_watch_remove(struct keeper_watch *w, struct keeper_watch_shard *s)
{
    if (!s) {
        return;
    }
    XP_ON_LOOP();
    map_remove_n(&w->calls, s->token);
    forget_id(w, s);
    dequeue(s);
    list_remove(&s->link);
    loop_timer_stop(&s->timer);
    for (size_t p = 0; p < PATHS; p++) {
        path_clear(&s->paths[p]);
    }
    free(s);
    pump(w);
}

/* ---- the whole ---- */

struct keeper_watch *keeper_watch_new(const struct keeper_watch_options *options)
{
    xp_check(options->gather_ms >= 0 && options->refresh_ms > 0 && options->reads_max > 0);
    struct keeper_watch *w = xcalloc(1, sizeof(*w));
    w->options = *options;
    w->name_space = xstrdup(options->zk_namespace);
    w->options.zk_namespace = w->name_space;
    list_init(&w->shards);
    list_init(&w->queue);
    w->by_id = MAP_INIT(MAP_NUMBER);
    w->calls = MAP_INIT(MAP_NUMBER);
    loop_timer_init(&w->pump_timer, options->loop, pump_fired);
    metric_register(&elections_read);
    metric_register(&elections_failed);
    show_load(w);
    return w;
}

void keeper_watch_free(struct keeper_watch *w)
{
    if (!w) {
        return;
    }
    xp_check(list_is_empty(&w->shards));
    zk_forget(w->zk, w);
    loop_timer_stop(&w->pump_timer);
    map_done(&w->by_id);
    map_done(&w->calls);
    free(w->name_space);
    free(w);
}

/* In the same session what latch nodes hold stays known; only who is there may have changed. */
void keeper_watch_set_zk(struct keeper_watch *w, struct zk *zk)
{
    XP_ON_LOOP();
    if (w->zk != zk) {
        zk_forget(w->zk, w);
        w->epoch = 0;
    }
    bool is_new_session = !zk || zk_epoch(zk) != w->epoch;
    w->zk = zk;
    w->epoch = zk ? zk_epoch(zk) : 0;
    w->needs_sync = true;
    map_done(&w->calls); /* what is under way is not answered to anybody */
    list_for_each (it, &w->shards) {
        struct keeper_watch_shard *s = LIST_ENTRY(it, struct keeper_watch_shard, link);
        make_dirty(s, is_new_session);
        s->retry_ms = 0;
        enqueue(s);
    }
    pump(w);
}
