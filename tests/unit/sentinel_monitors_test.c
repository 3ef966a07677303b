/* Monitors on real sentinels: redis-server --sentinel, three of them, over two real Redis. The scenarios with trouble are in
 * tests/sim/sentinel_monitors_sim.c; here it is shown that real sentinels speak as the scripted ones do. */
#include "meta/primary/sentinel_monitors.h"
#include "tests/unit/redis_fixture.h"

#include "shared/base/str.h"

#include "shared/base/banned.h"

enum { SENTINELS = 3, PERIOD_MS = 100, DIFFERS_MS = 400, LIMIT_MS = 60000 };
#define NAME "demo+s1+jq"

struct world {
    struct redis_fixture redis[2];
    struct redis_fixture sentinels[SENTINELS];
    struct loop *loop;
    struct sentinel_monitors *monitors;
    struct monitored_shard *shard;
    struct cluster_meta cluster;
    struct monitored_state state;
    const char *wanted; /* what every sentinel shall watch: "127.0.0.1:port"; NULL: nothing */
};

static struct world the_world;
static struct world *const w = &the_world;

/* One inline command on a connection of its own; what one read gives. */
static void tell(int port, const char *command, char *ret_text, size_t size)
{
    char line[128];
    int fd = connect_to(port);
    assert_true(fd >= 0);
    int length = snprintf(line, sizeof(line), "%s\r\n", command);
    assert_in_range(length, 1, sizeof(line) - 1);
    assert_int_equal(send(fd, line, (size_t)length, MSG_NOSIGNAL), length);
    ssize_t n = recv(fd, ret_text, size - 1, 0);
    assert_true(n > 0);
    ret_text[n] = '\0';
    (void)close(fd);
}

static bool says(int port, const char *command, const char *prefix)
{
    char text[4096];
    tell(port, command, text, sizeof(text));
    return text_has_prefix(text, prefix);
}

/* A sentinel keeps what it knows in its configuration file. */
static void sentinel_start(struct redis_fixture *s)
{
    char path[sizeof(s->folder) + 16];
    (void)snprintf(s->folder, sizeof(s->folder), "/tmp/xpipe-sentinel.XXXXXX");
    assert_non_null(mkdtemp(s->folder));
    s->port = reserved_port();
    s->addr = addr_of("127.0.0.1", s->port);
    (void)snprintf(path, sizeof(path), "%s/s.conf", s->folder);
    FILE *conf = fopen(path, "we");
    assert_non_null(conf);
    (void)fprintf(conf, "port %d\nbind 127.0.0.1\ndir %s\nlogfile /dev/null\n", s->port, s->folder);
    assert_int_equal(fclose(conf), 0);
    s->pid = fork();
    assert_true(s->pid >= 0);
    if (s->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)execlp("redis-server", "redis-server", path, "--sentinel", (char *)NULL);
        _exit(127);
    }
    redis_wait(s->port);
}

static void sentinel_stop(struct redis_fixture *s)
{
    char path[sizeof(s->folder) + 16];
    (void)snprintf(path, sizeof(path), "%s/s.conf", s->folder);
    (void)kill(s->pid, SIGKILL);
    (void)waitpid(s->pid, NULL, 0);
    (void)unlink(path);
    (void)rmdir(s->folder);
}

static int may_command(const struct cluster_meta *cluster, void *arg, struct xp_err *err)
{
    (void)cluster;
    (void)arg;
    (void)err;
    return 0;
}

static void tell_state(void *arg, struct monitored_state *ret_state)
{
    *ret_state = ((struct world *)arg)->state;
}

static void add_shard(void)
{
    AUTO_FREE char *address =
        xasprintf("127.0.0.1:%d,127.0.0.1:%d,127.0.0.1:%d", w->sentinels[0].port,
                  w->sentinels[1].port, w->sentinels[2].port);
    w->shard = sentinel_monitors_add(w->monitors, NAME, address, tell_state, w);
}

static int open_world(void **state)
{
    *w = (struct world){ .state = { 0 } };
    redis_start(&w->redis[0], NULL, NULL);
    redis_start(&w->redis[1], NULL, NULL);
    for (int i = 0; i < SENTINELS; i++) {
        sentinel_start(&w->sentinels[i]);
    }
    w->state = (struct monitored_state){ .cluster = &w->cluster,
                                         .place = TREE_PRIMARY,
                                         .is_single_master = true,
                                         .master = w->redis[0].addr };
    w->loop = loop_new();
    struct sentinel_monitors_options options = { .loop = w->loop,
                                                 .period_ms = PERIOD_MS,
                                                 .differs_ms = DIFFERS_MS,
                                                 .timeout_ms = 5000,
                                                 .may_command = may_command };
    w->monitors = sentinel_monitors_new(&options);
    add_shard();
    *state = w;
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    sentinel_monitors_remove(w->monitors, w->shard);
    sentinel_monitors_free(w->monitors);
    loop_free(w->loop);
    for (int i = 0; i < SENTINELS; i++) {
        sentinel_stop(&w->sentinels[i]);
    }
    redis_stop(&w->redis[0]);
    redis_stop(&w->redis[1]);
    return 0;
}

