/* switch_fencing.c - hold, freeze, whole fence and release of this DC's master. What a fence overwrites is read, and written down in
 * ZooKeeper, before the first command of it: the settings would be lost with this process. */
#include <string.h>

#include "meta/primary/switch_internal.h"
#include "shared/base/fault.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

struct fence_saved switch_saved(const struct fence_saved *seen)
{
    return fence_saved_or_default(seen);
}

void switch_others_seen(const struct fence_run *run, const struct addr *master,
                        struct switch_kept_list *ret_others)
{
    struct addr redis;
    struct fence_saved seen;
    for (size_t i = 0; i < SWITCH_REDIS_MAX; i++) {
        if (fence_run_seen(run, i, &redis, &seen) && !addr_eq(&redis, master)) {
            struct fence_saved saved = switch_saved(&seen);
            (void)switch_kept_add(ret_others, &redis, &saved);
        }
    }
}

void switch_keep_others(struct switch_shard *s, const struct switch_kept_list *others)
{
    for (size_t i = 0; i < others->count; i++) {
        (void)switch_kept_add(&s->record.kept, &others->items[i].redis, &others->items[i].saved);
    }
}

bool switch_run_fill(struct switch_shard *s, struct addr *redises, struct switch_run_options *run)
{
    const struct duty_env *duty = s->all->opt.duty;
    struct cluster_meta *cluster;
    const struct shard_meta *shard;
    if (!switch_meta(s, &cluster, &shard)) {
        return false;
    }
    if (!run->redis) {
        run->redis = redises;
        run->redis_count = switch_redises(shard, redises);
    }
    run->loop = s->all->opt.loop;
    run->user = duty->redis_user;
    run->password = duty->redis_password;
    run->client_name = duty->client_name;
    run->connect_timeout_ms = s->all->opt.connect_timeout_ms;
    run->may_command = run->may_command ? run->may_command : switch_may_step;
    run->arg = s;
    run->late = s->all->opt.late;
    return true;
}

struct fence_run *switch_fence_run(struct switch_shard *s, const struct fence_options *extra)
{
    struct addr redises[SWITCH_REDIS_MAX];
    struct fence_options options = *extra;
    return switch_run_fill(s, redises, &options.run) ? fence_run_start(&options) : NULL;
}

static bool is_fencing(enum switch_step step)
{
    return step != SWITCH_RELEASE;
}

/* ---- the end ---- */

static void note_fence(struct switch_shard *s, const struct switch_fence *result)
{
    struct switch_record *r = &s->record;
    const struct shard_switches_options *opt = &s->all->opt;
    r->fence = result->state;
    r->master = result->master;
    r->offset = result->offset;
    memcpy(r->repl_id, result->repl_id, sizeof(r->repl_id));
    s->held_until = loop_now(opt->loop) + opt->hold_ms;
    s->is_asserted = true;
    s->asserted_at = loop_now(opt->loop);
    s->may_follow = false;
    switch_keep(s, opt->reassert_ms);
}

void switch_note_release(struct switch_shard *s)
{
    struct switch_record *r = &s->record;
    r->fence = FENCE_NONE;
    r->is_isolation = false;
    r->saved = (struct fence_saved){ 0 };
    r->offset = 0;
    r->repl_id[0] = '\0';
    r->migrating_version = 0;
    s->held_until = MONO_NEVER;
    s->is_asserted = false;
    switch_keep_stop(s);
    if (r->kept.count > 0) { /* of others that were held: they get it when they follow */
        switch_keep(s, s->all->opt.reassert_ms);
    }
}

/* Refused, silent, or nobody knows: what was intended stays so, and is asserted again as soon as it can be. */
static void note_unfinished(struct switch_shard *s)
{
    const struct shard_switches_options *opt = &s->all->opt;
    s->is_asserted = false;
    s->held_until = loop_now(opt->loop) + opt->hold_ms;
    if (switch_is_fenced(s)) {
        switch_keep(s, opt->fast_ms);
    }
}

