/* place.c - see place.h. */
#include "console/catalog/place.h"

#include "shared/base/banned.h"

static const char *name_of(const char *name)
{
    return name ? name : "";
}

int place_find(const struct catalog *cat, struct db *db, const struct shard_place *place,
               struct place_ref *ret, struct xp_err *err)
{
    *ret = (struct place_ref){ 0 };
    int rc = find_cluster(db, name_of(place->cluster), &ret->cluster, err);
    if (rc == 0) {
        rc = find_dc(cat, db, name_of(place->dc), &ret->dc, err);
    }
    if (rc == 0) {
        rc = find_shard(db, ret->cluster.id, name_of(place->shard), &ret->shard, err);
    }
    if (rc != 0 || !ret->cluster.id || !ret->dc.id || !ret->shard.id) {
        return rc;
    }
    return query_i64(db, Q_DC_CLUSTER_SHARD_FIND,
                     QUERY_ARGS(QI(ret->cluster.id), QI(ret->dc.id), QI(ret->shard.id)), &ret->id,
                     err);
}

int place_not_found(const struct shard_place *place, struct xp_err *err)
{
    return xp_fail(err, XP_NOT_FOUND, "not found: dc:%s, cluster:%s, shard:%s", name_of(place->dc),
                   name_of(place->cluster), name_of(place->shard));
}

int place_resolve(const struct catalog *cat, const struct change *change,
                  const struct shard_place *place, struct place_ref *ret, struct xp_err *err)
{
    int rc = place_find(cat, change->db, place, ret, err);
    if (rc == 0 && !ret->id) {
        return place_not_found(place, err);
    }
    change_note(change, "cluster", ret->cluster.name);
    return rc == 0 ? change_check_editable(change, &ret->cluster, err) : rc;
}

struct instance_target place_target(const struct place_ref *place)
{
    return (struct instance_target){ &place->cluster, &place->dc, &place->shard, place->id };
}

int place_rows(struct db *db, int64_t place_id, const char *role, struct redis_rows *rows,
               struct xp_err *err)
{
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(db, Q_REDIS_LIST, QUERY_ARGS(QI(place_id), QT(role)));
    int rc = 0;
    while ((rc = db_step(&s, err)) == DB_ROW) {
        struct redis_row *row = ARRAY_ADD(rows->items, rows->count);
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
            .priority = db_col_i64(&s, 10),
        };
    }
    return rc;
}
