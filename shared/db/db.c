/* db.c - statements and errors of db.h; connections and transactions are in db_pool.c. */
#include "shared/db/db.h"
#include "shared/base/mem.h"
#include "shared/db/db_internal.h"

#include <string.h>

#include "shared/base/banned.h"

/* clang-format off */
static const struct db_code {
    int sqlite_code; /* primary code */
    enum xp_code code;
    enum db_trouble trouble;
    const char *advice; /* NULL: SQLite's text says it */
} db_codes[] = {
    { SQLITE_CONSTRAINT, XP_CONFLICT,    DB_WELL, NULL },
    { SQLITE_TOOBIG,     XP_TOO_LARGE,   DB_WELL, NULL },
    { SQLITE_FULL,       XP_UNAVAILABLE, DB_STORAGE_FAILS, "the disk is full: free space; nothing was changed" },
    { SQLITE_READONLY,   XP_UNAVAILABLE, DB_STORAGE_FAILS, "it cannot be written: check mount and permissions; nothing was changed" },
    { SQLITE_PERM,       XP_UNAVAILABLE, DB_STORAGE_FAILS, "it cannot be written: check mount and permissions; nothing was changed" },
    { SQLITE_CANTOPEN,   XP_UNAVAILABLE, DB_STORAGE_FAILS, "it cannot be opened: check that the folder exists and can be written" },
    { SQLITE_BUSY,       XP_UNAVAILABLE, DB_STORAGE_FAILS, "another process holds it: end that process, then repeat" },
    { SQLITE_LOCKED,     XP_UNAVAILABLE, DB_STORAGE_FAILS, "another process holds it: end that process, then repeat" },
    { SQLITE_IOERR,      XP_UNAVAILABLE, DB_STORAGE_FAILS, "the disk refuses: check space, limits and the system log; nothing was changed" },
    { SQLITE_CORRUPT,    XP_INTERNAL,    DB_DAMAGED, "it is damaged: stop the console and restore a backup" },
    { SQLITE_NOTADB,     XP_INTERNAL,    DB_DAMAGED, "it is not a SQLite database: check the path in the configuration" },
};
/* clang-format on */

int db_fail(struct db *db, int sqlite_code, struct xp_err *err)
{
    const char *text = db->raw ? sqlite3_errmsg(db->raw) : sqlite3_errstr(sqlite_code);
    for (size_t i = 0; i < ARRAY_LEN(db_codes); i++) {
        const struct db_code *row = &db_codes[i];
        if (row->sqlite_code != (sqlite_code & 0xff)) {
            continue;
        }
        db->trouble = row->trouble > db->trouble ? row->trouble : db->trouble;
        if (!row->advice) {
            return xp_fail(err, row->code, "%s", text);
        }
        return xp_fail(err, row->code, "database '%s': %s (%s)", db->path, row->advice, text);
    }
    return xp_fail(err, XP_INTERNAL, "database '%s': %s (code %d)", db->path, text, sqlite_code);
}

