/* migration_decide_golden.c - migrations played turn by turn.
 *
 * Input: {"why", "mode":"planned|disaster|auto", "shards":2, "dcs":["A","B","C"], "outage_max_ms", "expire_ms", "retry":{...}, "turns":[...]}. The migration is
 * from the first DC to the second one and begins as Initiated. A turn: {"ask":"process|rollback|forceProcess|forceEnd", "resumed":true,
 * "after_ms", "answers":{"default":"ok", "hold":"unreachable", "promote/s2":"refused: text", "follow/C":"unknown", "drain":{...}}}. Answers are looked up
 * as CALL/SHARD (or DC), CALL, "default"; "none" or nothing: not answered in this turn. As an object: {"outcome", "text", "offset", "state", "drained",
 * "ours", "lost", "master", "meta":"did|may|not" (the source's metaserver; a release: did)}: what differs from a good answer.
 * Output: what each turn decides, rule by rule, and where it comes to rest; at the end the shards. Every rule and status on the way is checked
 * against the invariants that hold for all. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "console/migration/migration_decide.h"
#include "shared/base/mem.h"
#include "tests/golden/golden.h"

#include "shared/base/banned.h"

#define NOW_MS 1000000

struct play {
    const json_t *input;
    struct migration_facts facts;
    struct migration_cluster_row row;
    struct str *out;
};

static const char *text_of(const json_t *object, const char *key, const char *otherwise)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : otherwise;
}

static int64_t number_of(const json_t *object, const char *key, int64_t otherwise)
{
    const json_t *value = json_object_get(object, key);
    return json_is_integer(value) ? (int64_t)json_integer_value(value) : otherwise;
}

static bool flag_of(const json_t *object, const char *key, bool otherwise)
{
    const json_t *value = json_object_get(object, key);
    return json_is_boolean(value) ? json_is_true(value) : otherwise;
}

static int word_of(const char *word, const char *(*text_fn)(int), int count)
{
    for (int i = 0; i < count; i++) {
        if (strcmp(word, text_fn(i)) == 0) {
            return i;
        }
    }
    return -1;
}

static const char *outcome_word(int i)
{
    return call_outcome_text((enum call_outcome)i);
}

static const char *fence_word(int i)
{
    return fence_state_text((enum fence_state)i);
}

static const char *ask_word(int i)
{
    static const char *const words[] = { "", "process", "rollback", "forceProcess", "forceEnd" };
    return words[i];
}

/* ---- answers ---- */

static const json_t *answer_for(const json_t *answers, const char *call, const char *who)
{
    char key[64];
    (void)snprintf(key, sizeof(key), "%s/%s", call, who);
    const json_t *answer = json_object_get(answers, key);
    answer = answer ? answer : json_object_get(answers, call);
    return answer ? answer : json_object_get(answers, "default");
}

/* "refused: text" */
static int split_answer(const char *answer, enum call_outcome *ret_outcome, const char **ret_text,
                        struct xp_err *err)
{
    char word[32];
    const char *colon = strchr(answer, ':');
    size_t length = colon ? (size_t)(colon - answer) : strlen(answer);
    (void)snprintf(word, sizeof(word), "%.*s", (int)length, answer);
    int outcome = word_of(word, outcome_word, OUTCOME_NOT_YET + 1);
    if (outcome <= OUTCOME_NONE) {
        return xp_fail(err, XP_INVALID, "'%s' is no outcome", answer);
    }
    *ret_outcome = (enum call_outcome)outcome;
    *ret_text = colon ? colon + 1 + strspn(colon + 1, " ") : NULL;
    return 0;
}

static enum fence_state good_state(enum migration_call call)
{
    return call == CALL_HOLD ? FENCE_HELD : call == CALL_FREEZE ? FENCE_FROZEN : FENCE_RELEASED;
}

