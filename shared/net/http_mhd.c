/* http_mhd.c - the transport over libmicrohttpd: its socket, its thread (one, with epoll), its end. What the library calls
 * is in http_receive.c. */
#include "shared/net/http_mhd.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "shared/base/banned.h"

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

/* A client that goes away, that we cut, or that was told what is wrong with its request, is no news. */
static bool is_about_a_client(const char *text)
{
    static const char *const prefixes[] = {
        "Connection socket is closed",
        "Connection was closed by remote",
        "Application reported internal",
        "Failed to send",
        "Error processing request",
        "Failed to parse",
        "Too large value of",
        "Socket has been disconnected",
    };
    for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
        if (text_has_prefix(text, prefixes[i])) {
            return true;
        }
    }
    return false;
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
    wire_of(server)->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, http_on_access, server, MHD_OPTION_EXTERNAL_LOGGER, on_mhd_log, NULL,
        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_URI_LOG_CALLBACK, http_on_uri, server,
        MHD_OPTION_NOTIFY_COMPLETED, http_on_completed, server, MHD_OPTION_NOTIFY_CONNECTION,
        http_on_connection, server, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)(o->max_connections + HTTP_CONNECTIONS_SPARE), MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)((o->idle_timeout_ms + 999) / 1000), MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)CONNECTION_MEMORY_BYTES, MHD_OPTION_END);
    return wire_of(server)->daemon
               ? 0
               : xp_fail(err, XP_IO, "http: libmicrohttpd did not start on %s port %d", o->bind_ip,
                         server->port);
}

int http_wire_open(struct http_server *server, struct xp_err *err)
{
    struct http_mhd *wire = xcalloc(1, sizeof(*wire));
    list_init(&wire->conns);
    wire->listener = -1;
    server->wire = wire;
    int fd = -1;
    int rc = open_listener(&server->options, &fd, err);
    if (rc == 0) {
        server->port = bound_port(fd);
        rc = start_daemon(server, fd, err);
        if (rc) {
            (void)close(fd);
        }
    }
    if (rc) {
        free(TAKE(server->wire));
    }
    return rc;
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
        (void)MHD_add_connection(wire_of(server)->daemon, fd, (struct sockaddr *)&sa, length);
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

void http_wire_quiesce(struct http_server *server)
{
    struct http_mhd *wire = wire_of(server);
    wire->listener = MHD_quiesce_daemon(wire->daemon);
    if (wire->listener != MHD_INVALID_SOCKET) {
        take_last_connections(server, wire->listener);
    }
}

void http_wire_close(struct http_server *server)
{
    struct http_mhd *wire = wire_of(server);
    wait_for_answers(server);
    MHD_stop_daemon(wire->daemon);
    if (wire->listener != MHD_INVALID_SOCKET) {
        (void)close(wire->listener);
    }
    free(TAKE(server->wire));
}
