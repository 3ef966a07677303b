/* DCs, organizations, aliases, clusters and bindings: literal texts, uniqueness, soft delete, effects. */
#include "tests/unit/catalog_fixture.h"

#include "shared/base/str.h"

#include "shared/base/banned.h"

static const char *const two_dcs[] = { "jq", "oy" };

static void create_refuses_with_the_known_texts_in_order(void **state)
{
    struct world *w = *state;
    struct cluster_spec s = { 0 };
    FAILS(w, XP_INVALID, "clusterName empty", clusters_create, &s);
    s.name = "demo";
    s.type = "nonsense";
    FAILS(w, XP_INVALID, "invalidate clusterType", clusters_create, &s);
    s.type = "one_way";
    FAILS(w, XP_INVALID, "desc empty", clusters_create, &s);
    s.description = "d";
    FAILS(w, XP_INVALID, "clusterAdminEmails empty", clusters_create, &s);
    const char *bad[] = { "x", "a@", "@b", "a@b@c", "a@b c@d", ",;", "a@b,c", "a b@c" };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        s.admin_emails = bad[i];
        FAILS(w, XP_INVALID, "Emails should be ctrip emails and separated by comma or semicolon",
              clusters_create, &s);
    }
    s.admin_emails = "a@b.com; c+d@e";
    FAILS(w, XP_INVALID, "organizationId empty", clusters_create, &s);
    s.has_org_id = true;
    s.org_id = 77;
    FAILS(w, XP_INVALID, "dcs, regions should have at least one not empty", clusters_create, &s);
    s.dcs = two_dcs;
    s.dc_count = 1;
    FAILS(w, XP_INVALID, "dcs size should be at least two, first active!", clusters_create, &s);
    s.dc_count = 2;
    FAILS(w, XP_NOT_FOUND, "Organization Id: 77, could not be found", clusters_create, &s);
    s.org_id = 8;
    s.dcs = (const char *const[]){ "jq", "mars" };
    FAILS(w, XP_NOT_FOUND, "az - mars does not exist", clusters_create, &s);
    s.dcs = (const char *const[]){ "jq", "JQ" };
    FAILS(w, XP_INVALID, "dcs: jq appears twice", clusters_create, &s);
    s.name = "a/b";
    FAILS(w, XP_INVALID, "clusterName must not contain '/' or control characters", clusters_create,
          &s);
    s.name = "..";
    FAILS(w, XP_INVALID, "clusterName must not be '..': clients drop it from a path",
          clusters_create, &s);
    s.name = "\xff";
    FAILS(w, XP_INVALID, "clusterName is not valid UTF-8", clusters_create, &s);
    s.name = "demo";
    s.dcs = two_dcs;
    OK(w, clusters_create, &s);
    s.name = "DEMO";
    FAILS(w, XP_CONFLICT, "cluster - DEMO exist", clusters_create, &s);
}

static void a_cluster_reads_back(void **state)
{
    struct world *w = *state;
    add_cluster(w, "demo", "one_way", "oy,FRA-AWS,jq");
    ASSERT_EFFECTS(w, "changed demo:oy,FRA,jq");
    CLEANUP(cluster_row_done) struct cluster_row row = { 0 };
    assert_int_equal(clusters_get(&w->cat, "Demo", &row, &w->err), 0);
    assert_string_equal(row.name, "demo");
    assert_string_equal(row.type, "ONE_WAY");
    assert_string_equal(row.active_dc, "oy");
    assert_int_equal(row.dcs.count, 3);
    assert_string_equal(row.dcs.items[1], "FRA");
    assert_int_equal(row.org_id, 8);
    assert_int_equal(row.org_pk, 2);
    assert_string_equal(row.status, "Normal");
    assert_int_equal(strlen(row.last_modified), 17);
    assert_int_equal(row.version, store_version(w->store));
    cluster_row_done(&row);
    add_cluster(w, "bi", "bi_direction", "oy,jq");
    assert_int_equal(clusters_get(&w->cat, "bi", &row, &w->err), 0);
    assert_null(row.active_dc);
    cluster_row_done(&row);
    assert_int_equal(clusters_get(&w->cat, "none", &row, &w->err), XP_NOT_FOUND);
    assert_string_equal(w->err.msg, "cluster none not found");
}

static size_t list_count(struct world *w, const struct cluster_filter *filter)
{
    CLEANUP(clusters_done) struct cluster_rows rows = { 0 };
    assert_int_equal(clusters_list(&w->cat, filter, &rows, &w->err), 0);
    for (size_t i = 1; i < rows.count; i++) {
        assert_true(strcmp(rows.items[i - 1].name, rows.items[i].name) < 0);
    }
    return rows.count;
}

