/* container_calls_test.c - calls to keeper containers against scripted ones: what is sent, in which order, how many at once. */
#include "meta/keepers/container_calls.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "meta/slots/slot.h"
#include "shared/base/list.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/net/http_server.h"
#include "tests/unit/unit.h"

#include "shared/base/banned.h"

#define LIMIT_MS   10000
#define TIMEOUT_MS 1500 /* of a call */
#define THREADS    4
#define HELD_MAX   32
#define DONE_MAX   64

/* ---- a scripted container ---- */

struct answer {
    int status; /* 0: 200 */
    const char *header;
    const char *body;
};

struct world;

struct box {
    struct world *world;
    struct http_server *server;
    struct addr addr;
    struct answer look;
    struct answer start;
    struct answer drop;
    bool is_holding;
    struct http_req *held[HELD_MAX];
    size_t held_count;
    int requests;
    struct str seen; /* "METHOD path body\n" */
};

struct done_row {
    int rc;
    struct addr keeper;
    char error[240];
};

struct world {
    struct loop *loop;
    struct container_calls *calls;
    struct budget removals;
    struct box boxes[3];
    /* what the metaserver knows */
    bool is_ours;
    int64_t wanted_shard; /* has a keeper at wanted_addr */
    struct addr wanted_addr;
    int may_calls;
    /* what came back */
    struct done_row done[DONE_MAX];
    size_t done_count;
    int quiets;
    int last_quiet;
    /* a wait */
    struct loop_timer tick;
    bool (*cond)(struct world *);
    size_t wanted;
    mono_ms limit;
};

static const struct answer *answer_for(const struct box *b, const char *method)
{
    return text_eq(method, "GET") ? &b->look : text_eq(method, "POST") ? &b->start : &b->drop;
}

static void fill(const struct box *b, const struct http_req *req, struct http_resp *resp)
{
    const struct answer *a = answer_for(b, http_req_method(req));
    http_resp_text(resp, a->status ? a->status : 200, "application/json", a->body ? a->body : "");
    if (a->header) {
        http_resp_header(resp, "X-Keeper-Container-Error", a->header);
    }
}

static int handle(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    (void)err;
    struct box *b = http_req_arg(req);
    b->requests++;
    str_printf(&b->seen, "%s %s %s\n", http_req_method(req), http_req_target(req),
               http_req_body(req, NULL));
    if (b->is_holding) {
        assert_true(b->held_count < HELD_MAX);
        b->held[b->held_count++] = req;
        return HTTP_LATER;
    }
    fill(b, req, resp);
    return 0;
}

static void release(struct box *b)
{
    b->is_holding = false;
    while (b->held_count > 0) {
        struct http_req *req = b->held[--b->held_count];
        struct http_resp resp = { 0 };
        fill(b, req, &resp);
        http_req_finish(req, 0, &resp, NULL);
    }
}

static void on_http_error(const struct http_req *req, const struct http_route *route,
                          const struct xp_err *err, struct http_resp *resp)
{
    (void)req;
    (void)route;
    http_resp_text(resp, resp->status, "text/plain", err->msg);
}

/* clang-format off */
static const struct http_route box_routes[] = {
    { "GET", "/keepers/port/{port}", handle, HTTP_ON_LOOP, 1 << 16, "read", "-" },
    { "POST", "/keepers/clusters/{c}/shards/{s}", handle, HTTP_ON_LOOP, 1 << 16, "write", "-" },
    { "DELETE", "/keepers/clusters/{c}/shards/{s}", handle, HTTP_ON_LOOP, 1 << 16, "write", "-" },
    { .method = NULL },
};
/* clang-format on */
static const struct http_route *const box_tables[] = { box_routes, NULL };

static void box_start(struct box *b, struct world *w)
{
    *b = (struct box){ .world = w, .seen = STR_INIT(1 << 20), .look.body = "{\"replId\":null}" };
    struct http_options options = {
        .loop = w->loop,
        .bind_ip = "127.0.0.1",
        .max_connections = 50,
        .handler_timeout_ms = 20000,
        .tables = box_tables,
        .on_error = on_http_error,
        .arg = b,
    };
    struct xp_err err;
    assert_int_equal(http_server_start(&options, &b->server, &err), 0);
    b->addr = addr_of("127.0.0.1", http_server_port(b->server));
}

/* ---- the world ---- */

