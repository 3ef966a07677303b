/* tree_state.c - what people and machines see of a one-way shard: gauges, last actions, the state as JSON. */
#include "meta/keepers/tree_internal.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/model/json_decode.h"

#include "shared/base/banned.h"

#define VERDICT_HELP  "Redis and keepers of owned one-way shards by verdict of the last look."
#define POLLS_HELP    "Polls of Redis and keepers of owned one-way shards."
#define COMMANDS_HELP "Commands that changed a Redis or keeper of a one-way shard, by outcome."
#define PLAN_MAX      65536

struct metric tree_polls_ok =
    METRIC_COUNTER_INIT("xpipe_meta_tree_polls_total", "result=\"ok\"", POLLS_HELP);
struct metric tree_polls_failed =
    METRIC_COUNTER_INIT("xpipe_meta_tree_polls_total", "result=\"failed\"", POLLS_HELP);
struct metric tree_commands_ok =
    METRIC_COUNTER_INIT("xpipe_meta_tree_commands_total", "result=\"ok\"", COMMANDS_HELP);
struct metric tree_commands_refused =
    METRIC_COUNTER_INIT("xpipe_meta_tree_commands_total", "result=\"refused\"", COMMANDS_HELP);
struct metric tree_commands_unknown =
    METRIC_COUNTER_INIT("xpipe_meta_tree_commands_total", "result=\"unknown\"", COMMANDS_HELP);
struct metric tree_not_taken =
    METRIC_COUNTER_INIT("xpipe_meta_tree_not_taken_total", "",
                        "Commands that were answered with OK and had no effect.");
struct metric tree_held =
    METRIC_COUNTER_INIT("xpipe_meta_tree_held_total", "",
                        "Plans of one-way shards that were not carried out, by change of reason.");
struct metric tree_correction_seconds = METRIC_HISTOGRAM_INIT(
    "xpipe_meta_tree_correction_seconds", "", "From first seeing a wrong tree to each OK.");
struct metric tree_source_changes = METRIC_COUNTER_INIT(
    "xpipe_meta_tree_source_changes_total", "", "Changes of what owned one-way shards pull from.");
struct metric tree_active_changes = METRIC_COUNTER_INIT(
    "xpipe_meta_tree_active_changes_total", "", "Changes of the active keeper of owned shards.");
struct metric tree_relay_changes =
    METRIC_COUNTER_INIT("xpipe_meta_tree_relay_changes_total", "",
                        "Times another Redis became the relay of a shard without keepers.");
struct metric tree_masters_lost = METRIC_GAUGE_INIT(
    "xpipe_meta_tree_masters_lost", "", "One-way shards of this primary DC whose master is lost.");
struct metric tree_promotions = METRIC_COUNTER_INIT(
    "xpipe_meta_tree_promotions_total", "", "Promotions that were begun for a lost master.");

#define GAUGE(word) METRIC_GAUGE_INIT("xpipe_meta_tree_nodes", "verdict=\"" word "\"", VERDICT_HELP)
static struct metric verdict_gauges[TREE_VERDICTS] = {
    [TREE_OK] = GAUGE("OK"),
    [TREE_WRONG] = GAUGE("WRONG"),
    [TREE_LEFT_ALONE] = GAUGE("LEFT_ALONE"),
    [TREE_SILENT] = GAUGE("SILENT"),
    [TREE_SYNCING] = GAUGE("SYNCING"),
    [TREE_NO_SOURCE] = GAUGE("NO_SOURCE"),
    [TREE_NO_HEAD] = GAUGE("NO_HEAD"),
    [TREE_HEAD_NOT_READY] = GAUGE("HEAD_NOT_READY"),
    [TREE_BAD_ROUTE] = GAUGE("BAD_ROUTE"),
    [TREE_ROUTE_NEEDS_KEEPER] = GAUGE("ROUTE_NEEDS_KEEPER"),
    [TREE_LOOP] = GAUGE("LOOP"),
};

void tree_duty_register_metrics(void)
{
    struct metric *const all[] = {
        &tree_polls_ok,         &tree_polls_failed,  &tree_commands_ok,    &tree_commands_refused,
        &tree_commands_unknown, &tree_held,          &tree_source_changes, &tree_correction_seconds,
        &tree_active_changes,   &tree_relay_changes, &tree_masters_lost,   &tree_promotions,
    };
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        metric_register(all[i]);
    }
    for (size_t i = 0; i < TREE_VERDICTS; i++) {
        metric_register(&verdict_gauges[i]);
    }
}

