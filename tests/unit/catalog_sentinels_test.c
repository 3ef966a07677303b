/* Sentinel groups: their life, who gets which, what documents show. */
#include "console/catalog/sentinels.h"
#include "tests/unit/catalog_fixture.h"

#include "shared/base/str.h"

#include "shared/base/banned.h"

enum { JQ = 1, OY = 2, FRA = 3 };

static int64_t add_group(struct world *w, const char *tag, int64_t dc_id, const char *ip)
{
    struct sentinel_spec one = { dc_id, ip, 5000 };
    struct sentinel_group_spec spec = {
        .cluster_type = "one_way", .tag = tag, .sentinels = &one, .count = 1
    };
    OK(w, sentinel_groups_create, &spec);
    return w->result.object_id;
}

static int64_t group_of(struct world *w, const char *cluster, const char *dc, const char *shard)
{
    struct shard_place place = { cluster, dc, shard };
    CLEANUP(sentinel_use_done) struct sentinel_use use = { 0 };
    CLEANUP(sentinel_group_row_done) struct sentinel_group_row group = { 0 };
    int rc = shard_sentinels_get(&w->cat, &place, &use, &group, &w->err);
    assert_true(rc == 0 || rc == XP_NOT_FOUND);
    return rc == 0 ? group.id : 0;
}

static void set_active(struct world *w, int64_t id, bool is_active)
{
    struct sentinel_group_edit edit = { .id = id, .active = tri_of(is_active) };
    OK(w, sentinel_groups_edit, &edit);
}

static void groups_are_made_shown_changed_and_deleted(void **state)
{
    struct world *w = *state;
    struct sentinel_spec three[] = { { JQ, "10.0.0.1", 5000 },
                                     { JQ, "10.0.0.2", 5000 },
                                     { OY, "10.0.0.3", 5001 } };
    struct sentinel_group_spec spec = { .cluster_type = "ONE_WAY",
                                        .tag = "blue",
                                        .description = "first",
                                        .sentinels = three,
                                        .count = 3 };
    OK(w, sentinel_groups_create, &spec);
    ASSERT_EFFECTS(w, "document :jq document :oy");
    CLEANUP(sentinel_group_row_done) struct sentinel_group_row row = { 0 };
    assert_int_equal(sentinel_groups_get(&w->cat, 1, &row, &w->err), 0);
    AUTO_FREE char *address = sentinel_group_address(&row);
    assert_string_equal(address, "10.0.0.1:5000,10.0.0.2:5000,10.0.0.3:5001");
    assert_string_equal(row.cluster_type, "ONE_WAY");
    assert_string_equal(row.sentinels[2].dc, "oy");
    assert_true(row.is_active);

    struct sentinel_spec other[] = { { FRA, "10.0.0.1", 5000 } };
    struct sentinel_group_spec moved = { .id = 1, .sentinels = other, .count = 1 };
    OK(w, sentinel_groups_set_addresses, &moved);
    ASSERT_EFFECTS(w, "document :jq document :oy document :FRA"); /* those that lose it, too */
    struct sentinel_group_edit edit = { .id = 1, .tag = "blue" };
    OK(w, sentinel_groups_edit, &edit);
    assert_true(w->result.is_noop);
    edit.tag = "green";
    OK(w, sentinel_groups_edit, &edit);
    ASSERT_EFFECTS(w, "document :FRA");
    OK(w, sentinel_groups_delete, 1);
    FAILS(w, XP_NOT_FOUND, "sentinel group with id:1 not exist", sentinel_groups_delete, 1);
    OK(w, sentinel_groups_create, &spec); /* the addresses are free again */
}

