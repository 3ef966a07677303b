/* migration_process.c - see migration_process.h.
 *
 *   worker: rows, metadata ─► loop: surveys ─► worker: plans, hash, the same rows still? ─► the answer, or the asks */
#include "console/api/migration_process.h"

#include "console/api/migration_plans.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

struct processing { /* one request; owner: who works on it */
    struct job job;
    struct http_req *req;
    struct migration_asks *asks; /* owned until they are run */
    struct process_request request;
    char *plan_hash;
    enum migration_policy policy;
    struct migration_plans plans; /* borrow texts from 'asks' */
};

static void processing_free(struct processing *p)
{
    migration_plans_done(&p->plans);
    migration_asks_free(p->asks);
    free(p->plan_hash);
    free(p);
}

/* ---- the answer of a dry run ---- */

static const struct migration_asked *asked_of(const struct processing *p, const char *cluster)
{
    size_t i = 0;
    while (!text_eq(p->asks->items[i].cluster, cluster)) {
        i++; /* the plans are made of the asks */
    }
    return &p->asks->items[i];
}

static json_t *clusters_json(const struct processing *p)
{
    json_t *list = json_array();
    for (size_t i = 0; i < p->plans.count; i++) {
        const struct planned_cluster *item = &p->plans.items[i];
        const struct migration_asked *asked = asked_of(p, item->cluster);
        (void)json_array_append_new(
            list, json_pack("{s:o, s:b, s:o, s:o, s:o, s:o}", "cluster", jd_text(item->cluster),
                            "accepted", item->plan != NULL, "from", jd_text(asked->from_dc), "to",
                            jd_text(asked->to_dc), "detail",
                            item->refusal ? jd_text(item->refusal) : json_null(), "plan",
                            item->plan ? switch_plan_json(item->plan, p->request.has_steps)
                                       : json_null()));
    }
    return list;
}

static void answer_plan(const struct processing *p, struct http_resp *resp)
{
    http_resp_json(resp, json_pack("{s:I, s:s, s:b, s:s, s:o}", "id", (json_int_t)p->asks->event_id,
                                   "action", p->asks->word, "dryRun", true, "planHash",
                                   p->plans.hash, "clusters", clusters_json(p)));
}

/* ---- behind the survey ---- */

static int verify(struct db *db, void *arg, struct xp_err *err)
{
    return migration_plans_verify(arg, db, err);
}

/* HTTP_LATER: the asks are under way. */
static int go_on(struct processing *p, struct http_resp *resp, struct xp_err *err)
{
    int rc = migration_plans_decide(p->req, &p->plans, p->policy,
                                    p->request.is_dry_run ? NULL : p->plan_hash, err);
    if (rc != 0) {
        return rc;
    }
    if (p->request.is_dry_run) {
        answer_plan(p, resp);
        return 0;
    }
    if (p->plans.refusal) {
        migration_plans_refuse(p->req, &p->plans, resp);
        return 0;
    }
    rc = store_read(api_catalog(p->req)->store, verify, &p->plans, err);
    if (rc != 0) {
        return rc;
    }
    p->request.narrow(p->asks);
    return migration_asks_run(p->req, TAKE(p->asks), p->request.render);
}

static void run_processing(struct job *job)
{
    struct processing *p = CONTAINER_OF(job, struct processing, job);
    struct http_resp resp = { .status = 200 };
    struct xp_err err = { 0 };
    int rc = go_on(p, &resp, &err);
    if (rc != HTTP_LATER) {
        http_req_finish(p->req, rc, &resp, &err);
    }
}

static void processing_done(struct job *job)
{
    struct processing *p = CONTAINER_OF(job, struct processing, job);
    if (job->outcome != 0) {
        struct http_resp resp = { .status = 200 };
        struct xp_err err = { 0 };
        int rc = xp_fail(&err, XP_UNAVAILABLE, "the console is shutting down, or too busy");
        http_req_finish(p->req, rc, &resp, &err);
    }
    processing_free(p);
}

