/* promote_run_test.c - promotions on real Redis: a master with two replicas and writers that go on, a replica that hangs, a replica
 * behind, a promotion whose answer is lost, nobody, several masters. */
#include "shared/switch/promote.h"

#include <inttypes.h>
#include <limits.h>

#include "shared/base/str.h"
#include "shared/net/rsync.h"
#include "tests/unit/redis_fixture.h"
#include "tests/unit/stretch.h"

#include "shared/base/banned.h"

#define LIMIT_MS    20000
#define CONNECT_MS  300
#define DEADLINE_MS 8000

/* ---- servers ---- */

enum { SOURCE, NEAR, FAR, SERVERS };
static struct redis_fixture servers[SERVERS];

static struct rreply *tell(const struct redis_fixture *server, const char *line)
{
    const char *words[8];
    char copy[256];
    size_t count = 0;
    char *rest = NULL;
    struct rsync *conn = NULL;
    struct rreply *reply = NULL;
    struct xp_err err = { 0 };
    struct rsync_options options = { .addr = server->addr, .deadline = clock_mono_ms() + LIMIT_MS };
    (void)snprintf(copy, sizeof(copy), "%s", line);
    for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        words[count++] = word;
    }
    int rc = rsync_open(&options, &conn, &err);
    rc = rc < 0 ? rc : rsync_command(conn, count, words, NULL, &reply, &err);
    if (rc < 0) {
        fail_msg("%s: %s", line, err.msg);
    }
    rsync_close(conn);
    return reply;
}

static void command(const struct redis_fixture *server, const char *line)
{
    struct rreply *reply = tell(server, line);
    if (rreply_is_error(reply)) {
        fail_msg("%s: %s", line, rreply_text(reply, NULL));
    }
    rreply_free(reply);
}

/* A field of INFO; "" when it is not there. */
static const char *info(const struct redis_fixture *server, const char *section, const char *name,
                        char *value, size_t size)
{
    AUTO_FREE char *line = xasprintf("INFO %s", section);
    struct rreply *reply = tell(server, line);
    const char *at = strstr(rreply_text(reply, NULL), name);
    size_t length = at ? strcspn(at + strlen(name) + 1, "\r\n") : 0;
    assert_true(length < size);
    memcpy(value, at ? at + strlen(name) + 1 : "", length);
    value[length] = '\0';
    rreply_free(reply);
    return value;
}
#define INFO(server, section, name) info((server), (section), (name), (char[128]){ 0 }, 128)

static int64_t info_number(const struct redis_fixture *server, const char *section,
                           const char *name)
{
    return strtoll(INFO(server, section, name), NULL, 10);
}

static bool is_role(const struct redis_fixture *server, const char *role)
{
    return text_eq(INFO(server, "replication", "role"), role);
}

/* Waits until INFO replication says so. */
static void wait_for(const struct redis_fixture *server, const char *name, const char *value)
{
    mono_ms limit = clock_mono_ms() + LIMIT_MS;
    while (!text_eq(INFO(server, "replication", name), value)) {
        if (clock_mono_ms() > limit) {
            fail_msg("%s is not %s but %s", name, value, INFO(server, "replication", name));
        }
        (void)usleep(2000);
    }
}

static void follow(const struct redis_fixture *server, const struct redis_fixture *upstream)
{
    AUTO_FREE char *line = xasprintf("SLAVEOF 127.0.0.1 %d", upstream->port);
    command(server, line);
    wait_for(server, "master_link_status", "up");
}

static int start_all(void **state)
{
    (void)state;
    for (int i = 0; i < SERVERS; i++) {
        redis_start(&servers[i], "repl-diskless-sync-delay", "0");
    }
    follow(&servers[NEAR], &servers[SOURCE]);
    follow(&servers[FAR], &servers[SOURCE]);
    return 0;
}

static int stop_all(void **state)
{
    (void)state;
    for (int i = 0; i < SERVERS; i++) {
        (void)kill(servers[i].pid, SIGCONT);
        redis_stop(&servers[i]);
    }
    return 0;
}

static struct switch_order order_of_source(void)
{
    struct switch_order order = { .has_info = true, .drain_ms = 5000 };
    order.offset = info_number(&servers[SOURCE], "replication", "master_repl_offset");
    (void)snprintf(order.repl_id, sizeof(order.repl_id), "%s",
                   INFO(&servers[SOURCE], "replication", "master_replid"));
    return order;
}

