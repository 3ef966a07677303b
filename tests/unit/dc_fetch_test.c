/* dc_fetch_test.c - the document from a scripted console to the store and to the file on disk. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "meta/dcmeta/dc_fetch.h"
#include "shared/base/log.h"
#include "tests/unit/stretch.h"
#include "tests/unit/unit.h"

#include "tests/unit/console_script.h"
#include "tests/unit/dc_fixture.h"

#include "shared/base/banned.h"

#define LOST 21

struct fixture {
    struct loop *loop;
    struct worker_pool *pool;
    struct dc_store *store;
    struct dc_fetch *fetch;
    struct script console;
    char folder[64];
    char file[96];
    int expected;
    int heard;
    mono_ms asked_at;
};

static void on_cluster(const struct cluster_meta *before, struct cluster_meta *after, void *arg)
{
    (void)before;
    (void)after;
    dc_fetch_changed(*(struct dc_fetch **)arg); /* must be harmless at any time */
}

static void on_routes(void *arg)
{
    (void)arg;
}

static void on_answer(mono_ms asked_at, void *arg)
{
    struct fixture *f = arg;
    assert_true(asked_at >= f->asked_at && asked_at <= loop_now(f->loop));
    f->asked_at = asked_at;
    f->heard++;
}

static void open_fetch(struct fixture *f)
{
    char url[64];
    struct dc_listener listener = { .on_cluster = on_cluster,
                                    .on_routes = on_routes,
                                    .arg = &f->fetch };
    f->pool = worker_pool_new(f->loop, "worker", 2, 100, NULL, NULL, NULL);
    f->store = dc_store_new("JQ", 60000, &listener);
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%d", f->console.port);
    struct dc_fetch_options options = {
        .loop = f->loop,
        .pool = f->pool,
        .store = f->store,
        .console_url = url,
        .cluster_types = "ONE_WAY;BI_DIRECTION",
        .cache_file = f->file,
        .on_answer = on_answer,
        .arg = f,
        .refresh_ms = 60000,
        .connect_timeout_ms = 1000,
        .timeout_ms = 5000,
        .limits = { .removals = 20, .downgrades = 20 },
    };
    f->fetch = dc_fetch_new(&options);
}

static void close_fetch(struct fixture *f)
{
    worker_pool_free(f->pool);
    dc_fetch_free(f->fetch);
    dc_store_free(f->store);
}

