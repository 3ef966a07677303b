/* migration_plans.c - see migration_plans.h. */
#include "console/api/migration_plans.h"

#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

#define PLAN_TEXT_MAX   (64u << 20)
#define DIFFERENCES_MAX 4096

void migration_plans_done(struct migration_plans *plans)
{
    for (size_t i = 0; i < plans->count; i++) {
        switch_plan_facts_free(plans->items[i].facts);
        switch_plan_free(plans->items[i].plan);
    }
    free(plans->items);
    free(plans->asked);
    free(plans->refusal);
    *plans = (struct migration_plans){ 0 };
}

struct planned_cluster *migration_plans_add(struct migration_plans *plans, const char *cluster)
{
    plans->items = xrealloc(plans->items, plans->count + 1, sizeof(*plans->items));
    struct planned_cluster *item = &plans->items[plans->count++];
    *item = (struct planned_cluster){ .cluster = cluster };
    return item;
}

void migration_plans_ask(struct migration_plans *plans, struct planned_cluster *item,
                         struct switch_plan_facts *take_facts)
{
    item->facts = take_facts;
    plans->asked =
        xrealloc(plans->asked, plans->asked_count + 1, sizeof(struct switch_plan_facts *));
    plans->asked[plans->asked_count++] = take_facts;
    plans->shards += (int64_t)take_facts->shard_count;
}

static char *differences(const struct http_req *req, const char *quoted_hash, const char *now)
{
    AUTO_FREE char *before = plan_maker_recall(api_context(req)->plans.maker, quoted_hash);
    struct str why = STR_INIT(DIFFERENCES_MAX);
    str_puts(&why, "planHash: the plan does not hold any more: ");
    if (before) {
        switch_plan_differences(before, now, &why);
    } else {
        str_puts(&why, "what differs is not known, the plan of then is not kept (any more); ask "
                       "for a dry run");
    }
    return str_take(&why);
}

int migration_plans_decide(const struct http_req *req, struct migration_plans *plans,
                           enum migration_policy policy, const char *quoted_hash,
                           struct xp_err *err)
{
    const struct plan_port *port = &api_context(req)->plans;
    AUTO_STR struct str text = STR_INIT(PLAN_TEXT_MAX);
    str_printf(&text, "policy %s\n", migration_policy_text(policy));
    for (size_t i = 0; i < plans->count; i++) {
        struct planned_cluster *item = &plans->items[i];
        if (!item->facts) {
            str_printf(&text, "cluster %s is not accepted: %s\n", item->cluster, item->refusal);
            continue;
        }
        item->plan = port->decide(item->facts);
        AUTO_FREE char *canonical = switch_plan_canonical(item->facts, item->plan);
        if (!canonical) {
            return xp_fail(err, XP_TOO_LARGE,
                           "planHash: the plan of cluster %.128s is too long to be hashed",
                           item->cluster);
        }
        str_puts(&text, canonical);
    }
    if (text.overflow) {
        return xp_fail(err, XP_TOO_LARGE,
                       "planHash: these %zu plans are longer than %u MiB together; name fewer "
                       "clusters",
                       plans->count, PLAN_TEXT_MAX >> 20);
    }
    switch_plan_hash(str_text(&text), plans->hash);
    if (!quoted_hash) {
        plan_maker_remember(port->maker, plans->hash, str_text(&text));
    } else if (!text_eq(plans->hash, quoted_hash)) {
        plans->refusal = differences(req, quoted_hash, str_text(&text));
    }
    return 0;
}

int migration_plans_verify(const struct migration_plans *plans, struct db *db, struct xp_err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < plans->asked_count; i++) {
        rc = plan_facts_verify(db, plans->asked[i], err);
    }
    return rc;
}

void migration_plans_refuse(const struct http_req *req, const struct migration_plans *plans,
                            struct http_resp *resp)
{
    envelope_problem(req, resp,
                     &(struct problem){ .code = XP_CONFLICT,
                                        .detail = plans->refusal,
                                        .key = "planHash",
                                        .take_value = json_string(plans->hash) });
}

int migration_plans_check_hash(const struct http_req *req, const char *hash, struct xp_err *err)
{
    if (!hash) {
        return 0;
    }
    if (!text_has_prefix(hash, "sha256:") || strlen(hash) != PLAN_HASH_SIZE - 1) {
        return xp_fail(err, XP_INVALID, "planHash: it is no hash of a plan, \"sha256:...\"");
    }
    return api_context(req)->plans.maker
               ? 0
               : xp_fail(err, XP_UNAVAILABLE, "planHash: this console makes no plans");
}
