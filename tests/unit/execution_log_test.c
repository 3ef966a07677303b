/* execution_log_test.c - lines of an execution log, and what is left of a log that is too long. */
#include "shared/switch/execution_log.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "shared/base/clock.h"
#include "shared/base/mem.h"
#include "shared/switch/switch_words.h"
#include "tests/unit/unit.h"

#include "shared/base/banned.h"

/* "[info][2024-01-31T23:59:59.123]text\n" */
static void check_line(const char *line, const char *level, const char *text)
{
    char expected[256];
    const char *stamp = strchr(line, ']');
    assert_non_null(stamp);
    (void)snprintf(expected, sizeof(expected), "[%s]", level);
    assert_memory_equal(line, expected, strlen(expected));
    for (const char *shape = "[0000-00-00T00:00:00.000]", *at = stamp + 1; *shape; shape++, at++) {
        assert_true(*shape == '0' ? *at >= '0' && *at <= '9' : *at == *shape);
    }
    const char *rest = stamp + 1 + strlen("[0000-00-00T00:00:00.000]");
    assert_memory_equal(rest, text, strlen(text));
    assert_int_equal(rest[strlen(text)], '\n');
}

static void lines_have_level_and_time(void **state)
{
    (void)state;
    struct execution_log *l = execution_log_new("meta server:{\"ip\":\"10.0.0.1\",\"port\":9747}");
    execution_log_warn(l, "one %d", 1);
    execution_log_error(l, "two\nlines\t%s", "here");
    AUTO_FREE char *text = execution_log_take(l);
    const char *second = strchr(text, '\n') + 1;
    const char *third = strchr(second, '\n') + 1;
    check_line(text, "info", "meta server:{\"ip\":\"10.0.0.1\",\"port\":9747}");
    check_line(second, "warn", "one 1");
    check_line(third, "error", "two lines here");
    AUTO_FREE char *empty = execution_log_take(l);
    assert_string_equal(empty, "");
    execution_log_info(l, "again");
    AUTO_FREE char *again = execution_log_take(l);
    check_line(again, "info", "again");
    execution_log_free(l);
    execution_log_free(NULL);
}

static void time_is_local(void **state)
{
    (void)state;
    char hour[8];
    static const char before_hour[] = "[info][2024-01-31T";
    time_t now = (time_t)(clock_wall_ms() / 1000);
    struct tm tm;
    (void)setenv("TZ", "XPT-5:00", 1); /* five hours before Greenwich */
    tzset();
    (void)gmtime_r(&now, &tm);
    int utc_hour = tm.tm_hour;
    struct execution_log *l = execution_log_new("x");
    AUTO_FREE char *text = execution_log_take(l);
    (void)snprintf(hour, sizeof(hour), "%.2s", text + sizeof(before_hour) - 1);
    assert_int_equal((strtol(hour, NULL, 10) + 24 - utc_hour) % 24, 5);
    execution_log_free(l);
    (void)unsetenv("TZ");
    tzset();
}

static void head_and_tail_stay(void **state)
{
    (void)state;
    struct execution_log *l = execution_log_new("the first");
    for (int i = 0; i < 5000; i++) {
        execution_log_info(l, "line %d", i);
    }
    execution_log_info(l, "the last");
    AUTO_FREE char *text = execution_log_take(l);
    assert_true(strlen(text) <= SWITCH_LOG_MAX);
    assert_true(strlen(text) > SWITCH_LOG_MAX * 9 / 10);
    check_line(text, "info", "the first");
    assert_non_null(strstr(text, "]line 0\n"));
    assert_non_null(strstr(text, "]line 4999\n"));
    assert_null(strstr(text, "]line 2500\n"));
    const char *gap = strstr(text, " lines left out\n");
    assert_non_null(gap);
    assert_null(strstr(gap + 1, " lines left out\n"));
    int there = 0;
    for (const char *at = text; (at = strchr(at, '\n')) != NULL; at++) {
        there++;
    }
    while (gap[-1] != ']') {
        gap--;
    }
    assert_int_equal(strtol(gap, NULL, 10) + there - 1, 5002);
    execution_log_free(l);
}

static void one_line_is_bounded(void **state)
{
    (void)state;
    AUTO_FREE char *longest = xmalloc(SWITCH_LOG_MAX * 4);
    memset(longest, 'x', SWITCH_LOG_MAX * 4);
    longest[SWITCH_LOG_MAX * 4 - 1] = '\0';
    struct execution_log *l = execution_log_new(NULL);
    for (int i = 0; i < 100; i++) {
        execution_log_info(l, "%s", longest);
    }
    AUTO_FREE char *text = execution_log_take(l);
    assert_true(strlen(text) <= SWITCH_LOG_MAX);
    assert_int_equal(text[strlen(text) - 1], '\n');
    execution_log_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_have_level_and_time),
        cmocka_unit_test(time_is_local),
        cmocka_unit_test(head_and_tail_stay),
        cmocka_unit_test(one_line_is_bounded),
    };
    return cmocka_run_group_tests_name("execution_log", tests, NULL, NULL);
}
