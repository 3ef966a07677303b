/* api_shards.c - shards (console-api.md 3.5). */
#include "console/api/instance_list.h"
#include "console/api/request.h"
#include "console/api/tables.h"
#include "console/catalog/shards.h"
#include "shared/base/mem.h"
#include "shared/base/banned.h"

struct shard_body {
    char *name;
    char *monitor_name;
};

static const struct jfield shard_fields[] = {
    JF_TABLE(JF_TABLE_ANY_CASE),
    TEXT_FIELD("shardName", struct shard_body, name),
    TEXT_FIELD("shardMonitorName", struct shard_body, monitor_name),
    { 0 },
};

static int create_shards(struct http_req *req, struct http_resp *resp,
                         const struct object_list *list, struct xp_err *err)
{
    struct shard_spec *specs AUTO_FREE = xcalloc(list->count + 1, sizeof(*specs));
    for (size_t i = 0; i < list->count; i++) {
        const struct shard_body *body = object_list_at(list, i);
        specs[i] = (struct shard_spec){ .name = body->name, .monitor_name = body->monitor_name };
    }
    struct shards_create create = { .cluster = http_req_param(req, "cluster"),
                                    .items = specs,
                                    .count = list->count };
    struct change_ctx ctx = api_change(req);
    struct catalog_result result;
    if (shards_create(api_catalog(req), &ctx, &create, &result, err) < 0) {
        return err->code;
    }
    return api_changed(req, resp, NULL, &result);
}

static int post_shards(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct object_list list = { .table = shard_fields, .size = sizeof(struct shard_body) };
    int rc = api_body_list(req, resp, &list) ? create_shards(req, resp, &list, err) : 0;
    object_list_done(&list);
    return rc;
}

/* ---- shards with redises ---- */

struct parts {
    struct shard_part *items;
    struct instances *lists;
    size_t count;
};

static void parts_done(struct parts *parts)
{
    for (size_t i = 0; i < parts->count; i++) {
        instances_done(&parts->lists[i]);
    }
    free(parts->lists);
    free(parts->items);
}

static int text_member(const json_t *object, const char *name, const char **ret_text,
                       struct xp_err *err)
{
    const json_t *value = json_object_get(object, name);
    if (value && !json_is_null(value) && !json_is_string(value)) {
        return xp_fail(err, XP_INVALID, "%s is not a text", name);
    }
    *ret_text = json_string_value(value);
    return 0;
}

/* 'shard': the name from the path, or NULL to read it from the element. */
static int decode_part(const json_t *item, const char *shard, struct shard_part *part,
                       struct instances *list, struct xp_err *err)
{
    if (!json_is_object(item)) {
        return xp_fail(err, XP_INVALID, "not an object");
    }
    if (text_member(item, "dcId", &part->dc, err) < 0 ||
        text_member(item, "redises", &part->text, err) < 0 ||
        text_member(item, "shardName", &part->shard, err) < 0) {
        return err->code;
    }
    if (shard) {
        part->shard = shard;
    }
    if (instances_decode(json_object_get(item, "redisesWithAz"), list, err) < 0) {
        return xp_wrap(err, "redisesWithAz");
    }
    part->items = list->items;
    part->count = list->count;
    return 0;
}

static int decode_parts(const json_t *body, const char *shard, struct parts *parts,
                        struct xp_err *err)
{
    size_t count = json_array_size(body);
    if (!json_is_array(body) || count > 10000) {
        return xp_fail(err, XP_INVALID,
                       "request body: a JSON array of at most 10000 objects is expected");
    }
    parts->items = xcalloc(count + 1, sizeof(*parts->items));
    parts->lists = xcalloc(count + 1, sizeof(*parts->lists));
    parts->count = count;
    for (size_t i = 0; i < count; i++) {
        if (decode_part(json_array_get(body, i), shard, &parts->items[i], &parts->lists[i], err) <
            0) {
            return xp_wrap(err, "[%zu]", i);
        }
    }
    return 0;
}

static int create_with_redises(struct http_req *req, struct http_resp *resp, const char *shard,
                               struct xp_err *err)
{
    json_auto_t *body = NULL;
    if (!envelope_body(req, false, resp, &body)) {
        return 0;
    }
    struct parts parts CLEANUP(parts_done) = { 0 };
    if (decode_parts(body, shard, &parts, err) < 0) {
        return envelope_malformed(req, resp, err);
    }
    struct shards_with_redises what = { .cluster = http_req_param(req, "cluster"),
                                        .parts = parts.items,
                                        .count = parts.count,
                                        .is_one_shard = shard != NULL };
    struct change_ctx ctx = api_change(req);
    struct catalog_result result;
    if (shards_create_with_redises(api_catalog(req), &ctx, &what, &result, err) < 0) {
        return err->code;
    }
    return api_changed(req, resp, shard ? "Successfully created shard" : NULL, &result);
}

