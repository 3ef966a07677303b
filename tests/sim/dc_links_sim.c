/* dc_links_sim.c - conversations between DCs over hours of virtual time: rounds, pauses, Java metaservers that become ours, more
 * shards than fit into a request, slow and dead DCs. In upstream_words, which carry all there is (meta/links/dc_links.h). */
#include <stdio.h>
#include <string.h>

#include "meta/keepers/upstream_words.h"
#include "meta/links/dc_links.h"
#include "shared/base/log.h"
#include "shared/base/map.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/model/json_decode.h"
#include "tests/sim/fake_http.h"
#include "tests/sim/fake_loop.h"
#include "tests/sim/fake_worker.h"
#include "tests/unit/unit.h"

#include "shared/base/banned.h"

#define REFRESH_MS 5000
#define CALLS_MAX  4000

struct call { /* a request as it arrived */
    mono_ms at;
    bool is_batch;
    bool is_notice;
    size_t shards;   /* in a batch */
    char target[96]; /* of a single one */
};

struct dc { /* the metaserver of another DC */
    struct addr addr;
    bool is_java;
    int status;          /* of everything, when not 200 */
    const char *spoiled; /* single requests with this in their target get no answer */
    struct call calls[CALLS_MAX];
    size_t call_count;
    struct map heard; /* shards of notices, "cluster/shard" -> itself */
};

struct fixture {
    struct loop *loop;
    struct worker_pool *pool;
    struct dc_links *links;
    struct dc fra;
    struct dc oy;
    int shards; /* of cluster c, asked for in every round */
    int told;
    struct map told_shards; /* "dc/shard" -> the map */
};

/* ---- the metaserver of the other side ---- */

static void say(struct http_reply *reply, int status, char *take_body)
{
    reply->status = status;
    reply->body = take_body;
    reply->length = strlen(take_body);
}

static char *answer_batch(const json_t *shards)
{
    json_t *rows = json_array();
    size_t i;
    json_t *name;
    json_array_foreach (shards, i, name) {
        (void)json_array_append_new(rows, json_pack("{s:O, s:O, s:s, s:b, s:n, s:{s:s, s:i}, s:i}",
                                                    "cluster", json_array_get(name, 0), "shard",
                                                    json_array_get(name, 1), "place", "primary",
                                                    "hasKeepers", 0, "activeKeeper", "master", "ip",
                                                    "10.0.3.1", "port", 6379, "offset", 1));
    }
    json_t *body = json_pack("{s:o}", "upstreams", rows);
    char *text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    return text;
}

static void hear(struct dc *dc, const json_t *shards)
{
    size_t i;
    json_t *name;
    json_array_foreach (shards, i, name) {
        AUTO_FREE char *key = xasprintf("%s/%s", json_string_value(json_array_get(name, 0)),
                                        json_string_value(json_array_get(name, 1)));
        (void)map_put(&dc->heard, key, dc);
    }
}

static void serve(const char *method, const char *target, const char *body, size_t length,
                  const char *if_none_match, struct http_reply *ret_reply, void *arg)
{
    (void)if_none_match;
    struct dc *dc = arg;
    bool is_lost = dc->spoiled && strstr(target, dc->spoiled);
    if (dc->spoiled) {
        fake_http_set(NULL, &dc->addr, is_lost ? FAKE_HTTP_REPLY_LOST : FAKE_HTTP_UP);
    }
    assert_true(dc->call_count < CALLS_MAX);
    struct call *call = &dc->calls[dc->call_count++];
    *call = (struct call){ .at = clock_mono_ms(), .is_batch = strcmp(method, "POST") == 0 };
    call->is_notice = strstr(target, "change") != NULL;
    json_t *json = NULL;
    struct xp_err err;
    if (call->is_batch) {
        assert_int_equal(jd_parse(body, length, &json, &err), 0);
    } else {
        (void)snprintf(call->target, sizeof(call->target), "%s %s", method, target);
    }
    const json_t *shards = json_object_get(json, "shards");
    call->shards = json_array_size(shards);
    if (dc->status != 200) {
        say(ret_reply, dc->status, xstrdup("{}"));
    } else if (call->is_batch && dc->is_java) {
        say(ret_reply, 404, xstrdup("{}"));
    } else if (call->is_batch && call->is_notice) {
        hear(dc, shards);
        say(ret_reply, 200, xstrdup("{}"));
    } else if (call->is_batch) {
        say(ret_reply, 200, answer_batch(shards));
    } else {
        if (call->is_notice && !is_lost) {
            (void)map_put(&dc->heard, call->target, dc);
        }
        say(ret_reply, 200, xstrdup("{\"ip\":\"10.0.3.1\",\"port\":6380,\"active\":true}"));
    }
    json_decref(json);
}

