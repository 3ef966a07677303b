/* switch_isolation_sim.c - a primary DC that does not hear the console stops its writes, and takes them again when the console says so
 * (fake_switch_world.h; rules K17, K20, K25). */
#include "tests/sim/switch_fixture.h"

#include "shared/base/banned.h"

enum { SILENCE_MS = 3000, LOOK_MS = 250, BUSY_MS = 50, AGAIN_MS = 1000 };

static int refreshes;
static int questions; /* to the other members */

static void count_refresh(void *arg)
{
    (void)arg;
    refreshes++;
}

static void count_question(void *arg)
{
    (void)arg;
    questions++;
}

static void begin(void)
{
    refreshes = questions = 0;
    w->all->opt.refresh = count_refresh;
    w->all->opt.ask_others = count_question;
    shard_switches_set_isolation(w->all, SILENCE_MS);
    own();
}

static void hear(void)
{
    shard_switches_heard(w->all, clock_mono_ms());
}

/* A document that was asked for now, and is as the last one. */
static void confirm(void)
{
    hear();
    dc_store_confirm(w->store, clock_mono_ms());
}

/* Only the fence is looked after, and stands. */
static void held_for(int64_t ms)
{
    mono_ms end = clock_mono_ms() + ms;
    int runs = 0;
    while (clock_mono_ms() < end) {
        let_pass(100);
        if (!list_is_empty(&w->fences)) {
            fence_ends(FENCE_GOAL_HOLD, FENCE_HELD);
            runs++;
        }
        zk_settles();
    }
    assert_true(runs >= ms / AGAIN_MS - 1);
    assert_int_equal(w->node.fence, FENCE_HELD);
}

/* Long enough: that the master shall be held is written down. */
static void silence_counts(void)
{
    let_pass(SILENCE_MS + LOOK_MS);
    zk_settles();
    assert_true(w->node.is_isolation);
}

/* Its settings are seen and written down, then it is held. */
static void master_is_held(void)
{
    fence_ends(FENCE_GOAL_LOOK, FENCE_RELEASED);
    zk_settles();
    let_pass(BUSY_MS);
    fence_ends(FENCE_GOAL_HOLD, FENCE_HELD);
    zk_settles();
    assert_int_equal(w->node.fence, FENCE_HELD);
}

static void silence_holds(void)
{
    silence_counts();
    let_pass(BUSY_MS);
    master_is_held();
    assert_true(w->node.is_isolation);
}

static void held_by_isolation(void)
{
    begin();
    silence_holds();
}

/* The console is heard again, and has said nothing yet. */
static void held_and_heard(void)
{
    held_by_isolation();
    hear();
}

static void held_and_asked(enum switch_step step, int64_t epoch)
{
    held_and_heard();
    ask(step, epoch);
    zk_settles();
}

static void nothing_for(int64_t ms)
{
    let_pass(ms);
    zk_settles();
    assert_true(list_is_empty(&w->fences));
    assert_int_equal(w->node.fence, FENCE_NONE);
}

static void releases(void)
{
    let_pass(AGAIN_MS + BUSY_MS);
    assert_true(addr_is_none(&fence_now()->o.hint)); /* whoever is the master by now */
    assert_int_equal(fence_now()->o.saved.min_slaves, 1);
    assert_true(addr_eq(&fence_now()->o.saved_of, &w->node.master));
    assert_true(fence_may());
    fence_ends(FENCE_GOAL_RELEASE, FENCE_RELEASED);
    zk_settles();
    assert_int_equal(w->node.fence, FENCE_NONE);
    assert_false(w->node.is_isolation);
    assert_false(w->node.saved.is_known);
    assert_int_equal(stance(), STANCE_NONE);
}

/* ---- the hold ---- */

