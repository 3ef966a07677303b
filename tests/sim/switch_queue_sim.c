/* switch_queue_sim.c - the steps of one shard (shard_switch.h) in virtual time. Below them are fakes: runs that end when the test says so
 * and ask before they command, and one record in a ZooKeeper that answers when the test says so. Who joins whom, deadlines, stale
 * epochs, and a slot that is lost, and regained, at every point. */
#include "meta/primary/switch_internal.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "shared/base/list.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "tests/sim/fake_loop.h"
#include "tests/sim/fake_rconn.h"
#include "tests/unit/unit.h"

#include "shared/base/banned.h"

enum { CLUSTER_ID = 7, SHARD_ID = 70, FENCE_MS = 1000, ANSWERS_MAX = 64 };

struct fence_run {
    struct list link;
    struct fence_options o;
};
struct promote_run {
    struct list link;
    struct promote_options o;
};

struct told { /* one answer */
    enum switch_step step;
    int rc;
    char text[256];
    enum fence_state fence;
    bool is_success;
    bool is_stale;
    struct addr new_master;
};

enum { FIRST_PORT = 6379, REDIS = 2 };
struct redis { /* what the settling of settings sees and changes */
    bool follows;
    int64_t min_slaves;
    bool is_read_only;
    int changes;
};

static struct world {
    struct redis redis[REDIS];
    struct loop *loop;
    struct dc_store *store;
    struct duty_env env;
    struct shard_switches *all;
    struct list fences; /* runs under way, the oldest first */
    struct list promotions;
    int started;
    struct { /* the request to ZooKeeper that is not answered */
        switch_record_fn *done;
        void *arg;
        bool is_put;
        struct switch_record record;
    } asked;
    struct switch_record node; /* in ZooKeeper */
    int puts;                  /* that were carried out */
    struct told told[ANSWERS_MAX];
    int answers;
    int64_t seen_min_slaves; /* of who is looked at */
    struct addr appointed;
    int appointments;
    int sentinels_left;
    bool adds_sentinels; /* the next order says so */
} w;

/* ---- fakes ---- */

struct fence_run *fence_run_start(const struct fence_options *o)
{
    struct fence_run *run = xcalloc(1, sizeof(*run));
    run->o = *o;
    list_push_back(&w.fences, &run->link);
    w.started++;
    return run;
}

void fence_run_free(struct fence_run *run)
{
    if (run) {
        list_remove(&run->link);
        free(run);
    }
}

bool fence_run_seen(const struct fence_run *run, size_t index, struct addr *ret_redis,
                    struct fence_saved *ret_saved)
{
    (void)run, (void)index, (void)ret_redis, (void)ret_saved;
    return false;
}

struct promote_run *promote_run_start(const struct promote_options *o)
{
    struct promote_run *run = xcalloc(1, sizeof(*run));
    run->o = *o;
    list_push_back(&w.promotions, &run->link);
    w.started++;
    return run;
}

void promote_run_free(struct promote_run *run)
{
    if (run) {
        list_remove(&run->link);
        free(run);
    }
}

void switch_record_get(struct switch_records *s, int64_t cluster_id, int64_t shard_id,
                       int64_t timeout_ms, switch_record_fn *done, void *arg)
{
    (void)s, (void)cluster_id, (void)shard_id, (void)timeout_ms;
    assert_null(w.asked.done);
    w.asked.done = done;
    w.asked.arg = arg;
    w.asked.is_put = false;
    w.asked.record = w.node; /* as it is now */
}

void switch_record_put(struct switch_records *s, int64_t cluster_id, int64_t shard_id,
                       const struct switch_record *record, int64_t timeout_ms,
                       switch_record_fn *done, void *arg)
{
    (void)s, (void)cluster_id, (void)shard_id, (void)timeout_ms;
    assert_null(w.asked.done);
    w.asked.done = done;
    w.asked.arg = arg;
    w.asked.is_put = true;
    w.asked.record = *record;
}

void switch_records_forget(struct switch_records *s, const void *arg)
{
    (void)s;
    if (w.asked.arg == arg) {
        w.asked.done = NULL;
    }
}

void tree_duty_appoint(struct tree_duty *duty, const struct addr *master)
{
    (void)duty;
    w.appointed = *master;
    w.appointments++;
}

void tree_duty_leave_sentinels(struct tree_duty *duty, int64_t ms)
{
    (void)duty, (void)ms;
    w.sentinels_left++;
}

void tree_duty_look(struct tree_duty *duty)
{
    (void)duty;
}

void tree_duty_progress(const struct tree_duty *duty, struct tree_progress *ret_progress)
{
    (void)duty;
    *ret_progress = (struct tree_progress){ .living = 2, .right = 1, .why = "not yet" };
}

int tree_duty_living_keepers(const struct tree_duty *duty)
{
    (void)duty;
    return 0;
}

bool tree_duty_active_keeper(const struct tree_duty *duty, struct addr *ret_addr,
                             bool *ret_is_linked, int64_t *ret_offset)
{
    (void)duty, (void)ret_addr, (void)ret_is_linked, (void)ret_offset;
    return false;
}

static struct tree_duty *tree_of(const char *cluster, const char *shard, void *arg)
{
    (void)cluster, (void)shard;
    return arg;
}

static int may_command(const struct cluster_meta *cluster, void *arg, struct xp_err *err)
{
    (void)cluster, (void)arg, (void)err;
    return 0;
}

static struct rreply *text_reply(enum rreply_type type, const char *text)
{
    return rreply_new_text(type, text, strlen(text));
}

static struct rreply *pair(const char *name, const char *value)
{
    struct rreply *items[] = { text_reply(RREPLY_BULK, name), text_reply(RREPLY_BULK, value) };
    return rreply_new_array(items, ARRAY_LEN(items));
}

static struct rreply *role_of(const struct redis *r)
{
    struct rreply *replica[] = { text_reply(RREPLY_BULK, "slave"),
                                 text_reply(RREPLY_BULK, "10.9.9.9"), rreply_new_integer(6379),
                                 text_reply(RREPLY_BULK, "connected"), rreply_new_integer(100) };
    struct rreply *nobody[] = { text_reply(RREPLY_BULK, "master"), rreply_new_integer(100),
                                rreply_new_array(NULL, 0) };
    if (r->follows) {
        rreply_free(rreply_new_array(nobody, ARRAY_LEN(nobody)));
        return rreply_new_array(replica, ARRAY_LEN(replica));
    }
    rreply_free(rreply_new_array(replica, ARRAY_LEN(replica)));
    return rreply_new_array(nobody, ARRAY_LEN(nobody));
}

