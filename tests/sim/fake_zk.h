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

enum fake_zk_link {
    FAKE_ZK_OPEN,
    FAKE_ZK_CUT,  /* nothing passes */
    FAKE_ZK_DUMB, /* what the client sends is lost; it still hears the server */
    FAKE_ZK_DEAF, /* what the server sends is lost; its session lives on */
};
void fake_zk_set_link(struct zk *, enum fake_zk_link);
/* The same, found by the loop of the session (every session of it, those that it makes later, too). */
void fake_zk_set_link_of(const struct loop *, enum fake_zk_link);
void fake_zk_cut(struct zk *, bool is_cut);
/* The servers stop and start again: no word passes, no session expires meanwhile; afterwards each has its whole time-out. */
void fake_zk_stop(struct fake_zk_server *, bool is_stopped);
void fake_zk_expire(
    struct zk *); /* the server drops the session now; a client that is not cut learns it */
size_t fake_zk_node_count(const struct fake_zk_server *);
/* A foreign client: sets (or makes) a persistent node, deletes one with all below it. Watches fire. */
void fake_zk_foreign_set(struct fake_zk_server *, const char *path, const char *data);
void fake_zk_foreign_delete(struct fake_zk_server *, const char *path);
/* The data of a node, or NULL. Borrowed. */
const char *fake_zk_node(const struct fake_zk_server *, const char *path);

#endif
