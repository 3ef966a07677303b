/* fake_http.c - see fake_http.h: the wire between clients and servers. Its timers run on the network's loop; what reaches a
 * frozen process waits there until it thaws. */
#include <stdio.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/base/thread.h"
#include "tests/sim/fake_http_wire.h"
#include "tests/sim/fake_loop.h"
#include "tests/sim/fake_rules.h"
#include "tests/sim/fake_trace.h"

#include "shared/base/banned.h"

#define SERVICES_MAX 16

struct service {
    struct addr addr;
    fake_http_service_fn *fn;
    void *arg;
};

static struct {
    struct list exchanges;
    struct fake_rules rules;
    fake_http_latency_fn *latency;
    void *latency_arg;
    struct service services[SERVICES_MAX];
    size_t service_count;
    const struct loop *origin; /* of the request that a service runs for */
} wire = { .exchanges = { &wire.exchanges, &wire.exchanges } };

static enum fake_http_mode mode_of(const struct loop *client, const struct addr *server)
{
    return (enum fake_http_mode)fake_rules_get(&wire.rules, client, server, FAKE_HTTP_UP);
}

static int64_t latency_ms(const struct exchange *x)
{
    return wire.latency ? wire.latency(x->client, &x->server, wire.latency_arg)
                        : FAKE_HTTP_LATENCY_MS;
}

static const struct service *service_at(const struct addr *addr)
{
    for (size_t i = 0; i < wire.service_count; i++) {
        if (addr_eq(&wire.services[i].addr, addr)) {
            return &wire.services[i];
        }
    }
    return NULL;
}

/* ---- the end of an exchange ---- */

static void release(struct exchange *x)
{
    if (x->ended || x->req || loop_timer_is_running(&x->packet)) {
        return;
    }
    loop_timer_stop(&x->limit);
    list_remove(&x->link);
    for (size_t i = 0; i < x->header_count; i++) {
        free(x->headers[i]);
    }
    free(x->method);
    free(x->target);
    free(x->body);
    blob_unref(x->reply_body);
    http_reply_done(&x->reply);
    free(x);
}

static void trace(const char *what, const struct exchange *x, const char *text)
{
    char who[ADDR_TEXT_MAX + 32];
    (void)snprintf(who, sizeof(who), "%llu>%s", (unsigned long long)x->client_id,
                   ADDR_TEXT(&x->server));
    fake_trace_text(what, who, text);
}

static void end(struct exchange *x, int rc)
{
    void (*ended)(struct exchange *) = x->ended;
    x->rc = rc;
    x->ended = NULL;
    loop_timer_stop(&x->limit);
    trace("http.end", x, rc < 0 ? x->err.msg : x->target);
    struct loop *before = fake_loop_enter(x->client);
    enum thread_role role = thread_role();
    thread_set_role(THREAD_LOOP, NULL);
    ended(x);
    thread_set_role(role, NULL);
    (void)fake_loop_enter(before);
}

void http_exchange_leave(struct exchange *x)
{
    x->ended = NULL;
    x->client = NULL;
    loop_timer_stop(&x->limit);
    release(x);
}

/* True: the process there is frozen, the timer runs again when it thaws; or it is dead, and nothing more happens. */
static bool waits_for_thaw(struct loop_timer *t, const struct loop *process)
{
    if (fake_loop_is_crashed(process)) {
        return true;
    }
    mono_ms thaw = process ? fake_loop_frozen_until(process) : MONO_NEVER;
    if (thaw <= clock_mono_ms()) {
        return false;
    }
    loop_timer_start(t, thaw - clock_mono_ms());
    return true;
}

/* ---- the way back ---- */

static int take_reply(struct exchange *x)
{
    size_t length = x->reply_body ? x->reply_body->len : 0;
    if (length > x->max_reply_bytes) {
        return xp_fail(&x->err, XP_TOO_LARGE, "%s %s: the reply is larger than %zu bytes",
                       x->method, x->target, x->max_reply_bytes);
    }
    if (x->reply_body) {
        x->reply.body = xmemdup(x->reply_body->bytes, length + 1);
        x->reply.length = length;
    }
    if (!x->reply.body) {
        x->reply.body = xstrdup("");
        x->reply.length = 0;
    }
    return 0;
}

