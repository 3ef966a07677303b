/* container_queue_test.c - calls to keeper containers against scripted ones: in which order, how many at once, and their end. */
#include <arpa/inet.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "meta/slots/slot.h"
#include "shared/base/log.h"
#include "shared/base/str.h"
#include "tests/unit/container_box.h"
#include "tests/unit/stretch.h"

#include "shared/base/banned.h"

/* ---- how many ---- */

static void two_at_once_for_each_and_threads_in_all(void **state)
{
    (void)state;
    struct world *w = world_new();
    for (int b = 0; b < 3; b++) {
        w->boxes[b].is_holding = true;
        for (int i = 0; i < 3; i++) {
            add(w, b, 6380 + b * 10 + i);
        }
    }
    wait_requests(w, THREADS);
    (void)run_until(w, never, 100);
    int requests = 0;
    for (int b = 0; b < 3; b++) {
        assert_in_range(w->boxes[b].requests, 1, 2);
        requests += w->boxes[b].requests;
    }
    assert_int_equal(requests, THREADS);
    for (int b = 0; b < 3; b++) {
        release(&w->boxes[b]);
    }
    wait_done(w, 9);
    w->boxes[0].is_holding = true;
    w->boxes[0].requests = w->boxes[1].requests = w->boxes[2].requests = 0;
    for (int i = 0; i < 5; i++) {
        add(w, 0, 6380 + i);
    }
    add(w, 1, 7000);
    wait_done(w, 10); /* past those that wait for the first one */
    assert_int_equal(w->boxes[0].requests, 2);
    release(&w->boxes[0]);
    wait_done(w, 15);
    world_free(w);
}

/* Accepts connections, by the system, and never says a word. */
static int silent_listener(struct addr *ret_addr)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)(void *)&at, length), 0);
    assert_int_equal(listen(fd, 16), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)(void *)&at, &length), 0);
    *ret_addr = addr_of("127.0.0.1", ntohs(at.sin_port));
    return fd;
}

static void a_silent_container_delays_only_its_own(void **state)
{
    (void)state;
    struct world *w = world_new();
    struct addr silent;
    int fd = silent_listener(&silent);
    struct stretch s = stretch_begin();
    for (int i = 0; i < 20; i++) {
        assert_int_equal(try_submit(w, &silent, 9000 + i, false), 0);
    }
    for (int i = 0; i < 20; i++) {
        add(w, 0, 6380 + i);
    }
    wait_done(w, 40);
    assert_lasted(&s, TIMEOUT_MS - 50, 2 * TIMEOUT_MS);
    int timeouts = 0;
    for (int i = 0; i < 40; i++) {
        bool is_good = w->done[i].keeper.port < 9000;
        assert_int_equal(is_good, i < 20); /* all good ones came first */
        timeouts += w->done[i].rc == XP_TIMEOUT;
        assert_true(is_good ? w->done[i].rc == 0
                            : w->done[i].rc == XP_TIMEOUT || w->done[i].rc == XP_UNAVAILABLE);
    }
    assert_int_equal(timeouts, 2);
    json_auto_t *rows = container_calls_json(w->calls);
    assert_int_equal(json_array_size(rows), 1);
    const json_t *row = json_array_get(rows, 0);
    assert_true(json_is_true(json_object_get(row, "is_silent")));
    assert_non_null(strstr(json_string_value(json_object_get(row, "last_error")), "no answer"));
    assert_int_equal(json_integer_value(json_object_get(row, "waiting")), 0);
    /* Now it is known to be silent: one at a time, and the rest ends with it. */
    w->done_count = 0;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(try_submit(w, &silent, 9000 + i, false), 0);
    }
    wait_done(w, 5);
    timeouts = 0;
    for (int i = 0; i < 5; i++) {
        timeouts += w->done[i].rc == XP_TIMEOUT;
    }
    assert_int_equal(timeouts, 1);
    close(fd);
    w->done_count = 0;
    assert_int_equal(try_submit(w, &silent, 9000, false), 0);
    wait_done(w, 1);
    assert_int_equal(w->done[0].rc, XP_IO); /* refused */
    world_free(w);
}

/* Silent containers together keep half of the threads free. */
static void many_silent_containers_leave_room(void **state)
{
    (void)state;
    struct world *w = world_new();
    struct addr silent[6];
    int fds[6];
    for (int i = 0; i < 6; i++) {
        fds[i] = silent_listener(&silent[i]);
        assert_int_equal(try_submit(w, &silent[i], 9000 + i, false), 0);
    }
    wait_done(w, 6); /* known to be silent from now on */
    w->done_count = 0;
    for (int i = 0; i < 6; i++) {
        assert_int_equal(try_submit(w, &silent[i], 9000 + i, false), 0);
    }
    (void)run_until(w, never, 50);
    for (int i = 0; i < 6; i++) {
        add(w, 0, 6380 + i);
    }
    wait_done(w, 6);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(w->done[i].rc, 0);
        close(fds[i]);
    }
    world_free(w);
}

