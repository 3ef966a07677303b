/* loop_scenarios.h - what loop.h promises, as cmocka tests that run on both implementations.
 *
 * Included by tests/unit/loop_test.c (libev, real time) and tests/sim/loop_sim.c (virtual time). The includer
 * defines stand_still(): the process (or the loop) makes no progress for so long. Each test fills a text with one
 * letter per event and compares it. */
#ifndef TESTS_UNIT_LOOP_SCENARIOS_H
#define TESTS_UNIT_LOOP_SCENARIOS_H

#include <stdlib.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/net/loop.h"
#include "tests/unit/unit.h"

static void stand_still(struct loop *l, int64_t ms);

struct scene {
    struct loop *loop;
    struct str trace;
};

/* A timer or a message that writes its letter. */
struct actor {
    struct scene *scene;
    struct loop_timer timer;
    struct loop_msg msg;
    char letter;
    int left; /* restarts, or messages to post */
    mono_ms fired_at;
    struct actor *other;
};

static int scene_open(void **state)
{
    struct scene *s = xcalloc(1, sizeof(*s));
    s->loop = loop_new();
    s->trace = STR_INIT(100000);
    *state = s;
    return 0;
}

static int scene_close(void **state)
{
    struct scene *s = *state;
    loop_free(s->loop);
    str_done(&s->trace);
    free(s);
    return 0;
}

static void write_letter(struct actor *a)
{
    str_putc(&a->scene->trace, a->letter);
    a->fired_at = loop_now(a->scene->loop);
}

static void actor_fires(struct loop_timer *t)
{
    write_letter(CONTAINER_OF(t, struct actor, timer));
}

static void actor_ends(struct loop_timer *t)
{
    struct actor *a = CONTAINER_OF(t, struct actor, timer);
    write_letter(a);
    loop_stop(a->scene->loop);
}

static struct actor actor_of(struct scene *s, char letter, void (*fire)(struct loop_timer *))
{
    struct actor a = { .scene = s, .letter = letter };
    loop_timer_init(&a.timer, s->loop, fire);
    return a;
}

static void timers_fire_by_deadline_then_by_start(void **state)
{
    struct scene *s = *state;
    struct actor a = actor_of(s, 'a', actor_fires);
    struct actor b = actor_of(s, 'b', actor_fires);
    struct actor c = actor_of(s, 'c', actor_fires);
    struct actor d = actor_of(s, 'd', actor_ends);
    mono_ms start = loop_now(s->loop);
    loop_timer_start(&d.timer, 40);
    loop_timer_start(&c.timer, 20);
    loop_timer_start(&a.timer, 5);
    loop_timer_start(&b.timer, 500);
    loop_timer_start(&b.timer, 20); /* restarted: behind c */
    loop_run(s->loop);
    assert_string_equal(str_text(&s->trace), "acbd");
    assert_true(a.fired_at >= start + 5);
    assert_true(c.fired_at >= start + 20);
    assert_true(d.fired_at >= start + 40 && d.fired_at < start + 2000);
    assert_false(loop_timer_is_running(&b.timer));
}

static void many_timers_fire_in_order(void **state)
{
    struct scene *s = *state;
    enum { COUNT = 500 };
    struct actor *actors = xcalloc(COUNT, sizeof(*actors));
    for (int i = 0; i < COUNT; i++) {
        actors[i] = actor_of(s, 'x', actor_fires);
        loop_timer_start(&actors[i].timer, (i * 7919) % 50);
    }
    for (int i = 0; i < COUNT; i += 3) {
        loop_timer_stop(&actors[i].timer);
    }
    struct actor last = actor_of(s, '.', actor_ends);
    loop_timer_start(&last.timer, 60);
    loop_run(s->loop);
    assert_int_equal(s->trace.len, COUNT - (COUNT + 2) / 3 + 1);
    for (int i = 0; i < COUNT; i++) {
        for (int k = 0; k < COUNT && i % 3 && k % 3; k++) {
            bool is_earlier = (i * 7919) % 50 < (k * 7919) % 50;
            assert_false(is_earlier && actors[i].fired_at > actors[k].fired_at);
        }
    }
    free(actors);
}

static void restart_once_more(struct loop_timer *t)
{
    struct actor *a = CONTAINER_OF(t, struct actor, timer);
    write_letter(a);
    assert_false(loop_timer_is_running(t));
    if (a->left-- > 0) {
        loop_timer_start(t, 0);
        assert_true(loop_timer_is_running(t));
    } else {
        loop_stop(a->scene->loop);
    }
}

