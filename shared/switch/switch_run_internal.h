/* switch_run_internal.h - what the runs of a switchover step have in common. Internal to shared/switch: embedded by fence_run and promote_run.
 *
 *   decide -> (pause) -> act: a round of the party -> answers into the nodes -> decide ... -> on_done
 *
 * A round waits for its slowest Redis, so it never gets all the time that is left: after a silent one there must be time to read back
 * what came of a command. Decides nothing. Thread: loop. */
#ifndef SHARED_SWITCH_SWITCH_RUN_INTERNAL_H
#define SHARED_SWITCH_SWITCH_RUN_INTERNAL_H

#include "shared/switch/switch_run.h"

struct switch_run;

struct switch_run_ops {
    void (*decide)(struct switch_run *); /* ends with switch_run_act_after */
    void (*act)(struct switch_run *);    /* a round, or the end */
};

struct switch_run {
    const struct switch_run_ops *ops;
    struct loop *loop;
    struct redis_party *party;
    struct loop_timer timer; /* the start; a pause */
    int64_t connect_timeout_ms;
    mono_ms deadline;
    mono_ms drain_until;
    int (*may_command)(void *arg, struct xp_err *err);
    void *arg;
    struct execution_log *log;     /* borrowed */
    struct execution_log *own_log; /* when there is none */
    struct late_rewrites *late;    /* borrowed; NULL */
    struct warm_party *warm;       /* borrowed; NULL */
    struct addr redis[SWITCH_REDIS_MAX];
    size_t redis_count;
};

/* Decides for the first time soon, not inside this call. Draining may take 'drain_ms', but leaves time for what comes behind it. */
void switch_run_init(struct switch_run *, const struct switch_run_ops *,
                     const struct switch_run_options *, int64_t drain_ms);
/* Nothing more is sent. */
void switch_run_done(struct switch_run *);

/* Acts, at once (0) or after a pause, which the deadline ends. */
void switch_run_act_after(struct switch_run *, int64_t pause_ms);
/* Asked right before a change; a refusal is told in the log. */
bool switch_run_may(struct switch_run *);
/* How long a round may take. One that only looks gets the time of a connect: the dead and hung ones cost no more. */
int64_t switch_run_round_ms(const struct switch_run *, bool is_look);
/* Sent behind the result, to be called before on_done, which may close the connections: what is written is carried out all the same.
 * 'behind': of what, for the log; static. The last round of the run. */
void switch_run_send_late(struct switch_run *, const char *behind, const struct party_order *,
                          size_t count);
void switch_run_tell_no_file(struct switch_run *, const struct addr *);

#endif
