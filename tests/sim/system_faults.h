/* system_faults.h - what goes wrong in a run of the whole-system simulation: one table of faults, some of which each seed
 * may use, drawn with the seed's dice. A fault that lasts heals by itself; faults_forget leaves the rest to system_heal.
 * Thread: one; between steps only. */
#ifndef TESTS_SIM_SYSTEM_FAULTS_H
#define TESTS_SIM_SYSTEM_FAULTS_H

#include "tests/sim/system.h"

struct faults;

/* Which faults this seed uses, and how fast they come. 'only': the name of a single fault, or NULL. */
struct faults *faults_new(struct system *, const char *only);
void faults_free(struct faults *);
int64_t faults_duration_ms(const struct faults *);
/* The next time at which something happens or heals. */
mono_ms faults_next_at(const struct faults *);
void faults_run(struct faults *); /* everything that is due */
void faults_forget(struct faults *);
/* One name a line. */
void faults_print_names(void);

#endif
