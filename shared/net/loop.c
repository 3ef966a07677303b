/* loop.c - see loop.h. libev polls; order, time and limits are ours.
 *
 * A turn, as libev runs it: prepare watcher (ends the meter of the turn before, applies wanted masks, arms one
 * ev_timer for the earliest deadline) - poll - first check watcher (takes the time of the turn, looks for a
 * pause) - messages and descriptors - last check watcher (due timers). All timers live in one timer_heap, on
 * our clock: libev's own monotonic clock stands still while the machine sleeps. */
#include "shared/net/loop.h"

#include <errno.h>
#include <ev.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "shared/base/log.h"
#include "shared/base/metrics.h"
#include "shared/base/thread.h"
#include "shared/net/timer_heap.h"

#include "shared/base/banned.h"

#define POST_BATCH_MAX    256
#define TICK_MS           500
#define PAUSE_MS          2000
#define SLOW_TURN_US      100000
#define LONGEST_POLL_S    60.0
#define WATCHED_SIGNO_MAX 5

static struct metric turn_seconds = METRIC_HISTOGRAM_INIT(
    "xpipe_loop_turn_seconds", "", "Time that one turn of the event loop spent in callbacks.");
static struct metric pauses_total = METRIC_COUNTER_INIT(
    "xpipe_loop_pauses_total", "", "Times the process stood still for more than two seconds.");

struct io_impl {
    struct loop_io *io;
    struct ev_io watch;
    int actual; /* the mask libev knows */
    struct list dirty_link;
};

struct shared_slot {
    const struct loop_shared_type *type;
    void *object;
};

struct loop {
    struct ev_loop *ev;
    struct ev_prepare before_poll;
    struct ev_check after_poll;
    struct ev_check after_io;
    struct ev_timer wake; /* ends the poll at the earliest deadline */
    struct ev_idle hurry; /* active: poll without waiting (libev rounds short waits up to 1 ms) */
    struct ev_async knock;

    struct timer_heap timers;
    uint64_t next_seq;
    struct list dirty_ios; /* io_impl whose wanted mask may differ from the actual one */
    struct shared_slot shared[LOOP_SHARED_MAX];

    bool in_turn;
    mono_ms now; /* of this turn */
    int64_t turn_start_us;
    int fired_timers; /* of this turn, for the log */
    int fired_ios;
    int fired_messages;

    struct loop_timer tick;
    mono_ms last_alive; /* start of the latest turn */
    mono_ms paused_at;

    int signal_fd;
    struct loop_io signal_io;
    void (*on_signal)(int signo, void *arg);
    void *signal_arg;

    struct mutex lock;
    struct list posted XP_GUARDED_BY_MEMBER(lock);
    int posted_count XP_GUARDED_BY_MEMBER(lock);
    bool is_stopping XP_GUARDED_BY_MEMBER(lock);
};

/* ---- pause ---- */

static void note_alive(struct loop *l, mono_ms now)
{
    int64_t gap_ms = now - l->last_alive;
    l->last_alive = now;
    if (gap_ms > PAUSE_MS) {
        l->paused_at = now;
        metric_add(&pauses_total, 1);
        log_warn("loop.paused", "gap_ms", log_int(gap_ms));
    }
}

/* Keeps turns coming, so that a gap between two of them means something. */
static void tick_fired(struct loop_timer *t)
{
    loop_timer_start(t, TICK_MS);
}

bool loop_was_paused(struct loop *l, int64_t hold_ms)
{
    mono_ms now = clock_mono_ms();
    if (l->in_turn && now - l->last_alive > PAUSE_MS) {
        return true;
    }
    return mono_age(now, l->paused_at) < hold_ms;
}

/* ---- turns ---- */

static void meter_turn(struct loop *l)
{
    int64_t spent_us = clock_mono_us() - l->turn_start_us;
    metric_observe_us(&turn_seconds, spent_us);
    if (spent_us > SLOW_TURN_US) {
        log_warn("loop.slow", "turn_ms", log_int(spent_us / 1000), "timers",
                 log_int(l->fired_timers), "ios", log_int(l->fired_ios), "messages",
                 log_int(l->fired_messages));
    }
    l->fired_timers = 0;
    l->fired_ios = 0;
    l->fired_messages = 0;
}