static void set(struct redis *r, const char *name, const char *value)
{
    r->changes++;
    if (text_eq(name, "min-slaves-to-write")) {
        int64_t number;
        assert_true(text_to_i64(value, strlen(value), 0, INT32_MAX, &number));
        r->min_slaves = number;
    } else if (text_eq(name, "slave-read-only")) {
        r->is_read_only = text_eq(value, "yes");
    }
}

static struct rreply *on_command(const struct addr *addr, size_t argc, const char *const *argv,
                                 void *arg)
{
    (void)arg;
    assert_in_range(addr->port, FIRST_PORT, FIRST_PORT + REDIS - 1);
    struct redis *r = &w.redis[addr->port - FIRST_PORT];
    AUTO_FREE char *min_slaves = xasprintf("%lld", (long long)r->min_slaves);
    if (text_eq(argv[0], "ROLE")) {
        return role_of(r);
    }
    if (argc == 3 && text_eq(argv[1], "GET")) {
        return text_eq(argv[2], "slave-read-only") ? pair(argv[2], r->is_read_only ? "yes" : "no")
                                                   : pair(argv[2], min_slaves);
    }
    if (argc == 4 && text_eq(argv[1], "SET")) {
        set(r, argv[2], argv[3]);
    }
    return text_reply(RREPLY_STATUS, "OK");
}

/* ---- ZooKeeper answers ---- */

/* rc 0: it was carried out, in the order of versions. */
static void zk_answers(int rc)
{
    switch_record_fn *done = TAKE(w.asked.done);
    assert_non_null(done);
    if (rc == 0 && w.asked.is_put && w.asked.record.version != w.node.version) {
        rc = XP_CONFLICT;
    }
    if (rc == 0 && w.asked.is_put) {
        int32_t version = w.node.version + 1;
        w.node = w.asked.record;
        w.node.version = version;
        w.puts++;
    }
    struct switch_record record = rc == 0 && w.asked.is_put ? w.node : w.asked.record;
    done(rc, &record, w.asked.arg);
}

static void zk_settles(void)
{
    for (int i = 0; i < 20 && w.asked.done; i++) {
        zk_answers(0);
    }
    assert_null(w.asked.done);
}

static void let_pass(int64_t ms)
{
    fake_loop_advance_to(clock_mono_ms() + ms);
}

/* ---- runs end ---- */

static struct fence_run *fence_now(void)
{
    assert_false(list_is_empty(&w.fences));
    return LIST_ENTRY(w.fences.next, struct fence_run, link);
}

static struct promote_run *promotion_now(void)
{
    assert_false(list_is_empty(&w.promotions));
    return LIST_ENTRY(w.promotions.next, struct promote_run, link);
}

static bool fence_may(void)
{
    struct xp_err err;
    return fence_now()->o.may_command(fence_now()->o.arg, &err) == 0;
}

static bool promotion_may(void)
{
    struct xp_err err;
    return promotion_now()->o.may_command(promotion_now()->o.arg, &err) == 0;
}

static void fence_ends(enum fence_goal goal, enum fence_state state)
{
    struct fence_run *run = fence_now();
    assert_int_equal(run->o.goal, goal);
    struct switch_fence result = {
        .state = state,
        .master = addr_of("10.0.1.1", 6379),
        .saved = { .is_known = true, .min_slaves = w.seen_min_slaves, .max_lag_s = 5 },
        .offset = 100
    };
    run->o.on_done(&result, run->o.arg);
}

static void promotion_ends(enum promote_outcome outcome, int port)
{
    struct promote_run *run = promotion_now();
    struct promote_result result = {
        .outcome = outcome, .change = { .is_success = outcome == PROMOTE_OK, .offset_gap = 0 }
    };
    if (outcome == PROMOTE_OK) {
        result.change.new_master = addr_of("10.0.1.1", port);
    } else if (outcome == PROMOTE_UNKNOWN) {
        result.maybe = addr_of("10.0.1.1", port);
    }
    run->o.on_done(&result, run->o.arg);
}

/* ---- requests ---- */

static void on_answer(const struct switch_answer *a, void *arg)
{
    (void)arg;
    assert_true(w.answers < ANSWERS_MAX);
    struct told *t = &w.told[w.answers++];
    *t = (struct told){ .step = a->step, .rc = a->rc };
    if (a->rc != 0) {
        (void)snprintf(t->text, sizeof(t->text), "%s", a->err->msg);
    }
    if (a->fence) {
        t->fence = a->fence->state;
    }
    if (a->change) {
        t->is_success = a->change->is_success;
        t->is_stale = a->change->is_stale;
        t->new_master = a->change->new_master;
    }
}

static int ask_for(enum switch_step step, int64_t epoch, int64_t deadline_ms)
{
    struct xp_err err;
    struct switch_request request = {
        .step = step,
        .cluster = "c1",
        .shard = "s1",
        .dc = step == SWITCH_FOLLOW ? "fra" : "jq",
        .order = { .epoch = epoch, .deadline_ms = deadline_ms, .add_sentinel = w.adds_sentinels }
    };
    return shard_switch_start(w.all, &request, on_answer, NULL, &err);
}

static void ask(enum switch_step step, int64_t epoch)
{
    assert_int_equal(ask_for(step, epoch, 0), 0);
}

static const struct told *last(void)
{
    assert_true(w.answers > 0);
    return &w.told[w.answers - 1];
}

static enum duty_stance stance(void)
{
    return shard_switch_stance(w.all, CLUSTER_ID, SHARD_ID);
}

/* ---- the world ---- */

static void document(const char *active, const char *backup, const char *status, int version)
{
    AUTO_FREE char *text = xasprintf(
        "{\"id\":\"c1\",\"dbId\":7,\"version\":%d,\"type\":\"ONE_WAY\",\"activeDc\":\"%s\","
        "\"backupDcs\":\"%s\",\"status\":\"%s\",\"shards\":{\"s1\":{\"id\":\"s1\",\"dbId\":70,"
        "\"redises\":[{\"ip\":\"10.0.1.1\",\"port\":6379},{\"ip\":\"10.0.1.1\",\"port\":6380}]}}}",
        version, active, backup, status);
    json_t *json = json_loads(text, 0, NULL);
    struct cluster_meta *cluster = NULL;
    struct xp_err err;
    assert_int_equal(cluster_meta_from_json(json, &cluster, NULL), 0);
    json_decref(json);
    assert_int_equal(dc_store_put(w.store, cluster, clock_mono_ms(), &err), 0);
}

