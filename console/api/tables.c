/* tables.c - see tables.h. */
#include "console/api/tables.h"

#include "shared/net/daemon.h"
#include "shared/base/banned.h"

const struct http_route *const api_tables[] = {
    api_zone_routes,
    api_dc_routes,
    api_organization_routes,
    api_cluster_routes,
    api_shard_routes,
    api_redis_routes,
    api_az_routes,
    api_keeper_container_routes,
    api_keeper_routes,
    api_shard_page_routes,
    api_sentinel_routes,
    api_proxy_routes,
    api_route_routes,
    api_peer_routes,
    api_document_routes,
    api_migration_routes,
    api_migration_page_routes,
    api_migrations_v2_routes,
    api_divergence_routes,
    api_readiness_routes,
    api_bi_migration_routes,
    api_beacon_routes,
    api_health_routes,
    api_unsupported_routes,
    daemon_routes,
    NULL,
};
