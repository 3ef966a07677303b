/* db_pool.c - opening, locking, migrating, and the two kinds of transactions of db.h. */
#include "shared/base/clock.h"
#include "shared/base/fault.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/base/thread.h"
#include "shared/db/db.h"
#include "shared/db/db_files.h"
#include "shared/db/db_internal.h"
#include "shared/db/db_queue.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "shared/base/banned.h"

/* GROUP_MAX: a change may be long, and nobody is answered before the commit of the group. */
enum { READERS_MAX = 64, CACHE_KIB = 8192, GROUP_MAX = 32 };

/* owner: any thread; the writer under write_lock, the list of readers under readers_lock */
struct db_pool {
    char *path;
    int lock_fd;
    int64_t busy_timeout_ms;
    struct db_queue queue; /* of writers; its leader takes write_lock */
    struct mutex write_lock;
    struct db *writer XP_GUARDED_BY_MEMBER(write_lock);
    struct db_files files;
    struct mutex problem_lock;
    char problem[DB_PROBLEM_BYTES] XP_GUARDED_BY_MEMBER(problem_lock); /* "": none */
    bool is_damaged XP_GUARDED_BY_MEMBER(problem_lock);
    struct mutex readers_lock;
    pthread_cond_t reader_free; /* on CLOCK_MONOTONIC */
    struct db **readers;        /* all, for closing */
    struct db **free_readers XP_GUARDED_BY_MEMBER(readers_lock);
    int reader_count;
    int free_count XP_GUARDED_BY_MEMBER(readers_lock);
};

/* ---- the lock file ---- */

static int lock_refused(int fd, const char *path, struct xp_err *err)
{
    char pid[24] = "";
    ssize_t n = pread(fd, pid, sizeof(pid) - 1, 0);
    pid[n > 0 ? (size_t)n : 0] = '\0';
    pid[strcspn(pid, "\n")] = '\0';
    return xp_fail(
        err, XP_UNAVAILABLE,
        "database '%s' is in use by another console (process %s holds %s.lock): stop it first",
        path, pid[0] ? pid : "unknown", path);
}

/* The file stays when we end: removing it would let two later starts lock different files. */
static int take_lock(const char *path, int *ret_fd, struct xp_err *err)
{
    AUTO_FREE char *lock_path = xasprintf("%s.lock", path);
    int fd = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (fd < 0) {
        return xp_fail(err, XP_UNAVAILABLE,
                       "cannot open '%s': %s; check that the folder exists and can be written",
                       lock_path, strerror(errno));
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int code = errno == EWOULDBLOCK ? lock_refused(fd, path, err)
                                        : xp_fail(err, XP_UNAVAILABLE, "cannot lock '%s': %s",
                                                  lock_path, strerror(errno));
        (void)close(fd);
        return code;
    }
    char pid[24];
    int n = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
    /* Only for the message above: a failure to write it is not worth refusing to start. */
    if (ftruncate(fd, 0) != 0 || pwrite(fd, pid, (size_t)n, 0) != n) {
        errno = 0;
    }
    *ret_fd = fd;
    return 0;
}

/* ---- connections ---- */

static void db_close(struct db *db)
{
    if (!db) {
        return;
    }
    for (size_t i = 0; db->statements && i < db->schema->query_count; i++) {
        (void)sqlite3_finalize(db->statements[i]);
    }
    for (size_t i = 0; i < DB_CONTROLS; i++) {
        (void)sqlite3_finalize(db->controls[i]);
    }
    free(db->statements);
    xp_check(sqlite3_close(db->raw) == SQLITE_OK); /* busy: a statement was left behind */
    free(db);
}

/* Sets a pragma and proves that it took: some are ignored silently. */
static int pragma_is(struct db *db, const char *name, const char *value, const char *expect,
                     struct xp_err *err)
{
    AUTO_FREE char *set = xasprintf("PRAGMA %s = %s", name, value);
    AUTO_FREE char *get = xasprintf("PRAGMA %s", name);
    AUTO_FREE char *got = NULL;
    int rc = db_exec(db, set, err);
    if (rc == 0) {
        rc = db_exec_text(db, get, &got, err);
    }
    if (rc == 0 && !text_eq(got, expect)) {
        return xp_fail(err, XP_INTERNAL, "database '%s': %s is '%s' instead of '%s'", db->path,
                       name, got, expect);
    }
    return rc;
}

