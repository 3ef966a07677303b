/* http_fuzz.h - requests of the outside without sockets, for the targets of the two APIs.
 *
 * Input: "METHOD target", header lines up to one without a colon, the body. */
#ifndef TESTS_FUZZ_HTTP_FUZZ_H
#define TESTS_FUZZ_HTTP_FUZZ_H

#include <stdio.h>
#include <stdlib.h>

#include "shared/model/json_decode.h"
#include "shared/net/http_impl.h"
#include "shared/net/http_route.h"
#include "tests/fuzz/fuzz.h"

#define FUZZ_HEADERS_MAX 8

__attribute__((unused)) static void fuzz_must(int rc, const struct xp_err *err)
{
    if (rc != 0) {
        (void)fprintf(stderr, "%s\n", err->msg);
        abort();
    }
}

/* As http_receive.c makes it of a header: the route, or a refusal. */
__attribute__((unused)) static int fuzz_find_route(struct http_req *req,
                                                   const struct http_table *table)
{
    int outcome = http_path_parse(req->path, strlen(req->path), &req->split);
    if (outcome == 0) {
        outcome = http_table_match(table, req->method, &req->split, &req->pattern);
    }
    if (outcome != 0) {
        return xp_fail(&req->refusal, XP_NOT_FOUND, "no resource has this path");
    }
    req->route = http_pattern_route(req->pattern);
    const char *mark = strchr(req->target, '?');
    const char *query = mark ? mark + 1 : "";
    int rc = http_pattern_check(req->pattern, &req->split, &req->refusal);
    return rc == 0 ? http_query_parse(query, strlen(query), &req->query, &req->refusal) : rc;
}

static void fuzz_read_headers(struct http_req *req, struct fuzz_input *in)
{
    for (int i = 0; i < FUZZ_HEADERS_MAX; i++) {
        AUTO_FREE char *line = fuzz_line(in);
        char *colon = line ? strchr(line, ':') : NULL;
        if (!colon) {
            return;
        }
        *colon = '\0';
        http_req_add_header(req, line, colon + 1 + strspn(colon + 1, " "));
    }
}

__attribute__((unused)) static struct http_req *fuzz_read_request(struct fuzz_input *in, void *arg)
{
    AUTO_FREE char *first = fuzz_line(in);
    char *blank = first ? strchr(first, ' ') : NULL;
    if (!blank) {
        return NULL;
    }
    *blank = '\0';
    struct http_req *req = http_req_new(NULL, blank + 1, arg);
    req->method = xstrdup(first);
    (void)snprintf(req->peer, sizeof(req->peer), "127.0.0.1");
    (void)snprintf(req->id, sizeof(req->id), "fuzz");
    fuzz_read_headers(req, in);
    size_t length;
    AUTO_FREE char *body = fuzz_rest(in, &length);
    req->body = STR_INIT(length);
    str_add(&req->body, body, length);
    struct xp_err err = { 0 };
    xp_check(http_framing_check(req, "HTTP/1.1", &err) == 0 ||
             text_is_utf8(err.msg, strlen(err.msg)));
    return req;
}

/* The handler, whichever way it answers. */
__attribute__((unused)) static int fuzz_run(struct http_req *req, struct http_resp *resp,
                                            struct xp_err *err)
{
    int rc = req->route->handler(req, resp, err);
    if (rc != HTTP_LATER) {
        return rc;
    }
    const struct http_resp *later;
    const struct xp_err *why;
    rc = http_req_result_test(req, &later, &why);
    xp_check(rc != HTTP_LATER);
    resp->status = later->status;
    resp->body = later->body ? blob_ref(later->body) : NULL;
    *err = *why;
    return rc;
}

/* The body is JSON, or there is none. */
__attribute__((unused)) static void fuzz_check_answer(const struct http_resp *resp)
{
    xp_check(resp->status >= 200 && resp->status <= 599);
    bool is_json = !resp->content_type || strstr(resp->content_type, "json");
    if (!resp->body || resp->body->len == 0 || !is_json) {
        return;
    }
    json_t *json = NULL;
    struct xp_err err;
    fuzz_must(jd_parse(resp->body->bytes, resp->body->len, &json, &err), &err);
    json_decref(json);
}

#endif
