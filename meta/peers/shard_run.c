/* shard_run.c - carries a plan out: ROLE, ownership, PEEROF, one after the other on the master's own connection, then
 * CONFIG REWRITE where Redis does not write by itself, then a read-back. Decides nothing about peers. */
#include "meta/peers/shard_internal.h"

#include <stdio.h>
#include <string.h>

#include "shared/base/fault.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

#define REWRITE_TRIES_MAX 10

enum rewrite_of { REWRITE_OF_MASTER, REWRITE_OF_REPLICA };

static const char *const role_words[] = { "ROLE" };
static const char *const rewrite_words[] = { "CONFIG", "REWRITE" };

static void next_step(struct shard_duty *duty);

static struct shard_node *run_node(struct shard_duty *duty)
{
    return &duty->nodes[duty->run->node];
}

static void drop_steps(struct shard_run *run)
{
    for (size_t i = 0; i < run->step_count; i++) {
        peerof_words_done(&run->steps[i].words);
    }
    free(TAKE(run->steps));
    run->step_count = 0;
    run->at = 0;
}

bool shard_run_is_active(const struct shard_duty *duty)
{
    return duty->run && duty->run->phase != RUN_IDLE;
}

bool shard_run_is_commanding(const struct shard_duty *duty)
{
    return duty->run && duty->run->phase == RUN_COMMAND;
}

static void end_run(struct shard_duty *duty)
{
    drop_steps(duty->run);
    duty->run->phase = RUN_IDLE;
    duty->run->generation++;
}

void shard_run_cancel(struct shard_duty *duty)
{
    if (duty->run) {
        end_run(duty);
        duty->run->applied = 0;
    }
}

void shard_run_outdate(struct shard_duty *duty)
{
    if (duty->run) {
        duty->run->applied = 0;
        duty->run->is_unanswered = false;
        duty->run->is_outdated = true;
    }
}

void shard_run_free(struct shard_duty *duty)
{
    shard_run_cancel(duty);
    free(duty->run);
    duty->run = NULL;
}

static void back_off(struct shard_duty *duty, int64_t first_ms)
{
    const struct duty_env *env = duty->env;
    int64_t next_ms = duty->backoff_ms == 0 ? first_ms : duty->backoff_ms * 2;
    duty->backoff_ms = next_ms < env->backoff_max_ms ? next_ms : env->backoff_max_ms;
    duty->backoff_until = loop_now(env->loop) + duty->backoff_ms;
}

/* First pause where asking again may well help: no answer twice, or OK and nothing taken, as when somebody else changes the peer
 * at the same time. It doubles like every other. */
#define RETRY_FIRST_MS 2000

/* An answer of "no" does not change by asking again. A command without an answer is read back and sent again at once, but a Redis
 * that dies, hangs or talks nonsense at each of them is not to be hammered. */
static void pause_after_failure(struct shard_duty *duty, bool is_refused)
{
    if (is_refused) {
        back_off(duty, duty->env->backoff_first_ms);
    } else if (duty->run->is_unanswered) {
        back_off(duty, RETRY_FIRST_MS);
    }
    duty->run->is_unanswered = !is_refused;
}

static void log_step(struct shard_duty *duty, const struct run_step *step, const char *command,
                     const char *reply, bool ok)
{
    struct shard_node *node = run_node(duty);
    if (ok) {
        log_info("correction.done", "cluster", duty->base.cluster->name, "shard", duty->base.shard,
                 "redis", ADDR_TEXT(&node->addr), "rule", step->action.rule, "why",
                 step->action.why, "command", command, "reply", reply);
    } else {
        log_warn("correction.failed", "cluster", duty->base.cluster->name, "shard",
                 duty->base.shard, "redis", ADDR_TEXT(&node->addr), "rule", step->action.rule,
                 "command", command, "reply", reply, "pause_ms", log_int(duty->backoff_ms));
    }
}

static void on_rewrite(const struct rreply *reply, enum rconn_why why, void *arg, uint64_t token)
{
    struct shard_duty *duty = arg;
    if (duty->is_closing || (reply && !rreply_is_error(reply))) {
        return;
    }
    if (!reply && duty->run && duty->run->rewrite_tries < REWRITE_TRIES_MAX) {
        /* unknown, and harmless twice: owed to the next poll that finds all as wanted */
        duty->run->rewrite_tries++;
        duty->run->needs_rewrite |= token == REWRITE_OF_MASTER;
        duty->run->rewrite_replicas |= token == REWRITE_OF_REPLICA;
    }
    /* A Redis without a config file has nothing to rewrite; the correction itself is in force either way. */
    log_warn("correction.rewrite_failed", "cluster", duty->base.cluster->name, "shard",
             duty->base.shard, "error", reply ? rreply_text(reply, NULL) : rconn_why_text(why));
}

