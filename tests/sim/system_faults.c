/* system_faults.c - see system_faults.h. */
#include "tests/sim/system_faults.h"

#include <stdio.h>
#include <string.h>

#include "meta/slots/slot.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "tests/sim/fake_daemon.h"
#include "tests/sim/fake_http.h"
#include "tests/sim/fake_loop.h"
#include "tests/sim/system_checks.h"
#include "tests/sim/system_trace.h"
#include "tests/sim/system_tree.h"

#include "shared/base/banned.h"

#define TROUBLES_MAX 64

struct trouble;

struct fault {
    const char *name;
    int weight;
    bool (*apply)(struct system *, struct trouble *); /* false: it made no sense now */
    void (*heal)(struct system *, struct trouble *);  /* NULL: nothing lasts */
};

struct trouble { /* one fault at work */
    const struct fault *fault;
    int64_t ms; /* how long */
    mono_ms until;
    char what[160];
    struct system_member *member;
    struct system_member *other;
    struct system_redis *redis;
    struct system_keeper *keeper;
    int place;
    int dc;
    int way;
};

struct faults {
    struct system *system;
    uint64_t enabled; /* bit per row of the table */
    int64_t gap_ms;
    int64_t duration_ms;
    mono_ms next_at;
    struct trouble active[TROUBLES_MAX];
    size_t count;
};

static void say(struct trouble *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct trouble *t, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(t->what, sizeof(t->what), fmt, args);
    va_end(args);
}

/* ---- who ---- */

static struct system_member *any_member(struct system *s, int dc)
{
    dc = dc < 0 ? (int)dice_roll(&s->dice, SYSTEM_DCS) : dc;
    return &s->members[dc][dice_roll(&s->dice, (uint64_t)s->config.members[dc])];
}

static struct system_member *running_member(struct system *s)
{
    struct system_member *m = any_member(s, -1);
    return m->daemon && !m->is_terminating ? m : NULL;
}

static struct system_redis *any_redis(struct system *s)
{
    struct dice *d = &s->dice;
    return &s->redis[dice_roll(d, SYSTEM_PLACES)][dice_roll(d, SYSTEM_DCS)]
                    [dice_roll(d, SYSTEM_SHARDS)][dice_roll(d, SYSTEM_REDISES)];
}

static struct system_redis *listed_redis(struct system *s)
{
    for (int i = 0; i < 8; i++) {
        struct system_redis *r = any_redis(s);
        if (system_is_listed(s, r)) {
            return r;
        }
    }
    return NULL;
}

static struct system_redis *any_master(struct system *s)
{
    const struct system_redis *r = listed_redis(s);
    return r ? system_master(s, r->place, r->dc, r->shard) : NULL;
}

static struct console_cluster *any_cluster(struct system *s)
{
    return system_cluster(s, (int)dice_roll(&s->dice, SYSTEM_KEEPER_PLACE)); /* bi-direction */
}

/* Short, longer than a session, longer than its lease... */
static int64_t any_ms(struct system *s)
{
    static const int64_t most[] = { 300, 2000, 4500, 9000, 16000 };
    return dice_between(&s->dice, 50, most[dice_roll(&s->dice, ARRAY_LEN(most))]);
}

#define MEMBER_FMT    "%s.%d"
#define MEMBER_ARG(m) system_dcs[(m)->dc], (m)->index

/* ---- metaservers ---- */

static bool kill_member(struct system *s, struct trouble *t)
{
    struct system_member *m = running_member(s);
    if (!m) {
        return false;
    }
    int64_t session_ms = s->config.session_ms; /* 30 %: back when the old session ends */
    t->ms = dice_chance(&s->dice, 40)   ? dice_between(&s->dice, 100, 2000)
            : dice_chance(&s->dice, 50) ? dice_between(&s->dice, session_ms - 1000, session_ms)
                                        : dice_between(&s->dice, 2000, 12000);
    system_kill(m);
    m->start_at = clock_mono_ms() + t->ms;
    say(t, MEMBER_FMT, MEMBER_ARG(m));
    return true;
}

static bool terminate_member(struct system *s, struct trouble *t)
{
    struct system_member *m = running_member(s);
    if (m) {
        system_terminate(m);
        say(t, MEMBER_FMT, MEMBER_ARG(m));
    }
    return m != NULL;
}

static void freeze(struct system_member *m, int64_t ms)
{
    mono_ms now = clock_mono_ms();
    fake_loop_freeze(m->loop, ms);
    m->woken_at = now + ms;
    m->thawed_at = ms > 2000 ? now + ms : m->thawed_at;
}

static bool is_frozen(const struct system_member *m)
{
    return fake_loop_frozen_until(m->loop) > clock_mono_ms();
}

static bool freeze_member(struct system *s, struct trouble *t)
{
    struct system_member *m = running_member(s);
    if (!m || is_frozen(m)) {
        return false;
    }
    t->ms = dice_chance(&s->dice, 30)   ? dice_between(&s->dice, 200, 2000)
            : dice_chance(&s->dice, 70) ? dice_between(&s->dice, 2001, 7000)
                                        : dice_between(&s->dice, 7000, 20000);
    freeze(m, t->ms);
    say(t, MEMBER_FMT, MEMBER_ARG(m));
    return true;
}

