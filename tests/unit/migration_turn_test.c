/* Turns of migrations over a real store: one transaction each, everything or nothing. */
#include "tests/unit/migration_fixture.h"

#include "console/migration/migration_turn.h"
#include "shared/base/clock.h"
#include "shared/base/fault.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

/* Nothing is tried again. */
static const struct migration_settings defaults = { .mode = MODE_PLANNED, .outage_max_ms = 600000 };

static struct migration_turn turn_of(struct world *w, struct turn_item *items, size_t count)
{
    return (struct migration_turn){ .catalog = &w->cat,
                                    .settings = &defaults,
                                    .epoch = 3,
                                    .actor = "dba",
                                    .items = items,
                                    .count = count };
}

static struct turn_item ask(int64_t id, enum migration_ask what)
{
    return (struct turn_item){ .migration_cluster_id = id, .ask = what };
}

static void run(struct world *w, struct turn_item *items, size_t count)
{
    struct migration_turn turn = turn_of(w, items, count);
    if (migration_turn_run(&turn, &w->err) != 0) {
        fail_msg("%s", w->err.msg);
    }
}

static struct migration_result good_result(const struct migration_cluster_row *row,
                                           const struct migration_plan_call *call)
{
    struct migration_result r = { .call = call->call,
                                  .shard = call->shard,
                                  .follow = call->follow,
                                  .outcome = OUTCOME_OK,
                                  .text = xstrdup("[info]well\n"),
                                  .duration_ms = 5 };
    bool is_frozen = call->call == CALL_FREEZE;
    r.fence.is_ours = true;
    r.fence.has_info = true;
    r.fence.offset = 1000;
    r.fence.state = call->call == CALL_RELEASE ? FENCE_RELEASED
                    : is_frozen                ? FENCE_FROZEN
                                               : FENCE_HELD;
    r.change = (struct switch_change){ .is_success = true, .is_ours = true, .is_drained = true };
    if (call->call == CALL_PROMOTE) {
        char host[32];
        (void)snprintf(host, sizeof(host), "10.2.0.%d", (int)call->shard + 3);
        r.change.new_master = addr_of(host, 6380);
    }
    if (call->call == CALL_PUBLISH) {
        r.publish_info = xstrdup("{\"success\":true}");
    }
    (void)row;
    return r;
}

/* The item of the next turn: everything that was called has gone well, except what 'bad' names. */
static void answer_all(struct turn_item *item, enum migration_call bad, enum call_outcome outcome)
{
    struct turn_item next = { .migration_cluster_id = item->migration_cluster_id };
    next.results = xcalloc(item->call_count + 1, sizeof(*next.results));
    for (size_t i = 0; i < item->call_count; i++) {
        next.results[i] = good_result(&item->row, &item->calls[i]);
        if (item->calls[i].call == bad) {
            next.results[i].outcome = outcome;
        }
    }
    next.result_count = item->call_count;
    turn_item_done(item);
    *item = next;
}

static void run_to_the_end(struct world *w, struct turn_item *item)
{
    run(w, item, 1);
    for (int i = 0; i < 32 && item->call_count > 0; i++) {
        answer_all(item, CALL_NONE, OUTCOME_OK);
        run(w, item, 1);
    }
}

