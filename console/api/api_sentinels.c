/* api_sentinels.c - sentinel groups and which shard uses which (console-api.md 2.7, 3.14). */
#include "console/api/request.h"
#include "console/api/tables.h"
#include "console/catalog/sentinels.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include <string.h>

#include "shared/base/banned.h"

/* ---- out ---- */

static json_t *host_port(const struct addr *addr)
{
    if (addr_is_none(addr)) {
        return json_null();
    }
    return json_pack("{s:o, s:i}", "host", jd_text(addr->host), "port", addr->port);
}

static json_t *sentinel_json(const struct sentinel_group_row *g, size_t at)
{
    const struct sentinel_row *s = &g->sentinels[at];
    return json_pack("{s:I, s:I, s:I, s:o, s:i, s:o}", "sentinelId", (json_int_t)s->id,
                     "sentinelGroupId", (json_int_t)g->id, "dcId", (json_int_t)s->dc_id,
                     "sentinelIp", jd_text(s->addr.host), "sentinelPort", s->addr.port, "dcName",
                     jd_text(s->dc));
}

static json_t *group_json(const struct sentinel_group_row *g)
{
    json_t *list = json_array();
    for (size_t i = 0; i < g->count; i++) {
        json_array_append_new(list, sentinel_json(g, i));
    }
    char *address AUTO_FREE = sentinel_group_address(g);
    return json_pack("{s:I, s:o, s:o, s:o, s:i, s:I, s:o, s:o}", "sentinelGroupId",
                     (json_int_t)g->id, "clusterType", jd_text(g->cluster_type), "tag",
                     jd_text(g->tag), "desc", jd_text(g->description), "active",
                     g->is_active ? 1 : 0, "shardCount", (json_int_t)g->shard_count, "sentinels",
                     list, "sentinelsAddressString", jd_text(address));
}

static json_t *shard_json(const struct sentinel_use *use, const struct sentinel_group_row *group)
{
    json_t *sentinels = group ? json_array() : json_null();
    for (size_t i = 0; group && i < group->count; i++) {
        json_array_append_new(sentinels, host_port(&group->sentinels[i].addr));
    }
    return json_pack("{s:o, s:o, s:o}", "sentinels", sentinels, "shardName", jd_text(use->shard),
                     "master", host_port(&use->master));
}

/* ---- groups: changes ---- */

struct sentinel_body {
    struct opt_i64 dc_id;
    char *ip;
    struct opt_i64 port;
};
struct group_body {
    struct opt_i64 id;
    char *cluster_type;
    char *tag;
    char *description;
    struct opt_i64 active;
    struct {
        struct sentinel_body *items;
        size_t count;
    } sentinels;
};

static const struct jfield sentinel_fields[] = {
    JF_TABLE(JF_TABLE_ANY_CASE),
    INT_FIELD("dcId", struct sentinel_body, dc_id),
    TEXT_FIELD("sentinelIp", struct sentinel_body, ip),
    INT_FIELD("sentinelPort", struct sentinel_body, port),
    { 0 },
};
static const struct jfield group_fields[] = {
    JF_TABLE(JF_TABLE_ANY_CASE),
    INT_FIELD("sentinelGroupId", struct group_body, id),
    TEXT_FIELD("clusterType", struct group_body, cluster_type),
    TEXT_FIELD("tag", struct group_body, tag),
    TEXT_FIELD("desc", struct group_body, description),
    INT_FIELD("active", struct group_body, active),
    { .name = "sentinels",
      .type = JF_ARRAY,
      .offset = offsetof(struct group_body, sentinels),
      .sub = sentinel_fields,
      .elem_size = sizeof(struct sentinel_body),
      .max_count = 1000 },
    { 0 },
};

typedef int group_change_fn(struct catalog *, const struct change_ctx *,
                            const struct sentinel_group_spec *, struct catalog_result *,
                            struct xp_err *);