/* The look before was of a master that did not answer: what the fence itself read before its first command. */
static void note_read_late(struct switch_shard *s, const struct switch_fence *result)
{
    struct switch_record *r = &s->record;
    if (is_fencing(s->job->step) && !r->saved.is_known && result->saved.is_known) {
        r->master = result->master;
        r->saved = result->saved;
    }
}

static void end_fencing(struct switch_shard *s, const struct switch_fence *result)
{
    struct switch_fence fence = *result;
    fence.log = NULL;
    note_read_late(s, result);
    if (is_fencing(s->job->step) &&
        (result->state == FENCE_HELD || result->state == FENCE_FROZEN)) {
        note_fence(s, result);
    } else if (!is_fencing(s->job->step) && result->state == FENCE_RELEASED) {
        switch_keep_settings_of_held(s, &result->master);
        switch_note_release(s);
    } else {
        if (s->job->step == SWITCH_RELEASE && s->job->before.is_isolation) {
            switch_undo(s); /* what the console says ends it */
        }
        note_unfinished(s);
    }
    fence.saved = s->record.saved;
    s->is_dirty = true; /* written below: the answer goes first, clients wait for it */
    if (fault_hit(FAULT_meta_after_fence)) {
        struct xp_err err;
        (void)xp_fail(&err, XP_UNAVAILABLE, "fault: the answer of the fence is lost");
        switch_end_error(s, &err);
    } else {
        switch_end_fence(s, &fence);
    }
    switch_write(s);
    switch_look(s); /* the sentinels */
}

static void on_fenced(const struct switch_fence *result, void *arg)
{
    struct switch_shard *s = arg;
    struct switch_fence copy = *result;
    fence_run_free(TAKE(s->fence_run));
    if (!s->job || s->job->waits_for_record) { /* it was given up meanwhile */
        execution_log_free(TAKE(s->orphan_log));
        switch_job_recorded(s);
        switch_settled(s);
        return;
    }
    end_fencing(s, &copy);
}

/* ---- what is there before ---- */

bool switch_is_read(const struct switch_fence *seen)
{
    return seen->state != FENCE_UNREACHABLE && (seen->state != FENCE_NONE || seen->saved.is_known);
}

/* Of one that is fenced already what is written down is true, whatever stands there now. */
void switch_note_saved(struct switch_shard *s, const struct switch_fence *seen)
{
    struct switch_record *r = &s->record;
    const struct switch_kept *kept = switch_kept_find(&r->kept, &seen->master);
    if (seen->state != FENCE_RELEASED && kept) {
        r->saved = kept->saved;
    } else if (seen->state == FENCE_RELEASED || (switch_is_read(seen) && !r->saved.is_known)) {
        r->saved = switch_saved(&seen->saved);
    }
    switch_kept_remove(&r->kept, &seen->master);
}

static void on_looked(const struct switch_fence *result, void *arg)
{
    struct switch_shard *s = arg;
    struct switch_fence copy = *result;
    struct switch_kept_list others = { 0 };
    switch_others_seen(s->fence_run, &copy.master, &others);
    fence_run_free(TAKE(s->fence_run));
    if (!s->job || s->job->waits_for_record) {
        execution_log_free(TAKE(s->orphan_log));
        switch_job_recorded(s);
        switch_settled(s);
        return;
    }
    s->job->is_looked = true;
    s->record.master = copy.master;
    if (copy.state == FENCE_UNREACHABLE) { /* whoever comes back is held */
        s->record.fence = s->record.fence == FENCE_NONE ? FENCE_HELD : s->record.fence;
        s->record.is_isolation = false;
        switch_note_ordered(s);
        end_fencing(s, &copy);
        return;
    }
    switch_note_saved(s, &copy);
    switch_keep_others(s, &others);
    switch_fencing(s);
}

