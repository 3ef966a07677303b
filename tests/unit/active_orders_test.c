/* active_orders_test.c - the active DC that a switchover ordered, against documents and pushes that know it and that do not. */
#include <stdio.h>

#include "meta/dcmeta/active_orders.h"
#include "meta/dcmeta/dc_store.h"
#include "shared/base/log.h"
#include "tests/unit/dc_fixture.h"
#include "tests/unit/unit.h"

#include "shared/base/banned.h"

#define ORDER_HOLD_MS 1000

static struct cluster_meta *one_way(const char *active, const char *status, int64_t version)
{
    AUTO_FREE char *text = xasprintf(
        "{\"id\":\"c\",\"dbId\":7,\"version\":%lld,\"type\":\"ONE_WAY\",\"activeDc\":\"%s\","
        "\"backupDcs\":\"%s,oy\",\"status\":\"%s\",\"clusterDesignatedRouteIds\":\"3\",\"orgId\":4,"
        "\"shards\":{\"s1\":{\"id\":\"s1\",\"dbId\":70,\"sentinelId\":5,\"redises\":[{\"ip\":"
        "\"10.0.1.1\",\"port\":6379}]}}}",
        (long long)version, active, strcmp(active, "jq") == 0 ? "fra" : "jq", status);
    json_t *json = json_loads(text, 0, NULL);
    struct cluster_meta *cluster = NULL;
    xp_check(cluster_meta_from_json(json, &cluster, NULL) == 0);
    json_decref(json);
    return cluster;
}

struct seen {
    int changes;
    int routes;
};

static void on_cluster(const struct cluster_meta *before, struct cluster_meta *after, void *arg)
{
    (void)before;
    (void)after;
    ((struct seen *)arg)->changes++;
}

static void on_routes(void *arg)
{
    ((struct seen *)arg)->routes++;
}

static const char *active(struct dc_store *store)
{
    return dc_store_cluster(store, "c")->active_dc;
}

static struct dc_store *store_with(struct seen *seen, struct cluster_meta *take)
{
    struct dc_listener listener = { .on_cluster = on_cluster, .on_routes = on_routes, .arg = seen };
    struct dc_store *store = dc_store_new("jq", ORDER_HOLD_MS, &listener);
    struct xp_err err;
    assert_int_equal(dc_store_put(store, take, 1, &err), 0);
    return store;
}

static void put(struct dc_store *store, struct cluster_meta *take)
{
    struct xp_err err = { 0 };
    assert_int_equal(dc_store_put(store, take, 2, &err), 0);
}

static void document(struct dc_store *store, struct cluster_meta *take, int64_t version)
{
    struct dc_meta *before = dc_store_snapshot(store);
    struct dc_meta after = { .id = before->id, .version = version };
    struct cluster_meta *items[] = { take };
    after.clusters.items = items;
    after.clusters.count = 1;
    struct dc_diff diff;
    struct brake_verdict verdict = { 0 };
    struct xp_err err = { 0 };
    dc_diff_make(before, &after, "jq", &diff);
    assert_int_equal(dc_store_apply(store, dc_store_seq(store), &after, &diff, &verdict, 1, &err),
                     0);
    dc_diff_done(&diff);
    dc_meta_free(before);
    cluster_meta_unref(take);
}

static void an_order_changes_one_thing(void **state)
{
    (void)state;
    struct seen seen = { 0 };
    struct dc_store *store = store_with(&seen, one_way("jq", "Migrating", 5));
    struct cluster_meta *before = cluster_meta_ref(dc_store_cluster(store, "c"));
    uint64_t seq = dc_store_seq(store);
    struct xp_err err = { 0 };
    assert_int_equal(dc_store_set_active(store, 7, "nowhere", 3, &err), XP_INVALID);
    assert_int_equal(dc_store_set_active(store, 8, "fra", 3, &err), XP_NOT_FOUND);
    assert_int_equal(seen.changes, 1);
    assert_int_equal(dc_store_set_active(store, 7, "fra", 3, &err), 0);
    assert_int_equal(seen.changes, 2);
    assert_true(dc_store_seq(store) > seq); /* a document whose fetch began before is dropped */
    struct cluster_meta *now = dc_store_cluster(store, "c");
    assert_string_equal(now->active_dc, "fra");
    assert_true(names_has(&now->backup_dcs, "jq") && names_has(&now->backup_dcs, "oy"));
    assert_false(names_has(&now->backup_dcs, "fra"));
    assert_int_equal(now->version, 5);
    assert_true(now->is_migrating);
    assert_int_equal(dc_store_set_active(store, 7, "jq", 3, &err), 0);
    assert_true(cluster_meta_eq(before, dc_store_cluster(store, "c"))); /* nothing else was lost */
    cluster_meta_unref(before);
    dc_store_free(store);
}

static void put_at(struct dc_store *store, struct cluster_meta *take, mono_ms now)
{
    struct xp_err err = { 0 };
    assert_int_equal(dc_store_put(store, take, now, &err), 0);
}

