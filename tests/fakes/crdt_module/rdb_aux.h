/* rdb_aux.h - what a full sync and an RDB file carry beside the keys: peers, positions of the
 * links, stamps of the feed. Also STANDIN.POSITION, by which a master keeps its replicas up to
 * date in between. Main thread (saving: its fork). */
#ifndef TESTS_FAKES_CRDT_MODULE_RDB_AUX_H
#define TESTS_FAKES_CRDT_MODULE_RDB_AUX_H

#include "tests/fakes/crdt_module/standin.h"

/* 'restarted': peers were read from the state file; a master then keeps those and takes
 * positions only. */
int rdb_aux_start(struct rm_ctx *ctx, bool restarted);

#endif
