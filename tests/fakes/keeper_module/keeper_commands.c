/* keeper_commands.c - the commands that change a keeper, and those it refuses (4.2). Reports are in keeper_reports.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fakes/keeper_module/keeper_file.h"
#include "tests/fakes/keeper_module/keeper_filter.h"
#include "tests/fakes/keeper_module/keeper_standin.h"
#include "tests/fakes/keeper_module/pull_relay.h"
#include "tests/fakes/keeper_module/setstate_words.h"
#include "tests/fakes/keeper_module/zk_latch.h"
#include "tests/fakes/redis_module/command_log.h"

#include "shared/base/banned.h"

enum { WORDS_MAX = 64 };

static int reply_error(struct rm_ctx *ctx, const char *before, const char *word)
{
    char text[TEXT_MAX];

    (void)snprintf(text, sizeof text, "%s%.128s", before, word);
    return RM_ReplyWithError(ctx, text);
}

/* Runs a command of redis-server and logs its error. */
static void call(struct rm_ctx *ctx, const char *name, const char *first, const char *second,
                 const char *third)
{
    struct rm_reply *reply = third ? RM_Call(ctx, name, "ccc", first, second, third)
                                   : RM_Call(ctx, name, "cc", first, second);
    size_t len = 0;

    if (!reply || RM_CallReplyType(reply) == RM_REPLY_ERROR) {
        const char *why = reply ? RM_CallReplyStringPtr(reply, &len) : "";
        RM_Log(ctx, "warning", "standin: %s %s failed: %.*s", name, first, (int)len, why);
    }
    if (reply) {
        RM_FreeCallReply(reply);
    }
}

static void pull_from(struct rm_ctx *ctx, const struct target *t)
{
    bool is_other = strcmp(t->host, keeper.target.host) != 0 || t->port != keeper.target.port;
    char port[16];

    keeper.target = *t;
    relay_set_target(t, is_other);
    if (!keeper.is_replica || is_other) {
        /* A keeper connects at once; redis-server, to an address it has already, at its next second: it gets the other spelling. */
        static const char *const spellings[] = { "127.0.0.1", "127.1" };
        keeper.spelling = !keeper.spelling;
        (void)snprintf(port, sizeof port, "%d", keeper.relay_port);
        call(ctx, "REPLICAOF", spellings[keeper.spelling], port, NULL);
        keeper.is_replica = true;
    }
}

static void set_state(struct rm_ctx *ctx, enum keeper_state state, const struct target *t)
{
    bool serves_no_more = keeper.state == KEEPER_ACTIVE && state != KEEPER_ACTIVE;

    keeper.state = state;
    pull_from(ctx, t);
    if (serves_no_more) {
        call(ctx, "CLIENT", "KILL", "TYPE", "replica");
    }
    keeper_file_save();
}

static int cmd_setstate(struct rm_ctx *ctx, struct rm_string **argv, int argc)
{
    const char *words[WORDS_MAX];
    int count = argc - 2 < WORDS_MAX ? argc - 2 : WORDS_MAX;
    enum keeper_state state;
    struct target t;
    char error[TEXT_MAX];

    command_log_add(ctx, argv, argc, false);
    for (int i = 0; i < count; i++) {
        words[i] = arg_text(argv[i + 2]);
    }
    if (!setstate_parse(words, count, &state, &t, error, sizeof error)) {
        return RM_ReplyWithError(ctx, error);
    }
    set_state(ctx, state, &t);
    return RM_ReplyWithSimpleString(ctx, "OK");
}

static int cmd_keeper(struct rm_ctx *ctx, struct rm_string **argv, int argc)
{
    if (argc == 1) {
        return RM_OK; /* a real keeper does not answer this either */
    }
    if (arg_is(argv[1], "getstate")) {
        return RM_ReplyWithSimpleString(ctx, keeper_state_text(keeper.state));
    }
    if (arg_is(argv[1], "setstate")) {
        return cmd_setstate(ctx, argv, argc);
    }
    return reply_error(ctx, "unknown command:", arg_text(argv[1]));
}

/* From here on argv[0] is the module's name for the command, argv[1] the one that was sent (keeper_filter.c). */

static int cmd_slaveof(struct rm_ctx *ctx, struct rm_string **argv, int argc)
{
    struct target t = { .port = 0 };
    char *end = NULL;
    long port;

    command_log_add(ctx, argv + 1, argc - 1, false);
    if (argc != 4) {
        return RM_ReplyWithError(ctx, "wrong format");
    }
    if (arg_is(argv[2], "no") && arg_is(argv[3], "one")) {
        return RM_ReplyWithError(ctx, "Keeper not allowed to process slaveof command");
    }
    port = strtol(arg_text(argv[3]), &end, 10);
    if (*end != '\0' || port < 1 || port > 65535 ||
        !text_copy(t.host, sizeof t.host, arg_text(argv[2]), strlen(arg_text(argv[2])))) {
        return RM_ReplyWithError(ctx, "wrong format");
    }
    t.port = (int)port;
    if (keeper.state == KEEPER_ACTIVE) {
        pull_from(ctx, &t);
    }
    return RM_ReplyWithSimpleString(ctx, "OK");
}

