/* remote_fence.h - fences the Redis of another DC, named by the console, when that DC's metaserver does not answer (PUT v2/fence;
 * dr-switchover.md F01): fence_run on addresses that are none of ours. Remembers nothing: settings that a release needs are in
 * the answer, and the console keeps them. An address of this DC's own documents is refused: those are masterreadonly's.
 * Owner: loop. */
#ifndef META_PRIMARY_REMOTE_FENCE_H
#define META_PRIMARY_REMOTE_FENCE_H

#include "meta/primary/shard_switch.h"

#define REMOTE_FENCES_MAX 256 /* at once */

struct remote_fences;

struct remote_fences_options {
    struct loop *loop;
    struct duty_env *duty; /* may_command, credentials */
    struct dc_store *store;
    const char *address;        /* for the first line of logs; copied */
    int64_t connect_timeout_ms; /* meta.switch.connect.milli */
    int64_t fence_ms;           /* orders without a deadline */
    struct late_rewrites *late; /* as in shard_switch.h; NULL: nobody */
};
struct remote_fences *remote_fences_new(const struct remote_fences_options *);
void remote_fences_free(struct remote_fences *); /* NULL is fine; nobody is answered */
/* The callback runs once, later, with the step of the phase and its fence. XP_INVALID: an unknown phase, an address of this DC;
 * XP_TOO_MANY. */
int remote_fence_start(struct remote_fences *, int64_t cluster_id,
                       const struct switch_fence_order *, switch_answer_fn *, void *arg,
                       struct xp_err *err) XP_MUST_CHECK;

#endif
