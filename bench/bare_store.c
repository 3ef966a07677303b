/* bare_store.c - the yardstick of bench-console for durable writes: the rows of a new cluster, with SQLite alone.
 *
 * Usage: bare_store DATABASE. The database is a copy of a console's with the DCs 1 and 2. Each line "FIRST COUNT" on the
 * standard input creates COUNT clusters and is answered with one line of JSON. It is the least that anybody could do for the
 * same rows: the statements of schema/queries, prepared, one connection, the same pragmas, one durable transaction a
 * cluster; no HTTP, no JSON, no hash, no checks in C. Started in the root of the checkout. */
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/clock.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

enum { COUNT_MAX = 1000000, BODY_BYTES = 170, LINE_BYTES = 64 };

static void must(bool ok, const char *what, const char *why)
{
    if (!ok) {
        (void)fprintf(stderr, "%s: %s\n", what, why);
        exit(1);
    }
}

/* ---- one cluster ---- */

struct bare {
    sqlite3 *raw;
    sqlite3_stmt *begin, *commit, *last, *org, *cluster, *dc, *insert, *bind, *put, *touch, *epoch,
        *append, *told;
};

static sqlite3_stmt *from_text(sqlite3 *raw, const char *text)
{
    sqlite3_stmt *s = NULL;
    must(sqlite3_prepare_v3(raw, text, -1, SQLITE_PREPARE_PERSISTENT, &s, NULL) == SQLITE_OK, text,
         sqlite3_errmsg(raw));
    return s;
}

static sqlite3_stmt *from_file(sqlite3 *raw, const char *name)
{
    char path[256];
    char text[4096];
    (void)snprintf(path, sizeof(path), "schema/queries/%s.sql", name);
    FILE *file = fopen(path, "re");
    must(file != NULL, path, "cannot be read: run in the root of the checkout");
    size_t n = fread(text, 1, sizeof(text) - 1, file);
    text[n] = '\0';
    (void)fclose(file);
    return from_text(raw, text);
}

static void bare_open(struct bare *b, const char *path)
{
    must(sqlite3_open(path, &b->raw) == SQLITE_OK, path, "cannot open");
    must(sqlite3_exec(b->raw,
                      "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; "
                      "PRAGMA temp_store=MEMORY; PRAGMA cache_size=-8192",
                      NULL, NULL, NULL) == SQLITE_OK,
         path, sqlite3_errmsg(b->raw));
    b->begin = from_text(b->raw, "BEGIN IMMEDIATE");
    b->commit = from_text(b->raw, "COMMIT");
    b->last = from_file(b->raw, "change_last");
    b->org = from_file(b->raw, "organization_by_org_id");
    b->cluster = from_file(b->raw, "cluster_by_name");
    b->dc = from_file(b->raw, "dc_by_name");
    b->insert = from_file(b->raw, "cluster_insert");
    b->bind = from_file(b->raw, "dc_cluster_insert");
    b->put = from_file(b->raw, "outbox_put");
    b->touch = from_file(b->raw, "dc_touch");
    b->epoch = from_file(b->raw, "store_epoch");
    b->append = from_file(b->raw, "change_append");
    b->told = from_text(b->raw, "DELETE FROM push_outbox");
}

static void bare_close(struct bare *b)
{
    sqlite3_stmt *s = NULL;
    while ((s = sqlite3_next_stmt(b->raw, NULL)) != NULL) {
        (void)sqlite3_finalize(s);
    }
    (void)sqlite3_close(b->raw);
}

/* Binds by a format: i = int64, t = text; runs to the first row or the end; resets. Returns column 0. */
static int64_t run(struct bare *b, sqlite3_stmt *s, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    for (int i = 0; format[i]; i++) {
        if (format[i] == 'i') {
            (void)sqlite3_bind_int64(s, i + 1, va_arg(args, int64_t));
        } else {
            (void)sqlite3_bind_text(s, i + 1, va_arg(args, const char *), -1, SQLITE_STATIC);
        }
    }
    va_end(args);
    int rc = sqlite3_step(s);
    must(rc == SQLITE_ROW || rc == SQLITE_DONE, sqlite3_sql(s), sqlite3_errmsg(b->raw));
    int64_t value = rc == SQLITE_ROW ? sqlite3_column_int64(s, 0) : 0;
    (void)sqlite3_reset(s);
    return value;
}

