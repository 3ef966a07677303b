/* log_test.c - log.h, read back from a file. The clock is replaced at link time, so that the rate limit can be
 * tested without waiting. */
#include "tests/unit/unit.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/metrics.h"
#include "shared/base/thread.h"

#include "shared/base/banned.h"

static mono_ms now_ms = 5000;

mono_ms clock_mono_ms(void)
{
    return now_ms;
}

int64_t clock_mono_us(void)
{
    return now_ms * 1000;
}

wall_ms clock_wall_ms(void)
{
    return 1795309323456; /* 2026-11-22T01:02:03.456Z */
}

static char folder[] = "/tmp/xpipe-log-test.XXXXXX";
static char *path;

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder)) {
        return -1;
    }
    path = xasprintf("%s/log", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    (void)unlink(path);
    free(path);
    return rmdir(folder);
}

static int start_file(void **state)
{
    (void)state;
    (void)unlink(path);
    log_set_level(LOG_INFO);
    return log_open(path) ? 0 : -1;
}

static int stop_file(void **state)
{
    (void)state;
    return log_open(NULL) ? 0 : -1;
}

/* Owned text of a file. */
static char *slurp(const char *name)
{
    FILE *file = fopen(name, "re");
    assert_non_null(file);
    char *text = xcalloc(1, 1 << 20);
    size_t n = fread(text, 1, (1 << 20) - 1, file);
    (void)fclose(file);
    text[n] = '\0';
    return text;
}

static int count_lines(const char *text)
{
    int n = 0;
    for (; *text; text++) {
        n += *text == '\n';
    }
    return n;
}

static void a_line_has_its_form(void **state)
{
    (void)state;
    log_warn("peer.mismatch", "cluster", "c1", "gid", log_int(-2), "rule", log_fmt("P%d", 20),
             "none", NULL);
    log_info("bare.event");
    AUTO_FREE char *text = slurp(path);
    assert_string_equal(text, "2026-11-22T01:02:03.456Z warn main peer.mismatch cluster=c1 gid=-2 "
                              "rule=P20 none=-\n"
                              "2026-11-22T01:02:03.456Z info main bare.event\n");
}

static void values_are_quoted(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        const char *shown;
    } rows[] = {
        { "plain-1.2:3", "plain-1.2:3" },
        { "", "\"\"" },
        { "two words", "\"two words\"" },
        { "a=b", "\"a=b\"" },
        { "say \"hi\" \\", "\"say \\\"hi\\\" \\\\\"" },
        { "a\nb\tc\r", "\"a\\nb\\tc\\r\"" },
        { "\x01\x7f", "\"\\x01\\x7f\"" },
        { "\xc3\xa4", "\xc3\xa4" },
        { "\xc3\xa4 b", "\"\xc3\xa4 b\"" },
        { "\xff\xc3\xa4", "\"\\xff\\xc3\\xa4\"" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_int_equal(start_file(NULL), 0);
        now_ms += 1000;
        log_info("t", "v", rows[i].value);
        AUTO_FREE char *want = xasprintf(" t v=%s\n", rows[i].shown);
        AUTO_FREE char *text = slurp(path);
        assert_non_null(strstr(text, want));
    }
}

static void long_values_and_lines_are_cut(void **state)
{
    (void)state;
    AUTO_FREE char *value = xcalloc(1, 3001);
    memset(value, 'v', 3000);
    log_info("t", "v", value);
    AUTO_FREE char *text = slurp(path);
    assert_int_equal(strspn(strchr(text, '=') + 1, "v"), 1000);
    assert_non_null(strstr(text, "vv...\n"));

    memset(value, '\n', 3000);
    log_info("t", "a", value, "b", value, "c", value, "d", value, "e", value, "f", value, "g",
             value, "h", value, "i", value, "j", value);
    AUTO_FREE char *both = slurp(path);
    assert_int_equal(count_lines(both), 2);
    assert_non_null(strstr(both, " cut=true\n"));
    assert_in_range(strlen(both), 15000, 18000);

    assert_int_equal(start_file(NULL), 0);
    memset(value, 'v', 999);
    static const char tail[] = "\xc3\xa4 and more";
    memcpy(value + 999, tail, sizeof(tail));
    log_info("t", "v", value);
    AUTO_FREE char *whole = slurp(path);
    assert_non_null(strstr(whole, "=vvv"));
    assert_null(strchr(whole, '\xc3')); /* not half a character */
}

static void a_missing_value_is_no_accident(void **state)
{
    (void)state;
    log_info("t", "a", "1", "b");
    AUTO_FREE char *text = slurp(path);
    assert_non_null(strstr(text, " t a=1 b=-\n"));
}

static void levels_filter(void **state)
{
    (void)state;
    enum log_level level = LOG_ERROR;
    assert_true(log_level_from_text("debug", &level));
    assert_int_equal(level, LOG_DEBUG);
    assert_false(log_level_from_text("loud", &level));
    assert_false(log_level_from_text("", &level));
    assert_int_equal(level, LOG_DEBUG);
    int64_t before = log_lines_total(LOG_WARN);
    log_debug("t.hidden");
    log_set_level(LOG_ERROR);
    log_warn("t.hidden");
    log_error("t.shown");
    log_set_level(LOG_DEBUG);
    log_debug("t.shown");
    log_warn("t.shown");
    AUTO_FREE char *text = slurp(path);
    assert_int_equal(count_lines(text), 3);
    assert_null(strstr(text, "hidden"));
    assert_int_equal(log_lines_total(LOG_WARN), before + 1);
}