static void freeze_source(void)
{
    command(&servers[SOURCE], "CONFIG SET min-slaves-to-write 2147483647");
}

/* ---- a run ---- */

struct case_run {
    struct loop *loop;
    struct promote_run *run;
    struct execution_log *log;
    int (*on_may)(struct case_run *, struct xp_err *err);
    struct loop_timer wakes; /* resumes a hung server */
    int asked;
    int times;
    enum promote_outcome outcome;
    struct switch_change change;
    struct promote_node nodes[SERVERS];
    size_t count;
    char *text;
    struct stretch stretch; /* of the last run */
};

static void note(const struct promote_result *result, void *arg)
{
    struct case_run *c = arg;
    c->times++;
    c->outcome = result->outcome;
    c->change = result->change;
    c->count = result->count;
    memcpy(c->nodes, result->nodes, result->count * sizeof(c->nodes[0]));
    promote_run_free(TAKE(c->run));
}

static int may(void *arg, struct xp_err *err)
{
    struct case_run *c = arg;
    c->asked++;
    return c->on_may ? c->on_may(c, err) : 0;
}

static void resume_all(struct loop_timer *t)
{
    (void)t;
    for (int i = 0; i < SERVERS; i++) {
        (void)kill(servers[i].pid, SIGCONT);
    }
}

static bool is_over(void *arg)
{
    return ((const struct case_run *)arg)->times > 0;
}

static void case_start(struct case_run *c, enum promote_goal goal, const struct switch_order *order,
                       int64_t deadline_ms)
{
    static const struct switch_order no_order;
    c->stretch = stretch_begin();
    struct addr redises[] = { servers[NEAR].addr, servers[FAR].addr };
    struct promote_options options = {
        .run.redis = redises,
        .run.redis_count = ARRAY_LEN(redises),
        .run.client_name = "xpipe-test",
        .run.connect_timeout_ms = CONNECT_MS,
        .run.deadline_ms = deadline_ms,
        .run.may_command = may,
        .run.arg = c,
        .goal = goal,
        .order = order ? *order : no_order,
        .on_done = note,
    };
    c->loop = c->loop ? c->loop : loop_new();
    c->log = execution_log_new(NULL);
    c->times = 0;
    options.run.loop = c->loop;
    options.run.log = c->log;
    c->run = promote_run_start(&options);
    assert_int_equal(c->times, 0); /* never inside the call */
}

static void case_finish(struct case_run *c)
{
    assert_true(loop_wait(c->loop, is_over, c, LIMIT_MS));
    assert_int_equal(c->times, 1);
    free(c->text);
    c->text = execution_log_take(c->log);
    execution_log_free(TAKE(c->log));
}

static void case_run(struct case_run *c, enum promote_goal goal, const struct switch_order *order)
{
    case_start(c, goal, order, DEADLINE_MS);
    case_finish(c);
}

static void case_done(struct case_run *c)
{
    if (c->loop) {
        loop_free(c->loop);
    }
    free(c->text);
}

static void assert_outcome(const struct case_run *c, enum promote_outcome outcome)
{
    if (c->outcome != outcome) {
        fail_msg("%s, not %s:\n%s", promote_outcome_text(c->outcome), promote_outcome_text(outcome),
                 c->text);
    }
    assert_int_equal(c->change.is_success, outcome == PROMOTE_OK);
}

static void assert_says(const struct case_run *c, const char *part)
{
    if (!strstr(c->text, part)) {
        fail_msg("'%s' is not in:\n%s", part, c->text);
    }
}

/* ---- writers ---- */

struct writer {
    pthread_t thread;
    int number;
    bool must_end;
    int64_t acknowledged;
    int64_t refused;
};

static void *write_on(void *arg)
{
    struct writer *w = arg;
    struct rsync *conn;
    struct xp_err err;
    struct rsync_options options = { .addr = servers[SOURCE].addr,
                                     .deadline = clock_mono_ms() + LIMIT_MS };
    if (rsync_open(&options, &conn, &err) != 0) {
        return NULL;
    }
    for (int64_t i = 0; !__atomic_load_n(&w->must_end, __ATOMIC_ACQUIRE); i++) {
        char key[64];
        struct rreply *reply;
        (void)snprintf(key, sizeof(key), "w%d:%" PRId64, w->number, i);
        const char *words[] = { "SET", key, "a value of some length, so that offsets move" };
        if (rsync_command(conn, ARRAY_LEN(words), words, NULL, &reply, &err) != 0) {
            break;
        }
        w->refused += rreply_is_error(reply);
        __atomic_add_fetch(&w->acknowledged, !rreply_is_error(reply), __ATOMIC_ACQ_REL);
        rreply_free(reply);
    }
    rsync_close(conn);
    return NULL;
}

