/* fake_worker.c - see fake_worker.h. Defines every function of worker.c, so that it is not linked. */
#include "tests/sim/fake_worker.h"

#include "shared/base/mem.h"
#include "shared/base/thread.h"
#include "tests/sim/fake_loop.h"
#include "tests/sim/fake_thread.h"

#include "shared/base/banned.h"

struct virtual_thread {
    struct worker_pool *pool;
    struct loop_timer finish;
    struct job *job;            /* NULL: free */
    struct fake_thread *paused; /* NULL: its job does not wait */
};

struct worker_pool {
    struct loop *loop;
    char *name;
    int queue_max;
    int64_t duration_ms;
    void (*thread_done)(void *arg);
    void *arg;
    struct loop_timer take; /* gives waiting jobs to free threads, never inside of worker_submit */
    struct list waiting;
    int waiting_count;
    struct virtual_thread *threads;
    int thread_count;
    bool is_closing;
};

static struct virtual_thread *running; /* whose job runs now; NULL: none */

/* What surrounds a piece of work of a worker. */
struct outside {
    enum thread_role role;
    struct loop *loop;
    struct virtual_thread *thread;
};

static struct outside go_inside(struct worker_pool *p, struct virtual_thread *t)
{
    struct outside before = { thread_role(), fake_loop_enter(p->loop), running };
    thread_set_role(THREAD_WORKER, NULL);
    running = t;
    return before;
}

static void go_outside(const struct outside *before)
{
    running = before->thread;
    (void)fake_loop_enter(before->loop);
    thread_set_role(before->role, NULL);
}

static void call_hook(struct worker_pool *p, void (*hook)(void *arg))
{
    if (hook) {
        struct outside before = go_inside(p, NULL);
        hook(p->arg);
        go_outside(&before);
    }
}

static void run_job(void *arg)
{
    struct job *job = arg;
    job->run(job);
}

static void run_on(struct virtual_thread *t)
{
    struct outside before = go_inside(t->pool, t);
    if (!t->paused) {
        t->paused = fake_thread_start(run_job, t->job);
    } else if (fake_thread_resume(t->paused)) {
        t->paused = NULL;
    }
    go_outside(&before);
    if (!t->paused) {
        loop_timer_start(&t->finish, t->pool->duration_ms);
    }
}

static void start_job(struct virtual_thread *t, struct job *job)
{
    t->job = job;
    if (loop_now(t->pool->loop) >= job->deadline) {
        job->outcome = XP_TIMEOUT;
        loop_timer_start(&t->finish, 0);
        return;
    }
    job->outcome = 0;
    run_on(t);
}

bool fake_worker_wait(struct fake_wait *w)
{
    struct virtual_thread *t = running;
    xp_check(t != NULL);
    if (!w->is_woken && !t->pool->is_closing) {
        w->thread = t;
        fake_thread_pause();
        w->thread = NULL;
    }
    return w->is_woken;
}

void fake_worker_wake(struct fake_wait *w)
{
    if (!w->is_woken) {
        w->is_woken = true;
        if (w->thread) {
            run_on(w->thread);
        }
    }
}

static void take_jobs(struct loop_timer *timer)
{
    struct worker_pool *p = CONTAINER_OF(timer, struct worker_pool, take);
    for (int i = 0; i < p->thread_count; i++) {
        struct list *link = p->threads[i].job ? NULL : list_pop_front(&p->waiting);
        if (link) {
            p->waiting_count--;
            start_job(&p->threads[i], LIST_ENTRY(link, struct job, link));
        }
    }
}

static void job_finished(struct loop_timer *timer)
{
    struct virtual_thread *t = CONTAINER_OF(timer, struct virtual_thread, finish);
    struct job *job = TAKE(t->job);
    loop_timer_start(&t->pool->take, 0);
    job->done(job); /* may free the pool */
}

struct worker_pool *worker_pool_new(struct loop *l, const char *name, int threads, int queue_max,
                                    void (*thread_init)(void *arg), void (*thread_done)(void *arg),
                                    void *arg)
{
    xp_check(threads > 0 && queue_max > 0);
    struct worker_pool *p = xcalloc(1, sizeof(*p));
    p->loop = l;
    p->name = xstrdup(name);
    p->queue_max = queue_max;
    p->duration_ms = 1;
    p->thread_done = thread_done;
    p->arg = arg;
    p->thread_count = threads;
    p->threads = xcalloc((size_t)threads, sizeof(*p->threads));
    list_init(&p->waiting);
    loop_timer_init(&p->take, l, take_jobs);
    for (int i = 0; i < threads; i++) {
        p->threads[i].pool = p;
        loop_timer_init(&p->threads[i].finish, l, job_finished);
        call_hook(p, thread_init);
    }
    return p;
}

int worker_submit(struct worker_pool *p, struct job *job, struct xp_err *err)
{
    if (p->is_closing) {
        return xp_fail(err, XP_UNAVAILABLE, "worker pool '%s' is shutting down", p->name);
    }
    if (p->waiting_count >= p->queue_max) {
        return xp_fail(err, XP_UNAVAILABLE, "worker pool '%s' is full: %d jobs wait", p->name,
                       p->queue_max);
    }
    job->outcome = 0;
    list_push_back(&p->waiting, &job->link);
    p->waiting_count++;
    if (!loop_timer_is_running(&p->take)) {
        loop_timer_start(&p->take, 0);
    }
    return 0;
}

/* Threads of the simulation keep nothing. */
void worker_pool_set_rest(struct worker_pool *p, int64_t rest_ms)
{
    xp_check(p && rest_ms > 0);
}

int worker_pool_waiting(struct worker_pool *p)
{
    return p->waiting_count;
}

void worker_pool_free(struct worker_pool *p)
{
    if (!p) {
        return;
    }
    p->is_closing = true;
    loop_timer_stop(&p->take);
    for (int i = 0; i < p->thread_count; i++) {
        struct virtual_thread *t = &p->threads[i];
        while (t->paused) {
            run_on(t);
        }
        struct job *job = TAKE(t->job);
        loop_timer_stop(&t->finish);
        call_hook(p, p->thread_done);
        if (job) {
            job->done(job);
        }
    }
    struct list *link;
    while ((link = list_pop_front(&p->waiting)) != NULL) {
        struct job *job = LIST_ENTRY(link, struct job, link);
        job->outcome = XP_UNAVAILABLE;
        job->done(job);
    }
    free(p->threads);
    free(p->name);
    free(p);
}

void fake_worker_set_duration(struct worker_pool *p, int64_t ms)
{
    p->duration_ms = ms;
}
