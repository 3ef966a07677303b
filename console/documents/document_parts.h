/* document_parts.h - the clusters of one DC document as finished JSON texts: a rebuild encodes only what has changed.
 *
 * With 10,000 clusters, encoding all of them for each change costs a second of CPU and a JSON tree of 100 MB; this costs
 * the changed ones, a copy of the texts and a digest of their digests. The bytes are those that encoding everything would give.
 * Not here: reading the database (catalog/snapshot.h), who may build when (document_cache.h).
 * Thread: one at a time. */
#ifndef CONSOLE_DOCUMENTS_DOCUMENT_PARTS_H
#define CONSOLE_DOCUMENTS_DOCUMENT_PARTS_H

#include "console/catalog/snapshot.h"
#include "shared/base/blob.h"

struct document_parts;

struct document_parts *document_parts_new(void);
void document_parts_free(struct document_parts *); /* NULL is fine */

/* What need not be read again (catalog_dc_snapshot_since). By id; borrowed until the next update. */
const struct snap_bound *document_parts_known(const struct document_parts *, size_t *ret_count);
/* Encodes the clusters of the snapshot, keeps those it says are unchanged, drops the others. */
void document_parts_update(struct document_parts *, const struct dc_snapshot *);

/* The whole document; right after an update with the same snapshot. Returns owned (blob_unref). */
struct blob *document_parts_join(const struct document_parts *, const struct dc_snapshot *);
/* "<dc>-<version>-<digest>" with quotes; the same bytes have the same tag. Returns owned (free). */
char *document_parts_etag(const struct document_parts *, const struct dc_snapshot *);

#endif
