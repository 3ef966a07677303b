/* dispatch.c - see dispatch.h. */
#include "meta/api/dispatch.h"

#include <string.h>

#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/model/json_decode.h"

#include "shared/base/banned.h"

#define HOPS_MAX         16
#define ANSWER_MAX_BYTES (8U * 1024 * 1024)
#define COPY_TIMEOUT_MS  2000 /* a member that hangs must not delay the owner's answer for long */

enum hop_type { HOP_NONE, HOP_FORWARD, HOP_MULTICAST, HOP_MOVING };

struct hops { /* the header 'forward' */
    enum hop_type type;
    int64_t servers[HOPS_MAX];
    size_t count;
};

static enum hop_type type_of(const char *text)
{
    if (text_eq(text, "FORWARD")) {
        return HOP_FORWARD;
    }
    if (text_eq(text, "MULTICASTING")) {
        return HOP_MULTICAST;
    }
    return text_eq(text, "MOVING") ? HOP_MOVING : HOP_NONE;
}

/* A header that cannot be read counts as absent; the hop limit still ends a circle. */
static void read_hops(const struct http_req *req, struct hops *ret_hops)
{
    *ret_hops = (struct hops){ 0 };
    const char *text = http_req_header(req, "forward");
    json_t *json = NULL;
    struct xp_err ignored;
    if (!text || jd_parse(text, strlen(text), &json, &ignored) != 0) {
        return;
    }
    ret_hops->type = type_of(json_string_value(json_object_get(json, "type")));
    size_t i;
    json_t *id;
    json_array_foreach (json_object_get(json, "forwardServers"), i, id) {
        if (ret_hops->count < HOPS_MAX && json_is_integer(id)) {
            ret_hops->servers[ret_hops->count++] = json_integer_value(id);
        }
    }
    json_decref(json);
}

static bool was_here(const struct hops *hops, int64_t me)
{
    for (size_t i = 0; i < hops->count; i++) {
        if (hops->servers[i] == me) {
            return true;
        }
    }
    return false;
}

static char *hops_text(const struct hops *hops, const char *type, int64_t me)
{
    json_t *servers = json_array();
    for (size_t i = 0; i < hops->count; i++) {
        (void)json_array_append_new(servers, json_integer(hops->servers[i]));
    }
    (void)json_array_append_new(servers, json_integer(me));
    json_t *json = json_pack("{s:s, s:o}", "type", type, "forwardServers", servers);
    char *text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    return text;
}

bool dispatch_is_multicast_copy(const struct http_req *req)
{
    struct hops hops;
    read_hops(req, &hops);
    return hops.type == HOP_MULTICAST;
}

char *dispatch_multicast_header(const struct app *app)
{
    struct hops none = { 0 };
    AUTO_FREE char *text = hops_text(&none, "MULTICASTING", app->config.metaserver_id);
    return xasprintf("forward: %s", text);
}

/* ---- sending on ---- */

static void on_answer(int rc, const struct http_reply *reply, const struct xp_err *err, void *arg,
                      uint64_t token)
{
    (void)token;
    struct http_req *req = arg;
    struct http_resp resp = { 0 };
    if (rc == 0) {
        resp.status = reply->status;
        http_resp_blob(&resp, blob_new(xstrndup(reply->body, reply->length), reply->length));
    }
    http_req_finish(req, rc, &resp, err);
}

static void on_copy(int rc, const struct http_reply *reply, const struct xp_err *err, void *arg,
                    uint64_t token)
{
    (void)arg;
    if (rc != 0 || reply->status != 200) {
        log_warn("dispatch.copy_failed", "member", log_int((int64_t)token), "error",
                 rc != 0 ? err->msg : reply->body);
    }
}

struct send_to {
    struct http_client *client;
    const struct server_info *server;
    const char *header; /* whole "forward: ..." */
    int64_t timeout_ms;
    http_done_fn *done;
    void *arg;
};

static int send_on(struct app *app, struct http_req *req, const struct send_to *to,
                   struct xp_err *err)
{
    size_t length;
    const char *body = http_req_body(req, &length);
    AUTO_FREE char *url =
        xasprintf("http://%s%s", ADDR_TEXT(&to->server->addr), http_req_target(req));
    AUTO_FREE char *id = xasprintf("X-Request-Id: %s", http_req_id(req));
    struct http_call call = {
        .method = http_req_method(req),
        .url = url,
        .body = length > 0 ? body : NULL,
        .body_length = length,
        .headers = { "Content-Type: application/json", to->header, id },
        .connect_timeout_ms = app->config.member_connect_timeout_ms,
        .timeout_ms = to->timeout_ms,
        .max_reply_bytes = ANSWER_MAX_BYTES,
    };
    return http_send(to->client, &call, to->done, to->arg, (uint64_t)to->server->id, err);
}

