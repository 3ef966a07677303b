/* dc_diff.h - what a new document of the DC would change, and which of it is held back: pure decisions
 * (metaserver.md 5.3; design D9).
 *
 * Clusters are compared by dbId, field by field (cluster_meta_eq). Additions are never held: onboarding must not freeze the
 * DC. What takes away is counted apart: clusters removed, clusters that lose a shard, a Redis, a keeper or a DC, and
 * clusters whose data would go direct instead of through proxies. Over the limit, or when a document would leave nothing
 * of several clusters, that whole group is held until an operator accepts it once. Thread: any; the results hold references on the clusters. */
#ifndef META_DCMETA_DC_DIFF_H
#define META_DCMETA_DC_DIFF_H

#include <stdbool.h>
#include <stddef.h>

#include "shared/model/dc_meta.h"

enum dc_change_kind { DC_ADDED, DC_REMOVED, DC_MODIFIED };

struct dc_change {
    enum dc_change_kind kind;
    struct cluster_meta *before; /* one reference; NULL when added */
    struct cluster_meta *after;  /* one reference; NULL when removed */
    bool removes;                /* the whole cluster goes, and it had shards */
    bool shrinks;                /* loses a shard, an instance or a DC */
    /* its own fields (organization, type, designated routes) take a route from a link */
    bool goes_direct;
    bool is_held; /* set by dc_brake */
};

/* A cluster of the new document that cannot be used, and why. */
struct dc_problem {
    char *cluster; /* owned, at most DC_PROBLEM_NAME_MAX bytes */
    char *text;    /* owned */
};

#define DC_PROBLEMS_KEPT    200 /* of one document; the number of all is in 'unusable' */
#define DC_PROBLEM_NAME_MAX 128

struct dc_diff {
    struct dc_change *changes;
    size_t count;
    int clusters_before; /* with shards, these two */
    int removed;
    int shrunk;
    int added;
    int modified; /* shrinking ones not included */
    int unusable; /* clusters of the new document with a problem: kept as they were */
    struct dc_problem *problems;
    size_t problem_count;
    bool routes_changed;
    int downgraded; /* (cluster, other DC) pairs that would go from a route to direct, for whatever reason */
};

/* 'current_dc' is needed for the routes. Neither document is changed. Free with dc_diff_done. */
void dc_diff_make(const struct dc_meta *before, const struct dc_meta *after, const char *current_dc,
                  struct dc_diff *ret_diff);
void dc_diff_done(struct dc_diff *);

struct brake_limits {
    int removals;     /* clusters removed or shrunk by one document */
    int downgrades;   /* pairs going direct by one document */
    bool is_accepted; /* an operator accepted the next document once */
};

struct brake_verdict {
    bool removals_held;
    bool routes_held; /* and the changes that take a route from a link by themselves */
    bool is_accepted; /* by an operator: also an older version may be applied */
    int held;         /* changes marked is_held */
};

/* Marks the changes that are held back. */
void dc_brake(struct dc_diff *diff, const struct brake_limits *limits,
              struct brake_verdict *ret_verdict);

#endif
