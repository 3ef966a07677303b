/* instance_change.h - inside console/catalog only: one redis of a shard in a DC is added, removed, or gets the master flag, in the
 * middle of a change. Each writes a line into the change's notes, and raises *ret_changed by one unless nothing had to change. */
#ifndef CONSOLE_CATALOG_INSTANCE_CHANGE_H
#define CONSOLE_CATALOG_INSTANCE_CHANGE_H

#include "console/catalog/lookup.h"
#include "console/catalog/redises.h"

/* Where the redises go; all of it resolved before. */
struct instance_target {
    const struct cluster_ref *cluster;
    const struct dc_ref *dc;
    const struct shard_ref *shard;
    int64_t dc_cluster_shard_id;
};
/* There already: it gets the master flag when that is asked for. Texts: `invalid socket address:<x>`,
 * `Redis already exists, ip:port`. */
int instance_add(const struct change *, const struct instance_target *,
                 const struct instance_spec *, int64_t *ret_changed, struct xp_err *) XP_MUST_CHECK;
/* An address that is no redis of this shard and DC is ignored. */
int instance_remove(const struct change *, const struct instance_target *,
                    const struct instance_spec *, int64_t *ret_changed,
                    struct xp_err *) XP_MUST_CHECK;
/* An address that is no redis of this shard and DC is XP_NOT_FOUND. */
int instance_set_master(const struct change *, const struct instance_target *,
                        const struct instance_spec *, int64_t *ret_changed,
                        struct xp_err *) XP_MUST_CHECK;
/* The same; spec->az is the zone, none clears it. */
int instance_set_az(const struct change *, const struct instance_target *,
                    const struct instance_spec *, int64_t *ret_changed,
                    struct xp_err *) XP_MUST_CHECK;
int instance_parse(const char *text, struct addr *ret_addr, struct xp_err *) XP_MUST_CHECK;
/* Appends {"shard","dc",key:addr} to the list "redises" of the change's notes. */
void instance_note(const struct change *, const struct instance_target *, const char *key,
                   const struct addr *);

#endif
