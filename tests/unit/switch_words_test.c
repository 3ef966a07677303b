/* switch_words_test.c - the bodies of a switchover: as x-pipe writes them, as we write them, and garbage. */
#include "shared/switch/switch_words.h"

#include <stdio.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/model/json_decode.h"
#include "tests/unit/unit.h"

#include "shared/base/banned.h"

static json_t *parse(const char *text)
{
    json_t *json = NULL;
    struct xp_err err;
    assert_int_equal(jd_parse(text, strlen(text), &json, &err), 0);
    return json;
}

/* One function a type: reads, frees, gives the error. */
typedef int read_fn(const json_t *json, struct xp_err *err);

static int read_fence(const json_t *json, struct xp_err *err)
{
    struct switch_fence fence = { 0 };
    int rc = switch_fence_from_json(json, &fence, err);
    switch_fence_done(&fence);
    return rc;
}

static int read_fence_order(const json_t *json, struct xp_err *err)
{
    struct switch_fence_order order;
    return switch_fence_order_from_json(json, &order, err);
}

static int read_order(const json_t *json, struct xp_err *err)
{
    struct switch_order order;
    return switch_order_from_json(json, &order, err);
}

static int read_change(const json_t *json, struct xp_err *err)
{
    struct switch_change change = { 0 };
    int rc = switch_change_from_json(json, &change, err);
    switch_change_done(&change);
    return rc;
}

static int read_check(const json_t *json, struct xp_err *err)
{
    struct switch_check check = { 0 };
    int rc = switch_check_from_json(json, &check, err);
    switch_check_done(&check);
    return rc;
}

static void check_refused(read_fn *read, const char *text, const char *named)
{
    json_auto_t *json = parse(text);
    struct xp_err err = { 0 };
    assert_int_equal(read(json, &err), XP_INVALID);
    if (!strstr(err.msg, named)) {
        fail_msg("'%s' is not in '%s'", named, err.msg);
    }
}

/* What was written is what is read, member by member, in whatever order. */
static void check_json(json_t *got /* taken */, const char *text)
{
    json_auto_t *wanted = parse(text);
    if (!json_equal(got, wanted)) {
        AUTO_FREE char *dump = json_dumps(got, JSON_COMPACT);
        fail_msg("got %s", dump);
    }
    json_decref(got);
}

#define REPL_ID "aaaaaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbbbbb"

/* ---- masterreadonly ---- */

static void a_java_fence(void **state)
{
    (void)state;
    struct switch_fence f = { 0 };
    json_auto_t *json =
        parse("{\"masterAddr\":{\"host\":\"1.1.1.1\",\"port\":6379},\"masterInfo\":{\"role\":"
              "\"MASTER\",\"masterReplOffset\":123,\"replId\":\"abc\",\"keeper\":false},"
              "\"message\":\"[info][2024-01-01T00:00:00.000]x\\n\"}");
    assert_int_equal(switch_fence_from_json(json, &f, NULL), 0);
    assert_false(f.is_ours);
    assert_string_equal(ADDR_TEXT(&f.master), "1.1.1.1:6379");
    assert_true(f.has_info);
    assert_string_equal(f.repl_id, "abc");
    assert_int_equal(f.offset, 123);
    assert_string_equal(f.log, "[info][2024-01-01T00:00:00.000]x\n");
    assert_false(f.saved.is_known);
    switch_fence_done(&f);
    assert_null(f.log);
}

static void a_java_fence_without_much(void **state)
{
    (void)state;
    struct switch_fence f = { 0 };
    json_auto_t *json = parse(
        "{\"masterAddr\":\"10.0.0.1:6379\",\"masterInfo\":null,\"message\":null,\"what\":[]}");
    assert_int_equal(switch_fence_from_json(json, &f, NULL), 0);
    assert_false(f.is_ours);
    assert_string_equal(ADDR_TEXT(&f.master), "10.0.0.1:6379");
    assert_false(f.has_info);
    assert_null(f.log);
    json_auto_t *nothing = parse("{}");
    assert_int_equal(switch_fence_from_json(nothing, &f, NULL), 0);
    assert_true(addr_is_none(&f.master));
    json_auto_t *other_case =
        parse("{\"masteraddr\":{\"host\":\"::1\",\"port\":1},\"MASTERINFO\":{\"replid\":null}}");
    assert_int_equal(switch_fence_from_json(other_case, &f, NULL), 0);
    assert_string_equal(ADDR_TEXT(&f.master), "[::1]:1");
    assert_true(f.has_info);
    assert_string_equal(f.repl_id, "");
    assert_int_equal(f.offset, 0);
}

