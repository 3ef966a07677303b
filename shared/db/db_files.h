/* db_files.h - are the files of an open database still the ones that were opened? Private to shared/db.
 *
 * SQLite goes on in a file that was deleted or replaced, and what it acknowledges there is gone with the process. So the
 * pool asks before each write, and once more before a write is acknowledged. Not here: what the bytes are worth
 * (PRAGMA quick_check, asked by the pool when somebody else changed the main file).
 * Thread: under the pool's write lock. */
#ifndef SHARED_DB_DB_FILES_H
#define SHARED_DB_DB_FILES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "shared/base/err.h"

enum { DB_FILE_MAIN, DB_FILE_WAL, DB_FILE_LOCK, DB_FILES };

struct db_files {
    char *path[DB_FILES]; /* owned */
    dev_t device[DB_FILES];
    ino_t inode[DB_FILES];
    int64_t main_bytes;
    struct timespec main_changed;
};

/* Before SQLite opens it: refuses what SQLite would silently begin anew, a file cut to nothing or changes in a WAL
 * without their database. */
int db_files_check_start(const char *path, struct xp_err *err) XP_MUST_CHECK;
/* After all connections are open. */
int db_files_note(struct db_files *, const char *path, struct xp_err *err) XP_MUST_CHECK;
void db_files_done(struct db_files *);
/* XP_UNAVAILABLE names the file that is gone or another one. */
int db_files_check(const struct db_files *, struct xp_err *err) XP_MUST_CHECK;
/* The main file has another size or time than when we looked last: since only we write it, under the same lock, it was
 * somebody else. */
bool db_files_is_changed(const struct db_files *);
void db_files_note_main(struct db_files *);

#endif