/* Without delay it runs again in the next turn, so others are served in between. */
static void a_timer_restarts_itself(void **state)
{
    struct scene *s = *state;
    struct actor a = actor_of(s, 'a', restart_once_more);
    struct actor b = actor_of(s, 'b', actor_fires);
    a.left = 3;
    loop_timer_start(&a.timer, 0);
    loop_timer_start(&b.timer, 0);
    loop_run(s->loop);
    assert_int_equal(s->trace.len, 5);
    assert_int_equal(str_text(&s->trace)[0], 'a');
    assert_non_null(strchr(str_text(&s->trace), 'b'));
}

static void stop_the_other(struct loop_timer *t)
{
    struct actor *a = CONTAINER_OF(t, struct actor, timer);
    write_letter(a);
    loop_timer_stop(&a->other->timer);
    loop_timer_stop(&a->other->timer); /* idle: fine */
}

static void a_stopped_timer_does_not_fire(void **state)
{
    struct scene *s = *state;
    struct actor a = actor_of(s, 'a', stop_the_other);
    struct actor b = actor_of(s, 'b', actor_fires);
    struct actor c = actor_of(s, 'c', actor_ends);
    a.other = &b;
    loop_timer_start(&a.timer, 5);
    loop_timer_start(&b.timer, 5); /* due in the same turn, and still stopped */
    loop_timer_start(&c.timer, 20);
    loop_run(s->loop);
    assert_string_equal(str_text(&s->trace), "ac");
}

static void free_itself(struct loop_timer *t)
{
    struct actor *a = CONTAINER_OF(t, struct actor, timer);
    struct scene *s = a->scene;
    write_letter(a);
    free(a);
    loop_stop(s->loop);
}

static void a_callback_may_free_its_timer(void **state)
{
    struct scene *s = *state;
    struct actor *a = xcalloc(1, sizeof(*a));
    *a = actor_of(s, 'a', free_itself);
    loop_timer_start(&a->timer, 1);
    loop_run(s->loop);
    assert_string_equal(str_text(&s->trace), "a");
}

static void msg_delivered(struct loop_msg *m)
{
    struct actor *a = CONTAINER_OF(m, struct actor, msg);
    write_letter(a);
    if (a->letter == '.') {
        loop_stop(a->scene->loop);
    }
}

static void msg_dropped(struct loop_msg *m)
{
    struct actor *a = CONTAINER_OF(m, struct actor, msg);
    str_putc(&a->scene->trace, (char)(a->letter - 'a' + 'A'));
}

static struct actor message_of(struct scene *s, char letter)
{
    struct actor a = actor_of(s, letter, actor_fires);
    a.msg.deliver = msg_delivered;
    a.msg.drop = msg_dropped;
    return a;
}

static void messages_arrive_in_order_of_posting(void **state)
{
    struct scene *s = *state;
    enum { COUNT = 1000 };
    struct actor *actors = xcalloc(COUNT, sizeof(*actors));
    for (int i = 0; i < COUNT; i++) {
        actors[i] = message_of(s, (char)(i == COUNT - 1 ? '.' : 'a' + i % 26));
        if (i % 2) {
            loop_post_reserved(s->loop, &actors[i].msg);
        } else {
            assert_int_equal(loop_post(s->loop, &actors[i].msg, NULL), 0);
        }
    }
    loop_run(s->loop);
    assert_int_equal(s->trace.len, COUNT);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(str_text(&s->trace)[i], actors[i].letter);
    }
    free(actors);
}

static void the_mailbox_has_a_limit(void **state)
{
    struct scene *s = *state;
    struct xp_err err = { 0 };
    struct actor *actors = xcalloc(LOOP_POST_MAX + 2, sizeof(*actors));
    for (int i = 0; i < LOOP_POST_MAX; i++) {
        actors[i] = message_of(s, 'a');
        assert_int_equal(loop_post(s->loop, &actors[i].msg, NULL), 0);
    }
    actors[LOOP_POST_MAX] = message_of(s, 'b');
    assert_int_equal(loop_post(s->loop, &actors[LOOP_POST_MAX].msg, &err), XP_UNAVAILABLE);
    assert_non_null(strstr(err.msg, "65536"));
    actors[LOOP_POST_MAX + 1] = message_of(s, '.');
    loop_post_reserved(s->loop, &actors[LOOP_POST_MAX + 1].msg);
    loop_run(s->loop);
    assert_int_equal(s->trace.len, LOOP_POST_MAX + 1);
    assert_null(strchr(str_text(&s->trace), 'b'));
    free(actors);
}

