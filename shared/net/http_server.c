/* http_server.c - the life of the server: listening, the sweep, stopping. Receiving is http_receive.c, answering
 * http_answer.c; http_impl.h says who owns what. One MHD thread with epoll. */
#include "shared/net/http_impl.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/random.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "shared/base/banned.h"

#define BODY_TIMEOUT_MS 15000
#define IDLE_TIMEOUT_MS 30000
/* MHD keeps a request's header and the header of its answer in one pool: 16 KiB and some room. */
#define CONNECTION_MEMORY_BYTES (20 * 1024)
#define LISTEN_BACKLOG          511
#define STOP_WAIT_MS            2000
#define STOP_SETTLE_MS          50  /* MHD has taken a connection and not told us yet */
#define STOP_RECEIVE_MS         250 /* what has connected has sent its request by then, or is cut */

/* ---- the socket ---- */

static bool parse_ip(const char *ip, int port, struct sockaddr_storage *ret_sa,
                     socklen_t *ret_length)
{
    struct sockaddr_storage sa = { 0 };
    struct sockaddr_in *v4 = (void *)&sa;
    struct sockaddr_in6 *v6 = (void *)&sa;
    if (inet_pton(AF_INET, ip, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)port);
        *ret_length = sizeof(*v4);
    } else if (inet_pton(AF_INET6, ip, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)port);
        *ret_length = sizeof(*v6);
    } else {
        return false;
    }
    *ret_sa = sa;
    return true;
}

static int bound_port(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } sa = { 0 };
    socklen_t length = sizeof(sa);
    xp_check(getsockname(fd, &sa.any, &length) == 0);
    return ntohs(sa.any.sa_family == AF_INET6 ? sa.v6.sin6_port : sa.v4.sin_port);
}

/* Our own socket: MHD's option to re-use the address would set SO_REUSEPORT, and two daemons would share a port. */
static int open_listener(const struct http_options *o, int *ret_fd, struct xp_err *err)
{
    struct sockaddr_storage sa;
    socklen_t length;
    if (!o->bind_ip || !parse_ip(o->bind_ip, o->port, &sa, &length)) {
        return xp_fail(err, XP_INVALID, "http: '%s' is not a numeric address to listen on",
                       o->bind_ip ? o->bind_ip : "");
    }
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int on = 1;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        bind(fd, (struct sockaddr *)&sa, length) < 0 || listen(fd, LISTEN_BACKLOG) < 0) {
        int rc = xp_fail(err, XP_IO, "http: cannot listen on %s port %d: %s", o->bind_ip, o->port,
                         strerror(errno));
        if (fd >= 0) {
            (void)close(fd);
        }
        return rc;
    }
    *ret_fd = fd;
    return 0;
}

/* ---- MHD ---- */

static void on_panic(void *cls, const char *file, unsigned line, const char *reason)
{
    (void)cls;
    log_error("http.panic", "file", file, "line", log_int((int64_t)line), "why",
              reason ? reason : "-");
    abort();
}

/* A client that goes away, or that we cut, is no news. */
static bool is_about_a_client(const char *text)
{
    return text_has_prefix(text, "Connection socket is closed") ||
           text_has_prefix(text, "Application reported internal error") ||
           text_has_prefix(text, "Failed to send data");
}

__attribute__((format(printf, 2, 0))) static void on_mhd_log(void *cls, const char *fmt,
                                                             va_list args)
{
    (void)cls;
    char text[256];
    (void)vsnprintf(text, sizeof(text), fmt, args);
    text[strcspn(text, "\r\n")] = '\0';
    if (is_about_a_client(text)) {
        log_debug("http.client", "text", text);
    } else {
        log_warn("http.library", "text", text);
    }
}

