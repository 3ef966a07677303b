/* migration_create.c - see migration_create.h.
 *
 * Without a plan (no dry run, no planHash) everything happens in the handler. With one:
 *   worker: who would be accepted, what the metadata say ─► loop: surveys ─► worker: plans, hash ─► the answer, or the event */
#include "console/api/migration_create.h"

#include <stdio.h>
#include <string.h>

#include "console/api/idempotency.h"
#include "console/api/migration_asks.h"
#include "console/api/migration_plans.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

struct create_body {
    char *from;
    char *to;
    struct names clusters;
    enum tri all;
    char *mode;
    char *policy;
    char *operator_name;
    char *tag;
    char *plan_hash;
    enum tri dry_run;
    enum tri dry_run_too;
};

static const struct jfield create_fields[] = {
    JF_TABLE(JF_TABLE_STRICT),
    { .name = "from",
      .type = JF_STRING,
      .offset = offsetof(struct create_body, from),
      .flags = JF_REQUIRED },
    TEXT_FIELD("to", struct create_body, to),
    { .name = "clusters", .type = JF_STRINGS, .offset = offsetof(struct create_body, clusters) },
    TRI_FIELD("all", struct create_body, all),
    TEXT_FIELD("mode", struct create_body, mode),
    TEXT_FIELD("policy", struct create_body, policy),
    TEXT_FIELD("operator", struct create_body, operator_name),
    TEXT_FIELD("tag", struct create_body, tag),
    PLAN_FIELDS(struct create_body),
    { 0 },
};

struct creation { /* one request; owner: who works on it */
    struct job job;
    struct http_req *req;
    struct create_body body;
    struct event_request request;
    bool is_dry_run;
    bool has_steps;
    struct idempotency key;
    json_t *answer; /* of what was made; as it is kept */
    char *location;
    /* the plan */
    struct event_result would;    /* be accepted */
    struct migration_plans plans; /* of each item of 'would' */
};

static void creation_free(struct creation *c)
{
    migration_plans_done(&c->plans);
    event_result_done(&c->would);
    jd_done(create_fields, &c->body);
    json_decref(c->answer);
    free(c->location);
    free(c);
}

/* ---- answers ---- */

static json_t *items_json(const struct event_result *result, const struct creation *c)
{
    json_t *list = json_array();
    for (size_t i = 0; i < result->count; i++) {
        const struct event_cluster_result *item = &result->items[i];
        const char *reason = fail_reason_text(item->reason);
        json_t *json = json_pack(
            "{s:o, s:b, s:o, s:o, s:o, s:o}", "cluster", jd_text(item->cluster), "accepted",
            item->reason == FAIL_NONE, "from", jd_text(item->from_dc), "to", jd_text(item->to_dc),
            "reason", reason ? json_string(reason) : json_null(), "detail", jd_text(item->msg));
        if (c->is_dry_run && c->plans.hash[0]) {
            const struct switch_plan *plan = c->plans.items[i].plan;
            json_object_set_new(json, "plan",
                                plan ? switch_plan_json(plan, c->has_steps) : json_null());
        }
        (void)json_array_append_new(list, json);
    }
    return list;
}

static bool has_accepted(const struct event_result *result)
{
    for (size_t i = 0; i < result->count; i++) {
        if (result->items[i].reason == FAIL_NONE) {
            return true;
        }
    }
    return false;
}

static json_t *answer_json(const struct creation *c, const struct event_result *result, int64_t idx)
{
    json_t *id = c->is_dry_run ? json_null() : json_integer(result->event_id);
    json_t *json = json_pack("{s:o, s:b, s:I, s:o}", "id", id, "dryRun", c->is_dry_run, "version",
                             (json_int_t)idx, "clusters", items_json(result, c));
    if (c->plans.hash[0]) {
        json_object_set_new(json, "planHash", json_string(c->plans.hash));
    }
    return json;
}

static void answer_nobody(const struct creation *c, const struct event_result *result,
                          struct http_resp *resp)
{
    struct creation plain = { .is_dry_run = false };
    envelope_problem(c->req, resp,
                     &(struct problem){ .code = XP_CONFLICT,
                                        .detail = result->count > 0
                                                      ? "none of the clusters can be migrated"
                                                      : "from: no cluster has this active DC",
                                        .key = "clusters",
                                        .take_value = items_json(result, &plain) });
}

