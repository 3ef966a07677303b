/* tree_decide.c - see tree_decide.h.
 *
 * Rules (stable, with gaps); the first line that applies:
 *   the active keeper (stage 0)                                     a backup keeper (stage 1)
 *   T10 its state is not ACTIVE            SET_ACTIVE, with route   T20 its state is not BACKUP       SET_BACKUP
 *   T12 it follows another, or nobody      SET_ACTIVE, with route   T22 it follows another            SET_BACKUP
 *   T14 it was told another route          SET_ACTIVE, with route
 *   T16 not known which route it was told  SET_ACTIVE, refresh      a Redis of a backup DC (stage 1)
 *                                                                   T30 it is a master, follows nobody  FOLLOW
 *   the relay (stage 0)                                             T32 it follows another              FOLLOW
 *   T40 it is a master, follows nobody     FOLLOW
 *   T42 it follows another                 FOLLOW
 *   T50... its priority must change first  SET_PRIORITY (stage 0)  a Redis of the primary DC (stage 1), after a switchover
 *                                                                   T34 it follows another than the promoted one  FOLLOW
 *
 * T50 to T54, of any Redis whose place is not commanded by this plan: SET_PRIORITY, stage 1, refresh (priority_decide.c).
 *
 * What forbids them, in this order: SILENT (a keeper that does not tell its state is silent, too); of the head NO_SOURCE, BAD_ROUTE,
 * ROUTE_NEEDS_KEEPER, LOOP; of what follows it NO_HEAD, LOOP, HEAD_NOT_READY; of a Redis SYNCING. A head is ready when it will
 * be commanded by this plan, or is right, or is seen to pull from outside this DC (the source may be unknown meanwhile: whoever
 * follows the active keeper does right). In the primary DC T12 needs the source to be the only master that answers.
 */
#include "meta/keepers/tree_decide.h"

#include <stdio.h>

#include "meta/keepers/priority_decide.h"

#include "shared/base/mem.h"

#include "shared/base/banned.h"

const char *tree_verdict_text(enum tree_verdict verdict)
{
    static const char *const texts[TREE_VERDICTS] = {
        [TREE_OK] = "OK",
        [TREE_WRONG] = "WRONG",
        [TREE_LEFT_ALONE] = "LEFT_ALONE",
        [TREE_SILENT] = "SILENT",
        [TREE_SYNCING] = "SYNCING",
        [TREE_NO_SOURCE] = "NO_SOURCE",
        [TREE_NO_HEAD] = "NO_HEAD",
        [TREE_HEAD_NOT_READY] = "HEAD_NOT_READY",
        [TREE_BAD_ROUTE] = "BAD_ROUTE",
        [TREE_ROUTE_NEEDS_KEEPER] = "ROUTE_NEEDS_KEEPER",
        [TREE_LOOP] = "LOOP",
    };
    return texts[verdict];
}

struct tree_work { /* one decision under way */
    const struct tree_facts *f;
    struct tree_plan *plan;
    const struct tree_node *head; /* NULL: none */
    bool is_head_commanded;       /* to the source, by this plan */
    bool is_head_ready;
};

/* ---- who follows whom ---- */

static const struct tree_node *node_at(const struct tree_facts *f, const struct addr *addr)
{
    for (size_t i = 0; i < f->node_count; i++) {
        if (addr_eq(&f->nodes[i].addr, addr)) {
            return &f->nodes[i];
        }
    }
    return NULL;
}

/* Whom this node follows once the head's command is carried out; NULL: nobody, or not known. */
static const struct addr *upstream_of(const struct tree_work *w, const struct tree_node *node)
{
    if (node == w->head && w->is_head_commanded) {
        return &w->f->source;
    }
    bool is_known = tree_node_is_fresh(w->f, node) && !addr_is_none(&node->role.master);
    return is_known ? &node->role.master : NULL;
}

