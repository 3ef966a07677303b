/* The remote calls of a migration against scripted metaservers of both DCs: every kind of answer gives its outcome. The fence from the
 * console itself (fence_run) and the judgment are stand-ins here. */
#include "tests/unit/unit.h"

#include "console/migration/migration_calls.h"
#include "console/migration/switch_judge.h"
#include "shared/base/fault.h"
#include "shared/base/thread.h"
#include "shared/switch/fence.h"
#include "tests/unit/console_fixture.h"
#include "tests/unit/console_script.h"

#include "shared/base/banned.h"

#define EPOCH 7

/* ---- stand-ins ---- */

struct fence_run {
    struct fence_options o;
    struct loop_timer timer;
};
static struct {
    enum fence_state state; /* what a run from the console finds */
    int runs;
    enum fence_goal goal;
    size_t redis_count;
    bool judge_says_no;
    bool judge_says_later;
    bool judged_as_disaster;
    size_t dcs_that_answered;
} scene;

static void run_over(struct loop_timer *t)
{
    struct fence_run *run = CONTAINER_OF(t, struct fence_run, timer);
    struct switch_fence fence = { .state = scene.state, .offset = 500, .has_info = true };
    fence.saved = (struct fence_saved){ .is_known = true, .min_slaves = 3 };
    (void)snprintf(fence.repl_id, sizeof(fence.repl_id), "%s", "fromhere");
    run->o.on_done(&fence, run->o.run.arg);
}

struct fence_run *fence_run_start(const struct fence_options *o)
{
    struct fence_run *run = xcalloc(1, sizeof(*run));
    run->o = *o;
    scene.runs++;
    scene.goal = o->goal;
    scene.redis_count = o->run.redis_count;
    loop_timer_init(&run->timer, o->run.loop, run_over);
    loop_timer_start(&run->timer, 1);
    return run;
}

void fence_run_free(struct fence_run *run)
{
    if (run) {
        loop_timer_stop(&run->timer);
        free(run);
    }
}

void switch_judge(const struct judge_facts *facts, struct judge_verdict *ret)
{
    *ret =
        (struct judge_verdict){ .may = !scene.judge_says_no, .is_not_yet = scene.judge_says_later };
    scene.judged_as_disaster = facts->is_disaster;
    scene.dcs_that_answered = 0;
    for (size_t i = 0; i < facts->count; i++) {
        scene.dcs_that_answered += facts->dcs[i].check != NULL;
    }
}

void judge_verdict_print(const struct judge_verdict *verdict, struct str *out)
{
    str_puts(out, verdict->may ? "[info]Check success\n" : "[error]the judge says no\n");
}

/* ---- the site ---- */

struct site {
    struct fixture f;
    struct loop *loop;
    struct worker_pool *pool;
    struct http_client *http;
    struct http_client *news;
    struct outer_client *outer;
    struct migration_calls *calls;
    struct script source;
    struct script dest;
    int64_t cluster_id;
    struct migration_shard_row shard;
    struct migration_follow_row follow;
    struct migration_cluster_row row;
    bool has_result;
    struct migration_result result;
};
static struct site *site;

static void must(const char *method, const char *target, const char *body)
{
    struct reply r CLEANUP(reply_done) = call(&site->f, method, target, body);
    if (!r.body || !strstr(r.body, "\"state\":0")) {
        fail_msg("%s %s: %s", method, target, r.body);
    }
}

static void create_cluster(void)
{
    must("POST", "/api/zone", "{\"name\":\"SHA\"}");
    must("POST", "/api/dc", "{\"zone_id\":1,\"dc_name\":\"jq\",\"description\":\"d\"}");
    must("POST", "/api/dc", "{\"zone_id\":1,\"dc_name\":\"oy\",\"description\":\"d\"}");
    must("POST", "/api/organizations", "{\"orgId\":8,\"orgName\":\"cache\"}");
    must("POST", "/api/clusters",
         "{\"clusterName\":\"c "
         "1\",\"clusterType\":\"ONE_WAY\",\"dcs\":[\"jq\",\"oy\"],\"desc\":\"d\","
         "\"organizationId\":8,\"clusterAdminEmails\":\"a@b.c\"}");
    must("POST", "/api/shards/c%201", "[{\"shardName\":\"s1\",\"shardMonitorName\":\"s1\"}]");
    must("POST", "/api/redises/jq/c%201/s1", "[\"10.0.0.1:6379\",\"10.0.0.2:6379\"]");
    must("POST", "/api/redises/oy/c%201/s1", "[\"10.1.0.1:6379\"]");
}

static int64_t fence_ms = 300;

static void configure(const char *metaservers)
{
    struct xp_err err = { 0 };
    struct migration_calls_settings settings = { .metaservers = metaservers,
                                                 .redis_user = "",
                                                 .redis_password = "",
                                                 .connect_timeout_ms = 300,
                                                 .check_ms = 300,
                                                 .fence_ms = fence_ms,
                                                 .drain_ms = 200,
                                                 .promote_ms = 300,
                                                 .follow_ms = 300,
                                                 .queue_ms = 5000 };
    assert_int_equal(migration_calls_configure(site->calls, &settings, &err), 0);
}

