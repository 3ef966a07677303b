/* worker.h - a few threads that may block.
 *
 * A job is embedded in its owner's struct: 'run' on a worker, then 'done' on the loop, exactly once each way:
 * run+done, or only done with outcome XP_TIMEOUT (its deadline passed while it waited) or XP_UNAVAILABLE (the
 * pool is shutting down). The job belongs to the pool from worker_submit until done is called.
 * A passed deadline is noticed when a worker takes the job, so 'done' may come as late as the jobs before it end.
 * Every blocking call inside 'run' has a time-out of its own; the pool cannot interrupt it.
 * Bound: 'queue_max' jobs wait at most; one more is refused, never waited for.
 * A job goes to the thread that became idle last: few threads serve a small load, with warm caches and connections. The others
 * rest after WORKER_REST_MS: what they kept for their next job is given back (thread_rest), and they are taken last.
 * Thread: worker_submit from any thread; done runs on the loop. */
#ifndef SHARED_NET_WORKER_H
#define SHARED_NET_WORKER_H

#include "shared/net/loop.h"

/* Below the 30 s after which our own server closes an idle connection. */
#define WORKER_REST_MS 20000

struct worker_pool;

struct job {
    void (*run)(struct job *);  /* on a worker */
    void (*done)(struct job *); /* on the loop, but see is_done_anywhere; may free the job */
    mono_ms deadline;           /* for starting; MONO_FOREVER for none */
    int outcome;                /* 0 when run was called; else XP_TIMEOUT or XP_UNAVAILABLE */
    /* 'done' touches nothing of the loop: it is called on the worker, without waking the loop for it (on the loop at the end of the pool) */
    bool is_done_anywhere;
    struct list link; /* private */
};

/* 'thread_init' and 'thread_done' (either may be NULL) run on each worker, for its own connection or handle. */
struct worker_pool *worker_pool_new(struct loop *, const char *name, int threads, int queue_max,
                                    void (*thread_init)(void *arg), void (*thread_done)(void *arg),
                                    void *arg);
/* XP_UNAVAILABLE: the queue is full or the pool closes; the job stays with the caller and 'done' is not called. */
int worker_submit(struct worker_pool *, struct job *, struct xp_err *) XP_MUST_CHECK;
/* Refuses new jobs, waits for the running ones, joins the threads, and calls every 'done' that is still owed before it
 * returns (XP_UNAVAILABLE for jobs that never ran). Loop must still exist. NULL is fine.
 * Thread: main, while the loop does not run (or the loop thread itself). */
void worker_pool_free(struct worker_pool *);
/* Another time than WORKER_REST_MS, for those threads that begin to wait from now on. */
void worker_pool_set_rest(struct worker_pool *, int64_t rest_ms);
int worker_pool_waiting(struct worker_pool *); /* jobs that no thread has taken yet */

#endif
