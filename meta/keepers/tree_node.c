/* tree_node.c - the Redis and keepers of a one-way shard: one connection each, ROLE and KEEPER GETSTATE in a rhythm. Only observes. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "meta/keepers/tree_internal.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/crdt/crdt_info.h"
#include "shared/switch/tree_commands.h"

#include "shared/base/banned.h"

/* A shard that became ours is looked at within this time, however long the period is (shard_node.c). */
#define CONNECT_SPREAD_MS 250
#define PROBLEM_MAX       96

static const char *const role_words[] = { "ROLE" };
static const char *const state_words[] = { "KEEPER", "GETSTATE" };
static const char *const server_words[] = { "INFO", "server" };
static const char *const replication_words[] = { "INFO", "replication" };
/* The older name: every Redis knows it, the newer one only those from 5 on. */
const char *const tree_priority_words[3] = { "CONFIG", "GET", TREE_PRIORITY_KEY };

static const char *const info_words[] = { "INFO" }; /* replication and keyspace in one */

#define HISTORY_AGAIN_MS    60000  /* it may have been demoted and promoted between two polls */
#define PRIORITY_AGAIN_MS   60000  /* somebody may have changed it */
#define PRIORITY_REFUSED_MS 600000 /* it does not tell it, or took no other */
#define PRIORITY_TRIES      3 /* commands without an answer, before it is left alone for a while */

/* ---- reading ---- */

enum keeper_state tree_state_of(const struct rreply *reply)
{
    return rreply_is_error(reply) ? KEEPER_UNSEEN
                                  : keeper_state_from_text(rreply_text(reply, NULL));
}

int tree_priority_of(const struct rreply *reply)
{
    int64_t value;
    size_t length;
    const char *text = rreply_text(rreply_at(reply, 1), &length);
    bool is_number =
        rreply_count(reply) == 2 && text && text_to_i64(text, length, 0, INT_MAX, &value);
    return is_number ? (int)value : PRIORITY_REFUSED;
}

static bool read_number(const char *line, size_t length, const char *name, int64_t *ret_value)
{
    size_t skip = strlen(name);
    return length > skip && strncmp(line, name, skip) == 0 &&
           text_to_i64(line + skip, length - skip, INT64_MIN, INT64_MAX, ret_value);
}

void failover_info_parse(const char *text, size_t length, struct failover_info *ret_info)
{
    static const char repl_id[] = "master_replid:";
    *ret_info = (struct failover_info){ .priority = -1, .repl_offset = -1 };
    AUTO_FREE char *copy = xstrndup(text, length);
    const char *cursor = copy;
    const char *line;
    size_t n;
    while (text_next_part(&cursor, "\r\n", &line, &n)) {
        size_t skip = sizeof(repl_id) - 1;
        if (n == skip + sizeof(ret_info->repl_id) - 1 && strncmp(line, repl_id, skip) == 0) {
            memcpy(ret_info->repl_id, line + skip, sizeof(ret_info->repl_id) - 1);
        } else if (!read_number(line, n, "slave_priority:", &ret_info->priority)) {
            (void)read_number(line, n, "slave_repl_offset:", &ret_info->repl_offset);
        }
    }
}

/* ---- what was seen ---- */

static mono_ms now_of(const struct tree_member *m)
{
    return loop_now(m->duty->env->loop);
}

static void note_problem(struct tree_member *m, const char *text)
{
    if (text_eq(m->problem, text)) {
        return;
    }
    free(m->problem);
    m->problem = text[0] ? xstrdup(text) : NULL;
    if (text[0]) {
        log_info("tree.problem", "cluster", m->duty->base.cluster->name, "shard",
                 m->duty->base.shard, m->node.is_keeper ? "keeper" : "redis",
                 ADDR_TEXT(&m->node.addr), "problem", text);
    }
}

/* What it said instead, as far as it is fit to be shown. */
static void note_refusal(struct tree_member *m, const char *command, const struct rreply *reply)
{
    char text[PROBLEM_MAX];
    if (rreply_is_error(reply)) {
        (void)snprintf(text, sizeof(text), "%s was refused: %.60s", command,
                       rreply_text(reply, NULL));
    } else {
        (void)snprintf(text, sizeof(text), "%s was answered as by another kind of server", command);
    }
    for (char *p = text; *p; p++) {
        *p = *p >= ' ' && *p <= '~' ? *p : '?';
    }
    note_problem(m, text);
}

