/* Routing without sockets: decoding, the matching matrix, refused tables, printing, and the request made for tests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/net/http_route.h"

#include "shared/base/banned.h"

static int nothing(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    (void)req;
    (void)resp;
    (void)err;
    return 0;
}

/* clang-format off */
static const struct http_route table_a[] = {
    { "GET",    "/",                              nothing, HTTP_ON_LOOP,   0,    "read",  "root" },
    { "GET",    "/api/clusters",                  nothing, HTTP_ON_LOOP,   0,    "read",  "list" },
    { "POST",   "/api/clusters",                  nothing, HTTP_ON_WORKER, 4096, "write", "create" },
    { "GET",    "/api/clusters/{cluster}",        nothing, HTTP_ON_LOOP,   0,    "read",  "one" },
    { "GET",    "/api/clusters/default",          nothing, HTTP_ON_LOOP,   0,    "read",  "literal" },
    { "PUT",    "/api/clusters/{cluster}",        nothing, HTTP_ON_WORKER, 4096, "write", "replace" },
    { "GET",    "/api/{kind}/all",                nothing, HTTP_ON_LOOP,   0,    "read",  "all of a kind" },
    { 0 },
};
static const struct http_route table_b[] = {
    { "GET",    "/api/clusters/{cluster}/dcs/{dc}", nothing, HTTP_ON_LOOP, 0,    "read",  "in dc" },
    { "*",      "/any/{x}",                       nothing, HTTP_ON_LOOP,   0,    NULL,    "any method" },
    { "HEAD",   "/probe",                         nothing, HTTP_ON_LOOP,   0,    "read",  "own head" },
    { "GET",    "/probe",                         nothing, HTTP_ON_LOOP,   0,    "read",  "get" },
    { 0 },
};
static const struct http_route *const tables[] = { table_a, table_b, NULL };

struct row { const char *method, *path; int outcome; const char *help; const char *param, *value; };
static const struct row matrix[] = {
    { "GET",    "/",                                0, "root", NULL, NULL },
    { "GET",    "/api/clusters",                    0, "list", NULL, NULL },
    { "GET",    "/api/clusters/",                   0, "list", NULL, NULL },
    { "GET",    "/API/Clusters",                    0, "list", NULL, NULL },
    { "GET",    "/api/%63lusters",                  0, "list", NULL, NULL },
    { "HEAD",   "/api/clusters",                    0, "list", NULL, NULL },
    { "POST",   "/api/clusters",                    0, "create", NULL, NULL },
    { "GET",    "/api/clusters/c1",                 0, "one", "cluster", "c1" },
    { "GET",    "/api/clusters/Mixed.Case-1.2",     0, "one", "cluster", "Mixed.Case-1.2" },
    { "GET",    "/api/clusters/..",                 0, "one", "cluster", ".." },
    { "GET",    "/api/clusters/a%2fb",              0, "one", "cluster", "a/b" },
    { "GET",    "/api/clusters/a%2Fb%20c",          0, "one", "cluster", "a/b c" },
    { "GET",    "/api/clusters/a+b",                0, "one", "cluster", "a+b" },
    { "GET",    "/api/clusters/%E4%B8%AD",          0, "one", "cluster", "\xE4\xB8\xAD" },
    { "GET",    "/api/clusters/default",            0, "literal", NULL, NULL },
    { "GET",    "/api/clusters/DEFAULT/",           0, "literal", NULL, NULL },
    { "PUT",    "/api/clusters/default",            0, "replace", "cluster", "default" },
    { "GET",    "/api/clusters/all",                0, "one", "cluster", "all" },
    { "GET",    "/api/keepers/all",                 0, "all of a kind", "kind", "keepers" },
    { "GET",    "/api/clusters/c1/dcs/jq",          0, "in dc", "dc", "jq" },
    { "DELETE", "/any/1",                           0, "any method", "x", "1" },
    { "HEAD",   "/any/1",                           0, "any method", "x", "1" },
    { "HEAD",   "/probe",                           0, "own head", NULL, NULL },
    { "GET",    "/api",                             HTTP_NO_PATH, NULL, NULL, NULL },
    { "GET",    "/api/clustersx",                   HTTP_NO_PATH, NULL, NULL, NULL },
    { "GET",    "/api/cluster",                     HTTP_NO_PATH, NULL, NULL, NULL },
    { "GET",    "/api/clusters/c1/dcs",             HTTP_NO_PATH, NULL, NULL, NULL },
    { "GET",    "/api%2fclusters",                  HTTP_NO_PATH, NULL, NULL, NULL },
    { "GET",    "/api/clusters%00",                 HTTP_NO_PATH, NULL, NULL, NULL },
    { "DELETE", "/api/clusters",                    HTTP_NO_METHOD, NULL, NULL, NULL },
    { "POST",   "/api/clusters/c1",                 HTTP_NO_METHOD, NULL, NULL, NULL },
    { "HEAD",   "/api/clusters/c1/dcs/jq/x",        HTTP_NO_PATH, NULL, NULL, NULL },
};
/* clang-format on */