static void our_fence(void **state)
{
    (void)state;
    static const char text[] =
        "{\"masterAddr\":{\"host\":\"10.0.0.1\",\"port\":6379},\"masterInfo\":{\"role\":\"MASTER\","
        "\"masterReplOffset\":9007199254740993,\"replId\":\"" REPL_ID "\",\"keeper\":false},"
        "\"message\":\"x\",\"fence\":\"held\",\"fenced\":true,\"drainPending\":true,"
        "\"saved\":{\"minSlaves\":1,\"maxLagS\":10,\"writableReplica\":true},\"epoch\":7}";
    struct switch_fence f = { 0 };
    json_auto_t *json = parse(text);
    assert_int_equal(switch_fence_from_json(json, &f, NULL), 0);
    assert_true(f.is_ours);
    assert_int_equal(f.state, FENCE_HELD);
    assert_true(f.drain_pending);
    assert_true(f.saved.is_known && f.saved.was_writable_replica);
    assert_int_equal(f.saved.min_slaves, 1);
    assert_int_equal(f.saved.max_lag_s, 10);
    assert_int_equal(f.epoch, 7);
    assert_int_equal(f.offset, 9007199254740993);
    check_json(switch_fence_to_json(&f), text);
    switch_fence_done(&f);
    check_json(switch_fence_to_json(&f),
               "{\"masterAddr\":null,\"masterInfo\":null,\"message\":null,\"fence\":\"none\","
               "\"fenced\":false,\"drainPending\":false,\"saved\":null,\"epoch\":0}");
}

static void every_state_has_a_word(void **state)
{
    (void)state;
    static const char *const words[] = { "none", "held", "frozen", "released", "unreachable" };
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        struct switch_fence f = { .state = (enum fence_state)i };
        struct switch_fence again;
        assert_string_equal(fence_state_text(f.state), words[i]);
        json_auto_t *json = switch_fence_to_json(&f);
        assert_int_equal(switch_fence_from_json(json, &again, NULL), 0);
        assert_int_equal(again.state, i);
        assert_int_equal(json_is_true(json_object_get(json, "fenced")), i == 1 || i == 2);
    }
}

static void fences_that_are_refused(void **state)
{
    (void)state;
    check_refused(read_fence, "[]", "answer to masterreadonly");
    check_refused(read_fence, "null", "null");
    check_refused(read_fence, "{\"masterAddr\":7}", "masterAddr: it is no address");
    check_refused(read_fence, "{\"masterAddr\":{\"host\":\"a\"}}", "masterAddr: it is no address");
    check_refused(read_fence, "{\"masterAddr\":{\"host\":\"a\",\"port\":70000}}", "masterAddr");
    check_refused(read_fence, "{\"masterAddr\":\"10.0.0.1\"}", "masterAddr");
    check_refused(read_fence, "{\"masterInfo\":[]}", "masterInfo");
    check_refused(read_fence, "{\"masterInfo\":{\"masterReplOffset\":\"1\"}}", "masterReplOffset");
    check_refused(read_fence, "{\"masterInfo\":{\"masterReplOffset\":1.5}}", "masterReplOffset");
    check_refused(read_fence, "{\"masterInfo\":{\"replId\":\"" REPL_ID "x\"}}", "replId");
    check_refused(read_fence, "{\"masterInfo\":{\"replId\":\"a b\"}}", "replId");
    check_refused(read_fence, "{\"message\":{}}", "message: it is not a text");
    check_refused(read_fence, "{\"fence\":\"HELD\"}", "fence: it is none of");
    check_refused(read_fence, "{\"fence\":\"held\",\"epoch\":-1}", "epoch");
    check_refused(read_fence, "{\"saved\":{\"minSlaves\":1}}", "maxLagS");
    check_refused(read_fence, "{\"saved\":{\"minSlaves\":-1,\"maxLagS\":1}}", "minSlaves");
}

static void long_and_odd_logs_are_kept_readable(void **state)
{
    (void)state;
    size_t length = 100000;
    AUTO_FREE char *text = xmalloc(length + 1);
    memset(text, 'x', length);
    memcpy(text + 65535, "\xc3\xa9", 2); /* the cut would go through it */
    text[0] = '\x1b';
    text[1] = '\r';
    text[2] = '\n';
    text[length] = '\0';
    json_auto_t *json = json_pack("{s:s}", "message", text);
    struct switch_fence f = { 0 };
    assert_int_equal(switch_fence_from_json(json, &f, NULL), 0);
    assert_memory_equal(f.log, "??\nxx", 5);
    assert_int_equal(strlen(f.log), 65535);
    switch_fence_done(&f);
}

