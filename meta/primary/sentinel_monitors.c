/* sentinel_monitors.c - see sentinel_monitors.h.
 *
 *   monitors ── groups (by address text, counted) ── links (by sentinel, counted) ── one rconn each
 *       shard ── its group, a timer, and a watch for each link of the group
 *
 * A watch has at most one command under way. look → SENTINEL MASTER → decide → MONITOR, or REMOVE [then MONITOR] → SENTINEL MASTER again:
 * what was done is read back, and a time-out is no answer (D8). At most PLANS_PER_LOOK plans are carried out between two looks, so a
 * sentinel that pretends, or somebody who undoes it, costs a few commands a period and never a storm.
 * A watch whose shard is gone lives until its last command was answered. */
#include "meta/primary/sentinel_monitors.h"

#include <stdio.h>
#include <string.h>

#include "meta/primary/monitor_decide.h"
#include "shared/base/log.h"
#include "shared/base/map.h"
#include "shared/base/mem.h"
#include "shared/base/metrics.h"
#include "shared/base/random.h"
#include "shared/base/str.h"
#include "shared/base/thread.h"
#include "shared/net/rconn.h"
#include "shared/switch/monitor_commands.h"

#include "shared/base/banned.h"

/* MONITOR, and when it was a duplicate of another address: REMOVE + MONITOR */
#define PLANS_PER_LOOK 2
#define KICK_SPREAD_MS 500 /* one lost host may change thousands of masters */
#define FULL_RETRY_MS  250 /* the pipeline of a sentinel was full */
/* a sentinel that is silent so often keeps its monitor: it may be gone itself */
#define RETIRE_LOOKS   3
#define UNREACHABLE_MS 5000 /* connecting takes a moment */
#define PROBLEM_BYTES  64
#define BAD_MAX        4096 /* addresses that cannot be used, as they are logged */

static struct metric commands_ok =
    METRIC_COUNTER_INIT("xpipe_meta_monitor_commands_total", "result=\"ok\"",
                        "SENTINEL MONITOR and REMOVE that were sent, by result.");
static struct metric commands_failed =
    METRIC_COUNTER_INIT("xpipe_meta_monitor_commands_total", "result=\"failed\"",
                        "SENTINEL MONITOR and REMOVE that were sent, by result.");
static struct metric groups_unreachable = METRIC_GAUGE_INIT(
    "xpipe_meta_sentinel_groups_unreachable", "", "Sentinel groups of which no sentinel answers.");

static struct metric connections =
    METRIC_GAUGE_INIT("xpipe_meta_sentinel_connections", "",
                      "Sentinels that monitors are kept on; one connection each.");

struct sentinel_link { /* one sentinel */
    struct addr addr;
    struct rconn *conn;
    int refs; /* groups */
};

struct sentinel_group {
    char *address;
    struct sentinel_link *links[SENTINELS_MAX];
    size_t count;
    int refs;                  /* shards */
    mono_ms unreachable_since; /* MONO_NEVER: one is connected */
    bool is_alerted;
};

struct sentinel_monitors {
    struct sentinel_monitors_options opt;
    struct map links;     /* by address */
    struct map groups;    /* by address text */
    struct list retiring; /* of monitored_shard.retiring */
};

struct watch {                     /* one shard on one sentinel */
    struct monitored_shard *shard; /* NULL: gone, freed with the answer */
    struct sentinel_link *link;    /* valid while there is a shard */
    bool is_waiting;               /* for an answer */
    bool is_replacing;             /* MONITOR follows the REMOVE under way */
    bool is_held;                  /* the last plan was not carried out: may_command */
    bool is_failing_over;
    int plans_left; /* until the next look */
    enum monitor_seen seen;
    enum monitor_action acted; /* last command */
    struct addr watched;
    mono_ms differs_since;
    mono_ms acted_at; /* MONO_NEVER */
    const char *rule; /* of the last decision; NULL: none yet */
    char problem[PROBLEM_BYTES];
};

struct monitored_shard {
    struct sentinel_monitors *monitors;
    struct sentinel_group *group;
    char *name;
    monitored_state_fn *fn;
    void *arg;
    struct loop_timer timer;
    struct addr master;                   /* as last told: another one starts 'differs' anew */
    struct watch *watches[SENTINELS_MAX]; /* NULL: done, of one that retires */
    /* one that retires; nobody else knows it any more */
    struct cluster_meta *retired_of; /* NULL: it does not; one reference */
    int looks_left;
    struct list retiring;
};

