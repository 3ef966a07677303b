/* foresight.c - see foresight.h. */
#include "shared/switch/foresight_internal.h"

#include <stdio.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

void foreseen_redis_of(const struct check_redis *c, struct foreseen_redis *ret)
{
    enum role_link link = c->is_link_up   ? ROLE_LINK_CONNECTED
                          : c->is_syncing ? ROLE_LINK_SYNC
                                          : ROLE_LINK_CONNECT;
    *ret = (struct foreseen_redis){
        .addr = c->addr,
        .answers = c->is_alive,
        .role = { .kind = c->is_master ? ROLE_KIND_MASTER : ROLE_KIND_REPLICA,
                  .master = c->follows,
                  .link = c->is_master ? ROLE_LINK_UNKNOWN : link,
                  .offset = c->offset },
        .offset = c->offset,
        .priority = c->priority,
        .min_slaves = c->min_slaves,
        .max_lag_s = c->max_lag_s,
        .is_writable_replica = !c->is_read_only,
        .has_no_file = c->has_no_file,
    };
    memcpy(ret->repl_id, c->repl_id, sizeof(ret->repl_id));
}

void foresight_done(struct foresight *f)
{
    free(f->items);
    *f = (struct foresight){ 0 };
}

void foresight_add(struct foresight *f, const struct foreseen_redis *redis,
                   const struct party_order *order, struct foreseen_command like)
{
    if (f->count == FORESIGHT_MAX) {
        f->left_out++;
        return;
    }
    size_t length = 0;
    like.redis = redis->addr;
    for (size_t i = 0; i < order->count && length < sizeof(like.text); i++) {
        bool is_probe = text_has_prefix(order->words[i], FENCE_PROBE_KEY_PREFIX);
        length += (size_t)snprintf(like.text + length, sizeof(like.text) - length, "%s%s",
                                   i ? " " : "", is_probe ? FORESIGHT_PROBE : order->words[i]);
    }
    f->items = xrealloc(f->items, f->count + 1, sizeof(*f->items));
    f->items[f->count++] = like;
}

/* ---- rounds ---- */

enum { ROUNDS_MAX = 32, ROUND_MS = 1, SILENT_MS = 300 };

static void decide(struct foresee *f)
{
    f->plan = (struct foreseen_plan){ 0 };
    f->ops->decide(f, &f->plan);
}

static void round_of(struct foresee *f)
{
    bool is_change = false;
    for (size_t i = 0; i < f->plan.order_count; i++) {
        size_t node = f->plan.orders[i].node;
        f->ops->send(f, node, f->plan.orders[i].kind);
        f->now += f->redis[node].answers ? 0 : SILENT_MS;
        is_change |= f->ops->is_change(f->plan.orders[i].kind);
    }
    if (is_change && f->out->rounds_to_change < 0) {
        f->out->rounds_to_change = f->out->rounds;
    }
    f->out->rounds++;
    f->now += ROUND_MS + f->plan.pause_ms;
}

static bool is_repeat(const struct foreseen_plan *a, const struct foreseen_plan *b)
{
    bool is_same = text_eq(a->rule, b->rule) && a->order_count == b->order_count;
    for (size_t i = 0; is_same && i < a->order_count; i++) {
        is_same = a->orders[i].node == b->orders[i].node && a->orders[i].kind == b->orders[i].kind;
    }
    return is_same;
}

/* The same again is only waiting: the time is let pass. */
void foresee_run(struct foresee *f)
{
    f->out->rounds_to_change = -1;
    decide(f);
    for (int i = 0; !f->plan.is_over && i < ROUNDS_MAX; i++) {
        struct foreseen_plan before = f->plan;
        round_of(f);
        decide(f);
        if (!f->plan.is_over && is_repeat(&f->plan, &before) && f->now < f->deadline) {
            f->now = f->deadline;
            decide(f);
        }
    }
    if (f->out->rounds_to_change < 0) {
        f->out->rounds_to_change = f->out->rounds;
    }
}
