/* migration_turn.c - see migration_turn.h. */
#include "console/migration/migration_turn.h"

#include <stdio.h>
#include <string.h>

#include "console/catalog/lookup.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

enum { ROUNDS_MAX = 64, NOTES_MAX = 200 };

struct turn_job {
    struct migration_turn *turn;
    struct db *db;
    struct change *change;
    wall_ms now;
    json_t *notes; /* array of the change log */
};

/* What has become of a result. */
struct taken {
    bool is_over;     /* applied, or of no use */
    bool has_gone_on; /* the call that went with it is the plan's */
};

/* One cluster of the turn. */
struct step {
    struct turn_job *job;
    struct turn_item *item;
    struct migration_cluster_row row;
    struct migration_facts facts;
    struct migration_plan_call *calls;
    size_t call_count;
    bool is_switched;    /* the active DC, in this turn */
    struct taken *taken; /* by result */
};

/* ---- lines of the timeline ---- */

static int add_line(const struct step *s, const struct migration_line *line, struct xp_err *err)
{
    return migration_add_line(s->job->db, s->row.id, s->job->now, line, err);
}

static int64_t shard_id_of(const struct migration_cluster_row *row, size_t shard)
{
    return shard < row->shard_count ? row->shards[shard].shard_id : 0;
}

static int line_of_result(const struct step *s, const struct migration_result *result,
                          struct xp_err *err)
{
    bool is_follow = result->call == CALL_FOLLOW && result->follow < s->row.follow_count;
    struct migration_line line = {
        .kind = "result",
        .from = is_follow ? s->row.follows[result->follow].dc : "",
        .to = migration_call_text(result->call),
        .rule = call_outcome_text(result->outcome),
        .text = result->text,
        .shard_id = is_follow ? 0 : shard_id_of(&s->row, result->shard),
        .duration_ms = result->duration_ms,
    };
    return add_line(s, &line, err);
}

static int lines_of_plan(const struct step *s, const struct migration_plan *plan,
                         enum migration_status from, wall_ms since, struct xp_err *err)
{
    int rc = 0;
    if (plan->is_transition) {
        struct migration_line line = {
            .kind = "transition",
            .from = migration_status_info(from)->text,
            .to = migration_status_info(plan->to)->text,
            .rule = plan->rule,
            .text = plan->reason,
            .duration_ms = since > 0 ? s->job->now - since : -1,
        };
        rc = add_line(s, &line, err);
    }
    for (size_t i = 0; rc == 0 && i < plan->call_count; i++) {
        const struct migration_plan_call *call = &plan->calls[i];
        bool is_follow = call->call == CALL_FOLLOW;
        struct migration_line line = {
            .kind = "intent",
            .from = is_follow ? s->row.follows[call->follow].dc : "",
            .to = migration_call_text(call->call),
            .rule = plan->rule,
            .shard_id = is_follow ? 0 : shard_id_of(&s->row, call->shard),
            .duration_ms = -1,
        };
        rc = add_line(s, &line, err);
    }
    return rc;
}

static const char *ask_text(enum migration_ask ask)
{
    static const char *const texts[] = { "", "process", "rollback", "forceProcess", "forceEnd" };
    return texts[ask];
}

/* ---- follow-ups ---- */

static int add_follows(struct step *s, struct xp_err *err)
{
    struct migration_cluster_row *row = &s->row;
    struct dc_refs dcs = { .count = 0 };
    int rc = find_cluster_dcs(s->job->db, row->cluster_id, &dcs, err);
    for (size_t i = 0; rc == 0 && i < dcs.count; i++) {
        if (dcs.items[i].id == migration_primary_dc(row)) {
            continue;
        }
        struct migration_follow_row *follow = ARRAY_ADD(row->follows, row->follow_count);
        follow->dc_id = dcs.items[i].id;
        follow->dc = xstrdup(dcs.items[i].name);
        follow->is_dirty = true;
    }
    return rc;
}

/* After a roll back only when a promotion was ever sent: else nobody was told to follow another DC. */
static bool has_followers(const struct migration_cluster_row *row)
{
    bool was_sent = row->is_active_switched;
    for (size_t i = 0; i < row->shard_count; i++) {
        was_sent |= row->shards[i].promote_epoch > 0;
    }
    return was_sent;
}

