/* fake_shard_world.c - see fake_shard_world.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "meta/slots/slot.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "tests/sim/fake_shard_world.h"

#include "shared/base/banned.h"

static int may_command(const struct cluster_meta *cluster, void *arg, struct xp_err *err)
{
    struct world *w = arg;
    xp_check(strcmp(cluster->name, WORLD_CLUSTER) == 0);
    return fake_permission_ask(&w->permission, err);
}

/* What was on its way when the world changed may still arrive: a round trip lies between question and command. */
static void check_peerof(struct world *w, const struct fake_crdt *r)
{
    mono_ms since = clock_mono_ms() - w->latency_ms - 1;
    bool is_master = r->is_master || r->role_since >= since;
    bool is_permitted = w->permission.is_given || w->permission.refused_since >= since;
    if (!is_master || !is_permitted) {
        w->violations++;
        (void)fprintf(stderr, "PEEROF to %s: master %d, permitted %d\n", ADDR_TEXT(&r->addr),
                      is_master, is_permitted);
    }
}

static struct rreply *on_command(const struct addr *addr, size_t argc, const char *const *argv,
                                 void *arg)
{
    struct world *w = arg;
    for (size_t i = 0; i < WORLD_REDISES; i++) {
        if (addr_eq(&w->redis[i].addr, addr)) {
            if (text_eq_nocase(argv[0], "PEEROF")) {
                check_peerof(w, &w->redis[i]);
            }
            return fake_crdt_command(&w->redis[i], argc, argv);
        }
    }
    abort(); /* a command to an unknown Redis */
}

static void on_cluster(const struct cluster_meta *before, struct cluster_meta *after, void *arg)
{
    struct world *w = arg;
    shard_set_cluster(w->shards, before, after);
}

static void on_routes(void *arg)
{
    struct world *w = arg;
    shard_set_routes(w->shards);
}

static void make_env(struct world *w)
{
    w->env = (struct duty_env){
        .loop = w->loop,
        .store = w->store,
        .may_command = may_command,
        .arg = w,
    };
    fake_duty_env(&w->env);
    w->peer_env = (struct peer_env){
        .duty = &w->env,
        .board = w->board,
        .links = w->links,
        .scratch_plan = xcalloc(1, sizeof(struct peer_plan)),
        .scratch_info = xcalloc(1, sizeof(struct crdt_info)),
        .removal_verdicts = 3,
        .removal_gap_ms = 60000,
        .link_alert_ms = 60000,
    };
}

void world_open(struct world *w)
{
    world_open_unpublished(w);
    world_publish(w);
}

void world_open_unpublished(struct world *w)
{
    *w = (struct world){ .cluster_id = 1,
                         .permission = FAKE_PERMISSION_GIVEN,
                         .status = "Normal",
                         .dcs = "jq,oy,fra",
                         .latency_ms = FAKE_REDIS_LATENCY_MS };
    fake_clock_set(1000000, 1700000000000);
    w->loop = loop_new();
    struct dc_listener listener = { .on_cluster = on_cluster, .on_routes = on_routes, .arg = w };
    w->store = dc_store_new("jq", 60000, &listener);
    w->board = master_board_new();
    w->links = fake_dc_links_new();
    make_env(w);
    struct duty_maker maker = { CLUSTER_BI_DIRECTION, shard_duty_new, &w->peer_env };
    w->shards = shard_set_new(w->store, &maker, 1);
    fake_redis_reset();
    fake_redis_handle(on_command, w);
    for (size_t i = 0; i < WORLD_REDISES; i++) {
        AUTO_FREE char *host = xasprintf("10.0.1.%zu", i + 1);
        struct addr addr = addr_of(host, 6379);
        fake_crdt_init(&w->redis[i], &addr, 1, i == 0);
    }
    shard_set_slot(w->shards, slot_of_cluster(w->cluster_id), true);
}

void world_close(struct world *w)
{
    shard_set_free(w->shards);
    dc_store_free(w->store);
    master_board_free(w->board);
    dc_links_free(w->links);
    free(w->peer_env.scratch_plan);
    free(w->peer_env.scratch_info);
    loop_free(w->loop);
    for (size_t i = 0; i < WORLD_REDISES; i++) {
        fake_crdt_done(&w->redis[i]);
    }
}