/* As the read-back of every sentinel says. */
static bool is_as_wanted(void *arg)
{
    (void)arg;
    json_auto_t *json = monitored_shard_json(w->shard);
    const json_t *list = json_object_get(json, "sentinels");
    for (size_t i = 0; i < SENTINELS; i++) {
        const json_t *one = json_array_get(list, i);
        const char *watched = json_string_value(json_object_get(one, "watched"));
        const char *seen = json_string_value(json_object_get(one, "seen"));
        bool is_right = w->wanted ? text_eq(watched, w->wanted) : text_eq(seen, "absent");
        if (!is_right) {
            return false;
        }
    }
    return true;
}

static void wait_for(const struct addr *watched)
{
    AUTO_FREE char *text = watched ? xstrdup(ADDR_TEXT(watched)) : NULL;
    w->wanted = text;
    if (!loop_wait(w->loop, is_as_wanted, NULL, LIMIT_MS)) {
        json_auto_t *json = monitored_shard_json(w->shard);
        AUTO_FREE char *shown = json_dumps(json, JSON_COMPACT);
        fail_msg("%s is not watched: %s", text ? text : "nothing", shown);
    }
}

static bool is_nothing_monitored(void *arg)
{
    (void)arg;
    for (int i = 0; i < SENTINELS; i++) {
        if (!says(w->sentinels[i].port, "SENTINEL MASTER " NAME, "-ERR No such master")) {
            return false;
        }
    }
    return true;
}

static void added_moved_and_removed(void **state)
{
    (void)state;
    char text[4096];
    wait_for(&w->redis[0].addr);
    for (int i = 0; i < SENTINELS; i++) {
        tell(w->sentinels[i].port, "SENTINEL MASTER " NAME, text, sizeof(text));
        assert_non_null(strstr(text, "quorum\r\n$1\r\n2\r\n"));
    }
    w->state.master = w->redis[1].addr;
    wait_for(&w->redis[1].addr);
    w->cluster.refs = 1;
    sentinel_monitors_retire(w->monitors, TAKE(w->shard), NULL);
    assert_true(loop_wait(w->loop, is_nothing_monitored, NULL, LIMIT_MS));
    w->state.master = w->redis[0].addr;
    add_shard();
    wait_for(&w->redis[0].addr);
    w->state.place = TREE_BACKUP;
    wait_for(NULL);
    assert_true(says(w->sentinels[0].port, "SENTINEL MASTER " NAME, "-ERR No such master"));
}

static void the_words_of_a_sentinel(void **state)
{
    (void)state;
    char command[128];
    wait_for(&w->redis[0].addr);
    (void)snprintf(command, sizeof(command), "SENTINEL MONITOR %s 127.0.0.1 %d 2", NAME,
                   w->redis[1].port);
    assert_true(says(w->sentinels[0].port, command, "-ERR Duplicate master name"));
    assert_true(says(w->sentinels[0].port, "SENTINEL REMOVE none", "-ERR No such master"));
}

static bool is_failover_taken(void *arg)
{
    (void)arg;
    return says(w->sentinels[0].port, "SENTINEL FAILOVER " NAME, "+OK");
}

static bool has_first_switched(void *arg)
{
    (void)arg;
    json_auto_t *json = monitored_shard_json(w->shard);
    const json_t *one = json_array_get(json_object_get(json, "sentinels"), 0);
    return text_eq(json_string_value(json_object_get(one, "watched")),
                   ADDR_TEXT(&w->redis[1].addr));
}

/* The sentinels promote; the shard is told (here: by the test) and nothing is taken back. */
static void sentinels_promote_and_this_follows(void **state)
{
    (void)state;
    char command[64];
    (void)snprintf(command, sizeof(command), "REPLICAOF 127.0.0.1 %d", w->redis[0].port);
    assert_true(says(w->redis[1].port, command, "+OK"));
    wait_for(&w->redis[0].addr);
    w->state.is_single_master = false; /* while it lasts, nobody knows */
    assert_true(loop_wait(w->loop, is_failover_taken, NULL, LIMIT_MS));
    assert_true(loop_wait(w->loop, has_first_switched, NULL, LIMIT_MS));
    assert_true(says(w->redis[1].port, "ROLE", "*3\r\n$6\r\nmaster"));
    w->state.master = w->redis[1].addr;
    w->state.is_single_master = true;
    wait_for(&w->redis[1].addr); /* those that did not hear of it in time are corrected */
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(added_moved_and_removed),
        CASE(the_words_of_a_sentinel),
        CASE(sentinels_promote_and_this_follows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
