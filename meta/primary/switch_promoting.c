/* switch_promoting.c - the destination's steps: is it fit, have the data arrived, promote. A promoted Redis that still has the
 * min-slaves-to-write of an earlier hold gets its setting back before the answer: it would refuse every write. */
#include <stdio.h>
#include <string.h>

#include "meta/primary/switch_internal.h"
#include "shared/base/fault.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

#define MESSAGE_MAX_BYTES 4096

/* ---- check ---- */

static void add_redis(struct switch_check *check, const struct promote_node *n)
{
    struct check_redis *r = &check->redis[check->redis_count++];
    *r = (struct check_redis){
        .addr = n->addr,
        .is_alive = n->was_asked && !n->is_silent && n->role.kind != ROLE_KIND_UNKNOWN,
        .is_master = n->role.kind == ROLE_KIND_MASTER,
        .is_link_up = n->role.link == ROLE_LINK_CONNECTED,
        .is_read_only = n->is_read_only,
        .follows = n->role.master,
        .offset = n->offset,
        .priority = n->priority,
        .min_slaves = n->min_slaves,
        .max_lag_s = n->max_lag_s,
        .backlog_bytes = n->backlog_bytes,
        .is_syncing = n->role.kind == ROLE_KIND_REPLICA && n->role.link == ROLE_LINK_SYNC,
        .has_no_file = n->has_no_file,
    };
    memcpy(r->repl_id, n->repl_id, sizeof(r->repl_id));
}

static void add_keepers(const struct switch_shard *s, struct switch_check *check)
{
    struct cluster_meta *cluster;
    const struct shard_meta *shard;
    const struct tree_duty *tree = switch_tree(s);
    check->active_keeper_offset = -1;
    if (switch_meta(s, &cluster, &shard)) {
        check->keepers = (int)shard->keepers.count;
    }
    if (tree) {
        check->keepers_living = tree_duty_living_keepers(tree);
        check->has_active_keeper =
            tree_duty_active_keeper(tree, &check->active_keeper, &check->is_active_keeper_linked,
                                    &check->active_keeper_offset);
    }
}

static void add_part(struct str *text, const char *part, const struct addr *addr)
{
    str_printf(text, "%s%s%s%s", text->len > 0 ? "; " : "", part, addr ? " " : "",
               addr ? ADDR_TEXT(addr) : "");
}

/* What speaks against a switch to here. x-pipe's two reasons refuse it, and two masters; of the rest the console is told: when the
 * source DC is dead, all links to it are down. */
static enum check_type judge(const struct switch_check *check, struct str *text)
{
    int alive = 0;
    int masters = 0;
    for (size_t i = 0; i < check->redis_count; i++) {
        const struct check_redis *r = &check->redis[i];
        alive += r->is_alive;
        masters += r->is_alive && r->is_master;
    }
    if (alive == 0) {
        str_puts(text, "all redises dead:");
        for (size_t i = 0; i < check->redis_count; i++) {
            str_printf(text, "%s%s", i ? "," : "", ADDR_TEXT(&check->redis[i].addr));
        }
        return CHECK_FAIL;
    }
    for (size_t i = 0; i < check->redis_count; i++) {
        const struct check_redis *r = &check->redis[i];
        if (!r->is_alive) {
            add_part(text, "no answer from", &r->addr);
        } else if (r->is_master) {
            add_part(text, masters > 1 ? "several masters:" : "a master already:", &r->addr);
        } else if (!r->is_link_up) {
            add_part(text, "replica link down:", &r->addr);
        }
    }
    if (check->keepers > 0 && !check->has_active_keeper) {
        add_part(text, "no active keeper", NULL);
    } else if (check->has_active_keeper && !check->is_active_keeper_linked) {
        add_part(text, "the link of the active keeper is down", NULL);
    }
    return masters > 1 ? CHECK_FAIL : CHECK_SUCCESS;
}

static struct switch_check *check_new(const struct switch_shard *s)
{
    struct switch_check *check = xcalloc(1, sizeof(*check));
    check->is_ours = true;
    (void)snprintf(check->dc, sizeof(check->dc), "%s", dc_store_dc(s->all->opt.store));
    check->epoch = s->record.epoch;
    check->look_us = -1;
    check->fence = s->record.fence;
    add_keepers(s, check);
    return check;
}

