/* deleted_clusters.h - what pushes deleted since the last document, and at which version.
 *
 * A push of a cluster may be overtaken by the push that deletes it; without this memory it would bring the cluster back
 * until the next document. Once a document of that version was applied, the document itself is the memory, so the list is
 * short; more than DELETED_CLUSTERS_MAX names are not kept (the next document repairs). Owner: loop. */
#ifndef META_DCMETA_DELETED_CLUSTERS_H
#define META_DCMETA_DELETED_CLUSTERS_H

#include "shared/base/map.h"

#define DELETED_CLUSTERS_MAX 10000

struct deleted_clusters {
    struct map by_name; /* struct deleted_cluster */
};

void deleted_clusters_init(struct deleted_clusters *);
void deleted_clusters_done(struct deleted_clusters *);
/* version > 0; the highest one of a name counts. */
void deleted_clusters_add(struct deleted_clusters *, const char *name, int64_t version);
/* A document of this version was applied: deletions up to it are in there. */
void deleted_clusters_settle(struct deleted_clusters *, int64_t document_version);
/* Version of the deletion; 0: none is known. */
int64_t deleted_clusters_version(const struct deleted_clusters *, const char *name);

#endif