/* ---- gauges ---- */

static bool is_alert(enum tree_verdict v)
{
    return v == TREE_BAD_ROUTE || v == TREE_ROUTE_NEEDS_KEEPER || v == TREE_LOOP;
}

static void report_row(const struct tree_member *m, const struct tree_row *row)
{
    const struct tree_duty *duty = m->duty;
    const char *node = ADDR_TEXT(&m->node.addr);
    const char *wanted = addr_is_none(&row->wanted) ? "-" : ADDR_TEXT(&row->wanted);
    if (is_alert(row->verdict)) {
        log_warn("tree.verdict", "cluster", duty->base.cluster->name, "shard", duty->base.shard,
                 "node", node, "verdict", tree_verdict_text(row->verdict), "wanted", wanted, "note",
                 row->note);
    } else if (row->verdict != TREE_OK && row->verdict != TREE_LEFT_ALONE) {
        log_info("tree.verdict", "cluster", duty->base.cluster->name, "shard", duty->base.shard,
                 "node", node, "verdict", tree_verdict_text(row->verdict), "wanted", wanted, "note",
                 row->note);
    }
}

void tree_hide_verdict(struct tree_member *m)
{
    if (m->shown >= 0) {
        metric_add(&verdict_gauges[m->shown], -1);
    }
    m->shown = -1;
}

void tree_show_verdicts(struct tree_duty *duty, const struct tree_plan *plan)
{
    for (size_t i = 0; i < duty->member_count; i++) {
        struct tree_member *m = duty->members[i];
        const struct tree_row *row = &plan->rows[i];
        if (m->shown == (int)row->verdict) {
            continue;
        }
        tree_hide_verdict(m);
        m->shown = (int8_t)row->verdict;
        metric_add(&verdict_gauges[row->verdict], 1);
        report_row(m, row);
    }
}

/* ---- JSON ---- */

static json_t *addr_json(const struct addr *addr)
{
    return addr_is_none(addr) ? json_null()
                              : json_pack("{s:s, s:i}", "ip", addr->host, "port", addr->port);
}

static json_t *node_json(const struct tree_duty *duty, const struct tree_member *m,
                         const struct tree_row *row)
{
    const struct tree_node *n = &m->node;
    bool answers = n->role_at != MONO_NEVER;
    json_t *out =
        json_pack("{s:s, s:i, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o}", "ip", n->addr.host, "port",
                  n->addr.port, "kind", n->is_keeper ? "keeper" : "redis", "verdict",
                  tree_verdict_text(row->verdict), "note", jd_text(row->note[0] ? row->note : NULL),
                  "role", answers ? json_string(role_kind_text(n->role.kind)) : json_null(),
                  "follows", answers ? addr_json(&n->role.master) : json_null(), "link",
                  answers ? json_string(role_link_text(n->role.link)) : json_null(), "wanted",
                  addr_json(&row->wanted), "roleAt", duty_wall_json(duty->env, n->role_at));
    (void)json_object_set_new(
        out, "offset", answers && n->role.offset >= 0 ? json_integer(n->role.offset) : json_null());
    if (n->is_keeper) {
        (void)json_object_set_new(out, "state", json_string(keeper_state_text(n->state)));
        (void)json_object_set_new(out, "routeSent", jd_text(m->route));
    }
    if (!n->is_keeper) {
        (void)json_object_set_new(out, "priority",
                                  n->priority < 0 ? json_null() : json_integer(n->priority));
    }
    (void)json_object_set_new(out, "problem", jd_text(m->problem));
    (void)json_object_set_new(out, "lastAction", action_record_to_json(m->record));
    return out;
}

static json_t *election_json(const struct tree_duty *duty)
{
    json_t *living = json_array();
    for (size_t i = 0; i < duty->live_count; i++) {
        const struct live_keeper *k = &duty->live[i];
        (void)json_array_append_new(
            living, json_pack("{s:s, s:i, s:I, s:b, s:b}", "ip", k->addr.host, "port", k->addr.port,
                              "priority", (json_int_t)k->priority, "inMetadata", k->is_in_meta,
                              "active", duty->active == (int)i));
    }
    return json_pack("{s:b, s:o, s:i, s:i}", "known", duty->is_election_known, "living", living,
                     "unreadable", duty->unreadable, "ignored", duty->ignored);
}

