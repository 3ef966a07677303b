/* api_divergences.c - what returned masters had beyond the new master (console/migration/divergences.h).
 *
 *   POST /api/v2/divergences   {"dc","cluster","shard","redis":"ip:port","replId","offset","promotedOffset","bytes","why","reason","wallMs"};
 *                              offsets and bytes null or absent: not known. 201 {"id","event"}, 200 for one that is known
 *   GET  /api/v2/divergences?cluster=&limit=&after=   {"items":[...],"next"}, newest first */
#include <string.h>

#include "console/api/request.h"
#include "console/api/tables.h"
#include "console/migration/divergences.h"
#include "shared/base/log.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

enum { PAGE_COUNT = 100, BODY_MAX_BYTES = 16384 };

/* ---- reports of metaservers ---- */

struct report_body {
    char *dc;
    char *cluster;
    char *shard;
    char *redis;
    char *repl_id;
    int64_t offset;
    int64_t promoted_offset;
    int64_t bytes;
    char *why;
    char *reason;
    int64_t wall_ms;
};

#define BODY(member) offsetof(struct report_body, member)
/* clang-format off */
static const struct jfield report_fields[] = {
    { .name = "dc", .type = JF_STRING, .offset = BODY(dc), .flags = JF_REQUIRED },
    { .name = "cluster", .type = JF_STRING, .offset = BODY(cluster), .flags = JF_REQUIRED },
    { .name = "shard", .type = JF_STRING, .offset = BODY(shard), .flags = JF_REQUIRED },
    { .name = "redis", .type = JF_STRING, .offset = BODY(redis), .flags = JF_REQUIRED },
    { .name = "replId", .type = JF_STRING, .offset = BODY(repl_id) },
    { .name = "offset", .type = JF_INT64, .offset = BODY(offset) },
    { .name = "promotedOffset", .type = JF_INT64, .offset = BODY(promoted_offset) },
    { .name = "bytes", .type = JF_INT64, .offset = BODY(bytes) },
    { .name = "why", .type = JF_STRING, .offset = BODY(why) },
    { .name = "reason", .type = JF_STRING, .offset = BODY(reason) },
    { .name = "wallMs", .type = JF_INT64, .offset = BODY(wall_ms), .flags = JF_REQUIRED },
    { 0 },
};
/* clang-format on */

struct news { /* to the webhook, over the loop */
    struct loop_msg msg;
    struct outer_client *outer;
    json_t *body;
};

static void drop_news(struct loop_msg *msg)
{
    struct news *news = CONTAINER_OF(msg, struct news, msg);
    json_decref(news->body);
    free(news);
}

static void tell_news(struct loop_msg *msg)
{
    struct news *news = CONTAINER_OF(msg, struct news, msg);
    outer_diverged(news->outer, json_incref(news->body));
    drop_news(msg);
}

static json_t *known(int64_t value)
{
    return value < 0 ? json_null() : json_integer(value);
}

static void tell(const struct http_req *req, const struct divergence *d, int64_t event_id)
{
    const struct api_context *c = api_context(req);
    struct xp_err err;
    if (!c->outer || !c->daemon) {
        return;
    }
    struct news *news = xcalloc(1, sizeof(*news));
    news->msg = (struct loop_msg){ .deliver = tell_news, .drop = drop_news };
    news->outer = c->outer;
    news->body = json_pack(
        "{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "event", "diverged", "cluster",
        jd_text(d->cluster), "shard", jd_text(d->shard), "dc", jd_text(d->dc), "redis",
        jd_text(ADDR_TEXT(&d->redis)), "bytes", known(d->bytes), "replId", jd_text(d->repl_id),
        "offset", known(d->offset), "promotedOffset", known(d->promoted_offset), "reason",
        jd_text(d->reason), "migration", event_id > 0 ? json_integer(event_id) : json_null());
    if (loop_post(daemon_loop(c->daemon), &news->msg, &err) != 0) {
        log_warn("divergence.webhook_not_told", "cluster", d->cluster, "error", err.msg);
        drop_news(&news->msg);
    }
}

static const char *text_or_none(const char *text)
{
    return text ? text : "";
}

static int take_report(struct http_req *req, struct http_resp *resp, const struct report_body *body,
                       struct xp_err *err)
{
    struct divergence d = { .dc = body->dc,
                            .cluster = body->cluster,
                            .shard = body->shard,
                            .repl_id = text_or_none(body->repl_id),
                            .offset = body->offset,
                            .promoted_offset = body->promoted_offset,
                            .bytes = body->bytes,
                            .why = text_or_none(body->why),
                            .reason = text_or_none(body->reason),
                            .at = body->wall_ms };
    struct change_ctx ctx = api_change(req);
    struct divergence_noted noted;
    int rc = addr_parse(body->redis, strlen(body->redis), &d.redis, err);
    if (rc != 0) {
        return xp_wrap(err, "redis");
    }
    rc = divergence_record(api_catalog(req), &ctx, &d, &noted, err);
    if (rc != 0) {
        return rc;
    }
    if (noted.is_new) {
        tell(req, &d, noted.event_id);
        resp->status = 201;
    }
    http_resp_json(resp,
                   json_pack("{s:I, s:o}", "id", (json_int_t)noted.id, "event",
                             noted.event_id > 0 ? json_integer(noted.event_id) : json_null()));
    return 0;
}

static int post_divergence(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct report_body body = { .offset = -1, .promoted_offset = -1, .bytes = -1 };
    int rc = 0;
    if (api_body_object(req, resp, report_fields, &body)) {
        rc = take_report(req, resp, &body, err);
    }
    jd_done(report_fields, &body);
    return rc;
}

/* ---- reading ---- */

static int read_number(const struct http_req *req, const char *name, int64_t min, int64_t max,
                       int64_t *ret_value, struct xp_err *err)
{
    const char *text = http_req_query(req, name);
    if (!text_is_empty(text) && !text_to_i64(text, strlen(text), min, max, ret_value)) {
        return xp_fail(err, XP_INVALID, "%s: '%.20s' is not a number of %lld..%lld", name, text,
                       (long long)min, (long long)max);
    }
    return 0;
}

static int get_divergences(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    const char *cluster = http_req_query(req, "cluster");
    int64_t after = 0;
    int64_t limit = PAGE_COUNT;
    json_t *json = NULL;
    int rc = read_number(req, "after", 0, INT64_MAX - 1, &after, err);
    rc = rc != 0 ? rc : read_number(req, "limit", 1, DIVERGENCES_PAGE_MAX, &limit, err);
    rc = rc != 0 ? rc
                 : divergences_list(api_catalog(req), text_is_empty(cluster) ? NULL : cluster,
                                    after, (int)limit, &json, err);
    if (rc == 0) {
        api_json_etag(resp, json);
    }
    return rc;
}

/* clang-format off */
const struct http_route api_divergence_routes[] = {
    { "POST", "/api/v2/divergences", post_divergence, HTTP_ON_WORKER, BODY_MAX_BYTES, "meta", "a metaserver's report: what a returned master had beyond the new one" },
    { "GET", "/api/v2/divergences", get_divergences, HTTP_ON_WORKER, 0, "read", "what returned masters had beyond the new ones, newest first: cluster, limit, after" },
    API_END,
};
/* clang-format on */
