/* zk_test.c - the session against a real ZooKeeper: calls, watches, lease, expiry, and everything that cuts them. */
#include <stdlib.h>
#include <string.h>

#include "shared/base/log.h"
#include "shared/base/metrics.h"
#include "shared/base/str.h"
#include "shared/net/zk.h"
#include "tests/unit/stretch.h"
#include "tests/unit/zk_fixture.h"

#include "shared/base/banned.h"

#define SESSION_MS      1200  /* where its end is what is looked at */
#define CALM_SESSION_MS 30000 /* elsewhere: a busy machine ends the short one */
#define LIMIT_MS        15000

struct client {
    struct loop *loop;
    struct zk *zk;
    struct wire wire;
    int states[ZK_LOST + 1]; /* how often each was entered */
    int new_sessions;
    mono_ms lost_at;
    int answers;
    int last_rc;
    char last_text[200];
    size_t last_length;
    size_t last_count;
    struct zk_stat last_stat;
    int watch_events;
    enum zk_state wanted;
};

static void on_session(struct zk *zk, enum zk_state state, bool is_new_session, void *arg)
{
    struct client *c = arg;
    (void)zk;
    c->states[state]++;
    c->new_sessions += is_new_session;
    if (state == ZK_LOST) {
        c->lost_at = clock_mono_ms();
    }
}

static bool is_in_wanted_state(void *arg)
{
    struct client *c = arg;
    return zk_state(c->zk) == c->wanted;
}

static int64_t wait_state(struct client *c, enum zk_state state)
{
    c->wanted = state;
    return wait_on_loop(c->loop, is_in_wanted_state, c, LIMIT_MS);
}

static bool has_answer(void *arg)
{
    return ((struct client *)arg)->answers > 0;
}

static void wait_answer(struct client *c)
{
    assert_true(wait_on_loop(c->loop, has_answer, c, LIMIT_MS) >= 0);
    assert_int_equal(c->answers, 1);
    c->answers = 0;
}

static bool has_watch_event(void *arg)
{
    return ((struct client *)arg)->watch_events > 0;
}

static void take(struct client *c, int rc, const char *data, size_t length)
{
    c->answers++;
    c->last_rc = rc;
    c->last_length = length;
    (void)snprintf(c->last_text, sizeof(c->last_text), "%s", data ? data : "");
}

static void on_path(int rc, const char *path, void *arg, uint64_t token)
{
    (void)token;
    take(arg, rc, path, 0);
}

static void on_done(int rc, void *arg, uint64_t token)
{
    (void)token;
    take(arg, rc, NULL, 0);
}

static void on_data(int rc, const char *data, size_t length, const struct zk_stat *stat, void *arg,
                    uint64_t token)
{
    (void)token;
    take(arg, rc, data, length);
    ((struct client *)arg)->last_stat = *stat;
}

static void on_children(int rc, const char *const *names, size_t count, void *arg, uint64_t token)
{
    (void)token;
    take(arg, rc, count ? names[0] : NULL, 0);
    ((struct client *)arg)->last_count = count;
}

static void on_watch(const char *path, void *arg)
{
    (void)path;
    ((struct client *)arg)->watch_events++;
}

static struct client *client_new(int64_t session_ms)
{
    struct client *c = xcalloc(1, sizeof(*c));
    wire_start(&c->wire, &server);
    c->loop = loop_new();
    struct zk_options options = {
        .hosts = c->wire.hosts, .session_timeout_ms = session_ms, .on_session = on_session, .arg = c
    };
    c->zk = zk_new(c->loop, &options);
    assert_true(wait_state(c, ZK_READY) >= 0);
    return c;
}

static void client_free(struct client *c)
{
    zk_free(c->zk);
    loop_free(c->loop);
    wire_stop(&c->wire);
    free(c);
}

static int make(struct client *c, const char *path, const char *data, int flags)
{
    struct xp_err err;
    int rc = zk_create(c->zk, path, data, strlen(data), flags, on_path, c, 0, &err);
    if (rc != 0) {
        return rc;
    }
    wait_answer(c);
    return c->last_rc;
}

static int get(struct client *c, const char *path, zk_watch_fn *watch)
{
    struct xp_err err;
    int rc = zk_get(c->zk, path, watch, on_data, c, 0, &err);
    if (rc != 0) {
        return rc;
    }
    wait_answer(c);
    return c->last_rc;
}

static int set(struct client *c, const char *path, const char *data, int32_t version)
{
    struct xp_err err;
    assert_int_equal(zk_set(c->zk, path, data, strlen(data), version, on_data, c, 0, &err), 0);
    wait_answer(c);
    return c->last_rc;
}

