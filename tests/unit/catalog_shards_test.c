/* Shards and redises: one transaction, find or create, literal texts, who is told. */
#include "tests/unit/catalog_fixture.h"

#include "shared/base/str.h"

#include "shared/base/banned.h"

static int fill(struct world *w, const char *cluster, const struct shard_part *parts, size_t count,
                bool is_one)
{
    struct shards_with_redises args = { cluster, parts, count, is_one };
    return DO(w, shards_create_with_redises, &args);
}

static int64_t redis_count(struct world *w, const char *cluster, const char *dc, const char *shard)
{
    CLEANUP(redis_rows_done) struct redis_rows rows = { 0 };
    struct shard_place place = { cluster, dc, shard };
    assert_int_equal(redises_list(&w->cat, &place, &rows, &w->err), 0);
    return (int64_t)rows.count;
}

static void empty_shards_come_as_a_whole_or_not_at_all(void **state)
{
    struct world *w = *state;
    add_cluster(w, "demo", NULL, "jq,oy");
    struct shard_spec items[] = { { "s1", "s1" }, { "s2", "ignored" } };
    struct shards_create args = { .cluster = "demo", .items = items, .count = 2 };
    OK(w, shards_create, &args);
    ASSERT_EFFECTS(w, "changed demo:jq,oy");
    CLEANUP(shard_rows_done) struct shard_rows rows = { 0 };
    assert_int_equal(shards_list(&w->cat, "demo", 0, &rows, &w->err), 0);
    assert_int_equal(rows.count, 2);
    assert_string_equal(rows.items[1].monitor_name, "s2"); /* the shard name, whatever is sent */
    assert_int_equal(rows.items[1].dcs.count, 2);

    struct shard_spec again[] = { { "s3", "s3" }, { "S1", "S1" } };
    args = (struct shards_create){ .cluster = "demo", .items = again, .count = 2 };
    FAILS(w, XP_CONFLICT,
          "fail shards:S1 (nothing was created): Duplicated shard name under same cluster.",
          shards_create, &args);
    struct shards_delete gone = { "demo", (const char *const[]){ "s3" }, 1, false };
    FAILS(w, XP_NOT_FOUND, "Shard already not exist", shards_delete,
          &gone); /* s3 was rolled back */
    args.cluster = "none";
    FAILS(w, XP_NOT_FOUND, "cluster not exist", shards_create, &args);
    again[0].name = "";
    FAILS(w, XP_INVALID, "shardName empty", shards_create, &args);
    again[0] = (struct shard_spec){ "s3", NULL };
    FAILS(w, XP_INVALID, "shardMonitorName empty", shards_create, &args);
    again[0].monitor_name = "x";
    args.cluster = "demo";
    args.check_monitor_name = true;
    FAILS(w, XP_INVALID, "Monitor name should be exact same with shard name", shards_create, &args);
}

static void one_shard_with_redises(void **state)
{
    struct world *w = *state;
    add_cluster(w, "demo", NULL, "jq,oy");
    struct shard_part parts[] = {
        { .shard = "s1", .dc = "jq", .text = "10.0.1.1:6379, 10.0.1.2:6379" },
        { .shard = "s1", .dc = "oy", .text = "10.0.2.1:6379" }
    };
    assert_int_equal(fill(w, "demo", parts, 2, true), 0);
    ASSERT_EFFECTS(w, "changed demo:jq,oy");
    assert_int_equal(w->result.changed_count, 4);
    assert_int_equal(redis_count(w, "demo", "jq", "S1"), 2);
    int64_t version = store_version(w->store);
    assert_int_equal(fill(w, "demo", parts, 2, true), 0); /* repeatable */
    assert_true(w->result.is_noop);
    assert_int_equal(store_version(w->store), version);

    struct shard_part more = { .shard = "s1", .dc = "oy", .text = "10.0.2.2:6379" };
    assert_int_equal(fill(w, "demo", &more, 1, true), 0);
    ASSERT_EFFECTS(w, "changed demo:oy"); /* one-way: only the DC that changed */
}

static void with_redises_refuses_and_rolls_back(void **state)
{
    struct world *w = *state;
    add_cluster(w, "demo", NULL, "jq,oy");
    add_cluster(w, "other", NULL, "jq,oy");
    add_shard(w, "other", "s1", "jq", "9.9.9.9:1");
    struct shard_part parts[] = { { .shard = "s1", .dc = "jq", .text = "1.1.1.1:6379" },
                                  { .shard = "s1", .dc = "JQ", .text = "1.1.1.2:6379" } };
    assert_int_equal(fill(w, "none", parts, 2, true), XP_NOT_FOUND);
    assert_string_equal(w->err.msg, "Cluster could not be found");
    assert_int_equal(fill(w, "demo", parts, 2, true), XP_INVALID);
    assert_string_equal(w->err.msg, "dc: JQ appears more than two times");
    assert_int_equal(fill(w, "demo", parts, 0, true), XP_INVALID);
    assert_string_equal(w->err.msg, "No redises posted");
    parts[1] = (struct shard_part){ .shard = "s2", .dc = "FRA", .text = "1.1.1.2:6379" };
    assert_int_equal(fill(w, "demo", parts, 2, false), XP_NOT_FOUND);
    assert_string_equal(w->err.msg, "dc FRA not exist in cluster demo");
    parts[1] = (struct shard_part){ .shard = "s2", .dc = "oy", .text = "9.9.9.9:1" };
    assert_int_equal(fill(w, "demo", parts, 2, false), XP_CONFLICT);
    assert_string_equal(w->err.msg, "Redis already exists, 9.9.9.9:1");
    parts[1].text = "nonsense";
    assert_int_equal(fill(w, "demo", parts, 2, false), XP_INVALID);
    assert_string_equal(w->err.msg, "invalid socket address:nonsense");
    CLEANUP(shard_rows_done) struct shard_rows rows = { 0 };
    assert_int_equal(shards_list(&w->cat, "demo", 0, &rows, &w->err), 0);
    assert_int_equal(rows.count, 0);
    w->cat.has_global_monitor_names = true;
    assert_int_equal(fill(w, "demo", parts, 1, true), XP_CONFLICT);
    assert_string_equal(w->err.msg, "monitor name s1 already exist");
}

