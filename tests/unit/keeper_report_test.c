/* keeper_report_test.c - reports of active keepers to a scripted console: the newest only, pauses, limits. */
#include "meta/keepers/keeper_report.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "shared/base/log.h"
#include "shared/base/metrics.h"
#include "tests/unit/stretch.h"
#include "tests/unit/unit.h"

#include "tests/unit/console_script.h"

#include "shared/base/banned.h"

struct world {
    struct loop *loop;
    struct script console;
    struct keeper_report *report;
    int wanted_requests;
    char url[64];
};

static void report_open(struct world *w, int queue_max)
{
    struct keeper_report_options options = {
        .loop = w->loop,
        .console_url = w->url,
        .dc = "jq",
        .queue_max = queue_max,
        .connect_timeout_ms = 1000,
        .timeout_ms = 3000,
    };
    w->report = keeper_report_new(&options);
}

static struct world *world_new(int queue_max)
{
    struct world *w = xcalloc(1, sizeof(*w));
    w->loop = loop_new();
    script_init(&w->console, w->loop);
    (void)snprintf(w->url, sizeof(w->url), "http://127.0.0.1:%d/", w->console.port);
    report_open(w, queue_max);
    return w;
}

static void world_free(struct world *w)
{
    keeper_report_free(w->report);
    script_done(&w->console);
    loop_free(w->loop);
    free(w);
}

static void put(struct world *w, const char *shard, int port)
{
    struct live_keeper active = {
        .addr = addr_of("10.0.0.1", port), .run_id = "ab", .container_id = 7, .priority = 2
    };
    keeper_report_put(w->report, "c 1", shard, &active);
}

static bool has_requests(void *arg)
{
    const struct world *w = arg;
    return w->console.requests >= w->wanted_requests;
}

static void wait_requests(struct world *w, int count)
{
    w->wanted_requests = count;
    if (!script_wait(&w->console, has_requests, w, SCRIPT_LIMIT_MS)) {
        fail_msg("%d requests, not %d:\n%s", w->console.requests, count,
                 str_text(&w->console.seen));
    }
}

static bool never(void *arg)
{
    (void)arg;
    return false;
}

static void let_pass(struct world *w, int64_t ms)
{
    (void)script_wait(&w->console, never, w, ms);
}

static bool is_held(void *arg)
{
    return ((const struct world *)arg)->console.held != NULL;
}

static int times_seen(const struct world *w, const char *text)
{
    int count = 0;
    for (const char *at = str_text(&w->console.seen); (at = strstr(at, text)); at++) {
        count++;
    }
    return count;
}

static int64_t metric_of(const char *result)
{
    AUTO_STR struct str text = STR_INIT(1 << 20);
    AUTO_FREE char *line = xasprintf("xpipe_keeper_reports_total{result=\"%s\"} ", result);
    metrics_print(&text);
    const char *at = strstr(str_text(&text), line);
    assert_non_null(at);
    return strtoll(at + strlen(line), NULL, 10);
}

static void what_is_sent(void **state)
{
    (void)state;
    struct world *w = world_new(100);
    int64_t before = metric_of("ok");
    put(w, "s/1", 6380); /* a name as nobody has it: still one segment */
    wait_requests(w, 1);
    assert_string_equal(str_text(&w->console.seen),
                        "PUT /api/dc/jq/cluster/c%201/shard/s%2F1/keepers/adjustment "
                        "{\"id\":\"ab\",\"ip\":\"10.0.0.1\",\"port\":6380,\"master\":null,"
                        "\"active\":true,\"keeperContainerId\":7,\"priority\":2,\"offset\":null,"
                        "\"survive\":null}\n");
    let_pass(w, 50);
    assert_int_equal(w->console.requests, 1);
    assert_int_equal(metric_of("ok"), before + 1);
    assert_int_equal(keeper_report_waiting(w->report), 0);
    world_free(w);
}

