/* http_answer.c - from a received request to its answer: who runs the handler, and who wins when the handler, the
 * deadline and the stop of the server all want to answer. The rule of ownership is in http_impl.h. */
#include "shared/net/http_impl.h"
#include "shared/base/fault.h"
#include "shared/base/mem.h"

#include <string.h>

#include "shared/base/banned.h"

static int64_t age_us(const struct http_req *req)
{
    return clock_mono_us() - req->started_us;
}

static void account(struct http_req *req, int status)
{
    int64_t duration_us = age_us(req);
    http_count_request(status, duration_us);
    if (req->server->options.on_finished) {
        req->server->options.on_finished(req, req->route, status, duration_us);
    }
}

static int status_of(const struct xp_err *err)
{
    return xp_code_info(err->code)->http_status;
}

/* The daemon's wire form of an error. The status is set before, for on_error to look at or to change. */
static struct http_resp error_answer(const struct http_req *req, int status,
                                     const struct xp_err *err)
{
    struct http_resp resp = { .status = status };
    req->server->options.on_error(req, req->route, err, &resp);
    if (req->must_close) {
        http_resp_header(&resp, "Connection", "close");
    }
    http_reply_complete(req, &resp);
    return resp;
}

static int call_handler(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    const struct http_options *options = &req->server->options;
    int rc = options->on_request ? options->on_request(req, req->route, err) : 0;
    return rc == 0 ? req->route->handler(req, resp, err) : rc;
}

/* HTTP thread, connection not suspended. */
static void answer_now(struct http_req *req, const struct http_resp *take_answer)
{
    req->answer = *take_answer;
    req->is_answered = true;
    account(req, req->answer.status);
}

void http_refuse(struct http_req *req)
{
    struct http_resp answer =
        error_answer(req, req->allow ? 405 : status_of(&req->refusal), &req->refusal);
    answer_now(req, &answer);
}

bool http_answer_at_once(struct http_req *req)
{
    struct http_resp resp = { .status = 200 };
    struct xp_err err = { 0 };
    int rc = call_handler(req, &resp, &err);
    if (rc == HTTP_TO_WORKER) {
        http_resp_done(&resp);
        return false;
    }
    xp_check(rc <= 0);
    if (rc < 0) {
        http_resp_done(&resp);
        resp = error_answer(req, status_of(&err), &err);
    } else {
        http_reply_complete(req, &resp);
    }
    req->is_reply_lost = fault_hit(FAULT_http_reply_lost) != 0;
    answer_now(req, &resp);
    return true;
}

/* ---- one answer per request ---- */

static bool is_waiting(struct http_req *req)
{
    mutex_lock(&req->server->lock);
    bool waits = list_is_linked(&req->link);
    mutex_unlock(&req->server->lock);
    return waits;
}

/* The first one to come gets its answer sent; a later one is dropped. Takes the content of 'answer'. */
static void settle(struct http_req *req, struct http_resp *answer)
{
    struct http_server *server = req->server;
    bool is_lost = fault_hit(FAULT_http_reply_lost) != 0;
    int status = answer->status;
    mutex_lock(&server->lock);
    bool is_first = list_is_linked(&req->link);
    if (is_first) {
        list_remove(&req->link);
        req->answer = *answer;
        req->is_answered = true;
        req->is_reply_lost = is_lost;
        http_wire_resume(req);
    }
    mutex_unlock(&server->lock);
    if (is_first) {
        account(req, status);
    } else {
        http_resp_done(answer);
    }
}

static void settle_error(struct http_req *req, const struct xp_err *err)
{
    struct http_resp answer = error_answer(req, status_of(err), err);
    settle(req, &answer);
}

void http_req_finish(struct http_req *req, int rc, struct http_resp *resp, const struct xp_err *err)
{
    xp_check(rc <= 0);
    if (!req->server) {
        http_req_keep_result(req, rc, resp, err);
        return;
    }
    struct http_resp answer = { 0 };
    if (resp) {
        answer = *resp;
        *resp = (struct http_resp){ 0 };
    }
    if (!is_waiting(req)) { /* answered by the deadline or by the stop */
        http_resp_done(&answer);
    } else if (rc < 0) {
        struct xp_err why = { .code = rc };
        if (err && err->code == rc) {
            why = *err;
        }
        http_resp_done(&answer);
        settle_error(req, &why);
    } else {
        http_reply_complete(req, &answer);
        settle(req, &answer);
    }
    http_req_unref(req);
}

/* ---- running the handler ---- */

