/* dc_store.c - see dc_store.h. */
#include "meta/dcmeta/dc_store.h"

#include <string.h>

#include "meta/dcmeta/active_orders.h"
#include "meta/dcmeta/deleted_clusters.h"
#include "shared/base/log.h"
#include "shared/base/map.h"
#include "shared/base/mem.h"
#include "shared/base/metrics.h"
#include "shared/base/str.h"
#include "shared/model/json_decode.h"

#include "shared/base/banned.h"

#define HELD_NAMES_SHOWN 200
#define PROBLEMS_LOGGED  10 /* of one document; all are shown by the quarantine */

static struct metric clusters_gauge =
    METRIC_GAUGE_INIT("xpipe_meta_clusters", "", "Clusters of this DC in the accepted document.");
static struct metric held_gauge =
    METRIC_GAUGE_INIT("xpipe_meta_document_held_changes", "",
                      "Changes of the last document that wait for an operator.");
static struct metric unusable_gauge =
    METRIC_GAUGE_INIT("xpipe_meta_document_unusable_clusters", "",
                      "Clusters of the last document that cannot be used: they stay as they were.");
static struct metric version_gauge =
    METRIC_GAUGE_INIT("xpipe_meta_document_version", "",
                      "Version of the metadata in use; 0 from a console without versions.");

struct dc_store {
    char *dc;
    struct dc_listener listener;
    struct map by_name; /* struct cluster_meta *, one reference each */
    struct map by_id;   /* the same, borrowed */
    struct route_table *routes;
    struct dc_hosts hosts;
    uint64_t hosts_changes;
    uint64_t seq;
    mono_ms changed_at;
    int64_t version;          /* the highest of the document and the pushes since */
    int64_t document_version; /* of the last document that was applied */
    int64_t whole_version;    /* of the last one of which nothing was held back */
    struct deleted_clusters deleted;
    struct active_orders orders;
    bool has_document;
    mono_ms confirmed_at;
    int held; /* of the last document */
    bool routes_held;
    struct names held_names; /* the first HELD_NAMES_SHOWN */
    struct map problems;     /* cluster -> why it cannot be used, owned; of the last document */
};

struct dc_store *dc_store_new(const char *dc, int64_t order_hold_ms,
                              const struct dc_listener *listener)
{
    struct dc_store *store = xcalloc(1, sizeof(*store));
    store->dc = xstrdup(dc);
    text_lower(store->dc);
    store->listener = *listener;
    store->by_name = MAP_INIT(MAP_TEXT);
    store->by_id = MAP_INIT(MAP_NUMBER);
    deleted_clusters_init(&store->deleted);
    active_orders_init(&store->orders, order_hold_ms);
    store->problems = MAP_INIT(MAP_TEXT);
    store->routes = route_table_new_unknown();
    dc_hosts_init(&store->hosts);
    store->confirmed_at = MONO_NEVER;
    store->changed_at = MONO_NEVER;
    metric_register(&clusters_gauge);
    metric_register(&held_gauge);
    metric_register(&version_gauge);
    metric_register(&unusable_gauge);
    return store;
}

static void problems_done(struct map *problems)
{
    size_t at = 0;
    for (const struct map_slot *slot; (slot = map_next(problems, &at));) {
        free(slot->value);
    }
    map_done(problems);
}

void dc_store_free(struct dc_store *store)
{
    if (!store) {
        return;
    }
    size_t at = 0;
    for (const struct map_slot *slot; (slot = map_next(&store->by_name, &at));) {
        cluster_meta_unref(slot->value);
    }
    map_done(&store->by_name);
    map_done(&store->by_id);
    deleted_clusters_done(&store->deleted);
    active_orders_done(&store->orders);
    route_table_free(store->routes);
    dc_hosts_done(&store->hosts);
    names_done(&store->held_names);
    problems_done(&store->problems);
    free(store->dc);
    free(store);
}

const char *dc_store_dc(const struct dc_store *store)
{
    return store->dc;
}

uint64_t dc_store_seq(const struct dc_store *store)
{
    return store->seq;
}

mono_ms dc_store_changed_at(const struct dc_store *store)
{
    return store->changed_at;
}

