/* shard_run_sim.c - the corrections of one shard: without permission, refused, unanswered, and removals. */
#include <stdio.h>

#include "shared/base/log.h"
#include "tests/sim/shard_fixture.h"

#include "shared/base/banned.h"

/* ---- permission ---- */

static void without_a_lease_nothing_is_ever_sent(void **state)
{
    struct world *w = *state;
    world_permit(w, false);
    world_tell_all(w);
    world_pass(w, 120000);
    assert_int_equal(world_peerofs(w), 0);
    world_permit(w, true);
    world_pass(w, 1100);
    assert_int_equal(world_peerofs(w), 2);
}

static void a_lease_lost_after_the_plan_stops_it(void **state)
{
    struct world *w = *state;
    world_pass(w, 3000);
    w->permission.left = 1; /* yes to the run, no to its first command */
    world_tell_all(w);
    world_pass(w, 30000);
    assert_int_equal(world_peerofs(w), 0);
    w->permission.left = 2; /* yes to the run and its first command */
    world_pass(w, 30000);
    assert_int_equal(world_peerofs(w), 1);
}

static void a_lease_lost_on_the_way_stops_it(void **state)
{
    struct world *w = *state;
    world_pass(w, 3000);
    world_latency(w, 400);
    world_pass(w, 3000);
    world_tell_all(w);
    world_pass(w, 600); /* CRDT.INFO is back, ROLE under way */
    world_permit(w, false);
    world_pass(w, 30000);
    assert_int_equal(world_peerofs(w), 0);
}

static void demoted_between_poll_and_command(void **state)
{
    struct world *w = *state;
    world_pass(w, 3000);
    w->redis[0].demote_after_info = true;
    world_tell_all(w);
    world_pass(w, 30000);
    assert_int_equal(world_peerofs(w), 0);
}

static void suspension_ends_by_itself(void **state)
{
    struct world *w = *state;
    world_pass(w, 3000);
    world_suspend(w, 30000);
    world_tell_all(w);
    world_pass(w, 29000);
    assert_int_equal(world_peerofs(w), 0);
    world_pass(w, 2200);
    assert_int_equal(world_peerofs(w), 2);
}

static void suspended_in_the_middle_of_a_run(void **state)
{
    struct world *w = *state;
    world_pass(w, 3000);
    world_latency(w, 200);
    world_pass(w, 3000);
    world_tell_all(w);
    for (int i = 0; i < 400 && world_peerofs(w) == 0; i++) {
        world_pass(w, 10);
    }
    assert_int_equal(world_peerofs(w), 1); /* the second one is not sent yet */
    world_suspend(w, 60000);
    world_pass(w, 50000);
    assert_int_equal(world_peerofs(w), 1);
    world_suspend(w, 0);
    world_pass(w, 3000);
    assert_int_equal(world_peerofs(w), 2);
}

static void a_migrating_cluster_is_left_alone(void **state)
{
    struct world *w = *state;
    w->status = "Migrating";
    world_publish(w);
    world_tell_all(w);
    world_pass(w, 60000);
    assert_int_equal(world_peerofs(w), 0);
    w->status = "Normal";
    world_publish(w);
    world_pass(w, 1100);
    assert_int_equal(world_peerofs(w), 2);
}

static void the_budget_delays(void **state)
{
    struct world *w = *state;
    world_pass(w, 3000);
    budget_init(&w->env.correct, 1, 1, clock_mono_ms());
    assert_true(budget_take(&w->env.correct, clock_mono_ms()));
    world_tell_all(w);
    world_pass(w, 500);
    assert_int_equal(world_peerofs(w), 0);
    world_pass(w, 2500);
    assert_int_equal(world_peerofs(w), 2);
}

/* ---- refusals and silence ---- */

static void a_refusal_backs_off_and_doubles(void **state)
{
    struct world *w = *state;
    struct fake_crdt *a = &w->redis[0];
    world_pass(w, 3000);
    a->trick = FAKE_CRDT_REFUSES;
    world_tell(w, "oy", "10.0.2.1", 2);
    static const int64_t pauses_ms[] = { 60000, 120000, 240000, 480000, 600000, 600000 };
    world_pass(w, 1000);
    for (size_t i = 0; i < ARRAY_LEN(pauses_ms); i++) {
        int sent = a->peerofs;
        assert_int_equal(sent, i + 1);
        mono_ms at = a->peerof_at;
        world_pass(w, at + pauses_ms[i] - 100 - clock_mono_ms());
        assert_int_equal(a->peerofs, sent);
        world_pass(w, 1300);
        assert_int_equal(a->peerofs, sent + 1);
    }
    a->trick = FAKE_CRDT_HONEST;
    world_tell(w, "oy", "10.0.2.2", 2); /* a change ends the pause */
    world_pass(w, 1000);
    assert_true(world_has_peer(w, a, 2, "10.0.2.2"));
}

