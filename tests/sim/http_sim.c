/* http_sim.c - the simulated transport of HTTP: two daemons that call each other, and everything that can go wrong between them. */
#include <stdio.h>
#include <string.h>

#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/net/http_client.h"
#include "shared/net/http_server.h"
#include "tests/sim/fake_http.h"
#include "tests/sim/fake_loop.h"
#include "tests/sim/fake_worker.h"
#include "tests/unit/unit.h"

#include "shared/base/banned.h"

#define HANDLER_TIMEOUT_MS 3000
#define KEPT_MAX           8

struct node { /* one daemon */
    struct loop *loop;
    struct worker_pool *pool;
    struct http_client *client;
    struct http_server *server;
    struct addr addr;
    struct http_req *kept[KEPT_MAX]; /* answered by nobody yet */
    int kept_count;
    char seen[256]; /* what arrived, "GET /x;..." */
};

/* ---- what a daemon serves ---- */

static int echo(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    (void)err;
    struct node *n = http_req_arg(req);
    size_t used = strlen(n->seen);
    (void)snprintf(n->seen + used, sizeof(n->seen) - used, "%s %s;", http_req_method(req),
                   http_req_param(req, "name"));
    resp->etag = xstrdup("\"e1\"");
    http_resp_json(resp, json_pack("{s:s, s:s, s:s}", "name", http_req_param(req, "name"), "body",
                                   http_req_body(req, NULL), "id", http_req_id(req)));
    return 0;
}

static int keep(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    (void)resp;
    (void)err;
    struct node *n = http_req_arg(req);
    assert_true(n->kept_count < KEPT_MAX);
    n->kept[n->kept_count++] = req;
    return HTTP_LATER;
}

/* A worker that asks the daemon whose address stands in the body. */
static int ask_other(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    AUTO_FREE char *url = xasprintf("http://%s/echo/asked", http_req_body(req, NULL));
    struct http_call call = { .method = "GET",
                              .url = url,
                              .connect_timeout_ms = 500,
                              .timeout_ms = 1000,
                              .max_reply_bytes = 1000 };
    CLEANUP(http_reply_done) struct http_reply reply = { 0 };
    int rc = http_call(&call, &reply, err);
    if (rc == 0) {
        http_resp_text(resp, reply.status, "text/plain", reply.body);
    }
    return rc;
}

static void on_error(const struct http_req *req, const struct http_route *route,
                     const struct xp_err *err, struct http_resp *resp)
{
    (void)req;
    (void)route;
    http_resp_text(resp, resp->status, "text/plain", err->msg);
}

static const struct http_route routes[] = {
    { "GET", "/echo/{name}", echo, HTTP_ON_LOOP, 0, "read", "" },
    { "PUT", "/echo/{name}", echo, HTTP_ON_WORKER, 16, "write", "" },
    { "POST", "/echo/{name}", echo, HTTP_ON_LOOP, 16, "write", "" },
    { "DELETE", "/echo/{name}", echo, HTTP_ON_LOOP, 0, "write", "" },
    { "GET", "/keep", keep, HTTP_ON_LOOP, 0, "read", "" },
    { "POST", "/ask", ask_other, HTTP_ON_WORKER, 100, "read", "" },
    { .method = NULL },
};
static const struct http_route *const tables[] = { routes, NULL };

static void node_start(struct node *n, const char *ip)
{
    *n = (struct node){ .loop = loop_new(), .addr = addr_of(ip, 8080) };
    n->pool = worker_pool_new(n->loop, "sim", 2, 16, NULL, NULL, NULL);
    n->client = http_client_new(n->loop, 2, 16);
    struct http_options options = { .loop = n->loop,
                                    .pool = n->pool,
                                    .bind_ip = ip,
                                    .port = 8080,
                                    .max_connections = 10,
                                    .handler_timeout_ms = HANDLER_TIMEOUT_MS,
                                    .tables = tables,
                                    .on_error = on_error,
                                    .arg = n };
    struct xp_err err;
    assert_int_equal(http_server_start(&options, &n->server, &err), 0);
}

