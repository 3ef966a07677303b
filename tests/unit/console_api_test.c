/* The handlers of the existing REST face over a real store: bodies, texts and statuses as console-api.md has them. */
#include "tests/unit/console_calls.h"

#include "shared/base/banned.h"

static void zones_and_dcs(void **state)
{
    (void)state;
    base_data();
    struct reply r CLEANUP(reply_done) = call(&f, "GET", "/api/zone/all", NULL);
    assert_non_null(strstr(
        r.body, "[{\"id\":1,\"zoneName\":\"SHA\",\"deleted\":false,\"dataChangeLastTime\":\"20"));
    expect("GET", "/api/zone/77", NULL, 200, "null");
    expect("GET", "/api/zone/x", NULL, 500,
           "{\"message\":\"path parameter id: 'x' is not an integer\",\"exception\":\"INVALID\"}");
    expect("GET", "/api/dcids", NULL, 200, "[\"jq\",\"oy\",\"FRA\"]");
    struct reply dcs CLEANUP(reply_done) = call(&f, "GET", "/api/dc", NULL);
    assert_non_null(strstr(
        dcs.body,
        "{\"state\":0,\"message\":null,\"payload\":[{\"dc_id\":1,\"dc_name\":\"jq\",\"zone_id\":1,"
        "\"description\":\"d\",\"active\":true}"));
    fails("PUT", "/api/dc", "{\"dc_name\":\"xx\"}", "dc with name:xx not exist");
    must("PUT", "/api/dc", "{\"dc_name\":\"jq\",\"active\":false,\"description\":\"new\"}");
    struct reply changed CLEANUP(reply_done) = call(&f, "GET", "/api/dc", NULL);
    assert_non_null(strstr(changed.body, "\"zone_id\":1,\"description\":\"new\",\"active\":false"));
}

static void cluster_checks_come_in_order(void **state)
{
    (void)state;
    base_data();
    fails("POST", "/api/clusters", "{}", "clusterName empty");
    fails("POST", "/api/clusters", "{\"clusterName\":\"c\",\"clusterType\":\"x\"}",
          "invalidate clusterType");
    fails("POST", "/api/clusters", "{\"clusterName\":\"c\"}", "desc empty");
    fails("POST", "/api/clusters", "{\"clusterName\":\"c\",\"desc\":\"d\"}",
          "clusterAdminEmails empty");
    fails("POST", "/api/clusters",
          "{\"clusterName\":\"c\",\"desc\":\"d\",\"clusterAdminEmails\":\"a@b.c\"}",
          "organizationId empty");
    fails("POST", "/api/clusters",
          "{\"clusterName\":\"c\",\"desc\":\"d\",\"clusterAdminEmails\":\"a@b.c\","
          "\"organizationId\":8}",
          "dcs, regions should have at least one not empty");
    fails("POST", "/api/clusters",
          "{\"clusterName\":\"c\",\"desc\":\"d\",\"clusterAdminEmails\":\"a@b.c\","
          "\"organizationId\":8,\"dcs\":[\"jq\"]}",
          "dcs size should be at least two, first active!");
    fails("POST", "/api/clusters",
          "{\"clusterName\":\"c\",\"desc\":\"d\",\"clusterAdminEmails\":\"a@b.c\","
          "\"organizationId\":9,\"dcs\":[\"jq\",\"oy\"]}",
          "Organization Id: 9, could not be found");
    must("POST", "/api/clusters", DEMO);
    fails("POST", "/api/clusters", DEMO, "cluster - demo exist");
}

static void cluster_reads(void **state)
{
    (void)state;
    base_data();
    must("POST", "/api/clusters", DEMO);
    expect("GET", "/api/cluster/demo", NULL, 200,
           "{\"clusterId\":1,\"clusterName\":\"demo\",\"clusterType\":\"ONE_WAY\",\"dcs\":[\"jq\","
           "\"oy\"],\"desc\":\"demo\","
           "\"organizationId\":8,\"clusterAdminEmails\":\"dba@example.com\"}");
    expect("GET", "/api/cluster/nope", NULL, 404,
           "{\"message\":\"cluster nope not found\",\"exception\":\"NOT_FOUND\"}");
    expect("GET", "/api/clusters?types=weird", NULL, 400,
           "{\"message\":\"unknown cluster type weird\",\"exception\":\"INVALID\"}");
    must("POST", "/api/clusters",
         "{\"clusterName\":\"bi\",\"clusterType\":\"bi_direction\",\"dcs\":[\"jq\",\"FRA-AWS\"],"
         "\"desc\":\"d\","
         "\"organizationId\":8,\"clusterAdminEmails\":\"a@b.c;d@e.f\"}");
    struct reply one_way CLEANUP(reply_done) = call(&f, "GET", "/api/clusters", NULL);
    assert_null(strstr(one_way.body, "\"bi\""));
    struct reply bi CLEANUP(reply_done) = call(&f, "GET", "/api/clusters?types=bi_direction", NULL);
    assert_non_null(strstr(bi.body, "\"dcs\":[\"jq\",\"FRA-AWS\"]"));
    expect("GET", "/api/clusterids", NULL, 200, "[\"bi\",\"demo\"]");
    expect("GET", "/api/stats", NULL, 200, "{\"clusterCount\":2,\"shardCount\":0}");
}

