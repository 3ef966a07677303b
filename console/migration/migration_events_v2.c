/* migration_events_v2.c - events as /api/v2/migrations shows them: with the steps of each shard, the timeline, who still has to follow, and
 * what was lost. */
#include <stdio.h>

#include "console/migration/divergences.h"
#include "console/migration/migration_events_internal.h"
#include "shared/base/str.h"
#include "shared/model/json_decode.h"

#include "shared/base/banned.h"

enum { LINES_MAX = 2000, EVENTS_MAX = 1000 };

static void set(json_t *object, const char *key, json_t *value)
{
    xp_check(json_object_set_new(object, key, value) == 0);
}

static json_t *number_or_null(int64_t value)
{
    return value < 0 ? json_null() : json_integer(value);
}

static json_t *addr_json(const struct addr *addr)
{
    return addr_is_none(addr) ? json_null() : jd_text(ADDR_TEXT(addr));
}

static const char *result_text(enum step_result result)
{
    return result == RESULT_TRUE ? "done" : result == RESULT_FALSE ? "failed" : "waiting";
}

/* ---- one shard ---- */

static json_t *steps_json(const struct migration_shard_row *shard)
{
    json_t *list = json_array();
    for (int i = 0; i < MIGRATION_STEPS; i++) {
        (void)json_array_append_new(list, json_pack("{s:s, s:s, s:o}", "step",
                                                    migration_step_key((enum migration_step)i),
                                                    "result", result_text(shard->results[i]),
                                                    "text", jd_text(shard->texts[i])));
    }
    return list;
}

static json_t *shard_json(const struct migration_shard_row *shard)
{
    json_t *json = json_pack("{s:o, s:I, s:o}", "shard", jd_text(shard->name), "shardId",
                             (json_int_t)shard->shard_id, "steps", steps_json(shard));
    set(json, "pending", json_string(migration_call_text(shard->pending)));
    set(json, "fence", json_string(fence_state_text(shard->fence)));
    set(json, "drained", json_boolean(shard->is_drained));
    set(json, "promoted", json_boolean(shard->is_promoted));
    set(json, "unfenced", json_boolean(shard->is_unfenced));
    set(json, "lostBytes", number_or_null(shard->lost_bytes));
    set(json, "oldMaster", addr_json(&shard->old_master));
    set(json, "newMaster", addr_json(&shard->new_master));
    set(json, "fenceOffset", number_or_null(shard->fence_offset));
    set(json, "replId", jd_text(shard->fence_repl_id));
    set(json, "heldAt", event_date(shard->held_at));
    set(json, "promotedAt", event_date(shard->promoted_at));
    return json;
}

/* What did not arrive, of every shard that was promoted without a proof that all of it did; and what returned masters had beyond the promotion
 * ('diverged' is borrowed; NULL: none came back so). */
static void add_lost(json_t *list, const struct migration_shard_row *shard, json_t *diverged)
{
    bool is_proved = !shard->is_promoted || (!shard->is_unfenced && shard->is_drained);
    if (is_proved && !diverged) {
        return;
    }
    int64_t window_ms = shard->held_at && shard->promoted_at >= shard->held_at
                            ? shard->promoted_at - shard->held_at
                            : -1;
    (void)json_array_append_new(
        list,
        json_pack("{s:o, s:b, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "shard",
                  jd_text(shard->name), "unfenced", shard->is_unfenced, "drained",
                  shard->is_drained, "lostBytes", number_or_null(shard->lost_bytes), "oldMaster",
                  addr_json(&shard->old_master), "newMaster", addr_json(&shard->new_master),
                  "offset", number_or_null(shard->fence_offset), "replId",
                  jd_text(shard->fence_repl_id), "promotedAt", event_date(shard->promoted_at),
                  "windowMs", number_or_null(window_ms), "diverged",
                  diverged ? json_incref(diverged) : json_array()));
}

/* ---- one cluster ---- */

static int lines_json(struct db *db, int64_t id, json_t *list, struct xp_err *err)
{
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(db, Q_MIGRATION_LINES, QUERY_ARGS(QI(id), QI(LINES_MAX)));
    int rc = 0;
    while ((rc = db_step(&s, err)) == DB_ROW) {
        (void)json_array_append_new(
            list, json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "at",
                            event_date(db_col_i64(&s, 0)), "kind", jd_text(db_col_text(&s, 1)),
                            "from", jd_text(db_col_text(&s, 2)), "to", jd_text(db_col_text(&s, 3)),
                            "rule", jd_text(db_col_text(&s, 4)), "text",
                            jd_text(db_col_text(&s, 5)), "shard", jd_text(db_col_text(&s, 7)),
                            "durationMs", number_or_null(db_col_i64(&s, 6))));
    }
    return rc;
}

static json_t *follows_json(const struct migration_cluster_row *row)
{
    json_t *list = json_array();
    for (size_t i = 0; i < row->follow_count; i++) {
        const struct migration_follow_row *follow = &row->follows[i];
        (void)json_array_append_new(
            list, json_pack("{s:o, s:s, s:o, s:i, s:o}", "dc", jd_text(follow->dc), "result",
                            result_text(follow->result), "text", jd_text(follow->text), "tries",
                            follow->tries, "retryAt", event_date(follow->retry_at)));
    }
    return list;
}

static json_t *publish_info(const struct migration_cluster_row *row)
{
    json_t *info = row->publish_info ? json_loads(row->publish_info, 0, NULL) : NULL;
    return info ? info : json_null();
}

static json_t *of_shard(const json_t *by_shard, int64_t shard_id)
{
    char key[24];
    (void)snprintf(key, sizeof(key), "%lld", (long long)shard_id);
    return json_object_get(by_shard, key);
}

