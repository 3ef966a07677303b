/* api_unsupported.c - known paths of features that are not offered: 501 with the name of the feature, so that a tool can tell
 * a missing feature from a wrong path (console-api.md 3.16). Rows leave this table when their feature comes. */
#include "console/api/request.h"
#include "console/api/tables.h"
#include "shared/base/banned.h"

#define FEATURE(name, text)                                                                        \
    static int refuse_##name(struct http_req *req, struct http_resp *resp, struct xp_err *err)     \
    {                                                                                              \
        (void)req;                                                                                 \
        (void)resp;                                                                                \
        return xp_fail(err, XP_UNSUPPORTED, "not supported: " text);                               \
    }

FEATURE(appliers, "appliers")
FEATURE(regions, "regions (az groups)")
FEATURE(rules, "redis-check rules")
FEATURE(exchange, "exchange of cluster names")
FEATURE(reset, "reset of cluster locks, the engine of migrations owns them: cancel, roll back or "
               "force the event (/api/v2/migrations)")
FEATURE(adoption, "adoption of existing sentinel monitors")
FEATURE(rebalance, "rebalancing of sentinel groups")
FEATURE(switches, "switches")
FEATURE(checks, "health checks")
FEATURE(rows, "raw rows between consoles")

#define ROW(method, path, name)                                                                    \
    {                                                                                              \
        method, path, refuse_##name, HTTP_ON_LOOP, API_BODY_BYTES, "public", "not offered: " #name \
    }

/* clang-format off */
const struct http_route api_unsupported_routes[] = {
    ROW("*", "/api/clusters/{cluster}/repl-direction", appliers),
    ROW("*", "/api/clusters/{cluster}/repl-completion", appliers),
    ROW("*", "/api/clusters/{cluster}/azGroup", regions),
    ROW("*", "/api/clusters/{cluster}/regions/{region}/azs/{az}", regions),
    ROW("*", "/api/shards/{cluster}/regions/{region}", regions),
    ROW("*", "/api/shards/{cluster}/regions/{region}/{shard}", regions),
    ROW("*", "/api/cluster/region/exchange", regions),
    ROW("*", "/api/azGroup", regions),
    ROW("*", "/api/azGroup/{name}", regions),
    ROW("*", "/api/redisCheck", rules),
    ROW("*", "/api/redisCheck/{id}", rules),
    ROW("*", "/api/dcCluster", rules),
    ROW("*", "/api/dcCluster/{cluster}", rules),
    ROW("PUT", "/api/cluster/exchangename", exchange),
    ROW("POST", "/api/debug/reset/clusters/{dc}", reset),
    ROW("POST", "/api/bind/shard/sentinels/{dc}/{cluster}/{shard}", adoption),
    ROW("POST", "/api/add/shard/sentinels/{dc}/{cluster}/{shard}", adoption),
    ROW("POST", "/api/bind/cluster/sentinels/{dc}/{cluster}", adoption),
    ROW("POST", "/api/rebalance/sentinels/{dc}/{action}", rebalance),
    ROW("GET", "/api/rebalance/sentinels/{dc}/process", rebalance),
    ROW("POST", "/api/config/{key}/{action}", switches),
    ROW("POST", "/api/config/{key}/{cluster}/{action}", switches),
    ROW("GET", "/api/config/sentinel/check/{cluster}", switches),
    ROW("GET", "/api/config/sentinel/check/exclude/all", switches),
    ROW("POST", "/api/config/sentinel/check/{cluster}/{action}", switches),
    ROW("POST", "/api/config/sentinel/check/{cluster}/stop/{minutes}", switches),
    ROW("GET", "/api/config/alert/cluster/exclude/all", switches),
    ROW("POST", "/api/config/alert/{cluster}/stop/{minutes}", switches),
    ROW("GET", "/api/redis/inner/unhealthy", checks),
    ROW("GET", "/api/redis/inner/unhealthy/all", checks),
    ROW("GET", "/api/redis/delay/{ip}/{port}", checks),
    ROW("GET", "/api/cross-master/delay/{dc}/{cluster}/{shard}", checks),
    ROW("GET", "/api/clusters/all", rows),
    ROW("GET", "/api/clusters/{cluster}/dcs", rows),
    API_END,
};
/* clang-format on */
