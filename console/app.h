/* app.h - the console's parts and how they are wired: store, catalog, documents, notifier, HTTP.
 *
 * No logic of its own. Started on main before the loop runs, stopped on main after it ended; stopping accepts a half-built
 * struct. Owner of the struct: main; what other threads may touch is said by each part. */
#ifndef CONSOLE_APP_H
#define CONSOLE_APP_H

#include "console/api/request.h"
#include "console/app_migration.h"
#include "console/app_readiness.h"
#include "console/console_config.h"
#include "console/health/container_health.h"
#include "console/migration/migration_health.h"
#include "console/notify/notifier.h"
#include "console/store/store.h"
#include "console/store/store_watch.h"
#include "shared/net/daemon.h"
#include "shared/net/http_client.h"
#include "shared/net/http_server.h"
#include "shared/net/worker.h"

struct app {
    struct api_context api; /* FIRST: http_options.arg */
    struct console_config config;
    struct dc_alias *alias;
    struct dc_relations *relations;
    struct store *store;
    struct store_watch *watch;
    struct catalog catalog;
    struct http_client *client;
    struct http_client *container_client;
    struct container_health *container_health;
    struct http_client *health_client;
    struct migration_health *migration_health;
    struct migration_waits *waits;
    struct worker_pool *pool;
    struct document_cache *documents;
    struct notifier *notifier;
    struct app_migration migration;
    struct app_readiness readiness;
    struct http_server *server;
    struct loop_timer drain_timer;
};

extern const struct daemon_ops console_daemon_ops; /* 'arg' and 'config' are set by main */

#endif
