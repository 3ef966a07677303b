/* meta_api_fuzz.c - one request to a metaserver that another member, another DC or anybody may send: the Host check, the
 * "forward" header, the batches of names, masters and
 * keepers by name, what another DC says to pull from. Input: see http_fuzz.h.
 * Requests that need ZooKeeper (the owner of a slot) end before it: copies of other members are what runs here. */
#include "meta/api/dispatch.h"
#include "meta/api/meta_routes.h"
#include "shared/base/log.h"
#include "tests/fuzz/http_fuzz.h"
#include "tests/unit/dc_fixture.h"

#include "shared/base/banned.h"

static struct app app;
static struct http_table *table;

static void on_cluster(const struct cluster_meta *before, struct cluster_meta *after, void *arg)
{
    (void)before;
    (void)after;
    (void)arg;
}

static void on_routes(void *arg)
{
    (void)arg;
}

static void close_app(void)
{
    shard_set_free(app.shards);
    dc_store_free(app.store);
    master_board_free(app.board);
    upstream_board_free(app.upstreams_board);
    member_list_free(app.members);
    loop_free(app.loop);
    http_table_free(table);
}

/* A one-way cluster whose primary DC is the other one; no duty looks after it here, but its upstream is known. */
static void put_one_way(const char *name, int id)
{
    struct upstream upstream = {
        .place = TREE_BACKUP,
        .has_keepers = true,
        .has_active = true,
        .active = { .addr = addr_of("10.0.1.1", 6380), .priority = 1 },
        .source = addr_of("10.0.3.1", 6380),
        .offset = 7,
    };
    AUTO_FREE char *text = xasprintf(
        "{\"id\":\"%s\",\"dbId\":%d,\"type\":\"ONE_WAY\",\"activeDc\":\"fra\",\"backupDcs\":\"jq\","
        "\"shards\":{\"s1\":{\"id\":\"s1\",\"dbId\":%d,\"redises\":[],\"keepers\":[]}}}",
        name, id, id * 10);
    json_t *json = json_loads(text, 0, NULL);
    struct cluster_meta *cluster = NULL;
    struct xp_err err;
    fuzz_must(cluster_meta_from_json(json, &cluster, &err), &err);
    fuzz_must(dc_store_put(app.store, cluster, 1, &err), &err);
    json_decref(json);
    upstream_board_put(app.upstreams_board, name, "s1", &upstream);
}

static void open_app(void)
{
    static char dc[] = "jq";
    static char domain[] = "meta.jq.example";
    struct dc_listener listener = { .on_cluster = on_cluster, .on_routes = on_routes };
    struct cluster_row row = C("c1", 1);
    struct current_master master = { addr_of("10.0.1.1", 6379), 3 };
    struct xp_err err;
    log_set_level(LOG_LEVELS);
    app.config.metaserver_id = 1;
    app.config.dc = dc;
    app.domain = domain;
    app.validate_domain = true;
    app.loop = loop_new();
    app.store = dc_store_new(dc, 60000, &listener);
    app.board = master_board_new();
    app.upstreams_board = upstream_board_new();
    app.members = member_list_new();
    app.shards = shard_set_new(app.store, NULL, 0);
    fuzz_must(dc_store_put(app.store, cluster_of(&row), 1, &err), &err);
    master_board_put(app.board, "c1", "s1", &master);
    put_one_way("o1", 2);
    fuzz_must(http_table_new(meta_route_tables, &table, &err), &err);
    (void)atexit(close_app);
}

/* What can be answered without a session, a fetch or a daemon. */
static bool is_runnable(const struct http_req *req)
{
    static const char *const paths[] = {
        "/api/meta/getcurrentmaster/",   "/api/meta/getpeermaster/", "/api/meta/peers/",
        "/api/meta/upstreampeerchange/", "/api/meta/correction/",    "/api/meta/getactivekeeper/",
        "/api/meta/upstreamchange/",     "/api/meta/v2/tree/",
    };
    static const char *const anywhere[] = { "/api/meta/v2/peermasters", "/api/meta/v2/upstreams",
                                            "/api/meta/all/", "/api/meta/keeper/token/",
                                            "/api/current/keeper/token/" };
    const char *path = req->route->path;
    for (size_t i = 0; i < ARRAY_LEN(anywhere); i++) {
        if (text_has_prefix(path, anywhere[i])) {
            return true;
        }
    }
    bool is_one =
        text_eq(path, "/api/meta/v2/peerchanges") || text_eq(path, "/api/meta/v2/upstreamchanges");
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        is_one |= text_has_prefix(path, paths[i]);
    }
    return is_one && dispatch_is_multicast_copy(req);
}

static void answer(struct http_req *req)
{
    struct http_resp resp = { .status = 200 };
    struct xp_err err = { 0 };
    int rc = meta_on_request(req, req->route, &err);
    if (rc == 0 && is_runnable(req)) {
        rc = fuzz_run(req, &resp, &err);
    }
    if (rc < 0) {
        xp_check(rc != XP_INTERNAL && err.code == rc && err.msg[0]);
        resp.status = xp_code_info(rc)->http_status;
        meta_on_error(req, req->route, &err, &resp);
    }
    fuzz_check_answer(&resp);
    http_resp_done(&resp);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (!table) {
        open_app();
    }
    struct fuzz_input in = { (const char *)bytes, (const char *)bytes + size };
    struct http_req *req = fuzz_read_request(&in, &app);
    if (req && fuzz_find_route(req, table) == 0) {
        answer(req);
    }
    http_req_free_test(req);
    return 0;
}