int64_t dc_store_version(const struct dc_store *store)
{
    return store->version;
}

bool dc_store_has_document(const struct dc_store *store)
{
    return store->has_document;
}

mono_ms dc_store_confirmed_at(const struct dc_store *store)
{
    return store->confirmed_at;
}

bool dc_store_is_confirmed(const struct dc_store *store, const char *cluster, mono_ms since)
{
    bool is_all_named = (size_t)store->held == store->held_names.count;
    return store->confirmed_at != MONO_NEVER && store->confirmed_at >= since && is_all_named &&
           !names_has(&store->held_names, cluster) && !map_get(&store->problems, cluster);
}

struct cluster_meta *dc_store_cluster(const struct dc_store *store, const char *name)
{
    return map_get(&store->by_name, name);
}

struct cluster_meta *dc_store_cluster_by_id(const struct dc_store *store, int64_t db_id)
{
    return map_get_n(&store->by_id, (uint64_t)db_id);
}

size_t dc_store_count(const struct dc_store *store)
{
    return map_count(&store->by_name);
}

void dc_store_each(const struct dc_store *store, void (*fn)(struct cluster_meta *, void *arg),
                   void *arg)
{
    size_t at = 0;
    for (const struct map_slot *slot; (slot = map_next(&store->by_name, &at));) {
        fn(slot->value, arg);
    }
}

const struct route_table *dc_store_routes(const struct dc_store *store)
{
    return store->routes;
}

const struct dc_hosts *dc_store_hosts(const struct dc_store *store)
{
    return &store->hosts;
}

uint64_t dc_store_hosts_changes(const struct dc_store *store)
{
    return store->hosts_changes;
}

struct dc_meta *dc_store_snapshot(const struct dc_store *store)
{
    struct dc_meta *meta = xcalloc(1, sizeof(*meta));
    meta->id = xstrdup(store->dc);
    meta->version = store->version;
    meta->clusters.items =
        (struct cluster_meta **)(void *)map_sorted(&store->by_name, &meta->clusters.count);
    for (size_t i = 0; i < meta->clusters.count; i++) {
        (void)cluster_meta_ref(meta->clusters.items[i]);
    }
    const struct route_meta *rows = route_table_rows(store->routes, &meta->routes.count);
    meta->routes.items = route_metas_copy(rows, meta->routes.count);
    dc_hosts_copy(&store->hosts, meta);
    return meta;
}

static void take_out(struct dc_store *store, const struct cluster_meta *cluster)
{
    if (cluster) {
        (void)map_remove(&store->by_name, cluster->name);
        (void)map_remove_n(&store->by_id, (uint64_t)cluster->db_id);
    }
}

static void put_in(struct dc_store *store, struct cluster_meta *cluster)
{
    if (cluster) {
        (void)map_put(&store->by_name, cluster->name, cluster_meta_ref(cluster));
        (void)map_put_n(&store->by_id, (uint64_t)cluster->db_id, cluster);
    }
}

/* Tells the listener and gives up the store's reference on what was there before. */
static void tell(struct dc_store *store, struct cluster_meta *before, struct cluster_meta *after)
{
    metric_set(&clusters_gauge, (int64_t)map_count(&store->by_name));
    store->listener.on_cluster(before, after, store->listener.arg);
    cluster_meta_unref(before);
}

/* Puts 'after' in the place of 'before' (either may be NULL) and tells the listener. */
static void replace(struct dc_store *store, struct cluster_meta *before, struct cluster_meta *after)
{
    take_out(store, before);
    put_in(store, after);
    tell(store, before, after);
}

/* True when the name or the id that 'change' brings belongs to a cluster that stays. */
static bool is_taken(const struct dc_store *store, const struct map *leaving,
                     const struct dc_change *change)
{
    const struct cluster_meta *namesake = map_get(&store->by_name, change->after->name);
    const struct cluster_meta *same_id = map_get_n(&store->by_id, (uint64_t)change->after->db_id);
    return (namesake && !map_get_n(leaving, (uint64_t)namesake->db_id)) ||
           (same_id && !map_get_n(leaving, (uint64_t)same_id->db_id));
}

