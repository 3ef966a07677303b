/* switch_following.c - changeprimarydc to another DC: the memory changes, the tree duty corrects this shard although the cluster migrates,
 * and the answer comes when every living Redis of the shard follows, or the deadline has passed. What is not right by then is
 * corrected later: the order holds. */
#include "meta/primary/switch_internal.h"
#include "shared/base/fault.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

#define FIRST_LOOK_MS 5
#define LOOK_MS       20
#define SETTLE_LOOKS  12 /* each up to 10 s after the one before */

static void end(struct switch_shard *s, bool is_success)
{
    struct switch_change change = {
        .is_success = is_success, .offset = -1, .offset_gap = -1, .is_drained = false
    };
    if (fault_hit(FAULT_meta_after_follow)) {
        struct xp_err err;
        (void)xp_fail(&err, XP_UNAVAILABLE, "fault: the answer of the follow is lost");
        switch_end_error(s, &err);
        return;
    }
    switch_end_change(s, &change);
}

void switch_following_look(struct switch_shard *s)
{
    const struct switch_job *job = s->job;
    struct tree_progress progress = { .why = "the shard is not looked after here" };
    const struct tree_duty *tree = switch_tree(s);
    if (job->step != SWITCH_FOLLOW) {
        return; /* its run has a deadline of its own */
    }
    if (tree) {
        tree_duty_progress(tree, &progress);
    }
    if (tree && !progress.why[0]) {
        execution_log_info(job->log, "%d of %d living Redis follow %s", progress.right,
                           progress.living, job->dc);
        s->settle_looks = SETTLE_LOOKS;
        switch_keep(s, 0);
        end(s, true);
    } else if (loop_now(s->all->opt.loop) >= job->deadline) {
        execution_log_error(job->log, "%d of %d living Redis follow %s: %s", progress.right,
                            progress.living, job->dc, progress.why);
        end(s, false);
    } else {
        loop_timer_start(&s->job_timer, LOOK_MS);
    }
}

/* Whoever was promoted here is not the master of anything any more. */
static void note_follow(struct switch_shard *s)
{
    struct switch_record *r = &s->record;
    bool is_news = s->job->order.epoch > r->epoch || !addr_is_none(&r->promoted) ||
                   r->is_promoting || !addr_is_none(&r->maybe);
    r->epoch = s->job->order.epoch > r->epoch ? s->job->order.epoch : r->epoch;
    r->promoted = (struct addr){ 0 };
    r->is_promoting = false;
    r->maybe = (struct addr){ 0 };
    s->may_follow = true;
    s->held_until = MONO_NEVER;
    if (is_news) {
        switch_write(s);
    }
}

static int check_dc(const struct switch_shard *s, struct xp_err *err)
{
    struct cluster_meta *cluster;
    const struct shard_meta *shard;
    bool is_there =
        switch_meta(s, &cluster, &shard) &&
        (text_eq(cluster->active_dc, s->job->dc) || names_has(&cluster->backup_dcs, s->job->dc));
    return is_there ? 0 : xp_fail(err, XP_INVALID, "dc '%s' is none of the cluster", s->job->dc);
}

void switch_following(struct switch_shard *s)
{
    const struct shard_switches_options *opt = &s->all->opt;
    struct xp_err err = { 0 };
    if (fault_hit(FAULT_meta_before_follow)) {
        (void)xp_fail(&err, XP_UNAVAILABLE, "fault: before the follow");
        switch_end_error(s, &err);
        return;
    }
    if (check_dc(s, &err) == 0) {
        note_follow(s);
    }
    if (err.code != 0 || dc_store_set_active(opt->store, s->cluster_id, s->job->dc,
                                             loop_now(opt->loop), &err) != 0) {
        struct switch_change change = { .offset = -1, .offset_gap = -1 };
        execution_log_error(s->job->log, "%s", err.msg);
        switch_end_change(s, &change);
        return;
    }
    execution_log_info(s->job->log, "dc %s follows dc %s", dc_store_dc(opt->store), s->job->dc);
    switch_look(s);
    loop_timer_start(&s->job_timer, FIRST_LOOK_MS);
}
