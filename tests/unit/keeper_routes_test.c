/* keeper_routes_test.c - the REST API of xpipe-meta about one-way clusters, without sockets and ZooKeeper. The duty of a shard is a
 * double (the functions of tree_duty.h below, in place of its library's): here is only what requests make of it. */
#include <stdio.h>
#include <string.h>

#include "meta/api/dispatch.h"
#include "meta/api/meta_routes.h"
#include "meta/keepers/tree_duty.h"
#include "meta/keepers/upstream_words.h"
#include "shared/base/log.h"
#include "tests/unit/unit.h"

#include "tests/unit/dc_fixture.h"

#include "shared/base/banned.h"

#define COPY "{\"type\":\"MULTICASTING\",\"forwardServers\":[2]}"

struct fixture {
    struct app app;
    struct worker_pool *pool;
    struct http_req *req;
};

/* ---- the double ---- */

struct tree_duty {
    struct duty base;
    bool is_backup;
    char told[128]; /* "dc ip:port offset" */
};

static void fake_free(struct duty *duty)
{
    duty_done(duty);
    free(duty);
}

static bool fake_leave(struct duty *duty, duty_quiet_fn *on_quiet, void *arg)
{
    (void)duty;
    (void)on_quiet;
    (void)arg;
    return false;
}

static json_t *fake_state(struct duty *duty)
{
    return json_pack("{s:s}", "head", duty->shard);
}

static const struct duty_class fake_class = {
    .name = "tree", .free = fake_free, .leave = fake_leave, .state = fake_state
};

struct tree_duty *tree_duty_of(struct duty *duty)
{
    return duty && duty->class == &fake_class ? CONTAINER_OF(duty, struct tree_duty, base) : NULL;
}

bool tree_duty_pulls_from(const struct tree_duty *duty, const char *dc)
{
    return duty->is_backup && text_eq(duty->base.cluster->active_dc, dc);
}

void tree_duty_upstream_told(struct tree_duty *duty, const char *dc, const struct addr *head,
                             int64_t offset)
{
    (void)snprintf(duty->told, sizeof(duty->told), "%s %s %lld", dc, ADDR_TEXT(head),
                   (long long)offset);
}

json_t *tree_duty_current_json(const struct tree_duty *duty)
{
    return json_pack("{s:s}", "current", duty->base.shard);
}

/* What a switchover asks: none is tested here. */
void tree_duty_look(struct tree_duty *duty)
{
    (void)duty;
}

void tree_duty_leave_sentinels(struct tree_duty *duty, int64_t ms)
{
    (void)duty, (void)ms;
}

void tree_duty_appoint(struct tree_duty *duty, const struct addr *master)
{
    (void)duty;
    (void)master;
}

void tree_duty_progress(const struct tree_duty *duty, struct tree_progress *ret_progress)
{
    (void)duty;
    *ret_progress = (struct tree_progress){ 0 };
}

bool tree_duty_active_keeper(const struct tree_duty *duty, struct addr *ret_addr,
                             bool *ret_is_linked, int64_t *ret_offset)
{
    (void)duty;
    (void)ret_addr;
    (void)ret_is_linked;
    (void)ret_offset;
    return false;
}

int tree_duty_living_keepers(const struct tree_duty *duty)
{
    (void)duty;
    return 0;
}

static struct duty *make_tree(void *env, struct cluster_meta *cluster, const char *shard)
{
    (void)env;
    struct tree_duty *duty = xcalloc(1, sizeof(*duty));
    duty_init(&duty->base, &fake_class, cluster, shard);
    duty->is_backup = strcmp(cluster->active_dc, "jq") != 0;
    return &duty->base;
}

/* Bi-direction shards have a duty as well, of another class. */
static const struct duty_class other_class = {
    .name = "other", .free = fake_free, .leave = fake_leave, .state = fake_state
};

static struct duty *make_other(void *env, struct cluster_meta *cluster, const char *shard)
{
    (void)env;
    struct duty *duty = xcalloc(1, sizeof(*duty));
    duty_init(duty, &other_class, cluster, shard);
    return duty;
}

/* ---- fixture: metaserver 1 of DC jq; c1 bi-direction, pri has its primary DC here, back has it in fra ---- */

static void on_cluster(const struct cluster_meta *before, struct cluster_meta *after, void *arg)
{
    struct app *app = arg;
    shard_set_cluster(app->shards, before, after);
}