/* ---- links and groups ---- */

static struct sentinel_link *link_take(struct sentinel_monitors *m, const struct addr *addr)
{
    struct sentinel_link *link = map_get(&m->links, ADDR_TEXT(addr));
    if (!link) {
        link = xcalloc(1, sizeof(*link));
        link->addr = *addr;
        struct rconn_options options = { .addr = *addr, .connect_timeout_ms = m->opt.timeout_ms };
        link->conn = rconn_new(m->opt.loop, &options, NULL, NULL);
        (void)map_put(&m->links, ADDR_TEXT(addr), link);
        metric_add(&connections, 1);
    }
    link->refs++;
    return link;
}

static void link_drop(struct sentinel_monitors *m, struct sentinel_link *link)
{
    if (--link->refs == 0) {
        (void)map_remove(&m->links, ADDR_TEXT(&link->addr));
        metric_add(&connections, -1);
        rconn_free(link->conn);
        free(link);
    }
}

static void add_links(struct sentinel_monitors *m, struct sentinel_group *group)
{
    struct addr addrs[SENTINELS_MAX];
    AUTO_STR struct str bad = STR_INIT(BAD_MAX);
    size_t count = sentinel_addrs(group->address, addrs, &bad);
    if (bad.len > 0) {
        log_warn("sentinel.bad_address", "group", group->address, "address", str_text(&bad));
    }
    for (size_t i = 0; i < count; i++) {
        group->links[group->count++] = link_take(m, &addrs[i]);
    }
}

static struct sentinel_group *group_take(struct sentinel_monitors *m, const char *address)
{
    struct sentinel_group *group = map_get(&m->groups, address);
    if (!group) {
        group = xcalloc(1, sizeof(*group));
        group->address = xstrdup(address);
        group->unreachable_since = loop_now(m->opt.loop);
        add_links(m, group);
        (void)map_put(&m->groups, address, group);
    }
    group->refs++;
    return group;
}

static void set_alert(struct sentinel_group *group, bool is_alerted)
{
    if (group->is_alerted != is_alerted) {
        group->is_alerted = is_alerted;
        metric_add(&groups_unreachable, is_alerted ? 1 : -1);
    }
}

static void group_drop(struct sentinel_monitors *m, struct sentinel_group *group)
{
    if (--group->refs > 0) {
        return;
    }
    set_alert(group, false);
    (void)map_remove(&m->groups, group->address);
    for (size_t i = 0; i < group->count; i++) {
        link_drop(m, group->links[i]);
    }
    free(group->address);
    free(group);
}

static bool is_reachable(const struct sentinel_group *group)
{
    for (size_t i = 0; i < group->count; i++) {
        if (rconn_state(group->links[i]->conn) == RCONN_READY) {
            return true;
        }
    }
    return false;
}

/* Said once when nobody of a group can be reached, and once when somebody can again. */
static void check_group(struct sentinel_monitors *m, struct sentinel_group *group)
{
    mono_ms now = loop_now(m->opt.loop);
    if (is_reachable(group)) {
        group->unreachable_since = MONO_NEVER;
        if (group->is_alerted) {
            log_info("sentinel.reachable", "group", group->address);
        }
        set_alert(group, false);
        return;
    }
    if (group->unreachable_since == MONO_NEVER) {
        group->unreachable_since = now;
    }
    if (!group->is_alerted && now - group->unreachable_since >= UNREACHABLE_MS) {
        log_warn("sentinel.unreachable", "group", group->address, "why",
                 group->count ? rconn_last_error(group->links[0]->conn) : "no usable address");
        set_alert(group, true);
    }
}

/* ---- one watch: what it sends ---- */

static void note_problem(struct watch *w, const char *text)
{
    (void)snprintf(w->problem, sizeof(w->problem), "%.*s", PROBLEM_BYTES - 1, text);
    for (char *p = w->problem; *p; p++) {
        *p = *p >= ' ' && *p <= '~' ? *p : '?';
    }
}

static struct loop *loop_of(const struct watch *w)
{
    return w->shard->monitors->opt.loop;
}

