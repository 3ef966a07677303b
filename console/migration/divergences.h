/* divergences.h - what returned masters of a backup DC had beyond the new master when they were told to follow, which discards it: reported by
 * metaservers (POST /api/v2/divergences), kept for ever, shown with the switch that left it behind (lostWrites of an event) and as a list.
 * A repeated report changes nothing; one that knows more of the same history of the same Redis replaces what is there. Thread: workers. */
#ifndef CONSOLE_MIGRATION_DIVERGENCES_H
#define CONSOLE_MIGRATION_DIVERGENCES_H

#include <jansson.h>

#include "console/catalog/catalog.h"
#include "shared/base/addr.h"

#define DIVERGENCES_PAGE_MAX 1000

struct divergence { /* texts are borrowed */
    const char *dc; /* where the Redis is; inner or outer name */
    const char *cluster;
    const char *shard;
    struct addr redis;
    const char *repl_id;     /* "" not known; else letters and digits, 40 at most */
    int64_t offset;          /* -1 unknown, as those below */
    int64_t promoted_offset; /* the last byte that the new master has, too */
    int64_t bytes;           /* beyond it */
    const char *why;         /* a word: "compared" ...; 32 bytes at most */
    const char *reason;      /* a sentence; 1,024 bytes at most */
    wall_ms at;
};
struct divergence_noted {
    int64_t id;
    int64_t event_id; /* 0: no switch is known that left it behind */
    bool is_new;
};
/* XP_INVALID: a field, named; XP_NOT_FOUND: no such dc, cluster or shard. */
int divergence_record(const struct catalog *, const struct change_ctx *, const struct divergence *,
                      struct divergence_noted *ret_noted, struct xp_err *) XP_MUST_CHECK;
/* {"items":[...],"next"}, newest first, before 'before_id' (0: all), of one cluster (NULL: of all). Returns owned. */
int divergences_list(const struct catalog *, const char *cluster, int64_t before_id, int limit,
                     json_t **ret, struct xp_err *) XP_MUST_CHECK;

/* Those of one switch of a cluster: an array a shard, by its id as text. Owner: the thread that owns the connection. Returns owned. */
struct db;
int divergences_of(struct db *, int64_t migration_cluster_id, json_t **ret,
                   struct xp_err *) XP_MUST_CHECK;

#endif
