/* keeper_handlers.c - /api/meta: keepers and upstreams of one-way clusters (metaserver.md 4.3: 1, 9, 13, 14; their batches and
 * their state under v2). */
#include <string.h>

#include "meta/api/dispatch.h"
#include "meta/api/meta_routes.h"
#include "meta/api/shard_request.h"
#include "meta/keepers/tree_duty.h"
#include "meta/keepers/upstream_row.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

#define TOKEN_BODY_MAX_BYTES (64U * 1024)
/* Full synchronizations a keeper container may have under way; x-pipe's constants. The feature is off in its containers. */
#define TOKENS_OF_A_META   8
#define TOKENS_OF_THIS_ONE 10

static const struct cluster_meta *cluster_of_path(const struct http_req *req)
{
    const struct app *app = http_req_arg(req);
    return dc_store_cluster(app->store, http_req_param(req, "cluster"));
}

/* ---- the active keeper ---- */

/* KeeperMeta, or an empty body while there is none. */
static int local_active_keeper(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct app *app = http_req_arg(req);
    struct upstream upstream;
    int rc = shard_request_check(req, err);
    if (rc != 0) {
        return rc;
    }
    const struct cluster_type_info *type = cluster_type_info(cluster_of_path(req)->type);
    if (!type->has_keepers) {
        return xp_fail(err, XP_UNSUPPORTED, "cluster: %s, type: %s not support keeper",
                       http_req_param(req, "cluster"), type->name);
    }
    if (upstream_board_get(app->upstreams_board, http_req_param(req, "cluster"),
                           http_req_param(req, "shard"), &upstream) &&
        upstream.has_active) {
        http_resp_json(resp, upstream_keeper_to_json(&upstream.active));
    }
    return 0;
}

static int handle_active_keeper(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    return dispatch_forward(req, resp, local_active_keeper, err);
}

/* ---- the primary DC's metaserver tells its head ---- */

static int read_head(const struct http_req *req, struct addr *ret_head, struct xp_err *err)
{
    const char *ip = http_req_param(req, "ip");
    const char *port = http_req_param(req, "port");
    int64_t number;
    if (!text_to_i64(port, strlen(port), 1, 65535, &number)) {
        return xp_fail(err, XP_INVALID, "port: '%.20s' is not a port (1..65535)", port);
    }
    struct addr head = addr_of(ip, (int)number);
    if (!upstream_addr_is_good(&head)) {
        return xp_fail(err, XP_INVALID, "ip: '%.64s' is not the IP address of an instance", ip);
    }
    *ret_head = head;
    return 0;
}

/* Why the notice does not count here; NULL: it does. 'dc' is in lower case; NULL: not said. */
static const char *why_ignored(struct tree_duty *duty, const struct cluster_meta *cluster,
                               const char *dc)
{
    if (cluster->type != CLUSTER_ONE_WAY || !cluster->active_dc) {
        return "the cluster is not a one-way one";
    }
    if (dc && !text_eq(dc, cluster->active_dc)) {
        return "it is not from the primary DC";
    }
    if (!duty) {
        return "no valid lease for the shard";
    }
    return tree_duty_pulls_from(duty, cluster->active_dc) ? NULL
                                                          : "this DC is not a backup one of it";
}

static int local_upstream_change(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    (void)resp;
    struct app *app = http_req_arg(req);
    struct addr head;
    int rc = shard_request_check(req, err);
    if (rc == 0) {
        rc = read_head(req, &head, err);
    }
    if (rc != 0) {
        return rc;
    }
    const struct cluster_meta *cluster = cluster_of_path(req);
    const char *shard = http_req_param(req, "shard");
    const char *said = http_req_query(req, "dcName");
    AUTO_FREE char *dc = text_is_empty(said) ? NULL : xstrdup(said);
    if (dc) {
        text_lower(dc);
    }
    struct tree_duty *duty = tree_duty_of(shard_set_find(app->shards, cluster->name, shard));
    const char *why = why_ignored(duty, cluster, dc);
    if (why) {
        log_info("upstream.notice_ignored", "cluster", cluster->name, "shard", shard, "head",
                 ADDR_TEXT(&head), "from", dc ? dc : http_req_peer(req), "why", why);
    } else {
        tree_duty_upstream_told(duty, cluster->active_dc, &head, -1);
    }
    return 0;
}

static int handle_upstream_change(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    return dispatch_forward(req, resp, local_upstream_change, err);
}

/* ---- batches between DCs ---- */

static bool add_upstream(struct app *app, const struct shard_name *name, json_t *rows)
{
    struct upstream upstream;
    bool is_known = upstream_board_get(app->upstreams_board, name->cluster, name->shard, &upstream);
    if (is_known) {
        (void)json_array_append_new(rows,
                                    upstream_row_to_json(name->cluster, name->shard, &upstream));
    }
    return is_known;
}

