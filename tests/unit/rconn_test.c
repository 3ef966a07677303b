/* rconn_test.c - rconn.h against a real redis-server and against servers that misbehave. */
#include "shared/net/rconn.h"

#include <sys/resource.h>

#include "shared/base/log.h"
#include "tests/unit/redis_fixture.h"
#include "tests/unit/stretch.h"

#include "shared/base/banned.h"

#define LIMIT_MS 20000
#define ANSWERS  256

struct client {
    struct loop *loop;
    struct rconn *conn;
    int answer_count;
    enum rconn_why whys[ANSWERS];
    uint64_t tokens[ANSWERS];
    char texts[ANSWERS][64]; /* of the replies */
    mono_ms answered_at;
    enum rconn_state states[ANSWERS];
    int state_count;
    int wanted; /* answers to wait for */
};

static void note_state(struct rconn *conn, enum rconn_state state, void *arg)
{
    struct client *c = arg;
    (void)conn;
    c->states[c->state_count++ % ANSWERS] = state;
}

static void client_open_with(struct client *c, const struct rconn_options *options)
{
    *c = (struct client){ .loop = loop_new() };
    c->conn = rconn_new(c->loop, options, note_state, c);
}

static void client_open(struct client *c, struct addr addr)
{
    struct rconn_options options = { .addr = addr };
    client_open_with(c, &options);
}

static void client_close(struct client *c)
{
    rconn_free(c->conn);
    loop_free(c->loop);
}

static void note_answer(const struct rreply *reply, enum rconn_why why, void *arg, uint64_t token)
{
    struct client *c = arg;
    assert_int_equal(reply != NULL, why == RCONN_ANSWERED);
    assert_true(c->answer_count < ANSWERS);
    c->whys[c->answer_count] = why;
    c->tokens[c->answer_count] = token;
    if (reply) {
        (void)snprintf(c->texts[c->answer_count], sizeof(c->texts[0]), "%s",
                       rreply_text(reply, NULL));
    }
    c->answer_count++;
    c->answered_at = loop_now(c->loop);
}

static bool is_ready(void *arg)
{
    return rconn_state(((struct client *)arg)->conn) == RCONN_READY;
}

static bool is_answered(void *arg)
{
    struct client *c = arg;
    return c->answer_count >= c->wanted;
}

static bool has_error(void *arg)
{
    return rconn_last_error(((struct client *)arg)->conn)[0] != '\0';
}

static int send_words(struct client *c, int64_t timeout_ms, uint64_t token, size_t argc,
                      const char *const *words)
{
    struct xp_err err;
    return rconn_send(c->conn, argc, words, NULL, timeout_ms, note_answer, c, token, &err);
}

#define SEND(c, timeout_ms, token, ...)                                                            \
    send_words((c), (timeout_ms), (token),                                                         \
               sizeof((const char *[]){ __VA_ARGS__ }) / sizeof(char *),                           \
               (const char *[]){ __VA_ARGS__ })

static void wait_ready(struct client *c)
{
    assert_true(loop_wait(c->loop, is_ready, c, LIMIT_MS));
}

static void wait_answers(struct client *c, int count)
{
    c->wanted = count;
    assert_true(loop_wait(c->loop, is_answered, c, LIMIT_MS));
    assert_int_equal(c->answer_count, count);
}

/* ---- with a real Redis ---- */

static void commands_are_answered(void **state)
{
    (void)state;
    struct client c;
    client_open(&c, redis.addr);
    assert_int_equal(rconn_state(c.conn), RCONN_WAITING);
    assert_int_equal(SEND(&c, 1000, 1, "PING"), XP_UNAVAILABLE);
    assert_int_equal(rconn_ready_since(c.conn), MONO_NEVER);
    wait_ready(&c);
    assert_int_equal(c.state_count, 2);
    assert_int_equal(c.states[0], RCONN_CONNECTING);
    assert_int_equal(c.states[1], RCONN_READY);
    assert_true(rconn_ready_since(c.conn) <= clock_mono_ms());
    assert_int_equal(SEND(&c, 5000, 7, "PING"), 0);
    assert_int_equal(c.answer_count, 0); /* never inside of rconn_send */
    wait_answers(&c, 1);
    assert_string_equal(c.texts[0], "PONG");
    assert_int_equal(c.tokens[0], 7);
    assert_int_equal(SEND(&c, 5000, 8, "NOSUCHCOMMAND"), 0);
    wait_answers(&c, 2);
    assert_int_equal(c.whys[1], RCONN_ANSWERED); /* an error is an answer */
    assert_non_null(strstr(c.texts[1], "ERR"));
    assert_string_equal(rconn_last_error(c.conn), "");
    client_close(&c);
}

