/* divergences.c - see divergences.h. */
#include "console/migration/divergences.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "console/migration/migration_events_internal.h"
#include "shared/base/log.h"
#include "shared/base/metrics.h"
#include "shared/base/str.h"
#include "shared/model/json_decode.h"

#include "shared/base/banned.h"

enum { WHY_MAX = 32, REASON_MAX = 1024, REPL_ID_MAX = 40, OF_MIGRATION_MAX = 1000 };

static struct metric divergences_total =
    METRIC_COUNTER_INIT("xpipe_divergences_total", "",
                        "Returned masters that had, or may have had, more than the new master");
static struct metric divergence_bytes =
    METRIC_COUNTER_INIT("xpipe_divergence_bytes_total", "",
                        "Bytes of replication that they had beyond it, where known");

/* ---- recording ---- */

static bool is_word(const char *text, size_t max)
{
    size_t length = strlen(text);
    for (size_t i = 0; i < length; i++) {
        if (!isalnum((unsigned char)text[i]) && text[i] != '-') {
            return false;
        }
    }
    return length <= max;
}

static int check(const struct divergence *d, struct xp_err *err)
{
    const struct {
        const char *name;
        int64_t value;
    } numbers[] = { { "offset", d->offset },
                    { "promotedOffset", d->promoted_offset },
                    { "bytes", d->bytes } };
    if (addr_is_none(&d->redis) || !addr_is_numeric(&d->redis)) {
        return xp_fail(err, XP_INVALID, "redis: must be the address of an instance");
    }
    if (!is_word(d->repl_id, REPL_ID_MAX)) {
        return xp_fail(err, XP_INVALID, "replId: must be letters and digits, %d at most",
                       REPL_ID_MAX);
    }
    if (!is_word(d->why, WHY_MAX)) {
        return xp_fail(err, XP_INVALID, "why: must be a word of %d letters at most", WHY_MAX);
    }
    if (strlen(d->reason) > REASON_MAX) {
        return xp_fail(err, XP_INVALID, "reason: must be %d bytes at most", REASON_MAX);
    }
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        if (numbers[i].value < -1) {
            return xp_fail(err, XP_INVALID, "%s: must be 0 or more, or null", numbers[i].name);
        }
    }
    return d->at > 0 ? 0 : xp_fail(err, XP_INVALID, "wallMs: must be a time in unix ms");
}

struct record_job {
    const struct catalog *cat;
    const struct divergence *d;
    struct divergence_noted noted;
    struct cluster_ref cluster;
    struct shard_ref shard;
    struct dc_ref dc;
    int64_t migration_id;
};

static int find(struct record_job *job, struct db *db, struct xp_err *err)
{
    const struct divergence *d = job->d;
    int rc = find_cluster(db, d->cluster, &job->cluster, err);
    rc = rc != 0 ? rc : find_dc(job->cat, db, d->dc, &job->dc, err);
    rc = rc != 0 || job->cluster.id == 0
             ? rc
             : find_shard(db, job->cluster.id, d->shard, &job->shard, err);
    if (rc == 0 && (job->cluster.id == 0 || job->dc.id == 0 || job->shard.id == 0)) {
        rc = xp_fail(err, XP_NOT_FOUND, "not found: dc:%s, cluster:%s, shard:%s", d->dc, d->cluster,
                     d->shard);
    }
    return rc != 0 ? rc
                   : query_i64(db, Q_DIVERGENCE_MIGRATION,
                               QUERY_ARGS(QI(job->cluster.id), QI(job->dc.id)), &job->migration_id,
                               err);
}

/* What is there already: its id, and whether the report says no more than it, or is older. */
static int look(struct record_job *job, struct db *db, bool *ret_is_known, struct xp_err *err)
{
    const struct divergence *d = job->d;
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(
        db, Q_DIVERGENCE_GET,
        QUERY_ARGS(QI(job->shard.id), QI(job->dc.id), QT(ADDR_TEXT(&d->redis)), QT(d->repl_id)));
    int rc = db_step(&s, err);
    *ret_is_known = false;
    if (rc == DB_ROW) {
        job->noted.id = db_col_i64(&s, 0);
        bool is_same = db_col_i64(&s, 1) == d->offset && db_col_i64(&s, 2) == d->bytes &&
                       db_col_i64(&s, 3) == d->at;
        *ret_is_known = is_same || db_col_i64(&s, 3) > d->at;
        job->migration_id = db_col_i64(&s, 4);
    }
    return rc < 0 ? rc : 0;
}