/* What is held back keeps its name and id, so that what would take them over must wait as well, and so on. */
static int hold_collisions(const struct dc_store *store, struct dc_diff *diff)
{
    int held = 0;
    for (int before = -1; before != held;) {
        before = held;
        CLEANUP(map_done) struct map leaving = MAP_INIT(MAP_NUMBER);
        for (size_t i = 0; i < diff->count; i++) {
            const struct dc_change *change = &diff->changes[i];
            if (change->before && !change->is_held) {
                (void)map_put_n(&leaving, (uint64_t)change->before->db_id, change->before);
            }
        }
        for (size_t i = 0; i < diff->count; i++) {
            struct dc_change *change = &diff->changes[i];
            if (change->after && !change->is_held && is_taken(store, &leaving, change)) {
                change->is_held = true;
                held++;
            }
        }
    }
    return held;
}

/* What a switchover ordered holds against a document that does not know of it yet. */
static void apply_orders(struct dc_store *store, struct dc_diff *diff, mono_ms now)
{
    for (size_t i = 0; i < diff->count; i++) {
        struct dc_change *change = &diff->changes[i];
        if (change->is_held) {
            continue;
        }
        if (change->after) {
            change->after = active_orders_apply(&store->orders, change->after, now);
        } else {
            active_orders_forget(&store->orders, change->before->db_id);
        }
    }
}

/* All out before any in: two clusters may have exchanged their names. */
static void apply_changes(struct dc_store *store, const struct dc_diff *diff)
{
    for (size_t i = 0; i < diff->count; i++) {
        if (!diff->changes[i].is_held) {
            take_out(store, diff->changes[i].before);
        }
    }
    for (size_t i = 0; i < diff->count; i++) {
        if (!diff->changes[i].is_held) {
            put_in(store, diff->changes[i].after);
        }
    }
    for (size_t i = 0; i < diff->count; i++) {
        if (!diff->changes[i].is_held) {
            tell(store, diff->changes[i].before, diff->changes[i].after);
        }
    }
}

static void replace_routes(struct dc_store *store, const struct dc_meta *after)
{
    struct route_table *old = store->routes;
    store->routes = route_table_new(after->routes.items, after->routes.count);
    store->listener.on_routes(store->listener.arg);
    route_table_free(old);
}

static void note_held(struct dc_store *store, const struct dc_diff *diff,
                      const struct brake_verdict *verdict, int collisions)
{
    bool was_held = store->held > 0 || store->routes_held;
    names_done(&store->held_names);
    store->held = verdict->held + collisions;
    store->routes_held = verdict->routes_held;
    store->held_names.items = xcalloc(HELD_NAMES_SHOWN, sizeof(char *));
    for (size_t i = 0; i < diff->count && store->held_names.count < HELD_NAMES_SHOWN; i++) {
        const struct dc_change *change = &diff->changes[i];
        if (change->is_held) {
            store->held_names.items[store->held_names.count++] =
                xstrdup(change->before ? change->before->name : change->after->name);
        }
    }
    metric_set(&held_gauge, store->held + store->routes_held);
    bool is_held = store->held > 0 || store->routes_held;
    if (is_held && !was_held) {
        log_error("document.held", "removed", log_int(diff->removed), "shrunk",
                  log_int(diff->shrunk), "going_direct", log_int(diff->downgraded), "next",
                  "check the console, then POST /api/meta/v2/quarantine/accept");
    } else if (!is_held && was_held) {
        log_info("document.released");
    }
}

static void raise_version(struct dc_store *store, int64_t version)
{
    if (version > store->version) {
        store->version = version;
        metric_set(&version_gauge, version);
    }
}

