/* switch_outlived_sim.c - a fence that outlives its migration is taken off by its own metaserver (K15), and no other (fake_switch_world.h). */
#include "tests/sim/switch_fixture.h"

#include "shared/base/banned.h"

enum { DOUBT_MS = 500, AWAY_MS = 20000 };

static int refreshes;

static void count_refresh(void *arg)
{
    (void)arg;
    refreshes++;
}

/* The fence is asserted again and again meanwhile, and nothing else happens. */
static void asserted_for(int64_t ms)
{
    mono_ms end = clock_mono_ms() + ms;
    while (clock_mono_ms() < end) {
        let_pass(100);
        if (!list_is_empty(&w->fences)) {
            fence_ends(FENCE_GOAL_HOLD, FENCE_HELD);
        }
    }
}

/* Its release begins then, and not before. */
static void given_up_in(int64_t least_ms, int64_t most_ms)
{
    mono_ms begin = clock_mono_ms();
    while (list_is_empty(&w->fences) || fence_now()->o.goal != FENCE_GOAL_RELEASE) {
        if (!list_is_empty(&w->fences)) {
            fence_ends(FENCE_GOAL_HOLD, FENCE_HELD);
        }
        assert_true(clock_mono_ms() - begin <= most_ms);
        let_pass(10);
        zk_settles();
    }
    assert_true(clock_mono_ms() - begin >= least_ms);
}

static void release_ends(void)
{
    fence_ends(FENCE_GOAL_RELEASE, FENCE_RELEASED);
    zk_settles();
    assert_int_equal(w->node.fence, FENCE_NONE);
}

static void held_in_a_migration(void)
{
    own();
    metadata_says("jq", "Migrating", 2);
    begin_hold(5);
    fence_ends(FENCE_GOAL_HOLD, FENCE_HELD);
    zk_settles();
    assert_int_equal(w->node.migrating_version, 2);
    asserted_for(5000);
}

static void a_fence_that_outlives_its_migration(void **state)
{
    (void)state;
    held_in_a_migration();
    metadata_says("jq", "Rollback", 3);
    asserted_for(5000);
    metadata_says("jq", "Normal", 4); /* rolled back, and nobody has asked us to release */
    given_up_in(1900, 2200);
    assert_int_equal(stance(), STANCE_FENCED);
    assert_true(fence_may());
    fence_ends(FENCE_GOAL_RELEASE, FENCE_NONE); /* it hangs */
    let_pass(1100);
    assert_int_equal(fence_now()->o.saved.min_slaves, 1);
    assert_true(addr_eq(&fence_now()->o.hint, &w->node.master));
    release_ends();
    assert_false(w->node.saved.is_known);
    assert_int_equal(w->node.migrating_version, 0);
    assert_int_equal(stance(), STANCE_NONE);
    let_pass(10000);
    assert_true(list_is_empty(&w->fences));
}

static void a_fence_nobody_calls_a_migration_stays(void **state)
{
    (void)state;
    own();
    begin_hold(5); /* a Java console, or its lock is not known here yet */
    fence_ends(FENCE_GOAL_HOLD, FENCE_HELD);
    zk_settles();
    metadata_says("jq", "Normal", 3);
    asserted_for(10000);
    assert_int_equal(w->node.fence, FENCE_HELD);
}

static void the_fence_of_the_next_migration_stays(void **state)
{
    (void)state;
    held_in_a_migration();
    metadata_says("jq", "Normal", 3);
    asserted_for(1000);
    ask(SWITCH_HOLD, 5); /* its lock is not known here yet */
    zk_settles();
    fence_ends(FENCE_GOAL_HOLD, FENCE_HELD);
    zk_settles();
    asserted_for(10000);
    metadata_says("jq", "Migrating", 4);
    asserted_for(5000);
    metadata_says("jq", "Normal", 5);
    given_up_in(1900, 2200);
    release_ends();
}

static void a_hold_comes_behind_a_release_under_way(void **state)
{
    (void)state;
    held_in_a_migration();
    metadata_says("jq", "Normal", 3);
    given_up_in(1900, 2200);
    assert_true(fence_may()); /* it commands */
    ask(SWITCH_HOLD, 5);
    zk_settles();
    assert_int_equal(fence_now()->o.goal, FENCE_GOAL_RELEASE);
    assert_false(fence_may());
    fence_ends(FENCE_GOAL_RELEASE, FENCE_RELEASED);
    zk_settles();
    fence_ends(FENCE_GOAL_LOOK, FENCE_RELEASED);
    zk_settles();
    fence_ends(FENCE_GOAL_HOLD, FENCE_HELD);
    zk_settles();
    assert_int_equal(w->node.fence, FENCE_HELD);
    asserted_for(5000);
}

/* ---- the console has answered ---- */

static void an_answer_of_after_the_order_is_enough(void **state)
{
    (void)state;
    held_in_a_migration();
    refreshes = 0;
    w->all->opt.refresh = count_refresh;
    dc_store_confirm(w->store, clock_mono_ms());
    metadata_says("jq", "Normal", 3);
    given_up_in(0, 10);
    release_ends();
    let_pass(10000);
    assert_true(list_is_empty(&w->fences));
}