/* What it was is no fact of what it is. */
static void forget_history(struct tree_member *m)
{
    free(TAKE(m->history));
    m->history_asked = MONO_NEVER;
}

/* No answer, or one that cannot be used. What it said before is no fact any more. */
static void note_silence(struct tree_member *m)
{
    struct tree_node *n = &m->node;
    m->has_changed |= n->role_at != MONO_NEVER || !n->was_tried;
    m->is_unread = false;
    n->was_tried = true;
    n->role_at = MONO_NEVER;
    n->state = KEEPER_UNSEEN;
    forget_history(m);
    if (n->silent_since == MONO_NEVER) {
        n->silent_since = now_of(m);
    }
}

static void note_role(struct tree_member *m, const struct redis_role *role)
{
    struct tree_node *n = &m->node;
    bool is_same = n->role.kind == role->kind && tree_link_of(&n->role) == tree_link_of(role) &&
                   addr_eq(&n->role.master, &role->master);
    m->has_changed |= !is_same || n->role_at == MONO_NEVER || m->is_unread;
    if (n->role.kind != role->kind || !addr_eq(&n->role.master, &role->master)) {
        forget_history(m);
    }
    m->is_unread = false;
    tree_node_note_role(n, role, now_of(m));
}

static void evaluate_if_changed(struct tree_member *m)
{
    if (m->has_changed) {
        tree_evaluate(m->duty);
    }
}

/* ---- answers ---- */

/* False: nobody waits for it any more. */
static bool is_wanted(struct tree_member *m)
{
    if (m->duty->is_closing || m->is_departed) {
        return false;
    }
    m->outstanding--;
    return true;
}

static bool is_odd(const struct tree_member *m, const struct redis_role *role)
{
    enum role_kind other = m->node.is_keeper ? ROLE_KIND_MASTER : ROLE_KIND_KEEPER;
    return role->kind == ROLE_KIND_UNKNOWN || role->kind == other;
}

static void on_role(const struct rreply *reply, enum rconn_why why, void *arg, uint64_t token)
{
    (void)token;
    struct tree_member *m = arg;
    if (!is_wanted(m)) {
        return;
    }
    struct redis_role role;
    redis_role_read(reply, &role);
    if (is_odd(m, &role)) {
        metric_add(&tree_polls_failed, 1);
        if (reply) {
            note_refusal(m, "ROLE", reply);
        } else {
            note_problem(m, rconn_why_text(why));
        }
        note_silence(m);
    } else {
        metric_add(&tree_polls_ok, 1);
        if (!m->node.is_keeper || m->node.state != KEEPER_UNSEEN) {
            note_problem(m, "");
        }
        note_role(m, &role);
    }
    evaluate_if_changed(m);
}

/* ROLE of the same poll comes behind it: it evaluates. */
static void on_keeper_state(const struct rreply *reply, enum rconn_why why, void *arg,
                            uint64_t token)
{
    (void)why;
    (void)token;
    struct tree_member *m = arg;
    if (!is_wanted(m) || !reply) {
        return;
    }
    enum keeper_state state = tree_state_of(reply);
    if (state == KEEPER_UNSEEN) {
        note_refusal(m, "KEEPER GETSTATE", reply);
    }
    m->has_changed |= state != m->node.state;
    m->node.state = state;
}

#define UPTIME_SLACK_MS 2000 /* whole seconds, and the way of the answer */

/* Is it the process that took the route? A keeper keeps its run id over a restart, so its age counts as well. */
static bool is_route_kept(const struct tree_member *m)
{
    return m->run_id[0] && strcmp(m->run_id, m->route_run_id) == 0 && m->started_at != MONO_NEVER &&
           m->started_at <= m->route_started_at + UPTIME_SLACK_MS;
}