static int may_call(int64_t cluster_id, void *arg, struct xp_err *err)
{
    struct world *w = arg;
    w->may_calls++;
    return w->is_ours ? 0 : xp_fail(err, XP_NOT_OWNER, "cluster %d is not ours", (int)cluster_id);
}

static bool is_wanted(int64_t shard_id, const struct addr *keeper, void *arg)
{
    const struct world *w = arg;
    return shard_id == w->wanted_shard && addr_eq(keeper, &w->wanted_addr);
}

static void on_done(int rc, const struct xp_err *err, const struct addr *keeper, void *arg)
{
    struct world *w = arg;
    if (w->done_count < DONE_MAX) {
        struct done_row *row = &w->done[w->done_count];
        row->rc = rc;
        row->keeper = *keeper;
        (void)snprintf(row->error, sizeof(row->error), "%s", rc < 0 ? err->msg : "");
    }
    w->done_count++;
}

static void on_quiet(int slot, void *arg)
{
    struct world *w = arg;
    w->quiets++;
    w->last_quiet = slot;
}

static struct world *world_new(void)
{
    struct world *w = xcalloc(1, sizeof(*w));
    w->loop = loop_new();
    w->is_ours = true;
    budget_init(&w->removals, 1000, 1000, clock_mono_ms());
    for (size_t i = 0; i < ARRAY_LEN(w->boxes); i++) {
        box_start(&w->boxes[i], w);
    }
    struct container_calls_options options = {
        .loop = w->loop,
        .threads = THREADS,
        .connect_timeout_ms = 1000,
        .timeout_ms = TIMEOUT_MS,
        .removals = &w->removals,
        .may_call = may_call,
        .is_wanted = is_wanted,
        .arg = w,
    };
    w->calls = container_calls_new(&options);
    container_calls_on_quiet(w->calls, on_quiet, w);
    return w;
}

static void world_free(struct world *w)
{
    loop_timer_stop(&w->tick);
    for (size_t i = 0; i < ARRAY_LEN(w->boxes); i++) {
        release(&w->boxes[i]);
    }
    container_calls_free(w->calls);
    for (size_t i = 0; i < ARRAY_LEN(w->boxes); i++) {
        http_server_stop(w->boxes[i].server);
        str_done(&w->boxes[i].seen);
    }
    loop_free(w->loop);
    free(w);
}

static void tick_fired(struct loop_timer *t)
{
    struct world *w = CONTAINER_OF(t, struct world, tick);
    if (w->cond(w) || loop_now(w->loop) >= w->limit) {
        loop_stop(w->loop);
    } else {
        loop_timer_start(t, 2);
    }
}

static bool run_until(struct world *w, bool (*cond)(struct world *), int64_t limit_ms)
{
    w->cond = cond;
    w->limit = clock_mono_ms() + limit_ms;
    loop_timer_init(&w->tick, w->loop, tick_fired);
    loop_timer_start(&w->tick, 0);
    loop_run(w->loop);
    return cond(w);
}

static bool has_done(struct world *w)
{
    return w->done_count >= w->wanted;
}

static void wait_done(struct world *w, size_t count)
{
    w->wanted = count;
    if (!run_until(w, has_done, LIMIT_MS)) {
        fail_msg("%zu calls ended, not %zu", w->done_count, count);
    }
    assert_int_equal(w->done_count, count);
}

static bool has_requests(struct world *w)
{
    size_t count = 0;
    for (size_t i = 0; i < ARRAY_LEN(w->boxes); i++) {
        count += (size_t)w->boxes[i].requests;
    }
    return count >= w->wanted;
}

static void wait_requests(struct world *w, size_t count)
{
    w->wanted = count;
    assert_true(run_until(w, has_requests, LIMIT_MS));
}

static bool never(struct world *w)
{
    (void)w;
    return false;
}

static struct container_call call_to(const struct addr *container, int keeper_port, bool is_removal)
{
    return (struct container_call){
        .container = *container,
        .cluster_id = 1,
        .shard_id = 2,
        .keeper = { .id = (char *)(uintptr_t) "ab12",
                    .addr = addr_of("10.0.0.1", keeper_port),
                    .container_id = 5,
                    .priority = 3 },
        .is_removal = is_removal,
    };
}

static int try_submit(struct world *w, const struct addr *container, int port, bool is_removal)
{
    struct xp_err err;
    struct container_call call = call_to(container, port, is_removal);
    return container_calls_submit(w->calls, &call, on_done, w, &err);
}

