/* filter.c - see filter.h. The filter is not called for commands this module runs itself. */
#include "tests/fakes/crdt_module/filter.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "tests/fakes/redis_module/command_log.h"
#include "tests/fakes/crdt_module/standin_info.h"
#include "tests/fakes/crdt_module/feed.h"
#include "tests/fakes/crdt_module/peer_table.h"
#include "tests/fakes/crdt_module/standin_peerof.h"

#include "shared/base/banned.h"

enum { TIME_NAMES = 3 };

static const struct {
    const char *name;
    int64_t unit_ms;
    int64_t *at;
} times[TIME_NAMES] = {
    { "repl-diskless-sync-delay", 1000, &standin.set.sync_delay_ms },
    { "repl-timeout", 1000, &standin.set.timeout_ms },
    { "repl-ping-slave-period", 1000, &standin.set.ping_ms },
};

static bool works_while_loading(const struct rm_string *name)
{
    static const char *const words[] = {
        "role",     "info",      "crdt.info", "peerof",     "config",   "slaveof",
        "xslaveof", "replicaof", "subscribe", "psubscribe", "auth",     "command",
        "multi",    "exec",      "discard",   "shutdown",   "replconf", "psync",
        "sync",     "module",    "hello",     "select",
    };

    if (strncasecmp(arg_text(name), "standin.", 8) == 0) {
        return true;
    }
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (arg_is(name, words[i])) {
            return true;
        }
    }
    return false;
}

static void put_before(struct rm_filter_ctx *f, const char *name)
{
    RM_CommandFilterArgInsert(f, 0, RM_CreateString(NULL, name, strlen(name)));
}

static void log_command(struct rm_filter_ctx *f)
{
    struct rm_string *argv[COMMAND_LOG_ARGS_MAX];
    int argc = RM_CommandFilterArgsCount(f);

    argc = argc < COMMAND_LOG_ARGS_MAX ? argc : COMMAND_LOG_ARGS_MAX;
    for (int i = 0; i < argc; i++) {
        argv[i] = (struct rm_string *)(uintptr_t)RM_CommandFilterArgGet(f, i);
    }
    command_log_add(NULL, argv, argc, false);
}

static bool config_is_ours(const struct rm_string *sub, const struct rm_string *name)
{
    if (arg_is(sub, "rewrite")) {
        return true;
    }
    if (arg_is(sub, "crdt.get") || arg_is(sub, "crdt.set")) {
        return name != NULL;
    }
    return arg_is(sub, "get") && name && (arg_is(name, "peerof") || arg_is(name, "crdt-gid"));
}

static void on_command(struct rm_filter_ctx *f)
{
    int argc = RM_CommandFilterArgsCount(f);
    const struct rm_string *name = RM_CommandFilterArgGet(f, 0);
    const struct rm_string *sub = argc > 1 ? RM_CommandFilterArgGet(f, 1) : NULL;

    if (!name || feed_is_applying()) {
        return;
    }
    if (arg_is(name, "slaveof") || arg_is(name, "replicaof") || arg_is(name, "xslaveof") ||
        (arg_is(name, "config") && sub && arg_is(sub, "rewrite"))) {
        log_command(f);
    }
    if (standin_is_loading() && !works_while_loading(name)) {
        put_before(f, "standin.loading");
    } else if (arg_is(name, "xslaveof")) {
        RM_CommandFilterArgReplace(f, 0, RM_CreateString(NULL, "slaveof", 7));
    } else if (arg_is(name, "info") && argc <= 2) {
        put_before(f, "standin.info");
    } else if (arg_is(name, "config") && sub &&
               config_is_ours(sub, argc > 2 ? RM_CommandFilterArgGet(f, 2) : NULL)) {
        put_before(f, "standin.config");
    }
}

static int cmd_loading(struct rm_ctx *ctx, struct rm_string **argv, int argc)
{
    (void)argv;
    (void)argc;
    return RM_ReplyWithError(ctx, "LOADING Redis is loading the dataset in memory");
}

static int cmd_info(struct rm_ctx *ctx, struct rm_string **argv, int argc)
{
    return info_reply(ctx, argc > 2 ? arg_text(argv[2]) : NULL);
}