static void an_isolated_dc_stops_its_writes(void **state)
{
    (void)state;
    begin();
    nothing_for(SILENCE_MS - 100);
    let_pass(100 + LOOK_MS);
    assert_int_equal(w->started, 0); /* the record first */
    assert_true(w->asked.is_put && w->asked.record.is_isolation);
    assert_int_equal(w->asked.record.fence, FENCE_HELD);
    assert_int_equal(stance(), STANCE_FENCED);
    zk_settles();
    let_pass(BUSY_MS);
    fence_ends(FENCE_GOAL_LOOK, FENCE_RELEASED);
    let_pass(1000);
    assert_int_equal(w->started, 1); /* the settings second */
    zk_settles();
    assert_int_equal(w->node.saved.min_slaves, 1);
    let_pass(BUSY_MS);
    assert_true(fence_may());
    fence_ends(FENCE_GOAL_HOLD, FENCE_HELD);
    zk_settles();
    assert_int_equal(metric_value(&switch_fences), 1);
    held_for(20000);
    assert_true(w->node.is_isolation);
    assert_int_equal(stance(), STANCE_FENCED);
}

static void a_console_that_is_heard_stops_nobody(void **state)
{
    (void)state;
    begin();
    for (int i = 0; i < 10; i++) {
        nothing_for(SILENCE_MS - LOOK_MS);
        hear();
    }
    assert_int_equal(refreshes, 0);
}

/* From half of the time on, once a second; what they heard counts from then. */
static void another_member_hears_it(void **state)
{
    (void)state;
    begin();
    nothing_for(SILENCE_MS / 2 - LOOK_MS);
    assert_int_equal(questions, 0);
    nothing_for(2 * LOOK_MS);
    assert_int_equal(questions, 1);
    shard_switches_heard(w->all, clock_mono_ms() - 1000);
    nothing_for(SILENCE_MS - 1000 - LOOK_MS);
    assert_in_range(questions, 2, 3);
    shard_switches_heard(w->all, clock_mono_ms() - 100000); /* news of long ago */
    let_pass(2 * LOOK_MS);
    zk_settles();
    assert_true(w->node.is_isolation);
    assert_int_equal(refreshes, 0);
    shard_switches_heard(w->all, clock_mono_ms() - 100);
    assert_int_equal(refreshes, 1);
    assert_int_equal(stance(), STANCE_FENCED); /* heard, not confirmed */
}

/* Nobody asked the console so often until then. */
static void it_is_switched_on_while_it_runs(void **state)
{
    (void)state;
    gain();
    zk_settles();
    nothing_for(100000);
    begin();
    nothing_for(SILENCE_MS - LOOK_MS);
    hear();
    shard_switches_set_isolation(w->all, 10 * SILENCE_MS);
    nothing_for(5 * SILENCE_MS);
    shard_switches_set_isolation(w->all, SILENCE_MS);
    nothing_for(SILENCE_MS - LOOK_MS);
    let_pass(2 * LOOK_MS);
    zk_settles();
    assert_true(w->node.is_isolation);
}

/* A member that is restarted tells nobody that it had heard something. */
static void who_has_heard_nothing_says_so(void **state)
{
    (void)state;
    json_t *heard = shard_switches_heard_json(w->all);
    assert_true(json_is_null(json_object_get(heard, "heardMsAgo")));
    json_decref(heard);
    hear();
    let_pass(700);
    heard = shard_switches_heard_json(w->all);
    assert_int_equal(json_integer_value(json_object_get(heard, "heardMsAgo")), 700);
    json_decref(heard);
}

static void it_is_off_by_default(void **state)
{
    (void)state;
    own();
    nothing_for(100000);
}

static void a_backup_dc_has_nothing_to_stop(void **state)
{
    (void)state;
    begin();
    nothing_for(20000);
    metadata_says("fra", "Migrating", 2);
    nothing_for(5000);
}

