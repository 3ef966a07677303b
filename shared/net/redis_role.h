/* redis_role.h - what ROLE answers, as a plain value: Redis, replica or keeper (proxy-and-keeper.md 4.3, metaserver.md 6.3.4).
 *
 * A pure reading of a reply of an unknown server: whatever has another shape is ROLE_KIND_UNKNOWN. Thread: any. */
#ifndef SHARED_NET_REDIS_ROLE_H
#define SHARED_NET_REDIS_ROLE_H

#include "shared/base/addr.h"
#include "shared/net/rreply.h"

enum role_kind {
    ROLE_KIND_UNKNOWN, /* no answer, an error, or another shape (sentinels, too) */
    ROLE_KIND_MASTER,  /* three elements, "master" */
    ROLE_KIND_REPLICA, /* five elements, "slave" */
    ROLE_KIND_KEEPER,  /* five elements, "keeper" */
};

/* Of a replica or keeper towards its master, in Redis' words. */
enum role_link {
    ROLE_LINK_UNKNOWN,
    ROLE_LINK_NONE,
    ROLE_LINK_CONNECT,
    ROLE_LINK_CONNECTING,
    ROLE_LINK_HANDSHAKE,
    ROLE_LINK_SYNC, /* a full synchronisation is under way */
    ROLE_LINK_CONNECTED,
};

struct redis_role {
    enum role_kind kind;
    /* none: it follows nobody (port 0: 0.0.0.0 0 of a keeper, 127.0.0.1 0 of 'masterreadonly'); host "?": somebody whom we
     * could not name (longer than a host may be, blanks), so none of ours */
    struct addr master;
    enum role_link link; /* UNKNOWN for a master */
    int64_t offset;      /* -1 unknown */
    int replicas;        /* of a master: how many are connected; else 0 */
};

/* NULL and errors give ROLE_KIND_UNKNOWN, offset -1. */
void redis_role_read(const struct rreply *reply, struct redis_role *ret_role);
const char *role_kind_text(enum role_kind kind);
const char *role_link_text(enum role_link link);
enum role_link role_link_from_text(const char *text); /* UNKNOWN for other words */

#endif
