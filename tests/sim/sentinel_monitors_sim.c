/* sentinel_monitors_sim.c - monitors of shards on scripted sentinels: added, corrected after a while, removed; who lies, who is
 * silent, who was faster; one connection for all. */
#include <stdio.h>
#include <string.h>

#include "meta/primary/sentinel_monitors.h"
#include "shared/base/mem.h"
#include "shared/base/metrics.h"
#include "shared/base/str.h"
#include "tests/sim/fake_loop.h"
#include "tests/sim/fake_random.h"
#include "tests/sim/fake_rconn.h"
#include "tests/unit/unit.h"

#include "shared/base/banned.h"

enum { SENTINELS = 6, PERIOD_MS = 10000, DIFFERS_MS = 30000 };
#define NAME "demo+s1+jq"

enum trick {
    HONEST,
    PRETENDS,  /* +OK to MONITOR, and nothing */
    CONTESTED, /* another one's MONITOR arrives right before ours */
    BROKEN,    /* -ERR to everything */
};

struct sentinel {
    struct addr addr;
    bool has_monitor;
    struct addr watched;
    const char *flags;
    int quorum;
    enum trick trick;
    int masters; /* SENTINEL MASTER that reached it */
    int monitors;
    int removes;
};

struct world {
    struct loop *loop;
    struct sentinel sentinels[SENTINELS];
    struct sentinel_monitors *monitors;
    struct monitored_shard *shard;
    struct cluster_meta cluster;
    struct monitored_state state;
    bool may;
    int asked;             /* may_command */
    bool demote_on_remove; /* the DC stops being the primary one between REMOVE and MONITOR */
};

static struct world *w;

/* ---- sentinels ---- */

static struct rreply *text_reply(enum rreply_type type, const char *text)
{
    return rreply_new_text(type, text, strlen(text));
}

static struct rreply *master_reply(const struct sentinel *s)
{
    char port[12];
    (void)snprintf(port, sizeof(port), "%d", s->watched.port);
    const char *const words[] = { "name", NAME,    "ip",     s->watched.host, "port",
                                  port,   "flags", s->flags, "quorum",        "2" };
    struct rreply *items[ARRAY_LEN(words)];
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        items[i] = text_reply(RREPLY_BULK, words[i]);
    }
    return rreply_new_array(items, ARRAY_LEN(words));
}

static struct rreply *on_monitor(struct sentinel *s, const char *const *argv)
{
    s->monitors++;
    if (s->trick == PRETENDS) {
        return text_reply(RREPLY_STATUS, "OK");
    }
    if (s->trick == CONTESTED) {
        s->trick = HONEST;
        s->has_monitor = true;
        s->watched = addr_of("10.9.9.9", 6379);
    }
    if (s->has_monitor) {
        return text_reply(RREPLY_ERROR, "ERR Duplicate master name.");
    }
    int64_t port = 0;
    int64_t quorum = 0;
    assert_true(text_to_i64(argv[4], strlen(argv[4]), 1, 65535, &port));
    assert_true(text_to_i64(argv[5], strlen(argv[5]), 1, 5, &quorum));
    s->has_monitor = true;
    s->watched = addr_of(argv[3], (int)port);
    s->quorum = (int)quorum;
    return text_reply(RREPLY_STATUS, "OK");
}

static struct rreply *on_remove(struct sentinel *s)
{
    s->removes++;
    if (w->demote_on_remove) {
        w->state.place = TREE_BACKUP;
    }
    if (!s->has_monitor) {
        return text_reply(RREPLY_ERROR, "ERR No such master with that name");
    }
    s->has_monitor = false;
    return text_reply(RREPLY_STATUS, "OK");
}

