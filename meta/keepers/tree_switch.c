/* tree_switch.c - what a switchover of the primary DC (meta/primary/shard_switch.h) asks of a one-way shard, and tells it. */
#include <stdio.h>

#include "meta/keepers/tree_internal.h"
#include "shared/base/mem.h"

#include "shared/base/banned.h"

/* The first moment that it is seen, its upstream is being asked for: it is given that long to be known. */
#define STRAY_GRACE_MS 250

/* A master in a backup DC that this plan leaves as it is: what it is told to write is lost, so somebody must keep it from that. */
void tree_tell_strays(struct tree_duty *duty, const struct tree_facts *f,
                      const struct tree_plan *plan)
{
    struct xp_err err;
    bool is_asked = duty->tree_env->on_stray && duty->place == TREE_BACKUP;
    for (size_t i = 0; is_asked && i < f->redis_count; i++) {
        const struct tree_node *n = &f->nodes[i];
        if (!tree_node_is_fresh(f, n) || n->role.kind != ROLE_KIND_MASTER ||
            plan->rows[i].verdict == TREE_WRONG || tree_check_allowed(duty, &err) != 0) {
            continue;
        }
        if (mono_age(f->now, n->link_since) < STRAY_GRACE_MS) {
            tree_poll_now(duty, STRAY_GRACE_MS);
        } else {
            duty->tree_env->on_stray(&duty->base, &n->addr, duty->env->arg);
        }
    }
}

/* ---- what a Redis that is to follow has of its own ---- */

#define HISTORY_SOON_MS  5
#define HISTORY_FRESH_MS 1000

bool tree_is_discarded(const struct tree_member *m)
{
    const struct tree_duty *duty = m->duty;
    return duty->tree_env->may_discard && duty->place == TREE_BACKUP && !m->node.is_keeper &&
           m->node.role_at != MONO_NEVER && addr_is_none(&m->node.role.master) &&
           m->node.role.kind != ROLE_KIND_UNKNOWN;
}

int tree_check_discard(struct tree_member *m, struct xp_err *err)
{
    struct tree_duty *duty = m->duty;
    if (!tree_is_discarded(m)) {
        return 0;
    }
    mono_ms now = loop_now(duty->env->loop);
    if (!m->history || mono_age(now, m->history_at) > HISTORY_FRESH_MS) {
        m->is_history_wanted = true;
        tree_poll_now(duty, HISTORY_SOON_MS);
        return xp_fail(err, XP_CONFLICT, "what %s has of its own is not read yet",
                       ADDR_TEXT(&m->node.addr));
    }
    struct tree_discard discard = { .redis = m->node.addr,
                                    .is_master = m->node.role.kind == ROLE_KIND_MASTER,
                                    .own = m->history,
                                    .own_at = m->history_at,
                                    .point = &duty->told_history };
    int rc = duty->tree_env->may_discard(&duty->base, &discard, duty->env->arg, err);
    if (rc != 0) {
        m->is_history_wanted = true;
        tree_poll_now(duty, duty->env->poll_fast_ms);
        if (!duty->told_history.repl_id[0]) {
            tree_ask_upstream(duty);
        }
    }
    return rc;
}

void tree_duty_look(struct tree_duty *duty)
{
    tree_look_anew(duty);
    tree_poll_now(duty, 0);
    if (duty->monitor) {
        sentinel_monitors_kick(duty->tree_env->monitors, duty->monitor);
    }
}

void tree_duty_leave_sentinels(struct tree_duty *duty, int64_t ms)
{
    duty->sentinels_at = loop_now(duty->env->loop) + ms;
}

void tree_duty_appoint(struct tree_duty *duty, const struct addr *master)
{
    duty->appointed = *master;
    tree_duty_look(duty);
}

static bool is_right(const struct tree_duty *duty, const struct tree_member *m)
{
    const struct tree_node *n = &m->node;
    if (n->role.kind == ROLE_KIND_MASTER) {
        return duty->place == TREE_PRIMARY && addr_eq(&n->addr, &duty->source);
    }
    return m->shown == TREE_OK && !addr_is_none(&n->role.master);
}

static void note_why(struct tree_progress *progress, const struct tree_member *m)
{
    if (!progress->why[0]) {
        (void)snprintf(progress->why, sizeof(progress->why), "%s is %s", ADDR_TEXT(&m->node.addr),
                       m->shown < 0 ? "not seen yet"
                                    : tree_verdict_text((enum tree_verdict)m->shown));
    }
}

static bool is_silent(const struct tree_member *m)
{
    return m->node.role_at == MONO_NEVER && m->node.was_tried;
}

void tree_duty_progress(const struct tree_duty *duty, struct tree_progress *ret_progress)
{
    *ret_progress = (struct tree_progress){ 0 };
    if (addr_is_none(&duty->source)) {
        (void)snprintf(ret_progress->why, sizeof(ret_progress->why),
                       "the head of the primary DC is not known [new master null]");
    }
    for (size_t i = 0; i < duty->redis_count; i++) {
        const struct tree_member *m = duty->members[i];
        if (is_silent(m)) {
            continue;
        }
        ret_progress->living++;
        if (!m->is_unread && is_right(duty, m)) {
            ret_progress->right++;
        } else {
            note_why(ret_progress, m);
        }
    }
    if (duty->active >= 0) {
        const struct tree_member *m = duty->members[duty->redis_count + (size_t)duty->active];
        if (m->is_unread || m->shown != TREE_OK) {
            note_why(ret_progress, m);
        }
    }
}

bool tree_duty_active_keeper(const struct tree_duty *duty, struct addr *ret_addr,
                             bool *ret_is_linked, int64_t *ret_offset)
{
    if (duty->active < 0) {
        return false;
    }
    const struct tree_node *n = &duty->members[duty->redis_count + (size_t)duty->active]->node;
    *ret_addr = n->addr;
    bool is_seen = n->role_at != MONO_NEVER;
    *ret_is_linked = is_seen && n->role.link == ROLE_LINK_CONNECTED;
    *ret_offset = is_seen ? n->role.offset : -1;
    return true;
}

int tree_duty_living_keepers(const struct tree_duty *duty)
{
    return (int)duty->live_count;
}
