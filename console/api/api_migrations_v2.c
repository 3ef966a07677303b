/* api_migrations_v2.c - migrations as resources (design D2): failures are RFC 9457 problems with their true status (envelope.h). Making one:
 * migration_create.h; going on as planned: migration_process.h.
 *
 *   GET  ...                         with an ETag of the answer: If-None-Match saves its body
 *   POST .../{id}/process|cancel|rollback|force|force-end   {"clusters":[...]}, absent (not null or []): all (process: as the policy says) -> 202;
 *                                    409 when all of them refuse; process: {"planHash"}, {"dryRun":true} */
#include <string.h>

#include "console/api/migration_asks.h"
#include "console/api/migration_create.h"
#include "console/api/migration_plans.h"
#include "console/api/migration_process.h"
#include "console/api/tables.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

/* ---- reading ---- */

static bool query_id(const struct http_req *req, const char *name, int64_t absent, int64_t max,
                     int64_t *ret)
{
    const char *text = http_req_query(req, name);
    *ret = absent;
    return text_is_empty(text) || text_to_i64(text, strlen(text), 0, max, ret);
}

static int get_migrations(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    int64_t after = 0;
    int64_t limit = 0;
    json_t *json = NULL;
    if (!query_id(req, "after", 0, INT64_MAX, &after) ||
        !query_id(req, "limit", 100, 1000, &limit)) {
        return xp_fail(err, XP_INVALID, "query parameters: after is an id, limit 1..1000");
    }
    int rc = migration_events_v2(api_catalog(req), after, (int)limit, &json, err);
    if (rc == 0) {
        api_json_etag(resp, json);
    }
    return rc;
}

static int get_migration(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    int64_t id = 0;
    json_t *json = NULL;
    if (!api_param_i64(req, resp, "id", &id)) {
        return 0;
    }
    int rc = migration_event_v2(api_catalog(req), id, &json, err);
    if (rc == 0) {
        api_json_etag(resp, json);
    }
    return rc;
}

/* ---- asking ---- */

struct ask_body {
    struct names clusters;
    char *plan_hash; /* of process, as the two behind it */
    enum tri dry_run;
    enum tri dry_run_too;
};

/* Without it all of the event are meant. Who sends null or an empty list has found none. */
#define CLUSTERS_FIELD                                                                             \
    {                                                                                              \
        .name = "clusters", .type = JF_STRINGS, .offset = offsetof(struct ask_body, clusters),     \
        .flags = JF_NOT_NULL | JF_NOT_EMPTY                                                        \
    }
static const struct jfield ask_fields[] = {
    JF_TABLE(JF_TABLE_STRICT),
    CLUSTERS_FIELD,
    { 0 },
};
static const struct jfield process_fields[] = {
    JF_TABLE(JF_TABLE_STRICT),
    CLUSTERS_FIELD,
    PLAN_FIELDS(struct ask_body),
    { 0 },
};

static void render_asked(const struct migration_asks *asks, struct http_resp *resp, int *ret_rc,
                         struct xp_err *err)
{
    json_t *list = json_array();
    size_t accepted = 0;
    for (size_t i = 0; i < asks->count; i++) {
        const struct migration_asked *item = &asks->items[i];
        accepted += item->rc == 0;
        (void)json_array_append_new(
            list, json_pack("{s:o, s:b, s:o, s:o}", "cluster",
                            item->cluster[0] ? jd_text(item->cluster) : json_null(), "accepted",
                            item->rc == 0, "code",
                            item->rc ? json_string(xp_code_info(item->rc)->name) : json_null(),
                            "detail", item->rc ? jd_text(item->err.msg) : json_null()));
    }
    if (accepted == 0 && asks->count == 1) {
        json_decref(list);
        *ret_rc = asks->items[0].rc;
        *err = asks->items[0].err;
    } else if (accepted == 0) {
        envelope_problem(asks->req, resp,
                         &(struct problem){ .code = XP_CONFLICT,
                                            .detail = "all of them refuse",
                                            .key = "results",
                                            .take_value = list });
    } else {
        http_resp_json(resp, json_pack("{s:I, s:s, s:o}", "id", (json_int_t)asks->event_id,
                                       "action", asks->word, "results", list));
        resp->status = 202;
    }
}

/* process of the whole event: its policy starts, or goes on. */
static void ask_the_event(struct migration_asks *asks)
{
    while (asks->count > 1) {
        struct migration_asked *last = &asks->items[--asks->count];
        free(last->cluster);
        free(last->from_dc);
        free(last->to_dc);
    }
    asks->items[0].cluster[0] = '\0';
    asks->items[0].migration_cluster_id = 0;
    asks->items[0].rc = 0;
}

