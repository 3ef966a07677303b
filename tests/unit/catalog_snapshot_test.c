/* The documents' facts: contents, both forms from one builder, versions, size; and the plans of all queries. */
#include "tests/unit/catalog_fixture.h"

#include <glob.h>
#include <sqlite3.h>

#include "shared/base/clock.h"
#include "shared/base/str.h"
#include "tests/unit/stretch.h"

#include "shared/base/banned.h"

static void sql(const struct world *w, const char *text)
{
    sqlite3 *raw = NULL;
    assert_int_equal(sqlite3_open(w->path, &raw), SQLITE_OK);
    int rc = sqlite3_exec(raw, text, NULL, NULL, NULL);
    if (rc != SQLITE_OK) {
        fail_msg("%.200s: %s", text, sqlite3_errmsg(raw));
    }
    assert_int_equal(sqlite3_close(raw), SQLITE_OK);
}

static void snapshot_done(struct dc_snapshot **snapshot)
{
    dc_snapshot_free(*snapshot);
}
#define AUTO_SNAPSHOT CLEANUP(snapshot_done)

static void a_document_has_everything_in_order(void **state)
{
    struct world *w = *state;
    add_cluster(w, "zeta", NULL, "jq,oy");
    add_cluster(w, "alpha", "bi_direction", "FRA,jq");
    add_cluster(w, "empty", NULL, "jq,oy");
    add_cluster(w, "other", NULL, "oy,FRA");
    add_shard(w, "zeta", "s2", "jq", "10.0.1.2:1");
    add_shard(w, "zeta", "s1", "jq", "10.0.1.1:1,10.0.1.1:2");
    add_shard(w, "zeta", "s1", "oy", "10.0.2.1:1");
    add_shard(w, "alpha", "s1", "jq", "10.0.3.1:1");
    sql(w, "INSERT INTO keepercontainer_tbl (keepercontainer_dc, keepercontainer_ip, "
           "keepercontainer_port, "
           "created_wall_ms, updated_wall_ms) VALUES (1, '1.1.1.9', 8080, 0, 0), (2, '1.1.2.9', "
           "8080, 0, 0);"
           "INSERT INTO redis_tbl (dc_cluster_shard_id, redis_ip, redis_port, redis_role, "
           "keepercontainer_id, run_id, "
           "created_wall_ms, updated_wall_ms) SELECT dc_cluster_shard_id, '1.1.1.9', 6380, "
           "'keeper', 1, 'abc', 0, 0 "
           "FROM redis_tbl WHERE redis_ip = '10.0.1.1' AND redis_port = 1;"
           "INSERT INTO sentinel_group_tbl (cluster_type, created_wall_ms, updated_wall_ms) VALUES "
           "('ONE_WAY', 0, 0);"
           "INSERT INTO sentinel_tbl (dc_id, sentinel_group_id, sentinel_ip, sentinel_port, "
           "created_wall_ms, "
           "updated_wall_ms) VALUES (1, 1, '1.1.1.5', 5000, 0, 0), (1, 1, '1.1.1.6', 5000, 0, 0);"
           "INSERT INTO az_tbl (dc_id, az_name, created_wall_ms, updated_wall_ms) VALUES (1, "
           "'az1', 0, 0);"
           "UPDATE redis_tbl SET master = 1 WHERE redis_role = 'redis'");
    AUTO_SNAPSHOT struct dc_snapshot *s = NULL;
    assert_int_equal(catalog_dc_snapshot(&w->cat, "JQ", 0, &s, &w->err), 0);
    assert_string_equal(s->dc, "jq");
    assert_string_equal(s->zone, "Z");
    assert_int_equal(s->version, store_version(w->store));
    assert_int_equal(s->cluster_count, 2); /* the empty one is left out */
    assert_string_equal(s->clusters[0].name, "alpha");
    assert_null(s->clusters[0].active_dc);
    assert_string_equal(s->clusters[0].dcs[0], "FRA"); /* binding order */
    const struct snap_cluster *zeta = &s->clusters[1];
    assert_string_equal(zeta->active_dc, "jq");
    assert_int_equal(zeta->shard_count, 2);
    assert_string_equal(zeta->shards[0].name, "s1");
    assert_int_equal(zeta->shards[0].redis_count, 2);
    assert_int_equal(zeta->shards[0].keeper_count, 1);
    assert_int_equal(zeta->shards[0].redises[1].port, 2);
    assert_true(zeta->shards[0].redises[0].is_master);
    assert_string_equal(zeta->shards[0].keepers[0].run_id, "abc");
    assert_int_equal(zeta->shards[0].keepers[0].container_id, 1);
    assert_string_equal(zeta->shards[1].redises[0].ip, "10.0.1.2");
    assert_int_equal(s->container_count, 1);
    assert_int_equal(s->sentinel_count, 1);
    assert_string_equal(s->sentinels[0].address, "1.1.1.5:5000,1.1.1.6:5000");
    assert_int_equal(s->az_count, 1);

    AUTO_SNAPSHOT struct dc_snapshot *oy = NULL;
    assert_int_equal(catalog_dc_snapshot(&w->cat, "oy", TYPE_BIT(CLUSTER_ONE_WAY), &oy, &w->err),
                     0);
    assert_int_equal(oy->cluster_count, 1);
    assert_int_equal(oy->clusters[0].shard_count, 1);
    assert_false(oy->clusters[0].shards[0].redises[0].is_master); /* not the active DC */
    AUTO_SNAPSHOT struct dc_snapshot *none = NULL;
    assert_int_equal(catalog_dc_snapshot(&w->cat, "mars", 0, &none, &w->err), XP_NOT_FOUND);
    assert_string_equal(w->err.msg, "dc mars not found");
}