static void bad_groups_are_refused(void **state)
{
    struct world *w = *state;
    add_group(w, "", JQ, "10.0.0.1");
    struct sentinel_spec one = { JQ, "10.0.0.1", 5000 };
    struct sentinel_group_spec spec = { .cluster_type = "ONE_WAY", .sentinels = &one, .count = 1 };
    FAILS(w, XP_CONFLICT, "sentinel 10.0.0.1:5000 is in group 1 already", sentinel_groups_create,
          &spec);
    one.ip = "sentinel.example";
    FAILS(w, XP_INVALID, "invalid socket address:sentinel.example:5000", sentinel_groups_create,
          &spec);
    one = (struct sentinel_spec){ JQ, "10.0.0.2", 70000 };
    FAILS(w, XP_INVALID, "invalid socket address:10.0.0.2:70000", sentinel_groups_create, &spec);
    one = (struct sentinel_spec){ 9, "10.0.0.2", 5000 };
    FAILS(w, XP_NOT_FOUND, "dc with id:9 not exist", sentinel_groups_create, &spec);
    spec.cluster_type = "TWO_WAY";
    FAILS(w, XP_INVALID, "unknown cluster type TWO_WAY", sentinel_groups_create, &spec);
    spec = (struct sentinel_group_spec){ .cluster_type = "ONE_WAY" };
    FAILS(w, XP_INVALID, "sentinels empty", sentinel_groups_create, &spec);
    spec = (struct sentinel_group_spec){ .id = 7, .sentinels = &one, .count = 1 };
    FAILS(w, XP_NOT_FOUND, "sentinel group with id:7 not exist", sentinel_groups_create, &spec);
    struct sentinel_spec many[SENTINELS_PER_GROUP_MAX];
    for (int i = 0; i < SENTINELS_PER_GROUP_MAX; i++) {
        many[i] = (struct sentinel_spec){ JQ, "10.0.0.9", 5000 + i };
    }
    spec = (struct sentinel_group_spec){ .id = 1,
                                         .sentinels = many,
                                         .count = SENTINELS_PER_GROUP_MAX };
    FAILS(w, XP_TOO_LARGE, "a sentinel group has at most 16 sentinels", sentinel_groups_create,
          &spec);
    struct sentinel_group_rows rows = { 0 };
    assert_int_equal(
        sentinel_groups_list(&w->cat, &(struct sentinel_filter){ "none", NULL }, &rows, &w->err),
        XP_NOT_FOUND);
}

static void a_new_shard_gets_a_group_per_dc(void **state)
{
    struct world *w = *state;
    int64_t busy = add_group(w, "", JQ, "10.0.0.1");
    int64_t other_tag = add_group(w, "blue", JQ, "10.0.0.2");
    int64_t idle = add_group(w, "", JQ, "10.0.0.3");
    int64_t oy = add_group(w, "", OY, "10.0.0.4");
    int64_t off = add_group(w, "", JQ, "10.0.0.5");
    set_active(w, off, false);
    add_cluster(w, "demo", NULL, "jq,oy,FRA");
    add_shard(w, "demo", "s1", "jq", "10.1.0.1:6379");
    assert_int_equal(group_of(w, "demo", "jq", "s1"), busy); /* equal: the lowest id */
    assert_int_equal(group_of(w, "demo", "oy", "s1"), oy);   /* in every DC of the cluster */
    assert_int_equal(group_of(w, "demo", "FRA-AWS", "s1"), 0);
    struct shard_spec items[] = { { "s2", "s2" }, { "s3", "s3" }, { "s4", "s4" } };
    struct shards_create args = { .cluster = "demo", .items = items, .count = 3 };
    OK(w, shards_create, &args); /* counts go on within one change */
    assert_int_equal(group_of(w, "demo", "jq", "s2"), idle);
    assert_int_equal(group_of(w, "demo", "jq", "s3"), busy);
    assert_int_equal(group_of(w, "demo", "jq", "s4"), idle);
    struct cluster_update tag = { .name = "demo", .tag = "BLUE" };
    OK(w, clusters_update, &(struct cluster_updates){ &tag, 1 });
    add_shard(w, "demo", "s5", "jq", "10.1.0.5:6379");
    assert_int_equal(group_of(w, "demo", "jq", "s5"), other_tag);
    assert_int_equal(group_of(w, "demo", "jq", "s1"), busy); /* the old ones keep theirs */
}

