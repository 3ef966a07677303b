/* active_orders.c - see active_orders.h. */
#include "meta/dcmeta/active_orders.h"

#include <string.h>

#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

struct order {
    int64_t version;
    mono_ms at;
    bool was_migrating; /* what was known then, or came since, was of a migration under way */
    bool withholds;     /* the last that came is news, and it holds all the same */
    char dc[];          /* NUL-terminated */
};

void active_orders_init(struct active_orders *orders, int64_t hold_ms)
{
    orders->by_id = MAP_INIT(MAP_NUMBER);
    orders->hold_ms = hold_ms;
}

void active_orders_done(struct active_orders *orders)
{
    size_t at = 0;
    for (const struct map_slot *slot; (slot = map_next(&orders->by_id, &at));) {
        free(slot->value);
    }
    map_done(&orders->by_id);
}

/* Each shard of a cluster is ordered for itself: the first one says what was known before. */
void active_orders_set(struct active_orders *orders, const struct cluster_meta *known,
                       const char *dc, mono_ms now)
{
    struct order *same = map_get_n(&orders->by_id, (uint64_t)known->db_id);
    if (same && text_eq(same->dc, dc)) {
        same->at = now;
        return;
    }
    size_t length = strlen(dc);
    struct order *order = xcalloc(1, sizeof(*order) + length + 1);
    order->version = known->version;
    order->at = now;
    order->was_migrating = known->is_migrating;
    memcpy(order->dc, dc, length);
    free(map_put_n(&orders->by_id, (uint64_t)known->db_id, order));
}

void active_orders_forget(struct active_orders *orders, int64_t db_id)
{
    free(map_remove_n(&orders->by_id, (uint64_t)db_id));
}

static bool is_of(const struct cluster_meta *cluster, const char *dc)
{
    return text_eq(cluster->active_dc, dc) || names_has(&cluster->backup_dcs, dc);
}

/* The one that was active takes the place of the one that is. */
static void exchange(struct cluster_meta *cluster, const char *dc)
{
    for (size_t i = 0; i < cluster->backup_dcs.count; i++) {
        if (text_eq(cluster->backup_dcs.items[i], dc)) {
            char *before = cluster->active_dc;
            cluster->active_dc = cluster->backup_dcs.items[i];
            cluster->backup_dcs.items[i] = before;
            return;
        }
    }
}

int cluster_meta_with_active(const struct cluster_meta *cluster, const char *dc,
                             struct cluster_meta **ret_cluster, struct xp_err *err)
{
    if (!cluster->active_dc || !is_of(cluster, dc)) {
        return xp_fail(err, XP_INVALID, "dc '%s' is none of cluster '%s'", dc, cluster->name);
    }
    json_t *json = cluster_meta_to_json(cluster);
    struct cluster_meta *copy = NULL;
    int rc = cluster_meta_from_json(json, &copy, err);
    json_decref(json);
    if (rc == 0) {
        exchange(copy, dc);
        *ret_cluster = copy;
    }
    return rc;
}

static bool is_news(const struct order *order, const struct cluster_meta *cluster)
{
    return !cluster->is_migrating && (cluster->version == 0 || cluster->version > order->version);
}

static bool is_held(const struct active_orders *orders, const struct order *order,
                    const struct cluster_meta *cluster, mono_ms now)
{
    return !order->was_migrating && !text_eq(cluster->active_dc, order->dc) &&
           (now == MONO_NEVER || mono_age(now, order->at) < orders->hold_ms);
}

struct cluster_meta *active_orders_apply(struct active_orders *orders,
                                         struct cluster_meta *take_cluster, mono_ms now)
{
    struct order *order = map_get_n(&orders->by_id, (uint64_t)take_cluster->db_id);
    struct cluster_meta *copy = NULL;
    struct xp_err err;
    if (!order || take_cluster->problem) {
        return take_cluster;
    }
    order->was_migrating = order->was_migrating || take_cluster->is_migrating;
    order->withholds = is_news(order, take_cluster) && is_held(orders, order, take_cluster, now);
    if ((is_news(order, take_cluster) && !order->withholds) ||
        cluster_meta_with_active(take_cluster, order->dc, &copy, &err) != 0) {
        log_info("cluster.active_order_over", "cluster", take_cluster->name, "ordered", order->dc,
                 "active", take_cluster->active_dc);
        active_orders_forget(orders, take_cluster->db_id);
        return take_cluster;
    }
    cluster_meta_unref(take_cluster);
    return copy;
}

bool active_orders_withhold(const struct active_orders *orders)
{
    size_t at = 0;
    for (const struct map_slot *slot; (slot = map_next(&orders->by_id, &at));) {
        const struct order *order = slot->value;
        if (order->withholds) {
            return true;
        }
    }
    return false;
}
