/* zones.c - see zones.h. */
#include "console/catalog/zones.h"
#include "console/catalog/lookup.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

static int create_in(struct change *change, void *arg, struct xp_err *err)
{
    struct service_job *job = arg;
    const char *name = job->args;
    int64_t taken = 0;
    int rc = query_i64(change->db, Q_ZONE_BY_NAME, QUERY_ARGS(QT(name)), &taken, err);
    if (rc == 0 && taken) {
        rc = xp_fail(err, XP_CONFLICT, "zone %s already exists", name);
    }
    if (rc == 0) {
        rc = query_run(change->db, Q_ZONE_INSERT, QUERY_ARGS(QT(name), QI(change->now_ms)), err);
    }
    job->result.object_id = db_last_id(change->db);
    change_note(change, "zone", name);
    return rc;
}

int zones_create(struct catalog *cat, const struct change_ctx *ctx, const char *name,
                 struct catalog_result *ret_result, struct xp_err *err)
{
    if (text_is_empty(name)) {
        return xp_fail(err, XP_INVALID, "zone name empty");
    }
    int rc = name_check("zone name", name, err);
    if (rc != 0) {
        return rc;
    }
    struct service_job job = { .args = name };
    struct store_op op = { .name = "zone.create", .fn = create_in, .arg = &job };
    return catalog_change(cat, ctx, &op, ret_result, err);
}

struct zone_range {
    int64_t first_id;
    int64_t last_id;
};

static int list_in(struct db *db, void *arg, struct xp_err *err)
{
    const struct read_job *job = arg;
    const struct zone_range *range = job->args;
    struct zone_rows *rows = job->ret;
    CLEANUP(db_stmt_done)
    struct db_stmt s =
        query_open(db, Q_ZONE_LIST, QUERY_ARGS(QI(range->first_id), QI(range->last_id)));
    int rc = 0;
    while ((rc = db_step(&s, err)) == DB_ROW) {
        struct zone_row *row = ARRAY_ADD(rows->items, rows->count);
        *row = (struct zone_row){ db_col_i64(&s, 0), query_text(&s, 1), db_col_i64(&s, 2) };
    }
    return rc;
}

static int read_range(struct catalog *cat, const struct zone_range *range,
                      struct zone_rows *ret_rows, struct xp_err *err)
{
    struct zone_rows rows = { 0 };
    struct read_job job = { .cat = cat, .args = range, .ret = &rows };
    int rc = store_read(cat->store, list_in, &job, err);
    if (rc != 0) {
        zones_done(&rows);
        return rc;
    }
    *ret_rows = rows;
    return 0;
}

int zones_list(struct catalog *cat, struct zone_rows *ret_rows, struct xp_err *err)
{
    return read_range(cat, &(struct zone_range){ 0, INT64_MAX }, ret_rows, err);
}

int zones_get(struct catalog *cat, int64_t id, struct zone_row *ret_row, struct xp_err *err)
{
    struct zone_rows rows = { 0 };
    int rc = read_range(cat, &(struct zone_range){ id, id }, &rows, err);
    if (rc == 0 && rows.count == 0) {
        rc = xp_fail(err, XP_NOT_FOUND, "zone %lld does not exist", (long long)id);
    }
    if (rc == 0) {
        *ret_row = rows.items[0];
        rows.count = 0; /* handed over */
    }
    zones_done(&rows);
    return rc;
}

void zone_row_done(struct zone_row *row)
{
    free(row->name);
    *row = (struct zone_row){ 0 };
}

void zones_done(struct zone_rows *rows)
{
    for (size_t i = 0; i < rows->count; i++) {
        zone_row_done(&rows->items[i]);
    }
    free(rows->items);
    *rows = (struct zone_rows){ 0 };
}
