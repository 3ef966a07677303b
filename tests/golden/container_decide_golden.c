/* container_decide_golden.c - which keepers are started or removed, over recorded situations.
 *
 * Input: {"why", "election_unknown", "owned_ms": how long ours, "whole_ms": how long all live (-1: they do not),
 * "document": [{"addr","container"}], "living": [addr], "tries": [{"addr","tries","ms_ago","running"}]}. */
#include <jansson.h>
#include <string.h>

#include "meta/keepers/container_decide.h"
#include "shared/base/mem.h"
#include "shared/model/json_decode.h"
#include "tests/golden/golden.h"

#include "shared/base/banned.h"

#define NOW_MS    10000000
#define NAMED_MAX 32

struct situation {
    struct keeper_meta named[NAMED_MAX];
    struct container_try tries[NAMED_MAX];
    struct shard_meta shard;
    struct keeper_election election;
    struct container_facts facts;
};

static int64_t number(const json_t *object, const char *key, int64_t otherwise)
{
    const json_t *value = json_object_get(object, key);
    return json_is_integer(value) ? (int64_t)json_integer_value(value) : otherwise;
}

static struct addr addr_from(const json_t *value)
{
    struct addr addr = { 0 };
    struct xp_err err;
    const char *text = json_string_value(value);
    xp_check(text && addr_parse(text, strlen(text), &addr, &err) == 0);
    return addr;
}

static void read_keepers(const json_t *input, struct situation *s)
{
    size_t i;
    json_t *k;
    json_array_foreach (json_object_get(input, "document"), i, k) {
        xp_check(i < NAMED_MAX);
        s->named[i].addr = addr_from(json_object_get(k, "addr"));
        s->named[i].container_id = number(k, "container", 0);
        s->shard.keepers.count = i + 1;
    }
    json_array_foreach (json_object_get(input, "living"), i, k) {
        xp_check(i < SHARD_KEEPERS_MAX);
        s->election.keepers[i].addr = addr_from(k);
        s->election.count = i + 1;
    }
}

static void read_tries(const json_t *input, struct situation *s)
{
    size_t i;
    json_t *t;
    json_array_foreach (json_object_get(input, "tries"), i, t) {
        xp_check(i < NAMED_MAX);
        s->tries[i] = (struct container_try){
            .addr = addr_from(json_object_get(t, "addr")),
            .tries = (int)number(t, "tries", 1),
            .tried_at = NOW_MS - number(t, "ms_ago", 0),
            .is_running = json_is_true(json_object_get(t, "running")),
        };
        s->facts.try_count = i + 1;
    }
}

static int decide(const json_t *json, struct str *out, struct xp_err *err)
{
    static struct situation s;
    (void)err;
    memset(&s, 0, sizeof(s));
    int64_t whole_ms = number(json, "whole_ms", -1);
    s.shard.keepers.items = s.named;
    s.facts = (struct container_facts){
        .now = NOW_MS,
        .shard = &s.shard,
        .is_election_known = !json_is_true(json_object_get(json, "election_unknown")),
        .election = &s.election,
        .whole_since = whole_ms < 0 ? MONO_NEVER : NOW_MS - whole_ms,
        .owned_since = NOW_MS - number(json, "owned_ms", 3600000),
        .tries = s.tries,
        .grace_ms = 2000,
        .settle_ms = 15000,
        .retry_first_ms = 5000,
        .retry_max_ms = 120000,
    };
    read_keepers(json, &s);
    read_tries(json, &s);
    struct container_plan plan;
    container_decide(&s.facts, &plan);
    container_plan_print(&plan, out);
    return 0;
}

int main(int argc, char **argv)
{
    return golden_json_main(argc, argv, "tests/golden/container_decide", decide);
}
