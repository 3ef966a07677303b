/* beacon_facts.c - see beacon_facts.h. */
#include "console/migration/beacon_facts.h"

#include <stdio.h>
#include <string.h>

#include "console/catalog/switches.h"
#include "console/migration/migration_events_internal.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

enum { GROUPS_MAX = 65536, NODES_MAX = 256 };

/* ---- the request ---- */

/* clang-format off */
static const struct jfield group_fields[] = {
    JF_TABLE(JF_TABLE_ANY_CASE),
    { .name = "name", .type = JF_STRING, .offset = offsetof(struct beacon_group, name), .flags = JF_REQUIRED, .max_length = 512 },
    { .name = "idc", .type = JF_STRING, .offset = offsetof(struct beacon_group, dc), .flags = JF_REQUIRED, .max_length = NAME_MAX_BYTES },
    { .name = "az", .type = JF_STRING, .offset = offsetof(struct beacon_group, az), .max_length = NAME_MAX_BYTES },
    { .name = "nodes", .type = JF_STRINGS, .offset = offsetof(struct beacon_group, nodes), .max_count = NODES_MAX },
    { .name = "down", .type = JF_BOOL, .offset = offsetof(struct beacon_group, is_down) },
    { 0 },
};
const struct jfield beacon_request_fields[] = {
    JF_TABLE(JF_TABLE_ANY_CASE),
    { .name = "clusterName", .type = JF_STRING, .offset = offsetof(struct beacon_request, cluster), .flags = JF_REQUIRED, .max_length = NAME_MAX_BYTES },
    { .name = "isForced", .type = JF_BOOL, .offset = offsetof(struct beacon_request, is_forced) },
    { .name = "targetIDC", .type = JF_STRING, .offset = offsetof(struct beacon_request, target), .max_length = NAME_MAX_BYTES },
    { .name = "groups", .type = JF_ARRAY, .offset = offsetof(struct beacon_request, groups), .sub = group_fields,
      .elem_size = sizeof(struct beacon_group), .max_count = GROUPS_MAX },
    { .name = "failoverGroups", .type = JF_STRINGS, .offset = offsetof(struct beacon_request, failover), .max_count = GROUPS_MAX },
    { .name = "availableDcs", .type = JF_STRINGS, .offset = offsetof(struct beacon_request, available), .max_count = DCS_PER_CLUSTER_MAX },
    { .name = "mode", .type = JF_STRING, .offset = offsetof(struct beacon_request, mode), .max_length = 16 },
    { 0 },
};
/* clang-format on */

void beacon_request_done(struct beacon_request *request)
{
    jd_done(beacon_request_fields, request);
}

static const char *outer(const struct catalog *cat, const char *name)
{
    return outer_name(cat, dc_alias_inner(cat->alias, name));
}

static void make_outer(const struct catalog *cat, char **name)
{
    const char *shown = *name ? outer(cat, *name) : NULL;
    if (shown && shown != *name) {
        char *copy = xstrdup(shown);
        free(*name);
        *name = copy;
    }
}

/* "shard1+jq" */
static void make_group_outer(const struct catalog *cat, char **name)
{
    const char *plus = *name ? strrchr(*name, '+') : NULL;
    if (plus) {
        char *copy = xasprintf("%.*s+%s", (int)(plus - *name), *name, outer(cat, plus + 1));
        free(*name);
        *name = copy;
    }
}

static void make_request_outer(const struct catalog *cat, struct beacon_request *request)
{
    make_outer(cat, &request->target);
    for (size_t i = 0; i < request->available.count; i++) {
        make_outer(cat, &request->available.items[i]);
    }
    for (size_t i = 0; i < request->failover.count; i++) {
        make_group_outer(cat, &request->failover.items[i]);
    }
    for (size_t i = 0; i < request->groups.count; i++) {
        make_outer(cat, &request->groups.items[i].dc);
        make_group_outer(cat, &request->groups.items[i].name);
    }
}

/* ---- the cluster ---- */

void beacon_world_done(struct beacon_world *world)
{
    beacon_groups_done(&world->own);
    free(world->from);
    free(world->to);
    *world = (struct beacon_world){ 0 };
}

static void read_distances(const struct catalog *cat, const struct dc_refs *dcs,
                           struct beacon_world *w)
{
    for (size_t i = 0; i < dcs->count; i++) {
        for (size_t k = 0; k < dcs->count; k++) {
            w->dcs[i].distances[k] = dc_relations_distance(cat->relations, w->cluster,
                                                           dcs->items[i].name, dcs->items[k].name);
        }
    }
}

