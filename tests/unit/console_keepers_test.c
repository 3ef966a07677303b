/* Zones, keeper containers, keepers and pages of a shard over the existing REST face: bodies, texts, statuses. */
#include "tests/unit/console_calls.h"

#include "shared/base/banned.h"

#define SAY(text) "{\"state\":0,\"message\":\"" text "\"}"

static void container(const char *dc, const char *ip, const char *more)
{
    char *body AUTO_FREE = xasprintf("{\"dcName\":\"%s\",\"keepercontainerIp\":\"%s\","
                                     "\"keepercontainerPort\":8080,\"active\":true%s}",
                                     dc, ip, more);
    expect("POST", "/api/keepercontainer", body, 200, SAY("Add KeeperContainer successfully"));
}

static void zones_and_containers(void **state)
{
    (void)state;
    base_data();
    must("POST", "/api/az", "{\"dcName\":\"jq\",\"azName\":\"az1\"}");
    must("PUT", "/api/az", "{\"dcName\":\"jq\",\"azName\":\"az1\",\"description\":\"d\"}");
    fails("POST", "/api/az", "{\"dcName\":\"jq\"}", "azName empty");
    const char *azs = "[{\"dcName\":\"jq\",\"azName\":\"az1\",\"active\":true,"
                      "\"description\":\"d\"}]";
    expect("GET", "/api/az/jq", NULL, 200, azs);
    expect("GET", "/api/az/all", NULL, 200, azs);
    expect("GET", "/api/az/oy", NULL, 200, "[]");
    container("jq", "10.0.0.11", ",\"keepercontainerOrgId\":8,\"azName\":\"az1\",\"tag\":\"t\"");
    expect("GET", "/api/keepercontainer/jq", NULL, 200,
           "[{\"dcName\":\"jq\",\"keepercontainerIp\":\"10.0.0.11\",\"keepercontainerPort\":8080,"
           "\"keepercontainerOrgId\":8,\"orgName\":\"cache\",\"tag\":\"t\",\"active\":true,"
           "\"azName\":\"az1\",\"diskType\":\"DEFAULT\",\"logicalBuId\":null,\"keeperCount\":0,"
           "\"unhealthy\":false}]");
    expect("GET", "/api/keepercontainer/xx", NULL, 200, "[]");
    struct reply all CLEANUP(reply_done) = call(&f, "GET", "/api/keeper_container/all", NULL);
    assert_non_null(strstr(all.body, "[{\"keepercontainerId\":1,\"keepercontainerDc\":1,\"azId\":1,"
                                     "\"keepercontainerIp\":\"10.0.0.11\""));
    fails("DELETE", "/api/az/az1", NULL, "This az az1 is not empty, can not be deleted");
    expect(
        "PUT", "/api/keepercontainer",
        "{\"keepercontainerIp\":\"10.0.0.11\",\"keepercontainerPort\":8080}", 200,
        "{\"state\":0,\"message\":\"success\",\"warning\":\"active was not sent: keeper container "
        "10.0.0.11:8080 is inactive now\"}");
    must("DELETE", "/api/az/az1", NULL);
    fails("DELETE", "/api/keepercontainer/10.0.0.12/8080", NULL, "Cannot find keepercontainer");
    fails("DELETE", "/api/keepercontainer/10.0.0.11/0", NULL, "Cannot find keepercontainer");
    must("DELETE", "/api/keepercontainer/10.0.0.11/8080", NULL);
}

#define S1 "/api/keepers/FRA-AWS/demo/s1"

