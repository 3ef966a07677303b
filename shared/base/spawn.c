/* spawn.c - see spawn.h. */
#include "shared/base/spawn.h"

#include "shared/base/err.h"

#include "shared/base/banned.h"

void spawn(spawned *ret_thread, void *(*run)(void *arg), void *arg)
{
    xp_check(pthread_create(ret_thread, NULL, run, arg) == 0);
}

void spawn_join(spawned thread)
{
    xp_check(pthread_join(thread, NULL) == 0);
}
