/* store_watch.c - see store_watch.h. A timer of the loop, a job on a worker, at most one at a time. */
#include "console/store/store_watch.h"

#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/metrics.h"
#include "shared/base/banned.h"

struct store_watch {
    struct loop_timer timer;
    struct job job;
    struct worker_pool *pool;
    struct store *store;
    int64_t period_ms;
    bool is_looking;
    bool is_failing;
};

static struct metric failing_gauge = METRIC_GAUGE_INIT(
    "xpipe_store_failing", "", "1 while the database cannot be written, or is damaged");

static void look(struct job *job)
{
    store_check(CONTAINER_OF(job, struct store_watch, job)->store);
}

static void looked(struct job *job)
{
    struct store_watch *w = CONTAINER_OF(job, struct store_watch, job);
    char problem[DB_PROBLEM_BYTES];
    bool is_failing = store_problem(w->store, problem);
    w->is_looking = false;
    if (is_failing && !w->is_failing) {
        log_error("store.failing", "why", problem);
    } else if (!is_failing && w->is_failing) {
        log_info("store.works");
    }
    w->is_failing = is_failing;
    metric_set(&failing_gauge, is_failing);
}

static void timer_fire(struct loop_timer *t)
{
    struct store_watch *w = CONTAINER_OF(t, struct store_watch, timer);
    if (!w->is_looking) {
        w->job = (struct job){ .run = look, .done = looked, .deadline = MONO_FOREVER };
        w->is_looking = worker_submit(w->pool, &w->job, NULL) == 0; /* full: at the next time */
    }
    loop_timer_start(t, w->period_ms);
}

struct store_watch *store_watch_new(struct loop *loop, struct worker_pool *pool,
                                    struct store *store, int64_t period_ms)
{
    struct store_watch *w = xcalloc(1, sizeof(*w));
    w->pool = pool;
    w->store = store;
    w->period_ms = period_ms;
    metric_register(&failing_gauge);
    loop_timer_init(&w->timer, loop, timer_fire);
    loop_timer_start(&w->timer, 0);
    return w;
}

void store_watch_stop(struct store_watch *w)
{
    loop_timer_stop(&w->timer);
}

void store_watch_free(struct store_watch *w)
{
    free(w);
}
