/* standin_info.h - CRDT.INFO, and INFO with the line of the CRDT version. Main thread. */
#ifndef TESTS_FAKES_CRDT_MODULE_STANDIN_INFO_H
#define TESTS_FAKES_CRDT_MODULE_STANDIN_INFO_H

#include "tests/fakes/crdt_module/standin.h"

int cmd_crdt_info(struct rm_ctx *ctx, struct rm_string **argv, int argc);
/* Answers with the real INFO (section NULL: none given), the version put in as the second line
 * of Server. */
int info_reply(struct rm_ctx *ctx, const char *section);

#endif