static void node_stop(struct node *n)
{
    if (!n->loop) {
        return;
    }
    http_server_stop(n->server);
    worker_pool_free(n->pool);
    http_client_free(n->client);
    for (int i = 0; i < n->kept_count; i++) {
        struct http_resp none = { 0 };
        http_req_finish(n->kept[i], 0, &none, NULL);
    }
    loop_free(n->loop);
    n->loop = NULL;
}

static void node_kill(struct node *n)
{
    fake_loop_crash(n->loop);
    node_stop(n);
}

struct net {
    struct node a;
    struct node b;
};

static int open_net(void **state)
{
    struct net *net = xcalloc(1, sizeof(*net));
    fake_clock_set(1000000, 1700000000000);
    node_start(&net->a, "10.0.0.1");
    node_start(&net->b, "10.0.0.2");
    *state = net;
    return 0;
}

static int close_net(void **state)
{
    struct net *net = *state;
    node_stop(&net->a);
    node_stop(&net->b);
    fake_http_reset();
    free(net);
    return 0;
}

/* ---- calls ---- */

struct answer {
    int rc;
    int status;
    char body[256];
    char etag[16];
    bool has_come;
    mono_ms at;
};

static void on_answer(int rc, const struct http_reply *reply, const struct xp_err *err, void *arg,
                      uint64_t token)
{
    (void)token;
    struct answer *a = arg;
    assert_false(a->has_come);
    a->rc = rc;
    a->status = reply->status;
    (void)snprintf(a->body, sizeof(a->body), "%s", rc < 0 ? err->msg : reply->body);
    (void)snprintf(a->etag, sizeof(a->etag), "%s", reply->etag ? reply->etag : "");
    a->has_come = true;
    a->at = clock_mono_ms();
}

struct what {
    const char *method;
    const char *path;
    const char *body;
    const char *header;
    int retries;
    size_t max_reply_bytes;
};

static void send(struct node *from, const struct node *to, const struct what *w,
                 struct answer *ret_answer)
{
    AUTO_FREE char *url = xasprintf("http://%s%s", ADDR_TEXT(&to->addr), w->path);
    struct http_call call = {
        .method = w->method,
        .url = url,
        .body = w->body,
        .body_length = w->body ? strlen(w->body) : 0,
        .headers = { w->header },
        .connect_timeout_ms = 500,
        .timeout_ms = 2000,
        .max_reply_bytes = w->max_reply_bytes ? w->max_reply_bytes : 1000,
        .retries = w->retries,
        .retry_delay_ms = 5,
    };
    struct xp_err err;
    *ret_answer = (struct answer){ 0 };
    assert_int_equal(http_send(from->client, &call, on_answer, ret_answer, 0, &err), 0);
}
#define SEND(from, to, answer, how, where, ...)                                                    \
    send(from, to, &(struct what){ .method = (how), .path = (where), __VA_ARGS__ }, answer)

static void pass(int64_t ms)
{
    fake_loop_advance_to(clock_mono_ms() + ms);
}

static bool has_come(void *arg)
{
    return ((struct answer *)arg)->has_come;
}

static void await(struct answer *a)
{
    assert_true(fake_loop_run_until(has_come, a, clock_mono_ms() + 60000));
}

/* ---- answers ---- */

static void every_method_arrives_and_is_answered(void **state)
{
    struct net *net = *state;
    struct answer a;
    SEND(&net->a, &net->b, &a, "GET", "/echo/x%2Fy?z=1", .header = "X-Request-Id: me-1");
    await(&a);
    assert_int_equal(a.status, 200);
    assert_string_equal(a.body, "{\"name\":\"x/y\",\"body\":\"\",\"id\":\"me-1\"}");
    assert_string_equal(a.etag, "\"e1\"");
    SEND(&net->a, &net->b, &a, "HEAD", "/echo/h");
    await(&a);
    assert_int_equal(a.status, 200);
    assert_string_equal(a.body, "");
    SEND(&net->a, &net->b, &a, "PUT", "/echo/p", .body = "some");
    await(&a);
    assert_non_null(strstr(a.body, "\"body\":\"some\""));
    SEND(&net->a, &net->b, &a, "POST", "/echo/o");
    await(&a);
    SEND(&net->a, &net->b, &a, "DELETE", "/echo/d");
    await(&a);
    assert_int_equal(a.status, 200);
    assert_string_equal(net->b.seen, "GET x/y;HEAD h;PUT p;POST o;DELETE d;");
    SEND(&net->a, &net->b, &a, "GET", "/echo/x", .header = "If-None-Match: W/\"e1\"");
    await(&a);
    assert_int_equal(a.status, 304);
    assert_string_equal(a.body, "");
}

