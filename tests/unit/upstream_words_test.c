/* upstream_words_test.c - what a backup DC hears about its upstreams from the metaserver of the primary DC, and tells others: one of
 * ours, a Java one, one that is down or hostile. When and how often is dc_links.c's, shared with master_words_test.c. */
#include "meta/keepers/upstream_row.h"
#include "meta/keepers/upstream_words.h"
#include "shared/base/log.h"
#include "tests/unit/links_fixture.h"

#include "shared/base/banned.h"

static int open_all(void **state)
{
    *state = links_fixture_new(&upstream_words);
    return 0;
}

#define KEEPER(ip, port)                                                                           \
    "{\"id\":null,\"ip\":" ip ",\"port\":" #port ",\"master\":null,\"active\":true,"               \
    "\"keeperContainerId\":7,\"priority\":1,\"offset\":null,\"survive\":null}"
#define MASTER(ip, port) "{\"ip\":" ip ",\"port\":" #port "}"
#define ROW(shard, place, has, keeper, master, offset)                                             \
    "{\"cluster\":\"c1\",\"shard\":" shard ",\"place\":" place ",\"hasKeepers\":" has              \
    ",\"activeKeeper\":" keeper ",\"master\":" master ",\"offset\":" offset "}"

/* ---- our own metaserver ---- */

static void a_round_asks_for_all_in_one_request(void **state)
{
    struct fixture *f = *state;
    f->shards[0] = "s1";
    f->shards[1] = "s2";
    f->shards[2] = "s3";
    script_answer(
        &f->fra, 200, /* with keepers; without; IPv6 */
        "{\"upstreams\":[" ROW("\"s1\"", "\"primary\"", "true", KEEPER("\"10.0.3.1\"", 6380),
                               MASTER("\"10.0.3.9\"", 6379), "1234") "," //
        ROW("\"s2\"", "\"primary\"", "false", "null", MASTER("\"10.0.3.2\"", 6379),
            "null") "," //
        ROW("\"s3\"", "\"primary\"", "true", KEEPER("\"fd00::1\"", 6380), "null", "0") "]}");
    open_links(f);
    wait_for(f, has_told, 3);
    assert_int_equal(f->fra.requests, 1);
    assert_non_null(
        strstr(str_text(&f->fra.seen), "POST /api/meta/v2/upstreams {\"dc\":\"jq\",\"shards\":[["));
    assert_non_null(strstr(str_text(&f->told), "fra c1/s1 10.0.3.1:6380 1234\n"));
    assert_non_null(strstr(str_text(&f->told), "fra c1/s2 10.0.3.2:6379 -1\n"));
    assert_non_null(strstr(str_text(&f->told), "fra c1/s3 [fd00::1]:6380 0\n"));
    assert_true(link_has(f, "kind", "xpipe"));
}

/* Answers without anything to pull from, each correct. The last row of every answer proves that the others were read. */
static void empty_answers_change_nothing(void **state)
{
    struct fixture *f = *state;
    f->shards[0] = "s1";
    f->shards[1] = "s2";
    static const char *const rows[] = {
        /* keepers that are all dead: their master is not given away instead of them */
        ROW("\"s1\"", "\"primary\"", "true", "null", MASTER("\"10.0.3.9\"", 6379), "7"),
        ROW("\"s1\"", "\"primary\"", "false", "null", "null", "null"),
        /* no keepers in the document any more, one still lives: the master */
        ROW("\"s1\"", "\"primary\"", "false", KEEPER("\"10.0.3.1\"", 6380), "null", "null"),
        /* that DC does not know that it is the primary one */
        ROW("\"s1\"", "\"backup\"", "true", KEEPER("\"10.0.3.1\"", 6380), "null", "null"),
        ROW("\"s1\"", "\"outside\"", "false", "null", MASTER("\"10.0.3.9\"", 6379), "null"),
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_FREE char *answer = xasprintf(
            "{\"upstreams\":[%s,%s]}", rows[i],
            ROW("\"s2\"", "\"primary\"", "false", "null", MASTER("\"10.0.3.2\"", 6379), "1"));
        script_answer(&f->fra, 200, answer);
        str_clear(&f->told);
        f->told_count = 0;
        open_links(f);
        wait_for(f, has_told, 1);
        assert_string_equal(str_text(&f->told), "fra c1/s2 10.0.3.2:6379 1\n");
        dc_links_free(TAKE(f->links));
    }
}

