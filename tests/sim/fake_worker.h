/* fake_worker.h - the simulated twin of worker.h: the same promises in virtual time.
 *
 * A pool of N threads runs N jobs at a time. 'run' is called (in the worker's role) when a job is taken; what it does
 * happens then, unless it waits (fake_worker_wait): each job runs on a thread of its own (fake_thread.h), and exactly one
 * of them runs at any moment. 'done' follows on the loop after the duration of a job, 1 ms unless set, counted from the
 * end of 'run'. worker_pool_free does not let time pass: what waits then goes on at once and is told that its time is
 * over, as if every call had come to its time-out. Thread: one at a time. */
#ifndef TESTS_SIM_FAKE_WORKER_H
#define TESTS_SIM_FAKE_WORKER_H

#include "shared/net/worker.h"

struct fake_wait { /* all zero at first */
    void *thread;  /* private */
    bool is_woken;
};
/* Inside 'run' only: the simulation goes on without this job until fake_worker_wake (true), or until the pool is freed
 * (false; so is every later wait of the job). */
bool fake_worker_wait(struct fake_wait *) XP_MUST_CHECK;
/* The job goes on before this returns, up to its next wait or its end. Waking twice, or before the wait, is fine. */
void fake_worker_wake(struct fake_wait *);
void fake_worker_set_duration(struct worker_pool *, int64_t ms);

#endif
