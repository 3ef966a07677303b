/* command_log.h - what a control plane sent to change the server (PEEROF, KEEPER SETSTATE, SLAVEOF, CONFIG REWRITE), newest
 * COMMAND_LOG_MAX of them. Read by tests with STANDIN.LOG. Main thread. */
#ifndef TESTS_FAKES_REDIS_MODULE_COMMAND_LOG_H
#define TESTS_FAKES_REDIS_MODULE_COMMAND_LOG_H

#include "tests/fakes/redis_module/module_util.h"

enum { COMMAND_LOG_MAX = 1000, COMMAND_LOG_ARGS_MAX = 32 };

/* 'replicated': it came from the master or the AOF, not from a client. Arguments past the limit
 * are left out. 'ctx' of the command tells the client's name (CLIENT SETNAME); NULL: unknown. */
void command_log_add(struct rm_ctx *ctx, struct rm_string **argv, int argc, bool replicated);
void command_log_clear(void);
/* The command STANDIN.LOG: an array of [unix ms, "client" or "replicated", word...]; STANDIN.LOG senders: the senders' names of
 * the same entries, "" for clients without one; STANDIN.LOG clear. */
int command_log_command(struct rm_ctx *ctx, struct rm_string **argv, int argc);

#endif
