/* api_keepers.c - keepers of a shard in a DC (console-api.md 3.7, 3.9.3). */
#include "console/api/request.h"
#include "console/api/tables.h"
#include "console/catalog/clusters.h"
#include "console/catalog/keepers.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/banned.h"

static int check_type(const struct http_req *req, struct xp_err *err)
{
    const char *name = http_req_param(req, "cluster");
    struct cluster_row row;
    int rc = clusters_get(api_catalog(req), name, &row, err);
    if (rc == XP_NOT_FOUND) {
        return xp_fail(err, XP_NOT_FOUND, "unfound cluster %s", name);
    }
    if (rc < 0) {
        return rc;
    }
    bool has_keepers = cluster_type_info(cluster_type_from_text(row.type))->has_keepers;
    cluster_row_done(&row);
    return has_keepers ? 0 : xp_fail(err, XP_INVALID, "unsupported cluster type");
}

static int get_keepers(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct shard_place place = api_place(req);
    struct redis_rows rows;
    if (check_type(req, err) < 0 || keepers_list(api_catalog(req), &place, &rows, err) < 0) {
        return err->code;
    }
    http_resp_json(resp, json_addrs(&rows));
    redis_rows_done(&rows);
    return 0;
}

struct host_port_body {
    char *host;
    struct opt_i64 port;
};

static const struct jfield check_fields[] = {
    JF_TABLE(JF_TABLE_ANY_CASE),
    TEXT_FIELD("host", struct host_port_body, host),
    INT_FIELD("port", struct host_port_body, port),
    { 0 },
};

static int is_keeper(struct http_req *req, const struct host_port_body *body, bool *ret_is,
                     struct xp_err *err)
{
    *ret_is = false;
    if (text_is_empty(body->host) || body->port.value < 1 || body->port.value > 65535) {
        return 0;
    }
    struct addr addr = addr_of(body->host, (int)body->port.value);
    struct redis_location found = { 0 };
    int rc = redises_locate(api_catalog(req), &addr, &found, err);
    if (rc == 0) {
        *ret_is = found.is_keeper;
        redis_location_done(&found);
    }
    return rc == XP_NOT_FOUND ? 0 : rc;
}

static int post_check(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct host_port_body body = { 0 };
    int rc = 0;
    if (api_body_object(req, resp, check_fields, &body)) {
        bool is;
        rc = is_keeper(req, &body, &is, err);
        if (rc == 0) {
            envelope_payload(resp, json_boolean(is));
        }
    }
    jd_done(check_fields, &body);
    return rc;
}

/* ---- adding and removing; the texts are Java's way to print lists ---- */

static char *addrs_text(const struct redis_rows *rows)
{
    struct str text = STR_INIT(64 * 1024);
    for (size_t i = 0; i < rows->count; i++) {
        str_printf(&text, "%s%s", i ? ", " : "", ADDR_TEXT(&rows->items[i].addr));
    }
    return str_take(&text);
}

static char *homes_text(const struct redis_rows *rows)
{
    struct str text = STR_INIT(64 * 1024);
    for (size_t i = 0; i < rows->count; i++) {
        str_printf(&text, "%s[%s, keeperContainerId:%lld]", i ? ", " : "",
                   ADDR_TEXT(&rows->items[i].addr), (long long)rows->items[i].container_id);
    }
    return str_take(&text);
}

static int post_keepers(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct shard_place place = api_place(req);
    struct change_ctx ctx = api_change(req);
    struct redis_rows rows;
    struct catalog_result result;
    if (keepers_add(api_catalog(req), &ctx, &place, &rows, &result, err) < 0) {
        return err->code;
    }
    AUTO_FREE char *list = result.is_noop ? addrs_text(&rows) : homes_text(&rows);
    AUTO_FREE char *text =
        xasprintf("%s:[%s]", result.is_noop ? "alread has keepers" : "insert success", list);
    redis_rows_done(&rows);
    return api_changed(req, resp, text, &result);
}

/* Unlike other writes this one answers an unknown cluster or a wrong type with a status, as x-pipe does. */
static int refuse_removal(const struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    bool is_type = err->code == XP_INVALID;
    if (envelope_is_strict(req) || (!is_type && err->code != XP_NOT_FOUND)) {
        return err->code;
    }
    (void)envelope_malformed(req, resp, err);
    resp->status = is_type ? 400 : 500;
    return 0;
}

