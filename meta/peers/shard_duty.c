/* shard_duty.c - see shard_duty.h. State and decisions of one shard. */
#include "meta/peers/shard_duty.h"

#include <string.h>

#include "meta/peers/shard_internal.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

#define FIRST_LOOK_MS 3000
#define ROLE_SLACK_MS 500 /* an answer is fresh for a poll, its time limit and this */

/* ---- master ---- */

static void publish_master(struct shard_duty *duty)
{
    const char *cluster = duty->base.cluster->name;
    master_board_put(duty->peer_env->board, cluster, duty->base.shard, &duty->current);
    for (size_t i = 0; i < duty->peer_count; i++) {
        dc_links_tell(duty->peer_env->links, duty->peers[i].dc, cluster, duty->base.shard, NULL);
    }
}

/* Masters, DCs, routes or an operator's word changed: earlier refusals do not count any more. */
static void look_anew(struct shard_duty *duty)
{
    duty->triggered = true;
    duty->backoff_ms = 0;
    duty->backoff_until = MONO_NEVER;
    shard_run_outdate(duty);
}

static void change_master(struct shard_duty *duty, const struct shard_node *node)
{
    log_info("master.changed", "cluster", duty->base.cluster->name, "shard", duty->base.shard,
             "gid", log_int(node->own_gid), "from",
             addr_is_none(&duty->current.addr) ? "-" : ADDR_TEXT(&duty->current.addr), "to",
             ADDR_TEXT(&node->addr));
    metric_add(&shard_master_changes, 1);
    duty->current = (struct current_master){ .addr = node->addr, .gid = node->own_gid };
    look_anew(duty);
    publish_master(duty);
}

static void note_verdict(struct shard_duty *duty, const struct master_choice *choice)
{
    enum master_verdict verdict = choice->verdict == MASTER_CHANGE ? MASTER_KEEP : choice->verdict;
    if (verdict == duty->verdict) {
        return;
    }
    bool is_alert = verdict == MASTER_SEVERAL || verdict == MASTER_BAD_GID;
    bool was_alert = duty->verdict == MASTER_SEVERAL || duty->verdict == MASTER_BAD_GID;
    if (is_alert || (was_alert && verdict == MASTER_KEEP)) {
        log_warn("master.verdict", "cluster", duty->base.cluster->name, "shard", duty->base.shard,
                 "verdict", master_verdict_text(verdict), "masters", log_int(choice->masters),
                 "silent", log_int(choice->unknown), "kept",
                 addr_is_none(&duty->current.addr) ? "-" : ADDR_TEXT(&duty->current.addr));
    }
    duty->verdict = verdict;
    duty->verdict_since = loop_now(duty->env->loop);
    if (verdict != MASTER_KEEP) {
        shard_forget_verdicts(duty);
        shard_poll_now(duty, duty->env->poll_fast_ms);
    }
}

void shard_evaluate_master(struct shard_duty *duty)
{
    struct node_fact nodes[NODES_MAX];
    bool is_first_look = loop_now(duty->env->loop) < duty->first_look_until;
    for (size_t i = 0; i < duty->node_count; i++) {
        const struct shard_node *n = &duty->nodes[i];
        nodes[i] = (struct node_fact){
            .addr = n->addr,
            .role = n->role,
            .role_at = n->role_at,
            .own_gid = n->own_gid,
            .is_untried = is_first_look && !n->was_tried,
        };
    }
    struct master_facts facts = {
        .now = loop_now(duty->env->loop),
        .fresh_ms = duty->env->poll_ms + duty->env->redis_timeout_ms + ROLE_SLACK_MS,
        .nodes = nodes,
        .count = duty->node_count,
        .current = duty->current,
    };
    struct master_choice choice;
    master_choose(&facts, &choice);
    if (choice.verdict == MASTER_CHANGE) {
        change_master(duty, &duty->nodes[choice.index]);
    }
    note_verdict(duty, &choice);
    shard_watch_master(duty, &choice);
}

struct shard_node *shard_master_node(struct shard_duty *duty)
{
    if (duty->verdict != MASTER_KEEP) {
        return NULL;
    }
    for (size_t i = 0; i < duty->node_count; i++) {
        struct shard_node *n = &duty->nodes[i];
        if (n->role == ROLE_MASTER && addr_eq(&n->addr, &duty->current.addr)) {
            return n;
        }
    }
    return NULL;
}