static void on_server(const struct rreply *reply, enum rconn_why why, void *arg, uint64_t token)
{
    (void)why;
    (void)token;
    struct tree_member *m = arg;
    if (!is_wanted(m) || !reply) {
        return;
    }
    m->run_id[0] = '\0';
    m->started_at = MONO_NEVER;
    if (rreply_type(reply) == RREPLY_BULK) {
        struct redis_server_info info;
        size_t length;
        const char *text = rreply_text(reply, &length);
        redis_server_info_parse(text, length, &info);
        (void)snprintf(m->run_id, sizeof(m->run_id), "%.40s", info.run_id);
        m->started_at = info.uptime_s < 0 ? MONO_NEVER : now_of(m) - info.uptime_s * 1000;
    }
    if (m->route && !is_route_kept(m)) {
        free(TAKE(m->route));
        m->has_changed = true;
    }
}

void tree_note_priority(struct tree_member *m, int priority)
{
    m->has_changed |= priority != m->node.priority;
    m->node.priority = priority;
    m->priority_at = now_of(m) + PRIORITY_AGAIN_MS;
}

void tree_note_no_priority(struct tree_member *m, bool is_refused)
{
    bool is_left_alone = is_refused || ++m->priority_failures >= PRIORITY_TRIES;
    int priority = is_left_alone ? PRIORITY_REFUSED : PRIORITY_UNKNOWN;
    m->has_changed |= m->node.priority != priority;
    m->node.priority = priority;
    m->priority_at = MONO_NEVER; /* read back with the next poll */
    if (is_left_alone) {
        m->priority_failures = 0;
        m->priority_at = now_of(m) + (is_refused ? PRIORITY_REFUSED_MS : PRIORITY_AGAIN_MS);
    }
}

/* ROLE comes behind it, and evaluates. No answer: the next connection is asked. */
static void on_priority(const struct rreply *reply, enum rconn_why why, void *arg, uint64_t token)
{
    (void)why;
    (void)token;
    struct tree_member *m = arg;
    if (!is_wanted(m) || !reply || text_has_prefix(rreply_text(reply, NULL), "LOADING")) {
        return;
    }
    int priority = tree_priority_of(reply);
    if (priority >= 0) {
        tree_note_priority(m, priority);
    } else {
        tree_note_no_priority(m, true);
    }
}

static void on_replication(const struct rreply *reply, enum rconn_why why, void *arg,
                           uint64_t token)
{
    (void)why;
    (void)token;
    struct tree_member *m = arg;
    if (!is_wanted(m) || !reply || rreply_type(reply) != RREPLY_BULK) {
        return;
    }
    if (!m->failover) {
        m->failover = xcalloc(1, sizeof(*m->failover));
    }
    size_t length;
    const char *text = rreply_text(reply, &length);
    failover_info_parse(text, length, m->failover);
    m->has_changed = true; /* ROLE comes behind it */
}

/* One that refuses to tell it has a history, too: nobody knows which. */
static void on_history(const struct rreply *reply, enum rconn_why why, void *arg, uint64_t token)
{
    (void)why;
    (void)token;
    struct tree_member *m = arg;
    if (!is_wanted(m) || !reply || text_has_prefix(rreply_text(reply, NULL), "LOADING")) {
        return;
    }
    struct repl_history history = { .second_offset = -1, .offset = -1, .has_data = true };
    if (rreply_type(reply) == RREPLY_BULK) {
        size_t length;
        const char *text = rreply_text(reply, &length);
        repl_history_parse(text, length, &history);
    }
    m->has_changed |= !m->history || tree_is_discarded(m) || !repl_history_eq(m->history, &history);
    if (!m->history) {
        m->history = xcalloc(1, sizeof(*m->history));
    }
    *m->history = history;            /* ROLE comes behind it */
    m->history_at = m->history_asked; /* of polls, one is under way at a time */
}

/* A name is for people who read CLIENT LIST; one that is loading did not refuse (shard_node.c). */
static void on_name(const struct rreply *reply, enum rconn_why why, void *arg, uint64_t token)
{
    (void)why;
    (void)token;
    struct tree_member *m = arg;
    if (!m->duty->is_closing && text_has_prefix(rreply_text(reply, NULL), "LOADING")) {
        m->is_named = false;
    }
}

/* ---- asking ---- */

