/* tree_duty.c - see tree_duty.h. Facts and decisions of one shard. */
#include "meta/keepers/tree_duty.h"

#include <string.h>

#include "meta/keepers/tree_internal.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

#define FIRST_LOOK_MS 3000
/* an answer is fresh for the polls till the next, its time limit and this */
#define ROLE_SLACK_MS   500
#define REPORT_AGAIN_MS 60000

/* ---- facts ---- */

void tree_election(const struct tree_duty *duty, struct keeper_election *ret_election)
{
    *ret_election = (struct keeper_election){ .count = duty->live_count,
                                              .active = duty->active,
                                              .unreadable = duty->unreadable,
                                              .ignored = duty->ignored };
    for (size_t i = 0; i < duty->live_count; i++) {
        ret_election->keepers[i] = duty->live[i];
    }
}

const struct live_keeper *tree_active(const struct tree_duty *duty)
{
    return duty->active >= 0 ? &duty->live[duty->active] : NULL;
}

void tree_facts_fill(struct tree_duty *duty, struct tree_node *nodes,
                     struct keeper_election *election, struct tree_facts *ret_facts)
{
    const struct tree_env *env = duty->tree_env;
    for (size_t i = 0; i < duty->member_count; i++) {
        nodes[i] = duty->members[i]->node;
        nodes[i].route_sent = duty->members[i]->route;
    }
    tree_election(duty, election);
    *ret_facts = (struct tree_facts){
        .now = loop_now(duty->env->loop),
        .fresh_ms = KEEPER_EVERY * duty->env->poll_ms + duty->env->redis_timeout_ms + ROLE_SLACK_MS,
        .place = duty->place,
        .nodes = nodes,
        .redis_count = duty->redis_count,
        .node_count = duty->member_count,
        .is_election_known = duty->is_election_known,
        .election = election,
        .shard = duty_shard(&duty->base),
        .source = duty->source,
        .told = duty->told,
        .told_offset = duty->told_offset,
        .relay = duty->relay,
        .appointed = duty->appointed,
        .route_kind = duty->route_kind,
        .route_words = duty->route_words,
        .sync_patience_ms = env->sync_patience_ms,
        .relay_silent_ms = env->relay_silent_ms,
        .relay_link_ms = env->relay_link_ms,
        .relay_lag_bytes = env->relay_lag_bytes,
        .replica_priority = env->replica_priority,
    };
}

static bool names_keepers(const struct tree_duty *duty)
{
    const struct shard_meta *shard = duty_shard(&duty->base);
    return shard && shard->keepers.count > 0;
}

/* Nothing is decided before everybody had his say: after a gain nothing is remembered (D7). */
static bool is_look_over(struct tree_duty *duty)
{
    if (!duty->is_first_look) {
        return true;
    }
    if (names_keepers(duty) && !duty->is_election_known) {
        return false;
    }
    bool may_wait = loop_now(duty->env->loop) < duty->first_look_until;
    for (size_t i = 0; may_wait && i < duty->member_count; i++) {
        if (!duty->members[i]->node.was_tried) {
            return false;
        }
    }
    duty->is_first_look = false;
    return true;
}

/* ---- source ---- */

static void note_source_verdict(struct tree_duty *duty, const struct source_choice *choice)
{
    enum source_verdict verdict = choice->verdict == SOURCE_CHANGE ? SOURCE_KEEP : choice->verdict;
    duty->masters = choice->masters;
    if (verdict == duty->source_verdict) {
        return;
    }
    bool is_alert = verdict == SOURCE_SEVERAL || verdict == SOURCE_LOOP;
    bool was_alert = duty->source_verdict == SOURCE_SEVERAL || duty->source_verdict == SOURCE_LOOP;
    if (is_alert || was_alert) {
        log_warn("source.verdict", "cluster", duty->base.cluster->name, "shard", duty->base.shard,
                 "verdict", source_verdict_text(verdict), "rule", choice->rule, "masters",
                 log_int(choice->masters), "silent", log_int(choice->silent), "kept",
                 addr_is_none(&duty->source) ? "-" : ADDR_TEXT(&duty->source));
    }
    duty->source_verdict = verdict;
}

