/* slot_test.c - slot numbers (vectors of metaserver.md 11.1), the slot and server JSON, the latch queue, holding. */
#include <stdlib.h>
#include <string.h>

#include "meta/slots/slot_keeper.h"
#include "meta/zk/leader_election.h"
#include "meta/zk/server_info.h"
#include "shared/base/mem.h"
#include "tests/unit/unit.h"

#include "shared/base/banned.h"

static void slot_numbers(void **state)
{
    (void)state;
    static const struct {
        int64_t id;
        int slot;
    } rows[] = { { 0, 0 },          { 1, 1 },          { 255, 255 },        { 256, 0 },
                 { 257, 1 },        { 1000, 232 },     { 2147483647, 255 }, { 2147483648, 0 },
                 { 4294967295, 1 }, { 4294967296, 1 }, { 4294967297, 0 } };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_int_equal(slot_of_cluster(rows[i].id), rows[i].slot);
    }
    for (int64_t id = -1000; id < 1000; id++) {
        assert_in_range(slot_of_cluster(id * 7919), 0, SLOT_COUNT - 1);
    }
}

static int parse(const char *text, struct slot *s)
{
    struct xp_err err;
    return slot_parse(text, strlen(text), s, &err);
}

static void slot_json(void **state)
{
    (void)state;
    struct slot s;
    assert_int_equal(parse("{\"serverId\":1,\"slotState\":\"MOVING\",\"toServerId\":2}", &s), 0);
    assert_true(slot_eq(&s, &(struct slot){ 1, SLOT_MOVING, 2 }));
    assert_string_equal(SLOT_TEXT(&s),
                        "{\"serverId\":1,\"slotState\":\"MOVING\",\"toServerId\":2}");
    s = slot_normal(7);
    assert_string_equal(SLOT_TEXT(&s),
                        "{\"serverId\":7,\"slotState\":\"NORMAL\",\"toServerId\":0}");
    assert_int_equal(
        parse("{\"serverId\":3,\"later\":[1],\"slotState\":null,\"toServerId\":null}", &s), 0);
    assert_true(slot_eq(&s, &(struct slot){ 3, SLOT_NORMAL, 0 }));
}

static void slot_json_refused(void **state)
{
    (void)state;
    static const char *const bad[] = { "",
                                       "{",
                                       "[]",
                                       "1",
                                       "{\"serverId\":\"1\"}",
                                       "{\"serverId\":-1}",
                                       "{\"serverId\":2147483648}",
                                       "{\"serverId\":1.5}",
                                       "{\"serverId\":1,\"slotState\":\"GONE\"}",
                                       "{\"serverId\":1,\"slotState\":5}",
                                       "{\"serverId\":1,\"serverId\":2}" };
    struct slot s = { 9, SLOT_MOVING, 8 };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(parse(bad[i], &s), XP_INVALID);
        assert_true(slot_eq(&s, &(struct slot){ 9, SLOT_MOVING, 8 }));
    }
}

static void server_json(void **state)
{
    (void)state;
    struct server_info a = { .id = 4, .addr = addr_of("10.0.0.1", 9747) };
    struct server_info b;
    struct xp_err err;
    char text[SERVER_TEXT_MAX];
    assert_string_equal(server_info_text(&a, text), "{\"ip\":\"10.0.0.1\",\"port\":9747}");
    server_start_id_make(a.start_id);
    server_info_text(&a, text);
    assert_int_equal(server_info_parse(4, text, strlen(text), &b, &err), 0);
    assert_true(server_info_eq(&a, &b));
    assert_int_equal(server_info_parse(4, "{\"ip\":\"h\"}", 10, &b, &err), XP_INVALID);
    assert_int_equal(server_info_parse(4, NULL, 0, &b, &err), XP_INVALID);
    int64_t id = 0;
    assert_true(server_id_parse("12", &id));
    assert_int_equal(id, 12);
    assert_false(server_id_parse("0", &id));
    assert_false(server_id_parse("12x", &id));
    assert_false(server_id_parse("99999999999", &id));
}

static void latch_queue(void **state)
{
    (void)state;
    /* the uuid decides nothing, the number does */
    static const char *const names[] = { "_c_aaaa-latch-0000000003", "_c_zzzz-latch-0000000001",
                                         "_c_mmmm-latch-0000000002" };
    struct latch_place p = latch_place_find(names, 3, "zzzz");
    assert_int_equal(p.own, 1);
    assert_int_equal(p.before, -1);
    p = latch_place_find(names, 3, "aaaa");
    assert_int_equal(p.own, 0);
    assert_int_equal(p.before, 2);
    p = latch_place_find(names, 3, "aaa");
    assert_int_equal(p.own, -1);
    assert_int_equal(latch_place_find(names, 0, "aaaa").own, -1);
    assert_int_equal(latch_place_find(names, 3, "").own, -1);
}

