/* command_log.c - see command_log.h. A ring of retained argument strings. */
#include "tests/fakes/redis_module/command_log.h"

#include <stdio.h>

#include "shared/base/banned.h"

struct logged {
    int64_t at_ms;
    bool replicated;
    char sender[64];
    int argc;
    struct rm_string *argv[COMMAND_LOG_ARGS_MAX];
};

static struct {
    struct logged ring[COMMAND_LOG_MAX];
    int first;
    int count;
} commands;

static void forget(struct logged *l)
{
    for (int i = 0; i < l->argc; i++) {
        RM_FreeString(NULL, l->argv[i]);
    }
    l->argc = 0;
}

static void note_sender(struct logged *l, struct rm_ctx *ctx)
{
    struct rm_string *name = ctx ? RM_GetClientNameById(ctx, RM_GetClientId(ctx)) : NULL;

    l->sender[0] = '\0';
    if (name) {
        (void)snprintf(l->sender, sizeof l->sender, "%s", RM_StringPtrLen(name, NULL));
        RM_FreeString(ctx, name);
    }
}

void command_log_add(struct rm_ctx *ctx, struct rm_string **argv, int argc, bool replicated)
{
    struct logged *l = &commands.ring[(commands.first + commands.count) % COMMAND_LOG_MAX];

    if (commands.count == COMMAND_LOG_MAX) {
        forget(l);
        commands.first = (commands.first + 1) % COMMAND_LOG_MAX;
    } else {
        commands.count++;
    }
    l->at_ms = now_wall_us() / 1000;
    l->replicated = replicated;
    note_sender(l, ctx);
    l->argc = argc < COMMAND_LOG_ARGS_MAX ? argc : COMMAND_LOG_ARGS_MAX;
    for (int i = 0; i < l->argc; i++) {
        size_t len;
        const char *text = RM_StringPtrLen(argv[i], &len);
        l->argv[i] = RM_CreateString(NULL, text, len);
    }
}

void command_log_clear(void)
{
    while (commands.count > 0) {
        forget(&commands.ring[(commands.first + --commands.count) % COMMAND_LOG_MAX]);
    }
}

static int reply_entries(struct rm_ctx *ctx)
{
    RM_ReplyWithArray(ctx, commands.count);
    for (int i = 0; i < commands.count; i++) {
        const struct logged *l = &commands.ring[(commands.first + i) % COMMAND_LOG_MAX];
        RM_ReplyWithArray(ctx, 2 + l->argc);
        RM_ReplyWithLongLong(ctx, l->at_ms);
        RM_ReplyWithCString(ctx, l->replicated ? "replicated" : "client");
        for (int a = 0; a < l->argc; a++) {
            size_t len;
            const char *text = RM_StringPtrLen(l->argv[a], &len);
            RM_ReplyWithStringBuffer(ctx, text, len);
        }
    }
    return RM_OK;
}

static int reply_senders(struct rm_ctx *ctx)
{
    RM_ReplyWithArray(ctx, commands.count);
    for (int i = 0; i < commands.count; i++) {
        RM_ReplyWithCString(ctx, commands.ring[(commands.first + i) % COMMAND_LOG_MAX].sender);
    }
    return RM_OK;
}

int command_log_command(struct rm_ctx *ctx, struct rm_string **argv, int argc)
{
    if (argc == 2 && arg_is(argv[1], "clear")) {
        command_log_clear();
        return RM_ReplyWithSimpleString(ctx, "OK");
    }
    if (argc == 2 && arg_is(argv[1], "senders")) {
        return reply_senders(ctx);
    }
    return argc == 1 ? reply_entries(ctx)
                     : RM_ReplyWithError(ctx, "ERR STANDIN say: clear or senders");
}
