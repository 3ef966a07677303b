/* switch_record_sim.c - records of switchovers on the ZooKeeper twin in virtual time: somebody else's write in between, sessions
 * that end, silence, garbage, callers that go. Every request is answered once, in time. */
#include "meta/primary/switch_record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "tests/sim/dice.h"
#include "tests/sim/fake_loop.h"
#include "tests/sim/fake_random.h"
#include "tests/sim/fake_zk.h"
#include "tests/sim/seeds.h"
#include "tests/unit/unit.h"

#include "shared/base/banned.h"

#define SESSION_MS 5000
#define LATENCY_MS 10
#define TIMEOUT_MS 1000
#define NODE       "/xpipe/switchover/7/70"
#define SEEDS      100
#define STEPS      60

struct member { /* one metaserver */
    struct zk *zk;
    struct switch_records *records;
};

struct world {
    struct loop *loop;
    struct fake_zk_server *server;
    struct member members[2];
};

struct told {
    int times;
    int rc;
    struct switch_record record;
    mono_ms at;
};

static void on_session(struct zk *zk, enum zk_state state, bool is_new_session, void *arg)
{
    struct member *m = arg;
    (void)is_new_session;
    if (state == ZK_READY) {
        switch_records_set_zk(m->records, zk);
    }
}

static void let_pass(int64_t ms)
{
    fake_loop_advance_to(clock_mono_ms() + ms);
}

static void world_init(struct world *w, uint64_t seed)
{
    *w = (struct world){ 0 };
    fake_clock_set(1000000, 1700000000000);
    fake_random_seed(seed);
    w->loop = loop_new();
    w->server = fake_zk_server_new(w->loop, "sim");
    fake_zk_set_latency(w->server, LATENCY_MS);
    for (size_t i = 0; i < ARRAY_LEN(w->members); i++) {
        struct zk_options options = { .hosts = "sim",
                                      .session_timeout_ms = SESSION_MS,
                                      .on_session = on_session,
                                      .arg = &w->members[i] };
        w->members[i].records = switch_records_new(w->loop, "xpipe");
        w->members[i].zk = zk_new(w->loop, &options);
    }
    let_pass(3000);
}

static void world_done(struct world *w)
{
    for (size_t i = 0; i < ARRAY_LEN(w->members); i++) {
        switch_records_free(w->members[i].records);
        zk_free(w->members[i].zk);
    }
    fake_zk_server_free(w->server);
    loop_free(w->loop);
}

static void note(int rc, const struct switch_record *record, void *arg)
{
    struct told *t = arg;
    t->times++;
    t->rc = rc;
    t->record = *record;
    t->at = clock_mono_ms();
}

static void ask(struct world *w, int member, struct told *t)
{
    *t = (struct told){ 0 };
    switch_record_get(w->members[member].records, 7, 70, TIMEOUT_MS, note, t);
    assert_int_equal(t->times, 0); /* never inside the call */
}

static void write_epoch(struct world *w, int member, int32_t version, int64_t epoch, struct told *t)
{
    struct switch_record record = { .epoch = epoch,
                                    .fence = FENCE_HELD,
                                    .master = addr_of("10.0.0.1", 6379),
                                    .saved = { true, 1, 10, false },
                                    .version = version };
    *t = (struct told){ 0 };
    switch_record_put(w->members[member].records, 7, 70, &record, TIMEOUT_MS, note, t);
    assert_int_equal(t->times, 0);
}

static struct told get_now(struct world *w, int member)
{
    struct told t;
    ask(w, member, &t);
    let_pass(TIMEOUT_MS + 100);
    assert_int_equal(t.times, 1);
    return t;
}

static struct told put_now(struct world *w, int member, int32_t version, int64_t epoch)
{
    struct told t;
    write_epoch(w, member, version, epoch, &t);
    let_pass(TIMEOUT_MS + 100);
    assert_int_equal(t.times, 1);
    return t;
}

static void a_record_is_made_and_changed(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1);
    struct told t = get_now(&w, 0);
    assert_int_equal(t.rc, 0);
    assert_int_equal(t.record.version, -1);
    assert_int_equal(t.record.epoch, 0);
    t = put_now(&w, 0, -1, 3); /* parents, too */
    assert_int_equal(t.rc, 0);
    assert_int_equal(t.record.version, 0);
    t = put_now(&w, 0, t.record.version, 4);
    assert_int_equal(t.rc, 0);
    assert_int_equal(t.record.version, 1);
    t = get_now(&w, 1); /* the next owner */
    assert_int_equal(t.rc, 0);
    assert_int_equal(t.record.epoch, 4);
    assert_int_equal(t.record.version, 1);
    assert_int_equal(t.record.fence, FENCE_HELD);
    assert_int_equal(t.record.saved.min_slaves, 1);
    world_done(&w);
}

