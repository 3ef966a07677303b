/* pull_relay.h - the way by which redis-server reaches its upstream: a listener on 127.0.0.1 that pipes one connection.
 *
 * redis-server follows 127.0.0.1:<relay port> all its life. The relay connects to the target, or to the first hop of its route
 * with the "+PROXY ROUTE" line in front, and then copies bytes. So a new target is a closed pipe, after which redis-server
 * connects again and resumes its replication, and a route costs nothing inside redis-server.
 * The outgoing socket is bound to the keeper's own address, so that the upstream sees who pulls.
 * Limits: one pipe (a newer connection ends the older one), 64 KiB in each direction, CONNECT_TIMEOUT_MS per hop address;
 * alternatives of the first hop are tried in turn, beginning with another one each time.
 * Thread: its own; relay_start and relay_set_target from the main thread. */
#ifndef TESTS_FAKES_KEEPER_MODULE_PULL_RELAY_H
#define TESTS_FAKES_KEEPER_MODULE_PULL_RELAY_H

#include "tests/fakes/keeper_module/keeper_standin.h"

/* Listens on a free port and starts the thread. Returns the port, or -1. */
int relay_start(const char *own_ip);
/* From now on connections go to this target (copied). 'cut' ends the present pipe; without it the new target or route holds from
 * the next connection on. */
void relay_set_target(const struct target *t, bool cut);

#endif