static void apply_wanted(struct loop *l)
{
    struct list *link;
    while ((link = list_pop_front(&l->dirty_ios)) != NULL) {
        struct io_impl *impl = LIST_ENTRY(link, struct io_impl, dirty_link);
        int wanted = impl->io->wanted;
        if (wanted == impl->actual) {
            continue;
        }
        ev_io_stop(l->ev, &impl->watch);
        if (wanted != 0) {
            ev_io_set(&impl->watch, impl->io->fd,
                      ((wanted & LOOP_READ) ? EV_READ : 0) |
                          ((wanted & LOOP_WRITE) ? EV_WRITE : 0));
            ev_io_start(l->ev, &impl->watch);
        }
        impl->actual = wanted;
    }
}

/* libev counts the delay from the moment its last poll returned, which is when 'now' was taken. */
static void arm_wake(struct loop *l)
{
    const struct timer_node *top = timer_heap_top(&l->timers);
    if (top && top->deadline <= l->now) {
        ev_idle_start(l->ev, &l->hurry);
        return;
    }
    ev_idle_stop(l->ev, &l->hurry);
    double delay_s = top ? (double)(top->deadline - l->now) / 1000.0 : LONGEST_POLL_S;
    l->wake.repeat = delay_s < LONGEST_POLL_S ? delay_s : LONGEST_POLL_S;
    ev_timer_again(l->ev, &l->wake);
}

static void before_poll_cb(struct ev_loop *ev, struct ev_prepare *w, int events)
{
    (void)ev;
    (void)events;
    struct loop *l = w->data;
    meter_turn(l);
    apply_wanted(l);
    arm_wake(l);
    l->in_turn = false;
}

static void after_poll_cb(struct ev_loop *ev, struct ev_check *w, int events)
{
    (void)ev;
    (void)events;
    struct loop *l = w->data;
    l->turn_start_us = clock_mono_us();
    l->now = l->turn_start_us / 1000;
    l->in_turn = true;
    note_alive(l, l->now);
}

static void fire_due_timers(struct loop *l)
{
    /* a timer started by a callback waits for the next turn */
    uint64_t first_of_next_turn = l->next_seq;
    const struct timer_node *top;
    while ((top = timer_heap_top(&l->timers)) != NULL && top->deadline <= l->now &&
           top->seq < first_of_next_turn) {
        struct loop_timer *t = top->timer;
        timer_heap_remove(&l->timers, t);
        l->fired_timers++;
        t->fire(t);
    }
}

static void after_io_cb(struct ev_loop *ev, struct ev_check *w, int events)
{
    (void)ev;
    (void)events;
    fire_due_timers(w->data);
}

/* wake and hurry only end the poll; after_io_cb fires what is due. */
static void wake_cb(struct ev_loop *ev, struct ev_timer *w, int events)
{
    (void)ev;
    (void)w;
    (void)events;
}

static void hurry_cb(struct ev_loop *ev, struct ev_idle *w, int events)
{
    (void)ev;
    (void)w;
    (void)events;
}

mono_ms loop_now(struct loop *l)
{
    XP_ON_LOOP();
    return l->in_turn ? l->now : clock_mono_ms();
}

/* ---- messages ---- */

static bool push_message(struct loop *l, struct loop_msg *msg, bool is_reserved)
{
    mutex_lock(&l->lock);
    bool is_accepted = is_reserved || l->posted_count < LOOP_POST_MAX;
    if (is_accepted) {
        list_push_back(&l->posted, &msg->link);
        l->posted_count++;
    }
    mutex_unlock(&l->lock);
    if (is_accepted) {
        ev_async_send(l->ev, &l->knock);
    }
    return is_accepted;
}

int loop_post(struct loop *l, struct loop_msg *msg, struct xp_err *err)
{
    if (!push_message(l, msg, false)) {
        return xp_fail(err, XP_UNAVAILABLE,
                       "the event loop is overloaded: %d messages wait; try again later",
                       LOOP_POST_MAX);
    }
    return 0;
}

void loop_post_reserved(struct loop *l, struct loop_msg *msg)
{
    (void)push_message(l, msg, true);
}

/* Moves at most one batch to 'batch'; true when more is left. */
static bool take_batch(struct loop *l, struct list *batch)
{
    mutex_lock(&l->lock);
    struct list *link;
    for (int i = 0; i < POST_BATCH_MAX && (link = list_pop_front(&l->posted)) != NULL; i++) {
        list_push_back(batch, link);
        l->posted_count--;
    }
    bool is_more_left = !list_is_empty(&l->posted);
    mutex_unlock(&l->lock);
    return is_more_left;
}