static void pipelined_answers_keep_their_order(void **state)
{
    (void)state;
    struct client c;
    struct xp_err err = { 0 };
    client_open(&c, redis.addr);
    wait_ready(&c);
    for (uint64_t i = 0; i < RCONN_PIPELINE_MAX; i++) {
        char text[16];
        (void)snprintf(text, sizeof(text), "n%d", (int)i);
        assert_int_equal(SEND(&c, 10000, i, "ECHO", text), 0);
    }
    const char *words[] = { "PING" };
    assert_int_equal(rconn_send(c.conn, 1, words, NULL, 1000, note_answer, &c, 99, &err),
                     XP_TOO_MANY);
    assert_non_null(strstr(err.msg, "64"));
    wait_answers(&c, RCONN_PIPELINE_MAX);
    for (int i = 0; i < RCONN_PIPELINE_MAX; i++) {
        char text[16];
        (void)snprintf(text, sizeof(text), "n%d", i);
        assert_int_equal(c.tokens[i], i);
        assert_string_equal(c.texts[i], text);
    }
    assert_int_equal(SEND(&c, 1000, 1, "PING"), 0);
    wait_answers(&c, RCONN_PIPELINE_MAX + 1);
    client_close(&c);
}

/* More than a socket buffer holds: the write event does the rest. */
static void large_words_are_sent_in_pieces(void **state)
{
    (void)state;
    enum { SIZE = 400 * 1024 };
    struct client c;
    char *value = xmalloc(SIZE);
    memset(value, 'v', SIZE);
    const char *words[] = { "SET", "k\0y", value };
    const size_t lengths[] = { 3, 3, SIZE };
    const char *ask[] = { "STRLEN", "k\0y" };
    client_open(&c, redis.addr);
    wait_ready(&c);
    assert_int_equal(rconn_send(c.conn, 3, words, lengths, 20000, note_answer, &c, 1, NULL), 0);
    assert_int_equal(rconn_send(c.conn, 3, words, lengths, 20000, note_answer, &c, 2, NULL), 0);
    int rc = rconn_send(c.conn, 3, words, lengths, 20000, note_answer, &c, 3, NULL);
    assert_true(rc == 0 || rc == XP_TOO_MANY); /* depends on what the socket took */
    assert_int_equal(rconn_send(c.conn, 2, ask, lengths, 20000, note_answer, &c, 4, NULL), 0);
    wait_answers(&c, rc == 0 ? 4 : 3);
    assert_string_equal(c.texts[0], "OK");
    client_close(&c);
    free(value);
}

static void passwords_are_sent(void **state)
{
    (void)state;
    struct redis_fixture guarded;
    struct client c;
    redis_start(&guarded, "requirepass", "s3cret");
    struct rconn_options options = { .addr = guarded.addr, .password = "s3cret", .user = "" };
    client_open_with(&c, &options);
    wait_ready(&c);
    assert_int_equal(SEND(&c, 5000, 1, "ACL", "SETUSER", "meta", "on", ">pa55", "+ping", "+acl"),
                     0);
    wait_answers(&c, 1);
    assert_string_equal(c.texts[0], "OK");
    client_close(&c);

    options.user = "meta";
    options.password = "pa55";
    client_open_with(&c, &options);
    wait_ready(&c);
    assert_int_equal(SEND(&c, 5000, 1, "ACL", "WHOAMI"), 0);
    wait_answers(&c, 1);
    assert_string_equal(c.texts[0], "meta");
    client_close(&c);

    options.password = "wrong";
    client_open_with(&c, &options);
    assert_true(loop_wait(c.loop, has_error, &c, LIMIT_MS));
    assert_non_null(strstr(rconn_last_error(c.conn), "AUTH was refused: WRONGPASS"));
    assert_int_equal(rconn_state(c.conn), RCONN_WAITING);
    client_close(&c);
    redis_stop(&guarded);
}

