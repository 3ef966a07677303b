/* dc_meta_test.c - dc_meta.h: documents as Java consoles write them, round trips, equality field by field. */
#include "tests/unit/unit.h"

#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/model/dc_meta.h"
#include "shared/model/json_decode.h"

#include "shared/base/banned.h"

static struct dc_meta *parsed(const char *text)
{
    struct dc_meta *meta = NULL;
    struct xp_err err = { 0 };
    if (dc_meta_parse(text, strlen(text), &meta, &err)) {
        fail_msg("%s", err.msg);
    }
    return meta;
}

static void refused(const char *text, const char *message)
{
    struct dc_meta *meta = NULL;
    struct xp_err err = { 0 };
    assert_int_equal(dc_meta_parse(text, strlen(text), &meta, &err), XP_INVALID);
    assert_null(meta);
    if (!strstr(err.msg, message)) {
        fail_msg("'%s' does not say '%s'", err.msg, message);
    }
}

/* clang-format off */
static const char java_document[] =
"{\"id\":\"JQ\",\"dcId\":1,\"lastModifiedTime\":\"\",\"zone\":\"SHA\",\"metaServers\":[],\"zkServer\":null,"
" \"keeperContainers\":[{\"id\":1,\"ip\":\"1.1.1.9\",\"port\":8080,\"azId\":0,\"diskType\":\"DEFAULT\",\"tag\":\"\",\"logicalBuId\":null}],"
" \"applierContainers\":[],\"sentinels\":{\"1\":{\"id\":1,\"address\":\"1.1.1.5:5000,1.1.1.6:5000\",\"clusterType\":null},\"2\":{\"address\":null}},"
" \"azs\":null,"
" \"clusters\":{"
"  \"demo\":{\"id\":\"demo\",\"dbId\":12,\"activeDc\":\"JQ\",\"backupDcs\":\"OY, Fra,oy,\",\"type\":\"one_way\",\"status\":\"Normal\",\"orgId\":3,"
"   \"downstreamDcs\":\"\",\"lastModifiedTime\":\"20240102030405000\",\"adminEmails\":null,\"dcGroupType\":\"DR_MASTER\","
"   \"clusterDesignatedRouteIds\":\"\",\"dcs\":null,\"sources\":[],\"hints\":null,\"allShards\":{},\"shards\":{"
"    \"s2\":{\"id\":\"s2\",\"dbId\":4,\"sentinelId\":null,\"sentinelMonitorName\":null,\"redises\":null,\"keepers\":null,\"appliers\":null},"
"    \"s1\":{\"id\":\"s1\",\"dbId\":3,\"sentinelId\":1,\"sentinelMonitorName\":\"demo+s1+jq\",\"operatingUntil\":0,\"phase\":null,"
"     \"redises\":[{\"id\":\"unknown\",\"ip\":\"1.1.1.1\",\"port\":6379,\"master\":\"\",\"gid\":null,\"offset\":null,\"survive\":null},"
"                  {\"id\":null,\"ip\":\"1.1.1.2\",\"port\":6379,\"master\":\"0.0.0.0:0\",\"gid\":2},"
"                  {\"ip\":\"1.1.1.3\",\"port\":6379,\"master\":null}],"
"     \"keepers\":[{\"id\":\"k\",\"ip\":\"1.1.1.9\",\"port\":6380,\"master\":null,\"active\":true,\"keeperContainerId\":1,\"priority\":null},"
"                  {\"ip\":\"1.1.1.8\",\"port\":6380,\"active\":null,\"keeperContainerId\":null,\"priority\":0}],"
"     \"appliers\":[]}}},"
"  \"bi\":{\"ID\":\"bi\",\"DBID\":13,\"activeDc\":\"jq\",\"backupDcs\":\"\",\"dcs\":\"OY,jq,FRA\",\"type\":\"Bi_Direction\",\"status\":\"Migrating\",\"orgId\":null,"
"   \"clusterDesignatedRouteIds\":\"7, 9\",\"shards\":null}},"
" \"routes\":[{\"id\":7,\"clusterType\":\"bi_direction\",\"orgId\":0,\"tag\":\"META\",\"srcDc\":\"JQ\",\"dstDc\":\"Fra\","
"             \"routeInfo\":\"PROXYTCP://2.2.2.2:80 PROXYTLS://4.4.4.4:443\",\"isPublic\":true},"
"            {\"id\":8,\"clusterType\":null,\"orgId\":null,\"tag\":null,\"srcDc\":null,\"dstDc\":null,\"routeInfo\":null,\"isPublic\":null}]}";
/* clang-format on */

