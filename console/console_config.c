/* console_config.c - see console_config.h. */
#include "console/console_config.h"

#include <jansson.h>
#include <string.h>

#include "console/catalog/dc_relations.h"
#include "console/catalog/keeper_choice.h"
#include "console/migration/migration_states.h"
#include "shared/base/str.h"
#include "shared/model/cluster_type.h"
#include "shared/model/json_decode.h"
#include "shared/base/banned.h"

static int check_text_map(const char *text, bool must_be_urls, struct xp_err *err)
{
    json_auto_t *map = NULL;
    if (jd_parse(text, strlen(text), &map, err) < 0) {
        return err->code;
    }
    if (!json_is_object(map)) {
        return xp_fail(err, XP_INVALID, "a JSON object is expected, such as {\"jq\":\"...\"}");
    }
    const char *key;
    json_t *value;
    json_object_foreach (map, key, value) {
        const char *item = json_string_value(value);
        if (text_is_empty(key) || text_is_empty(item)) {
            return xp_fail(err, XP_INVALID, "member '%s' is not a text", key);
        }
        if (must_be_urls && !text_has_prefix(item, "http://") &&
            !text_has_prefix(item, "https://")) {
            return xp_fail(err, XP_INVALID,
                           "member '%s': '%s' is not an http:// or https:// address", key, item);
        }
    }
    return 0;
}

static int check_metaservers(const char *text, struct xp_err *err)
{
    return check_text_map(text, true, err);
}

static int check_mapping(const char *text, struct xp_err *err)
{
    return check_text_map(text, false, err);
}

static int check_relations(const char *text, struct xp_err *err)
{
    struct dc_relations *relations = NULL;
    int rc = dc_relations_parse(text, NULL, &relations, err);
    if (rc == 0) {
        dc_relations_free(relations);
    }
    return rc;
}

static int check_cluster_types(const char *text, struct xp_err *err)
{
    const char *cursor = text;
    const char *part;
    size_t length;
    while (text_next_part(&cursor, ",", &part, &length)) {
        char name[32];
        if (length >= sizeof(name)) {
            return xp_fail(err, XP_INVALID, "unknown cluster type %.*s", (int)length, part);
        }
        memcpy(name, part, length);
        name[length] = '\0';
        if (cluster_type_from_text(name) == CLUSTER_UNKNOWN) {
            return xp_fail(err, XP_INVALID, "unknown cluster type %s", name);
        }
    }
    return 0;
}

static int check_disk_type(const char *text, struct xp_err *err)
{
    enum keeper_medium medium;
    return keeper_medium_from_text(text, &medium)
               ? 0
               : xp_fail(err, XP_INVALID, "'%s' is not BM, TFS or ANY", text);
}

static int check_mode(const char *text, struct xp_err *err)
{
    enum migration_mode mode;
    return migration_mode_from_text(text, &mode)
               ? 0
               : xp_fail(err, XP_INVALID, "'%s' is not auto, planned or disaster", text);
}

/* Also the empty text: there is none. */
static int check_url(const char *text, struct xp_err *err)
{
    bool is_url = text_has_prefix(text, "http://") || text_has_prefix(text, "https://");
    return text_is_empty(text) || is_url
               ? 0
               : xp_fail(err, XP_INVALID, "'%s' is not an http:// or https:// address", text);
}

#define AT(member) offsetof(struct console_config, member)
#define DAY_MS     86400000

