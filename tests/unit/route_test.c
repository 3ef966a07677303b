/* route_test.c - route.h: texts of routes, what is refused and why, sets, the length of the line. */
#include "tests/unit/unit.h"

#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/proxy/route.h"

#include "shared/base/banned.h"

static struct route parsed(const char *text)
{
    struct route route;
    struct xp_err err = { 0 };
    assert_int_equal(route_parse(text, strlen(text), &route, &err), XP_OK);
    return route;
}

static void texts_become_canonical(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *servers;
        const char *params; /* NULL: one hop */
    } rows[] = {
        { "PROXYTCP://a:80", "PROXYTCP://a:80", NULL },
        { "a:80,PROXYTCP://b:80", "PROXYTCP://a:80,PROXYTCP://b:80", NULL },
        { "PROXYTCP://a:80,PROXYTCP://b:80 PROXYTLS://c:443", "PROXYTCP://a:80,PROXYTCP://b:80",
          "PROXYTLS://c:443" },
        { "PROXYTCP://a:80 PROXYTLS://c:443 PROXYTLS://d:443", "PROXYTCP://a:80",
          "PROXYTLS://c:443 PROXYTLS://d:443" },
        { "PROXYTLS://a_b-c.d:443", "PROXYTLS://a_b-c.d:443", NULL },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct route route = parsed(rows[i].text);
        AUTO_FREE char *servers = route_servers_text(&route);
        AUTO_FREE char *params = route_params_text(&route);
        AUTO_FREE char *text = route_text(&route);
        AUTO_FREE char *both =
            xasprintf("%s%s%s", servers, params ? " " : "", params ? params : "");
        assert_string_equal(servers, rows[i].servers);
        assert_string_equal(params ? params : "-", rows[i].params ? rows[i].params : "-");
        assert_string_equal(text, both);
        struct route again = parsed(text);
        assert_true(route_eq(&route, &again));
        size_t params_length = params ? strlen(params) : 0;
        assert_true(route_is_text(&route, servers, strlen(servers), params, params_length));
        assert_false(route_is_text(&route, servers, strlen(servers) - 1, params, params_length));
        assert_false(route_is_text(&route, text, strlen(text), text, strlen(text)));
        assert_false(route_is_text(&route, NULL, 0, params, params_length));
        assert_false(route_is_text(&route, servers, strlen(servers), params ? NULL : "", 0));
    }
}

static void refusals_name_hop_and_member(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *where;
        const char *why;
    } rows[] = {
        { "", "hop 1", "empty" },
        { " ", "hop 1", "empty" },
        { " a:80", "hop 1", "empty" },
        { "a:80 ", "hop 2", "empty" },
        { "a:80  PROXYTLS://c:443", "hop 2", "empty" },
        { "a:80\tPROXYTLS://c:443", "hop 1, member 1", "" },
        { "a:80,", "hop 1, member 2", "empty" },
        { ",a:80", "hop 1, member 1", "empty" },
        { "a:80, b:80", "hop 1, member 2", "empty" },
        { "proxytcp://a:80", "hop 1, member 1", "scheme" },
        { "a:80,ProxyTcp://b:80", "hop 1, member 2", "scheme" },
        { "TCP://a:80", "hop 1, member 1", "scheme" },
        { "PROXY://a:80", "hop 1, member 1", "scheme" },
        { "PROXYTCP://a:80 b:443", "hop 2, member 1", "scheme" },
        { "PROXYTCP://a:80 PROXYTLS://b:443,PROXYTLS://c", "hop 2, member 2", "" },
        { "PROXYTCP://a", "hop 1, member 1", "" },
        { "PROXYTCP://a:0", "hop 1, member 1", "port" },
        { "PROXYTCP://a:65536", "hop 1, member 1", "port" },
        { "PROXYTCP://:80", "hop 1, member 1", "" },
        { "PROXYTCP:a:80", "hop 1, member 1", "" },
        { "PROXYTCP://[::1]:80", "hop 1, member 1", "host" },
        { "PROXYTCP://PROXYTCP://a:80", "hop 1, member 1", "" },
        { "PROXYTCP://a:80,PROXYTCP://a:80", "hop 1, member 2", "twice" },
        { "a:80,PROXYTCP://A:80", "hop 1, member 2", "twice" },
        { "'a:80'", "hop 1, member 1", "" },
        { "\"PROXYTCP://a:80\"", "hop 1, member 1", "scheme" },
        { "PROXYTCP://a|b:80", "hop 1, member 1", "host" },
        { "PROXYTCP://a\\b:80", "hop 1, member 1", "host" },
        { "PROXYTCP://a;b:80", "hop 1, member 1", "host" },
        { "PROXYTCP://a#:80", "hop 1, member 1", "host" },
        { "PROXYTCP://a:80#", "hop 1, member 1", "" },
        { "PROXYTCP://a\r\n:80", "hop 1, member 1", "host" },
        { "PROXYTCP://a\x7f:80", "hop 1, member 1", "host" },
        { "PROXYTCP://\xc3\xa4:80", "hop 1, member 1", "host" },
        { "a:1 PROXYTLS://b:1 PROXYTLS://c:1 PROXYTLS://d:1", "hop 4", "more than 3 hops" },
        { "a:1,a:2,a:3,a:4,a:5,a:6,a:7,a:8,a:9,a:10,a:11,a:12,a:13,a:14,a:15,a:16,a:17", "hop 1",
          "more than 16 members" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct route route = { .hop_count = 77 };
        struct xp_err err = { 0 };
        assert_int_equal(route_parse(rows[i].text, strlen(rows[i].text), &route, &err), XP_INVALID);
        assert_int_equal(err.code, XP_INVALID);
        assert_int_equal(strncmp(err.msg, rows[i].where, strlen(rows[i].where)), 0);
        assert_non_null(strstr(err.msg, rows[i].why));
        assert_int_equal(route.hop_count, 77); /* untouched */
    }
    struct route route;
    assert_int_equal(route_parse(NULL, 0, &route, NULL), XP_INVALID);
    assert_int_equal(route_parse("a:80\0b", 6, &route, NULL), XP_INVALID);
}

