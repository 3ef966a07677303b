/* tables.h - every route table of the console, in the order in which they are printed and documented.
 * Each table lives with its handlers in api_NAME.c. Immutable. Thread: any. */
#ifndef CONSOLE_API_TABLES_H
#define CONSOLE_API_TABLES_H

#include "shared/net/http_server.h"

extern const struct http_route api_zone_routes[];
extern const struct http_route api_dc_routes[];
extern const struct http_route api_organization_routes[];
extern const struct http_route api_cluster_routes[];
extern const struct http_route api_shard_routes[];
extern const struct http_route api_redis_routes[];
extern const struct http_route api_az_routes[];
extern const struct http_route api_keeper_container_routes[];
extern const struct http_route api_keeper_routes[];
extern const struct http_route api_shard_page_routes[];
extern const struct http_route api_sentinel_routes[];
extern const struct http_route api_proxy_routes[];
extern const struct http_route api_route_routes[];
extern const struct http_route api_peer_routes[];
extern const struct http_route api_document_routes[];
extern const struct http_route api_migration_routes[];
extern const struct http_route api_migration_page_routes[];
extern const struct http_route api_migrations_v2_routes[];
extern const struct http_route api_divergence_routes[];
extern const struct http_route api_readiness_routes[];
extern const struct http_route api_bi_migration_routes[];
extern const struct http_route api_beacon_routes[];
extern const struct http_route api_health_routes[];
extern const struct http_route api_unsupported_routes[];

/* All of the above and daemon_routes; ends with NULL. */
extern const struct http_route *const api_tables[];

/* Bodies of ordinary calls, and of calls that carry lists. */
#define API_BODY_BYTES (256 * 1024)
#define API_LIST_BYTES (16 * 1024 * 1024)
#define API_END                                                                                    \
    {                                                                                              \
        NULL, NULL, NULL, HTTP_ON_WORKER, 0, NULL, NULL                                            \
    }

#endif
