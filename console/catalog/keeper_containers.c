/* keeper_containers.c - see keeper_containers.h. */
#include "console/catalog/keeper_containers.h"
#include "console/catalog/lookup.h"
#include "shared/base/str.h"

#include <stdio.h>

#include "shared/base/banned.h"

enum { CONTAINERS_PER_DC_MAX = 1000, TAG_MAX_BYTES = 32, DISK_TYPE_MAX_BYTES = 64 };
#define DISK_TYPE_DEFAULT "DEFAULT"

/* ---- reading ---- */

static void row_done(struct keeper_container_row *row)
{
    free(row->dc);
    free(row->org_name);
    free(row->az);
    free(row->disk_type);
    free(row->tag);
}

void keeper_container_rows_done(struct keeper_container_rows *rows)
{
    for (size_t i = 0; i < rows->count; i++) {
        row_done(&rows->items[i]);
    }
    free(rows->items);
    *rows = (struct keeper_container_rows){ 0 };
}

static void read_row(const struct db_stmt *s, struct keeper_container_row *ret_row)
{
    *ret_row = (struct keeper_container_row){
        .id = db_col_i64(s, 0),
        .dc_id = db_col_i64(s, 1),
        .dc = query_text(s, 2),
        .addr = addr_of(db_col_text(s, 3), (int)db_col_i64(s, 4)),
        .is_active = db_col_i64(s, 5) != 0,
        .org_id = db_col_i64(s, 6),
        .org_name = query_text(s, 7),
        .az_id = db_col_i64(s, 8),
        .az = query_text(s, 9),
        .is_az_active = db_col_i64(s, 10) != 0,
        .disk_type = query_text(s, 11),
        .tag = query_text(s, 12),
        .updated_ms = db_col_i64(s, 13),
        .keeper_count = db_col_i64(s, 14),
    };
}

int keeper_containers_load(struct db *db, int64_t dc_id, struct keeper_container_rows *rows,
                           struct xp_err *err)
{
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(db, Q_KEEPER_CONTAINER_LIST,
                                  QUERY_ARGS(QI(dc_id), QI(dc_id ? dc_id : INT64_MAX)));
    int rc = 0;
    while ((rc = db_step(&s, err)) == DB_ROW) {
        struct keeper_container_row *row = ARRAY_ADD(rows->items, rows->count);
        read_row(&s, row);
    }
    return rc;
}

static int list_in(struct db *db, void *arg, struct xp_err *err)
{
    const struct read_job *job = arg;
    const char *name = job->args;
    struct dc_ref dc = { 0 };
    int rc = name ? find_dc(job->cat, db, name, &dc, err) : 0;
    return rc == 0 && (dc.id || !name) ? keeper_containers_load(db, dc.id, job->ret, err) : rc;
}

int keeper_containers_list(struct catalog *cat, const char *dc,
                           struct keeper_container_rows *ret_rows, struct xp_err *err)
{
    struct keeper_container_rows rows = { 0 };
    struct read_job job = { .cat = cat, .args = dc, .ret = &rows };
    int rc = store_read(cat->store, list_in, &job, err);
    if (rc != 0) {
        keeper_container_rows_done(&rows);
        return rc;
    }
    *ret_rows = rows;
    return 0;
}

/* ---- what is stored now, and what shall be ---- */

struct container_now { /* id 0: there is none */
    int64_t id;
    int64_t dc_id;
    int64_t az_id;
    bool is_active;
    int64_t org_pk;
    char disk_type[DISK_TYPE_MAX_BYTES + 1];
    char tag[TAG_MAX_BYTES + 1];
};