static void a_server_that_is_full_is_named(void **state)
{
    (void)state;
    struct redis_fixture full;
    struct client first;
    redis_start(&full, "maxclients", "1");
    client_open(&first, full.addr);
    wait_ready(&first);
    struct client second;
    client_open(&second, full.addr);
    assert_true(loop_wait(second.loop, has_error, &second, LIMIT_MS));
    assert_non_null(strstr(rconn_last_error(second.conn), "max number of clients"));
    client_close(&second);
    client_close(&first);
    redis_stop(&full);
}

/* ---- reconnecting, freeing ---- */

static void reconnect_is_immediate_and_answers_what_waits(void **state)
{
    (void)state;
    struct client c;
    client_open(&c, redis.addr);
    wait_ready(&c);
    assert_int_equal(SEND(&c, 5000, 1, "PING"), 0);
    rconn_reconnect(c.conn);
    assert_int_equal(c.answer_count, 1);
    assert_int_equal(c.whys[0], RCONN_CLOSED_BY_US);
    struct stretch s = stretch_begin();
    wait_ready(&c);
    assert_lasted(&s, 0, 900); /* less than the first back-off */
    assert_int_equal(SEND(&c, 5000, 2, "PING"), 0);
    wait_answers(&c, 2);
    assert_string_equal(c.texts[1], "PONG");
    client_close(&c);
}

static void corked_commands_are_written_together(void **state)
{
    (void)state;
    char bytes[256];
    int port = 0;
    int listening = listen_on_free_port(4, &port);
    struct client c;
    client_open(&c, addr_of("127.0.0.1", port));
    wait_ready(&c);
    int server = accept(listening, NULL, NULL);
    assert_true(server >= 0);
    rconn_cork(c.conn);
    assert_int_equal(SEND(&c, 5000, 1, "PING"), 0);
    assert_int_equal(SEND(&c, 5000, 2, "ROLE"), 0);
    assert_int_equal(recv(server, bytes, sizeof(bytes), MSG_DONTWAIT), -1);
    rconn_uncork(c.conn);
    const char both[] = "*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nROLE\r\n";
    assert_int_equal(recv(server, bytes, sizeof(bytes), 0), sizeof(both) - 1);
    assert_memory_equal(bytes, both, sizeof(both) - 1);
    rconn_cork(c.conn);
    rconn_uncork(c.conn); /* nothing waits */
    assert_int_equal(SEND(&c, 5000, 3, "PING"), 0);
    assert_int_equal(recv(server, bytes, sizeof(bytes), 0), sizeof(both) / 2);
    (void)close(server);
    (void)close(listening);
    client_close(&c);
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
    (void)state;
    struct client c;
    const char *words[] = { "PING" };
    client_open(&c, redis.addr);
    wait_ready(&c);
    for (uint64_t i = 0; i < 5; i++) {
        assert_int_equal(rconn_send(c.conn, 1, words, NULL, 5000,
                                    i == 1 ? free_in_answer : note_answer, &c, i, NULL),
                         0);
    }
    wait_answers(&c, 5);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(c.tokens[i], i);
        assert_int_equal(c.whys[i], i <= 1 ? RCONN_ANSWERED : RCONN_CLOSED_BY_US);
    }
    client_close(&c);
}

static void use_while_freed(const struct rreply *reply, enum rconn_why why, void *arg,
                            uint64_t token)
{
    struct client *c = arg;
    note_answer(reply, why, arg, token);
    assert_int_equal(SEND(c, 1000, 9, "PING"), XP_UNAVAILABLE);
    rconn_reconnect(c->conn);
    rconn_free(c->conn); /* already under way: nothing */
}

static void freeing_answers_first(void **state)
{
    (void)state;
    struct client c;
    const char *words[] = { "PING" };
    client_open(&c, redis.addr);
    wait_ready(&c);
    assert_int_equal(rconn_send(c.conn, 1, words, NULL, 5000, use_while_freed, &c, 1, NULL), 0);
    assert_int_equal(SEND(&c, 5000, 2, "PING"), 0);
    rconn_free(c.conn);
    assert_int_equal(c.answer_count, 2);
    assert_int_equal(c.whys[1], RCONN_CLOSED_BY_US);
    c.conn = NULL;
    client_close(&c);
}

