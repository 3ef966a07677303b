/* switch_internal.h - the inside of shard_switch, shared by its files only (see shard_switch.h). Owner: loop. */
#ifndef META_PRIMARY_SWITCH_INTERNAL_H
#define META_PRIMARY_SWITCH_INTERNAL_H

#include "meta/primary/keep_decide.h"
#include "meta/primary/shard_switch.h"
#include "shared/base/list.h"
#include "shared/base/map.h"
#include "shared/base/metrics.h"

#define SWITCH_RECORD_MS 2000 /* of one read or write of a record */

struct switch_settle;

struct switch_waiter {
    switch_answer_fn *fn;
    void *arg;
};

struct switch_job { /* one step, and everybody who waits for it */
    struct list link;
    enum switch_step step;
    char *dc;
    struct switch_order order;
    mono_ms began;
    mono_ms deadline;
    struct switch_waiter *waiters;
    size_t waiter_count;
    struct execution_log *log;
    bool waits_for_record;       /* to be read, or to be written */
    bool is_written;             /* what must be in the record before the first command is there */
    bool is_looked;              /* the settings that a fence overwrites are known */
    struct switch_change change; /* of a promotion whose settings are being put right; owned */
    struct switch_record before; /* as it was when the step began */
    bool has_before;
};

/* The last step that changed something, if it was a promotion that succeeded. */
struct switch_again {
    mono_ms at;
    char *dc;
    int64_t epoch;
    struct switch_change change;
};

struct stray { /* a master that nobody corrects, as told by its duty */
    struct addr redis;
    bool is_due;     /* it was told of, and is to be held */
    mono_ms held_at; /* seen to be held; MONO_NEVER */
};

struct discard_try { /* one that is to follow, and may not yet */
    struct addr redis;
    mono_ms since;              /* first asked for, of this return of it */
    mono_ms asked;              /* last */
    char repl_id[REPL_ID_SIZE]; /* its own, then; "": it told none yet */
    bool is_logged;             /* there was no room in the record */
};

/* One owned shard, or one that is left and whose last command is not answered. */
struct switch_shard {
    struct shard_switches *all;
    int64_t cluster_id;
    int64_t shard_id;
    bool is_owned;
    uint64_t tenure; /* grows with every loss: what began in an earlier one has no say any more */
    /* record */
    struct switch_record record; /* as it should be; in ZooKeeper when it is not dirty */
    bool is_known;
    mono_ms known_at;             /* when it was read */
    struct switch_record written; /* as ZooKeeper is known to have it */
    bool is_checked;  /* for a promotion here: the switch that is coming is perhaps to this DC */
    bool is_prepared; /* 'promoting' was written for it, and no promotion was asked for yet */
    bool is_counted;  /* among those that are fenced */
    bool is_reading;
    bool is_writing;
    bool is_dirty;
    struct list to_read; /* waits for its turn */
    struct loop_timer record_timer;
    /* steps */
    struct list queue; /* struct switch_job */
    size_t queued;
    struct switch_job *job; /* under way */
    struct fence_run *fence_run;
    struct promote_run *promote_run;
    struct warm_party warm;           /* from one step to the next */
    struct execution_log *orphan_log; /* of a job that was given up, and whose run goes on */
    bool is_orphan_promotion;         /* that run promotes, under orphan_epoch */
    int64_t orphan_epoch;
    struct addr orphan_maybe;    /* whom it took, for the record that is still being read; none */
    struct loop_timer job_timer; /* deadline of the job's waiting; looks of a follow */
    mono_ms held_until;          /* MONO_NEVER: not */
    bool may_follow;
    struct switch_again *again;
    /* keeping */
    struct loop_timer keep_timer;
    struct fence_run *keep_run;
    struct execution_log *keep_log; /* nobody reads it */
    bool is_keep_commanding;
    uint64_t keep_tenure;
    enum keep_duty kept; /* what keep_run is for */
    struct stray *strays;
    size_t stray_count;
    /* since then the metadata says that the fence's migration is over, and this DC the primary one; MONO_NEVER */
    mono_ms outlived_at;
    /* the fence is known since then: it was ordered, or its record was read. What the console answers to a later question knows its migration */
    mono_ms fenced_at;
    bool is_inherited; /* it is of who had this shard before */
    bool is_past;      /* keep_decide.h */
    struct discard_try *tries;
    size_t try_count;
    size_t untold;    /* divergences that the console does not have, as counted in the gauge */
    mono_ms find_at;  /* the promoted one is looked for again; MONO_NEVER: at once */
    size_t stray_at;  /* the one that keep_run is about */
    bool is_asserted; /* the last look found the fence in force */
    mono_ms asserted_at;
    struct switch_settle *settle; /* settings being put back */
    int64_t settle_pause_ms;
    /* left, after this DC was told to follow: others may have fenced a Redis of it */
    int settle_looks;
    mono_ms ended_at; /* of the last step */
    enum switch_step last_step;
    char *last_error; /* of the last step; NULL: none */
};

