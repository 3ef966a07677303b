/* keeper_inventory.h - what the keeper containers of this DC really have, against what the DC document wants: finds keepers that a
 * deleted shard or cluster left behind, and removes them (inventory_decide.h).
 *
 * The level-triggered half of removing keepers: tree_containers.c asks for it once, when a shard goes; what is lost then, with
 * the owner of the slot or because nobody owned it, is found here. observe: GET /keepers of every container of the document, a
 * round every interval_ms (spread by a tenth), LISTS_AT_ONCE containers at a time, one request each; no answer, a refusal, garbage or half a list
 * is no fact: what was seen on that container stays as it was seen. decide: inventory_decide, once a round, over what was seen in it.
 * act: container_calls, where keeper_inventory_check decides anew right before the request. record: log, metrics,
 * keeper_inventory_json. Owner: loop. */
#ifndef META_KEEPERS_KEEPER_INVENTORY_H
#define META_KEEPERS_KEEPER_INVENTORY_H

#include <jansson.h>

#include "meta/dcmeta/dc_store.h"
#include "meta/keepers/container_calls.h"
#include "meta/keepers/inventory_decide.h"
#include "meta/keepers/keeper_memory.h"

struct keeper_inventory;

struct inventory_settings { /* changed by a reload */
    enum orphan_mode mode;
    int64_t interval_ms;
    int64_t grace_ms;
    int rounds;
    int limit;
    int64_t fresh_ms;
};

struct keeper_inventory_options {
    struct loop *loop;
    struct dc_store *store;        /* borrowed, as the two below */
    struct container_calls *calls; /* its check_orphan must ask keeper_inventory_check */
    struct keeper_memory *memory;
    int64_t connect_timeout_ms;
    int64_t timeout_ms;
    struct inventory_settings settings;
    int (*may_call)(int64_t cluster_id, void *arg, struct xp_err *err);
    /* Every keeper that the document has of this shard lives, for long enough that one too many may go. */
    bool (*is_settled)(const struct cluster_meta *, const char *shard, void *arg);
    void *arg;
};

struct keeper_inventory *keeper_inventory_new(const struct keeper_inventory_options *);
void keeper_inventory_free(struct keeper_inventory *); /* before 'calls'; NULL is fine */
void keeper_inventory_set(struct keeper_inventory *, const struct inventory_settings *);
/* Is the keeper of this call an orphan still, to be removed by us, now? 0, or XP_CONFLICT with why not. */
int keeper_inventory_check(const struct keeper_inventory *, const struct container_call *,
                           struct xp_err *err) XP_MUST_CHECK;
/* Settings, containers with their last answer, orphans (the first INVENTORY_SHOWN) with verdict, rule and why. Returns owned. */
json_t *keeper_inventory_json(const struct keeper_inventory *);

#endif