static void lists_filter_and_page(void **state)
{
    struct world *w = *state;
    add_cluster(w, "b", "bi_direction", "jq,FRA");
    add_cluster(w, "a", NULL, "jq,oy");
    add_cluster(w, "c", "single_dc", "oy");
    unsigned types = 0;
    assert_int_equal(type_set_parse("one_way, Bi_Direction", &types, &w->err), 0);
    assert_int_equal(list_count(w, &(struct cluster_filter){ .types = types }), 2);
    assert_int_equal(list_count(w, &(struct cluster_filter){ .dc = "fra-aws" }), 1);
    assert_int_equal(list_count(w, &(struct cluster_filter){ .dc = "mars" }), 0);
    assert_int_equal(list_count(w, &(struct cluster_filter){ .name_part = "B" }), 1);
    assert_int_equal(list_count(w, &(struct cluster_filter){ .after_name = "a", .limit = 1 }), 1);
    assert_int_equal(list_count(w, &(struct cluster_filter){ 0 }), 3);
    assert_int_equal(type_set_parse("x", &types, &w->err), XP_INVALID);
    assert_string_equal(w->err.msg, "unknown cluster type x");
    struct cluster_stats stats;
    assert_int_equal(clusters_stats(&w->cat, &stats, &w->err), 0);
    assert_int_equal(stats.cluster_count, 3);
}

static void delete_frees_the_name_and_never_the_id(void **state)
{
    struct world *w = *state;
    add_cluster(w, "demo", NULL, "jq,oy");
    int64_t first_id = w->result.object_id;
    add_shard(w, "demo", "s1", "jq", "1.1.1.1:6379");
    struct cluster_delete del = { .name = "demo", .check_empty = true };
    FAILS(w, XP_CONFLICT, "cluster not empty", clusters_delete, &del);
    del.check_empty = false;
    OK(w, clusters_delete, &del);
    ASSERT_EFFECTS(w, "deleted demo:jq,oy");
    FAILS(w, XP_NOT_FOUND, "Cannot find cluster: demo", clusters_delete, &del);
    del.check_empty = true;
    FAILS(w, XP_NOT_FOUND, "cluster not found:demo", clusters_delete, &del);
    for (int i = 0; i < 3; i++) { /* three times within one second */
        add_cluster(w, "DEMO", NULL, "jq,oy");
        assert_true(w->result.object_id > first_id);
        first_id = w->result.object_id;
        add_shard(w, "demo", "s1", "jq", "1.1.1.1:6379");
        del.check_empty = false;
        OK(w, clusters_delete, &del);
    }
}

static void update_changes_what_is_given(void **state)
{
    struct world *w = *state;
    add_cluster(w, "demo", NULL, "jq,oy");
    struct cluster_update u = {
        .name = "demo", .description = "new", .tag = "t1", .has_org_id = true
    };
    struct cluster_updates list = { &u, 1 };
    OK(w, clusters_update, &list);
    ASSERT_EFFECTS(w, "changed demo:jq,oy");
    OK(w, clusters_update, &list);
    assert_true(w->result.is_noop);
    assert_int_equal(w->result.effects.count, 0);
    u.type = "bi_direction";
    FAILS(w, XP_INVALID, "Only (ONE_WAY, SINGLE_DC)/HETERO cluster can be converted to each other",
          clusters_update, &list);
    u.type = "hetero";
    FAILS(w, XP_INVALID, "To convert to HETERO, you need to upgrade to az group model first",
          clusters_update, &list);
    u.type = "single_dc";
    OK(w, clusters_update, &list);
    u.name = "none";
    FAILS(w, XP_NOT_FOUND, "Not find cluster: none", clusters_update, &list);
    struct cluster_update both[] = { { .name = "demo", .description = "lost" },
                                     { .name = "none" } };
    list = (struct cluster_updates){ both, 2 };
    FAILS(w, XP_NOT_FOUND, "Not find cluster: none", clusters_update, &list);
    CLEANUP(cluster_row_done) struct cluster_row row = { 0 };
    assert_int_equal(clusters_get(&w->cat, "demo", &row, &w->err), 0);
    assert_string_equal(row.description, "new"); /* all or nothing */
    assert_string_equal(row.type, "SINGLE_DC");
    assert_int_equal(row.org_id, 0);
}

static void if_version_guards_against_lost_updates(void **state)
{
    struct world *w = *state;
    add_cluster(w, "demo", NULL, "jq,oy");
    w->ctx.if_version = w->result.idx;
    struct cluster_update u = { .name = "demo", .description = "mine" };
    struct cluster_updates list = { &u, 1 };
    OK(w, clusters_update, &list);
    u.description = "theirs";
    assert_int_equal(DO(w, clusters_update, &list), XP_CONFLICT);
    assert_non_null(strstr(w->err.msg, "read it again, then repeat"));
}

