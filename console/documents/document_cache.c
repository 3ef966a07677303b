/* document_cache.c - see document_cache.h.
 *
 * A document is idle, queued for a build, or building. Whoever needs a newer version than it has parks the request and,
 * when the document was idle and a build may start, becomes the builder: builds, installs, answers the parked requests
 * that the new version satisfies, and goes on with the next queued document until none is left. */
#include "console/documents/document_cache.h"

#include <string.h>

#include "console/documents/document_parts.h"
#include "shared/base/list.h"
#include "shared/base/map.h"
#include "shared/base/mem.h"
#include "shared/base/metrics.h"
#include "shared/base/thread.h"
#include "shared/base/banned.h"

enum doc_state { DOC_IDLE, DOC_QUEUED, DOC_BUILDING };

struct waiter {
    struct list link;
    struct http_req *req;
    int64_t needed_version;
};

struct doc { /* guarded by the cache's lock, but parts; dc, types and key are immutable */
    char *key;
    char *dc;
    unsigned types;
    enum doc_state state;
    struct document_parts *parts; /* of the builder alone, while DOC_BUILDING */
    struct blob *blob;            /* NULL before the first build */
    char *etag;
    int64_t version; /* of the blob: idx of the DC */
    /* the store's version up to which 'version' is known to be the newest */
    int64_t checked_version;
    mono_ms used_at;
    struct list waiters;
    struct list queue_link;
};

struct old_blob { /* a replaced version that somebody may still be reading */
    struct list link;
    struct blob *blob;
};

struct document_cache {
    struct catalog *catalog;
    int build_max;
    struct mutex lock;
    struct map docs XP_GUARDED_BY_MEMBER(lock); /* by key */
    struct list queue XP_GUARDED_BY_MEMBER(lock);
    struct list old_blobs XP_GUARDED_BY_MEMBER(lock);
    int64_t old_bytes XP_GUARDED_BY_MEMBER(lock);
    int64_t old_bytes_max;
    int build_count XP_GUARDED_BY_MEMBER(lock);
    int waiter_count XP_GUARDED_BY_MEMBER(lock);
};

static struct metric builds_total =
    METRIC_COUNTER_INIT("xpipe_document_builds_total", "", "DC documents built");
static struct metric build_seconds =
    METRIC_HISTOGRAM_INIT("xpipe_document_build_seconds", "", "Time to build one DC document");
static struct metric served_full =
    METRIC_COUNTER_INIT("xpipe_documents_served_total", "status=\"200\"", "DC documents served");
static struct metric served_same =
    METRIC_COUNTER_INIT("xpipe_documents_served_total", "status=\"304\"", "DC documents served");
static struct metric waiting_gauge = METRIC_GAUGE_INIT(
    "xpipe_document_waiting_requests", "", "Requests that wait for a document to be built");

static struct metric old_gauge =
    METRIC_GAUGE_INIT("xpipe_document_old_bytes", "",
                      "Replaced versions of documents that slow readers keep in memory");

struct document_cache *document_cache_new(const struct document_cache_options *options) XP_ALONE
{
    xp_check(options->build_max > 0 && options->old_bytes_max > 0);
    struct document_cache *c = xcalloc(1, sizeof(*c));
    c->catalog = options->catalog;
    c->build_max = options->build_max;
    c->old_bytes_max = options->old_bytes_max;
    c->docs = MAP_INIT(MAP_TEXT);
    mutex_init(&c->lock);
    list_init(&c->queue);
    list_init(&c->old_blobs);
    metric_register(&builds_total);
    metric_register(&served_full);
    metric_register(&served_same);
    metric_register(&waiting_gauge);
    metric_register(&old_gauge);
    return c;
}

/* ---- replaced versions ---- */

/* Takes 'blob' (NULL is fine). */
static void retire(struct document_cache *c, struct blob *blob) XP_REQUIRES(c->lock)
{
    /* who has it got it under this lock: it cannot become shared again */
    if (!blob || !blob_is_shared(blob)) {
        blob_unref(blob);
        return;
    }
    struct old_blob *old = xcalloc(1, sizeof(*old));
    old->blob = blob;
    c->old_bytes += (int64_t)blob->len;
    list_push_back(&c->old_blobs, &old->link);
}

static void drop_old(struct document_cache *c, bool all) XP_REQUIRES(c->lock)
{
    list_for_each (it, &c->old_blobs) {
        struct old_blob *old = LIST_ENTRY(it, struct old_blob, link);
        if (all || !blob_is_shared(old->blob)) {
            list_remove(it);
            c->old_bytes -= (int64_t)old->blob->len;
            blob_unref(old->blob);
            free(old);
        }
    }
    metric_set(&old_gauge, c->old_bytes);
}

/* ---- life ---- */

static void doc_free(struct doc *d)
{
    document_parts_free(d->parts);
    blob_unref(d->blob);
    free(d->etag);
    free(d->dc);
    free(d->key);
    free(d);
}

