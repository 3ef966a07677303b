/* master_words_test.c - conversations with the metaserver of another DC: ours, a Java one, one that is down or talks nonsense. */
#include "meta/links/shard_names.h"
#include "meta/peers/master_words.h"
#include "shared/base/log.h"
#include "tests/unit/links_fixture.h"

#include "shared/base/banned.h"

static int open_all(void **state)
{
    *state = links_fixture_new(&master_words);
    return 0;
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
    open_links(f);
    wait_for(f, has_told, 2);
    assert_int_equal(f->fra.requests, 1);
    assert_non_null(strstr(str_text(&f->fra.seen),
                           "POST /api/meta/v2/peermasters {\"dc\":\"jq\",\"shards\":[["));
    assert_non_null(strstr(str_text(&f->told), "fra c1/s1 10.0.3.1:6379 3\n"));
    assert_non_null(strstr(str_text(&f->told), "fra c1/s2 [::1]:6380 3\n"));
    assert_true(link_has(f, "kind", "xpipe"));
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
    open_links(f);
    wait_for(f, has_told, 2);
    assert_int_equal(f->told_count, 2);
    /* the first of several */
    assert_non_null(strstr(str_text(&f->told), "c1/s1 10.0.3.1:6379 3\n"));
    /* judged by peer_decide */
    assert_non_null(strstr(str_text(&f->told), "c1/s2 10.0.3.4:6379 16\n"));
}

static void nonsense_is_an_error_and_changes_nothing(void **state)
{
    struct fixture *f = *state;
    static const char *const answers[] = { "",       "[]",
                                           "{}",     "{\"masters\":7}",
                                           "<html>", "{\"masters\":[[" };
    check_refused(f, answers, ARRAY_LEN(answers));
}

static void many_wishes_become_one_request(void **state)
{
    struct fixture *f = *state;
    open_links(f);
    for (int i = 0; i < 20; i++) {
        dc_links_ask(f->links, "fra", "c1", "s1");
        dc_links_ask(f->links, "fra", "c1", "s2");
    }
    dc_links_ask(f->links, "nowhere", "c1", "s1"); /* unknown: ignored */
    wait_for(f, has_requests, 1);
    f->expected = 2;
    assert_false(script_wait(&f->fra, has_requests, f, 150));
}

/* ---- notices ---- */

static void a_notice_is_told_until_it_is_heard(void **state)
{
    struct fixture *f = *state;
    script_answer(&f->fra, 500, "{}");
    open_links(f);
    dc_links_tell(f->links, "fra", "c1", "s1", NULL);
    wait_for(f, has_error, 0);
    dc_links_tell(f->links, "fra", "c2", "s9", NULL); /* joins the one that waits */
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
    open_links(f);
    dc_links_tell(f->links, "fra", "c1", "s1", NULL);
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
    open_links(f);
    wait_for(f, is_java, 0);
    wait_for(f, has_told, 2);
    assert_non_null(strstr(str_text(&f->fra.seen), "GET /api/meta/getpeermaster/c1/s1 "));
    assert_non_null(strstr(str_text(&f->fra.seen), "GET /api/meta/getpeermaster/c1/s%202 "));
    dc_links_tell(f->links, "fra", "c1", "s1", NULL);
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
    open_links(f);
    wait_for(f, has_requests, 2);
    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        script_answer(&f->fra, 200, answers[i]);
        dc_links_ask(f->links, "fra", "c1", "s1");
        wait_for(f, has_requests, f->fra.requests + 1);
    }
    script_answer(&f->fra, 500,
                  "{\"message\":\"unknown clusterId\"}"); /* concerns that shard only */
    dc_links_ask(f->links, "fra", "c1", "s1");
    wait_for(f, has_requests, f->fra.requests + 1);
    script_answer(&f->fra, 200, "{\"ip\":\"10.0.3.1\",\"port\":6379,\"gid\":3}");
    dc_links_ask(f->links, "fra", "c1", "s2");
    wait_for(f, has_told, 1);
    assert_int_equal(f->told_count, 1);
}

static void a_java_notice_is_not_lost(void **state)
{
    struct fixture *f = *state;
    f->fra.is_java = true;
    script_answer(&f->fra, 200, "");
    open_links(f);
    dc_links_tell(f->links, "fra", "c1", "s1", NULL); /* the 404 of the batch must not swallow it */
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

#define T(f) cmocka_unit_test_setup_teardown(f, open_all, links_fixture_free)

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
