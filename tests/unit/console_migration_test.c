/* Migrations over the REST face: bodies as x-pipe writes them, refusals, locks; the engine is a script. */
#include <sqlite3.h>

#include "tests/unit/console_calls.h"

#include "shared/base/banned.h"

/* ---- the engine ---- */

static struct {
    char asked[512];
    int rc;
    const char *text;
    int wait_rc; /* how a wait for the end ends: at once */
    enum migration_status rest;
    int64_t waited_for;
} script;

static void scripted_ask(struct migration_engine *engine, int64_t event_id,
                         int64_t migration_cluster_id, enum migration_ask ask, const char *actor,
                         migration_asked_fn *done, void *arg)
{
    (void)engine;
    (void)actor;
    struct xp_err err = { 0 };
    size_t length = strlen(script.asked);
    (void)snprintf(script.asked + length, sizeof(script.asked) - length, "%lld/%lld/%d ",
                   (long long)event_id, (long long)migration_cluster_id, (int)ask);
    if (script.rc < 0) {
        (void)xp_fail(&err, (enum xp_code)script.rc, "%s", script.text);
    }
    done(script.rc, &err, arg);
}

static void scripted_wake(struct migration_engine *engine)
{
    (void)engine;
}

static void scripted_wait(struct migration_waits *waits, int64_t migration_cluster_id,
                          mono_ms deadline, migration_waited_fn *fn, void *arg)
{
    (void)waits;
    assert_true(deadline > clock_mono_ms() + 10000 && deadline <= clock_mono_ms() + 15000);
    script.waited_for = migration_cluster_id;
    fn(script.wait_rc, script.rest, arg);
}

static void asked(const char *expected)
{
    assert_string_equal(script.asked, expected);
    script.asked[0] = '\0';
}

static void world(void)
{
    memset(&script, 0, sizeof(script));
    f.api.migration = (struct migration_port){ .engine = (struct migration_engine *)&script,
                                               .ask = scripted_ask,
                                               .wake = scripted_wake,
                                               .waits = f.waits,
                                               .wait = scripted_wait };
    f.api.migration_timeout_ms = 15000;
    base_data();
    must("POST", "/api/clusters", DEMO);
    must("POST", "/api/clusters",
         "{\"clusterName\":\"bi\",\"clusterType\":\"BI_DIRECTION\",\"dcs\":[\"jq\",\"FRA\"],"
         "\"desc\":\"d\",\"organizationId\":8,\"clusterAdminEmails\":\"a@b.c\"}");
    expect("POST", "/api/shards/demo/s1",
           "[{\"dcId\":\"jq\",\"redises\":\"10.0.0.1:6379\"},{\"dcId\":\"oy\",\"redises\":\"10.0.0."
           "2:6379\"}]",
           200, "{\"state\":0,\"message\":\"Successfully created shard\"}");
}

#define PREPARE "/api/migration/checkandprepare"
#define PREPARED                                                                                   \
    "{\"ticketId\":1,\"results\":[{\"clusterName\":\"demo\",\"fromIdc\":\"jq\",\"toIdc\":\"oy\","  \
    "\"msg\":null,\"success\":true,\"failReason\":null}]}"

static void prepare(void)
{
    expect("POST", PREPARE,
           "{\"fromIdc\":\"jq\",\"toIdc\":\"oy\",\"clusters\":[\"demo\"],\"isForce\":false}", 200,
           PREPARED);
}

static void tickets(void **state)
{
    (void)state;
    world();
    expect("POST", PREPARE, "{\"fromIdc\":\"jq\",\"toIdc\":\"oy\",\"clusters\":[\"none\"]}", 200,
           "{\"ticketId\":-1,\"results\":[{\"clusterName\":\"none\",\"fromIdc\":\"jq\",\"toIdc\":"
           "null,\"msg\":\"cluster not found:none\",\"success\":false,\"failReason\":\"CLUSTER_"
           "NOT_FOUND\"}]}");
    prepare();
    prepare(); /* on its way there: its ticket */
    expect("POST", PREPARE, "{\"fromIdc\":\"jq\",\"clusters\":[\"demo\",\"DEMO\"]}", 400,
           "{\"message\":\"clusters: DEMO is named twice\",\"exception\":\"INVALID\"}");
    expect("POST", PREPARE, "{\"fromIdc\":\"jq\"}", 400,
           "{\"message\":\"clusters: it is missing\",\"exception\":\"INVALID\"}");
    expect("GET", "/api/migration/checkstatus/1", NULL, 200,
           "{\"results\":[{\"clusterName\":\"demo\",\"fromIdc\":\"jq\",\"toIdc\":\"oy\",\"status\":"
           "\"INITED\",\"percent\":0,\"msg\":\"Initiated\",\"reason\":null,\"unfenced\":false,"
           "\"lostBytes\":0}]}");
    expect("GET", "/api/migration/checkstatus/9", NULL, 200, "{\"results\":[]}");
    expect("POST", "/api/migration/domigration", "{\"ticketId\":9}", 200,
           "{\"success\":false,\"msg\":\"event not found:9\"}");
    asked("");
    expect("POST", "/api/migration/domigration", "{\"ticketId\":1}", 200,
           "{\"success\":true,\"msg\":\"success!\"}");
    asked("1/0/1 ");
}