static struct rreply *on_command(const struct addr *addr, size_t argc, const char *const *argv,
                                 void *arg)
{
    (void)arg;
    struct sentinel *s = NULL;
    for (size_t i = 0; i < SENTINELS; i++) {
        s = addr_eq(&w->sentinels[i].addr, addr) ? &w->sentinels[i] : s;
    }
    assert_non_null(s);
    assert_string_equal(argv[0], "SENTINEL");
    assert_string_equal(argv[2], NAME);
    if (s->trick == BROKEN) {
        return text_reply(RREPLY_ERROR, "NOAUTH Authentication required.");
    }
    if (strcmp(argv[1], "MASTER") == 0) {
        s->masters++;
        return s->has_monitor ? master_reply(s)
                              : text_reply(RREPLY_ERROR, "ERR No such master with that name");
    }
    if (strcmp(argv[1], "MONITOR") == 0) {
        assert_int_equal(argc, 6);
        return on_monitor(s, argv);
    }
    assert_string_equal(argv[1], "REMOVE");
    return on_remove(s);
}

/* ---- the world ---- */

static int may_command(const struct cluster_meta *cluster, void *arg, struct xp_err *err)
{
    (void)arg;
    assert_ptr_equal(cluster, &w->cluster);
    w->asked++;
    return w->may ? 0 : xp_fail(err, XP_NOT_OWNER, "not ours");
}

static void tell_state(void *arg, struct monitored_state *ret_state)
{
    assert_ptr_equal(arg, w);
    *ret_state = w->state;
}

static int open_world(void **state)
{
    w = xcalloc(1, sizeof(*w));
    fake_clock_set(1000000, 1700000000000);
    fake_random_seed(7);
    fake_redis_reset();
    fake_redis_handle(on_command, NULL);
    w->loop = loop_new();
    for (int i = 0; i < SENTINELS; i++) {
        w->sentinels[i] =
            (struct sentinel){ .addr = addr_of("10.0.0.1", 5000 + i), .flags = "master" };
    }
    w->may = true;
    w->cluster.refs = 1;
    w->state = (struct monitored_state){ .cluster = &w->cluster,
                                         .place = TREE_PRIMARY,
                                         .is_single_master = true,
                                         .master = addr_of("10.1.0.1", 6379) };
    struct sentinel_monitors_options options = { .loop = w->loop,
                                                 .period_ms = PERIOD_MS,
                                                 .differs_ms = DIFFERS_MS,
                                                 .timeout_ms = 500,
                                                 .may_command = may_command };
    w->monitors = sentinel_monitors_new(&options);
    *state = w;
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    sentinel_monitors_remove(w->monitors, w->shard);
    sentinel_monitors_free(w->monitors);
    fake_loop_advance_to(clock_mono_ms() + 1000);
    fake_redis_reset();
    loop_free(w->loop);
    free(w);
    return 0;
}

static void add(const char *address)
{
    w->shard = sentinel_monitors_add(w->monitors, NAME, address, tell_state, w);
}

static void pass(int64_t ms)
{
    fake_loop_advance_to(clock_mono_ms() + ms);
}

/* Until the monitor was looked at 'rounds' times; connecting takes less than the first. */
static void rounds(int count)
{
    pass((int64_t)count * PERIOD_MS);
}

static void assert_watches(int index, const char *host)
{
    const struct sentinel *s = &w->sentinels[index];
    assert_true(s->has_monitor);
    assert_string_equal(s->watched.host, host);
}

static void preset(int index, const char *host)
{
    w->sentinels[index].has_monitor = true;
    w->sentinels[index].watched = addr_of(host, 6379);
}

static void assert_rule(const char *rule)
{
    json_t *json = monitored_shard_json(w->shard);
    json_t *first = json_array_get(json_object_get(json, "sentinels"), 0);
    assert_string_equal(json_string_value(json_object_get(first, "rule")), rule);
    json_decref(json);
}

#define THREE "10.0.0.1:5000,10.0.0.1:5001,10.0.0.1:5002"
#define ONE   "10.0.0.1:5000"

