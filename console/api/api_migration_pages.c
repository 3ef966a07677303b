/* api_migration_pages.c - migrations as x-pipe's pages ask for them (dr-switchover.md 5.5, console-api.md 3.11.6). */
#include <string.h>
#include <time.h>

#include "console/api/migration_asks.h"
#include "console/api/tables.h"
#include "console/catalog/clusters.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

/* ---- a new event ---- */

struct pick_body {
    struct opt_i64 cluster_id;
    struct opt_i64 source_dc_id;
    struct opt_i64 dest_dc_id;
};
struct event_body {
    struct {
        struct pick_body *items;
        size_t count;
    } clusters;
    char *mode;
    char *policy;
    char *operator_name;
};
struct page_body {
    struct event_body event;
};

/* clang-format off */
static const struct jfield pick_fields[] = {
    JF_TABLE(JF_TABLE_ANY_CASE),
    INT_FIELD("clusterId", struct pick_body, cluster_id),
    INT_FIELD("sourceDcId", struct pick_body, source_dc_id),
    INT_FIELD("destinationDcId", struct pick_body, dest_dc_id),
    { 0 },
};
static const struct jfield event_fields[] = {
    JF_TABLE(JF_TABLE_ANY_CASE),
    { .name = "migrationClusters", .type = JF_ARRAY, .offset = offsetof(struct event_body, clusters), .flags = JF_REQUIRED,
      .sub = pick_fields, .elem_size = sizeof(struct pick_body) },
    TEXT_FIELD("mode", struct event_body, mode),
    TEXT_FIELD("policy", struct event_body, policy),
    TEXT_FIELD("operator", struct event_body, operator_name),
    { 0 },
};
static const struct jfield page_fields[] = {
    JF_TABLE(JF_TABLE_ANY_CASE),
    { .name = "event", .type = JF_OBJECT, .offset = offsetof(struct page_body, event), .flags = JF_REQUIRED, .sub = event_fields },
    { 0 },
};
/* clang-format on */

/* yyyyMMddHHmmssSSS-user */
static char *tag_of(const char *user)
{
    wall_ms now = clock_wall_ms();
    time_t seconds = (time_t)(now / 1000);
    struct tm tm = { 0 };
    char day[32];
    (void)gmtime_r(&seconds, &tm);
    (void)strftime(day, sizeof(day), "%Y%m%d%H%M%S", &tm);
    return xasprintf("%s%03d-%s", day, (int)(now % 1000), user);
}

static int create(struct http_req *req, const struct event_body *body, struct http_resp *resp,
                  struct xp_err *err)
{
    const char *user = text_is_empty(body->operator_name) ? "xpipe" : body->operator_name;
    AUTO_FREE char *tag = tag_of(user);
    AUTO_FREE struct event_pick *items = xcalloc(body->clusters.count + 1, sizeof(*items));
    struct event_picks picks = { .items = items, .operator_name = user, .tag = tag };
    for (size_t i = 0; i < body->clusters.count; i++) {
        const struct pick_body *pick = &body->clusters.items[i];
        items[picks.count++] =
            (struct event_pick){ pick->cluster_id.value, pick->source_dc_id.value,
                                 pick->dest_dc_id.value };
    }
    struct change_ctx ctx = api_change(req);
    int64_t id = 0;
    int rc = migration_read_words(body->mode, body->policy, &picks.mode, &picks.policy, err);
    if (rc == 0) {
        rc = migration_system_refuses(req, err);
    }
    if (rc == 0) {
        rc = migration_event_create_picked(api_catalog(req), &ctx, &picks, &id, err);
    }
    if (rc == 0) {
        http_resp_json(resp, json_pack("{s:I}", "value", (json_int_t)id));
        migration_tell(req);
    }
    return rc;
}

static int post_event(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct page_body body = { 0 };
    int rc = 0;
    if (api_body_object(req, resp, page_fields, &body)) {
        rc = create(req, &body.event, resp, err);
    }
    jd_done(page_fields, &body);
    return rc;
}

/* ---- lists ---- */

static bool query_i64_of(const struct http_req *req, const char *name, int64_t absent, int64_t *ret)
{
    const char *text = http_req_query(req, name);
    *ret = absent;
    return text_is_empty(text) || text_to_i64(text, strlen(text), 0, INT32_MAX, ret);
}

static int list(struct http_req *req, struct http_resp *resp, struct event_filter *filter,
                struct xp_err *err)
{
    json_t *json = NULL;
    if (!query_i64_of(req, "page", 0, &filter->page) ||
        !query_i64_of(req, "size", 10, &filter->size)) {
        return xp_fail(err, XP_INVALID, "query parameters page and size: not a number");
    }
    if (!api_query_bool(req, resp, "withoutTestClusters", false, &filter->without_tests)) {
        return 0;
    }
    int rc = migration_events_page(api_catalog(req), filter, &json, err);
    if (rc == 0) {
        http_resp_json(resp, json);
    }
    return rc;
}

static int get_events(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct event_filter filter = { .cluster = http_req_query(req, "clusterName") };
    return list(req, resp, &filter, err);
}

