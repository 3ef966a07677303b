/* peer_links.h - what the metaservers of the other DCs know: their masters, and telling them of ours
 * (metaserver.md 6.4.1, 6.4.2).
 *
 * Conversations as in dc_links.h: batches POST /api/meta/v2/peermasters and /peerchanges between C metaservers, GET getpeermaster and
 * PUT upstreampeerchange towards Java ones. No answer changes nothing: what was known stays (D8). A notice carries no master: who
 * hears it asks, so that the answer comes from the owner. Owner: loop; the calls run on workers. */
#ifndef META_PEERS_PEER_LINKS_H
#define META_PEERS_PEER_LINKS_H

#include <jansson.h>

#include "meta/links/dc_words.h"
#include "meta/peers/master_choice.h"
#include "shared/net/loop.h"
#include "shared/net/worker.h"

struct peer_links;

struct peer_links_options {
    struct loop *loop;
    struct worker_pool *pool;
    const char *own_dc;  /* copied */
    const char *dcinfos; /* JSON, checked by the configuration */
    int64_t refresh_ms;
    int64_t connect_timeout_ms;
    int64_t timeout_ms;
    /* Calls 'add' for every owned shard that has a peer in 'dc'. */
    void (*each_shard)(const char *dc,
                       void (*add)(const char *cluster, const char *shard, void *add_arg),
                       void *add_arg, void *arg);
    /* That DC's metaserver told the master of a shard. */
    void (*on_master)(const char *dc, const char *cluster, const char *shard,
                      const struct current_master *, void *arg);
    void *arg;
};

struct peer_links *peer_links_new(const struct peer_links_options *);
void peer_links_free(
    struct peer_links *); /* the pool must have been emptied before; NULL is fine */
void peer_links_set_periods(struct peer_links *, int64_t refresh_ms);

/* Ask soon (within a few ms, together with others). Unknown DCs are logged once and ignored. */
void peer_links_ask(struct peer_links *, const char *dc, const char *cluster, const char *shard);
/* Our master of this shard changed: tell that DC, until it has heard. */
void peer_links_tell(struct peer_links *, const char *dc, const char *cluster, const char *shard);
/* Per DC: address, kind, last success, last error, what waits. Returns owned. */
json_t *peer_links_json(const struct peer_links *);

/* The words of these conversations, for the batch and its fuzz target. */
extern const struct dc_words peer_words;

#endif
