/* fake_loop.c - see fake_loop.h. Defines every function of loop.c and clock.c, so that neither is linked. */
#include "tests/sim/fake_loop.h"

#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/thread.h"
#include "shared/net/timer_heap.h"
#include "tests/sim/fake_trace.h"

#include "shared/base/banned.h"

#define LOOPS_MAX 64
#define PAUSE_MS  2000

struct shared_slot {
    const struct loop_shared_type *type;
    void *object;
};

struct loop {
    uint64_t id;
    struct timer_heap timers;
    struct list posted;
    int posted_count;
    bool is_stopping;
    bool is_crashed;
    mono_ms frozen_until;
    mono_ms paused_at;
    struct shared_slot shared[LOOP_SHARED_MAX];
    void (*on_signal)(int signo, void *arg);
    void *signal_arg;
};

/* The world of the simulation: the one clock, and the loops by age. */
static struct {
    mono_ms now;
    wall_ms wall_offset;
    uint64_t next_seq;
    uint64_t next_id;
    struct loop *network;
    struct loop *loops[LOOPS_MAX];
    int loop_count;
    struct loop *current;
    void (*check)(void *arg);
    void *check_arg;
} world = { .now = 1000000, .wall_offset = 1700000000000 - 1000000 };

/* ---- clock.h ---- */

mono_ms clock_mono_ms(void)
{
    return world.now;
}

int64_t clock_mono_us(void)
{
    return world.now * 1000;
}

wall_ms clock_wall_ms(void)
{
    return world.now + world.wall_offset;
}

void clock_pause_ms(int64_t ms)
{
    (void)ms;
}

void fake_clock_set(mono_ms now, wall_ms wall_now)
{
    loop_free(TAKE(world.network));
    xp_check(world.loop_count == 0);
    world.now = now;
    world.wall_offset = wall_now - now;
    world.next_seq = 0;
    world.next_id = 0;
    fake_trace_reset();
}

void fake_clock_step_wall(int64_t ms)
{
    world.wall_offset += ms;
}

/* ---- stepping ---- */

/* Killed, or its loop_run has returned. */
static bool is_over(const struct loop *l)
{
    return l->is_crashed || l->is_stopping;
}

static bool is_frozen(const struct loop *l)
{
    return l->frozen_until > world.now;
}

static struct loop *loop_with_message(void)
{
    for (int i = 0; i < world.loop_count; i++) {
        struct loop *l = world.loops[i];
        if (!list_is_empty(&l->posted) && !is_over(l) && !is_frozen(l)) {
            return l;
        }
    }
    return NULL;
}

struct next_timer {
    struct loop *loop; /* NULL: none runs */
    mono_ms at;
    uint64_t seq;
};

/* A timer of a frozen loop fires when the loop thaws; so do its messages, as if by a timer of sequence 0. */
static struct next_timer event_of(struct loop *l)
{
    const struct timer_node *top = timer_heap_top(&l->timers);
    if (is_frozen(l) && !list_is_empty(&l->posted) && !is_over(l)) {
        return (struct next_timer){ l, l->frozen_until, 0 };
    }
    if (!top || is_over(l)) {
        return (struct next_timer){ 0 };
    }
    mono_ms at = is_frozen(l) && top->deadline < l->frozen_until ? l->frozen_until : top->deadline;
    return (struct next_timer){ l, at, top->seq };
}

static struct next_timer next_timer(void)
{
    struct next_timer best = { 0 };
    for (int i = 0; i < world.loop_count; i++) {
        struct next_timer n = event_of(world.loops[i]);
        if (!n.loop) {
            continue;
        }
        if (!best.loop || n.at < best.at || (n.at == best.at && n.seq < best.seq)) {
            best = n;
        }
    }
    return best;
}