static void on_routes(void *arg)
{
    (void)arg;
}

static void each_none(const char *dc, void (*add)(const char *, const char *, void *),
                      void *add_arg, void *arg)
{
    (void)dc;
    (void)add;
    (void)add_arg;
    (void)arg;
}

static void on_answer(const char *dc, const struct shard_name *name, const struct dc_answer *answer,
                      void *arg)
{
    (void)dc;
    (void)name;
    (void)answer;
    (void)arg;
}

static void put_one_way(struct app *app, const char *name, int id, const char *active,
                        const char *backups)
{
    AUTO_FREE char *text = xasprintf(
        "{\"id\":\"%s\",\"dbId\":%d,\"type\":\"ONE_WAY\",\"activeDc\":\"%s\",\"backupDcs\":\"%s\","
        "\"shards\":{\"s1\":{\"id\":\"s1\",\"dbId\":%d,\"redises\":[],\"keepers\":[]}}}",
        name, id, active, backups, id * 10);
    json_t *json = json_loads(text, 0, NULL);
    struct cluster_meta *cluster = NULL;
    assert_int_equal(cluster_meta_from_json(json, &cluster, NULL), 0);
    assert_int_equal(dc_store_put(app->store, cluster, 1, NULL), 0);
    json_decref(json);
}

static int open_app(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    struct app *app = &f->app;
    struct dc_listener listener = { .on_cluster = on_cluster, .on_routes = on_routes, .arg = app };
    const struct duty_maker makers[] = {
        { CLUSTER_ONE_WAY, make_tree, NULL },
        { CLUSTER_BI_DIRECTION, make_other, NULL },
    };
    app->config.metaserver_id = 1;
    app->dc = xstrdup("jq");
    app->domain = xstrdup("");
    app->loop = loop_new();
    f->pool = worker_pool_new(app->loop, "peers", 1, 10, NULL, NULL, NULL);
    app->store = dc_store_new("jq", 60000, &listener);
    app->board = master_board_new();
    app->upstreams_board = upstream_board_new();
    app->members = member_list_new();
    app->shards = shard_set_new(app->store, makers, ARRAY_LEN(makers));
    struct cluster_row row = C("c1", 1);
    assert_int_equal(dc_store_put(app->store, cluster_of(&row), 1, NULL), 0);
    put_one_way(app, "pri", 2, "jq", "fra");
    put_one_way(app, "back", 3, "FRA", "jq");
    put_one_way(app, "unowned", 4, "fra", "jq");
    for (int id = 1; id <= 3; id++) {
        assert_int_not_equal(slot_of_cluster(id), slot_of_cluster(4));
        shard_set_slot(app->shards, slot_of_cluster(id), true);
    }
    struct dc_links_options links = {
        .loop = app->loop,
        .pool = f->pool,
        .words = &upstream_words,
        .own_dc = "jq",
        .dcinfos = "{\"fra\":{\"metaServerAddress\":\"127.0.0.1:1\"}}",
        .refresh_ms = 60000,
        .each_shard = each_none,
        .on_answer = on_answer,
    };
    app->upstreams = dc_links_new(&links);
    *state = f;
    return 0;
}

static int close_app(void **state)
{
    struct fixture *f = *state;
    http_req_free_test(f->req);
    worker_pool_free(f->pool);
    shard_set_free(f->app.shards);
    dc_links_free(f->app.upstreams);
    dc_store_free(f->app.store);
    master_board_free(f->app.board);
    upstream_board_free(f->app.upstreams_board);
    member_list_free(f->app.members);
    loop_free(f->app.loop);
    free(f->app.dc);
    free(f->app.domain);
    free(f);
    return 0;
}

/* ---- one request ---- */

struct call {
    const char *method;
    const char *path; /* as in the table */
    const char *cluster;
    const char *shard;
    const char *ip;
    const char *port;
    const char *query; /* "?..." */
    const char *body;
};

#define CALL(m, p, c, s, ...)                                                                      \
    {                                                                                              \
        .method = (m), .path = (p), .cluster = (c), .shard = (s), __VA_ARGS__                      \
    }

static const struct http_route *route_of(const struct call *c)
{
    for (const struct http_route *r = meta_keeper_routes; r->method; r++) {
        if (strcmp(r->method, c->method) == 0 && strcmp(r->path, c->path) == 0) {
            return r;
        }
    }
    for (const struct http_route *r = meta_cluster_routes; r->method; r++) {
        if (strcmp(r->method, c->method) == 0 && strcmp(r->path, c->path) == 0) {
            return r;
        }
    }
    fail_msg("no route %s %s", c->method, c->path);
    return NULL;
}