static int get_by_operator(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct event_filter filter = { .operator_name = http_req_query(req, "operator") };
    return list(req, resp, &filter, err);
}

static int get_by_type(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct event_filter filter = { .type = http_req_query(req, "type") };
    return list(req, resp, &filter, err);
}

/* ---- one event ---- */

static int get_event(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    int64_t id = 0;
    json_t *json = NULL;
    if (!api_param_i64(req, resp, "event", &id)) {
        return 0;
    }
    int rc = migration_event_detail(api_catalog(req), id, &json, err);
    if (rc == 0) {
        http_resp_json(resp, json);
    }
    return rc;
}

static void render_nothing(const struct migration_asks *asks, struct http_resp *resp, int *ret_rc,
                           struct xp_err *err)
{
    (void)resp; /* 200 without a body */
    *ret_rc = asks->items[0].rc;
    *err = asks->items[0].err;
}

static int ask(struct http_req *req, struct http_resp *resp, enum migration_ask what,
               struct xp_err *err)
{
    int64_t event_id = 0;
    int64_t cluster_id = 0;
    if (!api_param_i64(req, resp, "event", &event_id) ||
        !api_param_i64(req, resp, "cluster", &cluster_id)) {
        return 0;
    }
    struct migration_asks *asks = migration_asks_new(event_id, what, "");
    int rc = migration_asks_fill_id(req, asks, cluster_id, err);
    if (rc != 0) {
        migration_asks_free(asks);
        return rc;
    }
    return migration_asks_run(req, asks, render_nothing);
}

#define ASK(name, what)                                                                            \
    static int post_##name(struct http_req *req, struct http_resp *resp, struct xp_err *err)       \
    {                                                                                              \
        return ask(req, resp, what, err);                                                          \
    }
ASK(process, ASK_PROCESS)
ASK(cancel, ASK_ROLLBACK)
ASK(force_process, ASK_FORCE_PROCESS)
ASK(force_end, ASK_FORCE_END)

/* ---- the probe of the system check ---- */

static int get_default_cluster(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    char name[256];
    struct cluster_row row;
    migration_health_probe(api_context(req)->migration_health, name, sizeof(name));
    int rc = name[0] ? clusters_get(api_catalog(req), name, &row, err) : XP_NOT_FOUND;
    if (rc == XP_NOT_FOUND) {
        http_resp_json(resp, NULL);
        return 0;
    }
    if (rc == 0) {
        http_resp_json(resp, json_pack("{s:I, s:o, s:o, s:o}", "id", (json_int_t)row.id,
                                       "clusterName", jd_text(row.name), "clusterType",
                                       jd_text(row.type), "status", jd_text(row.status)));
        cluster_row_done(&row);
    }
    return rc;
}

/* clang-format off */
#define EVENT   "/console/migration/events/{event}"
#define CLUSTER EVENT "/clusters/{cluster}"
const struct http_route api_migration_page_routes[] = {
    { "POST", "/console/migration/events", post_event, HTTP_ON_WORKER, API_LIST_BYTES, "write", "lock the picked clusters, make an event for their switch; does not start it" },
    { "GET", "/console/migration/events", get_events, HTTP_ON_WORKER, 0, "read", "a page of events, newest first" },
    { "GET", "/console/migration/events/all", get_events, HTTP_ON_WORKER, 0, "read", "the same" },
    { "GET", "/console/migration/events/by/operator", get_by_operator, HTTP_ON_WORKER, 0, "read", "the same, of one operator" },
    { "GET", "/console/migration/events/by/migration/status/type", get_by_type, HTTP_ON_WORKER, 0, "read", "the same, with a cluster that is Init, Processing, Success or Fail" },
    { "GET", EVENT, get_event, HTTP_ON_WORKER, 0, "read", "the clusters of an event with the steps of their shards" },
    { "POST", CLUSTER, post_process, HTTP_ON_WORKER, API_BODY_BYTES, "write", "start, go on, try again" },
    { "POST", CLUSTER "/cancel", post_cancel, HTTP_ON_WORKER, API_BODY_BYTES, "write", "cancel, or roll back" },
    { "POST", CLUSTER "/tryRollback", post_cancel, HTTP_ON_WORKER, API_BODY_BYTES, "write", "the same" },
    { "POST", CLUSTER "/rollback", post_cancel, HTTP_ON_WORKER, API_BODY_BYTES, "write", "the same" },
    { "POST", CLUSTER "/forceProcess", post_force_process, HTTP_ON_WORKER, API_BODY_BYTES, "write", "skip the failed check, or publish what was promoted" },
    { "POST", CLUSTER "/forceEnd", post_force_end, HTTP_ON_WORKER, API_BODY_BYTES, "write", "end without publication" },
    { "GET", "/console/migration/system/health/status", migration_get_health_status, HTTP_ON_LOOP, 0, "read", "is the machinery of migrations well" },
    { "GET", "/console/migration/default/cluster", get_default_cluster, HTTP_ON_WORKER, 0, "read", "the probe cluster of that check, or null" },
    API_END,
};
/* clang-format on */