/* Callbacks run in the role they have in production, so that wrong calls abort here, too. */
static void deliver_one(struct loop *l)
{
    struct list *link = list_pop_front(&l->posted);
    l->posted_count--;
    struct loop_msg *msg = LIST_ENTRY(link, struct loop_msg, link);
    fake_trace_step(false, l->id, 0);
    thread_set_role(THREAD_LOOP, NULL);
    world.current = l;
    msg->deliver(msg);
    world.current = NULL;
    thread_set_role(THREAD_ANY, NULL);
}

static void fire_one(struct loop *l)
{
    struct loop_timer *t = timer_heap_top(&l->timers)->timer;
    fake_trace_step(true, l->id, timer_heap_top(&l->timers)->seq);
    timer_heap_remove(&l->timers, t);
    thread_set_role(THREAD_LOOP, NULL);
    world.current = l;
    t->fire(t);
    world.current = NULL;
    thread_set_role(THREAD_ANY, NULL);
}

/* One callback that is due at or before 'until'; false when there is none. */
static bool step_within(mono_ms until)
{
    struct loop *l = loop_with_message();
    if (l) {
        deliver_one(l);
    } else {
        struct next_timer n = next_timer();
        if (!n.loop || n.at > until) {
            return false;
        }
        world.now = n.at > world.now ? n.at : world.now;
        if (!list_is_empty(&n.loop->posted)) {
            deliver_one(n.loop);
        } else {
            fire_one(n.loop);
        }
    }
    if (world.check) {
        world.check(world.check_arg);
    }
    return true;
}

bool fake_loop_step(void)
{
    return step_within(MONO_FOREVER);
}

void fake_loop_advance_to(mono_ms until)
{
    while (step_within(until)) {
    }
    world.now = until > world.now ? until : world.now;
}

bool fake_loop_run_until(bool (*cond)(void *arg), void *arg, mono_ms limit)
{
    while (!cond(arg)) {
        if (!step_within(limit)) {
            return false;
        }
    }
    return true;
}

void fake_loop_after_step(void (*check)(void *arg), void *arg)
{
    world.check = check;
    world.check_arg = arg;
}

void fake_loop_freeze(struct loop *l, int64_t ms)
{
    xp_check(ms >= 0);
    l->frozen_until = world.now + ms;
    if (ms > PAUSE_MS) {
        l->paused_at = l->frozen_until;
    }
}

mono_ms fake_loop_frozen_until(const struct loop *l)
{
    return l->frozen_until;
}

void fake_loop_crash(struct loop *l)
{
    l->is_crashed = true;
}

bool fake_loop_is_crashed(const struct loop *l)
{
    return l && l->is_crashed;
}

bool fake_loop_is_stopping(const struct loop *l)
{
    return l->is_stopping;
}

uint64_t fake_loop_id(const struct loop *l)
{
    return l ? l->id : 0;
}

struct loop *fake_loop_network(void)
{
    if (!world.network) {
        world.network = loop_new();
    }
    return world.network;
}

struct loop *fake_loop_current(void)
{
    return world.current;
}

struct loop *fake_loop_enter(struct loop *l)
{
    struct loop *before = world.current;
    world.current = l;
    return before;
}

/* ---- loop.h ---- */

struct loop *loop_new(void)
{
    xp_check(world.loop_count < LOOPS_MAX);
    struct loop *l = xcalloc(1, sizeof(*l));
    list_init(&l->posted);
    l->frozen_until = MONO_NEVER;
    l->paused_at = MONO_NEVER;
    l->id = ++world.next_id;
    world.loops[world.loop_count++] = l;
    return l;
}

static void forget_loop(const struct loop *l)
{
    int at = 0;
    while (world.loops[at] != l) {
        at++;
    }
    world.loop_count--;
    memmove(&world.loops[at], &world.loops[at + 1],
            (size_t)(world.loop_count - at) * sizeof(world.loops[0]));
}

