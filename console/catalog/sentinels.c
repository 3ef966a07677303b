/* sentinels.c - groups of sentinels; see sentinels.h. Which shard uses which group is in sentinel_use.c. */
#include "console/catalog/sentinels.h"
#include "console/catalog/lookup.h"
#include "console/catalog/sentinels_internal.h"
#include "shared/base/str.h"

#include <stdio.h>

#include "shared/base/banned.h"

enum { TAG_BYTES_MAX = 32, DESCRIPTION_BYTES_MAX = 100 };

/* ---- reading ---- */

static int load_sentinels(struct db *db, int64_t first_id, int64_t last_id,
                          struct sentinel_group_rows *rows, struct xp_err *err)
{
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(db, Q_SENTINEL_LIST, QUERY_ARGS(QI(first_id), QI(last_id)));
    size_t at = 0;
    int rc = 0;
    while ((rc = db_step(&s, err)) == DB_ROW) { /* both lists are in the order of the groups */
        while (at < rows->count && rows->items[at].id < db_col_i64(&s, 1)) {
            at++;
        }
        if (at == rows->count || rows->items[at].id != db_col_i64(&s, 1)) {
            continue;
        }
        struct sentinel_group_row *group = &rows->items[at];
        struct sentinel_row *row = ARRAY_ADD(group->sentinels, group->count);
        *row = (struct sentinel_row){ .id = db_col_i64(&s, 0),
                                      .dc_id = db_col_i64(&s, 2),
                                      .dc = query_text(&s, 5),
                                      .addr = addr_of(db_col_text(&s, 3), (int)db_col_i64(&s, 4)) };
    }
    return rc;
}

int sentinel_groups_load(struct db *db, int64_t first_id, int64_t last_id, const char *type,
                         int64_t dc_id, struct sentinel_group_rows *rows, struct xp_err *err)
{
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(db, Q_SENTINEL_GROUPS,
                                  QUERY_ARGS(QI(first_id), QI(last_id), QT(type), QI(dc_id)));
    int rc = 0;
    while ((rc = db_step(&s, err)) == DB_ROW) {
        struct sentinel_group_row *row = ARRAY_ADD(rows->items, rows->count);
        *row = (struct sentinel_group_row){ .id = db_col_i64(&s, 0),
                                            .cluster_type = query_text(&s, 1),
                                            .tag = query_text(&s, 2),
                                            .description = query_text(&s, 3),
                                            .is_active = db_col_i64(&s, 4) != 0,
                                            .shard_count = db_col_i64(&s, 5) };
    }
    return rc == 0 ? load_sentinels(db, first_id, last_id, rows, err) : rc;
}

static int list_in(struct db *db, void *arg, struct xp_err *err)
{
    const struct read_job *job = arg;
    const struct sentinel_filter *filter = job->args;
    struct dc_ref dc = { 0 };
    int rc = filter->dc ? find_dc(job->cat, db, filter->dc, &dc, err) : 0;
    if (rc == 0 && filter->dc && !dc.id) {
        return xp_fail(err, XP_NOT_FOUND, "dc %s not found", filter->dc);
    }
    return rc == 0
               ? sentinel_groups_load(db, 0, INT64_MAX, filter->cluster_type, dc.id, job->ret, err)
               : rc;
}

int sentinel_groups_list(struct catalog *cat, const struct sentinel_filter *filter,
                         struct sentinel_group_rows *ret_rows, struct xp_err *err)
{
    if (filter->cluster_type && cluster_type_from_text(filter->cluster_type) == CLUSTER_UNKNOWN) {
        return xp_fail(err, XP_INVALID, "unknown cluster type %s", filter->cluster_type);
    }
    struct sentinel_group_rows rows = { 0 };
    struct read_job job = { .cat = cat, .args = filter, .ret = &rows };
    int rc = store_read(cat->store, list_in, &job, err);
    if (rc != 0) {
        sentinel_group_rows_done(&rows);
        return rc;
    }
    *ret_rows = rows;
    return 0;
}

static int group_not_found(int64_t id, struct xp_err *err)
{
    return xp_fail(err, XP_NOT_FOUND, "sentinel group with id:%lld not exist", (long long)id);
}

static int get_in(struct db *db, void *arg, struct xp_err *err)
{
    const struct read_job *job = arg;
    const int64_t *id = job->args;
    return sentinel_groups_load(db, *id, *id, NULL, 0, job->ret, err);
}

