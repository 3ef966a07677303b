/* proxies.c - see proxies.h. */
#include "console/catalog/proxies.h"
#include "console/catalog/routes_internal.h"
#include "shared/base/str.h"

#include <string.h>

#include "shared/base/banned.h"

/* ---- reading ---- */

static void proxy_row_done(struct proxy_row *row)
{
    free(row->uri);
    free(row->dc);
}

void proxy_rows_done(struct proxy_rows *rows)
{
    for (size_t i = 0; i < rows->count; i++) {
        proxy_row_done(&rows->items[i]);
    }
    free(rows->items);
    *rows = (struct proxy_rows){ 0 };
}

static int load(struct db *db, int64_t first_id, int64_t last_id, struct proxy_rows *rows,
                struct xp_err *err)
{
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(db, Q_PROXY_LIST, QUERY_ARGS(QI(first_id), QI(last_id)));
    int rc = 0;
    while ((rc = db_step(&s, err)) == DB_ROW) {
        struct proxy_row *row = ARRAY_ADD(rows->items, rows->count);
        *row = (struct proxy_row){ db_col_i64(&s, 0), query_text(&s, 1), query_text(&s, 2),
                                   db_col_i64(&s, 3) != 0, db_col_i64(&s, 4) != 0 };
    }
    return rc;
}

static int list_in(struct db *db, void *arg, struct xp_err *err)
{
    const struct read_job *job = arg;
    const struct proxy_filter *filter = job->args;
    struct proxy_rows *rows = job->ret;
    int rc = load(db, 0, INT64_MAX, rows, err);
    size_t kept = 0;
    for (size_t i = 0; i < rows->count; i++) {
        const struct proxy_row *row = &rows->items[i];
        bool is_wanted =
            (!filter->active_only || row->is_active) &&
            (!filter->monitor_active_only || row->is_monitor_active) &&
            (!filter->dc || text_eq_nocase(dc_alias_inner(job->cat->alias, filter->dc), row->dc));
        if (is_wanted) {
            rows->items[kept++] = rows->items[i];
        } else {
            proxy_row_done(&rows->items[i]);
        }
    }
    rows->count = kept;
    return rc;
}

int proxies_list(struct catalog *cat, const struct proxy_filter *filter,
                 struct proxy_rows *ret_rows, struct xp_err *err)
{
    struct proxy_rows rows = { 0 };
    struct read_job job = { .cat = cat, .args = filter, .ret = &rows };
    int rc = store_read(cat->store, list_in, &job, err);
    if (rc != 0) {
        proxy_rows_done(&rows);
        return rc;
    }
    *ret_rows = rows;
    return 0;
}

/* ---- changing ---- */

/* R1: an upper-case scheme, one address. route_parse knows the characters that a proxy line cannot hold. */
static int check_uri(const char *uri, struct xp_err *err)
{
    struct route route;
    if (text_is_empty(uri)) {
        return xp_fail(err, XP_INVALID, "uri empty");
    }
    if (!text_has_prefix(uri, "PROXYTCP://") && !text_has_prefix(uri, "PROXYTLS://")) {
        return xp_fail(err, XP_INVALID,
                       "uri %.80s: must be PROXYTCP://host:port or PROXYTLS://host:port", uri);
    }
    int rc = route_parse(uri, strlen(uri), &route, err);
    if (rc != 0) {
        return xp_wrap(err, "uri %.80s", uri);
    }
    if (route.hop_count != 1 || route.hops[0].count != 1) {
        return xp_fail(err, XP_INVALID, "uri %.80s: must be one address", uri);
    }
    return 0;
}

struct next_proxy { /* what the record shall be */
    int64_t id;
    const char *uri;
    int64_t dc_id;
    bool is_active;
    bool is_monitor_active;
};

