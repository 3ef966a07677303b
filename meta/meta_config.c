/* meta_config.c - see meta_config.h. */
#include "meta/meta_config.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <jansson.h>
#include <net/if.h>
#include <stddef.h>
#include <string.h>

#include "shared/base/addr.h"
#include "shared/base/mem.h"
#include "shared/base/str.h"
#include "shared/model/cluster_type.h"
#include "shared/model/json_decode.h"

#include "shared/base/banned.h"

static int check_name(const char *text, struct xp_err *err)
{
    for (const char *p = text; *p; p++) {
        bool ok = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
                  (*p >= '0' && *p <= '9') || strchr("-_.", *p);
        if (!ok) {
            return xp_fail(err, XP_INVALID, "'%s' may hold letters, digits, '-', '_' and '.' only",
                           text);
        }
    }
    return 0;
}

static int check_url(const char *text, struct xp_err *err)
{
    if (!text_has_prefix(text, "http://") && !text_has_prefix(text, "https://")) {
        return xp_fail(err, XP_INVALID, "'%s' must begin with http:// or https://", text);
    }
    return 0;
}

static int check_ip(const char *text, struct xp_err *err)
{
    struct addr addr = addr_of(text, 1);
    if (text[0] && !addr_is_numeric(&addr)) {
        return xp_fail(err, XP_INVALID, "'%s' is not an IP address", text);
    }
    return 0;
}

static int check_types(const char *text, struct xp_err *err)
{
    const char *cursor = text;
    const char *part;
    size_t length;
    while (text_next_part(&cursor, ",;", &part, &length)) {
        AUTO_FREE char *name = xstrndup(part, length);
        if (cluster_type_from_text(name) == CLUSTER_UNKNOWN) {
            return xp_fail(err, XP_INVALID, "unknown cluster type '%s'", name);
        }
    }
    return 0;
}

static int check_orphans(const char *text, struct xp_err *err)
{
    if (!text_eq(text, "off") && !text_eq(text, "report") && !text_eq(text, "known") &&
        !text_eq(text, "remove")) {
        return xp_fail(err, XP_INVALID, "'%s' must be 'off', 'report', 'known' or 'remove'", text);
    }
    return 0;
}

static int check_failover(const char *text, struct xp_err *err)
{
    if (!text_eq(text, "report") && !text_eq(text, "auto")) {
        return xp_fail(err, XP_INVALID, "'%s' must be 'report' or 'auto'", text);
    }
    return 0;
}

/* {"dc":{"metaServerAddress":"http://host:port"}} */
static int check_dcinfos(const char *text, struct xp_err *err)
{
    json_t *json = NULL;
    int rc = jd_parse(text, strlen(text), &json, err);
    if (rc != 0) {
        return rc;
    }
    const char *dc;
    json_t *info;
    if (!json_is_object(json)) {
        rc = xp_fail(err, XP_INVALID, "must be a JSON object of DC names");
    }
    json_object_foreach (json, dc, info) {
        const char *address = json_string_value(json_object_get(info, "metaServerAddress"));
        if (rc == 0 && text_is_empty(address)) {
            rc = xp_fail(err, XP_INVALID, "'%s' needs a text 'metaServerAddress'", dc);
        }
    }
    json_decref(json);
    return rc;
}