static void cluster_changes(void **state)
{
    (void)state;
    base_data();
    must("POST", "/api/clusters", DEMO);
    fails("PUT", "/api/cluster", "{\"clusterName\":\"x\"}", "Not find cluster: x");
    expect("PUT", "/api/cluster", "{\"clusterName\":\"demo\"}", 200,
           "{\"state\":0,\"message\":\"No field changes for cluster: demo\"}");
    must("PUT", "/api/cluster", "{\"clusterName\":\"demo\",\"desc\":\"other\"}");
    must("PUT", "/api/clusters", "[{\"clusterName\":\"demo\",\"desc\":\"third\"}]");
    must("POST", "/api/clusters/demo/dcs/FRA", NULL);
    fails("POST", "/api/clusters/demo/dcs/FRA", NULL, "Cluster: demo already exist FRA dc");
    fails("POST", "/api/clusters/demo/dcs/zz", NULL, "Cannot find dc: zz");
    must("DELETE", "/api/clusters/demo/dcs/FRA", NULL);
    fails("DELETE", "/api/clusters/demo/dcs/jq", NULL, "cannot unbind active dc");
    must("POST", "/api/shards/demo", "[{\"shardName\":\"s1\",\"shardMonitorName\":\"s1\"}]");
    must("POST", "/api/redises/jq/demo/s1", "[\"10.0.1.1:6379\"]");
    fails("DELETE", "/api/cluster/demo", NULL, "cluster not empty");
    must("DELETE", "/api/cluster/demo?checkEmpty=false", NULL);
    fails("DELETE", "/api/cluster/demo", NULL, "cluster not found:demo");
}

static void shards_and_redises(void **state)
{
    (void)state;
    base_data();
    must("POST", "/api/clusters", DEMO);
    expect("POST", "/api/shards/demo/s1",
           "[{\"dcId\":\"jq\",\"redises\":\"10.0.1.1:6379, "
           "10.0.1.2:6379\"},{\"dcId\":\"oy\",\"redisesWithAz\":"
           "[{\"addr\":\"10.0.2.1:6379\"}]}]",
           200, "{\"state\":0,\"message\":\"Successfully created shard\"}");
    expect("GET", "/api/redises/jq/demo/s1", NULL, 200, "[\"10.0.1.1:6379\",\"10.0.1.2:6379\"]");
    expect("GET", "/api/redises/jq/demo/none", NULL, 200, "[]");
    expect("GET", "/api/shards/demo", NULL, 200,
           "[{\"shardId\":1,\"shardName\":\"s1\",\"shardMonitorName\":\"s1\",\"dcId\":\"jq\"},"
           "{\"shardId\":1,\"shardName\":\"s1\",\"shardMonitorName\":\"s1\",\"dcId\":\"oy\"}]");
    must("POST", "/api/redises/oy/demo/s1",
         "[\"10.0.2.2:6379\",{\"addr\":\"10.0.2.3:6379\",\"master\":false}]");
    fails("POST", "/api/redises/oy/demo/s1", "[\"nonsense\"]", "invalid socket address:nonsense");
    fails("POST", "/api/redises/oy/demo/s9", "[\"10.0.9.9:1\"]",
          "not found: dc:oy, cluster:demo, shard:s9");
    expect("GET", "/api/redis/info/10.0.2.3/6379", NULL, 200,
           "{\"dcId\":\"oy\",\"clusterId\":\"demo\",\"shardId\":\"s1\"}");
    expect("GET", "/api/redis/info/10.9.9.9/6379", NULL, 200,
           "{\"dcId\":\"\",\"clusterId\":\"\",\"shardId\":\"\"}");
    must("DELETE", "/api/redises/oy/demo/s1", "[\"10.0.2.3:6379\",\"10.77.0.1:1\"]");
    expect("GET", "/api/redises/oy/demo/s1", NULL, 200, "[\"10.0.2.1:6379\",\"10.0.2.2:6379\"]");
    expect("DELETE", "/api/shards/demo/s1", NULL, 200,
           "{\"state\":0,\"message\":\"Successfully deleted shard\"}");
    expect("DELETE", "/api/shards/demo/s1", NULL, 200,
           "{\"state\":0,\"message\":\"Shard already not exist\"}");
    expect("DELETE", "/api/shards/demo/sync", "[\"s1\",\"s2\"]", 200,
           "{\"state\":0,\"message\":\"Some shard already not exist\"}");
}

