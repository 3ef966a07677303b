/* switch_plan_internal.h - between switch_plan.c (the machine, driven) and switch_plan_tree.c (who follows whom) only. */
#ifndef CONSOLE_MIGRATION_SWITCH_PLAN_INTERNAL_H
#define CONSOLE_MIGRATION_SWITCH_PLAN_INTERNAL_H

#include "console/migration/switch_plan.h"
#include "shared/switch/foresight.h"

struct plan_world { /* the Redis of one shard in one DC, as they are by then */
    const struct plan_dc *dc;
    const struct survey_dc *seen; /* NULL: not asked */
    bool has_details;
    struct foreseen_redis redis[SWITCH_REDIS_MAX];
    size_t count;
    bool has_keepers; /* in the metadata */
};
struct planning {
    const struct switch_plan_facts *facts;
    struct switch_plan *plan;
    struct migration_cluster_row row;
    struct plan_world *worlds; /* shard_count * dc_count */
    struct plan_gap *gaps;     /* of each shard */
    const char *rule;          /* of the machine, now */
    bool *refuses;             /* writes, of each shard */
    bool is_gap;               /* what is added now is done while writes are refused */
};
struct plan_world *plan_world_of(struct planning *, size_t shard, int64_t dc_id);
struct plan_step *plan_add(struct planning *, struct plan_step like, char *take_text);

/* The metaserver of the new primary DC puts its own tree right, behind the promotion. */
void plan_tree_promoted(struct planning *, size_t shard, const struct addr *master);
/* That of another DC, told to follow. */
void plan_tree_follow(struct planning *, size_t shard, int64_t dc_id, const struct addr *master);

#endif
