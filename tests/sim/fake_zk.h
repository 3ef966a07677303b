/* fake_zk.h - a ZooKeeper in memory, under the virtual clock, and the C client library that speaks to it.
 *
 * The product's zk.c, zk_call.c and zk_watch.c (session, lease, calls, watches) run as they are. A handle finds its server
 * by its hosts text (fake_zk_server_new with the same text). Every message takes latency_ms; answers and events keep their
 * order. Over a link that is blocked nothing passes, but nothing is lost either until a side gives the connection up: the
 * client after 2/3 of the time-out without a word (its calls end as unknown), the server never; it ends the session one
 * time-out after the last word it got. What was sent before a crash (fake_loop_crash) arrives, and the session stays until it
 * expires. Knobs act at once. Thread: one. */
#ifndef TESTS_SIM_FAKE_ZK_H
#define TESTS_SIM_FAKE_ZK_H

#include "shared/net/zk.h"

struct fake_zk_server;

struct fake_zk_server *fake_zk_server_new(struct loop *, const char *hosts);
void fake_zk_server_free(struct fake_zk_server *); /* after all its clients */
void fake_zk_set_latency(struct fake_zk_server *, int64_t latency_ms);

enum fake_zk_link {
    FAKE_ZK_OPEN,
    FAKE_ZK_CUT,  /* nothing passes */
    FAKE_ZK_DUMB, /* the server hears nothing of the client; it still hears the server */
    FAKE_ZK_DEAF, /* the client hears nothing of the server, which hears it until the client gives up */
};
void fake_zk_set_link(struct zk *, enum fake_zk_link);
/* The same, found by the loop of the client: all sessions that it has and will have. */
void fake_zk_set_link_of(const struct loop *, enum fake_zk_link);
void fake_zk_cut(struct zk *, bool is_cut);
/* The servers end and start again: connections break and are refused, no session expires meanwhile; afterwards each has
 * its whole time-out. Servers that hang: fake_loop_freeze of their loop. */
void fake_zk_stop(struct fake_zk_server *, bool is_stopped);
/* The server drops the session now; a client that hears it learns it. */
void fake_zk_expire(struct zk *);
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