static void change_source(struct tree_duty *duty, const struct source_choice *choice)
{
    log_info("source.changed", "cluster", duty->base.cluster->name, "shard", duty->base.shard,
             "place", tree_place_text(duty->place), "rule", choice->rule, "from",
             addr_is_none(&duty->source) ? "-" : ADDR_TEXT(&duty->source), "to",
             ADDR_TEXT(&choice->addr));
    metric_add(&tree_source_changes, 1);
    duty->source = choice->addr;
    duty->is_master_seen = false;
    tree_look_anew(duty);
    if (!addr_is_none(&duty->appointed)) {
        tree_poll_now(duty, duty->env->poll_fast_ms); /* backup DCs wait for its history */
    }
    if (duty->monitor) {
        sentinel_monitors_kick(duty->tree_env->monitors, duty->monitor);
    }
}

static bool is_seen_master(const struct tree_facts *facts, const struct addr *addr)
{
    for (size_t i = 0; i < facts->redis_count; i++) {
        const struct tree_node *n = &facts->nodes[i];
        if (addr_eq(&n->addr, addr)) {
            return tree_node_is_fresh(facts, n) && n->role.kind == ROLE_KIND_MASTER;
        }
    }
    return false;
}

static void choose_source(struct tree_duty *duty, struct tree_facts *facts)
{
    struct source_choice choice;
    source_choose(facts, &choice);
    if (choice.verdict == SOURCE_CHANGE) {
        change_source(duty, &choice);
    }
    note_source_verdict(duty, &choice);
    facts->source = duty->source;
    duty->is_master_seen |= duty->place == TREE_PRIMARY && is_seen_master(facts, &duty->source);
}

/* ---- what others are told ---- */

static int64_t source_offset(const struct tree_duty *duty)
{
    for (size_t i = 0; i < duty->redis_count; i++) {
        const struct tree_node *n = &duty->members[i]->node;
        if (addr_eq(&n->addr, &duty->source)) {
            return n->role_at == MONO_NEVER ? -1 : n->role.offset;
        }
    }
    return duty->place == TREE_BACKUP ? duty->told_offset : -1;
}

static struct repl_history source_history(const struct tree_duty *duty)
{
    for (size_t i = 0; duty->place == TREE_PRIMARY && i < duty->redis_count; i++) {
        const struct tree_member *m = duty->members[i];
        if (addr_eq(&m->node.addr, &duty->source) && m->node.role.kind == ROLE_KIND_MASTER &&
            m->history) {
            return *m->history;
        }
    }
    return (struct repl_history){ 0 };
}

static void tell_backups(struct tree_duty *duty, const struct addr *head)
{
    const struct names *dcs = &duty->base.cluster->backup_dcs;
    if (addr_is_none(head) || addr_eq(head, &duty->head)) {
        return;
    }
    duty->head = *head;
    for (size_t i = 0; i < dcs->count; i++) {
        dc_links_tell(duty->tree_env->upstreams, dcs->items[i], duty->base.cluster->name,
                      duty->base.shard, head);
    }
}

static bool is_shown(const struct tree_duty *duty, const struct upstream *u)
{
    const struct upstream *s = &duty->shown;
    return duty->is_on_board && s->place == u->place && s->has_keepers == u->has_keepers &&
           s->has_active == u->has_active && addr_eq(&s->active.addr, &u->active.addr) &&
           strcmp(s->active.run_id, u->active.run_id) == 0 &&
           s->active.container_id == u->active.container_id &&
           s->active.priority == u->active.priority && addr_eq(&s->source, &u->source) &&
           s->offset == u->offset && repl_history_eq(&s->history, &u->history);
}

