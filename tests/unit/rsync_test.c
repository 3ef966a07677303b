/* rsync_test.c - rsync.h against a real redis-server and against servers that misbehave. */
#include "shared/net/rsync.h"

#include "tests/unit/redis_fixture.h"
#include "tests/unit/stretch.h"

#include "shared/base/banned.h"

static struct rsync_options options_for(struct addr addr, int64_t limit_ms)
{
    return (struct rsync_options){ .addr = addr, .deadline = clock_mono_ms() + limit_ms };
}

static void check_text(struct rsync *conn, size_t argc, const char *const *words,
                       const char *expected)
{
    struct xp_err err = { 0 };
    struct rreply *reply = NULL;
    assert_int_equal(rsync_command(conn, argc, words, NULL, &reply, &err), 0);
    assert_string_equal(rreply_text(reply, NULL), expected);
    rreply_free(reply);
}

static void commands_are_answered(void **state)
{
    (void)state;
    struct rsync *conn = NULL;
    struct xp_err err = { 0 };
    struct rsync_options options = options_for(redis.addr, 10000);
    assert_int_equal(rsync_open(&options, &conn, &err), 0);
    check_text(conn, 1, (const char *[]){ "PING" }, "PONG");
    check_text(conn, 2, (const char *[]){ "ECHO", "hello" }, "hello");
    struct rreply *reply = NULL;
    assert_int_equal(rsync_command(conn, 1, (const char *[]){ "NOSUCH" }, NULL, &reply, &err), 0);
    assert_true(rreply_is_error(reply));
    rreply_free(reply);
    rsync_close(conn);
    rsync_close(NULL);
}

static void large_words_and_replies_pass_within_the_limit(void **state)
{
    (void)state;
    enum { SIZE = 3 * 1024 * 1024 };
    struct rsync *conn = NULL;
    struct xp_err err = { 0 };
    struct rreply *reply = NULL;
    char *value = xmalloc(SIZE);
    memset(value, 'v', SIZE);
    const char *words[] = { "ECHO", value };
    const size_t lengths[] = { 4, SIZE };
    struct rsync_options options = options_for(redis.addr, 20000);
    options.reply_max_bytes = SIZE + 100;
    assert_int_equal(rsync_open(&options, &conn, &err), 0);
    assert_int_equal(rsync_command(conn, 2, words, lengths, &reply, &err), 0);
    size_t length = 0;
    assert_memory_equal(rreply_text(reply, &length), value, SIZE);
    assert_int_equal(length, SIZE);
    rreply_free(reply);
    rsync_close(conn);

    options.reply_max_bytes = SIZE - 100;
    assert_int_equal(rsync_open(&options, &conn, &err), 0);
    assert_int_equal(rsync_command(conn, 2, words, lengths, &reply, &err), XP_TOO_LARGE);
    rsync_close(conn);
    free(value);
}

static void passwords_are_sent(void **state)
{
    (void)state;
    struct redis_fixture guarded;
    struct rsync *conn = NULL;
    struct xp_err err = { 0 };
    redis_start(&guarded, "requirepass", "s3cret");
    struct rsync_options options = options_for(guarded.addr, 10000);
    options.password = "s3cret";
    assert_int_equal(rsync_open(&options, &conn, &err), 0);
    check_text(conn, 6, (const char *[]){ "ACL", "SETUSER", "meta", "on", ">pa55", "+acl" }, "OK");
    rsync_close(conn);
    options.user = "meta";
    options.password = "pa55";
    assert_int_equal(rsync_open(&options, &conn, &err), 0);
    check_text(conn, 2, (const char *[]){ "ACL", "WHOAMI" }, "meta");
    rsync_close(conn);
    options.password = "wrong";
    conn = NULL;
    assert_int_equal(rsync_open(&options, &conn, &err), XP_REMOTE);
    assert_null(conn);
    assert_non_null(strstr(err.msg, ADDR_TEXT(&guarded.addr)));
    assert_non_null(strstr(err.msg, "AUTH was refused"));
    assert_null(strstr(err.msg, "wrong"));
    redis_stop(&guarded);
}

/* One command to a scripted server; the result code. */
static int outcome_of(void (*serve)(struct script *, int fd), int64_t limit_ms)
{
    struct script s;
    struct rsync *conn = NULL;
    struct xp_err err = { 0 };
    struct rreply *reply = NULL;
    script_start(&s, serve);
    struct rsync_options options = options_for(s.addr, limit_ms);
    assert_int_equal(rsync_open(&options, &conn, &err), 0);
    int rc = rsync_command(conn, 1, (const char *[]){ "PING" }, NULL, &reply, &err);
    assert_non_null(strstr(err.msg, ADDR_TEXT(&s.addr)));
    assert_null(reply);
    rsync_close(conn);
    script_stop(&s);
    return rc;
}

static void misbehavior_has_its_code(void **state)
{
    (void)state;
    struct stretch s = stretch_begin();
    assert_int_equal(outcome_of(serve_silence, 150), XP_TIMEOUT);
    assert_int_equal(outcome_of(serve_half_reply, 150), XP_TIMEOUT);
    assert_lasted(&s, 300, 5000);
    assert_int_equal(outcome_of(serve_reset, 10000), XP_IO);
    assert_int_equal(outcome_of(serve_garbage, 10000), XP_IO);
    assert_int_equal(outcome_of(serve_huge_bulk, 10000), XP_TOO_LARGE);
    assert_int_equal(outcome_of(serve_endless_line, 10000), XP_TOO_LARGE);
    assert_int_equal(outcome_of(serve_absurd_array, 10000), XP_TOO_LARGE);
}

static void serve_trickle(struct script *s, int fd)
{
    (void)s;
    (void)(script_read(fd) && script_say(fd, "+"));
    while (script_say(fd, "x")) {
        (void)usleep(10000);
    }
}

/* Every byte arrives in time, the answer never does: the deadline is for all of it. */
static void a_trickle_does_not_extend_the_deadline(void **state)
{
    (void)state;
    assert_int_equal(outcome_of(serve_trickle, 200), XP_TIMEOUT);
}

static void failed_connects_have_their_code(void **state)
{
    (void)state;
    struct rsync *conn = NULL;
    struct xp_err err = { 0 };
    struct rsync_options options = options_for(addr_of("127.0.0.1", reserved_port()), 10000);
    assert_int_equal(rsync_open(&options, &conn, &err), XP_IO);
    assert_non_null(strstr(err.msg, "refused"));
    options.addr = addr_of("redis.example", 6379);
    assert_int_equal(rsync_open(&options, &conn, &err), XP_INVALID);
    options = options_for(redis.addr, -1);
    assert_int_equal(rsync_open(&options, &conn, &err), XP_TIMEOUT);
    assert_null(conn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_are_answered),
        cmocka_unit_test(large_words_and_replies_pass_within_the_limit),
        cmocka_unit_test(passwords_are_sent),
        cmocka_unit_test(misbehavior_has_its_code),
        cmocka_unit_test(a_trickle_does_not_extend_the_deadline),
        cmocka_unit_test(failed_connects_have_their_code),
    };
    return cmocka_run_group_tests(tests, redis_up, redis_down);
}
