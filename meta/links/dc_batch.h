/* dc_batch.h - one conversation with another DC's metaserver, as a job for a worker: asking about shards, or telling that ours
 * changed. A batch towards our own daemon, single requests towards a Java one. Blocking; no state of its own.
 * Thread: dc_batch_run on a worker; the struct belongs to whoever submitted the job. */
#ifndef META_LINKS_DC_BATCH_H
#define META_LINKS_DC_BATCH_H

#include "meta/links/dc_words.h"

struct dc_told {
    size_t topic; /* index in topics; each at most once */
    struct dc_answer answer;
};

struct dc_batch {
    /* in */
    const struct dc_words *words;
    enum dc_lane lane;
    char *base_url;
    char *own_dc;
    bool single; /* a Java peer: a request for each shard */
    struct dc_topic *topics;
    size_t count; /* of topics; at most SHARD_NAMES_MAX */
    int64_t connect_timeout_ms;
    int64_t timeout_ms;
    /* out */
    int rc;
    struct xp_err err;
    bool is_java;      /* answered 404 to the batch */
    size_t done_count; /* topics that were dealt with, from the first on */
    struct dc_told *told;
    size_t told_count;
};

void dc_topic_done(struct dc_topic *); /* frees the content */
void dc_batch_run(struct dc_batch *);
/* The answer to a batch of questions, text from outside: fills 'told', once. A part of dc_batch_run; fuzzed by
 * tests/fuzz/peer_batch_fuzz.c and upstream_batch_fuzz.c. */
int dc_batch_take_answer(struct dc_batch *, const char *text, size_t length) XP_MUST_CHECK;
void dc_batch_done(struct dc_batch *); /* frees the content */

#endif
