/* fake_trace.h - what happened in a run, as one number and as text.
 *
 * The twins note every step of a loop and every message between processes; equal runs give equal hashes, so a test runs a
 * seed twice and compares. XPIPE_SIM_TRACE=1 in the environment prints every event but the steps to standard error, =2 those,
 * too. Begins anew with fake_clock_set. Thread: one. */
#ifndef TESTS_SIM_FAKE_TRACE_H
#define TESTS_SIM_FAKE_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void fake_trace_reset(void);
/* 'what' happened to 'who' ("" fine), with these bytes; at the current time. */
void fake_trace(const char *what, const char *who, const void *bytes, size_t length);
void fake_trace_text(const char *what, const char *who, const char *text);
/* A timer (or a message) of this loop ran. */
void fake_trace_step(bool is_timer, uint64_t loop_id, uint64_t seq);
uint64_t fake_trace_hash(void);
int64_t fake_trace_count(void); /* events so far, steps included */

#endif
