/* upstream.h - the side that is pulled from: CRDT.AUTH, CRDT.REPLCONF, CRDT.PSYNC, CRDT.VC and
 * STANDIN.PULL.
 *
 * A puller is a connection that passed CRDT.AUTH and gave its listening port. After PSYNC it
 * asks STANDIN.PULL <clock> again and again; the answer is held back until there is something to
 * send, or until the ping period is over. A replica answers the first PULL only and then stays
 * silent, as CRDT replicas do not feed pullers (fact 3). Under the server's lock (main thread). */
#ifndef TESTS_FAKES_CRDT_MODULE_UPSTREAM_H
#define TESTS_FAKES_CRDT_MODULE_UPSTREAM_H

#include "tests/fakes/crdt_module/standin.h"

struct text_out;

int upstream_start(struct rm_ctx *ctx);
void upstream_wake(void);                  /* the feed has something new */
void upstream_cut_all(struct rm_ctx *ctx); /* closes every puller's connection */
/* "connected_slaves:" and the "slaveN:" lines. */
void upstream_lines(struct text_out *out);
bool upstream_was_pulled(void);
int64_t upstream_full_syncs(void);
int64_t upstream_partial_syncs(void);
int64_t upstream_refused_syncs(void);

#endif
