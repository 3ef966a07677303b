/* shard_state.c - what people and machines see of a shard: gauges, alerts about links, the state as JSON. */
#include "meta/peers/shard_internal.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/model/json_decode.h"

#include "shared/base/banned.h"

#define VERDICT_HELP     "Peers of owned masters by verdict of the last look."
#define POLLS_HELP       "ROLE polls of owned Redis."
#define CORRECTIONS_HELP "PEEROF commands by outcome."

struct metric shard_polls_ok =
    METRIC_COUNTER_INIT("xpipe_meta_polls_total", "result=\"ok\"", POLLS_HELP);
struct metric shard_polls_failed =
    METRIC_COUNTER_INIT("xpipe_meta_polls_total", "result=\"failed\"", POLLS_HELP);
struct metric shard_corrections_ok =
    METRIC_COUNTER_INIT("xpipe_meta_corrections_total", "result=\"ok\"", CORRECTIONS_HELP);
struct metric shard_corrections_refused =
    METRIC_COUNTER_INIT("xpipe_meta_corrections_total", "result=\"refused\"", CORRECTIONS_HELP);
struct metric shard_corrections_unknown =
    METRIC_COUNTER_INIT("xpipe_meta_corrections_total", "result=\"unknown\"", CORRECTIONS_HELP);
struct metric shard_corrections_held =
    METRIC_COUNTER_INIT("xpipe_meta_corrections_held_total", "",
                        "Plans that were not carried out, by change of reason.");
struct metric shard_correction_seconds = METRIC_HISTOGRAM_INIT(
    "xpipe_meta_correction_seconds", "", "From first seeing a wrong peer to Redis' OK.");
struct metric shard_master_changes = METRIC_COUNTER_INIT(
    "xpipe_meta_master_changes_total", "", "Changes of the current master of owned shards.");
static struct metric links_down = METRIC_GAUGE_INIT("xpipe_meta_peer_links_down", "",
                                                    "Peer links down longer than the alert limit.");
static struct metric masterless =
    METRIC_GAUGE_INIT("xpipe_meta_shards_without_master", "",
                      "Shards without a single valid master longer than the alert limit.");
static struct metric verdict_gauges[PEER_VERDICTS] = {
    [PEER_OK] = METRIC_GAUGE_INIT("xpipe_meta_peers", "verdict=\"OK\"", VERDICT_HELP),
    [PEER_CHANGED] = METRIC_GAUGE_INIT("xpipe_meta_peers", "verdict=\"CHANGED\"", VERDICT_HELP),
    [PEER_MISSING] = METRIC_GAUGE_INIT("xpipe_meta_peers", "verdict=\"MISSING\"", VERDICT_HELP),
    [PEER_SUPERFLUOUS] =
        METRIC_GAUGE_INIT("xpipe_meta_peers", "verdict=\"SUPERFLUOUS\"", VERDICT_HELP),
    [PEER_BAD_ROUTE] = METRIC_GAUGE_INIT("xpipe_meta_peers", "verdict=\"BAD_ROUTE\"", VERDICT_HELP),
    [PEER_OLD_VERSION] =
        METRIC_GAUGE_INIT("xpipe_meta_peers", "verdict=\"OLD_VERSION\"", VERDICT_HELP),
    [PEER_BAD_GID] = METRIC_GAUGE_INIT("xpipe_meta_peers", "verdict=\"BAD_GID\"", VERDICT_HELP),
    [PEER_BAD_TARGET] =
        METRIC_GAUGE_INIT("xpipe_meta_peers", "verdict=\"BAD_TARGET\"", VERDICT_HELP),
    [PEER_UNKNOWN_PEER_MASTER] =
        METRIC_GAUGE_INIT("xpipe_meta_peers", "verdict=\"UNKNOWN_PEER_MASTER\"", VERDICT_HELP),
    [PEER_UNREADABLE] =
        METRIC_GAUGE_INIT("xpipe_meta_peers", "verdict=\"UNREADABLE\"", VERDICT_HELP),
};

