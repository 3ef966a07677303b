/* http_impl.h - what the files of the HTTP server share. Private to shared/net/http_*.c and its simulated twin.
 *
 * Two halves. The core knows no socket: http_server.c (life), http_admit.c (what came), http_answer.c (who answers),
 * http_reply.c, http_req.c. The transport carries requests to it and answers away: libmicrohttpd (http_mhd.c,
 * http_receive.c), or tests/sim/fake_http_server.c.
 *
 * Who owns a request, and when:
 *   1. receiving   the transport's HTTP thread alone fills it (http_req_new to http_received)
 *   2. waiting     it is in server->waiting, its connection is suspended; what was received is immutable and read by
 *                  the handler's thread. Whoever takes it out of 'waiting' (settle in http_answer.c: the handler's
 *                  finish, the deadline sweep or the stop) sets 'answer' and resumes; everybody else drops his answer
 *   3. answered    the HTTP thread alone again: sends 'answer', then http_req_ended
 * Shares (refs): one of the transport, one of the handler until http_req_finish, one of a worker job until 'done'.
 * Only the HTTP thread touches the connection, with one exception: http_wire_resume.
 * Lock: server->lock guards 'waiting'; http_wire_resume is called under it, so that the connection cannot go away in
 * between. */
#ifndef SHARED_NET_HTTP_IMPL_H
#define SHARED_NET_HTTP_IMPL_H

#include <netinet/in.h>

#include "shared/base/list.h"
#include "shared/base/thread.h"
#include "shared/net/http_route.h"

#define HTTP_ID_MAX      64
#define HTTP_HEADERS_MAX 128
#define HTTP_SWEEP_MS    250
/* Of a refused body; more is answered at once, or cut. */
#define HTTP_SWALLOW_MAX_BYTES (1024 * 1024)

struct http_server {
    struct http_options options;
    struct http_table *table;
    void *wire; /* the transport's */
    struct loop_timer sweep;
    int port;
    uint64_t id_prefix;
    uint64_t id_count; /* HTTP thread */
    int refs;          /* atomic: one of the starter, one of each request */
    int unfinished;    /* atomic: requests that were received whole, until their answer is sent */
    int stopping;      /* atomic flag */
    struct mutex lock;
    /* struct http_req.link, in order of arrival */
    struct list waiting XP_GUARDED_BY_MEMBER(lock);
    int64_t body_bytes; /* atomic: of all requests that are received or worked on now */
};

struct http_pair {
    char *name;
    char *value;
};

struct http_req {
    struct http_server *server; /* NULL: a test's request */
    void *arg;
    void *wire; /* the transport's: its connection */
    int stage;  /* the transport's */
    char *method;
    char *target;
    char *path;
    struct http_path split;
    const struct http_pattern *pattern; /* NULL: no route */
    const struct http_route *route;
    struct http_query query;
    struct http_pair *headers;
    size_t header_count;
    struct http_pair *params; /* of tests only */
    size_t param_count;
    struct str body;
    const char *version; /* "HTTP/1.1"; the transport's, until http_admit; NULL: 1.1 */
    /* static text: a header that cannot be taken as it is; NULL: none */
    const char *header_problem;
    bool is_over_limit;      /* its connection is one too many: refuse it */
    bool must_close;         /* after the answer: nothing more of this connection is read */
    int64_t counted_bytes;   /* what of the body is in server->body_bytes */
    int64_t swallowed_bytes; /* body of a request that is refused at its end */
    char peer[INET6_ADDRSTRLEN];
    char id[HTTP_ID_MAX + 1];
    int64_t started_us;
    mono_ms deadline;
    struct xp_err refusal; /* code 0: none. Known before the handler: 400, 404, 405, 413 */
    char *allow;           /* of a 405, else NULL */
    int refs;              /* atomic */
    struct list link;      /* in server->waiting */
    struct loop_msg msg;
    struct job job;
    bool is_counted;                 /* in server->unfinished */
    bool is_answered;                /* by the one who took it out of 'waiting', or at once */
    bool is_reply_lost;              /* a fault point: the connection is closed instead */
    struct http_resp answer;         /* complete but for the headers that http_reply_headers adds */
    struct http_test_result *result; /* of tests only: what http_req_finish got */
};

/* http_req.c */
struct http_req *http_req_new(struct http_server *, const char *target,
                              void *arg); /* one share; refs the server */
void http_req_unref(struct http_req *);
void http_req_add_header(struct http_req *, const char *name, const char *value);
bool http_id_is_valid(const char *text);
void http_server_unref(struct http_server *);
/* http_req_finish of a request without a server. Takes the content of resp. Once. */
void http_req_keep_result(struct http_req *, int rc, struct http_resp *, const struct xp_err *);

/* http_admit.c: the transport's calls, in this order, on its HTTP thread. Headers and peer are added before. */
void http_admit(struct http_req *, const char *method); /* id, route, refusal, limit of the body */
int64_t http_content_length(const struct http_req *);   /* -1: none given */
/* A piece of the body. False: too much was sent of a body that is refused; cut the connection. */
bool http_take_body(struct http_req *, const char *data, size_t length);
/* The request is whole. True: 'answer' is there, send it (or close, when is_reply_lost). False: it was handed to its handler, the transport
 * is told by http_wire_resume. */
bool http_received(struct http_req *);
/* sent, or the client is gone. Drops the transport's share */
void http_req_ended(struct http_req *);

/* http_framing.c */
bool http_name_is_token(const char *name, size_t length);
bool http_value_is_plain(const char *value, size_t length);
/* XP_INVALID: somebody else might read the header of this request differently. */
int http_framing_check(const struct http_req *, const char *version, struct xp_err *err);

/* http_answer.c */
void http_refuse(struct http_req *); /* HTTP thread: sets 'answer' from 'refusal' */
/* HTTP thread: sets 'answer'; false when the handler needs a worker. */
bool http_answer_at_once(struct http_req *);
/* HTTP thread, the connection is suspended: gives the request to the loop or to a worker. */
void http_dispatch(struct http_req *);
/* Loop or main: answers 503 to what waits since before 'now' allows; MONO_FOREVER: to everything. */
void http_expire_waiting(struct http_server *, mono_ms now, const char *why);

/* http_reply.c */
/* Fills in what a handler leaves open: status, content type; makes a 304 of what the client has already. Any thread. */
void http_reply_complete(const struct http_req *, struct http_resp *);
/* Every header of 'answer', Content-Length excepted. */
void http_reply_headers(const struct http_req *,
                        void (*add)(void *arg, const char *name, const char *value), void *arg);

/* ---- the transport ---- */

/* Listens; sets server->port and server->wire. */
int http_wire_open(struct http_server *, struct xp_err *) XP_MUST_CHECK;
void http_wire_sweep(struct http_server *, mono_ms now); /* loop: cuts what takes too long */
void http_wire_quiesce(struct http_server *);            /* main: refuses new connections */
/* Main: lets the answers of the last moment leave, closes everything; nothing is suspended any more. */
void http_wire_close(struct http_server *);
void http_wire_suspend(struct http_req *); /* HTTP thread, inside http_received */
void http_wire_resume(struct http_req *);  /* any thread, server->lock held: 'answer' is there */

/* Metrics, counted where an answer is decided. */
void http_count_request(int status, int64_t duration_us);
void http_count_connection(int delta);
void http_count_refused_connection(void);
void http_count_cut_connection(void);

#endif
