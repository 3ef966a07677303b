/* redises.c - see redises.h. */
#include "console/catalog/redises.h"
#include "console/catalog/instance_change.h"
#include "console/catalog/lookup.h"
#include "console/catalog/place.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

enum { ITEMS_MAX = 1000 };

/* ---- reading ---- */

struct list_args {
    const struct shard_place *place;
    const char *role;
};

static int list_in(struct db *db, void *arg, struct xp_err *err)
{
    const struct read_job *job = arg;
    const struct list_args *args = job->args;
    struct place_ref place;
    int rc = place_find(job->cat, db, args->place, &place, err);
    return rc == 0 ? place_rows(db, place.id, args->role, job->ret, err) : rc;
}

static int list_role(struct catalog *cat, const struct list_args *args, struct redis_rows *ret_rows,
                     struct xp_err *err)
{
    struct redis_rows rows = { 0 };
    struct read_job job = { .cat = cat, .args = args, .ret = &rows };
    int rc = store_read(cat->store, list_in, &job, err);
    if (rc != 0) {
        redis_rows_done(&rows);
        return rc;
    }
    *ret_rows = rows;
    return 0;
}

int redises_list(struct catalog *cat, const struct shard_place *place, struct redis_rows *ret_rows,
                 struct xp_err *err)
{
    return list_role(cat, &(struct list_args){ place, "redis" }, ret_rows, err);
}

int keepers_list(struct catalog *cat, const struct shard_place *place, struct redis_rows *ret_rows,
                 struct xp_err *err)
{
    return list_role(cat, &(struct list_args){ place, "keeper" }, ret_rows, err);
}

void redis_rows_done(struct redis_rows *rows)
{
    for (size_t i = 0; i < rows->count; i++) {
        free(rows->items[i].run_id);
    }
    free(rows->items);
    *rows = (struct redis_rows){ 0 };
}

static int locate_in(struct db *db, void *arg, struct xp_err *err)
{
    const struct read_job *job = arg;
    const struct addr *addr = job->args;
    struct redis_location *location = job->ret;
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(db, Q_REDIS_LOCATE, QUERY_ARGS(QT(addr->host), QI(addr->port)));
    int rc = db_step(&s, err);
    if (rc == 0) {
        return xp_fail(err, XP_NOT_FOUND, "redis %s not found", ADDR_TEXT(addr));
    }
    if (rc == DB_ROW) {
        *location = (struct redis_location){ query_text(&s, 0), query_text(&s, 1),
                                             query_text(&s, 2), db_col_i64(&s, 3) != 0 };
        return 0;
    }
    return rc;
}

int redises_locate(struct catalog *cat, const struct addr *addr,
                   struct redis_location *ret_location, struct xp_err *err)
{
    struct read_job job = { .cat = cat, .args = addr, .ret = ret_location };
    return store_read(cat->store, locate_in, &job, err);
}

void redis_location_done(struct redis_location *location)
{
    free(location->dc);
    free(location->cluster);
    free(location->shard);
    *location = (struct redis_location){ 0 };
}

/* ---- changing ---- */

typedef int item_fn(const struct change *, const struct instance_target *,
                    const struct instance_spec *, int64_t *ret_changed, struct xp_err *);

/* The same frame for all three changes: resolve, each item, then tell. */
static int for_each_item(struct change *change, struct service_job *job, item_fn *fn,
                         struct xp_err *err)
{
    const struct redises_edit *edit = job->args;
    struct place_ref place;
    int rc = place_resolve(job->cat, change, &edit->place, &place, err);
    struct instance_target target = place_target(&place);
    for (size_t i = 0; rc == 0 && i < edit->count; i++) {
        rc = fn(change, &target, &edit->items[i], &job->result.changed_count, err);
    }
    if (rc != 0) {
        return rc;
    }
    if (job->result.changed_count == 0) {
        return change_nothing(change, job);
    }
    return change_effect_cluster(change, &job->result, &place.cluster, &place.dc, err);
}

static int add_in(struct change *change, void *arg, struct xp_err *err)
{
    return for_each_item(change, arg, instance_add, err);
}

static int remove_in(struct change *change, void *arg, struct xp_err *err)
{
    return for_each_item(change, arg, instance_remove, err);
}

static int set_master_in(struct change *change, void *arg, struct xp_err *err)
{
    return for_each_item(change, arg, instance_set_master, err);
}

