/* switch_plan.c - see switch_plan.h: the machine of migrations, driven over a world that obeys.
 *
 * Risks of its own, beside those of switch_judge: K10 nobody is told of the switch, K12 the outer client says no, K20 writes would be refused for
 * longer than is allowed, K30 it would not end well, K40 who follows whom is not foretold (a metaserver that tells no details), K42 a DC stays behind:
 * the route to the new primary DC needs a keeper, K44 the same: none of the routes that apply can be used. */
#include "console/migration/switch_plan.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "console/migration/switch_plan_internal.h"
#include "shared/base/mem.h"
#include "shared/switch/switch_words.h"

#include "shared/base/banned.h"

enum { TURNS_MAX = 64, STEPS_MAX = 1 << 20, CONNECT_ROUNDS = 1, NOW_MS = 1000, US_PER_MS = 1000 };

/* ---- risks ---- */

void plan_add_risk(struct planning *p, const char *code, bool is_error, const char *shard,
                   const char *fmt, ...)
{
    struct switch_plan *plan = p->plan;
    if (plan->risk_count == PLAN_RISKS_MAX) {
        plan->risks_left_out++;
        return;
    }
    struct plan_risk *risk = &plan->risks[plan->risk_count++];
    *risk = (struct plan_risk){ .is_error = is_error, .shard = shard };
    (void)snprintf(risk->code, sizeof(risk->code), "%s", code);
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(risk->text, sizeof(risk->text), fmt, args);
    va_end(args);
}

/* ---- steps ---- */

struct plan_step *plan_add(struct planning *p, struct plan_step like, char *take_text)
{
    struct switch_plan *plan = p->plan;
    if (plan->step_count % 64 == 0) {
        plan->steps = xrealloc(plan->steps, plan->step_count + 64, sizeof(*plan->steps));
    }
    like.text = take_text;
    like.shard = like.shard ? like.shard : "";
    like.dc = like.dc ? like.dc : "";
    like.rule = like.rule ? like.rule : p->rule;
    plan->steps[plan->step_count] = like;
    return &plan->steps[plan->step_count++];
}

struct plan_world *plan_world_of(struct planning *p, size_t shard, int64_t dc_id)
{
    for (size_t i = 0; i < p->facts->dc_count; i++) {
        if (p->facts->dcs[i].id == dc_id) {
            return &p->worlds[shard * p->facts->dc_count + i];
        }
    }
    xp_check_failed("a DC that is none of the cluster", __FILE__, __LINE__);
}

static void add_request(struct planning *p, enum migration_call phase, const char *dc,
                        const char *shard, char *take_text)
{
    (void)plan_add(p,
                   (struct plan_step){ .phase = phase,
                                       .target = PLAN_HTTP,
                                       .dc = dc,
                                       .shard = shard,
                                       .is_by_console = true,
                                       .in_gap = p->is_gap },
                   take_text);
}

static void add_record(struct planning *p, enum migration_call phase, const char *dc,
                       const char *shard, const char *text)
{
    (void)plan_add(
        p,
        (struct plan_step){
            .phase = phase, .target = PLAN_RECORD, .dc = dc, .shard = shard, .in_gap = p->is_gap },
        xstrdup(text));
}

/* What one run sends. A hold begins the gap with its first change. */
void plan_add_foresight(struct planning *p, enum migration_call phase, const char *dc,
                        const char *shard, const struct foresight *f)
{
    for (size_t i = 0; i < f->count; i++) {
        const struct foreseen_command *c = &f->items[i];
        p->is_gap |= phase == CALL_HOLD && c->is_change;
        (void)plan_add(p,
                       (struct plan_step){ .phase = phase,
                                           .target = PLAN_REDIS,
                                           .dc = dc,
                                           .shard = shard,
                                           .instance = c->redis,
                                           .rule = c->rule,
                                           .in_gap = p->is_gap && !c->is_late,
                                           .is_wait = c->is_wait,
                                           .is_late = c->is_late },
                       xstrdup(c->text));
    }
}

/* ---- the gap ---- */

