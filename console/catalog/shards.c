/* shards.c - listing, creating empty and deleting shards; see shards.h. Shards with redises are in shards_fill.c. */
#include "console/catalog/shards.h"
#include "console/catalog/lookup.h"
#include "console/catalog/sentinels_internal.h"
#include "console/catalog/shards_internal.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

/* ---- reading ---- */

struct list_args {
    const char *cluster;
    unsigned types;
};

static int list_rows(struct db *db, const struct list_args *args, int64_t cluster_id,
                     struct shard_rows *rows, struct xp_err *err)
{
    AUTO_FREE char *types = types_json(args->types);
    CLEANUP(db_stmt_done)
    struct db_stmt s =
        query_open(db, Q_SHARD_LIST,
                   QUERY_ARGS(QI(cluster_id), QI(cluster_id ? cluster_id : INT64_MAX), QT(types)));
    int rc = 0;
    while ((rc = db_step(&s, err)) == DB_ROW) {
        struct shard_row *row = ARRAY_ADD(rows->items, rows->count);
        row->id = db_col_i64(&s, 0);
        row->name = query_text(&s, 1);
        row->monitor_name = query_text(&s, 2);
        row->cluster_id = db_col_i64(&s, 3);
        row->cluster = query_text(&s, 4);
        row->cluster_type = query_text(&s, 5);
        split_lines(db_col_text(&s, 6), &row->dcs);
    }
    return rc;
}

static int list_in(struct db *db, void *arg, struct xp_err *err)
{
    const struct read_job *job = arg;
    const struct list_args *args = job->args;
    struct cluster_ref cluster = { 0 };
    int rc = args->cluster ? find_cluster(db, args->cluster, &cluster, err) : 0;
    if (rc == 0 && args->cluster && !cluster.id) {
        return xp_fail(err, XP_NOT_FOUND, "cluster %s not found", args->cluster);
    }
    return rc == 0 ? list_rows(db, args, cluster.id, job->ret, err) : rc;
}

int shards_list(struct catalog *cat, const char *cluster, unsigned types,
                struct shard_rows *ret_rows, struct xp_err *err)
{
    struct shard_rows rows = { 0 };
    struct list_args args = { cluster, types };
    struct read_job job = { .cat = cat, .args = &args, .ret = &rows };
    int rc = store_read(cat->store, list_in, &job, err);
    if (rc != 0) {
        shard_rows_done(&rows);
        return rc;
    }
    *ret_rows = rows;
    return 0;
}

void shard_rows_done(struct shard_rows *rows)
{
    for (size_t i = 0; i < rows->count; i++) {
        struct shard_row *row = &rows->items[i];
        free(row->name);
        free(row->monitor_name);
        free(row->cluster);
        free(row->cluster_type);
        names_done(&row->dcs);
    }
    free(rows->items);
    *rows = (struct shard_rows){ 0 };
}

/* ---- creating ---- */

static int check_count(const struct change *change, const struct cluster_ref *cluster,
                       struct xp_err *err)
{
    int64_t count = 0;
    int rc = query_i64(change->db, Q_SHARD_COUNT, QUERY_ARGS(QI(cluster->id)), &count, err);
    if (rc == 0 && count >= SHARDS_PER_CLUSTER_MAX) {
        return xp_fail(err, XP_TOO_LARGE,
                       "cluster %s has %d shards already, the most that is supported",
                       cluster->name, SHARDS_PER_CLUSTER_MAX);
    }
    return rc;
}

int shard_insert(const struct change *change, const struct cluster_ref *cluster, const char *name,
                 struct shard_ref *ret_shard, struct xp_err *err)
{
    static const char *const reserved[] = { "sync", "regions",
                                            NULL }; /* /api/shards/{cluster}/... */
    int rc = name_check("shardName", name, err);
    if (rc == 0) {
        rc = name_check_reserved("shardName", name, reserved, err);
    }
    if (rc == 0) {
        rc = check_count(change, cluster, err);
    }
    if (rc == 0) {
        rc = query_run(change->db, Q_SHARD_INSERT,
                       QUERY_ARGS(QT(name), QI(cluster->id), QI(change->now_ms)), err);
    }
    int64_t id = db_last_id(change->db);
    if (rc == 0) {
        rc = query_run(change->db, Q_SHARD_FILL_DCS,
                       QUERY_ARGS(QI(id), QI(cluster->id), QI(change->now_ms)), err);
    }
    if (rc == 0) {
        rc = find_shard(change->db, cluster->id, name, ret_shard, err);
    }
    if (rc == 0) {
        json_t *list = json_object_get(change->body, "shards");
        if (!list) {
            list = json_array();
            (void)json_object_set_new(change->body, "shards", list);
        }
        (void)json_array_append_new(list, json_string(name));
    }
    return rc;
}

static int create_one(const struct change *change, const struct shards_create *args,
                      const struct cluster_ref *cluster, const struct shard_spec *spec,
                      int64_t *ret_id, struct xp_err *err)
{
    struct shard_ref shard = { 0 };
    if (args->check_monitor_name && !text_eq(spec->name, spec->monitor_name)) {
        return xp_fail(err, XP_INVALID, "Monitor name should be exact same with shard name");
    }
    int rc = find_shard(change->db, cluster->id, spec->name, &shard, err);
    if (rc == 0 && shard.id) {
        rc = xp_fail(err, XP_CONFLICT, "Duplicated shard name under same cluster.");
    }
    if (rc == 0) {
        rc = shard_insert(change, cluster, spec->name, &shard, err);
    }
    *ret_id = shard.id;
    return rc;
}

