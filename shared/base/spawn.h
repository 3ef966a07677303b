/* spawn.h - a short-lived thread that runs one function, for the few library calls that block and fit no pool.
 *
 * The simulation has a twin that runs the function at once (tests/sim/fake_spawn.c). Thread: any. */
#ifndef SHARED_BASE_SPAWN_H
#define SHARED_BASE_SPAWN_H

#include <pthread.h>

typedef pthread_t spawned;

/* Aborts when there is no thread to be had. Each one is joined, once. */
void spawn(spawned *ret_thread, void *(*run)(void *arg), void *arg);
void spawn_join(spawned);

#endif
