/* fake_worker.h - the simulated twin of worker.h: no threads, the same promises.
 *
 * A pool of N threads runs N jobs at a time. 'run' is called (in the worker's role) when a job is taken, all its
 * effects happen then; 'done' follows on the loop after the duration of a job, 1 ms unless set. Thread: one. */
#ifndef TESTS_SIM_FAKE_WORKER_H
#define TESTS_SIM_FAKE_WORKER_H

#include "shared/net/worker.h"

void fake_worker_set_duration(struct worker_pool *, int64_t ms);

#endif
