/* loop_test.c - loop.c: the scenarios shared with its twin, then what only real threads and descriptors show. */
#include "tests/unit/loop_scenarios.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/base/log.h"
#include "shared/base/metrics.h"
#include "shared/base/thread.h"

#include "shared/base/banned.h"

static void stand_still(struct loop *l, int64_t ms)
{
    (void)l;
    mono_ms until = clock_mono_ms() + ms;
    while (clock_mono_ms() < until) {
        (void)usleep(1000);
    }
}

static void check_role(struct loop_timer *t)
{
    assert_int_equal(thread_role(), THREAD_LOOP);
    actor_ends(t);
}

static void the_loop_thread_has_its_role(void **state)
{
    struct scene *s = *state;
    struct actor a = actor_of(s, 'a', check_role);
    loop_timer_start(&a.timer, 0);
    loop_run(s->loop);
    assert_int_equal(thread_role(), THREAD_ANY);
}

/* ---- descriptors ---- */

struct pipe_end {
    struct scene *scene;
    struct loop_io io;
    int fds[2];
    int wakeups;
    struct pipe_end *other;
};

static void pipe_open(struct pipe_end *p, struct scene *s,
                      void (*ready)(struct loop_io *, int events))
{
    *p = (struct pipe_end){ .scene = s };
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, p->fds), 0);
    loop_io_init(&p->io, s->loop, p->fds[0], ready);
}

static void pipe_close(struct pipe_end *p)
{
    loop_io_stop(&p->io);
    (void)close(p->fds[0]);
    (void)close(p->fds[1]);
}

static void echo_until_stop(struct loop_io *io, int events)
{
    struct pipe_end *p = CONTAINER_OF(io, struct pipe_end, io);
    char byte = 0;
    if (events & LOOP_WRITE) {
        str_putc(&p->scene->trace, 'w');
        loop_io_want(io, LOOP_READ);
        assert_int_equal(write(p->fds[1], "x", 1), 1);
    }
    if (events & LOOP_READ) {
        assert_int_equal(read(io->fd, &byte, 1), 1);
        str_putc(&p->scene->trace, 'r');
        loop_stop(p->scene->loop);
    }
}

static void a_watch_reports_what_is_wanted(void **state)
{
    struct scene *s = *state;
    struct pipe_end p;
    pipe_open(&p, s, echo_until_stop);
    loop_io_want(&p.io, LOOP_READ | LOOP_WRITE);
    loop_io_want(&p.io, LOOP_READ);
    loop_io_want(&p.io, LOOP_READ | LOOP_WRITE); /* only the last mask of a turn counts */
    loop_run(s->loop);
    assert_string_equal(str_text(&s->trace), "wr");
    pipe_close(&p);
    loop_io_stop(&p.io); /* idle: fine */
}

static void stop_the_other_pipe(struct loop_io *io, int events)
{
    struct pipe_end *p = CONTAINER_OF(io, struct pipe_end, io);
    (void)events;
    p->wakeups++;
    loop_io_want(&p->other->io, 0); /* ready in this turn, too: must not be called any more */
    loop_io_want(io, 0);
    loop_stop(p->scene->loop);
}

static void an_unwanted_ready_watch_is_not_called(void **state)
{
    struct scene *s = *state;
    struct pipe_end a;
    struct pipe_end b;
    pipe_open(&a, s, stop_the_other_pipe);
    pipe_open(&b, s, stop_the_other_pipe);
    a.other = &b;
    b.other = &a;
    assert_int_equal(write(a.fds[1], "x", 1), 1);
    assert_int_equal(write(b.fds[1], "x", 1), 1);
    loop_io_want(&a.io, LOOP_READ);
    loop_io_want(&b.io, LOOP_READ);
    loop_run(s->loop);
    assert_int_equal(a.wakeups + b.wakeups, 1);
    pipe_close(&a);
    pipe_close(&b);
}

static void free_own_pipe(struct loop_io *io, int events)
{
    struct pipe_end *p = CONTAINER_OF(io, struct pipe_end, io);
    struct scene *s = p->scene;
    (void)events;
    pipe_close(p);
    free(p);
    str_putc(&s->trace, 'f');
    loop_stop(s->loop);
}

static void a_callback_may_free_its_watch(void **state)
{
    struct scene *s = *state;
    struct pipe_end *p = xcalloc(1, sizeof(*p));
    pipe_open(p, s, free_own_pipe);
    loop_io_want(&p->io, LOOP_READ | LOOP_WRITE);
    loop_run(s->loop);
    assert_string_equal(str_text(&s->trace), "f");
}

static void read_letter(struct loop_io *io, int events)
{
    struct pipe_end *p = CONTAINER_OF(io, struct pipe_end, io);
    char byte = 0;
    (void)events;
    if (read(io->fd, &byte, 1) == 1) {
        str_putc(&p->scene->trace, byte);
    }
}

