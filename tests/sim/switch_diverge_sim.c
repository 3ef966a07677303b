/* switch_diverge_sim.c - what a returned master has beyond the new one is in ZooKeeper before it may follow, and with the console some time
 * (fake_switch_world.h; console_report is here). */
#include <string.h>

#include "tests/sim/switch_fixture.h"

#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

enum { PATIENCE_MS = 2000, PROMOTED = 100 };

static char return_id; /* of the replication history that the old master comes back with */

/* ---- the console ---- */

static struct {
    char *key; /* NULL: nothing is under way */
    char *body;
    console_report_fn *on_end;
    void *arg;
    int reports;
} console;

void console_report_put(struct console_report *reports, const struct console_news *news)
{
    assert_ptr_equal(reports, &console);
    assert_null(console.key);
    assert_string_equal(news->method, "POST");
    assert_string_equal(news->target, "/api/v2/divergences");
    console.key = xstrdup(news->key);
    console.body = news->take_body;
    console.on_end = news->on_end;
    console.arg = news->arg;
    console.reports++;
}

bool console_report_has(const struct console_report *reports, const char *key)
{
    (void)reports;
    return console.key && text_eq(console.key, key);
}

static void console_says(int rc)
{
    assert_non_null(console.key);
    free(TAKE(console.key));
    free(TAKE(console.body));
    console.on_end(rc, console.arg);
}

/* ---- begin and end ---- */

static int open_returned(void **state)
{
    (void)open_backup(state);
    return_id = 'a';
    memset(&console, 0, sizeof(console));
    w->all->opt.reports = (struct console_report *)&console;
    w->all->opt.diverge_ms = PATIENCE_MS;
    gain();
    zk_settles();
    return 0;
}

static int close_returned(void **state)
{
    if (console.key) {
        console_says(XP_UNAVAILABLE); /* closing */
    }
    return close_world(state);
}

#define RETURNED(name) cmocka_unit_test_setup_teardown(name, open_returned, close_returned)

/* ---- the tree asks ---- */

static struct repl_history history(char id, char id2, int64_t second, int64_t offset)
{
    struct repl_history h = { .second_offset = second, .offset = offset, .has_data = true };
    memset(h.repl_id, id, REPL_ID_SIZE - 1);
    if (id2) {
        memset(h.repl_id2, id2, REPL_ID_SIZE - 1);
    }
    return h;
}

/* The old master was at 'offset' then; the new one was promoted at PROMOTED. "": it may follow; else why not. */
static const char *asked_of(int64_t offset, mono_ms own_at)
{
    static struct xp_err err;
    struct repl_history own = history(return_id, 0, -1, offset);
    struct repl_history point = history('b', 'a', PROMOTED + 1, 900);
    struct tree_discard discard = { .redis = addr_of("10.0.1.1", FIRST_PORT),
                                    .is_master = true,
                                    .own = &own,
                                    .own_at = own_at,
                                    .point = &point };
    err = (struct xp_err){ 0 };
    return shard_switch_may_discard(w->all, CLUSTER_ID, SHARD_ID, &discard, &err) == 0 ? ""
                                                                                       : err.msg;
}

static const char *asked(int64_t offset)
{
    return asked_of(offset, clock_mono_ms());
}

static void waits_by(const char *rule, int64_t offset)
{
    assert_non_null(strstr(asked(offset), rule));
}

static void is_held(void)
{
    let_pass(1);
    fence_ends(FENCE_GOAL_LOOK, FENCE_RELEASED);
    zk_settles();
    let_pass(60);
    fence_ends(FENCE_GOAL_HOLD, FENCE_HELD);
    let_pass(1);
}

/* ---- tests ---- */

static void it_is_held_and_written_down_before_it_follows(void **state)
{
    (void)state;
    int64_t alerts = metric_value(&switch_diverged_total);
    int64_t bytes = metric_value(&switch_diverged_bytes);
    waits_by("V30", 140);
    is_held();
    waits_by("V60", 150); /* what came before the hold is counted */
    assert_int_equal(console.reports, 0);
    assert_int_equal(w->node.diverged.count, 0);
    waits_by("V70", 150); /* ZooKeeper does not have it yet */
    zk_settles();
    assert_int_equal(w->node.diverged.count, 1);
    assert_int_equal(w->node.diverged.items[0].bytes, 50);
    assert_int_equal(w->node.diverged.items[0].offset, 150);
    assert_int_equal(w->node.diverged.items[0].promoted_offset, PROMOTED);
    assert_int_equal(console.reports, 1);
    assert_non_null(strstr(console.body, "\"bytes\":50,\"why\":\"compared\""));
    assert_non_null(strstr(console.body, "\"dc\":\"jq\",\"cluster\":\"c1\",\"shard\":\"s1\""));
    assert_string_equal(asked(164), ""); /* a ping: the console is not waited for */
    assert_int_equal(metric_value(&switch_diverged_total), alerts + 1);
    assert_int_equal(metric_value(&switch_diverged_bytes), bytes + 50);
    assert_int_equal(metric_value(&switch_untold), 1);
    console_says(0);
    zk_settles();
    assert_true(w->node.diverged.items[0].is_told);
    assert_int_equal(metric_value(&switch_untold), 0);
    let_pass(70000);
    metadata_says("fra", "Normal", 9);
    zk_settles();
    assert_int_equal(w->node.diverged.count, 0);
    assert_int_equal(console.reports, 1);
}