static void only_the_newest_state_counts(void **state)
{
    (void)state;
    struct world *w = world_new(100);
    for (int port = 1; port <= 3; port++) {
        put(w, "a", 6380 + port);
    }
    assert_int_equal(keeper_report_waiting(w->report), 1);
    w->console.is_held = true;
    assert_true(script_wait(&w->console, is_held, w, SCRIPT_LIMIT_MS));
    for (int port = 1; port <= 3; port++) {
        put(w, "a", 7000 + port); /* the one before is under way */
    }
    put(w, "b", 8000); /* others do not wait for it */
    wait_requests(w, 2);
    let_pass(w, 50);
    assert_int_equal(w->console.requests, 2);
    script_release(&w->console);
    wait_requests(w, 3);
    let_pass(w, 50);
    assert_int_equal(w->console.requests, 3);
    assert_int_equal(times_seen(w, ":6383,"), 1);
    assert_int_equal(times_seen(w, ":8000,"), 1);
    assert_int_equal(times_seen(w, ":7003,"), 1);
    world_free(w);
}

/* Four fail together: one pause, and the next one is twice as long. */
static void a_failure_pauses_all(void **state)
{
    (void)state;
    struct world *w = world_new(100);
    script_answer(&w->console, 500, "");
    for (int i = 0; i < 6; i++) {
        char shard[16];
        (void)snprintf(shard, sizeof(shard), "s%d", i);
        put(w, shard, 6380 + i);
    }
    struct stretch s = stretch_begin();
    wait_requests(w, 4);
    let_pass(w, 500);
    if (stretch_was_calm(&s, 400)) { /* else the pause may be over already */
        assert_int_equal(w->console.requests, 4);
    }
    assert_int_equal(keeper_report_waiting(w->report), 6);
    put(w, "s9", 6389); /* no way round the pause */
    wait_requests(w, 8);
    assert_lasted(&s, 900, 1900);
    let_pass(w, 500);
    if (stretch_was_calm(&s, 1000)) {
        assert_int_equal(w->console.requests, 8);
    }
    script_answer(&w->console, 200, "");
    wait_requests(w, 15);
    assert_lasted(&s, 2700, 5700);
    let_pass(w, 50);
    assert_int_equal(w->console.requests, 15);
    assert_int_equal(keeper_report_waiting(w->report), 0);
    assert_int_equal(times_seen(w, "shard/s9/"), 1);
    world_free(w);
}

static bool has_told_all(void *arg)
{
    const struct world *w = arg;
    return metric_of("ok") >= w->wanted_requests;
}

static void a_console_that_is_away(void **state)
{
    (void)state;
    struct world *w = world_new(100);
    script_stop(&w->console);
    put(w, "a", 6380);
    put(w, "b", 6381);
    let_pass(w, 300);
    put(w, "a", 6390);
    assert_int_equal(keeper_report_waiting(w->report), 2);
    script_start(&w->console);
    w->wanted_requests = (int)metric_of("ok") + 2;
    assert_true(script_wait(&w->console, has_told_all, w, SCRIPT_LIMIT_MS));
    assert_int_equal(times_seen(w, ":6390,"), 1);
    assert_int_equal(times_seen(w, ":6381,"), 1);
    assert_int_equal(times_seen(w, ":6380,"), 0);
    world_free(w);
}

/* After a pause that found nothing left to send, the next report goes at once. */
static void a_pause_does_not_outlive_its_reports(void **state)
{
    (void)state;
    struct world *w = world_new(100);
    script_answer(&w->console, 503, "");
    struct stretch s = stretch_begin();
    put(w, "a", 6380);
    wait_requests(w, 1);
    let_pass(w, 100);
    keeper_report_drop(w->report, "c 1", "a");
    bool is_in_time =
        stretch_was_calm(&s, 700); /* else the pause of a second may have been over before */
    script_answer(&w->console, 200, "");
    let_pass(w, 1200);
    int before = w->console.requests;
    assert_true(before == 1 || !is_in_time);
    s = stretch_begin();
    put(w, "b", 6381);
    wait_requests(w, before + 1);
    assert_lasted(&s, 0, 600);
    world_free(w);
}

static void what_the_console_refuses_is_not_repeated(void **state)
{
    (void)state;
    static const int refusals[] = { 400, 404, 302, 410 };
    struct world *w = world_new(100);
    int64_t before = metric_of("refused");
    for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
        script_answer(&w->console, refusals[i], "");
        put(w, "a", 6380);
        wait_requests(w, (int)i + 1);
        let_pass(w, 30);
    }
    let_pass(w, 1200);
    assert_int_equal(w->console.requests, ARRAY_LEN(refusals));
    assert_int_equal(metric_of("refused"), before + (int64_t)ARRAY_LEN(refusals));
    /* ... and it ends a pause: the console answers. */
    script_answer(&w->console, 500, "");
    put(w, "a", 6380);
    wait_requests(w, 5);
    script_answer(&w->console, 404, "");
    wait_requests(w, 6);
    let_pass(w, 30);
    struct stretch s = stretch_begin();
    put(w, "b", 6381);
    wait_requests(w, 7);
    assert_lasted(&s, 0, 600);
    world_free(w);
}