static void java_documents_are_understood(void **state)
{
    (void)state;
    struct dc_meta *meta = parsed(java_document);
    assert_string_equal(meta->id, "jq");
    assert_int_equal(meta->version, 0);
    assert_int_equal(meta->clusters.count, 2);
    const struct cluster_meta *demo = dc_meta_cluster(meta, "demo");
    assert_non_null(demo);
    assert_null(demo->problem);
    assert_int_equal(demo->type, CLUSTER_ONE_WAY);
    assert_string_equal(demo->active_dc, "jq");
    assert_int_equal(demo->backup_dcs.count, 2);
    assert_string_equal(demo->backup_dcs.items[0], "oy");
    assert_string_equal(demo->backup_dcs.items[1], "fra");
    assert_int_equal(demo->dcs.count, 0);
    assert_int_equal(demo->org_id, 3);
    assert_false(demo->is_migrating);
    assert_int_equal(demo->shards.count, 2);
    assert_string_equal(demo->shards.items[0].name, "s1"); /* sorted */
    assert_null(dc_meta_cluster(meta, "Demo"));
    dc_meta_free(meta);
}

static void java_shards_are_understood(void **state)
{
    (void)state;
    struct dc_meta *meta = parsed(java_document);
    const struct shard_meta *shard = cluster_meta_shard(dc_meta_cluster(meta, "demo"), "s1");
    assert_int_equal(shard->db_id, 3);
    assert_int_equal(shard->sentinel_id, 1);
    assert_string_equal(shard->sentinel_monitor_name, "demo+s1+jq");
    assert_int_equal(shard->redises.count, 3);
    assert_true(shard->redises.items[0].is_master);
    assert_false(shard->redises.items[1].is_master);
    assert_true(shard->redises.items[2].is_master);
    assert_string_equal(shard->redises.items[0].id, "unknown");
    assert_null(shard->redises.items[1].id);
    assert_int_equal(shard->redises.items[0].gid, 0);
    assert_int_equal(shard->redises.items[1].gid, 2);
    assert_int_equal(shard->keepers.count, 2);
    assert_true(shard->keepers.items[0].is_active);
    assert_false(shard->keepers.items[1].is_active);
    assert_int_equal(shard->keepers.items[0].priority, 1); /* null */
    assert_int_equal(shard->keepers.items[1].priority, 0); /* another one has a priority */
    assert_int_equal(shard->keepers.items[1].container_id, 0);
    shard = cluster_meta_shard(dc_meta_cluster(meta, "demo"), "s2");
    assert_int_equal(shard->redises.count + shard->keepers.count, 0);
    assert_null(cluster_meta_shard(dc_meta_cluster(meta, "demo"), "s3"));
    dc_meta_free(meta);
}

static void java_routes_and_the_rest_are_understood(void **state)
{
    (void)state;
    struct dc_meta *meta = parsed(java_document);
    const struct cluster_meta *bi = dc_meta_cluster(meta, "bi");
    assert_int_equal(bi->db_id, 13);
    assert_int_equal(bi->type, CLUSTER_BI_DIRECTION);
    assert_null(bi->active_dc);
    assert_int_equal(bi->dcs.count, 3);
    assert_string_equal(bi->dcs.items[0], "fra");
    assert_string_equal(bi->dcs.items[2], "oy");
    assert_true(bi->is_migrating);
    assert_int_equal(bi->designated_route_ids.count, 2);
    assert_int_equal(bi->designated_route_ids.items[1], 9);
    assert_int_equal(meta->routes.count, 2);
    assert_string_equal(meta->routes.items[0].tag, "meta");
    assert_string_equal(meta->routes.items[0].src_dc, "jq");
    assert_string_equal(meta->routes.items[0].dst_dc, "fra");
    assert_string_equal(meta->routes.items[0].cluster_type, "BI_DIRECTION");
    assert_string_equal(meta->routes.items[1].cluster_type, "");
    assert_string_equal(meta->routes.items[1].route_info, "");
    assert_int_equal(meta->routes.items[1].org_id, 0);
    assert_true(meta->routes.items[1].is_public);
    assert_int_equal(meta->containers.count, 1);
    assert_string_equal(ADDR_TEXT(&meta->containers.items[0].addr), "1.1.1.9:8080");
    assert_int_equal(meta->sentinels.count, 2);
    assert_int_equal(meta->sentinels.items[1].id, 2); /* from its key */
    assert_null(meta->sentinels.items[1].address);
    dc_meta_free(meta);
}