static int fail_circular(const struct hops *hops, int64_t me, struct xp_err *err)
{
    CLEANUP(str_done) struct str servers = STR_INIT(1024);
    for (size_t i = 0; i < hops->count; i++) {
        str_printf(&servers, "%s%lld", i ? ", " : "", (long long)hops->servers[i]);
    }
    static const char *const types[] = { "null", "FORWARD", "MULTICASTING", "MOVING" };
    return xp_fail(err, XP_CONFLICT, "forwardinfo:type:%s, fromServers:[%s], currentServer:%lld",
                   types[hops->type], str_text(&servers), (long long)me);
}

static int find_owner(struct app *app, int64_t db_id, const char *cluster,
                      struct server_info *ret_owner, struct xp_err *err)
{
    switch (sharding_owner(app->sharding, slot_of_cluster(db_id), ret_owner)) {
    case SHARDING_OWNER_FOUND:
        return 0;
    case SHARDING_OWNER_NO_SLOT:
        return xp_fail(err, XP_NOT_OWNER, "clusterDbId:%lld, unfound server", (long long)db_id);
    case SHARDING_OWNER_NOT_REGISTERED:
        break;
    }
    return xp_fail(err, XP_NOT_OWNER, "ServerId:%lld unfound for cluster:%s, currentServer:%lld",
                   (long long)ret_owner->id, cluster, (long long)app->config.metaserver_id);
}

static int forward_to(struct app *app, struct http_req *req, const struct server_info *owner,
                      const struct hops *hops, struct xp_err *err)
{
    if (was_here(hops, app->config.metaserver_id) || hops->count == HOPS_MAX) {
        return fail_circular(hops, app->config.metaserver_id, err);
    }
    AUTO_FREE char *text = hops_text(hops, "FORWARD", app->config.metaserver_id);
    AUTO_FREE char *header = xasprintf("forward: %s", text);
    struct send_to to = {
        .client = app->calls,
        .server = owner,
        .header = header,
        .timeout_ms = app->config.member_timeout_ms,
        .done = on_answer,
        .arg = req,
    };
    int rc = send_on(app, req, &to, err);
    return rc == 0 ? HTTP_LATER : rc;
}

int dispatch_forward(struct http_req *req, struct http_resp *resp, http_handler *local,
                     struct xp_err *err)
{
    struct app *app = http_req_arg(req);
    const char *name = http_req_param(req, "cluster");
    const struct cluster_meta *cluster = dc_store_cluster(app->store, name);
    if (!cluster) {
        return xp_fail(err, XP_NOT_FOUND, "unknown clusterId %s", name);
    }
    struct hops hops;
    read_hops(req, &hops);
    if (hops.type == HOP_MULTICAST) {
        return local(req, resp, err);
    }
    struct server_info owner = { 0 };
    int rc = find_owner(app, cluster->db_id, name, &owner, err);
    if (rc != 0) {
        return rc;
    }
    bool is_mine = owner.id == app->config.metaserver_id;
    if (hops.type == HOP_MOVING && !is_mine) {
        return xp_fail(err, XP_NOT_OWNER, "slot of cluster '%s' is not moving here", name);
    }
    return is_mine ? local(req, resp, err) : forward_to(app, req, &owner, &hops, err);
}

/* Copies to every other member but 'except'; failures are logged, the periodic fetch repairs them. */
static void send_copies(struct app *app, struct http_req *req, int64_t except)
{
    size_t count;
    const struct server_info *servers = sharding_servers(app->sharding, &count);
    AUTO_FREE char *header = dispatch_multicast_header(app);
    for (size_t i = 0; i < count; i++) {
        if (servers[i].id == app->config.metaserver_id || servers[i].id == except) {
            continue;
        }
        struct send_to to = { .client = app->copies,
                              .server = &servers[i],
                              .header = header,
                              .timeout_ms = COPY_TIMEOUT_MS,
                              .done = on_copy };
        struct xp_err err;
        if (send_on(app, req, &to, &err) != 0) {
            log_warn("dispatch.copy_failed", "member", log_int(servers[i].id), "error", err.msg);
        }
    }
}

