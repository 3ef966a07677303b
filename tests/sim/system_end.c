/* system_end.c - the end of a run of the whole-system simulation: all trouble is ended, and what is not as wanted is said. See system.h. */
#include "tests/sim/system.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "meta/slots/slot.h"
#include "shared/base/mem.h"
#include "shared/proxy/route.h"
#include "tests/sim/fake_http.h"
#include "tests/sim/fake_loop.h"
#include "tests/sim/system_trace.h"
#include "tests/sim/system_tree.h"

#include "shared/base/banned.h"

#define RECONNECT_MS  9000  /* the longest back-off of a connection to a Redis, and the connect */
#define PEER_RETRY_MS 10000 /* the longest back-off of a conversation with another DC */
#define MOVES_MS      5000  /* of all slots between healthy members */

static void heal_redis(struct system *s, struct system_redis *r)
{
    if (r->mode == FAKE_REDIS_REFUSES) {
        fake_replica_restart(&r->replica);
    }
    system_set_process(s, r, FAKE_REDIS_UP);
    r->replica.trick = FAKE_REPLICA_HONEST;
    r->crdt.trick = FAKE_CRDT_HONEST;
    r->crdt.is_backstreaming = false;
    r->crdt.demote_after_info = false;
    fake_redis_set_latency(&r->crdt.addr, 5);
}

/* Exactly one master among the Redis that the console lists. */
static void heal_shard(struct system *s, int place, int dc, int shard)
{
    struct system_redis *all = s->redis[place][dc][shard];
    struct system_redis *master = NULL;
    for (int i = 0; i < SYSTEM_REDISES; i++) {
        heal_redis(s, &all[i]);
        if (system_is_listed(s, &all[i]) && (!master || !master->crdt.is_master)) {
            master = &all[i];
        }
    }
    if (master && !system_is_one_way(place)) {
        system_fail_over(s, master, false);
    }
}

static void heal_metadata(struct system *s)
{
    for (int place = 0; place < SYSTEM_PLACES; place++) {
        struct console_cluster *c = system_cluster(s, place);
        if (c && c->is_migrating) {
            c->is_migrating = false;
            fake_console_commit(s->console, c);
        }
    }
}

static void heal_members(struct system *s)
{
    for (int dc = 0; dc < SYSTEM_DCS; dc++) {
        fake_zk_stop(s->zk[dc], false);
        fake_zk_set_latency(s->zk[dc], 2);
        for (int i = 0; i < SYSTEM_PROCESSES; i++) {
            struct system_member *m = &s->members[dc][i];
            if (i >= s->config.members[dc]) {
                m->start_at = MONO_FOREVER;
                system_kill(m);
            } else if (!m->daemon) {
                m->start_at = clock_mono_ms();
            }
            if (m->loop) {
                fake_zk_set_link_of(m->loop, FAKE_ZK_OPEN);
            }
        }
    }
}

static void heal_http(struct system *s)
{
    for (int i = 0; i < SYSTEM_DCS * SYSTEM_PROCESSES; i++) {
        const struct system_member *from = &s->members[i / SYSTEM_PROCESSES][i % SYSTEM_PROCESSES];
        for (int k = 0; from->loop && k < SYSTEM_DCS * SYSTEM_PROCESSES; k++) {
            const struct system_member *to =
                &s->members[k / SYSTEM_PROCESSES][k % SYSTEM_PROCESSES];
            fake_http_set(from->loop, &to->addr, FAKE_HTTP_UP);
        }
        if (from->loop) {
            fake_http_set(from->loop, &system_console_addr, FAKE_HTTP_UP);
        }
    }
}

void system_heal(struct system *s)
{
    heal_members(s);
    heal_http(s);
    fake_redis_clear_views();
    s->packet_ms = 5;
    fake_console_lie(s->console, CONSOLE_HONEST);
    fake_console_stop(s->console, false);
    heal_metadata(s);
    for (int place = 0; place < SYSTEM_PLACES; place++) {
        for (int dc = 0; dc < SYSTEM_DCS; dc++) {
            for (int shard = 0; shard < SYSTEM_SHARDS; shard++) {
                heal_shard(s, place, dc, shard);
            }
        }
    }
    system_tree_heal(s);
}

mono_ms system_awake_at(const struct system *s)
{
    mono_ms at = clock_mono_ms();
    for (int i = 0; i < SYSTEM_DCS * SYSTEM_PROCESSES; i++) {
        const struct system_member *m = &s->members[i / SYSTEM_PROCESSES][i % SYSTEM_PROCESSES];
        mono_ms thaw = m->loop ? fake_loop_frozen_until(m->loop) : MONO_NEVER;
        at = thaw > at ? thaw : at;
    }
    return at;
}