static int children(struct client *c, const char *path)
{
    struct xp_err err;
    assert_int_equal(zk_children(c->zk, path, NULL, on_children, c, 0, &err), 0);
    wait_answer(c);
    return c->last_rc;
}

static void calls(void **state)
{
    (void)state;
    struct client *c = client_new(CALM_SESSION_MS);
    struct xp_err err;
    assert_int_equal(c->new_sessions, 1);
    assert_int_equal(zk_negotiated_timeout_ms(c->zk), CALM_SESSION_MS);
    assert_int_not_equal(zk_session_id(c->zk), 0);
    assert_int_equal(zk_ensure_path(c->zk, "/calls/a/b", on_done, c, 0, &err), 0);
    wait_answer(c);
    assert_int_equal(c->last_rc, 0);
    assert_int_equal(zk_ensure_path(c->zk, "/calls/a/b", on_done, c, 0, &err), 0);
    wait_answer(c);
    assert_int_equal(c->last_rc, 0);
    assert_int_equal(make(c, "/calls/x", "hello", ZK_EPHEMERAL), 0);
    assert_int_equal(make(c, "/calls/x", "again", ZK_EPHEMERAL), XP_CONFLICT);
    assert_int_equal(get(c, "/calls/x", NULL), 0);
    assert_string_equal(c->last_text, "hello");
    assert_int_equal(c->last_stat.ephemeral_owner, zk_session_id(c->zk));
    assert_int_equal(set(c, "/calls/x", "one", 0), 0);
    assert_int_equal(c->last_stat.version, 1);
    assert_int_equal(set(c, "/calls/x", "two", 0), XP_CONFLICT);
    assert_int_equal(get(c, "/calls/none", NULL), XP_NOT_FOUND);
    assert_int_equal(make(c, "/calls/s-", "1", ZK_EPHEMERAL | ZK_SEQUENTIAL), 0);
    assert_true(text_has_prefix(c->last_text, "/calls/s-00000"));
    assert_int_equal(children(c, "/calls"), 0);
    assert_int_equal(c->last_count, 3);
    assert_int_equal(zk_replace(c->zk, "/calls/x", 1, "new", 3, on_path, c, 0, &err), 0);
    wait_answer(c);
    assert_int_equal(c->last_rc, 0);
    assert_int_equal(get(c, "/calls/x", NULL), 0);
    assert_string_equal(c->last_text, "new");
    assert_int_equal(zk_replace(c->zk, "/calls/x", 9, "no", 2, on_path, c, 0, &err), 0);
    wait_answer(c);
    assert_int_equal(c->last_rc, XP_CONFLICT);
    assert_int_equal(zk_delete(c->zk, "/calls/x", -1, on_done, c, 0, &err), 0);
    wait_answer(c);
    assert_int_equal(c->last_rc, 0);
    assert_int_equal(zk_exists(c->zk, "/calls/x", NULL, on_data, c, 0, &err), 0);
    wait_answer(c);
    assert_int_equal(c->last_rc, XP_NOT_FOUND);
    client_free(c);
}

static void long_values(void **state)
{
    (void)state;
    struct client *c = client_new(CALM_SESSION_MS);
    AUTO_FREE char *text = xcalloc(1, 200001);
    memset(text, 'x', 200000);
    assert_int_equal(make(c, "/long", text, ZK_EPHEMERAL), 0);
    assert_int_equal(get(c, "/long", NULL), 0);
    assert_int_equal(c->last_length, 200000);
    client_free(c);
}

static void watches_fire_once(void **state)
{
    (void)state;
    struct client *c = client_new(CALM_SESSION_MS);
    assert_int_equal(make(c, "/watched", "0", ZK_EPHEMERAL), 0);
    for (int i = 0; i < 3; i++) { /* the same watch, three times */
        assert_int_equal(get(c, "/watched", on_watch), 0);
    }
    assert_int_equal(set(c, "/watched", "1", -1), 0);
    assert_true(wait_on_loop(c->loop, has_watch_event, c, LIMIT_MS) >= 0);
    assert_int_equal(set(c, "/watched", "2", -1), 0);
    assert_int_equal(get(c, "/watched", NULL), 0); /* events come before this answer */
    assert_int_equal(c->watch_events, 1);
    assert_int_equal(get(c, "/watched", on_watch), 0);
    zk_forget(c->zk, c);
    assert_int_equal(set(c, "/watched", "3", -1), 0);
    assert_int_equal(get(c, "/watched", NULL), 0);
    assert_int_equal(c->watch_events, 1);
    client_free(c);
}

