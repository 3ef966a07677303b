/* tree_keepers_sim.c - keepers of one shard of a backup DC die, come back, move, and are cleared away. */
#include "shared/base/log.h"
#include "tests/sim/tree_fixture.h"

#include "shared/base/banned.h"

/* ---- keepers die ---- */

static void the_backup_keeper_takes_over_at_once(void **state)
{
    struct tree_world *w = *state;
    settle(w);
    tree_world_pass(w, 333);
    w->starts_keepers = false;
    tree_world_kill(w, &w->keeper[0]);
    assert_true(until_follows(w, &w->redis[0], &w->keeper[1].addr) < 100);
    assert_true(until_follows(w, &w->redis[1], &w->keeper[1].addr) < 100);
    assert_true(addr_eq(&w->keeper[1].master, &w->far_head));
    assert_true(w->keeper[1].commanded_at < w->redis[0].commanded_at);
    assert_true(addr_eq(&fake_services.reported, &w->keeper[1].addr));
    tree_world_pass(w, 5000);
    assert_right(w);
    assert_int_equal(fake_services.adds, 1); /* its container is asked to start it */
    assert_string_equal(fake_services.container.host, "10.0.1.11");
    assert_int_equal(fake_services.container.port, 8080);
}

static void a_keeper_that_comes_back_does_not_fail_back(void **state)
{
    struct tree_world *w = *state;
    settle(w);
    tree_world_kill(w, &w->keeper[0]);
    tree_world_pass(w, 10000); /* started again by its container */
    assert_true(w->keeper[0].is_up);
    assert_right(w);
    assert_int_equal(w->keeper[1].state, KEEPER_ACTIVE);
    assert_int_equal(w->keeper[0].state, KEEPER_BACKUP);
}

static void all_keepers_die_and_come_back(void **state)
{
    struct tree_world *w = *state;
    settle(w);
    w->starts_keepers = false;
    tree_world_kill(w, &w->keeper[0]);
    tree_world_kill(w, &w->keeper[1]);
    tree_world_pass(w, 1000);
    struct upstream u;
    assert_true(upstream_board_get(w->tree_env.board, TREE_CLUSTER, TREE_SHARD, &u));
    assert_false(u.has_active);
    tree_world_pass(w, 60000);
    assert_int_equal(w->redis[0].commands, 0);
    assert_in_range(fake_services.adds, 6, 12); /* two keepers, pauses of 5, 10, 20 s... */
    w->starts_keepers = true;
    tree_world_pass(w, 60000);
    assert_right(w);
}

/* Each death is a new matter: pauses are for one that does not come back. */
static void a_keeper_that_dies_again_and_again_is_started_each_time(void **state)
{
    struct tree_world *w = *state;
    settle(w);
    for (int i = 1; i <= 5; i++) {
        tree_world_kill(w, &w->keeper[1]);
        tree_world_pass(w, 4000);
        assert_int_equal(fake_services.adds, i);
        assert_true(w->keeper[1].is_up);
        tree_world_pass(w, 12000);
        assert_right(w);
    }
}

static void containers_that_fail_are_asked_with_pauses(void **state)
{
    struct tree_world *w = *state;
    settle(w);
    fake_services.fails_calls = true;
    tree_world_kill(w, &w->keeper[1]);
    tree_world_pass(w, 60000);
    assert_false(w->keeper[1].is_up);
    fake_services.fails_calls = false;
    tree_world_pass(w, 60000);
    assert_right(w);
}

static void a_keeper_that_the_document_does_not_have_is_removed(void **state)
{
    struct tree_world *w = *state;
    tree_world_register(w, 2); /* what an earlier metaserver did not clear away */
    settle(w);
    tree_world_pass(w, 5000);
    assert_int_equal(fake_services.removes, 0); /* not before the others have lived for a while */
    tree_world_pass(w, 5000);
    assert_int_equal(fake_services.removes, 1);
    assert_true(addr_eq(&fake_services.removed, &w->keeper[2].addr));
    assert_string_equal(fake_services.container.host, "10.0.1.13"); /* by its host */
    assert_false(w->keeper[2].is_up);
    assert_right(w);
    w->keeper_count = 1; /* those that stay have lived for long */
    tree_world_publish(w);
    tree_world_pass(w, 2000);
    assert_int_equal(fake_services.removes, 2);
    assert_right(w);
}

static void a_higher_priority_moves_the_active_keeper(void **state)
{
    struct tree_world *w = *state;
    settle(w);
    w->priority[1] = 5;
    tree_world_publish(w);
    tree_world_pass(w, 2000);
    assert_int_equal(w->keeper[1].state, KEEPER_ACTIVE);
    assert_right(w);
}

static void a_child_with_broken_data_is_skipped(void **state)
{
    struct tree_world *w = *state;
    w->queue[0] = -1;
    w->queue[1] = 0;
    w->queue[2] = 1;
    w->queue_count = 3;
    settle(w);
    assert_int_equal(w->keeper[0].state, KEEPER_ACTIVE);
}

/* ---- the shard goes ---- */

static void keepers_of_a_removed_cluster_are_removed(void **state)
{
    struct tree_world *w = *state;
    w->has_other_cluster = true; /* has the address of keeper 1 */
    settle(w);
    w->is_cluster_gone = true;
    tree_world_publish(w);
    assert_null(tree_world_duty(w));
    tree_world_pass(w, 1000);
    assert_int_equal(fake_services.removes, 1);
    assert_true(addr_eq(&fake_services.removed, &w->keeper[0].addr));
    assert_true(w->keeper[1].is_up);
}

static void a_lost_slot_stops_no_keeper(void **state)
{
    struct tree_world *w = *state;
    struct upstream u;
    settle(w);
    tree_world_own(w, false);
    tree_world_pass(w, 30000);
    assert_int_equal(fake_services.removes, 0);
    assert_int_equal(tree_world_commands(w), 0);
    assert_int_equal(fake_services.report_drops, 1);
    assert_false(upstream_board_get(w->tree_env.board, TREE_CLUSTER, TREE_SHARD, &u));
}

#define T(f) cmocka_unit_test_setup_teardown(f, init_world, close_world)

int main(void)
{
    log_set_level(getenv("SIM_LOG") ? LOG_INFO : LOG_LEVELS);
    const struct CMUnitTest tests[] = {
        T(the_backup_keeper_takes_over_at_once),
        T(a_keeper_that_comes_back_does_not_fail_back),
        T(all_keepers_die_and_come_back),
        T(a_keeper_that_dies_again_and_again_is_started_each_time),
        T(containers_that_fail_are_asked_with_pauses),
        T(a_keeper_that_the_document_does_not_have_is_removed),
        T(a_higher_priority_moves_the_active_keeper),
        T(a_child_with_broken_data_is_skipped),
        T(keepers_of_a_removed_cluster_are_removed),
        T(a_lost_slot_stops_no_keeper),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
