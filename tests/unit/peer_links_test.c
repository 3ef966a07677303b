/* peer_links_test.c - conversations with the metaserver of another DC: ours, a Java one, one that is down or talks nonsense. */
#include <stdio.h>
#include <string.h>

#include "meta/links/shard_names.h"
#include "meta/peers/peer_links.h"
#include "shared/base/log.h"
#include "tests/unit/unit.h"

#include "tests/unit/console_script.h"

#include "shared/base/banned.h"

struct fixture {
    struct loop *loop;
    struct worker_pool *pool;
    struct peer_links *links;
    struct script fra;
    char url[64];
    const char *shards[4]; /* of cluster c1, asked for in every round */
    int told_count;
    struct str told; /* "dc cluster/shard gid ip:port\n" */
    int expected;
    const char *text;
};

static void each_shard(const char *dc, void (*add)(const char *, const char *, void *),
                       void *add_arg, void *arg)
{
    const struct fixture *f = arg;
    assert_string_equal(dc, "fra");
    for (size_t i = 0; f->shards[i]; i++) {
        add("c1", f->shards[i], add_arg);
    }
}

static void on_master(const char *dc, const char *cluster, const char *shard,
                      const struct current_master *master, void *arg)
{
    struct fixture *f = arg;
    f->told_count++;
    str_printf(&f->told, "%s %s/%s %d %s\n", dc, cluster, shard, master->gid,
               ADDR_TEXT(&master->addr));
}

static void open_links(struct fixture *f, int64_t refresh_ms)
{
    AUTO_FREE char *infos = xasprintf("{\"Jq\":{\"metaServerAddress\":\"http://127.0.0.1:1\"},"
                                      "\"FRA\":{\"metaServerAddress\":\"127.0.0.1:%d/\"}}",
                                      f->fra.port);
    struct peer_links_options options = {
        .loop = f->loop,
        .pool = f->pool,
        .own_dc = "jq",
        .dcinfos = infos,
        .refresh_ms = refresh_ms,
        .connect_timeout_ms = 500,
        .timeout_ms = 2000,
        .each_shard = each_shard,
        .on_master = on_master,
        .arg = f,
    };
    f->links = peer_links_new(&options);
}

static int open_all(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    f->loop = loop_new();
    f->told = STR_INIT(1 << 20);
    script_init(&f->fra, f->loop);
    script_answer(&f->fra, 200, "{\"masters\":[]}");
    f->pool = worker_pool_new(f->loop, "peers", 2, 100, NULL, NULL, NULL);
    *state = f;
    return 0;
}

static int close_all(void **state)
{
    struct fixture *f = *state;
    script_stop(&f->fra);
    worker_pool_free(f->pool);
    peer_links_free(f->links);
    script_done(&f->fra);
    str_done(&f->told);
    loop_free(f->loop);
    free(f);
    return 0;
}

static bool has_told(void *arg)
{
    return ((const struct fixture *)arg)->told_count >= ((const struct fixture *)arg)->expected;
}

static bool has_requests(void *arg)
{
    return ((const struct fixture *)arg)->fra.requests >= ((const struct fixture *)arg)->expected;
}

static bool has_seen(void *arg)
{
    const struct fixture *f = arg;
    return strstr(str_text(&f->fra.seen), f->text) != NULL;
}

static const char *link_text(const struct fixture *f, const char *key)
{
    static char text[256];
    json_t *all = peer_links_json(f->links);
    const char *value = json_string_value(json_object_get(json_object_get(all, "fra"), key));
    (void)snprintf(text, sizeof(text), "%s", value ? value : "");
    json_decref(all);
    return text;
}

static bool has_error(void *arg)
{
    return link_text(arg, "lastError")[0] != '\0';
}

static bool is_java(void *arg)
{
    return strcmp(link_text(arg, "kind"), "java") == 0;
}

static void wait_for(struct fixture *f, bool (*cond)(void *), int expected)
{
    f->expected = expected;
    assert_true(script_wait(&f->fra, cond, f, SCRIPT_LIMIT_MS));
}

static void wait_seen(struct fixture *f, const char *text)
{
    f->text = text;
    assert_true(script_wait(&f->fra, has_seen, f, SCRIPT_LIMIT_MS));
}

/* ---- our own metaserver ---- */