static void set_param(struct http_req *req, const char *name, const char *value)
{
    if (value) {
        http_req_set_param_test(req, name, value);
    }
}

/* Handled by this member, as a copy is: which member does it otherwise is dispatch's question. "" expects an empty body. */
static void expect(struct fixture *f, const struct call *c, int rc, const char *text)
{
    AUTO_FREE char *target = xasprintf("/x%s", c->query ? c->query : "");
    http_req_free_test(f->req);
    f->req = http_req_new_test(c->method, target, c->body, &f->app);
    http_req_set_header_test(f->req, "forward", COPY);
    set_param(f->req, "cluster", c->cluster);
    set_param(f->req, "shard", c->shard);
    set_param(f->req, "ip", c->ip);
    set_param(f->req, "port", c->port);
    struct http_resp resp = { 0 };
    struct xp_err err = { 0 };
    assert_int_equal(route_of(c)->handler(f->req, &resp, &err), rc);
    AUTO_FREE char *got =
        resp.body ? xstrndup((const char *)resp.body->bytes, resp.body->len) : xstrdup(err.msg);
    if (!strstr(got, text) || (text[0] == '\0' && got[0] != '\0')) {
        fail_msg("%s %s: '%s' lacks '%s'", c->method, c->path, got, text);
    }
    http_resp_done(&resp);
}

static void put_upstream(struct fixture *f, const char *cluster, bool has_active)
{
    struct upstream u = {
        .place = TREE_PRIMARY,
        .has_keepers = true,
        .has_active = has_active,
        .active = { .addr = addr_of("10.0.1.1", 6380), .container_id = 7, .priority = 1 },
        .source = addr_of("10.0.1.9", 6379),
        .offset = 42,
    };
    upstream_board_put(f->app.upstreams_board, cluster, "s1", &u);
}

/* ---- 1: the active keeper ---- */

static void the_active_keeper(void **state)
{
    struct fixture *f = *state;
    struct call call = CALL("GET", "/api/meta/getactivekeeper/{cluster}/{shard}", "pri", "s1");
    expect(f, &call, 0, ""); /* not known */
    put_upstream(f, "pri", false);
    expect(f, &call, 0, ""); /* none lives */
    put_upstream(f, "pri", true);
    expect(f, &call, 0, "\"ip\":\"10.0.1.1\",\"port\":6380");
    expect(f, &call, 0, "\"active\":true,\"keeperContainerId\":7,\"priority\":1");
    call.cluster = "c1";
    expect(f, &call, XP_UNSUPPORTED, "cluster: c1, type: BI_DIRECTION not support keeper");
    call.shard = "s9";
    expect(f, &call, XP_NOT_FOUND, "unknown clusterId shardId c1 s9");
    call.cluster = "c9";
    expect(f, &call, XP_NOT_FOUND, "unknown clusterId c9");
}

/* ---- 8: the current master of a one-way shard ---- */

static void the_source_is_the_current_master(void **state)
{
    struct fixture *f = *state;
    struct call call = CALL("GET", "/api/meta/getcurrentmaster/{cluster}/{shard}", "pri", "s1");
    struct upstream none = { .place = TREE_PRIMARY, .offset = -1 };
    expect(f, &call, 0, "");
    upstream_board_put(f->app.upstreams_board, "pri", "s1", &none);
    expect(f, &call, 0, "");
    put_upstream(f, "pri", true);
    expect(f, &call, 0, "\"ip\":\"10.0.1.9\",\"port\":6379"); /* not the keeper */
    expect(f, &call, 0, "\"gid\":null");
}

/* ---- 9: the primary DC tells its head ---- */

static const char *told_of(struct fixture *f, const char *cluster)
{
    return tree_duty_of(shard_set_find(f->app.shards, cluster, "s1"))->told;
}

static void forget(struct fixture *f)
{
    tree_duty_of(shard_set_find(f->app.shards, "back", "s1"))->told[0] = '\0';
}

#define CHANGE "/api/meta/upstreamchange/{cluster}/{shard}/{ip}/{port}"