static void configure_both(void)
{
    char *urls AUTO_FREE =
        xasprintf("{\"JQ\":\"http://127.0.0.1:%d/\",\"oy\":\"http://127.0.0.1:%d\"}",
                  site->source.port, site->dest.port);
    configure(urls);
}

static void make_row(void)
{
    site->shard = (struct migration_shard_row){ .id = 1,
                                                .shard_id = 1,
                                                .name = (char[]){ "s1" },
                                                .fence_offset = 100,
                                                .new_master = addr_of("10.1.0.1", 6379) };
    (void)snprintf(site->shard.fence_repl_id, sizeof(site->shard.fence_repl_id), "%s", "abc");
    site->follow = (struct migration_follow_row){ .dc_id = 1 };
    static char cluster[] = "c 1";
    static char jq[] = "jq";
    static char oy[] = "oy";
    static char s1[] = "s1";
    site->shard.name = s1;
    site->follow.dc = jq;
    site->row = (struct migration_cluster_row){ .id = 11,
                                                .event_id = 3,
                                                .cluster_id = 1,
                                                .cluster = cluster,
                                                .source_dc_id = 1,
                                                .dest_dc_id = 2,
                                                .source_dc = jq,
                                                .dest_dc = oy,
                                                .status = MIG_MIGRATING,
                                                .epoch = EPOCH,
                                                .shards = &site->shard,
                                                .shard_count = 1,
                                                .follows = &site->follow,
                                                .follow_count = 1 };
}

static int setup(void **state)
{
    (void)state;
    memset(&scene, 0, sizeof(scene));
    struct site *s = xcalloc(1, sizeof(*s));
    site = s;
    fixture_open(&s->f);
    s->loop = loop_new();
    s->pool = worker_pool_new(s->loop, "worker", 1, 100, NULL, NULL, NULL);
    s->http = http_client_new(s->loop, 2, 20);
    s->news = http_client_new(s->loop, 1, OUTER_NEWS_MAX);
    s->outer = outer_client_new(s->loop, s->http, s->news);
    s->calls = migration_calls_new(&(struct migration_calls_options){ .loop = s->loop,
                                                                      .pool = s->pool,
                                                                      .catalog = &s->f.catalog,
                                                                      .outer = s->outer,
                                                                      .threads = 2 });
    script_init(&s->source, s->loop);
    script_init(&s->dest, s->loop);
    create_cluster();
    make_row();
    configure_both();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    struct site *s = site;
    if (s->source.held) {
        script_release(&s->source);
    }
    if (s->dest.held) {
        script_release(&s->dest);
    }
    migration_result_done(&s->result);
    script_done(&s->source);
    script_done(&s->dest);
    migration_calls_close(s->calls);
    http_client_free(s->http);
    http_client_free(s->news);
    worker_pool_free(s->pool);
    migration_calls_free(s->calls);
    outer_client_free(s->outer);
    loop_free(s->loop);
    fixture_close(&s->f);
    free(s);
    return 0;
}

static void on_result(struct migration_result *take_result, int64_t id, void *arg)
{
    struct site *s = arg;
    assert_int_equal(id, 11);
    assert_false(s->has_result);
    migration_result_done(&s->result);
    s->result = *take_result;
    s->has_result = true;
}

static bool has_result(void *arg)
{
    return ((struct site *)arg)->has_result;
}

static struct loop_timer start_timer;
static enum migration_call next_call;

static void start_call(struct loop_timer *t)
{
    (void)t;
    struct migration_plan_call plan = { .call = next_call, .shard = 0, .follow = 0 };
    if (next_call == CALL_FOLLOW || next_call == CALL_PUBLISH || next_call == CALL_PRECHECK) {
        plan.shard = 1;
    }
    migration_call_start(site->calls, &site->row, &plan, on_result, site);
    assert_false(site->has_result); /* never inside the call */
}

static enum call_outcome run(enum migration_call which)
{
    site->has_result = false;
    next_call = which;
    loop_timer_init(&start_timer, site->loop, start_call);
    loop_timer_start(&start_timer, 0);
    assert_true(script_wait(&site->source, has_result, site, SCRIPT_LIMIT_MS));
    assert_int_equal(site->result.call, which);
    assert_non_null(site->result.text);
    assert_int_equal(migration_calls_active(site->calls), 0);
    return site->result.outcome;
}

/* ---- bodies ---- */

static void answer_fence(struct script *s, enum fence_state state, int64_t epoch)
{
    struct switch_fence fence = { .master = addr_of("10.0.0.1", 6379),
                                  .has_info = true,
                                  .offset = 4242,
                                  .is_ours = true,
                                  .state = state,
                                  .epoch = epoch };
    (void)snprintf(fence.repl_id, sizeof(fence.repl_id), "%s", "abcdef");
    json_auto_t *json = switch_fence_to_json(&fence);
    char *text AUTO_FREE = json_dumps(json, 0);
    script_answer(s, 200, text);
}