static int put(struct record_job *job, const struct change *change, struct xp_err *err)
{
    const struct divergence *d = job->d;
    int rc = query_run(change->db, Q_DIVERGENCE_PUT,
                       QUERY_ARGS(QI(job->cluster.id), QI(job->shard.id), QI(job->dc.id),
                                  QI(job->migration_id), QT(ADDR_TEXT(&d->redis)), QT(d->repl_id),
                                  QI(d->offset), QI(d->promoted_offset), QI(d->bytes), QT(d->why),
                                  QT(d->reason), QI(d->at), QI(change->now_ms)),
                       err);
    bool is_known = false;
    return rc != 0 ? rc : look(job, change->db, &is_known, err);
}

static int record_in(struct change *change, void *arg, struct xp_err *err)
{
    struct record_job *job = arg;
    job->noted = (struct divergence_noted){ 0 };
    int rc = find(job, change->db, err);
    rc = rc != 0 ? rc : look(job, change->db, &change->is_noop, err);
    if (rc == 0 && !change->is_noop) {
        job->noted.is_new = job->noted.id == 0;
        rc = put(job, change, err);
        change_note(change, "cluster", job->cluster.name);
        change_note(change, "shard", job->shard.name);
        change_note(change, "redis", ADDR_TEXT(&job->d->redis));
        xp_check(json_object_set_new(change->body, "bytes", json_integer(job->d->bytes)) == 0);
    }
    return rc != 0 || job->migration_id == 0
               ? rc
               : query_i64(change->db, Q_DIVERGENCE_EVENT, QUERY_ARGS(QI(job->migration_id)),
                           &job->noted.event_id, err);
}

int divergence_record(const struct catalog *cat, const struct change_ctx *ctx,
                      const struct divergence *d, struct divergence_noted *ret_noted,
                      struct xp_err *err)
{
    struct record_job job = { .cat = cat, .d = d };
    struct store_op op = { .name = "divergence.record", .fn = record_in, .arg = &job };
    int rc = check(d, err);
    rc = rc != 0 ? rc : store_change(cat->store, ctx, &op, NULL, err);
    if (rc != 0) {
        return rc;
    }
    if (job.noted.is_new) {
        metric_add(&divergences_total, 1);
        metric_add(&divergence_bytes, d->bytes > 0 ? d->bytes : 0);
        log_error("divergence.recorded", "cluster", job.cluster.name, "shard", job.shard.name, "dc",
                  job.dc.name, "redis", ADDR_TEXT(&d->redis), "bytes",
                  d->bytes < 0 ? "unknown" : log_int(d->bytes), "event",
                  log_int(job.noted.event_id), "why", d->reason, "next",
                  "see Divergence in operations.md; GET /api/v2/divergences");
    }
    *ret_noted = job.noted;
    return 0;
}

/* ---- reading ---- */

static json_t *number(int64_t value)
{
    return value < 0 ? json_null() : json_integer(value);
}

static json_t *row_json(const struct db_stmt *s)
{
    return json_pack("{s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "id",
                     (json_int_t)db_col_i64(s, 0), "cluster", jd_text(db_col_text(s, 1)), "shard",
                     jd_text(db_col_text(s, 2)), "dc", jd_text(db_col_text(s, 3)), "event",
                     db_col_i64(s, 4) > 0 ? json_integer(db_col_i64(s, 4)) : json_null(), "redis",
                     jd_text(db_col_text(s, 5)), "replId", jd_text(db_col_text(s, 6)), "offset",
                     number(db_col_i64(s, 7)), "promotedOffset", number(db_col_i64(s, 8)), "bytes",
                     number(db_col_i64(s, 9)), "why", jd_text(db_col_text(s, 10)), "reason",
                     jd_text(db_col_text(s, 11)), "seenAt", event_date(db_col_i64(s, 12)),
                     "recordedAt", event_date(db_col_i64(s, 13)));
}

