/* api_shard_pages.c - one shard in one DC as pages and repair scripts read and write it (console-api.md 3.15).
 * A failure of these paths is 500 with the text, as x-pipe's pages expect; strict clients get the true status. */
#include "console/api/request.h"
#include "console/api/tables.h"
#include "console/catalog/keepers.h"
#include "console/catalog/sentinels.h"
#include "console/catalog/shard_page.h"
#include "shared/base/mem.h"
#include "shared/base/banned.h"

static int refuse(const struct http_req *req, struct http_resp *resp, const struct xp_err *err)
{
    bool is_ours = envelope_is_strict(req) || xp_code_info(err->code)->is_our_fault;
    return is_ours ? err->code : envelope_malformed(req, resp, err);
}

/* ---- reading ---- */

static json_t *redis_json(const struct redis_row *row, int64_t place_id)
{
    return json_pack("{s:I, s:o, s:I, s:o, s:i, s:s, s:b, s:b, s:o, s:I, s:I, s:o, s:b}", "id",
                     (json_int_t)row->id, "runId", jd_text(row->run_id), "dcClusterShardId",
                     (json_int_t)place_id, "redisIp", jd_text(row->addr.host), "redisPort",
                     row->addr.port, "redisRole", row->is_keeper ? "keeper" : "redis",
                     "keeperActive", row->is_active, "master", row->is_master, "keepercontainerId",
                     row->is_keeper ? json_integer((json_int_t)row->container_id) : json_null(),
                     "azId", (json_int_t)row->az_id, "keeperPriority", (json_int_t)row->priority,
                     "createTime", json_date(row->created_ms), "deleted", 0);
}

static json_t *rows_json(const struct redis_rows *rows, int64_t place_id)
{
    json_t *list = json_array();
    for (size_t i = 0; i < rows->count; i++) {
        json_array_append_new(list, redis_json(&rows->items[i], place_id));
    }
    return list;
}

static int add_sentinels(const struct http_req *req, int64_t id, json_t *sentinels,
                         struct xp_err *err)
{
    struct sentinel_group_row group = { 0 };
    if (id == 0) {
        return 0;
    }
    if (sentinel_groups_get(api_catalog(req), id, &group, err) < 0) {
        return err->code == XP_NOT_FOUND ? 0 : err->code; /* deleted since */
    }
    AUTO_FREE char *key = xasprintf("%lld", (long long)id);
    AUTO_FREE char *address = sentinel_group_address(&group);
    json_object_set_new(sentinels, key,
                        json_pack("{s:I, s:o, s:b, s:o}", "sentinelGroupId", (json_int_t)id,
                                  "clusterType", jd_text(group.cluster_type), "active",
                                  group.is_active, "sentinelsAddressString", jd_text(address)));
    sentinel_group_row_done(&group);
    return 0;
}

static int get_page(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct shard_place place = api_place(req);
    struct shard_page page;
    if (shard_page_get(api_catalog(req), &place, &page, err) < 0) {
        return err->code;
    }
    json_t *sentinels = json_object();
    int rc = add_sentinels(req, page.sentinel_id, sentinels, err);
    http_resp_json(resp, json_pack("{s:{s:I, s:o, s:I, s:o}, s:o, s:o, s:[], s:o}", "shardTbl",
                                   "id", (json_int_t)page.shard_id, "shardName",
                                   jd_text(page.shard), "clusterId", (json_int_t)page.cluster_id,
                                   "setinelMonitorName", jd_text(page.shard), "keepers",
                                   rows_json(&page.keepers, page.place_id), "redises",
                                   rows_json(&page.redises, page.place_id), "appliers", "sentinels",
                                   sentinels));
    shard_page_done(&page);
    return rc;
}

/* ---- decoding ---- */

struct instance_body {
    char *ip;
    struct opt_i64 port;
    enum tri master;
    struct opt_i64 az_id;
    struct opt_i64 container_id;
    struct opt_i64 priority;
};

struct shard_body {
    struct opt_i64 id;
};

struct page_body {
    struct shard_body shard;
    struct {
        struct instance_body *items;
        size_t count;
    } keepers, redises;
    bool has_keepers;
    bool has_redises;
};

