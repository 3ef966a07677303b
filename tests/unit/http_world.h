/* http_world.h - the HTTP server over real sockets: a loop thread, three workers, one server on a free port of 127.0.0.1 with handlers
 * of all kinds, and a plain client. For the tests of the server. */
#ifndef TESTS_UNIT_HTTP_WORLD_H
#define TESTS_UNIT_HTTP_WORLD_H

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "shared/base/fault.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/base/thread.h"
#include "shared/net/http_server.h"
#include "tests/unit/unit.h"

#define LIMIT_MS 10000 /* of every wait */

/* ---- the world of a test ---- */

struct gate { /* a handler waits here until the test opens it */
    struct mutex lock;
    pthread_cond_t changed;
    bool is_open;
    int arrived;
};

struct world {
    struct loop *loop;
    struct worker_pool *pool;
    struct http_server *server;
    pthread_t loop_thread;
    pthread_t later_thread;
    struct gate gate;
    struct blob *document;
    int finished;    /* atomic: calls of on_finished */
    int last_status; /* atomic */
    int handled;     /* atomic: runs of h_count */
    int drain;       /* atomic: on_request refuses */
};

static inline void gate_pass(struct gate *g)
{
    mutex_lock(&g->lock);
    g->arrived++;
    (void)pthread_cond_broadcast(&g->changed);
    while (!g->is_open) {
        (void)pthread_cond_wait(&g->changed, &g->lock.raw);
    }
    mutex_unlock(&g->lock);
}

static inline void gate_open(struct gate *g)
{
    mutex_lock(&g->lock);
    g->is_open = true;
    (void)pthread_cond_broadcast(&g->changed);
    mutex_unlock(&g->lock);
}

static inline void gate_wait_arrived(struct gate *g, int count)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += LIMIT_MS / 1000;
    mutex_lock(&g->lock);
    int rc = 0;
    while (g->arrived < count && rc == 0) {
        rc = pthread_cond_timedwait(&g->changed, &g->lock.raw, &until);
    }
    mutex_unlock(&g->lock);
    assert_int_equal(rc, 0);
}

/* ---- handlers ---- */

static inline int h_hello(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    (void)req;
    (void)err;
    http_resp_text(resp, 200, "text/plain", "hello");
    return 0;
}

static inline int h_echo(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    size_t length;
    const char *body = http_req_body(req, &length);
    (void)err;
    http_resp_blob(resp, blob_new(xstrndup(body, length), length));
    http_resp_header(resp, "X-Length", strlen(body) == length ? "same" : "differs");
    return 0;
}

static inline int h_name(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    (void)err;
    const char *q = http_req_query(req, "q");
    json_t *value = json_pack("{s:s, s:s*, s:s, s:s, s:s}", "name", http_req_param(req, "name"),
                              "q", q, "method", http_req_method(req), "peer", http_req_peer(req),
                              "id", http_req_id(req));
    http_resp_json(resp, value);
    return 0;
}

static inline int h_json(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    json_t *body = NULL;
    int rc = http_req_json(req, &body, err);
    if (rc == 0) {
        http_resp_json(resp, body);
    }
    return rc;
}

static inline int h_document(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct world *w = http_req_arg(req);
    (void)err;
    http_resp_blob(resp, blob_ref(w->document));
    resp->etag = xstrdup("\"v7\"");
    return 0;
}

static inline int h_block(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct world *w = http_req_arg(req);
    (void)err;
    gate_pass(&w->gate);
    http_resp_text(resp, 200, "text/plain", "unblocked");
    return 0;
}

/* As /block, but it may take longer. */
static inline int h_longer(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    http_req_extend(req, 20000);
    return h_block(req, resp, err);
}

static inline int h_conflict(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    http_resp_text(resp, 200, "text/plain", "must not be seen");
    return xp_fail(err, XP_CONFLICT, "cluster '%s' is locked", http_req_param(req, "name"));
}

static inline void *finish_later(void *arg)
{
    struct http_req *req = arg;
    struct world *w = http_req_arg(req);
    gate_pass(&w->gate);
    struct http_resp resp = { 0 };
    http_resp_text(&resp, 202, "text/plain", "later");
    http_req_finish(req, 0, &resp, NULL);
    return NULL;
}

static inline int h_later(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct world *w = http_req_arg(req);
    (void)resp;
    (void)err;
    assert_int_equal(pthread_create(&w->later_thread, NULL, finish_later, req), 0);
    return HTTP_LATER;
}

static inline int h_count(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct world *w = http_req_arg(req);
    (void)resp;
    (void)err;
    (void)__atomic_add_fetch(&w->handled, 1, __ATOMIC_SEQ_CST);
    return 0;
}

