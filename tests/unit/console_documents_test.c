/* The document cache under concurrent readers and a writer, the version of clusters, and ETag comparison. */
#include "tests/unit/unit.h"

#include <pthread.h>

#include "console/documents/document.h"
#include "shared/base/metrics.h"
#include "shared/db/db_internal.h"
#include "tests/unit/console_fixture.h"

#include "shared/base/banned.h"

#define READERS    6
#define READS_EACH 60
#define CHANGES    12

static struct fixture f;

static int setup(void **state)
{
    (void)state;
    fixture_open(&f);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fixture_close(&f);
    return 0;
}

static void must(const char *method, const char *target, const char *body)
{
    call_must(&f, method, target, body);
}

static void base_data(void)
{
    must("POST", "/api/zone", "{\"name\":\"SHA\"}");
    must("POST", "/api/dc", "{\"zone_id\":1,\"dc_name\":\"jq\",\"description\":\"d\"}");
    must("POST", "/api/dc", "{\"zone_id\":1,\"dc_name\":\"oy\",\"description\":\"d\"}");
    must("POST", "/api/organizations", "{\"orgId\":8,\"orgName\":\"cache\"}");
    must("POST", "/api/clusters",
         "{\"clusterName\":\"demo\",\"dcs\":[\"jq\",\"oy\"],\"desc\":\"d\",\"organizationId\":8,"
         "\"clusterAdminEmails\":\"a@b.c\"}");
    must("POST", "/api/shards/demo", "[{\"shardName\":\"s1\",\"shardMonitorName\":\"s1\"}]");
}

static int64_t builds(void)
{
    struct str text AUTO_STR = STR_INIT(1024 * 1024);
    metrics_print(&text);
    const char *at = strstr(str_text(&text), "\nxpipe_document_builds_total ");
    return at ? strtoll(at + strlen("\nxpipe_document_builds_total "), NULL, 10) : 0;
}

static int64_t version_of(const struct http_resp *resp)
{
    json_auto_t *json = json_loadb(resp->body->bytes, resp->body->len, 0, NULL);
    return (int64_t)json_integer_value(json_object_get(json, "version"));
}

/* cmocka's own asserts are for the main thread only: a reader counts what is wrong. */
struct reader {
    pthread_t thread;
    int wrong;
};

static mono_ms give_up_at(void)
{
    return clock_mono_ms() + 20000;
}

/* The answer, also when another reader's build gives it. */
static int wait_for_result(struct http_req *req, const struct http_resp **ret_resp)
{
    const struct xp_err *err;
    const struct timespec pause = { .tv_nsec = 100 * 1000 };
    mono_ms deadline = give_up_at();
    int rc;
    while ((rc = http_req_result_test(req, ret_resp, &err)) == HTTP_LATER &&
           clock_mono_ms() < deadline) {
        (void)nanosleep(&pause, NULL);
    }
    return rc;
}

/* Whatever was acknowledged before the request must be in its answer; a change that is committed and whose writer has
 * no answer yet (store_version is behind it) may be in it. */
static void read_once(struct reader *r)
{
    int64_t before = 0;
    struct xp_err err = { 0 };
    struct http_req *req = http_req_new_test("GET", "/api/dc/jq", NULL, &f.api);
    struct http_resp own = { .status = 200 };
    const struct http_resp *resp = &own;
    int64_t acknowledged = store_version(f.store);
    int rc = catalog_dc_version(&f.catalog, "jq", &before, &err);
    if (before > acknowledged) {
        before = 0;
    }
    if (rc == 0) {
        rc = document_cache_serve(f.api.documents, req, "jq", 0, &own, &err);
    }
    if (rc == HTTP_LATER) {
        rc = wait_for_result(req, &resp);
    }
    int64_t got = rc == 0 ? version_of(resp) : 0;
    if (rc != 0 || resp->status != 200 || got < before) {
        (void)fprintf(stderr,
                      "reader: rc %d (%s), status %d, version %lld, acknowledged before %lld\n", rc,
                      err.msg, resp->status, (long long)got, (long long)before);
        r->wrong++;
    }
    http_resp_done(&own);
    http_req_free_test(req);
}

