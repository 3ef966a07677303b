/* worker_test.c - worker.h: exactly one 'done' per job, whatever happens to it. */
#include "shared/net/worker.h"

#include "shared/base/thread.h"
#include "tests/unit/redis_fixture.h"

#include "shared/base/banned.h"

#define LIMIT_MS 20000

struct bench {
    struct loop *loop;
    struct worker_pool *pool;
    int run_count; /* atomic: any worker */
    int done_count;
    int inits;
    int ends;
    int is_gate_open; /* atomic: jobs with a gate wait for it */
};

struct task {
    struct job job;
    struct bench *bench;
    bool is_gated;
    int done_count;
    int was_run;
};

static int get(int *value)
{
    return __atomic_load_n(value, __ATOMIC_ACQUIRE);
}

static void increment(int *value)
{
    (void)__atomic_add_fetch(value, 1, __ATOMIC_ACQ_REL);
}

static void task_run(struct job *job)
{
    struct task *t = CONTAINER_OF(job, struct task, job);
    assert_int_equal(thread_role(), THREAD_WORKER);
    increment(&t->bench->run_count);
    t->was_run++;
    while (t->is_gated && !get(&t->bench->is_gate_open)) {
        (void)usleep(500);
    }
}

static void task_done(struct job *job)
{
    struct task *t = CONTAINER_OF(job, struct task, job);
    assert_int_not_equal(thread_role(), THREAD_WORKER);
    t->done_count++;
    t->bench->done_count++;
}

static struct task task_of(struct bench *b)
{
    return (struct task){ .job = { .run = task_run, .done = task_done, .deadline = MONO_FOREVER },
                          .bench = b };
}

static void note_init(void *arg)
{
    increment(&((struct bench *)arg)->inits);
}

static void note_end(void *arg)
{
    increment(&((struct bench *)arg)->ends);
}

static void bench_open(struct bench *b, int threads, int queue_max)
{
    *b = (struct bench){ .loop = loop_new() };
    b->pool = worker_pool_new(b->loop, "test", threads, queue_max, note_init, note_end, b);
}

static void bench_close(struct bench *b)
{
    worker_pool_free(b->pool);
    loop_free(b->loop);
}

static bool all_done(void *arg)
{
    struct bench *b = arg;
    return b->done_count == get(&b->run_count) && b->done_count >= 1000;
}

static void every_job_runs_and_is_answered_once(void **state)
{
    (void)state;
    enum { COUNT = 1000 };
    struct bench b;
    bench_open(&b, 3, COUNT);
    struct task *tasks = xcalloc(COUNT, sizeof(*tasks));
    for (int i = 0; i < COUNT; i++) {
        tasks[i] = task_of(&b);
        assert_int_equal(worker_submit(b.pool, &tasks[i].job, NULL), 0);
    }
    assert_true(loop_wait(b.loop, all_done, &b, LIMIT_MS));
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(tasks[i].was_run, 1);
        assert_int_equal(tasks[i].done_count, 1);
        assert_int_equal(tasks[i].job.outcome, 0);
    }
    bench_close(&b);
    assert_int_equal(b.inits, 3);
    assert_int_equal(b.ends, 3);
    free(tasks);
}

static void wait_for_count(int *value, int count)
{
    mono_ms limit = clock_mono_ms() + LIMIT_MS;
    while (get(value) < count) {
        assert_true(clock_mono_ms() < limit);
        (void)usleep(500);
    }
}

static void open_gate(struct bench *b)
{
    __atomic_store_n(&b->is_gate_open, 1, __ATOMIC_RELEASE);
}

static bool three_done(void *arg)
{
    return ((struct bench *)arg)->done_count == 3;
}

static void the_queue_has_a_limit(void **state)
{
    (void)state;
    struct bench b;
    struct xp_err err = { 0 };
    bench_open(&b, 1, 2);
    struct task running = task_of(&b);
    struct task waiting[2] = { task_of(&b), task_of(&b) };
    struct task refused = task_of(&b);
    running.is_gated = true;
    assert_int_equal(worker_submit(b.pool, &running.job, NULL), 0);
    wait_for_count(&b.run_count, 1);
    assert_int_equal(worker_submit(b.pool, &waiting[0].job, NULL), 0);
    assert_int_equal(worker_submit(b.pool, &waiting[1].job, NULL), 0);
    assert_int_equal(worker_pool_waiting(b.pool), 2);
    assert_int_equal(worker_submit(b.pool, &refused.job, &err), XP_UNAVAILABLE);
    assert_non_null(strstr(err.msg, "'test' is full"));
    open_gate(&b);
    assert_true(loop_wait(b.loop, three_done, &b, LIMIT_MS));
    assert_int_equal(refused.done_count, 0);
    bench_close(&b);
}

static bool two_done(void *arg)
{
    return ((struct bench *)arg)->done_count == 2;
}

static void a_job_that_waited_too_long_is_not_run(void **state)
{
    (void)state;
    struct bench b;
    bench_open(&b, 1, 8);
    struct task first = task_of(&b);
    struct task late = task_of(&b);
    first.is_gated = true;
    late.job.deadline = clock_mono_ms(); /* over as soon as it waits */
    assert_int_equal(worker_submit(b.pool, &first.job, NULL), 0);
    wait_for_count(&b.run_count, 1);
    assert_int_equal(worker_submit(b.pool, &late.job, NULL), 0);
    open_gate(&b);
    assert_true(loop_wait(b.loop, two_done, &b, LIMIT_MS));
    assert_int_equal(late.was_run, 0);
    assert_int_equal(late.job.outcome, XP_TIMEOUT);
    bench_close(&b);
}

