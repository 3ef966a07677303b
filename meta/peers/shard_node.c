/* shard_node.c - the Redis of a shard: one connection each, ROLE and CRDT.INFO in a rhythm. Only observes. */
#include "meta/peers/shard_internal.h"

#include <stdio.h>
#include <string.h>

#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

/* A shard that became ours is looked at within this time, however long the period is: somebody may have waited for a session
 * time-out already. Thousands at once are spread by their turns to connect as well (rconn.h). */
#define CONNECT_SPREAD_MS 250

static const char *const role_words[] = { "ROLE" };
static const char *const info_words[] = { "CRDT.INFO", "replication" };
static const char *const server_words[] = { "INFO", "server" };

static void note_problem(struct shard_node *node, const char *text)
{
    if (strncmp(node->problem, text, sizeof(node->problem) - 1) != 0) {
        (void)snprintf(node->problem, sizeof(node->problem), "%s", text);
        if (text[0]) {
            log_info("redis.problem", "cluster", node->duty->base.cluster->name, "shard",
                     node->duty->base.shard, "redis", ADDR_TEXT(&node->addr), "problem", text);
        }
    }
}

static void note_role(struct shard_node *node, enum node_role role)
{
    node->role = role;
    node->was_tried = true;
    node->role_at = loop_now(node->duty->env->loop);
    if (role != ROLE_MASTER) {
        node->own_gid = 0;
    }
}

/* What this node said, or its silence, may have made another one the first known master, whose CRDT.INFO is read already. */
static void evaluate_after(struct shard_node *node)
{
    struct shard_duty *duty = node->duty;
    shard_evaluate_master(duty);
    struct shard_node *master = shard_master_node(duty);
    if (master && master != node && duty->checked_at == MONO_NEVER) {
        shard_node_ask_info(master);
    }
}

enum node_role shard_role_of(const struct rreply *reply)
{
    const struct rreply *word = rreply_at(reply, 0);
    return rreply_is(word, "master")  ? ROLE_MASTER
           : rreply_is(word, "slave") ? ROLE_SLAVE
                                      : ROLE_UNKNOWN;
}

/* What it said instead, as far as it is fit to be shown. */
static void note_refusal(struct shard_node *node, const char *command, const struct rreply *reply)
{
    char text[sizeof(node->problem)];
    if (rreply_is_error(reply)) {
        (void)snprintf(text, sizeof(text), "%s was refused: %.70s", command,
                       rreply_text(reply, NULL));
    } else {
        (void)snprintf(text, sizeof(text), "%s was answered with something else", command);
    }
    for (char *p = text; *p; p++) {
        *p = *p >= ' ' && *p <= '~' ? *p : '?';
    }
    note_problem(node, text);
}

static void on_role(const struct rreply *reply, enum rconn_why why, void *arg, uint64_t token)
{
    (void)token;
    struct shard_node *node = arg;
    if (node->duty->is_closing) {
        return;
    }
    node->outstanding--;
    if (!reply || rreply_is_error(reply) || shard_role_of(reply) == ROLE_UNKNOWN) {
        metric_add(&shard_polls_failed, 1);
        if (reply) {
            note_refusal(node, "ROLE", reply);
        } else {
            note_problem(node, rconn_why_text(why));
        }
        note_role(node, ROLE_UNKNOWN);
        evaluate_after(node);
        return;
    }
    metric_add(&shard_polls_ok, 1);
    bool was_master = node->role == ROLE_MASTER;
    note_role(node, shard_role_of(reply));
    if (node->role == ROLE_MASTER && !node->info_asked) {
        shard_node_ask_info(node);
    }
    if (node->role == ROLE_SLAVE || !was_master) {
        note_problem(node, "");
    }
    evaluate_after(node);
}

static void take_info(struct shard_node *node, const char *text, size_t length)
{
    struct crdt_info *info = node->duty->peer_env->scratch_info;
    struct xp_err err;
    if (crdt_info_parse(text, length, info, &err) != 0) {
        note_problem(node, err.msg);
        return;
    }
    note_problem(node, "");
    crdt_kept_free(node->info);
    node->info = crdt_info_keep(info);
    node->is_crdt = true;
    node->own_gid = info->own_gid;
    shard_evaluate_master(node->duty);
    if (shard_master_node(node->duty) == node) {
        shard_evaluate_peers(node->duty, node, info);
    }
}

