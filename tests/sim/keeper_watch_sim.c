/* keeper_watch_sim.c - the elections of keepers on the ZooKeeper twin in virtual time: what is told follows the tree through cuts,
 * expired sessions and restarts, by watches alone, and silence is never told as "no keepers". */
#include "meta/keepers/keeper_watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "tests/sim/dice.h"
#include "tests/sim/fake_loop.h"
#include "tests/sim/fake_random.h"
#include "tests/sim/fake_zk.h"
#include "tests/sim/seeds.h"
#include "tests/unit/unit.h"

#include "shared/base/banned.h"

#define SESSION_MS 5000
#define LATENCY_MS 10
#define SHARDS     4
#define PATHS      2
#define LATCHES    3 /* names in a path; number 0 of repl_<id> is always there */
#define STEPS      120
#define SEEDS      100

struct told {
    struct keeper_watch_shard *shard;
    int times;
    bool has[PATHS][LATCHES];
};

struct world {
    struct loop *loop;
    struct fake_zk_server *server;
    struct zk *zk;
    struct keeper_watch *watch;
    struct told told[SHARDS];
    bool tree[SHARDS][PATHS][LATCHES]; /* who is there */
    bool has_lost_one;                 /* told without the one that is always there */
};

static struct world *current;

static void on_session(struct zk *zk, enum zk_state state, bool is_new_session, void *arg)
{
    struct world *w = arg;
    (void)is_new_session;
    if (state == ZK_READY) {
        keeper_watch_set_zk(w->watch, zk);
    }
}

static void on_keepers(const struct keeper_child *children, size_t count, void *arg)
{
    struct told *t = arg;
    t->times++;
    memset(t->has, 0, sizeof(t->has));
    for (size_t i = 0; i < count; i++) {
        int latch = children[i].name[strlen("latch-")] - '0';
        assert_in_range(latch, 0, LATCHES - 1);
        assert_int_equal(children[i].length, 4);
        assert_memory_equal(children[i].data, "data", 4);
        assert_false(t->has[children[i].path][latch]);
        t->has[children[i].path][latch] = true;
    }
    current->has_lost_one |= !t->has[ELECTION_BY_REPL][0];
}

/* The path of an election; returns owned. */
static char *parent_of(int shard, int path)
{
    return path == ELECTION_BY_SHARD ? xasprintf("/xpipe/keepers/cluster_1/shard_%d", shard)
                                     : xasprintf("/xpipe/keepers/repl_%d", shard);
}

static void set_latch(struct world *w, int shard, int path, int latch, bool is_there)
{
    AUTO_FREE char *parent = parent_of(shard, path);
    AUTO_FREE char *name = xasprintf("%s/latch-%d", parent, latch);
    if (is_there) {
        fake_zk_foreign_set(w->server, name, "data");
    } else {
        fake_zk_foreign_delete(w->server, name);
    }
    w->tree[shard][path][latch] = is_there;
}

static void drop_path(struct world *w, int shard)
{
    AUTO_FREE char *parent = parent_of(shard, ELECTION_BY_SHARD);
    fake_zk_foreign_delete(w->server, parent);
    memset(w->tree[shard][ELECTION_BY_SHARD], 0, sizeof(w->tree[shard][ELECTION_BY_SHARD]));
}

static void watch_shard(struct world *w, int shard)
{
    w->told[shard].shard = keeper_watch_add(w->watch, 1, shard, on_keepers, &w->told[shard]);
}

static void unwatch_shard(struct world *w, int shard)
{
    keeper_watch_remove(w->watch, w->told[shard].shard);
    w->told[shard] = (struct told){ 0 };
}

static struct world *world_new(uint64_t seed)
{
    struct world *w = current = xcalloc(1, sizeof(*w));
    fake_clock_set(1000000, 1700000000000);
    fake_random_seed(seed);
    w->loop = loop_new();
    w->server = fake_zk_server_new(w->loop, "sim");
    fake_zk_set_latency(w->server, LATENCY_MS);
    for (int shard = 0; shard < SHARDS; shard++) {
        set_latch(w, shard, ELECTION_BY_REPL, 0, true);
    }
    struct keeper_watch_options options = { .loop = w->loop,
                                            .zk_namespace = "xpipe",
                                            .gather_ms = 50,
                                            .refresh_ms = INT32_MAX, /* watches alone */
                                            .reads_max = 2 };
    w->watch = keeper_watch_new(&options);
    struct zk_options zk_options = {
        .hosts = "sim", .session_timeout_ms = SESSION_MS, .on_session = on_session, .arg = w
    };
    w->zk = zk_new(w->loop, &zk_options);
    return w;
}