static void rollbacks(void **state)
{
    (void)state;
    world();
    prepare();
    expect("POST", "/api/migration/rollback", "{\"ticketId\":1,\"clusters\":[]}", 200,
           "{\"results\":[]}");
    expect("POST", "/api/migration/rollback", "{\"ticketId\":1,\"clusters\":[\"demo\",\"x\"]}", 200,
           "{\"results\":[{\"clusterName\":\"demo\",\"fromIdc\":\"jq\",\"toIdc\":\"oy\",\"msg\":"
           "\"success\",\"success\":true},{\"clusterName\":\"x\",\"fromIdc\":null,\"toIdc\":null,"
           "\"msg\":\"cluster not found:x\",\"success\":false}]}");
    asked("1/1/2 ");
    expect("POST", "/api/migration/cancel", "{\"ticketId\":1}", 200,
           "{\"results\":[{\"clusterName\":\"demo\",\"fromIdc\":\"jq\",\"toIdc\":\"oy\",\"msg\":"
           "\"success\",\"success\":true}]}");
    asked("1/1/2 ");
    script.rc = XP_CONFLICT;
    script.text = "already success, can not tryRollback";
    expect("POST", "/api/migration/rollback", "{\"ticketId\":1,\"clusters\":[\"demo\"]}", 200,
           "{\"results\":[{\"clusterName\":\"demo\",\"fromIdc\":null,\"toIdc\":null,\"msg\":"
           "\"already success, can not tryRollback\",\"success\":false}]}");
    expect("POST", "/api/migration/rollback", "{\"ticketId\":7,\"clusters\":[\"demo\"]}", 200,
           "{\"results\":[{\"clusterName\":\"demo\",\"fromIdc\":null,\"toIdc\":null,\"msg\":"
           "\"event not found:7\",\"success\":false}]}");
}

/* F40: one refusal for every edit, 409 in both modes; not for what is no topology. */
static void topology_stays_while_locked(void **state)
{
    (void)state;
    world();
    prepare();
    static const struct {
        const char *method, *path, *body;
    } edits[] = {
        { "DELETE", "/api/cluster/demo?checkEmpty=false", NULL },
        { "POST", "/api/clusters/demo/dcs/FRA", NULL },
        { "DELETE", "/api/clusters/demo/dcs/oy", NULL },
        { "POST", "/api/shards/demo", "[{\"shardName\":\"s2\",\"shardMonitorName\":\"s2\"}]" },
        { "POST", "/api/shards/demo/s2", "[{\"dcId\":\"jq\",\"redises\":\"10.0.0.9:6379\"}]" },
        { "DELETE", "/api/shards/demo/s1", NULL },
        { "DELETE", "/api/shards/demo/sync", "[\"s1\"]" },
        { "POST", "/api/redises/jq/demo/s1", "[\"10.0.0.9:6379\"]" },
        { "DELETE", "/api/redises/jq/demo/s1", "[\"10.0.0.1:6379\"]" },
        { "POST", "/api/keepers/jq/demo/s1", NULL },
        { "DELETE", "/api/keepers/jq/demo/s1", NULL },
        { "POST", "/console/clusters/demo/designated-routes/jq", "[]" },
    };
    for (size_t i = 0; i < ARRAY_LEN(edits); i++) {
        struct reply r CLEANUP(reply_done) =
            call(&f, edits[i].method, edits[i].path, edits[i].body);
        if (r.status != 409 || !strstr(r.body, "cluster demo is in status Lock")) {
            fail_msg("%s %s: %d %s", edits[i].method, edits[i].path, r.status, r.body);
        }
    }
    must("PUT", "/api/cluster", "{\"clusterName\":\"demo\",\"desc\":\"another\"}");
}

#define EVENTS "/console/migration/events"

static void pages(void **state)
{
    (void)state;
    world();
    expect("POST", EVENTS,
           "{\"event\":{\"migrationClusters\":[{\"clusterId\":1,\"sourceDcId\":1,"
           "\"destinationDcId\":3}]}}",
           400, "{\"message\":\"Target DC Id Illegal for cluster: 1\",\"exception\":\"INVALID\"}");
    expect("POST", EVENTS,
           "{\"event\":{\"migrationClusters\":[{\"clusterId\":1,\"sourceDcId\":1,"
           "\"destinationDcId\":2,\"cluster\":{\"clusterName\":\"demo\"}}]}}",
           200, "{\"value\":1}");
    struct reply list CLEANUP(reply_done) = call(&f, "GET", EVENTS "?page=0&size=10", NULL);
    assert_non_null(strstr(list.body, "{\"data\":[{\"event\":{\"id\":1,\"startTime\":\""));
    assert_non_null(strstr(list.body, "\"operator\":\"xpipe\""));
    assert_non_null(strstr(list.body,
                           "\"status\":\"Init\",\"clusters\":[\"demo\"]}],\"size\":10,\"page\":0,"
                           "\"totalSize\":1}"));
    const char *none = "{\"data\":[],\"size\":10,\"page\":0,\"totalSize\":0}";
    expect("GET", EVENTS "?page=0&size=10&clusterName=bi", NULL, 200, none);
    expect("GET", EVENTS "/by/migration/status/type?type=Fail&page=0&size=10", NULL, 200, none);
    expect("GET", EVENTS "/by/operator?operator=nobody&page=0&size=10", NULL, 200, none);
    struct reply detail CLEANUP(reply_done) = call(&f, "GET", EVENTS "/1", NULL);
    assert_non_null(
        strstr(detail.body,
               "[{\"migrationCluster\":{\"id\":1,\"clusterName\":\"demo\",\"migrationEventId\":1,"
               "\"clusterId\":1,\"sourceDcName\":\"jq\",\"destinationDcName\":\"oy\","));
    assert_non_null(
        strstr(detail.body, "\"status\":\"Initiated\",\"statusType\":\"Init\",\"end\":false"));
    assert_non_null(strstr(detail.body, "\"shard\":{\"shardName\":\"s1\"}"));
    expect("POST", EVENTS "/1/clusters/1", NULL, 200, "");
    expect("POST", EVENTS "/1/clusters/1/tryRollback", NULL, 200, "");
    expect("POST", EVENTS "/1/clusters/1/rollback", NULL, 200, "");
    expect("POST", EVENTS "/1/clusters/1/forceProcess", NULL, 200, "");
    expect("POST", EVENTS "/1/clusters/1/forceEnd", NULL, 200, "");
    asked("1/1/1 1/1/2 1/1/2 1/1/3 1/1/4 ");
    expect("POST", EVENTS "/1/clusters/8", NULL, 404,
           "{\"message\":\"event 1, cluster:8 not found\",\"exception\":\"NOT_FOUND\"}");
    script.rc = XP_CONFLICT;
    script.text = "cannot cancel while Initiated";
    expect("POST", EVENTS "/1/clusters/1/forceProcess", NULL, 500,
           "{\"message\":\"cannot cancel while Initiated\",\"exception\":\"CONFLICT\"}");
}

