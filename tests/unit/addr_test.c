/* addr_test.c - addr.h: texts in both directions, comparison. */
#include "tests/unit/unit.h"

#include <string.h>

#include "shared/base/addr.h"
#include "shared/base/mem.h"

#include "shared/base/banned.h"

static void texts_round_trip(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *host;
        int port;
        bool numeric;
    } rows[] = {
        { "127.0.0.1:6379", "127.0.0.1", 6379, true },
        { "[::1]:1", "::1", 1, true },
        { "[fe80::a:b]:65535", "fe80::a:b", 65535, true },
        { "redis-1.example.com:6379", "redis-1.example.com", 6379, false },
        { "Host_A:80", "Host_A", 80, false },
        { "1.2.3:80", "1.2.3", 80, false },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct addr a = { 0 };
        struct xp_err err = { 0 };
        assert_int_equal(addr_parse(rows[i].text, strlen(rows[i].text), &a, &err), 0);
        assert_string_equal(a.host, rows[i].host);
        assert_int_equal(a.port, rows[i].port);
        assert_int_equal(addr_is_numeric(&a), rows[i].numeric);
        assert_string_equal(ADDR_TEXT(&a), rows[i].text);
        assert_false(addr_is_none(&a));
    }
}

static void only_length_bytes_are_read(void **state)
{
    (void)state;
    struct addr a = { 0 };
    assert_int_equal(addr_parse("a:63791", 6, &a, NULL), 0);
    assert_int_equal(a.port, 6379);
}

static void bad_texts_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = { "",       ":",           "a",       "a:",          ":1",
                                       "a:0",    "a:65536",     "a:-1",    "a:1x",        "a :1",
                                       "a\n:1",  " a:1",        "a:1 ",    "::1:6379",    "[]:1",
                                       "[::1]",  "[::1]:",      "[::1]6:", "[a]:1",       "[::1:1",
                                       "::1]:1", "[1.2.3.4]:1", "a\x7f:1", "a\xc3\xa4:1", "a/b:1",
                                       "u@h:1",  "[[::1]]:1" };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct addr a = { .host = "kept", .port = 9 };
        struct xp_err err = { 0 };
        assert_int_equal(addr_parse(bad[i], strlen(bad[i]), &a, &err), XP_INVALID);
        assert_non_null(strstr(err.msg, "address"));
        assert_string_equal(a.host, "kept");
        assert_int_equal(a.port, 9);
    }
    struct addr a = { 0 };
    assert_int_equal(addr_parse("a\0b:1", 5, &a, NULL), XP_INVALID);
}

static void length_is_limited(void **state)
{
    (void)state;
    char host[ADDR_HOST_MAX + 2];
    memset(host, 'h', sizeof(host) - 1);
    host[sizeof(host) - 1] = '\0';
    struct addr none = addr_of(host, 1);
    assert_true(addr_is_none(&none));
    AUTO_FREE char *over = xasprintf("%s:65535", host);
    struct addr a = { 0 };
    assert_int_equal(addr_parse(over, strlen(over), &a, NULL), XP_INVALID);
    struct addr longest = addr_of(host + 1, 65535);
    AUTO_FREE char *fits = xasprintf("%s:65535", host + 1);
    assert_string_equal(ADDR_TEXT(&longest), fits);
    assert_int_equal(addr_parse(fits, strlen(fits), &a, NULL), 0);
    assert_true(addr_eq(&a, &longest));
}

static void none_is_zeros(void **state)
{
    (void)state;
    const struct addr zero = { 0 };
    struct addr all[] = { addr_of(NULL, 1), addr_of("", 1), addr_of("a", 0), addr_of("a", 65536) };
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        assert_true(addr_is_none(&all[i]));
        assert_memory_equal(&all[i], &zero, sizeof(zero));
    }
}

static void some_addresses_are_nobodys(void **state)
{
    (void)state;
    static const char *const nobodys[] = { "0.0.0.0",         "0.1.2.3", "224.0.0.1",
                                           "255.255.255.255", "::",      "0:0::0",
                                           "::ffff:0.0.0.0",  "ff02::1", "::ffff:e000:1" };
    static const char *const fine[] = { "127.0.0.1", "10.0.0.1", "223.255.255.255", "::1",
                                        "fd00::1",   "host",     "::ffff:10.0.0.1" };
    for (size_t i = 0; i < ARRAY_LEN(nobodys); i++) {
        struct addr a = addr_of(nobodys[i], 6379);
        assert_true(addr_is_nobodys(&a));
    }
    for (size_t i = 0; i < ARRAY_LEN(fine); i++) {
        struct addr a = addr_of(fine[i], 6379);
        assert_false(addr_is_nobodys(&a));
    }
}

static void order_ignores_case(void **state)
{
    (void)state;
    struct addr a = addr_of("Host", 1);
    struct addr b = addr_of("hOST", 1);
    struct addr c = addr_of("host", 2);
    struct addr d = addr_of("zost", 1);
    assert_true(addr_eq(&a, &b) && !addr_eq(&a, &c) && !addr_eq(&a, &d));
    assert_int_equal(addr_cmp(&a, &b), 0);
    assert_int_equal(addr_cmp(&a, &c), -1);
    assert_int_equal(addr_cmp(&c, &a), 1);
    assert_int_equal(addr_cmp(&c, &d), -1);
    assert_int_equal(addr_cmp(&d, &c), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_round_trip),
        cmocka_unit_test(only_length_bytes_are_read),
        cmocka_unit_test(bad_texts_are_refused),
        cmocka_unit_test(length_is_limited),
        cmocka_unit_test(none_is_zeros),
        cmocka_unit_test(order_ignores_case),
        cmocka_unit_test(some_addresses_are_nobodys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