static void a_migration_goes_through(void **state)
{
    struct world *w = *state;
    struct turn_item item = ask(1, ASK_PROCESS);
    run(w, &item, 1);
    assert_int_equal(item.row.status, MIG_CHECKING);
    assert_int_equal(item.call_count, 3);
    assert_int_equal(item.row.epoch, 3);
    ASSERT_SQL(w, "Lock", "SELECT status FROM cluster_tbl");
    answer_all(&item, CALL_NONE, OUTCOME_OK);
    sql(w, "DELETE FROM push_outbox");
    run(w, &item, 1);
    assert_int_equal(item.row.status, MIG_MIGRATING);
    assert_int_equal(item.calls[0].call, CALL_HOLD);
    ASSERT_SQL(w, "Migrating 3",
               "SELECT status || ' ' || (SELECT count(*) FROM push_outbox) FROM cluster_tbl");
    answer_all(&item, CALL_NONE, OUTCOME_OK);
    AUTO_FREE char *version = ask_sql(w, "SELECT max(idx) FROM change_log");
    run(w, &item, 1);
    assert_int_equal(item.calls[0].call, CALL_DRAIN);
    assert_true(item.wake_at > 0);
    AUTO_FREE char *same = ask_sql(w, "SELECT max(idx) FROM change_log");
    assert_string_equal(version, same); /* bookkeeping only */
    answer_all(&item, CALL_NONE, OUTCOME_OK);
    run_to_the_end(w, &item);
    assert_int_equal(item.row.status, MIG_SUCCESS);
    assert_true(item.is_over);
    assert_int_equal(item.row.follow_count, 2);
    ASSERT_SQL(w, "Normal 0 oy",
               "SELECT c.status||' '||c.migration_event_id||' '||d.dc_name FROM cluster_tbl c JOIN "
               "dc_tbl d ON d.id=c.activedc_id");
    ASSERT_SQL(w, "10.2.0.3:6380,10.2.0.4:6380",
               "SELECT group_concat(a) FROM (SELECT redis_ip||':'||redis_port AS a FROM redis_tbl "
               "WHERE master=1 ORDER BY 1)");
    ASSERT_SQL(w, "1 {\"success\":true}",
               "SELECT is_followed||' '||publish_info FROM migration_cluster_tbl");
    ASSERT_SQL(
        w, "2",
        "SELECT count(*) FROM migration_line_tbl WHERE kind='intent' AND to_state='promote'");
    ASSERT_SQL(w, "G10,G32,G40,G62,G98",
               "SELECT group_concat(rule) FROM (SELECT rule FROM migration_line_tbl WHERE "
               "kind='transition' ORDER BY id)");
    turn_item_done(&item);
}

#if defined(XP_FAULTS) && XP_FAULTS /* release builds have no fault points */
static void a_disk_error_leaves_everything_as_it_was(void **state)
{
    struct world *w = *state;
    struct turn_item item = ask(1, ASK_PROCESS);
    run(w, &item, 1);
    answer_all(&item, CALL_NONE, OUTCOME_OK);
    AUTO_FREE char *before = ask_sql(
        w, "SELECT count(*)||(SELECT status FROM migration_cluster_tbl) FROM migration_line_tbl");
    assert_int_equal(fault_configure("db_before_commit=error", &w->err), 0);
    struct migration_turn turn = turn_of(w, &item, 1);
    assert_int_equal(migration_turn_run(&turn, &w->err), XP_UNAVAILABLE);
    assert_int_equal(item.call_count, 0);
    AUTO_FREE char *after = ask_sql(
        w, "SELECT count(*)||(SELECT status FROM migration_cluster_tbl) FROM migration_line_tbl");
    assert_string_equal(before, after);
    ASSERT_SQL(w, "Lock", "SELECT status FROM cluster_tbl");
    assert_int_equal(fault_configure("", &w->err), 0);
    run_to_the_end(w, &item); /* the same item again */
    assert_int_equal(item.row.status, MIG_SUCCESS);
    turn_item_done(&item);
}
#endif

static void a_higher_epoch_keeps_us_out(void **state)
{
    struct world *w = *state;
    sql(w, "UPDATE migration_cluster_tbl SET epoch = 4");
    struct turn_item items[2] = { ask(1, ASK_PROCESS), ask(77, ASK_PROCESS) };
    run(w, items, 2);
    assert_int_equal(items[0].rc, XP_CONFLICT);
    assert_string_equal(items[0].err_text, "migration 1 belongs to epoch 4, this console is 3");
    assert_int_equal(items[1].rc, XP_NOT_FOUND);
    assert_int_equal(items[0].call_count, 0);
    ASSERT_SQL(w, "Initiated 4", "SELECT status||' '||epoch FROM migration_cluster_tbl");
    turn_item_done(&items[0]);
    turn_item_done(&items[1]);
}

static void a_refused_ask_is_told_and_changes_nothing(void **state)
{
    struct world *w = *state;
    struct turn_item item = ask(1, ASK_FORCE_END);
    run(w, &item, 1);
    assert_int_equal(item.rc, XP_CONFLICT);
    assert_string_equal(item.err_text, "Cannot force end while Initiated");
    assert_int_equal(item.row.status, MIG_INITIATED);
    turn_item_done(&item);
    item = ask(1, ASK_ROLLBACK);
    run(w, &item, 1);
    assert_int_equal(item.rc, 0);
    assert_int_equal(item.row.status, MIG_ABORTED);
    ASSERT_SQL(w, "Normal", "SELECT status FROM cluster_tbl");
    ASSERT_SQL(w, "2", "SELECT count(*) FROM migration_line_tbl WHERE kind = 'ask'");
    turn_item_done(&item);
}

