/* fake_tree_world.c - see fake_tree_world.h. */
#include "tests/sim/fake_tree_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "meta/slots/slot.h"
#include "shared/base/mem.h"
#include "shared/base/metrics.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

/* What the duty knows of the others may be so old: three polls, a time limit. */
#define KNOWLEDGE_MS 6000

/* ---- who is who ---- */

static struct fake_replica *find(struct tree_world *w, const struct addr *addr)
{
    for (size_t i = 0; i < TREE_REDISES; i++) {
        if (addr_eq(&w->redis[i].addr, addr)) {
            return &w->redis[i];
        }
    }
    for (size_t i = 0; i < TREE_KEEPERS; i++) {
        if (addr_eq(&w->keeper[i].addr, addr)) {
            return &w->keeper[i];
        }
    }
    return NULL;
}

static bool upstream_is_up(const struct addr *addr, void *arg)
{
    struct tree_world *w = arg;
    xp_check(w);
    const struct fake_replica *r = find(w, addr);
    if (!r) {
        return w->is_far_up && addr_eq(addr, &w->far_head);
    }
    return r->is_up && (!r->is_keeper || r->state == KEEPER_ACTIVE);
}

/* Up from 'r': does one come back to it? */
static bool is_in_loop(struct tree_world *w, const struct fake_replica *r)
{
    const struct fake_replica *at = r;
    for (size_t steps = 0; at && steps < TREE_REDISES + TREE_KEEPERS; steps++) {
        at = addr_is_none(&at->master) ? NULL : find(w, &at->master);
        if (at == r) {
            return true;
        }
    }
    return false;
}

/* ---- commands ---- */

static int may_command(const struct cluster_meta *cluster, void *arg, struct xp_err *err)
{
    struct tree_world *w = arg;
    xp_check(strcmp(cluster->name, TREE_CLUSTER) == 0);
    return fake_permission_ask(&w->permission, err);
}

static void complain(struct tree_world *w, const struct fake_replica *r, const char *what)
{
    w->violations++;
    (void)fprintf(stderr, "%s: %s at %lld: %s\n", ADDR_TEXT(&r->addr), what,
                  (long long)clock_mono_ms(), r->last);
}

static struct addr target_of(const char *const *argv)
{
    const char *const *words = text_eq_nocase(argv[0], "KEEPER") ? &argv[3] : &argv[1];
    int64_t port = 0;
    (void)text_to_i64(words[1], strlen(words[1]), 1, 65535, &port); /* NO ONE: nobody */
    return addr_of(words[0], (int)port);
}

/* Whoever is pointed at a keeper finds it ACTIVE: its own command comes first. Not when it only says so. */
static bool is_head_ready(struct tree_world *w, const struct addr *target)
{
    const struct fake_replica *head = find(w, target);
    return !head || !head->is_keeper || head->state == KEEPER_ACTIVE ||
           head->trick == FAKE_REPLICA_PRETENDS ||
           head->changed_at >= clock_mono_ms() - KNOWLEDGE_MS;
}

/* A Redis of the primary DC belongs to its sentinels and people. */
static bool is_ours_to_change(const struct tree_world *w, const struct fake_replica *r)
{
    return r->is_keeper || !w->is_primary || w->tree_env.failover == FAILOVER_AUTO ||
           w->placed_at >= clock_mono_ms() - w->wire_ms - 1;
}

static void check_target(struct tree_world *w, const struct fake_replica *r,
                         const char *const *argv)
{
    mono_ms since = clock_mono_ms() - w->wire_ms - 1;
    struct addr target = target_of(argv);
    if (!is_head_ready(w, &target)) {
        complain(w, r, "pointed at a keeper that is not active");
    }
    if (!is_ours_to_change(w, r)) {
        complain(w, r, "a Redis of the primary DC was commanded");
    }
    bool is_taken = addr_eq(&r->master, &target);
    if (is_taken && is_in_loop(w, r) && w->disturbed_at < clock_mono_ms() - KNOWLEDGE_MS) {
        complain(w, r, "a loop was built");
    }
    bool is_relay = !w->is_primary && !r->is_keeper && !find(w, &target) && w->placed_at < since;
    bool may_be_promoted = r->priority != 0 && !r->has_kept_priority;
    if (is_relay && w->tree_env.replica_priority > 0 && may_be_promoted) {
        complain(w, r, "made the relay with a priority");
    }
}

