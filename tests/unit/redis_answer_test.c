/* redis_answer_test.c - what a Redis says of itself, and what it does not say. */
#include "shared/switch/redis_answer.h"

#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "tests/unit/unit.h"

#include "shared/base/banned.h"

#define ID  "8371445ee47ac3b77fa43a8fd9ea0b7c4ea3c1b1"
#define ID2 "0000000000000000000000000000000000000000"

static struct rreply *text(enum rreply_type type, const char *words)
{
    return rreply_new_text(type, words, strlen(words));
}

static struct redis_replication replication(const char *info)
{
    struct redis_replication told;
    struct rreply *reply = text(RREPLY_BULK, info);
    redis_answer_replication(reply, &told);
    rreply_free(reply);
    return told;
}

static void a_master_with_replicas(void **state)
{
    (void)state;
    struct redis_replication told = replication(
        "# Replication\r\nrole:master\r\nconnected_slaves:3\r\n"
        "slave0:ip=10.0.0.1,port=6379,state=online,offset=120,lag=0\r\n"
        "slave1:ip=10.0.0.2,port=6379,state=online,offset=80,lag=1\r\n"
        "slave2:ip=10.0.0.3,port=6379,state=wait_bgsave,offset=0,lag=0\r\n"
        "master_replid:" ID "\r\nmaster_replid2:" ID2 "\r\nmaster_repl_offset:130\r\n"
        "second_repl_offset:-1\r\nrepl_backlog_active:1\r\nrepl_backlog_size:1048576\r\n");
    assert_string_equal(told.repl_id, ID);
    assert_string_equal(told.repl_id2, ID2);
    assert_int_equal(told.own_offset, 130);
    assert_int_equal(told.followed_offset, -1);
    assert_int_equal(told.second_offset, -1);
    assert_int_equal(told.priority, -1);
    assert_int_equal(told.backlog_active, 1);
    assert_int_equal(told.backlog_bytes, 1048576);
    assert_int_equal(told.replicas, 2);
    assert_int_equal(told.min_replica_offset, 80);
}

static void a_replica_of_a_promoted_one(void **state)
{
    (void)state;
    struct redis_replication told =
        replication("role:slave\nslave_repl_offset:77\nslave_priority:100\nslave_read_only:1\n"
                    "connected_slaves:0\nmaster_replid:" ID "\nmaster_replid2:" ID2 "\n"
                    "master_repl_offset:77\nsecond_repl_offset:51\nrepl_backlog_active:0\n");
    assert_int_equal(told.followed_offset, 77);
    assert_int_equal(told.own_offset, 77);
    assert_int_equal(told.second_offset, 51);
    assert_int_equal(told.priority, 100);
    assert_int_equal(told.backlog_active, 0);
    assert_int_equal(told.backlog_bytes, -1);
    assert_int_equal(told.replicas, 0);
    assert_int_equal(told.min_replica_offset, -1);
}

static void check_nothing_is_told(const struct redis_replication *told)
{
    const struct redis_replication nothing = { .own_offset = -1,
                                               .followed_offset = -1,
                                               .second_offset = -1,
                                               .priority = -1,
                                               .backlog_active = -1,
                                               .backlog_bytes = -1,
                                               .min_replica_offset = -1 };
    assert_string_equal(told->repl_id, "");
    assert_string_equal(told->repl_id2, "");
    assert_int_equal(told->replicas, 0);
    assert_memory_equal(&told->own_offset, &nothing.own_offset,
                        offsetof(struct redis_replication, replicas) -
                            offsetof(struct redis_replication, own_offset));
}

