/* meta_routes_test.c - the REST API of xpipe-meta without sockets and ZooKeeper: the table, errors, the Host check, what is
 * answered from memory, and the rules of forwarding that need no other member. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "meta/api/dispatch.h"
#include "meta/api/meta_routes.h"
#include "shared/base/log.h"
#include "tests/unit/unit.h"

#include "tests/unit/dc_fixture.h"

#include "shared/base/banned.h"

#define COPY "{\"type\":\"MULTICASTING\",\"forwardServers\":[2]}"

struct fixture {
    struct app app;
    struct http_req *req;
    int rc;
    const struct http_resp *resp;
    const struct xp_err *err;
};

static void on_cluster(const struct cluster_meta *before, struct cluster_meta *after, void *arg)
{
    (void)before;
    (void)after;
    (void)arg;
}

static void on_routes(void *arg)
{
    (void)arg;
}

static int open_app(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    struct dc_listener listener = { .on_cluster = on_cluster, .on_routes = on_routes };
    struct app *app = &f->app;
    app->config.metaserver_id = 1;
    app->dc = xstrdup("jq");
    app->domain = xstrdup("meta.jq.example");
    app->loop = loop_new();
    app->store = dc_store_new("jq", 60000, &listener);
    app->board = master_board_new();
    app->upstreams_board = upstream_board_new();
    app->members = member_list_new();
    app->shards = shard_set_new(app->store, NULL, 0);
    struct cluster_row row = C("c1", 1);
    assert_int_equal(dc_store_put(app->store, cluster_of(&row), 1, NULL), 0);
    *state = f;
    return 0;
}

static int close_app(void **state)
{
    struct fixture *f = *state;
    http_req_free_test(f->req);
    shard_set_free(f->app.shards);
    dc_store_free(f->app.store);
    master_board_free(f->app.board);
    upstream_board_free(f->app.upstreams_board);
    member_list_free(f->app.members);
    loop_free(f->app.loop);
    free(f->app.dc);
    free(f->app.domain);
    free(f);
    return 0;
}

static const struct http_route *route_of(const char *method, const char *path)
{
    for (size_t t = 0; meta_route_tables[t]; t++) {
        for (const struct http_route *r = meta_route_tables[t]; r->method; r++) {
            if ((strcmp(r->method, method) == 0 || strcmp(r->method, "*") == 0) &&
                strcmp(r->path, path) == 0) {
                return r;
            }
        }
    }
    fail_msg("no route %s %s", method, path);
    return NULL;
}

/* ---- the table ---- */

/* tests/golden/meta_routes.txt is what --print-routes prints; XPIPE_UPDATE_GOLDEN=1 writes it anew. */
static void the_table_is_as_recorded(void **state)
{
    (void)state;
    static const char path[] = "tests/golden/meta_routes.txt";
    CLEANUP(str_done) struct str all = STR_INIT(1 << 20);
    CLEANUP(str_done) struct str now = STR_INIT(1 << 20);
    http_routes_print(meta_route_tables, &all);
    const char *cursor = str_text(&all);
    const char *line;
    size_t length;
    while (text_next_part(&cursor, "\n", &line, &length)) {
        if (!memmem(line, length, "/debug/fault", 12)) { /* only in builds with fault points */
            str_printf(&now, "%.*s\n", (int)length, line);
        }
    }
    if (getenv("XPIPE_UPDATE_GOLDEN")) {
        FILE *out = fopen(path, "we");
        assert_non_null(out);
        assert_true(fputs(str_text(&now), out) >= 0);
        assert_int_equal(fclose(out), 0);
    }
    FILE *in = fopen(path, "re");
    assert_non_null(in);
    static char recorded[1 << 16];
    size_t n = fread(recorded, 1, sizeof(recorded) - 1, in);
    recorded[n] = '\0';
    assert_int_equal(fclose(in), 0);
    assert_string_equal(str_text(&now), recorded);
}

/* ---- errors ---- */

/* The body and status that an error on 'path' gets; the body is borrowed until the next call. */
static int error_on(struct fixture *f, const char *method, const char *path, int code,
                    const char **ret_body)
{
    static char body[4096];
    const struct http_route *route = path ? route_of(method, path) : NULL;
    struct http_req *req = http_req_new_test(method, path ? path : "/nowhere", NULL, &f->app);
    struct http_resp resp = { .status = xp_code_info(code)->http_status };
    struct xp_err err;
    (void)xp_fail(&err, (enum xp_code)code, "why \"so\"");
    meta_on_error(req, route, &err, &resp);
    (void)snprintf(body, sizeof(body), "%.*s", (int)resp.body->len, (const char *)resp.body->bytes);
    int status = resp.status;
    http_resp_done(&resp);
    http_req_free_test(req);
    *ret_body = body;
    return status;
}

