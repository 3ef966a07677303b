/* outbox.c - see outbox.h. */
#include "console/store/outbox.h"
#include "console/store/query.h"
#include "shared/base/mem.h"

#include "shared/base/banned.h"

enum { LIST_ROWS_MAX = 10000 };

static int put_row(const struct change *change, const struct outbox_row *row, wall_ms since_ms,
                   struct xp_err *err)
{
    return query_run(change->db, Q_OUTBOX_PUT,
                     QUERY_ARGS(QI(row->dc_id), QT(row->cluster_name), QT(row->cluster_type),
                                QI(row->is_deleted), QI(change->idx), QI(since_ms)),
                     err);
}

/* Too many rows for one DC: its metaservers are away, one fetch of the whole document is cheaper than all of them. */
static int collapse(const struct change *change, int64_t dc_id, wall_ms since_ms,
                    struct xp_err *err)
{
    int rc = query_run(change->db, Q_OUTBOX_CLEAR_DC, QUERY_ARGS(QI(dc_id)), err);
    if (rc != 0) {
        return rc;
    }
    char none[] = "";
    struct outbox_row whole = { .dc_id = dc_id, .cluster_name = none, .cluster_type = none };
    return put_row(change, &whole, since_ms, err);
}

static int count_rows(const struct change *change, int64_t dc_id, int64_t *ret_count,
                      wall_ms *ret_since_ms, struct xp_err *err)
{
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(change->db, Q_OUTBOX_COUNT_DC, QUERY_ARGS(QI(dc_id)));
    int rc = db_step(&s, err);
    if (rc < 0) {
        return rc;
    }
    *ret_count = db_col_i64(&s, 0);
    *ret_since_ms = db_col_i64(&s, 1);
    return 0;
}

/* Only puts make rows: after a count of n, OUTBOX_ROWS_PER_DC_MAX - n of them fit for sure, so that a row does not pay for
 * all that wait already. A put that is rolled back makes it count earlier; a collapse that is rolled back lets at most twice
 * as many in before the next count. */
static bool surely_fits(const struct change *change, int64_t dc_id)
{
    uintptr_t room = (uintptr_t)map_remove_n(change->outbox_room, (uint64_t)dc_id);
    if (room > 1) {
        (void)map_put_n(change->outbox_room, (uint64_t)dc_id, (void *)(room - 1));
    }
    return room > 0;
}

int outbox_put(const struct change *change, const struct outbox_row *row, struct xp_err *err)
{
    int rc = put_row(change, row, change->now_ms, err);
    if (rc != 0 || surely_fits(change, row->dc_id)) {
        return rc;
    }
    int64_t count = 0;
    wall_ms since_ms = 0;
    rc = count_rows(change, row->dc_id, &count, &since_ms, err);
    if (rc != 0) {
        return rc;
    }
    if (count > OUTBOX_ROWS_PER_DC_MAX) {
        return collapse(change, row->dc_id, since_ms, err);
    }
    if (count < OUTBOX_ROWS_PER_DC_MAX) {
        (void)map_put_n(change->outbox_room, (uint64_t)row->dc_id,
                        (void *)(uintptr_t)(OUTBOX_ROWS_PER_DC_MAX - count));
    }
    return 0;
}

struct list_job {
    int64_t dc_id;
    int limit;
    struct outbox_rows *rows;
};

static int read_list(struct db *db, void *arg, struct xp_err *err)
{
    struct list_job *job = arg;
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(db, Q_OUTBOX_LIST, QUERY_ARGS(QI(job->dc_id), QI(job->limit)));
    int rc = 0;
    while ((rc = db_step(&s, err)) == DB_ROW) {
        job->rows->items[job->rows->count++] = (struct outbox_row){
            .dc_id = db_col_i64(&s, 0),
            .dc_name = query_text(&s, 1),
            .cluster_name = query_text(&s, 2),
            .cluster_type = query_text(&s, 3),
            .is_deleted = db_col_i64(&s, 4) != 0,
            .idx = db_col_i64(&s, 5),
            .since_ms = db_col_i64(&s, 6),
        };
    }
    return rc;
}

int outbox_list(struct store *store, int64_t dc_id, int limit, struct outbox_rows *ret_rows,
                struct xp_err *err)
{
    if (limit < 1 || limit > LIST_ROWS_MAX) {
        return xp_fail(err, XP_INVALID, "limit %d: must be 1..%d", limit, LIST_ROWS_MAX);
    }
    struct outbox_rows rows = { .items = xcalloc((size_t)limit, sizeof(*rows.items)) };
    struct list_job job = { .dc_id = dc_id, .limit = limit, .rows = &rows };
    int rc = store_read(store, read_list, &job, err);
    if (rc != 0) {
        outbox_rows_done(&rows);
        return rc;
    }
    *ret_rows = rows;
    return 0;
}

void outbox_rows_done(struct outbox_rows *rows)
{
    for (size_t i = 0; i < rows->count; i++) {
        free(rows->items[i].dc_name);
        free(rows->items[i].cluster_name);
        free(rows->items[i].cluster_type);
    }
    free(rows->items);
    *rows = (struct outbox_rows){ 0 };
}

struct ack_job {
    const struct outbox_row *rows;
    size_t count;
};

static int run_ack(struct db *db, void *arg, struct xp_err *err)
{
    const struct ack_job *job = arg;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < job->count; i++) {
        const struct outbox_row *row = &job->rows[i];
        rc = query_run(db, Q_OUTBOX_ACK,
                       QUERY_ARGS(QI(row->dc_id), QT(row->cluster_name), QI(row->idx)), err);
    }
    return rc;
}

int outbox_ack(struct store *store, const struct outbox_row *rows, size_t count, struct xp_err *err)
{
    struct ack_job job = { .rows = rows, .count = count };
    return count == 0 ? 0 : store_bookkeep(store, run_ack, &job, err);
}

static int read_count(struct db *db, void *arg, struct xp_err *err)
{
    return query_i64(db, Q_OUTBOX_COUNT, QUERY_NO_ARGS, arg, err);
}

int outbox_count(struct store *store, int64_t *ret_count, struct xp_err *err)
{
    int64_t count = 0;
    int rc = store_read(store, read_count, &count, err);
    if (rc == 0) {
        *ret_count = count;
    }
    return rc;
}
