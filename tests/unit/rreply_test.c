/* rreply_test.c - rreply.h on replies made by hand and by the parser, and the limits of resp.h. */
#include "shared/net/rreply.h"

#include <string.h>

#include "shared/base/mem.h"
#include "shared/net/resp.h"
#include "tests/unit/unit.h"

#include "shared/base/banned.h"

#define MAX_BYTES 4096

static struct rreply *parse(const char *bytes, size_t length)
{
    struct rreply *reply = NULL;
    struct resp_reader *r = resp_reader_new(MAX_BYTES);
    resp_reader_feed(r, bytes, length);
    assert_int_equal(resp_reader_next(r, &reply, NULL), RESP_REPLY);
    assert_true(resp_reader_is_idle(r));
    resp_reader_free(r);
    return reply;
}

static struct rreply *parse_text(const char *text)
{
    return parse(text, strlen(text));
}

static void check_text(struct rreply *take_reply, enum rreply_type type, const char *text)
{
    size_t length = 99;
    assert_int_equal(rreply_type(take_reply), type);
    assert_string_equal(rreply_text(take_reply, &length), text);
    assert_int_equal(length, strlen(text));
    assert_int_equal(rreply_integer(take_reply), 0);
    assert_int_equal(rreply_count(take_reply), 0);
    assert_null(rreply_at(take_reply, 0));
    assert_int_equal(rreply_is_error(take_reply), type == RREPLY_ERROR);
    rreply_free(take_reply);
}

static void texts_are_read(void **state)
{
    (void)state;
    check_text(parse_text("+OK\r\n"), RREPLY_STATUS, "OK");
    check_text(parse_text("-ERR no\r\n"), RREPLY_ERROR, "ERR no");
    check_text(parse_text("$5\r\nhello\r\n"), RREPLY_BULK, "hello");
    check_text(parse_text("$0\r\n\r\n"), RREPLY_BULK, "");
    check_text(parse_text("$-1\r\n"), RREPLY_NIL, "");
    check_text(rreply_new_text(RREPLY_STATUS, "OK", 2), RREPLY_STATUS, "OK");
    check_text(rreply_new_text(RREPLY_ERROR, "ERR no", 6), RREPLY_ERROR, "ERR no");
    check_text(rreply_new_text(RREPLY_NIL, "", 0), RREPLY_NIL, "");
}

static void bytes_may_hold_nuls(void **state)
{
    (void)state;
    size_t length = 0;
    struct rreply *reply = parse("$3\r\na\0b\r\n", 9);
    assert_memory_equal(rreply_text(reply, &length), "a\0b", 4);
    assert_int_equal(length, 3);
    rreply_free(reply);
}

static void check_tree(struct rreply *take_reply)
{
    assert_int_equal(rreply_type(take_reply), RREPLY_ARRAY);
    assert_int_equal(rreply_count(take_reply), 2);
    assert_int_equal(rreply_integer(rreply_at(take_reply, 0)), -7);
    const struct rreply *inner = rreply_at(take_reply, 1);
    assert_int_equal(rreply_count(inner), 1);
    assert_string_equal(rreply_text(rreply_at(inner, 0), NULL), "x");
    assert_null(rreply_at(take_reply, 2));
    assert_string_equal(rreply_text(take_reply, NULL), "");
    rreply_free(take_reply);
}

static void trees_are_read(void **state)
{
    (void)state;
    check_tree(parse_text("*2\r\n:-7\r\n*1\r\n$1\r\nx\r\n"));
    struct rreply *leaf = rreply_new_text(RREPLY_BULK, "x", 1);
    struct rreply *inner = rreply_new_array(&leaf, 1);
    struct rreply *both[2] = { rreply_new_integer(-7), inner };
    check_tree(rreply_new_array(both, 2));
    rreply_free(rreply_new_array(NULL, 0));
    rreply_free(NULL);
}

/* crdt-redis.md 4, sample S12: what ROLE answers, byte for byte. */
static void role_answers_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *wire, *role;
        size_t count;
    } rows[] = {
        { "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n", "master", 3 },
        { "*3\r\n$6\r\nmaster\r\n:456\r\n*1\r\n*3\r\n$9\r\n127.0.0.1\r\n$5\r\n17002\r\n$"
          "3\r\n456\r\n",
          "master", 3 },
        { "*5\r\n$5\r\nslave\r\n$9\r\n127.0.0.1\r\n:17001\r\n$9\r\nconnected\r\n:456\r\n", "slave",
          5 },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct rreply *reply = parse_text(rows[i].wire);
        size_t length;
        assert_int_equal(rreply_type(reply), RREPLY_ARRAY);
        assert_int_equal(rreply_count(reply), rows[i].count);
        assert_string_equal(rreply_text(rreply_at(reply, 0), &length), rows[i].role);
        assert_int_equal(length, strlen(rows[i].role));
        rreply_free(reply);
    }
}

static bool first_word_is(const char *wire, const char *word)
{
    struct rreply *reply = parse_text(wire);
    bool answer = rreply_first_word_is(reply, word);
    rreply_free(reply);
    return answer;
}

