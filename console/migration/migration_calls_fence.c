/* migration_calls_fence.c - the ways of a fence: HOLD, FREEZE and RELEASE of a source's master (dr-switchover.md 9.2 (1), 6.2 F01 to F04).
 *
 *   META   masterreadonly of the source's metaserver. Its proof, its refusal or a higher epoch ends the matter.
 *   HERE   fence_run over the Redis themselves     } both at once, when META was not reached, does not know, did not
 *   DEST   v2/fence of the destination's metaserver } reach a Redis itself, could not release, or has said nothing for as long as a connect
 *          may take: it goes on
 * The first proof counts, whatever the other way does then: each phase may be repeated. x-pipe's metaserver proves nothing: LOOK (a fence) or
 * a release from here proves it; when no Redis can be reached from here, its word counts. */
#include <string.h>

#include "console/migration/migration_calls_internal.h"
#include "shared/base/mem.h"
#include "shared/base/banned.h"

enum way { WAY_META, WAY_HERE, WAY_DEST, WAYS };
static const char *const way_names[WAYS] = { "metaserver of the source", "from the console",
                                             "metaserver of the destination" };

enum way_end {
    END_NONE, /* not begun, or under way */
    END_PROVED,
    END_REFUSED,
    END_UNREACHABLE,
    END_UNKNOWN,
    END_STALE,
    END_WORD, /* x-pipe's: it says so */
};

struct fence_ways {
    struct call *call;
    struct loop_timer hedge;
    enum way_end ends[WAYS];
    bool is_begun[WAYS];
    struct switch_fence word; /* of END_WORD */
    struct addr redis[SWITCH_REDIS_MAX];
    size_t redis_count;
    struct execution_log *run_log;
    struct fence_run *run;
};

void fence_ways_free(struct fence_ways *w)
{
    if (!w) {
        return;
    }
    loop_timer_stop(&w->hedge);
    fence_run_free(w->run);
    execution_log_free(w->run_log);
    switch_fence_done(&w->word);
    free(w);
}

static bool is_release(const struct call *c)
{
    return c->plan.call == CALL_RELEASE;
}

/* A frozen master is more than a held one. */
static bool is_proof(const struct call *c, enum fence_state state)
{
    if (is_release(c)) {
        return state == FENCE_RELEASED;
    }
    return state == FENCE_FROZEN || (c->plan.call == CALL_HOLD && state == FENCE_HELD);
}

static enum fence_goal goal_of(const struct call *c)
{
    return c->plan.call == CALL_HOLD     ? FENCE_GOAL_HOLD
           : c->plan.call == CALL_FREEZE ? FENCE_GOAL_FREEZE
                                         : FENCE_GOAL_RELEASE;
}

static const char *phase_of(const struct call *c)
{
    return c->plan.call == CALL_HOLD ? "hold" : c->plan.call == CALL_FREEZE ? "freeze" : "release";
}

/* ---- ends ---- */

/* Takes the content of 'fence'. */
static void end_proved(struct call *c, enum way way, struct switch_fence *fence)
{
    if (way != WAY_META) {
        execution_log_info(c->log, "done by another way: %s", way_names[way]);
    }
    c->result.is_by_meta = way == WAY_META || c->ways->ends[WAY_META] == END_WORD;
    switch_fence_done(&c->result.fence);
    c->result.fence = *fence;
    *fence = (struct switch_fence){ 0 };
    AUTO_FREE char *text = xstrdup(c->result.fence.log);
    call_finish(c, OUTCOME_OK, text);
}

static void end_by_word(struct call *c)
{
    struct fence_ways *w = c->ways;
    execution_log_warn(c->log, "not proved: x-pipe's metaserver says so, and no Redis of the shard "
                               "was reached from the console");
    w->word.state = is_release(c) ? FENCE_RELEASED : FENCE_FROZEN;
    end_proved(c, WAY_META, &w->word);
}

