/* document.c - see document.h. */
#include "console/documents/document.h"

#include <stdlib.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/model/json_decode.h"
#include "shared/base/banned.h"

#define LIST_MAX_BYTES (1024 * 1024)
#define MASTER_YES     ""
#define MASTER_NO      "0.0.0.0:0"

static json_t *text_or_null(const char *text)
{
    return text_is_empty(text) ? json_null() : jd_text(text);
}

static json_t *redis_json(const struct snap_redis *r)
{
    return json_pack("{s:o, s:o, s:i, s:s, s:n, s:n, s:n, s:n, s:n, s:I, s:o}", "id",
                     jd_text(r->run_id), "ip", jd_text(r->ip), "port", r->port, "master",
                     r->is_master ? MASTER_YES : MASTER_NO, "offset", "survive", "gid", "sid",
                     "gtid", "createTime", (json_int_t)r->created_ms, "az", text_or_null(r->az));
}

static json_t *keeper_json(const struct snap_redis *k)
{
    return json_pack("{s:o, s:o, s:i, s:n, s:b, s:I, s:I, s:n, s:n}", "id", jd_text(k->run_id),
                     "ip", jd_text(k->ip), "port", k->port, "master", "active", k->is_active,
                     "keeperContainerId", (json_int_t)k->container_id, "priority",
                     (json_int_t)k->priority, "offset", "survive");
}

static json_t *instances_json(const struct snap_redis *items, size_t count,
                              json_t *(*one)(const struct snap_redis *))
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(list, one(&items[i]));
    }
    return list;
}

