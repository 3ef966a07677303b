/* redis_party_sim.c - rounds of a party in virtual time: who is slow, dead, mute, or answers nobody any more. */
#include <stdio.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/switch/redis_party.h"
#include "tests/sim/fake_loop.h"
#include "tests/sim/fake_rconn.h"
#include "tests/unit/unit.h"

#include "shared/base/banned.h"

enum { NEAR, FAR, MEMBERS };

struct table {
    struct loop *loop;
    struct redis_party *party;
    struct addr addrs[MEMBERS];
    int handled[MEMBERS]; /* commands that were carried out */
    int rounds;
    size_t count;
    enum rconn_why whys[8];
    mono_ms started;
    mono_ms took;
    bool frees;
};

static struct rreply *ok(const struct addr *addr, size_t argc, const char *const *argv, void *arg)
{
    struct table *t = arg;
    (void)argc, (void)argv;
    t->handled[addr_eq(addr, &t->addrs[FAR]) ? FAR : NEAR]++;
    return rreply_new_text(RREPLY_STATUS, "OK", 2);
}

static int table_open(void **state)
{
    struct table *t = xcalloc(1, sizeof(*t));
    fake_redis_reset();
    fake_redis_handle(ok, t);
    t->loop = loop_new();
    t->addrs[NEAR] = addr_of("10.0.0.1", 6379);
    t->addrs[FAR] = addr_of("10.0.0.2", 6379);
    struct redis_party_options options = {
        .loop = t->loop, .addrs = t->addrs, .count = MEMBERS, .connect_timeout_ms = 300
    };
    t->party = redis_party_new(&options);
    *state = t;
    return 0;
}

static int table_close(void **state)
{
    struct table *t = *state;
    redis_party_free(t->party);
    loop_free(t->loop);
    free(t);
    return 0;
}

static void note(const struct party_answer *answers, size_t count, void *arg)
{
    struct table *t = arg;
    t->rounds++;
    t->count = count;
    t->took = clock_mono_ms() - t->started;
    for (size_t i = 0; i < count; i++) {
        t->whys[i] = answers[i].why;
    }
    if (t->frees) {
        redis_party_free(TAKE(t->party));
    }
}

/* One command to each; then time passes. */
static void run_round(struct table *t, int64_t deadline_ms, int64_t pass_ms)
{
    const struct party_order orders[] = { { NEAR, { "PING" }, 1 }, { FAR, { "PING" }, 1 } };
    t->rounds = 0;
    t->started = clock_mono_ms();
    redis_party_round(t->party, orders, MEMBERS, t->started + deadline_ms, note, t);
    fake_loop_advance_to(t->started + pass_ms);
}

static void a_slow_one_is_waited_for(void **state)
{
    struct table *t = *state;
    fake_redis_set_latency(&t->addrs[FAR], 80);
    run_round(t, 1000, 2000);
    assert_int_equal(t->rounds, 1);
    assert_int_equal(t->whys[FAR], RCONN_ANSWERED);
    assert_true(t->took >= 80 && t->took <= 200);
    run_round(t, 1000, 2000); /* connected by now */
    assert_int_equal(t->took, 80);
}

static void the_deadline_ends_it(void **state)
{
    struct table *t = *state;
    run_round(t, 1000, 2000);
    fake_redis_set_latency(&t->addrs[FAR], 80);
    run_round(t, 50, 2000);
    assert_int_equal(t->rounds, 1);
    assert_int_equal(t->took, 50);
    assert_int_equal(t->whys[NEAR], RCONN_ANSWERED);
    assert_int_equal(t->whys[FAR], RCONN_TIMED_OUT);
    assert_int_equal(t->handled[FAR],
                     2); /* it was carried out: the outcome is unknown to us only */
    run_round(t, 1000, 2000);
    assert_int_equal(t->whys[FAR], RCONN_ANSWERED);
}

static void who_vanishes_costs_a_connect(void **state)
{
    struct table *t = *state;
    fake_redis_set(NULL, &t->addrs[FAR], FAKE_REDIS_UNREACHABLE);
    run_round(t, 5000, 6000);
    assert_int_equal(t->whys[FAR], RCONN_NOT_CONNECTED);
    assert_int_equal(t->took, 300);
    run_round(t, 5000, 6000); /* one more try, and only one */
    assert_int_equal(t->whys[FAR], RCONN_NOT_CONNECTED);
    assert_true(t->took <= 300);
    assert_int_equal(t->handled[NEAR], 2);
    fake_redis_set(NULL, &t->addrs[FAR], FAKE_REDIS_UP);
    run_round(t, 5000, 6000);
    assert_int_equal(t->whys[FAR], RCONN_ANSWERED);
}

static void who_refuses_costs_nothing(void **state)
{
    struct table *t = *state;
    fake_redis_set(NULL, &t->addrs[FAR], FAKE_REDIS_REFUSES);
    for (int i = 0; i < 3; i++) {
        run_round(t, 5000, 5);
        assert_int_equal(t->rounds, 1);
        assert_int_equal(t->whys[FAR], RCONN_NOT_CONNECTED);
        assert_int_equal(t->whys[NEAR], RCONN_ANSWERED);
    }
}

static void mute_ones_and_lost_answers(void **state)
{
    struct table *t = *state;
    fake_redis_set(NULL, &t->addrs[FAR], FAKE_REDIS_MUTE);
    run_round(t, 200, 1000);
    assert_int_equal(t->whys[FAR], RCONN_TIMED_OUT);
    assert_int_equal(t->handled[FAR], 0);
    fake_redis_set(NULL, &t->addrs[FAR], FAKE_REDIS_REPLY_LOST);
    run_round(t, 200, 1000);
    assert_int_equal(t->whys[FAR], RCONN_LOST);
    assert_int_equal(t->handled[FAR], 1);
}

static void freed_in_the_callback(void **state)
{
    struct table *t = *state;
    t->frees = true;
    run_round(t, 1000, 2000);
    assert_int_equal(t->rounds, 1);
    assert_null(t->party);
}

static void freed_in_between(void **state)
{
    struct table *t = *state;
    fake_redis_set_latency(&t->addrs[FAR], 80);
    run_round(t, 1000, 60);
    assert_int_equal(t->rounds, 0);
    redis_party_free(TAKE(t->party));
    fake_loop_advance_to(clock_mono_ms() + 2000);
    assert_int_equal(t->rounds, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_slow_one_is_waited_for, table_open, table_close),
        cmocka_unit_test_setup_teardown(the_deadline_ends_it, table_open, table_close),
        cmocka_unit_test_setup_teardown(who_vanishes_costs_a_connect, table_open, table_close),
        cmocka_unit_test_setup_teardown(who_refuses_costs_nothing, table_open, table_close),
        cmocka_unit_test_setup_teardown(mute_ones_and_lost_answers, table_open, table_close),
        cmocka_unit_test_setup_teardown(freed_in_the_callback, table_open, table_close),
        cmocka_unit_test_setup_teardown(freed_in_between, table_open, table_close),
    };
    return cmocka_run_group_tests_name("redis_party", tests, NULL, NULL);
}