static bool any_end(const struct fence_ways *w, enum way_end end)
{
    return w->ends[WAY_META] == end || w->ends[WAY_HERE] == end || w->ends[WAY_DEST] == end;
}

static void look_whether_over(struct call *c)
{
    const struct fence_ways *w = c->ways;
    if (any_end(w, END_STALE)) {
        call_finish(c, OUTCOME_STALE, NULL);
        return;
    }
    for (int way = WAY_META; way < WAYS; way++) {
        if (w->is_begun[way] && w->ends[way] == END_NONE) {
            return;
        }
    }
    if (any_end(w, END_REFUSED)) {
        call_finish(c, OUTCOME_REFUSED, NULL);
    } else if (any_end(w, END_WORD)) {
        end_by_word(c);
    } else {
        call_finish(c, any_end(w, END_UNKNOWN) ? OUTCOME_UNKNOWN : OUTCOME_UNREACHABLE, NULL);
    }
}

/* Takes the content of 'fence'. */
static void way_answered(struct call *c, enum way way, struct switch_fence *fence)
{
    struct fence_ways *w = c->ways;
    if (is_proof(c, fence->state)) {
        end_proved(c, way, fence);
        return;
    }
    bool is_stale = fence->is_ours && fence->epoch > c->epoch;
    w->ends[way] = is_stale                            ? END_STALE
                   : fence->state == FENCE_UNREACHABLE ? END_UNREACHABLE
                                                       : END_REFUSED;
    execution_log_error(c->log, "%s: %s%s", way_names[way], fence_state_text(fence->state),
                        is_stale ? ", a higher epoch is in force" : "");
    if (fence->log) {
        execution_log_info(c->log, "%.2000s", fence->log);
    }
}

/* Our metaserver says so with a status; there is no fence to be told of then. */
static bool is_stale_answer(const struct meta_answer *a)
{
    return a->kind == META_REFUSED && a->status == 409 && strstr(a->why, "stale epoch") != NULL;
}

static enum way_end end_of_kind(const struct meta_answer *a)
{
    return is_stale_answer(a)            ? END_STALE
           : a->kind == META_UNREACHABLE ? END_UNREACHABLE
           : a->kind == META_UNKNOWN     ? END_UNKNOWN
                                         : END_REFUSED;
}

static void way_failed(struct call *c, enum way way, enum way_end end, const char *why)
{
    c->ways->ends[way] = end;
    execution_log_error(c->log, "%s: %s", way_names[way], why);
}

/* ---- HERE ---- */

static void on_run_done(const struct switch_fence *fence, void *arg)
{
    struct call *c = arg;
    struct fence_ways *w = c->ways;
    struct switch_fence own = *fence;
    AUTO_FREE char *log = execution_log_take(w->run_log);
    own.log = NULL;
    own.is_ours = true;
    own.epoch = c->epoch;
    call_hold(c);
    if (is_proof(c, own.state)) {
        own.log = TAKE(log);
        end_proved(c, WAY_HERE, &own);
    } else {
        own.log = log;
        way_answered(c, WAY_HERE, &own);
        look_whether_over(c);
    }
    (void)call_drop(c);
}

static void start_run(struct call *c, enum fence_goal goal)
{
    struct fence_ways *w = c->ways;
    const struct migration_calls_settings *s = &c->owner->settings;
    w->is_begun[WAY_HERE] = true;
    if (w->redis_count == 0) {
        way_failed(c, WAY_HERE, END_UNREACHABLE,
                   c->places_error ? c->places_error
                                   : "the metadata has no Redis of the shard there");
        return;
    }
    w->run_log = execution_log_new(NULL);
    w->run = fence_run_start(&(struct fence_options){
        .run.loop = c->owner->o.loop,
        .run.redis = w->redis,
        .run.redis_count = w->redis_count,
        .run.user = s->redis_user,
        .run.password = s->redis_password,
        .run.client_name = SWITCH_CLIENT_NAME,
        .run.connect_timeout_ms = s->connect_timeout_ms,
        .run.deadline_ms = s->fence_ms,
        .run.arg = c,
        .run.log = w->run_log,
        .run.late = c->owner->late,
        .goal = goal,
        .hint = c->old_master,
        .saved = c->saved,
        .on_done = on_run_done,
    });
}