static void send_words(struct watch *w, size_t argc, const char *const *argv, rconn_reply_fn *fn)
{
    struct xp_err err = { 0 };
    int rc = rconn_send(w->link->conn, argc, argv, NULL, w->shard->monitors->opt.timeout_ms, fn, w,
                        0, &err);
    w->is_waiting = rc == 0;
    if (rc != 0) {
        w->seen = MONITOR_UNKNOWN;
        note_problem(w, err.msg);
    }
    if (rc == XP_TOO_MANY) {
        loop_timer_start(&w->shard->timer, FULL_RETRY_MS);
    }
}

/* The answer has come, or will not. False: nobody waits for it any more (and the watch is gone when its shard is). */
static bool take_answer(struct watch *w)
{
    w->is_waiting = false;
    if (!w->shard) {
        free(w);
        return false;
    }
    return !w->shard->retired_of;
}

static void on_seen(const struct rreply *reply, enum rconn_why why, void *arg, uint64_t token);
static void on_removed(const struct rreply *reply, enum rconn_why why, void *arg, uint64_t token);
static void on_monitored(const struct rreply *reply, enum rconn_why why, void *arg, uint64_t token);

static void ask(struct watch *w)
{
    const char *words[] = { "SENTINEL", "MASTER", w->shard->name };
    send_words(w, ARRAY_LEN(words), words, on_seen);
}

static void state_of(const struct watch *w, struct monitored_state *ret_state)
{
    w->shard->fn(w->shard->arg, ret_state);
}

/* Right before each command. */
static bool may_send(struct watch *w, const struct cluster_meta *cluster)
{
    const struct sentinel_monitors_options *opt = &w->shard->monitors->opt;
    struct xp_err err = { 0 };
    w->is_held = opt->may_command(cluster, opt->arg, &err) != 0;
    if (w->is_held) {
        note_problem(w, err.msg);
    }
    return !w->is_held;
}

static void record(struct watch *w, enum monitor_action action, const struct addr *master)
{
    w->acted = action;
    w->acted_at = loop_now(loop_of(w));
    log_info("monitor.command", "monitor", w->shard->name, "sentinel", ADDR_TEXT(&w->link->addr),
             "action", monitor_action_text(action), "rule", w->rule, "watched",
             w->seen == MONITOR_PRESENT ? ADDR_TEXT(&w->watched) : "-", "master",
             master ? ADDR_TEXT(master) : "-");
}

static void send_monitor(struct watch *w, const struct monitored_state *state)
{
    struct monitor_command command;
    monitor_command_build(w->shard->name, &state->master, sentinel_quorum(w->shard->group->count),
                          &command);
    w->is_replacing = false;
    if (may_send(w, state->cluster)) {
        record(w, MONITOR_ADD, &state->master);
        send_words(w, command.count, command.words, on_monitored);
    }
}

static void send_remove(struct watch *w, const struct monitored_state *state, bool is_replacing)
{
    struct monitor_command command;
    monitor_command_build(w->shard->name, NULL, 0, &command);
    if (may_send(w, state->cluster)) {
        w->is_replacing = is_replacing;
        record(w, is_replacing ? MONITOR_REPLACE : MONITOR_REMOVE,
               is_replacing ? &state->master : NULL);
        send_words(w, command.count, command.words, on_removed);
    }
}

/* ---- deciding ---- */

static void note_difference(struct watch *w, const struct monitored_state *state)
{
    struct monitored_shard *shard = w->shard;
    if (!addr_eq(&shard->master,
                 &state->master)) { /* time for the sentinels to follow starts anew */
        shard->master = state->master;
        for (size_t i = 0; i < shard->group->count; i++) {
            shard->watches[i]->differs_since = MONO_NEVER;
        }
    }
    bool differs = w->seen == MONITOR_PRESENT && state->place == TREE_PRIMARY &&
                   state->is_single_master && !addr_eq(&w->watched, &state->master);
    if (!differs) {
        w->differs_since = MONO_NEVER;
    } else if (w->differs_since == MONO_NEVER) {
        w->differs_since = loop_now(loop_of(w));
    }
}

static struct monitor_plan decide(struct watch *w, const struct monitored_state *state)
{
    struct monitor_facts facts = {
        .now = loop_now(loop_of(w)),
        .place = state->place,
        .is_migrating = state->cluster->is_migrating,
        .is_fenced = state->is_fenced,
        .is_promoted = state->is_promoted,
        .is_left = state->is_left,
        .is_single_master = state->is_single_master,
        .master = state->master,
        .seen = w->seen,
        .watched = w->watched,
        .is_failing_over = w->is_failing_over,
        .differs_since = w->differs_since,
        .differs_ms = w->shard->monitors->opt.differs_ms,
    };
    struct monitor_plan plan;
    monitor_decide(&facts, &plan);
    w->rule = plan.rule;
    return plan;
}