/* 0 in a backup DC without keepers; in the primary DC only 0 is given another one. */
static void check_priority(struct tree_world *w, const struct fake_replica *r, const char *value)
{
    bool is_expected = w->is_primary ? text_eq(value, "100") : text_eq(value, "0");
    bool is_here = !r->is_keeper && (w->is_primary || w->keeper_count == 0);
    if ((!is_expected || !is_here) && w->placed_at < clock_mono_ms() - w->wire_ms - 1) {
        complain(w, r, "given a priority");
    }
}

/* What was on its way when the world changed may still arrive: a round trip lies between question and command. */
static void check_change(struct tree_world *w, const struct fake_replica *r,
                         const char *const *argv)
{
    mono_ms since = clock_mono_ms() - w->wire_ms - 1;
    if (!w->permission.is_given && w->permission.refused_since < since) {
        complain(w, r, "commanded without permission");
    }
    if (!text_eq(w->status, "Normal") && w->placed_at < since) {
        complain(w, r, "commanded while migrating");
    }
    if (text_eq_nocase(argv[0], "CONFIG")) {
        check_priority(w, r, argv[3]);
    } else {
        check_target(w, r, argv);
    }
}

/* One command at a time for each: the next one comes after the answer. */
static void on_sent(const struct loop *client, const struct addr *addr, size_t argc,
                    const char *const *argv, void *arg)
{
    (void)client;
    struct tree_world *w = arg;
    struct fake_replica *r = find(w, addr);
    if (fake_replica_is_change(argc, argv)) {
        if (clock_mono_ms() < r->answers_at) {
            complain(w, r, "a second command before the answer");
        }
        r->answers_at = clock_mono_ms() + w->latency_ms;
    }
}

static struct rreply *on_command(const struct addr *addr, size_t argc, const char *const *argv,
                                 void *arg)
{
    struct tree_world *w = arg;
    struct fake_replica *r = find(w, addr);
    xp_check(r);
    struct rreply *reply = fake_replica_command(r, argc, argv);
    if (fake_replica_is_change(argc, argv)) {
        check_change(w, r, argv);
    }
    return reply;
}

/* ---- election ---- */

static size_t children(struct keeper_child *ret_children, void *arg)
{
    static char names[TREE_KEEPERS + 1][64];
    static char data[TREE_KEEPERS + 1][160];
    struct tree_world *w = arg;
    for (size_t i = 0; i < w->queue_count; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "_c_u-latch-%010zu", i);
        (void)snprintf(data[i], sizeof(data[i]), "{\"ip\":\"%s\",\"port\":%d,\"id\":\"k\"}",
                       w->queue[i] < 0 ? "" : w->keeper[w->queue[i]].addr.host,
                       w->queue[i] < 0 ? 0 : w->keeper[w->queue[i]].addr.port);
        ret_children[i] = (struct keeper_child){
            .path = ELECTION_BY_REPL, .name = names[i], .data = data[i], .length = strlen(data[i])
        };
    }
    return w->queue_count;
}

static void unregister(struct tree_world *w, int keeper)
{
    size_t kept = 0;
    for (size_t i = 0; i < w->queue_count; i++) {
        if (w->queue[i] != keeper) {
            w->queue[kept++] = w->queue[i];
        }
    }
    w->queue_count = kept;
    fake_keeper_watch_changed(w->tree_env.watch);
}

void tree_world_register(struct tree_world *w, int keeper)
{
    unregister(w, keeper);
    w->queue[w->queue_count++] = keeper;
}

static int index_of_keeper(const struct tree_world *w, const struct fake_replica *r)
{
    return r->is_keeper ? (int)(r - w->keeper) : -2;
}