static char *dumped(const struct dc_meta *meta)
{
    json_auto_t *json = dc_meta_to_json(meta);
    assert_non_null(json);
    char *text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);
    assert_non_null(text);
    return text;
}

static void documents_round_trip(void **state)
{
    (void)state;
    struct dc_meta *first = parsed(java_document);
    first->version = 42;
    AUTO_FREE char *text = dumped(first);
    struct dc_meta *second = parsed(text);
    AUTO_FREE char *again = dumped(second);
    assert_string_equal(text, again);
    assert_int_equal(second->version, 42);
    for (size_t i = 0; i < first->clusters.count; i++) {
        assert_true(cluster_meta_eq(first->clusters.items[i], second->clusters.items[i]));
    }
    for (size_t i = 0; i < first->routes.count; i++) {
        assert_true(route_meta_eq(&first->routes.items[i], &second->routes.items[i]));
    }
    dc_meta_free(first);
    dc_meta_free(second);
}

static void every_key_is_written(void **state)
{
    (void)state;
    static const char *const dc_keys[] = {
        "id",       "dcId",      "lastModifiedTime", "zone",
        "zkServer", "azs",       "metaServers",      "clusters",
        "routes",   "sentinels", "keeperContainers", "applierContainers"
    };
    static const char *const cluster_keys[] = {
        "id",
        "dbId",
        "activeDc",
        "backupDcs",
        "dcs",
        "type",
        "status",
        "orgId",
        "logicalBuId",
        "phase",
        "lastModifiedTime",
        "adminEmails",
        "hints",
        "activeRedisCheckRules",
        "clusterDesignatedRouteIds",
        "azGroupName",
        "azGroupType",
        "downstreamDcs",
        "dcGroupType",
        "dcGroupName",
        "sources",
        "shards",
    };
    struct dc_meta *meta = parsed(java_document);
    json_auto_t *json = dc_meta_to_json(meta);
    for (size_t i = 0; i < ARRAY_LEN(dc_keys); i++) {
        assert_non_null(json_object_get(json, dc_keys[i]));
    }
    const json_t *cluster = json_object_get(json_object_get(json, "clusters"), "demo");
    for (size_t i = 0; i < ARRAY_LEN(cluster_keys); i++) {
        assert_non_null(json_object_get(cluster, cluster_keys[i]));
    }
    assert_string_equal(json_string_value(json_object_get(cluster, "type")), "ONE_WAY");
    assert_string_equal(json_string_value(json_object_get(cluster, "backupDcs")), "oy,fra");
    dc_meta_free(meta);
}

static void an_unknown_dc_has_no_id(void **state)
{
    (void)state;
    struct dc_meta *meta = parsed("{\"id\":null,\"clusters\":{},\"routes\":null}");
    assert_null(meta->id);
    assert_int_equal(meta->clusters.count, 0);
    dc_meta_free(meta);
    meta = parsed("{}");
    assert_null(meta->id);
    dc_meta_free(meta);
    dc_meta_free(NULL);
}

static void bad_documents_are_refused(void **state)
{
    (void)state;
    refused("", "JSON");
    refused("[]", "an array is not an object");
    refused("null", "null is not an object");
    refused("{\"id\":\"jq\",\"id\":\"oy\"}", "duplicate");
    refused("{\"clusters\":[]}", "clusters: it is not an object");
    refused("{\"routes\":[{\"id\":\"7\"}]}", "routes[0].id");
    refused("{\"routes\":[{\"isPublic\":1}]}", "routes[0].isPublic");
    refused("{\"keeperContainers\":[{\"id\":1,\"ip\":\"a\",\"port\":5e9}]}",
            "keeperContainers[0].port: 5000000000");
    refused("{\"keeperContainers\":[{\"id\":1,\"port\":1}]}",
            "keeperContainers[0].ip: it is missing");
    refused("{\"sentinels\":{\"x\":{}}}", "sentinels.x.id");
    refused("{\"version\":-1}", "version");
}

