/* snapshot.c - see snapshot.h.
 *
 * Two ordered streams, clusters and (shard, redis) rows, both by cluster id, are merged in one pass; arrays grow flat and
 * are cut into pieces at the end, when they no longer move. */
#include "console/catalog/snapshot.h"
#include "console/catalog/arena.h"
#include "console/catalog/lookup.h"
#include "console/catalog/routes_internal.h"
#include "shared/base/str.h"

#include <string.h>

#include "shared/base/banned.h"

/* Up to so many clusters, and this part of all of them, are read one by one. */
enum { POINT_READS = 64, POINT_READ_COST = 16 };

/* A growing array; its memory goes to the arena at the end. */
struct flat {
    void *items;
    size_t count;
};

struct shard_span { /* pieces of the flat arrays */
    size_t redis_at;
    size_t keeper_at;
};

struct builder {
    const struct catalog *cat;
    struct db *db;
    struct arena *arena;
    struct dc_snapshot *snapshot;
    bool is_polled;                 /* whole DC: empty shards and clusters are left out */
    const struct snap_since *since; /* NULL: one cluster */
    unsigned types;
    int64_t first_cluster_id; /* range: all, or one */
    int64_t last_cluster_id;
    struct flat clusters, shards, spans, redises, keepers;
    struct flat bound;
    struct flat changed;  /* ids of the bound clusters that are not known as they are */
    size_t cluster_at;    /* the cluster that the rows belong to now */
    size_t *shard_starts; /* by cluster */
    int64_t shard_id;     /* the shard that the rows belong to now */
};

static void *flat_add(struct flat *flat, size_t size)
{
    flat->items = array_grow(flat->items, flat->count, size);
    return (char *)flat->items + flat->count++ * size;
}

static void builder_done(struct builder *b)
{
    free(b->clusters.items);
    free(b->shards.items);
    free(b->spans.items);
    free(b->redises.items);
    free(b->keepers.items);
    free(b->bound.items);
    free(b->changed.items);
    free(b->shard_starts);
}

static const char *text_of(const struct builder *b, const struct db_stmt *s, int column)
{
    return arena_text(b->arena, db_col_text(s, column));
}

/* ---- the head ---- */

static int read_head(struct builder *b, const char *dc, struct xp_err *err)
{
    CLEANUP(db_stmt_done)
    struct db_stmt s =
        query_open(b->db, Q_SNAP_DC, QUERY_ARGS(QT(dc_alias_inner(b->cat->alias, dc))));
    int rc = db_step(&s, err);
    if (rc != DB_ROW) {
        return rc < 0 ? rc : xp_fail(err, XP_NOT_FOUND, "dc %s not found", dc);
    }
    struct dc_snapshot *snapshot = b->snapshot;
    snapshot->dc_id = db_col_i64(&s, 0);
    snapshot->dc = text_of(b, &s, 1);
    snapshot->dc_version = db_col_i64(&s, 2);
    snapshot->zone = text_of(b, &s, 3);
    snapshot->last_modified = text_of(b, &s, 4);
    return store_version_in(b->db, &snapshot->version, err);
}

/* ---- clusters ---- */

static void split_dcs(const struct builder *b, char *lines, struct snap_cluster *cluster)
{
    size_t count = lines[0] ? 1 : 0;
    for (const char *at = lines; (at = strchr(at, '\n')) != NULL; at++) {
        count++;
    }
    const char **dcs = arena_alloc(b->arena, (count + 1) * sizeof(*dcs));
    for (size_t i = 0; i < count; i++) {
        dcs[i] = lines;
        lines += strcspn(lines, "\n");
        if (*lines) {
            *lines++ = '\0';
        }
    }
    cluster->dcs = dcs;
    cluster->dc_count = count;
}

static void split_ids(const struct builder *b, const char *list, struct snap_cluster *cluster)
{
    const char *cursor = list ? list : "";
    const char *part = NULL;
    size_t length = 0;
    int64_t *ids = arena_alloc(b->arena, (strlen(cursor) / 2 + 2) * sizeof(*ids));
    while (text_next_part(&cursor, ",", &part, &length)) {
        if (text_to_i64(part, length, 0, INT64_MAX, &ids[cluster->designated_count])) {
            cluster->designated_count++;
        }
    }
    cluster->designated_route_ids = ids;
}

