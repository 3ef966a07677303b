/* migration_calls.h - carries out the remote calls of migrations: metaservers, the Redis themselves where no metaserver answers, the
 * outer client (dr-switchover.md 3, 5.3, 9.2 (9)). One call of the plan is one result, whatever it takes:
 *   CHECK    the check endpoint of every DC's metaserver in parallel; switch_judge weighs them;
 *   HOLD, FREEZE, RELEASE  masterreadonly of the source's metaserver; when it cannot be reached: fence_run from here, and v2/fence through the
 *            destination's metaserver, in parallel; the first proof counts; all unreachable: OUTCOME_UNREACHABLE;
 *   DRAIN, PROMOTE  the destination's metaserver; a Java one has no drain: OUTCOME_OK, not drained, the promotion waits itself;
 *   DEMOTE, FOLLOW  changeprimarydc without masterInfo in that DC;
 *   PRECHECK, PUBLISH  the outer client, or without one at once, and publish_info says that nobody was told.
 * A metaserver of x-pipe proves nothing: what it did to the fence is proved from here where a Redis can be reached, else its word counts, with a
 * warning. Time limits from the config table. What was sent and not answered is OUTCOME_UNKNOWN.
 * A fence goes on by itself, for clients wait: behind a HOLD that is proved its DRAIN is sent, and behind that, when the source's metaserver made the
 * hold, its FREEZE; each result says whether (goes_on), and the results of the others come by themselves. A hold's intent covers all of it: one
 * release undoes it. Not in a disaster, where a drain that fails is not the end. A call of the plan for that shard cuts it: a drain is left to
 * itself, a freeze that is under way is waited for first, else it would fence behind a release; the result of what was cut is OUTCOME_NONE.
 * Each DC has a lane: threads and kept connections of its own, so that a DC that does not answer costs no other one its calls, and the call
 * after a check finds its connection open; what refuses writes goes first there (migration_lane.h). A time limit begins when the request is
 * sent. Thread: loop. */
#ifndef CONSOLE_MIGRATION_MIGRATION_CALLS_H
#define CONSOLE_MIGRATION_MIGRATION_CALLS_H

#include "console/catalog/catalog.h"
#include "console/migration/migration_decide.h"
#include "console/migration/outer_client.h"
#include "console/migration/shard_survey.h"
#include "shared/net/http_client.h"

struct migration_calls;
struct migration_calls_options {
    struct loop *loop;
    struct worker_pool *pool; /* reads addresses */
    struct catalog *catalog;
    struct outer_client *outer;
    int threads; /* of each DC: console.migration.threads, 32 */
};
struct migration_calls_settings { /* may change at run time; copied */
    const char *metaservers;      /* JSON, as of the notifier */
    const char *redis_user;
    const char *redis_password;
    int64_t connect_timeout_ms; /* 300 */
    int64_t queue_ms;      /* 30,000: a request's wait for a thread, in front of its own time */
    int64_t check_ms;      /* 2,000 */
    int64_t fence_ms;      /* 1,000: of the first way; the others have the same again */
    int64_t drain_ms;      /* 5,000 */
    int64_t promote_ms;    /* 2,000 */
    int64_t follow_ms;     /* 5,000 */
    int64_t max_lag_bytes; /* of the check, planned; 0: not looked at */
};

struct migration_calls *migration_calls_new(const struct migration_calls_options *);
/* Sends nothing more, answers nothing more. For a stop, before pools and loop end. */
void migration_calls_close(struct migration_calls *);
/* What is under way is not answered any more; waits for requests that are under way. NULL is fine. */
void migration_calls_free(struct migration_calls *);
int migration_calls_configure(struct migration_calls *, const struct migration_calls_settings *,
                              struct xp_err *) XP_MUST_CHECK;

/* 'row' is copied as far as needed. The callback runs on the loop, not inside migration_call_start, once, and once more for each result that
 * goes_on; takes the result. */
typedef void migration_called_fn(struct migration_result *take_result, int64_t migration_cluster_id,
                                 void *arg);
void migration_call_start(struct migration_calls *, const struct migration_cluster_row *row,
                          const struct migration_plan_call *, migration_called_fn *, void *arg);
/* What a CHECK asks, outside of a migration: every DC of the survey, at once, about a switch of the shard to the survey's destination. Changes
 * nothing, knows no epoch. The callback runs on the loop exactly once, not inside this call, with the answers; NULL, perhaps inside: the
 * calls are closed. */
typedef void migration_surveyed_fn(struct shard_survey *take_survey, void *arg);
void migration_survey_start(struct migration_calls *, const char *cluster, const char *shard,
                            struct shard_survey *take_survey, migration_surveyed_fn *, void *arg);
int migration_calls_active(const struct migration_calls *);
/* Nobody knows any more what the migration waits for: nothing that is under way is answered. A hold or a freeze ends first, in front of the next
 * call of its shard. */
void migration_calls_leave(struct migration_calls *, int64_t migration_cluster_id);
/* The migration is over: its addresses are not needed any more. */
void migration_calls_forget(struct migration_calls *, int64_t migration_cluster_id);

#endif
