/* migration_events_history.c - what was migrated when, and how far a drill is (console-api.md 3.11.5). */
#include "console/migration/migration_events_internal.h"
#include "shared/base/str.h"
#include "shared/model/json_decode.h"

#include "shared/base/banned.h"

struct history_query {
    wall_ms from;
    wall_ms to;
    char *clusters; /* JSON list; NULL: all */
    bool is_v2;
};

/* ["jq","oy"] with outer names; without those in 'but'. */
static json_t *dc_list(const struct catalog *cat, const char *text, const json_t *but)
{
    json_auto_t *names = json_loads(text ? text : "[]", 0, NULL);
    json_t *out = json_array();
    size_t at;
    json_t *name;
    json_array_foreach (names, at, name) {
        const char *outer = outer_name(cat, json_string_value(name) ? json_string_value(name) : "");
        bool is_out = false;
        size_t i;
        json_t *other;
        json_array_foreach (but, i, other) {
            is_out = is_out || text_eq_nocase(json_string_value(other), outer);
        }
        if (!is_out) {
            (void)json_array_append_new(out, jd_text(outer));
        }
    }
    return out;
}

static const char *type_of_status(const char *status)
{
    enum migration_status value;
    return migration_status_from_text(status, &value) ? migration_status_info(value)->type : status;
}

static json_t *entry_v1(const struct catalog *cat, const struct db_stmt *s)
{
    return json_pack("{s:I, s:I, s:o, s:o, s:s}", "startAt", (json_int_t)(db_col_i64(s, 2) / 1000),
                     "endAt", (json_int_t)(db_col_i64(s, 3) / 1000), "sourceDc",
                     jd_text(outer_name(cat, db_col_text(s, 4))), "destDc",
                     jd_text(outer_name(cat, db_col_text(s, 5))), "status",
                     type_of_status(db_col_text(s, 6)));
}

static json_t *entry_v2(const struct catalog *cat, const struct db_stmt *s)
{
    json_t *source;
    json_t *dest;
    if (text_is_empty(db_col_text(s, 4))) {
        source = dc_list(cat, db_col_text(s, 7), NULL);
        dest = dc_list(cat, db_col_text(s, 8), source);
    } else {
        source = json_pack("[o]", jd_text(outer_name(cat, db_col_text(s, 4))));
        dest = json_pack("[o]", jd_text(outer_name(cat, db_col_text(s, 5))));
    }
    return json_pack(
        "{s:I, s:I, s:o, s:o, s:o, s:s}", "startAt", (json_int_t)(db_col_i64(s, 2) / 1000), "endAt",
        (json_int_t)(db_col_i64(s, 3) / 1000), "clusterType", jd_text(db_col_text(s, 1)),
        "sourceDcs", source, "destDcs", dest, "status", type_of_status(db_col_text(s, 6)));
}

static int history_in(struct db *db, void *arg, struct xp_err *err)
{
    const struct read_job *job = arg;
    const struct history_query *query = job->args;
    json_t *body = json_object();
    *(json_t **)job->ret = body;
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(
        db, Q_MIGRATION_HISTORY,
        QUERY_ARGS(QI(query->from), QI(query->to), QT(query->clusters), QI(query->is_v2)));
    int rc = 0;
    while ((rc = db_step(&s, err)) == DB_ROW) {
        json_t *list = json_object_get(body, db_col_text(&s, 0));
        if (!list) {
            list = json_array();
            (void)json_object_set_new(body, db_col_text(&s, 0), list);
        }
        (void)json_array_append_new(list, (query->is_v2 ? entry_v2 : entry_v1)(job->cat, &s));
    }
    return rc;
}

int migration_history(const struct catalog *cat, int64_t from_s, int64_t to_s,
                      const char *const *clusters, size_t count, bool is_v2, json_t **ret,
                      struct xp_err *err)
{
    int64_t now_s = clock_wall_ms() / 1000;
    if (from_s < 0 || from_s > now_s) {
        *ret = json_object();
        return 0;
    }
    json_auto_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        (void)json_array_append_new(list, jd_text(clusters[i]));
    }
    int64_t last_s = to_s < from_s || to_s > now_s ? now_s : to_s;
    AUTO_FREE char *names = count > 0 ? json_dumps(list, JSON_COMPACT) : NULL;
    struct history_query query = {
        .from = from_s * 1000, .to = last_s * 1000 + 999, .clusters = names, .is_v2 = is_v2
    };
    return read_events_json(cat, history_in, &query, ret, err);
}

/* ---- the progress of a drill ---- */

struct progress {
    int64_t of_type[4]; /* as types below */
    int64_t ended_ms;
    json_t *statuses;
};
static const char *const types[] = { "Success", "Fail", "Processing", "Init" };

static int count_statuses(struct db *db, wall_ms since, struct progress *p, struct xp_err *err)
{
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(db, Q_MIGRATION_PROGRESS, QUERY_ARGS(QI(since)));
    int rc = 0;
    while ((rc = db_step(&s, err)) == DB_ROW) {
        const char *type = type_of_status(db_col_text(&s, 0));
        for (size_t i = 0; i < ARRAY_LEN(types); i++) {
            p->of_type[i] += text_eq(type, types[i]) ? db_col_i64(&s, 1) : 0;
        }
        p->ended_ms += text_eq(type, "Success") ? db_col_i64(&s, 2) : 0;
        (void)json_object_set_new(p->statuses, db_col_text(&s, 0), json_integer(db_col_i64(&s, 1)));
    }
    return rc;
}

static int count_active(const struct catalog *cat, struct db *db, json_t *counts,
                        struct xp_err *err)
{
    CLEANUP(db_stmt_done)
    struct db_stmt s = query_open(db, Q_MIGRATION_ACTIVE_DCS, QUERY_NO_ARGS);
    int rc = 0;
    while ((rc = db_step(&s, err)) == DB_ROW) {
        (void)json_object_set_new(counts, outer_name(cat, db_col_text(&s, 0)),
                                  json_integer(db_col_i64(&s, 1)));
    }
    return rc;
}

static int progress_in(struct db *db, void *arg, struct xp_err *err)
{
    const struct read_job *job = arg;
    wall_ms since = *(const wall_ms *)job->args;
    struct progress p = { .statuses = json_object() };
    json_t *counts = json_object();
    int rc = count_statuses(db, since, &p, err);
    if (rc == 0) {
        rc = count_active(job->cat, db, counts, err);
    }
    json_int_t total = p.of_type[0] + p.of_type[1] + p.of_type[2] + p.of_type[3];
    json_int_t average = p.of_type[0] ? p.ended_ms / p.of_type[0] / 1000 : 0;
    *(json_t **)job->ret =
        json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "total", total, "success",
                  (json_int_t)p.of_type[0], "fail", (json_int_t)p.of_type[1], "process",
                  (json_int_t)p.of_type[2], "init", (json_int_t)p.of_type[3], "avgMigrationSeconds",
                  average, "activeDcs", counts, "migrationStatuses", p.statuses);
    return rc;
}

int migration_progress(const struct catalog *cat, int64_t hours, json_t **ret, struct xp_err *err)
{
    enum { HOURS_MAX = 24 * 366, HOUR_MS = 3600 * 1000 };
    int64_t span = hours < 1 ? 1 : hours > HOURS_MAX ? HOURS_MAX : hours;
    wall_ms since = clock_wall_ms() - span * HOUR_MS;
    return read_events_json(cat, progress_in, &since, ret, err);
}
