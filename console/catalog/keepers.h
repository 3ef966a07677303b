/* keepers.h - keepers of a shard in a DC (console-api.md 3.7, 3.9.3): choosing, removing, which one is active. See catalog.h.
 * Reading them is keepers_list (redises.h); the choice itself is pure (keeper_choice.h).
 *
 * All keepers of one shard in one DC share one run id of 40 hex digits, and get it again when they are re-created: it is
 * their replication identity. New ones are not active: a metaserver elects and reports. */
#ifndef CONSOLE_CATALOG_KEEPERS_H
#define CONSOLE_CATALOG_KEEPERS_H

#include "console/catalog/keeper_containers.h"
#include "console/catalog/redises.h"

/* Adds two keepers; *ret_rows: the new ones. When there are keepers already (be it one) nothing changes, and *ret_rows are
 * these. Texts: `not found cluster <c>`, `cluster <c> not support keepers`, `not found: dc:<dc>, cluster:<c>, shard:<s>`,
 * `insert fail:Organization keepers size:<n>, but we need:2` and other `insert fail:<text>`. Effect: changed, the DC. */
int keepers_add(struct catalog *, const struct change_ctx *, const struct shard_place *,
                struct redis_rows *ret_rows, struct catalog_result *ret_result,
                struct xp_err *) XP_MUST_CHECK;
/* Removes all; *ret_rows: the removed ones, none when there were none or the DC or shard is unknown. `unfound cluster <c>`
 * (XP_NOT_FOUND), `unsupported cluster type` (XP_INVALID). Effect: changed, the DC. */
int keepers_remove(struct catalog *, const struct change_ctx *, const struct shard_place *,
                   struct redis_rows *ret_rows, struct catalog_result *ret_result,
                   struct xp_err *) XP_MUST_CHECK;

struct keeper_report { /* a metaserver says which keeper is the active one */
    struct shard_place place;
    struct addr addr;     /* none: by container */
    int64_t container_id; /* where no keeper has the address; 0: none */
};
/* One flag, in documents from now on, and pushed to nobody: the metaservers of the DC know it first. What changes nothing is
 * found out in a read and takes no write. XP_NOT_FOUND: no such keeper. */
int keepers_report_active(struct catalog *, const struct change_ctx *, const struct keeper_report *,
                          struct catalog_result *ret_result, struct xp_err *) XP_MUST_CHECK;

struct keeper_home { /* where a keeper could go */
    int64_t container_id;
    struct addr addr;
};
struct keeper_homes {
    struct keeper_home items[KEEPERS_PER_SHARD];
    size_t count; /* all, or 0: the DC has no keeper container, active or not (D11) */
};
struct keeper_wish { /* for a suggestion */
    const char *dc;
    int64_t shard_id;         /* its cluster has organization and tag; 0: none */
    const struct addr *avoid; /* taken already by the caller's plan */
    size_t avoid_count;
};
/* Active containers of the pool that the cluster's keepers come from in a DC, fewest keepers first: all of its organization, or
 * of organization 0 where that has none. An unknown DC has none. `not found cluster <c>`. */
int keepers_pool(struct catalog *, const struct shard_place *,
                 struct keeper_container_rows *ret_rows, struct xp_err *) XP_MUST_CHECK;
/* Two homes that could be had now; nothing is reserved. `DC name does not exist`, `Organization keepers size:...`. */
int keepers_suggest(struct catalog *, const struct keeper_wish *, struct keeper_homes *ret_homes,
                    struct xp_err *) XP_MUST_CHECK;

#endif
