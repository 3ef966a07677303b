/* Which containers get the keepers of a shard: each step of console-api.md 3.7 alone and together, and the ports. */
#include "console/catalog/keeper_choice.h"

#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "tests/unit/unit.h"

#include "shared/base/banned.h"

/* A container in one line; without a tag and with a disk of the machine unless said. */
#define C(id_, ...)                                                                                \
    {                                                                                              \
        .id = (id_), .is_active = true, __VA_ARGS__                                                \
    }
#define INACTIVE(id_, ...)                                                                         \
    {                                                                                              \
        .id = (id_), __VA_ARGS__                                                                   \
    }

/* "2 5; 1 inactive, 3 other tag": the chosen ids, then why not the others. Returns owned (free). */
static char *choose(struct keeper_facts facts, struct keeper_candidate *items, size_t count)
{
    struct keeper_choice choice;
    struct str text = STR_INIT(4096);
    facts.items = items;
    facts.count = count;
    facts.tag = facts.tag ? facts.tag : "";
    for (size_t i = 0; i < count; i++) {
        items[i].tag = items[i].tag ? items[i].tag : "";
        items[i].disk_type = items[i].disk_type ? items[i].disk_type : "DEFAULT";
    }
    keeper_choose(&facts, &choice);
    for (size_t i = 0; i < choice.usable_count && i < KEEPERS_PER_SHARD; i++) {
        str_printf(&text, "%s%lld", i ? " " : "", (long long)items[choice.taken[i]].id);
    }
    const char *separator = ";";
    for (size_t i = 0; i < count; i++) {
        if (choice.verdicts[i] != KEEPER_USABLE) {
            str_printf(&text, "%s %lld %s", separator, (long long)items[i].id,
                       keeper_verdict_text(choice.verdicts[i]));
            separator = ",";
        }
    }
    keeper_choice_done(&choice);
    return str_take(&text);
}

#define CHOICE(expected, facts_, ...)                                                              \
    do {                                                                                           \
        struct keeper_candidate items_[] = { __VA_ARGS__ };                                        \
        AUTO_FREE char *got_ = choose((struct keeper_facts)facts_, items_, ARRAY_LEN(items_));     \
        assert_string_equal(got_, expected);                                                       \
    } while (0)
#define FACTS(...)                                                                                 \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }
#define ANY_FACTS                                                                                  \
    {                                                                                              \
        .org_id = 0                                                                                \
    }

static void the_least_loaded_two_are_taken(void **state)
{
    (void)state;
    CHOICE("3 1", ANY_FACTS, C(1, .keeper_count = 5), C(2, .keeper_count = 9),
           C(3, .keeper_count = 0));
    CHOICE("1 2", ANY_FACTS, C(1), C(2), C(3)); /* equal: the older ones */
    CHOICE("2 3; 1 inactive", ANY_FACTS, INACTIVE(1), C(2), C(3));
    CHOICE("1", ANY_FACTS, C(1)); /* one is not enough, and is not doubled */
    struct keeper_choice none;
    keeper_choose(&(struct keeper_facts){ .tag = "" }, &none);
    assert_int_equal(none.usable_count, 0);
    keeper_choice_done(&none);
}

static void organizations_are_never_mixed(void **state)
{
    (void)state;
    CHOICE("3 2; 1 other organization", FACTS(.org_id = 8), C(1),
           C(2, .org_id = 8, .keeper_count = 99), C(3, .org_id = 8));
    CHOICE("2; 1 other organization, 3 other organization", FACTS(.org_id = 8), C(1),
           C(2, .org_id = 8), C(3));
    CHOICE("1 3; 2 other organization", FACTS(.org_id = 8), C(1), C(2, .org_id = 7), C(3));
    /* a pool of inactive ones is empty */
    CHOICE("1 3; 2 inactive", FACTS(.org_id = 8), C(1), INACTIVE(2, .org_id = 8), C(3));
    /* an outage is not: it does not move anybody to the default organization */
    CHOICE("; 1 other organization, 2 unhealthy, 3 other organization", FACTS(.org_id = 8), C(1),
           C(2, .org_id = 8, .is_unhealthy = true), C(3));
}

static void unhealthy_ones_are_skipped(void **state)
{
    (void)state;
    CHOICE("2 3; 1 unhealthy", ANY_FACTS, C(1, .is_unhealthy = true), C(2), C(3));
    CHOICE("1; 2 unhealthy", ANY_FACTS, C(1), C(2, .is_unhealthy = true));
}