/* Each problem is told once, as long as it is the same. */
static void note_problems(struct dc_store *store, const struct dc_diff *diff)
{
    int news = 0;
    struct map now = MAP_INIT(MAP_TEXT);
    for (size_t i = 0; i < diff->problem_count; i++) {
        const struct dc_problem *p = &diff->problems[i];
        bool is_known = text_eq(map_get(&store->problems, p->cluster), p->text);
        if (!is_known && news++ < PROBLEMS_LOGGED) {
            log_warn("document.cluster_unusable", "cluster", p->cluster, "problem", p->text, "next",
                     "it stays as it was, the other clusters are processed");
        }
        free(map_put(&now, p->cluster, xstrdup(p->text)));
    }
    if (news > PROBLEMS_LOGGED) {
        log_warn("document.clusters_unusable", "count", log_int(diff->unusable), "next",
                 "GET /api/meta/v2/quarantine shows them");
    }
    if (diff->unusable == 0 && map_count(&store->problems) > 0) {
        log_info("document.clusters_usable_again");
    }
    problems_done(&store->problems);
    store->problems = now;
    metric_set(&unusable_gauge, diff->unusable);
}

static int check_version(const struct dc_store *store, const struct dc_meta *after,
                         const struct brake_verdict *verdict, struct xp_err *err)
{
    if (!verdict->is_accepted && after->version > 0 && after->version < store->version) {
        return xp_fail(err, XP_CONFLICT,
                       "document of dc '%s' has version %lld, older than %lld which is in use",
                       store->dc, (long long)after->version, (long long)store->version);
    }
    return 0;
}

int dc_store_apply(struct dc_store *store, uint64_t seq, const struct dc_meta *after,
                   struct dc_diff *diff, const struct brake_verdict *verdict, mono_ms confirmed_at,
                   struct xp_err *err)
{
    if (seq != store->seq) {
        return xp_fail(err, XP_CONFLICT,
                       "metadata of dc '%s' changed while the document was fetched", store->dc);
    }
    int rc = check_version(store, after, verdict, err);
    if (rc != 0) {
        return rc;
    }
    bool is_first = !store->has_document;
    store->has_document = true;
    store->version = store->document_version = after->version;
    /* An accepted older document: what was deleted at versions above it never happened. */
    deleted_clusters_settle(&store->deleted, verdict->is_accepted ? INT64_MAX : after->version);
    store->confirmed_at = confirmed_at;
    metric_set(&version_gauge, store->version);
    note_problems(store, diff);
    note_held(store, diff, verdict, hold_collisions(store, diff));
    if (store->held == 0) {
        store->whole_version = after->version;
    } else if (store->whole_version > after->version) {
        store->whole_version = 0; /* an older one was accepted */
    }
    /* before the clusters, whose keepers run there */
    store->hosts_changes += dc_hosts_set(&store->hosts, after);
    if (is_first || (diff->routes_changed && !verdict->routes_held)) {
        replace_routes(store, after);
    }
    apply_orders(store, diff, confirmed_at);
    apply_changes(store, diff);
    return 0;
}

void dc_store_confirm(struct dc_store *store, mono_ms confirmed_at)
{
    store->confirmed_at = confirmed_at;
}

/* The cluster that a push or a deletion is about: by name, or by id when it was renamed. */
static const struct cluster_meta *present(const struct dc_store *store, const char *name,
                                          int64_t db_id)
{
    const struct cluster_meta *same_id = map_get_n(&store->by_id, (uint64_t)db_id);
    return same_id ? same_id : map_get(&store->by_name, name);
}

/* What a change of this cluster must be newer than when the cluster is not here. */
static int64_t gone_at(const struct dc_store *store, const char *name)
{
    int64_t deleted = deleted_clusters_version(&store->deleted, name);
    return deleted > store->document_version ? deleted : store->document_version;
}

/* The version at which this cluster is known to be as it is here. A document that shows it unchanged says so for its own
 * version: the number in the cluster stays behind when something was changed and changed back. One of which something was
 * held back says nothing about single clusters. */
static int64_t known_at(const struct dc_store *store, const struct cluster_meta *old)
{
    /* A version above the store's own is left from before an older document was accepted: it does not count. */
    int64_t own = old->version <= store->version ? old->version : 0;
    return store->whole_version > own ? store->whole_version : own;
}

