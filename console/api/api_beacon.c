/* api_beacon.c - a monitor asks for a switch, or for DCs out of client routing, and is answered when that is over (dr-switchover.md 5.4).
 *
 * A worker reads the facts, decides (beacon_decide.h), and makes the event; the engine is asked, migration_wait waits: no thread is held. Answers are
 * {"code":0|1|-1,"msg":TEXT,"success":bool}; what is not over after migration.timeout.milli is answered 503, and goes on. */
#include <string.h>

#include "console/api/migration_asks.h"
#include "console/api/tables.h"
#include "console/migration/beacon_facts.h"
#include "console/migration/bi_tell.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/metrics.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

#define OPERATOR_NAME "Beacon"
enum { DECISIONS_MAX = 3, SLACK_MS = 1000 };

static struct metric answers[] = {
    METRIC_COUNTER_INIT("xpipe_beacon_answers_total", "code=\"0\"", "Answers to a monitor"),
    METRIC_COUNTER_INIT("xpipe_beacon_answers_total", "code=\"1\"", "Answers to a monitor"),
    METRIC_COUNTER_INIT("xpipe_beacon_answers_total", "code=\"-1\"", "Answers to a monitor"),
};

/* ---- answers ---- */

static void write_answer(const char *cluster, const struct beacon_verdict *v,
                         struct http_resp *resp)
{
    size_t at = v->code == BEACON_DONE ? 0 : v->code == BEACON_FAILED ? 1 : 2;
    metric_add(&answers[at], 1);
    log_info("beacon.answered", "cluster", cluster, "rule", v->rule, "why", v->why, "code",
             log_int(v->code), "msg", v->msg);
    http_resp_json(resp, json_pack("{s:i, s:o, s:b}", "code", v->code, "msg", jd_text(v->msg),
                                   "success", v->code == BEACON_DONE));
}

static struct beacon_verdict failed(const char *rule, const char *why, const char *msg)
{
    struct beacon_verdict v = { .rule = rule, .why = why, .code = BEACON_FAILED };
    (void)snprintf(v.msg, sizeof(v.msg), "%s", msg);
    return v;
}

/* ---- a switch ---- */

struct asking { /* owner: the worker, then the loop */
    struct http_req *req;
    char *cluster;
    int64_t event_id;
    int64_t id;
    mono_ms deadline;
};

static void finish(struct asking *a, int rc, const struct beacon_verdict *v,
                   const struct xp_err *err)
{
    struct http_resp resp = { .status = 200 };
    if (rc == 0) {
        write_answer(a->cluster, v, &resp);
    }
    migration_waits_leave(api_context(a->req)->migration.waits);
    http_req_finish(a->req, rc, &resp, err);
    free(a->cluster);
    free(a);
}

static void on_rest(int rc, enum migration_status status, void *arg)
{
    struct asking *a = arg;
    struct beacon_verdict v = { 0 };
    struct xp_err err = { 0 };
    if (rc == XP_TIMEOUT) {
        rc = xp_fail(&err, XP_UNAVAILABLE,
                     "the migration of cluster %.100s goes on, event %lld: ask again later",
                     a->cluster, (long long)a->event_id);
    } else if (rc == XP_NOT_FOUND) {
        rc = 0;
        v = failed("B78", "its row is gone", "the migration is not there any more");
    } else if (rc != 0) {
        rc = xp_fail(&err, XP_UNAVAILABLE, "the console is shutting down, try again");
    } else {
        beacon_at_rest(a->cluster, status, &v);
    }
    finish(a, rc, &v, &err);
}

static void on_asked(int rc, const struct xp_err *err, void *arg)
{
    struct asking *a = arg;
    const struct migration_port *port = &api_context(a->req)->migration;
    if (rc < 0) {
        struct beacon_verdict v = failed("B76", "the engine refuses", err->msg);
        finish(a, 0, &v, NULL);
        return;
    }
    port->wait(port->waits, a->id, a->deadline, on_rest, a);
}

