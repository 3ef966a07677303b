/* fence_run_test.c - fences of real Redis, master and replica, under writers (dr-switchover.md 9.2 (1); F14 to F17, F26). */
#include "shared/switch/fence.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/fence_fixture.h"
#include "tests/unit/stretch.h"

#include "shared/base/banned.h"

#define WRITERS  4
#define MEASURES 100

struct world {
    struct server master;
    struct server replica;
    struct addr addrs[2];
    struct writer writers[WRITERS];
    bool has_writers;
    struct fencer fencer;
};

static void world_start(struct world *w, const char *const *more)
{
    *w = (struct world){ 0 };
    server_start(&w->master, true, more);
    server_start(&w->replica, true, NULL);
    server_follow(&w->replica, &w->master);
    w->addrs[0] = w->master.redis.addr;
    w->addrs[1] = w->replica.redis.addr;
    fencer_open(&w->fencer, w->addrs, 2);
}

static void world_write(struct world *w)
{
    w->has_writers = true;
    for (int i = 0; i < WRITERS; i++) {
        writer_start(&w->writers[i], w->master.redis.port, i);
    }
    for (int i = 0; i < WRITERS; i++) {
        writer_wait(&w->writers[i], &w->writers[i].accepted, 50);
    }
}

static void world_stop(struct world *w)
{
    for (int i = 0; w->has_writers && i < WRITERS; i++) {
        writer_stop(&w->writers[i]);
    }
    fencer_close(&w->fencer);
    server_stop(&w->replica);
    server_stop(&w->master);
}

static int64_t accepted(struct world *w)
{
    int64_t sum = 0;
    for (int i = 0; i < WRITERS; i++) {
        sum += __atomic_load_n(&w->writers[i].accepted, __ATOMIC_ACQUIRE);
    }
    return sum;
}

/* Every writer asks again, and is refused. The first refusal says that every earlier answer has been read. */
static void check_refused(struct world *w)
{
    for (int i = 0; i < WRITERS; i++) {
        writer_wait(&w->writers[i], &w->writers[i].refused, 1);
    }
    int64_t before = accepted(w);
    for (int i = 0; i < WRITERS; i++) {
        writer_wait(&w->writers[i], &w->writers[i].refused, 20);
    }
    assert_int_equal(accepted(w), before);
}

static void check_accepted(struct world *w)
{
    for (int i = 0; i < WRITERS; i++) {
        writer_wait(&w->writers[i], &w->writers[i].accepted, 20);
    }
}

static void check_one_reply(struct server *s, const char *line, const char *wanted)
{
    const char *reply = SAY(s, line);
    if (strncmp(reply, wanted, strlen(wanted)) != 0) {
        fail_msg("%s: got %s instead of %s", line, reply, wanted);
    }
}

/* Everything acknowledged is on the replica once it has reached 'offset'. */
static void check_nothing_lost(struct world *w, int64_t offset)
{
    mono_ms limit = clock_mono_ms() + FENCE_LIMIT_MS;
    while (server_info(&w->replica, "slave_repl_offset:") < offset) {
        assert_true(clock_mono_ms() < limit);
        (void)usleep(1000);
    }
    for (int i = 0; i < WRITERS; i++) {
        char line[64];
        int64_t last = __atomic_load_n(&w->writers[i].accepted, __ATOMIC_ACQUIRE);
        (void)snprintf(line, sizeof(line), "EXISTS w:%d:%lld", i, (long long)last);
        check_one_reply(&w->replica, line, ":1");
    }
    char line[32];
    (void)snprintf(line, sizeof(line), ":%lld", (long long)accepted(w));
    check_one_reply(&w->replica, "DBSIZE", line);
}

