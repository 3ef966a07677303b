/* migration_calls_check.c - CHECK: the metaservers of all DCs of the cluster say at once what they see of the shard, and switch_judge weighs
 * it (dr-switchover.md 9.2 (6)). Opens the connections that the calls inside the outage use. */
#include <string.h>

#include "console/migration/migration_calls_internal.h"
#include "console/migration/switch_judge.h"
#include "shared/base/mem.h"
#include "shared/base/banned.h"

struct seen_dc {
    char *dc;
    bool is_source;
    bool is_dest;
    struct switch_check *check; /* NULL: no answer */
    char *error;
    bool is_unreachable;
};

struct check_round {
    struct seen_dc dcs[MIGRATION_DCS_MAX];
    size_t count;
    size_t waiting;
};

void check_round_free(struct check_round *r)
{
    if (!r) {
        return;
    }
    for (size_t i = 0; i < r->count; i++) {
        free(r->dcs[i].dc);
        free(r->dcs[i].error);
        if (r->dcs[i].check) {
            switch_check_done(r->dcs[i].check);
            free(r->dcs[i].check);
        }
    }
    free(r);
}

/* Asked for without a mode: a source DC that does not answer is the reason for the switch, not an objection to it. */
static bool counts_as_disaster(const struct call *c)
{
    bool is_silent = false;
    for (size_t i = 0; i < c->check->count; i++) {
        const struct seen_dc *dc = &c->check->dcs[i];
        is_silent = is_silent || (dc->is_source && !dc->check);
    }
    return c->is_disaster || (c->mode == MODE_AUTO && is_silent);
}

static void judge(const struct call *c, struct judge_verdict *ret_verdict)
{
    const struct check_round *r = c->check;
    struct judge_dc dcs[MIGRATION_DCS_MAX] = { 0 };
    for (size_t i = 0; i < r->count; i++) {
        const struct seen_dc *dc = &r->dcs[i];
        dcs[i] = (struct judge_dc){ .dc = dc->dc,
                                    .is_source = dc->is_source,
                                    .is_dest = dc->is_dest,
                                    .was_asked = true,
                                    .check = dc->check,
                                    .error = dc->error };
    }
    struct judge_facts facts = { .dcs = dcs,
                                 .count = r->count,
                                 .is_disaster = counts_as_disaster(c),
                                 .max_lag_bytes = c->owner->settings.max_lag_bytes,
                                 .drain_ms = c->owner->settings.drain_ms };
    switch_judge(&facts, ret_verdict);
}

/* Nothing but silence is in the way: another try may find it over. */
static bool is_unreachable(const struct check_round *r)
{
    for (size_t i = 0; i < r->count; i++) {
        if (r->dcs[i].is_dest) {
            return r->dcs[i].is_unreachable;
        }
    }
    return false;
}

static bool is_stale(const struct call *c)
{
    for (size_t i = 0; i < c->check->count; i++) {
        const struct switch_check *check = c->check->dcs[i].check;
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
    free(verdict);
    if (is_stale(c)) {
        execution_log_error(
            c->log,
            "a metaserver knows a higher epoch than %lld: another console owns this migration",
            (long long)c->epoch);
        call_finish(c, OUTCOME_STALE, NULL);
        return;
    }
    enum call_outcome no = is_unreachable(c->check) ? OUTCOME_UNREACHABLE : OUTCOME_REFUSED;
    call_finish(c, may ? OUTCOME_OK : no, NULL);
}

static void note_answer(struct seen_dc *dc, const struct meta_answer *a)
{
    struct xp_err err = { 0 };
    if (a->kind != META_ANSWERED) {
        dc->error = xstrdup(a->why);
        dc->is_unreachable = a->kind == META_UNREACHABLE || a->kind == META_UNKNOWN;
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

static void on_check(struct call *c, const struct meta_answer *a, uint64_t token)
{
    note_answer(&c->check->dcs[token], a);
    if (--c->check->waiting == 0) {
        finish_check(c);
    }
}

static void ask_all(struct call *c)
{
    struct check_round *r = c->check;
    AUTO_FREE char *path = meta_path(c, "changeprimarydc/check", c->shard, c->dest_dc);
    r->waiting = r->count + 1; /* one for this loop: nothing ends before all are asked */
    for (size_t i = 0; i < r->count; i++) {
        struct meta_request request = { .method = "GET",
                                        .dc = r->dcs[i].dc,
                                        .path = path,
                                        .timeout_ms = c->owner->settings.check_ms,
                                        .done = on_check,
                                        .token = i };
        meta_send(c, &request);
    }
    if (--r->waiting == 0) {
        finish_check(c);
    }
}

static void have_places(struct call *c)
{
    if (!c->places) {
        execution_log_error(c->log, "%s", c->places_error);
        call_finish(c, OUTCOME_UNREACHABLE, NULL);
        return;
    }
    c->check = xcalloc(1, sizeof(*c->check));
    for (size_t i = 0; i < c->places->dc_count; i++) {
        const struct place_dc *dc = &c->places->dcs[i];
        c->check->dcs[c->check->count++] = (struct seen_dc){ .dc = xstrdup(dc->name),
                                                             .is_source = dc->id == c->source_dc_id,
                                                             .is_dest = dc->id == c->dest_dc_id };
    }
    ask_all(c);
}

void call_check(struct call *c)
{
    call_with_places(c, true, have_places);
}
