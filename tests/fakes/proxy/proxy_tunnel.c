/* proxy_tunnel.c - connections: the line, the connect with its retries, and the copying. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/fakes/proxy/proxy.h"

#include "shared/base/banned.h"

static const double connect_timeout_s = 7.0;
static const double ping_timeout_s = 2.0;

static void try_next(struct conn *c);
static void read_lines(struct conn *c);

static void name_of(const struct sockaddr_in *a, char *out)
{
    char ip[INET_ADDRSTRLEN] = "0.0.0.0";

    inet_ntop(AF_INET, &a->sin_addr, ip, sizeof ip);
    (void)snprintf(out, ADDR_TEXT_MAX, "%s:%d", ip, ntohs(a->sin_port));
}

void socket_names(int fd, char *local, char *remote)
{
    struct sockaddr_in here = { .sin_family = AF_INET };
    struct sockaddr_in there = { .sin_family = AF_INET };
    socklen_t len = sizeof here;

    if (getsockname(fd, (struct sockaddr *)&here, &len) == 0) {
        name_of(&here, local);
    }
    len = sizeof there;
    if (getpeername(fd, (struct sockaddr *)&there, &len) == 0) {
        name_of(&there, remote);
    }
}

int endpoint_connect(const struct endpoint *e)
{
    struct addrinfo hints = { .ai_family = AF_INET, .ai_socktype = SOCK_STREAM };
    struct addrinfo *found = NULL;
    char port[16];
    int fd;

    (void)snprintf(port, sizeof port, "%d", e->port);
    if (getaddrinfo(e->host, port, &hints, &found) != 0) {
        return -1;
    }
    fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, found->ai_addr, found->ai_addrlen) != 0 && errno != EINPROGRESS) {
        close(fd);
        fd = -1;
    }
    freeaddrinfo(found);
    return fd;
}

static struct side *other(struct side *s)
{
    return s == &s->conn->front ? &s->conn->back : &s->conn->front;
}

static void side_stop(struct side *s)
{
    ev_io_stop(proxy.loop, &s->readable);
    ev_io_stop(proxy.loop, &s->writable);
    ev_timer_stop(proxy.loop, &s->delay);
    if (s->fd >= 0) {
        close(s->fd);
        s->fd = -1;
    }
}

void conn_close(struct conn *c)
{
    for (int i = 0; i < CONNS_MAX; i++) {
        if (proxy.conns[i] == c) {
            proxy.conns[i] = NULL;
        }
    }
    side_stop(&c->front);
    side_stop(&c->back);
    ev_timer_stop(proxy.loop, &c->retry);
    free(c);
}

int conn_close_all(void)
{
    int count = 0;

    for (int i = 0; i < CONNS_MAX; i++) {
        if (proxy.conns[i]) {
            conn_close(proxy.conns[i]);
            count++;
        }
    }
    return count;
}

/* Writes what waits. Returns false when the connection is gone (freed). */
static bool flush(struct side *s)
{
    while (s->out_len > 0) {
        ssize_t n = send(s->fd, s->out, s->out_len, MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            ev_io_start(proxy.loop, &s->writable);
            return true;
        }
        if (n <= 0) {
            conn_close(s->conn);
            return false;
        }
        s->traffic.out_bytes += (uint64_t)n;
        memmove(s->out, s->out + n, s->out_len - (size_t)n);
        s->out_len -= (size_t)n;
    }
    ev_io_stop(proxy.loop, &s->writable);
    if (s->conn->state == CONN_OPEN && other(s)->fd >= 0) {
        ev_io_start(proxy.loop, &other(s)->readable);
    }
    return true;
}

bool side_send(struct side *s, const char *data, size_t len)
{
    size_t room = sizeof s->out - s->out_len;

    if (len > room) {
        conn_close(s->conn); /* an asker that does not read its answers */
        return false;
    }
    memcpy(s->out + s->out_len, data, len);
    s->out_len += len;
    ev_io_start(proxy.loop, &s->writable);
    return true;
}

static void on_delay_over(struct ev_loop *loop, struct ev_timer *t, int events)
{
    (void)loop;
    (void)events;
    flush(t->data);
}

static void forward(struct side *from)
{
    struct side *to = other(from);
    ssize_t n = recv(from->fd, to->out, sizeof to->out, 0);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n <= 0) {
        conn_close(from->conn);
        return;
    }
    to->out_len = (size_t)n;
    from->traffic.in_bytes += (uint64_t)n;
    from->traffic.last_ms = proxy_wall_ms();
    ev_io_stop(proxy.loop, &from->readable);
    if (proxy.delay_ms > 0) {
        ev_timer_set(&to->delay, (double)proxy.delay_ms / 1000.0, 0.0);
        ev_timer_start(proxy.loop, &to->delay);
    } else {
        flush(to);
    }
}

