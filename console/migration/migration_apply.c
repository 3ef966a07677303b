/* migration_apply.c - how the rows of a migration change: a plan carried out, the result of a call, a restart. Pure; see
 * migration_decide.h. */
#include <stdio.h>
#include <string.h>

#include "console/migration/migration_decide_internal.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

/* ---- texts ---- */

static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xC0) == 0x80;
}

/* Head and tail of a text that is too long, whole characters. Returns owned. */
static char *bounded(const char *text)
{
    size_t length = strlen(text);
    if (length <= SWITCH_LOG_MAX) {
        return xstrdup(text);
    }
    size_t head = SWITCH_LOG_MAX / 2;
    size_t tail = length - SWITCH_LOG_MAX / 2 + 32; /* room for the words between */
    while (head > 0 && is_continuation(text[head])) {
        head--;
    }
    while (tail < length && is_continuation(text[tail])) {
        tail++;
    }
    return xasprintf("%.*s\n... %zu bytes ...\n%s", (int)head, text, tail - head, text + tail);
}

static void set_text(struct migration_shard_row *shard, enum migration_step step, const char *text)
{
    char *fresh = text ? bounded(text) : NULL;
    free(shard->texts[step]);
    shard->texts[step] = fresh;
    shard->is_dirty = true;
}

static void add_text(struct migration_shard_row *shard, enum migration_step step, const char *text)
{
    const char *old = shard->texts[step] ? shard->texts[step] : "";
    size_t length = strlen(old);
    const char *feed = length == 0 || old[length - 1] == '\n' ? "" : "\n";
    AUTO_FREE char *both = xasprintf("%s%s%s", old, feed, text ? text : "");
    set_text(shard, step, both);
}

static void set_step(struct migration_shard_row *shard, enum migration_step step,
                     enum step_result result)
{
    shard->results[step] = result;
    shard->is_dirty = true;
}

static void set_reason(struct migration_cluster_row *row, const char *text)
{
    char *fresh = text_is_empty(text) ? NULL : xstrdup(text);
    free(row->reason);
    row->reason = fresh;
    row->is_dirty = true;
}

/* ---- a plan ---- */

static bool is_failure(enum call_outcome outcome)
{
    return outcome != OUTCOME_NONE && outcome != OUTCOME_OK;
}

static void forget_calls(struct migration_shard_row *shard)
{
    shard->last_call = CALL_NONE;
    shard->outcome = OUTCOME_NONE;
    shard->tries = 0;
    shard->failing_since = 0;
    shard->failed_at = 0;
    shard->is_dirty = true;
}

static void clear_check(struct migration_cluster_row *row)
{
    row->pending = CALL_NONE;
    row->outcome = OUTCOME_NONE;
    row->tries = 0;
    for (size_t i = 0; i < row->shard_count; i++) {
        struct migration_shard_row *shard = &row->shards[i];
        set_step(shard, STEP_CHECK, RESULT_NONE);
        set_text(shard, STEP_CHECK, NULL);
        shard->pending = CALL_NONE;
        forget_calls(shard);
    }
}

/* What was proved stays: a frozen and drained shard is only promoted again. */
static void clear_failed(struct migration_shard_row *shard)
{
    if (shard->is_promoted) {
        return;
    }
    set_step(shard, STEP_NEW_PRIMARY, RESULT_NONE);
    set_text(shard, STEP_NEW_PRIMARY, NULL);
    shard->is_unfenced = shard->may_be_promoted && shard->is_unfenced;
    forget_calls(shard);
    if (shard->fence == FENCE_FROZEN && shard->drain == OUTCOME_OK) {
        return;
    }
    set_step(shard, STEP_PREVIOUS_PRIMARY, RESULT_NONE);
    set_text(shard, STEP_PREVIOUS_PRIMARY, NULL);
    shard->drain = OUTCOME_NONE;
    shard->is_drained = false;
    if (shard->fence == FENCE_UNREACHABLE || shard->fence == FENCE_RELEASED) {
        shard->fence = FENCE_NONE;
    }
}

