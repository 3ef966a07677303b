/* azs.c - see azs.h. */
#include "console/catalog/azs.h"
#include "console/catalog/lookup.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

enum { AZS_PER_DC_MAX = 256, DESCRIPTION_MAX_BYTES = 1024 };

/* ---- reading ---- */

static void row_done(struct az_row *row)
{
    free(row->dc);
    free(row->name);
    free(row->description);
}

void az_rows_done(struct az_rows *rows)
{
    for (size_t i = 0; i < rows->count; i++) {
        row_done(&rows->items[i]);
    }
    free(rows->items);
    *rows = (struct az_rows){ 0 };
}

/* dc_id 0: of all DCs. */
static int load(struct db *db, int64_t dc_id, struct az_rows *rows, struct xp_err *err)
{
    CLEANUP(db_stmt_done)
    struct db_stmt s =
        query_open(db, Q_AZ_LIST, QUERY_ARGS(QI(dc_id), QI(dc_id ? dc_id : INT64_MAX)));
    int rc = 0;
    while ((rc = db_step(&s, err)) == DB_ROW) {
        struct az_row *row = ARRAY_ADD(rows->items, rows->count);
        *row = (struct az_row){ db_col_i64(&s, 0), db_col_i64(&s, 1),      query_text(&s, 2),
                                query_text(&s, 3), db_col_i64(&s, 4) != 0, query_text(&s, 5) };
    }
    return rc;
}

static int list_in(struct db *db, void *arg, struct xp_err *err)
{
    const struct read_job *job = arg;
    const char *name = job->args;
    struct dc_ref dc = { 0 };
    int rc = name ? find_dc(job->cat, db, name, &dc, err) : 0;
    return rc == 0 && (dc.id || !name) ? load(db, dc.id, job->ret, err) : rc;
}

int azs_list(struct catalog *cat, const char *dc, struct az_rows *ret_rows, struct xp_err *err)
{
    struct az_rows rows = { 0 };
    struct read_job job = { .cat = cat, .args = dc, .ret = &rows };
    int rc = store_read(cat->store, list_in, &job, err);
    if (rc != 0) {
        az_rows_done(&rows);
        return rc;
    }
    *ret_rows = rows;
    return 0;
}

/* ---- changing ---- */

static int check_edit(const struct az_edit *edit, struct xp_err *err)
{
    if (text_is_empty(edit->dc)) {
        return xp_fail(err, XP_INVALID, "dcName empty");
    }
    if (text_is_empty(edit->name)) {
        return xp_fail(err, XP_INVALID, "azName empty");
    }
    return text_check("description", edit->description, DESCRIPTION_MAX_BYTES, err);
}

static int tell_dc(const struct change *change, struct service_job *job, const char *name,
                   struct xp_err *err)
{
    struct dc_ref dc;
    int rc = find_dc(job->cat, change->db, name, &dc, err);
    struct effect_on on = { .kind = EFFECT_DC_DOCUMENT, .dcs = &dc, .dc_count = 1 };
    return rc == 0 ? change_effect(change, &job->result, &on, err) : rc;
}

static void note(const struct change *change, const struct az_row *row)
{
    change_note(change, "az", row->name);
    change_note(change, "dc", row->dc);
    change_note(change, "description", row->description);
    change_note_number(change, "active", row->is_active);
}

static int check_new(const struct service_job *job, struct db *db, struct dc_ref *ret_dc,
                     struct xp_err *err)
{
    const struct az_edit *edit = job->args;
    int64_t taken = 0;
    CLEANUP(az_rows_done) struct az_rows rows = { 0 };
    int rc = find_dc(job->cat, db, edit->dc, ret_dc, err);
    if (rc == 0 && !ret_dc->id) {
        return xp_fail(err, XP_NOT_FOUND, "DC name %s does not exist", edit->dc);
    }
    if (rc == 0) {
        rc = query_i64(db, Q_AZ_BY_NAME, QUERY_ARGS(QT(edit->name)), &taken, err);
    }
    if (rc == 0 && taken) {
        return xp_fail(err, XP_CONFLICT, "available zone : %s already exists", edit->name);
    }
    if (rc == 0) {
        rc = load(db, ret_dc->id, &rows, err);
    }
    if (rc == 0 && rows.count >= AZS_PER_DC_MAX) {
        return xp_fail(err, XP_TOO_LARGE,
                       "dc %s has %d availability zones already, the most that is supported",
                       ret_dc->name, AZS_PER_DC_MAX);
    }
    return rc;
}