int sentinel_groups_get(struct catalog *cat, int64_t id, struct sentinel_group_row *ret_row,
                        struct xp_err *err)
{
    CLEANUP(sentinel_group_rows_done) struct sentinel_group_rows rows = { 0 };
    struct read_job job = { .cat = cat, .args = &id, .ret = &rows };
    int rc = store_read(cat->store, get_in, &job, err);
    if (rc == 0 && rows.count == 0) {
        rc = group_not_found(id, err);
    }
    if (rc == 0) {
        *ret_row = rows.items[0];
        rows.count = 0; /* handed over */
    }
    return rc;
}

void sentinel_group_row_done(struct sentinel_group_row *row)
{
    for (size_t i = 0; i < row->count; i++) {
        free(row->sentinels[i].dc);
    }
    free(row->sentinels);
    free(row->cluster_type);
    free(row->tag);
    free(row->description);
    *row = (struct sentinel_group_row){ 0 };
}

void sentinel_group_rows_done(struct sentinel_group_rows *rows)
{
    for (size_t i = 0; i < rows->count; i++) {
        sentinel_group_row_done(&rows->items[i]);
    }
    free(rows->items);
    *rows = (struct sentinel_group_rows){ 0 };
}

char *sentinel_group_address(const struct sentinel_group_row *row)
{
    AUTO_STR struct str text = STR_INIT(SENTINELS_PER_GROUP_MAX * ADDR_TEXT_MAX);
    for (size_t i = 0; i < row->count; i++) {
        str_printf(&text, "%s%s", i ? "," : "", ADDR_TEXT(&row->sentinels[i].addr));
    }
    return xstrdup(str_text(&text));
}

/* ---- changing ---- */

/* A live group as it is stored. */
struct group_ref {
    int64_t id;
    bool is_active;
    char tag[TAG_BYTES_MAX + 1];
};

static int find_group(const struct change *change, int64_t id, struct group_ref *ret,
                      struct xp_err *err)
{
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(change->db, Q_SENTINEL_GROUP_FIND, QUERY_ARGS(QI(id)));
    int rc = db_step(&s, err);
    if (rc != DB_ROW) {
        return rc < 0 ? rc : group_not_found(id, err);
    }
    *ret = (struct group_ref){ .id = id, .is_active = db_col_i64(&s, 2) != 0 };
    (void)snprintf(ret->tag, sizeof(ret->tag), "%s", db_col_text(&s, 3));
    return 0;
}

/* Whom a change of a group concerns: gathered before it and after it. */
struct told_dcs {
    struct dc_ref *items;
    size_t count;
};

static void told_done(struct told_dcs *told)
{
    free(told->items);
}

static bool is_told(const struct told_dcs *told, int64_t dc_id)
{
    for (size_t i = 0; i < told->count; i++) {
        if (told->items[i].id == dc_id) {
            return true;
        }
    }
    return false;
}

/* The DCs whose documents show the group now. */
static int gather(const struct change *change, int64_t group_id, struct told_dcs *told,
                  struct xp_err *err)
{
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(change->db, Q_SENTINEL_GROUP_DCS, QUERY_ARGS(QI(group_id)));
    int rc = 0;
    while ((rc = db_step(&s, err)) == DB_ROW) {
        if (is_told(told, db_col_i64(&s, 0))) {
            continue;
        }
        struct dc_ref *dc = ARRAY_ADD(told->items, told->count);
        dc->id = db_col_i64(&s, 0);
        (void)snprintf(dc->name, sizeof(dc->name), "%s", db_col_text(&s, 1));
    }
    return rc;
}

static int tell(const struct change *change, struct catalog_result *result,
                const struct told_dcs *told, struct xp_err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < told->count; i++) {
        struct effect_on on = { .kind = EFFECT_DC_DOCUMENT, .dcs = &told->items[i], .dc_count = 1 };
        rc = change_effect(change, result, &on, err);
    }
    return rc;
}

static int gather_and_tell(const struct change *change, struct catalog_result *result,
                           int64_t group_id, struct told_dcs *told, struct xp_err *err)
{
    int rc = gather(change, group_id, told, err);
    return rc == 0 ? tell(change, result, told, err) : rc;
}

static int check_sentinel(const struct sentinel_spec *spec, struct addr *ret_addr,
                          struct xp_err *err)
{
    const char *ip = spec->ip ? spec->ip : "";
    struct addr addr = { 0 };
    if (spec->port >= 1 && spec->port <= 65535) {
        addr = addr_of(ip, (int)spec->port);
    }
    if (addr_is_none(&addr) || !addr_is_numeric(&addr)) {
        return xp_fail(err, XP_INVALID, "invalid socket address:%.63s:%lld", ip,
                       (long long)spec->port);
    }
    *ret_addr = addr;
    return 0;
}