static void compatible_endpoints_answer_500(void **state)
{
    struct fixture *f = *state;
    const char *body;
    static const int codes[] = { XP_INVALID, XP_NOT_FOUND, XP_NOT_OWNER, XP_TIMEOUT, XP_INTERNAL };
    for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
        assert_int_equal(
            error_on(f, "GET", "/api/meta/getpeermaster/{cluster}/{shard}", codes[i], &body), 500);
        json_t *json = json_loads(body, 0, NULL);
        assert_string_equal(json_string_value(json_object_get(json, "message")), "why \"so\"");
        assert_string_equal(json_string_value(json_object_get(json, "exception")),
                            xp_code_info(codes[i])->name);
        json_decref(json);
    }
}

static void new_endpoints_answer_with_the_right_status(void **state)
{
    struct fixture *f = *state;
    const char *body;
    assert_int_equal(error_on(f, "GET", "/api/meta/peers/{cluster}/{shard}", XP_NOT_FOUND, &body),
                     404);
    assert_non_null(strstr(body, "\"errorType\":\"NOT_FOUND\""));
    assert_int_equal(error_on(f, "POST", "/api/meta/v2/peermasters", XP_INVALID, &body), 400);
    assert_non_null(strstr(body, "\"status\":400"));
    assert_int_equal(error_on(f, "GET", NULL, XP_NOT_FOUND, &body), 404);
}

static void a_deletion_with_a_wrong_version_is_refused(void **state)
{
    struct fixture *f = *state;
    static const char *const wrong[] = { "x", "-1", "0", "1e3", "99999999999999999999", "" };
    const struct http_route *route = route_of("DELETE", "/api/meta/clusterchange/{cluster}");
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        AUTO_FREE char *target = xasprintf("/api/meta/clusterchange/c1?version=%s", wrong[i]);
        struct http_req *req = http_req_new_test("DELETE", target, NULL, &f->app);
        http_req_set_param_test(req, "cluster", "c1");
        struct http_resp resp = { 0 };
        struct xp_err err = { 0 };
        assert_int_equal(route->handler(req, &resp, &err), XP_INVALID);
        assert_non_null(strstr(err.msg, "version: "));
        http_resp_done(&resp);
        http_req_free_test(req);
    }
    assert_non_null(dc_store_cluster(f->app.store, "c1"));
}

/* ---- the Host header ---- */

static int check_host(struct fixture *f, const char *path, const char *host, int *ret_status)
{
    const struct http_route *route = route_of("GET", path);
    struct http_req *req = http_req_new_test("GET", path, NULL, &f->app);
    if (host) {
        http_req_set_header_test(req, "Host", host);
    }
    struct xp_err err = { 0 };
    int rc = meta_on_request(req, route, &err);
    if (rc != 0) {
        struct http_resp resp = { .status = 500 };
        meta_on_error(req, route, &err, &resp);
        *ret_status = resp.status;
        http_resp_done(&resp);
    }
    http_req_free_test(req);
    return rc;
}

static void a_wrong_host_is_refused_when_asked_to(void **state)
{
    struct fixture *f = *state;
    static const char *const good[] = { NULL,
                                        "",
                                        "127.0.0.1:8080",
                                        "10.0.0.1",
                                        "[::1]:8080",
                                        "localhost",
                                        "LocalHost:1",
                                        "META.jq.example",
                                        "meta.jq.example:8080" };
    static const char *const bad[] = { "meta.fra.example", "x", "meta.jq.example.evil:80" };
    int status = 0;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(check_host(f, "/health", bad[i], &status), 0); /* off */
    }
    f->app.validate_domain = true;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        assert_int_equal(check_host(f, "/health", good[i], &status), 0);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_true(check_host(f, "/health", bad[i], &status) != 0);
        assert_int_equal(status, 400); /* the one error that is not 500 */
        assert_int_equal(check_host(f, "/stop/domain/check", bad[i], &status), 0);
    }
}

/* ---- handlers ---- */

struct call {
    const char *method;
    const char *path; /* as in the table */
    const char *body;
    const char *forward; /* header; NULL none */
    const char *cluster;
    const char *shard;
};

static int run(struct fixture *f, const struct call *c, struct http_resp *resp, struct xp_err *err)
{
    http_req_free_test(f->req);
    f->req = http_req_new_test(c->method, "/x", c->body, &f->app);
    if (c->forward) {
        http_req_set_header_test(f->req, "forward", c->forward);
    }
    if (c->cluster) {
        http_req_set_param_test(f->req, "cluster", c->cluster);
    }
    if (c->shard) {
        http_req_set_param_test(f->req, "shard", c->shard);
    }
    return route_of(c->method, c->path)->handler(f->req, resp, err);
}

static void expect(struct fixture *f, const struct call *c, int rc, const char *text)
{
    struct http_resp resp = { 0 };
    struct xp_err err = { 0 };
    assert_int_equal(run(f, c, &resp, &err), rc);
    AUTO_FREE char *got =
        resp.body ? xstrndup((const char *)resp.body->bytes, resp.body->len) : xstrdup(err.msg);
    if (!strstr(got, text) || (text[0] == '\0' && got[0] != '\0')) {
        fail_msg("'%s' lacks '%s'", got, text);
    }
    http_resp_done(&resp);
}

#define MASTER_PATH "/api/meta/getpeermaster/{cluster}/{shard}"