static void rewrite(struct shard_duty *duty, struct shard_node *node, enum rewrite_of of)
{
    struct xp_err err;
    if (rconn_send(node->conn, ARRAY_LEN(rewrite_words), rewrite_words, NULL,
                   duty->env->redis_timeout_ms, on_rewrite, duty, of, &err) != 0) {
        log_warn("correction.rewrite_failed", "cluster", duty->base.cluster->name, "shard",
                 duty->base.shard, "redis", ADDR_TEXT(&node->addr), "error", err.msg);
    }
}

void shard_run_rewrite(struct shard_duty *duty, struct shard_node *master)
{
    struct shard_run *run = duty->run;
    struct xp_err err;
    if (!run->needs_rewrite && !run->rewrite_replicas) {
        return;
    }
    if (shard_check_allowed(duty, &err) != 0) {
        if (!run->is_owed_told) {
            log_info("correction.rewrite_owed", "cluster", duty->base.cluster->name, "shard",
                     duty->base.shard, "why", err.msg, "next", "sent by the next poll that may");
        }
        run->is_owed_told = true;
        return;
    }
    run->is_owed_told = false;
    if (run->needs_rewrite) {
        run->needs_rewrite = false;
        rewrite(duty, master, REWRITE_OF_MASTER);
    }
    bool replicas_too = run->rewrite_replicas;
    run->rewrite_replicas = false;
    for (size_t i = 0; replicas_too && i < duty->node_count; i++) {
        if (duty->nodes[i].role == ROLE_SLAVE) {
            rewrite(duty, &duty->nodes[i], REWRITE_OF_REPLICA);
        }
    }
}

/* All steps are through: make them durable, look at the result at once. */
static void complete(struct shard_duty *duty)
{
    struct shard_node *master = run_node(duty);
    shard_run_rewrite(duty, master);
    end_run(duty);
    shard_node_ask_info(master);
}

#define REMOVED_SHIFT 16
#define GIDS_MASK     0xFFFFU

/* In 'applied'. A kick is not meant to change anything. */
static uint32_t bit_of(const struct peer_action *action)
{
    switch (action->kind) {
    case PEER_ACT_SET:
        return 1U << action->gid;
    case PEER_ACT_REMOVE:
        return 1U << (action->gid + REMOVED_SHIFT);
    case PEER_ACT_KICK:
        break;
    }
    return 0;
}

static void note_success(struct shard_duty *duty, const struct run_step *step)
{
    const struct shard_node *node = run_node(duty);
    metric_add(&shard_corrections_ok, 1);
    if (duty->wrong_since != MONO_NEVER) {
        metric_observe_us(&shard_correction_seconds,
                          (loop_now(duty->env->loop) - duty->wrong_since) * 1000);
    }
    if (strcmp(duty->kicked_run_id, node->server.run_id) != 0) {
        (void)snprintf(duty->kicked_run_id, sizeof(duty->kicked_run_id), "%s", node->server.run_id);
        duty->kicked_gids = 0;
    }
    duty->kicked_gids |= 1U << step->action.gid; /* any PEEROF ends the wait after a restart */
    if (!duty->run->is_outdated) {
        duty->run->applied |= bit_of(&step->action);
    }
    duty->run->rewrite_tries = 0;
    duty->run->is_unanswered = false;
    duty->run->needs_rewrite |= step->action.needs_rewrite;
    duty->run->rewrite_replicas |= step->action.rewrite_replicas;
}

/* The duty has left and waited for this answer only: what became of the command is told, nothing more is done. */
static void leave_with(struct shard_duty *duty, const char *text, bool ok)
{
    const struct run_step *step = &duty->run->steps[duty->run->at];
    AUTO_FREE char *command = peerof_words_text(&step->words);
    log_step(duty, step, command, text, ok);
    end_run(duty);
    duty->on_quiet(&duty->base, duty->quiet_arg); /* frees the duty */
}

static void on_command(const struct rreply *reply, enum rconn_why why, void *arg, uint64_t token)
{
    struct shard_duty *duty = arg;
    bool is_wanted = !duty->is_closing || duty->on_quiet;
    if (!is_wanted || !duty->run || token != duty->run->generation) {
        return;
    }
    (void)fault_hit(FAULT_meta_after_peerof);
    struct run_step *step = &duty->run->steps[duty->run->at];
    AUTO_FREE char *command = peerof_words_text(&step->words);
    const char *text = reply ? rreply_text(reply, NULL) : rconn_why_text(why);
    bool ok = reply && peerof_reply_of(reply) != PEEROF_REFUSED;
    if (duty->on_quiet) {
        leave_with(duty, text, ok);
        return;
    }
    action_record_set(&duty->records[step->action.gid], step->action.rule, command, text);
    if (!ok) {
        metric_add(reply ? &shard_corrections_refused : &shard_corrections_unknown, 1);
        pause_after_failure(duty, reply != NULL);
        log_step(duty, step, command, text, false);
        end_run(duty);
        return;
    }
    log_step(duty, step, command, text, true);
    note_success(duty, step);
    duty->run->at++;
    if (crdt_version_may_answer_twice(&run_node(duty)->server.version)) {
        struct rconn *conn = run_node(duty)->conn;
        /* a second reply would shift all later ones; the next poll does the rest, the rewrite too */
        end_run(duty);
        rconn_reconnect(conn);
        return;
    }
    next_step(duty);
}