int dispatch_multicast(struct http_req *req, struct http_resp *resp, int64_t db_id,
                       http_handler *local, struct xp_err *err)
{
    struct app *app = http_req_arg(req);
    struct hops hops;
    read_hops(req, &hops);
    if (hops.type == HOP_MULTICAST) {
        return local(req, resp, err);
    }
    struct server_info owner = { 0 };
    struct xp_err unowned;
    bool is_elsewhere =
        find_owner(app, db_id, http_req_param(req, "cluster"), &owner, &unowned) == 0 &&
        owner.id != app->config.metaserver_id && !was_here(&hops, app->config.metaserver_id);
    send_copies(app, req, is_elsewhere ? owner.id : 0);
    int rc = local(req, resp, err);
    if (!is_elsewhere || rc != 0) {
        return rc;
    }
    http_resp_done(resp);
    AUTO_FREE char *header = dispatch_multicast_header(app);
    struct send_to to = {
        .client = app->calls,
        .server = &owner,
        .header = header,
        .timeout_ms = app->config.member_timeout_ms,
        .done = on_answer,
        .arg = req,
    };
    rc = send_on(app, req, &to, err);
    return rc == 0 ? HTTP_LATER : rc;
}

/* ---- the owner first ---- */

struct owner_call {
    struct http_req *req;
    const struct dispatch_change *change;
};

static bool says_changed(const struct owner_call *call, const struct http_reply *reply)
{
    json_t *json = NULL;
    struct xp_err ignored;
    bool is_readable = reply->status == 200 && reply->length > 0 &&
                       jd_parse(reply->body, reply->length, &json, &ignored) == 0;
    bool is_so = is_readable && call->change->is_changed(call->req, json);
    json_decref(json);
    return is_so;
}

static void on_owner_answer(int rc, const struct http_reply *reply, const struct xp_err *err,
                            void *arg, uint64_t token)
{
    struct owner_call *call = arg;
    if (rc == 0 && says_changed(call, reply)) {
        call->change->at_member(call->req);
        send_copies(http_req_arg(call->req), call->req, (int64_t)token);
    }
    on_answer(rc, reply, err, call->req, token);
    free(call);
}

void dispatch_changed(struct http_req *req)
{
    if (!dispatch_is_multicast_copy(req)) {
        send_copies(http_req_arg(req), req, 0);
    }
}

static int ask_owner(struct app *app, struct http_req *req, const struct server_info *owner,
                     const struct dispatch_change *change, struct xp_err *err)
{
    AUTO_FREE char *header = dispatch_multicast_header(app);
    struct owner_call *call = xcalloc(1, sizeof(*call));
    *call = (struct owner_call){ .req = req, .change = change };
    struct send_to to = {
        .client = app->calls,
        .server = owner,
        .header = header,
        .timeout_ms = app->config.member_timeout_ms,
        .done = on_owner_answer,
        .arg = call,
    };
    int rc = send_on(app, req, &to, err);
    if (rc != 0) {
        free(call);
    }
    return rc == 0 ? HTTP_LATER : rc;
}

int dispatch_owner_first(struct http_req *req, struct http_resp *resp,
                         const struct dispatch_change *change, struct xp_err *err)
{
    struct app *app = http_req_arg(req);
    const char *name = http_req_param(req, "cluster");
    const struct cluster_meta *cluster = dc_store_cluster(app->store, name);
    struct server_info owner = { 0 };
    if (!cluster) {
        return xp_fail(err, XP_NOT_FOUND, "unknown clusterId %s", name);
    }
    int rc = find_owner(app, cluster->db_id, name, &owner, err);
    bool is_mine = rc == 0 && owner.id == app->config.metaserver_id;
    if (is_mine) {
        return change->at_owner(req, resp, err);
    }
    if (dispatch_is_multicast_copy(req)) {
        return change->at_other(req, resp, err);
    }
    return rc == 0 ? ask_owner(app, req, &owner, change, err) : rc;
}

int dispatch_copies(struct http_req *req, http_handler *local, struct http_resp *resp,
                    struct xp_err *err)
{
    if (!dispatch_is_multicast_copy(req)) {
        send_copies(http_req_arg(req), req, 0);
    }
    return local(req, resp, err);
}
