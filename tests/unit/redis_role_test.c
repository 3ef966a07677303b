/* redis_role_test.c - what ROLE answers: Redis, replicas, keepers, and whatever else a port may say. */
#include "shared/net/redis_role.h"

#include <string.h>

#include "shared/base/mem.h"
#include "shared/net/resp.h"
#include "tests/unit/unit.h"

#include "shared/base/banned.h"

static struct redis_role read_bytes(const char *bytes, size_t length)
{
    struct rreply *reply = NULL;
    struct resp_reader *reader = resp_reader_new(65536);
    resp_reader_feed(reader, bytes, length);
    assert_int_equal(resp_reader_next(reader, &reply, NULL), RESP_REPLY);
    struct redis_role role;
    memset(&role, 0x5a, sizeof(role));
    redis_role_read(reply, &role);
    rreply_free(reply);
    resp_reader_free(reader);
    return role;
}

static struct redis_role read_text(const char *bytes)
{
    return read_bytes(bytes, strlen(bytes));
}

static void check_unknown(struct redis_role role)
{
    assert_int_equal(role.kind, ROLE_KIND_UNKNOWN);
    assert_int_equal(role.link, ROLE_LINK_UNKNOWN);
    assert_int_equal(role.offset, -1);
    assert_int_equal(role.replicas, 0);
    assert_true(addr_is_none(&role.master));
}

static void masters(void **state)
{
    (void)state;
    struct redis_role role = read_text("*3\r\n$6\r\nmaster\r\n:3129659\r\n*2\r\n"
                                       "*3\r\n$9\r\n127.0.0.1\r\n$4\r\n9001\r\n$7\r\n3129242\r\n"
                                       "*3\r\n$9\r\n127.0.0.1\r\n$4\r\n9002\r\n$7\r\n3129543\r\n");
    assert_int_equal(role.kind, ROLE_KIND_MASTER);
    assert_int_equal(role.offset, 3129659);
    assert_int_equal(role.replicas, 2);
    assert_int_equal(role.link, ROLE_LINK_UNKNOWN);
    assert_true(addr_is_none(&role.master));
    role = read_text("*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n");
    assert_int_equal(role.kind, ROLE_KIND_MASTER);
    assert_int_equal(role.replicas, 0);
    assert_int_equal(role.offset, 0);
    role = read_text("*3\r\n+master\r\n$1\r\n7\r\n$-1\r\n"); /* not a number, not a list */
    assert_int_equal(role.kind, ROLE_KIND_MASTER);
    assert_int_equal(role.offset, -1);
    assert_int_equal(role.replicas, 0);
}

static void replicas_and_keepers(void **state)
{
    (void)state;
    struct redis_role role =
        read_text("*5\r\n$5\r\nslave\r\n$8\r\n10.0.0.1\r\n:6379\r\n$9\r\nconnected\r\n:77\r\n");
    struct addr master = addr_of("10.0.0.1", 6379);
    assert_int_equal(role.kind, ROLE_KIND_REPLICA);
    assert_true(addr_eq(&role.master, &master));
    assert_int_equal(role.link, ROLE_LINK_CONNECTED);
    assert_int_equal(role.offset, 77);
    role = read_text("*5\r\n+keeper\r\n+10.0.0.1\r\n:6379\r\n+sync\r\n:-5\r\n");
    assert_int_equal(role.kind, ROLE_KIND_KEEPER);
    assert_true(addr_eq(&role.master, &master));
    assert_int_equal(role.link, ROLE_LINK_SYNC);
    assert_int_equal(role.offset, -1);
    role = read_text("*5\r\n+keeper\r\n+10.0.0.1\r\n:6379\r\n+waiting\r\n+x\r\n");
    assert_int_equal(role.kind, ROLE_KIND_KEEPER);
    assert_int_equal(role.link, ROLE_LINK_UNKNOWN);
    assert_int_equal(role.offset, -1);
}

/* What 'masterreadonly' leaves behind, and a keeper that was told nothing. */
static void port_0_follows_nobody(void **state)
{
    (void)state;
    struct redis_role role =
        read_text("*5\r\n$5\r\nslave\r\n$9\r\n127.0.0.1\r\n:0\r\n$7\r\nconnect\r\n:-1\r\n");
    assert_int_equal(role.kind, ROLE_KIND_REPLICA);
    assert_true(addr_is_none(&role.master));
    assert_int_equal(role.link, ROLE_LINK_CONNECT);
    role = read_text("*5\r\n+keeper\r\n+0.0.0.0\r\n:0\r\n+none\r\n:-1\r\n");
    assert_int_equal(role.kind, ROLE_KIND_KEEPER);
    assert_true(addr_is_none(&role.master));
    assert_int_equal(role.link, ROLE_LINK_NONE);
}