static void proxies_and_routes(void **state)
{
    (void)state;
    base_data();
    must("POST", "/api/proxy",
         "{\"uri\":\"PROXYTCP://"
         "2.2.2.2:80\",\"dcName\":\"jq\",\"active\":true,\"monitorActive\":true}");
    must("POST", "/api/proxy",
         "{\"uri\":\"PROXYTLS://4.4.4.4:443\",\"dcName\":\"FRA\",\"active\":true}");
    expect("GET", "/api/proxies/active", NULL, 200,
           "[{\"uri\":\"PROXYTCP://"
           "2.2.2.2:80\",\"dcName\":\"jq\",\"id\":1,\"active\":true,\"monitorActive\":true,"
           "\"hostPort\":null},"
           "{\"uri\":\"PROXYTLS://"
           "4.4.4.4:443\",\"dcName\":\"FRA\",\"id\":2,\"active\":true,\"monitorActive\":false,"
           "\"hostPort\":null}]");
    struct reply made CLEANUP(reply_done) =
        call(&f, "POST", "/api/route",
             "{\"srcDcname\":\"jq\",\"dstDcName\":\"FRA-AWS\",\"srcProxyIds\":\"1\","
             "\"optionalProxyIds\":\"\",\"dstProxyIds\":\"2\","
             "\"tag\":\"meta\",\"orgId\":0,\"clusterType\":\"\",\"active\":true,\"isPublic\":true,"
             "\"description\":\"\"}");
    assert_non_null(strstr(made.body, "\"state\":0"));
    struct reply routes CLEANUP(reply_done) = call(&f, "GET", "/api/routes/active", NULL);
    assert_non_null(
        strstr(routes.body, "\"srcProxyIds\":\"1\",\"optionProxyIds\":\"\",\"dstProxyIds\":\"2\""));
    assert_non_null(strstr(routes.body, "\"isPublic\":true"));
    struct reply put CLEANUP(reply_done) =
        call(&f, "PUT", "/api/route", "{\"id\":1,\"description\":\"renamed\"}");
    assert_non_null(strstr(put.body, "\"state\":0"));
    struct reply after CLEANUP(reply_done) = call(&f, "GET", "/api/routes/all", NULL);
    /* absent stays */
    assert_non_null(strstr(after.body, "\"isPublic\":true,\"description\":\"renamed\""));
    struct reply used CLEANUP(reply_done) = call(&f, "DELETE", "/api/proxy", "{\"id\":1}");
    assert_non_null(strstr(used.body, "\"state\":-1"));
}

static void peers_of_a_crdt_cluster(void **state)
{
    (void)state;
    proxies_and_routes(state);
    must("POST", "/api/clusters",
         "{\"clusterName\":\"bi\",\"clusterType\":\"BI_DIRECTION\",\"dcs\":[\"jq\",\"FRA-AWS\"],"
         "\"desc\":\"d\","
         "\"organizationId\":8,\"clusterAdminEmails\":\"a@b.c\"}");
    struct reply made CLEANUP(reply_done) =
        call(&f, "POST", "/api/shards/bi/s1",
             "[{\"dcId\":\"jq\",\"redises\":\"1.1.1.1:6379\"},{\"dcId\":\"FRA-AWS\",\"redises\":"
             "\"3.3.3.3:6379\"}]");
    assert_non_null(strstr(made.body, "\"state\":0"));
    must("POST", "/api/redises/FRA-AWS/bi/s1", "[{\"addr\":\"3.3.3.3:6379\",\"master\":true}]");
    expect("GET", "/api/clusters/bi/peers?dc=jq", NULL, 200,
           "[{\"shard\":\"s1\",\"dc\":\"jq\",\"peerDc\":\"FRA\",\"master\":null,\"peerMaster\":\"3."
           "3.3.3:6379\",\"peerGid\":null,"
           "\"peerof\":null,\"actual\":null,\"consistent\":null,\"routeId\":1,\"proxyType\":"
           "\"XPIPE-PROXY\","
           "\"proxyServers\":\"PROXYTCP://2.2.2.2:80\",\"proxyParams\":\"PROXYTLS://"
           "4.4.4.4:443\",\"routeProblem\":null}]");
    expect("GET", "/api/clusters/bi/peers?dc=oy", NULL, 404,
           "{\"message\":\"cluster bi is not bound to dc oy\",\"exception\":\"NOT_FOUND\"}");
    must("POST", "/console/clusters/bi/designated-routes/jq", "[{\"id\":1,\"srcDcName\":\"jq\"}]");
    struct reply designated CLEANUP(reply_done) =
        call(&f, "GET", "/console/clusters/bi/designated-routes/jq", NULL);
    assert_non_null(
        strstr(designated.body,
               "\"srcProxies\":[\"PROXYTCP://2.2.2.2:80\"],\"optionalProxies\":[],\"dstProxies\":"
               "[\"PROXYTLS://4.4.4.4:443\"]"));
}

