/* migration_plans.h - the plans of several clusters that one request is about, with one hash over all of them; and whether a hash that the
 * request quotes still holds. Facts are gathered by plan_maker.h, a plan is made by switch_plan.h. Thread: workers. */
#ifndef CONSOLE_API_MIGRATION_PLANS_H
#define CONSOLE_API_MIGRATION_PLANS_H

#include "console/api/request.h"
#include "console/migration/plan_maker.h"

/* What a body says of its plan: members plan_hash, dry_run and dry_run_too of 'owner'. null is refused: "absent" would act for real, unplanned. */
#define PLAN_FIELDS(owner)                                                                         \
    { .name = "planHash",                                                                          \
      .type = JF_STRING,                                                                           \
      .offset = offsetof(owner, plan_hash),                                                        \
      .flags = JF_NOT_NULL },                                                                      \
        { .name = "dryRun",                                                                        \
          .type = JF_CUSTOM,                                                                       \
          .offset = offsetof(owner, dry_run),                                                      \
          .flags = JF_NOT_NULL,                                                                    \
          .decode = decode_tri },                                                                  \
    {                                                                                              \
        .name = "dry_run", .type = JF_CUSTOM, .offset = offsetof(owner, dry_run_too),              \
        .flags = JF_NOT_NULL, .decode = decode_tri                                                 \
    }

struct planned_cluster {
    const char *cluster;             /* borrowed */
    const char *refusal;             /* borrowed; why it has no plan; NULL */
    struct switch_plan_facts *facts; /* owned; NULL: it has no plan */
    struct switch_plan *plan;        /* owned; NULL: not made (yet) */
};
struct migration_plans {
    struct planned_cluster *items;
    size_t count;
    struct switch_plan_facts **asked; /* those that are there, for plan_maker_survey; borrowed */
    size_t asked_count;
    int64_t shards; /* of all of them */
    char hash[PLAN_HASH_SIZE];
    char *refusal; /* the quoted plan does not hold any more: what differs */
};
void migration_plans_done(struct migration_plans *);
struct planned_cluster *migration_plans_add(struct migration_plans *, const char *cluster);
/* Its facts, for the survey. Takes them. */
void migration_plans_ask(struct migration_plans *, struct planned_cluster *,
                         struct switch_plan_facts *take_facts);
/* After the survey. Without a quoted hash (a dry run) the plan is remembered, so that what differs can be told later. XP_TOO_LARGE: no hash
 * over all of it. */
int migration_plans_decide(const struct http_req *, struct migration_plans *, enum migration_policy,
                           const char *quoted_hash, struct xp_err *) XP_MUST_CHECK;
/* In a transaction, or a read: the metadata are still those of the plans. XP_CONFLICT. */
int migration_plans_verify(const struct migration_plans *, struct db *,
                           struct xp_err *) XP_MUST_CHECK;
/* 409 with what differs. */
void migration_plans_refuse(const struct http_req *, const struct migration_plans *,
                            struct http_resp *);
/* "planHash" of a body: XP_INVALID, XP_UNAVAILABLE (nobody makes plans here). NULL is fine. */
int migration_plans_check_hash(const struct http_req *, const char *hash,
                               struct xp_err *) XP_MUST_CHECK;

#endif
