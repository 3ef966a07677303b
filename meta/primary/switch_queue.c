/* switch_queue.c - the steps of one shard, one after the other: who waits for which, and what he is answered. */
#include <string.h>

#include "meta/primary/switch_internal.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

#define CHECK_DRAIN_SLACK_MS 500 /* a drain's looks beyond its waiting */
#define DEADLINE_MAX_MS      60000

const char *switch_step_text(enum switch_step step)
{
    static const char *const texts[] = {
        [SWITCH_CHECK] = "check",     [SWITCH_HOLD] = "hold",       [SWITCH_FREEZE] = "freeze",
        [SWITCH_WHOLE] = "whole",     [SWITCH_RELEASE] = "release", [SWITCH_DRAIN] = "drain",
        [SWITCH_PROMOTE] = "promote", [SWITCH_FOLLOW] = "follow",
    };
    return texts[step];
}

bool switch_changes(enum switch_step step)
{
    return step != SWITCH_CHECK && step != SWITCH_DRAIN && step != SWITCH_FOLLOW;
}

/* ---- a job ---- */

static int64_t default_ms(const struct shard_switches_options *opt, const struct switch_job *job)
{
    switch (job->step) {
    case SWITCH_CHECK:
    case SWITCH_HOLD:
    case SWITCH_FREEZE:
    case SWITCH_RELEASE:
        break;
    case SWITCH_WHOLE:
        return opt->fence_ms + job->order.drain_ms;
    case SWITCH_DRAIN:
        return job->order.drain_ms + CHECK_DRAIN_SLACK_MS;
    case SWITCH_PROMOTE:
        return job->order.drain_ms + opt->promote_ms;
    case SWITCH_FOLLOW:
        return opt->follow_ms;
    }
    return opt->fence_ms;
}

static struct switch_job *job_new(const struct switch_shard *s,
                                  const struct switch_request *request)
{
    const struct shard_switches_options *opt = &s->all->opt;
    struct switch_job *job = xcalloc(1, sizeof(*job));
    job->step = request->step;
    job->dc = xstrdup(request->dc ? request->dc : "");
    job->order = request->order;
    if (job->order.drain_ms <= 0) {
        job->order.drain_ms = opt->drain_ms;
    }
    int64_t ms = job->order.deadline_ms > 0 ? job->order.deadline_ms : default_ms(opt, job);
    job->began = loop_now(opt->loop);
    job->deadline = job->began + (ms < DEADLINE_MAX_MS ? ms : DEADLINE_MAX_MS);
    job->log = execution_log_new(s->all->first_line);
    return job;
}

void switch_job_free(struct switch_job *job)
{
    switch_change_done(&job->change);
    execution_log_free(job->log);
    free(job->waiters);
    free(job->dc);
    free(job);
}

static void add_waiter(struct switch_job *job, switch_answer_fn *fn, void *arg)
{
    job->waiters = xrealloc(job->waiters, job->waiter_count + 1, sizeof(*job->waiters));
    job->waiters[job->waiter_count++] = (struct switch_waiter){ .fn = fn, .arg = arg };
}

int64_t switch_job_left_ms(const struct switch_shard *s)
{
    int64_t left_ms = s->job->deadline - loop_now(s->all->opt.loop);
    return left_ms > 0 ? left_ms : 1;
}

/* ---- the end of a job ---- */

static void answer(const struct switch_job *job, const struct switch_answer *what)
{
    for (size_t i = 0; i < job->waiter_count; i++) {
        job->waiters[i].fn(what, job->waiters[i].arg);
    }
}

static void note_end(struct switch_shard *s, const struct switch_job *job, const char *error)
{
    mono_ms now = loop_now(s->all->opt.loop);
    s->ended_at = now;
    s->last_step = job->step;
    free(s->last_error);
    s->last_error = error ? xstrdup(error) : NULL;
    switch_metrics_step(job->step, error == NULL, now - job->began);
    struct cluster_meta *cluster;
    const struct shard_meta *shard;
    bool is_there = switch_meta(s, &cluster, &shard);
    if (job->step == SWITCH_CHECK && !error) {
        return; /* the console asks for every shard again and again (readiness): it has its numbers */
    }
    log_info("switch.step", "cluster", is_there ? cluster->name : log_int(s->cluster_id), "shard",
             is_there ? shard->name : log_int(s->shard_id), "step", switch_step_text(job->step),
             "epoch", log_int(job->order.epoch), "ms", log_int(now - job->began), "error", error);
}

/* The job is over; its answer goes out before the next one begins. */
static void end(struct switch_shard *s, struct switch_answer *what, const char *error)
{
    struct switch_job *job = TAKE(s->job);
    loop_timer_stop(&s->job_timer);
    what->step = job->step;
    note_end(s, job, error);
    answer(job, what);
    switch_job_free(job);
    switch_next(s);
}

void switch_end_error(struct switch_shard *s, const struct xp_err *err)
{
    struct xp_err copy = *err;
    struct switch_answer what = { .rc = copy.code, .err = &copy };
    end(s, &what, copy.msg);
}