json_t *document_shard(const struct dc_snapshot *snap, const struct snap_cluster *cluster,
                       const struct snap_shard *shard)
{
    char *monitor AUTO_FREE = xasprintf("%s+%s+%s", cluster->name, shard->monitor_name, snap->dc);
    return json_pack("{s:o, s:I, s:I, s:o, s:n, s:I, s:o, s:o, s:[]}", "id", jd_text(shard->name),
                     "dbId", (json_int_t)shard->id, "sentinelId", (json_int_t)shard->sentinel_id,
                     "sentinelMonitorName", jd_text(monitor), "phase", "operatingUntil",
                     (json_int_t)shard->operating_until_ms, "keepers",
                     instances_json(shard->keepers, shard->keeper_count, keeper_json), "redises",
                     instances_json(shard->redises, shard->redis_count, redis_json), "appliers");
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The DCs but 'skip' (NULL: all), sorted, as a comma list. */
static json_t *dc_list(const struct snap_cluster *cluster, const char *skip)
{
    const char **sorted = xcalloc(cluster->dc_count + 1, sizeof(*sorted));
    size_t count = 0;
    for (size_t i = 0; i < cluster->dc_count; i++) {
        if (!skip || !text_eq_nocase(cluster->dcs[i], skip)) {
            sorted[count++] = cluster->dcs[i];
        }
    }
    qsort(sorted, count, sizeof(*sorted), compare_texts);
    struct str text AUTO_STR = STR_INIT(LIST_MAX_BYTES);
    for (size_t i = 0; i < count; i++) {
        str_printf(&text, "%s%s", i > 0 ? "," : "", sorted[i]);
    }
    free(sorted);
    return jd_text(str_text(&text));
}

static json_t *designated_json(const struct snap_cluster *cluster)
{
    struct str text AUTO_STR = STR_INIT(LIST_MAX_BYTES);
    for (size_t i = 0; i < cluster->designated_count; i++) {
        str_printf(&text, "%s%lld", i > 0 ? "," : "", (long long)cluster->designated_route_ids[i]);
    }
    return jd_text(str_text(&text));
}

static void set(json_t *object, const char *key, json_t *take_value)
{
    json_object_set_new(object, key, take_value);
}

static void set_dcs(json_t *out, const struct snap_cluster *cluster)
{
    bool is_multi_active = cluster_type_info(cluster->type)->is_multi_active;
    set(out, "activeDc", is_multi_active ? json_null() : text_or_null(cluster->active_dc));
    set(out, "backupDcs", is_multi_active ? json_null() : dc_list(cluster, cluster->active_dc));
    set(out, "dcs", is_multi_active ? dc_list(cluster, NULL) : json_null());
}

static json_t *shards_json(const struct dc_snapshot *snap, const struct snap_cluster *cluster)
{
    json_t *shards = json_object();
    for (size_t i = 0; i < cluster->shard_count; i++) {
        set(shards, cluster->shards[i].name, document_shard(snap, cluster, &cluster->shards[i]));
    }
    return shards;
}

json_t *document_cluster(const struct dc_snapshot *snap, const struct snap_cluster *cluster)
{
    bool is_one_way = cluster->type == CLUSTER_ONE_WAY;
    int64_t version = cluster->version < snap->dc_version ? cluster->version : snap->dc_version;
    json_t *out = json_object();
    set(out, "id", jd_text(cluster->name));
    set(out, "dbId", json_integer(cluster->id));
    set_dcs(out, cluster);
    set(out, "type", jd_text(cluster->type_name));
    set(out, "status", jd_text(cluster->status));
    set(out, "orgId", json_integer(cluster->org_id));
    set(out, "logicalBuId", json_null());
    set(out, "phase", json_null());
    set(out, "lastModifiedTime", jd_text(cluster->last_modified));
    set(out, "adminEmails", jd_text(cluster->admin_emails));
    set(out, "hints", json_null());
    set(out, "activeRedisCheckRules", json_null());
    set(out, "clusterDesignatedRouteIds", designated_json(cluster));
    set(out, "azGroupName", json_null());
    set(out, "azGroupType", json_null());
    set(out, "downstreamDcs", json_string(""));
    set(out, "dcGroupType", is_one_way ? json_string("DR_MASTER") : json_null());
    set(out, "dcGroupName", json_null());
    set(out, "sources", json_array());
    set(out, "version", json_integer(version));
    set(out, "shards", shards_json(snap, cluster));
    return out;
}

static json_t *containers_json(const struct dc_snapshot *snap)
{
    json_t *list = json_array();
    for (size_t i = 0; i < snap->container_count; i++) {
        const struct snap_container *c = &snap->containers[i];
        json_array_append_new(list, json_pack("{s:I, s:o, s:i, s:I, s:o, s:o, s:n, s:n}", "id",
                                              (json_int_t)c->id, "ip", jd_text(c->ip), "port",
                                              c->port, "azId", (json_int_t)c->az_id, "diskType",
                                              jd_text(c->disk_type), "tag", jd_text(c->tag),
                                              "logicalBuId", "tfsFsId"));
    }
    return list;
}

static json_t *sentinels_json(const struct dc_snapshot *snap)
{
    json_t *map = json_object();
    for (size_t i = 0; i < snap->sentinel_count; i++) {
        const struct snap_sentinel *s = &snap->sentinels[i];
        char *key AUTO_FREE = xasprintf("%lld", (long long)s->id);
        set(map, key,
            json_pack("{s:I, s:o, s:o}", "id", (json_int_t)s->id, "address", jd_text(s->address),
                      "clusterType", jd_text(s->cluster_type)));
    }
    return map;
}

static json_t *azs_json(const struct dc_snapshot *snap)
{
    json_t *list = json_array();
    for (size_t i = 0; i < snap->az_count; i++) {
        json_array_append_new(list, json_pack("{s:o, s:b}", "id", jd_text(snap->azs[i].name),
                                              "active", snap->azs[i].is_active));
    }
    return list;
}

static json_t *route_json(const struct snap_route *r)
{
    return json_pack("{s:I, s:o, s:I, s:o, s:o, s:o, s:o, s:b}", "id", (json_int_t)r->id,
                     "clusterType", jd_text(r->cluster_type), "orgId", (json_int_t)r->org_id, "tag",
                     jd_text(r->tag), "srcDc", jd_text(r->src_dc), "dstDc", jd_text(r->dst_dc),
                     "routeInfo", jd_text(r->route_info), "isPublic", r->is_public);
}

/* All active routes by id, those that cannot be used with an empty routeInfo: a metaserver that did not see them would
 * take "no route" for "go direct" (design D9). */
json_t *document_routes(const struct dc_snapshot *snap)
{
    json_t *list = json_array();
    size_t good = 0;
    size_t bad = 0;
    while (good < snap->route_count || bad < snap->bad_route_count) {
        bool takes_good =
            bad == snap->bad_route_count ||
            (good < snap->route_count && snap->routes[good].id < snap->bad_routes[bad].route.id);
        json_array_append_new(list, takes_good ? route_json(&snap->routes[good++])
                                               : route_json(&snap->bad_routes[bad++].route));
    }
    return list;
}

json_t *document_head(const struct dc_snapshot *snap)
{
    return json_pack("{s:o, s:I, s:I, s:o, s:o, s:[], s:n, s:o, s:[], s:o, s:o}", "id",
                     jd_text(snap->dc), "version", (json_int_t)snap->dc_version, "dcId",
                     (json_int_t)snap->dc_id, "lastModifiedTime", jd_text(snap->last_modified),
                     "zone", jd_text(snap->zone), "metaServers", "zkServer", "keeperContainers",
                     containers_json(snap), "applierContainers", "sentinels", sentinels_json(snap),
                     "azs", azs_json(snap));
}