static void a_bad_cluster_spoils_only_itself(void **state)
{
    (void)state;
    static const struct {
        const char *cluster;
        const char *problem;
        int64_t db_id;
    } rows[] = {
        { "{\"dbId\":5,\"type\":\"NEW_KIND\"}", "type: it is not a cluster type", 5 },
        { "{\"dbId\":5,\"type\":null}", "type: it is missing", 5 },
        { "{\"type\":\"ONE_WAY\"}", "dbId: it is missing", 0 },
        { "{\"dbId\":\"5\",\"type\":\"ONE_WAY\"}", "dbId: '5' is not an id", 0 },
        { "null", "null is not an object", 0 },
        { "[]", "an array is not an object", 0 },
        { "{\"id\":\"other\",\"dbId\":5,\"type\":\"ONE_WAY\"}", "id: 'other' differs", 5 },
        { "{\"dbId\":5,\"type\":\"ONE_WAY\",\"activeDc\":\"a/b\"}", "activeDc: ", 5 },
        { "{\"dbId\":5,\"type\":\"ONE_WAY\",\"backupDcs\":7}", "backupDcs: ", 5 },
        { "{\"dbId\":5,\"type\":\"ONE_WAY\",\"clusterDesignatedRouteIds\":\"1,x\"}",
          "clusterDesignatedRouteIds: element 2", 5 },
        { "{\"dbId\":5,\"type\":\"ONE_WAY\",\"shards\":{\"s\":{}}}", "shards.s.dbId: it is missing",
          5 },
        { "{\"dbId\":5,\"type\":\"ONE_WAY\",\"shards\":{\"s\":{\"dbId\":1,"
          "\"redises\":[{\"ip\":\"1.1.1.1\",\"port\":5e9}]}}}",
          "shards.s.redises[0].port: 5000000000 is not a port", 5 },
        { "{\"dbId\":5,\"type\":\"ONE_WAY\",\"shards\":{\"a\":{\"id\":\"s\",\"dbId\":1},"
          "\"b\":{\"id\":\"s\",\"dbId\":2}}}",
          "shards: two of them have the id 's'", 5 },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_FREE char *text = xasprintf("{\"id\":\"jq\",\"clusters\":{\"bad\":%s,"
                                         "\"good\":{\"dbId\":6,\"type\":\"ONE_WAY\"}}}",
                                         rows[i].cluster);
        struct dc_meta *meta = parsed(text);
        assert_int_equal(meta->clusters.count, 2);
        const struct cluster_meta *bad = dc_meta_cluster(meta, "bad");
        assert_non_null(bad);
        assert_non_null(bad->problem);
        if (!strstr(bad->problem, rows[i].problem)) {
            fail_msg("'%s' does not say '%s'", bad->problem, rows[i].problem);
        }
        assert_int_equal(bad->db_id, rows[i].db_id);
        assert_null(dc_meta_cluster(meta, "good")->problem);
        AUTO_FREE char *again = dumped(meta); /* and stays bad on its way */
        struct dc_meta *second = parsed(again);
        assert_non_null(dc_meta_cluster(second, "bad")->problem);
        dc_meta_free(second);
        dc_meta_free(meta);
    }
}

/* ---- one cluster ---- */

static struct cluster_meta *cluster_of(const char *text)
{
    json_auto_t *json = NULL;
    struct cluster_meta *cluster = NULL;
    struct xp_err err = { 0 };
    assert_int_equal(jd_parse(text, strlen(text), &json, &err), XP_OK);
    if (cluster_meta_from_json(json, &cluster, &err)) {
        fail_msg("%s", err.msg);
    }
    return cluster;
}

static void pushed_clusters_must_be_sound(void **state)
{
    (void)state;
    static const char *const bad[] = { "{\"dbId\":5,\"type\":\"ONE_WAY\"}", "{\"id\":\"a\"}",
                                       "{\"id\":\"a\",\"dbId\":5,\"type\":\"x\"}", "[]", "null" };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        json_auto_t *json = NULL;
        struct cluster_meta *cluster = NULL;
        struct xp_err err = { 0 };
        assert_int_equal(jd_parse(bad[i], strlen(bad[i]), &json, &err), XP_OK);
        assert_int_equal(cluster_meta_from_json(json, &cluster, &err), XP_INVALID);
        assert_null(cluster);
    }
    struct cluster_meta *cluster = cluster_of("{\"id\":\"a\",\"dbId\":5,\"type\":\"one_WAY\"}");
    assert_ptr_equal(cluster_meta_ref(cluster), cluster);
    cluster_meta_unref(cluster);
    assert_string_equal(cluster->name, "a");
    cluster_meta_unref(cluster);
    cluster_meta_unref(NULL);
}

