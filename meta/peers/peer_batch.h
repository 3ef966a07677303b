/* peer_batch.h - one conversation with another DC's metaserver, as a job for a worker: asking for masters, or telling that ours
 * changed. Batches towards our own daemon, single requests towards a Java one. Blocking; no state of its own.
 * Thread: peer_batch_run on a worker; the struct belongs to whoever submitted the job. */
#ifndef META_PEERS_PEER_BATCH_H
#define META_PEERS_PEER_BATCH_H

#include "meta/peers/peer_links.h"

enum peer_batch_kind { PEER_BATCH_ASK, PEER_BATCH_TELL };

struct told_master {
    size_t name; /* index in names */
    struct current_master master;
};

struct peer_batch {
    /* in */
    enum peer_batch_kind kind;
    char *base_url;
    char *own_dc;
    bool single; /* a Java peer: a request for each shard */
    struct shard_names names;
    int64_t connect_timeout_ms;
    int64_t timeout_ms;
    /* out */
    int rc;
    struct xp_err err;
    bool is_java;      /* answered 404 to the batch */
    size_t done_count; /* names that were dealt with, from the first on */
    struct told_master *told;
    size_t told_count;
};

void peer_batch_run(struct peer_batch *);
/* The answer to a batch of questions, text from outside: fills 'told', once. A part of peer_batch_run; fuzzed by
 * tests/fuzz/peer_batch_fuzz.c. */
int peer_batch_take_answer(struct peer_batch *, const char *text, size_t length) XP_MUST_CHECK;
void peer_batch_done(struct peer_batch *); /* frees the content */

#endif
