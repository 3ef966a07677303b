/* wire.c - see wire.h. Sockets are non-blocking; waiting is poll(). */
#include "tests/fakes/crdt_module/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/fakes/crdt_module/standin.h"

#include "shared/base/banned.h"

static bool wait_for(int fd, short events, int64_t timeout_ms)
{
    struct pollfd p = { .fd = fd, .events = events };
    int64_t deadline = now_mono_ms() + timeout_ms;

    for (;;) {
        int64_t left = deadline - now_mono_ms();
        int n = poll(&p, 1, left > 0 ? (int)left : 0);
        if (n > 0) {
            return true;
        }
        if (n == 0 || errno != EINTR) {
            return false;
        }
    }
}

static int connect_one(const struct addrinfo *a, int64_t timeout_ms)
{
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int error = 0;
    socklen_t len = sizeof error;

    if (fd < 0) {
        return -1;
    }
    if (connect(fd, a->ai_addr, a->ai_addrlen) == 0) {
        return fd;
    }
    if (errno != EINPROGRESS || !wait_for(fd, POLLOUT, timeout_ms) ||
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error) {
        close(fd);
        return -1;
    }
    return fd;
}

int wire_connect(const char *host, int port, int64_t timeout_ms)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
    struct addrinfo *found = NULL;
    char service[16];
    int fd = -1;

    if (port < 1 || port > 65535) {
        return -1;
    }
    (void)snprintf(service, sizeof service, "%d", port);
    if (getaddrinfo(host, service, &hints, &found) != 0) {
        return -1;
    }
    for (const struct addrinfo *a = found; a && fd < 0; a = a->ai_next) {
        fd = connect_one(a, timeout_ms); /* "localhost" may be ::1 first, where nobody listens */
    }
    freeaddrinfo(found);
    return fd;
}

void wire_init(struct wire *w, int fd)
{
    w->fd = fd;
    w->start = 0;
    w->end = 0;
}

bool wire_write(struct wire *w, const char *data, size_t len, int64_t timeout_ms)
{
    while (len > 0) {
        ssize_t n = send(w->fd, data, len, MSG_NOSIGNAL);
        if (n > 0) {
            data += n;
            len -= (size_t)n;
        } else if (errno != EINTR && (errno != EAGAIN || !wait_for(w->fd, POLLOUT, timeout_ms))) {
            return false;
        }
    }
    return true;
}

/* Waits for more bytes behind 'end'. */
static bool fill(struct wire *w, int64_t timeout_ms)
{
    if (w->start > 0) {
        memmove(w->buffer, w->buffer + w->start, w->end - w->start);
        w->end -= w->start;
        w->start = 0;
    }
    while (w->end < sizeof w->buffer) {
        ssize_t n = recv(w->fd, w->buffer + w->end, sizeof w->buffer - w->end, 0);
        if (n > 0) {
            w->end += (size_t)n;
            return true;
        }
        if (n == 0 ||
            (errno != EINTR && (errno != EAGAIN || !wait_for(w->fd, POLLIN, timeout_ms)))) {
            return false;
        }
    }
    return false;
}

bool wire_line(struct wire *w, char *out, size_t size, int64_t timeout_ms)
{
    int64_t deadline = now_mono_ms() + timeout_ms;

    for (;;) {
        char *line = w->buffer + w->start;
        char *end = memmem(line, w->end - w->start, "\r\n", 2);
        if (end) {
            w->start = (size_t)(end + 2 - w->buffer);
            text_copy(out, size, line, (size_t)(end - line));
            return true;
        }
        if (!fill(w, deadline - now_mono_ms())) {
            return false;
        }
    }
}

bool wire_number(struct wire *w, char kind, int64_t *ret, int64_t timeout_ms)
{
    char line[64];
    char *end = NULL;
    int64_t number;

    if (!wire_line(w, line, sizeof line, timeout_ms) || line[0] != kind) {
        return false;
    }
    number = strtoll(line + 1, &end, 10);
    if (end == line + 1 || *end != '\0') {
        return false;
    }
    *ret = number;
    return true;
}

static bool take_bytes(struct wire *w, char *out, size_t len, int64_t timeout_ms)
{
    int64_t deadline = now_mono_ms() + timeout_ms;

    while (len > 0) {
        size_t have = w->end - w->start;
        size_t n = have < len ? have : len;
        memcpy(out, w->buffer + w->start, n);
        w->start += n;
        out += n;
        len -= n;
        if (len > 0 && !fill(w, deadline - now_mono_ms())) {
            return false;
        }
    }
    return true;
}

char *wire_bulk(struct wire *w, size_t max, size_t *ret_len, int64_t timeout_ms)
{
    int64_t len;
    char crlf[2];
    char *out;

    if (!wire_number(w, '$', &len, timeout_ms) || len < 0 || (size_t)len > max) {
        return NULL;
    }
    out = malloc((size_t)len + 1);
    if (!out) {
        abort();
    }
    if (!take_bytes(w, out, (size_t)len, timeout_ms) || !take_bytes(w, crlf, 2, timeout_ms)) {
        free(out);
        return NULL;
    }
    out[len] = '\0';
    *ret_len = (size_t)len;
    return out;
}