static void add(struct world *w, int box, int port)
{
    assert_int_equal(try_submit(w, &w->boxes[box].addr, port, false), 0);
}

static void drop(struct world *w, int box, int port)
{
    assert_int_equal(try_submit(w, &w->boxes[box].addr, port, true), 0);
}

/* clang-format off */
#define TRANS \
    "{\"clusterDbId\":1,\"shardDbId\":2,\"replId\":2,\"keeperMeta\":{\"id\":\"ab12\",\"ip\":\"10.0.0.1\",\"port\":%d," \
    "\"master\":null,\"active\":false,\"keeperContainerId\":5,\"priority\":3,\"offset\":null,\"survive\":null}}"
/* clang-format on */

XP_PRINTF(2, 3)
static void expect_seen(const struct box *b, const char *fmt, ...)
{
    char wanted[4000];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(wanted, sizeof(wanted), fmt, args);
    va_end(args);
    assert_string_equal(str_text(&b->seen), wanted);
}

/* ---- what is sent ---- */

static void adding_and_removing(void **state)
{
    (void)state;
    struct world *w = world_new();
    add(w, 0, 6380);
    assert_int_equal(w->done_count, 0); /* never before submit returns */
    wait_done(w, 1);
    assert_int_equal(w->done[0].rc, 0);
    assert_int_equal(w->done[0].keeper.port, 6380);
    expect_seen(&w->boxes[0],
                "GET /keepers/port/6380 \nPOST /keepers/clusters/1/shards/2 " TRANS "\n", 6380);
    str_clear(&w->boxes[0].seen);
    drop(w, 0, 6381);
    wait_done(w, 2);
    assert_int_equal(w->done[1].rc, 0);
    expect_seen(&w->boxes[0], "DELETE /keepers/clusters/1/shards/2 " TRANS "\n", 6381);
    world_free(w);
}

/* What each code means: in the header, in the body, and in both with the header first. */
static void every_error_code(void **state)
{
    (void)state;
    static const struct {
        const char *code;
        bool is_added;
        bool is_removed;
    } codes[] = {
        { "KEEPER_ALREADY_EXIST", true, false }, { "KEEPER_ALREADY_STARTED", true, false },
        { "KEEPER_NOT_EXIST", false, true },     { "KEEPER_ALREADY_DELETED", false, true },
        { "KEEPER_NOT_STARTED", false, false },  { "KEEPER_ALREADY_STOPPED", false, false },
        { "INTERNAL_EXCEPTION", false, false },  { "keeper_already_exist", false, false },
        { "SOMETHING_NEW", false, false },
    };
    struct world *w = world_new();
    struct box *b = &w->boxes[0];
    for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
        AUTO_FREE char *body =
            xasprintf("{\"errorType\":\"%s\",\"errorMessage\":\"why\"}", codes[i].code);
        for (int where = 0; where < 4; where++) {
            const struct answer answers[] = { { 500, codes[i].code, body },
                                              { 500, NULL, body },
                                              { 500, codes[i].code, "<html>" },
                                              { 500, codes[i].code, "{\"errorType\":\"X\"}" } };
            size_t before = w->done_count = 0;
            b->start = b->drop = answers[where];
            add(w, 0, 6380);
            wait_done(w, before + 1);
            assert_int_equal(w->done[0].rc, codes[i].is_added ? 0 : XP_REMOTE);
            if (!codes[i].is_added) {
                assert_non_null(strstr(w->done[0].error, codes[i].code));
                assert_non_null(strstr(w->done[0].error, "10.0.0.1:6380"));
            }
            drop(w, 0, 6380);
            wait_done(w, before + 2);
            assert_int_equal(w->done[1].rc, codes[i].is_removed ? 0 : XP_REMOTE);
        }
    }
    static const struct answer others[] = {
        { 500, NULL, "{\"message\":\"disk is full\"}" },
        { 404, NULL, "" },
        { 302, NULL, "" },
        { 400, NULL, "[]" },
        { 500, NULL, "{\"errorType\":7}" },
    };
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        w->done_count = 0;
        b->start = others[i];
        add(w, 0, 6380);
        wait_done(w, 1);
        assert_int_equal(w->done[0].rc, XP_REMOTE);
        assert_true(i != 0 || strstr(w->done[0].error, "disk is full"));
    }
    world_free(w);
}