/* ---- peers ---- */

static int64_t uptime_now(const struct shard_duty *duty, const struct shard_node *node)
{
    if (node->server_at == MONO_NEVER || node->server.uptime_s < 0) {
        return -1;
    }
    return node->server.uptime_s + (loop_now(duty->env->loop) - node->server_at) / 1000;
}

static bool is_meta_fresh(const struct shard_duty *duty)
{
    mono_ms confirmed_at = dc_store_confirmed_at(duty->env->store);
    return mono_age(loop_now(duty->env->loop), confirmed_at) <= duty->env->meta_fresh_ms;
}

static bool is_other_node(const struct shard_duty *duty, const struct shard_node *node,
                          const struct addr *addr)
{
    for (size_t i = 0; i < duty->node_count; i++) {
        if (&duty->nodes[i] != node && addr_eq(&duty->nodes[i].addr, addr)) {
            return true;
        }
    }
    return false;
}

void shard_fill_facts(struct shard_duty *duty, const struct shard_node *node,
                      const struct crdt_info *info, struct wanted_peer *wanted,
                      struct peer_facts *ret_facts)
{
    for (size_t i = 0; i < duty->peer_count; i++) {
        const struct peer_dc *p = &duty->peers[i];
        wanted[i] = (struct wanted_peer){
            .dc = p->dc,
            .is_known = p->is_known,
            .gid = p->master.gid,
            .addr = p->master.addr,
            .is_own_replica = p->is_known && is_other_node(duty, node, &p->master.addr),
            .choice = p->pick.kind,
            .route_id = p->pick.route_id,
            .is_fallback = p->pick.is_fallback,
            .route = p->pick.route,
        };
    }
    *ret_facts = (struct peer_facts){
        .now = loop_now(duty->env->loop),
        .own_addr = node->addr,
        .version = node->server.version,
        .uptime_s = uptime_now(duty, node),
        .info = info,
        .wanted = wanted,
        .wanted_count = duty->peer_count,
        .is_meta_fresh = is_meta_fresh(duty),
        .may_remove = duty->peer_env->remove_peers,
        .removal_verdicts = duty->peer_env->removal_verdicts,
        .removal_gap_ms = duty->peer_env->removal_gap_ms,
        .kicked_gids =
            strcmp(duty->kicked_run_id, node->server.run_id) == 0 ? duty->kicked_gids : 0,
    };
    memcpy(ret_facts->removal, duty->removal, sizeof(duty->removal));
}

int shard_check_allowed(struct shard_duty *duty, struct xp_err *err)
{
    return duty_check_allowed(&duty->base, duty->env, err);
}

static bool cuts_a_link(const struct peer_plan *plan)
{
    bool cuts = false;
    for (size_t i = 0; i < plan->action_count; i++) {
        cuts |= plan->actions[i].breaks_link;
    }
    return cuts;
}

/* Why the plan must not be carried out now. */
static int check_hold(struct shard_duty *duty, const struct peer_plan *plan, struct xp_err *err)
{
    mono_ms now = loop_now(duty->env->loop);
    if (!duty->env->correct_periodically && !duty->triggered) {
        return xp_fail(err, XP_FORBIDDEN, "periodic correction is off");
    }
    if (now < duty->backoff_until) {
        return xp_fail(err, XP_FORBIDDEN, "backing off after a refusal");
    }
    int rc = shard_check_allowed(duty, err);
    if (rc != 0) {
        return rc;
    }
    if (!duty_take_budget(duty->env, cuts_a_link(plan))) {
        return xp_fail(err, XP_TOO_MANY, "budget of corrections is used up");
    }
    return 0;
}

static void note_hold(struct shard_duty *duty, const char *why)
{
    if (duty_note_hold(&duty->base, why)) {
        metric_add(&shard_corrections_held, 1);
        log_info("correction.held", "cluster", duty->base.cluster->name, "shard", duty->base.shard,
                 "why", why);
    }
}