static void ok_without_effect_backs_off(void **state)
{
    struct world *w = *state;
    struct fake_crdt *a = &w->redis[0];
    world_pass(w, 3000);
    a->trick = FAKE_CRDT_PRETENDS;
    world_tell(w, "oy", "10.0.2.1", 2);
    world_pass(w, 1500);
    assert_int_equal(a->peerofs, 1);
    static const int64_t pauses_ms[] = { 2000, 4000, 8000, 16000, 32000 };
    for (size_t i = 0; i < ARRAY_LEN(pauses_ms); i++) {
        int sent = a->peerofs;
        mono_ms at = a->peerof_at;
        world_pass(w, at + pauses_ms[i] - 100 - clock_mono_ms());
        assert_int_equal(a->peerofs, sent);
        world_pass(w, 2300);
        assert_int_equal(a->peerofs, sent + 1);
    }
}

/* The other DC fails over while a command to its old master is on its way: no proof of a Redis that takes nothing. */
static void a_change_during_a_run_is_no_failure(void **state)
{
    struct world *w = *state;
    struct fake_crdt *a = settle(w);
    world_latency(w, 200);
    world_pass(w, 2000);
    world_tell(w, "oy", "10.0.2.2", 2);
    for (int i = 0; i < 400 && a->peerofs == 0; i++) {
        world_pass(w, 10);
    }
    world_tell(w, "oy", "10.0.2.3", 2);
    world_pass(w, 4000);
    assert_true(world_has_peer(w, a, 2, "10.0.2.3"));
    assert_int_equal(a->peerofs, 2);
}

/* ... and before the command was sent at all: then it is not. */
static void an_outdated_run_is_dropped(void **state)
{
    struct world *w = *state;
    struct fake_crdt *a = settle(w);
    world_latency(w, 400);
    world_pass(w, 3000);
    world_tell(w, "oy", "10.0.2.2", 2);
    world_pass(w, 600); /* CRDT.INFO is back, ROLE under way */
    assert_int_equal(a->peerofs, 0);
    world_tell(w, "oy", "10.0.2.3", 2);
    world_pass(w, 5000);
    assert_int_equal(a->peerofs, 1);
    assert_true(world_has_peer(w, a, 2, "10.0.2.3"));
}

static void silence_is_read_back(void **state)
{
    struct world *w = *state;
    struct fake_crdt *a = &w->redis[0];
    world_pass(w, 3000);
    a->trick = FAKE_CRDT_SWALLOWS;
    world_tell(w, "oy", "10.0.2.1", 2);
    world_pass(w, 60000);
    assert_int_equal(a->peerofs, 1); /* it was carried out: the next look shows it */
    assert_true(world_has_peer(w, a, 2, "10.0.2.1"));
}

static void silence_without_effect_is_repeated_after_a_look(void **state)
{
    struct world *w = *state;
    struct fake_crdt *a = &w->redis[0];
    world_pass(w, 3000);
    a->trick = FAKE_CRDT_HANGS;
    world_tell(w, "oy", "10.0.2.1", 2);
    world_pass(w, 500);
    assert_int_equal(a->peerofs, 1);
    a->trick = FAKE_CRDT_HONEST;
    int infos = a->infos;
    world_pass(w, 1500);
    assert_int_equal(a->peerofs, 1);
    world_pass(w, 4000);
    assert_int_equal(a->peerofs, 2);
    assert_true(a->infos > infos);
}

/* Another DC says that its master is our replica: we would pull our own data back under its gid. */
static void a_replica_of_ours_is_no_master_of_another_dc(void **state)
{
    struct world *w = *state;
    struct fake_crdt *a = settle(w);
    world_tell(w, "oy", "10.0.1.2", 2);
    world_pass(w, 60000);
    assert_int_equal(a->peerofs, 0);
    assert_true(world_has_peer(w, a, 2, "10.0.2.1"));
    world_tell(w, "oy", "10.0.2.9", 2);
    world_pass(w, 5000);
    assert_true(world_has_peer(w, a, 2, "10.0.2.9"));
}

/* ---- removal ---- */

