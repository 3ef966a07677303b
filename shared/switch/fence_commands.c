/* fence_commands.c - the words of a fence (see fence_internal.h). All commands of an order go in one write: a hold is one round trip, with the
 * write that proves it and the offset behind it.
 *
 * XSLAVEOF exists in x-pipe's builds only, where the
 * SLAVEOF behind it finds everything done. */
#include "shared/switch/fence_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/random.h"
#include "shared/switch/redis_answer.h"

#include "shared/base/banned.h"

#define STR_(x) #x
#define STR(x)  STR_(x)

void fence_words_init(struct fence_words *w, const struct fence_saved *saved)
{
    *w = (struct fence_words){ .saved = *saved };
    if (!saved->is_known || saved->min_slaves >= FENCE_MIN_SLAVES) {
        w->saved = (struct fence_saved){ 0 };
    }
    (void)snprintf(w->probe_key, sizeof(w->probe_key), "%s%016" PRIx64, FENCE_PROBE_KEY_PREFIX,
                   random_u64());
    (void)snprintf(w->min_slaves, sizeof(w->min_slaves), "%" PRId64, w->saved.min_slaves);
}

struct fence_saved fence_saved_or_default(const struct fence_saved *seen)
{
    struct fence_saved saved = *seen;
    if (!saved.is_known || saved.min_slaves == FENCE_MIN_SLAVES) {
        saved.min_slaves = 0;
        saved.max_lag_s = FENCE_MAX_LAG_S;
        saved.is_known = true;
    }
    return saved;
}

struct batch {
    const struct fence_words *words;
    const struct fence_node *node;
    size_t index;
    struct party_order *orders;
    struct fence_step *steps;
    size_t count;
};

static void add(struct batch *b, struct fence_step step, const char *const *words, size_t count)
{
    struct party_order *o = &b->orders[b->count];
    step.node = b->index;
    b->steps[b->count++] = step;
    *o = (struct party_order){ .member = b->index, .count = count };
    for (size_t i = 0; i < count; i++) {
        o->words[i] = words[i];
    }
}
#define ADD(b, step, ...)                                                                          \
    add((b), (struct fence_step)step, (const char *[]){ __VA_ARGS__ },                             \
        ARRAY_LEN(((const char *[]){ __VA_ARGS__ })))
#define STEP(...)                                                                                  \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }

static void add_probe(struct batch *b)
{
    ADD(b, STEP(.ask = ASK_PROBE), "DEL", b->words->probe_key);
    ADD(b, STEP(.ask = ASK_REPLICATION), "INFO", "replication");
}

static void add_look(struct batch *b)
{
    ADD(b, STEP(.ask = ASK_ROLE), "ROLE");
    ADD(b, STEP(.ask = ASK_SETTINGS), "CONFIG", "GET", "*slave*");
    ADD(b, STEP(.ask = ASK_REPLICATION), "INFO", "replication");
    ADD(b, STEP(.ask = ASK_SERVER), "INFO", "server");
}

/* The lag first: with 0 the count is not looked at. */
static void add_hold(struct batch *b)
{
    if (b->node->max_lag_s == 0) {
        ADD(b, STEP(.ask = ASK_SET_MAX_LAG, .value = FENCE_MAX_LAG_S), "CONFIG", "SET",
            SETTING_MAX_LAG, STR(FENCE_MAX_LAG_S));
    }
    ADD(b, STEP(.ask = ASK_SET_MIN_SLAVES, .value = FENCE_MIN_SLAVES), "CONFIG", "SET",
        SETTING_MIN_SLAVES, STR(FENCE_MIN_SLAVES));
    add_probe(b);
}

/* Read-only first: a replica that may be written to refuses nothing. */
static void add_freeze(struct batch *b)
{
    if (b->node->is_writable_replica) {
        ADD(b, STEP(.ask = ASK_SET_READ_ONLY, .value = 1), "CONFIG", "SET", SETTING_READ_ONLY,
            "yes");
    }
    ADD(b, STEP(.ask = ASK_XSLAVEOF), "XSLAVEOF", "127.0.0.1", "0");
    ADD(b, STEP(.ask = ASK_SLAVEOF), "SLAVEOF", "127.0.0.1", "0");
    ADD(b, STEP(.ask = ASK_ROLE_AFTER, .wanted = ROLE_KIND_REPLICA), "ROLE");
    add_probe(b);
}

bool fence_has_lost_settings(const struct fence_saved *own, const struct fence_node *n)
{
    bool is_written_to = n->role.kind == ROLE_KIND_MASTER && n->min_slaves == 0;
    return own->is_known && is_written_to &&
           (own->min_slaves > 0 || (own->was_writable_replica && !n->is_writable_replica));
}

static void add_settings_back(struct batch *b)
{
    const struct fence_words *w = b->words;
    bool is_held = b->node->min_slaves >= FENCE_MIN_SLAVES ||
                   fence_has_lost_settings(&w->saved, b->node); /* it was */
    if (is_held) {
        ADD(b, STEP(.ask = ASK_SET_MIN_SLAVES, .value = w->saved.min_slaves), "CONFIG", "SET",
            SETTING_MIN_SLAVES, w->min_slaves);
    }
    if (is_held && w->saved.is_known && w->saved.max_lag_s == 0 &&
        b->node->max_lag_s == FENCE_MAX_LAG_S) { /* only a fence changes it, and only then */
        ADD(b, STEP(.ask = ASK_SET_MAX_LAG, .value = 0), "CONFIG", "SET", SETTING_MAX_LAG, "0");
    }
    if (w->saved.was_writable_replica && !b->node->is_writable_replica) {
        ADD(b, STEP(.ask = ASK_SET_READ_ONLY, .value = 0), "CONFIG", "SET", SETTING_READ_ONLY,
            "no");
    }
}

static void add_release(struct batch *b)
{
    add_settings_back(b);
    if (b->node->role.kind != ROLE_KIND_MASTER) {
        ADD(b, STEP(.ask = ASK_XSLAVEOF), "XSLAVEOF", "NO", "ONE");
        ADD(b, STEP(.ask = ASK_SLAVEOF), "SLAVEOF", "NO", "ONE");
    }
    ADD(b, STEP(.ask = ASK_ROLE_AFTER, .wanted = ROLE_KIND_MASTER), "ROLE");
    add_probe(b);
    ADD(b, STEP(.ask = ASK_REWRITE), "CONFIG", "REWRITE");
}

size_t fence_commands(const struct fence_words *words, const struct fence_node *node, size_t index,
                      enum fence_order_kind kind, struct party_order *ret_orders,
                      struct fence_step *ret_steps)
{
    struct batch b = { words, node, index, ret_orders, ret_steps, 0 };
    switch (kind) {
    case FENCE_ORDER_LOOK:
        add_look(&b);
        break;
    case FENCE_ORDER_HOLD:
        add_hold(&b);
        break;
    case FENCE_ORDER_FREEZE:
        add_freeze(&b);
        break;
    case FENCE_ORDER_RELEASE:
        add_release(&b);
        break;
    case FENCE_ORDER_PROBE:
        ADD(&b, STEP(.ask = ASK_PROBE), "DEL", words->probe_key);
        break;
    case FENCE_ORDER_OFFSET:
        ADD(&b, STEP(.ask = ASK_REPLICATION), "INFO", "replication");
        break;
    case FENCE_ORDER_REWRITE:
        ADD(&b, STEP(.ask = ASK_REWRITE), "CONFIG", "REWRITE");
        break;
    }
    xp_check(b.count <= FENCE_COMMANDS_MAX);
    return b.count;
}