static void end_follow(struct migration_cluster_row *row, struct migration_follow_row *follow,
                       const char *why)
{
    follow->result = RESULT_TRUE;
    follow->is_pending = false;
    follow->is_dirty = true;
    free(follow->text);
    follow->text = xstrdup(why);
    row->is_dirty = true; /* is_followed */
}

/* Does anybody still need them? */
static int review_follows(struct step *s, struct xp_err *err)
{
    struct migration_cluster_row *row = &s->row;
    if (!migration_status_info(row->status)->is_terminal || migration_is_over(row)) {
        return 0;
    }
    int64_t is_superseded = 0;
    struct dc_refs dcs = { .count = 0 };
    int rc = query_i64(s->job->db, Q_MIGRATION_SUPERSEDED,
                       QUERY_ARGS(QI(row->cluster_id), QI(row->id)), &is_superseded, err);
    if (rc == 0) {
        rc = find_cluster_dcs(s->job->db, row->cluster_id, &dcs, err);
    }
    for (size_t i = 0; rc == 0 && i < row->follow_count; i++) {
        struct migration_follow_row *follow = &row->follows[i];
        if (follow->result == RESULT_TRUE) {
            continue;
        }
        if (is_superseded) {
            end_follow(row, follow, "superseded: a newer migration, or the cluster is gone");
        } else if (!dc_refs_by_id(&dcs, follow->dc_id)) {
            end_follow(row, follow, "the DC has left the cluster");
        }
    }
    return rc;
}

/* ---- input ---- */

/* A fence went on by itself: the plan does not know of this call yet. */
static bool is_early(const struct step *s, const struct migration_result *result)
{
    return migration_is_behind_hold(result->call) && result->shard < s->row.shard_count &&
           s->row.shards[result->shard].pending == CALL_NONE;
}

/* What went on by itself counts where the plan still wants the same. */
static bool is_chain_valid(const struct step *s)
{
    return !s->row.is_disaster && !s->item->is_resumed;
}

/* Those that the plan waits for. An early one waits for the plan, until that has come to rest. */
static int take_results(struct step *s, bool is_at_rest, struct xp_err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < s->item->result_count; i++) {
        const struct migration_result *result = &s->item->results[i];
        bool is_too_early = is_early(s, result);
        if (s->taken[i].is_over || (is_too_early && !is_at_rest && is_chain_valid(s))) {
            continue;
        }
        s->taken[i].is_over = true;
        rc = line_of_result(s, result, err);
        if (!is_too_early) {
            migration_apply(&s->row, result, s->job->now);
        }
    }
    return rc;
}

/* The ask as far as it is allowed; a refusal is the item's, not the turn's. */
static int take_ask(struct step *s, struct xp_err *err)
{
    enum migration_ask ask = s->item->ask;
    if (ask == ASK_NONE) {
        return 0;
    }
    struct xp_err refusal = { 0 };
    s->item->rc = migration_ask_check(&s->row, ask, &refusal);
    if (s->item->rc != 0) {
        (void)snprintf(s->item->err_text, sizeof(s->item->err_text), "%s", refusal.msg);
    } else {
        s->facts.ask = ask;
    }
    if (ask == ASK_PROCESS && s->row.status == MIG_INITIATED && s->row.mode == MODE_AUTO) {
        s->row.mode = s->job->turn->settings->mode; /* from here on it stays */
        s->row.is_dirty = true;
    }
    struct migration_line line = { .kind = "ask",
                                   .from = migration_status_info(s->row.status)->text,
                                   .to = ask_text(ask),
                                   .rule = s->item->actor ? s->item->actor : s->job->turn->actor,
                                   .text = s->item->err_text,
                                   .duration_ms = -1 };
    return add_line(s, &line, err);
}

/* ---- decisions ---- */

/* It went on by itself: nothing is to be sent. */
static bool is_under_way(struct step *s, const struct migration_plan_call *call)
{
    for (size_t i = 0; is_chain_valid(s) && i < s->item->result_count; i++) {
        const struct migration_result *r = &s->item->results[i];
        struct taken *taken = &s->taken[i];
        bool is_next = r->shard == call->shard && migration_next_of_fence(r->call) == call->call;
        if (r->goes_on && is_next && !taken->has_gone_on) {
            taken->has_gone_on = true;
            return true;
        }
    }
    return false;
}

