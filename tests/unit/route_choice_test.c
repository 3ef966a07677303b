/* route_choice_test.c - the choice of a route and its index: vectors of metaserver.md 11.2, console-api.md 3.8.4 and
 * proxy-and-keeper.md 3.5, then the rules one by one. */
#include "tests/unit/unit.h"

#include <string.h>

#include "shared/base/mem.h"
#include "shared/proxy/route.h"

#include "shared/base/banned.h"

static void index_vectors(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int64_t crc; /* as signed 32 bits */
    } rows[] = {
        { "cluster1", 1952152963 },
        { "cluster2", -313381831 },
        { "cluster_shard", -296350650 },
        { "xpipe_function", -871816035 },
        { "test-cluster", -672060495 },
        { "\xe9\x9b\x86\xe7\xbe\xa4", -381864211 },
        { "a", -390611389 },
        { "bi_cluster1", -228614686 },
        { "credis_demo", -863678427 },
        { "order-service", -107829900 },
        { "BBZ_test", 862170162 },
        { "cluster_shyin", -1249846262 },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t magnitude = rows[i].crc < 0 ? -rows[i].crc : rows[i].crc;
        for (size_t count = 1; count <= 7; count++) {
            assert_int_equal(route_index(rows[i].name, count), (size_t)magnitude % count);
        }
        assert_int_equal(route_index(rows[i].name, (size_t)1 << 40), magnitude);
    }
}

static void index_tables(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t of_2, of_3, of_5;
    } rows[] = {
        { "cluster1", 1, 1, 3 },
        { "cluster2", 1, 1, 1 },
        { "cluster_shard", 0, 0, 0 },
        { "xpipe_function", 1, 0, 0 },
        { "test-cluster", 1, 0, 0 },
        { "\xe9\x9b\x86\xe7\xbe\xa4", 1, 1, 1 },
        { "a", 1, 1, 4 },
        { "bi_cluster1", 0, 1, 1 },
        { "credis_demo", 1, 0, 2 },
        { "order-service", 0, 0, 0 },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_int_equal(route_index(rows[i].name, 2), rows[i].of_2);
        assert_int_equal(route_index(rows[i].name, 3), rows[i].of_3);
        assert_int_equal(route_index(rows[i].name, 5), rows[i].of_5);
    }
    assert_int_equal(route_index("BBZ_test", 3), 0);
    assert_int_equal(route_index("cluster_shyin", 3), 2);
}

static char tag_meta[] = "meta";
static char jq[] = "jq";
static char oy[] = "oy";
static char any_type[] = "";
static char bi_type[] = "BI_DIRECTION";
static char one_way_type[] = "ONE_WAY";
static char info_text[] = "PROXYTCP://1.1.1.1:80 PROXYTLS://2.2.2.2:443";
static char tls_text[] = "PROXYTLS://2.2.2.2:443";
static char no_text[] = "";

static struct route_meta route_of(int64_t id)
{
    return (struct route_meta){ .id = id,
                                .tag = tag_meta,
                                .src_dc = jq,
                                .dst_dc = oy,
                                .cluster_type = any_type,
                                .is_public = true,
                                .route_info = info_text };
}

static struct route_query query_of(const char *name)
{
    return (struct route_query){ .cluster_name = name,
                                 .type = CLUSTER_BI_DIRECTION,
                                 .src_dc = "jq",
                                 .dst_dc = "oy",
                                 .tag = "meta" };
}

static struct route_choice choose(const struct route_query *query, const struct route_meta *routes,
                                  size_t count)
{
    struct route_choice choice;
    route_choose(query, routes, count, &choice);
    assert_true(choice.reason[0] != '\0');
    return choice;
}

static void no_route_means_direct(void **state)
{
    (void)state;
    struct route_query query = query_of("cluster1");
    struct route_choice choice = choose(&query, NULL, 0);
    assert_int_equal(choice.kind, ROUTE_DIRECT);
    assert_int_equal(choice.route_id, 0);
    static char other_dc[] = "fra";
    static char console_tag[] = "console";
    struct route_meta routes[3] = { route_of(1), route_of(2), route_of(3) };
    routes[0].src_dc = other_dc;
    routes[1].dst_dc = other_dc;
    routes[2].tag = console_tag;
    assert_int_equal(choose(&query, routes, 3).kind, ROUTE_DIRECT);
}

static void letter_case_of_tag_and_dcs_does_not_count(void **state)
{
    (void)state;
    static char upper_tag[] = "META";
    static char upper_dc[] = "OY";
    struct route_meta route = route_of(4);
    route.tag = upper_tag;
    route.dst_dc = upper_dc;
    struct route_query query = query_of("cluster1");
    struct route_choice choice = choose(&query, &route, 1);
    assert_int_equal(choice.kind, ROUTE_CHOSEN);
    assert_int_equal(choice.route_id, 4);
    assert_int_equal(choice.route.hop_count, 2);
    assert_false(choice.is_fallback);
}

static void the_index_picks_in_the_order_sent(void **state)
{
    (void)state;
    struct route_meta routes[5] = { route_of(50), route_of(40), route_of(30), route_of(20),
                                    route_of(10) };
    struct route_query query = query_of("cluster1");
    assert_int_equal(choose(&query, routes, 5).route_id, 20); /* index 3 */
    assert_int_equal(choose(&query, routes, 3).route_id, 40); /* index 1 */
    query = query_of("a");
    assert_int_equal(choose(&query, routes, 5).route_id, 10); /* index 4 */
}

