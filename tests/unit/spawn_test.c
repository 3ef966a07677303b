/* spawn_test.c - the function runs on a thread of its own and is done when the thread is joined. */
#include "shared/base/spawn.h"

#include "tests/unit/unit.h"

#include "shared/base/banned.h"

struct task {
    pthread_t ran_on;
    int count;
};

static void *run(void *arg)
{
    struct task *t = arg;
    t->ran_on = pthread_self();
    t->count++;
    return NULL;
}

static void it_runs_once_elsewhere(void **state)
{
    (void)state;
    struct task t = { 0 };
    spawned thread;
    spawn(&thread, run, &t);
    spawn_join(thread);
    assert_int_equal(t.count, 1);
    assert_false(pthread_equal(t.ran_on, pthread_self()));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(it_runs_once_elsewhere) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