static void a_missing_monitor_is_added_everywhere(void **state)
{
    (void)state;
    add(THREE);
    rounds(1);
    assert_int_equal(w->sentinels[0].masters, 2); /* what was done is read back */
    assert_rule("M34");
    rounds(1);
    for (int i = 0; i < 3; i++) {
        assert_watches(i, "10.1.0.1");
        assert_int_equal(w->sentinels[i].quorum, 2);
        assert_int_equal(w->sentinels[i].monitors, 1);
    }
    int masters = w->sentinels[0].masters;
    rounds(5);
    assert_int_equal(w->sentinels[0].monitors, 1);
    assert_int_equal(w->sentinels[0].masters, masters + 5); /* one look a period */
    assert_rule("M34");
}

static void at_most_five_with_a_quorum_of_three(void **state)
{
    (void)state;
    add(THREE ",10.0.0.1:5003,10.0.0.1:5001,10.0.0.1:5004,10.0.0.1:5005,sentinel.example:1");
    rounds(2);
    for (int i = 0; i < 5; i++) { /* the second 5001 does not count */
        assert_int_equal(w->sentinels[i].quorum, 3);
    }
    assert_int_equal(w->sentinels[5].masters, 0);
}

static void a_wrong_address_is_put_right_after_a_while(void **state)
{
    (void)state;
    preset(0, "10.1.0.2");
    add(ONE);
    rounds(3);
    assert_watches(0, "10.1.0.2"); /* the sentinel may have promoted it: time to be seen */
    assert_rule("M36");
    rounds(2);
    assert_watches(0, "10.1.0.1");
    assert_int_equal(w->sentinels[0].removes, 1);
    assert_int_equal(w->sentinels[0].monitors, 1);
}

static void sentinels_promote_and_this_follows(void **state)
{
    (void)state;
    add(ONE);
    rounds(2);
    w->sentinels[0].watched = addr_of("10.1.0.2", 6379); /* promoted there */
    rounds(2);
    w->state.master = addr_of("10.1.0.2", 6379); /* seen */
    sentinel_monitors_kick(w->monitors, w->shard);
    rounds(6);
    assert_watches(0, "10.1.0.2");
    assert_int_equal(w->sentinels[0].removes, 0);
}

static void another_master_starts_the_time_anew(void **state)
{
    (void)state;
    preset(0, "10.1.0.9");
    add(ONE);
    rounds(3);
    w->state.master = addr_of("10.1.0.3", 6379);
    rounds(3);
    assert_watches(0, "10.1.0.9");
    rounds(2);
    assert_watches(0, "10.1.0.3");
}

static void a_failover_under_way_is_not_disturbed(void **state)
{
    (void)state;
    preset(0, "10.1.0.2");
    w->sentinels[0].flags = "master,s_down,o_down,failover_in_progress";
    add(ONE);
    rounds(20);
    assert_watches(0, "10.1.0.2");
    assert_rule("M38");
    w->sentinels[0].flags = "master";
    rounds(1);
    assert_watches(0, "10.1.0.1");
}

static void a_backup_dc_has_no_monitor(void **state)
{
    (void)state;
    preset(0, "10.1.0.1");
    w->state.place = TREE_BACKUP;
    w->state.is_single_master = false;
    add(ONE);
    rounds(2);
    assert_false(w->sentinels[0].has_monitor);
    rounds(3);
    assert_int_equal(w->sentinels[0].removes, 1);
    assert_int_equal(w->sentinels[0].monitors, 0);
}

static void nothing_without_a_single_master_or_while_migrating(void **state)
{
    (void)state;
    w->state.is_single_master = false;
    add(ONE);
    rounds(3);
    assert_int_equal(w->sentinels[0].monitors, 0);
    w->state.is_single_master = true;
    w->cluster.is_migrating = true;
    rounds(3);
    assert_int_equal(w->sentinels[0].monitors, 0);
    w->cluster.is_migrating = false;
    rounds(1);
    assert_int_equal(w->sentinels[0].monitors, 1);
}

static void no_command_without_ownership(void **state)
{
    (void)state;
    w->may = false;
    add(ONE);
    rounds(3);
    assert_true(w->asked >= 2);
    assert_true(w->sentinels[0].masters >= 2); /* reading is no command */
    assert_int_equal(w->sentinels[0].monitors, 0);
    w->may = true;
    rounds(1);
    assert_int_equal(w->sentinels[0].monitors, 1);
}

