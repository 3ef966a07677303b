/* keeper_watch_test.c - the elections of keepers against a real ZooKeeper: who comes and goes, what cannot be read, lost sessions. */
#include "meta/keepers/keeper_watch.h"

#include <zookeeper/zookeeper.h>

#include "shared/base/log.h"
#include "shared/base/metrics.h"
#include "shared/base/str.h"
#include "tests/unit/zk_fixture.h"

#include "shared/base/banned.h"

#define SESSION_MS      1200  /* where one is lost */
#define CALM_SESSION_MS 30000 /* elsewhere: a busy machine ends the short one */
#define LIMIT_MS        15000
#define GATHER_MS       50
#define REFRESH_MS      300000
#define READS_MAX       8

static int last_namespace;

/* What was told about one shard. */
struct told {
    struct keeper_watch_shard *shard;
    int times;
    int times_empty;
    char text[2000]; /* of the last time: "path name data;" each, sorted */
    const char *wanted;
    bool removes_itself;
    struct keeper_watch *watch;
};

struct world {
    char name_space[32];
    struct loop *loop;
    struct wire wire;
    struct zk *zk;
    struct keeper_watch *watch;
    zhandle_t *keepers; /* everybody else, over a session of their own */
    enum zk_state wanted;
};

/* ---- what the keepers do: the library's blocking calls ---- */

static void make(struct world *w, const char *below, const char *data, const struct ACL_vector *acl)
{
    AUTO_FREE char *path = xasprintf("/%s%s", w->name_space, below);
    assert_int_equal(zoo_create(w->keepers, path, data, (int)strlen(data), acl, 0, NULL, 0), ZOK);
}

static void add(struct world *w, const char *below, const char *data)
{
    make(w, below, data, &ZOO_OPEN_ACL_UNSAFE);
}

static void set(struct world *w, const char *below, const char *data)
{
    AUTO_FREE char *path = xasprintf("/%s%s", w->name_space, below);
    assert_int_equal(zoo_set(w->keepers, path, data, (int)strlen(data), -1), ZOK);
}

static void take_away(struct world *w, const char *below)
{
    AUTO_FREE char *path = xasprintf("/%s%s", w->name_space, below);
    assert_int_equal(zoo_delete(w->keepers, path, -1), ZOK);
}

/* ---- what is told ---- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void on_keepers(const struct keeper_child *children, size_t count, void *arg)
{
    struct told *t = arg;
    char *lines[64];
    assert_true(count <= ARRAY_LEN(lines));
    for (size_t i = 0; i < count; i++) {
        lines[i] =
            xasprintf("%d %s %.*s;", (int)children[i].path, children[i].name,
                      (int)(children[i].length < 40 ? children[i].length : 40), children[i].data);
    }
    qsort(lines, count, sizeof(lines[0]), by_text);
    AUTO_STR struct str text = STR_INIT(sizeof(t->text) - 1);
    for (size_t i = 0; i < count; i++) {
        str_puts(&text, lines[i]);
        free(lines[i]);
    }
    (void)snprintf(t->text, sizeof(t->text), "%s", str_text(&text));
    t->times++;
    t->times_empty += count == 0;
    if (t->removes_itself) {
        keeper_watch_remove(t->watch, TAKE(t->shard));
    }
}

static bool is_told(void *arg)
{
    const struct told *t = arg;
    return t->times > 0 && strcmp(t->text, t->wanted) == 0;
}

static void wait_told(struct world *w, struct told *t, const char *text)
{
    t->wanted = text;
    if (wait_on_loop(w->loop, is_told, t, LIMIT_MS) < 0) {
        fail_msg("told %d times, at last '%s', waited for '%s'", t->times, t->text, text);
    }
}

static bool never(void *arg)
{
    (void)arg;
    return false;
}

/* For what must not happen: long enough for what a mistake would tell. */
static void let_pass(struct world *w, int64_t ms)
{
    (void)wait_on_loop(w->loop, never, NULL, ms);
}

static void watch_shard(struct world *w, struct told *t, int64_t cluster_id, int64_t shard_id)
{
    t->watch = w->watch;
    t->shard = keeper_watch_add(w->watch, cluster_id, shard_id, on_keepers, t);
}

static void unwatch(struct world *w, struct told *t)
{
    keeper_watch_remove(w->watch, TAKE(t->shard));
}

/* ---- worlds ---- */

static void on_session(struct zk *zk, enum zk_state state, bool is_new_session, void *arg)
{
    struct world *w = arg;
    (void)is_new_session;
    if (state == ZK_READY && w->watch) {
        keeper_watch_set_zk(w->watch, zk);
    }
}

