/* http_server.h - a route table in front of handlers that know nothing of libmicrohttpd.
 *
 * One HTTP thread receives and sends. It matches the raw path (percent-decoding each segment after the
 * split, so that %2f stays inside a name), collects the body up to the route's limit, suspends the connection and
 * hands the request to the loop or to a worker. Literal segments match without regard to case.
 * Limits: header 16 KiB and 128 fields, idle connection, whole body, taking an answer, all bodies and connections from the options,
 * unanswered request after 'handler_timeout_ms' (or http_req_extend; 503, the handler's later answer is dropped). At the limit of
 * connections the one that has waited longest for a request makes room; when all have one, a new one is answered 503.
 * What two programs could cut into different requests (RFC 9112, 6) is refused, and its connection closed.
 * Every request gets an id (X-Request-Id: taken from the client when it is 1..64 of [A-Za-z0-9_.-], else made);
 * the answer carries it. The wire form of errors is one function of the daemon (on_error).
 * Thread: see each function. */
#ifndef SHARED_NET_HTTP_SERVER_H
#define SHARED_NET_HTTP_SERVER_H

#include <jansson.h>

#include "shared/base/blob.h"
#include "shared/base/str.h"
#include "shared/net/loop.h"
#include "shared/net/worker.h"

struct http_server;
struct http_req;

enum http_where {
    HTTP_ON_LOOP,   /* handler runs on the loop: sub-millisecond, no blocking */
    HTTP_ON_WORKER, /* handler runs on the pool */
    /* The handler is asked on the HTTP thread first, where it may only answer from memory (no I/O, no query, no large JSON,
     * locks for a moment); what it cannot answer so it refuses with HTTP_TO_WORKER, and is called again on the pool. */
    HTTP_AT_ONCE,
};

enum {
    HTTP_LATER = 1,     /* the handler kept the request and will call http_req_finish */
    HTTP_TO_WORKER = 2, /* HTTP_AT_ONCE, on the HTTP thread only: not in memory */
};

struct http_resp {
    int status;               /* default 200 */
    const char *content_type; /* static text; default "application/json;charset=UTF-8" */
    struct blob *body;        /* owned; NULL is an empty body */
    char *etag;               /* owned or NULL; as on the wire, with quotes */
    char *extra[4][2];        /* owned header name and value pairs; unused ones NULL */
};
/* Setters take care of the ownership; each replaces the body. JSON is compact, a NULL value is "null". */
void http_resp_json(struct http_resp *, json_t *take_value);
void http_resp_text(struct http_resp *, int status, const char *content_type, const char *text);
void http_resp_blob(struct http_resp *, struct blob *take_body);
void http_resp_header(struct http_resp *, const char *name, const char *value);
void http_resp_done(struct http_resp *);
/* True when an If-None-Match value names this ETag: "*", or a list, weak or not. NULL is false. */
bool http_etag_matches(const char *if_none_match, const char *etag);

/* Returns 0, HTTP_LATER, HTTP_TO_WORKER, or an xp_code with *err set. resp is empty on entry. */
typedef int http_handler(struct http_req *, struct http_resp *, struct xp_err *err);

struct http_route {
    const char *method; /* "GET"...; "*" any */
    /* "/api/clusters/{cluster}/dcs/{dc}"; a parameter matches one non-empty segment */
    const char *path;
    http_handler *handler;
    enum http_where where;
    size_t max_body_bytes;
    /* "read", "write", "meta", "admin"...: shown in the table, checked by on_request */
    const char *scope;
    const char *help; /* one line for the route listing and the API documentation */
};
/* A table ends with { 0 }. Routes with literal segments win over parameters. */