/* A busy machine may end a short session at any moment: the call is made until it is answered. */
static int soon(struct client *c, int (*call)(struct client *))
{
    mono_ms limit = clock_mono_ms() + LIMIT_MS;
    int rc = XP_UNAVAILABLE;
    while (rc == XP_UNAVAILABLE && clock_mono_ms() < limit) {
        assert_true(wait_state(c, ZK_READY) >= 0);
        rc = call(c);
    }
    return rc;
}

static int64_t pings_answered(void)
{
    static const char name[] = "\nxpipe_zk_ping_seconds_count ";
    AUTO_STR struct str text = STR_INIT(1 << 20);
    metrics_print(&text);
    const char *at = strstr(str_text(&text), name);
    assert_non_null(at);
    return strtoll(at + strlen(name), NULL, 10);
}

static bool has_pinged(void *arg)
{
    return pings_answered() >= *(const int64_t *)arg;
}

/* Until the server stands and the lease goes on; it was prolonged by a ping that was sent after the time returned. */
static mono_ms freeze_within_lease(struct client *c)
{
    mono_ms limit = clock_mono_ms() + LIMIT_MS;
    for (;;) {
        assert_true(wait_state(c, ZK_READY) >= 0);
        mono_ms from = clock_mono_ms();
        int64_t wanted = pings_answered() + 2; /* the first of them may have been under way */
        assert_true(wait_on_loop(c->loop, has_pinged, &wanted, LIMIT_MS) >= 0);
        zk_fixture_pause(&server);
        if (zk_state(c->zk) == ZK_READY && zk_lease_is_valid(c->zk, clock_mono_ms())) {
            return from;
        }
        zk_fixture_resume(&server);
        assert_true(clock_mono_ms() < limit);
    }
}

static int make_frozen(struct client *c)
{
    int rc = make(c, "/frozen", "1", ZK_EPHEMERAL);
    return rc == XP_CONFLICT ? 0 : rc; /* what was unknown had happened */
}

static int make_after_frozen(struct client *c)
{
    return make(c, "/frozen2", "1", ZK_EPHEMERAL);
}

static void frozen_server_ends_the_lease(void **state)
{
    (void)state;
    struct client *c = client_new(SESSION_MS);
    assert_int_equal(soon(c, make_frozen), 0);
    mono_ms prolonged_after = freeze_within_lease(c);
    int64_t session = zk_session_id(c->zk);
    struct stretch s = stretch_begin();
    int64_t spent_ms = s.began - prolonged_after;
    struct xp_err err;
    assert_int_equal(zk_get(c->zk, "/frozen", NULL, on_data, c, 0, &err), 0);
    int64_t took = wait_state(c, ZK_LOST);
    assert_true(took >= 0);
    assert_lasted(&s, SESSION_MS * 2 / 3 - spent_ms - 5, SESSION_MS * 2 / 3 + 100);
    assert_false(zk_lease_is_valid(c->zk, clock_mono_ms()));
    assert_false(zk_lease_is_valid(c->zk, s.began)); /* a stale 'now' does not help */
    assert_int_equal(c->answers, 1);                 /* the read was answered: unknown */
    assert_int_equal(c->last_rc, XP_UNAVAILABLE);
    assert_int_equal(zk_get(c->zk, "/frozen", NULL, on_data, c, 0, &err), XP_UNAVAILABLE);
    zk_fixture_resume(&server);
    c->answers = 0;
    assert_int_equal(soon(c, make_after_frozen), 0);
    print_message("frozen: lost after %lld ms, same session: %d\n", (long long)took,
                  session == zk_session_id(c->zk));
    client_free(c);
}

static int make_gone(struct client *c)
{
    int rc = make(c, "/gone", "1", ZK_EPHEMERAL);
    return rc == XP_CONFLICT ? 0 : rc;
}

static int watch_stays(struct client *c)
{
    c->watch_events = 0; /* of a session before */
    return get(c, "/stays", on_watch);
}

static int get_gone(struct client *c)
{
    return get(c, "/gone", NULL);
}

/* In one session: what the short one lost meanwhile is made again. */
static void prepare_to_expire(struct client *c)
{
    int sessions;
    do {
        sessions = c->new_sessions;
        assert_int_equal(soon(c, make_gone), 0);
        assert_int_equal(soon(c, watch_stays), 0);
    } while (c->new_sessions != sessions);
}

