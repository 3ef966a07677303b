/* sharding_sim.c - three members on the ZooKeeper twin in virtual time: joining, a partition, coming back.
 *
 * After every step of the simulation no slot may have two owners. */
#include <string.h>

#include "meta/slots/sharding.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "tests/sim/fake_loop.h"
#include "tests/sim/fake_zk.h"
#include "tests/unit/unit.h"

#include "shared/base/banned.h"

#define MEMBERS    3
#define SESSION_MS 5000

struct dc {
    bool has_command_under_way;      /* in every slot that a member lost */
    bool claims;                     /* 2 answers the first export, and writes the record again */
    struct slot_command_call export; /* that one */
    struct loop_timer answers;       /* it, when everybody has seen the record */
    int64_t leader_check_ms;         /* 0: a minute */
    struct sharding *members[MEMBERS];
    struct loop *loop;
    struct fake_zk_server *server;
};

static void dc_open(struct dc *d)
{
    fake_clock_set(1000000, 1700000000000);
    d->loop = loop_new();
    d->server = fake_zk_server_new(d->loop, "sim");
}

static void dc_close(struct dc *d)
{
    for (int i = 0; i < MEMBERS; i++) {
        sharding_free(d->members[i]);
    }
    fake_zk_server_free(d->server);
    loop_free(d->loop);
}

static void on_slot(int slot, bool is_owned, void *arg)
{
    (void)slot;
    (void)is_owned;
    (void)arg;
}

static void on_claimed(int rc, const char *data, size_t length, const struct zk_stat *stat,
                       void *arg, uint64_t token)
{
    struct dc *d = arg;
    (void)data;
    (void)length;
    (void)stat;
    (void)token;
    assert_int_equal(rc, 0);
    loop_timer_start(&d->answers, 100);
}

static void answer_export(struct loop_timer *timer)
{
    const struct dc *d = CONTAINER_OF(timer, struct dc, answers);
    d->export.done(0, NULL, d->export.arg, d->export.token);
}

/* As a process that started again under its id: asked before it holds anything, it has nothing to give up, and holds the slot by
 * its claim before the answer has arrived. */
static int claim_and_answer(struct dc *d, const struct slot_command_call *call, struct xp_err *err)
{
    AUTO_FREE char *path = xasprintf("/xpipe/metaserver/slots/%d", call->slot);
    struct slot moving = slot_moving(2, 3);
    char text[SLOT_TEXT_MAX];
    slot_text(&moving, text);
    d->export = *call;
    loop_timer_init(&d->answers, d->loop, answer_export);
    return zk_set(sharding_zk(d->members[1]), path, text, strlen(text), -1, on_claimed, d, 0, err);
}

static int peer_call(void *ctx, const struct server_info *to, const struct slot_command_call *call,
                     struct xp_err *err)
{
    struct dc *d = ctx;
    if (d->claims && !d->export.done && call->command == SLOT_EXPORT && to->id == 2) {
        return claim_and_answer(d, call, err);
    }
    return sharding_slot_command(d->members[to->id - 1], call, err);
}

static void peer_forget(void *ctx, const void *arg)
{
    (void)ctx;
    (void)arg;
}

static bool is_quiet(int slot, void *arg)
{
    (void)slot;
    return !((const struct dc *)arg)->has_command_under_way;
}

static int owned(struct sharding *s)
{
    int count = 0;
    for (int slot = 0; s && slot < SLOT_COUNT; slot++) {
        count += sharding_owns(s, slot, clock_mono_ms());
    }
    return count;
}

static void no_slot_has_two_owners(void *arg)
{
    struct dc *d = arg;
    for (int slot = 0; slot < SLOT_COUNT; slot++) {
        int owners = 0;
        for (int i = 0; i < MEMBERS; i++) {
            owners += d->members[i] && sharding_owns(d->members[i], slot, clock_mono_ms());
        }
        assert_true(owners <= 1);
    }
}

