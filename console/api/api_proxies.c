/* api_proxies.c - proxies (console-api.md 3.8.1). */
#include "console/api/request.h"
#include "console/api/tables.h"
#include "console/catalog/proxies.h"
#include "shared/base/mem.h"
#include "shared/base/banned.h"

struct proxy_body {
    struct opt_i64 id;
    char *uri;
    char *dc;
    enum tri active;
    enum tri monitor_active;
    enum tri force;
};

static const struct jfield proxy_fields[] = {
    JF_TABLE(JF_TABLE_ANY_CASE),
    INT_FIELD("id", struct proxy_body, id),
    TEXT_FIELD("uri", struct proxy_body, uri),
    TEXT_FIELD("dcName", struct proxy_body, dc),
    TRI_FIELD("active", struct proxy_body, active),
    TRI_FIELD("monitorActive", struct proxy_body, monitor_active),
    TRI_FIELD("force", struct proxy_body, force),
    { 0 },
};

typedef int proxy_change_fn(struct catalog *, const struct change_ctx *, const struct proxy_edit *,
                            struct catalog_result *, struct xp_err *);

static int change_proxy(struct http_req *req, struct http_resp *resp, proxy_change_fn *change,
                        struct xp_err *err)
{
    struct proxy_body body = { 0 };
    int rc = 0;
    if (api_body_object(req, resp, proxy_fields, &body)) {
        struct change_ctx ctx = api_change(req);
        struct proxy_edit edit = { .id = body.id.value,
                                   .uri = body.uri,
                                   .dc = body.dc,
                                   .active = body.active,
                                   .monitor_active = body.monitor_active,
                                   .force = body.force == TRI_YES };
        struct catalog_result result;
        rc = change(api_catalog(req), &ctx, &edit, &result, err);
        if (rc == 0) {
            rc = api_changed(req, resp, NULL, &result);
        }
    }
    jd_done(proxy_fields, &body);
    return rc;
}

static int post_proxy(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    return change_proxy(req, resp, proxies_create, err);
}

static int put_proxy(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    return change_proxy(req, resp, proxies_update, err);
}

static int delete_proxy(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    return change_proxy(req, resp, proxies_delete, err);
}

static int list_proxies(struct http_req *req, struct http_resp *resp,
                        const struct proxy_filter *filter, struct xp_err *err)
{
    struct proxy_rows rows;
    if (proxies_list(api_catalog(req), filter, &rows, err) < 0) {
        return err->code;
    }
    json_t *list = json_array();
    for (size_t i = 0; i < rows.count; i++) {
        const struct proxy_row *p = &rows.items[i];
        json_array_append_new(list, json_pack("{s:o, s:o, s:I, s:b, s:b, s:n}", "uri",
                                              jd_text(p->uri), "dcName", jd_text(p->dc), "id",
                                              (json_int_t)p->id, "active", p->is_active,
                                              "monitorActive", p->is_monitor_active, "hostPort"));
    }
    proxy_rows_done(&rows);
    http_resp_json(resp, list);
    return 0;
}

static int get_all(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    return list_proxies(req, resp, &(struct proxy_filter){ 0 }, err);
}

static int get_active(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    return list_proxies(req, resp, &(struct proxy_filter){ .active_only = true }, err);
}

static int get_monitored(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct proxy_filter filter = { .monitor_active_only = true, .dc = http_req_query(req, "dc") };
    return list_proxies(req, resp, &filter, err);
}

/* clang-format off */
const struct http_route api_proxy_routes[] = {
    { "GET", "/api/proxies/all", get_all, HTTP_ON_WORKER, 0, "read", "all proxies" },
    { "GET", "/api/proxies/active", get_active, HTTP_ON_WORKER, 0, "read", "active proxies" },
    { "GET", "/api/proxies/monitor_active", get_monitored, HTTP_ON_WORKER, 0, "read", "proxies whose statistics are collected" },
    { "POST", "/api/proxy", post_proxy, HTTP_ON_WORKER, API_BODY_BYTES, "write", "add a proxy" },
    { "PUT", "/api/proxy", put_proxy, HTTP_ON_WORKER, API_BODY_BYTES, "write", "change a proxy; absent members stay" },
    { "DELETE", "/api/proxy", delete_proxy, HTTP_ON_WORKER, API_BODY_BYTES, "write", "delete a proxy no route uses" },
    API_END,
};
/* clang-format on */