/* A page of a proxy, a body cut short: nothing that a container says when it did what it was told. */
static void a_garbage_consent_is_a_failure(void **state)
{
    (void)state;
    static const char *const garbage[] = { "<html>{\"replId\":", "ok", "{", "{\"a\":1}x" };
    static const char *const fine[] = { "", " \n", "true", "null", "{}" };
    struct world *w = world_new();
    struct box *b = &w->boxes[0];
    for (size_t i = 0; i < 2 * ARRAY_LEN(garbage); i++) {
        w->done_count = 0;
        b->start.body = b->drop.body = garbage[i / 2];
        i % 2 ? add(w, 0, 6380) : drop(w, 0, 6380);
        wait_done(w, 1);
        assert_int_equal(w->done[0].rc, XP_IO);
        assert_non_null(strstr(w->done[0].error, "no answer of a container"));
        assert_non_null(strstr(w->done[0].error, garbage[i / 2]));
    }
    for (size_t i = 0; i < 2 * ARRAY_LEN(fine); i++) {
        w->done_count = 0;
        b->start.body = b->drop.body = fine[i / 2];
        i % 2 ? add(w, 0, 6380) : drop(w, 0, 6380);
        wait_done(w, 1);
        assert_int_equal(w->done[0].rc, 0);
    }
    w->done_count = 0;
    b->start.body = "{\"errorType\":\"INTERNAL_EXCEPTION\",\"errorMessage\":\"disk is full\"}";
    add(w, 0, 6380);
    wait_done(w, 1);
    assert_int_equal(w->done[0].rc, XP_REMOTE);
    assert_non_null(strstr(w->done[0].error, "disk is full"));
    world_free(w);
}

#define FOREIGN                                                                                    \
    "{\"clusterDbId\":null,\"shardDbId\":null,\"replId\":9,\"keeperMeta\":{\"port\":6380}}"

static void a_foreign_keeper_on_the_port(void **state)
{
    (void)state;
    static const char *const foreign[] = {
        FOREIGN, "{\"clusterDbId\":4,\"shardDbId\":9,\"keeperMeta\":{\"port\":6380}}"
    };
    static const struct answer drops[] = { { 0 }, { 500, "INTERNAL_EXCEPTION", "" } };
    struct world *w = world_new();
    struct box *b = &w->boxes[0];
    for (int i = 0; i < 4; i++) {
        w->done_count = 0;
        str_clear(&b->seen);
        budget_init(&w->removals, 1, 1, clock_mono_ms());
        b->look.body = foreign[i % 2];
        b->drop = drops[i / 2];
        add(w, 0, 6380);
        wait_done(w, 1);
        assert_int_equal(w->done[0].rc, 0);
        expect_seen(b,
                    "GET /keepers/port/6380 \nDELETE /keepers/clusters/%d/shards/9 %s\n"
                    "POST /keepers/clusters/1/shards/2 " TRANS "\n",
                    i % 2 ? 4 : 0, foreign[i % 2], 6380);
        assert_false(budget_take(&w->removals, clock_mono_ms())); /* it cost a token */
    }
    world_free(w);
}

static void a_foreign_keeper_that_is_wanted_stays(void **state)
{
    (void)state;
    struct world *w = world_new();
    w->boxes[0].look.body = FOREIGN;
    w->wanted_shard = 9;
    w->wanted_addr = addr_of("10.0.0.1", 6380);
    add(w, 0, 6380);
    wait_done(w, 1);
    assert_int_equal(w->done[0].rc, XP_CONFLICT);
    expect_seen(&w->boxes[0], "GET /keepers/port/6380 \n");
    /* Wanted again while it waits for a token: asked once more. */
    w->wanted_shard = 0;
    budget_init(&w->removals, 10, 1, clock_mono_ms());
    assert_true(budget_take(&w->removals, clock_mono_ms()));
    str_clear(&w->boxes[0].seen);
    add(w, 0, 6380);
    wait_requests(w, 2);
    (void)run_until(w, never, 20); /* the answer is read: there is no token for the next step */
    w->wanted_shard = 9;
    wait_done(w, 2);
    assert_int_equal(w->done[1].rc, XP_CONFLICT);
    expect_seen(&w->boxes[0], "GET /keepers/port/6380 \n");
    world_free(w);
}