/* One call inside the gap: its request, and 'rounds' of its Redis after connecting to them. Behind a fence that went on there is one commit. */
static void charge(struct planning *p, enum migration_call call, size_t shard,
                   const struct plan_world *w, int rounds)
{
    struct plan_gap *gap = &p->gaps[shard];
    const struct survey_dc *seen = w->seen;
    int64_t look_us = seen && seen->check && seen->check->look_us > 0 ? seen->check->look_us : 0;
    int64_t took_us = seen && seen->check && seen->took_us > 0 ? seen->took_us : 0;
    gap->calls++;
    gap->calls_us += took_us > look_us ? took_us - look_us : 0;
    gap->redis_round_trips += rounds;
    gap->redis_us += rounds * (look_us / (1 + CONNECT_ROUNDS));
    if (migration_next_of_fence(call) == CALL_NONE) {
        gap->commits++;
        gap->commits_us += p->facts->limits.commit_us;
    }
}

/* ---- the calls ---- */

struct calling { /* a call of the machine, and what it is about */
    struct planning *p;
    enum migration_call call;
    size_t shard; /* shard_count: the cluster */
    const struct plan_shard *about;
    struct migration_shard_row *row;
    struct plan_world *source;
    struct plan_world *dest;
    struct migration_result *result;
};

static char *request(const struct calling *c, const char *method, const char *word,
                     const char *rest)
{
    return xasprintf("%s /api/meta/%s/%s/%s%s", method, word, c->p->facts->cluster, c->about->name,
                     rest);
}

static void foresee_check(struct calling *c)
{
    struct planning *p = c->p;
    xp_check(c->about && c->row && c->source && c->dest);
    const struct switch_plan_facts *f = p->facts;
    AUTO_FREE struct judge_verdict *verdict = xcalloc(1, sizeof(*verdict));
    for (size_t i = 0; i < f->dc_count; i++) {
        struct plan_world *w = plan_world_of(p, c->shard, f->dcs[i].id);
        struct foresight sight CLEANUP(foresight_done) = { 0 };
        struct foresee_promote in = { .goal = PROMOTE_GOAL_CHECK,
                                      .deadline_ms = f->limits.drain_ms };
        enum promote_outcome outcome;
        struct switch_change change;
        AUTO_FREE char *dest = xasprintf("/%s", c->dest->dc->name);
        add_request(p, CALL_CHECK, w->dc->name, c->about->name,
                    request(c, "GET", SWITCH_WORD_CHECK, dest));
        if (w->has_details) {
            promote_foresee(&in, w->redis, w->count, &sight, &outcome, &change);
            plan_add_foresight(p, CALL_CHECK, w->dc->name, c->about->name, &sight);
        }
    }
    struct judge_facts limits = { .is_disaster = p->plan->is_disaster,
                                  .max_lag_bytes = f->limits.max_lag_bytes,
                                  .drain_ms = f->limits.drain_ms };
    shard_survey_judge(c->about->survey, &limits, verdict);
    c->result->outcome = verdict->may ? OUTCOME_OK : OUTCOME_REFUSED;
    for (size_t i = 0; i < verdict->count && !c->result->text; i++) {
        if (verdict->findings[i].is_error) {
            c->result->text = xasprintf("[error]%s", verdict->findings[i].text);
        }
    }
}

/* Of the metaserver: the look that its record needs, then the fence. */
static void foresee_fence_run(struct calling *c, enum fence_goal goal)
{
    struct planning *p = c->p;
    struct plan_world *w = c->source;
    struct switch_fence *fence = &c->result->fence;
    struct foresee_fence in = { .goal = goal,
                                .hint = c->row->old_master,
                                .saved = c->row->saved,
                                .deadline_ms = p->facts->limits.fence_ms };
    struct foresight sight CLEANUP(foresight_done) = { 0 };
    if (goal == FENCE_GOAL_HOLD) {
        struct foresight look CLEANUP(foresight_done) = { 0 };
        struct switch_fence seen;
        in.goal = FENCE_GOAL_LOOK;
        fence_foresee(&in, w->redis, w->count, &look, &seen);
        plan_add_foresight(p, CALL_CHECK, w->dc->name, c->about->name, &look);
        for (size_t i = p->plan->step_count - look.count; i < p->plan->step_count; i++) {
            p->plan->steps[i].phase = c->call;
        }
        in = (struct foresee_fence){ .goal = goal,
                                     .hint = seen.master,
                                     .saved = fence_saved_or_default(&seen.saved),
                                     .deadline_ms = in.deadline_ms };
        add_record(p, c->call, w->dc->name, c->about->name, "epoch, held, settings of before");
    }
    fence_foresee(&in, w->redis, w->count, &sight, fence);
    plan_add_foresight(p, c->call, w->dc->name, c->about->name, &sight);
    int rounds = goal == FENCE_GOAL_HOLD ? sight.rounds - sight.rounds_to_change : sight.rounds;
    charge(p, c->call, c->shard, w, rounds + (goal == FENCE_GOAL_HOLD ? 0 : CONNECT_ROUNDS));
}