static void a_shard_that_comes_later_is_held_too(void **state)
{
    (void)state;
    shard_switches_set_isolation(w->all, SILENCE_MS);
    let_pass(20000);
    own();
    let_pass(1);
    zk_settles();
    assert_true(w->node.is_isolation);
    let_pass(BUSY_MS);
    master_is_held();
}

/* Whoever returns is held: the record says so already. */
static void a_master_that_is_silent_is_looked_for(void **state)
{
    (void)state;
    begin();
    silence_counts();
    let_pass(BUSY_MS);
    for (int i = 0; i < 3; i++) {
        fence_ends(FENCE_GOAL_LOOK, FENCE_UNREACHABLE);
        let_pass(100);
        assert_false(w->node.saved.is_known);
    }
    master_is_held();
}

/* It hangs, and a replica names it: what it had is not known, and no defaults are written down for it. */
static void a_master_that_hangs_is_looked_at_again(void **state)
{
    (void)state;
    begin();
    silence_counts();
    let_pass(BUSY_MS);
    w->seen_min_slaves = -1;
    for (int i = 0; i < 3; i++) {
        fence_ends(FENCE_GOAL_LOOK, FENCE_NONE);
        let_pass(100);
        zk_settles();
        assert_false(w->node.saved.is_known);
    }
    w->seen_min_slaves = 2;
    fence_ends(FENCE_GOAL_LOOK, FENCE_RELEASED);
    zk_settles();
    assert_int_equal(w->node.saved.min_slaves, 2);
    let_pass(BUSY_MS);
    fence_ends(FENCE_GOAL_HOLD, FENCE_HELD);
}

static void without_its_record_nobody_is_held(void **state)
{
    (void)state;
    begin();
    let_pass(SILENCE_MS + LOOK_MS);
    for (int i = 0; i < 10; i++) {
        switch_world_zk_answers(XP_UNAVAILABLE);
        let_pass(500);
        assert_int_equal(w->started, 0);
    }
    lose(); /* the lease is over */
    let_pass(5000);
    assert_int_equal(w->started, 0);
}

static void a_pause_is_no_silence(void **state)
{
    (void)state;
    begin();
    let_pass(1000);
    fake_loop_freeze(w->loop, 30000);
    let_pass(30000);
    nothing_for(SILENCE_MS - LOOK_MS);
    hear();
    nothing_for(SILENCE_MS - LOOK_MS);
    let_pass(2 * LOOK_MS);
    zk_settles();
    assert_true(w->node.is_isolation);
}

/* ---- the end ---- */

static void the_console_confirms_and_writes_are_taken_again(void **state)
{
    (void)state;
    held_and_heard();
    assert_int_equal(refreshes, 1);
    held_for(2000); /* a push says nothing of who is primary by now */
    metadata_says("jq", "Normal", 2);
    held_for(2000); /* perhaps it was sent before */
    confirm();
    releases();
    nothing_for(SILENCE_MS - AGAIN_MS - LOOK_MS);
    let_pass(AGAIN_MS + LOOK_MS); /* and gone again */
    zk_settles();
    assert_true(w->node.is_isolation);
}

/* Its answer is from before the last silence. */
static void an_old_document_confirms_nothing(void **state)
{
    (void)state;
    held_by_isolation();
    dc_store_confirm(w->store, clock_mono_ms() - SILENCE_MS - LOOK_MS);
    held_for(2000);
    hear();
    held_for(2000);
    dc_store_confirm(w->store, clock_mono_ms() - 2500);
    held_for(2000);
    confirm();
    releases();
}

/* Another member heard the console last before ours did, and says so again and again. */
static void a_pause_ends_no_isolation(void **state)
{
    (void)state;
    begin();
    let_pass(1000);
    mono_ms before = clock_mono_ms() - 200;
    confirm();
    silence_holds();
    fake_loop_freeze(w->loop, SILENCE_MS);
    let_pass(SILENCE_MS);
    for (int i = 0; i < 5; i++) {
        shard_switches_heard(w->all, before);
        held_for(1000);
    }
    assert_int_equal(refreshes, 0);
    assert_true(w->node.is_isolation);
    confirm();
    releases();
}