/* INFO of before the hold does not count all there is. */
static void what_is_counted_was_read_behind_the_hold(void **state)
{
    (void)state;
    mono_ms before = clock_mono_ms();
    waits_by("V30", 140);
    is_held();
    assert_non_null(strstr(asked_of(140, before), "V30"));
    zk_settles();
    assert_int_equal(w->node.diverged.count, 0);
    waits_by("V60", 150);
    zk_settles();
    assert_int_equal(w->node.diverged.items[0].bytes, 50);
}

static void who_is_not_beyond_leaves_no_trace(void **state)
{
    (void)state;
    waits_by("V30", PROMOTED);
    is_held();
    assert_string_equal(asked(PROMOTED), "");
    zk_settles();
    assert_int_equal(w->node.diverged.count, 0);
    assert_int_equal(console.reports, 0);
}

static void the_next_owner_tells_it_and_does_not_count_it_again(void **state)
{
    (void)state;
    waits_by("V30", 150);
    is_held();
    waits_by("V60", 150);
    zk_settles();
    console_says(XP_TOO_MANY); /* no room: it stays to be told */
    zk_settles();
    assert_false(w->node.diverged.items[0].is_told);
    int64_t alerts = metric_value(&switch_diverged_total);
    lose();
    assert_int_equal(metric_value(&switch_untold), 0);
    let_pass(1000);
    gain();
    zk_settles();
    assert_int_equal(console.reports, 2);
    assert_int_equal(metric_value(&switch_untold), 1);
    waits_by("V30", 150); /* it may have restarted */
    let_pass(60);
    fence_ends(FENCE_GOAL_HOLD, FENCE_HELD); /* its settings are known */
    let_pass(1);
    assert_string_equal(asked(150), "");
    assert_int_equal(metric_value(&switch_diverged_total), alerts);
    console_says(XP_REMOTE); /* refused for good: not told again for ever */
    zk_settles();
    assert_true(w->node.diverged.items[0].is_told);
}

static void without_zookeeper_it_waits(void **state)
{
    (void)state;
    waits_by("V30", 150);
    is_held();
    waits_by("V60", 150);
    switch_world_zk_answers(XP_TIMEOUT);
    for (int i = 0; i < 3; i++) {
        waits_by("V70", 150);
        let_pass(100);
    }
    zk_settles(); /* it is read, and written again */
    assert_int_equal(w->node.diverged.count, 1);
    assert_int_equal(console.reports, 1);
    assert_string_equal(asked(150), "");
}

static void who_cannot_be_held_is_counted_as_it_is(void **state)
{
    (void)state;
    int64_t began = clock_mono_ms();
    waits_by("V30", 110);
    let_pass(1);
    fence_ends(FENCE_GOAL_LOOK, FENCE_RELEASED);
    zk_settles();
    let_pass(60);
    fence_ends(FENCE_GOAL_HOLD, FENCE_NONE); /* refused */
    while (clock_mono_ms() < began + PATIENCE_MS - 100) {
        let_pass(100);
        waits_by("V30", 120);
        if (!list_is_empty(&w->fences)) {
            fence_ends(FENCE_GOAL_HOLD, FENCE_NONE);
        }
    }
    let_pass(200);
    waits_by("V60", 130);
    zk_settles();
    assert_int_equal(w->node.diverged.items[0].bytes, 30);
    assert_string_equal(asked(135), ""); /* it goes on for ever: counted once */
}

/* It went away while it waited, or it restarted: it is held and waited for anew. */
static void another_return_waits_anew(void **state)
{
    (void)state;
    waits_by("V30", 110);
    let_pass(PATIENCE_MS + 100);
    waits_by("V30", 110);
    for (int64_t ms = 0; ms < PATIENCE_MS - 100; ms += 100) {
        let_pass(100);
        waits_by("V30", 110);
    }
    let_pass(200);
    waits_by("V60", 110);
    waits_by("V70", 110);
    return_id = 'c';
    waits_by("V30", 110);
}

static void before_the_record_is_read_nobody_may(void **state)
{
    (void)state;
    lose();
    gain();
    assert_non_null(strstr(asked(150), "not read yet"));
    zk_settles();
    waits_by("V30", 150);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RETURNED(it_is_held_and_written_down_before_it_follows),
        RETURNED(what_is_counted_was_read_behind_the_hold),
        RETURNED(who_is_not_beyond_leaves_no_trace),
        RETURNED(the_next_owner_tells_it_and_does_not_count_it_again),
        RETURNED(without_zookeeper_it_waits),
        RETURNED(who_cannot_be_held_is_counted_as_it_is),
        RETURNED(another_return_waits_anew),
        RETURNED(before_the_record_is_read_nobody_may),
    };
    return cmocka_run_group_tests_name("switch_diverge", tests, NULL, NULL);
}
