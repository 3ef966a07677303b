/* dcs.c - see dcs.h. */
#include "console/catalog/dcs.h"
#include "console/catalog/lookup.h"
#include "shared/base/str.h"

#include <string.h>

#include "shared/base/banned.h"

enum { DCS_MAX = 256, DESCRIPTION_MAX_BYTES = 1024 };

static int check_zone(struct db *db, int64_t zone_id, struct xp_err *err)
{
    int64_t found = 0;
    int rc = query_i64(db, Q_ZONE_BY_ID, QUERY_ARGS(QI(zone_id)), &found, err);
    return rc == 0 && !found
               ? xp_fail(err, XP_NOT_FOUND, "zone %lld does not exist", (long long)zone_id)
               : rc;
}

static int check_new(const struct service_job *job, struct db *db, struct xp_err *err)
{
    const struct dc_edit *edit = job->args;
    struct dc_ref dc;
    int64_t count = 0;
    int rc = find_dc(job->cat, db, edit->name, &dc, err);
    if (rc == 0 && dc.id) {
        return xp_fail(err, XP_CONFLICT, "dc %s already exists", dc.name);
    }
    if (rc == 0 && !text_eq_nocase(dc_alias_inner(job->cat->alias, edit->name), edit->name)) {
        return xp_fail(err, XP_CONFLICT,
                       "dc %s is the outer name of %s: create it under its inner name", edit->name,
                       dc_alias_inner(job->cat->alias, edit->name));
    }
    if (rc == 0) {
        rc = query_i64(db, Q_DC_COUNT, QUERY_NO_ARGS, &count, err);
    }
    if (rc == 0 && count >= DCS_MAX) {
        return xp_fail(err, XP_TOO_LARGE, "there are %d DCs already, the most that is supported",
                       DCS_MAX);
    }
    return rc == 0 ? check_zone(db, edit->zone_id, err) : rc;
}

static void note_edit(const struct change *change, const struct dc_edit *edit)
{
    change_note(change, "dc", edit->name);
    change_note(change, "description", edit->description);
    if (edit->zone_id) {
        change_note_number(change, "zone_id", edit->zone_id);
    }
    if (edit->active != TRI_ABSENT) {
        change_note_number(change, "active", edit->active == TRI_YES);
    }
}

static int create_in(struct change *change, void *arg, struct xp_err *err)
{
    struct service_job *job = arg;
    const struct dc_edit *edit = job->args;
    char stamp[STAMP_SIZE];
    stamp_text(change->now_ms, stamp);
    int rc = check_new(job, change->db, err);
    if (rc != 0) {
        return rc;
    }
    note_edit(change, edit);
    rc = query_run(change->db, Q_DC_INSERT,
                   QUERY_ARGS(QI(edit->zone_id), QT(edit->name), QI(edit->active != TRI_NO),
                              QT(edit->description ? edit->description : ""), QT(stamp),
                              QI(change->idx), QI(change->now_ms)),
                   err);
    job->result.object_id = db_last_id(change->db);
    return rc;
}

static int check_edit(const struct dc_edit *edit, struct xp_err *err)
{
    if (text_is_empty(edit->name)) {
        return xp_fail(err, XP_INVALID, "dc_name empty");
    }
    int rc = name_check("dc_name", edit->name, err);
    return rc == 0 ? text_check("description", edit->description, DESCRIPTION_MAX_BYTES, err) : rc;
}

int dcs_create(struct catalog *cat, const struct change_ctx *ctx, const struct dc_edit *edit,
               struct catalog_result *ret_result, struct xp_err *err)
{
    int rc = check_edit(edit, err);
    if (rc == 0) {
        rc = dc_name_check("dc_name", edit->name, err);
    }
    if (rc == 0) {
        static const char *const reserved[] = { "sentinels", NULL }; /* GET /api/dc/sentinels */
        rc = name_check_reserved("dc_name", edit->name, reserved, err);
    }
    if (rc != 0) {
        return rc;
    }
    struct service_job job = { .args = edit };
    struct store_op op = { .name = "dc.create", .fn = create_in, .arg = &job };
    return catalog_change(cat, ctx, &op, ret_result, err);
}

static void read_row(const struct db_stmt *s, struct dc_row *ret_row)
{
    *ret_row = (struct dc_row){
        .id = db_col_i64(s, 0),
        .zone_id = db_col_i64(s, 1),
        .zone_name = query_text(s, 2),
        .name = query_text(s, 3),
        .description = query_text(s, 4),
        .is_active = db_col_i64(s, 5) != 0,
        .last_modified = query_text(s, 6),
        .updated_ms = db_col_i64(s, 7),
        .version = db_col_i64(s, 8),
    };
}

/* *ret_row stays zeroed when there is no such DC. */
static int get_in_db(const struct catalog *cat, struct db *db, const char *name,
                     struct dc_row *ret_row, struct xp_err *err)
{
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(db, Q_DC_GET, QUERY_ARGS(QT(dc_alias_inner(cat->alias, name))));
    int rc = db_step(&s, err);
    if (rc == DB_ROW) {
        read_row(&s, ret_row);
    }
    return rc < 0 ? rc : 0;
}