static const char java_fence[] =
    "{\"masterAddr\":{\"host\":\"10.0.0.1\",\"port\":6379},\"masterInfo\":{\"role\":\"SLAVE\","
    "\"masterReplOffset\":123,\"replId\":\"0123456789012345678901234567890123456789\",\"keeper\":"
    "false},"
    "\"message\":\"[info][2024-01-01T00:00:00.000]done\\n\"}";

static void answer_change(struct script *s, bool is_success, bool is_stale)
{
    struct switch_change change = { .is_success = is_success,
                                    .is_ours = true,
                                    .is_drained = is_success,
                                    .is_promoted = is_success,
                                    .is_stale = is_stale,
                                    .offset = 4242,
                                    .epoch = is_stale ? EPOCH + 1 : EPOCH };
    if (is_success) {
        change.new_master = addr_of("10.1.0.1", 6379);
    }
    json_auto_t *json = switch_change_to_json(&change);
    char *text AUTO_FREE = json_dumps(json, 0);
    script_answer(s, 200, text);
}

static void answer_check(struct script *s)
{
    struct switch_check *check = xcalloc(1, sizeof(*check));
    check->type = CHECK_SUCCESS;
    check->is_ours = true;
    json_auto_t *json = switch_check_to_json(check);
    char *text AUTO_FREE = json_dumps(json, 0);
    script_answer(s, 200, text);
    free(check);
}

static bool saw(const struct script *s, const char *text)
{
    return strstr(str_text(&s->seen), text) != NULL;
}

/* ---- the fence ---- */

static void the_sources_metaserver_holds(void **state)
{
    (void)state;
    answer_fence(&site->source, FENCE_HELD, EPOCH);
    assert_int_equal(run(CALL_HOLD), OUTCOME_OK);
    assert_true(
        saw(&site->source, "PUT /api/meta/masterreadonly/c%201/s1/true?epoch=7&phase=hold"));
    assert_int_equal(site->result.fence.state, FENCE_HELD);
    assert_int_equal(site->result.fence.offset, 4242);
    assert_true(site->result.is_by_meta && site->result.may_be_by_meta);
    assert_int_equal(scene.runs, 0);
    answer_fence(&site->source, FENCE_HELD, EPOCH); /* the data have not arrived: not frozen */
    assert_int_equal(run(CALL_FREEZE), OUTCOME_REFUSED);
    answer_fence(&site->source, FENCE_FROZEN, EPOCH);
    assert_int_equal(run(CALL_FREEZE), OUTCOME_OK);
    assert_true(saw(&site->source, "phase=freeze"));
    answer_fence(&site->source, FENCE_RELEASED, EPOCH);
    assert_int_equal(run(CALL_RELEASE), OUTCOME_OK);
    assert_true(saw(&site->source, "/s1/false?epoch=7&deadline_ms="));
}

static void its_refusal_and_a_higher_epoch_are_the_last_word(void **state)
{
    (void)state;
    answer_fence(&site->source, FENCE_NONE, EPOCH);
    assert_int_equal(run(CALL_HOLD), OUTCOME_REFUSED);
    answer_fence(&site->source, FENCE_NONE, EPOCH + 1);
    assert_int_equal(run(CALL_HOLD), OUTCOME_STALE);
    script_answer(&site->source, 409, "{\"message\":\"stale epoch 7: 8 is known for this shard\"}");
    assert_int_equal(run(CALL_FREEZE), OUTCOME_STALE);
    assert_int_equal(scene.runs, 0);
}

static void a_silent_source_is_fenced_from_here(void **state)
{
    (void)state;
    site->source.is_held = true;
    scene.state = FENCE_HELD;
    script_answer(&site->dest, 404, "{}");
    assert_int_equal(run(CALL_HOLD), OUTCOME_OK);
    assert_int_equal(scene.runs, 1);
    assert_int_equal(scene.redis_count, 2);
    assert_int_equal(site->result.fence.offset, 500);
    assert_int_equal(site->result.fence.saved.min_slaves, 3);
    assert_true(strstr(site->result.text, "another way") != NULL);
    assert_false(site->result.is_by_meta);
    assert_true(site->result.may_be_by_meta); /* it got the order, and may carry it out yet */
}

/* The other ways do not wait for the end of its time. */
static void a_silent_source_costs_little_time(void **state)
{
    (void)state;
    fence_ms = 20000;
    configure_both();
    fence_ms = 300;
    site->source.is_held = true;
    scene.state = FENCE_HELD;
    script_answer(&site->dest, 404, "{}");
    assert_int_equal(run(CALL_HOLD), OUTCOME_OK);
    assert_in_range(site->result.duration_ms, 300, 10000);
    assert_true(strstr(site->result.text, "another way") != NULL);
}