static void redis_needs_a_clear_first_hop(void **state)
{
    (void)state;
    struct xp_err err = { 0 };
    struct route fine = parsed("a:80,PROXYTCP://b:80 PROXYTLS://c:443");
    assert_int_equal(route_check_crdt(&fine, &err), XP_OK);
    struct route tls = parsed("PROXYTCP://a:80,PROXYTLS://b:443");
    assert_int_equal(route_check_crdt(&tls, &err), XP_INVALID);
    assert_non_null(strstr(err.msg, "hop 1, member 2"));
    struct route none = { 0 };
    assert_int_equal(route_check_crdt(&none, &err), XP_INVALID);
}

static void hops_are_compared_as_sets(void **state)
{
    (void)state;
    static const struct {
        const char *a;
        const char *b;
        bool equal;
    } rows[] = {
        { "a:80,b:80", "b:80,a:80", true },
        { "a:80,b:80", "PROXYTCP://B:80,PROXYTCP://A:80", true },
        { "a:80 PROXYTLS://c:1,PROXYTLS://d:1", "a:80 PROXYTLS://d:1,PROXYTLS://c:1", true },
        { "a:80", "a:81", false },
        { "a:80", "b:80", false },
        { "a:80", "PROXYTLS://a:80", false },
        { "a:80", "a:80,b:80", false },
        { "a:80,b:80", "a:80,c:80", false },
        { "a:80", "a:80 PROXYTLS://c:1", false },
        { "a:80 PROXYTLS://c:1 PROXYTLS://d:1", "a:80 PROXYTLS://d:1 PROXYTLS://c:1", false },
        { "a:80 PROXYTLS://c:1", "a:80 PROXYTCP://c:1", false },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct route a = parsed(rows[i].a);
        struct route b = parsed(rows[i].b);
        assert_int_equal(route_eq(&a, &b), rows[i].equal);
        assert_int_equal(route_eq(&b, &a), rows[i].equal);
    }
}

static void servers_are_those_of_the_first_hop(void **state)
{
    (void)state;
    struct route route = parsed("a:80,b:80 PROXYTLS://c:443");
    struct addr b = addr_of("B", 80);
    struct addr c = addr_of("c", 443);
    assert_true(route_has_server(&route, &b));
    assert_false(route_has_server(&route, &c));
}

static void the_line_counts_what_proxies_add(void **state)
{
    (void)state;
    struct addr target = addr_of("3.3.3.3", 6379);
    struct route one = parsed("PROXYTCP://1.1.1.1:80");
    assert_int_equal(route_line_bytes(&one, &target),
                     strlen("+PROXY ROUTE TCP://3.3.3.3:6379\r\n") + 22 + 12 + 28);
    struct route two =
        parsed("PROXYTCP://1.1.1.1:80 PROXYTLS://4.4.4.4:443,PROXYTLS://5.5.5.5:443");
    assert_int_equal(route_line_bytes(&two, &target),
                     strlen("+PROXY ROUTE PROXYTLS://4.4.4.4:443,PROXYTLS://5.5.5.5:443 "
                            "TCP://3.3.3.3:6379\r\n") +
                         2 * 22 + 12 + 28);
}

/* "PROXYTCP://a:80" and 'count' far members of 32 bytes each. */
static char *long_route(int count)
{
    struct str text = STR_INIT(8192);
    str_puts(&text, "PROXYTCP://a:80");
    for (int i = 0; i < count; i++) {
        str_printf(&text, "%sPROXYTLS://far-proxy-%05d.net:443", i == 0 || i == 16 ? " " : ",", i);
    }
    return str_take(&text);
}

static void lines_that_proxies_would_not_take_are_refused(void **state)
{
    (void)state;
    bool was_refused = false;
    for (int count = 1; count <= 32; count++) {
        AUTO_FREE char *text = long_route(count);
        struct route route;
        struct xp_err err = { 0 };
        int rc = route_parse(text, strlen(text), &route, &err);
        struct addr target = addr_of("255.255.255.255", 65535);
        if (rc == 0) {
            assert_false(was_refused);
            assert_true(route_line_bytes(&route, &target) <= ROUTE_LINE_MAX_BYTES);
        } else {
            was_refused = true;
            assert_non_null(strstr(err.msg, "1024"));
            assert_true(strlen(text) > ROUTE_LINE_MAX_BYTES - 200);
        }
    }
    assert_true(was_refused);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_become_canonical),
        cmocka_unit_test(refusals_name_hop_and_member),
        cmocka_unit_test(redis_needs_a_clear_first_hop),
        cmocka_unit_test(hops_are_compared_as_sets),
        cmocka_unit_test(servers_are_those_of_the_first_hop),
        cmocka_unit_test(the_line_counts_what_proxies_add),
        cmocka_unit_test(lines_that_proxies_would_not_take_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