static void a_push_has_empty_shards_too(void **state)
{
    struct world *w = *state;
    add_cluster(w, "demo", NULL, "jq,oy");
    add_shard(w, "demo", "s1", "jq", "10.0.1.1:1");
    AUTO_SNAPSHOT struct dc_snapshot *s = NULL;
    assert_int_equal(catalog_cluster_snapshot(&w->cat, "oy", "DEMO", &s, &w->err), 0);
    assert_int_equal(s->cluster_count, 1);
    assert_int_equal(s->clusters[0].shard_count, 1);
    assert_int_equal(s->clusters[0].shards[0].redis_count, 0);
    assert_int_equal(s->clusters[0].version, store_version(w->store));
    AUTO_SNAPSHOT struct dc_snapshot *none = NULL;
    assert_int_equal(catalog_cluster_snapshot(&w->cat, "FRA", "demo", &none, &w->err),
                     XP_NOT_FOUND);
    assert_string_equal(w->err.msg, "not find dc cluster FRA demo");
}

static int64_t dc_version(struct world *w, const char *dc)
{
    int64_t version = 0;
    assert_int_equal(catalog_dc_version(&w->cat, dc, &version, &w->err), 0);
    return version;
}

static void a_dc_has_a_new_version_only_when_its_document_changes(void **state)
{
    struct world *w = *state;
    add_cluster(w, "demo", NULL, "jq,oy");
    int64_t jq = dc_version(w, "jq");
    int64_t fra = dc_version(w, "fra-aws");
    add_shard(w, "demo", "s1", "jq", "10.0.1.1:1");
    assert_int_equal(dc_version(w, "jq"), jq + 1);
    assert_int_equal(dc_version(w, "FRA"), fra);
}

