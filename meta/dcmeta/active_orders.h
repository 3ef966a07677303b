/* active_orders.h - which DC a switchover made the active one of a cluster before the console's documents say so (metaserver.md 7.4
 * step 0; dr-switchover.md 9.1 W15). Remembers and rewrites, decides nothing else.
 *
 * An order holds for every cluster_meta of that cluster that is no news: its version is not above the one that was known
 * when the order came (a document that was changed for other clusters), or it is of a migration that is still under way (what
 * the console then says is what it wants to be so, DC by DC). The first one that is neither ends it when it says the same, or
 * when the migration was seen before. Else nobody has told yet that there is one (its lock is on the way behind this, or the
 * console is Java's, or somebody ordered by hand), and the order holds for 'hold_ms'. Versions of 0 (a Java console):
 * every later one is news. Thread: one at a time. */
#ifndef META_DCMETA_ACTIVE_ORDERS_H
#define META_DCMETA_ACTIVE_ORDERS_H

#include "shared/base/clock.h"
#include "shared/base/map.h"
#include "shared/model/dc_meta.h"

struct active_orders {
    struct map by_id; /* dbId -> order, owned */
    int64_t hold_ms;
};
void active_orders_init(struct active_orders *, int64_t hold_ms);
void active_orders_done(struct active_orders *);
/* 'known' is what is known of the cluster now. */
void active_orders_set(struct active_orders *, const struct cluster_meta *known, const char *dc,
                       mono_ms now);
void active_orders_forget(struct active_orders *, int64_t db_id);
/* 'cluster' as it is to be used: itself, or a copy with the ordered DC. Takes a reference and returns one. */
/* 'now': when it was asked for; MONO_NEVER: it came from the disk. */
struct cluster_meta *active_orders_apply(struct active_orders *, struct cluster_meta *take_cluster,
                                         mono_ms now);
/* Does an order hold against news, for a while? Then the document is to be looked at again. */
bool active_orders_withhold(const struct active_orders *);
/* A copy in which 'dc' is the active one. XP_INVALID: it is none of its DCs. */
int cluster_meta_with_active(const struct cluster_meta *, const char *dc,
                             struct cluster_meta **ret_cluster, struct xp_err *err) XP_MUST_CHECK;

#endif