static int read_clusters(struct builder *b, struct xp_err *err)
{
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(
        b->db, Q_SNAP_CLUSTERS,
        QUERY_ARGS(QI(b->snapshot->dc_id), QI(b->first_cluster_id), QI(b->last_cluster_id)));
    int rc = 0;
    while ((rc = db_step(&s, err)) == DB_ROW) {
        enum cluster_type type = cluster_type_from_text(db_col_text(&s, 2));
        if (b->types && !(b->types & TYPE_BIT(type))) {
            continue;
        }
        struct snap_cluster *cluster = flat_add(&b->clusters, sizeof(*cluster));
        cluster->id = db_col_i64(&s, 0);
        cluster->name = text_of(b, &s, 1);
        cluster->type = type;
        cluster->type_name = cluster_type_info(type)->name;
        cluster->status = text_of(b, &s, 3);
        cluster->org_id = db_col_i64(&s, 4);
        cluster->admin_emails = text_of(b, &s, 5);
        cluster->last_modified = text_of(b, &s, 6);
        cluster->active_dc = cluster_type_info(type)->is_multi_active ? NULL : text_of(b, &s, 11);
        cluster->version = db_col_i64(&s, 8);
        split_dcs(b, arena_text(b->arena, db_col_text(&s, 9)), cluster);
        split_ids(b, db_col_text(&s, 10), cluster);
    }
    return rc;
}

/* ---- shards, redises, keepers ---- */

static struct snap_cluster *cluster_items(const struct builder *b)
{
    return b->clusters.items;
}

static void add_shard(struct builder *b, const struct db_stmt *s)
{
    struct snap_shard *shard = flat_add(&b->shards, sizeof(*shard));
    struct shard_span *span = flat_add(&b->spans, sizeof(*span));
    shard->id = db_col_i64(s, 1);
    shard->name = text_of(b, s, 2);
    shard->monitor_name = text_of(b, s, 3);
    shard->sentinel_id = db_col_i64(s, 4);
    shard->operating_until_ms = db_col_i64(s, 5);
    *span = (struct shard_span){ b->redises.count, b->keepers.count };
    cluster_items(b)[b->cluster_at].shard_count++;
}

static void add_redis(struct builder *b, const struct db_stmt *s)
{
    const struct snap_cluster *cluster = &cluster_items(b)[b->cluster_at];
    struct snap_shard *shard = (struct snap_shard *)b->shards.items + b->shards.count - 1;
    bool is_keeper = db_col_i64(s, 10) != 0;
    bool is_here = !cluster->active_dc || text_eq_nocase(cluster->active_dc, b->snapshot->dc);
    struct snap_redis *redis = flat_add(is_keeper ? &b->keepers : &b->redises, sizeof(*redis));
    redis->id = db_col_i64(s, 6);
    redis->run_id = text_of(b, s, 7);
    redis->ip = text_of(b, s, 8);
    redis->port = (int)db_col_i64(s, 9);
    redis->is_master = !is_keeper && is_here && db_col_i64(s, 11) != 0;
    redis->is_active = is_keeper && db_col_i64(s, 12) != 0;
    redis->container_id = db_col_i64(s, 13);
    redis->priority = db_col_i64(s, 14);
    redis->az = text_of(b, s, 15);
    redis->created_ms = db_col_i64(s, 16);
    *(is_keeper ? &shard->keeper_count : &shard->redis_count) += 1;
}

/* Moves on to the cluster of this row; false when that one is not wanted. */
static bool seek_cluster(struct builder *b, int64_t cluster_id)
{
    while (b->cluster_at < b->clusters.count && cluster_items(b)[b->cluster_at].id < cluster_id) {
        b->cluster_at++;
        b->shard_id = 0;
        b->shard_starts[b->cluster_at] = b->shards.count;
    }
    return b->cluster_at < b->clusters.count && cluster_items(b)[b->cluster_at].id == cluster_id;
}

static int read_shards_of_range(struct builder *b, struct xp_err *err)
{
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(
        b->db, Q_SNAP_SHARDS,
        QUERY_ARGS(QI(b->snapshot->dc_id), QI(b->first_cluster_id), QI(b->last_cluster_id)));
    int rc = 0;
    while ((rc = db_step(&s, err)) == DB_ROW) {
        bool is_empty = db_col_is_null(&s, 6);
        if (!seek_cluster(b, db_col_i64(&s, 0)) || (is_empty && b->is_polled)) {
            continue;
        }
        if (b->shard_id != db_col_i64(&s, 1)) {
            b->shard_id = db_col_i64(&s, 1);
            add_shard(b, &s);
        }
        if (!is_empty) {
            add_redis(b, &s);
        }
    }
    return rc;
}