/* A second process with an id that is in use, at another address. */
static bool start_twin(struct system *s, struct trouble *t)
{
    int dc = (int)dice_roll(&s->dice, SYSTEM_DCS);
    struct system_member *twin = &s->members[dc][SYSTEM_MEMBERS];
    if (twin->daemon) {
        return false;
    }
    twin->id = any_member(s, dc)->id;
    t->member = twin;
    t->ms = any_ms(s);
    checks_blur(s, dc, t->ms);
    system_start(twin);
    say(t, "id %lld in %s", (long long)twin->id, system_dcs[dc]);
    return true;
}

static void end_twin(struct system *s, struct trouble *t)
{
    (void)s;
    system_kill(t->member);
}

/* ---- ZooKeeper ---- */

static bool break_zk_link(struct system *s, struct trouble *t)
{
    static const char *const ways[] = { "open", "cut", "dumb", "deaf" };
    t->member = running_member(s);
    if (!t->member) {
        return false;
    }
    t->way = (int)dice_between(&s->dice, FAKE_ZK_CUT, FAKE_ZK_DEAF);
    t->ms = any_ms(s);
    fake_zk_set_link_of(t->member->loop, (enum fake_zk_link)t->way);
    say(t, MEMBER_FMT " %s", MEMBER_ARG(t->member), ways[t->way]);
    return true;
}

static void mend_zk_link(struct system *s, struct trouble *t)
{
    (void)s;
    if (t->member->loop) {
        fake_zk_set_link_of(t->member->loop, FAKE_ZK_OPEN);
    }
}

static bool stop_zk(struct system *s, struct trouble *t)
{
    t->dc = (int)dice_roll(&s->dice, SYSTEM_DCS);
    t->ms = any_ms(s);
    fake_zk_stop(s->zk[t->dc], true);
    say(t, "%s", system_dcs[t->dc]);
    return true;
}

static void start_zk(struct system *s, struct trouble *t)
{
    fake_zk_stop(s->zk[t->dc], false);
}

static bool expire_session(struct system *s, struct trouble *t)
{
    struct system_member *m = running_member(s);
    if (!m || !sharding_zk(m->app->sharding)) {
        return false;
    }
    checks_blur(s, m->dc, 0);
    fake_zk_expire(sharding_zk(m->app->sharding));
    say(t, MEMBER_FMT, MEMBER_ARG(m));
    return true;
}

static int any_slot(struct system *s)
{
    return dice_chance(&s->dice, 70)
               ? slot_of_cluster(s->cluster_id[dice_roll(&s->dice, SYSTEM_PLACES)])
               : (int)dice_roll(&s->dice, SLOT_COUNT);
}

static bool rewrite_slots(struct system *s, struct trouble *t)
{
    static const char *const texts[] = {
        "{\"serverId\":1,\"slotState\":\"NORMAL\",\"toServerId\":0}",
        "{\"serverId\":2,\"slotState\":\"NORMAL\",\"toServerId\":0}",
        "{\"serverId\":99,\"slotState\":\"NORMAL\",\"toServerId\":0}",
        "{\"serverId\":1,\"slotState\":\"MOVING\",\"toServerId\":2}",
        "{\"serverId\":2,\"slotState\":\"MOVING\",\"toServerId\":99}",
        "{\"serverId\":0}",
        "nonsense",
        NULL,
    };
    t->dc = (int)dice_roll(&s->dice, SYSTEM_DCS);
    checks_blur(s, t->dc, 0);
    int count = (int)dice_between(&s->dice, 1, 5);
    for (int i = 0; i < count; i++) {
        const char *text = texts[dice_roll(&s->dice, ARRAY_LEN(texts))];
        int slot = any_slot(s);
        AUTO_FREE char *path = xasprintf("/xpipe/metaserver/slots/%d", slot);
        if (text) {
            fake_zk_foreign_set(s->zk[t->dc], path, text);
        } else {
            fake_zk_foreign_delete(s->zk[t->dc], path);
        }
        say(t, "%s slot %d: %s", system_dcs[t->dc], slot, text ? text : "deleted");
    }
    return true;
}

static bool delete_nodes(struct system *s, struct trouble *t)
{
    t->dc = (int)dice_roll(&s->dice, SYSTEM_DCS);
    AUTO_FREE char *path =
        dice_chance(&s->dice, 50)
            ? xasprintf("/xpipe/metaserver/servers/%lld", (long long)any_member(s, t->dc)->id)
            : xstrdup(fake_zk_first_child(s->zk[t->dc], "/xpipe/metaserver/leader"));
    if (!path) {
        return false;
    }
    checks_blur(s, t->dc, 0);
    fake_zk_foreign_delete(s->zk[t->dc], path);
    say(t, "%s %s", system_dcs[t->dc], path);
    return true;
}

/* ---- HTTP ---- */

static void set_way(const struct system_member *from, const struct system_member *to,
                    enum fake_http_mode mode)
{
    if (from->loop) {
        fake_http_set(from->loop, &to->addr, mode);
    }
}

/* way 0: both; 1: what 'member' sends is lost; 2: what 'other' sends is lost. */
static void partition(struct system *s, const struct trouble *t, bool is_broken)
{
    enum fake_http_mode lost = is_broken ? FAKE_HTTP_UNREACHABLE : FAKE_HTTP_UP;
    enum fake_http_mode silent = is_broken ? FAKE_HTTP_REPLY_LOST : FAKE_HTTP_UP;
    (void)s;
    if (t->way != 2) {
        set_way(t->member, t->other, lost);
        set_way(t->other, t->member, t->way == 0 ? lost : silent);
    } else {
        set_way(t->other, t->member, lost);
        set_way(t->member, t->other, silent);
    }
}