static int create_all(const struct change *change, const struct shards_create *args,
                      const struct cluster_ref *cluster, struct xp_err *err)
{
    int64_t first_id = 0;
    int rc = 0;
    for (size_t i = 0; i < args->count; i++) {
        int64_t id = 0;
        rc = create_one(change, args, cluster, &args->items[i], &id, err);
        if (rc != 0 && !args->check_monitor_name) {
            return xp_wrap(err, "fail shards:%s (nothing was created)", args->items[i].name);
        }
        if (rc != 0) {
            return rc;
        }
        first_id = i == 0 ? id : first_id;
    }
    return args->count > 0
               ? sentinels_assign(change, cluster, (struct new_rows){ first_id, 0 }, err)
               : rc;
}

static int create_in(struct change *change, void *arg, struct xp_err *err)
{
    struct service_job *job = arg;
    const struct shards_create *args = job->args;
    struct cluster_ref cluster;
    int rc = find_cluster(change->db, args->cluster ? args->cluster : "", &cluster, err);
    if (rc == 0 && !cluster.id) {
        return xp_fail(err, XP_NOT_FOUND, "cluster not exist");
    }
    if (rc == 0) {
        rc = change_check_editable(change, &cluster, err);
    }
    change_note(change, "cluster", cluster.name);
    if (rc == 0) {
        rc = create_all(change, args, &cluster, err);
    }
    if (rc != 0) {
        return rc;
    }
    job->result.changed_count = (int64_t)args->count;
    return args->count == 0 ? change_nothing(change, job)
                            : change_effect_cluster(change, &job->result, &cluster, NULL, err);
}

int shards_create(struct catalog *cat, const struct change_ctx *ctx,
                  const struct shards_create *args, struct catalog_result *ret_result,
                  struct xp_err *err)
{
    for (size_t i = 0; i < args->count; i++) {
        if (text_is_empty(args->items[i].name)) {
            return xp_fail(err, XP_INVALID, "shardName empty");
        }
        if (text_is_empty(args->items[i].monitor_name)) {
            return xp_fail(err, XP_INVALID, "shardMonitorName empty");
        }
        int rc = name_check("shardName", args->items[i].name, err);
        if (rc != 0) { /* not quoted, as "fail shards:" would */
            return rc;
        }
    }
    struct service_job job = { .args = args };
    struct store_op op = { .name = "shard.create", .fn = create_in, .arg = &job };
    return catalog_change(cat, ctx, &op, ret_result, err);
}

/* ---- deleting ---- */

static int delete_one(const struct change *change, const struct shard_ref *shard,
                      struct xp_err *err)
{
    static const enum query_id steps[] = { Q_SHARD_DELETE_REDISES, Q_SHARD_DELETE_DCS,
                                           Q_SHARD_DELETE };
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < ARRAY_LEN(steps); i++) {
        rc = query_run(change->db, steps[i], QUERY_ARGS(QI(shard->id), QI(change->now_ms)), err);
    }
    return rc;
}

static int delete_named(const struct change *change, const struct shards_delete *args,
                        int64_t cluster_id, struct xp_err *err)
{
    json_t *list = json_array();
    (void)json_object_set_new(change->body, "shards", list);
    for (size_t i = 0; i < args->count; i++) {
        struct shard_ref shard;
        int rc =
            find_shard(change->db, cluster_id, args->names[i] ? args->names[i] : "", &shard, err);
        if (rc == 0 && !shard.id) {
            return xp_fail(err, XP_NOT_FOUND, "%s already not exist",
                           args->is_list ? "Some shard" : "Shard");
        }
        if (rc == 0) {
            rc = delete_one(change, &shard, err);
        }
        if (rc != 0) {
            return rc;
        }
        (void)json_array_append_new(list, json_string(shard.name));
    }
    return 0;
}

static int delete_in(struct change *change, void *arg, struct xp_err *err)
{
    struct service_job *job = arg;
    const struct shards_delete *args = job->args;
    struct cluster_ref cluster;
    int rc = find_cluster(change->db, args->cluster ? args->cluster : "", &cluster, err);
    if (rc == 0 && !cluster.id) {
        return xp_fail(err, XP_NOT_FOUND, "Cluster already not exist");
    }
    if (rc == 0) {
        rc = change_check_editable(change, &cluster, err);
    }
    if (rc == 0) {
        rc = delete_named(change, args, cluster.id, err);
    }
    if (rc != 0) {
        return rc;
    }
    change_note(change, "cluster", cluster.name);
    job->result.changed_count = (int64_t)args->count;
    return args->count == 0 ? change_nothing(change, job)
                            : change_effect_cluster(change, &job->result, &cluster, NULL, err);
}

int shards_delete(struct catalog *cat, const struct change_ctx *ctx,
                  const struct shards_delete *args, struct catalog_result *ret_result,
                  struct xp_err *err)
{
    struct service_job job = { .args = args };
    struct store_op op = { .name = "shard.delete", .fn = delete_in, .arg = &job };
    return catalog_change(cat, ctx, &op, ret_result, err);
}
