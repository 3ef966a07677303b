/* migration_decide.c - the rules of a migration; see migration_decide.h. The table below is what docs/states/migration.md shows. */
#include <stdio.h>
#include <string.h>

#include "console/migration/migration_decide_internal.h"
#include "shared/base/mem.h"

#include "shared/base/banned.h"

#define PUBLISH_TRIES 2 /* of one whose answer is lost; the outer client tries by itself, too */

/* ---- conditions ---- */

static const struct migration_shard_row *shard_at(const struct migration_look *look, size_t i)
{
    return &look->row->shards[i];
}

static bool when_expired(const struct migration_look *look)
{
    const struct migration_facts *f = look->facts;
    return f->expire_ms > 0 && f->now - look->row->start_ms >= f->expire_ms;
}

static bool precheck_due(const struct migration_cluster_row *row)
{
    return row->pending == CALL_NONE && row->outcome == OUTCOME_NONE;
}

static bool when_check_due(const struct migration_look *look)
{
    return precheck_due(look->row) || (look->checks_due > 0 && look->checks_failed == 0);
}

static bool when_check_pauses(const struct migration_look *look)
{
    return look->checks_pausing > 0 && look->checks_failed == 0;
}

static bool when_pausing(const struct migration_look *look)
{
    return look->pending > 0 || look->pausing > 0;
}

static bool when_pending(const struct migration_look *look)
{
    return look->pending > 0;
}

static bool when_cluster_failed(const struct migration_look *look)
{
    return look->row->outcome != OUTCOME_OK;
}

static bool is_check_failed(const struct migration_look *look,
                            const struct migration_shard_row *shard)
{
    (void)look;
    return shard->results[STEP_CHECK] != RESULT_TRUE;
}

static bool when_check_failed(const struct migration_look *look)
{
    for (size_t i = 0; i < look->row->shard_count; i++) {
        if (is_check_failed(look, shard_at(look, i))) {
            return true;
        }
    }
    return false;
}

static bool when_force_pending(const struct migration_look *look)
{
    return look->row->is_force_publish && look->pending > 0;
}

static bool when_force(const struct migration_look *look)
{
    return look->row->is_force_publish;
}

/* As safe as before: nothing can have been promoted, and nobody said that it may cost data. */
static bool when_undoable(const struct migration_look *look)
{
    return look->may == 0 && !look->row->is_disaster;
}

static bool when_all_promoted(const struct migration_look *look)
{
    return look->promoted == look->row->shard_count && look->row->shard_count > 0;
}

static bool when_outage_over(const struct migration_look *look)
{
    const struct migration_facts *f = look->facts;
    return when_undoable(look) && look->held_since > 0 && f->outage_max_ms > 0 &&
           f->now - look->held_since >= f->outage_max_ms;
}

static bool when_hard_touched(const struct migration_look *look)
{
    return look->hard > 0 && look->may == 0 && look->is_touched;
}

static bool when_hard_pending(const struct migration_look *look)
{
    return look->hard > 0 && look->may == 0 && look->pending > 0;
}

static bool when_hard(const struct migration_look *look)
{
    return look->hard > 0 && look->may == 0;
}

static bool when_gone(const struct migration_look *look)
{
    return look->soft > 0 && look->hard == 0 && look->hold_open == 0 && look->may == 0;
}

static bool when_fence_due(const struct migration_look *look)
{
    return look->due > 0;
}

static bool when_promote_due(const struct migration_look *look)
{
    return look->fence_open == 0 && look->promote_due > 0;
}

static bool when_none_promoted(const struct migration_look *look)
{
    return look->promoted == 0 && !look->row->is_disaster;
}

static bool when_follow_due(const struct migration_look *look)
{
    for (size_t i = 0; i < look->row->follow_count; i++) {
        if (migration_follow_due(&look->row->follows[i], look->facts->now)) {
            return true;
        }
    }
    return false;
}

/* The publication was not tried, or its answer is lost. */
static bool when_publish_due(const struct migration_look *look)
{
    const struct migration_cluster_row *row = look->row;
    return row->pending == CALL_NONE &&
           (row->outcome == OUTCOME_NONE ||
            (row->outcome == OUTCOME_UNKNOWN && row->tries < PUBLISH_TRIES));
}

static bool when_undo_due(const struct migration_look *look)
{
    for (size_t i = 0; i < look->row->shard_count; i++) {
        if (migration_undo_due(look->facts, shard_at(look, i), NULL) != CALL_NONE) {
            return true;
        }
    }
    return false;
}

