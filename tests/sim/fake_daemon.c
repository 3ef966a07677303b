/* fake_daemon.c - see fake_daemon.h. The daemon's life is the real one (daemon_life.c); here is only what main does. */
#include "tests/sim/fake_daemon.h"

#include <signal.h>

#include "shared/base/mem.h"
#include "shared/net/daemon_internal.h"
#include "tests/sim/fake_loop.h"

#include "shared/base/banned.h"

struct process {
    struct daemon daemon;
    struct daemon_ops ops;
};

static void process_free(struct daemon *d)
{
    config_done(&d->config);
    free(CONTAINER_OF(d, struct process, daemon));
}

static int load(struct daemon *d, const char *const *settings, struct xp_err *err)
{
    for (size_t i = 0; settings && settings[i]; i++) {
        xp_check(i < DAEMON_SET_MAX);
        d->args.sets[d->args.set_count++] = settings[i];
    }
    int rc = daemon_load_config(d, &d->config, err);
    d->args.set_count = 0; /* borrowed until here */
    return rc;
}

struct daemon *fake_daemon_start(const struct daemon_ops *ops, const char *const *settings,
                                 struct xp_err *err)
{
    struct process *p = xcalloc(1, sizeof(*p));
    struct daemon *d = &p->daemon;
    p->ops = *ops;
    d->ops = &p->ops;
    config_init(&d->config, ops->rows, ops->config);
    int rc = load(d, settings, err);
    if (rc == 0) {
        rc = daemon_begin(d, err);
        if (rc != 0) {
            daemon_end(d);
        }
    }
    if (rc != 0) {
        process_free(d);
        return NULL;
    }
    return d;
}

void fake_daemon_terminate(struct daemon *d)
{
    (void)fake_loop_signal(d->loop, SIGTERM);
}

bool fake_daemon_has_ended(const struct daemon *d)
{
    return fake_loop_is_stopping(d->loop);
}

const char *fake_daemon_failure(const struct daemon *d)
{
    return d->failure.code ? d->failure.msg : "";
}

void fake_daemon_stop(struct daemon *d)
{
    daemon_end(d);
    process_free(d);
}

void fake_daemon_kill(struct daemon *d)
{
    fake_loop_crash(d->loop);
    fake_daemon_stop(d);
}