static bool is_fence_proof(enum migration_call call, enum fence_state state)
{
    bool is_fenced = state == FENCE_HELD || state == FENCE_FROZEN;
    return call == CALL_RELEASE  ? state == FENCE_RELEASED
           : call == CALL_FREEZE ? state == FENCE_FROZEN
                                 : is_fenced;
}

static void foresee_fence(struct calling *c)
{
    struct plan_world *w = c->source;
    xp_check(c->about && c->row && c->source && c->dest);
    static const enum fence_goal goals[MIGRATION_CALLS] = { [CALL_HOLD] = FENCE_GOAL_HOLD,
                                                            [CALL_FREEZE] = FENCE_GOAL_FREEZE,
                                                            [CALL_RELEASE] = FENCE_GOAL_RELEASE };
    const char *rest = c->call == CALL_HOLD     ? "/true?phase=hold"
                       : c->call == CALL_FREEZE ? "/true?phase=freeze"
                                                : "/false";
    add_request(c->p, c->call, w->dc->name, c->about->name,
                request(c, "PUT", SWITCH_WORD_FENCE, rest));
    if (!w->seen || !w->seen->check) {
        c->result->outcome = OUTCOME_UNREACHABLE;
        c->result->fence.state = FENCE_UNREACHABLE;
        c->result->text = xstrdup("[error]its metaserver did not answer; what the other ways to "
                                  "the Redis would find is not foretold");
    } else if (!w->has_details) { /* x-pipe's: its word */
        c->result->fence = (struct switch_fence){
            .is_ours = true,
            .state = c->call == CALL_RELEASE ? FENCE_RELEASED
                     : c->call == CALL_HOLD  ? FENCE_HELD
                                             : FENCE_FROZEN,
        };
        charge(c->p, c->call, c->shard, w, 0);
        c->p->is_gap = true;
    } else {
        foresee_fence_run(c, goals[c->call]);
    }
    c->p->refuses[c->shard] = c->p->is_gap;
    if (c->result->outcome == OUTCOME_NONE) {
        bool is_proved = is_fence_proof(c->call, c->result->fence.state);
        c->result->outcome = is_proved ? OUTCOME_OK : OUTCOME_REFUSED;
    }
    if (c->result->outcome == OUTCOME_OK && c->call == CALL_HOLD) {
        plan_sentinels_leave(c->p, c->shard, w->dc->id, c->call);
    } else if (c->result->outcome == OUTCOME_OK && c->call == CALL_RELEASE) {
        plan_sentinels_watch(c->p, c->shard, w->dc->id, c->call, &c->result->fence.master);
    }
}

static void foresee_run(struct calling *c, enum promote_goal goal)
{
    struct planning *p = c->p;
    struct plan_world *w = c->dest;
    const struct migration_shard_row *row = c->row;
    struct foresight sight CLEANUP(foresight_done) = { 0 };
    enum promote_outcome outcome = PROMOTE_UNKNOWN;
    struct foresee_promote in = {
        .goal = goal,
        .order = { .has_info = row->fence_repl_id[0] && row->fence_offset >= 0,
                   .offset = row->fence_offset,
                   .is_disaster = p->row.is_disaster,
                   .has_mode = true,
                   .drain_ms = p->facts->limits.drain_ms },
        .deadline_ms = p->facts->limits.drain_ms + p->facts->limits.promote_ms
    };
    (void)snprintf(in.order.repl_id, sizeof(in.order.repl_id), "%s", row->fence_repl_id);
    promote_foresee(&in, w->redis, w->count, &sight, &outcome, &c->result->change);
    plan_add_foresight(p, c->call, w->dc->name, c->about->name, &sight);
    charge(p, c->call, c->shard, w, sight.rounds + CONNECT_ROUNDS);
    c->result->outcome = c->result->change.is_success ? OUTCOME_OK : OUTCOME_REFUSED;
    if (!c->result->change.is_success) {
        c->result->text = xasprintf("[error]%s", promote_outcome_text(outcome));
    }
}

