/* keeper_inventory_sim.c - the inventory of keeper containers against scripted ones, in virtual time: what is found, what is removed, and
 * above all what is not: silence, garbage, half a list, a document in doubt, a keeper of somebody else. */
#include <stdio.h>
#include <string.h>

#include "meta/keepers/keeper_inventory.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "tests/sim/fake_http.h"
#include "tests/sim/fake_loop.h"
#include "tests/sim/fake_random.h"
#include "tests/unit/unit.h"

#include "shared/base/banned.h"

enum {
    BOXES = 3,
    KEEPERS_MAX = 40,
    INTERVAL_MS = 10000,
    GRACE_MS = 60000,
    ROUNDS = 3,
    FRESH_MS = 120000,
    LIMIT = 2
};

struct kept { /* one keeper on a container */
    int64_t shard;
    int port;
};

struct box {
    struct addr addr;
    struct kept keepers[KEEPERS_MAX];
    size_t count;
    const char *answer; /* instead of the list */
    int status;         /* 0: 200 */
    int lists;
    int removals;
};

struct world {
    struct loop *loop;
    struct dc_store *store;
    struct container_calls *calls;
    struct budget budget;
    struct keeper_memory memory;
    struct keeper_inventory *inventory;
    struct inventory_settings settings;
    struct box boxes[BOXES];
    int64_t version;
    int64_t lost_cluster; /* its slot is not ours */
    bool is_settled;
};

/* ---- containers ---- */

static void list_keepers(const struct box *b, struct str *out)
{
    str_putc(out, '[');
    for (size_t i = 0; i < b->count; i++) {
        str_printf(out,
                   "%s{\"clusterDbId\":null,\"shardDbId\":null,\"replId\":%lld,\"keeperMeta\":"
                   "{\"id\":\"ab\",\"ip\":\"%s\",\"port\":%d,\"active\":false,\"priority\":null}}",
                   i ? "," : "", (long long)b->keepers[i].shard, b->addr.host, b->keepers[i].port);
    }
    str_putc(out, ']');
}

/* By shard alone, as a real one does. */
static void drop_keeper(struct box *b, const char *body, size_t length)
{
    json_auto_t *json = json_loadb(body, length, 0, NULL);
    json_int_t shard = json_integer_value(json_object_get(json, "replId"));
    assert_true(shard > 0);
    for (size_t i = 0; i < b->count; i++) {
        if (b->keepers[i].shard == shard) {
            b->keepers[i] = b->keepers[--b->count];
            b->removals++;
            return;
        }
    }
}

static void serve(const char *method, const char *target, const char *body, size_t length,
                  const char *if_none_match, struct http_reply *ret_reply, void *arg)
{
    struct box *b = arg;
    struct str out = STR_INIT(1 << 20);
    (void)if_none_match;
    *ret_reply = (struct http_reply){ .status = b->status ? b->status : 200 };
    if (strcmp(method, "DELETE") == 0) {
        drop_keeper(b, body, length);
        ret_reply->status = 200;
    } else {
        assert_string_equal(target, "/keepers");
        b->lists++;
        if (b->answer) {
            str_puts(&out, b->answer);
        } else {
            list_keepers(b, &out);
        }
    }
    ret_reply->length = out.len;
    ret_reply->body = str_take(&out);
}

static void put(struct box *b, int64_t shard, int port)
{
    assert_true(b->count < KEEPERS_MAX);
    b->keepers[b->count++] = (struct kept){ shard, port };
}

static bool has(const struct box *b, int64_t shard)
{
    for (size_t i = 0; i < b->count; i++) {
        if (b->keepers[i].shard == shard) {
            return true;
        }
    }
    return false;
}

/* ---- the document ---- */

static void on_cluster(const struct cluster_meta *before, struct cluster_meta *after, void *arg)
{
    struct world *w = arg;
    keeper_memory_note(&w->memory, before, after, loop_now(w->loop));
}

static void on_routes(void *arg)
{
    (void)arg;
}

