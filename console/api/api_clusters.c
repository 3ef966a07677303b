/* api_clusters.c - clusters and their DCs (console-api.md 3.3, 3.4). */
#include "console/api/request.h"
#include "console/api/tables.h"
#include "console/catalog/clusters.h"
#include "console/catalog/dc_binding.h"
#include "console/catalog/redises.h"
#include "console/catalog/shards.h"
#include "console/catalog/snapshot.h"
#include "shared/base/map.h"
#include "shared/base/mem.h"
#include "shared/base/banned.h"

struct cluster_body {
    char *name;
    char *type;
    char *desc;
    struct opt_i64 org_id;
    char *emails;
    struct names dcs;
    json_t *regions; /* owned; a feature that is not offered */
};

static int decode_json(const json_t *value, void *ret_json, struct xp_err *err)
{
    (void)err;
    *(json_t **)ret_json = json_deep_copy(value);
    return 0;
}

static const struct jfield cluster_fields[] = {
    JF_TABLE(JF_TABLE_ANY_CASE),
    TEXT_FIELD("clusterName", struct cluster_body, name),
    TEXT_FIELD("clusterType", struct cluster_body, type),
    TEXT_FIELD("desc", struct cluster_body, desc),
    INT_FIELD("organizationId", struct cluster_body, org_id),
    TEXT_FIELD("clusterAdminEmails", struct cluster_body, emails),
    { .name = "dcs", .type = JF_STRINGS, .offset = offsetof(struct cluster_body, dcs) },
    { .name = "regions",
      .type = JF_CUSTOM,
      .offset = offsetof(struct cluster_body, regions),
      .decode = decode_json },
    { 0 },
};

static void cluster_body_done(struct cluster_body *body)
{
    json_decref(body->regions);
    body->regions = NULL;
    jd_done(cluster_fields, body);
}

static int refuse_regions(const struct cluster_body *body, struct xp_err *err)
{
    if (json_array_size(body->regions) > 0) {
        return xp_fail(err, XP_UNSUPPORTED, "not supported: regions (az groups)");
    }
    return 0;
}

static int create_cluster(struct http_req *req, struct http_resp *resp,
                          const struct cluster_body *body, struct xp_err *err)
{
    if (refuse_regions(body, err) < 0) {
        return err->code;
    }
    struct change_ctx ctx = api_change(req);
    struct cluster_spec spec = { .name = body->name,
                                 .type = body->type,
                                 .description = body->desc,
                                 .admin_emails = body->emails,
                                 .has_org_id = body->org_id.has,
                                 .org_id = body->org_id.value,
                                 .dcs = (const char *const *)body->dcs.items,
                                 .dc_count = body->dcs.count };
    struct catalog_result result;
    if (clusters_create(api_catalog(req), &ctx, &spec, &result, err) < 0) {
        return err->code;
    }
    return api_changed(req, resp, NULL, &result);
}

static int post_cluster(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct cluster_body body = { 0 };
    int rc = 0;
    if (api_body_object(req, resp, cluster_fields, &body)) {
        rc = create_cluster(req, resp, &body, err);
    }
    cluster_body_done(&body);
    return rc;
}

/* ---- reading ---- */

/* Outer DC names, the active one first. */
static json_t *cluster_json(const struct http_req *req, const struct cluster_row *c)
{
    json_t *dcs = json_array();
    for (size_t i = 0; i < c->dcs.count; i++) {
        json_array_append_new(dcs,
                              jd_text(dc_alias_outer(api_catalog(req)->alias, c->dcs.items[i])));
    }
    return json_pack("{s:I, s:o, s:o, s:o, s:o, s:I, s:o}", "clusterId", (json_int_t)c->id,
                     "clusterName", jd_text(c->name), "clusterType", jd_text(c->type), "dcs", dcs,
                     "desc", jd_text(c->description), "organizationId", (json_int_t)c->org_id,
                     "clusterAdminEmails", jd_text(c->admin_emails));
}

