/* migration_decide_internal.h - between migration_decide.c (rules), migration_look.c (what they look at), migration_apply.c (rows change) and
 * migration_table.c (text and check) only. Thread: any. */
#ifndef CONSOLE_MIGRATION_MIGRATION_DECIDE_INTERNAL_H
#define CONSOLE_MIGRATION_MIGRATION_DECIDE_INTERNAL_H

#include "console/migration/migration_decide.h"

#define FOLLOW_RETRY_MIN_MS 1000
#define FOLLOW_RETRY_MAX_MS 60000

enum shard_is {
    SHARD_PROMOTED,
    SHARD_WAITS,  /* a call is under way */
    SHARD_CALLS,  /* a call of the fence is due */
    SHARD_PAUSES, /* a call of the fence failed, and is due again in a moment */
    SHARD_READY,  /* fenced and drained, or given up: may be promoted */
    SHARD_FAILED, /* the fence or the drain failed */
};

struct shard_stage {
    enum shard_is is;
    enum migration_call call; /* SHARD_CALLS, SHARD_PAUSES */
    bool is_soft; /* SHARD_FAILED: 'auto' may still give this shard up: nobody there was reached */
};

/* Is the call that failed last sent again? */
enum again_is {
    AGAIN_NO,
    AGAIN_NOW,
    AGAIN_LATER, /* its pause is not over */
};

/* What the rules look at: the rows, counted. */
struct migration_look {
    const struct migration_facts *facts;
    const struct migration_cluster_row *row;
    size_t promoted;
    size_t may;     /* be promoted */
    size_t pending; /* calls of shards and of the cluster; not of DCs that follow */
    size_t due;     /* calls of the fence */
    size_t pausing; /* shards whose call of the fence, or promotion, is due again in a moment */
    size_t checks_due;
    size_t checks_pausing;
    size_t checks_failed; /* for good */
    size_t fence_open;    /* shards whose fence is not over: due, under way, failed */
    size_t hold_open;     /* of those: the first phase is due or under way */
    size_t promote_due;   /* shards whose promotion is due, if all are ready */
    size_t hard;          /* shards that failed and may not be given up */
    size_t soft;
    bool is_touched;    /* a shard may be fenced, not only by a hold that is under way */
    wall_ms held_since; /* of the shard that refuses writes longest; 0 none */
};

struct shard_stage migration_shard_stage(const struct migration_facts *,
                                         const struct migration_shard_row *);
void migration_look_at(const struct migration_facts *, struct migration_look *ret_look);
bool migration_check_due(const struct migration_facts *, const struct migration_shard_row *);
bool migration_promote_due(const struct migration_facts *, const struct migration_shard_row *);
/* Of a rollback: DEMOTE, RELEASE, or CALL_NONE: nothing (more) to do here now, perhaps (ret_pauses, may be NULL) in a moment. */
enum migration_call migration_undo_due(const struct migration_facts *,
                                       const struct migration_shard_row *, bool *ret_pauses);
/* Neither promoted nor fenced any more; of a fence that its metaserver was not told to forget: it was asked for long enough. */
bool migration_is_undone(const struct migration_facts *, const struct migration_shard_row *);
/* When the pause before the next try ends. */
wall_ms migration_again_at(const struct migration_facts *, const struct migration_shard_row *);
bool migration_may_be_anything(const struct migration_shard_row *); /* promoted or fenced */
bool migration_follow_due(const struct migration_follow_row *, wall_ms now);

/* "dc jq, shard s1, MIGRATE_PREVIOUS_PRIMARY_DC: hold unreachable: ..., and 2 more shards": of the shards that 'is_it' picks. */
typedef bool shard_pick_fn(const struct migration_look *, const struct migration_shard_row *);
void migration_shards_cause(const struct migration_look *, shard_pick_fn *is_it, const char *before,
                            char ret_reason[512]);
enum migration_step migration_call_step(enum migration_call call);
/* The line of an execution log that says most: the last error, else the last line, without level and time. */
void migration_telling_line(const char *text, char ret_line[256]);

/* ---- the table ---- */

#define STATUS_BIT(status) (1u << (unsigned)(status))
#define EFFECT_BIT(effect) (1u << (unsigned)(effect))
enum { MIG_STAY = -1, MIG_WAIT = -2 };

struct migration_rule {
    const char *id;
    unsigned in;                                 /* STATUS_BIT */
    enum migration_ask ask;                      /* ASK_NONE: whatever was asked */
    bool is_resumed;                             /* only at the first look after a start */
    bool (*when)(const struct migration_look *); /* NULL: always */
    const char *when_text;
    int to; /* a status; MIG_STAY: calls, or effects alone; MIG_WAIT: for answers */
    unsigned effects;
    void (*calls)(const struct migration_look *, struct migration_plan *);
    const char *calls_text;
    void (*reason)(const struct migration_look *, char ret_reason[512]);
};
extern const struct migration_rule migration_rules[];
extern const size_t migration_rule_count;

#endif