static void priorities_are_normalized(void **state)
{
    (void)state;
    static const struct {
        const char *first, *second;
        int64_t expected_first, expected_second;
    } rows[] = {
        { "null", "null", 1, 1 }, { "0", "0", 1, 1 },    { "-3", "0", 1, 1 },  { "5", "0", 5, 0 },
        { "null", "0", 1, 0 },    { "0", "null", 0, 1 }, { "2", "-1", 2, -1 },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_FREE char *text = xasprintf("{\"id\":\"a\",\"dbId\":5,\"type\":\"ONE_WAY\",\"shards\":"
                                         "{\"s\":{\"dbId\":1,\"keepers\":["
                                         "{\"ip\":\"a\",\"port\":1,\"priority\":%s},{\"ip\":\"b\","
                                         "\"port\":1,\"priority\":%s}]}}}",
                                         rows[i].first, rows[i].second);
        struct cluster_meta *cluster = cluster_of(text);
        const struct keeper_meta *keepers = cluster->shards.items[0].keepers.items;
        assert_int_equal(keepers[0].priority, rows[i].expected_first);
        assert_int_equal(keepers[1].priority, rows[i].expected_second);
        cluster_meta_unref(cluster);
    }
}

static void migration_statuses(void **state)
{
    (void)state;
    static const struct {
        const char *status;
        bool migrating;
    } rows[] = { { "\"Lock\"", true },      { "\"Migrating\"", true }, { "\"Rollback\"", true },
                 { "\"migrating\"", true }, { "\"Normal\"", false },   { "\"TmpMigrated\"", false },
                 { "null", false },         { "\"\"", false } };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_FREE char *text = xasprintf(
            "{\"id\":\"a\",\"dbId\":5,\"type\":\"ONE_WAY\",\"status\":%s}", rows[i].status);
        struct cluster_meta *cluster = cluster_of(text);
        assert_int_equal(cluster->is_migrating, rows[i].migrating);
        cluster_meta_unref(cluster);
    }
}

/* clang-format off */
#define REDISES "[{\"id\":\"r\",\"ip\":\"1.1.1.1\",\"port\":1,\"master\":\"\",\"gid\":1},{\"ip\":\"1.1.1.2\",\"port\":2,\"master\":\"x\"}]"
#define KEEPERS "[{\"id\":\"k\",\"ip\":\"1.1.1.3\",\"port\":3,\"active\":true,\"keeperContainerId\":7,\"priority\":2},{\"ip\":\"1.1.1.4\",\"port\":4,\"priority\":1}]"
#define SHARD "{\"dbId\":3,\"sentinelId\":4,\"sentinelMonitorName\":\"m\",\"redises\":" REDISES ",\"keepers\":" KEEPERS "}"
static const char base_cluster[] =
    "{\"id\":\"a\",\"dbId\":5,\"type\":\"ONE_WAY\",\"activeDc\":\"jq\",\"backupDcs\":\"oy,fra\",\"orgId\":6,"
    "\"clusterDesignatedRouteIds\":\"1,2\",\"status\":\"Normal\",\"version\":8,\"adminEmails\":\"a@b\","
    "\"shards\":{\"s\":" SHARD "}}";

