/* store.c - see store.h: the pool, the change transaction and the hash chain of the log. */
#define SCHEMA_SQL_TEXTS 1
#include "console/store/store.h"
#include "console/store/query.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "shared/base/banned.h"

enum {
    READERS_DEFAULT = 4,
    BUSY_DEFAULT_MS = 5000,
    BODY_MAX_BYTES = 8 << 20,
    ORIGIN_MAX_BYTES = 256,
    PAGE_ROWS_MAX = 1000,
    HASH_TEXT_SIZE = 65,
};

static const char FIRST_PREV_HASH[HASH_TEXT_SIZE] =
    "0000000000000000000000000000000000000000000000000000000000000000";

struct store {
    struct db_pool *pool;
    int64_t version;        /* atomic: last committed idx */
    struct map outbox_room; /* see struct change; inside of write transactions only */
};

/* ---- hash chain ---- */

/* Each field as "length:bytes," so that no two different rows give the same text. */
static void hash_field(EVP_MD_CTX *ctx, const char *text)
{
    char prefix[24];
    int n = snprintf(prefix, sizeof(prefix), "%zu:", strlen(text));
    xp_check(EVP_DigestUpdate(ctx, prefix, (size_t)n) == 1 &&
             EVP_DigestUpdate(ctx, text, strlen(text)) == 1 && EVP_DigestUpdate(ctx, ",", 1) == 1);
}

static void hash_number(EVP_MD_CTX *ctx, int64_t value)
{
    char text[24];
    (void)snprintf(text, sizeof(text), "%lld", (long long)value);
    hash_field(ctx, text);
}

static void row_hash(const struct change_row *row, char ret_hash[HASH_TEXT_SIZE])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int length = 0;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    xp_check(ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1);
    hash_field(ctx, row->prev_hash);
    hash_number(ctx, row->idx);
    hash_number(ctx, row->epoch);
    hash_number(ctx, row->at_ms);
    hash_field(ctx, row->actor);
    hash_field(ctx, row->request_id);
    hash_field(ctx, row->op);
    hash_field(ctx, row->body);
    xp_check(EVP_DigestFinal_ex(ctx, digest, &length) == 1 && length == 32);
    EVP_MD_CTX_free(ctx);
    for (unsigned int i = 0; i < length; i++) {
        (void)snprintf(ret_hash + 2 * i, 3, "%02x", digest[i]);
    }
}

/* ---- opening ---- */

int store_version_in(struct db *db, int64_t *ret_idx, struct xp_err *err)
{
    return query_i64(db, Q_CHANGE_LAST, QUERY_NO_ARGS, ret_idx, err);
}

static int read_version(struct db *db, void *arg, struct xp_err *err)
{
    return store_version_in(db, arg, err);
}

int store_open(const struct store_options *options, struct store **ret_store, struct xp_err *err)
{
    struct db_options db_options = {
        .path = options->path,
        .schema = &schema_sql,
        .readers = options->readers ? options->readers : READERS_DEFAULT,
        .busy_timeout_ms = options->busy_timeout_ms ? options->busy_timeout_ms : BUSY_DEFAULT_MS,
    };
    struct store *store = xcalloc(1, sizeof(*store));
    store->outbox_room = MAP_INIT(MAP_NUMBER);
    int rc = db_pool_open(&db_options, &store->pool, err);
    if (rc == 0) {
        rc = db_read(store->pool, read_version, &store->version, err);
    }
    if (rc != 0) {
        store_close(store);
        return rc;
    }
    *ret_store = store;
    return 0;
}

void store_close(struct store *store)
{
    if (store) {
        db_pool_close(store->pool);
        map_done(&store->outbox_room);
        free(store);
    }
}

int64_t store_version(const struct store *store)
{
    return __atomic_load_n(&store->version, __ATOMIC_ACQUIRE);
}

