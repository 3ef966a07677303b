/* Who goes next in a lane: kinds, shares, order, the limit of a wait, the end. */
#include "tests/unit/unit.h"

#include <string.h>

#include "console/migration/migration_lane.h"
#include "shared/base/clock.h"
#include "shared/base/mem.h"

#include "shared/base/banned.h"

#define TICKETS_MAX 64

struct rider {
    struct lane_ticket ticket;
    char name;
};

static struct {
    struct loop *loop;
    struct lane *lane;
    struct rider riders[TICKETS_MAX];
    size_t count;
    char went[TICKETS_MAX + 1];
    char gave_up[TICKETS_MAX + 1];
    void (*script)(void);
    struct loop_timer begin;
    struct loop_timer guard;
    bool leaves_at_once;
    bool enters_more;
} s;

static void note(char *list, char name)
{
    size_t length = strlen(list);
    list[length] = name;
    list[length + 1] = '\0';
}

static void enter(char name, enum lane_kind kind, int64_t wait_ms);

static void go(struct lane_ticket *t)
{
    struct rider *r = CONTAINER_OF(t, struct rider, ticket);
    note(s.went, r->name);
    if (s.enters_more) { /* from inside, as a call whose answer begins the next one */
        s.enters_more = false;
        enter('+', LANE_OUTAGE, 10000);
        assert_null(strchr(s.went, '+')); /* not before this one is through */
    }
    if (s.leaves_at_once) {
        lane_leave(s.lane, t->kind);
    }
}

static void expired(struct lane_ticket *t)
{
    note(s.gave_up, CONTAINER_OF(t, struct rider, ticket)->name);
    loop_stop(s.loop);
}

static void enter(char name, enum lane_kind kind, int64_t wait_ms)
{
    struct rider *r = &s.riders[s.count++];
    *r = (struct rider){ .ticket = { .kind = kind, .go = go, .expired = expired }, .name = name };
    lane_enter(s.lane, &r->ticket, wait_ms);
}

static void enter_all(const char *names, enum lane_kind kind)
{
    for (; *names; names++) {
        enter(*names, kind, 10000);
    }
}

static void begin(struct loop_timer *t)
{
    (void)t;
    s.script();
}

static void too_long(struct loop_timer *t)
{
    (void)t;
    fail_msg("nobody ended the loop");
}

static void play(int places, void (*script)(void))
{
    memset(&s, 0, sizeof(s));
    s.loop = loop_new();
    s.lane = lane_new(s.loop, places);
    s.script = script;
    loop_timer_init(&s.begin, s.loop, begin);
    loop_timer_init(&s.guard, s.loop, too_long);
    loop_timer_start(&s.begin, 0);
    loop_timer_start(&s.guard, 10000);
    loop_run(s.loop);
    loop_timer_stop(&s.guard);
    lane_free(s.lane);
    loop_free(s.loop);
}

static void shares_script(void)
{
    enter_all("ffffffff", LANE_FOLLOW); /* half of the lane */
    assert_string_equal(s.went, "ffff");
    enter_all("cccc", LANE_CHECK); /* a quarter */
    assert_string_equal(s.went, "ffffcc");
    enter_all("hhhh", LANE_FENCE);
    assert_string_equal(s.went, "ffffcchh");
    enter_all("oo", LANE_OUTAGE);
    assert_string_equal(s.went, "ffffcchh"); /* full */
    lane_leave(s.lane, LANE_FOLLOW);
    lane_leave(s.lane, LANE_CHECK);
    assert_string_equal(s.went, "ffffcchhoo"); /* the pressing ones, whoever made room */
    lane_leave(s.lane, LANE_OUTAGE);
    assert_string_equal(s.went, "ffffcchhooh");
    lane_leave(s.lane, LANE_FENCE);
    lane_leave(s.lane, LANE_FENCE);
    assert_string_equal(s.went, "ffffcchhoohhc");
    lane_leave(s.lane, LANE_FENCE);
    assert_string_equal(s.went, "ffffcchhoohhcf");
    loop_stop(s.loop);
}

static void the_pressing_ones_go_first(void **state)
{
    (void)state;
    play(8, shares_script);
    assert_string_equal(s.gave_up, "cfff"); /* at the end, what still waited */
}

static void fence_script(void)
{
    enter_all("hhhhhhhhh", LANE_FENCE);
    assert_string_equal(s.went, "hhhhhh"); /* silent sources leave places for the way back */
    enter_all("oo", LANE_OUTAGE);
    assert_string_equal(s.went, "hhhhhhoo");
    loop_stop(s.loop);
}

static void fences_leave_room_for_what_ends_an_outage(void **state)
{
    (void)state;
    play(8, fence_script);
}

static void small_script(void)
{
    enter('c', LANE_CHECK, 10000);
    assert_string_equal(s.went, "c"); /* the smallest share is one */
    lane_leave(s.lane, LANE_CHECK);
    s.leaves_at_once = true; /* not sent: its place is free inside of 'go' */
    s.enters_more = true;
    enter_all("12", LANE_FOLLOW);
    assert_string_equal(s.went, "c1+2");
    loop_stop(s.loop);
}

static void one_place_serves_all(void **state)
{
    (void)state;
    play(1, small_script);
}

static void limit_script(void)
{
    enter('a', LANE_CHECK, 10000);
    enter('b', LANE_CHECK, 10000);
    enter('c', LANE_FOLLOW, 20);
    assert_string_equal(s.gave_up, "");
}

static void a_wait_has_its_limit(void **state)
{
    (void)state;
    play(1, limit_script);
    assert_string_equal(s.went, "a");
    assert_string_equal(s.gave_up, "cb"); /* the second one at the end of the lane */
    assert_true(lane_waited_ms(&s.riders[2].ticket) >= 20);
}

static void closed_script(void)
{
    enter('a', LANE_OUTAGE, 10000);
    enter('b', LANE_OUTAGE, 10000);
    lane_close(s.lane);
    enter('c', LANE_OUTAGE, 10000);
    lane_leave(s.lane, LANE_OUTAGE);
    assert_string_equal(s.went, "a");
    assert_string_equal(s.gave_up, "bc");
}

static void nobody_goes_after_the_end(void **state)
{
    (void)state;
    play(1, closed_script);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_pressing_ones_go_first),
        cmocka_unit_test(fences_leave_room_for_what_ends_an_outage),
        cmocka_unit_test(one_place_serves_all),
        cmocka_unit_test(a_wait_has_its_limit),
        cmocka_unit_test(nobody_goes_after_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
