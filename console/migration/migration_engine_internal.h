/* migration_engine_internal.h - what the files of the engine share: the migrations it looks after, their events, what has come for them.
 *
 * Everything is the loop's, but what a job holds while it runs. Nobody but migration_engine*.c includes this. */
#ifndef CONSOLE_MIGRATION_MIGRATION_ENGINE_INTERNAL_H
#define CONSOLE_MIGRATION_MIGRATION_ENGINE_INTERNAL_H

#include "console/migration/migration_engine.h"
#include "console/migration/migration_gate.h"
#include "shared/base/list.h"
#include "shared/base/map.h"
#include "shared/net/waker.h"

#define TURN_ITEMS_MAX  128 /* one transaction; more wait for the next one */
#define TURN_OTHERS_MAX 16  /* of those not in an outage while others are: a short turn */

struct ask { /* owner: whose list it is in; the sender until it is delivered */
    struct loop_msg msg;
    struct list link;
    struct migration_engine *engine;
    int64_t event_id;
    int64_t id; /* 0: the event */
    enum migration_ask what;
    char *actor;
    migration_asked_fn *done; /* NULL: the engine's own */
    void *arg;
    bool was_looked_for; /* the rows were read anew since it came */
};

struct event {
    int64_t id;
    enum migration_policy policy;
    bool is_started;
    int64_t begun_count;   /* clusters that are, or were, beyond Initiated */
    int64_t success_count; /* the canary has passed */
    int64_t rows;          /* in the engine */
    struct list asks;      /* to start it */
};

struct mig { /* one migration that is not over; in order of (event, cluster id) */
    struct list link;
    int64_t id;
    int64_t cluster_id;
    char *cluster;
    struct event *event;
    enum migration_status status; /* as committed */
    bool is_resumed;              /* not looked at since the start */
    bool wants_look;
    bool in_turn;
    bool has_slot;
    struct list asks;
    struct migration_result *results; /* for the next turn */
    size_t result_count;
    mono_ms first_result_at; /* of those */
    int active_calls;
    wall_ms wake_at; /* 0 never */
    wall_ms woken_for;
    /* of a turn that failed for one of its clusters: its turns are its own until one is good */
    bool is_suspect;
    int failures; /* turns in a row that failed for it alone */
    mono_ms retry_at;
    wall_ms held_at; /* earliest of its shards; 0: nothing is held */
    /* as of the last turn */
    int64_t source_dc_id;
    int64_t dest_dc_id;
    int64_t shard_count;
    bool is_disaster; /* asked for: nothing is left to be kept short */
    bool is_inside;   /* the gate of its two DCs */
    mono_ms entered_at;
    int64_t follows_waiting;
};

struct dc_pair { /* a way between two DCs */
    struct migration_gate gate;
    bool is_wanted; /* somebody waits to enter */
};

struct migration_engine {
    struct migration_engine_options o;
    struct migration_settings settings;
    int64_t epoch; /* 0: not known yet */
    struct map by_id;
    struct list migs;
    struct map events;
    struct map pairs;  /* by both DCs, of struct dc_pair */
    struct list inbox; /* asks for which the rows are not known yet */
    struct waker *waker;
    struct loop_timer timer;
    int slots;    /* in use */
    int looks;    /* jobs that look at what is over */
    bool is_busy; /* a load or a turn is under way */
    bool wants_load;
    bool is_stopped;
    int failures; /* jobs in a row that failed for all */
    mono_ms retry_at;
    bool was_suspect; /* the last turn was that of a suspect */
};

/* ---- migration_engine_pick.c: who is next; nothing here reads a clock or talks to anybody ---- */
/* between the first fence and publication or return */
bool status_is_outage(enum migration_status status);
/* Gives slots to clusters of started events whose turn it is: their asks are in their lists then. */
void start_waiting(struct migration_engine *);
/* After the event was asked for: its canary gets the ask, or all get it and it is answered. */
void event_was_started(struct migration_engine *, struct event *);
/* The migrations of the next turn, at most 'max' into ret; those in an outage first. */
size_t pick_migs(struct migration_engine *, mono_ms now, struct mig **ret, size_t max);
/* Results of this one wait: it has no slot, and none is free; or they end its check, and too many others refuse writes; or for others of its
 * shards. Takes the slot, and enters the gate, where it can. */
bool must_wait(struct migration_engine *, struct mig *, mono_ms now);
/* How long results of shards wait for those of others; 0: not (any more). */
int64_t gather_left_ms(const struct migration_engine *, const struct mig *, mono_ms now);
void settle_slot(struct migration_engine *, struct mig *);
/* Leaves the gate, if it is inside: writes are accepted again, or for long not. */
void leave_gate(struct migration_engine *, struct mig *, mono_ms now);
/* How long nobody else may enter because this one is inside; INT64_MAX: it keeps nobody out. */
int64_t keeps_out_ms(const struct migration_engine *, const struct mig *, mono_ms now);

/* ---- migration_engine_load.c: reading, on workers ---- */
struct loaded_row {
    int64_t id;
    int64_t event_id;
    int64_t cluster_id;
    char *cluster;
    enum migration_status status;
};

struct loaded_event {
    int64_t id;
    enum migration_policy policy;
    bool is_started;
    int64_t begun_count;
    int64_t success_count;
};

struct load_job {
    struct job job;
    struct migration_engine *engine;
    int64_t epoch; /* 0: to be found */
    struct loaded_row *rows;
    size_t count, room;
    struct loaded_event *events;
    size_t event_count, event_room;
    int rc;
    struct xp_err err;
};

void load_run(struct job *); /* on a worker */
void load_free(struct load_job *);
/* Answers an ask for something that is over, or is not there, from the database. Takes the ask. */
void look_for(struct migration_engine *, struct ask *);

/* ---- asks ---- */
void ask_free(struct ask *);
void ask_refuse(struct ask *take, enum xp_code code, const char *why);
struct ask *ask_own(struct migration_engine *, struct mig *, enum migration_ask what);
void ask_answer(struct ask *take, int rc, const struct xp_err *err);

/* ---- migration_engine_report.c: log lines and numbers ---- */
void report_register(void);
void report_turn(const struct migration_engine *, int64_t duration_us, size_t items, int rc);
/* Before mig->status is replaced. */
void report_row(struct mig *, const struct turn_item *);
void report_result(struct mig *, const struct migration_result *);
/* A canary that failed, or waits, keeps the others of its event waiting. */
void report_canary(const struct mig *);
void report_gauges(const struct migration_engine *);

#endif