static void gain(void)
{
    shard_switch_gained(w.all, dc_store_cluster_by_id(w.store, CLUSTER_ID), "s1");
}

static void lose(void)
{
    shard_switch_lost(w.all, CLUSTER_ID, SHARD_ID);
}

static void ignore_cluster(const struct cluster_meta *before, struct cluster_meta *after, void *arg)
{
    (void)before, (void)after, (void)arg;
}

static void ignore_routes(void *arg)
{
    (void)arg;
}

static int open_in(const char *active, const char *backup)
{
    w = (struct world){ .node = { .version = -1 }, .seen_min_slaves = 1 };
    fake_clock_set(1000000, 1700000000000);
    list_init(&w.fences);
    list_init(&w.promotions);
    w.loop = loop_new();
    fake_redis_reset();
    fake_redis_handle(on_command, NULL);
    struct dc_listener listener = { .on_cluster = ignore_cluster, .on_routes = ignore_routes };
    w.store = dc_store_new("jq", &listener);
    w.env = (struct duty_env){ .loop = w.loop, .store = w.store, .may_command = may_command };
    struct shard_switches_options options = { .loop = w.loop,
                                              .duty = &w.env,
                                              .store = w.store,
                                              .tree_of = tree_of,
                                              .arg = &w,
                                              .address = "127.0.0.1:1",
                                              .connect_timeout_ms = 300,
                                              .fence_ms = FENCE_MS,
                                              .follow_ms = 4000,
                                              .drain_ms = 2000,
                                              .promote_ms = 2000,
                                              .hold_ms = 60000,
                                              .again_ms = 5000,
                                              .reassert_ms = 1000,
                                              .fast_ms = 100 };
    w.all = shard_switches_new(&options);
    document(active, backup, "Normal", 1);
    return 0;
}

static int open_primary(void **state)
{
    (void)state;
    return open_in("jq", "fra");
}

static int open_backup(void **state)
{
    (void)state;
    return open_in("fra", "jq");
}

static int close_world(void **state)
{
    (void)state;
    shard_switches_free(w.all);
    dc_store_free(w.store);
    loop_free(w.loop);
    assert_true(list_is_empty(&w.fences) && list_is_empty(&w.promotions));
    return 0;
}

/* Up to the run of the hold itself. */
static void begin_hold(int64_t epoch)
{
    ask(SWITCH_HOLD, epoch);
    fence_ends(FENCE_GOAL_LOOK, FENCE_RELEASED);
    zk_settles();
    assert_int_equal(fence_now()->o.goal, FENCE_GOAL_HOLD);
}

static void begin_promotion(int64_t epoch)
{
    ask(SWITCH_PROMOTE, epoch);
    zk_settles();
    (void)promotion_now();
}

/* ---- steps ---- */

static void a_fence_is_written_down_before_and_after(void **state)
{
    (void)state;
    gain();
    zk_settles();
    ask(SWITCH_HOLD, 5);
    assert_false(w.asked.done);
    fence_ends(FENCE_GOAL_LOOK, FENCE_RELEASED);
    assert_true(list_is_empty(&w.fences)); /* not before the record */
    zk_answers(0);
    assert_int_equal(w.node.epoch, 5);
    assert_int_equal(w.node.fence, FENCE_HELD);
    assert_int_equal(w.node.saved.min_slaves, 1);
    assert_true(fence_may());
    fence_ends(FENCE_GOAL_HOLD, FENCE_HELD);
    assert_int_equal(last()->fence, FENCE_HELD);
    zk_settles();
    ask(SWITCH_FREEZE, 5);
    fence_ends(FENCE_GOAL_FREEZE, FENCE_FROZEN);
    zk_settles();
    assert_int_equal(w.node.fence, FENCE_FROZEN);
    assert_int_equal(metric_value(&switch_fences), 1);
    ask(SWITCH_RELEASE, 5);
    zk_settles(); /* before it is carried out */
    assert_int_equal(w.node.fence, FENCE_NONE);
    assert_int_equal(w.node.saved.min_slaves, 1);
    assert_int_equal(metric_value(&switch_fences), 0);
    fence_ends(FENCE_GOAL_RELEASE, FENCE_RELEASED);
    zk_settles();
    assert_int_equal(w.node.fence, FENCE_NONE);
    assert_false(w.node.saved.is_known);
    assert_int_equal(stance(), STANCE_NONE);
}

/* The console, or another DC's metaserver, releases it then: the fence must not come again. */
static void a_release_that_is_not_proved_ends_the_fence(void **state)
{
    (void)state;
    gain();
    zk_settles();
    begin_hold(5);
    fence_ends(FENCE_GOAL_HOLD, FENCE_HELD);
    zk_settles();
    ask(SWITCH_RELEASE, 5);
    zk_settles();
    fence_ends(FENCE_GOAL_RELEASE, FENCE_NONE);
    zk_settles();
    assert_int_equal(w.node.fence, FENCE_NONE);
    assert_int_equal(w.node.saved.min_slaves, 1); /* for the next try */
    assert_int_equal(stance(), STANCE_KEEP_OFF);
    let_pass(5000);
    assert_true(list_is_empty(&w.fences));
    ask(SWITCH_RELEASE, 5);
    zk_settles();
    assert_int_equal(fence_now()->o.saved.min_slaves, 1);
    fence_ends(FENCE_GOAL_RELEASE, FENCE_RELEASED);
    zk_settles();
    assert_false(w.node.saved.is_known);
}

static void a_repeat_joins_and_others_wait(void **state)
{
    (void)state;
    gain();
    zk_settles();
    begin_hold(5);
    ask(SWITCH_HOLD, 5);
    ask(SWITCH_FREEZE, 5);
    ask(SWITCH_FREEZE, 5);
    assert_int_equal(w.answers, 0);
    fence_ends(FENCE_GOAL_HOLD, FENCE_HELD);
    assert_int_equal(w.answers, 2);
    zk_settles();
    fence_ends(FENCE_GOAL_FREEZE, FENCE_FROZEN);
    assert_int_equal(w.answers, 4);
    assert_int_equal(last()->fence, FENCE_FROZEN);
}

