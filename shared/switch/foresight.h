/* foresight.h - what a fence or a promotion would send, without sending it: the same decisions (fence_decide, promote_decide) and the same words
 * (fence_commands, promote_commands) as the real ones, over Redis that answer as they were last seen and do what they are told. The plan of a
 * migration is made of it, so that it cannot differ from what is done.
 *
 * Foretold are Redis that answer and obey: what a failure would change is not. Offsets stand still but for data that arrive; a Redis that did not
 * answer stays silent. Waiting (offsets that are read again and again) is foretold once and marked. Pure. Thread: any. */
#ifndef SHARED_SWITCH_FORESIGHT_H
#define SHARED_SWITCH_FORESIGHT_H

#include "shared/switch/fence.h"
#include "shared/switch/promote.h"

#define FORESIGHT_MAX      1024 /* commands of one run; more are counted, not kept */
#define FORESIGHT_TEXT_MAX 96
#define FORESIGHT_PROBE    "xpipe:fence:probe:*" /* stands for the random key of a probe */

struct foreseen_redis { /* one Redis as it is, or will be by then */
    struct addr addr;
    bool answers;
    struct redis_role role;
    char repl_id[REPL_ID_SIZE];
    int64_t offset;
    int64_t priority;
    int64_t min_slaves;
    int64_t max_lag_s;
    bool is_writable_replica;
    bool has_no_file;
};
void foreseen_redis_of(const struct check_redis *, struct foreseen_redis *ret_redis);

struct foreseen_command {
    struct addr redis;
    char text[FORESIGHT_TEXT_MAX];
    const char *rule; /* of fence_decide or promote_decide; static */
    int round;        /* 0, 1, ...; those of one round go at the same time */
    bool is_change;
    bool is_wait; /* only while data are missing */
    bool is_late; /* behind the result: nobody waits for it */
};
struct foresight {
    struct foreseen_command *items; /* owned */
    size_t count;
    size_t left_out;
    int rounds;           /* round trips that are waited for */
    int rounds_to_change; /* of those, before the first that changes something; = rounds when none does */
};
void foresight_done(struct foresight *);

struct foresee_fence {
    enum fence_goal goal;
    struct addr hint;
    struct fence_saved saved;
    int64_t deadline_ms;
};
/* Appends; 'redis' is changed as they would be. ret_result->log is NULL. */
void fence_foresee(const struct foresee_fence *, struct foreseen_redis *redis, size_t count,
                   struct foresight *out, struct switch_fence *ret_result);

struct foresee_promote {
    enum promote_goal goal;
    struct switch_order order;
    int64_t deadline_ms;
};
/* Appends. 'outcome' as of the run; ret_change->log is NULL. */
void promote_foresee(const struct foresee_promote *, struct foreseen_redis *redis, size_t count,
                     struct foresight *out, enum promote_outcome *ret_outcome,
                     struct switch_change *ret_change);

/* For the two above: one command of a round. */
void foresight_add(struct foresight *, const struct foreseen_redis *, const struct party_order *,
                   struct foreseen_command like);

#endif
