/* warm_party.c - see warm_party.h. */
#include "shared/switch/warm_party.h"

#include "shared/base/mem.h"
#include "shared/base/thread.h"

#include "shared/base/banned.h"

static void time_is_over(struct loop_timer *t)
{
    struct warm_party *w = CONTAINER_OF(t, struct warm_party, timer);
    redis_party_free(TAKE(w->party));
}

void warm_party_init(struct warm_party *w, struct loop *loop, int64_t keep_ms)
{
    *w = (struct warm_party){ .keep_ms = keep_ms };
    loop_timer_init(&w->timer, loop, time_is_over);
}

void warm_party_done(struct warm_party *w)
{
    loop_timer_stop(&w->timer);
    redis_party_free(TAKE(w->party));
}

struct redis_party *warm_party_take(struct warm_party *w, const struct addr *redis, size_t count)
{
    XP_ON_LOOP();
    if (!w->party || !redis_party_is_of(w->party, redis, count)) {
        return NULL;
    }
    loop_timer_stop(&w->timer);
    return TAKE(w->party);
}

void warm_party_give(struct warm_party *w, struct redis_party *take)
{
    XP_ON_LOOP();
    if (!take) {
        return;
    }
    if (w->party || w->keep_ms <= 0 || !redis_party_is_idle(take)) {
        redis_party_free(take);
        return;
    }
    w->party = take;
    loop_timer_start(&w->timer, w->keep_ms);
}