static int set_pragmas(struct db *db, bool is_writer, int64_t busy_timeout_ms, struct xp_err *err)
{
    (void)sqlite3_busy_timeout(db->raw, (int)busy_timeout_ms);
    (void)sqlite3_extended_result_codes(db->raw, 1);
    AUTO_FREE char *plain = xasprintf("PRAGMA cache_size = -%d; PRAGMA temp_store = MEMORY;"
                                      "PRAGMA trusted_schema = OFF; PRAGMA mmap_size = 0",
                                      CACHE_KIB);
    int rc = db_exec(db, plain, err);
    if (rc == 0) {
        rc = pragma_is(db, "journal_mode", "WAL", "wal", err);
    }
    if (rc == 0) {
        rc = pragma_is(db, "synchronous", "FULL", "2", err);
    }
    if (rc == 0) {
        rc = pragma_is(db, "foreign_keys", "ON", "1", err);
    }
    if (rc == 0 && !is_writer) {
        /* All checkpoints on the write connection: SQLite before 3.51.3 can lose data otherwise. */
        (void)sqlite3_db_config(db->raw, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        rc = pragma_is(db, "wal_autocheckpoint", "0", "0", err);
    }
    return rc;
}

static int db_open(const struct db_pool *pool, const struct db_schema *schema, bool is_writer,
                   struct db **ret_db, struct xp_err *err)
{
    struct db *db = xcalloc(1, sizeof(*db));
    db->path = pool->path;
    db->schema = schema;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | (is_writer ? SQLITE_OPEN_CREATE : 0);
    int rc = sqlite3_open_v2(pool->path, &db->raw, flags, NULL);
    rc = rc == SQLITE_OK ? set_pragmas(db, is_writer, pool->busy_timeout_ms, err)
                         : db_fail(db, rc, err);
    if (rc != 0) {
        db_close(db);
        return rc;
    }
    *ret_db = db;
    return 0;
}

static int open_reader(struct db_pool *pool, const struct db_schema *schema,
                       struct xp_err *err) XP_ALONE
{
    struct db *db = NULL;
    int rc = db_open(pool, schema, false, &db, err);
    if (rc != 0) {
        return rc;
    }
    pool->readers[pool->reader_count++] = db;
    pool->free_readers[pool->free_count++] = db;
    rc = pragma_is(db, "query_only", "ON", "1", err);
    return rc == 0 ? db_prepare_all(db, err) : rc;
}

/* A damaged file is refused at once, not when the damaged page is needed. 10,000 clusters take 0.1 s. */
static int check_content(struct db *db, struct xp_err *err)
{
    AUTO_FREE char *text = NULL;
    int rc = db_exec_text(db, "PRAGMA quick_check(1)", &text, err);
    if (rc == 0 && !text_eq(text, "ok")) {
        db->trouble = DB_DAMAGED;
        return xp_fail(err, XP_INTERNAL,
                       "database '%s': it is damaged: stop the console and restore a backup (%s)",
                       db->path, text);
    }
    return rc;
}

/* ---- migrations ---- */

static int migrate_one(struct db *db, size_t number, struct xp_err *err)
{
    AUTO_FREE char *set_version = xasprintf("PRAGMA user_version = %zu", number);
    int rc = db_exec(db, "BEGIN IMMEDIATE", err);
    if (rc != 0) {
        return rc;
    }
    rc = db_exec(db, db->schema->migrations[number - 1], err);
    if (rc == 0) {
        rc = db_exec(db, set_version, err);
    }
    if (rc == 0) {
        rc = db_exec(db, "COMMIT", err);
    }
    if (rc != 0) {
        (void)db_exec(db, "ROLLBACK", NULL);
        return xp_wrap(err, "migration %zu", number);
    }
    return 0;
}

static int migrate(struct db *db, struct xp_err *err)
{
    AUTO_FREE char *text = NULL;
    int rc = db_exec_text(db, "PRAGMA user_version", &text, err);
    if (rc != 0) {
        return rc;
    }
    int64_t have = 0;
    if (!text_to_i64(text, strlen(text), 0, (int64_t)db->schema->migration_count, &have)) {
        return xp_fail(
            err, XP_UNSUPPORTED,
            "database '%s' has schema %s, this program knows up to %zu: start the newer program",
            db->path, text, db->schema->migration_count);
    }
    for (size_t i = (size_t)have + 1; rc == 0 && i <= db->schema->migration_count; i++) {
        rc = migrate_one(db, i, err);
    }
    return rc;
}

/* ---- the pool ---- */

static void init_locks(struct db_pool *pool)
{
    pthread_condattr_t attr;
    mutex_init(&pool->write_lock);
    db_queue_init(&pool->queue);
    mutex_init(&pool->problem_lock);
    mutex_init(&pool->readers_lock);
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&pool->reader_free, &attr);
    (void)pthread_condattr_destroy(&attr);
}

