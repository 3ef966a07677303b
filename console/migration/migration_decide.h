/* migration_decide.h - the state machine of a migration: one table of rules, first match wins (dr-switchover.md 2, 9.2; house style 2.6).
 *
 * A pure decision over the rows of one cluster: which transition is due, which calls to begin. Called again and again in one transaction,
 * each plan carried out on the rows (migration_carry_out), until a plan is empty; then the calls are intents to be committed, and sent after
 * the commit. It never waits: what is pending stays pending until its outcome is in the row (migration_apply). The table: docs/states/migration.md.
 *
 *   Migrating: each shard hold -> drain -> freeze, at its own pace, and drain again when the freeze moved the offset; when all of them are fenced
 *   and drained (or, disaster, given up): promote all; when all are promoted: Publish. Nothing is promoted before everything is fenced: the
 *   outage ends with the publication of the cluster either way, and a shard that cannot be fenced or drained costs no other shard its master.
 *   planned: a fence or drain that fails, or outage_max_ms, with nothing promoted => RollBack by itself; nothing fenced either => PartialRetryFail,
 *   reason `fence`. Nothing fenced: no shard has an intent to hold or freeze of which anything could have happened, that is, each of them was
 *   UNREACHABLE or STALE from the first try on, or was proved to be released since. A refusal or a lost answer counts as perhaps fenced.
 *   disaster (asked for): every failure but STALE is taken as "gone"; unfenced and lost bytes are stored.
 *   auto: planned, until every shard whose fence failed was UNREACHABLE; then disaster, for those shards: one that could be fenced must also have drained.
 *   Promotion failed for some: PartialSuccess (one retry by itself), then PartialRetryFail. For all, and not disaster => RollBack. A promotion that was
 *   refused or not answered counts as perhaps promoted until a demotion succeeded; only an UNREACHABLE or STALE one as never sent.
 *   Tries: a call that failed is sent again after a pause (retry_limits), and at most for so long since its first failure; what may be asked again:
 *   a check that was not answered or says NOT_YET; hold and freeze UNKNOWN; promote UNKNOWN, UNREACHABLE; demote and release everything but STALE, for
 *   until they succeed writes are refused. As long as nothing may be promoted the shorter limit counts: there the way back is the shorter outage. A
 *   planned promotion of which no shard is proved is not sent again beyond outage_max_ms: it is rolled back.
 *   Asked to roll back: Initiated, Checking, CheckingFail, PreMigrating end at once; Migrating until the first promotion is sent (F31: stop, wait
 *   for what is under way, roll back); PartialSuccess, PartialRetryFail always. Never once the active DC was switched, or it is a force publish.
 *   forceProcess: CheckingFail goes to Migrating without a check; PartialSuccess, PartialRetryFail publish what was promoted, if anything was.
 *   forceEnd: Publish and PublishFail; sends nothing any more.
 *   Resume (facts.is_resumed): what is pending is UNKNOWN. Nothing may be promoted and not disaster => RollBack; else forward; Publish publishes;
 *   RollBack rolls back; a check is repeated.
 *   RollBack: each shard, when its last call is over: demote (where it may be promoted), only then release (where it may be fenced). A release by
 *   another way than the source's metaserver, which may have made the fence, is not the end: it remembers the fence, and would assert it again when it
 *   is back, so it is asked until it has released, too, or for as long as any release is tried. All are free of both => Aborted; a failure => RollBackFail naming shard and cause. A release without a proved write is a failure.
 *   Publish: the active DC is switched in the transaction that enters it; every other DC follows from then on, with back-off until it
 *   confirms, also after Success; after Aborted, when a promotion was ever sent. STALE there: somebody newer rules, confirmed.
 * Thread: any. */
#ifndef CONSOLE_MIGRATION_MIGRATION_DECIDE_H
#define CONSOLE_MIGRATION_MIGRATION_DECIDE_H

#include "console/migration/migration_rows.h"

struct retry_limits { /* of a call that failed; each try has its own time-out beyond them */
    int64_t pause_ms; /* before the second try; doubled before each further one */
    int64_t pause_max_ms;
    /* as long as nothing may be promoted: a check, a fence, a promotion that was never sent */
    int64_t undoable_ms;
    int64_t total_ms; /* once something may be promoted, and on the way back */
    int64_t check_ms; /* a check that says: not yet */
};