#define GOOD_KEEPER KEEPER("\"10.0.3.1\"", 6380)

static void hostile_rows_spoil_themselves_only(void **state)
{
    struct fixture *f = *state;
    f->shards[0] = "s1";
    f->shards[1] = "s2";
    static const char *const rows[] = {
        "null",
        "7",
        "[]",
        "{}",
        "[\"c1\",\"s1\",3,\"10.0.3.1\",6379]",
        ROW("7", "\"primary\"", "true", GOOD_KEEPER, "null", "1"),
        ROW("null", "\"primary\"", "true", GOOD_KEEPER, "null", "1"),
        ROW("\"s9\"", "\"primary\"", "true", GOOD_KEEPER, "null", "1"), /* not asked for */
        ROW("\"s1\"", "null", "true", GOOD_KEEPER, "null", "1"),
        ROW("\"s1\"", "1", "true", GOOD_KEEPER, "null", "1"),
        ROW("\"s1\"", "\"PRIMARY\"", "true", GOOD_KEEPER, "null", "1"),
        ROW("\"s1\"", "\"primary\"", "null", GOOD_KEEPER, "null", "1"),
        ROW("\"s1\"", "\"primary\"", "\"true\"", GOOD_KEEPER, "null", "1"),
        ROW("\"s1\"", "\"primary\"", "true", "[]", "null", "1"),
        ROW("\"s1\"", "\"primary\"", "true", "\"10.0.3.1:6380\"", "null", "1"),
        ROW("\"s1\"", "\"primary\"", "true", KEEPER("null", 6380), "null", "1"),
        ROW("\"s1\"", "\"primary\"", "true", KEEPER("7", 6380), "null", "1"),
        ROW("\"s1\"", "\"primary\"", "true", KEEPER("\"\"", 6380), "null", "1"),
        ROW("\"s1\"", "\"primary\"", "true", KEEPER("\"0.0.0.0\"", 6380), "null", "1"),
        ROW("\"s1\"", "\"primary\"", "true", KEEPER("\"::\"", 6380), "null", "1"),
        ROW("\"s1\"", "\"primary\"", "true", KEEPER("\"255.255.255.255\"", 6380), "null", "1"),
        ROW("\"s1\"", "\"primary\"", "true", KEEPER("\"keeper.fra.example\"", 6380), "null", "1"),
        ROW("\"s1\"", "\"primary\"", "true", KEEPER("\"no\"", 1), "null", "1"),
        ROW("\"s1\"", "\"primary\"", "true", KEEPER("\"10.0.3.1 \"", 6380), "null", "1"),
        ROW("\"s1\"", "\"primary\"", "true", KEEPER("\"10.0.3.1\\r\\nX\"", 6380), "null", "1"),
        ROW("\"s1\"", "\"primary\"", "true", KEEPER("\"10.0.3.1\"", 0), "null", "1"),
        ROW("\"s1\"", "\"primary\"", "true", KEEPER("\"10.0.3.1\"", 65536), "null", "1"),
        ROW("\"s1\"", "\"primary\"", "true", KEEPER("\"10.0.3.1\"", 5000000000), "null", "1"),
        ROW("\"s1\"", "\"primary\"", "true", KEEPER("\"10.0.3.1\"", 5e9), "null", "1"),
        ROW("\"s1\"", "\"primary\"", "true", KEEPER("\"10.0.3.1\"", -1), "null", "1"),
        ROW("\"s1\"", "\"primary\"", "true", KEEPER("\"10.0.3.1\"", "6380"), "null", "1"),
        ROW("\"s1\"", "\"primary\"", "true", GOOD_KEEPER, "7", "1"),
        ROW("\"s1\"", "\"primary\"", "true", GOOD_KEEPER, MASTER("\"0.0.0.0\"", 6379), "1"),
        ROW("\"s1\"", "\"primary\"", "true", GOOD_KEEPER, MASTER("\"10.0.3.9\"", 0), "1"),
        ROW("\"s1\"", "\"primary\"", "true", GOOD_KEEPER, "null", "-5"),
        ROW("\"s1\"", "\"primary\"", "true", GOOD_KEEPER, "null", "\"1\""),
        ROW("\"s1\"", "\"primary\"", "true", GOOD_KEEPER, "null", "1.5"),
        ROW("\"s1\"", "\"primary\"", "false", "null", MASTER("\"redis.example\"", 6379), "1"),
    };
    CLEANUP(str_done) struct str answer = STR_INIT(1 << 20);
    str_puts(&answer, "{\"upstreams\":[");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        str_printf(&answer, "%s,", rows[i]);
    }
    str_puts(&answer, ROW("\"s2\"", "\"primary\"", "true", GOOD_KEEPER, "null", "1") ",");
    /* the first of several counts */
    str_puts(&answer,
             ROW("\"s2\"", "\"primary\"", "true", KEEPER("\"10.0.3.8\"", 1), "null", "1") "]}");
    script_answer(&f->fra, 200, str_text(&answer));
    open_links(f);
    wait_for(f, has_told, 1);
    assert_string_equal(str_text(&f->told), "fra c1/s2 10.0.3.1:6380 1\n");
    /* and each of them alone, with the row that was good */
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        json_t *row = json_loads(rows[i], JSON_DECODE_ANY, NULL);
        const char *cluster = NULL;
        const char *shard = NULL;
        struct upstream upstream = { .offset = 77 };
        if (row && upstream_row_read(row, &cluster, &shard, &upstream)) {
            assert_string_equal(shard, "s9");
        } else {
            assert_null(cluster);
            assert_int_equal(upstream.offset, 77);
        }
        json_decref(row);
    }
}

