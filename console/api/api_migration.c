/* api_migration.c - DR switchover for DBA tools: tickets, history, health of the machinery, progress, switches (dr-switchover.md 5.1, 5.2;
 * console-api.md 3.11, 3.12). Members beyond x-pipe's: mode and policy of a request; reason, unfenced, lostBytes of a status; cancel. */
#include <string.h>

#include "console/api/migration_asks.h"
#include "console/api/tables.h"
#include "console/catalog/switches.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

static json_t *text_or_null(const char *text)
{
    return text_is_empty(text) ? json_null() : jd_text(text);
}

/* ---- health of the machinery ---- */

int migration_system_check(const struct http_req *req, char **ret_why, struct xp_err *err)
{
    bool is_ignored = false;
    struct migration_health_view view = migration_health_get(api_context(req)->migration_health);
    *ret_why = NULL;
    if (view.level != HEALTH_FAIL) {
        return 0;
    }
    int rc =
        switches_get(api_catalog(req), SWITCH_IGNORE_MIGRATION_SYSTEM, false, &is_ignored, err);
    if (rc == 0 && !is_ignored) {
        *ret_why = xstrdup(view.message);
    }
    return rc;
}

int migration_system_refuses(const struct http_req *req, struct xp_err *err)
{
    AUTO_FREE char *why = NULL;
    int rc = migration_system_check(req, &why, err);
    return rc == 0 && why ? xp_fail(err, XP_UNAVAILABLE, "%.200s", why) : rc;
}

int migration_get_health_status(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    (void)err;
    static const int states[] = { [HEALTH_OK] = 0, [HEALTH_WARNING] = 1, [HEALTH_FAIL] = -1 };
    struct migration_health_view view = migration_health_get(api_context(req)->migration_health);
    const char *message = view.level == HEALTH_OK ? "success" : view.message;
    http_resp_json(
        resp, json_pack("{s:i, s:o}", "state", states[view.level], "message", jd_text(message)));
    return 0;
}

static int get_health(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    (void)err;
    static const char *const words[] = {
        [HEALTH_OK] = "HEALTH", [HEALTH_WARNING] = "WARNING", [HEALTH_FAIL] = "UNHEALTH"
    };
    struct migration_health_view view = migration_health_get(api_context(req)->migration_health);
    json_t *used = json_pack("{s:I}", "database", (json_int_t)view.database_ms);
    if (view.metaservers_ms >= 0) {
        json_object_set_new(used, "metaServers", json_integer(view.metaservers_ms));
    }
    if (view.outer_ms >= 0) {
        json_object_set_new(used, "outerClient", json_integer(view.outer_ms));
    }
    http_resp_json(resp, json_pack("{s:s, s:o, s:I, s:o}", "status", words[view.level], "message",
                                   jd_text(view.message), "checkStartTime",
                                   (json_int_t)view.start_ms, "checkUseTimeMill", used));
    return 0;
}

/* ---- checkandprepare ---- */

struct prepare_body {
    char *from;
    char *to;
    struct names clusters;
    char *mode;
    char *policy;
};

static const struct jfield prepare_fields[] = {
    JF_TABLE(JF_TABLE_ANY_CASE),
    TEXT_FIELD("fromIdc", struct prepare_body, from),
    TEXT_FIELD("toIdc", struct prepare_body, to),
    { .name = "clusters",
      .type = JF_STRINGS,
      .offset = offsetof(struct prepare_body, clusters),
      .flags = JF_REQUIRED },
    TEXT_FIELD("mode", struct prepare_body, mode),
    TEXT_FIELD("policy", struct prepare_body, policy),
    { 0 },
};

int migration_read_words(const char *mode, const char *policy, enum migration_mode *ret_mode,
                         enum migration_policy *ret_policy, struct xp_err *err)
{
    *ret_mode = MODE_AUTO;
    *ret_policy = POLICY_CANARY;
    if (!text_is_empty(mode) && !migration_mode_from_text(mode, ret_mode)) {
        return xp_fail(err, XP_INVALID, "mode: %.64s is not auto, planned or disaster", mode);
    }
    if (!text_is_empty(policy) && !migration_policy_from_text(policy, ret_policy)) {
        return xp_fail(err, XP_INVALID, "policy: %.64s is not canary or all", policy);
    }
    return 0;
}

void migration_tell(const struct http_req *req)
{
    const struct api_context *c = api_context(req);
    if (c->notifier) {
        notifier_wake(c->notifier);
    }
    if (c->migration.engine) {
        c->migration.wake(c->migration.engine);
    }
}

