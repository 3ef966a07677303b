/* farm_tree.c - one-way shards of a backup DC: the head (the first living keeper; without keepers the first Redis) pulls from the
 * source, everything else of the shard from the head. What breaks is one instance of a shard at a time. */
#include <stdio.h>
#include <string.h>

#include "bench/farm.h"
#include "shared/base/mem.h"

#include "shared/base/banned.h"

#define ROUTE_MAX_BYTES 4096

struct farm_tree {
    bool is_given;
    int net; /* of the sources */
    int port;
    char *route;    /* owned; NULL: direct */
    uint8_t *heads; /* index of the head, by shard; owned */
};

void farm_tree_start(struct farm *f)
{
    f->tree = xcalloc(1, sizeof(*f->tree));
    f->tree->heads = xcalloc(f->shards, sizeof(*f->tree->heads));
    for (size_t i = 0; i < f->shards; i++) {
        f->tree->heads[i] = (uint8_t)(f->keeper_count > 0 ? f->redis_count : 0);
    }
}

void farm_tree_stop(struct farm *f)
{
    if (f->tree) {
        free(f->tree->route);
        free(f->tree->heads);
        free(TAKE(f->tree));
    }
}

/* ---- what is wanted ---- */

static void want_one(struct farm *f, struct farm_redis *r)
{
    const struct farm_tree *t = f->tree;
    size_t head = t->heads[r->number];
    bool is_head = r->index == head;
    struct farm_seat seat = { .state = !r->node->is_keeper ? FARM_SLAVE
                                       : is_head           ? FARM_ACTIVE
                                                           : FARM_BACKUP,
                              .port = is_head ? t->port : f->port,
                              .route = is_head && r->node->is_keeper ? t->route : NULL };
    farm_host(is_head ? t->net : f->net + (int)head, r->number, seat.host, sizeof(seat.host));
    farm_node_want(r->node, &seat);
}

/* Of everything in the shard that runs. */
static void want_shard(struct farm *f, size_t number)
{
    mono_ms now = loop_now(f->loop);
    for (size_t i = 0; i < farm_per_shard(f); i++) {
        struct farm_redis *r = farm_at(f, number, i);
        if (r->is_gone) {
            continue;
        }
        want_one(f, r);
        if (farm_redis_is_right(r)) {
            r->broken_at = MONO_NEVER;
        } else if (r->broken_at == MONO_NEVER) {
            r->broken_at = now;
            f->report.broken++;
        }
    }
}

void farm_tree_give(struct farm *f, const struct farm_peer_spec *spec)
{
    struct farm_tree *t = f->tree;
    struct str route = STR_INIT(ROUTE_MAX_BYTES);
    if (spec->servers) {
        str_printf(&route, "ROUTE %s%s%s TCP", spec->servers, spec->params ? " " : "",
                   spec->params ? spec->params : "");
    }
    free(t->route);
    t->route = spec->servers ? str_take(&route) : NULL;
    t->net = spec->net;
    t->port = spec->port;
    t->is_given = true;
    for (size_t i = 0; i < f->count; i++) {
        want_one(f, &f->redises[i]);
        farm_node_obey(f->redises[i].node, loop_now(f->loop));
    }
}

/* ---- what goes wrong ---- */

static bool is_at_rest(const struct farm *f, size_t number)
{
    mono_ms now = loop_now(f->loop);
    for (size_t i = 0; i < farm_per_shard(f); i++) {
        const struct farm_redis *r = farm_at(f, number, i);
        if (r->broken_at != MONO_NEVER || r->fault != 0 || r->is_gone ||
            mono_age(now, r->mended_at) < FARM_REST_MS) {
            return false;
        }
    }
    return f->tree->is_given;
}

bool farm_tree_break(struct farm *f, struct farm_redis *r, enum farm_spoil how)
{
    mono_ms now = loop_now(f->loop);
    if (!is_at_rest(f, r->number) || !farm_node_spoil(r->node, how, now)) {
        return false;
    }
    r->broken_at = now;
    return true;
}

static void kill_one(struct farm *f, struct farm_redis *r)
{
    char host[INET_ADDRSTRLEN];
    farm_host(f->net + (int)r->index, r->number, host, sizeof(host));
    r->is_gone = true;
    farm_server_drop(f, r);
    farm_latches_leave(f, r);
    for (size_t i = 0; i < farm_per_shard(f); i++) {
        farm_node_lose(farm_at(f, r->number, i)->node, host);
    }
}

bool farm_tree_kill_head(struct farm *f, size_t number)
{
    size_t head = f->tree->heads[number];
    size_t next = farm_per_shard(f);
    for (size_t i = f->redis_count; i < farm_per_shard(f); i++) {
        next = i != head && next == farm_per_shard(f) ? i : next;
    }
    if (!is_at_rest(f, number) || next == farm_per_shard(f)) {
        return false;
    }
    kill_one(f, farm_at(f, number, head));
    f->tree->heads[number] = (uint8_t)next;
    want_shard(f, number);
    return true;
}

bool farm_tree_revive(struct farm *f, struct farm_redis *r)
{
    if (!r->is_gone) {
        return false;
    }
    r->is_gone = false;
    r->broken_at = MONO_NEVER;
    (void)farm_node_spoil(r->node, FARM_FORGET, loop_now(f->loop));
    farm_latches_enter(f, r);
    want_shard(f, r->number);
    return true;
}

/* ---- what was done about it ---- */

void farm_tree_told(struct farm *f, const struct farm_call *call, const struct farm_order *order)
{
    struct farm_redis *r = call->redis;
    mono_ms now = loop_now(f->loop);
    bool was_broken = r->broken_at != MONO_NEVER;
    bool is_right = farm_redis_is_right(r);
    bool is_refresh = order->is_same && r->node->actual.state == FARM_ACTIVE;
    int64_t took_ms = was_broken ? now - r->broken_at : 0;
    f->report.harmful +=
        f->tree->is_given && !order->is_refused &&
        (order->is_direct || (!was_broken && !is_right) || r->node->actual.state == FARM_MASTER);
    farm_client_commanded(f, r, *call->client,
                          was_broken && is_right ? FARM_CORRECTED
                          : was_broken           ? FARM_NOT_MENDED
                          : is_refresh           ? FARM_REFRESHED
                                                 : FARM_NEEDLESS,
                          took_ms);
    if (was_broken && is_right) {
        farm_report_corrected(f, took_ms);
        r->broken_at = MONO_NEVER;
        r->mended_at = now;
    } else if (!was_broken) {
        f->report.refreshed += is_refresh;
        f->report.needless += !is_refresh;
        r->broken_at = is_right || !f->tree->is_given ? MONO_NEVER : now;
    }
}