struct shard_switches {
    struct shard_switches_options opt;
    char *first_line;  /* of execution logs */
    struct map shards; /* "cluster/shard" ids -> struct switch_shard * */
    struct list to_read;
    struct list orphans; /* struct switch_orphan: records of others being written */
    int reading;
    int keeping; /* runs under way */
    /* isolation */
    struct loop_timer silence_timer;
    mono_ms heard_at;    /* the console, last; MONO_NEVER */
    mono_ms awake_at;    /* its silence counts from here at least: the start, or a shorter limit */
    mono_ms asked_at;    /* the other members; MONO_NEVER */
    bool is_isolated;    /* it was not heard for isolation_ms */
    mono_ms isolated_at; /* the last moment at which that was so; MONO_NEVER */
};

/* shard_switch.c */
struct switch_shard *switch_find(const struct shard_switches *, int64_t cluster_id,
                                 int64_t shard_id);
/* Of the metadata as it is now; false: the shard is not in it. */
bool switch_meta(const struct switch_shard *, struct cluster_meta **ret_cluster,
                 const struct shard_meta **ret_shard);
size_t switch_redises(const struct shard_meta *, struct addr *ret_addrs /* SWITCH_REDIS_MAX */);
bool switch_is_primary(const struct switch_shard *); /* this DC, in the metadata in memory */
bool switch_is_fenced(const struct switch_shard *);  /* the record says so */
int switch_may_command(void *shard, struct xp_err *err);
/* For the run of the step under way. One that was given up with its job, when the slot was lost, commands nothing any more, also when the slot is
 * ours again. */
int switch_may_step(void *shard, struct xp_err *err);
struct tree_duty *switch_tree(const struct switch_shard *);
void switch_look(const struct switch_shard *); /* the duty looks again */
/* The record is to be written as it is in memory now; the job goes on when it is (switch_job_recorded). */
void switch_write(struct switch_shard *);
/* The step under way ends and sent nothing: what it meant to do is taken back out of the record, but for the epoch. */
void switch_undo(struct switch_shard *);
bool switch_is_quiet(const struct switch_shard *);
/* something ended: freed when nobody owns it any more */
void switch_settled(struct switch_shard *);

/* A switch to this DC is being checked: what its promotion needs in the record is written by then. */
void switch_prepare(struct switch_shard *);

/* switch_queue.c */
bool switch_changes(enum switch_step step);                             /* a Redis */
void switch_jobs_fail(struct switch_shard *, const struct xp_err *err); /* all that wait */
void switch_forget(struct switch_shard *); /* the answer that a repeat would get */
void switch_next(struct switch_shard *);
void switch_job_recorded(struct switch_shard *);
void switch_job_free(struct switch_job *);
int64_t switch_job_left_ms(const struct switch_shard *); /* 1 at least */
/* The ends of the step under way. The queue goes on. */
void switch_end_error(struct switch_shard *, const struct xp_err *err);
void switch_end_check(struct switch_shard *, struct switch_check *check);
void switch_end_fence(struct switch_shard *, struct switch_fence *take_fence);
void switch_end_change(struct switch_shard *, struct switch_change *take_change);
/* Not carried out: a higher epoch is known. */
void switch_end_stale(struct switch_shard *);