static json_t *cluster_json(const struct migration_cluster_row *row, const json_t *diverged)
{
    const struct migration_status_info *info = migration_status_info(row->status);
    json_t *json = json_pack(
        "{s:o, s:I, s:o, s:o, s:s, s:s, s:i, s:b, s:b, s:o}", "cluster", jd_text(row->cluster),
        "clusterId", (json_int_t)row->cluster_id, "from", jd_text(row->source_dc), "to",
        jd_text(row->dest_dc), "status", info->text, "type", info->type, "percent", info->percent,
        "paused", info->is_paused, "terminal", info->is_terminal, "reason", jd_text(row->reason));
    json_t *shards = json_array();
    json_t *lost = json_array();
    for (size_t i = 0; i < row->shard_count; i++) {
        (void)json_array_append_new(shards, shard_json(&row->shards[i]));
        add_lost(lost, &row->shards[i], of_shard(diverged, row->shards[i].shard_id));
    }
    set(json, "mode", json_string(migration_mode_text(row->mode)));
    set(json, "disaster", json_boolean(row->is_disaster));
    set(json, "forcePublish", json_boolean(row->is_force_publish));
    set(json, "activeSwitched", json_boolean(row->is_active_switched));
    set(json, "epoch", json_integer(row->epoch));
    set(json, "startTime", event_date(row->start_ms));
    set(json, "endTime", event_date(row->end_ms));
    set(json, "phaseTime", event_date(row->phase_ms));
    set(json, "publish", publish_info(row));
    set(json, "shards", shards);
    set(json, "lostWrites", lost);
    set(json, "followUps", follows_json(row));
    return json;
}

static int add_cluster(struct db *db, int64_t id, json_t *clusters, struct xp_err *err)
{
    struct migration_cluster_row row = { 0 };
    json_auto_t *diverged = NULL;
    int rc = migration_load(db, id, &row, err);
    rc = rc != 0 ? rc : divergences_of(db, id, &diverged, err);
    if (rc == 0) {
        json_t *timeline = json_array();
        json_t *json = cluster_json(&row, diverged);
        set(json, "timeline", timeline);
        (void)json_array_append_new(clusters, json);
        rc = lines_json(db, id, timeline, err);
    }
    migration_cluster_row_done(&row);
    return rc;
}

/* ---- events ---- */

static json_t *head_json(const struct db_stmt *s)
{
    return json_pack("{s:I, s:o, s:o, s:o, s:o, s:o, s:b}", "id", (json_int_t)db_col_i64(s, 0),
                     "createdAt", event_date(db_col_i64(s, 1)), "operator",
                     jd_text(db_col_text(s, 2)), "tag", jd_text(db_col_text(s, 3)), "policy",
                     jd_text(db_col_text(s, 4)), "mode", jd_text(db_col_text(s, 5)), "started",
                     db_col_i64(s, 6) != 0);
}

static int event_in(struct db *db, void *arg, struct xp_err *err)
{
    const struct read_job *job = arg;
    int64_t id = *(const int64_t *)job->args;
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(db, Q_MIGRATION_EVENT_GET, QUERY_ARGS(QI(id)));
    int rc = db_step(&s, err);
    if (rc != DB_ROW) {
        return rc < 0 ? rc : xp_fail(err, XP_NOT_FOUND, "event not found:%lld", (long long)id);
    }
    json_t *body = head_json(&s);
    json_t *clusters = json_array();
    set(body, "clusters", clusters);
    *(json_t **)job->ret = body;
    CLEANUP(id_list_done) struct id_list ids = { 0 };
    rc = event_rows(db, id, &ids, err);
    for (size_t i = 0; rc == 0 && i < ids.count; i++) {
        rc = add_cluster(db, ids.items[i], clusters, err);
    }
    return rc;
}

int migration_event_v2(const struct catalog *cat, int64_t event_id, json_t **ret,
                       struct xp_err *err)
{
    return read_events_json(cat, event_in, &event_id, ret, err);
}

struct page_query {
    int64_t before_id;
    int limit;
};

static json_t *clusters_json(const char *text)
{
    json_auto_t *pairs = json_loads(text ? text : "[]", 0, NULL);
    json_t *list = json_array();
    size_t at;
    json_t *pair;
    json_array_foreach (pairs, at, pair) {
        (void)json_array_append_new(list,
                                    json_pack("{s:O, s:O}", "cluster", json_array_get(pair, 1),
                                              "status", json_array_get(pair, 0)));
    }
    return list;
}

static int events_in(struct db *db, void *arg, struct xp_err *err)
{
    const struct read_job *job = arg;
    const struct page_query *query = job->args;
    json_t *items = json_array();
    json_t *body = json_pack("{s:o}", "items", items);
    *(json_t **)job->ret = body;
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(db, Q_MIGRATION_EVENTS_BEFORE,
                                  QUERY_ARGS(QI(query->before_id), QI(query->limit)));
    int64_t last = 0;
    int rc = 0;
    while ((rc = db_step(&s, err)) == DB_ROW) {
        json_t *event = head_json(&s);
        set(event, "clusters", clusters_json(db_col_text(&s, 7)));
        (void)json_array_append_new(items, event);
        last = db_col_i64(&s, 0);
    }
    bool is_full = json_array_size(items) == (size_t)query->limit;
    set(body, "next", is_full ? json_integer(last) : json_null());
    return rc;
}

int migration_events_v2(const struct catalog *cat, int64_t after_id, int limit, json_t **ret,
                        struct xp_err *err)
{
    if (limit < 1 || limit > EVENTS_MAX) {
        return xp_fail(err, XP_INVALID, "limit: must be 1..%d", EVENTS_MAX);
    }
    struct page_query query = { after_id > 0 ? after_id : INT64_MAX, limit };
    return read_events_json(cat, events_in, &query, ret, err);
}