/* A round is the longest period in which something is looked at again without an event: documents, slots, servers, the
 * other DC's masters after failures, a pause after refusals. Before the first one can begin: a member whose session ended
 * has a new one and its slots, and connections that backed off are there again. */
int64_t system_recovery_ms(const struct system *s)
{
    const struct system_config *c = &s->config;
    int64_t round = c->refresh_ms;
    round = c->backoff_max_ms > round ? c->backoff_max_ms : round;
    round = c->peer_refresh_ms + PEER_RETRY_MS > round ? c->peer_refresh_ms + PEER_RETRY_MS : round;
    int64_t start = c->session_ms + MOVES_MS + RECONNECT_MS;
    return start + 2 * round;
}

const char *system_say_missing(const char *fmt, ...)
{
    static char text[240];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    return text;
}

static const char *missing_owner(struct system *s, int dc)
{
    mono_ms now = clock_mono_ms();
    for (int slot = 0; slot < SLOT_COUNT; slot++) {
        int owners = 0;
        for (int i = 0; i < SYSTEM_PROCESSES; i++) {
            const struct system_member *m = &s->members[dc][i];
            owners += m->daemon && sharding_owns(m->app->sharding, slot, now);
        }
        if (owners != 1) {
            return system_say_missing("slot %d of %s has %d owners", slot, system_dcs[dc], owners);
        }
    }
    return NULL;
}

/* The version in a cluster stays behind when a change does not concern this DC: compared is what it says. */
static bool is_same(const struct console_cluster *c, int dc, const struct cluster_meta *known)
{
    if (known->db_id != c->id || known->is_migrating != c->is_migrating ||
        known->shards.count != (size_t)c->shard_count || known->version > c->version) {
        return false;
    }
    for (int shard = 0; shard < c->shard_count; shard++) {
        const struct shard_meta *s = &known->shards.items[shard];
        size_t count = 0;
        for (int i = 0; i < CONSOLE_REDISES; i++) {
            const struct addr *addr = &c->redis[dc][shard][i];
            count += !addr_is_none(addr);
            bool is_known = addr_is_none(addr);
            for (size_t k = 0; k < s->redises.count; k++) {
                is_known |= addr_eq(&s->redises.items[k].addr, addr);
            }
            if (!is_known) {
                return false;
            }
        }
        if (count != s->redises.count) {
            return false;
        }
    }
    return c->type != CLUSTER_BI_DIRECTION ||
           names_has(&known->dcs, system_dcs[1 - dc]) == ((c->dcs & 1U << (1 - dc)) != 0);
}

static const char *missing_document(struct system *s, const struct system_member *m)
{
    const struct dc_store *store = m->app->store;
    size_t count = 0;
    if (dc_store_version(store) != fake_console_dc_version(s->console, m->dc) ||
        dc_store_held_count(store) > 0) {
        return system_say_missing("%s.%d has version %lld (%d held), the console %lld",
                                  system_dcs[m->dc], m->index, (long long)dc_store_version(store),
                                  dc_store_held_count(store),
                                  (long long)fake_console_dc_version(s->console, m->dc));
    }
    for (int place = 0; place < SYSTEM_PLACES; place++) {
        const struct console_cluster *c = system_cluster(s, place);
        if (!c || !(c->dcs & 1U << m->dc)) {
            continue;
        }
        const struct cluster_meta *known = dc_store_cluster(store, c->name);
        count++;
        if (!known || !is_same(c, m->dc, known)) {
            return system_say_missing("%s.%d has cluster %s at version %lld, the console at %lld",
                                      system_dcs[m->dc], m->index, c->name,
                                      known ? (long long)known->version : 0, (long long)c->version);
        }
    }
    return dc_store_count(store) == count
               ? NULL
               : system_say_missing("%s.%d has %zu clusters, the console %zu", system_dcs[m->dc],
                                    m->index, dc_store_count(store), count);
}

