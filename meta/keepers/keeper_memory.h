/* keeper_memory.h - keepers that documents of this DC had and the present one may not have any more: what proves that one found on
 * a container was ours (inventory_decide.h, was_ours).
 *
 * Every member keeps it, for all clusters: when the owner of a slot dies with its removals, the next owner remembers them. The id
 * of a shard proves nothing by itself, because every console counts from 1; id and address together do. In memory only, and
 * that on purpose: every change of the document in use went through its brakes (dc_diff.h), a comparison with a file of an earlier
 * run would not (a console restored from an old copy, fewer cluster types asked for). At most KEEPER_MEMORY_MAX; what does not
 * fit, or was not asked for in KEEPER_MEMORY_DAYS, is not known, and so only reported. Owner: loop. */
#ifndef META_KEEPERS_KEEPER_MEMORY_H
#define META_KEEPERS_KEEPER_MEMORY_H

#include "shared/base/clock.h"
#include "shared/base/map.h"
#include "shared/model/dc_meta.h"

#define KEEPER_MEMORY_MAX  50000
#define KEEPER_MEMORY_DAYS 7

struct keeper_memory {
    struct map by_keeper; /* "shard host:port" -> struct remembered_keeper, owned */
};

void keeper_memory_init(struct keeper_memory *);
void keeper_memory_done(struct keeper_memory *);
/* As dc_listener.on_cluster: what 'before' had and 'after' (NULL: nothing) has not is remembered. */
void keeper_memory_note(struct keeper_memory *, const struct cluster_meta *before,
                        const struct cluster_meta *after, mono_ms now);
/* Id of the cluster that had it; 0: not known. Asking keeps it remembered. */
int64_t keeper_memory_cluster(struct keeper_memory *, int64_t shard_id, const struct addr *keeper,
                              mono_ms now);
/* Forgets what is too old, and what 'is_wanted' says is in the document again. */
void keeper_memory_sweep(struct keeper_memory *, mono_ms now,
                         bool (*is_wanted)(int64_t shard_id, const struct addr *keeper, void *arg),
                         void *arg);
size_t keeper_memory_count(const struct keeper_memory *);

#endif