static const struct jfield instance_fields[] = {
    JF_TABLE(JF_TABLE_ANY_CASE),
    TEXT_FIELD("redisIp", struct instance_body, ip),
    INT_FIELD("redisPort", struct instance_body, port),
    TRI_FIELD("master", struct instance_body, master),
    INT_FIELD("azId", struct instance_body, az_id),
    INT_FIELD("keepercontainerId", struct instance_body, container_id),
    INT_FIELD("keeperPriority", struct instance_body, priority),
    { 0 },
};

static const struct jfield shard_fields[] = {
    JF_TABLE(JF_TABLE_ANY_CASE),
    INT_FIELD("id", struct shard_body, id),
    { 0 },
};

#define INSTANCES(member_name, member)                                                             \
    {                                                                                              \
        .name = (member_name), .type = JF_ARRAY, .offset = offsetof(struct page_body, member),     \
        .sub = instance_fields, .elem_size = sizeof(struct instance_body), .max_count = 1000       \
    }

static const struct jfield page_fields[] = {
    JF_TABLE(JF_TABLE_ANY_CASE),
    { .name = "shardTbl",
      .type = JF_OBJECT,
      .offset = offsetof(struct page_body, shard),
      .sub = shard_fields },
    INSTANCES("keepers", keepers),
    INSTANCES("redises", redises),
    { 0 },
};

static bool is_given(const json_t *body, const char *name)
{
    const json_t *value = json_object_get(body, name);
    return value && !json_is_null(value);
}

/* False: resp holds the answer. The caller frees the page with jd_done in either case. */
static bool read_page(const struct http_req *req, struct http_resp *resp, bool may_be_empty,
                      struct page_body *page)
{
    json_auto_t *body = NULL;
    struct xp_err err = { 0 };
    if (!envelope_body(req, may_be_empty, resp, &body)) {
        return false;
    }
    if (!body || json_is_null(body)) {
        return true;
    }
    if (!json_is_object(body)) {
        (void)xp_fail(&err, XP_INVALID, "request body: a JSON object is expected");
    } else if (jd_object(body, page_fields, page, &err) == 0) {
        page->has_keepers = page->keepers.count > 0 || is_given(body, "keepers");
        page->has_redises = page->redises.count > 0 || is_given(body, "redises");
        return true;
    }
    envelope_malformed(req, resp, &err);
    return false;
}

static int addr_from(const struct instance_body *body, struct addr *ret_addr, struct xp_err *err)
{
    bool is_port = body->port.value >= 1 && body->port.value <= 65535;
    *ret_addr = addr_of(body->ip ? body->ip : "", is_port ? (int)body->port.value : 0);
    return is_port && ret_addr->host[0]
               ? 0
               : xp_fail(err, XP_INVALID, "invalid socket address:%.60s:%lld",
                         body->ip ? body->ip : "", (long long)body->port.value);
}

/* ---- replacing ---- */

static int to_keepers(const struct page_body *page, struct page_keeper *out, struct xp_err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < page->keepers.count; i++) {
        const struct instance_body *body = &page->keepers.items[i];
        out[i] = (struct page_keeper){ .container_id = body->container_id.value,
                                       .has_priority = body->priority.has,
                                       .priority = body->priority.value };
        rc = addr_from(body, &out[i].addr, err);
    }
    return rc;
}

static int to_redises(const struct page_body *page, struct page_redis *out, struct xp_err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < page->redises.count; i++) {
        const struct instance_body *body = &page->redises.items[i];
        out[i] = (struct page_redis){ .master = body->master, .az_id = body->az_id.value };
        rc = addr_from(body, &out[i].addr, err);
    }
    return rc;
}

static int replace(const struct http_req *req, const struct page_body *page, struct xp_err *err)
{
    AUTO_FREE struct page_keeper *keepers = xcalloc(page->keepers.count + 1, sizeof(*keepers));
    AUTO_FREE struct page_redis *redises = xcalloc(page->redises.count + 1, sizeof(*redises));
    struct change_ctx ctx = api_change(req);
    struct catalog_result result;
    struct shard_page_edit edit = { .place = api_place(req),
                                    .has_keepers = page->has_keepers,
                                    .keepers = keepers,
                                    .keeper_count = page->keepers.count,
                                    .has_redises = page->has_redises,
                                    .redises = redises,
                                    .redis_count = page->redises.count };
    int rc = to_keepers(page, keepers, err);
    if (rc == 0) {
        rc = to_redises(page, redises, err);
    }
    if (rc == 0) {
        rc = shard_page_replace(api_catalog(req), &ctx, &edit, &result, err);
    }
    if (rc == 0) {
        api_tell(req, &result);
    }
    return rc;
}