static void the_queue_has_an_end(void **state)
{
    (void)state;
    gain();
    zk_settles();
    begin_hold(5);
    for (int i = 0; i < SWITCH_QUEUE_MAX; i++) {
        ask(SWITCH_HOLD, 100 + i);
    }
    assert_int_equal(ask_for(SWITCH_HOLD, 99, 0), XP_TOO_MANY);
    assert_int_equal(ask_for(SWITCH_HOLD, 100, 0), 0); /* joins */
    let_pass(FENCE_MS); /* all of them are too late when the first one ends */
    fence_ends(FENCE_GOAL_HOLD, FENCE_UNREACHABLE);
    assert_int_equal(w.answers, 1 + SWITCH_QUEUE_MAX + 1);
    assert_int_equal(last()->rc, XP_TIMEOUT);
}

static void an_older_epoch_is_refused(void **state)
{
    (void)state;
    w.node = (struct switch_record){ .epoch = 9, .version = 3 };
    gain();
    zk_settles();
    ask(SWITCH_HOLD, 8);
    assert_int_equal(last()->rc, XP_CONFLICT);
    ask(SWITCH_PROMOTE, 8);
    assert_true(last()->is_stale);
    assert_int_equal(w.started, 0);
    ask(SWITCH_HOLD, 0); /* Java's has none */
    assert_int_equal(w.started, 1);
}

static void a_promotion_is_answered_again(void **state)
{
    (void)state;
    gain();
    zk_settles();
    begin_promotion(5);
    assert_true(promotion_may());
    promotion_ends(PROMOTE_OK, 6380);
    assert_true(last()->is_success);
    assert_int_equal(w.appointed.port, 6380);
    zk_settles();
    assert_int_equal(w.node.promoted.port, 6380);
    ask(SWITCH_PROMOTE, 5);
    assert_int_equal(w.answers, 2);
    assert_int_equal(w.started, 1);
}

/* ---- the record is late ---- */

static void a_record_that_is_not_read_in_time(void **state)
{
    (void)state;
    gain();
    ask(SWITCH_HOLD, 5);
    let_pass(FENCE_MS);
    assert_int_equal(last()->rc, XP_TIMEOUT);
    zk_settles();
    assert_int_equal(w.started, 0);
    assert_int_equal(stance(), STANCE_NONE);
}

/* Nothing was sent, and nothing may come of it later. */
static void check_nothing_is_left_of_the_hold(void)
{
    assert_int_equal(last()->rc, XP_TIMEOUT);
    let_pass(3000);
    zk_settles();
    let_pass(3000);
    zk_settles();
    assert_int_equal(w.node.fence, FENCE_NONE);
    assert_false(w.node.saved.is_known);
    assert_true(list_is_empty(&w.fences));
    assert_int_equal(stance(), STANCE_NONE);
    lose();
    gain();
    zk_settles();
    let_pass(3000);
    assert_true(list_is_empty(&w.fences));
}

static void a_hold_whose_record_is_late(void **state)
{
    (void)state;
    gain();
    zk_settles();
    ask(SWITCH_HOLD, 5);
    fence_ends(FENCE_GOAL_LOOK, FENCE_RELEASED);
    let_pass(FENCE_MS);
    check_nothing_is_left_of_the_hold();
}

static void a_hold_whose_record_fails(void **state)
{
    (void)state;
    gain();
    zk_settles();
    ask(SWITCH_HOLD, 5);
    fence_ends(FENCE_GOAL_LOOK, FENCE_RELEASED);
    zk_answers(XP_UNAVAILABLE);
    let_pass(FENCE_MS);
    check_nothing_is_left_of_the_hold();
}

static void somebody_else_wrote_the_record(void **state)
{
    (void)state;
    gain();
    zk_settles();
    ask(SWITCH_HOLD, 5);
    fence_ends(FENCE_GOAL_LOOK, FENCE_RELEASED);
    w.node.version = 4;
    zk_answers(0);
    let_pass(10);
    zk_settles();
    assert_int_equal(w.node.version, 5);
    fence_ends(FENCE_GOAL_HOLD, FENCE_HELD);
    assert_int_equal(last()->fence, FENCE_HELD);
}

/* A hold in force stays so when the next step was not carried out. */
static void a_freeze_whose_record_is_late(void **state)
{
    (void)state;
    gain();
    zk_settles();
    begin_hold(5);
    fence_ends(FENCE_GOAL_HOLD, FENCE_HELD);
    zk_settles();
    ask(SWITCH_FREEZE, 6);
    let_pass(FENCE_MS);
    assert_int_equal(last()->rc, XP_TIMEOUT);
    zk_settles();
    assert_int_equal(w.node.fence, FENCE_HELD);
    assert_int_equal(stance(), STANCE_FENCED);
}

/* ---- the slot is lost, and regained ---- */

static void a_slot_lost_during_a_fence(void **state)
{
    (void)state;
    gain();
    zk_settles();
    begin_hold(5);
    ask(SWITCH_FREEZE, 5);
    lose();
    assert_int_equal(w.answers, 2);
    assert_int_equal(last()->rc, XP_NOT_OWNER);
    assert_false(fence_may());
    assert_false(shard_switches_are_quiet(w.all, -1));
    fence_ends(FENCE_GOAL_HOLD, FENCE_NONE);
    assert_true(shard_switches_are_quiet(w.all, -1));
    assert_int_equal(ask_for(SWITCH_HOLD, 5, 0), XP_NOT_OWNER);
}

static void a_slot_regained_during_a_fence(void **state)
{
    (void)state;
    gain();
    zk_settles();
    begin_hold(5);
    lose();
    w.node = (struct switch_record){ .epoch = 8, .version = 9 }; /* the other owner rolled back */
    gain();
    assert_false(fence_may());
    zk_settles();
    assert_false(fence_may());
    ask(SWITCH_RELEASE, 8); /* waits for what is under way */
    assert_false(fence_may());
    fence_ends(FENCE_GOAL_HOLD, FENCE_HELD);
    fence_ends(FENCE_GOAL_RELEASE, FENCE_RELEASED);
    assert_int_equal(last()->fence, FENCE_RELEASED);
    zk_settles();
    assert_int_equal(w.node.fence, FENCE_NONE);
    assert_int_equal(w.node.epoch, 8);
}