static void a_told_head_reaches_the_duty(void **state)
{
    struct fixture *f = *state;
    struct call call =
        CALL("PUT", CHANGE, "back", "s1", .ip = "10.0.3.1", .port = "6380", .query = "?dcName=fra");
    expect(f, &call, 0, "");
    assert_string_equal(told_of(f, "back"), "fra 10.0.3.1:6380 -1");
    call.query = "?dcName=FRA";
    call.ip = "fd00::1";
    expect(f, &call, 0, "");
    assert_string_equal(told_of(f, "back"), "fra [fd00::1]:6380 -1");
    forget(f);
    call.query = NULL; /* older ones do not say who they are */
    expect(f, &call, 0, "");
    assert_string_equal(told_of(f, "back"), "fra [fd00::1]:6380 -1");
}

static void a_told_head_that_does_not_count(void **state)
{
    struct fixture *f = *state;
    struct call call =
        CALL("PUT", CHANGE, "back", "s1", .ip = "10.0.3.1", .port = "6380", .query = "?dcName=jq");
    expect(f, &call, 0, ""); /* not from the primary DC */
    call.query = "?dcName=oy";
    expect(f, &call, 0, "");
    assert_string_equal(told_of(f, "back"), "");
    call.query = "?dcName=fra";
    call.cluster = "pri"; /* this DC is primary */
    expect(f, &call, 0, "");
    call.query = "?dcName=jq";
    expect(f, &call, 0, "");
    assert_string_equal(told_of(f, "pri"), "");
    call.cluster = "unowned"; /* no valid lease here */
    call.query = "?dcName=fra";
    expect(f, &call, 0, "");
    call.cluster = "c1"; /* bi-direction */
    expect(f, &call, 0, "");
    call.cluster = "back";
    call.shard = "s9";
    expect(f, &call, XP_NOT_FOUND, "unknown clusterId shardId back s9");
}

static void a_told_head_must_be_an_address(void **state)
{
    struct fixture *f = *state;
    static const char *const ips[] = { "0.0.0.0", "::",        "224.0.0.1", "keeper.example", "no",
                                       "1.2.3",   "10.0.3.1 ", "[::1]",     "1.2.3.4;" };
    static const char *const ports[] = { "0", "65536", "5000000000", "-1", "6380x", "", "1e3" };
    struct call call =
        CALL("PUT", CHANGE, "back", "s1", .ip = NULL, .port = "6380", .query = "?dcName=fra");
    for (size_t i = 0; i < ARRAY_LEN(ips); i++) {
        call.ip = ips[i];
        expect(f, &call, XP_INVALID, "ip: ");
    }
    call.ip = "10.0.3.1";
    for (size_t i = 0; i < ARRAY_LEN(ports); i++) {
        call.port = ports[i];
        expect(f, &call, XP_INVALID, "port: ");
    }
    assert_string_equal(told_of(f, "back"), "");
}

/* ---- 13 and the state ---- */

static void the_current_state_of_a_shard(void **state)
{
    struct fixture *f = *state;
    struct call call = CALL("GET", "/api/meta/all/{cluster}/{shard}", "pri", "s1");
    expect(f, &call, 0, "{\"current\":\"s1\"}");
    call.cluster = "unowned";
    expect(f, &call, 0, "");
    call.cluster = "c1";
    expect(f, &call, 0, "");
    call.cluster = "c9";
    expect(f, &call, XP_NOT_FOUND, "unknown clusterId shardId c9 s1");
}

static void the_tree_and_the_peers(void **state)
{
    struct fixture *f = *state;
    struct call tree = CALL("GET", "/api/meta/v2/tree/{cluster}/{shard}", "back", "s1");
    struct call peers = CALL("GET", "/api/meta/v2/peers/{cluster}/{shard}", "c1", "s1");
    expect(f, &tree, 0, "{\"head\":\"s1\",\"server\":1}");
    expect(f, &peers, 0, "{\"head\":\"s1\",\"server\":1}");
    tree.cluster = "c1";
    expect(f, &tree, XP_UNSUPPORTED, "cluster 'c1' is of type BI_DIRECTION, this is about ONE_WAY");
    peers.cluster = "pri";
    expect(f, &peers, XP_UNSUPPORTED, "this is about BI_DIRECTION");
    tree.cluster = "unowned";
    expect(f, &tree, XP_UNSUPPORTED, "no valid lease");
    tree.cluster = "c9";
    expect(f, &tree, XP_NOT_FOUND, "unknown clusterId c9");
}