static bool part_members(struct system *s, struct trouble *t)
{
    t->member = running_member(s);
    t->other = running_member(s);
    if (!t->member || !t->other || t->member == t->other) {
        return false;
    }
    t->way = (int)dice_roll(&s->dice, 3);
    t->ms = any_ms(s);
    partition(s, t, true);
    say(t, MEMBER_FMT " and " MEMBER_FMT ", way %d", MEMBER_ARG(t->member), MEMBER_ARG(t->other),
        t->way);
    return true;
}

static void join_members(struct system *s, struct trouble *t)
{
    partition(s, t, false);
}

static bool part_dcs(struct system *s, struct trouble *t)
{
    struct trouble pair = { .way = (int)dice_roll(&s->dice, 3) };
    t->way = pair.way;
    t->ms = any_ms(s);
    for (int i = 0; i < SYSTEM_MEMBERS; i++) {
        for (int j = 0; j < SYSTEM_MEMBERS; j++) {
            pair.member = &s->members[0][i];
            pair.other = &s->members[1][j];
            partition(s, &pair, true);
        }
    }
    say(t, "way %d", t->way);
    return true;
}

static void join_dcs(struct system *s, struct trouble *t)
{
    struct trouble pair = { .way = t->way };
    for (int i = 0; i < SYSTEM_MEMBERS; i++) {
        for (int j = 0; j < SYSTEM_MEMBERS; j++) {
            pair.member = &s->members[0][i];
            pair.other = &s->members[1][j];
            partition(s, &pair, false);
        }
    }
}

static bool slow_http(struct system *s, struct trouble *t)
{
    t->ms = any_ms(s);
    s->packet_ms = dice_between(&s->dice, 100, 4000);
    say(t, "up to %lld ms a packet", (long long)s->packet_ms);
    return true;
}

static void usual_http(struct system *s, struct trouble *t)
{
    (void)t;
    s->packet_ms = s->config.slowest_packet_ms;
}

/* ---- console ---- */

static bool stop_console(struct system *s, struct trouble *t)
{
    if (fake_console_is_stopped(s->console)) {
        return false;
    }
    t->ms = any_ms(s);
    fake_console_stop(s->console, true);
    return true;
}

static void start_console(struct system *s, struct trouble *t)
{
    (void)t;
    fake_console_stop(s->console, false);
}

static bool part_console(struct system *s, struct trouble *t)
{
    t->member = running_member(s);
    if (!t->member) {
        return false;
    }
    t->ms = any_ms(s);
    struct addr console = addr_of("10.0.0.1", 8080);
    fake_http_set(t->member->loop, &console,
                  dice_chance(&s->dice, 50) ? FAKE_HTTP_UNREACHABLE : FAKE_HTTP_REPLY_LOST);
    say(t, MEMBER_FMT, MEMBER_ARG(t->member));
    return true;
}

static void join_console(struct system *s, struct trouble *t)
{
    (void)s;
    struct addr console = addr_of("10.0.0.1", 8080);
    if (t->member->loop) {
        fake_http_set(t->member->loop, &console, FAKE_HTTP_UP);
    }
}

static bool lie(struct system *s, struct trouble *t)
{
    static const char *const lies[] = { "", "half", "no routes", "old", "empty" };
    t->way = (int)dice_between(&s->dice, CONSOLE_HALF, CONSOLE_EMPTY);
    t->ms = dice_between(&s->dice, 5000, 20000);
    fake_console_lie(s->console, (enum console_lie)t->way);
    say(t, "%s", lies[t->way]);
    return true;
}

static void tell_truth(struct system *s, struct trouble *t)
{
    (void)t;
    fake_console_lie(s->console, CONSOLE_HONEST);
}

static bool repeat_push(struct system *s, struct trouble *t)
{
    (void)t;
    return fake_console_repeat(s->console, dice_roll(&s->dice, 1000));
}

/* ---- metadata ---- */

static bool flip_route(struct system *s, struct trouble *t)
{
    struct console_route *r = fake_console_route(s->console, dice_roll(&s->dice, 4));
    int src = r->src;
    if (dice_chance(&s->dice, 60)) {
        r->info = system_route_texts[dice_roll(&s->dice, SYSTEM_ROUTE_TEXTS)];
    } else {
        r->is_active = !r->is_active;
    }
    say(t, "route %lld of %s: %s %s", (long long)r->id, system_dcs[src],
        r->is_active ? "active" : "off", r->info);
    bool is_routed = false;
    for (size_t i = 0; (r = fake_console_route(s->console, i)); i++) {
        is_routed |= r->src == src && r->is_active;
    }
    s->is_routed[src] &= is_routed;
    fake_console_commit_routes(s->console, src);
    return true;
}

static bool migrate(struct system *s, struct trouble *t)
{
    struct console_cluster *c = system_cluster(s, (int)dice_roll(&s->dice, SYSTEM_PLACES));
    if (!c || c->is_migrating) {
        return false;
    }
    t->place = c->place;
    t->ms = dice_between(&s->dice, 1000, 12000);
    c->is_migrating = true;
    fake_console_commit(s->console, c);
    say(t, "%s", c->name);
    return true;
}

