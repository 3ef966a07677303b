/* thread.h - which thread am I: the roles of ARCHITECTURE.md, checked in every build.
 *
 * A public function that belongs to one role starts with XP_ON_LOOP() or XP_ON_WORKER(); called
 * elsewhere it aborts. A thread without a role (a unit test, main before the loop runs) passes
 * every check.
 * Also the annotation macros over Clang's thread-safety analysis, empty for other compilers. */
#ifndef SHARED_BASE_THREAD_H
#define SHARED_BASE_THREAD_H

#include <pthread.h>

#include "shared/base/err.h"

enum thread_role { THREAD_ANY, THREAD_LOOP, THREAD_WORKER, THREAD_HTTP, THREAD_ZK };

/* name: at most 15 characters; NULL keeps the one it has */
void thread_set_role(enum thread_role role, const char *name);
enum thread_role thread_role(void);

/* What this thread keeps for its next work and could make again (connections): 'release' gives it back when the thread rests,
 * that is when it has had nothing to do for a while. Said again after each rest; one function for each thread. */
void thread_keeps(void (*release)(void));
void thread_rest(void); /* releases; called by who gives this thread its work (worker.h) */

#define XP_ON_ROLE_(role) xp_check(thread_role() == THREAD_ANY || thread_role() == (role))
#define XP_ON_LOOP()      XP_ON_ROLE_(THREAD_LOOP)
#define XP_ON_WORKER()    XP_ON_ROLE_(THREAD_WORKER)

#if defined(__clang__)
#define XP_ANNOTATE_(x) __attribute__((x))
#else
#define XP_ANNOTATE_(x)
#endif
#define XP_CAPABILITY XP_ANNOTATE_(capability("mutex"))
/* In C the analysis resolves file-scope names only: XP_GUARDED_BY is for those. A member of a struct says
 * XP_GUARDED_BY_MEMBER, and tests/tools/check_locks.py looks that it is used with the lock held: after mutex_lock, in a
 * function that says XP_REQUIRES (then Clang looks at its callers), or in one that says XP_ALONE: no other thread knows the
 * object yet, or any more. */
#define XP_GUARDED_BY(m) XP_ANNOTATE_(guarded_by(m))
#define XP_GUARDED_BY_MEMBER(m)
#define XP_ALONE
#define XP_REQUIRES(m)  XP_ANNOTATE_(requires_capability(m))
#define XP_ACQUIRE(...) XP_ANNOTATE_(acquire_capability(__VA_ARGS__))
#define XP_RELEASE(...) XP_ANNOTATE_(release_capability(__VA_ARGS__))
#define XP_NO_ANALYSIS  XP_ANNOTATE_(no_thread_safety_analysis)

/* A mutex the analysis knows. Never held over I/O. */
struct XP_CAPABILITY mutex {
    pthread_mutex_t raw;
};
#define MUTEX_INIT                                                                                 \
    {                                                                                              \
        PTHREAD_MUTEX_INITIALIZER                                                                  \
    }
void mutex_init(struct mutex *m);
void mutex_done(struct mutex *m);
void mutex_lock(struct mutex *m) XP_ACQUIRE(*m);
void mutex_unlock(struct mutex *m) XP_RELEASE(*m);

#endif
