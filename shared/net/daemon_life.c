/* daemon_life.c - a daemon from its configuration to its end, see daemon.h; all but the command line, so that the simulation
 * runs it as it is (tests/sim/fake_daemon.h). */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/net/daemon_internal.h"

#include "shared/base/banned.h"

#define TICK_MS 1000

struct loop *daemon_loop(struct daemon *d)
{
    return d->loop;
}

bool daemon_is_draining(const struct daemon *d)
{
    return __atomic_load_n(&d->draining, __ATOMIC_ACQUIRE) != 0;
}

/* ---- configuration and log ---- */

int daemon_load_config(const struct daemon *d, struct config *into, struct xp_err *err)
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
    int rc = daemon_load_config(d, &config, err);
    config_done(&config);
    return rc;
}

int daemon_apply_log(const struct daemon *d, struct xp_err *err)
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
    d->failure = *err;
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
        rc = daemon_apply_log(d, &err);
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

/* ---- begin and end ---- */

int daemon_begin(struct daemon *d, struct xp_err *err)
{
    d->loop = loop_new();
    loop_timer_init(&d->tick, d->loop, tick_fire);
    loop_timer_init(&d->drain_limit, d->loop, drain_limit_fire);
    int rc = d->ops->start(d, d->ops->arg, err);
    if (rc < 0) {
        return rc;
    }
    loop_signals_watch(d->loop, on_signal, d);
    start_ticking(d);
    return 0;
}

void daemon_end(struct daemon *d)
{
    loop_timer_stop(&d->tick);
    loop_timer_stop(&d->drain_limit);
    d->ops->stop(d->ops->arg);
    loop_free(TAKE(d->loop));
}
