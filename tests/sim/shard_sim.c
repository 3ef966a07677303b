/* shard_sim.c - one shard observed and corrected in virtual time: the real duty over scripted Redis. What stops a correction is in
 * shard_run_sim.c, random runs of many seeds in shard_random_sim.c. */
#include <stdio.h>
#include <string.h>

#include "meta/slots/slot.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/metrics.h"
#include "shared/base/str.h"
#include "tests/sim/shard_fixture.h"

#include "shared/base/banned.h"

#define TWO_PROXIES "PROXYTCP://10.9.0.1:80,PROXYTCP://10.9.0.2:80 PROXYTLS://10.8.0.1:443"

static json_t *verdict_of(const struct world *w, const char *dc)
{
    json_t *state = world_state(w);
    json_t *found = NULL;
    size_t i;
    json_t *row;
    json_array_foreach (json_object_get(state, "peers"), i, row) {
        if (text_eq(json_string_value(json_object_get(row, "dc")), dc)) {
            found = json_incref(json_object_get(row, "verdict"));
        }
    }
    json_decref(state);
    return found;
}

static void assert_verdict(const struct world *w, const char *dc, const char *verdict)
{
    json_t *text = verdict_of(w, dc);
    assert_non_null(text);
    assert_string_equal(json_string_value(text), verdict);
    json_decref(text);
}

/* ---- what is missing or differs ---- */

static void a_missing_peer_is_set_once(void **state)
{
    struct world *w = *state;
    struct fake_crdt *a = &w->redis[0];
    world_pass(w, 5000);
    assert_int_equal(a->peerofs, 0); /* nobody told a master yet */
    assert_true(fake_dc_links_asked(w->links, "oy") > 0);
    mono_ms told_at = clock_mono_ms();
    world_tell(w, "oy", "10.0.2.1", 2);
    world_pass(w, 1000);
    assert_int_equal(a->peerofs, 1);
    assert_true(a->peerof_at <= told_at + 50);
    assert_string_equal(a->last, "PEEROF 2 10.0.2.1 6379");
    world_pass(w, 60000);
    assert_int_equal(world_peerofs(w), 1);
    assert_int_equal(a->rewrites, 0);
    assert_verdict(w, "oy", "OK");
    assert_verdict(w, "fra", "UNKNOWN_PEER_MASTER");
}

static void a_peer_lost_by_redis_comes_back_within_a_poll(void **state)
{
    struct world *w = *state;
    struct fake_crdt *a = settle(w);
    free(a->peers[2].servers);
    a->peers[2] = (struct fake_crdt_peer){ 0 };
    world_pass(w, 1100);
    assert_int_equal(a->peerofs, 1);
    assert_true(world_has_peer(w, a, 2, "10.0.2.1"));
}

static mono_ms next_poll(struct world *w, const struct fake_crdt *redis)
{
    int before = redis->infos;
    for (int i = 0; i < 3000 && redis->infos == before; i++) {
        world_pass(w, 1);
    }
    assert_int_equal(redis->infos, before + 1);
    return clock_mono_ms();
}

/* Or else an event that concerns thousands of shards would make them poll together for ever (bench-poll). */
static void a_kick_does_not_move_the_rhythm_of_polls(void **state)
{
    struct world *w = *state;
    struct fake_crdt *a = settle(w);
    mono_ms at = next_poll(w, a);
    world_pass(w, 300);
    shard_duty_kick(world_duty(w));
    assert_true(next_poll(w, a) < at + 400);
    assert_int_equal(next_poll(w, a), at + 1000);
    assert_int_equal(next_poll(w, a), at + 2000);
}

static void the_order_of_proxies_does_not_matter(void **state)
{
    struct world *w = *state;
    (void)snprintf(w->route, sizeof(w->route), "%s", TWO_PROXIES);
    world_publish(w);
    struct fake_crdt *a = settle(w);
    (void)snprintf(w->route, sizeof(w->route),
                   "PROXYTCP://10.9.0.2:80,PROXYTCP://10.9.0.1:80   PROXYTLS://10.8.0.1:443");
    world_publish(w);
    world_pass(w, 60000);
    assert_int_equal(a->peerofs, 0);
    /* Redis would keep its list then: asking again would never end */
    a->peers[3].up_at = MONO_FOREVER;
    world_pass(w, 60000);
    assert_int_equal(a->peerofs, 0);
}

