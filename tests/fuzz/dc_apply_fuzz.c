/* dc_apply_fuzz.c - a DC document from outside goes all the way: parsed, compared with what is known, braked, applied, and each
 * cluster pushed once more. Whatever it says, at most the limit of clusters is lost, and the listener is told of every change
 * exactly as the store shows it. */
#include "meta/dcmeta/dc_store.h"
#include "shared/base/log.h"
#include "shared/model/dc_meta.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/dc_fixture.h"

#include "shared/base/banned.h"

#define REMOVALS_MAX 2
#define KNOWN        6

struct told { /* what the listener knows of the store */
    const struct dc_store *store;
    size_t count;
};

static void on_cluster(const struct cluster_meta *before, struct cluster_meta *after, void *arg)
{
    struct told *told = arg;
    xp_check(before || after);
    told->count = told->count + (after != NULL) - (before != NULL);
    if (after && told->store) {
        xp_check(dc_store_cluster(told->store, after->name) == after);
        xp_check(dc_store_cluster_by_id(told->store, after->db_id) == after);
    }
}

static void on_routes(void *arg)
{
    (void)arg;
}

static struct dc_store *known_store(struct told *told)
{
    struct dc_listener listener = { .on_cluster = on_cluster, .on_routes = on_routes, .arg = told };
    struct dc_store *store = dc_store_new("jq", 60000, &listener);
    told->store = store;
    for (int64_t id = 1; id <= KNOWN; id++) {
        char name[8] = { 'c', (char)('0' + id), '\0' };
        struct cluster_row row = C(name, id, .redises = "6379,6380");
        struct xp_err err;
        xp_check(dc_store_put(store, cluster_of(&row), 1, &err) == 0);
    }
    return store;
}

static size_t still_known(const struct dc_store *store)
{
    size_t count = 0;
    for (int64_t id = 1; id <= KNOWN; id++) {
        count += dc_store_cluster_by_id(store, id) != NULL;
    }
    return count;
}

static void push(struct cluster_meta *cluster, void *arg)
{
    struct xp_err err = { 0 };
    if (dc_store_put(arg, cluster_meta_ref(cluster), 3, &err) != 0) {
        xp_check(err.msg[0]);
    }
}

static void apply(struct dc_store *store, const struct dc_meta *after, struct told *told)
{
    struct brake_limits limits = { .removals = REMOVALS_MAX, .downgrades = REMOVALS_MAX };
    struct brake_verdict verdict = { 0 };
    struct dc_diff diff = { 0 };
    struct dc_meta *before = dc_store_snapshot(store);
    struct xp_err err = { 0 };
    dc_diff_make(before, after, "jq", &diff);
    dc_brake(&diff, &limits, &verdict);
    int rc = dc_store_apply(store, dc_store_seq(store), after, &diff, &verdict, 2, &err);
    xp_check(rc == 0 || err.msg[0]);
    dc_diff_done(&diff);
    dc_meta_free(before);
    xp_check(still_known(store) + REMOVALS_MAX >= KNOWN);
    xp_check(told->count == dc_store_count(store));
    json_decref(dc_store_quarantine_json(store));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    log_set_level(LOG_LEVELS);
    struct dc_meta *after = NULL;
    struct xp_err err;
    if (dc_meta_parse((const char *)bytes, size, &after, &err) != 0) {
        return 0;
    }
    struct told told = { 0 };
    struct dc_store *store = known_store(&told);
    apply(store, after, &told);
    for (size_t i = 0; i < after->clusters.count; i++) {
        push(after->clusters.items[i], store);
        xp_check(told.count == dc_store_count(store));
    }
    told.store = NULL;
    dc_store_free(store);
    dc_meta_free(after);
    return 0;
}
