/* envelope.c - see envelope.h. The one place that knows the statuses of the old face. */
#include "console/api/envelope.h"

#include <string.h>
#include <strings.h>

#include "shared/base/log.h"
#include "shared/model/json_decode.h"
#include "shared/base/banned.h"

bool envelope_is_strict(const struct http_req *req)
{
    return text_eq_nocase(http_req_header(req, "X-XPipe-Status"), "strict");
}

void envelope_success(struct http_resp *resp, const char *text)
{
    http_resp_json(
        resp, json_pack("{s:i, s:o}", "state", 0, "message", jd_text(text ? text : "success")));
}

void envelope_payload(struct http_resp *resp, json_t *payload)
{
    http_resp_json(resp, json_pack("{s:i, s:n, s:o}", "state", 0, "message", "payload", payload));
}

static bool is_read(const struct http_req *req)
{
    return text_eq(http_req_method(req), "GET") || text_eq(http_req_method(req), "HEAD");
}

/* Failures that are answered with their own status in both modes: not the fate of the change, but of the request. */
static int transport_status(const struct http_route *route, int code)
{
    switch (code) {
    case XP_UNSUPPORTED:
        return route ? 501 : 0;
    case XP_FORBIDDEN:
        return 403;
    case XP_LOCKED:
        return 409;
    case XP_TOO_LARGE:
        return 413;
    case XP_UNAVAILABLE:
    case XP_TOO_MANY:
        return 503;
    case XP_TIMEOUT:
        return 500;
    default:
        return 0;
    }
}

static int strict_status(const struct http_route *route, int code)
{
    if (!route && code == XP_UNSUPPORTED) {
        return 405;
    }
    return xp_code_info(code)->http_status;
}

