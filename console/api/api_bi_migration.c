/* api_bi_migration.c - DCs of clusters with several active ones in and out of client routing (dr-switchover.md 8.1). */
#include <string.h>

#include "console/api/request.h"
#include "console/api/tables.h"
#include "console/migration/bi_exclusions.h"
#include "console/migration/outer_client.h"
#include "shared/base/log.h"
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
    size_t at;      /* is being told now */
    int waiting;    /* for all to be told, and for the links before */
    json_t *before; /* links of each cluster; NULL: nobody was asked */
    json_t *after;
};

static void telling_free(struct telling *t)
{
    json_decref(t->before);
    json_decref(t->after);
    bi_exclusions_done(&t->exclusions);
    free(t);
}

/* ---- the end ---- */

static json_t *of_cluster(json_t *list, size_t at)
{
    json_t *links = json_array_get(list, at);
    return links ? json_incref(links) : json_null();
}

/* For the record and for the answer: {"cluster","before":{"links","warnings"},"after":{...}}, null where nobody was asked. */
static json_t *links_of(struct telling *t)
{
    json_t *list = json_array();
    for (size_t i = 0; t->before && i < t->exclusions.count; i++) {
        struct bi_exclusion *item = &t->exclusions.items[i];
        json_t *links = json_pack("{s:o, s:o, s:o}", "cluster", jd_text(item->cluster), "before",
                                  of_cluster(t->before, i), "after", of_cluster(t->after, i));
        item->links = json_dumps(links, JSON_COMPACT);
        (void)json_array_append_new(list, links);
    }
    return list;
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

static void answer(struct telling *t)
{
    struct http_resp resp = { .status = 200 };
    struct xp_err err = { 0 };
    json_t *links = links_of(t);
    int rc = end_records(t, &err);
    if (rc == 0 && json_array_size(links) > 0) {
        http_resp_json(&resp, json_pack("{s:i, s:s, s:O}", "state", 0, "message", "success",
                                        "clusters", links));
    } else if (rc == 0) {
        envelope_success(&resp, NULL);
    }
    json_decref(links);
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

static void end_telling(struct telling *t)
{
    struct xp_err err = { 0 };
    t->job = (struct job){ .run = record, .done = recorded, .deadline = MONO_FOREVER };
    if (worker_submit(api_context(t->req)->pool, &t->job, &err) < 0) {
        t->job.outcome = err.code;
        recorded(&t->job);
    }
}

/* ---- telling the routing platform, and looking at the links meanwhile and again behind it ---- */

static void have_after(json_t *links, void *arg)
{
    struct telling *t = arg;
    t->after = json_incref(links);
    end_telling(t);
}

static void let_go(struct telling *t)
{
    struct bi_asker *asker = api_context(t->req)->bi_asker;
    if (--t->waiting > 0) {
        return;
    }
    if (asker) {
        bi_survey(asker, &t->exclusions, have_after, t);
    } else {
        end_telling(t);
    }
}

/* What is broken between those that stay is said, and stops nothing. */
static void log_warnings(const struct telling *t)
{
    for (size_t i = 0; i < t->exclusions.count; i++) {
        const json_t *warnings = json_object_get(json_array_get(t->before, i), "warnings");
        for (size_t k = 0; k < json_array_size(warnings); k++) {
            const json_t *w = json_array_get(warnings, k);
            log_warn("bi_migration.link", "cluster", t->exclusions.items[i].cluster, "code",
                     json_string_value(json_object_get(w, "code")), "why",
                     json_string_value(json_object_get(w, "text")));
        }
    }
}

static void have_before(json_t *links, void *arg)
{
    struct telling *t = arg;
    t->before = json_incref(links);
    log_warnings(t);
    let_go(t);
}

static void tell_next(struct telling *t);

static void told(const struct outer_answer *a, void *arg)
{
    struct telling *t = arg;
    t->exclusions.items[t->at].is_told = a->is_ok;
    if (!a->is_ok) {
        log_warn("bi_migration.not_told", "cluster", t->exclusions.items[t->at].cluster, "why",
                 a->message);
    }
    t->at++;
    tell_next(t);
}

static void tell_next(struct telling *t)
{
    const struct api_context *c = api_context(t->req);
    if (t->at < t->exclusions.count) {
        outer_exclude(c->outer, t->exclusions.items[t->at].cluster,
                      (const char *const *)t->exclusions.dcs.items, t->exclusions.dcs.count, told,
                      t);
        return;
    }
    let_go(t);
}

static void tell_first(struct loop_msg *msg)
{
    struct telling *t = CONTAINER_OF(msg, struct telling, msg);
    struct bi_asker *asker = api_context(t->req)->bi_asker;
    t->waiting = asker ? 2 : 1;
    if (asker) {
        bi_survey(asker, &t->exclusions, have_before, t);
    }
    tell_next(t);
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
    t->msg = (struct loop_msg){ .deliver = tell_first, .drop = tell_nobody };
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
