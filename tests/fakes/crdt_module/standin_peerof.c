/* standin_peerof.c - see standin_peerof.h; contract: reference/crdt-redis.md chapter 2. */
#include "tests/fakes/crdt_module/standin_peerof.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tests/fakes/redis_module/command_log.h"
#include "tests/fakes/crdt_module/standin_link.h"
#include "tests/fakes/crdt_module/peer_table.h"
#include "tests/fakes/crdt_module/state_file.h"

#include "shared/base/banned.h"

static const char not_integer[] = "ERR value is not an integer or out of range";
static const char bad_params[] = "ERR proxy params error";

/* An input that kills the real server, or its next start, or its replicas (2.5). */
static const char *deadly(const char *what)
{
    (void)snprintf(standin.faults.would_have_crashed, sizeof standin.faults.would_have_crashed,
                   "%s", what);
    standin.faults.would_have_crashed_count++;
    RM_Log(NULL, "warning", "standin: deadly PEEROF input: %s", what);
    if (standin.set.crash_aborts) {
        (void)signal(SIGSEGV, SIG_DFL);
        (void)raise(SIGSEGV);
    }
    return "ERR STANDIN would have crashed";
}

/* The words after the port. 'given' collects what only counts together with proxy-type. */
struct options {
    bool has_type;
    const char *servers;
    const char *params;
    long long backstream;
};

static const char *take_option(struct options *o, const struct rm_string *word,
                               const struct rm_string *value, int *ret_used)
{
    static const char *const names[] = { "proxy-type", "proxy-servers", "proxy-params",
                                         "backstream" };
    int which = -1;

    for (int i = 0; i < 4; i++) {
        which = arg_is(word, names[i]) ? i : which;
    }
    *ret_used = which < 0 ? 1 : 2;
    if (which < 0) {
        return NULL;
    }
    if (!value) {
        return which == 3 ? not_integer : deadly("option word without its value");
    }
    if (which == 0) {
        o->has_type = true;
        return strcasecmp(arg_text(value), "XPIPE-PROXY") == 0 ? NULL : "ERR proxy unknow type";
    }
    if (which == 3) {
        return RM_StringToLongLong(value, &o->backstream) == RM_OK ? NULL : not_integer;
    }
    *(which == 1 ? &o->servers : &o->params) = arg_text(value);
    return NULL;
}

static const char *take_proxy(const struct options *o, struct peer_words *w)
{
    if (!o->servers || !words_parse_servers(o->servers, w)) {
        return bad_params;
    }
    w->proxied = true;
    if (o->params && strpbrk(o->params, "'\"|\r\n")) {
        return deadly("quote, '|' or line end inside proxy-params");
    }
    w->has_params = o->params != NULL;
    if (o->params && !text_copy(w->params, sizeof w->params, o->params, strlen(o->params))) {
        return bad_params;
    }
    return NULL;
}

static const char *parse_options(struct rm_string **argv, int argc, struct peer_words *w)
{
    struct options o = { .backstream = NO_BACKSTREAM };
    const char *error = NULL;
    int used = 0;

    for (int i = 4; i < argc && !error; i += used) {
        error = take_option(&o, argv[i], i + 1 < argc ? argv[i + 1] : NULL, &used);
    }
    w->backstream = o.backstream;
    /* 1.0.11 and 1.0.12 know the option loop but not the proxy words: they connect directly. */
    if (error || !o.has_type || !version_is_at_least(1, 0, 14)) {
        return error;
    }
    return take_proxy(&o, w);
}

static const char *parse_gid(const struct rm_string *arg, int *ret_gid)
{
    long long number;
    int gid;

    if (RM_StringToLongLong(arg, &number) != RM_OK) {
        return not_integer;
    }
    gid = (int)(uint32_t)((uint64_t)number &
                          UINT32_MAX); /* the real server cuts it to 32 bits, too */
    if (gid == standin.set.gid) {
        return "ERR invalid gid";
    }
    if (gid < 1 || gid > GID_MAX) {
        return deadly("gid outside 1..15");
    }
    *ret_gid = gid;
    return NULL;
}

static const char *parse_words(struct rm_string **argv, int argc, struct peer_words *w)
{
    long long port;
    size_t len;
    const char *host = RM_StringPtrLen(argv[2], &len);

    if (RM_StringToLongLong(argv[3], &port) != RM_OK) {
        return not_integer;
    }
    w->port = (int)(uint32_t)((uint64_t)port & UINT32_MAX);
    if (!text_copy(w->host, sizeof w->host, host, len)) {
        return "ERR STANDIN host is too long";
    }
    return parse_options(argv, argc, w);
}

bool config_rewrite(struct rm_ctx *ctx, bool quiet, char *why, size_t size)
{
    struct rm_reply *reply = NULL;
    size_t len = 0;
    int error = standin.faults.rewrite_fails ? EACCES : 0;
    bool no_file = false;

    why[0] = '\0';
    reply = error ? NULL : RM_Call(ctx, "CONFIG", "c", "REWRITE");
    if (reply && RM_CallReplyType(reply) == RM_REPLY_ERROR) {
        const char *text = RM_CallReplyStringPtr(reply, &len);
        (void)snprintf(why, size, "%.*s", (int)len, text);
        why[strcspn(why, "\r\n")] = '\0';
        no_file = strstr(why, "without a config file") != NULL;
    }
    if (reply) {
        RM_FreeCallReply(reply);
    }
    if (no_file && quiet) {
        why[0] = '\0';
    }
    if (!error && !why[0]) {
        error = state_file_save();
    }
    if (error) {
        (void)snprintf(why, size, "ERR Rewriting config file: %s", strerror(error));
    }
    return why[0] == '\0';
}

