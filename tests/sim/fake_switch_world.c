/* fake_switch_world.c - see fake_switch_world.h */
#include "tests/sim/fake_switch_world.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "tests/sim/fake_loop.h"
#include "tests/sim/fake_rconn.h"
#include "tests/unit/unit.h"

#include "shared/base/banned.h"

struct switch_world switch_world;

static struct switch_world *const w = &switch_world;

/* ---- runs ---- */

struct fence_run *fence_run_start(const struct fence_options *o)
{
    struct fence_run *run = xcalloc(1, sizeof(*run));
    run->o = *o;
    list_push_back(&w->fences, &run->link);
    w->started++;
    return run;
}

void fence_run_free(struct fence_run *run)
{
    if (run) {
        list_remove(&run->link);
        free(run);
    }
}

bool fence_run_seen(const struct fence_run *run, size_t index, struct addr *ret_redis,
                    struct fence_saved *ret_saved)
{
    (void)run;
    if (index >= REDIS || !w->is_seen[index]) {
        return false;
    }
    *ret_redis = addr_of("10.0.1.1", FIRST_PORT + (int)index);
    *ret_saved = (struct fence_saved){ .is_known = true, .min_slaves = w->own[index] };
    return true;
}

struct promote_run *promote_run_start(const struct promote_options *o)
{
    struct promote_run *run = xcalloc(1, sizeof(*run));
    run->o = *o;
    list_push_back(&w->promotions, &run->link);
    w->started++;
    return run;
}

void promote_run_free(struct promote_run *run)
{
    if (run) {
        list_remove(&run->link);
        free(run);
    }
}

/* ---- ZooKeeper ---- */

void switch_record_get(struct switch_records *s, int64_t cluster_id, int64_t shard_id,
                       int64_t timeout_ms, switch_record_fn *done, void *arg)
{
    (void)s, (void)cluster_id, (void)shard_id, (void)timeout_ms;
    assert_null(w->asked.done);
    w->asked.done = done;
    w->asked.arg = arg;
    w->asked.is_put = false;
    w->asked.record = w->node; /* as it is now */
}

void switch_record_put(struct switch_records *s, int64_t cluster_id, int64_t shard_id,
                       const struct switch_record *record, int64_t timeout_ms,
                       switch_record_fn *done, void *arg)
{
    (void)s, (void)cluster_id, (void)shard_id, (void)timeout_ms;
    assert_null(w->asked.done);
    w->asked.done = done;
    w->asked.arg = arg;
    w->asked.is_put = true;
    w->asked.record = *record;
}

void switch_records_forget(struct switch_records *s, const void *arg)
{
    (void)s;
    if (w->asked.arg == arg) {
        w->asked.done = NULL;
    }
}

void switch_world_zk_answers(int rc)
{
    switch_record_fn *done = TAKE(w->asked.done);
    assert_non_null(done);
    if (rc == 0 && w->asked.is_put && w->asked.record.version != w->node.version) {
        rc = XP_CONFLICT;
    }
    if (rc == 0 && w->asked.is_put) {
        int32_t version = w->node.version + 1;
        w->node = w->asked.record;
        w->node.version = version;
        w->puts++;
    }
    struct switch_record record = rc == 0 && w->asked.is_put ? w->node : w->asked.record;
    done(rc, &record, w->asked.arg);
}

/* ---- the tree ---- */

void tree_duty_appoint(struct tree_duty *duty, const struct addr *master)
{
    (void)duty;
    w->appointed = *master;
    w->appointments++;
}

void tree_duty_leave_sentinels(struct tree_duty *duty, int64_t ms)
{
    (void)duty, (void)ms;
    w->sentinels_left++;
}

void tree_duty_look(struct tree_duty *duty)
{
    (void)duty;
}

void tree_duty_progress(const struct tree_duty *duty, struct tree_progress *ret_progress)
{
    (void)duty;
    *ret_progress = (struct tree_progress){ .living = 2, .right = 1, .why = "not yet" };
}

int tree_duty_living_keepers(const struct tree_duty *duty)
{
    (void)duty;
    return 0;
}

bool tree_duty_active_keeper(const struct tree_duty *duty, struct addr *ret_addr,
                             bool *ret_is_linked, int64_t *ret_offset)
{
    (void)duty, (void)ret_addr, (void)ret_is_linked, (void)ret_offset;
    return false;
}

static struct tree_duty *tree_of(const char *cluster, const char *shard, void *arg)
{
    (void)cluster, (void)shard;
    return arg;
}

static int may_command(const struct cluster_meta *cluster, void *arg, struct xp_err *err)
{
    (void)cluster, (void)arg, (void)err;
    return 0;
}

/* ---- Redis ---- */

static struct rreply *text_reply(enum rreply_type type, const char *text)
{
    return rreply_new_text(type, text, strlen(text));
}

static struct rreply *pair(const char *name, const char *value)
{
    struct rreply *items[] = { text_reply(RREPLY_BULK, name), text_reply(RREPLY_BULK, value) };
    return rreply_new_array(items, ARRAY_LEN(items));
}

static struct rreply *role_of_replica(void)
{
    struct rreply *items[] = { text_reply(RREPLY_BULK, "slave"),
                               text_reply(RREPLY_BULK, "10.9.9.9"), rreply_new_integer(6379),
                               text_reply(RREPLY_BULK, "connected"), rreply_new_integer(100) };
    return rreply_new_array(items, ARRAY_LEN(items));
}

