/* standin_peerof.h - PEEROF: parsing, checks in the order of the real server, effect, reply; and
 * the log of all of them. Main thread. */
#ifndef TESTS_FAKES_CRDT_MODULE_STANDIN_PEEROF_H
#define TESTS_FAKES_CRDT_MODULE_STANDIN_PEEROF_H

#include "tests/fakes/crdt_module/standin.h"

int peerof_start(struct rm_ctx *ctx);
/* Writes config and state file as PEEROF rule 3 and CONFIG REWRITE do; with 'quiet' a server
 * without config file is no error. Returns false with the text of the error reply in 'why'. */
bool config_rewrite(struct rm_ctx *ctx, bool quiet, char *why, size_t size);

#endif
