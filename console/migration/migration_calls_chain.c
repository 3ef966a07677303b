/* migration_calls_chain.c - the fence of a shard goes on by itself, for clients wait: behind a hold its drain, behind that its freeze (see
 * migration_calls.h). */
#include <stdio.h>

#include "console/migration/migration_calls_internal.h"
#include "shared/base/mem.h"
#include "shared/base/banned.h"

static struct call *call_behind(const struct call *from, enum migration_call call)
{
    struct migration_plan_call plan = { .call = call, .shard = from->plan.shard };
    struct call *c = call_bare(from->owner, &plan);
    c->done = from->done;
    c->arg = from->arg;
    c->id = from->id;
    c->cluster_id = from->cluster_id;
    c->cluster = xstrdup(from->cluster);
    c->source_dc = xstrdup(from->source_dc);
    c->dest_dc = xstrdup(from->dest_dc);
    c->source_dc_id = from->source_dc_id;
    c->dest_dc_id = from->dest_dc_id;
    c->epoch = from->epoch;
    c->mode = from->mode;
    c->shard_id = from->shard_id;
    c->shard = xstrdup(from->shard);
    c->is_chained = true;
    return c;
}

static struct call *drain_behind(const struct call *hold)
{
    const struct switch_fence *fence = &hold->result.fence;
    struct call *c = call_behind(hold, CALL_DRAIN);
    c->offset = fence->offset;
    (void)snprintf(c->repl_id, sizeof(c->repl_id), "%s", fence->repl_id);
    c->saved = hold->saved.is_known ? hold->saved : fence->saved;
    c->old_master = fence->master;
    c->may_freeze = fence->state == FENCE_HELD && hold->result.is_by_meta;
    return c;
}

static struct call *freeze_behind(const struct call *drain)
{
    struct call *c = call_behind(drain, CALL_FREEZE);
    c->saved = drain->saved;
    c->old_master = drain->old_master;
    return c;
}

struct call *chain_next(const struct call *c)
{
    if (c->result.outcome != OUTCOME_OK || c->is_disaster) {
        return NULL;
    }
    bool is_drained = c->result.change.is_ours && c->result.change.is_drained;
    if (c->plan.call == CALL_HOLD && c->result.fence.has_info) {
        return drain_behind(c);
    }
    return c->plan.call == CALL_DRAIN && c->may_freeze && is_drained ? freeze_behind(c) : NULL;
}

struct call *chain_cut(struct migration_calls *m, const struct call *by)
{
    list_for_each (it, &m->calls) {
        struct call *c = LIST_ENTRY(it, struct call, link);
        bool is_of_plan = !c->is_chained && !c->is_cut;
        if (is_of_plan || c->is_finished || c->id != by->id || c->shard_id != by->shard_id) {
            continue;
        }
        c->is_cut = true;
        if (c->plan.call != CALL_DRAIN) {
            return c;
        }
        loop_timer_start(&c->answer_timer, 0);
        return NULL;
    }
    return NULL;
}
