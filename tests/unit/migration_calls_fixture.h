/* migration_calls_fixture.h - the remote calls of a migration between scripted metaservers of both DCs.
 *
 * The fence from the console itself (fence_run) and the judgment are stand-ins: 'scene' says what they find and what they were asked.
 * A test is CALLS_TEST(name): 'site' is a store with the one-way cluster "c 1" in jq (active) and oy, and a row of its migration to oy. */
#ifndef TESTS_UNIT_MIGRATION_CALLS_FIXTURE_H
#define TESTS_UNIT_MIGRATION_CALLS_FIXTURE_H

#include "console/migration/migration_calls.h"
#include "console/migration/switch_judge.h"
#include "shared/switch/fence.h"
#include "tests/unit/console_fixture.h"
#include "tests/unit/console_script.h"

#define EPOCH    7
#define ID       11
#define OTHER_ID 12

/* ---- stand-ins ---- */

struct fence_run {
    struct fence_options o;
    struct loop_timer timer;
};
static struct {
    enum fence_state state; /* what a run from the console finds */
    int runs;
    enum fence_goal goal;
    struct addr hint;
    struct fence_saved saved; /* that it is told */
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
    scene.hint = o->hint;
    scene.saved = o->saved;
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
    struct migration_shard_row shard;
    struct migration_follow_row follow;
    struct migration_cluster_row row;
    bool has_result;
    struct migration_result result;    /* of the call that was asked for */
    struct migration_result behind[4]; /* of those that went on by themselves */
    size_t behind_count;
};
static struct site *site;

static inline void must(const char *method, const char *target, const char *body)
{
    call_must(&site->f, method, target, body);
}

static inline void create_cluster(void)
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

static int64_t fence_ms = 300; /* of the next configure() */

static inline void configure(const char *metaservers)
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

static inline void configure_both(void)
{
    char *urls AUTO_FREE =
        xasprintf("{\"JQ\":\"http://127.0.0.1:%d/\",\"oy\":\"http://127.0.0.1:%d\"}",
                  site->source.port, site->dest.port);
    configure(urls);
}

static inline void make_row(void)
{
    site->shard = (struct migration_shard_row){
        .id = 1, .shard_id = 1, .fence_offset = 100, .new_master = addr_of("10.1.0.1", 6379)
    };
    (void)snprintf(site->shard.fence_repl_id, sizeof(site->shard.fence_repl_id), "%s", "abc");
    site->follow = (struct migration_follow_row){ .dc_id = 1 };
    static char cluster[] = "c 1";
    static char jq[] = "jq";
    static char oy[] = "oy";
    static char s1[] = "s1";
    site->shard.name = s1;
    site->follow.dc = jq;
    site->row = (struct migration_cluster_row){ .id = ID,
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

static inline int site_open(void **state)
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

static inline void forget_behind(struct site *s)
{
    while (s->behind_count > 0) {
        migration_result_done(&s->behind[--s->behind_count]);
    }
}

static inline int site_close(void **state)
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
    forget_behind(s);
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

static enum migration_call next_call;

static inline void on_result(struct migration_result *take_result, int64_t id, void *arg)
{
    struct site *s = arg;
    assert_true(id == ID || id == OTHER_ID);
    if (take_result->call != next_call || s->has_result) {
        assert_true(s->behind_count < ARRAY_LEN(s->behind));
        s->behind[s->behind_count++] = *take_result;
        return;
    }
    migration_result_done(&s->result);
    s->result = *take_result;
    s->has_result = true;
}

static inline bool has_result(void *arg)
{
    return ((struct site *)arg)->has_result;
}

static inline bool is_idle(void *arg)
{
    return migration_calls_active(((struct site *)arg)->calls) == 0;
}

static struct loop_timer start_timer;

static inline void start_call(struct loop_timer *t)
{
    (void)t;
    struct migration_plan_call plan = { .call = next_call, .shard = 0, .follow = 0 };
    if (next_call == CALL_FOLLOW || next_call == CALL_PUBLISH || next_call == CALL_PRECHECK) {
        plan.shard = 1;
    }
    migration_call_start(site->calls, &site->row, &plan, on_result, site);
    assert_false(site->has_result); /* never inside the call */
}

/* Waits for its own result; wait_idle for those of what goes on by itself. */
static inline enum call_outcome run_call(enum migration_call which)
{
    site->has_result = false;
    forget_behind(site);
    next_call = which;
    loop_timer_init(&start_timer, site->loop, start_call);
    loop_timer_start(&start_timer, 0);
    assert_true(script_wait(&site->source, has_result, site, SCRIPT_LIMIT_MS));
    assert_int_equal(site->result.call, which);
    assert_non_null(site->result.text);
    assert_true(migration_calls_active(site->calls) <= (int)site->result.goes_on);
    return site->result.outcome;
}

static inline void wait_idle(void)
{
    assert_true(script_wait(&site->source, is_idle, site, SCRIPT_LIMIT_MS));
}

/* ---- answers ---- */

static inline void answer_fence(struct script *s, enum fence_state state, int64_t epoch)
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

/* As x-pipe's Java metaserver answers. */
static inline void answer_java_fence(struct script *s)
{
    script_answer(s, 200,
                  "{\"masterAddr\":{\"host\":\"10.0.0.1\",\"port\":6379},\"masterInfo\":{"
                  "\"role\":\"SLAVE\",\"masterReplOffset\":123,\"replId\":"
                  "\"0123456789012345678901234567890123456789\",\"keeper\":false},"
                  "\"message\":\"[info][2024-01-01T00:00:00.000]done\\n\"}");
}

static inline void answer_change(struct script *s, bool is_success, bool is_stale)
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

static inline void answer_check(struct script *s)
{
    struct switch_check *check = xcalloc(1, sizeof(*check));
    check->type = CHECK_SUCCESS;
    check->is_ours = true;
    json_auto_t *json = switch_check_to_json(check);
    char *text AUTO_FREE = json_dumps(json, 0);
    script_answer(s, 200, text);
    free(check);
}

static inline bool saw(const struct script *s, const char *text)
{
    return strstr(str_text(&s->seen), text) != NULL;
}

#define CALLS_TEST(name) cmocka_unit_test_setup_teardown(name, site_open, site_close)

#endif
