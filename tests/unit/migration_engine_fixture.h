/* migration_engine_fixture.h - the engine over a real store, with stand-ins for the turn and the calls. The stand-in of a turn knows a short way:
 * Initiated -CHECK-> Migrating -HOLD-> Publish -PUBLISH-> Success. */
#ifndef TESTS_UNIT_MIGRATION_ENGINE_FIXTURE_H
#define TESTS_UNIT_MIGRATION_ENGINE_FIXTURE_H

#include "tests/unit/unit.h"

#include <semaphore.h>
#include <sqlite3.h>

#include "console/migration/migration_engine.h"
#include "shared/base/fault.h"
#include "shared/base/list.h"
#include "shared/base/thread.h"
#include "tests/unit/console_fixture.h"

#include "shared/base/banned.h"

#define MIGS_MAX 512
#define WAIT_MS  10000

struct model { /* a row, as the stand-in of the turn keeps it */
    enum migration_status status;
    bool check_fails;
    bool is_held_check; /* its CHECK is not answered */
    int resumed;
    int left; /* its calls, by migration_calls_leave */
    int turns;
    int dropped_epoch;
    bool has_held_call;
    struct migration_plan_call held_call;
    int starts_order;
    int shards;      /* more than one: so many holds, each answered 5 ms after the one before */
    bool last_hangs; /* the last of these holds is not answered, until the test says so */
    int holds;       /* that were answered */
    int hold_turns;  /* turns that took some of them */
    int drains;      /* that were answered to a turn */
};

struct answer {
    bool is_there;
    int rc;
    char text[240];
};

static struct {
    struct fixture f;
    struct loop *loop;
    struct worker_pool *pool;
    struct migration_engine *engine;
    struct loop_timer tick;
    struct model migs[MIGS_MAX]; /* by row id; worker during a turn, else the test */
    int fail_turns;              /* XP_UNAVAILABLE so often */
    bool
        loses_answer; /* of the commit that begins a publication, once: what it wanted to send is gone */
    int64_t poisoned; /* any turn with it is XP_INTERNAL */
    int turns;
    int sent;       /* calls, since the last look */
    int outage_now; /* clusters between CHECK's end and Success */
    int outage_max;
    int next_order;
    int64_t epoch;
    migration_called_fn *called;
    void *called_arg;
    int call_ms;
    struct migration_result answers; /* of calls that are sent from now on: outcome, goes_on */
    int64_t gather_ms;
    int sent_at_failure;
    bool
        overtakes; /* behind a hold goes a drain, answered inside the turn that sends another one */
    sem_t drained;
} s;
/* The rows and counters belong to the worker during a turn, to the test outside of run_loop(). */
static struct mutex model_lock = MUTEX_INIT;

/* ---- stand-ins: the turn ---- */

static void add_calls(struct turn_item *item, enum migration_call call, int count)
{
    item->calls = xcalloc((size_t)count, sizeof(*item->calls));
    for (int i = 0; i < count; i++) {
        item->calls[i] = (struct migration_plan_call){ .call = call, .shard = (size_t)i };
    }
    item->call_count = (size_t)count;
}

static void add_call(struct turn_item *item, enum migration_call call)
{
    add_calls(item, call, 1);
}

static void apply(struct model *m, struct turn_item *item, enum migration_call call)
{
    if (call == CALL_HOLD && s.overtakes) {
        add_call(item, CALL_DRAIN);
        return;
    }
    m->drains += call == CALL_DRAIN;
    if (call == CALL_CHECK && m->status == MIG_CHECKING && m->check_fails) {
        m->status = MIG_CHECKING_FAIL;
    } else if (call == CALL_CHECK && m->status == MIG_CHECKING) {
        m->status = MIG_MIGRATING;
        s.outage_max = ++s.outage_now > s.outage_max ? s.outage_now : s.outage_max;
        add_calls(item, CALL_HOLD, m->shards > 1 ? m->shards : 1);
    } else if (call == CALL_HOLD && ++m->holds < m->shards) {
        return;
    } else if (call == CALL_HOLD && m->status == MIG_MIGRATING) {
        m->status = MIG_PUBLISH;
        add_call(item, CALL_PUBLISH);
    } else if (call == CALL_PUBLISH && m->status == MIG_PUBLISH) {
        m->status = MIG_SUCCESS;
        s.outage_now--;
        item->is_over = true;
    }
}