static void held_then_frozen_then_released(void **state)
{
    (void)state;
    struct world w;
    world_start(&w, (const char *[]){ "--min-slaves-to-write", "1", NULL });
    world_write(&w);
    check_state(&w.fencer, FENCE_GOAL_LOOK, FENCE_RELEASED);
    assert_true(w.fencer.result.saved.is_known);
    assert_int_equal(w.fencer.result.saved.min_slaves, 1);
    assert_int_equal(w.fencer.asked, 0);

    check_state(&w.fencer, FENCE_GOAL_HOLD, FENCE_HELD);
    struct switch_fence held = w.fencer.result;
    assert_true(addr_eq(&held.master, &w.addrs[0]));
    assert_true(held.has_info && held.is_ours && !held.drain_pending);
    assert_int_equal(strlen(held.repl_id), 40);
    assert_int_equal(w.fencer.asked, 1);
    check_refused(&w);
    check_setting(&w.master, "min-slaves-to-write", "2147483647");
    assert_non_null(strstr(SAY(&w.replica, "INFO replication"), "master_link_status:up"));
    check_nothing_lost(&w, held.offset);

    check_state(&w.fencer, FENCE_GOAL_HOLD, FENCE_HELD); /* again: nothing to do */
    assert_int_equal(w.fencer.asked, 0);
    check_state(&w.fencer, FENCE_GOAL_LOOK, FENCE_HELD);

    check_state(&w.fencer, FENCE_GOAL_FREEZE, FENCE_FROZEN);
    assert_true(w.fencer.result.offset >= held.offset);
    assert_string_equal(w.fencer.result.repl_id, held.repl_id);
    assert_int_equal(w.fencer.result.saved.min_slaves, 1);
    check_refused(&w);
    check_nothing_lost(&w, held.offset);
    check_state(&w.fencer, FENCE_GOAL_FREEZE, FENCE_FROZEN);
    assert_int_equal(w.fencer.asked, 0);
    check_state(&w.fencer, FENCE_GOAL_HOLD, FENCE_FROZEN);
    assert_int_equal(w.fencer.asked, 0);

    check_state(&w.fencer, FENCE_GOAL_RELEASE, FENCE_RELEASED);
    check_accepted(&w);
    check_setting(&w.master, "min-slaves-to-write", "1");
    check_setting(&w.master, "min-slaves-max-lag", "10");
    check_state(&w.fencer, FENCE_GOAL_RELEASE, FENCE_RELEASED);
    assert_int_equal(w.fencer.asked, 0);
    world_stop(&w);
}

static void no_acknowledged_write_is_beyond_the_offset(void **state)
{
    (void)state;
    struct world w;
    world_start(&w, NULL);
    world_write(&w);
    for (int i = 0; i < 20; i++) {
        check_state(&w.fencer, FENCE_GOAL_HOLD, FENCE_HELD);
        int64_t offset = w.fencer.result.offset;
        check_refused(&w);
        check_nothing_lost(&w, offset); /* at T, not later */
        check_state(&w.fencer, FENCE_GOAL_RELEASE, FENCE_RELEASED);
        check_accepted(&w);
    }
    world_stop(&w);
}

static void wait_for_replica(struct world *w)
{
    mono_ms limit = clock_mono_ms() + FENCE_LIMIT_MS;
    while (!strstr(SAY(&w->master, "INFO replication"), "state=online")) {
        assert_true(clock_mono_ms() < limit);
        (void)usleep(5000);
    }
}

static void x_pipes_fence_at_once(void **state)
{
    (void)state;
    struct world w;
    world_start(&w, NULL);
    world_write(&w);
    check_state(&w.fencer, FENCE_GOAL_WHOLE, FENCE_FROZEN);
    check_refused(&w);
    check_nothing_lost(&w, w.fencer.result.offset);
    check_state(&w.fencer, FENCE_GOAL_RELEASE, FENCE_RELEASED);
    check_accepted(&w);
    wait_for_replica(&w);                     /* Redis 6.2 and older drop it at the freeze */
    (void)kill(w.replica.redis.pid, SIGSTOP); /* it acknowledges nothing more */
    w.fencer.options.drain_ms = 300;
    check_state(&w.fencer, FENCE_GOAL_WHOLE, FENCE_HELD);
    assert_true(w.fencer.result.drain_pending);
    check_refused(&w);
    check_log(&w.fencer, "have not caught up");
    (void)kill(w.replica.redis.pid, SIGCONT);
    check_state(&w.fencer, FENCE_GOAL_RELEASE, FENCE_RELEASED);
    check_accepted(&w);
    world_stop(&w);
}

static void a_lag_of_zero_would_switch_the_check_off(void **state)
{
    (void)state;
    struct world w;
    world_start(&w, (const char *[]){ "--min-slaves-max-lag", "0", NULL });
    world_write(&w);
    check_state(&w.fencer, FENCE_GOAL_HOLD, FENCE_HELD);
    check_refused(&w);
    check_setting(&w.master, "min-slaves-max-lag", "10");
    check_state(&w.fencer, FENCE_GOAL_RELEASE, FENCE_RELEASED);
    check_setting(&w.master, "min-slaves-max-lag", "0");
    check_setting(&w.master, "min-slaves-to-write", "0");
    check_accepted(&w);
    world_stop(&w);
}

