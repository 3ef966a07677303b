/* dc_meta.c - a whole DC document from JSON and to JSON (see dc_meta.h). Clusters are in cluster_meta.c. */
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/model/meta_codec.h"

#include <string.h>

#include "shared/base/banned.h"

#define CLUSTERS_MAX 100000
#define ROUTES_MAX   10000
/* a cluster of two shards with two Redis each has about 120 */
#define VALUES_MAX     ((size_t)5 * 1000 * 1000)
#define TEXT_MAX       256
#define ROUTE_INFO_MAX 65535

/* ---- fields with a meaning of their own ---- */

static char *owned_text(const json_t *value)
{
    return xstrdup(json_is_string(value) ? json_string_value(value) : "");
}

static int need_text_or_absent(const json_t *value, struct xp_err *err)
{
    if (value && (!json_is_string(value) || json_string_length(value) > TEXT_MAX)) {
        return xp_fail(err, XP_INVALID, "it is not a text of up to %d bytes", TEXT_MAX);
    }
    return XP_OK;
}

/* char *, lower case; absent gives "". */
static int decode_lower(const json_t *value, void *field, struct xp_err *err)
{
    int rc = need_text_or_absent(value, err);
    if (rc == 0) {
        char *text = owned_text(value);
        text_lower(text);
        free(*(char **)field);
        *(char **)field = text;
    }
    return rc;
}

static int decode_upper(const json_t *value, void *field, struct xp_err *err)
{
    int rc = decode_lower(value, field, err);
    for (char *p = rc ? NULL : *(char **)field; p && *p; p++) {
        *p = *p >= 'a' && *p <= 'z' ? (char)(*p - 'a' + 'A') : *p;
    }
    return rc;
}

/* Absent counts as public, the default of the console's table. */
static int decode_public(const json_t *value, void *field, struct xp_err *err)
{
    if (value && !json_is_boolean(value)) {
        return xp_fail(err, XP_INVALID, "it is not true or false");
    }
    *(bool *)field = !value || json_is_true(value);
    return XP_OK;
}

/* What is no text of a route is the text of an unusable route: one wrong row must not hold up the metadata of a whole DC, and
 * leaving the row out would mean "go direct". */
static int decode_route_info(const json_t *value, void *field, struct xp_err *err)
{
    (void)err;
    bool is_usable = json_is_string(value) && json_string_length(value) <= ROUTE_INFO_MAX;
    free(*(char **)field);
    *(char **)field = xstrdup(is_usable ? json_string_value(value) : "");
    return XP_OK;
}

static int decode_clusters(const json_t *value, void *field, struct xp_err *err)
{
    __typeof__(((struct dc_meta *)0)->clusters) *list = field;
    if (!json_is_object(value)) {
        return xp_fail(err, XP_INVALID, "it is not an object");
    }
    if (json_object_size(value) > CLUSTERS_MAX) {
        return xp_fail(err, XP_TOO_LARGE, "%zu clusters are over the limit of %d",
                       json_object_size(value), CLUSTERS_MAX);
    }
    list->items = xcalloc(json_object_size(value), sizeof(struct cluster_meta *));
    const char *key = NULL;
    json_t *member = NULL;
    json_object_foreach (jd_iterable(value), key, member) {
        struct xp_err problem = { 0 };
        struct cluster_meta *cluster = NULL;
        if (cluster_meta_decode(member, key, &cluster, &problem)) {
            cluster = cluster_meta_unusable(member, key, problem.msg);
        }
        list->items[list->count++] = cluster;
    }
    return XP_OK;
}

/* ---- tables ---- */