void switch_end_check(struct switch_shard *s, struct switch_check *check)
{
    struct switch_answer what = { .check = check };
    end(s, &what, check->type == CHECK_FAIL ? "not fit" : NULL);
}

void switch_end_fence(struct switch_shard *s, struct switch_fence *take_fence)
{
    take_fence->is_ours = true;
    take_fence->epoch = s->record.epoch;
    take_fence->log = execution_log_take(s->job->log);
    bool is_release = s->job->step == SWITCH_RELEASE;
    bool is_done = is_release
                       ? take_fence->state == FENCE_RELEASED
                       : take_fence->state == FENCE_HELD || take_fence->state == FENCE_FROZEN;
    struct switch_answer what = { .fence = take_fence };
    end(s, &what, is_done ? NULL : fence_state_text(take_fence->state));
    switch_fence_done(take_fence);
}

void switch_forget(struct switch_shard *s)
{
    if (s->again) {
        switch_change_done(&s->again->change);
        free(s->again->dc);
        free(TAKE(s->again));
    }
}

static void remember(struct switch_shard *s, const struct switch_change *change)
{
    struct switch_again *again = xcalloc(1, sizeof(*again));
    again->at = loop_now(s->all->opt.loop);
    again->dc = xstrdup(s->job->dc);
    again->epoch = s->job->order.epoch;
    again->change = *change;
    again->change.log = xstrdup(change->log);
    s->again = again;
}

void switch_end_change(struct switch_shard *s, struct switch_change *take_change)
{
    take_change->is_ours = true;
    take_change->epoch = s->record.epoch;
    free(take_change->log);
    take_change->log = execution_log_take(s->job->log);
    if (s->job->step == SWITCH_PROMOTE && take_change->is_success) {
        switch_forget(s);
        remember(s, take_change);
    }
    struct switch_answer what = { .change = take_change };
    const char *error = take_change->is_success ? NULL
                        : take_change->is_stale ? "stale epoch"
                                                : "FAIL";
    end(s, &what, error);
    switch_change_done(take_change);
}

void switch_end_stale(struct switch_shard *s)
{
    struct xp_err err;
    const struct switch_job *job = s->job;
    (void)xp_fail(&err, XP_CONFLICT, "stale epoch %lld: %lld is known for this shard",
                  (long long)job->order.epoch, (long long)s->record.epoch);
    if (job->step == SWITCH_DRAIN || job->step == SWITCH_PROMOTE || job->step == SWITCH_FOLLOW) {
        struct switch_change change = { .is_stale = true, .offset = -1, .offset_gap = -1 };
        execution_log_error(job->log, "%s", err.msg);
        switch_end_change(s, &change);
    } else {
        switch_end_error(s, &err);
    }
}

static void fail_job(struct switch_job *job, const struct xp_err *err)
{
    struct switch_answer what = { .step = job->step, .rc = err->code, .err = err };
    answer(job, &what);
    switch_job_free(job);
}

/* A run that is under way writes to the log of its job until it ends. */
void switch_jobs_fail(struct switch_shard *s, const struct xp_err *err)
{
    loop_timer_stop(&s->job_timer);
    struct switch_job *job = TAKE(s->job);
    if (job && (s->fence_run || s->promote_run) && !job->waits_for_record) {
        s->orphan_log = TAKE(job->log);
        s->is_orphan_promotion = s->promote_run && job->step == SWITCH_PROMOTE;
        s->orphan_epoch = job->order.epoch;
    }
    if (job) {
        fail_job(job, err);
    }
    for (struct list *link; (link = list_pop_front(&s->queue));) {
        fail_job(LIST_ENTRY(link, struct switch_job, link), err);
    }
    s->queued = 0;
}

/* ---- the beginning ---- */

static void go(struct switch_shard *s)
{
    struct switch_job *job = s->job;
    if (!job->has_before && s->is_known) {
        job->has_before = true;
        job->before = s->record;
    }
    if (job->order.epoch > 0 && job->order.epoch < s->record.epoch && job->step != SWITCH_CHECK) {
        switch_end_stale(s);
        return;
    }
    switch (job->step) {
    case SWITCH_HOLD:
    case SWITCH_FREEZE:
    case SWITCH_WHOLE:
    case SWITCH_RELEASE:
        switch_fencing(s);
        break;
    case SWITCH_CHECK:
    case SWITCH_DRAIN:
    case SWITCH_PROMOTE:
        switch_promoting(s);
        break;
    case SWITCH_FOLLOW:
        switch_following(s);
        break;
    }
}

/* Does ZooKeeper have what this step needs there before its first command? Then it does not wait for what is being written beside. */
static bool is_covered(const struct switch_shard *s)
{
    const struct switch_record *w = &s->written;
    bool is_epoch = w->epoch >= s->job->order.epoch;
    switch (s->job->step) {
    case SWITCH_CHECK:
    case SWITCH_DRAIN:
        return true; /* change nothing */
    case SWITCH_HOLD:
    case SWITCH_FREEZE:
    case SWITCH_WHOLE:
        return is_epoch && w->fence != FENCE_NONE && w->saved.is_known && switch_is_fenced(s);
    case SWITCH_PROMOTE:
        return is_epoch && (w->is_promoting || !addr_is_none(&w->promoted));
    case SWITCH_RELEASE:
    case SWITCH_FOLLOW:
        break;
    }
    return false;
}