/* It says what was so before the fence was ordered; a push of now is no answer. Who knows is asked once. */
static void an_answer_of_before_the_order_is_not(void **state)
{
    (void)state;
    dc_store_confirm(w->store, clock_mono_ms());
    let_pass(1);
    held_in_a_migration();
    refreshes = 0;
    w->all->opt.refresh = count_refresh;
    metadata_says("jq", "Normal", 3);
    asserted_for(1000);
    assert_int_equal(refreshes, 1);
    assert_int_equal(w->node.fence, FENCE_HELD);
    dc_store_confirm(w->store, clock_mono_ms()); /* not modified */
    given_up_in(0, 150);
    release_ends();
}

/* The hold of the next migration comes before the news of the one before it, which it takes for its own. */
static void an_answer_of_before_the_next_order_is_not(void **state)
{
    (void)state;
    held_in_a_migration();
    dc_store_confirm(w->store, clock_mono_ms());
    let_pass(1);
    ask(SWITCH_HOLD, 6);
    zk_settles();
    fence_ends(FENCE_GOAL_HOLD, FENCE_HELD);
    zk_settles();
    metadata_says("jq", "Normal", 3);
    asserted_for(1800);
    metadata_says("jq", "Migrating", 4);
    asserted_for(5000);
    assert_int_equal(w->node.fence, FENCE_HELD);
}

/* Whom nobody answered was to be held all the same: the news of the migration before end nothing. */
static void a_hold_that_reached_nobody_is_of_its_own_migration(void **state)
{
    (void)state;
    w->node = (struct switch_record){ .epoch = 4, .migrating_version = 2, .version = 3 };
    own();
    dc_store_confirm(w->store, clock_mono_ms());
    metadata_says("jq", "Normal", 3);
    ask(SWITCH_HOLD, 5); /* its lock is not known here yet */
    w->seen_min_slaves = -1;
    fence_ends(FENCE_GOAL_LOOK, FENCE_UNREACHABLE);
    zk_settles();
    assert_int_equal(w->node.fence, FENCE_HELD);
    w->seen_min_slaves = 1;
    let_pass(150);
    fence_ends(FENCE_GOAL_LOOK, FENCE_RELEASED); /* it comes back */
    zk_settles();
    asserted_for(5000);
    assert_int_equal(w->node.fence, FENCE_HELD);
}

/* ---- whoever comes back, or has the shard next ---- */

static void held_by_another(int migrating_version, int64_t ago_ms)
{
    refreshes = 0;
    w->all->opt.refresh = count_refresh;
    w->node = (struct switch_record){ .epoch = 5,
                                      .fence = FENCE_HELD,
                                      .master = addr_of("10.0.1.1", 6379),
                                      .saved = { .is_known = true, .min_slaves = 1 },
                                      .migrating_version = migrating_version,
                                      .at = clock_wall_ms() - ago_ms,
                                      .version = 3 };
}

/* Shortly before now. */
static void console_answered(const char *status, int version)
{
    metadata_says("jq", status, version);
    dc_store_confirm(w->store, clock_mono_ms());
    let_pass(1);
}

/* It was released around us: nobody who writes is stopped again. */
static void who_comes_back_asks_first(void **state)
{
    (void)state;
    held_by_another(2, AWAY_MS);
    console_answered("Normal", 3);
    own();
    assert_int_equal(refreshes, 2); /* and it is over, as it seems */
    let_pass(DOUBT_MS - 100);
    assert_int_equal(w->started, 0);
    assert_int_equal(stance(), STANCE_FENCED);
    dc_store_confirm(w->store, clock_mono_ms());
    let_pass(60);
    fence_ends(FENCE_GOAL_RELEASE, FENCE_RELEASED);
    zk_settles();
    assert_int_equal(w->started, 1);
    assert_int_equal(w->node.fence, FENCE_NONE);
}

static void who_comes_back_and_is_not_answered_fences(void **state)
{
    (void)state;
    held_by_another(2, AWAY_MS);
    console_answered("Normal", 3);
    own();
    let_pass(DOUBT_MS + 60);
    assert_int_equal(w->started, 1);
    fence_ends(FENCE_GOAL_HOLD, FENCE_HELD);
    given_up_in(1300, 1600); /* of 2 s */
    fence_ends(FENCE_GOAL_RELEASE, FENCE_RELEASED);
}

static void fences_at_once(void)
{
    own();
    let_pass(1);
    assert_int_equal(w->started, 1);
    fence_ends(FENCE_GOAL_HOLD, FENCE_HELD);
    assert_int_equal(refreshes, w->node.migrating_version == 2 ? 2 : 1);
}

/* The migration that ordered it may have begun since. */
static void what_is_known_from_before_the_record_is_no_reason_to_wait(void **state)
{
    (void)state;
    metadata_says("jq", "Normal", 3);
    dc_store_confirm(w->store, clock_mono_ms());
    let_pass(AWAY_MS);
    held_by_another(2, AWAY_MS - 500);
    fences_at_once();
}