/* ---- v2/fence ---- */

static void orders_to_fence(void **state)
{
    (void)state;
    static const char text[] =
        "{\"epoch\":3,\"phase\":\"release\",\"redis\":[\"10.0.0.1:6379\",\"[::1]:7\"],"
        "\"saved\":{\"minSlaves\":0,\"maxLagS\":0,\"writableReplica\":false},\"deadlineMs\":900}";
    struct switch_fence_order o;
    json_auto_t *json = parse(text);
    assert_int_equal(switch_fence_order_from_json(json, &o, NULL), 0);
    assert_string_equal(o.phase, "release");
    assert_int_equal(o.redis_count, 2);
    assert_string_equal(ADDR_TEXT(&o.redis[1]), "[::1]:7");
    assert_true(o.saved.is_known);
    assert_int_equal(o.deadline_ms, 900);
    check_json(switch_fence_order_to_json(&o), text);
    check_refused(read_fence_order, "{}", "phase");
    check_refused(read_fence_order, "{\"phase\":\"thaw\",\"redis\":[]}", "phase: it is none of");
    check_refused(read_fence_order, "{\"phase\":\"hold\"}", "redis");
    check_refused(read_fence_order, "{\"phase\":\"hold\",\"redis\":\"10.0.0.1:1\"}",
                  "redis: it is no array");
    check_refused(read_fence_order, "{\"phase\":\"hold\",\"redis\":[\"10.0.0.1:1\",\"x:0\"]}",
                  "redis: [1]");
    check_refused(read_fence_order, "{\"phase\":\"hold\",\"redis\":[\"example.com:1\"]}",
                  "in numbers");
    check_refused(read_fence_order, "{\"phase\":\"hold\",\"redis\":[\"\"]}", "redis: [0]");
}

static void no_more_redis_than_fit(void **state)
{
    (void)state;
    json_auto_t *json = parse("{\"phase\":\"hold\",\"redis\":[]}");
    struct switch_fence_order o;
    struct xp_err err;
    for (int i = 0; i < SWITCH_REDIS_MAX; i++) {
        json_array_append_new(json_object_get(json, "redis"), json_string("10.0.0.1:6379"));
    }
    assert_int_equal(switch_fence_order_from_json(json, &o, &err), 0);
    assert_int_equal(o.redis_count, SWITCH_REDIS_MAX);
    json_array_append_new(json_object_get(json, "redis"), json_string("10.0.0.1:6379"));
    assert_int_equal(switch_fence_order_from_json(json, &o, &err), XP_INVALID);
}

/* ---- changeprimarydc ---- */

static void java_orders(void **state)
{
    (void)state;
    struct switch_order o;
    json_auto_t *json =
        parse("{\"masterInfo\":{\"role\":\"MASTER\",\"masterReplOffset\":5,\"replId\":\"abc\","
              "\"keeper\":false},\"addSentinel\":false}");
    assert_int_equal(switch_order_from_json(json, &o, NULL), 0);
    assert_true(o.has_info && !o.add_sentinel && o.is_disaster && !o.has_mode);
    assert_int_equal(o.offset, 5);
    assert_string_equal(o.repl_id, "abc");
    assert_int_equal(o.epoch, 0);
    json_auto_t *empty = parse("{\"masterInfo\":null}");
    const json_t *const none[] = { NULL, json_null(), empty };
    for (size_t i = 0; i < ARRAY_LEN(none); i++) {
        memset(&o, 0x5a, sizeof(o));
        assert_int_equal(switch_order_from_json(none[i], &o, NULL), 0);
        assert_true(!o.has_info && o.add_sentinel && o.is_disaster && !o.has_mode);
        assert_int_equal(o.offset, 0);
        assert_int_equal(o.epoch + o.drain_ms + o.deadline_ms, 0);
    }
    check_json(switch_order_to_json(&o), "{\"masterInfo\":null,\"addSentinel\":true}");
}

