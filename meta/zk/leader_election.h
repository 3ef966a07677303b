/* leader_election.h - one leader among the metaservers of a DC, by the rules of Curator's leader latch.
 *
 * Node /<ns>/metaserver/leader/_c_<uuid>-latch-<10 digits>, ephemeral sequential, data: the server id. The lowest number
 * leads; everybody else watches the one just before. The uuid finds our node again when the reply to its
 * creation was lost. Leadership ends at once when the session is suspended or lost; after a suspension the node
 * is looked up again, and it still counts when the session survived. Java members take part by the same names.
 * leader_election_is_leader is a hint about the queue: the caller checks the lease as well.
 * Thread: loop. Free it after the session it uses. Source: reference/metaserver.md 3.3. */
#ifndef META_ZK_LEADER_ELECTION_H
#define META_ZK_LEADER_ELECTION_H

#include "shared/net/zk.h"

struct leader_election;

struct leader_election_options {
    struct loop *loop;
    struct zk *zk;      /* borrowed */
    const char *path;   /* "/xpipe/metaserver/leader"; copied */
    int64_t server_id;  /* data of the node */
    int64_t refresh_ms; /* look again without an event */
    void (*on_change)(bool is_leader, void *arg);
    void *arg;
};

struct leader_election *leader_election_new(const struct leader_election_options *options);
void leader_election_free(struct leader_election *); /* NULL is fine */
void leader_election_on_session(struct leader_election *, enum zk_state state, bool is_new_session);
void leader_election_leave(struct leader_election *); /* deletes our node and stays out */
bool leader_election_is_leader(const struct leader_election *);

/* Pure: the index of our node (its name starts with "_c_<uuid>-") among 'names', and of the one just before
 * it in the queue; -1 for none. Exposed for tests. */
struct latch_place {
    int own;
    int before;
};
struct latch_place latch_place_find(const char *const *names, size_t count, const char *uuid);

#endif