static json_t *containers_json(const struct tree_duty *duty)
{
    json_t *tries = json_array();
    for (size_t i = 0; i < duty->try_count; i++) {
        const struct container_try *t = &duty->tries[i];
        (void)json_array_append_new(
            tries, json_pack("{s:s, s:i, s:i, s:o, s:b}", "ip", t->addr.host, "port", t->addr.port,
                             "tries", t->tries, "triedAt", duty_wall_json(duty->env, t->tried_at),
                             "running", t->is_running));
    }
    return json_pack("{s:i, s:i, s:o}", "dead", duty->dead, "extra", duty->extra, "tries", tries);
}

static json_t *source_json(const struct tree_duty *duty)
{
    return json_pack("{s:o, s:s, s:i, s:o, s:o}", "addr", addr_json(&duty->source), "verdict",
                     source_verdict_text(duty->source_verdict), "masters", duty->masters, "told",
                     addr_json(&duty->told), "route",
                     jd_text(duty->route_words[0] ? duty->route_words : NULL));
}

/* The same decision, printed instead of carried out. */
static void add_plan(struct tree_duty *duty, json_t *out)
{
    struct tree_node nodes[TREE_NODES_MAX];
    struct keeper_election election;
    struct tree_facts facts;
    struct tree_plan *plan = duty->tree_env->scratch_plan;
    json_t *rows = json_array();
    CLEANUP(str_done) struct str text = STR_INIT(PLAN_MAX);
    tree_facts_fill(duty, nodes, &election, &facts);
    tree_decide(&facts, plan);
    for (size_t i = 0; i < duty->member_count; i++) {
        (void)json_array_append_new(rows, node_json(duty, duty->members[i], &plan->rows[i]));
    }
    tree_plan_print(&facts, plan, &text);
    (void)json_object_set_new(out, "head",
                              plan->head < 0 ? json_null()
                                             : addr_json(&duty->members[plan->head]->node.addr));
    (void)json_object_set_new(out, "nodes", rows);
    (void)json_object_set_new(out, "plan", jd_text(str_text(&text)));
}

json_t *tree_state_json(struct tree_duty *duty)
{
    json_t *out = json_pack(
        "{s:s, s:s, s:s, s:o, s:o, s:s, s:o, s:o, s:o}", "cluster", duty->base.cluster->name,
        "shard", duty->base.shard, "place", tree_place_text(duty->place), "source",
        source_json(duty), "checkedAt", duty_wall_json(duty->env, duty->checked_at), "correction",
        duty_is_suspended(&duty->base, duty->env) ? "off" : "on", "held", jd_text(duty->base.hold),
        "election", election_json(duty), "containers", containers_json(duty));
    (void)json_object_set_new(out, "failover",
                              json_pack("{s:s, s:s, s:o}", "verdict",
                                        failover_verdict_text(duty->failover.verdict), "why",
                                        duty->failover.why, "promotedAt",
                                        duty_wall_json(duty->env, duty->promoted_at)));
    (void)json_object_set_new(out, "sentinels",
                              duty->monitor ? monitored_shard_json(duty->monitor) : json_null());
    if (duty_shard(&duty->base)) {
        add_plan(duty, out);
    }
    return out;
}

json_t *tree_duty_to_json(struct tree_duty *duty)
{
    return tree_state_json(duty);
}

static json_t *survivors_json(const struct tree_duty *duty)
{
    json_t *out = json_array();
    for (size_t i = 0; i < duty->live_count; i++) {
        const struct live_keeper *k = &duty->live[i];
        (void)json_array_append_new(out, json_pack("{s:s, s:i, s:b}", "ip", k->addr.host, "port",
                                                   k->addr.port, "active", duty->active == (int)i));
    }
    return out;
}

json_t *tree_duty_current_json(const struct tree_duty *duty)
{
    const struct shard_meta *shard = duty_shard(&duty->base);
    json_t *master = json_null();
    if (!addr_is_none(&duty->source)) {
        master = json_object();
        (void)json_object_set_new(master, duty->source.host, json_integer(duty->source.port));
    }
    json_t *cluster = cluster_meta_to_json(duty->base.cluster);
    json_t *meta = json_object_get(json_object_get(cluster, "shards"), duty->base.shard);
    json_t *out = json_pack("{s:I, s:o, s:o, s:O?}", "shardDbId",
                            (json_int_t)(shard ? shard->db_id : 0), "surviveKeepers",
                            survivors_json(duty), "keeperMaster", master, "shardMeta", meta);
    json_decref(cluster);
    return out;
}