static void a_dead_source_is_fenced_through_the_destination(void **state)
{
    (void)state;
    script_stop(&site->source);
    scene.state = FENCE_UNREACHABLE;
    answer_fence(&site->dest, FENCE_FROZEN, EPOCH);
    assert_int_equal(run(CALL_FREEZE), OUTCOME_OK);
    assert_true(saw(&site->dest, "PUT /api/meta/v2/fence/c%201/s1"));
    assert_true(saw(&site->dest, "10.0.0.2:6379") || saw(&site->dest, "10.0.0.2"));
    assert_int_equal(site->result.fence.state, FENCE_FROZEN);
    assert_false(site->result.is_by_meta || site->result.may_be_by_meta);
}

static void nobody_reaches_the_source(void **state)
{
    (void)state;
    script_stop(&site->source);
    scene.state = FENCE_UNREACHABLE;
    answer_fence(&site->dest, FENCE_UNREACHABLE, EPOCH);
    assert_int_equal(run(CALL_HOLD), OUTCOME_UNREACHABLE);
    script_stop(&site->dest);
    assert_int_equal(run(CALL_HOLD), OUTCOME_UNREACHABLE);
}

static void a_source_that_may_have_done_it_is_unknown(void **state)
{
    (void)state;
    scene.state = FENCE_UNREACHABLE;
    answer_fence(&site->dest, FENCE_UNREACHABLE, EPOCH);
    script_answer(&site->source, 500, "{\"message\":\"x\"}");
    assert_int_equal(run(CALL_HOLD), OUTCOME_UNKNOWN);
    script_answer(&site->source, 200, "{\"masterAddr\":");
    assert_int_equal(run(CALL_HOLD), OUTCOME_UNKNOWN);
    script_answer(&site->source, 200, "[1,2]");
    assert_int_equal(run(CALL_HOLD), OUTCOME_UNKNOWN);
    script_answer(&site->source, 200, ""); /* x-pipe, not the primary: nothing was done */
    assert_int_equal(run(CALL_HOLD), OUTCOME_UNREACHABLE);
    scene.state = FENCE_NONE; /* reached, and it takes writes */
    assert_int_equal(run(CALL_HOLD), OUTCOME_REFUSED);
}

static void the_word_of_xpipe_is_proved_from_here(void **state)
{
    (void)state;
    script_answer(&site->source, 200, java_fence);
    scene.state = FENCE_FROZEN;
    assert_int_equal(run(CALL_HOLD), OUTCOME_OK);
    assert_int_equal(scene.goal, FENCE_GOAL_LOOK);
    assert_true(site->result.is_by_meta);
    assert_false(site->result.may_be_by_meta); /* it asserts nothing again */
    scene.state = FENCE_UNREACHABLE;
    assert_int_equal(run(CALL_FREEZE), OUTCOME_OK);
    assert_int_equal(site->result.fence.state, FENCE_FROZEN);
    assert_int_equal(site->result.fence.offset, 123);
    assert_true(strstr(site->result.text, "not proved") != NULL);
    scene.state = FENCE_NONE; /* slave-read-only no: it takes writes all the same */
    assert_int_equal(run(CALL_FREEZE), OUTCOME_REFUSED);
    scene.state = FENCE_RELEASED;
    assert_int_equal(run(CALL_RELEASE), OUTCOME_OK);
    assert_int_equal(scene.goal, FENCE_GOAL_RELEASE);
}

static void a_release_that_failed_there_is_tried_here(void **state)
{
    (void)state;
    answer_fence(&site->source, FENCE_NONE, EPOCH);
    scene.state = FENCE_RELEASED;
    script_answer(&site->dest, 404, "{}");
    assert_int_equal(run(CALL_RELEASE), OUTCOME_OK);
    scene.state = FENCE_NONE;
    assert_int_equal(run(CALL_RELEASE), OUTCOME_REFUSED);
}

/* ---- the destination ---- */

static void a_promotion_has_each_outcome(void **state)
{
    (void)state;
    answer_change(&site->dest, true, false);
    assert_int_equal(run(CALL_PROMOTE), OUTCOME_OK);
    assert_true(saw(&site->dest, "PUT /api/meta/changeprimarydc/c%201/s1/oy?epoch=7 {"));
    assert_true(saw(&site->dest, "\"planned\""));
    assert_int_equal(site->result.change.new_master.port, 6379);
    answer_change(&site->dest, false, false);
    assert_int_equal(run(CALL_PROMOTE), OUTCOME_REFUSED);
    answer_change(&site->dest, false, true);
    assert_int_equal(run(CALL_PROMOTE), OUTCOME_STALE);
    script_answer(&site->dest, 500, "{}");
    assert_int_equal(run(CALL_PROMOTE), OUTCOME_UNKNOWN);
    script_answer(&site->dest, 200, "{\"errorType\":");
    assert_int_equal(run(CALL_PROMOTE), OUTCOME_UNKNOWN);
    script_answer(
        &site->dest, 200,
        "{\"errorType\":\"SUCCESS\",\"errorMessage\":\"done\",\"newMasterIp\":\"10.1.0.1\","
        "\"newMasterPort\":6379,\"success\":true}");
    assert_int_equal(run(CALL_PROMOTE), OUTCOME_OK); /* x-pipe's */
    script_answer(&site->dest, 200,
                  "{\"errorType\":\"SUCCESS\",\"errorMessage\":\"done\",\"newMasterIp\":null,"
                  "\"newMasterPort\":0,\"success\":true}");
    assert_int_equal(run(CALL_PROMOTE), OUTCOME_REFUSED); /* nobody to publish */
    site->dest.is_held = true;
    assert_int_equal(run(CALL_PROMOTE), OUTCOME_UNKNOWN);
    script_stop(&site->dest);
    assert_int_equal(run(CALL_PROMOTE), OUTCOME_UNREACHABLE);
}

