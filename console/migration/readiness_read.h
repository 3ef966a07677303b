/* readiness_read.h - which clusters can be switched, from where to where: what readiness needs of the metadata. Thread: workers; results are owned
 * by whoever asked, and may move between threads. */
#ifndef CONSOLE_MIGRATION_READINESS_READ_H
#define CONSOLE_MIGRATION_READINESS_READ_H

#include "console/catalog/catalog.h"

struct readiness_target { /* one cluster; names in stored spelling */
    int64_t id;           /* 0: no such cluster, or none that can be switched */
    char *cluster;
    int64_t held_by;     /* event that holds it; 0 none */
    char *from;          /* the active DC */
    struct names to;     /* same zone, active DCs: it could be switched there */
    struct names others; /* its DCs that it cannot be switched to */
    struct names shards; /* readiness_read_one only; at most MIGRATION_SHARDS_MAX + 1 */
};
void readiness_target_done(struct readiness_target *);

struct readiness_targets {
    struct readiness_target *items;
    size_t count;
};
void readiness_targets_done(struct readiness_targets *);
/* The next ones behind an id, ascending. */
int readiness_read_page(const struct catalog *, int64_t after_id, int limit,
                        struct readiness_targets *ret, struct xp_err *) XP_MUST_CHECK;
/* One, with its shards; ret->id 0: not there. */
int readiness_read_one(const struct catalog *, int64_t cluster_id, struct readiness_target *ret,
                       struct xp_err *) XP_MUST_CHECK;
/* The same by name. XP_NOT_FOUND: no such cluster; XP_INVALID: one of a type that is not switched. */
int readiness_read_named(const struct catalog *, const char *cluster, struct readiness_target *ret,
                         struct xp_err *) XP_MUST_CHECK;

struct readiness_changes {
    int64_t *ids; /* owned */
    size_t count;
    int64_t version; /* up to here; the one that was asked with when there was none */
};
/* Clusters that changed behind a version, oldest first; also those that are gone. */
int readiness_read_changes(const struct catalog *, int64_t after_version, int limit,
                           struct readiness_changes *ret, struct xp_err *) XP_MUST_CHECK;

#endif
