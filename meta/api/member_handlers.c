/* member_handlers.c - this member, its slots, its health (metaserver.md 4.3: 15 to 20, 22, 23; 2.1 domain check). */
#include <string.h>

#include "meta/api/meta_routes.h"
#include "meta/app.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

static int get_server_id(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    (void)err;
    const struct app *app = http_req_arg(req);
    http_resp_json(resp, json_integer(app->config.metaserver_id));
    return 0;
}

static int get_cluster_info(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    (void)err;
    const struct app *app = http_req_arg(req);
    http_resp_json(
        resp, json_pack("{s:s, s:I}", "ip", app->ip, "port", (json_int_t)app->config.server_port));
    return 0;
}

/* ---- the leader's slot commands ---- */

static void on_slot_command(int rc, const struct xp_err *err, void *arg, uint64_t token)
{
    (void)token;
    struct http_resp resp = { 0 };
    http_req_finish(arg, rc, &resp, err);
}

static int run_slot_command(struct http_req *req, enum slot_command command, struct xp_err *err)
{
    struct app *app = http_req_arg(req);
    const char *text = http_req_param(req, "slot");
    int64_t slot;
    if (!text_to_i64(text, strlen(text), 0, SLOT_COUNT - 1, &slot)) {
        return xp_fail(err, XP_INVALID, "slot: '%.20s' is not a number of 0..%d", text,
                       SLOT_COUNT - 1);
    }
    struct slot_command_call call = {
        .command = command, .slot = (int)slot, .done = on_slot_command, .arg = req
    };
    int rc = sharding_slot_command(app->sharding, &call, err);
    return rc == 0 ? HTTP_LATER : rc;
}

#define SLOT_HANDLER(name, command)                                                                \
    static int name(struct http_req *req, struct http_resp *resp, struct xp_err *err)              \
    {                                                                                              \
        (void)resp;                                                                                \
        return run_slot_command(req, command, err);                                                \
    }
SLOT_HANDLER(post_add_slot, SLOT_ADD)
SLOT_HANDLER(post_delete_slot, SLOT_DELETE)
SLOT_HANDLER(post_export_slot, SLOT_EXPORT)
SLOT_HANDLER(post_import_slot, SLOT_IMPORT)
SLOT_HANDLER(post_notify_slot, SLOT_NOTIFY)

static int post_refresh(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    (void)resp;
    (void)err;
    struct app *app = http_req_arg(req);
    sharding_refresh(app->sharding);
    return 0;
}

/* ---- what this member works on ---- */

struct id_list {
    const struct app *app;
    json_t *ids;
};

static void add_if_owned(struct cluster_meta *cluster, void *arg)
{
    const struct id_list *list = arg;
    if (sharding_owns(list->app->sharding, slot_of_cluster(cluster->db_id),
                      loop_now(list->app->loop))) {
        (void)json_array_append_new(list->ids, json_integer(cluster->db_id));
    }
}

static int get_debug(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    (void)err;
    const struct app *app = http_req_arg(req);
    struct id_list list = { .app = app, .ids = json_array() };
    dc_store_each(app->store, add_if_owned, &list);
    json_t *debug = sharding_debug_json(app->sharding);
    (void)json_object_set_new(debug, "currentDc", json_string(app->dc));
    (void)json_object_set_new(debug, "inchargeClusters", list.ids);
    http_resp_json(resp, debug);
    return 0;
}

static int get_slots(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    (void)err;
    const struct app *app = http_req_arg(req);
    json_t *slots = json_array();
    for (int slot = 0; slot < SLOT_COUNT; slot++) {
        if (sharding_owns(app->sharding, slot, loop_now(app->loop))) {
            (void)json_array_append_new(slots, json_integer(slot));
        }
    }
    if (json_array_size(slots) == 0) { /* as x-pipe: null, not [] */
        json_decref(slots);
        slots = json_null();
    }
    http_resp_json(resp, slots);
    return 0;
}

static void add_shard(struct duty *duty, void *arg)
{
    struct addr master;
    bool is_known = duty->class->master(duty, &master);
    json_t *row = json_pack("{s:s, s:s, s:o}", "cluster", duty->cluster->name, "shard", duty->shard,
                            "master", is_known ? json_string(ADDR_TEXT(&master)) : json_null());
    (void)json_array_append_new(arg, row);
}

