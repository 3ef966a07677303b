/* migration_wait.c - see migration_wait.h. */
#include "console/migration/migration_wait.h"

#include "console/catalog/lookup.h"
#include "shared/base/log.h"
#include "shared/base/map.h"
#include "shared/base/mem.h"
#include "shared/base/metrics.h"
#include "shared/base/thread.h"
#include "shared/model/json_decode.h"

#include "shared/base/banned.h"

enum { TICK_MS = 50, MAX_DEFAULT = 896 };

struct waiting {
    struct list link;
    int64_t id; /* of migration_cluster_tbl */
    mono_ms deadline;
    migration_waited_fn *fn;
    void *arg;
};

struct found { /* by a read */
    int64_t id;
    enum migration_status status;
};

struct migration_waits {
    struct loop *loop;
    struct worker_pool *pool;
    struct catalog *catalog;
    int64_t max;    /* atomic */
    int64_t inside; /* atomic */
    bool is_stopped;
    struct loop_timer timer;
    struct list list; /* struct waiting */
    /* the read under way; the worker's while it runs */
    struct job job;
    bool is_reading;
    char *ids; /* JSON list */
    struct map asked;
    struct found *found;
    size_t found_count;
    int rc;
};

static struct metric inside_gauge =
    METRIC_GAUGE_INIT("xpipe_migration_waiting_requests", "",
                      "Requests that are answered when a migration is over or paused.");

/* ---- the door ---- */

bool migration_waits_enter(struct migration_waits *w)
{
    int64_t inside = __atomic_add_fetch(&w->inside, 1, __ATOMIC_ACQ_REL);
    if (inside > __atomic_load_n(&w->max, __ATOMIC_RELAXED)) {
        migration_waits_leave(w);
        return false;
    }
    metric_set(&inside_gauge, inside);
    return true;
}

void migration_waits_leave(struct migration_waits *w)
{
    metric_set(&inside_gauge, __atomic_sub_fetch(&w->inside, 1, __ATOMIC_ACQ_REL));
}

/* ---- ends ---- */

static void end(struct waiting *item, int rc, enum migration_status status)
{
    migration_waited_fn *fn = item->fn;
    void *arg = item->arg;
    list_remove(&item->link);
    free(item);
    fn(rc, status, arg);
}

/* Those that are in the list now; a callback may add others. 'ends' says whether, and how. */
static void sweep(struct migration_waits *w,
                  bool (*ends)(const struct migration_waits *, const struct waiting *, int *ret_rc,
                               enum migration_status *ret_status))
{
    struct list due;
    list_init(&due);
    struct list *next;
    for (struct list *it = w->list.next; it != &w->list; it = next) {
        int rc = 0;
        enum migration_status status = MIG_INITIATED;
        next = it->next;
        if (ends(w, LIST_ENTRY(it, struct waiting, link), &rc, &status)) {
            list_remove(it);
            list_push_back(&due, it);
        }
    }
    while (!list_is_empty(&due)) {
        struct waiting *item = LIST_ENTRY(due.next, struct waiting, link);
        int rc = 0;
        enum migration_status status = MIG_INITIATED;
        (void)ends(w, item, &rc, &status);
        end(item, rc, status);
    }
}

static bool is_late(const struct migration_waits *w, const struct waiting *item, int *ret_rc,
                    enum migration_status *ret_status)
{
    (void)ret_status;
    *ret_rc = XP_TIMEOUT;
    return loop_now(w->loop) >= item->deadline;
}

static bool is_dismissed(const struct migration_waits *w, const struct waiting *item, int *ret_rc,
                         enum migration_status *ret_status)
{
    (void)w;
    (void)item;
    (void)ret_status;
    *ret_rc = XP_UNAVAILABLE;
    return true;
}

static bool is_at_rest(const struct migration_waits *w, const struct waiting *item, int *ret_rc,
                       enum migration_status *ret_status)
{
    if (!map_get_n(&w->asked, (uint64_t)item->id)) {
        return false; /* came later than the read */
    }
    for (size_t i = 0; i < w->found_count; i++) {
        if (w->found[i].id == item->id) {
            const struct migration_status_info *info = migration_status_info(w->found[i].status);
            *ret_status = w->found[i].status;
            return info->is_terminal || info->is_paused;
        }
    }
    *ret_rc = XP_NOT_FOUND;
    return true;
}

