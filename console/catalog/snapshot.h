/* snapshot.h - everything a metadata document needs, read in a handful of queries in one read transaction
 * (console-api.md 3.9). Not here: JSON.
 *
 * One builder for both forms: the whole DC (polled) and one cluster in a DC (pushed), so that they never disagree.
 * Sorted: clusters and shards by name (bytes), redises and keepers by id, routes by id, DCs in binding order.
 * All texts and arrays live in the snapshot and are freed with it; immutable. DC names in stored spelling. */
#ifndef CONSOLE_CATALOG_SNAPSHOT_H
#define CONSOLE_CATALOG_SNAPSHOT_H

#include "console/catalog/catalog.h"

struct snap_redis { /* a redis or a keeper */
    int64_t id;
    const char *run_id;
    const char *ip;
    int port;
    bool is_master; /* redis; for one-way types false outside the active DC, whatever is stored */
    bool is_active; /* keeper */
    int64_t container_id; /* keeper */
    int64_t priority;     /* keeper */
    const char *az;       /* "" none */
    wall_ms created_ms;
};
struct snap_shard {
    int64_t id;
    const char *name;
    const char *monitor_name; /* the shard's own; documents say "<cluster>+<monitor>+<dc>" */
    int64_t sentinel_id;      /* 0 none */
    wall_ms operating_until_ms;
    const struct snap_redis *redises;
    size_t redis_count;
    const struct snap_redis *keepers;
    size_t keeper_count;
};
struct snap_cluster {
    int64_t id;
    const char *name;
    enum cluster_type type;
    const char *type_name; /* upper case */
    const char *status;
    int64_t org_id; /* primary key */
    const char *admin_emails;
    const char *last_modified; /* yyyyMMddHHmmssSSS */
    const char *active_dc;     /* NULL for multi-active types */
    const char *const *dcs;    /* every DC of the cluster, binding order */
    size_t dc_count;
    const int64_t *designated_route_ids;
    size_t designated_count;
    int64_t version; /* idx of the last change of the cluster or anything in it */
    const struct snap_shard *shards;
    size_t shard_count;
};
/* A cluster's version as documents of the DC show it: never beyond the DC's own. Whatever changes the cluster in the
 * document changes this number. */
struct snap_bound {
    int64_t cluster_id;
    int64_t version;
};
struct snap_route { /* active and usable */
    int64_t id;
    const char *cluster_type; /* upper case; "" any */
    int64_t org_id;
    const char *tag;
    const char *src_dc;
    const char *dst_dc;
    const char *route_info;
    bool is_public;
};
struct snap_bad_route { /* active and unusable (R4): documents carry it with an empty route_info */
    struct snap_route route; /* route_info is "" */
    const char *problem;
};
struct snap_container {
    int64_t id;
    const char *ip;
    int port;
    int64_t az_id;
    const char *disk_type;
    const char *tag;
};
struct snap_sentinel {
    int64_t id;
    const char *address; /* "ip:port,ip:port" */
    const char *cluster_type;
};
struct snap_az {
    const char *name;
    bool is_active;
};

struct dc_snapshot {
    int64_t version; /* the store's version as this read saw it */
    int64_t dc_id;
    const char *dc;     /* stored spelling */
    int64_t dc_version; /* idx of the last change that concerns this DC's document: an ETag */
    const char *zone;
    const char *last_modified;
    const struct snap_cluster *clusters;
    size_t cluster_count;
    /* polled form: every cluster of the DC, by id, empty ones included */
    const struct snap_bound *bound;
    size_t bound_count;
    const struct snap_route *routes; /* of source DC = this one */
    size_t route_count;
    const struct snap_bad_route *bad_routes;
    size_t bad_route_count;
    const struct snap_container *containers; /* active ones of this DC */
    size_t container_count;
    /* active groups with a sentinel here, and those that shards here use */
    const struct snap_sentinel *sentinels;
    size_t sentinel_count;
    const struct snap_az *azs;
    size_t az_count;
    void *memory; /* owns all of the above */
};

/* The polled form: clusters of these types (0: all) that are bound to the DC and have a shard with a live redis or
 * keeper there; shards without any are left out. XP_NOT_FOUND: `dc <dc> not found`. Returns owned. */
int catalog_dc_snapshot(struct catalog *, const char *dc, unsigned types,
                        struct dc_snapshot **ret_snapshot, struct xp_err *) XP_MUST_CHECK;
/* The same for who has clusters of an earlier one: 'clusters' lacks those that are 'known' with the version they still
 * have, unless so many changed that reading all is cheaper. 'known': by id, borrowed. */
struct snap_since {
    const char *dc;
    unsigned types;
    const struct snap_bound *known;
    size_t known_count;
};
int catalog_dc_snapshot_since(struct catalog *, const struct snap_since *,
                              struct dc_snapshot **ret_snapshot, struct xp_err *) XP_MUST_CHECK;
/* The pushed form: exactly one cluster, empty shards included; no routes, containers, sentinels, azs.
 * XP_NOT_FOUND: `not find dc cluster <dc> <c>`. */
int catalog_cluster_snapshot(struct catalog *, const char *dc, const char *cluster,
                             struct dc_snapshot **ret_snapshot, struct xp_err *) XP_MUST_CHECK;
void dc_snapshot_free(struct dc_snapshot *); /* NULL is fine */

/* The DC's document version alone, for a conditional GET: cheap. */
int catalog_dc_version(struct catalog *, const char *dc, int64_t *ret_version,
                       struct xp_err *) XP_MUST_CHECK;

#endif