static int insert_sentinel(const struct change *change, int64_t group_id,
                           const struct sentinel_spec *spec, struct xp_err *err)
{
    struct addr addr;
    int64_t there = 0;
    int64_t dc_id = 0;
    int rc = check_sentinel(spec, &addr, err);
    if (rc == 0) {
        rc = query_i64(change->db, Q_DC_EXISTS, QUERY_ARGS(QI(spec->dc_id)), &dc_id, err);
    }
    if (rc == 0 && !dc_id) {
        rc = xp_fail(err, XP_NOT_FOUND, "dc with id:%lld not exist", (long long)spec->dc_id);
    }
    if (rc == 0) {
        rc = query_i64(change->db, Q_SENTINEL_BY_ADDR, QUERY_ARGS(QT(addr.host), QI(addr.port)),
                       &there, err);
    }
    if (rc == 0 && there) {
        rc = xp_fail(err, XP_CONFLICT, "sentinel %s is in group %lld already", ADDR_TEXT(&addr),
                     (long long)there);
    }
    return rc == 0 ? query_run(change->db, Q_SENTINEL_INSERT,
                               QUERY_ARGS(QI(dc_id), QI(group_id), QT(addr.host), QI(addr.port),
                                          QI(change->now_ms)),
                               err)
                   : rc;
}

static int insert_sentinels(const struct change *change, int64_t group_id,
                            const struct sentinel_group_spec *spec, struct xp_err *err)
{
    int64_t count = 0;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < spec->count; i++) {
        rc = insert_sentinel(change, group_id, &spec->sentinels[i], err);
    }
    if (rc == 0) {
        rc = query_i64(change->db, Q_SENTINEL_COUNT, QUERY_ARGS(QI(group_id)), &count, err);
    }
    if (rc == 0 && count > SENTINELS_PER_GROUP_MAX) {
        rc = xp_fail(err, XP_TOO_LARGE, "a sentinel group has at most %d sentinels",
                     SENTINELS_PER_GROUP_MAX);
    }
    return rc;
}

static int create_in(struct change *change, void *arg, struct xp_err *err)
{
    struct service_job *job = arg;
    const struct sentinel_group_spec *spec = job->args;
    CLEANUP(told_done) struct told_dcs told = { 0 };
    struct group_ref group = { 0 };
    int rc = 0;
    if (spec->id) {
        rc = find_group(change, spec->id, &group, err);
    } else {
        const char *type = cluster_type_info(cluster_type_from_text(spec->cluster_type))->name;
        rc = query_run(change->db, Q_SENTINEL_GROUP_INSERT,
                       QUERY_ARGS(QT(type), QI(!spec->is_inactive),
                                  QT(spec->description ? spec->description : ""),
                                  QT(spec->tag ? spec->tag : ""), QI(change->now_ms)),
                       err);
        group.id = db_last_id(change->db);
    }
    if (rc == 0) {
        rc = insert_sentinels(change, group.id, spec, err);
    }
    change_note_number(change, "group", group.id);
    job->result.object_id = group.id;
    return rc == 0 ? gather_and_tell(change, &job->result, group.id, &told, err) : rc;
}

static int check_count(const struct sentinel_group_spec *spec, struct xp_err *err)
{
    return spec->count == 0 ? xp_fail(err, XP_INVALID, "sentinels empty") : 0;
}

int sentinel_groups_create(struct catalog *cat, const struct change_ctx *ctx,
                           const struct sentinel_group_spec *spec,
                           struct catalog_result *ret_result, struct xp_err *err)
{
    int rc = check_count(spec, err);
    if (rc == 0 && !spec->id && cluster_type_from_text(spec->cluster_type) == CLUSTER_UNKNOWN) {
        rc = xp_fail(err, XP_INVALID, "unknown cluster type %s",
                     spec->cluster_type ? spec->cluster_type : "(none)");
    }
    if (rc == 0) {
        rc = text_check("tag", spec->tag, TAG_BYTES_MAX, err);
    }
    if (rc == 0) {
        rc = text_check("desc", spec->description, DESCRIPTION_BYTES_MAX, err);
    }
    struct service_job job = { .args = spec };
    struct store_op op = { .name = "sentinel.create", .fn = create_in, .arg = &job };
    return rc == 0 ? catalog_change(cat, ctx, &op, ret_result, err) : rc;
}