static int get_cluster(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct cluster_row row;
    if (clusters_get(api_catalog(req), http_req_param(req, "cluster"), &row, err) < 0) {
        return err->code;
    }
    http_resp_json(resp, cluster_json(req, &row));
    cluster_row_done(&row);
    return 0;
}

static int get_clusters(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    const char *types = http_req_query(req, "types");
    struct cluster_filter filter = { 0 };
    struct cluster_rows rows;
    if (type_set_parse(text_is_empty(types) ? "one_way,hetero" : types, &filter.types, err) < 0 ||
        clusters_list(api_catalog(req), &filter, &rows, err) < 0) {
        return err->code;
    }
    json_t *list = json_array();
    for (size_t i = 0; i < rows.count; i++) {
        json_array_append_new(list, cluster_json(req, &rows.items[i]));
    }
    clusters_done(&rows);
    http_resp_json(resp, list);
    return 0;
}

static int get_cluster_names(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct cluster_filter filter = { 0 };
    struct cluster_rows rows;
    if (clusters_list(api_catalog(req), &filter, &rows, err) < 0) {
        return err->code;
    }
    json_t *list = json_array();
    for (size_t i = 0; i < rows.count; i++) {
        json_array_append_new(list, jd_text(rows.items[i].name));
    }
    clusters_done(&rows);
    http_resp_json(resp, list);
    return 0;
}

static int get_stats(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct cluster_stats stats;
    if (clusters_stats(api_catalog(req), &stats, err) < 0) {
        return err->code;
    }
    http_resp_json(resp, json_pack("{s:I, s:I}", "clusterCount", (json_int_t)stats.cluster_count,
                                   "shardCount", (json_int_t)stats.shard_count));
    return 0;
}

/* ---- clusters with shards and addresses ---- */

static json_t *shard_entry(int64_t id, const char *name)
{
    return json_pack("{s:I, s:o, s:[], s:[]}", "id", (json_int_t)id, "shardName", jd_text(name),
                     "redises", "keepers");
}

static json_t *with_shards_entry(const struct cluster_row *c)
{
    return json_pack("{s:I, s:o, s:o, s:[]}", "id", (json_int_t)c->id, "clusterName",
                     jd_text(c->name), "clusterType", jd_text(c->type), "shards");
}

static int get_with_shards(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    const char *type = http_req_query(req, "type");
    struct cluster_filter filter = { 0 };
    struct cluster_rows clusters;
    struct shard_rows shards;
    if (type_set_parse(text_is_empty(type) ? "one_way" : type, &filter.types, err) < 0 ||
        clusters_list(api_catalog(req), &filter, &clusters, err) < 0) {
        return err->code;
    }
    if (shards_list(api_catalog(req), NULL, filter.types, &shards, err) < 0) {
        clusters_done(&clusters);
        return err->code;
    }
    json_t *list = json_array();
    struct map entries = MAP_INIT(MAP_NUMBER);
    for (size_t i = 0; i < clusters.count; i++) {
        json_t *entry = with_shards_entry(&clusters.items[i]);
        json_array_append_new(list, entry);
        map_put_n(&entries, (uint64_t)clusters.items[i].id, json_object_get(entry, "shards"));
    }
    for (size_t i = 0; i < shards.count; i++) {
        json_t *of_cluster = map_get_n(&entries, (uint64_t)shards.items[i].cluster_id);
        if (of_cluster) { /* else created between the two reads */
            json_array_append_new(of_cluster,
                                  shard_entry(shards.items[i].id, shards.items[i].name));
        }
    }
    map_done(&entries);
    shard_rows_done(&shards);
    clusters_done(&clusters);
    http_resp_json(resp, list);
    return 0;
}

static void append_addresses(json_t *shard, const char *key, const struct snap_redis *items,
                             size_t count, const char *dc)
{
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(json_object_get(shard, key),
                              json_pack("{s:o, s:i, s:o}", "ip", jd_text(items[i].ip), "port",
                                        items[i].port, "dc", jd_text(dc)));
    }
}

