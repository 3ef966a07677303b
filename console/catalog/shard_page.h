/* shard_page.h - one shard in one DC as a whole, read and replaced: what pages and repair scripts do (console-api.md 3.15, 3.7
 * "Validation when a page sets keepers by hand"). See catalog.h. */
#ifndef CONSOLE_CATALOG_SHARD_PAGE_H
#define CONSOLE_CATALOG_SHARD_PAGE_H

#include "console/catalog/redises.h"

struct shard_page {
    int64_t shard_id;
    char *shard;
    int64_t cluster_id;
    int64_t place_id;    /* of its row in this DC */
    int64_t sentinel_id; /* group; 0: none */
    struct redis_rows redises;
    struct redis_rows keepers;
};
/* XP_NOT_FOUND: `not found: dc:<dc>, cluster:<c>, shard:<s>`. */
int shard_page_get(struct catalog *, const struct shard_place *, struct shard_page *ret_page,
                   struct xp_err *) XP_MUST_CHECK;
void shard_page_done(struct shard_page *);

struct page_keeper {
    struct addr addr;
    int64_t container_id;
    bool has_priority; /* else: as it is, 1 for a new one */
    int64_t priority;
};
struct page_redis {
    struct addr addr;
    enum tri master; /* absent: as it is, no for a new one */
    int64_t az_id;   /* of a new one; 0: none */
};
struct shard_page_edit {
    struct shard_place place;
    bool has_keepers; /* else they stay */
    const struct page_keeper *keepers;
    size_t keeper_count;
    bool has_redises; /* else they stay */
    const struct page_redis *redises;
    size_t redis_count; /* at most 1,000 */
};
/* What is given replaces what is stored, all or nothing; what is there already keeps its row, its run id and its flags. Texts of
 * keepers: `Keepers' size must be 0 or at least 2`, `Keepers should be assigned to different keepercontainer[...]`,
 * `Cannot find related keepercontainer`, `Keeper's ip should be equal to keepercontainer's ip`,
 * `At most 2 keepers per disk medium`,
 * `If you wanna change keeper port in same keepercontainer,please delete it first.`,
 * `Already in use for keeper's port : <n>`. Effect: changed; the DC for one-way types, all DCs for multi-active ones. */
int shard_page_replace(struct catalog *, const struct change_ctx *, const struct shard_page_edit *,
                       struct catalog_result *ret_result, struct xp_err *) XP_MUST_CHECK;

#endif
