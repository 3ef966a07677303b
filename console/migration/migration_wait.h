/* migration_wait.h - waits until migrations are over, or paused: for requests that are answered then. One read of the database a tick for all that wait,
 * none while nobody waits; no thread is held.
 *
 * Who wants to wait enters first, before anything is begun for him, and leaves when he is answered: at most 'max' are inside, one more is
 * refused. Thread: loop, but _enter and _leave: any. */
#ifndef CONSOLE_MIGRATION_MIGRATION_WAIT_H
#define CONSOLE_MIGRATION_MIGRATION_WAIT_H

#include "console/catalog/catalog.h"
#include "console/migration/migration_states.h"
#include "shared/net/worker.h"

struct migration_waits;
/* All borrowed. */
struct migration_waits *migration_waits_new(struct loop *, struct worker_pool *, struct catalog *);
void migration_waits_configure(struct migration_waits *, int64_t max);
/* Everybody who waits is answered XP_UNAVAILABLE, whoever comes later as well. */
void migration_waits_stop(struct migration_waits *);
void migration_waits_free(struct migration_waits *); /* after the pool; NULL is fine */

bool migration_waits_enter(struct migration_waits *);
void migration_waits_leave(struct migration_waits *);

/* 0: 'status' is terminal or paused. XP_TIMEOUT: the deadline has passed, it goes on. XP_NOT_FOUND: there is no such row.
 * XP_UNAVAILABLE: stopped. Once, on the loop, perhaps inside the call. */
typedef void migration_waited_fn(int rc, enum migration_status status, void *arg);
void migration_waits_add(struct migration_waits *, int64_t migration_cluster_id, mono_ms deadline,
                         migration_waited_fn *, void *arg);

#endif