/* Our own keeper on the port, a port of nobody in all spellings, and answers that say nothing: the container decides. */
static void other_answers_about_the_port(void **state)
{
    (void)state;
    static const struct answer looks[] = {
        { 200, NULL, "{\"replId\":2}" },
        { 200, NULL, "{\"clusterDbId\":1,\"shardDbId\":2}" },
        { 200, NULL,
          "{\"clusterDbId\":null,\"shardDbId\":null,\"replId\":null,\"keeperMeta\":null}" },
        { 200, NULL, "null" },
        { 200, NULL, "" },
        { 200, NULL, "<html>" },
        { 200, NULL, "{\"replId\":\"x\"}" },
        { 404, NULL, "" },
        { 500, "INTERNAL_EXCEPTION", FOREIGN },
    };
    struct world *w = world_new();
    for (size_t i = 0; i < ARRAY_LEN(looks); i++) {
        w->boxes[0].look = looks[i];
        str_clear(&w->boxes[0].seen);
        add(w, 0, 6380);
        wait_done(w, i + 1);
        assert_int_equal(w->done[i].rc, 0);
        expect_seen(&w->boxes[0],
                    "GET /keepers/port/6380 \nPOST /keepers/clusters/1/shards/2 " TRANS "\n", 6380);
    }
    world_free(w);
}

/* ---- may it be sent ---- */

static void not_ours_any_more(void **state)
{
    (void)state;
    struct world *w = world_new();
    add(w, 0, 6380);
    drop(w, 0, 6381);
    w->is_ours = false;
    wait_done(w, 2);
    assert_int_equal(w->done[0].rc, XP_NOT_OWNER);
    assert_int_equal(w->done[1].rc, XP_NOT_OWNER);
    assert_int_equal(w->boxes[0].requests, 0);
    assert_int_equal(w->removals.tokens_milli, 1000 * 1000); /* nothing was sent */
    w->is_ours = true;
    w->boxes[0].is_holding = true;
    add(w, 0, 6380);
    wait_requests(w, 1);
    w->is_ours = false; /* between the question and the change */
    release(&w->boxes[0]);
    wait_done(w, 3);
    assert_int_equal(w->done[2].rc, XP_NOT_OWNER);
    expect_seen(&w->boxes[0], "GET /keepers/port/6380 \n");
    world_free(w);
}

static void a_removal_of_what_is_wanted_again(void **state)
{
    (void)state;
    struct world *w = world_new();
    w->wanted_shard = 2;
    w->wanted_addr = addr_of("10.0.0.1", 6380);
    drop(w, 0, 6380);
    wait_done(w, 1);
    assert_int_equal(w->done[0].rc, XP_CONFLICT);
    assert_int_equal(w->boxes[0].requests, 0);
    world_free(w);
}

static void removals_wait_for_tokens(void **state)
{
    (void)state;
    struct world *w = world_new();
    budget_init(&w->removals, 10, 1, clock_mono_ms());
    for (int i = 0; i < 4; i++) {
        drop(w, i % 2, 6380 + i); /* two containers: in order all the same */
    }
    for (int i = 0; i < 3; i++) {
        add(w, 2, 7000 + i);
    }
    mono_ms begin = clock_mono_ms();
    wait_done(w, 7);
    assert_in_range(clock_mono_ms() - begin, 250, LIMIT_MS); /* three tokens, 100 ms each */
    int next = 6380;
    for (int i = 0; i < 7; i++) {
        assert_int_equal(w->done[i].rc, 0);
        if (w->done[i].keeper.port < 7000) {
            assert_int_equal(w->done[i].keeper.port, next++);
        }
    }
    assert_int_equal(w->done[6].keeper.port, 6383); /* who adds does not wait behind them */
    assert_int_equal(w->done[5].keeper.port, 6382);
    world_free(w);
}

/* ---- how many ---- */

static void two_at_once_for_each_and_threads_in_all(void **state)
{
    (void)state;
    struct world *w = world_new();
    for (int b = 0; b < 3; b++) {
        w->boxes[b].is_holding = true;
        for (int i = 0; i < 3; i++) {
            add(w, b, 6380 + b * 10 + i);
        }
    }
    wait_requests(w, THREADS);
    (void)run_until(w, never, 100);
    int requests = 0;
    for (int b = 0; b < 3; b++) {
        assert_in_range(w->boxes[b].requests, 1, 2);
        requests += w->boxes[b].requests;
    }
    assert_int_equal(requests, THREADS);
    for (int b = 0; b < 3; b++) {
        release(&w->boxes[b]);
    }
    wait_done(w, 9);
    w->boxes[0].is_holding = true;
    w->boxes[0].requests = w->boxes[1].requests = w->boxes[2].requests = 0;
    for (int i = 0; i < 5; i++) {
        add(w, 0, 6380 + i);
    }
    add(w, 1, 7000);
    wait_done(w, 10); /* past those that wait for the first one */
    assert_int_equal(w->boxes[0].requests, 2);
    release(&w->boxes[0]);
    wait_done(w, 15);
    world_free(w);
}