/* 'clusters' are the members of the JSON object. */
static void apply(struct world *w, const char *clusters, bool from_disk)
{
    AUTO_FREE char *text = xasprintf(
        "{\"id\":\"jq\",\"version\":%lld,\"clusters\":{%s},\"routes\":[],\"keeperContainers\":["
        "{\"id\":1,\"ip\":\"10.0.0.1\",\"port\":8080},{\"id\":2,\"ip\":\"10.0.0.2\",\"port\":8080},"
        "{\"id\":3,\"ip\":\"10.0.0.3\",\"port\":8080}]}",
        (long long)++w->version, clusters);
    struct dc_meta *before = dc_store_snapshot(w->store);
    struct dc_meta *after = NULL;
    struct xp_err err = { 0 };
    struct brake_limits limits = { .removals = 20 };
    struct brake_verdict verdict;
    struct dc_diff diff;
    if (dc_meta_parse(text, strlen(text), &after, &err) != 0) {
        fail_msg("%s", err.msg);
    }
    dc_diff_make(before, after, "jq", &diff);
    dc_brake(&diff, &limits, &verdict);
    assert_int_equal(dc_store_apply(w->store, dc_store_seq(w->store), after, &diff, &verdict,
                                    from_disk ? MONO_NEVER : loop_now(w->loop), &err),
                     0);
    dc_diff_done(&diff);
    dc_meta_free(before);
    dc_meta_free(after);
}

#define CLUSTER(name, id, status, shards)                                                          \
    "\"" name "\":{\"id\":\"" name "\",\"dbId\":" #id                                              \
    ",\"type\":\"ONE_WAY\",\"activeDc\":\"jq\",\"backupDcs\":\"fra\",\"status\":\"" status         \
    "\",\"shards\":{" shards "}}"
#define SHARD(name, id, keepers)                                                                   \
    "\"" name "\":{\"id\":\"" name "\",\"dbId\":" #id ",\"redises\":[],\"keepers\":[" keepers "]}"
#define KEEPER(ip, port, container)                                                                \
    "{\"ip\":\"" ip "\",\"port\":" #port ",\"keeperContainerId\":" #container "}"
#define PAIR_A KEEPER("10.0.0.1", 6380, 1) "," KEEPER("10.0.0.2", 6380, 2)
#define PAIR_B KEEPER("10.0.0.1", 6381, 1) "," KEEPER("10.0.0.2", 6381, 2)
/* Cluster 7: shard 11 stays, shard 12 is what the tests take away. */
#define ONE  SHARD("s1", 11, PAIR_A)
#define TWO  SHARD("s2", 12, PAIR_B)
#define BOTH CLUSTER("orders", 7, "Normal", ONE "," TWO)
#define LESS CLUSTER("orders", 7, "Normal", ONE)

/* ---- the world ---- */

static int may_call(int64_t cluster_id, void *arg, struct xp_err *err)
{
    const struct world *w = arg;
    return cluster_id != w->lost_cluster ? 0 : xp_fail(err, XP_NOT_OWNER, "not ours");
}

static bool is_wanted(int64_t shard_id, const struct addr *keeper, void *arg)
{
    (void)shard_id;
    (void)keeper;
    (void)arg;
    return true; /* of other calls than the inventory's: there are none */
}

static int check_orphan(const struct container_call *call, void *arg, struct xp_err *err)
{
    const struct world *w = arg;
    return keeper_inventory_check(w->inventory, call, err);
}

static bool is_settled(const struct cluster_meta *cluster, const char *shard, void *arg)
{
    const struct world *w = arg;
    assert_non_null(cluster_meta_shard(cluster, shard));
    return w->is_settled;
}

