/* container_wire.h - the REST of keeper containers as values: requests, and what answers mean (proxy-and-keeper.md 4.6). Pure.
 *
 * Thread: any. */
#ifndef META_KEEPERS_CONTAINER_WIRE_H
#define META_KEEPERS_CONTAINER_WIRE_H

#include "meta/keepers/container_calls.h"

#define CONTAINER_ERROR_HEADER      "X-Keeper-Container-Error"
#define CONTAINER_REPLY_MAX_BYTES   (64U * 1024)
#define CONTAINER_LISTING_MAX_BYTES ((size_t)1024 * 1024) /* parsed on the loop: some 10 ms */
#define CONTAINER_LISTING_MAX       5000

enum container_step {
    CONTAINER_LOOK,  /* who has the port? */
    CONTAINER_CLEAR, /* away with the keeper of another shard that has it */
    CONTAINER_START,
    CONTAINER_DROP,
};

/* Who has a port of a container. */
struct container_holder {
    int64_t cluster_id; /* 0: not said, newer containers do not know it */
    int64_t shard_id;   /* 0: nobody */
    char *trans;        /* owned; its KeeperTransMeta as sent, to be sent back */
};
void container_holder_done(struct container_holder *);

struct container_request {
    const char *method;
    char *url;  /* owned */
    char *body; /* owned; NULL: none */
};
/* 'holder' for CONTAINER_CLEAR. Returns owned texts. */
struct container_request container_request_of(const struct container_call *, enum container_step,
                                              const struct container_holder *holder);
void container_request_done(struct container_request *);

/* 0, also when the keeper was there (start) or gone (clear, drop) already; XP_REMOTE names container, keeper and the container's
 * words; XP_IO: garbage, whatever the status, so nothing is known to be done. */
int container_answer(const struct container_call *, enum container_step,
                     const struct http_reply *reply, struct xp_err *err) XP_MUST_CHECK;
/* Reads the answer of CONTAINER_LOOK. XP_REMOTE, XP_IO: not said, or not to be understood. */
int container_holder_parse(const struct container_call *, const struct http_reply *reply,
                           struct container_holder *ret_holder, struct xp_err *err) XP_MUST_CHECK;

/* What GET /keepers says. */
struct container_listed {
    int64_t cluster_id; /* 0: not said, newer containers do not know it */
    int64_t shard_id;   /* > 0 */
    struct keeper_meta keeper;
};
struct container_listing {
    struct container_listed *items; /* owned */
    size_t count;
};
/* All of it or nothing: an entry that cannot be read (no shard, no address) spoils the list, since what it stands for is not
 * known; so does an empty text. XP_IO. Free with container_listing_done. */
int container_listing_parse(const char *text, size_t length, struct container_listing *ret_listing,
                            struct xp_err *err) XP_MUST_CHECK;
void container_listing_done(struct container_listing *);

#endif