void system_choose_route(struct system *s, const struct console_cluster *c, int src, int dst,
                         struct route_choice *ret_choice)
{
    struct route_meta rows[CONSOLE_ROUTES];
    size_t count = 0;
    const struct console_route *r;
    for (size_t i = 0; (r = fake_console_route(s->console, i)); i++) {
        if (r->is_active && r->src == src) {
            rows[count++] = (struct route_meta){ .id = r->id,
                                                 .tag = (char *)(uintptr_t) "meta",
                                                 .src_dc = (char *)(uintptr_t)system_dcs[r->src],
                                                 .dst_dc = (char *)(uintptr_t)system_dcs[r->dst],
                                                 .cluster_type = (char *)(uintptr_t) "",
                                                 .is_public = true,
                                                 .route_info = (char *)(uintptr_t)r->info };
        }
    }
    struct route_query query = { .cluster_name = c->name,
                                 .type = c->type,
                                 .src_dc = system_dcs[src],
                                 .dst_dc = system_dcs[dst],
                                 .tag = "meta" };
    route_choose(&query, rows, count, ret_choice);
}

static bool is_by_route(const struct fake_crdt_peer *p, const struct route_choice *choice)
{
    if (choice->kind != ROUTE_CHOSEN) {
        return !p->servers;
    }
    struct route route;
    struct xp_err err;
    return p->servers &&
           route_parse_parts(p->servers, strlen(p->servers), p->params,
                             p->params ? strlen(p->params) : 0, &route, &err) == 0 &&
           route_eq(&route, &choice->route);
}

static const char *missing_peer(struct system *s, const struct console_cluster *c, int dc,
                                int shard)
{
    const struct system_redis *here = system_master(s, c->place, dc, shard);
    const struct system_redis *there = system_master(s, c->place, 1 - dc, shard);
    bool is_wanted = (c->dcs & 3) == 3;
    struct route_choice choice;
    if (!here || (is_wanted && !there)) {
        return NULL; /* a shard without Redis in a DC */
    }
    const struct fake_crdt_peer *p = &here->crdt.peers[SYSTEM_GID(1 - dc)];
    system_choose_route(s, c, dc, 1 - dc, &choice);
    if (is_wanted && choice.kind != ROUTE_UNUSABLE &&
        (!p->is_set || !addr_eq(&p->addr, &there->crdt.addr) || !is_by_route(p, &choice))) {
        return system_say_missing("%s (%s in %s, shard %d) has not the peer %s by the right route",
                                  ADDR_TEXT(&here->crdt.addr), c->name, system_dcs[dc], shard,
                                  ADDR_TEXT(&there->crdt.addr));
    }
    bool is_strange = here->crdt.peers[SYSTEM_STRANGER].is_set || (!is_wanted && p->is_set);
    if (is_strange && s->config.removes_peers) {
        return system_say_missing("%s still has a peer that is nobody's",
                                  ADDR_TEXT(&here->crdt.addr));
    }
    return NULL;
}

static const char *missing_peers(struct system *s, int place, int dc)
{
    const struct console_cluster *c = system_cluster(s, place);
    if (system_is_one_way(place)) {
        return dc == 0 ? system_tree_missing(s, place) : NULL;
    }
    if (!c || c->type != CLUSTER_BI_DIRECTION || !(c->dcs & 1U << dc)) {
        return NULL;
    }
    for (int shard = 0; shard < c->shard_count; shard++) {
        const char *why = missing_peer(s, c, dc, shard);
        if (why) {
            return why;
        }
    }
    return NULL;
}

const char *system_missing(struct system *s)
{
    const char *why = fake_console_is_idle(s->console) ? NULL : "the console's outbox is not empty";
    for (int dc = 0; dc < SYSTEM_DCS; dc++) {
        for (int i = 0; i < s->config.members[dc] && !why; i++) {
            why = s->members[dc][i].daemon ? missing_document(s, &s->members[dc][i])
                                           : "a member is not running";
        }
        for (int place = 0; place < SYSTEM_PLACES && !why; place++) {
            why = missing_peers(s, place, dc);
        }
        why = why ? why : missing_owner(s, dc);
    }
    return why;
}

void system_accept_held(struct system *s)
{
    for (int dc = 0; dc < SYSTEM_DCS; dc++) {
        for (int i = 0; i < s->config.members[dc]; i++) {
            const struct system_member *m = &s->members[dc][i];
            if (m->daemon && dc_store_held_count(m->app->store) > 0) {
                AUTO_FREE char *url =
                    xasprintf("http://%s/api/meta/v2/quarantine/accept", ADDR_TEXT(&m->addr));
                trace_event("operator accepts the quarantine of %s", system_dcs[dc]);
                fake_http_request(s->loop, "POST", url, "", 3000, NULL, NULL);
                break; /* it tells the others */
            }
        }
    }
}