static void refusals_are_those_of_the_server(void **state)
{
    struct net *net = *state;
    struct answer a;
    SEND(&net->a, &net->b, &a, "GET", "/nothing");
    await(&a);
    assert_int_equal(a.status, 404);
    SEND(&net->a, &net->b, &a, "PUT", "/keep");
    await(&a);
    assert_int_equal(a.status, 405);
    SEND(&net->a, &net->b, &a, "POST", "/echo/o", .body = "12345678901234567");
    await(&a);
    assert_int_equal(a.status, 413);
    SEND(&net->a, &net->b, &a, "GET", "/echo/x", .max_reply_bytes = 10);
    await(&a);
    assert_int_equal(a.rc, XP_TOO_LARGE);
    assert_string_equal(net->b.seen, "GET x;");
}

static void a_worker_may_call_while_it_serves(void **state)
{
    struct net *net = *state;
    struct answer a[3];
    for (int i = 0; i < 3;
         i++) { /* b's two workers wait for a at the same time, the third call behind them */
        SEND(&net->a, &net->b, &a[i], "POST", "/ask", .body = "10.0.0.1:8080");
    }
    for (int i = 0; i < 3; i++) {
        await(&a[i]);
        assert_int_equal(a[i].status, 200);
        assert_non_null(strstr(a[i].body, "asked"));
    }
    assert_string_equal(net->a.seen, "GET asked;GET asked;GET asked;");
}

/* ---- time ---- */

static void a_handler_that_does_not_answer_is_answered_for(void **state)
{
    struct net *net = *state;
    mono_ms start = clock_mono_ms();
    struct answer a;
    SEND(&net->a, &net->b, &a, "GET", "/keep");
    await(&a);
    assert_int_equal(a.rc, XP_TIMEOUT); /* the client's time is shorter */
    assert_in_range(a.at, start + 2000, start + 2005);
    assert_int_equal(http_server_waiting(net->b.server), 1);
    pass(HANDLER_TIMEOUT_MS - 2000 + 300);
    assert_int_equal(http_server_waiting(net->b.server), 0);
}

static int64_t slow_first(const struct loop *client, const struct addr *server, void *arg)
{
    (void)client;
    (void)server;
    int *calls = arg;
    return ++*calls == 1 ? 50 : 1;
}

static void calls_overtake_each_other(void **state)
{
    struct net *net = *state;
    struct answer first;
    struct answer second;
    int packets = 0;
    fake_http_set_latency(slow_first, &packets);
    SEND(&net->a, &net->b, &first, "POST", "/echo/1");
    SEND(&net->a, &net->b, &second, "POST", "/echo/2");
    await(&first);
    assert_string_equal(net->b.seen, "POST 2;POST 1;");
    assert_true(second.has_come && second.at < first.at);
    assert_int_equal(packets, 4);
}

static void a_frozen_server_answers_when_it_thaws(void **state)
{
    struct net *net = *state;
    struct answer a;
    mono_ms start = clock_mono_ms();
    fake_loop_freeze(net->b.loop, 1000);
    SEND(&net->a, &net->b, &a, "GET", "/echo/x");
    await(&a);
    assert_int_equal(a.status, 200);
    assert_in_range(a.at, start + 1001, start + 1005);
    fake_loop_freeze(net->b.loop, 5000);
    SEND(&net->a, &net->b, &a, "POST", "/echo/late");
    await(&a);
    assert_int_equal(a.rc, XP_TIMEOUT);
    assert_string_equal(net->b.seen, "GET x;");
    pass(5000); /* unknown is unknown: it is carried out in the end */
    assert_string_equal(net->b.seen, "GET x;POST late;");
}

