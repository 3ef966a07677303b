/* http_client.h - calls to other daemons: libcurl easy handles on worker threads.
 *
 * http_call blocks (worker thread); http_send runs it on the client's own pool and answers on the loop.
 * Only http and https, no redirects, no proxies from the environment, no signals. A request that changes something
 * (not GET or HEAD) uses a fresh connection, because libcurl silently repeats a POST on a dead reused one; GETs, and what
 * its sender says may come twice, keep connections. Retries: 'retries' times after 'retry_delay_ms', only on XP_IO (connection failed) and status
 * 502, for GET, PUT and DELETE. Replies over 'max_reply_bytes' are XP_TOO_LARGE.
 * A status >= 400 is an answer, not an error: look at reply->status. */
#ifndef SHARED_NET_HTTP_CLIENT_H
#define SHARED_NET_HTTP_CLIENT_H

#include "shared/net/loop.h"
#include "shared/net/worker.h"

struct http_call {
    const char *method;
    const char *url;
    const char *body; /* NULL: none (and Content-Length: 0 for PUT and POST) */
    size_t body_length;
    const char *headers[8]; /* "Name: value"; NULL ends */
    /* "X-Name" (static text): its value comes with the reply; NULL: none */
    const char *kept_header;
    int64_t connect_timeout_ms; /* required, > 0 */
    int64_t timeout_ms;         /* whole call with its retries, required, > 0 */
    size_t max_reply_bytes;     /* required, > 0 */
    int retries;
    int64_t retry_delay_ms;
    bool may_come_twice; /* harmless when received twice: connections are kept, as for GET */
};

struct http_reply {
    int status;
    char *body; /* owned; NUL-terminated; never NULL after success */
    size_t length;
    char *etag;   /* owned or NULL */
    char *header; /* owned value of kept_header, or NULL */
    /* The request went out. All there is after a failure: true, it may have been carried out; false, it was not. */
    bool was_sent;
};
void http_reply_done(struct http_reply *);

struct http_client;

/* 'threads' handles, 'queue_max' waiting calls. curl_global_init happens here: call before other threads start. */
struct http_client *http_client_new(struct loop *, int threads, int queue_max);
/* waits for calls that are under way; NULL is fine */
void http_client_free(struct http_client *);

/* Blocking, on any worker thread (its own handle, thread-local). XP_TIMEOUT: the request may have been carried out. A
 * connection that did not come about in time is XP_IO: nothing was sent. XP_INVALID: the call itself is wrong. */
int http_call(const struct http_call *, struct http_reply *ret_reply,
              struct xp_err *) XP_MUST_CHECK;

/* Loop thread. Copies the call. 'done' runs on the loop exactly once: rc is that of http_call, or XP_UNAVAILABLE
 * (not sent: at shutdown, or no thread was free within timeout_ms); reply is borrowed (empty but for was_sent when rc < 0). A full queue is XP_TOO_MANY and done is not called. */
typedef void http_done_fn(int rc, const struct http_reply *reply, const struct xp_err *err,
                          void *arg, uint64_t token);
int http_send(struct http_client *, const struct http_call *, http_done_fn *, void *arg,
              uint64_t token, struct xp_err *) XP_MUST_CHECK;

#endif
