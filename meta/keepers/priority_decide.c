/* priority_decide.c - see priority_decide.h.
 *
 * Rules (stable, with gaps); all of them need a fresh answer of a Redis whose priority is known:
 *   T50 backup DC, no keepers in the document; it is not 0                                 0
 *   T52 primary DC, the only master that answers has 0; a replica with 0                   replica_priority
 *   T54 the same; the master: all Redis of the document answer, no replica is left with 0  replica_priority
 */
#include "meta/keepers/priority_decide.h"

#include "shared/base/mem.h"

#include "shared/base/banned.h"

static bool is_told(const struct tree_facts *f, const struct tree_node *node)
{
    return !node->is_keeper && tree_node_is_fresh(f, node) && node->role.kind != ROLE_KIND_KEEPER &&
           node->priority >= 0;
}

/* NULL: none answers, or several do. */
static const struct tree_node *only_master(const struct tree_facts *f)
{
    const struct tree_node *master = NULL;
    for (size_t i = 0; i < f->redis_count; i++) {
        const struct tree_node *node = &f->nodes[i];
        if (tree_node_is_fresh(f, node) && node->role.kind == ROLE_KIND_MASTER) {
            if (master) {
                return NULL;
            }
            master = node;
        }
    }
    return master;
}

/* Nobody is silent, and nobody but the master has 0. Who refuses to tell its priority cannot be given another one either. */
static bool is_master_the_last(const struct tree_facts *f, const struct tree_node *master)
{
    for (size_t i = 0; i < f->redis_count; i++) {
        const struct tree_node *node = &f->nodes[i];
        bool may_be_0 = node->priority == 0 || node->priority == PRIORITY_UNKNOWN;
        if (!tree_node_is_fresh(f, node) || (node != master && may_be_0)) {
            return false;
        }
    }
    return true;
}

static struct priority_want in_primary(const struct tree_facts *f, const struct tree_node *node)
{
    struct priority_want nothing = { .value = PRIORITY_UNKNOWN };
    const struct tree_node *master = only_master(f);
    if (!master || !is_told(f, master) || master->priority != 0 || node->priority != 0 ||
        !addr_eq(&master->addr, &f->source)) {
        return nothing;
    }
    if (node != master) {
        return (struct priority_want){ f->replica_priority, "T52",
                                       "the primary DC: it may be promoted again" };
    }
    return is_master_the_last(f, master)
               ? (struct priority_want){ f->replica_priority, "T54",
                                         "the primary DC: the master, last of all" }
               : nothing;
}

struct priority_want priority_decide(const struct tree_facts *f, const struct tree_node *node)
{
    struct priority_want nothing = { .value = PRIORITY_UNKNOWN };
    if (f->replica_priority <= 0 || !is_told(f, node)) {
        return nothing;
    }
    if (f->place == TREE_PRIMARY) {
        return in_primary(f, node);
    }
    if (f->place == TREE_BACKUP && f->shard->keepers.count == 0 && node->priority != 0) {
        return (struct priority_want){ 0, "T50", "a backup DC: sentinels must not promote it" };
    }
    return nothing;
}