/* It was heard before the isolation began, and not too long ago: what is known from before that confirms nothing. */
static void late_news_of_another_member_confirm_nothing(void **state)
{
    (void)state;
    held_by_isolation();
    mono_ms at = clock_mono_ms() - 1000;
    assert_true(at < w->all->isolated_at);
    shard_switches_heard(w->all, at);
    assert_int_equal(refreshes, 1);
    dc_store_confirm(w->store, at);
    held_for(SILENCE_MS - 1500);
    confirm();
    releases();
}

static void a_release_that_fails_is_tried_again(void **state)
{
    (void)state;
    held_by_isolation();
    confirm();
    let_pass(AGAIN_MS);
    fence_ends(FENCE_GOAL_RELEASE, FENCE_NONE);
    assert_int_equal(w->node.fence, FENCE_HELD);
    releases();
}

/* The console says that it is heard, and is gone before anything is sent. */
static void a_release_under_way_ends_with_the_next_silence(void **state)
{
    (void)state;
    held_by_isolation();
    confirm();
    let_pass(AGAIN_MS);
    assert_true(fence_may());
    let_pass(SILENCE_MS);
    assert_false(fence_may());
    fence_ends(FENCE_GOAL_RELEASE, FENCE_NONE);
    held_for(3000);
}

static void another_dc_was_promoted(void **state)
{
    (void)state;
    held_by_isolation();
    w->redis[0].min_slaves = FENCE_MIN_SLAVES;
    metadata_says("fra", "Normal", 2);
    confirm();
    let_pass(5000);
    /* neither asserted nor released: the tree makes it follow */
    assert_true(list_is_empty(&w->fences));
    assert_int_equal(w->redis[0].min_slaves, FENCE_MIN_SLAVES);
    w->redis[0].follows = w->redis[1].follows = true;
    let_pass(20000);
    zk_settles();
    assert_int_equal(w->redis[0].min_slaves, 1);
    assert_int_equal(w->node.fence, FENCE_NONE);
    assert_false(w->node.is_isolation);
}

static void a_migration_is_waited_for(void **state)
{
    (void)state;
    held_by_isolation();
    metadata_says("jq", "Migrating", 2);
    confirm();
    held_for(5000);
    metadata_says("jq", "Normal", 3); /* rolled back, and we were never asked */
    confirm();
    releases();
}

static void a_cluster_under_migration_is_held_too(void **state)
{
    (void)state;
    begin();
    metadata_says("jq", "Migrating", 2);
    silence_holds();
    held_for(5000);
    hear();
    metadata_says("jq", "Normal", 3); /* K15 has no say here */
    held_for(5000);
}

static void it_is_switched_off(void **state)
{
    (void)state;
    held_by_isolation();
    shard_switches_set_isolation(w->all, 0);
    held_for(5000);
    confirm();
    releases();
    nothing_for(100000);
}

/* ---- sentinels make another one the master meanwhile ---- */

enum { SECOND_PORT = FIRST_PORT + 1, OWN = 3 };

/* It had settings of its own; nobody has asked for them before. */
static void the_second_is_master(void)
{
    w->master_port = SECOND_PORT;
    w->is_seen[0] = false;
    w->is_seen[1] = true;
    w->own[1] = OWN;
    w->redis[0] = (struct switch_redis){ .follows = true, .min_slaves = FENCE_MIN_SLAVES };
    let_pass(AGAIN_MS);
    fence_ends(FENCE_GOAL_HOLD, FENCE_HELD);
    zk_settles();
    w->own[1] = FENCE_MIN_SLAVES; /* as it reads from now on */
}

