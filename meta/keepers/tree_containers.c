/* tree_containers.c - the keepers of a one-way shard on their containers: what container_decide wants is handed to container_calls. */
#include <string.h>

#include "meta/keepers/tree_internal.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

#define LOOK_MS 1000 /* while something is dead or extra */

/* ---- what was tried ---- */

static struct container_try *find_try(const struct tree_duty *duty, const struct addr *keeper)
{
    for (size_t i = 0; i < duty->try_count; i++) {
        if (addr_eq(&duty->tries[i].addr, keeper)) {
            return &duty->tries[i];
        }
    }
    return NULL;
}

static struct container_try *try_of(struct tree_duty *duty, const struct addr *keeper)
{
    struct container_try *one = find_try(duty, keeper);
    if (!one) {
        duty->tries = xrealloc(duty->tries, duty->try_count + 1, sizeof(*duty->tries));
        one = &duty->tries[duty->try_count++];
        *one = (struct container_try){ .addr = *keeper, .tried_at = MONO_NEVER };
    }
    return one;
}

static const struct keeper_meta *keeper_of(const struct shard_meta *shard,
                                           const struct addr *keeper)
{
    for (size_t i = 0; i < shard->keepers.count; i++) {
        if (addr_eq(&shard->keepers.items[i].addr, keeper)) {
            return &shard->keepers.items[i];
        }
    }
    return NULL;
}

static bool lives(const struct tree_duty *duty, const struct addr *keeper)
{
    for (size_t i = 0; i < duty->live_count; i++) {
        if (addr_eq(&duty->live[i].addr, keeper)) {
            return true;
        }
    }
    return false;
}

/* It is as it should be: the next time it is not, it is a new matter. */
static void forget_settled(struct tree_duty *duty, const struct shard_meta *shard)
{
    size_t kept = 0;
    for (size_t i = 0; i < duty->try_count; i++) {
        const struct container_try *t = &duty->tries[i];
        bool is_settled = lives(duty, &t->addr) == (keeper_of(shard, &t->addr) != NULL);
        if (!is_settled || t->is_running) {
            duty->tries[kept++] = *t;
        }
    }
    duty->try_count = kept;
}

/* ---- calls ---- */

static void on_done(int rc, const struct xp_err *err, const struct addr *keeper, void *arg)
{
    struct tree_duty *duty = arg;
    struct container_try *one = find_try(duty, keeper);
    if (one) {
        one->is_running = false;
    }
    if (rc != 0) {
        log_warn("keeper.call_failed", "cluster", duty->base.cluster->name, "shard",
                 duty->base.shard, "keeper", ADDR_TEXT(keeper), "error", err->msg);
    }
}

static bool find_container(const struct tree_duty *duty, int64_t id, const struct addr *keeper,
                           struct addr *ret_container)
{
    const struct dc_hosts *hosts = dc_store_hosts(duty->env->store);
    return id ? dc_hosts_container(hosts, id, ret_container)
              : dc_hosts_container_at(hosts, keeper->host, ret_container);
}

static int call(struct tree_duty *duty, const struct keeper_meta *keeper, bool is_removal,
                container_done_fn *done, struct xp_err *err)
{
    struct container_call request = {
        .cluster_id = duty->base.cluster->db_id,
        .shard_id = duty_shard(&duty->base)->db_id,
        .keeper = *keeper,
        .is_removal = is_removal,
    };
    if (!find_container(duty, keeper->container_id, &keeper->addr, &request.container)) {
        return xp_fail(err, XP_NOT_FOUND,
                       "container %lld of keeper %s is not in the document: check the keeper's "
                       "container in the console",
                       (long long)keeper->container_id, ADDR_TEXT(&keeper->addr));
    }
    return container_calls_submit(duty->tree_env->containers, &request, done, duty, err);
}

static void carry_out(struct tree_duty *duty, const struct shard_meta *shard,
                      const struct container_action *action)
{
    const struct keeper_meta *known = keeper_of(shard, &action->keeper);
    struct keeper_meta extra = { .addr = action->keeper,
                                 .container_id = action->container_id,
                                 .priority = 1 };
    struct container_try *one = try_of(duty, &action->keeper);
    struct xp_err err = { 0 };
    one->tries++;
    one->tried_at = loop_now(duty->env->loop);
    one->is_running = true;
    bool is_removal = action->kind == CONTAINER_REMOVE;
    if (call(duty, known ? known : &extra, is_removal, on_done, &err) != 0) {
        on_done(err.code, &err, &action->keeper, duty);
        return;
    }
    log_info(is_removal ? "keeper.remove" : "keeper.start", "cluster", duty->base.cluster->name,
             "shard", duty->base.shard, "keeper", ADDR_TEXT(&action->keeper), "rule", action->rule,
             "try", log_int(one->tries));
}

/* ---- looking ---- */

