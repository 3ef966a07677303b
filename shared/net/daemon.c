/* daemon.c - see daemon.h. Order of a start: command line, configuration, log, limits, signals, loop, 'start', loop_run,
 * 'stop'. Everything before the log is open goes to standard error as plain text: it is read by a person. */
#include "shared/net/daemon.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>

#include "shared/base/clock.h"
#include "shared/base/fault.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/net/daemon_internal.h"
#include "shared/base/banned.h"

#define TICK_MS       1000
#define FILES_DEFAULT 1024

int daemon_check_log_level(const char *text, struct xp_err *err)
{
    enum log_level level;
    if (!log_level_from_text(text, &level)) {
        return xp_fail(err, XP_INVALID, "'%s' is not one of debug, info, warn, error", text);
    }
    return 0;
}

struct loop *daemon_loop(struct daemon *d)
{
    return d->loop;
}

bool daemon_is_draining(const struct daemon *d)
{
    return __atomic_load_n(&d->draining, __ATOMIC_ACQUIRE) != 0;
}

/* ---- command line ---- */

static void print_help(const struct daemon_ops *ops)
{
    printf(
        "%s %s - %s\n\n"
        "usage: %s [--config FILE] [--set KEY=VALUE]...\n\n"
        "  --config FILE     read this file ([common] and the daemon's own section); without it, "
        "defaults\n"
        "  --set KEY=VALUE   override one key; may be repeated, at most %d times\n"
        "  --check-config    check the configuration and exit (0: good, 2: bad)\n"
        "  --print-config    print every key with its default, unit, range and meaning\n"
        "  --print-routes    print the HTTP routes\n"
        "  --version         print the version\n"
        "  --help            print this text\n\n"
        "signals: SIGTERM drains and stops (twice: at once), SIGHUP reads the configuration again\n"
        "exit codes: 0 stopped, 1 failed, 2 bad command line or configuration\n",
        ops->name, XP_VERSION, ops->summary, ops->name, DAEMON_SET_MAX);
}

static const struct option long_options[] = {
    { "config", required_argument, NULL, 'c' }, { "set", required_argument, NULL, 's' },
    { "check-config", no_argument, NULL, 'k' }, { "print-config", no_argument, NULL, 'p' },
    { "print-routes", no_argument, NULL, 'r' }, { "version", no_argument, NULL, 'v' },
    { "help", no_argument, NULL, 'h' },         { NULL, 0, NULL, 0 },
};

static int apply_option(int option, struct daemon_args *args, struct xp_err *err)
{
    switch (option) {
    case 'c':
        args->config_path = optarg;
        return 0;
    case 's':
        if (args->set_count == DAEMON_SET_MAX) {
            return xp_fail(err, XP_INVALID, "more than %d --set options", DAEMON_SET_MAX);
        }
        args->sets[args->set_count++] = optarg;
        return 0;
    case 'k':
        args->mode = DAEMON_CHECK_CONFIG;
        return 0;
    case 'p':
        args->mode = DAEMON_PRINT_CONFIG;
        return 0;
    case 'r':
        args->mode = DAEMON_PRINT_ROUTES;
        return 0;
    case 'v':
        args->mode = DAEMON_VERSION;
        return 0;
    case 'h':
        args->mode = DAEMON_HELP;
        return 0;
    default:
        return xp_fail(err, XP_INTERNAL, "option %d is in the table and not handled", option);
    }
}

static int parse_args(int argc, char **argv, struct daemon_args *args, struct xp_err *err)
{
    optind = 0; /* glibc: start over, for tests that parse more than once */
    opterr = 0;
    for (;;) {
        int option = getopt_long(argc, argv, "", long_options, NULL);
        if (option == -1) {
            break;
        }
        if (option == '?') {
            return xp_fail(err, XP_INVALID,
                           "option '%s' is unknown or lacks its value; --help lists all",
                           argv[optind - 1]);
        }
        if (apply_option(option, args, err) < 0) {
            return err->code;
        }
    }
    if (optind < argc) {
        return xp_fail(err, XP_INVALID, "unexpected argument '%s'; --help lists all options",
                       argv[optind]);
    }
    return 0;
}