static void masters_from_the_board(void **state)
{
    struct fixture *f = *state;
    struct call call = { "GET", MASTER_PATH, NULL, COPY, "c1", "s1" };
    expect(f, &call, 0, ""); /* nothing known: an empty body */
    struct current_master master = { addr_of("10.0.1.1", 6379), 3 };
    master_board_put(f->app.board, "c1", "s1", &master);
    expect(f, &call, 0, "\"ip\":\"10.0.1.1\"");
    expect(f, &call, 0, "\"gid\":3");
    call.shard = "s9";
    expect(f, &call, XP_NOT_FOUND, "unknown clusterId shardId c1 s9");
    call = (struct call){ "GET", MASTER_PATH, NULL, NULL, "c9", "s1" };
    expect(f, &call, XP_NOT_FOUND, "unknown clusterId c9");
}

static void many_masters_at_once(void **state)
{
    struct fixture *f = *state;
    struct current_master master = { addr_of("10.0.1.1", 6379), 3 };
    master_board_put(f->app.board, "c1", "s1", &master);
    struct call call = { "POST", "/api/meta/v2/peermasters", NULL, COPY, NULL, NULL };
    call.body = "{\"dc\":\"fra\",\"shards\":[[\"c1\",\"s1\"],[\"c1\",\"s2\"]]}";
    expect(f, &call, 0, "{\"masters\":[[\"c1\",\"s1\",3,\"10.0.1.1\",6379]]}");
    call.forward = NULL; /* no other member: the rest stays unknown */
    expect(f, &call, 0, "{\"masters\":[[\"c1\",\"s1\",3,\"10.0.1.1\",6379]]}");
    call.body = "{\"shards\":[]}";
    expect(f, &call, 0, "{\"masters\":[]}");
    call.body = NULL;
    expect(f, &call, XP_INVALID, "shards");
    call.body = "[]";
    expect(f, &call, XP_INVALID, "shards");
    call.body = "{\"shards\":[[\"c1\"]]}";
    expect(f, &call, XP_INVALID, "shards[0]");
    call.body = "{";
    expect(f, &call, XP_INVALID, "not valid JSON");
}

static void notices_need_a_dc(void **state)
{
    struct fixture *f = *state;
    struct call call = { "POST", "/api/meta/v2/peerchanges", NULL, COPY, NULL, NULL };
    call.body = "{\"shards\":[[\"c1\",\"s1\"]]}";
    expect(f, &call, XP_INVALID, "dc:");
    call.body = "{\"dc\":\"FRA\",\"shards\":[[\"c1\",\"s1\"],[\"c9\",\"s1\"]]}";
    expect(f, &call, 0, "{}"); /* not ours: nothing to do */
}

static void copies_are_recognized(void **state)
{
    struct fixture *f = *state;
    static const char *const others[] = { "",
                                          "{",
                                          "[]",
                                          "null",
                                          "{\"type\":null}",
                                          "{\"type\":7}",
                                          "{\"type\":\"FORWARD\",\"forwardServers\":[1]}",
                                          "{\"forwardServers\":{}}" };
    struct http_req *req = http_req_new_test("GET", "/x", NULL, &f->app);
    assert_false(dispatch_is_multicast_copy(req));
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        http_req_set_header_test(req, "forward", others[i]);
        assert_false(dispatch_is_multicast_copy(req));
    }
    http_req_free_test(req);
    AUTO_FREE char *header = dispatch_multicast_header(&f->app);
    assert_string_equal(header, "forward: {\"type\":\"MULTICASTING\",\"forwardServers\":[1]}");
    req = http_req_new_test("GET", "/x", NULL, &f->app);
    http_req_set_header_test(req, "forward", strchr(header, ' ') + 1);
    assert_true(dispatch_is_multicast_copy(req));
    http_req_free_test(req);
}

static void the_list_of_members(void **state)
{
    struct fixture *f = *state;
    static struct addr many[MEMBERS_MAX + 5];
    struct addr got[MEMBERS_MAX];
    assert_int_equal(member_list_get(f->app.members, got), 0);
    for (size_t i = 0; i < ARRAY_LEN(many); i++) {
        many[i] = addr_of("10.0.0.1", (int)i + 1);
    }
    member_list_set(f->app.members, many, 2);
    assert_int_equal(member_list_get(f->app.members, got), 2);
    assert_true(addr_eq(&got[1], &many[1]));
    member_list_set(f->app.members, many, ARRAY_LEN(many)); /* no more than there is room for */
    assert_int_equal(member_list_get(f->app.members, got), MEMBERS_MAX);
    member_list_set(f->app.members, many, 0);
    assert_int_equal(member_list_get(f->app.members, got), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, open_app, close_app)

int main(void)
{
    log_set_level(LOG_LEVELS);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_is_as_recorded),
        T(compatible_endpoints_answer_500),
        T(new_endpoints_answer_with_the_right_status),
        T(a_deletion_with_a_wrong_version_is_refused),
        T(a_wrong_host_is_refused_when_asked_to),
        T(masters_from_the_board),
        T(many_masters_at_once),
        T(notices_need_a_dc),
        T(copies_are_recognized),
        T(the_list_of_members),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
