/* switch_record_test.c - the text of a record: what we write is what we read; half of it, more than it, and garbage. */
#include "meta/primary/switch_record.h"

#include <stdlib.h>
#include <string.h>

#include "shared/base/mem.h"
#include "tests/unit/unit.h"

#include "shared/base/banned.h"

#define REPL_ID "0123456789abcdef0123456789abcdef01234567"

static struct switch_record read_text(const char *text)
{
    struct switch_record record;
    struct xp_err err;
    assert_int_equal(switch_record_from_text(text, strlen(text), &record, &err), 0);
    return record;
}

static void check_refused(const char *text, const char *named)
{
    struct switch_record record = { .epoch = 77 };
    struct xp_err err;
    assert_true(switch_record_from_text(text, strlen(text), &record, &err) < 0);
    assert_non_null(strstr(err.msg, named));
    assert_int_equal(record.epoch, 77); /* untouched */
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    struct switch_record record = { .epoch = 42,
                                    .fence = FENCE_FROZEN,
                                    .master = addr_of("10.0.0.1", 6379),
                                    .saved = { true, 1, 10, true },
                                    .repl_id = REPL_ID,
                                    .offset = INT64_C(1) << 40,
                                    .promoted = addr_of("10.0.0.2", 6380),
                                    .is_promoting = true,
                                    .maybe = addr_of("10.0.0.3", 6381),
                                    .at = 1700000000000,
                                    .version = 5 };
    AUTO_FREE char *text = switch_record_to_text(&record);
    assert_string_equal(text, "{\"epoch\":42,\"fence\":\"frozen\",\"master\":\"10.0.0.1:6379\","
                              "\"saved\":{\"minSlaves\":1,\"maxLagS\":10,\"writableReplica\":true},"
                              "\"offset\":1099511627776,\"replId\":\"" REPL_ID "\","
                              "\"promoted\":\"10.0.0.2:6380\",\"promoting\":true,"
                              "\"maybePromoted\":\"10.0.0.3:6381\",\"wallMs\":1700000000000}");
    struct switch_record again = read_text(text);
    assert_int_equal(again.epoch, 42);
    assert_int_equal(again.fence, FENCE_FROZEN);
    assert_true(addr_eq(&again.master, &record.master));
    assert_true(again.saved.is_known && again.saved.was_writable_replica);
    assert_int_equal(again.saved.min_slaves, 1);
    assert_int_equal(again.saved.max_lag_s, 10);
    assert_string_equal(again.repl_id, REPL_ID);
    assert_int_equal(again.offset, record.offset);
    assert_true(addr_eq(&again.promoted, &record.promoted));
    assert_true(again.is_promoting && addr_eq(&again.maybe, &record.maybe));
    assert_int_equal(again.at, record.at);
    assert_int_equal(again.version, -1); /* the node's, not the text's */
}

static void divergences_are_kept(void **state)
{
    (void)state;
    struct switch_record record = { .version = -1 };
    struct switch_diverged one = { .redis = addr_of("10.0.0.1", 6379),
                                   .repl_id = REPL_ID,
                                   .offset = 1500,
                                   .promoted_offset = 1000,
                                   .bytes = 500,
                                   .why = DIVERGE_COMPARED,
                                   .at = 1700000000000 };
    struct switch_diverged two = { .redis = addr_of("10.0.0.2", 6379),
                                   .offset = -1,
                                   .promoted_offset = -1,
                                   .bytes = -1,
                                   .why = DIVERGE_MUTE,
                                   .is_told = true,
                                   .at = 1700000000001 };
    assert_true(switch_diverged_add(&record.diverged, &one));
    assert_true(switch_diverged_add(&record.diverged, &two));
    AUTO_FREE char *text = switch_record_to_text(&record);
    struct switch_record again = read_text(text);
    assert_int_equal(again.diverged.count, 2);
    const struct switch_diverged *a = &again.diverged.items[0];
    const struct switch_diverged *b = &again.diverged.items[1];
    assert_true(addr_eq(&a->redis, &one.redis) && addr_eq(&b->redis, &two.redis));
    assert_string_equal(a->repl_id, REPL_ID);
    assert_string_equal(b->repl_id, "");
    assert_int_equal(a->bytes, 500);
    assert_int_equal(a->offset, 1500);
    assert_int_equal(a->promoted_offset, 1000);
    assert_int_equal(b->bytes, -1);
    assert_int_equal(b->offset, -1);
    assert_true(!a->is_told && b->is_told);
    assert_true(a->why == DIVERGE_COMPARED && b->why == DIVERGE_MUTE);
    assert_int_equal(b->at, two.at);
}

/* Another version may find divergences in other ways, and more of them. */
static void what_cannot_be_read_of_divergences_costs_no_fence(void **state)
{
    (void)state;
    static const char good[] =
        "{\"redis\":\"10.0.0.1:6379\",\"replId\":\"a\",\"why\":\"fence\",\"wallMs\":1}";
    AUTO_FREE char *text =
        xasprintf("{\"epoch\":42,\"fence\":\"held\",\"diverged\":["
                  "{\"redis\":\"10.0.0.1:6379\",\"why\":\"dreamt\"},7,"
                  "{\"redis\":\"\",\"replId\":\"a\",\"why\":\"fence\"},%s,%s,%s]}",
                  good, good, good);
    struct switch_record record = read_text(text);
    assert_int_equal(record.fence, FENCE_HELD);
    assert_int_equal(record.diverged.count, 2);
    assert_int_equal(record.diverged.left_out, 4);
    assert_int_equal(record.diverged.items[0].why, DIVERGE_FENCE);
    assert_int_equal(record.diverged.items[0].bytes, -1);
    record = read_text("{\"epoch\":42,\"fence\":\"held\",\"diverged\":\"many\"}");
    assert_int_equal(record.fence, FENCE_HELD);
    assert_int_equal(record.diverged.left_out, 1);
}

