/* readiness_internal.h - between readiness.c (who is next) and readiness_look.c (one look at one cluster). Nobody else includes this.
 * Everything is the loop's, but what a job holds while it runs. */
#ifndef CONSOLE_MIGRATION_READINESS_INTERNAL_H
#define CONSOLE_MIGRATION_READINESS_INTERNAL_H

#include "console/migration/readiness.h"
#include "console/migration/readiness_read.h"
#include "shared/base/list.h"
#include "shared/base/map.h"

struct readiness_round { /* a walk over all ids */
    struct job job;      /* reads the next page */
    bool is_reading;
    struct readiness_targets page;
    int rc;
    struct xp_err err;
    size_t at;        /* in the page */
    int64_t after_id; /* the page is behind it */
    bool is_last;     /* the page is the last one of the round */
    bool is_first;    /* round since the start */
    bool is_over;     /* the next one waits for its time */
    mono_ms began;
    int64_t count; /* clusters so far */
    int64_t total; /* of the round before */
};

struct readiness_news { /* reads what changed */
    struct job job;
    bool is_reading;
    struct readiness_changes changes;
    int rc;
    struct xp_err err;
    int64_t version;      /* clusters are known up to here; -1 not yet */
    int64_t seen_version; /* of the store, when it was asked last */
    mono_ms asked_at;
};

struct readiness {
    struct readiness_options o;
    struct readiness_settings settings;
    struct loop_timer timer;
    bool is_stopped;
    int64_t tokens; /* thousandths of a question; may be in debt */
    mono_ms filled_at;
    mono_ms counted_at;
    struct readiness_round round;
    struct readiness_news news;
    struct map waiting;  /* id to struct waiting, of both lists */
    struct list changed; /* in order of their time */
    struct list again;
    struct list looks; /* under way */
    struct list ready; /* looks that would ask now */
    int active;
    bool is_pumping;
    struct map dcs; /* name to struct dc_state */
};

#define READINESS_CALL 1000 /* tokens of one question */

/* ---- readiness_look.c ---- */
/* Reads the cluster, asks, decides, puts its view on the board; in the end readiness_look_ended. */
void readiness_look_start(struct readiness *, int64_t id);
/* those that are ready ask, as long as there are tokens */
void readiness_go_on(struct readiness *);
void readiness_drop(struct readiness *); /* at the end: those that wait for tokens */
void readiness_dcs_done(struct readiness *);
void readiness_look_metrics(void);

/* ---- readiness.c ---- */
void readiness_look_ended(struct readiness *, int64_t id, bool wants_again);
void readiness_pump(struct readiness *);

#endif
