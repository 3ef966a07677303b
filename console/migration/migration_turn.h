/* migration_turn.h - one transaction of the engine: outcomes in, transitions and intents out (design 2; dr-switchover.md 9.2 (3)).
 *
 * Results of a fence that went on by itself (migration_calls.h) are taken where the plan comes to them, in the same turn: their intents are
 * in the timeline, and nothing is sent for them.
 * For each cluster of the turn: load the rows, apply its results and its ask, decide until nothing moves, write rows, cluster status,
 * active DC and timeline, give back the calls whose intents are now committed. One store_change for the whole turn when metadata changes (cluster
 * status, active DC), else one store_bookkeep. An error of any kind leaves everything as it was: the engine repeats the same
 * turn. After XP_TIMEOUT (perhaps committed) the items are marked as resumed, so that intents of which nobody knows are not waited for.
 * A row with a higher epoch than ours is dropped: XP_CONFLICT of that item; one with a lower epoch becomes ours. Follow-ups end when a newer
 * migration of the cluster exists, the cluster is deleted or the DC has left it. Thread: worker. */
#ifndef CONSOLE_MIGRATION_MIGRATION_TURN_H
#define CONSOLE_MIGRATION_MIGRATION_TURN_H

#include "console/catalog/catalog.h"
#include "console/migration/migration_decide.h"

struct migration_settings {   /* may change at run time */
    enum migration_mode mode; /* of requests without one */
    int64_t outage_max_ms;
    int64_t outage_target_ms; /* of the engine's gates; 0: none */
    int64_t gather_ms; /* the first answer of a cluster's shards waits for the others; 0: never */
    int64_t expire_ms;
    struct retry_limits retry;
};

struct turn_item {
    int64_t migration_cluster_id;
    bool is_resumed;
    enum migration_ask ask;
    const char *actor;                /* of the ask; NULL: the turn's */
    struct migration_result *results; /* owned by the item */
    size_t result_count;
    /* out */
    struct migration_cluster_row row; /* as committed; owned */
    struct migration_plan_call *calls;
    size_t call_count;
    bool is_over;    /* terminal, and nobody is left to follow */
    wall_ms wake_at; /* look again then without an event; 0: never */
    int rc;          /* of the ask, or why it was dropped; err_text */
    char err_text[240];
    char rules[64]; /* of the transitions, in order: "G32 G40"; "" none */
};
struct migration_turn {
    const struct catalog *catalog;
    const struct migration_settings *settings;
    int64_t epoch;
    const char *actor; /* of the change log */
    struct turn_item *items;
    size_t count;
};
int migration_turn_run(struct migration_turn *, struct xp_err *) XP_MUST_CHECK;
void turn_item_done(struct turn_item *);

#endif
