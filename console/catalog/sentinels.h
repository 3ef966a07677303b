/* sentinels.h - groups of Redis Sentinels, and which group looks after a shard in a DC (console-api.md 2.7, 3.14). See catalog.h.
 *
 * A group has a cluster type, a tag and sentinels, each in a DC; addresses are unique over all live sentinels. A new shard
 * gets, per DC, an active group of its cluster's type and tag that has a sentinel there: the one with the fewest shards, then the
 * lowest id. Not for CROSS_DC: one monitor spans its DCs, and groups chosen per DC would promote against each other. None fits:
 * the shard has none there. Not here: the monitors on the sentinels; the metaservers keep them (meta/primary).
 * A group that is not active gets no new shards, and still looks after those that it has. */
#ifndef CONSOLE_CATALOG_SENTINELS_H
#define CONSOLE_CATALOG_SENTINELS_H

#include "console/catalog/catalog.h"
#include "console/catalog/redises.h"

#define SENTINELS_PER_GROUP_MAX 16

/* ---- groups ---- */

struct sentinel_row {
    int64_t id;
    int64_t dc_id;
    char *dc;
    struct addr addr;
};
struct sentinel_group_row {
    int64_t id;
    char *cluster_type; /* upper case */
    char *tag;
    char *description;
    bool is_active;
    int64_t shard_count; /* a shard in two DCs counts twice */
    struct sentinel_row *sentinels;
    size_t count;
};
struct sentinel_group_rows {
    struct sentinel_group_row *items;
    size_t count;
};
struct sentinel_filter {
    const char *dc;           /* NULL: any; unknown: XP_NOT_FOUND */
    const char *cluster_type; /* NULL: any; unknown: XP_INVALID */
};
/* By id. */
int sentinel_groups_list(struct catalog *, const struct sentinel_filter *,
                         struct sentinel_group_rows *ret_rows, struct xp_err *) XP_MUST_CHECK;
/* XP_NOT_FOUND: `sentinel group with id:<id> not exist`. */
int sentinel_groups_get(struct catalog *, int64_t id, struct sentinel_group_row *ret_row,
                        struct xp_err *) XP_MUST_CHECK;
void sentinel_group_row_done(struct sentinel_group_row *);
void sentinel_group_rows_done(struct sentinel_group_rows *);
/* "ip:port,ip:port" in the order of the sentinels. Returns owned (free). */
char *sentinel_group_address(const struct sentinel_group_row *);

struct sentinel_spec {
    int64_t dc_id;
    const char *ip; /* numeric */
    int64_t port;
};
struct sentinel_group_spec {
    int64_t id;               /* create: 0; else its sentinels are added to that group */
    const char *cluster_type; /* of create */
    const char *tag;          /* of create; NULL: "" */
    const char *description;  /* of create; NULL: "" */
    bool is_inactive;         /* of create */
    const struct sentinel_spec *sentinels; /* 1 to SENTINELS_PER_GROUP_MAX */
    size_t count;
};
/* Effect of all: the documents of the DCs that show the group. */
int sentinel_groups_create(struct catalog *, const struct change_ctx *,
                           const struct sentinel_group_spec *, struct catalog_result *ret_result,
                           struct xp_err *) XP_MUST_CHECK;
/* Its sentinels become these. */
int sentinel_groups_set_addresses(struct catalog *, const struct change_ctx *,
                                  const struct sentinel_group_spec *,
                                  struct catalog_result *ret_result, struct xp_err *) XP_MUST_CHECK;
struct sentinel_group_edit {
    int64_t id;
    enum tri active;
    const char *tag; /* NULL: stays */
};
int sentinel_groups_edit(struct catalog *, const struct change_ctx *,
                         const struct sentinel_group_edit *, struct catalog_result *ret_result,
                         struct xp_err *) XP_MUST_CHECK;
/* XP_CONFLICT while shards use it. */
int sentinel_groups_delete(struct catalog *, const struct change_ctx *, int64_t id,
                           struct catalog_result *ret_result, struct xp_err *) XP_MUST_CHECK;
/* Every shard that uses the group and that it does not fit (inactive, other type or tag, no sentinel in the DC, deleted) gets
 * another one; a shard without any other, or of a cluster that migrates, keeps it, counted in the warning. changed_count: those that got
 * another. Effect: their clusters changed, in these DCs. */
int sentinel_groups_reheal(struct catalog *, const struct change_ctx *, int64_t id,
                           struct catalog_result *ret_result, struct xp_err *) XP_MUST_CHECK;

/* ---- the group of a shard in a DC ---- */

struct sentinel_use { /* a shard in a DC */
    char *dc;         /* NULL where the caller named it */
    char *cluster;    /* same */
    char *shard;
    struct addr master; /* as stored; none: unknown */
};
struct sentinel_uses {
    struct sentinel_use *items;
    size_t count;
};
/* Of the group of the sentinel at this address. XP_NOT_FOUND: `<ip>:<port> not found`. */
int sentinel_uses_of(struct catalog *, const struct addr *, struct sentinel_uses *ret_uses,
                     struct xp_err *) XP_MUST_CHECK;
void sentinel_use_done(struct sentinel_use *);
void sentinel_uses_done(struct sentinel_uses *);

/* XP_NOT_FOUND: `<dc>:<cluster>:<shard> not found`, `sentinel group id: <id> not found` (0: it has none). */
int shard_sentinels_get(struct catalog *, const struct shard_place *, struct sentinel_use *ret_use,
                        struct sentinel_group_row *ret_group, struct xp_err *) XP_MUST_CHECK;
/* The same by the address of a redis or keeper. `<ip>:<port> not found`. */
int redis_sentinels_get(struct catalog *, const struct addr *, struct sentinel_use *ret_use,
                        struct sentinel_group_row *ret_group, struct xp_err *) XP_MUST_CHECK;
/* Takes the group away. The effect of these: the cluster changed, in that DC. */
int shard_sentinels_clear(struct catalog *, const struct change_ctx *, const struct shard_place *,
                          struct catalog_result *ret_result, struct xp_err *) XP_MUST_CHECK;
/* Chooses anew, itself not counted; the present one stays when none has fewer shards (is_noop). object_id: the group.
 * XP_CONFLICT when none fits. */
int shard_sentinels_choose(struct catalog *, const struct change_ctx *, const struct shard_place *,
                           struct catalog_result *ret_result, struct xp_err *) XP_MUST_CHECK;

#endif