static void nonsense_is_an_error_and_changes_nothing(void **state)
{
    struct fixture *f = *state;
    static const char *const answers[] = { "",
                                           "[]",
                                           "{}",
                                           "{\"upstreams\":7}",
                                           "{\"masters\":[]}",
                                           "{\"upstreams\":{}}",
                                           "<html>",
                                           "{\"upstreams\":[{" };
    check_refused(f, answers, ARRAY_LEN(answers));
}

static void a_notice_is_told_until_it_is_heard(void **state)
{
    struct fixture *f = *state;
    struct addr head = addr_of("10.0.1.1", 6380);
    script_answer(&f->fra, 500, "{}");
    open_links(f);
    dc_links_tell(f->links, "fra", "c1", "s1", &head);
    wait_for(f, has_error, 0);
    str_clear(&f->fra.seen);
    script_answer(&f->fra, 200, "{}");
    /* names only: who hears it asks */
    wait_seen(f, "POST /api/meta/v2/upstreamchanges {\"dc\":\"jq\",\"shards\":[[\"c1\",\"s1\"]]}");
}

/* ---- a Java metaserver ---- */

static void a_java_metaserver_is_asked_one_by_one(void **state)
{
    struct fixture *f = *state;
    f->shards[0] = "s1";
    f->shards[1] = "s 2";
    f->fra.is_java = true;
    script_answer(&f->fra, 200, KEEPER("\"10.0.3.1\"", 6380));
    open_links(f);
    wait_for(f, is_java, 0);
    wait_for(f, has_told, 2);
    assert_non_null(strstr(str_text(&f->fra.seen), "GET /api/meta/getactivekeeper/c1/s1 "));
    assert_non_null(strstr(str_text(&f->fra.seen), "GET /api/meta/getactivekeeper/c1/s%202 "));
    assert_non_null(strstr(str_text(&f->told), "fra c1/s1 10.0.3.1:6380 -1\n"));
    str_clear(&f->fra.seen);
    dc_links_ask(f->links, "fra", "c1", "s1"); /* no batch is tried for a while */
    wait_seen(f, "GET /api/meta/getactivekeeper/c1/s1 ");
    assert_null(strstr(str_text(&f->fra.seen), "POST "));
}

