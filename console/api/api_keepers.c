/* api_keepers.c - what is known of keepers (console-api.md 3.7, 3.9.3). Choosing and storing them is a later issue. */
#include "console/api/request.h"
#include "console/api/tables.h"
#include "console/catalog/clusters.h"
#include "console/catalog/redises.h"
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
    struct shard_place place = { .cluster = http_req_param(req, "cluster"),
                                 .dc = http_req_param(req, "dc"),
                                 .shard = http_req_param(req, "shard") };
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

/* Metaservers expect an empty 200, whatever happens; a report is only a hint that is repeated. */
static int put_adjustment(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    (void)req;
    (void)err;
    resp->status = 200;
    return 0;
}

/* clang-format off */
const struct http_route api_keeper_routes[] = {
    { "GET", "/api/keepers/{dc}/{cluster}/{shard}", get_keepers, HTTP_ON_WORKER, 0, "read", "addresses of a shard's keepers in a DC" },
    { "POST", "/api/keepers/check", post_check, HTTP_ON_WORKER, API_BODY_BYTES, "read", "is this address a keeper" },
    { "PUT", "/api/dc/{dc}/cluster/{cluster}/shard/{shard}/keepers/adjustment", put_adjustment, HTTP_ON_LOOP, API_BODY_BYTES, "meta", "a metaserver reports the active keeper; accepted, not stored yet" },
    { "PUT", "/api/dc/{dc}/cluster/{cluster}/shard/{shard}/appliers/adjustment", put_adjustment, HTTP_ON_LOOP, API_BODY_BYTES, "meta", "accepted and ignored: appliers are not offered" },
    API_END,
};
/* clang-format on */