/* clang-format off */
#define ISOLATION_FENCE_MIN_S 3 /* below, a slow answer looks like an isolated DC */
#define M(field) offsetof(struct meta_config, field)
const struct config_row meta_config_rows[] = {
    DAEMON_CONFIG_ROWS(struct meta_config, common),
    { "meta", "metaserver.id", CFG_INT, M(metaserver_id), "1", 1, 1000000, "", false,
      "Number of this metaserver, unique in its DC; name of its node in ZooKeeper", NULL },
    { "meta", "dc", CFG_TEXT, M(dc), "", 0, 128, "", false,
      "Name of the DC this metaserver belongs to; required", check_name },
    { "meta", "server.ip", CFG_TEXT, M(server_ip), "", 0, 63, "", false,
      "Address published in ZooKeeper; empty: the first non-loopback IPv4 address", check_ip },
    { "meta", "server.port", CFG_INT, M(server_port), "8080", 1, 65535, "", false,
      "HTTP port, published in ZooKeeper", NULL },
    { "meta", "server.bind.ip", CFG_TEXT, M(bind_ip), "0.0.0.0", 1, 63, "", false,
      "Address the HTTP server listens on", check_ip },
    { "meta", "zk.address", CFG_TEXT, M(zk_address), "127.0.0.1:2181", 1, 4096, "", true,
      "ZooKeeper servers, host:port separated by commas; a change is used at the next connect", NULL },
    { "meta", "zk.namespace", CFG_TEXT, M(zk_namespace), "xpipe", 1, 128, "", false,
      "First path element of every node in ZooKeeper", check_name },
    { "meta", "zk.session.timeout.milli", CFG_INT, M(zk_session_timeout_ms), "5000", 1000, 120000, "ms", false,
      "Session time-out asked of ZooKeeper; the server may give another one, which then counts", NULL },
    { "meta", "console.address", CFG_TEXT, M(console_address), "http://localhost:8080", 1, 1024, "", false,
      "Base URL of the console", check_url },
    { "meta", "dcinfos", CFG_TEXT, M(dcinfos), "{}", 2, 65535, "", false,
      "JSON object: DC name to {\"metaServerAddress\":\"http://host:port\"}", check_dcinfos },
    { "meta", "metaserver.validate.domain", CFG_BOOL, M(validate_domain), "false", 0, 0, "", true,
      "Refuse requests whose Host header is a name other than that of this DC's metaServerAddress", NULL },
    { "meta", "data.dir", CFG_TEXT, M(data_dir), "", 0, 4096, "", false,
      "Folder for the last accepted DC document, used when the console is down at start; empty: none", NULL },
    { "meta", "meta.cluster.types", CFG_TEXT, M(cluster_types), "ONE_WAY,BI_DIRECTION", 1, 1024, "", false,
      "Cluster types asked of the console, separated by ',' or ';'", check_types },
    { "meta", "meta.refresh.milli", CFG_INT, M(meta_refresh_ms), "60000", 100, 3600000, "ms", true,
      "Period of the full document fetch", NULL },
    { "meta", "meta.sync.delay.milli", CFG_INT, M(meta_sync_delay_ms), "0", 0, 60000, "ms", false,
      "Towards a console without versions: how long after a push a fetched document is distrusted", NULL },
    { "meta", "meta.removal.limit", CFG_INT, M(removal_limit), "20", 0, 1000000, "count", true,
      "Clusters one document may remove or shrink; more waits for an operator", NULL },
    { "meta", "meta.downgrade.limit", CFG_INT, M(downgrade_limit), "20", 0, 1000000, "count", true,
      "Pairs of cluster and DC that one document may turn from proxied to direct; more waits for an operator", NULL },
    { "meta", "meta.join.wait.milli", CFG_INT, M(join_wait_ms), "10000", 0, 600000, "ms", false,
      "How long a start waits for the DC document before it takes slots, which it cannot serve without", NULL },
    { "meta", "slot.refresh.milli", CFG_INT, M(slot_refresh_ms), "60000", 100, 3600000, "ms", false,
      "Period of the full re-read of the slots, besides watches", NULL },
    { "meta", "cluster.servers.check.milli", CFG_INT, M(servers_check_ms), "60000", 100, 3600000, "ms", false,
      "Period of the re-read of the server list, besides watches", NULL },
    { "meta", "leader.check.milli", CFG_INT, M(leader_check_ms), "60000", 100, 3600000, "ms", false,
      "Period of the leader's check for dead servers, missing and stuck slots, and imbalance", NULL },
    { "meta", "meta.dead.server.grace.milli", CFG_INT, M(dead_server_grace_ms), "0", 0, 60000, "ms", false,
      "How long the leader waits for a vanished server to come back before its slots move", NULL },
    { "meta", "meta.unknown.server.grace.milli", CFG_INT, M(unknown_server_grace_ms), "2000", 0, 60000, "ms", false,
      "The same for a server that was never seen since this one started, so that the first of many does not take everything", NULL },
    { "meta", "meta.poll.milli", CFG_INT, M(poll_ms), "1000", 100, 60000, "ms", true,
      "Period of ROLE and CRDT.INFO on every Redis this metaserver owns", NULL },
    { "meta", "meta.poll.fast.milli", CFG_INT, M(poll_fast_ms), "250", 50, 60000, "ms", true,
      "The same while a shard has no single master", NULL },
    { "meta", "meta.redis.timeout.milli", CFG_INT, M(redis_timeout_ms), "2000", 100, 60000, "ms", true,
      "Time limit of one command to a Redis", NULL },
    { "meta", "meta.redis.user", CFG_TEXT, M(redis_user), "", 0, 128, "", false,
      "ACL user for AUTH; empty: AUTH with the password only", NULL },
    { "meta", "meta.redis.password", CFG_SECRET, M(redis_password), "", 0, 512, "", false,
      "Password for AUTH; empty: no AUTH", NULL },
    { "meta", "meta.peermaster.refresh.milli", CFG_INT, M(peer_refresh_ms), "5000", 500, 600000, "ms", true,
      "Period of asking the other DCs for their masters, besides pushes on change", NULL },
    { "meta", "meta.cluster.peermaster.correct.periodically", CFG_BOOL, M(correct_periodically), "true", 0, 0, "", true,
      "Correct peers whenever they differ; off: only after a change of masters, DCs or routes", NULL },
    { "meta", "meta.cluster.peermaster.delete", CFG_BOOL, M(remove_peers), "false", 0, 0, "", true,
      "Remove peers that belong to no DC of the cluster, under all safeguards", NULL },
    { "meta", "meta.peer.removal.verdicts", CFG_INT, M(removal_verdicts), "3", 1, 1000, "count", true,
      "How often a peer must be found superfluous before it is removed", NULL },
    { "meta", "meta.peer.removal.gap.milli", CFG_INT, M(removal_gap_ms), "60000", 0, 3600000, "ms", true,
      "Least time between two of these verdicts", NULL },
    { "meta", "meta.correct.rate", CFG_INT, M(correct_rate), "500", 1, 100000, "per second", true,
      "Corrections this metaserver may send a second", NULL },
    { "meta", "meta.correct.burst", CFG_INT, M(correct_burst), "1000", 1, 100000, "count", true,
      "Corrections it may send at once after a quiet time", NULL },
    { "meta", "meta.correct.cut.rate", CFG_INT, M(cut_rate), "100", 1, 100000, "per second", true,
      "Of these, corrections that cut a working link, a second", NULL },
    { "meta", "meta.correct.cut.burst", CFG_INT, M(cut_burst), "200", 1, 100000, "count", true,
      "The same at once after a quiet time", NULL },
    { "meta", "meta.correct.backoff.first.milli", CFG_INT, M(backoff_first_ms), "60000", 100, 3600000, "ms", true,
      "Pause of a shard whose Redis refused a correction; doubles with every further refusal", NULL },
    { "meta", "meta.correct.backoff.max.milli", CFG_INT, M(backoff_max_ms), "600000", 100, 86400000, "ms", true,
      "Longest such pause", NULL },
    { "meta", "meta.link.alert.milli", CFG_INT, M(link_alert_ms), "60000", 1000, 86400000, "ms", true,
      "How long a peer link may be down before it is reported", NULL },
    { "meta", "meta.pause.hold.milli", CFG_INT, M(pause_hold_ms), "5000", 0, 600000, "ms", true,
      "After this process stood still for more than 2 s: how long it only observes", NULL },
    { "meta", "meta.upstream.refresh.milli", CFG_INT, M(upstream_refresh_ms), "5000", 500, 600000, "ms", true,
      "Period of asking the primary DCs what to replicate from, besides pushes on change", NULL },
    { "meta", "meta.keeper.grace.milli", CFG_INT, M(keeper_grace_ms), "2000", 0, 600000, "ms", true,
      "How long a keeper must be missing from ZooKeeper before it is started again on its container", NULL },
    { "meta", "meta.keeper.retry.first.milli", CFG_INT, M(keeper_retry_first_ms), "5000", 100, 3600000, "ms", true,
      "Pause before a keeper container is asked again for the same keeper; doubles", NULL },
    { "meta", "meta.keeper.retry.max.milli", CFG_INT, M(keeper_retry_max_ms), "120000", 100, 3600000, "ms", true,
      "Longest such pause", NULL },
    { "meta", "meta.keeper.settle.milli", CFG_INT, M(keeper_settle_ms), "15000", 0, 3600000, "ms", true,
      "How long every keeper of the metadata must have lived before one that is not in it is removed", NULL },
    { "meta", "meta.keeper.refresh.milli", CFG_INT, M(keeper_refresh_ms), "300000", 1000, 3600000, "ms", false,
      "Period of the full re-read of the keepers in ZooKeeper, besides watches", NULL },
    { "meta", "meta.keeper.orphans", CFG_TEXT, M(orphans), "known", 1, 16, "", true,
      "Keepers on containers of this DC that the document does not want there: off; report; known: remove those that an earlier document had; "
      "remove: all of them, only where no other console uses the containers", check_orphans },
    { "meta", "meta.keeper.orphan.check.milli", CFG_INT, M(orphan_check_ms), "60000", 100, 3600000, "ms", true,
      "Period of asking every keeper container which keepers it has", NULL },
    { "meta", "meta.keeper.orphan.grace.milli", CFG_INT, M(orphan_grace_ms), "600000", 0, 86400000, "ms", true,
      "How long a keeper must be superfluous before it is reported or removed", NULL },
    { "meta", "meta.keeper.orphan.rounds", CFG_INT, M(orphan_rounds), "3", 1, 1000, "count", true,
      "In how many lists of its container it must have been seen so", NULL },
    { "meta", "meta.keeper.orphan.limit", CFG_INT, M(orphan_limit), "5", 0, 10000, "count", true,
      "How many of them a metaserver removes between two lists", NULL },
    { "meta", "meta.container.threads", CFG_INT, M(container_threads), "8", 1, 256, "count", false,
      "Calls to keeper containers at once", NULL },
    { "meta", "meta.container.connect.milli", CFG_INT, M(container_connect_timeout_ms), "1000", 10, 60000, "ms", false,
      "Time limit of a connection to a keeper container", NULL },
    { "meta", "meta.container.timeout.milli", CFG_INT, M(container_timeout_ms), "5000", 100, 60000, "ms", false,
      "Time limit of a call to a keeper container", NULL },
    { "meta", "console.notifycation.task.queue.size", CFG_INT, M(report_queue_max), "5000", 1, 1000000, "count", false,
      "Shards whose active keeper may wait to be reported to the console (the spelling is x-pipe's)", NULL },
    { "meta", "meta.sync.patience.milli", CFG_INT, M(sync_patience_ms), "600000", 1000, 86400000, "ms", true,
      "How long a Redis in a full synchronisation is left alone", NULL },
    { "meta", "meta.relay.silent.milli", CFG_INT, M(relay_silent_ms), "3000", 500, 600000, "ms", true,
      "Without keepers: how long the relay of a backup DC may be silent before another Redis takes its place", NULL },
    { "meta", "meta.relay.link.milli", CFG_INT, M(relay_link_ms), "10000", 500, 3600000, "ms", true,
      "The same for a relay whose link to the primary DC is down", NULL },
    { "meta", "meta.relay.lag.bytes", CFG_INT, M(relay_lag_bytes), "67108864", 0, INT64_MAX, "bytes", true,
      "The same for a relay that is so far behind; 0: not looked at", NULL },
    { "meta", "meta.replica.priority", CFG_INT, M(replica_priority), "100", 0, INT32_MAX, "", true,
      "replica-priority that Redis get back in the primary DC; in a backup DC without keepers they get 0, or sentinels could promote them. 0: left alone", NULL },
    { "meta", "meta.primary.failover", CFG_TEXT, M(failover), "report", 1, 16, "", true,
      "A lost master of a shard without sentinels: 'report' it only, or 'auto': promote the most advanced replica", check_failover },
    { "meta", "meta.primary.failover.lost.milli", CFG_INT, M(failover_lost_ms), "5000", 500, 600000, "ms", true,
      "How long a master must be silent, and every replica's link down, before it counts as lost", NULL },
    { "meta", "meta.primary.failover.patience.milli", CFG_INT, M(failover_patience_ms), "3000", 0, 600000, "ms", true,
      "How long a promotion waits for the other replicas to answer", NULL },
    { "meta", "meta.sentinel.check.milli", CFG_INT, M(sentinel_check_ms), "10000", 500, 3600000, "ms", true,
      "Period of looking at the monitor of each shard on its sentinels", NULL },
    { "meta", "meta.sentinel.differs.milli", CFG_INT, M(sentinel_differs_ms), "30000", 0, 3600000, "ms", true,
      "How long a sentinel may watch another master than the one that is observed before it is told", NULL },
    { "meta", "dcchange.waitfor.offset.milli", CFG_INT, M(drain_ms), "2000", 0, 60000, "ms", false,
      "Change of the primary DC: how long to wait for the data of the old master, where the caller does not say", NULL },
    { "meta", "meta.switch.connect.milli", CFG_INT, M(switch_connect_ms), "300", 10, 60000, "ms", false,
      "Change of the primary DC: connecting to a Redis", NULL },
    { "meta", "meta.switch.fence.milli", CFG_INT, M(switch_fence_ms), "1000", 50, 60000, "ms", false,
      "Change of the primary DC: time for a fence, a release or a check, where the caller does not say", NULL },
    { "meta", "meta.switch.promote.milli", CFG_INT, M(switch_promote_ms), "2000", 50, 60000, "ms", false,
      "Change of the primary DC: time for a promotion beyond the wait for data, where the caller does not say", NULL },
    { "meta", "meta.switch.follow.milli", CFG_INT, M(switch_follow_ms), "4000", 50, 60000, "ms", false,
      "Change of the primary DC: time for the Redis of another DC to follow, where the caller does not say; they do so later, too", NULL },
    { "meta", "meta.switch.warm.milli", CFG_INT, M(switch_warm_ms), "2000", 0, 60000, "ms", false,
      "Change of the primary DC: how long the connections of a step are kept for the next one; 0: not at all", NULL },
    { "meta", "meta.switch.hold.milli", CFG_INT, M(switch_hold_ms), "60000", 1000, 3600000, "ms", false,
      "Change of the primary DC: how long periodic corrections keep off after the last step, and the ordered primary DC holds against the metadata, when the console does not say that the cluster migrates", NULL },
    { "meta", "meta.switch.diverge.milli", CFG_INT, M(switch_diverge_ms), "2000", 0, 60000, "ms", false,
      "How long a returned master of a backup DC waits to be compared with the new one before it follows: for its hold, and for the point of the promotion", NULL },
    { "meta", "meta.switch.again.milli", CFG_INT, M(switch_again_ms), "5000", 0, 600000, "ms", false,
      "Change of the primary DC: how long a repeated promotion gets the answer of the first", NULL },
    { "meta", "meta.switch.reassert.milli", CFG_INT, M(switch_reassert_ms), "1000", 100, 60000, "ms", false,
      "Change of the primary DC: period of looking whether a fenced master still is", NULL },
    { "meta", "meta.switch.fast.milli", CFG_INT, M(switch_fast_ms), "100", 20, 10000, "ms", false,
      "How soon a Redis of a one-way cluster that was lost is tried again, doubling to 8 s, and a fence that is not in force is looked at again", NULL },
    { "meta", "meta.isolation.fence.seconds", CFG_INT, M(isolation_fence_s), "0", 0, 86400, "s", true,
      "How long the console may be silent before the masters of one-way clusters whose primary DC this is refuse writes, until it says that this DC "
      "still is; 0: they never do, else 3 at least. The document is then fetched three times as often", NULL },
    { "meta", "http.max.connections", CFG_INT, M(http_max_connections), "5000", 10, 100000, "count", false,
      "Connections the HTTP server accepts at once", NULL },
    { "meta", "http.handler.timeout.milli", CFG_INT, M(http_handler_timeout_ms), "10000", 100, 600000, "ms", false,
      "A request that is not answered by then gets 503", NULL },
    { "meta", "http.workers", CFG_INT, M(http_workers), "4", 1, 256, "count", false,
      "Threads for large documents and other work that blocks", NULL },
    { "meta", "http.call.threads", CFG_INT, M(http_call_threads), "8", 1, 256, "count", false,
      "Threads for calls to other metaservers", NULL },
    { "meta", "http.dc.connect.timeout.milli", CFG_INT, M(dc_connect_timeout_ms), "1200", 10, 60000, "ms", false,
      "Connecting to the console and to metaservers of other DCs", NULL },
    { "meta", "http.dc.timeout.milli", CFG_INT, M(dc_timeout_ms), "6000", 10, 600000, "ms", false,
      "A whole call to them", NULL },
    { "meta", "http.member.connect.timeout.milli", CFG_INT, M(member_connect_timeout_ms), "1000", 10, 60000, "ms", false,
      "Connecting to a metaserver of the same DC", NULL },
    { "meta", "http.member.timeout.milli", CFG_INT, M(member_timeout_ms), "5000", 10, 600000, "ms", true,
      "A whole call to it", NULL },
    { .name = NULL },
};
/* clang-format on */