static void publish(struct tree_duty *duty)
{
    const struct live_keeper *active = tree_active(duty);
    struct upstream u = {
        .place = duty->place,
        .has_keepers = names_keepers(duty),
        .has_active = active != NULL,
        .source = duty->source,
        .offset = source_offset(duty),
        .history = source_history(duty),
    };
    if (active) {
        u.active = *active;
    }
    if (is_shown(duty, &u)) {
        return;
    }
    duty->shown = u;
    duty->is_on_board = true;
    upstream_board_put(duty->tree_env->board, duty->base.cluster->name, duty->base.shard, &u);
    if (duty->place == TREE_PRIMARY) {
        struct addr head = upstream_head(&u);
        tell_backups(duty, &head);
    }
}

/* ---- correction ---- */

void tree_look_anew(struct tree_duty *duty)
{
    duty->triggered = true;
    for (size_t i = 0; i < duty->member_count; i++) {
        duty->members[i]->backoff_ms = 0;
        duty->members[i]->backoff_until = MONO_NEVER;
    }
    tree_run_outdate(duty);
}

int tree_check_allowed(struct tree_duty *duty, struct xp_err *err)
{
    return duty_check_allowed(&duty->base, duty->env, err);
}

int tree_check_hold(struct tree_duty *duty, struct xp_err *err)
{
    if (!duty->env->correct_periodically && !duty->triggered) {
        return xp_fail(err, XP_FORBIDDEN, "periodic correction is off");
    }
    return tree_check_allowed(duty, err);
}

void tree_note_hold(struct tree_duty *duty, const char *why)
{
    if (duty_note_hold(&duty->base, why)) {
        metric_add(&tree_held, 1);
        log_info("tree.held", "cluster", duty->base.cluster->name, "shard", duty->base.shard, "why",
                 why);
    }
}

/* Who was not asked yet, a keeper that has just come, may still be wrong because of the same event. */
static void all_is_well(struct tree_duty *duty)
{
    duty->wrong_since = MONO_NEVER;
    duty->triggered = false;
    for (size_t i = 0; i < duty->member_count; i++) {
        duty->triggered |= !duty->members[i]->node.was_tried;
    }
    tree_note_hold(duty, NULL);
}

/* Who is as wanted now did take what he was told. */
static void forget_orders(struct tree_duty *duty, const struct tree_plan *plan)
{
    bool is_wrong[TREE_NODES_MAX] = { false };
    for (size_t i = 0; i < plan->action_count; i++) {
        is_wrong[plan->actions[i].node] = true;
    }
    for (size_t i = 0; i < duty->member_count; i++) {
        struct tree_member *m = duty->members[i];
        if (!is_wrong[i] && m->node.role_at != MONO_NEVER) {
            free(TAKE(m->order));
            m->backoff_ms = 0;
            m->backoff_until = MONO_NEVER;
        }
    }
}

static void correct(struct tree_duty *duty, const struct tree_facts *facts,
                    const struct tree_plan *plan)
{
    bool is_real = false;
    for (size_t i = 0; i < plan->action_count; i++) {
        is_real |= !plan->actions[i].is_refresh;
    }
    if (is_real && duty->wrong_since == MONO_NEVER) {
        duty->wrong_since = facts->now;
    }
    struct xp_err err = { 0 };
    if (tree_check_hold(duty, &err) != 0) {
        tree_note_hold(duty, err.msg);
        return;
    }
    tree_run_start(duty, facts, plan);
}

static void note_relay(struct tree_duty *duty, const struct tree_plan *plan)
{
    if (plan->relay.index < 0) {
        return;
    }
    const struct addr *relay = &duty->members[plan->relay.index]->node.addr;
    if (addr_eq(relay, &duty->relay)) {
        return;
    }
    log_info("relay.changed", "cluster", duty->base.cluster->name, "shard", duty->base.shard,
             "rule", plan->relay.rule, "from",
             addr_is_none(&duty->relay) ? "-" : ADDR_TEXT(&duty->relay), "to", ADDR_TEXT(relay));
    metric_add(&tree_relay_changes, addr_is_none(&duty->relay) ? 0 : 1);
    duty->relay = *relay;
    tree_run_outdate(duty);
}

