/* dc_links.h - conversations with the metaservers of the other DCs, about one subject (dc_words.h).
 *
 * Per other DC one link of two lanes: questions and notices are collected and sent as batches, one of each lane under way at a
 * time; a full round of questions every refresh_ms. A metaserver that answers 404 is a Java one: then single requests with the
 * same bounds, and batches are tried again after 10 min. A failed lane pauses, 500 ms doubling to 10 s; notices are
 * kept until they were heard, questions come back with the next round. No answer changes nothing (D8).
 * Owner: loop; the calls run on workers. */
#ifndef META_LINKS_DC_LINKS_H
#define META_LINKS_DC_LINKS_H

#include "meta/links/dc_words.h"
#include "shared/net/loop.h"
#include "shared/net/worker.h"

struct dc_links;

struct dc_links_options {
    struct loop *loop;
    struct worker_pool *pool;
    const struct dc_words *words; /* static */
    const char *own_dc;           /* copied */
    const char *dcinfos;          /* JSON, checked by the configuration */
    int64_t refresh_ms;
    int64_t connect_timeout_ms;
    int64_t timeout_ms;
    /* Calls 'add' for every owned shard that 'dc' is to be asked about. */
    void (*each_shard)(const char *dc,
                       void (*add)(const char *cluster, const char *shard, void *add_arg),
                       void *add_arg, void *arg);
    void (*on_answer)(const char *dc, const struct shard_name *, const struct dc_answer *,
                      void *arg);
    void *arg;
};

struct dc_links *dc_links_new(const struct dc_links_options *);
void dc_links_free(struct dc_links *); /* the pool must have been emptied before; NULL is fine */
void dc_links_set_periods(struct dc_links *, int64_t refresh_ms);

/* Ask soon (within a few ms, together with others). Unknown DCs are logged once and ignored. */
void dc_links_ask(struct dc_links *, const char *dc, const char *cluster, const char *shard);
/* Something of ours changed: tell that DC, until it has heard. 'addr' NULL: none; of several notices of a shard the last counts. */
void dc_links_tell(struct dc_links *, const char *dc, const char *cluster, const char *shard,
                   const struct addr *addr);
/* Per DC: address, kind, last success, last error, what waits. Returns owned. */
json_t *dc_links_json(const struct dc_links *);

#endif
