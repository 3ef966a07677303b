/* standin_control.c - see standin_control.h. */
#include "tests/fakes/crdt_module/standin_control.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tests/fakes/redis_module/command_log.h"
#include "tests/fakes/crdt_module/peer_table.h"

#include "shared/base/banned.h"

enum { STALE_S = 40 };

static bool take_ms(const char *value, int64_t min, int64_t *ret)
{
    char *end = NULL;
    long long number = strtoll(value, &end, 10);

    if (end == value || *end != '\0' || number < min || number > 3600 * 1000) {
        return false;
    }
    *ret = number;
    return true;
}

static bool take_gid(const char *value)
{
    int64_t gid;

    if (!take_ms(value, 1, &gid) || gid > GID_MAX) {
        return false;
    }
    standin.set.gid = (int)gid;
    return true;
}

static bool take_version(const char *value)
{
    struct version v = { 1, 0, 22 };

    if (strcmp(value, "absent") != 0 && !version_parse(value, &v)) {
        return false;
    }
    standin.set.version = v;
    return text_copy(standin.set.version_text, sizeof standin.set.version_text, value,
                     strlen(value));
}

static bool take_crash(const char *value)
{
    standin.set.crash_aborts = strcmp(value, "abort") == 0;
    return standin.set.crash_aborts || strcmp(value, "flag") == 0;
}

bool setting_apply(const char *name, const char *value)
{
    const struct {
        const char *name;
        int64_t *at;
        int64_t min;
    } times[] = {
        { "tick-ms", &standin.set.tick_ms, 10 },
        { "sync-delay-ms", &standin.set.sync_delay_ms, 0 },
        { "lazy-ms", &standin.set.lazy_ms, 0 },
        { "ping-ms", &standin.set.ping_ms, 10 },
        { "timeout-ms", &standin.set.timeout_ms, 10 },
    };

    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        if (strcasecmp(name, times[i].name) == 0) {
            return take_ms(value, times[i].min, times[i].at);
        }
    }
    if (strcasecmp(name, "gid") == 0) {
        return take_gid(value);
    }
    if (strcasecmp(name, "namespace") == 0) {
        return value[0] && text_copy(standin.set.ns, sizeof standin.set.ns, value, strlen(value));
    }
    if (strcasecmp(name, "version") == 0) {
        return take_version(value);
    }
    if (strcasecmp(name, "crash") == 0) {
        return take_crash(value);
    }
    return strcasecmp(name, "state-file") == 0 &&
           text_copy(standin.set.state_file, sizeof standin.set.state_file, value, strlen(value));
}

static bool take_link_word(const char *word, struct link_override *o)
{
    char *end = NULL;
    long seconds = strtol(word, &end, 10);

    *o = (struct link_override){
        .shown = SHOW_UP, .last_io_s = 1, .down_since_s = -1, .offset = -1
    };
    if (end != word && *end == '\0' && seconds >= 0) {
        o->last_io_s = seconds;
        return true;
    }
    if (strcasecmp(word, "up") == 0) {
        return true;
    }
    if (strcasecmp(word, "stale") == 0) {
        o->last_io_s = STALE_S;
        return true;
    }
    if (strcasecmp(word, "sync") == 0) {
        o->shown = SHOW_SYNC;
        o->last_io_s = 0;
        return true;
    }
    o->last_io_s = -1;
    o->shown = strcasecmp(word, "down") == 0 ? SHOW_DOWN : SHOW_REAL;
    return o->shown == SHOW_DOWN || strcasecmp(word, "auto") == 0;
}

static bool take_link_option(struct link_override *o, const char *name, long long value)
{
    if (strcasecmp(name, "last-io") == 0) {
        o->last_io_s = value;
    } else if (strcasecmp(name, "down-since") == 0) {
        o->down_since_s = value;
    } else if (strcasecmp(name, "offset") == 0) {
        o->offset = value;
    } else {
        return false;
    }
    return true;
}

