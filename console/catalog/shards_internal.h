/* shards_internal.h - what shards.c and shards_fill.c share. */
#ifndef CONSOLE_CATALOG_SHARDS_INTERNAL_H
#define CONSOLE_CATALOG_SHARDS_INTERNAL_H

#include "console/catalog/lookup.h"

/* A new shard with its rows in all bound DCs; the name must be free. */
int shard_insert(const struct change *, const struct cluster_ref *, const char *name,
                 struct shard_ref *ret_shard, struct xp_err *) XP_MUST_CHECK;

#endif