static void a_replica_that_may_be_written_to(void **state) /* F15 */
{
    (void)state;
    struct world w;
    world_start(&w, (const char *[]){ "--slave-read-only", "no", NULL });
    world_write(&w);
    check_state(&w.fencer, FENCE_GOAL_FREEZE, FENCE_FROZEN);
    check_refused(&w);
    assert_true(w.fencer.result.saved.was_writable_replica);
    check_setting(&w.master, "slave-read-only", "yes");
    check_one_reply(&w.master, "CONFIG SET slave-read-only no", "+OK"); /* somebody undoes it */
    check_state(&w.fencer, FENCE_GOAL_HOLD, FENCE_FROZEN);
    check_refused(&w);
    check_state(&w.fencer, FENCE_GOAL_RELEASE, FENCE_RELEASED);
    check_setting(&w.master, "slave-read-only", "no");
    check_accepted(&w);
    world_stop(&w);
}

/* The file has what was frozen: the Redis comes back so. */
static void wait_for_file(const struct server *s, const char *text)
{
    mono_ms limit = clock_mono_ms() + FENCE_LIMIT_MS;
    for (bool is_there = false; !is_there; (void)usleep(2000)) {
        char bytes[65536] = "";
        int fd = open(s->file, O_RDONLY | O_CLOEXEC);
        is_there = fd >= 0 && read(fd, bytes, sizeof(bytes) - 1) > 0 && strstr(bytes, text);
        (void)close(fd);
        assert_true(clock_mono_ms() < limit);
    }
}

static void a_frozen_one_is_frozen_after_a_restart(void **state)
{
    (void)state;
    struct world w;
    int status = 0;
    world_start(&w, NULL);
    check_state(&w.fencer, FENCE_GOAL_FREEZE, FENCE_FROZEN);
    wait_for_file(&w.master, "127.0.0.1 0\n"); /* slaveof or replicaof */
    (void)kill(w.master.redis.pid, SIGKILL);
    (void)waitpid(w.master.redis.pid, &status, 0);
    (void)close(w.master.fd);
    server_launch(&w.master, NULL);
    check_state(&w.fencer, FENCE_GOAL_FREEZE, FENCE_FROZEN);
    assert_int_equal(w.fencer.asked, 0);
    check_state(&w.fencer, FENCE_GOAL_RELEASE, FENCE_RELEASED);
    world_stop(&w);
}

static void one_that_restarts_while_held_is_held_again(void **state)
{
    (void)state;
    struct world w;
    int status = 0;
    world_start(&w, NULL);
    check_state(&w.fencer, FENCE_GOAL_HOLD, FENCE_HELD);
    (void)kill(w.master.redis.pid, SIGKILL);
    (void)waitpid(w.master.redis.pid, &status, 0);
    (void)close(w.master.fd);
    server_launch(&w.master, NULL);
    check_one_reply(&w.master, "SET a b", "+OK");
    check_state(&w.fencer, FENCE_GOAL_HOLD, FENCE_HELD);
    check_one_reply(&w.master, "SET a b", "-NOREPLICAS");
    assert_int_equal(w.fencer.result.saved.min_slaves, 0);
    world_stop(&w);
}

static void without_a_config_file_there_is_a_warning(void **state) /* F16 */
{
    (void)state;
    struct world w = { 0 };
    server_start(&w.master, false, NULL);
    server_start(&w.replica, false, NULL);
    server_follow(&w.replica, &w.master);
    w.addrs[0] = w.master.redis.addr;
    w.addrs[1] = w.replica.redis.addr;
    fencer_open(&w.fencer, w.addrs, 2);
    check_state(&w.fencer, FENCE_GOAL_FREEZE, FENCE_FROZEN);
    check_log(&w.fencer, "has no config file");
    check_state(&w.fencer, FENCE_GOAL_RELEASE, FENCE_RELEASED);
    check_log(&w.fencer, "CONFIG REWRITE: ERR");
    world_stop(&w);
}