static void end_check(struct switch_shard *s, struct switch_check *check)
{
    switch_end_check(s, check);
    switch_check_done(check);
    free(check);
}

static void end_looked_at(struct switch_shard *s, const struct promote_result *result)
{
    struct str text = STR_INIT(MESSAGE_MAX_BYTES);
    struct switch_check *check = check_new(s);
    const char *own = dc_store_dc(s->all->opt.store);
    check->look_us = result->look_us;
    for (size_t i = 0; i < result->count && i < SWITCH_REDIS_MAX; i++) {
        add_redis(check, &result->nodes[i]);
    }
    if (text_eq(own, s->job->dc)) {
        check->type = judge(check, &text);
    } else {
        check->type = CHECK_SUCCESS;
        str_printf(&text, "current dc :%s is not new primary: %s ", own, s->job->dc);
    }
    check->message = text.len > 0 ? str_take(&text) : NULL;
    str_done(&text);
    end_check(s, check);
}

static bool ends_as_primary(struct switch_shard *s)
{
    struct cluster_meta *cluster;
    const struct shard_meta *shard;
    bool is_so = switch_meta(s, &cluster, &shard) && text_eq(cluster->active_dc, s->job->dc);
    if (is_so) {
        struct switch_check *check = check_new(s);
        check->type = CHECK_ALREADY_NEW;
        check->message = xasprintf("%s already primary dc", s->job->dc);
        end_check(s, check);
    }
    return is_so;
}

/* ---- promotion ---- */

static void end_change(struct switch_shard *s, struct switch_change *take_change)
{
    if (fault_hit(FAULT_meta_after_promote)) {
        struct xp_err err;
        (void)xp_fail(&err, XP_UNAVAILABLE, "fault: the answer of the promotion is lost");
        switch_change_done(take_change);
        switch_end_error(s, &err);
        return;
    }
    switch_end_change(s, take_change);
}

/* The promoted one has its settings; the master that an earlier fence held here gets them when it follows. */
static void end_fence(struct switch_shard *s, const struct addr *promoted)
{
    struct switch_record *r = &s->record;
    if (r->saved.is_known && !addr_is_none(&r->master)) {
        (void)switch_kept_add(&r->kept, &r->master, &r->saved);
    }
    switch_kept_remove(&r->kept, promoted);
    r->fence = FENCE_NONE;
    r->is_isolation = false;
    r->saved = (struct fence_saved){ 0 };
}

static void note_promoted(struct switch_shard *s, const struct addr *master)
{
    s->may_follow = true;
    s->held_until = MONO_NEVER;
    s->record.promoted = *master;
    s->record.is_promoting = false;
    s->record.maybe = (struct addr){ 0 };
    end_fence(s, master);
    s->is_dirty = true; /* written by become_primary */
}

/* The memory of this member says so now; the others are told by who took the request. */
static void become_primary(struct switch_shard *s, bool leaves_sentinels)
{
    const struct shard_switches_options *opt = &s->all->opt;
    struct xp_err err = { 0 };
    switch_write(s);
    switch_keep(s, 0);
    if (dc_store_set_active(opt->store, s->cluster_id, dc_store_dc(opt->store), loop_now(opt->loop),
                            &err) != 0) {
        log_warn("switch.not_primary", "cluster", log_int(s->cluster_id), "shard",
                 log_int(s->shard_id), "why", err.msg);
    }
    struct tree_duty *tree = switch_tree(s);
    if (tree && leaves_sentinels) {
        tree_duty_leave_sentinels(tree, opt->hold_ms);
    }
    if (tree) {
        tree_duty_appoint(tree, &s->record.promoted);
    }
}

/* The answer goes first: clients cannot write until it is there. */
static void end_promoted(struct switch_shard *s, struct switch_change *take_change)
{
    bool leaves_sentinels = !s->job->order.add_sentinel;
    note_promoted(s, &take_change->new_master);
    end_change(s, take_change);
    become_primary(s, leaves_sentinels);
}

