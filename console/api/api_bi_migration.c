/* api_bi_migration.c - DCs of clusters with several active ones in and out of client routing (dr-switchover.md 8.1). */
#include <string.h>

#include "console/api/request.h"
#include "console/api/tables.h"
#include "console/migration/bi_tell.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

/* ---- the request ---- */

/* A list of texts, or of objects with one of the names: clusters by "clusterName", DCs by "dcName". */
static int decode_names(const json_t *value, const char *member, struct names *ret,
                        struct xp_err *err)
{
    if (!json_is_array(value)) {
        return xp_fail(err, XP_INVALID, "is not a list");
    }
    for (size_t i = 0; i < json_array_size(value); i++) {
        const json_t *item = json_array_get(value, i);
        const char *name =
            json_string_value(json_is_object(item) ? json_object_get(item, member) : item);
        if (text_is_empty(name)) {
            return xp_fail(err, XP_INVALID, "[%zu].%s: is missing", i, member);
        }
        ret->items = xrealloc(ret->items, ret->count + 1, sizeof(*ret->items));
        ret->items[ret->count++] = xstrdup(name);
    }
    return 0;
}

static int decode_clusters(const json_t *value, void *field, struct xp_err *err)
{
    return decode_names(value, "clusterName", field, err);
}

static int decode_dcs(const json_t *value, void *field, struct xp_err *err)
{
    return decode_names(value, "dcName", field, err);
}

struct sync_body {
    struct names clusters;
    struct names dcs;
    char *user;
};

/* clang-format off */
static const struct jfield sync_fields[] = {
    JF_TABLE(JF_TABLE_ANY_CASE),
    { .name = "clusters", .type = JF_CUSTOM, .offset = offsetof(struct sync_body, clusters), .flags = JF_REQUIRED, .decode = decode_clusters },
    { .name = "excludedDcs", .type = JF_CUSTOM, .offset = offsetof(struct sync_body, dcs), .decode = decode_dcs },
    TEXT_FIELD("operator", struct sync_body, user),
    { 0 },
};
/* clang-format on */

static void sync_body_done(struct sync_body *body)
{
    names_done(&body->clusters);
    names_done(&body->dcs);
    jd_done(sync_fields, body);
}

/* ---- telling: loop, then a worker for the records ---- */

struct telling {
    struct loop_msg msg;
    struct job job;
    struct http_req *req;
    struct bi_exclusions exclusions;
};

static void telling_free(struct telling *t)
{
    bi_exclusions_done(&t->exclusions);
    free(t);
}

static int end_records(struct telling *t, struct xp_err *err)
{
    size_t failed = 0;
    for (size_t i = 0; i < t->exclusions.count; i++) {
        failed += !t->exclusions.items[i].is_told;
    }
    int rc = bi_exclusions_end(api_catalog(t->req), &t->exclusions, err);
    return rc == 0 && failed > 0 ? xp_fail(err, XP_REMOTE, "credis fail") : rc;
}

/* Links of each cluster, where somebody was asked: a member more than x-pipe answers. */
static void write_success(const struct telling *t, struct http_resp *resp)
{
    json_t *list = json_array();
    for (size_t i = 0; i < t->exclusions.count; i++) {
        const char *links = t->exclusions.items[i].links;
        if (links) {
            (void)json_array_append_new(list, json_loads(links, 0, NULL));
        }
    }
    if (json_array_size(list) == 0) {
        json_decref(list);
        envelope_success(resp, NULL);
        return;
    }
    http_resp_json(
        resp, json_pack("{s:i, s:s, s:o}", "state", 0, "message", "success", "clusters", list));
}

static void answer(struct telling *t)
{
    struct http_resp resp = { .status = 200 };
    struct xp_err err = { 0 };
    int rc = end_records(t, &err);
    if (rc == 0) {
        write_success(t, &resp);
    }
    http_req_finish(t->req, rc, &resp, &err);
}

static void record(struct job *job)
{
    answer(CONTAINER_OF(job, struct telling, job));
}