static void health_and_switches(void **state)
{
    (void)state;
    world();
    const char *well = "{\"state\":0,\"message\":\"success\"}";
    expect("GET", "/api/migration/migration/system/health/status", NULL, 200, well);
    expect("GET", "/api/migration/system/health/status", NULL, 200, well);
    expect("GET", "/console/migration/system/health/status", NULL, 200, well);
    expect("GET", "/api/migration/system/health", NULL, 200,
           "{\"status\":\"HEALTH\",\"message\":\"\",\"checkStartTime\":0,\"checkUseTimeMill\":{"
           "\"database\":0}}");
    expect("GET", "/console/migration/default/cluster", NULL, 200, "null");
    expect("POST", "/api/config/ignore/migration/system/availability/true", NULL, 200, "");
    expect("POST", "/api/config/allow/migration/auto/false", "{\"updateUser\":\"u\"}", 200, "");
    expect("POST", "/api/config/allow/migration/auto/maybe", NULL, 400,
           "{\"message\":\"maybe is not true or false\",\"exception\":\"INVALID\"}");
    struct reply r CLEANUP(reply_done) = call(&f, "POST", "/api/debug/reset/clusters/jq", NULL);
    assert_int_equal(r.status, 501);
}

static void history_and_progress(void **state)
{
    (void)state;
    world();
    prepare();
    expect("GET", "/api/migration/history", "{\"from\":-1,\"to\":0,\"clusters\":[\"demo\"]}", 200,
           "{}");
    struct reply r CLEANUP(reply_done) =
        call(&f, "GET", "/api/migration/history", "{\"from\":0,\"clusters\":[\"DEMO\"]}");
    assert_non_null(strstr(r.body, "{\"demo\":[{\"startAt\":"));
    assert_non_null(
        strstr(r.body, "\"endAt\":0,\"sourceDc\":\"jq\",\"destDc\":\"oy\",\"status\":\"Init\"}]}"));
    struct reply q CLEANUP(reply_done) =
        call(&f, "GET", "/api/migration/v2/history?from=0&clusters=demo", NULL);
    assert_non_null(strstr(q.body,
                           "\"clusterType\":\"ONE_WAY\",\"sourceDcs\":[\"jq\"],\"destDcs\":["
                           "\"oy\"],\"status\":\"Init\"}]}"));
    expect(
        "GET", "/api/dr/progress?hours=1&disableCache=true", NULL, 200,
        "{\"total\":1,\"success\":0,\"fail\":0,\"process\":0,\"init\":1,\"avgMigrationSeconds\":0,"
        "\"activeDcs\":{\"jq\":1},\"migrationStatuses\":{\"Initiated\":1}}");
}

static void divergences(void **state)
{
    (void)state;
    world();
    static const char body[] =
        "{\"dc\":\"JQ\",\"cluster\":\"demo\",\"shard\":\"s1\",\"redis\":\"10.0.0.1:6379\","
        "\"replId\":\"abc\",\"offset\":1500,\"promotedOffset\":1000,\"bytes\":500,\"why\":"
        "\"compared\",\"reason\":\"so it is\",\"wallMs\":1700000000000}";
    expect("POST", "/api/v2/divergences", body, 201, "{\"id\":1,\"event\":null}");
    int64_t version = store_version(f.store);
    expect("POST", "/api/v2/divergences", body, 200, "{\"id\":1,\"event\":null}");
    assert_int_equal(store_version(f.store), version); /* the same again is nothing new */
    expect("POST", "/api/v2/divergences",
           "{\"dc\":\"jq\",\"cluster\":\"demo\",\"shard\":\"s1\",\"redis\":\"10.0.0.1:6379\","
           "\"replId\":\"abc\",\"offset\":1,\"bytes\":1,\"wallMs\":1699999999999}",
           200, "{\"id\":1,\"event\":null}");
    assert_int_equal(store_version(f.store), version); /* an older one does not come back */
    expect("POST", "/api/v2/divergences",
           "{\"dc\":\"jq\",\"cluster\":\"demo\",\"shard\":\"s1\",\"redis\":\"10.0.0.9:6379\","
           "\"wallMs\":1700000000001}",
           201, "{\"id\":2,\"event\":null}");
    struct reply all CLEANUP(reply_done) =
        call(&f, "GET", "/api/v2/divergences?cluster=DEMO", NULL);
    assert_int_equal(all.status, 200);
    assert_non_null(strstr(all.body, "{\"items\":[{\"id\":2,\"cluster\":\"demo\",\"shard\":\"s1\","
                                     "\"dc\":\"jq\",\"event\":null,\"redis\":\"10.0.0.9:6379\""));
    assert_non_null(strstr(all.body, "\"offset\":null,\"promotedOffset\":null,\"bytes\":null,"));
    assert_non_null(strstr(all.body, "\"offset\":1500,\"promotedOffset\":1000,\"bytes\":500,"
                                     "\"why\":\"compared\",\"reason\":\"so it is\",\"seenAt\":"
                                     "\"2023-11-14T22:13:20.000+0000\""));
    assert_non_null(strstr(all.body, "\"next\":null}"));
    struct reply page CLEANUP(reply_done) =
        call(&f, "GET", "/api/v2/divergences?limit=1&after=2", NULL);
    assert_non_null(strstr(page.body, "{\"items\":[{\"id\":1,"));
    assert_non_null(strstr(page.body, "\"next\":1}"));
}