struct http_options {
    struct loop *loop;
    struct worker_pool *pool; /* for HTTP_ON_WORKER; may be NULL when no route needs it */
    const char *bind_ip;      /* numeric */
    int port;                 /* 0: any free one, see http_server_port */
    int max_connections;
    int64_t handler_timeout_ms;
    /* 0: 15 s; from the header to the whole body, then the connection is cut */
    int64_t body_timeout_ms;
    /* 0: 30 s; from the last answer (or connect) to the next whole header */
    int64_t idle_timeout_ms;
    /* 0: 128 MiB; all bodies together that are received or being answered, more are refused 503 */
    int64_t bodies_max_bytes;
    /* 0: 30 s and 128 KiB/s; an answer that is not taken in send_timeout_ms and its size at that rate is cut off: a client
     * that stands still must not keep a document of megabytes in memory */
    int64_t send_timeout_ms;
    int64_t send_bytes_per_s;
    /* NULL-terminated array of tables; borrowed for the server's life */
    const struct http_route *const *tables;
    /* Turns an error into the wire form. Any thread. Also called for 400, 404, 405 (route == NULL), 413 and 503.
     * resp->status is set on entry: the strict status of the error (405 for XP_UNSUPPORTED without a route). */
    void (*on_error)(const struct http_req *, const struct http_route *, const struct xp_err *,
                     struct http_resp *);
    /* Before a handler (same thread as it, each time it is called): authentication, drain, domain check. 0 to go on.
     * NULL: none. */
    int (*on_request)(struct http_req *, const struct http_route *, struct xp_err *err);
    /* After every answer, on the thread that finished it: audit, access log. NULL: none. */
    void (*on_finished)(const struct http_req *, const struct http_route *, int status,
                        int64_t duration_us);
    void *arg; /* http_req_arg */
};

int http_server_start(const struct http_options *, struct http_server **ret_server,
                      struct xp_err *) XP_MUST_CHECK;
int http_server_port(const struct http_server *);
/* Requests that are not answered yet, for a drain. Any thread. */
int http_server_waiting(const struct http_server *);
/* Refuses new connections, answers what waits with 503, ends the thread. Main thread, loop not running. */
void http_server_stop(struct http_server *);
/* Prints "METHOD path where scope max_body help", a line each, in table order: a golden file. */
void http_routes_print(const struct http_route *const *tables, struct str *out);

/* Reading a request; everything borrowed from the request, valid until it is finished. Thread: the handler's. */
void *http_req_arg(const struct http_req *);
const char *http_req_method(const struct http_req *);
const char *http_req_path(const struct http_req *);   /* raw, without query */
const char *http_req_target(const struct http_req *); /* raw, with query, as received */
/* decoded path parameter; aborts on a wrong name */
const char *http_req_param(const struct http_req *, const char *name);
/* decoded, first one; NULL when absent */
const char *http_req_query(const struct http_req *, const char *name);
size_t http_req_query_all(const struct http_req *, const char *name, const char **ret_values,
                          size_t max);
/* NULL when absent; case-insensitive */
const char *http_req_header(const struct http_req *, const char *name);
/* NUL-terminated */
const char *http_req_body(const struct http_req *, size_t *ret_length);
const char *http_req_peer(const struct http_req *); /* numeric ip of the TCP peer */
const char *http_req_id(const struct http_req *);
/* The body as JSON (duplicate keys refused). Empty body: *ret_json = NULL and 0. Returns owned (json_decref). */
int http_req_json(const struct http_req *, json_t **ret_json, struct xp_err *) XP_MUST_CHECK;

/* The time-out of this request counts anew, from now. Inside its handler, on the loop or a worker. */
void http_req_extend(struct http_req *, int64_t timeout_ms);
/* Ends a request that answered HTTP_LATER: rc < 0 uses *err, else resp. Takes resp's content. Once, any thread. */
void http_req_finish(struct http_req *, int rc, struct http_resp *, const struct xp_err *);

/* A request without a socket, for unit tests of handlers. Free with http_req_free_test. */
struct http_req *http_req_new_test(const char *method, const char *target, const char *body,
                                   void *arg);
void http_req_set_param_test(struct http_req *, const char *name, const char *value);
void http_req_set_header_test(struct http_req *, const char *name, const char *value);
/* What http_req_finish got: its rc, or HTTP_LATER before. Borrowed until http_req_free_test; either may be NULL. */
int http_req_result_test(const struct http_req *, const struct http_resp **ret_resp,
                         const struct xp_err **ret_err);
void http_req_free_test(struct http_req *);

#endif