/* ---- our side ---- */

static void each_shard(const char *dc, void (*add)(const char *, const char *, void *),
                       void *add_arg, void *arg)
{
    const struct fixture *f = arg;
    (void)dc;
    for (int i = 0; i < f->shards; i++) {
        AUTO_FREE char *shard = xasprintf("s%d", i);
        add("c", shard, add_arg);
    }
}

static void on_answer(const char *dc, const struct shard_name *name, const struct dc_answer *answer,
                      void *arg)
{
    struct fixture *f = arg;
    assert_string_equal(name->cluster, "c");
    assert_string_equal(answer->addr.host, "10.0.3.1");
    AUTO_FREE char *key = xasprintf("%s/%s", dc, name->shard);
    (void)map_put(&f->told_shards, key, f);
    f->told++;
}

static void dc_init(struct dc *dc, const char *host)
{
    dc->addr = addr_of(host, 8080);
    dc->status = 200;
    dc->heard = MAP_INIT(MAP_TEXT);
    fake_http_serve(&dc->addr, serve, dc);
}

static int open_all(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    fake_http_reset();
    fake_clock_set(1000000, 1700000000000);
    f->loop = loop_new();
    f->pool = worker_pool_new(f->loop, "peers", 4, 100, NULL, NULL, NULL);
    f->told_shards = MAP_INIT(MAP_TEXT);
    f->shards = 2;
    dc_init(&f->fra, "10.0.3.100");
    dc_init(&f->oy, "10.0.4.100");
    *state = f;
    return 0;
}

static void open_links(struct fixture *f)
{
    struct dc_links_options options = {
        .loop = f->loop,
        .pool = f->pool,
        .words = &upstream_words,
        .own_dc = "jq",
        .dcinfos = "{\"fra\":{\"metaServerAddress\":\"10.0.3.100:8080\"},"
                   "\"oy\":{\"metaServerAddress\":\"10.0.4.100:8080\"}}",
        .refresh_ms = REFRESH_MS,
        .connect_timeout_ms = 500,
        .timeout_ms = 2000,
        .each_shard = each_shard,
        .on_answer = on_answer,
        .arg = f,
    };
    f->links = dc_links_new(&options);
}

static int close_all(void **state)
{
    struct fixture *f = *state;
    worker_pool_free(f->pool);
    dc_links_free(f->links);
    fake_http_serve(&f->fra.addr, NULL, NULL);
    fake_http_serve(&f->oy.addr, NULL, NULL);
    loop_free(f->loop);
    fake_http_reset();
    map_done(&f->told_shards);
    map_done(&f->fra.heard);
    map_done(&f->oy.heard);
    free(f);
    return 0;
}

static void pass(int64_t ms)
{
    fake_loop_advance_to(clock_mono_ms() + ms);
}

static size_t count_calls(const struct dc *dc, bool is_batch, bool is_notice)
{
    size_t n = 0;
    for (size_t i = 0; i < dc->call_count; i++) {
        n += dc->calls[i].is_batch == is_batch && dc->calls[i].is_notice == is_notice;
    }
    return n;
}

static void tell(struct fixture *f, const char *shard, const char *host)
{
    struct addr head = addr_of(host, 6380);
    dc_links_tell(f->links, "fra", "c", shard, &head);
}

/* ---- rounds ---- */

static void a_round_each_period(void **state)
{
    struct fixture *f = *state;
    open_links(f);
    pass(20 * REFRESH_MS + REFRESH_MS / 2);
    assert_int_equal(f->fra.call_count, 21); /* one at once */
    assert_int_equal(f->oy.call_count, 21);
    for (size_t i = 1; i < f->fra.call_count; i++) {
        assert_int_equal(f->fra.calls[i].at - f->fra.calls[i - 1].at, REFRESH_MS);
        assert_int_equal(f->fra.calls[i].shards, 2);
    }
    dc_links_set_periods(f->links, 60000);
    pass(REFRESH_MS); /* the period that runs ends as it began */
    f->fra.call_count = 0;
    pass(300000);
    assert_in_range(f->fra.call_count, 4, 5);
}

