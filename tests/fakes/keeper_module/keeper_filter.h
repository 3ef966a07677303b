/* keeper_filter.h - which commands redis-server answers itself, and which the module answers in its place.
 *
 * A filter sees every command, those of the master's stream too, and cannot tell them apart. So what changes data goes through
 * (redis-server refuses it from clients with -READONLY) as soon as there is somebody to pull from; anything else that a keeper
 * does not know becomes "-unsupported command:...". Main thread. */
#ifndef TESTS_FAKES_KEEPER_MODULE_KEEPER_FILTER_H
#define TESTS_FAKES_KEEPER_MODULE_KEEPER_FILTER_H

#include "tests/fakes/keeper_module/keeper_standin.h"

/* The types of REPLCONF CAPA that a keeper takes. */
bool keeper_knows_capa(const struct rm_string *type);
/* Asks the server for the names of its commands that write. RM_OK or RM_ERR. */
int keeper_filter_start(struct rm_ctx *ctx);

#endif