static const char *remove_peer(struct rm_ctx *ctx, int gid)
{
    peer_remove(gid);
    RM_ReplicateVerbatim(ctx);
    return "OK";
}

static const char *nothing_to_do(struct rm_ctx *ctx, struct peer *p)
{
    if (p->lazy_until_ms > now_mono_ms() && !(RM_GetContextFlags(ctx) & RM_CTX_LOADING)) {
        p->lazy_until_ms = 0;
        if (standin.set.version.patch == 14 && version_is_at_least(1, 0, 14) &&
            !version_is_at_least(1, 0, 15)) {
            RM_ReplyWithSimpleString(ctx, "OK"); /* that build answers twice */
        }
        return "OK Clean lazy_time";
    }
    return "OK Already connected to specified master";
}

static const char *replace_peer(struct rm_ctx *ctx, int gid, const struct peer_words *w)
{
    static char why[TEXT_MAX];

    peer_store(gid, w);
    if (!config_rewrite(ctx, true, why, sizeof why)) {
        peer_remove(gid);
        return why;
    }
    link_thread_start(gid);
    RM_ReplicateVerbatim(ctx);
    return "OK";
}

static bool same_server(const struct proxy_server *a, const struct proxy_server *b)
{
    return a->port == b->port && strcasecmp(a->host, b->host) == 0;
}

/* Rule 1: the new list, the link as it is. */
static const char *keep_link(struct rm_ctx *ctx, struct peer *p, const struct peer_words *w)
{
    struct proxy_server in_use = p->words.servers[p->in_use];

    p->words = *w;
    p->in_use = 0;
    for (int i = 0; i < w->server_count; i++) {
        p->in_use = same_server(&w->servers[i], &in_use) ? i : p->in_use;
    }
    RM_ReplicateVerbatim(ctx);
    return "OK";
}

static const char *apply(struct rm_ctx *ctx, int gid, const struct peer_words *w)
{
    struct peer *p = peer_get(gid);
    enum words_rule rule = WORDS_REPLACE;

    if (p->used) {
        rule = words_decide(&p->words, peer_is_up(p), p->in_use, w);
    }
    switch (rule) {
    case WORDS_KEEP_LINK:
        return keep_link(ctx, p, w);
    case WORDS_NOTHING:
        return nothing_to_do(ctx, p);
    case WORDS_REPLACE:
        break;
    }
    return replace_peer(ctx, gid, w);
}

static const char *run(struct rm_ctx *ctx, struct rm_string **argv, int argc)
{
    struct peer_words words = { .port = 0 };
    const char *error;
    int gid = 0;

    if (RM_GetContextFlags(ctx) & RM_CTX_CLUSTER) {
        return "ERR PEEROF not allowed in cluster mode.";
    }
    error = parse_gid(argv[1], &gid);
    if (error) {
        return error;
    }
    if (arg_is(argv[2], "no") && arg_is(argv[3], "one")) {
        return remove_peer(ctx, gid);
    }
    error = parse_words(argv, argc, &words);
    return error ? error : apply(ctx, gid, &words);
}

/* A client that runs a command right now is only marked by the server, so it is closed from
 * outside the command. */
static void close_client(struct rm_ctx *ctx, void *client)
{
    RM_DeauthenticateAndCloseClient(ctx, (uint64_t)(uintptr_t)client);
}

/* Faults ordered by a test. Returns true when the command was dealt with. */
static bool play_fault(struct rm_ctx *ctx)
{
    switch (standin.faults.peerof) {
    case FAIL_NOTHING:
        return false;
    case FAIL_TEXT:
        RM_ReplyWithError(ctx, standin.faults.peerof_text);
        break;
    case FAIL_HANG:
        RM_BlockClient(ctx, NULL, NULL, NULL, 0);
        break;
    case FAIL_CLOSE:
        RM_BlockClient(ctx, NULL, NULL, NULL, 0);
        RM_CreateTimer(ctx, 1, close_client, (void *)(uintptr_t)RM_GetClientId(ctx));
        break;
    }
    return true;
}

static int cmd_peerof(struct rm_ctx *ctx, struct rm_string **argv, int argc)
{
    bool replicated = RM_GetContextFlags(ctx) & (RM_CTX_REPLICATED | RM_CTX_LOADING);
    const char *reply;

    if (argc < 4 || (argc > 4 && !version_is_at_least(1, 0, 11))) {
        return RM_WrongArity(ctx);
    }
    command_log_add(ctx, argv, argc, replicated);
    if (!replicated && play_fault(ctx)) {
        return RM_OK;
    }
    if (standin_is_loading() && !version_is_at_least(1, 0, 11)) {
        return RM_ReplyWithError(ctx, "LOADING Redis is loading the dataset in memory");
    }
    reply = run(ctx, argv, argc);
    return strncmp(reply, "OK", 2) == 0 ? RM_ReplyWithSimpleString(ctx, reply)
                                        : RM_ReplyWithError(ctx, reply);
}

int peerof_start(struct rm_ctx *ctx)
{
    static const struct rm_command_info_version version = { 1, 2 * sizeof(char *), 0, 0 };
    struct rm_command_info info = { .version = &version,
                                    .arity = version_is_at_least(1, 0, 11) ? -4 : 4 };

    if (RM_CreateCommand(ctx, "peerof", cmd_peerof, "admin no-monitor allow-loading allow-stale", 0,
                         0, 0) != RM_OK) {
        return RM_ERR;
    }
    return RM_SetCommandInfo(RM_GetCommand(ctx, "peerof"), &info);
}
