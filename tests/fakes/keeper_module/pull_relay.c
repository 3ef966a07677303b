/* pull_relay.c - see pull_relay.h. The thread sleeps in poll(); every socket is non-blocking. */
#include "tests/fakes/keeper_module/pull_relay.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/base/banned.h"

enum { CONNECT_TIMEOUT_MS = 2000, PIPE_BYTES = 64 * 1024, LINE_MAX_BYTES = ROUTE_MAX + 32 };

/* Bytes on their way from one socket to the other. */
struct half {
    size_t start, end;
    char buffer[PIPE_BYTES];
};

static struct {
    pthread_mutex_t lock; /* guards target and cut */
    struct target target;
    bool cut;
    int wake_fd; /* written when one of them changed */
    int listen_fd;
    char own_ip[HOST_MAX];
    /* of the thread */
    int down_fd; /* redis-server; -1: none */
    int up_fd;   /* the target; -1: none */
    unsigned turn;
    struct half to_up, to_down;
} relay = { .lock = PTHREAD_MUTEX_INITIALIZER, .down_fd = -1, .up_fd = -1 };

static void close_pipe(void)
{
    if (relay.down_fd >= 0) {
        close(relay.down_fd);
    }
    if (relay.up_fd >= 0) {
        close(relay.up_fd);
    }
    relay.down_fd = -1;
    relay.up_fd = -1;
}

static bool wait_connected(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLOUT };
    int error = 0;
    socklen_t len = sizeof error;

    return poll(&p, 1, CONNECT_TIMEOUT_MS) == 1 &&
           getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error == 0;
}

static bool to_address(const char *ip, int port, struct sockaddr_in *ret)
{
    *ret = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    return inet_pton(AF_INET, ip, &ret->sin_addr) == 1;
}

static int connect_to(const char *ip, int port)
{
    struct sockaddr_in own, to;
    int one = 1;
    int fd;

    if (!to_address(relay.own_ip, 0, &own) || !to_address(ip, port, &to)) {
        return -1;
    }
    fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    (void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&own, sizeof own) != 0 ||
        (connect(fd, (struct sockaddr *)&to, sizeof to) != 0 &&
         (errno != EINPROGRESS || !wait_connected(fd)))) {
        close(fd);
        return -1;
    }
    return fd;
}

/* "PROXYTCP://1.2.3.4:80" -> a connection; -1: not an address, or nobody there. */
static int connect_uri(const char *uri, size_t len)
{
    char text[128];
    char *host, *colon;

    if (!text_copy(text, sizeof text, uri, len)) {
        return -1;
    }
    host = strstr(text, "://");
    colon = host ? strrchr(host + 3, ':') : NULL;
    if (!colon) {
        return -1;
    }
    *colon = '\0';
    return connect_to(host + 3, (int)strtol(colon + 1, NULL, 10));
}

static const char *nth_alternative(const char *hop, unsigned n, size_t *ret_len)
{
    for (; n > 0; n--) {
        hop += strcspn(hop, ", ") + 1;
    }
    *ret_len = strcspn(hop, ", ");
    return hop;
}

/* Each alternative of the first hop once, in a circle. */
static int connect_hop(const char *route)
{
    unsigned count = 1;
    size_t hop_len = strcspn(route, " ");

    for (size_t i = 0; i < hop_len; i++) {
        count += route[i] == ',';
    }
    for (unsigned i = 0; i < count; i++) {
        size_t len;
        const char *uri = nth_alternative(route, relay.turn++ % count, &len);
        int fd = connect_uri(uri, len);
        if (fd >= 0) {
            return fd;
        }
    }
    return -1;
}

/* The line is the first thing the proxy gets, in one write (1.1); the socket is new, so its buffer is empty.
 * A route of one element is the final station itself, which gets no line. */
static bool send_route(int fd, const char *route)
{
    char line[LINE_MAX_BYTES];
    const char *rest = strchr(route, ' ');
    int n = rest ? snprintf(line, sizeof line, "+PROXY ROUTE %s;\r\n", rest + 1) : 0;

    return !rest || ((size_t)n < sizeof line && send(fd, line, (size_t)n, MSG_NOSIGNAL) == n);
}

static struct target present_target(void)
{
    struct target t;

    pthread_mutex_lock(&relay.lock);
    t = relay.target;
    pthread_mutex_unlock(&relay.lock);
    return t;
}

