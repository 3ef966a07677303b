/* system_faults_process.c - trouble with processes and what lies between them: metaservers, ZooKeeper, HTTP. See system_faults.h. */
#include "meta/slots/slot.h"
#include "shared/base/mem.h"
#include "tests/sim/fake_http.h"
#include "tests/sim/fake_loop.h"
#include "tests/sim/system_checks.h"
#include "tests/sim/system_faults_internal.h"

#include "shared/base/banned.h"

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
    faults_break_peers_of(s, t->dc);
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

/* clang-format off */
const struct fault faults_of_processes[] = {
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
    { 0 },
};
/* clang-format on */
