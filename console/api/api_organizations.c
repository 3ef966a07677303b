/* api_organizations.c - organizations (console-api.md 3.2). */
#include "console/api/request.h"
#include "console/api/tables.h"
#include "console/catalog/organizations.h"
#include "shared/base/mem.h"
#include "shared/base/banned.h"

struct organization_body {
    struct opt_i64 org_id;
    char *name;
};

static const struct jfield organization_fields[] = {
    JF_TABLE(JF_TABLE_ANY_CASE),
    INT_FIELD("orgId", struct organization_body, org_id),
    TEXT_FIELD("orgName", struct organization_body, name),
    { 0 },
};

typedef int organization_change_fn(struct catalog *, const struct change_ctx *,
                                   const struct organization_edit *, struct catalog_result *,
                                   struct xp_err *);

static int change_organization(struct http_req *req, struct http_resp *resp,
                               organization_change_fn *change, struct xp_err *err)
{
    struct organization_body body = { 0 };
    int rc = 0;
    if (api_body_object(req, resp, organization_fields, &body)) {
        struct change_ctx ctx = api_change(req);
        struct organization_edit edit = { .org_id = body.org_id.value, .name = body.name };
        struct catalog_result result;
        rc = change(api_catalog(req), &ctx, &edit, &result, err);
        if (rc == 0) {
            rc = api_changed(req, resp, NULL, &result);
        }
    }
    jd_done(organization_fields, &body);
    return rc;
}

static int post_organization(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    return change_organization(req, resp, organizations_create, err);
}

static int put_organization(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    return change_organization(req, resp, organizations_update, err);
}

static int get_organizations(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct organization_rows rows;
    if (organizations_list(api_catalog(req), &rows, err) < 0) {
        return err->code;
    }
    json_t *list = json_array();
    for (size_t i = 0; i < rows.count; i++) {
        const struct organization_row *o = &rows.items[i];
        json_array_append_new(list, json_pack("{s:I, s:I, s:o, s:b, s:o}", "id", (json_int_t)o->id,
                                              "orgId", (json_int_t)o->org_id, "orgName",
                                              jd_text(o->name), "deleted", 0, "dataChangeLastTime",
                                              json_date(o->updated_ms)));
    }
    organizations_done(&rows);
    http_resp_json(resp, list);
    return 0;
}

/* clang-format off */
const struct http_route api_organization_routes[] = {
    { "GET", "/api/organizations/all", get_organizations, HTTP_ON_WORKER, 0, "read", "all organizations" },
    { "POST", "/api/organizations", post_organization, HTTP_ON_WORKER, API_BODY_BYTES, "write", "create an organization" },
    { "PUT", "/api/organizations", put_organization, HTTP_ON_WORKER, API_BODY_BYTES, "write", "rename an organization" },
    API_END,
};
/* clang-format on */