/* ---- which clusters ---- */

/* Point reads cost more for each cluster than one pass over all. */
static bool is_few(size_t changed, size_t all)
{
    return changed <= POINT_READS + all / POINT_READ_COST;
}

static bool is_known(const struct snap_since *since, size_t *at, const struct snap_bound *bound)
{
    while (*at < since->known_count && since->known[*at].cluster_id < bound->cluster_id) {
        (*at)++;
    }
    return *at < since->known_count && since->known[*at].cluster_id == bound->cluster_id &&
           since->known[*at].version == bound->version;
}

static int read_bound(struct builder *b, struct xp_err *err)
{
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(b->db, Q_SNAP_BOUND,
                                  QUERY_ARGS(QI(b->snapshot->dc_id), QI(b->snapshot->dc_version)));
    size_t known_at = 0;
    int rc = 0;
    while ((rc = db_step(&s, err)) == DB_ROW) {
        enum cluster_type type = cluster_type_from_text(db_col_text(&s, 2));
        if (b->types && !(b->types & TYPE_BIT(type))) {
            continue;
        }
        struct snap_bound *bound = flat_add(&b->bound, sizeof(*bound));
        *bound = (struct snap_bound){ db_col_i64(&s, 0), db_col_i64(&s, 1) };
        if (!is_known(b->since, &known_at, bound)) {
            *(int64_t *)flat_add(&b->changed, sizeof(int64_t)) = bound->cluster_id;
        }
    }
    b->snapshot->bound_count = b->bound.count;
    b->snapshot->bound = arena_keep(b->arena, TAKE(b->bound.items));
    return rc;
}

typedef int range_fn(struct builder *, struct xp_err *);

/* Calls 'read' for each cluster that changed, or once for all. */
static int read_ranges(struct builder *b, range_fn *read, struct xp_err *err)
{
    if (!b->since || !is_few(b->changed.count, b->snapshot->bound_count)) {
        return read(b, err);
    }
    const int64_t *ids = b->changed.items;
    int rc = 0;
    for (size_t i = 0; i < b->changed.count && rc == 0; i++) {
        b->first_cluster_id = ids[i];
        b->last_cluster_id = ids[i];
        rc = read(b, err);
    }
    return rc;
}

static int read_shards(struct builder *b, struct xp_err *err)
{
    b->shard_starts = xcalloc(b->clusters.count + 1, sizeof(*b->shard_starts));
    return read_ranges(b, read_shards_of_range, err);
}

static int by_shard_name(const void *a, const void *b)
{
    return strcmp(((const struct snap_shard *)a)->name, ((const struct snap_shard *)b)->name);
}

static int by_cluster_name(const void *a, const void *b)
{
    return strcmp(((const struct snap_cluster *)a)->name, ((const struct snap_cluster *)b)->name);
}

/* The flat arrays are complete: hand them to the arena, point into them, sort. */
static void assemble(struct builder *b)
{
    struct snap_shard *shards = arena_keep(b->arena, TAKE(b->shards.items));
    struct snap_redis *redises = arena_keep(b->arena, TAKE(b->redises.items));
    struct snap_redis *keepers = arena_keep(b->arena, TAKE(b->keepers.items));
    const struct shard_span *spans = b->spans.items;
    for (size_t i = 0; i < b->shards.count; i++) {
        shards[i].redises = shards[i].redis_count ? redises + spans[i].redis_at : NULL;
        shards[i].keepers = shards[i].keeper_count ? keepers + spans[i].keeper_at : NULL;
    }
    struct snap_cluster *clusters = arena_keep(b->arena, TAKE(b->clusters.items));
    size_t kept = 0;
    for (size_t i = 0; i < b->clusters.count; i++) {
        if (clusters[i].shard_count > 0) {
            clusters[i].shards = shards + b->shard_starts[i];
            qsort(shards + b->shard_starts[i], clusters[i].shard_count, sizeof(*shards),
                  by_shard_name);
        } else if (b->is_polled) {
            continue; /* nothing of it is here yet */
        }
        clusters[kept++] = clusters[i];
    }
    if (kept > 0) {
        qsort(clusters, kept, sizeof(*clusters), by_cluster_name);
    }
    b->snapshot->clusters = clusters;
    b->snapshot->cluster_count = kept;
}

