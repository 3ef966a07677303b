/* warm_party.h - the connections of a switchover's step, kept a moment for the next step of the same Redis: inside of an outage nobody
 * waits for a connect again (dr-switchover.md 7.3).
 *
 * One party at most, and only an idle one; kept for 'keep_ms' after it was given, closed then. It remembers nothing of what was asked or
 * answered: each run looks for itself, and a connection that has ended meanwhile is made anew by the next round, as ever.
 * Thread: loop. Owner: who runs the steps. */
#ifndef SHARED_SWITCH_WARM_PARTY_H
#define SHARED_SWITCH_WARM_PARTY_H

#include "shared/switch/redis_party.h"

struct warm_party { /* private */
    struct redis_party *party;
    struct loop_timer timer;
    int64_t keep_ms;
};

void warm_party_init(struct warm_party *, struct loop *, int64_t keep_ms /* 0: keeps nothing */);
void warm_party_done(struct warm_party *);
/* The party of exactly these, the caller's from then on; NULL: there is none. */
struct redis_party *warm_party_take(struct warm_party *, const struct addr *redis, size_t count);
/* Takes it: kept, or closed (a round is under way, or another one is kept). NULL is fine. */
void warm_party_give(struct warm_party *, struct redis_party *take);

#endif
