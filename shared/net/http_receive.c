/* http_receive.c - the callbacks of libmicrohttpd, all on the HTTP thread: they collect a request and hand it over.
 *
 * MHD calls http_on_access once for the header, once per piece of the body, once at the end, and once more
 * after a resumption; req->stage tells them apart. A refusal that is known early (404, 405, 413...) is sent
 * at the end of the body when the rest is small: an answer before the end makes MHD close the connection over unread
 * bytes, and the reset that follows may destroy the answer on its way. */
#include "shared/net/http_impl.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "shared/base/banned.h"

#define SWALLOW_MAX_BYTES (1024 * 1024) /* of a refused body; more is answered at once, or cut */

/* ---- connections ---- */

static struct http_conn *context_of(struct MHD_Connection *conn)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(conn, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

static void set_idle(struct MHD_Connection *conn, bool is_idle)
{
    struct http_conn *c = context_of(conn);
    if (c) {
        __atomic_store_n(&c->is_idle, is_idle, __ATOMIC_RELEASE);
    }
}

static void set_cut_at(struct MHD_Connection *conn, mono_ms cut_at)
{
    struct http_conn *c = context_of(conn);
    if (c) {
        __atomic_store_n(&c->cut_at, cut_at, __ATOMIC_RELAXED);
    }
}

static void open_conn(struct http_server *server, struct MHD_Connection *conn, void **context)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct http_conn *c = xcalloc(1, sizeof(*c));
    c->fd = info ? info->connect_fd : -1;
    c->cut_at = clock_mono_ms() + server->options.idle_timeout_ms;
    *context = c;
    mutex_lock(&server->lock);
    list_push_back(&server->conns, &c->link);
    mutex_unlock(&server->lock);
    http_count_connection(1);
}

static void close_conn(struct http_server *server, void **context)
{
    struct http_conn *c = *context;
    if (!c) {
        return;
    }
    mutex_lock(&server->lock);
    list_remove(&c->link);
    mutex_unlock(&server->lock);
    free(c);
    *context = NULL;
    http_count_connection(-1);
}

void http_on_connection(void *cls, struct MHD_Connection *conn, void **context,
                        enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        if (thread_role() == THREAD_ANY) {
            thread_set_role(THREAD_HTTP, "http");
        }
        open_conn(cls, conn, context);
    } else {
        close_conn(cls, context);
    }
}

bool http_is_receiving(struct http_server *server)
{
    bool is_any = false;
    mutex_lock(&server->lock);
    list_for_each (it, &server->conns) {
        const struct http_conn *c = LIST_ENTRY(it, struct http_conn, link);
        is_any |= __atomic_load_n(&c->is_idle, __ATOMIC_ACQUIRE) == 0;
    }
    mutex_unlock(&server->lock);
    return is_any;
}

void http_cut_slow(struct http_server *server, mono_ms now)
{
    mutex_lock(&server->lock);
    list_for_each (it, &server->conns) {
        struct http_conn *c = LIST_ENTRY(it, struct http_conn, link);
        if (__atomic_load_n(&c->cut_at, __ATOMIC_RELAXED) <= now) {
            /* MHD sees the end and closes. It tells us before (close_conn), so under the lock the fd is ours. */
            (void)shutdown(c->fd, SHUT_RDWR);
            __atomic_store_n(&c->cut_at, MONO_FOREVER, __ATOMIC_RELAXED);
        }
    }
    mutex_unlock(&server->lock);
}

/* ---- the header ---- */

void *http_on_uri(void *cls, const char *uri, struct MHD_Connection *conn)
{
    struct http_server *server = cls;
    struct http_req *req = http_req_new(server, uri, server->options.arg);
    req->conn = conn;
    set_idle(conn, false);
    return req;
}

static enum MHD_Result copy_header(void *cls, enum MHD_ValueKind kind, const char *name,
                                   const char *value)
{
    (void)kind;
    http_req_add_header(cls, name, value);
    return MHD_YES;
}

static void set_peer(struct http_req *req)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(req->conn, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr *sa = info ? info->client_addr : NULL;
    const char *text = NULL;
    if (sa && sa->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const void *)sa;
        text = inet_ntop(AF_INET, &v4->sin_addr, req->peer, sizeof(req->peer));
    } else if (sa && sa->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const void *)sa;
        bool is_mapped = IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr);
        text = is_mapped
                   ? inet_ntop(AF_INET, &v6->sin6_addr.s6_addr[12], req->peer, sizeof(req->peer))
                   : inet_ntop(AF_INET6, &v6->sin6_addr, req->peer, sizeof(req->peer));
    }
    if (!text) {
        req->peer[0] = '\0';
    }
}

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

