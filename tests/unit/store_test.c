/* The change log, its chain, versions, the outbox, and what happens when the process or the disk fails. */
#include "tests/unit/catalog_fixture.h"

#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "shared/base/fault.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

static void sql(const struct world *w, const char *text)
{
    sqlite3 *raw = NULL;
    assert_int_equal(sqlite3_open(w->path, &raw), SQLITE_OK);
    int rc = sqlite3_exec(raw, text, NULL, NULL, NULL);
    if (rc != SQLITE_OK) {
        fail_msg("%s: %s", text, sqlite3_errmsg(raw));
    }
    assert_int_equal(sqlite3_close(raw), SQLITE_OK);
}

static int64_t sql_number(const char *path, const char *text)
{
    sqlite3 *raw = NULL;
    sqlite3_stmt *s = NULL;
    assert_int_equal(sqlite3_open(path, &raw), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(raw, text, -1, &s, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    int64_t value = sqlite3_column_int64(s, 0);
    assert_int_equal(sqlite3_finalize(s), SQLITE_OK);
    assert_int_equal(sqlite3_close(raw), SQLITE_OK);
    return value;
}

static void a_change_appends_one_row(void **state)
{
    struct world *w = *state;
    int64_t before = store_version(w->store);
    add_cluster(w, "demo", "one_way", "jq,oy");
    assert_int_equal(w->result.idx, before + 1);
    assert_int_equal(store_version(w->store), before + 1);
    CLEANUP(change_rows_done) struct change_rows rows = { 0 };
    assert_int_equal(store_changes(w->store, before, 10, &rows, &w->err), 0);
    assert_int_equal(rows.count, 1);
    assert_string_equal(rows.items[0].op, "cluster.create");
    assert_string_equal(rows.items[0].actor, "dba");
    assert_string_equal(rows.items[0].request_id, "r-1");
    assert_int_equal(rows.items[0].epoch, 1);
    assert_non_null(strstr(rows.items[0].body, "\"cluster\":\"demo\""));
    assert_non_null(strstr(rows.items[0].body, "\"peer_ip\":\"10.0.0.1\""));
    reopen_store(w);
    assert_int_equal(store_version(w->store), before + 1);
}

static void a_failed_change_leaves_nothing(void **state)
{
    struct world *w = *state;
    int64_t before = store_version(w->store);
    assert_int_equal(try_cluster(w, "demo", NULL, "jq,nowhere"), XP_NOT_FOUND);
    assert_int_equal(store_version(w->store), before);
    assert_int_equal(sql_number(w->path, "SELECT count(*) FROM cluster_tbl"), 0);
}

static void a_dry_run_checks_and_stores_nothing(void **state)
{
    struct world *w = *state;
    int64_t before = store_version(w->store);
    w->ctx.dry_run = true;
    add_cluster(w, "demo", NULL, "jq,oy");
    assert_int_equal(w->result.idx, before + 1);
    ASSERT_EFFECTS(w, "changed demo:jq,oy");
    assert_int_equal(store_version(w->store), before);
    w->ctx.dry_run = false;
    assert_int_equal(
        sql_number(
            w->path,
            "SELECT (SELECT count(*) FROM cluster_tbl) + (SELECT count(*) FROM push_outbox)"),
        0);
    add_cluster(w, "demo", NULL, "jq,oy");
    assert_int_equal(w->result.idx, before + 1);
}

static struct chain_report verify(struct world *w)
{
    struct chain_report report = { 0 };
    assert_int_equal(store_verify_chain(w->store, &report, &w->err), 0);
    return report;
}

static void the_chain_is_sound_and_tampering_shows(void **state)
{
    struct world *w = *state;
    add_cluster(w, "demo", NULL, "jq,oy");
    struct chain_report report = verify(w);
    assert_int_equal(report.bad_idx, 0);
    assert_int_equal(report.checked_count, store_version(w->store));
    sql(w, "DROP TRIGGER change_log_no_update; DROP TRIGGER change_log_no_delete");

    sql(w, "UPDATE change_log SET actor = 'nobody' WHERE idx = 3");
    report = verify(w);
    assert_int_equal(report.bad_idx, 3);
    assert_string_equal(report.reason, "row 3 was changed: its fields do not give its hash");
    sql(w, "UPDATE change_log SET actor = 'dba' WHERE idx = 3");
    assert_int_equal(verify(w).bad_idx, 0);

    sql(w, "UPDATE change_log SET prev_hash = hash WHERE idx = 4");
    assert_int_equal(verify(w).bad_idx, 4);
    sql(w, "DELETE FROM change_log WHERE idx = 2");
    report = verify(w);
    assert_int_equal(report.bad_idx, 2);
    assert_string_equal(report.reason, "row 2 is missing");
}

static void the_log_is_append_only(void **state)
{
    struct world *w = *state;
    sqlite3 *raw = NULL;
    assert_int_equal(sqlite3_open(w->path, &raw), SQLITE_OK);
    assert_int_equal(sqlite3_exec(raw, "DELETE FROM change_log", NULL, NULL, NULL),
                     SQLITE_CONSTRAINT);
    assert_int_equal(sqlite3_exec(raw, "UPDATE change_log SET op = 'x'", NULL, NULL, NULL),
                     SQLITE_CONSTRAINT);
    assert_int_equal(sqlite3_close(raw), SQLITE_OK);
}

static void a_second_console_is_locked_out(void **state)
{
    struct world *w = *state;
    struct store *second = NULL;
    struct store_options options = { .path = w->path };
    assert_int_equal(store_open(&options, &second, &w->err), XP_UNAVAILABLE);
    assert_non_null(strstr(w->err.msg, "is in use by another console (process "));
    assert_non_null(strstr(w->err.msg, "stop it first"));
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _exit(store_open(&options, &second, NULL) == XP_UNAVAILABLE ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* ---- failing ---- */

/* Runs 'fn' on a store of its own in a child; returns the wait status. */
static int in_child(const struct world *w, void (*fn)(struct store *, const struct world *))
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct store *store = NULL;
        struct xp_err err = { 0 };
        struct store_options options = { .path = w->path, .readers = 1 };
        (void)signal(SIGABRT, SIG_DFL);
        (void)close(STDERR_FILENO);
        if (store_open(&options, &store, &err) != 0) {
            _exit(90);
        }
        fn(store, w);
        store_close(store);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

#if defined(XP_FAULTS) && XP_FAULTS /* release builds have no fault points */
static void create_crash(struct store *store, const struct world *w)
{
    struct catalog cat = { .store = store };
    struct catalog_result result = { 0 };
    if (zones_create(&cat, &w->ctx, "crash", &result, NULL) == 0) {
        catalog_result_done(&result);
    }
}

static void a_crash_around_commit_is_all_or_nothing(void **state)
{
    struct world *w = *state;
    struct xp_err err = { 0 };
    assert_int_equal(fault_configure("db_before_commit=crash", &err), 0);
    store_close(w->store);
    w->store = NULL;
    int64_t rows = sql_number(w->path, "SELECT count(*) FROM change_log");
    assert_true(WIFSIGNALED(in_child(w, create_crash)));
    assert_int_equal(sql_number(w->path, "SELECT count(*) FROM zone_tbl WHERE zone_name = 'crash'"),
                     0);
    assert_int_equal(sql_number(w->path, "SELECT count(*) FROM change_log"), rows);

    assert_int_equal(fault_configure("db_commit=crash", &err), 0);
    assert_true(WIFSIGNALED(in_child(w, create_crash)));
    assert_int_equal(sql_number(w->path, "SELECT count(*) FROM zone_tbl WHERE zone_name = 'crash'"),
                     1);
    assert_int_equal(sql_number(w->path, "SELECT count(*) FROM change_log"), rows + 1);
    assert_int_equal(fault_configure("", &err), 0);
    open_store(w);
    assert_int_equal(verify(w).bad_idx, 0);
    assert_int_equal(store_version(w->store), rows + 1);
}

static void a_refused_commit_leaves_nothing(void **state)
{
    struct world *w = *state;
    int64_t before = store_version(w->store);
    assert_int_equal(fault_configure("db_before_commit=error", &w->err), 0);
    assert_int_equal(try_cluster(w, "demo", NULL, "jq,oy"), XP_UNAVAILABLE);
    assert_int_equal(fault_configure("", &w->err), 0);
    assert_int_equal(store_version(w->store), before);
    assert_int_equal(sql_number(w->path, "SELECT count(*) FROM cluster_tbl"), 0);
    add_cluster(w, "demo", NULL, "jq,oy");
    assert_int_equal(store_version(w->store), before + 1);
}

/* The writer must not believe it; documents and pushes must know it at once. */
static void a_commit_whose_answer_is_lost_still_raises_the_version(void **state)
{
    struct world *w = *state;
    int64_t before = store_version(w->store);
    assert_int_equal(fault_configure("db_commit=error", &w->err), 0);
    assert_int_equal(try_cluster(w, "demo", NULL, "jq,oy"), XP_TIMEOUT);
    assert_int_equal(fault_configure("", &w->err), 0);
    assert_int_equal(sql_number(w->path, "SELECT count(*) FROM cluster_tbl"), 1);
    assert_int_equal(store_version(w->store), before + 1);
}
#endif

static void fill_disk(struct store *store, const struct world *w)
{
    struct catalog cat = { .store = store };
    struct rlimit limit = { 300 * 1024, 300 * 1024 };
    (void)signal(SIGXFSZ, SIG_IGN);
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0) {
        _exit(91);
    }
    for (int i = 0; i < 2000; i++) {
        struct catalog_result result = { 0 };
        struct xp_err err = { 0 };
        char name[16];
        (void)snprintf(name, sizeof(name), "z%d", i);
        int rc = zones_create(&cat, &w->ctx, name, &result, &err);
        catalog_result_done(&result);
        if (rc != 0) {
            bool is_right = rc == XP_UNAVAILABLE && strstr(err.msg, w->path) &&
                            strstr(err.msg, "nothing was changed");
            _exit(is_right ? 42 : 92);
        }
    }
    _exit(93);
}

static void a_disk_that_refuses_leaves_nothing_half_done(void **state)
{
    struct world *w = *state;
    store_close(w->store);
    w->store = NULL;
    int status = in_child(w, fill_disk);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 42);
    open_store(w);
    struct chain_report report = verify(w);
    assert_int_equal(report.bad_idx, 0);
    /* Each zone has its row in the log: no half of a change is there. */
    assert_int_equal(sql_number(w->path,
                                "SELECT (SELECT count(*) FROM zone_tbl) - "
                                "(SELECT count(*) FROM change_log WHERE op = 'zone.create')"),
                     0);
}

static void a_folder_that_cannot_be_written_says_so(void **state)
{
    struct world *w = *state;
    struct store *store = NULL;
    struct store_options options = { .path = "/proc/xpipe/console.db" };
    assert_int_equal(store_open(&options, &store, &w->err), XP_UNAVAILABLE);
    assert_non_null(strstr(w->err.msg, "check that the folder exists and can be written"));
}

static void a_read_only_database_says_so(void **state)
{
    struct world *w = *state;
    store_close(w->store);
    w->store = NULL;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) { /* another user may read but not write the file */
        struct store *store = NULL;
        struct xp_err err = { 0 };
        struct store_options options = { .path = w->path };
        AUTO_FREE char *lock = xasprintf("%s.lock", w->path);
        bool is_set =
            chmod(w->dir, 0755) == 0 && chmod(w->path, 0444) == 0 && chmod(lock, 0666) == 0;
        if (!is_set || (getuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))) {
            _exit(77);
        }
        int rc = store_open(&options, &store, &err);
        bool is_right =
            rc == XP_UNAVAILABLE && strstr(err.msg, w->path) && strstr(err.msg, "permissions");
        _exit(is_right ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77) {
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void a_newer_database_is_refused(void **state)
{
    struct world *w = *state;
    store_close(w->store);
    w->store = NULL;
    sql(w, "PRAGMA user_version = 99");
    struct store_options options = { .path = w->path };
    assert_int_equal(store_open(&options, &w->store, &w->err), XP_UNSUPPORTED);
    assert_non_null(strstr(w->err.msg, "start the newer program"));
}

/* ---- outbox ---- */

static void pushes_wait_until_acknowledged(void **state)
{
    struct world *w = *state;
    add_cluster(w, "demo", NULL, "jq,oy");
    CLEANUP(outbox_rows_done) struct outbox_rows rows = { 0 };
    assert_int_equal(outbox_list(w->store, 0, 10, &rows, &w->err), 0);
    assert_int_equal(rows.count, 2);
    assert_string_equal(rows.items[0].cluster_name, "demo");
    assert_string_equal(rows.items[0].cluster_type, "ONE_WAY");
    int64_t first_idx = rows.items[0].idx;

    struct cluster_delete gone = { .name = "demo" };
    OK(w, clusters_delete, &gone);
    assert_int_equal(outbox_ack(w->store, rows.items, rows.count, &w->err),
                     0); /* came too late: newer rows stay */
    outbox_rows_done(&rows);
    reopen_store(w);
    assert_int_equal(outbox_list(w->store, 0, 10, &rows, &w->err), 0);
    assert_int_equal(rows.count, 2); /* coalesced: one for each DC */
    assert_true(rows.items[0].is_deleted);
    assert_int_equal(rows.items[0].idx, first_idx + 1);
    assert_int_equal(outbox_ack(w->store, rows.items, rows.count, &w->err), 0);
    int64_t count = -1;
    assert_int_equal(outbox_count(w->store, &count, &w->err), 0);
    assert_int_equal(count, 0);
}

static void a_long_outbox_collapses_into_the_whole_document(void **state)
{
    struct world *w = *state;
    AUTO_FREE char *fill =
        xasprintf("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) "
                  "INSERT INTO push_outbox SELECT 1, 'c' || i, 'ONE_WAY', 0, 1, 7 FROM n",
                  OUTBOX_ROWS_PER_DC_MAX);
    sql(w, fill);
    add_cluster(w, "demo", NULL, "jq,oy");
    CLEANUP(outbox_rows_done) struct outbox_rows rows = { 0 };
    assert_int_equal(outbox_list(w->store, 1, 10000, &rows, &w->err), 0);
    assert_int_equal(rows.count, 1);
    assert_string_equal(rows.items[0].cluster_name, "");
    assert_int_equal(rows.items[0].since_ms, 7);
}

struct put_range {
    int from, to;
};

static int put_rows(struct change *change, void *arg, struct xp_err *err)
{
    const struct put_range *range = arg;
    char type[] = "ONE_WAY";
    int rc = 0;
    for (int i = range->from; rc == 0 && i < range->to; i++) {
        AUTO_FREE char *name = xasprintf("c%d", i);
        struct outbox_row row = { .dc_id = 1, .cluster_name = name, .cluster_type = type };
        rc = outbox_put(change, &row, err);
    }
    return rc;
}

static int64_t put_range_of(struct world *w, bool dry_run, int from, int to)
{
    struct put_range range = { from, to };
    struct change_ctx ctx = { .dry_run = dry_run };
    struct store_op op = { .name = "test.put", .fn = put_rows, .arg = &range };
    int64_t count = 0;
    assert_int_equal(store_change(w->store, &ctx, &op, NULL, &w->err), 0);
    assert_int_equal(outbox_count(w->store, &count, &w->err), 0);
    return count;
}

static void rows_are_not_counted_for_each_put_and_collapse_at_the_limit_all_the_same(void **state)
{
    struct world *w = *state;
    int max = OUTBOX_ROWS_PER_DC_MAX;
    sql(w, "DELETE FROM push_outbox");
    assert_int_equal(put_range_of(w, false, 0, max - 500), max - 500);
    assert_int_equal(put_range_of(w, true, max, 2 * max - 1), max - 500);
    assert_int_equal(put_range_of(w, false, 0, max), max);
    assert_int_equal(put_range_of(w, false, 0, max), max); /* all of them are there */
    assert_int_equal(put_range_of(w, false, max, max + 1), 1);
    assert_int_equal(put_range_of(w, false, max, max + 10), 11);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_open, world_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_change_appends_one_row),
        TEST(a_failed_change_leaves_nothing),
        TEST(a_dry_run_checks_and_stores_nothing),
        TEST(the_chain_is_sound_and_tampering_shows),
        TEST(the_log_is_append_only),
        TEST(a_second_console_is_locked_out),
#if defined(XP_FAULTS) && XP_FAULTS
        TEST(a_crash_around_commit_is_all_or_nothing),
        TEST(a_refused_commit_leaves_nothing),
        TEST(a_commit_whose_answer_is_lost_still_raises_the_version),
#endif
        TEST(a_disk_that_refuses_leaves_nothing_half_done),
        TEST(a_folder_that_cannot_be_written_says_so),
        TEST(a_read_only_database_says_so),
        TEST(a_newer_database_is_refused),
        TEST(pushes_wait_until_acknowledged),
        TEST(a_long_outbox_collapses_into_the_whole_document),
        TEST(rows_are_not_counted_for_each_put_and_collapse_at_the_limit_all_the_same),
    };
    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