static int check_free(struct db *db, const struct next_proxy *next, struct xp_err *err)
{
    int64_t taken = 0;
    int rc = query_i64(db, Q_PROXY_BY_URI, QUERY_ARGS(QT(next->uri)), &taken, err);
    if (rc == 0 && taken && taken != next->id) {
        return xp_fail(err, XP_CONFLICT, "proxy %s already exists with id %lld", next->uri,
                       (long long)taken);
    }
    return rc;
}

static int find_edit_dc(const struct service_job *job, struct db *db, int64_t *ret_dc_id,
                        struct xp_err *err)
{
    const struct proxy_edit *edit = job->args;
    struct dc_ref dc;
    const char *name = edit->dc ? edit->dc : "";
    int rc = find_dc(job->cat, db, name, &dc, err);
    if (rc == 0 && !dc.id) {
        return xp_fail(err, XP_NOT_FOUND, "dcName %s does not exist", name);
    }
    *ret_dc_id = dc.id;
    return rc;
}

static void note_next(const struct change *change, const struct next_proxy *next)
{
    change_note(change, "uri", next->uri);
    change_note_number(change, "dc_id", next->dc_id);
    change_note_number(change, "active", next->is_active);
    change_note_number(change, "monitor_active", next->is_monitor_active);
}

static int create_in(struct change *change, void *arg, struct xp_err *err)
{
    struct service_job *job = arg;
    const struct proxy_edit *edit = job->args;
    struct next_proxy next = { 0, edit->uri, 0, edit->active == TRI_YES,
                               edit->monitor_active == TRI_YES };
    int rc = find_edit_dc(job, change->db, &next.dc_id, err);
    if (rc == 0) {
        rc = check_free(change->db, &next, err);
    }
    if (rc == 0) {
        rc = query_run(change->db, Q_PROXY_INSERT,
                       QUERY_ARGS(QI(next.dc_id), QT(next.uri), QI(next.is_active),
                                  QI(next.is_monitor_active), QI(change->now_ms)),
                       err);
    }
    job->result.object_id = db_last_id(change->db);
    note_next(change, &next);
    return rc; /* no route uses it yet: nobody has to be told */
}

int proxies_create(struct catalog *cat, const struct change_ctx *ctx, const struct proxy_edit *edit,
                   struct catalog_result *ret_result, struct xp_err *err)
{
    int rc = check_uri(edit->uri, err);
    struct service_job job = { .args = edit };
    struct store_op op = { .name = "proxy.create", .fn = create_in, .arg = &job };
    return rc == 0 ? catalog_change(cat, ctx, &op, ret_result, err) : rc;
}

static bool tri_or(enum tri wanted, bool otherwise)
{
    return wanted == TRI_ABSENT ? otherwise : wanted == TRI_YES;
}

static int check_routes_of(struct db *db, int64_t proxy_id, struct xp_err *err)
{
    CLEANUP(route_rows_done) struct route_rows rows = { 0 };
    int rc = routes_load(db, 0, INT64_MAX, &rows, err);
    for (size_t i = 0; rc == 0 && i < rows.count; i++) {
        const struct route_row *row = &rows.items[i];
        const struct route_ids *const hops[] = { &row->src_proxies, &row->opt_proxies,
                                                 &row->dst_proxies };
        bool uses = false;
        for (size_t at = 0; at < ARRAY_LEN(hops) * ROUTE_MEMBERS_MAX; at++) {
            const struct route_ids *hop = hops[at / ROUTE_MEMBERS_MAX];
            size_t member = at % ROUTE_MEMBERS_MAX;
            uses = uses || (member < hop->count && hop->items[member] == proxy_id);
        }
        rc = uses ? route_row_check(db, row, err) : 0;
    }
    return rc;
}