/* ---- META and DEST ---- */

/* False: not understood, and said so. */
static bool read_fence(struct call *c, enum way way, const struct meta_answer *a,
                       struct switch_fence *ret_fence)
{
    struct xp_err err = { 0 };
    if (a->kind != META_ANSWERED) {
        way_failed(c, way, end_of_kind(a), a->why);
        return false;
    }
    if (switch_fence_from_json(a->json, ret_fence, &err) < 0) {
        way_failed(c, way, END_UNKNOWN, err.msg);
        return false;
    }
    return true;
}

static void on_dest(struct call *c, const struct meta_answer *a, uint64_t token)
{
    (void)token;
    struct switch_fence fence CLEANUP(switch_fence_done) = { 0 };
    call_hold(c);
    if (a->kind == META_REFUSED && (a->status == 404 || a->status == 405)) {
        way_failed(c, WAY_DEST, END_UNREACHABLE, "it knows no such call");
    } else if (read_fence(c, WAY_DEST, a, &fence)) {
        way_answered(c, WAY_DEST, &fence);
    }
    if (!c->is_finished) {
        look_whether_over(c);
    }
    (void)call_drop(c);
}

static void start_dest(struct call *c)
{
    struct fence_ways *w = c->ways;
    w->is_begun[WAY_DEST] = true;
    if (w->redis_count == 0) {
        way_failed(c, WAY_DEST, END_UNREACHABLE, "not asked");
        return;
    }
    struct switch_fence_order order = { .epoch = c->epoch,
                                        .redis_count = w->redis_count,
                                        .saved = c->saved,
                                        .deadline_ms =
                                            deadline_within(c->owner->settings.fence_ms) };
    (void)snprintf(order.phase, sizeof(order.phase), "%s", phase_of(c));
    memcpy(order.redis, w->redis, sizeof(w->redis));
    AUTO_FREE char *path = meta_path(c, "v2/fence", c->shard, NULL);
    struct meta_request r = { .method = "PUT",
                              .dc = c->dest_dc,
                              .path = path,
                              .take_body = switch_fence_order_to_json(&order),
                              .timeout_ms = c->owner->settings.fence_ms,
                              .done = on_dest };
    meta_send(c, &r);
}

static void find_redis(struct call *c)
{
    struct fence_ways *w = c->ways;
    for (size_t i = 0; c->places && i < c->places->redis_count; i++) {
        const struct place_redis *r = &c->places->redis[i];
        bool is_here = r->dc_id == c->source_dc_id && r->shard_id == c->shard_id;
        if (is_here && addr_is_numeric(&r->addr) && w->redis_count < SWITCH_REDIS_MAX) {
            w->redis[w->redis_count++] = r->addr;
        }
    }
}

static void start_others(struct call *c)
{
    find_redis(c);
    call_hold(c);
    start_run(c, goal_of(c));
    start_dest(c);
    if (!c->is_finished) {
        look_whether_over(c);
    }
    (void)call_drop(c);
}

/* x-pipe's word is proved by looking; a release is repeated, which does no harm. */
static void prove_word(struct call *c)
{
    find_redis(c);
    call_hold(c);
    start_run(c, is_release(c) ? FENCE_GOAL_RELEASE : FENCE_GOAL_LOOK);
    look_whether_over(c);
    (void)call_drop(c);
}

/* Once: an answer that comes behind the hedge finds them under way. */
static void others(struct call *c)
{
    struct fence_ways *w = c->ways;
    loop_timer_stop(&w->hedge);
    if (w->is_begun[WAY_HERE]) {
        look_whether_over(c);
    } else {
        w->is_begun[WAY_HERE] = w->is_begun[WAY_DEST] = true;
        call_with_places(c, false, start_others);
    }
}