static void xpipe_knows_no_drain(void **state)
{
    (void)state;
    answer_change(&site->dest, true, false);
    assert_int_equal(run(CALL_DRAIN), OUTCOME_OK);
    assert_true(site->result.change.is_drained);
    assert_true(saw(&site->dest, "POST /api/meta/v2/drain/c%201/s1 {"));
    site->dest.is_java = true;
    assert_int_equal(run(CALL_DRAIN), OUTCOME_OK);
    assert_false(site->result.change.is_ours);
    assert_false(site->result.change.is_drained);
}

static bool has_asked_dest(void *arg)
{
    (void)arg;
    return site->dest.requests > 0;
}

static void wait_asked_dest(void)
{
    assert_true(script_wait(&site->dest, has_asked_dest, NULL, SCRIPT_LIMIT_MS));
}

static void a_drain_goes_ahead_of_its_turn(void **state)
{
    (void)state;
    answer_fence(&site->source, FENCE_HELD, EPOCH);
    answer_change(&site->dest, true, false);
    assert_int_equal(run(CALL_HOLD), OUTCOME_OK);
    wait_asked_dest();
    site->row.shards[0].fence_offset = 4242;
    (void)snprintf(site->row.shards[0].fence_repl_id, REPL_ID_SIZE, "%s", "abcdef");
    assert_int_equal(run(CALL_DRAIN), OUTCOME_OK);
    assert_true(site->result.change.is_drained);
    assert_int_equal(site->dest.requests, 1);
    assert_true(saw(&site->dest, "4242"));
    assert_int_equal(run(CALL_DRAIN), OUTCOME_OK); /* taken over once */
    assert_int_equal(site->dest.requests, 2);
}

static void a_drain_ahead_is_taken_over_while_it_runs(void **state)
{
    (void)state;
    answer_fence(&site->source, FENCE_HELD, EPOCH);
    answer_change(&site->dest, true, false);
    site->dest.is_held = true;
    assert_int_equal(run(CALL_HOLD), OUTCOME_OK);
    wait_asked_dest();
    site->row.shards[0].fence_offset = 4242;
    (void)snprintf(site->row.shards[0].fence_repl_id, REPL_ID_SIZE, "%s", "abcdef");
    assert_int_equal(run(CALL_DRAIN), OUTCOME_UNKNOWN); /* at its own time limit */
    assert_int_equal(site->dest.requests, 1);
}

static void a_drain_ahead_of_other_data_is_dropped(void **state)
{
    (void)state;
    answer_fence(&site->source, FENCE_HELD, EPOCH);
    answer_change(&site->dest, true, false);
    assert_int_equal(run(CALL_HOLD), OUTCOME_OK);
    wait_asked_dest();
    site->row.shards[0].fence_offset = 5000;
    assert_int_equal(run(CALL_DRAIN), OUTCOME_OK);
    assert_int_equal(site->dest.requests, 2);
    assert_true(saw(&site->dest, "5000"));
    site->dest.requests = 0;
    assert_int_equal(run(CALL_HOLD), OUTCOME_OK); /* and it is rolled back */
    wait_asked_dest();
    answer_fence(&site->source, FENCE_RELEASED, EPOCH);
    assert_int_equal(run(CALL_RELEASE), OUTCOME_OK);
    assert_int_equal(site->dest.requests, 1);
}

static void a_hold_by_word_sends_nothing_ahead(void **state)
{
    (void)state;
    scene.state = FENCE_UNREACHABLE;
    script_answer(&site->source, 200, java_fence);
    assert_int_equal(run(CALL_HOLD), OUTCOME_OK);
    answer_change(&site->dest, true, false);
    site->row.shards[0].fence_offset = 5000;
    assert_int_equal(run(CALL_DRAIN), OUTCOME_OK);
    assert_int_equal(site->dest.requests, 1);
}

static void a_demotion_names_the_source(void **state)
{
    (void)state;
    answer_change(&site->dest, true, false);
    assert_int_equal(run(CALL_DEMOTE), OUTCOME_OK);
    assert_true(saw(&site->dest, "PUT /api/meta/changeprimarydc/c%201/s1/jq?epoch=7 "));
}

