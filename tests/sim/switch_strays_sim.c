/* switch_strays_sim.c - a master in a backup DC is held, and who follows again gets its settings back (fake_switch_world.h). */
#include "tests/sim/switch_fixture.h"

#include "shared/base/banned.h"

static void stray_is_held(int port, int64_t min_slaves)
{
    w->seen_min_slaves = min_slaves;
    let_pass(1);
    assert_int_equal(fence_now()->o.run.redis[0].port, port);
    fence_ends(FENCE_GOAL_LOOK, FENCE_RELEASED);
    zk_settles(); /* its settings are written down before */
    let_pass(60);
    assert_int_equal(fence_now()->o.run.redis[0].port, port);
    assert_int_equal(fence_now()->o.saved.min_slaves, min_slaves);
    assert_true(fence_may());
    fence_ends(FENCE_GOAL_HOLD, FENCE_HELD);
}

static void tell_stray(int port)
{
    struct addr redis = addr_of("10.0.1.1", port);
    shard_switch_stray(w->all, CLUSTER_ID, SHARD_ID, &redis);
}

static void each_stray_keeps_its_own_settings(void **state)
{
    (void)state;
    own();
    tell_stray(6379);
    tell_stray(6380);
    stray_is_held(6379, 3);
    stray_is_held(6380, 0);
    assert_int_equal(w->node.fence, FENCE_NONE); /* nobody ordered one */
    assert_int_equal(w->node.kept.count, 2);
    assert_int_equal(w->node.kept.items[0].saved.min_slaves, 3);
    assert_int_equal(w->node.kept.items[1].saved.min_slaves, 0);
    tell_stray(6379); /* it is held */
    let_pass(60);
    assert_true(list_is_empty(&w->fences));
    w->redis[0] = (struct switch_redis){ .min_slaves = FENCE_MIN_SLAVES, .follows = true };
    w->redis[1] = (struct switch_redis){ .min_slaves = FENCE_MIN_SLAVES };
    let_pass(5000); /* one follows, one does not */
    assert_int_equal(w->redis[0].min_slaves, 3);
    assert_int_equal(w->redis[1].changes, 0);
    zk_settles();
    assert_int_equal(w->node.kept.count, 1);
    w->redis[1].follows = true;
    let_pass(15000);
    assert_int_equal(w->redis[1].min_slaves, 0);
    zk_settles();
    assert_int_equal(w->node.kept.count, 0);
}

/* Held by a step, or by an isolation; then another DC was promoted, and it is told of as a stray. */
static void who_is_held_already_keeps_what_it_had(void **state)
{
    (void)state;
    w->node = (struct switch_record){ .epoch = 4,
                                      .fence = FENCE_HELD,
                                      .master = addr_of("10.0.1.1", 6379),
                                      .saved = { .is_known = true,
                                                 .min_slaves = 1,
                                                 .max_lag_s = 7,
                                                 .was_writable_replica = true },
                                      .version = 0 };
    w->redis[0] = (struct switch_redis){ .min_slaves = FENCE_MIN_SLAVES, .is_read_only = true };
    w->redis[1] = (struct switch_redis){ .is_read_only = true, .follows = true };
    own();
    tell_stray(6379);
    let_pass(60);
    w->seen_min_slaves = -1; /* the fence's own */
    fence_ends(FENCE_GOAL_LOOK, FENCE_HELD);
    zk_settles();
    assert_int_equal(w->node.kept.items[0].saved.min_slaves, 1);
    assert_int_equal(w->node.kept.items[0].saved.max_lag_s, 7);
    let_pass(60);
    assert_int_equal(fence_now()->o.saved.min_slaves, 1);
    fence_ends(FENCE_GOAL_HOLD, FENCE_HELD);
    w->redis[0].follows = true;
    let_pass(15000);
    assert_int_equal(w->redis[0].min_slaves, 1);
    assert_false(w->redis[0].is_read_only);
    zk_settles();
    assert_int_equal(w->node.fence, FENCE_NONE);
    assert_int_equal(w->node.kept.count, 0);
}

