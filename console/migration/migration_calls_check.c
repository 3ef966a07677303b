/* migration_calls_check.c - CHECK: the metaservers of all DCs of the cluster say at once what they see of the shard, and switch_judge weighs
 * it (dr-switchover.md 9.2 (6)). Opens the connections that the calls inside the outage use. */
#include <string.h>

#include "console/migration/migration_calls_internal.h"
#include "shared/base/mem.h"
#include "shared/base/banned.h"

struct check_round {
    struct shard_survey *survey;
    size_t waiting;
    int64_t asked_us;
};

void check_round_free(struct check_round *r)
{
    if (r) {
        shard_survey_free(r->survey);
        free(r);
    }
}

/* ---- the check of a migration ---- */

static void judge(const struct call *c, struct judge_verdict *ret_verdict)
{
    const struct shard_survey *survey = c->check->survey;
    enum migration_mode mode = c->is_disaster ? MODE_DISASTER : c->mode;
    struct judge_facts limits = { .is_disaster = shard_survey_is_disaster(survey, mode),
                                  .max_lag_bytes = c->owner->settings.max_lag_bytes,
                                  .drain_ms = c->owner->settings.drain_ms };
    shard_survey_judge(survey, &limits, ret_verdict);
}

/* Nothing but silence is in the way: another try may find it over. */
static enum call_outcome outcome_of_no(const struct call *c, bool is_not_yet)
{
    const struct survey_dc *dest = shard_survey_dest(c->check->survey);
    if (dest && dest->is_busy) {
        return OUTCOME_NOT_YET;
    }
    if (dest && dest->is_unreachable) {
        return OUTCOME_UNREACHABLE;
    }
    return is_not_yet ? OUTCOME_NOT_YET : OUTCOME_REFUSED;
}

static bool is_stale(const struct call *c)
{
    for (size_t i = 0; i < c->check->survey->count; i++) {
        const struct switch_check *check = c->check->survey->dcs[i].check;
        if (check && check->is_ours && check->epoch > c->epoch) {
            return true;
        }
    }
    return false;
}

/* The judge knows no time: its lines get theirs here, as every line of a step has it. */
static void log_verdict(const struct call *c, const struct judge_verdict *verdict)
{
    struct str text AUTO_STR = STR_INIT(SWITCH_LOG_MAX);
    judge_verdict_print(verdict, &text);
    const char *cursor = str_text(&text);
    const char *line;
    size_t length;
    while (text_next_part(&cursor, "\n", &line, &length)) {
        AUTO_FREE char *part = xstrndup(line, length);
        const char *words = part[0] == '[' && strchr(part, ']') ? strchr(part, ']') + 1 : part;
        if (text_has_prefix(part, "[error]")) {
            execution_log_error(c->log, "%s", words);
        } else if (text_has_prefix(part, "[warn]")) {
            execution_log_warn(c->log, "%s", words);
        } else {
            execution_log_info(c->log, "%s", words);
        }
    }
}

static void finish_check(struct call *c)
{
    struct judge_verdict *verdict = xcalloc(1, sizeof(*verdict));
    judge(c, verdict);
    log_verdict(c, verdict);
    bool may = verdict->may;
    bool is_not_yet = verdict->is_not_yet;
    free(verdict);
    if (is_stale(c)) {
        execution_log_error(
            c->log,
            "a metaserver knows a higher epoch than %lld: another console owns this migration",
            (long long)c->epoch);
        call_finish(c, OUTCOME_STALE, NULL);
        return;
    }
    call_finish(c, may ? OUTCOME_OK : outcome_of_no(c, is_not_yet), NULL);
}

/* ---- asking ---- */

static void note_answer(struct survey_dc *dc, const struct meta_answer *a)
{
    struct xp_err err = { 0 };
    if (a->kind != META_ANSWERED) {
        dc->error = xstrdup(a->why);
        dc->is_unreachable = a->kind == META_UNREACHABLE || a->kind == META_UNKNOWN;
        dc->is_busy = a->status >= 500;
        return;
    }
    struct switch_check *check = xcalloc(1, sizeof(*check));
    if (switch_check_from_json(a->json, check, &err) < 0) {
        dc->error = xasprintf("its answer is not understood: %s", err.msg);
        free(check);
        return;
    }
    dc->check = check;
}

static void all_answered(struct call *c)
{
    if (c->surveyed) {
        call_finish_survey(c, TAKE(c->check->survey));
    } else {
        finish_check(c);
    }
}

static void on_check(struct call *c, const struct meta_answer *a, uint64_t token)
{
    struct survey_dc *dc = &c->check->survey->dcs[token];
    dc->took_us = clock_mono_us() - c->check->asked_us;
    note_answer(dc, a);
    if (--c->check->waiting == 0) {
        all_answered(c);
    }
}

/* In a disaster the source, and the others, are asked for what they know: a promotion does not wait for it. */
static int64_t patience_ms(const struct call *c, const struct survey_dc *dc)
{
    const struct migration_calls_settings *s = &c->owner->settings;
    bool is_beside = c->mode == MODE_DISASTER && !c->surveyed && !dc->is_dest;
    return is_beside && s->fence_ms < s->check_ms ? s->fence_ms : s->check_ms;
}

static void ask_all(struct call *c)
{
    struct check_round *r = c->check;
    AUTO_FREE char *path = meta_path(c, SWITCH_WORD_CHECK, c->shard, c->dest_dc);
    size_t count = r->survey->count;
    r->waiting = count + 1; /* one for this loop: nothing ends before all are asked */
    r->asked_us = clock_mono_us();
    for (size_t i = 0; i < count; i++) {
        struct meta_request request = { .method = "GET",
                                        .dc = r->survey->dcs[i].dc,
                                        .path = path,
                                        .timeout_ms = patience_ms(c, &r->survey->dcs[i]),
                                        .done = on_check,
                                        .token = i };
        meta_send(c, &request);
    }
    if (--r->waiting == 0) {
        all_answered(c);
    }
}

static void begin(struct call *c, struct shard_survey *take_survey)
{
    c->check = xcalloc(1, sizeof(*c->check));
    c->check->survey = take_survey;
    ask_all(c);
}

static void have_places(struct call *c)
{
    struct xp_err err = { 0 };
    if (!c->places) {
        execution_log_error(c->log, "%s", c->places_error);
        call_finish(c, OUTCOME_UNREACHABLE, NULL);
        return;
    }
    struct shard_survey *survey = xcalloc(1, sizeof(*survey));
    for (size_t i = 0; i < c->places->dc_count; i++) { /* at most as many as fit */
        const struct place_dc *dc = &c->places->dcs[i];
        xp_check(shard_survey_add(survey, dc->name, dc->id == c->source_dc_id,
                                  dc->id == c->dest_dc_id, &err) == 0);
    }
    begin(c, survey);
}

void call_check(struct call *c)
{
    call_with_places(c, true, have_places);
}

void call_survey(struct call *c, struct shard_survey *take_survey)
{
    begin(c, take_survey);
}
