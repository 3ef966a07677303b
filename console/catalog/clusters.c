/* clusters.c - reading clusters; see clusters.h. Changes are in clusters_change.c. */
#include "console/catalog/clusters.h"
#include "console/catalog/lookup.h"

#include "shared/base/banned.h"

static void read_row(const struct db_stmt *s, struct cluster_row *ret_row)
{
    *ret_row = (struct cluster_row){
        .id = db_col_i64(s, 0),
        .name = query_text(s, 1),
        .type = query_text(s, 2),
        .description = query_text(s, 3),
        .org_pk = db_col_i64(s, 4),
        .org_id = db_col_i64(s, 5),
        .org_name = query_text(s, 6),
        .admin_emails = query_text(s, 7),
        .status = query_text(s, 8),
        .tag = query_text(s, 9),
        .active_dc = xstrdup(db_col_text(s, 10)),
        .last_modified = query_text(s, 11),
        .created_ms = db_col_i64(s, 12),
        .version = db_col_i64(s, 13),
    };
    split_lines(db_col_text(s, 14), &ret_row->dcs);
}

static int get_in(struct db *db, void *arg, struct xp_err *err)
{
    const struct read_job *job = arg;
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(db, Q_CLUSTER_GET, QUERY_ARGS(QT(job->args)));
    int rc = db_step(&s, err);
    if (rc == 0) {
        return xp_fail(err, XP_NOT_FOUND, "cluster %s not found", (const char *)job->args);
    }
    if (rc == DB_ROW) {
        read_row(&s, job->ret);
        return 0;
    }
    return rc;
}

int clusters_get(struct catalog *cat, const char *name, struct cluster_row *ret_row,
                 struct xp_err *err)
{
    struct read_job job = { .cat = cat, .args = name, .ret = ret_row };
    return store_read(cat->store, get_in, &job, err);
}

static int list_in(struct db *db, void *arg, struct xp_err *err)
{
    const struct read_job *job = arg;
    const struct cluster_filter *filter = job->args;
    struct cluster_rows *rows = job->ret;
    struct dc_ref dc = { 0 };
    int rc = filter->dc ? find_dc(job->cat, db, filter->dc, &dc, err) : 0;
    if (rc != 0 || (filter->dc && !dc.id)) {
        return rc; /* nothing is bound to a DC that does not exist */
    }
    AUTO_FREE char *types = types_json(filter->types);
    CLEANUP(db_stmt_done)
    struct db_stmt s =
        query_open(db, Q_CLUSTER_LIST,
                   QUERY_ARGS(QT(types), QI(dc.id), QT(filter->name_part ? filter->name_part : ""),
                              QT(filter->after_name ? filter->after_name : ""),
                              QI(filter->limit > 0 ? filter->limit : -1)));
    while ((rc = db_step(&s, err)) == DB_ROW) {
        struct cluster_row *row = ARRAY_ADD(rows->items, rows->count);
        read_row(&s, row);
    }
    return rc;
}

int clusters_list(struct catalog *cat, const struct cluster_filter *filter,
                  struct cluster_rows *ret_rows, struct xp_err *err)
{
    struct cluster_rows rows = { 0 };
    struct read_job job = { .cat = cat, .args = filter, .ret = &rows };
    int rc = store_read(cat->store, list_in, &job, err);
    if (rc != 0) {
        clusters_done(&rows);
        return rc;
    }
    *ret_rows = rows;
    return 0;
}

void cluster_row_done(struct cluster_row *row)
{
    free(row->name);
    free(row->type);
    free(row->description);
    free(row->org_name);
    free(row->admin_emails);
    free(row->status);
    free(row->tag);
    free(row->active_dc);
    names_done(&row->dcs);
    free(row->last_modified);
    *row = (struct cluster_row){ 0 };
}

void clusters_done(struct cluster_rows *rows)
{
    for (size_t i = 0; i < rows->count; i++) {
        cluster_row_done(&rows->items[i]);
    }
    free(rows->items);
    *rows = (struct cluster_rows){ 0 };
}

static int stats_in(struct db *db, void *arg, struct xp_err *err)
{
    struct cluster_stats *stats = arg;
    CLEANUP(db_stmt_done) struct db_stmt s = query_open(db, Q_CLUSTER_STATS, QUERY_NO_ARGS);
    int rc = db_step(&s, err);
    if (rc == DB_ROW) {
        *stats = (struct cluster_stats){ db_col_i64(&s, 0), db_col_i64(&s, 1) };
        return 0;
    }
    return rc;
}

int clusters_stats(struct catalog *cat, struct cluster_stats *ret_stats, struct xp_err *err)
{
    return store_read(cat->store, stats_in, ret_stats, err);
}