static void mark_published(struct migration_cluster_row *row)
{
    row->is_active_switched = true;
    for (size_t i = 0; i < row->shard_count; i++) {
        struct migration_shard_row *shard = &row->shards[i];
        set_step(shard, STEP_MIGRATE, shard->is_promoted ? RESULT_TRUE : RESULT_FALSE);
        set_text(shard, STEP_MIGRATE,
                 shard->is_promoted ? "Success" : "not promoted: force publish");
    }
}

static void apply_effects(struct migration_cluster_row *row, unsigned effects, wall_ms now)
{
    if (effects & EFFECT_BIT(EFFECT_CLEAR_CHECK)) {
        clear_check(row);
    }
    for (size_t i = 0; (effects & EFFECT_BIT(EFFECT_CLEAR_FAILED)) && i < row->shard_count; i++) {
        clear_failed(&row->shards[i]);
    }
    if (effects & EFFECT_BIT(EFFECT_BECOME_DISASTER)) {
        row->is_disaster = true;
    }
    if (effects & EFFECT_BIT(EFFECT_FORCE_PUBLISH)) {
        row->is_force_publish = true;
    }
    if (effects & EFFECT_BIT(EFFECT_SWITCH_ACTIVE)) {
        mark_published(row);
    }
    if (effects & EFFECT_BIT(EFFECT_END)) {
        row->end_ms = now;
    }
}

static void enter_migrating(struct migration_cluster_row *row, enum migration_status from)
{
    row->is_disaster |= row->mode == MODE_DISASTER;
    for (size_t i = 0; from == MIG_PRE_MIGRATING && i < row->shard_count; i++) {
        set_step(&row->shards[i], STEP_PRE_MIGRATING, RESULT_TRUE);
        set_text(&row->shards[i], STEP_PRE_MIGRATING, "skip");
    }
}

/* Calls that are under way are waited for in the new status, except where nothing can come of them. */
static void enter(struct migration_cluster_row *row, enum migration_status to, wall_ms now)
{
    enum migration_status from = row->status;
    bool is_end = migration_status_info(to)->is_terminal;
    row->status = to;
    row->pending = CALL_NONE;
    row->outcome = OUTCOME_NONE;
    row->tries = 0;
    if (to == MIG_CHECKING) {
        row->start_ms = now;
    }
    if (to == MIG_MIGRATING) {
        enter_migrating(row, from);
    }
    for (size_t i = 0; i < row->shard_count; i++) {
        struct migration_shard_row *shard = &row->shards[i];
        if (is_end && shard->pending != CALL_NONE) {
            shard->pending = CALL_NONE;
            shard->is_dirty = true;
        }
        if (to == MIG_ROLL_BACK || (to == MIG_MIGRATING && from == MIG_PRE_MIGRATING) ||
            from == MIG_CHECKING_FAIL) {
            forget_calls(shard);
        }
    }
}

/* A promotion without a proved fence, in disaster mode: said where the pages look for it. */
static void mark_unfenced(struct migration_shard_row *shard)
{
    if (shard->fence == FENCE_FROZEN) {
        return;
    }
    shard->is_unfenced = true;
    if (shard->results[STEP_PREVIOUS_PRIMARY] != RESULT_TRUE) {
        set_step(shard, STEP_PREVIOUS_PRIMARY, RESULT_TRUE);
        add_text(shard, STEP_PREVIOUS_PRIMARY,
                 "Ignore:the old master is not fenced, promoted without it\n");
    }
}

static void begin_on_shard(const struct migration_cluster_row *row,
                           struct migration_shard_row *shard, enum migration_call call)
{
    shard->tries = shard->last_call == call && is_failure(shard->outcome) ? shard->tries + 1 : 1;
    shard->pending = call;
    shard->is_dirty = true;
    if (call == CALL_HOLD || call == CALL_FREEZE) {
        shard->may_be_fenced = true;
    }
    if (call == CALL_PROMOTE) {
        mark_unfenced(shard);
        shard->may_be_promoted = true;
        shard->promote_epoch = row->epoch;
    }
}

