/* http_req.c - the request object: what a handler may ask, and the form that tests make. */
#include "shared/net/http_impl.h"
#include "shared/base/json_limits.h"
#include "shared/base/mem.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "shared/base/banned.h"

struct http_test_result {
    int rc;
    struct http_resp resp;
    struct xp_err err;
};

/* ---- life ---- */

/* "http://host/path" and https, in any case (RFC 9112 3.2.2) is served as "/path". */
static const char *skip_authority(const char *target)
{
    const char *host = NULL;
    if (strncasecmp(target, "http://", 7) == 0) {
        host = target + 7;
    } else if (strncasecmp(target, "https://", 8) == 0) {
        host = target + 8;
    }
    const char *slash = host ? strchr(host, '/') : target;
    return slash ? slash : "/";
}

struct http_req *http_req_new(struct http_server *server, const char *target, void *arg)
{
    struct http_req *req = xcalloc(1, sizeof(*req));
    const char *start = skip_authority(target);
    req->server = server;
    if (server) {
        (void)__atomic_add_fetch(&server->refs, 1, __ATOMIC_RELAXED);
    }
    req->arg = arg;
    req->target = xstrdup(target);
    req->path = xstrndup(start, strcspn(start, "?"));
    req->started_us = clock_mono_us();
    req->refs = 1;
    list_init(&req->link);
    return req;
}

static void free_pairs(struct http_pair *pairs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(pairs[i].name);
        free(pairs[i].value);
    }
    free(pairs);
}

static void free_request(struct http_req *req)
{
    if (req->result) {
        http_resp_done(&req->result->resp);
        free(req->result);
    }
    http_resp_done(&req->answer);
    http_path_done(&req->split);
    http_query_done(&req->query);
    free_pairs(req->headers, req->header_count);
    free_pairs(req->params, req->param_count);
    str_done(&req->body);
    free(req->allow);
    free(req->method);
    free(req->target);
    free(req->path);
    if (req->counted_bytes > 0) {
        (void)__atomic_sub_fetch(&req->server->body_bytes, req->counted_bytes, __ATOMIC_RELAXED);
    }
    http_server_unref(req->server);
    free(req);
}

void http_req_unref(struct http_req *req)
{
    if (req && __atomic_sub_fetch(&req->refs, 1, __ATOMIC_ACQ_REL) == 0) {
        free_request(req);
    }
}

static void add_pair(struct http_pair **pairs, size_t *count, const char *name, const char *value)
{
    *pairs = xrealloc(*pairs, *count + 1, sizeof(**pairs));
    (*pairs)[*count] =
        (struct http_pair){ .name = xstrdup(name), .value = xstrdup(value ? value : "") };
    (*count)++;
}

void http_req_add_header(struct http_req *req, const char *name, const char *value)
{
    if (req->header_count < HTTP_HEADERS_MAX) {
        add_pair(&req->headers, &req->header_count, name, value);
    } else {
        req->header_problem = "more than 128 header fields";
    }
}

bool http_id_is_valid(const char *text)
{
    size_t n = text ? strlen(text) : 0;
    return n >= 1 && n <= HTTP_ID_MAX &&
           strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-") == n;
}

/* ---- what a handler reads ---- */

void *http_req_arg(const struct http_req *req)
{
    return req->arg;
}

const char *http_req_method(const struct http_req *req)
{
    return req->method;
}

const char *http_req_path(const struct http_req *req)
{
    return req->path;
}

const char *http_req_target(const struct http_req *req)
{
    return req->target;
}

static const char *test_param(const struct http_req *req, const char *name)
{
    for (size_t i = req->param_count; i-- > 0;) {
        if (text_eq(req->params[i].name, name)) {
            return req->params[i].value;
        }
    }
    return NULL;
}

const char *http_req_param(const struct http_req *req, const char *name)
{
    const char *value =
        req->pattern ? http_pattern_param(req->pattern, &req->split, name) : test_param(req, name);
    xp_check(value != NULL);
    return value;
}