static void correct(struct shard_duty *duty, struct shard_node *node,
                    const struct peer_facts *facts, const struct peer_plan *plan)
{
    if (duty->wrong_since == MONO_NEVER) {
        duty->wrong_since = facts->now;
    }
    struct xp_err err = { 0 };
    if (check_hold(duty, plan, &err) != 0) {
        note_hold(duty, err.msg);
        return;
    }
    note_hold(duty, NULL);
    shard_run_start(duty, (size_t)(node - duty->nodes), facts, plan);
}

void shard_evaluate_peers(struct shard_duty *duty, struct shard_node *node,
                          const struct crdt_info *info)
{
    if (node->server_at == MONO_NEVER) {
        return; /* the version is asked for in the same poll */
    }
    struct wanted_peer wanted[PEER_DCS_MAX];
    struct peer_facts facts;
    shard_fill_facts(duty, node, info, wanted, &facts);
    struct peer_plan *plan = duty->peer_env->scratch_plan;
    peer_decide(&facts, plan);
    memcpy(duty->removal, plan->removal, sizeof(duty->removal));
    duty->checked_at = facts.now;
    shard_show_verdicts(duty, plan);
    shard_watch_links(duty, &facts, plan);
    if (plan->action_count > 0 && !shard_run_is_active(duty)) {
        correct(duty, node, &facts, plan);
    } else if (plan->action_count == 0) {
        duty->wrong_since = MONO_NEVER;
        duty->triggered = false;
        duty->backoff_ms = 0;
        if (duty->run) {
            duty->run->applied = 0; /* read back as wanted */
            duty->run->is_unanswered = false;
            shard_run_rewrite(duty, node);
        }
        note_hold(duty, NULL);
    }
}

/* ---- wanted peers ---- */

static struct peer_dc *find_peer(struct shard_duty *duty, const char *dc)
{
    for (size_t i = 0; i < duty->peer_count; i++) {
        if (strcmp(duty->peers[i].dc, dc) == 0) {
            return &duty->peers[i];
        }
    }
    return NULL;
}

static void pick_routes(struct shard_duty *duty)
{
    const char *own_dc = dc_store_dc(duty->env->store);
    for (size_t i = 0; i < duty->peer_count; i++) {
        struct peer_dc *p = &duty->peers[i];
        route_table_pick(dc_store_routes(duty->env->store), duty->base.cluster, own_dc, p->dc,
                         &p->pick);
    }
}

/* Takes the DCs from the metadata; what was told of those that stay is kept. */
static void set_peers(struct shard_duty *duty)
{
    struct peer_dc old[PEER_DCS_MAX];
    size_t old_count = duty->peer_count;
    memcpy(old, duty->peers, sizeof(old));
    duty->peer_count = 0;
    for (size_t i = 0; i < duty->base.cluster->dcs.count; i++) {
        const char *dc = duty->base.cluster->dcs.items[i];
        if (text_eq(dc, dc_store_dc(duty->env->store))) {
            continue;
        }
        if (duty->peer_count == PEER_DCS_MAX) {
            log_error("shard.too_many_dcs", "cluster", duty->base.cluster->name, "ignored", dc);
            continue;
        }
        duty->peers[duty->peer_count++] = (struct peer_dc){ .dc = xstrdup(dc) };
    }
    for (size_t i = 0; i < old_count; i++) {
        struct peer_dc *same = find_peer(duty, old[i].dc);
        if (same) {
            same->is_known = old[i].is_known;
            same->master = old[i].master;
        }
        free(old[i].dc);
    }
    pick_routes(duty);
    for (size_t i = 0; i < duty->peer_count; i++) {
        if (!duty->peers[i].is_known) {
            dc_links_ask(duty->peer_env->links, duty->peers[i].dc, duty->base.cluster->name,
                         duty->base.shard);
        }
    }
}

/* ---- public ---- */

/* In the functions of the class, which get no other duty. */
static struct shard_duty *of_base(struct duty *base)
{
    return CONTAINER_OF(base, struct shard_duty, base);
}

static void close_duty(struct shard_duty *duty)
{
    duty->is_closing = true;
    loop_timer_stop(&duty->poll);
    master_board_remove(duty->peer_env->board, duty->base.cluster->name, duty->base.shard);
    shard_hide_verdicts(duty);
}

