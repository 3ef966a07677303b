/* worker.c - see worker.h.
 *
 * Jobs go through three lists: waiting (any thread puts, workers take), running (on a worker's stack), finished
 * (workers put, the loop takes). One message per batch of finished jobs brings the loop here, so that a job needs
 * no allocation and worker_pool_free can answer what finished but was not delivered yet. */
#include "shared/net/worker.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "shared/base/metrics.h"
#include "shared/base/thread.h"

#include "shared/base/banned.h"

#define FINISH_BATCH_MAX 256

static struct metric jobs_run =
    METRIC_COUNTER_INIT("xpipe_worker_jobs_total", "result=\"run\"", "Jobs given to workers.");
static struct metric jobs_expired =
    METRIC_COUNTER_INIT("xpipe_worker_jobs_total", "result=\"expired\"", "Jobs given to workers.");
static struct metric jobs_refused =
    METRIC_COUNTER_INIT("xpipe_worker_jobs_total", "result=\"refused\"", "Jobs given to workers.");
static struct metric job_seconds =
    METRIC_HISTOGRAM_INIT("xpipe_worker_job_seconds", "", "Time that one job took on its worker.");

/* Outlives the pool when it is in the loop's mailbox at the end of the pool. Owner: loop. */
struct courier {
    struct loop_msg msg;
    struct worker_pool *pool; /* NULL: the pool is gone */
};

struct worker_pool {
    struct loop *loop;
    char *name;
    int queue_max;
    void (*thread_init)(void *arg);
    void (*thread_done)(void *arg);
    void *arg;
    pthread_t *threads;
    int thread_count;

    struct mutex lock;
    struct list idle XP_GUARDED_BY_MEMBER(lock); /* of struct idler; the one that came last first */
    struct list waiting XP_GUARDED_BY_MEMBER(lock);
    int waiting_count XP_GUARDED_BY_MEMBER(lock);
    struct list finished XP_GUARDED_BY_MEMBER(lock);
    struct courier *courier XP_GUARDED_BY_MEMBER(lock); /* NULL: none is under way */
    int next_number XP_GUARDED_BY_MEMBER(lock);         /* for the names of the threads */
    int64_t rest_ms XP_GUARDED_BY_MEMBER(lock);
    bool is_closing XP_GUARDED_BY_MEMBER(lock);
};

static void courier_arrived(struct loop_msg *msg);

static void courier_dropped(struct loop_msg *msg)
{
    free(CONTAINER_OF(msg, struct courier, msg));
}

/* The courier to post after unlocking, or NULL when one is under way already. */
static struct courier *call_courier(struct worker_pool *p) XP_REQUIRES(p->lock)
{
    if (p->courier) {
        return NULL;
    }
    p->courier = xcalloc(1, sizeof(*p->courier));
    p->courier->msg.deliver = courier_arrived;
    p->courier->msg.drop = courier_dropped;
    p->courier->pool = p;
    return p->courier;
}

static void finish(struct worker_pool *p, struct job *job)
{
    mutex_lock(&p->lock);
    list_push_back(&p->finished, &job->link);
    struct courier *courier = call_courier(p);
    mutex_unlock(&p->lock);
    if (courier) {
        loop_post_reserved(p->loop, &courier->msg);
    }
}

static struct job *pop_finished(struct worker_pool *p)
{
    mutex_lock(&p->lock);
    struct list *link = list_pop_front(&p->finished);
    mutex_unlock(&p->lock);
    return link ? LIST_ENTRY(link, struct job, link) : NULL;
}

/* 'done' may free the job, submit others, and even free the pool. */
static void courier_arrived(struct loop_msg *msg)
{
    struct courier *courier = CONTAINER_OF(msg, struct courier, msg);
    for (int i = 0; i < FINISH_BATCH_MAX && courier->pool; i++) {
        struct job *job = pop_finished(courier->pool);
        if (!job) {
            break;
        }
        job->done(job);
    }
    struct worker_pool *p = courier->pool;
    bool is_more_left = false;
    if (p) {
        mutex_lock(&p->lock);
        is_more_left = !list_is_empty(&p->finished);
        p->courier = is_more_left ? courier : NULL;
        mutex_unlock(&p->lock);
    }
    if (is_more_left) {
        loop_post_reserved(p->loop, &courier->msg);
    } else {
        free(courier);
    }
}