static int open_all(struct db_pool *pool, const struct db_options *options,
                    struct xp_err *err) XP_ALONE
{
    int rc = take_lock(pool->path, &pool->lock_fd, err);
    if (rc == 0) {
        rc = db_files_check_start(pool->path, err);
    }
    if (rc == 0) {
        rc = db_open(pool, options->schema, true, &pool->writer, err);
    }
    if (rc == 0) {
        rc = check_content(pool->writer, err);
    }
    if (rc == 0) {
        rc = migrate(pool->writer, err);
    }
    if (rc == 0) {
        rc = db_prepare_all(pool->writer, err);
    }
    for (int i = 0; rc == 0 && i < options->readers; i++) {
        rc = open_reader(pool, options->schema, err);
    }
    return rc == 0 ? db_files_note(&pool->files, pool->path, err) : rc;
}

/* The lock is the file's, whatever links lead to it. A file that is not there yet gets its folder resolved. */
static char *resolve(const char *path)
{
    char *real = realpath(path, NULL);
    if (real) {
        return real;
    }
    const char *slash = strrchr(path, '/');
    AUTO_FREE char *folder = slash ? xstrndup(path, (size_t)(slash - path) + 1) : xstrdup("./");
    AUTO_FREE char *real_folder = realpath(folder, NULL);
    return real_folder ? xasprintf("%s/%s", real_folder, slash ? slash + 1 : path) : xstrdup(path);
}

int db_pool_open(const struct db_options *options, struct db_pool **ret_pool,
                 struct xp_err *err) XP_ALONE
{
    if (text_is_empty(options->path)) {
        return xp_fail(err, XP_INVALID,
                       "the path of the database is empty: set it in the configuration");
    }
    if (options->readers < 1 || options->readers > READERS_MAX) {
        return xp_fail(err, XP_INVALID, "%d read connections: must be 1..%d", options->readers,
                       READERS_MAX);
    }
    struct db_pool *pool = xcalloc(1, sizeof(*pool));
    init_locks(pool);
    pool->path = resolve(options->path);
    pool->lock_fd = -1;
    pool->busy_timeout_ms = options->busy_timeout_ms;
    pool->readers = xcalloc((size_t)options->readers, sizeof(struct db *));
    pool->free_readers = xcalloc((size_t)options->readers, sizeof(struct db *));
    int rc = open_all(pool, options, err);
    if (rc != 0) {
        db_pool_close(pool);
        return rc;
    }
    *ret_pool = pool;
    return 0;
}

void db_pool_close(struct db_pool *pool) XP_ALONE
{
    if (!pool) {
        return;
    }
    xp_check(pool->free_count == pool->reader_count);
    for (int i = 0; i < pool->reader_count; i++) {
        db_close(pool->readers[i]);
    }
    db_close(pool->writer); /* the last connection: checkpoints and removes the WAL */
    if (pool->lock_fd >= 0) {
        (void)close(pool->lock_fd);
    }
    db_files_done(&pool->files);
    (void)pthread_cond_destroy(&pool->reader_free);
    mutex_done(&pool->problem_lock);
    mutex_done(&pool->readers_lock);
    mutex_done(&pool->write_lock);
    db_queue_done(&pool->queue);
    free(pool->readers);
    free(pool->free_readers);
    free(pool->path);
    free(pool);
}

static struct timespec deadline_in(int64_t wait_ms)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += wait_ms / 1000;
    t.tv_nsec += (wait_ms % 1000) * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    return t;
}

/* ---- problems ---- */

bool db_problem(struct db_pool *pool, char ret_text[DB_PROBLEM_BYTES])
{
    mutex_lock(&pool->problem_lock);
    (void)snprintf(ret_text, DB_PROBLEM_BYTES, "%s", pool->problem);
    mutex_unlock(&pool->problem_lock);
    return ret_text[0] != '\0';
}

