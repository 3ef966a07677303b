/* server_registry.h - our registration in ZooKeeper, and the list of all registered metaservers.
 *
 * Registers /<ns>/metaserver/servers/<id> as an ephemeral in every session. A node that is there already is taken over in one
 * step when it is ours from before (same start id, or same address: nobody else can listen there); otherwise it may
 * be a twin with the same id, so we wait for it to vanish, three session timeouts long, and then give up.
 * Whoever finds its own registration replaced by another run gives up at once: the newest wins, two never work. Data that
 * somebody wrote over ours is written again.
 *
 * The list is read before anything is registered: a namespace in which metaservers of another DC are registered is not ours. We
 * wait for them to go, as for a twin, and then give up. Of two that registered at the same moment the later one gives up. Members
 * of another DC are never part of the list.
 *
 * The list follows the children and their data by watches and is read again every refresh_ms (first after 1 s).
 * Names that are not server ids are ignored. Bound: SERVER_LIST_MAX servers.
 * Thread: loop. Free it after the session it uses. Source: reference/metaserver.md 3.2, 3.5. */
#ifndef META_ZK_SERVER_REGISTRY_H
#define META_ZK_SERVER_REGISTRY_H

#include "meta/slots/slot_plan.h"
#include "meta/zk/server_info.h"
#include "shared/net/zk.h"

#define SERVER_LIST_MAX 1000

struct server_registry;

struct server_registry_options {
    struct loop *loop;
    struct zk *zk;           /* borrowed */
    const char *path;        /* "/xpipe/metaserver/servers"; copied */
    const char *name_space;  /* for messages; copied */
    struct server_info self; /* start_id set; dc "" accepts every DC */
    int64_t refresh_ms;
    void (*on_servers)(void *arg); /* the list changed, or was read first in this session */
    void (*on_registered)(bool is_registered, void *arg);
    void (*on_failed)(const char *why, void *arg); /* given up: the process should end */
    void *arg;
};

struct server_registry *server_registry_new(const struct server_registry_options *options);
void server_registry_free(struct server_registry *); /* NULL is fine */
void server_registry_on_session(struct server_registry *, enum zk_state state, bool is_new_session);
/* Deletes the registration and does not come back. */
void server_registry_leave(struct server_registry *);
void server_registry_refresh(struct server_registry *);

bool server_registry_is_registered(const struct server_registry *);
/* Transaction that made our node; 0 while not registered. */
int64_t server_registry_zxid(const struct server_registry *);
/* Something changed and is being read: who is there is not known at this moment. */
bool server_registry_is_reading(const struct server_registry *);
/* What stands in the way of the registration; "" nothing. Borrowed. */
const char *server_registry_obstacle(const struct server_registry *);
/* The list was read since the session became ready. */
bool server_registry_is_complete(const struct server_registry *);
mono_ms
server_registry_known_since(const struct server_registry *); /* MONO_NEVER when not complete */
/* Borrowed until the next turn; ascending by id. */
const struct server_info *server_registry_list(const struct server_registry *, size_t *ret_count);
const struct server_info *server_registry_find(const struct server_registry *,
                                               int64_t id); /* or NULL */
/* Who vanished in this session, and when. Borrowed until the next turn. */
const struct gone_server *server_registry_gone(const struct server_registry *, size_t *ret_count);

#endif