/* Returns HTTP_LATER; takes the place behind the door. */
static int go_on(struct http_req *req, const char *cluster, int64_t event_id, int64_t id,
                 mono_ms deadline)
{
    const struct migration_port *port = &api_context(req)->migration;
    struct asking *a = xcalloc(1, sizeof(*a));
    *a = (struct asking){ .req = req,
                          .cluster = xstrdup(cluster),
                          .event_id = event_id,
                          .id = id,
                          .deadline = deadline };
    port->ask(port->engine, event_id, id, ASK_PROCESS, http_req_peer(req), on_asked, a);
    return HTTP_LATER;
}

/* ---- a DC out of client routing ---- */

struct excluding { /* worker, loop, worker */
    struct loop_msg msg;
    struct job job;
    struct http_req *req;
    char *cluster;
    struct bi_exclusions exclusions;
};

/* Its request is answered, and gone perhaps. */
static void excluding_free(struct excluding *x)
{
    bi_exclusions_done(&x->exclusions);
    free(x->cluster);
    free(x);
}

static void answer_exclusion(struct excluding *x, int rc, struct http_resp *resp,
                             const struct xp_err *err)
{
    migration_waits_leave(api_context(x->req)->migration.waits);
    http_req_finish(x->req, rc, resp, err);
}

/* On a worker: the record, then the answer. */
static void record_exclusion(struct excluding *x)
{
    struct http_resp resp = { .status = 200 };
    struct xp_err err = { 0 };
    bool is_told = true;
    for (size_t i = 0; i < x->exclusions.count; i++) {
        is_told = is_told && x->exclusions.items[i].is_told;
    }
    int rc = bi_exclusions_end(api_catalog(x->req), &x->exclusions, &err);
    struct beacon_verdict v = {
        .rule = "B22", .why = "told", .code = BEACON_DONE, .msg = "success"
    };
    if (rc != 0) {
        v = failed("B22", "not recorded", err.msg);
    } else if (!is_told) {
        v = failed("B22", "the routing platform was not told", "credis fail");
    }
    write_answer(x->cluster, &v, &resp);
    answer_exclusion(x, 0, &resp, &err);
}

static void run_record(struct job *job)
{
    record_exclusion(CONTAINER_OF(job, struct excluding, job));
}

static void recorded(struct job *job)
{
    struct excluding *x = CONTAINER_OF(job, struct excluding, job);
    if (job->outcome != 0) { /* the record stays at Fail */
        struct xp_err err = { 0 };
        int rc = xp_fail(&err, XP_UNAVAILABLE, "the console is shutting down, try again");
        answer_exclusion(x, rc, NULL, &err);
    }
    excluding_free(x);
}

static void told(void *arg)
{
    struct excluding *x = arg;
    x->job = (struct job){ .run = run_record, .done = recorded, .deadline = MONO_FOREVER };
    if (api_submit(x->req, &x->job, NULL) < 0) {
        x->job.outcome = XP_UNAVAILABLE;
        recorded(&x->job);
    }
}

static void tell(struct loop_msg *msg)
{
    struct excluding *x = CONTAINER_OF(msg, struct excluding, msg);
    const struct api_context *c = api_context(x->req);
    bi_tell(c->outer, c->bi_asker, &x->exclusions, told, x);
}

static void tell_nobody(struct loop_msg *msg)
{
    struct excluding *x = CONTAINER_OF(msg, struct excluding, msg);
    x->job.outcome = XP_UNAVAILABLE;
    recorded(&x->job);
}

