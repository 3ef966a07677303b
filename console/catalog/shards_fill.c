/* shards_fill.c - find or create shards and add their redises and keepers, in one transaction; see shards.h. */
#include "console/catalog/instance_change.h"
#include "console/catalog/keepers_internal.h"
#include "console/catalog/lookup.h"
#include "console/catalog/sentinels_internal.h"
#include "console/catalog/shards.h"
#include "console/catalog/shards_internal.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

enum { PARTS_MAX = 10000, REDISES_MAX = 50000 };

struct fill {
    struct change *change;
    struct service_job *job;
    const struct shards_with_redises *args;
    struct cluster_ref cluster;
    struct dc_refs dcs;
    struct keeper_filler keepers;
    bool has_new_shard;
    int64_t first_new_shard_id;
    uint64_t touched_dcs; /* bit i: dcs.items[i] got a redis or keepers */
};

/* ---- input ---- */

static size_t redis_count(const struct shard_part *part)
{
    size_t count = part->count;
    const char *cursor = part->text ? part->text : "";
    const char *piece = NULL;
    size_t length = 0;
    while (text_next_part(&cursor, ",", &piece, &length)) {
        count++;
    }
    return count;
}

static int check_input(const struct shards_with_redises *args, struct xp_err *err)
{
    size_t total = 0;
    if (args->count > PARTS_MAX) {
        return xp_fail(err, XP_TOO_LARGE, "%zu shard entries in one call: at most %d", args->count,
                       PARTS_MAX);
    }
    for (size_t i = 0; i < args->count; i++) {
        if (text_is_empty(args->parts[i].shard)) {
            return xp_fail(err, XP_INVALID, "shardName empty");
        }
        total += redis_count(&args->parts[i]);
    }
    if (total > REDISES_MAX) {
        return xp_fail(err, XP_TOO_LARGE, "%zu redises in one call: at most %d", total,
                       REDISES_MAX);
    }
    return total == 0 && args->is_one_shard ? xp_fail(err, XP_INVALID, "No redises posted") : 0;
}

/* ---- one part ---- */

static int find_part_dc(struct fill *f, const struct shard_part *part, size_t *ret_at,
                        struct xp_err *err)
{
    struct dc_ref dc;
    const char *name = part->dc ? part->dc : "";
    int rc = find_dc(f->job->cat, f->change->db, name, &dc, err);
    if (rc != 0) {
        return rc;
    }
    const struct dc_ref *bound = dc.id ? dc_refs_by_id(&f->dcs, dc.id) : NULL;
    if (!bound) {
        return xp_fail(err, XP_NOT_FOUND, "dc %s not exist in cluster %s", name, f->cluster.name);
    }
    *ret_at = (size_t)(bound - f->dcs.items);
    return 0;
}

static int check_monitor(struct fill *f, const char *name, struct xp_err *err)
{
    int64_t taken = 0;
    if (!f->args->is_one_shard || !f->job->cat->has_global_monitor_names) {
        return 0;
    }
    int rc = query_i64(f->change->db, Q_SHARD_MONITOR_ELSEWHERE,
                       QUERY_ARGS(QT(name), QI(f->cluster.id)), &taken, err);
    return rc == 0 && taken ? xp_fail(err, XP_CONFLICT, "monitor name %s already exist", name) : rc;
}

static int find_or_create(struct fill *f, const char *name, struct shard_ref *ret_shard,
                          struct xp_err *err)
{
    int rc = find_shard(f->change->db, f->cluster.id, name, ret_shard, err);
    if (rc != 0 || ret_shard->id) {
        return rc;
    }
    rc = check_monitor(f, name, err);
    if (rc == 0) {
        rc = shard_insert(f->change, &f->cluster, name, ret_shard, err);
    }
    f->first_new_shard_id = f->has_new_shard ? f->first_new_shard_id : ret_shard->id;
    f->has_new_shard = true;
    f->job->result.changed_count++;
    f->job->result.object_id = ret_shard->id;
    return rc;
}

static int add_redises(struct fill *f, const struct instance_target *target,
                       const struct shard_part *part, int64_t *ret_added, struct xp_err *err)
{
    const char *cursor = part->text ? part->text : "";
    const char *piece = NULL;
    size_t length = 0;
    int rc = 0;
    while (rc == 0 && text_next_part(&cursor, ",", &piece, &length)) {
        AUTO_FREE char *addr = xstrndup(piece, length);
        rc = instance_add(f->change, target, &(struct instance_spec){ .addr = addr }, ret_added,
                          err);
    }
    for (size_t i = 0; rc == 0 && i < part->count; i++) {
        rc = instance_add(f->change, target, &part->items[i], ret_added, err);
    }
    return rc;
}

