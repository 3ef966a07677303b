/* Connections, statements, transactions and migrations, with a schema of the test's own. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include "shared/base/fault.h"
#include "shared/base/mem.h"
#include "shared/base/thread.h"
#include "shared/db/db.h"
#include "tests/unit/unit.h"

#include "shared/base/banned.h"

enum { Q_INSERT, Q_COUNT, Q_ALL, Q_DANGLE, Q_INSERT_OR_ROLLBACK };
static const char *const migrations[] = {
    "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT UNIQUE, CHECK (name <> 'bad')) STRICT",
    ("ALTER TABLE t ADD COLUMN extra INTEGER NOT NULL DEFAULT 5;"
     "CREATE TABLE d (t INTEGER REFERENCES t (id) DEFERRABLE INITIALLY DEFERRED) STRICT"),
    "CREATE TABLE u (id INTEGER PRIMARY KEY) STRICT; this is no SQL",
};
static const char *const queries[] = { "INSERT INTO t (name) VALUES (?1)", "SELECT count(*) FROM t",
                                       "SELECT id, name, extra FROM t ORDER BY id",
                                       "INSERT INTO d (t) VALUES (999)",
                                       "INSERT OR ROLLBACK INTO t (name) VALUES (?1)" };
static const char *const names[] = { "insert", "count", "all", "dangle", "insert_or_rollback" };

struct place {
    char dir[64];
    char *path;
    struct db_schema schema;
    struct db_pool *pool;
    struct xp_err err;
};

static int try_open(struct place *p)
{
    struct db_options options = {
        .path = p->path, .schema = &p->schema, .readers = 1, .busy_timeout_ms = 50
    };
    return db_pool_open(&options, &p->pool, &p->err);
}

static int setup(void **state)
{
    struct place *p = xcalloc(1, sizeof(*p));
    memcpy(p->dir, "/tmp/xpipe-db-XXXXXX", sizeof("/tmp/xpipe-db-XXXXXX"));
    assert_non_null(mkdtemp(p->dir));
    p->path = xasprintf("%s/t.db", p->dir);
    p->schema = (struct db_schema){ migrations, 2, queries, names, ARRAY_LEN(queries) };
    if (try_open(p) != 0) {
        fail_msg("%s", p->err.msg);
    }
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct place *p = *state;
    db_pool_close(p->pool);
    static const char *const suffixes[] = { "", ".lock", "-wal", "-shm" };
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        AUTO_FREE char *path = xasprintf("%s%s", p->path, suffixes[i]);
        (void)unlink(path);
    }
    assert_int_equal(rmdir(p->dir), 0);
    free(p->path);
    free(p);
    return 0;
}

static int insert(struct db *db, void *arg, struct xp_err *err)
{
    CLEANUP(db_stmt_done) struct db_stmt s = db_query(db, Q_INSERT);
    db_bind_text(&s, arg);
    return db_run(&s, err);
}

static int insert_and_fail(struct db *db, void *arg, struct xp_err *err)
{
    int rc = insert(db, arg, err);
    return rc ? rc : xp_fail(err, XP_INVALID, "changed my mind");
}

static int count(struct db *db, void *arg, struct xp_err *err)
{
    CLEANUP(db_stmt_done) struct db_stmt s = db_query(db, Q_COUNT);
    int rc = db_step(&s, err);
    assert_int_equal(rc, DB_ROW);
    *(int64_t *)arg = db_col_i64(&s, 0);
    return 0;
}

static int64_t row_count(struct place *p)
{
    int64_t n = -1;
    assert_int_equal(db_read(p->pool, count, &n, &p->err), 0);
    return n;
}

static void transactions_are_all_or_nothing(void **state)
{
    struct place *p = *state;
    char a[] = "a";
    char b[] = "b";
    char bad[] = "bad";
    assert_int_equal(db_tx(p->pool, insert, a, &p->err), 0);
    assert_int_equal(db_tx(p->pool, insert_and_fail, b, &p->err), XP_INVALID);
    assert_string_equal(p->err.msg, "changed my mind");
    assert_int_equal(row_count(p), 1);
    assert_int_equal(db_tx(p->pool, insert, a, &p->err), XP_CONFLICT);
    assert_string_equal(p->err.msg, "UNIQUE constraint failed: t.name");
    assert_int_equal(db_tx(p->pool, insert, bad, &p->err), XP_CONFLICT);
    assert_int_equal(db_tx(p->pool, insert, b, &p->err), 0);
    assert_int_equal(row_count(p), 2);
}

static int read_all(struct db *db, void *arg, struct xp_err *err)
{
    CLEANUP(db_stmt_done) struct db_stmt s = db_query(db, Q_ALL);
    (void)arg;
    assert_int_equal(db_step(&s, err), DB_ROW);
    assert_int_equal(db_col_i64(&s, 0), 1);
    assert_true(db_col_is_null(&s, 1));
    assert_null(db_col_text(&s, 1));
    assert_int_equal(db_col_i64(&s, 2), 5);
    return db_step(&s, err);
}

static void null_texts_and_columns(void **state)
{
    struct place *p = *state;
    assert_int_equal(db_tx(p->pool, insert, NULL, &p->err), 0);
    assert_int_equal(db_read(p->pool, read_all, NULL, &p->err), 0);
}

static void a_read_cannot_write(void **state)
{
    struct place *p = *state;
    char a[] = "a";
    assert_int_equal(db_read(p->pool, insert, a, &p->err), XP_UNAVAILABLE);
    assert_int_equal(row_count(p), 0);
}

static int read_inside(struct db *db, void *arg, struct xp_err *err)
{
    struct place *p = arg;
    int64_t n = 0;
    (void)db;
    return db_read(p->pool, count, &n, err); /* the only reader is ours */
}

