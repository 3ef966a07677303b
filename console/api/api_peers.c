/* api_peers.c - GET /api/clusters/{cluster}/peers: what links between DCs should look like (console-api.md 3.8.6).
 *
 * Only what metadata tells: masters as flagged, routes as chosen. Gids and the state of the links are known by the
 * metaservers alone; those members are null here, and 'consistent' is null, never guessed. */
#include "console/api/request.h"
#include "console/api/tables.h"
#include "console/catalog/clusters.h"
#include "console/catalog/routes.h"
#include "console/catalog/snapshot.h"
#include "shared/base/mem.h"
#include "shared/base/banned.h"

struct peer_facts { /* one cluster; owned */
    struct cluster_row cluster;
    struct dc_snapshot **snaps; /* one for each of cluster.dcs; NULL: unbound meanwhile */
};

static void peer_facts_done(struct peer_facts *f)
{
    for (size_t i = 0; f->snaps && i < f->cluster.dcs.count; i++) {
        dc_snapshot_free(f->snaps[i]);
    }
    free(f->snaps);
    cluster_row_done(&f->cluster);
}

static int peer_facts_load(struct catalog *catalog, const char *name, struct peer_facts *f,
                           struct xp_err *err)
{
    if (clusters_get(catalog, name, &f->cluster, err) < 0) {
        return err->code;
    }
    f->snaps = xcalloc(f->cluster.dcs.count + 1, sizeof(struct dc_snapshot *));
    for (size_t i = 0; i < f->cluster.dcs.count; i++) {
        int rc = catalog_cluster_snapshot(catalog, f->cluster.dcs.items[i], f->cluster.name,
                                          &f->snaps[i], err);
        if (rc < 0 && rc != XP_NOT_FOUND) {
            return rc;
        }
    }
    return 0;
}

static const struct snap_shard *find_shard(const struct dc_snapshot *snap, const char *name)
{
    for (size_t i = 0; snap && i < snap->clusters[0].shard_count; i++) {
        if (text_eq(snap->clusters[0].shards[i].name, name)) {
            return &snap->clusters[0].shards[i];
        }
    }
    return NULL;
}

static json_t *master_json(const struct snap_shard *shard)
{
    for (size_t i = 0; shard && i < shard->redis_count; i++) {
        if (shard->redises[i].is_master) {
            struct addr addr = addr_of(shard->redises[i].ip, shard->redises[i].port);
            return jd_text(ADDR_TEXT(&addr));
        }
    }
    return json_null();
}

static const struct route_choice *find_choice(const struct route_choice_rows *rows, const char *dst)
{
    for (size_t i = 0; i < rows->count; i++) {
        if (text_eq_nocase(rows->items[i].dst_dc, dst)) {
            return &rows->items[i].choice;
        }
    }
    return NULL;
}

static void set_route(json_t *out, const struct route_choice *choice)
{
    bool is_chosen = choice && choice->kind == ROUTE_CHOSEN;
    char *servers AUTO_FREE = is_chosen ? route_servers_text(&choice->route) : NULL;
    char *params AUTO_FREE = is_chosen ? route_params_text(&choice->route) : NULL;
    json_object_set_new(out, "routeId",
                        choice && choice->route_id > 0 ? json_integer(choice->route_id)
                                                       : json_null());
    json_object_set_new(out, "proxyType", is_chosen ? json_string("XPIPE-PROXY") : json_null());
    json_object_set_new(out, "proxyServers", jd_text(servers));
    json_object_set_new(out, "proxyParams", jd_text(params));
    json_object_set_new(out, "routeProblem",
                        choice && choice->kind == ROUTE_UNUSABLE ? jd_text(choice->reason)
                                                                 : json_null());
}

/* Where the Redis of one DC pull from: every other DC, or the active one. */
static bool pulls_from(const struct cluster_row *c, const char *dc, const char *peer)
{
    if (text_eq_nocase(dc, peer)) {
        return false;
    }
    return !c->active_dc || text_eq_nocase(c->active_dc, peer);
}

static void append_links(json_t *list, const struct peer_facts *f, size_t own,
                         const struct route_choice_rows *choices)
{
    const char *dc = f->cluster.dcs.items[own];
    const struct dc_snapshot *snap = f->snaps[own];
    for (size_t s = 0; snap && s < snap->clusters[0].shard_count; s++) {
        const struct snap_shard *shard = &snap->clusters[0].shards[s];
        for (size_t p = 0; p < f->cluster.dcs.count; p++) {
            const char *peer = f->cluster.dcs.items[p];
            if (!pulls_from(&f->cluster, dc, peer)) {
                continue;
            }
            json_t *link = json_pack("{s:o, s:o, s:o, s:o, s:o, s:n, s:n, s:n, s:n}", "shard",
                                     jd_text(shard->name), "dc", jd_text(dc), "peerDc",
                                     jd_text(peer), "master", master_json(shard), "peerMaster",
                                     master_json(find_shard(f->snaps[p], shard->name)), "peerGid",
                                     "peerof", "actual", "consistent");
            set_route(link, find_choice(choices, peer));
            json_array_append_new(list, link);
        }
    }
}

static int collect_links(struct catalog *catalog, const struct peer_facts *f, const char *wanted_dc,
                         json_t *list, struct xp_err *err)
{
    bool found = text_is_empty(wanted_dc);
    for (size_t i = 0; i < f->cluster.dcs.count; i++) {
        const char *dc = f->cluster.dcs.items[i];
        if (!text_is_empty(wanted_dc) &&
            !text_eq_nocase(dc_alias_inner(catalog->alias, wanted_dc), dc)) {
            continue;
        }
        found = true;
        struct cluster_src of = { .cluster = f->cluster.name, .src_dc = dc };
        struct route_choice_rows choices;
        if (routes_of_cluster(catalog, &of, &choices, err) < 0) {
            return err->code;
        }
        append_links(list, f, i, &choices);
        route_choice_rows_done(&choices);
    }
    if (!found) {
        return xp_fail(err, XP_NOT_FOUND, "cluster %s is not bound to dc %s", f->cluster.name,
                       wanted_dc);
    }
    return 0;
}

static int get_peers(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct peer_facts facts CLEANUP(peer_facts_done) = { 0 };
    if (peer_facts_load(api_catalog(req), http_req_param(req, "cluster"), &facts, err) < 0) {
        return err->code;
    }
    json_t *list = json_array();
    if (collect_links(api_catalog(req), &facts, http_req_query(req, "dc"), list, err) < 0) {
        json_decref(list);
        return err->code;
    }
    http_resp_json(resp, list);
    return 0;
}

/* clang-format off */
const struct http_route api_peer_routes[] = {
    { "GET", "/api/clusters/{cluster}/peers", get_peers, HTTP_ON_WORKER, 0, "read", "each shard's links to other DCs as metadata wants them" },
    API_END,
};
/* clang-format on */
