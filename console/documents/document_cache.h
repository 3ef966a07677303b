/* document_cache.h - the DC documents as finished bytes, one for each (DC, cluster types).
 *
 * A document is built only when the DC's version has changed, once for all readers that wait for it, on the worker of
 * the first of them; the others are parked (HTTP_LATER) and answered by the builder, so that waiting takes no worker.
 * At most 'build_max' builds run at the same time; further documents wait their turn in order.
 * While nothing at all has changed since the last look (store_version), no query is made and the HTTP thread itself
 * answers (document_cache_serve_at_once). So a change is in every answer
 * to a request that came after the change was acknowledged to its writer; perhaps in an earlier one.
 * A reader that is slow to take a version keeps its bytes; while 'old_bytes_max' of replaced versions are kept so,
 * nothing new is built (XP_TOO_MANY); the HTTP server cuts such readers off after a while.
 * Bounded: DOCUMENTS_MAX documents (then the one unused for longest goes), DOCUMENT_WAITERS_MAX parked requests.
 * Thread: see each function; the mutex inside is never held over I/O or building. */
#ifndef CONSOLE_DOCUMENTS_DOCUMENT_CACHE_H
#define CONSOLE_DOCUMENTS_DOCUMENT_CACHE_H

#include "console/catalog/snapshot.h"
#include "shared/net/http_server.h"

#define DOCUMENTS_MAX        256
#define DOCUMENT_WAITERS_MAX 1024

struct document_cache;

struct document_cache_options {
    struct catalog *catalog; /* borrowed */
    int build_max;
    int64_t old_bytes_max; /* of replaced versions, see above */
};
struct document_cache *document_cache_new(const struct document_cache_options *);
void document_cache_free(struct document_cache *); /* no request is under way; NULL is fine */

/* Answers when the document at hand is the newest for sure: 200 with ETag, or 304. False: it takes a look at the
 * database. 'dc' and 'types' as below. Any thread. */
bool document_cache_serve_at_once(struct document_cache *, struct http_req *, const char *dc,
                                  unsigned types, struct http_resp *);
/* Answers GET of a DC's document: 200 with ETag, or 304 when If-None-Match has it. 'types': TYPE_BITs, 0 all. Workers.
 * Returns 0, HTTP_LATER, or XP_NOT_FOUND (`dc <dc> not found`), XP_TOO_MANY (too many wait, or are slow), or an error of the store. */
int document_cache_serve(struct document_cache *, struct http_req *, const char *dc, unsigned types,
                         struct http_resp *, struct xp_err *) XP_MUST_CHECK;

#endif