static int open_world(void **state)
{
    struct world *w = xcalloc(1, sizeof(*w));
    fake_http_reset();
    fake_clock_set(1000000, 1700000000000);
    fake_random_seed(1);
    w->loop = loop_new();
    w->is_settled = true;
    w->settings = (struct inventory_settings){ .mode = ORPHANS_KNOWN,
                                               .interval_ms = INTERVAL_MS,
                                               .grace_ms = GRACE_MS,
                                               .rounds = ROUNDS,
                                               .limit = LIMIT,
                                               .fresh_ms = FRESH_MS };
    struct dc_listener listener = { .on_cluster = on_cluster, .on_routes = on_routes, .arg = w };
    w->store = dc_store_new("jq", 60000, &listener);
    keeper_memory_init(&w->memory);
    budget_init(&w->budget, 1000, 1000, loop_now(w->loop));
    struct container_calls_options calls = { .loop = w->loop,
                                             .threads = 2,
                                             .connect_timeout_ms = 1000,
                                             .timeout_ms = 5000,
                                             .removals = &w->budget,
                                             .may_call = may_call,
                                             .is_wanted = is_wanted,
                                             .check_orphan = check_orphan,
                                             .arg = w };
    w->calls = container_calls_new(&calls);
    struct keeper_inventory_options options = { .loop = w->loop,
                                                .store = w->store,
                                                .calls = w->calls,
                                                .memory = &w->memory,
                                                .connect_timeout_ms = 1000,
                                                .timeout_ms = 5000,
                                                .settings = w->settings,
                                                .may_call = may_call,
                                                .is_settled = is_settled,
                                                .arg = w };
    w->inventory = keeper_inventory_new(&options);
    for (int i = 0; i < BOXES; i++) {
        char host[24];
        (void)snprintf(host, sizeof(host), "10.0.0.%d", i + 1);
        w->boxes[i].addr = addr_of(host, 8080);
        fake_http_serve(&w->boxes[i].addr, serve, &w->boxes[i]);
    }
    *state = w;
    return 0;
}

static int close_world(void **state)
{
    struct world *w = *state;
    keeper_inventory_free(w->inventory);
    container_calls_free(w->calls);
    keeper_memory_done(&w->memory);
    dc_store_free(w->store);
    loop_free(w->loop);
    fake_http_reset();
    free(w);
    return 0;
}

/* The console confirms the document every ten seconds. */
static void pass(struct world *w, int64_t ms)
{
    for (int64_t spent = 0; spent < ms; spent += 10000) {
        dc_store_confirm(w->store, loop_now(w->loop));
        fake_loop_advance_to(clock_mono_ms() + 10000);
    }
}

#define LONG_MS ((int64_t)GRACE_MS * 3)

static void fill_boxes(struct world *w)
{
    for (int i = 0; i < 2; i++) {
        put(&w->boxes[i], 11, 6380);
        put(&w->boxes[i], 12, 6381);
    }
}

/* The document had shard 12, and has it no more; nobody removes its keepers. */
static void lose_a_shard(struct world *w)
{
    fill_boxes(w);
    apply(w, BOTH, false);
    pass(w, INTERVAL_MS);
    apply(w, LESS, false);
}

static int removals(const struct world *w)
{
    return w->boxes[0].removals + w->boxes[1].removals + w->boxes[2].removals;
}

/* Verdict of the first orphan of this shard; "" there is none. */
static const char *verdict_of(const struct world *w, int64_t shard, char *buf)
{
    json_auto_t *json = keeper_inventory_json(w->inventory);
    size_t i;
    json_t *row;
    buf[0] = '\0';
    json_array_foreach (json_object_get(json, "orphans"), i, row) {
        if (buf[0] == '\0' && json_integer_value(json_object_get(row, "shardDbId")) == shard) {
            (void)snprintf(buf, 64, "%s %s", json_string_value(json_object_get(row, "rule")),
                           json_string_value(json_object_get(row, "verdict")));
        }
    }
    return buf;
}
#define assert_verdict(w, shard, wanted)                                                           \
    assert_string_equal(verdict_of(w, shard, (char[64]){ 0 }), wanted)

/* ---- what goes ---- */

