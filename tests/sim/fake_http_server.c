/* fake_http_server.c - the server's end of an exchange: the transport of http_impl.h. Defines every function of http_mhd.c and
 * http_receive.c, so that neither they nor libmicrohttpd are linked. */
#include <stdio.h>
#include <string.h>

#include "shared/base/map.h"
#include "shared/base/mem.h"
#include "shared/net/http_impl.h"
#include "tests/sim/fake_http_wire.h"
#include "tests/sim/fake_loop.h"

#include "shared/base/banned.h"

#define FIRST_FREE_PORT 20000
#define ANY_HOST        "0.0.0.0"

static struct {
    struct map by_addr; /* "host:port" -> struct http_server, borrowed */
    int last_port;
} net;

static struct addr addr_of_server(const struct http_server *server)
{
    return addr_of(server->options.bind_ip, server->port);
}

static struct http_server *find(const struct addr *addr)
{
    return map_get(&net.by_addr, ADDR_TEXT(addr));
}

struct http_server *fake_server_at(const struct addr *addr)
{
    struct addr any = addr_of(ANY_HOST, addr->port);
    struct http_server *server = find(addr);
    return server ? server : find(&any);
}

struct loop *fake_server_loop(const struct http_server *server)
{
    return server->options.loop;
}

bool fake_servers_are_gone(void)
{
    net.last_port = 0;
    return map_count(&net.by_addr) == 0;
}

/* ---- the transport ---- */

static int free_port(const char *bind_ip)
{
    struct addr addr;
    do {
        net.last_port = net.last_port ? net.last_port + 1 : FIRST_FREE_PORT;
        addr = addr_of(bind_ip, net.last_port);
    } while (find(&addr));
    return net.last_port;
}

int http_wire_open(struct http_server *server, struct xp_err *err)
{
    const struct http_options *o = &server->options;
    struct addr addr = addr_of(o->bind_ip ? o->bind_ip : "", 1);
    if (!addr_is_numeric(&addr)) {
        return xp_fail(err, XP_INVALID, "http: '%s' is not a numeric address to listen on",
                       o->bind_ip ? o->bind_ip : "");
    }
    addr.port = o->port ? o->port : free_port(o->bind_ip);
    if (find(&addr)) {
        return xp_fail(err, XP_IO, "http: cannot listen on %s port %d: address already in use",
                       o->bind_ip, addr.port);
    }
    server->port = addr.port;
    (void)map_put(&net.by_addr, ADDR_TEXT(&addr), server);
    return 0;
}

void http_wire_sweep(struct http_server *server, mono_ms now)
{
    (void)server; /* bodies arrive whole */
    (void)now;
}

void http_wire_quiesce(struct http_server *server)
{
    struct addr addr = addr_of_server(server);
    (void)map_remove(&net.by_addr, ADDR_TEXT(&addr));
    if (map_count(&net.by_addr) == 0) {
        map_done(&net.by_addr);
    }
}

void http_wire_close(struct http_server *server)
{
    xp_check(list_is_empty(&server->waiting));
}

void http_wire_suspend(struct http_req *req)
{
    (void)req;
}

/* The header that the client asked to keep. Returns owned; NULL: not there. */
static char *kept_header(const struct http_resp *answer, const char *name)
{
    for (size_t i = 0; name && i < ARRAY_LEN(answer->extra); i++) {
        if (text_eq_nocase(answer->extra[i][0], name) && answer->extra[i][0]) {
            return xstrdup(answer->extra[i][1]);
        }
    }
    return NULL;
}

static void send_answer(struct http_req *req)
{
    struct exchange *x = req->wire;
    const struct loop *process = req->server->options.loop;
    bool has_body = !text_eq(req->method, "HEAD");
    x->is_reset = req->is_reply_lost;
    x->reply.status = req->answer.status;
    x->reply.etag = req->answer.etag ? xstrdup(req->answer.etag) : NULL;
    x->reply.header = kept_header(&req->answer, x->kept_header);
    x->reply_body = has_body ? TAKE(req->answer.body) : NULL;
    http_exchange_answer(x, process);
    http_req_ended(req);
}

void http_wire_resume(struct http_req *req)
{
    send_answer(req);
}

static void add_headers(struct http_req *req, const struct exchange *x)
{
    for (size_t i = 0; i < x->header_count; i++) {
        const char *colon = strchr(x->headers[i], ':');
        AUTO_FREE char *name = xstrndup(x->headers[i], (size_t)(colon - x->headers[i]));
        http_req_add_header(req, name, colon + 1 + strspn(colon + 1, " "));
    }
}

void fake_server_receive(struct http_server *server, struct exchange *x)
{
    struct http_req *req = http_req_new(server, x->target, server->options.arg);
    enum thread_role role = thread_role();
    thread_set_role(THREAD_HTTP, NULL);
    req->wire = x;
    x->req = req;
    add_headers(req, x);
    (void)snprintf(req->peer, sizeof(req->peer), "127.0.0.1");
    http_admit(req, x->method);
    bool is_whole = x->body_length == 0 || http_take_body(req, x->body, x->body_length);
    if (!is_whole) {
        x->is_reset = true;
        http_exchange_answer(x, server->options.loop);
        http_req_ended(req);
    } else if (http_received(req)) {
        send_answer(req);
    }
    thread_set_role(role, NULL);
}