/* Returns HTTP_LATER, having taken the place behind the door; or an error. */
static int exclude(struct http_req *req, const char *cluster, const struct beacon_verdict *v,
                   struct xp_err *err)
{
    struct change_ctx ctx = api_change(req);
    const struct api_context *c = api_context(req);
    struct bi_request request = { .clusters = &cluster,
                                  .cluster_count = 1,
                                  .dcs = v->dcs,
                                  .dc_count = v->dc_count,
                                  .operator_name = OPERATOR_NAME };
    struct bi_exclusions exclusions;
    int rc = bi_exclusions_begin(api_catalog(req), &ctx, &request, &exclusions, err);
    if (rc != 0) {
        return rc;
    }
    struct excluding *x = xcalloc(1, sizeof(*x));
    *x = (struct excluding){ .req = req, .cluster = xstrdup(cluster), .exclusions = exclusions };
    x->msg = (struct loop_msg){ .deliver = tell, .drop = tell_nobody };
    if (!c->outer || exclusions.count == 0) { /* whoever polls excludedDcs sees it */
        for (size_t i = 0; i < exclusions.count; i++) {
            exclusions.items[i].is_told = true;
        }
        record_exclusion(x);
        excluding_free(x);
    } else if (loop_post(daemon_loop(c->daemon), &x->msg, err) != 0) {
        tell_nobody(&x->msg);
    }
    return HTTP_LATER;
}

/* ---- the request ---- */

enum { DECIDE_AGAIN = 16 }; /* neither HTTP_LATER nor an error: the facts have changed meanwhile */

struct serving {
    struct http_req *req;
    struct beacon_request *request;
    struct beacon_world *world;
    struct beacon_verdict verdict;
    mono_ms deadline;
    bool is_too_late; /* an event was to be made, and the active DC was another one */
};

/* 0: go on with *ret_event_id; or DECIDE_AGAIN. */
static int create(struct serving *s, int64_t *ret_event_id, struct xp_err *err)
{
    const char *cluster = s->world->cluster;
    struct change_ctx ctx = api_change(s->req);
    struct event_result result;
    struct event_request request = { .from_dc = s->world->active,
                                     .to_dc = s->verdict.to,
                                     .clusters = &cluster,
                                     .count = 1,
                                     .operator_name = OPERATOR_NAME,
                                     .tag = OPERATOR_NAME };
    int rc = migration_read_words(s->request->mode, NULL, &request.mode, &request.policy, err);
    if (rc == 0 && text_is_empty(s->request->mode)) {
        request.mode = s->verdict.mode;
    }
    if (rc == 0 && clock_mono_ms() >= s->deadline) {
        return xp_fail(err, XP_TIMEOUT, "timeout"); /* nothing was begun */
    }
    if (rc == 0) {
        rc = migration_event_create(api_catalog(s->req), &ctx, &request, &result, err);
    }
    if (rc != 0) {
        return rc;
    }
    const struct event_cluster_result *item = &result.items[0];
    s->is_too_late = item->reason == FAIL_ALREADY_NOT_REQUESTED;
    if (result.event_id > 0) {
        *ret_event_id = result.event_id;
        migration_tell(s->req);
    } else if (s->is_too_late || item->reason == FAIL_ALREADY_MIGRATING) {
        rc = DECIDE_AGAIN;
    } else {
        rc = xp_fail(err, XP_CONFLICT, "%.200s", item->msg ? item->msg : "no event could be made");
    }
    event_result_done(&result);
    return rc;
}

static int migrate(struct serving *s, struct xp_err *err)
{
    const struct beacon_running *running = &s->world->facts.running;
    int64_t event_id = running->event_id;
    int64_t id = running->id;
    int rc = 0;
    if (!api_context(s->req)->migration.engine) {
        return xp_fail(err, XP_UNAVAILABLE, "this console does not run migrations");
    }
    if (s->verdict.action == BEACON_CREATE) {
        rc = create(s, &event_id, err);
        if (rc == 0) {
            rc = migration_find(api_catalog(s->req), event_id, 0, s->world->cluster, &id, err);
        }
    }
    return rc == 0 ? go_on(s->req, s->world->cluster, event_id, id, s->deadline) : rc;
}

