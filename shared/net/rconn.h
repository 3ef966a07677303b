/* rconn.h - one asynchronous connection to one Redis, with its reconnect machine.
 *
 * Owns the socket. Knows nothing about replication, CRDT or verdicts: it sends words and hands replies back.
 * Connects by itself from rconn_new on (spread by the owner), authenticates when credentials are given,
 * reconnects after a failure with back-off 1 s (first_retry_ms) doubling to 8 s, +-10 % jitter, reset only by a reply (to the
 * owner's commands, not to AUTH). Every command has a deadline; when one passes, the connection is closed and all its
 * commands are answered with NULL. Replies over 1 MiB close the connection, as does an answer that nobody asked for.
 * Numeric addresses only. Commands go out in order and are answered
 * in order (pipelining); at most RCONN_PIPELINE_MAX wait.
 * At most 200 connects are under way on one loop (a daemon has one loop, so in the process); the others wait their
 * turn, in order, as RCONN_WAITING. All connections are freed before their loop.
 * Parsing is hiredis' reader behind resp.h. Thread: loop, all functions. */
#ifndef SHARED_NET_RCONN_H
#define SHARED_NET_RCONN_H

#include "shared/base/addr.h"
#include "shared/net/loop.h"
#include "shared/net/rreply.h"

#define RCONN_PIPELINE_MAX    64
#define RCONN_REPLY_MAX_BYTES (1024 * 1024)

struct rconn;

enum rconn_state { RCONN_WAITING /* for the next try */, RCONN_CONNECTING, RCONN_READY };

/* why there is no reply */
enum rconn_why {
    RCONN_ANSWERED, /* there is one */
    RCONN_NOT_CONNECTED,
    /* silence (also for the commands behind the silent one): it may have been carried out */
    RCONN_TIMED_OUT,
    RCONN_LOST,      /* closed or reset while waiting: same */
    RCONN_BAD_REPLY, /* protocol error or over the size limit */
    RCONN_CLOSED_BY_US,
};
const char *rconn_why_text(enum rconn_why why);

struct rconn_options {
    struct addr addr; /* numeric */
    /* NULL or "": AUTH <password>; else AUTH <user> <password> (ACL); copied */
    const char *user;
    const char *password;       /* NULL or "": no AUTH; copied */
    int64_t connect_timeout_ms; /* of connect and AUTH together; 0: 1000 */
    int64_t first_delay_ms;     /* before the first connect, to spread a start */
    int64_t first_retry_ms;     /* after a failure, doubling from there; 0: 1000 */
};

/* 'reply' is borrowed until return; NULL means no answer and 'why' says which kind. 'arg' and 'token' come back as
 * given: a token (generation) lets the owner drop what it no longer waits for. The callback may call rconn_send
 * and rconn_free. */
typedef void rconn_reply_fn(const struct rreply *reply, enum rconn_why why, void *arg,
                            uint64_t token);
/* Told after each change of state; may be NULL. Must not free the connection. */
typedef void rconn_state_fn(struct rconn *, enum rconn_state state, void *arg);

struct rconn *rconn_new(struct loop *, const struct rconn_options *, rconn_state_fn *, void *arg);
/* Pending commands are answered NULL/RCONN_CLOSED_BY_US first. NULL is fine. */
void rconn_free(struct rconn *);

/* Queues one command of 'argc' words (copied). 'timeout_ms' counts from now, 1 to 60,000.
 * Errors: XP_UNAVAILABLE (not ready), XP_TOO_MANY (pipeline full, or over 1 MiB unsent). Never runs a callback. */
int rconn_send(struct rconn *, size_t argc, const char *const *argv,
               const size_t *lengths /* NULL: texts */, int64_t timeout_ms, rconn_reply_fn *,
               void *arg, uint64_t token, struct xp_err *) XP_MUST_CHECK;

/* Between the two, commands are queued only; uncork writes them together, which halves the cost of a poll of two. For one
 * callback of the owner: do not return to the loop corked. Uncorking an uncorked connection does nothing. */
void rconn_cork(struct rconn *);
void rconn_uncork(struct rconn *);

enum rconn_state rconn_state(const struct rconn *);
/* "" or why the last connection ended */
const char *rconn_last_error(const struct rconn *);
mono_ms rconn_ready_since(const struct rconn *); /* MONO_NEVER when not ready */
/* Answers what waits with RCONN_CLOSED_BY_US, closes the connection now and connects again without back-off (a PEEROF to 1.0.14 may answer twice). */
void rconn_reconnect(struct rconn *);

#endif
