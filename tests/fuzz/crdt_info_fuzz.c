/* crdt_info_fuzz.c - CRDT.INFO replies: parsed, kept, and compared with what a metaserver would want. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shared/crdt/peerof.h"

#include "shared/base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void look_at(const struct crdt_peer *peer)
{
    struct route route;
    struct xp_err err;
    struct peerof_target same = { .gid = peer->gid, .addr = peer->addr };
    if (crdt_peer_route(peer, &route, &err) == 0) {
        same.route = &route;
        if (!peer->problem[0] && !peerof_is_equal(peer, &same)) {
            abort(); /* a peer equals itself */
        }
    }
    (void)peerof_keeps_link(peer, &same);
    (void)crdt_peer_proxy_in_use(peer);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct crdt_info info;
    struct xp_err err;
    if (crdt_info_parse((const char *)bytes, size, &info, &err)) {
        return 0;
    }
    struct crdt_kept *kept = crdt_info_keep(&info);
    crdt_kept_view(kept, &info);
    for (size_t i = 0; i < info.peer_count; i++) {
        look_at(&info.peers[i]);
    }
    crdt_kept_free(kept);
    return 0;
}
