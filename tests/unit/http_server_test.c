/* The HTTP server over real sockets: a loop thread, three workers, one server on a free port of 127.0.0.1. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "shared/base/fault.h"
#include "shared/base/mem.h"
#include "shared/base/metrics.h"
#include "shared/base/thread.h"
#include "shared/net/http_server.h"

#include "shared/base/banned.h"

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

static void gate_pass(struct gate *g)
{
    mutex_lock(&g->lock);
    g->arrived++;
    (void)pthread_cond_broadcast(&g->changed);
    while (!g->is_open) {
        (void)pthread_cond_wait(&g->changed, &g->lock.raw);
    }
    mutex_unlock(&g->lock);
}

static void gate_open(struct gate *g)
{
    mutex_lock(&g->lock);
    g->is_open = true;
    (void)pthread_cond_broadcast(&g->changed);
    mutex_unlock(&g->lock);
}

static void gate_wait_arrived(struct gate *g, int count)
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

static int h_hello(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    (void)req;
    (void)err;
    http_resp_text(resp, 200, "text/plain", "hello");
    return 0;
}

static int h_echo(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    size_t length;
    const char *body = http_req_body(req, &length);
    (void)err;
    http_resp_blob(resp, blob_new(xstrndup(body, length), length));
    http_resp_header(resp, "X-Length", strlen(body) == length ? "same" : "differs");
    return 0;
}

static int h_name(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    (void)err;
    const char *q = http_req_query(req, "q");
    json_t *value = json_pack("{s:s, s:s*, s:s, s:s, s:s}", "name", http_req_param(req, "name"),
                              "q", q, "method", http_req_method(req), "peer", http_req_peer(req),
                              "id", http_req_id(req));
    http_resp_json(resp, value);
    return 0;
}

static int h_json(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    json_t *body = NULL;
    int rc = http_req_json(req, &body, err);
    if (rc == 0) {
        http_resp_json(resp, body);
    }
    return rc;
}

static int h_document(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct world *w = http_req_arg(req);
    (void)err;
    http_resp_blob(resp, blob_ref(w->document));
    resp->etag = xstrdup("\"v7\"");
    return 0;
}

static int h_block(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct world *w = http_req_arg(req);
    (void)err;
    gate_pass(&w->gate);
    http_resp_text(resp, 200, "text/plain", "unblocked");
    return 0;
}

static int h_conflict(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    http_resp_text(resp, 200, "text/plain", "must not be seen");
    return xp_fail(err, XP_CONFLICT, "cluster '%s' is locked", http_req_param(req, "name"));
}

static void *finish_later(void *arg)
{
    struct http_req *req = arg;
    struct world *w = http_req_arg(req);
    gate_pass(&w->gate);
    struct http_resp resp = { 0 };
    http_resp_text(&resp, 202, "text/plain", "later");
    http_req_finish(req, 0, &resp, NULL);
    return NULL;
}

static int h_later(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct world *w = http_req_arg(req);
    (void)resp;
    (void)err;
    assert_int_equal(pthread_create(&w->later_thread, NULL, finish_later, req), 0);
    return HTTP_LATER;
}

static int h_count(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct world *w = http_req_arg(req);
    (void)resp;
    (void)err;
    (void)__atomic_add_fetch(&w->handled, 1, __ATOMIC_SEQ_CST);
    return 0;
}

/* The thread it ran on; "?worker" is not in memory, "?refuse" is an error. */
static int h_at_once(struct http_req *req, struct http_resp *resp, struct xp_err *err)
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
    { "GET",  "/conflict/{name}", h_conflict, HTTP_ON_LOOP, 0,       "read",  "" },
    { "GET",  "/later",         h_later,    HTTP_ON_LOOP,   0,       "read",  "" },
    { "PUT",  "/count",         h_count,    HTTP_ON_WORKER, 0,       "write", "" },
    { 0 },
};
/* clang-format on */
static const struct http_route *const tables[] = { routes, NULL };

/* ---- hooks ---- */

static void on_error(const struct http_req *req, const struct http_route *route,
                     const struct xp_err *err, struct http_resp *resp)
{
    int status = resp->status;
    json_t *body = json_pack("{s:s, s:s, s:b, s:s}", "code", xp_code_info(err->code)->name,
                             "message", err->msg, "route", route != NULL, "id", http_req_id(req));
    http_resp_json(resp, body);
    assert_int_equal(resp->status, status);
}