/* ---- the rest of a whole document ---- */

static void put_route(const struct builder *b, const struct route_row *row, struct snap_route *ret)
{
    *ret = (struct snap_route){
        .id = row->id,
        .cluster_type = arena_text(b->arena, row->cluster_type),
        .org_id = row->org_id,
        .tag = arena_text(b->arena, row->tag),
        .src_dc = arena_text(b->arena, row->src_dc),
        .dst_dc = arena_text(b->arena, row->dst_dc),
        .route_info = arena_text(b->arena, row->route_info),
        .is_public = row->is_public,
    };
}

static int read_routes(struct builder *b, struct xp_err *err)
{
    CLEANUP(route_rows_done) struct route_rows rows = { 0 };
    int rc = routes_load(b->db, 0, INT64_MAX, &rows, err);
    if (rc != 0) {
        return rc;
    }
    struct snap_route *good = arena_alloc(b->arena, (rows.count + 1) * sizeof(*good));
    struct snap_bad_route *bad = arena_alloc(b->arena, (rows.count + 1) * sizeof(*bad));
    for (size_t i = 0; i < rows.count; i++) {
        const struct route_row *row = &rows.items[i];
        if (!row->is_active || !text_eq(row->src_dc, b->snapshot->dc)) {
            continue;
        }
        if (row->problem) {
            struct snap_bad_route *out = &bad[b->snapshot->bad_route_count++];
            put_route(b, row, &out->route);
            out->problem = arena_text(b->arena, row->problem);
        } else {
            put_route(b, row, &good[b->snapshot->route_count++]);
        }
    }
    b->snapshot->routes = good;
    b->snapshot->bad_routes = bad;
    return 0;
}

static int read_containers(struct builder *b, struct xp_err *err)
{
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(b->db, Q_SNAP_CONTAINERS, QUERY_ARGS(QI(b->snapshot->dc_id)));
    struct flat rows = { 0 };
    int rc = 0;
    while ((rc = db_step(&s, err)) == DB_ROW) {
        struct snap_container *row = flat_add(&rows, sizeof(*row));
        *row = (struct snap_container){
            .id = db_col_i64(&s, 0),
            .ip = text_of(b, &s, 1),
            .port = (int)db_col_i64(&s, 2),
            .az_id = db_col_i64(&s, 3),
            .disk_type = text_of(b, &s, 4),
            .tag = text_of(b, &s, 5),
        };
    }
    b->snapshot->containers = arena_keep(b->arena, rows.items);
    b->snapshot->container_count = rows.count;
    return rc;
}

static int read_sentinels(struct builder *b, struct xp_err *err)
{
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(b->db, Q_SNAP_SENTINELS, QUERY_ARGS(QI(b->snapshot->dc_id)));
    struct flat rows = { 0 };
    int rc = 0;
    while ((rc = db_step(&s, err)) == DB_ROW) {
        struct snap_sentinel *row = flat_add(&rows, sizeof(*row));
        row->id = db_col_i64(&s, 0);
        row->cluster_type = text_of(b, &s, 1);
        row->address = text_of(b, &s, 2);
    }
    b->snapshot->sentinels = arena_keep(b->arena, rows.items);
    b->snapshot->sentinel_count = rows.count;
    return rc;
}

static int read_azs(struct builder *b, struct xp_err *err)
{
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(b->db, Q_SNAP_AZS, QUERY_ARGS(QI(b->snapshot->dc_id)));
    struct flat rows = { 0 };
    int rc = 0;
    while ((rc = db_step(&s, err)) == DB_ROW) {
        struct snap_az *row = flat_add(&rows, sizeof(*row));
        row->name = text_of(b, &s, 0);
        row->is_active = db_col_i64(&s, 1) != 0;
    }
    b->snapshot->azs = arena_keep(b->arena, rows.items);
    b->snapshot->az_count = rows.count;
    return rc;
}

/* ---- both forms ---- */

struct snapshot_args {
    struct snap_since since;
    const char *cluster; /* NULL: the whole DC */
};

static int seek_one_cluster(struct builder *b, const struct snapshot_args *args, struct xp_err *err)
{
    struct cluster_ref cluster = { 0 };
    int rc = find_cluster(b->db, args->cluster, &cluster, err);
    b->first_cluster_id = cluster.id;
    b->last_cluster_id = cluster.id;
    return rc;
}

