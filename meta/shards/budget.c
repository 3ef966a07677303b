/* budget.c - see budget.h. */
#include "meta/shards/budget.h"

#include "shared/base/banned.h"

void budget_init(struct budget *b, int64_t rate_per_s, int64_t burst, mono_ms now)
{
    *b = (struct budget){
        .rate_per_s = rate_per_s,
        .burst = burst,
        .tokens_milli = burst * 1000,
        .filled_at = now,
    };
}

void budget_set_rate(struct budget *b, int64_t rate_per_s, int64_t burst)
{
    b->rate_per_s = rate_per_s;
    b->burst = burst;
}

bool budget_take(struct budget *b, mono_ms now)
{
    int64_t elapsed_ms = now > b->filled_at ? now - b->filled_at : 0;
    int64_t room_milli = b->burst * 1000 - b->tokens_milli;
    bool is_full = room_milli <= 0 || elapsed_ms > room_milli / b->rate_per_s;
    b->tokens_milli = is_full ? b->burst * 1000 : b->tokens_milli + elapsed_ms * b->rate_per_s;
    b->filled_at = now;
    if (b->tokens_milli < 1000) {
        return false;
    }
    b->tokens_milli -= 1000;
    return true;
}

void budget_give_back(struct budget *b)
{
    b->tokens_milli += 1000;
}