static int delete_keepers(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct shard_place place = api_place(req);
    struct change_ctx ctx = api_change(req);
    struct redis_rows rows;
    struct catalog_result result;
    if (keepers_remove(api_catalog(req), &ctx, &place, &rows, &result, err) < 0) {
        return refuse_removal(req, resp, err);
    }
    AUTO_FREE char *list = addrs_text(&rows);
    AUTO_FREE char *text = result.is_noop ? xstrdup("success, but already no keepers")
                                          : xasprintf("deleted:[%s]", list);
    redis_rows_done(&rows);
    return api_changed(req, resp, text, &result);
}

/* ---- reports of metaservers ---- */

struct report_body {
    char *ip;
    struct opt_i64 port;
    struct opt_i64 container_id;
};

static const struct jfield report_fields[] = {
    JF_TABLE(JF_TABLE_ANY_CASE),
    TEXT_FIELD("ip", struct report_body, ip),
    INT_FIELD("port", struct report_body, port),
    INT_FIELD("keeperContainerId", struct report_body, container_id),
    { 0 },
};

static int take_report(const struct http_req *req, const struct report_body *body,
                       struct xp_err *err)
{
    bool is_port = body->port.value >= 1 && body->port.value <= 65535;
    struct keeper_report report = { .place = api_place(req),
                                    .addr = addr_of(body->ip ? body->ip : "",
                                                    is_port ? (int)body->port.value : 0),
                                    .container_id = body->container_id.value };
    struct change_ctx ctx = api_change(req);
    struct catalog_result result;
    int rc = keepers_report_active(api_catalog(req), &ctx, &report, &result, err);
    if (rc == 0) {
        catalog_result_done(&result); /* nobody is told: no outbox row to wake the notifier for */
    }
    return rc;
}

static int read_report(const struct http_req *req, struct xp_err *err)
{
    json_auto_t *json = NULL;
    struct report_body body = { 0 };
    int rc = http_req_json(req, &json, err);
    if (rc == 0 && !json_is_object(json)) {
        rc = xp_fail(err, XP_INVALID, "request body: a JSON object is expected");
    }
    if (rc == 0) {
        rc = jd_object(json, report_fields, &body, err);
    }
    if (rc == 0) {
        rc = take_report(req, &body, err);
    }
    jd_done(report_fields, &body);
    return rc;
}

/* Metaservers expect an empty 200, whatever happens; a report is only a hint that is repeated. */
static int put_adjustment(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    if (read_report(req, err) < 0) {
        log_warn("keeper.report_ignored", "path", http_req_path(req), "peer", http_req_peer(req),
                 "why", err->msg);
    }
    resp->status = 200;
    return 0;
}

static int ignore(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    (void)req;
    (void)err;
    resp->status = 200;
    return 0;
}

/* clang-format off */
const struct http_route api_keeper_routes[] = {
    { "GET", "/api/keepers/{dc}/{cluster}/{shard}", get_keepers, HTTP_ON_WORKER, 0, "read", "addresses of a shard's keepers in a DC" },
    { "POST", "/api/keepers/{dc}/{cluster}/{shard}", post_keepers, HTTP_ON_WORKER, API_BODY_BYTES, "write", "choose and add two keepers" },
    { "DELETE", "/api/keepers/{dc}/{cluster}/{shard}", delete_keepers, HTTP_ON_WORKER, API_BODY_BYTES, "write", "remove all keepers of a shard in a DC" },
    { "POST", "/api/keepers/check", post_check, HTTP_ON_WORKER, API_BODY_BYTES, "read", "is this address a keeper" },
    { "PUT", "/api/dc/{dc}/cluster/{cluster}/shard/{shard}/keepers/adjustment", put_adjustment, HTTP_ON_WORKER, API_BODY_BYTES, "meta", "a metaserver reports the active keeper" },
    { "PUT", "/api/dc/{dc}/cluster/{cluster}/shard/{shard}/appliers/adjustment", ignore, HTTP_ON_LOOP, API_BODY_BYTES, "meta", "accepted and ignored: appliers are not offered" },
    API_END,
};
/* clang-format on */