size_t http_req_query_all(const struct http_req *req, const char *name, const char **ret_values,
                          size_t max)
{
    size_t found = 0;
    for (size_t i = 0; i < req->query.count && found < max; i++) {
        if (text_eq(req->query.name[i], name)) {
            ret_values[found++] = req->query.value[i];
        }
    }
    return found;
}

const char *http_req_query(const struct http_req *req, const char *name)
{
    const char *value;
    return http_req_query_all(req, name, &value, 1) == 1 ? value : NULL;
}

const char *http_req_header(const struct http_req *req, const char *name)
{
    for (size_t i = 0; i < req->header_count; i++) {
        if (text_eq_nocase(req->headers[i].name, name)) {
            return req->headers[i].value;
        }
    }
    return NULL;
}

const char *http_req_body(const struct http_req *req, size_t *ret_length)
{
    if (ret_length) {
        *ret_length = req->body.len;
    }
    return str_text(&req->body);
}

const char *http_req_peer(const struct http_req *req)
{
    return req->peer;
}

const char *http_req_id(const struct http_req *req)
{
    return req->id;
}

int http_req_json(const struct http_req *req, json_t **ret_json, struct xp_err *err)
{
    json_t *json = NULL;
    if (req->body.len > 0) {
        json_error_t why;
        int rc = json_limits_check(req->body.buf, req->body.len, JSON_VALUES_MAX, err);
        if (rc != 0) {
            return xp_wrap(err, "body");
        }
        json = json_loadb(req->body.buf, req->body.len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY,
                          &why);
        if (!json) {
            /* jansson quotes the input, which may be anything. */
            char text[sizeof(why.text)];
            http_printable(why.text, strlen(why.text), text, sizeof(text));
            return xp_fail(err, XP_INVALID, "the body is not valid JSON: line %d, column %d: %s",
                           why.line, why.column, text);
        }
    }
    *ret_json = json;
    return 0;
}

/* ---- for unit tests of handlers ---- */

struct http_req *http_req_new_test(const char *method, const char *target, const char *body,
                                   void *arg)
{
    struct http_req *req = http_req_new(NULL, target, arg);
    const char *mark = strchr(target, '?');
    const char *query = mark ? mark + 1 : "";
    req->method = xstrdup(method);
    xp_check(http_query_parse(query, strlen(query), &req->query, NULL) == 0);
    req->body = STR_INIT(body ? strlen(body) : 0);
    str_puts(&req->body, body);
    (void)snprintf(req->peer, sizeof(req->peer), "127.0.0.1");
    (void)snprintf(req->id, sizeof(req->id), "test");
    return req;
}

void http_req_set_param_test(struct http_req *req, const char *name, const char *value)
{
    xp_check(!req->server);
    add_pair(&req->params, &req->param_count, name, value);
}

void http_req_set_header_test(struct http_req *req, const char *name, const char *value)
{
    xp_check(!req->server);
    http_req_add_header(req, name, value);
}

void http_req_free_test(struct http_req *req)
{
    xp_check(!req || !req->server);
    http_req_unref(req);
}

void http_req_keep_result(struct http_req *req, int rc, struct http_resp *resp,
                          const struct xp_err *err)
{
    struct http_test_result *result = xcalloc(1, sizeof(*result));
    result->rc = rc;
    if (resp) {
        result->resp = *resp;
        *resp = (struct http_resp){ 0 };
    }
    if (rc < 0 && err) {
        result->err = *err;
    }
    struct http_test_result *none = NULL;
    xp_check(__atomic_compare_exchange_n(&req->result, &none, result, false, __ATOMIC_ACQ_REL,
                                         __ATOMIC_ACQUIRE));
}

int http_req_result_test(const struct http_req *req, const struct http_resp **ret_resp,
                         const struct xp_err **ret_err)
{
    const struct http_test_result *result = __atomic_load_n(&req->result, __ATOMIC_ACQUIRE);
    if (!result) {
        return HTTP_LATER;
    }
    if (ret_resp) {
        *ret_resp = &result->resp;
    }
    if (ret_err) {
        *ret_err = &result->err;
    }
    return result->rc;
}