/* -1: no length given (no body, or a chunked one). MHD has refused malformed ones. */
static int64_t content_length(const struct http_req *req)
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

static enum MHD_Result on_header(struct http_req *req, const char *method)
{
    req->method = xstrdup(method);
    (void)MHD_get_connection_values(req->conn, MHD_HEADER_KIND, copy_header, req);
    set_peer(req);
    set_id(req);
    req->stage = HTTP_STAGE_BODY;
    int64_t length = content_length(req);
    if (find_route(req) == 0) {
        req->body = STR_INIT(req->route->max_body_bytes);
        if (length > 0 && (uint64_t)length > req->route->max_body_bytes) {
            refuse_large(req);
        }
    }
    set_cut_at(req->conn, clock_mono_ms() + req->server->options.body_timeout_ms);
    if (req->refusal.code != 0 && length > SWALLOW_MAX_BYTES) {
        set_cut_at(req->conn, MONO_FOREVER);
        return http_answer_refusal(req);
    }
    return MHD_YES;
}

/* ---- the body ---- */

static enum MHD_Result on_body(struct http_req *req, const char *data, size_t *data_size)
{
    size_t length = *data_size;
    *data_size = 0;
    if (req->refusal.code == 0) {
        str_add(&req->body, data, length);
        if (!req->body.overflow) {
            return MHD_YES;
        }
        refuse_large(req);
        str_done(&req->body);
    }
    req->swallowed_bytes += (int64_t)length;
    return req->swallowed_bytes <= SWALLOW_MAX_BYTES ? MHD_YES : MHD_NO;
}

static enum MHD_Result on_end(struct http_req *req)
{
    set_cut_at(req->conn, MONO_FOREVER);
    if (req->refusal.code == 0 && __atomic_load_n(&req->server->stopping, __ATOMIC_SEQ_CST)) {
        (void)xp_fail(&req->refusal, XP_UNAVAILABLE,
                      "the daemon is shutting down, try another one");
    }
    if (req->refusal.code != 0) {
        return http_answer_refusal(req);
    }
    req->is_counted = true;
    (void)__atomic_add_fetch(&req->server->unfinished, 1, __ATOMIC_SEQ_CST);
    enum MHD_Result queued;
    if (req->route->where == HTTP_AT_ONCE && http_answer_at_once(req, &queued)) {
        return queued;
    }
    req->deadline = clock_mono_ms() + req->server->options.handler_timeout_ms;
    req->stage = HTTP_STAGE_WAITING;
    MHD_suspend_connection(req->conn);
    http_dispatch(req);
    return MHD_YES;
}

/* After the resumption; 'reply' was written before it. */
static enum MHD_Result on_resumed(struct http_req *req)
{
    if (!req->reply) {
        log_error("http.resumed_without_reply", "request_id", req->id, "path", req->path);
        return MHD_NO;
    }
    req->stage = HTTP_STAGE_QUEUED;
    if (req->is_reply_lost) {
        return MHD_NO;
    }
    return MHD_queue_response(req->conn, (unsigned)req->reply_status, req->reply);
}

enum MHD_Result http_on_access(void *cls, struct MHD_Connection *conn, const char *url,
                               const char *method, const char *version, const char *data,
                               size_t *data_size, void **req_slot)
{
    (void)cls;
    (void)conn;
    (void)url; /* decoded before the split: useless, see http_on_uri */
    (void)version;
    struct http_req *req = *req_slot;
    switch (req->stage) {
    case HTTP_STAGE_NEW:
        return on_header(req, method);
    case HTTP_STAGE_BODY:
        return *data_size > 0 ? on_body(req, data, data_size) : on_end(req);
    case HTTP_STAGE_WAITING:
        return on_resumed(req);
    case HTTP_STAGE_QUEUED:
        *data_size = 0; /* the rest of a body that was refused at the header */
        return MHD_YES;
    }
    return MHD_NO;
}

void http_on_completed(void *cls, struct MHD_Connection *conn, void **req_slot,
                       enum MHD_RequestTerminationCode code)
{
    (void)code; /* a client that went away is nothing special */
    struct http_server *server = cls;
    struct http_req *req = *req_slot;
    if (!req) {
        return;
    }
    *req_slot = NULL;
    set_idle(conn, true);
    if (req->is_counted) {
        (void)__atomic_sub_fetch(&server->unfinished, 1, __ATOMIC_SEQ_CST);
    }
    set_cut_at(conn, clock_mono_ms() + server->options.idle_timeout_ms);
    http_req_unref(req);
}