/* ---- configuration and log ---- */

static int load_config(const struct daemon *d, struct config *into, struct xp_err *err)
{
    if (d->args.config_path && config_load(into, d->args.config_path, err) < 0) {
        return err->code;
    }
    for (size_t i = 0; i < d->args.set_count; i++) {
        if (config_set(into, d->args.sets[i], err) < 0) {
            return xp_wrap(err, "--set %s", d->args.sets[i]);
        }
    }
    return d->ops->check ? d->ops->check(into->target, err) : 0;
}

/* The size of the daemon's struct as far as its rows reach; no field is larger than 8 bytes. */
static size_t config_bytes(const struct config_row *rows)
{
    size_t bytes = 0;
    for (const struct config_row *row = rows; row->name; row++) {
        bytes = row->offset + sizeof(int64_t) > bytes ? row->offset + sizeof(int64_t) : bytes;
    }
    return bytes;
}

/* Loads into a struct of its own, so that a file that is refused changes nothing. */
static int try_config(const struct daemon *d, struct xp_err *err)
{
    void *scratch AUTO_FREE = xcalloc(1, config_bytes(d->ops->rows));
    struct config config;
    config_init(&config, d->ops->rows, scratch);
    int rc = load_config(d, &config, err);
    config_done(&config);
    return rc;
}

static int apply_log_config(const struct daemon *d, struct xp_err *err)
{
    enum log_level level = LOG_INFO;
    if (log_level_from_text(d->ops->common->log_level, &level)) {
        log_set_level(level);
    }
    if (!log_open(d->ops->common->log_file)) {
        return xp_fail(err, XP_IO, "log.file '%s' cannot be opened: %s", d->ops->common->log_file,
                       strerror(errno));
    }
    return 0;
}

static bool set_is_reloadable(const struct daemon *d, const char *assignment)
{
    size_t length = strcspn(assignment, "=");
    for (const struct config_row *row = d->ops->rows; row->name; row++) {
        if (strlen(row->name) == length && memcmp(row->name, assignment, length) == 0) {
            return row->reloadable;
        }
    }
    return false;
}

static void report_change(const char *key, bool applied, void *arg)
{
    (void)arg;
    log_info("config.changed", "key", key, "applied", applied ? "yes" : "no, needs a restart");
}

static int reload_config(struct daemon *d, struct xp_err *err)
{
    if (!d->args.config_path) {
        return 0;
    }
    if (try_config(d, err) < 0 ||
        config_reload(&d->config, d->args.config_path, report_change, NULL, err) < 0) {
        return err->code;
    }
    for (size_t i = 0; i < d->args.set_count; i++) {
        if (set_is_reloadable(d, d->args.sets[i]) &&
            config_set(&d->config, d->args.sets[i], err) < 0) {
            return err->code;
        }
    }
    return 0;
}

static int raise_file_limit(const struct daemon *d, struct xp_err *err)
{
    int64_t needed = d->ops->files_needed ? d->ops->files_needed(d->ops->config) : FILES_DEFAULT;
    if (d->ops->common->open_files_min_count > 0) {
        needed = d->ops->common->open_files_min_count;
    }
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return xp_fail(err, XP_INTERNAL, "getrlimit(RLIMIT_NOFILE): %s", strerror(errno));
    }
    if (limit.rlim_max != RLIM_INFINITY && limit.rlim_max < (rlim_t)needed) {
        return xp_fail(err, XP_UNAVAILABLE,
                       "%lld open files are needed and %llu are allowed: raise LimitNOFILE "
                       "(systemd) or ulimit -n",
                       (long long)needed, (unsigned long long)limit.rlim_max);
    }
    if (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= (rlim_t)needed) {
        return 0;
    }
    limit.rlim_cur = limit.rlim_max == RLIM_INFINITY ? (rlim_t)needed : limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return xp_fail(err, XP_INTERNAL, "setrlimit(RLIMIT_NOFILE): %s", strerror(errno));
    }
    return 0;
}

/* ---- state shown to systemd ---- */