static char *document_of(const struct world *w)
{
    struct str text = STR_INIT(65536);
    str_printf(&text, "{\"id\":\"jq\",\"version\":%lld,\"clusters\":{\"" WORLD_CLUSTER "\":{",
               (long long)w->version);
    str_printf(&text, "\"id\":\"" WORLD_CLUSTER "\",\"dbId\":%d,\"type\":\"BI_DIRECTION\"",
               w->cluster_id);
    str_printf(&text, ",\"dcs\":\"%s\",\"status\":\"%s\"", w->dcs, w->status);
    str_puts(&text, ",\"shards\":{\"" WORLD_SHARD "\":{\"id\":\"" WORLD_SHARD "\",\"dbId\":");
    str_printf(&text, "%d,\"redises\":[", w->cluster_id * 11);
    for (size_t i = 0; i < WORLD_REDISES; i++) {
        str_printf(&text, "%s{\"ip\":\"%s\",\"port\":%d}", i ? "," : "", w->redis[i].addr.host,
                   w->redis[i].addr.port);
    }
    str_puts(&text, "]}}}},\"routes\":[");
    if (w->route[0]) {
        str_printf(&text,
                   "{\"id\":7,\"tag\":\"meta\",\"srcDc\":\"jq\",\"dstDc\":\"fra\","
                   "\"clusterType\":\"\",\"isPublic\":true,\"routeInfo\":\"%s\"}",
                   w->route);
    }
    str_puts(&text, "]}");
    return str_take(&text);
}

void world_publish(struct world *w)
{
    w->version++;
    fake_document_apply(&w->env, document_of(w));
}

void world_push(struct world *w)
{
    struct xp_err err;
    w->version++;
    AUTO_FREE char *text = document_of(w);
    struct dc_meta *meta = NULL;
    xp_check(dc_meta_parse(text, strlen(text), &meta, &err) == 0);
    struct cluster_meta *cluster = cluster_meta_ref(meta->clusters.items[0]);
    xp_check(dc_store_put(w->store, cluster, loop_now(w->loop), &err) == 0);
    dc_meta_free(meta);
}

void world_pass(struct world *w, int64_t ms)
{
    fake_duty_pass(&w->env, ms);
}

struct shard_duty *world_duty(const struct world *w)
{
    return shard_duty_of(shard_set_find(w->shards, WORLD_CLUSTER, WORLD_SHARD));
}

void world_suspend(struct world *w, int64_t ttl_ms)
{
    struct duty *duty = shard_set_find(w->shards, WORLD_CLUSTER, WORLD_SHARD);
    duty->class->suspend(duty, ttl_ms);
}

json_t *world_state(const struct world *w)
{
    struct duty *duty = shard_set_find(w->shards, WORLD_CLUSTER, WORLD_SHARD);
    return duty->class->state(duty);
}

void world_tell(struct world *w, const char *dc, const char *ip, int gid)
{
    struct current_master master = { .addr = addr_of(ip, 6379), .gid = gid };
    shard_duty_peer_told(world_duty(w), dc, &master);
}

void world_tell_all(struct world *w)
{
    world_tell(w, "oy", "10.0.2.1", 2);
    world_tell(w, "fra", "10.0.3.1", 3);
}

void world_permit(struct world *w, bool is_permitted)
{
    fake_permission_set(&w->permission, is_permitted);
}

void world_latency(struct world *w, int64_t round_trip_ms)
{
    w->latency_ms = round_trip_ms;
    for (size_t i = 0; i < WORLD_REDISES; i++) {
        fake_redis_set_latency(&w->redis[i].addr, round_trip_ms);
    }
}

int world_peerofs(const struct world *w)
{
    int count = 0;
    for (size_t i = 0; i < WORLD_REDISES; i++) {
        count += w->redis[i].peerofs;
    }
    return count;
}

bool world_has_peer(const struct world *w, const struct fake_crdt *redis, int gid, const char *ip)
{
    const struct fake_crdt_peer *peer = &redis->peers[gid];
    bool is_proxied = gid == 3 && w->route[0];
    return peer->is_set && text_eq(peer->addr.host, ip) && peer->addr.port == 6379 &&
           (peer->servers != NULL) == is_proxied;
}