static int create_in(struct change *change, void *arg, struct xp_err *err)
{
    struct service_job *job = arg;
    const struct az_edit *edit = job->args;
    const char *description = edit->description ? edit->description : "";
    bool is_active = edit->active != TRI_NO;
    struct dc_ref dc;
    int rc = check_new(job, change->db, &dc, err);
    if (rc == 0) {
        rc = query_run(change->db, Q_AZ_INSERT,
                       QUERY_ARGS(QI(dc.id), QI(is_active), QT(edit->name), QT(description),
                                  QI(change->now_ms)),
                       err);
    }
    if (rc != 0) {
        return rc;
    }
    job->result.object_id = db_last_id(change->db);
    change_note(change, "az", edit->name);
    change_note(change, "dc", dc.name);
    change_note(change, "description", description);
    change_note_number(change, "active", is_active);
    return tell_dc(change, job, dc.name, err);
}

int azs_create(struct catalog *cat, const struct change_ctx *ctx, const struct az_edit *edit,
               struct catalog_result *ret_result, struct xp_err *err)
{
    static const char *const reserved[] = { "all", NULL }; /* /api/az/... */
    int rc = check_edit(edit, err);
    if (rc == 0) {
        rc = name_check("azName", edit->name, err);
    }
    if (rc == 0) {
        rc = name_check_reserved("azName", edit->name, reserved, err);
    }
    struct service_job job = { .args = edit };
    struct store_op op = { .name = "az.create", .fn = create_in, .arg = &job };
    return rc == 0 ? catalog_change(cat, ctx, &op, ret_result, err) : rc;
}

/* The live zone of this name among 'rows', which keeps it. */
static int find_row(struct db *db, const char *name, struct az_rows *rows, struct az_row **ret_row,
                    struct xp_err *err)
{
    int rc = load(db, 0, rows, err);
    for (size_t i = 0; rc == 0 && i < rows->count; i++) {
        if (text_eq_nocase(rows->items[i].name, name)) {
            *ret_row = &rows->items[i];
            return 0;
        }
    }
    return rc == 0 ? xp_fail(err, XP_NOT_FOUND, "availablezone %s not found", name) : rc;
}

static int update_in(struct change *change, void *arg, struct xp_err *err)
{
    struct service_job *job = arg;
    const struct az_edit *edit = job->args;
    CLEANUP(az_rows_done) struct az_rows rows = { 0 };
    struct az_row *row = NULL;
    struct dc_ref dc;
    int rc = find_dc(job->cat, change->db, edit->dc, &dc, err);
    if (rc == 0 && !dc.id) {
        return xp_fail(err, XP_NOT_FOUND, "DC name %s does not exist", edit->dc);
    }
    if (rc == 0) {
        rc = find_row(change->db, edit->name, &rows, &row, err);
    }
    if (rc != 0) {
        return rc;
    }
    if (!row || row->dc_id != dc.id) {
        return xp_fail(err, XP_NOT_FOUND, "availablezone %s not found", edit->name);
    }
    bool is_active = edit->active == TRI_ABSENT ? row->is_active : edit->active == TRI_YES;
    const char *description = edit->description ? edit->description : row->description;
    if (is_active == row->is_active && text_eq(description, row->description)) {
        return change_nothing(change, job);
    }
    rc =
        query_run(change->db, Q_AZ_UPDATE,
                  QUERY_ARGS(QI(row->id), QI(is_active), QT(description), QI(change->now_ms)), err);
    row->is_active = is_active;
    note(change, row);
    change_note(change, "description", description);
    return rc == 0 ? tell_dc(change, job, row->dc, err) : rc;
}

int azs_update(struct catalog *cat, const struct change_ctx *ctx, const struct az_edit *edit,
               struct catalog_result *ret_result, struct xp_err *err)
{
    int rc = check_edit(edit, err);
    struct service_job job = { .args = edit };
    struct store_op op = { .name = "az.update", .fn = update_in, .arg = &job };
    return rc == 0 ? catalog_change(cat, ctx, &op, ret_result, err) : rc;
}

static int delete_in(struct change *change, void *arg, struct xp_err *err)
{
    struct service_job *job = arg;
    CLEANUP(az_rows_done) struct az_rows rows = { 0 };
    struct az_row *row = NULL;
    int64_t in_use = 0;
    int rc = find_row(change->db, job->args, &rows, &row, err);
    if (rc != 0 || !row) {
        return rc;
    }
    rc = query_i64(change->db, Q_AZ_IN_USE, QUERY_ARGS(QI(row->id), QI(row->dc_id)), &in_use, err);
    if (rc == 0 && in_use) {
        return xp_fail(err, XP_CONFLICT, "This az %s is not empty, can not be deleted", row->name);
    }
    if (rc == 0) {
        rc = query_run(change->db, Q_AZ_DELETE, QUERY_ARGS(QI(row->id), QI(change->now_ms)), err);
    }
    note(change, row);
    return rc == 0 ? tell_dc(change, job, row->dc, err) : rc;
}

int azs_delete(struct catalog *cat, const struct change_ctx *ctx, const char *name,
               struct catalog_result *ret_result, struct xp_err *err)
{
    struct service_job job = { .args = name ? name : "" };
    struct store_op op = { .name = "az.delete", .fn = delete_in, .arg = &job };
    return catalog_change(cat, ctx, &op, ret_result, err);
}