static int open_all(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    (void)snprintf(f->folder, sizeof(f->folder), "/tmp/xpipe-dc-fetch.XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    (void)snprintf(f->file, sizeof(f->file), "%s/dc.json", f->folder);
    f->loop = loop_new();
    script_init(&f->console, f->loop);
    open_fetch(f);
    *state = f;
    return 0;
}

static int close_all(void **state)
{
    struct fixture *f = *state;
    script_stop(&f->console);
    close_fetch(f);
    script_done(&f->console);
    loop_free(f->loop);
    (void)unlink(f->file);
    AUTO_FREE char *temp = xasprintf("%s.new", f->file);
    (void)unlink(temp);
    assert_int_equal(rmdir(f->folder), 0);
    free(f);
    return 0;
}

/* ---- conditions ---- */

static bool has_version(void *arg)
{
    const struct fixture *f = arg;
    return dc_store_version(f->store) == f->expected;
}

static bool has_requests(void *arg)
{
    const struct fixture *f = arg;
    return f->console.requests >= f->expected;
}

static bool has_error(void *arg)
{
    return dc_fetch_last_error(((const struct fixture *)arg)->fetch)[0] != '\0';
}

static bool has_no_error(void *arg)
{
    return !has_error(arg);
}

static bool has_file(void *arg)
{
    return access(((const struct fixture *)arg)->file, R_OK) == 0;
}

static void wait_for(struct fixture *f, bool (*cond)(void *), int expected)
{
    f->expected = expected;
    assert_true(script_wait(&f->console, cond, f, SCRIPT_LIMIT_MS));
}

/* One fetch more, all of it. */
static void fetch_again(struct fixture *f)
{
    int before = f->console.requests;
    dc_fetch_now(f->fetch);
    wait_for(f, has_requests, before + 1);
}

static void serve(struct fixture *f, int64_t version, const struct cluster_row *rows)
{
    AUTO_FREE char *text = document_text("jq", version, rows, "");
    script_answer(&f->console, 200, text);
}

static void first_document(struct fixture *f)
{
    serve(f, 3, ROWS(C("a", 1), C("b", 2)));
    dc_fetch_start(f->fetch);
    wait_for(f, has_version, 3);
}

/* ---- tests ---- */

static void a_document_arrives_and_is_kept(void **state)
{
    struct fixture *f = *state;
    f->console.etag = "\"t1\"";
    first_document(f);
    assert_int_equal(dc_store_count(f->store), 2);
    assert_non_null(
        strstr(str_text(&f->console.seen), "GET /api/dc/jq?types=ONE_WAY&types=BI_DIRECTION "));
    assert_true(dc_store_confirmed_at(f->store) != MONO_NEVER);
    wait_for(f, has_file, 0);
    mono_ms confirmed_at = dc_store_confirmed_at(f->store);
    fetch_again(f);
    assert_string_equal(f->console.if_none_match, "\"t1\"");
    fetch_again(f); /* the 304 before has been taken by now */
    assert_true(dc_store_confirmed_at(f->store) >= confirmed_at);
    assert_int_equal(dc_store_count(f->store), 2);
    assert_string_equal(dc_fetch_last_error(f->fetch), "");
}

/* What was pushed may contradict the document: "not modified" would leave it so for ever. */
static void after_a_push_the_whole_document_is_asked_for(void **state)
{
    struct fixture *f = *state;
    f->console.etag = "\"t1\"";
    first_document(f);
    struct cluster_row row = C("manual", 77);
    assert_int_equal(dc_store_put(f->store, cluster_of(&row), loop_now(f->loop), NULL), 0);
    serve(f, 4, ROWS(C("a", 1), C("b", 2)));
    dc_fetch_now(f->fetch);
    wait_for(f, has_version, 4);
    assert_string_equal(f->console.if_none_match, "");
    assert_null(dc_store_cluster(f->store, "manual"));
}

static void assert_refused(struct fixture *f, int status, const char *body, const char *why)
{
    script_answer(&f->console, status, body);
    dc_fetch_now(f->fetch);
    wait_for(f, has_error, 0);
    if (!strstr(dc_fetch_last_error(f->fetch), why)) {
        fail_msg("'%s' lacks '%s'", dc_fetch_last_error(f->fetch), why);
    }
    assert_int_equal(dc_store_count(f->store), 2);
    assert_int_equal(dc_store_version(f->store), 3);
    serve(f, 3, ROWS(C("a", 1), C("b", 2)));
    dc_fetch_now(f->fetch);
    wait_for(f, has_no_error, 0);
}

static void odd_answers_change_nothing(void **state)
{
    struct fixture *f = *state;
    first_document(f);
    AUTO_FREE char *whole = document_text("jq", 9, ROWS(C("x", 5)), "");
    AUTO_FREE char *half = xstrndup(whole, strlen(whole) / 2);
    AUTO_FREE char *other = document_text("fra", 9, ROWS(C("x", 5)), "");
    AUTO_FREE char *nobody = document_text(NULL, 9, ROWS(C("x", 5)), "");
    AUTO_FREE char *older = document_text("jq", 2, ROWS(C("x", 5)), "");
    assert_refused(f, 200, half, "DC document");
    assert_refused(f, 200, "", "DC document");
    assert_refused(f, 200, "null", "DC document");
    assert_refused(f, 200, "<html>oops</html>", "DC document");
    assert_refused(f, 200, other, "'fra'");
    assert_refused(f, 200, nobody, "'null'");
    assert_refused(f, 200, older, "older");
    assert_refused(f, 500, "{\"message\":\"no database\"}", "answered 500");
    assert_refused(f, 404, "", "answered 404");
}

static bool was_heard(void *arg)
{
    const struct fixture *f = arg;
    return f->heard >= f->expected;
}

/* Whatever became of its document; but not who answers in its place. */
static void the_console_is_heard_when_it_answers(void **state)
{
    struct fixture *f = *state;
    f->console.etag = "\"t1\"";
    first_document(f);
    assert_int_equal(f->heard, 1);
    dc_fetch_now(f->fetch);
    wait_for(f, was_heard, 2); /* 304 */
    f->console.etag = NULL;
    serve(f, 2, ROWS(C("a", 1)));
    dc_fetch_now(f->fetch);
    wait_for(f, has_error, 0); /* older: not applied */
    assert_int_equal(f->heard, 3);
    serve(f, 3, ROWS(C("a", 1), C("b", 2)));
    dc_fetch_now(f->fetch);
    wait_for(f, has_no_error, 0);
    AUTO_FREE char *other = document_text("fra", 9, ROWS(C("x", 5)), "");
    assert_refused(f, 200, other, "'fra'");
    assert_int_equal(f->heard, 5); /* the good one before, and the one behind it */
    assert_refused(f, 503, "", "answered 503");
    assert_int_equal(f->heard, 6);
}

static void a_failing_console_is_asked_again(void **state)
{
    struct fixture *f = *state;
    script_answer(&f->console, 503, "");
    struct stretch s = stretch_begin();
    dc_fetch_start(f->fetch);
    wait_for(f, has_error, 0);
    assert_false(dc_store_has_document(f->store));
    serve(f, 3, ROWS(C("a", 1)));
    wait_for(f, has_version, 3); /* by itself, after a quarter of a second */
    assert_lasted(&s, 240, 3000);
    assert_string_equal(dc_fetch_last_error(f->fetch), "");
}

static void too_many_removals_wait_for_an_operator(void **state)
{
    struct fixture *f = *state;
    static char names[LOST][16];
    struct cluster_row rows[LOST + 2] = { 0 };
    for (size_t i = 0; i < LOST; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "c%zu", i);
        rows[i] = (struct cluster_row)C(names[i], (int64_t)i + 1);
    }
    f->console.etag = "\"t1\"";
    serve(f, 3, rows);
    dc_fetch_start(f->fetch);
    wait_for(f, has_version, 3);
    f->console.etag = "\"t2\"";
    serve(f, 4, ROWS(C("new", 100)));
    dc_fetch_now(f->fetch);
    wait_for(f, has_version, 4);
    assert_int_equal(dc_store_held_count(f->store), LOST);
    assert_int_equal(dc_store_count(f->store), LOST + 1); /* additions came in */
    assert_non_null(dc_store_cluster(f->store, "new"));
    fetch_again(f);
    assert_string_equal(f->console.if_none_match, ""); /* held: must be seen again */
    dc_fetch_accept_once(f->fetch);
    f->expected = f->console.requests + 1;
    wait_for(f, has_requests, f->expected);
    fetch_again(f);
    assert_int_equal(dc_store_count(f->store), 1);
    assert_int_equal(dc_store_held_count(f->store), 0);
}