static bool is_in_wanted_state(void *arg)
{
    struct world *w = arg;
    return zk_state(w->zk) == w->wanted;
}

static void wait_state(struct world *w, enum zk_state state)
{
    w->wanted = state;
    assert_true(wait_on_loop(w->loop, is_in_wanted_state, w, LIMIT_MS) >= 0);
}

static void keepers_connect(struct world *w)
{
    w->keepers = zookeeper_init(server.hosts, NULL, 30000, NULL, NULL, 0);
    assert_non_null(w->keepers);
    mono_ms limit = clock_mono_ms() + LIMIT_MS;
    while (zoo_state(w->keepers) != ZOO_CONNECTED_STATE) {
        assert_true(clock_mono_ms() < limit);
        poll(NULL, 0, 2);
    }
}

/* Each test has a namespace of its own. */
static struct world *world_of(const struct keeper_watch_options *changes, int64_t session_ms)
{
    struct world *w = xcalloc(1, sizeof(*w));
    (void)snprintf(w->name_space, sizeof(w->name_space), "ns%d", ++last_namespace);
    wire_start(&w->wire, &server);
    keepers_connect(w);
    add(w, "", "");
    add(w, "/keepers", "");
    w->loop = loop_new();
    struct zk_options zk_options = {
        .hosts = w->wire.hosts, .session_timeout_ms = session_ms, .on_session = on_session, .arg = w
    };
    w->zk = zk_new(w->loop, &zk_options);
    wait_state(w, ZK_READY);
    struct keeper_watch_options options = {
        .loop = w->loop,
        .zk_namespace = w->name_space,
        .gather_ms = changes && changes->gather_ms ? changes->gather_ms : GATHER_MS,
        .refresh_ms = changes && changes->refresh_ms ? changes->refresh_ms : REFRESH_MS,
        .reads_max = changes && changes->reads_max ? changes->reads_max : READS_MAX,
    };
    w->watch = keeper_watch_new(&options);
    keeper_watch_set_zk(w->watch, w->zk);
    return w;
}

static struct world *world_new(const struct keeper_watch_options *changes)
{
    return world_of(changes, CALM_SESSION_MS);
}

static void world_free(struct world *w)
{
    keeper_watch_free(TAKE(w->watch));
    zk_free(w->zk);
    loop_free(w->loop);
    zookeeper_close(w->keepers);
    wire_stop(&w->wire);
    free(w);
}

static int64_t metric_of(const char *line_start)
{
    AUTO_STR struct str text = STR_INIT(1 << 20);
    metrics_print(&text);
    const char *at = strstr(str_text(&text), line_start);
    assert_non_null(at);
    return strtoll(at + strlen(line_start), NULL, 10);
}

#define FAILED_READS "\nxpipe_keeper_elections_read_total{result=\"failed\"} "

/* ---- tests ---- */

static void both_paths_come_and_go(void **state)
{
    (void)state;
    struct world *w = world_new(NULL);
    struct told t = { 0 };
    watch_shard(w, &t, 7, 21);
    wait_told(w, &t, "");
    assert_int_equal(t.times, 1);
    add(w, "/keepers/repl_21", "");
    add(w, "/keepers/repl_21/_c_a-latch-0000000001", "{\"ip\":1}");
    wait_told(w, &t, "1 _c_a-latch-0000000001 {\"ip\":1};");
    add(w, "/keepers/cluster_7", "");
    add(w, "/keepers/cluster_7/shard_21", "");
    add(w, "/keepers/cluster_7/shard_21/_c_b-latch-0000000000", "");
    wait_told(w, &t, "0 _c_b-latch-0000000000 ;1 _c_a-latch-0000000001 {\"ip\":1};");
    add(w, "/keepers/repl_21/_c_c-latch-0000000002", "not { json");
    wait_told(w, &t,
              "0 _c_b-latch-0000000000 ;1 _c_a-latch-0000000001 {\"ip\":1};1 "
              "_c_c-latch-0000000002 not { json;");
    take_away(w, "/keepers/repl_21/_c_a-latch-0000000001");
    wait_told(w, &t, "0 _c_b-latch-0000000000 ;1 _c_c-latch-0000000002 not { json;");
    take_away(w, "/keepers/repl_21/_c_c-latch-0000000002");
    take_away(w, "/keepers/repl_21"); /* ZooKeeper drops empty container nodes */
    wait_told(w, &t, "0 _c_b-latch-0000000000 ;");
    add(w, "/keepers/repl_21", "");
    add(w, "/keepers/repl_21/_c_d-latch-0000000000", "d");
    wait_told(w, &t, "0 _c_b-latch-0000000000 ;1 _c_d-latch-0000000000 d;");
    take_away(w, "/keepers/cluster_7/shard_21/_c_b-latch-0000000000");
    take_away(w, "/keepers/repl_21/_c_d-latch-0000000000");
    wait_told(w, &t, "");
    unwatch(w, &t);
    world_free(w);
}

