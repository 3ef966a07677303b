/* worker_sim.c - the twin of worker.h behaves as worker.h promises, in virtual time. */
#include "tests/sim/fake_worker.h"

#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/thread.h"
#include "tests/sim/fake_loop.h"
#include "tests/unit/unit.h"

#include "shared/base/banned.h"

struct task {
    struct job job;
    int run_count;
    int done_count;
    mono_ms done_at;
};

static void task_run(struct job *job)
{
    assert_int_equal(thread_role(), THREAD_WORKER);
    CONTAINER_OF(job, struct task, job)->run_count++;
}

static void task_done(struct job *job)
{
    struct task *t = CONTAINER_OF(job, struct task, job);
    t->done_count++;
    t->done_at = clock_mono_ms();
}

static struct task task_of(void)
{
    return (struct task){ .job = { .run = task_run, .done = task_done, .deadline = MONO_FOREVER } };
}

static void jobs_take_turns(void **state)
{
    (void)state;
    struct loop *l = loop_new();
    struct worker_pool *p = worker_pool_new(l, "sim", 2, 8, NULL, NULL, NULL);
    struct task tasks[3] = { task_of(), task_of(), task_of() };
    struct task late = task_of();
    mono_ms start = clock_mono_ms();
    fake_worker_set_duration(p, 10);
    late.job.deadline = start + 5;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(worker_submit(p, &tasks[i].job, NULL), 0);
    }
    assert_int_equal(worker_submit(p, &late.job, NULL), 0);
    assert_int_equal(tasks[0].run_count, 0); /* never inside of worker_submit */
    fake_loop_advance_to(start + 100);
    assert_int_equal(tasks[0].done_at, start + 10);
    assert_int_equal(tasks[1].done_at, start + 10);
    assert_int_equal(tasks[2].done_at, start + 20);
    assert_int_equal(late.job.outcome, XP_TIMEOUT);
    assert_int_equal(late.run_count, 0);
    assert_int_equal(late.done_count, 1);
    worker_pool_free(p);
    loop_free(l);
}

static void the_queue_is_bounded_and_closed_in_order(void **state)
{
    (void)state;
    struct loop *l = loop_new();
    struct xp_err err = { 0 };
    struct worker_pool *p = worker_pool_new(l, "sim", 1, 2, NULL, NULL, NULL);
    struct task running = task_of();
    struct task tasks[3] = { task_of(), task_of(), task_of() };
    fake_worker_set_duration(p, 10);
    assert_int_equal(worker_submit(p, &running.job, NULL), 0);
    fake_loop_advance_to(clock_mono_ms() + 1);
    assert_int_equal(worker_submit(p, &tasks[0].job, NULL), 0);
    assert_int_equal(worker_submit(p, &tasks[1].job, NULL), 0);
    assert_int_equal(worker_submit(p, &tasks[2].job, &err), XP_UNAVAILABLE);
    assert_non_null(strstr(err.msg, "full"));
    assert_int_equal(worker_pool_waiting(p), 2);
    worker_pool_free(p);
    assert_int_equal(running.job.outcome, 0);
    assert_int_equal(running.done_count, 1);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(tasks[i].job.outcome, XP_UNAVAILABLE);
        assert_int_equal(tasks[i].run_count, 0);
        assert_int_equal(tasks[i].done_count, 1);
    }
    assert_int_equal(tasks[2].done_count, 0);
    loop_free(l);
}

/* ---- jobs that wait ---- */

#define STEPS_MAX 64

static struct {
    int steps[STEPS_MAX];
    size_t count;
} trace;

static void note(int what)
{
    assert_true(trace.count < STEPS_MAX);
    trace.steps[trace.count++] = what;
}

static void assert_trace(const int *steps, size_t count)
{
    assert_int_equal(trace.count, count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(trace.steps[i], steps[i]);
    }
    trace.count = 0;
}
#define ASSERT_TRACE(...)                                                                          \
    assert_trace((const int[]){ __VA_ARGS__ }, ARRAY_LEN(((const int[]){ __VA_ARGS__ })))

struct waiter { /* notes 10n + 1 at its begin, + 2 and + 3 after its waits, + 9 in 'done' */
    struct job job;
    int number;
    struct fake_wait first;
    struct fake_wait second;
    bool was_woken[2];
    enum thread_role role;
    struct loop *loop;
};

static void waiter_run(struct job *job)
{
    struct waiter *w = CONTAINER_OF(job, struct waiter, job);
    note(w->number * 10 + 1);
    w->was_woken[0] = fake_worker_wait(&w->first);
    w->role = thread_role();
    w->loop = fake_loop_current();
    note(w->number * 10 + 2);
    w->was_woken[1] = fake_worker_wait(&w->second);
    note(w->number * 10 + 3);
}

static void waiter_done(struct job *job)
{
    note(CONTAINER_OF(job, struct waiter, job)->number * 10 + 9);
}