static void the_first_word_tells_success(void **state)
{
    (void)state;
    assert_true(first_word_is("+OK\r\n", "OK"));
    assert_true(first_word_is("+OK Already connected\r\n", "OK"));
    assert_true(first_word_is("$2\r\nOK\r\n", "OK"));
    assert_false(first_word_is("+OKAY\r\n", "OK"));
    assert_false(first_word_is("+ok\r\n", "OK"));
    assert_false(first_word_is("+O\r\n", "OK"));
    assert_false(first_word_is("-OK\r\n", "OK"));
    assert_false(first_word_is(":1\r\n", "OK"));
    assert_false(rreply_first_word_is(NULL, "OK"));
    assert_true(rreply_is_error(NULL));
}

/* ---- resp.h ---- */

static void commands_are_encoded(void **state)
{
    (void)state;
    const char *words[] = { "SET", "a\0b", "" };
    const size_t lengths[] = { 3, 3, 0 };
    static const char expected[] = "*3\r\n$3\r\nSET\r\n$3\r\na\0b\r\n$0\r\n\r\n";
    struct str out = STR_INIT(1000);
    resp_command_add(&out, 3, words, lengths);
    assert_int_equal(out.len, sizeof(expected) - 1);
    assert_memory_equal(out.buf, expected, sizeof(expected));
    assert_int_equal(resp_command_size(3, words, lengths), out.len);
    str_clear(&out);
    const char *texts[] = { "0123456789", "x" };
    resp_command_add(&out, 2, texts, NULL);
    assert_string_equal(str_text(&out), "*2\r\n$10\r\n0123456789\r\n$1\r\nx\r\n");
    assert_int_equal(resp_command_size(2, texts, NULL), out.len);
    str_done(&out);
}

static void a_reply_may_come_in_pieces(void **state)
{
    (void)state;
    static const char wire[] = "*2\r\n$3\r\nabc\r\n:5\r\n+next\r\n";
    struct rreply *reply = NULL;
    struct resp_reader *r = resp_reader_new(MAX_BYTES);
    int replies = 0;
    for (size_t i = 0; i < sizeof(wire) - 1; i++) {
        assert_int_equal(resp_reader_is_idle(r), i == 0 || i == 17);
        resp_reader_feed(r, wire + i, 1);
        int rc = resp_reader_next(r, &reply, NULL);
        if (rc == RESP_REPLY) {
            replies++;
            rreply_free(reply);
        } else {
            assert_int_equal(rc, RESP_INCOMPLETE);
        }
    }
    assert_int_equal(replies, 2);
    resp_reader_free(r);
}

static void check_refused(const char *wire, size_t filler, int code)
{
    struct xp_err err = { 0 };
    struct rreply *reply = NULL;
    struct resp_reader *r = resp_reader_new(MAX_BYTES);
    resp_reader_feed(r, wire, strlen(wire));
    for (size_t i = 0; i < filler; i++) {
        resp_reader_feed(r, "x", 1);
    }
    assert_int_equal(resp_reader_next(r, &reply, &err), code);
    assert_int_equal(err.code, code);
    assert_null(reply);
    resp_reader_free(r);
}

static void limits_hold(void **state)
{
    (void)state;
    check_refused("$536870911\r\n", MAX_BYTES, XP_TOO_LARGE);
    check_refused("+", MAX_BYTES, XP_TOO_LARGE);
    check_refused("*2147483647\r\n", 0, XP_TOO_LARGE);
    check_refused("*1\r\n*1000000\r\n", 0, XP_TOO_LARGE);
    check_refused("hello\r\n", 0, XP_IO);
    check_refused("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n", 0, XP_IO);
}

/* The limit is for one reply: many small ones in one segment are fine, a complete one that is too large is not. */
static void the_limit_counts_one_reply(void **state)
{
    (void)state;
    struct rreply *reply = NULL;
    struct resp_reader *r = resp_reader_new(MAX_BYTES);
    for (int i = 0; i < 2000; i++) {
        resp_reader_feed(r, "+PONG\r\n", 7);
    }
    for (int i = 0; i < 2000; i++) {
        assert_int_equal(resp_reader_next(r, &reply, NULL), RESP_REPLY);
        rreply_free(reply);
    }
    char big[MAX_BYTES + 100];
    memset(big, 'x', sizeof(big));
    resp_reader_feed(r, "+", 1);
    resp_reader_feed(r, big, sizeof(big));
    resp_reader_feed(r, "\r\n", 2);
    assert_int_equal(resp_reader_next(r, &reply, NULL), XP_TOO_LARGE);
    resp_reader_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_read),
        cmocka_unit_test(bytes_may_hold_nuls),
        cmocka_unit_test(trees_are_read),
        cmocka_unit_test(role_answers_are_read),
        cmocka_unit_test(the_first_word_tells_success),
        cmocka_unit_test(commands_are_encoded),
        cmocka_unit_test(a_reply_may_come_in_pieces),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(the_limit_counts_one_reply),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
