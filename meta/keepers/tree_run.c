/* tree_run.c - carries a plan out, a stage at a time: every node of the stage is looked at once more on its own connection, ownership
 * and lease are asked, then the command; the next stage begins when all of this one said +OK. Decides nothing about the tree. */
#include <stdio.h>
#include <string.h>

#include "meta/keepers/tree_internal.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/switch/tree_commands.h"

#include "shared/base/banned.h"

#define RETRY_FIRST_MS 2000 /* first pause where asking again may well help; doubles */

static const char *const role_words[] = { "ROLE" };
static const char *const state_words[] = { "KEEPER", "GETSTATE" };
static const char *const rewrite_words[] = { "CONFIG", "REWRITE" };

static void on_command(const struct rreply *reply, enum rconn_why why, void *arg, uint64_t token);

/* ---- the run ---- */

bool tree_run_is_active(const struct tree_duty *duty)
{
    return duty->run && duty->run->step_count > 0;
}

static size_t count_in(const struct tree_run *run, enum step_phase phase)
{
    size_t count = 0;
    for (size_t i = 0; run && i < run->step_count; i++) {
        count += run->steps[i].phase == phase;
    }
    return count;
}

bool tree_run_is_commanding(const struct tree_duty *duty)
{
    return count_in(duty->run, STEP_COMMANDS) > 0;
}

static struct run_step *step_of(const struct tree_duty *duty, const struct tree_member *m)
{
    for (size_t i = 0; duty->run && i < duty->run->step_count; i++) {
        if (duty->run->steps[i].member == m) {
            return &duty->run->steps[i];
        }
    }
    return NULL;
}

bool tree_run_waits_for(const struct tree_duty *duty, const struct tree_member *m)
{
    const struct run_step *step = step_of(duty, m);
    return step && step->phase == STEP_COMMANDS;
}

static void drop_steps(struct tree_run *run)
{
    for (size_t i = 0; i < run->step_count; i++) {
        free(run->steps[i].route);
    }
    free(TAKE(run->steps));
    run->step_count = 0;
}

static void end_run(struct tree_duty *duty)
{
    drop_steps(duty->run);
    duty->run->generation++;
    tree_poll_now(duty, 0); /* reads back what became of it */
}

void tree_run_outdate(struct tree_duty *duty)
{
    if (duty->run) {
        duty->run->is_outdated = true;
    }
    for (size_t i = 0; i < duty->member_count; i++) {
        free(TAKE(duty->members[i]->order));
    }
}

void tree_run_free(struct tree_duty *duty)
{
    if (duty->run) {
        drop_steps(duty->run);
        free(TAKE(duty->run));
    }
}

/* ---- one step ---- */

/* The step is over; its member may be freed by this. */
static void finish(struct run_step *step, enum step_phase phase)
{
    struct tree_member *m = step->member;
    step->phase = phase;
    step->member = NULL;
    if (m) {
        tree_member_settle(m);
    }
}

static void back_off(struct tree_member *m, int64_t first_ms)
{
    const struct duty_env *env = m->duty->env;
    int64_t next_ms = m->backoff_ms == 0 ? first_ms : m->backoff_ms * 2;
    m->backoff_ms = next_ms < env->backoff_max_ms ? next_ms : env->backoff_max_ms;
    m->backoff_until = loop_now(env->loop) + m->backoff_ms;
}

static void drop(struct tree_duty *duty, struct run_step *step, const char *why)
{
    log_info("tree.dropped", "cluster", duty->base.cluster->name, "shard", duty->base.shard, "node",
             ADDR_TEXT(&step->member->node.addr), "rule", step->rule, "why", why);
    finish(step, STEP_FAILED);
    tree_poll_now(duty, duty->env->poll_fast_ms);
}

/* ---- the words ---- */

static struct tree_order order_of(const struct run_step *step)
{
    static const enum tree_command_kind kinds[] = {
        [STEP_SET_ACTIVE] = TREE_COMMAND_SET_ACTIVE,
        [STEP_SET_BACKUP] = TREE_COMMAND_SET_BACKUP,
        [STEP_FOLLOW] = TREE_COMMAND_FOLLOW,
        [STEP_PROMOTE] = TREE_COMMAND_PROMOTE,
        [STEP_SET_PRIORITY] = TREE_COMMAND_SET_PRIORITY,
    };
    return (struct tree_order){ .kind = kinds[step->kind],
                                .verb = step->verb,
                                .target = &step->target,
                                .route = step->route,
                                .priority = step->priority };
}

