/* sentinels_internal.h - what creations of shards and bindings need of sentinels.c and sentinel_use.c. */
#ifndef CONSOLE_CATALOG_SENTINELS_INTERNAL_H
#define CONSOLE_CATALOG_SENTINELS_INTERNAL_H

#include "console/catalog/lookup.h"
#include "console/catalog/sentinels.h"

/* Which rows are new in this change. */
struct new_rows {
    int64_t first_shard_id; /* this one and later */
    int64_t dc_cluster_id;  /* in this binding; 0: in all of the cluster */
};
/* Chooses a group for each new row that has none. Inside the transaction that made them. */
int sentinels_assign(const struct change *, const struct cluster_ref *, struct new_rows,
                     struct xp_err *) XP_MUST_CHECK;

/* Groups with ids in a range, in a read or a change. 'dc_id' 0 and 'type' NULL: any. Appended to 'rows'. */
int sentinel_groups_load(struct db *, int64_t first_id, int64_t last_id, const char *type,
                         int64_t dc_id, struct sentinel_group_rows *rows,
                         struct xp_err *) XP_MUST_CHECK;

#endif