static void reconnect_in_answer(const struct rreply *reply, enum rconn_why why, void *arg,
                                uint64_t token)
{
    struct client *c = arg;
    note_answer(reply, why, arg, token);
    rconn_reconnect(c->conn);
}

static void a_callback_may_reconnect(void **state)
{
    (void)state;
    struct client c;
    const char *words[] = { "PING" };
    client_open(&c, redis.addr);
    wait_ready(&c);
    assert_int_equal(rconn_send(c.conn, 1, words, NULL, 5000, reconnect_in_answer, &c, 1, NULL), 0);
    assert_int_equal(SEND(&c, 5000, 2, "PING"), 0);
    wait_answers(&c, 2);
    assert_int_equal(c.whys[1], RCONN_CLOSED_BY_US);
    wait_ready(&c);
    assert_int_equal(SEND(&c, 5000, 3, "PING"), 0);
    wait_answers(&c, 3);
    assert_int_equal(c.whys[2], RCONN_ANSWERED);
    client_close(&c);
}

/* ---- servers that misbehave ---- */

/* A command with this limit to a scripted server; returns how it ended, the error stays in 'error' (160 bytes). */
static enum rconn_why outcome_in(int64_t limit_ms, void (*serve)(struct script *, int fd),
                                 char *error)
{
    struct script s;
    struct client c;
    script_start(&s, serve);
    client_open(&c, s.addr);
    wait_ready(&c);
    assert_int_equal(SEND(&c, limit_ms, 1, "PING"), 0);
    assert_int_equal(SEND(&c, LIMIT_MS, 2, "PING"), 0);
    wait_answers(&c, 2);
    assert_int_equal(c.whys[0], c.whys[1]);
    assert_int_equal(rconn_state(c.conn), RCONN_WAITING);
    (void)snprintf(error, 160, "%s", rconn_last_error(c.conn));
    enum rconn_why why = c.whys[0];
    client_close(&c);
    script_stop(&s);
    return why;
}

/* For servers that say something wrong: not how soon. */
static enum rconn_why outcome_of(void (*serve)(struct script *, int fd), char *error)
{
    return outcome_in(LIMIT_MS, serve, error);
}

static void silence_ends_at_the_deadline(void **state)
{
    (void)state;
    char error[160];
    assert_int_equal(outcome_in(300, serve_silence, error), RCONN_TIMED_OUT);
    assert_string_equal(error, "no answer in time");
    assert_int_equal(outcome_in(300, serve_half_reply, error), RCONN_TIMED_OUT);
}

static void a_reset_is_a_loss(void **state)
{
    (void)state;
    char error[160];
    assert_int_equal(outcome_of(serve_reset, error), RCONN_LOST);
    assert_true(error[0] != '\0');
}

static void garbage_is_a_bad_reply(void **state)
{
    (void)state;
    char error[160];
    assert_int_equal(outcome_of(serve_garbage, error), RCONN_BAD_REPLY);
    assert_non_null(strstr(error, "not the Redis protocol"));
}