/* Until each of them has 'more' new acknowledgments. */
static void writers_wait(const struct writer *writers, int count, int64_t more)
{
    mono_ms limit = clock_mono_ms() + LIMIT_MS;
    for (int i = 0; i < count; i++) {
        int64_t wanted = __atomic_load_n(&writers[i].acknowledged, __ATOMIC_ACQUIRE) + more;
        while (__atomic_load_n(&writers[i].acknowledged, __ATOMIC_ACQUIRE) < wanted) {
            assert_true(clock_mono_ms() < limit);
            (void)usleep(1000);
        }
    }
}

static void writers_start(struct writer *writers, int count)
{
    for (int i = 0; i < count; i++) {
        writers[i] = (struct writer){ .number = i };
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_on, &writers[i]), 0);
    }
    writers_wait(writers, count, 500);
}

static int64_t writers_stop(struct writer *writers, int count)
{
    int64_t sum = 0;
    for (int i = 0; i < count; i++) {
        __atomic_store_n(&writers[i].must_end, true, __ATOMIC_RELEASE);
        assert_int_equal(pthread_join(writers[i].thread, NULL), 0);
        sum += writers[i].acknowledged;
        assert_true(writers[i].refused > 0);
    }
    return sum;
}

static int64_t key_count(const struct redis_fixture *server)
{
    struct rreply *reply = tell(server, "DBSIZE");
    int64_t count = rreply_integer(reply);
    rreply_free(reply);
    return count;
}

/* ---- tests ---- */

/* One replica hangs, the other lags until it is resumed; the writers go on until the promotion. Nothing is lost, the old master comes
 * back by a partial resynchronization, and asking again changes nothing. */
static void planned_loses_nothing(void **state)
{
    (void)state;
    enum { WRITERS = 3 };
    struct writer writers[WRITERS];
    struct case_run c = { 0 };
    (void)kill(servers[NEAR].pid, SIGSTOP);
    writers_start(writers, WRITERS);
    (void)kill(servers[FAR].pid, SIGSTOP); /* behind from here on */
    writers_wait(writers, WRITERS, 20);
    freeze_source();
    struct switch_order order = order_of_source();
    c.loop = loop_new();
    loop_timer_init(&c.wakes, c.loop, resume_all);
    case_start(&c, PROMOTE_GOAL_DRAIN, &order, DEADLINE_MS);
    (void)kill(servers[FAR].pid, SIGCONT);
    case_finish(&c);
    assert_outcome(&c, PROMOTE_OK);
    assert_true(c.change.is_drained);
    assert_false(c.change.is_promoted);
    assert_int_equal(c.asked, 0);
    order = order_of_source(); /* frozen for good: PINGs move the offset */
    command(&servers[SOURCE], "SLAVEOF 127.0.0.1 0");
    case_run(&c, PROMOTE_GOAL_PROMOTE, &order);
    assert_outcome(&c, PROMOTE_OK);
    assert_true(c.change.is_drained && c.change.is_promoted);
    assert_true(addr_eq(&c.change.new_master, &servers[FAR].addr));
    assert_int_equal(c.change.offset_gap, 0);
    assert_true(c.change.offset >= order.offset);
    assert_string_equal(c.change.repl_id, order.repl_id);
    assert_int_equal(c.asked, 1);
    assert_says(&c, "does not answer");
    assert_says(&c, "has no config file");
    assert_true(is_role(&servers[FAR], "master"));
    int64_t acknowledged = writers_stop(writers, WRITERS);
    assert_int_equal(key_count(&servers[FAR]), acknowledged);

    char repl_id[64];
    (void)snprintf(repl_id, sizeof(repl_id), "%s",
                   INFO(&servers[FAR], "replication", "master_replid"));
    command(&servers[FAR], "SET later 1");
    case_run(&c, PROMOTE_GOAL_PROMOTE, &order); /* once more */
    assert_outcome(&c, PROMOTE_OK);
    assert_true(c.change.is_drained && c.change.is_promoted);
    assert_true(addr_eq(&c.change.new_master, &servers[FAR].addr));
    assert_string_equal(c.change.repl_id, order.repl_id);
    assert_int_equal(c.asked, 1);
    assert_string_equal(INFO(&servers[FAR], "replication", "master_replid"), repl_id);

    follow(&servers[SOURCE], &servers[FAR]);
    assert_int_equal(info_number(&servers[FAR], "stats", "sync_full"), 0);
    assert_int_equal(info_number(&servers[FAR], "stats", "sync_partial_ok"), 1);
    resume_all(NULL);
    case_done(&c);
}

