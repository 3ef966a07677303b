/* promote_run.c - carries out what promote_decide says, round by round (see promote.h).
 *
 *   decide -> (pause) -> round of the party -> answers into the nodes -> decide ... -> on_done
 *
 * A round waits for its slowest Redis: looking gets the time of a connect, a promotion half of what is left, so that there is time
 * to read back what came of it. CONFIG REWRITE goes behind the answer: it is a write to a disk, in the middle of an outage. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/base/thread.h"
#include "shared/switch/promote_internal.h"

#include "shared/base/banned.h"

#define DRAIN_DEFAULT_MS 2000 /* x-pipe's */
#define ROUND_MIN_MS     50
#define RESERVE_MAX_MS   500 /* of a promotion, kept for what comes after the drain */
#define NO_KIND          (-1)

struct promote_run {
    struct loop *loop;
    struct redis_party *party;
    struct loop_timer timer; /* the start; a pause */
    enum promote_goal goal;
    struct switch_order order;
    struct addr maybe;
    int64_t connect_timeout_ms;
    mono_ms deadline;
    mono_ms drain_until;
    int (*may_command)(void *arg, struct xp_err *err);
    void (*on_done)(const struct promote_result *, void *arg);
    void *arg;
    struct execution_log *log;     /* borrowed */
    struct execution_log *own_log; /* when there is none */
    struct promote_node nodes[SWITCH_REDIS_MAX];
    int last_kind[SWITCH_REDIS_MAX];     /* of the last order; NO_KIND */
    bool has_answered[SWITCH_REDIS_MAX]; /* the last round that asked it */
    bool is_told[SWITCH_REDIS_MAX];      /* in the log */
    size_t count;
    int candidate;
    bool was_sent;
    bool was_lost;
    bool is_waiting_told;
    int64_t round_us; /* when it began */
    int64_t look_us;
    struct promote_plan plan;
    struct promote_step steps[PARTY_ORDERS_MAX];
};

/* ---- answers ---- */

static void note_error(struct promote_node *n, const struct rreply *reply)
{
    (void)snprintf(n->error, sizeof(n->error), "%s", rreply_text(reply, NULL));
    for (char *c = n->error; *c; c++) {
        *c = (unsigned char)*c < ' ' || *c == 0x7F ? ' ' : *c;
    }
}

/* "name:number" */
static void take_number(const char *line, size_t length, const char *name, int64_t *ret_number)
{
    size_t skip = strlen(name);
    int64_t value;
    if (length > skip && memcmp(line, name, skip) == 0 &&
        text_to_i64(line + skip, length - skip, 0, INT64_MAX, &value)) {
        *ret_number = value;
    }
}

static void take_id(const char *line, size_t length, const char *name, char *ret_id)
{
    size_t skip = strlen(name);
    if (length > skip && length - skip < REPL_ID_SIZE && memcmp(line, name, skip) == 0) {
        memset(ret_id, 0, REPL_ID_SIZE);
        memcpy(ret_id, line + skip, length - skip);
    }
}

static void take_replication(struct promote_node *n, const struct rreply *reply)
{
    size_t length = 0;
    const char *text = rreply_text(reply, &length);
    AUTO_FREE char *copy = xstrndup(text, length);
    const char *cursor = copy;
    const char *line;
    size_t size;
    int64_t followed = -1;
    int64_t own = -1;
    int64_t has_backlog = -1;
    n->second_offset = -1;
    while (text_next_part(&cursor, "\r\n", &line, &size)) {
        take_id(line, size, "master_replid:", n->repl_id);
        take_id(line, size, "master_replid2:", n->repl_id2);
        take_number(line, size, "second_repl_offset:", &n->second_offset);
        take_number(line, size, "slave_repl_offset:", &followed);
        take_number(line, size, "master_repl_offset:", &own);
        take_number(line, size, "slave_priority:", &n->priority);
        take_number(line, size, "repl_backlog_active:", &has_backlog);
        take_number(line, size, "repl_backlog_size:", &n->backlog_bytes);
    }
    n->offset = n->role.kind == ROLE_KIND_MASTER ? own : followed;
    n->backlog_bytes = has_backlog == 0 ? 0 : n->backlog_bytes;
}