/* A command was sent there, and what came of it is not read yet. */
static bool has_unread(const struct tree_duty *duty)
{
    for (size_t i = 0; i < duty->member_count; i++) {
        if (duty->members[i]->is_unread) {
            return true;
        }
    }
    return false;
}

void tree_evaluate(struct tree_duty *duty)
{
    struct tree_node nodes[TREE_NODES_MAX];
    struct keeper_election election;
    struct tree_facts facts;
    for (size_t i = 0; i < duty->member_count; i++) {
        duty->members[i]->has_changed = false;
    }
    if (duty->is_closing || !duty_shard(&duty->base) || !is_look_over(duty)) {
        return;
    }
    tree_facts_fill(duty, nodes, &election, &facts);
    choose_source(duty, &facts);
    publish(duty);
    struct tree_plan *plan = duty->tree_env->scratch_plan;
    tree_decide(&facts, plan);
    note_relay(duty, plan);
    duty->checked_at = facts.now;
    tree_show_verdicts(duty, plan);
    if (duty->place == TREE_PRIMARY) {
        tree_failover_look(duty);
    }
    if (tree_run_is_active(duty) || has_unread(duty)) {
        return;
    }
    tree_tell_strays(duty, &facts, plan);
    forget_orders(duty, plan);
    if (duty->place == TREE_PRIMARY && tree_failover_act(duty)) {
        return;
    }
    if (plan->action_count > 0) {
        correct(duty, &facts, plan);
    } else {
        all_is_well(duty);
    }
}

bool tree_is_calm(const struct tree_duty *duty)
{
    return !duty->is_first_look && !duty->triggered && duty->wrong_since == MONO_NEVER &&
           !tree_run_is_active(duty);
}

bool tree_is_in_doubt(const struct tree_duty *duty)
{
    bool is_source_fine = duty->source_verdict == SOURCE_KEEP ||
                          (duty->place == TREE_BACKUP && duty->source_verdict == SOURCE_UNKNOWN);
    return duty->place != TREE_OUTSIDE &&
           (!is_source_fine || duty->failover.verdict == FAILOVER_WATCH || has_unread(duty));
}

/* ---- keepers ---- */

static void report_active(struct tree_duty *duty)
{
    const struct live_keeper *active = tree_active(duty);
    mono_ms now = loop_now(duty->env->loop);
    if (active) {
        keeper_report_put(duty->tree_env->report, duty->base.cluster->name, duty->base.shard,
                          active);
    }
    duty->report_at = now + REPORT_AGAIN_MS;
}

static void note_active(struct tree_duty *duty, const struct addr *before)
{
    const struct live_keeper *active = tree_active(duty);
    struct addr none = { 0 };
    const struct addr *after = active ? &active->addr : &none;
    if (addr_eq(before, after)) {
        return;
    }
    log_info("keeper.active", "cluster", duty->base.cluster->name, "shard", duty->base.shard,
             "from", addr_is_none(before) ? "-" : ADDR_TEXT(before), "to",
             active ? ADDR_TEXT(after) : "-", "living", log_int((int64_t)duty->live_count));
    metric_add(&tree_active_changes, 1);
    report_active(duty);
}

static void take_election(struct tree_duty *duty, const struct keeper_election *election)
{
    const struct live_keeper *old = tree_active(duty);
    struct addr before = old ? old->addr : (struct addr){ 0 };
    struct keeper_election known;
    tree_election(duty, &known);
    bool is_same = keeper_election_eq(&known, election);
    if (election->unreadable > duty->unreadable || election->ignored > duty->ignored) {
        log_warn("keeper.election", "cluster", duty->base.cluster->name, "shard", duty->base.shard,
                 "unreadable", log_int(election->unreadable), "ignored", log_int(election->ignored),
                 "next", "see the children of /<namespace>/keepers/ in ZooKeeper");
    }
    duty->unreadable = election->unreadable;
    duty->ignored = election->ignored;
    if (is_same) {
        return;
    }
    free(duty->live);
    duty->live = xcalloc(election->count, sizeof(*duty->live));
    for (size_t i = 0; i < election->count; i++) {
        duty->live[i] = election->keepers[i];
    }
    duty->live_count = election->count;
    duty->active = election->active;
    tree_members_set(duty);
    note_active(duty, &before);
    tree_look_anew(duty);
}