/* The hold is the second one's; the first gets its settings when it follows, without any news. */
static void the_next_master_gets_its_own_settings_back(void **state)
{
    (void)state;
    held_by_isolation();
    w->is_seen[0] = true;
    held_for(2000);
    the_second_is_master();
    assert_int_equal(w->node.master.port, SECOND_PORT);
    assert_int_equal(w->node.saved.min_slaves, OWN);
    assert_int_equal(w->node.kept.count, 1);
    assert_int_equal(w->node.kept.items[0].saved.min_slaves, 1);
    held_for(2000);
    assert_int_equal(w->node.saved.min_slaves, OWN);
    confirm();
    let_pass(AGAIN_MS + BUSY_MS);
    assert_int_equal(fence_now()->o.saved.min_slaves, OWN);
    fence_ends(FENCE_GOAL_RELEASE, FENCE_RELEASED);
    zk_settles();
    assert_int_equal(w->node.kept.count, 1);
    hear();
    let_pass(AGAIN_MS + 500);
    zk_settles();
    assert_int_equal(w->redis[0].min_slaves, 1);
    assert_int_equal(w->node.kept.count, 0);
}

/* And back again: what it had the first time counts, not the fence's values. */
static void the_first_is_master_again(void **state)
{
    (void)state;
    held_by_isolation();
    the_second_is_master();
    w->master_port = FIRST_PORT;
    w->is_seen[1] = false;
    w->is_seen[0] = true;
    w->own[0] = FENCE_MIN_SLAVES;
    let_pass(AGAIN_MS);
    fence_ends(FENCE_GOAL_HOLD, FENCE_HELD);
    zk_settles();
    assert_int_equal(w->node.master.port, FIRST_PORT);
    assert_int_equal(w->node.saved.min_slaves, 1);
    assert_int_equal(w->node.kept.count, 1);
    assert_int_equal(w->node.kept.items[0].redis.port, SECOND_PORT);
    assert_int_equal(w->node.kept.items[0].saved.min_slaves, OWN);
}

/* Both are masters: the hold stays whose it is. */
static void a_second_master_beside_it_changes_nothing(void **state)
{
    (void)state;
    held_by_isolation();
    w->is_seen[0] = w->is_seen[1] = true;
    w->own[0] = w->own[1] = FENCE_MIN_SLAVES;
    w->master_port = SECOND_PORT;
    held_for(3000);
    assert_int_equal(w->node.master.port, FIRST_PORT);
    assert_int_equal(w->node.saved.min_slaves, 1);
}

/* A step is asked for by who does not know whom we hold. */
static void a_step_releases_whoever_is_the_master(void **state)
{
    (void)state;
    held_by_isolation();
    hear();
    ask(SWITCH_RELEASE, 5);
    zk_settles();
    assert_true(addr_is_none(&fence_now()->o.hint));
    w->master_port = SECOND_PORT;
    w->redis[0] = (struct switch_redis){ .follows = true, .min_slaves = FENCE_MIN_SLAVES };
    fence_ends(FENCE_GOAL_RELEASE, FENCE_RELEASED);
    zk_settles();
    assert_int_equal(w->node.kept.count, 1);
    hear();
    let_pass(AGAIN_MS + 500);
    zk_settles();
    assert_int_equal(w->redis[0].min_slaves, 1);
    assert_int_equal(w->node.kept.count, 0);
}

/* ---- steps ---- */

static void a_hold_takes_it_over(void **state)
{
    (void)state;
    held_and_asked(SWITCH_HOLD, 5);
    fence_ends(FENCE_GOAL_HOLD, FENCE_HELD); /* the settings are known */
    zk_settles();
    assert_false(w->node.is_isolation);
    assert_int_equal(w->node.epoch, 5);
    assert_int_equal(w->node.saved.min_slaves, 1);
    confirm();
    held_for(5000);
    ask(SWITCH_RELEASE, 5);
    zk_settles();
    fence_ends(FENCE_GOAL_RELEASE, FENCE_RELEASED);
    zk_settles();
    assert_int_equal(w->node.fence, FENCE_NONE);
}

