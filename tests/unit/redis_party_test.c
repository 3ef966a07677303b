/* redis_party_test.c - rounds of commands against real Redis, a port where nobody listens, and one that never answers. */
#include "shared/switch/redis_party.h"

#include <string.h>

#include "tests/unit/redis_fixture.h"
#include "tests/unit/stretch.h"

#include "shared/base/banned.h"

#define LIMIT_MS    20000
#define DEADLINE_MS 300
#define PLENTY_MS   10000

enum { ALIVE, OTHER, REFUSED, SILENT, MEMBERS };

struct guests {
    struct loop *loop;
    struct redis_party *party;
    struct addr addrs[MEMBERS];
    int rounds; /* that are over */
    size_t count;
    char texts[PARTY_ORDERS_MAX][64];
    enum rconn_why whys[PARTY_ORDERS_MAX];
    bool frees;   /* the callback frees the party */
    int repeats;  /* the callback starts this many rounds more */
    mono_ms took; /* the last round */
    mono_ms started;
    struct stretch stretch;
};

static struct redis_fixture first;
static struct redis_fixture second;
static struct script silent;

static int servers_start(void **state)
{
    (void)state;
    redis_start(&first, NULL, NULL);
    redis_start(&second, NULL, NULL);
    script_start(&silent, serve_silence);
    return 0;
}

static int servers_stop(void **state)
{
    (void)state;
    script_stop(&silent);
    redis_stop(&first);
    redis_stop(&second);
    return 0;
}

static void open_party(struct guests *g, const char *password, const char *name)
{
    *g = (struct guests){ .loop = loop_new() };
    g->addrs[ALIVE] = first.addr;
    g->addrs[OTHER] = second.addr;
    g->addrs[REFUSED] = addr_of("127.0.0.1", reserved_port());
    g->addrs[SILENT] = silent.addr;
    struct redis_party_options options = {
        .loop = g->loop,
        .addrs = g->addrs,
        .count = MEMBERS,
        .password = password,
        .client_name = name,
        .connect_timeout_ms = 5000,
    };
    g->party = redis_party_new(&options);
}

static void close_party(struct guests *g)
{
    redis_party_free(g->party);
    loop_free(g->loop);
}

static const struct party_order ping = { .member = ALIVE, .words = { "PING" }, .count = 1 };

static void note(const struct party_answer *answers, size_t count, void *arg)
{
    struct guests *g = arg;
    g->count = count;
    g->rounds++;
    g->took = loop_now(g->loop) - g->started;
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(answers[i].reply != NULL, answers[i].why == RCONN_ANSWERED);
        g->whys[i] = answers[i].why;
        (void)snprintf(g->texts[i], sizeof(g->texts[i]), "%s",
                       answers[i].reply ? rreply_text(answers[i].reply, NULL) : "");
    }
    if (g->frees) {
        redis_party_free(TAKE(g->party));
    } else if (g->repeats-- > 0) {
        redis_party_round(g->party, &ping, 1, loop_now(g->loop) + PLENTY_MS, note, g);
    }
}

static bool is_over(void *arg)
{
    struct guests *g = arg;
    return g->rounds > 0 && g->repeats <= 0;
}

static void run_round(struct guests *g, const struct party_order *orders, size_t count,
                      int64_t deadline_ms)
{
    g->rounds = 0;
    g->started = loop_now(g->loop);
    g->stretch = stretch_begin();
    redis_party_round(g->party, orders, count, g->started + deadline_ms, note, g);
    assert_int_equal(g->rounds, 0); /* never inside the call */
    assert_true(loop_wait(g->loop, is_over, g, LIMIT_MS));
}

static void answers_come_together_in_the_order_of_the_orders(void **state)
{
    (void)state;
    struct guests g;
    open_party(&g, NULL, NULL);
    const struct party_order orders[] = {
        { OTHER, { "ECHO", "b" }, 2 },
        { ALIVE, { "ECHO", "a" }, 2 },
        { ALIVE, { "NOSUCHWORD" }, 1 },
        { OTHER, { "SET", "x", "1" }, 3 },
    };
    for (int i = 0; i < 3; i++) { /* the same connections */
        run_round(&g, orders, 4, PLENTY_MS);
        assert_int_equal(g.count, 4);
        assert_string_equal(g.texts[0], "b");
        assert_string_equal(g.texts[1], "a");
        assert_memory_equal(g.texts[2], "ERR unknown command", 19);
        assert_string_equal(g.texts[3], "OK");
    }
    close_party(&g);
}

static void a_port_nobody_listens_on_does_not_hold_up_the_round(void **state)
{
    (void)state;
    struct guests g;
    open_party(&g, NULL, NULL);
    const struct party_order orders[] = { { REFUSED, { "PING" }, 1 }, { ALIVE, { "PING" }, 1 } };
    for (int i = 0; i < 3; i++) {
        run_round(&g, orders, 2, PLENTY_MS);
        assert_int_equal(g.whys[0], RCONN_NOT_CONNECTED);
        assert_string_equal(g.texts[1], "PONG");
        assert_took(&g.stretch, g.took, 0, PLENTY_MS / 2);
        assert_string_not_equal(redis_party_error(g.party, REFUSED), "");
        assert_string_equal(redis_party_error(g.party, ALIVE), "");
    }
    close_party(&g);
}

static void serve_pong(struct script *s, int fd)
{
    (void)s;
    while (script_read(fd) && script_say(fd, "+PONG\r\n")) {
    }
}