static bool when_undo_waits(const struct migration_look *look)
{
    bool is_pausing = look->pending > 0;
    for (size_t i = 0; !is_pausing && i < look->row->shard_count; i++) {
        (void)migration_undo_due(look->facts, shard_at(look, i), &is_pausing);
    }
    return is_pausing;
}

static bool is_undo_open(const struct migration_look *look, const struct migration_shard_row *shard)
{
    return !migration_is_undone(look->facts, shard);
}

static bool when_undone(const struct migration_look *look)
{
    for (size_t i = 0; i < look->row->shard_count; i++) {
        if (!migration_is_undone(look->facts, shard_at(look, i))) {
            return false;
        }
    }
    return true;
}

/* ---- calls ---- */

static void add_call(struct migration_plan *plan, enum migration_call call, size_t shard,
                     size_t follow)
{
    plan->calls = xrealloc(plan->calls, plan->call_count + 1, sizeof(*plan->calls));
    plan->calls[plan->call_count++] =
        (struct migration_plan_call){ .call = call, .shard = shard, .follow = follow };
}

static void call_checks(const struct migration_look *look, struct migration_plan *plan)
{
    size_t count = look->row->shard_count;
    if (precheck_due(look->row)) {
        add_call(plan, CALL_PRECHECK, count, 0);
    }
    for (size_t i = 0; i < count; i++) {
        if (migration_check_due(look->facts, shard_at(look, i))) {
            add_call(plan, CALL_CHECK, i, 0);
        }
    }
}

static void call_fence(const struct migration_look *look, struct migration_plan *plan)
{
    for (size_t i = 0; i < look->row->shard_count; i++) {
        struct shard_stage stage = migration_shard_stage(look->facts, shard_at(look, i));
        if (stage.is == SHARD_CALLS) {
            add_call(plan, stage.call, i, 0);
        }
    }
}

static void call_promote(const struct migration_look *look, struct migration_plan *plan)
{
    for (size_t i = 0; i < look->row->shard_count; i++) {
        if (migration_promote_due(look->facts, shard_at(look, i))) {
            add_call(plan, CALL_PROMOTE, i, 0);
        }
    }
}

static void call_undo(const struct migration_look *look, struct migration_plan *plan)
{
    for (size_t i = 0; i < look->row->shard_count; i++) {
        enum migration_call call = migration_undo_due(look->facts, shard_at(look, i), NULL);
        if (call != CALL_NONE) {
            add_call(plan, call, i, 0);
        }
    }
}

static void call_publish(const struct migration_look *look, struct migration_plan *plan)
{
    add_call(plan, CALL_PUBLISH, look->row->shard_count, 0);
}

static void call_follow(const struct migration_look *look, struct migration_plan *plan)
{
    for (size_t i = 0; i < look->row->follow_count; i++) {
        if (migration_follow_due(&look->row->follows[i], look->facts->now)) {
            add_call(plan, CALL_FOLLOW, look->row->shard_count, i);
        }
    }
}

/* ---- reasons ---- */

static void why_expired(const struct migration_look *look, char ret_reason[512])
{
    (void)snprintf(ret_reason, 512, "not started within %lld s: ended by itself",
                   (long long)(look->facts->expire_ms / 1000));
}

static void why_canceled(const struct migration_look *look, char ret_reason[512])
{
    (void)look;
    (void)snprintf(ret_reason, 512, "canceled on request, nothing was touched");
}

static void why_asked(const struct migration_look *look, char ret_reason[512])
{
    (void)look;
    (void)snprintf(ret_reason, 512, "rolled back on request");
}

static void why_cluster(const struct migration_look *look, const char *what, char ret_reason[512])
{
    char line[256];
    migration_telling_line(look->row->reason, line);
    (void)snprintf(ret_reason, 512, "dc %.128s, all shards, %s %s%s%s", look->row->dest_dc, what,
                   call_outcome_text(look->row->outcome), line[0] ? ": " : "", line);
}

static void why_precheck(const struct migration_look *look, char ret_reason[512])
{
    why_cluster(look, "CHECK: outer client, precheck", ret_reason);
}

static void why_check(const struct migration_look *look, char ret_reason[512])
{
    migration_shards_cause(look, is_check_failed, "", ret_reason);
}