static int run(struct catalog *cat, const struct change_ctx *ctx, struct store_op *op,
               struct catalog_result *ret_result, struct xp_err *err)
{
    const struct service_job *job = op->arg;
    const struct redises_edit *edit = job->args;
    if (edit->count > ITEMS_MAX) {
        return xp_fail(err, XP_TOO_LARGE, "%zu redises in one call: at most %d", edit->count,
                       ITEMS_MAX);
    }
    return catalog_change(cat, ctx, op, ret_result, err);
}

int redises_add(struct catalog *cat, const struct change_ctx *ctx, const struct redises_edit *edit,
                struct catalog_result *ret_result, struct xp_err *err)
{
    struct service_job job = { .args = edit };
    struct store_op op = { .name = "redis.add", .fn = add_in, .arg = &job };
    return run(cat, ctx, &op, ret_result, err);
}

int redises_remove(struct catalog *cat, const struct change_ctx *ctx,
                   const struct redises_edit *edit, struct catalog_result *ret_result,
                   struct xp_err *err)
{
    struct service_job job = { .args = edit };
    struct store_op op = { .name = "redis.remove", .fn = remove_in, .arg = &job };
    return run(cat, ctx, &op, ret_result, err);
}

int redises_set_master(struct catalog *cat, const struct change_ctx *ctx,
                       const struct redises_edit *edit, struct catalog_result *ret_result,
                       struct xp_err *err)
{
    struct service_job job = { .args = edit };
    struct store_op op = { .name = "redis.set_master", .fn = set_master_in, .arg = &job };
    return run(cat, ctx, &op, ret_result, err);
}

/* ---- availability zones ---- */

static void add_dc(struct dc_refs *dcs, const struct dc_ref *dc)
{
    if (!dc_refs_by_id(dcs, dc->id) && dcs->count < DCS_PER_CLUSTER_MAX) {
        dcs->items[dcs->count++] = *dc;
    }
}

static int set_az_of(struct change *change, struct service_job *job, const struct redis_az *item,
                     struct dc_refs *touched, struct xp_err *err)
{
    const struct redises_az_edit *edit = job->args;
    struct shard_place names = { edit->cluster, item->dc, edit->shard };
    struct instance_spec spec = { .addr = item->addr, .az = item->az };
    struct place_ref place;
    int64_t changed = 0;
    int rc = place_resolve(job->cat, change, &names, &place, err);
    struct instance_target target = place_target(&place);
    if (rc == 0) {
        rc = instance_set_az(change, &target, &spec, &changed, err);
    }
    if (changed) {
        add_dc(touched, &place.dc);
    }
    job->result.changed_count += changed;
    return rc;
}

static int tell_dcs(const struct change *change, struct service_job *job,
                    const struct dc_refs *touched, struct xp_err *err)
{
    const struct redises_az_edit *edit = job->args;
    struct cluster_ref cluster;
    int rc = find_cluster(change->db, edit->cluster ? edit->cluster : "", &cluster, err);
    if (rc == 0 && cluster.info->is_multi_active) {
        return change_effect_cluster(change, &job->result, &cluster, NULL, err);
    }
    struct effect_on on = { EFFECT_CHANGED, &cluster, touched->items, touched->count };
    if (rc == 0) {
        rc = change_touch_cluster(change, cluster.id, err);
    }
    return rc == 0 ? change_effect(change, &job->result, &on, err) : rc;
}

static int set_az_in(struct change *change, void *arg, struct xp_err *err)
{
    struct service_job *job = arg;
    const struct redises_az_edit *edit = job->args;
    struct dc_refs touched = { .count = 0 };
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < edit->count; i++) {
        rc = set_az_of(change, job, &edit->items[i], &touched, err);
    }
    if (rc != 0) {
        return rc;
    }
    return touched.count == 0 ? change_nothing(change, job) : tell_dcs(change, job, &touched, err);
}

int redises_set_az(struct catalog *cat, const struct change_ctx *ctx,
                   const struct redises_az_edit *edit, struct catalog_result *ret_result,
                   struct xp_err *err)
{
    if (edit->count == 0) {
        return xp_fail(err, XP_INVALID, "request body is empty");
    }
    if (edit->count > ITEMS_MAX) {
        return xp_fail(err, XP_TOO_LARGE, "%zu redises in one call: at most %d", edit->count,
                       ITEMS_MAX);
    }
    struct service_job job = { .args = edit };
    struct store_op op = { .name = "redis.set_az", .fn = set_az_in, .arg = &job };
    return catalog_change(cat, ctx, &op, ret_result, err);
}
