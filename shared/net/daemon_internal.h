/* daemon_internal.h - struct daemon, shared by daemon.c (command line, main), daemon_life.c and daemon_routes.c (HTTP), and the
 * simulated twin of the first. For nobody else.
 * Thread: see the fields. */
#ifndef SHARED_NET_DAEMON_INTERNAL_H
#define SHARED_NET_DAEMON_INTERNAL_H

#include "shared/net/daemon.h"

#define DAEMON_SET_MAX 64

enum daemon_mode {
    DAEMON_RUN,
    DAEMON_CHECK_CONFIG,
    DAEMON_PRINT_CONFIG,
    DAEMON_PRINT_ROUTES,
    DAEMON_VERSION,
    DAEMON_HELP,
};

struct daemon_args {
    enum daemon_mode mode;
    const char *config_path; /* NULL: defaults and --set only */
    const char *sets[DAEMON_SET_MAX];
    size_t set_count;
};

struct daemon {
    const struct daemon_ops *ops;
    struct daemon_args args;
    struct config config;
    struct loop *loop;
    /* owner: loop */
    struct loop_timer tick;
    struct loop_timer drain_limit;
    int64_t watchdog_ms; /* interval of WATCHDOG=1; 0: systemd did not ask */
    mono_ms watchdog_sent;
    char status[200];      /* last STATUS= text */
    struct xp_err failure; /* what daemon_fail was told; code 0: nothing */
    /* any thread, atomic */
    int draining;
    int exit_code;
};

/* From the file and the --set texts of 'args', checked. */
int daemon_load_config(const struct daemon *, struct config *into, struct xp_err *) XP_MUST_CHECK;
int daemon_apply_log(const struct daemon *, struct xp_err *) XP_MUST_CHECK;
/* Makes the loop, calls 'start', watches signals: then loop_run. Also after a failure: daemon_end. */
int daemon_begin(struct daemon *, struct xp_err *) XP_MUST_CHECK;
/* After loop_run: calls 'stop', frees the loop. */
void daemon_end(struct daemon *);

#endif
