/* keepers_internal.h - inside console/catalog only: keepers in the middle of somebody else's change. */
#ifndef CONSOLE_CATALOG_KEEPERS_INTERNAL_H
#define CONSOLE_CATALOG_KEEPERS_INTERNAL_H

#include "console/catalog/instance_change.h"
#include "console/catalog/keepers.h"
#include "shared/base/map.h"

/* Keepers for many shards in one change. It remembers how far the ports of each host are taken: to read all of them again for
 * each of 10,000 shards would take minutes. */
struct keeper_filler {
    const struct catalog *cat;
    const struct change *change;
    struct map ports; /* MAP_TEXT_NOCASE: IP to a port below which none is free */
};
void keeper_filler_done(struct keeper_filler *);
/* 2 or more keepers stay, one is replaced by two, none become two. A DC without any keeper container gets none (D11); one with
 * too few fails. *ret_changed is raised by the rows added and removed. */
int keepers_fill(struct keeper_filler *, const struct instance_target *, int64_t *ret_changed,
                 struct xp_err *) XP_MUST_CHECK;

/* One keeper more, with the run id of the shard's keepers in the DC. */
int keeper_insert(const struct change *, const struct instance_target *, const struct keeper_home *,
                  int64_t priority, struct xp_err *) XP_MUST_CHECK;
int keeper_delete(const struct change *, const struct instance_target *, const struct redis_row *,
                  struct xp_err *) XP_MUST_CHECK;

#endif