void shard_duty_register_metrics(void)
{
    metric_register(&shard_polls_ok);
    metric_register(&shard_polls_failed);
    metric_register(&shard_corrections_ok);
    metric_register(&shard_corrections_refused);
    metric_register(&shard_corrections_unknown);
    metric_register(&shard_corrections_held);
    metric_register(&shard_correction_seconds);
    metric_register(&shard_master_changes);
    metric_register(&links_down);
    metric_register(&masterless);
    for (size_t i = 0; i < PEER_VERDICTS; i++) {
        metric_register(&verdict_gauges[i]);
    }
}

/* ---- gauges ---- */

static bool is_bad_verdict(enum peer_verdict v)
{
    return v == PEER_BAD_ROUTE || v == PEER_OLD_VERSION || v == PEER_BAD_GID ||
           v == PEER_BAD_TARGET || v == PEER_UNREADABLE;
}

static void report_row(const struct shard_duty *duty, const struct peer_row *row)
{
    const char *dc = row->wanted_index == SIZE_MAX ? "-" : duty->peers[row->wanted_index].dc;
    if (is_bad_verdict(row->verdict)) {
        log_warn("peer.verdict", "cluster", duty->base.cluster->name, "shard", duty->base.shard,
                 "dc", dc, "verdict", peer_verdict_text(row->verdict), "note", row->note);
    } else if (row->verdict != PEER_OK) {
        log_info("peer.verdict", "cluster", duty->base.cluster->name, "shard", duty->base.shard,
                 "dc", dc, "verdict", peer_verdict_text(row->verdict), "note", row->note);
    }
}

void shard_show_verdicts(struct shard_duty *duty, const struct peer_plan *plan)
{
    for (size_t i = 0; i < plan->row_count; i++) {
        const struct peer_row *row = &plan->rows[i];
        bool is_known = i < duty->shown_count;
        if (is_known && duty->shown[i] == row->verdict) {
            continue;
        }
        if (is_known) {
            metric_add(&verdict_gauges[duty->shown[i]], -1);
        }
        metric_add(&verdict_gauges[row->verdict], 1);
        duty->shown[i] = (uint8_t)row->verdict;
        report_row(duty, row);
    }
    for (size_t i = plan->row_count; i < duty->shown_count; i++) {
        metric_add(&verdict_gauges[duty->shown[i]], -1);
    }
    duty->shown_count = plan->row_count;
}

static void forget_link(struct link_watch *watch)
{
    if (watch->is_reported) {
        metric_add(&links_down, -1);
    }
    *watch = (struct link_watch){ 0 };
}

void shard_forget_verdicts(struct shard_duty *duty)
{
    for (size_t i = 0; i < duty->shown_count; i++) {
        metric_add(&verdict_gauges[duty->shown[i]], -1);
    }
    duty->shown_count = 0;
}

void shard_hide_verdicts(struct shard_duty *duty)
{
    shard_forget_verdicts(duty);
    metric_add(&masterless, duty->is_masterless_told ? -1 : 0);
    duty->is_masterless_told = false;
    for (int gid = 0; gid <= CRDT_GID_MAX; gid++) {
        forget_link(&duty->links[gid]);
    }
}

/* ---- master ---- */

static void master_is_back(struct shard_duty *duty)
{
    if (duty->is_masterless_told) {
        metric_add(&masterless, -1);
        log_info("master.found", "cluster", duty->base.cluster->name, "shard", duty->base.shard,
                 "master", ADDR_TEXT(&duty->current.addr));
    }
    duty->is_masterless_told = false;
    duty->masterless_since = MONO_NEVER;
}

void shard_watch_master(struct shard_duty *duty, const struct master_choice *choice)
{
    mono_ms now = loop_now(duty->env->loop);
    if (duty->verdict == MASTER_KEEP) {
        master_is_back(duty);
        return;
    }
    if (duty->masterless_since == MONO_NEVER) {
        duty->masterless_since = now;
    }
    if (duty->is_masterless_told || now - duty->masterless_since <= duty->peer_env->link_alert_ms) {
        return;
    }
    duty->is_masterless_told = true;
    metric_add(&masterless, 1);
    log_warn("master.missing", "cluster", duty->base.cluster->name, "shard", duty->base.shard,
             "verdict", master_verdict_text(duty->verdict), "masters", log_int(choice->masters),
             "silent", log_int(choice->unknown), "kept",
             addr_is_none(&duty->current.addr) ? "-" : ADDR_TEXT(&duty->current.addr), "next",
             "see 'redises' of GET /api/meta/v2/peers/{cluster}/{shard}; nothing is corrected here "
             "until exactly one Redis is a master");
}