static void ownership_is_asked_again_after_the_removal(void **state)
{
    (void)state;
    preset(0, "10.1.0.2");
    w->demote_on_remove = true;
    add(ONE);
    rounds(8);
    assert_int_equal(w->sentinels[0].removes, 1);
    assert_int_equal(w->sentinels[0].monitors, 0); /* it would promote in a backup DC */
}

static void who_was_faster_is_corrected_at_once(void **state)
{
    (void)state;
    w->sentinels[0].trick = CONTESTED;
    add(ONE);
    rounds(1);
    assert_watches(0, "10.1.0.1");
    assert_int_equal(w->sentinels[0].monitors, 2);
    assert_int_equal(w->sentinels[0].removes, 1);
}

static void a_liar_costs_a_few_commands_a_period(void **state)
{
    (void)state;
    w->sentinels[0].trick = PRETENDS;
    add(ONE);
    rounds(10);
    assert_in_range(w->sentinels[0].monitors, 10, 22);
}

static void refusals_are_shown_and_silence_is_no_answer(void **state)
{
    (void)state;
    w->sentinels[0].trick = BROKEN;
    fake_redis_set(NULL, &w->sentinels[1].addr, FAKE_REDIS_MUTE);
    add(THREE);
    rounds(3);
    assert_watches(2, "10.1.0.1");
    assert_int_equal(w->sentinels[0].monitors + w->sentinels[1].monitors, 0);
    json_t *json = monitored_shard_json(w->shard);
    json_t *first = json_array_get(json_object_get(json, "sentinels"), 0);
    assert_string_equal(json_string_value(json_object_get(first, "problem")),
                        "NOAUTH Authentication required.");
    assert_string_equal(json_string_value(json_object_get(first, "seen")), "unknown");
    json_decref(json);
    fake_redis_set(NULL, &w->sentinels[1].addr, FAKE_REDIS_UP);
    rounds(3);
    assert_watches(1, "10.1.0.1");
}

static void a_lost_answer_is_read_back(void **state)
{
    (void)state;
    add(ONE);
    pass(1);
    fake_redis_set(NULL, &w->sentinels[0].addr, FAKE_REDIS_REPLY_LOST);
    rounds(2);
    fake_redis_set(NULL, &w->sentinels[0].addr, FAKE_REDIS_UP);
    rounds(3);
    assert_watches(0, "10.1.0.1");
    assert_int_equal(w->sentinels[0].removes, 0);
    assert_rule("M34");
}

static int count_monitors(void)
{
    int count = 0;
    for (int i = 0; i < SENTINELS; i++) {
        count += w->sentinels[i].has_monitor;
    }
    return count;
}

static void retire(const char *kept)
{
    sentinel_monitors_retire(w->monitors, w->shard, kept);
    w->shard = NULL;
}

static void who_leaves_for_good_takes_its_monitors_along(void **state)
{
    (void)state;
    add(THREE);
    rounds(2);
    sentinel_monitors_remove(w->monitors, w->shard); /* the slot went to another: they stay */
    rounds(2);
    assert_int_equal(count_monitors(), 3);
    add(THREE);
    rounds(1);
    retire(NULL);
    pass(100);
    assert_int_equal(count_monitors(), 0);
    int64_t commands = fake_redis_commands_count();
    rounds(5);
    assert_int_equal(fake_redis_commands_count(), commands);
}

static void another_group_spares_what_both_have(void **state)
{
    (void)state;
    const char *next = "10.0.0.1:5001,10.0.0.1:5002,10.0.0.1:5003";
    add(THREE);
    rounds(2);
    retire(next);
    add(next);
    rounds(2);
    assert_false(w->sentinels[0].has_monitor);
    for (int i = 1; i <= 3; i++) {
        assert_true(w->sentinels[i].has_monitor);
        assert_int_equal(w->sentinels[i].removes, 0);
    }
}

