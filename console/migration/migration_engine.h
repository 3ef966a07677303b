/* migration_engine.h - runs migrations: asks and outcomes are collected, a worker makes a turn of them (migration_turn.h), the calls it committed
 * are sent (migration_calls.h), their results make the next turn. One turn at a time, with whatever has come by then: under load a turn carries many
 * clusters with one commit.
 *
 * Owner of all unfinished migrations of this database: at the start it raises the epoch of each (store's owner lock keeps a second console
 * out) and resumes it. Limits: 'parallel' clusters of all events between the first fence and the publication; the others wait in
 * order of (event, cluster id). Policy: canary starts the lowest cluster id and the others after its Success; a canary that pauses or
 * fails leaves them waiting, visibly; all: at once, within the limit. A paused cluster is touched on request only. Follow-ups go on after Success
 * with back-off until confirmed. A turn that fails (disk) is repeated with back-off; nothing is sent meanwhile.
 * Fault points: migration_before_commit, migration_after_commit, migration_before_CALL, migration_after_CALL for each call.
 * Thread: loop; the asks: any thread through migration_engine_ask. */
#ifndef CONSOLE_MIGRATION_MIGRATION_ENGINE_H
#define CONSOLE_MIGRATION_MIGRATION_ENGINE_H

#include "console/migration/migration_calls.h"
#include "console/migration/migration_turn.h"

struct migration_engine;
struct migration_engine_options {
    struct loop *loop;
    struct worker_pool *pool;
    struct catalog *catalog;
    struct migration_calls *calls;
    int parallel; /* console.migration.parallel, 64 */
};
struct migration_engine *
migration_engine_new(const struct migration_engine_options *); /* loads and resumes by itself */
void migration_engine_configure(struct migration_engine *, const struct migration_settings *);
/* begins nothing new; idle when the turn under way is over */
void migration_engine_stop(struct migration_engine *);
bool migration_engine_is_idle(const struct migration_engine *);
/* Clusters that have a slot: between the check and the publication. Loop. */
int migration_engine_active(const struct migration_engine *);
void migration_engine_free(struct migration_engine *);

/* A new event was stored: take it up (does not start it). Any thread. */
void migration_engine_wake(struct migration_engine *);
/* Answered when the ask is committed, or refused: on the loop, once. migration_cluster_id 0: the event (process only: its policy). Copies. */
typedef void migration_asked_fn(int rc, const struct xp_err *err, void *arg);
void migration_engine_ask(struct migration_engine *, int64_t event_id, int64_t migration_cluster_id,
                          enum migration_ask ask, const char *actor, migration_asked_fn *,
                          void *arg);

#endif