static void decide_and_act(struct watch *w)
{
    struct monitored_state state;
    state_of(w, &state);
    note_difference(w, &state);
    struct monitor_plan plan = decide(w, &state);
    if (plan.action == MONITOR_NOTHING || w->plans_left == 0) {
        return;
    }
    w->plans_left--;
    if (plan.action == MONITOR_ADD) {
        send_monitor(w, &state);
    } else {
        send_remove(w, &state, plan.action == MONITOR_REPLACE);
    }
}

/* ---- answers ---- */

static bool is_unknown_name(const struct rreply *reply)
{
    return rreply_is_error(reply) && strstr(rreply_text(reply, NULL), "No such master");
}

/* A field of SENTINEL MASTER: names and values take turns. "" when it is not there. */
static const char *field(const struct rreply *reply, const char *name)
{
    for (size_t i = 0; i + 1 < rreply_count(reply); i += 2) {
        if (rreply_is(rreply_at(reply, i), name)) {
            return rreply_text(rreply_at(reply, i + 1), NULL);
        }
    }
    return "";
}

static bool has_failover_flag(const char *flags)
{
    return strstr(flags, "failover") || strstr(flags, "s_down") || strstr(flags, "o_down");
}

static void read_present(struct watch *w, const struct rreply *reply)
{
    const char *port_text = field(reply, "port");
    int64_t port = 0;
    struct addr watched = { 0 };
    if (text_to_i64(port_text, strlen(port_text), 1, 65535, &port)) {
        watched = addr_of(field(reply, "ip"), (int)port);
    }
    if (addr_is_none(&watched)) {
        note_problem(w, "SENTINEL MASTER was answered with something else");
        return;
    }
    w->seen = MONITOR_PRESENT;
    w->watched = watched;
    w->is_failing_over = has_failover_flag(field(reply, "flags"));
}

static void on_seen(const struct rreply *reply, enum rconn_why why, void *arg, uint64_t token)
{
    (void)token;
    struct watch *w = arg;
    if (!take_answer(w)) {
        return;
    }
    w->seen = MONITOR_UNKNOWN;
    w->is_failing_over = false;
    note_problem(w, "");
    if (!reply) {
        note_problem(w, rconn_why_text(why));
    } else if (is_unknown_name(reply)) {
        w->seen = MONITOR_ABSENT;
    } else if (rreply_is_error(reply)) {
        note_problem(w, rreply_text(reply, NULL));
    } else {
        read_present(w, reply);
    }
    decide_and_act(w);
}

/* Counts the outcome. False: refused, or not known: the next look tells. */
static bool check_command(struct watch *w, const struct rreply *reply, enum rconn_why why,
                          bool is_ok)
{
    metric_add(is_ok ? &commands_ok : &commands_failed, 1);
    if (!is_ok) {
        const char *text = reply ? rreply_text(reply, NULL) : rconn_why_text(why);
        note_problem(w, text);
        log_warn("monitor.refused", "monitor", w->shard->name, "sentinel",
                 ADDR_TEXT(&w->link->addr), "why", w->problem);
    }
    return is_ok;
}

static bool is_removed(const struct rreply *reply)
{
    return rreply_first_word_is(reply, "OK") || (reply && is_unknown_name(reply));
}

static void on_removed(const struct rreply *reply, enum rconn_why why, void *arg, uint64_t token)
{
    (void)token;
    struct watch *w = arg;
    if (!take_answer(w)) {
        return;
    }
    if (!check_command(w, reply, why, is_removed(reply))) {
        return;
    }
    w->seen = MONITOR_ABSENT;
    if (!w->is_replacing) {
        ask(w);
        return;
    }
    struct monitored_state state; /* what holds now, not what held before */
    state_of(w, &state);
    if (decide(w, &state).action == MONITOR_ADD) {
        send_monitor(w, &state);
    }
}

static void on_monitored(const struct rreply *reply, enum rconn_why why, void *arg, uint64_t token)
{
    (void)token;
    struct watch *w = arg;
    if (!take_answer(w)) {
        return;
    }
    if (reply && rreply_is_error(reply) &&
        strstr(rreply_text(reply, NULL), "Duplicate master name")) {
        /* Somebody was faster. With another address it is put right at once: it differs for long enough. */
        w->differs_since = loop_now(loop_of(w)) - w->shard->monitors->opt.differs_ms;
        ask(w);
        return;
    }
    if (check_command(w, reply, why, rreply_first_word_is(reply, "OK"))) {
        ask(w);
    }
}

