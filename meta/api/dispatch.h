/* dispatch.h - which member handles a request about a cluster (metaserver.md 4.2).
 *
 * Any member accepts any request; the owner of the cluster's slot answers. The header "forward" carries who forwarded it already,
 * as {"type":"FORWARD","forwardServers":[1,2]}, the same as between Java members. Thread: loop. */
#ifndef META_API_DISPATCH_H
#define META_API_DISPATCH_H

#include "meta/app.h"

/* FORWARD class: runs 'local' when the owner is this member, else sends the request on and answers with the owner's answer. */
int dispatch_forward(struct http_req *, struct http_resp *, http_handler *local,
                     struct xp_err *err);

/* MULTICAST class: every member gets it, in parallel; 'local' runs here in any case; the owner's answer is the answer.
 * 'db_id' is the cluster's, which an unknown name cannot give. */
int dispatch_multicast(struct http_req *, struct http_resp *, int64_t db_id, http_handler *local,
                       struct xp_err *err);

/* A change that Java multicasts, of which the owner's part may take seconds and fail: the owner acts first; when it has done it, the
 * others get their copies, which nobody waits for, so that a member that hangs delays nobody. */
struct dispatch_change {
    http_handler *at_owner;
    http_handler *at_other; /* a copy came to one that does not own the slot */
    /* Does this answer (of status 200) mean that the others are to know? */
    bool (*is_changed)(const struct http_req *, const json_t *answer);
    void (*at_member)(
        struct http_req
            *); /* the member that took the request, when it is not the owner: as a copy */
};
int dispatch_owner_first(struct http_req *, struct http_resp *, const struct dispatch_change *,
                         struct xp_err *err);
/* For at_owner, whose answer comes later, when it has changed something: the copies, if this member took the request. */
void dispatch_changed(struct http_req *);

/* For requests that concern no single cluster: copies to every other member unless this is one, and 'local' here. Their
 * answers are not waited for. */
int dispatch_copies(struct http_req *, http_handler *local, struct http_resp *, struct xp_err *err);

/* True when another member sent it to every member: handle it here and send it nowhere. Any thread. */
bool dispatch_is_multicast_copy(const struct http_req *);

/* Value of the header for a copy sent by this member. Returns owned. Any thread. */
char *dispatch_multicast_header(const struct app *);

#endif