static void begin(struct migration_cluster_row *row, const struct migration_plan_call *call)
{
    if (call->call == CALL_FOLLOW) {
        struct migration_follow_row *follow = &row->follows[call->follow];
        follow->is_pending = true;
        follow->tries++;
        follow->is_dirty = true;
    } else if (call->shard < row->shard_count) {
        begin_on_shard(row, &row->shards[call->shard], call->call);
    } else {
        row->pending = call->call;
        row->tries = is_failure(row->outcome) ? row->tries + 1 : 1;
        row->is_dirty = true;
    }
}

void migration_carry_out(struct migration_cluster_row *row, const struct migration_plan *plan,
                         wall_ms now)
{
    if (plan->is_transition) {
        row->is_dirty = true;
        row->phase_ms = now;
        if (plan->to != row->status) {
            enter(row, plan->to, now);
        }
        apply_effects(row, plan->effects, now);
        /* Why it was rolled back is why it is aborted. */
        if (plan->reason[0] != '\0' || plan->to != MIG_ABORTED) {
            set_reason(row, plan->reason);
        }
    }
    for (size_t i = 0; i < plan->call_count; i++) {
        begin(row, &plan->calls[i]);
    }
}

/* ---- a restart ---- */

static void resume_shard(struct migration_shard_row *shard)
{
    if (shard->pending == CALL_NONE) {
        return;
    }
    if (shard->pending == CALL_HOLD || shard->pending == CALL_FREEZE) {
        shard->is_fence_unsure = true;
        shard->is_meta_fenced = true;
    }
    if (shard->pending == CALL_PROMOTE) {
        shard->is_promote_unsure = true;
    }
    shard->last_call = shard->pending;
    shard->outcome = OUTCOME_UNKNOWN;
    shard->tries = 0;
    shard->failing_since = 0;
    shard->failed_at = 0;
    shard->pending = CALL_NONE;
    shard->is_dirty = true;
}

void migration_resume(struct migration_cluster_row *row)
{
    if (row->pending != CALL_NONE) {
        row->pending = CALL_NONE;
        row->outcome = OUTCOME_UNKNOWN;
        row->tries = 0;
        row->is_dirty = true;
    }
    for (size_t i = 0; i < row->shard_count; i++) {
        resume_shard(&row->shards[i]);
    }
    for (size_t i = 0; i < row->follow_count; i++) {
        struct migration_follow_row *follow = &row->follows[i];
        if (follow->is_pending) {
            follow->is_pending = false;
            follow->retry_at = 0;
            follow->is_dirty = true;
        }
    }
}

/* ---- results ---- */

enum migration_call migration_next_of_fence(enum migration_call call)
{
    return call == CALL_HOLD ? CALL_DRAIN : call == CALL_DRAIN ? CALL_FREEZE : CALL_NONE;
}

bool migration_is_behind_hold(enum migration_call call)
{
    return call == CALL_DRAIN || call == CALL_FREEZE;
}

/* What was learned about the old master, from whichever phase. */
static void learn_fence(struct migration_shard_row *shard, const struct switch_fence *fence)
{
    if (!addr_is_none(&fence->master)) {
        shard->old_master = fence->master;
    }
    if (fence->saved.is_known && !shard->saved.is_known) {
        shard->saved = fence->saved;
    }
    if (!fence->has_info) {
        return;
    }
    bool is_other =
        fence->offset != shard->fence_offset || !text_eq(fence->repl_id, shard->fence_repl_id);
    shard->fence_offset = fence->offset;
    (void)snprintf(shard->fence_repl_id, sizeof(shard->fence_repl_id), "%s", fence->repl_id);
    if (is_other && shard->drain == OUTCOME_OK) {
        shard->drain = OUTCOME_NONE;
        shard->is_drained = false;
    }
}

static bool is_fenced(enum fence_state state)
{
    return state == FENCE_HELD || state == FENCE_FROZEN;
}

