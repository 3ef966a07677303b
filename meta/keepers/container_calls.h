/* container_calls.h - calls to keeper containers: adds (starts) and removes keepers (metaserver.md 6.3.1, proxy-and-keeper.md 4.6).
 *
 * add: GET /keepers/port/{port}; a keeper of another shard on that port is deleted first, when the document does not know it
 * there; then POST. remove: DELETE with body. KEEPER_ALREADY_EXIST, KEEPER_ALREADY_STARTED, KEEPER_NOT_EXIST and
 * KEEPER_ALREADY_DELETED are success. Right before each call that changes something 'may_call' is asked, and a removal takes one token
 * of 'removals' (waiting for it, in order). Per container at most 2 calls are under way, in all as many as threads; others
 * wait, at most QUEUE_MAX: then XP_TOO_MANY. One of the same keeper and kind that waits already is not queued twice: XP_CONFLICT, or
 * it is replaced when nobody listens to it any more. A silent container delays only its own calls: when one is not answered, those
 * that wait for it end with XP_UNAVAILABLE, and it gets one call at a time until it answers. Time limits: connect 1 s, call 5 s. Owner: loop; HTTP on threads of its own. */
#ifndef META_KEEPERS_CONTAINER_CALLS_H
#define META_KEEPERS_CONTAINER_CALLS_H

#include <jansson.h>

#include "meta/shards/budget.h"
#include "shared/model/dc_meta.h"
#include "shared/net/http_client.h"

#define CONTAINER_QUEUE_MAX 50000

struct container_calls;

struct container_call {
    struct addr container;
    int64_t cluster_id;
    int64_t shard_id;
    struct keeper_meta keeper; /* id, addr, container_id, priority; copied */
    bool is_removal;
    bool is_orphan; /* found by the inventory: check_orphan is asked instead of is_wanted */
};

struct container_calls_options {
    struct loop *loop;
    int threads;
    int64_t connect_timeout_ms;
    int64_t timeout_ms;
    struct budget *removals; /* borrowed */
    /* Is this cluster ours, now? 0, or why not. */
    int (*may_call)(int64_t cluster_id, void *arg, struct xp_err *err);
    /* Does the document have a keeper of this shard at this address? Asked right before one is deleted, be it extra or in the way:
     * then it stays, and the call ends with XP_CONFLICT. */
    bool (*is_wanted)(int64_t shard_id, const struct addr *keeper, void *arg);
    /* May this orphan go still? 0, or why not. NULL: none is ever submitted. */
    int (*check_orphan)(const struct container_call *, void *arg, struct xp_err *err);
    void *arg;
};

/* rc 0: done; else why not, also for "not ours any more" (XP_NOT_OWNER). Once for each accepted call, unless forgotten. */
typedef void container_done_fn(int rc, const struct xp_err *err, const struct addr *keeper,
                               void *arg);

struct container_calls *container_calls_new(const struct container_calls_options *);
void container_calls_free(struct container_calls *); /* what waits is dropped; NULL is fine */
int container_calls_submit(struct container_calls *, const struct container_call *,
                           container_done_fn * /* NULL: only logged */, void *arg,
                           struct xp_err *err) XP_MUST_CHECK;
/* 'done' of this arg runs no more; what was accepted goes on. */
void container_calls_forget(struct container_calls *, const void *arg);
/* A call about a cluster of this slot is under way (-1: any): the slot is not quiet. */
bool container_calls_is_quiet(const struct container_calls *, int slot);
void container_calls_on_quiet(struct container_calls *, void (*fn)(int slot, void *arg), void *arg);
/* per container: waiting, under way, last error */
json_t *container_calls_json(const struct container_calls *);

#endif
