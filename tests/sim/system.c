/* system.c - see system.h. Makes the machines; what goes wrong with them is in system_faults.c, how it must end in system_end.c. */
#include "tests/sim/system.h"

#include <stdio.h>
#include <string.h>

#include "meta/slots/slot.h"
#include "shared/base/mem.h"
#include "shared/proxy/route.h"
#include "tests/sim/fake_daemon.h"
#include "tests/sim/fake_http.h"
#include "tests/sim/fake_loop.h"
#include "tests/sim/fake_random.h"
#include "tests/sim/system_checks.h"
#include "tests/sim/system_trace.h"
#include "tests/sim/system_tree.h"

#include "shared/base/banned.h"

#define ISOLATION_PERCENT 15 /* of the runs have the fence of an isolated DC */
#define MEMBER_PORT       8080
#define REDIS_PORT        6379
#define KEEPER_SETTLE_MS  3000
#define ORPHAN_CHECK_MS   2000
#define ORPHAN_GRACE_MS   6000
#define LAST_CALLS_MS     4000 /* then no push and no operator waits for an answer any more */

const char *const system_dcs[SYSTEM_DCS] = { "jq", "fra" };

const char *const system_route_texts[SYSTEM_ROUTE_TEXTS] = {
    "",
    "PROXYTCP://10.9.0.1:80 PROXYTLS://10.8.0.1:443",
    "PROXYTCP://10.9.0.1:80,PROXYTCP://10.9.0.2:80 PROXYTLS://10.8.0.1:443",
    "PROXYTCP://10.9.0.3:80",
};

/* ---- metaservers ---- */

const struct addr system_console_addr = { .host = "10.0.0.1", .port = 8080 };

/* The metaserver of that DC which the next call from outside goes to. */
static struct addr next_metaserver(int dc, void *arg)
{
    struct system *s = arg;
    int index = (int)(s->next_push++ % (uint64_t)s->config.members[dc]);
    return s->members[dc][index].addr;
}

#define SETTINGS_MAX 64

struct settings {
    char *lines[SETTINGS_MAX];
    size_t count;
};

static void setting(struct settings *out, const char *key, const char *value)
{
    xp_check(out->count < SETTINGS_MAX - 1);
    out->lines[out->count++] = xasprintf("%s=%s", key, value);
}

static void setting_n(struct settings *out, const char *key, int64_t value)
{
    AUTO_FREE char *text = xasprintf("%lld", (long long)value);
    setting(out, key, text);
}

