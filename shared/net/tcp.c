/* tcp.c - see tcp.h. */
#include "shared/net/tcp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/base/mem.h"

#include "shared/base/banned.h"

#define KEEPALIVE_IDLE_S 15

union sock_addr {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* Returns the length, or 0 when the host is not numeric. */
static socklen_t fill(const struct addr *addr, union sock_addr *out)
{
    *out = (union sock_addr){ 0 };
    if (inet_pton(AF_INET, addr->host, &out->v4.sin_addr) == 1) {
        out->v4.sin_family = AF_INET;
        out->v4.sin_port = htons((uint16_t)addr->port);
        return sizeof(out->v4);
    }
    if (inet_pton(AF_INET6, addr->host, &out->v6.sin6_addr) == 1) {
        out->v6.sin6_family = AF_INET6;
        out->v6.sin6_port = htons((uint16_t)addr->port);
        return sizeof(out->v6);
    }
    return 0;
}

/* Best effort: a connection without these options still works. */
static void set_options(int fd)
{
    int on = 1;
    int idle_s = KEEPALIVE_IDLE_S;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
}

static int fail_io(struct xp_err *err, const char *what, int error_number)
{
    char text[128];
    return xp_fail(err, XP_IO, "%s: %s", what, strerror_r(error_number, text, sizeof(text)));
}

int tcp_connect_start(const struct addr *addr, int *ret_fd, struct xp_err *err)
{
    union sock_addr to;
    socklen_t length = fill(addr, &to);
    if (length == 0) {
        return xp_fail(err, XP_INVALID, "address '%s' is not numeric; use an IPv4 or IPv6 address",
                       ADDR_TEXT(addr));
    }
    int fd = socket(to.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return fail_io(err, "cannot make a socket", errno);
    }
    set_options(fd);
    if (connect(fd, &to.any, length) != 0 && errno != EINPROGRESS) {
        int error_number = errno;
        (void)close(fd);
        return fail_io(err, "cannot connect", error_number);
    }
    *ret_fd = fd;
    return 0;
}

int tcp_connect_result(int fd, struct xp_err *err)
{
    int error_number = 0;
    socklen_t length = sizeof(error_number);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error_number, &length) != 0) {
        error_number = errno;
    }
    return error_number ? fail_io(err, "cannot connect", error_number) : 0;
}
