/* fake_tree_services.c - see fake_tree_services.h. */
#include "tests/sim/fake_tree_services.h"

#include <stdio.h>

#include "shared/base/list.h"
#include "shared/base/mem.h"

#include "shared/base/banned.h"

#define CHILDREN_MAX 16

struct fake_tree_services fake_services;

/* ---- keeper_watch ---- */

struct keeper_watch_shard {
    struct loop_timer timer;
    keeper_children_fn *fn;
    void *arg;
};

struct keeper_watch {
    struct loop *loop;
    struct keeper_watch_shard *shard; /* there is one */
};

static void read_children(struct loop_timer *timer)
{
    struct keeper_watch_shard *shard = CONTAINER_OF(timer, struct keeper_watch_shard, timer);
    struct keeper_child children[CHILDREN_MAX];
    size_t count = fake_services.children(children, fake_services.arg);
    shard->fn(children, count, shard->arg);
}

struct keeper_watch *keeper_watch_new(const struct keeper_watch_options *options)
{
    struct keeper_watch *watch = xcalloc(1, sizeof(*watch));
    watch->loop = options->loop;
    return watch;
}

void keeper_watch_free(struct keeper_watch *watch)
{
    xp_check(!watch->shard);
    free(watch);
}

void keeper_watch_set_zk(struct keeper_watch *watch, struct zk *zk)
{
    (void)watch;
    (void)zk;
}

struct keeper_watch_shard *keeper_watch_add(struct keeper_watch *watch, int64_t cluster_id,
                                            int64_t shard_id, keeper_children_fn *fn, void *arg)
{
    struct keeper_watch_shard *shard = xcalloc(1, sizeof(*shard));
    xp_check(!watch->shard && cluster_id > 0 && shard_id > 0);
    shard->fn = fn;
    shard->arg = arg;
    loop_timer_init(&shard->timer, watch->loop, read_children);
    loop_timer_start(&shard->timer, FAKE_ZK_READ_MS + fake_services.zk_ms);
    watch->shard = shard;
    return shard;
}

void keeper_watch_remove(struct keeper_watch *watch, struct keeper_watch_shard *shard)
{
    if (shard) {
        xp_check(watch->shard == shard);
        watch->shard = NULL;
        loop_timer_stop(&shard->timer);
        free(shard);
    }
}

void fake_keeper_watch_changed(struct keeper_watch *watch)
{
    if (watch->shard) {
        loop_timer_start(&watch->shard->timer, FAKE_ZK_READ_MS);
    }
}

/* ---- container_calls ---- */

struct call {
    struct list link;
    struct container_calls *calls;
    struct container_call request;
    struct loop_timer timer;
    container_done_fn *done;
    void *arg;
};

struct container_calls {
    struct container_calls_options options;
    struct list calls;
};

struct container_calls *container_calls_new(const struct container_calls_options *options)
{
    struct container_calls *calls = xcalloc(1, sizeof(*calls));
    calls->options = *options;
    list_init(&calls->calls);
    return calls;
}

static void free_call(struct call *call)
{
    loop_timer_stop(&call->timer);
    list_remove(&call->link);
    free(call);
}

static void end_call(struct loop_timer *timer)
{
    struct call *call = CONTAINER_OF(timer, struct call, timer);
    struct call now = *call;
    struct xp_err err = { 0 };
    free_call(call);
    int rc = now.calls->options.may_call(now.request.cluster_id, now.calls->options.arg, &err);
    if (rc == 0 && fake_services.fails_calls) {
        rc = xp_fail(&err, XP_REMOTE, "INTERNAL_EXCEPTION");
    }
    if (rc == 0) {
        fake_services.adds += !now.request.is_removal;
        fake_services.removes += now.request.is_removal;
        *(now.request.is_removal ? &fake_services.removed : &fake_services.added) =
            now.request.keeper.addr;
        fake_services.container = now.request.container;
        fake_services.on_call(&now.request, fake_services.arg);
    }
    if (now.done) {
        now.done(rc, &err, &now.request.keeper.addr, now.arg);
    }
}

int container_calls_submit(struct container_calls *calls, const struct container_call *request,
                           container_done_fn *done, void *arg, struct xp_err *err)
{
    (void)err;
    struct call *call = xcalloc(1, sizeof(*call));
    call->calls = calls;
    call->request = *request;
    call->done = done;
    call->arg = arg;
    loop_timer_init(&call->timer, calls->options.loop, end_call);
    loop_timer_start(&call->timer, FAKE_CONTAINER_MS);
    list_push_back(&calls->calls, &call->link);
    return 0;
}

void container_calls_forget(struct container_calls *calls, const void *arg)
{
    for (struct list *l = calls->calls.next; l != &calls->calls; l = l->next) {
        struct call *call = CONTAINER_OF(l, struct call, link);
        call->done = call->arg == arg ? NULL : call->done;
    }
}

void container_calls_free(struct container_calls *calls)
{
    if (!calls) {
        return;
    }
    for (struct list *l; (l = list_pop_front(&calls->calls));) {
        free_call(CONTAINER_OF(l, struct call, link));
    }
    free(calls);
}

/* ---- keeper_report ---- */

void keeper_report_put(struct keeper_report *report, const char *cluster, const char *shard,
                       const struct live_keeper *active)
{
    (void)report;
    (void)cluster;
    (void)shard;
    fake_services.reports++;
    fake_services.reported = active->addr;
}

void keeper_report_drop(struct keeper_report *report, const char *cluster, const char *shard)
{
    (void)report;
    (void)cluster;
    (void)shard;
    fake_services.report_drops++;
}

/* ---- sentinel_monitors ---- */

struct monitored_shard {
    char *address;
};

struct monitored_shard *sentinel_monitors_add(struct sentinel_monitors *monitors, const char *name,
                                              const char *address, monitored_state_fn *fn,
                                              void *arg)
{
    (void)monitors;
    (void)name;
    struct monitored_shard *shard = xcalloc(1, sizeof(*shard));
    shard->address = xstrdup(address);
    fake_services.monitors++;
    fake_services.monitored = fn;
    fake_services.monitored_arg = arg;
    return shard;
}

void sentinel_monitors_remove(struct sentinel_monitors *monitors, struct monitored_shard *shard)
{
    (void)monitors;
    if (shard) {
        fake_services.monitors--;
        free(shard->address);
        free(shard);
    }
}

void sentinel_monitors_retire(struct sentinel_monitors *monitors, struct monitored_shard *shard,
                              const char *kept)
{
    fake_services.retired += shard != NULL;
    (void)snprintf(fake_services.kept, sizeof(fake_services.kept), "%s", kept ? kept : "");
    sentinel_monitors_remove(monitors, shard);
}

void sentinel_monitors_kick(struct sentinel_monitors *monitors, struct monitored_shard *shard)
{
    (void)monitors;
    (void)shard;
    fake_services.kicks++;
}

json_t *monitored_shard_json(const struct monitored_shard *shard)
{
    return json_pack("{s:s}", "address", shard->address);
}