/* An earlier fence of the promoted one is still in force: it gets its settings back before the answer. */
static void foresee_release(struct calling *c)
{
    struct planning *p = c->p;
    struct plan_world *w = c->dest;
    const struct addr *master = &c->result->change.new_master;
    for (size_t i = 0; i < w->count; i++) {
        bool is_fenced =
            w->redis[i].min_slaves == FENCE_MIN_SLAVES || w->seen->check->fence != FENCE_NONE;
        if (addr_eq(&w->redis[i].addr, master) && is_fenced) {
            struct foresight sight CLEANUP(foresight_done) = { 0 };
            struct foresee_fence in = { .goal = FENCE_GOAL_RELEASE,
                                        .hint = *master,
                                        .saved = fence_saved_or_default(&w->saved[i]),
                                        .deadline_ms = p->facts->limits.promote_ms };
            struct switch_fence fence;
            fence_foresee(&in, &w->redis[i], 1, &sight, &fence);
            plan_add_foresight(p, c->call, w->dc->name, c->about->name, &sight);
            charge(p, c->call, c->shard, w, sight.rounds + CONNECT_ROUNDS);
        }
    }
}

/* A metaserver that tells no details: it does what it says. */
static void take_for_granted(struct calling *c)
{
    const struct switch_plan_facts *f = c->p->facts;
    struct switch_change *change = &c->result->change;
    *change = (struct switch_change){ .is_success = true, .is_drained = true, .offset = -1 };
    for (size_t i = 0; i < f->instance_count && addr_is_none(&change->new_master); i++) {
        const struct plan_instance *it = &f->instances[i];
        if (it->dc_id == f->dest_dc_id && it->shard_id == c->about->id && !it->is_keeper) {
            change->new_master = it->addr; /* the first one that lives */
        }
    }
    c->result->outcome = OUTCOME_OK;
    charge(c->p, c->call, c->shard, c->dest, 0);
}

static void foresee_change(struct calling *c)
{
    struct plan_world *w = c->dest;
    xp_check(c->about && c->row && c->source && c->dest);
    bool is_drain = c->call == CALL_DRAIN;
    AUTO_FREE char *rest = is_drain ? xstrdup("") : xasprintf("/%s", w->dc->name);
    add_request(c->p, c->call, w->dc->name, c->about->name,
                request(c, is_drain ? "POST" : "PUT",
                        is_drain ? SWITCH_WORD_DRAIN : SWITCH_WORD_CHANGE, rest));
    if (!w->seen || !w->seen->check) {
        c->result->outcome = OUTCOME_UNREACHABLE;
        c->result->text = xstrdup("[error]its metaserver did not answer");
        return;
    }
    if (!w->has_details) {
        take_for_granted(c);
        return;
    }
    if (is_drain) {
        add_record(c->p, c->call, w->dc->name, c->about->name, "epoch, a promotion comes");
    }
    foresee_run(c, is_drain ? PROMOTE_GOAL_DRAIN : PROMOTE_GOAL_PROMOTE);
    if (!is_drain && c->result->outcome == OUTCOME_OK) {
        foresee_release(c);
        add_record(c->p, c->call, w->dc->name, c->about->name, "promoted");
        plan_tree_promoted(c->p, c->shard, &c->result->change.new_master);
        plan_sentinels_watch(c->p, c->shard, w->dc->id, c->call, &c->result->change.new_master);
    }
}

static void foresee_demote(struct calling *c)
{
    xp_check(c->about && c->source && c->dest);
    AUTO_FREE char *rest = xasprintf("/%s", c->source->dc->name);
    add_request(c->p, c->call, c->dest->dc->name, c->about->name,
                request(c, "PUT", SWITCH_WORD_CHANGE, rest));
    c->result->change.is_success = true;
    c->result->outcome = OUTCOME_OK;
}

