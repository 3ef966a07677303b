/* console_script.h - a scripted HTTP server on the test's own loop: one answer for every path, changed between requests. */
#ifndef TESTS_UNIT_CONSOLE_SCRIPT_H
#define TESTS_UNIT_CONSOLE_SCRIPT_H

#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/net/http_server.h"
#include "tests/unit/reserved_port.h"

#define SCRIPT_LIMIT_MS 20000

struct script {
    struct loop *loop;
    struct http_server *server;
    int port;
    /* the answer to come */
    int status;
    char *body; /* owned */
    const char *etag;
    bool is_java; /* knows no /api/meta/v2/ */
    bool is_held; /* keeps requests until script_release */
    struct http_req *held;
    /* what was asked */
    int requests;
    struct str seen; /* "METHOD target body\n" */
    char if_none_match[64];
    /* a wait */
    struct loop_timer check;
    bool (*cond)(void *arg);
    void *cond_arg;
    mono_ms until;
};

static inline void script_answer(struct script *s, int status, const char *body)
{
    s->status = status;
    free(s->body);
    s->body = xstrdup(body);
}

static inline void script_fill(const struct script *s, struct http_resp *resp)
{
    http_resp_text(resp, s->status, "application/json", s->body);
    if (s->etag && s->status == 200) {
        free(resp->etag);
        resp->etag = xstrdup(s->etag);
    }
}

static inline int script_handle(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    (void)err;
    struct script *s = http_req_arg(req);
    const char *tag = http_req_header(req, "If-None-Match");
    s->requests++;
    (void)snprintf(s->if_none_match, sizeof(s->if_none_match), "%s", tag ? tag : "");
    str_printf(&s->seen, "%s %s %s\n", http_req_method(req), http_req_target(req),
               http_req_body(req, NULL));
    if (s->is_held && !s->held) {
        s->held = req;
        return HTTP_LATER;
    }
    if (tag && s->etag && text_eq(tag, s->etag)) {
        resp->status = 304;
        return 0;
    }
    if (s->is_java && text_has_prefix(http_req_target(req), "/api/meta/v2/")) {
        http_resp_text(resp, 404, "application/json", "{}");
        return 0;
    }
    script_fill(s, resp);
    return 0;
}

static inline void script_release(struct script *s)
{
    struct http_resp resp = { 0 };
    script_fill(s, &resp);
    s->is_held = false;
    http_req_finish(TAKE(s->held), 0, &resp, NULL);
}

static inline void script_on_error(const struct http_req *req, const struct http_route *route,
                                   const struct xp_err *err, struct http_resp *resp)
{
    (void)req;
    (void)route;
    http_resp_text(resp, resp->status, "text/plain", err->msg);
}

/* clang-format off */
static const struct http_route script_routes[] = {
    { "*", "/{a}", script_handle, HTTP_ON_LOOP, 1 << 20, "read", "-" },
    { "*", "/{a}/{b}", script_handle, HTTP_ON_LOOP, 1 << 20, "read", "-" },
    { "*", "/{a}/{b}/{c}", script_handle, HTTP_ON_LOOP, 1 << 20, "read", "-" },
    { "*", "/{a}/{b}/{c}/{d}", script_handle, HTTP_ON_LOOP, 1 << 20, "read", "-" },
    { "*", "/{a}/{b}/{c}/{d}/{e}", script_handle, HTTP_ON_LOOP, 1 << 20, "read", "-" },
    { "*", "/{a}/{b}/{c}/{d}/{e}/{f}", script_handle, HTTP_ON_LOOP, 1 << 20, "read", "-" },
    { "*", "/{a}/{b}/{c}/{d}/{e}/{f}/{g}", script_handle, HTTP_ON_LOOP, 1 << 20, "read", "-" },
    { "*", "/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}", script_handle, HTTP_ON_LOOP, 1 << 20, "read", "-" },
    { .method = NULL },
};
/* clang-format on */
static const struct http_route *const script_tables[] = { script_routes, NULL };

static inline void script_start(struct script *s)
{
    s->port = s->port ? s->port : reserved_port(); /* after a stop it is the same, and still ours */
    struct http_options options = {
        .loop = s->loop,
        .bind_ip = "127.0.0.1",
        .port = s->port,
        .max_connections = 50,
        .handler_timeout_ms = 20000,
        .tables = script_tables,
        .on_error = script_on_error,
        .arg = s,
    };
    struct xp_err err = { 0 };
    if (http_server_start(&options, &s->server, &err) != 0) {
        fail_msg("%s", err.msg);
    }
}

static inline void script_stop(struct script *s)
{
    if (s->server) {
        http_server_stop(TAKE(s->server));
    }
}

static inline void script_check_fired(struct loop_timer *timer)
{
    struct script *s = CONTAINER_OF(timer, struct script, check);
    if (s->cond(s->cond_arg) || loop_now(s->loop) >= s->until) {
        loop_stop(s->loop);
        return;
    }
    loop_timer_start(timer, 2);
}

/* Runs the loop until the condition holds; false after the limit. */
static inline bool script_wait(struct script *s, bool (*cond)(void *arg), void *arg,
                               int64_t limit_ms)
{
    s->cond = cond;
    s->cond_arg = arg;
    s->until = clock_mono_ms() + limit_ms;
    loop_timer_start(&s->check, 0);
    loop_run(s->loop);
    return cond(arg);
}

static inline void script_init(struct script *s, struct loop *loop)
{
    *s = (struct script){
        .loop = loop, .status = 200, .body = xstrdup(""), .seen = STR_INIT(16U << 20)
    };
    loop_timer_init(&s->check, loop, script_check_fired);
    script_start(s);
}

static inline void script_done(struct script *s)
{
    loop_timer_stop(&s->check);
    script_stop(s);
    str_done(&s->seen);
    free(s->body);
}

#endif
