/* migration_health.h - is the machinery of migrations well? Looked at all 30 s, all 2 s while it is not (dr-switchover.md 5.2): the database, the metaserver of every DC,
 * and, where the probe cluster exists, the outer client and the shard's active keeper.
 *
 *   fails   the database cannot be written; no metaserver at all answers; the outer client refuses the probe cluster
 *   warns   some metaservers do not answer; none is configured; the result is older than stale_ms (2 min)
 * Not yet looked at: healthy, as in x-pipe. Events are refused only while it fails (and never with the switch of 3.12).
 * Thread: loop, but migration_health_get: any. */
#ifndef CONSOLE_MIGRATION_MIGRATION_HEALTH_H
#define CONSOLE_MIGRATION_MIGRATION_HEALTH_H

#include "console/catalog/catalog.h"
#include "console/migration/outer_client.h"
#include "shared/base/clock.h"
#include "shared/net/http_client.h"
#include "shared/net/worker.h"

struct migration_health;
struct migration_health_options {
    struct loop *loop;
    struct worker_pool *pool;
    struct http_client *client; /* of its own, a few threads: dead metaservers hold them */
    struct outer_client *outer; /* NULL: none */
    struct catalog *catalog;
};
struct migration_health_settings { /* may change at run time; copied */
    const char *metaservers;       /* JSON, as of the notifier */
    const char *probe;             /* "cluster1, shard1" */
    int64_t period_ms;
    int64_t stale_ms; /* a result that is older is told as a warning */
    int64_t connect_timeout_ms;
    int64_t timeout_ms;
};
struct migration_health *migration_health_new(const struct migration_health_options *);
int migration_health_configure(struct migration_health *, const struct migration_health_settings *,
                               struct xp_err *) XP_MUST_CHECK;
void migration_health_stop(struct migration_health *);
/* after pool, client and outer client; NULL is fine */
void migration_health_free(struct migration_health *);

enum health_level { HEALTH_OK, HEALTH_WARNING, HEALTH_FAIL };
struct migration_health_view {
    enum health_level level;
    char message[512]; /* "" when it is well */
    wall_ms start_ms;  /* of the last look; 0: none yet */
    int64_t database_ms;
    int64_t metaservers_ms; /* -1: not asked */
    int64_t outer_ms;       /* -1: not asked */
};
/* NULL: nobody looks; healthy. */
struct migration_health_view migration_health_get(struct migration_health *);
/* The probe cluster's name, "" none. Copied; any thread. */
void migration_health_probe(struct migration_health *, char *ret_name, size_t size);

#endif