int meta_config_check(const void *config, struct xp_err *err)
{
    const struct meta_config *c = config;
    if (text_is_empty(c->dc)) {
        return xp_fail(err, XP_INVALID,
                       "key 'dc' is required: set it in section [meta] to the name of this DC");
    }
    if (c->poll_fast_ms > c->poll_ms) {
        return xp_fail(err, XP_INVALID,
                       "key 'meta.poll.fast.milli' must not be larger than 'meta.poll.milli'");
    }
    if (c->backoff_first_ms > c->backoff_max_ms) {
        return xp_fail(err, XP_INVALID,
                       "key 'meta.correct.backoff.first.milli' must not be larger than "
                       "'meta.correct.backoff.max.milli'");
    }
    if (c->isolation_fence_s > 0 && c->isolation_fence_s < ISOLATION_FENCE_MIN_S) {
        return xp_fail(err, XP_INVALID,
                       "key 'meta.isolation.fence.seconds' must be 0 (off) or at least %d",
                       ISOLATION_FENCE_MIN_S);
    }
    return 0;
}

int64_t meta_config_refresh_ms(const struct meta_config *c)
{
    int64_t third_ms = c->isolation_fence_s * 1000 / 3;
    return third_ms > 0 && third_ms < c->meta_refresh_ms ? third_ms : c->meta_refresh_ms;
}