static void odd_divergences_are_refused(void **state)
{
    (void)state;
    world();
    static const struct {
        const char *fields;
        int status;
        const char *named;
    } odd[] = {
        { "\"redis\":\"10.0.0.1\"", 400, "redis" },
        { "\"redis\":\"no.name:6379\"", 400, "redis" },
        { "\"redis\":\"10.0.0.1:6379\",\"replId\":\"a b\"", 400, "replId" },
        { "\"redis\":\"10.0.0.1:6379\",\"bytes\":-2", 400, "bytes" },
        { "\"redis\":\"10.0.0.1:6379\",\"offset\":\"7\"", 400, "offset" },
        { "\"redis\":\"10.0.0.1:6379\",\"why\":\"<script>\"", 400, "why" },
        { "\"redis\":\"10.0.0.1:6379\",\"wallMs\":-1", 400, "wallMs" },
        { "\"redis\":\"10.0.0.1:6379\",\"shard\":\"s77\"", 404, "shard:s77" },
        { "\"redis\":\"10.0.0.1:6379\",\"cluster\":\"nobody\"", 404, "cluster:nobody" },
        { "\"redis\":\"10.0.0.1:6379\",\"dc\":\"zz\"", 404, "dc:zz" },
    };
    int64_t version = store_version(f.store);
    for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
        AUTO_FREE char *body = xasprintf(
            "{%s%s%s%s%s}", odd[i].fields, strstr(odd[i].fields, "\"dc\"") ? "" : ",\"dc\":\"jq\"",
            strstr(odd[i].fields, "\"cluster\"") ? "" : ",\"cluster\":\"demo\"",
            strstr(odd[i].fields, "\"shard\"") ? "" : ",\"shard\":\"s1\"",
            strstr(odd[i].fields, "\"wallMs\"") ? "" : ",\"wallMs\":1700000000000");
        struct reply r CLEANUP(reply_done) = call(&f, "POST", "/api/v2/divergences", body);
        assert_int_equal(r.status, odd[i].status);
        assert_non_null(strstr(r.body, odd[i].named));
    }
    assert_int_equal(store_version(f.store), version);
    struct reply none CLEANUP(reply_done) =
        call(&f, "GET", "/api/v2/divergences?cluster=nobody", NULL);
    assert_int_equal(none.status, 404);
    struct reply limit CLEANUP(reply_done) = call(&f, "GET", "/api/v2/divergences?limit=0", NULL);
    assert_int_equal(limit.status, 400);
}

static void sql(const char *text)
{
    sqlite3 *raw = NULL;
    AUTO_FREE char *path = xasprintf("%s/console.db", f.dir);
    assert_int_equal(sqlite3_open(path, &raw), SQLITE_OK);
    (void)sqlite3_busy_timeout(raw, 5000);
    assert_int_equal(sqlite3_exec(raw, text, NULL, NULL, NULL), SQLITE_OK);
    (void)sqlite3_close(raw);
}

/* Told of a switch away from its DC that has begun, and shown with it. */
static void a_divergence_belongs_to_the_switch_that_left_it_behind(void **state)
{
    (void)state;
    world();
    prepare();
    static const char *const bodies[] = {
        "{\"dc\":\"jq\",\"cluster\":\"demo\",\"shard\":\"s1\",\"redis\":\"10.0.0.1:6379\","
        "\"bytes\":1,\"wallMs\":1700000000000}",
        "{\"dc\":\"jq\",\"cluster\":\"demo\",\"shard\":\"s1\",\"redis\":\"10.0.0.1:6380\","
        "\"bytes\":500,\"wallMs\":1700000000000}",
        "{\"dc\":\"oy\",\"cluster\":\"demo\",\"shard\":\"s1\",\"redis\":\"10.0.0.1:6381\","
        "\"bytes\":2,\"wallMs\":1700000000000}",
    };
    expect("POST", "/api/v2/divergences", bodies[0], 201, "{\"id\":1,\"event\":null}");
    sql("UPDATE migration_cluster_tbl SET status = 'Success'");
    expect("POST", "/api/v2/divergences", bodies[1], 201, "{\"id\":2,\"event\":1}");
    expect("POST", "/api/v2/divergences", bodies[2], 201, "{\"id\":3,\"event\":null}");
    struct reply event CLEANUP(reply_done) = call(&f, "GET", "/api/v2/migrations/1", NULL);
    assert_non_null(strstr(event.body, "\"lostWrites\":[{\"shard\":\"s1\",\"unfenced\":false,"));
    assert_non_null(
        strstr(event.body, "\"diverged\":[{\"dc\":\"jq\",\"redis\":\"10.0.0.1:6380\","));
    assert_non_null(strstr(event.body, "\"bytes\":500,"));
    assert_null(strstr(event.body, "10.0.0.1:6381"));
}