static void documents_have_etags(void **state)
{
    (void)state;
    base_data();
    must("POST", "/api/clusters", DEMO);
    struct reply none CLEANUP(reply_done) = call(&f, "GET", "/api/dc/zz", NULL);
    assert_int_equal(none.status, 404);
    struct reply first CLEANUP(reply_done) = call(&f, "GET", "/api/dc/JQ?types=one_way", NULL);
    assert_int_equal(first.status, 200);
    assert_non_null(strstr(first.body, "{\"id\":\"jq\",")); /* as stored, whatever was asked */
    assert_non_null(strstr(first.body, "\"clusters\":{}")); /* no redis yet: not listed */
    assert_non_null(first.etag);
    char *header AUTO_FREE = xasprintf("If-None-Match: %s", first.etag);
    struct reply same CLEANUP(reply_done) =
        call_with(&f, "GET", "/api/dc/jq?types=ONE_WAY", NULL, header);
    assert_int_equal(same.status, 304);
    assert_string_equal(same.body, "");
    must("POST", "/api/shards/demo", "[{\"shardName\":\"s1\",\"shardMonitorName\":\"s1\"}]");
    must("POST", "/api/redises/jq/demo/s1", "[\"10.0.1.1:6379\"]");
    struct reply other CLEANUP(reply_done) =
        call_with(&f, "GET", "/api/dc/jq?types=ONE_WAY", NULL, header);
    assert_int_equal(other.status, 200);
    assert_string_not_equal(other.etag, first.etag);
    assert_non_null(strstr(other.body, "\"demo\""));
    struct reply xml CLEANUP(reply_done) = call(&f, "GET", "/api/dc/jq?format=xml", NULL);
    assert_int_equal(xml.status, 501);
    struct reply bad CLEANUP(reply_done) = call(&f, "GET", "/api/dc/jq?types=nope", NULL);
    assert_int_equal(bad.status, 400);
    struct reply shard CLEANUP(reply_done) =
        call(&f, "GET", "/api/dc/jq/cluster/demo/shard/none", NULL);
    assert_int_equal(shard.status, 200);
    assert_string_equal(shard.body, "");
    expect("GET", "/api/dc/FRA/cluster/demo", NULL, 404,
           "{\"message\":\"not find dc cluster FRA demo\",\"exception\":\"NOT_FOUND\"}");
}

static void malformed_and_unsupported(void **state)
{
    (void)state;
    struct reply broken CLEANUP(reply_done) =
        call(&f, "POST", "/api/clusters", "{\"clusterName\":");
    assert_int_equal(broken.status, 500);
    assert_non_null(strstr(broken.body, "\"exception\":"));
    struct reply typed CLEANUP(reply_done) =
        call(&f, "POST", "/api/clusters", "{\"clusterName\":[]}");
    assert_int_equal(typed.status, 500);
    struct reply empty CLEANUP(reply_done) = call(&f, "POST", "/api/shards/c", NULL);
    assert_int_equal(empty.status, 500);
    expect("POST", "/api/clusters/c/repl-direction", "[]", 501,
           "{\"state\":-1,\"message\":\"not supported: appliers\"}");
    expect("PUT", "/api/dc/jq/cluster/c/shard/s/keepers/adjustment", "{}", 200, "");
    expect("GET", "/health", NULL, 200,
           "{\"isLeader\":true,\"status\":[],\"crossDcLeader\":true,\"dc\":\"jq\",\"checker\":null,"
           "\"address\":\"\",\"ready\":true,\"reasons\":[]}");
}

static void strict_statuses(void **state)
{
    (void)state;
    base_data();
    const char *strict = "X-XPipe-Status: strict";
    struct reply r CLEANUP(reply_done) = call_with(&f, "POST", "/api/clusters", "{}", strict);
    assert_int_equal(r.status, 400);
    assert_string_equal(r.body, "{\"state\":-1,\"message\":\"clusterName "
                                "empty\",\"code\":\"INVALID\",\"requestId\":\"test\"}");
    struct reply gone CLEANUP(reply_done) =
        call_with(&f, "DELETE", "/api/shards/x/y", NULL, strict);
    assert_int_equal(gone.status, 404);
    must("POST", "/api/clusters", DEMO);
    struct reply twice CLEANUP(reply_done) = call_with(&f, "POST", "/api/clusters", DEMO, strict);
    assert_int_equal(twice.status, 409);
    struct reply bad CLEANUP(reply_done) = call_with(&f, "POST", "/api/clusters", "{", strict);
    assert_int_equal(bad.status, 400);
}