void tree_world_kill(struct tree_world *w, struct fake_replica *r)
{
    fake_redis_set(NULL, &r->addr, FAKE_REDIS_REFUSES);
    r->is_up = false;
    w->disturbed_at = clock_mono_ms();
    unregister(w, index_of_keeper(w, r));
}

void tree_world_revive(struct tree_world *w, struct fake_replica *r)
{
    bool was_up = r->is_up;
    fake_redis_set(NULL, &r->addr, FAKE_REDIS_UP);
    r->is_up = true;
    w->disturbed_at = clock_mono_ms();
    if (!was_up) {
        fake_replica_restart(r);
        if (r->is_keeper) {
            tree_world_register(w, index_of_keeper(w, r));
        }
    }
}

static void on_call(const struct container_call *call, void *arg)
{
    struct tree_world *w = arg;
    struct fake_replica *r = find(w, &call->keeper.addr);
    if (w->starts_keepers && r && r->is_keeper) {
        if (call->is_removal) {
            tree_world_kill(w, r);
        } else {
            tree_world_revive(w, r);
        }
    }
}

static int may_call(int64_t cluster_id, void *arg, struct xp_err *err)
{
    const struct tree_world *w = arg;
    xp_check(cluster_id == w->cluster_id);
    return w->permission.is_given ? 0 : xp_fail(err, XP_NOT_OWNER, "the lease is over");
}

/* ---- metadata ---- */

static void on_cluster(const struct cluster_meta *before, struct cluster_meta *after, void *arg)
{
    struct tree_world *w = arg;
    shard_set_cluster(w->shards, before, after);
}

static void on_routes(void *arg)
{
    struct tree_world *w = arg;
    shard_set_routes(w->shards);
}

static void add_redises(const struct tree_world *w, struct str *text)
{
    str_puts(text, "\"redises\":[");
    for (int i = 0; i < w->redis_count; i++) {
        str_printf(text, "%s{\"ip\":\"%s\",\"port\":%d}", i ? "," : "", w->redis[i].addr.host,
                   w->redis[i].addr.port);
    }
    str_puts(text, "]");
}

static void add_keepers(const struct tree_world *w, struct str *text)
{
    str_puts(text, "\"keepers\":[");
    for (int i = 0; i < w->keeper_count; i++) {
        str_printf(text,
                   "%s{\"id\":\"k\",\"ip\":\"%s\",\"port\":%d,\"keeperContainerId\":%d,"
                   "\"priority\":%d}",
                   i ? "," : "", w->keeper[i].addr.host, w->keeper[i].addr.port, i + 1,
                   w->priority[i]);
    }
    str_puts(text, "]");
}

static void add_cluster(const struct tree_world *w, struct str *text)
{
    const char *far = w->active_dc ? w->active_dc : "oy";
    str_printf(text, "\"" TREE_CLUSTER "\":{\"id\":\"" TREE_CLUSTER "\",\"dbId\":%d",
               w->cluster_id);
    str_printf(text, ",\"type\":\"ONE_WAY\",\"activeDc\":\"%s\",\"backupDcs\":\"%s\"",
               w->is_primary ? "jq" : far, w->is_primary ? "oy" : "jq");
    str_printf(text, ",\"status\":\"%s\",\"shards\":{\"" TREE_SHARD "\":{\"id\":\"" TREE_SHARD "\"",
               w->status);
    str_printf(text, ",\"dbId\":%d", w->cluster_id * 11);
    if (w->sentinels) {
        str_puts(text, ",\"sentinelId\":5,\"sentinelMonitorName\":\"c1-s1\"");
    }
    str_puts(text, ",");
    add_redises(w, text);
    str_puts(text, ",");
    add_keepers(w, text);
    str_puts(text, "}}}");
}