static void other_dcs_follow(void **state)
{
    (void)state;
    site->row.status = MIG_SUCCESS;
    site->row.is_active_switched = true;
    answer_change(&site->source, true, false);
    assert_int_equal(run(CALL_FOLLOW), OUTCOME_OK);
    assert_true(saw(&site->source, "PUT /api/meta/changeprimarydc/c%201/s1/oy?epoch=7 "));
    answer_change(&site->source, false, false);
    assert_int_equal(run(CALL_FOLLOW), OUTCOME_REFUSED);
    script_stop(&site->source);
    assert_int_equal(run(CALL_FOLLOW), OUTCOME_UNREACHABLE);
    configure("{}");
    assert_int_equal(run(CALL_FOLLOW), OUTCOME_UNREACHABLE);
    assert_true(strstr(site->result.text, "no metaserver is configured") != NULL);
}

/* ---- the check ---- */

static void all_dcs_are_checked(void **state)
{
    (void)state;
    answer_check(&site->source);
    answer_check(&site->dest);
    assert_int_equal(run(CALL_CHECK), OUTCOME_OK);
    assert_int_equal(scene.dcs_that_answered, 2);
    assert_false(scene.judged_as_disaster);
    assert_true(saw(&site->source, "GET /api/meta/changeprimarydc/check/c%201/s1/oy"));
    assert_true(strstr(site->result.text, "Check success") != NULL);
    scene.judge_says_no = true;
    assert_int_equal(run(CALL_CHECK), OUTCOME_REFUSED);
    assert_true(strstr(site->result.text, "the judge says no") != NULL);
    scene.judge_says_later = true;
    assert_int_equal(run(CALL_CHECK), OUTCOME_NOT_YET);
    scene.judge_says_later = false;
    script_answer(&site->dest, 500, "{\"message\":\"the step waited too long\"}");
    assert_int_equal(run(CALL_CHECK), OUTCOME_NOT_YET); /* it is there, and busy */
}

static void a_dead_source_is_a_disaster_only_when_nothing_was_asked_for(void **state)
{
    (void)state;
    script_stop(&site->source);
    answer_check(&site->dest);
    assert_int_equal(run(CALL_CHECK), OUTCOME_OK);
    assert_true(scene.judged_as_disaster);
    site->row.mode = MODE_PLANNED;
    assert_int_equal(run(CALL_CHECK), OUTCOME_OK);
    assert_false(scene.judged_as_disaster);
    scene.judge_says_no = true;
    script_stop(&site->dest);
    assert_int_equal(run(CALL_CHECK), OUTCOME_UNREACHABLE);
}

/* ---- the same questions outside of a migration ---- */

static struct shard_survey *surveyed;
static bool was_surveyed;

static void on_survey(struct shard_survey *take_survey, void *arg)
{
    (void)arg;
    shard_survey_free(surveyed);
    surveyed = take_survey;
    was_surveyed = true;
}

static bool is_surveyed(void *arg)
{
    (void)arg;
    return was_surveyed;
}

static struct shard_survey *survey_new(void)
{
    struct xp_err err = { 0 };
    struct shard_survey *survey = xcalloc(1, sizeof(*survey));
    assert_int_equal(shard_survey_add(survey, "jq", true, false, &err), 0);
    assert_int_equal(shard_survey_add(survey, "oy", false, true, &err), 0);
    return survey;
}

static void start_survey(struct loop_timer *t)
{
    (void)t;
    was_surveyed = false;
    migration_survey_start(site->calls, "c 1", "s1", survey_new(), on_survey, NULL);
    assert_false(was_surveyed); /* never inside the call */
}

static void survey_when_closed(struct loop_timer *t)
{
    (void)t;
    was_surveyed = false;
    migration_calls_close(site->calls);
    migration_survey_start(site->calls, "c 1", "s1", survey_new(), on_survey, NULL);
}

static void run_survey(void (*start)(struct loop_timer *))
{
    loop_timer_init(&start_timer, site->loop, start);
    loop_timer_start(&start_timer, 0);
    was_surveyed = false;
    assert_true(script_wait(&site->source, is_surveyed, NULL, SCRIPT_LIMIT_MS));
}

static void a_survey_asks_all_dcs(void **state)
{
    (void)state;
    answer_check(&site->source);
    script_stop(&site->dest);
    run_survey(start_survey);
    assert_int_equal(surveyed->count, 2);
    assert_true(saw(&site->source, "GET /api/meta/changeprimarydc/check/c%201/s1/oy"));
    assert_non_null(shard_survey_source(surveyed)->check);
    assert_true(shard_survey_source(surveyed)->took_us > 0);
    assert_null(shard_survey_dest(surveyed)->check);
    assert_true(shard_survey_dest(surveyed)->is_unreachable);
    assert_non_null(shard_survey_dest(surveyed)->error);
    assert_int_equal(migration_calls_active(site->calls), 0);
    run_survey(survey_when_closed);
    assert_null(surveyed);
}

/* ---- the outer client ---- */