static void note_trouble(struct db_pool *pool, enum db_trouble trouble, const struct xp_err *err)
{
    mutex_lock(&pool->problem_lock);
    if (trouble == DB_DAMAGED || (trouble == DB_STORAGE_FAILS && !pool->is_damaged)) {
        (void)snprintf(pool->problem, sizeof(pool->problem), "%s", err->msg);
        pool->is_damaged = trouble == DB_DAMAGED;
    }
    mutex_unlock(&pool->problem_lock);
}

static void note_written(struct db_pool *pool)
{
    mutex_lock(&pool->problem_lock);
    if (!pool->is_damaged) {
        pool->problem[0] = '\0';
    }
    mutex_unlock(&pool->problem_lock);
}

/* More writes would only spread it. */
static int check_damage(struct db_pool *pool, struct xp_err *err)
{
    mutex_lock(&pool->problem_lock);
    int rc = pool->is_damaged ? xp_fail(err, XP_INTERNAL, "%s", pool->problem) : 0;
    mutex_unlock(&pool->problem_lock);
    return rc;
}

/* Somebody else wrote the main file. A checkpoint by another tool is fine; a copy over the open file is not, and SQLite
 * would notice only when it needs the pages. A connection of its own has no page in its cache. */
static int check_foreign_change(struct db_pool *pool, struct xp_err *err)
    XP_REQUIRES(pool->write_lock)
{
    struct db *db = NULL;
    int rc = db_files_check_start(pool->path, err);
    if (rc != 0) {
        pool->writer->trouble = DB_DAMAGED;
        return rc;
    }
    rc = db_open(pool, pool->writer->schema, false, &db, err);
    if (rc == 0) {
        rc = check_content(db, err);
        pool->writer->trouble =
            db->trouble > pool->writer->trouble ? db->trouble : pool->writer->trouble;
        db_close(db);
    } else {
        pool->writer->trouble = DB_STORAGE_FAILS;
    }
    if (rc == 0) {
        db_files_note_main(&pool->files);
    }
    return rc;
}

static int check_files(struct db_pool *pool, struct xp_err *err) XP_REQUIRES(pool->write_lock)
{
    int rc = db_files_check(&pool->files, err);
    if (rc != 0) {
        pool->writer->trouble = DB_STORAGE_FAILS;
        return rc;
    }
    return db_files_is_changed(&pool->files) ? check_foreign_change(pool, err) : 0;
}

/* ---- transactions ---- */

/* NULL when every reader stays busy for the whole busy timeout. */
static struct db *reader_take(struct db_pool *pool)
{
    struct timespec deadline = deadline_in(pool->busy_timeout_ms);
    struct db *db = NULL;
    int rc = 0;
    mutex_lock(&pool->readers_lock);
    while (pool->free_count == 0 && rc == 0) {
        rc = pthread_cond_timedwait(&pool->reader_free, &pool->readers_lock.raw, &deadline);
    }
    if (pool->free_count > 0) {
        db = pool->free_readers[--pool->free_count];
    }
    mutex_unlock(&pool->readers_lock);
    return db;
}

static void reader_give(struct db_pool *pool, struct db *db)
{
    mutex_lock(&pool->readers_lock);
    pool->free_readers[pool->free_count++] = db;
    (void)pthread_cond_signal(&pool->reader_free);
    mutex_unlock(&pool->readers_lock);
}

int db_read(struct db_pool *pool, int (*fn)(struct db *, void *, struct xp_err *), void *arg,
            struct xp_err *err)
{
    xp_check(thread_role() != THREAD_LOOP);
    struct db *db = reader_take(pool);
    if (!db) {
        return xp_fail(err, XP_UNAVAILABLE,
                       "all %d read connections are busy: repeat later, or configure more",
                       pool->reader_count);
    }
    struct xp_err why = { 0 };
    db->trouble = DB_WELL;
    int rc = db_control(db, DB_BEGIN, &why);
    if (rc == 0) {
        rc = fn(db, arg, &why);
        (void)db_control(db, DB_ROLLBACK, NULL);
    }
    note_trouble(pool, db->trouble, &why);
    reader_give(pool, db);
    if (rc != 0 && err) {
        *err = why;
    }
    return rc;
}

/* ---- groups of write transactions ---- */

