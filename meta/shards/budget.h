/* budget.h - a token bucket for corrections (design D9). Plain value; owner: whoever embeds it. */
#ifndef META_SHARDS_BUDGET_H
#define META_SHARDS_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/base/clock.h"

struct budget {
    int64_t rate_per_s;
    int64_t burst;
    int64_t tokens_milli;
    mono_ms filled_at;
};

void budget_init(struct budget *, int64_t rate_per_s, int64_t burst, mono_ms now); /* starts full */
void budget_set_rate(struct budget *, int64_t rate_per_s, int64_t burst);
bool budget_take(struct budget *, mono_ms now); /* one token, or false and nothing taken */
void budget_give_back(struct budget *);         /* a token that was taken and not used */

#endif