static void keepers_of_a_lost_shard_go_after_the_grace(void **state)
{
    struct world *w = *state;
    lose_a_shard(w);
    pass(w, GRACE_MS - 10000);
    assert_int_equal(removals(w), 0);
    assert_verdict(w, 12, "N40 waits");
    pass(w, 4 * INTERVAL_MS);
    assert_int_equal(removals(w), 2);
    assert_false(has(&w->boxes[0], 12) || has(&w->boxes[1], 12));
    assert_true(has(&w->boxes[0], 11) && has(&w->boxes[1], 11));
    pass(w, 2 * INTERVAL_MS);
    assert_verdict(w, 12, "");
}

static void a_removal_is_limited_by_round(void **state)
{
    struct world *w = *state;
    struct str many = STR_INIT(1 << 16);
    for (int i = 0; i < 10; i++) {
        str_printf(&many,
                   ",\"x%d\":{\"id\":\"x%d\",\"dbId\":%d,\"redises\":[],\"keepers\":[" KEEPER(
                       "10.0.0.3", % d, 3) "]}",
                   i, i, 50 + i, 7000 + i);
        put(&w->boxes[2], 50 + i, 7000 + i);
    }
    AUTO_FREE char *rows = str_take(&many);
    AUTO_FREE char *full = xasprintf(CLUSTER("orders", 7, "Normal", ONE "%s"), rows);
    apply(w, full, false);
    apply(w, LESS, false);
    int last = 0;
    int rounds = 0;
    for (int i = 0; i < 400 && w->boxes[2].count > 0; i++) {
        int lists = w->boxes[2].lists;
        dc_store_confirm(w->store, loop_now(w->loop));
        fake_loop_advance_to(clock_mono_ms() + 500);
        rounds += removals(w) != last;
        assert_true(removals(w) - last <= LIMIT);
        assert_true(w->boxes[2].lists - lists <= 1);
        last = removals(w);
    }
    assert_int_equal(removals(w), 10);
    assert_true(rounds >= 10 / LIMIT);
}

static void a_changed_keeper_goes_when_the_others_live(void **state)
{
    struct world *w = *state;
    fill_boxes(w);
    put(&w->boxes[2], 12, 6381);
    apply(w,
          CLUSTER("orders", 7, "Normal",
                  ONE "," SHARD("s2", 12, PAIR_B "," KEEPER("10.0.0.3", 6381, 3))),
          false);
    apply(w, BOTH, false);
    w->is_settled = false;
    pass(w, LONG_MS);
    assert_verdict(w, 12, "N62 waits");
    w->is_settled = true;
    pass(w, 3 * INTERVAL_MS);
    assert_int_equal(w->boxes[2].removals, 1);
    assert_int_equal(removals(w), 1);
}

static void only_the_owner_of_the_slot_removes(void **state)
{
    struct world *w = *state;
    w->settings.limit = 1;
    keeper_inventory_set(w->inventory, &w->settings);
    lose_a_shard(w);
    w->lost_cluster = 7;
    pass(w, LONG_MS);
    assert_verdict(w, 12, "N60 waits");
    assert_int_equal(removals(w), 0);
    w->lost_cluster = 0;
    pass(w, 4 * INTERVAL_MS);
    assert_int_equal(removals(w), 2);
}

/* ---- what stays ---- */

static void keepers_of_another_console_are_only_reported(void **state)
{
    struct world *w = *state;
    apply(w, BOTH, false);
    fill_boxes(w);
    put(&w->boxes[2], 900, 6380); /* a shard that nobody here knows */
    put(&w->boxes[2], 12, 6390);  /* one whose number we have, too */
    pass(w, LONG_MS);
    assert_int_equal(removals(w), 0);
    assert_verdict(w, 900, "N50 reported");
    assert_verdict(w, 12, "N50 reported");
    w->settings.mode = ORPHANS_REMOVE;
    keeper_inventory_set(w->inventory, &w->settings);
    pass(w, 4 * INTERVAL_MS);
    assert_int_equal(removals(w), 2);
    assert_int_equal(w->boxes[2].removals, 2);
}