void loop_free(struct loop *l)
{
    if (!l) {
        return;
    }
    struct list *link;
    while ((link = list_pop_front(&l->posted)) != NULL) {
        struct loop_msg *msg = LIST_ENTRY(link, struct loop_msg, link);
        msg->drop(msg);
    }
    for (size_t i = 0; i < LOOP_SHARED_MAX && l->shared[i].type; i++) {
        l->shared[i].type->free(l->shared[i].object);
    }
    timer_heap_done(&l->timers);
    forget_loop(l);
    free(l);
}

/* The other loops run, too. Nothing left to run would be a wait for ever. */
void loop_run(struct loop *l)
{
    while (!l->is_stopping) {
        xp_check(fake_loop_step());
    }
    l->is_stopping = false;
}

void loop_stop(struct loop *l)
{
    l->is_stopping = true;
}

mono_ms loop_now(struct loop *l)
{
    (void)l;
    return world.now;
}

bool loop_was_paused(struct loop *l, int64_t hold_ms)
{
    return world.now >= l->paused_at && mono_age(world.now, l->paused_at) < hold_ms;
}

void *loop_shared(struct loop *l, const struct loop_shared_type *type)
{
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

void loop_timer_init(struct loop_timer *t, struct loop *l, void (*fire)(struct loop_timer *))
{
    *t = (struct loop_timer){ .loop = l, .fire = fire };
}

void loop_timer_start(struct loop_timer *t, int64_t delay_ms)
{
    xp_check(delay_ms >= 0);
    timer_heap_remove(&t->loop->timers, t);
    timer_heap_add(&t->loop->timers, t, world.now + delay_ms, ++world.next_seq);
}

void loop_timer_stop(struct loop_timer *t)
{
    if (t->impl) {
        timer_heap_remove(&t->loop->timers, t);
    }
}

bool loop_timer_is_running(const struct loop_timer *t)
{
    return timer_heap_has(t);
}

void loop_io_init(struct loop_io *io, struct loop *l, int fd,
                  void (*ready)(struct loop_io *, int events))
{
    *io = (struct loop_io){ .loop = l, .ready = ready, .fd = fd };
}

void loop_io_want(struct loop_io *io, int events)
{
    (void)io;
    /* a simulation has no descriptors: link the twin of the module that uses them */
    xp_check(events == 0);
}

void loop_io_stop(struct loop_io *io)
{
    io->wanted = 0;
}

int loop_post(struct loop *l, struct loop_msg *msg, struct xp_err *err)
{
    if (l->posted_count >= LOOP_POST_MAX) {
        return xp_fail(err, XP_UNAVAILABLE, "the event loop is overloaded: %d messages wait",
                       LOOP_POST_MAX);
    }
    loop_post_reserved(l, msg);
    return 0;
}

void loop_post_reserved(struct loop *l, struct loop_msg *msg)
{
    list_push_back(&l->posted, &msg->link);
    l->posted_count++;
}

void loop_signals_block(void)
{
}

void loop_signals_watch(struct loop *l, void (*on_signal)(int signo, void *arg), void *arg)
{
    l->on_signal = on_signal;
    l->signal_arg = arg;
}

struct signal_msg {
    struct loop_msg msg;
    struct loop *loop;
    int signo;
};

static void signal_delivered(struct loop_msg *m)
{
    struct signal_msg *s = CONTAINER_OF(m, struct signal_msg, msg);
    s->loop->on_signal(s->signo, s->loop->signal_arg);
    free(s);
}

static void signal_dropped(struct loop_msg *m)
{
    free(CONTAINER_OF(m, struct signal_msg, msg));
}

bool fake_loop_signal(struct loop *l, int signo)
{
    if (!l->on_signal) {
        return false;
    }
    struct signal_msg *s = xcalloc(1, sizeof(*s));
    *s = (struct signal_msg){ { { 0 }, signal_delivered, signal_dropped }, l, signo };
    loop_post_reserved(l, &s->msg);
    return true;
}
