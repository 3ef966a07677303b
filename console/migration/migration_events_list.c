/* migration_events_list.c - what clients and pages see of events: checkstatus, lists, details (dr-switchover.md 5.1, 5.5). */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "console/migration/migration_events_internal.h"
#include "shared/base/str.h"
#include "shared/model/json_decode.h"

#include "shared/base/banned.h"

json_t *event_date(wall_ms at)
{
    if (at == 0) {
        return json_null();
    }
    time_t seconds = (time_t)(at / 1000);
    struct tm tm = { 0 };
    char day[32];
    xp_check(gmtime_r(&seconds, &tm) != NULL);
    (void)strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
    AUTO_FREE char *text = xasprintf("%s.%03d+0000", day, (int)(at % 1000));
    return json_string(text);
}

/* ---- what the clusters of an event are at ---- */

static void status_row_done(struct status_row *row)
{
    free(row->cluster);
    free(row->from_dc);
    free(row->to_dc);
    free(row->reason);
}

void status_rows_done(struct status_rows *rows)
{
    for (size_t i = 0; i < rows->count; i++) {
        status_row_done(&rows->items[i]);
    }
    free(rows->items);
    *rows = (struct status_rows){ 0 };
}

struct status_query {
    int64_t event_id;
    int64_t cluster_id;  /* 0: any */
    const char *cluster; /* NULL: any */
};

static struct query_value id_or_null(int64_t id)
{
    return id ? (struct query_value)QI(id) : (struct query_value)QT(NULL);
}

static int read_status(const struct db_stmt *s, const struct catalog *cat, struct status_row *row,
                       struct xp_err *err)
{
    *row = (struct status_row){ .migration_cluster_id = db_col_i64(s, 0),
                                .cluster_id = db_col_i64(s, 1),
                                .cluster = query_text(s, 2),
                                .from_dc = xstrdup(outer_name(cat, db_col_text(s, 3))),
                                .to_dc = xstrdup(outer_name(cat, db_col_text(s, 4))),
                                .reason = query_text(s, 6),
                                .is_unfenced = db_col_i64(s, 7) != 0,
                                .lost_bytes = db_col_i64(s, 8) };
    return migration_status_from_text(db_col_text(s, 5), &row->status)
               ? 0
               : xp_fail(err, XP_INTERNAL, "migration %lld: unknown status in its row",
                         (long long)row->migration_cluster_id);
}

static int status_in(struct db *db, void *arg, struct xp_err *err)
{
    const struct read_job *job = arg;
    const struct status_query *query = job->args;
    struct status_rows *rows = job->ret;
    struct query_value values[] = { QI(query->event_id), id_or_null(query->cluster_id),
                                    QT(query->cluster) };
    CLEANUP(db_stmt_done)
    struct db_stmt s =
        query_open(db, Q_MIGRATION_STATUS_ROWS, (struct query_args){ values, ARRAY_LEN(values) });
    int rc = 0;
    while ((rc = db_step(&s, err)) == DB_ROW) {
        rc = read_status(&s, job->cat, ARRAY_ADD(rows->items, rows->count), err);
        if (rc != 0) {
            return rc;
        }
    }
    return rc;
}

static int status_rows(const struct catalog *cat, const struct status_query *query,
                       struct status_rows *ret, struct xp_err *err)
{
    struct status_rows rows = { 0 };
    struct read_job job = { .cat = cat, .args = query, .ret = &rows };
    int rc = store_read(cat->store, status_in, &job, err);
    if (rc != 0) {
        status_rows_done(&rows);
        return rc;
    }
    *ret = rows;
    return 0;
}

int migration_status_list(const struct catalog *cat, int64_t event_id, struct status_rows *ret,
                          struct xp_err *err)
{
    return status_rows(cat, &(struct status_query){ .event_id = event_id }, ret, err);
}

static int not_found(const struct catalog *cat, const struct status_query *query,
                     struct xp_err *err)
{
    if (query->cluster_id) {
        return xp_fail(err, XP_NOT_FOUND, "event %lld, cluster:%lld not found",
                       (long long)query->event_id, (long long)query->cluster_id);
    }
    struct status_rows all;
    int rc = migration_status_list(cat, query->event_id, &all, err);
    if (rc != 0) {
        return rc;
    }
    bool is_event = all.count > 0;
    status_rows_done(&all);
    return is_event
               ? xp_fail(err, XP_NOT_FOUND, "cluster not found:%s", query->cluster)
               : xp_fail(err, XP_NOT_FOUND, "event not found:%lld", (long long)query->event_id);
}