static int read_dcs(const struct catalog *cat, struct db *db, const struct cluster_ref *cluster,
                    struct beacon_world *w, struct xp_err *err)
{
    struct dc_refs dcs;
    int rc = find_cluster_dcs(db, cluster->id, &dcs, err);
    for (size_t i = 0; rc == 0 && i < dcs.count; i++) {
        struct dc_ref whole;
        struct beacon_dc *dc = &w->dcs[w->facts.dc_count++];
        rc = find_dc(cat, db, dcs.items[i].name, &whole, err);
        *dc = (struct beacon_dc){ .zone_id = whole.zone_id, .is_usable = whole.is_active };
        (void)snprintf(dc->name, sizeof(dc->name), "%s", outer_name(cat, dcs.items[i].name));
        if (dcs.items[i].id == cluster->active_dc_id) {
            (void)snprintf(w->active, sizeof(w->active), "%s", dc->name);
        }
    }
    if (rc == 0) {
        read_distances(cat, &dcs, w);
    }
    return rc;
}

static int read_groups(const struct catalog *cat, struct db *db, int64_t cluster_id,
                       struct beacon_groups *groups, struct xp_err *err)
{
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(db, Q_BEACON_GROUPS, QUERY_ARGS(QI(cluster_id)));
    int rc;
    while ((rc = db_step(&s, err)) == DB_ROW) {
        const char *dc = outer_name(cat, db_col_text(&s, 1));
        AUTO_FREE char *name = xasprintf("%s+%s", db_col_text(&s, 0), dc);
        struct beacon_group *group = groups->count ? &groups->items[groups->count - 1] : NULL;
        if (!group || !text_eq(group->name, name)) {
            group = ARRAY_ADD(groups->items, groups->count);
            group->name = TAKE(name);
            group->dc = xstrdup(dc);
            group->az = xstrdup(db_col_text(&s, 4));
        } else if (!text_eq(group->az, db_col_text(&s, 4))) {
            group->az[0] = '\0';
        }
        struct addr addr = addr_of(db_col_text(&s, 2), (int)db_col_i64(&s, 3));
        *ARRAY_ADD(group->nodes.items, group->nodes.count) = xstrdup(ADDR_TEXT(&addr));
    }
    return rc;
}

static int read_running(const struct catalog *cat, struct db *db, const struct cluster_ref *cluster,
                        struct beacon_world *w, struct xp_err *err)
{
    struct beacon_running *running = &w->facts.running;
    running->event_id = cluster->migration_event_id;
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(db, Q_BEACON_RUNNING,
                                  QUERY_ARGS(QI(cluster->id), QI(cluster->migration_event_id)));
    int rc = db_step(&s, err);
    if (rc == DB_ROW) {
        w->from = xstrdup(outer_name(cat, db_col_text(&s, 2)));
        w->to = xstrdup(outer_name(cat, db_col_text(&s, 3)));
        running->id = db_col_i64(&s, 0);
        running->is_over = db_col_i64(&s, 1) != 0;
        running->from = w->from;
        running->to = w->to;
        rc = 0;
    }
    return rc;
}

static int read_cluster(const struct catalog *cat, struct db *db, struct beacon_world *w,
                        struct xp_err *err)
{
    struct cluster_ref cluster;
    struct beacon_facts *f = &w->facts;
    int rc = find_cluster(db, f->cluster, &cluster, err);
    if (rc != 0 || !cluster.id) {
        return rc;
    }
    (void)snprintf(w->cluster, sizeof(w->cluster), "%s", cluster.name);
    f->is_found = true;
    f->cluster_id = cluster.id;
    f->is_type_ok = f->is_bi ? cluster.type == CLUSTER_BI_DIRECTION : cluster.info->can_migrate;
    f->is_locked = !text_eq_nocase(cluster.status, "Normal");
    rc = read_dcs(cat, db, &cluster, w, err);
    if (rc == 0) {
        rc = read_groups(cat, db, cluster.id, &w->own, err);
    }
    return rc == 0 && f->is_locked ? read_running(cat, db, &cluster, w, err) : rc;
}

static int read_in(struct db *db, void *arg, struct xp_err *err)
{
    const struct read_job *job = arg;
    return read_cluster(job->cat, db, job->ret, err);
}

int beacon_world_read(const struct catalog *cat, struct beacon_request *request, bool is_bi,
                      const char *unhealthy, struct beacon_world *ret, struct xp_err *err)
{
    struct beacon_world *w = ret;
    *w = (struct beacon_world){ .facts = { .is_bi = is_bi,
                                           .cluster = w->cluster,
                                           .is_forced = request->is_forced,
                                           .target = request->target,
                                           .reported = &request->groups,
                                           .failover = &request->failover,
                                           .available = &request->available,
                                           .unhealthy = unhealthy,
                                           .own = &w->own,
                                           .dcs = w->dcs,
                                           .active = w->active } };
    make_request_outer(cat, request);
    w->facts.target = request->target;
    (void)snprintf(w->cluster, sizeof(w->cluster), "%s", request->cluster);
    struct read_job job = { .cat = cat, .ret = w };
    int rc = switches_get(cat, SWITCH_ALLOW_AUTO_MIGRATION, true, &w->facts.is_auto_allowed, err);
    if (rc == 0) {
        rc = store_read(cat->store, read_in, &job, err);
    }
    if (rc != 0) {
        beacon_world_done(w);
    }
    return rc;
}