/* Adds what one DC has of the cluster; 'shards' maps shard names to their entries (borrowed). */
static void add_dc(json_t *shards, json_t *list, const struct dc_snapshot *snap)
{
    const struct snap_cluster *c = &snap->clusters[0];
    for (size_t i = 0; i < c->shard_count; i++) {
        const struct snap_shard *s = &c->shards[i];
        json_t *entry = json_object_get(shards, s->name);
        if (!entry) {
            entry = shard_entry(s->id, s->name);
            json_array_append_new(list, entry);
            json_object_set(shards, s->name, entry);
        }
        append_addresses(entry, "redises", s->redises, s->redis_count, snap->dc);
        append_addresses(entry, "keepers", s->keepers, s->keeper_count, snap->dc);
    }
}

static int fill_all(const struct http_req *req, const struct cluster_row *row, json_t *entry,
                    struct xp_err *err)
{
    json_auto_t *shards = json_object();
    for (size_t i = 0; i < row->dcs.count; i++) {
        struct dc_snapshot *snap = NULL;
        int rc =
            catalog_cluster_snapshot(api_catalog(req), row->dcs.items[i], row->name, &snap, err);
        if (rc == XP_NOT_FOUND) {
            continue; /* unbound meanwhile */
        }
        if (rc < 0) {
            return rc;
        }
        add_dc(shards, json_object_get(entry, "shards"), snap);
        dc_snapshot_free(snap);
    }
    return 0;
}

static int get_all(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    const char *name = http_req_query(req, "clusterName");
    if (text_is_empty(name)) {
        return xp_fail(err, XP_INVALID, "query parameter clusterName is missing");
    }
    struct cluster_row row;
    if (clusters_get(api_catalog(req), name, &row, err) < 0) {
        return err->code;
    }
    json_t *entry = with_shards_entry(&row);
    int rc = fill_all(req, &row, entry, err);
    cluster_row_done(&row);
    if (rc < 0) {
        json_decref(entry);
        return rc;
    }
    http_resp_json(resp, entry);
    return 0;
}

/* ---- changing ---- */

static struct cluster_update update_of(const struct cluster_body *body)
{
    return (struct cluster_update){ .name = body->name,
                                    .type = body->type,
                                    .description = body->desc,
                                    .admin_emails = body->emails,
                                    .has_org_id = body->org_id.has,
                                    .org_id = body->org_id.value };
}

static int apply_updates(struct http_req *req, struct http_resp *resp,
                         const struct cluster_updates *updates, struct xp_err *err)
{
    struct change_ctx ctx = api_change(req);
    struct catalog_result result;
    if (clusters_update(api_catalog(req), &ctx, updates, &result, err) < 0) {
        return err->code;
    }
    char *text AUTO_FREE = NULL;
    if (result.is_noop && updates->count > 0) {
        text = xasprintf("No field changes for cluster: %s", updates->items[0].name);
    }
    return api_changed(req, resp, text, &result);
}

static int put_cluster(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct cluster_body body = { 0 };
    int rc = 0;
    if (api_body_object(req, resp, cluster_fields, &body)) {
        rc = refuse_regions(&body, err);
        if (rc == 0) {
            struct cluster_update update = update_of(&body);
            rc = apply_updates(req, resp, &(struct cluster_updates){ &update, 1 }, err);
        }
    }
    cluster_body_done(&body);
    return rc;
}

static int put_clusters(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct object_list list = { .table = cluster_fields, .size = sizeof(struct cluster_body) };
    int rc = 0;
    if (api_body_list(req, resp, &list)) {
        struct cluster_update *updates = xcalloc(list.count + 1, sizeof(*updates));
        for (size_t i = 0; i < list.count && rc == 0; i++) {
            updates[i] = update_of(object_list_at(&list, i));
            rc = refuse_regions(object_list_at(&list, i), err);
        }
        if (rc == 0) {
            rc = apply_updates(req, resp, &(struct cluster_updates){ updates, list.count }, err);
        }
        free(updates);
    }
    for (size_t i = 0; i < list.count; i++) {
        struct cluster_body *body = object_list_at(&list, i);
        json_decref(body->regions);
    }
    object_list_done(&list);
    return rc;
}