/* Does 'from' follow 'goal', be it over others of this DC? Whoever follows itself does. */
static bool reaches(const struct tree_work *w, const struct addr *from, const struct addr *goal)
{
    for (size_t steps = 0; from && steps <= w->f->node_count; steps++) {
        if (addr_eq(from, goal)) {
            return true;
        }
        const struct tree_node *node = node_at(w->f, from);
        from = node ? upstream_of(w, node) : NULL;
    }
    return false;
}

/* Up from the head one comes to somebody who is not of this DC, or in the primary DC to a master. */
static bool is_seen_to_pull(const struct tree_work *w)
{
    const struct tree_node *node = w->head;
    for (size_t steps = 0; steps <= w->f->node_count; steps++) {
        const struct addr *upstream = upstream_of(w, node);
        if (!upstream) {
            return node != w->head && w->f->place == TREE_PRIMARY &&
                   tree_node_is_fresh(w->f, node) && node->role.kind == ROLE_KIND_MASTER;
        }
        node = node_at(w->f, upstream);
        if (!node) {
            return !tree_is_ours(w->f, upstream);
        }
    }
    return false;
}

static bool follows(const struct tree_node *node, const struct addr *upstream)
{
    return !addr_is_none(upstream) && addr_eq(&node->role.master, upstream);
}

/* ---- rows and actions ---- */

static size_t index_of(const struct tree_work *w, const struct tree_node *node)
{
    return (size_t)(node - w->f->nodes);
}

static void conclude(struct tree_work *w, const struct tree_node *node, enum tree_verdict verdict,
                     const char *note)
{
    struct tree_row *row = &w->plan->rows[index_of(w, node)];
    row->verdict = verdict;
    (void)snprintf(row->note, sizeof(row->note), "%s", note ? note : "");
}

static void act(struct tree_work *w, struct tree_action action)
{
    const struct tree_node *node = &w->f->nodes[action.node];
    struct tree_row *row = &w->plan->rows[action.node];
    if (action.is_refresh) {
        row->verdict = TREE_OK;
    } else {
        row->verdict = TREE_WRONG;
        /* The same upstream once more cuts nothing, but for another route to it. */
        bool is_anew = node == w->head && node->is_keeper && node->state == KEEPER_ACTIVE;
        action.breaks_link = tree_link_of(&node->role) == TREE_LINK_UP &&
                             action.kind != TREE_ACT_SET_PRIORITY &&
                             (is_anew || !follows(node, &action.target));
    }
    (void)snprintf(row->note, sizeof(row->note), "%s", action.why);
    w->plan->actions[w->plan->action_count++] = action;
}

/* It follows whom it should: whether its link is up is Redis' own work. */
static void conclude_right(struct tree_work *w, const struct tree_node *node)
{
    enum tree_link link = tree_link_of(&node->role);
    bool is_syncing = link == TREE_LINK_SYNCING && !node->is_keeper;
    char note[32];
    (void)snprintf(note, sizeof(note), "link: %s", role_link_text(node->role.link));
    conclude(w, node, is_syncing ? TREE_SYNCING : TREE_OK, link == TREE_LINK_UP ? "" : note);
}

static bool is_left_to_sync(const struct tree_work *w, const struct tree_node *node)
{
    return tree_link_of(&node->role) == TREE_LINK_SYNCING &&
           mono_age(w->f->now, node->link_since) < w->f->sync_patience_ms;
}

/* Nothing can be said of it, or it is not what it should be; the row is written. */
static bool is_mute(struct tree_work *w, const struct tree_node *node)
{
    if (!tree_node_is_fresh(w->f, node)) {
        conclude(w, node, TREE_SILENT, NULL);
    } else if (node->is_keeper && node->state == KEEPER_UNSEEN) {
        conclude(w, node, TREE_SILENT, "it does not tell its state");
    } else if (!node->is_keeper && node->role.kind == ROLE_KIND_KEEPER) {
        conclude(w, node, TREE_LEFT_ALONE, "a keeper answers at this address");
    } else {
        return false;
    }
    return true;
}

/* ---- the head ---- */