static void a_hold_that_was_not_carried_out_leaves_it(void **state)
{
    (void)state;
    held_and_heard();
    ask(SWITCH_HOLD, 5);
    let_pass(FENCE_MS); /* ZooKeeper does not answer */
    assert_int_equal(last()->rc, XP_TIMEOUT);
    zk_settles();
    zk_settles();
    let_pass(2000);
    zk_settles();
    assert_true(w->node.is_isolation);
    assert_int_equal(w->node.fence, FENCE_HELD);
}

static void a_hold_that_comes_while_it_is_written_down(void **state)
{
    (void)state;
    begin();
    let_pass(SILENCE_MS + LOOK_MS);
    hear();
    ask(SWITCH_HOLD, 5);
    zk_settles();
    fence_ends(FENCE_GOAL_LOOK, FENCE_RELEASED);
    zk_settles();
    fence_ends(FENCE_GOAL_HOLD, FENCE_HELD);
    zk_settles();
    assert_false(w->node.is_isolation);
    assert_int_equal(w->node.saved.min_slaves, 1);
}

static void a_release_ends_it(void **state)
{
    (void)state;
    held_and_asked(SWITCH_RELEASE, 0);
    fence_ends(FENCE_GOAL_RELEASE, FENCE_RELEASED);
    assert_int_equal(last()->fence, FENCE_RELEASED);
    nothing_for(SILENCE_MS - LOOK_MS);
    assert_false(w->node.is_isolation);
}

/* Nothing was sent: the master is held, and who ends that is the console. */
static void a_release_that_sent_nothing_leaves_it(void **state)
{
    (void)state;
    held_and_heard();
    ask(SWITCH_RELEASE, 5);
    let_pass(FENCE_MS); /* ZooKeeper does not answer */
    assert_int_equal(last()->rc, XP_TIMEOUT);
    zk_settles();
    zk_settles();
    held_for(2000);
    assert_true(w->node.is_isolation);
    confirm();
    releases();
}

/* It hangs, or nobody answers: it is held as before, and who ends that is the console. */
static void a_release_that_fails_leaves_it(enum fence_state state)
{
    held_and_asked(SWITCH_RELEASE, 5);
    assert_int_equal(w->node.fence, FENCE_NONE);
    assert_true(addr_eq(&fence_now()->o.saved_of, &w->node.master));
    fence_ends(FENCE_GOAL_RELEASE, state);
    assert_int_equal(last()->fence, state);
    zk_settles();
    assert_int_equal(w->node.epoch, 5);
    assert_true(w->node.is_isolation);
    assert_int_equal(w->node.saved.min_slaves, 1);
    held_for(2000);
    confirm();
    releases();
}

static void a_release_of_one_that_hangs_leaves_it(void **state)
{
    (void)state;
    a_release_that_fails_leaves_it(FENCE_NONE);
}

static void a_release_that_reaches_nobody_leaves_it(void **state)
{
    (void)state;
    a_release_that_fails_leaves_it(FENCE_UNREACHABLE);
}

/* A step's own: it may be released by another way, which must not find it asserted again. */
static void a_release_of_a_steps_hold_that_fails_leaves_nothing(void **state)
{
    (void)state;
    held_and_asked(SWITCH_HOLD, 5);
    fence_ends(FENCE_GOAL_HOLD, FENCE_HELD);
    zk_settles();
    ask(SWITCH_RELEASE, 5);
    zk_settles();
    fence_ends(FENCE_GOAL_RELEASE, FENCE_NONE);
    zk_settles();
    nothing_for(SILENCE_MS - LOOK_MS);
}

static void a_promotion_ends_it(void **state)
{
    (void)state;
    held_and_heard();
    begin_promotion(5);
    promotion_ends(PROMOTE_OK, 6379);
    fence_ends(FENCE_GOAL_RELEASE, FENCE_RELEASED);
    assert_true(last()->is_success);
    zk_settles();
    assert_int_equal(w->node.fence, FENCE_NONE);
    assert_false(w->node.is_isolation);
}