static void whole_clusters_are_read(void **state)
{
    (void)state;
    base_data();
    must("POST", "/api/clusters", DEMO);
    must("POST", "/api/redis/insert",
         "{\"dcId\":\"oy\",\"clusterId\":\"demo\",\"shardName\":\"s1\",\"redises\":\"10.0.2.1:"
         "6379\"}");
    expect("GET", "/api/clusterWithShards", NULL, 200,
           "[{\"id\":1,\"clusterName\":\"demo\",\"clusterType\":\"ONE_WAY\",\"shards\":[{\"id\":1,"
           "\"shardName\":\"s1\","
           "\"redises\":[],\"keepers\":[]}]}]");
    expect("GET", "/api/clusterWithShards?type=bi_direction", NULL, 200, "[]");
    expect("GET", "/api/cluster/all?clusterName=DEMO", NULL, 200,
           "{\"id\":1,\"clusterName\":\"demo\",\"clusterType\":\"ONE_WAY\",\"shards\":[{\"id\":1,"
           "\"shardName\":\"s1\","
           "\"redises\":[{\"ip\":\"10.0.2.1\",\"port\":6379,\"dc\":\"oy\"}],\"keepers\":[]}]}");
    struct reply none CLEANUP(reply_done) = call(&f, "GET", "/api/cluster/all", NULL);
    assert_int_equal(none.status, 400);
    expect("GET", "/api/cluster/demo/shardids", NULL, 200, "[\"s1\"]");
    struct reply unknown CLEANUP(reply_done) = call(&f, "GET", "/api/cluster/x/shardids", NULL);
    assert_int_equal(unknown.status, 404);
    must("PUT", "/api/cluster/tag/demo/blue", NULL);
}

static void roles_and_keepers(void **state)
{
    (void)state;
    base_data();
    must("POST", "/api/clusters", DEMO);
    must("POST", "/api/redis/insert",
         "{\"dcId\":\"jq\",\"clusterId\":\"demo\",\"shardName\":\"s1\",\"redises\":\"10.0.1.1:6379,"
         "10.0.1.2:6379\"}");
    const char *first = "{\"hostPort\":{\"host\":\"10.0.1.1\",\"port\":6379},\"dcId\":\"jq\","
                        "\"clusterId\":\"demo\",\"shardId\":\"s1\"}";
    const char *second = "{\"hostPort\":{\"host\":\"10.0.1.2\",\"port\":6379},\"dcId\":\"jq\","
                         "\"clusterId\":\"demo\",\"shardId\":\"s1\"}";
    must("PUT", "/api/persistence/updateRedisRole/master", first);
    must("PUT", "/api/persistence/updateRedisRole/MASTER",
         second); /* takes the flag from the first */
    struct reply r CLEANUP(reply_done) = call(&f, "GET", "/api/dc/jq/cluster/demo", NULL);
    assert_non_null(strstr(r.body, "\"ip\":\"10.0.1.1\",\"port\":6379,\"master\":\"0.0.0.0:0\""));
    assert_non_null(strstr(r.body, "\"ip\":\"10.0.1.2\",\"port\":6379,\"master\":\"\""));
    struct reply bad CLEANUP(reply_done) =
        call(&f, "PUT", "/api/persistence/updateRedisRole/king", first);
    assert_int_equal(bad.status, 500);
    expect("GET", "/api/keepers/jq/demo/s1", NULL, 200, "[]");
    expect("GET", "/api/keepers/jq/none/s1", NULL, 404,
           "{\"message\":\"unfound cluster none\",\"exception\":\"NOT_FOUND\"}");
    expect("POST", "/api/keepers/check", "{\"host\":\"10.0.1.1\",\"port\":6379}", 200,
           "{\"state\":0,\"message\":null,\"payload\":false}");
    static const char *const paths[] = { "/api/config/sentinel/check/c",
                                         "/api/config/sentinel/check/exclude/all",
                                         "/api/config/alert/cluster/exclude/all",
                                         "/api/redis/inner/unhealthy/all" };
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) { /* a missing feature, not a wrong path */
        struct reply refused CLEANUP(reply_done) = call(&f, "GET", paths[i], NULL);
        assert_int_equal(refused.status, 501);
        assert_non_null(strstr(refused.body, "{\"state\":-1,\"message\":\"not supported: "));
    }
}

#define GROUP                                                                                      \
    "{\"clusterType\":\"ONE_WAY\",\"desc\":\"first\",\"active\":1,\"sentinels\":[{\"dcId\":1,"     \
    "\"sentinelIp\":\"10.0.0.5\",\"sentinelPort\":5000},{\"dcId\":1,\"sentinelIp\":\"10.0.0.6\","  \
    "\"sentinelPort\":5000}]}"