static void a_slot_regained_during_a_look(void **state)
{
    (void)state;
    gain();
    zk_settles();
    ask(SWITCH_HOLD, 5);
    lose();
    gain();
    zk_settles();
    fence_ends(FENCE_GOAL_LOOK, FENCE_RELEASED);
    assert_null(w.asked.done);
    assert_true(list_is_empty(&w.fences));
    assert_int_equal(stance(), STANCE_NONE);
}

static void a_slot_regained_during_a_promotion(void **state)
{
    (void)state;
    gain();
    zk_settles();
    begin_promotion(5);
    lose();
    gain();
    zk_settles();
    assert_false(promotion_may());
    ask(SWITCH_PROMOTE, 6);
    assert_false(promotion_may());
    promotion_ends(PROMOTE_OK, 6379); /* nobody's */
    assert_int_equal(w.answers, 1);
    zk_settles();
    assert_true(promotion_may());
    promotion_ends(PROMOTE_OK, 6380);
    assert_int_equal(last()->new_master.port, 6380);
}

static void a_slot_regained_during_a_release_of_the_promoted(void **state)
{
    (void)state;
    w.node = (struct switch_record){ .epoch = 4, .fence = FENCE_HELD, .version = 0 };
    gain();
    zk_settles();
    begin_promotion(5);
    promotion_ends(PROMOTE_OK, 6380);
    assert_true(fence_may());
    lose();
    gain();
    zk_settles();
    assert_false(fence_may());
    fence_ends(FENCE_GOAL_RELEASE, FENCE_RELEASED);
    assert_int_equal(w.appointments, 0);
}

/* The write of before tells nothing of the record as it is now. */
static void a_slot_regained_while_the_record_is_written(void **state)
{
    (void)state;
    for (int rc = 0; rc <= 1; rc++) {
        gain();
        zk_settles();
        ask(SWITCH_HOLD, 5 + 10 * rc);
        fence_ends(FENCE_GOAL_LOOK, FENCE_RELEASED);
        lose();
        gain();
        zk_answers(rc == 0 ? 0 : XP_UNAVAILABLE);
        let_pass(400);
        zk_settles();
        ask(SWITCH_RELEASE, 7 + 10 * rc);
        zk_settles();
        while (fence_now()->o.goal != FENCE_GOAL_RELEASE) {
            fence_ends(fence_now()->o.goal, FENCE_HELD);
        }
        fence_ends(FENCE_GOAL_RELEASE, FENCE_RELEASED);
        assert_int_equal(last()->fence, FENCE_RELEASED);
        zk_settles();
        assert_int_equal(w.node.fence, FENCE_NONE);
        lose();
    }
}

/* What was read for the tenure before may be older than what another owner wrote in between. */
static void a_slot_regained_while_the_record_is_read(void **state)
{
    (void)state;
    w.node = (struct switch_record){ .epoch = 4, .fence = FENCE_HELD, .version = 0 };
    gain();
    lose();
    w.node = (struct switch_record){ .epoch = 5, .version = 1 };
    gain();
    assert_non_null(w.asked.done);
    zk_settles();
    let_pass(1000);
    assert_true(list_is_empty(&w.fences));
    assert_int_equal(stance(), STANCE_NONE);
}

static void a_slot_regained_while_a_fence_is_asserted_again(void **state)
{
    (void)state;
    w.node = (struct switch_record){ .epoch = 4,
                                     .fence = FENCE_HELD,
                                     .saved = { .is_known = true, .max_lag_s = 10 },
                                     .version = 0 };
    gain();
    zk_settles();
    let_pass(10);
    assert_int_equal(fence_now()->o.goal, FENCE_GOAL_HOLD);
    assert_true(fence_may());
    lose();
    w.node = (struct switch_record){ .epoch = 5, .version = 2 }; /* released elsewhere */
    gain();
    zk_settles();
    assert_false(fence_may());
    fence_ends(FENCE_GOAL_HOLD, FENCE_HELD);
    assert_true(list_is_empty(&w.fences));
    assert_int_equal(stance(), STANCE_NONE);
}

/* ---- a fence taken over; a crash ---- */

static void metadata_says(const char *status, int version)
{
    document("fra", "jq", status, version);
    shard_switch_cluster(w.all, dc_store_cluster_by_id(w.store, CLUSTER_ID));
}

static void a_fence_is_taken_over_and_asserted(void **state)
{
    (void)state;
    w.node = (struct switch_record){ .epoch = 4, .fence = FENCE_FROZEN, .version = 0 };
    gain();
    assert_int_equal(stance(), STANCE_KEEP_OFF);
    zk_settles();
    assert_int_equal(stance(), STANCE_FENCED);
    let_pass(10);
    fence_ends(FENCE_GOAL_LOOK, FENCE_FROZEN);
    zk_settles();
    let_pass(100);
    fence_ends(FENCE_GOAL_FREEZE, FENCE_FROZEN);
    let_pass(1000);
    fence_ends(FENCE_GOAL_FREEZE, FENCE_FROZEN); /* again and again */
    shard_switch_redis_lost(w.all, CLUSTER_ID, SHARD_ID);
    let_pass(1);
    fence_ends(FENCE_GOAL_FREEZE, FENCE_NONE); /* it did not answer before the deadline */
    let_pass(110);
    fence_ends(FENCE_GOAL_FREEZE, FENCE_FROZEN);
    let_pass(500);
    assert_true(list_is_empty(&w.fences));
}

static void a_crash_in_the_middle_of_a_promotion(void **state)
{
    (void)state;
    gain();
    zk_settles();
    begin_promotion(5);
    assert_true(w.node.is_promoting);
    lose();
    promotion_ends(PROMOTE_OK, 6380);
    zk_settles(); /* it is told to whoever has it now */
    assert_int_equal(w.node.maybe.port, 6380);
    assert_true(w.node.is_promoting);
    gain();
    zk_settles();
    assert_int_equal(stance(), STANCE_KEEP_OFF); /* no stray */
    document("jq", "fra", "Normal", 2);
    shard_switch_cluster(w.all, dc_store_cluster_by_id(w.store, CLUSTER_ID));
    assert_int_equal(w.appointments, 0); /* who it is, nobody knows */
    begin_promotion(6);                  /* it is asked for again, and finds it */
    promotion_ends(PROMOTE_OK, 6380);
    zk_settles();
    assert_int_equal(w.node.promoted.port, 6380);
    assert_false(w.node.is_promoting);
    assert_int_equal(w.appointed.port, 6380);
}