/* the steps; each begins with a record that is known and is not being written */
void switch_fencing(struct switch_shard *);
void switch_promoting(struct switch_shard *);
void switch_following(struct switch_shard *);
/* The fence is over: the record says so, nothing is asserted any more. The caller writes it. */
void switch_note_release(struct switch_shard *);
/* Before that: the settings of the one that was held, when another one is released. */
void switch_keep_settings_of_held(struct switch_shard *, const struct addr *released);
/* What the metadata says of the migration of a fence is remembered (and written with the next record). */
void switch_note_migrating(struct switch_shard *);
/* A fence is ordered: what the metadata said of the migration before counts no more. */
void switch_note_ordered(struct switch_shard *);
/* A fence was found in the record. */
void switch_note_inherited(struct switch_shard *);
void switch_following_look(struct switch_shard *);
/* What a fence has to write down of what it saw: never its own values. */
struct fence_saved switch_saved(const struct fence_saved *seen);
/* False: the master that was found did not answer, its settings are not known. */
bool switch_is_read(const struct switch_fence *seen);
/* The settings of the master that was seen go into the record; of one that was not read, nothing. */
void switch_note_saved(struct switch_shard *, const struct switch_fence *seen);
/* The settings of masters beside 'master', and that they go into the record. */
void switch_others_seen(const struct fence_run *, const struct addr *master,
                        struct switch_kept_list *ret_others);
void switch_keep_others(struct switch_shard *, const struct switch_kept_list *others);
/* Whom a run of this shard asks, how, and who permits it: 'redises' (borrowed) and switch_may_step unless 'run' names its own. False: the
 * shard is not in the metadata. */
bool switch_run_fill(struct switch_shard *, struct addr *redises, struct switch_run_options *run);
/* 'extra' says goal, hint, saved, deadline, drain, callback and log. NULL: the shard is not in the metadata. */
struct fence_run *switch_fence_run(struct switch_shard *, const struct fence_options *extra);

/* switch_keeping.c */
void switch_keep(struct switch_shard *, int64_t delay_ms); /* look after the fence then */
void switch_keep_stop(struct switch_shard *);              /* nothing more is sent */
/* A step begins: the same, but for commands under way, which are waited for (switch_job_recorded) unless they want the same as
 * the step. */
void switch_keep_yield(struct switch_shard *, bool is_same_way);
void switch_keep_leave(struct switch_shard *); /* the slot is lost: what is not commanding ends */
void switch_keep_init(struct switch_shard *);
void switch_keep_facts(const struct switch_shard *, struct keep_facts *ret_facts);
void switch_strays_forget(struct switch_shard *);
/* It is none any more. */
void switch_stray_follows(struct switch_shard *, const struct addr *redis);

/* switch_diverge.c */
/* the record is in ZooKeeper as it is in memory */
void switch_diverge_recorded(struct switch_shard *);
void switch_diverge_look(const struct switch_shard *); /* somebody who waits is looked at again */
void switch_diverge_left(struct switch_shard *);       /* the shard is not ours any more */
void switch_diverge_forget(struct switch_shard *);

/* switch_orphan.c */
/* The run that was given up with its job has ended; 'maybe': whom it promoted, or may have; none: nobody. */
void switch_orphan_ended(struct switch_shard *, const struct addr *maybe);
void switch_orphan_take(struct switch_shard *); /* the record is known */
void switch_orphans_free(struct shard_switches *);

/* switch_isolation.c */
void switch_isolation_init(struct shard_switches *);
void switch_isolation_done(struct shard_switches *);
void switch_isolation_facts(const struct switch_shard *, struct keep_facts *facts);
void switch_isolate(struct switch_shard *); /* the record says that its master is to be held */

/* switch_settle.c */
void switch_settle_start(struct switch_shard *);
void switch_settle_stop(struct switch_shard *);
bool switch_settle_is_commanding(const struct switch_shard *);

extern struct metric switch_fences;
extern struct metric switch_reasserted;
extern struct metric switch_strays;
extern struct metric switch_settles;
extern struct metric switch_diverged_total;
extern struct metric switch_diverged_bytes;
extern struct metric switch_untold;
void switch_metrics_register(void);
void switch_metrics_step(enum switch_step step, bool is_success, int64_t took_ms);

#endif