static void a_hung_master(void **state) /* F14 */
{
    (void)state;
    struct world w;
    world_start(&w, NULL);
    w.fencer.options.run.deadline_ms = 1000;
    (void)kill(w.master.redis.pid, SIGSTOP);
    struct stretch s = stretch_begin();
    check_state(&w.fencer, FENCE_GOAL_HOLD, FENCE_NONE);
    assert_lasted(&s, 0, 3000);
    assert_true(addr_eq(&w.fencer.result.master, &w.addrs[0])); /* the replica names it */
    assert_false(w.fencer.result.has_info);
    assert_int_equal(w.fencer.asked, 0);
    check_log(&w.fencer, "no answer in time");
    check_log(&w.fencer, "X20");
    (void)kill(w.replica.redis.pid, SIGSTOP);
    check_state(&w.fencer, FENCE_GOAL_HOLD, FENCE_UNREACHABLE);
    (void)kill(w.replica.redis.pid, SIGCONT);
    (void)kill(w.master.redis.pid, SIGCONT);
    w.fencer.options.run.deadline_ms = 5000;
    check_state(&w.fencer, FENCE_GOAL_HOLD, FENCE_HELD);
    world_stop(&w);
}

static void a_hung_replica_costs_one_look(void **state)
{
    (void)state;
    struct world w;
    world_start(&w, NULL);
    world_write(&w);
    w.fencer.options.run.deadline_ms = 1500;
    (void)kill(w.replica.redis.pid, SIGSTOP);
    check_state(&w.fencer, FENCE_GOAL_HOLD, FENCE_HELD);
    check_log(&w.fencer, "does not answer");
    check_refused(&w);
    (void)kill(w.replica.redis.pid, SIGCONT);
    world_stop(&w);
}

static void dead_ones(void **state)
{
    (void)state;
    struct fencer f;
    struct addr gone[2] = { addr_of("127.0.0.1", reserved_port()),
                            addr_of("127.0.0.1", reserved_port()) };
    fencer_open(&f, gone, 2);
    f.options.run.deadline_ms = 300;
    check_state(&f, FENCE_GOAL_HOLD, FENCE_UNREACHABLE);
    check_log(&f, "does not answer (not connected");
    f.options.run.redis_count = 0;
    check_state(&f, FENCE_GOAL_HOLD, FENCE_UNREACHABLE);
    fencer_close(&f);
}

static void two_masters(void **state)
{
    (void)state;
    struct world w;
    world_start(&w, NULL);
    struct server other;
    server_start(&other, true, NULL);
    w.fencer.redis[2] = other.redis.addr;
    w.fencer.options.run.redis_count = 3;
    check_state(&w.fencer, FENCE_GOAL_HOLD, FENCE_HELD);
    assert_true(addr_eq(&w.fencer.result.master, &w.addrs[0])); /* it has a replica */
    check_log(&w.fencer, "is a master, too, and held");
    check_one_reply(&w.master, "SET a b", "-NOREPLICAS");
    check_one_reply(&other, "SET a b", "-NOREPLICAS");
    check_state(&w.fencer, FENCE_GOAL_RELEASE, FENCE_RELEASED);
    check_one_reply(&w.master, "SET a b", "+OK");
    check_one_reply(&other, "SET a b", "-NOREPLICAS"); /* only 'the' master */
    server_stop(&other);
    world_stop(&w);
}

static void refused_commands(void **state)
{
    (void)state;
    struct world w;
    world_start(&w, NULL);
    if (SAY(&w.master, "ACL WHOAMI")[0] == '-') { /* before Redis 6 */
        world_stop(&w);
        return;
    }
    check_one_reply(&w.master, "ACL SETUSER default -config", "+OK");
    struct stretch s = stretch_begin();
    check_state(&w.fencer, FENCE_GOAL_HOLD, FENCE_NONE);
    assert_lasted(&s, 0, 2000); /* not until the deadline */
    check_log(&w.fencer, "NOPERM");
    check_one_reply(&w.master, "ACL SETUSER default +config -del", "+OK");
    check_state(&w.fencer, FENCE_GOAL_HOLD, FENCE_NONE); /* not proved */
    check_log(&w.fencer, "NOPERM");
    check_one_reply(&w.master, "ACL SETUSER default +@all", "+OK");
    w.fencer.options.run.password = "wrong";
    w.fencer.options.run.deadline_ms = 500;
    check_state(&w.fencer, FENCE_GOAL_HOLD, FENCE_UNREACHABLE);
    check_log(&w.fencer, "AUTH was refused");
    world_stop(&w);
}