static int handle_upstreams(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    static const struct shard_question question = {
        .path = "/api/meta/v2/upstreams",
        .rows = "upstreams",
        .add = add_upstream,
    };
    return shard_request_answer(req, resp, &question, err);
}

/* A notice is a reason to ask: the answer comes from the owner over there. */
static void told_change(struct app *app, const char *dc, const struct shard_name *name)
{
    const struct tree_duty *duty =
        tree_duty_of(shard_set_find(app->shards, name->cluster, name->shard));
    if (duty && tree_duty_pulls_from(duty, dc)) {
        dc_links_ask(app->upstreams, dc, name->cluster, name->shard);
    }
}

static int local_upstream_changes(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    (void)resp;
    return shard_request_notice(req, told_change, err);
}

static int handle_upstream_changes(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    int rc = dispatch_copies(req, local_upstream_changes, resp, err);
    if (rc == 0) {
        http_resp_json(resp, json_object());
    }
    return rc;
}

/* ---- state ---- */

/* ShardCurrentMeta from the owner; empty elsewhere and for other types. Not forwarded: who asks looks at this member. */
static int handle_all(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    const struct app *app = http_req_arg(req);
    int rc = shard_request_check(req, err);
    const struct tree_duty *duty =
        rc != 0 ? NULL
                : tree_duty_of(shard_set_find(app->shards, http_req_param(req, "cluster"),
                                              http_req_param(req, "shard")));
    if (duty) {
        http_resp_json(resp, tree_duty_current_json(duty));
    }
    return rc;
}

static int local_tree(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    return shard_request_state(req, resp, CLUSTER_ONE_WAY, err);
}

static int handle_tree(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    return dispatch_forward(req, resp, local_tree, err);
}

static int handle_upstream_links(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    (void)err;
    const struct app *app = http_req_arg(req);
    http_resp_json(resp, dc_links_json(app->upstreams));
    return 0;
}

static int handle_inventory(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    (void)err;
    const struct app *app = http_req_arg(req);
    http_resp_json(resp, keeper_inventory_json(app->inventory));
    return 0;
}

/* ---- tokens of keeper containers ---- */

static int handle_token_of_meta(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    (void)req;
    (void)err;
    http_resp_json(resp, json_pack("{s:i}", "tokenSize", TOKENS_OF_A_META));
    return 0;
}

static int handle_token_of_this(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    (void)req;
    (void)err;
    http_resp_json(resp, json_pack("{s:i}", "tokenSize", TOKENS_OF_THIS_ONE));
    return 0;
}

/* clang-format off */
const struct http_route meta_keeper_routes[] = {
    { "GET", "/api/meta/getactivekeeper/{cluster}/{shard}", handle_active_keeper, HTTP_ON_LOOP, 0, "read",
      "Active keeper of this DC, empty while there is none" },
    { "PUT", "/api/meta/upstreamchange/{cluster}/{shard}/{ip}/{port}", handle_upstream_change, HTTP_ON_LOOP, 4096, "meta",
      "The primary DC (dcName) says what to pull from" },
    { "GET", "/api/meta/all/{cluster}/{shard}", handle_all, HTTP_ON_LOOP, 0, "read",
      "Living keepers and source of a shard that this member owns, else empty" },
    { "POST", "/api/meta/keeper/token/status", handle_token_of_meta, HTTP_ON_LOOP, TOKEN_BODY_MAX_BYTES, "read",
      "How many full synchronizations a keeper container may have under way" },
    { "POST", "/api/current/keeper/token/status", handle_token_of_this, HTTP_ON_LOOP, TOKEN_BODY_MAX_BYTES, "read",
      "The same" },
    { "GET", "/api/meta/v2/tree/{cluster}/{shard}", handle_tree, HTTP_ON_LOOP, 0, "read",
      "Replication tree of a one-way shard, wanted and actual, with verdict and plan" },
    { "POST", "/api/meta/v2/upstreams", handle_upstreams, HTTP_ON_WORKER, SHARD_QUESTION_MAX_BYTES, "read",
      "What up to 5,000 one-way shards are to pull from, at once" },
    { "POST", "/api/meta/v2/upstreamchanges", handle_upstream_changes, HTTP_ON_LOOP, SHARD_NOTICE_MAX_BYTES, "meta",
      "What many one-way shards are to pull from changed in another DC" },
    { "GET", "/api/meta/v2/upstreamlinks", handle_upstream_links, HTTP_ON_LOOP, 0, "read",
      "Conversations with the metaservers of other DCs about upstreams" },
    { "GET", "/api/meta/v2/keeperinventory", handle_inventory, HTTP_ON_LOOP, 0, "read",
      "Keeper containers as this member last saw them, and keepers on them that the document does not want" },
    { .method = NULL },
};
/* clang-format on */
