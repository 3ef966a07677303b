/* http_server_test.c - the HTTP server over real sockets (http_world.h): routing, answers at once and later, crowds, ends. What bodies
 * and readers may do is in http_bodies_test.c. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/base/fault.h"
#include "shared/base/mem.h"
#include "shared/base/metrics.h"
#include "shared/base/str.h"
#include "shared/net/http_server.h"
#include "tests/unit/http_world.h"
#include "tests/unit/stretch.h"

#include "shared/base/banned.h"

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

/* Who was given more time is not the first to be answered any more, though it came first. */
static void test_extended_deadline(void **state)
{
    (void)state;
    struct world *w = world_new(10);
    struct http_options o = default_options(w);
    o.handler_timeout_ms = 300;
    world_start(w, &o);
    struct answer a;
    int patient = dial(w);
    assert_true(send_text(patient, GET("/longer")));
    gate_wait_arrived(&w->gate, 1);
    int other = dial(w);
    assert_int_equal(ask_on(other, GET("/block"), &a), 503);
    answer_done(&a);
    gate_open(&w->gate);
    assert_true(receive(patient, false, &a));
    assert_int_equal(a.status, 200);
    answer_done(&a);
    (void)close(patient);
    (void)close(other);
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
    struct stretch stretch = stretch_begin();
    world_stop_server(w);
    assert_lasted(&stretch, 0, 1900); /* answered, not given up */
    for (int i = 0; i < 6; i++) {
        struct answer a;
        assert_true(receive(fds[i], false, &a));
        assert_int_equal(a.status, 503);
        assert_non_null(strstr(str_text(&a.body), "shutting down"));
        answer_done(&a);
        (void)close(fds[i]);
    }
    /* the handlers end after the server; what was queued must not be carried out any more */
    gate_open(&w->gate);
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
    (void)signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_routing),
        cmocka_unit_test(test_method_errors_and_head),
        cmocka_unit_test(test_long_uri),
        cmocka_unit_test(test_request_id),
        cmocka_unit_test(test_hooks),
        cmocka_unit_test(test_crowd_while_a_worker_blocks),
        cmocka_unit_test(test_full_queue_is_503),
        cmocka_unit_test(test_later),
        cmocka_unit_test(test_at_once),
        cmocka_unit_test(test_client_gone_while_suspended),
        cmocka_unit_test(test_handler_deadline),
        cmocka_unit_test(test_extended_deadline),
        cmocka_unit_test(test_stop_with_suspended),
        cmocka_unit_test(test_connection_limit),
        cmocka_unit_test(test_connections_that_work_are_not_cut),
        cmocka_unit_test(test_ambiguous_requests_are_refused),
#if defined(XP_FAULTS) && XP_FAULTS
        cmocka_unit_test(test_fault_reply_lost),
#endif
        cmocka_unit_test(test_start_errors),
        cmocka_unit_test(test_metrics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