static int on_request(struct http_req *req, const struct http_route *route, struct xp_err *err)
{
    struct world *w = http_req_arg(req);
    (void)route;
    return __atomic_load_n(&w->drain, __ATOMIC_SEQ_CST) ? xp_fail(err, XP_FORBIDDEN, "draining")
                                                        : 0;
}

static void on_finished(const struct http_req *req, const struct http_route *route, int status,
                        int64_t duration_us)
{
    struct world *w = http_req_arg(req);
    (void)route;
    assert_true(duration_us >= 0);
    __atomic_store_n(&w->last_status, status, __ATOMIC_SEQ_CST);
    (void)__atomic_add_fetch(&w->finished, 1, __ATOMIC_SEQ_CST);
}

static void wait_int(const int *value, int at_least)
{
    for (mono_ms end = clock_mono_ms() + LIMIT_MS;
         __atomic_load_n(value, __ATOMIC_SEQ_CST) < at_least;) {
        assert_true(clock_mono_ms() < end);
        (void)poll(NULL, 0, 2);
    }
}

/* ---- start and stop ---- */

static void *run_loop(void *arg)
{
    loop_run(arg);
    return NULL;
}

static struct http_options default_options(struct world *w)
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

static struct world *world_new(int queue_max)
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

static void world_start(struct world *w, const struct http_options *options)
{
    struct xp_err err = { 0 };
    if (http_server_start(options, &w->server, &err)) {
        fail_msg("%s", err.msg);
    }
    assert_int_equal(pthread_create(&w->loop_thread, NULL, run_loop, w->loop), 0);
}

static struct world *world_default(void)
{
    struct world *w = world_new(1000);
    struct http_options o = default_options(w);
    world_start(w, &o);
    return w;
}

static void world_stop_server(struct world *w)
{
    if (w->server) {
        loop_stop(w->loop);
        (void)pthread_join(w->loop_thread, NULL);
        http_server_stop(w->server);
        w->server = NULL;
    }
}

static void world_free(struct world *w)
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

static int dial(const struct world *w)
{
    struct sockaddr_in sa = { .sin_family = AF_INET,
                              .sin_port = htons((uint16_t)http_server_port(w->server)) };
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval limit = { .tv_sec = LIMIT_MS / 1000 };
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    return fd;
}

static bool send_bytes(int fd, const char *bytes, size_t length)
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

static bool send_text(int fd, const char *text)
{
    return send_bytes(fd, text, strlen(text));
}

static void answer_done(struct answer *a)
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
static bool receive(int fd, bool no_body, struct answer *a)
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

static int ask_on(int fd, const char *request, struct answer *a)
{
    assert_true(send_text(fd, request));
    assert_true(receive(fd, text_has_prefix(request, "HEAD "), a));
    return a->status;
}

/* One request on a connection of its own; checks status and, unless NULL, that the body contains 'part'. */
static void expect(const struct world *w, const char *request, int status, const char *part)
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

/* ---- routing over the wire ---- */

static void test_routing(void **state)
{
    (void)state;
    struct world *w = world_default();
    expect(w, GET("/hello"), 200, "hello");
    expect(w, GET("/HELLO/"), 200, "hello");
    expect(w, GET("http://example.org/hello"), 200, "hello");
    expect(w, GET("/work?x=1"), 200, "hello");
    expect(w, GET("/names/a%2fB%20c.d?q=1+2&q=3"), 200, "{\"name\":\"a/B c.d\",\"q\":\"1 2\"");
    expect(w, GET("/names/x"), 200, "\"peer\":\"127.0.0.1\"");
    expect(w, GET("/names/%00"), 400, "path parameter 'name'");
    expect(w, GET("/names/%ff"), 400, "path parameter 'name'");
    expect(w, GET("/names/x?key=%ff"), 400, "query parameter 'key'");
    expect(w, GET("/nothing"), 404, "\"route\":false");
    expect(w, GET("/names//"), 404, "NOT_FOUND");
    expect(w, GET("/conflict/c1"), 409, "cluster 'c1' is locked");
    expect(w, "DELETE /hello HTTP/1.1\r\nHost: t\r\n\r\n", 405, "only GET, HEAD");
    expect(w, "POST /nothing HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nabc", 404,
           "NOT_FOUND");
    world_free(w);
}