/* The outer client: asked before, told afterwards. */
static void foresee_outer(struct calling *c)
{
    struct planning *p = c->p;
    const struct switch_plan_facts *f = p->facts;
    bool is_check = c->call == CALL_PRECHECK;
    c->result->outcome = is_check && f->precheck_says_no ? OUTCOME_REFUSED : OUTCOME_OK;
    if (c->result->outcome != OUTCOME_OK) {
        c->result->text = xasprintf("[error]%s", f->precheck_text ? f->precheck_text : "refused");
    }
    c->result->publish_info = is_check ? NULL : xstrdup("{}");
    if (f->outer == OUTER_CREDIS) {
        add_request(p, c->call, "", "",
                    is_check ? xasprintf("POST /keeperApi/checkcluster/%s", f->cluster)
                             : xasprintf("POST /keeperApi/primarydc/%s/%s", f->cluster,
                                         plan_dc_name(f, f->dest_dc_id)));
    } else if (f->outer == OUTER_WEBHOOK && !is_check) {
        add_request(p, c->call, "", "", xstrdup("POST the webhook, event switched"));
    }
}

static void foresee_follow(struct calling *c, size_t follow)
{
    struct planning *p = c->p;
    const struct migration_follow_row *row = &p->row.follows[follow];
    for (size_t i = 0; i < p->facts->shard_count; i++) {
        const struct plan_world *w = plan_world_of(p, i, row->dc_id);
        const struct plan_shard *shard = &p->facts->shards[i];
        bool was_gap = p->is_gap;
        p->is_gap = false; /* beside the publication, which does not wait for it */
        add_request(p, CALL_FOLLOW, w->dc->name, shard->name,
                    xasprintf("PUT /api/meta/" SWITCH_WORD_CHANGE "/%s/%s/%s", p->facts->cluster,
                              shard->name, migration_primary_dc_name(&p->row)));
        if (w->has_details && p->row.is_active_switched) {
            plan_tree_follow(p, i, row->dc_id, &p->row.shards[i].new_master);
            plan_settle(p, i, row->dc_id);
        }
        p->is_gap = was_gap;
    }
    c->result->change.is_success = true;
    c->result->outcome = OUTCOME_OK;
}

/* The shard, or any of the cluster. */
static bool refuses(const struct planning *p, size_t shard)
{
    bool is_any = false;
    for (size_t i = 0; i < p->row.shard_count; i++) {
        is_any |= p->refuses[i];
    }
    return shard < p->row.shard_count ? p->refuses[shard] : is_any;
}

static void answer(struct planning *p, const struct migration_plan_call *call)
{
    CLEANUP(migration_result_done)
    struct migration_result result = { .call = call->call,
                                       .shard = call->shard,
                                       .follow = call->follow };
    struct calling c = { .p = p, .call = call->call, .shard = call->shard, .result = &result };
    p->is_gap = refuses(p, call->shard);
    if (call->shard < p->row.shard_count) {
        c.about = &p->facts->shards[call->shard];
        c.row = &p->row.shards[call->shard];
        c.source = plan_world_of(p, call->shard, p->facts->source_dc_id);
        c.dest = plan_world_of(p, call->shard, p->facts->dest_dc_id);
    }
    switch (call->call) {
    case CALL_CHECK:
        foresee_check(&c);
        break;
    case CALL_HOLD:
    case CALL_FREEZE:
    case CALL_RELEASE:
        foresee_fence(&c);
        break;
    case CALL_DRAIN:
    case CALL_PROMOTE:
        foresee_change(&c);
        break;
    case CALL_DEMOTE:
        foresee_demote(&c);
        break;
    case CALL_FOLLOW:
        foresee_follow(&c, call->follow);
        break;
    case CALL_PRECHECK:
    case CALL_PUBLISH:
        foresee_outer(&c);
        break;
    case CALL_NONE:
    case MIGRATION_CALLS:
        break;
    }
    migration_apply(&p->row, &result, p->now);
}

/* ---- the machine ---- */

static bool has_follow(const struct migration_cluster_row *row, int64_t dc_id)
{
    for (size_t i = 0; i < row->follow_count; i++) {
        if (row->follows[i].dc_id == dc_id) {
            return true;
        }
    }
    return false;
}

