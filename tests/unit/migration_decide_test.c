/* The decision about a migration against a small world of Redis: random outcomes, lost answers, crashes at every commit, requests at any
 * moment. What must hold at every step is checked against the world, not against the rows. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "console/migration/migration_decide.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "tests/unit/unit.h"

#include "shared/base/banned.h"

enum { SHARDS_MAX = 4, TURNS_MAX = 400, RUNS = 30000 };

struct shard_world {
    enum fence_state source; /* NONE: takes writes; HELD; FROZEN */
    bool is_source_gone;     /* for ever: nobody reaches it, and what it does is not seen */
    bool is_promoted;
    int64_t offset;  /* of the source */
    int64_t arrived; /* at the destination */
};

struct flight { /* a call that was sent */
    struct migration_plan_call call;
    bool is_used;
};

struct sim {
    uint64_t dice;
    struct migration_facts facts;
    struct migration_cluster_row row;
    struct shard_world world[SHARDS_MAX];
    struct flight flights[64];
    int trouble; /* percent of calls that do not go well */
    int turns;
    bool is_calm; /* no more requests and crashes: it must come to rest */
    bool was_forced;
    char trail[16384];
};

static unsigned roll(struct sim *s, unsigned sides)
{
    s->dice ^= s->dice << 13;
    s->dice ^= s->dice >> 7;
    s->dice ^= s->dice << 17;
    return (unsigned)(s->dice >> 11) % sides;
}

static bool chance(struct sim *s, int percent)
{
    return (int)roll(s, 100) < percent;
}

static void say(struct sim *s, const char *what, const char *more)
{
    size_t length = strlen(s->trail);
    (void)snprintf(s->trail + length, sizeof(s->trail) - length, "%s %s\n", what, more);
}

#define MUST(s, cond) must(s, cond, #cond, __LINE__)

static void must(const struct sim *s, bool is_met, const char *cond, int line)
{
    if (!is_met) {
        print_message("%s", s->trail);
        print_error("%s\n", cond);
        _fail(__FILE__, line);
    }
}

/* ---- the world ---- */

static bool is_planned(const struct sim *s)
{
    return s->row.mode == MODE_PLANNED;
}

static void check_world(struct sim *s)
{
    for (size_t i = 0; i < s->row.shard_count; i++) {
        const struct shard_world *w = &s->world[i];
        bool has_two = w->is_promoted && w->source == FENCE_NONE && !w->is_source_gone;
        MUST(s, !has_two || s->row.shards[i].is_unfenced); /* I1 */
        MUST(s, !has_two || !is_planned(s));
    }
}

static void do_promote(struct sim *s, size_t shard)
{
    struct shard_world *w = &s->world[shard];
    for (size_t i = 0; is_planned(s) && i < s->row.shard_count; i++) {
        MUST(s, s->world[i].source == FENCE_FROZEN);
    }
    MUST(s, !is_planned(s) || w->arrived == w->offset);
    w->is_promoted = true;
}

/* Carries out what a call asks for. */
static void happen(struct sim *s, const struct migration_plan_call *call)
{
    if (call->shard >= s->row.shard_count) {
        return; /* of the whole cluster: check_call looks at what is called */
    }
    struct shard_world *w = &s->world[call->shard];
    switch (call->call) {
    case CALL_HOLD:
        w->source = w->source == FENCE_NONE ? FENCE_HELD : w->source;
        break;
    case CALL_DRAIN:
        w->arrived = w->offset;
        break;
    case CALL_FREEZE:
        if (w->source != FENCE_FROZEN && chance(s, 30)) {
            w->offset += 80; /* expiry */
        }
        w->source = FENCE_FROZEN;
        break;
    case CALL_PROMOTE:
        do_promote(s, call->shard);
        break;
    case CALL_DEMOTE:
        w->is_promoted = false;
        break;
    case CALL_RELEASE:
        MUST(s, !w->is_promoted); /* never before the demotion */
        w->source = FENCE_NONE;
        w->offset += 1000;
        break;
    case CALL_NONE:
    case CALL_CHECK:
    case CALL_FOLLOW:
    case CALL_PRECHECK:
    case CALL_PUBLISH:
    case MIGRATION_CALLS:
        break;
    }
    check_world(s);
}

static bool is_call_to_source(enum migration_call call)
{
    return call == CALL_HOLD || call == CALL_FREEZE || call == CALL_RELEASE;
}