/* ---- links ---- */

static void watch_link(struct shard_duty *duty, const char *dc, const struct crdt_peer *peer,
                       mono_ms now)
{
    struct link_watch *watch = &duty->links[peer->gid];
    if (!watch->is_seen || watch->is_up != peer->is_up) {
        if (watch->is_reported) {
            log_info("link.up", "cluster", duty->base.cluster->name, "shard", duty->base.shard,
                     "dc", dc);
        }
        forget_link(watch);
        *watch = (struct link_watch){ .is_seen = true, .is_up = peer->is_up, .since = now };
    }
    if (!watch->is_up && !watch->is_reported &&
        now - watch->since > duty->peer_env->link_alert_ms) {
        watch->is_reported = true;
        metric_add(&links_down, 1);
        log_warn("link.down", "cluster", duty->base.cluster->name, "shard", duty->base.shard, "dc",
                 dc, "peer", ADDR_TEXT(&peer->addr), "state",
                 peer->is_syncing ? "syncing"
                 : peer->never_up ? "never up"
                                  : "down",
                 "next",
                 "check that DC's master, its gid, namespace and password, and the proxies of the "
                 "route");
    }
}

void shard_watch_links(struct shard_duty *duty, const struct peer_facts *facts,
                       const struct peer_plan *plan)
{
    uint32_t present = 0;
    for (size_t i = 0; i < facts->wanted_count; i++) {
        const struct crdt_peer *actual = plan->rows[i].actual;
        if (actual && actual->gid >= CRDT_GID_MIN && actual->gid <= CRDT_GID_MAX) {
            watch_link(duty, facts->wanted[i].dc, actual, facts->now);
            present |= 1U << actual->gid;
        }
    }
    for (int gid = CRDT_GID_MIN; gid <= CRDT_GID_MAX; gid++) {
        if (!(present & 1U << gid)) {
            forget_link(&duty->links[gid]); /* its DC left, or Redis has no such peer any more */
        }
    }
}

/* ---- records ---- */

void shard_records_free(struct shard_duty *duty)
{
    for (size_t i = 0; i <= CRDT_GID_MAX; i++) {
        action_record_free(duty->records[i]);
    }
}

/* ---- JSON ---- */

static void set_route(json_t *object, const struct route *route)
{
    AUTO_FREE char *servers = route ? route_servers_text(route) : NULL;
    AUTO_FREE char *params = route ? route_params_text(route) : NULL;
    (void)json_object_set_new(object, "proxyServers", jd_text(servers));
    (void)json_object_set_new(object, "proxyParams", jd_text(params));
}

static json_t *expected_json(const struct peer_dc *p)
{
    if (!p->is_known) {
        return json_null();
    }
    json_t *object =
        json_pack("{s:s, s:i}", "ip", p->master.addr.host, "port", p->master.addr.port);
    set_route(object, p->pick.kind == ROUTE_CHOSEN ? p->pick.route : NULL);
    (void)json_object_set_new(object, "routeId",
                              p->pick.route_id ? json_integer(p->pick.route_id) : json_null());
    return object;
}

static const char *link_text(const struct crdt_peer *a)
{
    return a->is_up ? "up" : a->is_syncing ? "syncing" : a->never_up ? "never up" : "down";
}

static json_t *actual_json(const struct crdt_peer *a)
{
    if (!a) {
        return json_null();
    }
    json_t *object =
        json_pack("{s:o, s:i, s:s, s:I, s:I}", "ip", jd_text(a->addr.host), "port", a->addr.port,
                  "linkStatus", link_text(a), "lastIoSecondsAgo",
                  (json_int_t)(a->last_io_s == INT64_MIN ? -1 : a->last_io_s), "replOffset",
                  (json_int_t)(a->repl_offset == INT64_MIN ? -1 : a->repl_offset));
    struct route route;
    struct xp_err err;
    bool is_proxied = a->proxy == CRDT_PROXIED && crdt_peer_route(a, &route, &err) == 0;
    set_route(object, is_proxied ? &route : NULL);
    struct addr in_use = crdt_peer_proxy_in_use(a);
    (void)json_object_set_new(object, "proxyServerInUse",
                              addr_is_none(&in_use) ? json_null()
                                                    : json_string(ADDR_TEXT(&in_use)));
    return object;
}