/* Carries out 'change' with what the body says. */
static int change_with(const struct http_req *req, const struct group_body *body,
                       group_change_fn *change, struct catalog_result *ret_result,
                       struct xp_err *err)
{
    struct sentinel_spec *specs AUTO_FREE = xcalloc(body->sentinels.count + 1, sizeof(*specs));
    for (size_t i = 0; i < body->sentinels.count; i++) {
        const struct sentinel_body *s = &body->sentinels.items[i];
        specs[i] =
            (struct sentinel_spec){ .dc_id = s->dc_id.value, .ip = s->ip, .port = s->port.value };
    }
    struct sentinel_group_spec spec = {
        .id = body->id.value,
        .cluster_type = body->cluster_type,
        .tag = body->tag,
        .description = body->description,
        .is_inactive = body->active.has && body->active.value == 0,
        .sentinels = specs,
        .count = body->sentinels.count,
    };
    struct change_ctx ctx = api_change(req);
    return change(api_catalog(req), &ctx, &spec, ret_result, err);
}

static int post_group(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct group_body body = { 0 };
    int rc = 0;
    if (api_body_object(req, resp, group_fields, &body)) {
        struct catalog_result result;
        rc = change_with(req, &body, sentinel_groups_create, &result, err);
        if (rc == 0) {
            rc = api_changed(req, resp, "Successfully create Sentinel", &result);
        }
    }
    jd_done(group_fields, &body);
    return rc;
}

/* The group as JSON text: the message of the old console. "" when it is gone again by now. Returns owned (free). */
static char *group_text(const struct http_req *req, int64_t id)
{
    struct sentinel_group_row group CLEANUP(sentinel_group_row_done) = { 0 };
    if (sentinel_groups_get(api_catalog(req), id, &group, NULL) != 0) {
        return xstrdup("");
    }
    json_auto_t *json = group_json(&group);
    char *text = json_dumps(json, JSON_COMPACT);
    xp_check(text != NULL); /* out of memory */
    return text;
}

static int put_address(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct group_body body = { 0 };
    int rc = 0;
    if (api_body_object(req, resp, group_fields, &body)) {
        struct catalog_result result;
        rc = change_with(req, &body, sentinel_groups_set_addresses, &result, err);
        if (rc == 0) {
            char *text AUTO_FREE = group_text(req, body.id.value);
            rc = api_changed(req, resp, text, &result);
        }
    }
    jd_done(group_fields, &body);
    return rc;
}

static int delete_group(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    int64_t id;
    if (!api_param_i64(req, resp, "id", &id)) {
        return 0;
    }
    struct change_ctx ctx = api_change(req);
    struct catalog_result result;
    int rc = sentinel_groups_delete(api_catalog(req), &ctx, id, &result, err);
    if (rc == XP_NOT_FOUND) {
        envelope_success(resp, "Sentinel already deleted");
        return 0;
    }
    return rc == 0 ? api_changed(req, resp, "Successfully deleted Sentinel", &result) : rc;
}

static int patch_group(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    int64_t id;
    if (!api_param_i64(req, resp, "id", &id)) {
        return 0;
    }
    struct change_ctx ctx = api_change(req);
    struct catalog_result result;
    int rc = sentinel_groups_reheal(api_catalog(req), &ctx, id, &result, err);
    return rc == 0 ? api_changed(req, resp, "Successfully reheal Sentinel", &result) : rc;
}

static int edit_group(struct http_req *req, struct http_resp *resp,
                      const struct sentinel_group_edit *edit, const char *text, struct xp_err *err)
{
    struct change_ctx ctx = api_change(req);
    struct catalog_result result;
    int rc = sentinel_groups_edit(api_catalog(req), &ctx, edit, &result, err);
    return rc == 0 ? api_changed(req, resp, text, &result) : rc;
}

static int put_active(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    int64_t id;
    int64_t active;
    if (!api_param_i64(req, resp, "id", &id) || !api_param_i64(req, resp, "active", &active)) {
        return 0;
    }
    if (active != 0 && active != 1) {
        return xp_fail(err, XP_INVALID, "active: %lld is neither 0 nor 1", (long long)active);
    }
    char *text AUTO_FREE = xasprintf("Successfully update ActiveStatus: %lld", (long long)active);
    struct sentinel_group_edit edit = { .id = id, .active = tri_of(active == 1) };
    return edit_group(req, resp, &edit, text, err);
}

static int put_tag(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    int64_t id;
    if (!api_param_i64(req, resp, "id", &id)) {
        return 0;
    }
    struct sentinel_group_edit edit = { .id = id, .tag = http_req_param(req, "tag") };
    char *text AUTO_FREE = xasprintf("Successfully update tag: %s", edit.tag);
    return edit_group(req, resp, &edit, text, err);
}

/* ---- groups: reads ---- */