/* Accepts connections, by the system, and never says a word. */
static int silent_listener(struct addr *ret_addr)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)(void *)&at, length), 0);
    assert_int_equal(listen(fd, 16), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)(void *)&at, &length), 0);
    *ret_addr = addr_of("127.0.0.1", ntohs(at.sin_port));
    return fd;
}

static void a_silent_container_delays_only_its_own(void **state)
{
    (void)state;
    struct world *w = world_new();
    struct addr silent;
    int fd = silent_listener(&silent);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(try_submit(w, &silent, 9000 + i, false), 0);
    }
    for (int i = 0; i < 20; i++) {
        add(w, 0, 6380 + i);
    }
    mono_ms begin = clock_mono_ms();
    wait_done(w, 40);
    assert_in_range(clock_mono_ms() - begin, TIMEOUT_MS - 50, 2 * TIMEOUT_MS);
    int timeouts = 0;
    for (int i = 0; i < 40; i++) {
        bool is_good = w->done[i].keeper.port < 9000;
        assert_int_equal(is_good, i < 20); /* all good ones came first */
        timeouts += w->done[i].rc == XP_TIMEOUT;
        assert_true(is_good ? w->done[i].rc == 0
                            : w->done[i].rc == XP_TIMEOUT || w->done[i].rc == XP_UNAVAILABLE);
    }
    assert_int_equal(timeouts, 2);
    json_auto_t *rows = container_calls_json(w->calls);
    assert_int_equal(json_array_size(rows), 1);
    const json_t *row = json_array_get(rows, 0);
    assert_true(json_is_true(json_object_get(row, "is_silent")));
    assert_non_null(strstr(json_string_value(json_object_get(row, "last_error")), "no answer"));
    assert_int_equal(json_integer_value(json_object_get(row, "waiting")), 0);
    /* Now it is known to be silent: one at a time, and the rest ends with it. */
    w->done_count = 0;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(try_submit(w, &silent, 9000 + i, false), 0);
    }
    wait_done(w, 5);
    timeouts = 0;
    for (int i = 0; i < 5; i++) {
        timeouts += w->done[i].rc == XP_TIMEOUT;
    }
    assert_int_equal(timeouts, 1);
    close(fd);
    w->done_count = 0;
    assert_int_equal(try_submit(w, &silent, 9000, false), 0);
    wait_done(w, 1);
    assert_int_equal(w->done[0].rc, XP_IO); /* refused */
    world_free(w);
}

/* Silent containers together keep half of the threads free. */
static void many_silent_containers_leave_room(void **state)
{
    (void)state;
    struct world *w = world_new();
    struct addr silent[6];
    int fds[6];
    for (int i = 0; i < 6; i++) {
        fds[i] = silent_listener(&silent[i]);
        assert_int_equal(try_submit(w, &silent[i], 9000 + i, false), 0);
    }
    wait_done(w, 6); /* known to be silent from now on */
    w->done_count = 0;
    for (int i = 0; i < 6; i++) {
        assert_int_equal(try_submit(w, &silent[i], 9000 + i, false), 0);
    }
    (void)run_until(w, never, 50);
    for (int i = 0; i < 6; i++) {
        add(w, 0, 6380 + i);
    }
    wait_done(w, 6);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(w->done[i].rc, 0);
        close(fds[i]);
    }
    world_free(w);
}

static void the_queue_is_bounded(void **state)
{
    (void)state;
    struct world *w = world_new();
    int rc = 0;
    int accepted = 0;
    while (rc == 0 && accepted <= CONTAINER_QUEUE_MAX) {
        struct addr container = addr_of("127.0.0.1", 1 + accepted % 3000);
        rc = try_submit(w, &container, 1 + accepted, false);
        accepted += rc == 0;
    }
    assert_int_equal(rc, XP_TOO_MANY);
    assert_int_equal(accepted, CONTAINER_QUEUE_MAX);
    world_free(w);
}