static void on_keepers(const struct keeper_child *children, size_t count, void *arg)
{
    struct tree_duty *duty = arg;
    if (duty->is_closing) {
        return;
    }
    struct keeper_election election;
    keeper_elect(children, count, duty_shard(&duty->base), &election);
    bool is_first = !duty->is_election_known;
    duty->is_election_known = true;
    if (is_first && duty->is_first_look) {
        duty->first_look_until = loop_now(duty->env->loop) + FIRST_LOOK_MS;
    }
    take_election(duty, &election);
    tree_containers_look(duty, true);
    tree_evaluate(duty);
}

/* ---- metadata ---- */

static enum tree_place place_of(const struct tree_duty *duty)
{
    const char *own = dc_store_dc(duty->env->store);
    const struct cluster_meta *c = duty->base.cluster;
    return text_eq(c->active_dc, own)       ? TREE_PRIMARY
           : names_has(&c->backup_dcs, own) ? TREE_BACKUP
                                            : TREE_OUTSIDE;
}

static void pick_route(struct tree_duty *duty)
{
    struct route_pick pick = { .kind = ROUTE_DIRECT };
    if (duty->place == TREE_BACKUP && duty->base.cluster->active_dc) {
        route_table_pick(dc_store_routes(duty->env->store), duty->base.cluster,
                         dc_store_dc(duty->env->store), duty->base.cluster->active_dc, &pick);
    }
    free(duty->route_words);
    duty->route_words = pick.kind == ROUTE_CHOSEN ? route_text(pick.route) : xstrdup("");
    duty->route_kind = pick.kind;
    duty->route_id = pick.route_id;
}

/* The other side of the world: nothing that was known of the source counts any more. */
static void forget_source(struct tree_duty *duty)
{
    struct addr none = { 0 };
    duty->source = duty->told = duty->relay = duty->head = duty->lost_master = none;
    duty->appointed = none;
    duty->told_history = (struct repl_history){ 0 };
    duty->told_offset = -1;
    duty->source_verdict = SOURCE_UNKNOWN;
    duty->is_master_seen = false;
    tree_failover_forget(duty);
}

static void set_monitor(struct tree_duty *duty)
{
    const struct shard_meta *shard = duty_shard(&duty->base);
    const char *address =
        shard && shard->sentinel_id
            ? dc_hosts_sentinels(dc_store_hosts(duty->env->store), shard->sentinel_id)
            : NULL;
    const char *name = shard ? shard->sentinel_monitor_name : NULL;
    bool is_wanted = address && address[0] && name && name[0];
    bool is_same = duty->monitor && is_wanted && text_eq(address, duty->monitor_address) &&
                   text_eq(name, duty->monitor_name);
    if (is_same || (!duty->monitor && !is_wanted)) {
        return;
    }
    bool is_renamed = name && !text_eq(name, duty->monitor_name);
    if (is_wanted || (shard && shard->sentinel_id == 0)) {
        sentinel_monitors_retire(duty->tree_env->monitors, duty->monitor,
                                 is_renamed ? NULL : address);
    } else { /* a group that the document does not know (yet): nothing is taken away for that */
        sentinel_monitors_remove(duty->tree_env->monitors, duty->monitor);
    }
    free(TAKE(duty->monitor_address));
    free(TAKE(duty->monitor_name));
    duty->monitor = NULL;
    if (is_wanted) {
        duty->monitor_address = xstrdup(address);
        duty->monitor_name = xstrdup(name);
        duty->monitor =
            sentinel_monitors_add(duty->tree_env->monitors, name, address, tree_monitored, duty);
    }
}