/* A thread that waits; on its stack. Whoever wakes it takes it out of the list. */
struct idler {
    struct list link;
    pthread_cond_t work; /* waits with the lock */
    bool is_resting;     /* since its last job it has given back what it kept */
};

static void wake_one(struct worker_pool *p) XP_REQUIRES(p->lock)
{
    struct list *link = list_pop_front(&p->idle);
    if (link) {
        xp_check(pthread_cond_signal(&LIST_ENTRY(link, struct idler, link)->work) == 0);
    }
}

static struct timespec time_in(int64_t wait_ms)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += wait_ms / 1000;
    t.tv_nsec += wait_ms % 1000 * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    return t;
}

/* False: nobody needed it for so long that it may rest. */
static bool wait_to_be_woken(struct worker_pool *p, struct idler *me) XP_REQUIRES(p->lock)
{
    if (me->is_resting) {
        xp_check(pthread_cond_wait(&me->work, &p->lock.raw) == 0);
        return true;
    }
    struct timespec end = time_in(p->rest_ms);
    int rc = pthread_cond_clockwait(&me->work, &p->lock.raw, CLOCK_MONOTONIC, &end);
    xp_check(rc == 0 || rc == ETIMEDOUT);
    return rc == 0 || !list_is_linked(&me->link);
}

/* Out of the list meanwhile: a job that comes now wakes another one, or is found afterwards. */
static void rest(struct worker_pool *p, struct idler *me) XP_REQUIRES(p->lock)
{
    list_remove(&me->link);
    mutex_unlock(&p->lock);
    thread_rest();
    mutex_lock(&p->lock);
    me->is_resting = true;
}

static void join_idle(struct worker_pool *p, struct idler *me) XP_REQUIRES(p->lock)
{
    if (list_is_linked(&me->link)) {
        return; /* woken by chance */
    }
    if (me->is_resting) {
        list_push_back(&p->idle, &me->link);
    } else { /* new here, or woken for a job that another one took */
        list_push_front(&p->idle, &me->link);
    }
}

static void wait_for_work(struct worker_pool *p, struct idler *me) XP_REQUIRES(p->lock)
{
    while (list_is_empty(&p->waiting) && !p->is_closing) {
        join_idle(p, me);
        if (!wait_to_be_woken(p, me)) {
            rest(p, me);
        }
    }
    if (list_is_linked(&me->link)) { /* woken by chance just when a job came */
        list_remove(&me->link);
    }
}

/* Waits for a job; NULL when the pool closes. */
static struct job *take_job(struct worker_pool *p)
{
    struct list *link = NULL;
    struct idler me = { .work = PTHREAD_COND_INITIALIZER };
    mutex_lock(&p->lock);
    wait_for_work(p, &me);
    if (!p->is_closing) {
        link = list_pop_front(&p->waiting);
        p->waiting_count--;
    }
    mutex_unlock(&p->lock);
    (void)pthread_cond_destroy(&me.work);
    return link ? LIST_ENTRY(link, struct job, link) : NULL;
}

static void run_job(struct job *job)
{
    if (clock_mono_ms() >= job->deadline) {
        job->outcome = XP_TIMEOUT;
        metric_add(&jobs_expired, 1);
        return;
    }
    int64_t start_us = clock_mono_us();
    job->outcome = 0;
    job->run(job);
    metric_add(&jobs_run, 1);
    metric_observe_us(&job_seconds, clock_mono_us() - start_us);
}

static void name_thread(struct worker_pool *p)
{
    char name[16];
    mutex_lock(&p->lock);
    int number = p->next_number++;
    mutex_unlock(&p->lock);
    (void)snprintf(name, sizeof(name), "%.10s-%d", p->name, number % 1000);
    thread_set_role(THREAD_WORKER, name);
}

