/* console_report_test.c - how a report ends for who gave it; what goes to the console and when is in keeper_report_test.c. */
#include "meta/links/console_report.h"

#include <signal.h>
#include <stdio.h>

#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "tests/unit/unit.h"

#include "tests/unit/console_script.h"

#include "shared/base/banned.h"

static struct report_metrics metrics = REPORT_METRICS_INIT("xpipe_test_reports", "tests");

enum { NOT_ENDED = 99 };

struct world {
    struct loop *loop;
    struct script console;
    struct console_report *reports;
};

static void open_with(struct world *w, int queue_max)
{
    char url[64];
    *w = (struct world){ .loop = loop_new() };
    script_init(&w->console, w->loop);
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%d/", w->console.port);
    w->reports = console_report_new(&(struct console_report_options){ .loop = w->loop,
                                                                      .console_url = url,
                                                                      .subject = "tests",
                                                                      .metrics = &metrics,
                                                                      .queue_max = queue_max,
                                                                      .connect_timeout_ms = 1000,
                                                                      .timeout_ms = 3000 });
}

static void close_all(struct world *w)
{
    console_report_free(w->reports);
    script_done(&w->console);
    loop_free(w->loop);
}

static void note_end(int rc, void *arg)
{
    int *end = arg;
    assert_int_equal(*end, NOT_ENDED); /* once */
    *end = rc;
}

static void put(const struct world *w, const char *key, int *ret_end)
{
    *ret_end = NOT_ENDED;
    console_report_put(w->reports, &(struct console_news){ .key = key,
                                                           .method = "POST",
                                                           .target = "/news",
                                                           .take_body = xstrdup("{}"),
                                                           .on_end = note_end,
                                                           .arg = ret_end });
}

static bool has_ended(void *arg)
{
    return *(const int *)arg != NOT_ENDED;
}

static bool is_held(void *arg)
{
    return ((const struct world *)arg)->console.held != NULL;
}

static bool is_idle(void *arg)
{
    return !console_report_has(((const struct world *)arg)->reports, "a");
}

static void taken_or_refused(void **state)
{
    (void)state;
    static const struct {
        int status;
        int rc;
    } cases[] = {
        { 200, 0 }, { 201, 0 }, { 400, XP_REMOTE }, { 404, XP_REMOTE }, { 302, XP_REMOTE }
    };
    struct world w;
    open_with(&w, 10);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int end;
        script_answer(&w.console, cases[i].status, "{}");
        put(&w, "a", &end);
        assert_true(console_report_has(w.reports, "a"));
        assert_true(script_wait(&w.console, has_ended, &end, SCRIPT_LIMIT_MS));
        assert_int_equal(end, cases[i].rc);
        assert_false(console_report_has(w.reports, "a"));
    }
    close_all(&w);
}

static void no_room_is_told_at_once(void **state)
{
    (void)state;
    struct world w;
    int first;
    int second;
    open_with(&w, 1);
    put(&w, "a", &first);
    put(&w, "b", &second);
    assert_int_equal(second, XP_TOO_MANY);
    assert_int_equal(first, NOT_ENDED);
    close_all(&w);
    assert_int_equal(first, XP_UNAVAILABLE); /* it waited until the end */
}

static void nobody_is_told_after_a_drop(void **state)
{
    (void)state;
    struct world w;
    int waiting;
    int under_way;
    open_with(&w, 10);
    put(&w, "a", &waiting);
    console_report_drop(w.reports, "a");
    assert_false(console_report_has(w.reports, "a"));
    w.console.is_held = true;
    put(&w, "a", &under_way);
    assert_true(script_wait(&w.console, is_held, &w, SCRIPT_LIMIT_MS));
    console_report_drop(w.reports, "a");
    script_release(&w.console);
    assert_true(script_wait(&w.console, is_idle, &w, SCRIPT_LIMIT_MS));
    close_all(&w);
    assert_int_equal(waiting, NOT_ENDED);
    assert_int_equal(under_way, NOT_ENDED);
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    log_set_level(LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(taken_or_refused),
        cmocka_unit_test(no_room_is_told_at_once),
        cmocka_unit_test(nobody_is_told_after_a_drop),
    };
    return cmocka_run_group_tests_name("console_report", tests, NULL, NULL);
}