/* Somebody is followed, though by no name that we could use: never taken for "nobody", never for one of ours. */
static void hosts_that_we_cannot_name(void **state)
{
    (void)state;
    AUTO_FREE char *host = xasprintf("%064d", 1);
    AUTO_FREE char *text = xasprintf("*5\r\n+slave\r\n+%s\r\n:6379\r\n+connected\r\n:1\r\n", host);
    struct redis_role role = read_text(text);
    assert_int_equal(role.kind, ROLE_KIND_REPLICA);
    assert_string_equal(role.master.host, "?");
    assert_int_equal(role.master.port, 6379);
    AUTO_FREE char *longest =
        xasprintf("*5\r\n+slave\r\n+%s\r\n:6379\r\n+connected\r\n:1\r\n", host + 1);
    role = read_text(longest);
    assert_string_equal(role.master.host, host + 1);
    role = read_text("*5\r\n+slave\r\n$3\r\na b\r\n:6379\r\n+connected\r\n:1\r\n");
    assert_string_equal(role.master.host, "?");
    role = read_text("*5\r\n+slave\r\n$0\r\n\r\n:6379\r\n+connected\r\n:1\r\n");
    assert_string_equal(role.master.host, "?");
    static const char nul[] = "*5\r\n+slave\r\n$3\r\na\0b\r\n:6379\r\n+connected\r\n:1\r\n";
    role = read_bytes(nul, sizeof(nul) - 1);
    assert_string_equal(role.master.host, "?");
}

static void other_shapes_say_nothing(void **state)
{
    (void)state;
    static const char *const others[] = {
        "-LOADING Redis is loading the dataset in memory\r\n",
        "-NOAUTH Authentication required.\r\n",
        "+master\r\n",
        ":5\r\n",
        "$-1\r\n",
        "*0\r\n",
        "*-1\r\n",
        "*2\r\n$8\r\nsentinel\r\n*0\r\n",
        "*2\r\n+master\r\n:1\r\n",
        "*4\r\n+slave\r\n+a\r\n:1\r\n+connected\r\n",
        "*6\r\n+slave\r\n+a\r\n:1\r\n+connected\r\n:1\r\n:1\r\n",
        "*3\r\n+slave\r\n:1\r\n*0\r\n",
        "*5\r\n+master\r\n+a\r\n:1\r\n+connected\r\n:1\r\n",
        "*5\r\n+Slave\r\n+a\r\n:1\r\n+connected\r\n:1\r\n",
        "*5\r\n:1\r\n+a\r\n:1\r\n+connected\r\n:1\r\n",
        "*5\r\n+slave\r\n:1\r\n:1\r\n+connected\r\n:1\r\n",
        "*5\r\n+slave\r\n*0\r\n:1\r\n+connected\r\n:1\r\n",
        "*5\r\n+slave\r\n+a\r\n+1\r\n+connected\r\n:1\r\n",
        "*5\r\n+slave\r\n+a\r\n:65536\r\n+connected\r\n:1\r\n",
        "*5\r\n+slave\r\n+a\r\n:-1\r\n+connected\r\n:1\r\n",
        "*5\r\n+slave\r\n+a\r\n:4294967297\r\n+connected\r\n:1\r\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        check_unknown(read_text(others[i]));
    }
    struct redis_role role;
    redis_role_read(NULL, &role);
    check_unknown(role);
}

static void words(void **state)
{
    (void)state;
    for (int link = ROLE_LINK_UNKNOWN; link <= ROLE_LINK_CONNECTED; link++) {
        assert_int_equal(role_link_from_text(role_link_text((enum role_link)link)), link);
    }
    assert_int_equal(role_link_from_text("Connected"), ROLE_LINK_UNKNOWN);
    assert_int_equal(role_link_from_text(""), ROLE_LINK_UNKNOWN);
    assert_int_equal(role_link_from_text(NULL), ROLE_LINK_UNKNOWN);
    assert_string_equal(role_kind_text(ROLE_KIND_REPLICA), "slave");
    assert_string_equal(role_kind_text(ROLE_KIND_UNKNOWN), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(masters),
        cmocka_unit_test(replicas_and_keepers),
        cmocka_unit_test(port_0_follows_nobody),
        cmocka_unit_test(hosts_that_we_cannot_name),
        cmocka_unit_test(other_shapes_say_nothing),
        cmocka_unit_test(words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