static void without_an_outer_client_nobody_is_told(void **state)
{
    (void)state;
    assert_int_equal(run(CALL_PRECHECK), OUTCOME_OK);
    assert_int_equal(run(CALL_PUBLISH), OUTCOME_OK);
    assert_true(strstr(site->result.publish_info, "\"told\":false") != NULL);
    assert_true(strstr(site->result.publish_info, "[\"10.1.0.1:6379\"]") != NULL);
}

static void outer(const char *credis, const char *webhook)
{
    outer_client_configure(site->outer, &(struct outer_settings){ .credis_url = credis,
                                                                  .webhook_url = webhook,
                                                                  .connect_timeout_ms = 300,
                                                                  .timeout_ms = 1000 });
}

static void the_outer_client_is_asked_and_told(void **state)
{
    (void)state;
    char *url AUTO_FREE = xasprintf("http://127.0.0.1:%d/", site->dest.port);
    outer(url, "");
    script_answer(&site->dest, 200, "true");
    assert_int_equal(run(CALL_PRECHECK), OUTCOME_OK);
    assert_true(saw(&site->dest, "POST /keeperApi/checkcluster/c%201 "));
    script_answer(&site->dest, 200, "false");
    assert_int_equal(run(CALL_PRECHECK), OUTCOME_REFUSED);
    assert_int_equal(site->dest.requests, 1 + 3);
    script_answer(&site->dest, 200, "{\"Success\":true,\"Message\":\"fine\"}");
    assert_int_equal(run(CALL_PUBLISH), OUTCOME_OK);
    assert_true(saw(&site->dest, "POST /keeperApi/primarydc/c%201/oy [\"10.1.0.1:6379\"]"));
    assert_true(strstr(site->result.publish_info, "\"told\":true") != NULL);
    script_answer(&site->dest, 200, "{\"success\":false,\"message\":\"no such cluster\"}");
    assert_int_equal(run(CALL_PUBLISH), OUTCOME_REFUSED);
    assert_true(strstr(site->result.publish_info, "no such cluster") != NULL);
    site->dest.is_held = true;
    assert_int_equal(run(CALL_PUBLISH), OUTCOME_REFUSED);
}

static void a_webhook_is_told(void **state)
{
    (void)state;
    char *url AUTO_FREE = xasprintf("http://127.0.0.1:%d/hook", site->dest.port);
    outer("", url);
    script_answer(&site->dest, 204, "");
    assert_int_equal(run(CALL_PRECHECK), OUTCOME_OK);
    assert_int_equal(site->dest.requests, 0);
    assert_int_equal(run(CALL_PUBLISH), OUTCOME_OK);
    assert_true(saw(&site->dest, "POST /hook {"));
    assert_true(saw(&site->dest, "\"event\":\"switched\""));
    script_stop(&site->dest);
    assert_int_equal(run(CALL_PUBLISH), OUTCOME_REFUSED);
}

static int news_to_tell;

static void start_news(struct loop_timer *t)
{
    (void)t;
    for (; news_to_tell > 0; news_to_tell--) {
        outer_diverged(site->outer, json_pack("{s:s}", "event", "diverged"));
    }
}

static void tell_news(int count)
{
    static struct loop_timer timer;
    news_to_tell = count;
    loop_timer_init(&timer, site->loop, start_news);
    loop_timer_start(&timer, 0);
}

static bool has_requests(void *arg)
{
    return site->dest.requests >= *(const int *)arg;
}

static void wait_requests(int count)
{
    assert_true(script_wait(&site->source, has_requests, &count, SCRIPT_LIMIT_MS));
}

/* A webhook that is busy with news takes a publication all the same; more news than OUTER_NEWS_MAX is left out. */
static void no_switch_waits_behind_news(void **state)
{
    (void)state;
    char *url AUTO_FREE = xasprintf("http://127.0.0.1:%d/hook", site->dest.port);
    outer_client_configure(site->outer, &(struct outer_settings){ .credis_url = "",
                                                                  .webhook_url = url,
                                                                  .connect_timeout_ms = 300,
                                                                  .timeout_ms = SCRIPT_LIMIT_MS });
    script_answer(&site->dest, 204, "");
    site->dest.is_held = true;
    tell_news(OUTER_NEWS_MAX + 5);
    wait_requests(1); /* held: the others wait behind it */
    assert_int_equal(run(CALL_PUBLISH), OUTCOME_OK);
    assert_int_equal(site->dest.requests, 2);
    script_release(&site->dest);
    wait_requests(OUTER_NEWS_MAX + 1);
    assert_int_equal(run(CALL_PUBLISH), OUTCOME_OK); /* behind it the last news has ended */
    assert_int_equal(site->dest.requests, OUTER_NEWS_MAX + 2);
    tell_news(1);
    wait_requests(OUTER_NEWS_MAX + 3);
    assert_int_equal(run(CALL_PUBLISH), OUTCOME_OK);
    assert_int_equal(site->dest.requests, OUTER_NEWS_MAX + 4);
}

/* ---- fault points ---- */