static void a_burst_is_told_once(void **state)
{
    (void)state;
    struct world *w = world_new(&(struct keeper_watch_options){ .gather_ms = 500 });
    struct told t = { 0 };
    add(w, "/keepers/repl_1", "");
    watch_shard(w, &t, 1, 1);
    wait_told(w, &t, "");
    for (int i = 0; i < 3; i++) {
        AUTO_FREE char *name = xasprintf("/keepers/repl_1/latch-%d", i);
        add(w, name, "x");
    }
    mono_ms begin = clock_mono_ms();
    wait_told(w, &t, "1 latch-0 x;1 latch-1 x;1 latch-2 x;");
    assert_int_equal(t.times, 2);
    assert_in_range(clock_mono_ms() - begin, 400, LIMIT_MS);
    unwatch(w, &t);
    world_free(w);
}

/* Also: data of a node that is known is not read again until the refresh, and what did not change is not told. */
static void the_refresh_reads_everything_again(void **state)
{
    (void)state;
    struct world *w = world_new(NULL);
    struct told t = { 0 };
    add(w, "/keepers/repl_1", "");
    add(w, "/keepers/repl_1/latch-0", "old");
    watch_shard(w, &t, 1, 1);
    wait_told(w, &t, "1 latch-0 old;");
    set(w, "/keepers/repl_1/latch-0", "new");
    add(w, "/keepers/repl_1/latch-1", "x");
    wait_told(w, &t, "1 latch-0 old;1 latch-1 x;");
    keeper_watch_set_zk(w->watch, w->zk); /* the same session */
    let_pass(w, 4 * GATHER_MS);
    assert_int_equal(t.times, 2);
    unwatch(w, &t);
    world_free(w);

    w = world_new(&(struct keeper_watch_options){ .refresh_ms = 200 });
    t = (struct told){ 0 };
    add(w, "/keepers/repl_1", "");
    add(w, "/keepers/repl_1/latch-0", "old");
    watch_shard(w, &t, 1, 1);
    wait_told(w, &t, "1 latch-0 old;");
    set(w, "/keepers/repl_1/latch-0", "new");
    wait_told(w, &t, "1 latch-0 new;");
    assert_int_equal(t.times, 2);
    let_pass(w, 800);
    assert_int_equal(t.times, 2);
    unwatch(w, &t);
    world_free(w);
}

/* Everything but reading. */
static void make_unreadable(struct world *w, const char *below, const char *data)
{
    struct ACL entry = { .perms = ZOO_PERM_ALL & ~ZOO_PERM_READ, .id = ZOO_ANYONE_ID_UNSAFE };
    make(w, below, data, &(struct ACL_vector){ .count = 1, .data = &entry });
}

struct failures {
    int64_t before;
    int wanted;
};

static bool has_failed(void *arg)
{
    const struct failures *f = arg;
    return metric_of(FAILED_READS) - f->before >= f->wanted;
}

/* One path answers, the other one does not let us read: nothing is known. */
static void nothing_is_told_before_both_paths_were_read(void **state)
{
    (void)state;
    struct world *w = world_new(NULL);
    struct told t = { 0 };
    struct failures f = { .before = metric_of(FAILED_READS), .wanted = 2 };
    make_unreadable(w, "/keepers/repl_1", "");
    add(w, "/keepers/repl_1/latch-0", "x");
    watch_shard(w, &t, 1, 1);
    mono_ms begin = clock_mono_ms();
    assert_true(wait_on_loop(w->loop, has_failed, &f, LIMIT_MS) >= 0);
    assert_in_range(clock_mono_ms() - begin, 900, LIMIT_MS); /* it waits before it asks again */
    assert_int_equal(t.times, 0);
    AUTO_FREE char *path = xasprintf("/%s/keepers/repl_1", w->name_space);
    assert_int_equal(zoo_set_acl(w->keepers, path, -1, &ZOO_OPEN_ACL_UNSAFE), ZOK);
    wait_told(w, &t, "1 latch-0 x;");
    assert_int_equal(t.times, 1);
    assert_int_equal(t.times_empty, 0);
    unwatch(w, &t);
    world_free(w);
}

