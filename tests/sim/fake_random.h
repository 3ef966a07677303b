/* fake_random.h - the simulated twin of random.h: the same numbers in every run with the same seed. Thread: one. */
#ifndef TESTS_SIM_FAKE_RANDOM_H
#define TESTS_SIM_FAKE_RANDOM_H

#include "shared/base/random.h"

/* What the daemons draw from now on. The seed of the process stays the same for ever. */
void fake_random_seed(uint64_t seed);

#endif
