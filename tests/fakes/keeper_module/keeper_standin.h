/* keeper_standin.h - what the files of the keeper stand-in share: settings and the one state.
 *
 * The stand-in is a module for stock Redis 7 that makes redis-server look like a keeper on the wire (contract:
 * reference/proxy-and-keeper.md, chapter 4). redis-server does the replication, through pull_relay.h; the module answers
 * what a control plane, a sentinel or a replica asks.
 * Threads: the server's main thread owns everything below. The relay and the latch have a thread each and share nothing
 * with it but what their headers say. */
#ifndef TESTS_FAKES_KEEPER_MODULE_KEEPER_STANDIN_H
#define TESTS_FAKES_KEEPER_MODULE_KEEPER_STANDIN_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/fakes/redis_module/module_util.h"

enum { RUN_ID_LEN = 40, HOST_MAX = 64, ROUTE_MAX = 1024, TEXT_MAX = 256 };

/* clang-format off */
#define KEEPER_STATES(X) X(UNKNOWN) X(PRE_ACTIVE) X(PRE_BACKUP) X(ACTIVE) X(BACKUP) X(PREPARE)
/* clang-format on */
#define KEEPER_STATE_ENUM(name) KEEPER_##name,
enum keeper_state { KEEPER_STATES(KEEPER_STATE_ENUM) KEEPER_STATE_COUNT };

/* Whom the keeper pulls from, and how. 'port' 0: nobody. */
struct target {
    char host[HOST_MAX];
    int port;
    /* Words behind "PROXY ROUTE", the last one completed to SCHEME://host:port; empty: directly. */
    char route[ROUTE_MAX];
};

struct keeper_settings {
    char run_id[RUN_ID_LEN + 1];
    char ip[HOST_MAX]; /* of the keeper, as the metadata knows it */
    int port;
    char state_file[1024]; /* empty: nothing survives a restart */
    char zk_hosts[256];    /* empty: not registered */
    char zk_path[256];
    int zk_session_ms;
};

struct keeper {
    struct keeper_settings set;
    enum keeper_state state;
    struct target target;
    bool has_data;   /* the store is not empty: a synchronization was completed once */
    bool is_replica; /* redis-server was told to follow the relay */
    int spelling;    /* of the address of the relay that it was told last */
    int relay_port;
    struct rm_ctx *ctx; /* detached; main thread only */
};

extern struct keeper keeper;

const char *keeper_state_text(enum keeper_state state);
/* Exact text, upper case. False: no such state. */
bool keeper_state_parse(const char *text, enum keeper_state *ret);

/* keeper_commands.c, keeper_reports.c: registers their commands. RM_OK or RM_ERR. */
int keeper_commands_start(struct rm_ctx *ctx);
int keeper_reports_start(struct rm_ctx *ctx);

#endif
