/* http_receive.c - the callbacks of libmicrohttpd, all on the HTTP thread: they collect a request and hand it over.
 *
 * MHD calls http_on_access once for the header, once per piece of the body, once at the end, and once more
 * after a resumption; req->stage tells them apart. What a request means is decided by http_admit.c. A refusal that is known early (404, 405, 413...) is sent
 * at the end of the body when the rest is small: an answer before the end makes MHD close the connection over unread
 * bytes, and the reset that follows may destroy the answer on its way. */
#include "shared/net/http_mhd.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "shared/base/banned.h"

#define WAITING_MIN_MS 10  /* a connection younger than this is not cut: its request may be here */
#define REFUSED_MS     500 /* a connection over the limit has sent its request by then */

enum stage { STAGE_NEW, STAGE_BODY, STAGE_WAITING, STAGE_QUEUED }; /* of a request */

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

/* Between requests a connection may be cut for another one. */
static void set_waiting(struct http_server *server, struct MHD_Connection *conn, mono_ms since)
{
    struct http_conn *c = context_of(conn);
    if (c) {
        mutex_lock(&server->lock);
        c->waits_since = since;
        if (since != MONO_FOREVER) {
            list_remove(&c->link);
            list_push_back(&wire_of(server)->conns, &c->link);
        }
        mutex_unlock(&server->lock);
    }
}

/* MHD sees the end and closes. It tells us before (close_conn), so under the lock the fd is ours. */
static void cut(struct http_conn *c)
{
    (void)shutdown(c->fd, SHUT_RDWR);
    __atomic_store_n(&c->cut_at, MONO_FOREVER, __ATOMIC_RELAXED);
}

/* Cuts the connection that has waited longest for its next request; those that have one are in the list too, with an old
 * place. False: each has one, or came just now and may send it. */
static bool make_room(struct http_server *server, mono_ms now) XP_REQUIRES(server->lock)
{
    list_for_each (it, &wire_of(server)->conns) {
        struct http_conn *c = LIST_ENTRY(it, struct http_conn, link);
        bool is_cut = __atomic_load_n(&c->cut_at, __ATOMIC_RELAXED) == MONO_FOREVER;
        if (c->waits_since != MONO_FOREVER && !is_cut) {
            if (now - c->waits_since < WAITING_MIN_MS) {
                return false;
            }
            cut(c);
            http_count_cut_connection();
            return true;
        }
    }
    return false;
}

static void open_conn(struct http_server *server, struct MHD_Connection *conn, void **context)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct http_conn *c = xcalloc(1, sizeof(*c));
    c->fd = info ? info->connect_fd : -1;
    c->waits_since = clock_mono_ms();
    c->cut_at = c->waits_since + server->options.idle_timeout_ms;
    *context = c;
    mutex_lock(&server->lock);
    if (++wire_of(server)->conn_count > server->options.max_connections &&
        !make_room(server, c->waits_since)) {
        c->is_over_limit = true;
        c->cut_at = c->waits_since + REFUSED_MS;
    }
    list_push_back(&wire_of(server)->conns, &c->link);
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
    wire_of(server)->conn_count--;
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
    list_for_each (it, &wire_of(server)->conns) {
        const struct http_conn *c = LIST_ENTRY(it, struct http_conn, link);
        is_any |= __atomic_load_n(&c->is_idle, __ATOMIC_ACQUIRE) == 0;
    }
    mutex_unlock(&server->lock);
    return is_any;
}

void http_wire_sweep(struct http_server *server, mono_ms now)
{
    mutex_lock(&server->lock);
    list_for_each (it, &wire_of(server)->conns) {
        struct http_conn *c = LIST_ENTRY(it, struct http_conn, link);
        if (__atomic_load_n(&c->cut_at, __ATOMIC_RELAXED) <= now) {
            cut(c);
        }
    }
    mutex_unlock(&server->lock);
}

/* ---- the answer ---- */

static void drop_blob(void *cls)
{
    blob_unref(cls);
}

/* MHD sends straight from the blob and calls drop_blob when the connection is done with it. */
static struct MHD_Response *with_body(struct blob *take_body)
{
    struct MHD_Response *out;
    if (take_body && take_body->len > 0) {
        out = MHD_create_response_from_buffer_with_free_callback_cls(
            take_body->len, take_body->bytes, drop_blob, take_body);
    } else {
        static char nothing[1];
        blob_unref(take_body);
        out = MHD_create_response_from_buffer(0, nothing, MHD_RESPMEM_PERSISTENT);
    }
    xp_check(out != NULL); /* out of memory */
    return out;
}