static char *document_of(const struct tree_world *w)
{
    struct str text = STR_INIT(65536);
    str_printf(&text, "{\"id\":\"jq\",\"version\":%lld,\"clusters\":{", (long long)w->version);
    if (!w->is_cluster_gone) {
        add_cluster(w, &text);
    }
    if (w->has_other_cluster) {
        str_printf(&text,
                   "%s\"c9\":{\"id\":\"c9\",\"dbId\":9,\"type\":\"ONE_WAY\",\"activeDc\":\"oy\","
                   "\"backupDcs\":\"fra\",\"shards\":{\"s9\":{\"id\":\"s9\",\"dbId\":99,"
                   "\"redises\":[],\"keepers\":[{\"ip\":\"%s\",\"port\":%d}]}}}",
                   w->is_cluster_gone ? "" : ",", w->keeper[1].addr.host, w->keeper[1].addr.port);
    }
    str_puts(&text, "},\"routes\":[");
    if (w->route) {
        str_printf(&text,
                   "{\"id\":7,\"tag\":\"meta\",\"srcDc\":\"jq\",\"dstDc\":\"oy\","
                   "\"clusterType\":\"\",\"isPublic\":true,\"routeInfo\":\"%s\"}",
                   w->route);
    }
    str_puts(&text, "],\"keeperContainers\":[");
    for (int i = 0; w->has_containers && i < TREE_KEEPERS; i++) {
        str_printf(&text, "%s{\"id\":%d,\"ip\":\"%s\",\"port\":8080}", i ? "," : "", i + 1,
                   w->keeper[i].addr.host);
    }
    str_puts(&text, "],\"sentinels\":{");
    if (w->sentinels) {
        str_printf(&text, "\"5\":{\"id\":5,\"address\":\"%s\"}", w->sentinels);
    }
    str_puts(&text, "}}");
    return str_take(&text);
}

void tree_world_publish(struct tree_world *w)
{
    w->version++;
    w->disturbed_at = w->placed_at = clock_mono_ms();
    fake_document_apply(&w->env, document_of(w));
}

/* ---- life ---- */

static void make_env(struct tree_world *w)
{
    w->env = (struct duty_env){
        .loop = w->loop,
        .store = w->store,
        .may_command = may_command,
        .arg = w,
    };
    fake_duty_env(&w->env);
    struct keeper_watch_options watch = { .loop = w->loop };
    struct container_calls_options calls = { .loop = w->loop, .may_call = may_call, .arg = w };
    w->tree_env = (struct tree_env){
        .duty = &w->env,
        .watch = keeper_watch_new(&watch),
        .containers = container_calls_new(&calls),
        .upstreams = fake_dc_links_new(),
        .board = upstream_board_new(),
        .scratch_plan = xcalloc(1, sizeof(struct tree_plan)),
        .failover = FAILOVER_REPORT,
        .failover_lost_ms = 5000,
        .failover_patience_ms = 3000,
        .keeper_grace_ms = 2000,
        .keeper_settle_ms = 15000,
        .keeper_retry_first_ms = 5000,
        .keeper_retry_max_ms = 120000,
        .sync_patience_ms = 600000,
        .relay_silent_ms = 3000,
        .relay_link_ms = 10000,
        .relay_lag_bytes = 67108864,
        .replica_priority = 100,
    };
    budget_init(&w->tree_env.refresh, 100, 200, loop_now(w->loop));
}

static void make_replicas(struct tree_world *w)
{
    for (int i = 0; i < TREE_REDISES + TREE_KEEPERS; i++) {
        bool is_keeper = i >= TREE_REDISES;
        struct fake_replica *r = is_keeper ? &w->keeper[i - TREE_REDISES] : &w->redis[i];
        AUTO_FREE char *host = xasprintf("10.0.1.%d", is_keeper ? 11 + i - TREE_REDISES : 1 + i);
        struct addr addr = addr_of(host, is_keeper ? 6380 : 6379);
        fake_replica_init(r, &addr, is_keeper);
        r->upstream_is_up = upstream_is_up;
        r->arg = w;
    }
}