static void a_round_asks_for_all_in_one_request(void **state)
{
    struct fixture *f = *state;
    f->shards[0] = "s1";
    f->shards[1] = "s2";
    script_answer(
        &f->fra, 200,
        "{\"masters\":[[\"c1\",\"s1\",3,\"10.0.3.1\",6379],[\"c1\",\"s2\",3,\"::1\",6380]]}");
    open_links(f, 60000);
    wait_for(f, has_told, 2);
    assert_int_equal(f->fra.requests, 1);
    assert_non_null(strstr(str_text(&f->fra.seen),
                           "POST /api/meta/v2/peermasters {\"dc\":\"jq\",\"shards\":[["));
    assert_non_null(strstr(str_text(&f->told), "fra c1/s1 3 10.0.3.1:6379\n"));
    assert_non_null(strstr(str_text(&f->told), "fra c1/s2 3 [::1]:6380\n"));
    assert_string_equal(link_text(f, "kind"), "xpipe");
}

static void odd_rows_spoil_themselves_only(void **state)
{
    struct fixture *f = *state;
    f->shards[0] = "s1";
    f->shards[1] = "s2";
    script_answer(&f->fra, 200,
                  "{\"masters\":[null,7,{},[],[\"c1\"],[\"c1\",\"s2\",3,null,6379],"
                  "[\"c1\",\"s2\",3,\"10.0.3.1\",0],[\"c1\",\"s2\",3,\"10.0.3.1\",65536],"
                  "[\"c1\",\"s2\",99999999999,\"10.0.3.1\",6379],[\"c1\",\"s2\",3,\"\",6379],"
                  "[\"c9\",\"s1\",3,\"10.0.9.9\",6379],"
                  "[\"c1\",\"s1\",3,\"10.0.3.1\",6379],[\"c1\",\"s1\",3,\"10.0.3.2\",6379],"
                  "[\"c1\",\"s1\",3,\"10.0.3.3\",6379],[\"c1\",\"s2\",16,\"10.0.3.4\",6379]]}");
    open_links(f, 60000);
    wait_for(f, has_told, 2);
    assert_int_equal(f->told_count, 2);
    assert_non_null(
        strstr(str_text(&f->told), "c1/s1 3 10.0.3.1:6379\n")); /* the first of several */
    assert_non_null(
        strstr(str_text(&f->told), "c1/s2 16 10.0.3.4:6379\n")); /* judged by peer_decide */
}

static void nonsense_is_an_error_and_changes_nothing(void **state)
{
    struct fixture *f = *state;
    static const char *const answers[] = { "",       "[]",
                                           "{}",     "{\"masters\":7}",
                                           "<html>", "{\"masters\":[[" };
    f->shards[0] = "s1";
    for (size_t i = 0; i <= ARRAY_LEN(answers); i++) {
        bool is_last = i == ARRAY_LEN(answers);
        script_answer(&f->fra, is_last ? 500 : 200, is_last ? "{}" : answers[i]);
        open_links(f, 60000);
        wait_for(f, has_error, 0);
        peer_links_free(TAKE(f->links));
    }
    assert_int_equal(f->told_count, 0);
    assert_int_equal(f->fra.requests, ARRAY_LEN(answers) + 1);
}

static void many_wishes_become_one_request(void **state)
{
    struct fixture *f = *state;
    open_links(f, 60000);
    for (int i = 0; i < 20; i++) {
        peer_links_ask(f->links, "fra", "c1", "s1");
        peer_links_ask(f->links, "fra", "c1", "s2");
    }
    peer_links_ask(f->links, "nowhere", "c1", "s1"); /* unknown: ignored */
    wait_for(f, has_requests, 1);
    f->expected = 2;
    assert_false(script_wait(&f->fra, has_requests, f, 150));
}

/* ---- notices ---- */

static void a_notice_is_told_until_it_is_heard(void **state)
{
    struct fixture *f = *state;
    script_answer(&f->fra, 500, "{}");
    open_links(f, 60000);
    peer_links_tell(f->links, "fra", "c1", "s1");
    wait_for(f, has_error, 0);
    peer_links_tell(f->links, "fra", "c2", "s9"); /* joins the one that waits */
    str_clear(&f->fra.seen);
    script_answer(&f->fra, 200, "{}");
    wait_seen(f, "POST /api/meta/v2/peerchanges {\"dc\":\"jq\",\"shards\":[[");
    assert_non_null(strstr(str_text(&f->fra.seen), "[\"c1\",\"s1\"]"));
    assert_non_null(strstr(str_text(&f->fra.seen), "[\"c2\",\"s9\"]"));
    int asked = f->fra.requests;
    f->expected = asked + 1;
    assert_false(script_wait(&f->fra, has_requests, f, 700)); /* heard: once is enough */
}

static void a_notice_survives_a_dc_that_is_down(void **state)
{
    struct fixture *f = *state;
    script_stop(&f->fra);
    open_links(f, 60000);
    peer_links_tell(f->links, "fra", "c1", "s1");
    wait_for(f, has_error, 0);
    assert_int_equal(f->fra.requests, 0);
    script_start(&f->fra);
    wait_seen(f, "[\"c1\",\"s1\"]");
}

