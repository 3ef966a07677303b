/* rsync.h - blocking Redis commands for workers: connect, a few commands, close.
 *
 * For relayed commands and switchover steps. One deadline covers connect, AUTH and every command; silence is
 * XP_TIMEOUT (outcome unknown). Replies over 'reply_max_bytes' are XP_TOO_LARGE, a lost connection or garbage is
 * XP_IO (outcome unknown, too), a refused AUTH is XP_REMOTE, an address that is not numeric XP_INVALID.
 * A failed rsync_open has carried out nothing. Every text names the Redis. Thread: worker. */
#ifndef SHARED_NET_RSYNC_H
#define SHARED_NET_RSYNC_H

#include "shared/base/clock.h"
#include "shared/base/err.h"
#include "shared/base/addr.h"
#include "shared/net/rreply.h"

struct rsync;

struct rsync_options {
    struct addr addr;
    const char *user; /* as in rconn.h; borrowed for the call */
    const char *password;
    mono_ms deadline;       /* of everything done on the connection */
    size_t reply_max_bytes; /* 0: 1 MiB; at least 1,024 */
};

/* On success *ret_conn is owned (rsync_close). */
int rsync_open(const struct rsync_options *, struct rsync **ret_conn,
               struct xp_err *) XP_MUST_CHECK;
void rsync_close(struct rsync *); /* NULL is fine */
/* On success (an -ERR reply included) *ret_reply is owned (rreply_free). After a failure only rsync_close is allowed. */
int rsync_command(struct rsync *, size_t argc, const char *const *argv,
                  const size_t *lengths /* NULL: texts */, struct rreply **ret_reply,
                  struct xp_err *) XP_MUST_CHECK;

#endif
