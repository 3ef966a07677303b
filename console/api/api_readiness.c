/* api_readiness.c - could the clusters be switched now? What readiness_board.h knows; nobody is asked for an answer.
 *
 *   GET /api/v2/dr/readiness?cluster=&from=&dc=&verdict=&limit=&after=   a page: {"items":[...],"next","counts"}; limit counts clusters
 *   GET /api/v2/clusters/{cluster}/dr-readiness                          {"cluster","clusterId","from","destinations":[items]} */
#include <string.h>

#include "console/api/request.h"
#include "console/api/tables.h"
#include "console/migration/readiness_read.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

enum { PAGE_COUNT = 100 };

static const char *query_text_of(const struct http_req *req, const char *name)
{
    const char *text = http_req_query(req, name);
    return text_is_empty(text) ? NULL : text;
}

static int read_number(const struct http_req *req, const char *name, int64_t min, int64_t max,
                       int64_t *ret_value, struct xp_err *err)
{
    const char *text = query_text_of(req, name);
    if (text && !text_to_i64(text, strlen(text), min, max, ret_value)) {
        return xp_fail(err, XP_INVALID, "%s: '%.20s' is not a number of %lld..%lld", name, text,
                       (long long)min, (long long)max);
    }
    return 0;
}

static int read_level(const struct http_req *req, struct readiness_query *query, struct xp_err *err)
{
    const char *text = query_text_of(req, "verdict");
    query->has_level = text != NULL;
    if (text && !readiness_level_from_text(text, &query->level)) {
        return xp_fail(err, XP_INVALID,
                       "verdict: '%.20s' is not READY, WARNING, NOT_READY or UNKNOWN", text);
    }
    return 0;
}

static const char *inner_dc(const struct http_req *req, const char *name)
{
    const char *text = query_text_of(req, name);
    return text ? dc_alias_inner(api_catalog(req)->alias, text) : NULL;
}

static int read_query(const struct http_req *req, struct readiness_query *query, struct xp_err *err)
{
    int64_t limit = PAGE_COUNT;
    *query = (struct readiness_query){ .cluster = query_text_of(req, "cluster"),
                                       .from = inner_dc(req, "from"),
                                       .to = inner_dc(req, "dc") };
    int rc = read_level(req, query, err);
    rc = rc != 0 ? rc : read_number(req, "after", 0, INT64_MAX - 1, &query->after_id, err);
    rc = rc != 0 ? rc : read_number(req, "limit", 1, READINESS_PAGE_MAX, &limit, err);
    query->limit = (int)limit;
    return rc;
}

static int no_board(struct xp_err *err)
{
    return xp_fail(err, XP_UNSUPPORTED, "nobody looks at the readiness of clusters here");
}

static int get_readiness(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct readiness_board *board = api_context(req)->readiness;
    struct readiness_query query;
    int rc = board ? read_query(req, &query, err) : no_board(err);
    if (rc == 0) {
        http_resp_json(resp, readiness_board_list(board, &query, api_catalog(req)->alias));
    }
    return rc;
}

/* One that nobody has looked at yet is shown as such. */
static struct readiness_view *view_of(struct readiness_board *board,
                                      const struct readiness_target *target)
{
    struct readiness_view *view = readiness_board_get(board, target->id);
    return view ? view
                : readiness_view_unknown(target->id, target->cluster, target->from, &target->to);
}

static int get_cluster(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct readiness_board *board = api_context(req)->readiness;
    const struct catalog *cat = api_catalog(req);
    CLEANUP(readiness_target_done) struct readiness_target target = { 0 };
    int rc = board ? readiness_read_named(cat, http_req_param(req, "cluster"), &target, err)
                   : no_board(err);
    if (rc != 0) {
        return rc;
    }
    struct readiness_view *view = view_of(board, &target);
    http_resp_json(resp, json_pack("{s:o, s:I, s:o, s:o}", "cluster", jd_text(target.cluster),
                                   "clusterId", (json_int_t)target.id, "from",
                                   jd_text(dc_alias_outer(cat->alias, target.from)), "destinations",
                                   readiness_view_items(board, view, cat->alias)));
    readiness_view_unref(view);
    return 0;
}

/* clang-format off */
const struct http_route api_readiness_routes[] = {
    { "GET", "/api/v2/dr/readiness", get_readiness, HTTP_ON_WORKER, 0, "read", "could the one-way clusters be switched now, with reasons: cluster, from, dc, verdict, limit, after" },
    { "GET", "/api/v2/clusters/{cluster}/dr-readiness", get_cluster, HTTP_ON_WORKER, 0, "read", "the same of one cluster, for each DC it could be switched to" },
    API_END,
};
/* clang-format on */
