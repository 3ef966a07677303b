/* http_bodies_test.c - the HTTP server over real sockets (http_world.h): bodies and their limits, slow senders and readers, entity tags. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/base/fault.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/net/http_impl.h"
#include "shared/net/http_server.h"
#include "tests/unit/http_world.h"
#include "tests/unit/stretch.h"

#include "shared/base/banned.h"

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

/* Sends a byte now and then until the server ends the connection, which must be after low_ms and before high_ms. */
static void drip(const struct stretch *s, int fd, const char *byte, int64_t low_ms, int64_t high_ms)
{
    for (;;) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        assert_true(clock_mono_ms() - s->began < LIMIT_MS);
        if (poll(&p, 1, 50) == 1) {
            char c;
            assert_true(recv(fd, &c, 1, 0) <= 0);
            assert_lasted(s, low_ms, high_ms);
            return;
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
    struct stretch s = stretch_begin();
    int body = dial(w);
    assert_true(send_text(body, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 1000\r\n\r\n"));
    drip(&s, body, "x", 590, 1900);
    s = stretch_begin();
    int head = dial(w);
    assert_true(send_text(head, "GET /hello HTTP/1.1\r\nX-Long: "));
    drip(&s, head, "x", 1900, 5000);
    s = stretch_begin();
    int idle = dial(w);
    struct answer a;
    assert_int_equal(ask_on(idle, GET("/hello"), &a), 200);
    answer_done(&a);
    drip(&s, idle, "", 1900, 5000);
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
    for (mono_ms end = clock_mono_ms() + LIMIT_MS;
         __atomic_load_n(&w->server->body_bytes, __ATOMIC_RELAXED) < 60000;) {
        assert_true(clock_mono_ms() < end);
        (void)poll(NULL, 0, 1);
    }
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
        fds[i] = dial_as(w, true);
        assert_true(send_text(fds[i], GET("/document")));
    }
    wait_int(&w->finished, 5); /* queued */
    for (mono_ms end = clock_mono_ms() + LIMIT_MS; blob_is_shared(w->document);) {
        assert_true(clock_mono_ms() < end);
        (void)poll(NULL, 0, 5);
    }
    int fd = dial(w); /* who reads is served */
    expect_tag(fd, "none", 200);
    (void)close(fd);
    for (int i = 0; i < 5; i++) {
        struct answer a;
        assert_false(receive(fds[i], false, &a)); /* cut, not served */
        answer_done(&a);
        (void)close(fds[i]);
    }
    world_free(w);
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_endless_chunked_body_is_cut),
        cmocka_unit_test(test_keep_alive_after_413),
        cmocka_unit_test(test_slow_senders_are_cut),
        cmocka_unit_test(test_json_refused),
        cmocka_unit_test(test_slow_readers_are_cut),
        cmocka_unit_test(test_etag),
        cmocka_unit_test(test_all_bodies_have_one_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
