/* daemon.h - what the main() of both daemons shares: command line, configuration, signals, systemd, common routes.
 *
 * daemon_main() parses the command line, loads the configuration, opens the log, checks the limits, makes the loop,
 * calls 'start', runs the loop, and after it ended 'stop'. It knows nothing of what the daemon does.
 *
 *   --config FILE   --set key=value (repeated)   --check-config   --print-config   --print-routes   --version   --help
 *
 * Signals: the first SIGTERM or SIGINT drains (at most [common] drain.limit.ms), the second one stops at once; SIGHUP
 * reads the configuration again (reloadable keys; --set keeps winning) and reopens the log. SIGPIPE and SIGXFSZ are ignored.
 * systemd (Type=notify): READY=1 as soon as the loop runs, STATUS= with what the daemon waits for, RELOADING=1,
 * STOPPING=1, and WATCHDOG=1 from a loop timer, so that a stuck loop is noticed.
 * Thread: main until daemon_main calls loop_run; after that as each function says. */
#ifndef SHARED_NET_DAEMON_H
#define SHARED_NET_DAEMON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/config.h"
#include "shared/base/err.h"
#include "shared/net/http_server.h"
#include "shared/net/loop.h"

enum daemon_exit {
    DAEMON_EXIT_OK = 0,     /* stopped when asked to */
    DAEMON_EXIT_FAILED = 1, /* could not start, or daemon_fail was called */
    /* the command line or the configuration is wrong; restarting will not help */
    DAEMON_EXIT_CONFIG = 2,
};

/* The [common] section. Embed it in the daemon's configuration struct and begin its table with
 * DAEMON_CONFIG_ROWS(struct meta_config, common). */
struct daemon_config {
    char *log_level;
    char *log_file;
    int64_t drain_limit_ms;
    int64_t open_files_min_count; /* 0: what 'files_needed' says */
    int64_t http_idle_timeout_ms; /* this and the next two: for http_options */
    int64_t http_body_timeout_ms;
    int64_t http_bodies_max_bytes;
};
int daemon_check_log_level(const char *text, struct xp_err *err);

/* clang-format off */
#define DAEMON_CONFIG_ROWS(type, member)                                                                             \
    { "common", "log.level", CFG_TEXT, offsetof(type, member.log_level), "info", 4, 5, "", true,                     \
      "Least severe lines that are logged: debug, info, warn or error", daemon_check_log_level },                    \
    { "common", "log.file", CFG_TEXT, offsetof(type, member.log_file), "", 0, 4096, "", true,                        \
      "Log file, reopened on SIGHUP; empty writes to standard error", NULL },                                        \
    { "common", "drain.limit.ms", CFG_INT, offsetof(type, member.drain_limit_ms), "10000", 0, 600000, "ms", true,    \
      "How long SIGTERM lets running requests and work finish before the process stops anyway", NULL },              \
    { "common", "open.files.min", CFG_INT, offsetof(type, member.open_files_min_count), "0", 0, 1048576, "count",    \
      false, "Refuse to start with fewer open files allowed (RLIMIT_NOFILE); 0 lets the daemon compute it", NULL },  \
    { "common", "http.idle.timeout.ms", CFG_INT, offsetof(type, member.http_idle_timeout_ms), "30000", 100, 3600000, \
      "ms", false, "A connection that has not sent a whole header after this time is closed", NULL },                \
    { "common", "http.body.timeout.ms", CFG_INT, offsetof(type, member.http_body_timeout_ms), "15000", 100, 3600000, \
      "ms", false, "A connection that has not sent the whole body after this time is closed", NULL },                \
    { "common", "http.bodies.max.bytes", CFG_INT, offsetof(type, member.http_bodies_max_bytes), "134217728",         \
      1048576, 17179869184, "bytes", false,                                                                          \
      "All bodies of requests that are received or worked on together; more are answered 503", NULL }
/* clang-format on */

struct daemon; /* opaque; lives from before 'start' to after 'stop' */

struct daemon_ops {
    const char *name;    /* "xpipe-meta" */
    const char *summary; /* one line for --help */
    const struct config_row *rows;
    void *config;                       /* the daemon's struct, zeroed; filled before 'start' */
    const struct daemon_config *common; /* its member inside 'config' */
    /* NULL-terminated array of tables, for --print-routes */
    const struct http_route *const *routes;
    void *arg; /* for the callbacks below */
    /* Relations between keys, after each load; NULL: none. A failed check is exit code 2, or a refused SIGHUP. */
    int (*check)(const void *config, struct xp_err *err);
    /* Descriptors needed (connections and files); NULL: 1,024. */
    int64_t (*files_needed)(const void *config);
    /* Main thread, loop not running yet: create everything, start listening. Must not wait for other servers. */
    int (*start)(struct daemon *, void *arg, struct xp_err *err);
    /* Loop. True when the daemon does its duty; else append texts ("ZooKeeper: not connected") to 'reasons'. Asked about
     * once a second and by GET /ready; NULL: ready when started. */
    bool (*is_ready)(void *arg, json_t *reasons);
    /* Loop, after a successful SIGHUP: apply the changed keys. NULL: nothing. Owned texts of 'config' may have been
     * replaced, so other threads never keep pointers to reloadable texts. */
    void (*reloaded)(void *arg);
    /* Loop: begin to finish; call daemon_drained when done. NULL: nothing to drain. */
    void (*drain)(void *arg);
    /* Main thread, loop ended: stop threads, close, free. Also called after a failed start: accepts half-built. */
    void (*stop)(void *arg);
};

/* Everything; returns the exit code for main. */
int daemon_main(const struct daemon_ops *, int argc, char **argv);

struct loop *daemon_loop(struct daemon *); /* any thread */
/* any thread; true from the first SIGTERM on */
bool daemon_is_draining(const struct daemon *);
void daemon_drained(struct daemon *); /* loop: ends the loop */
/* The reasons why the daemon is not ready, as a new array; sets *ret_ready. Loop. */
json_t *daemon_reasons(struct daemon *, bool *ret_ready);
/* Loop: ends the loop with exit code 1 and logs the error: for what cannot be repaired in the running process. */
void daemon_fail(struct daemon *, const struct xp_err *err);

/* GET /ready ({"ready","reasons"[]}, 200 or 503), GET /metrics, GET /config (secrets masked), and POST /debug/fault in
 * builds with fault points ({"points":"db_commit=error@2"}). Put the table into http_options.tables (a worker pool is
 * needed for /metrics). http_options.arg must point to a struct whose FIRST member is 'struct daemon *'. */
extern const struct http_route daemon_routes[];

#endif