/* The thread it ran on; "?worker" is not in memory, "?refuse" is an error. */
static inline int h_at_once(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    bool is_http = thread_role() == THREAD_HTTP;
    if (is_http && http_req_query(req, "worker")) {
        http_resp_text(resp, 200, "text/plain", "must not be seen");
        return HTTP_TO_WORKER;
    }
    http_resp_text(resp, 200, "text/plain", is_http ? "http" : "worker");
    return http_req_query(req, "refuse") ? xp_fail(err, XP_CONFLICT, "refused") : 0;
}

/* clang-format off */
static const struct http_route routes[] = {
    { "GET",  "/at-once",       h_at_once,  HTTP_AT_ONCE,   0,       "read",  "" },
    { "GET",  "/hello",         h_hello,    HTTP_ON_LOOP,   0,       "read",  "" },
    { "GET",  "/work",          h_hello,    HTTP_ON_WORKER, 0,       "read",  "" },
    { "POST", "/echo",          h_echo,     HTTP_ON_WORKER, 100000,  "write", "" },
    { "POST", "/small",         h_echo,     HTTP_ON_LOOP,   10,      "write", "" },
    { "GET",  "/names/{name}",  h_name,     HTTP_ON_LOOP,   0,       "read",  "" },
    { "POST", "/json",          h_json,     HTTP_ON_LOOP,   1000000, "write", "" },
    { "GET",  "/document",      h_document, HTTP_ON_LOOP,   0,       "read",  "" },
    { "GET",  "/block",         h_block,    HTTP_ON_WORKER, 0,       "read",  "" },
    { "GET",  "/longer",        h_longer,   HTTP_ON_WORKER, 0,       "read",  "" },
    { "GET",  "/conflict/{name}", h_conflict, HTTP_ON_LOOP, 0,       "read",  "" },
    { "GET",  "/later",         h_later,    HTTP_ON_LOOP,   0,       "read",  "" },
    { "PUT",  "/count",         h_count,    HTTP_ON_WORKER, 0,       "write", "" },
    { 0 },
};
/* clang-format on */
static const struct http_route *const tables[] = { routes, NULL };

/* ---- hooks ---- */

static inline void on_error(const struct http_req *req, const struct http_route *route,
                            const struct xp_err *err, struct http_resp *resp)
{
    int status = resp->status;
    json_t *body = json_pack("{s:s, s:s, s:b, s:s}", "code", xp_code_info(err->code)->name,
                             "message", err->msg, "route", route != NULL, "id", http_req_id(req));
    http_resp_json(resp, body);
    assert_int_equal(resp->status, status);
}

static inline int on_request(struct http_req *req, const struct http_route *route,
                             struct xp_err *err)
{
    struct world *w = http_req_arg(req);
    (void)route;
    return __atomic_load_n(&w->drain, __ATOMIC_SEQ_CST) ? xp_fail(err, XP_FORBIDDEN, "draining")
                                                        : 0;
}

static inline void on_finished(const struct http_req *req, const struct http_route *route,
                               int status, int64_t duration_us)
{
    struct world *w = http_req_arg(req);
    (void)route;
    assert_true(duration_us >= 0);
    __atomic_store_n(&w->last_status, status, __ATOMIC_SEQ_CST);
    (void)__atomic_add_fetch(&w->finished, 1, __ATOMIC_SEQ_CST);
}

static inline void wait_int(const int *value, int at_least)
{
    for (mono_ms end = clock_mono_ms() + LIMIT_MS;
         __atomic_load_n(value, __ATOMIC_SEQ_CST) < at_least;) {
        assert_true(clock_mono_ms() < end);
        (void)poll(NULL, 0, 2);
    }
}

/* ---- start and stop ---- */

static inline void *run_loop(void *arg)
{
    loop_run(arg);
    return NULL;
}

static inline struct http_options default_options(struct world *w)
{
    return (struct http_options){ .loop = w->loop,
                                  .pool = w->pool,
                                  .bind_ip = "127.0.0.1",
                                  .max_connections = 500,
                                  .handler_timeout_ms = 20000,
                                  .tables = tables,
                                  .on_error = on_error,
                                  .on_request = on_request,
                                  .on_finished = on_finished,
                                  .arg = w };
}

static inline struct world *world_new(int queue_max)
{
    struct world *w = xcalloc(1, sizeof(*w));
    w->loop = loop_new();
    w->pool = worker_pool_new(w->loop, "test", 3, queue_max, NULL, NULL, NULL);
    mutex_init(&w->gate.lock);
    (void)pthread_cond_init(&w->gate.changed, NULL);
    char *bytes = xmalloc(3000001);
    memset(bytes, 'd', 3000000);
    bytes[3000000] = '\0';
    w->document = blob_new(bytes, 3000000);
    return w;
}

static inline void world_start(struct world *w, const struct http_options *options)
{
    struct xp_err err = { 0 };
    if (http_server_start(options, &w->server, &err)) {
        fail_msg("%s", err.msg);
    }
    assert_int_equal(pthread_create(&w->loop_thread, NULL, run_loop, w->loop), 0);
}