int migration_find(const struct catalog *cat, int64_t event_id, int64_t cluster_id,
                   const char *cluster_name, int64_t *ret_migration_cluster_id, struct xp_err *err)
{
    struct status_query query = { event_id, cluster_id, cluster_name };
    struct status_rows rows;
    int rc = status_rows(cat, &query, &rows, err);
    if (rc != 0) {
        return rc;
    }
    if (rows.count == 0) {
        rc = not_found(cat, &query, err);
    } else {
        *ret_migration_cluster_id = rows.items[0].migration_cluster_id;
    }
    status_rows_done(&rows);
    return rc;
}

/* ---- a page of events ---- */

/* The statuses of a type ("Processing") as a JSON list; owned. XP_INVALID. */
static int statuses_of_type(const char *type, char **ret, struct xp_err *err)
{
    json_auto_t *list = json_array();
    for (int i = 0; i < MIG_STATUSES; i++) {
        const struct migration_status_info *info = migration_status_info((enum migration_status)i);
        if (text_eq_nocase(info->type, type)) {
            (void)json_array_append_new(list, json_string(info->text));
        }
    }
    if (json_array_size(list) == 0) {
        return xp_fail(err, XP_INVALID, "type %.64s is not Init, Processing, Success or Fail",
                       type);
    }
    *ret = json_dumps(list, JSON_COMPACT);
    return 0;
}

static const char *type_of(const json_t *status)
{
    enum migration_status value;
    return migration_status_from_text(json_string_value(status), &value)
               ? migration_status_info(value)->type
               : "Processing";
}

/* All of one type: that one. Else Warning when a later one failed, else Processing (5.5). */
static const char *event_type(const json_t *clusters)
{
    const char *first = NULL;
    bool is_mixed = false;
    bool has_failed = false;
    size_t at;
    json_t *pair;
    json_array_foreach (clusters, at, pair) {
        const char *type = type_of(json_array_get(pair, 0));
        first = first ? first : type;
        is_mixed = is_mixed || !text_eq(type, first);
        has_failed = has_failed || (at > 0 && text_eq(type, "Fail"));
    }
    if (!first) {
        return "Init";
    }
    return !is_mixed ? first : has_failed ? "Warning" : "Processing";
}

static json_t *event_json(const struct db_stmt *s)
{
    return json_pack("{s:I, s:o, s:o, s:o, s:o, s:o, s:b}", "id", (json_int_t)db_col_i64(s, 0),
                     "startTime", event_date(db_col_i64(s, 1)), "operator",
                     jd_text(db_col_text(s, 2)), "eventTag", jd_text(db_col_text(s, 3)), "policy",
                     jd_text(db_col_text(s, 4)), "mode", jd_text(db_col_text(s, 5)), "deleted", 0);
}

static json_t *listed_event(const struct db_stmt *s)
{
    const char *text = db_col_text(s, 6);
    json_auto_t *clusters = json_loads(text ? text : "[]", 0, NULL);
    json_t *names = json_array();
    size_t at;
    json_t *pair;
    json_array_foreach (clusters, at, pair) {
        (void)json_array_append(names, json_array_get(pair, 1));
    }
    return json_pack("{s:o, s:s, s:o}", "event", event_json(s), "status", event_type(clusters),
                     "clusters", names);
}

static int page_in(struct db *db, void *arg, struct xp_err *err)
{
    const struct read_job *job = arg;
    const struct event_filter *filter = job->args;
    json_t *data = json_array();
    json_t *body = json_pack("{s:o, s:I, s:I}", "data", data, "size", (json_int_t)filter->size,
                             "page", (json_int_t)filter->page);
    *(json_t **)job->ret = body;
    AUTO_FREE char *statuses = NULL;
    int rc = text_is_empty(filter->type) ? 0 : statuses_of_type(filter->type, &statuses, err);
    if (rc != 0) {
        return rc;
    }
    struct query_value values[] = {
        QT(text_is_empty(filter->cluster) ? NULL : filter->cluster),
        QT(text_is_empty(filter->operator_name) ? NULL : filter->operator_name),
        QT(statuses),
        QI(filter->without_tests),
        QI(filter->size),
        QI(filter->page * filter->size),
    };
    int64_t total = 0;
    rc = query_i64(db, Q_MIGRATION_EVENT_COUNT, (struct query_args){ values, 4 }, &total, err);
    (void)json_object_set_new(body, "totalSize", json_integer(total));
    if (rc != 0) {
        return rc;
    }
    CLEANUP(db_stmt_done)
    struct db_stmt s =
        query_open(db, Q_MIGRATION_EVENT_PAGE, (struct query_args){ values, ARRAY_LEN(values) });
    while ((rc = db_step(&s, err)) == DB_ROW) {
        (void)json_array_append_new(data, listed_event(&s));
    }
    return rc;
}