/* What the fence overwrote of the old master, once it follows; nothing before a step says that it may. */
static void settings_come_back_with_the_follow(void **state)
{
    (void)state;
    w->node = (struct switch_record){ .epoch = 4,
                                      .fence = FENCE_FROZEN,
                                      .master = addr_of("10.0.1.1", 6379),
                                      .saved = { .is_known = true,
                                                 .min_slaves = 2,
                                                 .max_lag_s = 7,
                                                 .was_writable_replica = true },
                                      .version = 0 };
    w->redis[0] = (struct switch_redis){ .min_slaves = FENCE_MIN_SLAVES,
                                         .is_read_only = true,
                                         .follows = true };
    w->redis[1] = (struct switch_redis){ .is_read_only = true, .follows = true };
    switch_world_document("fra", "Migrating", 2);
    own();
    let_pass(60);
    fence_ends(FENCE_GOAL_FREEZE, FENCE_NONE); /* the fence, as long as it is in force */
    let_pass(200);
    assert_int_equal(w->redis[0].changes, 0);
    ask(SWITCH_FOLLOW, 4);
    let_pass(4000 + 100);
    let_pass(1000);
    zk_settles();
    assert_int_equal(w->redis[0].min_slaves, 2);
    assert_false(w->redis[0].is_read_only);
    assert_true(w->redis[1].is_read_only); /* its own, and nobody changed it */
    assert_int_equal(w->node.fence, FENCE_NONE);
    assert_false(w->node.saved.is_known);
}

static void the_next_migration_stops_the_settling(void **state)
{
    (void)state;
    w->node = (struct switch_record){ .epoch = 4, .version = 0 };
    w->node.kept.items[w->node.kept.count++] =
        (struct switch_kept){ .redis = addr_of("10.0.1.1", 6379),
                              .saved = { .is_known = true, .max_lag_s = 10 } };
    w->redis[0] = (struct switch_redis){ .min_slaves = FENCE_MIN_SLAVES };
    own();
    let_pass(1500);
    metadata_says("fra", "Migrating", 2);
    w->redis[0].follows = true;
    let_pass(20000);
    assert_int_equal(w->redis[0].changes, 0);
    metadata_says("fra", "Normal", 3);
    let_pass(100);
    assert_int_equal(w->redis[0].min_slaves, 0);
}

static void a_cluster_under_migration_has_no_strays(void **state)
{
    (void)state;
    own();
    tell_stray(6379);
    let_pass(1);
    fence_ends(FENCE_GOAL_LOOK, FENCE_RELEASED);
    zk_settles();
    let_pass(60);
    assert_true(fence_may());
    metadata_says("fra", "Migrating", 2); /* in the middle of the hold */
    assert_false(fence_may());
    fence_ends(FENCE_GOAL_HOLD, FENCE_NONE);
    tell_stray(6379);
    let_pass(5000);
    assert_true(list_is_empty(&w->fences));
    ask(SWITCH_FOLLOW, 5); /* the switch's own step */
    zk_settles();
    tell_stray(6379);
    let_pass(60);
    assert_true(fence_may());
    fence_ends(FENCE_GOAL_HOLD, FENCE_HELD);
}

/* Told of, and the lock comes before anybody has looked. */
static void the_stray_of_before_a_migration_is_left_alone(void **state)
{
    (void)state;
    gain();
    zk_settles();
    tell_stray(6380);
    metadata_says("fra", "Migrating", 2);
    let_pass(5000);
    assert_int_equal(w->started, 0);
    metadata_says("fra", "Normal", 3);
    let_pass(1);
    assert_int_equal(fence_now()->o.goal, FENCE_GOAL_LOOK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(open_backup, each_stray_keeps_its_own_settings),
        TEST(open_backup, who_is_held_already_keeps_what_it_had),
        TEST(open_backup, settings_come_back_with_the_follow),
        TEST(open_backup, the_next_migration_stops_the_settling),
        TEST(open_backup, a_cluster_under_migration_has_no_strays),
        TEST(open_backup, the_stray_of_before_a_migration_is_left_alone),
    };
    return cmocka_run_group_tests_name("switch_strays", tests, NULL, NULL);
}
