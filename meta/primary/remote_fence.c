/* remote_fence.c - see remote_fence.h. */
#include "meta/primary/remote_fence.h"

#include "shared/base/list.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

struct remote_fences {
    struct remote_fences_options opt;
    char *first_line;
    struct list running; /* struct remote_fence */
    int count;
};

struct remote_fence {
    struct list link;
    struct remote_fences *all;
    int64_t cluster_id;
    int64_t epoch;
    enum switch_step step;
    struct fence_run *run;
    struct execution_log *log;
    switch_answer_fn *fn;
    void *arg;
};

static void remote_fence_free(struct remote_fence *r)
{
    list_remove(&r->link);
    r->all->count--;
    fence_run_free(r->run);
    execution_log_free(r->log);
    free(r);
}

static int may_command(void *arg, struct xp_err *err)
{
    const struct remote_fence *r = arg;
    const struct duty_env *duty = r->all->opt.duty;
    struct cluster_meta *cluster = dc_store_cluster_by_id(r->all->opt.store, r->cluster_id);
    return cluster ? duty->may_command(cluster, duty->arg, err)
                   : xp_fail(err, XP_NOT_FOUND, "the cluster is not in the metadata any more");
}

static void on_done(const struct switch_fence *result, void *arg)
{
    struct remote_fence *r = arg;
    struct switch_fence fence = *result;
    fence.is_ours = true;
    fence.epoch = r->epoch;
    fence.log = execution_log_take(r->log);
    log_info("switch.remote_fence", "cluster", log_int(r->cluster_id), "step",
             switch_step_text(r->step), "master",
             addr_is_none(&fence.master) ? "-" : ADDR_TEXT(&fence.master), "state",
             fence_state_text(fence.state), "epoch", log_int(r->epoch));
    struct switch_answer answer = { .step = r->step, .fence = &fence };
    r->fn(&answer, r->arg);
    free(fence.log);
    remote_fence_free(r);
}

/* ---- what is asked for ---- */

struct search {
    const struct switch_fence_order *order;
    const struct addr *found; /* NULL: none */
};

static void look_for_one(struct search *search, const struct addr *redis)
{
    for (size_t k = 0; k < search->order->redis_count; k++) {
        if (addr_eq(redis, &search->order->redis[k])) {
            search->found = &search->order->redis[k];
        }
    }
}

static void look_for(struct cluster_meta *cluster, void *arg)
{
    for (size_t s = 0; s < cluster->shards.count; s++) {
        const struct shard_meta *shard = &cluster->shards.items[s];
        for (size_t i = 0; i < shard->redises.count; i++) {
            look_for_one(arg, &shard->redises.items[i].addr);
        }
    }
}

static int read_phase(const char *phase, enum fence_goal *ret_goal, enum switch_step *ret_step,
                      struct xp_err *err)
{
    static const struct {
        const char *word;
        enum fence_goal goal;
        enum switch_step step;
    } phases[] = { { "hold", FENCE_GOAL_HOLD, SWITCH_HOLD },
                   { "freeze", FENCE_GOAL_FREEZE, SWITCH_FREEZE },
                   { "release", FENCE_GOAL_RELEASE, SWITCH_RELEASE } };
    for (size_t i = 0; i < ARRAY_LEN(phases); i++) {
        if (text_eq(phase, phases[i].word)) {
            *ret_goal = phases[i].goal;
            *ret_step = phases[i].step;
            return 0;
        }
    }
    return xp_fail(err, XP_INVALID, "phase: '%s' must be 'hold', 'freeze' or 'release'", phase);
}

static int check_order(const struct remote_fences *all, const struct switch_fence_order *order,
                       struct xp_err *err)
{
    struct search search = { .order = order };
    if (order->redis_count == 0) {
        return xp_fail(err, XP_INVALID, "redis: at least one is required");
    }
    if (all->count >= REMOTE_FENCES_MAX) {
        return xp_fail(err, XP_TOO_MANY, "%d fences of other DCs are under way", REMOTE_FENCES_MAX);
    }
    dc_store_each(all->opt.store, look_for, &search);
    return search.found
               ? xp_fail(err, XP_INVALID, "redis: %s belongs to this DC; use masterreadonly",
                         ADDR_TEXT(search.found))
               : 0;
}

int remote_fence_start(struct remote_fences *all, int64_t cluster_id,
                       const struct switch_fence_order *order, switch_answer_fn *fn, void *arg,
                       struct xp_err *err)
{
    enum fence_goal goal = FENCE_GOAL_HOLD;
    enum switch_step step = SWITCH_HOLD;
    int rc = read_phase(order->phase, &goal, &step, err);
    rc = rc != 0 ? rc : check_order(all, order, err);
    if (rc != 0) {
        return rc;
    }
    struct remote_fence *r = xcalloc(1, sizeof(*r));
    *r = (struct remote_fence){ .all = all,
                                .cluster_id = cluster_id,
                                .epoch = order->epoch,
                                .step = step,
                                .log = execution_log_new(all->first_line),
                                .fn = fn,
                                .arg = arg };
    list_push_back(&all->running, &r->link);
    all->count++;
    const struct duty_env *duty = all->opt.duty;
    struct fence_options options = {
        .run.loop = all->opt.loop,
        .run.redis = order->redis,
        .run.redis_count = order->redis_count,
        .run.user = duty->redis_user,
        .run.password = duty->redis_password,
        .run.client_name = duty->client_name,
        .run.connect_timeout_ms = all->opt.connect_timeout_ms,
        .run.deadline_ms = order->deadline_ms > 0 ? order->deadline_ms : all->opt.fence_ms,
        .run.may_command = may_command,
        .run.arg = r,
        .run.log = r->log,
        .run.late = all->opt.late,
        .goal = goal,
        .saved = order->saved,
        .on_done = on_done,
    };
    r->run = fence_run_start(&options);
    return 0;
}

/* ---- life ---- */

struct remote_fences *remote_fences_new(const struct remote_fences_options *options)
{
    struct remote_fences *all = xcalloc(1, sizeof(*all));
    all->opt = *options;
    all->opt.address = NULL;
    all->first_line = xasprintf("meta server:%s", options->address);
    list_init(&all->running);
    return all;
}

void remote_fences_free(struct remote_fences *all)
{
    if (!all) {
        return;
    }
    list_for_each (it, &all->running) {
        remote_fence_free(LIST_ENTRY(it, struct remote_fence, link));
    }
    free(all->first_line);
    free(all);
}
