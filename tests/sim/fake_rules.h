/* fake_rules.h - how servers behave towards clients: one number for each pair, for the twins of Redis and HTTP. Thread: one. */
#ifndef TESTS_SIM_FAKE_RULES_H
#define TESTS_SIM_FAKE_RULES_H

#include "shared/base/addr.h"
#include "shared/base/map.h"
#include "shared/net/loop.h"

struct fake_rules { /* all zero at first */
    struct map by_pair;
};

void fake_rules_clear(struct fake_rules *);
/* client NULL: of every loop without a rule of its own. */
void fake_rules_set(struct fake_rules *, const struct loop *client, const struct addr *server,
                    int value);
/* 'otherwise' where nothing was set. */
int fake_rules_get(const struct fake_rules *, const struct loop *client, const struct addr *server,
                   int otherwise);

#endif
