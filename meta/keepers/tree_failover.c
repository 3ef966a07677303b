/* tree_failover.c - a one-way shard of the primary DC whose master is lost: alerts, and what failover_decide wants is carried out. */
#include <string.h>

#include "meta/keepers/tree_internal.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"

#include "shared/base/banned.h"

#define AGAIN_MS 60000 /* after a promotion by us, no other for so long */

static bool has_sentinels(const struct tree_duty *duty)
{
    const struct shard_meta *shard = duty_shard(&duty->base);
    return shard && shard->sentinel_id &&
           dc_hosts_sentinels(dc_store_hosts(duty->env->store), shard->sentinel_id);
}

static struct failover_node node_of(const struct tree_member *m)
{
    struct failover_node node = {
        .addr = m->node.addr,
        .is_fresh = m->node.role_at != MONO_NEVER,
        .role = m->node.role,
        .silent_since = m->node.silent_since,
        .link_since = m->node.link_since,
        .priority = -1,
        .repl_offset = -1,
    };
    if (m->failover) {
        memcpy(node.repl_id, m->failover->repl_id, sizeof(node.repl_id));
        node.priority = m->failover->priority;
        node.repl_offset = m->failover->repl_offset;
    }
    return node;
}

static struct addr followed_by_active(const struct tree_duty *duty)
{
    struct addr none = { 0 };
    if (duty->active < 0) {
        return none;
    }
    const struct tree_node *n = &duty->members[duty->redis_count + (size_t)duty->active]->node;
    bool is_connected = n->role_at != MONO_NEVER && n->role.link == ROLE_LINK_CONNECTED;
    return is_connected ? n->role.master : none;
}

static void decide(struct tree_duty *duty, struct failover_plan *ret_plan)
{
    struct failover_node nodes[TREE_REDIS_MAX];
    for (size_t i = 0; i < duty->redis_count; i++) {
        nodes[i] = node_of(duty->members[i]);
    }
    struct addr none = { 0 };
    struct failover_facts facts = {
        .now = loop_now(duty->env->loop),
        .mode = duty->tree_env->failover,
        .place = duty->place,
        .has_sentinels = has_sentinels(duty),
        .is_migrating = duty->base.cluster->is_migrating,
        .master = duty->is_master_seen ? duty->source : none,
        .active_keeper_master = followed_by_active(duty),
        .nodes = nodes,
        .count = duty->redis_count,
        .promoted_at = duty->promoted_at,
        .lost_ms = duty->tree_env->failover_lost_ms,
        .patience_ms = duty->tree_env->failover_patience_ms,
        .again_ms = AGAIN_MS,
    };
    failover_decide(&facts, ret_plan);
}

/* What was read while the loss was only suspected says nothing about the next one. */
static void drop_info(struct tree_duty *duty)
{
    for (size_t i = 0; i < duty->member_count; i++) {
        free(TAKE(duty->members[i]->failover));
    }
}

static void tell_lost(struct tree_duty *duty)
{
    if (!duty->is_lost_told) {
        duty->is_lost_told = true;
        metric_add(&tree_masters_lost, 1);
        log_warn("master.lost", "cluster", duty->base.cluster->name, "shard", duty->base.shard,
                 "master", ADDR_TEXT(&duty->source), "rule", duty->failover.rule, "why",
                 duty->failover.why, "next",
                 duty->failover.verdict == FAILOVER_PROMOTE
                     ? "the most advanced replica is promoted"
                     : "nothing is promoted by itself; see meta.primary.failover");
    }
}

static void tell_found(struct tree_duty *duty)
{
    if (duty->is_lost_told) {
        duty->is_lost_told = false;
        metric_add(&tree_masters_lost, -1);
        log_info("master.found", "cluster", duty->base.cluster->name, "shard", duty->base.shard,
                 "master", ADDR_TEXT(&duty->source));
    }
}

void tree_failover_look(struct tree_duty *duty)
{
    enum failover_verdict before = duty->failover.verdict;
    decide(duty, &duty->failover);
    switch (duty->failover.verdict) {
    case FAILOVER_FINE:
        if (before != FAILOVER_FINE) {
            drop_info(duty);
        }
        tell_found(duty);
        break;
    case FAILOVER_LOST:
    case FAILOVER_PROMOTE:
        tell_lost(duty);
        break;
    case FAILOVER_WATCH:
        if (before == FAILOVER_FINE) {
            tree_poll_now(duty, 0);
        }
        break;
    case FAILOVER_DEMOTE:
        tell_found(duty);
        break;
    }
}

bool tree_failover_is_asking(const struct tree_duty *duty)
{
    return duty->failover.verdict == FAILOVER_WATCH || duty->failover.verdict == FAILOVER_PROMOTE ||
           (duty->failover.verdict == FAILOVER_LOST && duty->tree_env->failover == FAILOVER_AUTO);
}

/* After a promotion of ours: who did not hear of it at once, and still follows the one that was lost. */
static bool is_left_behind(const struct tree_duty *duty)
{
    bool may_be = duty->tree_env->failover == FAILOVER_AUTO && !has_sentinels(duty) &&
                  !addr_is_none(&duty->lost_master) && duty->is_master_seen && duty->masters == 1 &&
                  !addr_eq(&duty->lost_master, &duty->source);
    for (size_t i = 0; may_be && i < duty->redis_count; i++) {
        const struct tree_member *m = duty->members[i];
        if (m->node.role_at != MONO_NEVER && m->node.role.kind == ROLE_KIND_REPLICA &&
            addr_eq(&m->node.role.master, &duty->lost_master) &&
            loop_now(duty->env->loop) >= m->backoff_until) {
            return true;
        }
    }
    return false;
}

bool tree_failover_act(struct tree_duty *duty)
{
    bool is_move =
        duty->failover.verdict == FAILOVER_PROMOTE || duty->failover.verdict == FAILOVER_DEMOTE;
    if (!is_move && !is_left_behind(duty)) {
        return false;
    }
    struct xp_err err = { 0 };
    if (tree_check_hold(duty, &err) != 0) {
        tree_note_hold(duty, err.msg);
    } else if (is_move) {
        metric_add(&tree_promotions, duty->failover.verdict == FAILOVER_PROMOTE);
        tree_run_failover(duty, &duty->failover);
    } else {
        tree_run_repoint(duty);
    }
    return true;
}

void tree_failover_forget(struct tree_duty *duty)
{
    tell_found(duty);
    drop_info(duty);
    duty->failover = (struct failover_plan){ .verdict = FAILOVER_FINE, .rule = "", .why = "" };
}
