/* keeper_module.c - start of the keeper stand-in: load arguments, what is left of an earlier process, and the parts.
 *
 * loadmodule keeper_module.so ip 127.77.1.2 port 6380 run-id <40 hex> state-file PATH
 *            zk-hosts 127.0.0.1:2181 zk-path /xpipe/keepers/repl_5 zk-session-ms 5000
 * ip, port and run-id are required. Without zk-hosts the keeper is in no election. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fakes/keeper_module/keeper_file.h"
#include "tests/fakes/keeper_module/keeper_filter.h"
#include "tests/fakes/keeper_module/keeper_standin.h"
#include "tests/fakes/keeper_module/pull_relay.h"
#include "tests/fakes/keeper_module/zk_latch.h"

#include "shared/base/banned.h"

enum { EVENT_SHUTDOWN = 5, EVENT_MASTER_LINK = 7, SUB_LINK_UP = 0 };

struct keeper keeper = { .set = { .zk_session_ms = 5000 } };

int RedisModule_OnLoad(struct rm_ctx *ctx, struct rm_string **argv, int argc)
    __attribute__((visibility("default")));
int RedisModule_OnUnload(struct rm_ctx *ctx) __attribute__((visibility("default")));

#define KEEPER_STATE_NAME(name) #name,
static const char *const state_names[] = { KEEPER_STATES(KEEPER_STATE_NAME) };

const char *keeper_state_text(enum keeper_state state)
{
    return state_names[state];
}

bool keeper_state_parse(const char *text, enum keeper_state *ret)
{
    for (int i = 0; i < KEEPER_STATE_COUNT; i++) {
        if (strcmp(text, state_names[i]) == 0) {
            *ret = (enum keeper_state)i;
            return true;
        }
    }
    return false;
}

static bool take_number(const char *text, int max, int *ret)
{
    char *end = NULL;
    long value = strtol(text, &end, 10);

    *ret = (int)value;
    return end != text && *end == '\0' && value > 0 && value <= max;
}

static bool take_setting(const char *name, const char *value)
{
    struct keeper_settings *s = &keeper.set;
    const struct {
        const char *name;
        char *text;
        size_t size;
        int *number;
        int max;
    } rows[] = {
        { "ip", s->ip, sizeof s->ip, NULL, 0 },
        { "run-id", s->run_id, sizeof s->run_id, NULL, 0 },
        { "state-file", s->state_file, sizeof s->state_file, NULL, 0 },
        { "zk-hosts", s->zk_hosts, sizeof s->zk_hosts, NULL, 0 },
        { "zk-path", s->zk_path, sizeof s->zk_path, NULL, 0 },
        { "port", NULL, 0, &s->port, 65535 },
        { "zk-session-ms", NULL, 0, &s->zk_session_ms, 3600000 },
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(name, rows[i].name) == 0) {
            return rows[i].text ? text_copy(rows[i].text, rows[i].size, value, strlen(value))
                                : take_number(value, rows[i].max, rows[i].number);
        }
    }
    return false;
}

static int read_arguments(struct rm_ctx *ctx, struct rm_string **argv, int argc)
{
    for (int i = 0; i < argc; i += 2) {
        if (i + 1 == argc || !take_setting(arg_text(argv[i]), arg_text(argv[i + 1]))) {
            RM_Log(ctx, "warning", "standin: bad load argument: %s", arg_text(argv[i]));
            return RM_ERR;
        }
    }
    if (keeper.set.port == 0 || strlen(keeper.set.run_id) != RUN_ID_LEN || !keeper.set.ip[0] ||
        !keeper.set.zk_path[0] != !keeper.set.zk_hosts[0]) {
        RM_Log(ctx, "warning",
               "standin: load arguments ip, port and run-id (40 characters) are needed, "
               "zk-hosts and zk-path go together");
        return RM_ERR;
    }
    return RM_OK;
}

/* A synchronization is complete: from now on there is a store. */
static void on_master_link(struct rm_ctx *ctx, struct rm_event event, uint64_t sub, void *data)
{
    (void)ctx;
    (void)event;
    (void)data;
    if (sub == SUB_LINK_UP && !keeper.has_data) {
        keeper.has_data = true;
        keeper_file_save();
    }
}

/* SIGTERM: a keeper that is stopped leaves the election at once. */
static void on_shutdown(struct rm_ctx *ctx, struct rm_event event, uint64_t sub, void *data)
{
    (void)ctx;
    (void)event;
    (void)sub;
    (void)data;
    latch_stop();
}

static int enter_election(struct rm_ctx *ctx)
{
    char data[TEXT_MAX * 2];
    struct latch_options o = { .hosts = keeper.set.zk_hosts,
                               .path = keeper.set.zk_path,
                               .data = data,
                               .session_ms = keeper.set.zk_session_ms };
    int error;

    if (!keeper.set.zk_hosts[0]) {
        return RM_OK;
    }
    (void)snprintf(data, sizeof data,
                   "{\"priority\":null,\"id\":\"%s\",\"port\":%d,\"active\":false,\"offset\":null,"
                   "\"ip\":\"%s\",\"master\":null,\"survive\":null,\"keeperContainerId\":null}",
                   keeper.set.run_id, keeper.set.port, keeper.set.ip);
    error = latch_start(&o);
    if (error) {
        RM_Log(ctx, "warning", "standin: cannot enter the election: %s", strerror(error));
    }
    return error ? RM_ERR : RM_OK;
}

static int start_parts(struct rm_ctx *ctx)
{
    keeper.relay_port = relay_start(keeper.set.ip);
    if (keeper.relay_port < 0) {
        RM_Log(ctx, "warning", "standin: the relay cannot listen: %s", strerror(errno));
        return RM_ERR;
    }
    if (keeper_commands_start(ctx) != RM_OK || keeper_reports_start(ctx) != RM_OK ||
        keeper_filter_start(ctx) != RM_OK ||
        RM_SubscribeToServerEvent(ctx, (struct rm_event){ EVENT_MASTER_LINK, 1 }, on_master_link) !=
            RM_OK ||
        RM_SubscribeToServerEvent(ctx, (struct rm_event){ EVENT_SHUTDOWN, 1 }, on_shutdown) !=
            RM_OK) {
        return RM_ERR;
    }
    return enter_election(ctx);
}

int RedisModule_OnLoad(struct rm_ctx *ctx, struct rm_string **argv, int argc)
{
    const char *missing = redis_api_load(ctx);

    if (missing) {
        (void)fprintf(stderr, "standin: this Redis has no module function %s; 7.0 is needed\n",
                      missing);
        return RM_ERR;
    }
    RM_SetModuleAttribs(ctx, "keeper-standin", 1, RM_API_VERSION);
    keeper.ctx = RM_GetDetachedThreadSafeContext(ctx);
    if (read_arguments(ctx, argv, argc) != RM_OK) {
        return RM_ERR;
    }
    if (!keeper_file_load()) {
        RM_Log(ctx, "warning", "standin: %s is not readable", keeper.set.state_file);
        return RM_ERR;
    }
    return start_parts(ctx);
}

/* Threads live as long as the process. */
int RedisModule_OnUnload(struct rm_ctx *ctx)
{
    (void)ctx;
    return RM_ERR;
}