static void who_comes_back_is_asked_again(void **state)
{
    (void)state;
    struct guests g;
    open_party(&g, NULL, NULL);
    const struct party_order order = { REFUSED, { "PING" }, 1 };
    run_round(&g, &order, 1, PLENTY_MS);
    assert_int_equal(g.whys[0], RCONN_NOT_CONNECTED);
    struct script late = { .serve = serve_pong };
    late.listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = loopback(g.addrs[REFUSED].port);
    int on = 1;
    (void)setsockopt(late.listen_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    assert_int_equal(bind(late.listen_fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(late.listen_fd, 4), 0);
    assert_int_equal(pthread_create(&late.thread, NULL, script_main, &late), 0);
    run_round(&g, &order, 1, PLENTY_MS); /* without waiting for the back-off of a second */
    assert_string_equal(g.texts[0], "PONG");
    assert_took(&g.stretch, g.took, 0, 900);
    close_party(&g);
    script_stop(&late);
}

static void silence_ends_at_the_deadline(void **state)
{
    (void)state;
    struct guests g;
    open_party(&g, NULL, NULL);
    const struct party_order orders[] = { { SILENT, { "PING" }, 1 },
                                          { ALIVE, { "PING" }, 1 },
                                          { SILENT, { "PING" }, 1 } };
    for (int i = 0; i < 2; i++) {
        run_round(&g, orders, 3, DEADLINE_MS);
        assert_int_equal(g.whys[0], RCONN_TIMED_OUT);
        assert_string_equal(g.texts[1], "PONG");
        assert_int_equal(g.whys[2], RCONN_TIMED_OUT);
        assert_true(g.took >= DEADLINE_MS - 5);
    }
    run_round(&g, &ping, 1, PLENTY_MS);
    assert_string_equal(g.texts[0], "PONG");
    close_party(&g);
}

static void more_than_a_pipeline_to_one(void **state)
{
    (void)state;
    struct guests g;
    struct party_order orders[PARTY_ORDERS_MAX];
    char numbers[PARTY_ORDERS_MAX][8];
    open_party(&g, NULL, "xpipe-test");
    for (size_t i = 0; i < PARTY_ORDERS_MAX; i++) {
        (void)snprintf(numbers[i], sizeof(numbers[i]), "%zu", i);
        orders[i] = (struct party_order){ ALIVE, { "ECHO", numbers[i] }, 2 };
    }
    run_round(&g, orders, PARTY_ORDERS_MAX, PLENTY_MS);
    for (size_t i = 0; i < PARTY_ORDERS_MAX; i++) {
        assert_string_equal(g.texts[i], numbers[i]);
    }
    close_party(&g);
}

static void connections_have_a_name(void **state)
{
    (void)state;
    struct guests g;
    open_party(&g, NULL, "xpipe-test");
    const struct party_order order = { ALIVE, { "CLIENT", "GETNAME" }, 2 };
    run_round(&g, &order, 1, PLENTY_MS);
    assert_string_equal(g.texts[0], "xpipe-test");
    close_party(&g);
}

static void credentials_that_are_refused_are_told(void **state)
{
    (void)state;
    struct guests g;
    open_party(&g, "wrong", NULL);
    run_round(&g, &ping, 1, PLENTY_MS);
    assert_int_equal(g.whys[0], RCONN_NOT_CONNECTED);
    assert_memory_equal(redis_party_error(g.party, ALIVE), "AUTH was refused", 16);
    close_party(&g);
}

static void no_orders_are_answered_at_once(void **state)
{
    (void)state;
    struct guests g;
    open_party(&g, NULL, NULL);
    run_round(&g, NULL, 0, PLENTY_MS);
    assert_int_equal(g.count, 0);
    close_party(&g);
}

static void the_callback_may_start_the_next_round_or_free(void **state)
{
    (void)state;
    struct guests g;
    open_party(&g, NULL, NULL);
    g.repeats = 5;
    run_round(&g, &ping, 1, PLENTY_MS);
    assert_int_equal(g.rounds, 6);
    assert_string_equal(g.texts[0], "PONG");
    g.repeats = 0;
    g.frees = true;
    run_round(&g, &ping, 1, PLENTY_MS);
    assert_null(g.party);
    close_party(&g);
}

static void freed_under_way(void **state)
{
    (void)state;
    struct guests g;
    open_party(&g, NULL, "xpipe-test");
    run_round(&g, &ping, 1, PLENTY_MS);
    g.rounds = 0;
    const struct party_order orders[] = { { SILENT, { "PING" }, 1 }, ping };
    redis_party_round(g.party, orders, 2, loop_now(g.loop) + PLENTY_MS, note, &g);
    redis_party_free(TAKE(g.party));
    assert_int_equal(g.rounds, 0);
    close_party(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_come_together_in_the_order_of_the_orders),
        cmocka_unit_test(a_port_nobody_listens_on_does_not_hold_up_the_round),
        cmocka_unit_test(who_comes_back_is_asked_again),
        cmocka_unit_test(silence_ends_at_the_deadline),
        cmocka_unit_test(more_than_a_pipeline_to_one),
        cmocka_unit_test(connections_have_a_name),
        cmocka_unit_test(credentials_that_are_refused_are_told),
        cmocka_unit_test(no_orders_are_answered_at_once),
        cmocka_unit_test(the_callback_may_start_the_next_round_or_free),
        cmocka_unit_test(freed_under_way),
    };
    return cmocka_run_group_tests_name("redis_party", tests, servers_start, servers_stop);
}
