/* http_reply.c - what every answer has: status, entity tags, headers; and how answers are counted. */
#include "shared/net/http_impl.h"
#include "shared/base/mem.h"
#include "shared/base/metrics.h"

#include <string.h>

#include "shared/base/banned.h"

#define DEFAULT_CONTENT_TYPE "application/json;charset=UTF-8"

static struct metric requests[] = {
    METRIC_COUNTER_INIT("xpipe_http_requests_total", "code=\"1xx\"",
                        "HTTP requests answered, by class of status."),
    METRIC_COUNTER_INIT("xpipe_http_requests_total", "code=\"2xx\"",
                        "HTTP requests answered, by class of status."),
    METRIC_COUNTER_INIT("xpipe_http_requests_total", "code=\"3xx\"",
                        "HTTP requests answered, by class of status."),
    METRIC_COUNTER_INIT("xpipe_http_requests_total", "code=\"4xx\"",
                        "HTTP requests answered, by class of status."),
    METRIC_COUNTER_INIT("xpipe_http_requests_total", "code=\"5xx\"",
                        "HTTP requests answered, by class of status."),
};
static struct metric seconds = METRIC_HISTOGRAM_INIT(
    "xpipe_http_request_seconds", "", "Time from the header of a request to its answer.");
static struct metric connections =
    METRIC_GAUGE_INIT("xpipe_http_connections", "", "Open HTTP connections, idle ones included.");

static struct metric connections_refused = METRIC_COUNTER_INIT(
    "xpipe_http_connections_refused_total", "", "Connections over the limit that were told so.");
static struct metric connections_cut =
    METRIC_COUNTER_INIT("xpipe_http_connections_cut_total", "",
                        "Waiting connections closed to make room for new ones.");

void http_count_request(int status, int64_t duration_us)
{
    int class_of = status < 100 || status > 599 ? 5 : status / 100;
    metric_add(&requests[class_of - 1], 1);
    metric_observe_us(&seconds, duration_us);
}

void http_count_connection(int delta)
{
    metric_add(&connections, delta);
}

void http_count_refused_connection(void)
{
    metric_add(&connections_refused, 1);
}

void http_count_cut_connection(void)
{
    metric_add(&connections_cut, 1);
}

/* The opaque part of an entity tag, without W/; compared so because If-None-Match is a weak comparison. */
static const char *strip_weak(const char *tag, size_t *length)
{
    bool is_weak = *length >= 2 && tag[0] == 'W' && tag[1] == '/';
    *length -= is_weak ? 2 : 0;
    return tag + (is_weak ? 2 : 0);
}

bool http_etag_matches(const char *if_none_match, const char *etag)
{
    if (!if_none_match || !etag) {
        return false;
    }
    size_t own_length = strlen(etag);
    const char *own = strip_weak(etag, &own_length);
    const char *part;
    size_t length;
    for (const char *cursor = if_none_match; text_next_part(&cursor, ",", &part, &length);) {
        if (length == 1 && part[0] == '*') {
            return true;
        }
        const char *theirs = strip_weak(part, &length);
        if (length == own_length && memcmp(theirs, own, length) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_not_modified(const struct http_req *req, const struct http_resp *resp)
{
    bool is_read = text_eq(req->method, "GET") || text_eq(req->method, "HEAD");
    return is_read && resp->status >= 200 && resp->status < 300 &&
           http_etag_matches(http_req_header(req, "If-None-Match"), resp->etag);
}

void http_reply_complete(const struct http_req *req, struct http_resp *resp)
{
    if (resp->status == 0) {
        resp->status = 200;
    }
    if (is_not_modified(req, resp)) {
        resp->status = 304;
        blob_unref(TAKE(resp->body));
    }
    bool has_body = resp->body && resp->body->len > 0;
    if (!has_body) {
        resp->content_type = NULL;
    } else if (!resp->content_type) {
        resp->content_type = DEFAULT_CONTENT_TYPE;
    }
}

static void add_given(void (*add)(void *arg, const char *name, const char *value), void *arg,
                      const char *name, const char *value)
{
    if (name && value) {
        add(arg, name, value);
    }
}

void http_reply_headers(const struct http_req *req,
                        void (*add)(void *arg, const char *name, const char *value), void *arg)
{
    const struct http_resp *resp = &req->answer;
    add_given(add, arg, "Content-Type", resp->content_type);
    add_given(add, arg, "ETag", resp->etag);
    add_given(add, arg, "Allow", req->allow);
    add_given(add, arg, "X-Request-Id", req->id);
    for (size_t i = 0; i < ARRAY_LEN(resp->extra); i++) {
        add_given(add, arg, resp->extra[i][0], resp->extra[i][1]);
    }
}