static void divergences_have_a_limit(void **state)
{
    (void)state;
    struct switch_diverged_list list = { 0 };
    struct switch_diverged d = { .redis = addr_of("10.0.0.1", 6379), .repl_id = REPL_ID, .at = 10 };
    assert_true(switch_diverged_add(&list, &d));
    d.bytes = 7; /* the same history of the same Redis: replaced */
    assert_true(switch_diverged_add(&list, &d));
    assert_int_equal(list.count, 1);
    assert_int_equal(list.items[0].bytes, 7);
    d.redis = addr_of("10.0.0.2", 6379);
    assert_true(switch_diverged_add(&list, &d));
    d.redis = addr_of("10.0.0.3", 6379);
    assert_false(switch_diverged_add(&list, &d)); /* none of them is told */
    list.items[0].is_told = true;
    assert_false(switch_diverged_forget(&list, 10));
    assert_true(switch_diverged_add(&list, &d));
    assert_null(
        switch_diverged_find(&list, &(struct addr){ .host = "10.0.0.1", .port = 6379 }, REPL_ID));
    list.items[0].is_told = true;
    assert_true(switch_diverged_forget(&list, 11));
    assert_int_equal(list.count, 1);
    assert_string_equal(ADDR_TEXT(&list.items[0].redis), "10.0.0.2:6379");
}

static void an_empty_record_is_short(void **state)
{
    (void)state;
    struct switch_record record = { .version = -1 };
    AUTO_FREE char *text = switch_record_to_text(&record);
    assert_string_equal(text, "{\"epoch\":0,\"fence\":\"none\",\"offset\":0,\"wallMs\":0}");
    struct switch_record again = read_text(text);
    assert_true(addr_is_none(&again.master) && addr_is_none(&again.promoted));
    assert_false(again.saved.is_known);
}

static void a_hold_of_isolation_says_so(void **state)
{
    (void)state;
    struct switch_record record = { .fence = FENCE_HELD, .is_isolation = true };
    AUTO_FREE char *text = switch_record_to_text(&record);
    assert_string_equal(
        text, "{\"epoch\":0,\"fence\":\"held\",\"isolation\":true,\"offset\":0,\"wallMs\":0}");
    assert_true(read_text(text).is_isolation);
    assert_false(read_text("{\"epoch\":1,\"fence\":\"held\"}").is_isolation); /* an older one */
    assert_false(read_text("{\"epoch\":1,\"fence\":\"none\",\"isolation\":true}").is_isolation);
    assert_false(read_text("{\"epoch\":1,\"fence\":\"frozen\",\"isolation\":true}").is_isolation);
}

static void a_newer_version_may_say_more(void **state)
{
    (void)state;
    struct switch_record record = read_text("{\"epoch\":3,\"fence\":\"held\",\"saved\":null,"
                                            "\"why\":\"a field of next year\"}");
    assert_int_equal(record.epoch, 3);
    assert_int_equal(record.fence, FENCE_HELD);
    assert_false(record.saved.is_known);
}

static void garbage_is_refused(void **state)
{
    (void)state;
    check_refused("", "");
    check_refused("[]", "");
    check_refused("{}", "epoch");
    check_refused("{\"epoch\":-1,\"fence\":\"none\"}", "epoch");
    check_refused("{\"epoch\":1}", "fence");
    check_refused("{\"epoch\":1,\"fence\":\"released\"}", "fence");
    check_refused("{\"epoch\":1,\"fence\":\"none\",\"master\":7}", "master");
    check_refused("{\"epoch\":1,\"fence\":\"none\",\"master\":\"10.0.0.1\"}", "master");
    check_refused("{\"epoch\":1,\"fence\":\"none\",\"saved\":{\"minSlaves\":1}}", "saved");
    check_refused("{\"epoch\":1,\"fence\":\"none\",\"replId\":\"" REPL_ID "0\"}", "replId");
    check_refused("{\"epoch\":1,\"fence\":\"none\",\"replId\":\"a b\"}", "replId");
    check_refused("{\"epoch\":1,\"fence\":\"none\",\"promoted\":{}}", "promoted");
    check_refused(
        "{\"epoch\":1,\"fence\":\"none\",\"kept\":[{\"redis\":\"\",\"saved\":{\"minSlaves\":1,"
        "\"maxLagS\":1}}]}",
        "kept");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(divergences_are_kept),
        cmocka_unit_test(what_cannot_be_read_of_divergences_costs_no_fence),
        cmocka_unit_test(divergences_have_a_limit),
        cmocka_unit_test(an_empty_record_is_short),
        cmocka_unit_test(a_hold_of_isolation_says_so),
        cmocka_unit_test(a_newer_version_may_say_more),
        cmocka_unit_test(garbage_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
