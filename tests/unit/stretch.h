/* stretch.h - how long something took, on a machine that may be busy with other things.
 *
 *     struct stretch s = stretch_begin();
 *     ... what has a time-out of 200 ms
 *     assert_lasted(&s, 150, 500);
 *
 * A bar on time tells "as designed" from "wrong". What the machine itself was late meanwhile must not decide that: a thread
 * that only sleeps measures it, and the upper bar moves up by LATE_FACTOR times as much (a step that waits for another thread
 * that waits for a third one is late as often). On a machine with time to spare the bar is the written one. Lower bars never move: begin the
 * stretch before what starts the clock of the thing under test.
 * The measuring thread runs until the program ends. Thread: one at a time. */
#ifndef TESTS_UNIT_STRETCH_H
#define TESTS_UNIT_STRETCH_H

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include "shared/base/clock.h"
#include "tests/unit/unit.h"

#define STRETCH_NAP_MS 5
#define LATE_FACTOR    4

struct stretch {
    mono_ms began;
    int64_t late_us; /* of the measuring thread in its life, when this began */
};

static int64_t stretch_late_us;                  /* atomic; of all naps that have ended */
static int64_t stretch_nap_began_us = INT64_MAX; /* atomic; of the one that runs */

static inline int64_t stretch_lateness_us(int64_t nap_began_us)
{
    int64_t late_us = clock_mono_us() - nap_began_us - STRETCH_NAP_MS * 1000;
    return late_us > 0 ? late_us : 0;
}

static inline void *stretch_measure(void *arg)
{
    (void)arg;
    for (;;) {
        struct timespec nap = { .tv_nsec = STRETCH_NAP_MS * 1000000 };
        int64_t began_us = clock_mono_us();
        __atomic_store_n(&stretch_nap_began_us, began_us, __ATOMIC_SEQ_CST);
        (void)nanosleep(&nap, NULL);
        (void)__atomic_add_fetch(&stretch_late_us, stretch_lateness_us(began_us), __ATOMIC_SEQ_CST);
    }
    return NULL;
}

static inline void stretch_start_measuring(void)
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, stretch_measure, NULL), 0);
    assert_int_equal(pthread_detach(thread), 0);
}

static inline struct stretch stretch_begin(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, stretch_start_measuring);
    return (struct stretch){ .began = clock_mono_ms(),
                             .late_us = __atomic_load_n(&stretch_late_us, __ATOMIC_SEQ_CST) };
}

/* What the upper bar is moved by. */
static inline int64_t stretch_allowance_ms(const struct stretch *s)
{
    int64_t running_us =
        stretch_lateness_us(__atomic_load_n(&stretch_nap_began_us, __ATOMIC_SEQ_CST));
    int64_t late_us = __atomic_load_n(&stretch_late_us, __ATOMIC_SEQ_CST) - s->late_us;
    return LATE_FACTOR * (late_us + running_us) / 1000;
}

/* 'took' was measured by somebody else within the stretch. */
static inline void assert_took(const struct stretch *s, int64_t took_ms, int64_t low_ms,
                               int64_t high_ms)
{
    int64_t allowance_ms = stretch_allowance_ms(s);
    if (took_ms < low_ms || took_ms > high_ms + allowance_ms) {
        fail_msg("took %lld ms instead of %lld to %lld, and %lld for a busy machine",
                 (long long)took_ms, (long long)low_ms, (long long)high_ms,
                 (long long)allowance_ms);
    }
}

static inline void assert_lasted(const struct stretch *s, int64_t low_ms, int64_t high_ms)
{
    assert_took(s, clock_mono_ms() - s->began, low_ms, high_ms);
}

/* The machine was late by less than that: what happens only within 'ms' can be told from what happens later. */
static inline bool stretch_was_calm(const struct stretch *s, int64_t ms)
{
    return stretch_allowance_ms(s) < ms;
}

#endif
