/* fence_sim.c - fences whose commands are carried out and never answered, in virtual time: the proof decides. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/switch/fence.h"
#include "tests/sim/fake_loop.h"
#include "tests/sim/fake_rconn.h"
#include "tests/unit/unit.h"

#include "shared/base/banned.h"

#define REPL_ID "aaaaaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbbbbb"

enum { REPLICAS = 1 }; /* that INFO says are online */

struct model { /* a Redis, as far as a fence sees it */
    struct addr addr;
    struct addr master; /* none: it is one */
    bool is_frozen;
    int64_t min_slaves;
    int64_t offset;
    int64_t acked; /* by its only replica */
    int writes;    /* that the probe found accepted */
};

struct world {
    struct loop *loop;
    struct model redis[3];
    size_t count;
    struct addr saved_of;
    struct fence_run *run;
    struct execution_log *log;
    int done_count;
    struct switch_fence result;
    mono_ms started;
    mono_ms took;
    /* the Nth command that matches is carried out, and from then on 'mode' holds for 'mode_ms' */
    const char *trigger;
    enum fake_redis_mode mode;
    int64_t mode_ms;
    struct loop_timer heal;
};

static struct rreply *text(enum rreply_type type, const char *value)
{
    return rreply_new_text(type, value, strlen(value));
}

static struct rreply *pairs(const char *const *words, size_t count)
{
    struct rreply *elements[8];
    for (size_t i = 0; i < count; i++) {
        elements[i] = text(RREPLY_BULK, words[i]);
    }
    return rreply_new_array(elements, count);
}

static struct rreply *role(const struct model *m)
{
    char port[16];
    bool is_master = addr_is_none(&m->master) && !m->is_frozen;
    if (is_master) {
        struct rreply *elements[] = { text(RREPLY_BULK, "master"), rreply_new_integer(m->offset),
                                      rreply_new_array(NULL, 0) };
        return rreply_new_array(elements, 3);
    }
    (void)snprintf(port, sizeof(port), "%d", m->master.port);
    struct rreply *elements[] = {
        text(RREPLY_BULK, "slave"),
        text(RREPLY_BULK, m->is_frozen ? "127.0.0.1" : m->master.host),
        rreply_new_integer(m->is_frozen ? 0 : m->master.port),
        text(RREPLY_BULK, m->is_frozen ? "connect" : "connected"),
        rreply_new_integer(m->offset),
    };
    return rreply_new_array(elements, 5);
}

static struct rreply *info(const struct model *m)
{
    struct str s AUTO_STR = STR_INIT(1024);
    str_printf(&s,
               "role:x\r\nslave0:ip=10.0.0.9,port=1,state=online,offset=%" PRId64
               ",lag=0\r\nmaster_replid:" REPL_ID "\r\nmaster_repl_offset:%" PRId64 "\r\n",
               m->acked, m->offset);
    return text(RREPLY_BULK, str_text(&s));
}

static struct rreply *carry_out(struct model *m, size_t argc, const char *const *argv)
{
    char number[24];
    (void)snprintf(number, sizeof(number), "%" PRId64, m->min_slaves);
    if (text_eq(argv[0], "ROLE")) {
        return role(m);
    }
    if (text_eq(argv[0], "INFO")) {
        return info(m);
    }
    if (text_eq(argv[0], "DEL")) {
        bool is_replica = m->is_frozen || !addr_is_none(&m->master);
        bool has_enough = m->min_slaves <= REPLICAS;
        m->writes += !is_replica && has_enough;
        return is_replica    ? text(RREPLY_ERROR, "READONLY You can't write")
               : !has_enough ? text(RREPLY_ERROR, "NOREPLICAS Not enough good replicas")
                             : rreply_new_integer(0);
    }
    if (text_eq(argv[0], "SLAVEOF")) {
        m->is_frozen = text_eq(argv[1], "127.0.0.1");
        return text(RREPLY_STATUS, "OK");
    }
    if (text_eq(argv[0], "CONFIG") && text_eq(argv[1], "GET")) {
        const char *const words[] = { "min-slaves-to-write", number, "min-slaves-max-lag", "10",
                                      "slave-read-only",     "yes" };
        return pairs(words, 6);
    }
    if (argc == 4 && text_eq(argv[2], "min-slaves-to-write")) {
        (void)text_to_i64(argv[3], strlen(argv[3]), 0, INT64_MAX, &m->min_slaves);
        return text(RREPLY_STATUS, "OK");
    }
    return text(RREPLY_ERROR, "ERR unknown command");
}

static void healed(struct loop_timer *t)
{
    struct world *w = CONTAINER_OF(t, struct world, heal);
    fake_redis_set(NULL, &w->redis[0].addr, FAKE_REDIS_UP);
}

