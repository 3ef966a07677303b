/* meta_config.h - every setting of xpipe-meta, section [meta] of xpipe.ini (metaserver.md 2.1; periods per design 7).
 * Owner: main until the loop runs, then the loop; workers get copies of what they need. */
#ifndef META_META_CONFIG_H
#define META_META_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "shared/base/config.h"
#include "shared/net/daemon.h"

struct meta_config {
    struct daemon_config common;
    /* identity and addresses */
    int64_t metaserver_id;
    char *dc;
    char *server_ip;
    int64_t server_port;
    char *bind_ip;
    char *zk_address;
    char *zk_namespace;
    int64_t zk_session_timeout_ms;
    char *console_address;
    char *dcinfos;
    bool validate_domain;
    char *data_dir;
    /* metadata */
    char *cluster_types;
    int64_t meta_refresh_ms;
    int64_t meta_sync_delay_ms;
    int64_t removal_limit;
    int64_t downgrade_limit;
    /* slots */
    int64_t join_wait_ms;
    int64_t slot_refresh_ms;
    int64_t servers_check_ms;
    int64_t leader_check_ms;
    int64_t dead_server_grace_ms;
    int64_t unknown_server_grace_ms;
    /* observing and correcting CRDT peers */
    int64_t poll_ms;
    int64_t poll_fast_ms;
    int64_t redis_timeout_ms;
    char *redis_user;
    char *redis_password;
    int64_t peer_refresh_ms;
    bool correct_periodically;
    bool remove_peers;
    int64_t removal_verdicts;
    int64_t removal_gap_ms;
    int64_t correct_rate;
    int64_t correct_burst;
    int64_t cut_rate;
    int64_t cut_burst;
    int64_t backoff_first_ms;
    int64_t backoff_max_ms;
    int64_t link_alert_ms;
    int64_t pause_hold_ms;
    /* one-way clusters */
    int64_t upstream_refresh_ms;
    int64_t keeper_grace_ms;
    int64_t keeper_retry_first_ms;
    int64_t keeper_retry_max_ms;
    int64_t keeper_settle_ms;
    int64_t keeper_refresh_ms;
    char *orphans;
    int64_t orphan_check_ms;
    int64_t orphan_grace_ms;
    int64_t orphan_rounds;
    int64_t orphan_limit;
    int64_t container_threads;
    int64_t container_connect_timeout_ms;
    int64_t container_timeout_ms;
    int64_t report_queue_max;
    int64_t sync_patience_ms;
    int64_t relay_silent_ms;
    int64_t relay_link_ms;
    int64_t relay_lag_bytes;
    int64_t replica_priority;
    char *failover;
    int64_t failover_lost_ms;
    int64_t failover_patience_ms;
    int64_t sentinel_check_ms;
    int64_t sentinel_differs_ms;
    /* switchovers */
    int64_t drain_ms;
    int64_t switch_connect_ms;
    int64_t switch_fence_ms;
    int64_t switch_promote_ms;
    int64_t switch_follow_ms;
    int64_t switch_warm_ms;
    int64_t switch_hold_ms;
    int64_t switch_diverge_ms;
    int64_t switch_again_ms;
    int64_t switch_reassert_ms;
    int64_t switch_fast_ms;
    int64_t isolation_fence_s;
    /* HTTP */
    int64_t http_max_connections;
    int64_t http_handler_timeout_ms;
    int64_t http_workers;
    int64_t http_call_threads;
    int64_t dc_connect_timeout_ms;
    int64_t dc_timeout_ms;
    int64_t member_connect_timeout_ms;
    int64_t member_timeout_ms;
};

extern const struct config_row meta_config_rows[];
/* Relations between keys that a single row cannot check. */
int meta_config_check(const void *config, struct xp_err *err);
/* Period of the document fetch: with an isolation fence a third of its time at most, for the answers are what says that the console is heard. */
int64_t meta_config_refresh_ms(const struct meta_config *);
/* What follows from the configuration, which itself stays as it was read (SIGHUP compares with it): the name of the DC in lower
 * case, and server.ip or the first non-loopback IPv4 address. Both returned owned. */
int meta_config_resolve(const struct meta_config *config, char **ret_dc, char **ret_ip,
                        struct xp_err *err) XP_MUST_CHECK;

#endif
