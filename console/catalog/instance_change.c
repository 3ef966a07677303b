/* instance_change.c - see instance_change.h. */
#include "console/catalog/instance_change.h"
#include "shared/base/str.h"

#include <string.h>

#include "shared/base/banned.h"

int instance_parse(const char *text, struct addr *ret_addr, struct xp_err *err)
{
    const char *shown = text ? text : "";
    if (addr_parse(shown, strlen(shown), ret_addr, NULL) != 0) {
        return xp_fail(err, XP_INVALID, "invalid socket address:%.80s", shown);
    }
    return 0;
}

void instance_note(const struct change *change, const struct instance_target *target,
                   const char *key, const struct addr *addr)
{
    json_t *list = json_object_get(change->body, "redises");
    if (!list) {
        list = json_array();
        (void)json_object_set_new(change->body, "redises", list);
    }
    (void)json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "shard", target->shard->name,
                                                "dc", target->dc->name, key, ADDR_TEXT(addr)));
}

/* Takes the flag from the other redises of the shard (redises.h: redises_set_master). */
static int clear_masters(const struct change *change, const struct instance_target *target,
                         int64_t redis_id, struct xp_err *err)
{
    /* Only a master in the active DC is the shard's. One that is reported elsewhere (a cut-off DC, a checker that is
     * early or late) must not take the flag from the active DC, whose document would not even be told. */
    bool is_of_shard = target->cluster->active_dc_id == target->dc->id;
    enum query_id id = is_of_shard ? Q_REDIS_CLEAR_MASTERS_SHARD : Q_REDIS_CLEAR_MASTERS_DC;
    return query_run(change->db, id,
                     QUERY_ARGS(QI(target->dc_cluster_shard_id), QI(redis_id), QI(change->now_ms)),
                     err);
}

/* What lives at an address now; id 0 when it is free. */
struct occupant {
    int64_t id;
    int64_t dc_cluster_shard_id;
    bool is_keeper;
    bool is_master;
};

static int find_occupant(struct db *db, const struct addr *addr, struct occupant *ret,
                         struct xp_err *err)
{
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(db, Q_REDIS_BY_ADDR, QUERY_ARGS(QT(addr->host), QI(addr->port)));
    int rc = db_step(&s, err);
    if (rc == DB_ROW) {
        *ret = (struct occupant){
            .id = db_col_i64(&s, 0),
            .dc_cluster_shard_id = db_col_i64(&s, 1),
            .is_keeper = text_eq(db_col_text(&s, 2), "keeper"),
            .is_master = db_col_i64(&s, 3) != 0,
        };
        return 0;
    }
    return rc;
}

static int insert_redis(const struct change *change, const struct instance_target *target,
                        const struct instance_spec *spec, const struct addr *addr,
                        struct xp_err *err)
{
    int64_t az_id = 0;
    int rc = find_az(change->db, spec->az, target->dc->id, &az_id, err);
    if (rc != 0) {
        return rc;
    }
    return query_run(change->db, Q_REDIS_INSERT,
                     QUERY_ARGS(QI(target->dc_cluster_shard_id), QT(addr->host), QI(addr->port),
                                QI(spec->is_master), QI(az_id), QI(change->now_ms)),
                     err);
}

int instance_add(const struct change *change, const struct instance_target *target,
                 const struct instance_spec *spec, int64_t *ret_changed, struct xp_err *err)
{
    struct addr addr;
    struct occupant there = { 0 };
    int rc = instance_parse(spec->addr, &addr, err);
    if (rc == 0 && !addr_is_numeric(&addr)) {
        /* Redis reports addresses, and replication and PEEROF are compared with them: a name would never be equal. */
        rc = xp_fail(err, XP_INVALID, "invalid socket address:%.80s", spec->addr);
    }
    if (rc == 0) {
        rc = find_occupant(change->db, &addr, &there, err);
    }
    if (rc != 0) {
        return rc;
    }
    if (there.id && (there.is_keeper || there.dc_cluster_shard_id != target->dc_cluster_shard_id)) {
        return xp_fail(err, XP_CONFLICT, "Redis already exists, %s", ADDR_TEXT(&addr));
    }
    if (there.id && (there.is_master || !spec->is_master)) {
        return 0; /* there already */
    }
    if (there.id) {
        rc = query_run(change->db, Q_REDIS_SET_MASTER,
                       QUERY_ARGS(QI(there.id), QI(1), QI(change->now_ms)), err);
    } else {
        rc = insert_redis(change, target, spec, &addr, err);
        there.id = db_last_id(change->db);
    }
    if (rc == 0 && spec->is_master) {
        rc = clear_masters(change, target, there.id, err);
    }
    if (rc == 0) {
        instance_note(change, target, spec->is_master ? "add_master" : "add", &addr);
        *ret_changed += 1;
    }
    return rc;
}

/* ---- those that are there ---- */

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

int instance_remove(const struct change *change, const struct instance_target *target,
                    const struct instance_spec *spec, int64_t *ret_changed, struct xp_err *err)
{
    struct addr addr;
    struct own_redis own = { 0 };
    int rc = instance_parse(spec->addr, &addr, err);
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

static int find_given(const struct change *change, const struct instance_target *target,
                      const struct instance_spec *spec, struct addr *ret_addr,
                      struct own_redis *ret, struct xp_err *err)
{
    int rc = instance_parse(spec->addr, ret_addr, err);
    if (rc == 0) {
        rc = find_own(change, target, ret_addr, ret, err);
    }
    if (rc == 0 && !ret->id) {
        return xp_fail(err, XP_NOT_FOUND, "redis %s is not in shard %s of cluster %s in dc %s",
                       ADDR_TEXT(ret_addr), target->shard->name, target->cluster->name,
                       target->dc->name);
    }
    return rc;
}

int instance_set_az(const struct change *change, const struct instance_target *target,
                    const struct instance_spec *spec, int64_t *ret_changed, struct xp_err *err)
{
    struct addr addr;
    struct own_redis own = { 0 };
    int64_t now = 0;
    int64_t next = 0;
    int rc = find_given(change, target, spec, &addr, &own, err);
    if (rc == 0) {
        rc = find_az(change->db, spec->az, target->dc->id, &next, err);
    }
    if (rc == 0) {
        rc = query_i64(change->db, Q_REDIS_AZ, QUERY_ARGS(QI(own.id)), &now, err);
    }
    if (rc != 0 || now == next) {
        return rc;
    }
    instance_note(change, target, next ? spec->az : "no_az", &addr);
    *ret_changed += 1;
    return query_run(change->db, Q_REDIS_SET_AZ,
                     QUERY_ARGS(QI(own.id), QI(next), QI(change->now_ms)), err);
}

int instance_set_master(const struct change *change, const struct instance_target *target,
                        const struct instance_spec *spec, int64_t *ret_changed, struct xp_err *err)
{
    struct addr addr;
    struct own_redis own = { 0 };
    int rc = find_given(change, target, spec, &addr, &own, err);
    if (rc == 0 && own.is_master == spec->is_master) {
        return 0;
    }
    if (rc == 0) {
        rc = query_run(change->db, Q_REDIS_SET_MASTER,
                       QUERY_ARGS(QI(own.id), QI(spec->is_master), QI(change->now_ms)), err);
    }
    if (rc == 0 && spec->is_master) {
        rc = clear_masters(change, target, own.id, err);
    }
    instance_note(change, target, spec->is_master ? "master" : "not_master", &addr);
    *ret_changed += 1;
    return rc;
}