static void why_restarted(const struct migration_look *look, char ret_reason[512])
{
    (void)snprintf(ret_reason, 512,
                   "dc %s, all shards, MIGRATE_PREVIOUS_PRIMARY_DC: the console restarted before "
                   "anything was promoted: rolled back",
                   look->row->source_dc);
}

static void why_outage(const struct migration_look *look, char ret_reason[512])
{
    (void)snprintf(ret_reason, 512,
                   "dc %s, MIGRATE_PREVIOUS_PRIMARY_DC: writes were refused for %lld ms, more than "
                   "%lld, and not every shard was drained: rolled back",
                   look->row->source_dc, (long long)(look->facts->now - look->held_since),
                   (long long)look->facts->outage_max_ms);
}

static bool is_hard(const struct migration_look *look, const struct migration_shard_row *shard)
{
    struct shard_stage stage = migration_shard_stage(look->facts, shard);
    return stage.is == SHARD_FAILED && !stage.is_soft;
}

static bool is_soft(const struct migration_look *look, const struct migration_shard_row *shard)
{
    struct shard_stage stage = migration_shard_stage(look->facts, shard);
    return stage.is == SHARD_FAILED && stage.is_soft;
}

static void why_fence(const struct migration_look *look, char ret_reason[512])
{
    migration_shards_cause(look, is_hard, "fence: ", ret_reason);
}

static void why_gone(const struct migration_look *look, char ret_reason[512])
{
    migration_shards_cause(look, is_soft, "goes on without a fence: ", ret_reason);
}

static bool is_not_promoted(const struct migration_look *look,
                            const struct migration_shard_row *shard)
{
    (void)look;
    return !shard->is_promoted;
}

static void why_promotion(const struct migration_look *look, char ret_reason[512])
{
    migration_shards_cause(look, is_not_promoted, "", ret_reason);
}

static void why_publish(const struct migration_look *look, char ret_reason[512])
{
    why_cluster(look, "MIGRATE: outer client, publish", ret_reason);
}

static void why_undo(const struct migration_look *look, char ret_reason[512])
{
    migration_shards_cause(look, is_undo_open, "roll back: ", ret_reason);
}

static void why_forced(const struct migration_look *look, char ret_reason[512])
{
    size_t count = look->row->shard_count;
    (void)snprintf(ret_reason, 512,
                   "force publish: %zu of %zu shards were promoted, the others "
                   "have no master that takes writes",
                   look->promoted, count);
}

/* What is not as it should be after a success. */
static void why_success(const struct migration_look *look, char ret_reason[512])
{
    size_t unfenced = 0;
    for (size_t i = 0; i < look->row->shard_count; i++) {
        unfenced += shard_at(look, i)->is_unfenced;
    }
    if (look->row->is_force_publish) {
        why_forced(look, ret_reason);
    } else if (unfenced > 0) {
        (void)snprintf(
            ret_reason, 512,
            "dc %.128s: %zu of %zu shards were promoted without a proved fence, what was "
            "written there since is lost",
            look->row->source_dc, unfenced, look->row->shard_count);
    }
}

static void why_ended(const struct migration_look *look, char ret_reason[512])
{
    (void)snprintf(ret_reason, 512, "ended by force: clients were perhaps not told of dc %s",
                   look->row->dest_dc);
}

/* ---- the table ---- */

#define IN(status)   STATUS_BIT(MIG_##status)
#define MOVING       (IN(MIGRATING) | IN(PARTIAL_SUCCESS))
#define FOLLOWING    (IN(PUBLISH) | IN(PUBLISH_FAIL) | IN(SUCCESS) | IN(ABORTED))
#define FX(effect)   EFFECT_BIT(EFFECT_##effect)
#define FX_PUBLISHED (FX(SWITCH_ACTIVE) | FX(FOLLOW_ALL))

