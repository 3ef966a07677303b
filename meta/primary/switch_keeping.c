/* switch_keeping.c - the fence kept: asserted again for as long as the record says so (a Redis that restarted comes back as it was
 * before), and the masters that come back in a backup DC, which are held until they follow. Both ask what is there first, and
 * send nothing to one that is as it should be. */
#include "meta/primary/switch_internal.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

#define KEEPING_MAX 64 /* runs at once on this metaserver */
#define BUSY_MS     50

static bool is_fenced(const struct switch_shard *s)
{
    return s->record.fence == FENCE_HELD || s->record.fence == FENCE_FROZEN;
}

void switch_keep(struct switch_shard *s, int64_t delay_ms)
{
    if (s->is_owned) {
        loop_timer_start(&s->keep_timer, delay_ms);
    }
}

static void end_keep(struct switch_shard *s)
{
    if (s->keep_run) {
        fence_run_free(TAKE(s->keep_run));
        s->all->keeping--;
    }
    execution_log_free(TAKE(s->keep_log));
    s->is_keep_commanding = false;
}

void switch_keep_stop(struct switch_shard *s)
{
    loop_timer_stop(&s->keep_timer);
    end_keep(s);
    switch_settle_stop(s);
}

void switch_keep_leave(struct switch_shard *s)
{
    loop_timer_stop(&s->keep_timer);
    if (!s->is_keep_commanding) {
        end_keep(s);
    }
    if (!switch_settle_is_commanding(s)) {
        switch_settle_stop(s);
    }
}

void switch_keep_yield(struct switch_shard *s, bool is_same_way)
{
    loop_timer_stop(&s->keep_timer);
    if (is_same_way || !s->is_keep_commanding) {
        end_keep(s);
    }
    if (!switch_settle_is_commanding(s)) {
        switch_settle_stop(s);
    }
    if (is_fenced(s)) {
        switch_keep(s, s->all->opt.reassert_ms); /* unless the step says otherwise */
    }
}

/* A step under way says itself what is to be. One that follows only waits for the duty, in which a stray may be held meanwhile. */
static bool has_step(const struct switch_shard *s)
{
    return s->job && s->job->step != SWITCH_CHECK &&
           (s->job->step != SWITCH_FOLLOW || s->job->waits_for_record);
}

/* A step that begins does not wait for what was only looked at; nothing is sent any more then. */
static int may_keep(void *arg, struct xp_err *err)
{
    struct switch_shard *s = arg;
    if (has_step(s)) {
        return xp_fail(err, XP_CONFLICT, "a step of the shard is under way");
    }
    if (s->keep_tenure != s->tenure) {
        return xp_fail(err, XP_NOT_OWNER, "the slot of the shard was lost meanwhile");
    }
    int rc = switch_may_command(s, err);
    s->is_keep_commanding |= rc == 0;
    return rc;
}

static void start(struct switch_shard *s, const struct fence_options *what)
{
    struct fence_options options = *what;
    options.hint = s->record.master;
    options.saved = s->record.saved;
    options.deadline_ms = s->all->opt.fence_ms;
    options.may_command = may_keep;
    options.log = s->keep_log = execution_log_new(NULL);
    s->is_keep_commanding = false;
    s->keep_tenure = s->tenure;
    s->keep_run = switch_fence_run(s, &options);
    s->all->keeping += s->keep_run != NULL;
}

/* The run is over. False: it says nothing of the shard as it is now; nobody owns it any more, and it is gone by this perhaps, or it
 * was lost and regained meanwhile. */
static bool end_run(struct switch_shard *s)
{
    bool is_ours = s->is_owned && s->keep_tenure == s->tenure;
    end_keep(s);
    if (!s->is_owned) {
        switch_settled(s);
    } else if (!is_ours) {
        switch_job_recorded(s);
    }
    return is_ours;
}

/* ---- a fence ---- */

static void on_kept(const struct switch_fence *result, void *arg)
{
    struct switch_shard *s = arg;
    enum fence_state state = result->state;
    bool was_commanding = s->is_keep_commanding;
    bool was_asserted = s->is_asserted;
    if (!end_run(s)) {
        return;
    }
    s->is_asserted = state == FENCE_HELD || state == FENCE_FROZEN;
    if (s->is_asserted) {
        s->asserted_at = loop_now(s->all->opt.loop);
        metric_add(&switch_reasserted, was_commanding);
    }
    if (was_commanding || s->is_asserted != was_asserted) {
        log_warn("switch.fence", "cluster", log_int(s->cluster_id), "shard", log_int(s->shard_id),
                 "state", fence_state_text(state), "asserted_again", was_commanding ? "yes" : "no");
    }
    switch_keep(s, s->is_asserted ? s->all->opt.reassert_ms : s->all->opt.reassert_ms / 4);
    switch_job_recorded(s);
}