static struct sharding *start(struct dc *d, int64_t id)
{
    struct slot_peer_ops peer = { .call = peer_call, .forget = peer_forget, .ctx = d };
    struct sharding_options options = { .loop = d->loop,
                                        .zk_hosts = "sim",
                                        .zk_namespace = "xpipe",
                                        .ip = "127.0.0.1",
                                        .port = 9000 + (int)id,
                                        .server_id = id,
                                        .session_timeout_ms = SESSION_MS,
                                        .peer = &peer,
                                        .slot_refresh_ms = 60000,
                                        .servers_check_ms = 60000,
                                        .leader_check_ms =
                                            d->leader_check_ms ? d->leader_check_ms : 60000,
                                        .self_check_ms = 60000,
                                        .unknown_grace_ms = 2000,
                                        .on_slot = on_slot,
                                        .is_quiet = is_quiet,
                                        .arg = d };
    struct sharding *s = d->members[id - 1] = sharding_new(&options);
    sharding_start(s);
    return s;
}

static void partition_moves_slots_and_nothing_overlaps(void **state)
{
    (void)state;
    struct dc d = { 0 };
    dc_open(&d);
    fake_loop_after_step(no_slot_has_two_owners, &d);
    start(&d, 1);
    fake_loop_advance_to(clock_mono_ms() + 3000);
    assert_int_equal(owned(d.members[0]), 256);
    start(&d, 2);
    fake_loop_advance_to(clock_mono_ms() + 3000);
    assert_int_equal(owned(d.members[1]), 128);
    start(&d, 3);
    fake_loop_advance_to(clock_mono_ms() + 3000);
    assert_int_equal(owned(d.members[2]), 85);
    fake_zk_cut(sharding_zk(d.members[0]), true); /* the leader */
    fake_loop_advance_to(clock_mono_ms() + SESSION_MS * 2 / 3 + 10);
    assert_int_equal(owned(d.members[0]), 0);
    fake_loop_advance_to(clock_mono_ms() + SESSION_MS / 3 + 500);
    assert_int_equal(owned(d.members[1]) + owned(d.members[2]), 256);
    fake_zk_cut(sharding_zk(d.members[0]), false);
    fake_loop_advance_to(clock_mono_ms() + 10000);
    assert_int_equal(owned(d.members[0]), 85);
    /* A server that expires a session early breaks its promise: leases overlap for a moment. */
    fake_loop_after_step(NULL, NULL);
    fake_zk_expire(sharding_zk(d.members[1]));
    fake_loop_advance_to(clock_mono_ms() + 10000);
    assert_int_equal(owned(d.members[0]) + owned(d.members[1]) + owned(d.members[2]), 256);
    dc_close(&d);
}

/* The server's clock of the session starts when it hears the question. On a slow way the answer is that much older. */
static bool has_exported(void *arg)
{
    return ((const struct dc *)arg)->export.done;
}

/* Seed 4229 of the whole system. */
static void what_was_claimed_since_the_mark_is_not_given_away(void **state)
{
    (void)state;
    struct dc d = { 0 };
    struct slot s;
    dc_open(&d);
    fake_loop_after_step(no_slot_has_two_owners, &d);
    start(&d, 1);
    fake_loop_advance_to(clock_mono_ms() + 3000);
    start(&d, 2);
    fake_loop_advance_to(clock_mono_ms() + 3000);
    d.claims = true;
    start(&d, 3);
    assert_true(fake_loop_run_until(has_exported, &d, clock_mono_ms() + 3000));
    fake_loop_advance_to(clock_mono_ms() +
                         500); /* the task ends; the next one comes after its pause */
    assert_true(sharding_owns(d.members[1], d.export.slot, clock_mono_ms()));
    assert_true(sharding_slot(d.members[2], d.export.slot, &s));
    assert_true(s.server_id == 2 && s.state == SLOT_NORMAL);
    assert_true(owned(d.members[2]) > 0); /* the others were handed over */
    fake_loop_advance_to(clock_mono_ms() + 5000);
    assert_int_equal(owned(d.members[2]), 85);
    fake_loop_after_step(NULL, NULL);
    dc_close(&d);
}

