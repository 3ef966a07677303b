/* daemon_internal.h - struct daemon, shared by daemon.c (life) and daemon_routes.c (HTTP). For nobody else.
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
    char status[200]; /* last STATUS= text */
    /* any thread, atomic */
    int draining;
    int exit_code;
};

#endif
