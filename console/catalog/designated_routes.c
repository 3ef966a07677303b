/* designated_routes.c - the routes that a cluster is told to use; see routes.h. */
#include "console/catalog/routes_internal.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

enum { DESIGNATED_MAX = 256 };

struct place {
    struct cluster_ref cluster;
    struct dc_ref src;
};

static int resolve(const struct catalog *cat, struct db *db, const struct cluster_src *of,
                   struct place *ret, struct xp_err *err)
{
    int rc = find_cluster(db, of->cluster ? of->cluster : "", &ret->cluster, err);
    if (rc == 0 && !ret->cluster.id) {
        rc = xp_fail(err, XP_NOT_FOUND, "cluster %s not found", of->cluster ? of->cluster : "");
    }
    if (rc == 0) {
        rc = find_dc(cat, db, of->src_dc ? of->src_dc : "", &ret->src, err);
    }
    if (rc == 0 && !ret->src.id) {
        rc = xp_fail(err, XP_NOT_FOUND, "dc %s not found", of->src_dc ? of->src_dc : "");
    }
    return rc;
}

static int read_ids(struct db *db, const struct place *place, struct route_ids *ids,
                    struct xp_err *err)
{
    CLEANUP(db_stmt_done)
    struct db_stmt s =
        query_open(db, Q_DESIGNATED_IDS, QUERY_ARGS(QI(place->cluster.id), QI(place->src.id)));
    int rc = 0;
    while ((rc = db_step(&s, err)) == DB_ROW) {
        *ARRAY_ADD(ids->items, ids->count) = db_col_i64(&s, 0);
    }
    return rc;
}

static int get_in(struct db *db, void *arg, struct xp_err *err)
{
    const struct read_job *job = arg;
    struct route_rows *rows = job->ret;
    struct route_ids ids = { 0 };
    struct place place;
    int rc = resolve(job->cat, db, job->args, &place, err);
    if (rc == 0) {
        rc = read_ids(db, &place, &ids, err);
    }
    for (size_t i = 0; rc == 0 && i < ids.count; i++) {
        struct route_rows one = { 0 };
        rc = routes_load(db, ids.items[i], ids.items[i], &one, err);
        if (rc == 0 && one.count == 1) {
            struct route_row *row = ARRAY_ADD(rows->items, rows->count);
            *row = one.items[0];
            one.count = 0; /* handed over */
        }
        route_rows_done(&one);
    }
    free(ids.items);
    return rc;
}

int designated_routes_get(struct catalog *cat, const struct cluster_src *of,
                          struct route_rows *ret_rows, struct xp_err *err)
{
    struct route_rows rows = { 0 };
    struct read_job job = { .cat = cat, .args = of, .ret = &rows };
    int rc = store_read(cat->store, get_in, &job, err);
    if (rc != 0) {
        route_rows_done(&rows);
        return rc;
    }
    *ret_rows = rows;
    return 0;
}

static int insert_one(const struct change *change, const struct place *place, int64_t route_id,
                      struct xp_err *err)
{
    CLEANUP(route_rows_done) struct route_rows one = { 0 };
    int rc = routes_load(change->db, route_id, route_id, &one, err);
    if (rc == 0 && one.count == 0) {
        return xp_fail(err, XP_NOT_FOUND, "route %lld not found", (long long)route_id);
    }
    if (rc == 0 && one.items[0].src_dc_id != place->src.id) {
        return xp_fail(err, XP_INVALID, "route %lld starts in dc %s, not in %s",
                       (long long)route_id, one.items[0].src_dc, place->src.name);
    }
    return rc == 0 ? query_run(change->db, Q_DESIGNATED_INSERT,
                               QUERY_ARGS(QI(place->cluster.id), QI(route_id)), err)
                   : rc;
}

static bool ids_eq(const struct route_ids *now, const struct designated_edit *edit)
{
    for (size_t i = 0; now->count == edit->count && i < now->count; i++) {
        bool is_there = false;
        for (size_t j = 0; j < edit->count; j++) {
            is_there = is_there || edit->route_ids[j] == now->items[i];
        }
        if (!is_there) {
            return false;
        }
    }
    return now->count == edit->count;
}

static int replace(struct change *change, struct service_job *job, const struct place *place,
                   struct xp_err *err)
{
    const struct designated_edit *edit = job->args;
    json_t *list = json_array();
    (void)json_object_set_new(change->body, "route_ids", list);
    change_note(change, "cluster", place->cluster.name);
    change_note(change, "src_dc", place->src.name);
    int rc = query_run(change->db, Q_DESIGNATED_CLEAR,
                       QUERY_ARGS(QI(place->cluster.id), QI(place->src.id)), err);
    for (size_t i = 0; rc == 0 && i < edit->count; i++) {
        rc = insert_one(change, place, edit->route_ids[i], err);
        (void)json_array_append_new(list, json_integer(edit->route_ids[i]));
    }
    job->result.changed_count = (int64_t)edit->count;
    return rc == 0 ? change_effect_cluster(change, &job->result, &place->cluster, &place->src, err)
                   : rc;
}

static int set_in(struct change *change, void *arg, struct xp_err *err)
{
    struct service_job *job = arg;
    const struct designated_edit *edit = job->args;
    struct route_ids now = { 0 };
    struct place place;
    struct dc_refs dcs;
    int rc = resolve(job->cat, change->db, &edit->of, &place, err);
    if (rc == 0) {
        rc = change_check_editable(change, &place.cluster, err);
    }
    if (rc == 0) {
        rc = find_cluster_dcs(change->db, place.cluster.id, &dcs, err);
    }
    if (rc == 0 && !dc_refs_by_id(&dcs, place.src.id)) {
        rc = xp_fail(err, XP_NOT_FOUND, "dc %s not exist in cluster %s", place.src.name,
                     place.cluster.name);
    }
    if (rc == 0) {
        rc = read_ids(change->db, &place, &now, err);
    }
    if (rc == 0) {
        rc = ids_eq(&now, edit) ? change_nothing(change, job) : replace(change, job, &place, err);
    }
    free(now.items);
    return rc;
}

int designated_routes_set(struct catalog *cat, const struct change_ctx *ctx,
                          const struct designated_edit *edit, struct catalog_result *ret_result,
                          struct xp_err *err)
{
    if (edit->count > DESIGNATED_MAX) {
        return xp_fail(err, XP_TOO_LARGE, "%zu designated routes: at most %d", edit->count,
                       DESIGNATED_MAX);
    }
    struct service_job job = { .args = edit };
    struct store_op op = { .name = "route.designate", .fn = set_in, .arg = &job };
    return catalog_change(cat, ctx, &op, ret_result, err);
}