static void a_java_metaserver_that_knows_nothing_or_nonsense(void **state)
{
    struct fixture *f = *state;
    static const char *const answers[] = { "",
                                           "null",
                                           "{}",
                                           "[]",
                                           "<html>",
                                           "{\"ip\":\"10.0.3.1\"}",
                                           KEEPER("\"0.0.0.0\"", 6380),
                                           KEEPER("\"keeper.example\"", 6380),
                                           KEEPER("\"10.0.3.1\"", 0),
                                           KEEPER("\"10.0.3.1\"", 5e9),
                                           KEEPER("\"10.0.3.1\"", "6380") };
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
    script_answer(&f->fra, 500, KEEPER("\"10.0.3.1\"", 6380)); /* an error is no answer */
    dc_links_ask(f->links, "fra", "c1", "s1");
    wait_for(f, has_requests, f->fra.requests + 1);
    script_answer(&f->fra, 200, KEEPER("\"10.0.3.2\"", 6380));
    dc_links_ask(f->links, "fra", "c1", "s1");
    wait_for(f, has_told, 1);
    assert_string_equal(str_text(&f->told), "fra c1/s1 10.0.3.2:6380 -1\n");
}

static void a_java_metaserver_is_told_the_newest_address(void **state)
{
    struct fixture *f = *state;
    struct addr first = addr_of("10.0.1.1", 6380);
    struct addr second = addr_of("fd00::2", 6381);
    f->fra.is_java = true;
    script_answer(&f->fra, 200, "");
    open_links(f);
    dc_links_tell(f->links, "fra", "c1", "s1", &first);
    dc_links_tell(f->links, "fra", "c1", "s2", NULL);    /* nothing to be told */
    dc_links_tell(f->links, "fra", "c1", "s1", &second); /* the 404 does not swallow it */
    wait_seen(f, "PUT /api/meta/upstreamchange/c1/s1/fd00%3A%3A2/6381?dcName=jq ");
    assert_null(strstr(str_text(&f->fra.seen), "10.0.1.1"));
    assert_null(strstr(str_text(&f->fra.seen), "PUT /api/meta/upstreamchange/c1/s2"));
}

static bool is_held(void *arg)
{
    return ((const struct fixture *)arg)->fra.held != NULL;
}

/* A notice that failed goes back behind one that came meanwhile. */
static void an_older_notice_does_not_replace_a_newer_one(void **state)
{
    struct fixture *f = *state;
    struct addr older = addr_of("10.0.1.1", 6380);
    struct addr newer = addr_of("10.0.1.2", 6380);
    f->fra.is_held = true;
    open_links(f);
    dc_links_tell(f->links, "fra", "c1", "s1", &older);
    wait_for(f, is_held, 0);
    dc_links_tell(f->links, "fra", "c1", "s1", &newer);
    script_answer(&f->fra, 404, "{}"); /* to the batch: a Java one */
    f->fra.is_java = true;
    script_release(&f->fra);
    script_answer(&f->fra, 200, "");
    wait_seen(f, "PUT /api/meta/upstreamchange/c1/s1/");
    assert_non_null(strstr(str_text(&f->fra.seen), "/s1/10.0.1.2/6380?dcName=jq "));
    assert_null(strstr(str_text(&f->fra.seen), "10.0.1.1"));
}

/* ---- rows ---- */

