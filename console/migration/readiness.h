/* readiness.h - keeps the readiness verdicts current: goes round all clusters that can be switched, at a bounded rate, and asks what a CHECK asks
 * (migration_survey_start); readiness_decide weighs it, readiness_board keeps it. Changes nothing anywhere.
 *
 * Order: clusters whose metadata changed or whose migration ended, 'settle_ms' after it; the round (the first one at once, the later ones spread
 * over 'round_ms'); clusters that are not ready or did not answer, again after a tenth of a round. At most 'parallel' clusters at a time, one shard of
 * each, and 'calls_per_s' questions; a tenth of that while migrations hold writes back (is_busy). A DC whose metaserver did not answer three times in a row is asked
 * once in a tenth of a round only, at most every 10 s. Clusters that an event holds are not asked about.
 * Threads and connections are its own: those of 'calls', and one that reads the database ('pool').
 * Owner: loop; the board: any thread. */
#ifndef CONSOLE_MIGRATION_READINESS_H
#define CONSOLE_MIGRATION_READINESS_H

#include "console/migration/migration_calls.h"
#include "console/migration/readiness_board.h"

struct readiness;
struct readiness_options {
    struct loop *loop;
    struct worker_pool *pool;
    struct catalog *catalog;
    struct migration_calls *calls; /* not those of the engine */
    struct readiness_board *board;
    int parallel;               /* console.dr.readiness.parallel */
    bool (*is_busy)(void *arg); /* NULL: never */
    void *arg;
};
struct readiness_settings { /* may change at run time */
    int64_t round_ms;       /* 0: nobody is looked at */
    int64_t calls_per_s;
    int64_t age_max_ms;
    int64_t settle_ms;
    int64_t max_lag_bytes; /* as of the CHECK */
    int64_t drain_ms;
};

struct readiness *readiness_new(const struct readiness_options *);
void readiness_configure(struct readiness *, const struct readiness_settings *);
/* Asks nothing more: the daemon is ending. What is under way ends without a verdict. */
void readiness_stop(struct readiness *);
void readiness_free(struct readiness *); /* after pool and calls are closed; NULL is fine */

#endif