static void v2(void **state)
{
    (void)state;
    world();
    expect("POST", "/api/v2/migrations?dry_run=true",
           "{\"from\":\"jq\",\"to\":\"oy\",\"clusters\":[\"demo\"]}", 200,
           "{\"id\":null,\"dryRun\":true,\"version\":9,\"clusters\":[{\"cluster\":\"demo\","
           "\"accepted\":true,\"from\":\"jq\",\"to\":\"oy\",\"reason\":null,\"detail\":null}]}");
    struct reply bad CLEANUP(reply_done) =
        call(&f, "POST", "/api/v2/migrations", "{\"from\":\"jq\",\"clusters\":[\"bi\"]}");
    assert_int_equal(bad.status, 409);
    assert_non_null(strstr(bad.body, "\"reason\":\"CLUSTER_NOT_SUPPORT_MIGRATION\""));
    struct reply typo CLEANUP(reply_done) =
        call(&f, "POST", "/api/v2/migrations", "{\"from\":\"jq\",\"cluster\":[\"bi\"]}");
    assert_int_equal(typo.status, 400);
    assert_non_null(strstr(
        typo.body, "{\"type\":\"about:blank\",\"title\":\"INVALID\",\"status\":400,\"detail\":"));
    struct reply made CLEANUP(reply_done) =
        call(&f, "POST", "/api/v2/migrations",
             "{\"from\":\"jq\",\"clusters\":[\"demo\"],\"mode\":\"planned\",\"policy\":\"all\"}");
    assert_int_equal(made.status, 201);
    struct reply one CLEANUP(reply_done) = call(&f, "GET", "/api/v2/migrations/1", NULL);
    assert_non_null(strstr(one.body, "\"policy\":\"all\",\"mode\":\"planned\",\"started\":false,"
                                     "\"clusters\":[{\"cluster\":\"demo\""));
    assert_non_null(strstr(one.body, "{\"step\":\"CHECK\",\"result\":\"waiting\",\"text\":null}"));
    struct reply all CLEANUP(reply_done) = call(&f, "GET", "/api/v2/migrations", NULL);
    assert_non_null(
        strstr(all.body,
               "\"clusters\":[{\"cluster\":\"demo\",\"status\":\"Initiated\"}]}],\"next\":null}"));
    struct reply none CLEANUP(reply_done) = call(&f, "GET", "/api/v2/migrations/5", NULL);
    assert_int_equal(none.status, 404);
    expect("POST", "/api/v2/migrations/1/process", NULL, 202,
           "{\"id\":1,\"action\":\"process\",\"results\":[{\"cluster\":null,\"accepted\":true,"
           "\"code\":null,\"detail\":null}]}");
    expect("POST", "/api/v2/migrations/1/rollback", "{\"clusters\":[\"demo\"]}", 202,
           "{\"id\":1,\"action\":\"rollback\",\"results\":[{\"cluster\":\"demo\",\"accepted\":true,"
           "\"code\":null,\"detail\":null}]}");
    asked("1/0/1 1/1/2 ");
    script.rc = XP_CONFLICT;
    script.text = "cannot cancel while Initiated";
    struct reply no CLEANUP(reply_done) = call(&f, "POST", "/api/v2/migrations/1/force", NULL);
    assert_int_equal(no.status, 409);
    assert_non_null(strstr(no.body, "\"detail\":\"cannot cancel while Initiated\""));
}

static void bad(const char *target, const char *body, int status, const char *named)
{
    struct reply r CLEANUP(reply_done) = call(&f, "POST", target, body);
    if (r.status != status || !strstr(r.body, named)) {
        fail_msg("%s %s: %d %s", target, body ? body : "", r.status, r.body);
    }
}

/* What asks for a plan in a way that is not understood must not act for real. */
static void what_is_meant_as_planned_does_not_act(void **state)
{
    (void)state;
    world();
    prepare();
    static const char *const names[] = { "planHash", "dryRun", "dry_run" };
    static const char *const others[] = { "cancel", "rollback", "force", "force-end" };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        AUTO_FREE char *process = xasprintf("{\"%s\":null}", names[i]);
        AUTO_FREE char *create = xasprintf("{\"from\":\"jq\",\"all\":true,\"%s\":null}", names[i]);
        AUTO_FREE char *named = xasprintf("%s: it is null", names[i]);
        bad("/api/v2/migrations/1/process", process, 400, named);
        bad("/api/v2/migrations", create, 400, named);
    }
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        AUTO_FREE char *target = xasprintf("/api/v2/migrations/1/%s?dry_run=true", others[i]);
        bad(target, NULL, 400, "dry_run");
        AUTO_FREE char *odd = xasprintf("/api/v2/migrations/1/%s?dry_run=1", others[i]);
        bad(odd, NULL, 400, "dry_run");
    }
    asked("");
    expect("POST", "/api/v2/migrations/1/rollback?dry_run=false", NULL, 202,
           "{\"id\":1,\"action\":\"rollback\",\"results\":[{\"cluster\":\"demo\",\"accepted\":true,"
           "\"code\":null,\"detail\":null}]}");
    asked("1/1/2 ");
}

/* ---- with a maker of plans ---- */

#define SOME_HASH                                                                                  \
    "{\"planHash\":\"sha256:0000000000000000000000000000000000000000000000000000000000000000\"}"