static void apply_ask(struct model *m, struct turn_item *item)
{
    if (item->ask == ASK_PROCESS &&
        (m->status == MIG_INITIATED || m->status == MIG_CHECKING_FAIL)) {
        m->status = MIG_CHECKING;
        m->starts_order = ++s.next_order;
        add_call(item, CALL_CHECK);
    } else if (item->ask == ASK_ROLLBACK && m->status == MIG_CHECKING) {
        m->status = MIG_ABORTED;
        item->is_over = true;
    } else if (item->ask == ASK_ROLLBACK) {
        struct xp_err err = { 0 };
        item->rc = xp_fail(&err, XP_CONFLICT, "not now");
        (void)snprintf(item->err_text, sizeof(item->err_text), "%s", err.msg);
    } else if (item->is_resumed && m->status == MIG_PUBLISH) {
        add_call(item, CALL_PUBLISH);
    }
}

static int lose_answer(struct turn_item *item, struct xp_err *err)
{
    free(item->calls);
    item->calls = NULL;
    item->call_count = 0;
    item->is_resumed = true;
    return xp_fail(err, XP_TIMEOUT, "committed, perhaps");
}

static int run_model(struct migration_turn *turn, struct xp_err *err)
{
    s.turns++;
    if (s.fail_turns > 0) {
        s.fail_turns--;
        s.sent_at_failure = s.sent;
        return xp_fail(err, XP_UNAVAILABLE, "the disk is full");
    }
    for (size_t i = 0; i < turn->count; i++) {
        if (turn->items[i].migration_cluster_id == s.poisoned) {
            return xp_fail(err, XP_INTERNAL, "a row that nobody understands");
        }
    }
    s.epoch = turn->epoch;
    for (size_t i = 0; i < turn->count; i++) {
        struct turn_item *item = &turn->items[i];
        struct model *m = &s.migs[item->migration_cluster_id];
        m->turns++;
        m->resumed += item->is_resumed;
        item->row.id = item->migration_cluster_id;
        item->row.epoch = m->dropped_epoch ? 1 : turn->epoch;
        m->hold_turns += item->result_count > 0 && item->results[0].call == CALL_HOLD;
        for (size_t r = 0; r < item->result_count; r++) {
            apply(m, item, item->results[r].call);
        }
        apply_ask(m, item);
        item->row.status = m->status;
        if (s.loses_answer && m->status == MIG_PUBLISH) {
            s.loses_answer = false;
            return lose_answer(item, err);
        }
    }
    return 0;
}

static void wait_to_be_overtaken(const struct migration_turn *turn)
{
    const struct turn_item *item = &turn->items[0];
    bool has_hold = turn->count > 0 && item->result_count > 0 && item->results[0].call == CALL_HOLD;
    mutex_lock(&model_lock);
    bool waits = s.overtakes && has_hold;
    mutex_unlock(&model_lock);
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_MS / 1000;
    assert_true(!waits || sem_timedwait(&s.drained, &until) == 0);
}

int migration_turn_run(struct migration_turn *turn, struct xp_err *err)
{
    wait_to_be_overtaken(turn);
    mutex_lock(&model_lock);
    int rc = run_model(turn, err);
    mutex_unlock(&model_lock);
    return rc;
}

void turn_item_done(struct turn_item *item)
{
    for (size_t i = 0; i < item->result_count; i++) {
        migration_result_done(&item->results[i]);
    }
    free(item->results);
    free(item->calls);
}

void migration_result_done(struct migration_result *r)
{
    free(r->text);
}

bool migration_is_behind_hold(enum migration_call call)
{
    return call == CALL_DRAIN || call == CALL_FREEZE;
}

int migration_ask_check(const struct migration_cluster_row *row, enum migration_ask ask,
                        struct xp_err *err)
{
    (void)ask;
    return row->status == MIG_SUCCESS ? xp_fail(err, XP_CONFLICT, "already success") : 0;
}

/* ---- stand-ins: the calls ---- */

struct sent_call {
    struct list link;
    struct loop_timer timer;
    int64_t id;
    enum migration_call call;
    struct migration_result result; /* outcome, goes_on */
};

