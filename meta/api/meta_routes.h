/* meta_routes.h - the REST API of xpipe-meta as tables (metaserver.md 4.3), and its wire form of errors.
 *
 * Handlers translate HTTP to calls and nothing else. http_req_arg is the struct app. */
#ifndef META_API_META_ROUTES_H
#define META_API_META_ROUTES_H

#include "shared/net/http_server.h"

extern const struct http_route meta_cluster_routes[]; /* /api/meta: clusters and shards */
/* /api/meta: keepers and upstreams of one-way clusters */
extern const struct http_route meta_keeper_routes[];
extern const struct http_route meta_switch_routes[]; /* /api/meta: change of the primary DC */
/* /api/metacluster, /api/current, /health: this member and its slots */
extern const struct http_route meta_member_routes[];
/* all of them and daemon_routes, NULL-terminated */
extern const struct http_route *const meta_route_tables[];

void meta_on_error(const struct http_req *, const struct http_route *, const struct xp_err *,
                   struct http_resp *);
int meta_on_request(struct http_req *, const struct http_route *, struct xp_err *err);

#endif