/* The answer of a proxy that was asked +PROXY PING: "+PROXY PONG ip:port". */
static void finish_ping(struct conn *c, const char *pong)
{
    const struct endpoint *e = &c->line.alternatives[0];
    char line[512];
    int n;

    if (pong) {
        n = snprintf(line, sizeof line, "+PROXY PONG %s:%d %s %lld\r\n", e->host, e->port, pong,
                     (long long)(proxy_wall_ms() - c->sent_ms));
    } else {
        n = snprintf(line, sizeof line, "+PROXY PONG %s:%d %s:%d -99999999\r\n", e->host, e->port,
                     e->host, e->port);
    }
    side_stop(&c->back);
    ev_timer_stop(proxy.loop, &c->retry);
    c->is_ping = false;
    c->state = CONN_LINE;
    ev_io_start(proxy.loop, &c->front.readable);
    if (side_send(&c->front, line, (size_t)n)) {
        read_lines(c);
    }
}

static void read_pong(struct conn *c)
{
    static const char start[] = "+PROXY PONG ";
    char text[128];
    ssize_t n = recv(c->back.fd, text, sizeof text - 1, 0);

    text[n > 0 ? n : 0] = '\0';
    if (strncmp(text, start, sizeof start - 1) != 0) {
        finish_ping(c, NULL);
        return;
    }
    text[strcspn(text, "\r\n")] = '\0';
    finish_ping(c, text + sizeof start - 1);
}

static void on_readable(struct ev_loop *loop, struct ev_io *w, int events)
{
    struct side *s = w->data;
    struct conn *c = s->conn;
    ssize_t n;

    (void)loop;
    (void)events;
    if (c->is_ping && s == &c->back) {
        read_pong(c);
        return;
    }
    if (c->state == CONN_OPEN) {
        forward(s);
        return;
    }
    n = recv(s->fd, c->in + c->in_len, sizeof c->in - c->in_len, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n <= 0) {
        conn_close(c);
        return;
    }
    c->in_len += (size_t)n;
    s->traffic.in_bytes += (uint64_t)n;
    read_lines(c);
}