/* As migration_turn adds them. */
static void add_follows(struct planning *p)
{
    const struct switch_plan_facts *f = p->facts;
    struct migration_cluster_row *row = &p->row;
    bool was_sent = row->is_active_switched;
    for (size_t i = 0; i < row->shard_count; i++) {
        was_sent |= row->shards[i].promote_epoch > 0;
    }
    for (size_t i = 0; was_sent && i < f->dc_count; i++) {
        if (f->dcs[i].id != migration_primary_dc(row) && !has_follow(row, f->dcs[i].id)) {
            row->follows = xrealloc(row->follows, row->follow_count + 1, sizeof(*row->follows));
            row->follows[row->follow_count++] =
                (struct migration_follow_row){ .dc_id = f->dcs[i].id,
                                               .dc = xstrdup(f->dcs[i].name) };
        }
    }
}

static void take_effects(struct planning *p, unsigned effects)
{
    if (effects & (1U << EFFECT_SWITCH_ACTIVE)) {
        (void)plan_add(p,
                       (struct plan_step){ .phase = CALL_PUBLISH,
                                           .target = PLAN_DATABASE,
                                           .is_by_console = true,
                                           .in_gap = p->is_gap },
                       xasprintf("active DC of %s: %s; masters: those that were promoted",
                                 p->facts->cluster, p->row.dest_dc));
    }
    if (effects & (1U << EFFECT_FOLLOW_ALL)) {
        add_follows(p);
    }
}

static void drive(struct planning *p)
{
    struct migration_facts facts = { .now = p->now,
                                     .row = &p->row,
                                     .ask = ASK_PROCESS,
                                     .outage_max_ms = p->facts->limits.outage_max_ms };
    bool is_more = true;
    for (int turn = 0; is_more && turn < TURNS_MAX; turn++) {
        CLEANUP(migration_plan_done) struct migration_plan plan;
        migration_decide(&facts, &plan);
        facts.ask = ASK_NONE;
        is_more = plan.is_transition || plan.call_count > 0 || plan.effects != 0;
        p->rule = plan.rule;
        p->is_gap = refuses(p, p->row.shard_count);
        migration_carry_out(&p->row, &plan, p->now);
        take_effects(p, plan.effects);
        for (size_t i = 0; i < plan.call_count; i++) {
            answer(p, &plan.calls[i]);
        }
    }
    p->plan->end = p->row.status;
    (void)snprintf(p->plan->reason, sizeof(p->plan->reason), "%s",
                   p->row.reason ? p->row.reason : "");
}

/* ---- facts into rows and worlds ---- */

/* One that is paused goes on as it is; what it has done is known. */
static void row_go_on(struct planning *p)
{
    migration_cluster_row_copy(p->facts->row, &p->row);
    p->plan->is_disaster = p->row.is_disaster;
    p->now = p->facts->now;
    p->was_begun = p->row.status != MIG_CHECKING_FAIL; /* nothing was done there */
    for (size_t i = 0; i < p->row.shard_count; i++) {
        p->refuses[i] = p->row.shards[i].may_be_fenced;
        p->plan->is_disaster |=
            !p->was_begun && shard_survey_is_disaster(p->facts->shards[i].survey, p->row.mode);
    }
}

static void row_init(struct planning *p)
{
    const struct switch_plan_facts *f = p->facts;
    enum migration_mode mode = f->mode == MODE_AUTO ? f->limits.mode : f->mode;
    p->now = NOW_MS;
    p->row = (struct migration_cluster_row){
        .id = 1,
        .event_id = 1,
        .cluster_id = f->cluster_id,
        .cluster = xstrdup(f->cluster),
        .source_dc_id = f->source_dc_id,
        .dest_dc_id = f->dest_dc_id,
        .source_dc = xstrdup(plan_dc_name(f, f->source_dc_id)),
        .dest_dc = xstrdup(plan_dc_name(f, f->dest_dc_id)),
        .start_ms = NOW_MS,
        .phase_ms = NOW_MS,
        .status = MIG_INITIATED,
        .mode = mode,
        .is_disaster = mode == MODE_DISASTER,
        .epoch = 1,
        .shards = xcalloc(f->shard_count, sizeof(struct migration_shard_row)),
        .shard_count = f->shard_count,
    };
    for (size_t i = 0; i < f->shard_count; i++) {
        migration_shard_row_init(&p->row.shards[i]);
        p->row.shards[i].id = (int64_t)i + 1;
        p->row.shards[i].shard_id = f->shards[i].id;
        p->row.shards[i].name = xstrdup(f->shards[i].name);
        p->plan->is_disaster |= shard_survey_is_disaster(f->shards[i].survey, mode);
    }
}

