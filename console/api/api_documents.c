/* api_documents.c - what metaservers read (console-api.md 3.9). */
#include <string.h>

#include "console/api/request.h"
#include "console/api/tables.h"
#include "console/documents/document.h"
#include "shared/base/mem.h"
#include "shared/base/thread.h"
#include "shared/base/banned.h"

#define TYPES_PARAMETERS_MAX 16

static int refuse_xml(const struct http_req *req, struct xp_err *err)
{
    if (text_eq_nocase(http_req_query(req, "format"), "xml")) {
        return xp_fail(err, XP_UNSUPPORTED, "not supported: format=xml, only JSON is offered");
    }
    return 0;
}

/* types=a,b and types=a&types=b; none: the configured default. */
static int wanted_types(const struct http_req *req, unsigned *ret_types, struct xp_err *err)
{
    const char *values[TYPES_PARAMETERS_MAX];
    size_t count = http_req_query_all(req, "types", values, TYPES_PARAMETERS_MAX);
    unsigned types = 0;
    for (size_t i = 0; i < count; i++) {
        unsigned more;
        if (type_set_parse(values[i], &more, err) < 0) {
            return err->code;
        }
        types |= more;
    }
    types = types == API_ALL_TYPES ? 0 : types; /* one cached document, not two */
    *ret_types =
        count > 0 ? types : __atomic_load_n(&api_context(req)->default_types, __ATOMIC_RELAXED);
    return 0;
}

static int get_dc(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    unsigned types = 0;
    if (refuse_xml(req, err) < 0 || wanted_types(req, &types, err) < 0) {
        return err->code;
    }
    struct document_cache *documents = api_context(req)->documents;
    const char *dc = http_req_param(req, "dc");
    if (thread_role() == THREAD_HTTP) {
        return document_cache_serve_at_once(documents, req, dc, types, resp) ? 0 : HTTP_TO_WORKER;
    }
    return document_cache_serve(documents, req, dc, types, resp, err);
}

static int load_cluster(const struct http_req *req, struct dc_snapshot **ret_snap,
                        struct xp_err *err)
{
    int rc = refuse_xml(req, err);
    if (rc < 0) {
        return rc;
    }
    return catalog_cluster_snapshot(api_catalog(req), http_req_param(req, "dc"),
                                    http_req_param(req, "cluster"), ret_snap, err);
}

static int get_cluster(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct dc_snapshot *snap = NULL;
    int rc = load_cluster(req, &snap, err);
    if (rc < 0) {
        return rc;
    }
    http_resp_json(resp, document_cluster(snap, &snap->clusters[0]));
    dc_snapshot_free(snap);
    return 0;
}

static int get_shard(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct dc_snapshot *snap = NULL;
    int rc = load_cluster(req, &snap, err);
    if (rc < 0) {
        return rc;
    }
    const struct snap_cluster *cluster = &snap->clusters[0];
    for (size_t i = 0; i < cluster->shard_count; i++) {
        if (text_eq_nocase(cluster->shards[i].name, http_req_param(req, "shard"))) {
            http_resp_json(resp, document_shard(snap, cluster, &cluster->shards[i]));
            break;
        }
    }
    dc_snapshot_free(snap); /* a missing shard is an empty 200, as it always was */
    return 0;
}

/* clang-format off */
const struct http_route api_document_routes[] = {
    { "GET", "/api/dc/{dc}", get_dc, HTTP_AT_ONCE, 0, "meta", "the whole document of a DC, with ETag" },
    { "GET", "/api/dc/{dc}/cluster/{cluster}", get_cluster, HTTP_ON_WORKER, 0, "meta", "one cluster as its DC sees it" },
    { "GET", "/api/dc/{dc}/cluster/{cluster}/shard/{shard}", get_shard, HTTP_ON_WORKER, 0, "meta", "one shard as its DC sees it" },
    API_END,
};
/* clang-format on */
