/* container_box.h - scripted keeper containers, and the calls to them (container_calls.h), for the tests of those. */
#ifndef TESTS_UNIT_CONTAINER_BOX_H
#define TESTS_UNIT_CONTAINER_BOX_H

#include "meta/keepers/container_calls.h"

#include <stdio.h>

#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/net/http_server.h"
#include "tests/unit/unit.h"

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

static inline void fill(const struct box *b, const struct http_req *req, struct http_resp *resp)
{
    const struct answer *a = answer_for(b, http_req_method(req));
    http_resp_text(resp, a->status ? a->status : 200, "application/json", a->body ? a->body : "");
    if (a->header) {
        http_resp_header(resp, "X-Keeper-Container-Error", a->header);
    }
}

static inline int handle(struct http_req *req, struct http_resp *resp, struct xp_err *err)
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

static inline void release(struct box *b)
{
    b->is_holding = false;
    while (b->held_count > 0) {
        struct http_req *req = b->held[--b->held_count];
        struct http_resp resp = { 0 };
        fill(b, req, &resp);
        http_req_finish(req, 0, &resp, NULL);
    }
}

static inline void on_http_error(const struct http_req *req, const struct http_route *route,
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

static inline void box_start(struct box *b, struct world *w)
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

static inline int may_call(int64_t cluster_id, void *arg, struct xp_err *err)
{
    struct world *w = arg;
    w->may_calls++;
    return w->is_ours ? 0 : xp_fail(err, XP_NOT_OWNER, "cluster %d is not ours", (int)cluster_id);
}

static inline bool is_wanted(int64_t shard_id, const struct addr *keeper, void *arg)
{
    const struct world *w = arg;
    return shard_id == w->wanted_shard && addr_eq(keeper, &w->wanted_addr);
}

static inline void on_done(int rc, const struct xp_err *err, const struct addr *keeper, void *arg)
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

static inline void on_quiet(int slot, void *arg)
{
    struct world *w = arg;
    w->quiets++;
    w->last_quiet = slot;
}

static inline struct world *world_new(void)
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

static inline void world_free(struct world *w)
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

static inline void tick_fired(struct loop_timer *t)
{
    struct world *w = CONTAINER_OF(t, struct world, tick);
    if (w->cond(w) || loop_now(w->loop) >= w->limit) {
        loop_stop(w->loop);
    } else {
        loop_timer_start(t, 2);
    }
}

static inline bool run_until(struct world *w, bool (*cond)(struct world *), int64_t limit_ms)
{
    w->cond = cond;
    w->limit = clock_mono_ms() + limit_ms;
    loop_timer_init(&w->tick, w->loop, tick_fired);
    loop_timer_start(&w->tick, 0);
    loop_run(w->loop);
    return cond(w);
}

static inline bool has_done(struct world *w)
{
    return w->done_count >= w->wanted;
}

static inline void wait_done(struct world *w, size_t count)
{
    w->wanted = count;
    if (!run_until(w, has_done, LIMIT_MS)) {
        fail_msg("%zu calls ended, not %zu", w->done_count, count);
    }
    assert_int_equal(w->done_count, count);
}

static inline bool has_requests(struct world *w)
{
    size_t count = 0;
    for (size_t i = 0; i < ARRAY_LEN(w->boxes); i++) {
        count += (size_t)w->boxes[i].requests;
    }
    return count >= w->wanted;
}

static inline void wait_requests(struct world *w, size_t count)
{
    w->wanted = count;
    assert_true(run_until(w, has_requests, LIMIT_MS));
}

static inline bool never(struct world *w)
{
    (void)w;
    return false;
}

static inline struct container_call call_to(const struct addr *container, int keeper_port,
                                            bool is_removal)
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

static inline int try_submit(struct world *w, const struct addr *container, int port,
                             bool is_removal)
{
    struct xp_err err;
    struct container_call call = call_to(container, port, is_removal);
    return container_calls_submit(w->calls, &call, on_done, w, &err);
}

static inline void add(struct world *w, int box, int port)
{
    assert_int_equal(try_submit(w, &w->boxes[box].addr, port, false), 0);
}

static inline void drop(struct world *w, int box, int port)
{
    assert_int_equal(try_submit(w, &w->boxes[box].addr, port, true), 0);
}

/* clang-format off */
#define TRANS \
    "{\"clusterDbId\":1,\"shardDbId\":2,\"replId\":2,\"keeperMeta\":{\"id\":\"ab12\",\"ip\":\"10.0.0.1\",\"port\":%d," \
    "\"master\":null,\"active\":false,\"keeperContainerId\":5,\"priority\":3,\"offset\":null,\"survive\":null}}"
/* clang-format on */

XP_PRINTF(2, 3)
static inline void expect_seen(const struct box *b, const char *fmt, ...)
{
    char wanted[4000];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(wanted, sizeof(wanted), fmt, args);
    va_end(args);
    assert_string_equal(str_text(&b->seen), wanted);
}

/* The answer of a container that has somebody else's keeper there. */
#define FOREIGN                                                                                    \
    "{\"clusterDbId\":null,\"shardDbId\":null,\"replId\":9,\"keeperMeta\":{\"port\":6380}}"

#endif
