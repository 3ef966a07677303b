/* random.h - random numbers that nobody can guess, from the system.
 *
 * The only place that asks for them, so that the simulation can answer from a seed (tests/sim/fake_random.h): a run of it
 * repeats exactly. Thread: any. */
#ifndef SHARED_BASE_RANDOM_H
#define SHARED_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* Never blocks for long and never fails: where the system has none it aborts, since ids would repeat. */
void random_fill(void *out, size_t length);
uint64_t random_u64(void);
/* 0 to limit - 1; limit > 0. */
int64_t random_below(int64_t limit);
/* One number for the life of the process, made at the first call. */
uint64_t random_process_seed(void);

#endif