static void holding(void **state)
{
    (void)state;
    struct slot_entry e = {
        .exists = true, .is_valid = true, .slot = slot_normal(1), .version = 5, .mzxid = 11
    };
    struct slot_hold_facts f = {
        .is_allowed = true, .self_id = 1, .registered_zxid = 10, .entry = &e
    };
    assert_int_equal(slot_keeper_should_hold(&f), SLOT_HELD);
    e.slot = slot_moving(1, 2);
    assert_int_equal(slot_keeper_should_hold(&f),
                     SLOT_HELD); /* the exporter works until it exports */
    f.was_exported = true;
    f.exported_version = 5;
    assert_int_equal(slot_keeper_should_hold(&f), SLOT_NOT_OURS);
    e.version = 6; /* marked anew after a leader change */
    assert_int_equal(slot_keeper_should_hold(&f), SLOT_HELD);
    e.slot = slot_moving(2, 1); /* the importer waits for the commit */
    assert_int_equal(slot_keeper_should_hold(&f), SLOT_NOT_OURS);
    e.slot = slot_normal(1);
    f.is_allowed = false;
    assert_int_equal(slot_keeper_should_hold(&f), SLOT_NOT_OURS);
    f.is_allowed = true;
    e.is_valid = false;
    assert_int_equal(slot_keeper_should_hold(&f), SLOT_NOT_OURS);
}

/* Found by test_broken_zookeeper: a foreign hand writes another owner, who hears of it before the one of before does. */
static void a_record_rewritten_without_a_hand_over_waits_for_the_rival(void **state)
{
    (void)state;
    struct slot_entry e = {
        .exists = true, .is_valid = true, .slot = slot_normal(1), .version = 5, .mzxid = 11
    };
    struct slot_hold_facts f = { .is_allowed = true,
                                 .self_id = 1,
                                 .registered_zxid = 10,
                                 .entry = &e,
                                 .has_rival = true,
                                 .now = 1000,
                                 .rival_until = 4333 };
    assert_int_equal(slot_keeper_should_hold(&f), SLOT_TO_WAIT);
    f.has_rival = false; /* he is gone */
    assert_int_equal(slot_keeper_should_hold(&f), SLOT_HELD);
    f.has_rival = true;
    f.now = 4333; /* he has heard, or his lease is over */
    assert_int_equal(slot_keeper_should_hold(&f), SLOT_HELD);
    f.now = 1000;
    e.slot = slot_normal(2);
    assert_int_equal(slot_keeper_should_hold(&f), SLOT_NOT_OURS);
}

/* The same, found on a machine under load: nonsense in between hid who had the slot. */
static void a_rival_is_who_was_there(void **state)
{
    (void)state;
    enum { US = 1, HE = 2, NOBODY = 77 };
    struct slot_entry his = { .exists = true, .is_valid = true, .slot = slot_normal(HE) };
    struct slot_entry ours = { .exists = true, .is_valid = true, .slot = slot_normal(US) };
    struct slot_entry unknown = { .exists = true, .is_valid = true, .slot = slot_normal(NOBODY) };
    struct slot_entry garbage = { .exists = true };
    struct slot_entry to_us = { .exists = true, .is_valid = true, .slot = slot_moving(HE, US) };
    struct slot_entry forged = { .exists = true,
                                 .is_valid = true,
                                 .slot = slot_moving(NOBODY, US) };
    assert_int_equal(slot_keeper_rival(0, &ours, US, true), 0);
    assert_int_equal(slot_keeper_rival(0, &his, US, true), HE);
    assert_int_equal(slot_keeper_rival(0, &his, US, false),
                     HE); /* he may be registered in a moment */
    assert_int_equal(slot_keeper_rival(HE, &garbage, US, false), HE);
    assert_int_equal(slot_keeper_rival(HE, &unknown, US, false), HE);
    assert_int_equal(slot_keeper_rival(HE, &forged, US, false), HE);
    assert_int_equal(slot_keeper_rival(HE, &ours, US, true), HE); /* until he has had his lease */
    assert_int_equal(slot_keeper_rival(HE, &to_us, US, true),
                     0); /* he answers when he has let go */
    assert_int_equal(slot_keeper_rival(NOBODY, &his, US, true), HE);
}

/* Found by the soak: the leader gives away the slots of a member that is back already. */
static void a_record_older_than_the_registration_is_claimed(void **state)
{
    (void)state;
    struct slot_entry e = {
        .exists = true, .is_valid = true, .slot = slot_normal(1), .version = 5, .mzxid = 9
    };
    struct slot_hold_facts f = {
        .is_allowed = true, .self_id = 1, .registered_zxid = 10, .entry = &e
    };
    assert_int_equal(slot_keeper_should_hold(&f), SLOT_TO_CLAIM);
    e.slot = slot_moving(1, 2);
    assert_int_equal(slot_keeper_should_hold(&f), SLOT_TO_CLAIM);
    e.slot = slot_normal(2);
    assert_int_equal(slot_keeper_should_hold(&f), SLOT_NOT_OURS);
    e.slot = slot_normal(1);
    e.mzxid = SLOT_MZXID_UNKNOWN;
    assert_int_equal(slot_keeper_should_hold(&f), SLOT_NOT_OURS);
    e.mzxid = 11;
    assert_int_equal(slot_keeper_should_hold(&f), SLOT_HELD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slot_numbers),
        cmocka_unit_test(slot_json),
        cmocka_unit_test(slot_json_refused),
        cmocka_unit_test(server_json),
        cmocka_unit_test(latch_queue),
        cmocka_unit_test(holding),
        cmocka_unit_test(a_record_older_than_the_registration_is_claimed),
        cmocka_unit_test(a_record_rewritten_without_a_hand_over_waits_for_the_rival),
        cmocka_unit_test(a_rival_is_who_was_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
