/* log.h - one line per event: time, level, thread, event name, then key=value.
 *
 *   2026-11-22T01:02:03.456Z warn loop peer.mismatch cluster=c1 shard=s1 gid=2 rule=P20
 *
 * The event name is stable ("module.event"), the rest is for people and grep. Values are quoted
 * when they hold blanks, quotes, '=' or control characters (escaped), and cut at 1,000 bytes. A
 * state change is one info line; steady state is silent. Each call site has a token bucket
 * (LOG_BURST lines, then one a second); the next line that passes says how many were dropped
 * ("dropped=N"). Counters xpipe_log_lines_total{level}. Passwords never reach the log: callers mask
 * AUTH, requirepass, masterauth.
 * Output: standard error, or a file given by the configuration
 * (reopened by log_reopen, SIGHUP).
 * Thread: any. */
#ifndef SHARED_BASE_LOG_H
#define SHARED_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_LEVELS };

#define LOG_BURST 20

struct log_site { /* one per call site, zero-initialised */
    int64_t tokens_milli;
    int64_t last_ms;
    int64_t dropped;
};

void log_set_level(enum log_level level);                              /* default LOG_INFO */
bool log_level_from_text(const char *text, enum log_level *ret_level); /* debug info warn error */
/* NULL or "" is standard error. Returns false and keeps the old output when the file cannot be
 * opened. */
bool log_open(const char *path);
bool log_reopen(void);
int64_t log_lines_total(enum log_level level);

/* A number or a formatted text as a value, in a small ring of this thread: good until 16 more are
 * made. */
const char *log_int(int64_t value);
const char *log_fmt(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Use the macros. Arguments after the event are pairs of texts, key first; a NULL value prints as
 * "-". */
void log_write(struct log_site *site, enum log_level level, const char *event, ...)
    __attribute__((sentinel));

#define LOG_AT_(level, ...)                                                                        \
    do {                                                                                           \
        static struct log_site site_;                                                              \
        /* Two ends: a key without its value must not make the reader run past the arguments. */   \
        log_write(&site_, level, __VA_ARGS__, (char *)0, (char *)0);                               \
    } while (0)
#define log_debug(...) LOG_AT_(LOG_DEBUG, __VA_ARGS__)
#define log_info(...)  LOG_AT_(LOG_INFO, __VA_ARGS__)
#define log_warn(...)  LOG_AT_(LOG_WARN, __VA_ARGS__)
#define log_error(...) LOG_AT_(LOG_ERROR, __VA_ARGS__)

#endif
