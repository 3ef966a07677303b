/* What plans are made of: the metadata of a cluster, the row of a migration that waits, and whether both are still the same. */
#include "tests/unit/migration_fixture.h"

#include "console/migration/plan_maker.h"

#include "shared/base/banned.h"

static struct switch_plan_facts *read_new(struct world *w)
{
    struct plan_settings settings = { .outer = OUTER_WEBHOOK };
    struct switch_plan_facts *facts = NULL;
    if (plan_facts_read(&w->cat, "c1", "jq", "oy", &settings, &facts, &w->err) != 0) {
        fail_msg("%s", w->err.msg);
    }
    return facts;
}

static int read_row(struct world *w, struct switch_plan_facts **ret_facts, bool *ret_is_over)
{
    struct plan_settings settings = { .outer = OUTER_WEBHOOK };
    *ret_facts = NULL;
    return plan_facts_read_row(&w->cat, 1, &settings, ret_facts, ret_is_over, &w->err);
}

static int verify_in(struct db *db, void *arg, struct xp_err *err)
{
    return plan_facts_verify(db, arg, err);
}

static void holds(struct world *w, struct switch_plan_facts *facts)
{
    if (store_read(w->store, verify_in, facts, &w->err) != 0) {
        fail_msg("%s", w->err.msg);
    }
}

static void does_not_hold(struct world *w, struct switch_plan_facts *facts, const char *why)
{
    assert_int_equal(store_read(w->store, verify_in, facts, &w->err), XP_CONFLICT);
    if (!strstr(w->err.msg, why)) {
        fail_msg("'%s' does not say '%s'", w->err.msg, why);
    }
}

static void add_sentinel_group(const struct world *w)
{
    sql(w, "INSERT INTO sentinel_group_tbl (sentinel_group_id, cluster_type, "
           "created_wall_ms, updated_wall_ms) VALUES (5, 'ONE_WAY', 1, 1);"
           "INSERT INTO sentinel_tbl (dc_id, sentinel_group_id, sentinel_ip, sentinel_port, "
           "created_wall_ms, updated_wall_ms) VALUES (1, 5, '10.9.0.1', 26379, 1, 1), "
           "(1, 5, '10.9.0.2', 26379, 1, 1);"
           "UPDATE dc_cluster_shard_tbl SET setinel_id = 5 WHERE shard_id = 1 AND dc_cluster_id = "
           "(SELECT dc_cluster_id FROM dc_cluster_tbl WHERE dc_id = 1 AND cluster_id = 1)");
}

static void metadata_are_read_and_compared(void **state)
{
    struct world *w = *state;
    add_sentinel_group(w);
    struct switch_plan_facts *facts = read_new(w);
    assert_int_equal(facts->dc_count, 3);
    assert_int_equal(facts->shard_count, 2);
    assert_int_equal(facts->instance_count, 12);
    assert_int_equal(facts->monitor_count, 1);
    assert_string_equal(facts->monitors[0].name, "c1+s1+jq");
    assert_int_equal(facts->monitors[0].count, 2);
    assert_string_equal(ADDR_TEXT(&facts->monitors[0].sentinels[1]), "10.9.0.2:26379");
    assert_int_equal(facts->dcs[0].route, ROUTE_DIRECT);
    holds(w, facts);
    sql(w, "UPDATE sentinel_tbl SET sentinel_port = 26380 WHERE sentinel_ip = '10.9.0.2'");
    does_not_hold(w, facts, "the metadata of cluster c1 changed");
    switch_plan_facts_free(facts);
}

static int open_without_migration(void **state)
{
    int rc = world_open(state);
    add_one_way(*state, "c1", 1);
    return rc;
}

static void a_route_is_part_of_it(void **state)
{
    struct world *w = *state;
    struct switch_plan_facts *before = read_new(w);
    struct proxy_edit proxy = { .uri = "PROXYTCP://1.1.1.1:80", .dc = "jq", .active = TRI_YES };
    struct proxy_edit far = { .uri = "PROXYTLS://2.2.2.2:443", .dc = "oy", .active = TRI_YES };
    struct route_edit route = { .src_dc = "jq",
                                .dst_dc = "oy",
                                .src_proxy_ids = "1",
                                .dst_proxy_ids = "2",
                                .tag = "META",
                                .active = TRI_YES,
                                .is_public = TRI_YES };
    OK(w, proxies_create, &proxy);
    OK(w, proxies_create, &far);
    OK(w, routes_create, &route);
    does_not_hold(w, before, "the metadata of cluster c1 changed");
    struct switch_plan_facts *facts = read_new(w);
    assert_int_equal(facts->dcs[0].route, ROUTE_CHOSEN);
    assert_string_equal(facts->dcs[0].route_words, "PROXYTCP://1.1.1.1:80 PROXYTLS://2.2.2.2:443");
    assert_int_equal(facts->dcs[2].route, ROUTE_DIRECT);
    holds(w, facts);
    switch_plan_facts_free(before);
    switch_plan_facts_free(facts);
}

