/* cluster_meta_eq.c - whether a metaserver would do anything else after a change (see dc_meta.h).
 *
 * Lists whose order means nothing are compared as sorted pointers, so documents in any order are equal. */
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/model/dc_meta.h"

#include <string.h>

#include "shared/base/banned.h"

/* Both texts absent or empty counts as equal: pushes send "" where polls send null. */
static bool same_text(const char *a, const char *b)
{
    return text_eq(a, b);
}

typedef int compare_fn(const void *, const void *);

/* Pointers to the elements, sorted. Returns owned. */
static const void **sorted(const void *items, size_t count, size_t size, compare_fn *compare)
{
    const void **pointers = xcalloc(count, sizeof(void *));
    for (size_t i = 0; i < count; i++) {
        pointers[i] = (const char *)items + i * size;
    }
    if (count > 0) {
        qsort(pointers, count, sizeof(void *), compare);
    }
    return pointers;
}

struct list {
    const void *items;
    size_t count;
};

/* 'compare' gets pointers to pointers (as qsort gives them) and is 0 for equal elements only. */
static bool same_set(struct list a, struct list b, size_t size, compare_fn *compare)
{
    if (a.count != b.count) {
        return false;
    }
    if (a.count == 1) { /* the usual case needs no sorting */
        return compare(&a.items, &b.items) == 0;
    }
    AUTO_FREE const void **left = sorted(a.items, a.count, size, compare);
    AUTO_FREE const void **right = sorted(b.items, b.count, size, compare);
    for (size_t i = 0; i < a.count; i++) {
        if (compare(&left[i], &right[i]) != 0) {
            return false;
        }
    }
    return true;
}

#define ORDER(a, b) ((a) < (b) ? -1 : (a) > (b))

static int order_names(const void *a, const void *b)
{
    const char *const *left = *(const char *const *const *)a;
    const char *const *right = *(const char *const *const *)b;
    return strcmp(*left, *right);
}

static int order_ids(const void *a, const void *b)
{
    return ORDER(**(const int64_t *const *)a, **(const int64_t *const *)b);
}

static int order_redises(const void *a, const void *b)
{
    const struct redis_meta *left = *(const struct redis_meta *const *)a;
    const struct redis_meta *right = *(const struct redis_meta *const *)b;
    int order = addr_cmp(&left->addr, &right->addr);
    order = order ? order : ORDER(left->is_master, right->is_master);
    return order ? order : ORDER(left->gid, right->gid);
}

static int order_keepers(const void *a, const void *b)
{
    const struct keeper_meta *left = *(const struct keeper_meta *const *)a;
    const struct keeper_meta *right = *(const struct keeper_meta *const *)b;
    int order = addr_cmp(&left->addr, &right->addr);
    order = order ? order : ORDER(left->is_active, right->is_active);
    order = order ? order : ORDER(left->container_id, right->container_id);
    return order ? order : ORDER(left->priority, right->priority);
}

static bool same_names(const struct names *a, const struct names *b)
{
    return same_set((struct list){ a->items, a->count }, (struct list){ b->items, b->count },
                    sizeof(char *), order_names);
}

static bool same_shard(const struct shard_meta *a, const struct shard_meta *b)
{
    return strcmp(a->name, b->name) == 0 && a->db_id == b->db_id &&
           a->sentinel_id == b->sentinel_id &&
           same_text(a->sentinel_monitor_name, b->sentinel_monitor_name) &&
           same_set((struct list){ a->redises.items, a->redises.count },
                    (struct list){ b->redises.items, b->redises.count }, sizeof(struct redis_meta),
                    order_redises) &&
           same_set((struct list){ a->keepers.items, a->keepers.count },
                    (struct list){ b->keepers.items, b->keepers.count }, sizeof(struct keeper_meta),
                    order_keepers);
}

static bool same_shards(const struct cluster_meta *a, const struct cluster_meta *b)
{
    if (a->shards.count != b->shards.count) {
        return false;
    }
    for (size_t i = 0; i < a->shards.count; i++) { /* sorted by name */
        if (!same_shard(&a->shards.items[i], &b->shards.items[i])) {
            return false;
        }
    }
    return true;
}

static bool same_route_ids(const struct cluster_meta *a, const struct cluster_meta *b)
{
    return same_set((struct list){ a->designated_route_ids.items, a->designated_route_ids.count },
                    (struct list){ b->designated_route_ids.items, b->designated_route_ids.count },
                    sizeof(int64_t), order_ids);
}

bool cluster_meta_eq(const struct cluster_meta *a, const struct cluster_meta *b)
{
    if (a == b) {
        return true;
    }
    return strcmp(a->name, b->name) == 0 && a->db_id == b->db_id && a->type == b->type &&
           !a->problem == !b->problem && a->is_migrating == b->is_migrating &&
           a->org_id == b->org_id && same_text(a->active_dc, b->active_dc) &&
           same_names(&a->backup_dcs, &b->backup_dcs) && same_names(&a->dcs, &b->dcs) &&
           same_route_ids(a, b) && same_shards(a, b);
}

bool route_meta_eq(const struct route_meta *a, const struct route_meta *b)
{
    return a->id == b->id && same_text(a->tag, b->tag) && same_text(a->src_dc, b->src_dc) &&
           same_text(a->dst_dc, b->dst_dc) && a->org_id == b->org_id &&
           same_text(a->cluster_type, b->cluster_type) && a->is_public == b->is_public &&
           same_text(a->route_info, b->route_info);
}
