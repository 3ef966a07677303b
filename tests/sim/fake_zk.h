/* fake_zk.h - zk.h for the simulation: sessions on one ZooKeeper in memory, under the virtual clock.
 *
 * zk_new finds the server by its hosts text (fake_zk_server_new with the same text). Every call takes latency_ms there and as
 * much back; answers and events keep their order per session. A session that is cut loses everything it sends; the
 * server expires it one session timeout after the last word it got. Knobs act at once. Thread: loop. */
#ifndef TESTS_SIM_FAKE_ZK_H
#define TESTS_SIM_FAKE_ZK_H

#include "shared/net/zk.h"

struct fake_zk_server;

struct fake_zk_server *fake_zk_server_new(struct loop *, const char *hosts);
void fake_zk_server_free(struct fake_zk_server *); /* after all its sessions */
void fake_zk_set_latency(struct fake_zk_server *, int64_t latency_ms);

void fake_zk_cut(struct zk *, bool is_cut);
void fake_zk_expire(
    struct zk *); /* the server drops the session now; a client that is not cut learns it */
size_t fake_zk_node_count(const struct fake_zk_server *);
/* The data of a node, or NULL. Borrowed. */
const char *fake_zk_node(const struct fake_zk_server *, const char *path);

#endif