static void our_orders(void **state)
{
    (void)state;
    static const char text[] =
        "{\"masterInfo\":{\"role\":\"MASTER\",\"masterReplOffset\":5,\"replId\":\"" REPL_ID "\","
        "\"keeper\":false},\"addSentinel\":true,\"epoch\":4,\"mode\":\"planned\",\"drainMs\":5000,"
        "\"deadlineMs\":7000}";
    struct switch_order o;
    json_auto_t *json = parse(text);
    assert_int_equal(switch_order_from_json(json, &o, NULL), 0);
    assert_true(o.has_mode && !o.is_disaster);
    assert_int_equal(o.drain_ms, 5000);
    check_json(switch_order_to_json(&o), text);
    check_refused(read_order, "[]", "an array");
    check_refused(read_order, "\"x\"", "'x'");
    check_refused(read_order, "{\"addSentinel\":1}", "addSentinel");
    check_refused(read_order, "{\"mode\":\"auto\"}", "mode: it is neither planned nor disaster");
    check_refused(read_order, "{\"mode\":true}", "mode");
    check_refused(read_order, "{\"epoch\":\"1\"}", "epoch");
    check_refused(read_order, "{\"drainMs\":-1}", "drainMs");
}

static void java_changes(void **state)
{
    (void)state;
    struct switch_change c = { 0 };
    json_auto_t *good =
        parse("{\"errorType\":\"SUCCESS\",\"errorMessage\":\"<execution log>\",\"newMasterIp\":"
              "\"1.1.1.1\",\"newMasterPort\":6379,\"success\":true}");
    assert_int_equal(switch_change_from_json(good, &c, NULL), 0);
    assert_true(c.is_success && !c.is_ours && !c.is_promoted);
    assert_string_equal(ADDR_TEXT(&c.new_master), "1.1.1.1:6379");
    assert_string_equal(c.log, "<execution log>");
    assert_int_equal(c.offset, -1);
    assert_int_equal(c.offset_gap, -1);
    switch_change_done(&c);
    json_auto_t *bad = parse("{\"errorType\":\"FAIL\",\"errorMessage\":null,\"newMasterIp\":null,"
                             "\"newMasterPort\":0,\"success\":false}");
    assert_int_equal(switch_change_from_json(bad, &c, NULL), 0);
    assert_false(c.is_success);
    assert_true(addr_is_none(&c.new_master));
}

static void our_changes(void **state)
{
    (void)state;
    static const char text[] =
        "{\"errorType\":\"SUCCESS\",\"errorMessage\":\"x\",\"newMasterIp\":\"10.0.0.2\","
        "\"newMasterPort\":6380,"
        "\"success\":true,\"promoted\":true,\"drained\":false,\"offset\":1000,\"offsetGap\":24,"
        "\"replId\":\"" REPL_ID "\",\"stale\":false,\"epoch\":9}";
    struct switch_change c = { 0 };
    json_auto_t *json = parse(text);
    assert_int_equal(switch_change_from_json(json, &c, NULL), 0);
    assert_true(c.is_ours && c.is_promoted && !c.is_drained && !c.is_stale);
    assert_int_equal(c.offset_gap, 24);
    check_json(switch_change_to_json(&c), text);
    switch_change_done(&c);
    json_auto_t *failed = switch_change_to_json(&c);
    assert_true(json_is_null(json_object_get(failed, "newMasterIp")));
    assert_int_equal(json_integer_value(json_object_get(failed, "newMasterPort")), 0);
    assert_string_equal(json_string_value(json_object_get(failed, "errorType")), "FAIL");
}

static void changes_that_are_refused(void **state)
{
    (void)state;
    check_refused(read_change, "{}", "errorType");
    check_refused(read_change, "{\"errorType\":\"success\"}", "errorType: it is neither");
    check_refused(read_change,
                  "{\"errorType\":\"SUCCESS\",\"newMasterIp\":\"h\",\"newMasterPort\":1}",
                  "newMasterIp");
    check_refused(read_change,
                  "{\"errorType\":\"SUCCESS\",\"newMasterIp\":\"0.0.0.0\",\"newMasterPort\":1}",
                  "newMasterIp");
    check_refused(read_change, "{\"errorType\":\"SUCCESS\",\"newMasterIp\":\"1.1.1.1\"}",
                  "newMasterPort");
    check_refused(read_change, "{\"errorType\":\"SUCCESS\",\"promoted\":1}", "promoted");
    check_refused(read_change, "{\"errorType\":\"SUCCESS\",\"replId\":1}", "replId");
}

/* ---- check ---- */

static void java_checks(void **state)
{
    (void)state;
    struct switch_check c = { 0 };
    json_auto_t *good = parse("{\"errorType\":\"SUCCESS\",\"errorMessage\":null,\"success\":true}");
    assert_int_equal(switch_check_from_json(good, &c, NULL), 0);
    assert_int_equal(c.type, CHECK_SUCCESS);
    assert_true(!c.is_ours && c.redis_count == 0 && !c.message);
    assert_int_equal(c.active_keeper_offset, -1);
    json_auto_t *already = parse("{\"errorType\":\"PRIMARY_DC_ALREADY_IS_NEW\",\"errorMessage\":"
                                 "\"jq already primary dc\",\"success\":false}");
    assert_int_equal(switch_check_from_json(already, &c, NULL), 0);
    assert_int_equal(c.type, CHECK_ALREADY_NEW);
    assert_string_equal(c.message, "jq already primary dc");
    switch_check_done(&c);
}