/* A new connection of redis-server takes the place of the old one. */
static void accept_down(void)
{
    int fd = accept4(relay.listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct target t = present_target();

    if (fd < 0) {
        return;
    }
    close_pipe();
    relay.down_fd = fd;
    relay.to_up.start = relay.to_up.end = relay.to_down.start = relay.to_down.end = 0;
    if (t.port > 0) {
        relay.up_fd = t.route[0] ? connect_hop(t.route) : connect_to(t.host, t.port);
    }
    if (relay.up_fd < 0 || (t.route[0] && !send_route(relay.up_fd, t.route))) {
        close_pipe();
    }
}

/* False: the connection is over. */
static bool read_into(int fd, struct half *h)
{
    ssize_t n;

    if (h->start == h->end) {
        h->start = h->end = 0;
    }
    if (h->end == sizeof h->buffer) {
        return true;
    }
    n = recv(fd, h->buffer + h->end, sizeof h->buffer - h->end, 0);
    if (n > 0) {
        h->end += (size_t)n;
        return true;
    }
    return n < 0 && (errno == EAGAIN || errno == EINTR);
}

static bool write_from(int fd, struct half *h)
{
    ssize_t n;

    if (h->start == h->end) {
        return true;
    }
    n = send(fd, h->buffer + h->start, h->end - h->start, MSG_NOSIGNAL);
    if (n > 0) {
        h->start += (size_t)n;
        return true;
    }
    return n < 0 && (errno == EAGAIN || errno == EINTR);
}

static short wanted(const struct half *in, const struct half *out)
{
    bool has_room = in->end < sizeof in->buffer || in->start == in->end;

    return (short)((has_room ? POLLIN : 0) | (out->start < out->end ? POLLOUT : 0));
}

static void take_orders(void)
{
    uint64_t count;
    bool cut;

    if (read(relay.wake_fd, &count, sizeof count) < 0) {
        return;
    }
    pthread_mutex_lock(&relay.lock);
    cut = relay.cut;
    relay.cut = false;
    pthread_mutex_unlock(&relay.lock);
    if (cut) {
        close_pipe();
    }
}

static void pump(short down, short up)
{
    bool ok = true;

    ok = ok && (!(down & (POLLIN | POLLHUP | POLLERR)) || read_into(relay.down_fd, &relay.to_up));
    ok = ok && (!(up & (POLLIN | POLLHUP | POLLERR)) || read_into(relay.up_fd, &relay.to_down));
    /* What was just read goes on at once; poll() is for what does not fit. */
    if (!write_from(relay.up_fd, &relay.to_up) || !write_from(relay.down_fd, &relay.to_down) ||
        !ok) {
        close_pipe();
    }
}

static void *run(void *arg)
{
    (void)arg;
    for (;;) {
        struct pollfd p[] = {
            { .fd = relay.wake_fd, .events = POLLIN },
            { .fd = relay.listen_fd, .events = POLLIN },
            { .fd = relay.down_fd, .events = wanted(&relay.to_up, &relay.to_down) },
            { .fd = relay.up_fd, .events = wanted(&relay.to_down, &relay.to_up) },
        };
        if (poll(p, 4, -1) < 0 && errno != EINTR) {
            abort();
        }
        if (relay.down_fd >= 0 && (p[2].revents || p[3].revents)) {
            pump(p[2].revents, p[3].revents);
        }
        if (p[0].revents) {
            take_orders();
        }
        if (p[1].revents) {
            accept_down();
        }
    }
    return NULL;
}

static int listen_on_free_port(void)
{
    struct sockaddr_in a;
    socklen_t len = sizeof a;

    relay.listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (relay.listen_fd < 0 || !to_address("127.0.0.1", 0, &a) ||
        bind(relay.listen_fd, (struct sockaddr *)&a, sizeof a) != 0 ||
        listen(relay.listen_fd, 4) != 0 ||
        getsockname(relay.listen_fd, (struct sockaddr *)&a, &len) != 0) {
        return -1;
    }
    return ntohs(a.sin_port);
}

int relay_start(const char *own_ip)
{
    pthread_t thread;
    int port = listen_on_free_port();

    text_copy(relay.own_ip, sizeof relay.own_ip, own_ip, strlen(own_ip));
    relay.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (port < 0 || relay.wake_fd < 0 || pthread_create(&thread, NULL, run, NULL) != 0) {
        return -1;
    }
    pthread_detach(thread);
    return port;
}

void relay_set_target(const struct target *t, bool cut)
{
    uint64_t one = 1;

    pthread_mutex_lock(&relay.lock);
    relay.target = *t;
    relay.cut = relay.cut || cut;
    pthread_mutex_unlock(&relay.lock);
    if (write(relay.wake_fd, &one, sizeof one) < 0) {
        RM_Log(NULL, "warning", "standin: the relay cannot be woken: %s", strerror(errno));
    }
}
