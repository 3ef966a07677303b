/* app_sim.c - three whole metaservers of one DC (the real meta_daemon_ops) on the twins of ZooKeeper, HTTP and Redis: they
 * register, share the slots, poll, correct a missing peer once, survive the death of their leader, hand over on SIGTERM,
 * and the same run twice is the same run. Console and the other DC are scripted. */
#include <stdio.h>
#include <string.h>

#include "meta/app.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "tests/sim/fake_crdt.h"
#include "tests/sim/fake_daemon.h"
#include "tests/sim/fake_http.h"
#include "tests/sim/fake_loop.h"
#include "tests/sim/fake_random.h"
#include "tests/sim/fake_trace.h"
#include "tests/sim/fake_zk.h"
#include "tests/unit/unit.h"

#include "shared/base/banned.h"

#define METAS      3
#define CLUSTERS   12
#define SESSION_MS 5000

struct meta {
    struct app app;
    struct daemon *daemon; /* NULL: not running */
};

struct dc {
    struct loop *outside; /* ZooKeeper's, and of what the test itself does */
    struct fake_zk_server *zk;
    struct meta metas[METAS];
    struct fake_crdt redis[CLUSTERS];
    int64_t version;
    int fetches;
    int not_modified;
    int asked; /* by our metaservers, of the other DC */
    int violations;
    mono_ms checked_at;
};

static struct addr meta_addr(int i)
{
    AUTO_FREE char *host = xasprintf("10.0.1.%d", i + 1);
    return addr_of(host, 8080);
}

/* ---- the console ---- */

static char *document_of(const struct dc *d)
{
    struct str text = STR_INIT(1 << 20);
    str_printf(&text, "{\"id\":\"jq\",\"version\":%lld,\"clusters\":{", (long long)d->version);
    for (int i = 0; i < CLUSTERS; i++) {
        str_printf(&text,
                   "%s\"c%d\":{\"id\":\"c%d\",\"dbId\":%d,\"type\":\"BI_DIRECTION\","
                   "\"dcs\":\"jq,fra\",\"status\":\"Normal\",\"shards\":{\"s\":{\"id\":\"s\","
                   "\"dbId\":%d,\"redises\":[{\"ip\":\"%s\",\"port\":6379}]}}}",
                   i ? "," : "", i, i, 20 * i + 1, 100 + i, d->redis[i].addr.host);
    }
    str_puts(&text, "},\"routes\":[]}");
    return str_take(&text);
}

static void console(const char *method, const char *target, const char *body, size_t length,
                    const char *if_none_match, struct http_reply *ret_reply, void *arg)
{
    struct dc *d = arg;
    (void)body;
    (void)length;
    AUTO_FREE char *etag = xasprintf("\"v%lld\"", (long long)d->version);
    bool is_known = text_eq(method, "GET") && text_has_prefix(target, "/api/dc/jq?");
    d->fetches++;
    if (!is_known) {
        ret_reply->status = 404;
    } else if (http_etag_matches(if_none_match, etag)) {
        d->not_modified++;
        ret_reply->status = 304;
    } else {
        ret_reply->status = 200;
        ret_reply->body = document_of(d);
        ret_reply->etag = xstrdup(etag);
    }
}

/* ---- the metaserver of the other DC: the master of cluster ci there is 10.0.4.i ---- */

static void other_dc(const char *method, const char *target, const char *body, size_t length,
                     const char *if_none_match, struct http_reply *ret_reply, void *arg)
{
    struct dc *d = arg;
    (void)method;
    (void)if_none_match;
    ret_reply->status = 200;
    if (!text_eq(target, "/api/meta/v2/peermasters")) {
        return;
    }
    d->asked++;
    json_auto_t *asked = json_loadb(body, length, 0, NULL);
    json_t *masters = json_array();
    size_t at;
    json_t *row;
    json_array_foreach (json_object_get(asked, "shards"), at, row) {
        const char *cluster = json_string_value(json_array_get(row, 0));
        AUTO_FREE char *host = xasprintf("10.0.4.%s", cluster + 1);
        (void)json_array_append_new(masters, json_pack("[s,s,i,s,i]", cluster, "s", 2, host, 6379));
    }
    json_auto_t *answer = json_pack("{s:o}", "masters", masters);
    ret_reply->body = json_dumps(answer, JSON_COMPACT);
}