static void send_step(struct shard_duty *duty)
{
    struct run_step *step = &duty->run->steps[duty->run->at];
    struct xp_err err;
    (void)fault_hit(FAULT_meta_before_peerof);
    duty->run->phase = RUN_COMMAND;
    int rc = rconn_send(run_node(duty)->conn, step->words.count,
                        (const char *const *)(const void *)step->words.word, NULL,
                        duty->env->redis_timeout_ms, on_command, duty, duty->run->generation, &err);
    if (rc != 0) {
        end_run(duty);
    }
}

/* The last look before a command: still a master, still ours. */
static void on_role(const struct rreply *reply, enum rconn_why why, void *arg, uint64_t token)
{
    (void)why;
    struct shard_duty *duty = arg;
    if (duty->is_closing || !duty->run || token != duty->run->generation) {
        return;
    }
    struct xp_err err = { 0 };
    if (shard_role_of(reply) != ROLE_MASTER) {
        (void)xp_fail(&err, XP_CONFLICT, "it is no master any more");
    } else if (shard_master_node(duty) != run_node(duty)) {
        (void)xp_fail(&err, XP_CONFLICT, "it is not the single master of the shard now");
    } else if (duty->run->is_outdated) {
        (void)xp_fail(&err, XP_CONFLICT, "what is wanted changed meanwhile");
    } else if (shard_check_allowed(duty, &err) == 0) {
        send_step(duty);
        return;
    }
    log_info("correction.dropped", "cluster", duty->base.cluster->name, "shard", duty->base.shard,
             "redis", ADDR_TEXT(&run_node(duty)->addr), "why", err.msg);
    end_run(duty);
    shard_poll_now(duty, duty->env->poll_fast_ms);
}

static void next_step(struct shard_duty *duty)
{
    struct shard_run *run = duty->run;
    if (run->at == run->step_count) {
        complete(duty);
        return;
    }
    struct xp_err err;
    run->phase = RUN_ROLE;
    if (rconn_send(run_node(duty)->conn, ARRAY_LEN(role_words), role_words, NULL,
                   duty->env->redis_timeout_ms, on_role, duty, run->generation, &err) != 0) {
        end_run(duty);
    }
}

/* Redis answered OK to the last run and yet shows something else: it did not take it, or somebody else changes it at the same
 * time. */
static bool was_not_taken(struct shard_duty *duty, const struct peer_plan *plan)
{
    uint32_t again = 0;
    for (size_t i = 0; i < plan->action_count; i++) {
        again |= bit_of(&plan->actions[i]);
    }
    again &= duty->run->applied;
    duty->run->applied = 0;
    if (!again) {
        return false;
    }
    back_off(duty, RETRY_FIRST_MS);
    log_warn("correction.not_taken", "cluster", duty->base.cluster->name, "shard", duty->base.shard,
             "gids", log_fmt("0x%x", (unsigned)((again | again >> REMOVED_SHIFT) & GIDS_MASK)),
             "pause_ms", log_int(duty->backoff_ms));
    return true;
}

void shard_run_start(struct shard_duty *duty, size_t node, const struct peer_facts *facts,
                     const struct peer_plan *plan)
{
    if (!duty->run) {
        duty->run = xcalloc(1, sizeof(*duty->run));
    }
    struct shard_run *run = duty->run;
    if (was_not_taken(duty, plan)) {
        return;
    }
    drop_steps(run);
    run->steps = xcalloc(plan->action_count, sizeof(*run->steps));
    run->generation++;
    run->node = node;
    run->is_outdated = false;
    for (size_t i = 0; i < plan->action_count; i++) {
        struct run_step *step = &run->steps[run->step_count++];
        step->action = plan->actions[i];
        if (step->action.kind == PEER_ACT_REMOVE) {
            peerof_build_removal(step->action.gid, &step->words);
        } else {
            const struct wanted_peer *w = &facts->wanted[step->action.wanted_index];
            struct peerof_target target = { .gid = w->gid,
                                            .addr = w->addr,
                                            .route = w->choice == ROUTE_CHOSEN ? w->route : NULL };
            peerof_build(&target, &step->words);
        }
    }
    next_step(duty);
}