/* Returns 0 with an answer, HTTP_LATER, DECIDE_AGAIN, or an error. */
static int serve_once(struct serving *s, struct http_resp *resp, struct xp_err *err)
{
    beacon_decide(&s->world->facts, &s->verdict);
    if (s->is_too_late) {
        beacon_just_finished(s->world->cluster, s->world->active, &s->verdict);
    }
    switch (s->verdict.action) {
    case BEACON_ANSWER:
        if (s->world->facts.is_locked && s->verdict.code == BEACON_FAILED) {
            log_error("beacon.unexpected", "cluster", s->world->cluster, "why", s->verdict.msg);
        }
        write_answer(s->world->cluster, &s->verdict, resp);
        return 0;
    case BEACON_EXCLUDE:
        return exclude(s->req, s->world->cluster, &s->verdict, err);
    case BEACON_CREATE:
    case BEACON_CONTINUE:
        return migrate(s, err);
    }
    return 0;
}

static int serve(struct serving *s, bool is_bi, struct http_resp *resp, struct xp_err *err)
{
    AUTO_FREE char *unhealthy = NULL;
    int rc = migration_system_check(s->req, &unhealthy, err);
    for (int i = 0; i < DECISIONS_MAX && (rc == 0 || rc == DECIDE_AGAIN); i++) {
        rc = beacon_world_read(api_catalog(s->req), s->request, is_bi, unhealthy, s->world, err);
        if (rc != 0) {
            break;
        }
        rc = serve_once(s, resp, err);
        beacon_world_done(s->world);
        if (rc != DECIDE_AGAIN) {
            return rc;
        }
    }
    return rc == DECIDE_AGAIN
               ? xp_fail(err, XP_CONFLICT, "the cluster changes too often, try again")
               : rc;
}

static int serve_inside(struct http_req *req, struct beacon_request *request, bool is_bi,
                        struct http_resp *resp, struct xp_err *err)
{
    const struct migration_port *port = &api_context(req)->migration;
    AUTO_FREE struct beacon_world *world = xcalloc(1, sizeof(*world));
    int64_t timeout_ms = __atomic_load_n(&api_context(req)->migration_timeout_ms, __ATOMIC_RELAXED);
    struct serving s = {
        .req = req, .request = request, .world = world, .deadline = clock_mono_ms() + timeout_ms
    };
    http_req_extend(req, timeout_ms + SLACK_MS);
    int rc = serve(&s, is_bi, resp, err);
    if (rc == HTTP_LATER) {
        return rc;
    }
    migration_waits_leave(port->waits);
    if (rc < 0) { /* the caller may try again */
        struct beacon_verdict v = failed("B80", "an error", err->msg);
        write_answer(request->cluster, &v, resp);
    }
    return 0;
}

static int receive(struct http_req *req, bool is_bi, struct http_resp *resp, struct xp_err *err)
{
    const struct migration_port *port = &api_context(req)->migration;
    struct beacon_request request = { 0 };
    enum migration_mode mode;
    enum migration_policy policy;
    int rc = 0;
    if (!api_body_object(req, resp, beacon_request_fields, &request)) {
        beacon_request_done(&request);
        return 0;
    }
    rc = migration_read_words(request.mode, NULL, &mode, &policy, err);
    if (rc == 0 && !migration_waits_enter(port->waits)) {
        struct beacon_verdict v =
            failed("B82", "the queue is full", "too many migrations of monitors are under way");
        v.code = BEACON_SKIP;
        write_answer(request.cluster, &v, resp);
    } else if (rc == 0) {
        rc = serve_inside(req, &request, is_bi, resp, err);
    }
    beacon_request_done(&request);
    return rc;
}

static int post_sync(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    return receive(req, false, resp, err);
}

static int post_bi_sync(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    return receive(req, true, resp, err);
}

/* clang-format off */
const struct http_route api_beacon_routes[] = {
    { "POST", "/api/beacon/migration/sync", post_sync, HTTP_ON_WORKER, API_LIST_BYTES, "write", "a monitor: switch the cluster away from where it is down, and answer when that is over" },
    { "POST", "/api/beacon/migration/bi/sync", post_bi_sync, HTTP_ON_WORKER, API_LIST_BYTES, "write", "a monitor: take the DCs that are down out of client routing" },
    API_END,
};
/* clang-format on */