static struct rreply *role_of_master(void)
{
    struct rreply *items[] = { text_reply(RREPLY_BULK, "master"), rreply_new_integer(100),
                               rreply_new_array(NULL, 0) };
    return rreply_new_array(items, ARRAY_LEN(items));
}

static void set(struct switch_redis *r, const char *name, const char *value)
{
    r->changes++;
    if (text_eq(name, "min-slaves-to-write")) {
        int64_t number;
        assert_true(text_to_i64(value, strlen(value), 0, INT32_MAX, &number));
        r->min_slaves = number;
    } else if (text_eq(name, "slave-read-only")) {
        r->is_read_only = text_eq(value, "yes");
    }
}

static struct rreply *on_command(const struct addr *addr, size_t argc, const char *const *argv,
                                 void *arg)
{
    (void)arg;
    assert_in_range(addr->port, FIRST_PORT, FIRST_PORT + REDIS - 1);
    struct switch_redis *r = &w->redis[addr->port - FIRST_PORT];
    AUTO_FREE char *min_slaves = xasprintf("%lld", (long long)r->min_slaves);
    if (text_eq(argv[0], "ROLE")) {
        return r->follows ? role_of_replica() : role_of_master();
    }
    if (argc == 3 && text_eq(argv[1], "GET")) {
        return text_eq(argv[2], "slave-read-only") ? pair(argv[2], r->is_read_only ? "yes" : "no")
                                                   : pair(argv[2], min_slaves);
    }
    if (argc == 4 && text_eq(argv[1], "SET")) {
        set(r, argv[2], argv[3]);
    }
    return text_reply(RREPLY_STATUS, "OK");
}

/* ---- the world ---- */

void switch_world_told(const struct switch_answer *a, void *arg)
{
    (void)arg;
    assert_true(w->answers < ANSWERS_MAX);
    struct switch_told *t = &w->told[w->answers++];
    *t = (struct switch_told){ .step = a->step, .rc = a->rc };
    if (a->rc != 0) {
        (void)snprintf(t->text, sizeof(t->text), "%s", a->err->msg);
    }
    if (a->fence) {
        t->fence = a->fence->state;
    }
    if (a->change) {
        t->is_success = a->change->is_success;
        t->is_stale = a->change->is_stale;
        t->new_master = a->change->new_master;
    }
}

void switch_world_document(const char *active, const char *status, int version)
{
    const char *backup = text_eq(active, "jq") ? "fra" : "jq";
    AUTO_FREE char *text = xasprintf(
        "{\"id\":\"c1\",\"dbId\":7,\"version\":%d,\"type\":\"ONE_WAY\",\"activeDc\":\"%s\","
        "\"backupDcs\":\"%s\",\"status\":\"%s\",\"shards\":{\"s1\":{\"id\":\"s1\",\"dbId\":70,"
        "\"redises\":[{\"ip\":\"10.0.1.1\",\"port\":6379},{\"ip\":\"10.0.1.1\",\"port\":6380}]}}}",
        version, active, backup, status);
    json_t *json = json_loads(text, 0, NULL);
    struct cluster_meta *cluster = NULL;
    struct xp_err err;
    assert_int_equal(cluster_meta_from_json(json, &cluster, NULL), 0);
    json_decref(json);
    assert_int_equal(dc_store_put(w->store, cluster, clock_mono_ms(), &err), 0);
}

static void ignore_cluster(const struct cluster_meta *before, struct cluster_meta *after, void *arg)
{
    (void)before, (void)after, (void)arg;
}

static void ignore_routes(void *arg)
{
    (void)arg;
}

void switch_world_open(const char *active)
{
    *w = (struct switch_world){ .node = { .version = -1 },
                                .master_port = FIRST_PORT,
                                .seen_min_slaves = 1 };
    fake_clock_set(1000000, 1700000000000);
    list_init(&w->fences);
    list_init(&w->promotions);
    w->loop = loop_new();
    fake_redis_reset();
    fake_redis_handle(on_command, NULL);
    struct dc_listener listener = { .on_cluster = ignore_cluster, .on_routes = ignore_routes };
    w->store = dc_store_new("jq", 60000, &listener);
    w->env = (struct duty_env){ .loop = w->loop, .store = w->store, .may_command = may_command };
    struct shard_switches_options options = { .loop = w->loop,
                                              .duty = &w->env,
                                              .store = w->store,
                                              .tree_of = tree_of,
                                              .arg = w,
                                              .address = "127.0.0.1:1",
                                              .connect_timeout_ms = 300,
                                              .fence_ms = FENCE_MS,
                                              .follow_ms = 4000,
                                              .drain_ms = 2000,
                                              .promote_ms = 2000,
                                              .hold_ms = 60000,
                                              .again_ms = 5000,
                                              .reassert_ms = 1000,
                                              .fast_ms = 100 };
    w->all = shard_switches_new(&options);
    switch_world_document(active, "Normal", 1);
}

void switch_world_close(void)
{
    shard_switches_free(w->all);
    dc_store_free(w->store);
    loop_free(w->loop);
    assert_true(list_is_empty(&w->fences) && list_is_empty(&w->promotions));
}
