/* rconn_sim.c - the twin of rconn.h behaves as rconn.h promises, in virtual time. */
#include <stdio.h>
#include <string.h>

#include "shared/base/mem.h"
#include "tests/sim/fake_loop.h"
#include "tests/sim/fake_rconn.h"
#include "tests/unit/unit.h"

#include "shared/base/banned.h"

struct client {
    struct loop *loop;
    struct rconn *conn;
    struct addr addr;
    int handled; /* by the Redis */
    int answers;
    enum rconn_why why;
    uint64_t tokens[8];
    char text[64];
    mono_ms answered_at;
    int ready_count;
};

static struct rreply *echo(const struct addr *addr, size_t argc, const char *const *argv, void *arg)
{
    struct client *c = arg;
    assert_true(addr_eq(addr, &c->addr));
    c->handled++;
    return rreply_new_text(RREPLY_BULK, argv[argc - 1], strlen(argv[argc - 1]));
}

static void note_state(struct rconn *conn, enum rconn_state state, void *arg)
{
    (void)conn;
    ((struct client *)arg)->ready_count += state == RCONN_READY;
}

static void note_answer(const struct rreply *reply, enum rconn_why why, void *arg, uint64_t token)
{
    struct client *c = arg;
    assert_int_equal(reply != NULL, why == RCONN_ANSWERED);
    c->tokens[c->answers++ % 8] = token;
    c->why = why;
    c->answered_at = clock_mono_ms();
    (void)snprintf(c->text, sizeof(c->text), "%s", reply ? rreply_text(reply, NULL) : "");
}

static int client_open(void **state)
{
    struct client *c = xcalloc(1, sizeof(*c));
    fake_redis_reset();
    fake_redis_handle(echo, c);
    c->loop = loop_new();
    c->addr = addr_of("10.0.0.1", 6379);
    struct rconn_options options = { .addr = c->addr };
    c->conn = rconn_new(c->loop, &options, note_state, c);
    *state = c;
    return 0;
}

static int client_close(void **state)
{
    struct client *c = *state;
    rconn_free(c->conn);
    loop_free(c->loop);
    free(c);
    return 0;
}

static int send_echo(struct client *c, const char *text, uint64_t token)
{
    const char *words[] = { "ECHO", text };
    return rconn_send(c->conn, 2, words, NULL, 500, note_answer, c, token, NULL);
}

static void pass(int64_t ms)
{
    fake_loop_advance_to(clock_mono_ms() + ms);
}

static void answers_come_in_order_after_the_latency(void **state)
{
    struct client *c = *state;
    assert_int_equal(send_echo(c, "x", 1), XP_UNAVAILABLE);
    fake_redis_set_latency(&c->addr, 100);
    pass(200);
    assert_int_equal(rconn_state(c->conn), RCONN_READY);
    mono_ms start = clock_mono_ms();
    assert_int_equal(send_echo(c, "a", 1), 0);
    fake_redis_set_latency(&c->addr, 10);
    assert_int_equal(send_echo(c, "b", 2), 0);
    pass(300);
    assert_int_equal(c->answers, 2);
    assert_int_equal(c->tokens[0], 1);
    assert_int_equal(c->tokens[1], 2);
    assert_string_equal(c->text, "b");
    assert_true(c->answered_at >= start + 50);
    assert_int_equal(c->ready_count, 1);
}

static void a_mute_redis_times_out_and_does_nothing(void **state)
{
    struct client *c = *state;
    pass(10);
    fake_redis_set(NULL, &c->addr, FAKE_REDIS_MUTE);
    mono_ms start = clock_mono_ms();
    assert_int_equal(send_echo(c, "a", 1), 0);
    pass(600);
    assert_int_equal(c->why, RCONN_TIMED_OUT);
    assert_int_equal(c->answered_at, start + 500);
    assert_int_equal(c->handled, 0);
    assert_int_equal(rconn_state(c->conn), RCONN_WAITING);
}

