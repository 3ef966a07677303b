/* organizations.c - see organizations.h. */
#include "console/catalog/organizations.h"
#include "console/catalog/lookup.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

enum { ORG_NAME_MAX_BYTES = 250 };

/* *ret_id is 0 when the number is free. */
static int find_both(struct db *db, const struct organization_edit *edit, int64_t *ret_id,
                     struct xp_err *err)
{
    int64_t same_name = 0;
    int rc = query_i64(db, Q_ORGANIZATION_BY_ORG_ID, QUERY_ARGS(QI(edit->org_id)), ret_id, err);
    if (rc == 0) {
        rc = query_i64(db, Q_ORGANIZATION_BY_NAME, QUERY_ARGS(QT(edit->name)), &same_name, err);
    }
    if (rc == 0 && same_name && same_name != *ret_id) {
        return xp_fail(err, XP_CONFLICT, "Organization %s already exists under another number",
                       edit->name);
    }
    return rc;
}

static void note_edit(const struct change *change, const struct organization_edit *edit)
{
    change_note_number(change, "org_id", edit->org_id);
    change_note(change, "name", edit->name);
}

static int create_in(struct change *change, void *arg, struct xp_err *err)
{
    struct service_job *job = arg;
    const struct organization_edit *edit = job->args;
    int64_t id = 0;
    int rc = find_both(change->db, edit, &id, err);
    if (rc == 0 && id) {
        return xp_fail(err, XP_CONFLICT, "Organization Id: %lld already exists",
                       (long long)edit->org_id);
    }
    if (rc == 0) {
        rc = query_run(change->db, Q_ORGANIZATION_INSERT,
                       QUERY_ARGS(QI(edit->org_id), QT(edit->name), QI(change->now_ms)), err);
    }
    job->result.object_id = db_last_id(change->db);
    note_edit(change, edit);
    return rc;
}

static int update_in(struct change *change, void *arg, struct xp_err *err)
{
    struct service_job *job = arg;
    const struct organization_edit *edit = job->args;
    int64_t id = 0;
    int rc = find_both(change->db, edit, &id, err);
    if (rc == 0 && !id) {
        return xp_fail(err, XP_NOT_FOUND, "Organization Id: %lld, could not be found",
                       (long long)edit->org_id);
    }
    if (rc == 0) {
        rc = query_run(change->db, Q_ORGANIZATION_RENAME,
                       QUERY_ARGS(QI(id), QT(edit->name), QI(change->now_ms)), err);
    }
    note_edit(change, edit);
    return rc;
}

static int check_edit(const struct organization_edit *edit, struct xp_err *err)
{
    if (edit->org_id <= 0) {
        return xp_fail(err, XP_INVALID,
                       "organizationId must be above 0: 0 is the default organization");
    }
    if (text_is_empty(edit->name)) {
        return xp_fail(err, XP_INVALID, "orgName empty");
    }
    return text_check("orgName", edit->name, ORG_NAME_MAX_BYTES, err);
}

int organizations_create(struct catalog *cat, const struct change_ctx *ctx,
                         const struct organization_edit *edit, struct catalog_result *ret_result,
                         struct xp_err *err)
{
    int rc = check_edit(edit, err);
    struct service_job job = { .args = edit };
    struct store_op op = { .name = "organization.create", .fn = create_in, .arg = &job };
    return rc == 0 ? catalog_change(cat, ctx, &op, ret_result, err) : rc;
}

int organizations_update(struct catalog *cat, const struct change_ctx *ctx,
                         const struct organization_edit *edit, struct catalog_result *ret_result,
                         struct xp_err *err)
{
    int rc = check_edit(edit, err);
    struct service_job job = { .args = edit };
    struct store_op op = { .name = "organization.update", .fn = update_in, .arg = &job };
    return rc == 0 ? catalog_change(cat, ctx, &op, ret_result, err) : rc;
}

static int list_in(struct db *db, void *arg, struct xp_err *err)
{
    const struct read_job *job = arg;
    struct organization_rows *rows = job->ret;
    CLEANUP(db_stmt_done) struct db_stmt s = query_open(db, Q_ORGANIZATION_LIST, QUERY_NO_ARGS);
    int rc = 0;
    while ((rc = db_step(&s, err)) == DB_ROW) {
        struct organization_row *row = ARRAY_ADD(rows->items, rows->count);
        *row = (struct organization_row){ db_col_i64(&s, 0), db_col_i64(&s, 1), query_text(&s, 2),
                                          db_col_i64(&s, 3) };
    }
    return rc;
}

int organizations_list(struct catalog *cat, struct organization_rows *ret_rows, struct xp_err *err)
{
    struct organization_rows rows = { 0 };
    struct read_job job = { .cat = cat, .ret = &rows };
    int rc = store_read(cat->store, list_in, &job, err);
    if (rc != 0) {
        organizations_done(&rows);
        return rc;
    }
    *ret_rows = rows;
    return 0;
}

void organizations_done(struct organization_rows *rows)
{
    for (size_t i = 0; i < rows->count; i++) {
        free(rows->items[i].name);
    }
    free(rows->items);
    *rows = (struct organization_rows){ 0 };
}