static void add_header(void *arg, const char *name, const char *value)
{
    if (MHD_add_response_header(arg, name, value) != MHD_YES) {
        log_error("http.bad_header", "name", name, "value", value, "why",
                  "refused by the library, left out");
    }
}

/* From here on the client has so long to take the answer. */
static void limit_sending(struct http_req *req)
{
    const struct http_options *o = &req->server->options;
    int64_t bytes = req->answer.body ? (int64_t)req->answer.body->len : 0;
    int64_t limit_ms = o->send_timeout_ms + bytes * 1000 / o->send_bytes_per_s;
    set_cut_at(req->wire, clock_mono_ms() + limit_ms);
}

static enum MHD_Result send_answer(struct http_req *req)
{
    limit_sending(req);
    req->stage = STAGE_QUEUED;
    if (req->is_reply_lost) {
        return MHD_NO;
    }
    struct MHD_Response *out = with_body(TAKE(req->answer.body));
    http_reply_headers(req, add_header, out);
    enum MHD_Result queued = MHD_queue_response(req->wire, (unsigned)req->answer.status, out);
    MHD_destroy_response(out);
    return queued;
}

/* ---- the header ---- */

void *http_on_uri(void *cls, const char *uri, struct MHD_Connection *conn)
{
    struct http_server *server = cls;
    struct http_req *req = http_req_new(server, uri, server->options.arg);
    req->wire = conn;
    set_idle(conn, false);
    return req;
}

static enum MHD_Result copy_header(void *cls, enum MHD_ValueKind kind, const char *name,
                                   size_t name_length, const char *value, size_t value_length)
{
    struct http_req *req = cls;
    (void)kind;
    if (!http_name_is_token(name, name_length)) {
        req->header_problem = "a header has a name with blanks or control characters";
    } else if (value && !http_value_is_plain(value, value_length)) {
        req->header_problem = "a header has a value with control characters";
    }
    http_req_add_header(req, name, value);
    return MHD_YES;
}

static void set_peer(struct http_req *req)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(req->wire, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
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

static enum MHD_Result on_header(struct http_req *req, const char *method, const char *version)
{
    struct http_server *server = req->server;
    const struct http_conn *c = context_of(req->wire);
    (void)MHD_get_connection_values_n(req->wire, MHD_HEADER_KIND, copy_header, req);
    set_peer(req);
    set_waiting(server, req->wire, MONO_FOREVER);
    req->stage = STAGE_BODY;
    req->version = version;
    req->is_over_limit = c && c->is_over_limit;
    http_admit(req, method);
    set_cut_at(req->wire, clock_mono_ms() + server->options.body_timeout_ms);
    if (req->must_close ||
        (req->refusal.code != 0 && http_content_length(req) > HTTP_SWALLOW_MAX_BYTES)) {
        http_refuse(req);
        return send_answer(req);
    }
    return MHD_YES;
}

/* ---- the body ---- */

static enum MHD_Result on_body(struct http_req *req, const char *data, size_t *data_size)
{
    size_t length = *data_size;
    *data_size = 0;
    return http_take_body(req, data, length) ? MHD_YES : MHD_NO;
}

static enum MHD_Result on_end(struct http_req *req)
{
    set_cut_at(req->wire, MONO_FOREVER);
    req->stage = STAGE_WAITING;
    return http_received(req) ? send_answer(req) : MHD_YES;
}

void http_wire_suspend(struct http_req *req)
{
    MHD_suspend_connection(req->wire);
}

void http_wire_resume(struct http_req *req)
{
    MHD_resume_connection(req->wire);
}

/* After the resumption; 'answer' was written before it. */
static enum MHD_Result on_resumed(struct http_req *req)
{
    if (!req->is_answered) {
        log_error("http.resumed_without_answer", "request_id", req->id, "path", req->path);
        return MHD_NO;
    }
    return send_answer(req);
}

enum MHD_Result http_on_access(void *cls, struct MHD_Connection *conn, const char *url,
                               const char *method, const char *version, const char *data,
                               size_t *data_size, void **req_slot)
{
    (void)cls;
    (void)conn;
    (void)url; /* decoded before the split: useless, see http_on_uri */
    struct http_req *req = *req_slot;
    switch ((enum stage)req->stage) {
    case STAGE_NEW:
        return on_header(req, method, version);
    case STAGE_BODY:
        return *data_size > 0 ? on_body(req, data, data_size) : on_end(req);
    case STAGE_WAITING:
        return on_resumed(req);
    case STAGE_QUEUED:
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
    mono_ms now = clock_mono_ms();
    set_waiting(server, conn, now);
    set_cut_at(conn, now + server->options.idle_timeout_ms);
    http_req_ended(req);
}