static int reply_pair(struct rm_ctx *ctx, const char *name, const char *value)
{
    RM_ReplyWithArray(ctx, 2);
    RM_ReplyWithCString(ctx, name);
    return RM_ReplyWithCString(ctx, value);
}

static int get_peerof(struct rm_ctx *ctx)
{
    char text[HOST_MAX + 64];
    const struct peer *p;
    int gid = 0;
    int count = 0;

    while (peer_nth(count, &gid)) {
        count++;
    }
    if (count == 0) {
        return reply_pair(ctx, "peerof", "");
    }
    RM_ReplyWithArray(ctx, 2L * count);
    for (int i = 0; i < count; i++) {
        p = peer_nth(i, &gid);
        (void)snprintf(text, sizeof text, "%d %s %d", gid, p->words.host, p->words.port);
        RM_ReplyWithCString(ctx, "peerof");
        RM_ReplyWithCString(ctx, text);
    }
    return RM_OK;
}

static int get_setting(struct rm_ctx *ctx, const struct rm_string *sub,
                       const struct rm_string *name)
{
    char text[128];

    if (arg_is(name, "peerof")) {
        return get_peerof(ctx);
    }
    if (arg_is(name, "crdt-gid")) {
        (void)snprintf(text, sizeof text, "%s %d", arg_is(sub, "get") ? "(null)" : standin.set.ns,
                       standin.set.gid);
        return reply_pair(ctx, "crdt-gid", text);
    }
    for (int i = 0; i < TIME_NAMES; i++) {
        if (arg_is(name, times[i].name)) {
            (void)snprintf(text, sizeof text, "%lld", (long long)(*times[i].at / times[i].unit_ms));
            return reply_pair(ctx, times[i].name, text);
        }
    }
    return RM_ReplyWithArray(ctx, 0);
}

static int set_setting(struct rm_ctx *ctx, const struct rm_string *name,
                       const struct rm_string *value)
{
    long long number;

    if (arg_is(name, "crdt-gid")) {
        const char *ns = arg_text(value);
        text_copy(standin.set.ns, sizeof standin.set.ns, ns, strlen(ns));
        return RM_ReplyWithSimpleString(ctx, "OK");
    }
    for (int i = 0; i < TIME_NAMES; i++) {
        if (arg_is(name, times[i].name) && RM_StringToLongLong(value, &number) == RM_OK &&
            number >= 0 && number <= 3600) {
            *times[i].at = number * times[i].unit_ms;
            return RM_ReplyWithSimpleString(ctx, "OK");
        }
    }
    return RM_ReplyWithError(ctx, "ERR STANDIN unknown CRDT setting or bad value");
}

/* STANDIN.CONFIG CONFIG REWRITE | GET name | CRDT.GET name | CRDT.SET name value */
static int cmd_config(struct rm_ctx *ctx, struct rm_string **argv, int argc)
{
    char why[TEXT_MAX];

    if (argc >= 3 && arg_is(argv[2], "rewrite")) {
        return config_rewrite(ctx, false, why, sizeof why) ? RM_ReplyWithSimpleString(ctx, "OK")
                                                           : RM_ReplyWithError(ctx, why);
    }
    if (argc == 5 && arg_is(argv[2], "crdt.set")) {
        return set_setting(ctx, argv[3], argv[4]);
    }
    return argc == 4 ? get_setting(ctx, argv[2], argv[3]) : RM_WrongArity(ctx);
}

int filter_start(struct rm_ctx *ctx)
{
    static const char flags[] = "admin no-monitor allow-loading allow-stale";

    if (RM_CreateCommand(ctx, "standin.loading", cmd_loading, flags, 0, 0, 0) != RM_OK ||
        RM_CreateCommand(ctx, "standin.info", cmd_info, flags, 0, 0, 0) != RM_OK ||
        RM_CreateCommand(ctx, "standin.config", cmd_config, flags, 0, 0, 0) != RM_OK) {
        return RM_ERR;
    }
    return RM_RegisterCommandFilter(ctx, on_command, RM_FILTER_NOT_SELF) ? RM_OK : RM_ERR;
}