static struct http_table *make_table(void)
{
    struct http_table *table = NULL;
    struct xp_err err = { 0 };
    assert_int_equal(http_table_new(tables, &table, &err), 0);
    return table;
}

static void test_matrix(void **state)
{
    (void)state;
    struct http_table *table = make_table();
    for (size_t i = 0; i < ARRAY_LEN(matrix); i++) {
        const struct row *r = &matrix[i];
        struct http_path path = { 0 };
        const struct http_pattern *p = NULL;
        assert_int_equal(http_path_parse(r->path, strlen(r->path), &path), 0);
        int outcome = http_table_match(table, r->method, &path, &p);
        if (outcome != r->outcome ||
            (r->help && strcmp(http_pattern_route(p)->help, r->help) != 0)) {
            fail_msg("%s %s: outcome %d, route '%s'", r->method, r->path, outcome,
                     p ? http_pattern_route(p)->help : "-");
        }
        if (r->param) {
            assert_string_equal(http_pattern_param(p, &path, r->param), r->value);
            assert_int_equal(http_pattern_check(p, &path, NULL), 0);
        }
        if (p) {
            assert_null(http_pattern_param(p, &path, "no_such"));
        }
        http_path_done(&path);
    }
    http_table_free(table);
}

static void test_paths_no_route_can_have(void **state)
{
    (void)state;
    static const char *const paths[] = { "",
                                         "*",
                                         "api",
                                         "//",
                                         "/api//clusters",
                                         "/api/clusters//",
                                         "//api",
                                         "/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17" };
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        struct http_path path;
        if (http_path_parse(paths[i], strlen(paths[i]), &path) != HTTP_PATH_UNKNOWN) {
            fail_msg("'%s' was accepted", paths[i]);
        }
    }
}

static void test_bad_parameter_is_named(void **state)
{
    (void)state;
    static const char *const paths[] = { "/api/clusters/a%00b",  "/api/clusters/%ff",
                                         "/api/clusters/%C0%AF", "/api/clusters/%",
                                         "/api/clusters/abc%2",  "/api/clusters/%zz",
                                         "/api/clusters/\xff",   "/api/clusters/%ED%A0%80" };
    struct http_table *table = make_table();
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        struct http_path path = { 0 };
        struct xp_err err = { 0 };
        const struct http_pattern *p = NULL;
        assert_int_equal(http_path_parse(paths[i], strlen(paths[i]), &path), 0);
        assert_int_equal(http_table_match(table, "GET", &path, &p), 0);
        assert_int_equal(http_pattern_check(p, &path, &err), XP_INVALID);
        assert_non_null(strstr(err.msg, "'cluster'"));
        http_path_done(&path);
    }
    http_table_free(table);
}

static void test_allow(void **state)
{
    (void)state;
    struct http_table *table = make_table();
    struct http_path path = { 0 };
    struct str allow = STR_INIT(256);
    assert_int_equal(http_path_parse("/api/clusters/default", 21, &path), 0);
    http_table_allow(table, &path, &allow);
    assert_string_equal(str_text(&allow), "GET, HEAD, PUT");
    str_done(&allow);
    http_path_done(&path);
    http_table_free(table);
}

static void check_query(const char *raw, const char *expected)
{
    struct http_query query = { 0 };
    struct str got = STR_INIT(4096);
    assert_int_equal(http_query_parse(raw, strlen(raw), &query, NULL), 0);
    for (size_t i = 0; i < query.count; i++) {
        str_printf(&got, "[%s=%s]", query.name[i], query.value[i]);
    }
    assert_string_equal(str_text(&got), expected);
    str_done(&got);
    http_query_done(&query);
}