static void nothing_is_sent_without_permission(void **state)
{
    (void)state;
    struct world w;
    world_start(&w, NULL);
    w.fencer.allowed = 0;
    check_state(&w.fencer, FENCE_GOAL_WHOLE, FENCE_NONE);
    check_log(&w.fencer, "the lease is over");
    check_setting(&w.master, "min-slaves-to-write", "0");
    w.fencer.allowed = 1; /* for the hold; not for the freeze */
    check_state(&w.fencer, FENCE_GOAL_WHOLE, FENCE_NONE);
    check_one_reply(&w.master, "ROLE", "*3\r\n$6\r\nmaster");
    world_stop(&w);
}

static void a_release_needs_an_accepted_write(void **state) /* F26 */
{
    (void)state;
    struct world w;
    world_start(&w, (const char *[]){ "--min-slaves-to-write", "1", NULL });
    check_state(&w.fencer, FENCE_GOAL_FREEZE, FENCE_FROZEN);
    struct switch_fence frozen = w.fencer.result;
    (void)kill(w.replica.redis.pid,
               SIGKILL); /* its own min-slaves-to-write of 1 refuses writes now */
    check_one_reply(&w.master, "CLIENT KILL TYPE slave", ":");
    w.fencer.options.run.deadline_ms = 500;
    check_state(&w.fencer, FENCE_GOAL_RELEASE, FENCE_NONE);
    (void)kill(w.master.redis.pid, SIGSTOP);
    w.fencer.result = frozen;
    check_state(&w.fencer, FENCE_GOAL_RELEASE, FENCE_UNREACHABLE);
    (void)kill(w.master.redis.pid, SIGCONT);
    world_stop(&w);
}

static void a_release_makes_no_second_master(void **state)
{
    (void)state;
    struct world w;
    world_start(&w, NULL);
    check_state(&w.fencer, FENCE_GOAL_HOLD, FENCE_HELD);
    struct switch_fence held = w.fencer.result;
    check_one_reply(&w.replica, "SLAVEOF NO ONE", "+OK"); /* the other way round */
    server_follow(&w.master, &w.replica);
    check_state(&w.fencer, FENCE_GOAL_RELEASE, FENCE_RELEASED); /* the new one accepts writes */
    assert_int_equal(w.fencer.asked, 0);
    assert_true(addr_eq(&w.fencer.result.master, &w.addrs[1]));
    w.fencer.result = held;
    w.fencer.options.run.redis_count = 1; /* the held one alone, and it follows somebody */
    check_state(&w.fencer, FENCE_GOAL_RELEASE, FENCE_NONE);
    assert_int_equal(w.fencer.asked, 0);
    world_stop(&w);
}

static void freed_under_way(void **state)
{
    (void)state;
    struct world w;
    world_start(&w, NULL);
    w.fencer.options.goal = FENCE_GOAL_WHOLE;
    w.fencer.run = fence_run_start(&w.fencer.options);
    fence_run_free(TAKE(w.fencer.run));
    w.fencer.run = fence_run_start(&w.fencer.options);
    (void)kill(w.replica.redis.pid, SIGSTOP);
    assert_false(loop_wait(w.fencer.loop, fencer_is_done, &w.fencer, 50));
    fence_run_free(TAKE(w.fencer.run));
    fence_run_free(NULL);
    (void)kill(w.replica.redis.pid, SIGCONT);
    world_stop(&w);
}

/* ---- how long it takes ---- */

