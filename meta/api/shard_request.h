/* shard_request.h - what requests about shards have in common: the shard of the path, and many shards in one request of another
 * DC. Thread: see each function. */
#ifndef META_API_SHARD_REQUEST_H
#define META_API_SHARD_REQUEST_H

#include "meta/app.h"
#include "meta/links/shard_names.h"

#define SHARD_QUESTION_MAX_BYTES (4U * 1024 * 1024) /* bodies of the two below */
#define SHARD_NOTICE_MAX_BYTES   (1024U * 1024)

/* Only the console sends such a request, or another member passes it on: the console is not out of reach of this DC. Loop. */
void shard_request_is_the_consoles(const struct http_req *);
/* {cluster} and {shard} of the path are in the document, or XP_NOT_FOUND. Loop. */
int shard_request_check(const struct http_req *, struct xp_err *err) XP_MUST_CHECK;
/* Its duty here, borrowed; NULL: the same error, or XP_UNSUPPORTED: a type without duties, or no valid lease. Loop. */
struct duty *shard_request_duty(const struct http_req *, struct xp_err *err);
/* The state of that duty for people, and by which member; XP_UNSUPPORTED for a cluster of another type. Loop. */
int shard_request_state(const struct http_req *, struct http_resp *, enum cluster_type type,
                        struct xp_err *err) XP_MUST_CHECK;

/* A question about many shards: {"shards":[[cluster, shard],...]} -> {"<rows>":[...]} of those that are known. */
struct shard_question {
    const char *path; /* of the endpoint, to ask the other members */
    const char *rows; /* member of the answer */
    /* Adds what this member knows about the shard; false: nothing. */
    bool (*add)(struct app *, const struct shard_name *, json_t *rows);
};
/* From this member, and from the others for what it does not know. Worker. */
int shard_request_answer(struct http_req *, struct http_resp *, const struct shard_question *,
                         struct xp_err *err);

/* A notice about many shards: {"dc":who says it,"shards":[...]}; calls 'told' for each, with the DC in lower case. Loop. */
typedef void shard_told_fn(struct app *, const char *dc, const struct shard_name *);
int shard_request_notice(const struct http_req *, shard_told_fn *told, struct xp_err *err);

#endif
