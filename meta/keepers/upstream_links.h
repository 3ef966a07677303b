/* upstream_links.h - what the metaserver of the primary DC says that a backup DC's shards should pull from, and telling backup DCs
 * of ours (metaserver.md 6.3.2 step 4, 6.3.4; endpoints 1 and 9).
 *
 * Conversations as in dc_links.h: batches POST /api/meta/v2/upstreams and /upstreamchanges between C metaservers, GET
 * getactivekeeper and PUT upstreamchange/{ip}/{port}?dcName= towards Java ones. No answer, and an empty one, changes nothing (D8).
 * A told change is a reason to ask, never taken as the truth by itself, except from a Java metaserver (endpoint 9 carries
 * the address). Answers with addresses that no instance can have are refused (upstream_row.h). Owner: loop; the calls run on workers. */
#ifndef META_KEEPERS_UPSTREAM_LINKS_H
#define META_KEEPERS_UPSTREAM_LINKS_H

#include <jansson.h>

#include "meta/keepers/upstream_board.h"
#include "meta/links/dc_words.h"
#include "shared/net/loop.h"
#include "shared/net/worker.h"

struct upstream_links;

struct upstream_links_options {
    struct loop *loop;
    struct worker_pool *pool;
    const char *own_dc;  /* copied */
    const char *dcinfos; /* JSON, checked by the configuration */
    int64_t refresh_ms;
    int64_t connect_timeout_ms;
    int64_t timeout_ms;
    /* Calls 'add' for every owned one-way shard whose primary DC is 'dc', this one being a backup DC. */
    void (*each_shard)(const char *dc,
                       void (*add)(const char *cluster, const char *shard, void *add_arg),
                       void *add_arg, void *arg);
    /* 'head' is never none. 'offset' -1: unknown. */
    void (*on_upstream)(const char *dc, const char *cluster, const char *shard,
                        const struct addr *head, int64_t offset, void *arg);
    void *arg;
};

struct upstream_links *upstream_links_new(const struct upstream_links_options *);
void upstream_links_free(
    struct upstream_links *); /* the pool must have been emptied before; NULL is fine */
void upstream_links_set_periods(struct upstream_links *, int64_t refresh_ms);
/* Ask soon (within a few ms, together with others). Unknown DCs are logged once and ignored. */
void upstream_links_ask(struct upstream_links *, const char *dc, const char *cluster,
                        const char *shard);
/* Our head of this shard changed: tell that DC, until it has heard. NULL or none: not known any more, which a Java metaserver
 * cannot be told. */
void upstream_links_tell(struct upstream_links *, const char *dc, const char *cluster,
                         const char *shard, const struct addr *head);
/* Per DC: address, kind, last success, last error, what waits. Returns owned. */
json_t *upstream_links_json(const struct upstream_links *);

/* The words of these conversations, for the batch and its fuzz target. */
extern const struct dc_words upstream_words;

#endif