static void accepted_once_an_older_document_comes_in(void **state)
{
    struct fixture *f = *state;
    first_document(f);
    serve(f, 2, ROWS(C("a", 1)));
    dc_fetch_accept_once(f->fetch);
    wait_for(f, has_version, 2);
    assert_int_equal(dc_store_count(f->store), 1);
    serve(f, 1, ROWS(C("a", 1), C("z", 9)));
    dc_fetch_now(f->fetch);
    wait_for(f, has_error, 0); /* once means once */
    assert_int_equal(dc_store_version(f->store), 2);
}

static bool is_held(void *arg)
{
    return ((const struct fixture *)arg)->console.held != NULL;
}

static void a_push_during_a_slow_fetch_wins(void **state)
{
    struct fixture *f = *state;
    first_document(f);
    f->console.is_held = true;
    dc_fetch_now(f->fetch);
    wait_for(f, is_held, 0);
    assert_int_equal(dc_store_remove(f->store, "b", 0, loop_now(f->loop), NULL), 0);
    script_release(&f->console); /* the answer from before: 'b' is in it */
    int asked = f->console.requests;
    serve(f, 5, ROWS(C("a", 1)));
    wait_for(f, has_requests, asked + 1);
    wait_for(f, has_version, 5);
    assert_null(dc_store_cluster(f->store, "b"));
    assert_int_equal(dc_store_count(f->store), 1);
}

static void many_wishes_become_one_fetch(void **state)
{
    struct fixture *f = *state;
    first_document(f);
    int asked = f->console.requests;
    f->console.is_held = true;
    dc_fetch_now(f->fetch);
    wait_for(f, is_held, 0);
    for (int i = 0; i < 10; i++) {
        dc_fetch_now(f->fetch);
    }
    script_release(&f->console);
    wait_for(f, has_requests, asked + 2);
    f->expected = asked + 3;
    assert_false(script_wait(&f->console, has_requests, f, 200));
}

/* ---- the file ---- */

static void the_file_serves_while_the_console_is_down(void **state)
{
    struct fixture *f = *state;
    first_document(f);
    wait_for(f, has_file, 0);
    script_stop(&f->console);
    close_fetch(f);
    open_fetch(f);
    dc_fetch_start(f->fetch);
    wait_for(f, has_version, 3);
    assert_int_equal(dc_store_count(f->store), 2);
    assert_true(dc_store_confirmed_at(f->store) == MONO_NEVER); /* stale */
    assert_true(has_error(f));
    serve(f, 4, ROWS(C("a", 1), C("b", 2), C("c", 3)));
    script_start(&f->console);
    wait_for(f, has_version, 4);
    assert_true(dc_store_confirmed_at(f->store) != MONO_NEVER);
}

static bool never(void *arg)
{
    (void)arg;
    return false;
}

