/* store_commits.c - durable commits/s of creating clusters, beside a bare SQLite loop with the same statements.
 *
 * Usage: store_commits FOLDER [COUNT]. The bare loop is the least that anybody could do for the same rows: prepared
 * statements from schema/queries, one connection, the same pragmas, no hash, no checks in C. Both run in alternating
 * batches in one process, so that a slow disk is slow for both. */
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "console/catalog/clusters.h"
#include "console/catalog/dcs.h"
#include "console/catalog/organizations.h"
#include "console/catalog/zones.h"
#include "shared/base/clock.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

enum { BATCH = 50, BODY_BYTES = 170 };

static void must(bool ok, const char *what, const char *why)
{
    if (!ok) {
        (void)fprintf(stderr, "%s: %s\n", what, why);
        exit(1);
    }
}

/* ---- the catalog ---- */

static void prepare(struct catalog *cat)
{
    struct xp_err err = { 0 };
    struct change_ctx ctx = { .actor = "bench" };
    struct catalog_result r = { 0 };
    struct dc_edit dcs[] = { { .name = "jq", .zone_id = 1 }, { .name = "oy", .zone_id = 1 } };
    must(zones_create(cat, &ctx, "Z", &r, &err) == 0, "zone", err.msg);
    must(dcs_create(cat, &ctx, &dcs[0], &r, &err) == 0, "dc", err.msg);
    must(dcs_create(cat, &ctx, &dcs[1], &r, &err) == 0, "dc", err.msg);
}

static void create_one(struct catalog *cat, int number)
{
    static const char *const dcs[] = { "jq", "oy" };
    struct xp_err err = { 0 };
    struct change_ctx ctx = { .actor = "bench", .request_id = "r" };
    struct catalog_result r = { 0 };
    char name[32];
    (void)snprintf(name, sizeof(name), "cluster-%d", number);
    struct cluster_spec spec = { .name = name,
                                 .description = "d",
                                 .admin_emails = "dba@example.com",
                                 .has_org_id = true,
                                 .dcs = dcs,
                                 .dc_count = 2 };
    must(clusters_create(cat, &ctx, &spec, &r, &err) == 0, name, err.msg);
    catalog_result_done(&r);
}

/* ---- the bare loop ---- */

struct bare {
    sqlite3 *raw;
    sqlite3_stmt *begin, *commit, *last, *org, *cluster, *dc, *insert, *bind, *put, *count, *touch,
        *epoch, *append;
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
    b->count = from_file(b->raw, "outbox_count_dc");
    b->touch = from_file(b->raw, "dc_touch");
    b->epoch = from_file(b->raw, "store_epoch");
    b->append = from_file(b->raw, "change_append");
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
    (void)snprintf(name, sizeof(name), "cluster-%d", number);
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
              name, "ONE_WAY", (int64_t)1, "d", org, "dba@example.com", "20260101000000000", idx,
              now);
    int64_t id = sqlite3_last_insert_rowid(b->raw);
    for (size_t i = 0; i < ARRAY_LEN(dc_ids); i++) {
        (void)run(b, b->bind, "iii", dc_ids[i], id, now);
    }
    for (size_t i = 0; i < ARRAY_LEN(dc_ids); i++) {
        (void)run(b, b->put, "ittiii", dc_ids[i], name, "ONE_WAY", (int64_t)0, idx, now);
        (void)run(b, b->count, "i", dc_ids[i]);
        (void)run(b, b->touch, "ii", dc_ids[i], idx);
    }
    int64_t epoch = run(b, b->epoch, "");
    (void)run(b, b->append,
              "iiittttt"
              "t",
              idx, epoch, now, "bench", "r", "cluster.create", body, hash, hash);
    (void)run(b, b->commit, "");
}

int main(int argc, char **argv)
{
    int64_t count = 1000;
    must(argc >= 2, "usage", "store_commits FOLDER [COUNT]");
    must(argc < 3 || text_to_i64(argv[2], strlen(argv[2]), BATCH, 1000000, &count), "COUNT",
         "50..1000000");
    AUTO_FREE char *ours = xasprintf("%s/catalog.db", argv[1]);
    AUTO_FREE char *theirs = xasprintf("%s/bare.db", argv[1]);
    struct xp_err err = { 0 };
    struct store *store = NULL;
    struct catalog cat = { 0 };
    struct store *seed = NULL;
    must(store_open(&(struct store_options){ .path = theirs }, &seed, &err) == 0, theirs, err.msg);
    cat.store = seed;
    prepare(&cat); /* the same schema and the same DCs for both */
    store_close(seed);
    must(store_open(&(struct store_options){ .path = ours }, &store, &err) == 0, ours, err.msg);
    cat.store = store;
    prepare(&cat);
    struct bare bare;
    bare_open(&bare, theirs);
    int64_t ours_us = 0;
    int64_t theirs_us = 0;
    for (int at = 0; at < (int)count; at += BATCH) {
        int64_t begin = clock_mono_us();
        for (int i = 0; i < BATCH; i++) {
            create_one(&cat, at + i);
        }
        int64_t middle = clock_mono_us();
        for (int i = 0; i < BATCH; i++) {
            bare_one(&bare, at + i);
        }
        ours_us += middle - begin;
        theirs_us += clock_mono_us() - middle;
    }
    double done = (double)((count + BATCH - 1) / BATCH * BATCH);
    (void)printf("catalog %.0f commits/s, bare SQLite %.0f commits/s, ratio %.2f\n",
                 done * 1e6 / (double)ours_us, done * 1e6 / (double)theirs_us,
                 (double)theirs_us / (double)ours_us);
    bare_close(&bare);
    store_close(store);
    return 0;
}
