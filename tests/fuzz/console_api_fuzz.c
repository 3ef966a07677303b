/* console_api_fuzz.c - one request of anybody to the console: the real route tables, decode tables, services and store.
 *
 * Input: "METHOD target", header lines up to an empty line, the body. The store is the same before each input: zone, DCs jq,
 * oy and FRA, proxies, a route, a one-way and a bi-direction cluster with redises.
 * No input may be our fault (XP_INTERNAL), make an answer that is not JSON, break the change log, or store what the
 * metaservers cannot read: after each change all documents are built and parsed as a metaserver does. */
#include "console/api/envelope.h"
#include "console/api/request.h"
#include "console/api/tables.h"
#include "shared/model/dc_meta.h"
#include "tests/fuzz/http_fuzz.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "shared/base/banned.h"

static struct world {
    struct api_context api; /* FIRST */
    char dir[256];
    char *path;
    struct dc_alias *alias;
    struct store *store;
    struct catalog catalog;
    struct http_table *table;
    char *template; /* the database as it is before each input */
    size_t template_bytes;
    int64_t version; /* of the template */
} world;

/* ---- the store, fresh for each input ---- */

static void open_world(void)
{
    struct store_options options = { .path = world.path };
    struct xp_err err;
    fuzz_must(store_open(&options, &world.store, &err), &err);
    world.catalog = (struct catalog){ .store = world.store, .alias = world.alias };
    world.api = (struct api_context){ .catalog = &world.catalog, .address = "", .dc = "jq" };
    world.api.documents = document_cache_new(&(struct document_cache_options){
        .catalog = &world.catalog, .build_max = 1, .old_bytes_max = 1 << 20 });
}

static void close_world(void)
{
    document_cache_free(world.api.documents);
    store_close(world.store);
}

static void remove_file(const char *suffix)
{
    AUTO_FREE char *path = xasprintf("%s%s", world.path, suffix);
    (void)unlink(path);
}

static void remove_world(void)
{
    close_world();
    static const char *const suffixes[] = { "", "-wal", "-shm", ".lock" };
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        remove_file(suffixes[i]);
    }
    (void)rmdir(world.dir);
    http_table_free(world.table);
    dc_alias_free(world.alias);
    free(world.template);
    free(world.path);
}

static void keep_template(void)
{
    close_world(); /* the last connection merges the WAL into the file */
    int fd = open(world.path, O_RDONLY | O_CLOEXEC);
    off_t end = fd >= 0 ? lseek(fd, 0, SEEK_END) : -1;
    xp_check(end > 0);
    world.template_bytes = (size_t)end;
    world.template = xmalloc(world.template_bytes);
    xp_check(pread(fd, world.template, world.template_bytes, 0) == end);
    (void)close(fd);
    open_world();
    world.version = store_version(world.store);
}

