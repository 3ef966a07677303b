/* deleted_clusters.c - see deleted_clusters.h. */
#include "meta/dcmeta/deleted_clusters.h"

#include "shared/base/mem.h"

#include "shared/base/banned.h"

struct deleted_cluster {
    int64_t version;
};

void deleted_clusters_init(struct deleted_clusters *deleted)
{
    deleted->by_name = MAP_INIT(MAP_TEXT);
}

void deleted_clusters_done(struct deleted_clusters *deleted)
{
    deleted_clusters_settle(deleted, INT64_MAX);
    map_done(&deleted->by_name);
}

void deleted_clusters_add(struct deleted_clusters *deleted, const char *name, int64_t version)
{
    struct deleted_cluster *entry = map_get(&deleted->by_name, name);
    if (!entry) {
        if (map_count(&deleted->by_name) >= DELETED_CLUSTERS_MAX) {
            return;
        }
        entry = xcalloc(1, sizeof(*entry));
        (void)map_put(&deleted->by_name, name, entry);
    }
    entry->version = version > entry->version ? version : entry->version;
}

void deleted_clusters_settle(struct deleted_clusters *deleted, int64_t document_version)
{
    size_t at = 0;
    for (const struct map_slot *slot; (slot = map_next(&deleted->by_name, &at));) {
        struct deleted_cluster *entry = slot->value;
        if (entry->version <= document_version) {
            (void)map_remove(&deleted->by_name, slot->text);
            free(entry);
        }
    }
}

int64_t deleted_clusters_version(const struct deleted_clusters *deleted, const char *name)
{
    const struct deleted_cluster *entry = map_get(&deleted->by_name, name);
    return entry ? entry->version : 0;
}