static void take_settings(struct promote_node *n, const struct rreply *reply)
{
    for (size_t i = 0; i + 1 < rreply_count(reply); i += 2) {
        const char *name = rreply_text(rreply_at(reply, i), NULL);
        const struct rreply *value = rreply_at(reply, i + 1);
        if (text_eq(name, "min-slaves-to-write")) {
            size_t length = 0;
            const char *text = rreply_text(value, &length);
            (void)text_to_i64(text, length, 0, INT64_MAX, &n->min_slaves);
        } else if (text_eq(name, "min-slaves-max-lag")) {
            size_t length = 0;
            const char *text = rreply_text(value, &length);
            (void)text_to_i64(text, length, 0, INT64_MAX, &n->max_lag_s);
        } else if (text_eq(name, "slave-read-only")) {
            n->is_read_only = !rreply_is(value, "no");
        }
    }
}

static bool has_no_file(const struct rreply *reply)
{
    const char *line = strstr(rreply_text(reply, NULL), "config_file:");
    return line && strcspn(line + strlen("config_file:"), "\r\n") == 0;
}

static void take(struct promote_run *r, const struct promote_step *step, const struct rreply *reply)
{
    struct promote_node *n = &r->nodes[step->node];
    switch (step->ask) {
    case PROMOTE_ASK_ROLE:
    case PROMOTE_ASK_ROLE_AFTER:
        redis_role_read(reply, &n->role);
        if (rreply_is_error(reply)) {
            note_error(n, reply);
        } else if (n->role.kind == ROLE_KIND_MASTER && step->ask == PROMOTE_ASK_ROLE_AFTER) {
            n->error[0] = '\0';
        }
        break;
    case PROMOTE_ASK_REPLICATION:
        take_replication(n, reply);
        break;
    case PROMOTE_ASK_SETTINGS:
        take_settings(n, reply);
        break;
    case PROMOTE_ASK_SERVER:
        n->has_no_file = has_no_file(reply);
        break;
    case PROMOTE_ASK_SLAVEOF:
        if (rreply_is_error(reply)) {
            note_error(n, reply);
        }
        break;
    case PROMOTE_ASK_XSLAVEOF:
    case PROMOTE_ASK_REWRITE:
        break;
    }
}

/* ---- the result ---- */

static void tell_node(struct promote_run *r, size_t i)
{
    const struct promote_node *n = &r->nodes[i];
    if (r->is_told[i] || !n->was_asked) {
        return;
    }
    r->is_told[i] = true;
    if (n->is_silent) {
        const char *error = redis_party_error(r->party, i);
        r->is_told[i] = false;
        execution_log_warn(r->log, "%s does not answer (%s%s%s)", ADDR_TEXT(&n->addr),
                           rconn_why_text(n->why), error[0] ? ": " : "", error);
    } else if (n->role.kind == ROLE_KIND_MASTER) {
        execution_log_info(r->log, "%s: master at offset %" PRId64 " of %s", ADDR_TEXT(&n->addr),
                           n->offset, n->repl_id);
    } else if (n->role.kind == ROLE_KIND_REPLICA) {
        execution_log_info(
            r->log, "%s: replica of %s, link %s, offset %" PRId64 " of %s, priority %" PRId64,
            ADDR_TEXT(&n->addr),
            addr_is_none(&n->role.master) ? "nobody" : ADDR_TEXT(&n->role.master),
            role_link_text(n->role.link), n->offset, n->repl_id, n->priority);
    } else {
        execution_log_warn(r->log, "%s is no Redis in a role we know (%s)", ADDR_TEXT(&n->addr),
                           n->error[0] ? n->error : role_kind_text(n->role.kind));
    }
}

static bool is_master(const struct promote_run *r, int node)
{
    return node >= 0 && !r->nodes[node].is_silent && r->nodes[node].role.kind == ROLE_KIND_MASTER;
}

/* Where the candidate was in the history of the order, if it is of that history: in its own words otherwise. */
static void tell_position(const struct promote_run *r, struct switch_change *change)
{
    const struct promote_node *n = &r->nodes[r->plan.candidate];
    bool is_of_second = r->order.has_info && r->order.repl_id[0] && n->second_offset > 0 &&
                        strcmp(n->repl_id, r->order.repl_id) != 0 &&
                        strcmp(n->repl_id2, r->order.repl_id) == 0;
    change->offset = n->offset;
    memcpy(change->repl_id, is_of_second ? n->repl_id2 : n->repl_id, REPL_ID_SIZE);
    if (is_of_second && n->second_offset - 1 < n->offset) {
        change->offset = n->second_offset - 1;
    }
}

