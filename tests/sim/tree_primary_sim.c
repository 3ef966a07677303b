/* tree_primary_sim.c - one shard of the primary DC in virtual time: its source, what backup DCs are told, sentinels, a lost master;
 * and a DC that changes its place. */
#include <stdio.h>
#include <string.h>

#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "tests/sim/tree_fixture.h"

#include "shared/base/banned.h"

static int init_primary(void **state)
{
    (void)init_world(state);
    struct tree_world *w = *state;
    w->is_primary = true;
    w->redis_count = 3;
    return 0;
}

/* redis[0] is the master of the others. */
static void settle_primary(struct tree_world *w)
{
    fake_replica_point(&w->redis[1], &w->redis[0].addr);
    fake_replica_point(&w->redis[2], &w->redis[0].addr);
    tree_world_open(w);
    tree_world_pass(w, 5000);
    assert_right(w);
    for (size_t i = 0; i < TREE_REDISES; i++) {
        assert_int_equal(w->redis[i].commands, 0); /* sentinels' and people's, not ours */
        w->keeper[i].commands = 0;
    }
}

static struct addr source_of(const struct tree_world *w)
{
    struct upstream u = { 0 };
    (void)upstream_board_get(w->tree_env.board, TREE_CLUSTER, TREE_SHARD, &u);
    return u.source;
}

static bool is_source(const struct tree_world *w, const struct fake_replica *r)
{
    struct addr source = source_of(w);
    return addr_eq(&source, &r->addr);
}

static bool is_told(const struct tree_world *w, const struct addr *head)
{
    struct addr told = fake_dc_links_told_addr(w->tree_env.upstreams, "oy");
    return addr_eq(&told, head);
}

static bool is_lost_shown(void)
{
    return tree_world_metric("xpipe_meta_tree_masters_lost") == 1;
}

/* As a sentinel does it. */
static void promote_by_hand(struct tree_world *w, int master)
{
    for (int i = 0; i < w->redis_count; i++) {
        tree_world_point(w, &w->redis[i], i == master ? NULL : &w->redis[master].addr);
    }
}

/* ---- source and head ---- */

static void the_active_keeper_pulls_from_the_master(void **state)
{
    struct tree_world *w = *state;
    settle_primary(w);
    assert_true(is_source(w, &w->redis[0]));
    assert_string_equal(w->keeper[0].last, "KEEPER SETSTATE ACTIVE 10.0.1.1 6379");
    assert_true(is_told(w, &w->keeper[0].addr));
    assert_int_equal(fake_dc_links_asked(w->tree_env.upstreams, "oy"), 0);
    int told = fake_dc_links_told(w->tree_env.upstreams, "oy");
    tree_world_pass(w, 60000);
    assert_int_equal(fake_dc_links_told(w->tree_env.upstreams, "oy"), told);
    assert_int_equal(tree_world_commands(w), 0);
}

static void sentinels_promote_and_the_keeper_follows(void **state)
{
    struct tree_world *w = *state;
    w->sentinels = "10.0.9.1:5000,10.0.9.2:5000";
    settle_primary(w);
    assert_int_equal(fake_services.monitors, 1);
    struct monitored_state seen;
    fake_services.monitored(fake_services.monitored_arg, &seen);
    assert_true(seen.is_single_master);
    assert_true(addr_eq(&seen.master, &w->redis[0].addr));
    int told = fake_dc_links_told(w->tree_env.upstreams, "oy");
    promote_by_hand(w, 1);
    tree_world_pass(w, 2000);
    assert_true(is_source(w, &w->redis[1]));
    assert_right(w);
    assert_int_equal(fake_services.kicks, 2); /* the first source, and this one */
    assert_int_equal(fake_dc_links_told(w->tree_env.upstreams, "oy"),
                     told); /* the head of the DC is the same keeper */
    assert_int_equal(w->redis[0].commands + w->redis[1].commands, 0);
}

static void the_monitor_follows_the_document(void **state)
{
    struct tree_world *w = *state;
    settle_primary(w);
    assert_int_equal(fake_services.monitors, 0);
    w->sentinels = "10.0.9.1:5000";
    tree_world_publish(w);
    tree_world_pass(w, 1000);
    assert_int_equal(fake_services.monitors, 1);
    void *arg = fake_services.monitored_arg;
    fake_services.monitored_arg = NULL;
    w->sentinels = "10.0.9.7:5000"; /* the cluster is the same: nobody tells of the group */
    tree_world_publish(w);
    tree_world_pass(w, 1100);
    assert_int_equal(fake_services.monitors, 1);
    assert_ptr_equal(fake_services.monitored_arg, arg); /* added again, with the other address */
    assert_int_equal(fake_services.retired, 1);
    assert_string_equal(fake_services.kept,
                        "10.0.9.7:5000"); /* the old sentinels forget the shard */
    w->sentinels = ""; /* a group that the document does not know: nothing is taken away for that */
    tree_world_publish(w);
    tree_world_pass(w, 1100);
    assert_int_equal(fake_services.monitors, 0);
    assert_int_equal(fake_services.retired, 1);
    w->sentinels = "10.0.9.7:5000";
    tree_world_publish(w);
    tree_world_pass(w, 1100);
    assert_int_equal(fake_services.monitors, 1);
    w->sentinels = NULL; /* the shard has no group any more */
    tree_world_publish(w);
    tree_world_pass(w, 1100);
    assert_int_equal(fake_services.monitors, 0);
    assert_int_equal(fake_services.retired, 2);
}