/* Nobody asks for it again: the only master of what is the primary DC by now was promoted. */
static void the_promoted_one_is_found(void **state)
{
    (void)state;
    w.node = (struct switch_record){ .epoch = 5, .is_promoting = true, .version = 0 };
    gain();
    zk_settles();
    let_pass(60);
    assert_true(list_is_empty(&w.fences)); /* this DC is a backup one */
    document("jq", "fra", "Normal", 2);
    shard_switch_cluster(w.all, dc_store_cluster_by_id(w.store, CLUSTER_ID));
    let_pass(60);
    fence_ends(FENCE_GOAL_LOOK, FENCE_NONE); /* none yet */
    let_pass(6000);
    fence_ends(FENCE_GOAL_LOOK, FENCE_RELEASED);
    zk_settles();
    assert_int_equal(w.node.promoted.port, 6379);
    assert_false(w.node.is_promoting);
    assert_int_equal(w.appointed.port, 6379);
}

/* Another has the slot, and has written something else meanwhile. */
static void an_orphan_does_not_touch_what_is_newer(void **state)
{
    (void)state;
    gain();
    zk_settles();
    begin_promotion(5);
    lose();
    w.node.epoch = 6;
    promotion_ends(PROMOTE_UNKNOWN, 6379);
    zk_settles();
    assert_true(addr_is_none(&w.node.maybe));
    gain();
    zk_settles();
    begin_promotion(7);
    lose();
    promotion_ends(PROMOTE_UNKNOWN, 6379);
    w.node.version++; /* between its reading and its writing */
    w.asked.record = w.node;
    w.asked.record.version--;
    zk_settles();
    assert_int_equal(w.node.maybe.port, 6379); /* read again */
}

static void the_caller_may_add_the_sentinels_itself(void **state)
{
    (void)state;
    gain();
    zk_settles();
    w.adds_sentinels = true;
    begin_promotion(5);
    promotion_ends(PROMOTE_OK, 6379);
    zk_settles();
    assert_int_equal(w.sentinels_left, 0);
    w.adds_sentinels = false;
    begin_promotion(6);
    promotion_ends(PROMOTE_OK, 6379);
    assert_int_equal(w.sentinels_left, 1);
}

/* Who may have been promoted is told to the next run, of the next owner, too; until somebody was. */
static void a_promotion_whose_outcome_is_unknown(void **state)
{
    (void)state;
    gain();
    zk_settles();
    begin_promotion(5);
    assert_true(addr_is_none(&promotion_now()->o.maybe));
    promotion_ends(PROMOTE_UNKNOWN, 6379);
    assert_false(last()->is_success);
    assert_int_equal(stance(), STANCE_KEEP_OFF);
    zk_settles();
    assert_int_equal(w.node.maybe.port, 6379);
    lose();
    gain();
    zk_settles();
    assert_int_equal(stance(), STANCE_KEEP_OFF);
    assert_int_equal(w.appointments, 0);
    begin_promotion(6);
    assert_int_equal(promotion_now()->o.maybe.port, 6379);
    promotion_ends(PROMOTE_OK, 6380);
    zk_settles();
    assert_true(addr_is_none(&w.node.maybe));
}

/* What a promotion needs in ZooKeeper is there before clients cannot write. */
static void a_check_prepares_the_promotion(void **state)
{
    (void)state;
    w.node = (struct switch_record){ .epoch = 5, .version = 0 };
    gain();
    zk_settles();
    ask(SWITCH_CHECK, 0);
    promotion_ends(PROMOTE_NOBODY, 0);
    assert_null(w.asked.done); /* a question outside of a switch */
    metadata_says("Lock", 2);
    zk_settles();
    assert_true(w.node.is_promoting);
    ask(SWITCH_PROMOTE, 5);
    assert_null(w.asked.done);
    assert_true(promotion_may());
    promotion_ends(PROMOTE_NOBODY, 0);
}

static void a_check_without_a_switch_leaves_nothing(void **state)
{
    (void)state;
    gain();
    zk_settles();
    metadata_says("Lock", 2);
    ask(SWITCH_CHECK, 0);
    promotion_ends(PROMOTE_NOBODY, 0);
    zk_settles();
    assert_true(w.node.is_promoting);
    metadata_says("Normal", 3);
    zk_settles();
    assert_false(w.node.is_promoting);
    assert_int_equal(stance(), STANCE_NONE);
}

/* The result of the hold is still on its way to ZooKeeper: what the freeze needs is there. */
static void a_freeze_does_not_wait_for_the_result_of_the_hold(void **state)
{
    (void)state;
    gain();
    zk_settles();
    begin_hold(5);
    fence_ends(FENCE_GOAL_HOLD, FENCE_HELD);
    assert_non_null(w.asked.done);
    ask(SWITCH_FREEZE, 5);
    assert_true(fence_may());
    fence_ends(FENCE_GOAL_FREEZE, FENCE_FROZEN);
    assert_int_equal(last()->fence, FENCE_FROZEN);
    zk_settles();
    assert_int_equal(w.node.fence, FENCE_FROZEN);
}

/* Nothing was sent: nobody is kept off because of it. */
static void a_promotion_whose_record_is_late(void **state)
{
    (void)state;
    gain();
    zk_settles();
    ask(SWITCH_PROMOTE, 5);
    let_pass(5000);
    assert_int_equal(last()->rc, XP_TIMEOUT);
    zk_settles();
    assert_false(w.node.is_promoting);
    assert_int_equal(w.node.epoch, 5);
    assert_int_equal(stance(), STANCE_NONE);
}

static void who_follows_promotes_nobody_any_more(void **state)
{
    (void)state;
    w.node = (struct switch_record){
        .epoch = 4, .is_promoting = true, .maybe = addr_of("10.0.1.1", 6379), .version = 0
    };
    gain();
    zk_settles();
    ask(SWITCH_FOLLOW, 5);
    zk_settles();
    assert_false(w.node.is_promoting);
    assert_true(addr_is_none(&w.node.maybe));
    assert_int_equal(stance(), STANCE_FOLLOW);
    let_pass(4000 + 100); /* and a look */
    assert_int_equal(w.answers, 1);
    assert_false(last()->is_success); /* its Redis never followed; the order holds */
    assert_int_equal(stance(), STANCE_FOLLOW);
}