static int get_active(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    int64_t id;
    if (!api_param_i64(req, resp, "id", &id)) {
        return 0;
    }
    struct sentinel_group_row group;
    int rc = sentinel_groups_get(api_catalog(req), id, &group, err);
    if (rc == XP_NOT_FOUND) {
        envelope_success(resp, "Sentinel does not exist or deleted");
        return 0;
    }
    if (rc == 0) {
        envelope_success(resp, group.is_active ? "Active status: true" : "Active status: false");
        sentinel_group_row_done(&group);
    }
    return rc;
}

/* {"dcName", "sentinelUsages": {address: shards}, "sentinelTag": {tag: {address: shards}}} of one DC in 'usages'. */
static json_t *usage_of(json_t *usages, const char *dc)
{
    json_t *usage = json_object_get(usages, dc);
    if (!usage) {
        usage =
            json_pack("{s:o, s:{}, s:{}}", "dcName", jd_text(dc), "sentinelUsages", "sentinelTag");
        json_object_set_new(usages, dc, usage);
    }
    return usage;
}

static void add_usage(json_t *usages, const struct sentinel_group_row *group)
{
    char *address AUTO_FREE = sentinel_group_address(group);
    for (size_t i = 0; i < group->count; i++) {
        json_t *usage = usage_of(usages, group->sentinels[i].dc);
        json_t *tags = json_object_get(usage, "sentinelTag");
        if (!json_object_get(tags, group->tag)) {
            json_object_set_new(tags, group->tag, json_object());
        }
        json_object_set_new(json_object_get(usage, "sentinelUsages"), address,
                            json_integer((json_int_t)group->shard_count));
        json_object_set_new(json_object_get(tags, group->tag), address,
                            json_integer((json_int_t)group->shard_count));
    }
}

static const char *type_of_query(const struct http_req *req)
{
    const char *type = http_req_query(req, "clusterType");
    return text_is_empty(type) ? NULL : type;
}

static int read_usages(const struct http_req *req, const struct sentinel_filter *filter,
                       json_t **ret_usages, struct xp_err *err)
{
    struct sentinel_group_rows rows;
    if (sentinel_groups_list(api_catalog(req), filter, &rows, err) < 0) {
        return err->code;
    }
    *ret_usages = json_object();
    for (size_t i = 0; i < rows.count; i++) {
        add_usage(*ret_usages, &rows.items[i]);
    }
    sentinel_group_rows_done(&rows);
    return 0;
}

static int show_usages(const struct http_req *req, struct http_resp *resp, const char *type,
                       struct xp_err *err)
{
    json_t *usages = NULL;
    int rc = read_usages(req, &(struct sentinel_filter){ .cluster_type = type }, &usages, err);
    if (rc == 0) {
        envelope_payload(resp, usages);
    }
    return rc;
}

static int get_usage(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    return show_usages(req, resp, type_of_query(req), err);
}

static int get_type_usage(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    return show_usages(req, resp, http_req_param(req, "type"), err);
}

/* A query parameter that must be there. */
static int query_needed(const struct http_req *req, const char *name, const char **ret_text,
                        struct xp_err *err)
{
    const char *text = http_req_query(req, name);
    if (text_is_empty(text)) {
        return xp_fail(err, XP_INVALID, "query parameter %s is missing", name);
    }
    *ret_text = text;
    return 0;
}

/* The usage of one DC; null when it has no group. */
static int show_dc_usage(const struct http_req *req, struct http_resp *resp, const char *type,
                         struct xp_err *err)
{
    struct sentinel_filter filter = { .cluster_type = type };
    json_auto_t *usages = NULL;
    if (query_needed(req, "dc", &filter.dc, err) < 0 ||
        read_usages(req, &filter, &usages, err) < 0) {
        return err->code;
    }
    const char *name = dc_alias_inner(api_catalog(req)->alias, filter.dc);
    json_t *found = NULL;
    const char *key;
    json_t *usage;
    json_object_foreach (usages, key, usage) {
        found = text_eq_nocase(key, name) ? usage : found;
    }
    envelope_payload(resp, found ? json_incref(found) : json_null());
    return 0;
}

static int get_dc_usage(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    return show_dc_usage(req, resp, type_of_query(req), err);
}

static int get_dc_type_usage(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    return show_dc_usage(req, resp, http_req_param(req, "type"), err);
}

