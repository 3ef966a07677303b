/* tree_duty_sim.c - one shard of a backup DC kept right in virtual time: the real duty over models of Redis and keepers. The primary
 * DC is in tree_primary_sim.c, random runs in tree_random_sim.c. */
#include <stdio.h>
#include <string.h>

#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "tests/sim/fake_tree_world.h"
#include "tests/unit/unit.h"

#include "shared/base/banned.h"

static int init_world(void **state)
{
    struct tree_world *w = xcalloc(1, sizeof(*w));
    tree_world_init(w);
    *state = w;
    return 0;
}

static int close_world(void **state)
{
    struct tree_world *w = *state;
    assert_int_equal(w->violations, 0);
    tree_world_close(w);
    free(w);
    return 0;
}

static void assert_right(const struct tree_world *w)
{
    const char *missing = tree_world_missing(w);
    if (missing) {
        print_error("%s\n%s\n", missing, tree_world_text(w, "plan"));
    }
    assert_null(missing);
}

/* Owned, told, everything follows, links up. */
static void settle(struct tree_world *w)
{
    tree_world_open(w);
    tree_world_tell(w, TREE_FAR_HEAD);
    tree_world_pass(w, 8000);
    assert_right(w);
    for (size_t i = 0; i < TREE_REDISES; i++) {
        w->redis[i].commands = w->redis[i].xslaveofs = 0;
        w->keeper[i].commands = 0;
    }
}

/* Steps of 10 ms until 'r' follows 'addr'; how long that took. */
static int64_t until_follows(struct tree_world *w, const struct fake_replica *r,
                             const struct addr *addr)
{
    mono_ms from = clock_mono_ms();
    while (!addr_eq(&r->master, addr) && clock_mono_ms() < from + 120000) {
        tree_world_pass(w, 10);
    }
    return clock_mono_ms() - from;
}

/* ---- from nothing ---- */

static void a_new_shard_is_put_together(void **state)
{
    struct tree_world *w = *state;
    tree_world_open(w);
    tree_world_pass(w, 4000);
    assert_int_equal(tree_world_commands(w), 0); /* nobody told what to pull from */
    assert_true(fake_dc_links_asked(w->tree_env.upstreams, "oy") > 0);
    tree_world_tell(w, TREE_FAR_HEAD);
    tree_world_pass(w, 1500);
    assert_right(w);
    assert_string_equal(w->keeper[0].last, "KEEPER SETSTATE ACTIVE 10.0.2.9 6380");
    assert_string_equal(w->keeper[1].last, "KEEPER SETSTATE BACKUP 10.0.1.11 6380");
    assert_string_equal(w->redis[1].last, "SLAVEOF 10.0.1.11 6380");
    assert_true(w->keeper[0].commanded_at < w->redis[0].commanded_at);
    assert_true(w->keeper[0].commanded_at < w->keeper[1].commanded_at);
    int sent = tree_world_commands(w);
    tree_world_pass(w, 120000);
    assert_int_equal(tree_world_commands(w), sent);
    assert_true(addr_eq(&fake_services.reported, &w->keeper[0].addr));
    assert_true(fake_services.reports >= 2); /* and again each minute */
    assert_int_equal(fake_dc_links_told(w->tree_env.upstreams, "oy"),
                     0); /* that is for the primary DC */
}

static void nothing_is_sent_before_the_election_is_known(void **state)
{
    struct tree_world *w = *state;
    w->queue_count = 0;
    w->starts_keepers = false;
    tree_world_open(w);
    tree_world_tell(w, TREE_FAR_HEAD);
    tree_world_pass(w, 10);
    assert_int_equal(fake_services.adds, 0);
    assert_string_equal(tree_world_verdict(w, &w->redis[0]), "SILENT");
    tree_world_pass(w, 10000);
    assert_int_equal(tree_world_commands(w), 0);
    assert_string_equal(tree_world_verdict(w, &w->redis[0]), "NO_HEAD");
}

static void an_election_that_is_read_late_holds_up_the_first_look(void **state)
{
    struct tree_world *w = *state;
    struct upstream u;
    fake_services.zk_ms = 9000;
    tree_world_open(w);
    tree_world_tell(w, TREE_FAR_HEAD);
    tree_world_pass(w, 8000);
    assert_false(upstream_board_get(w->tree_env.board, TREE_CLUSTER, TREE_SHARD, &u));
    tree_world_pass(w, 3000);
    assert_true(upstream_board_get(w->tree_env.board, TREE_CLUSTER, TREE_SHARD, &u));
    assert_right(w);
}