static void a_migration_that_waits(void **state)
{
    struct world *w = *state;
    struct switch_plan_facts *facts = NULL;
    bool is_over = true;
    assert_int_equal(read_row(w, &facts, &is_over), 0);
    assert_false(is_over);
    assert_null(facts->row); /* nothing was done of it: as a new one */
    assert_int_equal(facts->mode, MODE_PLANNED);
    assert_int_equal(facts->policy, POLICY_ALL);
    holds(w, facts);
    sql(w, "UPDATE migration_cluster_tbl SET status = 'PartialRetryFail', reason = 'r'");
    does_not_hold(w, facts, "has moved to PartialRetryFail");
    switch_plan_facts_free(facts);

    assert_int_equal(read_row(w, &facts, &is_over), 0);
    assert_int_equal(facts->row->status, MIG_PARTIAL_RETRY_FAIL);
    assert_int_equal(facts->row->shard_count, 2);
    holds(w, facts);
    struct switch_plan *plan = switch_plan_decide(facts); /* the facts stay as they were */
    assert_int_equal(facts->row->status, MIG_PARTIAL_RETRY_FAIL);
    assert_string_equal(facts->row->reason, "r");
    switch_plan_free(plan);
    switch_plan_facts_free(facts);
}

static void a_migration_that_does_not_wait(void **state)
{
    struct world *w = *state;
    struct switch_plan_facts *facts = NULL;
    bool is_over = true;
    sql(w, "UPDATE migration_cluster_tbl SET status = 'Migrating'");
    assert_int_equal(read_row(w, &facts, &is_over), XP_CONFLICT);
    assert_string_equal(w->err.msg, "cluster c1 is under way: Migrating");
    assert_false(is_over);
    sql(w, "UPDATE migration_cluster_tbl SET status = 'Success'");
    assert_int_equal(read_row(w, &facts, &is_over), XP_CONFLICT);
    assert_string_equal(w->err.msg, "cluster c1 is over: Success");
    assert_true(is_over);
    sql(w, "UPDATE migration_cluster_tbl SET status = 'PublishFail';"
           "UPDATE shard_tbl SET deleted_at = 1 WHERE shard_name = 's2'");
    assert_int_equal(read_row(w, &facts, &is_over), XP_CONFLICT);
    assert_string_equal(w->err.msg, "cluster c1 has other shards than its migration");
    sql(w, "DELETE FROM migration_shard_tbl; DELETE FROM migration_cluster_tbl");
    assert_int_equal(read_row(w, &facts, &is_over), XP_NOT_FOUND);
}

/* A hash over a part of it would hold for other plans, too. */
static void a_plan_without_end_has_no_text(void **state)
{
    struct world *w = *state;
    struct switch_plan_facts *facts = read_new(w);
    struct switch_plan *plan = xcalloc(1, sizeof(*plan));
    plan->steps = xcalloc(1, sizeof(*plan->steps));
    plan->step_count = 1;
    plan->steps[0] = (struct plan_step){ .dc = "", .shard = "", .text = xstrdup("SLAVEOF NO ONE") };
    AUTO_FREE char *text = switch_plan_canonical(facts, plan);
    assert_non_null(strstr(text, "SLAVEOF NO ONE"));
    free(plan->steps[0].text);
    plan->steps[0].text = xcalloc(1, PLAN_CANONICAL_MAX + 1);
    memset(plan->steps[0].text, 'x', PLAN_CANONICAL_MAX);
    assert_null(switch_plan_canonical(facts, plan));
    switch_plan_free(plan);
    switch_plan_facts_free(facts);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, migration_world_open, world_close)
    const struct CMUnitTest tests[] = {
        T(metadata_are_read_and_compared),
        cmocka_unit_test_setup_teardown(a_route_is_part_of_it, open_without_migration, world_close),
        T(a_migration_that_waits), T(a_migration_that_does_not_wait),
        T(a_plan_without_end_has_no_text)
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