/* ---- making it ---- */

/* In the transaction that made the event. */
static int on_made(const struct change *change, const struct event_result *result, void *arg,
                   struct xp_err *err)
{
    struct creation *c = arg;
    int rc = migration_plans_verify(&c->plans, change->db, err);
    if (rc != 0) {
        return rc;
    }
    json_decref(c->answer);
    free(c->location);
    c->answer = answer_json(c, result, change->idx);
    c->location = xasprintf("/api/v2/migrations/%lld", (long long)result->event_id);
    return idempotency_keep(change, &c->key, &api_context(c->req)->idempotency, 201, c->answer,
                            c->location, err);
}

static int make(struct creation *c, struct http_resp *resp, struct xp_err *err)
{
    struct change_ctx ctx = api_change(c->req);
    struct event_result result;
    c->request.on_made = on_made;
    c->request.on_made_arg = c;
    int rc = migration_event_create(api_catalog(c->req), &ctx, &c->request, &result, err);
    if (rc != 0) {
        return rc;
    }
    if (!has_accepted(&result)) {
        answer_nobody(c, &result, resp);
    } else {
        json_t *json = c->answer ? TAKE(c->answer) : answer_json(c, &result, result.idx);
        AUTO_FREE char *where = xasprintf("/api/v2/migrations/%lld", (long long)result.event_id);
        http_resp_json(resp, json);
        http_resp_header(resp, "Location", where);
        resp->status = 201;
    }
    event_result_done(&result);
    migration_tell(c->req);
    return 0;
}

/* ---- with a plan ---- */

static int finish_planned(struct creation *c, struct http_resp *resp, struct xp_err *err)
{
    int rc = migration_plans_decide(c->req, &c->plans, c->request.policy,
                                    c->is_dry_run ? NULL : c->body.plan_hash, err);
    if (rc != 0) {
        return rc;
    }
    if (c->is_dry_run) {
        http_resp_json(resp, answer_json(c, &c->would, c->would.idx));
        return 0;
    }
    if (c->plans.refusal) {
        migration_plans_refuse(c->req, &c->plans, resp);
        return 0;
    }
    return make(c, resp, err);
}

static void run_planned(struct job *job)
{
    struct creation *c = CONTAINER_OF(job, struct creation, job);
    struct http_resp resp = { .status = 200 };
    struct xp_err err = { 0 };
    int rc = finish_planned(c, &resp, &err);
    http_req_finish(c->req, rc, &resp, &err);
}

static void planned_done(struct job *job)
{
    struct creation *c = CONTAINER_OF(job, struct creation, job);
    if (job->outcome != 0) {
        struct http_resp resp = { .status = 200 };
        struct xp_err err = { 0 };
        int rc = xp_fail(&err, XP_UNAVAILABLE, "the console is shutting down, or too busy");
        http_req_finish(c->req, rc, &resp, &err);
    }
    creation_free(c);
}

/* On the loop: every DC has answered, or will not. */
static void on_surveyed(void *arg)
{
    struct creation *c = arg;
    c->job = (struct job){ .run = run_planned, .done = planned_done, .deadline = MONO_FOREVER };
    if (api_submit(c->req, &c->job, NULL) < 0) {
        c->job.outcome = XP_UNAVAILABLE;
        planned_done(&c->job);
    }
}

static int read_facts(struct creation *c, const struct plan_settings *settings, struct xp_err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < c->would.count; i++) {
        const struct event_cluster_result *item = &c->would.items[i];
        struct planned_cluster *planned = migration_plans_add(&c->plans, item->cluster);
        struct switch_plan_facts *facts = NULL;
        planned->refusal = fail_reason_text(item->reason);
        if (item->reason == FAIL_NONE && c->plans.shards <= settings->shards_max) {
            rc = plan_facts_read(api_catalog(c->req), item->cluster, item->from_dc, item->to_dc,
                                 settings, &facts, err);
        }
        if (rc == 0 && facts) {
            facts->mode = c->request.mode;
            migration_plans_ask(&c->plans, planned, facts);
        }
    }
    return rc;
}