static struct rreply *handle(const struct addr *addr, size_t argc, const char *const *argv,
                             void *arg)
{
    struct world *w = arg;
    struct model *m = &w->redis[0];
    while (!addr_eq(&m->addr, addr)) {
        m++;
    }
    for (size_t i = 0; w->trigger && i < argc; i++) {
        if (text_eq(argv[i], w->trigger)) {
            w->trigger = NULL;
            fake_redis_set(NULL, addr, w->mode);
            loop_timer_start(&w->heal, w->mode_ms);
            break;
        }
    }
    return carry_out(m, argc, argv);
}

static void done(const struct switch_fence *result, void *arg)
{
    struct world *w = arg;
    w->done_count++;
    w->took = clock_mono_ms() - w->started;
    w->result = *result;
    fence_run_free(TAKE(w->run));
}

static int world_open(void **state)
{
    struct world *w = xcalloc(1, sizeof(*w));
    fake_redis_reset();
    fake_redis_handle(handle, w);
    w->loop = loop_new();
    loop_timer_init(&w->heal, w->loop, healed);
    w->count = 3;
    for (size_t i = 0; i < w->count; i++) {
        w->redis[i] = (struct model){ .addr = addr_of("10.0.0.1", 6379 + (int)i),
                                      .offset = 1000,
                                      .acked = 1000 };
    }
    w->redis[1].master = w->redis[0].addr;
    w->redis[2].master = w->redis[0].addr;
    *state = w;
    return 0;
}

static int world_close(void **state)
{
    struct world *w = *state;
    fence_run_free(w->run);
    loop_timer_stop(&w->heal);
    loop_free(w->loop);
    free(w);
    return 0;
}

static enum fence_state go(struct world *w, enum fence_goal goal, int64_t deadline_ms)
{
    struct addr addrs[3];
    for (size_t i = 0; i < w->count; i++) {
        addrs[i] = w->redis[i].addr;
    }
    struct fence_options options = {
        .run.loop = w->loop,
        .run.redis = addrs,
        .run.redis_count = w->count,
        .run.connect_timeout_ms = 300,
        .run.deadline_ms = deadline_ms,
        .run.arg = w,
        .goal = goal,
        .hint = w->result.master,
        .saved = w->result.saved,
        .saved_of = w->saved_of,
        .drain_ms = deadline_ms,
        .on_done = done,
    };
    w->done_count = 0;
    w->started = clock_mono_ms();
    w->run = fence_run_start(&options);
    fake_loop_advance_to(w->started + deadline_ms + 1000);
    assert_int_equal(w->done_count, 1);
    assert_true(w->took <= deadline_ms + 50); /* the last round may be begun just before it */
    return w->result.state;
}

static void round_trips_of_a_hold(void **state)
{
    struct world *w = *state;
    assert_int_equal(go(w, FENCE_GOAL_HOLD, 1000), FENCE_HELD);
    assert_int_equal(w->redis[0].min_slaves, FENCE_MIN_SLAVES);
    assert_int_equal(w->redis[0].writes, 0);
    assert_int_equal(w->result.offset, 1000);
    assert_true(w->took <= 4 * FAKE_REDIS_LATENCY_MS); /* connect, look, hold with its proof */
    assert_int_equal(go(w, FENCE_GOAL_FREEZE, 1000), FENCE_FROZEN);
    assert_true(w->took <= 4 * FAKE_REDIS_LATENCY_MS);
    assert_int_equal(go(w, FENCE_GOAL_RELEASE, 1000), FENCE_RELEASED);
    assert_int_equal(w->redis[0].min_slaves, 0);
}

/* The hold happened, nobody was told: the state is read back and proved. */
static void an_answer_that_never_comes(void **state)
{
    struct world *w = *state;
    w->trigger = "2147483647";
    w->mode = FAKE_REDIS_REPLY_SILENT;
    w->mode_ms = 200;
    assert_int_equal(go(w, FENCE_GOAL_HOLD, 2000), FENCE_HELD);
    assert_int_equal(w->redis[0].writes, 0);
    assert_true(w->took >= 200);
}

static void a_connection_that_breaks_at_the_freeze(void **state)
{
    struct world *w = *state;
    w->trigger = "SLAVEOF";
    w->mode = FAKE_REDIS_REPLY_LOST;
    w->mode_ms = 100;
    assert_int_equal(go(w, FENCE_GOAL_WHOLE, 2000), FENCE_FROZEN);
    assert_true(w->redis[0].is_frozen);
    w->trigger = "SLAVEOF";
    assert_int_equal(go(w, FENCE_GOAL_RELEASE, 2000), FENCE_RELEASED);
    assert_false(w->redis[0].is_frozen);
}

/* Carried out or not, nobody can say: not "unreachable", not "held". */
static void unknown_until_the_deadline(void **state)
{
    struct world *w = *state;
    w->trigger = "2147483647";
    w->mode = FAKE_REDIS_REPLY_SILENT;
    w->mode_ms = 60000;
    assert_int_equal(go(w, FENCE_GOAL_HOLD, 1000), FENCE_NONE);
    assert_true(addr_eq(&w->result.master, &w->redis[0].addr));
    assert_int_equal(w->redis[0].min_slaves, FENCE_MIN_SLAVES);
}

