/* api_dcs.c - data centres (console-api.md 3.1). */
#include "console/api/request.h"
#include "console/api/tables.h"
#include "console/catalog/dcs.h"
#include "shared/base/mem.h"
#include "shared/base/banned.h"

struct dc_body {
    struct opt_i64 zone_id;
    char *name;
    char *description;
    enum tri active;
};

static const struct jfield dc_fields[] = {
    JF_TABLE(JF_TABLE_ANY_CASE),
    INT_FIELD("zone_id", struct dc_body, zone_id),
    TEXT_FIELD("dc_name", struct dc_body, name),
    TEXT_FIELD("description", struct dc_body, description),
    TRI_FIELD("active", struct dc_body, active),
    { 0 },
};

typedef int dc_change_fn(struct catalog *, const struct change_ctx *, const struct dc_edit *,
                         struct catalog_result *, struct xp_err *);

static int change_dc(struct http_req *req, struct http_resp *resp, dc_change_fn *change,
                     struct xp_err *err)
{
    struct dc_body body = { 0 };
    int rc = 0;
    if (api_body_object(req, resp, dc_fields, &body)) {
        struct change_ctx ctx = api_change(req);
        struct dc_edit edit = { .name = body.name,
                                .zone_id = body.zone_id.value,
                                .description = body.description,
                                .active = body.active };
        struct catalog_result result;
        rc = change(api_catalog(req), &ctx, &edit, &result, err);
        if (rc == 0) {
            rc = api_changed(req, resp, NULL, &result);
        }
    }
    jd_done(dc_fields, &body);
    return rc;
}

static int post_dc(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    return change_dc(req, resp, dcs_create, err);
}

static int put_dc(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    return change_dc(req, resp, dcs_update, err);
}

static int delete_dc(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct change_ctx ctx = api_change(req);
    struct catalog_result result;
    if (dcs_delete(api_catalog(req), &ctx, http_req_param(req, "dc"), &result, err) < 0) {
        return err->code;
    }
    return api_changed(req, resp, NULL, &result);
}

static json_t *dc_json(const struct dc_row *d)
{
    return json_pack("{s:I, s:o, s:I, s:o, s:b}", "dc_id", (json_int_t)d->id, "dc_name",
                     jd_text(d->name), "zone_id", (json_int_t)d->zone_id, "description",
                     jd_text(d->description), "active", d->is_active);
}

static json_t *dc_raw_json(const struct dc_row *d)
{
    return json_pack("{s:I, s:I, s:o, s:b, s:o, s:o, s:b, s:o}", "id", (json_int_t)d->id, "zoneId",
                     (json_int_t)d->zone_id, "dcName", jd_text(d->name), "dcActive", d->is_active,
                     "dcDescription", jd_text(d->description), "dcLastModifiedTime",
                     jd_text(d->last_modified), "deleted", 0, "dataChangeLastTime",
                     json_date(d->updated_ms));
}

static json_t *dc_name_json(const struct dc_row *d)
{
    return jd_text(d->name);
}

static int list_dcs(const struct http_req *req, json_t *(*one)(const struct dc_row *),
                    json_t **ret_list, struct xp_err *err)
{
    struct dc_rows rows;
    if (dcs_list(api_catalog(req), &rows, err) < 0) {
        return err->code;
    }
    *ret_list = json_array();
    for (size_t i = 0; i < rows.count; i++) {
        json_array_append_new(*ret_list, one(&rows.items[i]));
    }
    dcs_done(&rows);
    return 0;
}

static int get_dcs(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    json_t *list = NULL;
    if (list_dcs(req, dc_json, &list, err) < 0) {
        return err->code;
    }
    envelope_payload(resp, list);
    return 0;
}

static int get_raw(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    json_t *list = NULL;
    if (list_dcs(req, dc_raw_json, &list, err) < 0) {
        return err->code;
    }
    http_resp_json(resp, list);
    return 0;
}

static int get_names(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    json_t *list = NULL;
    if (list_dcs(req, dc_name_json, &list, err) < 0) {
        return err->code;
    }
    http_resp_json(resp, list);
    return 0;
}

/* clang-format off */
const struct http_route api_dc_routes[] = {
    { "POST", "/api/dc", post_dc, HTTP_ON_WORKER, API_BODY_BYTES, "write", "create a DC" },
    { "PUT", "/api/dc", put_dc, HTTP_ON_WORKER, API_BODY_BYTES, "write", "change zone, description, activity of a DC" },
    { "GET", "/api/dc", get_dcs, HTTP_ON_WORKER, 0, "read", "all DCs" },
    { "DELETE", "/api/dc/{dc}", delete_dc, HTTP_ON_WORKER, API_BODY_BYTES, "write", "delete a DC nothing refers to" },
    { "GET", "/api/dc_tbls", get_raw, HTTP_ON_WORKER, 0, "read", "all DCs, as rows" },
    { "GET", "/api/dcids", get_names, HTTP_ON_WORKER, 0, "read", "names of all DCs" },
    API_END,
};
/* clang-format on */