static char *command_text(const struct run_step *step)
{
    struct tree_order order = order_of(step);
    return tree_command_text(&order);
}

/* ---- after a command ---- */

static void on_rewrite(const struct rreply *reply, enum rconn_why why, void *arg, uint64_t token)
{
    (void)token;
    const struct tree_member *m = arg;
    if (m->duty->is_closing || m->is_departed || (reply && !rreply_is_error(reply))) {
        return;
    }
    /* A Redis without a config file has nothing to rewrite; what it follows is in force either way. */
    log_warn("tree.rewrite_failed", "cluster", m->duty->base.cluster->name, "shard",
             m->duty->base.shard, "redis", ADDR_TEXT(&m->node.addr), "error",
             reply ? rreply_text(reply, NULL) : rconn_why_text(why));
}

static void rewrite(struct tree_member *m)
{
    struct xp_err err;
    if (tree_check_allowed(m->duty, &err) != 0 ||
        rconn_send(m->conn, ARRAY_LEN(rewrite_words), rewrite_words, NULL,
                   m->duty->env->redis_timeout_ms, on_rewrite, m, 0, &err) != 0) {
        log_warn("tree.rewrite_failed", "cluster", m->duty->base.cluster->name, "shard",
                 m->duty->base.shard, "redis", ADDR_TEXT(&m->node.addr), "error", err.msg);
    }
}

static void remember_route(struct tree_member *m, struct run_step *step)
{
    free(m->route);
    m->route = step->route ? TAKE(step->route) : xstrdup("");
    (void)snprintf(m->route_run_id, sizeof(m->route_run_id), "%s", m->run_id);
    m->route_started_at = m->started_at;
}

static void note_success(struct tree_member *m, struct run_step *step)
{
    struct tree_duty *duty = m->duty;
    metric_add(&tree_commands_ok, 1);
    if (duty->wrong_since != MONO_NEVER) {
        metric_observe_us(&tree_correction_seconds,
                          (loop_now(duty->env->loop) - duty->wrong_since) * 1000);
    }
    switch (step->kind) {
    case STEP_SET_ACTIVE:
        remember_route(m, step);
        break;
    case STEP_SET_BACKUP:
        free(TAKE(m->route)); /* an active keeper it may become knows none */
        break;
    case STEP_SET_PRIORITY:
        tree_note_priority(m, step->priority);
        m->priority_failures = 0;
        rewrite(m);
        break;
    case STEP_FOLLOW:
    case STEP_PROMOTE:
        rewrite(m);
        break;
    }
    bool is_place = step->kind != STEP_PROMOTE && step->kind != STEP_SET_PRIORITY;
    if (!duty->run->is_outdated && is_place) {
        static const enum tree_action_kind kinds[] = { [STEP_SET_ACTIVE] = TREE_ACT_SET_ACTIVE,
                                                       [STEP_SET_BACKUP] = TREE_ACT_SET_BACKUP,
                                                       [STEP_FOLLOW] = TREE_ACT_FOLLOW };
        m->order = m->order ? m->order : xcalloc(1, sizeof(*m->order));
        *m->order = (struct member_order){ kinds[step->kind], step->target };
    }
}

/* Who keeps its priority is given its place none the less: that is what the data comes over. */
static void note_failure(struct tree_member *m, const struct run_step *step,
                         const struct rreply *reply)
{
    metric_add(reply ? &tree_commands_refused : &tree_commands_unknown, 1);
    if (step->kind == STEP_SET_PRIORITY) {
        tree_note_no_priority(m, reply != NULL);
    } else {
        back_off(m, reply ? m->duty->env->backoff_first_ms : RETRY_FIRST_MS);
    }
}

static void log_outcome(const struct tree_duty *duty, const struct run_step *step,
                        const char *command, const char *reply, bool ok)
{
    const char *node = ADDR_TEXT(&step->member->node.addr);
    if (ok) {
        log_info("tree.done", "cluster", duty->base.cluster->name, "shard", duty->base.shard,
                 "node", node, "rule", step->rule, "why", step->why, "command", command, "reply",
                 reply);
    } else {
        log_warn("tree.failed", "cluster", duty->base.cluster->name, "shard", duty->base.shard,
                 "node", node, "rule", step->rule, "command", command, "reply", reply, "pause_ms",
                 log_int(step->member->backoff_ms));
    }
}

