/* dc_relations.h - how far DCs are from each other (regions.relations of x-pipe): which DC a cluster moves to when a request names none.
 *
 *   {"delayPerDistance":2000,
 *    "dcLevel":     [{"src":"jq","dst":"oy","distance":1,"biDirection":true}, {"dcs":"jq,rb","distance":2}, ...],
 *    "clusterLevel":[{"clusterName":"c1","relations":[the same]}],
 *    "regionLevel": [{"src":"SHA","dst":"FRA","distance":3}]}
 *
 * "dcs" holds in both directions. What a cluster's own relations say of the DC that it leaves counts alone; without any, the DC level; without
 * any there, too, all DCs are alike. A smaller distance is preferred; 0 and DCs that are not named are no target, below 0 neither, and for
 * clusters with several active DCs such a DC does not count as one that is left. delayPerDistance and regionLevel are for delays: read, not used.
 * Names of DCs may be inner or outer ones, in any case. Immutable after parsing. Thread: any. */
#ifndef CONSOLE_CATALOG_DC_RELATIONS_H
#define CONSOLE_CATALOG_DC_RELATIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "console/catalog/dc_alias.h"
#include "shared/base/err.h"

#define DC_DISTANCE_ALIKE 1 /* nothing is said */

struct dc_relations;

/* NULL or blank text: nothing is said of any. XP_INVALID with the field. 'alias' is not kept. Returns owned. */
int dc_relations_parse(const char *json_text, const struct dc_alias *alias,
                       struct dc_relations **ret_relations, struct xp_err *) XP_MUST_CHECK;
void dc_relations_free(struct dc_relations *); /* NULL is fine */
/* > 0: a target, the smaller the better; 0: none; < 0: never. Inner names. NULL relations: DC_DISTANCE_ALIKE. */
int32_t dc_relations_distance(const struct dc_relations *, const char *cluster, const char *from,
                              const char *to);
/* Of candidates with these distances: number 'cluster id mod count' of the nearest, so that clusters spread over them. False: none is a target. */
bool dc_relations_pick(const int32_t *distances, size_t count, int64_t cluster_id, size_t *ret_at);

#endif