static void redises_come_and_go(void **state)
{
    struct world *w = *state;
    add_cluster(w, "bi", "bi_direction", "jq,FRA");
    add_shard(w, "bi", "s1", "jq", "1.1.1.1:6379");
    struct instance_spec items[] = { { .addr = "3.3.3.3:6379", .is_master = true },
                                     { .addr = "3.3.3.4:6379" } };
    struct redises_edit edit = { { "bi", "FRA-AWS", "s1" }, items, 2 };
    OK(w, redises_add, &edit);
    ASSERT_EFFECTS(w, "changed bi:jq,FRA"); /* multi-active: everybody */
    OK(w, redises_add, &edit);
    assert_true(w->result.is_noop);
    struct redis_location at = { 0 };
    struct addr addr = addr_of("3.3.3.3", 6379);
    assert_int_equal(redises_locate(&w->cat, &addr, &at, &w->err), 0);
    assert_string_equal(at.dc, "FRA");
    assert_string_equal(at.shard, "s1");
    redis_location_done(&at);

    items[0].addr = "3.3.3.4:6379"; /* the flag moves inside the DC */
    edit.count = 1;
    OK(w, redises_set_master, &edit);
    CLEANUP(redis_rows_done) struct redis_rows rows = { 0 };
    assert_int_equal(redises_list(&w->cat, &edit.place, &rows, &w->err), 0);
    assert_false(rows.items[0].is_master);
    assert_true(rows.items[1].is_master);
    OK(w, redises_set_master, &edit);
    assert_true(w->result.is_noop); /* a checker may repeat itself */

    items[0].addr = "8.8.8.8:1";
    OK(w, redises_remove, &edit);
    assert_true(w->result.is_noop); /* unknown addresses are ignored */
    items[0].addr = "3.3.3.4:6379";
    for (int i = 0; i < 3; i++) {
        OK(w, redises_remove, &edit);
        OK(w, redises_add, &edit);
    }
    edit.place.shard = "s9";
    FAILS(w, XP_NOT_FOUND, "not found: dc:FRA-AWS, cluster:bi, shard:s9", redises_add, &edit);
    assert_int_equal(redis_count(w, "none", "jq", "s1"), 0);
}

static void deleting_shards(void **state)
{
    struct world *w = *state;
    add_cluster(w, "demo", NULL, "jq,oy");
    add_shard(w, "demo", "s1", "jq", "1.1.1.1:1");
    add_shard(w, "demo", "s2", "jq", "1.1.1.1:2");
    struct shards_delete args = { "none", (const char *const[]){ "s1", "s9" }, 2, true };
    FAILS(w, XP_NOT_FOUND, "Cluster already not exist", shards_delete, &args);
    args.cluster = "demo";
    FAILS(w, XP_NOT_FOUND, "Some shard already not exist", shards_delete, &args);
    assert_int_equal(redis_count(w, "demo", "jq", "s1"), 1);
    args.count = 1;
    OK(w, shards_delete, &args);
    ASSERT_EFFECTS(w, "changed demo:jq,oy");
    add_shard(w, "demo", "S1", "jq", "1.1.1.1:1"); /* name and address are free again */
}

static int64_t document_version(struct world *w, const char *dc)
{
    int64_t version = 0;
    assert_int_equal(catalog_dc_version(&w->cat, dc, &version, &w->err), 0);
    return version;
}

static void a_master_outside_the_active_dc_takes_no_flag_from_it(void **state)
{
    struct world *w = *state;
    add_cluster(w, "demo", NULL, "jq,oy");
    add_shard(w, "demo", "s1", "jq", "1.1.1.1:1");
    add_shard(w, "demo", "s1", "oy", "2.2.2.2:1");
    struct instance_spec item = { .addr = "1.1.1.1:1", .is_master = true };
    struct redises_edit edit = { { "demo", "jq", "s1" }, &item, 1 };
    OK(w, redises_set_master, &edit);
    int64_t version = document_version(w, "jq");
    item.addr = "2.2.2.2:1";
    edit.place.dc = "oy";
    OK(w, redises_set_master, &edit);
    ASSERT_EFFECTS(w, "changed demo:oy"); /* jq is not told, so jq must not have changed */
    assert_int_equal(document_version(w, "jq"), version);
    CLEANUP(redis_rows_done) struct redis_rows rows = { 0 };
    edit.place.dc = "jq";
    assert_int_equal(redises_list(&w->cat, &edit.place, &rows, &w->err), 0);
    assert_int_equal(rows.count, 1);
    assert_true(rows.items[0].is_master);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_open, world_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(empty_shards_come_as_a_whole_or_not_at_all),
        TEST(one_shard_with_redises),
        TEST(with_redises_refuses_and_rolls_back),
        TEST(redises_come_and_go),
        TEST(deleting_shards),
        TEST(a_master_outside_the_active_dc_takes_no_flag_from_it),
    };
    return cmocka_run_group_tests_name("catalog_shards", tests, NULL, NULL);
}
