/* keeper_report.h - tells the console which keeper is active (console-api.md 3.9.3, metaserver.md 4.4).
 *
 * PUT /api/dc/{dc}/cluster/{c}/shard/{s}/keepers/adjustment with the KeeperMeta. Only the newest state of a shard counts: a
 * report that waits is replaced. One call at a time for a shard, up to 4 under way; a failure of the connection or a status
 * >= 500 pauses all of them, 1 s doubling to 60 s, any success ends the pause. At most queue_max shards wait, then the newest is
 * dropped and counted: whoever owns a shard reports it again from time to time. A redirect or a 4xx is logged and not repeated.
 * Owner: loop. */
#ifndef META_KEEPERS_KEEPER_REPORT_H
#define META_KEEPERS_KEEPER_REPORT_H

#include "meta/keepers/keeper_elect.h"
#include "shared/net/http_client.h"

struct keeper_report;

struct keeper_report_options {
    struct loop *loop;
    const char *console_url; /* copied */
    const char *dc;          /* copied */
    int queue_max;           /* console.notifycation.task.queue.size */
    int64_t connect_timeout_ms;
    int64_t timeout_ms;
};

struct keeper_report *keeper_report_new(const struct keeper_report_options *);
void keeper_report_free(struct keeper_report *); /* NULL is fine */
void keeper_report_put(struct keeper_report *, const char *cluster, const char *shard,
                       const struct live_keeper *active);
/* Not ours any more: what waits is dropped. */
void keeper_report_drop(struct keeper_report *, const char *cluster, const char *shard);
size_t keeper_report_waiting(const struct keeper_report *);

#endif
