/* dc_binding.h - binding a DC to a cluster and back (console-api.md 3.4). See catalog.h. */
#ifndef CONSOLE_CATALOG_DC_BINDING_H
#define CONSOLE_CATALOG_DC_BINDING_H

#include "console/catalog/catalog.h"

struct cluster_dc {
    const char *cluster;
    const char *dc;
};

/* Makes the shard rows of the new DC too. Effect: changed, all DCs (x-pipe told nobody). */
int dc_bind(struct catalog *, const struct change_ctx *, const struct cluster_dc *,
            struct catalog_result *ret_result, struct xp_err *) XP_MUST_CHECK;
/* Removes the shard rows and the keepers there; refused while redises are left. Effects: deleted in that DC, changed in
 * all others (x-pipe left the peers there until the next poll). */
int dc_unbind(struct catalog *, const struct change_ctx *, const struct cluster_dc *,
              struct catalog_result *ret_result, struct xp_err *) XP_MUST_CHECK;

#endif