#define ROUTE(member)     offsetof(struct route_meta, member)
#define CONTAINER(member) offsetof(struct keeper_container_meta, member)
#define SENTINEL(member)  offsetof(struct sentinel_meta, member)
#define DC(member)        offsetof(struct dc_meta, member)
/* clang-format off */
static const struct jfield route_fields[] = {
    JF_TABLE(JF_TABLE_ANY_CASE),
    { .name = "id", .type = JF_ID, .offset = ROUTE(id) },
    { .name = "tag", .type = JF_CUSTOM, .offset = ROUTE(tag), .flags = JF_SEE_ABSENT, .decode = decode_lower },
    { .name = "srcDc", .type = JF_CUSTOM, .offset = ROUTE(src_dc), .flags = JF_SEE_ABSENT, .decode = decode_lower },
    { .name = "dstDc", .type = JF_CUSTOM, .offset = ROUTE(dst_dc), .flags = JF_SEE_ABSENT, .decode = decode_lower },
    { .name = "orgId", .type = JF_INT64, .offset = ROUTE(org_id) },
    { .name = "clusterType", .type = JF_CUSTOM, .offset = ROUTE(cluster_type), .flags = JF_SEE_ABSENT, .decode = decode_upper },
    { .name = "isPublic", .type = JF_CUSTOM, .offset = ROUTE(is_public), .flags = JF_SEE_ABSENT, .decode = decode_public },
    { .name = "routeInfo", .type = JF_CUSTOM, .offset = ROUTE(route_info), .flags = JF_SEE_ABSENT, .decode = decode_route_info },
    { 0 },
};
static const struct jfield container_fields[] = {
    JF_TABLE(JF_TABLE_ANY_CASE),
    { .name = "id", .type = JF_ID, .offset = CONTAINER(id), .flags = JF_REQUIRED },
    { .name = "ip", .type = JF_CUSTOM, .offset = CONTAINER(addr.host), .flags = JF_REQUIRED, .decode = meta_decode_host },
    { .name = "port", .type = JF_PORT, .offset = CONTAINER(addr.port), .flags = JF_REQUIRED },
    { 0 },
};
static const struct jfield sentinel_fields[] = {
    JF_TABLE(JF_TABLE_ANY_CASE),
    { .name = "id", .type = JF_INT64, .offset = SENTINEL(id), .flags = JF_REQUIRED | JF_KEY },
    { .name = "address", .type = JF_STRING, .offset = SENTINEL(address) },
    { .name = "clusterType", .type = JF_STRING, .offset = SENTINEL(cluster_type), .max_length = TEXT_MAX },
    { 0 },
};
static const struct jfield dc_fields[] = {
    JF_TABLE(JF_TABLE_ANY_CASE),
    { .name = "id", .type = JF_CUSTOM, .offset = DC(id), .decode = meta_decode_dc_or_none },
    { .name = "version", .type = JF_ID, .offset = DC(version) },
    { .name = "clusters", .type = JF_CUSTOM, .offset = DC(clusters), .decode = decode_clusters },
    { .name = "routes", .type = JF_ARRAY, .offset = DC(routes), .sub = route_fields,
      .elem_size = sizeof(struct route_meta), .max_count = ROUTES_MAX },
    { .name = "keeperContainers", .type = JF_ARRAY, .offset = DC(containers), .sub = container_fields,
      .elem_size = sizeof(struct keeper_container_meta) },
    { .name = "sentinels", .type = JF_MAP, .offset = DC(sentinels), .sub = sentinel_fields,
      .elem_size = sizeof(struct sentinel_meta) },
    { 0 },
};
/* clang-format on */

static int compare_clusters(const void *a, const void *b)
{
    return strcmp((*(struct cluster_meta *const *)a)->name,
                  (*(struct cluster_meta *const *)b)->name);
}

int dc_meta_from_json(const json_t *value, struct dc_meta **ret_meta, struct xp_err *err)
{
    struct dc_meta *meta = xcalloc(1, sizeof(*meta));
    int rc = jd_object(value, dc_fields, meta, err);
    if (rc) {
        dc_meta_free(meta);
        return rc;
    }
    if (meta->clusters.count > 0) {
        qsort(meta->clusters.items, meta->clusters.count, sizeof(meta->clusters.items[0]),
              compare_clusters);
    }
    *ret_meta = meta;
    return XP_OK;
}

int dc_meta_parse(const char *text, size_t length, struct dc_meta **ret_meta, struct xp_err *err)
{
    json_auto_t *json = NULL;
    if (length > DC_META_MAX_BYTES) {
        return xp_fail(err, XP_TOO_LARGE, "a document of %zu bytes is over the limit of %zu",
                       length, DC_META_MAX_BYTES);
    }
    int rc = jd_parse_large(text, length, VALUES_MAX, &json, err);
    return rc ? rc : dc_meta_from_json(json, ret_meta, err);
}

struct route_meta *route_metas_copy(const struct route_meta *rows, size_t count)
{
    struct route_meta *copies = xcalloc(count, sizeof(*copies));
    for (size_t i = 0; i < count; i++) {
        copies[i] = rows[i];
        copies[i].tag = xstrdup(rows[i].tag);
        copies[i].src_dc = xstrdup(rows[i].src_dc);
        copies[i].dst_dc = xstrdup(rows[i].dst_dc);
        copies[i].cluster_type = xstrdup(rows[i].cluster_type);
        copies[i].route_info = xstrdup(rows[i].route_info);
    }
    return copies;
}