static void ask_each(struct migration_asks *asks)
{
    (void)asks;
}

/* Takes the asks. */
static int run_asks(struct http_req *req, struct migration_asks *asks,
                    const struct process_request *request, struct xp_err *err)
{
    if (request->is_dry_run || request->plan_hash) {
        return migration_process_planned(req, asks, request, err);
    }
    request->narrow(asks);
    return migration_asks_run(req, asks, render_asked);
}

/* The others make no plan: acting for real is not what was meant. */
static int refuse_dry_run(const struct process_request *request, bool is_process, const char *word,
                          struct xp_err *err)
{
    return is_process || !request->is_dry_run
               ? 0
               : xp_fail(err, XP_INVALID,
                         "query parameter dry_run: %s has no dry run, only process has", word);
}

static int ask(struct http_req *req, struct http_resp *resp, enum migration_ask what,
               const char *word, struct xp_err *err)
{
    const struct jfield *fields = what == ASK_PROCESS ? process_fields : ask_fields;
    struct process_request request = { .has_steps = true, .render = render_asked };
    struct ask_body body = { 0 };
    int64_t id = 0;
    size_t length = 0;
    bool is_process = what == ASK_PROCESS;
    (void)http_req_body(req, &length);
    if (!api_param_i64(req, resp, "id", &id) ||
        !api_query_bool(req, resp, "dry_run", false, &request.is_dry_run) ||
        (is_process && !api_query_bool(req, resp, "steps", true, &request.has_steps)) ||
        (length > 0 && !api_body_object(req, resp, fields, &body))) {
        jd_done(fields, &body);
        return 0;
    }
    struct migration_asks *asks = migration_asks_new(id, what, word);
    int rc = refuse_dry_run(&request, is_process, word, err);
    rc = rc != 0 ? rc : migration_asks_fill(req, asks, &body.clusters, err);
    if (rc == 0) {
        request.is_dry_run |= body.dry_run == TRI_YES || body.dry_run_too == TRI_YES;
        request.is_whole = body.clusters.count == 0;
        request.plan_hash = body.plan_hash;
        request.narrow = is_process && request.is_whole ? ask_the_event : ask_each;
        rc = run_asks(req, TAKE(asks), &request, err);
    }
    migration_asks_free(asks);
    jd_done(fields, &body);
    return rc;
}

#define ASK(name, what, word)                                                                      \
    static int post_##name(struct http_req *req, struct http_resp *resp, struct xp_err *err)       \
    {                                                                                              \
        return ask(req, resp, what, word, err);                                                    \
    }
ASK(process, ASK_PROCESS, "process")
ASK(cancel, ASK_ROLLBACK, "cancel")
ASK(rollback, ASK_ROLLBACK, "rollback")
ASK(force, ASK_FORCE_PROCESS, "force")
ASK(force_end, ASK_FORCE_END, "force-end")

/* clang-format off */
const struct http_route api_migrations_v2_routes[] = {
    { "POST", "/api/v2/migrations", migration_create, HTTP_ON_WORKER, API_LIST_BYTES, "write", "lock clusters, make an event for their switch; dry_run=true: the plan instead; planHash: only as planned; Idempotency-Key" },
    { "GET", "/api/v2/migrations", get_migrations, HTTP_ON_WORKER, 0, "read", "events, newest first: limit, after" },
    { "GET", "/api/v2/migrations/{id}", get_migration, HTTP_ON_WORKER, 0, "read", "one event: steps of each shard, timeline, follow-ups, lost writes" },
    { "POST", "/api/v2/migrations/{id}/process", post_process, HTTP_ON_WORKER, API_LIST_BYTES, "write", "start, go on, try again; dry_run=true: the plan instead; planHash: only as planned" },
    { "POST", "/api/v2/migrations/{id}/cancel", post_cancel, HTTP_ON_WORKER, API_LIST_BYTES, "write", "cancel, or roll back" },
    { "POST", "/api/v2/migrations/{id}/rollback", post_rollback, HTTP_ON_WORKER, API_LIST_BYTES, "write", "the same" },
    { "POST", "/api/v2/migrations/{id}/force", post_force, HTTP_ON_WORKER, API_LIST_BYTES, "write", "skip the failed check, or publish what was promoted" },
    { "POST", "/api/v2/migrations/{id}/force-end", post_force_end, HTTP_ON_WORKER, API_LIST_BYTES, "write", "end without publication" },
    API_END,
};
/* clang-format on */