void tree_monitored(void *arg, struct monitored_state *ret_state)
{
    const struct tree_duty *duty = arg;
    enum duty_stance stance = duty_stance(&duty->base, duty->env);
    *ret_state = (struct monitored_state){
        .cluster = duty->base.cluster,
        .place = duty->place,
        .is_fenced = stance == STANCE_FENCED,
        .is_promoted = stance == STANCE_FOLLOW,
        .is_left = loop_now(duty->env->loop) < duty->sentinels_at,
        .is_single_master = duty->place == TREE_PRIMARY && duty->is_master_seen &&
                            duty->masters == 1 && duty->source_verdict == SOURCE_KEEP,
        .master = duty->source,
    };
}

/* At every poll; documents that name other sentinels are not told apart from others. */
void tree_tick(struct tree_duty *duty)
{
    if (loop_now(duty->env->loop) >= duty->report_at) {
        report_active(duty);
    }
    set_monitor(duty);
    tree_containers_look(duty, false);
    tree_evaluate(duty);
}

void tree_ask_upstream(struct tree_duty *duty)
{
    if (duty->place == TREE_BACKUP && duty->base.cluster->active_dc) {
        dc_links_ask(duty->tree_env->upstreams, duty->base.cluster->active_dc,
                     duty->base.cluster->name, duty->base.shard);
    }
}

static void ask_upstream(struct tree_duty *duty)
{
    if (addr_is_none(&duty->told)) {
        tree_ask_upstream(duty);
    }
}

static void kick(struct tree_duty *duty)
{
    tree_look_anew(duty);
    tree_poll_now(duty, 0);
}

/* ---- the class ---- */

/* In the functions of the class, which get no other duty. */
static struct tree_duty *of_base(struct duty *base)
{
    return CONTAINER_OF(base, struct tree_duty, base);
}

static void close_duty(struct tree_duty *duty)
{
    struct tree_env *env = duty->tree_env;
    duty->is_closing = true;
    loop_timer_stop(&duty->poll);
    keeper_watch_remove(env->watch, TAKE(duty->watch));
    container_calls_forget(env->containers, duty);
    sentinel_monitors_remove(env->monitors, TAKE(duty->monitor));
    keeper_report_drop(env->report, duty->base.cluster->name, duty->base.shard);
    upstream_board_remove(env->board, duty->base.cluster->name, duty->base.shard);
    tree_failover_forget(duty);
    for (size_t i = 0; i < duty->member_count; i++) {
        tree_hide_verdict(duty->members[i]);
    }
}

/* Calls to containers are not waited for here: container_calls knows the slot of each, and tells when it is quiet. */
static bool duty_leave(struct duty *base, duty_quiet_fn *on_quiet, void *arg)
{
    struct tree_duty *duty = of_base(base);
    close_duty(duty);
    if (!tree_run_is_commanding(duty)) {
        return false;
    }
    duty->on_quiet = on_quiet;
    duty->quiet_arg = arg;
    return true;
}

static void duty_free(struct duty *base)
{
    struct tree_duty *duty = of_base(base);
    duty->on_quiet = NULL;
    if (!duty->is_closing) {
        close_duty(duty);
    }
    tree_members_free(duty);
    tree_run_free(duty);
    free(duty->live);
    free(duty->tries);
    free(duty->route_words);
    free(duty->monitor_address);
    free(duty->monitor_name);
    duty_done(&duty->base);
    free(duty);
}

/* Priorities and containers are those of the metadata. */
static void elect_again(struct tree_duty *duty)
{
    struct keeper_election known;
    struct keeper_election election;
    tree_election(duty, &known);
    keeper_elect_again(&known, duty_shard(&duty->base), &election);
    take_election(duty, &election);
}

static void duty_update(struct duty *base, struct cluster_meta *cluster)
{
    struct tree_duty *duty = of_base(base);
    enum tree_place place = duty->place;
    AUTO_FREE char *active_dc = xstrdup(base->cluster->active_dc);
    duty_set_cluster(base, cluster);
    duty->place = place_of(duty);
    if (duty->place != place || !text_eq(active_dc, cluster->active_dc)) {
        forget_source(duty);
        tree_forget_histories(duty);
        tree_forget_priorities(duty);
    }
    pick_route(duty);
    elect_again(duty);
    tree_members_set(duty);
    set_monitor(duty);
    tree_containers_look(duty, true);
    ask_upstream(duty);
    kick(duty);
}

