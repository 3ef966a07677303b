/* system_trace.h - what happened in one run of the whole-system simulation: the last events as text, a hash over all of
 * them (the same seed must give the same one), and the first broken promise. Thread: one. */
#ifndef TESTS_SIM_SYSTEM_TRACE_H
#define TESTS_SIM_SYSTEM_TRACE_H

#include <stdbool.h>
#include <stdint.h>

#define TRACE_KEPT 40 /* events shown when a run fails */

void trace_reset(bool is_verbose); /* verbose: each event goes to standard error at once */
void trace_event(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The same, and kept for the fault log of the run. */
void trace_fault(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void trace_mix(uint64_t number); /* into the hash only */
uint64_t trace_hash(void);

/* 'promise' is the short name of what was broken; the first failure of a run counts. */
void trace_fail(const char *promise, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
const char *trace_failure(void); /* "promise: what", or NULL */
const char *trace_promise(void); /* the name alone, or NULL */
/* Fault log, the last events, and the failure, to standard output. */
void trace_print(void);

#endif