static struct switch_change change_of(const struct promote_run *r)
{
    struct switch_change change = { .is_ours = true,
                                    .is_success = r->plan.outcome == PROMOTE_OK,
                                    .is_drained = r->plan.is_drained,
                                    .offset = -1,
                                    .offset_gap = r->plan.gap,
                                    .is_promoted = is_master(r, r->plan.candidate) };
    if (r->plan.candidate >= 0) {
        tell_position(r, &change);
    }
    if (change.is_promoted) {
        change.new_master = r->nodes[r->plan.candidate].addr;
    }
    return change;
}

static void tell_result(struct promote_run *r)
{
    struct str text AUTO_STR = STR_INIT(4096);
    const struct promote_plan *plan = &r->plan;
    str_printf(&text, "%s (%s, %s)", promote_outcome_text(plan->outcome), plan->rule, plan->why);
    if (plan->outcome == PROMOTE_SEVERAL) {
        for (size_t i = 0; i < r->count; i++) {
            str_printf(&text, "%s%s", is_master(r, (int)i) ? " " : "",
                       is_master(r, (int)i) ? ADDR_TEXT(&r->nodes[i].addr) : "");
        }
    } else if (plan->candidate >= 0) {
        str_printf(&text, ": %s", ADDR_TEXT(&r->nodes[plan->candidate].addr));
        if (plan->gap > 0) {
            str_printf(&text, ", %" PRId64 " bytes are missing", plan->gap);
        } else if (plan->gap < 0 && r->goal != PROMOTE_GOAL_CHECK) {
            str_puts(&text, ", how much is missing is not known");
        }
        if (r->nodes[plan->candidate].error[0]) {
            str_printf(&text, ": %s", r->nodes[plan->candidate].error);
        }
    }
    if (plan->outcome == PROMOTE_OK) {
        execution_log_info(r->log, "%s", str_text(&text));
    } else {
        execution_log_error(r->log, "%s", str_text(&text));
    }
}

static void ignore_answers(const struct party_answer *answers, size_t count, void *arg)
{
    (void)answers;
    (void)count;
    (void)arg;
}

/* Written before on_done, which may close the connection: what is sent is carried out all the same. */
static void rewrite_late(struct promote_run *r)
{
    for (size_t i = 0; i < r->plan.order_count; i++) {
        size_t node = r->plan.orders[i].node;
        struct party_order rewrite[PROMOTE_COMMANDS_MAX];
        struct promote_step steps[PROMOTE_COMMANDS_MAX];
        size_t count = promote_commands(node, r->plan.orders[i].kind, rewrite, steps);
        if (r->nodes[node].has_no_file) {
            execution_log_warn(r->log,
                               "%s has no config file: a restart brings it back as it was before",
                               ADDR_TEXT(&r->nodes[node].addr));
        } else {
            redis_party_round(r->party, rewrite, count, loop_now(r->loop) + r->connect_timeout_ms,
                              ignore_answers, NULL);
        }
    }
}

static void finish(struct promote_run *r)
{
    for (size_t i = 0; i < r->count; i++) {
        tell_node(r, i);
    }
    tell_result(r);
    struct promote_result result = { .outcome = r->plan.outcome,
                                     .change = change_of(r),
                                     .nodes = r->nodes,
                                     .count = r->count,
                                     .look_us = r->look_us };
    if (result.outcome == PROMOTE_UNKNOWN && r->plan.candidate >= 0) {
        result.maybe = r->nodes[r->plan.candidate].addr;
    }
    rewrite_late(r);
    r->on_done(&result, r->arg); /* may free the run */
}

/* ---- one round ---- */

/* ROLE goes with a promotion, or asks what became of it: it is no try of its own. */
static void expect(struct promote_run *r, size_t node, enum promote_order_kind kind)
{
    struct promote_node *n = &r->nodes[node];
    n->was_asked = true;
    n->is_silent = false;
    n->why = RCONN_ANSWERED;
    if (kind == PROMOTE_ORDER_ROLE) {
        return;
    }
    n->tries = r->last_kind[node] == (int)kind ? n->tries + 1 : 1;
    n->error[0] = '\0';
    r->last_kind[node] = (int)kind;
    if (kind == PROMOTE_ORDER_PROMOTE) {
        r->candidate = (int)node;
        r->was_sent = true;
        r->is_told[node] = false;
        execution_log_info(r->log, "promote %s (%s, %s)", ADDR_TEXT(&n->addr), r->plan.rule,
                           r->plan.why);
    }
}

