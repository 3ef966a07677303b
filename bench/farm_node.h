/* farm_node.h - one instance of a one-way shard in the farm, a plain Redis or a keeper: whom it follows, whom it should follow, and the
 * texts it answers with (proxy-and-keeper.md 4.2 to 4.4; Redis 7).
 *
 * No I/O and no clock. The shard it belongs to, and who is head there, is farm_tree.c. Links are simulated: a change takes the
 * link down, FARM_LINK_UP_MS later it is up; one to a place where nobody listens never is. Owner: the loop of the farm. */
#ifndef BENCH_FARM_NODE_H
#define BENCH_FARM_NODE_H

#include <netinet/in.h>

#include "shared/base/clock.h"
#include "shared/base/str.h"

enum farm_state {
    FARM_MASTER, /* plain Redis */
    FARM_SLAVE,
    FARM_UNKNOWN, /* keepers */
    FARM_ACTIVE,
    FARM_BACKUP,
};

struct farm_seat { /* a place in the tree */
    enum farm_state state;
    char host[INET_ADDRSTRLEN]; /* "": follows nobody */
    int port;
    char *route; /* "ROUTE hop hop TCP"; owned; NULL: direct */
};

struct farm_node {
    bool is_keeper;
    int priority;  /* plain Redis: slave-priority */
    size_t number; /* of the run id */
    struct farm_seat actual;
    struct farm_seat wanted;
    mono_ms up_at;
};

void farm_node_init(struct farm_node *, bool is_keeper, size_t number);
void farm_node_done(struct farm_node *);
/* It should be so from now on; the seat is copied. */
void farm_node_want(struct farm_node *, const struct farm_seat *);
void farm_node_obey(struct farm_node *, mono_ms now); /* is as it should be, link and all */
bool farm_node_is_right(const struct farm_node *);

/* Whom it follows died: the link is down until it follows somebody else. */
void farm_node_lose(struct farm_node *, const char *host);

enum farm_spoil {
    FARM_PROMOTE,   /* a Redis is made master */
    FARM_ELSEWHERE, /* follows a place where nobody listens */
    FARM_DEMOTE,    /* a keeper: ACTIVE becomes BACKUP, and the other way around */
    FARM_FORGET,    /* a keeper: UNKNOWN, as one that was started anew */
    FARM_SPOILS
};
/* False: not possible with this kind of instance. */
bool farm_node_spoil(struct farm_node *, enum farm_spoil how, mono_ms now);

struct farm_order { /* what a command that changes something did */
    bool is_refused;
    bool is_same;   /* accepted, and nothing changed */
    bool is_direct; /* goes direct where a route is wanted */
};
/* SLAVEOF, REPLICAOF; the answer goes to 'out'. */
struct farm_order farm_node_slaveof(struct farm_node *, size_t argc, char *const *argv, mono_ms now,
                                    struct str *out);
/* KEEPER SETSTATE. */
struct farm_order farm_node_setstate(struct farm_node *, size_t argc, char *const *argv,
                                     mono_ms now, struct str *out);
/* CONFIG REWRITE; GET and SET of slave-priority. */
void farm_node_config(struct farm_node *, size_t argc, char *const *argv, struct str *out);
const char *farm_node_state_text(const struct farm_node *); /* of a keeper, as GETSTATE has it */
void farm_node_role(const struct farm_node *, mono_ms now, struct str *out);
/* The text of INFO 'section', "" if there is none of that name. */
void farm_node_info(const struct farm_node *, const char *section, mono_ms now, struct str *out);

#endif