static int build(struct builder *b, const struct snapshot_args *args, struct xp_err *err)
{
    int rc = read_head(b, args->since.dc, err);
    if (rc == 0) {
        rc = args->cluster ? seek_one_cluster(b, args, err) : read_bound(b, err);
    }
    if (rc == 0) {
        rc = read_ranges(b, read_clusters, err);
    }
    if (rc == 0 && args->cluster && b->clusters.count == 0) {
        rc = xp_fail(err, XP_NOT_FOUND, "not find dc cluster %s %s", args->since.dc, args->cluster);
    }
    if (rc == 0) {
        rc = read_shards(b, err);
    }
    if (rc == 0) {
        assemble(b);
    }
    return rc;
}

static int build_rest(struct builder *b, struct xp_err *err)
{
    int rc = read_routes(b, err);
    if (rc == 0) {
        rc = read_containers(b, err);
    }
    if (rc == 0) {
        rc = read_sentinels(b, err);
    }
    return rc == 0 ? read_azs(b, err) : rc;
}

static int snapshot_in(struct db *db, void *arg, struct xp_err *err)
{
    const struct read_job *job = arg;
    const struct snapshot_args *args = job->args;
    struct dc_snapshot *snapshot = job->ret;
    CLEANUP(builder_done)
    struct builder b = {
        .cat = job->cat,
        .db = db,
        .arena = snapshot->memory,
        .snapshot = snapshot,
        .is_polled = !args->cluster,
        .since = args->cluster ? NULL : &args->since,
        .types = args->since.types,
        .last_cluster_id = INT64_MAX,
    };
    int rc = build(&b, args, err);
    return rc == 0 && b.is_polled ? build_rest(&b, err) : rc;
}

static int take(struct catalog *cat, const struct snapshot_args *args,
                struct dc_snapshot **ret_snapshot, struct xp_err *err)
{
    struct dc_snapshot *snapshot = xcalloc(1, sizeof(*snapshot));
    snapshot->memory = arena_new();
    struct read_job job = { .cat = cat, .args = args, .ret = snapshot };
    int rc = store_read(cat->store, snapshot_in, &job, err);
    if (rc != 0) {
        dc_snapshot_free(snapshot);
        return rc;
    }
    *ret_snapshot = snapshot;
    return 0;
}

int catalog_dc_snapshot(struct catalog *cat, const char *dc, unsigned types,
                        struct dc_snapshot **ret_snapshot, struct xp_err *err)
{
    struct snap_since all = { .dc = dc, .types = types };
    return catalog_dc_snapshot_since(cat, &all, ret_snapshot, err);
}

int catalog_dc_snapshot_since(struct catalog *cat, const struct snap_since *since,
                              struct dc_snapshot **ret_snapshot, struct xp_err *err)
{
    struct snapshot_args args = { .since = *since };
    args.since.dc = since->dc ? since->dc : "";
    return take(cat, &args, ret_snapshot, err);
}

int catalog_cluster_snapshot(struct catalog *cat, const char *dc, const char *cluster,
                             struct dc_snapshot **ret_snapshot, struct xp_err *err)
{
    struct snapshot_args args = { .since.dc = dc ? dc : "", .cluster = cluster ? cluster : "" };
    return take(cat, &args, ret_snapshot, err);
}

void dc_snapshot_free(struct dc_snapshot *snapshot)
{
    if (snapshot) {
        arena_free(snapshot->memory);
        free(snapshot);
    }
}

static int version_in(struct db *db, void *arg, struct xp_err *err)
{
    const struct read_job *job = arg;
    CLEANUP(db_stmt_done)
    struct db_stmt s =
        query_open(db, Q_SNAP_DC, QUERY_ARGS(QT(dc_alias_inner(job->cat->alias, job->args))));
    int rc = db_step(&s, err);
    if (rc != DB_ROW) {
        return rc < 0 ? rc : xp_fail(err, XP_NOT_FOUND, "dc %s not found", (const char *)job->args);
    }
    *(int64_t *)job->ret = db_col_i64(&s, 2);
    return 0;
}

int catalog_dc_version(struct catalog *cat, const char *dc, int64_t *ret_version,
                       struct xp_err *err)
{
    struct read_job job = { .cat = cat, .args = dc ? dc : "", .ret = ret_version };
    return store_read(cat->store, version_in, &job, err);
}
