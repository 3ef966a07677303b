/* tcp.h - opening a TCP connection without waiting: non-blocking, close-on-exec, no delay, numeric addresses only.
 *
 * The descriptor belongs to the caller from success on. Names are never resolved here: that would block the loop.
 * Thread: any. */
#ifndef SHARED_NET_TCP_H
#define SHARED_NET_TCP_H

#include "shared/base/addr.h"

/* The connect is under way (or done) on success: wait until the descriptor is writable, then ask tcp_connect_result.
 * Errors: XP_INVALID (not a numeric address), XP_IO (refused at once, no route, out of descriptors or ports). */
int tcp_connect_start(const struct addr *, int *ret_fd, struct xp_err *) XP_MUST_CHECK;
/* 0, or XP_IO with the reason. Does not name the address. */
int tcp_connect_result(int fd, struct xp_err *) XP_MUST_CHECK;

#endif
