/* notifier.h - tells metaservers about changes until they have taken them (console-api.md 1.6, metaserver.md 5.5).
 *
 * The outbox of the store says what must be told; the notifier only carries it out, so that a crash loses nothing. Each
 * DC is a lane of its own: a metaserver that is down or refuses delays its own DC only, with a back-off that doubles
 * from retry_min to retry_max. A cluster that is refused (status >= 400) waits by itself, the others of the lane go on.
 * One push for each (DC, cluster): what is sent is the present state, read right before, with its version.
 *   changed         PUT    {metaserver}/api/meta/clusterchange/{cluster}   body: ClusterMeta of that DC
 *   deleted         DELETE {metaserver}/api/meta/clusterchange/{cluster}?version={idx}
 *   whole document  POST   {metaserver}/api/meta/v2/refresh                best effort: x-pipe's Java has no such call
 * Not here: who must be told (console/catalog writes the outbox). A lane without a configured metaserver keeps its rows.
 * Bounded: 'pushes_max' calls at a time in all, a fair part of them for each lane, one for a lane that fails.
 * Thread: loop, but notifier_wake: any. */
#ifndef CONSOLE_NOTIFY_NOTIFIER_H
#define CONSOLE_NOTIFY_NOTIFIER_H

#include "console/catalog/catalog.h"
#include "shared/net/http_client.h"
#include "shared/net/loop.h"
#include "shared/net/worker.h"

struct notifier;

struct notifier_options {
    struct loop *loop;
    struct worker_pool *pool;   /* for the database and for building bodies */
    struct http_client *client; /* its pool bounds the calls too */
    struct catalog *catalog;    /* borrowed */
    int pushes_max;
};

struct notifier_settings { /* may change at run time */
    /* JSON {"dc":"http://host:port"}; DC names in any case, inner or outer */
    const char *metaservers;
    unsigned types; /* TYPE_BITs that are pushed; 0: all */
    int64_t poll_ms;
    int64_t connect_timeout_ms;
    int64_t timeout_ms;
    int64_t retry_min_ms;
    int64_t retry_max_ms;
};

/* Starts with the first timer; borrows the options' objects for its life. */
struct notifier *notifier_new(const struct notifier_options *);
/* Copies. XP_INVALID: metaservers is not an object of texts. Other types than before: every DC fetches its document at once. */
int notifier_configure(struct notifier *, const struct notifier_settings *,
                       struct xp_err *) XP_MUST_CHECK;
/* Starts nothing more; notifier_is_idle is true when nothing is under way. For a drain. */
void notifier_stop(struct notifier *);
bool notifier_is_idle(const struct notifier *);
/* NULL, or why the outbox could not be read at the last look. */
const char *notifier_problem(const struct notifier *);
/* After loop, pool and client ended. NULL is fine. */
void notifier_free(struct notifier *);

/* The outbox has grown: look now. Any thread; cheap, coalesced. */
void notifier_wake(struct notifier *);

#endif
