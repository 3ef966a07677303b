/* readiness_decide.h - could this cluster be switched to this DC now? Pure: the surveys of its shards are weighed one by one (a survey is large, the
 * tally is not), by the same judge as the CHECK of a migration; then the verdict follows. What is not known is UNKNOWN, never READY.
 *
 *   R10  not looked at yet                                     UNKNOWN
 *   R12  the last look is too old                              UNKNOWN   (readiness_age)
 *   R14  the DC's metaserver does not answer: once, the verdict of before stays; in two looks in a row  UNKNOWN
 *   R20  a migration event holds the cluster                   UNKNOWN   (looked at when it is over)
 *   R22  no shards, or more than can be migrated               NOT_READY
 *   R24  no DC that it could be switched to: none in the zone, or none active   NOT_READY
 *   J..  rules of switch_judge.c: an error is NOT_READY, a warning WARNING
 *
 * Two verdicts: of a planned switch, and of a disaster switch (what concerns the source, or the way from it, only warns).
 * Thread: any. */
#ifndef CONSOLE_MIGRATION_READINESS_DECIDE_H
#define CONSOLE_MIGRATION_READINESS_DECIDE_H

#include "console/migration/shard_survey.h"

enum readiness_level { READINESS_UNKNOWN, READINESS_READY, READINESS_WARNING, READINESS_NOT_READY };
#define READINESS_LEVELS 4
const char *readiness_level_text(enum readiness_level);                      /* "NOT_READY" */
bool readiness_level_from_text(const char *text, enum readiness_level *ret); /* in any case */

#define READINESS_REASONS_MAX 8
struct readiness_reason { /* one rule, however many shards it concerns */
    char code[5];         /* "J30" */
    bool is_error;
    char shard[129]; /* the first one; "" all */
    int64_t count;   /* how often it was found */
    char text[240];  /* of the first one */
};

#define READINESS_TALLY_MAX 32
struct readiness_tally { /* zeroed: nothing weighed */
    struct readiness_reason reasons[READINESS_TALLY_MAX];
    size_t count;
    int64_t shards;       /* weighed */
    bool may_not_planned; /* of any shard */
    bool may_not_disaster;
    int64_t silent_shards; /* whose destination did not answer */
    char silent_why[240];  /* of the first one */
    int64_t lag_bytes;     /* the largest that is known, plus 1; 0: of none */
};
/* 'limits': max_lag_bytes, drain_ms, bytes_per_s. */
void readiness_weigh(struct readiness_tally *, const char *shard, const struct shard_survey *,
                     const struct judge_facts *limits);

struct readiness_facts {
    const char *dc;       /* the destination; "" there is none */
    int64_t held_by;      /* event that holds the cluster; 0 none */
    int64_t shards;       /* of the cluster */
    int64_t silent_looks; /* before this one, in a row */
    const struct readiness_tally *tally;
};
struct readiness_verdict {
    enum readiness_level planned;
    enum readiness_level disaster;
    bool is_silent; /* counts as a look without an answer */
    /* nothing new is known: the verdict of before stays, unless it is too old */
    bool keeps_previous;
    struct readiness_reason reasons[READINESS_REASONS_MAX]; /* errors first */
    size_t count;
    int64_t lag_bytes; /* -1 unknown */
};
void readiness_decide(const struct readiness_facts *, struct readiness_verdict *ret);
/* R10, R12: what a verdict is worth that was looked at at 'looked_at' (0: never). True: it counts as UNKNOWN, for this reason. */
bool readiness_age(mono_ms looked_at, mono_ms now, int64_t age_max_ms,
                   struct readiness_reason *ret_reason);

#endif