static void a_proxy_more_is_set_and_written(void **state)
{
    struct world *w = *state;
    (void)snprintf(w->route, sizeof(w->route), "PROXYTCP://10.9.0.1:80");
    world_publish(w);
    struct fake_crdt *a = settle(w);
    mono_ms up_at = a->peers[3].up_at;
    (void)snprintf(w->route, sizeof(w->route), "PROXYTCP://10.9.0.1:80,PROXYTCP://10.9.0.2:80");
    world_publish(w);
    world_pass(w, 30000);
    assert_int_equal(a->peerofs, 1);
    assert_int_equal(a->rewrites, 1);
    assert_false(a->has_unsaved);
    assert_int_equal(a->peers[3].up_at, up_at); /* the link was not cut */
    assert_string_equal(a->peers[3].servers, "PROXYTCP://10.9.0.1:80,PROXYTCP://10.9.0.2:80");
}

static void a_rewrite_waits_for_permission(void **state)
{
    struct world *w = *state;
    (void)snprintf(w->route, sizeof(w->route), "PROXYTCP://10.9.0.1:80");
    world_publish(w);
    struct fake_crdt *a = settle(w);
    (void)snprintf(w->route, sizeof(w->route), "PROXYTCP://10.9.0.1:80,PROXYTCP://10.9.0.2:80");
    world_publish(w);
    w->permission.left = 2; /* yes to the run and to its command, no to what follows */
    world_pass(w, 10000);
    assert_int_equal(a->peerofs, 1);
    assert_int_equal(a->rewrites, 0);
    w->permission.left = -1;
    world_pass(w, 3000);
    assert_int_equal(a->peerofs, 1);
    assert_int_equal(a->rewrites, 1);
}

static void an_unusable_route_leaves_things_alone(void **state)
{
    struct world *w = *state;
    (void)snprintf(w->route, sizeof(w->route), "%s", TWO_PROXIES);
    world_publish(w);
    struct fake_crdt *a = settle(w);
    (void)snprintf(w->route, sizeof(w->route), "PROXYTLS://10.9.0.1:443");
    world_publish(w);
    world_pass(w, 60000);
    assert_int_equal(a->peerofs, 0);
    assert_verdict(w, "fra", "BAD_ROUTE");
    assert_non_null(a->peers[3].servers);
}

static void pushed_before_the_document_goes_not_direct(void **state)
{
    (void)state;
    struct world w;
    world_open_unpublished(&w);
    (void)snprintf(w.route, sizeof(w.route), "%s", TWO_PROXIES);
    world_push(&w);
    world_tell_all(&w);
    fake_loop_advance_to(clock_mono_ms() + 10000);
    assert_int_equal(world_peerofs(&w), 0);
    world_publish(&w);
    world_pass(&w, 3000);
    assert_true(world_has_peer(&w, &w.redis[0], 2, "10.0.2.1"));
    assert_true(world_has_peer(&w, &w.redis[0], 3, "10.0.3.1"));
    world_close(&w);
}

static void links_are_cut_one_a_run(void **state)
{
    struct world *w = *state;
    struct fake_crdt *a = settle(w);
    world_latency(w, 100);
    world_tell(w, "oy", "10.0.2.2", 2);
    world_tell(w, "fra", "10.0.3.2", 3);
    world_pass(w, 5000);
    assert_int_equal(a->peerofs, 2);
    assert_true(world_has_peer(w, a, 2, "10.0.2.2"));
    assert_true(world_has_peer(w, a, 3, "10.0.3.2"));
}

/* ---- masters ---- */

static void a_failover_is_followed(void **state)
{
    struct world *w = *state;
    (void)settle(w);
    struct fake_crdt *b = &w->redis[1];
    int told = fake_dc_links_told(w->links, "oy");
    fake_redis_set(NULL, &w->redis[0].addr, FAKE_REDIS_REFUSES);
    fake_crdt_set_role(b, true);
    world_pass(w, 2000);
    struct current_master master;
    assert_true(master_board_get(w->board, WORLD_CLUSTER, WORLD_SHARD, &master));
    assert_true(addr_eq(&master.addr, &b->addr));
    assert_int_equal(fake_dc_links_told(w->links, "oy"), told + 1);
    assert_true(world_has_peer(w, b, 2, "10.0.2.1"));
    assert_true(world_has_peer(w, b, 3, "10.0.3.1"));
    assert_int_equal(b->peerofs, 2);
}

static void a_demoted_master_gets_nothing(void **state)
{
    struct world *w = *state;
    struct fake_crdt *a = settle(w);
    fake_crdt_set_role(a, false);
    fake_crdt_set_role(&w->redis[1], true);
    world_tell(w, "oy", "10.0.2.9", 2);
    world_pass(w, 5000);
    assert_int_equal(a->peerofs, 0);
    assert_true(world_has_peer(w, &w->redis[1], 2, "10.0.2.9"));
}