static int put_tag(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct cluster_update update = { .name = http_req_param(req, "cluster"),
                                     .tag = http_req_param(req, "tag") };
    struct change_ctx ctx = api_change(req);
    struct catalog_result result;
    if (clusters_update(api_catalog(req), &ctx, &(struct cluster_updates){ &update, 1 }, &result,
                        err) < 0) {
        return err->code;
    }
    return api_changed(req, resp, NULL, &result);
}

static int delete_cluster(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct cluster_delete what = { .name = http_req_param(req, "cluster") };
    if (!api_query_bool(req, resp, "checkEmpty", true, &what.check_empty)) {
        return 0;
    }
    struct change_ctx ctx = api_change(req);
    struct catalog_result result;
    if (clusters_delete(api_catalog(req), &ctx, &what, &result, err) < 0) {
        return err->code;
    }
    return api_changed(req, resp, NULL, &result);
}

typedef int binding_fn(struct catalog *, const struct change_ctx *, const struct cluster_dc *,
                       struct catalog_result *, struct xp_err *);

static int change_binding(struct http_req *req, struct http_resp *resp, binding_fn *change,
                          struct xp_err *err)
{
    struct cluster_dc what = { .cluster = http_req_param(req, "cluster"),
                               .dc = http_req_param(req, "dc") };
    struct change_ctx ctx = api_change(req);
    struct catalog_result result;
    if (change(api_catalog(req), &ctx, &what, &result, err) < 0) {
        return err->code;
    }
    return api_changed(req, resp, NULL, &result);
}

static int post_binding(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    return change_binding(req, resp, dc_bind, err);
}

static int delete_binding(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    return change_binding(req, resp, dc_unbind, err);
}

/* clang-format off */
const struct http_route api_cluster_routes[] = {
    { "POST", "/api/clusters", post_cluster, HTTP_ON_WORKER, API_BODY_BYTES, "write", "create a cluster with its DCs" },
    { "GET", "/api/clusters", get_clusters, HTTP_ON_WORKER, 0, "read", "clusters of types (default one_way,hetero)" },
    { "PUT", "/api/clusters", put_clusters, HTTP_ON_WORKER, API_LIST_BYTES, "write", "change several clusters, all or nothing" },
    { "GET", "/api/cluster/all", get_all, HTTP_ON_WORKER, 0, "read", "one cluster with all addresses" },
    { "GET", "/api/cluster/{cluster}", get_cluster, HTTP_ON_WORKER, 0, "read", "one cluster with its DCs, the active one first" },
    { "PUT", "/api/cluster", put_cluster, HTTP_ON_WORKER, API_BODY_BYTES, "write", "change organization, mails, type, description" },
    { "PUT", "/api/cluster/tag/{cluster}/{tag}", put_tag, HTTP_ON_WORKER, API_BODY_BYTES, "write", "set the tag of a cluster" },
    { "DELETE", "/api/cluster/{cluster}", delete_cluster, HTTP_ON_WORKER, API_BODY_BYTES, "write", "delete a cluster; checkEmpty=false with all it has" },
    { "GET", "/api/clusterWithShards", get_with_shards, HTTP_ON_WORKER, 0, "read", "clusters of a type with their shards" },
    { "POST", "/api/clusters/{cluster}/dcs/{dc}", post_binding, HTTP_ON_WORKER, API_BODY_BYTES, "write", "bind a DC to a cluster" },
    { "DELETE", "/api/clusters/{cluster}/dcs/{dc}", delete_binding, HTTP_ON_WORKER, API_BODY_BYTES, "write", "unbind a DC from a cluster" },
    { "GET", "/api/clusterids", get_cluster_names, HTTP_ON_WORKER, 0, "read", "names of all clusters" },
    { "GET", "/api/stats", get_stats, HTTP_ON_WORKER, 0, "read", "how many clusters and shards" },
    API_END,
};
/* clang-format on */
