/* system_faults_redis.c - trouble with the Redis of bi-direction clusters. See system_faults.h. */
#include "tests/sim/system_faults_internal.h"

#include "shared/base/banned.h"

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
        fault_modes[t->way]);
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
    say(t, "%s %s", ADDR_TEXT(&t->redis->crdt.addr), fault_modes[t->way]);
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

void faults_break_peers_of(struct system *s, int dc)
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
    faults_break_peers_of(s, t->dc);
    say(t, "of %s", system_dcs[t->dc]);
    return true;
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

/* clang-format off */
const struct fault faults_of_redis[] = {
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
    { 0 },
};
/* clang-format on */