static void *read_often(void *arg)
{
    for (int i = 0; i < READS_EACH; i++) {
        read_once(arg);
    }
    return NULL;
}

static void readers_share_builds_and_see_what_was_acknowledged(void **state)
{
    (void)state;
    base_data();
    int64_t builds_before = builds();
    struct reader readers[READERS] = { 0 };
    for (int i = 0; i < READERS; i++) {
        assert_int_equal(pthread_create(&readers[i].thread, NULL, read_often, &readers[i]), 0);
    }
    for (int i = 0; i < CHANGES; i++) {
        char *body AUTO_FREE = xasprintf("[\"10.0.0.%d:6379\"]", i + 1);
        must("POST", "/api/redises/jq/demo/s1", body);
    }
    int wrong = 0;
    for (int i = 0; i < READERS; i++) {
        pthread_join(readers[i].thread, NULL);
        wrong += readers[i].wrong;
    }
    assert_int_equal(wrong, 0);
    int64_t built = builds() - builds_before;
    assert_true(built >= 1);
    assert_true(built <= 2 * (CHANGES + 1)); /* not once for each of the 360 reads */
    struct reply last CLEANUP(reply_done) = call(&f, "GET", "/api/dc/jq", NULL);
    assert_non_null(strstr(last.body, "10.0.0.12"));
}

static void many_types_do_not_fill_the_memory(void **state)
{
    (void)state;
    base_data();
    static const char *const types[] = { "one_way",  "bi_direction", "single_dc",
                                         "local_dc", "cross_dc",     "hetero" };
    for (unsigned set = 1; set < 64;
         set++) { /* more documents than are kept, over the DCs and types */
        for (int dc = 0; dc < 5; dc++) {
            struct str target AUTO_STR = STR_INIT(4096);
            str_printf(&target, "/api/dc/dc%d?types=", dc);
            for (unsigned t = 0; t < 6; t++) {
                str_printf(&target, "%s", set & (1u << t) ? types[t] : "");
                str_puts(&target, ",");
            }
            if (set == 1) {
                char *body AUTO_FREE =
                    xasprintf("{\"zone_id\":1,\"dc_name\":\"dc%d\",\"description\":\"\"}", dc);
                must("POST", "/api/dc", body);
            }
            struct reply r CLEANUP(reply_done) = call(&f, "GET", str_text(&target), NULL);
            assert_int_equal(r.status, 200);
        }
    }
}

static void a_cluster_is_never_newer_than_its_document(void **state)
{
    (void)state;
    struct snap_cluster cluster = {
        .name = "c", .type = CLUSTER_ONE_WAY, .type_name = "ONE_WAY", .version = 9
    };
    struct dc_snapshot snap = { .dc = "jq", .dc_version = 7, .version = 12, .clusters = &cluster };
    json_auto_t *json = document_cluster(&snap, &cluster);
    assert_int_equal(json_integer_value(json_object_get(json, "version")), 7);
    cluster.version = 3;
    json_auto_t *older = document_cluster(&snap, &cluster);
    assert_int_equal(json_integer_value(json_object_get(older, "version")), 3);
}

static int edit_behind_the_version(struct db *db, void *arg, struct xp_err *err)
{
    (void)arg;
    return db_exec(db, "UPDATE dc_tbl SET dc_last_modified_time = 'restored'", err);
}