void document_cache_free(struct document_cache *c) XP_ALONE
{
    if (!c) {
        return;
    }
    size_t at = 0;
    const struct map_slot *slot;
    while ((slot = map_next(&c->docs, &at))) {
        doc_free(slot->value);
    }
    map_done(&c->docs);
    mutex_lock(&c->lock);
    drop_old(c, true);
    mutex_unlock(&c->lock);
    mutex_done(&c->lock);
    free(c);
}

/* ---- the table ---- */

static char *make_key(const struct catalog *catalog, const char *dc, unsigned types)
{
    char *key = xasprintf("%s/%x", dc_alias_inner(catalog->alias, dc), types);
    text_lower(key);
    return key;
}

static void evict_one(struct document_cache *c) XP_REQUIRES(c->lock)
{
    struct doc *oldest = NULL;
    size_t at = 0;
    const struct map_slot *slot;
    while ((slot = map_next(&c->docs, &at))) {
        struct doc *d = slot->value;
        if (d->state == DOC_IDLE && list_is_empty(&d->waiters) &&
            (!oldest || d->used_at < oldest->used_at)) {
            oldest = d;
        }
    }
    if (oldest) {
        map_remove(&c->docs, oldest->key);
        retire(c, TAKE(oldest->blob));
        doc_free(oldest);
    }
}

/* NULL when the table is full of documents under construction. */
static struct doc *find_or_add(struct document_cache *c, const char *key, const char *dc,
                               unsigned types) XP_REQUIRES(c->lock)
{
    struct doc *d = map_get(&c->docs, key);
    if (d) {
        return d;
    }
    if (map_count(&c->docs) >= DOCUMENTS_MAX) {
        evict_one(c);
    }
    if (map_count(&c->docs) >= DOCUMENTS_MAX) {
        return NULL;
    }
    d = xcalloc(1, sizeof(*d));
    d->key = xstrdup(key);
    d->dc = xstrdup(dc);
    d->types = types;
    d->parts = document_parts_new();
    list_init(&d->waiters);
    map_put(&c->docs, d->key, d);
    return d;
}

/* ---- answering ---- */

struct answer {
    struct blob *blob; /* owned */
    char *etag;        /* owned */
};

static struct answer take_answer(struct doc *d)
{
    d->used_at = clock_mono_ms();
    return (struct answer){ .blob = blob_ref(d->blob), .etag = xstrdup(d->etag) };
}

/* Takes the parts of 'a'. */
static void fill_response(const struct http_req *req, struct answer *a, struct http_resp *resp)
{
    if (http_etag_matches(http_req_header(req, "If-None-Match"), a->etag)) {
        resp->status = 304;
        blob_unref(a->blob);
        metric_add(&served_same, 1);
    } else {
        http_resp_blob(resp, a->blob);
        metric_add(&served_full, 1);
    }
    resp->etag = a->etag;
}

static void finish_waiter(struct waiter *w, const struct doc *d, int rc, const struct xp_err *err)
{
    struct http_resp resp = { .status = 200 };
    if (rc == 0) {
        struct answer a = { .blob = blob_ref(d->blob), .etag = xstrdup(d->etag) };
        fill_response(w->req, &a, &resp);
    }
    http_req_finish(w->req, rc, &resp, err);
    free(w);
}

/* ---- building ---- */

struct built {
    struct blob *blob;
    char *etag;
    int64_t version;
    int64_t store_version;
};

static int build(struct document_cache *c, const struct doc *d, struct built *ret_built,
                 struct xp_err *err)
{
    int64_t started_us = clock_mono_us();
    struct dc_snapshot *snap = NULL;
    struct snap_since since = { .dc = d->dc, .types = d->types };
    since.known = document_parts_known(d->parts, &since.known_count);
    int rc = catalog_dc_snapshot_since(c->catalog, &since, &snap, err);
    if (rc < 0) {
        return rc;
    }
    document_parts_update(d->parts, snap);
    *ret_built = (struct built){ .blob = document_parts_join(d->parts, snap),
                                 .etag = document_parts_etag(d->parts, snap),
                                 .version = snap->dc_version,
                                 .store_version = snap->version };
    dc_snapshot_free(snap);
    metric_add(&builds_total, 1);
    metric_observe_us(&build_seconds, clock_mono_us() - started_us);
    return 0;
}

static void install(struct document_cache *c, struct doc *d, struct built *b) XP_REQUIRES(c->lock)
{
    retire(c, d->blob);
    free(d->etag);
    d->blob = b->blob;
    d->etag = b->etag;
    d->version = b->version;
    d->checked_version = b->store_version;
}

/* Moves the requests that can be answered now to 'ret_ready': all of them after a failure. */
static void take_waiters(struct document_cache *c, struct doc *d, bool all, struct list *ret_ready)
    XP_REQUIRES(c->lock)
{
    list_init(ret_ready);
    list_for_each (it, &d->waiters) {
        struct waiter *w = LIST_ENTRY(it, struct waiter, link);
        if (all || w->needed_version <= d->version) {
            list_remove(it);
            list_push_back(ret_ready, it);
            c->waiter_count--;
        }
    }
    metric_set(&waiting_gauge, c->waiter_count);
}

