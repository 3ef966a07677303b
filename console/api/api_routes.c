/* api_routes.c - routes, designated routes, and which route a cluster takes (console-api.md 3.8). */
#include "console/api/request.h"
#include "console/api/tables.h"
#include "console/catalog/organizations.h"
#include "console/catalog/proxies.h"
#include "console/catalog/routes.h"
#include "shared/base/map.h"
#include "shared/base/mem.h"
#include "shared/base/banned.h"

struct route_body {
    struct opt_i64 id;
    struct opt_i64 org_id;
    char *cluster_type;
    char *src_ids;
    char *opt_ids;  /* optionProxyIds, as x-pipe spells it */
    char *opt_ids2; /* optionalProxyIds */
    char *dst_ids;
    char *src_dc;
    char *dst_dc;
    char *tag;
    enum tri active;
    enum tri is_public;  /* public: what x-pipe reads */
    enum tri is_public2; /* isPublic: what it writes */
    char *description;
    enum tri force;
};

static const struct jfield route_fields[] = {
    JF_TABLE(JF_TABLE_ANY_CASE),
    INT_FIELD("id", struct route_body, id),
    INT_FIELD("orgId", struct route_body, org_id),
    TEXT_FIELD("clusterType", struct route_body, cluster_type),
    TEXT_FIELD("srcProxyIds", struct route_body, src_ids),
    TEXT_FIELD("optionProxyIds", struct route_body, opt_ids),
    TEXT_FIELD("optionalProxyIds", struct route_body, opt_ids2),
    TEXT_FIELD("dstProxyIds", struct route_body, dst_ids),
    TEXT_FIELD("srcDcName", struct route_body, src_dc),
    TEXT_FIELD("dstDcName", struct route_body, dst_dc),
    TEXT_FIELD("tag", struct route_body, tag),
    TRI_FIELD("active", struct route_body, active),
    TRI_FIELD("public", struct route_body, is_public),
    TRI_FIELD("isPublic", struct route_body, is_public2),
    TEXT_FIELD("description", struct route_body, description),
    TRI_FIELD("force", struct route_body, force),
    { 0 },
};

static struct route_edit edit_of(const struct route_body *body)
{
    return (struct route_edit){ .id = body->id.value,
                                .has_org_id = body->org_id.has,
                                .org_id = body->org_id.value,
                                .cluster_type = body->cluster_type,
                                .src_dc = body->src_dc,
                                .dst_dc = body->dst_dc,
                                .src_proxy_ids = body->src_ids,
                                .opt_proxy_ids = body->opt_ids ? body->opt_ids : body->opt_ids2,
                                .dst_proxy_ids = body->dst_ids,
                                .tag = body->tag,
                                .active = body->active,
                                .is_public = tri_either(body->is_public, body->is_public2),
                                .description = body->description,
                                .force = body->force == TRI_YES };
}

typedef int route_change_fn(struct catalog *, const struct change_ctx *, const struct route_edit *,
                            struct catalog_result *, struct xp_err *);

static int change_route(struct http_req *req, struct http_resp *resp, route_change_fn *change,
                        struct xp_err *err)
{
    struct route_body body = { 0 };
    int rc = 0;
    if (api_body_object(req, resp, route_fields, &body)) {
        struct change_ctx ctx = api_change(req);
        struct route_edit edit = edit_of(&body);
        struct catalog_result result;
        rc = change(api_catalog(req), &ctx, &edit, &result, err);
        if (rc == 0) {
            rc = api_changed(req, resp, NULL, &result);
        }
    }
    jd_done(route_fields, &body);
    return rc;
}

static int post_route(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    return change_route(req, resp, routes_create, err);
}

static int put_route(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    return change_route(req, resp, routes_update, err);
}

static int delete_route(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    return change_route(req, resp, routes_delete, err);
}

/* ---- lists ---- */

static json_t *ids_json(const struct route_ids *ids)
{
    struct str text AUTO_STR = STR_INIT(64 * 1024);
    for (size_t i = 0; i < ids->count; i++) {
        str_printf(&text, "%s%lld", i > 0 ? "," : "", (long long)ids->items[i]);
    }
    return jd_text(str_text(&text));
}

static json_t *route_json(const struct route_row *r)
{
    json_t *out = json_pack("{s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:b, s:o}", "id",
                            (json_int_t)r->id, "orgId", (json_int_t)r->org_id, "clusterType",
                            jd_text(r->cluster_type), "srcProxyIds", ids_json(&r->src_proxies),
                            "optionProxyIds", ids_json(&r->opt_proxies), "dstProxyIds",
                            ids_json(&r->dst_proxies), "srcDcName", jd_text(r->src_dc), "dstDcName",
                            jd_text(r->dst_dc), "tag", jd_text(r->tag), "active", r->is_active,
                            "isPublic", r->is_public, "description", jd_text(r->description));
    json_object_set_new(out, "public",
                        json_boolean(r->is_public)); /* so that what was read can be sent back */
    json_object_set_new(out, "routeInfo", jd_text(r->route_info));
    json_object_set_new(out, "problem", jd_text(r->problem));
    return out;
}

