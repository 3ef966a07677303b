/* dc_binding.c - see dc_binding.h. */
#include "console/catalog/dc_binding.h"
#include "console/catalog/lookup.h"
#include "console/catalog/sentinels_internal.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

struct binding {
    struct cluster_ref cluster;
    struct dc_ref dc;
    struct dc_refs bound;
};

static int resolve(const struct service_job *job, const struct change *change, struct binding *ret,
                   struct xp_err *err)
{
    const struct cluster_dc *args = job->args;
    const char *cluster = args->cluster ? args->cluster : "";
    const char *dc = args->dc ? args->dc : "";
    int rc = find_cluster(change->db, cluster, &ret->cluster, err);
    if (rc == 0 && !ret->cluster.id) {
        rc = xp_fail(err, XP_NOT_FOUND, "Cannot find cluster: %s", cluster);
    }
    if (rc == 0) {
        rc = find_dc(job->cat, change->db, dc, &ret->dc, err);
    }
    if (rc == 0 && !ret->dc.id) {
        rc = xp_fail(err, XP_NOT_FOUND, "Cannot find dc: %s", dc);
    }
    if (rc == 0) {
        rc = find_cluster_dcs(change->db, ret->cluster.id, &ret->bound, err);
    }
    if (rc == 0) {
        rc = change_check_editable(change, &ret->cluster, err);
    }
    change_note(change, "cluster", ret->cluster.name);
    change_note(change, "dc", ret->dc.name);
    return rc;
}

static int bind_in(struct change *change, void *arg, struct xp_err *err)
{
    struct service_job *job = arg;
    struct binding b = { 0 };
    int rc = resolve(job, change, &b, err);
    if (rc == 0 && dc_refs_by_id(&b.bound, b.dc.id)) {
        rc =
            xp_fail(err, XP_CONFLICT, "Cluster: %s already exist %s dc", b.cluster.name, b.dc.name);
    }
    if (rc == 0 && b.bound.count >= cluster_dcs_max(b.cluster.type)) {
        rc = xp_fail(err, XP_TOO_LARGE,
                     "Cluster: %s is bound to %zu DCs already, the most that is supported",
                     b.cluster.name, b.bound.count);
    }
    if (rc == 0) {
        rc = query_run(change->db, Q_DC_CLUSTER_INSERT,
                       QUERY_ARGS(QI(b.dc.id), QI(b.cluster.id), QI(change->now_ms)), err);
    }
    int64_t binding_id = db_last_id(change->db);
    if (rc == 0) {
        rc = query_run(change->db, Q_DC_CLUSTER_FILL_SHARDS,
                       QUERY_ARGS(QI(binding_id), QI(b.cluster.id), QI(change->now_ms)), err);
    }
    if (rc == 0) {
        rc = sentinels_assign(change, &b.cluster, (struct new_rows){ 0, binding_id }, err);
    }
    return rc == 0 ? change_effect_cluster(change, &job->result, &b.cluster, NULL, err) : rc;
}

int dc_bind(struct catalog *cat, const struct change_ctx *ctx, const struct cluster_dc *args,
            struct catalog_result *ret_result, struct xp_err *err)
{
    struct service_job job = { .args = args };
    struct store_op op = { .name = "cluster.bind_dc", .fn = bind_in, .arg = &job };
    return catalog_change(cat, ctx, &op, ret_result, err);
}

static int check_unbindable(const struct change *change, const struct binding *b,
                            const struct dc_ref *bound, struct xp_err *err)
{
    int64_t left = 0;
    int rc = bound ? query_i64(change->db, Q_DC_CLUSTER_REDIS_COUNT,
                               QUERY_ARGS(QI(bound->dc_cluster_id)), &left, err)
                   : 0;
    if (rc != 0) {
        return rc;
    }
    if (left > 0) {
        return xp_fail(err, XP_CONFLICT, "cluster not empty in dc %s", b->dc.name);
    }
    if (b->cluster.active_dc_id == b->dc.id) {
        return xp_fail(err, XP_CONFLICT, "cannot unbind active dc");
    }
    if (!bound) {
        return xp_fail(err, XP_NOT_FOUND, "Cluster: %s not exist %s dc", b->cluster.name,
                       b->dc.name);
    }
    if (b->bound.count == 1) {
        return xp_fail(err, XP_CONFLICT,
                       "Cluster: %s has no other dc than %s: delete the cluster instead",
                       b->cluster.name, b->dc.name);
    }
    return 0;
}

static int unbind_rows(const struct change *change, int64_t dc_cluster_id, struct xp_err *err)
{
    static const enum query_id steps[] = { Q_DC_CLUSTER_DELETE_NODES, Q_DC_CLUSTER_DELETE_SHARDS,
                                           Q_DC_CLUSTER_DELETE };
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < ARRAY_LEN(steps); i++) {
        rc =
            query_run(change->db, steps[i], QUERY_ARGS(QI(dc_cluster_id), QI(change->now_ms)), err);
    }
    return rc;
}

static int unbind_in(struct change *change, void *arg, struct xp_err *err)
{
    struct service_job *job = arg;
    struct binding b = { 0 };
    struct dc_refs rest = { 0 };
    int rc = resolve(job, change, &b, err);
    const struct dc_ref *bound = dc_refs_by_id(&b.bound, b.dc.id);
    if (rc == 0) {
        rc = check_unbindable(change, &b, bound, err);
    }
    if (rc == 0) {
        rc = unbind_rows(change, bound->dc_cluster_id, err);
    }
    struct effect_on gone = { EFFECT_DELETED, &b.cluster, &b.dc, 1 };
    if (rc == 0) {
        rc = change_effect(change, &job->result, &gone, err);
    }
    if (rc == 0) {
        rc = find_cluster_dcs(change->db, b.cluster.id, &rest, err);
    }
    if (rc == 0) {
        rc = change_touch_cluster(change, b.cluster.id, err);
    }
    struct effect_on changed = { EFFECT_CHANGED, &b.cluster, rest.items, rest.count };
    return rc == 0 ? change_effect(change, &job->result, &changed, err) : rc;
}

int dc_unbind(struct catalog *cat, const struct change_ctx *ctx, const struct cluster_dc *args,
              struct catalog_result *ret_result, struct xp_err *err)
{
    struct service_job job = { .args = args };
    struct store_op op = { .name = "cluster.unbind_dc", .fn = unbind_in, .arg = &job };
    return catalog_change(cat, ctx, &op, ret_result, err);
}