static void a_new_active_keeper_is_told_to_the_backup_dcs(void **state)
{
    struct tree_world *w = *state;
    settle_primary(w);
    tree_world_kill(w, &w->keeper[0]);
    tree_world_pass(w, 500);
    assert_true(is_told(w, &w->keeper[1].addr));
    assert_right(w);
}

static void without_keepers_the_master_is_told(void **state)
{
    struct tree_world *w = *state;
    w->keeper_count = 0;
    w->queue_count = 0;
    settle_primary(w);
    assert_true(is_told(w, &w->redis[0].addr));
    promote_by_hand(w, 2);
    tree_world_pass(w, 2000);
    assert_true(is_told(w, &w->redis[2].addr));
    assert_int_equal(tree_world_commands(w), 0);
}

static void of_two_masters_the_known_one_stays(void **state)
{
    struct tree_world *w = *state;
    settle_primary(w);
    tree_world_point(w, &w->redis[1], NULL);
    tree_world_pass(w, 60000);
    assert_true(is_source(w, &w->redis[0]));
    assert_int_equal(tree_world_commands(w), 0);
    assert_string_equal(tree_world_verdict(w, &w->keeper[0]), "OK");
}

static void a_cold_start_with_a_silent_master_decides_nothing(void **state)
{
    struct tree_world *w = *state;
    fake_replica_point(&w->redis[1], &w->redis[0].addr);
    fake_replica_point(&w->redis[2], &w->redis[0].addr);
    fake_redis_set(NULL, &w->redis[0].addr, FAKE_REDIS_MUTE);
    w->tree_env.failover = FAILOVER_AUTO;
    tree_world_open(w);
    tree_world_pass(w, 60000);
    assert_int_equal(tree_world_commands(w), 0);
}

/* ---- a lost master ---- */

static void a_lost_master_is_reported_once_and_nothing_promoted(void **state)
{
    struct tree_world *w = *state;
    settle_primary(w);
    assert_true(log_open("/dev/null"));
    log_set_level(LOG_WARN);
    int64_t warned = log_lines_total(LOG_WARN);
    assert_false(is_lost_shown());
    tree_world_kill(w, &w->redis[0]);
    tree_world_pass(w, 60000);
    assert_int_equal(w->redis[1].commands + w->redis[2].commands, 0);
    assert_true(is_lost_shown());
    assert_int_equal(log_lines_total(LOG_WARN), warned + 1);
    log_set_level(LOG_LEVELS);
    assert_true(log_open(NULL));
    tree_world_revive(w, &w->redis[0]);
    tree_world_pass(w, 12000);
    assert_false(is_lost_shown());
    assert_right(w);
}

static void auto_promotes_the_most_advanced_and_the_rest_follows(void **state)
{
    struct tree_world *w = *state;
    w->tree_env.failover = FAILOVER_AUTO;
    settle_primary(w);
    w->redis[1].offset = 900;
    w->redis[2].offset = 990;
    tree_world_pass(w, 1100);
    tree_world_kill(w, &w->redis[0]);
    tree_world_pass(w, 4500);
    assert_int_equal(tree_world_commands(w), 0); /* not lost for long enough */
    tree_world_pass(w, 6000);
    assert_string_equal(w->redis[2].last, "SLAVEOF NO ONE");
    assert_string_equal(w->redis[1].last, "SLAVEOF 10.0.1.3 6379");
    assert_true(w->redis[2].commanded_at < w->redis[1].commanded_at);
    assert_true(is_source(w, &w->redis[2]));
    assert_right(w);
    assert_true(addr_eq(&w->keeper[0].master, &w->redis[2].addr));
    /* The old one comes back as a master: it is left behind. */
    tree_world_revive(w, &w->redis[0]);
    tree_world_pass(w, 15000);
    assert_true(addr_eq(&w->redis[0].master, &w->redis[2].addr));
    assert_int_equal(w->redis[2].commands, 1);
    assert_right(w);
}

