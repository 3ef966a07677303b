/* active_orders.c - see active_orders.h. */
#include "meta/dcmeta/active_orders.h"

#include <string.h>

#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"

#include "shared/base/banned.h"

struct order {
    int64_t version;
    char dc[]; /* NUL-terminated */
};

void active_orders_init(struct active_orders *orders)
{
    orders->by_id = MAP_INIT(MAP_NUMBER);
}

void active_orders_done(struct active_orders *orders)
{
    size_t at = 0;
    for (const struct map_slot *slot; (slot = map_next(&orders->by_id, &at));) {
        free(slot->value);
    }
    map_done(&orders->by_id);
}

void active_orders_set(struct active_orders *orders, int64_t db_id, const char *dc, int64_t version)
{
    size_t length = strlen(dc);
    struct order *order = xcalloc(1, sizeof(*order) + length + 1);
    order->version = version;
    memcpy(order->dc, dc, length);
    free(map_put_n(&orders->by_id, (uint64_t)db_id, order));
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

struct cluster_meta *active_orders_apply(struct active_orders *orders,
                                         struct cluster_meta *take_cluster)
{
    const struct order *order = map_get_n(&orders->by_id, (uint64_t)take_cluster->db_id);
    struct cluster_meta *copy = NULL;
    struct xp_err err;
    if (!order || take_cluster->problem) {
        return take_cluster;
    }
    if (is_news(order, take_cluster) ||
        cluster_meta_with_active(take_cluster, order->dc, &copy, &err) != 0) {
        log_info("cluster.active_order_over", "cluster", take_cluster->name, "ordered", order->dc,
                 "active", take_cluster->active_dc);
        active_orders_forget(orders, take_cluster->db_id);
        return take_cluster;
    }
    cluster_meta_unref(take_cluster);
    return copy;
}
