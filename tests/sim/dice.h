/* dice.h - the dice of a scenario: its own numbers, whatever the daemons draw. Plain value. */
#ifndef TESTS_SIM_DICE_H
#define TESTS_SIM_DICE_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/base/err.h"

struct dice {
    uint64_t state;
};

/* splitmix64 */
static inline uint64_t dice_roll(struct dice *d, uint64_t sides) /* 0..sides-1 */
{
    xp_check(sides > 0);
    uint64_t z = d->state += 0x9E3779B97F4A7C15U;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9U;
    z = (z ^ z >> 27) * 0x94D049BB133111EBU;
    return (z ^ z >> 31) % sides;
}

static inline int64_t dice_between(struct dice *d, int64_t least, int64_t most) /* both included */
{
    xp_check(least <= most);
    return least + (int64_t)dice_roll(d, (uint64_t)(most - least) + 1);
}

static inline bool dice_chance(struct dice *d, int percent)
{
    return dice_roll(d, 100) < (uint64_t)percent;
}

#endif
