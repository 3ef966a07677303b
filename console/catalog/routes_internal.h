/* routes_internal.h - inside console/catalog only: routes as the database has them, and what a change of them does. */
#ifndef CONSOLE_CATALOG_ROUTES_INTERNAL_H
#define CONSOLE_CATALOG_ROUTES_INTERNAL_H

#include "console/catalog/lookup.h"
#include "console/catalog/routes.h"

/* Live routes with first_id <= id <= last_id, with route_info and problem worked out. */
int routes_load(struct db *, int64_t first_id, int64_t last_id, struct route_rows *ret_rows,
                struct xp_err *) XP_MUST_CHECK;
/* The routes as a document has them, for route_choose: the active ones, unusable ones with an empty text (they are never "no route", and count for the
 * index of the choice). The rows are borrowed; free(the array). */
struct route_meta *route_metas_of(const struct route_rows *, size_t *ret_count);

/* What the change inside this transaction did to the clusters, 'before' being the routes as they were. */
int routes_impact(struct db *, const struct route_rows *before, const struct route_rows *after,
                  struct route_impact *ret_impact, struct xp_err *) XP_MUST_CHECK;
/* The end of each change of routes or proxies: refuses what strands clusters or breaks a route unless 'force' (R3, R6),
 * fills impact and warning, and tells the source DCs of all routes that differ. */
int routes_finish_change(struct change *, struct catalog_result *, const struct route_rows *before,
                         bool force, struct xp_err *) XP_MUST_CHECK;
/* Every rule of R2 that a stored route must meet whoever changes it (its DCs against its proxies). */
int route_row_check(struct db *, const struct route_row *, struct xp_err *) XP_MUST_CHECK;

#endif