static void the_slower_of_two_writers_learns_it(void **state)
{
    (void)state;
    struct world w;
    struct told first;
    struct told second;
    world_init(&w, 1);
    write_epoch(&w, 0, -1, 3, &first); /* both make it */
    write_epoch(&w, 1, -1, 4, &second);
    let_pass(TIMEOUT_MS);
    assert_int_equal(first.times + second.times, 2);
    assert_int_equal((first.rc == 0) + (second.rc == 0), 1);
    assert_int_equal((first.rc == XP_CONFLICT) + (second.rc == XP_CONFLICT), 1);
    write_epoch(&w, 0, 0, 5, &first); /* both change it */
    write_epoch(&w, 1, 0, 6, &second);
    let_pass(TIMEOUT_MS);
    assert_int_equal((first.rc == 0) + (second.rc == 0), 1);
    assert_int_equal((first.rc == XP_CONFLICT) + (second.rc == XP_CONFLICT), 1);
    fake_zk_foreign_delete(w.server, NODE); /* and somebody removed it */
    first = put_now(&w, 0, 1, 7);
    assert_int_equal(first.rc, XP_CONFLICT);
    world_done(&w);
}

static void silence_ends_in_time(void **state)
{
    (void)state;
    struct world w;
    struct told get;
    struct told put;
    world_init(&w, 1);
    put_now(&w, 0, -1, 3);
    fake_zk_cut(w.members[0].zk, true);
    mono_ms started = clock_mono_ms();
    ask(&w, 0, &get);
    write_epoch(&w, 0, 0, 4, &put);
    let_pass(TIMEOUT_MS);
    assert_int_equal(get.times + put.times, 2);
    assert_int_equal(get.rc, XP_TIMEOUT);
    assert_int_equal(put.rc, XP_TIMEOUT);
    assert_int_equal(get.at, started + TIMEOUT_MS);
    let_pass(10 * SESSION_MS); /* no session: refused, still not inside the call */
    get = get_now(&w, 0);
    assert_int_equal(get.rc, XP_UNAVAILABLE);
    put = put_now(&w, 0, 0, 4);
    assert_int_equal(put.rc, XP_UNAVAILABLE);
    fake_zk_cut(w.members[0].zk, false);
    let_pass(4 * SESSION_MS);
    get = get_now(&w, 0);
    assert_int_equal(get.rc, 0);
    assert_int_equal(get.record.epoch, 3);
    world_done(&w);
}

static void a_lost_session_leaves_a_put_unknown(void **state)
{
    (void)state;
    struct world w;
    struct told t;
    world_init(&w, 1);
    put_now(&w, 0, -1, 3);
    fake_zk_set_link(w.members[0].zk, FAKE_ZK_DEAF); /* it arrives, the answer does not */
    write_epoch(&w, 0, 0, 4, &t);
    let_pass(TIMEOUT_MS);
    assert_int_equal(t.rc, XP_TIMEOUT);
    t = get_now(&w, 1);
    assert_int_equal(t.record.epoch, 4);
    fake_zk_set_link(w.members[0].zk, FAKE_ZK_OPEN);
    let_pass(4 * SESSION_MS);
    t = put_now(&w, 0, 0, 4); /* what it knew is old */
    assert_int_equal(t.rc, XP_CONFLICT);
    world_done(&w);
}

static void garbage_counts_as_no_record_and_is_written_over(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 1);
    fake_zk_foreign_set(w.server, NODE, "{\"epoch\":\"many\"}");
    struct told t = get_now(&w, 0);
    assert_int_equal(t.rc, 0);
    assert_int_equal(t.record.epoch, 0);
    assert_int_equal(t.record.version, 0);
    t = put_now(&w, 0, t.record.version, 5);
    assert_int_equal(t.rc, 0);
    assert_int_equal(get_now(&w, 1).record.epoch, 5);
    world_done(&w);
}