/* Two changes may come here in the other order than they were committed in. */
static void raise_version(struct store *store, int64_t idx)
{
    int64_t seen = store_version(store);
    while (seen < idx && !__atomic_compare_exchange_n(&store->version, &seen, idx, false,
                                                      __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
    }
}

int store_read(struct store *store, int (*fn)(struct db *, void *, struct xp_err *), void *arg,
               struct xp_err *err)
{
    return db_read(store->pool, fn, arg, err);
}

int store_bookkeep(struct store *store, int (*fn)(struct db *, void *, struct xp_err *), void *arg,
                   struct xp_err *err)
{
    return db_tx(store->pool, fn, arg, err);
}

bool store_problem(struct store *store, char ret_text[DB_PROBLEM_BYTES])
{
    return db_problem(store->pool, ret_text);
}

void store_check(struct store *store)
{
    db_check(store->pool);
}

/* ---- changing ---- */

struct change_job {
    const struct store_op *op;
    struct change change;
    char prev_hash[HASH_TEXT_SIZE];
    int64_t result_idx;
    bool is_undone; /* dry run, nothing to change: all went well, and it is rolled back */
};

static int read_head(struct change_job *job, struct xp_err *err)
{
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(job->change.db, Q_CHANGE_LAST, QUERY_NO_ARGS);
    int rc = db_step(&s, err);
    if (rc < 0) {
        return rc;
    }
    const char *hash = rc == DB_ROW ? db_col_text(&s, 1) : FIRST_PREV_HASH;
    (void)snprintf(job->prev_hash, sizeof(job->prev_hash), "%s", hash);
    job->change.idx = (rc == DB_ROW ? db_col_i64(&s, 0) : 0) + 1;
    return 0;
}

static char *origin_text(const char *text)
{
    return text ? xstrndup(text, strnlen(text, ORIGIN_MAX_BYTES)) : xstrdup("");
}

static int append_row(struct db *db, const struct change_row *row, struct xp_err *err)
{
    char hash[HASH_TEXT_SIZE];
    row_hash(row, hash);
    return query_run(db, Q_CHANGE_APPEND,
                     QUERY_ARGS(QI(row->idx), QI(row->epoch), QI(row->at_ms), QT(row->actor),
                                QT(row->request_id), QT(row->op), QT(row->body), QT(row->prev_hash),
                                QT(hash)),
                     err);
}

static int append_change(struct change_job *job, struct xp_err *err)
{
    struct change *change = &job->change;
    if (!text_is_empty(change->ctx->peer_ip)) {
        (void)json_object_set_new(change->body, "peer_ip", json_string(change->ctx->peer_ip));
    }
    AUTO_FREE char *body = json_dumps(change->body, JSON_COMPACT);
    if (!body || strlen(body) > BODY_MAX_BYTES) {
        return xp_fail(err, XP_TOO_LARGE, "%s: its record is over %d bytes: split the call",
                       job->op->name, BODY_MAX_BYTES);
    }
    AUTO_FREE char *actor = origin_text(change->ctx->actor);
    AUTO_FREE char *request_id = origin_text(change->ctx->request_id);
    AUTO_FREE char *op = xstrdup(job->op->name);
    struct change_row row = {
        .idx = change->idx,
        .at_ms = change->now_ms,
        .actor = actor,
        .request_id = request_id,
        .op = op,
        .body = body,
        .prev_hash = job->prev_hash,
    };
    int rc = query_i64(change->db, Q_STORE_EPOCH, QUERY_NO_ARGS, &row.epoch, err);
    return rc == 0 ? append_row(change->db, &row, err) : rc;
}

static int run_change(struct db *db, void *arg, struct xp_err *err)
{
    struct change_job *job = arg;
    job->change.db = db;
    int rc = read_head(job, err);
    if (rc == 0) {
        rc = job->op->fn(&job->change, job->op->arg, err);
    }
    if (rc != 0) {
        return rc;
    }
    const struct change *change = &job->change;
    bool is_new = !change->is_noop && !change->is_bookkeeping;
    job->result_idx = is_new ? change->idx : change->idx - 1;
    if (change->ctx->dry_run || change->is_noop) {
        job->is_undone = true;
        return XP_CONFLICT; /* only to make db_tx roll back */
    }
    return is_new ? append_change(job, err) : 0;
}

int store_change(struct store *store, const struct change_ctx *ctx, const struct store_op *op,
                 int64_t *ret_idx, struct xp_err *err)
{
    struct change_job job = {
        .op = op,
        .change = { .ctx = ctx,
                    .now_ms = clock_wall_ms(),
                    .body = json_object(),
                    .outbox_room = &store->outbox_room },
    };
    int rc = db_tx(store->pool, run_change, &job, err);
    json_decref(job.change.body);
    /* perhaps committed: documents and pushes must not wait for the next change */
    if (rc == XP_TIMEOUT) {
        int64_t head = 0;
        if (db_read(store->pool, read_version, &head, NULL) == 0) {
            raise_version(store, head);
        }
    }
    /* else it saw changes of others that were lost */
    bool is_undone = job.is_undone && rc == XP_CONFLICT;
    if (rc != 0 && !is_undone) {
        return rc;
    }
    if (!is_undone) {
        raise_version(store, job.result_idx);
    }
    if (ret_idx) {
        *ret_idx = job.result_idx;
    }
    return 0;
}

/* ---- reading the log ---- */

struct page_job {
    int64_t after_idx;
    int limit;
    struct change_rows *rows;
};

static int read_page(struct db *db, void *arg, struct xp_err *err)
{
    struct page_job *job = arg;
    CLEANUP(db_stmt_done)
    struct db_stmt s =
        query_open(db, Q_CHANGE_PAGE, QUERY_ARGS(QI(job->after_idx), QI(job->limit)));
    int rc = 0;
    while ((rc = db_step(&s, err)) == DB_ROW) {
        job->rows->items[job->rows->count++] = (struct change_row){
            .idx = db_col_i64(&s, 0),
            .epoch = db_col_i64(&s, 1),
            .at_ms = db_col_i64(&s, 2),
            .actor = query_text(&s, 3),
            .request_id = query_text(&s, 4),
            .op = query_text(&s, 5),
            .body = query_text(&s, 6),
            .prev_hash = query_text(&s, 7),
            .hash = query_text(&s, 8),
        };
    }
    return rc;
}

int store_changes(struct store *store, int64_t after_idx, int limit, struct change_rows *ret_rows,
                  struct xp_err *err)
{
    if (limit < 1 || limit > PAGE_ROWS_MAX) {
        return xp_fail(err, XP_INVALID, "limit %d: must be 1..%d", limit, PAGE_ROWS_MAX);
    }
    struct change_rows rows = { .items = xcalloc((size_t)limit, sizeof(*rows.items)) };
    struct page_job job = { .after_idx = after_idx, .limit = limit, .rows = &rows };
    int rc = db_read(store->pool, read_page, &job, err);
    if (rc != 0) {
        change_rows_done(&rows);
        return rc;
    }
    *ret_rows = rows;
    return 0;
}

void change_rows_done(struct change_rows *rows)
{
    for (size_t i = 0; i < rows->count; i++) {
        struct change_row *row = &rows->items[i];
        free(row->actor);
        free(row->request_id);
        free(row->op);
        free(row->body);
        free(row->prev_hash);
        free(row->hash);
    }
    free(rows->items);
    *rows = (struct change_rows){ 0 };
}

/* False ends the walk: report says what is wrong. */
static bool row_continues(const struct change_row *row, const char *prev_hash,
                          struct chain_report *report)
{
    int64_t expected = report->checked_count + 1;
    char hash[HASH_TEXT_SIZE];
    row_hash(row, hash);
    if (row->idx != expected) {
        report->bad_idx = expected;
        (void)snprintf(report->reason, sizeof(report->reason), "row %lld is missing",
                       (long long)expected);
    } else if (!text_eq(row->prev_hash, prev_hash)) {
        report->bad_idx = row->idx;
        (void)snprintf(report->reason, sizeof(report->reason),
                       "row %lld does not continue the row before it", (long long)row->idx);
    } else if (!text_eq(row->hash, hash)) {
        report->bad_idx = row->idx;
        (void)snprintf(report->reason, sizeof(report->reason),
                       "row %lld was changed: its fields do not give its hash",
                       (long long)row->idx);
    } else {
        report->checked_count++;
    }
    return report->bad_idx == 0;
}

int store_verify_chain(struct store *store, struct chain_report *ret_report, struct xp_err *err)
{
    struct chain_report report = { 0 };
    char prev_hash[HASH_TEXT_SIZE];
    memcpy(prev_hash, FIRST_PREV_HASH, sizeof(prev_hash));
    size_t got = PAGE_ROWS_MAX;
    while (got == PAGE_ROWS_MAX && report.bad_idx == 0) {
        CLEANUP(change_rows_done) struct change_rows rows = { 0 };
        int rc = store_changes(store, report.checked_count, PAGE_ROWS_MAX, &rows, err);
        if (rc != 0) {
            return rc;
        }
        got = rows.count;
        for (size_t i = 0; i < got && row_continues(&rows.items[i], prev_hash, &report); i++) {
            (void)snprintf(prev_hash, sizeof(prev_hash), "%s", rows.items[i].hash);
        }
    }
    *ret_report = report;
    return 0;
}
