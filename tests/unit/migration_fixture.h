/* migration_fixture.h - a real store with a one-way cluster "c1" in jq (active), oy and FRA, shards s1 and s2, and a migration of it
 * from jq to oy that was just made: event 1, row 1, Initiated. */
#ifndef TESTS_UNIT_MIGRATION_FIXTURE_H
#define TESTS_UNIT_MIGRATION_FIXTURE_H

#include <sqlite3.h>

#include "console/migration/migration_rows.h"
#include "tests/unit/catalog_fixture.h"

MAY_BE_UNUSED static void sql(const struct world *w, const char *text)
{
    sqlite3 *raw = NULL;
    char *problem = NULL;
    assert_int_equal(sqlite3_open(w->path, &raw), SQLITE_OK);
    (void)sqlite3_busy_timeout(raw, 5000);
    if (sqlite3_exec(raw, text, NULL, NULL, &problem) != SQLITE_OK) {
        fail_msg("%s: %s", text, problem);
    }
    (void)sqlite3_close(raw);
}

/* The first column of the first row as text; "" when there is none. Returns owned. */
MAY_BE_UNUSED static char *ask_sql(const struct world *w, const char *text)
{
    sqlite3 *raw = NULL;
    sqlite3_stmt *statement = NULL;
    assert_int_equal(sqlite3_open(w->path, &raw), SQLITE_OK);
    (void)sqlite3_busy_timeout(raw, 5000);
    if (sqlite3_prepare_v2(raw, text, -1, &statement, NULL) != SQLITE_OK) {
        fail_msg("%s: %s", text, sqlite3_errmsg(raw));
    }
    const char *value = NULL;
    if (sqlite3_step(statement) == SQLITE_ROW) {
        value = (const char *)sqlite3_column_text(statement, 0);
    }
    char *answer = xstrdup(value ? value : "");
    (void)sqlite3_finalize(statement);
    (void)sqlite3_close(raw);
    return answer;
}

#define ASSERT_SQL(w, expected, query)                                                             \
    do {                                                                                           \
        AUTO_FREE char *answer_ = ask_sql(w, query);                                               \
        assert_string_equal(answer_, expected);                                                    \
    } while (0)

MAY_BE_UNUSED static void add_one_way(struct world *w, const char *cluster, int host)
{
    static const char *const dcs[] = { "jq", "oy", "FRA" };
    add_cluster(w, cluster, "ONE_WAY", "jq,oy,FRA");
    for (int shard = 1; shard <= 2; shard++) {
        for (int dc = 0; dc < 3; dc++) {
            char name[16];
            (void)snprintf(name, sizeof(name), "s%d", shard);
            AUTO_FREE char *redises =
                xasprintf("10.%d.%d.%d:6379,10.%d.%d.%d:6380", dc + 1, host / 100,
                          host % 100 * 2 + shard, dc + 1, host / 100, host % 100 * 2 + shard);
            add_shard(w, cluster, name, dcs[dc], redises);
        }
    }
}

/* What migration_event_create writes, for clusters first..last, each of them in one event. */
MAY_BE_UNUSED static void add_migrations(const struct world *w, int64_t first, int64_t last)
{
    AUTO_FREE char *text =
        xasprintf("BEGIN;"
                  "INSERT INTO migration_event_tbl (start_time, operator, policy, mode) VALUES "
                  "(1000, 'dba', 'all', 'planned');"
                  "INSERT INTO migration_cluster_tbl (migration_event_id, cluster_id, "
                  "source_dc_id, destination_dc_id, start_time, status, mode, epoch)"
                  " SELECT (SELECT max(id) FROM migration_event_tbl), c.id, c.activedc_id, (SELECT "
                  "id FROM dc_tbl WHERE dc_name = 'oy'), 1000,"
                  "  'Initiated', 'planned', 1 FROM cluster_tbl c WHERE c.id BETWEEN %lld AND %lld "
                  "ORDER BY c.id;"
                  "INSERT INTO migration_shard_tbl (migration_cluster_id, shard_id)"
                  " SELECT m.id, s.id FROM migration_cluster_tbl m JOIN shard_tbl s ON "
                  "s.cluster_id = m.cluster_id"
                  " WHERE m.migration_event_id = (SELECT max(id) FROM migration_event_tbl) AND "
                  "s.deleted_at = 0;"
                  "UPDATE cluster_tbl SET status = 'Lock', migration_event_id = (SELECT max(id) "
                  "FROM migration_event_tbl)"
                  " WHERE id BETWEEN %lld AND %lld;"
                  "COMMIT;",
                  (long long)first, (long long)last, (long long)first, (long long)last);
    sql(w, text);
}

MAY_BE_UNUSED static int migration_world_open(void **state)
{
    int rc = world_open(state);
    struct world *w = *state;
    add_one_way(w, "c1", 1);
    add_migrations(w, 1, 1);
    return rc;
}

#endif
