/* slot_peer.c - see slot_peer.h. */
#include "meta/slots/slot_peer.h"

#include <stdio.h>

#include "shared/base/list.h"
#include "shared/base/mem.h"

#include "shared/base/banned.h"

#define CONNECT_TIMEOUT_MS 1000
#define CALL_TIMEOUT_MS    5000
#define REPLY_MAX_BYTES    65536

struct slot_peer_http {
    struct http_client *client;
    struct list calls;
};

/* Owned by the HTTP client's callback. */
struct peer_call {
    struct list link; /* of the peer; unlinked: nobody waits any more */
    struct slot_command_call call;
};

static void answered(int rc, const struct http_reply *reply, const struct xp_err *err, void *arg,
                     uint64_t token)
{
    (void)token;
    AUTO_FREE struct peer_call *p = arg;
    struct xp_err failed = { 0 };
    if (!list_is_linked(&p->link)) {
        return;
    }
    list_remove(&p->link);
    if (rc < 0) {
        failed = *err;
    } else if (reply->status >= 400) {
        rc = xp_fail(&failed, XP_REMOTE, "%s of slot %d answered %d %.120s",
                     slot_command_path(p->call.command), p->call.slot, reply->status, reply->body);
    }
    p->call.done(rc, &failed, p->call.arg, p->call.token);
}

static int http_slot_call(void *ctx, const struct server_info *to,
                          const struct slot_command_call *call, struct xp_err *err)
{
    struct slot_peer_http *peer = ctx;
    if (addr_is_none(&to->addr)) {
        return xp_fail(err, XP_UNAVAILABLE, "server %lld has no readable address",
                       (long long)to->id);
    }
    char url[160];
    (void)snprintf(url, sizeof(url), "http://%s/api/metacluster/%s/%d", ADDR_TEXT(&to->addr),
                   slot_command_path(call->command), call->slot);
    struct http_call request = { .method = "POST",
                                 .url = url,
                                 .connect_timeout_ms = CONNECT_TIMEOUT_MS,
                                 .timeout_ms = CALL_TIMEOUT_MS,
                                 .max_reply_bytes = REPLY_MAX_BYTES };
    struct peer_call *p = xcalloc(1, sizeof(*p));
    p->call = *call;
    list_push_back(&peer->calls, &p->link);
    int rc = http_send(peer->client, &request, answered, p, 0, err);
    if (rc < 0) {
        list_remove(&p->link);
        free(p);
    }
    return rc;
}

static void http_forget(void *ctx, const void *arg)
{
    struct slot_peer_http *peer = ctx;
    list_for_each (it, &peer->calls) {
        struct peer_call *p = LIST_ENTRY(it, struct peer_call, link);
        if (!arg || p->call.arg == arg) {
            list_remove(&p->link);
        }
    }
}

struct slot_peer_http *slot_peer_http_new(struct http_client *client)
{
    struct slot_peer_http *peer = xcalloc(1, sizeof(*peer));
    peer->client = client;
    list_init(&peer->calls);
    return peer;
}

void slot_peer_http_free(struct slot_peer_http *peer)
{
    if (peer) {
        http_forget(peer, NULL);
        free(peer);
    }
}

struct slot_peer_ops slot_peer_http_ops(struct slot_peer_http *peer)
{
    return (struct slot_peer_ops){ .call = http_slot_call, .forget = http_forget, .ctx = peer };
}