static void a_lost_reply_was_carried_out(void **state)
{
    struct client *c = *state;
    pass(10);
    fake_redis_set(NULL, &c->addr, FAKE_REDIS_REPLY_LOST);
    assert_int_equal(send_echo(c, "a", 1), 0);
    pass(10);
    assert_int_equal(c->why, RCONN_LOST);
    assert_int_equal(c->handled, 1);
    fake_redis_set(NULL, &c->addr, FAKE_REDIS_REPLY_SILENT);
    pass(1500);
    assert_int_equal(send_echo(c, "a", 2), 0);
    pass(600);
    assert_int_equal(c->why, RCONN_TIMED_OUT);
    assert_int_equal(c->handled, 2);
    assert_int_equal(fake_redis_commands_count(), 2);
}

static void a_dead_redis_is_noticed_and_found_again(void **state)
{
    struct client *c = *state;
    pass(10);
    assert_int_equal(send_echo(c, "a", 1), 0);
    fake_redis_set(NULL, &c->addr, FAKE_REDIS_REFUSES);
    pass(10);
    assert_int_equal(c->why, RCONN_LOST);
    assert_int_equal(rconn_state(c->conn), RCONN_WAITING);
    pass(20000); /* tries after 1, 2, 4, 8, ... s */
    assert_non_null(strstr(rconn_last_error(c->conn), "refused"));
    fake_redis_set(NULL, &c->addr, FAKE_REDIS_UP);
    pass(8100);
    assert_int_equal(rconn_state(c->conn), RCONN_READY);
}

/* A partition: one client's view only. */
static void a_rule_may_be_for_one_client(void **state)
{
    struct client *c = *state;
    struct loop *other = loop_new();
    struct rconn_options options = { .addr = c->addr };
    struct rconn *conn = rconn_new(other, &options, NULL, NULL);
    fake_redis_set(c->loop, &c->addr, FAKE_REDIS_UNREACHABLE);
    pass(3000);
    assert_int_equal(rconn_state(conn), RCONN_READY);
    assert_int_not_equal(rconn_state(c->conn), RCONN_READY);
    assert_string_equal(rconn_last_error(c->conn), "no connection in time");
    rconn_free(conn);
    loop_free(other);
}

static void free_in_answer(const struct rreply *reply, enum rconn_why why, void *arg,
                           uint64_t token)
{
    struct client *c = arg;
    note_answer(reply, why, arg, token);
    rconn_free(TAKE(c->conn));
}

static void a_callback_may_free_the_connection(void **state)
{
    struct client *c = *state;
    const char *words[] = { "ECHO", "x" };
    pass(10);
    assert_int_equal(rconn_send(c->conn, 2, words, NULL, 500, free_in_answer, c, 1, NULL), 0);
    assert_int_equal(send_echo(c, "b", 2), 0);
    pass(10);
    assert_int_equal(c->answers, 2);
    assert_int_equal(c->why, RCONN_CLOSED_BY_US);
    assert_null(c->conn);
}

static void the_pipeline_has_a_limit(void **state)
{
    struct client *c = *state;
    pass(10);
    for (uint64_t i = 0; i < RCONN_PIPELINE_MAX; i++) {
        assert_int_equal(send_echo(c, "x", i), 0);
    }
    assert_int_equal(send_echo(c, "x", 99), XP_TOO_MANY);
    rconn_reconnect(c->conn);
    assert_int_equal(c->answers, RCONN_PIPELINE_MAX);
    assert_int_equal(c->why, RCONN_CLOSED_BY_US);
    pass(10);
    assert_int_equal(rconn_state(c->conn), RCONN_READY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(answers_come_in_order_after_the_latency, client_open,
                                        client_close),
        cmocka_unit_test_setup_teardown(a_mute_redis_times_out_and_does_nothing, client_open,
                                        client_close),
        cmocka_unit_test_setup_teardown(a_lost_reply_was_carried_out, client_open, client_close),
        cmocka_unit_test_setup_teardown(a_dead_redis_is_noticed_and_found_again, client_open,
                                        client_close),
        cmocka_unit_test_setup_teardown(a_rule_may_be_for_one_client, client_open, client_close),
        cmocka_unit_test_setup_teardown(a_callback_may_free_the_connection, client_open,
                                        client_close),
        cmocka_unit_test_setup_teardown(the_pipeline_has_a_limit, client_open, client_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
