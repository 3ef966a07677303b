/* api_redises.c - redises of a shard in a DC (console-api.md 3.6). */
#include <string.h>

#include "console/api/instance_list.h"
#include "console/api/request.h"
#include "console/api/tables.h"
#include "console/catalog/shards.h"
#include "shared/base/addr.h"
#include "shared/base/mem.h"
#include "shared/base/banned.h"

static int get_redises(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct shard_place place = api_place(req);
    struct redis_rows rows;
    if (redises_list(api_catalog(req), &place, &rows, err) < 0) {
        return err->code;
    }
    http_resp_json(resp, json_addrs(&rows));
    redis_rows_done(&rows);
    return 0;
}

typedef int redises_change_fn(struct catalog *, const struct change_ctx *,
                              const struct redises_edit *, struct catalog_result *,
                              struct xp_err *);

static int change_redises(struct http_req *req, struct http_resp *resp, redises_change_fn *change,
                          struct xp_err *err)
{
    json_auto_t *body = NULL;
    if (!envelope_body(req, false, resp, &body)) {
        return 0;
    }
    struct instances list CLEANUP(instances_done) = { 0 };
    if (instances_decode(body, &list, err) < 0) {
        return envelope_malformed(req, resp, err);
    }
    struct redises_edit edit = { .place = api_place(req),
                                 .items = list.items,
                                 .count = list.count };
    struct change_ctx ctx = api_change(req);
    struct catalog_result result;
    if (change(api_catalog(req), &ctx, &edit, &result, err) < 0) {
        return err->code;
    }
    return api_changed(req, resp, NULL, &result);
}

static int post_redises(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    return change_redises(req, resp, redises_add, err);
}

static int delete_redises(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    return change_redises(req, resp, redises_remove, err);
}

static int find_redis(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    int64_t port;
    if (!api_param_i64(req, resp, "port", &port)) {
        return 0;
    }
    struct redis_location found = { 0 };
    if (port >= 1 && port <= 65535) {
        struct addr addr = addr_of(http_req_param(req, "ip"), (int)port);
        int rc = redises_locate(api_catalog(req), &addr, &found, err);
        if (rc < 0 && rc != XP_NOT_FOUND) {
            return rc;
        }
    }
    http_resp_json(resp, json_pack("{s:o, s:o, s:o}", "dcId", jd_text(found.dc ? found.dc : ""),
                                   "clusterId", jd_text(found.cluster ? found.cluster : ""),
                                   "shardId", jd_text(found.shard ? found.shard : "")));
    redis_location_done(&found);
    return 0;
}

/* ---- availability zones ---- */

struct az_body {
    char *dc;
    char *ip;
    struct opt_i64 port;
    char *az;
};

static const struct jfield az_fields[] = {
    JF_TABLE(JF_TABLE_ANY_CASE),
    TEXT_FIELD("dcId", struct az_body, dc),
    TEXT_FIELD("ip", struct az_body, ip),
    INT_FIELD("port", struct az_body, port),
    TEXT_FIELD("azName", struct az_body, az),
    { 0 },
};

static int set_azs(struct http_req *req, struct http_resp *resp, const struct object_list *list,
                   struct xp_err *err)
{
    AUTO_FREE struct redis_az *items = xcalloc(list->count + 1, sizeof(*items));
    struct names addrs = { .items = xcalloc(list->count + 1, sizeof(char *)) };
    for (size_t i = 0; i < list->count; i++) {
        const struct az_body *body = object_list_at(list, i);
        addrs.items[addrs.count++] =
            xasprintf("%s:%lld", body->ip ? body->ip : "", (long long)body->port.value);
        items[i] = (struct redis_az){ body->dc, addrs.items[i], body->az };
    }
    struct redises_az_edit edit = { .cluster = http_req_param(req, "cluster"),
                                    .shard = http_req_param(req, "shard"),
                                    .items = items,
                                    .count = list->count };
    struct change_ctx ctx = api_change(req);
    struct catalog_result result;
    int rc = redises_set_az(api_catalog(req), &ctx, &edit, &result, err);
    names_done(&addrs);
    if (rc < 0) {
        return rc;
    }
    AUTO_FREE char *text = xasprintf("updated %lld redises", (long long)result.changed_count);
    return api_changed(req, resp, text, &result);
}

static int put_azs(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct object_list list = { .table = az_fields, .size = sizeof(struct az_body) };
    int rc = api_body_list(req, resp, &list) ? set_azs(req, resp, &list, err) : 0;
    object_list_done(&list);
    return rc;
}

/* ---- between consoles and checkers ---- */

struct insert_body {
    char *dc;
    char *cluster;
    char *shard;
    char *redises;
};