static int update_row(struct change *change, struct service_job *job, const struct proxy_row *now,
                      struct xp_err *err)
{
    const struct proxy_edit *edit = job->args;
    struct next_proxy next = { now->id, edit->uri ? edit->uri : now->uri, 0,
                               tri_or(edit->active, now->is_active),
                               tri_or(edit->monitor_active, now->is_monitor_active) };
    struct dc_ref dc;
    CLEANUP(route_rows_done) struct route_rows before = { 0 };
    int rc = edit->dc ? find_edit_dc(job, change->db, &next.dc_id, err)
                      : find_dc(job->cat, change->db, now->dc, &dc, err);
    if (rc == 0 && !edit->dc) {
        next.dc_id = dc.id;
    }
    if (rc == 0) {
        rc = check_free(change->db, &next, err);
    }
    if (rc == 0) {
        rc = routes_load(change->db, 0, INT64_MAX, &before, err);
    }
    if (rc == 0) {
        rc = query_run(change->db, Q_PROXY_UPDATE,
                       QUERY_ARGS(QI(next.id), QI(next.dc_id), QT(next.uri), QI(next.is_active),
                                  QI(next.is_monitor_active), QI(change->now_ms)),
                       err);
    }
    if (rc == 0) {
        rc = check_routes_of(change->db, next.id, err);
    }
    note_next(change, &next);
    return rc == 0 ? routes_finish_change(change, &job->result, &before, edit->force, err) : rc;
}

static int find_proxy(struct db *db, int64_t id, struct proxy_rows *rows, struct xp_err *err)
{
    int rc = load(db, id, id, rows, err);
    return rc == 0 && rows->count == 0
               ? xp_fail(err, XP_NOT_FOUND, "proxy %lld not found", (long long)id)
               : rc;
}

static int update_in(struct change *change, void *arg, struct xp_err *err)
{
    struct service_job *job = arg;
    const struct proxy_edit *edit = job->args;
    CLEANUP(proxy_rows_done) struct proxy_rows rows = { 0 };
    change_note_number(change, "proxy_id", edit->id);
    int rc = find_proxy(change->db, edit->id, &rows, err);
    return rc == 0 ? update_row(change, job, &rows.items[0], err) : rc;
}

int proxies_update(struct catalog *cat, const struct change_ctx *ctx, const struct proxy_edit *edit,
                   struct catalog_result *ret_result, struct xp_err *err)
{
    int rc = edit->uri ? check_uri(edit->uri, err) : 0;
    struct service_job job = { .args = edit };
    struct store_op op = { .name = "proxy.update", .fn = update_in, .arg = &job };
    return rc == 0 ? catalog_change(cat, ctx, &op, ret_result, err) : rc;
}

static int delete_in(struct change *change, void *arg, struct xp_err *err)
{
    struct service_job *job = arg;
    const struct proxy_edit *edit = job->args;
    CLEANUP(proxy_rows_done) struct proxy_rows rows = { 0 };
    int64_t route_id = 0;
    int rc = find_proxy(change->db, edit->id, &rows, err);
    if (rc == 0) {
        rc = query_i64(change->db, Q_PROXY_ROUTE, QUERY_ARGS(QI(edit->id)), &route_id, err);
    }
    if (rc == 0 && route_id && rows.items) {
        return xp_fail(err, XP_CONFLICT,
                       "proxy %lld (%.100s) is used by route %lld: take it out of the route first",
                       (long long)edit->id, rows.items[0].uri, (long long)route_id);
    }
    change_note_number(change, "proxy_id", edit->id);
    return rc == 0 ? query_run(change->db, Q_PROXY_DELETE,
                               QUERY_ARGS(QI(edit->id), QI(change->now_ms)), err)
                   : rc;
}

int proxies_delete(struct catalog *cat, const struct change_ctx *ctx, const struct proxy_edit *edit,
                   struct catalog_result *ret_result, struct xp_err *err)
{
    struct service_job job = { .args = edit };
    struct store_op op = { .name = "proxy.delete", .fn = delete_in, .arg = &job };
    return catalog_change(cat, ctx, &op, ret_result, err);
}