static void one_that_is_silent_holds_up_the_first_look_for_3_s(void **state)
{
    struct tree_world *w = *state;
    fake_redis_set(NULL, &w->redis[1].addr, FAKE_REDIS_MUTE);
    tree_world_open(w);
    tree_world_tell(w, TREE_FAR_HEAD);
    tree_world_pass(w, 1000);
    assert_int_equal(tree_world_commands(w), 0);
    tree_world_pass(w, 4000);
    assert_int_equal(w->redis[0].commands, 1);
    assert_true(addr_eq(&w->redis[0].master, &w->keeper[0].addr));
    assert_int_equal(w->redis[1].commands, 0);
}

static void a_route_goes_word_by_word(void **state)
{
    struct tree_world *w = *state;
    w->route = TREE_ROUTE;
    settle(w);
    assert_string_equal(w->keeper[0].last,
                        "KEEPER SETSTATE ACTIVE 10.0.2.9 6380 PROXY ROUTE " TREE_ROUTE " TCP");
    assert_string_equal(w->keeper[1].route, "");
}

static void a_changed_route_is_sent_again(void **state)
{
    struct tree_world *w = *state;
    settle(w);
    w->route = TREE_ROUTE;
    tree_world_publish(w);
    tree_world_pass(w, 1000);
    assert_right(w);
    assert_int_equal(tree_world_commands(w), 1);
    w->route = "nonsense '|";
    tree_world_publish(w);
    tree_world_pass(w, 30000);
    assert_int_equal(tree_world_commands(w), 1); /* unusable: left as it is, never direct */
    assert_string_equal(tree_world_verdict(w, &w->keeper[0]), "BAD_ROUTE");
}

/* Its state and master come back from its disk, its route does not; INFO shows that another process answers. */
static void a_restarted_keeper_gets_its_route_again(void **state)
{
    struct tree_world *w = *state;
    w->route = TREE_ROUTE;
    settle(w);
    fake_redis_set(NULL, &w->keeper[0].addr, FAKE_REDIS_REFUSES);
    tree_world_pass(w, 3000);
    fake_replica_restart(&w->keeper[0]);
    w->keeper[0].state = KEEPER_ACTIVE;
    fake_redis_set(NULL, &w->keeper[0].addr, FAKE_REDIS_UP);
    tree_world_pass(w, 12000);
    assert_right(w);
    assert_int_equal(w->keeper[0].commands, 1);
}

static void a_lost_connection_alone_is_no_restart(void **state)
{
    struct tree_world *w = *state;
    w->route = TREE_ROUTE;
    settle(w);
    fake_redis_set(NULL, &w->keeper[0].addr, FAKE_REDIS_REFUSES);
    tree_world_pass(w, 3000);
    fake_redis_set(NULL, &w->keeper[0].addr, FAKE_REDIS_UP);
    tree_world_pass(w, 12000);
    assert_int_equal(tree_world_commands(w), 0);
}

/* ---- what is put right, and what is left alone ---- */

static void a_redis_made_master_by_hand_is_put_right_within_2_s(void **state)
{
    struct tree_world *w = *state;
    settle(w);
    for (int i = 0; i < 10; i++) {
        tree_world_point(w, &w->redis[1], NULL);
        assert_true(until_follows(w, &w->redis[1], &w->keeper[0].addr) < 2000);
        tree_world_pass(w, 1370);
    }
    assert_int_equal(tree_world_commands(w), 10);
    assert_int_equal(w->redis[1].rewrites, 11); /* refused each time: it has no file */
}

static void a_redis_pointed_elsewhere_is_put_right_within_2_s(void **state)
{
    struct tree_world *w = *state;
    struct addr elsewhere = addr_of("10.9.9.9", 6379);
    settle(w);
    tree_world_point(w, &w->redis[0], &elsewhere);
    assert_true(until_follows(w, &w->redis[0], &w->keeper[0].addr) < 2000);
    tree_world_point(w, &w->redis[0], &w->keeper[1].addr); /* a keeper, but not the active one */
    assert_true(until_follows(w, &w->redis[0], &w->keeper[0].addr) < 2000);
    assert_int_equal(tree_world_commands(w), 2);
}

static void a_redis_in_a_full_synchronization_is_left_alone(void **state)
{
    struct tree_world *w = *state;
    settle(w);
    w->redis[0].sync_ms = 100000;
    tree_world_point(w, &w->redis[0], &w->redis[1].addr);
    w->redis[0].linked_at -= FAKE_LINK_MS; /* no poll sees it connect */
    tree_world_pass(w, 90000);
    assert_int_equal(tree_world_commands(w), 0);
    assert_string_equal(tree_world_verdict(w, &w->redis[0]), "SYNCING");
    w->redis[0].sync_ms = 0;
    tree_world_pass(w, 12000);
    assert_right(w);
}

