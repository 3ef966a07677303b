/* switch_plan.h - the plan of a migration of one cluster before it is made, or of what is left of one that is paused: every call and every command for every instance, in order, how
 * long writes would be refused, what speaks against it, and a text of what must hold for the plan to stay the same.
 *
 * It is no second description of a switchover: the machine's own rules (migration_decide) are driven over a row as a new migration would have
 * it, every call of theirs is answered by the foresight of the fence and of the promotion (shared/switch/foresight.h), over Redis as the survey
 * saw them. What the metaservers' duties do afterwards is foretold from the survey and the metadata, with the words that they send: who follows
 * whom (tree_commands.h, over the proxies of the route that applies), settings put back (settle_commands.h), sentinels (monitor_commands.h).
 * Not in a plan: what duties ask all the time anyway (polls, SENTINEL MASTER, looks at a fence that is kept).
 * Foretold is a world that obeys; what would be lost by a failure is not. Pure: facts in, plan out. Thread: any; owner: who has it. */
#ifndef CONSOLE_MIGRATION_SWITCH_PLAN_H
#define CONSOLE_MIGRATION_SWITCH_PLAN_H

#include "console/migration/migration_decide.h"
#include "console/migration/shard_survey.h"
#include "shared/proxy/route.h"
#include "shared/switch/monitor_commands.h"

#define PLAN_PAST_MAX  8   /* measured gaps of earlier switches that are looked at */
#define PLAN_RISKS_MAX 256 /* of a cluster; more are counted */

struct plan_dc {
    int64_t id;
    char *name; /* stored spelling */
    /* from here to the destination, once that is the primary DC */
    enum route_choice_kind route;
    char *route_words; /* of ROUTE_CHOSEN; NULL */
};
struct plan_monitor { /* who watches a shard in a DC */
    int64_t dc_id;
    int64_t shard_id;
    char *name;
    struct addr sentinels[SENTINELS_MAX];
    size_t count;
};
struct plan_shard {
    int64_t id;
    char *name;
    struct shard_survey *survey; /* NULL: not asked */
};
struct plan_instance { /* as the metadata say */
    int64_t dc_id;
    int64_t shard_id;
    struct addr addr;
    bool is_keeper;
    bool is_master;
};
struct plan_limits {
    int64_t max_lag_bytes; /* as of migration_calls_settings */
    int64_t fence_ms;
    int64_t drain_ms;
    int64_t promote_ms;
    int64_t outage_max_ms;
    int64_t drain_bytes_per_s; /* assumed: of replication between DCs */
    int64_t commit_us;         /* assumed: of one commit of the database */
    enum migration_mode mode;  /* of a migration that is asked for without one */
};
enum plan_outer { OUTER_NOBODY, OUTER_WEBHOOK, OUTER_CREDIS };

struct switch_plan_facts {
    int64_t cluster_id;
    char *cluster;
    int64_t source_dc_id;
    int64_t dest_dc_id;
    struct plan_dc dcs[MIGRATION_DCS_MAX];
    size_t dc_count;
    struct plan_shard *shards;
    size_t shard_count;
    struct plan_instance *instances; /* by DC, shard, in the order of the document */
    size_t instance_count;
    struct plan_monitor *monitors; /* by DC, shard */
    size_t monitor_count;
    enum plan_outer outer;
    enum migration_mode mode;
    enum migration_policy policy; /* of the row's event */
    struct plan_limits limits;
    /* Of a migration that was made: as it was read; 0: none was. */
    int64_t row_id;
    enum migration_status row_status;
    wall_ms row_phase_ms;
    struct migration_cluster_row *row; /* owned; it was begun and is paused: what is left; NULL */
    wall_ms now;                       /* of 'row' */
    int64_t precheck_us;               /* -1: not asked */
    bool precheck_says_no;
    char *precheck_text;
    int64_t past_gap_ms[PLAN_PAST_MAX]; /* newest first */
    size_t past_count;
};
void switch_plan_facts_free(struct switch_plan_facts *);                   /* NULL is fine */
const char *plan_dc_name(const struct switch_plan_facts *, int64_t dc_id); /* "" unknown */

/* what a step is done to */
enum plan_target {
    PLAN_HTTP, /* a request of the console */
    PLAN_REDIS,
    PLAN_KEEPER,
    PLAN_SENTINEL,
    PLAN_RECORD,   /* of the shard, in the DC's ZooKeeper */
    PLAN_DATABASE, /* of the console */
};
struct plan_step {
    enum migration_call phase; /* "hold"... */
    enum plan_target target;
    const char *dc;       /* borrowed from the facts; "" none */
    const char *shard;    /* "" the cluster */
    bool is_by_console;   /* else by the metaserver of 'dc' */
    struct addr instance; /* REDIS, KEEPER, SENTINEL */
    char *text;           /* exact command or request; owned */
    const char *rule;     /* that asks for it; static */
    bool in_gap;          /* while writes are refused */
    bool is_wait;         /* again and again, until it is as wanted */
    bool is_late;         /* nobody waits for it */
    const char *when;     /* of those: what starts it; static; NULL: right behind the step before */
};
struct plan_risk {
    char code[8]; /* "J30" of switch_judge, "K10" of switch_plan.c */
    bool is_error;
    const char *shard; /* borrowed; "" the cluster */
    char text[240];
};
struct plan_gap { /* all in us; of the slowest shard */
    int64_t calls_us;
    int calls;
    int64_t redis_us;
    int redis_round_trips;
    int64_t commits_us;
    int commits;
    int64_t drain_us;
    int64_t publish_us;
    int64_t past_ms;      /* median; -1 none */
    int64_t predicted_ms; /* the larger of the sum and the past; -1: unknown */
};
struct switch_plan {
    struct plan_step *steps;
    size_t step_count;
    struct plan_risk risks[PLAN_RISKS_MAX];
    size_t risk_count;
    size_t risks_left_out;
    enum migration_status end; /* where it would come to rest */
    char reason[512];
    bool is_disaster;
    struct plan_gap gap;
    int64_t lag_bytes; /* of the shard that is furthest behind; -1 unknown */
    int64_t drain_ms;  /* -1 unknown */
};
struct switch_plan *switch_plan_decide(const struct switch_plan_facts *); /* owned; borrows facts */
void switch_plan_free(struct switch_plan *);                              /* NULL is fine */

/* ---- switch_plan_text.c ---- */
json_t *switch_plan_json(const struct switch_plan *, bool with_steps);
void switch_plan_print(const struct switch_plan *, struct str *out); /* for golden files */
/* What must hold for the plan to be the same: direction, mode, end, commands; no offsets, no times, no waiting. Lines; owned; NULL: over PLAN_CANONICAL_MAX. */
#define PLAN_CANONICAL_MAX (16u << 20)
char *switch_plan_canonical(const struct switch_plan_facts *, const struct switch_plan *);
#define PLAN_HASH_SIZE 72 /* "sha256:" and 64 hexadecimal digits */
void switch_plan_hash(const char *text, char ret_hash[PLAN_HASH_SIZE]);
/* What differs between two canonical texts, for people: at most some lines. */
void switch_plan_differences(const char *before, const char *after, struct str *out);

#endif