/* An answer that is there beats the time-out that waits for it, also after a long stall. */
static void descriptors_come_before_due_timers(void **state)
{
    struct scene *s = *state;
    struct pipe_end p;
    struct actor stall = actor_of(s, '?', stand_still_now);
    struct actor timeout = actor_of(s, 't', actor_ends);
    stall.left = 50;
    pipe_open(&p, s, read_letter);
    loop_io_want(&p.io, LOOP_READ);
    loop_timer_start(&stall.timer, 0);
    loop_timer_start(&timeout.timer, 20);
    assert_int_equal(write(p.fds[1], "1", 1), 1);
    loop_run(s->loop);
    assert_non_null(strstr(str_text(&s->trace), "1"));
    assert_true(strchr(str_text(&s->trace), '1') < strchr(str_text(&s->trace), 't'));
    pipe_close(&p);
}

/* ---- threads ---- */

enum { POSTERS = 4, POSTS = 5000 };

struct poster {
    pthread_t thread;
    struct loop *loop;
    struct actor *actors;
};

static int arrived[POSTERS];

static void count_arrival(struct loop_msg *m)
{
    struct actor *a = CONTAINER_OF(m, struct actor, msg);
    int who = (unsigned char)a->letter;      /* the number of its thread */
    assert_int_equal(a->left, arrived[who]); /* in order of posting, for each thread */
    arrived[who]++;
    int total = 0;
    for (int i = 0; i < POSTERS; i++) {
        total += arrived[i];
    }
    if (total == POSTERS * POSTS) {
        loop_stop(a->scene->loop);
    }
}

static void *post_all(void *arg)
{
    struct poster *p = arg;
    for (int i = 0; i < POSTS; i++) {
        loop_post_reserved(p->loop, &p->actors[i].msg);
    }
    return NULL;
}

static void threads_post_at_the_same_time(void **state)
{
    struct scene *s = *state;
    struct poster posters[POSTERS];
    memset(arrived, 0, sizeof(arrived));
    for (int i = 0; i < POSTERS; i++) {
        posters[i].loop = s->loop;
        posters[i].actors = xcalloc(POSTS, sizeof(*posters[i].actors));
        for (int k = 0; k < POSTS; k++) {
            posters[i].actors[k] = message_of(s, (char)i);
            posters[i].actors[k].msg.deliver = count_arrival;
            posters[i].actors[k].left = k;
        }
        assert_int_equal(pthread_create(&posters[i].thread, NULL, post_all, &posters[i]), 0);
    }
    loop_run(s->loop);
    for (int i = 0; i < POSTERS; i++) {
        assert_int_equal(pthread_join(posters[i].thread, NULL), 0);
        free(posters[i].actors);
    }
}

static void *stop_from_here(void *arg)
{
    loop_stop(arg);
    return NULL;
}

static void another_thread_may_stop_it(void **state)
{
    struct scene *s = *state;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, stop_from_here, s->loop), 0);
    loop_run(s->loop);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

/* ---- signals, meters ---- */

static void signal_came(int signo, void *arg)
{
    struct scene *s = arg;
    str_printf(&s->trace, "%d ", signo);
    if (signo == SIGTERM) {
        loop_stop(s->loop);
    } else {
        assert_int_equal(kill(getpid(), SIGTERM), 0);
    }
}

static void signals_arrive_on_the_loop(void **state)
{
    struct scene *s = *state;
    char expected[32];
    (void)snprintf(expected, sizeof(expected), "%d %d ", SIGHUP, SIGTERM);
    loop_signals_watch(s->loop, signal_came, s);
    assert_int_equal(kill(getpid(), SIGHUP), 0);
    loop_run(s->loop);
    assert_string_equal(str_text(&s->trace), expected);
}

static void a_slow_turn_is_counted_and_logged(void **state)
{
    struct scene *s = *state;
    struct actor a = actor_of(s, '?', stand_still_now);
    struct actor b = actor_of(s, 'b', actor_ends);
    int64_t warnings = log_lines_total(LOG_WARN);
    a.left = 150;
    loop_timer_start(&a.timer, 0);
    loop_timer_start(&b.timer, 200);
    loop_run(s->loop);
    assert_true(log_lines_total(LOG_WARN) > warnings);
    AUTO_STR struct str text = STR_INIT(1000000);
    metrics_print(&text);
    assert_non_null(strstr(str_text(&text), "xpipe_loop_turn_seconds_count"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_SCENARIOS,
        SCENARIO(the_loop_thread_has_its_role),
        SCENARIO(a_watch_reports_what_is_wanted),
        SCENARIO(an_unwanted_ready_watch_is_not_called),
        SCENARIO(a_callback_may_free_its_watch),
        SCENARIO(descriptors_come_before_due_timers),
        SCENARIO(threads_post_at_the_same_time),
        SCENARIO(another_thread_may_stop_it),
        SCENARIO(signals_arrive_on_the_loop),
        SCENARIO(a_slow_turn_is_counted_and_logged),
    };
    loop_signals_block();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