/* ---- strays ---- */

static void stray_is_held(int port, int64_t min_slaves)
{
    w.seen_min_slaves = min_slaves;
    let_pass(1);
    assert_int_equal(fence_now()->o.redis[0].port, port);
    fence_ends(FENCE_GOAL_LOOK, FENCE_RELEASED);
    zk_settles(); /* its settings are written down before */
    let_pass(60);
    assert_int_equal(fence_now()->o.redis[0].port, port);
    assert_int_equal(fence_now()->o.saved.min_slaves, min_slaves);
    assert_true(fence_may());
    fence_ends(FENCE_GOAL_HOLD, FENCE_HELD);
}

static void tell_stray(int port)
{
    struct addr redis = addr_of("10.0.1.1", port);
    shard_switch_stray(w.all, CLUSTER_ID, SHARD_ID, &redis);
}

static void each_stray_keeps_its_own_settings(void **state)
{
    (void)state;
    gain();
    zk_settles();
    tell_stray(6379);
    tell_stray(6380);
    stray_is_held(6379, 3);
    stray_is_held(6380, 0);
    assert_int_equal(w.node.fence, FENCE_NONE); /* nobody ordered one */
    assert_int_equal(w.node.kept.count, 2);
    assert_int_equal(w.node.kept.items[0].saved.min_slaves, 3);
    assert_int_equal(w.node.kept.items[1].saved.min_slaves, 0);
    tell_stray(6379); /* it is held */
    let_pass(60);
    assert_true(list_is_empty(&w.fences));
    w.redis[0] = (struct redis){ .min_slaves = FENCE_MIN_SLAVES, .follows = true };
    w.redis[1] = (struct redis){ .min_slaves = FENCE_MIN_SLAVES };
    let_pass(5000); /* one follows, one does not */
    assert_int_equal(w.redis[0].min_slaves, 3);
    assert_int_equal(w.redis[1].changes, 0);
    zk_settles();
    assert_int_equal(w.node.kept.count, 1);
    w.redis[1].follows = true;
    let_pass(15000);
    assert_int_equal(w.redis[1].min_slaves, 0);
    zk_settles();
    assert_int_equal(w.node.kept.count, 0);
}

/* What the fence overwrote of the old master, once it follows; nothing before a step says that it may. */
static void settings_come_back_with_the_follow(void **state)
{
    (void)state;
    w.node = (struct switch_record){ .epoch = 4,
                                     .fence = FENCE_FROZEN,
                                     .master = addr_of("10.0.1.1", 6379),
                                     .saved = { .is_known = true,
                                                .min_slaves = 2,
                                                .max_lag_s = 7,
                                                .was_writable_replica = true },
                                     .version = 0 };
    w.redis[0] =
        (struct redis){ .min_slaves = FENCE_MIN_SLAVES, .is_read_only = true, .follows = true };
    w.redis[1] = (struct redis){ .is_read_only = true, .follows = true };
    document("fra", "jq", "Migrating", 2);
    gain();
    zk_settles();
    let_pass(60);
    fence_ends(FENCE_GOAL_FREEZE, FENCE_NONE); /* the fence, as long as it is in force */
    let_pass(200);
    assert_int_equal(w.redis[0].changes, 0);
    ask(SWITCH_FOLLOW, 4);
    let_pass(4000 + 100);
    let_pass(1000);
    zk_settles();
    assert_int_equal(w.redis[0].min_slaves, 2);
    assert_false(w.redis[0].is_read_only);
    assert_true(w.redis[1].is_read_only); /* its own, and nobody changed it */
    assert_int_equal(w.node.fence, FENCE_NONE);
    assert_false(w.node.saved.is_known);
}

static void the_next_migration_stops_the_settling(void **state)
{
    (void)state;
    w.node = (struct switch_record){ .epoch = 4, .version = 0 };
    w.node.kept.items[w.node.kept.count++] =
        (struct switch_kept){ .redis = addr_of("10.0.1.1", 6379),
                              .saved = { .is_known = true, .max_lag_s = 10 } };
    w.redis[0] = (struct redis){ .min_slaves = FENCE_MIN_SLAVES };
    gain();
    zk_settles();
    let_pass(1500);
    document("fra", "jq", "Migrating", 2);
    shard_switch_cluster(w.all, dc_store_cluster_by_id(w.store, CLUSTER_ID));
    w.redis[0].follows = true;
    let_pass(20000);
    assert_int_equal(w.redis[0].changes, 0);
    document("fra", "jq", "Normal", 3);
    shard_switch_cluster(w.all, dc_store_cluster_by_id(w.store, CLUSTER_ID));
    let_pass(100);
    assert_int_equal(w.redis[0].min_slaves, 0);
}

static void a_cluster_under_migration_has_no_strays(void **state)
{
    (void)state;
    gain();
    zk_settles();
    tell_stray(6379);
    let_pass(1);
    fence_ends(FENCE_GOAL_LOOK, FENCE_RELEASED);
    zk_settles();
    let_pass(60);
    assert_true(fence_may());
    metadata_says("Migrating", 2); /* in the middle of the hold */
    assert_false(fence_may());
    fence_ends(FENCE_GOAL_HOLD, FENCE_NONE);
    tell_stray(6379);
    let_pass(5000);
    assert_true(list_is_empty(&w.fences));
    ask(SWITCH_FOLLOW, 5); /* the switch's own step */
    zk_settles();
    tell_stray(6379);
    let_pass(60);
    assert_true(fence_may());
    fence_ends(FENCE_GOAL_HOLD, FENCE_HELD);
}

/* ---- a fence that outlives its migration (K15) ---- */

static void home_says(const char *status, int version)
{
    document("jq", "fra", status, version);
    shard_switch_cluster(w.all, dc_store_cluster_by_id(w.store, CLUSTER_ID));
}

/* The fence is asserted again and again meanwhile, and nothing else happens. */
static void asserted_for(int64_t ms)
{
    mono_ms end = clock_mono_ms() + ms;
    while (clock_mono_ms() < end) {
        let_pass(100);
        if (!list_is_empty(&w.fences)) {
            fence_ends(FENCE_GOAL_HOLD, FENCE_HELD);
        }
    }
}

