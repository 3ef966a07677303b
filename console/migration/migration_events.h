/* migration_events.h - events are made here, with their locks, and read here: what REST and pages show (dr-switchover.md 1, 5;
 * console-api.md 3.11). Running them is the engine's. Texts of refusals are those of the reference. Thread: workers. */
#ifndef CONSOLE_MIGRATION_MIGRATION_EVENTS_H
#define CONSOLE_MIGRATION_MIGRATION_EVENTS_H

#include "console/catalog/catalog.h"
#include "console/migration/migration_rows.h"

struct event_result;
struct event_request {
    const char *from_dc; /* inner or outer name */
    const char *to_dc;   /* NULL or "": chosen */
    const char *const *clusters;
    size_t count;
    bool is_all; /* no names: every cluster whose active DC is from_dc */
    enum migration_mode mode;
    enum migration_policy policy;
    const char *operator_name; /* "api_call", the user of a page, "Beacon" */
    const char *tag;
    bool is_dry_run;
    /* In the transaction that made an event, as its last part (not of a dry run, not when nothing was made); a failure undoes all. NULL: none.
     * 'result' has no idx yet: it is the change's. */
    int (*on_made)(const struct change *, const struct event_result *, void *arg, struct xp_err *);
    void *on_made_arg;
};
enum fail_reason {
    FAIL_NONE,
    FAIL_SYSTEM_UNHEALTHY,
    FAIL_NOT_FOUND,
    FAIL_NOT_SUPPORTED,
    FAIL_ALREADY_NOT_REQUESTED,
    FAIL_ALREADY_MIGRATING,
    FAIL_OTHERS
};
const char *fail_reason_text(enum fail_reason reason); /* NULL for FAIL_NONE */
struct event_cluster_result {
    char *cluster;
    char *from_dc; /* outer name; NULL */
    char *to_dc;
    char *msg; /* NULL */
    enum fail_reason reason;
};
struct event_result {
    int64_t event_id; /* -1: none was made */
    struct event_cluster_result *items;
    size_t count;
    int64_t idx;
};
void event_result_done(struct event_result *);
/* One transaction: lock every acceptable cluster, one event for all of them (5.1). A cluster that lost the race for its lock is ALREADY_MIGRATING
 * with the winner's id, the others go on (F24). */
int migration_event_create(const struct catalog *, const struct change_ctx *,
                           const struct event_request *, struct event_result *ret,
                           struct xp_err *) XP_MUST_CHECK;

/* From the pages: by ids, all of them or none (XP_INVALID; XP_LOCKED: one of them is migrating). */
struct event_pick {
    int64_t cluster_id;
    int64_t source_dc_id;
    int64_t dest_dc_id;
};
struct event_picks {
    const struct event_pick *items;
    size_t count;
    enum migration_mode mode;
    enum migration_policy policy;
    const char *operator_name;
    const char *tag;
};
int migration_event_create_picked(const struct catalog *, const struct change_ctx *,
                                  const struct event_picks *, int64_t *ret_event_id,
                                  struct xp_err *) XP_MUST_CHECK;

struct status_row {
    int64_t migration_cluster_id;
    int64_t cluster_id;
    char *cluster;
    char *from_dc;
    char *to_dc;
    enum migration_status status;
    char *reason;
    bool is_unfenced;
    int64_t lost_bytes;
};
struct status_rows {
    struct status_row *items;
    size_t count;
};
void status_rows_done(struct status_rows *);
int migration_status_list(const struct catalog *, int64_t event_id, struct status_rows *ret,
                          struct xp_err *) XP_MUST_CHECK;

struct event_filter {
    const char *cluster;
    const char *operator_name;
    const char *type;
    bool without_tests;
    int64_t page;
    int64_t size;
};
/* Ready JSON bodies of 5.5, of 3.11.5 and of v2. Returned owned. */
int migration_events_page(const struct catalog *, const struct event_filter *, json_t **ret,
                          struct xp_err *) XP_MUST_CHECK;
int migration_event_detail(const struct catalog *, int64_t event_id, json_t **ret,
                           struct xp_err *) XP_MUST_CHECK;
int migration_history(const struct catalog *, int64_t from_s, int64_t to_s,
                      const char *const *clusters, size_t count, bool is_v2, json_t **ret,
                      struct xp_err *) XP_MUST_CHECK;
int migration_progress(const struct catalog *, int64_t hours, json_t **ret,
                       struct xp_err *) XP_MUST_CHECK;
/* v2: event with its clusters, shards, steps, timeline, follow-ups, lost-write report. XP_NOT_FOUND. */
int migration_event_v2(const struct catalog *, int64_t event_id, json_t **ret,
                       struct xp_err *) XP_MUST_CHECK;
/* Newest first; after_id: the "next" of the page before, 0 the first. */
int migration_events_v2(const struct catalog *, int64_t after_id, int limit, json_t **ret,
                        struct xp_err *) XP_MUST_CHECK;
/* Finds the row of (event, cluster id) or (ticket, cluster name); XP_NOT_FOUND with the reference's text. */
int migration_find(const struct catalog *, int64_t event_id, int64_t cluster_id,
                   const char *cluster_name, int64_t *ret_migration_cluster_id,
                   struct xp_err *) XP_MUST_CHECK;

#endif
