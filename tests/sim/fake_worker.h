/* fake_worker.h - the simulated twin of worker.h: the same promises in virtual time.
 *
 * A pool of N threads runs N jobs at a time. 'run' is called (in the worker's role) when a job is taken; what it does
 * happens then, unless it waits (fake_worker_wait): each job runs on a thread of its own, and exactly one thread of the
 * process runs at any moment, handed on by hand, so that nothing depends on the scheduler. 'done' follows on the loop
 * after the duration of a job, 1 ms unless set. Thread: one at a time. */
#ifndef TESTS_SIM_FAKE_WORKER_H
#define TESTS_SIM_FAKE_WORKER_H

#include "shared/net/worker.h"

/* Inside 'run' only: the simulation goes on without this job until fake_worker_wake. */
struct fake_wait {
    void *job; /* private; all zero at first */
    bool is_woken;
};
void fake_worker_wait(struct fake_wait *);
/* From a callback of any loop: the job goes on before this returns, up to its next wait or its end. Waking twice, or
 * before the wait, is fine. */
void fake_worker_wake(struct fake_wait *);
void fake_worker_set_duration(struct worker_pool *, int64_t ms);

#endif
