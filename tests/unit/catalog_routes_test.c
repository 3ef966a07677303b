/* Proxies and routes: the rules R1 to R8 of proxy-and-keeper.md 3.7, designation, effects. */
#include "tests/unit/catalog_fixture.h"

#include "shared/base/str.h"

#include "shared/base/banned.h"

static int64_t add_proxy(struct world *w, const char *uri, const char *dc)
{
    struct proxy_edit edit = { .uri = uri, .dc = dc, .active = TRI_YES };
    OK(w, proxies_create, &edit);
    return w->result.object_id;
}

/* Proxies 1, 2 in jq (tcp, tls) and 3, 4 in FRA. */
static void add_four_proxies(struct world *w)
{
    add_proxy(w, "PROXYTCP://2.2.2.2:80", "jq");
    add_proxy(w, "PROXYTLS://2.2.2.2:443", "jq");
    add_proxy(w, "PROXYTCP://4.4.4.4:80", "FRA");
    assert_int_equal(add_proxy(w, "PROXYTLS://4.4.4.4:443", "FRA-AWS"), 4);
}

static struct route_edit there(void)
{
    return (struct route_edit){ .src_dc = "jq",
                                .dst_dc = "FRA",
                                .src_proxy_ids = "1",
                                .dst_proxy_ids = "4",
                                .tag = "META",
                                .active = TRI_YES,
                                .is_public = TRI_YES };
}

static void proxies_keep_r1(void **state)
{
    struct world *w = *state;
    struct proxy_edit edit = { .uri = "2.2.2.2:80", .dc = "jq" };
    const char *bad[] = { "2.2.2.2:80",         "proxytcp://2.2.2.2:80", "PROXYTCP://2.2.2.2:0",
                          "PROXYTCP://a;b:80",  "PROXYTCP://a b:80",     "PROXYTCP://a:80,b:80",
                          "PROXYTCP://2.2.2.2", "TCP://2.2.2.2:80",      "PROXYTCP://a#b:80" };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        edit.uri = bad[i];
        assert_int_equal(DO(w, proxies_create, &edit), XP_INVALID);
    }
    add_proxy(w, "PROXYTCP://2.2.2.2:80", "jq");
    assert_int_equal(w->result.effects.count, 0);
    edit.uri = "PROXYTCP://2.2.2.2:80";
    FAILS(w, XP_CONFLICT, "proxy PROXYTCP://2.2.2.2:80 already exists with id 1", proxies_create,
          &edit);
    edit = (struct proxy_edit){ .uri = "PROXYTCP://2.2.2.3:80", .dc = "mars" };
    FAILS(w, XP_NOT_FOUND, "dcName mars does not exist", proxies_create, &edit);
    edit.id = 9;
    FAILS(w, XP_NOT_FOUND, "proxy 9 not found", proxies_update, &edit);
    edit.id = 1;
    OK(w, proxies_delete, &edit);
    add_proxy(w, "PROXYTCP://2.2.2.2:80", "jq"); /* the uri is free again */
}

static void routes_keep_r2(void **state)
{
    struct world *w = *state;
    add_four_proxies(w);
    struct route_edit e = there();
    e.dst_dc = "JQ";
    FAILS(w, XP_INVALID, "srcDcName and dstDcName are both jq: they must differ", routes_create,
          &e);
    e.dst_dc = "mars";
    FAILS(w, XP_NOT_FOUND, "dc name: mars not found", routes_create, &e);
    e = there();
    e.src_proxy_ids = "2";
    FAILS(w, XP_INVALID,
          "srcProxyIds: proxy 2 (PROXYTLS://2.2.2.2:443) must be PROXYTCP: Redis takes nothing "
          "else there",
          routes_create, &e);
    e.src_proxy_ids = "3";
    FAILS(w, XP_INVALID, "srcProxyIds: proxy 3 does not stand in dc jq", routes_create, &e);
    e.src_proxy_ids = "7";
    FAILS(w, XP_NOT_FOUND, "srcProxyIds: proxy 7 does not exist", routes_create, &e);
    e.src_proxy_ids = "x";
    FAILS(w, XP_INVALID, "srcProxyIds: 'x' is not a proxy id", routes_create, &e);
    e.src_proxy_ids = "1,1";
    FAILS(w, XP_INVALID, "srcProxyIds: proxy 1 appears twice in the route", routes_create, &e);
    e.src_proxy_ids = "1";
    e.tag = "other";
    FAILS(w, XP_INVALID, "tag other: must be meta or console", routes_create, &e);
    e.tag = "meta";
    e.cluster_type = "odd";
    FAILS(w, XP_INVALID, "unknown cluster type odd", routes_create, &e);
    e.cluster_type = "one_way";
    e.has_org_id = true;
    e.org_id = 99;
    FAILS(w, XP_NOT_FOUND, "Organization Id: 99, could not be found", routes_create, &e);
    e.org_id = 2;
    e.src_proxy_ids = "";
    assert_int_equal(DO(w, routes_create, &e), XP_CONFLICT);
    assert_non_null(strstr(w->err.msg, "would be unusable: the near hop has no active proxy"));
    e.force = true;
    OK(w, routes_create, &e);
    CLEANUP(route_rows_done) struct route_rows rows = { 0 };
    assert_int_equal(routes_list(&w->cat, &(struct route_filter){ 0 }, &rows, &w->err), 0);
    assert_int_equal(rows.count, 1);
    assert_string_equal(rows.items[0].route_info, "");
    assert_string_equal(rows.items[0].problem, "the near hop has no active proxy");
    assert_string_equal(rows.items[0].cluster_type, "ONE_WAY");
}