static int check_age(const struct dc_store *store, const char *name, int64_t db_id, int64_t version,
                     struct xp_err *err)
{
    const struct cluster_meta *old = present(store, name, db_id);
    if (version == 0) {
        return 0;
    }
    if (old && version < known_at(store, old)) {
        return xp_fail(err, XP_CONFLICT,
                       "cluster '%s' has version %lld, older than %lld which is in use", name,
                       (long long)version, (long long)known_at(store, old));
    }
    if (!old && version <= gone_at(store, name)) {
        return xp_fail(err, XP_CONFLICT,
                       "cluster '%s' has version %lld, older than its deletion (known at %lld)",
                       name, (long long)version, (long long)gone_at(store, name));
    }
    return 0;
}

static int check_push(const struct dc_store *store, const struct cluster_meta *cluster,
                      struct xp_err *err)
{
    if (cluster->problem) {
        return xp_fail(err, XP_INVALID, "cluster '%s': %s", cluster->name, cluster->problem);
    }
    return check_age(store, cluster->name, cluster->db_id, cluster->version, err);
}

int dc_store_put(struct dc_store *store, struct cluster_meta *take_cluster, mono_ms now,
                 struct xp_err *err)
{
    int rc = check_push(store, take_cluster, err);
    if (rc == 0) {
        store->seq++;
        store->changed_at = now;
        raise_version(store, take_cluster->version);
        take_cluster = active_orders_apply(&store->orders, take_cluster, now);
        struct cluster_meta *before = map_get_n(&store->by_id, (uint64_t)take_cluster->db_id);
        struct cluster_meta *namesake = map_get(&store->by_name, take_cluster->name);
        if (namesake && namesake != before) {
            replace(store, namesake, NULL); /* deleted and made again under the same name */
        }
        replace(store, before, take_cluster);
    }
    cluster_meta_unref(take_cluster);
    return rc;
}

int dc_store_remove(struct dc_store *store, const char *name, int64_t version, mono_ms now,
                    struct xp_err *err)
{
    struct cluster_meta *old = map_get(&store->by_name, name);
    int rc = old ? check_age(store, name, old->db_id, version, err) : 0;
    if (rc != 0) {
        return rc;
    }
    store->seq++;
    store->changed_at = now;
    if (version > store->document_version) {
        raise_version(store, version);
        deleted_clusters_add(&store->deleted, name, version);
    }
    if (old) {
        active_orders_forget(&store->orders, old->db_id);
        replace(store, old, NULL);
    }
    return 0;
}

int dc_store_set_active(struct dc_store *store, int64_t db_id, const char *dc, mono_ms now,
                        struct xp_err *err)
{
    struct cluster_meta *before = map_get_n(&store->by_id, (uint64_t)db_id);
    if (!before) {
        return xp_fail(err, XP_NOT_FOUND, "cluster %lld is not in the metadata", (long long)db_id);
    }
    struct cluster_meta *after = NULL;
    int rc = cluster_meta_with_active(before, dc, &after, err);
    if (rc != 0) {
        return rc;
    }
    log_info("cluster.active_ordered", "cluster", before->name, "from", before->active_dc, "to",
             dc);
    active_orders_set(&store->orders, before, dc, now);
    store->seq++;
    store->changed_at = now;
    if (!text_eq(before->active_dc, dc)) {
        replace(store, before, after);
    }
    cluster_meta_unref(after);
    return 0;
}

json_t *dc_store_quarantine_json(const struct dc_store *store)
{
    json_t *names = json_array();
    for (size_t i = 0; i < store->held_names.count; i++) {
        (void)json_array_append_new(names, json_string(store->held_names.items[i]));
    }
    json_t *problems = json_array();
    size_t at = 0;
    for (const struct map_slot *slot; (slot = map_next(&store->problems, &at));) {
        (void)json_array_append_new(problems,
                                    json_pack("{s:o, s:o}", "cluster", jd_text(slot->text),
                                              "problem", jd_text(slot->value)));
    }
    return json_pack("{s:i, s:b, s:o, s:o}", "held", store->held, "routesHeld", store->routes_held,
                     "clusters", names, "problems", problems);
}

int dc_store_held_count(const struct dc_store *store)
{
    return store->held + store->routes_held;
}

bool dc_store_wants_again(const struct dc_store *store)
{
    return dc_store_held_count(store) > 0 || active_orders_withhold(&store->orders);
}

int dc_store_problem_count(const struct dc_store *store)
{
    return (int)map_count(&store->problems);
}