static int find_now(struct db *db, const struct addr *addr, struct container_now *ret,
                    struct xp_err *err)
{
    CLEANUP(db_stmt_done)
    struct db_stmt s =
        query_open(db, Q_KEEPER_CONTAINER_BY_ADDR, QUERY_ARGS(QT(addr->host), QI(addr->port)));
    int rc = db_step(&s, err);
    *ret = (struct container_now){ 0 };
    if (rc == DB_ROW) {
        ret->id = db_col_i64(&s, 0);
        ret->dc_id = db_col_i64(&s, 1);
        ret->az_id = db_col_i64(&s, 2);
        ret->is_active = db_col_i64(&s, 3) != 0;
        ret->org_pk = db_col_i64(&s, 4);
        (void)snprintf(ret->disk_type, sizeof(ret->disk_type), "%s", db_col_text(&s, 5));
        (void)snprintf(ret->tag, sizeof(ret->tag), "%s", db_col_text(&s, 6));
    }
    return rc < 0 ? rc : 0;
}

static int check_edit(const struct keeper_container_edit *edit, struct xp_err *err)
{
    struct addr addr = addr_of(edit->ip ? edit->ip : "", 1);
    if (addr_is_none(&addr) || !addr_is_numeric(&addr)) {
        return xp_fail(err, XP_INVALID, "Illegal IP Address");
    }
    if (edit->port < 1 || edit->port > 65535) {
        return xp_fail(err, XP_INVALID, "Illegal Port");
    }
    int rc = text_check("tag", edit->tag, TAG_MAX_BYTES, err);
    return rc == 0 ? text_check("diskType", edit->disk_type, DISK_TYPE_MAX_BYTES, err) : rc;
}

static struct addr edit_addr(const struct keeper_container_edit *edit)
{
    return addr_of(edit->ip, (int)edit->port);
}

static int find_org(struct db *db, int64_t org_id, int64_t *ret_pk, struct xp_err *err)
{
    *ret_pk = 0;
    if (org_id == 0) {
        return 0;
    }
    int rc = query_i64(db, Q_ORGANIZATION_BY_ORG_ID, QUERY_ARGS(QI(org_id)), ret_pk, err);
    return rc == 0 && !*ret_pk ? xp_fail(err, XP_NOT_FOUND, "Org Id does not exist in database")
                               : rc;
}

/* What edit leaves open comes from 'next' itself. */
static int fill_next(struct db *db, const struct keeper_container_edit *edit,
                     struct container_now *next, struct xp_err *err)
{
    int rc = find_org(db, edit->org_id, &next->org_pk, err);
    if (rc == 0) {
        rc = find_az(db, edit->az, next->dc_id, &next->az_id, err);
    }
    next->is_active = edit->active == TRI_YES;
    (void)snprintf(next->tag, sizeof(next->tag), "%s", edit->tag ? edit->tag : "");
    if (!text_is_empty(edit->disk_type)) {
        (void)snprintf(next->disk_type, sizeof(next->disk_type), "%s", edit->disk_type);
        for (char *c = next->disk_type; *c; c++) {
            *c = (char)(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c);
        }
    }
    return rc;
}

static void note(const struct change *change, const struct addr *addr,
                 const struct container_now *next)
{
    change_note(change, "keeper_container", ADDR_TEXT(addr));
    change_note_number(change, "dc_id", next->dc_id);
    change_note_number(change, "active", next->is_active);
    change_note_number(change, "org_id", next->org_pk);
    change_note_number(change, "az_id", next->az_id);
    change_note(change, "disk_type", next->disk_type);
    change_note(change, "tag", next->tag);
}

static int tell_dc(const struct change *change, struct service_job *job, int64_t dc_id,
                   struct xp_err *err)
{
    struct dc_ref dc = { .id = dc_id };
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(change->db, Q_DC_NAME, QUERY_ARGS(QI(dc_id)));
    int rc = db_step(&s, err);
    if (rc < 0) {
        return rc;
    }
    (void)snprintf(dc.name, sizeof(dc.name), "%s", rc == DB_ROW ? db_col_text(&s, 0) : "");
    struct effect_on on = { .kind = EFFECT_DC_DOCUMENT, .dcs = &dc, .dc_count = 1 };
    return change_effect(change, &job->result, &on, err);
}

/* ---- create ---- */

