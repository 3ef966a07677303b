/* migration_look.c - what the rules of a migration look at: each shard's stage, counted, and the cause of a failure in words. See
 * migration_decide_internal.h. */
#include <stdio.h>
#include <string.h>

#include "console/migration/migration_decide_internal.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

/* ---- stages ---- */

static bool is_failure(enum call_outcome outcome)
{
    return outcome != OUTCOME_NONE && outcome != OUTCOME_OK;
}

/* The last call of the shard was this one, and did not succeed. */
static bool has_failed(const struct migration_shard_row *shard, enum migration_call call)
{
    return shard->last_call == call && is_failure(shard->outcome);
}

/* ---- again ---- */

wall_ms migration_again_at(const struct migration_facts *f, const struct migration_shard_row *shard)
{
    int64_t pause = f->retry.pause_ms;
    for (int i = 1; i < shard->tries && pause < f->retry.pause_max_ms; i++) {
        pause *= 2;
    }
    return shard->failed_at + (pause < f->retry.pause_max_ms ? pause : f->retry.pause_max_ms);
}

/* 'limit_ms' since the first failure in a row. Of a call that was under way at a restart nobody knows how it ended: at once. */
static enum again_is again_within(const struct migration_facts *f,
                                  const struct migration_shard_row *shard, int64_t limit_ms)
{
    if (shard->failing_since == 0) {
        return AGAIN_NOW;
    }
    wall_ms at = migration_again_at(f, shard);
    bool was_set_back = f->now < shard->failed_at; /* the clock */
    if (at - shard->failing_since >= limit_ms) {
        return AGAIN_NO;
    }
    return at <= f->now || was_set_back ? AGAIN_NOW : AGAIN_LATER;
}

/* Goes forward only, or has to be undone where it may have been done: that is worth more patience. */
static bool is_anything_promoted(const struct migration_cluster_row *row)
{
    for (size_t i = 0; i < row->shard_count; i++) {
        if (row->shards[i].may_be_promoted) {
            return true;
        }
    }
    return false;
}

static bool is_held(const struct migration_shard_row *shard)
{
    return shard->fence == FENCE_HELD || shard->fence == FENCE_FROZEN;
}

/* Goes on in spite of this failure? A stale epoch never: somebody else is at it. */
static bool is_tolerated(const struct migration_cluster_row *row, enum call_outcome outcome,
                         bool is_fence)
{
    if (outcome == OUTCOME_STALE) {
        return false;
    }
    return row->mode == MODE_DISASTER ||
           (row->is_disaster && is_fence && outcome == OUTCOME_UNREACHABLE);
}

static struct shard_stage stage_of_call(enum migration_call call)
{
    return (struct shard_stage){ .is = SHARD_CALLS, .call = call };
}

/* A call of the fence failed: again, given up, or a failure. */
static struct shard_stage stage_of_failure(const struct migration_facts *f,
                                           const struct migration_shard_row *shard,
                                           enum migration_call call)
{
    const struct migration_cluster_row *row = f->row;
    /* every way had its whole time, and time is short; one that a restart broke off had not */
    bool is_given_up = row->mode == MODE_DISASTER && call == CALL_HOLD && shard->failing_since > 0;
    enum again_is again = shard->outcome == OUTCOME_UNKNOWN && !is_given_up
                              ? again_within(f, shard, f->retry.undoable_ms)
                              : AGAIN_NO;
    if (again != AGAIN_NO) {
        return (struct shard_stage){ .is = again == AGAIN_NOW ? SHARD_CALLS : SHARD_PAUSES,
                                     .call = call };
    }
    if (is_tolerated(row, shard->outcome, true)) {
        return (struct shard_stage){ .is = SHARD_READY };
    }
    return (struct shard_stage){ .is = SHARD_FAILED,
                                 .is_soft = row->mode == MODE_AUTO && !row->is_disaster &&
                                            shard->outcome == OUTCOME_UNREACHABLE };
}

