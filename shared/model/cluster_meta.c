/* cluster_meta.c - one cluster of a DC document: from JSON, its life, look-ups (see dc_meta.h). To JSON is in
 * cluster_meta_json.c, equality in cluster_meta_eq.c. */
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/model/meta_codec.h"

#include <string.h>

#include "shared/base/banned.h"

#define SHARDS_MAX    10000
#define INSTANCES_MAX 1000 /* Redises, and keepers, of one shard in one DC */
#define DC_NAME_MAX   128
#define TEXT_MAX      256

/* ---- fields with a meaning of their own ---- */

static int fold_dc(char *name, struct xp_err *err)
{
    size_t length = strlen(name);
    if (length == 0 || length > DC_NAME_MAX) {
        return xp_fail(err, XP_INVALID, "a DC name has 1..%d bytes", DC_NAME_MAX);
    }
    for (const char *p = name; *p; p++) {
        if ((unsigned char)*p < ' ' || *p == 0x7F || *p == '/') {
            return xp_fail(err, XP_INVALID, "a DC name has no '/' and no control characters");
        }
    }
    text_lower(name);
    return XP_OK;
}

/* Borrowed from 'value'; NULL when it is not a text, then 'err' says so. */
static const char *need_text(const json_t *value, struct xp_err *err)
{
    const char *text = json_string_value(value);
    if (!text) {
        xp_fail(err, XP_INVALID, "it is not a text");
    }
    return text;
}

int meta_decode_dc_or_none(const json_t *value, void *field, struct xp_err *err)
{
    const char *text = need_text(value, err);
    if (!text) {
        return XP_INVALID;
    }
    if (text[0] == '\0') {
        return XP_OK;
    }
    AUTO_FREE char *name = xstrdup(text);
    int rc = fold_dc(name, err);
    if (rc == 0) {
        free(*(char **)field);
        *(char **)field = TAKE(name);
    }
    return rc;
}

/* Keeps the first of equal names. */
static void drop_repeated(struct names *names)
{
    struct names kept = { .items = names->items };
    for (size_t i = 0; i < names->count; i++) {
        char *name = names->items[i];
        if (names_has(&kept, name)) {
            free(name);
        } else {
            kept.items[kept.count++] = name;
        }
    }
    *names = kept;
}

/* A comma list of DC names, in lower case, each once, in the order sent. */
static int decode_dcs(const json_t *value, void *field, struct xp_err *err)
{
    const char *text = need_text(value, err);
    if (!text) {
        return XP_INVALID;
    }
    int rc = 0;
    struct names names = names_split(text);
    for (size_t i = 0; rc == 0 && i < names.count; i++) {
        rc = fold_dc(names.items[i], err);
    }
    if (rc) {
        names_done(&names);
        return rc;
    }
    drop_repeated(&names);
    names_done(field);
    *(struct names *)field = names;
    return XP_OK;
}

static int decode_type(const json_t *value, void *field, struct xp_err *err)
{
    const char *text = need_text(value, err);
    if (!text) {
        return XP_INVALID;
    }
    enum cluster_type type = cluster_type_from_text(text);
    if (type == CLUSTER_UNKNOWN) {
        return xp_fail(err, XP_INVALID, "it is not a cluster type known here");
    }
    *(enum cluster_type *)field = type;
    return XP_OK;
}

/* "7,9" */
static int decode_route_ids(const json_t *value, void *field, struct xp_err *err)
{
    const char *text = need_text(value, err);
    if (!text) {
        return XP_INVALID;
    }
    __typeof__(((struct cluster_meta *)0)->designated_route_ids) *ids = field;
    int rc = 0;
    struct names parts = names_split(text);
    free(ids->items);
    ids->items = xcalloc(parts.count, sizeof(int64_t));
    ids->count = parts.count;
    for (size_t i = 0; rc == 0 && i < parts.count; i++) {
        if (!text_to_i64(parts.items[i], strlen(parts.items[i]), 0, INT64_MAX, &ids->items[i])) {
            rc = xp_fail(err, XP_INVALID, "element %zu is not a route id", i + 1);
        }
    }
    names_done(&parts);
    return rc;
}