static int list_routes(struct http_req *req, struct http_resp *resp, bool active_only,
                       struct xp_err *err)
{
    struct route_filter filter = { .active_only = active_only };
    struct route_rows rows;
    if (routes_list(api_catalog(req), &filter, &rows, err) < 0) {
        return err->code;
    }
    json_t *list = json_array();
    for (size_t i = 0; i < rows.count; i++) {
        json_array_append_new(list, route_json(&rows.items[i]));
    }
    route_rows_done(&rows);
    http_resp_json(resp, list);
    return 0;
}

static int get_all(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    return list_routes(req, resp, false, err);
}

static int get_active(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    return list_routes(req, resp, true, err);
}

/* ---- designated routes: the page's shape, with uris and names instead of ids ---- */

struct page_names {
    struct proxy_rows proxies;
    struct organization_rows organizations;
    struct map uris;      /* proxy id to uri */
    struct map org_names; /* organization id to name */
};

static void page_names_done(struct page_names *p)
{
    map_done(&p->uris);
    map_done(&p->org_names);
    proxy_rows_done(&p->proxies);
    organizations_done(&p->organizations);
}

static int page_names_load(struct catalog *catalog, struct page_names *p, struct xp_err *err)
{
    struct proxy_filter all = { 0 };
    p->uris = MAP_INIT(MAP_NUMBER);
    p->org_names = MAP_INIT(MAP_NUMBER);
    if (proxies_list(catalog, &all, &p->proxies, err) < 0 ||
        organizations_list(catalog, &p->organizations, err) < 0) {
        return err->code;
    }
    for (size_t i = 0; i < p->proxies.count; i++) {
        map_put_n(&p->uris, (uint64_t)p->proxies.items[i].id, p->proxies.items[i].uri);
    }
    for (size_t i = 0; i < p->organizations.count; i++) {
        map_put_n(&p->org_names, (uint64_t)p->organizations.items[i].id,
                  p->organizations.items[i].name);
    }
    return 0;
}

static json_t *uris_json(const struct page_names *p, const struct route_ids *ids)
{
    json_t *list = json_array();
    for (size_t i = 0; i < ids->count; i++) {
        json_array_append_new(list, jd_text(map_get_n(&p->uris, (uint64_t)ids->items[i])));
    }
    return list;
}

static json_t *page_route_json(const struct page_names *p, const struct route_row *r)
{
    const char *org = map_get_n(&p->org_names, (uint64_t)r->org_id);
    return json_pack("{s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b, s:b, s:o}", "id",
                     (json_int_t)r->id, "orgName", jd_text(org ? org : ""), "clusterType",
                     jd_text(r->cluster_type), "srcProxies", uris_json(p, &r->src_proxies),
                     "optionalProxies", uris_json(p, &r->opt_proxies), "dstProxies",
                     uris_json(p, &r->dst_proxies), "srcDcName", jd_text(r->src_dc), "dstDcName",
                     jd_text(r->dst_dc), "tag", jd_text(r->tag), "active", r->is_active, "public",
                     r->is_public, "description", jd_text(r->description));
}

static struct cluster_src src_of(const struct http_req *req)
{
    return (struct cluster_src){ .cluster = http_req_param(req, "cluster"),
                                 .src_dc = http_req_param(req, "dc") };
}

static int get_designated(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct cluster_src of = src_of(req);
    struct page_names names CLEANUP(page_names_done) = { 0 };
    struct route_rows rows;
    if (page_names_load(api_catalog(req), &names, err) < 0 ||
        designated_routes_get(api_catalog(req), &of, &rows, err) < 0) {
        return err->code;
    }
    json_t *list = json_array();
    for (size_t i = 0; i < rows.count; i++) {
        json_array_append_new(list, page_route_json(&names, &rows.items[i]));
    }
    route_rows_done(&rows);
    http_resp_json(resp, list);
    return 0;
}

static int set_designated(struct http_req *req, struct http_resp *resp,
                          const struct object_list *list, struct xp_err *err)
{
    int64_t *ids AUTO_FREE = xcalloc(list->count + 1, sizeof(*ids));
    for (size_t i = 0; i < list->count; i++) {
        const struct route_body *body = object_list_at(list, i);
        if (!body->id.has) {
            return xp_fail(err, XP_INVALID, "[%zu].id: the id of a route is required", i);
        }
        ids[i] = body->id.value;
    }
    struct designated_edit edit = { .of = src_of(req), .route_ids = ids, .count = list->count };
    struct change_ctx ctx = api_change(req);
    struct catalog_result result;
    if (designated_routes_set(api_catalog(req), &ctx, &edit, &result, err) < 0) {
        return err->code;
    }
    return api_changed(req, resp, NULL, &result);
}