static enum call_outcome choose_outcome(struct sim *s, const struct migration_plan_call *call)
{
    if (is_call_to_source(call->call) && s->world[call->shard].is_source_gone) {
        return s->row.shards[call->shard].fence == FENCE_NONE && chance(s, 10)
                   ? OUTCOME_UNKNOWN
                   : OUTCOME_UNREACHABLE;
    }
    if (!chance(s, s->trouble)) {
        return OUTCOME_OK;
    }
    unsigned kind = roll(s, 100);
    return kind < 30                  ? OUTCOME_REFUSED
           : kind < 60                ? OUTCOME_UNREACHABLE
           : kind < 96                ? OUTCOME_UNKNOWN
           : call->call == CALL_CHECK ? OUTCOME_NOT_YET
                                      : OUTCOME_STALE;
}

static struct migration_result answer_of(struct sim *s, const struct migration_plan_call *call)
{
    struct migration_result r = { .call = call->call,
                                  .shard = call->shard,
                                  .follow = call->follow };
    bool is_gone = is_call_to_source(call->call) && s->world[call->shard].is_source_gone;
    r.outcome = choose_outcome(s, call);
    bool may_happen = r.outcome == OUTCOME_OK ||
                      ((r.outcome == OUTCOME_UNKNOWN || r.outcome == OUTCOME_REFUSED) &&
                       chance(s, 50) && call->call != CALL_DRAIN);
    if (may_happen && !is_gone) {
        happen(s, call);
    }
    if (r.outcome != OUTCOME_OK) {
        r.text = xstrdup("[error]trouble\n");
        return r;
    }
    r.change.is_ours = r.change.is_drained = r.change.is_success = true;
    if (call->call == CALL_PROMOTE) {
        r.change.new_master = addr_of("10.0.2.1", 6379);
    }
    if (is_call_to_source(call->call)) {
        const struct shard_world *w = &s->world[call->shard];
        r.fence.is_ours = r.fence.has_info = true;
        r.fence.offset = w->offset;
        r.fence.state = w->source == FENCE_NONE ? FENCE_RELEASED : w->source;
    }
    return r;
}

/* ---- turns ---- */

/* No call without its intent. */
static void check_call(struct sim *s, const struct migration_plan_call *call)
{
    bool is_cluster = call->call == CALL_PRECHECK || call->call == CALL_PUBLISH;
    MUST(s, !is_cluster || s->row.pending == call->call);
    MUST(s, call->call != CALL_FOLLOW || s->row.follows[call->follow].is_pending);
    if (call->shard >= s->row.shard_count) {
        MUST(s, is_cluster || call->call == CALL_FOLLOW);
        return;
    }
    const struct migration_shard_row *shard = &s->row.shards[call->shard];
    MUST(s, shard->pending == call->call);
    MUST(s, call->call != CALL_RELEASE || !shard->may_be_promoted);
    MUST(s, call->call != CALL_PROMOTE || !is_planned(s) || shard->fence == FENCE_FROZEN);
}

static void check_plan(struct sim *s, const struct migration_plan *plan)
{
    for (size_t i = 0; i < plan->call_count; i++) {
        check_call(s, &plan->calls[i]);
    }
}

static void send(struct sim *s, const struct migration_plan *plan)
{
    for (size_t i = 0; i < plan->call_count; i++) {
        size_t slot = 0;
        while (slot < ARRAY_LEN(s->flights) && s->flights[slot].is_used) {
            slot++;
        }
        MUST(s, slot < ARRAY_LEN(s->flights));
        s->flights[slot] = (struct flight){ plan->calls[i], true };
    }
}

static void add_follows(struct sim *s)
{
    s->row.follows = xrealloc(s->row.follows, s->row.follow_count + 2, sizeof(*s->row.follows));
    for (int i = 0; i < 2; i++) {
        s->row.follows[s->row.follow_count++] =
            (struct migration_follow_row){ .dc_id = i + 3, .dc = xstrdup("C") };
    }
}

static void check_rest(struct sim *s)
{
    const struct migration_cluster_row *row = &s->row;
    const struct migration_status_info *info = migration_status_info(row->status);
    bool is_published = row->status == MIG_PUBLISH || row->status == MIG_PUBLISH_FAIL ||
                        row->status == MIG_SUCCESS || row->status == MIG_FORCE_END;
    MUST(s, row->is_active_switched == is_published);
    MUST(s, info->is_terminal == (row->end_ms > 0));
    if (info->is_paused) { /* I4 */
        MUST(s, row->reason && strstr(row->reason, "dc ") && strstr(row->reason, "shard"));
    }
    if (row->is_active_switched) {
        MUST(s, migration_ask_check(row, ASK_ROLLBACK, NULL) != 0);
    }
    for (size_t i = 0; i < row->shard_count; i++) {
        const struct shard_world *w = &s->world[i];
        MUST(s, row->status != MIG_ABORTED || !w->is_promoted);
        MUST(s, row->status != MIG_ABORTED || w->source == FENCE_NONE);
        MUST(s, !is_published || s->was_forced || w->is_promoted);
        bool is_undone = row->status == MIG_ROLL_BACK || row->status == MIG_ROLL_BACK_FAIL;
        MUST(s, is_undone || !row->shards[i].is_promoted || w->is_promoted);
    }
}