static void a_route_reads_back_and_updates_partially(void **state)
{
    struct world *w = *state;
    add_four_proxies(w);
    int64_t fifth = add_proxy(w, "PROXYTCP://2.2.2.3:80", "jq");
    struct route_edit e = there();
    e.src_proxy_ids = "5,1";
    OK(w, routes_create, &e);
    ASSERT_EFFECTS(w, "document :jq");
    assert_non_null(strstr(w->result.warning, "FRA -> jq has no usable public route")); /* R7 */
    e = (struct route_edit){ .id = w->result.object_id, .description = "new" };
    OK(w, routes_update, &e);
    assert_int_equal(w->result.effects.count, 0); /* documents do not show a description */
    CLEANUP(route_rows_done) struct route_rows rows = { 0 };
    assert_int_equal(routes_list(&w->cat, &(struct route_filter){ .src_dc = "JQ", .tag = "meta" },
                                 &rows, &w->err),
                     0);
    assert_int_equal(rows.count, 1);
    assert_string_equal(rows.items[0].route_info,
                        "PROXYTCP://2.2.2.3:80,PROXYTCP://2.2.2.2:80 PROXYTLS://4.4.4.4:443");
    assert_int_equal(rows.items[0].src_proxies.items[0], fifth);
    assert_string_equal(rows.items[0].description, "new");
    assert_true(rows.items[0].is_public);
    assert_string_equal(rows.items[0].tag, "META");
    struct proxy_edit off = { .id = fifth, .active = TRI_NO };
    OK(w, proxies_update, &off); /* not the last of its hop */
    ASSERT_EFFECTS(w, "document :jq");
}

static void no_change_strands_clusters_without_force(void **state)
{
    struct world *w = *state;
    add_four_proxies(w);
    struct route_edit e = there();
    OK(w, routes_create, &e);
    add_cluster(w, "bi", "bi_direction", "jq,FRA");
    add_shard(w, "bi", "s1", "jq", "1.1.1.1:1");
    struct proxy_edit off = { .id = 4, .active = TRI_NO };
    assert_int_equal(DO(w, proxies_update, &off), XP_CONFLICT); /* R3 */
    assert_non_null(strstr(
        w->err.msg, "route 1 (jq -> FRA) would be unusable: the far hop has no active proxy"));
    off = (struct proxy_edit){ .id = 4, .uri = "PROXYTLS://4.4.4.4:443", .dc = "jq" };
    assert_int_equal(DO(w, proxies_update, &off), XP_INVALID); /* R2 holds for whoever changes it */
    FAILS(w, XP_CONFLICT,
          "proxy 4 (PROXYTLS://4.4.4.4:443) is used by route 1: take it out of the route first",
          proxies_delete, &off);
    struct route_edit gone = { .id = 1 };
    FAILS(w, XP_CONFLICT,
          "1 clusters would be left without a usable route (such as bi): add another route first "
          "or use force",
          routes_delete, &gone); /* R6 */
    struct route_edit quiet = { .id = 1, .is_public = TRI_NO };
    assert_int_equal(DO(w, routes_update, &quiet), XP_CONFLICT);
    gone.force = true;
    w->ctx.dry_run = true; /* R8 */
    OK(w, routes_delete, &gone);
    assert_int_equal(w->result.impact.stranded_clusters, 1);
    w->ctx.dry_run = false;
    int64_t other = add_proxy(w, "PROXYTLS://4.4.4.5:443", "FRA");
    AUTO_FREE char *ids = xasprintf("%d", (int)other);
    struct route_edit moved = { .id = 1, .dst_proxy_ids = ids };
    OK(w, routes_update, &moved);
    assert_int_equal(w->result.impact.reconnect_clusters, 1);
    assert_int_equal(w->result.impact.reconnect_shards, 1);
    OK(w, routes_delete, &gone);
    gone.id = 9;
    FAILS(w, XP_NOT_FOUND, "route 9 not found", routes_delete, &gone);
}

