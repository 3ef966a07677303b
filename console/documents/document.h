/* document.h - from a catalog snapshot to the JSON that metaservers read (console-api.md 3.9.1).
 *
 * Every key of 3.9.1 is always present, null where unknown, in a fixed order; maps and lists are sorted, so that the
 * same content gives the same bytes. One function builds a cluster for the polled and for the pushed form.
 * 'version' is ours: in the DC object the idx of the last change that concerns the DC, in a cluster the idx of its last
 * change, never beyond that of the DC: a change elsewhere does not make a cluster look newer than its document.
 * Pure. Thread: any. */
#ifndef CONSOLE_DOCUMENTS_DOCUMENT_H
#define CONSOLE_DOCUMENTS_DOCUMENT_H

#include <jansson.h>

#include "console/catalog/snapshot.h"

/* All return owned (json_decref). A whole document is the head's members, then "clusters" by name, then "routes"
 * (document_parts.h puts it together). */
json_t *document_head(const struct dc_snapshot *);
json_t *document_routes(const struct dc_snapshot *);
json_t *document_cluster(const struct dc_snapshot *, const struct snap_cluster *);
json_t *document_shard(const struct dc_snapshot *, const struct snap_cluster *,
                       const struct snap_shard *);

#endif
