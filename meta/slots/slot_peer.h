/* slot_peer.h - how the leader reaches the slot commands of another member: an interface and its HTTP form.
 *
 * POST http://<ip>:<port>/api/metacluster/<command>/<slot>, connect 1000 ms, whole call 5000 ms, no retry (a repeated
 * command is harmless, but the leader decides). Thread: loop. Source: reference/metaserver.md 2.2, 3.7. */
#ifndef META_SLOTS_SLOT_PEER_H
#define META_SLOTS_SLOT_PEER_H

#include "meta/slots/slot_keeper.h"
#include "meta/zk/server_info.h"
#include "shared/net/http_client.h"

struct slot_peer_ops {
    /* 0 and 'call->done' runs later, once; or an error and it does not. 'to' is borrowed for the call. */
    int (*call)(void *ctx, const struct server_info *to, const struct slot_command_call *call,
                struct xp_err *err);
    /* Forgets all calls with this arg: their 'done' does not run any more. */
    void (*forget)(void *ctx, const void *arg);
    void *ctx;
};

struct slot_peer_http;
struct slot_peer_http *slot_peer_http_new(struct http_client *client); /* borrows */
/* Calls under way end silently. Free it before the client. NULL is fine. */
void slot_peer_http_free(struct slot_peer_http *);
struct slot_peer_ops slot_peer_http_ops(struct slot_peer_http *);

#endif
