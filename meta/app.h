/* app.h - one running metaserver: who owns what, and which thread may touch it.
 *
 * The parts know nothing of each other; app.c wires them. Everything is created on the main thread before the loop runs and
 * freed there after it ended. Marked (any): safe from every thread; all others belong to the loop. */
#ifndef META_APP_H
#define META_APP_H

#include "meta/api/member_list.h"
#include "meta/dcmeta/dc_fetch.h"
#include "meta/dcmeta/dc_store.h"
#include "meta/keepers/keeper_inventory.h"
#include "meta/keepers/tree_duty.h"
#include "meta/links/dc_links.h"
#include "meta/meta_config.h"
#include "meta/peers/master_board.h"
#include "meta/peers/shard_duty.h"
#include "meta/shards/shard_set.h"
#include "meta/slots/sharding.h"
#include "shared/net/daemon.h"
#include "shared/net/http_client.h"
#include "shared/net/http_server.h"
#include "shared/net/worker.h"

#define APP_QUEUE_MAX    10000 /* jobs that wait for a worker */
#define APP_PEER_THREADS 8
#define APP_COPY_THREADS 4
#define APP_SLOT_THREADS 4

struct console_report;
struct late_rewrites;
struct remote_fences;
struct shard_switches;
struct switch_records;

struct app {
    struct daemon *daemon; /* first: daemon_routes find it here */
    struct meta_config config;
    struct loop *loop;
    struct worker_pool *pool; /* (any) documents, batches */
    /* (any) conversations with other DCs: a dead DC must not take the other workers */
    struct worker_pool *peer_pool;
    struct http_client *calls;  /* forwarded requests */
    struct http_client *copies; /* to the other members, nobody waits for them */
    /* the leader's slot commands: a member that hangs must not delay them */
    struct http_client *slot_calls;
    struct http_server *http;
    struct sharding *sharding;
    struct dc_store *store;
    struct dc_fetch *fetch;
    struct loop_timer catch_up; /* one more fetch after the others know us */
    struct loop_timer join;     /* waits for the document */
    mono_ms join_until;
    struct loop_timer drain; /* waits for the answers under way */
    mono_ms drain_until;
    struct dc_links *links;     /* about masters */
    struct master_board *board; /* (any) */
    struct dc_links *upstreams;
    struct upstream_board *upstreams_board; /* (any) */
    struct member_list *members;            /* (any) */
    struct duty_env env;
    struct peer_env peer_env;
    struct tree_env trees;
    struct keeper_memory keeper_memory;    /* of all clusters of the DC */
    struct keeper_inventory *inventory;    /* finds the keepers whose removal got lost */
    struct switch_records *switch_records; /* switchovers of one-way shards: app_switch.c */
    struct shard_switches *switches;
    struct remote_fences *remote_fences;
    struct late_rewrites *late_rewrites;
    struct console_report *divergence_reports;
    char *dc;          /* ours, in lower case */
    char *ip;          /* published in ZooKeeper */
    char *console_url; /* without a slash at its end */
    char *client_name; /* "xpipe-meta-<dc>-<id>" */
    struct shard_set *shards;
    bool validate_domain; /* (any, atomic) switched at run time */
    char *domain;         /* host of this DC's metaServerAddress; "" unknown; immutable */
};

/* May a command that changes something be sent to an instance, or about one to its container, of this cluster now? 0, or why not. */
int app_may_command(struct app *, int64_t cluster_id, struct xp_err *err) XP_MUST_CHECK;
/* 'arg' is the app. Something that was under way in this slot is over; told on if that was the last. */
void app_on_quiet(int slot, void *arg);

extern const struct daemon_ops meta_daemon_ops; /* 'arg' and 'config' are set by main */

#endif
