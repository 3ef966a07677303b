/* http_admit.c - what came: from a header to a route or to a refusal, the body up to its limit, and on to the handler. */
#include <stdio.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/net/http_impl.h"

#include "shared/base/banned.h"

static void set_id(struct http_req *req)
{
    const char *given = http_req_header(req, "X-Request-Id");
    if (http_id_is_valid(given)) {
        (void)snprintf(req->id, sizeof(req->id), "%s", given);
        return;
    }
    (void)snprintf(req->id, sizeof(req->id), "%012llx-%llx",
                   (unsigned long long)(req->server->id_prefix & 0xFFFFFFFFFFFFULL),
                   (unsigned long long)++req->server->id_count);
}

static void no_route(struct http_req *req, int outcome)
{
    char shown[129];
    http_printable(req->path, strlen(req->path), shown, sizeof(shown));
    if (outcome == HTTP_NO_METHOD) {
        struct str allow = STR_INIT(256);
        http_table_allow(req->server->table, &req->split, &allow);
        req->allow = str_take(&allow);
        (void)xp_fail(&req->refusal, XP_UNSUPPORTED, "%.16s is not offered for %s, only %s",
                      req->method, shown, req->allow);
    } else {
        (void)xp_fail(&req->refusal, XP_NOT_FOUND, "no resource has the path %s", shown);
    }
}

static int find_route(struct http_req *req)
{
    int outcome = http_path_parse(req->path, strlen(req->path), &req->split);
    if (outcome == 0) {
        outcome = http_table_match(req->server->table, req->method, &req->split, &req->pattern);
    }
    if (outcome != 0) {
        no_route(req, outcome);
        return req->refusal.code;
    }
    req->route = http_pattern_route(req->pattern);
    int rc = http_pattern_check(req->pattern, &req->split, &req->refusal);
    if (rc == 0) {
        const char *mark = strchr(req->target, '?');
        const char *query = mark ? mark + 1 : "";
        rc = http_query_parse(query, strlen(query), &req->query, &req->refusal);
    }
    return rc;
}

/* No length is no body, or a chunked one. Malformed ones were refused by the transport. */
int64_t http_content_length(const struct http_req *req)
{
    const char *text = http_req_header(req, "Content-Length");
    int64_t length = -1;
    return text && !text_to_i64(text, strlen(text), 0, INT64_MAX, &length) ? INT64_MAX : length;
}

static void refuse_large(struct http_req *req)
{
    (void)xp_fail(&req->refusal, XP_TOO_LARGE, "the body is larger than %zu bytes",
                  req->route->max_body_bytes);
}

/* What is refused whatever is asked for. */
static int check_header(struct http_req *req)
{
    if (req->is_over_limit) {
        http_count_refused_connection();
        return xp_fail(&req->refusal, XP_UNAVAILABLE,
                       "all %d connections are in use, try again later",
                       req->server->options.max_connections);
    }
    return http_framing_check(req, req->version ? req->version : "HTTP/1.1", &req->refusal);
}

void http_admit(struct http_req *req, const char *method)
{
    req->method = xstrdup(method);
    set_id(req);
    int64_t length = http_content_length(req);
    req->must_close = check_header(req) != 0;
    req->version = NULL;
    if (!req->must_close && find_route(req) == 0) {
        req->body = STR_INIT(req->route->max_body_bytes);
        if (length > 0 && (uint64_t)length > req->route->max_body_bytes) {
            refuse_large(req);
        }
    }
}

/* False: all bodies together are too much now. Only this thread adds. */
static bool count_body(struct http_req *req, int64_t bytes)
{
    struct http_server *server = req->server;
    req->counted_bytes += bytes;
    int64_t all = __atomic_add_fetch(&server->body_bytes, bytes, __ATOMIC_RELAXED);
    if (all > server->options.bodies_max_bytes) {
        (void)xp_fail(&req->refusal, XP_UNAVAILABLE,
                      "bodies of %lld bytes are being received or worked on, try again later",
                      (long long)all);
    }
    return req->refusal.code == 0;
}

static void drop_body(struct http_req *req)
{
    str_done(&req->body);
    (void)__atomic_sub_fetch(&req->server->body_bytes, req->counted_bytes, __ATOMIC_RELAXED);
    req->counted_bytes = 0;
}

bool http_take_body(struct http_req *req, const char *data, size_t length)
{
    if (req->refusal.code == 0) {
        str_add(&req->body, data, length);
        if (req->body.overflow) {
            refuse_large(req);
        } else if (count_body(req, (int64_t)length)) {
            return true;
        }
        drop_body(req);
    }
    req->swallowed_bytes += (int64_t)length;
    return req->swallowed_bytes <= HTTP_SWALLOW_MAX_BYTES;
}

bool http_received(struct http_req *req)
{
    if (req->refusal.code == 0 && __atomic_load_n(&req->server->stopping, __ATOMIC_SEQ_CST)) {
        (void)xp_fail(&req->refusal, XP_UNAVAILABLE,
                      "the daemon is shutting down, try another one");
    }
    if (req->refusal.code != 0) {
        http_refuse(req);
        return true;
    }
    req->is_counted = true;
    (void)__atomic_add_fetch(&req->server->unfinished, 1, __ATOMIC_SEQ_CST);
    if (req->route->where == HTTP_AT_ONCE && http_answer_at_once(req)) {
        return true;
    }
    req->deadline = clock_mono_ms() + req->server->options.handler_timeout_ms;
    http_wire_suspend(req);
    http_dispatch(req);
    return false;
}

void http_req_ended(struct http_req *req)
{
    if (req->is_counted) {
        (void)__atomic_sub_fetch(&req->server->unfinished, 1, __ATOMIC_SEQ_CST);
    }
    http_req_unref(req);
}