static int show_dc_groups(const struct http_req *req, struct http_resp *resp, const char *type,
                          struct xp_err *err)
{
    struct sentinel_filter filter = { .dc = http_req_param(req, "dc"), .cluster_type = type };
    struct sentinel_group_rows rows;
    if (sentinel_groups_list(api_catalog(req), &filter, &rows, err) < 0) {
        return err->code;
    }
    json_t *list = json_array();
    for (size_t i = 0; i < rows.count; i++) {
        json_array_append_new(list, group_json(&rows.items[i]));
    }
    sentinel_group_rows_done(&rows);
    envelope_payload(resp, list);
    return 0;
}

static int get_dc_groups(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    return show_dc_groups(req, resp, NULL, err);
}

static int get_dc_type_groups(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    return show_dc_groups(req, resp, http_req_param(req, "type"), err);
}

/* ---- who uses what ---- */

static int query_addr(const struct http_req *req, const char *ip_name, const char *port_name,
                      struct addr *ret_addr, struct xp_err *err)
{
    const char *ip = "";
    const char *port_text = "";
    int64_t port = 0;
    if (query_needed(req, ip_name, &ip, err) < 0 ||
        query_needed(req, port_name, &port_text, err) < 0) {
        return err->code;
    }
    if (!text_to_i64(port_text, strlen(port_text), 1, 65535, &port)) {
        return xp_fail(err, XP_INVALID, "query parameter %s: '%s' is not a port", port_name,
                       port_text);
    }
    *ret_addr = addr_of(ip, (int)port);
    return addr_is_none(ret_addr)
               ? xp_fail(err, XP_INVALID, "query parameter %s: too long", ip_name)
               : 0;
}

static int get_sentinel_shards(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct addr addr;
    struct sentinel_uses uses;
    if (query_addr(req, "sentinelIp", "sentinelPort", &addr, err) < 0 ||
        sentinel_uses_of(api_catalog(req), &addr, &uses, err) < 0) {
        return err->code;
    }
    json_t *list = json_array();
    for (size_t i = 0; i < uses.count; i++) {
        json_t *one = shard_json(&uses.items[i], NULL);
        json_object_set_new(one, "clusterName", jd_text(uses.items[i].cluster));
        json_object_set_new(one, "dcName", jd_text(uses.items[i].dc));
        json_array_append_new(list, one);
    }
    sentinel_uses_done(&uses);
    envelope_payload(resp, list);
    return 0;
}

static int query_place(const struct http_req *req, struct shard_place *ret, struct xp_err *err)
{
    int rc = query_needed(req, "dc", &ret->dc, err);
    if (rc == 0) {
        rc = query_needed(req, "cluster", &ret->cluster, err);
    }
    return rc == 0 ? query_needed(req, "shard", &ret->shard, err) : rc;
}

static int show_shard(struct http_resp *resp, struct sentinel_use *use,
                      struct sentinel_group_row *group)
{
    envelope_payload(resp, shard_json(use, group));
    sentinel_use_done(use);
    sentinel_group_row_done(group);
    return 0;
}

static int get_shard(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct shard_place place = { 0 };
    struct sentinel_use use;
    struct sentinel_group_row group;
    if (query_place(req, &place, err) < 0 ||
        shard_sentinels_get(api_catalog(req), &place, &use, &group, err) < 0) {
        return err->code;
    }
    return show_shard(resp, &use, &group);
}

static int get_redis(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct addr addr;
    struct sentinel_use use;
    struct sentinel_group_row group;
    if (query_addr(req, "ip", "port", &addr, err) < 0 ||
        redis_sentinels_get(api_catalog(req), &addr, &use, &group, err) < 0) {
        return err->code;
    }
    return show_shard(resp, &use, &group);
}

static int delete_shard(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct shard_place place = { 0 };
    struct change_ctx ctx = api_change(req);
    struct catalog_result result;
    if (query_place(req, &place, err) < 0 ||
        shard_sentinels_clear(api_catalog(req), &ctx, &place, &result, err) < 0) {
        return err->code;
    }
    return api_changed(req, resp, NULL, &result);
}