static void undelivered_messages_are_dropped(void **state)
{
    struct scene *s = *state;
    struct actor a = message_of(s, 'a');
    struct actor b = message_of(s, 'b');
    loop_post_reserved(s->loop, &a.msg);
    loop_post_reserved(s->loop, &b.msg);
    loop_free(s->loop);
    s->loop = NULL;
    assert_string_equal(str_text(&s->trace), "AB");
}

static void stopping_before_running_returns_at_once(void **state)
{
    struct scene *s = *state;
    struct actor a = actor_of(s, 'a', actor_ends);
    loop_stop(s->loop);
    loop_run(s->loop);
    assert_string_equal(str_text(&s->trace), "");
    loop_timer_start(&a.timer, 1);
    loop_run(s->loop); /* the earlier stop is used up */
    assert_string_equal(str_text(&s->trace), "a");
    loop_timer_stop(&a.timer);
}

static void note_pause(struct loop_timer *t)
{
    struct actor *a = CONTAINER_OF(t, struct actor, timer);
    a->letter = loop_was_paused(t->loop, 60000) ? 'P' : 'n';
    write_letter(a);
}

static void stand_still_now(struct loop_timer *t)
{
    struct actor *a = CONTAINER_OF(t, struct actor, timer);
    note_pause(t);
    stand_still(a->scene->loop, a->left);
}

static void note_end_of_hold(struct loop_timer *t)
{
    struct actor *a = CONTAINER_OF(t, struct actor, timer);
    a->letter = loop_was_paused(t->loop, 200) ? 'P' : 'n';
    actor_ends(t);
}

static void a_pause_is_noticed_and_held(void **state)
{
    struct scene *s = *state;
    struct actor a = actor_of(s, '?', stand_still_now);
    struct actor b = actor_of(s, '?', note_pause);
    struct actor c = actor_of(s, '?', note_end_of_hold);
    a.left = 2200;
    loop_timer_start(&a.timer, 10);
    loop_timer_start(&b.timer, 20);
    loop_timer_start(&c.timer, 3000);
    loop_run(s->loop);
    assert_string_equal(str_text(&s->trace), "nPn");
}

static void a_short_stall_is_no_pause(void **state)
{
    struct scene *s = *state;
    struct actor a = actor_of(s, '?', stand_still_now);
    struct actor b = actor_of(s, '?', note_end_of_hold);
    a.left = 300;
    loop_timer_start(&a.timer, 1);
    loop_timer_start(&b.timer, 20);
    loop_run(s->loop);
    assert_string_equal(str_text(&s->trace), "nn");
}

static int shared_made;
static int shared_freed;

static void *make_shared(struct loop *l)
{
    (void)l;
    shared_made++;
    return &shared_made;
}

static void free_shared(void *shared)
{
    assert_ptr_equal(shared, &shared_made);
    shared_freed++;
}

static void a_shared_object_is_made_once_and_freed(void **state)
{
    struct scene *s = *state;
    static const struct loop_shared_type type = { make_shared, free_shared };
    shared_made = 0;
    shared_freed = 0;
    assert_ptr_equal(loop_shared(s->loop, &type), &shared_made);
    assert_ptr_equal(loop_shared(s->loop, &type), &shared_made);
    assert_int_equal(shared_made, 1);
    loop_free(s->loop);
    s->loop = NULL;
    assert_int_equal(shared_freed, 1);
}

/* clang-format off */
#define SCENARIO(f) cmocka_unit_test_setup_teardown(f, scene_open, scene_close)
#define LOOP_SCENARIOS                                  \
    SCENARIO(timers_fire_by_deadline_then_by_start),    \
    SCENARIO(many_timers_fire_in_order),                \
    SCENARIO(a_timer_restarts_itself),                  \
    SCENARIO(a_stopped_timer_does_not_fire),            \
    SCENARIO(a_callback_may_free_its_timer),            \
    SCENARIO(messages_arrive_in_order_of_posting),      \
    SCENARIO(the_mailbox_has_a_limit),                  \
    SCENARIO(undelivered_messages_are_dropped),         \
    SCENARIO(stopping_before_running_returns_at_once),  \
    SCENARIO(a_pause_is_noticed_and_held),              \
    SCENARIO(a_short_stall_is_no_pause),                \
    SCENARIO(a_shared_object_is_made_once_and_freed)
/* clang-format on */

#endif
