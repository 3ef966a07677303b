/* switch_keeping.c - the fence kept: asserted again for as long as the record says so (a Redis that restarted comes back as it was
 * before), and the masters that come back in a backup DC, which are held until they follow. Both ask what is there first, and
 * send nothing to one that is as it should be. */
#include "meta/primary/switch_internal.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

#define KEEPING_MAX 64 /* runs at once on this metaserver */
/* a push of before the next migration may come late: the one behind it comes by then. Not waited for when the console has said it in an answer */
#define OUTLIVED_MS 2000
/* of an inherited fence, while the console is asked; the shard was nobody's for seconds before */
#define DOUBT_MS 500
/* between the wall clocks of two members of a DC */
#define WALL_SKEW_MS  1000
#define BUSY_MS       50
#define FIND_AGAIN_MS 5000

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
    if (switch_is_fenced(s)) {
        switch_keep(s, s->all->opt.reassert_ms); /* unless the step says otherwise */
    }
}

/* A step under way says itself what is to be. One that follows only waits for the duty, in which a stray may be held meanwhile. */
static bool has_step(const struct switch_shard *s)
{
    return s->job && s->job->step != SWITCH_CHECK &&
           (s->job->step != SWITCH_FOLLOW || s->job->waits_for_record);
}

static struct stray *due_stray(const struct switch_shard *s)
{
    for (size_t i = 0; i < s->stray_count; i++) {
        if (s->strays[i].is_due) {
            return &s->strays[i];
        }
    }
    return NULL;
}

/* ---- is the migration of the fence over? ---- */

/* An answer to a question of after the fence was ordered: its migration had locked the cluster by then, and has it no more. */
static bool is_ended(const struct switch_shard *s, const struct cluster_meta *cluster)
{
    return cluster && s->outlived_at != MONO_NEVER &&
           (mono_age(loop_now(s->all->opt.loop), s->outlived_at) >= OUTLIVED_MS ||
            dc_store_is_confirmed(s->all->opt.store, cluster->name, s->fenced_at));
}

/* What is known was asked for after the record was written, by the wall clocks of two machines: not enough to release, enough to ask first. */
static bool is_doubted(const struct switch_shard *s, const struct cluster_meta *cluster)
{
    mono_ms now = loop_now(s->all->opt.loop);
    int64_t age_ms = clock_wall_ms() - s->record.at - WALL_SKEW_MS;
    return cluster && s->outlived_at != MONO_NEVER && s->is_inherited &&
           mono_age(now, s->fenced_at) < DOUBT_MS && s->record.at > 0 && age_ms > 0 &&
           dc_store_is_confirmed(s->all->opt.store, cluster->name, now - age_ms);
}

void switch_keep_facts(const struct switch_shard *s, struct keep_facts *ret_facts)
{
    const struct cluster_meta *cluster = dc_store_cluster_by_id(s->all->opt.store, s->cluster_id);
    const struct switch_record *r = &s->record;
    *ret_facts = (struct keep_facts){
        .is_busy = has_step(s) || s->keep_run || s->settle || s->is_writing || s->is_dirty ||
                   s->all->keeping >= KEEPING_MAX,
        .is_fenced = switch_is_fenced(s),
        .is_primary = switch_is_primary(s),
        .is_migrating = cluster && cluster->is_migrating,
        .is_past = s->is_past,
        .is_ended = is_ended(s, cluster),
        .is_doubted = is_doubted(s, cluster),
        .may_follow = s->may_follow,
        .is_stray_due = due_stray(s) != NULL,
        .is_find_due = r->is_promoting && addr_is_none(&r->promoted) &&
                       (s->find_at == MONO_NEVER || loop_now(s->all->opt.loop) >= s->find_at),
        .has_settings = r->saved.is_known || r->kept.count > 0,
        .is_look_wanted = s->settle_looks > 0,
    };
    switch_isolation_facts(s, ret_facts);
}