static int update_row(struct change *change, struct service_job *job, const struct dc_row *now,
                      struct xp_err *err)
{
    const struct dc_edit *edit = job->args;
    int64_t zone_id = edit->zone_id ? edit->zone_id : now->zone_id;
    bool is_active = edit->active == TRI_ABSENT ? now->is_active : edit->active == TRI_YES;
    const char *description = edit->description ? edit->description : now->description;
    if (zone_id == now->zone_id && is_active == now->is_active &&
        text_eq(description, now->description)) {
        return change_nothing(change, job);
    }
    char stamp[STAMP_SIZE];
    stamp_text(change->now_ms, stamp);
    note_edit(change, edit);
    struct dc_ref dc;
    int rc = check_zone(change->db, zone_id, err);
    if (rc == 0) {
        rc = query_run(change->db, Q_DC_UPDATE,
                       QUERY_ARGS(QI(now->id), QI(zone_id), QI(is_active), QT(description),
                                  QT(stamp), QI(change->now_ms)),
                       err);
    }
    if (rc == 0) {
        rc = find_dc(job->cat, change->db, now->name, &dc, err);
    }
    struct effect_on on = { .kind = EFFECT_DC_DOCUMENT, .dcs = &dc, .dc_count = 1 };
    return rc == 0 ? change_effect(change, &job->result, &on, err) : rc;
}

static int update_in(struct change *change, void *arg, struct xp_err *err)
{
    struct service_job *job = arg;
    const struct dc_edit *edit = job->args;
    CLEANUP(dc_row_done) struct dc_row now = { 0 };
    int rc = get_in_db(job->cat, change->db, edit->name, &now, err);
    if (rc == 0 && !now.id) {
        return xp_fail(err, XP_NOT_FOUND, "dc with name:%s not exist", edit->name);
    }
    return rc == 0 ? update_row(change, job, &now, err) : rc;
}

int dcs_update(struct catalog *cat, const struct change_ctx *ctx, const struct dc_edit *edit,
               struct catalog_result *ret_result, struct xp_err *err)
{
    int rc = check_edit(edit, err);
    if (rc != 0) {
        return rc;
    }
    struct service_job job = { .args = edit };
    struct store_op op = { .name = "dc.update", .fn = update_in, .arg = &job };
    return catalog_change(cat, ctx, &op, ret_result, err);
}

static int check_unreferenced(struct db *db, const struct dc_ref *dc, struct xp_err *err)
{
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(db, Q_DC_REFERENCES, QUERY_ARGS(QI(dc->id)));
    int rc = db_step(&s, err);
    if (rc == DB_ROW) {
        return xp_fail(err, XP_CONFLICT, "dc %s still has %s: remove them first", dc->name,
                       db_col_text(&s, 0));
    }
    return rc;
}

static int delete_in(struct change *change, void *arg, struct xp_err *err)
{
    struct service_job *job = arg;
    const char *name = job->args;
    struct dc_ref dc;
    int rc = find_dc(job->cat, change->db, name, &dc, err);
    if (rc == 0 && !dc.id) {
        return xp_fail(err, XP_NOT_FOUND, "dc with name:%s not exist", name);
    }
    if (rc == 0) {
        rc = check_unreferenced(change->db, &dc, err);
    }
    if (rc == 0) {
        rc = query_run(change->db, Q_DC_DELETE, QUERY_ARGS(QI(dc.id), QI(change->now_ms)), err);
    }
    if (rc == 0) { /* nobody is left there to be told */
        rc = query_run(change->db, Q_OUTBOX_CLEAR_DC, QUERY_ARGS(QI(dc.id)), err);
    }
    change_note(change, "dc", dc.name);
    return rc;
}

int dcs_delete(struct catalog *cat, const struct change_ctx *ctx, const char *name,
               struct catalog_result *ret_result, struct xp_err *err)
{
    struct service_job job = { .args = name };
    struct store_op op = { .name = "dc.delete", .fn = delete_in, .arg = &job };
    return catalog_change(cat, ctx, &op, ret_result, err);
}

static int list_in(struct db *db, void *arg, struct xp_err *err)
{
    const struct read_job *job = arg;
    struct dc_rows *rows = job->ret;
    CLEANUP(db_stmt_done) struct db_stmt s = query_open(db, Q_DC_LIST, QUERY_NO_ARGS);
    int rc = 0;
    while ((rc = db_step(&s, err)) == DB_ROW) {
        struct dc_row *row = ARRAY_ADD(rows->items, rows->count);
        read_row(&s, row);
    }
    return rc;
}

int dcs_list(struct catalog *cat, struct dc_rows *ret_rows, struct xp_err *err)
{
    struct dc_rows rows = { 0 };
    struct read_job job = { .cat = cat, .ret = &rows };
    int rc = store_read(cat->store, list_in, &job, err);
    if (rc != 0) {
        dcs_done(&rows);
        return rc;
    }
    *ret_rows = rows;
    return 0;
}

static int get_in(struct db *db, void *arg, struct xp_err *err)
{
    const struct read_job *job = arg;
    return get_in_db(job->cat, db, job->args, job->ret, err);
}

int dcs_get(struct catalog *cat, const char *name, struct dc_row *ret_row, struct xp_err *err)
{
    struct dc_row row = { 0 };
    struct read_job job = { .cat = cat, .args = name, .ret = &row };
    int rc = store_read(cat->store, get_in, &job, err);
    if (rc != 0) {
        return rc;
    }
    if (!row.id) {
        return xp_fail(err, XP_NOT_FOUND, "dc with name:%s not exist", name);
    }
    *ret_row = row;
    return 0;
}

void dc_row_done(struct dc_row *row)
{
    free(row->zone_name);
    free(row->name);
    free(row->description);
    free(row->last_modified);
    *row = (struct dc_row){ 0 };
}

void dcs_done(struct dc_rows *rows)
{
    for (size_t i = 0; i < rows->count; i++) {
        dc_row_done(&rows->items[i]);
    }
    free(rows->items);
    *rows = (struct dc_rows){ 0 };
}