static void busy_site(int times)
{
    for (int i = 0; i < times; i++) {
        log_info("t.busy", "i", log_int(i));
    }
}

static void a_site_is_limited(void **state)
{
    (void)state;
    busy_site(LOG_BURST + 5);
    AUTO_FREE char *first = slurp(path);
    assert_int_equal(count_lines(first), LOG_BURST);
    assert_null(strstr(first, "dropped"));
    log_info("t.other"); /* another site has tokens of its own */

    now_ms += 999;
    busy_site(1);
    AUTO_FREE char *second = slurp(path);
    assert_int_equal(count_lines(second), LOG_BURST + 1);

    now_ms += 1;
    busy_site(2);
    AUTO_FREE char *third = slurp(path);
    assert_int_equal(count_lines(third), LOG_BURST + 2);
    assert_non_null(strstr(third, "t.busy i=0 dropped=6\n"));

    now_ms += 3600 * 1000;
    busy_site(2 * LOG_BURST);
    AUTO_FREE char *fourth = slurp(path);
    assert_int_equal(count_lines(fourth), 2 * LOG_BURST + 2);
    now_ms -= 100; /* a clock of a test may step back; the site must not */
    busy_site(1);
}

static void numbers_keep_their_ring(void **state)
{
    (void)state;
    const char *first = log_int(1);
    for (int i = 0; i < 15; i++) {
        (void)log_int(2);
    }
    assert_string_equal(first, "1");
    (void)log_int(3);
    assert_string_equal(first, "3");
    AUTO_FREE char *big = xcalloc(1, 5000);
    memset(big, 'x', 4999);
    assert_int_equal(strlen(log_fmt("%s", big)), 1023);
}

static void a_file_can_be_rotated(void **state)
{
    (void)state;
    AUTO_FREE char *rotated = xasprintf("%s.1", path);
    log_info("t.before");
    assert_int_equal(rename(path, rotated), 0);
    log_info("t.between");
    assert_true(log_reopen());
    log_info("t.after");
    AUTO_FREE char *old = slurp(rotated);
    AUTO_FREE char *new = slurp(path);
    (void)unlink(rotated);
    assert_int_equal(count_lines(old), 2);
    assert_int_equal(count_lines(new), 1);
    assert_non_null(strstr(new, "t.after"));
}

static void a_bad_path_keeps_the_output(void **state)
{
    (void)state;
    assert_false(log_open("/nonexistent/folder/log"));
    log_info("t.still");
    AUTO_FREE char *text = slurp(path);
    assert_non_null(strstr(text, "t.still"));
}

static void a_refused_line_is_counted(void **state)
{
    (void)state;
    assert_true(log_open("/dev/full"));
    int64_t before = log_lines_total(LOG_INFO);
    log_info("t.lost");
    assert_int_equal(log_lines_total(LOG_INFO), before);
    struct str out = STR_INIT(1 << 20);
    metrics_print(&out);
    assert_non_null(strstr(str_text(&out), "\nxpipe_log_write_failures_total 1\n"));
    str_done(&out);
}

static void *log_from_thread(void *arg)
{
    thread_set_role(THREAD_WORKER, "worker 1");
    for (int i = 0; i < 500; i++) {
        struct log_site own = { 0 };
        log_write(&own, LOG_INFO, "t.many", "text", "a b", (char *)0, (char *)0);
    }
    return arg;
}

static void threads_do_not_mix_lines(void **state)
{
    (void)state;
    pthread_t threads[2];
    for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, log_from_thread, NULL), 0);
    }
    assert_true(log_reopen());
    for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    AUTO_FREE char *text = slurp(path);
    static const char want[] = "2026-11-22T01:02:03.456Z info worker_1 t.many text=\"a b\"\n";
    assert_int_equal(strlen(text), 1000 * (sizeof(want) - 1));
    for (size_t i = 0; i < 1000; i++) {
        assert_memory_equal(text + i * (sizeof(want) - 1), want, sizeof(want) - 1);
    }
}

#define FILE_TEST(name) cmocka_unit_test_setup_teardown(name, start_file, stop_file)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FILE_TEST(a_line_has_its_form),
        FILE_TEST(values_are_quoted),
        FILE_TEST(long_values_and_lines_are_cut),
        FILE_TEST(a_missing_value_is_no_accident),
        FILE_TEST(levels_filter),
        FILE_TEST(a_site_is_limited),
        cmocka_unit_test(numbers_keep_their_ring),
        FILE_TEST(a_file_can_be_rotated),
        FILE_TEST(a_bad_path_keeps_the_output),
        FILE_TEST(a_refused_line_is_counted),
        FILE_TEST(threads_do_not_mix_lines),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
