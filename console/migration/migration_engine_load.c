/* migration_engine_load.c - what the engine reads outside of its turns, on workers: the migrations that are not over, and those that are
 * when somebody asks about them. And the answers of asks. */
#include <string.h>

#include "console/migration/migration_engine_internal.h"
#include "console/store/query.h"
#include "shared/base/mem.h"
#include "shared/base/banned.h"

/* ---- answers ---- */

void ask_free(struct ask *a)
{
    free(a->actor);
    free(a);
}

void ask_answer(struct ask *a, int rc, const struct xp_err *err)
{
    static const struct xp_err no_err;
    if (a->done) {
        a->done(rc, err ? err : &no_err, a->arg);
    }
    ask_free(a);
}

void ask_refuse(struct ask *a, enum xp_code code, const char *why)
{
    struct xp_err err = { 0 };
    (void)xp_fail(&err, code, "%s", why);
    ask_answer(a, code, &err);
}

/* ---- what is not over, under the epoch of this process ---- */

/* Higher than any in the rows; and, where the database is a copy from yesterday, than those that metaservers have seen since. */
static int find_epoch(struct load_job *l, struct db *db, struct xp_err *err)
{
    int64_t highest = 0;
    int rc = query_i64(db, Q_ENGINE_EPOCH, QUERY_NO_ARGS, &highest, err);
    int64_t now_s = clock_wall_ms() / 1000;
    l->epoch = highest >= now_s ? highest + 1 : now_s;
    return rc;
}

static int read_events(struct load_job *l, struct db *db, struct xp_err *err)
{
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(db, Q_ENGINE_EVENTS, QUERY_NO_ARGS);
    int rc;
    while ((rc = db_step(&s, err)) == DB_ROW) {
        if (l->event_count == l->event_room) {
            l->event_room = l->event_room ? 2 * l->event_room : 16;
            l->events = xrealloc(l->events, l->event_room, sizeof(*l->events));
        }
        struct loaded_event *ev = &l->events[l->event_count++];
        *ev = (struct loaded_event){ .id = db_col_i64(&s, 0),
                                     .is_started = db_col_i64(&s, 2) != 0,
                                     .begun_count = db_col_i64(&s, 3),
                                     .success_count = db_col_i64(&s, 4) };
        if (!migration_policy_from_text(db_col_text(&s, 1), &ev->policy)) {
            return xp_fail(err, XP_INTERNAL, "event %lld has the unknown policy '%s'",
                           (long long)ev->id, db_col_text(&s, 1));
        }
    }
    return rc;
}

static int read_rows(struct load_job *l, struct db *db, struct xp_err *err)
{
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(db, Q_ENGINE_ROWS, QUERY_NO_ARGS);
    int rc;
    while ((rc = db_step(&s, err)) == DB_ROW) {
        if (l->count == l->room) {
            l->room = l->room ? 2 * l->room : 64;
            l->rows = xrealloc(l->rows, l->room, sizeof(*l->rows));
        }
        struct loaded_row *row = &l->rows[l->count++];
        *row = (struct loaded_row){ .id = db_col_i64(&s, 0),
                                    .event_id = db_col_i64(&s, 1),
                                    .cluster_id = db_col_i64(&s, 2),
                                    .cluster = query_text(&s, 3) };
        if (!migration_status_from_text(db_col_text(&s, 4), &row->status)) {
            return xp_fail(err, XP_INTERNAL, "migration %lld has the unknown status '%s'",
                           (long long)row->id, db_col_text(&s, 4));
        }
    }
    return rc;
}

static int load_rows(struct db *db, void *arg, struct xp_err *err)
{
    struct load_job *l = arg;
    if (l->epoch == 0 && find_epoch(l, db, err) < 0) {
        return err->code;
    }
    if (query_run(db, Q_ENGINE_TAKE, QUERY_ARGS(QI(l->epoch)), err) < 0 ||
        read_events(l, db, err) < 0) {
        return err->code;
    }
    return read_rows(l, db, err);
}

void load_run(struct job *job)
{
    struct load_job *l = CONTAINER_OF(job, struct load_job, job);
    l->rc = store_bookkeep(l->engine->o.catalog->store, load_rows, l, &l->err);
}

void load_free(struct load_job *l)
{
    for (size_t i = 0; i < l->count; i++) {
        free(l->rows[i].cluster);
    }
    free(l->rows);
    free(l->events);
    free(l);
}

/* ---- what is over: asked about all the same ---- */

struct look_job {
    struct job job;
    struct ask *ask;
    int rc;
    struct xp_err err;
};

static int look_at_event(struct db *db, const struct ask *a, struct xp_err *err)
{
    int64_t count = 0;
    if (query_i64(db, Q_ENGINE_EVENT_EXISTS, QUERY_ARGS(QI(a->event_id)), &count, err) < 0) {
        return err->code;
    }
    return count > 0 ? 0
                     : xp_fail(err, XP_NOT_FOUND, "event not found:%lld", (long long)a->event_id);
}

static int look_at_row(struct db *db, void *arg, struct xp_err *err)
{
    const struct ask *a = arg;
    if (a->id == 0) {
        return look_at_event(db, a, err);
    }
    struct migration_cluster_row row = { 0 };
    int rc = migration_load(db, a->id, &row, err);
    if (rc == 0) {
        rc = migration_ask_check(&row, a->what, err);
        migration_cluster_row_done(&row);
    }
    return rc;
}

static void look_run(struct job *job)
{
    struct look_job *l = CONTAINER_OF(job, struct look_job, job);
    l->rc = store_read(l->ask->engine->o.catalog->store, look_at_row, l->ask, &l->err);
}

static void look_ended(struct job *job)
{
    struct look_job *l = CONTAINER_OF(job, struct look_job, job);
    l->ask->engine->looks--;
    if (job->outcome != 0) {
        ask_refuse(l->ask, XP_UNAVAILABLE, "the console is shutting down, try again");
    } else {
        ask_answer(l->ask, l->rc, &l->err);
    }
    free(l);
}

void look_for(struct migration_engine *e, struct ask *a)
{
    struct look_job *l = xcalloc(1, sizeof(*l));
    struct xp_err err = { 0 };
    l->job = (struct job){ .run = look_run, .done = look_ended, .deadline = MONO_FOREVER };
    l->ask = a;
    if (worker_submit(e->o.pool, &l->job, &err) < 0) {
        free(l);
        ask_answer(a, err.code, &err);
        return;
    }
    e->looks++;
}