static void a_frozen_client_finds_the_answer_when_it_thaws(void **state)
{
    struct net *net = *state;
    struct answer a;
    SEND(&net->a, &net->b, &a, "GET", "/echo/x");
    pass(1);
    mono_ms start = clock_mono_ms();
    fake_loop_freeze(net->a.loop, 1000);
    await(&a);
    assert_int_equal(a.status, 200);
    assert_in_range(a.at, start + 1000, start + 1002);
}

/* ---- broken networks ---- */

struct trouble {
    enum fake_http_mode mode;
    int rc;
    int64_t after_ms;
    bool is_carried_out;
};

static void each_trouble_has_its_error(void **state)
{
    static const struct trouble troubles[] = {
        { FAKE_HTTP_REFUSES, XP_IO, 2, false },
        { FAKE_HTTP_UNREACHABLE, XP_IO, 500, false },
        { FAKE_HTTP_REPLY_LOST, XP_TIMEOUT, 2000, true },
        { FAKE_HTTP_CUT, XP_IO, 500, false },
    };
    struct net *net = *state;
    for (size_t i = 0; i < ARRAY_LEN(troubles); i++) {
        const struct trouble *t = &troubles[i];
        struct answer a;
        mono_ms start = clock_mono_ms();
        net->b.seen[0] = '\0';
        fake_http_set(net->a.loop, &net->b.addr, t->mode);
        SEND(&net->a, &net->b, &a, "POST", "/echo/x", .retries = 3); /* of a POST: none */
        await(&a);
        assert_int_equal(a.rc, t->rc);
        assert_in_range(a.at - start, t->after_ms, t->after_ms + 2);
        assert_string_equal(net->b.seen, t->is_carried_out ? "POST x;" : "");
        SEND(&net->b, &net->a, &a, "GET", "/echo/back"); /* only this direction */
        await(&a);
        assert_int_equal(a.rc, 0);
        fake_http_set(net->a.loop, &net->b.addr, FAKE_HTTP_UP);
    }
}

static void what_can_be_repeated_is_retried(void **state)
{
    struct net *net = *state;
    struct answer a;
    fake_http_set(NULL, &net->b.addr, FAKE_HTTP_REFUSES);
    SEND(&net->a, &net->b, &a, "PUT", "/echo/x", .retries = 3);
    pass(10); /* two tries of 2 ms, and their pauses */
    assert_false(a.has_come);
    fake_http_set(NULL, &net->b.addr, FAKE_HTTP_UP);
    await(&a);
    assert_int_equal(a.status, 200);
    assert_string_equal(net->b.seen, "PUT x;");
}

static void nobody_listens_and_no_name_is_known(void **state)
{
    struct net *net = *state;
    struct node nobody = { .addr = addr_of("10.0.0.3", 8080) };
    struct answer a;
    SEND(&net->a, &nobody, &a, "GET", "/echo/x");
    await(&a);
    assert_int_equal(a.rc, XP_IO);
    nobody.addr = addr_of("console.example", 80);
    SEND(&net->a, &nobody, &a, "GET", "/echo/x");
    await(&a);
    assert_int_equal(a.rc, XP_IO);
    assert_non_null(strstr(a.body, "names"));
}

/* ---- ends ---- */

static void a_server_that_dies_resets_and_then_refuses(void **state)
{
    struct net *net = *state;
    struct answer at_work;
    struct answer under_way;
    SEND(&net->a, &net->b, &at_work, "GET", "/keep");
    pass(10);
    SEND(&net->a, &net->b, &under_way, "GET", "/echo/x");
    mono_ms start = clock_mono_ms();
    node_kill(&net->b);
    await(&at_work);
    await(&under_way);
    assert_int_equal(at_work.rc, XP_IO);
    assert_int_equal(under_way.rc, XP_IO);
    assert_in_range(under_way.at - start, 1, 4);
}

static void a_server_that_stops_tells_who_waits(void **state)
{
    struct net *net = *state;
    struct answer a;
    SEND(&net->a, &net->b, &a, "GET", "/keep");
    pass(10);
    node_stop(&net->b);
    await(&a);
    assert_int_equal(a.status, 503);
}