static void the_lease_counts_from_the_question(void **state)
{
    (void)state;
    enum { WAY_MS = 600, LEASE_MS = SESSION_MS * 2 / 3 };
    struct dc d = { 0 };
    dc_open(&d);
    start(&d, 1);
    fake_loop_advance_to(clock_mono_ms() + 3000);
    fake_zk_set_latency(d.server, WAY_MS);
    fake_loop_advance_to(clock_mono_ms() + 10000);
    assert_int_equal(owned(d.members[0]), 256);
    fake_zk_cut(sharding_zk(d.members[0]), true);
    fake_loop_advance_to(clock_mono_ms() + LEASE_MS - 2 * WAY_MS + 1);
    assert_int_equal(owned(d.members[0]), 0);
    dc_close(&d);
}

static void all_quiet(struct dc *d, struct sharding *s)
{
    d->has_command_under_way = false;
    for (int slot = 0; slot < SLOT_COUNT; slot++) {
        sharding_quiet(s, slot);
    }
}

/* The answer to an export, and the end of a registration, let others command: not before our own command is answered. */
static void a_hand_over_waits_for_the_command_under_way(void **state)
{
    (void)state;
    struct dc d = { 0 };
    dc_open(&d);
    fake_loop_after_step(no_slot_has_two_owners, &d);
    start(&d, 1);
    fake_loop_advance_to(clock_mono_ms() + 3000);
    assert_int_equal(owned(d.members[0]), 256);
    d.has_command_under_way = true;
    start(&d, 2);
    fake_loop_advance_to(clock_mono_ms() + 2000);
    assert_true(owned(d.members[0]) < 256);   /* exported ... */
    assert_int_equal(owned(d.members[1]), 0); /* ... and nobody's yet */
    all_quiet(&d, d.members[0]);
    fake_loop_advance_to(clock_mono_ms() + 2000);
    assert_int_equal(owned(d.members[1]), 128);

    size_t count;
    d.has_command_under_way = true;
    sharding_drain(d.members[1], 10000);
    fake_loop_advance_to(clock_mono_ms() + 2000);
    assert_int_equal(owned(d.members[1]), 0);
    (void)sharding_servers(d.members[0], &count);
    assert_int_equal(count, 2);
    assert_int_equal(owned(d.members[0]), 128);
    all_quiet(&d, d.members[1]);
    fake_loop_advance_to(clock_mono_ms() + 2000);
    assert_int_equal(owned(d.members[0]), 256);

    fake_loop_after_step(NULL, NULL);
    d.has_command_under_way = true; /* the end of the process with an export that nobody answered */
    start(&d, 3);
    fake_loop_advance_to(clock_mono_ms() + 2000);
    dc_close(&d);
}

static void the_first_leads_no_more(void *arg)
{
    struct dc *d = arg;
    assert_false(sharding_is_leader(d->members[0], clock_mono_ms()));
}

/* Found by seed 3636 of the whole-system simulation: the answer to a question that was asked before made it leader again. */
static void who_gives_up_the_leadership_while_it_looks_does_not_win_it_again(void **state)
{
    (void)state;
    for (int64_t after_ms = 0; after_ms < 40; after_ms++) {
        struct dc d = { .leader_check_ms = 20 };
        dc_open(&d);
        start(&d, 1);
        fake_loop_advance_to(clock_mono_ms() + 3000);
        start(&d, 2);
        fake_loop_advance_to(clock_mono_ms() + 3000 + after_ms);
        assert_true(sharding_is_leader(d.members[0], clock_mono_ms()));
        sharding_drain(d.members[0], 10000);
        fake_loop_after_step(the_first_leads_no_more, &d);
        fake_loop_advance_to(clock_mono_ms() + 3000);
        fake_loop_after_step(NULL, NULL);
        assert_true(sharding_is_leader(d.members[1], clock_mono_ms()));
        dc_close(&d);
    }
}

int main(void)
{
    log_set_level(LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(partition_moves_slots_and_nothing_overlaps),
        cmocka_unit_test(what_was_claimed_since_the_mark_is_not_given_away),
        cmocka_unit_test(the_lease_counts_from_the_question),
        cmocka_unit_test(a_hand_over_waits_for_the_command_under_way),
        cmocka_unit_test(who_gives_up_the_leadership_while_it_looks_does_not_win_it_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