/* ---- batches ---- */

static void many_upstreams_at_once(void **state)
{
    struct fixture *f = *state;
    struct call call = { .method = "POST", .path = "/api/meta/v2/upstreams" };
    put_upstream(f, "pri", true);
    call.body = "{\"dc\":\"fra\",\"shards\":[[\"pri\",\"s1\"],[\"back\",\"s1\"],[\"x\",\"y\"]]}";
    expect(f, &call, 0,
           "{\"upstreams\":[{\"cluster\":\"pri\",\"shard\":\"s1\",\"place\":\"primary\","
           "\"hasKeepers\":true,\"activeKeeper\":{\"id\":null,\"ip\":\"10.0.1.1\",\"port\":6380,");
    expect(f, &call, 0, "\"master\":{\"ip\":\"10.0.1.9\",\"port\":6379},\"offset\":42}]}");
    put_upstream(f, "pri", false);
    expect(f, &call, 0, "\"activeKeeper\":null");
    call.body = "{\"shards\":[]}";
    expect(f, &call, 0, "{\"upstreams\":[]}");
    static const char *const bad[] = { NULL, "[]", "{\"shards\":7}", "{\"shards\":[[\"c1\"]]}",
                                       "{\"shards\":[{\"cluster\":\"c\",\"shard\":\"s\"}]}" };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        call.body = bad[i];
        expect(f, &call, XP_INVALID, "shards");
    }
}

static int64_t asking(struct fixture *f)
{
    json_t *all = dc_links_json(f->app.upstreams);
    int64_t n = json_integer_value(json_object_get(json_object_get(all, "fra"), "asking"));
    json_decref(all);
    return n;
}

static void a_notice_makes_the_backup_dc_ask(void **state)
{
    struct fixture *f = *state;
    struct call call = { .method = "POST", .path = "/api/meta/v2/upstreamchanges" };
    call.body = "{\"shards\":[[\"back\",\"s1\"]]}";
    expect(f, &call, XP_INVALID, "dc:");
    /* from a DC that is not primary; of a shard that is primary here, is not one-way, not ours, unknown */
    call.body = "{\"dc\":\"oy\",\"shards\":[[\"back\",\"s1\"]]}";
    expect(f, &call, 0, "{}");
    call.body = "{\"dc\":\"fra\",\"shards\":[[\"pri\",\"s1\"],[\"c1\",\"s1\"],[\"unowned\",\"s1\"],"
                "[\"c9\",\"s1\"],[\"back\",\"s9\"]]}";
    expect(f, &call, 0, "{}");
    assert_int_equal(asking(f), 0);
    call.body = "{\"dc\":\"FRA\",\"shards\":[[\"back\",\"s1\"]]}";
    expect(f, &call, 0, "{}");
    assert_int_equal(asking(f), 1);
    assert_string_equal(told_of(f, "back"), ""); /* nothing is believed, it is asked for */
    struct call links = { .method = "GET", .path = "/api/meta/v2/upstreamlinks" };
    expect(f, &links, 0, "{\"fra\":{\"address\":\"http://127.0.0.1:1\"");
}

/* ---- 14: tokens ---- */

static void keeper_containers_ask_for_tokens(void **state)
{
    struct fixture *f = *state;
    struct call call = { .method = "POST", .path = "/api/meta/keeper/token/status" };
    call.body = "{\"keeperContainerMeta\":{\"id\":1},\"keeperNum\":3,\"acked\":false}";
    expect(f, &call, 0, "{\"tokenSize\":8}");
    call.path = "/api/current/keeper/token/status";
    expect(f, &call, 0, "{\"tokenSize\":10}");
    call.body = NULL;
    expect(f, &call, 0, "{\"tokenSize\":10}");
}

#define T(f) cmocka_unit_test_setup_teardown(f, open_app, close_app)

int main(void)
{
    log_set_level(LOG_LEVELS);
    const struct CMUnitTest tests[] = {
        T(the_active_keeper),
        T(the_source_is_the_current_master),
        T(a_told_head_reaches_the_duty),
        T(a_told_head_that_does_not_count),
        T(a_told_head_must_be_an_address),
        T(the_current_state_of_a_shard),
        T(the_tree_and_the_peers),
        T(many_upstreams_at_once),
        T(a_notice_makes_the_backup_dc_ask),
        T(keeper_containers_ask_for_tokens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