static bool ask(struct tree_member *m, size_t argc, const char *const *argv, rconn_reply_fn *fn)
{
    int64_t timeout_ms = m->node.is_keeper ? KEEPER_TIMEOUT_MS : m->duty->env->redis_timeout_ms;
    struct xp_err err;
    if (rconn_send(m->conn, argc, argv, NULL, timeout_ms, fn, m, 0, &err) != 0) {
        return false;
    }
    m->outstanding++;
    return true;
}

static void tell_name(struct tree_member *m)
{
    const char *const words[] = { "CLIENT", "SETNAME", m->duty->env->client_name };
    struct xp_err err;
    if (m->is_named) {
        return;
    }
    m->is_named = rconn_send(m->conn, ARRAY_LEN(words), words, NULL, m->duty->env->redis_timeout_ms,
                             on_name, m, 0, &err) == 0;
    if (!m->is_named) {
        log_debug("tree.name_not_sent", "to", ADDR_TEXT(&m->node.addr), "error", err.msg);
    }
}

static bool is_priority_due(const struct tree_member *m)
{
    const struct tree_duty *duty = m->duty;
    return duty->place != TREE_OUTSIDE && duty->tree_env->replica_priority > 0 &&
           now_of(m) >= m->priority_at;
}

void tree_forget_histories(struct tree_duty *duty)
{
    for (size_t i = 0; i < duty->member_count; i++) {
        forget_history(duty->members[i]);
    }
}

void tree_forget_priorities(struct tree_duty *duty)
{
    for (size_t i = 0; i < duty->redis_count; i++) {
        duty->members[i]->node.priority = PRIORITY_UNKNOWN;
        duty->members[i]->priority_at = MONO_NEVER;
    }
}

static bool is_history_due(const struct tree_member *m)
{
    const struct tree_duty *duty = m->duty;
    return duty->place == TREE_PRIMARY && m->node.role_at != MONO_NEVER &&
           m->node.role.kind == ROLE_KIND_MASTER && addr_eq(&m->node.addr, &duty->source) &&
           (m->history_asked == MONO_NEVER ||
            mono_age(now_of(m), m->history_asked) >= HISTORY_AGAIN_MS);
}

static void ask_history(struct tree_member *m)
{
    bool is_asked = false;
    if (tree_is_discarded(m)) {
        is_asked = (!m->history || m->is_history_wanted) &&
                   ask(m, ARRAY_LEN(info_words), info_words, on_history);
    } else if (is_history_due(m)) {
        is_asked = ask(m, ARRAY_LEN(replication_words), replication_words, on_history);
    }
    if (is_asked) {
        m->history_asked = now_of(m);
        m->is_history_wanted = false;
    }
}

static void ask_redis(struct tree_member *m)
{
    ask_history(m);
    if (tree_failover_is_asking(m->duty)) {
        (void)ask(m, ARRAY_LEN(replication_words), replication_words, on_replication);
    }
    if (is_priority_due(m)) {
        (void)ask(m, ARRAY_LEN(tree_priority_words), tree_priority_words, on_priority);
    }
}

/* ROLE last: when it is answered, the others are. */
static void poll_member(struct tree_member *m)
{
    if (rconn_state(m->conn) != RCONN_READY || m->outstanding > 0 || m->is_busy) {
        return;
    }
    rconn_cork(m->conn);
    tell_name(m);
    if (m->node.is_keeper) {
        if (!m->is_server_asked) {
            m->is_server_asked = ask(m, ARRAY_LEN(server_words), server_words, on_server);
        }
        (void)ask(m, ARRAY_LEN(state_words), state_words, on_keeper_state);
    } else {
        ask_redis(m);
    }
    (void)ask(m, ARRAY_LEN(role_words), role_words, on_role);
    rconn_uncork(m->conn);
}