static void make_settings(struct system_member *m, struct settings *out)
{
    struct system *s = m->system;
    const struct system_config *c = &s->config;
    struct addr other = next_metaserver(1 - m->dc, s);
    AUTO_FREE char *zk = xasprintf("zk-%s", system_dcs[m->dc]);
    AUTO_FREE char *dcinfos = xasprintf("{\"%s\":{\"metaServerAddress\":\"http://%s\"}}",
                                        system_dcs[1 - m->dc], ADDR_TEXT(&other));
    setting_n(out, "metaserver.id", m->id);
    setting(out, "dc", system_dcs[m->dc]);
    setting(out, "server.ip", m->addr.host);
    setting(out, "server.bind.ip", m->addr.host);
    setting_n(out, "server.port", m->addr.port);
    setting(out, "zk.address", zk);
    setting(out, "dcinfos", dcinfos);
    setting(out, "console.address", "http://10.0.0.1:8080");
    setting_n(out, "zk.session.timeout.milli", c->session_ms);
    setting_n(out, "meta.refresh.milli", c->refresh_ms);
    setting_n(out, "slot.refresh.milli", c->refresh_ms);
    setting_n(out, "cluster.servers.check.milli", c->refresh_ms);
    setting_n(out, "leader.check.milli", c->refresh_ms);
    setting_n(out, "meta.peermaster.refresh.milli", c->peer_refresh_ms);
    setting_n(out, "meta.redis.timeout.milli", c->redis_timeout_ms);
    setting_n(out, "meta.pause.hold.milli", c->hold_ms);
    setting_n(out, "meta.correct.backoff.first.milli", c->backoff_first_ms);
    setting_n(out, "meta.correct.backoff.max.milli", c->backoff_max_ms);
    setting_n(out, "meta.correct.rate", c->correct_rate);
    setting_n(out, "meta.correct.burst", c->correct_rate);
    setting_n(out, "meta.correct.cut.rate", c->cut_rate);
    setting_n(out, "meta.correct.cut.burst", c->cut_rate);
    setting_n(out, "meta.removal.limit", c->removal_limit);
    setting_n(out, "meta.downgrade.limit", c->downgrade_limit);
    setting(out, "meta.cluster.peermaster.delete", c->removes_peers ? "true" : "false");
    setting_n(out, "meta.peer.removal.verdicts", c->removal_verdicts);
    setting_n(out, "meta.peer.removal.gap.milli", c->removal_gap_ms);
    setting_n(out, "meta.upstream.refresh.milli", c->peer_refresh_ms);
    setting_n(out, "meta.keeper.retry.first.milli", 2000);
    setting_n(out, "meta.keeper.retry.max.milli", c->backoff_max_ms);
    setting_n(out, "meta.keeper.settle.milli", KEEPER_SETTLE_MS);
    setting_n(out, "meta.keeper.orphan.check.milli", ORPHAN_CHECK_MS);
    setting_n(out, "meta.keeper.orphan.grace.milli", ORPHAN_GRACE_MS);
    setting_n(out, "meta.relay.link.milli", 4000);
    setting_n(out, "meta.isolation.fence.seconds", c->isolation_s);
}

bool system_is_running(const struct system_member *m)
{
    return m->daemon != NULL;
}

static struct daemon *start_daemon(struct system_member *m, struct xp_err *err)
{
    struct settings settings = { 0 };
    make_settings(m, &settings);
    m->app = xcalloc(1, sizeof(*m->app));
    struct daemon_ops ops = meta_daemon_ops;
    ops.config = &m->app->config;
    ops.common = &m->app->config.common;
    ops.arg = m->app;
    struct daemon *daemon = fake_daemon_start(&ops, (const char *const *)settings.lines, err);
    for (size_t i = 0; i < settings.count; i++) {
        free(settings.lines[i]);
    }
    return daemon;
}

void system_start(struct system_member *m)
{
    struct xp_err err = { 0 };
    if (m->daemon) {
        return;
    }
    m->starts++;
    m->start_at = MONO_FOREVER;
    m->is_terminating = false;
    m->woken_at = MONO_NEVER;
    m->thawed_at = MONO_NEVER;
    m->daemon = start_daemon(m, &err);
    if (!m->daemon) {
        trace_fail("starts", "member %s.%d: %s", system_dcs[m->dc], m->index, err.msg);
        free(TAKE(m->app));
        return;
    }
    m->loop = daemon_loop(m->daemon);
    checks_member_started(m);
    trace_event("member %s.%d starts (id %lld)", system_dcs[m->dc], m->index, (long long)m->id);
}

static void member_is_gone(struct system_member *m)
{
    m->daemon = NULL;
    m->loop = NULL;
    free(TAKE(m->app));
}

void system_kill(struct system_member *m)
{
    if (m->daemon) {
        trace_event("member %s.%d is killed", system_dcs[m->dc], m->index);
        fake_daemon_kill(m->daemon);
        member_is_gone(m);
    }
}

void system_terminate(struct system_member *m)
{
    if (m->daemon && !m->is_terminating) {
        m->is_terminating = true;
        fake_daemon_terminate(m->daemon);
    }
}

static void reap_one(struct system *s, struct system_member *m)
{
    if (m->daemon && fake_daemon_has_ended(m->daemon)) {
        const char *why = fake_daemon_failure(m->daemon);
        trace_event("member %s.%d ends: %s", system_dcs[m->dc], m->index, why[0] ? why : "drained");
        fake_daemon_stop(m->daemon);
        member_is_gone(m);
        if (m->start_at == MONO_FOREVER && m->index < s->config.members[m->dc]) {
            m->start_at = clock_mono_ms() + 1000; /* systemd's Restart= */
        }
    }
    if (!m->daemon && m->start_at <= clock_mono_ms()) {
        system_start(m);
    }
}

