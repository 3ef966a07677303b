/* The notifier against a scripted metaserver: pushes, retries, a lane of its own for each DC, survival of a restart. */
#include "tests/unit/unit.h"

#include <signal.h>

#include "console/store/outbox.h"
#include "shared/base/metrics.h"
#include "tests/unit/console_fixture.h"

#include "shared/base/banned.h"

#define SEEN_MAX 4096
#define WAIT_MS  15000

struct site { /* one scripted metaserver and everything the notifier needs */
    struct fixture f;
    struct loop *loop;
    struct worker_pool *pool;
    struct http_client *client;
    struct http_server *server;
    struct notifier *notifier;
    int answer;         /* status of clusterchange calls */
    int refresh_answer; /* of POST refresh */
    char refused[64];   /* this cluster alone is answered 500; "" none */
    char *seen[SEEN_MAX];
    size_t seen_count;
    int64_t poll_ms;
    bool holds_next; /* the next call is not answered but put into 'held' */
    struct http_req *held;
    struct loop_timer tick;
};

static struct site *site;

static int on_change(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct site *s = http_req_arg(req);
    (void)err;
    const char *cluster = http_req_param(req, "cluster");
    size_t length;
    const char *body = http_req_body(req, &length);
    json_auto_t *json = length > 0 ? json_loads(body, 0, NULL) : NULL;
    xp_check(s->seen_count < SEEN_MAX);
    s->seen[s->seen_count++] =
        xasprintf("%s %s v%lld", http_req_method(req), cluster,
                  (long long)json_integer_value(json_object_get(json, "version")));
    resp->status = text_eq(cluster, s->refused) ? 500 : s->answer;
    if (s->holds_next) {
        s->holds_next = false;
        s->held = req;
        return HTTP_LATER;
    }
    return 0;
}

static int on_refresh(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct site *s = http_req_arg(req);
    (void)err;
    xp_check(s->seen_count < SEEN_MAX);
    s->seen[s->seen_count++] = xasprintf("REFRESH %s", http_req_body(req, NULL));
    resp->status = s->refresh_answer;
    return 0;
}

static void on_error(const struct http_req *req, const struct http_route *route,
                     const struct xp_err *err, struct http_resp *resp)
{
    (void)req;
    (void)route;
    resp->status = xp_code_info(err->code)->http_status;
}

/* clang-format off */
static const struct http_route script[] = {
    { "PUT", "/api/meta/clusterchange/{cluster}", on_change, HTTP_ON_LOOP, 1 << 20, "meta", "scripted" },
    { "DELETE", "/api/meta/clusterchange/{cluster}", on_change, HTTP_ON_LOOP, 1 << 20, "meta", "scripted" },
    { "POST", "/api/meta/v2/refresh", on_refresh, HTTP_ON_LOOP, 1 << 20, "meta", "scripted" },
    API_END,
};
static const struct http_route *const scripts[] = { script, NULL };
/* clang-format on */

static void configure_notifier(struct site *s, const char *metaservers, unsigned types)
{
    struct xp_err err = { 0 };
    struct notifier_settings settings = { .metaservers = metaservers,
                                          .types = types,
                                          .poll_ms = s->poll_ms,
                                          .connect_timeout_ms = 500,
                                          .timeout_ms = 2000,
                                          .retry_min_ms = 30,
                                          .retry_max_ms = 200 };
    assert_int_equal(notifier_configure(s->notifier, &settings, &err), 0);
}

static void start_notifier(struct site *s, const char *metaservers)
{
    s->notifier = notifier_new(&(struct notifier_options){ .loop = s->loop,
                                                           .pool = s->pool,
                                                           .client = s->client,
                                                           .catalog = &s->f.catalog,
                                                           .pushes_max = 20 });
    configure_notifier(s, metaservers, TYPE_BIT(CLUSTER_ONE_WAY) | TYPE_BIT(CLUSTER_BI_DIRECTION));
    s->f.api.notifier = s->notifier;
}

