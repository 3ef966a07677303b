/* shard_set_sim.c - which shards are worked on: slots, types, clusters that come, go, and use names again. */
#include <string.h>

#include "meta/peers/shard_duty.h"
#include "meta/shards/shard_set.h"
#include "meta/slots/slot.h"
#include "shared/base/log.h"
#include "tests/sim/fake_loop.h"
#include "tests/sim/fake_dc_links.h"
#include "tests/sim/fake_rconn.h"
#include "tests/unit/unit.h"

#include "tests/unit/dc_fixture.h"

#include "shared/base/banned.h"

struct fixture {
    struct loop *loop;
    struct dc_store *store;
    struct duty_env env;
    struct peer_env peer_env;
    struct shard_set *set;
};

static int may_command(const struct cluster_meta *cluster, void *arg, struct xp_err *err)
{
    (void)cluster;
    (void)arg;
    return xp_fail(err, XP_NOT_OWNER, "never");
}

static void on_cluster(const struct cluster_meta *before, struct cluster_meta *after, void *arg)
{
    shard_set_cluster(((struct fixture *)arg)->set, before, after);
}

static void on_routes(void *arg)
{
    shard_set_routes(((struct fixture *)arg)->set);
}

static int open_set(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    struct dc_listener listener = { .on_cluster = on_cluster, .on_routes = on_routes, .arg = f };
    f->loop = loop_new();
    f->store = dc_store_new("jq", 60000, &listener);
    fake_redis_reset();
    f->env = (struct duty_env){
        .loop = f->loop,
        .store = f->store,
        .may_command = may_command,
        .client_name = "xpipe-meta-1",
        .poll_ms = 1000,
        .poll_fast_ms = 250,
        .redis_timeout_ms = 1000,
    };
    f->peer_env = (struct peer_env){
        .duty = &f->env,
        .board = master_board_new(),
        .links = fake_dc_links_new(),
    };
    struct duty_maker maker = { CLUSTER_BI_DIRECTION, shard_duty_new, &f->peer_env };
    f->set = shard_set_new(f->store, &maker, 1);
    for (int slot = 0; slot < SLOT_COUNT; slot++) {
        shard_set_slot(f->set, slot, slot != 200);
    }
    *state = f;
    return 0;
}

static int close_set(void **state)
{
    struct fixture *f = *state;
    shard_set_free(f->set);
    dc_store_free(f->store);
    dc_links_free(f->peer_env.links);
    master_board_free(f->peer_env.board);
    loop_free(f->loop);
    free(f);
    return 0;
}

static void put(struct fixture *f, struct cluster_row row)
{
    assert_int_equal(dc_store_put(f->store, cluster_of(&row), 1, NULL), 0);
}

static void publish(struct fixture *f, const struct cluster_row *rows)
{
    struct dc_meta *before = dc_store_snapshot(f->store);
    struct dc_meta *after = document_of(1, rows, "");
    struct dc_diff diff;
    struct brake_verdict verdict = { 0 };
    dc_diff_make(before, after, "jq", &diff);
    assert_int_equal(
        dc_store_apply(f->store, dc_store_seq(f->store), after, &diff, &verdict, 1, NULL), 0);
    dc_diff_done(&diff);
    dc_meta_free(before);
    dc_meta_free(after);
}

/* The duty of that name exists and works for the cluster that has the name now. */
static void assert_served(const struct fixture *f, const char *cluster)
{
    const struct duty *duty = shard_set_find(f->set, cluster, "s1");
    assert_non_null(duty);
    assert_true(duty_is_of(duty, dc_store_cluster(f->store, cluster)));
    assert_string_equal(duty->cluster->name, cluster);
}

static void slots_decide(void **state)
{
    struct fixture *f = *state;
    put(f, (struct cluster_row)C("a", 1));
    put(f, (struct cluster_row)C("b", 200)); /* slot 200 is not ours */
    assert_served(f, "a");
    assert_null(shard_set_find(f->set, "b", "s1"));
    shard_set_slot(f->set, 200, true);
    assert_served(f, "b");
    const struct duty *b = shard_set_find(f->set, "b", "s1");
    shard_set_slot(f->set, 200, true); /* told again: nothing is made anew */
    assert_ptr_equal(shard_set_find(f->set, "b", "s1"), b);
    shard_set_slot(f->set, 1, false);
    assert_null(shard_set_find(f->set, "a", "s1"));
    assert_int_equal(shard_set_count(f->set), 1);
}

static void only_bi_direction(void **state)
{
    struct fixture *f = *state;
    put(f, (struct cluster_row)C("a", 1, .type = "ONE_WAY"));
    assert_int_equal(shard_set_count(f->set), 0);
    put(f, (struct cluster_row)C("a", 1));
    assert_served(f, "a");
    put(f, (struct cluster_row)C("a", 1, .type = "ONE_WAY"));
    assert_int_equal(shard_set_count(f->set), 0);
}