static struct waiter waiter_of(int number)
{
    return (
        struct waiter){ .job = { .run = waiter_run, .done = waiter_done, .deadline = MONO_FOREVER },
                        .number = number };
}

struct alarm {
    struct loop_timer timer;
    struct fake_wait *wait;
};

static void alarm_fired(struct loop_timer *t)
{
    enum thread_role role = thread_role();
    struct loop *loop = fake_loop_current();
    fake_worker_wake(CONTAINER_OF(t, struct alarm, timer)->wait);
    assert_int_equal(thread_role(), role);
    assert_ptr_equal(fake_loop_current(), loop);
    note(0);
}

static void set_alarm(struct alarm *a, struct loop *l, struct fake_wait *wait, int64_t ms)
{
    a->wait = wait;
    loop_timer_init(&a->timer, l, alarm_fired);
    loop_timer_start(&a->timer, ms);
}

/* Two threads: the third job is taken only when one of the two before it has ended; others run while one waits. */
static void jobs_wait_without_holding_up_others(void **state)
{
    (void)state;
    struct loop *l = loop_new();
    struct loop *other = loop_new();
    struct worker_pool *p = worker_pool_new(l, "sim", 2, 8, NULL, NULL, NULL);
    struct waiter w[3] = { waiter_of(1), waiter_of(2), waiter_of(3) };
    struct alarm alarms[5];
    mono_ms start = clock_mono_ms();
    for (int i = 0; i < 3; i++) {
        assert_int_equal(worker_submit(p, &w[i].job, NULL), 0);
    }
    set_alarm(&alarms[0], other, &w[1].first, 10);
    set_alarm(&alarms[1], other, &w[0].first, 20);
    set_alarm(&alarms[2], other, &w[1].second, 30);
    fake_loop_advance_to(start + 25);
    ASSERT_TRACE(11, 21, 22, 0, 12, 0);
    assert_int_equal(w[1].role, THREAD_WORKER);
    assert_ptr_equal(w[1].loop, l);
    fake_loop_advance_to(start + 40);
    ASSERT_TRACE(23, 0, 29, 31);
    fake_worker_wake(&w[0].second); /* between steps, too */
    fake_worker_wake(&w[0].second);
    fake_worker_wake(&w[2].second); /* before its wait */
    fake_worker_wake(&w[2].first);
    ASSERT_TRACE(13, 32, 33);
    fake_loop_advance_to(start + 50);
    ASSERT_TRACE(19, 39);
    assert_true(w[2].was_woken[0] && w[2].was_woken[1]);
    worker_pool_free(p);
    loop_free(other);
    loop_free(l);
}

static void the_end_of_the_pool_ends_every_wait(void **state)
{
    (void)state;
    struct loop *l = loop_new();
    struct worker_pool *p = worker_pool_new(l, "sim", 2, 8, NULL, NULL, NULL);
    struct waiter w[3] = { waiter_of(1), waiter_of(2), waiter_of(3) };
    mono_ms start = clock_mono_ms();
    for (int i = 0; i < 3; i++) {
        assert_int_equal(worker_submit(p, &w[i].job, NULL), 0);
    }
    fake_loop_advance_to(start + 5);
    fake_worker_wake(&w[0].first);
    ASSERT_TRACE(11, 21, 12);
    worker_pool_free(p);
    ASSERT_TRACE(13, 19, 22, 23, 29, 39);
    assert_int_equal(clock_mono_ms(), start + 5);
    assert_true(w[0].was_woken[0] && !w[0].was_woken[1]);
    assert_true(!w[1].was_woken[0] && !w[1].was_woken[1]);
    assert_int_equal(w[1].job.outcome, 0);
    assert_int_equal(w[2].job.outcome, XP_UNAVAILABLE);
    loop_free(l);
}

/* A crashed loop runs nothing any more, and its pool can still be freed. */
static void a_crashed_process_does_nothing_more(void **state)
{
    (void)state;
    struct loop *l = loop_new();
    struct loop *other = loop_new();
    struct worker_pool *p = worker_pool_new(l, "sim", 1, 8, NULL, NULL, NULL);
    struct waiter w = waiter_of(1);
    struct alarm mine;
    struct alarm others;
    assert_int_equal(worker_submit(p, &w.job, NULL), 0);
    fake_loop_advance_to(clock_mono_ms() + 5);
    set_alarm(&mine, l, &w.first, 10);
    set_alarm(&others, other, &w.second, 20);
    trace.count = 0;
    fake_loop_crash(l);
    fake_loop_advance_to(clock_mono_ms() + 60000);
    ASSERT_TRACE(0); /* the other loop's */
    worker_pool_free(p);
    loop_timer_stop(&mine.timer);
    loop_free(l);
    loop_free(other);
    trace.count = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_take_turns),
        cmocka_unit_test(the_queue_is_bounded_and_closed_in_order),
        cmocka_unit_test(jobs_wait_without_holding_up_others),
        cmocka_unit_test(the_end_of_the_pool_ends_every_wait),
        cmocka_unit_test(a_crashed_process_does_nothing_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