/* Replaces the first 'from' of the base document by 'to'. */
static const struct { const char *from; const char *to; bool equal; } changes[] = {
    { "\"id\":\"a\"", "\"id\":\"b\"", false },
    { "\"dbId\":5", "\"dbId\":9", false },
    { "ONE_WAY", "SINGLE_DC", false },
    { "ONE_WAY", "one_way", true },
    { "\"activeDc\":\"jq\"", "\"activeDc\":\"oy\"", false },
    { "\"activeDc\":\"jq\"", "\"activeDc\":\"JQ\"", true },
    { "oy,fra", "fra,oy", true },
    { "oy,fra", "oy", false },
    { "oy,fra", "oy,rb", false },
    { "\"orgId\":6", "\"orgId\":7", false },
    { "\"orgId\":6", "\"orgId\":null", false },
    { "\"1,2\"", "\"2,1\"", true },
    { "\"1,2\"", "\"1\"", false },
    { "\"1,2\"", "\"1,3\"", false },
    { "Normal", "TmpMigrated", true },
    { "Normal", "Migrating", false },
    { "\"version\":8", "\"version\":9", true },
    { "a@b", "c@d", true },
    { "\"s\":", "\"t\":", false },
    { "\"dbId\":3", "\"dbId\":4", false },
    { "\"sentinelId\":4", "\"sentinelId\":5", false },
    { "\"m\"", "\"n\"", false },
    { "\"id\":\"r\"", "\"id\":\"unknown\"", true },
    { "1.1.1.1", "1.1.1.9", false },
    { "\"port\":1", "\"port\":9", false },
    { "\"master\":\"\"", "\"master\":\"x\"", false },
    { "\"gid\":1", "\"gid\":2", false },
    { "1.1.1.3", "1.1.1.9", false },
    { "\"port\":3", "\"port\":9", false },
    { "\"id\":\"k\"", "\"id\":null", true },
    { "\"active\":true", "\"active\":false", false },
    { "\"keeperContainerId\":7", "\"keeperContainerId\":8", false },
    { "\"priority\":2", "\"priority\":3", false },
    { REDISES, "[{\"ip\":\"1.1.1.2\",\"port\":2,\"master\":\"x\"},{\"ip\":\"1.1.1.1\",\"port\":1,\"gid\":1}]", true },
    { REDISES, "[]", false },
    { KEEPERS, "[{\"ip\":\"1.1.1.4\",\"port\":4},{\"ip\":\"1.1.1.3\",\"port\":3,\"active\":true,\"keeperContainerId\":7,\"priority\":2}]", true },
    { "\"s\":" SHARD, "", false },
    { "\"s\":" SHARD, "\"s\":" SHARD ",\"t\":" SHARD, false },
};
/* clang-format on */

static char *replaced(const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);
    assert_non_null(at);
    return xasprintf("%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
}

static void equality_field_by_field(void **state)
{
    (void)state;
    struct cluster_meta *base = cluster_of(base_cluster);
    struct cluster_meta *same = cluster_of(base_cluster);
    assert_true(cluster_meta_eq(base, base));
    assert_true(cluster_meta_eq(base, same));
    for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
        AUTO_FREE char *text = replaced(base_cluster, changes[i].from, changes[i].to);
        struct cluster_meta *other = cluster_of(text);
        if (cluster_meta_eq(base, other) != changes[i].equal ||
            cluster_meta_eq(other, base) != changes[i].equal) {
            fail_msg("%s -> %s", changes[i].from, changes[i].to);
        }
        cluster_meta_unref(other);
    }
    same->problem = xstrdup("unusable");
    assert_false(cluster_meta_eq(base, same));
    cluster_meta_unref(base);
    cluster_meta_unref(same);
}

static void lists_of_dcs_of_multi_active_clusters(void **state)
{
    (void)state;
    struct cluster_meta *a =
        cluster_of("{\"id\":\"a\",\"dbId\":5,\"type\":\"BI_DIRECTION\",\"dcs\":\"jq,OY\"}");
    struct cluster_meta *b = cluster_of("{\"id\":\"a\",\"dbId\":5,\"type\":\"BI_DIRECTION\","
                                        "\"dcs\":\"oy,jq\",\"backupDcs\":\"\"}");
    struct cluster_meta *c =
        cluster_of("{\"id\":\"a\",\"dbId\":5,\"type\":\"BI_DIRECTION\",\"dcs\":\"oy\"}");
    assert_true(cluster_meta_eq(a, b));
    assert_false(cluster_meta_eq(a, c));
    cluster_meta_unref(a);
    cluster_meta_unref(b);
    cluster_meta_unref(c);
}

static void routes_are_equal_field_by_field(void **state)
{
    (void)state;
    static char tag[] = "meta", src[] = "jq", dst[] = "oy", type[] = "", info[] = "a:80";
    static char other[] = "other";
    const struct route_meta base = { 1, tag, src, dst, 2, type, true, info };
    struct route_meta same = base;
    assert_true(route_meta_eq(&base, &same));
    struct route_meta changed[8];
    for (size_t i = 0; i < ARRAY_LEN(changed); i++) {
        changed[i] = base;
    }
    changed[0].id = 9;
    changed[1].tag = other;
    changed[2].src_dc = other;
    changed[3].dst_dc = other;
    changed[4].org_id = 9;
    changed[5].cluster_type = other;
    changed[6].is_public = false;
    changed[7].route_info = other;
    for (size_t i = 0; i < ARRAY_LEN(changed); i++) {
        assert_false(route_meta_eq(&base, &changed[i]));
    }
}