static void recorded(struct job *job)
{
    struct telling *t = CONTAINER_OF(job, struct telling, job);
    if (job->outcome != 0) { /* the records stay at Fail */
        struct xp_err err = { 0 };
        int rc = xp_fail(&err, XP_UNAVAILABLE, "the console is shutting down, try again");
        http_req_finish(t->req, rc, NULL, &err);
    }
    telling_free(t);
}

static void all_told(void *arg)
{
    struct telling *t = arg;
    struct xp_err err = { 0 };
    t->job = (struct job){ .run = record, .done = recorded, .deadline = MONO_FOREVER };
    if (api_submit(t->req, &t->job, &err) < 0) {
        t->job.outcome = err.code;
        recorded(&t->job);
    }
}

static void tell_all(struct loop_msg *msg)
{
    struct telling *t = CONTAINER_OF(msg, struct telling, msg);
    const struct api_context *c = api_context(t->req);
    bi_tell(c->outer, c->bi_asker, &t->exclusions, all_told, t);
}

static void tell_nobody(struct loop_msg *msg)
{
    struct telling *t = CONTAINER_OF(msg, struct telling, msg);
    t->job.outcome = XP_UNAVAILABLE;
    recorded(&t->job);
}

/* ---- handlers ---- */

static int sync(struct http_req *req, const struct sync_body *body, struct xp_err *err)
{
    struct change_ctx ctx = api_change(req);
    const struct api_context *c = api_context(req);
    struct bi_request request = { .clusters = (const char *const *)body->clusters.items,
                                  .cluster_count = body->clusters.count,
                                  .dcs = (const char *const *)body->dcs.items,
                                  .dc_count = body->dcs.count,
                                  .operator_name =
                                      text_is_empty(body->user) ? "xpipe" : body->user };
    struct bi_exclusions exclusions;
    int rc = bi_exclusions_begin(api_catalog(req), &ctx, &request, &exclusions, err);
    if (rc != 0) {
        return rc;
    }
    struct telling *t = xcalloc(1, sizeof(*t));
    t->req = req;
    t->exclusions = exclusions;
    if (!c->outer) { /* nobody out there: whoever polls excludedDcs sees it */
        for (size_t i = 0; i < exclusions.count; i++) {
            exclusions.items[i].is_told = true;
        }
        answer(t);
        telling_free(t);
        return HTTP_LATER;
    }
    t->msg = (struct loop_msg){ .deliver = tell_all, .drop = tell_nobody };
    rc = loop_post(daemon_loop(c->daemon), &t->msg, err);
    if (rc != 0) {
        telling_free(t);
        return rc;
    }
    return HTTP_LATER;
}

static int post_sync(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct sync_body body = { 0 };
    int rc = 0;
    if (api_body_object(req, resp, sync_fields, &body)) {
        rc = sync(req, &body, err);
    }
    sync_body_done(&body);
    return rc;
}

static int get_events(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    json_t *json = NULL;
    int rc = bi_exclusions_list(api_catalog(req), &json, err);
    if (rc == 0) {
        http_resp_json(resp, json);
    }
    return rc;
}

static int get_excluded(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    json_t *json = NULL;
    int rc = bi_exclusions_of(api_catalog(req), http_req_param(req, "cluster"), &json, err);
    if (rc == 0) {
        http_resp_json(resp, json);
    }
    return rc;
}

/* clang-format off */
const struct http_route api_bi_migration_routes[] = {
    { "POST", "/console/bi-migration/sync", post_sync, HTTP_ON_WORKER, API_LIST_BYTES, "write", "take DCs of bi-direction clusters out of client routing; an empty list takes all back" },
    { "GET", "/console/bi-migration/events", get_events, HTTP_ON_WORKER, 0, "read", "what was taken out when, and whether the routing platform was told" },
    { "GET", "/api/cluster/{cluster}/excludedDcs", get_excluded, HTTP_ON_WORKER, 0, "read", "DCs that are out of client routing now" },
    API_END,
};
/* clang-format on */
