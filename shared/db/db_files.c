/* db_files.c - see db_files.h. */
#include "shared/db/db_files.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include <errno.h>
#include <string.h>

#include "shared/base/banned.h"

static const char *const suffixes[DB_FILES] = { "", "-wal", ".lock" };
static const char *const titles[DB_FILES] = { "the file", "its -wal", "its .lock" };

int db_files_check_start(const char *path, struct xp_err *err)
{
    struct stat main_file;
    struct stat wal;
    AUTO_FREE char *wal_path = xasprintf("%s-wal", path);
    if (stat(path, &main_file) == 0) {
        return main_file.st_size > 0
                   ? 0
                   : xp_fail(err, XP_UNAVAILABLE,
                             "database '%s' has 0 bytes: restore a backup, or remove the file to "
                             "begin with an empty one",
                             path);
    }
    if (errno == ENOENT && stat(wal_path, &wal) == 0 && wal.st_size > 0) {
        return xp_fail(err, XP_UNAVAILABLE,
                       "database '%s' is missing and its changes in '%s-wal' are not: restore "
                       "both, or remove the latter to begin with an empty one",
                       path, path);
    }
    return 0;
}

int db_files_note(struct db_files *files, const char *path, struct xp_err *err)
{
    for (int i = 0; i < DB_FILES; i++) {
        struct stat st;
        files->path[i] = xasprintf("%s%s", path, suffixes[i]);
        if (stat(files->path[i], &st) != 0) {
            return xp_fail(err, XP_UNAVAILABLE, "database '%s': '%s': %s", path, files->path[i],
                           strerror(errno));
        }
        files->device[i] = st.st_dev;
        files->inode[i] = st.st_ino;
    }
    db_files_note_main(files);
    return 0;
}

void db_files_done(struct db_files *files)
{
    for (int i = 0; i < DB_FILES; i++) {
        free(files->path[i]);
    }
    *files = (struct db_files){ 0 };
}

int db_files_check(const struct db_files *files, struct xp_err *err)
{
    for (int i = 0; i < DB_FILES; i++) {
        struct stat st;
        if (stat(files->path[i], &st) != 0) {
            return xp_fail(err, XP_UNAVAILABLE,
                           "database '%s': %s is gone under the running console (%s): put it back, "
                           "or stop the console and restore a backup",
                           files->path[DB_FILE_MAIN], titles[i], strerror(errno));
        }
        if (st.st_dev != files->device[i] || st.st_ino != files->inode[i]) {
            return xp_fail(err, XP_UNAVAILABLE,
                           "database '%s': %s was replaced under the running console: put the old "
                           "one back, or restart the console",
                           files->path[DB_FILE_MAIN], titles[i]);
        }
    }
    return 0;
}

bool db_files_is_changed(const struct db_files *files)
{
    struct stat st;
    return stat(files->path[DB_FILE_MAIN], &st) != 0 || st.st_size != files->main_bytes ||
           st.st_mtim.tv_sec != files->main_changed.tv_sec ||
           st.st_mtim.tv_nsec != files->main_changed.tv_nsec;
}

void db_files_note_main(struct db_files *files)
{
    struct stat st;
    if (stat(files->path[DB_FILE_MAIN], &st) == 0) { /* else db_files_check says so */
        files->main_bytes = st.st_size;
        files->main_changed = st.st_mtim;
    }
}