int db_exec(struct db *db, const char *sql, struct xp_err *err)
{
    int rc = sqlite3_exec(db->raw, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? 0 : db_fail(db, rc, err);
}

int db_exec_text(struct db *db, const char *sql, char **ret_text, struct xp_err *err)
{
    sqlite3_stmt *raw = NULL;
    int rc = sqlite3_prepare_v2(db->raw, sql, -1, &raw, NULL);
    if (rc == SQLITE_OK) {
        rc = sqlite3_step(raw);
    }
    if (rc != SQLITE_ROW && rc != SQLITE_DONE) {
        int code = db_fail(db, rc, err);
        (void)sqlite3_finalize(raw);
        return code;
    }
    const char *text = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(raw, 0) : NULL;
    *ret_text = xstrdup(text ? text : "");
    (void)sqlite3_finalize(raw);
    return 0;
}

int db_control(struct db *db, enum db_control control, struct xp_err *err)
{
    sqlite3_stmt *raw = db->controls[control];
    int rc = sqlite3_step(raw);
    rc = rc == SQLITE_DONE ? 0 : db_fail(db, rc, err);
    (void)sqlite3_reset(raw); /* repeats the error of the step */
    return rc;
}

static int prepare_controls(struct db *db, struct xp_err *err)
{
    static const char *const texts[DB_CONTROLS] = {
        [DB_BEGIN] = "BEGIN",           [DB_BEGIN_IMMEDIATE] = "BEGIN IMMEDIATE",
        [DB_COMMIT] = "COMMIT",         [DB_ROLLBACK] = "ROLLBACK",
        [DB_SAVEPOINT] = "SAVEPOINT s", [DB_RELEASE] = "RELEASE s",
        [DB_UNDO] = "ROLLBACK TO s",
    };
    for (size_t i = 0; i < DB_CONTROLS; i++) {
        int rc = sqlite3_prepare_v3(db->raw, texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                                    &db->controls[i], NULL);
        if (rc != SQLITE_OK) {
            return db_fail(db, rc, err);
        }
    }
    return 0;
}

int db_prepare_all(struct db *db, struct xp_err *err)
{
    const struct db_schema *schema = db->schema;
    int prepared = prepare_controls(db, err);
    if (prepared != 0) {
        return prepared;
    }
    db->statements = xcalloc(schema->query_count + 1, sizeof(*db->statements));
    for (size_t i = 0; i < schema->query_count; i++) {
        int rc = sqlite3_prepare_v3(db->raw, schema->queries[i], -1, SQLITE_PREPARE_PERSISTENT,
                                    &db->statements[i], NULL);
        if (rc != SQLITE_OK) {
            (void)db_fail(db, rc, err);
            return xp_wrap(err, "query %s", schema->query_names[i]);
        }
    }
    return 0;
}

struct db_stmt db_query(struct db *db, int query_id)
{
    xp_check(query_id >= 0 && (size_t)query_id < db->schema->query_count);
    sqlite3_stmt *raw = db->statements[query_id];
    xp_check(!sqlite3_stmt_busy(raw));
    return (struct db_stmt){ .db = db, .raw = raw, .next_bind = 1 };
}

void db_stmt_done(struct db_stmt *s)
{
    if (s->raw) {
        /* The result of a reset repeats the error of the last step, which was reported there. */
        (void)sqlite3_reset(s->raw);
        (void)sqlite3_clear_bindings(s->raw);
        s->raw = NULL;
    }
}

/* A bind fails only for a parameter that the statement does not have, or a text over SQLite's limit (1 GB). */
void db_bind_i64(struct db_stmt *s, int64_t value)
{
    xp_check(sqlite3_bind_int64(s->raw, s->next_bind++, value) == SQLITE_OK);
}

void db_bind_text(struct db_stmt *s, const char *text)
{
    xp_check(sqlite3_bind_text(s->raw, s->next_bind++, text, -1, SQLITE_TRANSIENT) == SQLITE_OK);
}

int db_step(struct db_stmt *s, struct xp_err *err)
{
    xp_check(s->raw && s->next_bind == sqlite3_bind_parameter_count(s->raw) + 1);
    int rc = sqlite3_step(s->raw);
    if (rc == SQLITE_ROW) {
        return DB_ROW;
    }
    return rc == SQLITE_DONE ? 0 : db_fail(s->db, rc, err);
}

int db_run(struct db_stmt *s, struct xp_err *err)
{
    int rc = db_step(s, err);
    if (rc == DB_ROW) {
        return xp_fail(err, XP_INTERNAL, "statement returned a row: %.80s", sqlite3_sql(s->raw));
    }
    return rc;
}

int64_t db_col_i64(const struct db_stmt *s, int column)
{
    return sqlite3_column_int64(s->raw, column);
}

const char *db_col_text(const struct db_stmt *s, int column)
{
    return (const char *)sqlite3_column_text(s->raw, column);
}

bool db_col_is_null(const struct db_stmt *s, int column)
{
    return sqlite3_column_type(s->raw, column) == SQLITE_NULL;
}

int64_t db_last_id(struct db *db)
{
    return sqlite3_last_insert_rowid(db->raw);
}
