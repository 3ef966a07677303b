/* system_faults_tree.c - trouble with keepers, containers and Redis of one-way clusters. See system_faults.h. */
#include "tests/sim/system_faults_internal.h"

#include "shared/base/banned.h"

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
        MEMBER_ARG(t->member), fault_modes[t->way]);
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

/* clang-format off */
const struct fault faults_of_trees[] = {
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
    { 0 },
};
/* clang-format on */