static void what_has_another_shape_is_not_told(void **state)
{
    (void)state;
    static const char *const infos[] = {
        "",
        "\r\n\r\n",
        "master_repl_offset:1e3\r\n",              /* no number */
        "master_repl_offset:-5\r\n",               /* no offset */
        "master_repl_offset:99999999999999999999", /* beyond 64 bits */
        "slave_priority:\r\n",
        " slave0\r\nslave:state=online,offset=1\r\n",
        "slave0:ip=10.0.0.1,port=1,state=online,lag=0\r\n", /* without an offset */
    };
    for (size_t i = 0; i < ARRAY_LEN(infos); i++) {
        struct redis_replication told = replication(infos[i]);
        check_nothing_is_told(&told);
    }
    struct redis_replication told = replication("master_replid:" ID "0\r\n"); /* too long */
    check_nothing_is_told(&told);
    struct rreply *number = rreply_new_integer(5);
    redis_answer_replication(number, &told);
    check_nothing_is_told(&told);
    rreply_free(number);
}

/* An online replica without a readable offset has acknowledged nothing. */
static void a_replica_whose_offset_is_garbage(void **state)
{
    (void)state;
    struct redis_replication told =
        replication("slave0:ip=10.0.0.1,port=1,state=online,offset=120,lag=0\r\n"
                    "slave1:ip=10.0.0.1,port=2,state=online,offset=x,lag=0\r\n");
    assert_int_equal(told.replicas, 2);
    assert_int_equal(told.min_replica_offset, -1);
}

static void settings(void **state)
{
    (void)state;
    struct rreply *items[] = { text(RREPLY_BULK, "slave-priority"),   text(RREPLY_BULK, "100"),
                               text(RREPLY_BULK, SETTING_READ_ONLY),  text(RREPLY_BULK, "no"),
                               text(RREPLY_BULK, SETTING_MIN_SLAVES), text(RREPLY_BULK, "2"),
                               text(RREPLY_BULK, SETTING_MAX_LAG),    text(RREPLY_BULK, "many"),
                               text(RREPLY_BULK, SETTING_MAX_LAG) }; /* without its value */
    struct rreply *reply = rreply_new_array(items, ARRAY_LEN(items));
    struct redis_settings told;
    redis_answer_settings(reply, &told);
    assert_int_equal(told.min_slaves, 2);
    assert_int_equal(told.max_lag_s, -1);
    assert_true(told.has_read_only);
    assert_false(told.is_read_only);
    rreply_free(reply);
    reply = text(RREPLY_ERROR, "ERR unknown command `CONFIG`");
    redis_answer_settings(reply, &told);
    assert_int_equal(told.min_slaves, -1);
    assert_int_equal(told.max_lag_s, -1);
    assert_false(told.has_read_only);
    assert_true(told.is_read_only);
    rreply_free(reply);
}

static void a_config_file(void **state)
{
    (void)state;
    static const struct {
        const char *info;
        bool has_none;
    } cases[] = { { "executable:/usr/bin/redis\r\nconfig_file:\r\n", true },
                  { "config_file:/etc/redis.conf\r\n", false },
                  { "config_file:", true },
                  { "redis_version:2.8.0\r\n", false } }; /* not told: not known */
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct rreply *reply = text(RREPLY_BULK, cases[i].info);
        assert_int_equal(redis_answer_has_no_file(reply), cases[i].has_none);
        rreply_free(reply);
    }
}

static void a_refusal_is_one_line(void **state)
{
    (void)state;
    char words[16];
    struct rreply *reply = text(RREPLY_ERROR, "NOAUTH a\tb\n\x7F and more than fits");
    redis_answer_error(reply, words, sizeof(words));
    assert_string_equal(words, "NOAUTH a b   an");
    rreply_free(reply);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_master_with_replicas),
        cmocka_unit_test(a_replica_of_a_promoted_one),
        cmocka_unit_test(what_has_another_shape_is_not_told),
        cmocka_unit_test(a_replica_whose_offset_is_garbage),
        cmocka_unit_test(settings),
        cmocka_unit_test(a_config_file),
        cmocka_unit_test(a_refusal_is_one_line),
    };
    return cmocka_run_group_tests_name("redis_answer", tests, NULL, NULL);
}
