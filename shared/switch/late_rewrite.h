/* late_rewrite.h - CONFIG REWRITE that is sent behind the result of a freeze or a promotion, and whose answer nobody waits for: this
 * listens to it. Refused, or not answered within LATE_REWRITE_MS: a warning with the Redis, the text and what it means, and a
 * metric; what is in force is so either way, but a restart brings the old role back.
 *
 * One set for each daemon, who frees it before its loop. At most LATE_REWRITES_MAX are listened to at a time: those beyond are sent, and
 * nobody hears their answer (said in the log). Thread: loop. */
#ifndef SHARED_SWITCH_LATE_REWRITE_H
#define SHARED_SWITCH_LATE_REWRITE_H

#include "shared/switch/redis_party.h"

#define LATE_REWRITE_MS   5000 /* it waits for the disk of the Redis */
#define LATE_REWRITES_MAX 256

struct late_rewrites;
struct late_rewrites *late_rewrites_new(struct loop *);
void late_rewrites_free(struct late_rewrites *); /* NULL is fine */

struct late_rewrite {
    const struct party_order *orders;
    size_t count;             /* > 0 */
    const struct addr *redis; /* of the party, by member */
    size_t redis_count;       /* PARTY_MAX at most */
    const char *behind;       /* "freeze", "promotion"; static */
};
/* Sends them. The party is taken (NULL afterwards) where somebody listens; else ('late' is NULL, or full) it stays the caller's, who may close it
 * at once: what was written to a connection is carried out all the same. */
void late_rewrites_send(struct late_rewrites *late, struct redis_party **party, struct loop *,
                        const struct late_rewrite *);

#endif