static void migrated(struct system *s, struct trouble *t)
{
    struct console_cluster *c = system_cluster(s, t->place);
    if (c && c->is_migrating) {
        c->is_migrating = false;
        fake_console_commit(s->console, c);
    }
}

static bool delete_cluster(struct system *s, struct trouble *t)
{
    struct console_cluster *c = any_cluster(s);
    if (!c) {
        return false;
    }
    t->place = c->place;
    t->ms = dice_chance(&s->dice, 50) ? dice_between(&s->dice, 10, 500) : any_ms(s);
    c->is_deleted = true;
    fake_console_commit(s->console, c);
    say(t, "%s, id %lld", c->name, (long long)c->id);
    return true;
}

/* The same name and Redis, another id. */
static void make_anew(struct system *s, struct trouble *t)
{
    struct console_cluster *old = fake_console_find(s->console, s->cluster_id[t->place]);
    if (!old->is_deleted || !fake_console_has_room(s->console)) {
        return;
    }
    s->next_id += dice_between(&s->dice, 1, 300);
    struct console_cluster *c = fake_console_add(s->console, old->name, s->next_id);
    int64_t id = c->id;
    *c = *old;
    c->id = s->cluster_id[t->place] = id;
    c->is_deleted = false;
    c->is_migrating = false;
    fake_console_commit(s->console, c);
    trace_event("cluster %s is made anew, id %lld", c->name, (long long)c->id);
}

/* One Redis of a shard leaves the metadata for the spare one. */
static bool change_instance(struct system *s, struct trouble *t)
{
    struct console_cluster *c = any_cluster(s);
    if (!c) {
        return false;
    }
    int dc = (int)dice_roll(&s->dice, SYSTEM_DCS);
    int shard = (int)dice_roll(&s->dice, (uint64_t)c->shard_count);
    int out = -1;
    int in = -1;
    for (int i = 0; i < SYSTEM_REDISES; i++) {
        struct system_redis *r = &s->redis[c->place][dc][shard][i];
        if (addr_is_none(&c->redis[dc][shard][i])) {
            in = i;
        } else if (!r->crdt.is_master) {
            out = i;
        }
    }
    if (in < 0 || out < 0) {
        return false;
    }
    fake_crdt_set_role(&s->redis[c->place][dc][shard][in].crdt, false);
    c->redis[dc][shard][in] = s->redis[c->place][dc][shard][in].crdt.addr;
    c->redis[dc][shard][out] = (struct addr){ 0 };
    fake_console_commit(s->console, c);
    say(t, "%s in %s, shard %d: %d for %d", c->name, system_dcs[dc], shard, in, out);
    return true;
}

#define SLOWEST_ANSWER_MS 5000 /* of slow_http */

/* A DC that came back for so short a time may have been seen by nobody: removals need a document of the last two periods, and an
 * answer may take its time. For who missed it, the DC has been gone since the first time. */
static bool may_be_missed(const struct system *s, int place)
{
    int64_t unseen_ms = 2 * s->config.refresh_ms + SLOWEST_ANSWER_MS;
    return s->left_at[place] != MONO_NEVER && clock_mono_ms() - s->joined_at[place] < unseen_ms;
}

static bool leave_dc(struct system *s, struct trouble *t)
{
    struct console_cluster *c = any_cluster(s);
    if (!c || c->dcs != 3) {
        return false;
    }
    t->place = c->place;
    t->ms = dice_between(&s->dice, 100, 25000);
    c->dcs = 1U << dice_roll(&s->dice, SYSTEM_DCS);
    if (!may_be_missed(s, c->place)) {
        s->left_at[c->place] = clock_mono_ms();
    }
    fake_console_commit(s->console, c);
    say(t, "%s is in %s only", c->name, system_dcs[c->dcs - 1]);
    return true;
}

static void join_dc(struct system *s, struct trouble *t)
{
    struct console_cluster *c = system_cluster(s, t->place);
    if (c && c->dcs != 3) {
        c->dcs = 3;
        s->joined_at[c->place] = clock_mono_ms();
        fake_console_commit(s->console, c);
    }
}

static bool suspend(struct system *s, struct trouble *t)
{
    const struct console_cluster *c = any_cluster(s);
    const struct system_member *m = running_member(s);
    if (!c || !m) {
        return false;
    }
    AUTO_FREE char *url =
        xasprintf("http://%s/api/meta/v2/correction/%s/s1/off?ttlSeconds=%lld", ADDR_TEXT(&m->addr),
                  c->name, (long long)dice_between(&s->dice, 1, 10));
    fake_http_request(s->loop, "PUT", url, NULL, 3000, NULL, NULL);
    say(t, "%s", c->name);
    return true;
}

/* ---- Redis ---- */

static const char *const modes[] = { "up",   "refuses",    "unreachable",
                                     "mute", "reply lost", "reply silent" };

