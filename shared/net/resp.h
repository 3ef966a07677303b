/* resp.h - the Redis protocol without a connection: words to bytes, bytes to replies, both with limits.
 *
 * Parsing is hiredis' redisReader; its asynchronous contexts are not used, because hiredis 0.14.1 ends the process
 * (assert) on an answer that nobody asked for, aborts on "*2147483647", and has neither time-outs nor size limits.
 * hiredis is included by resp.c and rreply.c only. Used by rconn.c and rsync.c.
 * Thread: whoever owns the object. */
#ifndef SHARED_NET_RESP_H
#define SHARED_NET_RESP_H

#include "shared/base/err.h"
#include "shared/base/str.h"
#include "shared/net/rreply.h"

/* Bytes of one command on the wire. 'lengths' NULL: the words are texts. */
size_t resp_command_size(size_t argc, const char *const *argv, const size_t *lengths);
void resp_command_add(struct str *out, size_t argc, const char *const *argv, const size_t *lengths);

struct resp_reader;

enum resp_outcome { RESP_REPLY = 1, RESP_INCOMPLETE = 2 };

/* A reply of more than 'reply_max_bytes' (at least 1,024) is refused, as is an array that could not fit into them. */
struct resp_reader *resp_reader_new(size_t reply_max_bytes);
void resp_reader_free(struct resp_reader *); /* NULL is fine */
void resp_reader_feed(struct resp_reader *, const char *bytes, size_t length);
/* RESP_REPLY: *ret_reply is owned (rreply_free). Errors: XP_TOO_LARGE, XP_IO (not the protocol); then only free. */
int resp_reader_next(struct resp_reader *, struct rreply **ret_reply,
                     struct xp_err *) XP_MUST_CHECK;
/* True when nothing was fed that is not part of a returned reply: the reader may serve another connection. */
bool resp_reader_is_idle(const struct resp_reader *);

#endif