/* On the loop or on a worker. Consumes the handler's share. */
static void run_handler(struct http_req *req)
{
    struct http_resp resp = { .status = 200 };
    struct xp_err err = { 0 };
    int rc = 0;
    if (is_waiting(req)) { /* else the client was told "503": doing it now would make that a lie */
        rc = call_handler(req, &resp, &err);
        xp_check(rc != HTTP_TO_WORKER);
    }
    if (rc != HTTP_LATER) {
        http_req_finish(req, rc, &resp, &err);
    }
}

static void finish_unavailable(struct http_req *req, const char *why)
{
    struct xp_err err;
    http_req_finish(req, xp_fail(&err, XP_UNAVAILABLE, "%s", why), NULL, &err);
}

static void on_loop(struct loop_msg *msg)
{
    run_handler(CONTAINER_OF(msg, struct http_req, msg));
}

static void on_loop_gone(struct loop_msg *msg)
{
    finish_unavailable(CONTAINER_OF(msg, struct http_req, msg),
                       "the daemon is shutting down, try another one");
}

static void on_worker(struct job *job)
{
    run_handler(CONTAINER_OF(job, struct http_req, job));
}

static void on_worker_done(struct job *job)
{
    struct http_req *req = CONTAINER_OF(job, struct http_req, job);
    if (job->outcome != 0) { /* 'run' was not called: the handler's share is still here */
        finish_unavailable(req, job->outcome == XP_TIMEOUT
                                    ? "no worker was free in time, try again later"
                                    : "the daemon is shutting down, try another one");
    }
    http_req_unref(req);
}

static int to_worker(struct http_req *req, struct xp_err *err)
{
    req->job = (struct job){ .run = on_worker,
                             .done = on_worker_done,
                             .deadline = req->deadline,
                             .is_done_anywhere = true };
    (void)__atomic_add_fetch(&req->refs, 1, __ATOMIC_RELAXED); /* the job's share */
    int rc = worker_submit(req->server->options.pool, &req->job, err);
    if (rc) {
        http_req_unref(req);
    }
    return rc;
}

static int to_loop(struct http_req *req, struct xp_err *err)
{
    req->msg = (struct loop_msg){ .deliver = on_loop, .drop = on_loop_gone };
    return loop_post(req->server->options.loop, &req->msg, err);
}

void http_dispatch(struct http_req *req)
{
    struct http_server *server = req->server;
    (void)__atomic_add_fetch(&req->refs, 1, __ATOMIC_RELAXED); /* the handler's share */
    mutex_lock(&server->lock);
    list_push_back(&server->waiting, &req->link);
    mutex_unlock(&server->lock);
    /* Only now: the stop either finds the request in the list, or is seen here. */
    if (__atomic_load_n(&server->stopping, __ATOMIC_SEQ_CST)) {
        finish_unavailable(req, "the daemon is shutting down, try another one");
        return;
    }
    int rc = req->route->where == HTTP_ON_LOOP ? to_loop(req, NULL) : to_worker(req, NULL);
    if (rc) {
        finish_unavailable(req, "too many requests are waiting, try again later");
    }
}

/* ---- deadline and stop ---- */

void http_req_extend(struct http_req *req, int64_t timeout_ms)
{
    if (req->server) {
        mutex_lock(&req->server->lock);
        req->deadline = clock_mono_ms() + timeout_ms;
        mutex_unlock(&req->server->lock);
    }
}

/* Takes a share of every request that is due, so that answering needs no lock. Returns owned (free). */
static struct http_req **collect_due(struct http_server *server, mono_ms now, size_t *ret_count)
{
    size_t count = 0;
    mutex_lock(&server->lock);
    list_for_each (it, &server->waiting) {
        count += LIST_ENTRY(it, struct http_req, link)->deadline <= now;
    }
    struct http_req **due = xcalloc(count, sizeof(*due));
    size_t at = 0;
    list_for_each (it, &server->waiting) {
        struct http_req *req = LIST_ENTRY(it, struct http_req, link);
        if (req->deadline <= now) {
            (void)__atomic_add_fetch(&req->refs, 1, __ATOMIC_RELAXED);
            due[at++] = req;
        }
    }
    mutex_unlock(&server->lock);
    *ret_count = count;
    return due;
}

void http_expire_waiting(struct http_server *server, mono_ms now, const char *why)
{
    size_t count;
    AUTO_FREE struct http_req **due = collect_due(server, now, &count);
    struct xp_err err;
    (void)xp_fail(&err, XP_UNAVAILABLE, "%s", why);
    for (size_t i = 0; i < count; i++) {
        settle_error(due[i], &err);
        http_req_unref(due[i]);
    }
}