static void binding_tells_everybody(void **state)
{
    struct world *w = *state;
    add_cluster(w, "demo", NULL, "jq,oy");
    add_shard(w, "demo", "s1", "jq", "1.1.1.1:6379");
    struct cluster_dc bind = { "demo", "fra" };
    OK(w, dc_bind, &bind);
    ASSERT_EFFECTS(w, "changed demo:jq,oy,FRA");
    FAILS(w, XP_CONFLICT, "Cluster: demo already exist FRA dc", dc_bind, &bind);
    struct redises_edit add = { { "demo", "FRA", "s1" },
                                &(struct instance_spec){ .addr = "3.3.3.3:6379" },
                                1 };
    OK(w, redises_add, &add); /* binding made the shard's row */
    FAILS(w, XP_CONFLICT, "cluster not empty in dc FRA", dc_unbind, &bind);
    OK(w, redises_remove, &add);
    OK(w, dc_unbind, &bind);
    ASSERT_EFFECTS(w, "deleted demo:FRA changed demo:jq,oy");
    FAILS(w, XP_NOT_FOUND, "Cluster: demo not exist FRA dc", dc_unbind, &bind);
    OK(w, dc_bind, &bind);
    struct cluster_dc other = { "none", "jq" };
    FAILS(w, XP_NOT_FOUND, "Cannot find cluster: none", dc_bind, &other);
    other = (struct cluster_dc){ "demo", "mars" };
    FAILS(w, XP_NOT_FOUND, "Cannot find dc: mars", dc_bind, &other);
    struct redises_edit rest = { { "demo", "jq", "s1" },
                                 &(struct instance_spec){ .addr = "1.1.1.1:6379" },
                                 1 };
    OK(w, redises_remove, &rest);
    other.dc = "jq";
    FAILS(w, XP_CONFLICT, "cannot unbind active dc", dc_unbind, &other);
}

static void dcs_and_organizations_keep_their_rules(void **state)
{
    struct world *w = *state;
    struct dc_edit edit = { .name = "JQ", .zone_id = 1 };
    FAILS(w, XP_CONFLICT, "dc jq already exists", dcs_create, &edit);
    edit.name = "a,b";
    FAILS(w, XP_INVALID, "dc_name must consist of letters, digits, '.', '_' and '-'", dcs_create,
          &edit);
    edit.name = "none";
    FAILS(w, XP_NOT_FOUND, "dc with name:none not exist", dcs_update, &edit);
    edit = (struct dc_edit){ .name = "jq", .active = TRI_NO };
    OK(w, dcs_update, &edit);
    ASSERT_EFFECTS(w, "document :jq");
    OK(w, dcs_update, &edit);
    assert_true(w->result.is_noop);
    CLEANUP(dc_row_done) struct dc_row row = { 0 };
    assert_int_equal(dcs_get(&w->cat, "JQ", &row, &w->err), 0);
    assert_false(row.is_active);
    assert_string_equal(row.description, "d"); /* absent: unchanged */
    add_cluster(w, "demo", NULL, "jq,oy");
    FAILS(w, XP_CONFLICT, "dc jq still has clusters: remove them first", dcs_delete, "jq");
    OK(w, dcs_delete, "FRA-AWS");
    FAILS(w, XP_CONFLICT, "zone z already exists", zones_create, "z");
    struct organization_edit org = { .org_id = 8, .name = "other" };
    FAILS(w, XP_CONFLICT, "Organization Id: 8 already exists", organizations_create, &org);
    OK(w, organizations_update, &org);
    CLEANUP(organizations_done) struct organization_rows rows = { 0 };
    assert_int_equal(organizations_list(&w->cat, &rows, &w->err), 0);
    assert_int_equal(rows.count, 1);
    assert_string_equal(rows.items[0].name, "other");
}

static void aliases_are_checked_and_mapped(void **state)
{
    struct world *w = *state;
    assert_string_equal(dc_alias_outer(w->alias, "fra"), "FRA-AWS");
    assert_string_equal(dc_alias_inner(w->alias, "fra-aws"), "FRA");
    assert_string_equal(dc_alias_inner(w->alias, "jq"), "jq");
    assert_string_equal(dc_alias_inner(NULL, "x"), "x");
    const char *bad[] = {
        "[]", "{\"a\":1}",   "{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":\"x\",\"b\":\"X\"}",
        "{",  "{\"a\":\"\"}"
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct dc_alias *alias = NULL;
        assert_int_equal(dc_alias_parse(bad[i], &alias, &w->err), XP_INVALID);
        assert_null(alias);
    }
    struct dc_alias *none = NULL;
    assert_int_equal(dc_alias_parse(" ", &none, &w->err), 0);
    dc_alias_free(none);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_open, world_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(create_refuses_with_the_known_texts_in_order),
        TEST(a_cluster_reads_back),
        TEST(lists_filter_and_page),
        TEST(delete_frees_the_name_and_never_the_id),
        TEST(update_changes_what_is_given),
        TEST(if_version_guards_against_lost_updates),
        TEST(binding_tells_everybody),
        TEST(dcs_and_organizations_keep_their_rules),
        TEST(aliases_are_checked_and_mapped),
    };
    return cmocka_run_group_tests_name("catalog_clusters", tests, NULL, NULL);
}