static json_t *prepared_json(const struct event_cluster_result *item)
{
    const char *reason = fail_reason_text(item->reason);
    return json_pack("{s:o, s:o, s:o, s:o, s:b, s:o}", "clusterName", jd_text(item->cluster),
                     "fromIdc", jd_text(item->from_dc), "toIdc", jd_text(item->to_dc), "msg",
                     jd_text(item->msg), "success", item->reason == FAIL_NONE, "failReason",
                     reason ? json_string(reason) : json_null());
}

static void answer_prepared(struct http_resp *resp, const struct event_result *result)
{
    json_t *list = json_array();
    for (size_t i = 0; i < result->count; i++) {
        (void)json_array_append_new(list, prepared_json(&result->items[i]));
    }
    http_resp_json(
        resp, json_pack("{s:I, s:o}", "ticketId", (json_int_t)result->event_id, "results", list));
}

static void answer_unhealthy(struct http_resp *resp, const struct prepare_body *body, char *why)
{
    struct event_result result = { .event_id = -1 };
    result.items = xcalloc(body->clusters.count + 1, sizeof(*result.items));
    for (size_t i = 0; i < body->clusters.count; i++) {
        result.items[result.count++] =
            (struct event_cluster_result){ .cluster = body->clusters.items[i],
                                           .from_dc = body->from,
                                           .msg = why,
                                           .reason = FAIL_SYSTEM_UNHEALTHY };
    }
    answer_prepared(resp, &result);
    free(result.items); /* its texts are borrowed */
}

static int prepare(struct http_req *req, const struct prepare_body *body, struct http_resp *resp,
                   struct xp_err *err)
{
    AUTO_FREE char *why = NULL;
    struct change_ctx ctx = api_change(req);
    struct event_result result;
    struct event_request request = { .from_dc = body->from,
                                     .to_dc = body->to,
                                     .clusters = (const char *const *)body->clusters.items,
                                     .count = body->clusters.count,
                                     .operator_name = "api_call",
                                     .tag = "api_call" };
    int rc = migration_read_words(body->mode, body->policy, &request.mode, &request.policy, err);
    if (rc == 0) {
        rc = migration_system_check(req, &why, err);
    }
    if (rc != 0) {
        return rc;
    }
    if (why) {
        answer_unhealthy(resp, body, why);
        return 0;
    }
    rc = migration_event_create(api_catalog(req), &ctx, &request, &result, err);
    if (rc == 0) {
        answer_prepared(resp, &result);
        event_result_done(&result);
        migration_tell(req);
    }
    return rc;
}

static int post_prepare(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct prepare_body body = { 0 };
    int rc = 0;
    if (api_body_object(req, resp, prepare_fields, &body)) {
        rc = prepare(req, &body, resp, err);
    }
    jd_done(prepare_fields, &body);
    return rc;
}

/* ---- domigration, rollback, cancel ---- */

struct ticket_body {
    struct opt_i64 ticket;
    struct names clusters;
};

static const struct jfield ticket_fields[] = {
    JF_TABLE(JF_TABLE_ANY_CASE),
    { .name = "ticketId",
      .type = JF_CUSTOM,
      .offset = offsetof(struct ticket_body, ticket),
      .decode = decode_opt_i64,
      .flags = JF_REQUIRED },
    { .name = "clusters", .type = JF_STRINGS, .offset = offsetof(struct ticket_body, clusters) },
    { 0 },
};

static void render_started(const struct migration_asks *asks, struct http_resp *resp, int *ret_rc,
                           struct xp_err *err)
{
    (void)ret_rc;
    (void)err;
    const struct migration_asked *item = &asks->items[0];
    http_resp_json(resp, json_pack("{s:b, s:o}", "success", item->rc == 0, "msg",
                                   jd_text(item->rc == 0 ? "success!" : item->err.msg)));
}

static int start_event(struct http_req *req, int64_t event_id)
{
    struct migration_asks *asks = migration_asks_new(event_id, ASK_PROCESS, "process");
    struct names none = { 0 };
    struct xp_err why = { 0 };
    int rc = migration_asks_fill(req, asks, &none, &why);
    migration_asks_free(asks);
    asks = migration_asks_new(event_id, ASK_PROCESS, "process");
    struct migration_asked *event = migration_asks_add(asks);
    event->cluster = xstrdup("");
    event->rc = rc;
    event->err = why;
    return migration_asks_run(req, asks, render_started);
}

static int post_start(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    (void)err;
    struct ticket_body body = { 0 };
    bool is_ok = api_body_object(req, resp, ticket_fields, &body);
    int64_t event_id = body.ticket.value;
    jd_done(ticket_fields, &body);
    return is_ok ? start_event(req, event_id) : 0;
}

