/* dc_meta.h - the document that tells a metaserver everything about its DC (metaserver.md 5.1, console-api.md 3.9.1).
 *
 * Decoded from the console's JSON, encoded by our console and by tests. All structs are immutable once published; a
 * struct cluster_meta is counted, because pushes replace one cluster among thousands without copying the rest.
 * DC names are lower case here (D13). What x-pipe sends and we do not need is ignored.
 * One bad cluster (unknown type, no dbId) does not spoil the document: it is kept with 'problem' set and must be
 * treated as "present, unusable, unchanged". Thread: any; building belongs to one thread, publication is final. */
#ifndef SHARED_MODEL_DC_META_H
#define SHARED_MODEL_DC_META_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shared/base/addr.h"
#include "shared/base/err.h"
#include "shared/model/cluster_type.h"

struct names {
    char **items;
    size_t count;
};
void names_done(struct names *);
bool names_has(const struct names *, const char *name); /* exact */
struct names names_split(const char *comma_list);       /* lower-cases nothing; owned */

struct redis_meta {
    char *id; /* run id or "unknown"; may be NULL */
    struct addr addr;
    bool is_master; /* the console's flag (master == "" or null): a hint, never a fact */
    int64_t gid;    /* 0 unknown */
};

struct keeper_meta {
    char *id;
    struct addr addr;
    bool is_active;
    int64_t container_id; /* 0 unknown */
    int64_t priority;     /* normalised on load: null -> 1; all <= 0 in a shard -> all 1 */
};

struct shard_meta {
    char *name;
    int64_t db_id;
    int64_t sentinel_id;         /* 0 none */
    char *sentinel_monitor_name; /* may be NULL */
    struct {
        struct redis_meta *items;
        size_t count;
    } redises;
    struct {
        struct keeper_meta *items;
        size_t count;
    } keepers;
};

struct cluster_meta {
    int refs; /* atomic */
    char *name;
    int64_t db_id;
    enum cluster_type type;
    char *active_dc;         /* one-way; NULL otherwise */
    struct names backup_dcs; /* one-way */
    struct names dcs;        /* multi-active: all DCs, the current one included; sorted */
    int64_t org_id;          /* 0 none */
    struct {
        int64_t *items;
        size_t count;
    } designated_route_ids;
    char *status;      /* as sent; may be NULL */
    bool is_migrating; /* status is Lock, Migrating or Rollback: periodic duties keep off (D6) */
    struct {
        struct shard_meta *items;
        size_t count;
    } shards;        /* sorted by name */
    int64_t version; /* change-log index of our console; 0 from a Java one */
    char *problem;   /* NULL, or why this cluster cannot be used */
};

struct route_meta {
    int64_t id;
    char *tag; /* "meta" or "console", lower case */
    char *src_dc;
    char *dst_dc;
    int64_t org_id;     /* <= 0 none */
    char *cluster_type; /* upper case; "" any */
    bool is_public;
    char *route_info; /* text as sent; may be empty (unusable) */
};

struct keeper_container_meta {
    int64_t id;
    struct addr addr;
};

struct sentinel_meta {
    int64_t id;
    char *address;      /* "ip:port,ip:port" */
    char *cluster_type; /* may be NULL */
};

struct dc_meta {
    char *id;        /* lower case; NULL when the document had none */
    int64_t version; /* 0 from a Java console */
    struct {
        struct cluster_meta **items;
        size_t count;
    } clusters; /* sorted by name; each one reference */
    struct {
        struct route_meta *items;
        size_t count;
    } routes; /* in the order sent */
    struct {
        struct keeper_container_meta *items;
        size_t count;
    } containers;
    struct {
        struct sentinel_meta *items;
        size_t count;
    } sentinels;
};

/* Whole documents: text in, struct out. Limits: 64 MiB text and 5 million values (10,000 clusters take about 15 MiB and 1.2
 * million), 100,000 clusters, 10,000 shards a cluster. */
#define DC_META_MAX_BYTES ((size_t)64 * 1024 * 1024)
int dc_meta_parse(const char *text, size_t length, struct dc_meta **ret_meta,
                  struct xp_err *err) XP_MUST_CHECK;
int dc_meta_from_json(const json_t *value, struct dc_meta **ret_meta,
                      struct xp_err *err) XP_MUST_CHECK;
/* with every key of 3.9.1, null where unknown; returns owned */
json_t *dc_meta_to_json(const struct dc_meta *);
void dc_meta_free(struct dc_meta *); /* NULL is fine */
const struct cluster_meta *dc_meta_cluster(const struct dc_meta *,
                                           const char *name); /* binary search; NULL */

int cluster_meta_from_json(const json_t *value, struct cluster_meta **ret_meta,
                           struct xp_err *err) XP_MUST_CHECK;
json_t *cluster_meta_to_json(const struct cluster_meta *);
struct cluster_meta *cluster_meta_ref(struct cluster_meta *);
void cluster_meta_unref(struct cluster_meta *); /* NULL is fine */
const struct shard_meta *cluster_meta_shard(const struct cluster_meta *,
                                            const char *name); /* NULL */
/* Equal in every field a metaserver acts on (the MUST rows of 5.1); order of dcs, redises and keepers does not count,
 * version, status text and run ids do not count, is_migrating does. */
bool cluster_meta_eq(const struct cluster_meta *a, const struct cluster_meta *b);
bool route_meta_eq(const struct route_meta *a, const struct route_meta *b);
/* The rows with texts of their own; free with route_metas_free. */
struct route_meta *route_metas_copy(const struct route_meta *rows,
                                    size_t count);            /* returns owned */
void route_metas_free(struct route_meta *rows, size_t count); /* NULL is fine */

/* RedisMeta of metaserver.md 4.5 as answered by getcurrentmaster and getpeermaster. gid 0 is left out as null. */
json_t *redis_meta_to_json(const struct addr *addr, int64_t gid);
/* The same read back; tolerant of absent fields; XP_INVALID names the field. An empty or null body is XP_NOT_FOUND. */
int redis_meta_parse(const char *text, size_t length, struct redis_meta *ret_meta,
                     struct xp_err *err) XP_MUST_CHECK;
void redis_meta_done(struct redis_meta *);

/* KeeperMeta of metaserver.md 4.5: in documents, in ZooKeeper, as answered by getactivekeeper, in reports to the console. The
 * readers are tolerant of absent fields (no priority is 1); the address is as sent: a host name passes. */
json_t *keeper_meta_to_json(const struct keeper_meta *);
int keeper_meta_from_json(const json_t *value, struct keeper_meta *ret_keeper,
                          struct xp_err *err) XP_MUST_CHECK;
/* An empty or null body is XP_NOT_FOUND. */
int keeper_meta_parse(const char *text, size_t length, struct keeper_meta *ret_keeper,
                      struct xp_err *err) XP_MUST_CHECK;
void keeper_meta_done(struct keeper_meta *); /* frees the content */

#endif