static inline struct world *world_default(void)
{
    struct world *w = world_new(1000);
    struct http_options o = default_options(w);
    world_start(w, &o);
    return w;
}

static inline void world_stop_server(struct world *w)
{
    if (w->server) {
        loop_stop(w->loop);
        (void)pthread_join(w->loop_thread, NULL);
        http_server_stop(w->server);
        w->server = NULL;
    }
}

static inline void world_free(struct world *w)
{
    world_stop_server(w);
    gate_open(&w->gate);
    worker_pool_free(w->pool);
    if (w->later_thread) {
        (void)pthread_join(w->later_thread, NULL);
    }
    loop_free(w->loop);
    assert_int_equal(w->document->refs, 1);
    blob_unref(w->document);
    (void)pthread_cond_destroy(&w->gate.changed);
    mutex_done(&w->gate.lock);
    free(w);
}

/* ---- a plain client ---- */

struct answer {
    int status;
    struct str head;
    struct str body;
};

/* 'small_window': small segments and a small buffer, so that the kernel cannot take a whole document for a client that does not read. */
static inline int dial_as(const struct world *w, bool small_window)
{
    struct sockaddr_in sa = { .sin_family = AF_INET,
                              .sin_port = htons((uint16_t)http_server_port(w->server)) };
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval limit = { .tv_sec = LIMIT_MS / 1000 };
    assert_true(fd >= 0);
    int few = 4096;
    int segment = 536;
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
    if (small_window) {
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &few, sizeof(few)), 0);
        assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof(segment)), 0);
    }
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    return fd;
}

static inline int dial(const struct world *w)
{
    return dial_as(w, false);
}

static inline bool send_bytes(int fd, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t n = send(fd, bytes, length, MSG_NOSIGNAL);
        if (n <= 0) {
            return false;
        }
        bytes += n;
        length -= (size_t)n;
    }
    return true;
}

static inline bool send_text(int fd, const char *text)
{
    return send_bytes(fd, text, strlen(text));
}

static inline void answer_done(struct answer *a)
{
    str_done(&a->head);
    str_done(&a->body);
}

/* Value of a header, or "". Good until the next call. */
static const char *header_of(const struct answer *a, const char *name)
{
    static __thread char value[256];
    const char *cursor = str_text(&a->head);
    const char *line;
    size_t length;
    while (text_next_part(&cursor, "\r\n", &line, &length)) {
        size_t n = strlen(name);
        if (length > n && strncasecmp(line, name, n) == 0 && line[n] == ':') {
            (void)snprintf(value, sizeof(value), "%.*s", (int)(length - n - 2), line + n + 2);
            return value;
        }
    }
    return "";
}

/* False when the connection ended before a whole answer. 'no_body': HEAD. */
static inline bool receive(int fd, bool no_body, struct answer *a)
{
    *a = (struct answer){ .head = STR_INIT(65536), .body = STR_INIT(8 << 20) };
    while (!strstr(str_text(&a->head), "\r\n\r\n")) {
        char c;
        if (recv(fd, &c, 1, 0) != 1) {
            return false;
        }
        str_putc(&a->head, c);
    }
    int64_t status = 0;
    int64_t length = 0;
    assert_true(text_to_i64(str_text(&a->head) + strlen("HTTP/1.1 "), 3, 100, 599, &status));
    a->status = (int)status;
    const char *text = header_of(a, "Content-Length");
    (void)text_to_i64(text, strlen(text), 0, 8 << 20, &length);
    while (!no_body && a->body.len < (size_t)length) {
        char chunk[16384];
        size_t want = (size_t)length - a->body.len;
        ssize_t n = recv(fd, chunk, want < sizeof(chunk) ? want : sizeof(chunk), 0);
        if (n <= 0) {
            return false;
        }
        str_add(&a->body, chunk, (size_t)n);
    }
    return true;
}

static inline int ask_on(int fd, const char *request, struct answer *a)
{
    assert_true(send_text(fd, request));
    assert_true(receive(fd, text_has_prefix(request, "HEAD "), a));
    return a->status;
}

/* One request on a connection of its own; checks status and, unless NULL, that the body contains 'part'. */
static inline void expect(const struct world *w, const char *request, int status, const char *part)
{
    int fd = dial(w);
    struct answer a;
    if (ask_on(fd, request, &a) != status || (part && !strstr(str_text(&a.body), part))) {
        fail_msg("%.60s: status %d instead of %d, body '%.200s'", request, a.status, status,
                 str_text(&a.body));
    }
    answer_done(&a);
    (void)close(fd);
}

#define GET(target) "GET " target " HTTP/1.1\r\nHost: t\r\n\r\n"

#endif