static void keepers_are_chosen(void **state)
{
    (void)state;
    base_data();
    must("POST", "/api/clusters",
         "{\"clusterName\":\"demo\",\"dcs\":[\"FRA-AWS\",\"oy\"],\"desc\":\"d\","
         "\"organizationId\":8,\"clusterAdminEmails\":\"a@b.c\"}");
    container("FRA", "10.0.0.11", "");
    const char *redises = "[{\"dcId\":\"FRA-AWS\",\"redises\":\"10.0.1.1:6379\"}]";
    fails("POST", "/api/shards/demo/s1", redises, "Organization keepers size:1, but we need:2");
    container("FRA", "10.0.0.12", "");
    expect("POST", "/api/shards/demo/s1", redises, 200, SAY("Successfully created shard"));
    expect("GET", S1, NULL, 200, "[\"10.0.0.11:6380\",\"10.0.0.12:6380\"]");
    expect("POST", S1, NULL, 200, SAY("alread has keepers:[10.0.0.11:6380, 10.0.0.12:6380]"));
    expect("DELETE", S1, NULL, 200, SAY("deleted:[10.0.0.11:6380, 10.0.0.12:6380]"));
    expect("DELETE", S1, NULL, 200, SAY("success, but already no keepers"));
    expect("POST", S1, NULL, 200,
           SAY("insert success:[[10.0.0.11:6380, keeperContainerId:1], [10.0.0.12:6380, "
               "keeperContainerId:2]]"));
    expect("POST", "/api/keepers/check", "{\"host\":\"10.0.0.11\",\"port\":6380}", 200,
           "{\"state\":0,\"message\":null,\"payload\":true}");
    fails("POST", "/api/keepers/jq/none/s1", NULL, "not found cluster none");
    expect("DELETE", "/api/keepers/jq/none/s1", NULL, 500,
           "{\"message\":\"unfound cluster none\",\"exception\":\"NOT_FOUND\"}");
    must("POST", "/api/clusters",
         "{\"clusterName\":\"bi\",\"clusterType\":\"BI_DIRECTION\",\"dcs\":[\"jq\",\"FRA\"],"
         "\"desc\":\"d\",\"organizationId\":8,\"clusterAdminEmails\":\"a@b.c\"}");
    fails("POST", "/api/keepers/jq/bi/s1", NULL, "cluster bi not support keepers");
    expect("DELETE", "/api/keepers/jq/bi/s1", NULL, 400,
           "{\"message\":\"unsupported cluster type\",\"exception\":\"INVALID\"}");
}

#define REPORT "/api/dc/FRA/cluster/demo/shard/s1/keepers/adjustment"

static void reports_are_always_answered_alike(void **state)
{
    keepers_are_chosen(state);
    struct reply before CLEANUP(reply_done) = call(&f, "GET", "/api/dc/FRA", NULL);
    assert_null(strstr(before.body, "\"active\":true,\"keeperContainerId\""));
    expect("PUT", REPORT,
           "{\"ip\":\"10.0.0.12\",\"port\":6380,\"active\":true,\"keeperContainerId\":2}", 200, "");
    struct reply after CLEANUP(reply_done) = call(&f, "GET", "/api/dc/FRA", NULL);
    assert_non_null(strstr(after.body, "\"ip\":\"10.0.0.11\",\"port\":6380,\"master\":null,"
                                       "\"active\":false,\"keeperContainerId\":1,\"priority\":1"));
    assert_non_null(strstr(after.body, "\"ip\":\"10.0.0.12\",\"port\":6380,\"master\":null,"
                                       "\"active\":true,\"keeperContainerId\":2,\"priority\":1"));
    assert_non_null(strstr(after.body, "\"keeperContainers\":[{\"id\":1,\"ip\":\"10.0.0.11\""));
    assert_string_not_equal(before.etag, after.etag);
    static const char *const bodies[] = { NULL,
                                          "null",
                                          "[]",
                                          "nonsense",
                                          "{}",
                                          "{\"ip\":7}",
                                          "{\"ip\":\"10.9.9.9\",\"port\":-1}",
                                          "{\"keeperContainerId\":99}" };
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        expect("PUT", REPORT, bodies[i], 200, "");
    }
    struct reply same CLEANUP(reply_done) = call(&f, "GET", "/api/dc/FRA", NULL);
    assert_string_equal(same.etag, after.etag); /* nothing of it was stored */
}

#define PAGE "/console/clusters/demo/dcs/FRA/shards/s1"