static void a_restart_before_a_promotion_rolls_back(void **state)
{
    struct world *w = *state;
    struct turn_item item = ask(1, ASK_PROCESS);
    run(w, &item, 1);
    answer_all(&item, CALL_NONE, OUTCOME_OK);
    run(w, &item, 1);
    answer_all(&item, CALL_NONE, OUTCOME_OK);
    run(w, &item, 1); /* drains are under way */
    turn_item_done(&item);
    item = (struct turn_item){ .migration_cluster_id = 1, .is_resumed = true };
    run(w, &item, 1);
    assert_int_equal(item.row.status, MIG_ROLL_BACK);
    assert_int_equal(item.call_count, 2);
    assert_int_equal(item.calls[0].call, CALL_RELEASE);
    ASSERT_SQL(w, "Rollback", "SELECT status FROM cluster_tbl");
    answer_all(&item, CALL_RELEASE, OUTCOME_REFUSED);
    run(w, &item, 1);
    assert_int_equal(item.row.status, MIG_ROLL_BACK_FAIL);
    assert_string_equal(item.row.reason,
                        "roll back: dc jq, shard s1, MIGRATE_PREVIOUS_PRIMARY_DC: release refused: "
                        "well, and 1 more shard");
    turn_item_done(&item);
    item = ask(1, ASK_PROCESS);
    run_to_the_end(w, &item);
    assert_int_equal(item.row.status, MIG_ABORTED);
    assert_int_equal(item.row.follow_count, 0); /* nobody was promoted */
    ASSERT_SQL(
        w, "Normal jq",
        "SELECT c.status||' '||d.dc_name FROM cluster_tbl c JOIN dc_tbl d ON d.id=c.activedc_id");
    turn_item_done(&item);
}

static void followers_are_asked_until_nobody_needs_them(void **state)
{
    struct world *w = *state;
    struct turn_item item = ask(1, ASK_PROCESS);
    run(w, &item, 1);
    for (int i = 0; i < 32 && item.call_count > 0; i++) {
        answer_all(&item, CALL_FOLLOW, OUTCOME_UNREACHABLE);
        run(w, &item, 1);
    }
    assert_int_equal(item.row.status, MIG_SUCCESS);
    assert_false(item.is_over);
    assert_true(item.wake_at > 0);
    ASSERT_SQL(w, "0", "SELECT is_followed FROM migration_cluster_tbl");
    turn_item_done(&item);
    add_migrations(w, 1, 1); /* a newer one */
    item = ask(1, ASK_NONE);
    run(w, &item, 1);
    assert_true(item.is_over);
    ASSERT_SQL(w, "1", "SELECT is_followed FROM migration_cluster_tbl WHERE id = 1");
    turn_item_done(&item);
}

/* ---- a fence that goes on by itself ---- */

struct came { /* a result, for the next turn */
    enum migration_call call;
    size_t shard;
    bool goes_on;
};

static void give(struct turn_item *item, const struct came *came, size_t count)
{
    struct turn_item next = { .migration_cluster_id = item->migration_cluster_id,
                              .result_count = count };
    next.results = xcalloc(count, sizeof(*next.results));
    for (size_t i = 0; i < count; i++) {
        struct migration_plan_call call = { .call = came[i].call, .shard = came[i].shard };
        next.results[i] = good_result(&item->row, &call);
        next.results[i].goes_on = came[i].goes_on;
    }
    turn_item_done(item);
    *item = next;
}

/* Holds of both shards are under way. */
static struct turn_item until_the_holds(struct world *w)
{
    struct turn_item item = ask(1, ASK_PROCESS);
    run(w, &item, 1);
    answer_all(&item, CALL_NONE, OUTCOME_OK);
    run(w, &item, 1);
    assert_int_equal(item.call_count, 2);
    assert_int_equal(item.calls[0].call, CALL_HOLD);
    return item;
}

static void assert_calls(const struct turn_item *item, enum migration_call call, size_t count)
{
    assert_int_equal(item->call_count, count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(item->calls[i].call, call);
    }
}

