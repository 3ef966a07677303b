/* migration_calls_internal.h - what the files of migration_calls share: a call under way, requests to metaservers, addresses.
 *
 * A call lives until it is finished and nothing refers to it: every request, run or read holds it (call_hold, call_drop). Who comes
 * back to a finished call only drops it. Nobody but migration_calls*.c includes this. Thread: loop. */
#ifndef CONSOLE_MIGRATION_MIGRATION_CALLS_INTERNAL_H
#define CONSOLE_MIGRATION_MIGRATION_CALLS_INTERNAL_H

#include "console/migration/migration_calls.h"
#include "console/notify/meta_urls.h"
#include "shared/base/list.h"
#include "shared/switch/fence.h"

#define SWITCH_CLIENT_NAME "xpipe-console-switch"

/* ---- where the Redis of a cluster stand (migration_places.c) ---- */
struct place_dc {
    int64_t id;
    char *name; /* stored spelling */
};
struct place_redis {
    int64_t dc_id;
    int64_t shard_id;
    struct addr addr;
    bool is_master; /* as the metadata says */
};
struct places {
    struct place_dc dcs[MIGRATION_DCS_MAX];
    size_t dc_count;
    struct place_redis *redis;
    size_t redis_count;
};
struct call;
/* Goes on with the call, perhaps at once; call->places or call->places_error is set. 'is_fresh': read anew. */
void call_with_places(struct call *, bool is_fresh, void (*go_on)(struct call *));
void places_forget(struct migration_calls *, int64_t migration_cluster_id);
void places_free_all(struct migration_calls *);

/* ---- a call ---- */
struct fence_ways;
struct check_round;
struct follow_round;

struct call {
    struct list link;
    struct migration_calls *owner;
    int refs;
    bool is_finished;
    bool is_starting;  /* inside migration_call_start: its answer waits for the loop's next turn */
    bool is_begun;     /* it may be under way somewhere */
    bool is_chained;   /* no plan asked for it: sent behind the result of another one */
    bool may_freeze;   /* of a chain's drain: it goes on */
    bool is_cut;       /* the plan says something else, its result is none */
    struct call *then; /* what the plan says, when this one is over */
    struct loop_timer answer_timer;
    int64_t started_us;
    migration_called_fn *done; /* NULL: nobody waits */
    void *arg;
    /* what it is about */
    int64_t id; /* of the migration's cluster row */
    struct migration_plan_call plan;
    int64_t cluster_id;
    char *cluster;
    char *source_dc;
    char *dest_dc;
    char *primary_dc; /* whom FOLLOW follows */
    char *follow_dc;
    int64_t source_dc_id;
    int64_t dest_dc_id;
    int64_t shard_id;
    char *shard; /* NULL: the whole cluster */
    int64_t epoch;
    enum migration_mode mode;
    bool is_disaster;
    bool is_drained;
    struct fence_saved saved;
    struct addr old_master;
    char repl_id[REPL_ID_SIZE];
    int64_t offset; /* -1 unknown */
    char **shards;  /* FOLLOW */
    size_t shard_count;
    struct addr *masters; /* PUBLISH */
    size_t master_count;
    /* on the way */
    struct migration_result result;
    struct execution_log *log;
    const struct places *places;
    char *places_error; /* NULL: none */
    void (*go_on)(struct call *);
    struct list places_link;
    struct fence_ways *ways;
    struct check_round *check;
    struct follow_round *follow;
    migration_surveyed_fn *surveyed; /* a survey, no step of a migration; NULL */
    struct shard_survey *survey;     /* all are in: on the way to its answer */
};

struct migration_calls {
    struct migration_calls_options o;
    struct migration_calls_settings settings; /* texts owned */
    struct meta_urls urls;
    struct map lanes;  /* inner DC name to struct meta_lane */
    struct map places; /* by migration cluster id */
    struct list calls;
    struct late_rewrites *late;
    int active_count;
    bool is_closed;
};

/* What every call has, whatever it is about. */
struct call *call_bare(struct migration_calls *, const struct migration_plan_call *);
void call_hold(struct call *);
/* True: it is still under way; false: it was finished before, and may be gone now. */
bool call_drop(struct call *);
/* The end: the outcome, and the log with 'server_text' (NULL: none) before it as the result's text. */
void call_finish(struct call *, enum call_outcome outcome, const char *server_text);

/* ---- what goes on by itself (migration_calls_chain.c) ---- */
/* To be started behind this result; NULL: here the plan decides. So it does in a disaster, where a step that fails is not the end. */
struct call *chain_next(const struct call *);
/* The plan says something else, 'by': what the chain of that shard has under way is not answered any more. Returns a hold or a freeze that must
 * end first, of the chain or left before; NULL: none. */
struct call *chain_cut(struct migration_calls *, const struct call *by);

/* ---- a request to a metaserver (migration_requests.c) ---- */
enum meta_answer_kind {
    META_ANSWERED,    /* 2xx, with a JSON body */
    META_EMPTY,       /* 2xx without a body: x-pipe had nothing to do */
    META_REFUSED,     /* 4xx */
    META_UNREACHABLE, /* nobody was reached: nothing happened */
    META_UNKNOWN,     /* sent, and no answer that says what happened: time-out, 5xx, garbage */
};
struct meta_answer {
    enum meta_answer_kind kind;
    int status;
    const json_t *json; /* META_ANSWERED; borrowed */
    const char *why;    /* of all others; one line */
};
typedef void meta_answer_fn(struct call *, const struct meta_answer *, uint64_t token);
struct meta_request {
    const char *method;
    const char *dc;
    const char *path;  /* behind the base address, encoded */
    json_t *take_body; /* NULL: none; freed */
    int64_t timeout_ms;
    meta_answer_fn *done;
    uint64_t token;
};
/* Holds the call until 'done', which runs once, perhaps inside; not for a call that is finished by then. */
void meta_send(struct call *, const struct meta_request *);
/* Nothing is sent any more; waits for requests that are under way. */
void meta_lanes_free(struct migration_calls *);
/* "/api/meta/<word>/<cluster>/<shard>[/<last>]"; owned by the caller. */
char *meta_path(const struct call *, const char *word, const char *shard, const char *last);
/* What the metaserver may take for it, so that its answer still comes in time. */
int64_t deadline_within(int64_t timeout_ms);

/* ---- the calls that have a file of their own ---- */
void call_check(struct call *); /* migration_calls_check.c */
void call_survey(struct call *, struct shard_survey *take_survey);
/* The end of a survey. */
void call_finish_survey(struct call *, struct shard_survey *take_survey);
void check_round_free(struct check_round *);
void call_fence(struct call *); /* migration_calls_fence.c: HOLD, FREEZE, RELEASE */
void fence_ways_free(struct fence_ways *);

#endif
