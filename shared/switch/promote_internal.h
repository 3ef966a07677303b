/* promote_internal.h - the commands of a promotion's rounds, and what their answers say. Internal to shared/switch. Pure. Thread: any. */
#ifndef SHARED_SWITCH_PROMOTE_INTERNAL_H
#define SHARED_SWITCH_PROMOTE_INTERNAL_H

#include "shared/switch/promote.h"

enum promote_ask {
    PROMOTE_ASK_ROLE,
    PROMOTE_ASK_ROLE_AFTER, /* a promotion: an error of it counts only while it is no master */
    PROMOTE_ASK_REPLICATION,
    PROMOTE_ASK_SETTINGS,
    PROMOTE_ASK_SERVER,
    PROMOTE_ASK_XSLAVEOF,
    PROMOTE_ASK_SLAVEOF,
    PROMOTE_ASK_REWRITE,
};

struct promote_step { /* what one command of a round is about */
    size_t node;
    enum promote_ask ask;
};

#define PROMOTE_COMMANDS_MAX 4 /* of one order */
/* The commands of one order to this node, at most PROMOTE_COMMANDS_MAX; returns how many. */
size_t promote_commands(size_t node, enum promote_order_kind kind, struct party_order *ret_orders,
                        struct promote_step *ret_steps);

/* A Redis that was not asked yet. */
struct promote_node promote_node_of(const struct addr *);
/* Notes an answer (never NULL) in the node; a refusal goes to 'error'. */
void promote_take(struct promote_node *, const struct promote_step *, const struct rreply *reply);

#endif