/* On the loop: every DC has answered, or will not. */
static void on_surveyed(void *arg)
{
    struct processing *p = arg;
    p->job =
        (struct job){ .run = run_processing, .done = processing_done, .deadline = MONO_FOREVER };
    if (api_submit(p->req, &p->job, NULL) < 0) {
        p->job.outcome = XP_UNAVAILABLE;
        processing_done(&p->job);
    }
}

/* ---- the request ---- */

/* The engine gives the ask to whatever waits by then: all of it must have a plan. */
static bool asks_the_event(const struct processing *p)
{
    return p->request.is_whole && !p->request.is_dry_run && p->asks->count > 1;
}

/* 0: it has a plan, or the item says why it has none. */
static int read_one(struct processing *p, struct migration_asked *asked,
                    const struct plan_settings *settings, struct xp_err *err)
{
    struct switch_plan_facts *facts = NULL;
    bool is_over = false;
    if (asked->rc == 0) {
        asked->rc = plan_facts_read_row(api_catalog(p->req), asked->migration_cluster_id, settings,
                                        &facts, &is_over, &asked->err);
    }
    if (is_over && p->request.is_whole) {
        return 0;
    }
    struct planned_cluster *item = migration_plans_add(&p->plans, asked->cluster);
    if (facts) {
        p->policy = facts->policy;
        migration_plans_ask(&p->plans, item, facts);
    }
    item->refusal = asked->rc != 0 ? asked->err.msg : NULL;
    bool is_ours = asked->rc == 0 || asked->rc == XP_CONFLICT || asked->rc == XP_NOT_FOUND;
    if (asked->rc != 0 && is_ours && asks_the_event(p)) {
        return xp_fail(err, XP_CONFLICT,
                       "planHash: not all of the event has a plan: %.256s; name the clusters that "
                       "shall go on as planned",
                       asked->err.msg);
    }
    return is_ours ? 0 : xp_fail(err, asked->rc, "%s", asked->err.msg);
}

static int read_all(struct processing *p, const struct plan_settings *settings, struct xp_err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < p->asks->count; i++) {
        rc = read_one(p, &p->asks->items[i], settings, err);
        if (rc == 0 && p->plans.shards > settings->shards_max) {
            rc = xp_fail(err, XP_TOO_LARGE,
                         "a plan of more than %lld shards (console.migration.plan.shards.max)",
                         (long long)settings->shards_max);
        }
    }
    const struct migration_asked *only = p->asks->count == 1 ? &p->asks->items[0] : NULL;
    if (rc == 0 && only && only->rc != 0) {
        *err = only->err;
        return only->rc;
    }
    if (rc == 0 && p->plans.asked_count == 0) {
        const char *why = p->plans.count > 0 ? p->plans.items[0].refusal : NULL;
        rc = xp_fail(err, XP_CONFLICT, "there is nothing to process: %s",
                     why ? why : "all of it is over");
    }
    return rc;
}

int migration_process_planned(struct http_req *req, struct migration_asks *asks,
                              const struct process_request *request, struct xp_err *err)
{
    struct plan_maker *maker = api_context(req)->plans.maker;
    struct processing *p = xcalloc(1, sizeof(*p));
    *p =
        (struct processing){ .req = req,
                             .asks = asks,
                             .request = *request,
                             .plan_hash = request->plan_hash ? xstrdup(request->plan_hash) : NULL };
    int rc = migration_plans_check_hash(req, p->plan_hash, err);
    if (rc == 0 && !maker) {
        rc = xp_fail(err, XP_UNAVAILABLE, "dryRun: this console makes no plans");
    }
    if (rc == 0) {
        struct plan_settings settings = plan_maker_settings(maker);
        rc = read_all(p, &settings, err);
    }
    if (rc == 0) {
        rc = plan_maker_survey(maker, p->plans.asked, p->plans.asked_count, on_surveyed, p, err);
    }
    if (rc != 0) {
        processing_free(p);
        return rc;
    }
    return HTTP_LATER;
}