static void a_keeper_told_otherwise_is_told_again(void **state)
{
    struct tree_world *w = *state;
    settle(w);
    w->keeper[1].state = KEEPER_ACTIVE;
    tree_world_pass(w, 5000);
    assert_right(w);
    assert_int_equal(tree_world_commands(w), 1);
    tree_world_point(w, &w->keeper[0], &w->redis[0].addr); /* a loop, by hand: cut at its head */
    tree_world_pass(w, 5000);
    assert_right(w);
}

static void xslaveof_is_used_where_it_is_known(void **state)
{
    struct tree_world *w = *state;
    w->redis[0].has_xslaveof = true;
    settle(w);
    assert_string_equal(w->redis[0].last, "XSLAVEOF 10.0.1.11 6380");
    for (int i = 0; i < 3; i++) {
        tree_world_point(w, &w->redis[1], NULL);
        tree_world_pass(w, 3000);
    }
    assert_right(w);
    assert_int_equal(w->redis[1].xslaveofs, 0); /* refused once, before: not asked for again */
}

static void what_redis_refuses_is_not_hammered_and_others_go_on(void **state)
{
    struct tree_world *w = *state;
    settle(w);
    w->redis[0].trick = FAKE_REPLICA_REFUSES;
    tree_world_point(w, &w->redis[0], NULL);
    tree_world_pass(w, 50000);
    assert_int_equal(w->redis[0].commands, 1);
    tree_world_point(w, &w->redis[1], NULL);
    assert_true(until_follows(w, &w->redis[1], &w->keeper[0].addr) < 2000);
    tree_world_pass(w, 60000);
    assert_int_equal(w->redis[0].commands, 2);
    tree_world_pass(w, 60000);
    assert_int_equal(w->redis[0].commands, 2); /* the pause has doubled */
    w->redis[0].trick = FAKE_REPLICA_HONEST;
    tree_world_tell(w, "10.0.2.8"); /* another source: earlier refusals do not count */
    tree_world_pass(w, 3000);
    assert_right(w);
}

static void silence_is_read_back_and_not_repeated_at_once(void **state)
{
    struct tree_world *w = *state;
    settle(w);
    w->redis[0].trick = FAKE_REPLICA_SWALLOWS;
    tree_world_point(w, &w->redis[0], NULL);
    tree_world_pass(w, 20000);
    assert_int_equal(w->redis[0].commands, 1); /* read back: it was carried out */
    w->redis[0].trick = FAKE_REPLICA_HANGS;
    tree_world_point(w, &w->redis[0], NULL);
    tree_world_pass(w, 60000);
    assert_in_range(w->redis[0].commands, 3, 8);
    w->redis[0].trick = FAKE_REPLICA_HONEST;
    tree_world_pass(w, 70000);
    assert_right(w);
}

static void ok_without_effect_pauses(void **state)
{
    struct tree_world *w = *state;
    settle(w);
    w->redis[0].trick = FAKE_REPLICA_PRETENDS;
    tree_world_point(w, &w->redis[0], NULL);
    tree_world_pass(w, 60000);
    assert_in_range(w->redis[0].commands, 3, 10);
}

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
    w->permits_left = 2; /* the run, and its first command */
    tree_world_kill(w, &w->keeper[0]);
    tree_world_pass(w, 1500);
    assert_int_equal(w->keeper[1].commands, 1);
    assert_int_equal(w->redis[0].commands + w->redis[1].commands, 0);
    w->permits_left = -1;
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

/* ---- without keepers ---- */

static void without_keepers_one_relay_and_the_others_behind_it(void **state)
{
    struct tree_world *w = *state;
    w->redis_count = 3;
    w->keeper_count = 0;
    w->queue_count = 0;
    settle(w);
    int sent = tree_world_commands(w);
    tree_world_pass(w, 60000);
    assert_int_equal(tree_world_commands(w), sent);
}

static void the_relay_dies(void **state)
{
    struct tree_world *w = *state;
    w->redis_count = 3;
    w->keeper_count = 0;
    w->queue_count = 0;
    settle(w);
    w->redis[1].offset = 900;
    w->redis[2].offset = 990;
    tree_world_pass(w, 1100); /* seen */
    tree_world_kill(w, &w->redis[0]);
    assert_true(until_follows(w, &w->redis[2], &w->far_head) < 8000); /* the most advanced one */
    assert_true(until_follows(w, &w->redis[1], &w->redis[2].addr) < 1000);
    tree_world_revive(w, &w->redis[0]);
    tree_world_pass(w, 15000);
    assert_right(w);
    assert_true(addr_eq(&w->redis[0].master, &w->redis[2].addr)); /* no fail-back */
}

static void a_relay_is_never_sent_direct_when_a_route_applies(void **state)
{
    struct tree_world *w = *state;
    w->keeper_count = 0;
    w->queue_count = 0;
    settle(w);
    w->route = TREE_ROUTE;
    tree_world_publish(w);
    tree_world_tell(w, "10.0.2.8");
    tree_world_pass(w, 10000);
    assert_int_equal(tree_world_commands(w), 0);
    assert_string_equal(tree_world_verdict(w, &w->redis[0]), "ROUTE_NEEDS_KEEPER");
}