static int compare_times(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a;
    int64_t right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

static double percentile_ms(const int64_t *times_us, size_t percent)
{
    int64_t us = times_us[MEASURES * percent / 100];
    return (double)us / 1000;
}

static void print_times(const char *what, int64_t *times)
{
    qsort(times, MEASURES, sizeof(times[0]), compare_times);
    print_message("%s: p50 %.2f ms, p99 %.2f ms\n", what, percentile_ms(times, 50),
                  percentile_ms(times, 99));
}

/* No bar here: the machine is shared. bench/ measures whole switchovers. */
static void times_of_hold_and_freeze(void **state)
{
    (void)state;
    struct world w;
    int64_t hold[MEASURES];
    int64_t freeze[MEASURES];
    int64_t both[MEASURES];
    world_start(&w, NULL);
    world_write(&w);
    for (int i = 0; i < MEASURES; i++) {
        int64_t start = clock_mono_us();
        check_state(&w.fencer, FENCE_GOAL_HOLD, FENCE_HELD);
        hold[i] = w.fencer.done_us - start;
        start = clock_mono_us();
        check_state(&w.fencer, FENCE_GOAL_FREEZE, FENCE_FROZEN);
        freeze[i] = w.fencer.done_us - start;
        both[i] = hold[i] + freeze[i];
        check_state(&w.fencer, FENCE_GOAL_RELEASE, FENCE_RELEASED);
        w.fencer.result = (struct switch_fence){ 0 };
    }
    print_times("hold", hold);
    print_times("freeze", freeze);
    print_times("hold and freeze", both);
    world_stop(&w);
}

/* ---- connections of the step before ---- */

/* Of our connection to the master; 0: there is none. */
static int64_t client_id(struct world *w)
{
    const char *list = SAY(&w->master, "CLIENT LIST");
    const char *name = strstr(list, "name=xpipe-fence");
    while (name && name > list && name[-1] != '\n') {
        name--;
    }
    if (!name) {
        return 0;
    }
    assert_true(text_has_prefix(name, "id="));
    int64_t id = strtoll(name + strlen("id="), NULL, 10);
    assert_true(id > 0);
    return id;
}

static bool is_gone(void *arg)
{
    return client_id(arg) == 0;
}

static void the_next_step_finds_its_connections(void **state)
{
    (void)state;
    struct world w;
    struct warm_party warm;
    world_start(&w, NULL);
    warm_party_init(&warm, w.fencer.loop, FENCE_LIMIT_MS);
    w.fencer.options.run.warm = &warm;
    check_state(&w.fencer, FENCE_GOAL_LOOK, FENCE_RELEASED);
    int64_t id = client_id(&w);
    assert_true(id > 0);
    check_state(&w.fencer, FENCE_GOAL_HOLD, FENCE_HELD);
    assert_int_equal(client_id(&w), id);
    assert_null(warm_party_take(&warm, w.addrs, 1)); /* of others */
    char line[64];
    (void)snprintf(line, sizeof(line), "CLIENT KILL ID %" PRId64, id);
    check_one_reply(&w.master, line, ":1");
    check_state(&w.fencer, FENCE_GOAL_HOLD, FENCE_HELD);
    assert_true(client_id(&w) > id);
    warm.keep_ms = 20;
    check_state(&w.fencer, FENCE_GOAL_HOLD, FENCE_HELD);
    assert_true(loop_wait(w.fencer.loop, is_gone, &w, FENCE_LIMIT_MS));
    warm.keep_ms = 0; /* nothing is kept */
    check_state(&w.fencer, FENCE_GOAL_RELEASE, FENCE_RELEASED);
    assert_null(warm.party);
    warm_party_done(&warm);
    world_stop(&w);
}

static void what_is_kept_is_closed_with_its_owner(void **state)
{
    (void)state;
    struct world w;
    struct warm_party warm;
    world_start(&w, NULL);
    warm_party_init(&warm, w.fencer.loop, FENCE_LIMIT_MS);
    w.fencer.options.run.warm = &warm;
    check_state(&w.fencer, FENCE_GOAL_LOOK, FENCE_RELEASED);
    assert_non_null(warm.party);
    warm_party_done(&warm);
    assert_null(warm.party);
    world_stop(&w);
}

static int run_group(const char *name)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(held_then_frozen_then_released),
        cmocka_unit_test(no_acknowledged_write_is_beyond_the_offset),
        cmocka_unit_test(x_pipes_fence_at_once),
        cmocka_unit_test(a_lag_of_zero_would_switch_the_check_off),
        cmocka_unit_test(a_replica_that_may_be_written_to),
        cmocka_unit_test(a_frozen_one_is_frozen_after_a_restart),
        cmocka_unit_test(one_that_restarts_while_held_is_held_again),
        cmocka_unit_test(without_a_config_file_there_is_a_warning),
        cmocka_unit_test(a_hung_master),
        cmocka_unit_test(a_hung_replica_costs_one_look),
        cmocka_unit_test(dead_ones),
        cmocka_unit_test(two_masters),
        cmocka_unit_test(refused_commands),
        cmocka_unit_test(nothing_is_sent_without_permission),
        cmocka_unit_test(a_release_needs_an_accepted_write),
        cmocka_unit_test(a_release_makes_no_second_master),
        cmocka_unit_test(freed_under_way),
        cmocka_unit_test(times_of_hold_and_freeze),
        cmocka_unit_test(the_next_step_finds_its_connections),
        cmocka_unit_test(what_is_kept_is_closed_with_its_owner),
    };
    return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int main(void)
{
    return with_each_redis("fence_run", run_group);
}