/* ---- tables ---- */

#define SHARD(member)   offsetof(struct shard_meta, member)
#define CLUSTER(member) offsetof(struct cluster_meta, member)
/* clang-format off */
static const struct jfield shard_fields[] = {
    JF_TABLE(JF_TABLE_ANY_CASE),
    { .name = "id", .type = JF_NAME, .offset = SHARD(name), .flags = JF_REQUIRED | JF_KEY },
    { .name = "dbId", .type = JF_ID, .offset = SHARD(db_id), .flags = JF_REQUIRED },
    { .name = "sentinelId", .type = JF_INT64, .offset = SHARD(sentinel_id) },
    { .name = "sentinelMonitorName", .type = JF_STRING, .offset = SHARD(sentinel_monitor_name), .max_length = 1024 },
    { .name = "redises", .type = JF_ARRAY, .offset = SHARD(redises), .sub = meta_redis_fields,
      .elem_size = sizeof(struct redis_meta), .max_count = INSTANCES_MAX },
    { .name = "keepers", .type = JF_ARRAY, .offset = SHARD(keepers), .sub = meta_keeper_fields,
      .elem_size = sizeof(struct keeper_meta), .max_count = INSTANCES_MAX },
    { 0 },
};
static const struct jfield cluster_fields[] = {
    JF_TABLE(JF_TABLE_ANY_CASE),
    { .name = "id", .type = JF_NAME, .offset = CLUSTER(name) },
    { .name = "dbId", .type = JF_ID, .offset = CLUSTER(db_id), .flags = JF_REQUIRED },
    { .name = "type", .type = JF_CUSTOM, .offset = CLUSTER(type), .flags = JF_REQUIRED, .decode = decode_type },
    { .name = "activeDc", .type = JF_CUSTOM, .offset = CLUSTER(active_dc), .decode = meta_decode_dc_or_none },
    { .name = "backupDcs", .type = JF_CUSTOM, .offset = CLUSTER(backup_dcs), .decode = decode_dcs },
    { .name = "dcs", .type = JF_CUSTOM, .offset = CLUSTER(dcs), .decode = decode_dcs },
    { .name = "orgId", .type = JF_INT64, .offset = CLUSTER(org_id) },
    { .name = "clusterDesignatedRouteIds", .type = JF_CUSTOM, .offset = CLUSTER(designated_route_ids), .decode = decode_route_ids },
    { .name = "status", .type = JF_STRING, .offset = CLUSTER(status), .max_length = TEXT_MAX },
    { .name = "shards", .type = JF_MAP, .offset = CLUSTER(shards), .sub = shard_fields,
      .elem_size = sizeof(struct shard_meta), .max_count = SHARDS_MAX },
    { .name = "version", .type = JF_ID, .offset = CLUSTER(version) },
    { 0 },
};
/* clang-format on */

/* ---- what follows from the fields ---- */

/* All or nothing: priorities matter only when one is above 0. */
static void normalize_priorities(struct shard_meta *shard)
{
    for (size_t i = 0; i < shard->keepers.count; i++) {
        if (shard->keepers.items[i].priority > 0) {
            return;
        }
    }
    for (size_t i = 0; i < shard->keepers.count; i++) {
        shard->keepers.items[i].priority = 1;
    }
}

static int compare_shards(const void *a, const void *b)
{
    return strcmp(((const struct shard_meta *)a)->name, ((const struct shard_meta *)b)->name);
}

