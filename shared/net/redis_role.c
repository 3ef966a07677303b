/* redis_role.c - see redis_role.h. */
#include "shared/net/redis_role.h"

#include <string.h>

#include "shared/base/mem.h"

#include "shared/base/banned.h"

enum { MASTER_ELEMENTS = 3, REPLICA_ELEMENTS = 5 };

static const char *const link_words[] = {
    [ROLE_LINK_UNKNOWN] = "unknown",     [ROLE_LINK_NONE] = "none",
    [ROLE_LINK_CONNECT] = "connect",     [ROLE_LINK_CONNECTING] = "connecting",
    [ROLE_LINK_HANDSHAKE] = "handshake", [ROLE_LINK_SYNC] = "sync",
    [ROLE_LINK_CONNECTED] = "connected",
};

const char *role_link_text(enum role_link link)
{
    return link_words[link];
}

enum role_link role_link_from_text(const char *text)
{
    for (size_t i = 0; i < ARRAY_LEN(link_words); i++) {
        if (text && strcmp(text, link_words[i]) == 0) {
            return (enum role_link)i;
        }
    }
    return ROLE_LINK_UNKNOWN;
}

const char *role_kind_text(enum role_kind kind)
{
    static const char *const texts[] = {
        [ROLE_KIND_UNKNOWN] = "unknown",
        [ROLE_KIND_MASTER] = "master",
        [ROLE_KIND_REPLICA] = "slave",
        [ROLE_KIND_KEEPER] = "keeper",
    };
    return texts[kind];
}

static enum role_kind kind_of(const struct rreply *reply)
{
    const struct rreply *word = rreply_at(reply, 0);
    size_t count = rreply_count(reply);
    if (count == MASTER_ELEMENTS && rreply_is(word, "master")) {
        return ROLE_KIND_MASTER;
    }
    if (count == REPLICA_ELEMENTS && rreply_is(word, "slave")) {
        return ROLE_KIND_REPLICA;
    }
    return count == REPLICA_ELEMENTS && rreply_is(word, "keeper") ? ROLE_KIND_KEEPER
                                                                  : ROLE_KIND_UNKNOWN;
}

static int64_t offset_of(const struct rreply *element)
{
    int64_t offset = rreply_type(element) == RREPLY_INTEGER ? rreply_integer(element) : -1;
    return offset < 0 ? -1 : offset;
}

/* A host that we could not name ourselves still is somebody, who is none of the instances that we know. */
static struct addr somebody(const char *host, size_t length, int port)
{
    bool is_plain = length > 0 && length <= ADDR_HOST_MAX;
    for (size_t i = 0; is_plain && i < length; i++) {
        is_plain = host[i] > ' ' && host[i] <= '~';
    }
    return addr_of(is_plain ? host : "?", port);
}

/* Whom a replica or keeper follows; false: not the shape of an answer to ROLE. */
static bool read_upstream(const struct rreply *reply, struct redis_role *role)
{
    size_t length;
    const struct rreply *host = rreply_at(reply, 1);
    const char *text = rreply_text(host, &length);
    bool is_text = rreply_type(host) == RREPLY_BULK || rreply_type(host) == RREPLY_STATUS;
    int64_t port = rreply_integer(rreply_at(reply, 2));
    if (!is_text || rreply_type(rreply_at(reply, 2)) != RREPLY_INTEGER || port < 0 ||
        port > 65535) {
        return false;
    }
    if (port > 0) {
        role->master = somebody(text, length, (int)port);
    }
    const struct rreply *link = rreply_at(reply, 3);
    for (size_t i = 0; i < ARRAY_LEN(link_words); i++) {
        if (rreply_is(link, link_words[i])) {
            role->link = (enum role_link)i;
        }
    }
    role->offset = offset_of(rreply_at(reply, 4));
    return true;
}

void redis_role_read(const struct rreply *reply, struct redis_role *ret_role)
{
    struct redis_role role = { .kind = kind_of(reply), .offset = -1 };
    if (role.kind == ROLE_KIND_MASTER) {
        role.offset = offset_of(rreply_at(reply, 1));
        role.replicas = (int)rreply_count(rreply_at(reply, 2));
    } else if (role.kind != ROLE_KIND_UNKNOWN && !read_upstream(reply, &role)) {
        role = (struct redis_role){ .offset = -1 };
    }
    *ret_role = role;
}