static void add_duo(void)
{
    must("POST", "/api/clusters",
         "{\"clusterName\":\"duo\",\"clusterType\":\"ONE_WAY\",\"dcs\":[\"jq\",\"oy\"],\"desc\":"
         "\"d\",\"organizationId\":8,\"clusterAdminEmails\":\"a@b.c\"}");
    expect("POST", "/api/shards/duo/t1",
           "[{\"dcId\":\"jq\",\"redises\":\"10.0.3.1:6379\"},{\"dcId\":\"oy\",\"redises\":\"10.0.3."
           "2:6379\"}]",
           200, "{\"state\":0,\"message\":\"Successfully created shard\"}");
}

static struct plan_maker *give_maker(struct loop *loop)
{
    struct plan_maker *maker = plan_maker_new(&(struct plan_maker_options){ .loop = loop });
    plan_maker_configure(maker, &(struct plan_settings){ .shards_max = 100 });
    f.api.plans = (struct plan_port){ .maker = maker, .decide = switch_plan_decide };
    return maker;
}

/* Once it is asked, the engine tries again whatever of it is paused by then. */
static void an_event_goes_on_as_planned_or_not_at_all(void **state)
{
    (void)state;
    world();
    add_duo();
    struct reply made CLEANUP(reply_done) =
        call(&f, "POST", "/api/v2/migrations", "{\"from\":\"jq\",\"clusters\":[\"demo\",\"duo\"]}");
    assert_int_equal(made.status, 201);
    struct loop *loop = loop_new();
    struct plan_maker *maker = give_maker(loop);
    sql("UPDATE migration_cluster_tbl SET status = 'Migrating' WHERE id = 2");
    bad("/api/v2/migrations/1/process", SOME_HASH, 409,
        "not all of the event has a plan: cluster duo is under way: Migrating; name the clusters");
    asked("");
    plan_maker_free(maker);
    loop_free(loop);
}

/* The workers are gone before what asked the DCs ends. */
static void a_plan_is_refused_while_the_daemon_stops(void **state)
{
    (void)state;
    world();
    prepare();
    add_duo();
    static const char *const targets[] = { "/api/v2/migrations/1/process", "/api/v2/migrations" };
    static const char *const bodies[] = {
        "{\"dryRun\":true}",
        "{\"from\":\"jq\",\"to\":\"oy\",\"clusters\":[\"duo\"],\"dryRun\":true}"
    };
    for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
        struct loop *loop = loop_new();
        struct plan_maker *maker = give_maker(loop);
        struct http_req *req = http_req_new_test("POST", targets[i], bodies[i], &f.api);
        const struct http_route *route = route_of(&f, req, "POST", targets[i]);
        struct http_resp resp = { .status = 200 };
        struct xp_err err = { 0 };
        assert_int_equal(route->handler(req, &resp, &err), HTTP_LATER);
        f.api.pool = NULL;
        loop_free(loop); /* drops what it was to ask */
        const struct http_resp *later;
        const struct xp_err *why;
        assert_int_equal(http_req_result_test(req, &later, &why), XP_UNAVAILABLE);
        assert_non_null(strstr(why->msg, "shutting down"));
        http_resp_done(&resp);
        http_req_free_test(req);
        plan_maker_free(maker);
    }
}

static void exclusions(void **state)
{
    (void)state;
    world();
    expect("GET", "/api/cluster/bi/excludedDcs", NULL, 200, "[]");
    fails("POST", "/console/bi-migration/sync", "{\"clusters\":[\"bi\"],\"excludedDcs\":[\"xx\"]}",
          "dc xx not found");
    fails("POST", "/console/bi-migration/sync", "{\"clusters\":[\"no\"],\"excludedDcs\":[\"jq\"]}",
          "cluster not found:no");
    fails("POST", "/console/bi-migration/sync", "{\"clusters\":[\"bi\"],\"excludedDcs\":[\"oy\"]}",
          "cluster bi is not in all of the DCs [\\\"oy\\\"]");
    fails("POST", "/console/bi-migration/sync",
          "{\"clusters\":[\"bi\"],\"excludedDcs\":[\"jq\",\"FRA-AWS\"]}",
          "cluster bi: no DC would be left, [\\\"jq\\\",\\\"FRA\\\"] are all");
    must("POST", "/console/bi-migration/sync",
         "{\"clusters\":[{\"id\":1,\"clusterName\":\"bi\",\"clusterType\":\"BI_DIRECTION\"},{"
         "\"clusterName\":\"demo\"}],\"excludedDcs\":[{\"dcName\":\"fra-aws\"}]}");
    expect("GET", "/api/cluster/bi/excludedDcs", NULL, 200, "[\"FRA-AWS\"]");
    struct reply r CLEANUP(reply_done) = call(&f, "GET", "/console/bi-migration/events", NULL);
    assert_non_null(strstr(
        r.body, "[{\"id\":1,\"clusterName\":\"bi\",\"operator\":\"xpipe\",\"operationTime\":\""));
    assert_non_null(strstr(r.body, "\"publishInfo\":\"[\\\"FRA\\\"]\",\"status\":\"Success\"}]"));
    struct reply h CLEANUP(reply_done) = call(&f, "GET", "/api/migration/v2/history?from=0", NULL);
    assert_non_null(strstr(h.body, "\"clusterType\":\"BI_DIRECTION\",\"sourceDcs\":[\"FRA-AWS\"],"
                                   "\"destDcs\":[\"jq\"],\"status\":\"Success\"}]"));
    must("POST", "/console/bi-migration/sync", "{\"clusters\":[\"bi\"],\"excludedDcs\":[]}");
    expect("GET", "/api/cluster/bi/excludedDcs", NULL, 200, "[]");
}