static void decide(struct promote_run *r);

/* Silence that begins is counted from here on. */
static void note_silence(struct promote_run *r, size_t node)
{
    struct promote_node *n = &r->nodes[node];
    if (n->is_silent && r->has_answered[node] && !r->was_sent) {
        n->tries = 0;
        r->last_kind[node] = NO_KIND;
    }
    if (n->is_silent && r->was_sent && !r->is_told[node]) {
        r->is_told[node] = true;
        execution_log_warn(r->log, "%s: %s: whether it was promoted is not known",
                           ADDR_TEXT(&n->addr), rconn_why_text(n->why));
    }
    r->has_answered[node] = !n->is_silent;
}

/* Of a promotion: what became of it. */
static void note_promotion(struct promote_run *r, bool was_reached, bool was_lost)
{
    r->was_lost |= was_lost;
    if (!was_reached && !r->was_lost) {
        r->was_sent = false; /* nothing of it left: anybody may be chosen */
        execution_log_warn(r->log, "%s: %s: nothing was sent",
                           ADDR_TEXT(&r->nodes[r->candidate].addr),
                           rconn_why_text(r->nodes[r->candidate].why));
    }
}

static void answered(const struct party_answer *answers, size_t count, void *arg)
{
    struct promote_run *r = arg;
    bool is_promotion = false;
    bool was_reached = false;
    bool was_lost = false;
    r->look_us = r->look_us < 0 ? clock_mono_us() - r->round_us : r->look_us;
    for (size_t i = 0; i < count; i++) {
        struct promote_node *n = &r->nodes[r->steps[i].node];
        if (answers[i].reply) {
            take(r, &r->steps[i], answers[i].reply);
        } else {
            n->is_silent = true;
            n->why = answers[i].why;
        }
        if (r->steps[i].ask == PROMOTE_ASK_XSLAVEOF || r->steps[i].ask == PROMOTE_ASK_SLAVEOF) {
            bool was_sent = answers[i].why != RCONN_NOT_CONNECTED;
            is_promotion = true;
            was_reached |= was_sent;
            was_lost |= was_sent && !answers[i].reply;
        }
    }
    if (is_promotion) {
        note_promotion(r, was_reached, was_lost);
    }
    for (size_t i = 0; i < count; i++) {
        note_silence(r, r->steps[i].node);
    }
    decide(r);
}

static int64_t round_limit(const struct promote_run *r)
{
    int64_t left = r->deadline - loop_now(r->loop);
    int64_t limit = left / 2;
    bool is_promotion = r->plan.orders[0].kind == PROMOTE_ORDER_PROMOTE;
    if (!is_promotion && limit > r->connect_timeout_ms) {
        limit = r->connect_timeout_ms;
    }
    limit = limit < ROUND_MIN_MS ? ROUND_MIN_MS : limit;
    return limit;
}

static void start_round(struct promote_run *r)
{
    struct party_order orders[PARTY_ORDERS_MAX];
    size_t count = 0;
    int64_t limit = round_limit(r);
    for (size_t i = 0; i < r->plan.order_count && count + PROMOTE_COMMANDS_MAX <= PARTY_ORDERS_MAX;
         i++) {
        size_t node = r->plan.orders[i].node;
        count += promote_commands(node, r->plan.orders[i].kind, &orders[count], &r->steps[count]);
        expect(r, node, r->plan.orders[i].kind);
    }
    r->round_us = clock_mono_us();
    redis_party_round(r->party, orders, count, loop_now(r->loop) + limit, answered, r);
}

/* Asked right before a promotion. */
static bool is_allowed(struct promote_run *r)
{
    struct xp_err err = { 0 };
    bool is_promotion = r->plan.orders[0].kind == PROMOTE_ORDER_PROMOTE;
    if (!is_promotion || !r->may_command || r->may_command(r->arg, &err) == 0) {
        return true;
    }
    execution_log_error(r->log, "not allowed to send commands: %s", err.msg);
    r->plan.is_over = true;
    r->plan.outcome = r->was_lost ? PROMOTE_UNKNOWN : PROMOTE_REFUSED;
    r->plan.why = "not allowed to send commands";
    r->plan.order_count = 0;
    return false;
}

static void act(struct promote_run *r)
{
    if (r->plan.is_over || !is_allowed(r)) {
        finish(r);
    } else {
        start_round(r);
    }
}

