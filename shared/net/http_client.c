/* http_client.c - see http_client.h: calls with their retries, and calls from the loop. One attempt is http_attempt.c. */
#include "shared/net/http_client.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/base/thread.h"
#include "shared/net/http_attempt.h"

#include <string.h>

#include "shared/base/banned.h"

static bool is_method(const struct http_call *call, const char *method)
{
    return strcmp(call->method, method) == 0;
}

/* ---- a call with its retries ---- */

static bool may_retry(const struct http_call *call, int rc, const struct http_reply *reply)
{
    bool is_repeatable =
        is_method(call, "GET") || is_method(call, "PUT") || is_method(call, "DELETE");
    return is_repeatable && (rc == XP_IO || (rc == 0 && reply->status == 502));
}

static int check_call(const struct http_call *call, struct xp_err *err)
{
    if (!call->method || !call->url || call->connect_timeout_ms <= 0 || call->timeout_ms <= 0 ||
        call->max_reply_bytes == 0) {
        return xp_fail(err, XP_INVALID,
                       "http call: method, url, both time-outs and max_reply_bytes are required");
    }
    for (size_t i = 0; i < ARRAY_LEN(call->headers) && call->headers[i]; i++) {
        if (strpbrk(call->headers[i], "\r\n")) {
            return xp_fail(err, XP_INVALID, "http call %s: header %zu contains a line break",
                           call->url, i);
        }
    }
    return 0;
}

int http_call(const struct http_call *call, struct http_reply *ret_reply, struct xp_err *err)
{
    xp_check(thread_role() != THREAD_LOOP && thread_role() != THREAD_HTTP);
    int rc = check_call(call, err);
    if (rc) {
        return rc;
    }
    mono_ms deadline = clock_mono_ms() + call->timeout_ms;
    bool was_sent = false;
    for (int retries_left = call->retries;; retries_left--) {
        struct http_reply reply = { 0 };
        struct xp_err why = { 0 };
        int64_t left_ms = deadline - clock_mono_ms();
        rc = http_attempt(call, left_ms > 0 ? left_ms : 1, &reply, &why);
        was_sent = was_sent || reply.was_sent;
        bool has_time = clock_mono_ms() + call->retry_delay_ms < deadline;
        if (retries_left <= 0 || !has_time || !may_retry(call, rc, &reply)) {
            if (rc == 0) {
                *ret_reply = reply;
            } else if (err) {
                *err = why;
            }
            ret_reply->was_sent = was_sent;
            return rc;
        }
        http_reply_done(&reply);
        http_pause(call->retry_delay_ms);
    }
}

void http_reply_done(struct http_reply *reply)
{
    free(reply->body);
    free(reply->etag);
    free(reply->header);
    *reply = (struct http_reply){ 0 };
}

/* ---- calls from the loop ---- */

struct http_client {
    struct worker_pool *pool;
};

struct sent { /* one http_send; owner: the pool until 'done', then the loop */
    struct job job;
    struct http_call call; /* its texts are owned */
    http_done_fn *done;
    void *arg;
    uint64_t token;
    int rc;
    struct http_reply reply;
    struct xp_err err;
};

struct http_client *http_client_new(struct loop *loop, int threads, int queue_max)
{
    http_attempt_init();
    struct http_client *client = xcalloc(1, sizeof(*client));
    client->pool = worker_pool_new(loop, "httpc", threads, queue_max, NULL, NULL, NULL);
    return client;
}

void http_client_free(struct http_client *client)
{
    if (client) {
        worker_pool_free(client->pool);
        free(client);
    }
}

static void free_owned(const char *text)
{
    free((void *)(uintptr_t)text); /* a copy that copy_call made */
}

static void free_sent(struct sent *s)
{
    free_owned(s->call.method);
    free_owned(s->call.url);
    free_owned(s->call.body);
    for (size_t i = 0; i < ARRAY_LEN(s->call.headers); i++) {
        free_owned(s->call.headers[i]);
    }
    http_reply_done(&s->reply);
    free(s);
}

static void copy_call(const struct http_call *from, struct http_call *to)
{
    *to = *from;
    to->method = xstrdup(from->method);
    to->url = xstrdup(from->url);
    to->body = from->body ? xmemdup(from->body, from->body_length) : NULL;
    for (size_t i = 0; i < ARRAY_LEN(from->headers); i++) {
        to->headers[i] = i == 0 || to->headers[i - 1] ? xstrdup(from->headers[i]) : NULL;
    }
}

static void run_sent(struct job *job)
{
    struct sent *s = CONTAINER_OF(job, struct sent, job);
    s->rc = http_call(&s->call, &s->reply, &s->err);
}

static void sent_done(struct job *job)
{
    struct sent *s = CONTAINER_OF(job, struct sent, job);
    if (job->outcome != 0) {
        s->rc = xp_fail(&s->err, XP_UNAVAILABLE, "%s %s: not sent, %s", s->call.method, s->call.url,
                        job->outcome == XP_TIMEOUT ? "no thread was free in time"
                                                   : "the daemon is shutting down");
    }
    s->done(s->rc, &s->reply, &s->err, s->arg, s->token);
    free_sent(s);
}

int http_send(struct http_client *client, const struct http_call *call, http_done_fn *done,
              void *arg, uint64_t token, struct xp_err *err)
{
    XP_ON_LOOP();
    int rc = check_call(call, err);
    if (rc) {
        return rc;
    }
    struct sent *s = xcalloc(1, sizeof(*s));
    copy_call(call, &s->call);
    s->job = (struct job){ .run = run_sent,
                           .done = sent_done,
                           .deadline = clock_mono_ms() + call->timeout_ms };
    s->done = done;
    s->arg = arg;
    s->token = token;
    if (worker_submit(client->pool, &s->job, NULL)) {
        free_sent(s);
        return xp_fail(err, XP_TOO_MANY, "%s %s: too many calls wait already", call->method,
                       call->url);
    }
    return 0;
}