/* ---- a command ---- */

static bool send_words(struct run_step *step, const char *const *words, size_t count,
                       rconn_reply_fn *fn)
{
    struct tree_member *m = step->member;
    bool has_route = step->kind == STEP_SET_ACTIVE && step->route && step->route[0] &&
                     step->phase == STEP_COMMANDS;
    int64_t timeout_ms = !m->node.is_keeper ? m->duty->env->redis_timeout_ms
                         : has_route        ? KEEPER_ROUTE_TIMEOUT_MS
                                            : KEEPER_TIMEOUT_MS;
    struct xp_err err;
    return rconn_send(m->conn, count, words, NULL, timeout_ms, fn, m, m->duty->run->generation,
                      &err) == 0;
}

static void send_command(struct tree_duty *duty, struct run_step *step)
{
    CLEANUP(tree_command_done) struct tree_command command;
    struct tree_order order = order_of(step);
    tree_command_build(&order, &command);
    step->phase = STEP_COMMANDS;
    if (!send_words(step, command.words, command.count, on_command)) {
        step->phase = STEP_LOOKS; /* nothing was sent */
        drop(duty, step, "its connection is gone");
        return;
    }
    step->member->is_unread = true;
    if (step->kind == STEP_PROMOTE) {
        /* Also when no answer comes: it may be a master now, and there must not be a second. */
        duty->promoted_at = loop_now(duty->env->loop);
        duty->lost_master = duty->source;
    }
}

/* May the step go on? Asked right before each of its commands. */
static int check_step(struct tree_duty *duty, struct xp_err *err)
{
    if (duty->run->is_outdated) {
        return xp_fail(err, XP_CONFLICT, "what is wanted changed meanwhile");
    }
    return tree_check_allowed(duty, err);
}

static void go_on(struct tree_duty *duty);

/* XSLAVEOF is what the builds of ctrip know, which keep the data over it; everybody else knows SLAVEOF. */
static bool try_other_verb(struct tree_duty *duty, struct run_step *step,
                           const struct rreply *reply)
{
    struct xp_err err;
    bool has_verb = step->kind == STEP_FOLLOW || step->kind == STEP_PROMOTE;
    bool is_refused = reply && rreply_is_error(reply) && text_eq(step->verb, "XSLAVEOF");
    if (!has_verb || !is_refused || duty->is_closing) {
        return false;
    }
    step->member->refuses_xslaveof = true;
    step->verb = "SLAVEOF";
    if (check_step(duty, &err) == 0) {
        send_command(duty, step);
    } else {
        drop(duty, step, err.msg);
    }
    return true;
}

/* The duty has left and waited for its answers only: what became of the command is told, nothing more is done. */
static void leave_with(struct tree_duty *duty, struct run_step *step, const char *text, bool ok)
{
    AUTO_FREE char *command = command_text(step);
    log_outcome(duty, step, command, text, ok);
    finish(step, ok ? STEP_DONE : STEP_FAILED);
    if (!tree_run_is_commanding(duty)) {
        duty->on_quiet(&duty->base, duty->quiet_arg); /* frees the duty */
    }
}

static void on_command(const struct rreply *reply, enum rconn_why why, void *arg, uint64_t token)
{
    struct tree_member *m = arg;
    struct tree_duty *duty = m->duty;
    if ((duty->is_closing && !duty->on_quiet) || token != duty->run->generation) {
        return;
    }
    struct run_step *step = step_of(duty, m);
    if (!step || try_other_verb(duty, step, reply)) {
        go_on(duty);
        return;
    }
    bool ok = reply && !rreply_is_error(reply) && rreply_first_word_is(reply, "OK");
    const char *text = reply ? rreply_text(reply, NULL) : rconn_why_text(why);
    if (duty->on_quiet) {
        leave_with(duty, step, text, ok);
        return;
    }
    AUTO_FREE char *command = command_text(step);
    action_record_set(&m->record, step->rule, command, text);
    if (ok) {
        note_success(m, step);
    } else {
        note_failure(m, step, reply);
    }
    log_outcome(duty, step, command, text, ok);
    finish(step, ok ? STEP_DONE : STEP_FAILED);
    go_on(duty);
}