/* What the source wrote of its own accord, and nobody has: pings. */
#define PING_MAX_BYTES 1000

static void behind_planned_is_left_and_disaster_tells_the_gap(void **state)
{
    (void)state;
    struct case_run c = { 0 };
    command(&servers[SOURCE], "SET key value");
    command(&servers[SOURCE], "WAIT 2 10000"); /* a new replica gets the stream a second late */
    freeze_source();
    struct switch_order order = order_of_source();
    order.offset += 100000;
    order.drain_ms = 100;
    case_run(&c, PROMOTE_GOAL_PROMOTE, &order);
    assert_outcome(&c, PROMOTE_NOT_DRAINED);
    assert_true(c.change.offset_gap > 0 && c.change.offset_gap <= 100000 + PING_MAX_BYTES);
    assert_lasted(&c.stretch, 100, 3000);
    assert_int_equal(c.asked, 0);
    assert_true(is_role(&servers[NEAR], "slave") && is_role(&servers[FAR], "slave"));
    assert_true(addr_is_none(&c.change.new_master));

    (void)snprintf(order.repl_id, sizeof(order.repl_id), "%040d", 7);
    case_run(&c, PROMOTE_GOAL_PROMOTE, &order);
    assert_outcome(&c, PROMOTE_STRANGER);
    assert_true(is_role(&servers[NEAR], "slave") && is_role(&servers[FAR], "slave"));

    order = order_of_source();
    order.offset += 100000;
    order.drain_ms = 100;
    order.is_disaster = true;
    case_run(&c, PROMOTE_GOAL_PROMOTE, &order);
    assert_outcome(&c, PROMOTE_OK);
    assert_false(c.change.is_drained);
    assert_true(c.change.offset_gap > 0 && c.change.offset_gap <= 100000 + PING_MAX_BYTES);
    assert_true(c.change.is_promoted);
    assert_says(&c, "bytes are missing");
    case_done(&c);
}

static void disaster_without_info_takes_the_most_advanced(void **state)
{
    (void)state;
    struct case_run c = { 0 };
    struct switch_order order = { .is_disaster = true };
    command(&servers[NEAR], "SLAVEOF 127.0.0.1 1"); /* its link goes down */
    command(&servers[SOURCE], "SET key value");
    command(&servers[SOURCE], "WAIT 1 10000");
    (void)kill(servers[SOURCE].pid, SIGSTOP);
    case_run(&c, PROMOTE_GOAL_PROMOTE, &order);
    assert_outcome(&c, PROMOTE_OK);
    assert_true(addr_eq(&c.change.new_master, &servers[FAR].addr));
    assert_int_equal(c.change.offset_gap, -1);
    assert_false(c.change.is_drained);
    assert_says(&c, "is not known");
    case_done(&c);
}

