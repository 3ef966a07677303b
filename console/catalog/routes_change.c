/* routes_change.c - creating, updating, deleting and designating routes; see routes.h.
 * The rules R2 are checked on the row as it was written, so that every way to change a route meets the same ones. */
#include "console/catalog/routes_internal.h"
#include "shared/base/str.h"

#include <string.h>

#include "shared/base/banned.h"

enum { DESCRIPTION_MAX_BYTES = 1024 };
static const char *const hop_names[] = { "src", "opt", "dst" };
static const char *const hop_fields[] = { "srcProxyIds", "optionProxyIds", "dstProxyIds" };

/* ---- R2 ---- */

struct proxy_fact {
    const char *uri; /* borrowed from the statement */
    int64_t dc_id;
};

static int check_member(const struct route_row *row, size_t hop, int64_t proxy_id,
                        const struct proxy_fact *proxy, struct xp_err *err)
{
    int64_t wanted_dc = hop == 0 ? row->src_dc_id : hop == 2 ? row->dst_dc_id : proxy->dc_id;
    if (proxy->dc_id != wanted_dc) {
        return xp_fail(err, XP_INVALID, "%s: proxy %lld does not stand in dc %s", hop_fields[hop],
                       (long long)proxy_id, hop == 0 ? row->src_dc : row->dst_dc);
    }
    if (hop == 0 && !text_has_prefix(proxy->uri, "PROXYTCP://")) {
        return xp_fail(err, XP_INVALID,
                       "%s: proxy %lld (%.80s) must be PROXYTCP: Redis takes nothing else there",
                       hop_fields[hop], (long long)proxy_id, proxy->uri);
    }
    return 0;
}

