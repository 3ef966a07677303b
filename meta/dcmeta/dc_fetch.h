/* dc_fetch.h - brings the DC document from the console into the dc_store, for ever (metaserver.md 5.3).
 *
 * Fetches at start, every refresh_ms, and when asked (dc_fetch_now); fetching, parsing and comparing happen on a worker, against a
 * snapshot; the result is applied on the loop or, when something was pushed meanwhile, thrown away and fetched again.
 * ETag and 304 with our console; a Java console sends neither and works too. A failed fetch is tried again after 1 s
 * doubling to refresh_ms; the old document stays in force. When the console cannot be reached at start, the last accepted document
 * is read from the cache file and marked stale (dc_store_confirmed_at is MONO_NEVER). The file is rewritten
 * after changes, at most every 5 s, by write, fsync and rename.
 * Owner: loop. */
#ifndef META_DCMETA_DC_FETCH_H
#define META_DCMETA_DC_FETCH_H

#include "meta/dcmeta/dc_store.h"
#include "shared/net/loop.h"
#include "shared/net/worker.h"

struct dc_fetch;

struct dc_fetch_options {
    struct loop *loop;
    struct worker_pool *pool;
    struct dc_store *store;
    const char *console_url;   /* base, no slash at the end; copied */
    const char *cluster_types; /* "ONE_WAY,BI_DIRECTION"; copied */
    const char *cache_file;    /* "" none; copied */
    /* The console answered a question of 'asked_at' with a document of this DC, or that it is as before; whatever becomes of it. May be NULL. */
    void (*on_answer)(mono_ms asked_at, void *arg);
    void *arg;
    int64_t refresh_ms;
    /* console without versions: how long after a push its documents are distrusted */
    int64_t sync_delay_ms;
    int64_t connect_timeout_ms;
    int64_t timeout_ms;
    struct brake_limits limits;
};

struct dc_fetch *dc_fetch_new(const struct dc_fetch_options *);
void dc_fetch_free(struct dc_fetch *); /* the pool must have been emptied before; NULL is fine */
void dc_fetch_start(struct dc_fetch *);
/* one fetch soon; many requests while one runs become one more */
void dc_fetch_now(struct dc_fetch *);
void dc_fetch_changed(struct dc_fetch *); /* the store was changed by a push: save it */
void dc_fetch_set_limits(struct dc_fetch *, const struct brake_limits *, int64_t refresh_ms);
/* The next document is applied without brakes, and even when it is older. */
void dc_fetch_accept_once(struct dc_fetch *);
const char *dc_fetch_last_error(const struct dc_fetch *); /* "" when the last fetch succeeded */

#endif