/* clang-format off */
const struct migration_rule migration_rules[] = {
    { "G10", IN(INITIATED), ASK_PROCESS, .when_text = "", .to = MIG_CHECKING, .effects = FX(CLEAR_CHECK) },
    { "G12", IN(INITIATED), ASK_ROLLBACK, .when_text = "", .to = MIG_ABORTED, .effects = FX(END), .reason = why_canceled },
    { "G14", IN(INITIATED), .when = when_expired, .when_text = "not started within expire_ms", .to = MIG_ABORTED, .effects = FX(END),
      .reason = why_expired },

    { "G20", IN(CHECKING) | IN(CHECKING_FAIL) | IN(PRE_MIGRATING), ASK_ROLLBACK, .when_text = "", .to = MIG_ABORTED, .effects = FX(END),
      .reason = why_canceled },
    { "G22", IN(CHECKING), .is_resumed = true, .when_text = "", .to = MIG_STAY, .effects = FX(CLEAR_CHECK) },
    { "G24", IN(CHECKING), .when = when_check_due, .when_text = "pre-check of the cluster, check of a shard not begun, or due again", .to = MIG_STAY,
      .calls = call_checks, .calls_text = "precheck, check" },
    { "G26", IN(CHECKING), .when = when_pending, .when_text = "an answer is missing", .to = MIG_WAIT },
    { "G28", IN(CHECKING), .when = when_cluster_failed, .when_text = "the outer client does not agree", .to = MIG_CHECKING_FAIL,
      .reason = why_precheck },
    { "G29", IN(CHECKING), .when = when_check_pauses, .when_text = "a check is to be asked again, none failed for good", .to = MIG_WAIT },
    { "G30", IN(CHECKING), .when = when_check_failed, .when_text = "a shard's check failed", .to = MIG_CHECKING_FAIL, .reason = why_check },
    { "G32", IN(CHECKING), .when_text = "all is well", .to = MIG_PRE_MIGRATING },
    { "G34", IN(CHECKING_FAIL), ASK_PROCESS, .when_text = "", .to = MIG_CHECKING, .effects = FX(CLEAR_CHECK) },
    { "G36", IN(CHECKING_FAIL), ASK_FORCE_PROCESS, .when_text = "", .to = MIG_MIGRATING },
    { "G40", IN(PRE_MIGRATING), .when_text = "nothing to do here", .to = MIG_MIGRATING },

    { "G50", MOVING | IN(PARTIAL_RETRY_FAIL), ASK_ROLLBACK, .when_text = "", .to = MIG_ROLL_BACK, .reason = why_asked },
    { "G52", IN(PARTIAL_SUCCESS) | IN(PARTIAL_RETRY_FAIL), ASK_FORCE_PROCESS, .when_text = "", .to = MIG_MIGRATING,
      .effects = FX(FORCE_PUBLISH) },
    { "G54", IN(MIGRATING), .when = when_force_pending, .when_text = "force publish, an answer is missing", .to = MIG_WAIT },
    { "G56", IN(MIGRATING), .when = when_force, .when_text = "force publish", .to = MIG_PUBLISH, .effects = FX_PUBLISHED,
      .reason = why_forced },
    { "G60", MOVING, .is_resumed = true, .when = when_undoable, .when_text = "nothing may be promoted, not disaster", .to = MIG_ROLL_BACK,
      .reason = why_restarted },
    { "G62", MOVING, .when = when_all_promoted, .when_text = "every shard is promoted", .to = MIG_PUBLISH, .effects = FX_PUBLISHED },
    { "G64", MOVING, .when = when_outage_over, .when_text = "writes refused for outage_max_ms, nothing may be promoted, not disaster",
      .to = MIG_ROLL_BACK, .reason = why_outage },
    { "G66", MOVING, .when = when_hard_touched, .when_text = "a fence or drain failed for good, nothing may be promoted, something may be fenced",
      .to = MIG_ROLL_BACK, .reason = why_fence },
    { "G67", MOVING, .when = when_hard_pending, .when_text = "a fence failed for good, nothing may be promoted, an answer is missing",
      .to = MIG_WAIT },
    { "G68", MOVING, .when = when_hard, .when_text = "a fence failed for good, nothing may be promoted, nothing is fenced",
      .to = MIG_PARTIAL_RETRY_FAIL, .reason = why_fence },
    { "G70", MOVING, .when = when_gone, .when_text = "auto: every shard whose fence failed was unreachable, no hold is open", .to = MIG_STAY,
      .effects = FX(BECOME_DISASTER), .reason = why_gone },
    { "G72", MOVING, .when = when_fence_due, .when_text = "a shard's next step of the fence is due", .to = MIG_STAY, .calls = call_fence,
      .calls_text = "hold, then drain, then freeze; drain again when the freeze moved the offset" },
    { "G74", MOVING, .when = when_promote_due, .when_text = "every shard is fenced and drained (or given up), a promotion is due",
      .to = MIG_STAY, .calls = call_promote, .calls_text = "promote" },
    { "G76", MOVING, .when = when_pausing, .when_text = "an answer is missing, or a call is to be sent again", .to = MIG_WAIT },
    { "G78", MOVING, .when = when_none_promoted, .when_text = "no shard could be promoted, not disaster", .to = MIG_ROLL_BACK,
      .reason = why_promotion },
    { "G80", IN(MIGRATING), .when_text = "some shards could not be promoted", .to = MIG_PARTIAL_SUCCESS, .effects = FX(CLEAR_FAILED),
      .reason = why_promotion },
    { "G82", IN(PARTIAL_SUCCESS), .when_text = "and again", .to = MIG_PARTIAL_RETRY_FAIL, .reason = why_promotion },
    { "G84", IN(PARTIAL_RETRY_FAIL), ASK_PROCESS, .when_text = "", .to = MIG_PARTIAL_SUCCESS, .effects = FX(CLEAR_FAILED) },

    { "G90", IN(PUBLISH) | IN(PUBLISH_FAIL), ASK_FORCE_END, .when_text = "", .to = MIG_FORCE_END, .effects = FX(END), .reason = why_ended },
    { "G92", IN(PUBLISH_FAIL), ASK_PROCESS, .when_text = "", .to = MIG_PUBLISH },
    { "G93", IN(PUBLISH), .when = when_publish_due, .when_text = "clients are not told", .to = MIG_STAY, .calls = call_publish,
      .calls_text = "publish" },
    { "G94", FOLLOWING, .when = when_follow_due, .when_text = "a DC is to follow, or to be asked again", .to = MIG_STAY, .calls = call_follow,
      .calls_text = "follow" },
    { "G96", IN(PUBLISH), .when = when_pending, .when_text = "an answer is missing", .to = MIG_WAIT },
    { "G97", IN(PUBLISH), .when = when_cluster_failed, .when_text = "the outer client was not told", .to = MIG_PUBLISH_FAIL,
      .reason = why_publish },
    { "G98", IN(PUBLISH), .when_text = "clients are told", .to = MIG_SUCCESS, .effects = FX(END),
      .reason = why_success },

    { "G100", IN(ROLL_BACK), .when = when_undo_due, .when_text = "a shard, no call of it under way, may be promoted or fenced", .to = MIG_STAY,
      .calls = call_undo, .calls_text = "demote where it may be promoted; only then release" },
    { "G102", IN(ROLL_BACK), .when = when_undo_waits, .when_text = "an answer is missing, or a call is to be sent again", .to = MIG_WAIT },
    { "G104", IN(ROLL_BACK), .when = when_undone, .when_text = "no shard may be promoted or fenced (but in the memory of a metaserver that is away for long)", .to = MIG_ABORTED,
      .effects = FX(END) | FX(FOLLOW_ALL) },
    { "G106", IN(ROLL_BACK), .when_text = "a demotion or release failed for good", .to = MIG_ROLL_BACK_FAIL, .reason = why_undo },
    { "G108", IN(ROLL_BACK_FAIL), ASK_PROCESS, .when_text = "", .to = MIG_ROLL_BACK, .reason = why_asked },
};
/* clang-format on */
const size_t migration_rule_count = ARRAY_LEN(migration_rules);

