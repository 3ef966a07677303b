/* foresight.c - see foresight.h. */
#include "shared/switch/foresight.h"

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
