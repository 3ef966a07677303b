/* api_azs.c - availability zones (console-api.md 3.1). */
#include "console/api/request.h"
#include "console/api/tables.h"
#include "console/catalog/azs.h"
#include "shared/base/mem.h"
#include "shared/base/banned.h"

struct az_body {
    char *dc;
    char *name;
    enum tri active;
    char *description;
};

static const struct jfield az_fields[] = {
    JF_TABLE(JF_TABLE_ANY_CASE),
    TEXT_FIELD("dcName", struct az_body, dc),
    TEXT_FIELD("azName", struct az_body, name),
    TRI_FIELD("active", struct az_body, active),
    TEXT_FIELD("description", struct az_body, description),
    { 0 },
};

typedef int az_change_fn(struct catalog *, const struct change_ctx *, const struct az_edit *,
                         struct catalog_result *, struct xp_err *);

static int change_az(struct http_req *req, struct http_resp *resp, az_change_fn *change,
                     struct xp_err *err)
{
    struct az_body body = { 0 };
    int rc = 0;
    if (api_body_object(req, resp, az_fields, &body)) {
        struct change_ctx ctx = api_change(req);
        struct az_edit edit = { body.dc, body.name, body.active, body.description };
        struct catalog_result result;
        rc = change(api_catalog(req), &ctx, &edit, &result, err);
        if (rc == 0) {
            rc = api_changed(req, resp, NULL, &result);
        }
    }
    jd_done(az_fields, &body);
    return rc;
}

static int post_az(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    return change_az(req, resp, azs_create, err);
}

static int put_az(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    return change_az(req, resp, azs_update, err);
}

static int delete_az(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct change_ctx ctx = api_change(req);
    struct catalog_result result;
    if (azs_delete(api_catalog(req), &ctx, http_req_param(req, "az"), &result, err) < 0) {
        return err->code;
    }
    return api_changed(req, resp, NULL, &result);
}

static int list_azs(const struct http_req *req, const char *dc, struct http_resp *resp,
                    struct xp_err *err)
{
    struct az_rows rows;
    if (azs_list(api_catalog(req), dc, &rows, err) < 0) {
        return err->code;
    }
    json_t *list = json_array();
    for (size_t i = 0; i < rows.count; i++) {
        const struct az_row *row = &rows.items[i];
        json_array_append_new(list,
                              json_pack("{s:o, s:o, s:b, s:o}", "dcName", jd_text(row->dc),
                                        "azName", jd_text(row->name), "active", row->is_active,
                                        "description", jd_text(row->description)));
    }
    az_rows_done(&rows);
    http_resp_json(resp, list);
    return 0;
}

static int get_dc_azs(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    return list_azs(req, http_req_param(req, "dc"), resp, err);
}

static int get_all_azs(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    return list_azs(req, NULL, resp, err);
}

/* clang-format off */
const struct http_route api_az_routes[] = {
    { "POST", "/api/az", post_az, HTTP_ON_WORKER, API_BODY_BYTES, "write", "create an availability zone" },
    { "PUT", "/api/az", put_az, HTTP_ON_WORKER, API_BODY_BYTES, "write", "change activity, description of an availability zone" },
    { "GET", "/api/az/all", get_all_azs, HTTP_ON_WORKER, 0, "read", "all availability zones" },
    { "GET", "/api/az/{dc}", get_dc_azs, HTTP_ON_WORKER, 0, "read", "availability zones of a DC" },
    { "DELETE", "/api/az/{az}", delete_az, HTTP_ON_WORKER, API_BODY_BYTES, "write", "delete an availability zone nothing stands in" },
    API_END,
};
/* clang-format on */
