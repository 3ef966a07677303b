/* instance_add.h - inside console/catalog only: adding redises to a shard in a DC, shared by redises.c and shards.c. */
#ifndef CONSOLE_CATALOG_INSTANCE_ADD_H
#define CONSOLE_CATALOG_INSTANCE_ADD_H

#include "console/catalog/lookup.h"
#include "console/catalog/redises.h"

/* Where the redises go; all of it resolved before. */
struct instance_target {
    const struct cluster_ref *cluster;
    const struct dc_ref *dc;
    const struct shard_ref *shard;
    int64_t dc_cluster_shard_id;
};
/* Adds one redis and a line to the change's notes; *ret_added is raised by one unless it was there already with the same
 * flag. Texts: `invalid socket address:<x>`, `Redis already exists, ip:port`. */
int instance_add(const struct change *, const struct instance_target *,
                 const struct instance_spec *, int64_t *ret_added, struct xp_err *) XP_MUST_CHECK;
int instance_parse(const char *text, struct addr *ret_addr, struct xp_err *) XP_MUST_CHECK;
/* Takes the flag from the other redises of the shard (redises.h: redises_set_master). */
int instance_clear_masters(const struct change *, const struct instance_target *, int64_t redis_id,
                           struct xp_err *) XP_MUST_CHECK;
/* Appends {"shard","dc",key:addr} to the list "redises" of the change's notes. */
void instance_note(const struct change *, const struct instance_target *, const char *key,
                   const struct addr *);

#endif
