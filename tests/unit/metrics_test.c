/* metrics_test.c - metrics.h; what it prints is judged by promtool. */
#include "tests/unit/unit.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/base/mem.h"
#include "shared/base/metrics.h"

#include "shared/base/banned.h"

static struct metric good = METRIC_COUNTER_INIT("xpipe_test_polls_total", "result=\"ok\"", "Polls");
static struct metric bad = METRIC_COUNTER_INIT("xpipe_test_polls_total", "result=\"bad\"", "Polls");
static struct metric slots = METRIC_GAUGE_INIT("xpipe_test_slots", "", "Slots\nowned \\ here");
static struct metric lag = { .name = "xpipe_test_lag_seconds",
                             .labels = "",
                             .help = "Lag",
                             .kind = METRIC_GAUGE,
                             .scale = 1000 };
static struct metric times =
    METRIC_HISTOGRAM_INIT("xpipe_test_reply_seconds", "kind=\"info\"", "Time to reply");

/* The exposition as owned text. */
static char *print(void)
{
    struct str out = STR_INIT(1 << 20);
    metrics_print(&out);
    assert_false(out.overflow);
    return str_take(&out);
}

static void assert_line(const char *text, const char *line)
{
    AUTO_FREE char *framed = xasprintf("\n%s\n", line);
    if (!strstr(text, framed)) {
        fail_msg("no line '%s' in:\n%s", line, text);
    }
}

static void counters_and_gauges_are_printed(void **state)
{
    (void)state;
    metric_register(&bad);
    metric_register(&bad);
    metric_add(&good, 2);
    metric_add(&good, 3);
    metric_set(&slots, 7);
    metric_add(&slots, -9);
    metric_set(&lag, 1250);
    assert_int_equal(metric_value(&good), 5);
    AUTO_FREE char *text = print();
    assert_line(text, "# HELP xpipe_test_polls_total Polls\n# TYPE xpipe_test_polls_total counter\n"
                      "xpipe_test_polls_total{result=\"bad\"} 0\n"
                      "xpipe_test_polls_total{result=\"ok\"} 5");
    assert_line(text, "# HELP xpipe_test_slots Slots\\nowned \\\\ here\n"
                      "# TYPE xpipe_test_slots gauge\nxpipe_test_slots -2");
    assert_line(text, "xpipe_test_lag_seconds 1.250");
    assert_true(strstr(text, "xpipe_test_lag_seconds 1.250") < strstr(text, "xpipe_test_polls"));
    AUTO_FREE char *build = xasprintf("xpipe_build_info{version=\"%s\"} 1", XP_VERSION);
    assert_line(text, build);
}

static void histograms_are_cumulative(void **state)
{
    (void)state;
    static const int64_t durations_us[] = { 0, 1000, 1001, 900000, 1000000, 10000000, 10000001 };
    for (size_t i = 0; i < ARRAY_LEN(durations_us); i++) {
        metric_observe_us(&times, durations_us[i]);
    }
    AUTO_FREE char *text = print();
    assert_line(text, "xpipe_test_reply_seconds_bucket{kind=\"info\",le=\"0.001\"} 2\n"
                      "xpipe_test_reply_seconds_bucket{kind=\"info\",le=\"0.0025\"} 3");
    assert_line(text, "xpipe_test_reply_seconds_bucket{kind=\"info\",le=\"0.5\"} 3\n"
                      "xpipe_test_reply_seconds_bucket{kind=\"info\",le=\"1.0\"} 5\n"
                      "xpipe_test_reply_seconds_bucket{kind=\"info\",le=\"2.5\"} 5\n"
                      "xpipe_test_reply_seconds_bucket{kind=\"info\",le=\"10.0\"} 6\n"
                      "xpipe_test_reply_seconds_bucket{kind=\"info\",le=\"+Inf\"} 7\n"
                      "xpipe_test_reply_seconds_sum{kind=\"info\"} 21.902002\n"
                      "xpipe_test_reply_seconds_count{kind=\"info\"} 7");
}

static double value_of(const char *text, const char *name)
{
    AUTO_FREE char *key = xasprintf("\n%s ", name);
    const char *at = strstr(text, key);
    assert_non_null(at);
    return strtod(at + strlen(key), NULL);
}

static void the_process_is_described(void **state)
{
    (void)state;
    AUTO_FREE char *before = print();
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    AUTO_FREE char *after = print();
    (void)close(fds[0]);
    (void)close(fds[1]);
    assert_true(value_of(after, "process_open_fds") == value_of(before, "process_open_fds") + 2);
    assert_true(value_of(after, "process_resident_memory_bytes") > 500000);
    assert_true(value_of(after, "process_virtual_memory_bytes") >=
                value_of(after, "process_resident_memory_bytes"));
    assert_true(value_of(after, "process_threads") >= 1);
    assert_true(value_of(after, "process_max_fds") >= 10);
    double start = value_of(after, "process_start_time_seconds");
    double age = (double)time(NULL) - start;
    assert_true(age > -2 && age < 600);
    assert_true(value_of(after, "process_cpu_seconds_total") > 0);
}

static void *count_much(void *arg)
{
    static struct metric late = METRIC_COUNTER_INIT("xpipe_test_late_total", "", "From threads");
    for (int i = 0; i < 5000; i++) {
        metric_add(&late, 1);
        metric_observe_us(&times, 1);
    }
    return arg ? &late : NULL;
}

static void threads_may_count(void **state)
{
    (void)state;
    pthread_t threads[3];
    void *late = NULL;
    for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, count_much, &threads), 0);
    }
    AUTO_FREE char *while_counting = print();
    assert_non_null(strstr(while_counting, "xpipe_build_info"));
    for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
        assert_int_equal(pthread_join(threads[i], &late), 0);
    }
    assert_int_equal(metric_value(late), 15000);
    AUTO_FREE char *text = print();
    assert_line(text, "xpipe_test_late_total 15000");
}

static void misuse_aborts(void **state)
{
    (void)state;
    ASSERT_ABORTS(metric_add(&good, -1));
    ASSERT_ABORTS(metric_set(&good, 1));
    ASSERT_ABORTS(metric_add(&times, 1));
    ASSERT_ABORTS(metric_observe_us(&slots, 1));
}

/* Returns what it reads from; its findings go to stderr. */
static int promtool_start(pid_t *ret_pid)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    *ret_pid = fork();
    assert_true(*ret_pid >= 0);
    if (*ret_pid == 0) {
        (void)dup2(ends[0], STDIN_FILENO);
        (void)dup2(STDERR_FILENO, STDOUT_FILENO);
        (void)close(ends[0]);
        (void)close(ends[1]);
        (void)execlp("promtool", "promtool", "check", "metrics", (char *)NULL);
        _exit(127);
    }
    (void)close(ends[0]);
    return ends[1];
}

static void promtool_accepts_it(void **state)
{
    (void)state;
    AUTO_FREE char *text = print();
    pid_t promtool = 0;
    int status = -1;
    int fd = promtool_start(&promtool);
    size_t length = strlen(text);
    assert_int_equal(write(fd, text, length), length);
    (void)close(fd);
    assert_int_equal(waitpid(promtool, &status, 0), promtool);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters_and_gauges_are_printed),
        cmocka_unit_test(histograms_are_cumulative),
        cmocka_unit_test(the_process_is_described),
        cmocka_unit_test(threads_may_count),
        cmocka_unit_test(misuse_aborts),
        cmocka_unit_test(promtool_accepts_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