int read_events_json(const struct catalog *cat, int (*fn)(struct db *, void *, struct xp_err *),
                     const void *args, json_t **ret, struct xp_err *err)
{
    json_t *body = NULL;
    struct read_job job = { .cat = cat, .args = args, .ret = (void *)&body };
    int rc = store_read(cat->store, fn, &job, err);
    if (rc != 0) {
        json_decref(body);
        return rc;
    }
    *ret = body;
    return 0;
}

int migration_events_page(const struct catalog *cat, const struct event_filter *filter,
                          json_t **ret, struct xp_err *err)
{
    if (filter->page < 0 || filter->size < 1 || filter->size > EVENTS_PAGE_MAX ||
        filter->page > INT64_MAX / EVENTS_PAGE_MAX) {
        return xp_fail(err, XP_INVALID, "page and size: 0.. and 1..%d", EVENTS_PAGE_MAX);
    }
    return read_events_json(cat, page_in, filter, ret, err);
}

/* ---- one event in detail ---- */

int event_rows(struct db *db, int64_t event_id, struct id_list *ret, struct xp_err *err)
{
    struct query_value values[] = { QI(event_id), QT(NULL), QT(NULL) };
    CLEANUP(db_stmt_done)
    struct db_stmt s =
        query_open(db, Q_MIGRATION_STATUS_ROWS, (struct query_args){ values, ARRAY_LEN(values) });
    int rc = 0;
    while ((rc = db_step(&s, err)) == DB_ROW) {
        *ARRAY_ADD(ret->items, ret->count) = db_col_i64(&s, 0);
    }
    return rc;
}

void id_list_done(struct id_list *list)
{
    free(list->items);
    *list = (struct id_list){ 0 };
}

static json_t *cluster_json(const struct catalog *cat, const struct migration_cluster_row *row)
{
    const struct migration_status_info *info = migration_status_info(row->status);
    return json_pack(
        "{s:I, s:o, s:I, s:I, s:o, s:o, s:o, s:o, s:s, s:s, s:b, s:o, s:o, s:b, s:b}", "id",
        (json_int_t)row->id, "clusterName", jd_text(row->cluster), "migrationEventId",
        (json_int_t)row->event_id, "clusterId", (json_int_t)row->cluster_id, "sourceDcName",
        jd_text(outer_name(cat, row->source_dc)), "destinationDcName",
        jd_text(outer_name(cat, row->dest_dc)), "startTime", event_date(row->start_ms), "endTime",
        event_date(row->end_ms), "status", info->text, "statusType", info->type, "end",
        info->is_terminal, "publishInfo", jd_text(row->publish_info ? row->publish_info : ""),
        "reason", jd_text(row->reason), "paused", info->is_paused, "disaster", row->is_disaster);
}

static json_t *shards_json(const struct migration_cluster_row *row)
{
    json_t *list = json_array();
    for (size_t i = 0; i < row->shard_count; i++) {
        const struct migration_shard_row *shard = &row->shards[i];
        AUTO_FREE char *log = migration_shard_log(shard, row->status);
        json_t *json = json_pack("{s:I, s:I, s:I, s:o, s:{s:o}, s:b, s:I}", "id",
                                 (json_int_t)shard->id, "shardId", (json_int_t)shard->shard_id,
                                 "migrationClusterId", (json_int_t)row->id, "log", jd_text(log),
                                 "shard", "shardName", jd_text(shard->name), "unfenced",
                                 shard->is_unfenced, "lostBytes", (json_int_t)shard->lost_bytes);
        (void)json_array_append_new(list, json_pack("{s:o}", "migrationShard", json));
    }
    return list;
}

static int detail_in(struct db *db, void *arg, struct xp_err *err)
{
    const struct read_job *job = arg;
    CLEANUP(id_list_done) struct id_list ids = { 0 };
    json_t *list = json_array();
    *(json_t **)job->ret = list;
    int rc = event_rows(db, *(const int64_t *)job->args, &ids, err);
    for (size_t i = 0; rc == 0 && i < ids.count; i++) {
        struct migration_cluster_row row = { 0 };
        rc = migration_load(db, ids.items[i], &row, err);
        if (rc == 0) {
            (void)json_array_append_new(list, json_pack("{s:o, s:o}", "migrationCluster",
                                                        cluster_json(job->cat, &row),
                                                        "migrationShards", shards_json(&row)));
        }
        migration_cluster_row_done(&row);
    }
    return rc;
}

int migration_event_detail(const struct catalog *cat, int64_t event_id, json_t **ret,
                           struct xp_err *err)
{
    return read_events_json(cat, detail_in, &event_id, ret, err);
}