static void on_state(struct rconn *conn, enum rconn_state state, void *arg)
{
    struct tree_member *m = arg;
    if (m->duty->is_closing || m->is_departed) {
        return;
    }
    if (state == RCONN_READY) { /* perhaps another process than before */
        m->is_named = false;
        m->is_server_asked = false;
        m->refuses_xslaveof = false;
        m->priority_at = m->node.priority == PRIORITY_REFUSED ? m->priority_at : MONO_NEVER;
        poll_member(m);
    } else if (m->node.role_at != MONO_NEVER ||
               (state == RCONN_WAITING && (!m->node.was_tried || m->is_unread))) {
        bool was_heard = m->node.role_at != MONO_NEVER;
        note_problem(m, rconn_last_error(conn));
        note_silence(m);
        if (was_heard && !m->node.is_keeper && m->duty->tree_env->on_lost) {
            m->duty->tree_env->on_lost(&m->duty->base, m->duty->env->arg);
        }
        evaluate_if_changed(m);
    }
}

/* ---- the rhythm ---- */

/* To the next moment of the phase: what delayed a poll or brought one forward does not bunch the shards for ever. */
static int64_t to_next_poll(const struct tree_duty *duty)
{
    int64_t period_ms = duty->env->poll_ms;
    int64_t since_ms = loop_now(duty->env->loop) + period_ms - duty->poll_phase_ms % period_ms;
    return period_ms - since_ms % period_ms;
}

static void start_poll(struct tree_duty *duty, int64_t delay_ms)
{
    duty->poll_at = loop_now(duty->env->loop) + delay_ms;
    loop_timer_start(&duty->poll, delay_ms);
}

/* Asking faster helps only when somebody is there to answer; who comes back is asked at once (on_state). */
static bool has_ready(const struct tree_duty *duty)
{
    for (size_t i = 0; i < duty->member_count; i++) {
        if (rconn_state(duty->members[i]->conn) == RCONN_READY) {
            return true;
        }
    }
    return false;
}

static void poll_fire(struct loop_timer *timer)
{
    struct tree_duty *duty = CONTAINER_OF(timer, struct tree_duty, poll);
    bool is_calm = tree_is_calm(duty);
    duty->polls++;
    for (size_t i = 0; i < duty->member_count; i++) {
        struct tree_member *m = duty->members[i];
        if (!m->node.is_keeper || !is_calm || (duty->polls + i) % KEEPER_EVERY == 0) {
            poll_member(m);
        }
    }
    int64_t next_ms =
        !tree_is_in_doubt(duty) || !has_ready(duty) ? to_next_poll(duty) : duty->env->poll_fast_ms;
    start_poll(duty, next_ms);
    tree_tick(duty);
}

void tree_poll_init(struct tree_duty *duty)
{
    duty->poll_phase_ms = duty_phase_ms(&duty->base, duty->env->poll_ms);
    loop_timer_init(&duty->poll, duty->env->loop, poll_fire);
    start_poll(duty, to_next_poll(duty));
}

void tree_poll_now(struct tree_duty *duty, int64_t delay_ms)
{
    bool is_sooner =
        loop_timer_is_running(&duty->poll) && duty->poll_at <= loop_now(duty->env->loop) + delay_ms;
    if (!is_sooner && !duty->is_closing) {
        start_poll(duty, delay_ms);
    }
}

/* ---- members ---- */

static int64_t first_connect_ms(const struct tree_duty *duty)
{
    int64_t period_ms = duty->env->poll_ms;
    int64_t spread_ms = period_ms < CONNECT_SPREAD_MS ? period_ms : CONNECT_SPREAD_MS;
    return duty->is_first_look ? duty->poll_phase_ms % period_ms * spread_ms / period_ms : 0;
}

static struct tree_member *member_new(struct tree_duty *duty, const struct addr *addr,
                                      bool is_keeper)
{
    struct tree_member *m = xcalloc(1, sizeof(*m));
    mono_ms now = loop_now(duty->env->loop);
    m->duty = duty;
    m->node = (struct tree_node){
        .addr = *addr,
        .is_keeper = is_keeper,
        .role_at = MONO_NEVER,
        .role = { .offset = -1 },
        .link_since = now,
        .silent_since = now,
        .priority = PRIORITY_UNKNOWN,
    };
    m->shown = -1;
    m->priority_at = MONO_NEVER;
    m->history_asked = MONO_NEVER;
    m->backoff_until = MONO_NEVER;
    m->started_at = MONO_NEVER;
    struct rconn_options options = {
        .addr = *addr,
        /* A keeper knows no AUTH. */
        .user = is_keeper ? NULL : duty->env->redis_user,
        .password = is_keeper ? NULL : duty->env->redis_password,
        .first_delay_ms = first_connect_ms(duty),
        .first_retry_ms = is_keeper ? 0 : duty->tree_env->redis_retry_ms,
    };
    m->conn = rconn_new(duty->env->loop, &options, on_state, m);
    return m;
}