void route_metas_free(struct route_meta *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(rows[i].tag);
        free(rows[i].src_dc);
        free(rows[i].dst_dc);
        free(rows[i].cluster_type);
        free(rows[i].route_info);
    }
    free(rows);
}

void dc_meta_free(struct dc_meta *meta)
{
    if (!meta) {
        return;
    }
    for (size_t i = 0; i < meta->clusters.count; i++) {
        cluster_meta_unref(meta->clusters.items[i]);
    }
    route_metas_free(TAKE(meta->routes.items), meta->routes.count);
    meta->routes.count = 0;
    free(meta->clusters.items);
    free(meta->id);
    jd_done(dc_fields, meta);
    free(meta);
}

static int name_order(const void *name, const void *cluster)
{
    return strcmp(name, (*(struct cluster_meta *const *)cluster)->name);
}

const struct cluster_meta *dc_meta_cluster(const struct dc_meta *meta, const char *name)
{
    size_t count = meta->clusters.count;
    struct cluster_meta *const *found =
        count > 0
            ? bsearch(name, meta->clusters.items, count, sizeof(struct cluster_meta *), name_order)
            : NULL;
    return found ? *found : NULL;
}

/* ---- to JSON ---- */

static json_t *route_to_json(const struct route_meta *route)
{
    return json_pack("{s:I, s:o, s:o, s:o, s:I, s:o, s:b, s:o}", "id", (json_int_t)route->id, "tag",
                     jd_text(route->tag), "srcDc", jd_text(route->src_dc), "dstDc",
                     jd_text(route->dst_dc), "orgId", (json_int_t)route->org_id, "clusterType",
                     jd_text(route->cluster_type), "isPublic", (int)route->is_public, "routeInfo",
                     jd_text(route->route_info));
}

static json_t *routes_to_json(const struct dc_meta *meta)
{
    json_t *routes = json_array();
    for (size_t i = 0; i < meta->routes.count; i++) {
        json_array_append_new(routes, route_to_json(&meta->routes.items[i]));
    }
    return routes;
}

static json_t *containers_to_json(const struct dc_meta *meta)
{
    json_t *containers = json_array();
    for (size_t i = 0; i < meta->containers.count; i++) {
        const struct keeper_container_meta *container = &meta->containers.items[i];
        json_array_append_new(containers,
                              json_pack("{s:I, s:o, s:i, s:n, s:n, s:n, s:n, s:n}", "id",
                                        (json_int_t)container->id, "ip",
                                        jd_text(container->addr.host), "port", container->addr.port,
                                        "azId", "diskType", "tag", "logicalBuId", "tfsFsId"));
    }
    return containers;
}

static json_t *sentinels_to_json(const struct dc_meta *meta)
{
    json_t *sentinels = json_object();
    for (size_t i = 0; i < meta->sentinels.count; i++) {
        const struct sentinel_meta *sentinel = &meta->sentinels.items[i];
        AUTO_FREE char *key = xasprintf("%lld", (long long)sentinel->id);
        json_object_set_new(sentinels, key,
                            json_pack("{s:I, s:o, s:o}", "id", (json_int_t)sentinel->id, "address",
                                      jd_text(sentinel->address), "clusterType",
                                      jd_text(sentinel->cluster_type)));
    }
    return sentinels;
}

json_t *dc_meta_to_json(const struct dc_meta *meta)
{
    json_t *clusters = json_object();
    for (size_t i = 0; i < meta->clusters.count; i++) {
        const struct cluster_meta *cluster = meta->clusters.items[i];
        json_object_set_new(clusters, cluster->name, cluster_meta_to_json(cluster));
    }
    json_t *json = json_pack(
        "{s:o, s:n, s:n, s:n, s:[], s:n, s:o, s:[], s:o, s:[], s:o, s:o}", "id", jd_text(meta->id),
        "dcId", "lastModifiedTime", "zone", "metaServers", "zkServer", "keeperContainers",
        containers_to_json(meta), "applierContainers", "sentinels", sentinels_to_json(meta), "azs",
        "clusters", clusters, "routes", routes_to_json(meta));
    if (meta->version > 0) {
        json_object_set_new(json, "version", json_integer(meta->version));
    }
    return json;
}
