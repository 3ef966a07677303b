/* thread.c - see thread.h. */
#include "shared/base/thread.h"

#include "shared/base/banned.h"

static __thread enum thread_role my_role = THREAD_ANY;
static __thread void (*my_release)(void);

void thread_set_role(enum thread_role role, const char *name)
{
    my_role = role;
    if (name) {
        (void)pthread_setname_np(pthread_self(), name);
    }
}

enum thread_role thread_role(void)
{
    return my_role;
}

void thread_keeps(void (*release)(void))
{
    xp_check(!my_release || my_release == release);
    my_release = release;
}

void thread_rest(void)
{
    void (*release)(void) = my_release;
    my_release = NULL;
    if (release) {
        release();
    }
}

void mutex_init(struct mutex *m)
{
    xp_check(pthread_mutex_init(&m->raw, NULL) == 0);
}

void mutex_done(struct mutex *m)
{
    xp_check(pthread_mutex_destroy(&m->raw) == 0);
}

void mutex_lock(struct mutex *m) XP_NO_ANALYSIS
{
    xp_check(pthread_mutex_lock(&m->raw) == 0);
}

void mutex_unlock(struct mutex *m) XP_NO_ANALYSIS
{
    xp_check(pthread_mutex_unlock(&m->raw) == 0);
}