static void collect_calls(struct step *s, const struct migration_plan *plan)
{
    for (size_t i = 0; i < plan->call_count; i++) {
        if (!is_under_way(s, &plan->calls[i])) {
            s->calls = xrealloc(s->calls, s->call_count + 1, sizeof(*s->calls));
            s->calls[s->call_count++] = plan->calls[i];
        }
    }
}

static void note_rule(struct turn_item *item, const struct migration_plan *plan)
{
    size_t used = strlen(item->rules);
    if (plan->is_transition) {
        (void)snprintf(item->rules + used, sizeof(item->rules) - used, "%s%s", used ? " " : "",
                       plan->rule);
    }
}

static int carry_out(struct step *s, const struct migration_plan *plan, struct xp_err *err)
{
    enum migration_status from = s->row.status;
    wall_ms since = s->row.phase_ms;
    migration_carry_out(&s->row, plan, s->job->now);
    note_rule(s->item, plan);
    int rc = lines_of_plan(s, plan, from, since, err);
    if (rc == 0 && (plan->effects & (1u << EFFECT_FOLLOW_ALL)) && has_followers(&s->row)) {
        rc = add_follows(s, err);
    }
    s->is_switched |= (plan->effects & (1u << EFFECT_SWITCH_ACTIVE)) != 0;
    collect_calls(s, plan);
    return rc;
}

static int decide(struct step *s, struct xp_err *err)
{
    int rc = 0;
    bool is_more = true;
    for (int round = 0; rc == 0 && is_more; round++) {
        if (round == ROUNDS_MAX) {
            return xp_fail(err, XP_INTERNAL, "migration %lld does not come to rest in status %s",
                           (long long)s->row.id, migration_status_info(s->row.status)->text);
        }
        CLEANUP(migration_plan_done) struct migration_plan plan;
        migration_decide(&s->facts, &plan);
        is_more = plan.is_transition || plan.call_count > 0;
        s->facts.ask = ASK_NONE;
        s->facts.is_resumed = false;
        if (is_more) {
            rc = carry_out(s, &plan, err);
        }
        rc = rc == 0 ? take_results(s, !is_more, err) : rc;
    }
    return rc;
}

/* ---- output ---- */

static void note(const struct step *s, enum migration_status from)
{
    json_t *notes = s->job->notes;
    if (json_array_size(notes) < NOTES_MAX) {
        json_t *entry =
            json_pack("{s:s,s:I,s:s,s:s}", "cluster", s->row.cluster, "event",
                      (json_int_t)s->row.event_id, "from", migration_status_info(from)->text, "to",
                      migration_status_info(s->row.status)->text);
        if (entry) {
            (void)json_array_append_new(notes, entry);
        }
    }
}

/* Status and active DC of the cluster. Without them the turn stays bookkeeping. */
static int write_metadata(struct step *s, enum migration_status from, struct xp_err *err)
{
    struct change *change = s->job->change;
    bool is_other = !text_eq(migration_status_info(from)->cluster_status,
                             migration_status_info(s->row.status)->cluster_status);
    if (!is_other && !s->is_switched) {
        return 0;
    }
    change->is_bookkeeping = false;
    note(s, from);
    int rc = s->is_switched ? migration_switch_active(change, &s->row, true, err) : 0;
    return rc == 0 && is_other ? migration_set_cluster_status(change, &s->row, err) : rc;
}

static void give_back(struct step *s)
{
    struct turn_item *item = s->item;
    s->facts.row = &item->row;
    item->row = s->row;
    s->row = (struct migration_cluster_row){ 0 };
    item->calls = TAKE(s->calls);
    item->call_count = s->call_count;
    item->is_over = migration_is_over(&item->row);
    item->wake_at = item->is_over ? 0 : migration_wake_at(&s->facts);
}

static void drop_item(struct turn_item *item, int rc, const char *text)
{
    item->rc = rc;
    (void)snprintf(item->err_text, sizeof(item->err_text), "%s", text);
}