/* Pages send whole routes; only the ids count. */
static const struct jfield designated_fields[] = {
    JF_TABLE(JF_TABLE_ANY_CASE),
    INT_FIELD("id", struct route_body, id),
    { 0 },
};

static int post_designated(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct object_list list = { .table = designated_fields, .size = sizeof(struct route_body) };
    int rc = api_body_list(req, resp, &list) ? set_designated(req, resp, &list, err) : 0;
    object_list_done(&list);
    return rc;
}

/* ---- which route is taken, and why ---- */

static const char *kind_text(enum route_choice_kind kind)
{
    switch (kind) {
    case ROUTE_DIRECT:
        return "DIRECT";
    case ROUTE_CHOSEN:
        return "CHOSEN";
    case ROUTE_UNUSABLE:
        return "UNUSABLE";
    }
    return "UNUSABLE";
}

static json_t *choice_json(const char *src, const struct route_choice_row *row)
{
    char *info AUTO_FREE = row->choice.kind == ROUTE_CHOSEN ? route_text(&row->choice.route) : NULL;
    return json_pack("{s:o, s:o, s:s, s:o, s:b, s:o, s:o}", "srcDc", jd_text(src), "dstDc",
                     jd_text(row->dst_dc), "kind", kind_text(row->choice.kind), "routeId",
                     row->choice.route_id > 0 ? json_integer(row->choice.route_id) : json_null(),
                     "isFallback", row->choice.is_fallback, "routeInfo", jd_text(info), "reason",
                     jd_text(row->choice.reason));
}

static int get_choices(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct cluster_src of = { .cluster = http_req_param(req, "cluster"),
                              .src_dc = http_req_query(req, "src") };
    const char *dst = http_req_query(req, "dst");
    if (text_is_empty(of.src_dc)) {
        return xp_fail(err, XP_INVALID,
                       "query parameter src is missing: the DC whose links are meant");
    }
    struct route_choice_rows rows;
    if (routes_of_cluster(api_catalog(req), &of, &rows, err) < 0) {
        return err->code;
    }
    json_t *list = json_array();
    for (size_t i = 0; i < rows.count; i++) {
        if (text_is_empty(dst) ||
            text_eq_nocase(dc_alias_inner(api_catalog(req)->alias, dst), rows.items[i].dst_dc)) {
            json_array_append_new(list, choice_json(of.src_dc, &rows.items[i]));
        }
    }
    route_choice_rows_done(&rows);
    http_resp_json(resp, list);
    return 0;
}

static int get_check(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct route_problems problems;
    if (routes_check(api_catalog(req), &problems, err) < 0) {
        return err->code;
    }
    json_t *list = json_array();
    for (size_t i = 0; i < problems.count; i++) {
        const struct route_problem *p = &problems.items[i];
        json_array_append_new(list,
                              json_pack("{s:o, s:o, s:o, s:o}", "routeId",
                                        p->route_id > 0 ? json_integer(p->route_id) : json_null(),
                                        "srcDc", jd_text(p->src_dc), "dstDc", jd_text(p->dst_dc),
                                        "text", jd_text(p->text)));
    }
    route_problems_done(&problems);
    http_resp_json(resp, json_pack("{s:o}", "routes", list));
    return 0;
}

/* clang-format off */
const struct http_route api_route_routes[] = {
    { "GET", "/api/routes/all", get_all, HTTP_ON_WORKER, 0, "read", "all routes" },
    { "GET", "/api/routes/active", get_active, HTTP_ON_WORKER, 0, "read", "active routes" },
    { "POST", "/api/route", post_route, HTTP_ON_WORKER, API_BODY_BYTES, "write", "add a route" },
    { "PUT", "/api/route", put_route, HTTP_ON_WORKER, API_BODY_BYTES, "write", "change a route; absent members stay" },
    { "DELETE", "/api/route", delete_route, HTTP_ON_WORKER, API_BODY_BYTES, "write", "delete a route" },
    { "GET", "/console/clusters/{cluster}/designated-routes/{dc}", get_designated, HTTP_ON_WORKER, 0, "read", "designated routes of a cluster out of a DC" },
    { "POST", "/console/clusters/{cluster}/designated-routes/{dc}", post_designated, HTTP_ON_WORKER, API_BODY_BYTES, "write", "replace them" },
    { "GET", "/api/clusters/{cluster}/routes", get_choices, HTTP_ON_WORKER, 0, "read", "which route each link out of a DC takes, and why" },
    { "GET", "/api/check", get_check, HTTP_ON_WORKER, 0, "read", "what is wrong with the routes" },
    API_END,
};
/* clang-format on */
