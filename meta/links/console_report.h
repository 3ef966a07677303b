/* console_report.h - tells the console something by one request for each key, until it is taken: which keeper is active (keeper_report.h), what a
 * returned master has beyond the new one (meta/primary).
 *
 * Only the newest news of a key count: those that wait are replaced. One call at a time for a key, up to 4 under way; a failure of the connection or a
 * status of 401, 403, 429 or >= 500 pauses all of them, 1 s doubling to 60 s, any success ends the pause. At most queue_max keys wait, then the newest is
 * dropped and counted: its owner comes again. A redirect or another 4xx is logged and not repeated. Owner: loop. */
#ifndef META_LINKS_CONSOLE_REPORT_H
#define META_LINKS_CONSOLE_REPORT_H

#include "shared/base/metrics.h"
#include "shared/net/http_client.h"

struct console_report;

struct report_metrics { /* static; counters by how a report ended, and a gauge */
    struct metric ok;
    struct metric failed;
    struct metric refused;
    struct metric dropped;
    struct metric waiting;
};
/* Of "xpipe_x_reports": xpipe_x_reports_total and xpipe_x_reports_waiting. 'of': what is reported, for people. */
#define REPORT_COUNTER_INIT(family, of, result)                                                    \
    METRIC_COUNTER_INIT(family "_total", "result=\"" result "\"",                                  \
                        "Reports of " of " to the console, by how they ended.")
#define REPORT_METRICS_INIT(family, of)                                                            \
    {                                                                                              \
        .ok = REPORT_COUNTER_INIT(family, of, "ok"),                                               \
        .failed = REPORT_COUNTER_INIT(family, of, "failed"),                                       \
        .refused = REPORT_COUNTER_INIT(family, of, "refused"),                                     \
        .dropped = REPORT_COUNTER_INIT(family, of, "dropped"),                                     \
        .waiting = METRIC_GAUGE_INIT(family "_waiting", "",                                        \
                                     "Reports of " of " that wait for the console."),              \
    }
struct console_report_options {
    struct loop *loop;
    const char *console_url; /* copied */
    const char *subject;     /* for the log: "keepers"; static */
    struct report_metrics *metrics;
    int queue_max; /* console.notifycation.task.queue.size */
    int64_t connect_timeout_ms;
    int64_t timeout_ms;
};
struct console_report *console_report_new(const struct console_report_options *);
/* NULL is fine; what waits ends with XP_UNAVAILABLE */
void console_report_free(struct console_report *);

/* The end: 0 it was taken; XP_REMOTE, XP_INVALID: refused for good; XP_TOO_MANY: no room; XP_UNAVAILABLE: closing. */
typedef void console_report_fn(int rc, void *arg);
struct console_news {
    const char *key;    /* copied */
    const char *method; /* static */
    const char *target; /* path and query, encoded; copied */
    char *take_body;    /* JSON */
    /* Once, on the loop, perhaps inside the call; not for what newer news replaced, nor after a drop. NULL: nobody cares. */
    console_report_fn *on_end;
    void *arg;
};
void console_report_put(struct console_report *, const struct console_news *);
bool console_report_has(const struct console_report *, const char *key);
/* Not ours any more: what waits is dropped. */
void console_report_drop(struct console_report *, const char *key);
size_t console_report_waiting(const struct console_report *);

#endif
