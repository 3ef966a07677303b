/* fault_test.c - fault.h with fault points on, whatever MODE says: the implementation is compiled in here. */
#if !defined(XP_FAULTS)
#define XP_FAULTS 1
#endif
#include "tests/unit/unit.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/base/clock.h"
#include "shared/base/fault.c" // NOLINT(bugprone-suspicious-include): compiled in on purpose, see above

#include "shared/base/banned.h"

static int hits(enum fault_point point, int calls)
{
    int mask = 0;
    for (int i = 0; i < calls; i++) {
        mask = mask * 2 + fault_hit(point);
    }
    return mask;
}

static void errors_are_counted(void **state)
{
    (void)state;
    static const struct {
        const char *spec;
        int mask; /* one bit for each of five calls, the first is the highest */
    } rows[] = {
        { "", 0x00 },
        { "db_commit=error", 0x1f },
        { "db_commit=error:2", 0x18 },
        { "db_commit=error@3", 0x04 },
        { "db_commit=error:2@2", 0x0c },
        { " http_reply_lost=error , db_commit=error:1 ", 0x10 },
        { "http_reply_lost=error", 0x00 },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct xp_err err = { 0 };
        assert_int_equal(fault_configure(rows[i].spec, &err), 0);
        assert_int_equal(hits(FAULT_db_commit, 5), rows[i].mask);
    }
    assert_int_equal(fault_configure(NULL, NULL), 0);
    assert_int_equal(hits(FAULT_http_reply_lost, 3), 0);
}

static void delay_waits(void **state)
{
    (void)state;
    assert_int_equal(fault_configure("db_commit=delay:30@2", NULL), 0);
    int64_t begin = clock_mono_us();
    assert_int_equal(fault_hit(FAULT_db_commit), 0);
    int64_t first = clock_mono_us();
    assert_int_equal(fault_hit(FAULT_db_commit), 0);
    int64_t second = clock_mono_us();
    assert_true(first - begin < 30000);
    assert_true(second - first >= 30000);
    assert_int_equal(fault_configure("", NULL), 0);
}

static void crash_aborts(void **state)
{
    (void)state;
    assert_int_equal(fault_configure("db_before_commit=crash@2", NULL), 0);
    assert_int_equal(fault_hit(FAULT_db_before_commit), 0);
    ASSERT_ABORTS((void)fault_hit(FAULT_db_before_commit));
    assert_int_equal(fault_configure("", NULL), 0);
}

static void bad_lists_change_nothing(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "no_such_point=error",
        "db_commit",
        "db_commit=",
        "db_commit=sleep",
        "db_commit=delay",
        "db_commit=delay:0",
        "db_commit=delay:x",
        "db_commit=delay:600001",
        "db_commit=error:0",
        "db_commit=error@0",
        "db_commit=error@",
        "db_commit=crash:1",
        "db_commit=error,nope=1",
        "db_commit=error@2x",
        "DB_COMMIT=error",
        "=error",
    };
    assert_int_equal(fault_configure("http_reply_lost=error", NULL), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct xp_err err = { 0 };
        assert_int_equal(fault_configure(bad[i], &err), XP_INVALID);
        assert_true(err.msg[0] != '\0');
    }
    assert_int_equal(hits(FAULT_db_commit, 2), 0);
    assert_int_equal(hits(FAULT_http_reply_lost, 2), 3);
    assert_int_equal(fault_configure("", NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_are_counted),
        cmocka_unit_test(delay_waits),
        cmocka_unit_test(crash_aborts),
        cmocka_unit_test(bad_lists_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