static void test_query(void **state)
{
    (void)state;
    check_query("", "");
    check_query("&&", "");
    check_query("a=1&b=2", "[a=1][b=2]");
    check_query("a=1&a=2", "[a=1][a=2]");
    check_query("a", "[a=]");
    check_query("a=&=b", "[a=][=b]");
    check_query("a=b=c", "[a=b=c]");
    check_query("q=x+y%2Bz%26&%6e=%3D", "[q=x y+z&][n==]");
    check_query("k=%E4%B8%AD", "[k=\xE4\xB8\xAD]");
}

static void test_bad_query_is_named(void **state)
{
    (void)state;
    static const char *const bad[] = { "key=%00", "key=%ff",  "a=1&key=%",
                                       "key=%4",  "key%00=1", "key=\xc3" };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct http_query query;
        struct xp_err err = { 0 };
        assert_int_equal(http_query_parse(bad[i], strlen(bad[i]), &query, &err), XP_INVALID);
        assert_non_null(strstr(err.msg, "key"));
    }
}

static void test_query_is_limited(void **state)
{
    (void)state;
    struct str raw = STR_INIT(4096);
    for (int i = 0; i < HTTP_QUERY_MAX; i++) {
        str_puts(&raw, "a=1&");
    }
    struct http_query query;
    assert_int_equal(http_query_parse(str_text(&raw), raw.len, &query, NULL), 0);
    assert_int_equal(query.count, HTTP_QUERY_MAX);
    http_query_done(&query);
    str_puts(&raw, "a=1");
    assert_int_equal(http_query_parse(str_text(&raw), raw.len, &query, NULL), XP_INVALID);
    str_done(&raw);
}

static void refuse_table(const char *method, const char *path, http_handler *handler,
                         const char *expected)
{
    const struct http_route rows[] = {
        { .method = "GET", .path = "/a/{x}", .handler = nothing },
        { .method = method, .path = path, .handler = handler },
        { 0 },
    };
    const struct http_route *const list[] = { rows, NULL };
    struct http_table *table = NULL;
    struct xp_err err = { 0 };
    assert_int_equal(http_table_new(list, &table, &err), XP_INVALID);
    if (!strstr(err.msg, expected)) {
        fail_msg("'%s' lacks '%s'", err.msg, expected);
    }
}

static void test_bad_tables(void **state)
{
    (void)state;
    refuse_table("GET", "/A/{y}", nothing, "twice");
    refuse_table("GET", "/b", NULL, "needs a handler");
    refuse_table("GET", "b", nothing, "starts with '/'");
    refuse_table("GET", NULL, nothing, "starts with '/'");
    refuse_table("GET", "/b//c", nothing, "empty segment");
    refuse_table("GET", "/b/", nothing, "empty segment");
    refuse_table("GET", "/b/{}", nothing, "braces");
    refuse_table("GET", "/b/x{y}", nothing, "braces");
    refuse_table("GET", "/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17", nothing, "too many segments");
}

static void test_print(void **state)
{
    (void)state;
    const struct http_route *const list[] = { table_b, NULL };
    struct str out = STR_INIT(4096);
    http_routes_print(list, &out);
    assert_string_equal(str_text(&out), "GET /api/clusters/{cluster}/dcs/{dc} loop read 0 in dc\n"
                                        "* /any/{x} loop - 0 any method\n"
                                        "HEAD /probe loop read 0 own head\n"
                                        "GET /probe loop read 0 get\n");
    str_done(&out);
}

/* ---- the request object without a socket ---- */

static int echo(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    json_t *body = NULL;
    int rc = http_req_json(req, &body, err);
    if (rc) {
        return rc;
    }
    http_resp_json(resp, json_pack("{s:s, s:s?, s:s?, s:o?}", "cluster",
                                   http_req_param(req, "cluster"), "q", http_req_query(req, "q"),
                                   "h", http_req_header(req, "x-thing"), "body", body));
    http_resp_header(resp, "X-One", "1");
    http_resp_header(resp, "x-one", "2");
    return 0;
}

static const char *body_text(const struct http_resp *resp)
{
    return resp->body ? resp->body->bytes : "no body";
}