static void check_reads_everything(void **state)
{
    (void)state;
    struct case_run c = { 0 };
    struct switch_order order = order_of_source();
    command(&servers[FAR], "CONFIG SET slave-priority 7");
    command(&servers[FAR], "CONFIG SET slave-read-only no");
    command(&servers[FAR], "CONFIG SET min-slaves-to-write 2");
    case_run(&c, PROMOTE_GOAL_CHECK, NULL);
    assert_outcome(&c, PROMOTE_OK);
    assert_int_equal(c.count, 2);
    const struct promote_node *n = &c.nodes[1];
    assert_true(addr_eq(&n->addr, &servers[FAR].addr));
    assert_true(n->was_asked && !n->is_silent);
    assert_int_equal(n->role.kind, ROLE_KIND_REPLICA);
    assert_int_equal(n->role.link, ROLE_LINK_CONNECTED);
    assert_true(addr_eq(&n->role.master, &servers[SOURCE].addr));
    assert_string_equal(n->repl_id, order.repl_id);
    assert_true(n->offset >= 0);
    assert_int_equal(n->priority, 7);
    assert_int_equal(n->min_slaves, 2);
    assert_false(n->is_read_only);
    assert_true(c.nodes[0].is_read_only);
    assert_int_equal(c.nodes[0].min_slaves, 0);
    assert_false(c.change.is_promoted);
    assert_int_equal(c.asked, 0);

    (void)kill(servers[NEAR].pid, SIGSTOP);
    case_run(&c, PROMOTE_GOAL_CHECK, NULL);
    assert_outcome(&c, PROMOTE_OK);
    assert_true(c.nodes[0].is_silent);
    assert_lasted(&c.stretch, 0, 5 * CONNECT_MS);
    case_done(&c);
}

static void several_masters_are_named(void **state)
{
    (void)state;
    struct case_run c = { 0 };
    struct switch_order order = order_of_source();
    command(&servers[NEAR], "SLAVEOF NO ONE");
    command(&servers[FAR], "SLAVEOF NO ONE");
    case_run(&c, PROMOTE_GOAL_PROMOTE, &order);
    assert_outcome(&c, PROMOTE_SEVERAL);
    assert_says(&c, ADDR_TEXT(&servers[NEAR].addr));
    assert_says(&c, ADDR_TEXT(&servers[FAR].addr));
    case_run(&c, PROMOTE_GOAL_CHECK, NULL);
    assert_outcome(&c, PROMOTE_SEVERAL);
    case_done(&c);
}

static void nobody_answers(void **state)
{
    (void)state;
    struct case_run c = { 0 };
    struct switch_order order = order_of_source();
    (void)kill(servers[NEAR].pid, SIGKILL);
    (void)kill(servers[FAR].pid, SIGSTOP);
    case_run(&c, PROMOTE_GOAL_PROMOTE, &order);
    assert_outcome(&c, PROMOTE_NOBODY);
    assert_lasted(&c.stretch, 0, 10 * CONNECT_MS);
    assert_int_equal(c.asked, 0);
    case_done(&c);
}

static int refuse(struct case_run *c, struct xp_err *err)
{
    (void)c;
    return xp_fail(err, XP_NOT_OWNER, "the slot is another's");
}

static void who_may_not_promotes_nobody(void **state)
{
    (void)state;
    struct case_run c = { .on_may = refuse };
    struct switch_order order = order_of_source();
    case_run(&c, PROMOTE_GOAL_PROMOTE, &order);
    assert_outcome(&c, PROMOTE_REFUSED);
    assert_says(&c, "the slot is another's");
    assert_true(is_role(&servers[NEAR], "slave") && is_role(&servers[FAR], "slave"));
    case_done(&c);
}

/* Between the question and the command. */
static int hang_near_for_a_while(struct case_run *c, struct xp_err *err)
{
    (void)err;
    if (c->asked == 1) {
        (void)kill(servers[NEAR].pid, SIGSTOP);
        loop_timer_start(&c->wakes, 1200);
    }
    return 0;
}

static void a_lost_answer_is_read_back(void **state)
{
    (void)state;
    struct case_run c = { .on_may = hang_near_for_a_while, .loop = loop_new() };
    struct switch_order order = order_of_source();
    loop_timer_init(&c.wakes, c.loop, resume_all);
    case_start(&c, PROMOTE_GOAL_PROMOTE, &order, 2000);
    case_finish(&c);
    assert_outcome(&c, PROMOTE_OK);
    assert_true(addr_eq(&c.change.new_master, &servers[NEAR].addr));
    assert_true(c.change.is_drained);
    assert_says(&c, "whether it was promoted is not known");
    assert_true(is_role(&servers[NEAR], "master"));
    loop_timer_stop(&c.wakes);
    case_done(&c);
}

static int hang_near(struct case_run *c, struct xp_err *err)
{
    (void)c;
    (void)err;
    (void)kill(servers[NEAR].pid, SIGSTOP);
    return 0;
}