static int result_from(const json_t *answer, enum migration_call call, size_t shard,
                       struct migration_result *ret, struct xp_err *err)
{
    const char *text = NULL;
    const char *word =
        json_is_string(answer) ? json_string_value(answer) : text_of(answer, "outcome", "ok");
    struct migration_result r = { .call = call, .shard = shard, .duration_ms = 1 };
    int rc = split_answer(word, &r.outcome, &text, err);
    if (rc != 0) {
        return rc;
    }
    text = text_of(answer, "text", text);
    r.text = text ? xasprintf("[%s]%s\n", r.outcome == OUTCOME_OK ? "info" : "error", text) : NULL;
    bool is_ok = r.outcome == OUTCOME_OK;
    int state = word_of(text_of(answer, "state", ""), fence_word, FENCE_UNREACHABLE + 1);
    r.fence = (struct switch_fence){
        .is_ours = true,
        .has_info = is_ok,
        .offset = number_of(answer, "offset", 100),
        .state = state >= 0 ? (enum fence_state)state
                 : is_ok    ? good_state(call)
                            : FENCE_NONE,
        .master = addr_of("10.0.1.1", 6379 + (int)shard),
        .saved = { .is_known = is_ok, .max_lag_s = 10 },
    };
    const char *meta = text_of(answer, "meta", call == CALL_RELEASE ? "did" : "");
    r.is_by_meta = strcmp(meta, "did") == 0;
    r.may_be_by_meta = r.is_by_meta || strcmp(meta, "may") == 0;
    bool is_drained = flag_of(answer, "drained", is_ok);
    r.change = (struct switch_change){
        .is_success = is_ok,
        .is_ours = flag_of(answer, "ours", true),
        .is_drained = is_drained,
        .offset_gap = number_of(answer, "lost", is_drained ? 0 : -1),
    };
    if (call == CALL_PROMOTE && is_ok && flag_of(answer, "master", true)) {
        r.change.new_master = addr_of("10.0.2.1", 6379 + (int)shard);
    }
    if (call == CALL_PUBLISH) {
        r.publish_info = xstrdup(is_ok ? "{\"success\":true}" : "{\"success\":false}");
    }
    *ret = r;
    return 0;
}

static int answer_one(struct play *p, const json_t *answers, enum migration_call call, size_t index,
                      struct xp_err *err)
{
    struct migration_cluster_row *row = &p->row;
    bool is_follow = call == CALL_FOLLOW;
    const char *who = is_follow                  ? row->follows[index].dc
                      : index < row->shard_count ? row->shards[index].name
                                                 : "";
    const json_t *answer = answer_for(answers, migration_call_text(call), who);
    if (!answer || (json_is_string(answer) && strcmp(json_string_value(answer), "none") == 0)) {
        return 0;
    }
    CLEANUP(migration_result_done) struct migration_result result = { 0 };
    int rc = result_from(answer, call, is_follow ? row->shard_count : index, &result, err);
    if (rc == 0) {
        result.follow = is_follow ? index : 0;
        str_printf(p->out, "  < %s%s%s %s\n", migration_call_text(call), who[0] ? " " : "", who,
                   call_outcome_text(result.outcome));
        migration_apply(row, &result, p->facts.now);
    }
    return rc;
}

static int answer_all(struct play *p, const json_t *answers, struct xp_err *err)
{
    int rc = 0;
    if (p->row.pending != CALL_NONE) {
        rc = answer_one(p, answers, p->row.pending, p->row.shard_count, err);
    }
    for (size_t i = 0; rc == 0 && i < p->row.shard_count; i++) {
        if (p->row.shards[i].pending != CALL_NONE) {
            rc = answer_one(p, answers, p->row.shards[i].pending, i, err);
        }
    }
    for (size_t i = 0; rc == 0 && i < p->row.follow_count; i++) {
        if (p->row.follows[i].is_pending) {
            rc = answer_one(p, answers, CALL_FOLLOW, i, err);
        }
    }
    return rc;
}

/* ---- turns ---- */