static void sentinel_groups(void **state)
{
    (void)state;
    base_data();
    expect("POST", "/api/sentinels", GROUP, 200,
           "{\"state\":0,\"message\":\"Successfully create Sentinel\"}");
    expect("POST", "/api/sentinels", GROUP, 200,
           "{\"state\":-1,\"message\":\"sentinel 10.0.0.5:5000 is in group 1 already\"}");
    must("POST", "/api/clusters", DEMO);
    must("POST", "/api/redis/insert",
         "{\"dcId\":\"jq\",\"clusterId\":\"demo\",\"shardName\":\"s1\",\"redises\":\"10.0.1.2:"
         "6379\"}");
    must("POST", "/api/redis/insert",
         "{\"dcId\":\"jq\",\"clusterId\":\"demo\",\"shardName\":\"s2\",\"redises\":\"10.0.1.1:"
         "6379\"}");
    expect("GET", "/api/sentinels/info/dc/JQ", NULL, 200,
           "{\"state\":0,\"message\":null,\"payload\":[{\"sentinelGroupId\":1,\"clusterType\":"
           "\"ONE_WAY\","
           "\"tag\":\"\",\"desc\":\"first\",\"active\":1,\"shardCount\":2,\"sentinels\":[{"
           "\"sentinelId\":1,"
           "\"sentinelGroupId\":1,\"dcId\":1,\"sentinelIp\":\"10.0.0.5\",\"sentinelPort\":5000,"
           "\"dcName\":"
           "\"jq\"},{\"sentinelId\":2,\"sentinelGroupId\":1,\"dcId\":1,\"sentinelIp\":\"10.0.0.6\","
           "\"sentinelPort\":5000,\"dcName\":\"jq\"}],\"sentinelsAddressString\":\"10.0.0.5:5000,"
           "10.0.0.6:5000\"}]}");
    expect("GET", "/api/sentinels/info/dc/jq/clusterType/bi_direction", NULL, 200,
           "{\"state\":0,\"message\":null,\"payload\":[]}");
    const char *usage = "{\"dcName\":\"jq\",\"sentinelUsages\":{\"10.0.0.5:5000,10.0.0.6:5000\":2},"
                        "\"sentinelTag\":{\"\":{\"10.0.0.5:5000,10.0.0.6:5000\":2}}}";
    char *all AUTO_FREE =
        xasprintf("{\"state\":0,\"message\":null,\"payload\":{\"jq\":%s}}", usage);
    char *one AUTO_FREE = xasprintf("{\"state\":0,\"message\":null,\"payload\":%s}", usage);
    expect("GET", "/api/sentinels/usage", NULL, 200, all);
    expect("GET", "/api/sentinels/usage/one_way", NULL, 200, all);
    expect("GET", "/api/dc/sentinels?dc=JQ", NULL, 200, one);
    expect("GET", "/api/dc/sentinels/ONE_WAY?dc=jq", NULL, 200, one);
    expect("GET", "/api/dc/sentinels?dc=oy", NULL, 200,
           "{\"state\":0,\"message\":null,\"payload\":null}");
    struct reply none CLEANUP(reply_done) = call(&f, "GET", "/api/dc/sentinels", NULL);
    assert_int_equal(none.status, 400);
    expect("POST", "/api/dc", "{\"zone_id\":1,\"dc_name\":\"Sentinels\"}", 200,
           "{\"state\":-1,\"message\":\"dc_name must not be 'sentinels': it is a word of the API's "
           "paths\"}");
    struct reply doc CLEANUP(reply_done) = call(&f, "GET", "/api/dc/jq", NULL);
    assert_non_null(strstr(doc.body, "\"sentinels\":{\"1\":{\"id\":1,\"address\":\"10.0.0.5:5000,"
                                     "10.0.0.6:5000\",\"clusterType\":\"ONE_WAY\"}}"));
    assert_non_null(strstr(doc.body, "\"sentinelId\":1,\"sentinelMonitorName\":\"demo+s2+jq\""));
}

static void sentinels_of_shards(void **state)
{
    sentinel_groups(state);
    const char *shown =
        "{\"state\":0,\"message\":null,\"payload\":{\"sentinels\":[{\"host\":\"10.0.0.5\","
        "\"port\":5000},{\"host\":\"10.0.0.6\",\"port\":5000}],\"shardName\":\"s2\","
        "\"master\":null}}";
    const char *place = "/api/shard/sentinels?dc=jq&cluster=demo&shard=s2";
    expect("GET", place, NULL, 200, shown);
    expect("GET", "/api/redis/sentinels?ip=10.0.1.1&port=6379", NULL, 200, shown);
    expect("GET", "/api/redis/sentinels?ip=10.0.1.9&port=6379", NULL, 404,
           "{\"message\":\"10.0.1.9:6379 not found\",\"exception\":\"NOT_FOUND\"}");
    expect("GET", "/api/sentinel/shards?sentinelIp=10.0.0.6&sentinelPort=5000", NULL, 200,
           "{\"state\":0,\"message\":null,\"payload\":[{\"sentinels\":null,\"shardName\":\"s1\","
           "\"master\":null,"
           "\"clusterName\":\"demo\",\"dcName\":\"jq\"},{\"sentinels\":null,\"shardName\":\"s2\","
           "\"master\":"
           "null,\"clusterName\":\"demo\",\"dcName\":\"jq\"}]}");
    must("DELETE", place, NULL);
    expect("GET", place, NULL, 404,
           "{\"message\":\"sentinel group id: 0 not found\",\"exception\":\"NOT_FOUND\"}");
    expect("POST", place, NULL, 200,
           "{\"state\":0,\"message\":\"sentinel changed to 10.0.0.5:5000,10.0.0.6:5000\"}");
    expect("POST", place, NULL, 200,
           "{\"state\":0,\"message\":\"current sentinel is suitable, no change\"}");
    expect("DELETE", "/api/sentinel/monitor/demo", NULL, 501,
           "{\"state\":-1,\"message\":\"not supported: metaservers keep the monitors; DELETE "
           "/api/shard/sentinels takes the group of a shard away\"}");
}