static char *url_json(struct site *s, const char *dead_dc)
{
    char *dead AUTO_FREE =
        dead_dc ? xasprintf(",\"%s\":\"http://127.0.0.1:1\"", dead_dc) : xstrdup("");
    return xasprintf("{\"JQ\":\"http://127.0.0.1:%d/\"%s}", http_server_port(s->server), dead);
}

static void tick(struct loop_timer *t)
{
    loop_stop(t->loop);
}

/* Runs the loop in short turns until the condition holds; it is asked between them, without a thread role. */
static void wait_for(bool (*condition)(struct site *))
{
    mono_ms deadline = clock_mono_ms() + WAIT_MS;
    while (!condition(site)) {
        assert_true(clock_mono_ms() < deadline);
        loop_timer_start(&site->tick, 5);
        loop_run(site->loop);
        loop_timer_stop(&site->tick);
    }
}

static int setup(void **state)
{
    (void)state;
    struct site *s = xcalloc(1, sizeof(*s));
    struct xp_err err = { 0 };
    site = s;
    s->answer = 200;
    s->refresh_answer = 404;
    s->poll_ms = 50;
    fixture_open(&s->f);
    s->loop = loop_new();
    s->client = http_client_new(s->loop, 4, 20);
    s->pool = worker_pool_new(s->loop, "worker", 2, 100, NULL, NULL, NULL);
    loop_timer_init(&s->tick, s->loop, tick);
    struct http_options options = { .loop = s->loop,
                                    .pool = s->pool,
                                    .bind_ip = "127.0.0.1",
                                    .max_connections = 100,
                                    .handler_timeout_ms = 5000,
                                    .tables = scripts,
                                    .on_error = on_error,
                                    .arg = s };
    assert_int_equal(http_server_start(&options, &s->server, &err), 0);
    return 0;
}

static void stop_notifier(struct site *s)
{
    notifier_stop(s->notifier);
    http_client_free(s->client);
    worker_pool_free(s->pool);
    notifier_free(s->notifier);
    s->f.api.notifier = NULL;
}

static int teardown(void **state)
{
    (void)state;
    struct site *s = site;
    http_server_stop(s->server);
    stop_notifier(s);
    loop_free(s->loop);
    fixture_close(&s->f);
    for (size_t i = 0; i < s->seen_count; i++) {
        free(s->seen[i]);
    }
    free(s);
    return 0;
}

static void must(const char *method, const char *target, const char *body)
{
    call_must(&site->f, method, target, body);
}

static void create_demo(const char *name)
{
    char *body AUTO_FREE = xasprintf(
        "{\"clusterName\":\"%s\",\"dcs\":[\"jq\",\"oy\"],\"desc\":\"d\",\"organizationId\":8,"
        "\"clusterAdminEmails\":\"a@b.c\"}",
        name);
    must("POST", "/api/clusters", body);
}

static void base_data(void)
{
    must("POST", "/api/zone", "{\"name\":\"SHA\"}");
    must("POST", "/api/dc", "{\"zone_id\":1,\"dc_name\":\"jq\",\"description\":\"d\"}");
    must("POST", "/api/dc", "{\"zone_id\":1,\"dc_name\":\"oy\",\"description\":\"d\"}");
    must("POST", "/api/organizations", "{\"orgId\":8,\"orgName\":\"cache\"}");
}

static int64_t outbox_rows_of(const char *dc)
{
    struct outbox_rows rows;
    struct xp_err err = { 0 };
    assert_int_equal(outbox_list(site->f.store, 0, 10000, &rows, &err), 0);
    int64_t count = 0;
    for (size_t i = 0; i < rows.count; i++) {
        count += text_eq(rows.items[i].dc_name, dc);
    }
    outbox_rows_done(&rows);
    return count;
}

static size_t seen(const char *start)
{
    size_t count = 0;
    for (size_t i = 0; i < site->seen_count; i++) {
        count += text_has_prefix(site->seen[i], start);
    }
    return count;
}