static void a_promotion_without_an_answer_makes_no_second_master(void **state)
{
    struct tree_world *w = *state;
    w->tree_env.failover = FAILOVER_AUTO;
    settle_primary(w);
    w->redis[2].offset = 2000;
    tree_world_pass(w, 1100);
    w->redis[2].trick = FAKE_REPLICA_SWALLOWS;
    tree_world_kill(w, &w->redis[0]);
    for (int i = 0; i < 20000 && w->redis[2].commands == 0; i++) {
        tree_world_pass(w, 1);
    }
    fake_redis_set(NULL, &w->redis[2].addr, FAKE_REDIS_MUTE); /* a master, and nobody hears it */
    tree_world_pass(w, 50000);
    assert_int_equal(w->redis[1].commands, 0);
    fake_redis_set(NULL, &w->redis[2].addr, FAKE_REDIS_UP);
    w->redis[2].trick = FAKE_REPLICA_HONEST;
    tree_world_pass(w, 20000);
    assert_true(is_source(w, &w->redis[2]));
    assert_true(addr_eq(&w->redis[1].master, &w->redis[2].addr)); /* still followed the lost one */
    assert_int_equal(w->redis[2].commands, 1);
}

static void sentinels_or_a_migration_forbid_a_promotion(void **state)
{
    struct tree_world *w = *state;
    w->tree_env.failover = FAILOVER_AUTO;
    w->sentinels = "10.0.9.1:5000";
    settle_primary(w);
    tree_world_kill(w, &w->redis[0]);
    tree_world_pass(w, 30000);
    assert_int_equal(w->redis[1].commands + w->redis[2].commands, 0);
    w->sentinels = NULL;
    w->status = "Lock";
    tree_world_publish(w);
    tree_world_pass(w, 30000);
    assert_int_equal(w->redis[1].commands + w->redis[2].commands, 0);
    w->status = "Normal";
    tree_world_publish(w);
    tree_world_pass(w, 10000);
    assert_int_equal(w->redis[1].commands, 1); /* equal offsets: the order of the document */
    assert_right(w);
}

/* Replicas hear it: it is only silent towards us. */
static void a_master_that_others_hear_is_not_lost(void **state)
{
    struct tree_world *w = *state;
    w->tree_env.failover = FAILOVER_AUTO;
    settle_primary(w);
    fake_redis_set(NULL, &w->redis[0].addr, FAKE_REDIS_UNREACHABLE);
    tree_world_pass(w, 60000);
    assert_int_equal(tree_world_commands(w), 0);
}

static void permission_is_asked_for_a_promotion(void **state)
{
    struct tree_world *w = *state;
    w->tree_env.failover = FAILOVER_AUTO;
    settle_primary(w);
    tree_world_kill(w, &w->redis[0]);
    tree_world_permit(w, false);
    tree_world_pass(w, 30000);
    assert_int_equal(tree_world_commands(w), 0);
    tree_world_permit(w, true);
    tree_world_pass(w, 3000);
    assert_right(w);
}

/* No Redis was ever seen to be the master: the first one is only assumed to be worth pulling from. */
static void one_that_was_never_a_master_is_not_lost(void **state)
{
    struct tree_world *w = *state;
    struct addr dead = addr_of("10.9.9.9", 6379);
    w->tree_env.failover = FAILOVER_AUTO;
    for (int i = 0; i < TREE_REDISES; i++) {
        fake_replica_point(&w->redis[i], &dead);
    }
    tree_world_open(w);
    tree_world_pass(w, 5000);
    assert_true(is_source(w, &w->redis[0]));
    tree_world_kill(w, &w->redis[0]);
    tree_world_pass(w, 60000);
    assert_int_equal(w->redis[1].commands + w->redis[2].commands, 0);
}

static void the_periodic_switch_holds_a_promotion(void **state)
{
    struct tree_world *w = *state;
    w->tree_env.failover = FAILOVER_AUTO;
    settle_primary(w);
    w->env.correct_periodically = false;
    tree_world_kill(w, &w->redis[0]);
    tree_world_pass(w, 30000);
    assert_int_equal(tree_world_commands(w), 0);
    assert_string_equal(tree_world_text(w, "held"), "periodic correction is off");
    w->env.correct_periodically = true;
    tree_world_pass(w, 3000);
    assert_right(w);
}

/* ---- the DC changes its place ---- */

static void the_old_primary_becomes_a_backup(void **state)
{
    struct tree_world *w = *state;
    settle_primary(w);
    w->is_primary = false;
    tree_world_publish(w);
    tree_world_pass(w, 3000);
    /* What to pull from is not known yet; its own Redis are no source of a backup DC. */
    struct addr source = source_of(w);
    assert_true(addr_is_none(&source));
    assert_int_equal(w->keeper[0].commands, 0);
    assert_true(fake_dc_links_asked(w->tree_env.upstreams, "oy") > 0);
    tree_world_tell(w, TREE_FAR_HEAD);
    tree_world_pass(w, 3000);
    assert_right(w);
}