static bool hide_redis(struct system *s, struct trouble *t)
{
    t->member = running_member(s);
    t->redis = listed_redis(s);
    if (!t->member || !t->redis) {
        return false;
    }
    t->way = (int)dice_between(&s->dice, FAKE_REDIS_REFUSES, FAKE_REDIS_REPLY_SILENT);
    t->ms = any_ms(s);
    system_set_view(s, t->member, t->redis, (enum fake_redis_mode)t->way);
    say(t, "%s towards " MEMBER_FMT ": %s", ADDR_TEXT(&t->redis->crdt.addr), MEMBER_ARG(t->member),
        modes[t->way]);
    return true;
}

static void show_redis(struct system *s, struct trouble *t)
{
    system_set_view(s, t->member, t->redis, FAKE_REDIS_UP);
}

static bool stop_redis(struct system *s, struct trouble *t)
{
    t->redis = listed_redis(s);
    if (!t->redis || t->redis->mode != FAKE_REDIS_UP) {
        return false;
    }
    t->way = (int)dice_between(&s->dice, FAKE_REDIS_REFUSES, FAKE_REDIS_REPLY_SILENT);
    t->ms = any_ms(s);
    system_set_process(s, t->redis, (enum fake_redis_mode)t->way);
    say(t, "%s %s", ADDR_TEXT(&t->redis->crdt.addr), modes[t->way]);
    return true;
}

static void start_redis(struct system *s, struct trouble *t)
{
    if (t->way == FAKE_REDIS_REFUSES) {
        fake_crdt_restart(&t->redis->crdt);
        fake_replica_restart(&t->redis->replica);
    }
    system_set_process(s, t->redis, FAKE_REDIS_UP);
}

static bool slow_redis(struct system *s, struct trouble *t)
{
    t->redis = listed_redis(s);
    if (!t->redis) {
        return false;
    }
    int64_t round_trip_ms = dice_between(&s->dice, 50, 950);
    t->ms = any_ms(s);
    fake_redis_set_latency(&t->redis->crdt.addr, round_trip_ms);
    say(t, "%s %lld ms", ADDR_TEXT(&t->redis->crdt.addr), (long long)round_trip_ms);
    return true;
}

static void usual_redis(struct system *s, struct trouble *t)
{
    fake_redis_set_latency(&t->redis->crdt.addr, dice_between(&s->dice, 1, 30));
}

static bool fail_over(struct system *s, struct trouble *t)
{
    t->redis = listed_redis(s);
    if (!t->redis || t->redis->crdt.is_master || t->redis->mode != FAKE_REDIS_UP ||
        system_is_one_way(t->redis->place)) {
        return false;
    }
    system_fail_over(s, t->redis, dice_chance(&s->dice, 50));
    say(t, "%s is master now", ADDR_TEXT(&t->redis->crdt.addr));
    return true;
}

static bool two_masters(struct system *s, struct trouble *t)
{
    t->redis = listed_redis(s);
    if (!t->redis || t->redis->crdt.is_master || system_is_one_way(t->redis->place)) {
        return false;
    }
    t->ms = any_ms(s);
    fake_crdt_set_role(&t->redis->crdt, true);
    say(t, "%s too", ADDR_TEXT(&t->redis->crdt.addr));
    return true;
}

static void demote(struct system *s, struct trouble *t)
{
    struct system_redis *shard = s->redis[t->redis->place][t->redis->dc][t->redis->shard];
    for (int i = 0; i < SYSTEM_REDISES; i++) {
        if (&shard[i] != t->redis && shard[i].crdt.is_master && system_is_listed(s, &shard[i])) {
            fake_crdt_set_role(&t->redis->crdt, false);
            return;
        }
    }
}

static bool no_master(struct system *s, struct trouble *t)
{
    t->redis = any_master(s);
    if (!t->redis) {
        return false;
    }
    t->ms = any_ms(s);
    if (dice_chance(&s->dice, 50)) {
        fake_crdt_set_role(&t->redis->crdt, false);
    } else {
        t->redis->crdt.demote_after_info = true; /* between two questions */
    }
    say(t, "%s is no master any more", ADDR_TEXT(&t->redis->crdt.addr));
    return true;
}

static void promote(struct system *s, struct trouble *t)
{
    t->redis->crdt.demote_after_info = false;
    if (!system_master(s, t->redis->place, t->redis->dc, t->redis->shard)) {
        system_fail_over(s, t->redis, false);
    }
}

static void break_peer(struct system *s, struct system_redis *r)
{
    int gid = SYSTEM_GID(1 - r->dc);
    struct addr nowhere = addr_of("10.77.7.7", 6379);
    switch (dice_roll(&s->dice, 3)) {
    case 0:
        fake_crdt_remove(&r->crdt, gid);
        break;
    case 1:
        fake_crdt_put(&r->crdt, gid, &nowhere, NULL, NULL);
        break;
    default:
        fake_crdt_put(&r->crdt, gid, &nowhere, "PROXYTCP://10.66.0.1:80", NULL);
        break;
    }
}

static bool break_one_peer(struct system *s, struct trouble *t)
{
    struct system_redis *r = any_master(s);
    if (!r) {
        return false;
    }
    break_peer(s, r);
    say(t, "of %s", ADDR_TEXT(&r->crdt.addr));
    return true;
}

static void break_peers_of(struct system *s, int dc)
{
    for (int place = 0; place < SYSTEM_KEEPER_PLACE; place++) {
        for (int shard = 0; shard < SYSTEM_SHARDS; shard++) {
            struct system_redis *r = system_master(s, place, dc, shard);
            if (r) {
                break_peer(s, r);
            }
        }
    }
}

