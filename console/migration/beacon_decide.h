/* beacon_decide.h - what a monitor's request to move a cluster away from a DC leads to (dr-switchover.md 5.4, 8.1): one table of rules, first match.
 *
 * Pure: no I/O, no clock. Facts come from beacon_facts.h, what is decided is carried out by console/api/api_beacon.c. DCs are outer names
 * throughout, compared in any case. Thread: any. */
#ifndef CONSOLE_MIGRATION_BEACON_DECIDE_H
#define CONSOLE_MIGRATION_BEACON_DECIDE_H

#include "console/catalog/lookup.h"
#include "console/migration/migration_states.h"

struct beacon_group { /* the Redis of a shard in a DC, as a monitor looks at them */
    char *name;       /* "shard1+jq" */
    char *dc;
    char *az;           /* where all of them stand; NULL, "": not told, or not one */
    struct names nodes; /* "10.0.0.1:6379" */
    bool is_down;       /* of a reported one */
};
struct beacon_groups {
    struct beacon_group *items;
    size_t count;
};
void beacon_groups_done(struct beacon_groups *);

struct beacon_dc { /* of the cluster */
    char name[NAME_MAX_BYTES + 1];
    int64_t zone_id;
    bool is_usable; /* not taken out of use as a DC */
    /* to each DC, in the order of the facts (dc_relations.h) */
    int32_t distances[DCS_PER_CLUSTER_MAX];
};

struct beacon_facts {
    bool is_bi; /* asked for a DC out of client routing, not for a switch */
    /* the request */
    const char *cluster;
    bool is_forced;
    const char *target;                   /* NULL: none named */
    const struct beacon_groups *reported; /* with outer DC names */
    const struct names *failover;         /* names of groups that are to be left */
    const struct names *available;        /* DCs that the monitor holds fit; none named: all */
    /* the console's own */
    bool is_auto_allowed;
    const char *unhealthy; /* why the machinery of migrations is not well, and that counts; NULL */
    bool is_found;
    bool is_type_ok; /* the cluster's type can do what is asked */
    int64_t cluster_id;
    const struct beacon_groups *own;
    const struct beacon_dc *dcs;
    size_t dc_count;
    const char *active; /* "" none */
    bool is_locked;     /* its status is not Normal */
    struct beacon_running {
        int64_t event_id; /* that holds the lock; 0 none */
        int64_t id;       /* of its migration_cluster_tbl row; 0: there is none */
        bool is_over;
        const char *from;
        const char *to;
    } running;
};

enum beacon_action {
    BEACON_ANSWER,   /* nothing is done: code and msg */
    BEACON_CREATE,   /* an event to 'to', in 'mode'; then as BEACON_CONTINUE */
    BEACON_CONTINUE, /* process the running one, wait */
    BEACON_EXCLUDE,  /* 'dcs' out of client routing */
};
enum { BEACON_DONE = 0, BEACON_FAILED = 1, BEACON_SKIP = -1 };
struct beacon_verdict {
    enum beacon_action action;
    const char *rule; /* "B10"... */
    const char *why;  /* static, for logs */
    int code;         /* of BEACON_ANSWER */
    char msg[640];
    const char *to; /* borrowed from the facts */
    enum migration_mode mode;
    const char *dcs[DCS_PER_CLUSTER_MAX];
    size_t dc_count;
};
void beacon_decide(const struct beacon_facts *, struct beacon_verdict *ret_verdict);
/* The event that was to be made met another active DC: somebody was faster. */
void beacon_just_finished(const char *cluster, const char *active, struct beacon_verdict *);
/* What a caller is told when a migration rests in this status. */
void beacon_at_rest(const char *cluster, enum migration_status status, struct beacon_verdict *);

#endif