/* An OK without its proof is none. */
static enum call_outcome proved_outcome(const struct migration_result *result)
{
    if (result->outcome != OUTCOME_OK) {
        return result->outcome;
    }
    bool is_proved = true;
    switch (result->call) {
    case CALL_HOLD:
        is_proved = is_fenced(result->fence.state);
        break;
    case CALL_FREEZE:
        is_proved = result->fence.state == FENCE_FROZEN;
        break;
    case CALL_RELEASE:
        is_proved = result->fence.state == FENCE_RELEASED;
        break;
    case CALL_DRAIN:
        is_proved = result->change.is_drained || !result->change.is_ours;
        break;
    case CALL_PROMOTE:
        is_proved = !addr_is_none(&result->change.new_master);
        break;
    case CALL_NONE:
    case CALL_CHECK:
    case CALL_DEMOTE:
    case CALL_FOLLOW:
    case CALL_PRECHECK:
    case CALL_PUBLISH:
    case MIGRATION_CALLS:
        break;
    }
    return is_proved ? OUTCOME_OK : OUTCOME_REFUSED;
}

/* HOLD, FREEZE. */
static void apply_fence(struct migration_shard_row *shard, const struct migration_result *result,
                        enum call_outcome outcome, wall_ms now)
{
    if (outcome == OUTCOME_OK) {
        learn_fence(shard, &result->fence);
        shard->fence = result->fence.state;
        shard->held_at = shard->held_at > 0 ? shard->held_at : now;
        set_step(shard, STEP_PREVIOUS_PRIMARY,
                 shard->fence == FENCE_FROZEN ? RESULT_TRUE : RESULT_NONE);
        return;
    }
    set_step(shard, STEP_PREVIOUS_PRIMARY, RESULT_FALSE);
    if (outcome == OUTCOME_UNREACHABLE || outcome == OUTCOME_STALE) {
        shard->may_be_fenced = shard->is_fence_unsure || is_fenced(shard->fence);
        if (outcome == OUTCOME_UNREACHABLE && !is_fenced(shard->fence)) {
            shard->fence = FENCE_UNREACHABLE;
        }
        return;
    }
    shard->is_fence_unsure = true;
    if (outcome == OUTCOME_REFUSED) { /* what it saw helps to release it */
        enum call_outcome drain = shard->drain;
        learn_fence(shard, &result->fence);
        shard->drain = drain;
    }
}

static void apply_drain(struct migration_shard_row *shard, const struct migration_result *result,
                        enum call_outcome outcome)
{
    shard->drain = outcome;
    shard->is_drained = outcome == OUTCOME_OK && result->change.is_drained;
    if (outcome != OUTCOME_OK) {
        set_step(shard, STEP_PREVIOUS_PRIMARY, RESULT_FALSE);
    } else if (shard->fence == FENCE_FROZEN) {
        set_step(shard, STEP_PREVIOUS_PRIMARY, RESULT_TRUE);
    }
}

static int64_t lost_bytes(const struct migration_shard_row *shard,
                          const struct switch_change *change)
{
    if (shard->is_unfenced) {
        return -1; /* it may still take writes */
    }
    if (change->is_ours) {
        return change->offset_gap;
    }
    return shard->is_drained ? 0 : -1;
}

static void apply_promotion(struct migration_shard_row *shard,
                            const struct migration_result *result, enum call_outcome outcome,
                            wall_ms now)
{
    const struct switch_change *change = &result->change;
    set_step(shard, STEP_NEW_PRIMARY, outcome == OUTCOME_OK ? RESULT_TRUE : RESULT_FALSE);
    if (outcome == OUTCOME_UNREACHABLE || outcome == OUTCOME_STALE) {
        shard->may_be_promoted = shard->is_promote_unsure;
    } else if (outcome != OUTCOME_OK) {
        shard->is_promote_unsure = true;
    } else {
        shard->is_promoted = true;
        shard->is_promote_unsure = false;
        shard->new_master = change->new_master;
        shard->promoted_at = now;
        shard->lost_bytes = lost_bytes(shard, change);
        if (change->is_ours) {
            shard->is_drained = change->is_drained && !shard->is_unfenced;
        }
    }
}

