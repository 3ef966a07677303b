/* readiness_decide.c - see readiness_decide.h. */
#include "console/migration/readiness_decide.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/mem.h"

#include "shared/base/banned.h"

enum { SILENT_LOOKS_MAX = 2 }; /* one lost answer changes nothing */

static const char *const level_texts[READINESS_LEVELS] = {
    [READINESS_UNKNOWN] = "UNKNOWN",
    [READINESS_READY] = "READY",
    [READINESS_WARNING] = "WARNING",
    [READINESS_NOT_READY] = "NOT_READY",
};

const char *readiness_level_text(enum readiness_level level)
{
    xp_check((size_t)level < ARRAY_LEN(level_texts));
    return level_texts[level];
}

bool readiness_level_from_text(const char *text, enum readiness_level *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(level_texts); i++) {
        if (text_eq_nocase(text, level_texts[i])) {
            *ret = (enum readiness_level)i;
            return true;
        }
    }
    return false;
}

/* ---- weighing one shard ---- */

static void add_finding(struct readiness_tally *t, const char *shard,
                        const struct judge_finding *finding)
{
    for (size_t i = 0; i < t->count; i++) {
        struct readiness_reason *reason = &t->reasons[i];
        if (reason->is_error == finding->is_error && text_eq(reason->code, finding->rule)) {
            reason->count++;
            return;
        }
    }
    if (t->count == READINESS_TALLY_MAX) {
        return; /* more than there are rules */
    }
    struct readiness_reason *reason = &t->reasons[t->count++];
    *reason = (struct readiness_reason){ .is_error = finding->is_error, .count = 1 };
    (void)snprintf(reason->code, sizeof(reason->code), "%s", finding->rule);
    (void)snprintf(reason->shard, sizeof(reason->shard), "%s", shard);
    (void)snprintf(reason->text, sizeof(reason->text), "%s", finding->text);
}

static void note_silence(struct readiness_tally *t, const struct survey_dc *dest)
{
    if (t->silent_shards++ == 0) {
        (void)snprintf(t->silent_why, sizeof(t->silent_why), "dc %s: no answer: %.180s",
                       dest ? dest->dc : "?", dest && dest->error ? dest->error : "was not asked");
    }
}

void readiness_weigh(struct readiness_tally *t, const char *shard,
                     const struct shard_survey *survey, const struct judge_facts *limits)
{
    const struct survey_dc *dest = shard_survey_dest(survey);
    t->shards++;
    if (!dest || (!dest->check && dest->is_unreachable)) {
        note_silence(t, dest); /* the absence of an answer is no answer */
        return;
    }
    struct judge_verdict *verdict AUTO_FREE = xcalloc(1, sizeof(*verdict));
    struct judge_facts facts = *limits;
    facts.is_disaster = true;
    shard_survey_judge(survey, &facts, verdict);
    t->may_not_disaster |= !verdict->may;
    facts.is_disaster = shard_survey_is_disaster(survey, MODE_AUTO);
    shard_survey_judge(survey, &facts, verdict);
    t->may_not_planned |= !verdict->may;
    for (size_t i = 0; i < verdict->count; i++) {
        add_finding(t, shard, &verdict->findings[i]);
    }
    if (verdict->lag_bytes >= t->lag_bytes) {
        t->lag_bytes = verdict->lag_bytes + 1;
    }
}

/* ---- the verdict ---- */

static void give_reason(struct readiness_verdict *v, const struct readiness_reason *reason)
{
    if (v->count < READINESS_REASONS_MAX) {
        v->reasons[v->count++] = *reason;
    }
}

static void give_own(struct readiness_verdict *v, const char *code, bool is_error, const char *fmt,
                     ...) XP_PRINTF(4, 5);
static void give_own(struct readiness_verdict *v, const char *code, bool is_error, const char *fmt,
                     ...)
{
    struct readiness_reason reason = { .is_error = is_error, .count = 1 };
    (void)snprintf(reason.code, sizeof(reason.code), "%s", code);
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(reason.text, sizeof(reason.text), fmt, args);
    va_end(args);
    give_reason(v, &reason);
}

static void give_findings(struct readiness_verdict *v, const struct readiness_tally *t, bool errors)
{
    for (size_t i = 0; i < t->count; i++) {
        if (t->reasons[i].is_error == errors) {
            give_reason(v, &t->reasons[i]);
        }
    }
}

static void set_levels(struct readiness_verdict *v, enum readiness_level level)
{
    v->planned = v->disaster = level;
}

/* Errors that were seen count, whatever else was not; without them silence makes it unknown. */
static void decide_silent(const struct readiness_facts *f, struct readiness_verdict *v)
{
    v->is_silent = true;
    v->keeps_previous = f->silent_looks + 1 < SILENT_LOOKS_MAX && !f->tally->may_not_planned;
    v->planned = f->tally->may_not_planned ? READINESS_NOT_READY : READINESS_UNKNOWN;
    v->disaster = f->tally->may_not_disaster ? READINESS_NOT_READY : READINESS_UNKNOWN;
    give_findings(v, f->tally, true);
    give_own(v, "R14", false, "%s", f->tally->silent_why);
}

void readiness_decide(const struct readiness_facts *f, struct readiness_verdict *v)
{
    const struct readiness_tally *t = f->tally;
    *v = (struct readiness_verdict){ .lag_bytes = t->lag_bytes - 1 };
    if (f->held_by) {
        give_own(v, "R20", false, "migration event %lld holds the cluster", (long long)f->held_by);
        return;
    }
    if (f->shards < 1 || f->shards > MIGRATION_SHARDS_MAX) {
        set_levels(v, READINESS_NOT_READY);
        give_own(v, "R22", true, "%lld shards, 1..%d can be migrated", (long long)f->shards,
                 MIGRATION_SHARDS_MAX);
        return;
    }
    if (f->dc[0] == '\0') {
        set_levels(v, READINESS_NOT_READY);
        give_own(v, "R24", true, "no other DC of its zone is there for it");
        return;
    }
    if (t->silent_shards > 0) {
        decide_silent(f, v);
        return;
    }
    enum readiness_level best = t->count > 0 ? READINESS_WARNING : READINESS_READY;
    v->planned = t->may_not_planned ? READINESS_NOT_READY : best;
    v->disaster = t->may_not_disaster ? READINESS_NOT_READY : best;
    give_findings(v, t, true);
    give_findings(v, t, false);
}

bool readiness_age(mono_ms looked_at, mono_ms now, int64_t age_max_ms,
                   struct readiness_reason *ret_reason)
{
    if (looked_at > 0 && now - looked_at <= age_max_ms) {
        return false;
    }
    *ret_reason = (struct readiness_reason){ .count = 1 };
    (void)snprintf(ret_reason->code, sizeof(ret_reason->code), "%s", looked_at ? "R12" : "R10");
    if (looked_at == 0) {
        (void)snprintf(ret_reason->text, sizeof(ret_reason->text), "not looked at yet");
    } else {
        (void)snprintf(ret_reason->text, sizeof(ret_reason->text),
                       "last looked at %lld s ago, more than %lld",
                       (long long)(now - looked_at) / 1000, (long long)age_max_ms / 1000);
    }
    return true;
}