static json_t *row_json(const struct shard_duty *duty, const struct peer_row *row)
{
    const struct peer_dc *p =
        row->wanted_index == SIZE_MAX ? NULL : &duty->peers[row->wanted_index];
    int gid = p && p->is_known ? p->master.gid : row->actual ? row->actual->gid : 0;
    bool has_record = gid >= CRDT_GID_MIN && gid <= CRDT_GID_MAX;
    return json_pack("{s:o, s:i, s:s, s:o, s:o, s:o, s:o}", "dc", jd_text(p ? p->dc : NULL), "gid",
                     gid, "verdict", peer_verdict_text(row->verdict), "note",
                     jd_text(row->note[0] ? row->note : NULL), "expected",
                     p ? expected_json(p) : json_null(), "actual", actual_json(row->actual),
                     "lastAction", action_record_to_json(has_record ? duty->records[gid] : NULL));
}

static json_t *node_json(const struct shard_duty *duty, const struct shard_node *n)
{
    static const char *const roles[] = {
        [ROLE_UNKNOWN] = "unknown", [ROLE_MASTER] = "master", [ROLE_SLAVE] = "slave"
    };
    return json_pack("{s:s, s:i, s:s, s:o, s:o, s:o}", "ip", n->addr.host, "port", n->addr.port,
                     "role", roles[n->role], "roleAt", duty_wall_json(duty->env, n->role_at),
                     "version", jd_text(n->server.version.present ? n->server.version.text : NULL),
                     "problem", jd_text(n->problem[0] ? n->problem : NULL));
}

static json_t *master_json(const struct shard_duty *duty, const struct shard_node *node)
{
    if (addr_is_none(&duty->current.addr)) {
        return json_null();
    }
    const char *version = node && node->server.version.present ? node->server.version.text : NULL;
    return json_pack("{s:i, s:s, s:i, s:o}", "gid", duty->current.gid, "ip",
                     duty->current.addr.host, "port", duty->current.addr.port, "version",
                     jd_text(version));
}

/* Judges the last CRDT.INFO again: the same decision, printed instead of carried out. */
static void add_plan(struct shard_duty *duty, struct shard_node *node, json_t *out)
{
    json_t *peers = json_array();
    struct crdt_info *info = duty->peer_env->scratch_info;
    if (node && node->info) {
        crdt_kept_view(node->info, info);
        struct wanted_peer wanted[PEER_DCS_MAX];
        struct peer_facts facts;
        struct peer_plan *plan = duty->peer_env->scratch_plan;
        shard_fill_facts(duty, node, info, wanted, &facts);
        peer_decide(&facts, plan);
        for (size_t i = 0; i < plan->row_count; i++) {
            (void)json_array_append_new(peers, row_json(duty, &plan->rows[i]));
        }
        CLEANUP(str_done) struct str text = STR_INIT(65536);
        peer_plan_print(&facts, plan, &text);
        (void)json_object_set_new(out, "masterReplOffset", json_integer(info->master_repl_offset));
        (void)json_object_set_new(out, "backstreaming", json_boolean(info->backstreaming));
        (void)json_object_set_new(out, "plan", jd_text(str_text(&text)));
    }
    (void)json_object_set_new(out, "peers", peers);
}

json_t *shard_state_json(struct shard_duty *duty)
{
    struct shard_node *node = shard_master_node(duty);
    json_t *nodes = json_array();
    for (size_t i = 0; i < duty->node_count; i++) {
        (void)json_array_append_new(nodes, node_json(duty, &duty->nodes[i]));
    }
    json_t *out =
        json_pack("{s:s, s:s, s:o, s:s, s:o, s:s, s:o, s:o}", "cluster", duty->base.cluster->name,
                  "shard", duty->base.shard, "currentMaster", master_json(duty, node),
                  "masterVerdict", master_verdict_text(duty->verdict), "checkedAt",
                  duty_wall_json(duty->env, duty->checked_at), "correction",
                  duty_is_suspended(&duty->base, duty->env) ? "off" : "on", "held",
                  jd_text(duty->base.hold), "redises", nodes);
    add_plan(duty, node, out);
    return out;
}