static void held_in_a_migration(void)
{
    gain();
    zk_settles();
    home_says("Migrating", 2);
    begin_hold(5);
    fence_ends(FENCE_GOAL_HOLD, FENCE_HELD);
    zk_settles();
    assert_int_equal(w.node.migrating_version, 2);
    asserted_for(5000);
}

static void a_fence_that_outlives_its_migration(void **state)
{
    (void)state;
    held_in_a_migration();
    home_says("Rollback", 3);
    asserted_for(5000);
    home_says("Normal", 4); /* rolled back, and nobody has asked us to release */
    asserted_for(1800);
    let_pass(2000);
    assert_int_equal(stance(), STANCE_FENCED);
    assert_true(fence_may());
    fence_ends(FENCE_GOAL_RELEASE, FENCE_NONE); /* it hangs */
    let_pass(1100);
    assert_int_equal(fence_now()->o.saved.min_slaves, 1);
    assert_true(addr_eq(&fence_now()->o.hint, &w.node.master));
    fence_ends(FENCE_GOAL_RELEASE, FENCE_RELEASED);
    zk_settles();
    assert_int_equal(w.node.fence, FENCE_NONE);
    assert_false(w.node.saved.is_known);
    assert_int_equal(w.node.migrating_version, 0);
    assert_int_equal(stance(), STANCE_NONE);
    let_pass(10000);
    assert_true(list_is_empty(&w.fences));
}

static void a_fence_nobody_calls_a_migration_stays(void **state)
{
    (void)state;
    gain();
    zk_settles();
    begin_hold(5); /* a Java console, or its lock is not known here yet */
    fence_ends(FENCE_GOAL_HOLD, FENCE_HELD);
    zk_settles();
    home_says("Normal", 3);
    asserted_for(10000);
    assert_int_equal(w.node.fence, FENCE_HELD);
}

static void the_fence_of_the_next_migration_stays(void **state)
{
    (void)state;
    held_in_a_migration();
    home_says("Normal", 3);
    asserted_for(1000);
    ask(SWITCH_HOLD, 5); /* its lock is not known here yet */
    zk_settles();
    fence_ends(FENCE_GOAL_HOLD, FENCE_HELD);
    zk_settles();
    asserted_for(10000);
    home_says("Migrating", 4);
    asserted_for(5000);
    home_says("Normal", 5);
    asserted_for(1800);
    let_pass(2000);
    fence_ends(FENCE_GOAL_RELEASE, FENCE_RELEASED);
    zk_settles();
    assert_int_equal(w.node.fence, FENCE_NONE);
}

static void a_hold_comes_behind_a_release_under_way(void **state)
{
    (void)state;
    held_in_a_migration();
    home_says("Normal", 3);
    asserted_for(1800);
    let_pass(2000);
    assert_true(fence_may()); /* it commands */
    ask(SWITCH_HOLD, 5);
    zk_settles();
    assert_int_equal(fence_now()->o.goal, FENCE_GOAL_RELEASE);
    assert_false(fence_may());
    fence_ends(FENCE_GOAL_RELEASE, FENCE_RELEASED);
    zk_settles();
    fence_ends(FENCE_GOAL_LOOK, FENCE_RELEASED);
    zk_settles();
    fence_ends(FENCE_GOAL_HOLD, FENCE_HELD);
    zk_settles();
    assert_int_equal(w.node.fence, FENCE_HELD);
    asserted_for(5000);
}

#define TEST(open, name) cmocka_unit_test_setup_teardown(name, open, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(open_primary, a_fence_is_written_down_before_and_after),
        TEST(open_primary, a_release_that_is_not_proved_ends_the_fence),
        TEST(open_primary, a_repeat_joins_and_others_wait),
        TEST(open_primary, the_queue_has_an_end),
        TEST(open_primary, an_older_epoch_is_refused),
        TEST(open_backup, a_promotion_is_answered_again),
        TEST(open_primary, a_record_that_is_not_read_in_time),
        TEST(open_primary, a_hold_whose_record_is_late),
        TEST(open_primary, a_hold_whose_record_fails),
        TEST(open_primary, somebody_else_wrote_the_record),
        TEST(open_primary, a_freeze_whose_record_is_late),
        TEST(open_primary, a_slot_lost_during_a_fence),
        TEST(open_primary, a_slot_regained_during_a_fence),
        TEST(open_primary, a_slot_regained_during_a_look),
        TEST(open_backup, a_slot_regained_during_a_promotion),
        TEST(open_backup, a_slot_regained_during_a_release_of_the_promoted),
        TEST(open_primary, a_slot_regained_while_the_record_is_written),
        TEST(open_primary, a_slot_regained_while_the_record_is_read),
        TEST(open_primary, a_slot_regained_while_a_fence_is_asserted_again),
        TEST(open_primary, a_fence_is_taken_over_and_asserted),
        TEST(open_backup, a_crash_in_the_middle_of_a_promotion),
        TEST(open_backup, the_promoted_one_is_found),
        TEST(open_backup, an_orphan_does_not_touch_what_is_newer),
        TEST(open_backup, the_caller_may_add_the_sentinels_itself),
        TEST(open_backup, a_promotion_whose_outcome_is_unknown),
        TEST(open_backup, a_check_prepares_the_promotion),
        TEST(open_backup, a_check_without_a_switch_leaves_nothing),
        TEST(open_primary, a_freeze_does_not_wait_for_the_result_of_the_hold),
        TEST(open_backup, a_promotion_whose_record_is_late),
        TEST(open_primary, who_follows_promotes_nobody_any_more),
        TEST(open_backup, each_stray_keeps_its_own_settings),
        TEST(open_backup, settings_come_back_with_the_follow),
        TEST(open_backup, the_next_migration_stops_the_settling),
        TEST(open_backup, a_cluster_under_migration_has_no_strays),
        TEST(open_primary, a_fence_that_outlives_its_migration),
        TEST(open_primary, a_fence_nobody_calls_a_migration_stays),
        TEST(open_primary, the_fence_of_the_next_migration_stays),
        TEST(open_primary, a_hold_comes_behind_a_release_under_way),
    };
    return cmocka_run_group_tests_name("switch_queue", tests, NULL, NULL);
}