/* ---- reading ---- */

static int read_in(struct db *db, void *arg, struct xp_err *err)
{
    struct migration_waits *w = arg;
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(db, Q_MIGRATION_STATUSES, QUERY_ARGS(QT(w->ids)));
    int rc;
    while ((rc = db_step(&s, err)) == DB_ROW) {
        struct found *found = ARRAY_ADD(w->found, w->found_count);
        found->id = db_col_i64(&s, 0);
        if (!migration_status_from_text(db_col_text(&s, 1), &found->status)) {
            return xp_fail(err, XP_INTERNAL, "migration %lld: unknown status in its row",
                           (long long)found->id);
        }
    }
    return rc;
}

static void run_read(struct job *job)
{
    struct migration_waits *w = CONTAINER_OF(job, struct migration_waits, job);
    struct xp_err err = { 0 };
    w->rc = store_read(w->catalog->store, read_in, w, &err);
    if (w->rc != 0) {
        log_warn("migration.wait_not_read", "why", err.msg, "next", "it is read again");
    }
}

static void forget_read(struct migration_waits *w)
{
    map_done(&w->asked);
    free(TAKE(w->ids));
    free(TAKE(w->found));
    w->found_count = 0;
}

static void read_ended(struct job *job)
{
    struct migration_waits *w = CONTAINER_OF(job, struct migration_waits, job);
    w->is_reading = false;
    if (job->outcome == 0 && w->rc == 0) {
        sweep(w, is_at_rest);
    }
    forget_read(w);
}

static void start_read(struct migration_waits *w)
{
    json_auto_t *ids = json_array();
    list_for_each (it, &w->list) {
        struct waiting *item = LIST_ENTRY(it, struct waiting, link);
        if (!map_put_n(&w->asked, (uint64_t)item->id, w)) {
            (void)json_array_append_new(ids, json_integer(item->id));
        }
    }
    w->ids = json_dumps(ids, JSON_COMPACT);
    w->job = (struct job){ .run = run_read, .done = read_ended, .deadline = MONO_FOREVER };
    w->is_reading = worker_submit(w->pool, &w->job, NULL) == 0;
    if (!w->is_reading) {
        forget_read(w); /* full: at the next tick */
    }
}

static void tick(struct loop_timer *timer)
{
    struct migration_waits *w = CONTAINER_OF(timer, struct migration_waits, timer);
    sweep(w, is_late);
    if (list_is_empty(&w->list)) {
        return;
    }
    if (!w->is_reading) {
        start_read(w);
    }
    loop_timer_start(timer, TICK_MS);
}

void migration_waits_add(struct migration_waits *w, int64_t migration_cluster_id, mono_ms deadline,
                         migration_waited_fn *fn, void *arg)
{
    XP_ON_LOOP();
    if (w->is_stopped) {
        fn(XP_UNAVAILABLE, MIG_INITIATED, arg);
        return;
    }
    struct waiting *item = xcalloc(1, sizeof(*item));
    *item =
        (struct waiting){ .id = migration_cluster_id, .deadline = deadline, .fn = fn, .arg = arg };
    list_push_back(&w->list, &item->link);
    if (!loop_timer_is_running(&w->timer)) {
        loop_timer_start(&w->timer, TICK_MS);
    }
}

/* ---- life ---- */

struct migration_waits *migration_waits_new(struct loop *loop, struct worker_pool *pool,
                                            struct catalog *catalog)
{
    struct migration_waits *w = xcalloc(1, sizeof(*w));
    *w = (struct migration_waits){ .loop = loop,
                                   .pool = pool,
                                   .catalog = catalog,
                                   .max = MAX_DEFAULT,
                                   .asked = MAP_INIT(MAP_NUMBER) };
    list_init(&w->list);
    loop_timer_init(&w->timer, loop, tick);
    metric_register(&inside_gauge);
    return w;
}

void migration_waits_configure(struct migration_waits *w, int64_t max)
{
    __atomic_store_n(&w->max, max, __ATOMIC_RELAXED);
}

void migration_waits_stop(struct migration_waits *w)
{
    w->is_stopped = true;
    loop_timer_stop(&w->timer);
    sweep(w, is_dismissed);
}

void migration_waits_free(struct migration_waits *w)
{
    if (w) {
        migration_waits_stop(w);
        forget_read(w);
        free(w);
    }
}
