/* cluster_meta_json.c - clusters, shards and keepers to JSON, with every key of console-api.md 3.9.1 (see dc_meta.h). */
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/model/meta_codec.h"

#include <inttypes.h>

#include "shared/base/banned.h"

#define LIST_MAX_BYTES (1024 * 1024)

static json_t *names_to_json(const struct names *names)
{
    struct str text AUTO_STR = STR_INIT(LIST_MAX_BYTES);
    for (size_t i = 0; i < names->count; i++) {
        str_puts(&text, i > 0 ? "," : "");
        str_puts(&text, names->items[i]);
    }
    return names->count > 0 ? jd_text(str_text(&text)) : json_null();
}

static json_t *route_ids_to_json(const struct cluster_meta *cluster)
{
    struct str text AUTO_STR = STR_INIT(LIST_MAX_BYTES);
    for (size_t i = 0; i < cluster->designated_route_ids.count; i++) {
        str_printf(&text, "%s%" PRId64, i > 0 ? "," : "", cluster->designated_route_ids.items[i]);
    }
    return jd_text(str_text(&text));
}

static json_t *shard_to_json(const struct shard_meta *shard)
{
    json_t *redises = json_array();
    json_t *keepers = json_array();
    for (size_t i = 0; i < shard->redises.count; i++) {
        json_array_append_new(redises, meta_redis_to_json(&shard->redises.items[i]));
    }
    for (size_t i = 0; i < shard->keepers.count; i++) {
        json_array_append_new(keepers, keeper_meta_to_json(&shard->keepers.items[i]));
    }
    return json_pack("{s:o, s:I, s:o, s:o, s:n, s:n, s:o, s:o, s:[]}", "id", jd_text(shard->name),
                     "dbId", (json_int_t)shard->db_id, "sentinelId",
                     meta_number_or_null(shard->sentinel_id), "sentinelMonitorName",
                     jd_text(shard->sentinel_monitor_name), "phase", "operatingUntil", "redises",
                     redises, "keepers", keepers, "appliers");
}

/* Keys that nothing here fills: Java readers expect them, as null. */
static const char *const null_keys[] = { "logicalBuId", "phase",       "lastModifiedTime",
                                         "adminEmails", "hints",       "activeRedisCheckRules",
                                         "azGroupName", "azGroupType", "downstreamDcs",
                                         "dcGroupName" };

json_t *cluster_meta_to_json(const struct cluster_meta *cluster)
{
    bool is_known = cluster->type != CLUSTER_UNKNOWN;
    json_t *json = json_object();
    for (size_t i = 0; i < ARRAY_LEN(null_keys); i++) {
        json_object_set_new(json, null_keys[i], json_null());
    }
    json_t *shards = json_object();
    for (size_t i = 0; i < cluster->shards.count; i++) {
        const struct shard_meta *shard = &cluster->shards.items[i];
        json_object_set_new(shards, shard->name, shard_to_json(shard));
    }
    json_object_set_new(json, "id", jd_text(cluster->name));
    json_object_set_new(json, "dbId", json_integer(cluster->db_id));
    json_object_set_new(json, "type",
                        is_known ? jd_text(cluster_type_info(cluster->type)->name) : json_null());
    json_object_set_new(json, "activeDc", jd_text(cluster->active_dc));
    json_object_set_new(json, "backupDcs", names_to_json(&cluster->backup_dcs));
    json_object_set_new(json, "dcs", names_to_json(&cluster->dcs));
    json_object_set_new(json, "orgId", meta_number_or_null(cluster->org_id));
    json_object_set_new(json, "clusterDesignatedRouteIds", route_ids_to_json(cluster));
    json_object_set_new(json, "status", jd_text(cluster->status));
    json_object_set_new(json, "dcGroupType",
                        cluster->type == CLUSTER_ONE_WAY ? jd_text("DR_MASTER") : json_null());
    json_object_set_new(json, "sources", json_array());
    json_object_set_new(json, "shards", shards);
    if (cluster->version > 0) {
        json_object_set_new(json, "version", json_integer(cluster->version));
    }
    return json;
}