static bool is_fitting(const struct migration_rule *rule, const struct migration_look *look)
{
    const struct migration_facts *f = look->facts;
    return (rule->in & STATUS_BIT(look->row->status)) != 0 &&
           (rule->ask == ASK_NONE || rule->ask == f->ask) && (!rule->is_resumed || f->is_resumed) &&
           (!rule->when || rule->when(look));
}

void migration_decide(const struct migration_facts *facts, struct migration_plan *ret_plan)
{
    struct migration_look look;
    migration_look_at(facts, &look);
    *ret_plan = (struct migration_plan){ .to = facts->row->status };
    for (size_t i = 0; i < migration_rule_count; i++) {
        const struct migration_rule *rule = &migration_rules[i];
        if (!is_fitting(rule, &look)) {
            continue;
        }
        ret_plan->rule = rule->id;
        ret_plan->is_transition = rule->to >= 0 || rule->effects != 0;
        ret_plan->to = rule->to >= 0 ? (enum migration_status)rule->to : facts->row->status;
        ret_plan->effects = rule->effects;
        if (rule->reason) {
            rule->reason(&look, ret_plan->reason);
        }
        if (rule->calls) {
            rule->calls(&look, ret_plan);
        }
        return;
    }
}

void migration_plan_done(struct migration_plan *plan)
{
    free(plan->calls);
    *plan = (struct migration_plan){ 0 };
}

