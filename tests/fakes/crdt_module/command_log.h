/* command_log.h - what a control plane sent: PEEROF, CONFIG REWRITE and SLAVEOF, newest
 * COMMAND_LOG_MAX of them. Read by tests with STANDIN.LOG. Main thread. */
#ifndef TESTS_FAKES_CRDT_MODULE_COMMAND_LOG_H
#define TESTS_FAKES_CRDT_MODULE_COMMAND_LOG_H

#include "tests/fakes/crdt_module/standin.h"

enum { COMMAND_LOG_MAX = 1000, COMMAND_LOG_ARGS_MAX = 32 };

/* 'replicated': it came from the master or the AOF, not from a client. Arguments past the limit
 * are left out. 'ctx' of the command tells the client's name (CLIENT SETNAME); NULL: unknown. */
void command_log_add(struct rm_ctx *ctx, struct rm_string **argv, int argc, bool replicated);
void command_log_clear(void);
/* Array of [unix ms, "client" or "replicated", word...]. */
int command_log_reply(struct rm_ctx *ctx);
/* Array of the senders' names of the same entries, "" for clients without one. */
int command_log_reply_senders(struct rm_ctx *ctx);

#endif