void switch_job_recorded(struct switch_shard *s)
{
    bool is_recorded = s->is_known && !s->is_dirty && !s->is_writing;
    if (s->job && s->job->waits_for_record && switch_is_quiet(s) &&
        (is_recorded || s->job->step == SWITCH_CHECK || (s->is_known && is_covered(s)))) {
        s->job->waits_for_record = false;
        loop_timer_stop(&s->job_timer);
        go(s);
    }
}

/* What looks after the fence may have a command under way that would come behind ours: that is let end. */
static void begin(struct switch_shard *s, struct switch_job *job)
{
    bool is_same_way =
        (job->step == SWITCH_HOLD || job->step == SWITCH_FREEZE || job->step == SWITCH_WHOLE) &&
        s->kept != KEEP_RELEASE;
    s->job = job;
    if (switch_changes(job->step)) {
        switch_forget(s);
    }
    if (job->step != SWITCH_CHECK && job->step != SWITCH_DRAIN) {
        switch_keep_yield(s, is_same_way);
    }
    job->waits_for_record = true;
    loop_timer_start(&s->job_timer, switch_job_left_ms(s));
    switch_job_recorded(s);
}

void switch_next(struct switch_shard *s)
{
    while (!s->job) {
        struct list *link = list_pop_front(&s->queue);
        if (!link) {
            return;
        }
        struct switch_job *job = LIST_ENTRY(link, struct switch_job, link);
        s->queued--;
        if (loop_now(s->all->opt.loop) >= job->deadline) {
            struct xp_err err;
            (void)xp_fail(&err, XP_TIMEOUT,
                          "the step waited too long for another one of its shard");
            fail_job(job, &err);
        } else {
            begin(s, job);
        }
    }
}

/* ---- requests ---- */

static bool is_same(const struct switch_job *job, const struct switch_request *request)
{
    const struct switch_order *a = &job->order;
    const struct switch_order *b = &request->order;
    bool is_same_wait = request->step != SWITCH_DRAIN ||
                        (a->offset == b->offset && strcmp(a->repl_id, b->repl_id) == 0);
    return job->step == request->step && text_eq(job->dc, request->dc) && a->epoch == b->epoch &&
           is_same_wait;
}

static struct switch_job *find_same(const struct switch_shard *s,
                                    const struct switch_request *request)
{
    if (s->job && is_same(s->job, request)) {
        return s->job;
    }
    list_for_each (it, &s->queue) {
        struct switch_job *job = LIST_ENTRY(it, struct switch_job, link);
        if (is_same(job, request)) {
            return job;
        }
    }
    return NULL;
}

static bool answer_again(const struct switch_shard *s, const struct switch_request *request,
                         switch_answer_fn *fn, void *arg)
{
    const struct switch_again *again = s->again;
    bool is_again = again && request->step == SWITCH_PROMOTE && !s->job &&
                    text_eq(again->dc, request->dc) && again->epoch == request->order.epoch &&
                    mono_age(loop_now(s->all->opt.loop), again->at) < s->all->opt.again_ms;
    if (is_again) {
        struct switch_answer what = { .step = request->step, .change = &again->change };
        fn(&what, arg);
    }
    return is_again;
}

int shard_switch_start(struct shard_switches *all, const struct switch_request *request,
                       switch_answer_fn *fn, void *arg, struct xp_err *err)
{
    struct cluster_meta *cluster = dc_store_cluster(all->opt.store, request->cluster);
    const struct shard_meta *shard = cluster ? cluster_meta_shard(cluster, request->shard) : NULL;
    if (!shard) {
        return xp_fail(err, XP_NOT_FOUND, "unknown clusterId shardId %s %s", request->cluster,
                       request->shard);
    }
    struct switch_shard *s = switch_find(all, cluster->db_id, shard->db_id);
    if (!s || !s->is_owned) {
        return xp_fail(err, XP_NOT_OWNER,
                       "cluster '%s': its type does not migrate, or there is no valid lease",
                       request->cluster);
    }
    struct switch_job *same = find_same(s, request);
    if (same) {
        add_waiter(same, fn, arg);
        return 0;
    }
    if (answer_again(s, request, fn, arg)) {
        return 0;
    }
    if (s->queued >= SWITCH_QUEUE_MAX) {
        return xp_fail(err, XP_TOO_MANY, "shard '%s' of cluster '%s' has %d steps waiting",
                       request->shard, request->cluster, SWITCH_QUEUE_MAX);
    }
    struct switch_job *job = job_new(s, request);
    add_waiter(job, fn, arg);
    list_push_back(&s->queue, &job->link);
    s->queued++;
    if (!s->job) {
        switch_next(s);
    }
    return 0;
}
