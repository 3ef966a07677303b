/* route_table.h - the routes of this DC as last accepted, parsed once and chosen from.
 *
 * Immutable after route_table_new; the loop swaps the whole table when routes change and keeps the old one until every shard
 * has chosen anew. Owner: loop. */
#ifndef META_DCMETA_ROUTE_TABLE_H
#define META_DCMETA_ROUTE_TABLE_H

#include "shared/model/dc_meta.h"
#include "shared/proxy/route.h"

struct route_table;

/* Copies the rows. */
struct route_table *route_table_new(const struct route_meta *routes, size_t count);
/* No document yet, so it is not known whether a route applies: no rows, and every pick is ROUTE_UNUSABLE with id 0. A push that
 * comes before the first document must not read as "go direct" (D9). */
struct route_table *route_table_new_unknown(void);
void route_table_free(struct route_table *);
const struct route_meta *route_table_rows(const struct route_table *, size_t *ret_count);

struct route_pick {
    enum route_choice_kind kind;
    int64_t route_id;
    bool is_fallback;
    const struct route *route; /* borrowed from the table; when chosen */
};
void route_table_pick(const struct route_table *, const struct cluster_meta *, const char *src_dc,
                      const char *dst_dc, struct route_pick *ret_pick);

#endif