static void *open_gate_when_closing(void *arg)
{
    struct bench *b = arg;
    mono_ms limit = clock_mono_ms() + LIMIT_MS;
    while (worker_pool_waiting(b->pool) > 0 && clock_mono_ms() < limit) {
        (void)usleep(500);
    }
    open_gate(b);
    return NULL;
}

/* One runs, two wait, one has run but the loop has not heard of it: all get their one 'done' inside of free. */
static void shutdown_answers_everybody(void **state)
{
    (void)state;
    struct bench b;
    pthread_t opener;
    bench_open(&b, 1, 8);
    struct task finished = task_of(&b);
    struct task running = task_of(&b);
    struct task waiting[2] = { task_of(&b), task_of(&b) };
    running.is_gated = true;
    assert_int_equal(worker_submit(b.pool, &finished.job, NULL), 0);
    assert_int_equal(worker_submit(b.pool, &running.job, NULL), 0);
    wait_for_count(&b.run_count, 2);
    assert_int_equal(worker_submit(b.pool, &waiting[0].job, NULL), 0);
    assert_int_equal(worker_submit(b.pool, &waiting[1].job, NULL), 0);
    assert_int_equal(pthread_create(&opener, NULL, open_gate_when_closing, &b), 0);
    /* The opener looks at the pool only until the gate is open, which the running job, and so free, waits for. */
    worker_pool_free(b.pool);
    assert_int_equal(pthread_join(opener, NULL), 0);
    assert_int_equal(finished.done_count, 1);
    assert_int_equal(running.done_count, 1);
    assert_int_equal(running.job.outcome, 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(waiting[i].was_run, 0);
        assert_int_equal(waiting[i].done_count, 1);
        assert_int_equal(waiting[i].job.outcome, XP_UNAVAILABLE);
    }
    assert_int_equal(b.done_count, 4);
    loop_free(b.loop); /* the courier in the mailbox finds no pool */
}

static void free_pool_in_done(struct job *job)
{
    struct task *t = CONTAINER_OF(job, struct task, job);
    struct bench *b = t->bench;
    worker_pool_free(TAKE(b->pool));
    b->done_count++;
    loop_stop(b->loop);
}

static void the_pool_may_be_freed_on_the_loop(void **state)
{
    (void)state;
    struct bench b;
    bench_open(&b, 2, 8);
    struct task t = task_of(&b);
    t.job.done = free_pool_in_done;
    assert_int_equal(worker_submit(b.pool, &t.job, NULL), 0);
    loop_run(b.loop);
    assert_int_equal(b.done_count, 1);
    bench_close(&b);
}

static int release_count; /* atomic: any worker */

static void note_release(void)
{
    increment(&release_count);
}

static void keep_something(struct job *job)
{
    thread_keeps(note_release);
    task_run(job);
}

static bool one_done(void *arg)
{
    return ((struct bench *)arg)->done_count == 1;
}

/* Those that keep nothing have nothing to give back; a thread that rested works again, keeps again, and rests again. */
static void a_thread_without_work_rests(void **state)
{
    (void)state;
    struct bench b;
    bench_open(&b, 3, 8);
    worker_pool_set_rest(b.pool, 20);
    release_count = 0;
    for (int round = 1; round <= 2; round++) {
        struct task t = task_of(&b);
        t.job.run = keep_something;
        b.done_count = 0;
        assert_int_equal(worker_submit(b.pool, &t.job, NULL), 0);
        assert_true(loop_wait(b.loop, one_done, &b, LIMIT_MS));
        wait_for_count(&release_count, round);
    }
    worker_pool_set_rest(b.pool, WORKER_REST_MS);
    struct task tasks[8] = { 0 };
    for (size_t i = 0; i < ARRAY_LEN(tasks); i++) {
        tasks[i] = task_of(&b);
        assert_int_equal(worker_submit(b.pool, &tasks[i].job, NULL), 0);
    }
    wait_for_count(&b.run_count, 2 + (int)ARRAY_LEN(tasks));
    bench_close(&b);
    assert_int_equal(release_count, 2);
}

static void done_on_worker(struct job *job)
{
    struct task *t = CONTAINER_OF(job, struct task, job);
    assert_int_equal(thread_role(), THREAD_WORKER);
    increment(&t->done_count);
}

/* The loop does not run here, and is not needed. */
static void a_job_may_be_done_anywhere(void **state)
{
    (void)state;
    enum { COUNT = 50 };
    struct bench b;
    struct task tasks[COUNT];
    bench_open(&b, 3, COUNT);
    for (int i = 0; i < COUNT; i++) {
        tasks[i] = task_of(&b);
        tasks[i].job.done = done_on_worker;
        tasks[i].job.is_done_anywhere = true;
        assert_int_equal(worker_submit(b.pool, &tasks[i].job, NULL), 0);
    }
    for (int i = 0; i < COUNT; i++) {
        wait_for_count(&tasks[i].done_count, 1);
    }
    bench_close(&b);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(tasks[i].done_count, 1);
        assert_int_equal(tasks[i].was_run, 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_job_runs_and_is_answered_once),
        cmocka_unit_test(the_queue_has_a_limit),
        cmocka_unit_test(a_job_that_waited_too_long_is_not_run),
        cmocka_unit_test(shutdown_answers_everybody),
        cmocka_unit_test(the_pool_may_be_freed_on_the_loop),
        cmocka_unit_test(a_thread_without_work_rests),
        cmocka_unit_test(a_job_may_be_done_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