static bool start(struct switch_shard *s, enum fence_goal goal,
                  void (*on_done)(const struct switch_fence *, void *))
{
    /* which may have lasted longer than the master */
    bool is_of_isolation = goal == FENCE_GOAL_RELEASE && s->job->before.is_isolation;
    struct fence_options options = {
        .goal = goal,
        .saved = s->record.saved,
        .saved_of = s->record.master,
        /* a look that somebody hangs in leaves time for the fence */
        .run.deadline_ms =
            goal == FENCE_GOAL_LOOK ? (switch_job_left_ms(s) + 1) / 2 : switch_job_left_ms(s),
        .run.log = s->job->log,
        .run.warm = &s->warm,
        .drain_ms = s->job->order.drain_ms,
        .on_done = on_done,
    };
    if (!is_of_isolation) {
        options.hint = s->record.master;
    }
    s->fence_run = switch_fence_run(s, &options);
    return s->fence_run != NULL;
}

/* ---- a step ---- */

static enum fence_goal goal_of(enum switch_step step)
{
    return step == SWITCH_HOLD     ? FENCE_GOAL_HOLD
           : step == SWITCH_FREEZE ? FENCE_GOAL_FREEZE
           : step == SWITCH_WHOLE  ? FENCE_GOAL_WHOLE
                                   : FENCE_GOAL_RELEASE;
}

/* What the record says before the first command. True: it says so already. A release ends the fence before it is carried out, and
 * whatever comes of it: who releases by another way must not find it asserted again. The settings stay until they are given back. */
static bool intend(struct switch_shard *s)
{
    struct switch_record *r = &s->record;
    bool is_there = s->job->order.epoch <= r->epoch;
    r->epoch = is_there ? r->epoch : s->job->order.epoch;
    is_there &= !r->is_isolation;
    r->is_isolation = false; /* it is the step's now */
    if (is_fencing(s->job->step)) {
        is_there &= r->fence != FENCE_NONE && !s->job->is_looked;
        r->fence = r->fence == FENCE_NONE ? FENCE_HELD : r->fence;
        switch_note_ordered(s);
    } else {
        is_there &= r->fence == FENCE_NONE;
        r->fence = FENCE_NONE;
    }
    return is_there;
}

static int check_place(struct switch_shard *s, struct xp_err *err)
{
    struct cluster_meta *cluster;
    const struct shard_meta *shard;
    if (!switch_meta(s, &cluster, &shard)) {
        return xp_fail(err, XP_NOT_FOUND, "the shard is not in the metadata any more");
    }
    if (!switch_is_primary(s)) {
        return xp_fail(err, XP_CONFLICT,
                       "dc '%s' is not the primary dc of cluster '%s' (%s is): it has no master to "
                       "make read-only or writable",
                       dc_store_dc(s->all->opt.store), cluster->name,
                       cluster->active_dc ? cluster->active_dc : "none");
    }
    return switch_may_command(s, err);
}

void switch_fencing(struct switch_shard *s)
{
    struct switch_job *job = s->job;
    struct xp_err err;
    if (check_place(s, &err) != 0) {
        switch_undo(s);
        switch_end_error(s, &err);
        return;
    }
    bool is_known = switch_is_fenced(s) && s->record.saved.is_known;
    if (is_fencing(job->step) && !is_known && !job->is_looked) {
        (void)start(s, FENCE_GOAL_LOOK, on_looked);
        return;
    }
    if (!job->is_written) {
        job->is_written = true;
        if (!intend(s)) {
            job->waits_for_record = true;
            loop_timer_start(&s->job_timer, switch_job_left_ms(s));
            switch_write(s);
            return;
        }
    }
    if (fault_hit(FAULT_meta_before_fence)) {
        (void)xp_fail(&err, XP_UNAVAILABLE, "fault: before the fence");
        switch_undo(s);
        switch_end_error(s, &err);
        return;
    }
    (void)start(s, goal_of(job->step), on_fenced);
}