void tree_world_init(struct tree_world *w)
{
    *w = (struct tree_world){ .cluster_id = 1,
                              .redis_count = 2,
                              .keeper_count = 2,
                              .priority = { 1, 1, 1 },
                              .status = "Normal",
                              .has_containers = true,
                              .permission = FAKE_PERMISSION_GIVEN,
                              .latency_ms = FAKE_REDIS_LATENCY_MS,
                              .wire_ms = FAKE_REDIS_LATENCY_MS,
                              .is_far_up = true,
                              .starts_keepers = true };
    fake_clock_set(1000000, 1700000000000);
    w->far_head = addr_of(TREE_FAR_HEAD, 6380);
    w->disturbed_at = clock_mono_ms();
    w->loop = loop_new();
    struct dc_listener listener = { .on_cluster = on_cluster, .on_routes = on_routes, .arg = w };
    w->store = dc_store_new("jq", 60000, &listener);
    make_env(w);
    struct duty_maker maker = { CLUSTER_ONE_WAY, tree_duty_new, &w->tree_env };
    w->shards = shard_set_new(w->store, &maker, 1);
    fake_services =
        (struct fake_tree_services){ .children = children, .on_call = on_call, .arg = w };
    fake_redis_reset();
    fake_redis_handle(on_command, w);
    fake_redis_watch(on_sent, w);
    make_replicas(w);
    tree_duty_register_metrics();
    w->queue[0] = 0;
    w->queue[1] = 1;
    w->queue_count = 2;
}

void tree_world_own(struct tree_world *w, bool is_owned)
{
    shard_set_slot(w->shards, slot_of_cluster(w->cluster_id), is_owned);
}

void tree_world_open(struct tree_world *w)
{
    tree_world_own(w, true);
    tree_world_publish(w);
}

void tree_world_close(struct tree_world *w)
{
    shard_set_free(w->shards);
    dc_store_free(w->store);
    container_calls_free(w->tree_env.containers);
    keeper_watch_free(w->tree_env.watch);
    dc_links_free(w->tree_env.upstreams);
    upstream_board_free(w->tree_env.board);
    free(w->tree_env.scratch_plan);
    loop_free(w->loop);
}

void tree_world_pass(struct tree_world *w, int64_t ms)
{
    fake_duty_pass(&w->env, ms);
}

struct tree_duty *tree_world_duty(const struct tree_world *w)
{
    return tree_duty_of(shard_set_find(w->shards, TREE_CLUSTER, TREE_SHARD));
}

void tree_world_tell(struct tree_world *w, const char *ip)
{
    w->far_head = addr_of(ip, 6380);
    w->disturbed_at = clock_mono_ms();
    if (tree_world_duty(w)) {
        tree_duty_upstream_told(tree_world_duty(w), "oy", &w->far_head, 1000);
    }
}

void tree_world_permit(struct tree_world *w, bool is_permitted)
{
    fake_permission_set(&w->permission, is_permitted);
}

void tree_world_latency(struct tree_world *w, int64_t round_trip_ms)
{
    w->latency_ms = round_trip_ms;
    w->wire_ms = round_trip_ms > w->wire_ms ? round_trip_ms : w->wire_ms;
    for (size_t i = 0; i < TREE_REDISES; i++) {
        fake_redis_set_latency(&w->redis[i].addr, round_trip_ms);
        w->redis[i].answers_at = MONO_NEVER; /* perhaps sooner than was thought */
    }
    for (size_t i = 0; i < TREE_KEEPERS; i++) {
        fake_redis_set_latency(&w->keeper[i].addr, round_trip_ms);
        w->keeper[i].answers_at = MONO_NEVER;
    }
}

void tree_world_point(struct tree_world *w, struct fake_replica *r, const struct addr *master)
{
    struct addr none = { 0 };
    w->disturbed_at = clock_mono_ms();
    fake_replica_point(r, master ? master : &none);
    r->route[0] = '\0'; /* a keeper's route is that of one address */
}

/* ---- what is there ---- */

int tree_world_commands(const struct tree_world *w)
{
    int count = 0;
    for (size_t i = 0; i < TREE_REDISES; i++) {
        count += w->redis[i].commands;
    }
    for (size_t i = 0; i < TREE_KEEPERS; i++) {
        count += w->keeper[i].commands;
    }
    return count;
}

static const char *keep(const char *text)
{
    static char kept[4096];
    (void)snprintf(kept, sizeof(kept), "%s", text ? text : "");
    return kept;
}

