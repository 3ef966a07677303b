/* fake_spawn.c - the simulated twin of spawn.h: the function runs before spawn returns. */
#include "shared/base/spawn.h"

#include "shared/base/thread.h"

#include "shared/base/banned.h"

void spawn(spawned *ret_thread, void *(*run)(void *arg), void *arg)
{
    enum thread_role role = thread_role();
    *ret_thread = pthread_self();
    (void)run(arg);
    thread_set_role(role, NULL);
}

void spawn_join(spawned thread)
{
    (void)thread;
}