static void who_has_gone_is_not_answered(void **state)
{
    (void)state;
    struct world w;
    struct told gone;
    struct told stays;
    world_init(&w, 1);
    ask(&w, 0, &gone);
    ask(&w, 0, &stays);
    switch_records_forget(w.members[0].records, &gone);
    let_pass(TIMEOUT_MS + 100);
    assert_int_equal(gone.times, 0);
    assert_int_equal(stays.times, 1);
    ask(&w, 0, &gone);
    switch_records_set_zk(w.members[0].records, NULL); /* another client: answered at once */
    let_pass(0);
    assert_int_equal(gone.times, 1);
    assert_int_equal(gone.rc, XP_UNAVAILABLE);
    assert_int_equal(get_now(&w, 0).rc, XP_UNAVAILABLE);
    switch_records_set_zk(w.members[0].records, w.members[0].zk);
    assert_int_equal(get_now(&w, 0).rc, 0);
    ask(&w, 0, &gone);
    switch_records_free(TAKE(w.members[0].records)); /* with a request under way */
    let_pass(TIMEOUT_MS + 100);
    assert_int_equal(gone.times, 0);
    w.members[0].records = switch_records_new(w.loop, "xpipe");
    world_done(&w);
}

/* ---- random trouble ---- */

struct writer { /* adds 1 to the epoch again and again: get, put over it */
    struct world *world;
    int member;
    bool is_waiting;
    mono_ms since;
    int64_t confirmed; /* puts that were told to have worked */
    int64_t unknown;
};

static void added(int rc, const struct switch_record *record, void *arg)
{
    struct writer *x = arg;
    (void)record;
    assert_true(x->is_waiting);
    x->is_waiting = false;
    x->confirmed += rc == 0;
    x->unknown += rc == XP_TIMEOUT || rc == XP_UNAVAILABLE || rc == XP_CONFLICT;
}

static void got(int rc, const struct switch_record *record, void *arg)
{
    struct writer *x = arg;
    assert_true(x->is_waiting);
    if (rc < 0) {
        x->is_waiting = false;
        return;
    }
    struct switch_record next = *record;
    next.epoch++;
    switch_record_put(x->world->members[x->member].records, 7, 70, &next, TIMEOUT_MS, added, x);
}

static void start_one(struct writer *x)
{
    if (!x->is_waiting) {
        x->is_waiting = true;
        x->since = clock_mono_ms();
        switch_record_get(x->world->members[x->member].records, 7, 70, TIMEOUT_MS, got, x);
    }
}

/* Every confirmed addition is in the record, and nothing that was not asked for: no write was lost under another. */
static const char *run_seed(uint64_t seed)
{
    struct world w;
    struct dice d = { .state = seed };
    world_init(&w, seed);
    struct writer writers[] = { { .world = &w, .member = 0 }, { .world = &w, .member = 1 } };
    for (int step = 0; step < STEPS; step++) {
        struct zk *zk = w.members[dice_roll(&d, 2)].zk;
        start_one(&writers[dice_roll(&d, 2)]);
        switch (dice_roll(&d, 12)) {
        case 0:
            fake_zk_set_link(zk, FAKE_ZK_CUT);
            break;
        case 1:
            fake_zk_set_link(zk, FAKE_ZK_DEAF);
            break;
        case 2:
            fake_zk_expire(zk);
            break;
        case 3:
            fake_zk_set_link(zk, FAKE_ZK_OPEN);
            break;
        default:
            break;
        }
        let_pass(dice_between(&d, 0, dice_chance(&d, 10) ? SESSION_MS : 60));
        for (size_t i = 0; i < ARRAY_LEN(writers); i++) {
            if (writers[i].is_waiting && clock_mono_ms() - writers[i].since > 2 * TIMEOUT_MS) {
                return "a request was not answered in time";
            }
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(w.members); i++) {
        fake_zk_set_link(w.members[i].zk, FAKE_ZK_OPEN);
    }
    let_pass(10 * SESSION_MS);
    struct told last = get_now(&w, 0);
    int64_t sure = writers[0].confirmed + writers[1].confirmed;
    int64_t perhaps = writers[0].unknown + writers[1].unknown;
    bool is_right =
        last.rc == 0 && last.record.epoch >= sure && last.record.epoch <= sure + perhaps;
    world_done(&w);
    return is_right ? NULL : "the record does not add up";
}

static void nothing_is_lost_under_another_write(void **state)
{
    (void)state;
    seeds_run(&(struct seeds){ .first = 1, .count = seeds_wanted(SEEDS), .run = run_seed });
}

int main(void)
{
    log_set_level(getenv("SIM_LOG") ? LOG_INFO : LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_is_made_and_changed),
        cmocka_unit_test(the_slower_of_two_writers_learns_it),
        cmocka_unit_test(silence_ends_in_time),
        cmocka_unit_test(a_lost_session_leaves_a_put_unknown),
        cmocka_unit_test(garbage_counts_as_no_record_and_is_written_over),
        cmocka_unit_test(who_has_gone_is_not_answered),
        cmocka_unit_test(nothing_is_lost_under_another_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