/* The settings of before its fence; what the survey sees may be the fence's. */
static void use_saved(const struct planning *p, size_t shard, struct plan_world *w)
{
    const struct migration_shard_row *row = &p->row.shards[shard];
    for (size_t i = 0; i < w->count; i++) {
        if (row->saved.is_known && addr_eq(&w->redis[i].addr, &row->old_master)) {
            w->saved[i] = row->saved;
        }
    }
}

static const struct survey_dc *seen_in(const struct shard_survey *survey, const char *dc)
{
    for (size_t i = 0; survey && i < survey->count; i++) {
        if (text_eq_nocase(survey->dcs[i].dc, dc)) {
            return &survey->dcs[i];
        }
    }
    return NULL;
}

static void world_init(struct planning *p, size_t shard, size_t dc)
{
    const struct switch_plan_facts *f = p->facts;
    struct plan_world *w = &p->worlds[shard * f->dc_count + dc];
    w->dc = &f->dcs[dc];
    w->seen = seen_in(f->shards[shard].survey, w->dc->name);
    w->has_details = w->seen && w->seen->check && w->seen->check->is_ours;
    for (size_t i = 0; w->has_details && i < w->seen->check->redis_count; i++) {
        const struct check_redis *c = &w->seen->check->redis[i];
        w->saved[w->count] = (struct fence_saved){ .is_known = c->min_slaves >= 0,
                                                   .min_slaves = c->min_slaves,
                                                   .max_lag_s = c->max_lag_s,
                                                   .was_writable_replica = !c->is_read_only };
        foreseen_redis_of(c, &w->redis[w->count++]);
    }
    for (size_t i = 0; i < f->instance_count; i++) {
        const struct plan_instance *it = &f->instances[i];
        w->has_keepers |=
            it->is_keeper && it->dc_id == w->dc->id && it->shard_id == f->shards[shard].id;
    }
    for (size_t i = 0; i < f->monitor_count; i++) {
        const struct plan_monitor *m = &f->monitors[i];
        bool is_its = m->dc_id == w->dc->id && m->shard_id == f->shards[shard].id;
        w->monitor = is_its && m->count > 0 ? m : w->monitor;
    }
    const struct migration_shard_row *row = &p->row.shards[shard];
    w->is_watched = w->monitor &&
                    (w->dc->id == f->source_dc_id ? !row->may_be_fenced
                                                  : row->is_promoted && w->dc->id == f->dest_dc_id);
    use_saved(p, shard, w);
}

/* ---- what is said of it ---- */

static void judge_shard(struct planning *p, size_t shard)
{
    const struct plan_limits *l = &p->facts->limits;
    const struct plan_shard *s = &p->facts->shards[shard];
    AUTO_FREE struct judge_verdict *v = xcalloc(1, sizeof(*v));
    struct judge_facts limits = { .is_disaster = p->plan->is_disaster,
                                  .max_lag_bytes = l->max_lag_bytes,
                                  .drain_ms = l->drain_ms,
                                  .bytes_per_s = l->drain_bytes_per_s };
    shard_survey_judge(s->survey, &limits, v);
    for (size_t i = 0; i < v->count; i++) {
        const struct judge_finding *finding = &v->findings[i];
        /* the rate is assumed: no check refuses for it */
        bool is_guess = text_eq(finding->rule, "J36");
        bool is_error = finding->is_error && !is_guess && !p->was_begun; /* no check comes again */
        plan_add_risk(p, finding->rule, is_error, s->name, "%s", finding->text);
    }
    if (v->drain_ms > 0) {
        p->gaps[shard].drain_us = v->drain_ms * US_PER_MS;
    }
    p->plan->lag_bytes = v->lag_bytes > p->plan->lag_bytes ? v->lag_bytes : p->plan->lag_bytes;
    p->plan->drain_ms = v->drain_ms > p->plan->drain_ms ? v->drain_ms : p->plan->drain_ms;
}

static int64_t sum_us(const struct plan_gap *g)
{
    return g->calls_us + g->redis_us + g->commits_us + g->drain_us;
}

