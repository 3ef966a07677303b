/* migration_rows.h - a migration as it is in the database: one cluster of an event with its shards (dr-switchover.md 1.2, 9.2 (3)).
 *
 * The rows are the truth: every decision is made from rows read in the transaction that writes its outcome (migration_turn.h). Every intent is a
 * row's 'pending' before its call is sent. Owned texts where 'char *'. Thread: the one that owns the connection. */
#ifndef CONSOLE_MIGRATION_MIGRATION_ROWS_H
#define CONSOLE_MIGRATION_MIGRATION_ROWS_H

#include "console/migration/migration_states.h"
#include "console/store/store.h"
#include "shared/switch/switch_words.h"

#define MIGRATION_SHARDS_MAX 1024
#define MIGRATION_DCS_MAX    16

/* a remote call; its intent is committed before it is sent */
enum migration_call {
    CALL_NONE,
    CALL_CHECK, /* the shard, in every DC of the cluster, at once */
    CALL_HOLD, /* source: fence, first phase; by the other ways when its metaserver does not answer */
    CALL_DRAIN,   /* destination: have the data arrived? */
    CALL_FREEZE,  /* source: fence, second phase */
    CALL_PROMOTE, /* destination */
    CALL_DEMOTE, /* roll back: the destination follows the source again; fences a promoted master first */
    CALL_RELEASE,  /* roll back: source; proves a write */
    CALL_FOLLOW,   /* every other DC follows the destination (roll back: the source); per DC */
    CALL_PRECHECK, /* the cluster: outer client */
    CALL_PUBLISH,  /* the cluster: outer client */
    MIGRATION_CALLS,
};
const char *migration_call_text(enum migration_call call);

enum call_outcome {
    OUTCOME_NONE,
    OUTCOME_OK,
    OUTCOME_REFUSED,     /* reached, and it says no: text says why */
    OUTCOME_UNREACHABLE, /* nobody who could have done it was reached: nothing happened */
    OUTCOME_UNKNOWN,     /* sent, no answer: it may have happened */
    OUTCOME_STALE,       /* a higher epoch is in force: another console owns it */
    OUTCOME_NOT_YET,     /* of a check: reached, what is in the way passes by itself; asked again */
};
const char *call_outcome_text(enum call_outcome outcome);

enum step_result { RESULT_NONE, RESULT_TRUE, RESULT_FALSE };

struct migration_shard_row {
    int64_t id;
    int64_t shard_id;
    char *name;
    enum step_result results[MIGRATION_STEPS];
    char *texts[MIGRATION_STEPS]; /* log text of each step; NULL: none */
    enum migration_call pending;  /* sent, or about to be; CALL_NONE */
    int tries;                    /* of 'pending' or the call before, in this state */
    wall_ms failing_since;        /* end of the first of those tries that failed; 0: none did */
    wall_ms failed_at;            /* end of the last one */
    enum call_outcome outcome;    /* of the last call */
    enum migration_call last_call;
    enum fence_state fence; /* of the source, as last proved */
    bool is_drained;
    bool is_promoted;       /* proved by an answer */
    bool may_be_promoted;   /* an intent to promote was committed since the last demotion */
    bool is_promote_unsure; /* one of them was sent, and nobody knows what became of it */
    bool may_be_fenced;     /* an intent to hold was committed since the last proved release */
    bool is_fence_unsure;   /* one of them was sent, and nobody knows what became of it */
    bool is_meta_fenced;    /* the source's metaserver may remember a fence */
    /* of the last drain to the present fence_offset; OUTCOME_NONE: none yet */
    enum call_outcome drain;
    bool is_unfenced;     /* disaster: promoted without a proved fence */
    int64_t fence_offset; /* T, later F; -1 unknown */
    char fence_repl_id[REPL_ID_SIZE];
    struct fence_saved saved;
    struct addr old_master;
    struct addr new_master;
    int64_t lost_bytes; /* -1 unknown, of a disaster; 0 none */
    int64_t promote_epoch;
    wall_ms held_at;     /* writes refused from here ... */
    wall_ms promoted_at; /* ... to the publication after here */
    bool is_dirty;       /* to be written */
};