static int tell_reset(struct exchange *x)
{
    if (addr_is_none(&x->server)) {
        return xp_fail(&x->err, XP_IO, "%s %s: the host is not numeric, and here are no names",
                       x->method, x->target);
    }
    return xp_fail(&x->err, XP_IO, "%s http://%s%s: connection refused or reset", x->method,
                   ADDR_TEXT(&x->server), x->target);
}

static void came_back(struct loop_timer *t)
{
    struct exchange *x = CONTAINER_OF(t, struct exchange, packet);
    if (!x->ended) {
        release(x);
    } else if (!waits_for_thaw(t, x->client)) {
        end(x, x->is_reset ? tell_reset(x) : take_reply(x));
    }
}

static void send_back(struct exchange *x)
{
    enum fake_http_mode mode = mode_of(x->client, &x->server);
    if (!x->ended || mode == FAKE_HTTP_REPLY_LOST || mode == FAKE_HTTP_CUT) {
        release(x);
        return;
    }
    loop_timer_init(&x->packet, fake_loop_network(), came_back);
    loop_timer_start(&x->packet, latency_ms(x));
}

void http_exchange_answer(struct exchange *x, const struct loop *server)
{
    x->req = NULL;
    x->is_reset |= fake_loop_is_crashed(server);
    if (x->is_reset) {
        trace("http.reset", x, x->target);
    } else {
        trace("http.answer", x, x->reply_body ? x->reply_body->bytes : x->reply.body);
    }
    send_back(x);
}

/* ---- the way there ---- */

static const char *header_of(const struct exchange *x, const char *name)
{
    size_t length = strlen(name);
    for (size_t i = 0; i < x->header_count; i++) {
        if (strncasecmp(x->headers[i], name, length) == 0 && x->headers[i][length] == ':') {
            const char *value = x->headers[i] + length + 1;
            return value + strspn(value, " ");
        }
    }
    return NULL;
}

static void serve(const struct service *service, struct exchange *x)
{
    wire.origin = x->client;
    service->fn(x->method, x->target, x->body ? x->body : "", x->body_length,
                header_of(x, "If-None-Match"), &x->reply, service->arg);
    if (x->reply.body && x->reply.length == 0) {
        x->reply.length = strlen(x->reply.body);
    }
    http_exchange_answer(x, NULL);
}

static void arrived(struct loop_timer *t)
{
    struct exchange *x = CONTAINER_OF(t, struct exchange, packet);
    struct http_server *server = fake_server_at(&x->server);
    const struct service *service = service_at(&x->server);
    struct loop *process = server ? fake_server_loop(server) : NULL;
    if (fake_loop_is_crashed(process)) {
        server = NULL;
        process = NULL;
    }
    if (waits_for_thaw(t, process)) {
        return;
    }
    trace("http.request", x, x->target);
    if (x->is_reset || (!server && !service)) {
        x->is_reset = true;
        send_back(x);
    } else if (service) {
        serve(service, x);
    } else {
        struct loop *before = fake_loop_enter(process);
        fake_server_receive(server, x);
        (void)fake_loop_enter(before);
    }
}

/* ---- the beginning ---- */

static void limit_fired(struct loop_timer *t)
{
    struct exchange *x = CONTAINER_OF(t, struct exchange, limit);
    if (waits_for_thaw(t, x->client)) {
        return;
    }
    end(x, x->err.code);
}

static void set_limit(struct exchange *x, const struct http_call *call, int64_t timeout_ms,
                      bool is_unreachable)
{
    if (is_unreachable) {
        int64_t connect_ms =
            call->connect_timeout_ms < timeout_ms ? call->connect_timeout_ms : timeout_ms;
        (void)xp_fail(&x->err, XP_IO, "%s %s: could not connect in time", call->method, call->url);
        timeout_ms = connect_ms;
    } else {
        (void)xp_fail(&x->err, XP_TIMEOUT, "%s %s: no answer within %lld ms", call->method,
                      call->url, (long long)timeout_ms);
    }
    loop_timer_init(&x->limit, fake_loop_network(), limit_fired);
    loop_timer_start(&x->limit, timeout_ms);
}