static void test_method_errors_and_head(void **state)
{
    (void)state;
    struct world *w = world_default();
    struct answer a;
    int fd = dial(w);
    assert_int_equal(
        ask_on(fd, "POST /hello HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\nxx", &a), 405);
    assert_string_equal(header_of(&a, "Allow"), "GET, HEAD");
    answer_done(&a);
    assert_int_equal(ask_on(fd, "HEAD /hello HTTP/1.1\r\nHost: t\r\n\r\n", &a),
                     200); /* the connection lives on */
    assert_string_equal(header_of(&a, "Content-Length"), "5");
    answer_done(&a);
    assert_int_equal(ask_on(fd, "PUT /count HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n", &a),
                     200);
    assert_int_equal(a.body.len, 0);
    assert_string_equal(header_of(&a, "Content-Type"), "");
    answer_done(&a);
    (void)close(fd);
    world_free(w);
}

static void test_long_uri(void **state)
{
    (void)state;
    struct world *w = world_default();
    struct str request = STR_INIT(100000);
    str_puts(&request, "GET /names/");
    for (int i = 0; i < 40000; i++) {
        str_putc(&request, 'a');
    }
    str_puts(&request, " HTTP/1.1\r\nHost: t\r\n\r\n");
    int fd = dial(w);
    struct answer a;
    (void)send_text(fd, str_text(&request));
    if (receive(fd, false, &a)) { /* a reset is as good */
        assert_int_equal(a.status, 414);
    }
    answer_done(&a);
    (void)close(fd);
    expect(w, GET("/hello"), 200, "hello");
    str_done(&request);
    world_free(w);
}

/* ---- request ids, hooks ---- */

static void test_request_id(void **state)
{
    (void)state;
    struct world *w = world_default();
    struct answer a;
    int fd = dial(w);
    assert_int_equal(
        ask_on(fd, "GET /names/x HTTP/1.1\r\nHost: t\r\nX-Request-Id: My.id_1-x\r\n\r\n", &a), 200);
    assert_string_equal(header_of(&a, "X-Request-Id"), "My.id_1-x");
    assert_non_null(strstr(str_text(&a.body), "\"id\":\"My.id_1-x\""));
    answer_done(&a);
    assert_int_equal(ask_on(fd, "GET /nothing HTTP/1.1\r\nHost: t\r\nX-Request-Id: e1\r\n\r\n", &a),
                     404);
    assert_string_equal(header_of(&a, "X-Request-Id"), "e1");
    answer_done(&a);
    static const char *const bad[] = {
        "a b", "x\"y", "", "12345678901234567890123456789012345678901234567890123456789012345"
    };
    char last[80] = "";
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        char request[256];
        (void)snprintf(request, sizeof(request),
                       "GET /hello HTTP/1.1\r\nHost: t\r\nX-Request-Id: %s\r\n\r\n", bad[i]);
        assert_int_equal(ask_on(fd, request, &a), 200);
        const char *id = header_of(&a, "X-Request-Id");
        assert_true(strlen(id) > 8 && strcmp(id, bad[i]) != 0 && strcmp(id, last) != 0);
        (void)snprintf(last, sizeof(last), "%s", id);
        answer_done(&a);
    }
    (void)close(fd);
    world_free(w);
}

static void test_hooks(void **state)
{
    (void)state;
    struct world *w = world_default();
    expect(w, GET("/hello"), 200, NULL);
    wait_int(&w->finished, 1);
    assert_int_equal(w->last_status, 200);
    expect(w, GET("/nothing"), 404, NULL);
    wait_int(&w->finished, 2);
    assert_int_equal(w->last_status, 404);
    __atomic_store_n(&w->drain, 1, __ATOMIC_SEQ_CST);
    expect(w, "PUT /count HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n", 403, "draining");
    assert_int_equal(w->handled, 0);
    world_free(w);
}

/* ---- bodies ---- */