static void on_close_time(struct rm_ctx *ctx, void *id)
{
    (void)RM_DeauthenticateAndCloseClient(ctx, (uintptr_t)id);
}

/* Without an answer. Not from inside its own command, after which redis-server would wait for an answer to be written. */
static int close_client(struct rm_ctx *ctx)
{
    RM_CreateTimer(ctx, 1, on_close_time, (void *)(uintptr_t)RM_GetClientId(ctx));
    return RM_OK;
}

/* Only in states that serve nobody. A real BACKUP holds the replica until the state changes; here it is closed and asks
 * again a second later. */
static int cmd_psync(struct rm_ctx *ctx, struct rm_string **argv, int argc)
{
    (void)argv;
    (void)argc;
    if (keeper.state == KEEPER_UNKNOWN) {
        return RM_ReplyWithError(ctx, "NOMASTERLINK Can't SYNC while replicationstore fresh");
    }
    return close_client(ctx);
}

static int cmd_sync(struct rm_ctx *ctx, struct rm_string **argv, int argc)
{
    (void)argv;
    (void)argc;
    return close_client(ctx);
}

static const char *first_unknown_capa(struct rm_string **argv, int argc)
{
    for (int i = 3; i < argc; i += 2) {
        if (!keeper_knows_capa(argv[i])) {
            return arg_text(argv[i]);
        }
    }
    return "";
}

/* What redis-server would not answer as a keeper does; known words of CAPA go to redis-server, which needs them. */
static int cmd_replconf(struct rm_ctx *ctx, struct rm_string **argv, int argc)
{
    char words[TEXT_MAX / 2];
    size_t used = 0;

    if (argc > 2 &&
        (arg_is(argv[2], "keeper") || arg_is(argv[2], "idc") || arg_is(argv[2], "region"))) {
        return RM_ReplyWithSimpleString(ctx, "OK");
    }
    if (argc > 3 && arg_is(argv[2], "capa")) {
        return reply_error(ctx, "unsupported capa type:", first_unknown_capa(argv, argc));
    }
    words[0] = '\0';
    for (int i = 2; i < argc && used < sizeof words; i++) {
        int n = snprintf(words + used, sizeof words - used, " %s", arg_text(argv[i]));
        used += n > 0 ? (size_t)n : 0;
    }
    return reply_error(ctx, "unknown replconf command", words);
}

static int cmd_client(struct rm_ctx *ctx, struct rm_string **argv, int argc)
{
    char text[TEXT_MAX];

    if (argc < 3 || arg_is(argv[2], "setname")) {
        return RM_ReplyWithError(ctx, "wrong format");
    }
    (void)snprintf(text, sizeof text, "%.128s not supported", arg_text(argv[2]));
    return RM_ReplyWithError(ctx, text);
}

static int cmd_config(struct rm_ctx *ctx, struct rm_string **argv, int argc)
{
    return argc == 4 && arg_is(argv[2], "get")
               ? RM_ReplyWithArray(ctx, 0)
               : reply_error(ctx, "unsupported command:", arg_text(argv[1]));
}

static int cmd_publish(struct rm_ctx *ctx, struct rm_string **argv, int argc)
{
    (void)argv;
    (void)argc;
    return RM_ReplyWithLongLong(ctx, 0);
}

static int cmd_unsupported(struct rm_ctx *ctx, struct rm_string **argv, int argc)
{
    (void)argc;
    return reply_error(ctx, "unsupported command:", arg_text(argv[1]));
}

/* STANDIN.REELECT: what the container does for POST /keepers/election/reset. */
static int cmd_reelect(struct rm_ctx *ctx, struct rm_string **argv, int argc)
{
    (void)argv;
    (void)argc;
    latch_reset();
    return RM_ReplyWithSimpleString(ctx, "OK");
}

int keeper_commands_start(struct rm_ctx *ctx)
{
    static const struct {
        const char *name;
        rm_command_fn *run;
    } commands[] = {
        { "keeper", cmd_keeper },
        { "standin.slaveof", cmd_slaveof },
        { "standin.psync", cmd_psync },
        { "standin.sync", cmd_sync },
        { "standin.replconf", cmd_replconf },
        { "standin.client", cmd_client },
        { "standin.config", cmd_config },
        { "standin.publish", cmd_publish },
        { "standin.unsupported", cmd_unsupported },
        { "standin.reelect", cmd_reelect },
        { "standin.log", command_log_command },
    };

    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (RM_CreateCommand(ctx, commands[i].name, commands[i].run,
                             "admin no-monitor allow-loading allow-stale", 0, 0, 0) != RM_OK) {
            return RM_ERR;
        }
    }
    return RM_OK;
}