static void apply_demotion(struct migration_shard_row *shard, enum call_outcome outcome)
{
    if (outcome != OUTCOME_OK) {
        return;
    }
    shard->is_promoted = false;
    shard->may_be_promoted = false;
    shard->is_promote_unsure = false;
    shard->new_master = (struct addr){ 0 };
    shard->promoted_at = 0;
    shard->lost_bytes = 0;
    if (shard->results[STEP_NEW_PRIMARY] == RESULT_TRUE) {
        set_step(shard, STEP_NEW_PRIMARY, RESULT_FALSE);
    }
}

static void apply_release(struct migration_shard_row *shard, enum call_outcome outcome)
{
    if (outcome != OUTCOME_OK) { /* a proof of before says nothing any more */
        shard->fence = shard->fence == FENCE_RELEASED ? FENCE_NONE : shard->fence;
        return;
    }
    shard->fence = FENCE_RELEASED;
    shard->may_be_fenced = false;
    shard->is_fence_unsure = false;
    shard->is_meta_fenced = false;
    shard->held_at = 0;
    shard->is_drained = false;
    shard->drain = OUTCOME_NONE;
    shard->saved = (struct fence_saved){ 0 };
}

/* Released by another way than the metaserver that made the fence: writes are accepted, but it would assert the fence again when it is back.
 * It has to be reached yet. */
static bool is_behind_its_back(const struct migration_shard_row *shard,
                               const struct migration_result *result, enum call_outcome outcome)
{
    return result->call == CALL_RELEASE && outcome == OUTCOME_OK && shard->is_meta_fenced &&
           !result->is_by_meta;
}

static void note_release_behind_its_back(struct migration_shard_row *shard)
{
    shard->fence = FENCE_RELEASED;
    shard->held_at = 0;
    add_text(shard, STEP_PREVIOUS_PRIMARY,
             "[error]released by another way: the source's metaserver does not know it yet, and "
             "would fence again\n");
}

/* A try in a row of them, perhaps the first. */
static void count_failure(struct migration_shard_row *shard, enum call_outcome outcome, wall_ms now)
{
    if (!is_failure(outcome)) {
        shard->failing_since = 0;
        shard->failed_at = 0;
        return;
    }
    bool is_first = shard->tries <= 1 || shard->failing_since == 0;
    shard->failing_since = is_first ? now : shard->failing_since;
    shard->failed_at = now;
}

/* A check, and a promotion, begin their text anew. */
static void tell_shard(struct migration_shard_row *shard, const struct migration_result *result,
                       enum call_outcome proved)
{
    enum migration_step step = migration_call_step(result->call);
    if (result->call == CALL_CHECK || result->call == CALL_PROMOTE) {
        set_text(shard, step, result->text ? result->text : "");
    } else {
        add_text(shard, step, result->text);
    }
    if (proved != result->outcome) {
        add_text(shard, step, "[error]OK was answered without its proof\n");
    }
}

static void apply_to_shard(struct migration_shard_row *shard, const struct migration_result *result,
                           wall_ms now)
{
    enum call_outcome proved = proved_outcome(result);
    bool is_behind = is_behind_its_back(shard, result, proved);
    enum call_outcome outcome = is_behind ? OUTCOME_UNREACHABLE : proved;
    shard->pending = CALL_NONE;
    shard->last_call = result->call;
    shard->outcome = outcome;
    shard->is_dirty = true;
    count_failure(shard, outcome, now);
    tell_shard(shard, result, proved);
    switch (result->call) {
    case CALL_CHECK:
        set_step(shard, STEP_CHECK, outcome == OUTCOME_OK ? RESULT_TRUE : RESULT_FALSE);
        break;
    case CALL_HOLD:
    case CALL_FREEZE:
        shard->is_meta_fenced |= result->may_be_by_meta;
        apply_fence(shard, result, outcome, now);
        break;
    case CALL_DRAIN:
        apply_drain(shard, result, outcome);
        break;
    case CALL_PROMOTE:
        apply_promotion(shard, result, outcome, now);
        break;
    case CALL_DEMOTE:
        apply_demotion(shard, outcome);
        break;
    case CALL_RELEASE:
        if (is_behind) {
            note_release_behind_its_back(shard);
        } else {
            apply_release(shard, outcome);
        }
        break;
    case CALL_NONE:
    case CALL_FOLLOW:
    case CALL_PRECHECK:
    case CALL_PUBLISH:
    case MIGRATION_CALLS:
        break;
    }
}