struct migration_facts {
    wall_ms now;
    const struct migration_cluster_row *row;
    /* of an operator, monitor or the event's policy; checked by migration_ask_check */
    enum migration_ask ask;
    bool is_resumed; /* first look after a start or a take-over */
    int64_t outage_max_ms;
    int64_t expire_ms; /* Initiated is aborted by itself after so long; 0: never */
    struct retry_limits retry;
};

struct migration_plan_call {
    enum migration_call call;
    size_t shard;  /* index; shard_count: the cluster */
    size_t follow; /* index into follows, of FOLLOW */
};
/* of a transition, in the same transaction */
enum migration_effect {
    EFFECT_NONE,
    EFFECT_CLEAR_CHECK,  /* results and texts of STEP_CHECK */
    EFFECT_CLEAR_FAILED, /* of fence and promotion where it is not promoted; what was proved stays */
    EFFECT_SWITCH_ACTIVE, /* migration_switch_active to the destination, is_active_switched */
    EFFECT_BECOME_DISASTER,
    EFFECT_FORCE_PUBLISH,
    EFFECT_FOLLOW_ALL, /* a follow row for every DC but the new primary */
    EFFECT_END,        /* end_ms; the cluster is Normal */
};
struct migration_plan {
    bool is_transition;
    enum migration_status to;
    unsigned effects;                  /* bits 1 << enum migration_effect */
    const char *rule;                  /* "G10"...; also of calls without a transition */
    char reason[512];                  /* for people; "" none */
    struct migration_plan_call *calls; /* owned; migration_plan_done */
    size_t call_count;
};
void migration_plan_done(struct migration_plan *);
void migration_decide(const struct migration_facts *, struct migration_plan *ret_plan);
/* The plan into the row: status, effects, intents. Pure; what an effect does to other tables (SWITCH_ACTIVE, and FOLLOW_ALL, which adds
 * rows of DCs) is the turn's. */
void migration_carry_out(struct migration_cluster_row *, const struct migration_plan *,
                         wall_ms now);
/* First look after a start: nobody will answer what is pending. */
void migration_resume(struct migration_cluster_row *);
/* When to decide again without an event; 0: never. */
wall_ms migration_wake_at(const struct migration_facts *);

/* May this be asked in this state? XP_CONFLICT with x-pipe's text (2.4). */
int migration_ask_check(const struct migration_cluster_row *, enum migration_ask ask,
                        struct xp_err *) XP_MUST_CHECK;

/* The outcome of a call into the row (results, texts, fence, offsets ...): pure as well. An answer to what is not pending is dropped. Proofs are
 * those of the result: OK of a hold needs fence.state HELD or FROZEN, of a freeze FROZEN, of a release RELEASED, whoever saw it (a Java metaserver
 * tells none: the caller looks for itself); OK of a promotion needs change.new_master; OK of a drain needs is_drained where is_ours. */
struct migration_result {
    enum migration_call call;
    size_t shard;
    size_t follow;
    enum call_outcome outcome;
    /* The next call of the shard's fence (migration_next_of_fence) was sent with it, without a plan: its result comes by itself. */
    bool goes_on;
    char *text; /* owned: log text of the step */
    int64_t duration_ms;
    struct switch_fence fence;   /* HOLD, FREEZE, RELEASE */
    bool is_by_meta;             /* of those: the source's metaserver did it, or says so */
    bool may_be_by_meta;         /* it may have: it was asked, and perhaps reached */
    struct switch_change change; /* DRAIN, PROMOTE, DEMOTE, FOLLOW */
    char *publish_info;          /* PUBLISH; owned */
};
void migration_result_done(struct migration_result *);
/* HOLD, then DRAIN, then FREEZE; CALL_NONE: nothing comes by itself. */
enum migration_call migration_next_of_fence(enum migration_call call);
bool migration_is_behind_hold(enum migration_call call);
void migration_apply(struct migration_cluster_row *, const struct migration_result *, wall_ms now);

/* The table for docs/states/migration.md and the golden file; Markdown, owned. And the check at start: every status reachable, every
 * non-terminal one left again, rule ids unique. */
char *migration_table_text(void);
int migration_table_check(struct xp_err *) XP_MUST_CHECK;

#endif