/* ---- the last look ---- */

static int check_keeper(const struct run_step *step, const struct rreply *reply, struct xp_err *err)
{
    enum keeper_state state = tree_state_of(reply);
    if (state != step->seen_state) {
        return xp_fail(err, XP_CONFLICT, "its state is %s now, not %s", keeper_state_text(state),
                       keeper_state_text(step->seen_state));
    }
    return 0;
}

static int check_redis(const struct run_step *step, const struct redis_role *role,
                       struct xp_err *err)
{
    if (role->kind != step->seen_kind || !addr_eq(&role->master, &step->seen_master)) {
        return xp_fail(err, XP_CONFLICT, "it is not what was seen any more: %s of %s",
                       role_kind_text(role->kind),
                       addr_is_none(&role->master) ? "nobody" : ADDR_TEXT(&role->master));
    }
    if (role->link == ROLE_LINK_SYNC && step->seen_link != ROLE_LINK_SYNC) {
        return xp_fail(err, XP_CONFLICT, "it began a full synchronisation");
    }
    if (step->kind == STEP_PROMOTE && role->link == ROLE_LINK_CONNECTED) {
        return xp_fail(err, XP_CONFLICT, "its master is back");
    }
    return 0;
}

/* Somebody may have changed it since it was read last. */
static int check_priority(struct run_step *step, const struct rreply *reply, struct xp_err *err)
{
    int priority = tree_priority_of(reply);
    if (priority >= 0) {
        tree_note_priority(step->member, priority);
    }
    if (priority != step->seen_priority) {
        return xp_fail(err, XP_CONFLICT, "its priority is %d now, not %d", priority,
                       step->seen_priority);
    }
    return 0;
}

static bool is_done_already(const struct run_step *step, const struct redis_role *role)
{
    return step->kind == STEP_FOLLOW && role->kind == ROLE_KIND_REPLICA &&
           addr_eq(&role->master, &step->target);
}

static int check_look(struct run_step *step, const struct rreply *reply,
                      const struct redis_role *role, struct xp_err *err)
{
    if (step->kind == STEP_SET_PRIORITY) {
        return check_priority(step, reply, err);
    }
    return step->member->node.is_keeper ? check_keeper(step, reply, err)
                                        : check_redis(step, role, err);
}

static void on_look(const struct rreply *reply, enum rconn_why why, void *arg, uint64_t token)
{
    (void)why;
    struct tree_member *m = arg;
    struct tree_duty *duty = m->duty;
    if (duty->is_closing || m->is_departed || token != duty->run->generation) {
        return;
    }
    struct run_step *step = step_of(duty, m);
    struct redis_role role = { 0 };
    struct xp_err err = { 0 };
    redis_role_read(reply, &role);
    if (!m->node.is_keeper && is_done_already(step, &role)) {
        finish(step, STEP_DONE);
        go_on(duty);
        return;
    }
    int rc = check_look(step, reply, &role, &err);
    rc = rc != 0 ? rc : check_step(duty, &err);
    if (rc == 0) {
        send_command(duty, step);
    } else {
        drop(duty, step, err.msg);
    }
    go_on(duty);
}

static void look(struct tree_duty *duty, struct run_step *step)
{
    bool is_keeper = step->member->node.is_keeper;
    bool is_priority = step->kind == STEP_SET_PRIORITY;
    const char *const *words = is_keeper     ? state_words
                               : is_priority ? tree_priority_words
                                             : role_words;
    size_t count = is_keeper     ? ARRAY_LEN(state_words)
                   : is_priority ? ARRAY_LEN(tree_priority_words)
                                 : ARRAY_LEN(role_words);
    step->phase = STEP_LOOKS;
    step->member->is_busy = true;
    if (!send_words(step, words, count, on_look)) {
        drop(duty, step, "its connection is gone");
    }
}

/* ---- from stage to stage ---- */

static bool start_stage(struct tree_duty *duty)
{
    struct tree_run *run = duty->run;
    bool is_any = false;
    for (size_t i = 0; i < run->step_count; i++) {
        if (run->steps[i].stage == run->stage && run->steps[i].phase == STEP_WAITS) {
            is_any = true;
            look(duty, &run->steps[i]);
        }
    }
    return is_any;
}

