/* switch_run.h - what every run of a switchover step is told (fence_run, promote_run): whom it may ask, how, and for how long. */
#ifndef SHARED_SWITCH_SWITCH_RUN_H
#define SHARED_SWITCH_SWITCH_RUN_H

#include "shared/switch/execution_log.h"
#include "shared/switch/late_rewrite.h"
#include "shared/switch/redis_party.h"
#include "shared/switch/switch_words.h"
#include "shared/switch/warm_party.h"

struct switch_run_options {
    struct loop *loop;
    const struct addr *redis; /* copied; at most SWITCH_REDIS_MAX */
    size_t redis_count;
    const char *user; /* as in rconn.h; copied */
    const char *password;
    const char *client_name;
    int64_t connect_timeout_ms;
    int64_t deadline_ms; /* from now, of everything */
    /* Asked right before each round that changes something; NULL: always. */
    int (*may_command)(void *arg, struct xp_err *err);
    void *arg;                 /* of may_command and on_done */
    struct execution_log *log; /* borrowed; written to */
    /* Borrowed: who hears what came of a CONFIG REWRITE behind the result; NULL: nobody. */
    struct late_rewrites *late;
    /* Borrowed, outlives the run: connections of the step before, and a place for ours; NULL: none. */
    struct warm_party *warm;
};

#endif