/* A restored backup that took other changes, or a newer program: same version, other bytes. */
static void same_version_other_bytes_other_tag(void **state)
{
    (void)state;
    struct xp_err err = { 0 };
    base_data();
    struct reply before CLEANUP(reply_done) = call(&f, "GET", "/api/dc/jq", NULL);
    for (int edited = 0; edited < 2; edited++) {
        document_cache_free(f.api.documents); /* as after a restart */
        f.api.documents = new_documents(&f, OLD_DOCUMENTS_BYTES);
        struct reply after CLEANUP(reply_done) = call(&f, "GET", "/api/dc/jq", NULL);
        assert_int_equal(strcmp(after.body, before.body) != 0, edited);
        assert_int_equal(strcmp(after.etag, before.etag) != 0, edited);
        assert_int_equal(store_bookkeep(f.store, edit_behind_the_version, NULL, &err), 0);
    }
}

/* bench-console: 40 readers that stood still, each at another version, kept 340 MB. */
static void slow_readers_cannot_keep_every_version(void **state)
{
    (void)state;
    enum { OLD_BYTES = 4096 };
    base_data();
    document_cache_free(f.api.documents);
    f.api.documents = new_documents(&f, OLD_BYTES);
    struct http_resp kept[64] = { { 0 } };
    int64_t bytes = 0;
    int rc = 0;
    size_t count = 0;
    for (; rc == 0 && count < 64; count++) {
        char *touch AUTO_FREE =
            xasprintf("{\"zone_id\":1,\"dc_name\":\"jq\",\"description\":\"step %zu\"}", count);
        must("PUT", "/api/dc", touch);
        struct xp_err err = { 0 };
        struct http_req *req = http_req_new_test("GET", "/api/dc/jq", NULL, &f.api);
        rc = document_cache_serve(f.api.documents, req, "jq", 0, &kept[count], &err);
        if (rc == HTTP_LATER) { /* the builder's own request is answered this way too */
            const struct http_resp *later;
            rc = http_req_result_test(req, &later, NULL);
            kept[count] = (struct http_resp){ .body = blob_ref(later->body) };
        }
        bytes += kept[count].body ? (int64_t)kept[count].body->len : 0;
        http_req_free_test(req);
    }
    assert_int_equal(rc, XP_TOO_MANY);
    assert_in_range(bytes, OLD_BYTES, 2 * OLD_BYTES);
    for (size_t i = 0; i < count; i++) {
        http_resp_done(&kept[i]);
    }
    struct reply r CLEANUP(reply_done) = call(&f, "GET", "/api/dc/jq", NULL);
    assert_int_equal(r.status, 200); /* they are gone: the newest is built again */
}

/* ---- a rebuild encodes only what changed ---- */

/* The cached document, built up change by change, and one that a new process would build: the same bytes, the same tag. The
 * DC is changed before: a document is not built anew for a change elsewhere that only moves a cluster's time. */
static void expect_same_as_from_scratch(const char *dc, const char *query, int step)
{
    char *touch AUTO_FREE =
        xasprintf("{\"zone_id\":1,\"dc_name\":\"%s\",\"description\":\"step %d\"}", dc, step);
    must("PUT", "/api/dc", touch);
    char *target AUTO_FREE = xasprintf("/api/dc/%s%s", dc, query);
    struct reply grown CLEANUP(reply_done) = call(&f, "GET", target, NULL);
    struct document_cache *kept = f.api.documents;
    f.api.documents = new_documents(&f, OLD_DOCUMENTS_BYTES);
    struct reply fresh CLEANUP(reply_done) = call(&f, "GET", target, NULL);
    document_cache_free(f.api.documents);
    f.api.documents = kept;
    if (strcmp(grown.body, fresh.body) != 0 || strcmp(grown.etag, fresh.etag) != 0) {
        fail_msg("step %d, %s:\n%s %s\n%s %s", step, target, grown.etag, grown.body, fresh.etag,
                 fresh.body);
    }
}

