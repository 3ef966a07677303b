/* tree_run_sim.c - the commands to one shard of a backup DC: what is looked at again before each, what holds or stops a run, and who
 * leaves in the middle of one. */
#include "shared/base/log.h"
#include "tests/sim/tree_fixture.h"

#include "shared/base/banned.h"

/* ---- between the decision and the command ---- */

/* Seen to be wrong, and looked at once more: the answer is on its way. */
static void until_looked_at(struct tree_world *w, struct fake_replica *r)
{
    tree_world_latency(w, 400);
    tree_world_point(w, r, NULL);
    int roles = r->roles;
    for (int i = 0; i < 5000 && r->roles < roles + 2; i++) {
        tree_world_pass(w, 1);
    }
    assert_int_equal(r->roles, roles + 2); /* the poll, and the last look */
    assert_int_equal(r->commands, 0);
}

static void one_that_was_put_right_meanwhile_is_not_commanded(void **state)
{
    struct tree_world *w = *state;
    settle(w);
    tree_world_latency(w, 400);
    tree_world_point(w, &w->redis[0], NULL);
    int roles = w->redis[0].roles;
    for (int i = 0; i < 5000 && w->redis[0].roles < roles + 1; i++) {
        tree_world_pass(w, 1);
    }
    tree_world_point(w, &w->redis[0], &w->keeper[0].addr);
    tree_world_pass(w, 5000);
    assert_int_equal(tree_world_commands(w), 0);
}

static void one_that_began_a_full_synchronization_meanwhile_is_left_alone(void **state)
{
    struct tree_world *w = *state;
    struct addr elsewhere = w->redis[1].addr;
    settle(w);
    tree_world_latency(w, 400);
    w->redis[0].sync_ms = 100000;
    tree_world_point(w, &w->redis[0], &elsewhere);
    w->redis[0].linked_at = MONO_FOREVER - FAKE_LINK_MS; /* connecting */
    int roles = w->redis[0].roles;
    for (int i = 0; i < 5000 && w->redis[0].roles < roles + 1; i++) {
        tree_world_pass(w, 1);
    }
    w->redis[0].linked_at = clock_mono_ms() - FAKE_LINK_MS;
    w->redis[0].sync_until = clock_mono_ms() + 100000;
    tree_world_pass(w, 30000);
    assert_int_equal(tree_world_commands(w), 0);
}

static void a_source_that_changes_before_the_command_stops_it(void **state)
{
    struct tree_world *w = *state;
    settle(w);
    w->starts_keepers = false;
    tree_world_latency(w, 300);
    tree_world_kill(w, &w->keeper[0]);
    tree_world_pass(w, 100); /* the look is under way */
    assert_int_equal(w->keeper[1].commands, 0);
    tree_world_tell(w, "10.0.2.8");
    tree_world_pass(w, 6000);
    assert_right(w);
    assert_int_equal(w->keeper[1].commands, 1);
    assert_string_equal(w->keeper[1].last, "KEEPER SETSTATE ACTIVE 10.0.2.8 6380");
}

static void permission_that_ends_before_the_command_stops_it(void **state)
{
    struct tree_world *w = *state;
    settle(w);
    until_looked_at(w, &w->redis[0]);
    tree_world_permit(w, false);
    tree_world_pass(w, 10000);
    assert_int_equal(tree_world_commands(w), 0);
}

/* Redis said OK and was not read yet, another one answers: what was seen before the command says nothing. */
static void what_was_not_read_back_is_not_judged(void **state)
{
    struct tree_world *w = *state;
    settle(w);
    int64_t not_taken = tree_world_metric("xpipe_meta_tree_not_taken_total");
    tree_world_latency(w, 400);
    fake_redis_set_latency(&w->redis[1].addr, 20);
    tree_world_point(w, &w->redis[0], NULL);
    for (int i = 0; i < 5000 && w->redis[0].commands == 0; i++) {
        tree_world_pass(w, 1);
    }
    for (int i = 0; i < 40; i++) { /* while the answer and the reading come */
        tree_world_pass(w, 10);
        tree_world_point(w, &w->redis[1], i % 2 ? &w->keeper[0].addr : &w->redis[0].addr);
    }
    tree_world_pass(w, 5000);
    assert_right(w);
    assert_int_equal(w->redis[0].commands, 1);
    assert_int_equal(tree_world_metric("xpipe_meta_tree_not_taken_total"), not_taken);
}

/* It may take 5 s; a poll in between would give up after 660 ms, and the connection with it. */
static void a_slow_setstate_with_a_route_is_waited_for(void **state)
{
    struct tree_world *w = *state;
    w->route = TREE_ROUTE;
    settle(w);
    int64_t unknown = tree_world_metric("xpipe_meta_tree_commands_total{result=\"unknown\"}");
    tree_world_latency(w, 300);
    tree_world_tell(w, "10.0.2.8");
    tree_world_pass(w, 310);                          /* the command is under way */
    fake_redis_set_latency(&w->keeper[0].addr, 8000); /* half of it is the way back */
    tree_world_pass(w, 4180);
    assert_int_equal(w->keeper[0].commands, 1);
    fake_redis_set_latency(&w->keeper[0].addr, 2);
    tree_world_pass(w, 6000);
    assert_right(w);
    assert_int_equal(w->keeper[0].commands, 1);
    assert_int_equal(tree_world_metric("xpipe_meta_tree_commands_total{result=\"unknown\"}"),
                     unknown);
}

