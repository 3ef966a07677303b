/* routes.h - routes, and which clusters they serve (console-api.md 3.8, proxy-and-keeper.md 3.2 - 3.7). See catalog.h.
 *
 * A route is a near hop, perhaps a middle one, and a far hop, each a list of proxies tried in turn. A route whose near or
 * far hop, or whose given middle hop, has no active proxy is unusable: never shortened; documents carry it with an empty routeInfo; reported.
 * Effects of a change: the document of the source DC (before and after). ctx->dry_run previews the impact (R8). */
#ifndef CONSOLE_CATALOG_ROUTES_H
#define CONSOLE_CATALOG_ROUTES_H

#include "console/catalog/catalog.h"
#include "shared/proxy/route.h"

struct route_ids {
    int64_t *items;
    size_t count;
};
struct route_row {
    int64_t id;
    int64_t org_id;     /* primary key of the organization; 0 any */
    char *cluster_type; /* upper case; "" any */
    int64_t src_dc_id, dst_dc_id;
    char *src_dc;
    char *dst_dc;
    struct route_ids src_proxies, opt_proxies, dst_proxies; /* in order */
    char *route_info; /* the text metaservers get; "" when unusable */
    char *problem;    /* NULL: usable; else why not */
    char *tag;        /* as stored */
    bool is_active;
    bool is_public;
    char *description;
};
struct route_rows {
    struct route_row *items;
    size_t count;
};
struct route_filter {
    bool active_only;
    const char *src_dc, *dst_dc, *tag; /* NULL: any */
};
int routes_list(struct catalog *, const struct route_filter *, struct route_rows *ret_rows,
                struct xp_err *) XP_MUST_CHECK; /* by id: the order of the choice (R5) */
void route_rows_done(struct route_rows *);

struct route_edit {
    int64_t id; /* update and delete */
    bool has_org_id;
    int64_t org_id; /* primary key, unconverted (3.2) */
    const char *cluster_type;
    const char *src_dc, *dst_dc;
    const char *src_proxy_ids, *opt_proxy_ids,
        *dst_proxy_ids; /* comma lists; "" empty; NULL absent */
    const char *tag;    /* create: absent is "meta" */
    enum tri active;    /* absent in create: NO */
    enum tri is_public; /* absent in create: NO */
    const char *description;
    bool force; /* R6 */
};
int routes_create(struct catalog *, const struct change_ctx *, const struct route_edit *,
                  struct catalog_result *ret_result, struct xp_err *) XP_MUST_CHECK;
int routes_update(struct catalog *, const struct change_ctx *, const struct route_edit *,
                  struct catalog_result *ret_result,
                  struct xp_err *) XP_MUST_CHECK; /* absent: unchanged */
int routes_delete(struct catalog *, const struct change_ctx *, const struct route_edit *,
                  struct catalog_result *ret_result, struct xp_err *) XP_MUST_CHECK;

/* Which route a cluster's links out of src_dc take, by the common rules (route_choose), one row for each other DC. */
struct route_choice_row {
    char *dst_dc;
    struct route_choice choice;
};
struct route_choice_rows {
    struct route_choice_row *items;
    size_t count;
};
struct cluster_src {
    const char *cluster;
    const char *src_dc;
};
int routes_of_cluster(struct catalog *, const struct cluster_src *,
                      struct route_choice_rows *ret_rows, struct xp_err *) XP_MUST_CHECK;
void route_choice_rows_done(struct route_choice_rows *);
/* The same inside a read, for directions that the caller names (stored spelling): what the metaserver of 'src_dc' chooses. */
struct route_direction {
    const char *src_dc;
    const char *dst_dc;
    struct route_choice choice; /* filled in */
};
struct cluster_ref;
int routes_choose(struct db *, const struct cluster_ref *, struct route_direction *directions,
                  size_t count, struct xp_err *) XP_MUST_CHECK;

/* ---- designated routes of a cluster (3.8.5) ---- */
int designated_routes_get(struct catalog *, const struct cluster_src *, struct route_rows *ret_rows,
                          struct xp_err *) XP_MUST_CHECK;
struct designated_edit {
    struct cluster_src of; /* routes of this source DC are replaced */
    const int64_t *route_ids;
    size_t count;
};
/* Effect: changed, in the source DC (one-way types) or all DCs. */
int designated_routes_set(struct catalog *, const struct change_ctx *,
                          const struct designated_edit *, struct catalog_result *ret_result,
                          struct xp_err *) XP_MUST_CHECK;

/* ---- report: R4 and R7 ---- */
struct route_problem {
    int64_t route_id; /* 0: about a direction */
    char *src_dc, *dst_dc;
    char *text;
};
struct route_problems {
    struct route_problem *items;
    size_t count;
};
int routes_check(struct catalog *, struct route_problems *ret_problems,
                 struct xp_err *) XP_MUST_CHECK;
void route_problems_done(struct route_problems *);

#endif
