/* cluster_handlers.c - /api/meta: clusters and shards of this DC (metaserver.md 4.3: 2 to 4, 8, 10, 11; 9.2, 9.3). */
#include <string.h>

#include "meta/api/dispatch.h"
#include "meta/api/meta_routes.h"
#include "meta/api/shard_request.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/model/dc_meta.h"
#include "shared/model/json_decode.h"

#include "shared/base/banned.h"

#define CLUSTER_MAX_BYTES (16U * 1024 * 1024)
#define SUSPEND_MAX_S     3600

/* ---- clusterchange: parsed on a worker, applied on the loop ---- */

struct put_msg {
    struct loop_msg msg;
    struct http_req *req;
    struct cluster_meta *cluster; /* one reference */
};

static int apply_put(struct app *app, struct cluster_meta *cluster, struct xp_err *err)
{
    int rc = dc_store_put(app->store, cluster, loop_now(app->loop), err);
    if (rc == 0) {
        dc_fetch_changed(app->fetch);
    } else if (rc == XP_CONFLICT) {
        log_info("push.ignored", "why", err->msg);
        rc = 0; /* an older push that was repeated or overtaken: the newer one is in force */
    }
    return rc;
}

static int put_done(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    (void)req;
    (void)resp;
    (void)err;
    return 0;
}

static void put_deliver(struct loop_msg *msg)
{
    struct put_msg *m = CONTAINER_OF(msg, struct put_msg, msg);
    struct app *app = http_req_arg(m->req);
    struct http_resp resp = { 0 };
    struct xp_err err = { 0 };
    int64_t db_id = m->cluster->db_id;
    shard_request_is_the_consoles(m->req);
    int rc = apply_put(app, TAKE(m->cluster), &err);
    if (rc == 0) {
        rc = dispatch_multicast(m->req, &resp, db_id, put_done, &err);
    }
    if (rc != HTTP_LATER) {
        http_req_finish(m->req, rc, &resp, &err);
    }
    free(m);
}

static void put_drop(struct loop_msg *msg)
{
    struct put_msg *m = CONTAINER_OF(msg, struct put_msg, msg);
    struct http_resp resp = { 0 };
    struct xp_err err;
    http_req_finish(m->req, xp_fail(&err, XP_UNAVAILABLE, "shutting down"), &resp, &err);
    cluster_meta_unref(m->cluster);
    free(m);
}

static int parse_cluster(struct http_req *req, struct cluster_meta **ret_cluster,
                         struct xp_err *err)
{
    json_t *json = NULL;
    int rc = http_req_json(req, &json, err);
    if (rc == 0 && !json) {
        rc = xp_fail(err, XP_INVALID, "body: a ClusterMeta is required");
    }
    if (rc == 0) {
        rc = cluster_meta_from_json(json, ret_cluster, err);
    }
    json_decref(json);
    if (rc == 0 && !text_eq((*ret_cluster)->name, http_req_param(req, "cluster"))) {
        rc = xp_fail(err, XP_INVALID, "id: '%s' is not the cluster '%s' of the path",
                     (*ret_cluster)->name, http_req_param(req, "cluster"));
        cluster_meta_unref(TAKE(*ret_cluster));
    }
    return rc;
}

static int handle_cluster_put(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    (void)resp;
    struct app *app = http_req_arg(req);
    struct cluster_meta *cluster = NULL;
    int rc = parse_cluster(req, &cluster, err);
    if (rc != 0) {
        return rc;
    }
    struct put_msg *m = xcalloc(1, sizeof(*m));
    m->msg = (struct loop_msg){ .deliver = put_deliver, .drop = put_drop };
    m->req = req;
    m->cluster = cluster;
    rc = loop_post(app->loop, &m->msg, err);
    if (rc != 0) {
        cluster_meta_unref(cluster);
        free(m);
        return rc;
    }
    return HTTP_LATER;
}

/* ?version=N from our console; a Java one does not say it. */
static int deletion_version(const struct http_req *req, int64_t *ret_version, struct xp_err *err)
{
    const char *text = http_req_query(req, "version");
    *ret_version = 0;
    if (text && !text_to_i64(text, strlen(text), 1, INT64_MAX, ret_version)) {
        return xp_fail(err, XP_INVALID, "version: '%s' is not a version of the change log", text);
    }
    return 0;
}

static int local_cluster_delete(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    (void)resp;
    struct app *app = http_req_arg(req);
    const char *name = http_req_param(req, "cluster");
    bool was_there = dc_store_cluster(app->store, name) != NULL;
    int64_t version;
    int rc = deletion_version(req, &version, err);
    if (rc == 0) {
        rc = dc_store_remove(app->store, name, version, loop_now(app->loop), err);
    }
    if (rc == XP_CONFLICT) {
        log_info("push.ignored", "why", err->msg);
        return 0; /* overtaken: the cluster was made anew since */
    }
    if (rc == 0 && was_there) {
        log_info("cluster.deleted", "cluster", name, "version", log_int(version));
        dc_fetch_changed(app->fetch);
    }
    return rc;
}