static int sort_shards(struct cluster_meta *cluster, struct xp_err *err)
{
    if (cluster->shards.count > 0) {
        qsort(cluster->shards.items, cluster->shards.count, sizeof(struct shard_meta),
              compare_shards);
    }
    for (size_t i = 1; i < cluster->shards.count; i++) {
        const char *name = cluster->shards.items[i].name;
        if (strcmp(cluster->shards.items[i - 1].name, name) == 0) {
            return xp_fail(err, XP_INVALID, "shards: two of them have the id '%s'", name);
        }
    }
    return XP_OK;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A cluster either has an active DC or a list of equal ones; what the other kind would use is dropped. */
static void settle_dcs(struct cluster_meta *cluster)
{
    if (!cluster_type_info(cluster->type)->is_multi_active) {
        names_done(&cluster->dcs);
        return;
    }
    free(TAKE(cluster->active_dc));
    names_done(&cluster->backup_dcs);
    if (cluster->dcs.count > 0) {
        qsort(cluster->dcs.items, cluster->dcs.count, sizeof(char *), compare_names);
    }
}

static bool is_migration_status(const char *status)
{
    return text_eq_nocase(status, "Lock") || text_eq_nocase(status, "Migrating") ||
           text_eq_nocase(status, "Rollback");
}

static int settle_name(struct cluster_meta *cluster, const char *key, struct xp_err *err)
{
    if (!cluster->name && !key) {
        return xp_fail(err, XP_INVALID, "id: it is missing");
    }
    if (cluster->name && key && strcmp(cluster->name, key) != 0) {
        return xp_fail(err, XP_INVALID, "id: '%s' differs from the name it stands under",
                       cluster->name);
    }
    if (!cluster->name && !jd_is_name(key)) {
        return xp_fail(err, XP_INVALID,
                       "id: it is missing, and the key is not a name (1..128 bytes without '/' and "
                       "control characters, not '.' or '..')");
    }
    if (!cluster->name) {
        cluster->name = xstrdup(key);
    }
    return XP_OK;
}

static int settle(struct cluster_meta *cluster, const char *key, struct xp_err *err)
{
    int rc = settle_name(cluster, key, err);
    if (rc == 0) {
        rc = sort_shards(cluster, err);
    }
    for (size_t i = 0; i < cluster->shards.count; i++) {
        normalize_priorities(&cluster->shards.items[i]);
    }
    settle_dcs(cluster);
    cluster->is_migrating = is_migration_status(cluster->status);
    return rc;
}

int cluster_meta_decode(const json_t *value, const char *key, struct cluster_meta **ret_meta,
                        struct xp_err *err)
{
    struct cluster_meta *cluster = xcalloc(1, sizeof(*cluster));
    cluster->refs = 1;
    int rc = jd_object(value, cluster_fields, cluster, err);
    if (rc == 0) {
        rc = settle(cluster, key, err);
    }
    if (rc) {
        cluster_meta_unref(cluster);
        return rc;
    }
    *ret_meta = cluster;
    return XP_OK;
}

int cluster_meta_from_json(const json_t *value, struct cluster_meta **ret_meta, struct xp_err *err)
{
    return cluster_meta_decode(value, NULL, ret_meta, err);
}

struct cluster_meta *cluster_meta_unusable(const json_t *value, const char *key,
                                           const char *problem)
{
    struct cluster_meta *cluster = xcalloc(1, sizeof(*cluster));
    cluster->refs = 1;
    cluster->name = xstrdup(key);
    cluster->problem = xstrdup(problem);
    const json_t *db_id = json_object_get(value, "dbId");
    if (json_is_integer(db_id) && json_integer_value(db_id) > 0) {
        cluster->db_id = json_integer_value(db_id);
    }
    return cluster;
}

struct cluster_meta *cluster_meta_ref(struct cluster_meta *cluster)
{
    (void)__atomic_add_fetch(&cluster->refs, 1, __ATOMIC_RELAXED);
    return cluster;
}

void cluster_meta_unref(struct cluster_meta *cluster)
{
    if (!cluster || __atomic_sub_fetch(&cluster->refs, 1, __ATOMIC_ACQ_REL) > 0) {
        return;
    }
    free(cluster->active_dc);
    names_done(&cluster->backup_dcs);
    names_done(&cluster->dcs);
    free(cluster->designated_route_ids.items);
    free(cluster->problem);
    jd_done(cluster_fields, cluster);
    free(cluster);
}

static int name_order(const void *name, const void *shard)
{
    return strcmp(name, ((const struct shard_meta *)shard)->name);
}

const struct shard_meta *cluster_meta_shard(const struct cluster_meta *cluster, const char *name)
{
    size_t count = cluster->shards.count;
    return count > 0
               ? bsearch(name, cluster->shards.items, count, sizeof(struct shard_meta), name_order)
               : NULL;
}