static void a_fence_that_went_on_is_one_turn(void **state)
{
    struct world *w = *state;
    struct turn_item item = until_the_holds(w);
    static const struct came all[] = {
        { CALL_HOLD, 0, true },  { CALL_HOLD, 1, true },    { CALL_DRAIN, 1, true },
        { CALL_DRAIN, 0, true }, { CALL_FREEZE, 0, false }, { CALL_FREEZE, 1, false },
    };
    give(&item, all, ARRAY_LEN(all));
    run(w, &item, 1);
    assert_calls(&item, CALL_PROMOTE, 2);
    ASSERT_SQL(w, "hold,hold,drain,drain,freeze,freeze,promote,promote",
               "SELECT group_concat(to_state) FROM (SELECT to_state FROM migration_line_tbl WHERE "
               "kind='intent' AND rule IN ('G72','G74') ORDER BY id)");
    ASSERT_SQL(w, "6",
               "SELECT count(*) FROM migration_line_tbl WHERE kind='result' AND rule='ok' "
               "AND to_state IN ('hold','drain','freeze')");
    answer_all(&item, CALL_NONE, OUTCOME_OK);
    run_to_the_end(w, &item);
    assert_int_equal(item.row.status, MIG_SUCCESS);
    turn_item_done(&item);
}

static void what_goes_on_is_not_sent_again(void **state)
{
    struct world *w = *state;
    struct turn_item item = until_the_holds(w);
    give(&item, (struct came[]){ { CALL_HOLD, 0, true }, { CALL_HOLD, 1, false } }, 2);
    run(w, &item, 1);
    assert_calls(&item, CALL_DRAIN, 1);
    assert_int_equal(item.calls[0].shard, 1);
    give(&item, (struct came[]){ { CALL_DRAIN, 0, true }, { CALL_DRAIN, 1, false } }, 2);
    run(w, &item, 1);
    assert_calls(&item, CALL_FREEZE, 1);
    assert_int_equal(item.calls[0].shard, 1);
    give(&item, (struct came[]){ { CALL_FREEZE, 0, false } }, 1);
    run(w, &item, 1);
    assert_calls(&item, CALL_NONE, 0);
    give(&item, (struct came[]){ { CALL_FREEZE, 1, false } }, 1);
    run(w, &item, 1);
    assert_calls(&item, CALL_PROMOTE, 2);
    turn_item_done(&item);
}

/* Behind the freeze more has to arrive: that is asked for, though a drain went on by itself in the same turn. */
static void a_second_drain_is_sent(void **state)
{
    struct world *w = *state;
    struct turn_item item = until_the_holds(w);
    static const struct came both[] = {
        { CALL_HOLD, 0, true }, { CALL_DRAIN, 0, true }, { CALL_FREEZE, 0, false },
        { CALL_HOLD, 1, true }, { CALL_DRAIN, 1, true }, { CALL_FREEZE, 1, false },
    };
    give(&item, both, ARRAY_LEN(both));
    item.results[2].fence.offset = 1700;
    run(w, &item, 1);
    assert_calls(&item, CALL_DRAIN, 1);
    assert_int_equal(item.calls[0].shard, 0);
    give(&item, (struct came[]){ { CALL_DRAIN, 0, false } }, 1);
    run(w, &item, 1);
    assert_calls(&item, CALL_PROMOTE, 2);
    turn_item_done(&item);
}

static void what_goes_on_ends_with_a_restart(void **state)
{
    struct world *w = *state;
    struct turn_item item = until_the_holds(w);
    give(&item, (struct came[]){ { CALL_HOLD, 0, true }, { CALL_HOLD, 1, true } }, 2);
    item.is_resumed = true;
    run(w, &item, 1);
    assert_int_equal(item.row.status, MIG_ROLL_BACK);
    assert_calls(&item, CALL_RELEASE, 2);
    give(&item, (struct came[]){ { CALL_DRAIN, 0, true } }, 1); /* too late: nothing comes of it */
    run(w, &item, 1);
    assert_calls(&item, CALL_NONE, 0);
    assert_int_equal(item.row.shards[0].drain, OUTCOME_NONE);
    turn_item_done(&item);
}