static int too_many(struct creation *c, const struct plan_settings *settings,
                    struct http_resp *resp, struct xp_err *err)
{
    if (!c->is_dry_run) {
        return xp_fail(err, XP_TOO_LARGE,
                       "planHash: more than %lld shards (console.migration.plan.shards.max)",
                       (long long)settings->shards_max);
    }
    json_t *json = answer_json(c, &c->would, c->would.idx);
    json_object_set_new(json, "planOmitted",
                        json_string("more shards than console.migration.plan.shards.max"));
    http_resp_json(resp, json);
    return 0;
}

/* Takes the creation when it returns HTTP_LATER. */
static int start_planned(struct creation *c, struct http_resp *resp, struct xp_err *err)
{
    struct plan_maker *plans = api_context(c->req)->plans.maker;
    struct change_ctx ctx = api_change(c->req);
    struct plan_settings settings = plan_maker_settings(plans);
    struct event_request request = c->request;
    request.is_dry_run = true;
    int rc = migration_event_create(api_catalog(c->req), &ctx, &request, &c->would, err);
    if (rc == 0 && !has_accepted(&c->would)) {
        answer_nobody(c, &c->would, resp);
        return 0;
    }
    rc = rc != 0 ? rc : read_facts(c, &settings, err);
    if (rc == 0 && c->plans.shards > settings.shards_max) {
        return too_many(c, &settings, resp, err);
    }
    if (rc == 0) {
        rc = plan_maker_survey(plans, c->plans.asked, c->plans.asked_count, on_surveyed, c, err);
    }
    return rc == 0 ? HTTP_LATER : rc;
}

/* ---- the request ---- */

static int read_request(struct creation *c, struct xp_err *err)
{
    const struct create_body *body = &c->body;
    c->is_dry_run |= body->dry_run == TRI_YES || body->dry_run_too == TRI_YES;
    c->request = (struct event_request){
        .from_dc = body->from,
        .to_dc = body->to,
        .clusters = (const char *const *)body->clusters.items,
        .count = body->clusters.count,
        .is_all = body->all == TRI_YES,
        .operator_name = text_is_empty(body->operator_name) ? "api_v2" : body->operator_name,
        .tag = text_is_empty(body->tag) ? "api_v2" : body->tag,
        .is_dry_run = c->is_dry_run,
    };
    int rc =
        migration_read_words(body->mode, body->policy, &c->request.mode, &c->request.policy, err);
    if (rc == 0 && c->request.count == 0 && !c->request.is_all) {
        rc = xp_fail(err, XP_INVALID, "clusters: at least one, or \"all\": true");
    }
    return rc == 0 ? migration_plans_check_hash(c->req, c->body.plan_hash, err) : rc;
}

static int create(struct creation *c, struct http_resp *resp, struct xp_err *err)
{
    int rc = read_request(c, err);
    if (rc == 0 && !c->is_dry_run && !idempotency_begin(c->req, resp, &c->key, &rc, err)) {
        return rc;
    }
    rc = rc != 0 ? rc : migration_system_refuses(c->req, err);
    if (rc != 0) {
        return rc;
    }
    bool is_planned = c->is_dry_run || c->body.plan_hash;
    if (is_planned && api_context(c->req)->plans.maker) {
        return start_planned(c, resp, err);
    }
    if (!c->is_dry_run) {
        return make(c, resp, err);
    }
    struct change_ctx ctx = api_change(c->req);
    rc = migration_event_create(api_catalog(c->req), &ctx, &c->request, &c->would, err);
    if (rc == 0 && !has_accepted(&c->would)) {
        answer_nobody(c, &c->would, resp);
    } else if (rc == 0) {
        http_resp_json(resp, answer_json(c, &c->would, c->would.idx));
    }
    return rc;
}

int migration_create(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct creation *c = xcalloc(1, sizeof(*c));
    int rc = 0;
    c->req = req;
    if (api_query_bool(req, resp, "dry_run", false, &c->is_dry_run) &&
        api_query_bool(req, resp, "steps", true, &c->has_steps) &&
        api_body_object(req, resp, create_fields, &c->body)) {
        rc = create(c, resp, err);
    }
    if (rc != HTTP_LATER) {
        creation_free(c);
    }
    return rc;
}