/* A stage is over when nobody of it waits for an answer; the run, when one failed or none is left. */
static void go_on(struct tree_duty *duty)
{
    struct tree_run *run = duty->run;
    while (tree_run_is_active(duty)) {
        if (count_in(run, STEP_LOOKS) + count_in(run, STEP_COMMANDS) > 0) {
            return;
        }
        if (run->is_outdated || count_in(run, STEP_FAILED) > 0 || count_in(run, STEP_WAITS) == 0) {
            end_run(duty);
            return;
        }
        if (!start_stage(duty)) {
            run->stage++;
        }
    }
}

void tree_run_drop(struct tree_duty *duty, const struct tree_member *m)
{
    struct run_step *step = step_of(duty, m);
    if (step) {
        step->member = NULL;
        step->phase = STEP_FAILED;
        duty->run->is_outdated = true;
        go_on(duty); /* ends the run when nobody else is waited for; sends nothing */
    }
}

static struct tree_run *begin(struct tree_duty *duty, size_t steps_max)
{
    if (!duty->run) {
        duty->run = xcalloc(1, sizeof(*duty->run));
    }
    struct tree_run *run = duty->run;
    run->steps = xcalloc(steps_max, sizeof(*run->steps));
    run->step_count = 0;
    run->generation++;
    run->stage = 0;
    run->is_outdated = false;
    return run;
}

static struct run_step *add_step(struct tree_run *run, enum step_kind kind, struct tree_member *m,
                                 const struct addr *target)
{
    struct run_step *step = &run->steps[run->step_count++];
    *step = (struct run_step){
        .kind = kind,
        .member = m,
        .target = *target,
        .verb = m->refuses_xslaveof ? "SLAVEOF" : "XSLAVEOF",
        .seen_kind = m->node.role.kind,
        .seen_master = m->node.role.master,
        .seen_link = m->node.role.link,
        .seen_state = m->node.state,
        .seen_priority = m->node.priority,
    };
    return step;
}

/* ---- from a plan ---- */

/* It said +OK and yet shows something else: it did not take it, or somebody else changes it at the same time. */
static bool was_not_taken(struct tree_member *m, const struct tree_action *action)
{
    bool is_again = m->order && m->order->kind == action->kind &&
                    addr_eq(&m->order->target, &action->target) && !action->is_refresh;
    free(TAKE(m->order));
    if (is_again) {
        back_off(m, RETRY_FIRST_MS);
        metric_add(&tree_not_taken, 1);
        log_warn("tree.not_taken", "cluster", m->duty->base.cluster->name, "shard",
                 m->duty->base.shard, "node", ADDR_TEXT(&m->node.addr), "rule", action->rule,
                 "pause_ms", log_int(m->backoff_ms));
    }
    return is_again;
}

enum choice { CHOICE_TAKE, CHOICE_SKIP, CHOICE_BLOCK /* what depends on it must wait, too */ };

static enum choice choose(struct tree_duty *duty, const struct tree_action *action,
                          struct xp_err *why)
{
    struct tree_member *m = duty->members[action->node];
    mono_ms now = loop_now(duty->env->loop);
    if (now < m->backoff_until) {
        return CHOICE_BLOCK;
    }
    if ((action->kind == TREE_ACT_FOLLOW && tree_check_discard(m, why) != 0) ||
        was_not_taken(m, action)) {
        return CHOICE_BLOCK;
    }
    if (action->is_refresh && !budget_take(&duty->tree_env->refresh, now)) {
        return CHOICE_SKIP; /* nothing is seen to be wrong there */
    }
    return CHOICE_TAKE;
}

static void add_action(struct tree_duty *duty, const struct tree_facts *facts,
                       const struct tree_action *action)
{
    static const enum step_kind kinds[] = { [TREE_ACT_SET_ACTIVE] = STEP_SET_ACTIVE,
                                            [TREE_ACT_SET_BACKUP] = STEP_SET_BACKUP,
                                            [TREE_ACT_FOLLOW] = STEP_FOLLOW,
                                            [TREE_ACT_SET_PRIORITY] = STEP_SET_PRIORITY };
    struct run_step *step =
        add_step(duty->run, kinds[action->kind], duty->members[action->node], &action->target);
    step->rule = action->rule;
    step->why = action->why;
    step->stage = action->stage;
    step->priority = action->priority;
    step->route = action->with_route ? xstrdup(facts->route_words) : NULL;
}