/* As the metaservers do, who have it in their documents: another route, or the links are left as they are; never "directly". */
static void an_unusable_route_is_no_missing_route(void **state)
{
    struct world *w = *state;
    add_four_proxies(w);
    struct route_edit e = there();
    e.dst_proxy_ids = "";
    e.force = true;
    OK(w, routes_create, &e);
    ASSERT_EFFECTS(w, "document :jq");
    add_cluster(w, "bi", "bi_direction", "jq,FRA");
    struct cluster_src src = { "bi", "jq" };
    CLEANUP(route_choice_rows_done) struct route_choice_rows choices = { 0 };
    assert_int_equal(routes_of_cluster(&w->cat, &src, &choices, &w->err), 0);
    assert_int_equal(choices.items[0].choice.kind, ROUTE_UNUSABLE);
    route_choice_rows_done(&choices);

    struct route_edit good = there();
    OK(w, routes_create, &good);
    assert_int_equal(w->result.impact.reconnect_clusters, 1);
    assert_int_equal(routes_of_cluster(&w->cat, &src, &choices, &w->err), 0);
    assert_int_equal(choices.items[0].choice.kind, ROUTE_CHOSEN);
    assert_int_equal(choices.items[0].choice.route_id, 2);
    struct route_edit off = { .id = 2, .active = TRI_NO };
    FAILS(w, XP_CONFLICT,
          "1 clusters would be left without a usable route (such as bi): add another route first "
          "or use force",
          routes_update, &off);
    off.force = true;
    OK(w, routes_update, &off);
    struct route_edit gone = { .id = 1 }; /* they would go directly */
    assert_int_equal(DO(w, routes_delete, &gone), XP_CONFLICT);
    gone.force = true;
    OK(w, routes_delete, &gone);
    assert_int_equal(w->result.impact.stranded_clusters, 1);
    ASSERT_EFFECTS(w, "document :jq");
}

static void designated_routes(void **state)
{
    struct world *w = *state;
    add_four_proxies(w);
    struct route_edit e = there();
    e.is_public = TRI_NO;
    OK(w, routes_create, &e);
    add_cluster(w, "bi", "bi_direction", "jq,FRA");
    struct cluster_src src = { "bi", "jq" };
    CLEANUP(route_choice_rows_done) struct route_choice_rows choices = { 0 };
    assert_int_equal(routes_of_cluster(&w->cat, &src, &choices, &w->err), 0);
    assert_int_equal(choices.count, 1);
    assert_int_equal(choices.items[0].choice.kind, ROUTE_DIRECT);
    route_choice_rows_done(&choices);

    int64_t ids[] = { 1 };
    struct designated_edit edit = { src, ids, 1 };
    OK(w, designated_routes_set, &edit);
    ASSERT_EFFECTS(w, "changed bi:jq,FRA");
    OK(w, designated_routes_set, &edit);
    assert_true(w->result.is_noop);
    assert_int_equal(routes_of_cluster(&w->cat, &src, &choices, &w->err), 0);
    assert_int_equal(choices.items[0].choice.kind, ROUTE_CHOSEN);
    assert_int_equal(choices.items[0].choice.route_id, 1);
    CLEANUP(route_rows_done) struct route_rows rows = { 0 };
    assert_int_equal(designated_routes_get(&w->cat, &src, &rows, &w->err), 0);
    assert_int_equal(rows.count, 1);
    ids[0] = 9;
    FAILS(w, XP_NOT_FOUND, "route 9 not found", designated_routes_set, &edit);
    edit.of.src_dc = "FRA";
    ids[0] = 1;
    FAILS(w, XP_INVALID, "route 1 starts in dc jq, not in FRA", designated_routes_set, &edit);
}

static void the_check_names_what_is_wrong(void **state)
{
    struct world *w = *state;
    add_four_proxies(w);
    struct route_edit e = there();
    OK(w, routes_create, &e);
    e = (struct route_edit){ .src_dc = "oy", .dst_dc = "jq", .active = TRI_YES, .force = true };
    OK(w, routes_create, &e);
    CLEANUP(route_problems_done) struct route_problems problems = { 0 };
    assert_int_equal(routes_check(&w->cat, &problems, &w->err), 0);
    assert_int_equal(problems.count, 2);
    assert_string_equal(problems.items[0].text, "no usable public route FRA -> jq");
    assert_string_equal(problems.items[1].text, "unusable: the near hop has no active proxy");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_open, world_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(proxies_keep_r1),
        TEST(routes_keep_r2),
        TEST(a_route_reads_back_and_updates_partially),
        TEST(no_change_strands_clusters_without_force),
        TEST(an_unusable_route_is_no_missing_route),
        TEST(designated_routes),
        TEST(the_check_names_what_is_wrong),
    };
    return cmocka_run_group_tests_name("catalog_routes", tests, NULL, NULL);
}
