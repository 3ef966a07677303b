/* shard_set.h - which shards this metaserver works on: those whose slot it owns, of the cluster types that have a duty.
 *
 * Put together from two sides, the DC's clusters (dc_store) and the slots (sharding); both only say "it is so now".
 * A shard that leaves either side loses its duty at once, connections and all - but for a command that is not answered yet:
 * the slot is quiet, and the shard may be commanded by somebody else, when that answer is there. A cluster that changes its type
 * is one that goes and one that comes. Owner: loop. */
#ifndef META_SHARDS_SHARD_SET_H
#define META_SHARDS_SHARD_SET_H

#include "meta/shards/duty.h"

struct shard_set;

struct duty_maker { /* of the duties of one cluster type */
    enum cluster_type type;
    struct duty *(*make)(void *env, struct cluster_meta *, const char *shard);
    void *env;
};

/* The store is borrowed; the makers are copied. */
struct shard_set *shard_set_new(struct dc_store *store, const struct duty_maker *makers,
                                size_t count);
void shard_set_free(struct shard_set *);

void shard_set_slot(struct shard_set *, int slot, bool is_owned);
void shard_set_cluster(struct shard_set *, const struct cluster_meta *before,
                       struct cluster_meta *after);
void shard_set_routes(struct shard_set *);

/* No command of a shard that left is under way. 'slot' -1: in no slot. */
bool shard_set_is_quiet(const struct shard_set *, int slot);
/* Told each time a slot becomes quiet again. */
void shard_set_on_quiet(struct shard_set *, void (*fn)(int slot, void *arg), void *arg);

/* Told of each duty that was made, and of each that is about to end. */
void shard_set_on_shard(struct shard_set *,
                        void (*fn)(const struct duty *, bool is_here, void *arg), void *arg);

struct duty *shard_set_find(const struct shard_set *, const char *cluster,
                            const char *shard); /* NULL: not ours */
size_t shard_set_count(const struct shard_set *);
void shard_set_each(const struct shard_set *, void (*fn)(struct duty *, void *arg), void *arg);

#endif