static void settle_backup(struct tree_world *w)
{
    w->is_primary = false;
    tree_world_open(w);
    tree_world_tell(w, TREE_FAR_HEAD);
    tree_world_pass(w, 5000);
}

static void a_backup_becomes_the_primary(void **state)
{
    struct tree_world *w = *state;
    settle_backup(w);
    assert_right(w);
    promote_by_hand(w, 1); /* the DC change does that */
    int sent = w->redis[0].commands + w->redis[1].commands + w->redis[2].commands;
    w->is_primary = true;
    tree_world_publish(w);
    tree_world_pass(w, 3000);
    assert_true(is_source(w, &w->redis[1]));
    assert_right(w);
    assert_int_equal(w->redis[0].commands + w->redis[1].commands + w->redis[2].commands, sent);
}

/* What it was given there is taken back, the master's last: a replica that is away meanwhile is waited for. */
static void priorities_come_back_in_the_primary(void **state)
{
    struct tree_world *w = *state;
    w->keeper_count = 0;
    w->queue_count = 0;
    settle_backup(w);
    assert_right(w);
    promote_by_hand(w, 1);
    w->is_primary = true;
    tree_world_kill(w, &w->redis[2]);
    tree_world_publish(w);
    tree_world_pass(w, 70000);
    assert_int_equal(w->redis[0].priority, 100);
    assert_int_equal(w->redis[1].priority, 0);
    tree_world_own(w, false);
    tree_world_pass(w, 1000);
    tree_world_own(w, true); /* made anew: nothing was remembered */
    tree_world_pass(w, 5000);
    tree_world_revive(w, &w->redis[2]);
    tree_world_point(w, &w->redis[2], &w->redis[1].addr);
    tree_world_pass(w, 30000);
    assert_int_equal(w->redis[2].priority, 100);
    assert_int_equal(w->redis[1].priority, 100);
    int sent = w->redis[0].priorities + w->redis[1].priorities + w->redis[2].priorities;
    assert_int_equal(sent, 6);
    w->redis[0].priority = 0; /* an operator's */
    tree_world_pass(w, 130000);
    assert_int_equal(w->redis[0].priority, 0);
}

/* The far DC changes from oy to fra: what oy said does not count any more. */
static void another_dc_becomes_the_primary(void **state)
{
    struct tree_world *w = *state;
    settle_backup(w);
    int sent = tree_world_commands(w);
    w->active_dc = "fra";
    tree_world_publish(w);
    tree_world_pass(w, 500);
    tree_world_tell(w, "10.0.2.8"); /* late, from oy */
    tree_world_pass(w, 5000);
    assert_int_equal(tree_world_commands(w), sent);
    struct addr source = source_of(w);
    assert_true(addr_is_none(&source));
    struct addr head = addr_of("10.0.3.9", 6380);
    tree_duty_upstream_told(tree_world_duty(w), "fra", &head, -1);
    w->far_head = head;
    tree_world_pass(w, 3000);
    assert_right(w);
}

static void told_one_of_ours_is_refused(void **state)
{
    struct tree_world *w = *state;
    settle_backup(w);
    int sent = tree_world_commands(w);
    tree_duty_upstream_told(tree_world_duty(w), "oy", &w->redis[0].addr, -1);
    tree_duty_upstream_told(tree_world_duty(w), "oy", &w->keeper[0].addr, -1);
    tree_world_pass(w, 10000);
    assert_int_equal(tree_world_commands(w), sent);
    assert_right(w);
}

#define T(f) cmocka_unit_test_setup_teardown(f, init_primary, close_world)

int main(void)
{
    log_set_level(getenv("SIM_LOG") ? LOG_INFO : LOG_LEVELS);
    const struct CMUnitTest tests[] = {
        T(the_active_keeper_pulls_from_the_master),
        T(sentinels_promote_and_the_keeper_follows),
        T(the_monitor_follows_the_document),
        T(a_new_active_keeper_is_told_to_the_backup_dcs),
        T(without_keepers_the_master_is_told),
        T(of_two_masters_the_known_one_stays),
        T(a_cold_start_with_a_silent_master_decides_nothing),
        T(a_lost_master_is_reported_once_and_nothing_promoted),
        T(auto_promotes_the_most_advanced_and_the_rest_follows),
        T(a_promotion_without_an_answer_makes_no_second_master),
        T(sentinels_or_a_migration_forbid_a_promotion),
        T(a_master_that_others_hear_is_not_lost),
        T(permission_is_asked_for_a_promotion),
        T(one_that_was_never_a_master_is_not_lost),
        T(the_periodic_switch_holds_a_promotion),
        T(the_old_primary_becomes_a_backup),
        T(a_backup_becomes_the_primary),
        T(priorities_come_back_in_the_primary),
        T(another_dc_becomes_the_primary),
        T(told_one_of_ours_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