/* clang-format off */
const struct config_row console_config_rows[] = {
    DAEMON_CONFIG_ROWS(struct console_config, common),
    { "console", "console.ip", CFG_TEXT, AT(ip), "", 0, 63, "", false,
      "Address under which others reach this console, shown by /health; empty when it does not matter", NULL },
    { "console", "console.bind.ip", CFG_TEXT, AT(bind_ip), "0.0.0.0", 1, 63, "", false,
      "Numeric address to listen on", NULL },
    { "console", "console.port", CFG_INT, AT(port), "8080", 0, 65535, "port", false,
      "Port to listen on; 0 takes a free one and logs it", NULL },
    { "console", "console.dc", CFG_TEXT, AT(dc), "", 0, 128, "", false,
      "DC this console stands in, shown by /health", NULL },
    { "console", "console.db.path", CFG_TEXT, AT(db_path), "/var/lib/xpipe/console.db", 1, 4096, "", false,
      "SQLite database file; its folder must exist and be writable", NULL },
    { "console", "console.db.busy.timeout.ms", CFG_INT, AT(db_busy_timeout_ms), "5000", 0, 60000, "ms", false,
      "How long to wait for a lock that another process holds on the database", NULL },
    { "console", "console.db.check.ms", CFG_INT, AT(db_check_ms), "1000", 50, 60000, "ms", false,
      "How often the console looks whether its database can be written, for /ready", NULL },
    { "console", "console.workers", CFG_INT, AT(workers_count), "8", 1, 64, "count", false,
      "Threads that run requests; each one has its own read connection to the database", NULL },
    { "console", "console.worker.queue", CFG_INT, AT(worker_queue_count), "1024", 1, 65536, "count", false,
      "Requests that may wait for a worker; more are answered 503 at once", NULL },
    { "console", "console.connections.max", CFG_INT, AT(connections_max_count), "1000", 1, 60000, "count", false,
      "HTTP connections at the same time", NULL },
    { "console", "servlet.method.timeout.milli", CFG_INT, AT(handler_timeout_ms), "10000", 100, 600000, "ms", false,
      "A request that is not answered after this time gets an error; its work goes on", NULL },
    { "console", "metaservers", CFG_TEXT, AT(metaservers), "{}", 2, 1048576, "JSON", true,
      "Metaserver of each DC: {\"jq\":\"http://host:port\"}", check_metaservers },
    { "console", "credis.service.idc.mapping.rule", CFG_TEXT, AT(dc_mapping), "{}", 2, 1048576, "JSON", false,
      "Outer names of DCs, as DBA tools say them: {\"FRA\":\"FRA-AWS\"}", check_mapping },
    { "console", "regions.relations", CFG_TEXT, AT(dc_relations), "{}", 2, 1048576, "JSON", false,
      "Which DC a cluster moves to when a request names none: the nearest. {\"dcLevel\":[{\"src\":\"jq\",\"dst\":\"oy\",\"distance\":1,\"biDirection\":true}],\"clusterLevel\":[{\"clusterName\":\"c1\",\"relations\":[...]}]}; below 0: never", check_relations },
    { "console", "console.notify.cluster.types", CFG_TEXT, AT(notify_types), "ONE_WAY,BI_DIRECTION", 0, 200, "types", true,
      "Cluster types whose changes are pushed to metaservers", check_cluster_types },
    { "console", "console.notify.threads", CFG_INT, AT(notify_threads_count), "20", 1, 100, "count", false,
      "Pushes to metaservers at the same time", NULL },
    { "console", "console.notify.poll.ms", CFG_INT, AT(notify_poll_ms), "1000", 50, 60000, "ms", true,
      "How often the outbox is looked at without being told of a change", NULL },
    { "console", "console.notify.connect.timeout.ms", CFG_INT, AT(notify_connect_timeout_ms), "1000", 10, 60000, "ms", true,
      "Time to connect to a metaserver", NULL },
    { "console", "console.notify.timeout.ms", CFG_INT, AT(notify_timeout_ms), "5000", 10, 120000, "ms", true,
      "Time for one whole push", NULL },
    { "console", "console.notify.retry.min.ms", CFG_INT, AT(notify_retry_min_ms), "500", 10, 60000, "ms", true,
      "Wait after the first failed push of a DC; doubles with each further failure", NULL },
    { "console", "console.notify.retry.max.ms", CFG_INT, AT(notify_retry_max_ms), "30000", 10, DAY_MS, "ms", true,
      "Longest wait between pushes to a DC that fails", NULL },
    { "console", "console.cluster.types", CFG_TEXT, AT(cluster_types),
      "ONE_WAY,BI_DIRECTION,SINGLE_DC,LOCAL_DC,CROSS_DC,HETERO", 1, 200, "types", true,
      "Cluster types in GET /api/dc/{dc} when the request names none", check_cluster_types },
    { "console", "console.dcmeta.build.concurrent", CFG_INT, AT(build_concurrent_count), "3", 1, 64, "count", false,
      "DC documents that are built at the same time; readers of the same document wait for one build", NULL },
    { "console", "console.dcmeta.old.mib", CFG_INT, AT(old_documents_mib), "128", 1, 65536, "MiB", false,
      "Replaced versions of DC documents that slow readers may keep in memory; above it nothing new is built", NULL },
    { "console", "console.keeper.auto.select.disk.type", CFG_TEXT, AT(keeper_disk_type), "BM", 2, 3, "BM, TFS, ANY", false,
      "Disks of keeper containers that are chosen automatically: of the machine (every type but TFS), TFS, or any", check_disk_type },
    { "console", "console.keepercontainer.check.period.ms", CFG_INT, AT(container_check_period_ms), "30000", 100, DAY_MS, "ms", true,
      "How often all active keeper containers are asked for their health; unhealthy ones are not chosen automatically", NULL },
    { "console", "console.keepercontainer.check.connect.timeout.ms", CFG_INT, AT(container_check_connect_timeout_ms), "1000", 10, 60000, "ms", true,
      "Time to connect to a keeper container", NULL },
    { "console", "console.keepercontainer.check.timeout.ms", CFG_INT, AT(container_check_timeout_ms), "2000", 10, 60000, "ms", true,
      "Time for one whole health check of a keeper container", NULL },
    { "console", "console.keepercontainer.check.concurrent", CFG_INT, AT(container_checks_count), "8", 1, 64, "count", false,
      "Health checks of keeper containers at the same time", NULL },
    { "console", "console.migration.parallel", CFG_INT, AT(migration.parallel_count), "64", 1, 1024, "count", false,
      "Clusters of all migration events between the check and the publication at the same time; the others wait in order", NULL },
    { "console", "console.migration.threads", CFG_INT, AT(migration.threads_count), "32", 1, 256, "count", false,
      "Calls of migrations to the metaserver of each DC at the same time", NULL },
    { "console", "console.migration.survey.threads", CFG_INT, AT(migration.survey_threads_count), "16", 1, 64, "count", false,
      "Questions of plans to the metaserver of each DC at the same time, beside the calls of migrations", NULL },
    { "console", "console.migration.queue.ms", CFG_INT, AT(migration.queue_ms), "30000", 100, 600000, "ms", true,
      "How long such a call may wait for its turn; its own time limit begins when it is sent", NULL },
    { "console", "console.migration.outage.target.ms", CFG_INT, AT(migration.outage_target_ms), "150", 0, 60000, "ms", true,
      "Clusters are let into their fence a few at a time, so that they do not refuse writes for longer than this, or twice the shortest time of late, because they wait for each other; 0: as many as console.migration.parallel", NULL },
    { "console", "console.migration.gather.ms", CFG_INT, AT(migration.gather_ms), "20", 0, 1000, "ms", true,
      "In an outage, what a cluster's shards answer is stored together: the first answer waits so long at most for the others, as long as all is well; 0: not at all", NULL },
    { "console", "console.migration.plan.shards.max", CFG_INT, AT(migration.plan_shards_max), "200", 1, 100000, "count", true,
      "Shards of one dry run, or of one migration that quotes a plan, beyond which no plan is made", NULL },
    { "console", "console.migration.plan.drain.bytes", CFG_INT, AT(migration.plan_drain_bytes), "10485760", 1, 1099511627776, "bytes per s", true,
      "Throughput of replication between DCs that a plan assumes when it says how long a lag takes to drain", NULL },
    { "console", "console.migration.plan.commit.us", CFG_INT, AT(migration.plan_commit_us), "3000", 0, 10000000, "us", true,
      "Time of one commit of the console's database that a plan assumes in the write gap that it predicts", NULL },
    { "console", "console.idempotency.keep.ms", CFG_INT, AT(idempotency_keep_ms), "86400000", 1000, 2592000000, "ms", false,
      "How long the answer of a request with an Idempotency-Key is kept", NULL },
    { "console", "console.idempotency.max", CFG_INT, AT(idempotency_max_count), "10000", 1, 1000000, "count", false,
      "Answers of requests with an Idempotency-Key that are kept; the oldest go", NULL },
    { "console", "console.migration.mode", CFG_TEXT, AT(migration.mode), "auto", 4, 8, "auto, planned, disaster", true,
      "How a migration is made that was asked for without a mode: planned (fence and data are proved, else back), disaster (goes on at the deadlines, losses are stored), auto (disaster only where nobody reaches the source)", check_mode },
    { "console", "console.migration.retry.pause.ms", CFG_INT, AT(migration.retry.pause_ms), "100", 10, 60000, "ms", true,
      "Before a call of a migration that failed is sent again; doubled before each further try", NULL },
    { "console", "console.migration.retry.pause.max.ms", CFG_INT, AT(migration.retry.pause_max_ms), "1000", 10, 60000, "ms", true,
      "The longest of these pauses", NULL },
    { "console", "console.migration.retry.undoable.ms", CFG_INT, AT(migration.retry.undoable_ms), "1500", 0, 600000, "ms", true,
      "How long a check, a fence, or a promotion that was never sent is tried again after its first failure; then it goes back; 0: never", NULL },
    { "console", "console.migration.retry.total.ms", CFG_INT, AT(migration.retry.total_ms), "15000", 0, 600000, "ms", true,
      "The same once something may be promoted, and on the way back: as long as a metaserver may take to restart", NULL },
    { "console", "console.migration.check.wait.ms", CFG_INT, AT(migration.retry.check_ms), "5000", 0, 600000, "ms", true,
      "How long a check waits for what passes by itself: settings of an earlier switch to be put back, links, lag, silence; 0: refused at once", NULL },
    { "console", "console.migration.outage.max.ms", CFG_INT, AT(migration.outage_max_ms), "10000", 100, 600000, "ms", true,
      "A planned migration that refuses writes for so long, and has promoted nothing, goes back", NULL },
    { "console", "console.migration.expire.ms", CFG_INT, AT(migration.expire_ms), "604800000", 0, 31536000000, "ms", true,
      "A migration that nobody has started is aborted after so long, and its cluster unlocked; 0: never", NULL },
    { "console", "console.migration.max.lag.bytes", CFG_INT, AT(migration.max_lag_bytes), "67108864", 0, 1099511627776, "bytes", true,
      "A planned migration is refused by its check while the destination is further behind; 0: not looked at", NULL },
    { "console", "console.migration.connect.timeout.ms", CFG_INT, AT(migration.connect_timeout_ms), "300", 10, 60000, "ms", true,
      "Time to connect to a metaserver, a Redis, the outer client", NULL },
    { "console", "console.migration.check.timeout.ms", CFG_INT, AT(migration.check_timeout_ms), "2000", 10, 60000, "ms", true,
      "Time for one check of a shard", NULL },
    { "console", "console.migration.fence.timeout.ms", CFG_INT, AT(migration.fence_timeout_ms), "1000", 10, 60000, "ms", true,
      "Time for one phase of a fence by the source's metaserver, and once more for the other ways together", NULL },
    { "console", "console.migration.drain.timeout.ms", CFG_INT, AT(migration.drain_timeout_ms), "5000", 10, 600000, "ms", true,
      "How long the data of a held master may take to arrive at the destination", NULL },
    { "console", "console.migration.promote.timeout.ms", CFG_INT, AT(migration.promote_timeout_ms), "2000", 10, 60000, "ms", true,
      "Time for the promotion of one shard", NULL },
    { "console", "console.migration.follow.timeout.ms", CFG_INT, AT(migration.follow_timeout_ms), "5000", 10, 60000, "ms", true,
      "Time for one shard of a DC to follow a new primary", NULL },
    { "console", "console.migration.publish.timeout.ms", CFG_INT, AT(migration.publish_timeout_ms), "2000", 10, 60000, "ms", true,
      "Time to tell the outer client of a new primary, with three tries", NULL },
    { "console", "console.migration.redis.user", CFG_TEXT, AT(migration.redis_user), "", 0, 128, "", true,
      "ACL user for AUTH at Redis that the console fences itself; empty: AUTH with the password only", NULL },
    { "console", "console.migration.redis.password", CFG_SECRET, AT(migration.redis_password), "", 0, 512, "", true,
      "Password for AUTH at Redis that the console fences itself; empty: no AUTH", NULL },
    { "console", "console.cluster.shard.for.migrate.sys.check", CFG_TEXT, AT(health_probe), "cluster1, shard1", 0, 300, "cluster, shard", true,
      "Probe of the check whether migrations can be made: a cluster that exists in every DC; when it does not exist, the outer client is not asked", NULL },
    { "console", "console.migrate.system.check.interval", CFG_INT, AT(health_period_ms), "30000", 100, 3600000, "ms", true,
      "How often the console looks whether migrations can be made: database, metaservers, outer client", NULL },
    { "console", "console.migrate.system.check.stale.ms", CFG_INT, AT(health_stale_ms), "120000", 100, 86400000, "ms", true,
      "A result of that look that is older is told as a warning", NULL },
    { "console", "console.migrate.system.check.timeout.ms", CFG_INT, AT(health_timeout_ms), "2000", 10, 60000, "ms", true,
      "Time for one question of that look", NULL },
    { "console", "console.dr.readiness.milli", CFG_INT, AT(readiness.round_ms), "300000", 0, DAY_MS, "ms", true,
      "How often every one-way cluster is looked at, whether it could be switched to its other DCs now; 0: never", NULL },
    { "console", "console.dr.readiness.calls.per.second", CFG_INT, AT(readiness.calls_per_s), "200", 1, 100000, "calls/s", true,
      "Limit of the questions to metaservers for readiness verdicts; a tenth of it while migrations hold writes back", NULL },
    { "console", "console.dr.readiness.parallel", CFG_INT, AT(readiness.parallel_count), "4", 1, 64, "count", false,
      "Clusters that are looked at for readiness at the same time; each DC has so many threads for the questions", NULL },
    { "console", "console.dr.readiness.age.max.milli", CFG_INT, AT(readiness.age_max_ms), "900000", 100, 7 * DAY_MS, "ms", true,
      "A readiness verdict that is older than this counts as UNKNOWN", NULL },
    { "console", "console.dr.readiness.settle.milli", CFG_INT, AT(readiness.settle_ms), "5000", 0, DAY_MS, "ms", true,
      "How long after a change of its metadata, or the end of its migration, a cluster is looked at out of turn", NULL },
    { "console", "console.dr.readiness.clusters.max", CFG_INT, AT(readiness.clusters_max_count), "50000", 1, 1000000, "count", false,
      "Clusters whose readiness is kept in memory", NULL },
    { "console", "migration.timeout.milli", CFG_INT, AT(migration.request_timeout_ms), "15000", 100, 600000, "ms", true,
      "How long a monitor's request waits for the end of its migration; then it is answered 503, and the migration goes on", NULL },
    { "console", "console.migration.requests.max", CFG_INT, AT(migration.requests_max_count), "896", 1, 10000, "count", true,
      "Requests of monitors that wait for the end of a migration at the same time; one more is refused", NULL },
    { "console", "console.migration.webhook.url", CFG_TEXT, AT(migration.webhook_url), "", 0, 2048, "", true,
      "Told of each switch by POST when there is no credis.service.address, and of what returned masters had beyond it; empty: nobody", check_url },
    { "console", "credis.service.address", CFG_TEXT, AT(migration.credis_url), "", 0, 2048, "", true,
      "Base address of the client-routing platform that is asked before a switch and told of it; empty: none", check_url },
    { 0 },
};
/* clang-format on */