void system_reap(struct system *s)
{
    for (int dc = 0; dc < SYSTEM_DCS; dc++) {
        for (int i = 0; i < SYSTEM_PROCESSES; i++) {
            reap_one(s, &s->members[dc][i]);
        }
    }
}

struct system_member *system_member_of(struct system *s, const struct loop *loop)
{
    for (int dc = 0; dc < SYSTEM_DCS && loop; dc++) {
        for (int i = 0; i < SYSTEM_PROCESSES; i++) {
            if (s->members[dc][i].loop == loop) {
                return &s->members[dc][i];
            }
        }
    }
    return NULL;
}

/* ---- Redis ---- */

/* Addresses are made by redis_addr only, so that they can be read back without a search. */
struct system_redis *system_redis_at(struct system *s, const struct addr *addr)
{
    int parts[4] = { 0 };
    int at = 0;
    for (const char *p = addr->host; *p && at < 4; p++) {
        if (*p == '.') {
            at++;
        } else {
            parts[at] = parts[at] * 10 + (*p - '0');
        }
    }
    int dc = parts[1] - 1;
    int place = parts[2] - 1;
    int shard = parts[3] / 10;
    int index = parts[3] % 10 - 1;
    bool is_ours = parts[0] == 10 && dc >= 0 && dc < SYSTEM_DCS && place >= 0 &&
                   place < SYSTEM_PLACES && shard < SYSTEM_SHARDS && index >= 0 &&
                   index < SYSTEM_REDISES && addr->port == REDIS_PORT;
    return is_ours ? &s->redis[place][dc][shard][index] : NULL;
}

static struct addr redis_addr(const struct system_redis *r)
{
    AUTO_FREE char *host =
        xasprintf("10.%d.%d.%d", r->dc + 1, r->place + 1, r->shard * 10 + r->index + 1);
    return addr_of(host, REDIS_PORT);
}

void system_set_process(struct system *s, struct system_redis *r, enum fake_redis_mode mode)
{
    (void)s;
    r->mode = mode;
    fake_redis_set(NULL, &r->crdt.addr, mode);
}

void system_set_view(struct system *s, const struct system_member *m, struct system_redis *r,
                     enum fake_redis_mode mode)
{
    (void)s;
    if (m->loop) {
        fake_redis_set_view(m->loop, &r->crdt.addr, mode);
    }
}

struct console_cluster *system_cluster(struct system *s, int place)
{
    struct console_cluster *c = fake_console_find(s->console, s->cluster_id[place]);
    return c && !c->is_deleted ? c : NULL;
}

bool system_is_listed(struct system *s, const struct system_redis *r)
{
    const struct console_cluster *c = system_cluster(s, r->place);
    return c && r->shard < c->shard_count && (c->dcs & 1U << r->dc) &&
           !addr_is_none(&c->redis[r->dc][r->shard][r->index]);
}

struct system_redis *system_master(struct system *s, int place, int dc, int shard)
{
    struct system_redis *found = NULL;
    for (int i = 0; i < SYSTEM_REDISES && !system_is_one_way(place); i++) {
        struct system_redis *r = &s->redis[place][dc][shard][i];
        if (system_is_listed(s, r) && r->crdt.is_master && r->mode == FAKE_REDIS_UP) {
            if (found) {
                return NULL;
            }
            found = r;
        }
    }
    return found;
}

