/* timer_heap.h - running timers by deadline: the part that the real and the simulated loop share.
 *
 * A binary heap of (deadline, sequence); equal deadlines fire in the order they were started, in production as
 * in the simulation. A timer's place is kept in its 'impl', so that removing one costs O(log n) and no
 * allocation belongs to a timer. Knows no clock. Its size is bounded by the number of timers that exist.
 * Thread: that of the owning loop. Used by loop.c and tests/sim/fake_loop.c only. */
#ifndef SHARED_NET_TIMER_HEAP_H
#define SHARED_NET_TIMER_HEAP_H

#include "shared/net/loop.h"

struct timer_node {
    mono_ms deadline;
    uint64_t seq; /* order of starting */
    struct loop_timer *timer;
};

struct timer_heap {
    struct timer_node *nodes;
    size_t count;
    size_t cap;
};

void timer_heap_done(struct timer_heap *); /* the timers in it become idle */
void timer_heap_add(struct timer_heap *, struct loop_timer *, mono_ms deadline, uint64_t seq);
void timer_heap_remove(struct timer_heap *, struct loop_timer *); /* an idle one is fine */
/* The one that fires next, borrowed until the next change; NULL when none runs. */
const struct timer_node *timer_heap_top(const struct timer_heap *);
bool timer_heap_has(const struct loop_timer *);

#endif
