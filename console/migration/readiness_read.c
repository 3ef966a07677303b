/* readiness_read.c - see readiness_read.h. */
#include "console/migration/readiness_read.h"

#include <stdlib.h>
#include <string.h>

#include "console/catalog/lookup.h"
#include "console/migration/migration_rows.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

void readiness_target_done(struct readiness_target *t)
{
    free(t->cluster);
    free(t->from);
    names_done(&t->to);
    names_done(&t->others);
    names_done(&t->shards);
    *t = (struct readiness_target){ 0 };
}

void readiness_targets_done(struct readiness_targets *targets)
{
    for (size_t i = 0; i < targets->count; i++) {
        readiness_target_done(&targets->items[i]);
    }
    free(targets->items);
    *targets = (struct readiness_targets){ 0 };
}

static unsigned switchable_types(void)
{
    unsigned types = 0;
    for (int type = CLUSTER_ONE_WAY; type <= CLUSTER_HETERO; type++) {
        types |= cluster_type_info((enum cluster_type)type)->can_migrate ? TYPE_BIT(type) : 0;
    }
    return types;
}

static int read_targets(struct db *db, int64_t after_id, int limit, struct readiness_targets *ret,
                        struct xp_err *err)
{
    AUTO_FREE char *types = types_json(switchable_types());
    CLEANUP(db_stmt_done)
    struct db_stmt s =
        query_open(db, Q_READINESS_CLUSTERS, QUERY_ARGS(QI(after_id), QI(limit), QT(types)));
    int rc;
    while ((rc = db_step(&s, err)) == DB_ROW) {
        struct readiness_target *t = ARRAY_ADD(ret->items, ret->count);
        *t = (struct readiness_target){ .id = db_col_i64(&s, 0),
                                        .cluster = query_text(&s, 1),
                                        .held_by = db_col_i64(&s, 2),
                                        .from = query_text(&s, 3) };
        split_lines(db_col_text(&s, 4), &t->to);
        split_lines(db_col_text(&s, 5), &t->others);
    }
    return rc;
}

static int read_shards(struct db *db, struct readiness_target *t, struct xp_err *err)
{
    CLEANUP(db_stmt_done)
    struct db_stmt s =
        query_open(db, Q_READINESS_SHARDS, QUERY_ARGS(QI(t->id), QI(MIGRATION_SHARDS_MAX + 1)));
    int rc;
    while ((rc = db_step(&s, err)) == DB_ROW) {
        *ARRAY_ADD(t->shards.items, t->shards.count) = query_text(&s, 0);
    }
    return rc;
}

/* ---- a page ---- */

struct page_args {
    int64_t after_id;
    int limit;
};

static int page_in(struct db *db, void *arg, struct xp_err *err)
{
    const struct read_job *job = arg;
    const struct page_args *args = job->args;
    return read_targets(db, args->after_id, args->limit, job->ret, err);
}

int readiness_read_page(const struct catalog *cat, int64_t after_id, int limit,
                        struct readiness_targets *ret, struct xp_err *err)
{
    struct page_args args = { after_id, limit };
    struct readiness_targets targets = { 0 };
    struct read_job job = { .cat = cat, .args = &args, .ret = &targets };
    int rc = store_read(cat->store, page_in, &job, err);
    if (rc != 0) {
        readiness_targets_done(&targets);
        return rc;
    }
    *ret = targets;
    return 0;
}

/* ---- one ---- */

static int one_in(struct db *db, void *arg, struct xp_err *err)
{
    const struct read_job *job = arg;
    int64_t id = *(const int64_t *)job->args;
    CLEANUP(readiness_targets_done) struct readiness_targets targets = { 0 };
    int rc = read_targets(db, id - 1, 1, &targets, err);
    if (rc != 0 || targets.count == 0 || targets.items[0].id != id) {
        return rc;
    }
    struct readiness_target *ret = job->ret;
    *ret = targets.items[0];
    targets.items[0] = (struct readiness_target){ 0 };
    return read_shards(db, ret, err);
}

int readiness_read_one(const struct catalog *cat, int64_t cluster_id, struct readiness_target *ret,
                       struct xp_err *err)
{
    struct readiness_target target = { 0 };
    struct read_job job = { .cat = cat, .args = &cluster_id, .ret = &target };
    int rc = store_read(cat->store, one_in, &job, err);
    if (rc != 0) {
        readiness_target_done(&target);
        return rc;
    }
    *ret = target;
    return 0;
}

static int id_in(struct db *db, void *arg, struct xp_err *err)
{
    const struct read_job *job = arg;
    const char *name = job->args;
    struct cluster_ref cluster;
    int rc = find_cluster(db, name, &cluster, err);
    if (rc != 0) {
        return rc;
    }
    if (!cluster.id) {
        return xp_fail(err, XP_NOT_FOUND, "cluster not found:%.128s", name);
    }
    *(int64_t *)job->ret = cluster.id;
    return cluster.info->can_migrate
               ? 0
               : xp_fail(err, XP_INVALID, "cluster %s: of type %s, which is not switched",
                         cluster.name, cluster.type_name);
}

int readiness_read_named(const struct catalog *cat, const char *cluster,
                         struct readiness_target *ret, struct xp_err *err)
{
    int64_t id = 0;
    struct read_job job = { .cat = cat, .args = cluster, .ret = &id };
    int rc = store_read(cat->store, id_in, &job, err);
    rc = rc != 0 ? rc : readiness_read_one(cat, id, ret, err);
    return rc == 0 && ret->id == 0
               ? xp_fail(err, XP_INVALID, "cluster %.128s: has no active DC", cluster)
               : rc;
}

/* ---- changes ---- */

static int changes_in(struct db *db, void *arg, struct xp_err *err)
{
    const struct read_job *job = arg;
    const struct page_args *args = job->args;
    struct readiness_changes *ret = job->ret;
    CLEANUP(db_stmt_done)
    struct db_stmt s =
        query_open(db, Q_READINESS_CHANGED, QUERY_ARGS(QI(args->after_id), QI(args->limit)));
    int rc;
    while ((rc = db_step(&s, err)) == DB_ROW) {
        *ARRAY_ADD(ret->ids, ret->count) = db_col_i64(&s, 0);
        ret->version = db_col_i64(&s, 1);
    }
    return rc;
}

int readiness_read_changes(const struct catalog *cat, int64_t after_version, int limit,
                           struct readiness_changes *ret, struct xp_err *err)
{
    struct page_args args = { after_version, limit };
    struct readiness_changes changes = { .version = after_version };
    struct read_job job = { .cat = cat, .args = &args, .ret = &changes };
    int rc = store_read(cat->store, changes_in, &job, err);
    if (rc != 0) {
        free(changes.ids);
        return rc;
    }
    *ret = changes;
    return 0;
}