static void bare_one(struct bare *b, int number)
{
    static const char hash[] = "0123456789012345678901234567890123456789012345678901234567890123";
    static const int64_t dc_ids[] = { 1, 2 };
    char name[32];
    char body[BODY_BYTES + 3] = "{";
    int64_t now = clock_wall_ms();
    (void)snprintf(name, sizeof(name), "bench-%05d", number);
    memset(body + 1, 'x', BODY_BYTES);
    (void)run(b, b->begin, "");
    int64_t idx = run(b, b->last, "") + 1;
    int64_t org = run(b, b->org, "i", (int64_t)0);
    (void)run(b, b->cluster, "t", name);
    (void)run(b, b->dc, "t", "jq");
    (void)run(b, b->dc, "t", "oy");
    (void)run(b, b->insert,
              "ttititt"
              "ii",
              name, "BI_DIRECTION", (int64_t)0, "bench", org, "dba@example.com",
              "20260101000000000", idx, now);
    int64_t id = sqlite3_last_insert_rowid(b->raw);
    for (size_t i = 0; i < ARRAY_LEN(dc_ids); i++) {
        (void)run(b, b->bind, "iii", dc_ids[i], id, now);
    }
    for (size_t i = 0; i < ARRAY_LEN(dc_ids); i++) {
        (void)run(b, b->put, "ittiii", dc_ids[i], name, "BI_DIRECTION", (int64_t)0, idx, now);
        (void)run(b, b->touch, "ii", dc_ids[i], idx);
    }
    int64_t epoch = run(b, b->epoch, "");
    (void)run(b, b->append,
              "iiittttt"
              "t",
              idx, epoch, now, "127.0.0.1", "0123456789ab-1234", "cluster.create", body, hash,
              hash);
    (void)run(b, b->commit, "");
}

/* ---- the batches ---- */

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static void run_batch(struct bare *b, int64_t first, int64_t count)
{
    AUTO_FREE int64_t *took_us = xcalloc((size_t)count, sizeof(*took_us));
    int64_t begin = clock_mono_us();
    for (int64_t i = 0; i < count; i++) {
        int64_t at = clock_mono_us();
        bare_one(b, (int)(first + i));
        took_us[i] = clock_mono_us() - at;
    }
    int64_t us = clock_mono_us() - begin;
    (void)run(
        b, b->told,
        ""); /* as by the notifier of a console whose metaservers answer; its time is not counted */
    qsort(took_us, (size_t)count, sizeof(*took_us), by_value);
    (void)printf("{\"count\":%lld,\"seconds\":%.6f,\"p50_us\":%lld,\"p99_us\":%lld}\n",
                 (long long)count, (double)us / 1e6, (long long)took_us[(count - 1) / 2],
                 (long long)took_us[(count - 1) * 99 / 100]);
    (void)fflush(stdout);
}

static bool read_number(const char **cursor, int64_t min, int64_t max, int64_t *ret_value)
{
    const char *part;
    size_t length;
    return text_next_part(cursor, " \n", &part, &length) &&
           text_to_i64(part, length, min, max, ret_value);
}

int main(int argc, char **argv)
{
    must(argc == 2, "usage", "bare_store DATABASE");
    struct bare bare = { 0 };
    char line[LINE_BYTES];
    bare_open(&bare, argv[1]);
    while (fgets(line, sizeof(line), stdin)) {
        const char *cursor = line;
        int64_t first = 0;
        int64_t count = 0;
        must(read_number(&cursor, 0, COUNT_MAX, &first) &&
                 read_number(&cursor, 1, COUNT_MAX, &count),
             line, "expected FIRST COUNT");
        run_batch(&bare, first, count);
    }
    bare_close(&bare);
    return 0;
}