static void unusable_routes_are_left_out_and_reported(void **state)
{
    struct world *w = *state;
    struct proxy_edit p[] = { { .uri = "PROXYTCP://2.2.2.2:80", .dc = "jq", .active = TRI_YES },
                              { .uri = "PROXYTLS://4.4.4.4:443", .dc = "FRA", .active = TRI_YES } };
    OK(w, proxies_create, &p[0]);
    OK(w, proxies_create, &p[1]);
    struct route_edit r = { .src_dc = "jq",
                            .dst_dc = "FRA",
                            .src_proxy_ids = "1",
                            .dst_proxy_ids = "2",
                            .tag = "meta",
                            .active = TRI_YES,
                            .is_public = TRI_YES };
    OK(w, routes_create, &r);
    r.dst_proxy_ids = "";
    r.force = true;
    OK(w, routes_create, &r);
    AUTO_SNAPSHOT struct dc_snapshot *s = NULL;
    assert_int_equal(catalog_dc_snapshot(&w->cat, "jq", 0, &s, &w->err), 0);
    assert_int_equal(s->route_count, 1);
    assert_string_equal(s->routes[0].route_info, "PROXYTCP://2.2.2.2:80 PROXYTLS://4.4.4.4:443");
    assert_int_equal(s->bad_route_count, 1);
    assert_int_equal(s->bad_routes[0].route.id, 2);
    assert_string_equal(s->bad_routes[0].problem, "the far hop has no active proxy");
    AUTO_SNAPSHOT struct dc_snapshot *fra = NULL;
    assert_int_equal(catalog_dc_snapshot(&w->cat, "FRA", 0, &fra, &w->err), 0);
    assert_int_equal(fra->route_count + fra->bad_route_count, 0); /* only the source DC gets it */
}

/* ---- size ---- */

static void fill(const struct world *w, int clusters)
{
    AUTO_FREE char *text = xasprintf(
        "BEGIN; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) "
        "INSERT INTO cluster_tbl (cluster_name, cluster_type, activedc_id, version, "
        "created_wall_ms, updated_wall_ms) "
        "SELECT 'cluster-' || i, 'ONE_WAY', 1, 1, 0, 0 FROM n;"
        "INSERT INTO dc_cluster_tbl (dc_id, cluster_id, created_wall_ms, updated_wall_ms) "
        "SELECT d.id, c.id, 0, 0 FROM cluster_tbl c, dc_tbl d WHERE d.id <= 2;"
        "INSERT INTO shard_tbl (shard_name, cluster_id, setinel_monitor_name, created_wall_ms, "
        "updated_wall_ms) "
        "SELECT 's' || k.v, c.id, 's' || k.v, 0, 0 FROM cluster_tbl c, (SELECT 1 AS v UNION SELECT "
        "2) k;"
        "INSERT INTO dc_cluster_shard_tbl (dc_cluster_id, shard_id, created_wall_ms, "
        "updated_wall_ms) "
        "SELECT x.dc_cluster_id, s.id, 0, 0 FROM dc_cluster_tbl x JOIN shard_tbl s ON s.cluster_id "
        "= x.cluster_id;"
        "INSERT INTO redis_tbl (dc_cluster_shard_id, redis_ip, redis_port, created_wall_ms, "
        "updated_wall_ms) "
        "SELECT y.dc_cluster_shard_id, '10.' || (y.dc_cluster_shard_id / 250) || '.0.' || "
        "(y.dc_cluster_shard_id %% 250), "
        "k.v, 0, 0 FROM dc_cluster_shard_tbl y, (SELECT 6379 AS v UNION SELECT 6380) k; COMMIT",
        clusters);
    sql(w, text);
}

