/* bi_exclusions.h - DCs that are taken out of client routing, of clusters with several active DCs (dr-switchover.md 8.1): records and rules.
 * Replication and Redis stay as they are. Telling the routing platform (bi_tell.h) is between _begin and _end: until _end the record
 * says Fail, so that a crash in between never claims what nobody confirmed. Thread: workers. */
#ifndef CONSOLE_MIGRATION_BI_EXCLUSIONS_H
#define CONSOLE_MIGRATION_BI_EXCLUSIONS_H

#include "console/catalog/catalog.h"

struct bi_request {
    const char *const *clusters; /* others than BI_DIRECTION are left out, as x-pipe does */
    size_t cluster_count;
    const char *const *dcs; /* all that are excluded from now on; none: all are back */
    size_t dc_count;
    const char *operator_name;
};
struct bi_exclusion {
    int64_t id; /* of its record */
    char *cluster;
    struct names dcs;    /* all of the cluster, stored spelling */
    struct names shards; /* at most BI_SHARDS_MAX */
    bool is_told;        /* set by the caller */
    char *links;         /* set by the caller, owned: JSON text for the record; NULL none */
};
#define BI_SHARDS_MAX      1024
#define BI_LINKS_BYTES_MAX 65536 /* more is not recorded */
struct bi_exclusions {
    struct bi_exclusion *items;
    size_t count;
    struct names dcs; /* stored spelling */
};
void bi_exclusions_done(struct bi_exclusions *);

/* All of them or none. XP_NOT_FOUND: a cluster or a DC; XP_INVALID: a DC that is not the cluster's, or that none would be left. */
int bi_exclusions_begin(const struct catalog *, const struct change_ctx *,
                        const struct bi_request *, struct bi_exclusions *ret,
                        struct xp_err *) XP_MUST_CHECK;
/* Success or Fail, as 'is_told' says, with 'links'. */
int bi_exclusions_end(const struct catalog *, const struct bi_exclusions *,
                      struct xp_err *) XP_MUST_CHECK;

/* [{"id","clusterName","operator","operationTime","links","publishInfo","status"}], the newest 1,000 first. Returned owned. */
int bi_exclusions_list(const struct catalog *, json_t **ret, struct xp_err *) XP_MUST_CHECK;
/* ["jq"]: outer names of the DCs of a cluster that are excluded now. XP_NOT_FOUND. Returned owned. */
int bi_exclusions_of(const struct catalog *, const char *cluster, json_t **ret,
                     struct xp_err *) XP_MUST_CHECK;

#endif