static struct list calls_under_way;

static void answer_call_after(int64_t id, enum migration_call call, int64_t ms);

static void forget_call(struct sent_call *c)
{
    list_remove(&c->link);
    loop_timer_stop(&c->timer);
    free(c);
}

static void sent_call_over(struct loop_timer *t)
{
    struct sent_call *c = CONTAINER_OF(t, struct sent_call, timer);
    struct migration_result result = c->result;
    result.call = c->call;
    result.goes_on |= s.overtakes && c->call == CALL_HOLD;
    bool is_overtaking = result.goes_on && s.overtakes;
    int64_t id = c->id;
    forget_call(c);
    s.called(&result, id, s.called_arg);
    if (is_overtaking) { /* the turn with the hold is under way */
        answer_call_after(id, CALL_DRAIN, 0);
    } else if (s.overtakes && result.call == CALL_DRAIN) {
        (void)sem_post(&s.drained);
    }
}

static void answer_call_after(int64_t id, enum migration_call call, int64_t ms)
{
    struct sent_call *c = xcalloc(1, sizeof(*c));
    c->id = id;
    c->call = call;
    c->result = s.answers;
    list_push_back(&calls_under_way, &c->link);
    loop_timer_init(&c->timer, s.loop, sent_call_over);
    loop_timer_start(&c->timer, ms);
}

static void answer_call(int64_t id, enum migration_call call)
{
    answer_call_after(id, call, s.call_ms);
}

void migration_call_start(struct migration_calls *calls, const struct migration_cluster_row *row,
                          const struct migration_plan_call *plan, migration_called_fn *done,
                          void *arg)
{
    (void)calls;
    s.called = done;
    s.called_arg = arg;
    mutex_lock(&model_lock);
    s.sent++;
    struct model *m = &s.migs[row->id];
    bool is_last = m->shards > 1 && plan->shard + 1 == (size_t)m->shards;
    m->has_held_call = (plan->call == CALL_CHECK && m->is_held_check) ||
                       (plan->call == CALL_DRAIN && s.overtakes) ||
                       (plan->call == CALL_HOLD && is_last && m->last_hangs);
    bool is_held = m->has_held_call;
    int64_t later_ms = m->shards > 1 && plan->call == CALL_HOLD ? 5 * (int64_t)plan->shard : 0;
    mutex_unlock(&model_lock);
    if (!is_held) {
        answer_call_after(row->id, plan->call, s.call_ms + later_ms);
    }
}

void migration_calls_forget(struct migration_calls *calls, int64_t id)
{
    (void)calls;
    mutex_lock(&model_lock);
    s.migs[id].has_held_call = false;
    mutex_unlock(&model_lock);
}

void migration_calls_leave(struct migration_calls *calls, int64_t id)
{
    (void)calls;
    mutex_lock(&model_lock);
    s.migs[id].left++;
    mutex_unlock(&model_lock);
}

/* ---- the site ---- */

static void sql(const char *fmt, ...) XP_PRINTF(1, 2);
static void sql(const char *fmt, ...)
{
    va_list args;
    char text[1024];
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    char *path AUTO_FREE = xasprintf("%s/console.db", s.f.dir);
    sqlite3 *db;
    char *why = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 5000);
    if (sqlite3_exec(db, text, NULL, NULL, &why) != SQLITE_OK) {
        fail_msg("%s: %s", text, why);
    }
    sqlite3_close(db);
}

static void must(const char *method, const char *target, const char *body)
{
    struct reply r CLEANUP(reply_done) = call(&s.f, method, target, body);
    if (!r.body || !strstr(r.body, "\"state\":0")) {
        fail_msg("%s %s: %s", method, target, r.body);
    }
}