static void the_queue_is_bounded(void **state)
{
    (void)state;
    struct world *w = world_new();
    int rc = 0;
    int accepted = 0;
    while (rc == 0 && accepted <= CONTAINER_QUEUE_MAX) {
        struct addr container = addr_of("127.0.0.1", 1 + accepted % 3000);
        rc = try_submit(w, &container, 1 + accepted, false);
        accepted += rc == 0;
    }
    assert_int_equal(rc, XP_TOO_MANY);
    assert_int_equal(accepted, CONTAINER_QUEUE_MAX);
    world_free(w);
}

static void one_keeper_is_queued_once(void **state)
{
    (void)state;
    struct world *w = world_new();
    add(w, 0, 6380);
    assert_int_equal(try_submit(w, &w->boxes[0].addr, 6380, false), XP_CONFLICT);
    drop(w, 0, 6380); /* another kind */
    container_calls_forget(w->calls, w);
    add(w, 1,
        6380); /* in place of the one that nobody listens to; its container is another one now */
    wait_done(w, 1);
    assert_int_equal(w->done[0].rc, 0);
    (void)run_until(w, never, 50);
    assert_int_equal(w->done_count, 1);
    assert_int_equal(w->boxes[1].requests, 2);
    expect_seen(&w->boxes[0], "DELETE /keepers/clusters/1/shards/2 " TRANS "\n", 6380);
    world_free(w);
}

/* ---- life ---- */

static void the_slot_is_quiet_when_nothing_is_under_way(void **state)
{
    (void)state;
    struct world *w = world_new();
    int slot = slot_of_cluster(1);
    w->boxes[0].is_holding = true;
    add(w, 0, 6380);
    add(w, 0, 6381);
    assert_true(container_calls_is_quiet(w->calls, slot)); /* what waits can be refused yet */
    wait_requests(w, 2);
    assert_false(container_calls_is_quiet(w->calls, slot));
    assert_false(container_calls_is_quiet(w->calls, -1));
    assert_true(container_calls_is_quiet(w->calls, (slot + 1) % SLOT_COUNT));
    assert_int_equal(w->quiets, 0);
    release(&w->boxes[0]);
    wait_done(w, 2);
    (void)run_until(w, never, 10);
    assert_int_equal(w->quiets, 1);
    assert_int_equal(w->last_quiet, slot);
    assert_true(container_calls_is_quiet(w->calls, slot));
    assert_true(container_calls_is_quiet(w->calls, -1));
    world_free(w);
}

static bool box_has_posted(struct world *w)
{
    return strstr(str_text(&w->boxes[0].seen), "POST") != NULL && w->quiets > 0;
}

static void who_forgets_is_not_called(void **state)
{
    (void)state;
    struct world *w = world_new();
    int other = 0;
    struct xp_err err;
    w->boxes[0].is_holding = true;
    add(w, 0, 6380);
    add(w, 0, 6381);
    struct container_call call = call_to(&w->boxes[1].addr, 6390, false);
    assert_int_equal(container_calls_submit(w->calls, &call, NULL, &other, &err), 0);
    wait_requests(w, 3);
    container_calls_forget(w->calls, &other);
    container_calls_forget(w->calls, w);
    release(&w->boxes[0]);
    assert_true(run_until(w, box_has_posted, LIMIT_MS)); /* it goes on */
    assert_int_equal(w->done_count, 0);
    world_free(w);
}

static void freed_with_calls_under_way(void **state)
{
    (void)state;
    struct world *w = world_new();
    w->boxes[0].is_holding = true;
    w->boxes[1].look.body = FOREIGN;
    budget_init(&w->removals, 1, 1, clock_mono_ms());
    assert_true(budget_take(&w->removals, clock_mono_ms()));
    for (int i = 0; i < 5; i++) {
        add(w, 0, 6380 + i);
        drop(w, 0, 6380 + i);
    }
    add(w, 1, 6390);
    wait_requests(w, 3);
    world_free(w);
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    log_set_level(LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_at_once_for_each_and_threads_in_all),
        cmocka_unit_test(a_silent_container_delays_only_its_own),
        cmocka_unit_test(many_silent_containers_leave_room),
        cmocka_unit_test(the_queue_is_bounded),
        cmocka_unit_test(one_keeper_is_queued_once),
        cmocka_unit_test(the_slot_is_quiet_when_nothing_is_under_way),
        cmocka_unit_test(who_forgets_is_not_called),
        cmocka_unit_test(freed_with_calls_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