/* What it is like without the fence, before the fence comes: it is written down first. */
static void on_seen(const struct switch_fence *result, void *arg)
{
    struct switch_shard *s = arg;
    struct addr master = result->master;
    struct fence_saved saved = result->saved;
    bool is_there = result->state != FENCE_UNREACHABLE;
    if (!end_run(s)) {
        return;
    }
    bool is_wanted = is_fenced(s) || !addr_is_none(&s->stray);
    if (is_there && is_wanted && !s->record.saved.is_known) {
        s->record.saved = switch_saved(&saved);
        s->record.master = addr_is_none(&s->stray) ? master : s->stray;
        s->record.fence = is_fenced(s) ? s->record.fence : FENCE_HELD;
        switch_write(s);
    }
    switch_keep(s, is_there ? 0 : s->all->opt.reassert_ms / 4);
    switch_job_recorded(s);
}

static void assert_fence(struct switch_shard *s)
{
    struct fence_options options = {
        .goal = s->record.fence == FENCE_FROZEN ? FENCE_GOAL_FREEZE : FENCE_GOAL_HOLD,
        .on_done = on_kept,
    };
    if (!s->record.saved.is_known) {
        options.goal = FENCE_GOAL_LOOK;
        options.on_done = on_seen;
    }
    start(s, &options);
}

/* ---- strays ---- */

static void on_stray_held(const struct switch_fence *result, void *arg)
{
    struct switch_shard *s = arg;
    enum fence_state state = result->state;
    bool was_commanding = s->is_keep_commanding;
    if (!end_run(s)) {
        return;
    }
    bool is_held = state == FENCE_HELD || state == FENCE_FROZEN;
    s->asserted_at = is_held ? loop_now(s->all->opt.loop) : MONO_NEVER;
    if (was_commanding) {
        metric_add(&switch_strays, is_held);
        log_warn("switch.stray", "cluster", log_int(s->cluster_id), "shard", log_int(s->shard_id),
                 "redis", ADDR_TEXT(&s->stray), "state", fence_state_text(state), "why",
                 "a writable master in a backup DC, and what it should follow is not known");
    }
    switch_keep(s, s->all->opt.reassert_ms); /* settles it when it follows */
    switch_job_recorded(s);
}

static void hold_stray(struct switch_shard *s)
{
    struct fence_options options = {
        .goal = s->record.saved.is_known ? FENCE_GOAL_HOLD : FENCE_GOAL_LOOK,
        .redis = &s->stray,
        .redis_count = 1,
        .on_done = s->record.saved.is_known ? on_stray_held : on_seen,
    };
    start(s, &options);
}

void shard_switch_stray(struct shard_switches *all, int64_t cluster_id, int64_t shard_id,
                        const struct addr *master)
{
    struct switch_shard *s = switch_find(all, cluster_id, shard_id);
    if (!s || !s->is_owned || !s->is_known || has_step(s) || s->keep_run || s->settle) {
        return;
    }
    bool is_held_already = addr_eq(master, &s->stray) && s->asserted_at != MONO_NEVER &&
                           mono_age(loop_now(all->opt.loop), s->asserted_at) < all->opt.reassert_ms;
    if (!is_held_already && all->keeping < KEEPING_MAX && !switch_is_primary(s)) {
        s->stray = *master;
        hold_stray(s);
    }
}

/* ---- the rhythm ---- */

static bool is_busy(const struct switch_shard *s)
{
    return has_step(s) || s->keep_run || s->settle || s->is_writing || s->is_dirty ||
           s->all->keeping >= KEEPING_MAX;
}

static void keep_fire(struct loop_timer *timer)
{
    struct switch_shard *s = CONTAINER_OF(timer, struct switch_shard, keep_timer);
    struct cluster_meta *cluster;
    const struct shard_meta *shard;
    if (!s->is_owned || !s->is_known || !switch_meta(s, &cluster, &shard)) {
        return;
    }
    if (!is_fenced(s) && (s->settle_looks == 0 || switch_is_primary(s))) {
        s->settle_looks = 0;
    } else if (is_busy(s)) {
        switch_keep(s, BUSY_MS);
    } else if (!is_fenced(s)) {
        s->settle_looks--; /* the console, or another DC's metaserver, fenced here while nobody answered */
        switch_settle_start(s);
    } else if (switch_is_primary(s) || (cluster->is_migrating && !s->may_follow)) {
        assert_fence(s);
        if (!s->keep_run) {
            switch_keep(s, s->all->opt.reassert_ms);
        }
    } else if (!s->record.saved.is_known && addr_is_none(&s->stray)) {
        /* nothing was ever overwritten: who follows has nothing to get back */
        s->record.fence = FENCE_NONE;
        switch_write(s);
    } else {
        switch_settle_start(s);
    }
}

void switch_keep_init(struct switch_shard *s)
{
    loop_timer_init(&s->keep_timer, s->all->opt.loop, keep_fire);
}