/* In the primary DC: of two masters, and of a dead one, nobody takes a keeper away. */
static bool is_source_confirmed(const struct tree_facts *f)
{
    bool is_master = false;
    for (size_t i = 0; i < f->redis_count; i++) {
        const struct tree_node *node = &f->nodes[i];
        if (tree_node_is_fresh(f, node) && node->role.kind == ROLE_KIND_MASTER) {
            if (!addr_eq(&node->addr, &f->source)) {
                return false;
            }
            is_master = true;
        }
    }
    return is_master;
}

/* The verdict that forbids to command the head; TREE_OK: nothing does. */
static enum tree_verdict obstacle_of_head(const struct tree_work *w, const char **ret_note)
{
    const struct tree_facts *f = w->f;
    if (!tree_has_source(f)) {
        bool is_impossible = !addr_is_none(&f->source);
        *ret_note = is_impossible ? "what is known cannot be the source here" : NULL;
        return TREE_NO_SOURCE;
    }
    if (f->route_kind == ROUTE_UNUSABLE) {
        *ret_note = "routes apply, none is usable: left as it is";
        return TREE_BAD_ROUTE;
    }
    if (f->route_kind == ROUTE_CHOSEN && !w->head->is_keeper) {
        *ret_note = "a Redis cannot use a route: left as it is";
        return TREE_ROUTE_NEEDS_KEEPER;
    }
    return reaches(w, &f->source, &w->head->addr) ? TREE_LOOP : TREE_OK;
}

static const char *words_of_route(const struct tree_facts *f)
{
    return f->route_kind == ROUTE_CHOSEN ? f->route_words : "";
}

static void command_head(struct tree_work *w, enum tree_action_kind kind, const char *rule,
                         const char *why)
{
    act(w, (struct tree_action){
               .kind = kind,
               .rule = rule,
               .why = why,
               .node = index_of(w, w->head),
               .target = w->f->source,
               .with_route = kind == TREE_ACT_SET_ACTIVE && w->f->route_kind == ROUTE_CHOSEN,
           });
    w->is_head_commanded = true;
}

static void judge_active_keeper(struct tree_work *w)
{
    const struct tree_node *head = w->head;
    if (head->state != KEEPER_ACTIVE) {
        command_head(w, TREE_ACT_SET_ACTIVE, "T10", "the active keeper is not ACTIVE");
    } else if (!follows(head, &w->f->source)) {
        if (w->f->place == TREE_PRIMARY && !is_source_confirmed(w->f)) {
            conclude(w, head, TREE_NO_SOURCE, "the source is not the only master that answers");
        } else {
            command_head(w, TREE_ACT_SET_ACTIVE, "T12", "the active keeper follows another");
        }
    } else if (head->route_sent && !text_eq(head->route_sent, words_of_route(w->f))) {
        command_head(w, TREE_ACT_SET_ACTIVE, "T14", "the route has changed");
    } else {
        conclude_right(w, head);
    }
}

/* Its priority comes first: the next round makes it the relay. */
static void command_relay(struct tree_work *w, const char *rule, const char *why)
{
    struct priority_want want = priority_decide(w->f, w->head);
    if (want.value >= 0) {
        act(w, (struct tree_action){ .kind = TREE_ACT_SET_PRIORITY,
                                     .rule = want.rule,
                                     .why = want.why,
                                     .node = index_of(w, w->head),
                                     .priority = want.value });
    } else if (w->f->replica_priority > 0 && w->head->priority == PRIORITY_UNKNOWN) {
        conclude(w, w->head, TREE_HEAD_NOT_READY, "its priority was not read yet");
    } else {
        command_head(w, TREE_ACT_FOLLOW, rule, why);
    }
}

static void judge_relay(struct tree_work *w)
{
    const struct tree_node *head = w->head;
    if (follows(head, &w->f->source)) {
        conclude_right(w, head);
    } else if (is_left_to_sync(w, head)) {
        conclude(w, head, TREE_SYNCING, "in a full synchronization with another");
    } else if (addr_is_none(&head->role.master)) {
        command_relay(w, "T40", "the relay follows nobody");
    } else {
        command_relay(w, "T42", "the relay follows another");
    }
}

