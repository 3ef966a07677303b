/* loop_sim.c - the twin of the loop keeps the promises of loop.h, and adds those of fake_loop.h. */
#include "tests/unit/loop_scenarios.h"

#include <signal.h>

#include "tests/sim/fake_loop.h"

#include "shared/base/banned.h"

static void stand_still(struct loop *l, int64_t ms)
{
    fake_loop_freeze(l, ms);
}

static void write_and_restart(struct loop_timer *t)
{
    write_letter(CONTAINER_OF(t, struct actor, timer));
    loop_timer_start(t, 3600 * 1000);
}

static void a_day_takes_no_time(void **state)
{
    struct scene *s = *state;
    struct actor a = actor_of(s, 'h', write_and_restart);
    mono_ms start = clock_mono_ms();
    wall_ms wall_start = clock_wall_ms();
    loop_timer_start(&a.timer, 3600 * 1000);
    fake_loop_advance_to(start + 24 * 3600 * 1000 + 5);
    assert_int_equal(s->trace.len, 24);
    assert_int_equal(clock_mono_ms(), start + 24 * 3600 * 1000 + 5);
    assert_int_equal(clock_wall_ms() - wall_start, 24 * 3600 * 1000 + 5);
    loop_timer_stop(&a.timer);
}

static bool has_three_letters(void *arg)
{
    struct scene *s = arg;
    return s->trace.len >= 3;
}

static void run_until_stops_at_the_condition_or_the_limit(void **state)
{
    struct scene *s = *state;
    struct actor a = actor_of(s, 'h', write_and_restart);
    mono_ms start = clock_mono_ms();
    loop_timer_start(&a.timer, 0);
    assert_false(fake_loop_run_until(has_three_letters, s, start + 3600 * 1000));
    assert_int_equal(s->trace.len, 2);
    assert_true(fake_loop_run_until(has_three_letters, s, MONO_FOREVER));
    assert_int_equal(clock_mono_ms(), start + 2 * 3600 * 1000);
    loop_timer_stop(&a.timer);
    assert_false(fake_loop_step());
}

/* Two daemons in one world: one stands still, the other goes on. */
static void a_frozen_loop_catches_up_after_the_others(void **state)
{
    struct scene *s = *state;
    struct loop *second = loop_new();
    struct actor a = actor_of(s, 'a', actor_fires);
    struct actor b = actor_of(s, 'b', actor_fires);
    struct actor m = message_of(s, 'm');
    struct actor c = actor_of(s, 'c', actor_fires);
    loop_timer_init(&c.timer, second, actor_fires);
    mono_ms start = clock_mono_ms();
    loop_timer_start(&a.timer, 100);
    loop_timer_start(&b.timer, 200);
    loop_timer_start(&c.timer, 4000);
    fake_loop_freeze(s->loop, 5000);
    loop_post_reserved(s->loop, &m.msg);
    fake_loop_advance_to(start + 4999);
    assert_string_equal(str_text(&s->trace), "c");
    assert_false(loop_was_paused(s->loop, 1000));
    fake_loop_advance_to(start + 5000);
    assert_string_equal(str_text(&s->trace), "cmab");
    assert_true(loop_was_paused(s->loop, 1000));
    assert_false(loop_was_paused(second, 1000));
    fake_loop_advance_to(start + 6000);
    assert_false(loop_was_paused(s->loop, 1000));
    loop_free(second);
}

static void note_signal(int signo, void *arg)
{
    struct scene *s = arg;
    str_printf(&s->trace, "%d", signo);
}

static void signals_can_be_sent(void **state)
{
    struct scene *s = *state;
    assert_false(fake_loop_signal(s->loop, SIGTERM));
    loop_signals_watch(s->loop, note_signal, s);
    assert_true(fake_loop_signal(s->loop, SIGTERM));
    assert_true(fake_loop_step());
    assert_string_equal(str_text(&s->trace), "15");
}

static void count_step(void *arg)
{
    (*(int *)arg)++;
}

static void the_invariant_is_checked_after_each_callback(void **state)
{
    struct scene *s = *state;
    int steps = 0;
    struct actor a = actor_of(s, 'a', actor_fires);
    struct actor b = actor_of(s, 'b', actor_fires);
    loop_timer_start(&a.timer, 1);
    loop_timer_start(&b.timer, 1);
    fake_loop_after_step(count_step, &steps);
    fake_loop_advance_to(clock_mono_ms() + 1);
    fake_loop_after_step(NULL, NULL);
    assert_int_equal(steps, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_SCENARIOS,
        SCENARIO(a_day_takes_no_time),
        SCENARIO(run_until_stops_at_the_condition_or_the_limit),
        SCENARIO(a_frozen_loop_catches_up_after_the_others),
        SCENARIO(signals_can_be_sent),
        SCENARIO(the_invariant_is_checked_after_each_callback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