static void reset_world(void)
{
    close_world();
    remove_file("-wal");
    remove_file("-shm");
    int fd = open(world.path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    xp_check(fd >= 0);
    xp_check(write(fd, world.template, world.template_bytes) == (ssize_t)world.template_bytes);
    (void)close(fd);
    open_world();
}

/* ---- one request ---- */

/* Handlers of shared/net want a whole daemon. */
static bool is_of_daemon(const struct http_route *route)
{
    for (const struct http_route *r = daemon_routes; r->method; r++) {
        if (r == route) {
            return true;
        }
    }
    return false;
}

static int answer(struct http_req *req, struct http_resp *resp)
{
    struct xp_err err = { 0 };
    int rc = fuzz_run(req, resp, &err);
    if (rc < 0) {
        xp_check(rc != XP_INTERNAL && err.code == rc && err.msg[0]);
        http_resp_done(resp);
        resp->status = xp_code_info(rc)->http_status;
        envelope_error(req, req->route, &err, resp);
    }
    fuzz_check_answer(resp);
    return rc;
}

/* ---- what must hold after a change ---- */

static void check_document(const char *dc)
{
    AUTO_FREE char *target = xasprintf("/api/dc/%s?types=one_way,bi_direction", dc);
    struct http_req *req = http_req_new(NULL, target, &world.api);
    struct http_resp resp = { .status = 200 };
    struct xp_err err = { 0 };
    req->method = xstrdup("GET");
    fuzz_must(fuzz_find_route(req, world.table), &req->refusal);
    int rc = fuzz_run(req, &resp, &err);
    if (rc != XP_NOT_FOUND) { /* the DC may have been deleted */
        struct dc_meta *meta = NULL;
        fuzz_must(rc, &err);
        xp_check(resp.body != NULL);
        fuzz_must(dc_meta_parse(resp.body->bytes, resp.body->len, &meta, &err), &err);
        dc_meta_free(meta);
    }
    http_resp_done(&resp);
    http_req_free_test(req);
}

static void check_store(void)
{
    struct chain_report report;
    struct xp_err err;
    fuzz_must(store_verify_chain(world.store, &report, &err), &err);
    xp_check(report.bad_idx == 0);
    check_document("jq");
    check_document("oy");
    check_document("fra");
}

/* ---- the first world ---- */

static void ask(const char *method, const char *target, const char *body)
{
    struct http_req *req = http_req_new(NULL, target, &world.api);
    struct http_resp resp = { .status = 200 };
    req->method = xstrdup(method);
    req->body = STR_INIT(strlen(body));
    str_puts(&req->body, body);
    fuzz_must(fuzz_find_route(req, world.table), &req->refusal);
    xp_check(answer(req, &resp) == 0);
    xp_check(resp.body != NULL);
    if (resp.status != 200 || memmem(resp.body->bytes, resp.body->len, "\"state\":-1", 10)) {
        (void)fprintf(stderr, "%s %s: %.*s\n", method, target, (int)resp.body->len,
                      resp.body->bytes);
        abort();
    }
    http_resp_done(&resp);
    http_req_free_test(req);
}

/* clang-format off */
static const char *const first_requests[][3] = {
    { "POST", "/api/zone", "{\"name\":\"SHA\"}" },
    { "POST", "/api/dc", "{\"zone_id\":1,\"dc_name\":\"jq\",\"description\":\"d\"}" },
    { "POST", "/api/dc", "{\"zone_id\":1,\"dc_name\":\"oy\",\"description\":\"d\"}" },
    { "POST", "/api/dc", "{\"zone_id\":1,\"dc_name\":\"FRA\",\"description\":\"d\"}" },
    { "POST", "/api/organizations", "{\"orgId\":8,\"orgName\":\"cache\"}" },
    { "POST", "/api/proxy", "{\"uri\":\"PROXYTCP://2.2.2.2:80\",\"dcName\":\"jq\",\"active\":true}" },
    { "POST", "/api/proxy", "{\"uri\":\"PROXYTLS://4.4.4.4:443\",\"dcName\":\"FRA\",\"active\":true}" },
    { "POST", "/api/route", "{\"srcDcname\":\"jq\",\"dstDcName\":\"FRA\",\"srcProxyIds\":\"1\",\"optionalProxyIds\":\"\","
                            "\"dstProxyIds\":\"2\",\"tag\":\"meta\",\"orgId\":0,\"clusterType\":\"\",\"active\":true,"
                            "\"isPublic\":true,\"description\":\"\"}" },
    { "POST", "/api/clusters", "{\"clusterName\":\"demo\",\"clusterType\":\"ONE_WAY\",\"dcs\":[\"jq\",\"oy\"],"
                               "\"desc\":\"d\",\"organizationId\":8,\"clusterAdminEmails\":\"a@b.c\"}" },
    { "POST", "/api/clusters", "{\"clusterName\":\"bi\",\"clusterType\":\"BI_DIRECTION\",\"dcs\":[\"jq\",\"FRA\"],"
                               "\"desc\":\"d\",\"organizationId\":8,\"clusterAdminEmails\":\"a@b.c\"}" },
    { "POST", "/api/shards/demo/s1", "[{\"dcId\":\"jq\",\"redises\":\"10.0.1.1:6379,10.0.1.2:6379\"}]" },
    { "POST", "/api/shards/bi/s1", "[{\"dcId\":\"jq\",\"redises\":\"1.1.1.1:6379\"},"
                                   "{\"dcId\":\"FRA\",\"redises\":\"3.3.3.3:6379\"}]" },
};
/* clang-format on */

static void make_world(void)
{
    const char *tmp = getenv("TMPDIR");
    (void)snprintf(world.dir, sizeof(world.dir), "%s/xpipe-fuzz-XXXXXX", tmp ? tmp : "/tmp");
    xp_check(mkdtemp(world.dir) != NULL);
    world.path = xasprintf("%s/console.db", world.dir);
    struct xp_err err;
    fuzz_must(dc_alias_parse("{\"FRA\":\"FRA-AWS\"}", &world.alias, &err), &err);
    fuzz_must(http_table_new(api_tables, &world.table, &err), &err);
    open_world();
    for (size_t i = 0; i < ARRAY_LEN(first_requests); i++) {
        ask(first_requests[i][0], first_requests[i][1], first_requests[i][2]);
    }
    keep_template();
    check_store();
    (void)atexit(remove_world);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (!world.path) {
        make_world();
    }
    struct fuzz_input in = { (const char *)bytes, (const char *)bytes + size };
    struct http_req *req = fuzz_read_request(&in, &world.api);
    if (req && fuzz_find_route(req, world.table) == 0 && !is_of_daemon(req->route) &&
        req->body.len <= req->route->max_body_bytes) {
        struct http_resp resp = { .status = 200 };
        (void)answer(req, &resp);
        http_resp_done(&resp);
    }
    http_req_free_test(req);
    if (store_version(world.store) != world.version) {
        check_store();
        reset_world();
    }
    return 0;
}