/* ---- holds ---- */

static void a_migration_holds_everything(void **state)
{
    struct tree_world *w = *state;
    settle(w);
    w->status = "Migrating";
    tree_world_publish(w);
    tree_world_point(w, &w->redis[0], NULL);
    tree_world_kill(w, &w->keeper[1]);
    tree_world_pass(w, 30000);
    assert_int_equal(tree_world_commands(w), 0);
    assert_int_equal(fake_services.adds, 0);
    assert_string_equal(tree_world_text(w, "held"), "cluster is being migrated");
    w->status = "Normal";
    tree_world_publish(w);
    tree_world_pass(w, 20000);
    assert_right(w);
    assert_string_equal(tree_world_text(w, "held"), "");
}

static void a_suspension_holds_and_ends(void **state)
{
    struct tree_world *w = *state;
    settle(w);
    tree_duty_suspend(tree_world_duty(w), 20000);
    tree_world_point(w, &w->redis[0], NULL);
    tree_world_pass(w, 15000);
    assert_int_equal(tree_world_commands(w), 0);
    tree_world_pass(w, 7000);
    assert_right(w);
    tree_duty_suspend(tree_world_duty(w), 20000);
    tree_world_point(w, &w->redis[0], NULL);
    tree_world_pass(w, 3000);
    tree_duty_suspend(tree_world_duty(w), 0);
    tree_world_pass(w, 500);
    assert_right(w);
}

static void the_budget_holds(void **state)
{
    struct tree_world *w = *state;
    settle(w);
    budget_init(&w->env.correct, 1, 0, loop_now(w->loop));
    tree_world_point(w, &w->redis[0], NULL);
    tree_world_pass(w, 5000);
    assert_int_equal(tree_world_commands(w), 0);
    assert_string_equal(tree_world_text(w, "held"), "budget of corrections is used up");
    budget_init(&w->env.correct, 1, 1, loop_now(w->loop));
    tree_world_pass(w, 2000);
    assert_right(w);
}

/* Of two that are wrong only the one with a working link is cut by its correction. */
static void the_budget_of_cuts_holds_what_cuts(void **state)
{
    struct tree_world *w = *state;
    settle(w);
    budget_init(&w->env.cut, 1, 0, loop_now(w->loop));
    tree_world_point(w, &w->redis[0], &w->redis[1].addr);
    w->redis[0].linked_at -= FAKE_LINK_MS;
    w->redis[0].sync_until = MONO_NEVER; /* up at once */
    tree_world_pass(w, 5000);
    assert_int_equal(tree_world_commands(w), 0);
    tree_world_point(w, &w->redis[0], NULL);
    tree_world_pass(w, 2000);
    assert_right(w);
}

static void the_periodic_switch_stops_drift_only(void **state)
{
    struct tree_world *w = *state;
    settle(w);
    w->env.correct_periodically = false;
    tree_world_point(w, &w->redis[0], NULL);
    tree_world_pass(w, 10000);
    assert_int_equal(tree_world_commands(w), 0);
    tree_world_kill(w, &w->keeper[0]); /* an event: acted upon */
    tree_world_pass(w, 10000);
    assert_right(w);
}

/* Asked before the run and right before each command: 'yes' to the run alone lets nothing pass. */
static void permission_ends_in_the_middle_of_a_run(void **state)
{
    struct tree_world *w = *state;
    settle(w);
    w->starts_keepers = false;
    w->permission.left = 2; /* the run, and its first command */
    tree_world_kill(w, &w->keeper[0]);
    tree_world_pass(w, 1500);
    assert_int_equal(w->keeper[1].commands, 1);
    assert_int_equal(w->redis[0].commands + w->redis[1].commands, 0);
    w->permission.left = -1;
    tree_world_pass(w, 2000);
    assert_right(w);
}

static void a_source_that_changes_in_a_run(void **state)
{
    struct tree_world *w = *state;
    settle(w);
    w->starts_keepers = false;
    tree_world_latency(w, 300);
    tree_world_kill(w, &w->keeper[0]);
    for (int i = 0; i < 4000 && w->keeper[1].commands == 0; i++) {
        tree_world_pass(w, 1);
    }
    tree_world_tell(w, "10.0.2.8");
    tree_world_pass(w, 6000);
    assert_right(w);
    assert_string_equal(w->keeper[1].last, "KEEPER SETSTATE ACTIVE 10.0.2.8 6380");
    assert_int_equal(w->keeper[1].commands, 2);
}

/* ---- the shard goes ---- */

static void who_takes_over_sends_no_needless_command(void **state)
{
    struct tree_world *w = *state;
    settle(w);
    tree_world_own(w, false);
    tree_world_own(w, true);
    tree_world_tell(w, TREE_FAR_HEAD);
    tree_world_pass(w, 60000);
    assert_right(w);
    assert_int_equal(w->redis[0].commands + w->redis[1].commands + w->keeper[1].commands, 0);
    assert_int_equal(w->keeper[0].commands, 1); /* no answer shows which route it uses */
}

