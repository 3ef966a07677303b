/* failover_decide.c - see failover_decide.h.
 *
 * First row that fits; rules are stable, with gaps:
 *   F10 not the primary DC                     fine     F40 migrating                              lost
 *   F12 no master was ever seen                fine     F42 sentinels look after it                lost
 *   F14 the master answers as master           fine     F44 mode is report                         lost
 *   F16 another Redis answers as master        fine     F46 promoted a moment ago                  lost
 *   F20 the master answers, not as master      watch    F50 answers are missing, patience lasts    watch
 *   F22 the master is not in the document      watch    F52 two replication ids, equally many      lost
 *   F24 not silent for long enough             watch    F54 no replica may be promoted             lost
 *   F26 the active keeper still follows it     watch    F60 the most advanced replica              promote
 *   F28 no replica of it answers               watch    F70 an old master is back                  demote
 *   F30 a replica's link is not down           watch
 *
 * Two masters, of which the other has followers and was not left behind by a promotion of ours, are no "old master that came back":
 * which one has the data is for people to say (F14).
 */
#include "meta/primary/failover_decide.h"

#include <string.h>

#include "shared/base/mem.h"

#include "shared/base/banned.h"

/* INFO says 0 or 1 where there is no data that belongs to the replication id: never synchronised, or broken off while the old
 * data was already gone. */
#define NO_DATA_OFFSET 1

const char *failover_verdict_text(enum failover_verdict verdict)
{
    static const char *const texts[] = {
        [FAILOVER_FINE] = "fine",       [FAILOVER_WATCH] = "watch",   [FAILOVER_LOST] = "lost",
        [FAILOVER_PROMOTE] = "promote", [FAILOVER_DEMOTE] = "demote",
    };
    return texts[verdict];
}

static struct failover_plan plan_of(enum failover_verdict verdict, const char *rule,
                                    const char *why)
{
    return (struct failover_plan){ .verdict = verdict, .node = SIZE_MAX, .rule = rule, .why = why };
}

static bool answers_as(const struct failover_node *node, enum role_kind kind)
{
    return node->is_fresh && node->role.kind == kind;
}

static const struct failover_node *node_at(const struct failover_facts *f, const struct addr *addr)
{
    for (size_t i = 0; i < f->count; i++) {
        if (addr_eq(&f->nodes[i].addr, addr)) {
            return &f->nodes[i];
        }
    }
    return NULL;
}

static bool is_lost_master(const struct failover_facts *f, const struct failover_node *node)
{
    return addr_eq(&node->addr, &f->master);
}

/* Somebody is seen to pull from 'addr'. */
static bool is_followed(const struct failover_facts *f, const struct addr *addr)
{
    for (size_t i = 0; i < f->count; i++) {
        const struct failover_node *node = &f->nodes[i];
        if (answers_as(node, ROLE_KIND_REPLICA) && node->role.link == ROLE_LINK_CONNECTED &&
            addr_eq(&node->role.master, addr)) {
            return true;
        }
    }
    return addr_eq(&f->active_keeper_master, addr);
}

/* The current master answers as master. */
static struct failover_plan decide_with_master(const struct failover_facts *f)
{
    bool may_demote = f->mode == FAILOVER_AUTO && !f->has_sentinels && !f->is_migrating &&
                      is_followed(f, &f->master);
    for (size_t i = 0; may_demote && i < f->count; i++) {
        const struct failover_node *node = &f->nodes[i];
        bool is_left_behind = f->promoted_at != MONO_NEVER || !is_followed(f, &node->addr);
        if (answers_as(node, ROLE_KIND_MASTER) && !is_lost_master(f, node) && is_left_behind) {
            struct failover_plan plan = plan_of(
                FAILOVER_DEMOTE, "F70", "an old master is back, the current one is followed");
            plan.node = i;
            return plan;
        }
    }
    return plan_of(FAILOVER_FINE, "F14", "the master answers");
}

static bool has_another_master(const struct failover_facts *f)
{
    for (size_t i = 0; i < f->count; i++) {
        if (answers_as(&f->nodes[i], ROLE_KIND_MASTER)) {
            return true;
        }
    }
    return false;
}

/* Chained behind another replica that answers: its link says nothing about the master. */
static bool is_chained(const struct failover_facts *f, const struct failover_node *node)
{
    const struct failover_node *upstream = node_at(f, &node->role.master);
    return upstream && upstream != node && answers_as(upstream, ROLE_KIND_REPLICA);
}

static bool is_link_down(enum role_link link)
{
    return link == ROLE_LINK_NONE || link == ROLE_LINK_CONNECT || link == ROLE_LINK_CONNECTING ||
           link == ROLE_LINK_HANDSHAKE;
}

/* What the replicas say: F28, F30, or verdict LOST. */
static struct failover_plan ask_replicas(const struct failover_facts *f)
{
    size_t down = 0;
    for (size_t i = 0; i < f->count; i++) {
        const struct failover_node *node = &f->nodes[i];
        if (!answers_as(node, ROLE_KIND_REPLICA) || is_chained(f, node)) {
            continue;
        }
        if (!is_link_down(node->role.link)) {
            return plan_of(FAILOVER_WATCH, "F30",
                           "the master is silent, but a replica's link is not down");
        }
        down++;
    }
    return down > 0
               ? plan_of(FAILOVER_LOST, "", "")
               : plan_of(FAILOVER_WATCH, "F28", "the master is silent, no replica of it answers");
}

