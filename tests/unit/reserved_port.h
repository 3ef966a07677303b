/* reserved_port.h - a port for a server that this test starts in another process, or that nobody listens on.
 *
 * A port that was only looked for and let go can be given to somebody else before the server has started: the layers of
 * `make test` run side by side. So a socket stays bound to it, without listening, until the program ends: the kernel gives the
 * port to nobody who asks for any, while a server that sets SO_REUSEADDR, as all do, can listen on it, and start again. */
#ifndef TESTS_UNIT_RESERVED_PORT_H
#define TESTS_UNIT_RESERVED_PORT_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "tests/unit/unit.h"

static inline int reserved_port(void)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int)), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)(void *)&at, sizeof(at)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)(void *)&at, &length), 0);
    return ntohs(at.sin_port); /* 'fd' is closed by the end of the program */
}

#endif