static int post_page(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct page_body page = { 0 };
    int rc = 0;
    if (read_page(req, resp, false, &page)) {
        rc = replace(req, &page, err) < 0 ? refuse(req, resp, err) : 0;
    }
    jd_done(page_fields, &page);
    return rc;
}

/* ---- suggestions ---- */

static int suggest(const struct http_req *req, const struct page_body *page, struct http_resp *resp,
                   struct xp_err *err)
{
    AUTO_FREE struct page_keeper *given = xcalloc(page->keepers.count + 1, sizeof(*given));
    AUTO_FREE struct addr *avoid = xcalloc(page->keepers.count + 1, sizeof(*avoid));
    struct keeper_homes homes = { .count = 0 };
    int rc = to_keepers(page, given, err);
    for (size_t i = 0; i < page->keepers.count; i++) {
        avoid[i] = given[i].addr;
    }
    struct keeper_wish wish = { .dc = http_req_param(req, "dc"),
                                .shard_id = page->shard.id.value,
                                .avoid = avoid,
                                .avoid_count = page->keepers.count };
    if (rc == 0) {
        rc = keepers_suggest(api_catalog(req), &wish, &homes, err);
    }
    if (rc < 0) {
        return rc;
    }
    json_t *list = json_array();
    for (size_t i = 0; i < homes.count; i++) {
        const struct keeper_home *home = &homes.items[i];
        json_array_append_new(list, json_pack("{s:o, s:i, s:s, s:b, s:I, s:i}", "redisIp",
                                              jd_text(home->addr.host), "redisPort",
                                              home->addr.port, "redisRole", "keeper",
                                              "keeperActive", 0, "keepercontainerId",
                                              (json_int_t)home->container_id, "keeperPriority", 1));
    }
    http_resp_json(resp, list);
    return 0;
}

static int post_available(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct page_body page = { 0 };
    int rc = 0;
    if (read_page(req, resp, true, &page)) {
        rc = suggest(req, &page, resp, err) < 0 ? refuse(req, resp, err) : 0;
    }
    jd_done(page_fields, &page);
    return rc;
}

static json_t *container_json(const struct keeper_container_row *row)
{
    return json_pack("{s:I, s:o, s:i, s:I, s:I, s:I, s:b, s:o, s:o, s:I}", "keepercontainerId",
                     (json_int_t)row->id, "keepercontainerIp", jd_text(row->addr.host),
                     "keepercontainerPort", row->addr.port, "count", (json_int_t)row->keeper_count,
                     "keepercontainerDc", (json_int_t)row->dc_id, "keepercontainerOrgId",
                     (json_int_t)row->org_id, "keepercontainerActive", row->is_active,
                     "keepercontainerDiskType", jd_text(row->disk_type), "tag", jd_text(row->tag),
                     "azId", (json_int_t)row->az_id);
}

static int get_pool(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct shard_place place = { .cluster = http_req_param(req, "cluster"),
                                 .dc = http_req_param(req, "dc") };
    struct keeper_container_rows rows;
    if (keepers_pool(api_catalog(req), &place, &rows, err) < 0) {
        return err->code;
    }
    json_t *list = json_array();
    for (size_t i = 0; i < rows.count; i++) {
        json_array_append_new(list, container_json(&rows.items[i]));
    }
    keeper_container_rows_done(&rows);
    http_resp_json(resp, list);
    return 0;
}

/* clang-format off */
const struct http_route api_shard_page_routes[] = {
    { "GET", "/console/clusters/{cluster}/dcs/{dc}/shards/{shard}", get_page, HTTP_ON_WORKER, 0, "read", "one shard in one DC with its redises and keepers" },
    { "POST", "/console/clusters/{cluster}/dcs/{dc}/shards/{shard}", post_page, HTTP_ON_WORKER, API_BODY_BYTES, "write", "replace the redises, the keepers, or both" },
    { "POST", "/console/dcs/{dc}/availablekeepers", post_available, HTTP_ON_WORKER, API_BODY_BYTES, "read", "two keepers that could be added now" },
    { "GET", "/console/dcs/{dc}/cluster/{cluster}/activekeepercontainers", get_pool, HTTP_ON_WORKER, 0, "read", "keeper containers for a cluster, fewest keepers first" },
    API_END,
};
/* clang-format on */