/* Takes the row over from whoever had it before; false: somebody else has it now. */
static bool own_row(struct step *s)
{
    int64_t epoch = s->job->turn->epoch;
    if (s->row.epoch > epoch) {
        char text[160];
        (void)snprintf(text, sizeof(text),
                       "migration %lld belongs to epoch %lld, this console is %lld",
                       (long long)s->row.id, (long long)s->row.epoch, (long long)epoch);
        drop_item(s->item, XP_CONFLICT, text);
        return false;
    }
    s->row.is_dirty |= s->row.epoch != epoch;
    s->row.epoch = epoch;
    return true;
}

static int run_step(struct step *s, struct xp_err *err)
{
    const struct migration_settings *settings = s->job->turn->settings;
    enum migration_status from = s->row.status;
    s->facts = (struct migration_facts){
        .now = s->job->now,
        .row = &s->row,
        .is_resumed = s->item->is_resumed,
        .outage_max_ms = settings->outage_max_ms,
        .expire_ms = settings->expire_ms,
        .retry = settings->retry,
    };
    if (s->item->is_resumed) {
        migration_resume(&s->row);
    }
    s->taken = xcalloc(s->item->result_count + 1, sizeof(*s->taken));
    int rc = take_results(s, false, err);
    if (rc == 0) {
        rc = take_ask(s, err);
    }
    if (rc == 0) {
        rc = review_follows(s, err);
    }
    if (rc == 0) {
        rc = decide(s, err);
    }
    if (rc == 0) {
        rc = write_metadata(s, from, err);
    }
    return rc == 0 ? migration_save(s->job->db, &s->row, err) : rc;
}

static int run_item(struct turn_job *job, struct turn_item *item, struct xp_err *err)
{
    struct step s = { .job = job, .item = item };
    int rc = migration_load(job->db, item->migration_cluster_id, &s.row, err);
    if (rc == XP_NOT_FOUND) {
        drop_item(item, rc, err ? err->msg : "");
        return 0;
    }
    if (rc == 0 && own_row(&s)) {
        rc = run_step(&s, err);
        if (rc == 0) {
            give_back(&s);
        }
    }
    migration_cluster_row_done(&s.row);
    free(s.calls);
    free(s.taken);
    return rc;
}

/* What an attempt has left in the item. */
static void clear_out(struct turn_item *item)
{
    migration_cluster_row_done(&item->row);
    free(item->calls);
    item->calls = NULL;
    item->call_count = 0;
    item->is_over = false;
    item->wake_at = 0;
    item->rc = 0;
    item->err_text[0] = '\0';
    item->rules[0] = '\0';
}

static int run_items(struct change *change, void *arg, struct xp_err *err)
{
    struct turn_job *job = arg;
    int rc = 0;
    job->db = change->db;
    job->change = change;
    job->notes = json_array();
    (void)json_object_set_new(change->body, "transitions", job->notes);
    change->is_bookkeeping = true; /* until metadata are written */
    for (size_t i = 0; rc == 0 && i < job->turn->count; i++) {
        clear_out(&job->turn->items[i]);
        rc = run_item(job, &job->turn->items[i], err);
        if (rc != 0) {
            rc =
                xp_wrap(err, "migration %lld", (long long)job->turn->items[i].migration_cluster_id);
        }
    }
    return rc;
}

int migration_turn_run(struct migration_turn *turn, struct xp_err *err)
{
    struct turn_job job = { .turn = turn, .now = clock_wall_ms() };
    struct change_ctx ctx = { .actor = turn->actor };
    struct store_op op = { .name = "migration.turn", .fn = run_items, .arg = &job };
    int rc = store_change(turn->catalog->store, &ctx, &op, NULL, err);
    for (size_t i = 0; rc != 0 && i < turn->count; i++) {
        clear_out(&turn->items[i]);
        turn->items[i].is_resumed |= rc == XP_TIMEOUT;
    }
    return rc;
}

void turn_item_done(struct turn_item *item)
{
    clear_out(item);
    for (size_t i = 0; i < item->result_count; i++) {
        migration_result_done(&item->results[i]);
    }
    free(item->results);
    item->results = NULL;
    item->result_count = 0;
}