static void *worker_main(void *arg)
{
    struct worker_pool *p = arg;
    name_thread(p);
    if (p->thread_init) {
        p->thread_init(p->arg);
    }
    struct job *job;
    while ((job = take_job(p)) != NULL) {
        run_job(job);
        if (job->is_done_anywhere) {
            job->done(job);
        } else {
            finish(p, job);
        }
    }
    if (p->thread_done) {
        p->thread_done(p->arg);
    }
    return NULL;
}

struct worker_pool *worker_pool_new(struct loop *l, const char *name, int threads, int queue_max,
                                    void (*thread_init)(void *arg), void (*thread_done)(void *arg),
                                    void *arg) XP_ALONE
{
    xp_check(threads > 0 && queue_max > 0);
    struct worker_pool *p = xcalloc(1, sizeof(*p));
    p->loop = l;
    p->name = xstrdup(name);
    p->queue_max = queue_max;
    p->thread_init = thread_init;
    p->thread_done = thread_done;
    p->arg = arg;
    p->rest_ms = WORKER_REST_MS;
    mutex_init(&p->lock);
    list_init(&p->idle);
    list_init(&p->waiting);
    list_init(&p->finished);
    metric_register(&jobs_run);
    metric_register(&jobs_expired);
    metric_register(&jobs_refused);
    p->threads = xcalloc((size_t)threads, sizeof(*p->threads));
    for (; p->thread_count < threads; p->thread_count++) {
        xp_check(pthread_create(&p->threads[p->thread_count], NULL, worker_main, p) == 0);
    }
    return p;
}

static int refuse(const struct worker_pool *p, bool is_closing, struct xp_err *err)
{
    metric_add(&jobs_refused, 1);
    if (is_closing) {
        return xp_fail(err, XP_UNAVAILABLE, "worker pool '%s' is shutting down", p->name);
    }
    return xp_fail(err, XP_UNAVAILABLE, "worker pool '%s' is full: %d jobs wait; try again later",
                   p->name, p->queue_max);
}

int worker_submit(struct worker_pool *p, struct job *job, struct xp_err *err)
{
    mutex_lock(&p->lock);
    bool is_closing = p->is_closing;
    bool is_accepted = !is_closing && p->waiting_count < p->queue_max;
    if (is_accepted) {
        job->outcome = 0;
        list_push_back(&p->waiting, &job->link);
        p->waiting_count++;
        wake_one(p);
    }
    mutex_unlock(&p->lock);
    return is_accepted ? 0 : refuse(p, is_closing, err);
}

void worker_pool_set_rest(struct worker_pool *p, int64_t rest_ms)
{
    mutex_lock(&p->lock);
    p->rest_ms = rest_ms;
    mutex_unlock(&p->lock);
}

int worker_pool_waiting(struct worker_pool *p)
{
    mutex_lock(&p->lock);
    int count = p->waiting_count;
    mutex_unlock(&p->lock);
    return count;
}

/* Refuses what comes, and turns what waits into finished jobs. */
static void close_queue(struct worker_pool *p)
{
    mutex_lock(&p->lock);
    p->is_closing = true;
    struct list *link;
    while ((link = list_pop_front(&p->waiting)) != NULL) {
        LIST_ENTRY(link, struct job, link)->outcome = XP_UNAVAILABLE;
        list_push_back(&p->finished, link);
        p->waiting_count--;
    }
    while (!list_is_empty(&p->idle)) {
        wake_one(p);
    }
    mutex_unlock(&p->lock);
}

void worker_pool_free(struct worker_pool *p) XP_ALONE
{
    if (!p) {
        return;
    }
    XP_ON_LOOP();
    close_queue(p);
    for (int i = 0; i < p->thread_count; i++) {
        xp_check(pthread_join(p->threads[i], NULL) == 0);
    }
    struct job *job;
    while ((job = pop_finished(p)) != NULL) {
        job->done(job);
    }
    if (p->courier) {
        p->courier->pool = NULL;
    }
    mutex_done(&p->lock);
    free(p->threads);
    free(p->name);
    free(p);
}