static void judge_head(struct tree_work *w)
{
    const char *note = NULL;
    if (tree_has_source(w->f)) {
        w->plan->rows[index_of(w, w->head)].wanted = w->f->source;
    }
    if (is_mute(w, w->head)) {
        return;
    }
    enum tree_verdict obstacle = obstacle_of_head(w, &note);
    if (obstacle != TREE_OK) {
        conclude(w, w->head, obstacle, note);
    } else if (w->head->is_keeper) {
        judge_active_keeper(w);
    } else {
        judge_relay(w);
    }
}

/* May others be pointed at the head? While the source is not known, which relay is the right one would be a guess. */
static bool is_ready(const struct tree_work *w)
{
    const struct tree_node *head = w->head;
    bool is_serving = !head->is_keeper || head->state == KEEPER_ACTIVE;
    if (w->is_head_commanded) {
        return true;
    }
    switch (w->plan->rows[index_of(w, head)].verdict) {
    case TREE_OK:
        return true;
    case TREE_SYNCING:
        return follows(head, &w->f->source);
    case TREE_NO_SOURCE:
        return head->is_keeper && is_serving && is_seen_to_pull(w);
    case TREE_BAD_ROUTE:
    case TREE_ROUTE_NEEDS_KEEPER:
        return is_serving && is_seen_to_pull(w);
    case TREE_WRONG:
    case TREE_LEFT_ALONE:
    case TREE_SILENT:
    case TREE_NO_HEAD:
    case TREE_HEAD_NOT_READY:
    case TREE_LOOP:
    case TREE_VERDICTS:
        break;
    }
    return false;
}

/* ---- what follows the head ---- */

static void command_follower(struct tree_work *w, const struct tree_node *node,
                             enum tree_action_kind kind, const char *rule, const char *why)
{
    if (reaches(w, &w->head->addr, &node->addr)) {
        bool is_itself = addr_eq(&w->head->addr, &node->addr);
        conclude(w, node, TREE_LOOP,
                 is_itself ? "it has the address of the head" : "the head follows it");
    } else if (!w->is_head_ready) {
        conclude(w, node, TREE_HEAD_NOT_READY, why);
    } else {
        act(w, (struct tree_action){ .kind = kind,
                                     .rule = rule,
                                     .why = why,
                                     .node = index_of(w, node),
                                     .target = w->head->addr,
                                     .stage = 1 });
    }
}

static void judge_redis(struct tree_work *w, const struct tree_node *node)
{
    if (is_mute(w, node)) {
        return;
    }
    if (!w->head) {
        conclude(w, node, TREE_NO_HEAD, NULL);
    } else if (follows(node, &w->head->addr) && !addr_eq(&node->addr, &w->head->addr)) {
        conclude_right(w, node);
    } else if (is_left_to_sync(w, node)) {
        conclude(w, node, TREE_SYNCING, "in a full synchronization with another");
    } else if (addr_is_none(&node->role.master)) {
        command_follower(w, node, TREE_ACT_FOLLOW, "T30", "Redis follows nobody");
    } else {
        command_follower(w, node, TREE_ACT_FOLLOW, "T32", "Redis follows another");
    }
}

static void judge_backup_keeper(struct tree_work *w, const struct tree_node *node)
{
    if (is_mute(w, node)) {
        return;
    }
    if (!w->head) {
        conclude(w, node, TREE_NO_HEAD, NULL);
    } else if (node->state != KEEPER_BACKUP) {
        command_follower(w, node, TREE_ACT_SET_BACKUP, "T20", "a backup keeper is not BACKUP");
    } else if (!follows(node, &w->head->addr)) {
        command_follower(w, node, TREE_ACT_SET_BACKUP, "T22", "a backup keeper follows another");
    } else {
        conclude_right(w, node);
    }
}

static void leave_alone(struct tree_work *w, const struct tree_node *node, const char *note)
{
    if (tree_node_is_fresh(w->f, node)) {
        conclude(w, node, TREE_LEFT_ALONE, note);
    } else {
        conclude(w, node, TREE_SILENT, note);
    }
}

