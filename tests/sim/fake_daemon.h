/* fake_daemon.h - whole daemons, several in one process, in virtual time.
 *
 * fake_daemon_start does what daemon_main does between the command line and loop_run: configuration from the daemon's real
 * table (defaults and 'settings'), 'check', a loop of its own, 'start', signals (the real daemon_life.c). The end is that of
 * daemon_main, too: 'stop', and the loop is freed. Not here: systemd, logs, limits, SIGHUP. Thread: one. */
#ifndef TESTS_SIM_FAKE_DAEMON_H
#define TESTS_SIM_FAKE_DAEMON_H

#include "shared/net/daemon.h"

/* 'ops' is copied; its config (zeroed) and arg belong to the caller and outlive the daemon. settings: "key=value", NULL ends. NULL and *err when the
 * configuration is wrong or 'start' fails. */
struct daemon *fake_daemon_start(const struct daemon_ops *, const char *const *settings,
                                 struct xp_err *);
/* SIGTERM: drains; fake_daemon_has_ended becomes true at the end or at drain.limit.ms. */
void fake_daemon_terminate(struct daemon *);
/* The loop ended (drained, or daemon_fail): call fake_daemon_stop, as main would. */
bool fake_daemon_has_ended(const struct daemon *);
/* "" or what daemon_fail was told. */
const char *fake_daemon_failure(const struct daemon *);
/* Between steps only. Runs 'stop' and frees loop and daemon. */
void fake_daemon_stop(struct daemon *);
/* kill -9: from this moment nothing that the process sends arrives anywhere (its ZooKeeper session stays until it
 * expires), then fake_daemon_stop. */
void fake_daemon_kill(struct daemon *);

#endif
