/* fake_rules.c - see fake_rules.h. */
#include "tests/sim/fake_rules.h"

#include "shared/base/mem.h"
#include "tests/sim/fake_loop.h"

#include "shared/base/banned.h"

struct rule {
    uint64_t client;
    struct addr server;
    int value;
};

static uint64_t key_of(uint64_t client, const struct addr *server)
{
    uint64_t h = client * 65536 + (uint64_t)server->port;
    for (const char *p = server->host; *p; p++) {
        h = (h ^ (unsigned char)*p) * 0x100000001B3ULL;
    }
    return h;
}

static struct rule *find(const struct fake_rules *rules, uint64_t client, const struct addr *server)
{
    struct rule *rule = map_get_n(&rules->by_pair, key_of(client, server));
    xp_check(!rule || (rule->client == client && addr_eq(&rule->server, server)));
    return rule;
}

void fake_rules_clear(struct fake_rules *rules)
{
    size_t at = 0;
    for (const struct map_slot *slot; (slot = map_next(&rules->by_pair, &at));) {
        free(slot->value);
    }
    map_done(&rules->by_pair);
}

void fake_rules_set(struct fake_rules *rules, const struct loop *client, const struct addr *server,
                    int value)
{
    rules->by_pair.kind = MAP_NUMBER;
    uint64_t id = fake_loop_id(client);
    struct rule *rule = find(rules, id, server);
    if (!rule) {
        rule = xcalloc(1, sizeof(*rule));
        (void)map_put_n(&rules->by_pair, key_of(id, server), rule);
    }
    *rule = (struct rule){ id, *server, value };
}

int fake_rules_get(const struct fake_rules *rules, const struct loop *client,
                   const struct addr *server, int otherwise)
{
    if (map_count(&rules->by_pair) == 0) {
        return otherwise;
    }
    uint64_t id = fake_loop_id(client);
    const struct rule *rule = id ? find(rules, id, server) : NULL;
    rule = rule ? rule : find(rules, 0, server);
    return rule ? rule->value : otherwise;
}