static int post_shard(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    return create_with_redises(req, resp, http_req_param(req, "shard"), err);
}

static int post_shards_with_redises(struct http_req *req, struct http_resp *resp,
                                    struct xp_err *err)
{
    return create_with_redises(req, resp, NULL, err);
}

/* ---- reading ---- */

static int get_shards(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct shard_rows rows;
    if (shards_list(api_catalog(req), http_req_param(req, "cluster"), 0, &rows, err) < 0) {
        return err->code;
    }
    json_t *list = json_array();
    for (size_t i = 0; i < rows.count; i++) {
        const struct shard_row *s = &rows.items[i];
        for (size_t d = 0; d < s->dcs.count; d++) {
            json_array_append_new(list, json_pack("{s:I, s:o, s:o, s:o}", "shardId",
                                                  (json_int_t)s->id, "shardName", jd_text(s->name),
                                                  "shardMonitorName", jd_text(s->monitor_name),
                                                  "dcId", jd_text(s->dcs.items[d])));
        }
    }
    shard_rows_done(&rows);
    http_resp_json(resp, list);
    return 0;
}

static int get_shard_names(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct shard_rows rows;
    if (shards_list(api_catalog(req), http_req_param(req, "cluster"), 0, &rows, err) < 0) {
        return err->code;
    }
    json_t *list = json_array();
    for (size_t i = 0; i < rows.count; i++) {
        json_array_append_new(list, jd_text(rows.items[i].name));
    }
    shard_rows_done(&rows);
    http_resp_json(resp, list);
    return 0;
}

/* ---- deleting ---- */

static int remove_shards(struct http_req *req, struct http_resp *resp,
                         const struct shards_delete *what, struct xp_err *err)
{
    struct change_ctx ctx = api_change(req);
    struct catalog_result result;
    int rc = shards_delete(api_catalog(req), &ctx, what, &result, err);
    if (rc == XP_NOT_FOUND && !envelope_is_strict(req)) {
        envelope_success(resp, err->msg); /* what is gone already is a success there */
        return 0;
    }
    return rc < 0 ? rc : api_changed(req, resp, "Successfully deleted shard", &result);
}

static int delete_shard(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    const char *name = http_req_param(req, "shard");
    struct shards_delete what = { .cluster = http_req_param(req, "cluster"),
                                  .names = &name,
                                  .count = 1 };
    return remove_shards(req, resp, &what, err);
}

static int delete_shards(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct names names CLEANUP(names_done) = { 0 };
    if (!api_body_texts(req, resp, &names)) {
        return 0;
    }
    struct shards_delete what = { .cluster = http_req_param(req, "cluster"),
                                  .names = (const char *const *)names.items,
                                  .count = names.count,
                                  .is_list = true };
    return remove_shards(req, resp, &what, err);
}

/* clang-format off */
const struct http_route api_shard_routes[] = {
    { "POST", "/api/shards/{cluster}", post_shards, HTTP_ON_WORKER, API_LIST_BYTES, "write", "create empty shards" },
    { "GET", "/api/shards/{cluster}", get_shards, HTTP_ON_WORKER, 0, "read", "shards, one entry for each shard and DC" },
    { "POST", "/api/shards/{cluster}/{shard}", post_shard, HTTP_ON_WORKER, API_LIST_BYTES, "write", "find or create a shard and add redises" },
    { "POST", "/api/shards/with/redises/{cluster}", post_shards_with_redises, HTTP_ON_WORKER, API_LIST_BYTES, "write", "the same for many shards" },
    { "DELETE", "/api/shards/{cluster}/{shard}", delete_shard, HTTP_ON_WORKER, API_BODY_BYTES, "write", "delete a shard with all it has" },
    { "DELETE", "/api/shards/{cluster}/sync", delete_shards, HTTP_ON_WORKER, API_LIST_BYTES, "write", "delete several shards, all or none" },
    { "GET", "/api/cluster/{cluster}/shardids", get_shard_names, HTTP_ON_WORKER, 0, "read", "names of a cluster's shards" },
    API_END,
};
/* clang-format on */
