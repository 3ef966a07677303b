/* console_calls.h - one console for each test, and one-line calls of the existing REST face with what they must answer. */
#ifndef TESTS_UNIT_CONSOLE_CALLS_H
#define TESTS_UNIT_CONSOLE_CALLS_H

#include "tests/unit/unit.h"

#include "tests/unit/console_fixture.h"

static struct fixture f;

static int setup(void **state)
{
    (void)state;
    fixture_open(&f);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fixture_close(&f);
    return 0;
}

static void expect(const char *method, const char *target, const char *body, int status,
                   const char *answer)
{
    struct reply r CLEANUP(reply_done) = call(&f, method, target, body);
    assert_string_equal(r.body, answer);
    assert_int_equal(r.status, status);
}

#define OK "{\"state\":0,\"message\":\"success\"}"

__attribute__((unused)) static void must(const char *method, const char *target, const char *body)
{
    expect(method, target, body, 200, OK);
}

__attribute__((unused)) static void fails(const char *method, const char *target, const char *body,
                                          const char *text)
{
    char *answer AUTO_FREE = xasprintf("{\"state\":-1,\"message\":\"%s\"}", text);
    expect(method, target, body, 200, answer);
}

__attribute__((unused)) static void base_data(void)
{
    must("POST", "/api/zone", "{\"name\":\"SHA\"}");
    must("POST", "/api/dc", "{\"zone_id\":1,\"dc_name\":\"jq\",\"description\":\"d\"}");
    must("POST", "/api/dc", "{\"zone_id\":1,\"dc_name\":\"oy\",\"description\":\"d\"}");
    must("POST", "/api/dc", "{\"zone_id\":1,\"dc_name\":\"FRA\",\"description\":\"d\"}");
    must("POST", "/api/organizations", "{\"orgId\":8,\"orgName\":\"cache\"}");
}

#define DEMO                                                                                       \
    "{\"clusterName\":\"demo\",\"clusterType\":\"ONE_WAY\",\"dcs\":[\"jq\",\"oy\"],\"desc\":"      \
    "\"demo\","                                                                                    \
    "\"organizationId\":8,\"clusterAdminEmails\":\"dba@example.com\"}"

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