static void sentinel_groups_change_and_go(void **state)
{
    sentinel_groups(state);
    expect("GET", "/api/sentinels/active/1", NULL, 200,
           "{\"state\":0,\"message\":\"Active status: true\"}");
    expect("PUT", "/api/sentinels/active/1/0", NULL, 200,
           "{\"state\":0,\"message\":\"Successfully update ActiveStatus: 0\"}");
    expect("PUT", "/api/sentinels/active/1/2", NULL, 200,
           "{\"state\":-1,\"message\":\"active: 2 is neither 0 nor 1\"}");
    expect("GET", "/api/sentinels/active/1", NULL, 200,
           "{\"state\":0,\"message\":\"Active status: false\"}");
    expect("PUT", "/api/sentinels/tag/1/blue", NULL, 200,
           "{\"state\":0,\"message\":\"Successfully update tag: blue\"}");
    expect(
        "PUT", "/api/sentinel/address",
        "{\"sentinelGroupId\":1,\"sentinels\":[{\"dcId\":1,\"sentinelIp\":\"10.0.0.7\","
        "\"sentinelPort\":"
        "5000}]}",
        200,
        "{\"state\":0,\"message\":\"{\\\"sentinelGroupId\\\":1,\\\"clusterType\\\":\\\"ONE_WAY\\\","
        "\\\"tag\\\":\\\"blue\\\",\\\"desc\\\":\\\"first\\\",\\\"active\\\":0,\\\"shardCount\\\":2,"
        "\\\"sentinels\\\":[{\\\"sentinelId\\\":3,\\\"sentinelGroupId\\\":1,\\\"dcId\\\":1,"
        "\\\"sentinelIp\\\":\\\"10.0.0.7\\\",\\\"sentinelPort\\\":5000,\\\"dcName\\\":\\\"jq\\\"}],"
        "\\\"sentinelsAddressString\\\":\\\"10.0.0.7:5000\\\"}\"}");
    expect(
        "DELETE", "/api/sentinels/1", NULL, 200,
        "{\"state\":-1,\"message\":\"sentinel group 1 is used by 2 shards: set it inactive, then "
        "re-choose (PATCH /api/sentinels/1)\"}");
    expect("POST", "/api/sentinels",
           "{\"clusterType\":\"one_way\",\"sentinels\":[{\"dcId\":1,\"sentinelIp\":\"10.0.0.8\","
           "\"sentinelPort\":5000}]}",
           200, "{\"state\":0,\"message\":\"Successfully create Sentinel\"}");
    expect("PATCH", "/api/sentinels/1", NULL, 200,
           "{\"state\":0,\"message\":\"Successfully reheal Sentinel\"}");
    expect("DELETE", "/api/sentinels/1", NULL, 200,
           "{\"state\":0,\"message\":\"Successfully deleted Sentinel\"}");
    expect("DELETE", "/api/sentinels/1", NULL, 200,
           "{\"state\":0,\"message\":\"Sentinel already deleted\"}");
    expect("GET", "/api/sentinels/active/1", NULL, 200,
           "{\"state\":0,\"message\":\"Sentinel does not exist or deleted\"}");
    expect("PATCH", "/api/sentinels/1", NULL, 200,
           "{\"state\":-1,\"message\":\"sentinel group with id:1 not exist\"}");
}

static void links_and_reports(void **state)
{
    proxies_and_routes(state);
    must("POST", "/api/clusters",
         "{\"clusterName\":\"bi\",\"clusterType\":\"BI_DIRECTION\",\"dcs\":[\"jq\",\"FRA\"],"
         "\"desc\":\"d\","
         "\"organizationId\":8,\"clusterAdminEmails\":\"a@b.c\"}");
    struct reply r CLEANUP(reply_done) =
        call(&f, "GET", "/api/clusters/bi/routes?src=jq&dst=FRA-AWS", NULL);
    assert_non_null(strstr(r.body,
                           "[{\"srcDc\":\"jq\",\"dstDc\":\"FRA\",\"kind\":\"CHOSEN\",\"routeId\":1,"
                           "\"isFallback\":false,"
                           "\"routeInfo\":\"PROXYTCP://2.2.2.2:80 PROXYTLS://4.4.4.4:443\""));
    struct reply none CLEANUP(reply_done) = call(&f, "GET", "/api/clusters/bi/routes", NULL);
    assert_int_equal(none.status, 400);
    struct reply check CLEANUP(reply_done) = call(&f, "GET", "/api/check", NULL);
    assert_non_null(strstr(check.body, "{\"routes\":[{")); /* the way back has no route (R7) */
    struct reply used CLEANUP(reply_done) = call(&f, "DELETE", "/api/dc/FRA", NULL);
    assert_non_null(strstr(used.body, "\"state\":-1"));
    must("DELETE", "/api/dc/oy", NULL);
    expect("GET", "/api/dcids", NULL, 200, "[\"jq\",\"FRA\"]");
}