const char *tree_world_text(const struct tree_world *w, const char *member)
{
    json_t *state = tree_duty_to_json(tree_world_duty(w));
    const char *text = keep(json_string_value(json_object_get(state, member)));
    json_decref(state);
    return text;
}

const char *tree_world_verdict(const struct tree_world *w, const struct fake_replica *r)
{
    json_t *state = tree_duty_to_json(tree_world_duty(w));
    const char *found = NULL;
    size_t i;
    json_t *row;
    json_array_foreach (json_object_get(state, "nodes"), i, row) {
        if (text_eq(json_string_value(json_object_get(row, "ip")), r->addr.host)) {
            found = json_string_value(json_object_get(row, "verdict"));
        }
    }
    found = keep(found);
    json_decref(state);
    return found;
}

int64_t tree_world_metric(const char *name)
{
    struct str text = STR_INIT(1U << 20);
    metrics_print(&text);
    AUTO_FREE char *line = xasprintf("\n%s ", name);
    const char *at = strstr(str_text(&text), line);
    int64_t value = at ? strtoll(at + strlen(line), NULL, 10) : -1;
    str_done(&text);
    return value;
}

static const struct fake_replica *active_keeper(const struct tree_world *w)
{
    const struct fake_replica *best = NULL;
    int best_priority = 0;
    for (size_t i = 0; i < w->queue_count; i++) {
        int k = w->queue[i];
        int priority = k < 0 ? 0 : k < w->keeper_count ? w->priority[k] : 1;
        if (priority > best_priority) {
            best = &w->keeper[k];
            best_priority = priority;
        }
    }
    return best;
}

static const char *wrong_keeper(const struct tree_world *w, const struct fake_replica *active,
                                const struct addr *source)
{
    if (active->state != KEEPER_ACTIVE || !addr_eq(&active->master, source)) {
        return "the active keeper is not right";
    }
    const char *wanted = w->route && !w->is_primary ? "PROXY ROUTE " TREE_ROUTE " TCP" : "";
    if (!text_eq(active->route, wanted)) {
        return "the active keeper's route is not right";
    }
    for (size_t i = 0; i < w->queue_count; i++) {
        const struct fake_replica *k = w->queue[i] < 0 ? active : &w->keeper[w->queue[i]];
        if (k != active && (k->state != KEEPER_BACKUP || !addr_eq(&k->master, &active->addr))) {
            return "a backup keeper is not right";
        }
    }
    return NULL;
}

/* Of a backup DC without keepers: one Redis pulls from oy, the others from it. */
static const struct fake_replica *relay_of(const struct tree_world *w)
{
    for (int i = 0; i < w->redis_count; i++) {
        if (addr_eq(&w->redis[i].master, &w->far_head)) {
            return &w->redis[i];
        }
    }
    return NULL;
}

static struct addr master_of(const struct tree_world *w)
{
    for (int i = 0; i < w->redis_count; i++) {
        if (w->redis[i].is_up && addr_is_none(&w->redis[i].master)) {
            return w->redis[i].addr;
        }
    }
    return (struct addr){ 0 };
}

const char *tree_world_missing(const struct tree_world *w)
{
    struct addr source = w->is_primary ? master_of(w) : w->far_head;
    const struct fake_replica *head = w->keeper_count > 0 ? active_keeper(w) : relay_of(w);
    if (w->keeper_count == 0 && w->is_primary) {
        return NULL;
    }
    if (!head) {
        return w->keeper_count > 0 ? "no keeper is active" : "there is no relay";
    }
    const char *wrong = w->keeper_count > 0 ? wrong_keeper(w, head, &source) : NULL;
    for (int i = 0; !wrong && !w->is_primary && i < w->redis_count; i++) {
        const struct fake_replica *r = &w->redis[i];
        if (r != head && !addr_eq(&r->master, &head->addr)) {
            wrong = "a Redis does not follow the head";
        } else if (fake_replica_link(r) != ROLE_LINK_CONNECTED) {
            wrong = "a Redis is not linked";
        }
    }
    return wrong;
}