/* Does the metadata still say what this run began with? */
static bool is_kept_duty(const struct switch_shard *s)
{
    struct keep_facts facts;
    switch_keep_facts(s, &facts);
    if (s->kept == KEEP_RELEASE) {
        return keep_is_over(&facts);
    }
    return s->kept == KEEP_ASSERT ? keep_is_in_force(&facts)
                                  : keep_may_correct(&facts) && !facts.is_primary;
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
    if (!is_kept_duty(s)) {
        return xp_fail(err, XP_CONFLICT, "the metadata says something else of the cluster now");
    }
    int rc = switch_may_command(s, err);
    s->is_keep_commanding |= rc == 0;
    return rc;
}

static void start(struct switch_shard *s, const struct fence_options *what)
{
    struct fence_options options = *what;
    options.run.deadline_ms = s->all->opt.fence_ms;
    options.run.may_command = may_keep;
    options.run.log = s->keep_log = execution_log_new(NULL);
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

/* Another one may have become the master meanwhile: the one that was held gets its settings when it follows. */
void switch_keep_settings_of_held(struct switch_shard *s, const struct addr *released)
{
    struct switch_record *r = &s->record;
    if (r->saved.is_known && !addr_is_none(&r->master) && !addr_eq(&r->master, released)) {
        (void)switch_kept_add(&r->kept, &r->master, &r->saved);
    }
}

static bool seen_by(const struct fence_run *run, const struct addr *wanted,
                    struct fence_saved *ret_saved)
{
    struct addr redis;
    for (size_t i = 0; i < SWITCH_REDIS_MAX; i++) {
        if (fence_run_seen(run, i, &redis, ret_saved) && addr_eq(&redis, wanted)) {
            return true;
        }
    }
    return false;
}

/* An isolation may last: whoever the sentinels have made the master since is held, too, and then the hold is its own. True: the record says
 * something else now. */
static bool note_next_master(struct switch_shard *s, const struct switch_fence *held)
{
    struct switch_record *r = &s->record;
    struct fence_saved seen;
    if (!r->is_isolation || held->state != FENCE_HELD || addr_eq(&held->master, &r->master) ||
        seen_by(s->keep_run, &r->master, &seen) || !seen_by(s->keep_run, &held->master, &seen)) {
        return false;
    }
    switch_keep_settings_of_held(s, &held->master);
    const struct switch_kept *kept = switch_kept_find(&r->kept, &held->master);
    r->saved = kept ? kept->saved : switch_saved(&seen);
    switch_kept_remove(&r->kept, &held->master);
    r->master = held->master;
    return true;
}

/* One that is over as soon as the console says so is looked after more often: that is told to nobody. */
static int64_t assert_again_ms(const struct switch_shard *s)
{
    bool is_ending = s->outlived_at != MONO_NEVER && !s->record.is_isolation;
    return s->is_asserted && !is_ending ? s->all->opt.reassert_ms : s->all->opt.fast_ms;
}

static void on_kept(const struct switch_fence *result, void *arg)
{
    struct switch_shard *s = arg;
    enum fence_state state = result->state;
    bool was_commanding = s->is_keep_commanding;
    bool was_asserted = s->is_asserted;
    bool is_news = s->is_owned && s->keep_tenure == s->tenure && note_next_master(s, result);
    if (!end_run(s)) {
        return;
    }
    if (is_news) {
        switch_write(s);
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
    switch_keep(s, assert_again_ms(s));
    switch_job_recorded(s);
}

/* What it is like without the fence, before the fence comes: it is written down first. */
static void on_seen(const struct switch_fence *result, void *arg)
{
    struct switch_shard *s = arg;
    struct switch_fence seen = *result;
    bool is_there = switch_is_read(&seen) && !addr_is_none(&seen.master);
    struct switch_kept_list others = { 0 };
    switch_others_seen(s->keep_run, &seen.master, &others);
    if (!end_run(s)) {
        return;
    }
    if (is_there && switch_is_fenced(s) && !s->record.saved.is_known) {
        switch_note_saved(s, &seen);
        s->record.master = seen.master;
        switch_keep_others(s, &others);
        switch_write(s);
    }
    switch_keep(s, is_there ? 0 : s->all->opt.fast_ms);
    switch_job_recorded(s);
}

static void assert_fence(struct switch_shard *s)
{
    struct fence_options options = {
        .goal = s->record.fence == FENCE_FROZEN ? FENCE_GOAL_FREEZE : FENCE_GOAL_HOLD,
        .hint = s->record.master,
        .saved = s->record.saved,
        .on_done = on_kept,
    };
    if (!s->record.saved.is_known) {
        options.goal = FENCE_GOAL_LOOK;
        options.on_done = on_seen;
    }
    start(s, &options);
    if (!s->keep_run) {
        switch_keep(s, s->all->opt.reassert_ms);
    }
}

void shard_switch_redis_lost(struct shard_switches *all, int64_t cluster_id, int64_t shard_id)
{
    struct switch_shard *s = switch_find(all, cluster_id, shard_id);
    struct keep_facts facts;
    if (s && s->is_owned && s->is_known) {
        switch_keep_facts(s, &facts);
        if (keep_is_in_force(&facts) && !facts.is_busy) {
            switch_keep(s, 0);
        }
    }
}

/* ---- a fence that outlived its migration, or its isolation ---- */

static void ask_console(const struct switch_shard *s)
{
    if (s->all->opt.refresh) {
        s->all->opt.refresh(s->all->opt.arg);
    }
}

void switch_note_ordered(struct switch_shard *s)
{
    s->is_past = false;
    s->record.migrating_version = 0;
    s->fenced_at = loop_now(s->all->opt.loop);
    s->is_inherited = false;
    switch_note_migrating(s);
}

void switch_note_inherited(struct switch_shard *s)
{
    s->fenced_at = s->known_at;
    s->is_inherited = true;
    switch_note_migrating(s);
    if (switch_is_primary(s) || s->record.is_isolation) {
        ask_console(s);
    }
}

/* The first time it is written down at once: the next owner may come when the migration is over, and sees nothing of it. */
void switch_note_migrating(struct switch_shard *s)
{
    const struct cluster_meta *cluster = dc_store_cluster_by_id(s->all->opt.store, s->cluster_id);
    struct switch_record *r = &s->record;
    s->is_past = switch_is_fenced(s) && cluster && !switch_is_primary(s) &&
                 (s->is_past || !cluster->is_migrating);
    if (switch_is_fenced(s) && cluster && cluster->is_migrating &&
        cluster->version > r->migrating_version) {
        bool is_first = r->migrating_version == 0;
        r->migrating_version = cluster->version;
        if (is_first && !s->job) { /* which writes what it has done */
            switch_write(s);
        }
    }
    bool is_outlived = switch_is_fenced(s) && cluster && !cluster->is_migrating &&
                       switch_is_primary(s) && r->migrating_version > 0 &&
                       cluster->version > r->migrating_version;
    if (!is_outlived) {
        s->outlived_at = MONO_NEVER;
    } else if (s->outlived_at == MONO_NEVER) {
        s->outlived_at = loop_now(s->all->opt.loop);
        ask_console(s);
    }
}

static void on_let_go(const struct switch_fence *result, void *arg)
{
    struct switch_shard *s = arg;
    enum fence_state state = result->state;
    struct addr master = result->master;
    if (!end_run(s)) {
        return;
    }
    log_warn("switch.fence_outlived", "cluster", log_int(s->cluster_id), "shard",
             log_int(s->shard_id), "state", fence_state_text(state), "why",
             s->record.is_isolation ? "the console was heard again: this dc is the primary one"
                                    : "its migration is over, and this dc is the primary one");
    if (state == FENCE_RELEASED) {
        switch_keep_settings_of_held(s, &master);
        switch_note_release(s);
        switch_write(s);
        switch_look(s); /* the sentinels */
    } else {
        switch_keep(s, s->all->opt.reassert_ms);
    }
    switch_job_recorded(s);
}

/* Whoever rolled back may have released the master without a word to us, and we have asserted the fence since. */
static void let_go(struct switch_shard *s)
{
    struct fence_options options = { .goal = FENCE_GOAL_RELEASE,
                                     .saved = s->record.saved,
                                     .saved_of = s->record.master,
                                     .on_done = on_let_go };
    if (!s->record.is_isolation) { /* which may have lasted longer than the master */
        options.hint = s->record.master;
    }
    start(s, &options);
    if (!s->keep_run) {
        switch_keep(s, s->all->opt.reassert_ms);
    }
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
    struct stray *stray = &s->strays[s->stray_at];
    bool is_held = state == FENCE_HELD || state == FENCE_FROZEN;
    stray->held_at = is_held ? loop_now(s->all->opt.loop) : MONO_NEVER;
    if (was_commanding) {
        metric_add(&switch_strays, is_held);
        log_warn("switch.stray", "cluster", log_int(s->cluster_id), "shard", log_int(s->shard_id),
                 "redis", ADDR_TEXT(&stray->redis), "state", fence_state_text(state), "why",
                 "a writable master in a backup DC: what it is told to write would be lost");
    }
    switch_diverge_look(s);
    /* settles it when it follows */
    switch_keep(s, due_stray(s) ? 0 : s->all->opt.reassert_ms);
    switch_job_recorded(s);
}

/* The one that a fence of ours still holds: what it was before, not what it says now. */
static struct fence_saved saved_of_stray(const struct switch_shard *s, const struct addr *redis,
                                         const struct switch_fence *seen)
{
    const struct switch_record *r = &s->record;
    bool is_ours = seen->state == FENCE_HELD && r->saved.is_known && addr_eq(redis, &r->master);
    return is_ours ? r->saved : switch_saved(&seen->saved);
}

static void on_stray_seen(const struct switch_fence *result, void *arg)
{
    struct switch_shard *s = arg;
    struct switch_fence seen = *result;
    bool is_there = seen.state == FENCE_RELEASED || seen.state == FENCE_HELD;
    if (!end_run(s)) {
        return;
    }
    struct stray *stray = &s->strays[s->stray_at];
    struct fence_saved saved = saved_of_stray(s, &stray->redis, &seen);
    if (is_there && switch_kept_add(&s->record.kept, &stray->redis, &saved)) {
        stray->is_due = true; /* with the next turn, which has its settings */
        switch_write(s);
    }
    switch_keep(s, 0);
    switch_job_recorded(s);
}

/* One beyond those whose settings can be kept is held all the same. */
static void hold_stray(struct switch_shard *s)
{
    struct stray *stray = due_stray(s);
    xp_check(stray); /* K40 */
    const struct switch_kept *kept = switch_kept_find(&s->record.kept, &stray->redis);
    bool is_seen = kept || s->record.kept.count >= SWITCH_KEPT_MAX;
    struct fence_options options = {
        .run.redis = &stray->redis,
        .run.redis_count = 1,
        .goal = is_seen ? FENCE_GOAL_HOLD : FENCE_GOAL_LOOK,
        .hint = stray->redis,
        .saved = kept ? kept->saved : (struct fence_saved){ 0 },
        .on_done = is_seen ? on_stray_held : on_stray_seen,
    };
    stray->is_due = false;
    s->stray_at = (size_t)(stray - s->strays);
    start(s, &options);
}

/* NULL: there are as many already as a shard has Redis. */
static struct stray *stray_of(struct switch_shard *s, const struct addr *redis)
{
    for (size_t i = 0; i < s->stray_count; i++) {
        if (addr_eq(&s->strays[i].redis, redis)) {
            return &s->strays[i];
        }
    }
    if (s->stray_count >= SWITCH_REDIS_MAX) {
        return NULL;
    }
    s->strays = xrealloc(s->strays, s->stray_count + 1, sizeof(*s->strays));
    s->strays[s->stray_count] = (struct stray){ .redis = *redis, .held_at = MONO_NEVER };
    return &s->strays[s->stray_count++];
}

void switch_strays_forget(struct switch_shard *s)
{
    free(TAKE(s->strays));
    s->stray_count = 0;
}

void switch_stray_follows(struct switch_shard *s, const struct addr *redis)
{
    for (size_t i = 0; i < s->stray_count; i++) {
        if (addr_eq(&s->strays[i].redis, redis)) {
            s->strays[i].held_at = MONO_NEVER;
        }
    }
}

void shard_switch_stray(struct shard_switches *all, int64_t cluster_id, int64_t shard_id,
                        const struct addr *master)
{
    struct switch_shard *s = switch_find(all, cluster_id, shard_id);
    struct keep_facts facts;
    if (!s || !s->is_owned || !s->is_known || has_step(s)) {
        return;
    }
    switch_keep_facts(s, &facts);
    struct stray *stray =
        facts.is_primary || !keep_may_correct(&facts) ? NULL : stray_of(s, master);
    bool is_held = stray && stray->held_at != MONO_NEVER &&
                   mono_age(loop_now(all->opt.loop), stray->held_at) < all->opt.reassert_ms;
    if (stray && !is_held && !stray->is_due) {
        stray->is_due = true;
        switch_keep(s, 0);
    }
}

/* ---- the promoted one, after a crash between the promotion and its record ---- */

static void on_master_seen(const struct switch_fence *result, void *arg)
{
    struct switch_shard *s = arg;
    struct switch_record *r = &s->record;
    struct addr master = result->master;
    bool is_master = result->state == FENCE_RELEASED;
    struct switch_kept_list others = { 0 };
    switch_others_seen(s->keep_run, &master, &others);
    if (!end_run(s)) {
        return;
    }
    if (is_master && others.count == 0 && r->is_promoting && switch_is_primary(s)) {
        log_info("switch.promoted_found", "cluster", log_int(s->cluster_id), "shard",
                 log_int(s->shard_id), "redis", ADDR_TEXT(&master));
        r->promoted = master;
        r->is_promoting = false;
        r->maybe = (struct addr){ 0 };
        switch_write(s);
        struct tree_duty *tree = switch_tree(s);
        if (tree) {
            tree_duty_appoint(tree, &master);
        }
    } else {
        s->find_at = loop_now(s->all->opt.loop) + FIND_AGAIN_MS;
        switch_keep(s, FIND_AGAIN_MS);
    }
    switch_job_recorded(s);
}

static void find_master(struct switch_shard *s)
{
    struct fence_options options = { .goal = FENCE_GOAL_LOOK, .on_done = on_master_seen };
    start(s, &options);
}

/* ---- the rhythm ---- */

static void settle(struct switch_shard *s)
{
    s->settle_looks -= s->settle_looks > 0;
    switch_settle_start(s);
}

static void forget_fence(struct switch_shard *s)
{
    s->record.fence = FENCE_NONE;
    s->record.is_isolation = false;
    switch_write(s);
}

static void later(struct switch_shard *s)
{
    switch_keep(s, BUSY_MS);
}

static void nothing(struct switch_shard *s)
{
    (void)s;
}

static void keep_fire(struct loop_timer *timer)
{
    static void (*const carry_out[])(struct switch_shard *) = {
        [KEEP_NOTHING] = nothing, [KEEP_LATER] = later,         [KEEP_ASSERT] = assert_fence,
        [KEEP_RELEASE] = let_go,  [KEEP_HOLD] = hold_stray,     [KEEP_FIND] = find_master,
        [KEEP_SETTLE] = settle,   [KEEP_FORGET] = forget_fence, [KEEP_ISOLATE] = switch_isolate,
    };
    struct switch_shard *s = CONTAINER_OF(timer, struct switch_shard, keep_timer);
    struct cluster_meta *cluster;
    const struct shard_meta *shard;
    struct keep_facts facts;
    struct keep_plan plan;
    if (!s->is_owned || !s->is_known || !switch_meta(s, &cluster, &shard)) {
        return;
    }
    switch_note_migrating(s);
    switch_keep_facts(s, &facts);
    keep_decide(&facts, &plan);
    s->kept = plan.duty == KEEP_LATER ? s->kept : plan.duty; /* of the run under way */
    carry_out[plan.duty](s);
}

void switch_keep_init(struct switch_shard *s)
{
    loop_timer_init(&s->keep_timer, s->all->opt.loop, keep_fire);
}
