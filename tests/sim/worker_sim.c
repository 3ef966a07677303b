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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_take_turns),
        cmocka_unit_test(the_queue_is_bounded_and_closed_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
