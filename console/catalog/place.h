/* place.h - inside console/catalog only: a shard in a DC, found by names, and the redises or keepers that it has there. */
#ifndef CONSOLE_CATALOG_PLACE_H
#define CONSOLE_CATALOG_PLACE_H

#include "console/catalog/instance_change.h"
#include "console/catalog/lookup.h"
#include "console/catalog/redises.h"

struct place_ref {
    struct cluster_ref cluster;
    struct dc_ref dc;
    struct shard_ref shard;
    /* of the row of the shard in the DC; 0: one of the names is unknown, or the DC is not bound */
    int64_t id;
};

/* What is unknown has id 0. */
int place_find(const struct catalog *, struct db *, const struct shard_place *,
               struct place_ref *ret, struct xp_err *) XP_MUST_CHECK;
/* For changes: checks the version asked for and notes the cluster. `not found: dc:<dc>, cluster:<c>, shard:<s>`. */
int place_resolve(const struct catalog *, const struct change *, const struct shard_place *,
                  struct place_ref *ret, struct xp_err *) XP_MUST_CHECK;
int place_not_found(const struct shard_place *, struct xp_err *); /* that failure */
/* Borrows from the place. */
struct instance_target place_target(const struct place_ref *);

/* role: "redis" or "keeper". By id; appended to 'rows'. */
int place_rows(struct db *, int64_t place_id, const char *role, struct redis_rows *rows,
               struct xp_err *) XP_MUST_CHECK;

#endif
