/* meta_api_fuzz.c - one request to a metaserver that another member, another DC or anybody may send: the Host check, the
 * "forward" header, the two batches of names, masters by name. Input: see http_fuzz.h.
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
    member_list_free(app.members);
    loop_free(app.loop);
    http_table_free(table);
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
    app.store = dc_store_new(dc, &listener);
    app.board = master_board_new();
    app.members = member_list_new();
    app.shards = shard_set_new(app.store, NULL, 0);
    fuzz_must(dc_store_put(app.store, cluster_of(&row), 1, &err), &err);
    master_board_put(app.board, "c1", "s1", &master);
    fuzz_must(http_table_new(meta_route_tables, &table, &err), &err);
    (void)atexit(close_app);
}

/* What can be answered without a session, a fetch or a daemon. */
static bool is_runnable(const struct http_req *req)
{
    static const char *const paths[] = { "/api/meta/getcurrentmaster/", "/api/meta/getpeermaster/",
                                         "/api/meta/peers/", "/api/meta/upstreampeerchange/",
                                         "/api/meta/correction/" };
    if (text_eq(req->route->path, "/api/meta/v2/peermasters")) {
        return true;
    }
    bool is_one = text_eq(req->route->path, "/api/meta/v2/peerchanges");
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        is_one |= text_has_prefix(req->route->path, paths[i]);
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
