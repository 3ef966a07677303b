/* fake_thread.h - threads of the simulation: they run only when they are told to, until they pause.
 *
 * A thread is a stack of its own inside the one real thread (ucontext), so that handing on costs half a microsecond and
 * nothing depends on a scheduler. Stacks are used again. Thread-local variables are shared by all of them; whoever
 * resumes one sets the role (thread.h). The sanitizers are told of every switch. */
#ifndef TESTS_SIM_FAKE_THREAD_H
#define TESTS_SIM_FAKE_THREAD_H

#include <stdbool.h>

struct fake_thread;

/* Runs 'fn' until it ends (returns NULL) or pauses (returns the thread, to be resumed until it has ended). */
struct fake_thread *fake_thread_start(void (*fn)(void *arg), void *arg);
/* Inside 'fn': returns to whoever started or resumed this thread. */
void fake_thread_pause(void);
/* True: it ended, and the pointer is dead. */
bool fake_thread_resume(struct fake_thread *);

#endif