static void on_info(const struct rreply *reply, enum rconn_why why, void *arg, uint64_t token)
{
    (void)why;
    (void)token;
    struct shard_node *node = arg;
    if (node->duty->is_closing) {
        return;
    }
    node->outstanding--;
    node->info_asked = false;
    if (!reply || node->role != ROLE_MASTER) {
        return; /* ROLE of the same poll said it already */
    }
    if (rreply_is_error(reply)) {
        node->is_crdt = false;
        note_problem(node, "is not a CRDT Redis: CRDT.INFO was refused");
        return;
    }
    size_t length;
    const char *text = rreply_text(reply, &length);
    take_info(node, text, length);
}

static void on_server(const struct rreply *reply, enum rconn_why why, void *arg, uint64_t token)
{
    (void)why;
    (void)token;
    struct shard_node *node = arg;
    if (node->duty->is_closing) {
        return;
    }
    node->outstanding--;
    if (reply && rreply_type(reply) == RREPLY_BULK) {
        size_t length;
        const char *text = rreply_text(reply, &length);
        redis_server_info_parse(text, length, &node->server);
        node->server_at = loop_now(node->duty->env->loop);
    }
}

static bool ask(struct shard_node *node, size_t argc, const char *const *argv, rconn_reply_fn *fn)
{
    struct xp_err err;
    if (rconn_send(node->conn, argc, argv, NULL, node->duty->env->redis_timeout_ms, fn, node, 0,
                   &err) != 0) {
        return false;
    }
    node->outstanding++;
    return true;
}

void shard_node_ask_info(struct shard_node *node)
{
    if (!node->info_asked && ask(node, ARRAY_LEN(info_words), info_words, on_info)) {
        node->info_asked = true;
    }
}

/* A name is for people who read CLIENT LIST; a Redis that refuses it works as well. One that is loading did not refuse: told
 * once only, it would show every later PEEROF as nobody's. */
static void on_name(const struct rreply *reply, enum rconn_why why, void *arg, uint64_t token)
{
    (void)why;
    (void)token;
    struct shard_node *node = arg;
    if (!node->duty->is_closing && text_has_prefix(rreply_text(reply, NULL), "LOADING")) {
        node->is_named = false;
    }
}

static void tell_name(struct shard_node *node)
{
    const char *const words[] = { "CLIENT", "SETNAME", node->duty->env->client_name };
    struct xp_err err;
    if (node->is_named) {
        return;
    }
    node->is_named = rconn_send(node->conn, ARRAY_LEN(words), words, NULL,
                                node->duty->env->redis_timeout_ms, on_name, node, 0, &err) == 0;
    if (!node->is_named) {
        log_debug("redis.name_not_sent", "redis", ADDR_TEXT(&node->addr), "error", err.msg);
    }
}

static void poll_node(struct shard_node *node)
{
    if (rconn_state(node->conn) != RCONN_READY || node->outstanding > 0) {
        return;
    }
    rconn_cork(node->conn);
    tell_name(node);
    if (node->server_at == MONO_NEVER) {
        (void)ask(node, ARRAY_LEN(server_words), server_words, on_server);
    }
    (void)ask(node, ARRAY_LEN(role_words), role_words, on_role);
    if (node->role != ROLE_SLAVE) {
        shard_node_ask_info(node);
    }
    rconn_uncork(node->conn);
}

static void on_state(struct rconn *conn, enum rconn_state state, void *arg)
{
    struct shard_node *node = arg;
    struct shard_duty *duty = node->duty;
    if (duty->is_closing) {
        return;
    }
    node->server_at = MONO_NEVER; /* another process may answer now: its version is read again */
    if (state == RCONN_READY) {
        node->is_named = false;
        poll_node(node);
    } else if (node->role != ROLE_UNKNOWN || (state == RCONN_WAITING && !node->was_tried)) {
        note_problem(node, rconn_last_error(conn));
        note_role(node, ROLE_UNKNOWN);
        evaluate_after(node);
    }
}

/* Asking faster helps only when somebody is there to answer; who comes back is asked at once (on_state). */
static bool is_in_doubt(const struct shard_duty *duty)
{
    if (duty->verdict == MASTER_KEEP || duty->verdict == MASTER_CHANGE) {
        return false;
    }
    for (size_t i = 0; i < duty->node_count; i++) {
        if (rconn_state(duty->nodes[i].conn) == RCONN_READY) {
            return true;
        }
    }
    return false;
}