/* Deleting what is not there is success: the console repeats a delete until it is confirmed. */
static int handle_cluster_delete(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct app *app = http_req_arg(req);
    const struct cluster_meta *cluster =
        dc_store_cluster(app->store, http_req_param(req, "cluster"));
    int64_t version;
    int rc = deletion_version(req, &version, err);
    if (rc != 0) {
        return rc; /* before any copy goes out */
    }
    shard_request_is_the_consoles(req);
    return dispatch_multicast(req, resp, cluster ? cluster->db_id : 0, local_cluster_delete, err);
}

/* ---- masters ---- */

/* RedisMeta, or an empty body while nothing is known: the CRDT master with its gid; of a one-way cluster the source, what the tree
 * of this DC pulls from ("keeper master"). */
static int local_current_master(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    struct app *app = http_req_arg(req);
    const char *cluster = http_req_param(req, "cluster");
    const char *shard = http_req_param(req, "shard");
    struct current_master master;
    struct upstream upstream;
    int rc = shard_request_check(req, err);
    if (rc != 0) {
        return rc;
    }
    if (master_board_get(app->board, cluster, shard, &master)) {
        http_resp_json(resp, redis_meta_to_json(&master.addr, master.gid));
    } else if (upstream_board_get(app->upstreams_board, cluster, shard, &upstream) &&
               !addr_is_none(&upstream.source)) {
        http_resp_json(resp, redis_meta_to_json(&upstream.source, 0));
    }
    return 0;
}

static int handle_current_master(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    return dispatch_forward(req, resp, local_current_master, err);
}

static void ask_if_peer(struct app *app, const char *dc, const char *cluster, const char *shard)
{
    const struct shard_duty *duty = shard_duty_of(shard_set_find(app->shards, cluster, shard));
    if (duty && shard_duty_has_peer(duty, dc)) {
        dc_links_ask(app->links, dc, cluster, shard);
    }
}

static int local_peer_change(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    (void)resp;
    int rc = shard_request_check(req, err);
    if (rc == 0) {
        AUTO_FREE char *dc = xstrdup(http_req_param(req, "dc"));
        text_lower(dc);
        ask_if_peer(http_req_arg(req), dc, http_req_param(req, "cluster"),
                    http_req_param(req, "shard"));
    }
    return rc;
}

static int handle_peer_change(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    return dispatch_forward(req, resp, local_peer_change, err);
}

/* ---- state and suspension ---- */

static int local_peers(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    return shard_request_state(req, resp, CLUSTER_BI_DIRECTION, err);
}

static int handle_peers(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    return dispatch_forward(req, resp, local_peers, err);
}

static int read_ttl(const struct http_req *req, int64_t *ret_ttl_s, struct xp_err *err)
{
    const char *text = http_req_query(req, "ttlSeconds");
    *ret_ttl_s = SUSPEND_MAX_S;
    if (text && !text_to_i64(text, strlen(text), 1, SUSPEND_MAX_S, ret_ttl_s)) {
        return xp_fail(err, XP_INVALID, "ttlSeconds: '%.20s' is not a number of 1..%d", text,
                       SUSPEND_MAX_S);
    }
    return 0;
}

static int local_correction(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    const char *word = http_req_param(req, "state");
    bool is_on = text_eq(word, "on");
    int64_t ttl_s = 0;
    if (!is_on && !text_eq(word, "off")) {
        return xp_fail(err, XP_INVALID, "'%.20s' must be 'on' or 'off'", word);
    }
    struct duty *duty = shard_request_duty(req, err);
    if (!duty) {
        return err->code;
    }
    int rc = read_ttl(req, &ttl_s, err);
    if (rc != 0) {
        return rc;
    }
    duty->class->suspend(duty, is_on ? 0 : ttl_s * 1000);
    log_info("correction.switched", "cluster", http_req_param(req, "cluster"), "shard",
             http_req_param(req, "shard"), "state", word, "ttl_s", log_int(is_on ? 0 : ttl_s), "by",
             http_req_peer(req));
    http_resp_json(resp, json_pack("{s:s, s:I}", "correction", word, "ttlSeconds",
                                   (json_int_t)(is_on ? 0 : ttl_s)));
    return 0;
}

static int handle_correction(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    return dispatch_forward(req, resp, local_correction, err);
}

/* ---- batches between DCs ---- */

static bool add_master(struct app *app, const struct shard_name *name, json_t *rows)
{
    struct current_master m;
    bool is_known = master_board_get(app->board, name->cluster, name->shard, &m);
    if (is_known) {
        (void)json_array_append_new(rows, json_pack("[s,s,i,s,i]", name->cluster, name->shard,
                                                    m.gid, m.addr.host, m.addr.port));
    }
    return is_known;
}

static int handle_peer_masters(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    static const struct shard_question question = {
        .path = "/api/meta/v2/peermasters",
        .rows = "masters",
        .add = add_master,
    };
    return shard_request_answer(req, resp, &question, err);
}

static void told_change(struct app *app, const char *dc, const struct shard_name *name)
{
    ask_if_peer(app, dc, name->cluster, name->shard);
}

