/* The board of readiness verdicts, and its REST face: limits, pages, ages, clusters that go. */
#include "console/migration/readiness_board.h"

#include "console/migration/readiness_read.h"
#include "shared/base/clock.h"
#include "tests/unit/console_calls.h"

#include "shared/base/banned.h"

enum { CLUSTERS_MAX = 700, AGE_MAX_MS = 60000 };

/* ---- the board ---- */

static struct readiness_view *view_of(int64_t id, enum readiness_level level, int64_t age_ms)
{
    char name[32];
    (void)snprintf(name, sizeof(name), "c%lld", (long long)id);
    struct readiness_view *v = readiness_view_new(id, name, "jq", 1);
    v->items[0] = (struct readiness_item){ .to = xstrdup("oy"),
                                           .planned = level,
                                           .disaster = level,
                                           .looked_at = clock_mono_ms() - age_ms,
                                           .lag_bytes = -1 };
    return v;
}

static struct readiness_board *board_new(int64_t count)
{
    struct readiness_board *b = readiness_board_new(CLUSTERS_MAX);
    readiness_board_configure(b, AGE_MAX_MS);
    for (int64_t i = count; i >= 1; i--) {
        assert_true(
            readiness_board_put(b, view_of(i, i % 2 ? READINESS_READY : READINESS_NOT_READY, 0)));
    }
    return b;
}

static bool has(struct readiness_board *b, int64_t id)
{
    struct readiness_view *v = readiness_board_get(b, id);
    bool is_there = v && v->id == id;
    readiness_view_unref(v);
    return is_there;
}

static void a_full_board_takes_nothing_new(void **state)
{
    (void)state;
    struct readiness_board *b = board_new(CLUSTERS_MAX);
    assert_false(readiness_board_put(b, view_of(CLUSTERS_MAX + 1, READINESS_READY, 0)));
    assert_false(has(b, CLUSTERS_MAX + 1));
    assert_true(readiness_board_put(b, view_of(5, READINESS_WARNING, 0))); /* known: replaced */
    readiness_board_remove(b, 7);
    assert_false(has(b, 7));
    assert_true(readiness_board_put(b, view_of(CLUSTERS_MAX + 1, READINESS_READY, 0)));
    struct readiness_counts counts = readiness_board_count(b, clock_mono_ms());
    assert_int_equal(counts.clusters, CLUSTERS_MAX);
    assert_int_equal(counts.by_level[READINESS_WARNING], 1);
    readiness_board_free(b);
}

static void a_view_outlives_its_place(void **state)
{
    (void)state;
    struct readiness_board *b = board_new(3);
    struct readiness_view *v = readiness_board_get(b, 2);
    readiness_board_remove(b, 2);
    readiness_board_remove(b, 2); /* twice is fine */
    assert_string_equal(v->cluster, "c2");
    readiness_view_unref(v);
    readiness_board_free(b);
}

static void what_is_gone_is_swept(void **state)
{
    (void)state;
    struct readiness_board *b = board_new(10);
    const int64_t first[] = { 2, 4 };
    readiness_board_keep(b, 0, 4, first, 2); /* a page: 2 and 4 are all up to 4 */
    assert_false(has(b, 1));
    assert_true(has(b, 2));
    assert_false(has(b, 3));
    assert_true(has(b, 4));
    assert_true(has(b, 5));
    const int64_t last[] = { 5, 9 };
    readiness_board_keep(b, 4, INT64_MAX, last, 2);
    assert_true(has(b, 5) && has(b, 9) && has(b, 4));
    assert_false(has(b, 6) || has(b, 8) || has(b, 10));
    readiness_board_keep(b, 0, INT64_MAX, NULL, 0);
    assert_int_equal(readiness_board_count(b, clock_mono_ms()).clusters, 0);
    readiness_board_free(b);
}

static void old_verdicts_are_unknown(void **state)
{
    (void)state;
    struct readiness_board *b = readiness_board_new(CLUSTERS_MAX);
    readiness_board_configure(b, AGE_MAX_MS);
    assert_true(readiness_board_put(b, view_of(1, READINESS_READY, AGE_MAX_MS + 5000)));
    assert_true(readiness_board_put(b, view_of(2, READINESS_READY, AGE_MAX_MS / 2)));
    struct readiness_counts counts = readiness_board_count(b, clock_mono_ms());
    assert_int_equal(counts.by_level[READINESS_UNKNOWN], 1);
    assert_int_equal(counts.by_level[READINESS_READY], 1);
    assert_in_range(counts.oldest_ms, AGE_MAX_MS / 2, AGE_MAX_MS);
    json_auto_t *page = readiness_board_list(
        b, &(struct readiness_query){ .limit = 10, .has_level = true, .level = READINESS_UNKNOWN },
        NULL);
    const json_t *items = json_object_get(page, "items");
    assert_int_equal(json_array_size(items), 1);
    const json_t *reason = json_array_get(json_object_get(json_array_get(items, 0), "reasons"), 0);
    assert_string_equal(json_string_value(json_object_get(reason, "code")), "R12");
    readiness_board_free(b);
}

