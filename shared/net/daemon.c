/* daemon.c - see daemon.h: the command line and main. Order of a start: command line, configuration, log, limits, signals,
 * daemon_begin, loop_run, daemon_end (daemon_life.c). Everything before the log is open goes to standard error as plain
 * text: it is read by a person. */
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

#define FILES_DEFAULT 1024

int daemon_check_log_level(const char *text, struct xp_err *err)
{
    enum log_level level;
    if (!log_level_from_text(text, &level)) {
        return xp_fail(err, XP_INVALID, "'%s' is not one of debug, info, warn, error", text);
    }
    return 0;
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

/* ---- life ---- */

static int run(struct daemon *d)
{
    struct xp_err err = { 0 };
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN); /* a file at its limit is an error of the write, not the end */
    loop_signals_block();
    log_info("daemon.starting", "name", d->ops->name, "version", XP_VERSION);
    if (daemon_begin(d, &err) < 0) {
        log_error("daemon.start_failed", "why", err.msg);
        d->exit_code = DAEMON_EXIT_FAILED;
    } else {
        sd_notify(0, "READY=1");
        log_info("daemon.started", "name", d->ops->name);
        loop_run(d->loop);
    }
    daemon_end(d);
    log_info("daemon.stopped", "exit", log_int(d->exit_code));
    return d->exit_code;
}

static int prepare_and_run(struct daemon *d)
{
    struct xp_err err = { 0 };
    if (daemon_load_config(d, &d->config, &err) < 0) {
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
    if (daemon_apply_log(d, &err) < 0 || raise_file_limit(d, &err) < 0) {
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
    mem_return_early();
    if (parse_args(argc, argv, &d.args, &err) < 0) {
        (void)fprintf(stderr, "%s: %s\n", ops->name, err.msg);
        return DAEMON_EXIT_CONFIG;
    }
    config_init(&d.config, ops->rows, ops->config);
    int code = run_mode(&d);
    config_done(&d.config);
    return code;
}