static void pages_of_a_shard(void **state)
{
    keepers_are_chosen(state);
    struct reply page CLEANUP(reply_done) = call(&f, "GET", PAGE, NULL);
    assert_non_null(
        strstr(page.body, "{\"shardTbl\":{\"id\":1,\"shardName\":\"s1\",\"clusterId\":1,"));
    assert_non_null(strstr(page.body,
                           "\"redisIp\":\"10.0.0.11\",\"redisPort\":6380,\"redisRole\":\"keeper\","
                           "\"keeperActive\":false,\"master\":false,\"keepercontainerId\":1,"));
    assert_non_null(strstr(page.body, "\"appliers\":[],\"sentinels\":{}}"));
    expect("POST", PAGE, page.body, 200, ""); /* what was read can be written back */
    struct reply same CLEANUP(reply_done) = call(&f, "GET", PAGE, NULL);
    assert_string_equal(same.body, page.body);
    expect("POST", PAGE,
           "{\"keepers\":[{\"redisIp\":\"10.0.0.11\",\"redisPort\":6380,\"keepercontainerId\":1}]}",
           500,
           "{\"message\":\"Keepers' size must be 0 or at least 2\",\"exception\":\"INVALID\"}");
    expect("POST", PAGE, "{\"redises\":[{\"redisIp\":\"10.0.1.7\",\"redisPort\":0}]}", 500,
           "{\"message\":\"invalid socket address:10.0.1.7:0\",\"exception\":\"INVALID\"}");
    expect("POST", PAGE,
           "{\"keepers\":[],\"redises\":[{\"redisIp\":\"10.0.1.7\",\"redisPort\":6379,"
           "\"master\":true}]}",
           200, "");
    expect("GET", S1, NULL, 200, "[]");
    expect("GET", "/api/redises/FRA/demo/s1", NULL, 200, "[\"10.0.1.7:6379\"]");
    expect("POST", "/console/dcs/FRA/availablekeepers", NULL, 200,
           "[{\"redisIp\":\"10.0.0.11\",\"redisPort\":6380,\"redisRole\":\"keeper\","
           "\"keeperActive\":false,"
           "\"keepercontainerId\":1,\"keeperPriority\":1},{\"redisIp\":\"10.0.0.12\",\"redisPort\":"
           "6380,"
           "\"redisRole\":\"keeper\",\"keeperActive\":false,\"keepercontainerId\":2,"
           "\"keeperPriority\":1}]");
    expect("POST", "/console/dcs/oy/availablekeepers", NULL, 200, "[]");
    expect("POST", "/console/dcs/xx/availablekeepers", NULL, 500,
           "{\"message\":\"DC name does not exist\",\"exception\":\"NOT_FOUND\"}");
    struct reply pool CLEANUP(reply_done) =
        call(&f, "GET", "/console/dcs/FRA/cluster/demo/activekeepercontainers", NULL);
    assert_non_null(strstr(pool.body,
                           "[{\"keepercontainerId\":1,\"keepercontainerIp\":\"10.0.0.11\","
                           "\"keepercontainerPort\":8080,\"count\":0,"));
    struct reply none CLEANUP(reply_done) =
        call(&f, "GET", "/console/clusters/demo/dcs/FRA/shards/x", NULL);
    assert_int_equal(none.status, 404);
}

#define AZ(dc, addr, az)                                                                           \
    "{\"dcId\":\"" dc "\",\"ip\":\"" addr "\",\"port\":6379,\"azName\":\"" az "\"}"
#define AZS "/api/shards/demo/s1/redis/az"

static void zones_of_redises(void **state)
{
    keepers_are_chosen(state);
    must("POST", "/api/az", "{\"dcName\":\"FRA\",\"azName\":\"az1\"}");
    must("POST", "/api/az", "{\"dcName\":\"oy\",\"azName\":\"az2\"}");
    expect("PUT", AZS, "[" AZ("FRA-AWS", "10.0.1.1", "az1") "]", 200, SAY("updated 1 redises"));
    expect("PUT", AZS, "[" AZ("FRA-AWS", "10.0.1.1", "az1") "]", 200, SAY("updated 0 redises"));
    struct reply r CLEANUP(reply_done) = call(&f, "GET", "/api/dc/FRA/cluster/demo", NULL);
    assert_non_null(strstr(r.body, "\"az\":\"az1\""));
    fails("DELETE", "/api/az/az1", NULL, "This az az1 is not empty, can not be deleted");
    fails("PUT", AZS, "[]", "request body is empty");
    fails("PUT", AZS, "[" AZ("FRA", "10.0.1.1", "az2") "]", "available zone az2 is not exist");
    fails("PUT", AZS, "[" AZ("FRA", "10.0.1.1", "") "," AZ("FRA", "10.0.9.9", "az1") "]",
          "redis 10.0.9.9:6379 is not in shard s1 of cluster demo in dc FRA");
    fails("DELETE", "/api/az/az1", NULL, "This az az1 is not empty, can not be deleted");
    expect("PUT", AZS, "[" AZ("FRA", "10.0.1.1", "") "]", 200, SAY("updated 1 redises"));
    must("DELETE", "/api/az/az1", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(zones_and_containers),
        CASE(keepers_are_chosen),
        CASE(reports_are_always_answered_alike),
        CASE(pages_of_a_shard),
        CASE(zones_of_redises),
    };
    return cmocka_run_group_tests_name("console_keepers", tests, NULL, NULL);
}
