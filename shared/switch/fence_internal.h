/* fence_internal.h - the commands of a fence's rounds, and what their answers say. Internal to shared/switch.
 *
 * Pure but for the words, which borrow from struct fence_words. Thread: any. */
#ifndef SHARED_SWITCH_FENCE_INTERNAL_H
#define SHARED_SWITCH_FENCE_INTERNAL_H

#include "shared/switch/fence.h"

enum fence_ask {
    ASK_ROLE,
    ASK_ROLE_AFTER, /* a SLAVEOF: an error of it counts only when the role is not as wanted */
    ASK_SETTINGS,
    ASK_REPLICATION,
    ASK_SERVER,
    ASK_PROBE,
    ASK_SET_MIN_SLAVES,
    ASK_SET_MAX_LAG,
    ASK_SET_READ_ONLY,
    ASK_XSLAVEOF,
    ASK_SLAVEOF,
    ASK_REWRITE,
};

struct fence_step { /* what one command of a round is about */
    size_t node;
    enum fence_ask ask;
    int64_t value; /* of a setting */
    enum role_kind wanted;
};

struct fence_words { /* texts that do not change while a run lasts */
    char probe_key[64];
    char min_slaves[24];      /* as it was */
    struct fence_saved saved; /* what a release puts back; never a fence's own */
};
void fence_words_init(struct fence_words *, const struct fence_saved *saved);

#define FENCE_COMMANDS_MAX 9 /* of one order */
/* The commands of one order to this node, at most FENCE_COMMANDS_MAX; returns how many. */
size_t fence_commands(const struct fence_words *, const struct fence_node *, size_t node,
                      enum fence_order_kind kind, struct party_order *ret_orders,
                      struct fence_step *ret_steps);

/* A master that nobody holds, and that has Redis' defaults where it had settings of its own. */
bool fence_has_lost_settings(const struct fence_saved *own, const struct fence_node *);

/* A Redis that was not asked yet. */
struct fence_node fence_node_of(const struct addr *);
bool fence_is_change(enum fence_order_kind kind);
/* An order goes to the node: what it was is what is known of it until it answers. */
void fence_expect(struct fence_node *, enum fence_order_kind kind);
/* A reading of the offset is in the node: do two agree? */
void fence_settle_offset(struct fence_node *);
/* Notes an answer (never NULL) in the node; a refusal goes to 'error'. */
void fence_take(struct fence_node *, const struct fence_step *, const struct rreply *reply,
                bool *ret_has_no_file);

#endif
