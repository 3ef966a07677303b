/* request.c - see request.h. */
#include "console/api/request.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "shared/base/mem.h"
#include "shared/base/banned.h"

#define ETAG_BYTES 16

#define LIST_MAX_COUNT 100000

struct api_context *api_context(const struct http_req *req)
{
    return http_req_arg(req);
}

struct catalog *api_catalog(const struct http_req *req)
{
    return api_context(req)->catalog;
}

struct change_ctx api_change(const struct http_req *req)
{
    return (struct change_ctx){ .actor = "api",
                                .request_id = http_req_id(req),
                                .peer_ip = http_req_peer(req) };
}

int api_submit(const struct http_req *req, struct job *job, struct xp_err *err)
{
    struct worker_pool *pool = api_context(req)->pool;
    return pool ? worker_submit(pool, job, err)
                : xp_fail(err, XP_UNAVAILABLE, "the console is shutting down");
}

void api_tell(const struct http_req *req, struct catalog_result *result)
{
    if (!result->is_noop && api_context(req)->notifier) {
        notifier_wake(api_context(req)->notifier);
    }
    catalog_result_done(result);
}

struct shard_place api_place(const struct http_req *req)
{
    return (struct shard_place){ .cluster = http_req_param(req, "cluster"),
                                 .dc = http_req_param(req, "dc"),
                                 .shard = http_req_param(req, "shard") };
}

int api_changed(const struct http_req *req, struct http_resp *resp, const char *text,
                struct catalog_result *result)
{
    json_t *body = json_pack("{s:i, s:o}", "state", 0, "message", jd_text(text ? text : "success"));
    if (result->warning[0]) {
        json_object_set_new(body, "warning", jd_text(result->warning));
    }
    http_resp_json(resp, body);
    api_tell(req, result);
    return 0;
}

/* ---- decoding ---- */

int decode_opt_i64(const json_t *value, void *ret_opt_i64, struct xp_err *err)
{
    struct opt_i64 *out = ret_opt_i64;
    int64_t number = 0;
    if (json_is_integer(value)) {
        number = (int64_t)json_integer_value(value);
    } else if (!json_is_string(value) ||
               !text_to_i64(json_string_value(value), json_string_length(value), INT64_MIN,
                            INT64_MAX, &number)) {
        return xp_fail(err, XP_INVALID, "not an integer");
    }
    *out = (struct opt_i64){ .has = true, .value = number };
    return 0;
}

int decode_tri(const json_t *value, void *ret_tri, struct xp_err *err)
{
    const char *text = json_string_value(value);
    if (json_is_boolean(value)) {
        *(enum tri *)ret_tri = tri_of(json_is_true(value));
    } else if (text && (text_eq_nocase(text, "true") || text_eq_nocase(text, "false"))) {
        *(enum tri *)ret_tri = tri_of(text_eq_nocase(text, "true"));
    } else {
        return xp_fail(err, XP_INVALID, "not true or false");
    }
    return 0;
}

enum tri tri_either(enum tri first, enum tri second)
{
    return first != TRI_ABSENT ? first : second;
}

bool api_body_object(const struct http_req *req, struct http_resp *resp, const struct jfield *table,
                     void *ret_object)
{
    json_auto_t *body = NULL;
    if (!envelope_body(req, false, resp, &body)) {
        return false;
    }
    struct xp_err err = { 0 };
    if (!json_is_object(body)) {
        xp_fail(&err, XP_INVALID, "request body: a JSON object is expected");
    } else if (jd_object(body, table, ret_object, &err) == 0) {
        return true;
    }
    envelope_malformed(req, resp, &err);
    return false;
}

static int decode_list(const json_t *body, struct object_list *list, struct xp_err *err)
{
    if (!json_is_array(body) || json_array_size(body) > LIST_MAX_COUNT) {
        return xp_fail(err, XP_INVALID,
                       "request body: a JSON array of at most %d objects is expected",
                       LIST_MAX_COUNT);
    }
    list->bytes = xcalloc(json_array_size(body) + 1, list->size);
    for (size_t i = 0; i < json_array_size(body); i++) {
        list->count = i + 1; /* a half-decoded one is freed with the others */
        const json_t *item = json_array_get(body, i);
        if (!json_is_object(item)) {
            return xp_fail(err, XP_INVALID, "request body: [%zu] is not an object", i);
        }
        if (jd_object(item, list->table, object_list_at(list, i), err) < 0) {
            return xp_wrap(err, "[%zu]", i);
        }
    }
    return 0;
}