int console_config_check(const void *config, struct xp_err *err)
{
    const struct console_config *c = config;
    if (c->notify_retry_max_ms < c->notify_retry_min_ms) {
        return xp_fail(err, XP_INVALID,
                       "console.notify.retry.max.ms is below console.notify.retry.min.ms");
    }
    const struct readiness_config *r = &c->readiness;
    if (r->age_max_ms < r->round_ms) {
        return xp_fail(err, XP_INVALID,
                       "console.dr.readiness.age.max.milli is below console.dr.readiness.milli");
    }
    const struct migration_config *m = &c->migration;
    if (m->outage_max_ms < m->drain_timeout_ms) {
        return xp_fail(
            err, XP_INVALID,
            "console.migration.outage.max.ms is below console.migration.drain.timeout.ms");
    }
    if (m->retry.pause_max_ms < m->retry.pause_ms) {
        return xp_fail(
            err, XP_INVALID,
            "console.migration.retry.pause.max.ms is below console.migration.retry.pause.ms");
    }
    return 0;
}

int64_t console_config_files_needed(const void *config)
{
    const struct console_config *c = config;
    int64_t database = 3 * (c->workers_count + 1);
    int64_t calls = 2 * (c->notify_threads_count + c->container_checks_count);
    int64_t lanes = c->migration.threads_count + c->migration.survey_threads_count +
                    c->readiness.parallel_count;
    int64_t migrations = 4 * lanes + 4 * c->migration.parallel_count;
    return c->connections_max_count + calls + migrations + database + 128;
}