static void types_and_new_bindings(void **state)
{
    struct world *w = *state;
    add_group(w, "", JQ, "10.0.0.1");
    add_cluster(w, "bi", "BI_DIRECTION", "jq,oy");
    add_shard(w, "bi", "s1", "jq", "10.1.0.1:6379");
    assert_int_equal(group_of(w, "bi", "jq", "s1"), 0); /* no group of its type */
    struct sentinel_spec one = { JQ, "10.0.0.2", 5000 };
    struct sentinel_group_spec spec = { .cluster_type = "CROSS_DC", .sentinels = &one, .count = 1 };
    OK(w, sentinel_groups_create, &spec);
    add_cluster(w, "cross", "CROSS_DC", "jq,oy");
    add_shard(w, "cross", "s1", "jq", "10.1.0.2:6379");
    assert_int_equal(group_of(w, "cross", "jq", "s1"), 0);

    add_cluster(w, "demo", NULL, "oy,FRA");
    add_shard(w, "demo", "s1", "oy", "10.1.0.3:6379");
    struct cluster_dc where = { "demo", "jq" };
    OK(w, dc_bind, &where);
    assert_int_equal(group_of(w, "demo", "jq", "s1"), 1);
    assert_int_equal(group_of(w, "demo", "oy", "s1"), 0);
    struct shard_place place = { "demo", "jq", "s1" };
    OK(w, shard_sentinels_clear, &place);
    ASSERT_EFFECTS(w, "changed demo:jq");
    add_shard(w, "demo", "s2", "jq", "10.1.0.4:6379");
    assert_int_equal(group_of(w, "demo", "jq", "s1"), 0); /* not ours to give back */
    assert_int_equal(group_of(w, "demo", "jq", "s2"), 1);
}

static void a_group_in_use_stays_until_it_is_healed(void **state)
{
    struct world *w = *state;
    int64_t first = add_group(w, "", JQ, "10.0.0.1");
    add_cluster(w, "demo", NULL, "jq,oy");
    add_cluster(w, "two", NULL, "jq,FRA");
    add_shard(w, "demo", "s1", "jq", "10.1.0.1:6379");
    add_shard(w, "demo", "s2", "jq", "10.1.0.2:6379");
    add_shard(w, "two", "s1", "jq", "10.1.0.3:6379");
    FAILS(w, XP_CONFLICT,
          "sentinel group 1 is used by 3 shards: set it inactive, then re-choose (PATCH "
          "/api/sentinels/1)",
          sentinel_groups_delete, first);
    OK(w, sentinel_groups_reheal, first); /* it fits: nothing to do */
    assert_true(w->result.is_noop);
    set_active(w, first, false);
    OK(w, sentinel_groups_reheal, first);
    assert_true(w->result.is_noop);
    assert_string_equal(w->result.warning,
                        "3 shards keep group 1: no other active group of their type and tag in "
                        "their DC, or their cluster migrates");
    int64_t second = add_group(w, "", JQ, "10.0.0.2");
    int64_t third = add_group(w, "", JQ, "10.0.0.3");
    OK(w, sentinel_groups_reheal, first);
    assert_int_equal(w->result.changed_count, 3);
    ASSERT_EFFECTS(w, "changed demo:jq changed two:jq");
    assert_int_equal(group_of(w, "demo", "jq", "s1"), second);
    assert_int_equal(group_of(w, "demo", "jq", "s2"), third);
    assert_int_equal(group_of(w, "two", "jq", "s1"), second);
    OK(w, sentinel_groups_delete, first);
    FAILS(w, XP_NOT_FOUND, "sentinel group with id:1 not exist", sentinel_groups_reheal, first);
}