bool api_body_list(const struct http_req *req, struct http_resp *resp, struct object_list *list)
{
    json_auto_t *body = NULL;
    if (!envelope_body(req, false, resp, &body)) {
        return false;
    }
    struct xp_err err = { 0 };
    if (decode_list(body, list, &err) < 0) {
        envelope_malformed(req, resp, &err);
        return false;
    }
    return true;
}

void object_list_done(struct object_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        jd_done(list->table, object_list_at(list, i));
    }
    free(list->bytes);
    list->bytes = NULL;
    list->count = 0;
}

bool api_body_texts(const struct http_req *req, struct http_resp *resp, struct names *ret_texts)
{
    json_auto_t *body = NULL;
    if (!envelope_body(req, false, resp, &body)) {
        return false;
    }
    struct xp_err err = { 0 };
    if (!json_is_array(body) || json_array_size(body) > LIST_MAX_COUNT) {
        xp_fail(&err, XP_INVALID, "request body: a JSON array of texts is expected");
        envelope_malformed(req, resp, &err);
        return false;
    }
    size_t count = json_array_size(body);
    for (size_t i = 0; i < count; i++) {
        if (!json_is_string(json_array_get(body, i))) {
            xp_fail(&err, XP_INVALID, "request body: [%zu] is not a text", i);
            envelope_malformed(req, resp, &err);
            return false;
        }
    }
    ret_texts->items = xcalloc(count + 1, sizeof(char *));
    ret_texts->count = count;
    for (size_t i = 0; i < count; i++) {
        ret_texts->items[i] = xstrdup(json_string_value(json_array_get(body, i)));
    }
    return true;
}

bool api_param_i64(const struct http_req *req, struct http_resp *resp, const char *name,
                   int64_t *ret_value)
{
    const char *text = http_req_param(req, name);
    if (text_to_i64(text, strlen(text), INT64_MIN, INT64_MAX, ret_value)) {
        return true;
    }
    struct xp_err err;
    xp_fail(&err, XP_INVALID, "path parameter %s: '%s' is not an integer", name, text);
    envelope_malformed(req, resp, &err);
    return false;
}

bool api_query_bool(const struct http_req *req, struct http_resp *resp, const char *name,
                    bool absent, bool *ret_value)
{
    const char *text = http_req_query(req, name);
    if (text_is_empty(text)) {
        *ret_value = absent;
        return true;
    }
    if (text_eq_nocase(text, "true") || text_eq_nocase(text, "false")) {
        *ret_value = text_eq_nocase(text, "true");
        return true;
    }
    struct xp_err err;
    xp_fail(&err, XP_INVALID, "query parameter %s: '%s' is not true or false", name, text);
    envelope_malformed(req, resp, &err);
    return false;
}

/* ---- encoding ---- */

void api_json_etag(struct http_resp *resp, json_t *take_value)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    char etag[2 * ETAG_BYTES + 3] = "\"";
    char *text = json_dumps(take_value, JSON_COMPACT);
    json_decref(take_value);
    xp_check(text && EVP_Digest(text, strlen(text), digest, &size, EVP_sha256(), NULL) == 1);
    for (size_t i = 0; i < ETAG_BYTES; i++) {
        (void)snprintf(etag + 1 + 2 * i, 3, "%02x", digest[i]);
    }
    etag[1 + 2 * ETAG_BYTES] = '"';
    http_resp_text(resp, 200, "application/json;charset=UTF-8", text);
    free(resp->etag);
    resp->etag = xstrdup(etag);
    free(text);
}

json_t *json_date(wall_ms at_ms)
{
    time_t seconds = (time_t)(at_ms / 1000);
    struct tm tm;
    char text[64];
    char day[32];
    gmtime_r(&seconds, &tm);
    (void)strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
    (void)snprintf(text, sizeof(text), "%s.%03d+0000", day, (int)(at_ms % 1000));
    return json_string(text);
}

json_t *json_addrs(const struct redis_rows *rows)
{
    json_t *list = json_array();
    for (size_t i = 0; i < rows->count; i++) {
        json_array_append_new(list, jd_text(ADDR_TEXT(&rows->items[i].addr)));
    }
    return list;
}