static const struct jfield insert_fields[] = {
    JF_TABLE(JF_TABLE_ANY_CASE),
    TEXT_FIELD("dcId", struct insert_body, dc),
    TEXT_FIELD("clusterId", struct insert_body, cluster),
    TEXT_FIELD("shardName", struct insert_body, shard),
    TEXT_FIELD("redises", struct insert_body, redises),
    { 0 },
};

static int insert_redises(struct http_req *req, struct http_resp *resp,
                          const struct insert_body *body, struct xp_err *err)
{
    struct shard_part part = { .shard = body->shard, .dc = body->dc, .text = body->redises };
    struct shards_with_redises what = { .cluster = body->cluster, .parts = &part, .count = 1 };
    struct change_ctx ctx = api_change(req);
    struct catalog_result result;
    if (shards_create_with_redises(api_catalog(req), &ctx, &what, &result, err) < 0) {
        return err->code;
    }
    return api_changed(req, resp, NULL, &result);
}

static int post_insert(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct insert_body body = { 0 };
    int rc = 0;
    if (api_body_object(req, resp, insert_fields, &body)) {
        rc = insert_redises(req, resp, &body, err);
    }
    jd_done(insert_fields, &body);
    return rc;
}

struct host_port {
    char *host;
    int port;
};

struct role_body {
    struct host_port addr;
    char *dc;
    char *cluster;
    char *shard;
};

static const struct jfield host_port_fields[] = {
    JF_TABLE(JF_TABLE_ANY_CASE),
    { .name = "host",
      .type = JF_HOST,
      .offset = offsetof(struct host_port, host),
      .flags = JF_REQUIRED },
    { .name = "port",
      .type = JF_PORT,
      .offset = offsetof(struct host_port, port),
      .flags = JF_REQUIRED },
    { 0 },
};

static const struct jfield role_fields[] = {
    JF_TABLE(JF_TABLE_ANY_CASE),
    { .name = "hostPort",
      .type = JF_OBJECT,
      .offset = offsetof(struct role_body, addr),
      .sub = host_port_fields,
      .flags = JF_REQUIRED },
    TEXT_FIELD("dcId", struct role_body, dc),
    TEXT_FIELD("clusterId", struct role_body, cluster),
    TEXT_FIELD("shardId", struct role_body, shard),
    { 0 },
};

static int set_role(struct http_req *req, struct http_resp *resp, const struct role_body *body,
                    struct xp_err *err)
{
    struct addr addr = addr_of(body->addr.host, body->addr.port);
    const char *text = ADDR_TEXT(&addr);
    struct instance_spec item = { .addr = text,
                                  .is_master =
                                      text_eq_nocase(http_req_param(req, "role"), "master") };
    struct redises_edit edit = {
        .place = { .cluster = body->cluster, .dc = body->dc, .shard = body->shard },
        .items = &item,
        .count = 1
    };
    struct change_ctx ctx = api_change(req);
    struct catalog_result result;
    if (redises_set_master(api_catalog(req), &ctx, &edit, &result, err) < 0) {
        return err->code;
    }
    return api_changed(req, resp, NULL, &result);
}

static int put_role(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    const char *role = http_req_param(req, "role");
    if (!text_eq_nocase(role, "master") && !text_eq_nocase(role, "slave")) {
        xp_fail(err, XP_INVALID, "role '%s' is not master or slave", role);
        return envelope_malformed(req, resp, err);
    }
    struct role_body body = { 0 };
    int rc = 0;
    if (api_body_object(req, resp, role_fields, &body)) {
        rc = set_role(req, resp, &body, err);
    }
    jd_done(role_fields, &body);
    return rc;
}

/* clang-format off */
const struct http_route api_redis_routes[] = {
    { "GET", "/api/redises/{dc}/{cluster}/{shard}", get_redises, HTTP_ON_WORKER, 0, "read", "addresses of a shard's redises in a DC" },
    { "POST", "/api/redises/{dc}/{cluster}/{shard}", post_redises, HTTP_ON_WORKER, API_BODY_BYTES, "write", "add redises" },
    { "DELETE", "/api/redises/{dc}/{cluster}/{shard}", delete_redises, HTTP_ON_WORKER, API_BODY_BYTES, "write", "remove redises; unknown ones are ignored" },
    { "PUT", "/api/shards/{cluster}/{shard}/redis/az", put_azs, HTTP_ON_WORKER, API_BODY_BYTES, "write", "set the availability zones of redises" },
    { "*", "/api/redis/info/{ip}/{port}", find_redis, HTTP_ON_WORKER, API_BODY_BYTES, "read", "which DC, cluster and shard an address belongs to" },
    { "POST", "/api/redis/insert", post_insert, HTTP_ON_WORKER, API_BODY_BYTES, "write", "add redises to a shard, creating it when needed" },
    { "PUT", "/api/persistence/updateRedisRole/{role}", put_role, HTTP_ON_WORKER, API_BODY_BYTES, "meta", "a checker reports the role of a redis" },
    API_END,
};
/* clang-format on */
