/* fake_zk.h - zk.h for the simulation: sessions on one ZooKeeper in memory, under the virtual clock.
 *
 * zk_new finds the server by its hosts text (fake_zk_server_new with the same text). Every call takes latency_ms there and as
 * much back; answers and events keep their order per session. A session that is cut loses everything it sends; the
 * server expires it one session timeout after the last word it got; so it does with that of a crashed process
 * (fake_loop_crash). A client that hears nothing for a while is disconnected: its calls end as unknown, as in zk.c. Knobs
 * act at once. Thread: loop. */
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
/* The same, found by the loop of the client: all sessions that it has and will have. */
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
/* The child with the lowest sequence number (the text after the last '-'), or NULL; and whose session made it, 0 nobody. */
const char *fake_zk_first_child(const struct fake_zk_server *, const char *parent);
int64_t fake_zk_first_owner(const struct fake_zk_server *, const char *parent);
/* Called after each change of a node, with the session that made it; 0: a foreign client, or the end of a session. */
typedef void fake_zk_changed_fn(const char *path, int64_t session, void *arg);
void fake_zk_watch(struct fake_zk_server *, fake_zk_changed_fn *, void *arg);

#endif