static void note_whole(struct tree_duty *duty, const struct shard_meta *shard)
{
    bool is_whole = duty->is_election_known;
    for (size_t i = 0; is_whole && i < shard->keepers.count; i++) {
        is_whole = lives(duty, &shard->keepers.items[i].addr);
    }
    mono_ms now = loop_now(duty->env->loop);
    if (!is_whole && duty->whole_since != MONO_NEVER) {
        duty->missing_since = now;
    }
    if (!is_whole || duty->whole_since == MONO_NEVER) {
        duty->whole_since = is_whole ? now : MONO_NEVER;
    }
}

static void decide(struct tree_duty *duty, const struct shard_meta *shard)
{
    const struct tree_env *env = duty->tree_env;
    struct keeper_election election;
    tree_election(duty, &election);
    struct container_facts facts = {
        .now = loop_now(duty->env->loop),
        .shard = shard,
        .is_election_known = duty->is_election_known,
        .election = &election,
        .whole_since = duty->whole_since,
        .owned_since = duty->missing_since,
        .tries = duty->tries,
        .try_count = duty->try_count,
        .grace_ms = env->keeper_grace_ms,
        .settle_ms = env->keeper_settle_ms,
        .retry_first_ms = env->keeper_retry_first_ms,
        .retry_max_ms = env->keeper_retry_max_ms,
    };
    struct container_plan plan;
    struct xp_err err;
    container_decide(&facts, &plan);
    duty->dead = plan.dead;
    duty->extra = plan.extra;
    duty->is_container_work = plan.dead > 0 || plan.extra > 0;
    if (plan.action_count == 0 || tree_check_allowed(duty, &err) != 0) {
        return; /* the next look asks again */
    }
    for (size_t i = 0; i < plan.action_count; i++) {
        carry_out(duty, shard, &plan.actions[i]);
    }
}

void tree_containers_look(struct tree_duty *duty, bool is_change)
{
    const struct shard_meta *shard = duty_shard(&duty->base);
    mono_ms now = loop_now(duty->env->loop);
    bool is_time = duty->is_container_work && mono_age(now, duty->containers_at) >= LOOK_MS;
    if (!shard || !duty->is_election_known || duty->place == TREE_OUTSIDE ||
        (!is_change && !is_time)) {
        return;
    }
    duty->containers_at = now;
    note_whole(duty, shard);
    forget_settled(duty, shard);
    decide(duty, shard);
}

bool tree_duty_is_settled(const struct tree_duty *duty)
{
    const struct shard_meta *shard = duty_shard(&duty->base);
    bool is_whole = shard && duty->is_election_known && duty->whole_since != MONO_NEVER;
    for (size_t i = 0; is_whole && i < shard->keepers.count; i++) {
        is_whole = lives(duty, &shard->keepers.items[i].addr);
    }
    return is_whole && mono_age(loop_now(duty->env->loop), duty->whole_since) >=
                           duty->tree_env->keeper_settle_ms;
}

/* ---- the shard is gone ---- */

struct use {
    const struct addr *keeper;
    bool is_used;
};

static void find_use(struct cluster_meta *cluster, void *arg)
{
    struct use *use = arg;
    for (size_t i = 0; i < cluster->shards.count && !use->is_used; i++) {
        use->is_used = keeper_of(&cluster->shards.items[i], use->keeper) != NULL;
    }
}

static void retire_keeper(struct tree_duty *duty, const struct keeper_meta *keeper)
{
    struct use use = { .keeper = &keeper->addr };
    struct xp_err err = { 0 };
    dc_store_each(duty->env->store, find_use, &use);
    if (use.is_used) {
        log_info("keeper.kept", "cluster", duty->base.cluster->name, "shard", duty->base.shard,
                 "keeper", ADDR_TEXT(&keeper->addr), "why", "another shard has it now");
    } else if (call(duty, keeper, true, NULL, &err) != 0) {
        log_warn("keeper.not_removed", "cluster", duty->base.cluster->name, "shard",
                 duty->base.shard, "keeper", ADDR_TEXT(&keeper->addr), "error", err.msg);
    } else {
        log_info("keeper.remove", "cluster", duty->base.cluster->name, "shard", duty->base.shard,
                 "keeper", ADDR_TEXT(&keeper->addr), "rule", "retired");
    }
}

void tree_containers_retire(struct tree_duty *duty)
{
    const struct shard_meta *shard = duty_shard(&duty->base);
    for (size_t i = 0; shard && i < shard->keepers.count; i++) {
        retire_keeper(duty, &shard->keepers.items[i]);
    }
    for (size_t i = 0; shard && i < duty->live_count; i++) {
        if (!keeper_of(shard, &duty->live[i].addr)) {
            struct keeper_meta extra = { .addr = duty->live[i].addr, .priority = 1 };
            retire_keeper(duty, &extra);
        }
    }
}