static void add_follows(struct play *p)
{
    struct migration_cluster_row *row = &p->row;
    const json_t *dcs = json_object_get(p->input, "dcs");
    static const char *const usual[] = { "A", "B", "C" };
    size_t count = dcs ? json_array_size(dcs) : ARRAY_LEN(usual);
    bool is_needed = row->is_active_switched;
    for (size_t i = 0; i < row->shard_count; i++) {
        is_needed |= row->shards[i].promote_epoch > 0;
    }
    row->follows = xrealloc(row->follows, row->follow_count + count, sizeof(*row->follows));
    for (size_t i = 0; is_needed && i < count; i++) {
        if ((int64_t)i + 1 != migration_primary_dc(row)) {
            const char *dc = dcs ? json_string_value(json_array_get(dcs, i)) : usual[i];
            row->follows[row->follow_count++] =
                (struct migration_follow_row){ .dc_id = (int64_t)i + 1, .dc = xstrdup(dc) };
        }
    }
}

static void print_plan(struct play *p, const struct migration_plan *plan,
                       enum migration_status from)
{
    str_printf(p->out, "  %s", plan->rule);
    if (plan->is_transition && plan->to != from) {
        str_printf(p->out, " %s -> %s", migration_status_info(from)->text,
                   migration_status_info(plan->to)->text);
    } else if (plan->is_transition) {
        str_puts(p->out, " stays");
    }
    for (size_t i = 0; i < plan->call_count; i++) {
        const struct migration_plan_call *call = &plan->calls[i];
        const char *who = call->call == CALL_FOLLOW          ? p->row.follows[call->follow].dc
                          : call->shard < p->row.shard_count ? p->row.shards[call->shard].name
                                                             : "";
        str_printf(p->out, "%s %s%s%s", i ? "," : "", migration_call_text(call->call),
                   who[0] ? " " : "", who);
    }
    if (plan->reason[0]) {
        str_printf(p->out, " # %s", plan->reason);
    }
    str_putc(p->out, '\n');
}

static void decide_all(struct play *p)
{
    bool is_more = true;
    for (int round = 0; is_more; round++) {
        xp_check(round < 64);
        CLEANUP(migration_plan_done) struct migration_plan plan;
        migration_decide(&p->facts, &plan);
        is_more = plan.is_transition || plan.call_count > 0;
        p->facts.ask = ASK_NONE;
        p->facts.is_resumed = false;
        if (!plan.rule) {
            return;
        }
        print_plan(p, &plan, p->row.status);
        migration_carry_out(&p->row, &plan, p->facts.now);
        if (plan.effects & (1u << EFFECT_FOLLOW_ALL)) {
            add_follows(p);
        }
    }
}

static void print_rest(struct play *p)
{
    const struct migration_status_info *info = migration_status_info(p->row.status);
    wall_ms wake_at = migration_wake_at(&p->facts);
    str_printf(p->out, "  = %s%s%s", info->text, info->is_paused ? ", paused" : "",
               migration_is_over(&p->row) ? ", over" : "");
    if (wake_at > 0) {
        str_printf(p->out, ", looks again in %lld ms", (long long)(wake_at - p->facts.now));
    }
    str_putc(p->out, '\n');
}

static int play_turn(struct play *p, const json_t *turn, struct xp_err *err)
{
    int ask = word_of(text_of(turn, "ask", ""), ask_word, 5);
    if (ask < 0) {
        return xp_fail(err, XP_INVALID, "ask: %s", text_of(turn, "ask", ""));
    }
    p->facts.now += number_of(turn, "after_ms", 10);
    p->facts.is_resumed = flag_of(turn, "resumed", false);
    str_printf(p->out, "turn%s%s%s\n", ask ? ", asked: " : "", ask_word(ask),
               p->facts.is_resumed ? ", after a restart" : "");
    if (p->facts.is_resumed) {
        migration_resume(&p->row);
    }
    int rc = answer_all(p, json_object_get(turn, "answers"), err);
    if (rc != 0) {
        return rc;
    }
    struct xp_err refusal = { 0 };
    if (migration_ask_check(&p->row, (enum migration_ask)ask, &refusal) != 0) {
        str_printf(p->out, "  refused: %s\n", refusal.msg);
        ask = ASK_NONE;
    }
    p->facts.ask = (enum migration_ask)ask;
    decide_all(p);
    print_rest(p);
    return 0;
}