void system_fail_over(struct system *s, struct system_redis *to, bool takes_peers)
{
    struct system_redis *shard = s->redis[to->place][to->dc][to->shard];
    const struct system_redis *old = NULL;
    for (int i = 0; i < SYSTEM_REDISES; i++) {
        if (&shard[i] != to && shard[i].crdt.is_master) {
            old = &shard[i];
            fake_crdt_set_role(&shard[i].crdt, false);
        }
    }
    for (int gid = 1; old && takes_peers && gid <= CRDT_GID_MAX; gid++) {
        const struct fake_crdt_peer *p = &old->crdt.peers[gid];
        if (p->is_set) {
            fake_crdt_put(&to->crdt, gid, &p->addr, p->servers, p->params);
        }
    }
    bool takes_stranger = old && takes_peers && old->crdt.peers[SYSTEM_STRANGER].is_set;
    to->stranger_since = takes_stranger ? old->stranger_since : to->stranger_since;
    fake_crdt_set_role(&to->crdt, true);
}

static struct rreply *on_command(const struct addr *addr, size_t argc, const char *const *argv,
                                 void *arg)
{
    struct system *s = arg;
    struct system_instance instance;
    if (system_instance_at(s, addr, &instance)) {
        checks_instance_arrived(s, &instance, argc, argv);
        return fake_replica_command(instance.replica, argc, argv);
    }
    struct system_redis *r = system_redis_at(s, addr);
    xp_check(r != NULL);
    if (!checks_command_arrived(s, r, argc, argv)) {
        return rreply_new_text(RREPLY_ERROR, "ERR would have done damage", 26);
    }
    return fake_crdt_command(&r->crdt, argc, argv);
}

static void on_sent(const struct loop *client, const struct addr *addr, size_t argc,
                    const char *const *argv, void *arg)
{
    struct system *s = arg;
    struct system_instance instance;
    if (system_instance_at(s, addr, &instance)) {
        checks_instance_sent(s, system_member_of(s, client), &instance, argc, argv);
    } else {
        checks_command_sent(s, system_member_of(s, client), system_redis_at(s, addr), argc, argv);
    }
}

static int64_t http_latency(const struct loop *client, const struct addr *server, void *arg)
{
    (void)client;
    (void)server;
    struct system *s = arg;
    return dice_between(&s->dice, 1, s->packet_ms);
}

/* ---- opening ---- */

static void choose_config(struct system *s)
{
    struct dice *d = &s->dice;
    s->config = (struct system_config){
        .members = { SYSTEM_MEMBERS, (int)dice_between(d, 2, SYSTEM_MEMBERS) },
        .session_ms = 5000,
        .refresh_ms = 10000,
        .peer_refresh_ms = 3000,
        .backoff_first_ms = 4000,
        .backoff_max_ms = 10000,
        .hold_ms = dice_chance(d, 25) ? 0 : 4000,
        .redis_timeout_ms = 1000,
        .removes_peers = dice_chance(d, 25),
        .removal_verdicts = 3,
        .removal_gap_ms = 2000,
        .correct_rate = dice_chance(d, 40) ? 1 : 500,
        .removal_limit = 1,
        .downgrade_limit = 0,
        .slowest_packet_ms = dice_between(d, 2, 40),
    };
    s->config.cut_rate = dice_chance(d, 40) ? 1 : s->config.correct_rate;
    s->packet_ms = s->config.slowest_packet_ms;
}

/* From dice of its own: what a seed without it does stays what it was. */
static void choose_isolation(struct system *s, uint64_t seed)
{
    struct dice own = { .state = seed ^ 0x150A7E0150A7E0U };
    if (dice_chance(&own, ISOLATION_PERCENT)) {
        s->config.isolation_s = dice_between(&own, 3, 8);
    }
}

static void make_redis(struct system *s, int place, int dc, int shard, int index)
{
    struct system_redis *r = &s->redis[place][dc][shard][index];
    r->place = place;
    r->dc = dc;
    r->shard = shard;
    r->index = index;
    struct addr addr = redis_addr(r);
    fake_crdt_init(&r->crdt, &addr, SYSTEM_GID(r->dc), r->index == 0);
    r->stranger_since = MONO_NEVER;
    fake_redis_set_latency(&addr, dice_between(&s->dice, 1, 30));
}

static void make_redises(struct system *s, int place)
{
    for (int dc = 0; dc < SYSTEM_DCS; dc++) {
        for (int shard = 0; shard < SYSTEM_SHARDS; shard++) {
            for (int i = 0; i < SYSTEM_REDISES; i++) {
                make_redis(s, place, dc, shard, i);
            }
        }
    }
}

