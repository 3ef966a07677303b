/* peer_links.h - what the metaservers of the other DCs know: their masters, and telling them of ours
 * (metaserver.md 6.4.1, 6.4.2).
 *
 * Per other DC one conversation: requests for masters and notices of change are collected and sent as batches
 * (POST /api/meta/v2/peermasters and /peerchanges), one of each kind under way at a time; a full round every
 * refresh_ms. A metaserver that answers 404 is a Java one: then single requests (GET getpeermaster, PUT
 * upstreampeerchange) with the same bounds, and batches are tried again after 10 min. No answer changes nothing: what was known
 * stays (D8). Owner: loop; the calls run on workers. */
#ifndef META_PEERS_PEER_LINKS_H
#define META_PEERS_PEER_LINKS_H

#include <jansson.h>

#include "meta/peers/master_choice.h"
#include "shared/base/str.h"
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

/* The bodies of the two batches, for the server side. */
struct shard_name {
    char *cluster;
    char *shard;
};
struct shard_names {
    struct shard_name *items;
    size_t count;
};
#define PEER_BATCH_MAX 5000
int shard_names_parse(const json_t *array, struct shard_names *ret_names,
                      struct xp_err *err) XP_MUST_CHECK;
void shard_names_done(struct shard_names *);

#endif