static void a_child_that_must_not_be_read_spoils_nothing(void **state)
{
    (void)state;
    struct world *w = world_new(NULL);
    struct told t = { 0 };
    add(w, "/keepers/repl_1", "");
    make_unreadable(w, "/keepers/repl_1/latch-0", "secret");
    add(w, "/keepers/repl_1/latch-1", "x");
    watch_shard(w, &t, 1, 1);
    wait_told(w, &t, "1 latch-0 ;1 latch-1 x;");
    unwatch(w, &t);
    world_free(w);
}

static void limits_of_children_and_data(void **state)
{
    (void)state;
    struct world *w = world_new(NULL);
    struct told t = { 0 };
    AUTO_FREE char *data = xcalloc(1, 100001);
    memset(data, 'x', 100000);
    add(w, "/keepers/repl_1", "");
    for (int i = 69; i >= 0; i--) { /* the names sort the other way round */
        AUTO_FREE char *name = xasprintf("/keepers/repl_1/_c_%02d-latch-%02d", 69 - i, i);
        add(w, name, i == 0 ? data : "");
    }
    watch_shard(w, &t, 1, 1);
    AUTO_STR struct str wanted = STR_INIT(4000);
    for (int i = 63; i >= 0; i--) {
        str_printf(&wanted, "1 _c_%02d-latch-%02d %.40s;", 69 - i, i, i == 0 ? data : "");
    }
    wait_told(w, &t, str_text(&wanted));
    unwatch(w, &t);
    world_free(w);
}

static void lost_session(void **state)
{
    (void)state;
    struct world *w = world_of(NULL, SESSION_MS);
    struct told known = { 0 };
    struct told late = { 0 };
    add(w, "/keepers/repl_1", "");
    add(w, "/keepers/repl_1/latch-0", "x");
    add(w, "/keepers/repl_2", "");
    add(w, "/keepers/repl_2/latch-0", "y");
    watch_shard(w, &known, 1, 1);
    wait_told(w, &known, "1 latch-0 x;");
    uint64_t epoch = zk_epoch(w->zk);
    atomic_store(&w->wire.is_cut, true);
    watch_shard(w, &late, 1, 2);
    wait_state(w, ZK_LOST);
    take_away(w, "/keepers/repl_1/latch-0");
    add(w, "/keepers/repl_1/latch-1", "z");
    let_pass(w, SESSION_MS);
    assert_int_equal(known.times, 1);
    assert_int_equal(late.times, 0);
    atomic_store(&w->wire.is_cut, false);
    wait_told(w, &known, "1 latch-1 z;");
    wait_told(w, &late, "1 latch-0 y;");
    assert_true(zk_epoch(w->zk) > epoch);
    assert_int_equal(known.times_empty + late.times_empty, 0);
    assert_int_equal(late.times, 1);
    add(w, "/keepers/repl_1/latch-2", "z"); /* watches of the new session */
    wait_told(w, &known, "1 latch-1 z;1 latch-2 z;");
    unwatch(w, &known);
    unwatch(w, &late);
    world_free(w);
}

static void without_a_session_nothing_is_read(void **state)
{
    (void)state;
    struct world *w = world_new(NULL);
    struct told t = { 0 };
    watch_shard(w, &t, 1, 1); /* its first call is under way */
    keeper_watch_set_zk(w->watch, NULL);
    let_pass(w, 4 * GATHER_MS);
    assert_int_equal(t.times, 0);
    keeper_watch_set_zk(w->watch, w->zk);
    wait_told(w, &t, "");
    keeper_watch_set_zk(w->watch, NULL);
    add(w, "/keepers/repl_1", "");
    add(w, "/keepers/repl_1/latch-0", "x");
    let_pass(w, 4 * GATHER_MS);
    assert_int_equal(t.times, 1);
    keeper_watch_set_zk(w->watch, w->zk);
    wait_told(w, &t, "1 latch-0 x;");
    unwatch(w, &t);
    world_free(w);
}

/* ---- many ---- */

#define MANY 60

struct crowd {
    struct told shards[MANY];
    int times_wanted;
    int64_t most_under_way;
};

static bool all_told(void *arg)
{
    struct crowd *c = arg;
    int64_t now = metric_of("\nxpipe_keeper_reads_under_way ");
    c->most_under_way = now > c->most_under_way ? now : c->most_under_way;
    for (int i = 0; i < MANY; i++) {
        if (c->shards[i].times < c->times_wanted) {
            return false;
        }
    }
    return true;
}