static void leaving_needs_ownership_and_ends(void **state)
{
    (void)state;
    add(THREE);
    rounds(2);
    w->may = false;
    retire(NULL);
    rounds(5);
    w->may = true;
    rounds(5);
    assert_int_equal(count_monitors(), 3); /* it was given up */

    add(THREE);
    rounds(2);
    fake_redis_set(NULL, &w->sentinels[0].addr, FAKE_REDIS_MUTE);
    retire(NULL);
    rounds(2);
    assert_int_equal(count_monitors(), 1);
    fake_redis_set(NULL, &w->sentinels[0].addr, FAKE_REDIS_UP);
    rounds(3);
    assert_int_equal(count_monitors(), 0);
    add(THREE);
    rounds(2);
    retire(NULL); /* the end of the world finds it leaving */
}

static void assert_metric(const char *line)
{
    AUTO_STR struct str all = STR_INIT(1 << 20);
    metrics_print(&all);
    if (!strstr(str_text(&all), line)) {
        fail_msg("no line '%s'", line);
    }
}

static bool is_reachable(void)
{
    json_t *json = monitored_shard_json(w->shard);
    bool is = json_is_true(json_object_get(json, "reachable"));
    json_decref(json);
    return is;
}

static void a_group_that_nobody_reaches(void **state)
{
    (void)state;
    fake_redis_set(NULL, &w->sentinels[0].addr, FAKE_REDIS_REFUSES);
    add(ONE);
    rounds(3);
    assert_false(is_reachable());
    assert_metric("\nxpipe_meta_sentinel_groups_unreachable 1\n");
    fake_redis_set(NULL, &w->sentinels[0].addr, FAKE_REDIS_UP);
    rounds(3);
    assert_true(is_reachable());
    assert_metric("\nxpipe_meta_sentinel_groups_unreachable 0\n");
    assert_watches(0, "10.1.0.1");
}

static void shards_share_connections_and_leave_with_commands_under_way(void **state)
{
    (void)state;
    enum { SHARDS = 200 };
    struct monitored_shard *shards[SHARDS];
    for (int i = 0; i < SHARDS; i++) {
        shards[i] = sentinel_monitors_add(w->monitors, NAME, i % 2 ? THREE : ONE, tell_state, w);
    }
    assert_metric("\nxpipe_meta_sentinel_connections 3\n");
    fake_redis_set_latency(&w->sentinels[0].addr, 400);
    rounds(2);
    assert_true(w->sentinels[0].masters >= SHARDS);
    assert_int_equal(w->sentinels[0].monitors > 0, true);
    for (int i = 0; i < SHARDS; i++) {
        pass(7);
        sentinel_monitors_remove(w->monitors, shards[i]); /* some are just asking */
    }
    assert_metric("\nxpipe_meta_sentinel_connections 0\n");
    int64_t commands = fake_redis_commands_count();
    rounds(3);
    assert_true(fake_redis_commands_count() - commands < 64); /* what was on its way */
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_missing_monitor_is_added_everywhere),
        CASE(at_most_five_with_a_quorum_of_three),
        CASE(a_wrong_address_is_put_right_after_a_while),
        CASE(sentinels_promote_and_this_follows),
        CASE(another_master_starts_the_time_anew),
        CASE(a_failover_under_way_is_not_disturbed),
        CASE(a_backup_dc_has_no_monitor),
        CASE(nothing_without_a_single_master_or_while_migrating),
        CASE(no_command_without_ownership),
        CASE(ownership_is_asked_again_after_the_removal),
        CASE(who_was_faster_is_corrected_at_once),
        CASE(a_liar_costs_a_few_commands_a_period),
        CASE(refusals_are_shown_and_silence_is_no_answer),
        CASE(a_lost_answer_is_read_back),
        CASE(who_leaves_for_good_takes_its_monitors_along),
        CASE(another_group_spares_what_both_have),
        CASE(leaving_needs_ownership_and_ends),
        CASE(a_group_that_nobody_reaches),
        CASE(shards_share_connections_and_leave_with_commands_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