static int set_addresses_in(struct change *change, void *arg, struct xp_err *err)
{
    struct service_job *job = arg;
    const struct sentinel_group_spec *spec = job->args;
    CLEANUP(told_done) struct told_dcs told = { 0 };
    struct group_ref group = { 0 };
    int rc = find_group(change, spec->id, &group, err);
    if (rc == 0) {
        rc = gather(change, spec->id, &told, err);
    }
    if (rc == 0) {
        rc = query_run(change->db, Q_SENTINEL_DELETE, QUERY_ARGS(QI(group.id), QI(change->now_ms)),
                       err);
    }
    if (rc == 0) {
        rc = insert_sentinels(change, group.id, spec, err);
    }
    change_note_number(change, "group", spec->id);
    job->result.object_id = spec->id;
    return rc == 0 ? gather_and_tell(change, &job->result, spec->id, &told, err) : rc;
}

int sentinel_groups_set_addresses(struct catalog *cat, const struct change_ctx *ctx,
                                  const struct sentinel_group_spec *spec,
                                  struct catalog_result *ret_result, struct xp_err *err)
{
    int rc = check_count(spec, err);
    struct service_job job = { .args = spec };
    struct store_op op = { .name = "sentinel.set_addresses", .fn = set_addresses_in, .arg = &job };
    return rc == 0 ? catalog_change(cat, ctx, &op, ret_result, err) : rc;
}

static int edit_in(struct change *change, void *arg, struct xp_err *err)
{
    struct service_job *job = arg;
    const struct sentinel_group_edit *edit = job->args;
    CLEANUP(told_done) struct told_dcs told = { 0 };
    struct group_ref group = { 0 };
    int rc = find_group(change, edit->id, &group, err);
    if (rc != 0) {
        return rc;
    }
    bool is_active = edit->active == TRI_ABSENT ? group.is_active : edit->active == TRI_YES;
    const char *tag = edit->tag ? edit->tag : group.tag;
    if (is_active == group.is_active && text_eq(tag, group.tag)) {
        return change_nothing(change, job);
    }
    change_note_number(change, "group", group.id);
    change_note_number(change, "active", is_active);
    change_note(change, "tag", tag);
    rc = query_run(change->db, Q_SENTINEL_GROUP_SET,
                   QUERY_ARGS(QI(group.id), QI(is_active), QT(tag), QI(change->now_ms)), err);
    return rc == 0 ? gather_and_tell(change, &job->result, group.id, &told, err) : rc;
}

int sentinel_groups_edit(struct catalog *cat, const struct change_ctx *ctx,
                         const struct sentinel_group_edit *edit, struct catalog_result *ret_result,
                         struct xp_err *err)
{
    int rc = text_check("tag", edit->tag, TAG_BYTES_MAX, err);
    struct service_job job = { .args = edit };
    struct store_op op = { .name = "sentinel.edit", .fn = edit_in, .arg = &job };
    return rc == 0 ? catalog_change(cat, ctx, &op, ret_result, err) : rc;
}

static int delete_in(struct change *change, void *arg, struct xp_err *err)
{
    struct service_job *job = arg;
    const int64_t *id = job->args;
    CLEANUP(told_done) struct told_dcs told = { 0 };
    struct group_ref group = { 0 };
    int64_t users = 0;
    int rc = find_group(change, *id, &group, err);
    if (rc == 0) {
        rc = gather(change, *id, &told, err);
    }
    if (rc == 0) {
        rc = query_i64(change->db, Q_SENTINEL_USE_COUNT, QUERY_ARGS(QI(*id)), &users, err);
    }
    if (rc == 0 && users > 0) {
        rc = xp_fail(err, XP_CONFLICT,
                     "sentinel group %lld is used by %lld shards: set it inactive, then re-choose "
                     "(PATCH /api/sentinels/%lld)",
                     (long long)*id, (long long)users, (long long)*id);
    }
    static const enum query_id steps[] = { Q_SENTINEL_DELETE, Q_SENTINEL_GROUP_DELETE };
    for (size_t i = 0; rc == 0 && i < ARRAY_LEN(steps); i++) {
        rc = query_run(change->db, steps[i], QUERY_ARGS(QI(*id), QI(change->now_ms)), err);
    }
    change_note_number(change, "group", *id);
    return rc == 0 ? tell(change, &job->result, &told, err) : rc;
}

int sentinel_groups_delete(struct catalog *cat, const struct change_ctx *ctx, int64_t id,
                           struct catalog_result *ret_result, struct xp_err *err)
{
    struct service_job job = { .args = &id };
    struct store_op op = { .name = "sentinel.delete", .fn = delete_in, .arg = &job };
    return catalog_change(cat, ctx, &op, ret_result, err);
}