struct shard_stage migration_shard_stage(const struct migration_facts *f,
                                         const struct migration_shard_row *shard)
{
    if (shard->pending != CALL_NONE) {
        return (struct shard_stage){ .is = SHARD_WAITS };
    }
    if (shard->is_promoted) {
        return (struct shard_stage){ .is = SHARD_PROMOTED };
    }
    if (shard->last_call == CALL_PROMOTE) { /* it was ready */
        return (struct shard_stage){ .is = SHARD_READY };
    }
    if (!is_held(shard)) {
        return has_failed(shard, CALL_HOLD) ? stage_of_failure(f, shard, CALL_HOLD)
                                            : stage_of_call(CALL_HOLD);
    }
    if (shard->drain == OUTCOME_NONE) {
        return stage_of_call(CALL_DRAIN);
    }
    if (is_failure(shard->drain) && !is_tolerated(f->row, shard->drain, false)) {
        return (struct shard_stage){ .is = SHARD_FAILED };
    }
    if (shard->fence == FENCE_HELD) {
        return has_failed(shard, CALL_FREEZE) ? stage_of_failure(f, shard, CALL_FREEZE)
                                              : stage_of_call(CALL_FREEZE);
    }
    return (struct shard_stage){ .is = SHARD_READY };
}

/* ---- checks ---- */

static enum again_is check_again(const struct migration_facts *f,
                                 const struct migration_shard_row *shard)
{
    switch (shard->outcome) {
    case OUTCOME_NOT_YET:
        return again_within(f, shard, f->retry.check_ms);
    case OUTCOME_UNREACHABLE:
    case OUTCOME_UNKNOWN:
        return again_within(f, shard, f->retry.undoable_ms);
    case OUTCOME_NONE:
    case OUTCOME_OK:
    case OUTCOME_REFUSED:
    case OUTCOME_STALE:
        break;
    }
    return AGAIN_NO;
}

bool migration_check_due(const struct migration_facts *f, const struct migration_shard_row *shard)
{
    if (shard->pending != CALL_NONE) {
        return false;
    }
    return has_failed(shard, CALL_CHECK) ? check_again(f, shard) == AGAIN_NOW
                                         : shard->results[STEP_CHECK] == RESULT_NONE;
}

/* ---- promotion ---- */

/* Planned: the old masters refuse writes all the time, and as long as nobody is proved to be promoted there is a way back. */
static bool is_outage_over(const struct migration_facts *f)
{
    wall_ms held_since = 0;
    for (size_t i = 0; i < f->row->shard_count; i++) {
        const struct migration_shard_row *shard = &f->row->shards[i];
        if (shard->is_promoted) {
            return false;
        }
        if (shard->held_at > 0 && (held_since == 0 || shard->held_at < held_since)) {
            held_since = shard->held_at;
        }
    }
    return !f->row->is_disaster && f->outage_max_ms > 0 && held_since > 0 &&
           f->now - held_since >= f->outage_max_ms;
}

static enum again_is promote_again(const struct migration_facts *f,
                                   const struct migration_shard_row *shard)
{
    bool is_again = shard->outcome == OUTCOME_UNKNOWN || shard->outcome == OUTCOME_UNREACHABLE;
    if (!is_again || is_outage_over(f)) {
        return AGAIN_NO;
    }
    return again_within(f, shard,
                        is_anything_promoted(f->row) ? f->retry.total_ms : f->retry.undoable_ms);
}

bool migration_promote_due(const struct migration_facts *f, const struct migration_shard_row *shard)
{
    if (shard->is_promoted || shard->pending != CALL_NONE) {
        return false;
    }
    return shard->last_call != CALL_PROMOTE || promote_again(f, shard) == AGAIN_NOW;
}

static bool is_promote_pausing(const struct migration_facts *f,
                               const struct migration_shard_row *shard)
{
    return !shard->is_promoted && shard->pending == CALL_NONE && shard->last_call == CALL_PROMOTE &&
           promote_again(f, shard) == AGAIN_LATER;
}