static void readers_are_waited_for_with_a_limit(void **state)
{
    struct place *p = *state;
    assert_int_equal(db_read(p->pool, read_inside, p, &p->err), XP_UNAVAILABLE);
    assert_non_null(strstr(p->err.msg, "all 1 read connections are busy"));
    assert_int_equal(row_count(p), 0);
}

static void a_bad_migration_changes_nothing(void **state)
{
    struct place *p = *state;
    db_pool_close(p->pool);
    p->pool = NULL;
    p->schema.migration_count = 3;
    assert_int_equal(try_open(p), XP_INTERNAL);
    assert_non_null(strstr(p->err.msg, "migration 3: "));
    /* still version 2, still usable; the failed open let go of the lock */
    p->schema.migration_count = 2;
    assert_int_equal(try_open(p), 0);
    assert_int_equal(row_count(p), 0);
}

static void a_bad_query_is_named_at_open(void **state)
{
    struct place *p = *state;
    static const char *const broken[] = { "SELECT nothing FROM t" };
    static const char *const broken_names[] = { "broken" };
    db_pool_close(p->pool);
    p->pool = NULL;
    p->schema = (struct db_schema){ migrations, 2, broken, broken_names, 1 };
    assert_int_equal(try_open(p), XP_INTERNAL);
    assert_non_null(strstr(p->err.msg, "query broken: "));
}

static void files_that_were_moved_take_no_write(void **state)
{
    struct place *p = *state;
    static const char *const suffixes[] = { "", "-wal", ".lock" };
    char problem[DB_PROBLEM_BYTES];
    char a[] = "a";
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        AUTO_FREE char *path = xasprintf("%s%s", p->path, suffixes[i]);
        AUTO_FREE char *away = xasprintf("%s.away", path);
        assert_int_equal(rename(path, away), 0);
        assert_int_equal(db_tx(p->pool, insert, a, &p->err), XP_UNAVAILABLE);
        assert_non_null(strstr(p->err.msg, "is gone under the running console"));
        db_check(p->pool);
        assert_true(db_problem(p->pool, problem));
        assert_string_equal(problem, p->err.msg);
        assert_int_equal(rename(away, path), 0);
        db_check(p->pool);
        assert_false(db_problem(p->pool, problem));
    }
    assert_int_equal(row_count(p), 0);
    assert_int_equal(db_tx(p->pool, insert, a, &p->err), 0);
}

static void a_file_cut_to_nothing_is_not_begun_anew(void **state)
{
    struct place *p = *state;
    char problem[DB_PROBLEM_BYTES];
    char a[] = "a";
    assert_int_equal(truncate(p->path, 0), 0);
    assert_int_equal(db_tx(p->pool, insert, a, &p->err), XP_UNAVAILABLE);
    assert_non_null(strstr(p->err.msg, "has 0 bytes"));
    assert_true(db_problem(p->pool, problem));
    db_check(p->pool); /* damage does not heal */
    assert_true(db_problem(p->pool, problem));
    db_pool_close(p->pool);
    p->pool = NULL;
    assert_int_equal(truncate(p->path, 0), 0);
    assert_int_equal(try_open(p), XP_UNAVAILABLE);
    assert_int_equal(unlink(p->path), 0);
    assert_int_equal(try_open(p), 0);
}

/* ---- group commit ---- */

typedef int write_fn(struct db *, void *, struct xp_err *);
enum { GROUP = 5 }; /* the leader and those that wait for it */

struct writer {
    struct place *p;
    write_fn *fn;
    char name[2];
    struct writer *leader;
    bool is_running; /* atomic */
    bool may_go;     /* atomic; the leader's: the others wait in line */
    pthread_t thread;
    pthread_t ran_on;
    int64_t seen; /* rows, when it ran */
    int rc;
    struct xp_err err;
};