static void a_lost_answer_without_end_is_unknown(void **state)
{
    (void)state;
    struct case_run c = { .on_may = hang_near };
    struct switch_order order = order_of_source();
    case_start(&c, PROMOTE_GOAL_PROMOTE, &order, 1000);
    case_finish(&c);
    assert_outcome(&c, PROMOTE_UNKNOWN);
    assert_false(c.change.is_promoted);
    assert_lasted(&c.stretch, 0, 1500);
    assert_true(is_role(&servers[FAR], "slave")); /* nobody else in the meantime */
    resume_all(NULL);
    wait_for(&servers[NEAR], "role", "master"); /* it had it in its queue */
    case_run(&c, PROMOTE_GOAL_PROMOTE, &order);
    assert_outcome(&c, PROMOTE_OK);
    assert_true(addr_eq(&c.change.new_master, &servers[NEAR].addr));
    assert_true(c.change.is_drained);
    case_done(&c);
}

static void a_freed_run_says_nothing(void **state)
{
    (void)state;
    struct case_run c = { 0 };
    struct switch_order order = order_of_source();
    order.offset += 1;
    case_start(&c, PROMOTE_GOAL_PROMOTE, &order, DEADLINE_MS);
    assert_false(loop_wait(c.loop, is_over, &c, 50)); /* waiting for the data */
    promote_run_free(TAKE(c.run));
    assert_false(loop_wait(c.loop, is_over, &c, 50));
    assert_int_equal(c.times, 0);
    execution_log_free(c.log);
    case_done(&c);
}

/* ---- a config file ---- */

static void file_of(const struct redis_fixture *r, char *path, size_t size)
{
    (void)snprintf(path, size, "%s/redis.conf", r->folder);
}

static bool file_has(const char *path, const char *word)
{
    char text[16384] = { 0 };
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    (void)!fread(text, 1, sizeof(text) - 1, file);
    (void)fclose(file);
    return strstr(text, word) != NULL;
}

static void the_config_file_follows(void **state)
{
    (void)state;
    struct case_run c = { 0 };
    struct redis_fixture *near = &servers[NEAR];
    char path[PATH_MAX];
    char folder[sizeof(near->folder)];
    file_of(near, path, sizeof(path));
    (void)snprintf(folder, sizeof(folder), "%s", near->folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    /* 'slaveof' is the name that all versions know */
    (void)fprintf(file, "port %d\nbind 127.0.0.1\ndir %s\nsave \"\"\nslaveof 127.0.0.1 %d\n",
                  near->port, folder, servers[SOURCE].port);
    (void)fclose(file);
    int status = 0;
    (void)kill(near->pid, SIGKILL);
    (void)waitpid(near->pid, &status, 0);
    near->pid = fork();
    assert_true(near->pid >= 0);
    if (near->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)execlp(redis_program, redis_program, path, "--logfile", "/dev/null", (char *)NULL);
        _exit(127);
    }
    redis_wait(near->port);
    wait_for(near, "master_link_status", "up");
    struct switch_order order = order_of_source();
    case_run(&c, PROMOTE_GOAL_PROMOTE, &order);
    assert_outcome(&c, PROMOTE_OK);
    assert_true(addr_eq(&c.change.new_master, &near->addr));
    assert_null(strstr(c.text, "has no config file"));
    mono_ms limit = clock_mono_ms() + LIMIT_MS; /* it is written behind the answer */
    while (file_has(path, "slaveof ") || file_has(path, "replicaof ")) {
        assert_true(clock_mono_ms() < limit);
        (void)usleep(2000);
    }
    (void)unlink(path);
    case_done(&c);
}

#define WITH_SERVERS(test) cmocka_unit_test_setup_teardown(test, start_all, stop_all)

static int run_group(const char *name)
{
    const struct CMUnitTest tests[] = {
        WITH_SERVERS(planned_loses_nothing),
        WITH_SERVERS(behind_planned_is_left_and_disaster_tells_the_gap),
        WITH_SERVERS(disaster_without_info_takes_the_most_advanced),
        WITH_SERVERS(check_reads_everything),
        WITH_SERVERS(several_masters_are_named),
        WITH_SERVERS(nobody_answers),
        WITH_SERVERS(who_may_not_promotes_nobody),
        WITH_SERVERS(a_lost_answer_is_read_back),
        WITH_SERVERS(a_lost_answer_without_end_is_unknown),
        WITH_SERVERS(a_freed_run_says_nothing),
        WITH_SERVERS(the_config_file_follows),
    };
    return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int main(void)
{
    return with_each_redis("promote_run", run_group);
}