/* Only builds with fault points; in the others there is nothing to be set. */
static void faults_before_and_after_each_call(void **state)
{
    (void)state;
    static const struct {
        enum migration_call call;
        const char *before, *after;
    } points[] = {
        { CALL_CHECK, "migration_before_check=error", "migration_after_check=error" },
        { CALL_HOLD, "migration_before_hold=error", "migration_after_hold=error" },
        { CALL_DRAIN, "migration_before_drain=error", "migration_after_drain=error" },
        { CALL_FREEZE, "migration_before_freeze=error", "migration_after_freeze=error" },
        { CALL_PROMOTE, "migration_before_promote=error", "migration_after_promote=error" },
        { CALL_DEMOTE, "migration_before_demote=error", "migration_after_demote=error" },
        { CALL_RELEASE, "migration_before_release=error", "migration_after_release=error" },
        { CALL_FOLLOW, "migration_before_follow=error", "migration_after_follow=error" },
        { CALL_PRECHECK, "migration_before_precheck=error", "migration_after_precheck=error" },
        { CALL_PUBLISH, "migration_before_publish=error", "migration_after_publish=error" },
    };
    struct xp_err err = { 0 };
    for (size_t i = 0; i < ARRAY_LEN(points); i++) {
        if (fault_configure(points[i].before, &err) < 0) {
            assert_int_equal(err.code, XP_UNSUPPORTED);
            return;
        }
        assert_int_equal(run(points[i].call), OUTCOME_UNREACHABLE);
        assert_int_equal(site->source.requests + site->dest.requests, 0);
        assert_int_equal(fault_configure(points[i].after, &err), 0);
        assert_int_equal(run(points[i].call), OUTCOME_UNKNOWN);
        site->source.requests = site->dest.requests = 0;
    }
    assert_int_equal(fault_configure("", &err), 0);
}

/* ---- ends ---- */

static bool source_asked(void *arg)
{
    return ((struct site *)arg)->source.held != NULL;
}

static void a_forgotten_migration_is_not_answered(void **state)
{
    (void)state;
    site->source.is_held = true;
    next_call = CALL_HOLD;
    loop_timer_init(&start_timer, site->loop, start_call);
    loop_timer_start(&start_timer, 0);
    assert_true(script_wait(&site->source, source_asked, site, SCRIPT_LIMIT_MS));
    assert_int_equal(migration_calls_active(site->calls), 1);
    migration_calls_forget(site->calls, 11);
    assert_int_equal(migration_calls_active(site->calls), 0);
    answer_fence(&site->source, FENCE_HELD, EPOCH);
    script_release(&site->source);
    assert_int_equal(run(CALL_HOLD), OUTCOME_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_sources_metaserver_holds, setup, teardown),
        cmocka_unit_test_setup_teardown(its_refusal_and_a_higher_epoch_are_the_last_word, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_silent_source_is_fenced_from_here, setup, teardown),
        cmocka_unit_test_setup_teardown(a_silent_source_costs_little_time, setup, teardown),
        cmocka_unit_test_setup_teardown(a_dead_source_is_fenced_through_the_destination, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(nobody_reaches_the_source, setup, teardown),
        cmocka_unit_test_setup_teardown(a_source_that_may_have_done_it_is_unknown, setup, teardown),
        cmocka_unit_test_setup_teardown(the_word_of_xpipe_is_proved_from_here, setup, teardown),
        cmocka_unit_test_setup_teardown(a_release_that_failed_there_is_tried_here, setup, teardown),
        cmocka_unit_test_setup_teardown(a_promotion_has_each_outcome, setup, teardown),
        cmocka_unit_test_setup_teardown(xpipe_knows_no_drain, setup, teardown),
        cmocka_unit_test_setup_teardown(a_drain_goes_ahead_of_its_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(a_drain_ahead_is_taken_over_while_it_runs, setup, teardown),
        cmocka_unit_test_setup_teardown(a_drain_ahead_of_other_data_is_dropped, setup, teardown),
        cmocka_unit_test_setup_teardown(a_hold_by_word_sends_nothing_ahead, setup, teardown),
        cmocka_unit_test_setup_teardown(a_demotion_names_the_source, setup, teardown),
        cmocka_unit_test_setup_teardown(other_dcs_follow, setup, teardown),
        cmocka_unit_test_setup_teardown(all_dcs_are_checked, setup, teardown),
        cmocka_unit_test_setup_teardown(a_survey_asks_all_dcs, setup, teardown),
        cmocka_unit_test_setup_teardown(a_dead_source_is_a_disaster_only_when_nothing_was_asked_for,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(without_an_outer_client_nobody_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(the_outer_client_is_asked_and_told, setup, teardown),
        cmocka_unit_test_setup_teardown(no_switch_waits_behind_news, setup, teardown),
        cmocka_unit_test_setup_teardown(a_webhook_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(faults_before_and_after_each_call, setup, teardown),
        cmocka_unit_test_setup_teardown(a_forgotten_migration_is_not_answered, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