static int dangle(struct db *db, void *arg, struct xp_err *err)
{
    (void)arg;
    CLEANUP(db_stmt_done) struct db_stmt s = db_query(db, Q_DANGLE);
    return db_run(&s, err); /* found out by COMMIT */
}

static int refuse(struct db *db, void *arg, struct xp_err *err)
{
    (void)db;
    (void)arg;
    return xp_fail(err, XP_INVALID, "never");
}

static int insert_or_rollback(struct db *db, void *arg, struct xp_err *err)
{
    CLEANUP(db_stmt_done) struct db_stmt s = db_query(db, Q_INSERT_OR_ROLLBACK);
    db_bind_text(&s, arg);
    return db_run(&s, err);
}

static int write_in_group(struct db *db, void *arg, struct xp_err *err)
{
    struct writer *w = arg;
    __atomic_store_n(&w->is_running, true, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&w->leader->may_go, __ATOMIC_ACQUIRE)) {
        (void)sched_yield(); /* the runner ends a test that stands still */
    }
    w->ran_on = pthread_self();
    (void)count(db, &w->seen, err);
    return w->fn(db, w->name, err);
}

static void *writer_main(void *arg)
{
    struct writer *w = arg;
    w->rc = db_tx(w->p->pool, write_in_group, w, &w->err);
    return NULL;
}

/* Writes a, b, c, ... in one group, in this order. */
static void run_group(struct place *p, struct writer writers[GROUP], write_fn *const fns[GROUP])
{
    for (int i = 0; i < GROUP; i++) {
        writers[i] =
            (struct writer){ .p = p, .fn = fns[i], .name = { (char)('a' + i) }, .leader = writers };
        assert_int_equal(pthread_create(&writers[i].thread, NULL, writer_main, &writers[i]), 0);
        while (!__atomic_load_n(&writers[0].is_running, __ATOMIC_ACQUIRE) ||
               db_tx_waiting(p->pool) < i) {
            (void)sched_yield();
        }
    }
    __atomic_store_n(&writers[0].may_go, true, __ATOMIC_RELEASE);
    for (int i = 0; i < GROUP; i++) {
        assert_int_equal(pthread_join(writers[i].thread, NULL), 0);
        assert_true(pthread_equal(writers[i].ran_on, writers[0].thread));
    }
}

static void expect_codes(const struct writer writers[GROUP], const int codes[GROUP])
{
    for (int i = 0; i < GROUP; i++) {
        assert_int_equal(writers[i].rc, codes[i]);
    }
}

static void writers_that_wait_share_one_commit(void **state)
{
    struct place *p = *state;
    struct writer w[GROUP];
    run_group(p, w, (write_fn *const[]){ insert, insert, insert, insert, insert });
    expect_codes(w, (int[]){ 0, 0, 0, 0, 0 });
    for (int i = 0; i < GROUP; i++) {
        assert_int_equal(w[i].seen, i); /* what those before it wrote */
    }
    assert_int_equal(row_count(p), GROUP);
}

static void an_error_undoes_one_of_a_group_only(void **state)
{
    struct place *p = *state;
    struct writer w[GROUP];
    run_group(
        p, w,
        (write_fn *const[]){ insert_and_fail, insert, insert_and_fail, insert, insert_and_fail });
    expect_codes(w, (int[]){ XP_INVALID, 0, XP_INVALID, 0, XP_INVALID });
    assert_string_equal(w[2].err.msg, "changed my mind");
    assert_int_equal(w[3].seen, 1);
    assert_int_equal(row_count(p), 2);
    run_group(p, w, (write_fn *const[]){ refuse, refuse, refuse, refuse, refuse });
    expect_codes(w, (int[]){ XP_INVALID, XP_INVALID, XP_INVALID, XP_INVALID, XP_INVALID });
    assert_int_equal(row_count(p), 2);
}

/* Nobody is told anything that rests on changes which are gone: not "done", and not "there is one already". */
static void a_commit_that_fails_is_told_to_all_who_saw_it(void **state)
{
    struct place *p = *state;
    struct writer w[GROUP];
    run_group(p, w,
              (write_fn *const[]){ insert_and_fail, insert, dangle, insert_and_fail, insert });
    expect_codes(w, (int[]){ XP_INVALID, XP_CONFLICT, XP_CONFLICT, XP_CONFLICT, XP_CONFLICT });
    assert_string_equal(w[3].err.msg, "FOREIGN KEY constraint failed");
    assert_int_equal(row_count(p), 0);
    char a[] = "a";
    assert_int_equal(db_tx(p->pool, insert, a, &p->err), 0);
    assert_int_equal(row_count(p), 1);
}

