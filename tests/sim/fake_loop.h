/* fake_loop.h - drives the simulated twin of loop.h and clock.h: a virtual clock that jumps to the next event.
 *
 * All loops share one clock, so that several daemons live in one process. One step runs exactly one callback:
 * posted messages first (loops in order of creation), else the running timer with the earliest deadline of all
 * loops, equal ones in order of starting. Nothing depends on real time or addresses: a run can be repeated.
 * Descriptors do not exist here: loop_io_want aborts. Thread: one. */
#ifndef TESTS_SIM_FAKE_LOOP_H
#define TESTS_SIM_FAKE_LOOP_H

#include "shared/net/loop.h"

/* Sets both clocks, and begins the numbers of the loops and the trace (fake_trace.h) anew: a run that starts here repeats
 * exactly. No loop may exist. They start at mono 1,000,000 and wall 1,700,000,000,000. */
void fake_clock_set(mono_ms now, wall_ms wall_now);

/* Somebody sets the wall clock; the other one knows nothing of it. */
void fake_clock_step_wall(int64_t ms);

/* Runs the next callback, moving the clock if need be. False: nothing is left to run, ever. */
bool fake_loop_step(void);
/* Runs everything due up to 'until', then the clock is there. For a relative time: clock_mono_ms() + n. */
void fake_loop_advance_to(mono_ms until);
/* Steps until cond(arg) is true, which is the result; false when 'limit' has come or nothing is left. */
bool fake_loop_run_until(bool (*cond)(void *arg), void *arg, mono_ms limit);
/* Called after each step, for invariants of the whole simulation. NULL: none. */
void fake_loop_after_step(void (*check)(void *arg), void *arg);

/* SIGSTOP and SIGCONT: from now on for 'ms' nothing of this loop runs; then all that is overdue does, and
 * loop_was_paused tells when it was over 2 s. */
void fake_loop_freeze(struct loop *, int64_t ms);
/* When it ends; in the past, or MONO_NEVER, for a loop that is not frozen. */
mono_ms fake_loop_frozen_until(const struct loop *);
/* kill -9: nothing of this loop runs any more, and what it sends from now on never arrives (the twins of ZooKeeper, HTTP
 * and Redis ask). It can only be freed. */
void fake_loop_crash(struct loop *);
bool fake_loop_is_crashed(const struct loop *); /* NULL: false */
/* loop_stop was called: nothing of it runs any more (loop_run takes it back). */
bool fake_loop_is_stopping(const struct loop *);
/* The loop whose callback (or whose worker's job) runs now; NULL between steps. */
struct loop *fake_loop_current(void);
/* 1, 2... in order of creation, never used again; 0 for NULL. What twins remember of a loop is kept under its number: the
 * address of a freed loop may come back. */
uint64_t fake_loop_id(const struct loop *);
/* What is on the wire: timers here belong to no process, so that neither a pause nor a crash holds them up. Made at the first
 * call, freed by fake_clock_set. */
struct loop *fake_loop_network(void);
/* For twins that run a piece of another loop's work. Returns the one before, to be entered again. */
struct loop *fake_loop_enter(struct loop *);
/* Delivers a signal to the loop's watcher (as a message). False when it watches none. */
bool fake_loop_signal(struct loop *, int signo);

#endif