/* A Redis of the primary DC whose master was promoted by a switchover, and is the only master still: sentinels and failovers
 * would want the same. */
static bool has_appointed_master(const struct tree_facts *f, const struct tree_node *node)
{
    return !node->is_keeper && f->place == TREE_PRIMARY && !addr_is_none(&f->appointed) &&
           addr_eq(&f->appointed, &f->source) && !addr_eq(&node->addr, &f->appointed) &&
           is_source_confirmed(f);
}

static void judge_appointed(struct tree_work *w, const struct tree_node *node)
{
    w->plan->rows[index_of(w, node)].wanted = w->f->source;
    if (is_mute(w, node)) {
        return;
    }
    if (follows(node, &w->f->source)) {
        conclude_right(w, node);
    } else if (is_left_to_sync(w, node)) {
        conclude(w, node, TREE_SYNCING, "in a full synchronization with another");
    } else {
        act(w, (struct tree_action){ .kind = TREE_ACT_FOLLOW,
                                     .rule = "T34",
                                     .why = "it does not follow the promoted one",
                                     .node = index_of(w, node),
                                     .target = w->f->source,
                                     .stage = 1 });
    }
}

static void judge_follower(struct tree_work *w, const struct tree_node *node)
{
    const struct tree_facts *f = w->f;
    if (has_appointed_master(f, node)) {
        judge_appointed(w, node);
        return;
    }
    bool has_keepers = f->shard->keepers.count > 0;
    bool is_ours_to_correct =
        node->is_keeper ? has_keepers && f->place != TREE_OUTSIDE : f->place == TREE_BACKUP;
    if (!is_ours_to_correct) {
        bool is_extra = node->is_keeper && !has_keepers;
        leave_alone(w, node, is_extra ? "the document names no keepers here" : NULL);
        return;
    }
    if (w->head) {
        w->plan->rows[index_of(w, node)].wanted = w->head->addr;
    }
    if (node->is_keeper) {
        judge_backup_keeper(w, node);
    } else {
        judge_redis(w, node);
    }
}

/* ---- all together ---- */

static const struct tree_node *active_keeper(const struct tree_facts *f)
{
    if (!f->is_election_known || !f->election || f->election->active < 0) {
        return NULL;
    }
    const struct addr *addr = &f->election->keepers[f->election->active].addr;
    for (size_t i = f->redis_count; i < f->node_count; i++) {
        if (addr_eq(&f->nodes[i].addr, addr)) {
            return &f->nodes[i];
        }
    }
    return NULL;
}

static const struct tree_node *find_head(struct tree_work *w)
{
    const struct tree_facts *f = w->f;
    if (f->place != TREE_OUTSIDE && f->shard->keepers.count > 0) {
        return active_keeper(f);
    }
    if (f->place != TREE_BACKUP) {
        return NULL;
    }
    relay_choose(f, &w->plan->relay);
    return w->plan->relay.index < 0 ? NULL : &f->nodes[w->plan->relay.index];
}

/* Not seen to be wrong: last in the plan, and nothing waits for it. */
static void refresh_route(struct tree_work *w)
{
    const struct tree_facts *f = w->f;
    bool may_use_route = f->route_kind == ROUTE_CHOSEN || f->place == TREE_BACKUP;
    if (w->head->is_keeper && !w->head->route_sent && may_use_route &&
        w->plan->rows[index_of(w, w->head)].verdict == TREE_OK) {
        act(w, (struct tree_action){
                   .kind = TREE_ACT_SET_ACTIVE,
                   .rule = "T16",
                   .why = "not known which route it uses",
                   .node = index_of(w, w->head),
                   .target = f->source,
                   .with_route = f->route_kind == ROUTE_CHOSEN,
                   .stage = 1,
                   .is_refresh = true,
               });
    }
}