/* One db_tx; lives on the stack of its caller, belongs to the leader of its group. */
struct tx {
    struct db_ticket ticket;
    int (*fn)(struct db *, void *, struct xp_err *);
    void *arg;
    int rc;
    struct xp_err err;
    enum db_trouble trouble;
    bool is_kept; /* in the open transaction: acknowledged when that is committed */
    /* ran in the open transaction behind others: what it answers depends on them, a refusal too */
    bool saw_others;
};

/* The transactions that share one commit, in the order of the line. */
struct tx_group {
    struct db_pool *pool;
    struct db *db;
    struct list members; /* by their tickets */
    int count;
    int kept_count; /* in the open transaction */
    bool is_open;
};

static struct tx *tx_of(struct list *ticket_link)
{
    return CONTAINER_OF(LIST_ENTRY(ticket_link, struct db_ticket, link), struct tx, ticket);
}

static void tx_failed(struct tx *tx, const struct db *db, int rc, const struct xp_err *why)
{
    tx->rc = rc;
    tx->err = *why;
    tx->trouble = db->trouble;
    tx->is_kept = false;
    tx->saw_others = false;
}

/* The open transaction is gone, and with it all that was seen in it. */
static void group_lost(struct tx_group *g, int rc, const struct xp_err *why)
{
    list_for_each (link, &g->members) {
        struct tx *tx = tx_of(link);
        if (tx->is_kept || tx->saw_others) {
            tx_failed(tx, g->db, rc, why);
        }
    }
    g->is_open = false;
    g->kept_count = 0;
}

static void group_roll_back(struct tx_group *g)
{
    if (!sqlite3_get_autocommit(g->db->raw)) {
        /* Some errors (a full disk) have rolled back already; otherwise this cannot fail for good: the next BEGIN says so. */
        (void)db_control(g->db, DB_ROLLBACK, NULL);
    }
    g->is_open = false;
}

/* Opens the transaction, or a savepoint in it when others are in it already. */
static int tx_begin(struct tx_group *g, struct tx *tx, struct xp_err *err)
    XP_REQUIRES(g->pool->write_lock)
{
    if (g->kept_count > 0) {
        tx->saw_others = true;
        return db_control(g->db, DB_SAVEPOINT, err);
    }
    int rc = g->is_open ? 0 : check_files(g->pool, err);
    if (rc == 0 && !g->is_open) {
        rc = db_control(g->db, DB_BEGIN_IMMEDIATE, err);
        g->is_open = rc == 0;
    }
    return rc;
}

/* Takes back what one transaction did, and nothing of the others. */
static void tx_undo(struct tx_group *g, int rc, const struct xp_err *why)
{
    if (g->kept_count == 0) {
        group_roll_back(g);
        return;
    }
    struct xp_err undo_err = *why;
    int lost = sqlite3_get_autocommit(g->db->raw) ? rc : 0; /* SQLite gave it all up */
    if (lost == 0) {
        lost = db_control(g->db, DB_UNDO, &undo_err);
    }
    if (lost == 0) {
        lost = db_control(g->db, DB_RELEASE, &undo_err);
    }
    if (lost != 0) {
        group_roll_back(g);
        group_lost(g, lost, &undo_err);
    }
}

static int refuse_commit(const struct db *db, struct xp_err *err)
{
    return fault_hit(FAULT_db_before_commit)
               ? xp_fail(err, XP_UNAVAILABLE, "database '%s': commit refused by fault point",
                         db->path)
               : 0;
}

static void tx_run(struct tx_group *g, struct tx *tx) XP_REQUIRES(g->pool->write_lock)
{
    struct xp_err why = { 0 };
    g->db->trouble = DB_WELL;
    int rc = tx_begin(g, tx, &why);
    if (rc != 0) { /* no savepoint: the transaction is what it was before */
        tx_failed(tx, g->db, rc, &why);
        return;
    }
    bool saw_others = tx->saw_others;
    rc = tx->fn(g->db, tx->arg, &why);
    if (rc == 0) {
        rc = refuse_commit(g->db, &why);
    }
    if (rc == 0 && saw_others) {
        rc = db_control(g->db, DB_RELEASE, &why);
    }
    if (rc == 0) {
        tx->is_kept = true;
        g->kept_count++;
        return;
    }
    tx_failed(tx, g->db, rc, &why);
    tx->saw_others = saw_others;
    tx_undo(g, rc, &why);
}