static bool break_all_peers(struct system *s, struct trouble *t)
{
    t->dc = (int)dice_roll(&s->dice, SYSTEM_DCS);
    break_peers_of(s, t->dc);
    say(t, "of %s", system_dcs[t->dc]);
    return true;
}

static void set_dc_latency(struct system *s, int dc, int64_t least_ms, int64_t most_ms)
{
    for (int place = 0; place < SYSTEM_PLACES; place++) {
        for (int i = 0; i < SYSTEM_SHARDS * SYSTEM_REDISES; i++) {
            const struct system_redis *r =
                &s->redis[place][dc][i / SYSTEM_REDISES][i % SYSTEM_REDISES];
            fake_redis_set_latency(&r->crdt.addr, dice_between(&s->dice, least_ms, most_ms));
        }
    }
}

/* A member that stands still in the middle of its corrections: what it asked is answered long after its lease is over. */
static bool be_busy(struct system *s, struct trouble *t)
{
    t->member = running_member(s);
    if (!t->member || is_frozen(t->member)) {
        return false;
    }
    set_dc_latency(s, t->member->dc, 400, 800);
    t->dc = t->member->dc;
    break_peers_of(s, t->dc);
    t->ms = dice_between(&s->dice, 700, 2500);
    say(t, MEMBER_FMT, MEMBER_ARG(t->member));
    return true;
}

static void freeze_busy(struct system *s, struct trouble *t)
{
    set_dc_latency(s, t->dc, 1, 30);
    if (t->member->loop && !is_frozen(t->member)) {
        freeze(t->member, dice_between(&s->dice, 3500, 12000));
    }
}

static bool put_stranger(struct system *s, struct trouble *t)
{
    struct system_redis *r = any_master(s);
    if (!r || r->crdt.peers[SYSTEM_STRANGER].is_set) {
        return false;
    }
    struct addr nowhere = addr_of("10.77.7.8", 6379);
    fake_crdt_put(&r->crdt, SYSTEM_STRANGER, &nowhere, NULL, NULL);
    r->stranger_since = clock_mono_ms();
    say(t, "at %s", ADDR_TEXT(&r->crdt.addr));
    return true;
}

static bool play_trick(struct system *s, struct trouble *t)
{
    static const char *const tricks[] = { "honest", "refuses", "pretends", "swallows", "hangs" };
    t->redis = any_master(s);
    if (!t->redis || t->redis->crdt.trick != FAKE_CRDT_HONEST) {
        return false;
    }
    t->way = (int)dice_between(&s->dice, FAKE_CRDT_REFUSES, FAKE_CRDT_HANGS);
    t->ms = dice_between(&s->dice, 2000, 25000);
    t->redis->crdt.trick = (enum fake_crdt_trick)t->way;
    break_peer(s, t->redis);
    say(t, "%s %s", ADDR_TEXT(&t->redis->crdt.addr), tricks[t->way]);
    return true;
}

static void be_honest(struct system *s, struct trouble *t)
{
    (void)s;
    t->redis->crdt.trick = FAKE_CRDT_HONEST;
}

static bool backstream(struct system *s, struct trouble *t)
{
    t->redis = any_master(s);
    if (!t->redis) {
        return false;
    }
    t->ms = any_ms(s);
    t->redis->crdt.is_backstreaming = true;
    say(t, "%s", ADDR_TEXT(&t->redis->crdt.addr));
    return true;
}

static void streamed(struct system *s, struct trouble *t)
{
    (void)s;
    t->redis->crdt.is_backstreaming = false;
}

/* ---- one-way clusters ---- */

static bool kill_keeper(struct system *s, struct trouble *t)
{
    struct system_keeper *k = system_any_keeper(s);
    if (!k) {
        return false;
    }
    bool comes_back = dice_chance(&s->dice, 30);
    system_keeper_kill(k, comes_back ? dice_between(&s->dice, 100, 6000) : -1);
    say(t, "%s%s", ADDR_TEXT(&k->replica.addr), comes_back ? ", it comes back" : "");
    return true;
}

static bool expire_keeper(struct system *s, struct trouble *t)
{
    struct system_keeper *k = system_any_keeper(s);
    if (k) {
        system_keeper_lose_session(k, dice_between(&s->dice, 20, 3000));
        say(t, "of %s", ADDR_TEXT(&k->replica.addr));
    }
    return k != NULL;
}

static bool hide_keeper(struct system *s, struct trouble *t)
{
    t->keeper = system_any_keeper(s);
    t->member = running_member(s);
    if (!t->keeper || !t->member) {
        return false;
    }
    t->way = (int)dice_between(&s->dice, FAKE_REDIS_REFUSES, FAKE_REDIS_REPLY_SILENT);
    t->ms = any_ms(s);
    fake_redis_set_view(t->member->loop, &t->keeper->replica.addr, (enum fake_redis_mode)t->way);
    say(t, "%s towards " MEMBER_FMT ": %s", ADDR_TEXT(&t->keeper->replica.addr),
        MEMBER_ARG(t->member), modes[t->way]);
    return true;
}

static void show_keeper(struct system *s, struct trouble *t)
{
    (void)s;
    if (t->member->loop) {
        fake_redis_set_view(t->member->loop, &t->keeper->replica.addr, FAKE_REDIS_UP);
    }
}