static void regions_are_refused_by_name(void **state)
{
    (void)state;
    const char *refusal = "{\"state\":-1,\"message\":\"not supported: regions (az groups)\"}";
    expect("POST", "/api/clusters", "{\"clusterName\":\"c\",\"regions\":[{\"region\":\"SHA\"}]}",
           501, refusal);
    expect("PUT", "/api/cluster", "{\"clusterName\":\"c\",\"regions\":[{\"region\":\"SHA\"}]}", 501,
           refusal);
    expect("PUT", "/api/clusters", "[{\"clusterName\":\"c\",\"regions\":[{\"region\":\"SHA\"}]}]",
           501, refusal);
}

static void expect_error(const char *method, const struct http_route *route, enum xp_code code,
                         int compat, int strict)
{
    for (int i = 0; i < 2; i++) {
        struct http_req *req = http_req_new_test(method, "/x", NULL, NULL);
        if (i == 1) {
            http_req_set_header_test(req, "x-xpipe-status", "STRICT");
        }
        struct http_resp resp = { 0 };
        struct xp_err err;
        xp_fail(&err, code, "why");
        envelope_error(req, route, &err, &resp);
        assert_int_equal(resp.status, i == 0 ? compat : strict);
        http_resp_done(&resp);
        http_req_free_test(req);
    }
}

static void statuses_of_all_kinds(void **state)
{
    (void)state;
    const struct http_route *route = api_zone_routes;
    expect_error("POST", route, XP_CONFLICT, 200, 409);
    expect_error("PUT", route, XP_INTERNAL, 200, 500);
    expect_error("DELETE", route, XP_NOT_FOUND, 200, 404);
    expect_error("POST", route, XP_UNAVAILABLE, 503, 503); /* not a refusal of the change */
    expect_error("POST", route, XP_TIMEOUT, 500, 504);
    expect_error("POST", route, XP_TOO_LARGE, 413, 413);
    expect_error("POST", route, XP_FORBIDDEN, 403, 403);
    expect_error("GET", route, XP_NOT_FOUND, 404, 404);
    expect_error("GET", route, XP_INVALID, 400, 400);
    expect_error("GET", route, XP_INTERNAL, 500, 500);
    expect_error("GET", NULL, XP_NOT_FOUND, 404, 404);
    expect_error("PATCH", NULL, XP_UNSUPPORTED, 400, 405);
}

/* tests/golden/console_routes.txt is what --print-routes prints; XPIPE_UPDATE_GOLDEN=1 writes it anew. */
static void route_table_is_as_recorded(void **state)
{
    (void)state;
    struct str now AUTO_STR = STR_INIT(1024 * 1024);
    http_routes_print(api_tables, &now);
    struct str shown AUTO_STR = STR_INIT(1024 * 1024);
    const char *cursor = str_text(&now);
    const char *line;
    size_t length;
    while (text_next_part(&cursor, "\n", &line, &length)) {
        if (!memmem(line, length, "/debug/fault", 12)) { /* only in builds with fault points */
            str_printf(&shown, "%.*s\n", (int)length, line);
        }
    }
    const char *path = "tests/golden/console_routes.txt";
    if (getenv("XPIPE_UPDATE_GOLDEN")) {
        FILE *out = fopen(path, "w");
        assert_non_null(out);
        assert_true(fputs(str_text(&shown), out) >= 0);
        assert_int_equal(fclose(out), 0);
    }
    FILE *in = fopen(path, "r");
    assert_non_null(in);
    char *text AUTO_FREE = xcalloc(1, 256 * 1024);
    assert_true(fread(text, 1, 256 * 1024 - 1, in) > 0);
    (void)fclose(in);
    assert_string_equal(str_text(&shown), text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(zones_and_dcs),
        CASE(cluster_checks_come_in_order),
        CASE(cluster_reads),
        CASE(cluster_changes),
        CASE(shards_and_redises),
        CASE(proxies_and_routes),
        CASE(peers_of_a_crdt_cluster),
        CASE(documents_have_etags),
        CASE(malformed_and_unsupported),
        CASE(strict_statuses),
        CASE(whole_clusters_are_read),
        CASE(roles_and_keepers),
        CASE(sentinel_groups),
        CASE(sentinels_of_shards),
        CASE(sentinel_groups_change_and_go),
        CASE(links_and_reports),
        CASE(regions_are_refused_by_name),
        CASE(statuses_of_all_kinds),
        CASE(route_table_is_as_recorded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