static void keepers_come_to_a_shard_that_had_none(void **state)
{
    struct tree_world *w = *state;
    w->keeper_count = 0;
    w->queue_count = 0;
    w->keeper[0].is_up = w->keeper[1].is_up = false;
    settle(w);
    w->keeper_count = 2;
    tree_world_publish(w);
    tree_world_pass(w, 20000);
    assert_right(w);
    assert_int_equal(fake_services.adds, 2);
}

/* ---- odd answers ---- */

static void what_answers_oddly_is_silent_and_says_why(void **state)
{
    struct tree_world *w = *state;
    settle(w);
    w->redis[0].role_instead = "NOPERM this user has no permissions";
    tree_world_point(w, &w->redis[0], NULL);
    tree_world_pass(w, 5000);
    assert_int_equal(tree_world_commands(w), 0);
    assert_string_equal(tree_world_verdict(w, &w->redis[0]), "SILENT");
    json_t *json = tree_duty_to_json(tree_world_duty(w));
    json_t *row = json_array_get(json_object_get(json, "nodes"), 0);
    assert_string_equal(json_string_value(json_object_get(row, "problem")),
                        "ROLE was refused: NOPERM this user has no permissions");
    json_decref(json);
    w->redis[0].role_instead = NULL;
    tree_world_pass(w, 2000);
    assert_right(w);
}

static void the_state_shows_what_is_there(void **state)
{
    struct tree_world *w = *state;
    w->route = TREE_ROUTE;
    settle(w);
    json_t *json = tree_duty_to_json(tree_world_duty(w));
    assert_string_equal(json_string_value(json_object_get(json, "place")), "BACKUP");
    assert_int_equal(json_array_size(json_object_get(json, "nodes")), 4);
    json_t *keeper = json_array_get(json_object_get(json, "nodes"), 2);
    assert_string_equal(json_string_value(json_object_get(keeper, "state")), "ACTIVE");
    assert_string_equal(json_string_value(json_object_get(keeper, "routeSent")), TREE_ROUTE);
    assert_non_null(
        json_string_value(json_object_get(json_object_get(keeper, "lastAction"), "command")));
    json_decref(json);
    json = tree_duty_current_json(tree_world_duty(w));
    assert_int_equal(json_integer_value(json_object_get(json, "shardDbId")), 11);
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(json, "keeperMaster"), TREE_FAR_HEAD)),
        6380);
    assert_int_equal(json_array_size(json_object_get(json, "surviveKeepers")), 2);
    assert_int_equal(
        json_array_size(json_object_get(json_object_get(json, "shardMeta"), "redises")), 2);
    json_decref(json);
}

#define T(f) cmocka_unit_test_setup_teardown(f, init_world, close_world)

int main(void)
{
    log_set_level(getenv("SIM_LOG") ? LOG_INFO : LOG_LEVELS);
    const struct CMUnitTest tests[] = {
        T(a_new_shard_is_put_together),
        T(nothing_is_sent_before_the_election_is_known),
        T(an_election_that_is_read_late_holds_up_the_first_look),
        T(one_that_is_silent_holds_up_the_first_look_for_3_s),
        T(a_route_goes_word_by_word),
        T(a_changed_route_is_sent_again),
        T(a_restarted_keeper_gets_its_route_again),
        T(a_lost_connection_alone_is_no_restart),
        T(a_redis_made_master_by_hand_is_put_right_within_2_s),
        T(a_redis_pointed_elsewhere_is_put_right_within_2_s),
        T(a_redis_in_a_full_synchronization_is_left_alone),
        T(a_keeper_told_otherwise_is_told_again),
        T(xslaveof_is_used_where_it_is_known),
        T(what_redis_refuses_is_not_hammered_and_others_go_on),
        T(silence_is_read_back_and_not_repeated_at_once),
        T(ok_without_effect_pauses),
        T(one_that_was_put_right_meanwhile_is_not_commanded),
        T(one_that_began_a_full_synchronization_meanwhile_is_left_alone),
        T(a_source_that_changes_before_the_command_stops_it),
        T(permission_that_ends_before_the_command_stops_it),
        T(what_was_not_read_back_is_not_judged),
        T(a_slow_setstate_with_a_route_is_waited_for),
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
        T(without_keepers_one_relay_and_the_others_behind_it),
        T(the_relay_dies),
        T(a_relay_is_never_sent_direct_when_a_route_applies),
        T(keepers_come_to_a_shard_that_had_none),
        T(what_answers_oddly_is_silent_and_says_why),
        T(the_state_shows_what_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