static void member_free(struct tree_member *m)
{
    m->is_departed = true; /* its answers concern nobody any more */
    tree_hide_verdict(m);
    rconn_free(m->conn);
    action_record_free(m->record);
    free(m->order);
    free(m->failover);
    free(m->history);
    free(m->problem);
    free(m->route);
    free(m);
}

void tree_member_settle(struct tree_member *m)
{
    struct tree_duty *duty = m->duty;
    m->is_busy = false;
    for (size_t i = 0; i < duty->departed_count; i++) {
        if (duty->departed[i] == m) {
            duty->departed[i] = duty->departed[--duty->departed_count];
            member_free(m);
            return;
        }
    }
}

/* Who waits for the answer to a command stays until it is there: that command may still be carried out. */
static void depart(struct tree_duty *duty, struct tree_member *m)
{
    if (!tree_run_waits_for(duty, m)) {
        tree_run_drop(duty, m);
        member_free(m);
        return;
    }
    m->is_departed = true;
    tree_hide_verdict(m);
    duty->departed =
        xrealloc(duty->departed, duty->departed_count + 1, sizeof(struct tree_member *));
    duty->departed[duty->departed_count++] = m;
}

static struct tree_member *find_member(const struct tree_duty *duty, const struct addr *addr,
                                       bool is_keeper)
{
    for (size_t i = 0; i < duty->member_count; i++) {
        struct tree_member *m = duty->members[i];
        if (!m->is_kept && m->node.is_keeper == is_keeper && addr_eq(&m->node.addr, addr)) {
            return m;
        }
    }
    return NULL;
}

static struct tree_member *keep_or_make(struct tree_duty *duty, const struct addr *addr,
                                        bool is_keeper)
{
    struct tree_member *m = find_member(duty, addr, is_keeper);
    m = m ? m : member_new(duty, addr, is_keeper);
    m->is_kept = true;
    return m;
}

static size_t redis_count_of(const struct tree_duty *duty, const struct shard_meta *shard)
{
    size_t count = shard ? shard->redises.count : 0;
    if (count > TREE_REDIS_MAX) {
        log_error("shard.too_many_redis", "cluster", duty->base.cluster->name, "shard",
                  duty->base.shard, "count", log_int((int64_t)count), "watched",
                  log_int(TREE_REDIS_MAX));
        count = TREE_REDIS_MAX;
    }
    return count;
}

void tree_members_set(struct tree_duty *duty)
{
    const struct shard_meta *shard = duty_shard(&duty->base);
    size_t redis_count = redis_count_of(duty, shard);
    size_t count = redis_count + duty->live_count;
    struct tree_member **members = xcalloc(count, sizeof(struct tree_member *));
    for (size_t i = 0; i < redis_count; i++) {
        members[i] = keep_or_make(duty, &shard->redises.items[i].addr, false);
    }
    for (size_t i = 0; i < duty->live_count; i++) {
        members[redis_count + i] = keep_or_make(duty, &duty->live[i].addr, true);
    }
    for (size_t i = 0; i < duty->member_count; i++) {
        if (!duty->members[i]->is_kept) {
            depart(duty, duty->members[i]);
        }
    }
    for (size_t i = 0; i < count; i++) {
        members[i]->is_kept = false;
    }
    free(duty->members);
    duty->members = members;
    duty->redis_count = redis_count;
    duty->member_count = count;
}

void tree_members_free(struct tree_duty *duty)
{
    for (size_t i = 0; i < duty->member_count; i++) {
        member_free(duty->members[i]);
    }
    for (size_t i = 0; i < duty->departed_count; i++) {
        member_free(duty->departed[i]);
    }
    free(TAKE(duty->members));
    free(TAKE(duty->departed));
    duty->member_count = duty->departed_count = 0;
}