/* Whoever waits for nobody's answer has a moment at which he goes on. */
static void check_wakes(struct sim *s)
{
    const struct migration_cluster_row *row = &s->row;
    const struct migration_status_info *info = migration_status_info(row->status);
    bool is_waiting = row->status == MIG_INITIATED || row->pending != CALL_NONE;
    for (size_t i = 0; i < row->shard_count; i++) {
        is_waiting |= row->shards[i].pending != CALL_NONE;
    }
    MUST(s, info->is_paused || info->is_terminal || is_waiting ||
                migration_wake_at(&s->facts) > s->facts.now);
}

static void decide(struct sim *s)
{
    bool is_more = true;
    for (int round = 0; is_more; round++) {
        MUST(s, round < 64);
        CLEANUP(migration_plan_done) struct migration_plan plan;
        migration_decide(&s->facts, &plan);
        is_more = plan.is_transition || plan.call_count > 0;
        s->facts.ask = ASK_NONE;
        s->facts.is_resumed = false;
        if (plan.rule && is_more) {
            say(s, plan.rule, migration_status_info(plan.to)->text);
        }
        migration_carry_out(&s->row, &plan, s->facts.now);
        s->was_forced |= s->row.is_force_publish;
        if (plan.effects & (1u << EFFECT_FOLLOW_ALL)) {
            add_follows(s);
        }
        check_plan(s, &plan);
        send(s, &plan);
    }
    check_rest(s);
    check_wakes(s);
}

static void crash(struct sim *s)
{
    say(s, "crash", "");
    for (size_t i = 0; i < ARRAY_LEN(s->flights); i++) {
        struct flight *flight = &s->flights[i];
        const struct migration_plan_call *call = &flight->call;
        if (flight->is_used && chance(s, 50) && call->call != CALL_DRAIN &&
            !(is_call_to_source(call->call) && s->world[call->shard].is_source_gone)) {
            say(s, "  happened anyhow:", migration_call_text(call->call));
            happen(s, call);
        }
        flight->is_used = false;
    }
    migration_resume(&s->row);
    s->facts.is_resumed = true;
}

static void answer_some(struct sim *s)
{
    for (size_t i = 0; i < ARRAY_LEN(s->flights); i++) {
        struct flight *flight = &s->flights[i];
        if (!flight->is_used || chance(s, 40)) {
            continue;
        }
        flight->is_used = false;
        CLEANUP(migration_result_done)
        struct migration_result result = answer_of(s, &flight->call);
        char text[64];
        (void)snprintf(text, sizeof(text), "%d %s", (int)result.shard,
                       call_outcome_text(result.outcome));
        say(s, migration_call_text(result.call), text);
        migration_apply(&s->row, &result, s->facts.now);
    }
}

static void ask_something(struct sim *s)
{
    static const enum migration_ask asks[] = { ASK_PROCESS,  ASK_PROCESS,       ASK_PROCESS,
                                               ASK_ROLLBACK, ASK_FORCE_PROCESS, ASK_FORCE_END };
    enum migration_ask ask = s->is_calm ? ASK_PROCESS : asks[roll(s, ARRAY_LEN(asks))];
    if (migration_ask_check(&s->row, ask, NULL) == 0) {
        say(s, "asked",
            (const char *[]){ "", "process", "rollback", "forceProcess", "forceEnd" }[ask]);
        s->facts.ask = ask;
    }
}

static void turn(struct sim *s)
{
    s->turns++;
    s->facts.now += 1 + (wall_ms)roll(s, 500);
    if (!s->is_calm && chance(s, 4)) {
        crash(s);
    } else {
        answer_some(s);
    }
    bool is_waiting = s->row.status == MIG_INITIATED;
    if (chance(s, s->is_calm ? (is_waiting ? 100 : 0) : 8)) {
        ask_something(s);
    }
    decide(s);
}

static bool is_at_rest(const struct sim *s)
{
    const struct migration_status_info *info = migration_status_info(s->row.status);
    bool is_quiet = true;
    for (size_t i = 0; i < s->row.shard_count; i++) {
        is_quiet &= s->row.shards[i].pending == CALL_NONE;
    }
    return info->is_terminal || (info->is_paused && is_quiet);
}