/* x-pipe handles these in the request itself, so that their failures have a status and the text (console-api.md 1.2). */
static bool is_migration(const struct http_req *req)
{
    static const char *const prefixes[] = { "/api/migration/",
                                            "/api/dr/",
                                            "/console/migration/",
                                            "/api/beacon/migration/",
                                            "/api/config/ignore/migration/",
                                            "/api/config/allow/migration/" };
    for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
        if (strncasecmp(http_req_path(req), prefixes[i], strlen(prefixes[i])) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_v2(const struct http_req *req)
{
    static const char prefix[] = "/api/v2/";
    return strncasecmp(http_req_path(req), prefix, strlen(prefix)) == 0;
}

static int compat_status(const struct http_req *req, const struct http_route *route, int code)
{
    int status = transport_status(route, code);
    if (status != 0) {
        return status;
    }
    if (route && is_migration(req)) {
        return code == XP_NOT_FOUND ? 404 : code == XP_INVALID ? 400 : 500;
    }
    if (!route) {
        return code == XP_NOT_FOUND ? 404 : 400; /* a wrong method is 400 there, not 405 */
    }
    return is_read(req) ? xp_code_info(code)->http_status : 200;
}

/* One line of text: what a refusal quotes from the request may hold anything. */
static json_t *message_of(const struct xp_err *err)
{
    char text[sizeof(err->msg)];
    memcpy(text, err->msg, sizeof(text));
    for (char *p = text; *p; p++) {
        *p = (unsigned char)*p < ' ' || *p == 0x7F ? '?' : *p;
    }
    return jd_text(text);
}

static json_t *state_body(const struct xp_err *err)
{
    return json_pack("{s:i, s:o}", "state", -1, "message", message_of(err));
}

static json_t *exception_body(const struct xp_err *err)
{
    return json_pack("{s:o, s:s}", "message", message_of(err), "exception",
                     xp_code_info(err->code)->name);
}

/* RFC 9457. */
static void answer_problem(const struct http_req *req, struct http_resp *resp, int status,
                           const struct xp_err *err)
{
    http_resp_json(resp, json_pack("{s:s, s:s, s:i, s:o, s:o, s:o}", "type", "about:blank", "title",
                                   xp_code_info(err->code)->name, "status", status, "detail",
                                   message_of(err), "instance", jd_text(http_req_path(req)),
                                   "requestId", jd_text(http_req_id(req))));
    resp->content_type = "application/problem+json";
    resp->status = status;
}

void envelope_problem(const struct http_req *req, struct http_resp *resp,
                      const struct problem *problem)
{
    const struct xp_code_info *info = xp_code_info(problem->code);
    int status = problem->status ? problem->status : info->http_status;
    json_t *json =
        json_pack("{s:s, s:s, s:i, s:o, s:o, s:o}", "type", "about:blank", "title", info->name,
                  "status", status, "detail", jd_text(problem->detail), "instance",
                  jd_text(http_req_path(req)), "requestId", jd_text(http_req_id(req)));
    if (problem->key) {
        json_object_set_new(json, problem->key, problem->take_value);
    }
    http_resp_json(resp, json);
    resp->content_type = "application/problem+json";
    resp->status = status;
}

static void answer(const struct http_req *req, struct http_resp *resp, int status,
                   const struct xp_err *err, json_t *body)
{
    if (envelope_is_strict(req)) {
        json_object_set_new(body, "code", json_string(xp_code_info(err->code)->name));
        json_object_set_new(body, "requestId", jd_text(http_req_id(req)));
    }
    http_resp_json(resp, body);
    resp->status = status;
}

void envelope_error(const struct http_req *req, const struct http_route *route,
                    const struct xp_err *err, struct http_resp *resp)
{
    if (xp_code_info(err->code)->is_our_fault) {
        log_error("api.failed", "method", http_req_method(req), "path", http_req_path(req),
                  "request", http_req_id(req), "why", err->msg);
    } else {
        log_debug("api.refused", "method", http_req_method(req), "path", http_req_path(req),
                  "request", http_req_id(req), "why", err->msg);
    }
    if (is_v2(req)) {
        answer_problem(req, resp, strict_status(route, err->code), err);
        return;
    }
    bool strict = envelope_is_strict(req);
    int status = strict ? strict_status(route, err->code) : compat_status(req, route, err->code);
    bool has_state = err->code == XP_FORBIDDEN || (route && !is_migration(req) &&
                                                   (!is_read(req) || err->code == XP_UNSUPPORTED));
    answer(req, resp, status, err, has_state ? state_body(err) : exception_body(err));
}

int envelope_malformed(const struct http_req *req, struct http_resp *resp, const struct xp_err *err)
{
    if (is_v2(req)) {
        answer_problem(req, resp, 400, err);
        return 0;
    }
    bool is_400 = envelope_is_strict(req) || is_migration(req);
    answer(req, resp, is_400 ? 400 : 500, err, exception_body(err));
    return 0;
}

/* "application/json", with or without a charset. Without the header the body is read as JSON: old scripts send none. */
static bool is_json(const struct http_req *req)
{
    static const char json[] = "application/json";
    const char *type = http_req_header(req, "Content-Type");
    size_t length = type ? strcspn(type, "; ") : 0;
    return !type || (length == strlen(json) && strncasecmp(type, json, length) == 0);
}

bool envelope_body(const struct http_req *req, bool may_be_empty, struct http_resp *resp,
                   json_t **ret_body)
{
    struct xp_err err = { 0 };
    json_t *body = NULL;
    size_t length;
    (void)http_req_body(req, &length);
    if (length > 0 && !is_json(req)) {
        (void)xp_fail(&err, XP_INVALID,
                      "Content-Type: '%.100s' is not supported, send application/json",
                      http_req_header(req, "Content-Type"));
        answer(req, resp, 400, &err, exception_body(&err));
        return false;
    }
    int rc = http_req_json(req, &body, &err);
    if (rc == 0 && !body && !may_be_empty) {
        rc = xp_fail(&err, XP_INVALID, "request body is missing");
    }
    if (rc < 0) {
        envelope_malformed(req, resp, &err);
        return false;
    }
    *ret_body = body;
    return true;
}