/* Its calls are gone with the turn of which nobody knows: forward, each is sent. */
static void forward_a_restart_sends_what_went_on(void **state)
{
    struct world *w = *state;
    struct turn_item item = until_the_holds(w);
    static const struct came holds[] = { { CALL_HOLD, 0, true }, { CALL_HOLD, 1, true } };
    give(&item, holds, ARRAY_LEN(holds));
    run(w, &item, 1);
    assert_calls(&item, CALL_NONE, 0);
    sql(w,
        "UPDATE migration_shard_tbl SET state = json_set(state, '$.mayBePromoted', json('true'))");
    give(&item, holds, ARRAY_LEN(holds));
    item.is_resumed = true;
    run(w, &item, 1);
    assert_calls(&item, CALL_DRAIN, 2);
    turn_item_done(&item);
}

/* There a drain that fails is not the end: it is asked for with these words. */
static void in_a_disaster_the_plan_sends_each(void **state)
{
    struct world *w = *state;
    sql(w, "UPDATE migration_cluster_tbl SET mode = 'disaster'");
    struct turn_item item = until_the_holds(w);
    static const struct came early[] = { { CALL_HOLD, 0, true },
                                         { CALL_HOLD, 1, true },
                                         { CALL_DRAIN, 0, true } };
    give(&item, early, ARRAY_LEN(early));
    run(w, &item, 1);
    assert_calls(&item, CALL_DRAIN, 2);
    turn_item_done(&item);
}

/* ---- figures ---- */

/* MANY=1000 measures what is noted in the report; fewer are enough to see that it works. */
static int many(void)
{
    const char *text = getenv("MANY");
    int64_t value = 200;
    (void)text_to_i64(text ? text : "", text ? strlen(text) : 0, 1, 5000, &value);
    return (int)value;
}

static int many_open(void **state)
{
    int rc = world_open(state);
    struct world *w = *state;
    for (int i = 1; i <= many(); i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "c%d", i);
        add_one_way(w, name, i);
    }
    add_migrations(w, 1, many());
    return rc;
}

static void many_clusters_go_in_one_turn(void **state)
{
    struct world *w = *state;
    const int count = many();
    struct turn_item *items = xcalloc((size_t)count, sizeof(*items));
    for (int i = 0; i < count; i++) {
        items[i] = ask(i + 1, ASK_PROCESS);
    }
    int turns = 0;
    mono_ms begin = clock_mono_ms();
    mono_ms longest = 0;
    for (bool is_more = true; is_more; turns++) {
        mono_ms from = clock_mono_ms();
        run(w, items, (size_t)count);
        mono_ms took = clock_mono_ms() - from;
        longest = took > longest ? took : longest;
        is_more = false;
        for (int i = 0; i < count; i++) {
            is_more |= items[i].call_count > 0;
            if (items[i].call_count > 0) {
                answer_all(&items[i], CALL_NONE, OUTCOME_OK);
            }
        }
    }
    mono_ms all = clock_mono_ms() - begin;
    print_message("%d clusters, %d turns: %lld ms, %.3f ms for a cluster and turn, the longest "
                  "turn %lld ms\n",
                  count, turns, (long long)all, (double)all / count / turns, (long long)longest);
    ASSERT_SQL(w, "0", "SELECT count(*) FROM migration_cluster_tbl WHERE status <> 'Success'");
    ASSERT_SQL(w, "0", "SELECT count(*) FROM cluster_tbl WHERE status <> 'Normal'");
    for (int i = 0; i < count; i++) {
        turn_item_done(&items[i]);
    }
    free(items);
}

#define T(test) cmocka_unit_test_setup_teardown(test, migration_world_open, world_close)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_migration_goes_through),
#if defined(XP_FAULTS) && XP_FAULTS
        T(a_disk_error_leaves_everything_as_it_was),
#endif
        T(a_higher_epoch_keeps_us_out),
        T(a_refused_ask_is_told_and_changes_nothing),
        T(a_restart_before_a_promotion_rolls_back),
        T(followers_are_asked_until_nobody_needs_them),
        T(a_fence_that_went_on_is_one_turn),
        T(what_goes_on_is_not_sent_again),
        T(a_second_drain_is_sent),
        T(what_goes_on_ends_with_a_restart),
        T(forward_a_restart_sends_what_went_on),
        T(in_a_disaster_the_plan_sends_each),
        cmocka_unit_test_setup_teardown(many_clusters_go_in_one_turn, many_open, world_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
