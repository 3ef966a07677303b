/* console_config.h - the console's configuration: one table, one struct.
 *
 * Not the parser (shared/base/config.h) and not the switches kept in the database (config_tbl).
 * The two JSON texts (metaservers, DC aliases) are checked on load; 'dc_aliases' and 'meta_addresses' turn them into
 * lookups. Source: console-api.md 1.4, 1.6, 3.9; metaserver.md 5.5.
 * Thread: written by main and, on SIGHUP, by the loop; see daemon.h for who may keep pointers. */
#ifndef CONSOLE_CONSOLE_CONFIG_H
#define CONSOLE_CONSOLE_CONFIG_H

#include "console/migration/migration_decide.h"
#include "shared/base/config.h"
#include "shared/net/daemon.h"

struct console_config {
    struct daemon_config common;
    char *ip;
    char *bind_ip;
    int64_t port;
    char *dc;
    char *db_path;
    int64_t db_busy_timeout_ms;
    int64_t db_check_ms;
    int64_t workers_count;
    int64_t worker_queue_count;
    int64_t connections_max_count;
    int64_t handler_timeout_ms;
    char *metaservers;
    char *dc_mapping;
    char *dc_relations;
    char *notify_types;
    int64_t notify_threads_count;
    int64_t notify_poll_ms;
    int64_t notify_connect_timeout_ms;
    int64_t notify_timeout_ms;
    int64_t notify_retry_min_ms;
    int64_t notify_retry_max_ms;
    char *cluster_types;
    int64_t build_concurrent_count;
    int64_t old_documents_mib;
    char *keeper_disk_type;
    int64_t container_check_period_ms;
    int64_t container_check_connect_timeout_ms;
    int64_t container_check_timeout_ms;
    int64_t container_checks_count;
    char *health_probe;
    int64_t health_period_ms;
    int64_t health_stale_ms;
    int64_t health_timeout_ms;
    int64_t idempotency_keep_ms;
    int64_t idempotency_max_count;
    struct migration_config { /* console.migration.* */
        int64_t parallel_count;
        int64_t threads_count;
        int64_t survey_threads_count;
        int64_t plan_shards_max;
        int64_t plan_drain_bytes;
        int64_t plan_commit_us;
        char *mode;
        struct retry_limits retry;
        int64_t queue_ms;
        int64_t outage_target_ms;
        int64_t gather_ms;
        int64_t outage_max_ms;
        int64_t expire_ms;
        int64_t max_lag_bytes;
        int64_t connect_timeout_ms;
        int64_t check_timeout_ms;
        int64_t fence_timeout_ms;
        int64_t drain_timeout_ms;
        int64_t promote_timeout_ms;
        int64_t follow_timeout_ms;
        int64_t publish_timeout_ms;
        char *redis_user;
        char *redis_password;
        int64_t request_timeout_ms; /* migration.timeout.milli */
        int64_t requests_max_count;
        char *webhook_url;
        char *credis_url; /* credis.service.address */
    } migration;
    struct readiness_config { /* console.dr.readiness.* */
        int64_t round_ms;
        int64_t calls_per_s;
        int64_t parallel_count;
        int64_t age_max_ms;
        int64_t settle_ms;
        int64_t clusters_max_count;
    } readiness;
};

extern const struct config_row console_config_rows[];

/* Relations between keys (for daemon_ops.check); 'config' is a struct console_config. */
int console_config_check(const void *config, struct xp_err *err);
/* Descriptors for connections, database, notifier. */
int64_t console_config_files_needed(const void *config);

#endif