struct page_query {
    const char *cluster;
    int64_t before_id;
    int limit;
};

static int cluster_id_of(struct db *db, const char *name, int64_t *ret_id, struct xp_err *err)
{
    struct cluster_ref cluster = { 0 };
    int rc = name ? find_cluster(db, name, &cluster, err) : 0;
    *ret_id = cluster.id;
    return rc != 0 || !name || cluster.id != 0
               ? rc
               : xp_fail(err, XP_NOT_FOUND, "cluster: '%.128s' does not exist", name);
}

static int page_in(struct db *db, void *arg, struct xp_err *err)
{
    const struct read_job *job = arg;
    const struct page_query *query = job->args;
    int64_t cluster_id = 0;
    int64_t last = 0;
    int rc = cluster_id_of(db, query->cluster, &cluster_id, err);
    if (rc != 0) {
        return rc;
    }
    json_t *items = json_array();
    json_t *body = json_pack("{s:o}", "items", items);
    *(json_t **)job->ret = body;
    CLEANUP(db_stmt_done)
    struct db_stmt s =
        query->cluster
            ? query_open(db, Q_DIVERGENCE_OF_CLUSTER,
                         QUERY_ARGS(QI(query->before_id), QI(query->limit), QI(cluster_id)))
            : query_open(db, Q_DIVERGENCE_PAGE, QUERY_ARGS(QI(query->before_id), QI(query->limit)));
    while ((rc = db_step(&s, err)) == DB_ROW) {
        (void)json_array_append_new(items, row_json(&s));
        last = db_col_i64(&s, 0);
    }
    bool is_full = json_array_size(items) == (size_t)query->limit;
    xp_check(json_object_set_new(body, "next", is_full ? json_integer(last) : json_null()) == 0);
    return rc;
}

int divergences_list(const struct catalog *cat, const char *cluster, int64_t before_id, int limit,
                     json_t **ret, struct xp_err *err)
{
    if (limit < 1 || limit > DIVERGENCES_PAGE_MAX) {
        return xp_fail(err, XP_INVALID, "limit: must be 1..%d", DIVERGENCES_PAGE_MAX);
    }
    struct page_query query = { cluster, before_id > 0 ? before_id : INT64_MAX, limit };
    return read_events_json(cat, page_in, &query, ret, err);
}

static json_t *list_of(json_t *by_shard, int64_t shard_id)
{
    char key[24];
    (void)snprintf(key, sizeof(key), "%" PRId64, shard_id);
    json_t *list = json_object_get(by_shard, key);
    if (!list) {
        list = json_array();
        xp_check(json_object_set_new(by_shard, key, list) == 0);
    }
    return list;
}

int divergences_of(struct db *db, int64_t migration_cluster_id, json_t **ret, struct xp_err *err)
{
    json_auto_t *by_shard = json_object();
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(db, Q_DIVERGENCE_OF_MIGRATION,
                                  QUERY_ARGS(QI(migration_cluster_id), QI(OF_MIGRATION_MAX)));
    int rc = 0;
    while ((rc = db_step(&s, err)) == DB_ROW) {
        (void)json_array_append_new(
            list_of(by_shard, db_col_i64(&s, 0)),
            json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "dc",
                      jd_text(db_col_text(&s, 1)), "redis", jd_text(db_col_text(&s, 2)), "replId",
                      jd_text(db_col_text(&s, 3)), "offset", number(db_col_i64(&s, 4)),
                      "promotedOffset", number(db_col_i64(&s, 5)), "bytes",
                      number(db_col_i64(&s, 6)), "why", jd_text(db_col_text(&s, 7)), "reason",
                      jd_text(db_col_text(&s, 8)), "seenAt", event_date(db_col_i64(&s, 9))));
    }
    if (rc == 0) {
        *ret = json_incref(by_shard);
    }
    return rc;
}