/* Once more after the commit: what went into a file that is gone is not acknowledged. Nor is it undone: it is there for readers, and
 * for everybody when the file is put back. */
static int check_committed(struct tx_group *g, struct xp_err *err) XP_REQUIRES(g->pool->write_lock)
{
    int rc = db_files_check(&g->pool->files, err);
    if (rc != 0) {
        g->db->trouble = DB_STORAGE_FAILS;
        err->code = XP_TIMEOUT;
        rc = xp_wrap(err, "perhaps written");
    }
    return rc;
}

static void group_commit(struct tx_group *g) XP_REQUIRES(g->pool->write_lock)
{
    struct xp_err why = { 0 };
    g->db->trouble = DB_WELL;
    int rc = db_control(g->db, DB_COMMIT, &why);
    if (rc != 0) {
        group_roll_back(g);
    }
    db_files_note_main(&g->pool->files); /* a commit may have checkpointed */
    if (rc == 0) {
        rc = check_committed(g, &why);
    }
    if (rc != 0) {
        group_lost(g, rc, &why);
        return;
    }
    list_for_each (link, &g->members) {
        struct tx *tx = tx_of(link);
        if (tx->is_kept && fault_hit(FAULT_db_commit)) {
            tx->rc = xp_fail(&tx->err, XP_TIMEOUT,
                             "database '%s': committed, answer lost by fault point", g->db->path);
        }
    }
}

static void group_note(const struct tx_group *g)
{
    list_for_each (link, &g->members) {
        const struct tx *tx = tx_of(link);
        if (tx->rc == 0) {
            note_written(g->pool);
        } else {
            note_trouble(g->pool, tx->trouble, &tx->err);
        }
    }
}

/* The caller leads: runs whoever waits, one after the other, until nobody does; then one commit for all. */
static void group_run(struct tx_group *g) XP_REQUIRES(g->pool->write_lock)
{
    struct db_ticket *ticket;
    while (g->count < GROUP_MAX && (ticket = db_queue_next(&g->pool->queue)) != NULL) {
        list_push_back(&g->members, &ticket->link);
        g->count++;
        tx_run(g, tx_of(&ticket->link));
    }
    if (g->kept_count > 0) {
        group_commit(g);
    }
    group_note(g);
}

static void lead(struct db_pool *pool)
{
    struct tx_group group = { .pool = pool };
    list_init(&group.members);
    mutex_lock(&group.pool->write_lock);
    group.db = group.pool->writer;
    group_run(&group);
    mutex_unlock(&group.pool->write_lock);
    db_queue_leave(&pool->queue, &group.members);
}

int db_tx(struct db_pool *pool, int (*fn)(struct db *, void *, struct xp_err *), void *arg,
          struct xp_err *err)
{
    xp_check(thread_role() != THREAD_LOOP);
    int rc = check_damage(pool, err);
    if (rc != 0) {
        return rc;
    }
    struct tx tx = { .fn = fn, .arg = arg };
    if (db_queue_enter(&pool->queue, &tx.ticket)) {
        lead(pool);
    }
    if (tx.rc != 0 && err) {
        *err = tx.err;
    }
    return tx.rc;
}

int db_tx_waiting(struct db_pool *pool)
{
    return db_queue_waiting(&pool->queue);
}

/* ---- looking ---- */

static int touch(struct db *db, void *arg, struct xp_err *err)
{
    (void)arg;
    AUTO_FREE char *version = NULL;
    int rc = db_exec_text(db, "PRAGMA user_version", &version, err);
    AUTO_FREE char *same = xasprintf("PRAGMA user_version = %s", rc == 0 ? version : "0");
    return rc == 0 ? db_exec(db, same, err) : rc;
}

void db_check(struct db_pool *pool)
{
    char problem[DB_PROBLEM_BYTES];
    struct xp_err err = { 0 };
    if (db_problem(pool, problem)) {
        int rc = db_tx(pool, touch, NULL, &err);
        (void)rc; /* it noted the outcome itself */
        return;
    }
    mutex_lock(&pool->write_lock);
    pool->writer->trouble = DB_WELL;
    if (check_files(pool, &err) != 0) {
        note_trouble(pool, pool->writer->trouble, &err);
    }
    mutex_unlock(&pool->write_lock);
}