/* ---- a Java metaserver ---- */

static void a_java_metaserver_is_asked_one_by_one(void **state)
{
    struct fixture *f = *state;
    f->shards[0] = "s1";
    f->shards[1] = "s 2";
    f->fra.is_java = true;
    script_answer(&f->fra, 200, "{\"id\":null,\"ip\":\"10.0.3.1\",\"port\":6379,\"gid\":3}");
    open_links(f, 60000);
    wait_for(f, is_java, 0);
    wait_for(f, has_told, 2);
    assert_non_null(strstr(str_text(&f->fra.seen), "GET /api/meta/getpeermaster/c1/s1 "));
    assert_non_null(strstr(str_text(&f->fra.seen), "GET /api/meta/getpeermaster/c1/s%202 "));
    peer_links_tell(f->links, "fra", "c1", "s1");
    wait_seen(f, "PUT /api/meta/upstreampeerchange/jq/c1/s1 ");
}

static void a_java_metaserver_that_knows_nothing(void **state)
{
    struct fixture *f = *state;
    static const char *const answers[] = {
        "",      "null", "{}", "[]", "{\"ip\":\"10.0.3.1\"}", "{\"ip\":\"\",\"port\":1,\"gid\":3}",
        "<html>"
    };
    f->fra.is_java = true;
    script_answer(&f->fra, 200, "");
    f->shards[0] = "s1";
    open_links(f, 60000);
    wait_for(f, has_requests, 2);
    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        script_answer(&f->fra, 200, answers[i]);
        peer_links_ask(f->links, "fra", "c1", "s1");
        wait_for(f, has_requests, f->fra.requests + 1);
    }
    script_answer(&f->fra, 500,
                  "{\"message\":\"unknown clusterId\"}"); /* concerns that shard only */
    peer_links_ask(f->links, "fra", "c1", "s1");
    wait_for(f, has_requests, f->fra.requests + 1);
    script_answer(&f->fra, 200, "{\"ip\":\"10.0.3.1\",\"port\":6379,\"gid\":3}");
    peer_links_ask(f->links, "fra", "c1", "s2");
    wait_for(f, has_told, 1);
    assert_int_equal(f->told_count, 1);
}

static void a_java_notice_is_not_lost(void **state)
{
    struct fixture *f = *state;
    f->fra.is_java = true;
    script_answer(&f->fra, 200, "");
    open_links(f, 60000);
    peer_links_tell(f->links, "fra", "c1", "s1"); /* the 404 of the batch must not swallow it */
    wait_seen(f, "PUT /api/meta/upstreampeerchange/jq/c1/s1 ");
}

/* ---- names ---- */

static void names_of_a_batch(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "7", "{}", "[[]]", "[[\"c\"]]", "[[\"\",\"s\"]]", "[[\"c\",\"s\"],7]", "[[\"c\",1]]"
    };
    struct shard_names names = { 0 };
    struct xp_err err;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        json_t *json = json_loads(bad[i], JSON_DECODE_ANY, NULL);
        assert_int_equal(shard_names_parse(json, &names, &err), XP_INVALID);
        json_decref(json);
    }
    assert_int_equal(shard_names_parse(NULL, &names, &err), XP_INVALID);
    json_t *json = json_loads("[[\"c\",\"s\"],[\"c2\",\"s\"]]", 0, NULL);
    assert_int_equal(shard_names_parse(json, &names, &err), 0);
    assert_int_equal(names.count, 2);
    assert_string_equal(names.items[1].cluster, "c2");
    shard_names_done(&names);
    json_decref(json);
    json = json_array();
    for (int i = 0; i <= SHARD_NAMES_MAX; i++) {
        (void)json_array_append_new(json, json_pack("[s,s]", "c", "s"));
    }
    assert_int_equal(shard_names_parse(json, &names, &err), XP_TOO_LARGE);
    json_decref(json);
}

#define T(f) cmocka_unit_test_setup_teardown(f, open_all, close_all)

int main(void)
{
    log_set_level(LOG_LEVELS);
    const struct CMUnitTest tests[] = {
        T(a_round_asks_for_all_in_one_request),
        T(odd_rows_spoil_themselves_only),
        T(nonsense_is_an_error_and_changes_nothing),
        T(many_wishes_become_one_request),
        T(a_notice_is_told_until_it_is_heard),
        T(a_notice_survives_a_dc_that_is_down),
        T(a_java_metaserver_is_asked_one_by_one),
        T(a_java_metaserver_that_knows_nothing),
        T(a_java_notice_is_not_lost),
        cmocka_unit_test(names_of_a_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