/* Thousands of active keepers are told their route again after a gain: that waits, and nothing waits for it. */
static void a_refresh_waits_for_its_budget_and_holds_nothing_up(void **state)
{
    struct tree_world *w = *state;
    settle(w);
    budget_init(&w->tree_env.refresh, 1, 0, loop_now(w->loop));
    tree_world_own(w, false);
    tree_world_own(w, true);
    tree_world_tell(w, TREE_FAR_HEAD);
    tree_world_pass(w, 5000);
    assert_int_equal(w->keeper[0].commands, 0);
    assert_string_equal(tree_world_text(w, "held"), "");
    tree_world_point(w, &w->redis[1], NULL);
    assert_true(until_follows(w, &w->redis[1], &w->keeper[0].addr) < 2000);
    assert_int_equal(w->keeper[0].commands, 0);
    budget_init(&w->tree_env.refresh, 1, 1, loop_now(w->loop));
    tree_world_pass(w, 5000);
    assert_int_equal(w->keeper[0].commands, 1);
}

static void on_quiet(int slot, void *arg)
{
    (void)slot;
    (*(int *)arg)++;
}

static void a_lost_slot_in_a_run_is_quiet_after_the_answer(void **state)
{
    struct tree_world *w = *state;
    int quiet = 0;
    settle(w);
    shard_set_on_quiet(w->shards, on_quiet, &quiet);
    tree_world_latency(w, 400);
    tree_world_kill(w, &w->keeper[0]);
    for (int i = 0; i < 4000 && w->keeper[1].commands == 0; i++) {
        tree_world_pass(w, 1);
    }
    assert_int_equal(w->keeper[1].commands, 1); /* reached it; its answer is on the way */
    tree_world_own(w, false);
    assert_false(shard_set_is_quiet(w->shards, -1));
    assert_int_equal(quiet, 0);
    tree_world_pass(w, 300);
    assert_true(shard_set_is_quiet(w->shards, -1));
    assert_int_equal(quiet, 1);
    tree_world_pass(w, 5000);
    assert_int_equal(w->redis[0].commands + w->redis[1].commands, 0); /* nothing behind it */
    tree_world_own(w, true);
    tree_world_tell(w, TREE_FAR_HEAD);
    tree_world_pass(w, 20000);
    assert_right(w);
}

static void the_set_ends_with_a_command_under_way(void **state)
{
    struct tree_world *w = *state;
    settle(w);
    tree_world_latency(w, 400);
    tree_world_point(w, &w->redis[0], NULL);
    for (int i = 0; i < 4000 && w->redis[0].commands == 0; i++) {
        tree_world_pass(w, 1);
    }
    assert_int_equal(w->redis[0].commands, 1); /* close_world frees all of it */
}

/* The answer to a command is waited for, even when the keeper has left the election meanwhile. */
static void a_keeper_that_leaves_with_a_command_under_way(void **state)
{
    struct tree_world *w = *state;
    settle(w);
    tree_world_latency(w, 400);
    w->keeper[1].state = KEEPER_ACTIVE;
    for (int i = 0; i < 8000 && w->keeper[1].commands == 0; i++) {
        tree_world_pass(w, 1);
    }
    assert_int_equal(w->keeper[1].commands, 1);
    w->queue_count = 1;
    fake_keeper_watch_changed(w->tree_env.watch);
    tree_world_pass(w, 30);
    tree_world_own(w, false);
    assert_false(shard_set_is_quiet(w->shards, -1));
    tree_world_pass(w, 800);
    assert_true(shard_set_is_quiet(w->shards, -1));
}

#define T(f) cmocka_unit_test_setup_teardown(f, init_world, close_world)

int main(void)
{
    log_set_level(getenv("SIM_LOG") ? LOG_INFO : LOG_LEVELS);
    const struct CMUnitTest tests[] = {
        T(one_that_was_put_right_meanwhile_is_not_commanded),
        T(one_that_began_a_full_synchronization_meanwhile_is_left_alone),
        T(a_source_that_changes_before_the_command_stops_it),
        T(permission_that_ends_before_the_command_stops_it),
        T(what_was_not_read_back_is_not_judged),
        T(a_slow_setstate_with_a_route_is_waited_for),
        T(who_takes_over_sends_no_needless_command),
        T(a_refresh_waits_for_its_budget_and_holds_nothing_up),
        T(a_lost_slot_in_a_run_is_quiet_after_the_answer),
        T(the_set_ends_with_a_command_under_way),
        T(a_keeper_that_leaves_with_a_command_under_way),
        T(a_migration_holds_everything),
        T(a_suspension_holds_and_ends),
        T(the_budget_holds),
        T(the_budget_of_cuts_holds_what_cuts),
        T(the_periodic_switch_stops_drift_only),
        T(permission_ends_in_the_middle_of_a_run),
        T(a_source_that_changes_in_a_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