/* ---- the way back ---- */

enum migration_call migration_undo_due(const struct migration_facts *f,
                                       const struct migration_shard_row *shard, bool *ret_pauses)
{
    enum again_is again = AGAIN_NO;
    enum migration_call call = shard->may_be_promoted ? CALL_DEMOTE : CALL_RELEASE;
    if (shard->pending != CALL_NONE || !migration_may_be_anything(shard)) {
        again = AGAIN_NO;
    } else if (!has_failed(shard, call)) {
        again = AGAIN_NOW;
    } else if (shard->outcome != OUTCOME_STALE) {
        again = again_within(f, shard, f->retry.total_ms);
    }
    if (ret_pauses) {
        *ret_pauses = again == AGAIN_LATER;
    }
    return again == AGAIN_NOW ? call : CALL_NONE;
}

bool migration_is_undone(const struct migration_facts *f, const struct migration_shard_row *shard)
{
    bool is_pausing = false;
    bool is_due = migration_undo_due(f, shard, &is_pausing) != CALL_NONE;
    bool is_open = shard->pending != CALL_NONE || is_due || is_pausing;
    bool is_only_untold = !shard->may_be_promoted && shard->fence == FENCE_RELEASED && !is_open;
    return is_only_untold || !migration_may_be_anything(shard);
}

bool migration_may_be_anything(const struct migration_shard_row *shard)
{
    return shard->may_be_promoted || shard->may_be_fenced;
}

bool migration_follow_due(const struct migration_follow_row *follow, wall_ms now)
{
    return follow->result != RESULT_TRUE && !follow->is_pending && follow->retry_at <= now;
}

/* ---- counted ---- */

/* Perhaps fenced, and not only by a first hold whose answer is still to come. */
static bool is_touched(const struct migration_shard_row *shard)
{
    return shard->may_be_fenced &&
           (shard->pending != CALL_HOLD || is_held(shard) || shard->is_fence_unsure);
}

static void count_stage(const struct migration_facts *f, const struct migration_shard_row *shard,
                        struct migration_look *look)
{
    struct shard_stage stage = migration_shard_stage(f, shard);
    bool is_due = stage.is == SHARD_CALLS || stage.is == SHARD_PAUSES;
    bool is_hold = shard->pending == CALL_HOLD || (is_due && stage.call == CALL_HOLD);
    bool is_open = is_due || stage.is == SHARD_FAILED ||
                   (stage.is == SHARD_WAITS && shard->pending != CALL_PROMOTE);
    look->due += stage.is == SHARD_CALLS;
    look->hold_open += is_hold;
    look->fence_open += is_open;
    look->promote_due += stage.is == SHARD_READY && migration_promote_due(f, shard);
    look->pausing +=
        stage.is == SHARD_PAUSES || (stage.is == SHARD_READY && is_promote_pausing(f, shard));
    look->hard += stage.is == SHARD_FAILED && !stage.is_soft;
    look->soft += stage.is == SHARD_FAILED && stage.is_soft;
}

static void count_check(const struct migration_facts *f, const struct migration_shard_row *shard,
                        struct migration_look *look)
{
    bool is_failed = shard->pending == CALL_NONE && has_failed(shard, CALL_CHECK);
    enum again_is again = is_failed ? check_again(f, shard) : AGAIN_NO;
    look->checks_due += migration_check_due(f, shard);
    look->checks_pausing += again == AGAIN_LATER;
    look->checks_failed += is_failed && again == AGAIN_NO;
}

void migration_look_at(const struct migration_facts *facts, struct migration_look *ret_look)
{
    const struct migration_cluster_row *row = facts->row;
    struct migration_look look = { .facts = facts, .row = row };
    look.pending = row->pending != CALL_NONE;
    for (size_t i = 0; i < row->shard_count; i++) {
        const struct migration_shard_row *shard = &row->shards[i];
        look.promoted += shard->is_promoted;
        look.may += shard->may_be_promoted;
        look.pending += shard->pending != CALL_NONE;
        look.is_touched |= is_touched(shard);
        if (shard->may_be_fenced && shard->held_at > 0 &&
            (look.held_since == 0 || shard->held_at < look.held_since)) {
            look.held_since = shard->held_at;
        }
        count_stage(facts, shard, &look);
        count_check(facts, shard, &look);
    }
    *ret_look = look;
}