/* ---- Redis ---- */

static struct rreply *on_command(const struct addr *addr, size_t argc, const char *const *argv,
                                 void *arg)
{
    struct dc *d = arg;
    fake_trace("redis", ADDR_TEXT(addr), argv[0], strlen(argv[0]));
    for (int i = 0; i < CLUSTERS; i++) {
        if (addr_eq(&d->redis[i].addr, addr)) {
            return fake_crdt_command(&d->redis[i], argc, argv);
        }
    }
    abort(); /* a command to an unknown Redis */
}

static int corrections(const struct dc *d)
{
    int count = 0;
    for (int i = 0; i < CLUSTERS; i++) {
        count += d->redis[i].peerofs;
    }
    return count;
}

static bool all_peers_are_right(const struct dc *d)
{
    bool are_right = true;
    for (int i = 0; i < CLUSTERS; i++) {
        AUTO_FREE char *host = xasprintf("10.0.4.%d", i);
        const struct fake_crdt_peer *peer = &d->redis[i].peers[2];
        are_right &= peer->is_set && text_eq(peer->addr.host, host);
    }
    return are_right;
}

/* ---- metaservers ---- */

static void start_meta(struct dc *d, int i)
{
    struct meta *m = &d->metas[i];
    struct addr addr = meta_addr(i);
    struct daemon_ops ops = meta_daemon_ops;
    struct xp_err err = { 0 };
    m->app = (struct app){ 0 };
    ops.config = &m->app.config;
    ops.common = &m->app.config.common;
    ops.arg = &m->app;
    AUTO_FREE char *id = xasprintf("metaserver.id=%d", i + 1);
    AUTO_FREE char *ip = xasprintf("server.ip=%s", addr.host);
    AUTO_FREE char *bind_ip = xasprintf("server.bind.ip=%s", addr.host);
    static const char dc_infos[] =
        "dcinfos={\"jq\":{\"metaServerAddress\":\"http://10.0.1.1:8080\"},"
        "\"fra\":{\"metaServerAddress\":\"http://10.0.9.1:8080\"}}";
    const char *settings[] = {
        id,       ip,   bind_ip, "dc=jq", "zk.address=sim", "console.address=http://10.0.0.9:8080",
        dc_infos, NULL,
    };
    m->daemon = fake_daemon_start(&ops, settings, &err);
    if (!m->daemon) {
        fail_msg("%s", err.msg);
    }
}

static void pass(int64_t ms)
{
    fake_loop_advance_to(clock_mono_ms() + ms);
}

static int owned(const struct meta *m)
{
    int count = 0;
    for (int slot = 0; m->daemon && slot < SLOT_COUNT; slot++) {
        count += sharding_owns(m->app.sharding, slot, clock_mono_ms());
    }
    return count;
}

/* Every slot has one owner at most, whenever the clock has moved. */
static void check_owners(void *arg)
{
    struct dc *d = arg;
    if (d->checked_at == clock_mono_ms()) {
        return;
    }
    d->checked_at = clock_mono_ms();
    for (int slot = 0; slot < SLOT_COUNT; slot++) {
        int owners = 0;
        for (int i = 0; i < METAS; i++) {
            const struct meta *m = &d->metas[i];
            owners += m->daemon && sharding_owns(m->app.sharding, slot, clock_mono_ms());
        }
        d->violations += owners > 1;
    }
}

