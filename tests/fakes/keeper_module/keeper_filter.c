/* keeper_filter.c - see keeper_filter.h. A command is handed over by putting the name of the module's command in front. */
#include "tests/fakes/keeper_module/keeper_filter.h"

#include <string.h>
#include <strings.h>

#include "shared/base/banned.h"

static struct rm_dict *writes; /* lower-case names; the values say nothing */

static void put_before(struct rm_filter_ctx *f, const char *name)
{
    RM_CommandFilterArgInsert(f, 0, RM_CreateString(NULL, name, strlen(name)));
}

static bool is_one_of(const struct rm_string *word, const char *const *list)
{
    for (; *list; list++) {
        if (word && arg_is(word, *list)) {
            return true;
        }
    }
    return false;
}

static bool is_write(const char *name)
{
    char lower[64];
    int missing = 0;

    if (!text_copy(lower, sizeof lower, name, strlen(name))) {
        return false;
    }
    for (char *c = lower; *c; c++) {
        *c = (char)(*c >= 'A' && *c <= 'Z' ? *c - 'A' + 'a' : *c);
    }
    (void)RM_DictGetC(writes, lower, strlen(lower), &missing);
    return !missing;
}

bool keeper_knows_capa(const struct rm_string *type)
{
    static const char *const types[] = { "eof", "psync2", "rordb", NULL };

    return is_one_of(type, types);
}

static bool replconf_is_for_server(struct rm_filter_ctx *f, int argc)
{
    static const char *const words[] = { "listening-port", "ip-address", "ack", "getack", NULL };
    const struct rm_string *sub = argc > 1 ? RM_CommandFilterArgGet(f, 1) : NULL;

    if (!sub || !arg_is(sub, "capa")) {
        return is_one_of(sub, words);
    }
    for (int i = 2; i < argc; i += 2) {
        if (!keeper_knows_capa(RM_CommandFilterArgGet(f, i))) {
            return false;
        }
    }
    return true;
}

/* What redis-server itself has to see (its replicas, its master, connections), and what is the module's by its name. */
static bool goes_through(struct rm_filter_ctx *f, const struct rm_string *name)
{
    static const char *const names[] = { "ping",    "select",    "multi",       "exec",
                                         "discard", "subscribe", "unsubscribe", "quit",
                                         "keeper",  "kinfo",     NULL };
    int argc = RM_CommandFilterArgsCount(f);

    if (arg_is(name, "psync")) {
        return keeper.state == KEEPER_ACTIVE;
    }
    if (arg_is(name, "replconf")) {
        return replconf_is_for_server(f, argc);
    }
    if (arg_is(name, "client")) {
        return argc == 3 && arg_is(RM_CommandFilterArgGet(f, 1), "setname");
    }
    return is_one_of(name, names) || strncasecmp(arg_text(name), "standin.", 8) == 0;
}

static void on_command(struct rm_filter_ctx *f)
{
    static const struct {
        const char *name;
        const char *ours;
    } rows[] = {
        { "role", "standin.role" },       { "info", "standin.info" },
        { "slaveof", "standin.slaveof" }, { "client", "standin.client" },
        { "config", "standin.config" },   { "publish", "standin.publish" },
        { "psync", "standin.psync" },     { "replconf", "standin.replconf" },
        { "sync", "standin.sync" },
    };
    const struct rm_string *name = RM_CommandFilterArgGet(f, 0);

    if (!name || goes_through(f, name)) {
        return;
    }
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (arg_is(name, rows[i].name)) {
            put_before(f, rows[i].ours);
            return;
        }
    }
    if (keeper.target.port == 0 || !is_write(arg_text(name))) {
        put_before(f, "standin.unsupported");
    }
}

int keeper_filter_start(struct rm_ctx *ctx)
{
    struct rm_reply *reply = RM_Call(ctx, "COMMAND", "cccc", "LIST", "FILTERBY", "ACLCAT", "write");

    if (!reply || RM_CallReplyType(reply) != RM_REPLY_ARRAY) {
        return RM_ERR;
    }
    writes = RM_CreateDict(NULL);
    for (size_t i = 0; i < RM_CallReplyLength(reply); i++) {
        size_t len = 0;
        const char *name = RM_CallReplyStringPtr(RM_CallReplyArrayElement(reply, i), &len);
        const char *bar = memchr(name, '|', len); /* "function|load" */
        RM_DictSetC(writes, name, bar ? (size_t)(bar - name) : len, NULL);
    }
    RM_FreeCallReply(reply);
    return RM_RegisterCommandFilter(ctx, on_command, RM_FILTER_NOT_SELF) ? RM_OK : RM_ERR;
}