/* ---- shards ---- */

static void look(struct loop_timer *timer)
{
    struct monitored_shard *shard = CONTAINER_OF(timer, struct monitored_shard, timer);
    loop_timer_start(&shard->timer, shard->monitors->opt.period_ms);
    check_group(shard->monitors, shard->group);
    for (size_t i = 0; i < shard->group->count; i++) {
        struct watch *w = shard->watches[i];
        w->plans_left = PLANS_PER_LOOK;
        if (!w->is_waiting) {
            ask(w);
        }
    }
}

struct monitored_shard *sentinel_monitors_add(struct sentinel_monitors *m, const char *name,
                                              const char *address, monitored_state_fn *fn,
                                              void *arg)
{
    XP_ON_LOOP();
    struct monitored_shard *shard = xcalloc(1, sizeof(*shard));
    shard->monitors = m;
    shard->group = group_take(m, address);
    shard->name = xstrdup(name);
    shard->fn = fn;
    shard->arg = arg;
    for (size_t i = 0; i < shard->group->count; i++) {
        struct watch *w = xcalloc(1, sizeof(*w));
        w->shard = shard;
        w->link = shard->group->links[i];
        w->differs_since = MONO_NEVER;
        w->acted_at = MONO_NEVER;
        shard->watches[i] = w;
    }
    loop_timer_init(&shard->timer, m->opt.loop, look);
    loop_timer_start(&shard->timer, random_below(m->opt.period_ms));
    return shard;
}

static void drop_watch(struct monitored_shard *shard, size_t at)
{
    struct watch *w = TAKE(shard->watches[at]);
    if (w) {
        w->shard = NULL;
        if (!w->is_waiting) {
            free(w);
        }
    }
}

static void free_shard(struct sentinel_monitors *m, struct monitored_shard *shard)
{
    loop_timer_stop(&shard->timer);
    for (size_t i = 0; i < shard->group->count; i++) {
        drop_watch(shard, i);
    }
    if (shard->retired_of) {
        list_remove(&shard->retiring);
        cluster_meta_unref(shard->retired_of);
    }
    group_drop(m, shard->group);
    free(shard->name);
    free(shard);
}

void sentinel_monitors_remove(struct sentinel_monitors *m, struct monitored_shard *shard)
{
    XP_ON_LOOP();
    if (shard) {
        free_shard(m, shard);
    }
}

/* ---- shards that leave for good ---- */

static bool has_watch(const struct monitored_shard *shard)
{
    for (size_t i = 0; i < shard->group->count; i++) {
        if (shard->watches[i]) {
            return true;
        }
    }
    return false;
}

static void on_retired(const struct rreply *reply, enum rconn_why why, void *arg, uint64_t token)
{
    (void)token;
    struct watch *w = arg;
    struct monitored_shard *shard = w->shard;
    (void)take_answer(w);
    if (!shard || !check_command(w, reply, why, is_removed(reply))) {
        return;
    }
    for (size_t i = 0; i < shard->group->count; i++) {
        if (shard->watches[i] == w) {
            drop_watch(shard, i);
        }
    }
    if (!has_watch(shard)) {
        free_shard(shard->monitors, shard);
    }
}

static void retire_watch(struct watch *w)
{
    struct monitor_command command;
    monitor_command_build(w->shard->name, NULL, 0, &command);
    if (!w->is_waiting && may_send(w, w->shard->retired_of)) {
        w->rule = "M50"; /* it leaves: nothing is decided */
        record(w, MONITOR_REMOVE, NULL);
        send_words(w, command.count, command.words, on_retired);
    }
}

static void look_retiring(struct loop_timer *timer)
{
    struct monitored_shard *shard = CONTAINER_OF(timer, struct monitored_shard, timer);
    if (shard->looks_left-- == 0) {
        log_warn("monitor.left_behind", "monitor", shard->name, "group", shard->group->address);
        free_shard(shard->monitors, shard);
        return;
    }
    loop_timer_start(&shard->timer, shard->monitors->opt.period_ms);
    for (size_t i = 0; i < shard->group->count; i++) {
        if (shard->watches[i]) {
            retire_watch(shard->watches[i]);
        }
    }
}