#define SYNC    "/api/beacon/migration/sync"
#define BI_SYNC "/api/beacon/migration/bi/sync"
#define GROUP(name, dc, node, down)                                                                \
    "{\"name\":\"" name "\",\"idc\":\"" dc "\",\"nodes\":[\"" node "\"],\"down\":" down            \
    ",\"masterGroup\":true}"
#define JQ_DOWN                                                                                    \
    "\"groups\":[" GROUP("s1+jq", "jq", "10.0.0.1:6379", "true") "," GROUP(                        \
        "s1+oy", "oy", "10.0.0.2:6379",                                                            \
        "false") "],\"failoverGroups\":[\"s1+jq\"],"                                               \
                 "\"recoverGroups\":[],\"checkResults\":[],\"extra\":{\"a\":1}"
#define DOWN "{\"clusterName\":\"demo\",\"isForced\":false,\"targetIDC\":null," JQ_DOWN "}"

static void says(const char *target, const char *body, int code, const char *msg)
{
    char *answer AUTO_FREE = xasprintf("{\"code\":%d,\"msg\":\"%s\",\"success\":%s}", code, msg,
                                       code == 0 ? "true" : "false");
    expect("POST", target, body, 200, answer);
}

static void a_monitor_asks(void **state)
{
    (void)state;
    world();
    script.rest = MIG_SUCCESS;
    says(SYNC, DOWN, 0, "success");
    asked("1/1/1 ");
    assert_int_equal(script.waited_for, 1);
    struct reply event CLEANUP(reply_done) = call(&f, "GET", "/api/v2/migrations/1", NULL);
    assert_non_null(strstr(event.body, "\"operator\":\"Beacon\""));
    assert_non_null(strstr(event.body, "\"mode\":\"disaster\""));
    script.rest = MIG_CHECKING_FAIL; /* asked again: the same event goes on */
    says(SYNC, DOWN, 1, "demo migration stopped with CheckingFail");
    asked("1/1/1 ");
    script.wait_rc = XP_TIMEOUT;
    expect("POST", SYNC, DOWN, 503,
           "{\"message\":\"the migration of cluster demo goes on, event 1: ask again later\","
           "\"exception\":\"UNAVAILABLE\"}");
    script.wait_rc = XP_UNAVAILABLE;
    struct reply down CLEANUP(reply_done) = call(&f, "POST", SYNC, DOWN);
    assert_int_equal(down.status, 503);
    script.asked[0] = '\0';
    script.rc = XP_CONFLICT;
    script.text = "already force publish, can not tryRollback";
    says(SYNC, DOWN, 1, script.text);
    says(SYNC, "{\"clusterName\":\"demo\",\"isForced\":true,\"targetIDC\":\"jq\"}", -1,
         "demo migration conflict, my target dc jq, but current migration target dc oy");
}

/* The rest of the group s1+jq as it is: only where it stands differs. */
#define IN_AZ(az)                                                                                  \
    "{\"clusterName\":\"demo\",\"groups\":[{\"name\":\"s1+jq\",\"idc\":\"jq\",\"az\":\"" az        \
    "\",\"nodes\":[\"10.0.0.1:6379\"]}," GROUP("s1+oy", "oy", "10.0.0.2:6379", "false") "]}"

static void a_monitor_tells_availability_zones(void **state)
{
    (void)state;
    world();
    says(SYNC, IN_AZ("az2"), 0, "success"); /* no zone is known of the Redis: nothing is down */
    must("POST", "/api/az", "{\"dcName\":\"jq\",\"azName\":\"az1\"}");
    expect("PUT", "/api/shards/demo/s1/redis/az",
           "[{\"dcId\":\"jq\",\"ip\":\"10.0.0.1\",\"port\":6379,\"azName\":\"az1\"}]", 200,
           "{\"state\":0,\"message\":\"updated 1 redises\"}");
    says(SYNC, IN_AZ("az2"), -1, "cluster meta not match for demo");
    says(SYNC, IN_AZ("AZ1"), 0, "success");
    says(SYNC, IN_AZ(""), 0, "success");
}

static void a_monitor_is_refused(void **state)
{
    (void)state;
    world();
    expect("POST", SYNC, "{\"isForced\":true}", 400,
           "{\"message\":\"clusterName: it is missing\",\"exception\":\"INVALID\"}");
    expect(
        "POST", SYNC, "{\"clusterName\":\"demo\",\"mode\":\"quick\"}", 400,
        "{\"message\":\"mode: quick is not auto, planned or disaster\",\"exception\":\"INVALID\"}");
    expect("POST", SYNC, "{\"clusterName\":\"demo\",\"groups\":[{\"idc\":\"jq\"}]}", 400,
           "{\"message\":\"groups[0].name: it is missing\",\"exception\":\"INVALID\"}");
    says(SYNC, "{\"clusterName\":\"none\"}", -1, "cluster not found:none");
    says(SYNC, "{\"clusterName\":\"bi\"}", -1, "cluster bi not support migration");
    says(SYNC, "{\"clusterName\":\"demo\",\"groups\":[]}", -1, "cluster meta not match for demo");
    says(SYNC, "{\"clusterName\":\"demo\",\"isForced\":true}", -1,
         "unknown target dc null for migration for demo");
    says(SYNC, "{\"clusterName\":\"demo\",\"isForced\":true,\"targetIDC\":\"jq\"}", 0, "success");
    expect("POST", "/api/config/allow/migration/auto/false", NULL, 200, "");
    says(SYNC, DOWN, -1, "auto migration not allow");
    says(BI_SYNC, "{\"clusterName\":\"bi\"}", -1, "auto migration not allow");
    expect("POST", "/api/config/allow/migration/auto/true", NULL, 200, "");
    migration_waits_configure(f.waits, 0);
    says(SYNC, DOWN, -1, "too many migrations of monitors are under way");
    migration_waits_configure(f.waits, 1); /* whoever was answered has left */
    script.rest = MIG_SUCCESS;
    says(SYNC, DOWN, 0, "success");
    says(SYNC, DOWN, 0, "success");
    asked("1/1/1 1/1/1 ");
    f.api.migration.engine = NULL;
    says(SYNC, DOWN, 1, "this console does not run migrations");
}