static int post_shard(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct shard_place place = { 0 };
    struct change_ctx ctx = api_change(req);
    struct catalog_result result;
    if (query_place(req, &place, err) < 0 ||
        shard_sentinels_choose(api_catalog(req), &ctx, &place, &result, err) < 0) {
        return err->code;
    }
    if (result.is_noop) {
        return api_changed(req, resp, "current sentinel is suitable, no change", &result);
    }
    struct sentinel_group_row group CLEANUP(sentinel_group_row_done) = { 0 };
    /* changed in any case: without the group the text only names its id */
    char *address AUTO_FREE =
        sentinel_groups_get(api_catalog(req), result.object_id, &group, NULL) == 0
            ? sentinel_group_address(&group)
            : xasprintf("group %lld", (long long)result.object_id);
    char *text AUTO_FREE = xasprintf("sentinel changed to %s", address);
    return api_changed(req, resp, text, &result);
}

static int delete_monitor(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    (void)req;
    (void)resp;
    return xp_fail(
        err, XP_UNSUPPORTED,
        "not supported: metaservers keep the monitors; DELETE /api/shard/sentinels takes "
        "the group of a shard away");
}

/* clang-format off */
const struct http_route api_sentinel_routes[] = {
    { "POST", "/api/sentinels", post_group, HTTP_ON_WORKER, API_BODY_BYTES, "write", "create a sentinel group, or add sentinels to one" },
    { "DELETE", "/api/sentinels/{id}", delete_group, HTTP_ON_WORKER, API_BODY_BYTES, "write", "delete a sentinel group that no shard uses" },
    { "PATCH", "/api/sentinels/{id}", patch_group, HTTP_ON_WORKER, API_BODY_BYTES, "write", "shards that the group does not fit get another" },
    { "GET", "/api/sentinels/active/{id}", get_active, HTTP_ON_WORKER, 0, "read", "does the group get new shards" },
    { "PUT", "/api/sentinels/active/{id}/{active}", put_active, HTTP_ON_WORKER, API_BODY_BYTES, "write", "1: the group gets new shards; 0: it keeps those it has" },
    { "PUT", "/api/sentinels/tag/{id}/{tag}", put_tag, HTTP_ON_WORKER, API_BODY_BYTES, "write", "set the tag of a sentinel group" },
    { "GET", "/api/sentinels/usage", get_usage, HTTP_ON_WORKER, 0, "read", "shards per sentinel group, per DC" },
    { "GET", "/api/sentinels/usage/{type}", get_type_usage, HTTP_ON_WORKER, 0, "read", "the same for one cluster type" },
    { "GET", "/api/sentinels/info/dc/{dc}", get_dc_groups, HTTP_ON_WORKER, 0, "read", "sentinel groups with a sentinel in a DC" },
    { "GET", "/api/sentinels/info/dc/{dc}/clusterType/{type}", get_dc_type_groups, HTTP_ON_WORKER, 0, "read", "the same for one cluster type" },
    { "GET", "/api/dc/sentinels", get_dc_usage, HTTP_ON_WORKER, 0, "read", "shards per sentinel group of a DC (?dc=)" },
    { "GET", "/api/dc/sentinels/{type}", get_dc_type_usage, HTTP_ON_WORKER, 0, "read", "the same for one cluster type" },
    { "PUT", "/api/sentinel/address", put_address, HTTP_ON_WORKER, API_BODY_BYTES, "write", "replace the sentinels of a group" },
    { "DELETE", "/api/sentinel/monitor/{cluster}", delete_monitor, HTTP_ON_LOOP, API_BODY_BYTES, "write", "not offered: metaservers keep the monitors" },
    { "GET", "/api/sentinel/shards", get_sentinel_shards, HTTP_ON_WORKER, 0, "read", "shards that use a sentinel (?sentinelIp=&sentinelPort=)" },
    { "GET", "/api/shard/sentinels", get_shard, HTTP_ON_WORKER, 0, "read", "sentinels of a shard in a DC (?dc=&cluster=&shard=)" },
    { "GET", "/api/redis/sentinels", get_redis, HTTP_ON_WORKER, 0, "read", "sentinels of the shard of a redis (?ip=&port=)" },
    { "DELETE", "/api/shard/sentinels", delete_shard, HTTP_ON_WORKER, API_BODY_BYTES, "write", "take the sentinel group of a shard away" },
    { "POST", "/api/shard/sentinels", post_shard, HTTP_ON_WORKER, API_BODY_BYTES, "write", "choose the sentinel group of a shard anew" },
    API_END,
};
/* clang-format on */
