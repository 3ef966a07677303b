/* loop.h - the event loop: one thread, timers, descriptors, posted work.
 *
 * Everything that decides runs here. The header has two implementations: loop.c over libev, and
 * tests/sim/fake_loop.c with a virtual clock that jumps to the next deadline (no descriptors there).
 * Within a turn: posted messages and ready descriptors first, then due timers in order of deadline, equal ones
 * in order of starting. So an answer that has arrived is seen before the time-out that waits for it.
 * Timers and watches are embedded in their owner; stop them before the owner is freed (stopping an idle one is
 * fine). Callbacks may start, stop and free anything, their own watch included.
 * A turn that takes longer than 100 ms is logged (loop.slow) and counted; a gap between ticks over 2 s
 * sets loop_paused_at: whoever sends commands asks loop_was_paused and only observes for a while.
 * Thread: the loop thread, except loop_stop and loop_post. */
#ifndef SHARED_NET_LOOP_H
#define SHARED_NET_LOOP_H

#include <stdbool.h>

#include "shared/base/clock.h"
#include "shared/base/err.h"
#include "shared/base/list.h"

struct loop;

struct loop *loop_new(void);
/* NULL is fine; posted work that never ran is dropped through its 'drop' */
void loop_free(struct loop *);
void loop_run(struct loop *);  /* until loop_stop; takes the role THREAD_LOOP */
void loop_stop(struct loop *); /* any thread; returns at once */
/* the time of this turn; the same for all callbacks of one turn */
mono_ms loop_now(struct loop *);
/* True for 'hold_ms' after the process stood still for more than 2 s (SIGSTOP, VM pause, swap). Reads the clock, so
 * that it is true at once for a callback in the middle of which the process was stopped. */
bool loop_was_paused(struct loop *, int64_t hold_ms);

/* What all objects of one kind share on one loop (such as a budget of connects): made at the first call with this
 * type, freed with the loop, after posted work was dropped. At most LOOP_SHARED_MAX kinds. Returns borrowed. */
#define LOOP_SHARED_MAX 8
struct loop_shared_type {
    void *(*make)(struct loop *);
    void (*free)(void *shared);
};
void *loop_shared(struct loop *, const struct loop_shared_type *);

struct loop_timer {
    struct loop *loop;
    void (*fire)(struct loop_timer *);
    void *impl; /* private: place among the running timers */
};
void loop_timer_init(struct loop_timer *, struct loop *, void (*fire)(struct loop_timer *));
/* once; restarts when running; >= 0 */
void loop_timer_start(struct loop_timer *, int64_t delay_ms);
/* also releases what the implementation holds */
void loop_timer_stop(struct loop_timer *);
bool loop_timer_is_running(const struct loop_timer *);

enum { LOOP_READ = 1, LOOP_WRITE = 2 };
struct loop_io {
    struct loop *loop;
    void (*ready)(struct loop_io *, int events);
    int fd;
    int wanted; /* applied once per turn, so that toggling costs nothing */
    void *impl;
};
void loop_io_init(struct loop_io *, struct loop *, int fd,
                  void (*ready)(struct loop_io *, int events));
void loop_io_want(struct loop_io *, int events); /* the whole mask; 0 = watch nothing */
void loop_io_stop(struct loop_io *);

/* Work for the loop from another thread. Embedded in its owner; delivered in order of posting; the loop
 * drains at most 256 a turn. 'deliver' owns the message (frees it); 'drop' is called instead when the loop
 * is freed first. Bounded: LOOP_POST_MAX messages wait at most, then loop_post returns XP_UNAVAILABLE and the caller keeps
 * the message. loop_post_reserved never fails and is only for completions of work that was itself bounded. */
#define LOOP_POST_MAX 65536
struct loop_msg {
    struct list link;
    void (*deliver)(struct loop_msg *);
    void (*drop)(struct loop_msg *);
};
/* any thread */
int loop_post(struct loop *, struct loop_msg *, struct xp_err *) XP_MUST_CHECK;
void loop_post_reserved(struct loop *, struct loop_msg *); /* any thread */

/* SIGTERM, SIGINT, SIGHUP, SIGUSR1 and SIGUSR2: blocked in all threads made later (call block in main first), then
 * delivered on the loop through a signalfd. SIGPIPE is ignored. One watcher per loop; it ends with the loop. */
void loop_signals_block(void);
void loop_signals_watch(struct loop *, void (*on_signal)(int signo, void *arg), void *arg);

#endif