static bool stop_container(struct system *s, struct trouble *t)
{
    t->dc = (int)dice_roll(&s->dice, SYSTEM_DCS);
    t->way = (int)dice_roll(&s->dice, SYSTEM_CONTAINERS);
    if (s->is_container_stopped[t->dc][t->way]) {
        return false;
    }
    t->ms = any_ms(s);
    system_container_stop(s, t->dc, t->way, true);
    say(t, "%d of %s", t->way, system_dcs[t->dc]);
    return true;
}

static void start_container(struct system *s, struct trouble *t)
{
    system_container_stop(s, t->dc, t->way, false);
}

static bool move_keeper(struct system *s, struct trouble *t)
{
    int dc = (int)dice_roll(&s->dice, SYSTEM_DCS);
    say(t, "in %s", system_dcs[dc]);
    return system_keeper_move(s, dc, (int)dice_roll(&s->dice, SYSTEM_SHARDS));
}

/* Pointed elsewhere, made a master, or (keepers) the other state. */
static void misplace(struct system *s, struct fake_replica *r)
{
    struct addr nowhere = addr_of("10.77.7.7", 6379);
    struct addr nobody = { 0 };
    if (r->is_keeper && dice_chance(&s->dice, 50)) {
        r->state = r->state == KEEPER_ACTIVE ? KEEPER_BACKUP : KEEPER_ACTIVE;
    } else {
        fake_replica_point(r, r->is_keeper || dice_chance(&s->dice, 50) ? &nowhere : &nobody);
    }
}

static bool misplace_one(struct system *s, struct trouble *t)
{
    struct system_keeper *k = dice_chance(&s->dice, 50) ? system_any_keeper(s) : NULL;
    struct system_redis *r = k ? NULL : listed_redis(s);
    if (!k && (!r || !system_is_one_way(r->place) || r->dc == SYSTEM_PRIMARY)) {
        return false;
    }
    struct fake_replica *replica = k ? &k->replica : &r->replica;
    misplace(s, replica);
    say(t, "%s", ADDR_TEXT(&replica->addr));
    return true;
}

/* What an operator's script does to everything of the backup DC at once. */
static bool misplace_all(struct system *s, struct trouble *t)
{
    (void)t;
    for (int place = SYSTEM_KEEPER_PLACE; place < SYSTEM_PLACES; place++) {
        for (int i = 0; i < SYSTEM_SHARDS * SYSTEM_REDISES; i++) {
            struct system_redis *r =
                &s->redis[place][1 - SYSTEM_PRIMARY][i / SYSTEM_REDISES][i % SYSTEM_REDISES];
            if (system_is_listed(s, r)) {
                misplace(s, &r->replica);
            }
        }
    }
    return true;
}

static bool fail_over_tree(struct system *s, struct trouble *t)
{
    struct system_redis *r = listed_redis(s);
    if (!r || !system_is_one_way(r->place) || r->dc != SYSTEM_PRIMARY || r->mode != FAKE_REDIS_UP) {
        return false;
    }
    system_tree_fail_over(s, r);
    say(t, "%s is master now", ADDR_TEXT(&r->crdt.addr));
    return true;
}

/* A Redis that copies everything for long: it is left alone meanwhile. */
static bool sync_fully(struct system *s, struct trouble *t)
{
    struct system_redis *r = listed_redis(s);
    if (!r || !system_is_one_way(r->place)) {
        return false;
    }
    r->replica.sync_ms = dice_chance(&s->dice, 50) ? dice_between(&s->dice, 500, 8000) : 0;
    say(t, "%s: %lld ms from now on", ADDR_TEXT(&r->crdt.addr), (long long)r->replica.sync_ms);
    return true;
}

static bool play_replica_trick(struct system *s, struct trouble *t)
{
    static const char *const tricks[] = { "honest", "refuses", "pretends", "swallows", "hangs" };
    t->redis = listed_redis(s);
    if (!t->redis || !system_is_one_way(t->redis->place)) {
        return false;
    }
    t->way = (int)dice_between(&s->dice, FAKE_REPLICA_REFUSES, FAKE_REPLICA_HANGS);
    t->ms = any_ms(s);
    t->redis->replica.trick = (enum fake_replica_trick)t->way;
    say(t, "%s %s", ADDR_TEXT(&t->redis->crdt.addr), tricks[t->way]);
    return true;
}

static void be_honest_replica(struct system *s, struct trouble *t)
{
    (void)s;
    t->redis->replica.trick = FAKE_REPLICA_HONEST;
}

static bool step_wall_clock(struct system *s, struct trouble *t)
{
    int64_t ms = dice_between(&s->dice, -3600000, 3600000);
    fake_clock_step_wall(ms);
    say(t, "by %lld s", (long long)ms / 1000);
    return true;
}