static void after_a_restart_nothing_is_known(void **state)
{
    struct world *w = *state;
    fill_boxes(w);
    apply(w, LESS, false);
    pass(w, LONG_MS);
    assert_int_equal(removals(w), 0);
    assert_verdict(w, 12, "N50 reported");
}

static void no_answer_is_no_fact(void **state)
{
    static const struct {
        int status;
        const char *answer;
    } odd[] = {
        { 500, "[]" },
        { 404, "[]" },
        { 200, "" },
        { 200, "null" },
        { 200, "{}" },
        { 200, "<html>{\"replId\":" },
        { 200, "[{\"replId\":12,\"keeperMeta\":{\"ip\":\"10.0.0.1\",\"port\":63" },
        { 200,
          "[{\"replId\":12,\"keeperMeta\":{\"ip\":\"10.0.0.1\",\"port\":6381}},{\"replId\":13}]" },
        { 200, "[{\"replId\":12,\"keeperMeta\":{\"ip\":\"10.0.0.1\",\"port\":6381}},null]" },
        { 200, "[{\"keeperMeta\":{\"ip\":\"10.0.0.1\",\"port\":6381}}]" },
        { 200, "[{\"replId\":12,\"keeperMeta\":{\"ip\":\"10.0.0.1\",\"port\":0}}]" },
        { 200, "[{\"replId\":12,\"keeperMeta\":{\"ip\":\"nowhere\",\"port\":6381}}]" },
    };
    struct world *w = *state;
    lose_a_shard(w);
    pass(w, INTERVAL_MS * 2); /* seen once or twice, so it would go after one or two more */
    for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
        for (int b = 0; b < BOXES; b++) {
            w->boxes[b].answer = odd[i].answer;
            w->boxes[b].status = odd[i].status;
        }
        pass(w, GRACE_MS * 2);
        assert_int_equal(removals(w), 0);
        assert_verdict(w, 12, "N40 waits"); /* neither forgotten nor ripened */
    }
    for (int b = 0; b < BOXES; b++) {
        w->boxes[b].answer = NULL;
        w->boxes[b].status = 0;
    }
    pass(w, 5 * INTERVAL_MS);
    assert_int_equal(removals(w), 2);
}

static void a_silent_container_holds_up_nobody(void **state)
{
    struct world *w = *state;
    lose_a_shard(w);
    fake_http_set(NULL, &w->boxes[0].addr, FAKE_HTTP_CUT);
    pass(w, LONG_MS);
    assert_int_equal(w->boxes[0].removals, 0);
    assert_int_equal(w->boxes[1].removals, 1);
    fake_http_set(NULL, &w->boxes[0].addr, FAKE_HTTP_UP);
    pass(w, GRACE_MS + 5 * INTERVAL_MS);
    assert_int_equal(w->boxes[0].removals, 1);
}

static void a_document_in_doubt_removes_nothing(void **state)
{
    struct world *w = *state;
    lose_a_shard(w);
    pass(w, INTERVAL_MS);
    apply(w, LESS, true); /* as from the disk */
    fake_loop_advance_to(clock_mono_ms() + LONG_MS);
    assert_int_equal(removals(w), 0);
    assert_verdict(w, 12, "N20 waits");
    dc_store_confirm(w->store, loop_now(w->loop));
    fake_loop_advance_to(clock_mono_ms() + FRESH_MS);
    assert_int_equal(removals(w), 2);
}

static void a_migration_stops_it(void **state)
{
    struct world *w = *state;
    lose_a_shard(w);
    apply(w, CLUSTER("orders", 7, "Migrating", ONE), false);
    pass(w, LONG_MS);
    assert_int_equal(removals(w), 0);
    assert_verdict(w, 12, "N30 waits");
    apply(w, LESS, false);
    pass(w, 3 * INTERVAL_MS);
    assert_int_equal(removals(w), 2);
}