static const char *result_word(enum step_result result)
{
    return result == RESULT_NONE ? "-" : result == RESULT_TRUE ? "true" : "false";
}

static void print_shard(struct play *p, const struct migration_shard_row *s)
{
    str_printf(p->out, "%s: fence %s%s, %sdrained, %spromoted%s", s->name,
               fence_state_text(s->fence), s->may_be_fenced ? " (may be fenced)" : "",
               s->is_drained ? "" : "not ", s->is_promoted ? "" : "not ",
               s->may_be_promoted && !s->is_promoted ? " (may be promoted)" : "");
    if (s->is_unfenced) {
        str_puts(p->out, ", unfenced");
    }
    if (s->lost_bytes != 0) {
        str_printf(p->out, ", lost %lld", (long long)s->lost_bytes);
    }
    for (int i = 0; i < MIGRATION_STEPS; i++) {
        str_printf(p->out, "%s%s", i ? " " : "; ", result_word(s->results[i]));
    }
    str_putc(p->out, '\n');
}

static void begin(struct play *p)
{
    const json_t *in = p->input;
    const json_t *dcs = json_object_get(in, "dcs");
    const json_t *retry = json_object_get(in, "retry");
    int64_t shards = number_of(in, "shards", 2);
    const char *source = json_string_value(json_array_get(dcs, 0));
    const char *dest = json_string_value(json_array_get(dcs, 1));
    p->row = (struct migration_cluster_row){
        .id = 1,
        .event_id = 7,
        .cluster = xstrdup("c1"),
        .source_dc_id = 1,
        .dest_dc_id = 2,
        .source_dc = xstrdup(source ? source : "A"),
        .dest_dc = xstrdup(dest ? dest : "B"),
        .start_ms = NOW_MS,
        .epoch = 3,
        .shards = xcalloc((size_t)shards, sizeof(struct migration_shard_row)),
        .shard_count = (size_t)shards,
    };
    (void)migration_mode_from_text(text_of(in, "mode", "planned"), &p->row.mode);
    for (size_t i = 0; i < p->row.shard_count; i++) {
        p->row.shards[i] = (struct migration_shard_row){ .shard_id = (int64_t)i + 1,
                                                         .name = xasprintf("s%zu", i + 1),
                                                         .fence_offset = -1 };
    }
    p->facts = (struct migration_facts){
        .now = NOW_MS,
        .row = &p->row,
        .outage_max_ms = number_of(in, "outage_max_ms", 10000),
        .expire_ms = number_of(in, "expire_ms", 0),
        .retry = { .pause_ms = number_of(retry, "pause_ms", 0),
                   .pause_max_ms = number_of(retry, "pause_max_ms", 1000),
                   .undoable_ms = number_of(retry, "undoable_ms", 10),
                   .total_ms = number_of(retry, "total_ms", 10),
                   .check_ms = number_of(retry, "check_ms", 0) },
    };
}

static int play(const json_t *input, struct str *out, struct xp_err *err)
{
    struct play p = { .input = input, .out = out };
    const json_t *turns = json_object_get(input, "turns");
    int rc = migration_table_check(err);
    begin(&p);
    for (size_t i = 0; rc == 0 && i < json_array_size(turns); i++) {
        rc = play_turn(&p, json_array_get(turns, i), err);
    }
    str_putc(out, '\n');
    for (size_t i = 0; i < p.row.shard_count; i++) {
        print_shard(&p, &p.row.shards[i]);
    }
    if (p.row.reason) {
        str_printf(out, "reason: %s\n", p.row.reason);
    }
    migration_cluster_row_done(&p.row);
    return rc;
}

static int run(const char *input, size_t length, struct str *out, struct xp_err *err)
{
    json_error_t where;
    json_t *json = json_loadb(input, length, JSON_REJECT_DUPLICATES, &where);
    if (!json) {
        return xp_fail(err, XP_INVALID, "line %d: %s", where.line, where.text);
    }
    int rc = play(json, out, err);
    json_decref(json);
    return rc;
}

int main(int argc, char **argv)
{
    return golden_main(argc, argv, "tests/golden/migration_decide", run);
}
