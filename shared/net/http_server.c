/* http_server.c - the life of the server: options, the sweep, stopping. http_impl.h says who does the rest. */
#include "shared/net/http_impl.h"
#include "shared/base/mem.h"
#include "shared/base/random.h"

#include "shared/base/banned.h"

#define BODY_TIMEOUT_MS  15000
#define IDLE_TIMEOUT_MS  30000
#define BODIES_MAX_BYTES ((int64_t)128 << 20)
#define SEND_TIMEOUT_MS  30000
#define SEND_BYTES_PER_S (128 * 1024)

static void on_sweep(struct loop_timer *timer)
{
    struct http_server *server = CONTAINER_OF(timer, struct http_server, sweep);
    mono_ms now = loop_now(timer->loop);
    http_expire_waiting(server, now,
                        "no answer was ready in time; what was asked for may still be carried out");
    http_wire_sweep(server, now);
    loop_timer_start(timer, HTTP_SWEEP_MS);
}

void http_server_unref(struct http_server *server)
{
    if (server && __atomic_sub_fetch(&server->refs, 1, __ATOMIC_ACQ_REL) == 0) {
        http_table_free(server->table);
        mutex_done(&server->lock);
        free(server);
    }
}

static int check_options(const struct http_options *o, struct xp_err *err)
{
    if (!o->loop || !o->tables || !o->on_error || o->max_connections <= 0 ||
        o->handler_timeout_ms <= 0) {
        return xp_fail(err, XP_INVALID,
                       "http: loop, tables, on_error, max_connections and handler_timeout_ms are "
                       "required options");
    }
    for (const struct http_route *const *table = o->tables; *table; table++) {
        for (const struct http_route *r = *table; r->method; r++) {
            if (r->where != HTTP_ON_LOOP && !o->pool) {
                return xp_fail(err, XP_INVALID, "route %s %s: needs a worker pool", r->method,
                               r->path);
            }
        }
    }
    return 0;
}

static struct http_server *new_server(const struct http_options *options,
                                      struct http_table *take_table) XP_ALONE
{
    struct http_server *server = xcalloc(1, sizeof(*server));
    server->options = *options;
    server->options.body_timeout_ms =
        options->body_timeout_ms > 0 ? options->body_timeout_ms : BODY_TIMEOUT_MS;
    server->options.idle_timeout_ms =
        options->idle_timeout_ms > 0 ? options->idle_timeout_ms : IDLE_TIMEOUT_MS;
    server->options.bodies_max_bytes =
        options->bodies_max_bytes > 0 ? options->bodies_max_bytes : BODIES_MAX_BYTES;
    server->options.send_timeout_ms =
        options->send_timeout_ms > 0 ? options->send_timeout_ms : SEND_TIMEOUT_MS;
    server->options.send_bytes_per_s =
        options->send_bytes_per_s > 0 ? options->send_bytes_per_s : SEND_BYTES_PER_S;
    server->table = take_table;
    server->refs = 1;
    mutex_init(&server->lock);
    list_init(&server->waiting);
    loop_timer_init(&server->sweep, options->loop, on_sweep);
    server->id_prefix = random_u64();
    return server;
}

int http_server_start(const struct http_options *options, struct http_server **ret_server,
                      struct xp_err *err)
{
    struct http_table *table;
    int rc = check_options(options, err);
    if (rc || (rc = http_table_new(options->tables, &table, err))) {
        return rc;
    }
    struct http_server *server = new_server(options, table);
    rc = http_wire_open(server, err);
    if (rc) {
        http_server_unref(server);
        return rc;
    }
    loop_timer_start(&server->sweep, HTTP_SWEEP_MS);
    *ret_server = server;
    return 0;
}

int http_server_port(const struct http_server *server)
{
    return server->port;
}

int http_server_waiting(const struct http_server *server)
{
    return __atomic_load_n(&server->unfinished, __ATOMIC_ACQUIRE);
}

void http_server_stop(struct http_server *server)
{
    if (!server) {
        return;
    }
    loop_timer_stop(&server->sweep);
    __atomic_store_n(&server->stopping, 1, __ATOMIC_SEQ_CST);
    http_wire_quiesce(server);
    http_expire_waiting(server, MONO_FOREVER, "the daemon is shutting down, try another one");
    http_wire_close(server); /* nothing is suspended: 'waiting' is empty and stays so */
    http_server_unref(server);
}