static void the_group_of_one_shard_is_chosen_anew(void **state)
{
    struct world *w = *state;
    int64_t first = add_group(w, "", JQ, "10.0.0.1");
    add_cluster(w, "demo", NULL, "jq,oy");
    add_shard(w, "demo", "s1", "jq", "10.1.0.1:6379");
    add_shard(w, "demo", "s2", "jq", "10.1.0.2:6379");
    struct shard_place place = { "demo", "JQ", "S2" };
    OK(w, shard_sentinels_choose, &place);
    assert_true(w->result.is_noop);
    int64_t second = add_group(w, "", JQ, "10.0.0.2");
    OK(w, shard_sentinels_choose, &place);
    assert_int_equal(w->result.object_id, second);
    ASSERT_EFFECTS(w, "changed demo:jq");
    OK(w, shard_sentinels_choose,
       &place); /* itself is not counted: it does not go back and forth */
    assert_true(w->result.is_noop);
    place.dc = "oy";
    FAILS(w, XP_CONFLICT,
          "no active sentinel group of type ONE_WAY and tag '' has a sentinel in dc oy",
          shard_sentinels_choose, &place);
    place.shard = "none";
    FAILS(w, XP_NOT_FOUND, "oy:demo:none not found", shard_sentinels_clear, &place);

    CLEANUP(sentinel_uses_done) struct sentinel_uses uses = { 0 };
    struct addr sentinel = addr_of("10.0.0.1", 5000);
    assert_int_equal(sentinel_uses_of(&w->cat, &sentinel, &uses, &w->err), 0);
    assert_int_equal(uses.count, 1);
    assert_string_equal(uses.items[0].shard, "s1");
    struct addr redis = addr_of("10.1.0.2", 6379);
    CLEANUP(sentinel_use_done) struct sentinel_use use = { 0 };
    CLEANUP(sentinel_group_row_done) struct sentinel_group_row group = { 0 };
    assert_int_equal(redis_sentinels_get(&w->cat, &redis, &use, &group, &w->err), 0);
    assert_string_equal(use.shard, "s2");
    assert_int_equal(group.id, second);
    assert_int_not_equal(group.id, first);
    struct addr stranger = addr_of("10.1.0.9", 6379);
    assert_int_equal(redis_sentinels_get(&w->cat, &stranger, &use, &group, &w->err), XP_NOT_FOUND);
}

static char *shown_groups(struct world *w, const char *dc)
{
    struct dc_snapshot *snap = NULL;
    assert_int_equal(catalog_dc_snapshot(&w->cat, dc, 0, &snap, &w->err), 0);
    char *text = xstrdup("");
    for (size_t i = 0; i < snap->sentinel_count; i++) {
        AUTO_FREE char *old = text;
        text = xasprintf("%s%lld=%s ", old, (long long)snap->sentinels[i].id,
                         snap->sentinels[i].address);
    }
    dc_snapshot_free(snap);
    return text;
}

static void assert_shown(struct world *w, const char *dc, const char *expected)
{
    AUTO_FREE char *text = shown_groups(w, dc);
    assert_string_equal(text, expected);
}

static void documents_show_what_a_dc_needs(void **state)
{
    struct world *w = *state;
    int64_t first = add_group(w, "", JQ, "10.0.0.1");
    add_group(w, "", OY, "10.0.0.2");
    add_cluster(w, "demo", NULL, "jq,FRA");
    add_shard(w, "demo", "s1", "jq", "10.1.0.1:6379");
    assert_shown(w, "jq", "1=10.0.0.1:5000 ");
    assert_shown(w, "oy", "2=10.0.0.2:5000 ");
    assert_shown(w, "FRA", "");
    set_active(w, first, false);
    assert_shown(w, "jq", "1=10.0.0.1:5000 "); /* it still looks after s1 */
    struct shard_place place = { "demo", "jq", "s1" };
    OK(w, shard_sentinels_clear, &place);
    assert_shown(w, "jq", "");
    struct dc_snapshot *snap = NULL;
    assert_int_equal(catalog_dc_snapshot(&w->cat, "jq", 0, &snap, &w->err), 0);
    assert_int_equal(snap->clusters[0].shards[0].sentinel_id, 0);
    dc_snapshot_free(snap);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, world_open, world_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(groups_are_made_shown_changed_and_deleted),
        CASE(bad_groups_are_refused),
        CASE(a_new_shard_gets_a_group_per_dc),
        CASE(types_and_new_bindings),
        CASE(a_group_in_use_stays_until_it_is_healed),
        CASE(the_group_of_one_shard_is_chosen_anew),
        CASE(documents_show_what_a_dc_needs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