/* Whom it follows is another matter: the verdict stays. */
static void set_priorities(struct tree_work *w)
{
    for (size_t i = 0; i < w->f->node_count; i++) {
        struct tree_row *row = &w->plan->rows[i];
        struct priority_want want = priority_decide(w->f, &w->f->nodes[i]);
        if (want.value < 0 || row->verdict == TREE_WRONG) {
            continue;
        }
        if (!row->note[0]) {
            (void)snprintf(row->note, sizeof(row->note), "%s", want.why);
        }
        w->plan->actions[w->plan->action_count++] =
            (struct tree_action){ .kind = TREE_ACT_SET_PRIORITY,
                                  .rule = want.rule,
                                  .why = want.why,
                                  .node = i,
                                  .priority = want.value,
                                  .stage = 1,
                                  .is_refresh = true };
    }
}

void tree_decide(const struct tree_facts *facts, struct tree_plan *plan)
{
    xp_check(facts->node_count <= TREE_NODES_MAX && facts->redis_count <= facts->node_count);
    struct tree_work w = { .f = facts, .plan = plan };
    plan->action_count = 0;
    plan->relay = (struct relay_choice){ .index = -1 };
    for (size_t i = 0; i < facts->node_count; i++) {
        plan->rows[i] = (struct tree_row){ .verdict = TREE_OK };
    }
    w.head = find_head(&w);
    plan->head = w.head ? (int)index_of(&w, w.head) : -1;
    if (w.head) {
        judge_head(&w);
        w.is_head_ready = is_ready(&w);
    }
    for (size_t i = 0; i < facts->node_count; i++) {
        if (&facts->nodes[i] != w.head) {
            judge_follower(&w, &facts->nodes[i]);
        }
    }
    set_priorities(&w);
    if (w.head) {
        refresh_route(&w);
    }
}

/* ---- as text ---- */

static void print_row(const struct tree_facts *f, const struct tree_plan *plan, size_t i,
                      struct str *out)
{
    const struct tree_row *row = &plan->rows[i];
    str_printf(out, "%s%s %s", (int)i == plan->head ? "* " : "  ", ADDR_TEXT(&f->nodes[i].addr),
               tree_verdict_text(row->verdict));
    if (!addr_is_none(&row->wanted)) {
        str_printf(out, " -> %s", ADDR_TEXT(&row->wanted));
    }
    str_printf(out, "%s%s\n", row->note[0] ? ": " : "", row->note);
}

static void print_command(const struct tree_facts *f, const struct tree_action *a, struct str *out)
{
    static const char *const words[] = {
        [TREE_ACT_SET_ACTIVE] = "KEEPER SETSTATE ACTIVE",
        [TREE_ACT_SET_BACKUP] = "KEEPER SETSTATE BACKUP",
        [TREE_ACT_FOLLOW] = "SLAVEOF",
    };
    if (a->kind == TREE_ACT_SET_PRIORITY) {
        str_printf(out, "CONFIG SET slave-priority %d", a->priority);
        return;
    }
    str_printf(out, "%s %s %d", words[a->kind], a->target.host, a->target.port);
    if (a->with_route) {
        str_printf(out, " PROXY ROUTE %s TCP", f->route_words);
    }
}

static void print_action(const struct tree_facts *f, const struct tree_action *a, struct str *out)
{
    str_printf(out, "%s stage %d %s: ", a->rule, a->stage, ADDR_TEXT(&f->nodes[a->node].addr));
    print_command(f, a, out);
    str_printf(out, "%s%s # %s\n", a->breaks_link ? " (cuts a link)" : "",
               a->is_refresh ? " (refresh)" : "", a->why);
}

void tree_plan_print(const struct tree_facts *facts, const struct tree_plan *plan, struct str *out)
{
    str_printf(out, "%s", tree_place_text(facts->place));
    if (plan->relay.rule) {
        str_printf(out, ", relay by %s%s", plan->relay.rule,
                   plan->relay.is_moved ? " (moved)" : "");
    }
    str_putc(out, '\n');
    for (size_t i = 0; i < facts->node_count; i++) {
        print_row(facts, plan, i, out);
    }
    for (size_t i = 0; i < plan->action_count; i++) {
        print_action(facts, &plan->actions[i], out);
    }
}
