/* Fuzzes what a client controls before any handler runs: path and query decoding, and the matching.
 * Input: the first byte chooses the method, the rest is the raw target. */
#include <stdint.h>
#include <string.h>

#include "shared/base/err.h"
#include "shared/base/mem.h"
#include "shared/net/http_route.h"

#include "shared/base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int nothing(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    (void)req;
    (void)resp;
    (void)err;
    return 0;
}

/* clang-format off */
static const struct http_route routes[] = {
    { .method = "GET",  .path = "/",                               .handler = nothing },
    { .method = "GET",  .path = "/api/clusters/{a}",               .handler = nothing },
    { .method = "POST", .path = "/api/clusters/default",           .handler = nothing },
    { .method = "GET",  .path = "/api/clusters/{a}/dcs/{b}",       .handler = nothing },
    { .method = "*",    .path = "/api/{a}/all",                    .handler = nothing },
    { .method = "PUT",  .path = "/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}", .handler = nothing },
    { 0 },
};
/* clang-format on */
static const struct http_route *const tables[] = { routes, NULL };

static const struct http_table *the_table(void)
{
    static struct http_table *table;
    if (!table) {
        xp_check(http_table_new(tables, &table, NULL) == 0);
    }
    return table;
}

static void check_text(const char *text)
{
    xp_check(text_is_utf8(text, strlen(text)));
}

static void check_value(const char *value) /* NULL: the route has no such parameter */
{
    if (value) {
        check_text(value);
        xp_check(value[0] != '\0');
    }
}

static void check_params(const struct http_pattern *p, const struct http_path *path)
{
    struct xp_err err;
    if (http_pattern_check(p, path, &err) != 0) {
        xp_check(strstr(err.msg, "path parameter") != NULL);
        return;
    }
    for (char name[2] = "a"; name[0] <= 'h'; name[0]++) {
        check_value(http_pattern_param(p, path, name));
    }
}

static void run_path(const char *method, const char *raw, size_t length)
{
    struct http_path path;
    if (http_path_parse(raw, length, &path) != 0) {
        return;
    }
    const struct http_pattern *p = NULL;
    int outcome = http_table_match(the_table(), method, &path, &p);
    xp_check((outcome == 0) == (p != NULL));
    if (p) {
        check_params(p, &path);
    }
    struct str allow = STR_INIT(256);
    http_table_allow(the_table(), &path, &allow);
    xp_check((allow.len == 0) == (outcome == HTTP_NO_PATH) && !allow.overflow);
    str_done(&allow);
    http_path_done(&path);
}

static void run_query(const char *raw, size_t length)
{
    struct http_query query;
    struct xp_err err;
    if (http_query_parse(raw, length, &query, &err) != 0) {
        check_text(err.msg);
        return;
    }
    for (size_t i = 0; i < query.count; i++) {
        check_text(query.name[i]);
        check_text(query.value[i]);
    }
    http_query_done(&query);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const methods[] = { "GET", "HEAD", "POST", "PUT", "DELETE" };
    if (size == 0) {
        return 0;
    }
    AUTO_FREE char *raw = xstrndup((const char *)data + 1, size - 1);
    size_t path_length = strcspn(raw, "?");
    run_path(methods[data[0] % ARRAY_LEN(methods)], raw, path_length);
    if (raw[path_length] == '?') {
        run_query(raw + path_length + 1, strlen(raw + path_length + 1));
    }
    return 0;
}