static bool is_named(const char *list, const struct addr *addr)
{
    const char *cursor = list ? list : "";
    const char *part = NULL;
    size_t length = 0;
    struct addr one;
    while (text_next_part(&cursor, ",", &part, &length)) {
        if (addr_parse(part, length, &one, NULL) == 0 && addr_eq(&one, addr)) {
            return true;
        }
    }
    return false;
}

void sentinel_monitors_retire(struct sentinel_monitors *m, struct monitored_shard *shard,
                              const char *kept)
{
    XP_ON_LOOP();
    if (!shard) {
        return;
    }
    struct monitored_state state;
    shard->fn(shard->arg, &state);
    for (size_t i = 0; i < shard->group->count; i++) {
        if (is_named(kept, &shard->group->links[i]->addr)) {
            drop_watch(shard, i);
        }
    }
    if (!has_watch(shard) || state.place == TREE_OUTSIDE || state.cluster->is_migrating) {
        free_shard(m, shard);
        return;
    }
    shard->retired_of = cluster_meta_ref(state.cluster);
    shard->looks_left = RETIRE_LOOKS;
    list_push_back(&m->retiring, &shard->retiring);
    loop_timer_stop(&shard->timer);
    loop_timer_init(&shard->timer, m->opt.loop, look_retiring);
    loop_timer_start(&shard->timer, 0);
}

void sentinel_monitors_kick(struct sentinel_monitors *m, struct monitored_shard *shard)
{
    XP_ON_LOOP();
    int64_t spread_ms = m->opt.period_ms < KICK_SPREAD_MS ? m->opt.period_ms : KICK_SPREAD_MS;
    loop_timer_start(&shard->timer, random_below(spread_ms));
}

static json_t *watch_json(const struct watch *w)
{
    static const char *const seen_texts[] = {
        [MONITOR_UNKNOWN] = "unknown", [MONITOR_ABSENT] = "absent", [MONITOR_PRESENT] = "present"
    };
    mono_ms now = loop_now(loop_of(w));
    json_t *json =
        json_pack("{s:s, s:b, s:s, s:b, s:b, s:s*, s:s*}", "sentinel", ADDR_TEXT(&w->link->addr),
                  "connected", rconn_state(w->link->conn) == RCONN_READY, "seen",
                  seen_texts[w->seen], "failingOver", w->is_failing_over, "held", w->is_held,
                  "rule", w->rule, "problem", w->problem[0] ? w->problem : NULL);
    if (w->seen == MONITOR_PRESENT) {
        json_object_set_new(json, "watched", json_string(ADDR_TEXT(&w->watched)));
    }
    if (w->differs_since != MONO_NEVER) {
        json_object_set_new(json, "differsMs", json_integer(now - w->differs_since));
    }
    if (w->acted_at != MONO_NEVER) {
        json_object_set_new(json, "lastAction", json_string(monitor_action_text(w->acted)));
        json_object_set_new(json, "lastActionAgoMs", json_integer(now - w->acted_at));
    }
    return json;
}

json_t *monitored_shard_json(const struct monitored_shard *shard)
{
    json_t *list = json_array();
    for (size_t i = 0; i < shard->group->count; i++) {
        json_array_append_new(list, watch_json(shard->watches[i]));
    }
    return json_pack("{s:s, s:s, s:i, s:b, s:o}", "monitor", shard->name, "group",
                     shard->group->address, "quorum", sentinel_quorum(shard->group->count),
                     "reachable", is_reachable(shard->group), "sentinels", list);
}

/* ---- the whole ---- */

struct sentinel_monitors *sentinel_monitors_new(const struct sentinel_monitors_options *options)
{
    struct sentinel_monitors *m = xcalloc(1, sizeof(*m));
    m->opt = *options;
    m->links = MAP_INIT(MAP_TEXT);
    m->groups = MAP_INIT(MAP_TEXT);
    list_init(&m->retiring);
    metric_register(&commands_ok);
    metric_register(&commands_failed);
    metric_register(&groups_unreachable);
    metric_register(&connections);
    return m;
}

void sentinel_monitors_free(struct sentinel_monitors *m)
{
    if (m) {
        list_for_each (it, &m->retiring) {
            free_shard(m, LIST_ENTRY(it, struct monitored_shard, retiring));
        }
        xp_check(map_count(&m->groups) == 0); /* every shard was removed */
        map_done(&m->groups);
        map_done(&m->links);
        free(m);
    }
}