static void the_tag_is_preferred_not_demanded(void **state)
{
    (void)state;
    CHOICE("2 3; 1 other tag", FACTS(.tag = "fast"), C(1), C(2, .tag = "fast"),
           C(3, .tag = "fast"));
    CHOICE("2; 1 other tag, 3 other tag", FACTS(.tag = "fast"), C(1), C(2, .tag = "fast"), C(3));
    CHOICE("1 3", FACTS(.tag = "fast"), C(1, .tag = "slow"), C(3));
    CHOICE("2 3; 1 other tag", ANY_FACTS, C(1, .tag = "fast"), C(2),
           C(3)); /* untagged ones are a tag, too */
    CHOICE("1 2", ANY_FACTS, C(1, .tag = "fast"), C(2, .tag = "fast"));
    CHOICE("1 3; 2 unhealthy", FACTS(.tag = "fast"), C(1),
           C(2, .tag = "fast", .is_unhealthy = true), C(3));
}

static void the_medium_is_demanded(void **state)
{
    (void)state;
    CHOICE("2 3; 1 other medium", ANY_FACTS, C(1, .disk_type = "tfs"), C(2),
           C(3, .disk_type = "SSD"));
    CHOICE("1; 2 other medium", FACTS(.medium = KEEPER_MEDIUM_TFS), C(1, .disk_type = "TFS"), C(2));
    CHOICE("1 2", FACTS(.medium = KEEPER_MEDIUM_ANY), C(1, .disk_type = "TFS"), C(2));
    enum keeper_medium medium;
    assert_true(keeper_medium_from_text("any", &medium));
    assert_int_equal(medium, KEEPER_MEDIUM_ANY);
    assert_false(keeper_medium_from_text("SSD", &medium));
}

static void zones_are_spread(void **state)
{
    (void)state;
    CHOICE("1 3; 2 zone taken", FACTS(.active_az_count = 2), C(1, .az_id = 1), C(2, .az_id = 1),
           C(3, .az_id = 2, .keeper_count = 9));
    CHOICE("2 4; 1 no zone, 3 zone taken", FACTS(.active_az_count = 3), C(1), C(2, .az_id = 1),
           C(3, .az_id = 1), C(4, .az_id = 3));
    CHOICE("1; 2 zone taken", FACTS(.active_az_count = 2), C(1, .az_id = 1), C(2, .az_id = 1));
    CHOICE("1 2", FACTS(.active_az_count = 2), C(1), C(2)); /* none has a zone: no rule */
    CHOICE("1 2", FACTS(.active_az_count = 1), C(1, .az_id = 1), C(2, .az_id = 1));
    /* within a zone the least loaded one */
    CHOICE("2 3; 1 zone taken", FACTS(.active_az_count = 2), C(1, .az_id = 1, .keeper_count = 4),
           C(2, .az_id = 1, .keeper_count = 1), C(3, .az_id = 2, .keeper_count = 2));
}

static void all_rules_together(void **state)
{
    (void)state;
    CHOICE("7 5; 1 inactive, 2 other organization, 3 unhealthy, 4 other tag, 6 zone taken, 8 no "
           "zone, 9 other medium",
           FACTS(.org_id = 8, .tag = "t", .active_az_count = 2), INACTIVE(1, .org_id = 8), C(2),
           C(3, .org_id = 8, .is_unhealthy = true), C(4, .org_id = 8),
           C(5, .org_id = 8, .tag = "t", .az_id = 1, .keeper_count = 3),
           C(6, .org_id = 8, .tag = "t", .az_id = 1, .keeper_count = 4),
           C(7, .org_id = 8, .tag = "t", .az_id = 2), C(8, .org_id = 8, .tag = "t"),
           C(9, .org_id = 8, .tag = "t", .disk_type = "TFS", .az_id = 2));
}

static void the_first_free_port(void **state)
{
    (void)state;
    assert_int_equal(keeper_free_port(6380, NULL, 0), 6380);
    assert_int_equal(keeper_free_port(6380, (const int[]){ 6380, 6381, 6383 }, 3), 6382);
    assert_int_equal(keeper_free_port(6380, (const int[]){ 6379, 6381 }, 2), 6380);
    assert_int_equal(keeper_free_port(6380, (const int[]){ 6380, 6380, 6381 }, 3), 6382);
    assert_int_equal(keeper_free_port(6400, (const int[]){ 6380, 6400, 6402 }, 3), 6401);
    int *all AUTO_FREE = xcalloc(65536, sizeof(*all));
    for (int i = 0; i < 65536; i++) {
        all[i] = i;
    }
    assert_int_equal(keeper_free_port(6380, all, 65536), 0);
    assert_int_equal(keeper_free_port(6380, all, 65535), 65535);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_least_loaded_two_are_taken),
        cmocka_unit_test(organizations_are_never_mixed),
        cmocka_unit_test(unhealthy_ones_are_skipped),
        cmocka_unit_test(the_tag_is_preferred_not_demanded),
        cmocka_unit_test(the_medium_is_demanded),
        cmocka_unit_test(zones_are_spread),
        cmocka_unit_test(all_rules_together),
        cmocka_unit_test(the_first_free_port),
    };
    return cmocka_run_group_tests_name("keeper_choice", tests, NULL, NULL);
}
