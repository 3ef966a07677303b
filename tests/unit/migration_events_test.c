/* migration_events: who may be migrated, locks, F24; what is shown of events. */
#include "console/migration/migration_events.h"

#include <pthread.h>

#include "shared/base/str.h"
#include "tests/unit/migration_fixture.h"

#include "shared/base/banned.h"

static int open_world(void **state)
{
    int rc = world_open(state);
    struct world *w = *state;
    add_one_way(w, "c1", 1);
    add_one_way(w, "c2", 2);
    add_one_way(w, "c3", 3);
    add_cluster(w, "bi", "BI_DIRECTION", "jq,oy");
    add_cluster(w, "empty", "ONE_WAY", "jq,oy");
    return rc;
}

static int try_create(const struct world *w, const char *from, const char *to, const char *clusters,
                      struct event_result *ret, struct xp_err *err)
{
    struct names list = names_split(clusters);
    struct event_request request = { .from_dc = from,
                                     .to_dc = to,
                                     .clusters = (const char *const *)list.items,
                                     .count = list.count,
                                     .operator_name = "api_call",
                                     .tag = "api_call" };
    int rc = migration_event_create(&w->cat, &w->ctx, &request, ret, err);
    names_done(&list);
    return rc;
}

/* "31 c1 jq>oy; c2 jq>? CLUSTER_NOT_FOUND cluster not found:c2" */
static char *result_text(const struct event_result *r)
{
    struct str text = STR_INIT(65536);
    str_printf(&text, "%lld", (long long)r->event_id);
    for (size_t i = 0; i < r->count; i++) {
        const struct event_cluster_result *c = &r->items[i];
        str_printf(&text, "%s %s %s>%s", i ? ";" : "", c->cluster, c->from_dc ? c->from_dc : "?",
                   c->to_dc ? c->to_dc : "?");
        if (c->reason != FAIL_NONE) {
            str_printf(&text, " %s %s", fail_reason_text(c->reason), c->msg);
        } else {
            assert_null(c->msg);
        }
    }
    return str_take(&text);
}

static void expect(const struct world *w, const char *from, const char *to, const char *clusters,
                   const char *expected)
{
    struct event_result result;
    struct xp_err err = { 0 };
    int rc = try_create(w, from, to, clusters, &result, &err);
    if (rc != 0) {
        fail_msg("%s", err.msg);
    }
    AUTO_FREE char *text = result_text(&result);
    assert_string_equal(text, expected);
    event_result_done(&result);
}

static void event_locks_its_clusters(void **state)
{
    struct world *w = *state;
    expect(w, "jq", "oy", "c1,none,C2",
           "1 c1 jq>oy; none jq>? CLUSTER_NOT_FOUND cluster not found:none; c2 jq>oy");
    ASSERT_SQL(w, "c1:Lock:1,c2:Lock:1,c3:Normal:0",
               "SELECT group_concat(cluster_name || ':' || status || ':' || migration_event_id) "
               "FROM (SELECT * FROM cluster_tbl "
               "WHERE cluster_name LIKE 'c_' ORDER BY id)");
    ASSERT_SQL(w, "api_call api_call canary auto 0",
               "SELECT operator || ' ' || event_tag || ' ' || policy || ' ' || mode || ' ' || "
               "is_started FROM migration_event_tbl");
    ASSERT_SQL(w, "4", "SELECT count(*) FROM migration_shard_tbl");
    ASSERT_SQL(w, "6",
               "SELECT count(*) FROM push_outbox WHERE cluster_name IN ('c1', 'c2') AND idx = "
               "(SELECT max(idx) FROM change_log)");
    struct xp_err err = { 0 };
    int64_t id = 0;
    assert_int_equal(migration_find(&w->cat, 1, 0, "c2", &id, &err), 0);
    assert_int_equal(id, 2);
}

static void refusals_have_their_texts(void **state)
{
    struct world *w = *state;
    expect(w, "jq", "oy", "bi",
           "-1 bi jq>? CLUSTER_NOT_SUPPORT_MIGRATION cluster bi not support migration");
    expect(w, "oy", "jq", "c1",
           "-1 c1 oy>? ACTIVE_DC_ALREADY_NOT_REQUESTED cluster:c1, fromIdcRequest:oy, but current "
           "ActiveDc:jq");
    expect(w, "jq", "xx", "c1",
           "-1 c1 jq>? OTHERS toIdc : xx, can not find it in all related dcs:[jq, oy, FRA-AWS]");
    expect(w, "jq", "JQ", "c1", "-1 c1 jq>? OTHERS fromIdc:jq equals with toIdc JQ");
    expect(w, NULL, "oy", "c1", "-1 c1 ?>? OTHERS To Idc should be in same zone with from Idc");
    expect(w, "jq", "oy", "empty",
           "-1 empty jq>? OTHERS cluster empty has 0 shards, 1..1024 can be migrated");
    sql(w, "INSERT INTO zone_tbl (zone_name, created_wall_ms, updated_wall_ms) VALUES ('Y', 1, 1);"
           "UPDATE dc_tbl SET zone_id = 2 WHERE dc_name = 'FRA'");
    expect(w, "jq", "FRA", "c1", "-1 c1 jq>? OTHERS To Idc should be in same zone with from Idc");
    sql(w, "UPDATE cluster_tbl SET status = 'Lock' WHERE cluster_name = 'c3'");
    expect(w, "jq", "oy", "c3",
           "-1 c3 jq>? OTHERS Update failed.No rows updated: cluster c3 has status Lock, and no "
           "migration that is under way");
    ASSERT_SQL(w, "0", "SELECT count(*) FROM migration_event_tbl");
}