static void hedge_fire(struct loop_timer *timer)
{
    struct call *c = CONTAINER_OF(timer, struct fence_ways, hedge)->call;
    execution_log_warn(c->log, "%s: no answer yet: the other ways are taken beside it",
                       way_names[WAY_META]);
    others(c);
}

/* x-pipe answers 200 also when it reached nobody: then there is no master in it. */
static void have_word(struct call *c, struct switch_fence *take_fence)
{
    struct fence_ways *w = c->ways;
    bool is_something = is_release(c) || take_fence->has_info;
    if (!is_something) {
        way_failed(c, WAY_META, END_UNREACHABLE, "x-pipe's metaserver did not reach the master");
        switch_fence_done(take_fence);
        others(c);
        return;
    }
    w->ends[WAY_META] = END_WORD;
    w->word = *take_fence;
    *take_fence = (struct switch_fence){ 0 };
    loop_timer_stop(&w->hedge);
    if (w->is_begun[WAY_HERE]) { /* it proves it, or not */
        look_whether_over(c);
        return;
    }
    w->is_begun[WAY_HERE] = true;
    call_with_places(c, false, prove_word);
}

/* Its refusal is an answer when it reached the Redis. A release that it could not do is tried here, too: it may not know what was saved. */
static bool is_last_word(const struct call *c)
{
    enum way_end end = c->ways->ends[WAY_META];
    return end == END_STALE || (end == END_REFUSED && !is_release(c));
}

static void on_meta(struct call *c, const struct meta_answer *a, uint64_t token)
{
    (void)token;
    struct switch_fence fence = { 0 };
    c->result.may_be_by_meta = a->kind == META_ANSWERED || a->kind == META_UNKNOWN;
    call_hold(c);
    if (!is_stale_answer(a) && (a->kind == META_EMPTY || a->kind == META_REFUSED)) {
        way_failed(c, WAY_META, END_UNREACHABLE, a->why); /* it did nothing */
    } else if (read_fence(c, WAY_META, a, &fence)) {
        if (!fence.is_ours) { /* x-pipe's: it asserts nothing again */
            c->result.may_be_by_meta = false;
            have_word(c, &fence);
            (void)call_drop(c);
            return;
        }
        way_answered(c, WAY_META, &fence);
    }
    switch_fence_done(&fence);
    if (!c->is_finished && is_last_word(c)) {
        look_whether_over(c);
    } else if (!c->is_finished && c->result.outcome == OUTCOME_NONE) {
        others(c);
    }
    (void)call_drop(c);
}

void call_fence(struct call *c)
{
    int64_t timeout_ms = c->owner->settings.fence_ms;
    c->ways = xcalloc(1, sizeof(*c->ways));
    c->ways->call = c;
    c->ways->is_begun[WAY_META] = true;
    loop_timer_init(&c->ways->hedge, c->owner->o.loop, hedge_fire);
    /* A metaserver that works answers a fence within some ms, and one that is cut off costs the others no more than this. */
    loop_timer_start(&c->ways->hedge, c->owner->settings.connect_timeout_ms);
    c->result.may_be_by_meta = true; /* until it says otherwise */
    AUTO_FREE char *path =
        meta_path(c, SWITCH_WORD_FENCE, c->shard, is_release(c) ? "false" : "true");
    AUTO_FREE char *phase = is_release(c) ? xstrdup("") : xasprintf("&phase=%s", phase_of(c));
    AUTO_FREE char *target =
        xasprintf("%s?epoch=%lld%s&deadline_ms=%lld", path, (long long)c->epoch, phase,
                  (long long)deadline_within(timeout_ms));
    struct meta_request r = { .method = "PUT",
                              .dc = c->source_dc,
                              .path = target,
                              .timeout_ms = timeout_ms,
                              .done = on_meta };
    meta_send(c, &r);
}