static int start_daemon(struct http_server *server, int fd, struct xp_err *err)
{
    const struct http_options *o = &server->options;
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
    MHD_set_panic_func(on_panic, NULL);
    server->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, http_on_access, server, MHD_OPTION_EXTERNAL_LOGGER, on_mhd_log, NULL,
        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_URI_LOG_CALLBACK, http_on_uri, server,
        MHD_OPTION_NOTIFY_COMPLETED, http_on_completed, server, MHD_OPTION_NOTIFY_CONNECTION,
        http_on_connection, server, MHD_OPTION_CONNECTION_LIMIT, (unsigned)o->max_connections,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)((o->idle_timeout_ms + 999) / 1000),
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY_BYTES, MHD_OPTION_END);
    return server->daemon ? 0
                          : xp_fail(err, XP_IO, "http: libmicrohttpd did not start on %s port %d",
                                    o->bind_ip, server->port);
}

/* ---- life ---- */

static void on_sweep(struct loop_timer *timer)
{
    struct http_server *server = CONTAINER_OF(timer, struct http_server, sweep);
    mono_ms now = loop_now(timer->loop);
    http_expire_waiting(server, now,
                        "no answer was ready in time; what was asked for may still be carried out");
    http_cut_slow(server, now);
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

static struct http_server *
new_server(const struct http_options *options,
           struct http_table *take_table) XP_NO_ANALYSIS /* nobody else knows it yet */
{
    struct http_server *server = xcalloc(1, sizeof(*server));
    server->options = *options;
    server->options.body_timeout_ms =
        options->body_timeout_ms > 0 ? options->body_timeout_ms : BODY_TIMEOUT_MS;
    server->options.idle_timeout_ms =
        options->idle_timeout_ms > 0 ? options->idle_timeout_ms : IDLE_TIMEOUT_MS;
    server->table = take_table;
    server->refs = 1;
    mutex_init(&server->lock);
    list_init(&server->waiting);
    list_init(&server->conns);
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
    int fd = -1;
    rc = open_listener(options, &fd, err);
    if (rc == 0) {
        server->port = bound_port(fd);
        rc = start_daemon(server, fd, err);
        if (rc) {
            (void)close(fd);
        }
    }
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

/* Connections that the kernel accepted for us and MHD did not take any more would be reset: they are served as well. After
 * that the port refuses, while the descriptor stays ours until MHD's thread is gone. */
static void take_last_connections(struct http_server *server, int listener)
{
    struct sockaddr_storage sa;
    socklen_t length = sizeof(sa);
    int fd;
    while ((fd = accept4(listener, (struct sockaddr *)&sa, &length,
                         SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
        (void)MHD_add_connection(server->daemon, fd, (struct sockaddr *)&sa, length);
        length = sizeof(sa);
    }
    (void)shutdown(listener, SHUT_RDWR);
}

/* Gives the answers of the last moment time to leave; a client that does not read is not waited for, and one that does not
 * write only shortly. */
static void wait_for_answers(struct http_server *server)
{
    mono_ms began = clock_mono_ms();
    const struct timespec pause = { .tv_nsec = 2 * 1000 * 1000 };
    for (;;) {
        int64_t waited_ms = clock_mono_ms() - began;
        bool is_due = waited_ms < STOP_SETTLE_MS ||
                      __atomic_load_n(&server->unfinished, __ATOMIC_SEQ_CST) > 0 ||
                      (waited_ms < STOP_RECEIVE_MS && http_is_receiving(server));
        if (!is_due || waited_ms >= STOP_WAIT_MS) {
            return;
        }
        (void)nanosleep(&pause, NULL);
    }
}

void http_server_stop(struct http_server *server)
{
    if (!server) {
        return;
    }
    loop_timer_stop(&server->sweep);
    MHD_socket fd = MHD_quiesce_daemon(server->daemon);
    __atomic_store_n(&server->stopping, 1, __ATOMIC_SEQ_CST);
    if (fd != MHD_INVALID_SOCKET) {
        take_last_connections(server, fd);
    }
    http_expire_waiting(server, MONO_FOREVER, "the daemon is shutting down, try another one");
    wait_for_answers(server);
    MHD_stop_daemon(server->daemon); /* nothing is suspended: 'waiting' is empty and stays so */
    if (fd != MHD_INVALID_SOCKET) {
        (void)close(fd);
    }
    http_server_unref(server);
}