/* To the next moment of the phase: what delayed a poll or brought one forward does not bunch the shards for ever. */
static int64_t to_next_poll(const struct shard_duty *duty)
{
    int64_t period_ms = duty->env->poll_ms;
    int64_t since_ms = loop_now(duty->env->loop) + period_ms - duty->poll_phase_ms % period_ms;
    return period_ms - since_ms % period_ms;
}

static void start_poll(struct shard_duty *duty, int64_t delay_ms)
{
    duty->poll_at = loop_now(duty->env->loop) + delay_ms;
    loop_timer_start(&duty->poll, delay_ms);
}

static void poll_fire(struct loop_timer *timer)
{
    struct shard_duty *duty = CONTAINER_OF(timer, struct shard_duty, poll);
    for (size_t i = 0; i < duty->node_count; i++) {
        poll_node(&duty->nodes[i]);
    }
    shard_evaluate_master(duty); /* answers grow old even when nothing arrives */
    start_poll(duty, is_in_doubt(duty) ? duty->env->poll_fast_ms : to_next_poll(duty));
}

void shard_poll_init(struct shard_duty *duty)
{
    duty->poll_phase_ms = duty_phase_ms(&duty->base, duty->env->poll_ms);
    loop_timer_init(&duty->poll, duty->env->loop, poll_fire);
    start_poll(duty, to_next_poll(duty));
}

void shard_poll_now(struct shard_duty *duty, int64_t delay_ms)
{
    bool is_sooner =
        loop_timer_is_running(&duty->poll) && duty->poll_at <= loop_now(duty->env->loop) + delay_ms;
    if (!is_sooner) {
        start_poll(duty, delay_ms);
    }
}

static void node_init(struct shard_node *node, struct shard_duty *duty, const struct addr *addr)
{
    *node = (struct shard_node){
        .duty = duty,
        .addr = *addr,
        .role_at = MONO_NEVER,
        .server_at = MONO_NEVER,
        .server.uptime_s = -1,
        .is_crdt = true,
    };
}

static int64_t first_connect_ms(const struct shard_duty *duty)
{
    int64_t period_ms = duty->env->poll_ms;
    int64_t spread_ms = period_ms < CONNECT_SPREAD_MS ? period_ms : CONNECT_SPREAD_MS;
    return duty->poll_phase_ms % period_ms * spread_ms / period_ms;
}

static void node_connect(struct shard_node *node, int64_t first_delay_ms)
{
    struct rconn_options options = {
        .addr = node->addr,
        .user = node->duty->env->redis_user,
        .password = node->duty->env->redis_password,
        .first_delay_ms = first_delay_ms,
    };
    node->conn = rconn_new(node->duty->env->loop, &options, on_state, node);
}

static void node_free(struct shard_node *node)
{
    rconn_free(node->conn);
    crdt_kept_free(node->info);
}

void shard_nodes_free(struct shard_duty *duty)
{
    for (size_t i = 0; i < duty->node_count; i++) {
        node_free(&duty->nodes[i]);
    }
    free(duty->nodes);
    duty->nodes = NULL;
    duty->node_count = 0;
}

static bool is_same_set(const struct shard_duty *duty, const struct shard_meta *shard, size_t count)
{
    if (duty->node_count != count) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (!addr_eq(&duty->nodes[i].addr, &shard->redises.items[i].addr)) {
            return false;
        }
    }
    return true;
}

/* Connections hold pointers to their node, so a changed set is made anew as a whole: a change is rare, and the first poll
 * follows at once. */
void shard_nodes_set(struct shard_duty *duty)
{
    const struct shard_meta *shard = duty_shard(&duty->base);
    size_t count = shard ? shard->redises.count : 0;
    if (count > NODES_MAX) {
        log_error("shard.too_many_redis", "cluster", duty->base.cluster->name, "shard",
                  duty->base.shard, "count", log_int((int64_t)count), "watched",
                  log_int(NODES_MAX));
        count = NODES_MAX;
    }
    if (is_same_set(duty, shard, count)) {
        return;
    }
    bool was_closing = duty->is_closing;
    duty->is_closing = true; /* answers of the old connections concern nobody any more */
    shard_run_cancel(duty);
    shard_nodes_free(duty);
    duty->is_closing = was_closing;
    duty->nodes = xcalloc(count, sizeof(*duty->nodes));
    duty->node_count = count;
    for (size_t i = 0; i < count; i++) {
        node_init(&duty->nodes[i], duty, &shard->redises.items[i].addr);
    }
    for (size_t i = 0; i < count; i++) {
        node_connect(&duty->nodes[i], first_connect_ms(duty));
    }
}
