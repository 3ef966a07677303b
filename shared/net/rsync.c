/* rsync.c - see rsync.h. A non-blocking socket and poll(), so that one deadline covers everything. */
#include "shared/net/rsync.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/base/mem.h"
#include "shared/base/thread.h"
#include "shared/net/resp.h"
#include "shared/net/tcp.h"

#include "shared/base/banned.h"

#define REPLY_DEFAULT_BYTES ((size_t)1024 * 1024)
#define COMMAND_MAX_BYTES   ((size_t)16 * 1024 * 1024)
#define READ_BYTES          16384

struct rsync {
    int fd;
    struct addr addr;
    mono_ms deadline;
    struct resp_reader *reader;
    bool is_broken; /* a command failed: the answers no longer match */
};

static int fail_errno(struct xp_err *err, const char *what)
{
    char reason[128];
    return xp_fail(err, XP_IO, "%s: %s", what, strerror_r(errno, reason, sizeof(reason)));
}

/* Until one of 'events' or an error shows; the deadline is XP_TIMEOUT. */
static int wait_for(struct rsync *c, short events, const char *what, struct xp_err *err)
{
    for (;;) {
        int64_t left_ms = c->deadline - clock_mono_ms();
        if (left_ms <= 0) {
            return xp_fail(err, XP_TIMEOUT, "no time is left for %s", what);
        }
        struct pollfd p = { .fd = c->fd, .events = events };
        int n = poll(&p, 1, left_ms > 60000 ? 60000 : (int)left_ms);
        if (n > 0) {
            return 0;
        }
        if (n < 0 && errno != EINTR) {
            return fail_errno(err, what);
        }
    }
}

static int send_all(struct rsync *c, const struct str *bytes, struct xp_err *err)
{
    size_t sent = 0;
    while (sent < bytes->len) {
        ssize_t n = send(c->fd, bytes->buf + sent, bytes->len - sent, MSG_NOSIGNAL);
        if (n >= 0) {
            sent += (size_t)n;
            continue;
        }
        if (errno != EAGAIN && errno != EINTR) {
            return fail_errno(err, "cannot write");
        }
        int rc = wait_for(c, POLLOUT, "writing", err);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

static int feed_some(struct rsync *c, struct xp_err *err)
{
    char bytes[READ_BYTES];
    int rc = wait_for(c, POLLIN, "the answer", err);
    if (rc < 0) {
        return rc;
    }
    ssize_t n = recv(c->fd, bytes, sizeof(bytes), 0);
    if (n == 0) {
        return xp_fail(err, XP_IO, "the server closed the connection");
    }
    if (n < 0) {
        return errno == EAGAIN || errno == EINTR ? 0 : fail_errno(err, "cannot read");
    }
    resp_reader_feed(c->reader, bytes, (size_t)n);
    return 0;
}

static int read_reply(struct rsync *c, struct rreply **ret_reply, struct xp_err *err)
{
    for (;;) {
        int rc = resp_reader_next(c->reader, ret_reply, err);
        if (rc == RESP_REPLY) {
            return 0;
        }
        if (rc == RESP_INCOMPLETE) {
            rc = feed_some(c, err);
        }
        if (rc < 0) {
            return rc;
        }
    }
}

static int exchange(struct rsync *c, size_t argc, const char *const *argv, const size_t *lengths,
                    struct rreply **ret_reply, struct xp_err *err)
{
    AUTO_STR struct str out = STR_INIT(COMMAND_MAX_BYTES);
    if (!resp_reader_is_idle(c->reader)) {
        return xp_fail(err, XP_IO, "an answer came that nobody asked for");
    }
    resp_command_add(&out, argc, argv, lengths);
    if (out.overflow) {
        return xp_fail(err, XP_TOO_LARGE, "the command is larger than %zu bytes",
                       COMMAND_MAX_BYTES);
    }
    int rc = send_all(c, &out, err);
    return rc < 0 ? rc : read_reply(c, ret_reply, err);
}

static int authenticate(struct rsync *c, const struct rsync_options *options, struct xp_err *err)
{
    const char *words[3] = { "AUTH", options->user, options->password };
    size_t argc = 3;
    if (text_is_empty(options->password)) {
        return 0;
    }
    if (text_is_empty(options->user)) {
        words[1] = options->password;
        argc = 2;
    }
    struct rreply *reply = NULL;
    int rc = exchange(c, argc, words, NULL, &reply, err);
    if (rc == 0 && rreply_is_error(reply)) {
        rc = xp_fail(err, XP_REMOTE, "AUTH was refused: %s", rreply_text(reply, NULL));
    }
    rreply_free(reply);
    return rc;
}

static int establish(struct rsync *c, const struct rsync_options *options, struct xp_err *err)
{
    int rc = tcp_connect_start(&options->addr, &c->fd, err);
    if (rc == 0) {
        rc = wait_for(c, POLLOUT, "connecting", err);
    }
    if (rc == 0) {
        rc = tcp_connect_result(c->fd, err);
    }
    return rc < 0 ? rc : authenticate(c, options, err);
}

int rsync_open(const struct rsync_options *options, struct rsync **ret_conn, struct xp_err *err)
{
    XP_ON_WORKER();
    size_t reply_max = options->reply_max_bytes ? options->reply_max_bytes : REPLY_DEFAULT_BYTES;
    struct rsync *c = xcalloc(1, sizeof(*c));
    c->fd = -1;
    c->addr = options->addr;
    c->deadline = options->deadline;
    c->reader = resp_reader_new(reply_max);
    int rc = establish(c, options, err);
    if (rc < 0) {
        rsync_close(c);
        (void)xp_wrap(err, "redis %s", ADDR_TEXT(&options->addr));
        return rc;
    }
    *ret_conn = c;
    return 0;
}

void rsync_close(struct rsync *c)
{
    if (!c) {
        return;
    }
    if (c->fd >= 0) {
        (void)close(c->fd);
    }
    resp_reader_free(c->reader);
    free(c);
}

int rsync_command(struct rsync *c, size_t argc, const char *const *argv, const size_t *lengths,
                  struct rreply **ret_reply, struct xp_err *err)
{
    XP_ON_WORKER();
    xp_check(argc > 0 && !c->is_broken);
    int rc = exchange(c, argc, argv, lengths, ret_reply, err);
    if (rc < 0) {
        c->is_broken = true;
        (void)xp_wrap(err, "redis %s: %s", ADDR_TEXT(&c->addr), argv[0]);
    }
    return rc;
}