/* Any answer will do: what is refused (a shard that is there, a cluster that is gone) must not show either. */
static void change_something(unsigned *seed)
{
    int cluster = rand_r(seed) % 5;
    int shard = rand_r(seed) % 2;
    int dc = rand_r(seed) % 3;
    static const char *const dcs[] = { "jq", "oy", "zz" };
    static const char *const types[] = { "ONE_WAY", "BI_DIRECTION" };
    char *target AUTO_FREE = NULL;
    char *body AUTO_FREE = NULL;
    const char *method = "POST";
    switch (rand_r(seed) % 8) {
    case 0:
    case 1:
        target = xstrdup("/api/clusters");
        body = xasprintf("{\"clusterName\":\"c%d\",\"clusterType\":\"%s\",\"dcs\":[\"jq\",\"oy\"],"
                         "\"desc\":\"d\",\"organizationId\":8,\"clusterAdminEmails\":\"a@b.c\"}",
                         cluster, types[rand_r(seed) % 2]);
        break;
    case 2:
    case 3:
        target = xasprintf("/api/shards/c%d/s%d", cluster, shard);
        body = xasprintf("[{\"dcId\":\"%s\",\"redises\":\"10.0.0.%d:%d\"}]", dcs[dc],
                         1 + rand_r(seed) % 200, 1000 + rand_r(seed) % 9000);
        break;
    case 4:
        method = rand_r(seed) % 2 ? "DELETE" : "GET";
        target = xasprintf("/api/cluster/c%d?checkEmpty=false", cluster);
        break;
    case 5:
        method = "DELETE";
        target = xasprintf("/api/shards/c%d/s%d", cluster, shard);
        break;
    case 6:
        target = xasprintf("/api/clusters/c%d/dcs/zz", cluster);
        method = rand_r(seed) % 2 ? "POST" : "DELETE";
        break;
    default:
        method = "PUT";
        target = xstrdup("/api/cluster");
        body = xasprintf("{\"clusterName\":\"c%d\",\"clusterAdminEmails\":\"a%d@b.c\"}", cluster,
                         rand_r(seed) % 1000);
        break;
    }
    struct reply r CLEANUP(reply_done) = call(&f, method, target, body);
    (void)r;
}

static size_t clusters_in(const char *target)
{
    struct reply r CLEANUP(reply_done) = call(&f, "GET", target, NULL);
    json_auto_t *json = json_loads(r.body, 0, NULL);
    return json_object_size(json_object_get(json, "clusters"));
}

static void a_rebuild_gives_the_bytes_of_a_whole_build(void **state)
{
    (void)state;
    base_data();
    must("POST", "/api/dc", "{\"zone_id\":1,\"dc_name\":\"zz\",\"description\":\"d\"}");
    unsigned seed = 7;
    size_t most = 0;
    for (int i = 0; i < 400; i++) {
        change_something(&seed);
        if (rand_r(&seed) % 3 != 0) {
            expect_same_as_from_scratch("jq", "", i);
            expect_same_as_from_scratch("oy", "?types=bi_direction", i);
            expect_same_as_from_scratch("zz", "", i);
        }
        size_t now = clusters_in("/api/dc/jq");
        most = now > most ? now : most;
    }
    assert_true(most >= 3); /* the changes did work */
}

static void etags_compare(void **state)
{
    (void)state;
    assert_true(http_etag_matches("\"a-1-0\"", "\"a-1-0\""));
    assert_true(http_etag_matches("\"x\", W/\"a-1-0\"", "\"a-1-0\""));
    assert_true(http_etag_matches("*", "\"a-1-0\""));
    assert_false(http_etag_matches("\"a-1-00\"", "\"a-1-0\""));
    assert_false(http_etag_matches("a-1-0", "\"a-1-0\""));
    assert_false(http_etag_matches("", "\"a-1-0\""));
    assert_false(http_etag_matches(NULL, "\"a-1-0\""));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(readers_share_builds_and_see_what_was_acknowledged),
        CASE(many_types_do_not_fill_the_memory),
        cmocka_unit_test(a_cluster_is_never_newer_than_its_document),
        CASE(same_version_other_bytes_other_tag),
        CASE(slow_readers_cannot_keep_every_version),
        CASE(a_rebuild_gives_the_bytes_of_a_whole_build),
        cmocka_unit_test(etags_compare),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