static void our_checks(void **state)
{
    (void)state;
    static const char text[] =
        "{\"errorType\":\"FAIL\",\"errorMessage\":\"all redises "
        "dead:\\n\",\"success\":false,\"dc\":\"jq\","
        "\"redis\":[{\"addr\":\"10.0.0.1:6379\",\"alive\":true,\"master\":false,\"linkUp\":true,"
        "\"readOnly\":true,\"follows\":\"10.0.0.9:6000\",\"replId\":\"" REPL_ID "\",\"offset\":12,"
        "\"priority\":100,\"minSlaves\":0,\"maxLagS\":10,\"backlogBytes\":1048576,\"syncing\":"
        "false,"
        "\"noConfigFile\":true},{\"addr\":\"10.0.0.2:6379\",\"alive\":false,\"master\":"
        "false,"
        "\"linkUp\":false,\"readOnly\":false,\"follows\":null,\"replId\":null,\"offset\":-1,"
        "\"priority\":-1,"
        "\"minSlaves\":-1,\"maxLagS\":-1,\"backlogBytes\":-1,\"syncing\":true,\"noConfigFile\":"
        "false}],"
        "\"keepers\":{\"configured\":2,\"living\":1,\"active\":true,\"linked\":"
        "true,"
        "\"offset\":12,\"address\":\"10.0.0.9:6000\"},\"epoch\":5,\"fence\":\"held\",\"lookUs\":"
        "900}";
    struct switch_check c = { 0 };
    json_auto_t *json = parse(text);
    assert_int_equal(switch_check_from_json(json, &c, NULL), 0);
    assert_true(c.is_ours);
    assert_string_equal(c.dc, "jq");
    assert_int_equal(c.redis_count, 2);
    assert_string_equal(ADDR_TEXT(&c.redis[0].follows), "10.0.0.9:6000");
    assert_true(c.redis[0].is_alive && c.redis[0].is_read_only && !c.redis[1].is_alive);
    assert_int_equal(c.redis[1].priority, -1);
    assert_int_equal(c.keepers + c.keepers_living, 3);
    assert_int_equal(c.fence, FENCE_HELD);
    check_json(switch_check_to_json(&c), text);
    switch_check_done(&c);
}

static void checks_that_are_refused(void **state)
{
    (void)state;
    check_refused(read_check, "{}", "answer to changeprimarydc/check: errorType");
    check_refused(read_check, "{\"errorType\":\"YES\"}", "errorType: it is none of");
    check_refused(read_check, "{\"errorType\":\"FAIL\",\"redis\":{}}", "redis: it is no array");
    check_refused(read_check, "{\"errorType\":\"FAIL\",\"redis\":[{}]}", "redis: [0]: addr");
    check_refused(read_check, "{\"errorType\":\"FAIL\",\"redis\":[{\"addr\":\"a:1\",\"alive\":1}]}",
                  "alive");
    check_refused(read_check, "{\"errorType\":\"FAIL\",\"keepers\":[]}", "keepers");
    check_refused(read_check, "{\"errorType\":\"FAIL\",\"keepers\":{\"living\":9999999999}}",
                  "keepers.living");
    check_refused(read_check, "{\"errorType\":\"FAIL\",\"dc\":\"a/b\"}", "dc: it is no name");
    check_refused(read_check, "{\"errorType\":\"FAIL\",\"fence\":1}", "fence");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_java_fence),
        cmocka_unit_test(a_java_fence_without_much),
        cmocka_unit_test(our_fence),
        cmocka_unit_test(every_state_has_a_word),
        cmocka_unit_test(fences_that_are_refused),
        cmocka_unit_test(long_and_odd_logs_are_kept_readable),
        cmocka_unit_test(orders_to_fence),
        cmocka_unit_test(no_more_redis_than_fit),
        cmocka_unit_test(java_orders),
        cmocka_unit_test(our_orders),
        cmocka_unit_test(java_changes),
        cmocka_unit_test(our_changes),
        cmocka_unit_test(changes_that_are_refused),
        cmocka_unit_test(java_checks),
        cmocka_unit_test(our_checks),
        cmocka_unit_test(checks_that_are_refused),
    };
    return cmocka_run_group_tests_name("switch_words", tests, NULL, NULL);
}