static void a_thousand_clusters_are_read_fast(void **state)
{
    struct world *w = *state;
    const char *wanted = getenv("XPIPE_SNAPSHOT_CLUSTERS");
    int64_t clusters = 1000;
    if (wanted) {
        assert_true(text_to_i64(wanted, strlen(wanted), 1, 100000, &clusters));
    }
    fill(w, (int)clusters);
    AUTO_SNAPSHOT struct dc_snapshot *s = NULL;
    struct stretch whole = stretch_begin();
    int64_t begin = clock_mono_us();
    assert_int_equal(catalog_dc_snapshot(&w->cat, "jq", 0, &s, &w->err), 0);
    int64_t whole_us = clock_mono_us() - begin;
    AUTO_SNAPSHOT struct dc_snapshot *one = NULL;
    struct stretch single = stretch_begin();
    begin = clock_mono_us();
    assert_int_equal(catalog_cluster_snapshot(&w->cat, "jq", "cluster-7", &one, &w->err), 0);
    int64_t one_us = clock_mono_us() - begin;
    assert_took(&whole, whole_us / 1000, 0,
                clusters); /* 20 times of what it takes: a table scan per cluster would show */
    assert_took(&single, one_us / 1000, 0, 100);
    print_message("# snapshot of %lld clusters: %lld us, of one of them: %lld us\n",
                  (long long)clusters, (long long)whole_us, (long long)one_us);
    assert_int_equal(s->cluster_count, clusters);
    assert_int_equal(s->clusters[clusters - 1].shard_count, 2);
    assert_int_equal(s->clusters[clusters - 1].shards[1].redis_count, 2);
    assert_int_equal(one->clusters[0].shards[0].redis_count, 2);
}

/* ---- plans ---- */

static char *read_text(const char *path)
{
    char buf[8192];
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    size_t n = fread(buf, 1, sizeof(buf) - 1, file);
    (void)fclose(file);
    return xstrndup(buf, n);
}

/* Lists and counts read all rows by their nature; a scan elsewhere is a missing index. */
static bool may_scan(const char *query, const char *detail)
{
    static const char *const whole[] = { "cluster_stats",
                                         "dc_count",
                                         "dc_list",
                                         "organization_list",
                                         "outbox_count",
                                         "outbox_list",
                                         "change_last",
                                         "snap_sentinels",
                                         "az_list",
                                         "keeper_container_list",
                                         "migration_active_dcs",
                                         "migration_progress",
                                         "migration_event_page",
                                         "migration_event_count",
                                         "migration_history",
                                         "bi_events",
                                         "idempotency_forget",
                                         "divergence_page",
                                         "engine_" };
    for (size_t i = 0; i < ARRAY_LEN(whole); i++) {
        if (strstr(query, whole[i])) {
            return true;
        }
    }
    /* A partial index of what is not over. */
    return strstr(detail, "migration_cluster_active") || strstr(detail, "json_each") ||
           strstr(detail, "(subquery") || strstr(detail, "CONSTANT ROW");
}

static void check_query(sqlite3 *raw, const char *path)
{
    AUTO_FREE char *text = read_text(path);
    AUTO_FREE char *explain = xasprintf("EXPLAIN QUERY PLAN %s", text);
    sqlite3_stmt *s = NULL;
    if (sqlite3_prepare_v2(raw, explain, -1, &s, NULL) != SQLITE_OK) {
        fail_msg("%s: %s", path, sqlite3_errmsg(raw));
    }
    while (sqlite3_step(s) == SQLITE_ROW) {
        const char *detail = (const char *)sqlite3_column_text(s, 3);
        if (text_has_prefix(detail, "SCAN") && !may_scan(path, detail)) {
            fail_msg("%s: %s", path, detail);
        }
    }
    assert_int_equal(sqlite3_finalize(s), SQLITE_OK);
}

static void no_query_scans_a_table(void **state)
{
    struct world *w = *state;
    glob_t found;
    sqlite3 *raw = NULL;
    assert_int_equal(sqlite3_open(w->path, &raw), SQLITE_OK);
    assert_int_equal(glob("schema/queries/*.sql", 0, NULL, &found), 0);
    assert_true(found.gl_pathc > 80);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        check_query(raw, found.gl_pathv[i]);
    }
    globfree(&found);
    assert_int_equal(sqlite3_close(raw), SQLITE_OK);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_open, world_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_document_has_everything_in_order),
        TEST(a_push_has_empty_shards_too),
        TEST(a_dc_has_a_new_version_only_when_its_document_changes),
        TEST(unusable_routes_are_left_out_and_reported),
        TEST(a_thousand_clusters_are_read_fast),
        TEST(no_query_scans_a_table),
    };
    return cmocka_run_group_tests_name("catalog_snapshot", tests, NULL, NULL);
}