/* Clusters first..first+count-1, as rows of the same ids. */
static void create_event(int event, const char *policy, int first, int count, const char *status)
{
    sql("INSERT INTO migration_event_tbl (id, start_time, policy) VALUES (%d, 1, '%s')", event,
        policy);
    sql("WITH RECURSIVE n(i) AS (SELECT %d UNION ALL SELECT i + 1 FROM n WHERE i < %d) "
        "INSERT INTO cluster_tbl (id, cluster_name, cluster_type, version, created_wall_ms, "
        "updated_wall_ms) "
        "SELECT i, 'c' || i, 'ONE_WAY', 1, 1, 1 FROM n",
        first, first + count - 1);
    sql("WITH RECURSIVE n(i) AS (SELECT %d UNION ALL SELECT i + 1 FROM n WHERE i < %d) "
        "INSERT INTO migration_cluster_tbl (id, migration_event_id, cluster_id, source_dc_id, "
        "destination_dc_id, "
        "start_time, status) SELECT i, %d, i, 1, 2, 1, '%s' FROM n",
        first, first + count - 1, event, status);
}

static void tick(struct loop_timer *t)
{
    loop_stop(t->loop);
}

/* The test holds the model from setup to teardown, but while the loop runs: beyond what the analysis follows. */
XP_ANNOTATE_(no_thread_safety_analysis) static void run_loop(void)
{
    loop_timer_start(&s.tick, 2);
    mutex_unlock(&model_lock);
    loop_run(s.loop);
    mutex_lock(&model_lock);
    loop_timer_stop(&s.tick);
}

static void wait_for(bool (*condition)(void))
{
    mono_ms deadline = clock_mono_ms() + WAIT_MS;
    while (!condition()) {
        assert_true(clock_mono_ms() < deadline);
        run_loop();
    }
}

static void start_engine(int parallel)
{
    s.engine = migration_engine_new(&(struct migration_engine_options){
        .loop = s.loop, .pool = s.pool, .catalog = &s.f.catalog, .parallel = parallel });
    migration_engine_configure(s.engine, &(struct migration_settings){ .gather_ms = s.gather_ms });
}

XP_ANNOTATE_(no_thread_safety_analysis) static int setup(void **state)
{
    (void)state;
    memset(&s, 0, sizeof(s));
    fixture_open(&s.f);
    s.loop = loop_new();
    s.pool = worker_pool_new(s.loop, "worker", 2, 100, NULL, NULL, NULL);
    s.call_ms = 1;
    s.answers.outcome = OUTCOME_OK;
    list_init(&calls_under_way);
    loop_timer_init(&s.tick, s.loop, tick);
    assert_int_equal(sem_init(&s.drained, 0, 0), 0);
    must("POST", "/api/zone", "{\"name\":\"SHA\"}");
    must("POST", "/api/dc", "{\"zone_id\":1,\"dc_name\":\"jq\",\"description\":\"d\"}");
    must("POST", "/api/dc", "{\"zone_id\":1,\"dc_name\":\"oy\",\"description\":\"d\"}");
    mutex_lock(&model_lock);
    return 0;
}

XP_ANNOTATE_(no_thread_safety_analysis) static int teardown(void **state)
{
    (void)state;
    mutex_unlock(&model_lock);
    migration_engine_stop(s.engine);
    worker_pool_free(s.pool);
    migration_engine_free(s.engine);
    (void)sem_destroy(&s.drained);
    while (!list_is_empty(&calls_under_way)) {
        forget_call(LIST_ENTRY(calls_under_way.next, struct sent_call, link));
    }
    loop_free(s.loop);
    fixture_close(&s.f);
    return 0;
}

static void on_asked(int rc, const struct xp_err *err, void *arg)
{
    struct answer *a = arg;
    assert_false(a->is_there);
    a->is_there = true;
    a->rc = rc;
    (void)snprintf(a->text, sizeof(a->text), "%s", err->msg);
}

static struct answer last_answer;
static bool is_answered(void)
{
    return last_answer.is_there;
}

static int ask(int64_t event, int64_t id, enum migration_ask what)
{
    last_answer = (struct answer){ 0 };
    migration_engine_ask(s.engine, event, id, what, "dba", on_asked, &last_answer);
    wait_for(is_answered);
    return last_answer.rc;
}

static inline int count_of(enum migration_status status, int first, int count)
{
    int found = 0;
    for (int i = first; i < first + count; i++) {
        found += s.migs[i].status == status;
    }
    return found;
}

static bool first_is_over(void)
{
    return s.migs[1].status == MIG_SUCCESS;
}

static bool first_is_migrating(void)
{
    return s.migs[1].status == MIG_MIGRATING;
}

#endif