static void test_handler_without_socket(void **state)
{
    (void)state;
    int arg = 7;
    struct http_req *req =
        http_req_new_test("POST", "/api/clusters/c1?q=a%20b&q=c", "{\"a\":1}", &arg);
    http_req_set_param_test(req, "cluster", "c1");
    http_req_set_header_test(req, "X-Thing", "v");
    struct http_resp resp = { 0 };
    struct xp_err err = { 0 };
    assert_int_equal(echo(req, &resp, &err), 0);
    assert_int_equal(resp.status, 200);
    assert_string_equal(body_text(&resp),
                        "{\"cluster\":\"c1\",\"q\":\"a b\",\"h\":\"v\",\"body\":{\"a\":1}}");
    assert_string_equal(resp.extra[0][1], "2");
    assert_null(resp.extra[1][0]);
    http_resp_text(&resp, 404, "text/plain", "gone");
    assert_int_equal(resp.status, 404);
    assert_string_equal(body_text(&resp), "gone");
    http_resp_json(&resp, NULL);
    assert_string_equal(body_text(&resp), "null");
    http_resp_done(&resp);
    assert_null(resp.body);

    const char *values[4];
    assert_int_equal(http_req_query_all(req, "q", values, 4), 2);
    assert_string_equal(values[1], "c");
    assert_int_equal(http_req_query_all(req, "q", values, 1), 1);
    assert_null(http_req_query(req, "none"));
    assert_ptr_equal(http_req_arg(req), &arg);
    assert_string_equal(http_req_path(req), "/api/clusters/c1");
    assert_string_equal(http_req_target(req), "/api/clusters/c1?q=a%20b&q=c");
    http_req_free_test(req);
}

static void test_later_without_socket(void **state)
{
    (void)state;
    struct http_req *req = http_req_new_test("GET", "/", NULL, NULL);
    assert_int_equal(http_req_result_test(req, NULL, NULL), HTTP_LATER);
    struct xp_err err;
    struct http_resp resp = { 0 };
    http_resp_text(&resp, 200, NULL, "unused");
    (void)xp_fail(&err, XP_CONFLICT, "cluster 'c1' is locked");
    http_req_finish(req, XP_CONFLICT, &resp, &err);
    const struct xp_err *got = NULL;
    assert_int_equal(http_req_result_test(req, NULL, &got), XP_CONFLICT);
    assert_string_equal(got->msg, "cluster 'c1' is locked");
    http_req_free_test(req);
}

static void refuse_json(const char *body, const char *expected)
{
    struct http_req *req = http_req_new_test("POST", "/", body, NULL);
    json_t *json = NULL;
    struct xp_err err = { 0 };
    assert_int_equal(http_req_json(req, &json, &err), XP_INVALID);
    assert_null(json);
    if (!strstr(err.msg, expected) || !text_is_utf8(err.msg, strlen(err.msg))) {
        fail_msg("'%s' lacks '%s'", err.msg, expected);
    }
    http_req_free_test(req);
}

static void test_json_bodies(void **state)
{
    (void)state;
    struct str deep = STR_INIT(200000);
    for (int i = 0; i < 100000; i++) {
        str_putc(&deep, '[');
    }
    refuse_json(str_text(&deep), "nested deeper than 64 levels");
    str_done(&deep);
    refuse_json("{\"a\":1,\"a\":2}", "duplicate object key");
    refuse_json("{\"a\":\"\xff\"}", "unable to decode byte 0xff");
    refuse_json("{\"a\":", "line 1");
    refuse_json("{} x", "end of file");
    struct http_req *req = http_req_new_test("POST", "/", NULL, NULL);
    json_t *json = (json_t *)req;
    assert_int_equal(http_req_json(req, &json, NULL), 0);
    assert_null(json);
    http_req_free_test(req);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matrix),
        cmocka_unit_test(test_paths_no_route_can_have),
        cmocka_unit_test(test_bad_parameter_is_named),
        cmocka_unit_test(test_allow),
        cmocka_unit_test(test_query),
        cmocka_unit_test(test_bad_query_is_named),
        cmocka_unit_test(test_query_is_limited),
        cmocka_unit_test(test_bad_tables),
        cmocka_unit_test(test_print),
        cmocka_unit_test(test_handler_without_socket),
        cmocka_unit_test(test_later_without_socket),
        cmocka_unit_test(test_json_bodies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