json_t *daemon_reasons(struct daemon *d, bool *ret_ready)
{
    json_t *reasons = json_array();
    bool ready = d->ops->is_ready ? d->ops->is_ready(d->ops->arg, reasons) : true;
    if (daemon_is_draining(d)) {
        ready = false;
        json_array_append_new(reasons, json_string("shutting down"));
    }
    *ret_ready = ready;
    return reasons;
}

static void show_status(struct daemon *d, const char *text)
{
    if (strcmp(d->status, text) == 0) {
        return;
    }
    (void)snprintf(d->status, sizeof(d->status), "%.*s", (int)sizeof(d->status) - 1, text);
    sd_notifyf(0, "STATUS=%s", d->status);
    log_info("daemon.status", "status", d->status);
}

static void update_status(struct daemon *d)
{
    bool ready;
    json_t *reasons = daemon_reasons(d, &ready);
    const char *first = json_string_value(json_array_get(reasons, 0));
    if (ready) {
        show_status(d, "ready");
    } else {
        show_status(d, log_fmt("not ready: %s", first ? first : "starting"));
    }
    json_decref(reasons);
}

static void tick_fire(struct loop_timer *t)
{
    struct daemon *d = CONTAINER_OF(t, struct daemon, tick);
    mono_ms now = loop_now(d->loop);
    if (d->watchdog_ms > 0 && mono_age(now, d->watchdog_sent) >= d->watchdog_ms) {
        sd_notify(0, "WATCHDOG=1");
        d->watchdog_sent = now;
    }
    if (!daemon_is_draining(d)) {
        update_status(d);
    }
    loop_timer_start(t, d->watchdog_ms > 0 && d->watchdog_ms < TICK_MS ? d->watchdog_ms : TICK_MS);
}

static void start_ticking(struct daemon *d)
{
    uint64_t watchdog_us = 0;
    if (sd_watchdog_enabled(0, &watchdog_us) > 0) {
        d->watchdog_ms = (int64_t)(watchdog_us / 3000); /* three chances before systemd acts */
    }
    d->watchdog_sent = MONO_NEVER;
    loop_timer_init(&d->tick, d->loop, tick_fire);
    loop_timer_start(&d->tick, 0);
}

/* ---- signals ---- */

static void set_exit(struct daemon *d, int code)
{
    __atomic_store_n(&d->exit_code, code, __ATOMIC_RELEASE);
    loop_stop(d->loop);
}

void daemon_drained(struct daemon *d)
{
    loop_stop(d->loop);
}

void daemon_fail(struct daemon *d, const struct xp_err *err)
{
    log_error("daemon.failed", "why", err->msg);
    set_exit(d, DAEMON_EXIT_FAILED);
}

static void drain_limit_fire(struct loop_timer *t)
{
    struct daemon *d = CONTAINER_OF(t, struct daemon, drain_limit);
    log_warn("daemon.drain_limit", "after_ms", log_int(d->ops->common->drain_limit_ms));
    loop_stop(d->loop);
}

static void on_stop_signal(struct daemon *d, int signo)
{
    if (__atomic_exchange_n(&d->draining, 1, __ATOMIC_ACQ_REL) != 0) {
        log_warn("daemon.stop_now", "signal", log_int(signo));
        loop_stop(d->loop);
        return;
    }
    sd_notify(0, "STOPPING=1\nSTATUS=draining");
    log_info("daemon.draining", "signal", log_int(signo));
    loop_timer_start(&d->drain_limit, d->ops->common->drain_limit_ms);
    if (d->ops->drain) {
        d->ops->drain(d->ops->arg);
    } else {
        daemon_drained(d);
    }
}

static void on_reload_signal(struct daemon *d)
{
    struct xp_err err = { 0 };
    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%lld", (long long)clock_mono_us());
    int rc = reload_config(d, &err);
    if (rc == 0) {
        rc = apply_log_config(d, &err);
    }
    if (!log_reopen()) {
        log_warn("log.reopen_failed", "file", d->ops->common->log_file);
    }
    if (rc < 0) {
        log_error("config.reload_failed", "why", err.msg);
    } else {
        if (d->ops->reloaded) {
            d->ops->reloaded(d->ops->arg);
        }
        log_info("config.reloaded", "file", d->args.config_path);
    }
    sd_notify(0, "READY=1");
}