static void rows_round_trip(void **state)
{
    (void)state;
    const struct upstream all[] = {
        { .place = TREE_PRIMARY,
          .has_keepers = true,
          .has_active = true,
          .active = { .addr = addr_of("10.0.0.1", 6380), .run_id = "r", .container_id = 7 },
          .source = addr_of("10.0.0.2", 6379),
          .offset = 12 },
        { .place = TREE_PRIMARY,
          .source = addr_of("10.0.0.2", 6379),
          .history = { .repl_id = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
                       .repl_id2 = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                       .second_offset = 4711 } },
        { .place = TREE_PRIMARY,
          .source = addr_of("10.0.0.2", 6379),
          .history = { .repl_id = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
                       .second_offset = -1 } },
        { .place = TREE_BACKUP, .has_keepers = true, .offset = -1 },
        { .place = TREE_OUTSIDE, .source = addr_of("::1", 6379), .offset = 0 },
    };
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        json_t *row = upstream_row_to_json("c", "s", &all[i]);
        assert_int_equal(json_object_size(row), all[i].history.repl_id[0] ? 8 : 7);
        const char *cluster;
        const char *shard;
        struct upstream back;
        assert_true(upstream_row_read(row, &cluster, &shard, &back));
        assert_string_equal(cluster, "c");
        assert_string_equal(shard, "s");
        assert_int_equal(back.place, all[i].place);
        assert_int_equal(back.has_keepers, all[i].has_keepers);
        assert_int_equal(back.has_active, all[i].has_active);
        assert_true(addr_eq(&back.active.addr, &all[i].active.addr));
        assert_true(addr_eq(&back.source, &all[i].source));
        assert_int_equal(back.offset, all[i].offset);
        assert_string_equal(back.history.repl_id, all[i].history.repl_id);
        assert_string_equal(back.history.repl_id2, all[i].history.repl_id2);
        assert_int_equal(back.history.second_offset,
                         all[i].history.repl_id2[0] ? all[i].history.second_offset : -1);
        json_decref(row);
    }
}

static void an_odd_history_spoils_its_row(void **state)
{
    (void)state;
    static const char *const histories[] = {
        "7",
        "{}",
        "{\"replId\":\"short\"}",
        "{\"replId\":7}",
        "{\"replId\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}",
        "{\"replId\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\\n\\n\\n\\n\"}",
        "{\"replId\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",\"secondOffset\":-5}",
    };
    for (size_t i = 0; i < ARRAY_LEN(histories); i++) {
        AUTO_FREE char *text = xasprintf("{\"cluster\":\"c\",\"shard\":\"s\",\"place\":\"primary\","
                                         "\"hasKeepers\":false,\"offset\":1,\"history\":%s}",
                                         histories[i]);
        json_t *row = json_loads(text, 0, NULL);
        const char *cluster;
        const char *shard;
        struct upstream back;
        assert_non_null(row);
        assert_false(upstream_row_read(row, &cluster, &shard, &back));
        json_decref(row);
    }
}

static void the_active_keeper_as_keeper_meta(void **state)
{
    (void)state;
    struct live_keeper keeper = {
        .addr = addr_of("10.0.0.1", 6380), .run_id = "r", .container_id = 7, .priority = 2
    };
    json_t *json = upstream_keeper_to_json(&keeper);
    assert_string_equal(json_string_value(json_object_get(json, "ip")), "10.0.0.1");
    assert_int_equal(json_integer_value(json_object_get(json, "port")), 6380);
    assert_true(json_is_true(json_object_get(json, "active")));
    assert_string_equal(json_string_value(json_object_get(json, "id")), "r");
    assert_int_equal(json_integer_value(json_object_get(json, "keeperContainerId")), 7);
    assert_int_equal(json_integer_value(json_object_get(json, "priority")), 2);
    json_decref(json);
}

#define T(f) cmocka_unit_test_setup_teardown(f, open_all, links_fixture_free)

int main(void)
{
    log_set_level(LOG_LEVELS);
    const struct CMUnitTest tests[] = {
        T(a_round_asks_for_all_in_one_request),
        T(empty_answers_change_nothing),
        T(hostile_rows_spoil_themselves_only),
        T(nonsense_is_an_error_and_changes_nothing),
        T(a_notice_is_told_until_it_is_heard),
        T(a_java_metaserver_is_asked_one_by_one),
        T(a_java_metaserver_that_knows_nothing_or_nonsense),
        T(a_java_metaserver_is_told_the_newest_address),
        T(an_older_notice_does_not_replace_a_newer_one),
        cmocka_unit_test(rows_round_trip),
        cmocka_unit_test(an_odd_history_spoils_its_row),
        cmocka_unit_test(the_active_keeper_as_keeper_meta),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