static void begin(struct sim *s, unsigned seed)
{
    *s = (struct sim){ .dice = 0x9E3779B97F4A7C15ull * (seed + 1) };
    for (int i = 0; i < 8; i++) {
        (void)roll(s, 2);
    }
    size_t count = 1 + roll(s, SHARDS_MAX);
    s->trouble = (int)(roll(s, 3) * 15);
    s->row = (struct migration_cluster_row){
        .id = 1,
        .event_id = 2,
        .cluster = xstrdup("c"),
        .source_dc = xstrdup("A"),
        .dest_dc = xstrdup("B"),
        .source_dc_id = 1,
        .dest_dc_id = 2,
        .epoch = 1,
        .mode = (enum migration_mode)roll(s, 3),
        .shards = xcalloc(count, sizeof(struct migration_shard_row)),
        .shard_count = count,
    };
    for (size_t i = 0; i < count; i++) {
        s->row.shards[i] = (struct migration_shard_row){ .shard_id = (int64_t)i + 1,
                                                         .name = xasprintf("s%zu", i + 1),
                                                         .fence_offset = -1 };
        s->world[i] = (struct shard_world){ .offset = 1000, .is_source_gone = chance(s, 5) };
    }
    s->facts = (struct migration_facts){ .now = 1000000,
                                         .row = &s->row,
                                         .outage_max_ms = chance(s, 50) ? 3000 : 60000,
                                         .retry = { .pause_ms = roll(s, 300),
                                                    .pause_max_ms = 300 + roll(s, 900),
                                                    .undoable_ms = roll(s, 3) * 700,
                                                    .total_ms = roll(s, 4) * 1500,
                                                    .check_ms = roll(s, 3) * 2000 } };
}

static void every_run_is_safe_and_ends(void **state)
{
    (void)state;
    int ended[MIG_STATUSES] = { 0 };
    struct sim *s = xcalloc(1, sizeof(*s));
    for (unsigned seed = 0; seed < RUNS; seed++) {
        begin(s, seed);
        char name[32];
        (void)snprintf(name, sizeof(name), "%u", seed);
        say(s, "seed", name);
        int troubled = 10 + (int)roll(s, 60);
        while (s->turns < TURNS_MAX) {
            s->is_calm = s->turns >= troubled;
            turn(s);
            if (s->is_calm && is_at_rest(s)) {
                break;
            }
        }
        MUST(s, s->turns < TURNS_MAX);
        ended[s->row.status]++;
        migration_cluster_row_done(&s->row);
    }
    for (int i = 0; i < MIG_STATUSES; i++) {
        if (ended[i] > 0) {
            print_message("%-16s %d\n", migration_status_info((enum migration_status)i)->text,
                          ended[i]);
        }
    }
    assert_true(ended[MIG_SUCCESS] > 0 && ended[MIG_ABORTED] > 0 && ended[MIG_FORCE_END] > 0);
    assert_true(ended[MIG_ROLL_BACK_FAIL] > 0 && ended[MIG_PUBLISH_FAIL] > 0);
    free(s);
}

static void the_table_is_sound(void **state)
{
    (void)state;
    struct xp_err err = { 0 };
    if (migration_table_check(&err) != 0) {
        fail_msg("%s", err.msg);
    }
}

static void refusals_are_those_of_xpipe(void **state)
{
    (void)state;
    struct migration_cluster_row row = { .event_id = 12 };
    struct xp_err err = { 0 };
    struct {
        enum migration_status status;
        enum migration_ask ask;
        const char *text;
    } cases[] = {
        { MIG_INITIATED, ASK_FORCE_PROCESS, "cannot cancel while Initiated" },
        { MIG_CHECKING, ASK_FORCE_END, "Cannot force end while Checking" },
        { MIG_PUBLISH, ASK_ROLLBACK,
          "[doRollback][xpipe succeed, publish results to redis client fail, can not tryRollback, "
          "find DBA to manually "
          "solve this problem]eventId:12" },
        { MIG_ROLL_BACK, ASK_ROLLBACK, "already rollbacking, can not tryRollback tryRollback" },
        { MIG_ROLL_BACK_FAIL, ASK_ROLLBACK, "already rollbacking, can not tryRollback rollback" },
        { MIG_SUCCESS, ASK_ROLLBACK, "already success, can not tryRollback" },
        { MIG_ABORTED, ASK_ROLLBACK, "tryRollback success, can not tryRollback:Aborted" },
        { MIG_FORCE_END, ASK_ROLLBACK, "already force end, can not tryRollback:ForceEnd" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        row.status = cases[i].status;
        assert_int_equal(migration_ask_check(&row, cases[i].ask, &err), XP_CONFLICT);
        assert_string_equal(err.msg, cases[i].text);
        assert_int_equal(migration_ask_check(&row, ASK_PROCESS, &err), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_is_sound),
        cmocka_unit_test(refusals_are_those_of_xpipe),
        cmocka_unit_test(every_run_is_safe_and_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