static void duty_routes_changed(struct duty *base)
{
    struct tree_duty *duty = of_base(base);
    pick_route(duty);
    kick(duty);
}

void tree_duty_suspend(struct tree_duty *duty, int64_t ttl_ms)
{
    duty_set_suspended(&duty->base, duty->env, ttl_ms);
    if (ttl_ms <= 0) {
        kick(duty);
    }
}

static void duty_suspend(struct duty *base, int64_t ttl_ms)
{
    tree_duty_suspend(of_base(base), ttl_ms);
}

static bool duty_master(struct duty *base, struct addr *ret_addr)
{
    *ret_addr = of_base(base)->source;
    return !addr_is_none(ret_addr);
}

static json_t *duty_state(struct duty *base)
{
    return tree_state_json(of_base(base));
}

static void duty_retire(struct duty *base)
{
    struct tree_duty *duty = of_base(base);
    tree_containers_retire(duty);
    sentinel_monitors_retire(duty->tree_env->monitors, TAKE(duty->monitor), NULL);
}

static const struct duty_class tree_class = {
    .name = "tree",
    .free = duty_free,
    .leave = duty_leave,
    .update = duty_update,
    .routes_changed = duty_routes_changed,
    .suspend = duty_suspend,
    .master = duty_master,
    .state = duty_state,
    .retire = duty_retire,
};

struct tree_duty *tree_duty_of(struct duty *base)
{
    return base && base->class == &tree_class ? of_base(base) : NULL;
}

static void watch_election(struct tree_duty *duty)
{
    const struct shard_meta *shard = duty_shard(&duty->base);
    duty->watch = keeper_watch_add(duty->tree_env->watch, duty->base.cluster->db_id,
                                   shard ? shard->db_id : 0, on_keepers, duty);
}

struct duty *tree_duty_new(void *tree_env, struct cluster_meta *cluster, const char *shard_name)
{
    struct tree_duty *duty = xcalloc(1, sizeof(*duty));
    duty->tree_env = tree_env;
    duty->env = duty->tree_env->duty;
    mono_ms now = loop_now(duty->env->loop);
    duty_init(&duty->base, &tree_class, cluster, shard_name);
    duty->active = -1;
    duty->is_first_look = true;
    duty->triggered = true;
    duty->first_look_until = now + FIRST_LOOK_MS;
    duty->wrong_since = MONO_NEVER;
    duty->checked_at = MONO_NEVER;
    duty->whole_since = MONO_NEVER;
    duty->missing_since = now;
    duty->containers_at = MONO_NEVER;
    duty->promoted_at = MONO_NEVER;
    duty->report_at = now + duty_phase_ms(&duty->base, REPORT_AGAIN_MS);
    forget_source(duty);
    duty->place = place_of(duty);
    pick_route(duty);
    tree_poll_init(duty);
    tree_members_set(duty);
    watch_election(duty);
    set_monitor(duty);
    ask_upstream(duty);
    return &duty->base;
}

/* ---- told ---- */

void tree_duty_upstream_told(struct tree_duty *duty, const char *dc, const struct addr *head,
                             int64_t offset)
{
    if (!tree_duty_pulls_from(duty, dc) || addr_is_none(head)) {
        return;
    }
    bool is_new = !addr_eq(head, &duty->told);
    duty->told = *head;
    duty->told_offset = offset;
    if (is_new) {
        tree_evaluate(duty);
    }
}

void tree_duty_history_told(struct tree_duty *duty, const char *dc,
                            const struct repl_history *history)
{
    bool is_news = tree_duty_pulls_from(duty, dc) && history->repl_id[0] &&
                   !repl_history_eq(history, &duty->told_history);
    if (is_news) {
        duty->told_history = *history;
        tree_poll_now(duty, 0);
    }
}

bool tree_duty_pulls_from(const struct tree_duty *duty, const char *dc)
{
    return duty->place == TREE_BACKUP && text_eq(duty->base.cluster->active_dc, dc);
}
