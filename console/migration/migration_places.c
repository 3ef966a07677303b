/* migration_places.c - where the Redis of a cluster under migration stand, read once on a worker and kept while it migrates (see
 * migration_calls_internal.h): topology does not change meanwhile, the cluster is locked. */
#include <stdio.h>

#include "console/migration/migration_calls_internal.h"
#include "console/store/query.h"
#include "shared/base/banned.h"

enum { FRESH_MS = 1000, PLACES_MAX = 65536 };

struct places_entry { /* owner: loop; while is_reading the worker writes 'read' */
    struct job job;
    struct migration_calls *owner;
    int64_t id;
    int64_t cluster_id;
    struct places *places; /* NULL: not read yet */
    mono_ms read_at;
    bool is_reading;
    bool is_forgotten;
    struct list waiting; /* calls */
    struct places *read;
    struct xp_err err;
};

/* ---- reading ---- */

static void places_free(struct places *p)
{
    if (!p) {
        return;
    }
    for (size_t i = 0; i < p->dc_count; i++) {
        free(p->dcs[i].name);
    }
    free(p->redis);
    free(p);
}

static int read_dcs(struct db *db, int64_t cluster_id, struct places *p, struct xp_err *err)
{
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(db, Q_CLUSTER_DCS, QUERY_ARGS(QI(cluster_id)));
    int rc;
    while ((rc = db_step(&s, err)) == DB_ROW) {
        if (p->dc_count == MIGRATION_DCS_MAX) {
            return xp_fail(err, XP_TOO_LARGE, "cluster %lld has more than %d DCs",
                           (long long)cluster_id, MIGRATION_DCS_MAX);
        }
        p->dcs[p->dc_count++] =
            (struct place_dc){ .id = db_col_i64(&s, 0), .name = query_text(&s, 1) };
    }
    return rc;
}

static int read_redis(struct db *db, int64_t cluster_id, struct places *p, struct xp_err *err)
{
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(db, Q_SWITCH_PLACES, QUERY_ARGS(QI(cluster_id)));
    size_t room = 0;
    int rc;
    while ((rc = db_step(&s, err)) == DB_ROW) {
        if (db_col_is_null(&s, 2)) {
            continue;
        }
        if (p->redis_count == PLACES_MAX) {
            return xp_fail(err, XP_TOO_LARGE, "cluster %lld has more than %d redises",
                           (long long)cluster_id, PLACES_MAX);
        }
        if (p->redis_count == room) {
            room = room ? 2 * room : 64;
            p->redis = xrealloc(p->redis, room, sizeof(*p->redis));
        }
        p->redis[p->redis_count++] =
            (struct place_redis){ .dc_id = db_col_i64(&s, 0),
                                  .shard_id = db_col_i64(&s, 1),
                                  .addr = addr_of(db_col_text(&s, 2), (int)db_col_i64(&s, 3)),
                                  .is_master = db_col_i64(&s, 4) != 0 };
    }
    return rc;
}

static int read_places(struct db *db, void *arg, struct xp_err *err)
{
    struct places_entry *e = arg;
    int rc = read_dcs(db, e->cluster_id, e->read, err);
    return rc < 0 ? rc : read_redis(db, e->cluster_id, e->read, err);
}

static void run_read(struct job *job)
{
    struct places_entry *e = CONTAINER_OF(job, struct places_entry, job);
    e->read = xcalloc(1, sizeof(*e->read));
    e->err = (struct xp_err){ 0 };
    if (store_read(e->owner->o.catalog->store, read_places, e, &e->err) < 0) {
        places_free(TAKE(e->read));
    }
}

/* ---- waiting for it ---- */

static void entry_free(struct places_entry *e)
{
    places_free(e->places);
    places_free(e->read);
    free(e);
}

static void let_go_on(struct places_entry *e)
{
    struct list *link;
    while ((link = list_pop_front(&e->waiting))) {
        struct call *call = LIST_ENTRY(link, struct call, places_link);
        call->places = e->places;
        if (!e->places) {
            call->places_error = xasprintf("the addresses could not be read: %s", e->err.msg);
        }
        if (call_drop(call)) {
            call->go_on(call);
        }
    }
}

/* The places before stay as long as a call may use them: those are the same. A failure keeps them, too. */
static void read_ended(struct job *job)
{
    struct places_entry *e = CONTAINER_OF(job, struct places_entry, job);
    e->is_reading = false;
    if (job->outcome != 0) {
        (void)xp_fail(&e->err, XP_UNAVAILABLE, "the daemon is shutting down");
    }
    if (e->read) {
        struct places *old = e->places;
        e->places = TAKE(e->read);
        e->read_at = loop_now(e->owner->o.loop);
        list_for_each (it, &e->owner->calls) {
            struct call *call = LIST_ENTRY(it, struct call, link);
            if (call->places == old) {
                call->places = e->places;
            }
        }
        places_free(old);
    }
    let_go_on(e);
    if (e->is_forgotten) {
        entry_free(e);
    }
}

static void start_read(struct places_entry *e)
{
    struct xp_err err = { 0 };
    e->job = (struct job){ .run = run_read, .done = read_ended, .deadline = MONO_FOREVER };
    e->is_reading = true;
    if (worker_submit(e->owner->o.pool, &e->job, &err) < 0) {
        e->is_reading = false;
        e->err = err;
        let_go_on(e);
    }
}

static struct places_entry *entry_of(struct migration_calls *m, const struct call *call)
{
    struct places_entry *e = map_get_n(&m->places, (uint64_t)call->id);
    if (!e) {
        e = xcalloc(1, sizeof(*e));
        e->owner = m;
        e->id = call->id;
        e->cluster_id = call->cluster_id;
        list_init(&e->waiting);
        map_put_n(&m->places, (uint64_t)e->id, e);
    }
    return e;
}

void call_with_places(struct call *call, bool is_fresh, void (*go_on)(struct call *))
{
    struct migration_calls *m = call->owner;
    struct places_entry *e = entry_of(m, call);
    bool is_old = is_fresh && loop_now(m->o.loop) - e->read_at > FRESH_MS;
    if (e->places && !is_old) {
        call->places = e->places;
        go_on(call);
        return;
    }
    call->go_on = go_on;
    call_hold(call);
    list_push_back(&e->waiting, &call->places_link);
    if (!e->is_reading) {
        start_read(e);
    }
}

void places_forget(struct migration_calls *m, int64_t migration_cluster_id)
{
    struct places_entry *e = map_remove_n(&m->places, (uint64_t)migration_cluster_id);
    if (!e) {
        return;
    }
    if (e->is_reading) {
        e->is_forgotten = true;
    } else {
        entry_free(e);
    }
}

void places_free_all(struct migration_calls *m)
{
    size_t at = 0;
    const struct map_slot *slot;
    while ((slot = map_next(&m->places, &at))) {
        entry_free(slot->value);
    }
    map_done(&m->places);
}