/* clang-format off */
static const struct fault table[] = {
    { "kill",            6, kill_member,      NULL },
    { "terminate",       4, terminate_member, NULL },
    { "freeze",          6, freeze_member,    NULL },
    { "freeze-busy",     4, be_busy,          freeze_busy },
    { "twin",            2, start_twin,       end_twin },
    { "zk-link",         8, break_zk_link,    mend_zk_link },
    { "zk-stop",         2, stop_zk,          start_zk },
    { "zk-expire",       2, expire_session,   NULL },
    { "zk-slots",        2, rewrite_slots,    NULL },
    { "zk-nodes",        2, delete_nodes,     NULL },
    { "part-members",    6, part_members,     join_members },
    { "part-dcs",        3, part_dcs,         join_dcs },
    { "slow-http",       3, slow_http,        usual_http },
    { "console-stop",    3, stop_console,     start_console },
    { "console-part",    3, part_console,     join_console },
    { "console-lie",     3, lie,              tell_truth },
    { "repeat-push",     4, repeat_push,      NULL },
    { "route",           4, flip_route,       NULL },
    { "migrate",         4, migrate,          migrated },
    { "delete-cluster",  4, delete_cluster,   make_anew },
    { "instance",        3, change_instance,  NULL },
    { "leave-dc",        3, leave_dc,         join_dc },
    { "suspend",         2, suspend,          NULL },
    { "redis-hide",      5, hide_redis,       show_redis },
    { "redis-stop",      6, stop_redis,       start_redis },
    { "redis-slow",      4, slow_redis,       usual_redis },
    { "fail-over",       6, fail_over,        NULL },
    { "two-masters",     3, two_masters,      demote },
    { "no-master",       3, no_master,        promote },
    { "peer-broken",    10, break_one_peer,   NULL },
    { "peers-broken",    4, break_all_peers,  NULL },
    { "stranger",        3, put_stranger,     NULL },
    { "trick",           4, play_trick,       be_honest },
    { "backstream",      2, backstream,       streamed },
    { "keeper-kill",     6, kill_keeper,      NULL },
    { "keeper-session",  3, expire_keeper,    NULL },
    { "keeper-hide",     3, hide_keeper,      show_keeper },
    { "keeper-move",     3, move_keeper,      NULL },
    { "container-stop",  3, stop_container,   start_container },
    { "misplaced",       6, misplace_one,     NULL },
    { "all-misplaced",   3, misplace_all,     NULL },
    { "tree-fail-over",  4, fail_over_tree,   NULL },
    { "full-sync",       2, sync_fully,       NULL },
    { "replica-trick",   3, play_replica_trick, be_honest_replica },
    { "wall-clock",      2, step_wall_clock,  NULL },
};
/* clang-format on */

static void note_change(void)
{
    for (int place = 0; place < SYSTEM_PLACES; place++) {
        checks_changed(place);
    }
}

static const struct fault *draw(struct faults *f)
{
    int total = 0;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        total += f->enabled & 1ULL << i ? table[i].weight : 0;
    }
    int at = (int)dice_roll(&f->system->dice, (uint64_t)total);
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        at -= f->enabled & 1ULL << i ? table[i].weight : 0;
        if (at < 0) {
            return &table[i];
        }
    }
    return &table[0];
}

static void strike(struct faults *f)
{
    struct trouble t = { .fault = draw(f) };
    f->next_at = clock_mono_ms() + dice_between(&f->system->dice, 0, 2 * f->gap_ms);
    if (f->count == TROUBLES_MAX || !t.fault->apply(f->system, &t)) {
        return;
    }
    note_change();
    if (t.fault->heal) {
        trace_fault("%s %s, for %lld ms", t.fault->name, t.what, (long long)t.ms);
        t.until = clock_mono_ms() + t.ms;
        f->active[f->count++] = t;
    } else {
        trace_fault("%s %s", t.fault->name, t.what);
    }
}

static void heal_due(struct faults *f)
{
    for (size_t i = f->count; i-- > 0;) {
        struct trouble t = f->active[i];
        if (t.until <= clock_mono_ms()) {
            memmove(&f->active[i], &f->active[i + 1], (--f->count - i) * sizeof(t));
            t.fault->heal(f->system, &t);
            note_change();
            trace_event("healed: %s %s", t.fault->name, t.what);
        }
    }
}

void faults_run(struct faults *f)
{
    heal_due(f);
    if (f->next_at <= clock_mono_ms()) {
        strike(f);
    }
}

mono_ms faults_next_at(const struct faults *f)
{
    mono_ms next = f->next_at;
    for (size_t i = 0; i < f->count; i++) {
        next = f->active[i].until < next ? f->active[i].until : next;
    }
    return next;
}

void faults_forget(struct faults *f)
{
    f->count = 0;
}

/* A few faults at a time find more than all of them together, which hide one behind the other. */
struct faults *faults_new(struct system *s, const char *only)
{
    static const int percents[] = { 10, 25, 50, 90 };
    struct faults *f = xcalloc(1, sizeof(*f));
    int percent = percents[dice_roll(&s->dice, ARRAY_LEN(percents))];
    f->system = s;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        bool is_on = only ? text_eq(only, table[i].name) : dice_chance(&s->dice, percent);
        f->enabled |= is_on ? 1ULL << i : 0;
    }
    if (f->enabled == 0) {
        f->enabled = 1ULL << dice_roll(&s->dice, ARRAY_LEN(table));
    }
    f->gap_ms = dice_between(&s->dice, 150, 3000);
    f->duration_ms = dice_between(&s->dice, 15000, 45000);
    f->next_at = clock_mono_ms();
    return f;
}

void faults_free(struct faults *f)
{
    free(f);
}

int64_t faults_duration_ms(const struct faults *f)
{
    return f->duration_ms;
}

void faults_print_names(void)
{
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        (void)puts(table[i].name);
    }
}
