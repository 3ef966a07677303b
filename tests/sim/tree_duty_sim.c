/* tree_duty_sim.c - one shard of a backup DC kept right in virtual time: the real duty over models of Redis and keepers. What lies
 * between plan and answer is in tree_run_sim.c, keepers that come and go in tree_keepers_sim.c, the primary DC in tree_primary_sim.c,
 * random runs in tree_random_sim.c. */
#include "shared/base/log.h"
#include "tests/sim/tree_fixture.h"

#include "shared/base/banned.h"

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

/* What decides whether a keeper that the shard has no more may go: from the moment all the others live, settle_ms. */
static void keepers_are_settled_while_all_of_them_live(void **state)
{
    struct tree_world *w = *state;
    settle(w);
    tree_world_pass(w, w->tree_env.keeper_settle_ms);
    assert_true(tree_duty_is_settled(tree_world_duty(w)));
    tree_world_kill(w, &w->keeper[1]);
    tree_world_pass(w, 1000);
    assert_false(tree_duty_is_settled(tree_world_duty(w)));
    tree_world_revive(w, &w->keeper[1]);
    tree_world_register(w, 1);
    tree_world_pass(w, w->tree_env.keeper_settle_ms / 2);
    assert_false(tree_duty_is_settled(tree_world_duty(w)));
    tree_world_pass(w, w->tree_env.keeper_settle_ms);
    assert_true(tree_duty_is_settled(tree_world_duty(w)));
}

/* Sentinels of the primary DC see the relay: it gets priority 0 first, the others before they may become it. */
static void nobody_behind_the_relay_may_be_promoted_by_sentinels(void **state)
{
    struct tree_world *w = *state;
    w->redis_count = 3;
    w->keeper_count = 0;
    w->queue_count = 0;
    settle(w);
    for (size_t i = 0; i < TREE_REDISES; i++) {
        assert_int_equal(w->redis[i].priority, 0);
        assert_int_equal(w->redis[i].priorities, 1);
    }
    w->redis[1].priority = 50; /* by hand */
    tree_world_pass(w, 70000);
    assert_int_equal(w->redis[1].priority, 0);
    tree_world_permit(w, false);
    w->redis[1].priority = 50;
    tree_world_pass(w, 70000);
    assert_int_equal(w->redis[1].priority, 50);
    tree_world_permit(w, true);
    tree_world_pass(w, 3000);
    assert_int_equal(w->redis[1].priority, 0);
}

/* The data comes first: CONFIG may be forbidden, or a Redis hang on it. */
static void a_relay_that_keeps_its_priority_is_the_relay(void **state)
{
    struct tree_world *w = *state;
    w->keeper_count = 0;
    w->queue_count = 0;
    w->redis[0].keeps_priority = FAKE_REPLICA_REFUSES;
    w->redis[1].keeps_priority = FAKE_REPLICA_HANGS;
    tree_world_open(w);
    tree_world_tell(w, TREE_FAR_HEAD);
    tree_world_pass(w, 15000);
    assert_right(w);
    assert_int_equal(w->redis[0].priorities, 1);
    assert_int_equal(w->redis[1].priorities, 3);
    w->redis[0].keeps_priority = w->redis[1].keeps_priority = FAKE_REPLICA_HONEST;
    tree_world_pass(w, 610000);
    assert_int_equal(w->redis[0].priority + w->redis[1].priority, 0);
}

static void priorities_are_left_alone_when_told_so(void **state)
{
    struct tree_world *w = *state;
    w->tree_env.replica_priority = 0;
    w->keeper_count = 0;
    w->queue_count = 0;
    settle(w);
    tree_world_pass(w, 130000);
    assert_int_equal(w->redis[0].priorities + w->redis[1].priorities, 0);
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
        T(without_keepers_one_relay_and_the_others_behind_it),
        T(keepers_are_settled_while_all_of_them_live),
        T(nobody_behind_the_relay_may_be_promoted_by_sentinels),
        T(a_relay_that_keeps_its_priority_is_the_relay),
        T(priorities_are_left_alone_when_told_so),
        T(the_relay_dies),
        T(a_relay_is_never_sent_direct_when_a_route_applies),
        T(keepers_come_to_a_shard_that_had_none),
        T(what_answers_oddly_is_silent_and_says_why),
        T(the_state_shows_what_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
