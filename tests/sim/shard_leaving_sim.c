/* shard_leaving_sim.c - a shard leaves while its last PEEROF is not answered: who commands it next must not meet that command.
 *
 * Found by bench-takeover: the exporter answered at once, and when the Redis was slow the next owner read the old state and
 * sent the same PEEROF again. */
#include "meta/slots/slot.h"
#include "shared/base/log.h"
#include "tests/sim/shard_fixture.h"

#include "shared/base/banned.h"

#define SLOW_MS 800

struct quiet {
    int slot; /* told last; -1: never */
    int count;
};

static void on_quiet(int slot, void *arg)
{
    struct quiet *q = arg;
    q->slot = slot;
    q->count++;
}

static int slot_of_world(const struct world *w)
{
    return slot_of_cluster(dc_store_cluster(w->store, WORLD_CLUSTER)->db_id);
}

/* A correction has reached the slow Redis and its answer is on the way. */
static void send_one(struct world *w, struct quiet *q)
{
    *q = (struct quiet){ .slot = -1 };
    shard_set_on_quiet(w->shards, on_quiet, q);
    world_tell(w, "oy", "10.0.2.1", 2);
    world_pass(w, 3000);
    world_latency(w, SLOW_MS);
    fake_crdt_put(&w->redis[0], 2, &(struct addr){ .host = "10.9.9.9", .port = 1 }, NULL, NULL);
    int before = w->redis[0].peerofs;
    for (int i = 0; i < 5000 && w->redis[0].peerofs == before; i++) {
        world_pass(w, 1);
    }
    assert_int_equal(w->redis[0].peerofs, before + 1);
}

static void a_lost_slot_is_quiet_after_the_answer(void **state)
{
    struct world *w = *state;
    struct quiet q;
    send_one(w, &q);
    int slot = slot_of_world(w);
    shard_set_slot(w->shards, slot, false);
    assert_int_equal(shard_set_count(w->shards), 0);
    assert_false(shard_set_is_quiet(w->shards, slot));
    assert_false(shard_set_is_quiet(w->shards, -1));
    assert_int_equal(q.count, 0);
    world_pass(w, SLOW_MS);
    assert_true(shard_set_is_quiet(w->shards, slot));
    assert_int_equal(q.slot, slot);
    assert_int_equal(q.count, 1);
    int infos = w->redis[0].infos;
    world_pass(w, 5000);
    assert_int_equal(w->redis[0].infos, infos); /* nobody looks any more */
}

static void an_answer_that_never_comes_ends_with_the_time_out(void **state)
{
    struct world *w = *state;
    struct quiet q;
    send_one(w, &q);
    shard_set_slot(w->shards, slot_of_world(w), false);
    fake_redis_set(NULL, &w->redis[0].addr, FAKE_REDIS_REPLY_SILENT);
    world_pass(w, w->env.redis_timeout_ms + SLOW_MS);
    assert_true(shard_set_is_quiet(w->shards, slot_of_world(w)));
    assert_int_equal(q.count, 1);
}

static void a_slot_that_comes_back_waits_for_the_answer(void **state)
{
    struct world *w = *state;
    struct quiet q;
    send_one(w, &q);
    int slot = slot_of_world(w);
    shard_set_slot(w->shards, slot, false);
    shard_set_slot(w->shards, slot, true);
    assert_int_equal(shard_set_count(w->shards), 0);
    world_pass(w, SLOW_MS);
    assert_int_equal(shard_set_count(w->shards), 1);
    int peerofs = w->redis[0].peerofs;
    world_pass(w, 10000);
    assert_int_equal(w->redis[0].peerofs, peerofs); /* the answered command was the only one */
    assert_true(world_has_peer(w, &w->redis[0], 2, "10.0.2.1"));
}

/* Found by system_sim: the new cluster of the old name waited for ever. */
static void a_cluster_made_anew_waits_for_the_answer(void **state)
{
    struct world *w = *state;
    struct quiet q;
    send_one(w, &q);
    w->cluster_id = 2;
    shard_set_slot(w->shards, slot_of_cluster(w->cluster_id), true);
    world_publish(w);
    assert_int_equal(shard_set_count(w->shards), 0);
    world_pass(w, SLOW_MS);
    assert_int_equal(shard_set_count(w->shards), 1);
    assert_int_equal(q.count, 1);
}

static void without_a_command_under_way_nobody_waits(void **state)
{
    struct world *w = *state;
    struct quiet q = { .slot = -1 };
    shard_set_on_quiet(w->shards, on_quiet, &q);
    world_pass(w, 3000);
    shard_set_slot(w->shards, slot_of_world(w), false);
    assert_true(shard_set_is_quiet(w->shards, slot_of_world(w)));
    assert_int_equal(q.count, 0);
}

/* The end of the process does not wait; nothing may leak or be told. */
static void the_set_ends_with_a_command_under_way(void **state)
{
    struct world *w = *state;
    struct quiet q;
    send_one(w, &q);
    shard_set_slot(w->shards, slot_of_world(w), false);
    world_close(w);
    assert_int_equal(q.count, 0);
    world_open(w);
}

#define T(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)

int main(void)
{
    log_set_level(LOG_ERROR);
    const struct CMUnitTest tests[] = {
        T(a_lost_slot_is_quiet_after_the_answer),
        T(an_answer_that_never_comes_ends_with_the_time_out),
        T(a_slot_that_comes_back_waits_for_the_answer),
        T(a_cluster_made_anew_waits_for_the_answer),
        T(without_a_command_under_way_nobody_waits),
        T(the_set_ends_with_a_command_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