/* A token that is being changed, a console that asks for patience: not about the report. */
static void what_passes_is_repeated(void **state)
{
    (void)state;
    static const int passing[] = { 401, 403, 429 };
    struct world *w = world_new(100);
    int64_t before = metric_of("refused");
    for (size_t i = 0; i < ARRAY_LEN(passing); i++) {
        script_answer(&w->console, passing[i], "");
        put(w, "a", 6380);
        wait_requests(w, (int)(2 * i) + 1);
        let_pass(w, 30);
        script_answer(&w->console, 200, "");
        wait_requests(w, (int)(2 * i) + 2);
        let_pass(w, 30);
    }
    assert_int_equal(metric_of("refused"), before);
    world_free(w);
}

static void the_queue_is_bounded(void **state)
{
    (void)state;
    struct world *w = world_new(3);
    int64_t before = metric_of("dropped");
    put(w, "a", 1);
    put(w, "b", 2);
    put(w, "c", 3);
    put(w, "d", 4); /* dropped */
    put(w, "a", 5); /* there already */
    assert_int_equal(keeper_report_waiting(w->report), 3);
    assert_int_equal(metric_of("dropped"), before + 1);
    wait_requests(w, 3);
    let_pass(w, 30);
    assert_int_equal(times_seen(w, "shard/d/"), 0);
    assert_int_equal(times_seen(w, ":5,"), 1);
    put(w, "d", 4);
    wait_requests(w, 4);
    world_free(w);
}

static void a_shard_that_left(void **state)
{
    (void)state;
    struct world *w = world_new(100);
    put(w, "a", 1);
    put(w, "b", 2);
    keeper_report_drop(w->report, "c 1", "a");
    keeper_report_drop(w->report, "c 1", "nobody");
    assert_int_equal(keeper_report_waiting(w->report), 1);
    w->console.is_held = true;
    assert_true(script_wait(&w->console, is_held, w, SCRIPT_LIMIT_MS));
    assert_int_equal(times_seen(w, "shard/a/"), 0);
    put(w, "b", 3);
    keeper_report_drop(w->report, "c 1", "b"); /* under way, and news behind it */
    script_answer(&w->console, 500, "");
    script_release(&w->console);
    let_pass(w, 1300);
    assert_int_equal(w->console.requests, 1);
    script_answer(&w->console, 200, "");
    w->console.is_held = true; /* dropped and back while the call is under way */
    put(w, "b", 4);
    assert_true(script_wait(&w->console, is_held, w, SCRIPT_LIMIT_MS));
    keeper_report_drop(w->report, "c 1", "b");
    put(w, "b", 5);
    script_release(&w->console);
    wait_requests(w, 3);
    assert_int_equal(times_seen(w, ":5,"), 1);
    world_free(w);
}

static void freed_with_reports_under_way(void **state)
{
    (void)state;
    struct world *w = world_new(100);
    w->console.is_held = true;
    for (int i = 0; i < 8; i++) {
        char shard[16];
        (void)snprintf(shard, sizeof(shard), "s%d", i);
        put(w, shard, 6380 + i);
    }
    assert_true(script_wait(&w->console, is_held, w, SCRIPT_LIMIT_MS));
    put(w, "s0", 7000);
    script_release(&w->console);
    world_free(w);
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    log_set_level(LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_sent),
        cmocka_unit_test(only_the_newest_state_counts),
        cmocka_unit_test(a_failure_pauses_all),
        cmocka_unit_test(a_console_that_is_away),
        cmocka_unit_test(a_pause_does_not_outlive_its_reports),
        cmocka_unit_test(what_the_console_refuses_is_not_repeated),
        cmocka_unit_test(what_passes_is_repeated),
        cmocka_unit_test(the_queue_is_bounded),
        cmocka_unit_test(a_shard_that_left),
        cmocka_unit_test(freed_with_reports_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
