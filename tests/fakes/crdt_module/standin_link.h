/* standin_link.h - the pulling side: one thread per configured gid that keeps the link to that
 * gid's master.
 *
 * A thread wakes once per tick, takes the server's lock to look at its peer, and works without
 * the lock. Before it writes anything back it checks that the peer's epoch is still the one it
 * started with. Threads live until the process ends. */
#ifndef TESTS_FAKES_CRDT_MODULE_STANDIN_LINK_H
#define TESTS_FAKES_CRDT_MODULE_STANDIN_LINK_H

#include "tests/fakes/crdt_module/standin.h"

/* Starts the thread of a gid unless it runs. Under the server's lock. */
void link_thread_start(int gid);

#endif