struct migration_follow_row { /* a DC that must follow; one for the cluster */
    int64_t dc_id;
    char *dc;
    enum step_result result;
    char *text;
    int tries;
    wall_ms retry_at; /* 0: now */
    bool is_pending;
    bool is_dirty;
};

enum migration_ask { ASK_NONE, ASK_PROCESS, ASK_ROLLBACK, ASK_FORCE_PROCESS, ASK_FORCE_END };

struct migration_cluster_row {
    int64_t id;
    int64_t event_id;
    int64_t cluster_id;
    char *cluster;
    int64_t source_dc_id;
    int64_t dest_dc_id;
    char *source_dc; /* stored spelling */
    char *dest_dc;
    wall_ms start_ms;
    wall_ms end_ms; /* 0 until it is terminal */
    enum migration_status status;
    enum migration_mode mode; /* as asked */
    bool is_disaster;         /* decided at the fence (auto), or asked */
    enum migration_policy policy;
    bool is_force_publish;   /* phase: publish what was promoted */
    bool is_active_switched; /* activedc_id is the destination's: no roll back any more */
    int64_t epoch;
    char *reason;                /* why it is paused, or ended as it did; NULL */
    char *publish_info;          /* JSON; NULL */
    wall_ms phase_ms;            /* of the last transition */
    enum migration_call pending; /* of the cluster: PRECHECK, PUBLISH */
    enum call_outcome outcome;
    int tries;
    struct migration_shard_row *shards; /* by shard id */
    size_t shard_count;
    struct migration_follow_row *follows;
    size_t follow_count;
    bool is_dirty;
};
void migration_cluster_row_done(struct migration_cluster_row *);
void migration_cluster_row_copy(const struct migration_cluster_row *from,
                                struct migration_cluster_row *ret_row);
/* As the row of a shard that nothing was done to. */
void migration_shard_row_init(struct migration_shard_row *);
/* Terminal, and nobody is left to follow: is_followed in the database. A ForceEnd sends nothing any more. */
bool migration_is_over(const struct migration_cluster_row *);
/* Who is primary as this migration ended, or is about to: the source while and after it is rolled back, else the destination. */
int64_t migration_primary_dc(const struct migration_cluster_row *);
const char *migration_primary_dc_name(const struct migration_cluster_row *);

/* XP_NOT_FOUND: no such row. */
int migration_load(struct db *, int64_t migration_cluster_id, struct migration_cluster_row *ret_row,
                   struct xp_err *) XP_MUST_CHECK;
/* Writes what is dirty (cluster row, shards, follows), with their logs (dr-switchover.md 3.5). */
int migration_save(struct db *, struct migration_cluster_row *, struct xp_err *) XP_MUST_CHECK;
/* Cluster status and event id of cluster_tbl as the status says (2.1), with its outbox rows; terminal: Normal and 0. */
int migration_set_cluster_status(const struct change *, const struct migration_cluster_row *,
                                 struct xp_err *) XP_MUST_CHECK;
/* activedc_id := destination (or source), redis.master flags of all shards, outbox rows: one step of the same transaction. */
int migration_switch_active(const struct change *, const struct migration_cluster_row *,
                            bool to_dest, struct xp_err *) XP_MUST_CHECK;
/* A line of the timeline: kind "transition", "intent", "result", "ask"; texts are copied. */
struct migration_line {
    const char *kind;
    const char *from;
    const char *to; /* status, or call */
    const char *rule;
    const char *text;
    int64_t shard_id;    /* 0: the cluster */
    int64_t duration_ms; /* since the last transition, or of the call; -1 */
};
int migration_add_line(struct db *, int64_t migration_cluster_id, wall_ms now,
                       const struct migration_line *, struct xp_err *) XP_MUST_CHECK;
/* The log column of a shard as x-pipe's pages parse it. Returns owned. */
char *migration_shard_log(const struct migration_shard_row *, enum migration_status status);

#endif