static int find_own_ip(char **ret_ip, struct xp_err *err)
{
    struct ifaddrs *all = NULL;
    if (getifaddrs(&all) != 0) {
        return xp_fail(err, XP_IO, "network interfaces cannot be read; set key 'server.ip'");
    }
    char text[INET_ADDRSTRLEN] = "";
    for (const struct ifaddrs *i = all; i && !text[0]; i = i->ifa_next) {
        if (i->ifa_addr && i->ifa_addr->sa_family == AF_INET && !(i->ifa_flags & IFF_LOOPBACK)) {
            struct sockaddr_in in;
            memcpy(&in, i->ifa_addr, sizeof(in));
            (void)inet_ntop(AF_INET, &in.sin_addr, text, sizeof(text));
        }
    }
    freeifaddrs(all);
    if (!text[0]) {
        return xp_fail(err, XP_NOT_FOUND,
                       "no non-loopback IPv4 address found; set key 'server.ip'");
    }
    *ret_ip = xstrdup(text);
    return 0;
}

int meta_config_resolve(const struct meta_config *config, char **ret_dc, char **ret_ip,
                        struct xp_err *err)
{
    char *ip = text_is_empty(config->server_ip) ? NULL : xstrdup(config->server_ip);
    int rc = ip ? 0 : find_own_ip(&ip, err);
    if (rc == 0) {
        *ret_ip = ip;
        *ret_dc = xstrdup(config->dc);
        text_lower(*ret_dc);
    }
    return rc;
}