static bool jq_is_told(struct site *s)
{
    (void)s;
    return outbox_rows_of("jq") == 0;
}

static void changes_reach_the_metaserver(void **state)
{
    (void)state;
    base_data();
    char *urls AUTO_FREE = url_json(site, NULL);
    start_notifier(site, urls);
    create_demo("a+b ?c%41");
    wait_for(jq_is_told);
    assert_int_equal(seen("PUT a+b ?c%41 v"),
                     1); /* the name arrives as it is, also with characters of paths */
    int64_t version = store_version(site->f.store);
    char *with_version AUTO_FREE = xasprintf("PUT a+b ?c%%41 v%lld", (long long)version);
    assert_int_equal(seen(with_version), 1);
    must("DELETE", "/api/cluster/a+b%20%3Fc%2541", NULL);
    wait_for(jq_is_told);
    assert_int_equal(seen("DELETE a+b ?c%41"), 1);
    assert_true(outbox_rows_of("oy") > 0); /* no metaserver configured there: kept */
}

static bool refused_three_times(struct site *s)
{
    (void)s;
    return seen("PUT bad ") >= 3;
}

static bool only_bad_is_left(struct site *s)
{
    (void)s;
    return outbox_rows_of("jq") == 1;
}

static void a_refused_cluster_waits_alone(void **state)
{
    (void)state;
    base_data();
    (void)snprintf(site->refused, sizeof(site->refused), "bad");
    char *urls AUTO_FREE = url_json(site, NULL);
    start_notifier(site, urls);
    create_demo("bad");
    create_demo("good");
    wait_for(refused_three_times);
    wait_for(only_bad_is_left);
    assert_true(seen("PUT good ") >= 1);
    site->refused[0] = '\0';
    wait_for(jq_is_told);
}

static void a_dead_metaserver_delays_its_dc_only(void **state)
{
    (void)state;
    base_data();
    char *urls AUTO_FREE = url_json(site, "oy");
    start_notifier(site, urls);
    for (int i = 0; i < 30; i++) {
        char *name AUTO_FREE = xasprintf("c%d", i);
        create_demo(name);
    }
    wait_for(jq_is_told);
    assert_true(outbox_rows_of("oy") >= 30);
}

static bool refused_once(struct site *s)
{
    (void)s;
    return seen("PUT demo ") >= 1;
}

static void newer_changes_replace_older_ones(void **state)
{
    (void)state;
    base_data();
    site->answer = 503;
    char *urls AUTO_FREE = url_json(site, NULL);
    start_notifier(site, urls);
    create_demo("demo");
    wait_for(refused_once);
    must("POST", "/api/shards/demo", "[{\"shardName\":\"s1\",\"shardMonitorName\":\"s1\"}]");
    must("POST", "/api/redises/jq/demo/s1", "[\"10.0.0.1:6379\"]");
    site->answer = 200;
    int64_t version = store_version(site->f.store);
    wait_for(jq_is_told);
    char *newest AUTO_FREE = xasprintf("PUT demo v%lld", (long long)version);
    assert_string_equal(site->seen[site->seen_count - 1], newest);
}

static void what_was_not_told_is_told_after_a_restart(void **state)
{
    (void)state;
    base_data();
    char *dead AUTO_FREE = xstrdup("{\"jq\":\"http://127.0.0.1:1\"}");
    start_notifier(site, dead);
    create_demo("demo");
    assert_int_equal(outbox_rows_of("jq"), 1);
    stop_notifier(site);
    site->client = http_client_new(site->loop, 4, 20);
    site->pool = worker_pool_new(site->loop, "worker", 2, 100, NULL, NULL, NULL);
    char *urls AUTO_FREE = url_json(site, NULL);
    start_notifier(site, urls);
    wait_for(jq_is_told);
    assert_int_equal(seen("PUT demo "), 1);
}

