/* repl_history_test.c - what INFO says of a history, from real Redis and from strangers; and how two histories compare. */
#include "shared/net/repl_history.h"

#include <string.h>

#include "shared/base/mem.h"
#include "tests/unit/unit.h"

#include "shared/base/banned.h"

#define A    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B    "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define C    "cccccccccccccccccccccccccccccccccccccccc"
#define ZERO "0000000000000000000000000000000000000000"

static struct repl_history parse(const char *text)
{
    struct repl_history h;
    repl_history_parse(text, strlen(text), &h);
    return h;
}

static void a_promoted_master(void **state)
{
    (void)state;
    struct repl_history h =
        parse("# Server\r\nredis_version:7.0.15\r\n\r\n# Replication\r\nrole:master\r\n"
              "connected_slaves:0\r\nmaster_replid:" B "\r\nmaster_replid2:" A
              "\r\nmaster_repl_offset:1203\r\nsecond_repl_offset:1001\r\n"
              "\r\n# Keyspace\r\ndb0:keys=3,expires=0,avg_ttl=0\r\n");
    assert_string_equal(h.repl_id, B);
    assert_string_equal(h.repl_id2, A);
    assert_int_equal(h.second_offset, 1001);
    assert_int_equal(h.offset, 1203);
    assert_true(h.has_data);
}

static void one_that_was_never_promoted(void **state)
{
    (void)state;
    struct repl_history h = parse("master_replid:" A "\r\nmaster_replid2:" ZERO
                                  "\r\nmaster_repl_offset:0\r\nsecond_repl_offset:-1\r\n"
                                  "# Keyspace\r\n");
    assert_string_equal(h.repl_id, A);
    assert_string_equal(h.repl_id2, "");
    assert_int_equal(h.second_offset, -1);
    assert_int_equal(h.offset, 0);
    assert_false(h.has_data);
}

static void strangers_tell_nothing(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "master_replid:",
        "master_replid:abc\r\n",
        "master_replid:" A A "\r\n",
        "master_replid:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"\\\r\n",
        "master_repl_offset:-5\r\n",
        "master_repl_offset:99999999999999999999\r\n",
        "# Keyspace\r\ndbx:keys=1\r\ndb0:keys=0,expires=0\r\n",
        "master_replid2:" A "\r\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct repl_history h = parse(texts[i]);
        assert_string_equal(h.repl_id, "");
        assert_string_equal(h.repl_id2, "");
        assert_int_equal(h.offset, -1);
        assert_int_equal(h.has_data, strncmp(texts[i], "# K", 3) != 0); /* nobody denied it */
    }
    struct repl_history none;
    repl_history_parse(NULL, 0, &none);
    assert_string_equal(none.repl_id, "");
}

static struct repl_history history(const char *id, int64_t offset, const char *id2, int64_t second)
{
    struct repl_history h = { .offset = offset, .second_offset = second };
    memcpy(h.repl_id, id, strlen(id) + 1);
    memcpy(h.repl_id2, id2, strlen(id2) + 1);
    return h;
}

static void check(struct repl_history own, struct repl_history other, int64_t bytes, int64_t common)
{
    int64_t got_bytes = -7;
    int64_t got_common = -7;
    assert_true(repl_history_beyond(&own, &other, &got_bytes, &got_common));
    assert_int_equal(got_bytes, bytes);
    assert_int_equal(got_common, common);
}

static void histories_are_compared(void **state)
{
    (void)state;
    struct repl_history promoted = history(B, 900, A, 101);
    check(history(A, 150, "", -1), promoted, 50, 100);
    check(history(A, 100, "", -1), promoted, 0, 100);
    check(history(A, 7, "", -1), promoted, 0, 100);
    check(history(B, 950, A, 101), promoted, 0, 950);
    check(history(C, 520, B, 401), promoted, 120, 400);
    check(history(C, 170, A, 121), promoted, 70, 100); /* both left it; the new master earlier */
    check(history(C, 95, A, 91), promoted, 5, 90);     /* both left it; this one earlier */
    int64_t bytes = 7;
    int64_t common = 7;
    struct repl_history others[] = { history(C, 10, "", -1), history("", 10, "", -1),
                                     history(A, -1, "", -1) };
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        assert_false(repl_history_beyond(&others[i], &promoted, &bytes, &common));
    }
    struct repl_history empty = history("", -1, "", -1);
    struct repl_history old = history(A, 150, "", -1);
    assert_false(repl_history_beyond(&old, &empty, &bytes, &common));
    assert_int_equal(bytes, 7); /* untouched */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_promoted_master),
        cmocka_unit_test(one_that_was_never_promoted),
        cmocka_unit_test(strangers_tell_nothing),
        cmocka_unit_test(histories_are_compared),
    };
    return cmocka_run_group_tests_name("repl_history", tests, NULL, NULL);
}
