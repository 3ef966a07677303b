/* settle_commands.c - see settle_commands.h. */
#include "shared/switch/settle_commands.h"

#include <stdio.h>

#include "shared/base/mem.h"
#include "shared/switch/redis_answer.h"

#include "shared/base/banned.h"

void settle_looks(size_t member, struct party_order ret_orders[SETTLE_LOOKS])
{
    ret_orders[0] = (struct party_order){ .member = member, .words = { "ROLE" }, .count = 1 };
    ret_orders[1] = (struct party_order){ .member = member,
                                          .words = { "CONFIG", "GET", SETTING_MIN_SLAVES },
                                          .count = 3 };
    ret_orders[2] = (struct party_order){ .member = member,
                                          .words = { "CONFIG", "GET", SETTING_READ_ONLY },
                                          .count = 3 };
}

static bool is_read_only_to_end(const struct settle_need *need)
{
    return need->is_read_only && need->saved.was_writable_replica;
}

bool settle_is_needed(const struct settle_need *need)
{
    return need->is_held || is_read_only_to_end(need);
}

static struct party_order set(size_t member, const char *setting, const char *value)
{
    return (struct party_order){ .member = member,
                                 .words = { "CONFIG", "SET", setting, value },
                                 .count = 4 };
}

/* The lag first: with 0 the count is not looked at. */
size_t settle_commands(const struct settle_need *need, struct settle_words *words, size_t member,
                       struct party_order ret_orders[SETTLE_ORDERS_MAX])
{
    size_t count = 0;
    (void)snprintf(words->min_slaves, sizeof(words->min_slaves), "%lld",
                   (long long)need->saved.min_slaves);
    (void)snprintf(words->max_lag, sizeof(words->max_lag), "%lld",
                   (long long)need->saved.max_lag_s);
    if (need->is_held) {
        ret_orders[count++] = set(member, SETTING_MAX_LAG, words->max_lag);
        ret_orders[count++] = set(member, SETTING_MIN_SLAVES, words->min_slaves);
    }
    if (is_read_only_to_end(need)) {
        ret_orders[count++] = set(member, SETTING_READ_ONLY, "no");
    }
    ret_orders[count] =
        (struct party_order){ .member = member, .words = { "CONFIG", "REWRITE" }, .count = 2 };
    return count + 1;
}

/* ---- foretold ---- */

static void obey(struct foreseen_redis *redis, const struct settle_need *need)
{
    if (need->is_held) {
        redis->max_lag_s = need->saved.max_lag_s;
        redis->min_slaves = need->saved.min_slaves;
    }
    redis->is_writable_replica |= is_read_only_to_end(need);
}

static void add_all(struct foresight *out, const struct foreseen_redis *redis,
                    const struct party_order *orders, size_t count, struct foreseen_command like)
{
    for (size_t i = 0; i < count; i++) {
        foresight_add(out, redis, &orders[i], like);
    }
}

void settle_foresee(const struct fence_saved *saved, struct foreseen_redis *redis, size_t count,
                    struct foresight *out)
{
    struct foreseen_command look = { .rule = SETTLE_RULE, .is_wait = true, .is_late = true };
    struct foreseen_command change = { .rule = SETTLE_RULE, .is_change = true, .is_late = true };
    for (size_t i = 0; i < count; i++) {
        struct party_order looks[SETTLE_LOOKS];
        settle_looks(i, looks);
        add_all(out, &redis[i], looks, SETTLE_LOOKS, look);
    }
    for (size_t i = 0; i < count; i++) {
        struct settle_need need = { .is_held = redis[i].min_slaves == FENCE_MIN_SLAVES,
                                    .is_read_only = !redis[i].is_writable_replica,
                                    .saved = fence_saved_or_default(&saved[i]) };
        bool follows = redis[i].answers && redis[i].role.kind == ROLE_KIND_REPLICA &&
                       !addr_is_none(&redis[i].role.master);
        if (follows && settle_is_needed(&need)) {
            struct settle_words words = { 0 };
            struct party_order orders[SETTLE_ORDERS_MAX];
            size_t order_count = settle_commands(&need, &words, i, orders);
            add_all(out, &redis[i], orders, order_count, change);
            obey(&redis[i], &need);
        }
    }
}