static void what_nobody_has_confirmed_is_no_reason_to_wait(void **state)
{
    (void)state;
    held_by_another(2, AWAY_MS);
    metadata_says("jq", "Normal", 3); /* from the disk, or pushed */
    fences_at_once();
}

static void a_migration_under_way_is_no_reason_to_wait(void **state)
{
    (void)state;
    held_by_another(3, AWAY_MS);
    console_answered("Migrating", 4);
    fences_at_once();
    dc_store_confirm(w->store, clock_mono_ms());
    asserted_for(5000);
    assert_int_equal(w->node.fence, FENCE_HELD);
}

/* Of a console without versions, or by hand. */
static void a_fence_of_no_known_migration_stays_with_the_next(void **state)
{
    (void)state;
    held_by_another(0, AWAY_MS);
    console_answered("Normal", 3);
    fences_at_once();
    dc_store_confirm(w->store, clock_mono_ms());
    asserted_for(5000);
    assert_int_equal(w->node.fence, FENCE_HELD);
}

/* It was switched away: the document is not asked for, and the tree makes it follow. */
static void a_fence_of_a_switch_that_succeeded_asks_nobody(void **state)
{
    (void)state;
    w->all->opt.refresh = count_refresh;
    held_in_a_migration();
    refreshes = 0;
    metadata_says("fra", "Normal", 3);
    let_pass(5000);
    assert_int_equal(refreshes, 0);
    assert_true(list_is_empty(&w->fences));
    lose();
    own();
    assert_int_equal(refreshes, 0);
}

/* There and back at once: the check of the way back waits for the settings, and the lock of it must not revive the fence. */
static void the_next_migration_does_not_revive_it(void **state)
{
    (void)state;
    held_in_a_migration();
    metadata_says("fra", "Normal", 3);
    metadata_says("fra", "Lock", 4);
    struct keep_facts facts;
    switch_keep_facts(switch_find(w->all, CLUSTER_ID, SHARD_ID), &facts);
    assert_true(facts.is_migrating && facts.is_past && keep_may_settle(&facts));
    let_pass(5000);
    assert_true(list_is_empty(&w->fences));
    assert_true(switch_find(w->all, CLUSTER_ID, SHARD_ID)->settle_pause_ms >
                0); /* nobody follows here: tried, and tried again */
    metadata_says("jq", "Migrating", 5);
    switch_keep_facts(switch_find(w->all, CLUSTER_ID, SHARD_ID), &facts);
    assert_false(facts.is_past);
}

/* The same lock without the end in between: this DC was not told to follow, and nothing ended its fence. */
static void a_migration_that_goes_on_keeps_it(void **state)
{
    (void)state;
    held_in_a_migration();
    metadata_says("fra", "Migrating", 3);
    asserted_for(5000);
    assert_int_equal(w->node.fence, FENCE_HELD);
}

/* The next owner may find the migration over, and would not know that there was one. */
static void the_lock_that_comes_late_is_written_down(void **state)
{
    (void)state;
    own();
    begin_hold(5);
    fence_ends(FENCE_GOAL_HOLD, FENCE_HELD);
    zk_settles();
    assert_int_equal(w->node.migrating_version, 0);
    metadata_says("jq", "Migrating", 2);
    zk_settles();
    assert_int_equal(w->node.migrating_version, 2);
    int puts = w->puts;
    metadata_says("jq", "Rollback", 3);
    zk_settles();
    assert_int_equal(w->puts, puts); /* once is enough */
    lose();
    metadata_says("jq", "Normal", 4);
    let_pass(AWAY_MS);
    own();
    dc_store_confirm(w->store, clock_mono_ms());
    let_pass(60);
    fence_ends(FENCE_GOAL_RELEASE, FENCE_RELEASED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(open_primary, a_fence_that_outlives_its_migration),
        TEST(open_primary, a_fence_nobody_calls_a_migration_stays),
        TEST(open_primary, the_fence_of_the_next_migration_stays),
        TEST(open_primary, the_next_migration_does_not_revive_it),
        TEST(open_primary, a_migration_that_goes_on_keeps_it),
        TEST(open_primary, a_hold_comes_behind_a_release_under_way),
        TEST(open_primary, an_answer_of_after_the_order_is_enough),
        TEST(open_primary, an_answer_of_before_the_order_is_not),
        TEST(open_primary, an_answer_of_before_the_next_order_is_not),
        TEST(open_primary, a_hold_that_reached_nobody_is_of_its_own_migration),
        TEST(open_primary, who_comes_back_asks_first),
        TEST(open_primary, who_comes_back_and_is_not_answered_fences),
        TEST(open_primary, what_is_known_from_before_the_record_is_no_reason_to_wait),
        TEST(open_primary, what_nobody_has_confirmed_is_no_reason_to_wait),
        TEST(open_primary, a_migration_under_way_is_no_reason_to_wait),
        TEST(open_primary, a_fence_of_no_known_migration_stays_with_the_next),
        TEST(open_primary, a_fence_of_a_switch_that_succeeded_asks_nobody),
        TEST(open_primary, the_lock_that_comes_late_is_written_down),
    };
    return cmocka_run_group_tests_name("switch_outlived", tests, NULL, NULL);
}