static void on_released(const struct switch_fence *result, void *arg)
{
    struct switch_shard *s = arg;
    enum fence_state state = result->state;
    fence_run_free(TAKE(s->fence_run));
    if (!s->job || s->job->waits_for_record) {
        execution_log_free(TAKE(s->orphan_log));
        switch_job_recorded(s);
        switch_settled(s);
        return;
    }
    struct switch_change change = s->job->change;
    s->job->change = (struct switch_change){ 0 };
    if (state == FENCE_RELEASED) {
        end_promoted(s, &change);
        return;
    }
    change.is_success = false;
    s->held_until = loop_now(s->all->opt.loop) + s->all->opt.hold_ms;
    execution_log_error(s->job->log, "%s was promoted and still refuses writes",
                        ADDR_TEXT(&change.new_master));
    end_change(s, &change);
}

/* An earlier fence of the promoted one is still in force. */
static bool needs_release(const struct switch_shard *s, const struct promote_result *result)
{
    for (size_t i = 0; i < result->count; i++) {
        if (addr_eq(&result->nodes[i].addr, &result->change.new_master)) {
            return result->nodes[i].min_slaves == FENCE_MIN_SLAVES || s->record.fence != FENCE_NONE;
        }
    }
    return s->record.fence != FENCE_NONE;
}

static bool release(struct switch_shard *s)
{
    const struct switch_kept *kept = switch_kept_find(&s->record.kept, &s->job->change.new_master);
    struct fence_options options = {
        .run.redis = &s->job->change.new_master,
        .run.redis_count = 1,
        .run.deadline_ms = switch_job_left_ms(s),
        .run.log = s->job->log,
        .goal = FENCE_GOAL_RELEASE,
        .hint = s->job->change.new_master,
        .saved = switch_saved(kept ? &kept->saved : &s->record.saved),
        .on_done = on_released,
    };
    execution_log_info(s->job->log, "%s gets the settings of before its fence back",
                       ADDR_TEXT(&s->job->change.new_master));
    s->fence_run = switch_fence_run(s, &options);
    return s->fence_run != NULL;
}

static void copy_change(const struct switch_change *from, struct switch_change *ret_change)
{
    *ret_change = *from;
    ret_change->log = NULL; /* it is the job's */
}

static void end_promotion(struct switch_shard *s, const struct promote_result *result)
{
    struct switch_change change;
    copy_change(&result->change, &change);
    bool is_promoted = result->outcome == PROMOTE_OK && change.is_success;
    if (is_promoted && needs_release(s, result)) {
        s->job->change = change;
        if (release(s)) {
            return;
        }
        s->job->change = (struct switch_change){ 0 };
    }
    if (is_promoted) {
        end_promoted(s, &change);
        return;
    }
    /* perhaps it is a master now: nobody may point it elsewhere until the console knows what it wants */
    s->held_until = loop_now(s->all->opt.loop) + s->all->opt.hold_ms;
    if (result->outcome == PROMOTE_UNKNOWN && !addr_is_none(&result->maybe) &&
        !addr_eq(&result->maybe, &s->record.maybe)) {
        s->record.maybe = result->maybe;
        switch_write(s);
    }
    end_change(s, &change);
}

static void on_run(const struct promote_result *result, void *arg)
{
    struct switch_shard *s = arg;
    struct promote_run *run = TAKE(s->promote_run);
    struct switch_change change;
    if (!s->job || s->job->waits_for_record) {
        bool is_promoted = result->outcome == PROMOTE_OK && result->change.is_success;
        switch_orphan_ended(s, is_promoted ? &result->change.new_master : &result->maybe);
        promote_run_free(run);
        execution_log_free(TAKE(s->orphan_log));
        switch_job_recorded(s);
        switch_settled(s);
        return;
    }
    switch (s->job->step) {
    case SWITCH_CHECK:
        end_looked_at(s, result);
        break;
    case SWITCH_DRAIN:
        copy_change(&result->change, &change);
        switch_end_change(s, &change);
        break;
    case SWITCH_HOLD:
    case SWITCH_FREEZE:
    case SWITCH_WHOLE:
    case SWITCH_RELEASE:
    case SWITCH_PROMOTE:
    case SWITCH_FOLLOW:
        end_promotion(s, result);
        break;
    }
    promote_run_free(run);
}