static void a_stranger_goes_after_three_verdicts(void **state)
{
    struct world *w = *state;
    w->peer_env.remove_peers = true;
    struct fake_crdt *a = settle(w);
    struct addr addr = addr_of("10.0.5.1", 6379);
    fake_crdt_put(a, 5, &addr, NULL, NULL);
    world_pass(w, 119000);
    assert_int_equal(a->peerofs, 0);
    world_pass(w, 4000);
    assert_int_equal(a->peerofs, 1);
    assert_string_equal(a->last, "PEEROF 5 no one");
    assert_int_equal(a->rewrites, 1);
    assert_int_equal(w->redis[1].rewrites, 1); /* replicas do not write it by themselves */
    assert_false(a->has_unsaved);
    world_pass(w, 60000);
    assert_int_equal(a->peerofs, 1);
}

/* Found by seed 967 of system_sim: an OK without effect to a removal was repeated at once, for ever. */
static void a_removal_without_effect_backs_off(void **state)
{
    struct world *w = *state;
    w->peer_env.remove_peers = true;
    struct fake_crdt *a = settle(w);
    struct addr addr = addr_of("10.0.5.1", 6379);
    fake_crdt_put(a, 5, &addr, NULL, NULL);
    a->trick = FAKE_CRDT_PRETENDS;
    world_pass(w, 119000);
    for (int i = 0; i < 60 && a->peerofs == 0; i++) {
        world_pass(w, 100);
    }
    static const int64_t pauses_ms[] = { 2000, 4000, 8000, 16000 };
    for (size_t i = 0; i < ARRAY_LEN(pauses_ms); i++) {
        int sent = a->peerofs;
        mono_ms at = a->peerof_at;
        assert_int_equal(sent, (int)i + 1);
        world_pass(w, at + pauses_ms[i] - 100 - clock_mono_ms());
        assert_int_equal(a->peerofs, sent);
        world_pass(w, 2300);
    }
    a->trick = FAKE_CRDT_HONEST;
    world_pass(w, 40000);
    assert_false(a->peers[5].is_set);
    assert_int_equal(a->peerofs, (int)ARRAY_LEN(pauses_ms) + 2);
}

static void a_stranger_stays_without_the_switch(void **state)
{
    struct world *w = *state;
    struct fake_crdt *a = settle(w);
    struct addr addr = addr_of("10.0.5.1", 6379);
    fake_crdt_put(a, 5, &addr, NULL, NULL);
    world_pass(w, 600000);
    assert_int_equal(a->peerofs, 0);
}

static void a_stranger_stays_while_the_document_is_old(void **state)
{
    struct world *w = *state;
    w->peer_env.remove_peers = true;
    w->peer_env.removal_verdicts = 4; /* the last one would come after the document grew old */
    struct fake_crdt *a = settle(w);
    struct addr addr = addr_of("10.0.5.1", 6379);
    fake_crdt_put(a, 5, &addr, NULL, NULL);
    world_pass(w, 30000);
    fake_loop_advance_to(clock_mono_ms() + 600000); /* the console confirms nothing any more */
    assert_int_equal(a->peerofs, 0);
}

static void a_dc_that_left_is_removed_on_old_versions_too(void **state)
{
    struct world *w = *state;
    w->peer_env.remove_peers = true;
    /* the connection is made anew after PEEROF: the rewrite must not be lost */
    w->redis[0].version = "1.0.14";
    struct fake_crdt *a = settle(w);
    (void)snprintf(w->dcs, sizeof(w->dcs), "jq,oy");
    world_publish(w);
    world_pass(w, 130000);
    assert_int_equal(a->peerofs, 1);
    assert_string_equal(a->last, "PEEROF 3 no one");
    assert_int_equal(a->rewrites, 1);
    assert_int_equal(w->redis[1].rewrites, 1);
    assert_false(a->has_unsaved);
}

#define T(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)

int main(void)
{
    log_set_level(LOG_ERROR);
    const struct CMUnitTest tests[] = {
        T(without_a_lease_nothing_is_ever_sent),
        T(a_lease_lost_after_the_plan_stops_it),
        T(a_lease_lost_on_the_way_stops_it),
        T(demoted_between_poll_and_command),
        T(suspension_ends_by_itself),
        T(suspended_in_the_middle_of_a_run),
        T(a_migrating_cluster_is_left_alone),
        T(the_budget_delays),
        T(a_refusal_backs_off_and_doubles),
        T(ok_without_effect_backs_off),
        T(a_change_during_a_run_is_no_failure),
        T(an_outdated_run_is_dropped),
        T(silence_is_read_back),
        T(silence_without_effect_is_repeated_after_a_look),
        T(a_replica_of_ours_is_no_master_of_another_dc),
        T(a_stranger_goes_after_three_verdicts),
        T(a_removal_without_effect_backs_off),
        T(a_stranger_stays_without_the_switch),
        T(a_stranger_stays_while_the_document_is_old),
        T(a_dc_that_left_is_removed_on_old_versions_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