/* Two of the Redis of each shard are in the metadata; the third is a spare. */
static void make_cluster(struct system *s, int place)
{
    AUTO_FREE char *name = xasprintf("c%d", place);
    s->next_id += dice_between(&s->dice, 1, 300);
    s->cluster_id[place] = s->next_id;
    s->left_at[place] = MONO_NEVER;
    s->joined_at[place] = clock_mono_ms();
    struct console_cluster *c = fake_console_add(s->console, name, s->next_id);
    c->place = place;
    c->type = system_is_one_way(place) ? CLUSTER_ONE_WAY : CLUSTER_BI_DIRECTION;
    c->dcs = 3;
    c->shard_count = dice_chance(&s->dice, 50) ? 2 : 1;
    for (int dc = 0; dc < SYSTEM_DCS; dc++) {
        for (int shard = 0; shard < c->shard_count; shard++) {
            for (int i = 0; i < SYSTEM_REDISES - 1; i++) {
                c->redis[dc][shard][i] = s->redis[place][dc][shard][i].crdt.addr;
            }
        }
    }
    system_tree_fill(s, c);
    fake_console_commit(s->console, c);
}

static void make_routes(struct system *s)
{
    for (int dc = 0; dc < SYSTEM_DCS; dc++) {
        s->is_routed[dc] = dice_chance(&s->dice, 70);
        for (int i = 0; i < 2; i++) {
            struct console_route *r = fake_console_add_route(s->console);
            r->src = dc;
            r->dst = 1 - dc;
            r->is_active = s->is_routed[dc] && (i == 0 || dice_chance(&s->dice, 30));
            r->info = system_route_texts[dice_between(&s->dice, 1, SYSTEM_ROUTE_TEXTS - 1)];
        }
        fake_console_commit_routes(s->console, dc);
    }
}

static void make_members(struct system *s)
{
    for (int dc = 0; dc < SYSTEM_DCS; dc++) {
        for (int i = 0; i < SYSTEM_PROCESSES; i++) {
            struct system_member *m = &s->members[dc][i];
            AUTO_FREE char *host = xasprintf("10.%d.0.%d", dc + 1, i + 1);
            *m = (struct system_member){ .system = s,
                                         .dc = dc,
                                         .index = i,
                                         .id = i + 1,
                                         .addr = addr_of(host, MEMBER_PORT),
                                         .start_at = MONO_FOREVER };
            if (i < s->config.members[dc]) {
                m->start_at = clock_mono_ms() + dice_between(&s->dice, 0, 1500);
            }
        }
    }
}

struct system *system_open(uint64_t seed)
{
    struct system *s = xcalloc(1, sizeof(*s));
    fake_redis_reset();
    fake_http_reset();
    fake_random_seed(seed);
    fake_clock_set(1000000, 1700000000000);
    s->dice = (struct dice){ .state = seed * 0xD1342543DE82EF95U };
    choose_config(s);
    choose_isolation(s, seed);
    s->loop = loop_new();
    fake_redis_handle(on_command, s);
    fake_redis_watch(on_sent, s);
    fake_redis_set_network(s->loop);
    fake_http_set_latency(http_latency, s);
    for (int dc = 0; dc < SYSTEM_DCS; dc++) {
        AUTO_FREE char *hosts = xasprintf("zk-%s", system_dcs[dc]);
        s->zk[dc] = fake_zk_server_new(s->loop, hosts);
        fake_zk_set_latency(s->zk[dc], dice_between(&s->dice, 1, 5));
        s->dc_numbers[dc] = dc;
        fake_zk_watch(s->zk[dc], checks_zk_changed, &s->dc_numbers[dc]);
    }
    struct fake_console_options options = { .loop = s->loop,
                                            .addr = system_console_addr,
                                            .dcs = { system_dcs[0], system_dcs[1] },
                                            .metaserver = next_metaserver,
                                            .taken = checks_push_taken,
                                            .arg = s };
    for (int place = 0; place < SYSTEM_PLACES; place++) {
        make_redises(s, place);
    }
    system_tree_open(s);
    for (int i = 0; i < SYSTEM_DCS * SYSTEM_CONTAINERS; i++) {
        options.containers[i / SYSTEM_CONTAINERS][i % SYSTEM_CONTAINERS] =
            s->containers[i / SYSTEM_CONTAINERS][i % SYSTEM_CONTAINERS].addr;
    }
    s->console = fake_console_new(&options);
    for (int place = 0; place < SYSTEM_PLACES; place++) {
        make_cluster(s, place);
    }
    make_routes(s);
    make_members(s);
    return s;
}