static void with_two_masters_nothing_is_sent(void **state)
{
    struct world *w = *state;
    struct fake_crdt *a = settle(w);
    fake_crdt_set_role(&w->redis[1], true);
    world_pass(w, 2000);
    world_tell(w, "oy", "10.0.2.9", 2);
    world_pass(w, 60000);
    assert_int_equal(world_peerofs(w), 0);
    struct current_master master;
    assert_true(master_board_get(w->board, WORLD_CLUSTER, WORLD_SHARD, &master));
    assert_true(addr_eq(&master.addr, &a->addr)); /* the last one known stays */
    fake_crdt_set_role(&w->redis[1], false);
    world_pass(w, 2000);
    assert_int_equal(a->peerofs, 1);
}

static void a_new_gid_is_published(void **state)
{
    struct world *w = *state;
    struct fake_crdt *a = settle(w);
    int told = fake_dc_links_told(w->links, "fra");
    a->gid = 4;
    world_pass(w, 2000);
    struct current_master master;
    assert_true(master_board_get(w->board, WORLD_CLUSTER, WORLD_SHARD, &master));
    assert_int_equal(master.gid, 4);
    assert_int_equal(fake_dc_links_told(w->links, "fra"), told + 1);
}

static void a_silent_redis_is_no_reason_to_act(void **state)
{
    struct world *w = *state;
    struct fake_crdt *a = settle(w);
    fake_redis_set(NULL, &a->addr, FAKE_REDIS_MUTE);
    world_tell(w, "oy", "10.0.2.9", 2);
    world_pass(w, 60000);
    assert_int_equal(world_peerofs(w), 0);
    fake_redis_set(NULL, &a->addr, FAKE_REDIS_UP);
    world_pass(w, 12000);
    assert_int_equal(a->peerofs, 1);
}

/* ---- versions and restarts ---- */

/* Found by the soak: a Redis that was asked while it loaded showed every later PEEROF of this connection as nobody's. */
static void a_name_refused_while_loading_is_told_again(void **state)
{
    struct world *w = *state;
    struct fake_crdt *a = &w->redis[0];
    a->is_loading = true;
    world_pass(w, 3000);
    assert_true(a->servers > 0);
    assert_int_equal(a->names, 0);
    a->is_loading = false;
    world_pass(w, 2000);
    assert_int_equal(a->names, 1);
    world_pass(w, 60000);
    assert_int_equal(a->names, 1);
}

static void an_old_version_never_goes_direct(void **state)
{
    struct world *w = *state;
    w->redis[0].version = "1.0.12";
    (void)snprintf(w->route, sizeof(w->route), "%s", TWO_PROXIES);
    world_publish(w);
    world_tell_all(w);
    world_pass(w, 60000);
    assert_int_equal(world_peerofs(w), 1); /* the direct peer only */
    assert_false(w->redis[0].peers[3].is_set);
    assert_verdict(w, "fra", "OLD_VERSION");
}

static void a_plain_redis_gets_nothing(void **state)
{
    struct world *w = *state;
    w->redis[0].version = NULL;
    world_tell_all(w);
    world_pass(w, 60000);
    assert_int_equal(world_peerofs(w), 0);
}

static void the_connection_is_new_after_1_0_14(void **state)
{
    struct world *w = *state;
    struct fake_crdt *a = &w->redis[0];
    a->version = "1.0.14";
    world_pass(w, 3000);
    int servers = a->servers;
    world_tell_all(w);
    world_pass(w, 5000);
    assert_int_equal(a->peerofs, 2);
    assert_int_equal(a->servers, servers + 2); /* asked anew on every connection */
    assert_true(world_has_peer(w, a, 3, "10.0.3.1"));
}

static void a_restarted_redis_is_kicked_once(void **state)
{
    struct world *w = *state;
    struct fake_crdt *a = settle(w);
    fake_redis_set(NULL, &a->addr, FAKE_REDIS_REFUSES);
    world_pass(w, 100);
    fake_crdt_restart(a);
    mono_ms restarted_at = clock_mono_ms();
    fake_redis_set(NULL, &a->addr, FAKE_REDIS_UP);
    world_pass(w, 30000);
    assert_in_range(a->peerofs, 1, 2); /* once a peer at most */
    assert_true(a->peers[2].up_at < restarted_at + 8000);
    assert_true(a->peers[3].up_at < restarted_at + 8000);
}