/* The step of the shards that says who follows: waiting until all do. */
static void show_follows(struct migration_cluster_row *row)
{
    AUTO_STR struct str text = STR_INIT(SWITCH_LOG_MAX);
    bool is_all = true;
    for (size_t i = 0; i < row->follow_count; i++) {
        const struct migration_follow_row *follow = &row->follows[i];
        bool is_true = follow->result == RESULT_TRUE;
        const char *line = follow->text ? follow->text : "";
        is_all &= is_true;
        str_printf(&text, "%s: %s%s%.400s\n", follow->dc,
                   is_true         ? "follows"
                   : follow->tries ? "does not follow yet, is asked again"
                                   : "is to be asked",
                   line[0] ? ": " : "", line);
    }
    for (size_t i = 0; i < row->shard_count; i++) {
        set_step(&row->shards[i], STEP_OTHER_DC, is_all ? RESULT_TRUE : RESULT_NONE);
        set_text(&row->shards[i], STEP_OTHER_DC, str_text(&text));
    }
}

static wall_ms retry_after(int tries)
{
    int shift = tries < 1 ? 0 : tries - 1;
    int64_t wait = shift > 10 ? FOLLOW_RETRY_MAX_MS : (int64_t)FOLLOW_RETRY_MIN_MS << shift;
    return wait < FOLLOW_RETRY_MAX_MS ? wait : FOLLOW_RETRY_MAX_MS;
}

static void apply_follow(struct migration_cluster_row *row, const struct migration_result *result,
                         wall_ms now)
{
    if (result->follow >= row->follow_count || !row->follows[result->follow].is_pending) {
        return;
    }
    struct migration_follow_row *follow = &row->follows[result->follow];
    bool is_over = result->outcome == OUTCOME_OK || result->outcome == OUTCOME_STALE;
    follow->is_pending = false;
    follow->is_dirty = true;
    follow->result = is_over ? RESULT_TRUE : RESULT_FALSE;
    follow->retry_at = is_over ? 0 : now + retry_after(follow->tries);
    free(follow->text);
    follow->text = result->text ? bounded(result->text) : NULL;
    show_follows(row);
}

/* PRECHECK, PUBLISH. The text of a failure waits in 'reason' for the rule that pauses. */
static void apply_to_cluster(struct migration_cluster_row *row,
                             const struct migration_result *result)
{
    row->pending = CALL_NONE;
    row->outcome = result->outcome;
    row->is_dirty = true;
    if (result->call == CALL_PUBLISH && result->publish_info) {
        free(row->publish_info);
        row->publish_info = xstrdup(result->publish_info);
    }
    if (result->outcome != OUTCOME_OK) {
        set_reason(row, result->text);
    }
    for (size_t i = 0;
         result->call == CALL_PRECHECK && result->outcome != OUTCOME_OK && i < row->shard_count;
         i++) {
        set_step(&row->shards[i], STEP_CHECK, RESULT_FALSE);
        add_text(&row->shards[i], STEP_CHECK, result->text);
    }
}

void migration_apply(struct migration_cluster_row *row, const struct migration_result *result,
                     wall_ms now)
{
    if (result->call == CALL_FOLLOW) {
        apply_follow(row, result, now);
    } else if (result->call == CALL_PRECHECK || result->call == CALL_PUBLISH) {
        if (row->pending == result->call) {
            apply_to_cluster(row, result);
        }
    } else if (result->shard < row->shard_count && result->call != CALL_NONE &&
               row->shards[result->shard].pending == result->call) {
        apply_to_shard(&row->shards[result->shard], result, now);
    }
}

void migration_result_done(struct migration_result *result)
{
    free(result->text);
    free(result->publish_info);
    switch_fence_done(&result->fence);
    switch_change_done(&result->change);
    *result = (struct migration_result){ 0 };
}