/* As on a full disk: those before it are undone with it, those behind it begin anew. */
static void a_transaction_that_sqlite_gave_up_is_acknowledged_to_nobody(void **state)
{
    struct place *p = *state;
    struct writer w[GROUP];
    char twice[] = "c";
    assert_int_equal(db_tx(p->pool, insert, twice, &p->err), 0);
    run_group(p, w,
              (write_fn *const[]){ insert, insert_and_fail, insert_or_rollback, insert, insert });
    expect_codes(w, (int[]){ XP_CONFLICT, XP_CONFLICT, XP_CONFLICT, 0, 0 });
    assert_string_equal(w[0].err.msg, w[2].err.msg);
    assert_int_equal(w[3].seen, 1);
    assert_int_equal(row_count(p), 3);
}

static void faults_hit_one_of_a_group(void **state)
{
    struct place *p = *state;
    struct writer w[GROUP];
    if (fault_configure("db_before_commit=error:1@2,db_commit=error:1@3", &p->err) != 0) {
        return; /* a build without fault points */
    }
    run_group(p, w, (write_fn *const[]){ insert, insert, insert, insert, insert });
    assert_int_equal(fault_configure(NULL, &p->err), 0);
    /* b is not committed: d is the third */
    expect_codes(w, (int[]){ 0, XP_UNAVAILABLE, 0, XP_TIMEOUT, 0 });
    assert_int_equal(row_count(p), GROUP - 1);
}

static const char *moved_from; /* of insert_and_move */
static const char *moved_to;

static int insert_and_move(struct db *db, void *arg, struct xp_err *err)
{
    return rename(moved_from, moved_to) == 0 ? insert(db, arg, err)
                                             : xp_fail(err, XP_IO, "cannot move %s", moved_from);
}

/* Behind the commit: who repeats it as if it was not done would do it twice. */
static void files_that_are_moved_under_a_commit_leave_it_unknown(void **state)
{
    struct place *p = *state;
    struct writer w[GROUP];
    char problem[DB_PROBLEM_BYTES];
    AUTO_FREE char *away = xasprintf("%s.away", p->path);
    moved_from = p->path;
    moved_to = away;
    run_group(p, w,
              (write_fn *const[]){ insert_and_fail, insert, refuse, insert_and_move, insert });
    expect_codes(w, (int[]){ XP_INVALID, XP_TIMEOUT, XP_TIMEOUT, XP_TIMEOUT, XP_TIMEOUT });
    assert_non_null(strstr(w[1].err.msg, "perhaps written: "));
    assert_non_null(strstr(w[1].err.msg, "is gone under the running console"));
    assert_true(db_problem(p->pool, problem));
    assert_int_equal(rename(away, p->path), 0);
    db_check(p->pool);
    assert_false(db_problem(p->pool, problem));
    assert_int_equal(row_count(p), 3);
}

static void misuse_aborts(void **state)
{
    struct place *p = *state;
    ASSERT_ABORTS({
        thread_set_role(THREAD_LOOP, "loop");
        int64_t n = 0;
        int rc = db_read(p->pool, count, &n, &p->err);
        _exit(rc ? 1 : 0);
    });
}

static void options_are_checked(void **state)
{
    struct place *p = *state;
    struct db_pool *pool = NULL;
    struct db_options options = { .path = "", .schema = &p->schema, .readers = 1 };
    assert_int_equal(db_pool_open(&options, &pool, &p->err), XP_INVALID);
    options = (struct db_options){ .path = p->path, .schema = &p->schema, .readers = 0 };
    assert_int_equal(db_pool_open(&options, &pool, &p->err), XP_INVALID);
    assert_null(pool);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(transactions_are_all_or_nothing),
        TEST(null_texts_and_columns),
        TEST(a_read_cannot_write),
        TEST(readers_are_waited_for_with_a_limit),
        TEST(a_bad_migration_changes_nothing),
        TEST(a_bad_query_is_named_at_open),
        TEST(files_that_were_moved_take_no_write),
        TEST(a_file_cut_to_nothing_is_not_begun_anew),
        TEST(writers_that_wait_share_one_commit),
        TEST(an_error_undoes_one_of_a_group_only),
        TEST(a_commit_that_fails_is_told_to_all_who_saw_it),
        TEST(a_transaction_that_sqlite_gave_up_is_acknowledged_to_nobody),
        TEST(faults_hit_one_of_a_group),
        TEST(files_that_are_moved_under_a_commit_leave_it_unknown),
        TEST(misuse_aborts),
        TEST(options_are_checked),
    };
    return cmocka_run_group_tests_name("db", tests, NULL, NULL);
}