static void news_from_before_the_lock(void **state)
{
    (void)state;
    struct seen seen = { 0 };
    struct xp_err err = { 0 };
    struct dc_store *store = store_with(&seen, one_way("jq", "Normal", 5));
    assert_int_equal(dc_store_set_active(store, 7, "fra", 3, &err), 0);
    assert_false(dc_store_wants_again(store));
    put_at(store, one_way("jq", "Normal", 6), 4); /* an active keeper was reported */
    assert_string_equal(active(store), "fra");
    assert_true(dc_store_wants_again(store));
    assert_int_equal(dc_store_set_active(store, 7, "fra", 5, &err), 0); /* the next shard */
    put_at(store, one_way("jq", "Lock", 7), 6);
    assert_string_equal(active(store), "fra");
    assert_false(dc_store_wants_again(store));
    put_at(store, one_way("jq", "Normal", 8), 7); /* it was rolled back */
    assert_string_equal(active(store), "jq");
    dc_store_free(store);
}

static void nobody_tells_of_the_migration(void **state)
{
    (void)state;
    struct seen seen = { 0 };
    struct xp_err err = { 0 };
    struct dc_store *store = store_with(&seen, one_way("jq", "Normal", 5));
    assert_int_equal(dc_store_set_active(store, 7, "fra", 3, &err), 0);
    put_at(store, one_way("jq", "Normal", 6), 2 + ORDER_HOLD_MS);
    assert_string_equal(active(store), "fra");
    put_at(store, one_way("jq", "Normal", 6), 3 + ORDER_HOLD_MS);
    assert_string_equal(active(store), "jq");
    assert_false(dc_store_wants_again(store));
    assert_int_equal(dc_store_set_active(store, 7, "fra", 3, &err), 0);
    put_at(store, one_way("fra", "Normal", 8), 5);
    put_at(store, one_way("jq", "Normal", 9), 6); /* the order was confirmed, and is over */
    assert_string_equal(active(store), "jq");
    dc_store_free(store);
}

static void documents_that_do_not_know_of_it(void **state)
{
    (void)state;
    struct seen seen = { 0 };
    struct xp_err err = { 0 };
    struct dc_store *store = store_with(&seen, one_way("jq", "Normal", 5));
    assert_int_equal(dc_store_set_active(store, 7, "fra", 3, &err), 0);
    document(store, one_way("jq", "Normal", 5), 9); /* changed for others: this one is as it was */
    assert_string_equal(active(store), "fra");
    document(store, one_way("jq", "Migrating", 10), 10); /* under way: what is ordered holds */
    assert_string_equal(active(store), "fra");
    put(store, one_way("jq", "Rollback", 11));
    assert_string_equal(active(store), "fra");
    put(store, one_way("jq", "Normal", 12)); /* it was rolled back */
    assert_string_equal(active(store), "jq");
    document(store, one_way("fra", "Normal", 13), 13);
    assert_string_equal(active(store), "fra");
    dc_store_free(store);
}

static void the_console_confirms_it(void **state)
{
    (void)state;
    struct seen seen = { 0 };
    struct xp_err err = { 0 };
    struct dc_store *store = store_with(&seen, one_way("jq", "Migrating", 5));
    assert_int_equal(dc_store_set_active(store, 7, "fra", 3, &err), 0);
    put(store, one_way("fra", "Normal", 6));
    assert_string_equal(active(store), "fra");
    put(store, one_way("jq", "Migrating", 7)); /* the next switch: the order is over */
    assert_string_equal(active(store), "jq");
    dc_store_free(store);
}

static void a_console_without_versions(void **state)
{
    (void)state;
    struct seen seen = { 0 };
    struct xp_err err = { 0 };
    struct dc_store *store = store_with(&seen, one_way("jq", "", 0));
    assert_int_equal(dc_store_set_active(store, 7, "fra", 3, &err), 0);
    put(store, one_way("jq", "", 0));
    assert_string_equal(active(store), "fra");
    put_at(store, one_way("jq", "", 0), 3 + ORDER_HOLD_MS);
    assert_string_equal(active(store), "jq");
    assert_int_equal(dc_store_set_active(store, 7, "fra", 3, &err), 0);
    assert_int_equal(dc_store_remove(store, "c", 0, 4, &err), 0);
    put(store, one_way("jq", "Lock", 0)); /* made anew: nothing of before holds */
    assert_string_equal(active(store), "jq");
    dc_store_free(store);
}

int main(void)
{
    log_set_level(LOG_LEVELS);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_order_changes_one_thing),
        cmocka_unit_test(documents_that_do_not_know_of_it),
        cmocka_unit_test(news_from_before_the_lock),
        cmocka_unit_test(nobody_tells_of_the_migration),
        cmocka_unit_test(the_console_confirms_it),
        cmocka_unit_test(a_console_without_versions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