/* What was begun and must not go on: as if it had never been. */
static void abandon(struct tree_duty *duty, const char *why)
{
    drop_steps(duty->run);
    tree_note_hold(duty, why);
}

struct selection {
    bool is_waiting; /* an action backs off; a refresh without a budget is nothing to speak of */
    bool is_blocked; /* an action of stage 0 waits: nothing of stage 1 */
    bool is_real;    /* something is wrong, not only a route unknown */
    bool cuts;
    struct xp_err why; /* it waits, where it is no back-off; "" else */
};

static struct selection select_actions(struct tree_duty *duty, const struct tree_facts *facts,
                                       const struct tree_plan *plan)
{
    struct selection s = { 0 };
    for (int stage = 0; stage <= 1; stage++) {
        for (size_t i = 0; i < plan->action_count; i++) {
            const struct tree_action *action = &plan->actions[i];
            if (action->stage != stage || (stage == 1 && s.is_blocked)) {
                continue;
            }
            enum choice choice = choose(duty, action, &s.why);
            s.is_waiting |= choice == CHOICE_BLOCK;
            s.is_blocked |= choice == CHOICE_BLOCK && stage == 0;
            if (choice == CHOICE_TAKE) {
                add_action(duty, facts, action);
                s.is_real |= !action->is_refresh;
                s.cuts |= action->breaks_link;
            }
        }
    }
    return s;
}

void tree_run_start(struct tree_duty *duty, const struct tree_facts *facts,
                    const struct tree_plan *plan)
{
    struct tree_run *run = begin(duty, plan->action_count);
    struct selection s = select_actions(duty, facts, plan);
    if (run->step_count == 0) {
        const char *why = s.why.msg[0] ? s.why.msg : "backing off";
        abandon(duty, s.is_waiting ? why : NULL);
    } else if (s.is_real && !duty_take_budget(duty->env, s.cuts)) {
        abandon(duty, "budget of corrections is used up");
    } else {
        tree_note_hold(duty, NULL);
        go_on(duty);
    }
}

/* ---- in the primary DC ---- */

static bool is_follower(const struct tree_member *m)
{
    return !m->node.is_keeper && m->node.role_at != MONO_NEVER &&
           m->node.role.kind == ROLE_KIND_REPLICA &&
           loop_now(m->duty->env->loop) >= m->backoff_until;
}

static void start_or_hold(struct tree_duty *duty)
{
    if (duty->run->step_count == 0) {
        abandon(duty, "backing off");
    } else if (!duty_take_budget(duty->env, true)) {
        abandon(duty, "budget of corrections is used up");
    } else {
        tree_note_hold(duty, NULL);
        go_on(duty);
    }
}

void tree_run_failover(struct tree_duty *duty, const struct failover_plan *plan)
{
    struct tree_member *chosen = duty->members[plan->node];
    struct tree_run *run = begin(duty, duty->redis_count);
    bool is_promotion = plan->verdict == FAILOVER_PROMOTE;
    if (loop_now(duty->env->loop) >= chosen->backoff_until) {
        struct run_step *step = add_step(run, is_promotion ? STEP_PROMOTE : STEP_FOLLOW, chosen,
                                         is_promotion ? &chosen->node.addr : &duty->source);
        step->rule = plan->rule;
        step->why = plan->why;
    }
    for (size_t i = 0; is_promotion && run->step_count > 0 && i < duty->redis_count; i++) {
        struct tree_member *m = duty->members[i];
        if (m != chosen && is_follower(m)) {
            struct run_step *step = add_step(run, STEP_FOLLOW, m, &chosen->node.addr);
            step->stage = 1;
            step->rule = plan->rule;
            step->why = "follows the promoted one";
        }
    }
    start_or_hold(duty);
}

void tree_run_repoint(struct tree_duty *duty)
{
    struct tree_run *run = begin(duty, duty->redis_count);
    for (size_t i = 0; i < duty->redis_count; i++) {
        struct tree_member *m = duty->members[i];
        if (is_follower(m) && addr_eq(&m->node.role.master, &duty->lost_master)) {
            struct run_step *step = add_step(run, STEP_FOLLOW, m, &duty->source);
            step->rule = "promoted";
            step->why = "still follows the master that was lost";
        }
    }
    start_or_hold(duty);
}