static int check_count(struct db *db, const struct dc_ref *dc, struct xp_err *err)
{
    int64_t count = 0;
    int rc = query_i64(db, Q_KEEPER_CONTAINER_COUNT, QUERY_ARGS(QI(dc->id)), &count, err);
    return rc == 0 && count >= CONTAINERS_PER_DC_MAX
               ? xp_fail(err, XP_TOO_LARGE,
                         "dc %s has %d keeper containers already, the most that is supported",
                         dc->name, CONTAINERS_PER_DC_MAX)
               : rc;
}

static int plan_new(const struct catalog *cat, struct db *db,
                    const struct keeper_container_edit *edit, struct container_now *ret_next,
                    struct xp_err *err)
{
    struct addr addr = edit_addr(edit);
    struct container_now now;
    struct dc_ref dc = { 0 };
    int rc = find_now(db, &addr, &now, err);
    if (rc == 0 && now.id) {
        return xp_fail(err, XP_CONFLICT, "Keeper Container with IP: %s already exists", edit->ip);
    }
    if (rc == 0) {
        rc = find_dc(cat, db, edit->dc ? edit->dc : "", &dc, err);
    }
    if (rc == 0 && !dc.id) {
        return xp_fail(err, XP_NOT_FOUND, "DC name does not exist");
    }
    if (rc == 0) {
        rc = check_count(db, &dc, err);
    }
    *ret_next = (struct container_now){ .dc_id = dc.id, .disk_type = DISK_TYPE_DEFAULT };
    return rc == 0 ? fill_next(db, edit, ret_next, err) : rc;
}

static int check_in(struct db *db, void *arg, struct xp_err *err)
{
    const struct read_job *job = arg;
    struct container_now next;
    return plan_new(job->cat, db, job->args, &next, err);
}

int keeper_containers_check_new(struct catalog *cat, const struct keeper_container_edit *edit,
                                struct xp_err *err)
{
    int rc = check_edit(edit, err);
    struct read_job job = { .cat = cat, .args = edit };
    return rc == 0 ? store_read(cat->store, check_in, &job, err) : rc;
}

static int create_in(struct change *change, void *arg, struct xp_err *err)
{
    struct service_job *job = arg;
    const struct keeper_container_edit *edit = job->args;
    struct addr addr = edit_addr(edit);
    struct container_now next;
    int rc = plan_new(job->cat, change->db, edit, &next, err);
    if (rc == 0) {
        rc = query_run(change->db, Q_KEEPER_CONTAINER_INSERT,
                       QUERY_ARGS(QI(next.dc_id), QI(next.az_id), QT(addr.host), QI(addr.port),
                                  QI(next.is_active), QI(next.org_pk), QT(next.disk_type),
                                  QT(next.tag), QI(change->now_ms)),
                       err);
    }
    if (rc != 0) {
        return rc;
    }
    job->result.object_id = db_last_id(change->db);
    note(change, &addr, &next);
    return next.is_active ? tell_dc(change, job, next.dc_id, err) : 0;
}

int keeper_containers_create(struct catalog *cat, const struct change_ctx *ctx,
                             const struct keeper_container_edit *edit,
                             struct catalog_result *ret_result, struct xp_err *err)
{
    int rc = check_edit(edit, err);
    struct service_job job = { .args = edit };
    struct store_op op = { .name = "keeper_container.create", .fn = create_in, .arg = &job };
    return rc == 0 ? catalog_change(cat, ctx, &op, ret_result, err) : rc;
}

/* ---- update ---- */

static int check_dc_stays(const struct service_job *job, struct db *db, int64_t dc_id,
                          struct xp_err *err)
{
    const struct keeper_container_edit *edit = job->args;
    struct dc_ref dc = { .id = dc_id };
    int rc = text_is_empty(edit->dc) ? 0 : find_dc(job->cat, db, edit->dc, &dc, err);
    return rc == 0 && dc.id != dc_id
               ? xp_fail(err, XP_INVALID, "dcName %s: a keeper container cannot move to another DC",
                         edit->dc)
               : rc;
}

static bool is_same(const struct container_now *a, const struct container_now *b)
{
    return a->az_id == b->az_id && a->is_active == b->is_active && a->org_pk == b->org_pk &&
           text_eq(a->disk_type, b->disk_type) && text_eq(a->tag, b->tag);
}