/* A container removes by shard: the keeper that moved to another port is not to go with the old entry. */
static void a_keeper_that_moved_on_its_container_stays(void **state)
{
    struct world *w = *state;
    fill_boxes(w);
    apply(w, BOTH, false);
    apply(w,
          CLUSTER("orders", 7, "Normal",
                  ONE
                  "," SHARD("s2", 12, KEEPER("10.0.0.1", 6399, 1) "," KEEPER("10.0.0.2", 6381, 2))),
          false);
    pass(w, LONG_MS);
    assert_int_equal(removals(w), 0);
    assert_verdict(w, 12, "N32 waits");
}

/* Decided, and the document has it again before the request is sent. */
static void what_is_wanted_again_stays(void **state)
{
    struct world *w = *state;
    lose_a_shard(w);
    budget_init(&w->budget, 1, 1, loop_now(w->loop));
    while (budget_take(&w->budget, loop_now(w->loop))) {
    }
    budget_set_rate(&w->budget, 1, 1);
    for (int i = 0; i < 4000 && container_calls_is_quiet(w->calls, -1) && removals(w) == 0; i++) {
        (void)budget_take(&w->budget, loop_now(w->loop)); /* somebody else takes every token */
        dc_store_confirm(w->store, loop_now(w->loop));
        fake_loop_advance_to(clock_mono_ms() + 100);
        assert_int_equal(removals(w), 0);
    }
    assert_verdict(w, 12, "N80 removed");
    apply(w, BOTH, false);
    pass(w, LONG_MS);
    assert_int_equal(removals(w), 0);
    assert_verdict(w, 12, "");
}

static void switched_off_nobody_is_asked(void **state)
{
    struct world *w = *state;
    lose_a_shard(w);
    pass(w, 2 * INTERVAL_MS);
    assert_verdict(w, 12, "N40 waits");
    w->settings.mode = ORPHANS_OFF;
    keeper_inventory_set(w->inventory, &w->settings);
    pass(w, 2 * INTERVAL_MS);
    int lists = w->boxes[0].lists;
    pass(w, LONG_MS);
    assert_int_equal(w->boxes[0].lists, lists);
    assert_int_equal(removals(w), 0);
    assert_verdict(w, 12, "");
}

static void what_is_remembered_is_forgotten_again(void **state)
{
    struct world *w = *state;
    lose_a_shard(w);
    assert_int_equal(keeper_memory_count(&w->memory), 2);
    apply(w, BOTH, false);
    pass(w, 2 * INTERVAL_MS);
    assert_int_equal(keeper_memory_count(&w->memory), 0); /* in the document again */
    w->settings.mode = ORPHANS_REPORT;
    keeper_inventory_set(w->inventory, &w->settings);
    w->boxes[0].count = 1; /* shard 12 is on the second container only */
    apply(w, LESS, false);
    pass(w, 2 * INTERVAL_MS);
    w->settings.interval_ms = 3600000;
    keeper_inventory_set(w->inventory, &w->settings);
    fake_loop_advance_to(clock_mono_ms() + (KEEPER_MEMORY_DAYS + 1) * (int64_t)24 * 3600 * 1000);
    w->settings.interval_ms = INTERVAL_MS;
    keeper_inventory_set(w->inventory, &w->settings);
    pass(w, 2 * INTERVAL_MS);
    assert_int_equal(keeper_memory_count(&w->memory), 1); /* where it is still seen */
    assert_verdict(w, 12, "N52 reported");
}

#define T(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)

int main(void)
{
    log_set_level(LOG_LEVELS);
    const struct CMUnitTest tests[] = {
        T(keepers_of_a_lost_shard_go_after_the_grace),
        T(a_removal_is_limited_by_round),
        T(a_changed_keeper_goes_when_the_others_live),
        T(only_the_owner_of_the_slot_removes),
        T(keepers_of_another_console_are_only_reported),
        T(after_a_restart_nothing_is_known),
        T(no_answer_is_no_fact),
        T(a_silent_container_holds_up_nobody),
        T(a_document_in_doubt_removes_nothing),
        T(a_migration_stops_it),
        T(a_keeper_that_moved_on_its_container_stays),
        T(what_is_wanted_again_stays),
        T(switched_off_nobody_is_asked),
        T(what_is_remembered_is_forgotten_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