static struct dc *open_dc(uint64_t seed)
{
    struct dc *d = xcalloc(1, sizeof(*d));
    fake_clock_set(1000000, 1700000000000);
    fake_random_seed(seed);
    d->outside = loop_new();
    d->zk = fake_zk_server_new(d->outside, "sim");
    d->version = 1;
    fake_redis_reset();
    fake_redis_set_network(fake_loop_network());
    fake_redis_handle(on_command, d);
    for (int i = 0; i < CLUSTERS; i++) {
        AUTO_FREE char *host = xasprintf("10.0.3.%d", i);
        struct addr addr = addr_of(host, 6379);
        fake_crdt_init(&d->redis[i], &addr, 1, true);
    }
    struct addr console_addr = addr_of("10.0.0.9", 8080);
    struct addr other_addr = addr_of("10.0.9.1", 8080);
    fake_http_serve(&console_addr, console, d);
    fake_http_serve(&other_addr, other_dc, d);
    fake_loop_after_step(check_owners, d);
    return d;
}

static void close_dc(struct dc *d)
{
    fake_loop_after_step(NULL, NULL);
    for (int i = 0; i < METAS; i++) {
        if (d->metas[i].daemon) {
            fake_daemon_stop(TAKE(d->metas[i].daemon));
        }
    }
    fake_redis_reset();
    fake_http_reset();
    fake_zk_server_free(d->zk);
    loop_free(d->outside);
    for (int i = 0; i < CLUSTERS; i++) {
        fake_crdt_done(&d->redis[i]);
    }
    assert_int_equal(d->violations, 0);
    free(d);
}

static struct dc *open_three(uint64_t seed)
{
    struct dc *d = open_dc(seed);
    for (int i = 0; i < METAS; i++) {
        start_meta(d, i);
    }
    pass(8000);
    return d;
}

/* ---- tests ---- */

static void they_share_the_slots_and_correct_each_redis_once(void **state)
{
    (void)state;
    struct dc *d = open_three(1);
    assert_int_equal(owned(&d->metas[0]) + owned(&d->metas[1]) + owned(&d->metas[2]), SLOT_COUNT);
    for (int i = 0; i < METAS; i++) {
        assert_in_range(owned(&d->metas[i]), 85, 86);
    }
    assert_true(all_peers_are_right(d));
    assert_int_equal(corrections(d), CLUSTERS);
    pass(120000);
    assert_int_equal(corrections(d), CLUSTERS);
    assert_true(d->not_modified >= METAS);
    assert_true(d->redis[0].infos > 100);
    close_dc(d);
}

static int leader(const struct dc *d)
{
    int64_t session = fake_zk_first_owner(d->zk, "/xpipe/metaserver/leader");
    for (int i = 0; i < METAS; i++) {
        const struct meta *m = &d->metas[i];
        if (m->daemon && zk_session_id(sharding_zk(m->app.sharding)) == session) {
            return i;
        }
    }
    return -1;
}

static int all_owned(const struct dc *d)
{
    return owned(&d->metas[0]) + owned(&d->metas[1]) + owned(&d->metas[2]);
}

static bool everything_is_owned(void *arg)
{
    return all_owned(arg) == SLOT_COUNT;
}

static void break_every_peer(struct dc *d)
{
    for (int i = 0; i < CLUSTERS; i++) {
        struct addr wrong = addr_of("10.0.4.99", 6379);
        fake_crdt_put(&d->redis[i], 2, &wrong, NULL, NULL);
    }
}

static void the_leader_is_killed(void **state)
{
    (void)state;
    struct dc *d = open_three(2);
    int dead = leader(d);
    assert_true(dead >= 0);
    int lost = owned(&d->metas[dead]);
    fake_daemon_kill(TAKE(d->metas[dead].daemon));
    mono_ms killed_at = clock_mono_ms();
    assert_int_equal(all_owned(d), SLOT_COUNT - lost);
    break_every_peer(d);
    pass(SESSION_MS - SESSION_MS / 3 - 100);
    assert_int_equal(all_owned(d), SLOT_COUNT - lost); /* its session lives on without it */
    assert_true(fake_loop_run_until(everything_is_owned, d, killed_at + SESSION_MS + 1000));
    assert_int_not_equal(leader(d), dead);
    pass(8000);
    assert_true(all_peers_are_right(d));
    assert_int_equal(corrections(d), 2 * CLUSTERS);
    start_meta(d, dead);
    pass(10000);
    assert_in_range(owned(&d->metas[dead]), 85, 86);
    assert_int_equal(all_owned(d), SLOT_COUNT);
    assert_int_equal(corrections(d), 2 * CLUSTERS);
    close_dc(d);
}