static void reads_are_bounded(void **state)
{
    (void)state;
    struct world *w = world_new(&(struct keeper_watch_options){ .reads_max = 3 });
    struct crowd c = { .times_wanted = 1 };
    for (int i = 0; i < MANY; i++) {
        watch_shard(w, &c.shards[i], 1, i);
    }
    assert_int_equal(metric_of("\nxpipe_keeper_reads_under_way "), 3);
    assert_int_equal(metric_of("\nxpipe_keeper_reads_waiting "), MANY - 3);
    assert_true(wait_on_loop(w->loop, all_told, &c, LIMIT_MS) >= 0);
    assert_in_range(c.most_under_way, 0, 3);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(c.shards[i].times, 1);
        unwatch(w, &c.shards[i]);
    }
    assert_int_equal(metric_of("\nxpipe_keeper_reads_under_way "), 0);
    assert_int_equal(metric_of("\nxpipe_keeper_reads_waiting "), 0);
    world_free(w);
}

/* At every stage: in the queue, with a call under way, from its own callback, while it gathers, and with watches left behind. */
static void removed_at_any_moment(void **state)
{
    (void)state;
    struct world *w = world_new(NULL);
    struct crowd c = { .times_wanted = 1 };
    add(w, "/keepers/repl_3", "");
    for (int i = 0; i < MANY; i++) {
        c.shards[i].removes_itself = i % 2 == 1;
        watch_shard(w, &c.shards[i], 1, i);
    }
    for (int i = 0; i < MANY; i += 4) {
        unwatch(w, &c.shards[i]); /* the first READS_MAX are being read */
        c.shards[i].times = 1;
    }
    assert_true(wait_on_loop(w->loop, all_told, &c, LIMIT_MS) >= 0);
    add(w, "/keepers/repl_2", "");
    add(w, "/keepers/repl_3/latch-0", "x"); /* its shard is gone */
    let_pass(w, GATHER_MS / 2);
    struct told again = { 0 };
    watch_shard(w, &again, 1, 3);
    wait_told(w, &again, "1 latch-0 x;");
    for (int i = 2; i < MANY; i += 4) {
        unwatch(w, &c.shards[i]);
    }
    let_pass(w, 2 * GATHER_MS);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(c.shards[i].times, 1);
    }
    add(w, "/keepers/repl_3/latch-1", "x");
    wait_told(w, &again, "1 latch-0 x;1 latch-1 x;");
    unwatch(w, &again);
    world_free(w);
}

/* A mistake in the metadata, or a shard that is added anew before the old one is removed. */
static void one_shard_id_twice(void **state)
{
    (void)state;
    struct world *w = world_new(NULL);
    struct told a = { 0 };
    struct told b = { 0 };
    struct told c = { 0 };
    watch_shard(w, &a, 1, 5);
    watch_shard(w, &b, 2, 5);
    watch_shard(w, &c, 1, 5);
    wait_told(w, &a, "");
    wait_told(w, &b, "");
    wait_told(w, &c, "");
    add(w, "/keepers/repl_5", "");
    add(w, "/keepers/repl_5/latch-0", "x");
    wait_told(w, &a, "1 latch-0 x;");
    wait_told(w, &b, "1 latch-0 x;");
    wait_told(w, &c, "1 latch-0 x;");
    unwatch(w, &b);
    add(w, "/keepers/cluster_1", "");
    add(w, "/keepers/cluster_1/shard_5", "");
    add(w, "/keepers/cluster_1/shard_5/latch-0", "y");
    wait_told(w, &a, "0 latch-0 y;1 latch-0 x;");
    wait_told(w, &c, "0 latch-0 y;1 latch-0 x;");
    unwatch(w, &c);
    take_away(w, "/keepers/repl_5/latch-0");
    wait_told(w, &a, "0 latch-0 y;");
    unwatch(w, &a);
    world_free(w);
}

static int start(void **state)
{
    log_set_level(LOG_ERROR);
    zoo_set_debug_level(ZOO_LOG_LEVEL_ERROR);
    return zk_up(state);
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_paths_come_and_go),
        cmocka_unit_test(a_burst_is_told_once),
        cmocka_unit_test(the_refresh_reads_everything_again),
        cmocka_unit_test(nothing_is_told_before_both_paths_were_read),
        cmocka_unit_test(a_child_that_must_not_be_read_spoils_nothing),
        cmocka_unit_test(limits_of_children_and_data),
        cmocka_unit_test(lost_session),
        cmocka_unit_test(without_a_session_nothing_is_read),
        cmocka_unit_test(reads_are_bounded),
        cmocka_unit_test(removed_at_any_moment),
        cmocka_unit_test(one_shard_id_twice),
    };
    return cmocka_run_group_tests(tests, start, zk_down);
}