static void one_keeper_is_queued_once(void **state)
{
    (void)state;
    struct world *w = world_new();
    add(w, 0, 6380);
    assert_int_equal(try_submit(w, &w->boxes[0].addr, 6380, false), XP_CONFLICT);
    drop(w, 0, 6380); /* another kind */
    container_calls_forget(w->calls, w);
    add(w, 1,
        6380); /* in place of the one that nobody listens to; its container is another one now */
    wait_done(w, 1);
    assert_int_equal(w->done[0].rc, 0);
    (void)run_until(w, never, 50);
    assert_int_equal(w->done_count, 1);
    assert_int_equal(w->boxes[1].requests, 2);
    expect_seen(&w->boxes[0], "DELETE /keepers/clusters/1/shards/2 " TRANS "\n", 6380);
    world_free(w);
}

/* ---- life ---- */

static void the_slot_is_quiet_when_nothing_is_under_way(void **state)
{
    (void)state;
    struct world *w = world_new();
    int slot = slot_of_cluster(1);
    w->boxes[0].is_holding = true;
    add(w, 0, 6380);
    add(w, 0, 6381);
    assert_true(container_calls_is_quiet(w->calls, slot)); /* what waits can be refused yet */
    wait_requests(w, 2);
    assert_false(container_calls_is_quiet(w->calls, slot));
    assert_false(container_calls_is_quiet(w->calls, -1));
    assert_true(container_calls_is_quiet(w->calls, (slot + 1) % SLOT_COUNT));
    assert_int_equal(w->quiets, 0);
    release(&w->boxes[0]);
    wait_done(w, 2);
    (void)run_until(w, never, 10);
    assert_int_equal(w->quiets, 1);
    assert_int_equal(w->last_quiet, slot);
    assert_true(container_calls_is_quiet(w->calls, slot));
    assert_true(container_calls_is_quiet(w->calls, -1));
    world_free(w);
}

static bool box_has_posted(struct world *w)
{
    return strstr(str_text(&w->boxes[0].seen), "POST") != NULL && w->quiets > 0;
}

static void who_forgets_is_not_called(void **state)
{
    (void)state;
    struct world *w = world_new();
    int other = 0;
    struct xp_err err;
    w->boxes[0].is_holding = true;
    add(w, 0, 6380);
    add(w, 0, 6381);
    struct container_call call = call_to(&w->boxes[1].addr, 6390, false);
    assert_int_equal(container_calls_submit(w->calls, &call, NULL, &other, &err), 0);
    wait_requests(w, 3);
    container_calls_forget(w->calls, &other);
    container_calls_forget(w->calls, w);
    release(&w->boxes[0]);
    assert_true(run_until(w, box_has_posted, LIMIT_MS)); /* it goes on */
    assert_int_equal(w->done_count, 0);
    world_free(w);
}

static void freed_with_calls_under_way(void **state)
{
    (void)state;
    struct world *w = world_new();
    w->boxes[0].is_holding = true;
    w->boxes[1].look.body = FOREIGN;
    budget_init(&w->removals, 1, 1, clock_mono_ms());
    assert_true(budget_take(&w->removals, clock_mono_ms()));
    for (int i = 0; i < 5; i++) {
        add(w, 0, 6380 + i);
        drop(w, 0, 6380 + i);
    }
    add(w, 1, 6390);
    wait_requests(w, 3);
    world_free(w);
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    log_set_level(LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adding_and_removing),
        cmocka_unit_test(every_error_code),
        cmocka_unit_test(a_garbage_consent_is_a_failure),
        cmocka_unit_test(a_foreign_keeper_on_the_port),
        cmocka_unit_test(a_foreign_keeper_that_is_wanted_stays),
        cmocka_unit_test(other_answers_about_the_port),
        cmocka_unit_test(not_ours_any_more),
        cmocka_unit_test(a_removal_of_what_is_wanted_again),
        cmocka_unit_test(removals_wait_for_tokens),
        cmocka_unit_test(two_at_once_for_each_and_threads_in_all),
        cmocka_unit_test(a_silent_container_delays_only_its_own),
        cmocka_unit_test(many_silent_containers_leave_room),
        cmocka_unit_test(the_queue_is_bounded),
        cmocka_unit_test(one_keeper_is_queued_once),
        cmocka_unit_test(the_slot_is_quiet_when_nothing_is_under_way),
        cmocka_unit_test(who_forgets_is_not_called),
        cmocka_unit_test(freed_with_calls_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
