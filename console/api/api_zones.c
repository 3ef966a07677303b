/* api_zones.c - zones (console-api.md 3.1). */
#include "console/api/request.h"
#include "console/api/tables.h"
#include "console/catalog/zones.h"
#include "shared/base/mem.h"
#include "shared/base/banned.h"

struct zone_body {
    char *name;
};

static const struct jfield zone_fields[] = {
    JF_TABLE(JF_TABLE_ANY_CASE),
    TEXT_FIELD("name", struct zone_body, name),
    { 0 },
};

static int post_zone(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct zone_body body = { 0 };
    int rc = 0;
    if (api_body_object(req, resp, zone_fields, &body)) {
        struct change_ctx ctx = api_change(req);
        struct catalog_result result;
        rc = zones_create(api_catalog(req), &ctx, body.name, &result, err);
        if (rc == 0) {
            rc = api_changed(req, resp, NULL, &result);
        }
    }
    jd_done(zone_fields, &body);
    return rc;
}

static json_t *zone_json(const struct zone_row *z)
{
    return json_pack("{s:I, s:o, s:b, s:o}", "id", (json_int_t)z->id, "zoneName", jd_text(z->name),
                     "deleted", 0, "dataChangeLastTime", json_date(z->updated_ms));
}

static int get_zones(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct zone_rows rows;
    if (zones_list(api_catalog(req), &rows, err) < 0) {
        return err->code;
    }
    json_t *list = json_array();
    for (size_t i = 0; i < rows.count; i++) {
        json_array_append_new(list, zone_json(&rows.items[i]));
    }
    zones_done(&rows);
    http_resp_json(resp, list);
    return 0;
}

static int get_zone(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    int64_t id;
    if (!api_param_i64(req, resp, "id", &id)) {
        return 0;
    }
    struct zone_row row;
    int rc = zones_get(api_catalog(req), id, &row, err);
    if (rc == XP_NOT_FOUND) {
        http_resp_json(resp, json_null()); /* the old call answers null, not an error */
        return 0;
    }
    if (rc == 0) {
        http_resp_json(resp, zone_json(&row));
        zone_row_done(&row);
    }
    return rc;
}

/* clang-format off */
const struct http_route api_zone_routes[] = {
    { "POST", "/api/zone", post_zone, HTTP_ON_WORKER, API_BODY_BYTES, "write", "create a zone" },
    { "GET", "/api/zone/all", get_zones, HTTP_ON_WORKER, 0, "read", "all zones" },
    { "GET", "/api/zone/{id}", get_zone, HTTP_ON_WORKER, 0, "read", "one zone, or null" },
    API_END,
};
/* clang-format on */
