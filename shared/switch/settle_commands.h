/* settle_commands.h - the words that give a Redis back what a fence overwrote: min-slaves-to-write, its lag, slave-read-only. Sent by the
 * metaserver to who follows again (meta/primary/switch_settle.c), foretold by the console's plan of a migration. Decides nothing but what a
 * look and the settings of before say. Thread: any. */
#ifndef SHARED_SWITCH_SETTLE_COMMANDS_H
#define SHARED_SWITCH_SETTLE_COMMANDS_H

#include "shared/switch/foresight.h"

#define SETTLE_LOOKS      3 /* commands to each, to see what is there: ROLE, and the two settings */
#define SETTLE_ORDERS_MAX 4
#define SETTLE_RULE       "K50" /* of keep_decide */

struct settle_need {   /* of one Redis */
    bool is_held;      /* min-slaves-to-write is the fence's */
    bool is_read_only; /* slave-read-only is yes */
    struct fence_saved saved;
};
struct settle_words { /* what the orders borrow */
    char min_slaves[24];
    char max_lag[24];
};

void settle_looks(size_t member, struct party_order ret_orders[SETTLE_LOOKS]);
bool settle_is_needed(const struct settle_need *);
/* The last one is CONFIG REWRITE. Returns their number. */
size_t settle_commands(const struct settle_need *, struct settle_words *, size_t member,
                       struct party_order ret_orders[SETTLE_ORDERS_MAX]);

/* Appends, for who answers and follows somebody. 'saved' of each Redis: as it was before the switch. */
void settle_foresee(const struct fence_saved *saved, struct foreseen_redis *redis, size_t count,
                    struct foresight *out);

#endif