/* Found by the soak: the console hung while a member started, two pushes arrived, and the file that was then read held nothing else;
 * six links went direct instead of through their proxies. */
static void pushes_before_the_first_document_do_not_replace_the_file(void **state)
{
    struct fixture *f = *state;
    struct cluster_row pushed = C("pushed", 3, .version = 1);
    first_document(f);
    wait_for(f, has_file, 0);
    script_stop(&f->console);
    close_fetch(f);
    open_fetch(f);
    assert_int_equal(dc_store_put(f->store, cluster_of(&pushed), loop_now(f->loop), NULL), 0);
    (void)script_wait(&f->console, never, f,
                      400); /* it would be written after a tenth of a second */
    dc_fetch_start(f->fetch);
    wait_for(f, has_version, 3);
    assert_non_null(dc_store_cluster(f->store, "a"));
    assert_non_null(dc_store_cluster(f->store, "b"));
}

static void damage_file(const char *path, const char *text)
{
    FILE *out = fopen(path, "we");
    assert_non_null(out);
    assert_true(fputs(text, out) >= 0);
    assert_int_equal(fclose(out), 0);
}

static void a_damaged_file_is_no_document(void **state)
{
    struct fixture *f = *state;
    damage_file(f->file, "{\"id\":\"jq\",\"clusters\":{\"a\":");
    script_stop(&f->console);
    dc_fetch_start(f->fetch);
    wait_for(f, has_error, 0);
    f->expected = -1;
    (void)script_wait(&f->console, has_version, f, 300); /* the file was read meanwhile */
    assert_false(dc_store_has_document(f->store));
    serve(f, 7, ROWS(C("a", 1)));
    script_start(&f->console);
    wait_for(f, has_version, 7);
}

static bool file_has_c(void *arg)
{
    char text[65536] = "";
    FILE *in = fopen(((const struct fixture *)arg)->file, "re");
    if (in) {
        (void)!fread(text, 1, sizeof(text) - 1, in);
        (void)fclose(in);
    }
    return strstr(text, "\"cluster-c\"") != NULL;
}

static void the_file_is_written_at_most_every_five_seconds(void **state)
{
    struct fixture *f = *state;
    struct stretch s = stretch_begin();
    first_document(f);
    wait_for(f, has_file, 0);
    struct cluster_row row = C("cluster-c", 3);
    assert_int_equal(dc_store_put(f->store, cluster_of(&row), loop_now(f->loop), NULL), 0);
    wait_for(f, file_has_c, 0);
    assert_lasted(&s, 4900, 8500);
}

static bool file_has_container(void *arg)
{
    char text[65536] = "";
    FILE *in = fopen(((const struct fixture *)arg)->file, "re");
    if (in) {
        (void)!fread(text, 1, sizeof(text) - 1, in);
        (void)fclose(in);
    }
    return strstr(text, "10.0.9.9") != NULL;
}

/* A restart without the console needs them to start keepers. */
static void other_containers_alone_reach_the_file(void **state)
{
    struct fixture *f = *state;
    first_document(f);
    wait_for(f, has_file, 0);
    AUTO_FREE char *clusters = document_text("jq", 4, ROWS(C("a", 1), C("b", 2)), "");
    AUTO_FREE char *text =
        xasprintf("%.*s,\"keeperContainers\":[{\"id\":1,\"ip\":\"10.0.9.9\",\"port\":8080}]}",
                  (int)strlen(clusters) - 1, clusters);
    script_answer(&f->console, 200, text);
    dc_fetch_now(f->fetch);
    wait_for(f, has_version, 4);
    wait_for(f, file_has_container, 0);
    uint64_t changes = dc_store_hosts_changes(f->store);
    fetch_again(f); /* the same once more */
    assert_true(dc_store_hosts_changes(f->store) == changes);
}

#define T(f) cmocka_unit_test_setup_teardown(f, open_all, close_all)

int main(void)
{
    log_set_level(LOG_LEVELS);
    const struct CMUnitTest tests[] = {
        T(a_document_arrives_and_is_kept),
        T(after_a_push_the_whole_document_is_asked_for),
        T(odd_answers_change_nothing),
        T(the_console_is_heard_when_it_answers),
        T(a_failing_console_is_asked_again),
        T(too_many_removals_wait_for_an_operator),
        T(accepted_once_an_older_document_comes_in),
        T(a_push_during_a_slow_fetch_wins),
        T(many_wishes_become_one_fetch),
        T(the_file_serves_while_the_console_is_down),
        T(pushes_before_the_first_document_do_not_replace_the_file),
        T(a_damaged_file_is_no_document),
        T(the_file_is_written_at_most_every_five_seconds),
        T(other_containers_alone_reach_the_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