static void expired_session_is_replaced(void **state)
{
    (void)state;
    struct client *c = client_new(SESSION_MS);
    struct client *other = client_new(CALM_SESSION_MS);
    assert_int_equal(make(other, "/stays", "1", ZK_EPHEMERAL), 0);
    prepare_to_expire(c);
    int sessions = c->new_sessions;
    int64_t session = zk_session_id(c->zk);
    uint64_t epoch = zk_epoch(c->zk);
    struct xp_err err;
    assert_int_equal(zk_exists(other->zk, "/gone", on_watch, on_data, other, 0, &err), 0);
    wait_answer(other);
    atomic_store(&c->wire.is_cut, true);
    mono_ms begin = clock_mono_ms();
    assert_true(wait_state(c, ZK_LOST) >= 0);
    int64_t lost_after = c->lost_at - begin;
    assert_true(wait_on_loop(other->loop, has_watch_event, other, LIMIT_MS) >= 0);
    int64_t gone_after = clock_mono_ms() - begin;
    assert_true(lost_after < gone_after); /* we stopped before anybody else could start */
    assert_int_equal(c->watch_events, 0);
    atomic_store(&c->wire.is_cut, false);
    assert_true(wait_state(c, ZK_READY) >= 0);
    assert_int_not_equal(zk_session_id(c->zk), session);
    assert_true(zk_epoch(c->zk) > epoch);
    assert_true(c->new_sessions > sessions);
    assert_true(wait_on_loop(c->loop, has_watch_event, c, LIMIT_MS) >= 0); /* look again */
    assert_int_equal(soon(c, get_gone), XP_NOT_FOUND);
    print_message("expiry: lease lost after %lld ms, node gone after %lld ms\n",
                  (long long)lost_after, (long long)gone_after);
    client_free(other);
    client_free(c);
}

static void new_addresses_are_used(void **state)
{
    (void)state;
    struct client *c = client_new(SESSION_MS);
    atomic_store(&c->wire.is_cut, true);
    assert_true(wait_state(c, ZK_LOST) >= 0);
    zk_set_hosts(c->zk, server.hosts);
    assert_true(wait_state(c, ZK_READY) >= 0);
    client_free(c);
}

static void free_with_calls_under_way(void **state)
{
    (void)state;
    struct client *c = client_new(CALM_SESSION_MS);
    struct xp_err err;
    zk_fixture_pause(&server);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(zk_get(c->zk, "/", on_watch, on_data, c, 0, &err), 0);
    }
    zk_free(c->zk);
    zk_fixture_resume(&server);
    assert_int_equal(c->answers, 100);
    assert_int_equal(c->last_rc, XP_UNAVAILABLE);
    c->zk = NULL;
    client_free(c);
}

static void pending_calls_are_bounded(void **state)
{
    (void)state;
    struct client *c = client_new(CALM_SESSION_MS);
    struct xp_err err;
    int rc = 0;
    int sent = 0;
    while (rc == 0 && sent <= ZK_PENDING_MAX) {
        rc = zk_exists(c->zk, "/", NULL, on_data, c, 0, &err);
        sent += rc == 0;
    }
    assert_int_equal(rc, XP_TOO_MANY);
    assert_int_equal(sent, ZK_PENDING_MAX);
    client_free(c);
}

static void nobody_listens(void **state)
{
    (void)state;
    char hosts[32];
    (void)snprintf(hosts, sizeof(hosts), "127.0.0.1:%d", reserved_port());
    struct client *c = xcalloc(1, sizeof(*c));
    c->loop = loop_new();
    struct zk_options options = {
        .hosts = hosts, .session_timeout_ms = CALM_SESSION_MS, .on_session = on_session, .arg = c
    };
    c->zk = zk_new(c->loop, &options);
    assert_int_equal(wait_on_loop(c->loop, has_answer, c, 300), -1);
    assert_int_equal(zk_state(c->zk), ZK_CONNECTING);
    assert_false(zk_lease_is_valid(c->zk, clock_mono_ms()));
    zk_set_hosts(c->zk, server.hosts);
    assert_true(wait_state(c, ZK_READY) >= 0);
    zk_free(c->zk);
    loop_free(c->loop);
    free(c);
}

static int start(void **state)
{
    log_set_level(LOG_ERROR);
    return zk_up(state);
}

/* A test that failed while the server stood must not fail those behind it. */
static int resume(void **state)
{
    (void)state;
    zk_fixture_resume(&server);
    return 0;
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls),
        cmocka_unit_test(long_values),
        cmocka_unit_test(watches_fire_once),
        cmocka_unit_test_teardown(frozen_server_ends_the_lease, resume),
        cmocka_unit_test(expired_session_is_replaced),
        cmocka_unit_test(new_addresses_are_used),
        cmocka_unit_test_teardown(free_with_calls_under_way, resume),
        cmocka_unit_test(pending_calls_are_bounded),
        cmocka_unit_test(nobody_listens),
    };
    return cmocka_run_group_tests(tests, start, zk_down);
}