void system_close(struct system *s)
{
    for (int dc = 0; dc < SYSTEM_DCS; dc++) {
        for (int i = 0; i < SYSTEM_PROCESSES; i++) {
            system_kill(&s->members[dc][i]);
        }
    }
    fake_console_stop(s->console, true);
    fake_loop_advance_to(clock_mono_ms() + LAST_CALLS_MS);
    fake_console_free(s->console);
    system_tree_close(s);
    fake_redis_set_network(NULL);
    fake_redis_watch(NULL, NULL);
    for (int dc = 0; dc < SYSTEM_DCS; dc++) {
        fake_zk_watch(s->zk[dc], NULL, NULL);
        fake_zk_server_free(s->zk[dc]);
    }
    for (int place = 0; place < SYSTEM_PLACES; place++) {
        for (int dc = 0; dc < SYSTEM_DCS; dc++) {
            for (int i = 0; i < SYSTEM_SHARDS * SYSTEM_REDISES; i++) {
                fake_crdt_done(&s->redis[place][dc][i / SYSTEM_REDISES][i % SYSTEM_REDISES].crdt);
            }
        }
    }
    loop_free(s->loop);
    free(s);
}

void system_silence_console(struct system *s, bool is_silent)
{
    fake_console_stop(s->console, is_silent);
    for (int i = 0; i < SYSTEM_DCS * SYSTEM_PROCESSES; i++) {
        const struct system_member *m = &s->members[i / SYSTEM_PROCESSES][i % SYSTEM_PROCESSES];
        if (m->loop) {
            fake_http_set(m->loop, &system_console_addr,
                          is_silent ? FAKE_HTTP_REFUSES : FAKE_HTTP_UP);
        }
    }
}

void system_restart_dc(struct system *s, int dc)
{
    for (int i = 0; i < s->config.members[dc]; i++) {
        struct system_member *m = &s->members[dc][i];
        system_kill(m);
        m->start_at =
            clock_mono_ms() + s->config.session_ms + 500 + dice_between(&s->dice, 0, 1000);
    }
}

static int64_t owner_in_record(struct system *s, int dc, int slot)
{
    AUTO_FREE char *path = xasprintf("/xpipe/metaserver/slots/%d", slot);
    const char *data = fake_zk_node(s->zk[dc], path);
    struct slot record;
    struct xp_err err;
    return data && slot_parse(data, strlen(data), &record, &err) == 0 ? record.server_id : 0;
}

uint64_t system_owners_hash(struct system *s, int dc)
{
    uint64_t hash = 0;
    for (int slot = 0; slot < SLOT_COUNT; slot++) {
        hash = (hash ^ (uint64_t)owner_in_record(s, dc, slot)) * 0x100000001B3U;
    }
    return hash;
}

bool system_is_balanced(struct system *s, int dc)
{
    int held[SYSTEM_PROCESSES + 1] = { 0 };
    for (int slot = 0; slot < SLOT_COUNT; slot++) {
        int64_t owner = owner_in_record(s, dc, slot);
        held[owner >= 0 && owner <= SYSTEM_PROCESSES ? owner : 0]++;
    }
    int average = SLOT_COUNT / s->config.members[dc];
    for (int i = 0; i < s->config.members[dc]; i++) {
        if (held[s->members[dc][i].id] < average) {
            return false;
        }
    }
    return held[0] == 0;
}
