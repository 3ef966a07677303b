/* keeper_report.h - tells the console which keeper is active (console-api.md 3.9.3, metaserver.md 4.4).
 *
 * PUT /api/dc/{dc}/cluster/{c}/shard/{s}/keepers/adjustment with the KeeperMeta, by console_report (pauses, limits). Whoever owns a shard
 * reports it again from time to time. Owner: loop. */
#ifndef META_KEEPERS_KEEPER_REPORT_H
#define META_KEEPERS_KEEPER_REPORT_H

#include "meta/keepers/keeper_elect.h"
#include "meta/links/console_report.h"

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