static void a_monitor_takes_a_dc_out(void **state)
{
    (void)state;
    world();
    must("POST", "/api/shards/bi", "[{\"shardName\":\"b1\",\"shardMonitorName\":\"b1\"}]");
    expect(
        "POST", "/api/shards/bi/b1",
        "[{\"dcId\":\"jq\",\"redises\":\"10.0.1.1:6379\"},{\"dcId\":\"FRA\",\"redises\":\"10.0.1."
        "2:6379\"}]",
        200, "{\"state\":0,\"message\":\"Successfully created shard\"}");
    says(BI_SYNC, DOWN, -1, "cluster demo not support migration");
    says(BI_SYNC,
         "{\"clusterName\":\"bi\",\"groups\":[" GROUP(
             "b1+jq", "jq", "10.0.1.1:6379", "false") "," GROUP("b1+FRA", "fra", "10.0.1.2:6379",
                                                                "false") "]}",
         1, "[bi migrate] cannot make a choice");
    says(BI_SYNC,
         "{\"clusterName\":\"bi\",\"groups\":[" GROUP(
             "b1+jq", "jq", "10.0.1.1:6379", "false") "," GROUP("b1+FRA-AWS", "FRA-AWS",
                                                                "10.0.1.2:6379", "true") "]}",
         0, "success");
    expect("GET", "/api/cluster/bi/excludedDcs", NULL, 200, "[\"FRA-AWS\"]");
    struct reply r CLEANUP(reply_done) = call(&f, "GET", "/console/bi-migration/events", NULL);
    assert_non_null(strstr(r.body, "\"operator\":\"Beacon\""));
    assert_non_null(strstr(r.body, "\"publishInfo\":\"[\\\"FRA\\\"]\",\"status\":\"Success\"}]"));
}

/* "trio" is active in jq; a dry run says where it would go. */
static void goes_to(const char *relations_text, const char *expected)
{
    struct dc_relations *relations = NULL;
    struct xp_err err = { 0 };
    assert_int_equal(dc_relations_parse(relations_text, f.alias, &relations, &err), 0);
    f.catalog.relations = relations;
    struct reply r CLEANUP(reply_done) = call(&f, "POST", "/api/v2/migrations?dry_run=true",
                                              "{\"from\":\"jq\",\"clusters\":[\"trio\"]}");
    f.catalog.relations = NULL;
    dc_relations_free(relations);
    if (!r.body || !strstr(r.body, expected)) {
        fail_msg("%s has no %s", r.body, expected);
    }
}

static void the_nearest_dc_is_taken(void **state)
{
    (void)state;
    world();
    must("POST", "/api/clusters",
         "{\"clusterName\":\"trio\",\"clusterType\":\"ONE_WAY\",\"dcs\":[\"jq\",\"oy\",\"FRA\"],"
         "\"desc\":\"d\",\"organizationId\":8,\"clusterAdminEmails\":\"a@b.c\"}");
    expect("POST", "/api/shards/trio/t1", "[{\"dcId\":\"jq\",\"redises\":\"10.0.3.1:6379\"}]", 200,
           "{\"state\":0,\"message\":\"Successfully created shard\"}");
    goes_to("{\"dcLevel\":[{\"dcs\":\"jq,FRA-AWS\",\"distance\":1},{\"dcs\":\"jq,oy\",\"distance\":"
            "2}]}",
            "\"to\":\"FRA-AWS\"");
    goes_to(
        "{\"dcLevel\":[{\"dcs\":\"jq,fra\",\"distance\":3},{\"dcs\":\"jq,oy\",\"distance\":2}]}",
        "\"to\":\"oy\"");
    goes_to(
        "{\"dcLevel\":[{\"dcs\":\"jq,fra\",\"distance\":-1},{\"dcs\":\"jq,oy\",\"distance\":-1}]}",
        "can not find a target dc for cluster:trio, fromIdc:jq");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(tickets),
        CASE(rollbacks),
        CASE(topology_stays_while_locked),
        CASE(pages),
        CASE(health_and_switches),
        CASE(history_and_progress),
        CASE(divergences),
        CASE(odd_divergences_are_refused),
        CASE(a_divergence_belongs_to_the_switch_that_left_it_behind),
        CASE(v2),
        CASE(what_is_meant_as_planned_does_not_act),
        CASE(an_event_goes_on_as_planned_or_not_at_all),
        CASE(a_plan_is_refused_while_the_daemon_stops),
        CASE(the_nearest_dc_is_taken),
        CASE(exclusions),
        CASE(a_monitor_asks),
        CASE(a_monitor_is_refused),
        CASE(a_monitor_tells_availability_zones),
        CASE(a_monitor_takes_a_dc_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