static bool duty_leave(struct duty *base, duty_quiet_fn *on_quiet, void *arg)
{
    struct shard_duty *duty = of_base(base);
    close_duty(duty);
    if (!shard_run_is_commanding(duty)) {
        return false;
    }
    duty->on_quiet = on_quiet;
    duty->quiet_arg = arg;
    return true;
}

static void duty_free(struct duty *base)
{
    struct shard_duty *duty = of_base(base);
    duty->on_quiet = NULL;
    if (!duty->is_closing) {
        close_duty(duty);
    }
    shard_nodes_free(duty);
    shard_run_free(duty);
    shard_records_free(duty);
    for (size_t i = 0; i < duty->peer_count; i++) {
        free(duty->peers[i].dc);
    }
    duty_done(&duty->base);
    free(duty);
}

static void duty_update(struct duty *base, struct cluster_meta *cluster)
{
    struct shard_duty *duty = of_base(base);
    duty_set_cluster(base, cluster);
    set_peers(duty);
    shard_nodes_set(duty);
    shard_duty_kick(duty);
}

static void duty_routes_changed(struct duty *base)
{
    struct shard_duty *duty = of_base(base);
    pick_routes(duty);
    shard_duty_kick(duty);
}

static void duty_suspend(struct duty *base, int64_t ttl_ms)
{
    struct shard_duty *duty = of_base(base);
    duty_set_suspended(&duty->base, duty->env, ttl_ms);
    if (ttl_ms <= 0) {
        shard_duty_kick(duty);
    }
}

static bool duty_master(struct duty *base, struct addr *ret_addr)
{
    *ret_addr = of_base(base)->current.addr;
    return !addr_is_none(ret_addr);
}

static json_t *duty_state(struct duty *base)
{
    return shard_state_json(of_base(base));
}

static const struct duty_class peer_class = {
    .name = "peers",
    .free = duty_free,
    .leave = duty_leave,
    .update = duty_update,
    .routes_changed = duty_routes_changed,
    .suspend = duty_suspend,
    .master = duty_master,
    .state = duty_state,
};

struct duty *shard_duty_new(void *peer_env, struct cluster_meta *cluster, const char *shard_name)
{
    struct shard_duty *duty = xcalloc(1, sizeof(*duty));
    duty->peer_env = peer_env;
    duty->env = duty->peer_env->duty;
    duty_init(&duty->base, &peer_class, cluster, shard_name);
    duty->verdict = MASTER_NONE;
    duty->verdict_since = loop_now(duty->env->loop);
    duty->first_look_until = loop_now(duty->env->loop) + FIRST_LOOK_MS;
    duty->masterless_since = MONO_NEVER;
    duty->backoff_until = MONO_NEVER;
    duty->wrong_since = MONO_NEVER;
    duty->checked_at = MONO_NEVER;
    duty->triggered = true;
    set_peers(duty);
    shard_poll_init(duty);
    shard_nodes_set(duty);
    return &duty->base;
}

struct shard_duty *shard_duty_of(struct duty *base)
{
    return base && base->class == &peer_class ? of_base(base) : NULL;
}

void shard_duty_peer_told(struct shard_duty *duty, const char *dc,
                          const struct current_master *master)
{
    struct peer_dc *p = find_peer(duty, dc);
    if (!p ||
        (p->is_known && p->master.gid == master->gid && addr_eq(&p->master.addr, &master->addr))) {
        return;
    }
    log_info("peer.master", "cluster", duty->base.cluster->name, "shard", duty->base.shard, "dc",
             dc, "gid", log_int(master->gid), "from",
             p->is_known ? ADDR_TEXT(&p->master.addr) : "-", "to", ADDR_TEXT(&master->addr));
    p->is_known = true;
    p->master = *master;
    shard_duty_kick(duty);
}

void shard_duty_kick(struct shard_duty *duty)
{
    look_anew(duty);
    shard_poll_now(duty, 0);
}

bool shard_duty_has_peer(const struct shard_duty *duty, const char *dc)
{
    for (size_t i = 0; i < duty->peer_count; i++) {
        if (strcmp(duty->peers[i].dc, dc) == 0) {
            return true;
        }
    }
    return false;
}

bool shard_duty_master(const struct shard_duty *duty, struct current_master *ret_master)
{
    if (addr_is_none(&duty->current.addr)) {
        return false;
    }
    *ret_master = duty->current;
    return true;
}
