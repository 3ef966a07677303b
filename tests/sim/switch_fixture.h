/* switch_fixture.h - what the simulations of the steps of one shard begin and end with, and the words that they are written in
 * (fake_switch_world.h). */
#ifndef TESTS_SIM_SWITCH_FIXTURE_H
#define TESTS_SIM_SWITCH_FIXTURE_H

#include "tests/sim/fake_loop.h"
#include "tests/sim/fake_switch_world.h"
#include "tests/unit/unit.h"

static struct switch_world *const w = &switch_world;

/* ---- begin and end ---- */

static inline int open_primary(void **state)
{
    (void)state;
    switch_world_open("jq");
    return 0;
}

static inline int open_backup(void **state)
{
    (void)state;
    switch_world_open("fra");
    return 0;
}

static inline int close_world(void **state)
{
    (void)state;
    switch_world_close();
    return 0;
}

#define TEST(open, name) cmocka_unit_test_setup_teardown(name, open, close_world)

/* ---- time, ZooKeeper, slot, metadata ---- */

static inline void let_pass(int64_t ms)
{
    fake_loop_advance_to(clock_mono_ms() + ms);
}

static inline void zk_settles(void)
{
    for (int i = 0; i < 20 && w->asked.done; i++) {
        switch_world_zk_answers(0);
    }
    assert_null(w->asked.done);
}

static inline void gain(void)
{
    shard_switch_gained(w->all, dc_store_cluster_by_id(w->store, CLUSTER_ID), "s1");
}

static inline void lose(void)
{
    shard_switch_lost(w->all, CLUSTER_ID, SHARD_ID);
}

/* The slot is ours, and its record was read. */
static inline void own(void)
{
    gain();
    zk_settles();
}

/* A document comes, and those who look after the shard are told of it. */
static inline void metadata_says(const char *active, const char *status, int version)
{
    switch_world_document(active, status, version);
    shard_switch_cluster(w->all, dc_store_cluster_by_id(w->store, CLUSTER_ID));
}

/* ---- requests ---- */

static inline int ask_for(enum switch_step step, int64_t epoch, int64_t deadline_ms)
{
    struct xp_err err;
    struct switch_request request = {
        .step = step,
        .cluster = "c1",
        .shard = "s1",
        .dc = step == SWITCH_FOLLOW ? "fra" : "jq",
        .order = { .epoch = epoch, .deadline_ms = deadline_ms, .add_sentinel = w->adds_sentinels }
    };
    return shard_switch_start(w->all, &request, switch_world_told, NULL, &err);
}

static inline void ask(enum switch_step step, int64_t epoch)
{
    assert_int_equal(ask_for(step, epoch, 0), 0);
}

static inline const struct switch_told *last(void)
{
    assert_true(w->answers > 0);
    return &w->told[w->answers - 1];
}

static inline enum duty_stance stance(void)
{
    return shard_switch_stance(w->all, CLUSTER_ID, SHARD_ID);
}

/* ---- runs end ---- */

static inline struct fence_run *fence_now(void)
{
    assert_false(list_is_empty(&w->fences));
    return LIST_ENTRY(w->fences.next, struct fence_run, link);
}

static inline struct promote_run *promotion_now(void)
{
    assert_false(list_is_empty(&w->promotions));
    return LIST_ENTRY(w->promotions.next, struct promote_run, link);
}

static inline bool fence_may(void)
{
    struct xp_err err;
    return fence_now()->o.run.may_command(fence_now()->o.run.arg, &err) == 0;
}

static inline bool promotion_may(void)
{
    struct xp_err err;
    return promotion_now()->o.run.may_command(promotion_now()->o.run.arg, &err) == 0;
}

static inline void fence_ends(enum fence_goal goal, enum fence_state state)
{
    struct fence_run *run = fence_now();
    assert_int_equal(run->o.goal, goal);
    struct switch_fence result = { .state = state,
                                   .master = addr_of("10.0.1.1", w->master_port),
                                   .offset = 100 };
    if (w->seen_min_slaves >= 0) {
        result.saved = (struct fence_saved){ .is_known = true,
                                             .min_slaves = w->seen_min_slaves,
                                             .max_lag_s = 5 };
    }
    run->o.on_done(&result, run->o.run.arg);
}

static inline void promotion_ends(enum promote_outcome outcome, int port)
{
    struct promote_run *run = promotion_now();
    struct promote_result result = {
        .outcome = outcome, .change = { .is_success = outcome == PROMOTE_OK, .offset_gap = 0 }
    };
    if (outcome == PROMOTE_OK) {
        result.change.new_master = addr_of("10.0.1.1", port);
    } else if (outcome == PROMOTE_UNKNOWN) {
        result.maybe = addr_of("10.0.1.1", port);
    }
    run->o.on_done(&result, run->o.run.arg);
}

/* Up to the record that says so. */
static inline void look_before_hold(int64_t epoch)
{
    ask(SWITCH_HOLD, epoch);
    fence_ends(FENCE_GOAL_LOOK, FENCE_RELEASED);
}

/* Up to the run of the hold itself. */
static inline void begin_hold(int64_t epoch)
{
    look_before_hold(epoch);
    zk_settles();
    assert_int_equal(fence_now()->o.goal, FENCE_GOAL_HOLD);
}

static inline void begin_promotion(int64_t epoch)
{
    ask(SWITCH_PROMOTE, epoch);
    zk_settles();
    (void)promotion_now();
}

#endif