static void on_signal(int signo, void *arg)
{
    struct daemon *d = arg;
    if (signo == SIGTERM || signo == SIGINT) {
        on_stop_signal(d, signo);
    } else if (signo == SIGHUP && !daemon_is_draining(d)) {
        on_reload_signal(d);
    }
}

/* ---- life ---- */

static int run(struct daemon *d)
{
    struct xp_err err = { 0 };
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN); /* a file at its limit is an error of the write, not the end */
    loop_signals_block();
    d->loop = loop_new();
    loop_timer_init(&d->drain_limit, d->loop, drain_limit_fire);
    log_info("daemon.starting", "name", d->ops->name, "version", XP_VERSION);
    if (d->ops->start(d, d->ops->arg, &err) < 0) {
        log_error("daemon.start_failed", "why", err.msg);
        d->exit_code = DAEMON_EXIT_FAILED;
    } else {
        loop_signals_watch(d->loop, on_signal, d);
        start_ticking(d);
        sd_notify(0, "READY=1");
        log_info("daemon.started", "name", d->ops->name);
        loop_run(d->loop);
        loop_timer_stop(&d->tick);
        loop_timer_stop(&d->drain_limit);
    }
    d->ops->stop(d->ops->arg);
    loop_free(d->loop);
    log_info("daemon.stopped", "exit", log_int(d->exit_code));
    return d->exit_code;
}

static int prepare_and_run(struct daemon *d)
{
    struct xp_err err = { 0 };
    if (load_config(d, &d->config, &err) < 0) {
        (void)fprintf(stderr, "%s: %s\n", d->ops->name, err.msg);
        return DAEMON_EXIT_CONFIG;
    }
    if (d->args.mode == DAEMON_CHECK_CONFIG) {
        printf("%s: configuration is good\n",
               d->args.config_path ? d->args.config_path : "defaults");
        return DAEMON_EXIT_OK;
    }
    const char *faults = getenv("XPIPE_FAULTS");
    if (fault_configure(faults ? faults : "", &err) < 0) {
        (void)fprintf(stderr, "%s: XPIPE_FAULTS: %s\n", d->ops->name, err.msg);
        return DAEMON_EXIT_CONFIG;
    }
    if (apply_log_config(d, &err) < 0 || raise_file_limit(d, &err) < 0) {
        (void)fprintf(stderr, "%s: %s\n", d->ops->name, err.msg);
        return DAEMON_EXIT_FAILED;
    }
    return run(d);
}

static void print_routes(const struct daemon_ops *ops)
{
    struct str text AUTO_STR = STR_INIT(4 * 1024 * 1024);
    http_routes_print(ops->routes, &text);
    (void)fputs(str_text(&text), stdout);
}

static int run_mode(struct daemon *d)
{
    switch (d->args.mode) {
    case DAEMON_HELP:
        print_help(d->ops);
        return DAEMON_EXIT_OK;
    case DAEMON_VERSION:
        printf("%s %s\n", d->ops->name, XP_VERSION);
        return DAEMON_EXIT_OK;
    case DAEMON_PRINT_CONFIG:
        config_print_ini(d->ops->rows, stdout);
        return DAEMON_EXIT_OK;
    case DAEMON_PRINT_ROUTES:
        print_routes(d->ops);
        return DAEMON_EXIT_OK;
    case DAEMON_CHECK_CONFIG:
    case DAEMON_RUN:
        break;
    }
    return prepare_and_run(d);
}

int daemon_main(const struct daemon_ops *ops, int argc, char **argv)
{
    struct daemon d = { .ops = ops };
    struct xp_err err = { 0 };
    if (parse_args(argc, argv, &d.args, &err) < 0) {
        (void)fprintf(stderr, "%s: %s\n", ops->name, err.msg);
        return DAEMON_EXIT_CONFIG;
    }
    config_init(&d.config, ops->rows, ops->config);
    int code = run_mode(&d);
    config_done(&d.config);
    return code;
}