/* http://host:port/target */
static void take_url(struct exchange *x, const char *url)
{
    const char *authority = text_has_prefix(url, "http://") ? url + strlen("http://") : NULL;
    size_t length = authority ? strcspn(authority, "/?") : 0;
    struct xp_err err;
    if (!authority || addr_parse(authority, length, &x->server, &err) != 0 ||
        !addr_is_numeric(&x->server)) {
        x->server = addr_of("", 0); /* nobody is there */
        x->is_reset = true;
    }
    const char *target = authority ? authority + length : "";
    x->target = target[0] == '/' ? xstrdup(target) : xasprintf("/%s", target);
}

static void add_header(struct exchange *x, char *take_line)
{
    xp_check(x->header_count < ARRAY_LEN(x->headers));
    x->headers[x->header_count++] = take_line;
}

static void take_headers(struct exchange *x, const struct http_call *call)
{
    for (size_t i = 0; i < ARRAY_LEN(call->headers) && call->headers[i]; i++) {
        add_header(x, xstrdup(call->headers[i]));
    }
    bool needs_length = text_eq(call->method, "POST") || text_eq(call->method, "PUT");
    if (call->body && !header_of(x, "Content-Type")) {
        add_header(x, xstrdup("Content-Type: application/json;charset=UTF-8"));
    }
    if (call->body || needs_length) {
        add_header(x, xasprintf("Content-Length: %zu", x->body_length));
    }
    add_header(x, xasprintf("Host: %s", ADDR_TEXT(&x->server)));
}

static struct exchange *exchange_new(struct loop *client, const struct http_call *call)
{
    struct exchange *x = xcalloc(1, sizeof(*x));
    x->client = client;
    x->client_id = fake_loop_id(client);
    x->method = xstrdup(call->method);
    if (call->body) {
        x->body = xcalloc(call->body_length + 1, 1);
        x->body_length = call->body_length;
        memcpy(x->body, call->body, call->body_length);
    }
    x->max_reply_bytes = call->max_reply_bytes;
    x->kept_header = call->kept_header;
    take_url(x, call->url);
    take_headers(x, call);
    list_push_back(&wire.exchanges, &x->link);
    return x;
}

struct exchange *http_exchange_begin(struct loop *client, const struct http_call *call,
                                     int64_t timeout_ms, void (*ended)(struct exchange *))
{
    struct exchange *x = exchange_new(client, call);
    enum fake_http_mode mode = mode_of(client, &x->server);
    bool is_unreachable = mode == FAKE_HTTP_UNREACHABLE || mode == FAKE_HTTP_CUT;
    x->ended = ended;
    x->is_reset |= mode == FAKE_HTTP_REFUSES;
    set_limit(x, call, timeout_ms, is_unreachable);
    loop_timer_init(&x->packet, fake_loop_network(), arrived);
    if (!is_unreachable && !fake_loop_is_crashed(client)) {
        loop_timer_start(&x->packet, latency_ms(x));
    }
    return x;
}

/* ---- fake_http.h ---- */

void fake_http_reset(void)
{
    xp_check(fake_servers_are_gone());
    while (!list_is_empty(&wire.exchanges)) {
        struct exchange *x = LIST_ENTRY(wire.exchanges.next, struct exchange, link);
        xp_check(!x->ended);
        loop_timer_stop(&x->packet);
        release(x);
    }
    fake_rules_clear(&wire.rules);
    fake_http_set_latency(NULL, NULL);
    wire.service_count = 0;
}

void fake_http_set(const struct loop *client, const struct addr *server, enum fake_http_mode mode)
{
    fake_rules_set(&wire.rules, client, server, (int)mode);
}

void fake_http_set_latency(fake_http_latency_fn *latency, void *arg)
{
    wire.latency = latency;
    wire.latency_arg = arg;
}

const struct loop *fake_http_origin(void)
{
    return wire.origin;
}

void fake_http_serve(const struct addr *addr, fake_http_service_fn *fn, void *arg)
{
    struct service *old = (struct service *)(uintptr_t)service_at(addr);
    if (old && fn) {
        *old = (struct service){ *addr, fn, arg };
    } else if (old) {
        *old = wire.services[--wire.service_count];
    } else if (fn) {
        xp_check(wire.service_count < SERVICES_MAX);
        wire.services[wire.service_count++] = (struct service){ *addr, fn, arg };
    }
}