static long resident_peak_kb(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

static void oversized_replies_are_cut_off(void **state)
{
    (void)state;
    char error[160];
    long before_kb = resident_peak_kb();
    assert_int_equal(outcome_of(serve_huge_bulk, error), RCONN_BAD_REPLY);
    assert_non_null(strstr(error, "larger than 1048576 bytes"));
    assert_int_equal(outcome_of(serve_endless_line, error), RCONN_BAD_REPLY);
    assert_int_equal(outcome_of(serve_absurd_array, error), RCONN_BAD_REPLY);
    assert_true(resident_peak_kb() - before_kb < 64 * 1024);
}

/* hiredis' own asynchronous context ends the process here. */
static void an_unasked_answer_closes_the_connection(void **state)
{
    (void)state;
    struct script s;
    struct client c;
    script_start(&s, serve_unasked);
    client_open(&c, s.addr);
    assert_true(loop_wait(c.loop, has_error, &c, LIMIT_MS));
    assert_non_null(strstr(rconn_last_error(c.conn), "nobody asked for"));
    client_close(&c);
    script_stop(&s);
}

static void a_refused_connect_is_named(void **state)
{
    (void)state;
    struct client c;
    client_open(&c, addr_of("127.0.0.1", reserved_port()));
    assert_true(loop_wait(c.loop, has_error, &c, LIMIT_MS));
    assert_non_null(strstr(rconn_last_error(c.conn), "refused"));
    client_close(&c);
    client_open(&c, addr_of("redis.example", 6379));
    assert_true(loop_wait(c.loop, has_error, &c, LIMIT_MS));
    assert_non_null(strstr(rconn_last_error(c.conn), "not numeric"));
    client_close(&c);
}

/* A full accept queue drops SYNs: the connect neither succeeds nor fails. */
static void a_connect_has_a_limit(void **state)
{
    (void)state;
    int port = 0;
    int fd = listen_on_free_port(0, &port);
    int filler[3];
    struct sockaddr_in to = loopback(port);
    for (size_t i = 0; i < ARRAY_LEN(filler); i++) {
        filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)connect(filler[i], (struct sockaddr *)&to, sizeof(to));
    }
    struct client c;
    struct rconn_options options = { .addr = addr_of("127.0.0.1", port),
                                     .connect_timeout_ms = 150 };
    client_open_with(&c, &options);
    assert_true(loop_wait(c.loop, has_error, &c, LIMIT_MS));
    assert_string_equal(rconn_last_error(c.conn), "no connection within 150 ms");
    client_close(&c);
    for (size_t i = 0; i < ARRAY_LEN(filler); i++) {
        (void)close(filler[i]);
    }
    (void)close(fd);
}

static void an_unanswered_auth_has_the_same_limit(void **state)
{
    (void)state;
    struct script s;
    struct client c;
    script_start(&s, serve_silence);
    struct rconn_options options = { .addr = s.addr, .connect_timeout_ms = 150, .password = "x" };
    client_open_with(&c, &options);
    assert_true(loop_wait(c.loop, has_error, &c, LIMIT_MS));
    assert_string_equal(rconn_last_error(c.conn), "no answer to AUTH within 150 ms");
    client_close(&c);
    script_stop(&s);
}

static bool has_ponged; /* atomic */

static void serve_told_pong(struct script *s, int fd)
{
    (void)s;
    if (script_read(fd) && script_say(fd, "+PONG\r\n")) {
        __atomic_store_n(&has_ponged, true, __ATOMIC_RELEASE);
        script_read_to_end(fd);
    }
}

/* Both the reply and the deadline are there when the process wakes up: the reply wins. */
static void a_reply_that_arrived_during_a_stall_counts(void **state)
{
    (void)state;
    struct script s;
    struct client c;
    script_start(&s, serve_told_pong);
    client_open(&c, s.addr);
    wait_ready(&c);
    assert_int_equal(SEND(&c, 50, 1, "PING"), 0);
    mono_ms deadline = clock_mono_ms() + 60;
    mono_ms limit = clock_mono_ms() + LIMIT_MS;
    while (!__atomic_load_n(&has_ponged, __ATOMIC_ACQUIRE) || clock_mono_ms() < deadline) {
        assert_true(clock_mono_ms() < limit);
        (void)usleep(1000);
    }
    wait_answers(&c, 1);
    assert_int_equal(c.whys[0], RCONN_ANSWERED);
    client_close(&c);
    script_stop(&s);
}

/* ---- back-off ---- */

static bool served_three(void *arg)
{
    return script_served(arg) >= 3;
}

static void check_gap(const struct stretch *stretch, const struct script *s, int number,
                      int64_t expected_ms)
{
    int64_t gap_ms = s->served_at[number] - s->served_at[number - 1];
    int64_t late_ms = stretch_allowance_ms(stretch); /* the first of the two may have been late */
    assert_took(stretch, gap_ms, expected_ms * 9 / 10 - 50 - late_ms, expected_ms * 11 / 10 + 700);
}

static void the_back_off_doubles_without_a_reply(void **state)
{
    (void)state;
    struct script s;
    struct client c;
    struct stretch stretch = stretch_begin();
    script_start(&s, serve_goodbye);
    client_open(&c, s.addr);
    assert_true(loop_wait(c.loop, served_three, &s, LIMIT_MS));
    check_gap(&stretch, &s, 1, 1000);
    check_gap(&stretch, &s, 2, 2000);
    client_close(&c);
    script_stop(&s);
}