static int check_hop(struct db *db, const struct route_row *row, size_t hop,
                     const struct route_ids *ids, struct xp_err *err)
{
    if (ids->count > ROUTE_MEMBERS_MAX) {
        return xp_fail(err, XP_INVALID, "%s: at most %d proxies", hop_fields[hop],
                       ROUTE_MEMBERS_MAX);
    }
    for (size_t i = 0; i < ids->count; i++) {
        CLEANUP(db_stmt_done)
        struct db_stmt s =
            query_open(db, Q_PROXY_LIST, QUERY_ARGS(QI(ids->items[i]), QI(ids->items[i])));
        int rc = db_step(&s, err);
        if (rc == 0) {
            return xp_fail(err, XP_NOT_FOUND, "%s: proxy %lld does not exist", hop_fields[hop],
                           (long long)ids->items[i]);
        }
        struct proxy_fact proxy = { db_col_text(&s, 1), db_col_i64(&s, 5) };
        rc = rc == DB_ROW ? check_member(row, hop, ids->items[i], &proxy, err) : rc;
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

int route_row_check(struct db *db, const struct route_row *row, struct xp_err *err)
{
    int rc = check_hop(db, row, 0, &row->src_proxies, err);
    if (rc == 0) {
        rc = check_hop(db, row, 1, &row->opt_proxies, err);
    }
    return rc == 0 ? check_hop(db, row, 2, &row->dst_proxies, err) : rc;
}

/* ---- what the route shall be ---- */

struct next_route {
    struct route_row row; /* texts borrowed, id lists owned */
};

static void next_route_done(struct next_route *next)
{
    free(next->row.src_proxies.items);
    free(next->row.opt_proxies.items);
    free(next->row.dst_proxies.items);
}

static int parse_hop(const char *list, size_t hop, struct route_ids *ret_ids, struct xp_err *err)
{
    const char *cursor = list;
    const char *part = NULL;
    size_t length = 0;
    ret_ids->items = xcalloc(ROUTE_MEMBERS_MAX, sizeof(*ret_ids->items));
    while (text_next_part(&cursor, ",", &part, &length)) {
        if (ret_ids->count == ROUTE_MEMBERS_MAX) {
            return xp_fail(err, XP_INVALID, "%s: at most %d proxies", hop_fields[hop],
                           ROUTE_MEMBERS_MAX);
        }
        if (!text_to_i64(part, length, 1, INT64_MAX, &ret_ids->items[ret_ids->count])) {
            return xp_fail(err, XP_INVALID, "%s: '%.*s' is not a proxy id", hop_fields[hop],
                           length > 40 ? 40 : (int)length, part);
        }
        ret_ids->count++;
    }
    return 0;
}

static int take_hop(const char *wanted, const struct route_ids *now, size_t hop,
                    struct route_ids *ret_ids, struct xp_err *err)
{
    if (wanted) {
        return parse_hop(wanted, hop, ret_ids, err);
    }
    ret_ids->items = now->count ? xmemdup(now->items, now->count * sizeof(*now->items)) : NULL;
    ret_ids->count = now->count;
    return 0;
}

static bool ids_have(const struct route_ids *ids, size_t until, int64_t id)
{
    for (size_t i = 0; i < until; i++) {
        if (ids->items[i] == id) {
            return true;
        }
    }
    return false;
}

/* The first proxy of a hop that this hop or one before it has already; 0 when there is none. */
static int64_t repeated_in(const struct route_ids *const hops[], size_t hop)
{
    for (size_t i = 0; i < hops[hop]->count; i++) {
        int64_t id = hops[hop]->items[i];
        bool is_repeated = ids_have(hops[hop], i, id);
        for (size_t before = 0; before < hop; before++) {
            is_repeated = is_repeated || ids_have(hops[before], hops[before]->count, id);
        }
        if (is_repeated) {
            return id;
        }
    }
    return 0;
}

static int check_twice(const struct route_row *row, struct xp_err *err)
{
    const struct route_ids *const hops[] = { &row->src_proxies, &row->opt_proxies,
                                             &row->dst_proxies };
    for (size_t hop = 0; hop < ARRAY_LEN(hops); hop++) {
        int64_t id = repeated_in(hops, hop);
        if (id) {
            return xp_fail(err, XP_INVALID, "%s: proxy %lld appears twice in the route",
                           hop_fields[hop], (long long)id);
        }
    }
    return 0;
}

static int find_route_dc(const struct service_job *job, struct db *db, const char *name,
                         struct dc_ref *ret_dc, struct xp_err *err)
{
    int rc = find_dc(job->cat, db, name ? name : "", ret_dc, err);
    return rc == 0 && !ret_dc->id
               ? xp_fail(err, XP_NOT_FOUND, "dc name: %s not found", name ? name : "")
               : rc;
}

struct route_dcs {
    struct dc_ref src;
    struct dc_ref dst;
};

static int take_dcs(const struct service_job *job, struct db *db, struct route_dcs *dcs,
                    struct route_row *row, struct xp_err *err)
{
    int rc = find_route_dc(job, db, row->src_dc, &dcs->src, err);
    if (rc == 0) {
        rc = find_route_dc(job, db, row->dst_dc, &dcs->dst, err);
    }
    if (rc == 0 && dcs->src.id == dcs->dst.id) {
        return xp_fail(err, XP_INVALID, "srcDcName and dstDcName are both %s: they must differ",
                       dcs->src.name);
    }
    row->src_dc_id = dcs->src.id;
    row->dst_dc_id = dcs->dst.id;
    row->src_dc = dcs->src.name;
    row->dst_dc = dcs->dst.name;
    return rc;
}

static int check_org(struct db *db, int64_t org_id, struct xp_err *err)
{
    int64_t found = 0;
    if (org_id == 0) {
        return 0;
    }
    int rc = query_i64(db, Q_ORGANIZATION_BY_ID, QUERY_ARGS(QI(org_id)), &found, err);
    return rc == 0 && !found
               ? xp_fail(err, XP_NOT_FOUND, "Organization Id: %lld, could not be found",
                         (long long)org_id)
               : rc;
}

static int check_words(const struct route_edit *edit, struct xp_err *err)
{
    if (edit->tag && !text_eq_nocase(edit->tag, "meta") && !text_eq_nocase(edit->tag, "console")) {
        return xp_fail(err, XP_INVALID, "tag %.40s: must be meta or console", edit->tag);
    }
    if (!text_is_empty(edit->cluster_type) &&
        cluster_type_from_text(edit->cluster_type) == CLUSTER_UNKNOWN) {
        return xp_fail(err, XP_INVALID, "unknown cluster type %.40s", edit->cluster_type);
    }
    return text_check("description", edit->description, DESCRIPTION_MAX_BYTES, err);
}

/* The constant texts of struct route_row are only read here; the struct is the owned one of the reads. */
static char *borrow(const char *text)
{
    char *result = NULL;
    memcpy(&result, &text, sizeof(result));
    return result;
}

static void take_fields(const struct route_edit *edit, const struct route_row *now,
                        struct route_row *ret)
{
    const char *type = !edit->cluster_type ? now->cluster_type
                       : text_is_empty(edit->cluster_type)
                           ? ""
                           : cluster_type_info(cluster_type_from_text(edit->cluster_type))->name;
    ret->id = now->id;
    ret->org_id = edit->has_org_id ? edit->org_id : now->org_id;
    ret->cluster_type = borrow(type);
    ret->src_dc = borrow(edit->src_dc ? edit->src_dc : now->src_dc);
    ret->dst_dc = borrow(edit->dst_dc ? edit->dst_dc : now->dst_dc);
    ret->tag = borrow(edit->tag ? edit->tag : now->tag);
    ret->is_active = edit->active == TRI_ABSENT ? now->is_active : edit->active == TRI_YES;
    ret->is_public = edit->is_public == TRI_ABSENT ? now->is_public : edit->is_public == TRI_YES;
    ret->description = borrow(edit->description ? edit->description : now->description);
}

static int take_hops(const struct route_edit *edit, const struct route_row *now,
                     struct route_row *ret, struct xp_err *err)
{
    int rc = take_hop(edit->src_proxy_ids, &now->src_proxies, 0, &ret->src_proxies, err);
    if (rc == 0) {
        rc = take_hop(edit->opt_proxy_ids, &now->opt_proxies, 1, &ret->opt_proxies, err);
    }
    if (rc == 0) {
        rc = take_hop(edit->dst_proxy_ids, &now->dst_proxies, 2, &ret->dst_proxies, err);
    }
    return rc == 0 ? check_twice(ret, err) : rc;
}

/* ---- writing ---- */

static int write_hops(const struct change *change, const struct route_row *row, struct xp_err *err)
{
    const struct route_ids *const hops[] = { &row->src_proxies, &row->opt_proxies,
                                             &row->dst_proxies };
    int rc = query_run(change->db, Q_ROUTE_HOP_CLEAR, QUERY_ARGS(QI(row->id)), err);
    for (size_t hop = 0; rc == 0 && hop < ARRAY_LEN(hops); hop++) {
        for (size_t i = 0; rc == 0 && i < hops[hop]->count; i++) {
            rc = query_run(
                change->db, Q_ROUTE_HOP_INSERT,
                QUERY_ARGS(QI(row->id), QT(hop_names[hop]), QI(i), QI(hops[hop]->items[i])), err);
        }
    }
    return rc;
}

static int write_row(const struct change *change, struct route_row *row, struct xp_err *err)
{
    int rc = 0;
    if (row->id) {
        rc = query_run(change->db, Q_ROUTE_UPDATE,
                       QUERY_ARGS(QI(row->id), QI(row->org_id), QI(row->src_dc_id),
                                  QI(row->dst_dc_id), QT(row->cluster_type), QI(row->is_public),
                                  QI(row->is_active), QT(row->tag), QT(row->description),
                                  QI(change->now_ms)),
                       err);
    } else {
        rc = query_run(change->db, Q_ROUTE_INSERT,
                       QUERY_ARGS(QI(row->org_id), QI(row->src_dc_id), QI(row->dst_dc_id),
                                  QT(row->cluster_type), QI(row->is_public), QI(row->is_active),
                                  QT(row->tag), QT(row->description), QI(change->now_ms)),
                       err);
        row->id = db_last_id(change->db);
    }
    return rc == 0 ? write_hops(change, row, err) : rc;
}

static void note_ids(const struct change *change, const char *key, const struct route_ids *ids)
{
    json_t *list = json_array();
    for (size_t i = 0; i < ids->count; i++) {
        (void)json_array_append_new(list, json_integer(ids->items[i]));
    }
    (void)json_object_set_new(change->body, key, list);
}

static void note_row(const struct change *change, const struct route_row *row)
{
    change_note_number(change, "route_id", row->id);
    change_note_number(change, "org_pk", row->org_id);
    change_note(change, "cluster_type", row->cluster_type);
    change_note(change, "src_dc", row->src_dc);
    change_note(change, "dst_dc", row->dst_dc);
    note_ids(change, "src_proxies", &row->src_proxies);
    note_ids(change, "opt_proxies", &row->opt_proxies);
    note_ids(change, "dst_proxies", &row->dst_proxies);
    change_note(change, "tag", row->tag);
    change_note_number(change, "active", row->is_active);
    change_note_number(change, "public", row->is_public);
    change_note(change, "description", row->description);
}

static int save(struct change *change, struct service_job *job, const struct route_rows *before,
                const struct route_row *now, struct xp_err *err)
{
    const struct route_edit *edit = job->args;
    CLEANUP(next_route_done) struct next_route next = { 0 };
    struct route_dcs dcs;
    take_fields(edit, now, &next.row);
    int rc = take_hops(edit, now, &next.row, err);
    if (rc == 0) {
        rc = take_dcs(job, change->db, &dcs, &next.row, err);
    }
    if (rc == 0) {
        rc = check_org(change->db, next.row.org_id, err);
    }
    if (rc == 0) {
        rc = route_row_check(change->db, &next.row, err);
    }
    if (rc == 0) {
        rc = write_row(change, &next.row, err);
    }
    if (rc != 0) {
        return rc;
    }
    job->result.object_id = next.row.id;
    note_row(change, &next.row);
    return routes_finish_change(change, &job->result, before, edit->force, err);
}

static int create_in(struct change *change, void *arg, struct xp_err *err)
{
    CLEANUP(route_rows_done) struct route_rows before = { 0 };
    char none[] = "";
    char meta[] = "meta";
    struct route_row blank = { .cluster_type = none, .tag = meta, .description = none };
    int rc = routes_load(change->db, 0, INT64_MAX, &before, err);
    return rc == 0 ? save(change, arg, &before, &blank, err) : rc;
}

static int run_edit(struct catalog *cat, const struct change_ctx *ctx, struct store_op *op,
                    struct catalog_result *ret_result, struct xp_err *err)
{
    const struct service_job *job = op->arg;
    int rc = check_words(job->args, err);
    return rc == 0 ? catalog_change(cat, ctx, op, ret_result, err) : rc;
}

int routes_create(struct catalog *cat, const struct change_ctx *ctx, const struct route_edit *edit,
                  struct catalog_result *ret_result, struct xp_err *err)
{
    struct service_job job = { .args = edit };
    struct store_op op = { .name = "route.create", .fn = create_in, .arg = &job };
    return run_edit(cat, ctx, &op, ret_result, err);
}

static const struct route_row *row_of(const struct route_rows *rows, int64_t id, struct xp_err *err)
{
    for (size_t i = 0; i < rows->count; i++) {
        if (rows->items[i].id == id) {
            return &rows->items[i];
        }
    }
    (void)xp_fail(err, XP_NOT_FOUND, "route %lld not found", (long long)id);
    return NULL;
}

static int update_in(struct change *change, void *arg, struct xp_err *err)
{
    struct service_job *job = arg;
    const struct route_edit *edit = job->args;
    CLEANUP(route_rows_done) struct route_rows before = { 0 };
    int rc = routes_load(change->db, 0, INT64_MAX, &before, err);
    if (rc != 0) {
        return rc;
    }
    const struct route_row *now = row_of(&before, edit->id, err);
    return now ? save(change, job, &before, now, err) : XP_NOT_FOUND;
}

int routes_update(struct catalog *cat, const struct change_ctx *ctx, const struct route_edit *edit,
                  struct catalog_result *ret_result, struct xp_err *err)
{
    struct service_job job = { .args = edit };
    struct store_op op = { .name = "route.update", .fn = update_in, .arg = &job };
    return run_edit(cat, ctx, &op, ret_result, err);
}

static int delete_rows(const struct change *change, int64_t id, struct xp_err *err)
{
    int rc = query_run(change->db, Q_ROUTE_TOUCH_CLUSTERS,
                       QUERY_ARGS(QI(id), QI(change->idx), QI(change->now_ms)), err);
    if (rc == 0) {
        rc = query_run(change->db, Q_ROUTE_CLEAR_DESIGNATIONS, QUERY_ARGS(QI(id)), err);
    }
    return rc == 0
               ? query_run(change->db, Q_ROUTE_DELETE, QUERY_ARGS(QI(id), QI(change->now_ms)), err)
               : rc;
}

static int delete_in(struct change *change, void *arg, struct xp_err *err)
{
    struct service_job *job = arg;
    const struct route_edit *edit = job->args;
    CLEANUP(route_rows_done) struct route_rows before = { 0 };
    int rc = routes_load(change->db, 0, INT64_MAX, &before, err);
    if (rc != 0) {
        return rc;
    }
    if (!row_of(&before, edit->id, err)) {
        return XP_NOT_FOUND;
    }
    change_note_number(change, "route_id", edit->id);
    rc = delete_rows(change, edit->id, err);
    return rc == 0 ? routes_finish_change(change, &job->result, &before, edit->force, err) : rc;
}

int routes_delete(struct catalog *cat, const struct change_ctx *ctx, const struct route_edit *edit,
                  struct catalog_result *ret_result, struct xp_err *err)
{
    struct service_job job = { .args = edit };
    struct store_op op = { .name = "route.delete", .fn = delete_in, .arg = &job };
    return catalog_change(cat, ctx, &op, ret_result, err);
}