/* ---- causes ---- */

enum migration_step migration_call_step(enum migration_call call)
{
    switch (call) {
    case CALL_HOLD:
    case CALL_DRAIN:
    case CALL_FREEZE:
    case CALL_RELEASE:
        return STEP_PREVIOUS_PRIMARY;
    case CALL_PROMOTE:
    case CALL_DEMOTE:
        return STEP_NEW_PRIMARY;
    case CALL_FOLLOW:
        return STEP_OTHER_DC;
    case CALL_PUBLISH:
        return STEP_MIGRATE;
    case CALL_NONE:
    case CALL_CHECK:
    case CALL_PRECHECK:
    case MIGRATION_CALLS:
        break;
    }
    return STEP_CHECK;
}

static bool is_call_to_source(enum migration_call call)
{
    return call == CALL_HOLD || call == CALL_FREEZE || call == CALL_RELEASE;
}

/* Without the "[error][time]" in front. */
static void skip_brackets(const char **line, size_t *length)
{
    const char *end = NULL;
    while (*length > 0 && **line == '[' && (end = memchr(*line, ']', *length))) {
        *length -= (size_t)(end + 1 - *line);
        *line = end + 1;
    }
}

void migration_telling_line(const char *text, char ret_line[256])
{
    const char *cursor = text ? text : "";
    const char *part = NULL;
    size_t length = 0;
    bool is_error = false;
    ret_line[0] = '\0';
    while (text_next_part(&cursor, "\n", &part, &length)) {
        bool is_this = length >= 7 && memcmp(part, "[error]", 7) == 0;
        if (is_this || !is_error) {
            skip_brackets(&part, &length);
            (void)snprintf(ret_line, 256, "%.*s", (int)(length < 255 ? length : 255), part);
        }
        is_error |= is_this;
    }
}

static void shard_cause(const struct migration_cluster_row *row,
                        const struct migration_shard_row *shard, struct str *out)
{
    enum migration_call call = shard->last_call;
    enum migration_step step = migration_call_step(call);
    char line[256];
    migration_telling_line(shard->texts[step], line);
    str_printf(out, "dc %s, shard %s, %s: %s %s",
               is_call_to_source(call) ? row->source_dc : row->dest_dc, shard->name,
               migration_step_key(step), migration_call_text(call),
               call_outcome_text(shard->outcome));
    if (line[0] != '\0') {
        str_printf(out, ": %s", line);
    }
}

/* Cut in front of a broken character. */
static void copy_reason(const struct str *from, char ret_reason[512])
{
    (void)snprintf(ret_reason, 512, "%s", str_text(from));
    size_t length = strlen(ret_reason);
    while (length > 0 && !text_is_utf8(ret_reason, length)) {
        ret_reason[--length] = '\0';
    }
}

void migration_shards_cause(const struct migration_look *look, shard_pick_fn *is_it,
                            const char *before, char ret_reason[512])
{
    const struct migration_cluster_row *row = look->row;
    AUTO_STR struct str out = STR_INIT(2048);
    size_t more = 0;
    bool has_first = false;
    str_puts(&out, before);
    for (size_t i = 0; i < row->shard_count; i++) {
        if (!is_it(look, &row->shards[i])) {
            continue;
        }
        if (has_first) {
            more++;
        } else {
            shard_cause(row, &row->shards[i], &out);
            has_first = true;
        }
    }
    if (more > 0) {
        str_printf(&out, ", and %zu more shard%s", more, more > 1 ? "s" : "");
    }
    copy_reason(&out, ret_reason);
}