static void test_bodies(void **state)
{
    (void)state;
    struct world *w = world_default();
    expect(w, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello", 200, "hello");
    expect(w, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n", 200, "");
    expect(w, "POST /echo HTTP/1.1\r\nHost: t\r\n\r\n", 200, "");
    expect(w,
           "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: "
           "chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
           200, "abcde");
    expect(w, "POST /small HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\n0123456789", 200,
           "0123456789");
    expect(w, "POST /small HTTP/1.1\r\nHost: t\r\nContent-Length: 11\r\n\r\n0123456789x", 413,
           "larger than 10 bytes");
    expect(w,
           "POST /small HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: "
           "chunked\r\n\r\nb\r\n0123456789x\r\n0\r\n\r\n",
           413, "larger than 10 bytes");
    expect(w, "POST /small HTTP/1.1\r\nHost: t\r\nContent-Length: 900000000\r\n\r\n", 413,
           "larger than 10 bytes");
    expect(w, "POST /small HTTP/1.1\r\nHost: t\r\nContent-Length: 99999999999999999999999\r\n\r\n",
           413, NULL);
    expect(w,
           "POST /echo HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: "
           "900000000\r\n\r\n",
           413, NULL);
    world_free(w);
}

static void test_endless_chunked_body_is_cut(void **state)
{
    (void)state;
    struct world *w = world_default();
    int fd = dial(w);
    char *chunk = xasprintf("4000\r\n%016384d\r\n", 0);
    assert_true(
        send_text(fd, "POST /small HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"));
    int sent = 0;
    while (sent < 10000 && send_text(fd, chunk)) {
        sent++;
    }
    assert_true(sent < 10000); /* 160 MB were not accepted */
    free(chunk);
    (void)close(fd);
    expect(w, GET("/hello"), 200, "hello");
    world_free(w);
}

static void test_keep_alive_after_413(void **state)
{
    (void)state;
    struct world *w = world_default();
    struct answer a;
    int fd = dial(w);
    assert_int_equal(
        ask_on(fd, "POST /small HTTP/1.1\r\nHost: t\r\nContent-Length: 11\r\n\r\n0123456789x", &a),
        413);
    answer_done(&a);
    assert_int_equal(ask_on(fd, GET("/hello"), &a), 200);
    answer_done(&a);
    (void)close(fd);
    world_free(w);
}

/* Sends a byte now and then until the server ends the connection; returns how long that took. */
static int64_t drip(int fd, const char *byte)
{
    mono_ms start = clock_mono_ms();
    for (;;) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        assert_true(clock_mono_ms() - start < LIMIT_MS);
        if (poll(&p, 1, 50) == 1) {
            char c;
            assert_true(recv(fd, &c, 1, 0) <= 0);
            return clock_mono_ms() - start;
        }
        (void)send_text(fd, byte);
    }
}

static void test_slow_senders_are_cut(void **state)
{
    (void)state;
    struct world *w = world_new(10);
    struct http_options o = default_options(w);
    o.body_timeout_ms = 600;
    o.idle_timeout_ms = 2000;
    world_start(w, &o);
    int body = dial(w);
    assert_true(send_text(body, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 1000\r\n\r\n"));
    int64_t took_ms = drip(body, "x");
    assert_in_range(took_ms, 500, 1900);
    int head = dial(w);
    assert_true(send_text(head, "GET /hello HTTP/1.1\r\nX-Long: "));
    took_ms = drip(head, "x");
    assert_in_range(took_ms, 1900, 5000);
    int idle = dial(w);
    struct answer a;
    assert_int_equal(ask_on(idle, GET("/hello"), &a), 200);
    answer_done(&a);
    took_ms = drip(idle, "");
    assert_in_range(took_ms, 1900, 5000);
    (void)close(body);
    (void)close(head);
    (void)close(idle);
    world_free(w);
}

static void test_json_refused(void **state)
{
    (void)state;
    struct world *w = world_default();
    struct str request = STR_INIT(200000);
    str_puts(&request, "POST /json HTTP/1.1\r\nHost: t\r\nContent-Length: 100000\r\n\r\n");
    for (int i = 0; i < 100000; i++) {
        str_putc(&request, '[');
    }
    expect(w, str_text(&request), 400, "nested deeper than 64 levels");
    str_done(&request);
    expect(w, "POST /json HTTP/1.1\r\nHost: t\r\nContent-Length: 13\r\n\r\n{\"a\":1,\"a\":2}", 400,
           "duplicate");
    expect(w, "POST /json HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\n\"\xff\"", 400,
           "decode byte 0xff");
    expect(w, "POST /json HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n", 200, "null");
    world_free(w);
}

/* ---- entity tags ---- */

static void expect_tag(int fd, const char *given, int status)
{
    char request[256];
    struct answer a;
    (void)snprintf(request, sizeof(request),
                   "GET /document HTTP/1.1\r\nHost: t\r\nIf-None-Match: %s\r\n\r\n", given);
    if (ask_on(fd, request, &a) != status || (status == 304 && a.body.len > 0) ||
        (status == 200 && a.body.len != 3000000)) {
        fail_msg("%s: status %d instead of %d, %zu bytes", given, a.status, status, a.body.len);
    }
    assert_string_equal(header_of(&a, "ETag"), "\"v7\"");
    answer_done(&a);
}

static void test_etag(void **state)
{
    (void)state;
    struct world *w = world_default();
    int fd = dial(w);
    expect_tag(fd, "\"v7\"", 304);
    expect_tag(fd, "W/\"v7\"", 304);
    expect_tag(fd, "\"v5\", \"v6\" , W/\"v7\"", 304);
    expect_tag(fd, "*", 304);
    expect_tag(fd, "\"v6\"", 200);
    expect_tag(fd, "v7", 200);
    struct answer a;
    assert_int_equal(ask_on(fd, "HEAD /document HTTP/1.1\r\nHost: t\r\n\r\n", &a), 200);
    assert_string_equal(header_of(&a, "Content-Length"), "3000000");
    answer_done(&a);
    (void)close(fd);
    world_free(w); /* checks that every count of the document was dropped */
}

/* A client that asks for a document and does not read it keeps its bytes: 30 s and its size at 128 KiB/s, not for ever. */
static void test_slow_readers_are_cut(void **state)
{
    (void)state;
    struct world *w = world_new(10);
    struct http_options o = default_options(w);
    o.send_timeout_ms = 300;
    o.send_bytes_per_s = 100 * 1000 * 1000;
    world_start(w, &o);
    int fds[5];
    for (int i = 0; i < 5; i++) {
        fds[i] = dial(w);
        assert_true(send_text(fds[i], GET("/document")));
    }
    wait_int(&w->finished, 5); /* queued */
    assert_true(blob_is_shared(w->document));
    for (mono_ms end = clock_mono_ms() + LIMIT_MS; blob_is_shared(w->document);) {
        assert_true(clock_mono_ms() < end);
        (void)poll(NULL, 0, 5);
    }
    int fd = dial(w); /* who reads is served */
    expect_tag(fd, "none", 200);
    (void)close(fd);
    for (int i = 0; i < 5; i++) {
        (void)close(fds[i]);
    }
    world_free(w);
}

/* ---- many at once ---- */

#define CROWD        200
#define CROWD_ROUNDS 5

static void test_crowd_while_a_worker_blocks(void **state)
{
    (void)state;
    struct world *w = world_default();
    int blocked = dial(w);
    assert_true(send_text(blocked, GET("/block")));
    gate_wait_arrived(&w->gate, 1);
    int fds[CROWD];
    for (int i = 0; i < CROWD; i++) {
        fds[i] = dial(w);
    }
    for (int round = 0; round < CROWD_ROUNDS; round++) {
        for (int i = 0; i < CROWD; i++) {
            assert_true(send_text(fds[i], i % 2 ? GET("/hello") : GET("/work")));
        }
        for (int i = 0; i < CROWD; i++) {
            struct answer a;
            assert_true(receive(fds[i], false, &a));
            assert_int_equal(a.status, 200);
            assert_string_equal(str_text(&a.body), "hello");
            answer_done(&a);
        }
    }
    for (int i = 0; i < CROWD; i++) {
        (void)close(fds[i]);
    }
    gate_open(&w->gate);
    struct answer a;
    assert_true(receive(blocked, false, &a));
    assert_string_equal(str_text(&a.body), "unblocked");
    answer_done(&a);
    (void)close(blocked);
    wait_int(&w->finished, CROWD * CROWD_ROUNDS + 1);
    world_free(w);
}

static void test_full_queue_is_503(void **state)
{
    (void)state;
    struct world *w = world_new(1);
    struct http_options o = default_options(w);
    world_start(w, &o);
    int blocked[3];
    for (int i = 0; i < 3; i++) { /* one by one: the queue holds a single waiting job */
        blocked[i] = dial(w);
        assert_true(send_text(blocked[i], GET("/block")));
        gate_wait_arrived(&w->gate, i + 1);
    }
    int waiting = dial(w);
    assert_true(send_text(waiting, GET("/work")));
    for (mono_ms end = clock_mono_ms() + LIMIT_MS; worker_pool_waiting(w->pool) < 1;) {
        assert_true(clock_mono_ms() < end);
        (void)poll(NULL, 0, 1);
    }
    expect(w, GET("/work"), 503, "too many requests are waiting");
    expect(w, GET("/hello"), 200, "hello");
    gate_open(&w->gate);
    struct answer a;
    assert_true(receive(waiting, false, &a));
    assert_int_equal(a.status, 200);
    answer_done(&a);
    (void)close(waiting);
    for (int i = 0; i < 3; i++) {
        (void)close(blocked[i]);
    }
    world_free(w);
}

/* ---- later, too late, gone ---- */

static void test_later(void **state)
{
    (void)state;
    struct world *w = world_default();
    int fd = dial(w);
    assert_true(send_text(fd, GET("/later")));
    gate_wait_arrived(&w->gate, 1);
    gate_open(&w->gate);
    struct answer a;
    assert_true(receive(fd, false, &a));
    assert_int_equal(a.status, 202);
    assert_string_equal(str_text(&a.body), "later");
    answer_done(&a);
    assert_int_equal(ask_on(fd, GET("/hello"), &a), 200);
    answer_done(&a);
    (void)close(fd);
    world_free(w);
}

static void test_at_once(void **state)
{
    (void)state;
    struct world *w = world_default();
    expect(w, GET("/at-once"), 200, "http");
    expect(w, GET("/at-once?worker=1"), 200, "worker");
    expect(w, GET("/at-once?refuse=1"), 409, NULL);
    expect(w, GET("/at-once?refuse=1&worker=1"), 409, NULL);
    wait_int(&w->finished, 4); /* each counted once, whoever answered */
    for (mono_ms end = clock_mono_ms() + LIMIT_MS; http_server_waiting(w->server) > 0;) {
        assert_true(clock_mono_ms() < end);
        (void)poll(NULL, 0, 1);
    }
    __atomic_store_n(&w->drain, 1, __ATOMIC_SEQ_CST);
    expect(w, GET("/at-once"), 403, "draining");
    world_free(w);
}

static void test_client_gone_while_suspended(void **state)
{
    (void)state;
    struct world *w = world_default();
    int a = dial(w);
    int b = dial(w);
    assert_true(send_text(a, GET("/block")));
    assert_true(send_text(b, GET("/later")));
    gate_wait_arrived(&w->gate, 2);
    struct linger reset = { .l_onoff = 1 };
    assert_int_equal(setsockopt(a, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
    (void)close(a);
    (void)close(b);
    gate_open(&w->gate);
    wait_int(&w->finished, 2);
    expect(w, GET("/hello"), 200, "hello");
    world_free(w);
}

static void test_handler_deadline(void **state)
{
    (void)state;
    struct world *w = world_new(10);
    struct http_options o = default_options(w);
    o.handler_timeout_ms = 300;
    world_start(w, &o);
    int fds[4];
    for (int i = 0; i < 3; i++) {
        fds[i] = dial(w);
        assert_true(send_text(fds[i], GET("/block")));
    }
    gate_wait_arrived(&w->gate, 3);
    fds[3] = dial(w); /* waits for a worker until its deadline, and must never run */
    assert_true(send_text(fds[3], "PUT /count HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n"));
    for (int i = 0; i < 4; i++) {
        struct answer a;
        assert_true(receive(fds[i], false, &a));
        assert_int_equal(a.status, 503);
        assert_non_null(strstr(str_text(&a.body), "in time"));
        answer_done(&a);
    }
    gate_open(&w->gate); /* the late answers are dropped, the connections are fine */
    for (int i = 0; i < 4; i++) {
        struct answer a;
        assert_int_equal(ask_on(fds[i], GET("/work"), &a), 200);
        assert_string_equal(str_text(&a.body), "hello");
        answer_done(&a);
        (void)close(fds[i]);
    }
    assert_int_equal(__atomic_load_n(&w->handled, __ATOMIC_SEQ_CST), 0);
    wait_int(&w->finished, 8);
    assert_int_equal(__atomic_load_n(&w->finished, __ATOMIC_SEQ_CST), 8);
    world_free(w);
}

static void test_stop_with_suspended(void **state)
{
    (void)state;
    struct world *w = world_default();
    int fds[6];
    for (int i = 0; i < 3; i++) { /* every worker is busy */
        fds[i] = dial(w);
        assert_true(send_text(fds[i], GET("/block")));
    }
    gate_wait_arrived(&w->gate, 3);
    for (int i = 3; i < 5; i++) { /* these wait in the queue */
        fds[i] = dial(w);
        assert_true(
            send_text(fds[i], "PUT /count HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n"));
    }
    fds[5] = dial(w);
    assert_true(send_text(fds[5], GET("/later")));
    gate_wait_arrived(&w->gate, 4);
    for (mono_ms end = clock_mono_ms() + LIMIT_MS; worker_pool_waiting(w->pool) < 2;) {
        assert_true(clock_mono_ms() < end);
        (void)poll(NULL, 0, 1);
    }
    mono_ms start = clock_mono_ms();
    world_stop_server(w);
    assert_true(clock_mono_ms() - start < 1900); /* answered, not given up */
    for (int i = 0; i < 6; i++) {
        struct answer a;
        assert_true(receive(fds[i], false, &a));
        assert_int_equal(a.status, 503);
        assert_non_null(strstr(str_text(&a.body), "shutting down"));
        answer_done(&a);
        (void)close(fds[i]);
    }
    gate_open(
        &w->gate); /* the handlers end after the server; what was queued must not be carried out any more */
    for (mono_ms end = clock_mono_ms() + LIMIT_MS; worker_pool_waiting(w->pool) > 0;) {
        assert_true(clock_mono_ms() < end);
        (void)poll(NULL, 0, 1);
    }
    worker_pool_free(w->pool);
    w->pool = NULL;
    assert_int_equal(w->handled, 0);
    world_free(w);
}

static void test_connection_limit(void **state)
{
    (void)state;
    struct world *w = world_new(10);
    struct http_options o = default_options(w);
    o.max_connections = 2;
    world_start(w, &o);
    struct answer a;
    int first = dial(w);
    int second = dial(w);
    assert_int_equal(ask_on(first, GET("/hello"), &a), 200);
    answer_done(&a);
    assert_int_equal(ask_on(second, GET("/hello"), &a), 200);
    answer_done(&a);
    struct pollfd p = { .fd = first, .events = POLLIN };
    assert_int_equal(poll(&p, 1, 300), 0); /* older than WAITING_MIN_MS now */
    int third = dial(w);
    assert_int_equal(ask_on(third, GET("/hello"), &a), 200);
    answer_done(&a);
    assert_int_equal(poll(&p, 1, LIMIT_MS), 1); /* the one that waited longest made room */
    char byte;
    assert_int_equal(recv(first, &byte, 1, 0), 0);
    (void)close(first);
    (void)close(second);
    (void)close(third);
    world_free(w);
}

static void test_connections_that_work_are_not_cut(void **state)
{
    (void)state;
    struct world *w = world_new(10);
    struct http_options o = default_options(w);
    o.max_connections = 2;
    world_start(w, &o);
    int busy[2] = { dial(w), dial(w) };
    assert_true(send_text(busy[0], GET("/block")));
    assert_true(send_text(busy[1], GET("/block")));
    gate_wait_arrived(&w->gate, 2);
    struct pollfd p = { .fd = busy[0], .events = POLLIN };
    assert_int_equal(poll(&p, 1, 300), 0);
    struct answer a;
    int third = dial(w);
    assert_int_equal(ask_on(third, GET("/hello"), &a), 503);
    assert_non_null(strstr(str_text(&a.body), "all 2 connections are in use"));
    answer_done(&a);
    (void)close(third);
    gate_open(&w->gate);
    for (size_t i = 0; i < 2; i++) {
        assert_true(receive(busy[i], false, &a));
        assert_int_equal(a.status, 200);
        answer_done(&a);
        (void)close(busy[i]);
    }
    world_free(w);
}

/* What a proxy may cut into other requests than we do is refused, and the rest is not read. */
static void test_ambiguous_requests_are_refused(void **state)
{
    (void)state;
    static const char *const heads[] = {
        "Content-Length: 2\r\nContent-Length: 30\r\n\r\n{}",
        "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: xchunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        "Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        "Transfer-Encoding:\r\n chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        "Content-Length : 2\r\n\r\n{}",
        "Host: other\r\nContent-Length: 2\r\n\r\n{}",
    };
    struct world *w = world_new(10);
    struct http_options o = default_options(w);
    world_start(w, &o);
    for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
        AUTO_FREE char *text = xasprintf("POST /echo HTTP/1.1\r\nHost: t\r\n%s%s", heads[i],
                                         GET("/hello")); /* the smuggled one */
        int fd = dial(w);
        struct answer a;
        assert_true(send_text(fd, text));
        assert_true(receive(fd, false, &a));
        assert_int_equal(a.status, 400);
        answer_done(&a);
        char byte;
        assert_int_equal(recv(fd, &byte, 1, 0), 0); /* closed, not answered */
        (void)close(fd);
    }
    world_free(w);
}

static void test_all_bodies_have_one_limit(void **state)
{
    (void)state;
    struct world *w = world_new(10);
    struct http_options o = default_options(w);
    o.bodies_max_bytes = 100000;
    world_start(w, &o);
    AUTO_FREE char *part = xcalloc(1, 60001);
    memset(part, 'x', 60000);
    int first = dial(w);
    int second = dial(w);
    struct answer a;
    static const char head[] = "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 60001\r\n\r\n";
    assert_true(send_text(first, head));
    assert_true(send_text(first, part));
    struct pollfd p = { .fd = first, .events = POLLIN };
    assert_int_equal(poll(&p, 1, 100), 0); /* received, waits for the last byte */
    assert_true(send_text(second, head));
    assert_true(send_text(second, part));
    assert_true(send_text(second, "x"));
    assert_true(receive(second, false, &a));
    assert_int_equal(a.status, 503);
    answer_done(&a);
    assert_true(send_text(first, "x"));
    assert_true(receive(first, false, &a));
    assert_int_equal(a.status, 200);
    answer_done(&a);
    assert_int_equal(ask_on(second, GET("/hello"), &a),
                     200); /* the refused body was read to its end */
    answer_done(&a);
    (void)close(first);
    (void)close(second);
    world_free(w);
}

#if defined(XP_FAULTS) && XP_FAULTS
static void test_fault_reply_lost(void **state)
{
    (void)state;
    struct world *w = world_default();
    assert_int_equal(fault_configure("http_reply_lost=error@1", NULL), 0);
    int fd = dial(w);
    struct answer a;
    assert_true(send_text(fd, "PUT /count HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n"));
    assert_false(receive(fd, false, &a)); /* carried out, and the client does not know */
    answer_done(&a);
    assert_int_equal(__atomic_load_n(&w->handled, __ATOMIC_SEQ_CST), 1);
    (void)close(fd);
    assert_int_equal(fault_configure("", NULL), 0);
    expect(w, GET("/hello"), 200, "hello");
    world_free(w);
}
#endif

static void test_start_errors(void **state)
{
    (void)state;
    struct world *w = world_default();
    struct http_server *second = NULL;
    struct xp_err err = { 0 };
    struct http_options o = default_options(w);
    o.port = http_server_port(w->server);
    assert_int_equal(http_server_start(&o, &second, &err), XP_IO);
    assert_non_null(strstr(err.msg, "127.0.0.1"));
    o = default_options(w);
    o.bind_ip = "localhost";
    assert_int_equal(http_server_start(&o, &second, &err), XP_INVALID);
    o = default_options(w);
    o.pool = NULL;
    assert_int_equal(http_server_start(&o, &second, &err), XP_INVALID);
    assert_non_null(strstr(err.msg, "worker pool"));
    assert_null(second);
    world_free(w);
}

static void test_metrics(void **state)
{
    (void)state;
    struct world *w = world_default();
    expect(w, GET("/hello"), 200, NULL);
    struct str out = STR_INIT(1 << 20);
    metrics_print(&out);
    assert_non_null(strstr(str_text(&out), "xpipe_http_requests_total{code=\"2xx\"}"));
    assert_non_null(strstr(str_text(&out), "xpipe_http_request_seconds_count"));
    assert_non_null(strstr(str_text(&out), "xpipe_http_connections"));
    str_done(&out);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_routing),
        cmocka_unit_test(test_method_errors_and_head),
        cmocka_unit_test(test_long_uri),
        cmocka_unit_test(test_request_id),
        cmocka_unit_test(test_hooks),
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_endless_chunked_body_is_cut),
        cmocka_unit_test(test_keep_alive_after_413),
        cmocka_unit_test(test_slow_senders_are_cut),
        cmocka_unit_test(test_json_refused),
        cmocka_unit_test(test_slow_readers_are_cut),
        cmocka_unit_test(test_etag),
        cmocka_unit_test(test_crowd_while_a_worker_blocks),
        cmocka_unit_test(test_full_queue_is_503),
        cmocka_unit_test(test_later),
        cmocka_unit_test(test_at_once),
        cmocka_unit_test(test_client_gone_while_suspended),
        cmocka_unit_test(test_handler_deadline),
        cmocka_unit_test(test_stop_with_suspended),
        cmocka_unit_test(test_connection_limit),
        cmocka_unit_test(test_connections_that_work_are_not_cut),
        cmocka_unit_test(test_ambiguous_requests_are_refused),
        cmocka_unit_test(test_all_bodies_have_one_limit),
#if defined(XP_FAULTS) && XP_FAULTS
        cmocka_unit_test(test_fault_reply_lost),
#endif
        cmocka_unit_test(test_start_errors),
        cmocka_unit_test(test_metrics),
    };
    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