/* ---- the next owner ---- */

static void held_before(void)
{
    w->node = (struct switch_record){ .fence = FENCE_HELD,
                                      .is_isolation = true,
                                      .master = addr_of("10.0.1.1", 6379),
                                      .saved = { .is_known = true, .min_slaves = 1 },
                                      .version = 3 };
}

static void the_next_owner_asks_the_console_first(void **state)
{
    (void)state;
    held_before();
    dc_store_confirm(w->store, clock_mono_ms());
    let_pass(100);
    begin();
    assert_int_equal(refreshes, 1);
    held_for(2500); /* what it knew before it read the record does not count */
    confirm();
    releases();
}

static void the_next_owner_is_isolated_as_well(void **state)
{
    (void)state;
    held_before();
    begin();
    held_for(20000);
    assert_true(w->node.is_isolation);
}

static void the_next_owner_does_not_isolate(void **state)
{
    (void)state;
    held_before();
    own();
    held_for(20000);
    confirm();
    releases();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(open_primary, an_isolated_dc_stops_its_writes),
        TEST(open_primary, a_console_that_is_heard_stops_nobody),
        TEST(open_primary, another_member_hears_it),
        TEST(open_primary, it_is_switched_on_while_it_runs),
        TEST(open_primary, who_has_heard_nothing_says_so),
        TEST(open_primary, it_is_off_by_default),
        TEST(open_backup, a_backup_dc_has_nothing_to_stop),
        TEST(open_primary, a_shard_that_comes_later_is_held_too),
        TEST(open_primary, a_master_that_is_silent_is_looked_for),
        TEST(open_primary, a_master_that_hangs_is_looked_at_again),
        TEST(open_primary, without_its_record_nobody_is_held),
        TEST(open_primary, a_pause_is_no_silence),
        TEST(open_primary, the_console_confirms_and_writes_are_taken_again),
        TEST(open_primary, an_old_document_confirms_nothing),
        TEST(open_primary, a_pause_ends_no_isolation),
        TEST(open_primary, late_news_of_another_member_confirm_nothing),
        TEST(open_primary, a_release_that_fails_is_tried_again),
        TEST(open_primary, a_release_under_way_ends_with_the_next_silence),
        TEST(open_primary, another_dc_was_promoted),
        TEST(open_primary, a_migration_is_waited_for),
        TEST(open_primary, a_cluster_under_migration_is_held_too),
        TEST(open_primary, it_is_switched_off),
        TEST(open_primary, the_next_master_gets_its_own_settings_back),
        TEST(open_primary, the_first_is_master_again),
        TEST(open_primary, a_second_master_beside_it_changes_nothing),
        TEST(open_primary, a_step_releases_whoever_is_the_master),
        TEST(open_primary, a_hold_takes_it_over),
        TEST(open_primary, a_hold_that_was_not_carried_out_leaves_it),
        TEST(open_primary, a_hold_that_comes_while_it_is_written_down),
        TEST(open_primary, a_release_ends_it),
        TEST(open_primary, a_release_that_sent_nothing_leaves_it),
        TEST(open_primary, a_release_of_one_that_hangs_leaves_it),
        TEST(open_primary, a_release_that_reaches_nobody_leaves_it),
        TEST(open_primary, a_release_of_a_steps_hold_that_fails_leaves_nothing),
        TEST(open_primary, a_promotion_ends_it),
        TEST(open_primary, the_next_owner_asks_the_console_first),
        TEST(open_primary, the_next_owner_is_isolated_as_well),
        TEST(open_primary, the_next_owner_does_not_isolate),
    };
    return cmocka_run_group_tests_name("switch_isolation", tests, NULL, NULL);
}