static int cmd_link(struct rm_ctx *ctx, struct rm_string **argv, int argc)
{
    struct link_override o;
    struct peer *p;
    long long number;

    if (argc < 3 || argc % 2 == 0) {
        return RM_WrongArity(ctx);
    }
    p = RM_StringToLongLong(argv[1], &number) == RM_OK ? peer_get((int)number) : NULL;
    if (!p || !p->used) {
        return RM_ReplyWithError(ctx, "ERR STANDIN no peer with this gid");
    }
    if (!take_link_word(arg_text(argv[2]), &o)) {
        return RM_ReplyWithError(ctx,
                                 "ERR STANDIN state is up, down, sync, stale, auto or seconds");
    }
    for (int i = 3; i < argc; i += 2) {
        if (RM_StringToLongLong(argv[i + 1], &number) != RM_OK ||
            !take_link_option(&o, arg_text(argv[i]), number)) {
            return RM_ReplyWithError(
                ctx, "ERR STANDIN options are last-io, down-since, offset with a number");
        }
    }
    p->override = o;
    return RM_ReplyWithSimpleString(ctx, "OK");
}

static bool on_off(const struct rm_string *arg, bool *ret)
{
    *ret = arg_is(arg, "on");
    return *ret || arg_is(arg, "off");
}

static int cmd_mode(struct rm_ctx *ctx, struct rm_string **argv, int argc)
{
    if (argc != 3 || !arg_is(argv[1], "loading") || !on_off(argv[2], &standin.faults.loading)) {
        return RM_ReplyWithError(ctx, "ERR STANDIN say: loading on|off");
    }
    return RM_ReplyWithSimpleString(ctx, "OK");
}

static int cmd_fail(struct rm_ctx *ctx, struct rm_string **argv, int argc)
{
    struct faults *f = &standin.faults;

    if (argc != 3 || !arg_is(argv[1], "peerof")) {
        return RM_ReplyWithError(ctx, "ERR STANDIN say: peerof off|hang|close|TEXT");
    }
    f->peerof = arg_is(argv[2], "off")     ? FAIL_NOTHING
                : arg_is(argv[2], "hang")  ? FAIL_HANG
                : arg_is(argv[2], "close") ? FAIL_CLOSE
                                           : FAIL_TEXT;
    text_copy(f->peerof_text, sizeof f->peerof_text, arg_text(argv[2]), strlen(arg_text(argv[2])));
    return RM_ReplyWithSimpleString(ctx, "OK");
}

static int cmd_rewrite_fail(struct rm_ctx *ctx, struct rm_string **argv, int argc)
{
    if (argc != 2 || !on_off(argv[1], &standin.faults.rewrite_fails)) {
        return RM_ReplyWithError(ctx, "ERR STANDIN say: on|off");
    }
    return RM_ReplyWithSimpleString(ctx, "OK");
}

static int cmd_set(struct rm_ctx *ctx, struct rm_string **argv, int argc)
{
    if (argc != 3 || arg_is(argv[1], "state-file") ||
        !setting_apply(arg_text(argv[1]), arg_text(argv[2]))) {
        return RM_ReplyWithError(ctx, "ERR STANDIN unknown setting or bad value");
    }
    return RM_ReplyWithSimpleString(ctx, "OK");
}

static int cmd_crashed(struct rm_ctx *ctx, struct rm_string **argv, int argc)
{
    (void)argv;
    (void)argc;
    RM_ReplyWithArray(ctx, 2);
    RM_ReplyWithLongLong(ctx, standin.faults.would_have_crashed_count);
    return RM_ReplyWithCString(ctx, standin.faults.would_have_crashed);
}

int control_start(struct rm_ctx *ctx)
{
    static const struct {
        const char *name;
        rm_command_fn *run;
    } commands[] = {
        { "standin.link", cmd_link },       { "standin.mode", cmd_mode },
        { "standin.fail", cmd_fail },       { "standin.rewrite-fail", cmd_rewrite_fail },
        { "standin.set", cmd_set },         { "standin.log", command_log_command },
        { "standin.crashed", cmd_crashed },
    };

    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (RM_CreateCommand(ctx, commands[i].name, commands[i].run,
                             "admin no-monitor allow-loading allow-stale", 0, 0, 0) != RM_OK) {
            return RM_ERR;
        }
    }
    return RM_OK;
}
