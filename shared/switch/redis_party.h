/* redis_party.h - a few commands to several Redis at once, answered together: the rounds of a switchover step.
 *
 * A party is a set of connections, opened at once by redis_party_new and kept for its life (one step, or more: warm_party.h). A round sends each order as soon as its Redis is connected and ends when every order has its answer or 'deadline'
 * has passed; who is not connected by then is RCONN_NOT_CONNECTED, whose answer is missing RCONN_TIMED_OUT: for a
 * command that changes something the outcome is unknown. Each round tries once to connect who is not: when that fails, its
 * orders are answered RCONN_NOT_CONNECTED at once. One round at a time. Decides nothing.
 * Twin of nothing: built on rconn, so it runs in the simulation as it is. Thread: loop. */
#ifndef SHARED_SWITCH_REDIS_PARTY_H
#define SHARED_SWITCH_REDIS_PARTY_H

#include "shared/net/rconn.h"

#define PARTY_MAX        64
#define PARTY_ORDERS_MAX 256

struct redis_party;

struct redis_party_options {
    struct loop *loop;
    const struct addr *addrs; /* numeric, copied; at most PARTY_MAX */
    size_t count;
    const char *user; /* as in rconn.h; copied */
    const char *password;
    const char *client_name;    /* CLIENT SETNAME with the first round; NULL: none */
    int64_t connect_timeout_ms; /* > 0 */
};

struct party_order {
    size_t member; /* index into addrs */
    const char *words[8];
    size_t count; /* of words */
};

struct party_answer {
    size_t member;
    const struct rreply *reply; /* borrowed until the callback returns; NULL: none, see why */
    enum rconn_why why;
};

/* 'answers' in the order of the orders. Runs on the loop exactly once a round, never inside redis_party_round. The
 * callback may start the next round, or free the party. */
typedef void party_done_fn(const struct party_answer *answers, size_t count, void *arg);

struct redis_party *redis_party_new(const struct redis_party_options *);
/* a round under way is not answered any more; NULL is fine */
void redis_party_free(struct redis_party *);
/* Are these its members, in this order? */
bool redis_party_is_of(const struct redis_party *, const struct addr *addrs, size_t count);
/* No round is under way. */
bool redis_party_is_idle(const struct redis_party *);
/* Orders are copied. Several orders to one member are pipelined in order. count 0: answered at once. */
void redis_party_round(struct redis_party *, const struct party_order *orders, size_t count,
                       mono_ms deadline, party_done_fn *, void *arg);
/* Right after redis_party_round: once this member has answered all its orders, the others get as long again, at least
 * PARTY_GRACE_MS, and not until the deadline. For a round that is about one, where a hung other one must not cost time. */
#define PARTY_GRACE_MS 20
void redis_party_follow(struct redis_party *, size_t member);
/* "" or why the last connection to this member ended ("AUTH was refused: ..."); borrowed until the loop runs on. */
const char *redis_party_error(const struct redis_party *, size_t member);

#endif