static void while_data_comes_back_links_that_are_up_stay(void **state)
{
    struct world *w = *state;
    struct fake_crdt *a = settle(w);
    a->is_backstreaming = true;
    world_tell(w, "oy", "10.0.2.2", 2);
    world_pass(w, 20000);
    assert_int_equal(a->peerofs, 0);
    a->is_backstreaming = false;
    world_pass(w, 1100);
    assert_int_equal(a->peerofs, 1);
}

static void a_bad_gid_of_another_dc_is_never_sent(void **state)
{
    struct world *w = *state;
    world_pass(w, 3000);
    static const int gids[] = { 0, 16, -1, 100, 1, INT32_MAX, INT32_MIN };
    for (size_t i = 0; i < ARRAY_LEN(gids); i++) {
        world_tell(w, "oy", "10.0.2.1", gids[i]);
        world_pass(w, 2500);
        assert_verdict(w, "oy", "BAD_GID");
    }
    world_tell(w, "oy", "10.0.2.1", 3);
    world_tell(w, "fra", "10.0.3.1", 3);
    world_pass(w, 2500);
    assert_verdict(w, "oy", "BAD_GID");
    assert_verdict(w, "fra", "BAD_GID");
    assert_int_equal(world_peerofs(w), 0);
}

static void a_long_broken_link_is_counted_until_its_dc_leaves(void **state)
{
    struct world *w = *state;
    struct fake_crdt *a = settle(w);
    a->peers[3].up_at = MONO_FOREVER;
    world_pass(w, 65000);
    CLEANUP(str_done) struct str text = STR_INIT(1 << 20);
    metrics_print(&text);
    assert_non_null(strstr(str_text(&text), "\nxpipe_meta_peer_links_down 1\n"));
    (void)snprintf(w->dcs, sizeof(w->dcs), "jq,oy");
    world_publish(w);
    world_pass(w, 3000);
    str_clear(&text);
    metrics_print(&text);
    assert_non_null(strstr(str_text(&text), "\nxpipe_meta_peer_links_down 0\n"));
}

static bool is_masterless(int count)
{
    CLEANUP(str_done) struct str text = STR_INIT(1U << 20);
    AUTO_FREE char *line = xasprintf("\nxpipe_meta_shards_without_master %d\n", count);
    metrics_print(&text);
    return strstr(str_text(&text), line) != NULL;
}

static void a_shard_without_a_master_is_an_alert(void **state)
{
    struct world *w = *state;
    struct fake_crdt *a = settle(w);
    fake_crdt_set_role(a, false);
    world_pass(w, 50000);
    assert_true(is_masterless(0)); /* a failover may be under way */
    world_pass(w, 15000);
    assert_true(is_masterless(1));
    fake_crdt_set_role(a, true);
    world_pass(w, 3000);
    assert_true(is_masterless(0));
    fake_crdt_set_role(a, false);
    world_pass(w, 65000);
    assert_true(is_masterless(1));
    shard_set_slot(w->shards, slot_of_cluster(dc_store_cluster(w->store, WORLD_CLUSTER)->db_id),
                   false); /* who does not own the shard does not count it */
    assert_true(is_masterless(0));
}

#define T(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)

int main(void)
{
    log_set_level(LOG_ERROR);
    const struct CMUnitTest tests[] = {
        T(a_missing_peer_is_set_once),
        T(a_peer_lost_by_redis_comes_back_within_a_poll),
        T(a_kick_does_not_move_the_rhythm_of_polls),
        T(the_order_of_proxies_does_not_matter),
        T(a_proxy_more_is_set_and_written),
        T(a_rewrite_waits_for_permission),
        T(a_shard_without_a_master_is_an_alert),
        T(an_unusable_route_leaves_things_alone),
        cmocka_unit_test(pushed_before_the_document_goes_not_direct),
        T(links_are_cut_one_a_run),
        T(a_failover_is_followed),
        T(a_demoted_master_gets_nothing),
        T(with_two_masters_nothing_is_sent),
        T(a_new_gid_is_published),
        T(a_silent_redis_is_no_reason_to_act),
        T(an_old_version_never_goes_direct),
        T(a_plain_redis_gets_nothing),
        T(the_connection_is_new_after_1_0_14),
        T(a_name_refused_while_loading_is_told_again),
        T(a_restarted_redis_is_kicked_once),
        T(while_data_comes_back_links_that_are_up_stay),
        T(a_bad_gid_of_another_dc_is_never_sent),
        T(a_long_broken_link_is_counted_until_its_dc_leaves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
