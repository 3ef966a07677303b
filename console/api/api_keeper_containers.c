/* api_keeper_containers.c - hosts of keepers (console-api.md 3.7, 3.15). */
#include "console/api/request.h"
#include "console/api/tables.h"
#include "console/catalog/keeper_containers.h"
#include "shared/base/mem.h"
#include "shared/base/banned.h"

struct container_body {
    char *dc;
    char *ip;
    struct opt_i64 port;
    struct opt_i64 org_id;
    char *tag;
    enum tri active;
    char *az;
    char *disk_type;
};

static const struct jfield container_fields[] = {
    JF_TABLE(JF_TABLE_ANY_CASE),
    TEXT_FIELD("dcName", struct container_body, dc),
    TEXT_FIELD("keepercontainerIp", struct container_body, ip),
    INT_FIELD("keepercontainerPort", struct container_body, port),
    INT_FIELD("keepercontainerOrgId", struct container_body, org_id),
    TEXT_FIELD("tag", struct container_body, tag),
    TRI_FIELD("active", struct container_body, active),
    TEXT_FIELD("azName", struct container_body, az),
    TEXT_FIELD("diskType", struct container_body, disk_type),
    { 0 },
};

static struct keeper_container_edit edit_of(const struct container_body *body)
{
    return (struct keeper_container_edit){ .dc = body->dc,
                                           .ip = body->ip,
                                           .port = body->port.value,
                                           .org_id = body->org_id.value,
                                           .tag = body->tag,
                                           .active = body->active,
                                           .az = body->az,
                                           .disk_type = body->disk_type };
}

/* The container is asked before the transaction begins: no I/O while others wait to write. */
static int add_container(struct http_req *req, struct http_resp *resp,
                         const struct keeper_container_edit *edit, struct xp_err *err)
{
    const struct api_context *api = api_context(req);
    int rc = keeper_containers_check_new(api->catalog, edit, err);
    if (rc == 0 && api->container_health) {
        struct addr addr = addr_of(edit->ip, (int)edit->port);
        rc = container_health_ask(api->container_health, &addr, err);
    }
    if (rc < 0) {
        return rc;
    }
    struct change_ctx ctx = api_change(req);
    struct catalog_result result;
    if (keeper_containers_create(api->catalog, &ctx, edit, &result, err) < 0) {
        return err->code;
    }
    return api_changed(req, resp, "Add KeeperContainer successfully", &result);
}

static int update_container(struct http_req *req, struct http_resp *resp,
                            const struct keeper_container_edit *edit, struct xp_err *err)
{
    struct change_ctx ctx = api_change(req);
    struct catalog_result result;
    if (keeper_containers_update(api_catalog(req), &ctx, edit, &result, err) < 0) {
        return err->code;
    }
    return api_changed(req, resp, NULL, &result);
}

typedef int edit_fn(struct http_req *, struct http_resp *, const struct keeper_container_edit *,
                    struct xp_err *);

static int with_edit(struct http_req *req, struct http_resp *resp, edit_fn *fn, struct xp_err *err)
{
    struct container_body body = { 0 };
    int rc = 0;
    if (api_body_object(req, resp, container_fields, &body)) {
        struct keeper_container_edit edit = edit_of(&body);
        rc = fn(req, resp, &edit, err);
    }
    jd_done(container_fields, &body);
    return rc;
}

static int post_container(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    return with_edit(req, resp, add_container, err);
}

static int put_container(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    return with_edit(req, resp, update_container, err);
}

static int delete_container(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    int64_t port;
    if (!api_param_i64(req, resp, "port", &port)) {
        return 0;
    }
    bool is_port = port >= 1 && port <= 65535;
    struct addr addr = addr_of(http_req_param(req, "ip"), is_port ? (int)port : 0);
    struct change_ctx ctx = api_change(req);
    struct catalog_result result;
    if (keeper_containers_delete(api_catalog(req), &ctx, &addr, &result, err) < 0) {
        return err->code;
    }
    return api_changed(req, resp, NULL, &result);
}

/* ---- lists ---- */

static json_t *info_json(const struct http_req *req, const struct keeper_container_row *row)
{
    struct container_health *health = api_context(req)->container_health;
    bool is_unhealthy = health && container_health_is_unhealthy(health, row->id);
    return json_pack(
        "{s:o, s:o, s:i, s:I, s:o, s:o, s:b, s:o, s:o, s:n, s:I, s:b}", "dcName", jd_text(row->dc),
        "keepercontainerIp", jd_text(row->addr.host), "keepercontainerPort", row->addr.port,
        "keepercontainerOrgId", (json_int_t)row->org_id, "orgName", jd_text(row->org_name), "tag",
        jd_text(row->tag), "active", row->is_active, "azName",
        row->az_id ? jd_text(row->az) : json_null(), "diskType", jd_text(row->disk_type),
        "logicalBuId", "keeperCount", (json_int_t)row->keeper_count, "unhealthy", is_unhealthy);
}

static json_t *raw_json(const struct http_req *req, const struct keeper_container_row *row)
{
    (void)req;
    return json_pack(
        "{s:I, s:I, s:I, s:o, s:i, s:b, s:I, s:n, s:o, s:o, s:b, s:o}", "keepercontainerId",
        (json_int_t)row->id, "keepercontainerDc", (json_int_t)row->dc_id, "azId",
        (json_int_t)row->az_id, "keepercontainerIp", jd_text(row->addr.host), "keepercontainerPort",
        row->addr.port, "keepercontainerActive", row->is_active, "keepercontainerOrgId",
        (json_int_t)row->org_id, "logicalBuId", "keepercontainerDiskType", jd_text(row->disk_type),
        "tag", jd_text(row->tag), "deleted", 0, "dataChangeLastTime", json_date(row->updated_ms));
}

typedef json_t *row_json_fn(const struct http_req *, const struct keeper_container_row *);

static int list_containers(const struct http_req *req, const char *dc, row_json_fn *one,
                           struct http_resp *resp, struct xp_err *err)
{
    struct keeper_container_rows rows;
    if (keeper_containers_list(api_catalog(req), dc, &rows, err) < 0) {
        return err->code;
    }
    json_t *list = json_array();
    for (size_t i = 0; i < rows.count; i++) {
        json_array_append_new(list, one(req, &rows.items[i]));
    }
    keeper_container_rows_done(&rows);
    http_resp_json(resp, list);
    return 0;
}

static int get_dc_containers(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    return list_containers(req, http_req_param(req, "dc"), info_json, resp, err);
}

static int get_all_containers(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    return list_containers(req, NULL, raw_json, resp, err);
}

/* clang-format off */
const struct http_route api_keeper_container_routes[] = {
    { "POST", "/api/keepercontainer", post_container, HTTP_ON_WORKER, API_BODY_BYTES, "write", "add a keeper container that answers its health check" },
    { "PUT", "/api/keepercontainer", put_container, HTTP_ON_WORKER, API_BODY_BYTES, "write", "replace organization, zone, tag, activity (absent: inactive) and, when sent, disk type" },
    { "GET", "/api/keepercontainer/{dc}", get_dc_containers, HTTP_ON_WORKER, 0, "read", "keeper containers of a DC" },
    { "DELETE", "/api/keepercontainer/{ip}/{port}", delete_container, HTTP_ON_WORKER, API_BODY_BYTES, "write", "delete a keeper container without keepers" },
    { "GET", "/api/keeper_container/all", get_all_containers, HTTP_ON_WORKER, 0, "read", "all keeper containers, as rows" },
    API_END,
};
/* clang-format on */
