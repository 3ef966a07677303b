/* redises.c - see redises.h. */
#include "console/catalog/redises.h"
#include "console/catalog/instance_add.h"
#include "console/catalog/lookup.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

enum { ITEMS_MAX = 1000 };

/* ---- reading ---- */

static int find_place(const struct catalog *cat, struct db *db, const struct shard_place *place,
                      int64_t *ret_id, struct xp_err *err)
{
    struct cluster_ref cluster;
    struct dc_ref dc = { 0 };
    struct shard_ref shard = { 0 };
    *ret_id = 0;
    int rc = find_cluster(db, place->cluster ? place->cluster : "", &cluster, err);
    if (rc == 0) {
        rc = find_dc(cat, db, place->dc ? place->dc : "", &dc, err);
    }
    if (rc == 0) {
        rc = find_shard(db, cluster.id, place->shard ? place->shard : "", &shard, err);
    }
    if (rc != 0 || !cluster.id || !dc.id || !shard.id) {
        return rc;
    }
    return query_i64(db, Q_DC_CLUSTER_SHARD_FIND,
                     QUERY_ARGS(QI(cluster.id), QI(dc.id), QI(shard.id)), ret_id, err);
}

struct list_args {
    const struct shard_place *place;
    const char *role;
};

static int list_in(struct db *db, void *arg, struct xp_err *err)
{
    const struct read_job *job = arg;
    const struct list_args *args = job->args;
    struct redis_rows *rows = job->ret;
    int64_t place_id = 0;
    int rc = find_place(job->cat, db, args->place, &place_id, err);
    if (rc != 0) {
        return rc;
    }
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(db, Q_REDIS_LIST, QUERY_ARGS(QI(place_id), QT(args->role)));
    while ((rc = db_step(&s, err)) == DB_ROW) {
        void *items = rows->items;
        struct redis_row *row = array_grow(&items, rows->count, sizeof(*row));
        rows->items = items;
        rows->count++;
        *row = (struct redis_row){
            .id = db_col_i64(&s, 0),
            .run_id = query_text(&s, 1),
            .addr = addr_of(db_col_text(&s, 2), (int)db_col_i64(&s, 3)),
            .is_keeper = db_col_i64(&s, 4) != 0,
            .is_master = db_col_i64(&s, 5) != 0,
            .is_active = db_col_i64(&s, 6) != 0,
            .container_id = db_col_i64(&s, 7),
            .az_id = db_col_i64(&s, 8),
            .created_ms = db_col_i64(&s, 9),
        };
    }
    return rc;
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

struct resolved {
    struct cluster_ref cluster;
    struct dc_ref dc;
    struct shard_ref shard;
    struct instance_target target;
};

static int resolve(const struct service_job *job, const struct change *change, struct resolved *ret,
                   struct xp_err *err)
{
    const struct redises_edit *edit = job->args;
    const struct shard_place *place = &edit->place;
    int rc = find_cluster(change->db, place->cluster ? place->cluster : "", &ret->cluster, err);
    if (rc == 0) {
        rc = find_dc(job->cat, change->db, place->dc ? place->dc : "", &ret->dc, err);
    }
    if (rc == 0) {
        rc = find_shard(change->db, ret->cluster.id, place->shard ? place->shard : "", &ret->shard,
                        err);
    }
    ret->target = (struct instance_target){ &ret->cluster, &ret->dc, &ret->shard, 0 };
    if (rc == 0 && ret->cluster.id && ret->dc.id && ret->shard.id) {
        rc = query_i64(change->db, Q_DC_CLUSTER_SHARD_FIND,
                       QUERY_ARGS(QI(ret->cluster.id), QI(ret->dc.id), QI(ret->shard.id)),
                       &ret->target.dc_cluster_shard_id, err);
    }
    if (rc == 0 && !ret->target.dc_cluster_shard_id) {
        return xp_fail(err, XP_NOT_FOUND, "not found: dc:%s, cluster:%s, shard:%s",
                       place->dc ? place->dc : "", place->cluster ? place->cluster : "",
                       place->shard ? place->shard : "");
    }
    change_note(change, "cluster", ret->cluster.name);
    return rc == 0 ? change_check_version(change, &ret->cluster, err) : rc;
}

typedef int item_fn(const struct change *, const struct instance_target *,
                    const struct instance_spec *, int64_t *ret_changed, struct xp_err *);

/* The same frame for all three changes: resolve, each item, then tell. */
static int for_each_item(struct change *change, struct service_job *job, item_fn *fn,
                         struct xp_err *err)
{
    const struct redises_edit *edit = job->args;
    struct resolved r = { 0 };
    int rc = resolve(job, change, &r, err);
    for (size_t i = 0; rc == 0 && i < edit->count; i++) {
        rc = fn(change, &r.target, &edit->items[i], &job->result.changed_count, err);
    }
    if (rc != 0) {
        return rc;
    }
    if (job->result.changed_count == 0) {
        return change_nothing(change, job);
    }
    return change_effect_cluster(change, &job->result, &r.cluster, &r.dc, err);
}

static int add_in(struct change *change, void *arg, struct xp_err *err)
{
    return for_each_item(change, arg, instance_add, err);
}

struct own_redis { /* id 0: the address is somebody else's or free */
    int64_t id;
    bool is_master;
};

static int find_own(const struct change *change, const struct instance_target *target,
                    const struct addr *addr, struct own_redis *ret, struct xp_err *err)
{
    CLEANUP(db_stmt_done)
    struct db_stmt s =
        query_open(change->db, Q_REDIS_BY_ADDR, QUERY_ARGS(QT(addr->host), QI(addr->port)));
    int rc = db_step(&s, err);
    bool is_own = rc == DB_ROW && db_col_i64(&s, 1) == target->dc_cluster_shard_id &&
                  text_eq(db_col_text(&s, 2), "redis");
    *ret = (struct own_redis){ 0 };
    if (is_own) {
        *ret = (struct own_redis){ db_col_i64(&s, 0), db_col_i64(&s, 3) != 0 };
    }
    return rc < 0 ? rc : 0;
}

static int remove_one(const struct change *change, const struct instance_target *target,
                      const struct instance_spec *spec, int64_t *ret_changed, struct xp_err *err)
{
    struct addr addr;
    struct own_redis own = { 0 };
    int rc = change_check_unlocked(target->cluster, err);
    if (rc == 0) {
        rc = instance_parse(spec->addr, &addr, err);
    }
    if (rc == 0) {
        rc = find_own(change, target, &addr, &own, err);
    }
    if (rc != 0 || !own.id) {
        return rc;
    }
    instance_note(change, target, "remove", &addr);
    *ret_changed += 1;
    return query_run(change->db, Q_REDIS_DELETE, QUERY_ARGS(QI(own.id), QI(change->now_ms)), err);
}

static int remove_in(struct change *change, void *arg, struct xp_err *err)
{
    return for_each_item(change, arg, remove_one, err);
}

static int set_master_one(const struct change *change, const struct instance_target *target,
                          const struct instance_spec *spec, int64_t *ret_changed,
                          struct xp_err *err)
{
    struct addr addr;
    struct own_redis own = { 0 };
    int rc = instance_parse(spec->addr, &addr, err);
    if (rc == 0) {
        rc = find_own(change, target, &addr, &own, err);
    }
    if (rc == 0 && !own.id) {
        return xp_fail(err, XP_NOT_FOUND, "redis %s is not in shard %s of cluster %s in dc %s",
                       ADDR_TEXT(&addr), target->shard->name, target->cluster->name,
                       target->dc->name);
    }
    if (rc == 0 && own.is_master == spec->is_master) {
        return 0;
    }
    if (rc == 0) {
        rc = query_run(change->db, Q_REDIS_SET_MASTER,
                       QUERY_ARGS(QI(own.id), QI(spec->is_master), QI(change->now_ms)), err);
    }
    if (rc == 0 && spec->is_master) {
        rc = instance_clear_masters(change, target, own.id, err);
    }
    instance_note(change, target, spec->is_master ? "master" : "not_master", &addr);
    *ret_changed += 1;
    return rc;
}

static int set_master_in(struct change *change, void *arg, struct xp_err *err)
{
    return for_each_item(change, arg, set_master_one, err);
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