static int get_current_debug(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    (void)err;
    const struct app *app = http_req_arg(req);
    json_t *shards = json_array();
    shard_set_each(app->shards, add_shard, shards);
    http_resp_json(resp, json_pack("{s:I, s:s, s:I, s:I, s:o}", "server",
                                   (json_int_t)app->config.metaserver_id, "dc", app->dc, "clusters",
                                   (json_int_t)dc_store_count(app->store), "version",
                                   (json_int_t)dc_store_version(app->store), "shards", shards));
    return 0;
}

/* The names are x-pipe's thread pools; ours are one pool for requests and one for other DCs. */
static int get_resource(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    (void)err;
    const struct app *app = http_req_arg(req);
    json_int_t threads = (json_int_t)app->config.http_workers;
    json_int_t peer_threads = APP_PEER_THREADS;
    http_resp_json(resp, json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "httpThreads",
                                   threads, "httpThreadMax", threads, "httpQueueSize",
                                   (json_int_t)worker_pool_waiting(app->pool), "httpQueueCapacity",
                                   (json_int_t)APP_QUEUE_MAX, "replAdjustThreads", peer_threads,
                                   "replAdjustThreadMax", peer_threads, "replAdjustQueueSize",
                                   (json_int_t)worker_pool_waiting(app->peer_pool),
                                   "replAdjustQueueCapacity", (json_int_t)APP_QUEUE_MAX));
    return 0;
}

static int get_health(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    (void)req;
    (void)err;
    http_resp_json(resp, json_true());
    return 0;
}

/* ---- domain check ---- */

static int switch_domain_check(struct http_req *req, struct http_resp *resp, bool is_on)
{
    struct app *app = http_req_arg(req);
    __atomic_store_n(&app->validate_domain, is_on, __ATOMIC_RELAXED);
    http_resp_text(resp, 200, "text/plain;charset=UTF-8",
                   is_on ? "domain validation status:true" : "domain validation status:false");
    return 0;
}

static int stop_domain_check(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    (void)err;
    return switch_domain_check(req, resp, false);
}

static int start_domain_check(struct http_req *req, struct http_resp *resp, struct xp_err *err)
{
    (void)err;
    return switch_domain_check(req, resp, true);
}

/* clang-format off */
const struct http_route meta_member_routes[] = {
    { "GET", "/api/metacluster/serverid", get_server_id, HTTP_ON_LOOP, 0, "read", "Number of this member" },
    { "GET", "/api/metacluster/clusterinfo", get_cluster_info, HTTP_ON_LOOP, 0, "read", "Address of this member" },
    { "POST", "/api/metacluster/addslot/{slot}", post_add_slot, HTTP_ON_LOOP, 4096, "meta", "Leader: the slot is yours" },
    { "POST", "/api/metacluster/deleteslot/{slot}", post_delete_slot, HTTP_ON_LOOP, 4096, "meta",
      "Leader: the slot is not yours any more" },
    { "POST", "/api/metacluster/exportslot/{slot}", post_export_slot, HTTP_ON_LOOP, 4096, "meta",
      "Leader: stop working on the slot" },
    { "POST", "/api/metacluster/importslot/{slot}", post_import_slot, HTTP_ON_LOOP, 4096, "meta",
      "Leader: prepare to take the slot" },
    { "POST", "/api/metacluster/notifyslotchange/{slot}", post_notify_slot, HTTP_ON_LOOP, 4096, "meta",
      "Leader: read the record of the slot again" },
    { "GET", "/api/metacluster/debug", get_debug, HTTP_ON_LOOP, 0, "read", "Members, slots, leader, clusters in charge" },
    { "POST", "/api/metacluster/refresh", post_refresh, HTTP_ON_LOOP, 4096, "admin", "Read slots and servers again" },
    { "GET", "/api/current/slots", get_slots, HTTP_ON_LOOP, 0, "read", "Slots of this member, null when none" },
    { "GET", "/api/current/debug", get_current_debug, HTTP_ON_LOOP, 0, "read", "Shards this member works on" },
    { "GET", "/api/resource", get_resource, HTTP_ON_LOOP, 0, "read", "Threads and queues" },
    { "GET", "/health", get_health, HTTP_ON_LOOP, 0, "read", "true while the process lives" },
    { "*", "/stop/domain/check", stop_domain_check, HTTP_ON_LOOP, 4096, "admin", "Accept any Host header" },
    { "*", "/start/domain/check", start_domain_check, HTTP_ON_LOOP, 4096, "admin", "Check the Host header" },
    { .method = NULL },
};
/* clang-format on */
