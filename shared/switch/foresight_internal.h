/* foresight_internal.h - what fence_foresee and promote_foresee have in common: decide, and let each order of the plan be obeyed, until it is over.
 *
 * Internal to shared/switch. Pure. Thread: any. */
#ifndef SHARED_SWITCH_FORESIGHT_INTERNAL_H
#define SHARED_SWITCH_FORESIGHT_INTERNAL_H

#include "shared/switch/foresight.h"

struct foresee;

/* what the rounds need to know of a plan of fence_decide or promote_decide */
struct foreseen_plan {
    bool is_over;
    const char *rule;
    int64_t pause_ms;
    struct {
        size_t node;
        int kind; /* enum fence_order_kind or promote_order_kind */
    } orders[SWITCH_REDIS_MAX];
    size_t order_count;
};

struct foresee_ops {
    void (*decide)(struct foresee *, struct foreseen_plan *ret_plan);
    bool (*is_change)(int kind); /* the order changes the Redis */
    /* Adds the commands of the order to 'out', and carries them out on 'redis' where it answers. */
    void (*send)(struct foresee *, size_t node, int kind);
};

struct foresee {
    const struct foresee_ops *ops;
    struct foreseen_redis *redis;
    size_t count;
    struct foresight *out;
    mono_ms now;
    mono_ms deadline;
    struct foreseen_plan plan;
};

/* Fills 'out', but for what is sent behind the result. Afterwards 'plan' is over, or it never would be. */
void foresee_run(struct foresee *);

#endif
