/* clusters.h - clusters (console-api.md 3.3). See catalog.h.
 *
 * Deletion is soft: the row stays with deleted_at set, its id is never reused, its name is free again at once. A cluster
 * that is not in status Normal (locked by a migration) is not deleted, bound or unbound. */
#ifndef CONSOLE_CATALOG_CLUSTERS_H
#define CONSOLE_CATALOG_CLUSTERS_H

#include "console/catalog/catalog.h"

struct cluster_row {
    int64_t id;
    char *name;
    char *type; /* upper case */
    char *description;
    int64_t org_pk; /* organization.id: stored, published in documents */
    int64_t org_id; /* organization.org_id: external, what GET /api/cluster shows */
    char *org_name;
    char *admin_emails;
    char *status; /* Normal, Lock, Migrating, Rollback */
    char *tag;
    char *active_dc;     /* NULL for multi-active types */
    struct names dcs;    /* active DC first, then binding order; inner names */
    char *last_modified; /* yyyyMMddHHmmssSSS, UTC */
    wall_ms created_ms;
    int64_t version; /* idx of the last change of the cluster or of anything in it */
};
struct cluster_rows {
    struct cluster_row *items;
    size_t count;
};

struct cluster_spec {
    const char *name;
    const char *type; /* NULL: ONE_WAY */
    const char *description;
    const char *admin_emails;
    bool has_org_id;
    int64_t org_id;         /* external */
    const char *const *dcs; /* the first is the active one */
    size_t dc_count;
};
/* Order of checks and texts as in 3.3.1. Effect: changed, all DCs. */
int clusters_create(struct catalog *, const struct change_ctx *, const struct cluster_spec *,
                    struct catalog_result *ret_result, struct xp_err *) XP_MUST_CHECK;

/* XP_NOT_FOUND `cluster <c> not found`. */
int clusters_get(struct catalog *, const char *name, struct cluster_row *ret_row,
                 struct xp_err *) XP_MUST_CHECK;

struct cluster_filter {     /* all optional; zeroed: every live cluster */
    unsigned types;         /* TYPE_BIT(...) | ...; 0 all */
    const char *dc;         /* bound to this DC */
    const char *name_part;  /* name contains, without regard to case */
    const char *after_name; /* page cursor: names behind this one */
    int limit;              /* 0: no limit */
};
int clusters_list(struct catalog *, const struct cluster_filter *, struct cluster_rows *ret_rows,
                  struct xp_err *) XP_MUST_CHECK; /* by name */
void cluster_row_done(struct cluster_row *);
void clusters_done(struct cluster_rows *);

struct cluster_update { /* NULL or absent: unchanged */
    const char *name;
    const char *type; /* only ONE_WAY <-> SINGLE_DC */
    const char *description;
    const char *admin_emails;
    const char *tag;
    bool has_org_id;
    int64_t org_id;
};
struct cluster_updates {
    const struct cluster_update *items;
    size_t count;
};
/* All or nothing. is_noop: `No field changes for cluster: <c>` is the answer to give. */
int clusters_update(struct catalog *, const struct change_ctx *, const struct cluster_updates *,
                    struct catalog_result *ret_result, struct xp_err *) XP_MUST_CHECK;

struct cluster_delete {
    const char *name;
    bool check_empty; /* refuse while a redis is left: `cluster not empty` */
};
/* Effect: deleted, all its DCs. */
int clusters_delete(struct catalog *, const struct change_ctx *, const struct cluster_delete *,
                    struct catalog_result *ret_result, struct xp_err *) XP_MUST_CHECK;

struct cluster_stats {
    int64_t cluster_count;
    int64_t shard_count;
};
int clusters_stats(struct catalog *, struct cluster_stats *ret_stats,
                   struct xp_err *) XP_MUST_CHECK;

#endif