static void changes_keep_the_duty(void **state)
{
    struct fixture *f = *state;
    put(f, (struct cluster_row)C("a", 1));
    struct duty *duty = shard_set_find(f->set, "a", "s1");
    put(f, (struct cluster_row)C("a", 1, "6379,6380", "jq,fra,oy"));
    assert_ptr_equal(shard_set_find(f->set, "a", "s1"), duty);
    assert_true(shard_duty_has_peer(shard_duty_of(duty), "oy"));
    put(f, (struct cluster_row)C("a", 1, "6379", "jq,oy"));
    assert_false(shard_duty_has_peer(shard_duty_of(duty), "fra"));
    assert_int_equal(dc_store_remove(f->store, "a", 0, 2, NULL), 0);
    assert_int_equal(shard_set_count(f->set), 0);
}

static void a_renamed_cluster_moves(void **state)
{
    struct fixture *f = *state;
    put(f, (struct cluster_row)C("a", 1));
    put(f, (struct cluster_row)C("b", 1));
    assert_null(shard_set_find(f->set, "a", "s1"));
    assert_served(f, "b");
    assert_int_equal(shard_set_count(f->set), 1);
}

/* What was told about one cluster must not be used for the other that has its name now. */
static void exchanged_names_exchange_nothing_else(void **state)
{
    struct fixture *f = *state;
    publish(f, ROWS(C("a", 1), C("b", 2)));
    int asked = fake_dc_links_asked(f->peer_env.links, "fra");
    publish(f, ROWS(C("b", 1), C("a", 2)));
    assert_served(f, "a");
    assert_served(f, "b");
    assert_int_equal(shard_set_count(f->set), 2);
    assert_int_equal(fake_dc_links_asked(f->peer_env.links, "fra"),
                     asked + 2); /* both begin anew */
}

static void a_name_given_to_a_new_cluster(void **state)
{
    struct fixture *f = *state;
    publish(f, ROWS(C("a", 1)));
    publish(f, ROWS(C("a", 7))); /* added and removed, in any order */
    assert_served(f, "a");
    put(f, (struct cluster_row)C("a", 8));
    assert_served(f, "a");
    publish(f, ROWS(C("a", 200)));
    assert_int_equal(shard_set_count(f->set), 0);
}

static void a_shard_made_anew(void **state)
{
    struct fixture *f = *state;
    put(f, (struct cluster_row)C("a", 1));
    AUTO_FREE char *text =
        xstrdup("{\"id\":\"a\",\"dbId\":1,\"type\":\"BI_DIRECTION\",\"dcs\":\"jq,fra\",\"shards\":"
                "{\"s1\":{\"id\":\"s1\",\"dbId\":99,\"redises\":[]},\"s2\":{\"id\":\"s2\",\"dbId\":"
                "98,\"redises\":[]}}}");
    json_t *json = json_loads(text, 0, NULL);
    struct cluster_meta *cluster = NULL;
    assert_int_equal(cluster_meta_from_json(json, &cluster, NULL), 0);
    json_decref(json);
    assert_int_equal(dc_store_put(f->store, cluster, 1, NULL), 0);
    assert_served(f, "a");
    assert_int_equal(shard_set_count(f->set), 2);
    put(f, (struct cluster_row)C("a", 1));
    assert_null(shard_set_find(f->set, "a", "s2"));
    assert_int_equal(shard_set_count(f->set), 1);
}

#define GAINED 50

static struct rreply *note_poll(const struct addr *addr, size_t argc, const char *const *argv,
                                void *arg)
{
    bool *polled = arg;
    polled[addr->port - 7000] |= argc > 0 && strcmp(argv[0], "ROLE") == 0;
    return NULL;
}

/* Found by bench/takeover.py: the first look at a gained shard waited for its place in the period of the polls, so a
 * take-over lasted up to a period longer than it had to: a minute, where the operator polls once a minute. */
static void a_gained_slot_is_looked_at_soon(void **state)
{
    struct fixture *f = *state;
    bool polled[GAINED] = { false };
    fake_redis_handle(note_poll, polled);
    f->env.poll_ms = 60000;
    for (int i = 0; i < GAINED; i++) {
        char name[16];
        char port[16];
        (void)snprintf(name, sizeof(name), "c%d", i);
        (void)snprintf(port, sizeof(port), "%d", 7000 + i);
        put(f, (struct cluster_row)C(name, 200 + SLOT_COUNT * i, port));
    }
    shard_set_slot(f->set, 200, true);
    fake_loop_advance_to(clock_mono_ms() + 260);
    for (int i = 0; i < GAINED; i++) {
        assert_true(polled[i]);
    }
}

#define T(f) cmocka_unit_test_setup_teardown(f, open_set, close_set)

int main(void)
{
    log_set_level(LOG_LEVELS);
    const struct CMUnitTest tests[] = {
        T(slots_decide),
        T(only_bi_direction),
        T(changes_keep_the_duty),
        T(a_renamed_cluster_moves),
        T(exchanged_names_exchange_nothing_else),
        T(a_name_given_to_a_new_cluster),
        T(a_shard_made_anew),
        T(a_gained_slot_is_looked_at_soon),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