static void more_shards_than_fit_into_one_request(void **state)
{
    struct fixture *f = *state;
    f->shards = 2 * SHARD_NAMES_MAX + 17;
    open_links(f);
    pass(REFRESH_MS / 2);
    assert_int_equal(f->fra.call_count, 3);
    assert_int_equal(f->fra.calls[0].shards, SHARD_NAMES_MAX);
    assert_int_equal(f->fra.calls[1].shards, SHARD_NAMES_MAX);
    assert_int_equal(f->fra.calls[2].shards, 17);
    /* one under way at a time: the next left when the answer was there */
    assert_true(f->fra.calls[1].at - f->fra.calls[0].at >= 2 * FAKE_HTTP_LATENCY_MS);
    assert_int_equal(map_count(&f->told_shards), 2 * (size_t)f->shards);
}

/* ---- failures ---- */

static void pauses_grow_and_end(void **state)
{
    struct fixture *f = *state;
    f->shards = 0;
    f->fra.status = 500;
    open_links(f);
    tell(f, "s1", "10.0.1.1");
    pass(70000);
    static const int64_t gaps[] = { 500, 1000, 2000, 4000, 8000, 10000, 10000, 10000, 10000 };
    assert_true(f->fra.call_count > ARRAY_LEN(gaps));
    for (size_t i = 0; i < ARRAY_LEN(gaps); i++) {
        int64_t gap = f->fra.calls[i + 1].at - f->fra.calls[i].at;
        assert_in_range(gap, gaps[i], gaps[i] + 20);
    }
    assert_int_equal(map_count(&f->fra.heard), 0);
    f->fra.status = 200;
    pass(10100);
    assert_non_null(map_get(&f->fra.heard, "c/s1"));
    size_t heard_after = f->fra.call_count;
    pass(600000);
    assert_int_equal(f->fra.call_count, heard_after); /* once heard, never again */
    f->fra.status = 500;                              /* pauses begin anew */
    tell(f, "s2", "10.0.1.1");
    pass(600);
    assert_int_equal(f->fra.call_count, heard_after + 2);
}

static void questions_of_a_dead_dc_wait_for_the_next_round(void **state)
{
    struct fixture *f = *state;
    fake_http_set(NULL, &f->fra.addr, FAKE_HTTP_UNREACHABLE);
    open_links(f);
    pass(12 * REFRESH_MS + 100);
    assert_int_equal(f->fra.call_count, 0);
    /* the other DC noticed nothing */
    assert_int_equal(f->oy.call_count, 13);
    assert_int_equal(map_count(&f->told_shards), 2);
    fake_http_set(NULL, &f->fra.addr, FAKE_HTTP_UP);
    pass(15000); /* the pause of 10 s, and a round */
    assert_int_equal(map_count(&f->told_shards), 4);
}

static void an_answer_that_got_lost_is_asked_for_again(void **state)
{
    struct fixture *f = *state;
    f->shards = 0;
    open_links(f);
    pass(10);
    fake_http_set(NULL, &f->fra.addr, FAKE_HTTP_REPLY_LOST);
    tell(f, "s1", "10.0.1.1");
    pass(3000);
    assert_non_null(map_get(&f->fra.heard, "c/s1")); /* heard, but we do not know it */
    size_t before = f->fra.call_count;
    fake_http_set(NULL, &f->fra.addr, FAKE_HTTP_UP);
    pass(10000);
    assert_true(f->fra.call_count > before);
    before = f->fra.call_count;
    pass(60000);
    assert_int_equal(f->fra.call_count, before);
}

/* ---- Java metaservers ---- */

static void a_java_metaserver_that_becomes_ours(void **state)
{
    struct fixture *f = *state;
    f->fra.is_java = true;
    open_links(f);
    pass(9 * 60000);
    assert_int_equal(count_calls(&f->fra, true, false), 1); /* the one that said it */
    size_t singles = count_calls(&f->fra, false, false);
    assert_in_range(singles, 2 * 54, 2 * 56); /* two shards, a round each 10 s */
    f->fra.is_java = false;                   /* replaced while we take it for a Java one */
    f->fra.call_count = 0;
    pass(2 * 60000);
    assert_true(count_calls(&f->fra, true, false) > 0);
    f->fra.call_count = 0;
    pass(10 * REFRESH_MS);
    assert_int_equal(count_calls(&f->fra, true, false), 10);
    assert_int_equal(count_calls(&f->fra, false, false), 0);
}

