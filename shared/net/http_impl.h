/* http_impl.h - what the files of the HTTP server share. Private to shared/net/http_*.c.
 *
 * Who owns a request, and when:
 *   1. receiving   the HTTP thread alone fills it (http_receive.c)
 *   2. waiting     its connection is suspended and it is in server->waiting; what was received is immutable and read by
 *                  the handler's thread. Whoever takes it out of 'waiting' (settle in http_answer.c: the handler's
 *                  finish, the deadline sweep or the stop) sets 'reply' and resumes; everybody else drops his answer
 *   3. answered    the HTTP thread alone again: queues 'reply', frees its share when MHD says "completed"
 * Shares (refs): one of the connection, one of the handler until http_req_finish, one of a worker job until 'done'.
 * Only the HTTP thread touches the MHD connection, with one exception: MHD_resume_connection.
 * Lock: server->lock guards 'waiting' and 'conns'; MHD_resume_connection and shutdown(2) are called under it, so
 * that the connection cannot go away in between; no callback of MHD takes it while MHD holds a lock. */
#ifndef SHARED_NET_HTTP_IMPL_H
#define SHARED_NET_HTTP_IMPL_H

#include <microhttpd.h>
#include <netinet/in.h>

#include "shared/base/list.h"
#include "shared/base/thread.h"
#include "shared/net/http_route.h"

#define HTTP_ID_MAX   64
#define HTTP_SWEEP_MS 250

struct http_conn {    /* one TCP connection; owner: HTTP thread */
    struct list link; /* in server->conns */
    int fd;
    mono_ms cut_at; /* atomic: by then a whole header, or a whole body, has arrived */
    int is_idle;    /* atomic: its last request is answered and no other has begun */
};

struct http_server {
    struct http_options options;
    struct http_table *table;
    struct MHD_Daemon *daemon;
    struct loop_timer sweep;
    int port;
    uint64_t id_prefix;
    uint64_t id_count; /* HTTP thread */
    int refs;          /* atomic: one of the starter, one of each request */
    int unfinished;    /* atomic: requests that were received whole, until their answer is sent */
    int stopping;      /* atomic flag */
    struct mutex lock;
    struct list waiting; /* lock held; struct http_req.link, in order of arrival */
    struct list conns;   /* lock held; struct http_conn.link */
};

enum http_stage { HTTP_STAGE_NEW, HTTP_STAGE_BODY, HTTP_STAGE_WAITING, HTTP_STAGE_QUEUED };

struct http_pair {
    char *name;
    char *value;
};

struct http_req {
    struct http_server *server; /* NULL: a test's request */
    void *arg;
    struct MHD_Connection *conn;
    enum http_stage stage;
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
    struct MHD_Response *reply; /* set by the one who takes it out of 'waiting' */
    int reply_status;
    bool is_counted;                 /* in server->unfinished */
    bool is_reply_lost;              /* a fault point: the connection is closed instead */
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

/* http_answer.c */
/* HTTP thread: the answer to req->refusal, queued at once. */
enum MHD_Result http_answer_refusal(struct http_req *);
/* HTTP thread: false when the handler needs a worker; else the answer is queued, and *ret_queued says whether MHD took it. */
bool http_answer_at_once(struct http_req *req, enum MHD_Result *ret_queued);
/* HTTP thread, after MHD_suspend_connection: gives the request to the loop or to a worker. */
void http_dispatch(struct http_req *);
/* Loop or main: answers 503 to what waits since before 'now' allows; MONO_FOREVER: to everything. */
void http_expire_waiting(struct http_server *, mono_ms now, const char *why);

/* http_reply.c */
/* Takes the content of resp. The status and the response, to be queued once and destroyed. Any thread. */
struct MHD_Response *http_reply_build(const struct http_req *, struct http_resp *, int *ret_status);

/* http_receive.c: the callbacks of MHD. */
void *http_on_uri(void *cls, const char *uri, struct MHD_Connection *conn);
enum MHD_Result http_on_access(void *cls, struct MHD_Connection *, const char *url,
                               const char *method, const char *version, const char *data,
                               size_t *data_size, void **req);
void http_on_completed(void *cls, struct MHD_Connection *, void **req,
                       enum MHD_RequestTerminationCode);
void http_on_connection(void *cls, struct MHD_Connection *, void **context,
                        enum MHD_ConnectionNotificationCode);
/* Main, at the stop: a connection is new or in the middle of a request. */
bool http_is_receiving(struct http_server *);
/* Loop: cuts connections whose header or body takes too long. */
void http_cut_slow(struct http_server *, mono_ms now);

/* Metrics, counted where an answer is decided. */
void http_count_request(int status, int64_t duration_us);
void http_count_connection(int delta);

#endif