/* Every cluster once, whatever the size of the pages and of the steps inside. */
static void pages_join(void **state)
{
    (void)state;
    static const int limits[] = { 1, 7, 255, 256, 257, 1000 };
    struct readiness_board *b = board_new(CLUSTERS_MAX);
    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        struct readiness_query query = { .limit = limits[i],
                                         .has_level = true,
                                         .level = READINESS_NOT_READY };
        size_t seen = 0;
        int64_t last = 0;
        for (bool is_more = true; is_more;) {
            json_auto_t *page = readiness_board_list(b, &query, NULL);
            const json_t *items = json_object_get(page, "items");
            assert_in_range(json_array_size(items), 0, limits[i]);
            for (size_t k = 0; k < json_array_size(items); k++, seen++) {
                int64_t id =
                    json_integer_value(json_object_get(json_array_get(items, k), "clusterId"));
                assert_true(id > last);
                last = id;
            }
            is_more = json_is_integer(json_object_get(page, "next"));
            query.after_id = json_integer_value(json_object_get(page, "next"));
        }
        assert_int_equal(seen, CLUSTERS_MAX / 2);
    }
    readiness_board_free(b);
}

/* ---- the REST face ---- */

static void world(void)
{
    base_data();
    must("POST", "/api/clusters", DEMO);
    must("POST", "/api/clusters",
         "{\"clusterName\":\"bi\",\"clusterType\":\"BI_DIRECTION\",\"dcs\":[\"jq\",\"FRA\"],"
         "\"desc\":\"d\",\"organizationId\":8,\"clusterAdminEmails\":\"a@b.c\"}");
}

static void a_cluster_that_nobody_looked_at(void **state)
{
    (void)state;
    struct reply none CLEANUP(reply_done) = call(&f, "GET", "/api/v2/dr/readiness", NULL);
    assert_int_equal(none.status, 501); /* no board: nobody looks */
    f.api.readiness = readiness_board_new(CLUSTERS_MAX);
    readiness_board_configure(f.api.readiness, AGE_MAX_MS);
    world();
    expect("GET", "/api/v2/clusters/DEMO/dr-readiness", NULL, 200,
           "{\"cluster\":\"demo\",\"clusterId\":1,\"from\":\"jq\",\"destinations\":[{\"cluster\":"
           "\"demo\",\"clusterId\":1,\"from\":\"jq\",\"to\":\"oy\",\"verdict\":\"UNKNOWN\","
           "\"disasterVerdict\":\"UNKNOWN\",\"since\":null,\"checkedAt\":null,\"ageMs\":null,"
           "\"shards\":0,\"lagBytes\":null,\"reasons\":[{\"code\":\"R10\",\"level\":\"warning\","
           "\"shard\":null,\"count\":1,\"text\":\"not looked at yet\"}]}]}");
    struct reply missing CLEANUP(reply_done) =
        call(&f, "GET", "/api/v2/clusters/nobody/dr-readiness", NULL);
    assert_int_equal(missing.status, 404);
    assert_non_null(strstr(missing.body, "cluster not found:nobody"));
    struct reply other CLEANUP(reply_done) =
        call(&f, "GET", "/api/v2/clusters/bi/dr-readiness", NULL);
    assert_int_equal(other.status, 400);
    assert_non_null(strstr(other.body, "of type BI_DIRECTION, which is not switched"));
    expect("GET", "/api/v2/dr/readiness", NULL, 200,
           "{\"items\":[],\"next\":null,\"counts\":{\"UNKNOWN\":0,\"READY\":0,\"WARNING\":0,"
           "\"NOT_READY\":0}}");
    readiness_board_free(f.api.readiness);
}

/* ---- reading ---- */

static void targets_follow_the_metadata(void **state)
{
    (void)state;
    struct xp_err err = { 0 };
    struct readiness_target target = { 0 };
    struct readiness_changes changes = { 0 };
    world();
    must("POST", "/api/zone", "{\"name\":\"far\"}");
    must("POST", "/api/dc", "{\"zone_id\":2,\"dc_name\":\"mars\",\"description\":\"d\"}");
    must("POST", "/api/clusters/demo/dcs/mars", NULL);
    assert_int_equal(readiness_read_one(&f.catalog, 1, &target, &err), 0);
    assert_string_equal(target.from, "jq");
    assert_int_equal(target.to.count, 1);
    assert_string_equal(target.to.items[0], "oy");
    assert_int_equal(target.others.count, 1);
    assert_string_equal(target.others.items[0], "mars");
    assert_int_equal(target.shards.count, 0);
    readiness_target_done(&target);
    assert_int_equal(readiness_read_one(&f.catalog, 2, &target, &err), 0); /* bi-direction */
    assert_int_equal(target.id, 0);
    assert_int_equal(readiness_read_changes(&f.catalog, 0, 10, &changes, &err), 0);
    assert_int_equal(changes.count, 2);
    int64_t before = changes.version;
    free(changes.ids);
    must("DELETE", "/api/cluster/demo", NULL);
    assert_int_equal(readiness_read_changes(&f.catalog, before, 10, &changes, &err), 0);
    assert_int_equal(changes.count, 1); /* it is told that it is gone */
    assert_int_equal(changes.ids[0], 1);
    free(changes.ids);
    assert_int_equal(readiness_read_one(&f.catalog, 1, &target, &err), 0);
    assert_int_equal(target.id, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_board_takes_nothing_new),
        cmocka_unit_test(a_view_outlives_its_place),
        cmocka_unit_test(what_is_gone_is_swept),
        cmocka_unit_test(old_verdicts_are_unknown),
        cmocka_unit_test(pages_join),
        CASE(a_cluster_that_nobody_looked_at),
        CASE(targets_follow_the_metadata),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