/* The end of the first pause. */
static wall_ms next_again(const struct migration_look *look)
{
    wall_ms at = 0;
    for (size_t i = 0; i < look->row->shard_count; i++) {
        const struct migration_shard_row *shard = shard_at(look, i);
        bool is_failed = shard->pending == CALL_NONE && shard->failing_since > 0;
        wall_ms own = is_failed ? migration_again_at(look->facts, shard) : 0;
        at = own > look->facts->now && (at == 0 || own < at) ? own : at;
    }
    return at;
}

static bool may_pause(const struct migration_look *look)
{
    return (STATUS_BIT(look->row->status) & (IN(CHECKING) | MOVING | IN(ROLL_BACK))) != 0;
}

wall_ms migration_wake_at(const struct migration_facts *facts)
{
    const struct migration_cluster_row *row = facts->row;
    struct migration_look look;
    migration_look_at(facts, &look);
    wall_ms at = 0;
    if (row->status == MIG_INITIATED && facts->expire_ms > 0) {
        at = row->start_ms + facts->expire_ms;
    }
    bool is_moving = (STATUS_BIT(row->status) & MOVING) != 0;
    if (is_moving && when_undoable(&look) && look.held_since > 0 && facts->outage_max_ms > 0) {
        at = look.held_since + facts->outage_max_ms;
    }
    wall_ms again_at = may_pause(&look) ? next_again(&look) : 0;
    at = again_at > 0 && (at == 0 || again_at < at) ? again_at : at;
    for (size_t i = 0; (STATUS_BIT(row->status) & FOLLOWING) && i < row->follow_count; i++) {
        const struct migration_follow_row *follow = &row->follows[i];
        if (follow->result != RESULT_TRUE && !follow->is_pending &&
            (at == 0 || follow->retry_at < at)) {
            at = follow->retry_at;
        }
    }
    return at;
}

/* ---- asks ---- */

static int check_rollback(const struct migration_cluster_row *row, struct xp_err *err)
{
    const struct migration_status_info *info = migration_status_info(row->status);
    if (row->is_force_publish && row->status == MIG_MIGRATING) {
        return xp_fail(err, XP_CONFLICT, "already force publish, can not tryRollback");
    }
    /* A status that is not terminal, with the active DC switched: Publish, PublishFail. */
    if (info->no_rollback || row->is_active_switched) {
        const char *text = info->no_rollback ? info->no_rollback
                                             : migration_status_info(MIG_PUBLISH_FAIL)->no_rollback;
        const char *number = strstr(text, "%lld");
        return number ? xp_fail(err, XP_CONFLICT, "%.*s%lld", (int)(number - text), text,
                                (long long)row->event_id)
                      : xp_fail(err, XP_CONFLICT, "%s", text);
    }
    for (size_t i = 0; row->status == MIG_MIGRATING && i < row->shard_count; i++) {
        if (row->shards[i].may_be_promoted) {
            return xp_fail(err, XP_CONFLICT,
                           "migrating, please do tryRollback when partial success");
        }
    }
    return 0;
}

static int check_force_process(const struct migration_cluster_row *row, struct xp_err *err)
{
    const struct migration_status_info *info = migration_status_info(row->status);
    if (!info->may_force_process) {
        return xp_fail(err, XP_CONFLICT, "cannot cancel while %s", info->text);
    }
    bool has_promoted = row->status == MIG_CHECKING_FAIL;
    for (size_t i = 0; i < row->shard_count; i++) {
        has_promoted |= row->shards[i].is_promoted;
    }
    return has_promoted
               ? 0
               : xp_fail(err, XP_CONFLICT,
                         "cannot force publish: no shard was promoted; process, or roll back and "
                         "start a migration with mode disaster");
}

int migration_ask_check(const struct migration_cluster_row *row, enum migration_ask ask,
                        struct xp_err *err)
{
    const struct migration_status_info *info = migration_status_info(row->status);
    switch (ask) {
    case ASK_ROLLBACK:
        return check_rollback(row, err);
    case ASK_FORCE_PROCESS:
        return check_force_process(row, err);
    case ASK_FORCE_END:
        return info->may_force_end
                   ? 0
                   : xp_fail(err, XP_CONFLICT, "Cannot force end while %s", info->text);
    case ASK_NONE:
    case ASK_PROCESS:
        break;
    }
    return 0;
}