static int store_next(struct change *change, struct service_job *job,
                      const struct container_now *now, const struct container_now *next,
                      struct xp_err *err)
{
    const struct keeper_container_edit *edit = job->args;
    int rc =
        query_run(change->db, Q_KEEPER_CONTAINER_UPDATE,
                  QUERY_ARGS(QI(next->id), QI(next->az_id), QI(next->is_active), QI(next->org_pk),
                             QT(next->disk_type), QT(next->tag), QI(change->now_ms)),
                  err);
    if (now->is_active && edit->active == TRI_ABSENT) {
        (void)snprintf(job->result.warning, sizeof(job->result.warning),
                       "active was not sent: keeper container %s:%lld is inactive now", edit->ip,
                       (long long)edit->port);
    }
    bool is_seen = now->is_active || next->is_active; /* documents hold active ones */
    return rc == 0 && is_seen ? tell_dc(change, job, now->dc_id, err) : rc;
}

static int update_in(struct change *change, void *arg, struct xp_err *err)
{
    struct service_job *job = arg;
    const struct keeper_container_edit *edit = job->args;
    struct addr addr = edit_addr(edit);
    struct container_now now;
    int rc = find_now(change->db, &addr, &now, err);
    if (rc == 0 && !now.id) {
        return xp_fail(err, XP_NOT_FOUND, "%s:%lld keeper container not found", edit->ip,
                       (long long)edit->port);
    }
    if (rc == 0) {
        rc = check_dc_stays(job, change->db, now.dc_id, err);
    }
    struct container_now next = now;
    if (rc == 0) {
        rc = fill_next(change->db, edit, &next, err);
    }
    if (rc != 0) {
        return rc;
    }
    if (is_same(&now, &next)) {
        return change_nothing(change, job);
    }
    note(change, &addr, &next);
    return store_next(change, job, &now, &next, err);
}

int keeper_containers_update(struct catalog *cat, const struct change_ctx *ctx,
                             const struct keeper_container_edit *edit,
                             struct catalog_result *ret_result, struct xp_err *err)
{
    int rc = check_edit(edit, err);
    struct service_job job = { .args = edit };
    struct store_op op = { .name = "keeper_container.update", .fn = update_in, .arg = &job };
    return rc == 0 ? catalog_change(cat, ctx, &op, ret_result, err) : rc;
}

/* ---- delete ---- */

static int delete_in(struct change *change, void *arg, struct xp_err *err)
{
    struct service_job *job = arg;
    const struct addr *addr = job->args;
    struct container_now now;
    int64_t is_used = 0;
    int rc = find_now(change->db, addr, &now, err);
    if (rc == 0 && !now.id) {
        return xp_fail(err, XP_NOT_FOUND, "Cannot find keepercontainer");
    }
    if (rc == 0) {
        rc = query_i64(change->db, Q_KEEPER_CONTAINER_IP_USED,
                       QUERY_ARGS(QI(now.id), QT(addr->host)), &is_used, err);
    }
    if (rc == 0 && is_used) {
        return xp_fail(err, XP_CONFLICT, "This keepercontainer %s is not empty, unable to delete!",
                       ADDR_TEXT(addr));
    }
    if (rc == 0) {
        rc = query_run(change->db, Q_KEEPER_CONTAINER_DELETE,
                       QUERY_ARGS(QI(now.id), QI(change->now_ms)), err);
    }
    note(change, addr, &now);
    return rc == 0 && now.is_active ? tell_dc(change, job, now.dc_id, err) : rc;
}

int keeper_containers_delete(struct catalog *cat, const struct change_ctx *ctx,
                             const struct addr *addr, struct catalog_result *ret_result,
                             struct xp_err *err)
{
    struct service_job job = { .args = addr };
    struct store_op op = { .name = "keeper_container.delete", .fn = delete_in, .arg = &job };
    return catalog_change(cat, ctx, &op, ret_result, err);
}
