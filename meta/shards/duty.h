/* duty.h - what the duties of every cluster type have in common: one for each owned shard, made by shard_set.
 *
 * A class per type embeds struct duty as its first member. It exists only while the slot of its cluster is owned under a
 * valid lease, is made fresh by every gain, and remembers nothing (D7). Owner: loop. */
#ifndef META_SHARDS_DUTY_H
#define META_SHARDS_DUTY_H

#include "meta/dcmeta/dc_store.h"
#include "meta/shards/budget.h"
#include "shared/net/loop.h"

/* What a switchover of the primary DC says of the corrections of a shard (meta/primary/shard_switch.h). */
enum duty_stance {
    STANCE_NONE,     /* nothing: the duty goes by the metadata */
    STANCE_KEEP_OFF, /* a step is under way, or was lately: no correction */
    STANCE_FENCED,   /* the same, and nobody may promote: writes are refused on purpose */
    STANCE_FOLLOW,   /* the step has been done here: correct, although the cluster migrates */
};

struct duty;

/* What all duties of a metaserver share, for their whole life. */
struct duty_env {
    struct loop *loop;
    struct dc_store *store;
    /* May a command that changes something be sent to an instance of this cluster now? 0, or why not. */
    int (*may_command)(const struct cluster_meta *, void *arg, struct xp_err *err);
    enum duty_stance (*stance)(const struct duty *, void *arg); /* NULL: none, ever */
    void *arg;                                                  /* of both */
    struct budget correct;
    struct budget cut; /* corrections that break a working link; removals of keepers */
    /* settings; changed by a reload */
    int64_t poll_ms;
    int64_t poll_fast_ms;
    int64_t redis_timeout_ms;
    const char *redis_user;
    const char *redis_password;
    const char *client_name; /* for CLIENT SETNAME: who is it that sends these commands? */
    int64_t meta_fresh_ms;   /* two refresh periods */
    bool correct_periodically;
    int64_t backoff_first_ms;
    int64_t backoff_max_ms;
};

typedef void duty_quiet_fn(struct duty *, void *arg);

struct duty_class {
    const char *name;
    void (*free)(struct duty *);
    /* The end of a duty without leaving a command behind: it observes and decides no more. False: nothing is under way, free it
     * now. True: the last command is not answered yet; 'on_quiet' runs when it is, or after its time limit, and frees the
     * duty. Until then nobody else may command this shard: he would repeat what he cannot see yet. */
    bool (*leave)(struct duty *, duty_quiet_fn *on_quiet, void *arg);
    /* The cluster's metadata changed (same cluster, shard and type); takes a reference. */
    void (*update)(struct duty *, struct cluster_meta *);
    void (*routes_changed)(struct duty *);
    /* Corrections off for so long; 0 ends a suspension at once. */
    void (*suspend)(struct duty *, int64_t ttl_ms);
    /* The master of the shard as known now; false: unknown. */
    bool (*master)(struct duty *, struct addr *ret_addr);
    /* Everything that is known and planned, for people. Returns owned. */
    json_t *(*state)(struct duty *);
    /* The shard is gone from the metadata (not: only its slot from us); called before leave. NULL: nothing to clear away. */
    void (*retire)(struct duty *);
};

struct duty {
    const struct duty_class *class;
    struct cluster_meta *cluster; /* one reference */
    char *shard;
    mono_ms suspended_until; /* MONO_NEVER: it is not */
    char *hold;              /* why its plan is not carried out; NULL: nothing holds it */
};

/* 'cluster' gains a reference. */
void duty_init(struct duty *, const struct duty_class *, struct cluster_meta *cluster,
               const char *shard);
void duty_done(struct duty *);
void duty_set_cluster(struct duty *, struct cluster_meta *cluster);
const struct shard_meta *duty_shard(const struct duty *); /* NULL: not in the metadata */
/* Names may be used again: by ids, and by type. */
bool duty_is_of(const struct duty *, const struct cluster_meta *);
/* Corrections off for so long; 0 ends a suspension at once. */
void duty_set_suspended(struct duty *, const struct duty_env *, int64_t ttl_ms);
bool duty_is_suspended(const struct duty *, const struct duty_env *);
enum duty_stance duty_stance(const struct duty *, const struct duty_env *);
/* May a command be sent at all: no migration (but for STANCE_FOLLOW), no switchover that says no, no suspension, and
 * env->may_command? Asked before a run and again before each of its commands. */
int duty_check_allowed(const struct duty *, const struct duty_env *,
                       struct xp_err *err) XP_MUST_CHECK;
/* Notes why its plan is not carried out; NULL: nothing holds it. True: a new reason, to be counted and logged. */
bool duty_note_hold(struct duty *, const char *why);
/* One token for a run, and one more of the smaller budget when it cuts a working link. */
bool duty_take_budget(struct duty_env *, bool cuts);
/* Where in the period this shard polls: by its ids, so that thousands of them stay spread over it. */
int64_t duty_phase_ms(const struct duty *, int64_t period_ms);
/* A moment of the loop's clock for people; null: MONO_NEVER. Returns owned. */
json_t *duty_wall_json(const struct duty_env *, mono_ms at);

#endif