static void world_free(struct world *w)
{
    for (int shard = 0; shard < SHARDS; shard++) {
        unwatch_shard(w, shard);
    }
    keeper_watch_free(w->watch);
    zk_free(w->zk);
    fake_zk_server_free(w->server);
    loop_free(w->loop);
    free(w);
}

static void let_pass(int64_t ms)
{
    fake_loop_advance_to(clock_mono_ms() + ms);
}

static bool is_right(const struct world *w, int shard)
{
    const struct told *t = &w->told[shard];
    return t->times > 0 && memcmp(t->has, w->tree[shard], sizeof(t->has)) == 0;
}

/* Cut between the answers about the two paths, at every moment: nothing is told before both came. */
static void cut_between_the_paths(void **state)
{
    (void)state;
    bool was_partly = false;
    for (int64_t cut_after_ms = 0; cut_after_ms < 12 * LATENCY_MS; cut_after_ms += 5) {
        struct world *w = world_new(1);
        let_pass(3000);
        watch_shard(w, 0);
        let_pass(cut_after_ms);
        fake_zk_cut(w->zk, true);
        let_pass(SESSION_MS * 2);
        was_partly |= cut_after_ms > 2 * LATENCY_MS && w->told[0].times == 0;
        fake_zk_cut(w->zk, false);
        let_pass(SESSION_MS * 4);
        assert_true(is_right(w, 0));
        assert_int_equal(w->told[0].times, 1);
        assert_false(w->has_lost_one);
        world_free(w);
    }
    assert_true(was_partly); /* the cuts fell where they should */
}

static void change_the_tree(struct world *w, struct dice *d)
{
    int shard = (int)dice_roll(d, SHARDS);
    int path = (int)dice_roll(d, PATHS);
    int latch = (int)dice_roll(d, LATCHES);
    if (dice_chance(d, 10)) {
        drop_path(w, shard);
    } else if (path != ELECTION_BY_REPL || latch != 0) {
        set_latch(w, shard, path, latch, !w->tree[shard][path][latch]);
    }
}

static void trouble(struct world *w, struct dice *d)
{
    int shard = (int)dice_roll(d, SHARDS);
    switch (dice_roll(d, 6)) {
    case 0:
        fake_zk_cut(w->zk, true);
        break;
    case 1:
        fake_zk_expire(w->zk);
        break;
    case 2:
        fake_zk_stop(w->server, true);
        break;
    case 3:
        unwatch_shard(w, shard);
        watch_shard(w, shard);
        break;
    default:
        fake_zk_cut(w->zk, false);
        fake_zk_stop(w->server, false);
        break;
    }
}

static const char *run_seed(uint64_t seed)
{
    struct world *w = world_new(seed);
    struct dice d = { .state = seed };
    const char *failure = NULL;
    for (int shard = 0; shard < SHARDS; shard++) {
        watch_shard(w, shard);
    }
    for (int step = 0; step < STEPS; step++) {
        let_pass(dice_between(&d, 0, dice_chance(&d, 10) ? 2 * SESSION_MS : 100));
        if (dice_chance(&d, 15)) {
            trouble(w, &d);
        } else {
            change_the_tree(w, &d);
        }
    }
    fake_zk_cut(w->zk, false);
    fake_zk_stop(w->server, false);
    let_pass(60000);
    for (int shard = 0; shard < SHARDS; shard++) {
        failure = is_right(w, shard) ? failure : "what was told last is not what is there";
    }
    failure = w->has_lost_one ? "a keeper that was always there was not told" : failure;
    world_free(w);
    return failure;
}

static void what_is_told_follows_the_tree(void **state)
{
    (void)state;
    seeds_run(&(struct seeds){ .first = 1, .count = seeds_wanted(SEEDS), .run = run_seed });
}

int main(void)
{
    log_set_level(getenv("SIM_LOG") ? LOG_INFO : LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cut_between_the_paths),
        cmocka_unit_test(what_is_told_follows_the_tree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