static void serve_one_pong(struct script *s, int fd)
{
    (void)s;
    if (script_read(fd)) {
        (void)script_say(fd, "+PONG\r\n");
    }
}

static void ping_when_ready(struct rconn *conn, enum rconn_state state, void *arg)
{
    const char *words[] = { "PING" };
    if (state == RCONN_READY) {
        assert_int_equal(rconn_send(conn, 1, words, NULL, 5000, note_answer, arg, 0, NULL), 0);
    }
}

static void a_reply_resets_the_back_off(void **state)
{
    (void)state;
    struct script s;
    struct client c = { .loop = loop_new() };
    struct stretch stretch = stretch_begin();
    script_start(&s, serve_one_pong);
    struct rconn_options options = { .addr = s.addr };
    c.conn = rconn_new(c.loop, &options, ping_when_ready, &c);
    assert_true(loop_wait(c.loop, served_three, &s, LIMIT_MS));
    check_gap(&stretch, &s, 1, 1000);
    check_gap(&stretch, &s, 2, 1000);
    client_close(&c);
    script_stop(&s);
}

/* ---- many ---- */

enum { MANY = 450 };

struct crowd {
    struct rconn *conns[MANY];
    int ready;
    int connecting;
    int connecting_peak;
    int lost;
    enum rconn_state last[MANY];
};

struct member {
    struct crowd *crowd;
    int index;
};

static void crowd_state(struct rconn *conn, enum rconn_state state, void *arg)
{
    struct member *m = arg;
    struct crowd *k = m->crowd;
    (void)conn;
    k->connecting += (state == RCONN_CONNECTING) - (k->last[m->index] == RCONN_CONNECTING);
    k->ready += (state == RCONN_READY) - (k->last[m->index] == RCONN_READY);
    k->connecting_peak = k->connecting > k->connecting_peak ? k->connecting : k->connecting_peak;
    k->last[m->index] = state;
}

static bool crowd_is_ready(void *arg)
{
    return ((struct crowd *)arg)->ready == MANY;
}

static void connects_under_way_are_limited(void **state)
{
    (void)state;
    struct loop *l = loop_new();
    struct crowd k = { .ready = 0 };
    struct member members[MANY];
    for (int i = 0; i < MANY; i++) {
        struct rconn_options options = { .addr = redis.addr };
        members[i] = (struct member){ &k, i };
        k.conns[i] = rconn_new(l, &options, crowd_state, &members[i]);
    }
    assert_true(loop_wait(l, crowd_is_ready, &k, LIMIT_MS));
    assert_int_equal(k.connecting_peak, 200);
    for (int i = 0; i < MANY; i++) {
        rconn_free(k.conns[i]);
    }
    loop_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_are_answered),
        cmocka_unit_test(pipelined_answers_keep_their_order),
        cmocka_unit_test(large_words_are_sent_in_pieces),
        cmocka_unit_test(passwords_are_sent),
        cmocka_unit_test(a_server_that_is_full_is_named),
        cmocka_unit_test(reconnect_is_immediate_and_answers_what_waits),
        cmocka_unit_test(corked_commands_are_written_together),
        cmocka_unit_test(a_callback_may_free_the_connection),
        cmocka_unit_test(freeing_answers_first),
        cmocka_unit_test(a_callback_may_reconnect),
        cmocka_unit_test(silence_ends_at_the_deadline),
        cmocka_unit_test(a_reset_is_a_loss),
        cmocka_unit_test(garbage_is_a_bad_reply),
        cmocka_unit_test(oversized_replies_are_cut_off),
        cmocka_unit_test(an_unasked_answer_closes_the_connection),
        cmocka_unit_test(a_refused_connect_is_named),
        cmocka_unit_test(a_connect_has_a_limit),
        cmocka_unit_test(an_unanswered_auth_has_the_same_limit),
        cmocka_unit_test(a_reply_that_arrived_during_a_stall_counts),
        cmocka_unit_test(the_back_off_doubles_without_a_reply),
        cmocka_unit_test(a_reply_resets_the_back_off),
        cmocka_unit_test(connects_under_way_are_limited),
    };
    return cmocka_run_group_tests(tests, redis_up, redis_down);
}