/* No Redis answers as master. WATCH with its rule, or LOST. */
static struct failover_plan judge_loss(const struct failover_facts *f)
{
    const struct failover_node *master = node_at(f, &f->master);
    if (!master) {
        return plan_of(FAILOVER_WATCH, "F22", "the master is not in the document");
    }
    if (master->is_fresh) {
        return plan_of(FAILOVER_WATCH, "F20", "the master answers, but not as master");
    }
    if (master->silent_since == MONO_NEVER || f->now - master->silent_since < f->lost_ms) {
        return plan_of(FAILOVER_WATCH, "F24", "the master is not silent for long enough");
    }
    if (addr_eq(&f->active_keeper_master, &f->master)) {
        return plan_of(FAILOVER_WATCH, "F26",
                       "the master is silent, but the active keeper follows it");
    }
    return ask_replicas(f);
}

static bool is_info_known(const struct failover_node *node)
{
    return answers_as(node, ROLE_KIND_REPLICA) && node->repl_id[0] && node->priority >= 0 &&
           node->repl_offset >= 0;
}

static bool is_everyone_known(const struct failover_facts *f)
{
    for (size_t i = 0; i < f->count; i++) {
        if (!is_lost_master(f, &f->nodes[i]) && !is_info_known(&f->nodes[i])) {
            return false;
        }
    }
    return true;
}

static size_t count_of_id(const struct failover_facts *f, const char *repl_id)
{
    size_t count = 0;
    for (size_t i = 0; i < f->count; i++) {
        count += is_info_known(&f->nodes[i]) && strcmp(f->nodes[i].repl_id, repl_id) == 0;
    }
    return count;
}

/* The replication id that most have; "" when nobody told one, NULL when two have equally many. */
static const char *common_id(const struct failover_facts *f)
{
    const char *best = "";
    size_t best_count = 0;
    bool is_tied = false;
    for (size_t i = 0; i < f->count; i++) {
        const struct failover_node *node = &f->nodes[i];
        size_t count = is_info_known(node) ? count_of_id(f, node->repl_id) : 0;
        if (count > best_count) {
            best = node->repl_id;
            best_count = count;
            is_tied = false;
        } else if (count > 0 && count == best_count && strcmp(best, node->repl_id) != 0) {
            is_tied = true;
        }
    }
    return is_tied ? NULL : best;
}

static bool is_candidate(const struct failover_node *node, const char *repl_id)
{
    return is_info_known(node) && node->priority > 0 && node->repl_offset > NO_DATA_OFFSET &&
           node->role.link != ROLE_LINK_SYNC && strcmp(node->repl_id, repl_id) == 0;
}

static struct failover_plan choose(const struct failover_facts *f)
{
    const char *repl_id = common_id(f);
    if (!repl_id) {
        return plan_of(FAILOVER_LOST, "F52",
                       "the replicas are split between two histories of equal weight");
    }
    const struct failover_node *best = NULL;
    for (size_t i = 0; i < f->count; i++) {
        const struct failover_node *node = &f->nodes[i];
        if (!is_lost_master(f, node) && is_candidate(node, repl_id) &&
            (!best || node->repl_offset > best->repl_offset)) {
            best = node;
        }
    }
    if (!best) {
        return plan_of(FAILOVER_LOST, "F54",
                       "no replica that answers has data and a priority above 0");
    }
    struct failover_plan plan = plan_of(FAILOVER_PROMOTE, "F60", "the most advanced replica");
    plan.node = (size_t)(best - f->nodes);
    return plan;
}

static struct failover_plan decide_lost(const struct failover_facts *f)
{
    if (f->is_migrating) {
        return plan_of(FAILOVER_LOST, "F40", "the master is lost; the cluster is migrating");
    }
    if (f->has_sentinels) {
        return plan_of(FAILOVER_LOST, "F42", "the master is lost; its sentinels promote");
    }
    if (f->mode == FAILOVER_REPORT) {
        return plan_of(FAILOVER_LOST, "F44",
                       "the master is lost; meta.primary.failover is 'report'");
    }
    if (mono_age(f->now, f->promoted_at) < f->again_ms) {
        return plan_of(FAILOVER_LOST, "F46", "the master is lost; one was promoted a moment ago");
    }
    int64_t lost_for_ms = f->now - node_at(f, &f->master)->silent_since - f->lost_ms;
    if (!is_everyone_known(f) && lost_for_ms < f->patience_ms) {
        return plan_of(FAILOVER_WATCH, "F50", "the master is lost; waiting for every replica");
    }
    return choose(f);
}

void failover_decide(const struct failover_facts *f, struct failover_plan *ret_plan)
{
    xp_check(f->nodes || f->count == 0);
    const struct failover_node *master = node_at(f, &f->master);
    if (f->place != TREE_PRIMARY) {
        *ret_plan = plan_of(FAILOVER_FINE, "F10", "not the primary DC");
    } else if (addr_is_none(&f->master)) {
        *ret_plan = plan_of(FAILOVER_FINE, "F12", "no master was ever seen");
    } else if (master && answers_as(master, ROLE_KIND_MASTER)) {
        *ret_plan = decide_with_master(f);
    } else if (has_another_master(f)) {
        *ret_plan = plan_of(FAILOVER_FINE, "F16", "another Redis answers as master");
    } else {
        struct failover_plan plan = judge_loss(f);
        *ret_plan = plan.verdict == FAILOVER_LOST ? decide_lost(f) : plan;
    }
}
