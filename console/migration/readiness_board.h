/* readiness_board.h - the readiness verdicts of all clusters, in memory: one immutable view a cluster, replaced as a whole.
 *
 * Not in the database: a verdict is worth its age, and after a restart everything is looked at anew. Bounded by 'clusters_max' and by
 * DCs x READINESS_REASONS_MAX a cluster; a cluster beyond is not shown, and counted. Verdicts that are too old are UNKNOWN whoever reads them.
 * Writers: loop. Readers: any thread; a view that was got is kept by its count. */
#ifndef CONSOLE_MIGRATION_READINESS_BOARD_H
#define CONSOLE_MIGRATION_READINESS_BOARD_H

#include <jansson.h>

#include "console/catalog/catalog.h"
#include "console/migration/readiness_decide.h"

struct readiness_item { /* one destination */
    char *to;           /* stored spelling */
    enum readiness_level planned;
    enum readiness_level disaster;
    mono_ms looked_at; /* the last look that had an answer; 0 never */
    wall_ms looked_wall;
    wall_ms since_wall; /* 'planned' is so since then */
    int64_t silent_looks;
    bool is_told_not_ready; /* in the log, and nothing since; UNKNOWN does not end it */
    int64_t lag_bytes;      /* -1 unknown */
    struct readiness_reason *reasons;
    size_t reason_count;
};
struct readiness_view { /* immutable after readiness_board_put */
    int refs;           /* of the board */
    int64_t id;
    char *cluster;
    char *from;
    int64_t shards;
    size_t count;
    struct readiness_item items[]; /* one for each DC the cluster could be switched to */
};
/* One reference, of the caller; items are zeroed. Copies the names. */
struct readiness_view *readiness_view_new(int64_t id, const char *cluster, const char *from,
                                          size_t count);
/* Of a cluster that nobody has looked at: one item for each of 'to', or one that there is none. */
struct readiness_view *readiness_view_unknown(int64_t id, const char *cluster, const char *from,
                                              const struct names *to);
void readiness_view_unref(struct readiness_view *); /* NULL is fine */
const struct readiness_item *readiness_view_find(const struct readiness_view *,
                                                 const char *to); /* NULL */
/* As it is now; the reasons are borrowed from 'item' or from 'own_reason'. */
struct readiness_shown {
    enum readiness_level planned;
    enum readiness_level disaster;
    const struct readiness_reason *reasons;
    size_t reason_count;
};
struct readiness_shown readiness_show(const struct readiness_item *, mono_ms now,
                                      int64_t age_max_ms, struct readiness_reason *own_reason);

struct readiness_board;
struct readiness_board *readiness_board_new(size_t clusters_max);
void readiness_board_free(struct readiness_board *);
void readiness_board_configure(struct readiness_board *, int64_t age_max_ms);

/* Loop. Takes the reference. False: the board is full, it was not taken up. */
bool readiness_board_put(struct readiness_board *, struct readiness_view *take);
void readiness_board_remove(struct readiness_board *, int64_t cluster_id);
/* Removes what has an id in (after, before) and is not in 'ids' (ascending): gone since. */
void readiness_board_keep(struct readiness_board *, int64_t after, int64_t before,
                          const int64_t *ids, size_t count);

/* Any thread. A reference, or NULL. */
struct readiness_view *readiness_board_get(struct readiness_board *, int64_t cluster_id);
struct readiness_counts {
    int64_t by_level[READINESS_LEVELS]; /* of (cluster, DC), planned, as of now */
    int64_t clusters;
    int64_t oldest_ms; /* age of the oldest verdict that counts; 0 none */
};
struct readiness_counts readiness_board_count(struct readiness_board *, mono_ms now);

struct readiness_query {
    const char *cluster; /* part of the name, in any case; NULL all */
    const char *from;    /* DCs, inner names in any case; NULL all */
    const char *to;
    bool has_level;
    enum readiness_level level; /* of a planned switch */
    int64_t after_id;
    int limit; /* clusters of a page */
};
#define READINESS_PAGE_MAX 1000
/* {"items":[{"cluster","clusterId","from","to","verdict","disasterVerdict","since","checkedAt","ageMs","shards","lagBytes","reasons":[...]}],
 * "next":id|null,"counts":{...}}. Returned owned. 'outer' may be NULL. */
json_t *readiness_board_list(struct readiness_board *, const struct readiness_query *,
                             const struct dc_alias *outer);
/* The same items of one view. */
json_t *readiness_view_items(struct readiness_board *, const struct readiness_view *,
                             const struct dc_alias *outer);

#endif
