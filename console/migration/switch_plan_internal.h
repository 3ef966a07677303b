/* switch_plan_internal.h - between switch_plan.c (the machine, driven), switch_plan_tree.c (who follows whom) and switch_plan_duties.c (settings put back,
 * sentinels) only. */
#ifndef CONSOLE_MIGRATION_SWITCH_PLAN_INTERNAL_H
#define CONSOLE_MIGRATION_SWITCH_PLAN_INTERNAL_H

#include "console/migration/switch_plan.h"
#include "shared/switch/foresight.h"

struct plan_world { /* the Redis of one shard in one DC, as they are by then */
    const struct plan_dc *dc;
    const struct survey_dc *seen; /* NULL: not asked */
    bool has_details;
    struct foreseen_redis redis[SWITCH_REDIS_MAX];
    struct fence_saved saved[SWITCH_REDIS_MAX]; /* of each: its settings as they were seen */
    size_t count;
    const struct plan_monitor *monitor; /* NULL: no sentinels */
    bool is_watched;                    /* by them */
    bool has_keepers;                   /* in the metadata */
};
struct planning {
    const struct switch_plan_facts *facts;
    struct switch_plan *plan;
    struct migration_cluster_row row;
    wall_ms now;
    bool was_begun;            /* it is paused: this is the rest of it */
    struct plan_world *worlds; /* shard_count * dc_count */
    struct plan_gap *gaps;     /* of each shard */
    const char *rule;          /* of the machine, now */
    bool *refuses;             /* writes, of each shard */
    bool is_gap;               /* what is added now is done while writes are refused */
};
struct plan_world *plan_world_of(struct planning *, size_t shard, int64_t dc_id);
struct plan_step *plan_add(struct planning *, struct plan_step like, char *take_text);
void plan_add_foresight(struct planning *, enum migration_call phase, const char *dc,
                        const char *shard, const struct foresight *);
void plan_add_risk(struct planning *, const char *code, bool is_error, const char *shard,
                   const char *fmt, ...) XP_PRINTF(5, 6);

/* The metaserver of the new primary DC puts its own tree right, behind the promotion. */
void plan_tree_promoted(struct planning *, size_t shard, const struct addr *master);
/* That of another DC, told to follow. */
void plan_tree_follow(struct planning *, size_t shard, int64_t dc_id, const struct addr *master);

/* ---- switch_plan_duties.c ---- */
/* Who was fenced and follows now gets its own settings back. */
void plan_settle(struct planning *, size_t shard, int64_t dc_id);
/* The sentinels of the DC: forget the shard; or watch this master. */
void plan_sentinels_leave(struct planning *, size_t shard, int64_t dc_id, enum migration_call);
void plan_sentinels_watch(struct planning *, size_t shard, int64_t dc_id, enum migration_call,
                          const struct addr *master);

#endif