static int fill_part(struct fill *f, const struct shard_part *part, struct xp_err *err)
{
    size_t at = 0;
    struct shard_ref shard;
    int64_t added = 0;
    int rc = find_part_dc(f, part, &at, err);
    if (rc == 0) {
        rc = find_or_create(f, part->shard, &shard, err);
    }
    if (rc != 0) {
        return rc;
    }
    struct instance_target target = { &f->cluster, &f->dcs.items[at], &shard, 0 };
    rc = query_i64(f->change->db, Q_DC_CLUSTER_SHARD_FIND,
                   QUERY_ARGS(QI(f->cluster.id), QI(target.dc->id), QI(shard.id)),
                   &target.dc_cluster_shard_id, err);
    if (rc == 0 && !target.dc_cluster_shard_id) {
        rc = xp_fail(err, XP_INTERNAL,
                     "shard %s of cluster %s has no row in dc %s: bind the dc again", shard.name,
                     f->cluster.name, target.dc->name);
    }
    if (rc == 0) {
        rc = add_redises(f, &target, part, &added, err);
    }
    if (rc == 0 && f->cluster.info->has_keepers) {
        rc = keepers_fill(&f->keepers, &target, &added, err);
    }
    f->job->result.changed_count += added;
    f->touched_dcs |= added > 0 ? 1ull << at : 0;
    return rc;
}

/* ---- the whole ---- */

static int check_twice(struct fill *f, struct xp_err *err)
{
    uint64_t seen = 0;
    for (size_t i = 0; f->args->is_one_shard && i < f->args->count; i++) {
        size_t at = 0;
        int rc = find_part_dc(f, &f->args->parts[i], &at, err);
        if (rc != 0) {
            return rc;
        }
        if (seen & (1ull << at)) {
            return xp_fail(err, XP_INVALID, "dc: %s appears more than two times",
                           f->args->parts[i].dc);
        }
        seen |= 1ull << at;
    }
    return 0;
}

static int tell(struct fill *f, struct xp_err *err)
{
    struct catalog_result *result = &f->job->result;
    if (result->changed_count == 0) {
        return change_nothing(f->change, f->job);
    }
    if (f->has_new_shard || f->cluster.info->is_multi_active) {
        return change_effect_cluster(f->change, result, &f->cluster, NULL, err);
    }
    struct dc_refs told = { .count = 0 };
    for (size_t i = 0; i < f->dcs.count; i++) {
        if (f->touched_dcs & (1ull << i)) {
            told.items[told.count++] = f->dcs.items[i];
        }
    }
    int rc = change_touch_cluster(f->change, f->cluster.id, err);
    struct effect_on on = { EFFECT_CHANGED, &f->cluster, told.items, told.count };
    return rc == 0 ? change_effect(f->change, result, &on, err) : rc;
}

static void fill_done(struct fill *f)
{
    keeper_filler_done(&f->keepers);
}

static int fill_in(struct change *change, void *arg, struct xp_err *err)
{
    struct service_job *job = arg;
    CLEANUP(fill_done)
    struct fill f = { .change = change,
                      .job = job,
                      .args = job->args,
                      .keepers = { job->cat, change, MAP_INIT(MAP_TEXT_NOCASE) } };
    int rc = find_cluster(change->db, f.args->cluster ? f.args->cluster : "", &f.cluster, err);
    if (rc == 0 && !f.cluster.id) {
        return xp_fail(err, XP_NOT_FOUND, "Cluster could not be found");
    }
    if (rc == 0) {
        rc = change_check_editable(change, &f.cluster, err);
    }
    if (rc == 0) {
        rc = find_cluster_dcs(change->db, f.cluster.id, &f.dcs, err);
    }
    if (rc == 0) {
        rc = check_twice(&f, err);
    }
    change_note(change, "cluster", f.cluster.name);
    for (size_t i = 0; rc == 0 && i < f.args->count; i++) {
        rc = fill_part(&f, &f.args->parts[i], err);
    }
    if (rc == 0 && f.has_new_shard) {
        rc =
            sentinels_assign(change, &f.cluster, (struct new_rows){ f.first_new_shard_id, 0 }, err);
    }
    return rc == 0 ? tell(&f, err) : rc;
}

int shards_create_with_redises(struct catalog *cat, const struct change_ctx *ctx,
                               const struct shards_with_redises *args,
                               struct catalog_result *ret_result, struct xp_err *err)
{
    int rc = check_input(args, err);
    struct service_job job = { .args = args };
    struct store_op op = { .name = "shard.create_with_redises", .fn = fill_in, .arg = &job };
    return rc == 0 ? catalog_change(cat, ctx, &op, ret_result, err) : rc;
}