static void render_results(const struct migration_asks *asks, struct http_resp *resp, int *ret_rc,
                           struct xp_err *err)
{
    (void)ret_rc;
    (void)err;
    json_t *list = json_array();
    for (size_t i = 0; i < asks->count; i++) {
        const struct migration_asked *item = &asks->items[i];
        bool is_ok = item->rc == 0;
        (void)json_array_append_new(
            list, json_pack("{s:o, s:o, s:o, s:o, s:b}", "clusterName", jd_text(item->cluster),
                            "fromIdc", jd_text(is_ok ? item->from_dc : NULL), "toIdc",
                            jd_text(is_ok ? item->to_dc : NULL), "msg",
                            jd_text(is_ok ? "success" : item->err.msg), "success", is_ok));
    }
    http_resp_json(resp, json_pack("{s:o}", "results", list));
}

static int roll_back(struct http_req *req, struct http_resp *resp, bool is_cancel,
                     struct xp_err *err)
{
    struct ticket_body body = { 0 };
    struct migration_asks *asks = NULL;
    int rc = 0;
    if (!api_body_object(req, resp, ticket_fields, &body)) {
        jd_done(ticket_fields, &body);
        return 0;
    }
    if (body.clusters.count == 0 && !is_cancel) {
        http_resp_json(resp, json_pack("{s:[]}", "results"));
    } else {
        asks = migration_asks_new(body.ticket.value, ASK_ROLLBACK, "rollback");
        rc = migration_asks_fill(req, asks, &body.clusters, err);
    }
    jd_done(ticket_fields, &body);
    if (rc != 0) {
        migration_asks_free(asks);
        return rc;
    }
    return asks ? migration_asks_run(req, asks, render_results) : 0;
}

static int post_rollback(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    return roll_back(req, resp, false, err);
}

static int post_cancel(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    return roll_back(req, resp, true, err);
}

/* ---- checkstatus ---- */

static json_t *status_json(const struct status_row *row)
{
    const struct migration_status_info *info = migration_status_info(row->status);
    return json_pack("{s:o, s:o, s:o, s:s, s:i, s:s, s:o, s:b, s:o}", "clusterName",
                     jd_text(row->cluster), "fromIdc", jd_text(row->from_dc), "toIdc",
                     jd_text(row->to_dc), "status", info->ticket, "percent", info->percent, "msg",
                     info->text, "reason", text_or_null(row->reason), "unfenced", row->is_unfenced,
                     "lostBytes",
                     row->lost_bytes < 0 ? json_null() : json_integer(row->lost_bytes));
}

static int get_status(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    int64_t event_id = 0;
    struct status_rows rows;
    if (!api_param_i64(req, resp, "ticket", &event_id)) {
        return 0;
    }
    int rc = migration_status_list(api_catalog(req), event_id, &rows, err);
    if (rc != 0) {
        return rc;
    }
    json_t *list = json_array();
    for (size_t i = 0; i < rows.count; i++) {
        (void)json_array_append_new(list, status_json(&rows.items[i]));
    }
    status_rows_done(&rows);
    http_resp_json(resp, json_pack("{s:o}", "results", list));
    return 0;
}

/* ---- history, progress ---- */

struct history_body {
    struct opt_i64 from;
    struct opt_i64 to;
    struct names clusters;
};

static const struct jfield history_fields[] = {
    JF_TABLE(JF_TABLE_ANY_CASE),
    INT_FIELD("from", struct history_body, from),
    INT_FIELD("to", struct history_body, to),
    { .name = "clusters", .type = JF_STRINGS, .offset = offsetof(struct history_body, clusters) },
    { 0 },
};

static bool query_number(const struct http_req *req, const char *name, struct opt_i64 *ret)
{
    const char *text = http_req_query(req, name);
    if (text_is_empty(text)) {
        return true;
    }
    ret->has = true;
    return text_to_i64(text, strlen(text), INT64_MIN, INT64_MAX, &ret->value);
}

/* From the query where there is no body: ?from=&to=&clusters=c1,c2 */
static bool read_history_query(const struct http_req *req, struct http_resp *resp,
                               struct history_body *body)
{
    struct xp_err err = { 0 };
    if (!query_number(req, "from", &body->from) || !query_number(req, "to", &body->to)) {
        (void)xp_fail(&err, XP_INVALID, "query parameters from and to: seconds since 1970");
        (void)envelope_malformed(req, resp, &err);
        return false;
    }
    const char *clusters = http_req_query(req, "clusters");
    if (!text_is_empty(clusters)) {
        body->clusters = names_split(clusters);
    }
    return true;
}

static bool read_history(const struct http_req *req, struct http_resp *resp,
                         struct history_body *body)
{
    size_t length = 0;
    (void)http_req_body(req, &length);
    return length > 0 ? api_body_object(req, resp, history_fields, body)
                      : read_history_query(req, resp, body);
}