static void routes_ask_for_a_refresh_and_java_may_not_know_it(void **state)
{
    (void)state;
    base_data();
    must("POST", "/api/proxy",
         "{\"uri\":\"PROXYTCP://2.2.2.2:80\",\"dcName\":\"jq\",\"active\":true}");
    must("POST", "/api/proxy",
         "{\"uri\":\"PROXYTLS://4.4.4.4:443\",\"dcName\":\"oy\",\"active\":true}");
    must("POST", "/api/route",
         "{\"srcDcName\":\"jq\",\"dstDcName\":\"oy\",\"srcProxyIds\":\"1\",\"dstProxyIds\":\"2\","
         "\"active\":true,\"public\":true}");
    char *urls AUTO_FREE = url_json(site, NULL);
    start_notifier(site, urls);
    wait_for(jq_is_told);
    assert_int_equal(seen("REFRESH {\"dc\":\"jq\",\"version\":"), 1); /* 404 ends the matter */
}

static void types_that_are_not_pushed_leave_the_outbox(void **state)
{
    (void)state;
    base_data();
    for (int i = 0; i < 20; i++) {
        char *body AUTO_FREE = xasprintf("{\"clusterName\":\"s%d\",\"clusterType\":\"SINGLE_DC\","
                                         "\"dcs\":[\"jq\"],\"desc\":\"d\","
                                         "\"organizationId\":8,\"clusterAdminEmails\":\"a@b.c\"}",
                                         i);
        must("POST", "/api/clusters", body);
    }
    create_demo("demo");
    assert_int_equal(outbox_rows_of("jq"), 21);
    char *urls AUTO_FREE = url_json(site, NULL);
    start_notifier(site, urls);
    wait_for(jq_is_told);
    assert_int_equal(site->seen_count, 1);
    assert_int_equal(seen("PUT demo "), 1);
}

/* Told as gone, whatever else happened before the push; a type that is pushed again is told as ever. */
static void a_type_that_is_not_pushed_any_more_is_gone(void **state)
{
    (void)state;
    base_data();
    create_demo("demo");
    char *urls AUTO_FREE = url_json(site, NULL);
    start_notifier(site, urls);
    wait_for(jq_is_told);
    must("PUT", "/api/cluster", "{\"clusterName\":\"demo\",\"clusterType\":\"SINGLE_DC\"}");
    must("PUT", "/api/cluster", "{\"clusterName\":\"demo\",\"desc\":\"x\"}");
    wait_for(jq_is_told);
    assert_int_equal(seen("DELETE demo "), 1);
    assert_int_equal(seen("PUT demo "), 1);
    must("PUT", "/api/cluster", "{\"clusterName\":\"demo\",\"clusterType\":\"ONE_WAY\"}");
    wait_for(jq_is_told);
    assert_int_equal(seen("PUT demo "), 2);
    assert_int_equal(seen("DELETE demo "), 1);
}

static bool is_refreshed(struct site *s)
{
    (void)s;
    return seen("REFRESH ") >= 1;
}

static bool is_refreshed_twice(struct site *s)
{
    (void)s;
    return seen("REFRESH ") >= 2;
}

/* What was changed under a type that was not pushed has left the outbox: the metaservers fetch their document. */
static void other_types_than_before_ask_for_a_refresh(void **state)
{
    (void)state;
    base_data();
    site->poll_ms = 60000;
    must("POST", "/api/clusters",
         "{\"clusterName\":\"h\",\"clusterType\":\"SINGLE_DC\",\"dcs\":[\"jq\"],\"desc\":\"d\","
         "\"organizationId\":8,\"clusterAdminEmails\":\"a@b.c\"}");
    create_demo("demo");
    char *urls AUTO_FREE = url_json(site, NULL);
    start_notifier(site, urls);
    wait_for(jq_is_told);
    unsigned pushed = TYPE_BIT(CLUSTER_ONE_WAY) | TYPE_BIT(CLUSTER_BI_DIRECTION);
    configure_notifier(site, urls, pushed); /* the same */
    create_demo("next");
    wait_for(jq_is_told);
    assert_int_equal(seen("REFRESH "), 0);
    site->refresh_answer = 503;
    configure_notifier(site, urls, 0);
    wait_for(is_refreshed);
    site->refresh_answer = 200;
    site->poll_ms = 50; /* refused: tried again */
    configure_notifier(site, urls, 0);
    wait_for(is_refreshed_twice);
    create_demo("last");
    wait_for(jq_is_told);
    assert_int_equal(seen("REFRESH {\"dc\":\"jq\",\"version\":"), 2);
    assert_int_equal(seen("PUT last "), 1);
}