static void a_master_cut_off(void **state)
{
    struct world *w = *state;
    fake_redis_set(NULL, &w->redis[0].addr, FAKE_REDIS_UNREACHABLE);
    assert_int_equal(go(w, FENCE_GOAL_HOLD, 1000), FENCE_NONE);
    fake_redis_set(NULL, &w->redis[1].addr, FAKE_REDIS_UNREACHABLE);
    fake_redis_set(NULL, &w->redis[2].addr, FAKE_REDIS_MUTE);
    assert_int_equal(go(w, FENCE_GOAL_HOLD, 1000), FENCE_UNREACHABLE);
    assert_true(w->took >= 1000);
    fake_redis_set(NULL, &w->redis[0].addr, FAKE_REDIS_UP); /* the others stay away */
    assert_int_equal(go(w, FENCE_GOAL_HOLD, 1000), FENCE_HELD);
    assert_true(w->took <= 400);
}

/* The look of the hold waits for it; inside the outage nobody does. */
static void a_dead_replica_costs_no_outage(void **state)
{
    struct world *w = *state;
    fake_redis_set(NULL, &w->redis[2].addr, FAKE_REDIS_UNREACHABLE);
    assert_int_equal(go(w, FENCE_GOAL_HOLD, 1000), FENCE_HELD);
    assert_true(w->took >= 300);
    assert_int_equal(go(w, FENCE_GOAL_FREEZE, 1000), FENCE_FROZEN);
    assert_true(w->took <= 50);
    assert_int_equal(go(w, FENCE_GOAL_RELEASE, 1000), FENCE_RELEASED);
    assert_true(w->took <= 50);
}

/* One of two cannot be held: nothing may be promoted. */
static void one_of_two_masters_goes_away(void **state)
{
    struct world *w = *state;
    w->redis[1].master = (struct addr){ 0 };
    w->redis[2].master = w->redis[1].addr;
    w->trigger = "2147483647"; /* of the first that gets it: healed is only redis[0] */
    w->mode = FAKE_REDIS_UNREACHABLE;
    w->mode_ms = 60000;
    assert_int_equal(go(w, FENCE_GOAL_HOLD, 1000), FENCE_NONE);
}

static void a_drain_that_takes_time(void **state)
{
    struct world *w = *state;
    w->redis[0].acked = 900;
    assert_int_equal(go(w, FENCE_GOAL_WHOLE, 1000), FENCE_HELD);
    assert_true(w->result.drain_pending);
    assert_true(w->took >= 700 && w->took < 1000); /* time was kept for the freeze */
    w->redis[0].acked = 1000;
    assert_int_equal(go(w, FENCE_GOAL_WHOLE, 1000), FENCE_FROZEN);
}

/* Held here, released by another way that did not know what it had before; then by who knows. */
static void settings_of_one_that_was_released_around_us(void **state)
{
    struct world *w = *state;
    w->redis[0].min_slaves = 1;
    assert_int_equal(go(w, FENCE_GOAL_HOLD, 1000), FENCE_HELD);
    struct fence_saved own = w->result.saved;
    assert_int_equal(own.min_slaves, 1);
    w->result = (struct switch_fence){ 0 };
    assert_int_equal(go(w, FENCE_GOAL_HOLD, 1000), FENCE_HELD); /* by the other way */
    assert_false(w->result.saved.is_known);
    assert_int_equal(go(w, FENCE_GOAL_RELEASE, 1000), FENCE_RELEASED);
    assert_int_equal(w->redis[0].min_slaves, 0);
    w->result.saved = own;
    assert_int_equal(go(w, FENCE_GOAL_RELEASE, 1000), FENCE_RELEASED); /* whose are they? */
    assert_int_equal(w->redis[0].min_slaves, 0);
    w->saved_of = w->redis[0].addr;
    w->result.saved = own;
    assert_int_equal(go(w, FENCE_GOAL_RELEASE, 1000), FENCE_RELEASED);
    assert_int_equal(w->redis[0].min_slaves, 1);
    assert_true(w->took <= 4 * FAKE_REDIS_LATENCY_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(round_trips_of_a_hold, world_open, world_close),
        cmocka_unit_test_setup_teardown(an_answer_that_never_comes, world_open, world_close),
        cmocka_unit_test_setup_teardown(a_connection_that_breaks_at_the_freeze, world_open,
                                        world_close),
        cmocka_unit_test_setup_teardown(unknown_until_the_deadline, world_open, world_close),
        cmocka_unit_test_setup_teardown(a_master_cut_off, world_open, world_close),
        cmocka_unit_test_setup_teardown(a_dead_replica_costs_no_outage, world_open, world_close),
        cmocka_unit_test_setup_teardown(one_of_two_masters_goes_away, world_open, world_close),
        cmocka_unit_test_setup_teardown(a_drain_that_takes_time, world_open, world_close),
        cmocka_unit_test_setup_teardown(settings_of_one_that_was_released_around_us, world_open,
                                        world_close),
    };
    return cmocka_run_group_tests_name("fence", tests, NULL, NULL);
}