static bool is_stopping(struct loop *l)
{
    mutex_lock(&l->lock);
    bool answer = l->is_stopping;
    mutex_unlock(&l->lock);
    return answer;
}

static void knock_cb(struct ev_loop *ev, struct ev_async *w, int events)
{
    (void)events;
    struct loop *l = w->data;
    struct list batch;
    list_init(&batch);
    if (take_batch(l, &batch)) {
        ev_async_send(ev, &l->knock);
    }
    struct list *link;
    while ((link = list_pop_front(&batch)) != NULL) {
        struct loop_msg *msg = LIST_ENTRY(link, struct loop_msg, link);
        l->fired_messages++;
        msg->deliver(msg);
    }
    if (is_stopping(l)) {
        ev_break(ev, EVBREAK_ALL);
    }
}

static void drop_messages(struct loop *l)
{
    bool is_more_left = true;
    while (is_more_left) {
        struct list batch;
        list_init(&batch);
        is_more_left = take_batch(l, &batch);
        struct list *link;
        while ((link = list_pop_front(&batch)) != NULL) {
            struct loop_msg *msg = LIST_ENTRY(link, struct loop_msg, link);
            msg->drop(msg);
        }
    }
}

/* ---- life ---- */

static void start_watchers(struct loop *l)
{
    ev_prepare_init(&l->before_poll, before_poll_cb);
    ev_set_priority(&l->before_poll, EV_MINPRI);
    ev_check_init(&l->after_poll, after_poll_cb);
    ev_set_priority(&l->after_poll, EV_MAXPRI);
    ev_check_init(&l->after_io, after_io_cb);
    ev_set_priority(&l->after_io, EV_MINPRI);
    ev_async_init(&l->knock, knock_cb);
    ev_init(&l->wake, wake_cb);
    ev_idle_init(&l->hurry, hurry_cb);
    l->before_poll.data = l;
    l->after_poll.data = l;
    l->after_io.data = l;
    l->knock.data = l;
    ev_prepare_start(l->ev, &l->before_poll);
    ev_check_start(l->ev, &l->after_poll);
    ev_check_start(l->ev, &l->after_io);
    ev_async_start(l->ev, &l->knock);
}

struct loop *loop_new(void) XP_ALONE
{
    struct loop *l = xcalloc(1, sizeof(*l));
    l->ev = ev_loop_new(EVFLAG_NOENV | EVBACKEND_EPOLL);
    xp_check(l->ev != NULL);
    mutex_init(&l->lock);
    list_init(&l->posted);
    list_init(&l->dirty_ios);
    l->paused_at = MONO_NEVER;
    l->signal_fd = -1;
    metric_register(&turn_seconds);
    metric_register(&pauses_total);
    start_watchers(l);
    loop_timer_init(&l->tick, l, tick_fired);
    return l;
}

void loop_free(struct loop *l)
{
    if (!l) {
        return;
    }
    drop_messages(l);
    for (size_t i = 0; i < LOOP_SHARED_MAX && l->shared[i].type; i++) {
        l->shared[i].type->free(l->shared[i].object);
    }
    if (l->signal_fd >= 0) {
        loop_io_stop(&l->signal_io);
        (void)close(l->signal_fd);
    }
    timer_heap_done(&l->timers);
    ev_loop_destroy(l->ev);
    mutex_done(&l->lock);
    free(l);
}

void loop_run(struct loop *l)
{
    enum thread_role role_before = thread_role();
    char name[16] = ""; /* main's name is that of the process in ps: keep it */
    (void)pthread_getname_np(pthread_self(), name, sizeof(name));
    thread_set_role(THREAD_LOOP, name);
    l->turn_start_us = clock_mono_us();
    l->now = l->turn_start_us / 1000;
    l->last_alive = l->now; /* the time before this call is not a pause */
    loop_timer_stop(&l->tick);
    loop_timer_start(&l->tick, TICK_MS);
    ev_now_update(l->ev);
    if (!is_stopping(l)) {
        (void)ev_run(l->ev, 0);
    }
    l->in_turn = false;
    loop_timer_stop(&l->tick);
    mutex_lock(&l->lock);
    l->is_stopping = false;
    mutex_unlock(&l->lock);
    thread_set_role(role_before, name);
}

void loop_stop(struct loop *l)
{
    mutex_lock(&l->lock);
    l->is_stopping = true;
    mutex_unlock(&l->lock);
    ev_async_send(l->ev, &l->knock);
}

