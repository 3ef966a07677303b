/* db_internal.h - what db.c (statements) and db_pool.c (connections, transactions) share. Nobody else includes it. */
#ifndef SHARED_DB_DB_INTERNAL_H
#define SHARED_DB_DB_INTERNAL_H

#include <sqlite3.h>

#include "shared/db/db.h"

enum db_trouble { DB_WELL, DB_STORAGE_FAILS, DB_DAMAGED };

/* The statements around those of the schema. */
enum db_control {
    DB_BEGIN,
    DB_BEGIN_IMMEDIATE,
    DB_COMMIT,
    DB_ROLLBACK,
    DB_SAVEPOINT,
    DB_RELEASE,
    DB_UNDO, /* back to the savepoint, which stays */
    DB_CONTROLS,
};

struct db {
    sqlite3 *raw;
    enum db_trouble trouble; /* the worst that db_fail saw since somebody set it to DB_WELL */
    const char *path;        /* borrowed from the pool */
    const struct db_schema *schema;
    sqlite3_stmt **statements; /* by query id, all prepared at open */
    sqlite3_stmt *controls[DB_CONTROLS];
};

/* Turns a failed SQLite call into an error that names the file and what to do. Returns the xp_code. */
int db_fail(struct db *db, int sqlite_code, struct xp_err *err);
/* One of the controls; prepared by db_prepare_all. */
int db_control(struct db *db, enum db_control control, struct xp_err *err);
/* One or more statements without parameters. */
int db_exec(struct db *db, const char *sql, struct xp_err *err);
/* The first column of the first row of a statement, as text; "" when there is none. Returns owned. */
int db_exec_text(struct db *db, const char *sql, char **ret_text, struct xp_err *err) XP_MUST_CHECK;
int db_prepare_all(struct db *db, struct xp_err *err) XP_MUST_CHECK;

#endif