static bool start(struct switch_shard *s, enum promote_goal goal)
{
    struct addr redises[SWITCH_REDIS_MAX];
    struct promote_options options = {
        .run.deadline_ms = switch_job_left_ms(s),
        .run.log = s->job->log,
        .run.warm = goal == PROMOTE_GOAL_CHECK ? NULL : &s->warm,
        .goal = goal,
        .order = s->job->order,
        .maybe = s->record.maybe,
        .on_done = on_run,
    };
    if (!switch_run_fill(s, redises, &options.run)) {
        return false;
    }
    s->promote_run = promote_run_start(&options);
    return true;
}

/* ---- the steps ---- */

/* Whoever has the shard next must not take one that was promoted a moment ago for a stray: the record says so before. Which one it
 * will be is not known yet. */
static void intend_promotion(struct switch_shard *s)
{
    if (addr_is_none(&s->record.promoted) && !s->record.is_promoting) {
        s->record.is_promoting = true;
        s->is_dirty = true;
    }
}

/* A cluster that is locked, and whose switch to here was checked: the promotion finds its record written, and no write of ZooKeeper is
 * waited for while clients cannot write. */
void switch_prepare(struct switch_shard *s)
{
    struct keep_facts facts;
    switch_keep_facts(s, &facts);
    if (s->is_known && s->is_checked && facts.is_migrating && !facts.is_primary) {
        intend_promotion(s);
        s->is_prepared |= s->is_dirty;
        if (s->is_dirty) {
            switch_write(s);
        }
    }
    if (s->is_known && s->is_prepared &&
        !facts.is_migrating) { /* it was cancelled, or went elsewhere */
        s->is_prepared = false;
        s->record.is_promoting = false;
        switch_write(s);
    }
}

/* Epoch and intent are in the record before a Redis is changed. True: they are. A drain, which changes nothing, only begins to write
 * them: the promotion behind it has not to wait then. */
static bool is_intent_written(struct switch_shard *s)
{
    struct switch_job *job = s->job;
    if (job->is_written) {
        return true;
    }
    job->is_written = true;
    if (job->order.epoch > s->record.epoch) {
        s->record.epoch = job->order.epoch;
        s->is_dirty = true;
    }
    intend_promotion(s);
    if (!s->is_dirty) {
        return true;
    }
    switch_write(s);
    if (job->step == SWITCH_DRAIN) {
        return true;
    }
    job->waits_for_record = true;
    loop_timer_start(&s->job_timer, switch_job_left_ms(s));
    return false;
}

void switch_promoting(struct switch_shard *s)
{
    static const enum promote_goal goals[] = { [SWITCH_CHECK] = PROMOTE_GOAL_CHECK,
                                               [SWITCH_DRAIN] = PROMOTE_GOAL_DRAIN,
                                               [SWITCH_PROMOTE] = PROMOTE_GOAL_PROMOTE };
    struct xp_err err;
    enum switch_step step = s->job->step;
    if (step == SWITCH_CHECK && ends_as_primary(s)) {
        return;
    }
    if (step == SWITCH_CHECK && text_eq(s->job->dc, dc_store_dc(s->all->opt.store))) {
        s->is_checked = true;
        switch_prepare(s);
    }
    s->is_prepared &= step == SWITCH_CHECK;
    if (step != SWITCH_CHECK && !is_intent_written(s)) {
        return;
    }
    if (step == SWITCH_PROMOTE && fault_hit(FAULT_meta_before_promote)) {
        (void)xp_fail(&err, XP_UNAVAILABLE, "fault: before the promotion");
        switch_undo(s);
        switch_end_error(s, &err);
    } else if (!start(s, goals[step])) {
        (void)xp_fail(&err, XP_NOT_FOUND, "the shard is not in the metadata any more");
        switch_undo(s);
        switch_end_error(s, &err);
    }
}