void *loop_shared(struct loop *l, const struct loop_shared_type *type)
{
    XP_ON_LOOP();
    size_t i = 0;
    while (i < LOOP_SHARED_MAX && l->shared[i].type && l->shared[i].type != type) {
        i++;
    }
    xp_check(i < LOOP_SHARED_MAX);
    if (!l->shared[i].type) {
        l->shared[i] = (struct shared_slot){ type, type->make(l) };
    }
    return l->shared[i].object;
}

/* ---- timers ---- */

void loop_timer_init(struct loop_timer *t, struct loop *l, void (*fire)(struct loop_timer *))
{
    *t = (struct loop_timer){ .loop = l, .fire = fire };
}

void loop_timer_start(struct loop_timer *t, int64_t delay_ms)
{
    XP_ON_LOOP();
    xp_check(delay_ms >= 0);
    struct loop *l = t->loop;
    timer_heap_remove(&l->timers, t);
    timer_heap_add(&l->timers, t, loop_now(l) + delay_ms, l->next_seq++);
}

void loop_timer_stop(struct loop_timer *t)
{
    XP_ON_LOOP();
    if (t->impl) {
        timer_heap_remove(&t->loop->timers, t);
    }
}

bool loop_timer_is_running(const struct loop_timer *t)
{
    return timer_heap_has(t);
}

/* ---- descriptors ---- */

static void io_cb(struct ev_loop *ev, struct ev_io *w, int events)
{
    (void)ev;
    struct io_impl *impl = w->data;
    struct loop_io *io = impl->io;
    int ready = ((events & EV_READ) ? LOOP_READ : 0) | ((events & EV_WRITE) ? LOOP_WRITE : 0);
    ready &= io->wanted; /* an earlier callback of this turn may have changed it */
    if (ready != 0) {
        io->loop->fired_ios++;
        io->ready(io, ready);
    }
}

void loop_io_init(struct loop_io *io, struct loop *l, int fd,
                  void (*ready)(struct loop_io *, int events))
{
    *io = (struct loop_io){ .loop = l, .ready = ready, .fd = fd };
}

static struct io_impl *io_impl_new(struct loop_io *io)
{
    struct io_impl *impl = xcalloc(1, sizeof(*impl));
    impl->io = io;
    ev_init(&impl->watch, io_cb);
    impl->watch.data = impl;
    list_init(&impl->dirty_link);
    return impl;
}

void loop_io_want(struct loop_io *io, int events)
{
    XP_ON_LOOP();
    if (!io->impl) {
        if (events == 0) {
            return;
        }
        io->impl = io_impl_new(io);
    }
    struct io_impl *impl = io->impl;
    io->wanted = events;
    if (!list_is_linked(&impl->dirty_link) && events != impl->actual) {
        list_push_back(&io->loop->dirty_ios, &impl->dirty_link);
    }
}

void loop_io_stop(struct loop_io *io)
{
    XP_ON_LOOP();
    struct io_impl *impl = io->impl;
    io->wanted = 0;
    io->impl = NULL;
    if (impl) {
        ev_io_stop(io->loop->ev, &impl->watch);
        list_remove(&impl->dirty_link);
        free(impl);
    }
}

/* ---- signals ---- */

static void fill_signal_set(sigset_t *set)
{
    static const int watched[WATCHED_SIGNO_MAX] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2 };
    (void)sigemptyset(set);
    for (size_t i = 0; i < ARRAY_LEN(watched); i++) {
        (void)sigaddset(set, watched[i]);
    }
}

void loop_signals_block(void)
{
    sigset_t set;
    fill_signal_set(&set);
    xp_check(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    xp_check(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
}

static void signal_ready(struct loop_io *io, int events)
{
    (void)events;
    struct loop *l = CONTAINER_OF(io, struct loop, signal_io);
    struct signalfd_siginfo info;
    if (read(io->fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        l->on_signal((int)info.ssi_signo, l->signal_arg);
    }
}

void loop_signals_watch(struct loop *l, void (*on_signal)(int signo, void *arg), void *arg)
{
    xp_check(l->signal_fd < 0);
    sigset_t set;
    fill_signal_set(&set);
    l->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    xp_check(l->signal_fd >= 0);
    l->on_signal = on_signal;
    l->signal_arg = arg;
    loop_io_init(&l->signal_io, l, l->signal_fd, signal_ready);
    loop_io_want(&l->signal_io, LOOP_READ);
}