/* SIGTERM: the slots are with the others before the process ends, and no slot is without an owner for long. */
static void a_member_hands_over_and_ends(void **state)
{
    (void)state;
    struct dc *d = open_three(3);
    struct meta *m = &d->metas[1];
    mono_ms asked_at = clock_mono_ms();
    fake_daemon_terminate(m->daemon);
    while (!fake_daemon_has_ended(m->daemon)) {
        assert_true(fake_loop_step());
        assert_true(clock_mono_ms() < asked_at + 5000);
    }
    assert_int_equal(owned(&d->metas[0]) + owned(&d->metas[2]), SLOT_COUNT);
    assert_string_equal(fake_daemon_failure(m->daemon), "");
    fake_daemon_stop(TAKE(m->daemon));
    pass(100);
    assert_null(fake_zk_node(d->zk, "/xpipe/metaserver/servers/2"));
    break_every_peer(d);
    pass(3000);
    assert_true(all_peers_are_right(d));
    close_dc(d);
}

/* A frozen member loses its lease at the same moment for itself as for the others, and only observes when it wakes. */
static void a_frozen_member_wakes_without_its_slots(void **state)
{
    (void)state;
    struct dc *d = open_three(4);
    struct meta *m = &d->metas[2];
    fake_loop_freeze(m->app.loop, 20000);
    pass(SESSION_MS * 2 / 3 + 10);
    assert_int_equal(owned(m), 0);
    pass(SESSION_MS / 3 + 1000);
    assert_int_equal(all_owned(d), SLOT_COUNT);
    pass(30000);
    assert_in_range(owned(m), 85, 86);
    assert_int_equal(all_owned(d), SLOT_COUNT);
    assert_int_equal(corrections(d), CLUSTERS);
    close_dc(d);
}

/* ---- repetition ---- */

static uint64_t run_with_trouble(uint64_t seed, int64_t *ret_events)
{
    struct dc *d = open_three(seed);
    pass(5000);
    fake_daemon_kill(TAKE(d->metas[0].daemon));
    fake_zk_set_link_of(d->metas[1].app.loop, FAKE_ZK_CUT);
    pass(9000);
    fake_zk_set_link_of(d->metas[1].app.loop, FAKE_ZK_OPEN);
    start_meta(d, 0);
    d->version++;
    break_every_peer(d);
    pass(20000);
    fake_zk_stop(d->zk, true);
    fake_daemon_terminate(d->metas[2].daemon);
    pass(12000);
    assert_true(fake_daemon_has_ended(d->metas[2].daemon));
    fake_zk_stop(d->zk, false);
    pass(10000);
    assert_true(all_peers_are_right(d));
    close_dc(d);
    *ret_events = fake_trace_count();
    return fake_trace_hash();
}

static void the_same_seed_is_the_same_run(void **state)
{
    (void)state;
    int64_t events[3];
    uint64_t first = run_with_trouble(7, &events[0]);
    void *hole = xcalloc(1, 12345); /* other addresses the second time */
    uint64_t other = run_with_trouble(8, &events[1]);
    uint64_t again = run_with_trouble(7, &events[2]);
    free(hole);
    assert_true(events[0] > 10000);
    assert_int_equal(events[0], events[2]);
    assert_true(first == again);
    assert_true(first != other);
}

int main(void)
{
    log_set_level(getenv("XPIPE_SIM_LOG") ? LOG_DEBUG : LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_share_the_slots_and_correct_each_redis_once),
        cmocka_unit_test(the_leader_is_killed),
        cmocka_unit_test(a_member_hands_over_and_ends),
        cmocka_unit_test(a_frozen_member_wakes_without_its_slots),
        cmocka_unit_test(the_same_seed_is_the_same_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