static bool is_held(struct site *s)
{
    return s->held != NULL;
}

static bool has_seen_three(struct site *s)
{
    return s->seen_count >= 3;
}

static bool has_one_row_of_jq(struct site *s)
{
    (void)s;
    return outbox_rows_of("jq") == 1;
}

/* What changes while an older push of the same cluster is under way goes out behind it at once, not at the next poll. */
static void a_change_during_a_push_follows_it_at_once(void **state)
{
    (void)state;
    base_data();
    site->poll_ms = 60000; /* longer than the test waits */
    char *urls AUTO_FREE = url_json(site, NULL);
    start_notifier(site, urls);
    site->holds_next = true;
    create_demo("demo");
    wait_for(is_held);
    must("POST", "/api/shards/demo", "[{\"shardName\":\"s1\",\"shardMonitorName\":\"s1\"}]");
    /* told and acknowledged: the outbox was looked at during the push of demo */
    create_demo("other");
    wait_for(has_one_row_of_jq);
    struct http_resp resp = { .status = 200 };
    http_req_finish(site->held, 0, &resp, NULL);
    wait_for(has_seen_three);
    assert_non_null(strstr(site->seen[0], "PUT demo "));
    assert_non_null(strstr(site->seen[1], "PUT other "));
    assert_non_null(strstr(site->seen[2], "PUT demo "));
    assert_string_not_equal(site->seen[0], site->seen[2]);
}

static int64_t commits(void)
{
    struct str text AUTO_STR = STR_INIT(1024 * 1024);
    metrics_print(&text);
    const char *at = strstr(str_text(&text), "\nxpipe_notify_acknowledgments_total ");
    return at ? strtoll(at + strlen("\nxpipe_notify_acknowledgments_total "), NULL, 10) : 0;
}

static bool all_are_seen(struct site *s)
{
    return s->seen_count >= 40;
}

static int64_t commits_before;

/* The loop counts an acknowledgment a moment after the database has it. */
static bool is_counted(struct site *s)
{
    (void)s;
    return commits() > commits_before;
}

/* Each acknowledgment is a durable transaction that writers wait for: bench-console found one for every push. */
static void acknowledgments_share_transactions(void **state)
{
    (void)state;
    base_data();
    site->poll_ms = 60000;
    char *urls AUTO_FREE = url_json(site, NULL);
    start_notifier(site, urls);
    commits_before = commits();
    mono_ms began = clock_mono_ms();
    for (int i = 0; i < 40; i++) {
        char *name AUTO_FREE = xasprintf("c%d", i);
        create_demo(name);
    }
    wait_for(all_are_seen);
    wait_for(jq_is_told);
    wait_for(is_counted);
    int64_t tenths = (clock_mono_ms() - began) / 100; /* at most one each 100 ms */
    assert_in_range(commits() - commits_before, 1, tenths + 2);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        CASE(changes_reach_the_metaserver),
        CASE(a_refused_cluster_waits_alone),
        CASE(a_dead_metaserver_delays_its_dc_only),
        CASE(newer_changes_replace_older_ones),
        CASE(what_was_not_told_is_told_after_a_restart),
        CASE(routes_ask_for_a_refresh_and_java_may_not_know_it),
        CASE(types_that_are_not_pushed_leave_the_outbox),
        CASE(a_type_that_is_not_pushed_any_more_is_gone),
        CASE(other_types_than_before_ask_for_a_refresh),
        CASE(a_change_during_a_push_follows_it_at_once),
        CASE(acknowledgments_share_transactions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