static void what_was_sent_before_a_crash_arrives(void **state)
{
    struct net *net = *state;
    struct answer sent;
    struct answer queued[2];
    SEND(&net->a, &net->b, &sent, "POST", "/echo/sent");
    pass(0); /* a worker has taken it */
    SEND(&net->a, &net->b, &queued[0], "POST", "/echo/unsent");
    SEND(&net->a, &net->b, &queued[1], "POST", "/echo/unsent");
    node_kill(&net->a);
    assert_int_equal(sent.rc, XP_TIMEOUT); /* told to what is left of the process */
    assert_int_equal(queued[0].rc, XP_UNAVAILABLE);
    pass(5000);
    assert_string_equal(net->b.seen, "POST sent;");
}

static void a_stop_does_not_wait_for_answers(void **state)
{
    struct net *net = *state;
    struct answer a;
    SEND(&net->a, &net->b, &a, "GET", "/keep", .retries = 3);
    pass(10);
    mono_ms start = clock_mono_ms();
    node_stop(&net->a);
    assert_int_equal(clock_mono_ms(), start);
    assert_int_equal(a.rc, XP_TIMEOUT);
}

/* ---- the outside ---- */

static void serve(const char *method, const char *target, const char *body, size_t length,
                  const char *if_none_match, struct http_reply *ret_reply, void *arg)
{
    (void)arg;
    ret_reply->status = if_none_match ? 304 : 200;
    ret_reply->body = xasprintf("%s %s %.*s", method, target, (int)length, body);
    ret_reply->etag = xstrdup("\"s\"");
}

static void on_outside(int rc, int status, const char *body, void *arg)
{
    struct answer *a = arg;
    a->rc = rc;
    a->status = status;
    (void)snprintf(a->body, sizeof(a->body), "%s", body);
    a->has_come = true;
}

static void services_and_calls_from_outside(void **state)
{
    struct net *net = *state;
    struct node service = { .addr = addr_of("10.0.0.9", 80) };
    struct answer a;
    fake_http_serve(&service.addr, serve, NULL);
    SEND(&net->a, &service, &a, "PUT", "/some/where?x=1", .body = "text");
    await(&a);
    assert_string_equal(a.body, "PUT /some/where?x=1 text");
    assert_string_equal(a.etag, "\"s\"");
    SEND(&net->a, &service, &a, "GET", "/", .header = "If-None-Match: \"s\"");
    await(&a);
    assert_int_equal(a.status, 304);
    fake_http_serve(&service.addr, NULL, NULL);
    SEND(&net->a, &service, &a, "GET", "/");
    await(&a);
    assert_int_equal(a.rc, XP_IO);
    struct loop *outside = loop_new();
    a = (struct answer){ 0 };
    fake_http_request(outside, "PUT", "http://10.0.0.2:8080/echo/o", "b", 1000, on_outside, &a);
    await(&a);
    assert_int_equal(a.status, 200);
    assert_non_null(strstr(a.body, "\"body\":\"b\""));
    fake_http_set(outside, &net->b.addr, FAKE_HTTP_CUT);
    a = (struct answer){ 0 };
    fake_http_request(outside, "GET", "http://10.0.0.2:8080/echo/o", NULL, 1000, on_outside, &a);
    await(&a);
    assert_int_equal(a.rc, XP_IO);
    loop_free(outside);
}

#define T(name) cmocka_unit_test_setup_teardown(name, open_net, close_net)

int main(void)
{
    log_set_level(LOG_ERROR);
    const struct CMUnitTest tests[] = {
        T(every_method_arrives_and_is_answered),
        T(refusals_are_those_of_the_server),
        T(a_worker_may_call_while_it_serves),
        T(a_handler_that_does_not_answer_is_answered_for),
        T(calls_overtake_each_other),
        T(a_frozen_server_answers_when_it_thaws),
        T(a_frozen_client_finds_the_answer_when_it_thaws),
        T(each_trouble_has_its_error),
        T(what_can_be_repeated_is_retried),
        T(nobody_listens_and_no_name_is_known),
        T(a_server_that_dies_resets_and_then_refuses),
        T(a_server_that_stops_tells_who_waits),
        T(what_was_sent_before_a_crash_arrives),
        T(a_stop_does_not_wait_for_answers),
        T(services_and_calls_from_outside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