static void connected(struct conn *c)
{
    int error = 0;
    socklen_t len = sizeof error;
    int one = 1;

    ev_io_stop(proxy.loop, &c->back.writable);
    ev_timer_stop(proxy.loop, &c->retry);
    if (getsockopt(c->back.fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error) {
        side_stop(&c->back);
        try_next(c);
        return;
    }
    setsockopt(c->back.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    socket_names(c->back.fd, c->back.local, c->back.remote);
    c->sent_ms = proxy_wall_ms();
    ev_io_start(proxy.loop, &c->back.readable);
    if (c->is_ping) {
        static const char ask[] = "+PROXY PING\r\n";
        c->state = CONN_WAITING;
        ev_timer_set(&c->retry, ping_timeout_s, 0.0);
        ev_timer_start(proxy.loop, &c->retry);
        side_send(&c->back, ask, sizeof ask - 1);
        return;
    }
    c->state = CONN_OPEN;
    proxy.tunnels_opened++;
    flush(&c->back); /* also starts reading from the frontend */
}

static void on_writable(struct ev_loop *loop, struct ev_io *w, int events)
{
    struct side *s = w->data;

    (void)loop;
    (void)events;
    if (s->conn->state == CONN_CONNECTING && s == &s->conn->back) {
        connected(s->conn);
    } else {
        flush(s);
    }
}

static void on_retry(struct ev_loop *loop, struct ev_timer *t, int events)
{
    struct conn *c = t->data;

    (void)loop;
    (void)events;
    if (c->state == CONN_WAITING) {
        finish_ping(c, NULL);
        return;
    }
    side_stop(&c->back);
    try_next(c);
}

static void wait_then_retry(struct conn *c, double seconds)
{
    ev_timer_stop(proxy.loop, &c->retry);
    ev_timer_set(&c->retry, seconds, 0.0);
    ev_timer_start(proxy.loop, &c->retry);
}

/* One alternative at random, with replacement, as many tries as there are alternatives: the rule
 * of the real proxy. */
static void try_next(struct conn *c)
{
    int count = c->line.alternative_count;
    int fd;

    if (c->tries == count) {
        if (c->is_ping) {
            finish_ping(c, NULL);
        } else {
            conn_close(c);
        }
        return;
    }
    c->tries++;
    fd = endpoint_connect(&c->line.alternatives[random() % count]);
    if (fd < 0) {
        wait_then_retry(c, 0.001 * c->tries);
        return;
    }
    c->back.fd = fd;
    ev_io_set(&c->back.readable, fd, EV_READ);
    ev_io_set(&c->back.writable, fd, EV_WRITE);
    ev_io_start(proxy.loop, &c->back.writable);
    wait_then_retry(c, connect_timeout_s);
}

static void start_connect(struct conn *c)
{
    c->state = CONN_CONNECTING;
    c->tries = 0;
    ev_io_stop(proxy.loop, &c->front.readable);
    try_next(c);
}

static bool answer_ping(struct conn *c)
{
    char line[128];
    int n;

    if (c->line.content[0] == '\0') {
        n = snprintf(line, sizeof line, "+PROXY PONG %s\r\n", c->front.local);
        return side_send(&c->front, line, (size_t)n);
    }
    if (!proxy_endpoint_parse(c->line.content, strlen(c->line.content), &c->line.alternatives[0])) {
        conn_close(c);
        return false;
    }
    c->line.alternative_count = 1;
    c->is_ping = true;
    start_connect(c);
    return false;
}

static void open_tunnel(struct conn *c)
{
    char line[2 * LINE_MAX_BYTES] = "";
    size_t len = 0;

    if (!c->line.has_route) {
        c->state = CONN_WAITING; /* the real proxy leaves such a connection open, too */
        ev_io_stop(proxy.loop, &c->front.readable);
        return;
    }
    if (c->line.next_is_proxy) {
        len = proxy_line_rewrite(&c->line, c->front.remote, line, sizeof line);
        if (!len) {
            conn_close(c);
            return;
        }
        for (int i = 0; i < c->line.alternative_count; i++) {
            monitor_saw(&c->line.alternatives[i]);
        }
    }
    memcpy(c->back.out, line, len);
    memcpy(c->back.out + len, c->in, c->in_len);
    c->back.out_len = len + c->in_len;
    c->in_len = 0;
    start_connect(c);
}

static void log_line(const struct conn *c, const char *line, size_t len)
{
    if (proxy.log) {
        (void)fprintf(proxy.log, "%lld %s %.*s\n", (long long)c->received_ms, c->front.remote,
                      (int)len, line);
        (void)fflush(proxy.log);
    }
}

/* Takes one complete line. Returns false when there is none, or when 'c' is not to be read on
 * (maybe freed). */
static bool read_line(struct conn *c)
{
    static const char start[] = "+PROXY";
    size_t known = c->in_len < sizeof start - 1 ? c->in_len : sizeof start - 1;
    char *end = memmem(c->in, c->in_len, "\r\n", 2);
    size_t len = end ? (size_t)(end - c->in) : 0;
    bool ok;

    if (memcmp(c->in, start, known) != 0 || (!end && c->in_len > LINE_MAX_BYTES)) {
        proxy.refused_lines++;
        conn_close(c);
        return false;
    }
    if (!end) {
        return false;
    }
    c->received_ms = proxy_wall_ms();
    ok = proxy_line_parse(c->in, len, &c->line);
    if (!ok || c->line.kind == LINE_CONNECT) {
        log_line(c, c->in, len);
    }
    memmove(c->in, end + 2, c->in_len - len - 2);
    c->in_len -= len + 2;
    if (!ok) {
        proxy.refused_lines++;
        conn_close(c);
        return false;
    }
    switch (c->line.kind) {
    case LINE_CONNECT:
        open_tunnel(c);
        return false;
    case LINE_PING:
        return answer_ping(c);
    case LINE_MONITOR:
        return monitor_answer(c, c->line.content);
    }
    return false;
}

static void read_lines(struct conn *c)
{
    while (read_line(c)) {
    }
}

static void side_init(struct side *s, struct conn *c, int fd)
{
    s->conn = c;
    s->fd = fd;
    ev_io_init(&s->readable, on_readable, fd, EV_READ);
    ev_io_init(&s->writable, on_writable, fd, EV_WRITE);
    ev_timer_init(&s->delay, on_delay_over, 0.0, 0.0);
    s->readable.data = s;
    s->writable.data = s;
    s->delay.data = s;
}

void conn_new(int fd)
{
    struct conn *c;
    int one = 1;
    int slot = 0;

    while (slot < CONNS_MAX && proxy.conns[slot]) {
        slot++;
    }
    c = slot < CONNS_MAX ? calloc(1, sizeof *c) : NULL;
    if (!c) {
        close(fd);
        return;
    }
    proxy.conns[slot] = c;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    side_init(&c->front, c, fd);
    side_init(&c->back, c, -1);
    ev_timer_init(&c->retry, on_retry, 0.0, 0.0);
    c->retry.data = c;
    socket_names(fd, c->front.local, c->front.remote);
    if (proxy.hang) {
        c->state = CONN_WAITING;
        return;
    }
    ev_io_start(proxy.loop, &c->front.readable);
}