static void target_is_chosen(void **state)
{
    struct world *w = *state;
    expect(w, "jq", NULL, "c1,c2", "1 c1 jq>FRA-AWS; c2 jq>oy");
}

static void running_one_is_named(void **state)
{
    struct world *w = *state;
    expect(w, "jq", "oy", "c1,c2", "1 c1 jq>oy; c2 jq>oy");
    expect(w, "jq", "oy", "c1,c3", "2 c1 jq>oy ALREADY_MIGRATING 1; c3 jq>oy");
    expect(w, "jq", "oy", "c1,c2", "1 c1 jq>oy; c2 jq>oy ALREADY_MIGRATING 1");
    expect(w, "jq", "FRA", "c1", "-1 c1 jq>oy ALREADY_MIGRATING 1");
    ASSERT_SQL(w, "2", "SELECT count(*) FROM migration_event_tbl");
}

static void same_name_twice_is_refused(void **state)
{
    struct world *w = *state;
    struct event_result result;
    struct xp_err err = { 0 };
    assert_int_equal(try_create(w, "jq", "oy", "c1,C1", &result, &err), XP_INVALID);
    assert_string_equal(err.msg, "clusters: C1 is named twice");
    ASSERT_SQL(w, "Normal", "SELECT status FROM cluster_tbl WHERE cluster_name = 'c1'");
}

struct racer {
    const struct world *w;
    const char *clusters;
    struct event_result result;
    int rc;
};

static void *race(void *arg)
{
    struct racer *r = arg;
    struct xp_err err = { 0 };
    r->rc = try_create(r->w, "jq", "oy", r->clusters, &r->result, &err);
    return NULL;
}

/* F24: the loser gets the winner's ticket for that cluster, its others proceed. */
static void one_of_two_gets_the_lock(void **state)
{
    struct world *w = *state;
    struct racer racers[2] = { { .w = w, .clusters = "c1,c2" }, { .w = w, .clusters = "c1,c3" } };
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
    }
    int lost = 0;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(racers[i].rc, 0);
        assert_true(racers[i].result.event_id > 0);
        assert_int_equal(racers[i].result.items[1].reason, FAIL_NONE);
        const struct event_cluster_result *c1 = &racers[i].result.items[0];
        if (c1->reason != FAIL_NONE) {
            AUTO_FREE char *winner = xasprintf("%lld", (long long)racers[1 - i].result.event_id);
            assert_int_equal(c1->reason, FAIL_ALREADY_MIGRATING);
            assert_string_equal(c1->msg, winner);
            lost++;
        }
    }
    assert_int_equal(lost, 1);
    for (int i = 0; i < 2; i++) {
        event_result_done(&racers[i].result);
    }
}

static void dry_run_stores_nothing(void **state)
{
    struct world *w = *state;
    const char *clusters[] = { "c1", "bi" };
    struct event_request request = {
        .from_dc = "jq", .to_dc = "oy", .clusters = clusters, .count = 2, .is_dry_run = true
    };
    struct event_result result;
    struct xp_err err = { 0 };
    assert_int_equal(migration_event_create(&w->cat, &w->ctx, &request, &result, &err), 0);
    AUTO_FREE char *text = result_text(&result);
    assert_string_equal(
        text,
        "-1 c1 jq>oy; bi jq>? CLUSTER_NOT_SUPPORT_MIGRATION cluster bi not support migration");
    event_result_done(&result);
    ASSERT_SQL(w, "Normal", "SELECT status FROM cluster_tbl WHERE cluster_name = 'c1'");
}

static void pick(struct world *w, int64_t cluster, int64_t from, int64_t to, int rc,
                 const char *text)
{
    struct event_pick picks[] = { { 3, 1, 2 }, { cluster, from, to } };
    struct event_picks all = { .items = picks, .count = 2, .operator_name = "dba", .tag = "t" };
    int64_t id = 0;
    struct xp_err err = { 0 };
    assert_int_equal(migration_event_create_picked(&w->cat, &w->ctx, &all, &id, &err), rc);
    assert_string_equal(err.msg, text);
}

static void picked_ones_are_all_or_nothing(void **state)
{
    struct world *w = *state;
    pick(w, 99, 1, 2, XP_INVALID, "cluster not found:99");
    pick(w, 1, 1, 9, XP_INVALID, "Target DC Id Illegal for cluster: 1");
    pick(w, 4, 1, 2, XP_INVALID, "cluster bi type BI_DIRECTION not support migration");
    pick(w, 1, 2, 1, XP_INVALID, "cluster:c1, fromIdcRequest:oy, but current ActiveDc:jq");
    pick(w, 5, 1, 3, XP_INVALID, "Target DC Id Illegal for cluster: 5");
    pick(w, 3, 1, 2, XP_INVALID, "migrationClusters: cluster 3 is there twice");
    ASSERT_SQL(w, "Normal", "SELECT status FROM cluster_tbl WHERE cluster_name = 'c3'");
    pick(w, 1, 1, 2, 0, "");
    pick(w, 2, 1, 2, XP_LOCKED, "cluster c3 is migrating already, event 1");
    ASSERT_SQL(w, "Lock", "SELECT status FROM cluster_tbl WHERE cluster_name = 'c3'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define WITH_WORLD(name) cmocka_unit_test_setup_teardown(name, open_world, world_close)
        WITH_WORLD(event_locks_its_clusters),   WITH_WORLD(refusals_have_their_texts),
        WITH_WORLD(target_is_chosen),           WITH_WORLD(running_one_is_named),
        WITH_WORLD(same_name_twice_is_refused), WITH_WORLD(one_of_two_gets_the_lock),
        WITH_WORLD(dry_run_stores_nothing),     WITH_WORLD(picked_ones_are_all_or_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
