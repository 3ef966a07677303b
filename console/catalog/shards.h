/* shards.h - shards (console-api.md 3.5). See catalog.h.
 *
 * A shard has one row for each bound DC, always. The sentinel monitor name is the shard name, whatever is sent.
 * Every call is one transaction: a list is created as a whole or not at all. */
#ifndef CONSOLE_CATALOG_SHARDS_H
#define CONSOLE_CATALOG_SHARDS_H

#include "console/catalog/catalog.h"
#include "console/catalog/redises.h"

#define SHARDS_PER_CLUSTER_MAX 10000

struct shard_spec {
    const char *name;
    const char *monitor_name;
};
struct shards_create {
    const char *cluster;
    const struct shard_spec *items;
    size_t count;
    bool check_monitor_name; /* page path: `Monitor name should be exact same with shard name` */
};
/* Empty shards. One bad shard: `fail shards:<s> (nothing was created): <reason>`. Effect: changed, all DCs. */
int shards_create(struct catalog *, const struct change_ctx *, const struct shards_create *,
                  struct catalog_result *ret_result, struct xp_err *) XP_MUST_CHECK;

struct shard_part { /* the redises of one shard in one DC: 'text' and 'items' together */
    const char *shard;
    const char *dc;
    const char *text; /* "ip:port, ip:port"; NULL: none */
    const struct instance_spec *items;
    size_t count;
};
struct shards_with_redises {
    const char *cluster;
    const struct shard_part *parts; /* at most 10,000 */
    size_t count;
    /* POST /api/shards/{c}/{s}: its DC and monitor-name rules and texts; else the 'with/redises' form */
    bool is_one_shard;
};
/* Finds or creates each shard, adds its redises (those already there are skipped), then keepers in each listed DC of a type
 * with keepers: 2 or more stay, one is replaced by two, none become two. A DC without any keeper container gets none (D11);
 * one with too few fails as a whole: `Organization keepers size:<n>, but we need:2`. */
int shards_create_with_redises(struct catalog *, const struct change_ctx *,
                               const struct shards_with_redises *,
                               struct catalog_result *ret_result, struct xp_err *) XP_MUST_CHECK;

struct shard_row {
    int64_t id;
    char *name;
    char *monitor_name;
    int64_t cluster_id;
    char *cluster;
    char *cluster_type;
    struct names dcs; /* where it has a row, binding order */
};
struct shard_rows {
    struct shard_row *items;
    size_t count;
};
/* cluster NULL: the shards of all clusters of these types (0 all), by cluster and shard name. An unknown cluster is
 * XP_NOT_FOUND. */
int shards_list(struct catalog *, const char *cluster, unsigned types, struct shard_rows *ret_rows,
                struct xp_err *) XP_MUST_CHECK;
void shard_rows_done(struct shard_rows *);

struct shards_delete {
    const char *cluster;
    const char *const *names;
    size_t count;
    bool is_list; /* the caller sent a list, be it of one name: chooses the text below */
};
/* XP_NOT_FOUND with `Cluster already not exist`, `Shard already not exist` or, for a list, `Some shard already not exist`
 * (nothing is deleted): old endpoints answer these with state 0. Effect: changed, all DCs. */
int shards_delete(struct catalog *, const struct change_ctx *, const struct shards_delete *,
                  struct catalog_result *ret_result, struct xp_err *) XP_MUST_CHECK;

#endif