static void designated_routes_win_public_or_not(void **state)
{
    (void)state;
    struct route_meta routes[3] = { route_of(1), route_of(2), route_of(3) };
    routes[2].is_public = false;
    routes[2].org_id = 99;
    routes[2].cluster_type = one_way_type;
    static const int64_t ids[] = { 3, 77 };
    struct route_query query = query_of("cluster1");
    query.designated_ids = ids;
    query.designated_count = ARRAY_LEN(ids);
    assert_int_equal(choose(&query, routes, 3).route_id, 3);
    static const int64_t unknown[] = { 77 }; /* not among the candidates: as if not designated */
    query.designated_ids = unknown;
    query.designated_count = 1;
    assert_int_equal(choose(&query, routes, 3).route_id, 2);
}

static void routes_of_the_type_come_before_general_ones(void **state)
{
    (void)state;
    static char lower_type[] = "bi_direction";
    struct route_meta routes[3] = { route_of(1), route_of(2), route_of(3) };
    routes[1].cluster_type = lower_type;
    routes[2].cluster_type = one_way_type;
    struct route_query query = query_of("cluster1");
    assert_int_equal(choose(&query, routes, 3).route_id, 2);
    query.type = CLUSTER_ONE_WAY;
    assert_int_equal(choose(&query, routes, 3).route_id, 3);
    query.type = CLUSTER_LOCAL_DC;
    assert_int_equal(choose(&query, routes, 3).route_id, 1);
    routes[0].is_public = false;
    assert_int_equal(choose(&query, routes, 3).kind, ROUTE_DIRECT);
}

static void a_null_type_is_any_type(void **state)
{
    (void)state;
    struct route_meta route = route_of(1);
    route.cluster_type = NULL;
    struct route_query query = query_of("cluster1");
    assert_int_equal(choose(&query, &route, 1).route_id, 1);
}

static void routes_of_the_organization_come_before_general_ones(void **state)
{
    (void)state;
    struct route_meta routes[3] = { route_of(1), route_of(2), route_of(3) };
    routes[0].org_id = -1;
    routes[1].org_id = 7;
    routes[2].org_id = 8;
    struct route_query query = query_of("cluster1");
    query.org_id = 7;
    assert_int_equal(choose(&query, routes, 3).route_id, 2);
    query.org_id = 9;
    assert_int_equal(choose(&query, routes, 3).route_id, 1);
    query.org_id = 0;
    assert_int_equal(choose(&query, routes, 3).route_id, 1);
    routes[0].org_id = 10;
    assert_int_equal(choose(&query, routes, 3).kind, ROUTE_DIRECT);
}

static void there_is_no_way_back_to_general_types(void **state)
{
    (void)state;
    struct route_meta routes[2] = { route_of(1), route_of(2) };
    routes[0].cluster_type = bi_type;
    routes[0].org_id = 5;
    struct route_query query = query_of("cluster1");
    assert_int_equal(choose(&query, routes, 2).kind, ROUTE_DIRECT);
}

static void an_unusable_choice_goes_to_the_next_one(void **state)
{
    (void)state;
    struct route_meta routes[3] = { route_of(1), route_of(2), route_of(3) };
    struct route_query query = query_of("cluster1"); /* index 1 of 3 */
    routes[1].route_info = no_text;
    struct route_choice choice = choose(&query, routes, 3);
    assert_int_equal(choice.kind, ROUTE_CHOSEN);
    assert_int_equal(choice.route_id, 3);
    assert_true(choice.is_fallback);
    assert_non_null(strstr(choice.reason, "route 2 is unusable"));
    routes[2].route_info = NULL;
    assert_int_equal(choose(&query, routes, 3).route_id, 1); /* cyclic */
    routes[0].route_info = tls_text;
    choice = choose(&query, routes, 3);
    assert_int_equal(choice.kind, ROUTE_UNUSABLE);
    assert_int_equal(choice.route_id, 2);
    assert_false(choice.is_fallback);
}

static void only_redis_needs_a_clear_first_hop(void **state)
{
    (void)state;
    struct route_meta route = route_of(1);
    route.route_info = tls_text;
    struct route_query query = query_of("cluster1");
    assert_int_equal(choose(&query, &route, 1).kind, ROUTE_UNUSABLE);
    query.type = CLUSTER_ONE_WAY;
    assert_int_equal(choose(&query, &route, 1).kind, ROUTE_CHOSEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(index_vectors),
        cmocka_unit_test(index_tables),
        cmocka_unit_test(no_route_means_direct),
        cmocka_unit_test(letter_case_of_tag_and_dcs_does_not_count),
        cmocka_unit_test(the_index_picks_in_the_order_sent),
        cmocka_unit_test(designated_routes_win_public_or_not),
        cmocka_unit_test(routes_of_the_type_come_before_general_ones),
        cmocka_unit_test(a_null_type_is_any_type),
        cmocka_unit_test(routes_of_the_organization_come_before_general_ones),
        cmocka_unit_test(there_is_no_way_back_to_general_types),
        cmocka_unit_test(an_unusable_choice_goes_to_the_next_one),
        cmocka_unit_test(only_redis_needs_a_clear_first_hop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