static void a_java_metaserver_stays_one(void **state)
{
    struct fixture *f = *state;
    f->fra.is_java = true;
    open_links(f);
    pass(61 * 60000);
    assert_in_range(count_calls(&f->fra, true, false), 6, 7); /* asked again each 10 min */
    assert_int_equal(map_count(&f->told_shards), 4);
}

static int64_t slow(const struct loop *client, const struct addr *server, void *arg)
{
    (void)client;
    const struct fixture *f = arg;
    return addr_eq(server, &f->fra.addr) ? 200 : FAKE_HTTP_LATENCY_MS;
}

/* A hundred shards of 400 ms each: a job ends after 5 s, the rest goes on in the next; everybody's turn comes. */
static void a_slow_java_metaserver_starves_no_shard(void **state)
{
    struct fixture *f = *state;
    f->shards = 100;
    f->fra.is_java = true;
    fake_http_set_latency(slow, f);
    open_links(f);
    pass(2 * 100 * 400);
    assert_int_equal(map_count(&f->told_shards), 200);
    size_t longest = 0; /* requests one after the other: at most one at a time is with them */
    for (size_t i = 1; i < f->fra.call_count; i++) {
        longest += f->fra.calls[i].at - f->fra.calls[i - 1].at < 400;
    }
    assert_int_equal(longest, 0);
}

/* One whose calls fail each time costs a pause, and takes nobody's turn. */
static void a_shard_that_always_fails_starves_no_other(void **state)
{
    struct fixture *f = *state;
    f->shards = 100;
    f->fra.is_java = true;
    f->fra.spoiled = "/s33";
    open_links(f);
    for (int i = 31; i < 36; i++) {
        AUTO_FREE char *shard = xasprintf("s%d", i);
        tell(f, shard, "10.0.1.1");
    }
    for (int round = 0; round < 3; round++) {
        map_done(&f->told_shards);
        pass(60000);
        assert_int_equal(map_count(&f->told_shards), 100 + 99);
        assert_null(map_get(&f->told_shards, "fra/s33"));
    }
    assert_int_equal(map_count(&f->fra.heard), 4);
    f->fra.spoiled = NULL;
    fake_http_set(NULL, &f->fra.addr, FAKE_HTTP_UP);
    pass(11000);
    assert_int_equal(map_count(&f->fra.heard), 5);
    pass(30000);
    assert_non_null(map_get(&f->told_shards, "fra/s33"));
}

static void a_java_metaserver_is_told_the_newest_head(void **state)
{
    struct fixture *f = *state;
    f->shards = 0;
    f->fra.is_java = true;
    open_links(f);
    fake_http_set(NULL, &f->fra.addr, FAKE_HTTP_REFUSES);
    tell(f, "s1", "10.0.1.1");
    pass(3000);
    tell(f, "s1", "10.0.1.2"); /* it failed over again meanwhile */
    pass(30000);
    fake_http_set(NULL, &f->fra.addr, FAKE_HTTP_UP);
    pass(11000);
    const struct call *last = &f->fra.calls[f->fra.call_count - 1];
    assert_string_equal(last->target, "PUT /api/meta/upstreamchange/c/s1/10.0.1.2/6380?dcName=jq");
    for (size_t i = 0; i < f->fra.call_count; i++) {
        assert_null(strstr(f->fra.calls[i].target, "10.0.1.1/"));
    }
}

#define T(f) cmocka_unit_test_setup_teardown(f, open_all, close_all)

int main(void)
{
    log_set_level(LOG_LEVELS);
    const struct CMUnitTest tests[] = {
        T(a_round_each_period),
        T(more_shards_than_fit_into_one_request),
        T(pauses_grow_and_end),
        T(questions_of_a_dead_dc_wait_for_the_next_round),
        T(an_answer_that_got_lost_is_asked_for_again),
        T(a_java_metaserver_that_becomes_ours),
        T(a_java_metaserver_stays_one),
        T(a_slow_java_metaserver_starves_no_shard),
        T(a_shard_that_always_fails_starves_no_other),
        T(a_java_metaserver_is_told_the_newest_head),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
