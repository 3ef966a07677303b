/* metrics.h - counters, gauges and histograms, printed in the Prometheus text format.
 *
 * A metric is a static struct, registered once (at first use, or at start so that it shows as 0).
 * Names follow the Prometheus conventions: prefix xpipe_, base units (seconds, bytes), counters end
 * in _total. Labels: a fixed, small set per metric; each label set is a struct metric of its own in
 * the same family. Values are atomic; reading while writing gives a value that was true a moment
 * ago. What belongs to the loop (sizes of queues, slots owned) is set as a gauge by its owner, not
 * computed by the scraper.
 * Thread: any. */
#ifndef SHARED_BASE_METRICS_H
#define SHARED_BASE_METRICS_H

#include <stdint.h>

#include "shared/base/str.h"

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

#define METRIC_BUCKETS 12

struct metric {
    const char *name;   /* "xpipe_polls_total" */
    const char *labels; /* "" or "result=\"ok\"" */
    const char *help;   /* one sentence */
    enum metric_kind kind;
    /* volatile part, zero-initialised */
    int64_t value; /* in units, or in parts of 1/scale */
    int64_t scale; /* 0 or 1: as is; 1000: milliseconds, printed as seconds */
    /* Histogram: observations up to each bound, not cumulative; the last is +Inf. */
    int64_t bucket[METRIC_BUCKETS + 1];
    int64_t sum_us;
    struct metric *next;
    int registered;
};

#define METRIC_COUNTER_INIT(n, l, h)                                                               \
    {                                                                                              \
        .name = (n), .labels = (l), .help = (h), .kind = METRIC_COUNTER                            \
    }
#define METRIC_GAUGE_INIT(n, l, h)                                                                 \
    {                                                                                              \
        .name = (n), .labels = (l), .help = (h), .kind = METRIC_GAUGE                              \
    }
#define METRIC_HISTOGRAM_INIT(n, l, h)                                                             \
    {                                                                                              \
        .name = (n), .labels = (l), .help = (h), .kind = METRIC_HISTOGRAM                          \
    }

/* More than once is fine; 'm' must live as long as the process. */
void metric_register(struct metric *m);
void metric_add(struct metric *m, int64_t delta); /* registers when needed */
void metric_set(struct metric *m, int64_t value);
/* One duration; bounds are 0.001 0.0025 0.005 0.01 0.025 0.05 0.1 0.25 0.5 1 2.5 10 seconds. */
void metric_observe_us(struct metric *m, int64_t duration_us);
int64_t metric_value(const struct metric *m);

/* Appends the whole exposition, families together and sorted by name, with process_* (cpu seconds,
 * resident bytes, open fds, threads, start time) and xpipe_build_info. */
void metrics_print(struct str *out);

#endif