static int64_t median(const struct switch_plan_facts *f)
{
    int64_t sorted[PLAN_PAST_MAX];
    for (size_t i = 0; i < f->past_count; i++) {
        size_t at = i;
        for (; at > 0 && sorted[at - 1] > f->past_gap_ms[i]; at--) {
            sorted[at] = sorted[at - 1];
        }
        sorted[at] = f->past_gap_ms[i];
    }
    return f->past_count > 0 ? sorted[f->past_count / 2] : -1;
}

/* Shards go side by side: the slowest one counts. Behind its promotion: the commit of the switch, and the publication. */
static void predict(struct planning *p)
{
    const struct switch_plan_facts *f = p->facts;
    struct plan_gap *gap = &p->plan->gap;
    for (size_t i = 0; i < f->shard_count; i++) {
        if (i == 0 || sum_us(&p->gaps[i]) > sum_us(gap)) {
            *gap = p->gaps[i];
        }
    }
    gap->commits++;
    gap->commits_us += f->limits.commit_us;
    gap->publish_us = f->outer == OUTER_CREDIS && f->precheck_us > 0 ? f->precheck_us : 0;
    gap->past_ms = median(f);
    int64_t sum_ms = (sum_us(gap) + gap->publish_us + US_PER_MS - 1) / US_PER_MS;
    gap->predicted_ms = sum_ms > gap->past_ms ? sum_ms : gap->past_ms;
    if (p->plan->end != MIG_SUCCESS || p->plan->is_disaster ||
        p->was_begun) { /* waiting for who is silent decides */
        gap->predicted_ms = -1;
    } else if (gap->predicted_ms > f->limits.outage_max_ms) {
        plan_add_risk(p, "K20", false, "",
                      "writes would be refused for about %lld ms, more than %lld: "
                      "a planned migration would go back",
                      (long long)gap->predicted_ms, (long long)f->limits.outage_max_ms);
    }
}

static void judge_cluster(struct planning *p)
{
    const struct switch_plan_facts *f = p->facts;
    bool is_foretold = true;
    for (size_t i = 0; i < f->shard_count * f->dc_count; i++) {
        const struct plan_world *w = &p->worlds[i];
        is_foretold &= w->has_details || !w->seen || !w->seen->check;
    }
    if (f->outer == OUTER_NOBODY) {
        plan_add_risk(
            p, "K10", false, "",
            "no outer client: nobody is told of the switch, clients find the new masters by "
            "themselves");
    }
    if (f->precheck_says_no) {
        plan_add_risk(p, "K12", true, "", "the outer client says no: %.180s",
                      f->precheck_text ? f->precheck_text : "");
    }
    bool goes_back = f->row && f->row->status == MIG_ROLL_BACK_FAIL;
    if (p->plan->end != (goes_back ? MIG_ABORTED : MIG_SUCCESS)) {
        plan_add_risk(p, "K30", true, "", "it would come to rest as %s: %.180s",
                      migration_status_info(p->plan->end)->text, p->plan->reason);
    }
    if (!is_foretold) {
        plan_add_risk(
            p, "K40", false, "",
            "a metaserver tells no details: what it sends to its Redis is not in the plan");
    }
}

struct switch_plan *switch_plan_decide(const struct switch_plan_facts *f)
{
    struct switch_plan *plan = xcalloc(1, sizeof(*plan));
    struct planning p = { .facts = f, .plan = plan };
    plan->lag_bytes = -1;
    plan->drain_ms = -1;
    p.worlds = xcalloc(f->shard_count * f->dc_count + 1, sizeof(*p.worlds));
    p.gaps = xcalloc(f->shard_count + 1, sizeof(*p.gaps));
    p.refuses = xcalloc(f->shard_count + 1, sizeof(*p.refuses));
    if (f->row) {
        row_go_on(&p);
    } else {
        row_init(&p);
    }
    for (size_t i = 0; i < f->shard_count; i++) {
        for (size_t k = 0; k < f->dc_count; k++) {
            world_init(&p, i, k);
        }
        judge_shard(&p, i);
    }
    drive(&p);
    predict(&p);
    judge_cluster(&p);
    migration_cluster_row_done(&p.row);
    free(p.worlds);
    free(p.gaps);
    free(p.refuses);
    return plan;
}