static int history(struct http_req *req, struct http_resp *resp, bool is_v2, struct xp_err *err)
{
    struct history_body body = { 0 };
    json_t *json = NULL;
    int rc = 0;
    if (read_history(req, resp, &body)) {
        rc = migration_history(api_catalog(req), body.from.value, body.to.has ? body.to.value : -1,
                               (const char *const *)body.clusters.items, body.clusters.count, is_v2,
                               &json, err);
    }
    jd_done(history_fields, &body);
    if (json) {
        http_resp_json(resp, json);
    }
    return rc;
}

static int get_history(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    return history(req, resp, false, err);
}

static int get_history_v2(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    return history(req, resp, true, err);
}

static int get_progress(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct opt_i64 hours = { .value = 1 };
    json_t *json = NULL;
    if (!query_number(req, "hours", &hours)) {
        return xp_fail(err, XP_INVALID, "query parameter hours: not a number");
    }
    int rc = migration_progress(api_catalog(req), hours.value, &json, err);
    if (rc == 0) {
        http_resp_json(resp, json);
    }
    return rc;
}

/* ---- switches ---- */

struct user_body {
    char *user;
};

static const struct jfield user_fields[] = {
    JF_TABLE(JF_TABLE_ANY_CASE),
    TEXT_FIELD("updateUser", struct user_body, user),
    { 0 },
};

static int set_switch(struct http_req *req, const char *key, struct xp_err *err)
{
    const char *value = http_req_param(req, "value");
    bool is_on = text_eq_nocase(value, "true");
    json_auto_t *json = NULL;
    struct user_body body = { 0 };
    if (!is_on && !text_eq_nocase(value, "false")) {
        return xp_fail(err, XP_INVALID, "%.64s is not true or false", value);
    }
    int rc = http_req_json(req, &json, err);
    if (rc == 0 && json_is_object(json)) {
        rc = jd_object(json, user_fields, &body, err);
    }
    struct change_ctx ctx = api_change(req);
    if (rc == 0) {
        rc = switches_set(api_catalog(req), &ctx, key, is_on, body.user, err);
    }
    jd_done(user_fields, &body);
    return rc;
}

static int post_ignore(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    (void)resp; /* 200 without a body */
    return set_switch(req, SWITCH_IGNORE_MIGRATION_SYSTEM, err);
}

static int post_allow_auto(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    (void)resp;
    return set_switch(req, SWITCH_ALLOW_AUTO_MIGRATION, err);
}

/* clang-format off */
const struct http_route api_migration_routes[] = {
    { "POST", "/api/migration/checkandprepare", post_prepare, HTTP_ON_WORKER, API_LIST_BYTES, "write", "check clusters, lock them, make a ticket for their switch to another DC" },
    { "POST", "/api/migration/domigration", post_start, HTTP_ON_WORKER, API_BODY_BYTES, "write", "start the ticket, or go on with it" },
    { "GET", "/api/migration/checkstatus/{ticket}", get_status, HTTP_ON_WORKER, 0, "read", "what the clusters of a ticket are at" },
    { "POST", "/api/migration/rollback", post_rollback, HTTP_ON_WORKER, API_LIST_BYTES, "write", "back to the old primary DC, for the named clusters of a ticket" },
    { "POST", "/api/migration/cancel", post_cancel, HTTP_ON_WORKER, API_LIST_BYTES, "write", "the same; without names for all clusters of the ticket" },
    { "GET", "/api/migration/history", get_history, HTTP_ON_WORKER, API_LIST_BYTES, "read", "what was migrated from..to (seconds), by cluster; body or query" },
    { "POST", "/api/migration/history", get_history, HTTP_ON_WORKER, API_LIST_BYTES, "read", "the same" },
    { "GET", "/api/migration/v2/history", get_history_v2, HTTP_ON_WORKER, API_LIST_BYTES, "read", "the same with cluster types, and with excluded DCs" },
    { "POST", "/api/migration/v2/history", get_history_v2, HTTP_ON_WORKER, API_LIST_BYTES, "read", "the same" },
    { "GET", "/api/migration/migration/system/health/status", migration_get_health_status, HTTP_ON_LOOP, 0, "read", "is the machinery of migrations well" },
    { "GET", "/api/migration/system/health/status", migration_get_health_status, HTTP_ON_LOOP, 0, "read", "the same" },
    { "GET", "/api/migration/system/health", get_health, HTTP_ON_LOOP, 0, "read", "the same with details" },
    { "GET", "/api/dr/progress", get_progress, HTTP_ON_WORKER, 0, "read", "how far the migrations of the last hours are" },
    { "POST", "/api/config/ignore/migration/system/availability/{value}", post_ignore, HTTP_ON_WORKER, API_BODY_BYTES, "write", "let migrations be prepared although their machinery is unwell" },
    { "POST", "/api/config/allow/migration/auto/{value}", post_allow_auto, HTTP_ON_WORKER, API_BODY_BYTES, "write", "allow migrations that a monitor asks for" },
    API_END,
};
/* clang-format on */