/* After a build of 'd': the document to build next, or NULL (then this worker is no longer a builder). */
static struct doc *next_build(struct document_cache *c, struct doc *d) XP_REQUIRES(c->lock)
{
    if (!list_is_empty(&d->waiters)) { /* a change came in meanwhile: to the end of the line */
        d->state = DOC_QUEUED;
        list_push_back(&c->queue, &d->queue_link);
    } else {
        d->state = DOC_IDLE;
    }
    struct list *first = list_pop_front(&c->queue);
    if (!first) {
        c->build_count--;
        return NULL;
    }
    struct doc *next = LIST_ENTRY(first, struct doc, queue_link);
    next->state = DOC_BUILDING;
    return next;
}

static void run_builds(struct document_cache *c, struct doc *d)
{
    while (d) {
        struct built b;
        struct xp_err err = { 0 };
        int rc = build(c, d, &b, &err);
        struct list ready;
        struct doc shown = { 0 }; /* what this build's readers get, whatever happens to 'd' next */
        mutex_lock(&c->lock);
        if (rc == 0) {
            install(c, d, &b);
            struct answer a = take_answer(d);
            shown.blob = a.blob;
            shown.etag = a.etag;
        }
        take_waiters(c, d, rc < 0, &ready);
        struct doc *next = next_build(c, d);
        mutex_unlock(&c->lock);
        list_for_each (it, &ready) {
            finish_waiter(LIST_ENTRY(it, struct waiter, link), &shown, rc, &err);
        }
        blob_unref(shown.blob);
        free(shown.etag);
        d = next;
    }
}

/* ---- serving ---- */

/* What park() decided under the lock. */
enum park_result { PARK_SERVE, PARK_WAIT, PARK_BUILD, PARK_FULL, PARK_SLOW };

static enum park_result park(struct document_cache *c, struct doc *d, struct http_req *req,
                             int64_t version) XP_REQUIRES(c->lock)
{
    if (c->waiter_count >= DOCUMENT_WAITERS_MAX) {
        return PARK_FULL;
    }
    drop_old(c, false);
    if (c->old_bytes >= c->old_bytes_max) {
        return PARK_SLOW;
    }
    struct waiter *w = xcalloc(1, sizeof(*w));
    w->req = req;
    w->needed_version = version;
    list_push_back(&d->waiters, &w->link);
    metric_set(&waiting_gauge, ++c->waiter_count);
    if (d->state != DOC_IDLE) {
        return PARK_WAIT;
    }
    if (c->build_count >= c->build_max) {
        d->state = DOC_QUEUED;
        list_push_back(&c->queue, &d->queue_link);
        return PARK_WAIT;
    }
    c->build_count++;
    d->state = DOC_BUILDING;
    return PARK_BUILD;
}

/* No query: nothing was committed since the document was last known to be the newest. */
static bool serve_unchanged(struct document_cache *c, const char *key, struct http_req *req,
                            struct http_resp *resp)
{
    int64_t store_now = store_version(c->catalog->store);
    struct answer a = { 0 };
    mutex_lock(&c->lock);
    struct doc *d = map_get(&c->docs, key);
    if (d && d->blob && d->checked_version >= store_now) {
        a = take_answer(d);
    }
    mutex_unlock(&c->lock);
    if (!a.blob) {
        return false;
    }
    fill_response(req, &a, resp);
    return true;
}

bool document_cache_serve_at_once(struct document_cache *c, struct http_req *req, const char *dc,
                                  unsigned types, struct http_resp *resp)
{
    char *key AUTO_FREE = make_key(c->catalog, dc, types);
    return serve_unchanged(c, key, req, resp);
}

int document_cache_serve(struct document_cache *c, struct http_req *req, const char *dc,
                         unsigned types, struct http_resp *resp, struct xp_err *err)
{
    XP_ON_WORKER();
    char *key AUTO_FREE = make_key(c->catalog, dc, types);
    if (serve_unchanged(c, key, req, resp)) {
        return 0;
    }
    int64_t store_then = store_version(c->catalog->store);
    int64_t version;
    if (catalog_dc_version(c->catalog, dc, &version, err) < 0) {
        return err->code;
    }
    enum park_result result = PARK_FULL;
    struct answer a = { 0 };
    mutex_lock(&c->lock);
    struct doc *d = find_or_add(c, key, dc, types);
    if (d && d->blob && d->version >= version) {
        if (d->checked_version < store_then) {
            d->checked_version = store_then;
        }
        a = take_answer(d);
        result = PARK_SERVE;
    } else if (d) {
        result = park(c, d, req, version);
    }
    mutex_unlock(&c->lock);
    if (result == PARK_SERVE) {
        fill_response(req, &a, resp);
        return 0;
    }
    if (result == PARK_FULL) {
        return xp_fail(err, XP_TOO_MANY, "too many requests wait for documents, try again later");
    }
    if (result == PARK_SLOW) {
        return xp_fail(err, XP_TOO_MANY,
                       "slow readers keep %lld MiB of older documents in memory, try again later",
                       (long long)(c->old_bytes_max >> 20));
    }
    if (result == PARK_BUILD) {
        run_builds(c, d);
    }
    return HTTP_LATER;
}