static void tell_progress(struct promote_run *r)
{
    const struct promote_plan *plan = &r->plan;
    if (plan->order_count > 0 && plan->orders[0].kind == PROMOTE_ORDER_OFFSET &&
        !r->is_waiting_told) {
        r->is_waiting_told = true;
        for (size_t i = 0; i < r->count; i++) {
            tell_node(r, i);
        }
        execution_log_info(r->log, "%s is %" PRId64 " bytes behind offset %" PRId64 " (%s, %s)",
                           ADDR_TEXT(&r->nodes[plan->candidate].addr), plan->gap, r->order.offset,
                           plan->rule, plan->why);
    }
}

static void timer_fired(struct loop_timer *t)
{
    act(CONTAINER_OF(t, struct promote_run, timer));
}

static void decide(struct promote_run *r)
{
    struct promote_facts facts = {
        .now = loop_now(r->loop),
        .deadline = r->deadline,
        .drain_until = r->drain_until,
        .goal = r->goal,
        .order = &r->order,
        .nodes = r->nodes,
        .count = r->count,
        .candidate = r->candidate,
        .was_sent = r->was_sent,
        .was_lost = r->was_lost,
        .maybe = r->maybe,
    };
    promote_decide(&facts, &r->plan);
    tell_progress(r);
    if (!r->plan.is_over && r->plan.pause_ms > 0) {
        int64_t left = r->deadline - facts.now;
        loop_timer_start(&r->timer, r->plan.pause_ms < left ? r->plan.pause_ms : left);
    } else {
        act(r);
    }
}

/* ---- life ---- */

static void decide_first(struct loop_timer *t)
{
    struct promote_run *r = CONTAINER_OF(t, struct promote_run, timer);
    loop_timer_init(&r->timer, r->loop, timer_fired);
    decide(r);
}

static void nodes_init(struct promote_run *r, const struct addr *redis, size_t count)
{
    r->count = count;
    for (size_t i = 0; i < count; i++) {
        r->last_kind[i] = NO_KIND;
        r->nodes[i] = (struct promote_node){
            .addr = redis[i],
            .role = { .offset = -1 },
            .offset = -1,
            .second_offset = -1,
            .priority = -1,
            .is_read_only = true,
            .min_slaves = -1,
            .max_lag_s = -1,
            .backlog_bytes = -1,
        };
    }
}

static void limits_init(struct promote_run *r, const struct promote_options *o)
{
    mono_ms now = loop_now(r->loop);
    int64_t deadline_ms = o->deadline_ms > 0 ? o->deadline_ms : 0;
    int64_t drain_ms = o->order.drain_ms > 0 ? o->order.drain_ms : DRAIN_DEFAULT_MS;
    int64_t reserve_ms = deadline_ms / 4 < RESERVE_MAX_MS ? deadline_ms / 4 : RESERVE_MAX_MS;
    r->deadline = now + deadline_ms;
    r->drain_until =
        now + (drain_ms < deadline_ms - reserve_ms ? drain_ms : deadline_ms - reserve_ms);
}

struct promote_run *promote_run_start(const struct promote_options *o)
{
    XP_ON_LOOP();
    xp_check(o->redis_count <= SWITCH_REDIS_MAX && o->on_done);
    struct promote_run *r = xcalloc(1, sizeof(*r));
    r->loop = o->loop;
    r->goal = o->goal;
    r->order = o->order;
    r->maybe = o->maybe;
    r->connect_timeout_ms = o->connect_timeout_ms;
    r->may_command = o->may_command;
    r->on_done = o->on_done;
    r->arg = o->arg;
    r->own_log = o->log ? NULL : execution_log_new(NULL);
    r->log = o->log ? o->log : r->own_log;
    r->candidate = -1;
    r->look_us = -1;
    limits_init(r, o);
    nodes_init(r, o->redis, o->redis_count);
    struct redis_party_options party = {
        .loop = o->loop,
        .addrs = o->redis,
        .count = o->redis_count,
        .user = o->user,
        .password = o->password,
        .client_name = o->client_name,
        .connect_timeout_ms = o->connect_timeout_ms,
    };
    r->party = redis_party_new(&party);
    loop_timer_init(&r->timer, r->loop, decide_first);
    loop_timer_start(&r->timer, 0);
    return r;
}

void promote_run_free(struct promote_run *r)
{
    if (!r) {
        return;
    }
    XP_ON_LOOP();
    loop_timer_stop(&r->timer);
    redis_party_free(r->party);
    execution_log_free(r->own_log);
    free(r);
}
