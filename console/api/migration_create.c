/* migration_create.c - see migration_create.h.
 *
 * Without a plan (no dry run, no planHash) everything happens in the handler. With one:
 *   worker: who would be accepted, what the metadata say ─► loop: surveys ─► worker: plans, hash ─► the answer, or the event */
#include "console/api/migration_create.h"

#include <stdio.h>
#include <string.h>

#include "console/api/idempotency.h"
#include "console/api/migration_asks.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

#define PLAN_TEXT_MAX   (64u << 20)
#define DIFFERENCES_MAX 4096

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
    TEXT_FIELD("planHash", struct create_body, plan_hash),
    TRI_FIELD("dryRun", struct create_body, dry_run),
    TRI_FIELD("dry_run", struct create_body, dry_run_too),
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
    struct event_result would;        /* be accepted */
    struct switch_plan_facts **facts; /* of each item of 'would'; NULL: not accepted */
    struct switch_plan_facts **asked; /* those that are there */
    size_t asked_count;
    struct switch_plan **plans; /* of each item of 'would' */
    char hash[PLAN_HASH_SIZE];
    char *refusal; /* it does not hold any more: what differs */
};

static void creation_free(struct creation *c)
{
    for (size_t i = 0; i < c->would.count; i++) {
        switch_plan_facts_free(c->facts ? c->facts[i] : NULL);
        switch_plan_free(c->plans ? c->plans[i] : NULL);
    }
    free(c->facts);
    free(c->asked);
    free(c->plans);
    event_result_done(&c->would);
    jd_done(create_fields, &c->body);
    json_decref(c->answer);
    free(c->location);
    free(c->refusal);
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
        if (c->is_dry_run && c->plans) {
            const struct switch_plan *plan = c->plans[i];
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
    if (c->hash[0]) {
        json_object_set_new(json, "planHash", json_string(c->hash));
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

static int verify_plans(const struct creation *c, struct db *db, struct xp_err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < c->asked_count; i++) {
        rc = plan_facts_verify(db, c->asked[i], err);
    }
    return rc;
}

/* In the transaction that made the event. */
static int on_made(const struct change *change, const struct event_result *result, void *arg,
                   struct xp_err *err)
{
    struct creation *c = arg;
    int rc = verify_plans(c, change->db, err);
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

static void decide_all(struct creation *c)
{
    struct str text AUTO_STR = STR_INIT(PLAN_TEXT_MAX);
    c->plans = xcalloc(c->would.count + 1, sizeof(struct switch_plan *));
    str_printf(&text, "policy %s\n", migration_policy_text(c->request.policy));
    for (size_t i = 0; i < c->would.count; i++) {
        const struct event_cluster_result *item = &c->would.items[i];
        if (!c->facts[i]) {
            str_printf(&text, "cluster %s is not accepted: %s\n", item->cluster,
                       fail_reason_text(item->reason));
            continue;
        }
        c->plans[i] = api_context(c->req)->plans.decide(c->facts[i]);
        AUTO_FREE char *canonical = switch_plan_canonical(c->facts[i], c->plans[i]);
        str_puts(&text, canonical);
    }
    switch_plan_hash(str_text(&text), c->hash);
    if (c->is_dry_run) {
        plan_maker_remember(api_context(c->req)->plans.maker, c->hash, str_text(&text));
    } else if (!text_eq(c->hash, c->body.plan_hash)) {
        AUTO_FREE char *before =
            plan_maker_recall(api_context(c->req)->plans.maker, c->body.plan_hash);
        struct str why = STR_INIT(DIFFERENCES_MAX);
        str_puts(&why, "planHash: the plan does not hold any more: ");
        if (before) {
            switch_plan_differences(before, str_text(&text), &why);
        } else {
            str_puts(&why,
                     "what differs is not known, the plan of then is not kept (any more); ask "
                     "for a dry run");
        }
        c->refusal = str_take(&why);
    }
}

static int finish_planned(struct creation *c, struct http_resp *resp, struct xp_err *err)
{
    decide_all(c);
    if (c->is_dry_run) {
        http_resp_json(resp, answer_json(c, &c->would, c->would.idx));
        return 0;
    }
    if (c->refusal) {
        envelope_problem(c->req, resp,
                         &(struct problem){ .code = XP_CONFLICT,
                                            .detail = c->refusal,
                                            .key = "planHash",
                                            .take_value = json_string(c->hash) });
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
    if (worker_submit(api_context(c->req)->pool, &c->job, NULL) < 0) {
        c->job.outcome = XP_UNAVAILABLE;
        planned_done(&c->job);
    }
}

static int read_facts(struct creation *c, const struct plan_settings *settings, int64_t *ret_shards,
                      struct xp_err *err)
{
    int rc = 0;
    c->facts = xcalloc(c->would.count + 1, sizeof(struct switch_plan_facts *));
    c->asked = xcalloc(c->would.count + 1, sizeof(struct switch_plan_facts *));
    for (size_t i = 0; rc == 0 && *ret_shards <= settings->shards_max && i < c->would.count; i++) {
        const struct event_cluster_result *item = &c->would.items[i];
        if (item->reason != FAIL_NONE) {
            continue;
        }
        rc = plan_facts_read(api_catalog(c->req), item->cluster, item->from_dc, item->to_dc,
                             settings, &c->facts[i], err);
        if (rc == 0) {
            c->facts[i]->mode = c->request.mode;
            c->asked[c->asked_count++] = c->facts[i];
            *ret_shards += (int64_t)c->facts[i]->shard_count;
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
    int64_t shards = 0;
    request.is_dry_run = true;
    int rc = migration_event_create(api_catalog(c->req), &ctx, &request, &c->would, err);
    if (rc == 0 && !has_accepted(&c->would)) {
        answer_nobody(c, &c->would, resp);
        return 0;
    }
    rc = rc != 0 ? rc : read_facts(c, &settings, &shards, err);
    if (rc == 0 && shards > settings.shards_max) {
        return too_many(c, &settings, resp, err);
    }
    if (rc == 0) {
        rc = plan_maker_survey(plans, c->asked, c->asked_count, on_surveyed, c, err);
    }
    return rc == 0 ? HTTP_LATER : rc;
}

/* ---- the request ---- */

static int check_hash(const struct creation *c, struct xp_err *err)
{
    const char *hash = c->body.plan_hash;
    if (!hash) {
        return 0;
    }
    if (!text_has_prefix(hash, "sha256:") || strlen(hash) != PLAN_HASH_SIZE - 1) {
        return xp_fail(err, XP_INVALID, "planHash: it is no hash of a plan, \"sha256:...\"");
    }
    return api_context(c->req)->plans.maker
               ? 0
               : xp_fail(err, XP_UNAVAILABLE, "planHash: this console makes no plans");
}

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
    return rc == 0 ? check_hash(c, err) : rc;
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