/* ---- RedisMeta, names, types ---- */

static void redis_metas_round_trip(void **state)
{
    (void)state;
    struct addr addr = addr_of("1.1.1.1", 6379);
    json_auto_t *json = redis_meta_to_json(&addr, 15);
    assert_string_equal(json_string_value(json_object_get(json, "master")), "");
    assert_true(json_is_null(json_object_get(json, "offset")));
    AUTO_FREE char *text = json_dumps(json, 0);
    struct redis_meta redis;
    assert_int_equal(redis_meta_parse(text, strlen(text), &redis, NULL), XP_OK);
    assert_true(addr_eq(&redis.addr, &addr));
    assert_int_equal(redis.gid, 15);
    assert_true(redis.is_master);
    redis_meta_done(&redis);
    json_auto_t *unknown = redis_meta_to_json(&addr, 0);
    assert_true(json_is_null(json_object_get(unknown, "gid")));
}

static void redis_metas_from_elsewhere(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int code;
        const char *message;
    } rows[] = {
        { "", XP_NOT_FOUND, "empty" },
        { " \r\n", XP_NOT_FOUND, "empty" },
        { "null", XP_NOT_FOUND, "null" },
        { "{}", XP_INVALID, "ip: it is missing" },
        { "{\"ip\":null,\"port\":1}", XP_INVALID, "ip: it is missing" },
        { "{\"ip\":\"a\"}", XP_INVALID, "port: it is missing" },
        { "{\"ip\":\"a\",\"port\":5e9}", XP_INVALID, "port: 5000000000" },
        { "{\"ip\":\"a b\",\"port\":1}", XP_INVALID, "ip: " },
        { "{\"ip\":\"\",\"port\":1}", XP_INVALID, "ip: " },
        { "{\"ip\":\"a\",\"port\":1,\"gid\":\"x\"}", XP_INVALID, "gid: " },
        { "{\"ip\":\"a\",\"port\":1,\"master\":1}", XP_INVALID, "master: " },
        { "{\"ip\":\"a\",\"port\":1,\"id\":[]}", XP_INVALID, "id: " },
        { "[]", XP_INVALID, "an array" },
        { "{", XP_INVALID, "JSON" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct redis_meta redis = { .gid = 77 };
        struct xp_err err = { 0 };
        assert_int_equal(redis_meta_parse(rows[i].text, strlen(rows[i].text), &redis, &err),
                         rows[i].code);
        assert_non_null(strstr(err.msg, rows[i].message));
        assert_int_equal(redis.gid, 77);
    }
    static const char text[] = "{\"IP\":\"a\",\"Port\":1,\"id\":\"r\",\"sid\":null,\"new\":{}}";
    struct redis_meta redis;
    assert_int_equal(redis_meta_parse(text, sizeof(text) - 1, &redis, NULL), XP_OK);
    assert_string_equal(redis.id, "r");
    redis_meta_done(&redis);
    assert_null(redis.id);
}