static int local_peer_changes(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    (void)resp;
    return shard_request_notice(req, told_change, err);
}

static int handle_peer_changes(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    int rc = dispatch_copies(req, local_peer_changes, resp, err);
    if (rc == 0) {
        http_resp_json(resp, json_object());
    }
    return rc;
}

/* ---- the document ---- */

static int local_refresh(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    (void)resp;
    (void)err;
    struct app *app = http_req_arg(req);
    dc_fetch_now(app->fetch);
    return 0;
}

static int handle_refresh(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    int rc = dispatch_copies(req, local_refresh, resp, err);
    if (rc == 0) {
        http_resp_json(resp, json_pack("{s:b}", "accepted", 1));
    }
    return rc;
}

static int handle_quarantine(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    (void)err;
    struct app *app = http_req_arg(req);
    json_t *json = dc_store_quarantine_json(app->store);
    (void)json_object_set_new(json, "version", json_integer(dc_store_version(app->store)));
    (void)json_object_set_new(json, "lastError", jd_text(dc_fetch_last_error(app->fetch)));
    http_resp_json(resp, json);
    return 0;
}

static int local_accept(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    (void)resp;
    (void)err;
    struct app *app = http_req_arg(req);
    log_warn("document.accepted_by_operator", "by", http_req_peer(req), "held",
             log_int(dc_store_held_count(app->store)));
    dc_fetch_accept_once(app->fetch);
    return 0;
}

static int handle_accept(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    int rc = dispatch_copies(req, local_accept, resp, err);
    if (rc == 0) {
        http_resp_json(resp, json_pack("{s:b}", "accepted", 1));
    }
    return rc;
}

static int handle_links(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    (void)err;
    struct app *app = http_req_arg(req);
    http_resp_json(resp, dc_links_json(app->links));
    return 0;
}

/* clang-format off */
const struct http_route meta_cluster_routes[] = {
    { "POST", "/api/meta/clusterchange/{cluster}", handle_cluster_put, HTTP_ON_WORKER, CLUSTER_MAX_BYTES, "meta",
      "The console tells a new cluster" },
    { "PUT", "/api/meta/clusterchange/{cluster}", handle_cluster_put, HTTP_ON_WORKER, CLUSTER_MAX_BYTES, "meta",
      "The console tells a changed cluster" },
    { "DELETE", "/api/meta/clusterchange/{cluster}", handle_cluster_delete, HTTP_ON_LOOP, 4096, "meta",
      "The console tells a deleted cluster" },
    { "GET", "/api/meta/getcurrentmaster/{cluster}/{shard}", handle_current_master, HTTP_ON_LOOP, 0, "read",
      "Current CRDT master of this DC, or the source of a one-way shard; empty while unknown" },
    { "GET", "/api/meta/getpeermaster/{cluster}/{shard}", handle_current_master, HTTP_ON_LOOP, 0, "read",
      "The same, for metaservers of other DCs" },
    { "PUT", "/api/meta/upstreampeerchange/{dc}/{cluster}/{shard}", handle_peer_change, HTTP_ON_LOOP, 4096, "meta",
      "The master of a shard in another DC changed: ask for it now" },
    { "GET", "/api/meta/peers/{cluster}/{shard}", handle_peers, HTTP_ON_LOOP, 0, "read",
      "Masters and peers of a shard, wanted and actual, with verdict and plan" },
    { "GET", "/api/meta/v2/peers/{cluster}/{shard}", handle_peers, HTTP_ON_LOOP, 0, "read",
      "The same" },
    { "PUT", "/api/meta/correction/{cluster}/{shard}/{state}", handle_correction, HTTP_ON_LOOP, 4096, "admin",
      "Suspend (off, ttlSeconds=1..3600) or resume (on) the correction of a shard" },
    { "PUT", "/api/meta/v2/correction/{cluster}/{shard}/{state}", handle_correction, HTTP_ON_LOOP, 4096, "admin",
      "The same" },
    { "POST", "/api/meta/v2/peermasters", handle_peer_masters, HTTP_ON_WORKER, SHARD_QUESTION_MAX_BYTES, "read",
      "Current masters of up to 5,000 shards at once" },
    { "POST", "/api/meta/v2/peerchanges", handle_peer_changes, HTTP_ON_LOOP, SHARD_NOTICE_MAX_BYTES, "meta",
      "Masters of many shards in another DC changed" },
    { "POST", "/api/meta/v2/refresh", handle_refresh, HTTP_ON_LOOP, 4096, "meta",
      "Fetch the DC document now" },
    { "GET", "/api/meta/v2/quarantine", handle_quarantine, HTTP_ON_LOOP, 0, "read",
      "What the last DC document would have taken away and was held back" },
    { "POST", "/api/meta/v2/quarantine/accept", handle_accept, HTTP_ON_LOOP, 4096, "admin",
      "Apply the next DC document without brakes" },
    { "GET", "/api/meta/v2/links", handle_links, HTTP_ON_LOOP, 0, "read",
      "Conversations with the metaservers of other DCs about masters" },
    { .method = NULL },
};
/* clang-format on */