static void keeper_metas_alone(void **state)
{
    (void)state;
    struct keeper_meta keeper = {
        .addr = addr_of("10.0.0.1", 6380), .is_active = true, .container_id = 7, .priority = 3
    };
    json_auto_t *json = keeper_meta_to_json(&keeper);
    assert_int_equal(json_object_size(json), 9);
    AUTO_FREE char *text = json_dumps(json, 0);
    struct keeper_meta back;
    assert_int_equal(keeper_meta_parse(text, strlen(text), &back, NULL), XP_OK);
    assert_true(addr_eq(&back.addr, &keeper.addr));
    assert_true(back.is_active);
    assert_int_equal(back.container_id, 7);
    assert_int_equal(back.priority, 3);
    keeper_meta_done(&back);
    /* as keepers write it to ZooKeeper */
    static const char written[] = "{\"priority\":null,\"id\":\"r\",\"port\":17602,\"active\":false,"
                                  "\"ip\":\"127.0.0.1\",\"keeperContainerId\":null}";
    assert_int_equal(keeper_meta_parse(written, sizeof(written) - 1, &back, NULL), XP_OK);
    assert_int_equal(back.priority, 1);
    assert_string_equal(back.id, "r");
    keeper_meta_done(&back);
    assert_null(back.id);
    static const struct {
        const char *text;
        int code;
        const char *message;
    } bad[] = {
        { "", XP_NOT_FOUND, "no keeper: the body is empty" },
        { "null", XP_NOT_FOUND, "null" },
        { "[]", XP_INVALID, "" },
        { "{\"ip\":\"a\"}", XP_INVALID, "port: it is missing" },
        { "{\"id\":\"r\",\"ip\":\"a\",\"port\":5e9}", XP_INVALID, "port: 5000000000" },
        { "{\"ip\":\"a\",\"port\":1,\"priority\":\"1\"}", XP_INVALID, "priority: " },
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct xp_err err = { 0 };
        back.priority = 77;
        assert_int_equal(keeper_meta_parse(bad[i].text, strlen(bad[i].text), &back, &err),
                         bad[i].code);
        assert_non_null(strstr(err.msg, bad[i].message));
        assert_int_equal(back.priority, 77);
    }
}

static void names_are_split_and_found(void **state)
{
    (void)state;
    struct names names = names_split(" a,,B , c,");
    assert_int_equal(names.count, 3);
    assert_string_equal(names.items[1], "B");
    assert_true(names_has(&names, "c"));
    assert_false(names_has(&names, "b"));
    names_done(&names);
    assert_int_equal(names.count, 0);
    names = names_split(NULL);
    assert_int_equal(names.count, 0);
    names_done(&names);
}

static void cluster_types(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum cluster_type type;
        bool keepers, migrate, check, multi, supported;
    } rows[] = {
        { "one_way", CLUSTER_ONE_WAY, true, true, true, false, true },
        { "BI_DIRECTION", CLUSTER_BI_DIRECTION, false, false, true, true, true },
        { "Single_Dc", CLUSTER_SINGLE_DC, false, false, false, false, true },
        { "LOCAL_DC", CLUSTER_LOCAL_DC, false, false, false, true, true },
        { "CROSS_DC", CLUSTER_CROSS_DC, false, false, false, true, true },
        { "hetero", CLUSTER_HETERO, true, true, true, false, false },
        { "UNKNOWN", CLUSTER_UNKNOWN, false, false, false, false, false },
        { "", CLUSTER_UNKNOWN, false, false, false, false, false },
        { NULL, CLUSTER_UNKNOWN, false, false, false, false, false },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct cluster_type_info *info =
            cluster_type_info(cluster_type_from_text(rows[i].text));
        assert_int_equal(info->type, rows[i].type);
        assert_int_equal(info->has_keepers, rows[i].keepers);
        assert_int_equal(info->can_migrate, rows[i].migrate);
        assert_int_equal(info->has_health_check, rows[i].check);
        assert_int_equal(info->is_multi_active, rows[i].multi);
        assert_int_equal(info->is_supported, rows[i].supported);
        assert_int_equal(cluster_type_from_text(info->name), rows[i].type);
    }
    assert_int_equal(cluster_type_info((enum cluster_type)99)->type, CLUSTER_UNKNOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(java_documents_are_understood),
        cmocka_unit_test(java_shards_are_understood),
        cmocka_unit_test(java_routes_and_the_rest_are_understood),
        cmocka_unit_test(documents_round_trip),
        cmocka_unit_test(every_key_is_written),
        cmocka_unit_test(an_unknown_dc_has_no_id),
        cmocka_unit_test(bad_documents_are_refused),
        cmocka_unit_test(a_bad_cluster_spoils_only_itself),
        cmocka_unit_test(pushed_clusters_must_be_sound),
        cmocka_unit_test(priorities_are_normalized),
        cmocka_unit_test(migration_statuses),
        cmocka_unit_test(equality_field_by_field),
        cmocka_unit_test(lists_of_dcs_of_multi_active_clusters),
        cmocka_unit_test(routes_are_equal_field_by_field),
        cmocka_unit_test(redis_metas_round_trip),
        cmocka_unit_test(redis_metas_from_elsewhere),
        cmocka_unit_test(keeper_metas_alone),
        cmocka_unit_test(names_are_split_and_found),
        cmocka_unit_test(cluster_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
